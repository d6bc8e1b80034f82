// SPDX-License-Identifier: GPL-2.0-only
/* imsipsec check: what an endpoint has. */
#include <stdio.h>
#include <string.h>

#include "check.h"

/* Is a port one of the endpoint's? */
bool check_has_port(const struct imsipsec_endpoint *e, uint16_t port)
{
	size_t i;

	for (i = 0; i < e->n_port_pc; i++)
		if (e->port_pc[i] == port)
			return true;
	return e->port_ps == port;
}

/* Has any endpoint an address of that family? */
bool check_has_family(const struct check *c, int family)
{
	size_t i;

	for (i = 0; i < c->n_endpoints; i++)
		if (c->endpoints[i].address.family == family)
			return true;
	return false;
}

/* Of "192.0.2.0/24%eth1" */
bool check_get_trusted(const char *text, struct imsipsec_addr *address, unsigned int *length)
{
	char buf[INET6_ADDRSTRLEN];
	const size_t len = strcspn(text, "/");

	if (len >= sizeof(buf) || sscanf(text + len, "/%u%%", length) != 1)
		return false;
	memcpy(buf, text, len);
	buf[len] = '\0';
	return !imsipsec_addr_parse(address, buf);
}
