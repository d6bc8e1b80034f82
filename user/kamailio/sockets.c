// SPDX-License-Identifier: GPL-2.0-or-later
/* Addresses and ports: those that are protected, and what is sent to the core from. */
#include <stdio.h>
#include <string.h>

#include "core/dprint.h"
#include "core/mem/mem.h"
#include "core/resolve.h"

#include "compat.h"
#include "ims_ipsec.h"

struct gm *gm_of(const struct ip_addr *ip)
{
	for (int i = 0; i < settings.n_gm; i++) {
		if (ip_addr_cmp(&settings.gm[i].ip, ip))
			return &settings.gm[i];
	}
	return NULL;
}

bool is_trusted(const struct ip_addr *ip)
{
	struct ip_addr copy = *ip;

	for (int i = 0; i < settings.n_trusted; i++) {
		if (matchnet(&copy, &settings.trusted_nets[i]) == 1)
			return true;
	}
	return false;
}

/* The pool has all from its first to its last, but for port_ps where that is between them. */
static bool is_port(unsigned short port)
{
	return port == settings.port_ps || (port >= settings.port_pc[0] &&
					    port <= settings.port_pc[settings.n_port_pc - 1]);
}

bool is_protected(const struct ip_addr *ip, unsigned short port)
{
	return is_port(port) && gm_of(ip);
}

/* ims_ipsec_pcscf names its sockets so: what a configuration calls them stays right. */
static char *socket_name(char kind, const struct gm *gm, int proto)
{
	char *name;

	if (!settings.listen_name.len)
		return NULL;
	name = pkg_malloc(settings.listen_name.len + 8);
	if (name)
		sprintf(name, "%.*s%c%c%s", settings.listen_name.len, settings.listen_name.s, kind,
			gm->ip.af == AF_INET ? '4' : '6', proto == PROTO_TCP ? "tcp" : "udp");
	return name;
}

static int listen_at(struct gm *gm, unsigned short port, char kind, bool named)
{
	static const int protos[] = { PROTO_TCP, PROTO_UDP };

	for (int i = 0; i < 2; i++) {
		char *name = named ? socket_name(kind, gm, protos[i]) : NULL;

		/* Kamailio keeps the name. */
		if (compat_listen(&gm->text, port, protos[i], name, &settings.listen_group) < 0) {
			LM_ERR("Kamailio cannot listen at %.*s port %u: is there a listen= for it "
			       "as well?\n",
			       gm->text.len, gm->text.s, port);
			return -1;
		}
	}
	return 0;
}

int sockets_listen(void)
{
	for (int i = 0; i < settings.n_gm; i++) {
		struct gm *gm = &settings.gm[i];

		for (int j = 0; j < settings.n_port_pc; j++) {
			if (listen_at(gm, settings.port_pc[j], 'c', !j))
				return -1;
		}
		if (listen_at(gm, settings.port_ps, 's', true))
			return -1;
	}
	if (fix_all_socket_lists()) {
		LM_ERR("Kamailio cannot listen at the protected ports\n");
		return -1;
	}
	return 0;
}

/* --- The core */

static struct socket_info *core_socket;

int core_socket_find(void)
{
	if (!settings.core_socket.len)
		return 0;
	core_socket = ksr_get_socket_by_listen(&settings.core_socket);
	if (!core_socket)
		core_socket = ksr_get_socket_by_name(&settings.core_socket);
	if (!core_socket) {
		LM_ERR("core_socket: Kamailio does not listen at %.*s\n", settings.core_socket.len,
		       settings.core_socket.s);
		return -1;
	}
	return 0;
}

/*
 * Of the address that the message came to, else of none that UEs talk to, else any: whatever is not
 * protected. Where the next hop is of another family, Kamailio takes a socket of that one.
 */
struct socket_info *core_socket_for(const struct ip_addr *gm, int proto)
{
	struct socket_info **list, *best = NULL, *si;
	int best_rank = 0;

	if (core_socket)
		return core_socket;
	list = get_sock_info_list(proto);
	for (si = list ? *list : NULL; si; si = si->next) {
		int rank;

		if (is_protected(&si->address, si->port_no) || (si->flags & SI_IS_MCAST) ||
		    (si->flags & SI_IS_LO))
			continue;
		rank = ip_addr_cmp(&si->address, gm) ? 3 : gm_of(&si->address) ? 1 : 2;
		if (rank > best_rank) {
			best_rank = rank;
			best = si;
		}
	}
	return best;
}
