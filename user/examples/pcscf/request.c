// SPDX-License-Identifier: LGPL-2.1-or-later
#include <stdio.h>
#include <string.h>

#include <imsipsec.h>

#include "bundle.h"
#include "options.h"
#include "request.h"
#include "sip.h"

/* A host in a URI or in Via */
static const char *host_of(const struct imsipsec_addr *addr, char *buf, size_t size)
{
	snprintf(buf, size, addr->family == AF_INET6 ? "[%s]" : "%s", ADDR(addr));
	return buf;
}

/*
 * It goes where Contact says. The UE sends its answer from port_uc to port_ps (TS 33.203
 * clause 7.1): that is what Via names, whatever port the request leaves from.
 */
void request_options(const struct ue *ue)
{
	static unsigned int n;
	struct imsipsec_found found;
	const struct ue *now;
	char host[64], text[2048];
	int len;

	if (!*ue->uri ||
	    imsipsec_tx(cache, ue->owner, strlen(ue->owner), ue->contact, strlen(ue->contact),
			&found))
		return;
	now = ue_of_bundle(found.bundle->id);
	if (!now)
		return;
	host_of(&ue->local->address, host, sizeof(host));
	n++;
	len = snprintf(text, sizeof(text),
		       "OPTIONS %s SIP/2.0\r\n"
		       "Via: SIP/2.0/UDP %s:%u;branch=z9hG4bK-%u-%u\r\n"
		       "Max-Forwards: 70\r\n"
		       "From: <sip:%s>;tag=%u\r\n"
		       "To: <sip:%s>\r\n"
		       "Call-ID: %u-%u@%s\r\n"
		       "CSeq: %u OPTIONS\r\n"
		       "Content-Length: 0\r\n\r\n",
		       ue->uri, host, opt.port_ps, now->bundle, n, opt.realm, n, ue->owner,
		       now->bundle, n, opt.realm, n);
	if (len < 0 || (size_t)len >= sizeof(text))
		return;
	log("OPTIONS over bundle %u to %s", now->bundle, ue->uri);
	ue_send(now, sip_uri_port(ue->uri), text, (size_t)len);
}
