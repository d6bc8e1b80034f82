// SPDX-License-Identifier: GPL-2.0-only
/*
 * What only one bundle of several can have, and which one has it: a place in XFRM's tables for
 * an outbound SA, which is its address and SPI; an unmarked flow; TCP between two ends.
 *
 * Whoever asks for a bundle has proved nothing yet, so that nobody loses any of this to a
 * request. It changes hands with the first packet that a bundle's inbound SA has authenticated,
 * before anybody answers that packet, or with the 200 OK.
 */
#include <net/xfrm.h>

#include "bundle.h"
#include "claim.h"
#include "clear.h"
#include "compat.h"
#include "endpoint.h"
#include "nat.h"
#include "netns.h"
#include "offload.h"
#include "registration.h"
#include "sa.h"
#include "ues.h"

#define IMS_CLAIM_FLOWS	(IMS_FLOW_OUT_US + 1)

/*
 * How many others may contend for what one has. They are gone through with struct
 * ims_net.state_lock held, and anybody may ask for bundles.
 */
#define IMS_CLAIM_RIVALS_MAX	64u

/**
 * ims_bundle_source() - the address that a bundle's UE is reached at
 * @b: the bundle
 *
 * Context: struct ims_net.lock or .state_lock held.
 * Return: its NAT's address, or its own where there is no tunnel.
 */
struct ims_addr ims_bundle_source(const struct ims_bundle *b)
{
	struct ims_tuple t;

	if (b->nat)
		return b->nat->addr;
	ims_bundle_tuple(b, IMS_FLOW_OUT_UC, &t);
	return t.dst;
}

/**
 * ims_bundle_is_fact() - did a bundle's request come from the UE's address
 * @b: the bundle
 *
 * Context: any.
 * Return: false if that address is within a tunnel which comes from elsewhere, and is only said.
 */
bool ims_bundle_is_fact(const struct ims_bundle *b)
{
	return !b->nat || b->nat->is_fact;
}

static bool ims_bundle_is_unmarked(const struct ims_bundle *b)
{
	return !ims_nat_is_marked(b);
}

/* The newer one of the same subscriber at the same address: see ims_bundle_confirm() */
static bool ims_claim_succeeds(const struct ims_bundle *b, const struct ims_bundle *o)
{
	const struct ims_name name = ims_registration_name(o->reg);
	const struct ims_addr source = ims_bundle_source(b), other = ims_bundle_source(o);

	return ims_registration_has_owner(b->reg, &name) && ims_addr_equal(&source, &other) &&
	       ims_bundle_is_older(o, b);
}

static bool ims_claim_same_flow(const struct ims_bundle *a, const struct ims_bundle *b,
				enum ims_flow flow)
{
	return ims_bundle_is_unmarked(a) && ims_bundle_is_unmarked(b) &&
	       ims_sa_same_selector(a->sa[flow], b->sa[flow]);
}

/* --- Who is in the way */

/* Another registration's, at the same UE's port, or between it and one of ours? */
static bool ims_claim_has_ports(const struct ims_bundle *o, const struct ims_claimant *c)
{
	struct ims_tuple uc, us;

	ims_bundle_tuple(o, IMS_FLOW_OUT_UC, &uc);
	ims_bundle_tuple(o, IMS_FLOW_OUT_US, &us);
	return uc.dport == c->port_uc || (o->ep == c->ep && us.dport == c->port_us &&
					  us.sport == c->port_pc);
}

/* Has one of its outbound SAs the place in XFRM's tables that one of @b's has? */
static bool ims_claim_has_places(const struct ims_bundle *o, const struct ims_bundle *b)
{
	enum ims_flow i, j;

	for (i = 0; i < IMS_CLAIM_FLOWS; i++)
		for (j = 0; j < IMS_CLAIM_FLOWS; j++)
			if (ims_sa_same_place(o->sa[i], b->sa[j]))
				return true;
	return false;
}

/* Another registration of the same subscriber's, of a UE at the same address? */
static bool ims_claim_is_same_ue(const struct ims_bundle *o, const struct ims_claimant *c)
{
	const struct ims_addr source = ims_bundle_source(o);

	return ims_registration_has_owner(o->reg, &c->name) &&
	       !ims_registration_is(o->reg, &c->name) && ims_addr_equal(&source, &c->source);
}

/*
 * Has another owner the UE's ports, and keeps them? Where the two are told apart by a mark he has
 * not, nor as long as he has proved nothing: anybody may have asked for that bundle. What he only
 * says to be his address, he has proved to be a UE's at best: that keeps out who says the same, and
 * nobody who comes from there.
 */
static bool ims_claim_is_owner(const struct ims_bundle *o, const void *data)
{
	const struct ims_claimant *c = data;

	if (ims_registration_is(o->reg, &c->name) || c->is_marked ||
	    !ims_bundle_is_unmarked(o) || !ims_claim_has_ports(o, c) ||
	    ims_claim_is_same_ue(o, c))
		return false;
	return o->proven && (ims_bundle_is_fact(o) || !ims_addr_equal(&c->ue_addr, &c->source));
}

/* Of those without a mark one that has the ports, see ims_claim_has_ports(), and matches */
static struct ims_bundle *ims_claim_find_at_ports(struct ims_net *in,
						  const struct ims_claimant *c,
						  ims_ues_match *match)
{
	struct ims_bundle *o;

	o = ims_ues_find_uc(in, &c->ue_addr, c->port_uc, IMS_UES_UNMARKED, match, c);
	return o ?: ims_ues_find_us(in, &c->ue_addr, c->port_us, IMS_UES_UNMARKED, c->port_pc,
				    c->ep, match, c);
}

/**
 * ims_claim_find_owner() - who has the ports of the UE that a bundle is asked for
 * @in: where
 * @c: what is asked for
 *
 * Context: process, @in->lock held.
 * Return: a bundle of another registration that keeps out the new one, or NULL.
 */
struct ims_bundle *ims_claim_find_owner(struct ims_net *in, const struct ims_claimant *c)
{
	/* see ims_claim_is_owner() */
	return c->is_marked ? NULL : ims_claim_find_at_ports(in, c, ims_claim_is_owner);
}

/*
 * Does a bundle end with another's 200 OK? The same UE's under another contact does, where it is
 * in the way, and so does an unmarked flow from an address that is only said, or of a bundle that
 * has proved nothing, where the UE that has it is there.
 */
static bool ims_claim_is_replaced(const struct ims_bundle *o, const void *data)
{
	const struct ims_claimant *c = data;

	if (o->reg == c->b->reg)
		return false;
	if (ims_claim_is_same_ue(o, c))
		return ims_bundle_is_older(o, c->b) &&
		       (ims_claim_has_ports(o, c) || ims_claim_has_places(o, c->b));
	return ims_bundle_is_fact(c->b) && !(ims_bundle_is_fact(o) && o->proven) &&
	       (ims_claim_same_flow(o, c->b, IMS_FLOW_OUT_UC) ||
		ims_claim_same_flow(o, c->b, IMS_FLOW_OUT_US));
}

/* Of the same subscriber's, at the same address. Others have their turn meanwhile. */
static struct ims_bundle *ims_claim_find_own_replaced(struct ims_net *in,
						      const struct ims_claimant *c,
						      struct ims_claim_walk *w)
{
	const struct ims_name owner = {
		.owner = c->name.owner, .owner_len = c->name.owner_len,
	};
	struct ims_bundle *o;
	struct ims_tuple t;

	/* the name is that of a registration which lives as long as its bundle */
	for (; !c->b->dead && (o = ims_registration_next_bundle(in, &owner, &w->pos)); w->pos++) {
		ims_bundle_tuple(o, IMS_FLOW_OUT_UC, &t);
		if (ims_addr_equal(&t.dst, &c->ue_addr) && ims_claim_is_replaced(o, c))
			return o;
		ims_net_pause(in, &w->steps, 1);
	}
	return NULL;
}

/**
 * ims_claim_find_replaced() - what ends with a bundle's 200 OK
 * @b: the bundle, with a reference of the caller's
 * @w: where the search is; all zero at first
 *
 * Context: process, struct ims_net.lock held, which may be let go of in between.
 * Return: a bundle of another registration; NULL if there is none, or @b is dead.
 */
struct ims_bundle *ims_claim_find_replaced(const struct ims_bundle *b, struct ims_claim_walk *w)
{
	struct ims_claimant c = {
		.ep = b->ep,
		.b = b,
		.name = ims_registration_name(b->reg),
		.source = ims_bundle_source(b),
		.is_marked = !ims_bundle_is_unmarked(b),
	};
	struct ims_bundle *o = NULL, *i;
	struct ims_net *in = b->ep->in;
	struct ims_tuple uc, us;

	ims_bundle_tuple(b, IMS_FLOW_OUT_UC, &uc);
	ims_bundle_tuple(b, IMS_FLOW_OUT_US, &us);
	c.ue_addr = uc.dst;
	c.port_uc = uc.dport;
	c.port_us = us.dport;
	c.port_pc = us.sport;
	spin_lock_bh(&in->state_lock);
	list_for_each_entry(i, &b->rivals, rivals) {
		if (!ims_claim_is_replaced(i, &c))
			continue;
		o = i;
		break;
	}
	spin_unlock_bh(&in->state_lock);
	if (!o)
		o = ims_claim_find_own_replaced(in, &c, w);
	/* and of others an unmarked flow */
	if (!o && !b->dead && !c.is_marked)
		o = ims_claim_find_at_ports(in, &c, ims_claim_is_replaced);
	return o;
}

/* --- Outbound SAs, and unmarked flows */

/* Is a bundle's outbound SA in XFRM's tables? */
static bool ims_claim_has_place(const struct ims_bundle *b, enum ims_flow flow)
{
	return !((b->outside | b->done) & BIT(flow));
}

/*
 * Do a flow's packets leave over a bundle? A tunnel's policy has them, also while its SA is out of
 * the tables: then nothing leaves, and what was for this UE does not leave to another one.
 */
static bool ims_claim_has_flow(const struct ims_bundle *b, enum ims_flow flow)
{
	const u8 outside = b->nat ? 0 : b->outside;

	return !((outside | b->done | b->dormant) & BIT(flow));
}

/* Packets that come from the UE's address count for more than what is said in a tunnel. */
static int ims_claim_rank(const struct ims_bundle *b)
{
	return !b->nat + ims_bundle_is_fact(b);
}

/* Does what @o has become @b's, when that proves itself? */
static bool ims_claim_beats(const struct ims_bundle *b, const struct ims_bundle *o)
{
	return !o->proven || ims_claim_rank(b) > ims_claim_rank(o) || ims_claim_succeeds(b, o);
}

/* Does another registration's bundle have a flow that only one can have? */
static bool ims_claim_has_same_flow(const struct ims_bundle *o, const struct ims_bundle *b,
				    enum ims_flow flow)
{
	return o->reg != b->reg && ims_claim_has_flow(o, flow) && ims_claim_same_flow(o, b, flow);
}

/**
 * ims_claim_is_kept_out() - does another registration have an unmarked flow of a bundle's
 * @b: the bundle
 * @flow: which
 *
 * Context: struct ims_net.state_lock held.
 * Return: true if so: it is not to be sent over @b now.
 */
bool ims_claim_is_kept_out(const struct ims_bundle *b, enum ims_flow flow)
{
	struct ims_bundle *o;

	lockdep_assert_held(&b->ep->in->state_lock);

	list_for_each_entry(o, &b->rivals, rivals)
		if (ims_claim_has_same_flow(o, b, flow))
			return true;
	return false;
}

/* Is an SA in XFRM's tables in the way of one that is not? */
static bool ims_claim_is_taken(struct xfrm_state *x)
{
	struct xfrm_state *other = ims_sa_find_same(x);

	if (!other)
		return false;
	ims_sa_put(other);
	return true;
}

/* A bundle's SA leaves the tables, or is not to come into them, and is kept. */
static void ims_claim_put_out(struct ims_bundle *b, enum ims_flow flow)
{
	if (ims_sa_was_added(b->sa[flow]))
		ims_sa_take_out(b->sa[flow]);
	b->outside |= BIT(flow);
}

/* And is in them again, unless somebody else has the place. */
static void ims_claim_put_in(struct ims_bundle *b, enum ims_flow flow)
{
	u32 mask;

	ims_nat_get_sa_mark(b, &mask);
	if (!b->nat && !(b->dormant & BIT(flow)))
		ims_sa_wake(b->sa[flow], mask);
	if (!ims_sa_put_in(b->sa[flow], !b->nat && b->dormant & BIT(flow)))
		b->outside &= ~BIT(flow);
}

/* @o makes room for one of @b's flows. Was it in the way? */
static bool ims_claim_evict(struct ims_bundle *o, const struct ims_bundle *b, enum ims_flow flow)
{
	const bool same_flow = ims_claim_has_same_flow(o, b, flow) && ims_claim_beats(b, o);
	bool evicted = false;
	enum ims_flow i;

	for (i = 0; i < IMS_CLAIM_FLOWS; i++) {
		if (!ims_claim_has_place(o, i))
			continue;
		if (!ims_sa_same_place(o->sa[i], b->sa[flow]) &&
		    !(i == flow && same_flow && !o->nat))
			continue;
		ims_claim_put_out(o, i);
		evicted = true;
	}
	if (same_flow && o->nat) {
		ims_nat_stop(o, flow);
		o->dormant |= BIT(flow);
		evicted = true;
	}
	return evicted;
}

/* Is a flow of a bundle's to wait for more than its turn within its registration? */
static bool ims_claim_waits(const struct ims_bundle *b, enum ims_flow flow)
{
	if (b->done & BIT(flow))
		return false;
	return b->outside & BIT(flow) ||
	       (b->nat && b->dormant & BIT(flow) && ims_claim_is_kept_out(b, flow));
}

/* Would a bundle that waits find a flow's place free? */
static bool ims_claim_may_enter(struct ims_bundle *b, enum ims_flow flow)
{
	return !(b->outside & BIT(flow) && ims_claim_is_taken(b->sa[flow])) &&
	       !ims_claim_is_kept_out(b, flow);
}

/* One of @o's flows can have what one of @b's had. */
static bool ims_claim_pass_on(const struct ims_bundle *b, enum ims_flow flow,
			      struct ims_bundle *o)
{
	bool passed = false;
	enum ims_flow i;

	for (i = 0; i < IMS_CLAIM_FLOWS; i++) {
		if (!ims_sa_same_place(o->sa[i], b->sa[flow]) &&
		    !(i == flow && ims_claim_same_flow(o, b, flow)))
			continue;
		if (!(o->outside & BIT(i)) && !(o->nat && o->dormant & BIT(i)))
			continue;
		if (o->done & BIT(i) || !ims_claim_may_enter(o, i))
			continue;
		if (o->outside & BIT(i))
			ims_claim_put_in(o, i);
		passed = true;
	}
	return passed;
}

/* Those that wait for what one of a bundle's flows has, or would have, get it. */
static void ims_claim_give_back(struct ims_bundle *b, enum ims_flow flow)
{
	struct ims_bundle *o;

	list_for_each_entry(o, &b->rivals, rivals)
		if (!o->dead && ims_claim_pass_on(b, flow, o))
			ims_registration_wake(o->reg, NULL);
}

/* Has another registration a flow of a bundle's, and keeps it? */
static bool ims_claim_is_beaten(const struct ims_bundle *b, enum ims_flow flow)
{
	struct ims_bundle *o;

	list_for_each_entry(o, &b->rivals, rivals)
		if (ims_claim_has_same_flow(o, b, flow) && !ims_claim_beats(b, o))
			return true;
	return false;
}

/* From now on a bundle has all that it contends for: each flow of those that it can have. */
static void ims_claim_enter(struct ims_bundle *b)
{
	struct ims_bundle *o, *next;
	enum ims_flow flow;

	for (flow = 0; flow < IMS_CLAIM_FLOWS; flow++) {
		/* what a device has forgotten is of no use, see ims_claim_renew() */
		if (!ims_claim_waits(b, flow) || ims_sa_was_on_device(b->sa[flow]))
			continue;
		/* it would not be sent over, so that others need not make room */
		if (ims_claim_is_beaten(b, flow))
			continue;
		list_for_each_entry_safe(o, next, &b->rivals, rivals)
			/* the last one that has had it comes first, when @b goes */
			if (ims_claim_evict(o, b, flow))
				list_move(&o->rivals, &b->rivals);
		if (b->outside & BIT(flow))
			ims_claim_put_in(b, flow);
		/* somebody else's SA has the place: who has made room for @b has all again */
		if (b->outside & BIT(flow))
			ims_claim_give_back(b, flow);
	}
	ims_registration_wake(b->reg, NULL);
}

/* One ring of two: @b's, which is the newer one, is asked last when one of @o's goes. */
static void ims_claim_splice(struct ims_bundle *b, struct ims_bundle *o)
{
	struct ims_bundle *i;

	list_for_each_entry(i, &b->rivals, rivals)
		if (i == o)
			return;
	list_splice_tail_init(&b->rivals, &o->rivals);
	list_add_tail(&b->rivals, &o->rivals);
}

static unsigned int ims_claim_count_rivals(const struct ims_bundle *b)
{
	const struct list_head *i;
	unsigned int n = 0;

	list_for_each(i, &b->rivals)
		n++;
	return n;
}

struct ims_claim_query {
	const struct ims_bundle *b;
	enum ims_flow flow;
	const struct xfrm_state *x;
};

static bool ims_claim_is_of(const struct ims_bundle *o, const void *data)
{
	const struct ims_claim_query *query = data;

	return o->sa[IMS_FLOW_OUT_UC] == query->x || o->sa[IMS_FLOW_OUT_US] == query->x;
}

/* Any one will do: all that have the flow are in one ring. */
static bool ims_claim_contends(const struct ims_bundle *o, const void *data)
{
	const struct ims_claim_query *query = data;

	return ims_claim_same_flow(o, query->b, query->flow);
}

/* The bundle whose outbound SA it is: that is found by the UE's address within, too. */
static struct ims_bundle *ims_claim_find_holder(struct ims_net *in, const struct xfrm_state *x)
{
	const struct ims_claim_query query = { .x = x };
	struct ims_bundle *o;
	struct ims_tuple t;

	if (!ims_sa_is_shielded(x))
		return NULL;
	/* a tunnel's tells it, and of the others there are not many at a port */
	if (ims_sa_is_tunnel(x))
		return ims_nat_of_output(in, x);
	ims_sa_tuple(x, &t);
	o = ims_ues_find_uc(in, &t.dst, t.dport, IMS_UES_UNMARKED, ims_claim_is_of, &query);
	return o ?: ims_ues_find_us(in, &t.dst, t.dport, IMS_UES_UNMARKED, t.sport, NULL,
				    ims_claim_is_of, &query);
}

/*
 * Who has the place that one of a new bundle's SAs would have in XFRM's tables, and who has the
 * flow? Such an SA of somebody else's is not waited for.
 */
static int ims_claim_join_flow(struct ims_bundle *b, enum ims_flow flow,
			       struct netlink_ext_ack *extack)
{
	const struct ims_claim_query query = { .b = b, .flow = flow };
	struct xfrm_state *x = ims_sa_find_same(b->sa[flow]);
	struct ims_bundle *holder = NULL, *o = NULL;
	struct ims_net *in = b->ep->in;
	struct ims_tuple t;

	if (x) {
		holder = ims_claim_find_holder(in, x);
		ims_sa_put(x);
	}
	if (x && !holder) {
		ims_sa_say_exists(b->sa[flow], extack);
		return -EEXIST;
	}
	ims_bundle_tuple(b, flow, &t);
	if (ims_bundle_is_unmarked(b) && flow == IMS_FLOW_OUT_UC)
		o = ims_ues_find_uc(in, &t.dst, t.dport, IMS_UES_UNMARKED, ims_claim_contends,
				    &query);
	else if (ims_bundle_is_unmarked(b))
		o = ims_ues_find_us(in, &t.dst, t.dport, IMS_UES_UNMARKED, t.sport, b->ep,
				    ims_claim_contends, &query);
	if (!holder && !o)
		return 0;
	spin_lock_bh(&in->state_lock);
	if (holder)
		ims_claim_splice(b, holder);
	if (o)
		ims_claim_splice(b, o);
	if (holder || (!b->nat && ims_claim_is_kept_out(b, flow)))
		b->outside |= BIT(flow);
	spin_unlock_bh(&in->state_lock);
	return 0;
}

/**
 * ims_claim_join() - find out what a new bundle contends for, and with whom
 * @b: the bundle, its SAs in no table yet, nor itself in struct ims_net.ues or its registration
 * @extack: gets the reason
 *
 * What others have stays theirs; in ims_bundle.outside are the outbound SAs that are not to be
 * added for that.
 *
 * Context: process, struct ims_net.lock held; takes .state_lock.
 * Return: 0; -EEXIST if an SA that is not this module's has the place of one of @b's; -ENOSPC if
 * there are too many that contend for the same.
 */
int ims_claim_join(struct ims_bundle *b, struct netlink_ext_ack *extack)
{
	struct ims_net *in = b->ep->in;
	enum ims_flow flow;
	unsigned int n;
	int err = 0;

	lockdep_assert_held(&in->lock);

	for (flow = 0; flow < IMS_CLAIM_FLOWS && !err; flow++)
		err = ims_claim_join_flow(b, flow, extack);
	if (err)
		return err;
	spin_lock_bh(&in->state_lock);
	n = ims_claim_count_rivals(b);
	spin_unlock_bh(&in->state_lock);
	if (n <= IMS_CLAIM_RIVALS_MAX)
		return 0;
	NL_SET_ERR_MSG_FMT(extack, "%u bundles contend for the UE's SPIs or ports already",
			   IMS_CLAIM_RIVALS_MAX);
	return -ENOSPC;
}

/**
 * ims_claim_free() - one of a bundle's outbound SAs has ended before the bundle
 * @b: the bundle
 * @flow: which
 *
 * Who waits for its place has that. What is sent over a tunnel waits until @b ends.
 *
 * Context: any, struct ims_net.state_lock held.
 */
void ims_claim_free(struct ims_bundle *b, enum ims_flow flow)
{
	struct ims_bundle *o;

	lockdep_assert_held(&b->ep->in->state_lock);

	list_for_each_entry(o, &b->rivals, rivals)
		if (!o->dead)
			ims_claim_pass_on(b, flow, o);
}

/**
 * ims_claim_try() - an outbound SA that is out of the tables gets its place, if that is free
 * @b: the bundle
 * @flow: which
 *
 * Context: any, struct ims_net.state_lock held.
 */
void ims_claim_try(struct ims_bundle *b, enum ims_flow flow)
{
	lockdep_assert_held(&b->ep->in->state_lock);

	if (ims_claim_may_enter(b, flow))
		ims_claim_put_in(b, flow);
}

/**
 * ims_claim_pass_place() - an outbound SA has ended whose bundle goes on with another one
 * @b: the bundle
 * @x: the SA that has ended
 *
 * Who waits for its place has that.
 *
 * Context: any, struct ims_net.state_lock held.
 */
void ims_claim_pass_place(struct ims_bundle *b, const struct xfrm_state *x)
{
	struct ims_bundle *o;
	enum ims_flow flow;

	lockdep_assert_held(&b->ep->in->state_lock);

	list_for_each_entry(o, &b->rivals, rivals) {
		for (flow = 0; flow < IMS_CLAIM_FLOWS && !o->dead; flow++)
			if (o->outside & ~o->done & BIT(flow) && ims_sa_same_place(o->sa[flow], x))
				ims_claim_try(o, flow);
		if (!o->dead)
			ims_registration_wake(o->reg, NULL);
	}
}

/**
 * ims_claim_held() - what a bundle has that others may wait for
 * @b: the bundle, dead
 *
 * Context: struct ims_net.lock held; takes .state_lock.
 * Return: outbound flows, bits by enum ims_flow.
 */
u8 ims_claim_held(struct ims_bundle *b)
{
	struct ims_net *in = b->ep->in;
	enum ims_flow flow;
	u8 held = 0;

	spin_lock_bh(&in->state_lock);
	for (flow = 0; flow < IMS_CLAIM_FLOWS; flow++)
		/* a tunnel without a place may have the flow, see ims_claim_has_flow() */
		if (!(b->outside & BIT(flow)) || (b->nat && !(b->dormant & BIT(flow))))
			held |= BIT(flow);
	spin_unlock_bh(&in->state_lock);
	return held;
}

/* --- TCP, which is its two ends: a mark does not tell two connections apart */

/* Whose TCP is it? At a UE's port there are as many as we have ports, at most. */
static struct ims_bundle *ims_claim_tcp_holder(const struct ims_bundle *b, enum ims_flow flow)
{
	const struct ims_ue_port *p;
	struct ims_bundle *o;

	lockdep_assert_held(&b->ep->in->state_lock);

	for (p = ims_clear_first(b, flow); p; p = p->next) {
		o = ims_bundle_of_ue_port(p);
		if (p->has_tcp && ims_sa_same_selector(o->sa[p->flow], b->sa[flow]))
			return o;
	}
	return NULL;
}

static void ims_claim_insert_tcp(struct ims_bundle *b, enum ims_flow flow)
{
	struct ims_ue_port *p = &b->ue_port[flow], *first = ims_clear_first(b, flow);

	if (WARN_ON_ONCE(!first))
		return;
	if (p != first) {
		p->next = first->next;
		first->next = p;
	}
	WRITE_ONCE(p->has_tcp, true);
}

static void ims_claim_remove_tcp(struct ims_bundle *b, enum ims_flow flow)
{
	struct ims_ue_port *p = &b->ue_port[flow], *before = ims_clear_first(b, flow);

	WRITE_ONCE(p->has_tcp, false);
	/* what hangs on the first one stays there */
	if (p == before)
		return;
	while (before && before->next != p)
		before = before->next;
	if (WARN_ON_ONCE(!before))
		return;
	before->next = p->next;
	p->next = NULL;
}

/* Has a bundle TCP, or gets it? */
static bool ims_claim_take_tcp(struct ims_bundle *b, enum ims_flow flow)
{
	struct ims_bundle *o;

	lockdep_assert_held(&b->ep->in->state_lock);

	o = ims_claim_tcp_holder(b, flow);
	if (o == b)
		return true;
	/* one's own, by an older one of the registration: it passes on with that one's end */
	if (o && o->reg == b->reg)
		return true;
	if (o && !(b->proven && ims_claim_beats(b, o)))
		return false;
	if (!b->proven)
		return true;
	if (o)
		ims_claim_remove_tcp(o, flow);
	ims_claim_insert_tcp(b, flow);
	return true;
}

/* What is left of its registration goes on with it, or else nobody has it. */
static void ims_claim_leave_tcp(struct ims_bundle *b)
{
	struct ims_bundle *o;
	enum ims_flow flow;
	int i;

	for (flow = 0; flow < IMS_CLAIM_FLOWS; flow++) {
		if (!b->ue_port[flow].has_tcp)
			continue;
		ims_claim_remove_tcp(b, flow);
		for (i = 0; i < IMS_IPSEC_SETS_MAX; i++) {
			o = b->reg->set[i];
			if (!o || o == b || !o->proven ||
			    !ims_sa_same_selector(o->sa[flow], b->sa[flow]))
				continue;
			ims_claim_insert_tcp(o, flow);
			break;
		}
	}
}

/* A bundle that waits, and whose SA a device has forgotten, or NULL. */
static struct ims_bundle *ims_claim_find_forgotten(struct ims_bundle *b, enum ims_flow *flow)
{
	struct ims_net *in = b->ep->in;
	struct ims_bundle *o;

	spin_lock_bh(&in->state_lock);
	list_for_each_entry(o, &b->rivals, rivals)
		for (*flow = 0; *flow < IMS_CLAIM_FLOWS && !o->dead; (*flow)++)
			if (o->outside & BIT(*flow) && ims_sa_was_on_device(o->sa[*flow]))
				goto found;
	o = NULL;
found:
	spin_unlock_bh(&in->state_lock);
	return o;
}

/* Software does their ESP from now on: who is sent over next may be one of them. */
static void ims_claim_renew(struct ims_bundle *b)
{
	struct ims_net *in = b->ep->in;
	struct xfrm_state *x, *old;
	struct ims_bundle *o;
	enum ims_flow flow;

	while ((o = ims_claim_find_forgotten(b, &flow))) {
		old = o->sa[flow];
		x = ims_sa_alloc_again(old);
		if (!x)
			return;
		ims_offload_give_up(o);
		spin_lock_bh(&in->state_lock);
		WRITE_ONCE(o->sa[flow], x);
		spin_unlock_bh(&in->state_lock);
		ims_sa_finish(old);
		ims_sa_put(old);
	}
}

/**
 * ims_claim_leave() - a bundle contends for nothing any more
 * @b: the bundle, dead, its SAs and policies deleted
 * @had: from ims_claim_held()
 *
 * What it had goes to who has had it before, or else waits for it.
 *
 * Context: struct ims_net.lock held; takes .state_lock.
 */
void ims_claim_leave(struct ims_bundle *b, u8 had)
{
	struct ims_net *in = b->ep->in;
	enum ims_flow flow;

	lockdep_assert_held(&in->lock);

	if (had)
		ims_claim_renew(b);
	spin_lock_bh(&in->state_lock);
	ims_claim_leave_tcp(b);
	b->done |= had;
	for (flow = 0; flow < IMS_CLAIM_FLOWS; flow++)
		if (had & BIT(flow))
			ims_claim_give_back(b, flow);
	list_del_init(&b->rivals);
	spin_unlock_bh(&in->state_lock);
}

/**
 * ims_claim_has_tcp() - may a packet that is not UDP pass over a bundle's SA
 * @b: the bundle
 * @x: one of its SAs
 *
 * TCP without an owner is the bundle's from now on.
 *
 * Context: any, under RCU; takes struct ims_net.state_lock, unless it is the bundle's already.
 * Return: true if so.
 */
bool ims_claim_has_tcp(struct ims_bundle *b, const struct xfrm_state *x)
{
	const bool is_uc = READ_ONCE(b->sa[IMS_FLOW_OUT_UC]) == x ||
			   READ_ONCE(b->sa[IMS_FLOW_IN_PS]) == x;
	const enum ims_flow flow = is_uc ? IMS_FLOW_OUT_UC : IMS_FLOW_OUT_US;
	struct ims_net *in = b->ep->in;
	bool has;

	if (READ_ONCE(b->ue_port[flow].has_tcp))
		return true;
	spin_lock_bh(&in->state_lock);
	has = !b->dead && ims_claim_take_tcp(b, flow);
	spin_unlock_bh(&in->state_lock);
	return has;
}

/**
 * ims_claim_tcp_is_others() - has another registration TCP between a bundle's ends
 * @b: the bundle
 * @flow: which ends, of its outbound SAs
 *
 * Context: struct ims_net.lock held.
 * Return: true if so.
 */
bool ims_claim_tcp_is_others(const struct ims_bundle *b, enum ims_flow flow)
{
	struct ims_net *in = b->ep->in;
	const struct ims_bundle *o;
	bool is_others;

	spin_lock_bh(&in->state_lock);
	o = ims_claim_tcp_holder(b, flow);
	is_others = o && o->reg != b->reg;
	spin_unlock_bh(&in->state_lock);
	return is_others;
}

/**
 * ims_claim_is_udp_only() - would a bundle's TCP be dropped now, of either pair of its ports
 * @b: the bundle
 *
 * Context: struct ims_net.lock held.
 * Return: true if so.
 */
bool ims_claim_is_udp_only(const struct ims_bundle *b)
{
	struct ims_net *in = b->ep->in;
	const struct ims_bundle *o;
	bool udp_only = false;
	enum ims_flow flow;

	if (!b->nat)
		return false;
	spin_lock_bh(&in->state_lock);
	for (flow = 0; flow < IMS_CLAIM_FLOWS; flow++) {
		o = ims_claim_tcp_holder(b, flow);
		udp_only |= o && o->reg != b->reg && !ims_claim_beats(b, o);
	}
	spin_unlock_bh(&in->state_lock);
	return udp_only;
}

/**
 * ims_claim_tcp_of() - whose TCP there is between two ends
 * @in: where
 * @t: the ends, ours first
 *
 * Context: struct ims_net.lock held, without which the bundle may go; takes .state_lock.
 * Return: a bundle, or NULL.
 */
struct ims_bundle *ims_claim_tcp_of(struct ims_net *in, const struct ims_tuple *t)
{
	struct ims_bundle *o, *holder = NULL;
	const struct ims_ue_port *p;

	spin_lock_bh(&in->state_lock);
	for (p = ims_clear_first_at(in, &t->dst, t->dport); p && !holder; p = p->next) {
		o = ims_bundle_of_ue_port(p);
		if (p->has_tcp && ims_sa_covers(o->sa[p->flow], t))
			holder = o;
	}
	spin_unlock_bh(&in->state_lock);
	return holder;
}

/**
 * ims_claim_prove() - it is the UE that has a bundle, and nobody who only says so
 * @b: the bundle: a packet that its SA is for was authenticated, or the 200 OK has come
 *
 * What it contends for is its own when this returns.
 *
 * Context: any, under RCU or with a reference; takes struct ims_net.state_lock.
 */
void ims_claim_prove(struct ims_bundle *b)
{
	struct ims_net *in = b->ep->in;
	enum ims_flow flow;

	spin_lock_bh(&in->state_lock);
	if (b->dead || b->proven)
		goto unlock;
	if (!list_empty(&b->rivals))
		ims_claim_enter(b);
	/* a packet beside this one is not to pass before */
	WRITE_ONCE(b->proven, true);
	for (flow = 0; flow < IMS_CLAIM_FLOWS; flow++)
		ims_claim_take_tcp(b, flow);
unlock:
	spin_unlock_bh(&in->state_lock);
}
