// SPDX-License-Identifier: LGPL-2.1-or-later
#include <stdlib.h>
#include <string.h>

#include "options.h"
#include "ue.h"

struct ue *ues;
static size_t n_ues;

struct ue *ue_new(struct net_local *local, enum ue_state state)
{
	struct ue *ue = n_ues < UES_MAX ? calloc(1, sizeof(*ue)) : NULL;

	if (!ue)
		return NULL;
	ue->local = local;
	ue->state = state;
	ue->next = ues;
	ues = ue;
	n_ues++;
	return ue;
}

void ue_drop(struct ue *ue)
{
	struct ue **p = &ues;

	while (*p != ue)
		p = &(*p)->next;
	*p = ue->next;
	n_ues--;
	imsipsec_secagree_free(ue->client);
	imsipsec_secagree_free(ue->server);
	free(ue->request);
	free(ue->last_answer);
	explicit_bzero(ue, sizeof(*ue));
	free(ue);
}

struct ue *ue_of_bundle(uint32_t id)
{
	struct ue *ue = ues;

	while (ue && ue->bundle != id)
		ue = ue->next;
	return ue;
}

static enum net_socket socket_at(uint16_t port_pc)
{
	size_t i;

	for (i = 0; i + 1 < opt.n_port_pc && opt.port_pc[i] != port_pc; i++)
		;
	return (enum net_socket)(NET_UDP_PC + i);
}

void ue_send(const struct ue *ue, uint16_t port, const char *text, size_t len)
{
	if (port == ue->port_uc)
		net_send(ue->local, NET_UDP_PS, &ue->address, port, ue->mark, text, len);
	else
		net_send(ue->local, socket_at(ue->port_pc), &ue->address, ue->port_us, ue->mark,
			 text, len);
}
