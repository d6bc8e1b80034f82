// SPDX-License-Identifier: LGPL-2.1-or-later
/* IP addresses: from and to text, compared. */
#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "internal.h"

/* A socket of both families has IPv4 addresses in the form of IPv6 (RFC 4291 clause 2.5.5.2). */
struct imsipsec_addr imsipsec_addr_unmapped(const struct imsipsec_addr *addr)
{
	struct imsipsec_addr a = { .family = AF_INET };

	if (addr->family != AF_INET6 || !IN6_IS_ADDR_V4MAPPED(&addr->in6))
		return *addr;
	memcpy(&a.in, &addr->in6.s6_addr[12], sizeof(a.in));
	return a;
}

int imsipsec_addr_parse(struct imsipsec_addr *addr, const char *text)
{
	struct imsipsec_addr a = { 0 };
	char buf[INET6_ADDRSTRLEN];
	size_t len;

	if (inet_pton(AF_INET, text, &a.in) == 1) {
		a.family = AF_INET;
		*addr = a;
		return 0;
	}

	len = strlen(text);
	if (len >= 2 && text[0] == '[' && text[len - 1] == ']') {
		text++;
		len -= 2;
	}
	if (len >= sizeof(buf))
		return -EINVAL;
	memcpy(buf, text, len);
	buf[len] = '\0';
	if (inet_pton(AF_INET6, buf, &a.in6) != 1)
		return -EINVAL;
	a.family = AF_INET6;
	*addr = imsipsec_addr_unmapped(&a);
	return 0;
}

const char *imsipsec_addr_format(const struct imsipsec_addr *addr, char *buf, size_t size)
{
	const struct imsipsec_addr a = imsipsec_addr_unmapped(addr);

	if (!size)
		return buf;
	/* The members of the union begin where it begins. */
	if (!inet_ntop(a.family, &a.in, buf, size))
		snprintf(buf, size, "?");
	return buf;
}

bool imsipsec_addr_equal(const struct imsipsec_addr *a, const struct imsipsec_addr *b)
{
	if (a->family != b->family)
		return false;
	if (a->family == AF_INET)
		return a->in.s_addr == b->in.s_addr;
	return IN6_ARE_ADDR_EQUAL(&a->in6, &b->in6);
}
