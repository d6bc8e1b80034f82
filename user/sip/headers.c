// SPDX-License-Identifier: GPL-2.0-or-later
/* What a phone says in its headers. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "sip.h"

struct hdr_field *next_header(const struct sip_msg *msg, const char *name, struct hdr_field *from)
{
	struct hdr_field *h;

	for (h = from ? from->next : msg->headers; h; h = h->next) {
		if (h->name.len == (int)strlen(name) && !strncasecmp(h->name.s, name, h->name.len))
			return h;
	}
	return NULL;
}

struct imsipsec_secagree *secagree_of(const struct sip_msg *msg, const char *name)
{
	struct imsipsec_secagree *list = NULL;
	struct hdr_field *h = NULL;
	int err = -EINVAL;

	while ((h = next_header(msg, name, h))) {
		err = imsipsec_secagree_parse(&list, h->body.s, h->body.len);
		if (err && err != -EINVAL)
			break;
	}
	if (!err)
		return list;
	imsipsec_secagree_free(list);
	return NULL;
}

static bool has_param(const str *params, const char *name)
{
	int len = strlen(name);

	for (int i = 0; i + len <= params->len; i++) {
		if ((!i || params->s[i - 1] == ';') &&
		    !strncasecmp(params->s + i, name, len) &&
		    (i + len == params->len || strchr(";=", params->s[i + len])))
			return true;
	}
	return false;
}

bool registration_key(const struct phone_contact *contact, const struct imsipsec_addr *ue,
		      uint8_t *key, size_t *len)
{
	/* An emergency registration stands beside a normal one, TS 24.229 clause 5.1.6. */
	const char *sos = has_param(&contact->params, "sos") ? ";sos" : "";
	char text[INET6_ADDRSTRLEN];
	int n;

	if (contact->instance.len)
		n = snprintf((char *)key, IMSIPSEC_CONTACT_MAX, "%.*s;reg-id=%.*s%s%s",
			     contact->instance.len, contact->instance.s, contact->reg_id.len,
			     contact->reg_id.s ?: "", ue->family == AF_INET6 ? ";inet6" : "", sos);
	else
		n = snprintf((char *)key, IMSIPSEC_CONTACT_MAX, "%.*s@%s%s", contact->user.len,
			     contact->user.s ?: "", imsipsec_addr_format(ue, text, sizeof(text)),
			     sos);
	if (n <= 0 || n >= IMSIPSEC_CONTACT_MAX)
		return false;
	*len = n;
	return true;
}
