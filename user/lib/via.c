// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Via of RFC 3261, as far as the address of its sender:
 *
 *	via-parm	= protocol "/" version "/" transport LWS sent-by ...
 *	sent-by		= host [ ":" port ]
 *	host		= hostname / IPv4address / "[" IPv6address "]"
 *
 * with blanks and folds allowed around the separators, but not within host.
 */
#include <errno.h>
#include <string.h>

#include "internal.h"
#include "text.h"

#define PORT_SIP	5060
#define PORT_SIPS	5061

static bool is_host_char(char c)
{
	/* The underscore is not in the grammar, but in the field. */
	return is_token_char(c) && !strchr("!%*+`'~", c);
}

static bool is_ipv6_char(char c)
{
	return c == ':' || c == '.' || (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') ||
	       (c >= 'A' && c <= 'F');
}

/* "SIP/2.0/UDP "; gives the transport. */
static int parse_protocol(struct text *t, struct text *transport)
{
	struct text part;
	int i;

	for (i = 0; i < 3; i++) {
		skip_lws(t);
		if (i && !at(t, '/'))
			return -EINVAL;
		t->p += !!i;
		skip_lws(t);
		part = take(t, is_token_char);
		if (is_empty(&part))
			return -EINVAL;
	}
	skip_lws(t);
	/* What stands between the transport and the host */
	if (t->p == part.end)
		return -EINVAL;
	*transport = part;
	return 0;
}

static int parse_addr(const struct text *text, bool ipv6, struct imsipsec_addr *addr)
{
	char buf[INET6_ADDRSTRLEN];

	if (length(text) >= sizeof(buf) || !memchr(text->p, ':', length(text)) == ipv6)
		return -EINVAL;
	memcpy(buf, text->p, length(text));
	buf[length(text)] = '\0';
	return imsipsec_addr_parse(addr, buf);
}

static bool is_name_char(char c)
{
	return is_host_char(c) && c != '.';
}

/* Labels with points between them, and perhaps behind; the last one begins with a letter. */
static bool is_host_name(struct text host)
{
	struct text label = { NULL, NULL };

	do {
		struct text next = take(&host, is_name_char);

		if (is_empty(&next))
			break;
		label = next;
		if (at(&host, '.'))
			host.p++;
		else
			break;
	} while (!is_empty(&host));
	return is_empty(&host) && !is_empty(&label) && (*label.p < '0' || *label.p > '9') &&
	       *label.p != '-';
}

static int parse_host(struct text *t, struct imsipsec_addr *addr)
{
	struct text host;

	if (at(t, '[')) {
		t->p++;
		host = take(t, is_ipv6_char);
		if (!at(t, ']'))
			return -EINVAL;
		t->p++;
		return parse_addr(&host, true, addr);
	}
	host = take(t, is_host_char);
	if (!parse_addr(&host, false, addr))
		return 0;
	return is_host_name(host) ? -EAFNOSUPPORT : -EINVAL;
}

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static int parse_port(struct text *t, uint16_t *port)
{
	struct text digits;
	uint32_t n;

	skip_lws(t);
	if (!at(t, ':'))
		return 0;
	t->p++;
	skip_lws(t);
	digits = take(t, is_digit);
	if (is_empty(&digits) || parse_number(&digits, UINT16_MAX, &n) || !n)
		return -EINVAL;
	*port = n;
	return 0;
}

int imsipsec_via_sent_by(const char *via, size_t len, struct imsipsec_addr *addr, uint16_t *port)
{
	struct text t = { via, via + len }, transport;
	struct imsipsec_addr a = { 0 };
	uint16_t p;
	int err, host;

	err = parse_protocol(&t, &transport);
	if (err)
		return err;
	p = imsipsec_name_equal("tls", transport.p, length(&transport)) ||
	    imsipsec_name_equal("tls-sctp", transport.p, length(&transport)) ? PORT_SIPS : PORT_SIP;
	host = parse_host(&t, &a);
	if (host && host != -EAFNOSUPPORT)
		return host;
	/* Malformed is malformed, whatever the host is. */
	err = parse_port(&t, &p);
	if (err)
		return err;
	skip_lws(&t);
	if (!at_element_end(&t) && !at(&t, ';'))
		return -EINVAL;
	if (host)
		return host;
	*addr = a;
	if (port)
		*port = p;
	return 0;
}

int imsipsec_via_is_natted(const char *via, size_t len, const struct imsipsec_addr *source,
			   bool *natted)
{
	const struct imsipsec_addr b = imsipsec_addr_unmapped(source);
	struct imsipsec_addr a;
	int err;

	err = imsipsec_via_sent_by(via, len, &a, NULL);
	if (err)
		return err;
	*natted = !imsipsec_addr_equal(&a, &b);
	return 0;
}
