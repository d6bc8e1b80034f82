// SPDX-License-Identifier: GPL-2.0-only
/*
 * Which of a registration's bundles is sent over. Where two have the same ports,
 * XFRM would take either: the newer one's outbound SAs are dormant until it is
 * its turn, and then the older one's go. Of a tunnel's it is the policies that are
 * not there until then.
 */
#include <linux/workqueue.h>

#include "bundle.h"
#include "claim.h"
#include "endpoint.h"
#include "event.h"
#include "nat.h"
#include "netns.h"
#include "offload.h"
#include "policy.h"
#include "registration.h"
#include "sa.h"
#include "state.h"
#include "watch.h"

#define CREATE_TRACE_POINTS
#include "trace.h"

/**
 * ims_bundle_set_state() - a bundle's state becomes another one
 * @b: the bundle
 * @state: enum ims_ipsec_state
 * @reason: why
 *
 * Context: any, struct ims_net.state_lock held.
 */
void ims_bundle_set_state(struct ims_bundle *b, u8 state, enum ims_ipsec_reason reason)
{
	lockdep_assert_held(&b->ep->in->state_lock);

	trace_ims_bundle_state(b->id, b->state, state, reason);
	/* packets look at it without the lock */
	WRITE_ONCE(b->state, state);
	b->reason = reason;
}

/**
 * ims_bundle_is_older() - was a bundle made before another
 * @a: a bundle
 * @b: another of the same registration
 *
 * Return: true if @a is the older one.
 */
bool ims_bundle_is_older(const struct ims_bundle *a, const struct ims_bundle *b)
{
	/* ids are given out in turn */
	return (s32)(a->id - b->id) < 0;
}

/* The bundle of @reg that is the next one younger than @after, NULL: the oldest. */
static struct ims_bundle *ims_registration_next(const struct ims_registration *reg,
						const struct ims_bundle *after)
{
	struct ims_bundle *next = NULL, *b;
	int i;

	for (i = 0; i < IMS_IPSEC_SETS_MAX; i++) {
		b = reg->set[i];
		if (b && (!after || ims_bundle_is_older(after, b)) &&
		    (!next || ims_bundle_is_older(b, next)))
			next = b;
	}
	return next;
}

/* Would packets that are @b's leave over @o? */
static bool ims_bundle_has_flow(const struct ims_bundle *o, const struct ims_bundle *b,
				enum ims_flow flow)
{
	return !((o->dormant | o->outside) & BIT(flow)) && ims_sa_is_live(o->sa[flow]) &&
	       ims_sa_same_selector(o->sa[flow], b->sa[flow]);
}

/* Another bundle whose SA XFRM would take for the same packets, one that is awake. */
static struct ims_bundle *ims_bundle_rival(const struct ims_bundle *b, enum ims_flow flow)
{
	struct ims_bundle *o;
	int i;

	for (i = 0; i < IMS_IPSEC_SETS_MAX; i++) {
		o = b->reg->set[i];
		if (o && o != b && ims_bundle_has_flow(o, b, flow))
			return o;
	}
	return NULL;
}

/* A tunnel of the registration whose SA is kept out of XFRM's tables, and whose policy is there */
static struct ims_bundle *ims_bundle_without_sa(const struct ims_bundle *b, enum ims_flow flow)
{
	struct ims_bundle *o;
	int i;

	for (i = 0; i < IMS_IPSEC_SETS_MAX && b->nat; i++) {
		o = b->reg->set[i];
		if (o && o != b && o->nat && o->outside & BIT(flow) &&
		    !((o->dormant | o->done) & BIT(flow)) &&
		    ims_sa_same_selector(o->sa[flow], b->sa[flow]))
			return o;
	}
	return NULL;
}

/**
 * ims_bundle_shares() - would an outbound SA, or a policy, be one of two for the same packets
 * @b: a bundle that is not in its registration yet, or not any more
 * @flow: which SA
 *
 * Context: struct ims_net.lock held.
 * Return: true if so.
 */
bool ims_bundle_shares(const struct ims_bundle *b, enum ims_flow flow)
{
	return ims_bundle_rival(b, flow) || ims_bundle_without_sa(b, flow);
}

/*
 * Outbound SAs of a transport bundle whose turn has not come: the bundle's mark has an answer to
 * what came over it leave over it all the same (D7a).
 */
static int ims_bundle_add_answer(struct ims_bundle *b, enum ims_flow flow)
{
	struct ims_net *in = b->ep->in;
	struct ims_policy_answer p = {
		.spi = ims_bundle_spi(b, flow),
		.mark = ims_bundle_mark(in, b->reg->index, b->slot),
		.mark_mask = in->config.mark_mask,
	};
	int err;

	ims_bundle_tuple(b, flow, &p.t);
	p.reqid = ims_endpoint_reqid(b->ep, p.t.sport);
	err = ims_policy_add_answer(&b->answer[flow], in->net, &p);
	/* whose policy that is has a way of his own for these packets */
	return err == -EEXIST ? 0 : err;
}

/**
 * ims_bundle_add_answers() - have answers leave over dormant SAs, by their marks
 * @b: the bundle, with its SAs in the tables, and not in its registration yet
 *
 * Context: process, sleeps, struct ims_net.lock held.
 * Return: 0 or -ENOMEM; then ims_bundle_end_answers() has to undo a part.
 */
int ims_bundle_add_answers(struct ims_bundle *b)
{
	enum ims_flow flow;
	int err = 0;

	lockdep_assert_held(&b->ep->in->lock);

	if (b->nat || !b->ep->in->config.mark_mask)
		return 0;
	for (flow = IMS_FLOW_OUT_UC; flow <= IMS_FLOW_OUT_US && !err; flow++)
		if (b->dormant & BIT(flow))
			err = ims_bundle_add_answer(b, flow);
	return err;
}

static void ims_bundle_end_answer(struct ims_bundle *b, enum ims_flow flow)
{
	lockdep_assert_held(&b->ep->in->state_lock);

	ims_policy_delete(b->answer[flow]);
	b->answer[flow] = NULL;
}

/**
 * ims_bundle_end_answers() - undo what ims_bundle_add_answers() has done
 * @b: the bundle
 *
 * Context: process; takes struct ims_net.state_lock.
 */
void ims_bundle_end_answers(struct ims_bundle *b)
{
	struct ims_net *in = b->ep->in;
	enum ims_flow flow;

	spin_lock_bh(&in->state_lock);
	for (flow = IMS_FLOW_OUT_UC; flow <= IMS_FLOW_OUT_US; flow++)
		ims_bundle_end_answer(b, flow);
	spin_unlock_bh(&in->state_lock);
}

/* @before: the one that the flow's packets have left over, NULL: none */
static bool ims_bundle_wake(struct ims_bundle *b, enum ims_flow flow,
			    const struct ims_bundle *before)
{
	struct ims_bundle *without = before ? NULL : ims_bundle_without_sa(b, flow);
	u32 mask;
	int err;

	ims_nat_get_sa_mark(b, &mask);
	if (!b->nat) {
		/* one that is outside the tables is woken when it is put in */
		if (!(b->outside & BIT(flow)))
			ims_sa_wake(b->sa[flow], mask);
		ims_bundle_end_answer(b, flow);
	} else {
		err = ims_nat_send_over(b, flow, before ?: without);
		/* where a policy is in the way, there is a notice of its end */
		if (err == -ENOMEM)
			ims_watch_retry(b->ep->in);
		if (err)
			return false;
	}
	b->dormant &= ~BIT(flow);
	if (without) {
		ims_nat_stop(without, flow);
		without->dormant |= BIT(flow);
	}
	return true;
}

/* Sockets that are connected would stay with it. */
static void ims_bundle_end_flow(struct ims_bundle *b, enum ims_flow flow)
{
	if (b->nat)
		ims_nat_stop(b, flow);
	b->done |= BIT(flow);
	ims_sa_delete(b->sa[flow], true);
	ims_claim_free(b, flow);
}

/**
 * ims_registration_wake() - wake what need not wait any longer
 * @reg: the registration
 * @leaving: one that is in @reg no more, but whose SAs and policies are there; NULL: none
 *
 * Because no other one is awake, or because the other one has had its time and this one is in use.
 *
 * Context: any, struct ims_net.state_lock held.
 */
void ims_registration_wake(struct ims_registration *reg, const struct ims_bundle *leaving)
{
	const struct ims_bundle *before;
	struct ims_bundle *b, *rival;
	enum ims_flow flow;

	lockdep_assert_held(&reg->in->state_lock);

	for (b = ims_registration_next(reg, NULL); b; b = ims_registration_next(reg, b)) {
		for (flow = IMS_FLOW_OUT_UC; flow <= IMS_FLOW_OUT_US; flow++) {
			if (!(b->dormant & BIT(flow)) || b->done & BIT(flow) ||
			    ims_claim_is_kept_out(b, flow))
				continue;
			rival = ims_bundle_rival(b, flow);
			if (rival && (b->state != IMS_IPSEC_STATE_ACTIVE ||
				      rival->state != IMS_IPSEC_STATE_OLD))
				continue;
			before = rival;
			if (!rival && leaving && ims_bundle_has_flow(leaving, b, flow))
				before = leaving;
			if (ims_bundle_wake(b, flow, before) && rival)
				ims_bundle_end_flow(rival, flow);
		}
	}
}

/**
 * ims_registration_queue() - have ims_registration_settle() called
 * @reg: the registration, which has a bundle
 *
 * Context: any, struct ims_net.state_lock held.
 */
void ims_registration_queue(struct ims_registration *reg)
{
	lockdep_assert_held(&reg->in->state_lock);

	if (atomic_xchg(&reg->is_unsettled, 1))
		return;
	/* it has a bundle, so that it is there */
	refcount_inc(&reg->refs);
	llist_add(&reg->unsettled, &reg->in->unsettled);
	queue_work(ims_wq, &reg->in->settle);
}

/*
 * From here on, a bundle is the one to send over, unless its state does not allow
 * it, or it was before: false. The older ones become OLD. Events and timers follow from
 * ims_registration_settle().
 */
static bool ims_bundle_activate(struct ims_bundle *b, enum ims_ipsec_reason reason)
{
	u8 next = ims_state_next(b->state, IMS_EVENT_USE);
	struct ims_registration *reg = b->reg;
	struct ims_bundle *o;
	int i;

	lockdep_assert_held(&reg->in->state_lock);

	if (next == b->state)
		return false;
	ims_bundle_set_state(b, next, reason);
	for (i = 0; i < IMS_IPSEC_SETS_MAX; i++) {
		o = reg->set[i];
		if (!o || !ims_bundle_is_older(o, b))
			continue;
		next = ims_state_next(o->state, IMS_EVENT_SUPERSEDE);
		if (next != o->state)
			ims_bundle_set_state(o, next, reason);
	}
	ims_registration_wake(reg, NULL);
	return true;
}

/**
 * ims_bundle_used() - the UE has sent a SIP message over a bundle
 * @b: the bundle
 *
 * What the SIP server sends after it has received that message leaves over it.
 *
 * Context: any, under RCU; takes struct ims_net.state_lock.
 */
void ims_bundle_used(struct ims_bundle *b)
{
	struct ims_net *in = b->ep->in;

	spin_lock_bh(&in->state_lock);
	if (!b->dead && ims_bundle_activate(b, IMS_IPSEC_REASON_USED))
		ims_registration_queue(b->reg);
	spin_unlock_bh(&in->state_lock);
}

/**
 * ims_bundle_take_into_use() - from here on, a bundle is the one to send over
 * @b: the bundle
 * @reason: why
 *
 * Context: process, sleeps, struct ims_net.lock held; takes .state_lock.
 */
void ims_bundle_take_into_use(struct ims_bundle *b, enum ims_ipsec_reason reason)
{
	struct ims_net *in = b->ep->in;

	spin_lock_bh(&in->state_lock);
	ims_bundle_activate(b, reason);
	spin_unlock_bh(&in->state_lock);
	ims_registration_settle(b->reg);
}

/**
 * ims_bundle_unlink() - take a bundle out of its registration
 * @b: the bundle, its SAs still in the tables
 * @reason: why
 *
 * What was dormant for it is awake when this returns.
 *
 * Context: process, struct ims_net.lock held; takes .state_lock.
 */
void ims_bundle_unlink(struct ims_bundle *b, enum ims_ipsec_reason reason)
{
	struct ims_net *in = b->ep->in;

	lockdep_assert_held(&in->lock);

	spin_lock_bh(&in->state_lock);
	b->dead = true;
	trace_ims_bundle_state(b->id, b->state, IMS_STATE_GONE, reason);
	b->reg->set[b->slot] = NULL;
	ims_registration_wake(b->reg, b);
	spin_unlock_bh(&in->state_lock);
}

static void ims_bundle_tell(struct ims_bundle *b, u8 state)
{
	const u64 old_timeout = b->ep->in->config.old_timeout;
	const u8 told = b->told;

	b->told = state;
	if (state == IMS_IPSEC_STATE_ACTIVE) {
		ims_bundle_rearm(b);
		ims_event_send(b, IMS_IPSEC_EVENT_TYPE_ACTIVATED, b->reason, told, state);
		return;
	}
	if (!b->ending && old_timeout < ims_bundle_remaining(b))
		ims_bundle_arm(b, old_timeout);
	ims_event_send(b, IMS_IPSEC_EVENT_TYPE_SUPERSEDED, b->reason, told, state);
}

/**
 * ims_registration_settle() - events and timers of what has changed
 * @reg: the registration
 *
 * Context: process, sleeps, struct ims_net.lock held.
 */
void ims_registration_settle(struct ims_registration *reg)
{
	static const u8 states[] = { IMS_IPSEC_STATE_ACTIVE, IMS_IPSEC_STATE_OLD };
	struct ims_bundle *b;
	int i, slot;

	lockdep_assert_held(&reg->in->lock);

	/* what is sent over first: there is always something to send over */
	for (i = 0; i < ARRAY_SIZE(states); i++) {
		for (slot = 0; slot < IMS_IPSEC_SETS_MAX; slot++) {
			b = reg->set[slot];
			if (b && READ_ONCE(b->state) == states[i] && b->told != states[i])
				ims_bundle_tell(b, states[i]);
		}
	}
	for (slot = 0; slot < IMS_IPSEC_SETS_MAX; slot++) {
		b = reg->set[slot];
		if (!b)
			continue;
		if (b->nat)
			ims_nat_settle(b);
		else
			ims_offload_settle(b);
	}
}

/**
 * ims_switch_settle() - deal with the registrations that have changed
 * @work: struct ims_net.settle
 *
 * Context: process, sleeps; takes struct ims_net.lock.
 */
void ims_switch_settle(struct work_struct *work)
{
	struct ims_net *in = container_of(work, struct ims_net, settle);
	struct llist_node *list = llist_del_all(&in->unsettled);
	struct ims_registration *reg, *next;

	llist_for_each_entry_safe(reg, next, list, unsettled) {
		/* from here on it may be listed again */
		atomic_set_release(&reg->is_unsettled, 0);
		mutex_lock(&in->lock);
		ims_registration_settle(reg);
		ims_registration_put(reg);
		mutex_unlock(&in->lock);
		cond_resched();
	}
}
