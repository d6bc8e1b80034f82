// SPDX-License-Identifier: GPL-2.0-or-later
/* What the module is set to, what it uses of other modules, and which sockets and addresses are its own. */
#include "proto_ims_ipsec.h"

#define DEFAULT_PORT	5062

struct settings settings = {
	.port = DEFAULT_PORT,
	.min_spi = 65536,
	.max_spi = 262144,
	.temporary_timeout = 30,
	.linger = 40,
	.mark_mask = -1,
};
usrloc_api_t ul;
struct tm_binds tmb;

bool is_hidden(const struct socket_info *si)
{
	return si && si->flags & SI_INTERNAL && si->internal_proto == PROTO_IPSEC;
}

struct gm *gm_of(const struct ip_addr *ip)
{
	for (int i = 0; i < settings.n_gm; i++) {
		if (ip_addr_cmp((struct ip_addr *)ip, &settings.gm[i].ip))
			return &settings.gm[i];
	}
	return NULL;
}
