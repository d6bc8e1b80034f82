// SPDX-License-Identifier: GPL-2.0-only
/*
 * Which bundle a message came over, and which one to send over: what a SIP server asks for each
 * message. So nothing here takes longer the more bundles there are.
 */
#include <linux/netlink.h>

#include "bundle.h"
#include "claim.h"
#include "endpoint.h"
#include "find.h"
#include "netns.h"
#include "sa.h"
#include "ues.h"

/* How many bundles with one UE's address and port are looked at; others may be there, too, then. */
#define IMS_FIND_MAX	64u

/**
 * struct ims_find - a search among bundles that have a UE's address and port
 * @t: what leaves over the bundle that is meant; without the source, any
 * @flow: enum ims_flow of that
 * @is_meant: is a bundle one of those that are looked for?
 * @best: the best one so far
 * @several: another registration has one as well
 * @cut: there were more than are looked at
 * @n: how many have been looked at
 */
struct ims_find {
	const struct ims_tuple *t;
	enum ims_flow flow;
	bool (*is_meant)(const struct ims_find *f, const struct ims_bundle *b);
	struct ims_bundle *best;
	bool several;
	bool cut;
	unsigned int n;
};

static bool ims_find_is_active(const struct ims_bundle *b)
{
	return READ_ONCE(b->state) == IMS_IPSEC_STATE_ACTIVE;
}

/* Can a message have come over it? One that has proved nothing has not received any yet. */
static int ims_find_rank(const struct ims_bundle *b)
{
	return READ_ONCE(b->proven) + ims_find_is_active(b);
}

/* Of those that a message may have come over: the one in use, else the newest */
static bool ims_find_is_better(const struct ims_bundle *b, const struct ims_bundle *best)
{
	const int rank = ims_find_rank(b), other = ims_find_rank(best);

	return rank != other ? rank > other : ims_bundle_is_older(best, b);
}

/* Goes through all: what it returns is not what was found. */
static bool ims_find_look(const struct ims_bundle *b, const void *data)
{
	struct ims_find *f = (struct ims_find *)data;
	struct ims_bundle *best = f->best;

	if (f->n++ == IMS_FIND_MAX) {
		f->cut = true;
		return true;
	}
	if (!f->is_meant(f, b))
		return false;
	if (best && best->reg != b->reg) {
		/* nobody who has proved nothing is in the way of one who has */
		if (READ_ONCE(best->proven) == READ_ONCE(b->proven))
			f->several = true;
		else if (READ_ONCE(b->proven))
			f->several = false;
	}
	if (!best || ims_find_is_better(b, best))
		f->best = (struct ims_bundle *)b;
	return false;
}

static bool ims_find_is_between(const struct ims_find *f, const struct ims_bundle *b)
{
	return ims_sa_covers(b->sa[f->flow], f->t);
}

/* All that have the port of the UE, of a kind: there are many of those that have a mark. */
static void ims_find_walk(struct ims_net *in, struct ims_find *f, enum ims_ues_who who)
{
	const struct ims_tuple *t = f->t;

	f->n = 0;
	if (f->flow == IMS_FLOW_OUT_UC)
		ims_ues_find_uc(in, &t->dst, t->dport, who, ims_find_look, f);
	else
		ims_ues_find_us(in, &t->dst, t->dport, who, t->sport, NULL, ims_find_look, f);
}

/* Those of the registration that has TCP between these ends */
static void ims_find_holder(struct ims_net *in, struct ims_find *f)
{
	struct ims_bundle *o, *holder = ims_claim_tcp_of(in, f->t);
	int i;

	f->best = NULL;
	for (i = 0; holder && i < IMS_IPSEC_SETS_MAX; i++) {
		o = holder->reg->set[i];
		if (o && ims_find_is_between(f, o) &&
		    (!f->best || ims_find_is_better(o, f->best)))
			f->best = o;
	}
}

/**
 * ims_find_tuple() - the bundle that a message came over, by its addresses and ports
 * @in: where
 * @t: what an answer would have: ours are the source's
 * @tcp_only: set if others have these addresses and ports as well: then TCP alone is the bundle's
 * @extack: gets the reason
 *
 * Context: process, @in->lock held.
 * Return: the active one, else the newest; none whose TCP is dropped; or an ERR_PTR: -ENOENT,
 * -ENOTUNIQ if several registrations have these, and none has TCP.
 */
struct ims_bundle *ims_find_tuple(struct ims_net *in, const struct ims_tuple *t, bool *tcp_only,
				  struct netlink_ext_ack *extack)
{
	struct ims_find f = { .t = t, .is_meant = ims_find_is_between };

	lockdep_assert_held(&in->lock);

	for (f.flow = IMS_FLOW_OUT_UC; f.flow <= IMS_FLOW_OUT_US; f.flow++) {
		ims_find_walk(in, &f, IMS_UES_UNMARKED);
		ims_find_walk(in, &f, IMS_UES_MARKED);
		if (f.best || f.cut)
			break;
	}
	*tcp_only = f.several || f.cut;
	if (*tcp_only) {
		ims_find_holder(in, &f);
		if (!f.best) {
			NL_SET_ERR_MSG(extack,
				       "several registrations have these addresses and ports");
			return ERR_PTR(-ENOTUNIQ);
		}
	}
	if (!f.best || ims_claim_is_udp_only(f.best)) {
		NL_SET_ERR_MSG(extack, "no bundle has these addresses and ports");
		return ERR_PTR(-ENOENT);
	}
	return f.best;
}

/**
 * ims_find_spi() - the bundle that has an inbound SPI
 * @in: where
 * @spi: the SPI
 *
 * Context: process, @in->lock held.
 * Return: the bundle or NULL.
 */
struct ims_bundle *ims_find_spi(struct ims_net *in, __be32 spi)
{
	lockdep_assert_held(&in->lock);

	return xa_load(&in->spis, ntohl(spi));
}

/**
 * ims_find_mark() - the bundle that a mark is of
 * @in: where
 * @mark: the mark; bits that are none of ours do not count
 *
 * Context: process, @in->lock held.
 * Return: the bundle or NULL.
 */
struct ims_bundle *ims_find_mark(struct ims_net *in, u32 mark)
{
	const u32 mask = in->config.mark_mask;
	const struct ims_registration *reg;

	lockdep_assert_held(&in->lock);

	if (!mask)
		return NULL;
	mark = (mark & mask) >> __ffs(mask);
	reg = xa_load(&in->registration_ids, mark / IMS_IPSEC_SETS_MAX);
	return reg ? reg->set[mark % IMS_IPSEC_SETS_MAX] : NULL;
}

/* Does it tell of a registration that it has the UE's port? At our address, if that is said */
static bool ims_find_may_send(const struct ims_find *f, const struct ims_bundle *b)
{
	return ims_bundle_is_current(b) &&
	       (!f->t->src.family || ims_addr_equal(&f->t->src, &b->ep->addr));
}

/**
 * ims_find_tx_at() - the bundle to send over to a UE's port
 * @in: where
 * @local: our address; AF_UNSPEC: any
 * @ue_addr: the UE's address
 * @ue_port: one of its ports
 * @extack: gets the reason
 *
 * Context: process, @in->lock held.
 * Return: that of the registration which has the port, or an ERR_PTR: -ENOENT, -ENOTUNIQ if
 * several have.
 */
struct ims_bundle *ims_find_tx_at(struct ims_net *in, const struct ims_addr *local,
				  const struct ims_addr *ue_addr, __be16 ue_port,
				  struct netlink_ext_ack *extack)
{
	const struct ims_tuple t = { .src = *local, .dst = *ue_addr, .dport = ue_port };
	struct ims_find f = { .t = &t, .is_meant = ims_find_may_send };

	lockdep_assert_held(&in->lock);

	for (f.flow = IMS_FLOW_OUT_UC; f.flow <= IMS_FLOW_OUT_US; f.flow++) {
		ims_find_walk(in, &f, IMS_UES_UNMARKED);
		ims_find_walk(in, &f, IMS_UES_MARKED);
	}
	if (f.several || f.cut) {
		NL_SET_ERR_MSG(extack, "several registrations have the UE's address and port");
		return ERR_PTR(-ENOTUNIQ);
	}
	if (!f.best) {
		NL_SET_ERR_MSG(extack, "no confirmed bundle has the UE's address and port");
		return ERR_PTR(-ENOENT);
	}
	return ims_registration_sent_over(f.best->reg, NULL);
}
