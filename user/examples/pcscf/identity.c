// SPDX-License-Identifier: LGPL-2.1-or-later
/* Who a message names, and whether it may. */
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include <imsipsec.h>

#include "identity.h"

/* Is that the public identity of @owner? This home gives each IMPI one, "sip:" before it. */
static bool is_identity_of(const char *header, const char *owner)
{
	char uri[256];

	return sip_uri(header, uri, sizeof(uri)) && !strncasecmp(uri, "sip:", 4) &&
	       strcspn(uri + 4, ";?") == strlen(owner) &&
	       !memcmp(uri + 4, owner, strlen(owner));
}

bool impi_of(const struct sip_msg *msg, char *buf, size_t size)
{
	const char *authorization = sip_header(msg, "Authorization", NULL);
	char uri[256];

	if (authorization)
		return sip_digest_param(authorization, "username", buf, size) && *buf;
	return sip_uri(sip_header(msg, "To", NULL), uri, sizeof(uri)) &&
	       !strncmp(uri, "sip:", 4) && (size_t)snprintf(buf, size, "%s", uri + 4) < size;
}

bool names_only(const struct sip_msg *msg, const char *owner)
{
	static const char *const public[] = { "From", "P-Preferred-Identity", "To" };
	/* To says whom a REGISTER registers. */
	const size_t n = strcmp(msg->method, "REGISTER") ? 2 : 3;
	const char *authorization = sip_header(msg, "Authorization", NULL), *value;
	char name[IMSIPSEC_OWNER_MAX + 1];

	if (authorization && (!sip_digest_param(authorization, "username", name, sizeof(name)) ||
			      strcmp(name, owner)))
		return false;
	for (size_t i = 0; i < n; i++) {
		size_t next = 0;

		while ((value = sip_header(msg, public[i], &next))) {
			/* one to a header */
			if (!is_identity_of(value, owner) || strchr(value, '>') != strrchr(value, '>'))
				return false;
		}
	}
	return true;
}
