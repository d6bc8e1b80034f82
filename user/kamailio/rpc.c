// SPDX-License-Identifier: GPL-2.0-or-later
/* ims_ipsec.list and ims_ipsec.stats, for kamcmd and kamctl. */
#include <errno.h>
#include <string.h>

#include "core/dprint.h"
#include "core/rpc.h"

#include "ims_ipsec.h"

struct listing {
	rpc_t *rpc;
	void *ctx;
	const str *owner;
};

static int add_set(const struct imsipsec_bundle *b, void *data)
{
	struct listing *l = data;
	char text[INET6_ADDRSTRLEN];
	str owner = { (char *)b->owner, b->owner_len },
	    contact = { (char *)b->contact, b->contact_len };
	void *set;

	if (l->rpc->add(l->ctx, "{", &set) < 0)
		return -1;
	return l->rpc->struct_add(
		       set, "uSSsssuuuuuuuuu", "id", b->id, "owner", &owner, "contact", &contact,
		       "state", imsipsec_state_name(b->state), "pair", imsipsec_alg_name(b->alg),
		       "ue", imsipsec_addr_format(&b->ue_address, text, sizeof(text)), "port-uc",
		       b->port_uc, "port-us", b->port_us, "port-pc", b->port_pc, "port-ps",
		       b->port_ps, "spi-uc", b->spi_uc, "spi-us", b->spi_us, "spi-pc", b->spi_pc,
		       "spi-ps", b->spi_ps, "lifetime", (unsigned int)(b->lifetime / 1000)) < 0
		       ? -1
		       : 0;
}

/* All sets, or those of a subscriber: its argument */
static void list(rpc_t *rpc, void *ctx)
{
	struct imsipsec_bundle_filter filter = { 0 };
	struct listing l = { .rpc = rpc, .ctx = ctx };
	bool tried = false;
	str owner;
	int err;

	if (rpc->scan(ctx, "*S", &owner) == 1) {
		filter.owner = owner.s;
		filter.owner_len = owner.len;
	}
	if (!kernel()) {
		rpc->fault(ctx, 500,
			   "the kernel module ims_ipsec cannot be reached, as the log says");
		return;
	}
	do
		err = imsipsec_bundle_dump(kernel(), &filter, add_set, &l);
	while (kernel_again(err, &tried));
	if (err) {
		kernel_failed("ims_ipsec.list", err);
		rpc->fault(ctx, 500, "the sets cannot be listed, as the log says");
	}
}

static void stats(rpc_t *rpc, void *ctx)
{
	const struct imsipsec_stats *s;
	bool tried = false;
	int err = -EIO;
	void *all;

	if (kernel()) {
		do
			err = imsipsec_stats_get(kernel(), &s);
		while (kernel_again(err, &tried));
		if (err)
			kernel_failed("ims_ipsec.stats", err);
	}
	if (err) {
		rpc->fault(ctx, 500,
			   "the kernel module ims_ipsec cannot be reached, as the log says");
		return;
	}
	if (rpc->add(ctx, "{", &all) < 0)
		return;
	rpc->struct_add(all, "uuuuuuuuuuu", "endpoints", s->endpoints, "registrations",
			s->registrations, "bundles", s->bundles, "pending", s->pending,
			"max-bundles", s->max_bundles, "created", (unsigned int)s->created,
			"refused", (unsigned int)s->refused, "confirmed",
			(unsigned int)s->confirmed, "superseded", (unsigned int)s->superseded,
			"expired", (unsigned int)s->expired, "deleted", (unsigned int)s->deleted);
}

static const char *const list_doc[] = {
	"Sets of SAs, all or those of a subscriber (private identity)", NULL
};
static const char *const stats_doc[] = { "What there is and what was done", NULL };

rpc_export_t rpc_commands[] = {
	{ "ims_ipsec.list", list, (const char **)list_doc, RET_ARRAY },
	{ "ims_ipsec.stats", stats, (const char **)stats_doc, 0 },
	{ 0 }
};
