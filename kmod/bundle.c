// SPDX-License-Identifier: GPL-2.0-only
/* Bundles: the four SAs of a registration, made and ended together. */
#include <linux/jiffies.h>
#include <linux/math64.h>
#include <linux/slab.h>

#include "bundle.h"
#include "claim.h"
#include "clear.h"
#include "compat.h"
#include "endpoint.h"
#include "event.h"
#include "limit.h"
#include "nat.h"
#include "netns.h"
#include "offload.h"
#include "sa.h"
#include "state.h"
#include "tcp.h"
#include "ues.h"

/* Of their own size: the next larger one that kmalloc() has is nearly twice that. */
static struct kmem_cache *ims_bundle_cache;

/**
 * ims_bundles_init() - prepare for bundles
 *
 * Context: process, sleeps.
 * Return: 0 or -ENOMEM.
 */
int ims_bundles_init(void)
{
	ims_bundle_cache = KMEM_CACHE(ims_bundle, 0);
	return ims_bundle_cache ? 0 : -ENOMEM;
}

/**
 * ims_bundles_exit() - there are no bundles any more, and no RCU callbacks of theirs
 *
 * Context: process, sleeps.
 */
void ims_bundles_exit(void)
{
	kmem_cache_destroy(ims_bundle_cache);
}

/**
 * ims_bundle_zalloc() - memory for a bundle
 *
 * Context: process, sleeps.
 * Return: the memory, all zero, or NULL.
 */
struct ims_bundle *ims_bundle_zalloc(void)
{
	return kmem_cache_zalloc(ims_bundle_cache, GFP_KERNEL_ACCOUNT);
}

static void ims_bundle_free(struct rcu_head *rcu)
{
	struct ims_bundle *b = container_of(rcu, struct ims_bundle, rcu);
	int i;

	/*
	 * Held until here, so that the guard never meets a new SA at the
	 * memory address of one of ours.
	 */
	for (i = 0; i < IMS_FLOWS; i++)
		if (b->sa[i])
			ims_sa_put(b->sa[i]);
	ims_nat_free(b);
	kmem_cache_free(ims_bundle_cache, b);
}

/**
 * ims_bundle_put() - drop a reference
 * @b: the bundle
 *
 * Context: any.
 */
void ims_bundle_put(struct ims_bundle *b)
{
	if (refcount_dec_and_test(&b->refs))
		call_rcu(&b->rcu, ims_bundle_free);
}

/* Milliseconds in jiffies, rounded up */
static u64 ims_jiffies(u64 ms)
{
	return div_u64(ms * HZ + MSEC_PER_SEC - 1, MSEC_PER_SEC);
}

/**
 * ims_bundle_remaining() - how long a bundle still has
 * @b: the bundle
 *
 * Context: struct ims_net.lock held.
 * Return: milliseconds until it goes.
 */
u64 ims_bundle_remaining(const struct ims_bundle *b)
{
	u64 now = get_jiffies_64();

	lockdep_assert_held(&b->ep->in->lock);

	return time_before64(now, b->deadline) ? jiffies64_to_msecs(b->deadline - now) : 0;
}

/**
 * ims_bundle_spi() - SPI of one of a bundle's SAs
 * @b: the bundle
 * @flow: which SA
 *
 * Return: the SPI.
 */
__be32 ims_bundle_spi(const struct ims_bundle *b, enum ims_flow flow)
{
	return ims_sa_spi(b->sa[flow]);
}

/**
 * ims_bundle_tuple() - addresses and ports that one of a bundle's SAs is for
 * @b: the bundle
 * @flow: which SA
 * @t: gets them
 */
void ims_bundle_tuple(const struct ims_bundle *b, enum ims_flow flow, struct ims_tuple *t)
{
	ims_sa_tuple(b->sa[flow], t);
}

/**
 * ims_bundle_is_current() - is a bundle confirmed, and neither superseded nor being deleted
 * @b: the bundle
 *
 * Context: any.
 * Return: true if so.
 */
bool ims_bundle_is_current(const struct ims_bundle *b)
{
	return ims_state_next(READ_ONCE(b->state), IMS_EVENT_EXTEND) != IMS_STATE_REFUSED;
}

/* The bundle that would take over when this one runs out, being sent over. */
static struct ims_bundle *ims_bundle_successor(const struct ims_bundle *b)
{
	struct ims_bundle *o;
	int i;

	if (!ims_bundle_is_current(b))
		return NULL;
	for (i = 0; i < IMS_IPSEC_SETS_MAX; i++) {
		o = b->reg->set[i];
		if (o && ims_bundle_is_older(b, o) &&
		    READ_ONCE(o->state) == IMS_IPSEC_STATE_ESTABLISHED)
			return o;
	}
	return NULL;
}

/**
 * ims_bundle_set_timer() - set or move a timer of a bundle's
 * @b: the bundle, of which the timer has a reference while it is pending
 * @timer: the timer
 * @expires: jiffies
 *
 * Context: any.
 */
void ims_bundle_set_timer(struct ims_bundle *b, struct timer_list *timer, unsigned long expires)
{
	refcount_inc(&b->refs);
	if (mod_timer(timer, expires))
		ims_bundle_put(b);
}

static bool ims_bundle_due_less(struct rb_node *a, const struct rb_node *b)
{
	return rb_entry(a, struct ims_bundle, by_due)->due <
	       rb_entry(b, struct ims_bundle, by_due)->due;
}

static struct ims_bundle *ims_bundle_first_due(struct ims_net *in)
{
	return rb_entry_safe(rb_first_cached(&in->due), struct ims_bundle, by_due);
}

static void ims_bundle_disarm(struct ims_bundle *b)
{
	if (RB_EMPTY_NODE(&b->by_due))
		return;
	rb_erase_cached(&b->by_due, &b->ep->in->due);
	RB_CLEAR_NODE(&b->by_due);
}

/* Not earlier than it was told already: the work sees for itself when there is nothing to do. */
static void ims_bundle_expire_at(struct ims_net *in, u64 due)
{
	u64 now = get_jiffies_64();

	if (due >= in->expire_at)
		return;
	in->expire_at = due;
	mod_delayed_work(ims_wq, &in->expire,
			 due > now ? min_t(u64, due - now, MAX_JIFFY_OFFSET) : 0);
}

/**
 * ims_bundle_rearm() - have a bundle looked at when there is something to look at
 * @b: the bundle: its end, the time to take its successor into use, or to see
 *	whether it is idle
 *
 * In order, and not by a timer each: the kernel's timers of thousands fire as one, in softirq,
 * however far they were apart, and the longer a lifetime the more of them.
 *
 * Context: process, struct ims_net.lock held.
 */
void ims_bundle_rearm(struct ims_bundle *b)
{
	struct ims_net *in = b->ep->in;
	const struct ims_config *config = &in->config;
	u64 left = ims_bundle_remaining(b);

	if (ims_bundle_successor(b) && left > config->old_timeout)
		left -= config->old_timeout;
	if (config->idle_timeout)
		left = min(left, config->idle_timeout);
	ims_bundle_disarm(b);
	b->due = get_jiffies_64() + ims_jiffies(left);
	rb_add_cached(&b->by_due, &in->due, ims_bundle_due_less);
	ims_bundle_expire_at(in, b->due);
}

/**
 * ims_bundle_arm() - set or move the end of a bundle
 * @b: the bundle
 * @ms: milliseconds from now, at most IMS_IPSEC_LIFETIME_MAX
 *
 * Context: process, struct ims_net.lock held.
 */
void ims_bundle_arm(struct ims_bundle *b, u64 ms)
{
	lockdep_assert_held(&b->ep->in->lock);

	b->deadline = get_jiffies_64() + ims_jiffies(ms);
	ims_bundle_rearm(b);
}

/* A later end, or the one that it has */
static void ims_bundle_lengthen(struct ims_bundle *b, u64 lifetime)
{
	if (lifetime > ims_bundle_remaining(b))
		ims_bundle_arm(b, lifetime);
}

/* Connections over a bundle, unless another one has the same addresses and ports. */
static void ims_bundle_abort_tcp(struct ims_bundle *b)
{
	struct ims_tuple t;
	enum ims_flow flow;

	for (flow = IMS_FLOW_OUT_UC; flow <= IMS_FLOW_OUT_US; flow++) {
		if (ims_bundle_shares(b, flow) || ims_claim_tcp_is_others(b, flow))
			continue;
		ims_bundle_tuple(b, flow, &t);
		ims_tcp_abort(b->ep->in, &t);
	}
}

/**
 * ims_bundle_destroy() - make a bundle unreachable, and tell why
 * @b: the bundle; freed when nobody looks at it
 * @type: what happened
 * @reason: why
 *
 * Context: process, sleeps, struct ims_net.lock held.
 */
void ims_bundle_destroy(struct ims_bundle *b, enum ims_ipsec_event_type type,
			enum ims_ipsec_reason reason)
{
	struct ims_net *in = b->ep->in;
	struct ims_tuple us;
	u8 state, held;
	int i;

	lockdep_assert_held(&in->lock);

	ims_bundle_unlink(b, reason);
	ims_registration_settle(b->reg);
	state = b->state;
	/* while there is something to tell the other end with */
	ims_bundle_abort_tcp(b);
	ims_bundle_disarm(b);
	if (b->nat) {
		ims_nat_end(b);
		in->n_nat--;
	}
	ims_offload_end(b);
	ims_bundle_end_answers(b);
	held = ims_claim_held(b);
	for (i = 0; i < IMS_FLOWS; i++)
		ims_sa_finish(b->sa[i]);
	ims_claim_leave(b, held);
	ims_spi_free(&in->spis, ntohl(ims_bundle_spi(b, IMS_FLOW_IN_PC)));
	ims_spi_free(&in->spis, ntohl(ims_bundle_spi(b, IMS_FLOW_IN_PS)));
	ims_ues_remove(b);
	ims_clear_remove(b);
	xa_erase(&in->bundles, b->id);
	in->n_bundles--;
	if (state == IMS_IPSEC_STATE_TEMPORARY)
		in->n_pending--;
	ims_bundle_tuple(b, IMS_FLOW_OUT_US, &us);
	ims_endpoint_count(b->ep, us.sport, -1);

	ims_event_send(b, type, reason, state, 0);
	ims_registration_put(b->reg);
	ims_bundle_put(b);
	ims_limits_check(in);
}

static bool ims_bundle_is_idle(struct ims_bundle *b)
{
	const u64 timeout = b->ep->in->config.idle_timeout;
	struct ims_bundle_counters c;

	if (!timeout || !ims_bundle_is_current(b))
		return false;
	ims_bundle_count(b, &c);
	if ((u32)c.rx_packets != b->idle_packets) {
		b->idle_packets = c.rx_packets;
		b->idle_since = jiffies;
		return false;
	}
	return time_after_eq(jiffies, b->idle_since + (unsigned long)ims_jiffies(timeout));
}

static void ims_bundle_expire_one(struct ims_net *in, struct ims_bundle *b)
{
	struct ims_bundle *next;
	u64 left;

	left = ims_bundle_remaining(b);
	if (!left) {
		if (b->ending)
			ims_bundle_destroy(b, IMS_IPSEC_EVENT_TYPE_DELETED,
					   IMS_IPSEC_REASON_REQUEST);
		else if (b->state == IMS_IPSEC_STATE_TEMPORARY)
			ims_bundle_destroy(b, IMS_IPSEC_EVENT_TYPE_EXPIRED,
					   IMS_IPSEC_REASON_TEMPORARY_TIMEOUT);
		else
			ims_bundle_destroy(b, IMS_IPSEC_EVENT_TYPE_EXPIRED,
					   IMS_IPSEC_REASON_LIFETIME);
		return;
	}
	if (ims_bundle_is_idle(b)) {
		ims_bundle_destroy(b, IMS_IPSEC_EVENT_TYPE_EXPIRED, IMS_IPSEC_REASON_IDLE);
		return;
	}
	next = ims_bundle_successor(b);
	if (next && left <= in->config.old_timeout)
		ims_bundle_take_into_use(next, IMS_IPSEC_REASON_RUNNING_OUT);
	/* not the end yet */
	ims_bundle_rearm(b);
}

/**
 * ims_bundle_expire() - deal with the bundles whose time has come
 * @work: struct ims_net.expire
 *
 * Context: process, sleeps; takes struct ims_net.lock, for some bundles at a time.
 */
void ims_bundle_expire(struct work_struct *work)
{
	struct ims_net *in = container_of(to_delayed_work(work), struct ims_net, expire);
	unsigned int steps = 0;
	struct ims_bundle *b;

	mutex_lock(&in->lock);
	in->expire_at = U64_MAX;
	while ((b = ims_bundle_first_due(in)) && time_before_eq64(b->due, get_jiffies_64())) {
		ims_bundle_disarm(b);
		ims_bundle_expire_one(in, b);
		ims_net_pause(in, &steps, IMS_SLICE_BUNDLE);
	}
	if (b)
		ims_bundle_expire_at(in, b->due);
	mutex_unlock(&in->lock);
}

/**
 * ims_registration_sent_over() - the bundle that a registration is sent over
 * @reg: the registration
 * @new: one that does not count, as it has just been made; or NULL
 *
 * Context: process, struct ims_net.lock held.
 * Return: the active one, else the oldest that is established, or NULL.
 */
struct ims_bundle *ims_registration_sent_over(const struct ims_registration *reg,
					      const struct ims_bundle *new)
{
	struct ims_bundle *o, *best = NULL;
	int i;

	lockdep_assert_held(&reg->in->lock);

	for (i = 0; i < IMS_IPSEC_SETS_MAX; i++) {
		o = reg->set[i];
		if (!o || o == new || !ims_bundle_is_current(o))
			continue;
		if (!best || o->state == IMS_IPSEC_STATE_ACTIVE ||
		    (best->state != IMS_IPSEC_STATE_ACTIVE && ims_bundle_is_older(o, best)))
			best = o;
	}
	return best;
}

/* All others of its registration but one. */
static void ims_bundle_destroy_others(struct ims_bundle *b, const struct ims_bundle *kept)
{
	struct ims_bundle *o;
	int i;

	for (i = 0; i < IMS_IPSEC_SETS_MAX; i++) {
		o = b->reg->set[i];
		if (o && o != b && o != kept)
			ims_bundle_destroy(o, IMS_IPSEC_EVENT_TYPE_DELETED,
					   IMS_IPSEC_REASON_NEWER);
	}
}

/**
 * ims_bundle_confirm() - the 200 OK has come
 * @b: the bundle
 * @lifetime: milliseconds from now, at least 1, at most IMS_IPSEC_LIFETIME_MAX;
 *	what the bundle sent over so far has left, if that is longer
 * @older: what becomes of the registration's others
 * @over: the one that the request came over, NULL: the one sent over so far
 * @extack: gets the reason
 *
 * What is in its way and is replaced by it ends: the same owner's bundles under another contact
 * whose UE has the same address, with one of its ports or SPIs.
 *
 * One that is confirmed already keeps the longer of the two lifetimes.
 *
 * Context: process, sleeps, struct ims_net.lock held, which may be let go of in between: @b and
 * @over may be gone when this returns.
 * Return: 0, or -EINVAL if it is being deleted, or @over is not another one of its
 * registration.
 */
int ims_bundle_confirm(struct ims_bundle *b, u64 lifetime, enum ims_ipsec_older older,
		       struct ims_bundle *over, struct netlink_ext_ack *extack)
{
	struct ims_net *in = b->ep->in;
	struct ims_claim_walk walk = {};
	struct ims_bundle *o;
	u8 next;

	lockdep_assert_held(&in->lock);

	if (over && (over == b || over->reg != b->reg)) {
		NL_SET_ERR_MSG_FMT(extack, "bundle %u is not another one of its registration",
				   over->id);
		return -EINVAL;
	}
	next = ims_state_next(b->state, IMS_EVENT_CONFIRM);
	if (next == IMS_STATE_REFUSED) {
		NL_SET_ERR_MSG_FMT(extack, "bundle %u is being deleted", b->id);
		return -EINVAL;
	}
	if (b->state != IMS_IPSEC_STATE_TEMPORARY) {
		ims_bundle_lengthen(b, lifetime);
		return 0;
	}

	over = over ?: ims_registration_sent_over(b->reg, b);
	if (over)
		lifetime = max(lifetime, ims_bundle_remaining(over));
	/* if it has not sent anything yet, it has its place now, before others leave theirs */
	ims_claim_prove(b);
	if (ims_bundle_is_fact(b))
		ims_clear_confirm(b);
	ims_bundle_destroy_others(b, older == IMS_IPSEC_OLDER_KEEP ? over : NULL);
	spin_lock_bh(&in->state_lock);
	ims_bundle_set_state(b, next, IMS_IPSEC_REASON_REQUEST);
	spin_unlock_bh(&in->state_lock);
	b->told = next;
	in->n_pending--;
	ims_limits_check(in);
	b->idle_since = jiffies;
	ims_bundle_arm(b, lifetime);
	ims_event_send(b, IMS_IPSEC_EVENT_TYPE_CONFIRMED, IMS_IPSEC_REASON_REQUEST,
		       IMS_IPSEC_STATE_TEMPORARY, next);

	if (older == IMS_IPSEC_OLDER_DROP)
		ims_bundle_take_into_use(b, IMS_IPSEC_REASON_REQUEST);
	else if (over)
		/* it has a successor now */
		ims_bundle_rearm(over);

	/* As many as the owner has asked for: others have their turn meanwhile, and may end @b. */
	refcount_inc(&b->refs);
	while (!b->dead && (o = ims_claim_find_replaced(b, &walk))) {
		ims_bundle_destroy(o, IMS_IPSEC_EVENT_TYPE_DELETED, IMS_IPSEC_REASON_REPLACED);
		ims_net_pause(in, &walk.steps, IMS_SLICE_BUNDLE);
	}
	ims_bundle_put(b);
	return 0;
}

/**
 * ims_bundle_extend() - a 200 OK without a challenge
 * @b: the bundle
 * @lifetime: milliseconds from now, as in ims_bundle_confirm(); a shorter one than
 *	it has changes nothing
 * @extack: gets the reason
 *
 * Context: process, struct ims_net.lock held.
 * Return: 0, or -EINVAL if it is not confirmed, or superseded, or being deleted.
 */
int ims_bundle_extend(struct ims_bundle *b, u64 lifetime, struct netlink_ext_ack *extack)
{
	lockdep_assert_held(&b->ep->in->lock);

	if (!ims_bundle_is_current(b)) {
		NL_SET_ERR_MSG_FMT(extack, "bundle %u is not confirmed, or not used any more",
				   b->id);
		return -EINVAL;
	}
	ims_bundle_lengthen(b, lifetime);
	return 0;
}

/**
 * ims_bundle_delete() - take a bundle down
 * @b: the bundle; gone when this returns if @linger is 0
 * @linger: milliseconds that its SAs stay, at most IMS_IPSEC_TIMEOUT_MAX; it
 *	never makes the bundle live longer than it would have
 *
 * Context: process, sleeps, struct ims_net.lock held.
 */
void ims_bundle_delete(struct ims_bundle *b, u64 linger)
{
	struct ims_net *in = b->ep->in;

	lockdep_assert_held(&in->lock);

	if (!linger) {
		ims_bundle_destroy(b, IMS_IPSEC_EVENT_TYPE_DELETED, IMS_IPSEC_REASON_REQUEST);
		return;
	}
	if (b->state == IMS_IPSEC_STATE_TEMPORARY) {
		in->n_pending--;
		ims_limits_check(in);
	}
	b->ending = true;
	spin_lock_bh(&in->state_lock);
	ims_bundle_set_state(b, ims_state_next(b->state, IMS_EVENT_LINGER),
			     IMS_IPSEC_REASON_REQUEST);
	spin_unlock_bh(&in->state_lock);
	if (linger < ims_bundle_remaining(b))
		ims_bundle_arm(b, linger);
	ims_registration_settle(b->reg);
}

/**
 * ims_bundle_next() - go through all bundles
 * @in: where
 * @pos: where to begin, at first 0, later one more than this function has set it to
 *
 * @in->lock may be let go of in between.
 *
 * Context: process, @in->lock held.
 * Return: a bundle, or NULL if there are no more.
 */
struct ims_bundle *ims_bundle_next(struct ims_net *in, u64 *pos)
{
	unsigned long id = *pos;
	struct ims_bundle *b;

	lockdep_assert_held(&in->lock);

	if (*pos > U32_MAX)
		return NULL;
	b = xa_find(&in->bundles, &id, U32_MAX, XA_PRESENT);
	*pos = id;
	return b;
}

/**
 * ims_bundle_delete_all() - delete bundles because their endpoint goes
 * @in: where
 * @ep: the endpoint, which gets no new ones, @going; NULL: all
 *
 * Context: process, sleeps, @in->lock held; others have their turn meanwhile.
 */
void ims_bundle_delete_all(struct ims_net *in, const struct ims_endpoint *ep)
{
	unsigned int steps = 0;
	struct ims_bundle *b;
	u64 pos;

	lockdep_assert_held(&in->lock);

	for (pos = 0; (ep ? ep->n_bundles : in->n_bundles); pos++) {
		b = ims_bundle_next(in, &pos);
		if (WARN_ON_ONCE(!b))
			break;
		if (!ep || b->ep == ep) {
			ims_bundle_destroy(b, IMS_IPSEC_EVENT_TYPE_DELETED,
					   IMS_IPSEC_REASON_ENDPOINT);
			ims_net_pause(in, &steps, IMS_SLICE_BUNDLE);
		} else {
			ims_net_pause(in, &steps, 1);
		}
	}
}

/* Has somebody else taken away one of a bundle's SAs? */
static bool ims_bundle_is_broken(const struct ims_bundle *b)
{
	struct ims_net *in = b->ep->in;
	enum ims_flow flow;
	u8 gone = 0;

	/* what is put into the tables in between is in them */
	spin_lock_bh(&in->state_lock);
	for (flow = 0; flow < IMS_FLOWS; flow++)
		if (ims_sa_is_gone(b->sa[flow]))
			gone |= BIT(flow);
	gone &= ~(b->done | b->outside);
	spin_unlock_bh(&in->state_lock);
	return gone;
}

/**
 * ims_bundle_delete_broken() - delete bundles of which somebody took an SA away
 * @in: where
 *
 * Which SA it was is not known here, so all bundles are looked at. Of one that has been passed
 * over its end is told anew.
 *
 * Context: process, sleeps, @in->lock held; others have their turn meanwhile.
 */
void ims_bundle_delete_broken(struct ims_net *in)
{
	unsigned int steps = 0;
	struct ims_bundle *b;
	u64 pos;

	lockdep_assert_held(&in->lock);

	for (pos = 0; (b = ims_bundle_next(in, &pos)); pos++) {
		if (ims_bundle_is_broken(b)) {
			ims_bundle_destroy(b, IMS_IPSEC_EVENT_TYPE_DELETED,
					   IMS_IPSEC_REASON_SA_GONE);
			ims_net_pause(in, &steps, IMS_SLICE_BUNDLE);
		} else {
			/* four SAs, each of which has a lock */
			ims_net_pause(in, &steps, IMS_FLOWS);
		}
	}
}

/**
 * ims_bundle_count() - what has gone over a bundle so far
 * @b: the bundle
 * @c: gets it
 *
 * Context: struct ims_net.lock held.
 */
void ims_bundle_count(const struct ims_bundle *b, struct ims_bundle_counters *c)
{
	enum ims_flow flow;

	lockdep_assert_held(&b->ep->in->lock);

	*c = (struct ims_bundle_counters) {};
	for (flow = IMS_FLOW_OUT_UC; flow <= IMS_FLOW_OUT_US; flow++) {
		ims_sa_add_counters(b->sa[flow], &c->tx_packets, &c->tx_bytes);
		c->last_tx = max(c->last_tx, ims_sa_last_used(b->sa[flow]));
	}
	for (flow = IMS_FLOW_IN_PS; flow <= IMS_FLOW_IN_PC; flow++) {
		ims_sa_add_counters(b->sa[flow], &c->rx_packets, &c->rx_bytes);
		ims_sa_add_faults(b->sa[flow], &c->bad_icv, &c->replayed);
		c->last_rx = max(c->last_rx, ims_sa_last_used(b->sa[flow]));
	}
}

/**
 * ims_bundle_mark() - what marks the packets that come over a bundle
 * @in: where
 * @index: its registration's
 * @slot: its place there
 *
 * Return: the mark, within the configured mask; 0 if there is no mask.
 */
u32 ims_bundle_mark(const struct ims_net *in, u32 index, u8 slot)
{
	const u32 mask = in->config.mark_mask;

	return mask ? (index * IMS_IPSEC_SETS_MAX + slot) << __ffs(mask) : 0;
}

/**
 * ims_bundle_of_input() - the bundle that an SA is an inbound one of
 * @in: where
 * @x: the SA that a packet came over
 *
 * Context: any, under RCU.
 * Return: the bundle, NULL if it is not one of ours.
 */
struct ims_bundle *ims_bundle_of_input(struct ims_net *in, const struct xfrm_state *x)
{
	struct ims_bundle *b = xa_load(&in->spis, ntohl(ims_sa_spi(x)));

	if (b && (READ_ONCE(b->sa[IMS_FLOW_IN_PS]) == x || READ_ONCE(b->sa[IMS_FLOW_IN_PC]) == x))
		return b;
	return NULL;
}
