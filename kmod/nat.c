// SPDX-License-Identifier: GPL-2.0-only
/*
 * UEs behind NATs: tunnels with policies of their own, and where they are sent to,
 * which the NAT may change at any time.
 */
#include <linux/bitops.h>
#include <linux/build_bug.h>
#include <linux/jiffies.h>
#include <linux/slab.h>

#include "bundle.h"
#include "claim.h"
#include "endpoint.h"
#include "event.h"
#include "nat.h"
#include "netns.h"
#include "policy.h"
#include "registration.h"
#include "sa.h"

/* A NAT that changes its mind with every packet is followed at this pace. */
#define IMS_NAT_PACE	msecs_to_jiffies(100)

/* An odd number and its inverse: a bundle's id and its reqid tell each other. */
#define IMS_NAT_SCATTER	0x9e3779b1U
#define IMS_NAT_GATHER	0x0e8b2f51U
static_assert(IMS_NAT_SCATTER * IMS_NAT_GATHER == 1);

/**
 * ims_nat_reqid() - what the policies of a tunnel choose its SAs by
 * @in: where
 * @bundle_id: the bundle
 *
 * Scattered, as the state table hashes it with addresses: many UEs may be behind one.
 *
 * Return: the reqid.
 */
u32 ims_nat_reqid(const struct ims_net *in, u32 bundle_id)
{
	return bundle_id * IMS_NAT_SCATTER ^ in->reqid_key;
}

/**
 * ims_nat_of_output() - the bundle that an SA is an outbound one of
 * @in: where
 * @x: a tunnel's SA
 *
 * Context: any, under RCU.
 * Return: the bundle, NULL if it is not one of ours.
 */
struct ims_bundle *ims_nat_of_output(struct ims_net *in, const struct xfrm_state *x)
{
	struct ims_bundle *b;

	b = xa_load(&in->bundles, (ims_sa_reqid(x) ^ in->reqid_key) * IMS_NAT_GATHER);
	if (b && (READ_ONCE(b->sa[IMS_FLOW_OUT_UC]) == x || READ_ONCE(b->sa[IMS_FLOW_OUT_US]) == x))
		return b;
	return NULL;
}

static bool ims_nat_is_at(const struct ims_bundle *b, const struct ims_addr *addr)
{
	return b && b->nat && ims_addr_equal(&b->nat->addr, addr);
}

/* The port that the newest of the registration's bundles at this address is sent to */
static __be16 ims_nat_known_port(const struct ims_registration *reg, const struct ims_addr *addr)
{
	const struct ims_bundle *newest = NULL;
	int i;

	for (i = 0; i < IMS_IPSEC_SETS_MAX; i++)
		if (ims_nat_is_at(reg->set[i], addr) &&
		    (!newest || ims_bundle_is_older(newest, reg->set[i])))
			newest = reg->set[i];
	return newest ? READ_ONCE(newest->nat->port) : 0;
}

static void ims_nat_timer(struct timer_list *timer);

/**
 * ims_nat_init() - give a bundle what mode UDP-enc-tun takes
 * @b: the bundle, with its registration
 * @p: what the request says
 *
 * Context: process, sleeps, struct ims_net.lock held.
 * Return: 0 or -ENOMEM.
 */
int ims_nat_init(struct ims_bundle *b, const struct ims_bundle_params *p)
{
	struct ims_nat *nat = kzalloc(sizeof(*nat), GFP_KERNEL_ACCOUNT);

	if (!nat)
		return -ENOMEM;
	nat->b = b;
	nat->addr = p->nat_addr;
	nat->port = p->nat_port ?: ims_nat_known_port(b->reg, &p->nat_addr) ?: b->ep->nat_port;
	nat->heard_addr = nat->addr;
	nat->heard_port = nat->port;
	nat->moved = jiffies - IMS_NAT_PACE;
	nat->is_marked = !p->unmarked;
	nat->is_fact = ims_addr_equal(&p->ue_addr, &p->nat_addr);
	timer_setup(&nat->timer, ims_nat_timer, 0);
	b->nat = nat;
	b->dormant = BIT(IMS_FLOW_OUT_UC) | BIT(IMS_FLOW_OUT_US);
	return 0;
}

/* The mark that a registration's packets are sent with, whichever of its bundles'. */
static u32 ims_nat_mark(const struct ims_bundle *b, u32 *mask)
{
	const struct ims_net *in = b->ep->in;
	const u32 slots = ims_bundle_mark(in, 0, IMS_IPSEC_SETS_MAX - 1);

	*mask = in->config.mark_mask & ~slots;
	return ims_nat_is_marked(b) ? ims_bundle_mark(in, b->reg->index, 0) : 0;
}

/**
 * ims_nat_get_sa_mark() - the mark of a bundle's outbound SAs
 * @b: the bundle, in either mode
 * @mask: gets the bits that count
 *
 * It is that of the policies that may choose them, 0 where these have none. The SAs of two
 * registrations may have one address and SPI, if one of them has a mark: the mask is there for
 * both, as XFRM would else take an SA without one for that of any mark.
 *
 * Context: struct ims_net.lock or .state_lock held.
 * Return: the mark.
 */
u32 ims_nat_get_sa_mark(const struct ims_bundle *b, u32 *mask)
{
	return ims_nat_mark(b, mask);
}

/**
 * ims_nat_get_tunnel() - the outside of one of a bundle's tunnels
 * @b: the bundle
 * @out: the P-CSCF sends through it
 * @tunnel: gets it
 *
 * Context: struct ims_net.lock held.
 */
void ims_nat_get_tunnel(const struct ims_bundle *b, bool out, struct ims_sa_tunnel *tunnel)
{
	const __be16 port = READ_ONCE(b->nat->port);

	*tunnel = (struct ims_sa_tunnel) {
		.src = out ? b->ep->addr : b->nat->addr,
		.dst = out ? b->nat->addr : b->ep->addr,
		.sport = out ? b->ep->nat_port : port,
		.dport = out ? port : b->ep->nat_port,
	};
}

static struct xfrm_policy *ims_nat_alloc_policy(const struct ims_bundle *b, enum ims_flow flow,
						const struct ims_addr *dst, gfp_t gfp)
{
	struct ims_policy_tunnel p = {
		.src = b->ep->addr,
		.dst = *dst,
		.reqid = ims_nat_reqid(b->ep->in, b->id),
	};

	ims_bundle_tuple(b, flow, &p.inner);
	p.mark = ims_nat_mark(b, &p.mark_mask);
	if (!b->nat->is_marked)
		p.mark_mask = 0;
	return ims_policy_alloc_tunnel(b->ep->in->net, &p, gfp);
}

/**
 * ims_nat_alloc_policies() - have a bundle's policies at hand
 * @b: the bundle, with its SAs
 *
 * Context: process, sleeps, struct ims_net.lock held.
 * Return: 0, or -ENOMEM: ims_nat_end() and ims_nat_free() clear up.
 */
int ims_nat_alloc_policies(struct ims_bundle *b)
{
	enum ims_flow flow;

	for (flow = 0; flow < IMS_NAT_FLOWS; flow++) {
		b->nat->pol[flow] = ims_nat_alloc_policy(b, flow, &b->nat->addr,
							 GFP_KERNEL_ACCOUNT);
		if (!b->nat->pol[flow])
			return -ENOMEM;
	}
	return 0;
}

/**
 * ims_nat_send_over() - from here on a flow's packets leave over a bundle
 * @b: the bundle
 * @flow: which of its outbound flows
 * @before: the bundle of the registration that they have left over, NULL: none
 *
 * Context: any, struct ims_net.state_lock held.
 * Return: 0; -EEXIST if somebody else has a policy for the same packets; -ENOMEM.
 */
int ims_nat_send_over(struct ims_bundle *b, enum ims_flow flow, const struct ims_bundle *before)
{
	struct xfrm_policy *old = before && before->nat ? before->nat->pol[flow] : NULL;

	lockdep_assert_held(&b->ep->in->state_lock);

	/* it has been sent over before, and made room for another registration's */
	if (!b->nat->pol[flow])
		b->nat->pol[flow] = ims_nat_alloc_policy(b, flow, &b->nat->addr, GFP_ATOMIC);
	if (!b->nat->pol[flow])
		return -ENOMEM;
	return ims_policy_insert(b->nat->pol[flow], old);
}

/**
 * ims_nat_stop() - no packets of a flow leave over a bundle any more
 * @b: the bundle
 * @flow: which of its outbound flows
 *
 * Context: any, struct ims_net.state_lock held.
 */
void ims_nat_stop(struct ims_bundle *b, enum ims_flow flow)
{
	lockdep_assert_held(&b->ep->in->state_lock);

	ims_policy_delete(b->nat->pol[flow]);
	b->nat->pol[flow] = NULL;
}

/**
 * ims_nat_end() - no packets leave over a bundle any more
 * @b: the bundle, dead
 *
 * Context: process, sleeps, struct ims_net.lock held.
 */
void ims_nat_end(struct ims_bundle *b)
{
	struct ims_net *in = b->ep->in;
	enum ims_flow flow;

	lockdep_assert_held(&in->lock);

	if (timer_delete_sync(&b->nat->timer))
		ims_bundle_put(b);
	spin_lock_bh(&in->state_lock);
	for (flow = 0; flow < IMS_NAT_FLOWS; flow++) {
		if (b->dormant & BIT(flow))
			ims_policy_discard(b->nat->pol[flow]);
		else
			ims_policy_delete(b->nat->pol[flow]);
		b->nat->pol[flow] = NULL;
	}
	spin_unlock_bh(&in->state_lock);
}

/**
 * ims_nat_free() - free what ims_nat_init() has made
 * @b: the bundle, of which no policy is left
 *
 * Context: any.
 */
void ims_nat_free(struct ims_bundle *b)
{
	kfree(b->nat);
}

/* Both outbound SAs at once */
static void ims_nat_move(struct ims_bundle *b)
{
	struct ims_nat *nat = b->nat;

	WRITE_ONCE(nat->port, nat->heard_port);
	ims_sa_set_nat_port(b->sa[IMS_FLOW_OUT_UC], nat->port);
	ims_sa_set_nat_port(b->sa[IMS_FLOW_OUT_US], nat->port);
	nat->moved = jiffies;
	nat->is_moved = true;
	ims_registration_queue(b->reg);
}

/* Follow what was heard, now or when it may be. */
static void ims_nat_pursue(struct ims_bundle *b)
{
	struct ims_nat *nat = b->nat;
	const unsigned long due = nat->moved + IMS_NAT_PACE;
	const bool same_addr = ims_addr_equal(&nat->addr, &nat->heard_addr);

	lockdep_assert_held(&b->ep->in->state_lock);

	if (same_addr ? nat->port == nat->heard_port :
			!READ_ONCE(b->ep->in->config.nat_follow_address))
		return;
	if (time_before(jiffies, due))
		ims_bundle_set_timer(b, &nat->timer, due);
	else if (same_addr)
		ims_nat_move(b);
	else
		/* new SAs, for which one has to sleep: ims_nat_settle() */
		ims_registration_queue(b->reg);
}

static void ims_nat_timer(struct timer_list *timer)
{
	struct ims_nat *nat = container_of(timer, struct ims_nat, timer);
	struct ims_net *in = nat->b->ep->in;

	spin_lock_bh(&in->state_lock);
	if (!nat->b->dead)
		ims_nat_pursue(nat->b);
	spin_unlock_bh(&in->state_lock);
	ims_bundle_put(nat->b);
}

/*
 * An authenticated packet came from elsewhere. All bundles of the registration that
 * are sent to the same NAT go along, as they have one mapping.
 */
static void ims_nat_hear(struct ims_bundle *b, const struct ims_addr *addr, __be16 port)
{
	const struct ims_addr from = b->nat->addr;
	struct ims_bundle *o;
	int i;

	for (i = 0; i < IMS_IPSEC_SETS_MAX; i++) {
		o = b->reg->set[i];
		if (!ims_nat_is_at(o, &from))
			continue;
		o->nat->heard_addr = *addr;
		o->nat->heard_port = port;
		ims_sa_set_source(o->sa[IMS_FLOW_IN_PS], addr, port);
		ims_sa_set_source(o->sa[IMS_FLOW_IN_PC], addr, port);
		ims_nat_pursue(o);
	}
}

/**
 * ims_nat_input() - look where a packet came from
 * @in: where
 * @skb: what has just come out of ESP, authenticated and not replayed
 * @x: the SA that it came over, a tunnel's
 *
 * Context: softirq, under RCU; takes struct ims_net.state_lock if there is news.
 */
void ims_nat_input(struct ims_net *in, const struct sk_buff *skb, const struct xfrm_state *x)
{
	struct ims_addr addr;
	struct ims_bundle *b;
	__be16 port;

	if (!ims_sa_find_source(x, skb, &addr, &port) || ims_sa_has_source(x, &addr, port))
		return;
	b = ims_bundle_of_input(in, x);
	if (!b)
		return;
	spin_lock_bh(&in->state_lock);
	if (!b->dead)
		ims_nat_hear(b, &addr, port);
	spin_unlock_bh(&in->state_lock);
}

/* SAs and policies to another address, that take the place of a bundle's outbound ones. */
struct ims_nat_moved {
	struct xfrm_state *sa[IMS_NAT_FLOWS];
	struct xfrm_policy *pol[IMS_NAT_FLOWS];
	u8 outside;	/* SAs that were not added, as theirs are not */
};

/* Has a flow ended, its SA's keys being wiped? That may be while they are copied. */
static bool ims_nat_is_over(struct ims_bundle *b, enum ims_flow flow, struct ims_nat_moved *m)
{
	struct ims_net *in = b->ep->in;
	bool over;

	spin_lock_bh(&in->state_lock);
	over = b->done & BIT(flow);
	m->outside = b->outside;
	spin_unlock_bh(&in->state_lock);
	return over;
}

/* Not of a flow that has ended: it has neither, and what was copied of it is of no use. */
static int ims_nat_alloc_moved(struct ims_bundle *b, enum ims_flow flow, struct ims_nat_moved *m,
			       const struct ims_addr *addr, __be16 port)
{
	if (ims_nat_is_over(b, flow, m))
		return 0;
	m->pol[flow] = ims_nat_alloc_policy(b, flow, addr, GFP_KERNEL_ACCOUNT);
	m->sa[flow] = ims_sa_alloc_moved(b->sa[flow], addr, port);
	if (ims_nat_is_over(b, flow, m)) {
		ims_policy_discard(m->pol[flow]);
		m->pol[flow] = NULL;
		if (m->sa[flow])
			ims_sa_discard(m->sa[flow]);
		m->sa[flow] = NULL;
		return 0;
	}
	return m->pol[flow] && m->sa[flow] ? 0 : -ENOMEM;
}

static int ims_nat_add_moved(struct ims_bundle *b, struct ims_nat_moved *m,
			     const struct ims_addr *addr, __be16 port)
{
	enum ims_flow flow;
	int err = 0;

	for (flow = 0; flow < IMS_NAT_FLOWS && !err; flow++)
		err = ims_nat_alloc_moved(b, flow, m, addr, port);
	for (flow = 0; flow < IMS_NAT_FLOWS && !err; flow++) {
		if (!m->sa[flow])
			continue;
		ims_sa_carry_on(m->sa[flow], b->sa[flow]);
		if (m->outside & BIT(flow))
			continue;
		err = ims_sa_add(m->sa[flow], NULL);
		if (!err)
			continue;
		while (flow--) {
			if (!m->sa[flow] || m->outside & BIT(flow))
				continue;
			ims_sa_delete(m->sa[flow], false);
			ims_sa_put(m->sa[flow]);
			m->sa[flow] = NULL;
		}
		break;
	}
	return err;
}

/* A flow's packets leave over what has been made for it; @m: gets what there was before. */
static void ims_nat_swap(struct ims_bundle *b, enum ims_flow flow, struct ims_nat_moved *m)
{
	struct ims_nat *nat = b->nat;
	struct xfrm_state *old = b->sa[flow];

	lockdep_assert_held(&b->ep->in->state_lock);

	if (b->done & BIT(flow)) {
		/* it has ended just now: what was added for it goes again */
		ims_policy_discard(m->pol[flow]);
		return;
	}
	if (b->dormant & BIT(flow)) {
		swap(nat->pol[flow], m->pol[flow]);
		ims_policy_discard(m->pol[flow]);
	} else if (!ims_policy_is_gone(nat->pol[flow]) &&
		   !ims_policy_insert(m->pol[flow], nat->pol[flow])) {
		swap(nat->pol[flow], m->pol[flow]);
		ims_policy_delete(m->pol[flow]);
	} else {
		/* it was flushed: ims_nat_restore_policies() */
		ims_policy_discard(m->pol[flow]);
	}
	WRITE_ONCE(b->sa[flow], m->sa[flow]);
	m->sa[flow] = old;
	/* whoever had the old one's place, the new one's may be free */
	if (m->outside & BIT(flow)) {
		b->outside |= BIT(flow);
		ims_claim_try(b, flow);
	} else {
		b->outside &= ~BIT(flow);
	}
}

/* The old ones stay in the tables until the new ones are used: nothing is lost. */
static int ims_nat_follow(struct ims_bundle *b, const struct ims_addr *addr, __be16 port)
{
	struct ims_net *in = b->ep->in;
	struct ims_nat *nat = b->nat;
	struct ims_nat_moved m = {};
	enum ims_flow flow;
	int err = ims_nat_add_moved(b, &m, addr, port);

	if (err) {
		for (flow = 0; flow < IMS_NAT_FLOWS; flow++) {
			ims_policy_discard(m.pol[flow]);
			if (m.sa[flow])
				ims_sa_discard(m.sa[flow]);
		}
		return err;
	}

	for (flow = 0; flow < IMS_NAT_FLOWS; flow++)
		if (m.sa[flow] && !(m.outside & BIT(flow)))
			ims_sa_announce(m.sa[flow]);
	spin_lock_bh(&in->state_lock);
	nat->addr = *addr;
	WRITE_ONCE(nat->port, port);
	nat->moved = jiffies;
	nat->is_moved = true;
	for (flow = 0; flow < IMS_NAT_FLOWS; flow++)
		if (m.sa[flow])
			ims_nat_swap(b, flow, &m);
	spin_unlock_bh(&in->state_lock);
	for (flow = 0; flow < IMS_NAT_FLOWS; flow++) {
		if (!m.sa[flow])
			continue;
		ims_sa_finish(m.sa[flow]);
		spin_lock_bh(&in->state_lock);
		ims_claim_pass_place(b, m.sa[flow]);
		spin_unlock_bh(&in->state_lock);
		ims_sa_put(m.sa[flow]);
	}
	return 0;
}

/**
 * ims_nat_settle() - what has to be done in no hurry after packets came from elsewhere
 * @b: the bundle
 *
 * Context: process, sleeps, struct ims_net.lock held.
 */
void ims_nat_settle(struct ims_bundle *b)
{
	struct ims_net *in = b->ep->in;
	struct ims_nat *nat = b->nat;
	struct ims_addr addr;
	bool follow, moved;
	__be16 port;

	lockdep_assert_held(&in->lock);

	spin_lock_bh(&in->state_lock);
	addr = nat->heard_addr;
	port = nat->heard_port;
	follow = !ims_addr_equal(&nat->addr, &addr) && in->config.nat_follow_address &&
		 time_after_eq(jiffies, nat->moved + IMS_NAT_PACE);
	spin_unlock_bh(&in->state_lock);
	if (follow && ims_nat_follow(b, &addr, port) == -ENOMEM)
		ims_bundle_set_timer(b, &nat->timer, jiffies + IMS_NAT_PACE);

	spin_lock_bh(&in->state_lock);
	moved = nat->is_moved;
	nat->is_moved = false;
	spin_unlock_bh(&in->state_lock);
	if (moved)
		ims_event_send(b, IMS_IPSEC_EVENT_TYPE_NAT_MAPPING, IMS_IPSEC_REASON_NAT,
			       b->told, b->told);
}

/* Packets may begin and end to leave over a bundle meanwhile. */
static bool ims_nat_is_flushed(struct ims_bundle *b, enum ims_flow flow)
{
	struct ims_net *in = b->ep->in;
	bool flushed;

	spin_lock_bh(&in->state_lock);
	flushed = !(b->dormant & BIT(flow)) && b->nat->pol[flow] &&
		  ims_policy_is_gone(b->nat->pol[flow]);
	spin_unlock_bh(&in->state_lock);
	return flushed;
}

static int ims_nat_restore_policy(struct ims_bundle *b, enum ims_flow flow)
{
	struct ims_net *in = b->ep->in;
	struct xfrm_policy *pol = ims_nat_alloc_policy(b, flow, &b->nat->addr, GFP_KERNEL_ACCOUNT);

	if (!pol)
		return -ENOMEM;
	spin_lock_bh(&in->state_lock);
	/* it may have been this flow's turn to end */
	if (!b->nat->pol[flow] || ims_policy_insert(pol, NULL)) {
		ims_policy_discard(pol);
	} else {
		ims_policy_delete(b->nat->pol[flow]);
		b->nat->pol[flow] = pol;
	}
	spin_unlock_bh(&in->state_lock);
	return 0;
}

/* What somebody's policy was in the way of, or there was no memory for, and has its turn */
static void ims_nat_wake(struct ims_bundle *b)
{
	struct ims_net *in = b->ep->in;

	spin_lock_bh(&in->state_lock);
	if (b->dormant & ~b->done)
		ims_registration_wake(b->reg, NULL);
	spin_unlock_bh(&in->state_lock);
}

/**
 * ims_nat_restore_policies() - put back those that somebody took away, or kept out
 * @in: where
 *
 * Context: process, sleeps, @in->lock held; others have their turn meanwhile.
 * Return: 0, or -ENOMEM: to be tried again.
 */
int ims_nat_restore_policies(struct ims_net *in)
{
	unsigned int steps = 0;
	struct ims_bundle *b;
	enum ims_flow flow;
	u64 pos;
	int err;

	lockdep_assert_held(&in->lock);

	for (pos = 0; in->n_nat && (b = ims_bundle_next(in, &pos)); pos++) {
		for (flow = 0; b->nat && flow < IMS_NAT_FLOWS; flow++) {
			if (!ims_nat_is_flushed(b, flow))
				continue;
			err = ims_nat_restore_policy(b, flow);
			if (err)
				return err;
			steps += IMS_SLICE_BUNDLE;
		}
		if (b->nat)
			ims_nat_wake(b);
		ims_net_pause(in, &steps, 1);
	}
	return 0;
}
