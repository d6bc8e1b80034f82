// SPDX-License-Identifier: GPL-2.0-or-later
/* Headers, read and written. */
#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "data_lump.h"
#include "dprint.h"
#include "mem/mem.h"
#include "parser/contact/parse_contact.h"
#include "parser/parse_to.h"
#include "parser/parse_uri.h"

#include "proto_ims_ipsec.h"

int copy_begin(struct copy *copy, const struct sip_msg *msg)
{
	memset(copy, 0, sizeof(*copy));
	copy->buf = pkg_malloc(msg->len + 1);
	if (!copy->buf) {
		LM_ERR("no memory\n");
		return -1;
	}
	memcpy(copy->buf, msg->buf, msg->len);
	copy->buf[msg->len] = '\0';
	copy->msg.buf = copy->buf;
	copy->msg.len = msg->len;
	copy->msg.rcv = msg->rcv;
	copy->msg.id = msg->id;
	if (parse_msg(copy->buf, copy->msg.len, &copy->msg) ||
	    parse_headers(&copy->msg, HDR_EOH_F, 0) < 0) {
		LIMITED(LM_ERR, "the request of the transaction cannot be parsed\n");
		copy_end(copy);
		return -1;
	}
	return 0;
}

void copy_end(struct copy *copy)
{
	free_sip_msg(&copy->msg);
	pkg_free(copy->buf);
}

struct span header_text(const struct hdr_field *h)
{
	return (struct span) { h->body.s, h->body.len };
}

int add_text(struct sip_msg *msg, const char *at, const char *text)
{
	struct lump *anchor;
	int len = strlen(text);
	char *s = pkg_malloc(len);

	if (!s)
		goto no_memory;
	memcpy(s, text, len);
	anchor = anchor_lump(msg, at - msg->buf, 0);
	if (!anchor || !insert_new_lump_before(anchor, s, len, 0)) {
		pkg_free(s);
		goto no_memory;
	}
	return 0;

no_memory:
	LM_ERR("no memory\n");
	return -1;
}

int add_header(struct sip_msg *msg, const char *line)
{
	if (parse_headers(msg, HDR_EOH_F, 0) < 0)
		return -1;
	return add_text(msg, msg->unparsed, line);
}

int cut_text(struct sip_msg *msg, struct span text)
{
	if (del_lump(msg, text.s - msg->buf, text.len, 0))
		return 0;
	LM_ERR("no memory\n");
	return -1;
}

void cut_headers(struct sip_msg *msg, const char *name)
{
	struct hdr_field *h = NULL;

	while ((h = next_header(msg, name, h)))
		cut_text(msg, (struct span) { h->name.s, h->len });
}

int all_of(const struct sip_msg *msg, const char *name, char *buf, size_t size)
{
	struct hdr_field *h = NULL;
	size_t at = 0;

	*buf = '\0';
	while ((h = next_header(msg, name, h))) {
		int n = snprintf(buf + at, size - at, "%s%.*s", at ? ", " : "", h->body.len,
				 h->body.s);

		if (n < 0 || (size_t)n >= size - at) {
			*buf = '\0';
			return -1;
		}
		at += n;
	}
	return at;
}

str public_of(struct sip_msg *req)
{
	const str none = { NULL, 0 };

	if (!req->to || (!req->to->parsed && parse_to_header(req)))
		return none;
	return get_to(req)->uri;
}

bool owner_of(struct sip_msg *req, uint8_t *owner, size_t *len)
{
	struct hdr_field *h = next_header(req, "Authorization", NULL);
	struct span name = { NULL, 0 };
	str uri;

	/* Where it says none, the public identity with its scheme, which no private one has */
	if (!h || !text_param(header_text(h), "username", &name, NULL) || !name.len) {
		uri = public_of(req);
		name = (struct span) { uri.s, uri.len };
	}
	if (!name.len || name.len > IMSIPSEC_OWNER_MAX)
		return false;
	/* It goes into the log, where a line is a line. */
	for (size_t i = 0; i < name.len; i++) {
		if (iscntrl((unsigned char)name.s[i]))
			return false;
	}
	memcpy(owner, name.s, name.len);
	*len = name.len;
	return true;
}

static bool is_zero(str s)
{
	while (s.len && *s.s == '0') {
		s.s++;
		s.len--;
	}
	return !s.len;
}

bool is_deregister(struct sip_msg *req)
{
	bool zero = req->expires && is_zero(req->expires->body);
	contact_body_t *body;

	if (!req->contact)
		return false;
	if (!req->contact->parsed && parse_contact(req->contact) < 0)
		return false;
	body = req->contact->parsed;
	if (body->star)
		return true;
	/* One that stays is no end. */
	for (contact_t *c = body->contacts; c; c = c->next) {
		if (c->expires ? !is_zero(c->expires->body) : !zero)
			return false;
	}
	return body->contacts;
}
