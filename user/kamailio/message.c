// SPDX-License-Identifier: GPL-2.0-or-later
/* Headers, read and written. */
#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "core/data_lump.h"
#include "core/dprint.h"
#include "core/mem/mem.h"
#include "core/parser/contact/parse_contact.h"
#include "core/parser/parse_via.h"

#include "ims_ipsec.h"

static void own(struct hdr_field *own, struct hdr_field **h)
{
	memset(own, 0, sizeof(*own));
	if (!*h)
		return;
	*own = **h;
	own->parsed = NULL;
	*h = own;
}

int copy_begin(struct copy *copy, const struct sip_msg *msg)
{
	/* tm has all headers parsed before it puts a request there. */
	if ((msg->parsed_flag & HDR_EOH_F) != HDR_EOH_F || (msg->to && !msg->to->parsed)) {
		LIMITED(LM_ERR, "the request of the transaction is not parsed\n");
		return -1;
	}
	copy->msg = *msg;
	own(&copy->contact, &copy->msg.contact);
	own(&copy->expires, &copy->msg.expires);
	return 0;
}

void copy_end(struct copy *copy)
{
	clean_hdr_field(&copy->contact);
	clean_hdr_field(&copy->expires);
}

int over_of_request(const struct sip_msg *req, struct imsipsec_bundle *b)
{
	int err = kernel_over_known(req, b);
	struct copy copy;

	if (err != -EAGAIN)
		return err;
	if (copy_begin(&copy, req))
		return -ENOMEM;
	err = kernel_over(&copy.msg, b);
	copy_end(&copy);
	return err;
}

int add_headers(struct sip_msg *msg, const char *lines)
{
	struct lump *anchor;
	int len = strlen(lines);
	char *s;

	if (parse_headers(msg, HDR_EOH_F, 0) < 0)
		return -1;
	s = pkg_malloc(len);
	if (!s)
		goto no_memory;
	memcpy(s, lines, len);
	anchor = anchor_lump(msg, msg->unparsed - msg->buf, 0, 0);
	if (!anchor || !insert_new_lump_before(anchor, s, len, 0)) {
		pkg_free(s);
		goto no_memory;
	}
	return 0;

no_memory:
	LM_ERR("no memory\n");
	return -1;
}

struct via_body *last_via(struct sip_msg *msg)
{
	struct hdr_field *h, *last = NULL;
	struct via_body *via;

	if (parse_headers(msg, HDR_EOH_F, 0) < 0)
		return NULL;
	for (h = msg->headers; h; h = h->next) {
		if (h->type == HDR_VIA_T)
			last = h;
	}
	if (!last || !last->parsed)
		return NULL;
	for (via = last->parsed; via->next; via = via->next)
		;
	return via;
}

struct contact *first_contact(struct sip_msg *msg)
{
	contact_body_t *body;

	if (!msg->contact || (!msg->contact->parsed && parse_contact(msg->contact) < 0))
		return NULL;
	body = msg->contact->parsed;
	return body->contacts;
}

/* The quote that ends what the one at @s begins; NULL: none does */
static const char *closing_quote(const char *s, const char *end)
{
	for (s++; s < end && *s != '"'; s++) {
		if (*s == '\\')
			s++;
	}
	return s < end ? s : NULL;
}

static bool is_between(char c)
{
	return c && strchr(" \t\r\n", c);
}

str auth_param(const str *value, const char *name)
{
	const char *s = value->s, *end = s + value->len, *close;
	const int len = strlen(name);
	const str none = { NULL, 0 };
	str found = none;
	bool begins = true;

	/* What stands in quotes is no parameter, whatever it looks like. */
	for (; s < end; s++) {
		if (*s == '"') {
			s = closing_quote(s, end);
			if (!s)
				return none;
			begins = false;
		} else if (begins && end - s > len && !strncasecmp(s, name, len) &&
			   (s[len] == '=' || is_between(s[len]))) {
			for (s += len; s < end && (*s == '=' || is_between(*s)); s++)
				;
			/* Which of two counts, each reader has an idea of its own. */
			if (found.s || s == end || *s != '"')
				return none;
			close = closing_quote(s, end);
			if (!close)
				return none;
			found = (str) { (char *)s + 1, close - s - 1 };
			s = close;
			begins = false;
		} else {
			begins = *s == ',' || is_between(*s);
		}
	}
	return found;
}

int uri_host_port(char *buf, size_t size, const struct imsipsec_addr *addr, unsigned short port,
		  const char *more)
{
	char text[INET6_ADDRSTRLEN];
	bool six = addr->family == AF_INET6;

	imsipsec_addr_format(addr, text, sizeof(text));
	return snprintf(buf, size, "sip:%s%s%s:%u%s", six ? "[" : "", text, six ? "]" : "", port,
			more);
}
