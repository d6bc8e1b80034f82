// SPDX-License-Identifier: GPL-2.0-only
/* Bundles: the four SAs of a registration, made and ended together. */
#include <linux/jiffies.h>
#include <linux/math64.h>
#include <linux/slab.h>

#include "bundle.h"
#include "compat.h"
#include "endpoint.h"
#include "event.h"
#include "netns.h"
#include "sa.h"

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
	kfree(b);
}

static void ims_bundle_put(struct ims_bundle *b)
{
	if (refcount_dec_and_test(&b->refs))
		call_rcu(&b->rcu, ims_bundle_free);
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

/* In softirq: what there is to do takes a mutex. */
static void ims_bundle_timer(struct timer_list *timer)
{
	struct ims_bundle *b = container_of(timer, struct ims_bundle, timer);

	/* Set again and fired again before the work has come to it? */
	if (atomic_xchg(&b->is_expired, 1)) {
		ims_bundle_put(b);
		return;
	}
	llist_add(&b->expired, &b->ep->in->expired);
	queue_work(ims_wq, &b->ep->in->expire);
}

/* Set or move the end of a bundle; milliseconds, at most IMS_IPSEC_LIFETIME_MAX. */
static void ims_bundle_arm(struct ims_bundle *b, u64 ms)
{
	u64 delay = div_u64(ms * HZ + MSEC_PER_SEC - 1, MSEC_PER_SEC);

	lockdep_assert_held(&b->ep->in->lock);

	b->deadline = get_jiffies_64() + delay;
	/* What is too long for a timer is armed again when it fires. */
	refcount_inc(&b->refs);
	if (mod_timer(&b->timer, jiffies + min_t(u64, delay, MAX_JIFFY_OFFSET)))
		ims_bundle_put(b);
}

/* Make a bundle unreachable, and tell why. It is freed when nobody looks at it. */
static void ims_bundle_destroy(struct ims_bundle *b, enum ims_ipsec_event_type type,
			       enum ims_ipsec_reason reason)
{
	struct ims_net *in = b->ep->in;
	int i;

	lockdep_assert_held(&in->lock);

	b->dead = true;
	if (timer_delete_sync(&b->timer))
		ims_bundle_put(b);
	for (i = 0; i < IMS_FLOWS; i++)
		ims_sa_delete(b->sa[i], true);
	ims_spi_free(&in->spis, ntohl(ims_bundle_spi(b, IMS_FLOW_IN_PC)));
	ims_spi_free(&in->spis, ntohl(ims_bundle_spi(b, IMS_FLOW_IN_PS)));
	xa_erase(&in->bundles, b->id);
	in->n_bundles--;
	if (b->state == IMS_IPSEC_STATE_TEMPORARY)
		in->n_pending--;
	b->ep->n_bundles--;

	ims_event_send(b, type, reason, b->state, 0);
	ims_bundle_put(b);
}

static void ims_bundle_expire_one(struct ims_bundle *b)
{
	u64 left;

	if (b->dead)
		return;
	left = ims_bundle_remaining(b);
	if (left) {
		/* moved while this waited for the lock, or too long for a timer */
		ims_bundle_arm(b, left);
		return;
	}
	switch (b->state) {
	case IMS_IPSEC_STATE_TEMPORARY:
		ims_bundle_destroy(b, IMS_IPSEC_EVENT_TYPE_EXPIRED,
				   IMS_IPSEC_REASON_TEMPORARY_TIMEOUT);
		break;
	case IMS_IPSEC_STATE_OLD:
		ims_bundle_destroy(b, IMS_IPSEC_EVENT_TYPE_DELETED, IMS_IPSEC_REASON_REQUEST);
		break;
	default:
		ims_bundle_destroy(b, IMS_IPSEC_EVENT_TYPE_EXPIRED, IMS_IPSEC_REASON_LIFETIME);
	}
}

/**
 * ims_bundle_expire() - deal with the bundles whose timers have fired
 * @work: struct ims_net.expire
 *
 * Context: process, sleeps; takes struct ims_net.lock.
 */
void ims_bundle_expire(struct work_struct *work)
{
	struct ims_net *in = container_of(work, struct ims_net, expire);
	struct llist_node *list = llist_del_all(&in->expired);
	struct ims_bundle *b, *next;

	llist_for_each_entry_safe(b, next, list, expired) {
		/* from here on it may be listed again */
		atomic_set_release(&b->is_expired, 0);
		/* for each anew: there may be many, and a request that waits */
		mutex_lock(&in->lock);
		ims_bundle_expire_one(b);
		mutex_unlock(&in->lock);
		ims_bundle_put(b);
	}
}

static int ims_bundle_check(const struct ims_endpoint *ep, const struct ims_bundle_params *p,
			    struct netlink_ext_ack *extack)
{
	if (p->ue_addr.family != ep->addr.family) {
		NL_SET_ERR_MSG(extack, "ue-address is not of the endpoint's family");
		return -EINVAL;
	}
	if (!ims_addr_is_host(&p->ue_addr)) {
		NL_SET_ERR_MSG(extack, "ue-address is not one that a host can have");
		return -EINVAL;
	}
	if (ims_addr_equal(&p->ue_addr, &ep->addr)) {
		NL_SET_ERR_MSG(extack, "ue-address is the endpoint's own");
		return -EINVAL;
	}
	if (!ims_port_is_protectable(p->port_uc) || !ims_port_is_protectable(p->port_us)) {
		NL_SET_ERR_MSG(extack, "port-uc and port-us cannot be 5060 or 5061");
		return -EINVAL;
	}
	if (p->port_uc == p->port_us) {
		NL_SET_ERR_MSG(extack, "port-uc and port-us are the same");
		return -EINVAL;
	}
	if (p->spi_uc == p->spi_us) {
		NL_SET_ERR_MSG(extack, "spi-uc and spi-us are the same");
		return -EINVAL;
	}
	/* the pool is all of its ports but port_ps */
	if (!p->port_pc ||
	    (p->port_pc != ep->ports.port[0] && ims_endpoint_has_port(ep, p->port_pc)))
		return 0;
	NL_SET_ERR_MSG_FMT(extack, "port-pc %u is not of endpoint %u's pool",
			   ntohs(p->port_pc), ep->id);
	return -EINVAL;
}

static int ims_bundle_check_limits(struct ims_net *in, struct netlink_ext_ack *extack)
{
	if (in->n_bundles >= in->config.max_bundles) {
		NL_SET_ERR_MSG_FMT(extack, "max_bundles (%u) reached", in->config.max_bundles);
		return -ENOSPC;
	}
	if (in->n_pending >= in->config.max_pending) {
		NL_SET_ERR_MSG_FMT(extack, "max_pending (%u) reached", in->config.max_pending);
		return -ENOSPC;
	}
	return 0;
}

struct ims_bundle_spi_query {
	const struct ims_bundle *b;
	const struct ims_bundle_params *p;
};

/* An SPI that the range has free may still be the UE's or somebody else's. */
static bool ims_bundle_spi_is_taken(u32 spi, const void *data)
{
	const struct ims_bundle_spi_query *query = data;
	__be32 be = htonl(spi);

	/* no reflection: a packet of ours must not be one to us (TS 33.203) */
	if (be == query->p->spi_uc || be == query->p->spi_us)
		return true;
	return ims_sa_spi_is_taken(query->b->ep->in->net, &query->b->ep->addr, be);
}

static int ims_bundle_alloc_spi(struct ims_bundle *b, const struct ims_bundle_params *p,
				__be32 *spi, struct netlink_ext_ack *extack)
{
	const struct ims_spi_range *range = &b->ep->in->config.spi;
	const struct ims_bundle_spi_query query = { b, p };
	struct ims_net *in = b->ep->in;
	u32 host;
	int err;

	err = ims_spi_alloc(&in->spis, range, &in->next_spi, b, ims_bundle_spi_is_taken,
			    &query, &host);
	if (err == -ENOSPC)
		NL_SET_ERR_MSG_FMT(extack, "no SPI is free in %u to %u", range->min, range->max);
	if (!err)
		*spi = htonl(host);
	return err;
}

static int ims_bundle_alloc_sas(struct ims_bundle *b, const struct ims_bundle_params *p,
				const __be32 *spis, struct netlink_ext_ack *extack)
{
	struct ims_endpoint *ep = b->ep;
	/* In turn, so that a set and its successor differ in it (TS 24.229). */
	const __be16 port_pc = p->port_pc ?:
			       ep->ports.port[1 + ep->next_pc++ % (ep->ports.n - 1)];
	const struct {
		__be16 ours;
		__be16 ues;
		bool out;
	} flows[IMS_FLOWS] = {
		[IMS_FLOW_OUT_UC] = { ep->ports.port[0], p->port_uc, true },
		[IMS_FLOW_OUT_US] = { port_pc, p->port_us, true },
		[IMS_FLOW_IN_PS] = { ep->ports.port[0], p->port_uc, false },
		[IMS_FLOW_IN_PC] = { port_pc, p->port_us, false },
	};
	struct ims_alg_keys keys;
	int i, err;

	err = ims_alg_expand(p->pair, &keys, p->ik, p->ck);
	if (err == -ENOENT) {
		NL_SET_ERR_MSG(extack, "this kernel has no hmac(sha256)");
		err = -EOPNOTSUPP;
	}
	for (i = 0; i < IMS_FLOWS && !err; i++) {
		bool out = flows[i].out;
		const struct ims_sa_params sap = {
			.net = ep->in->net,
			.src = out ? &ep->addr : &p->ue_addr,
			.dst = out ? &p->ue_addr : &ep->addr,
			.sport = out ? flows[i].ours : flows[i].ues,
			.dport = out ? flows[i].ues : flows[i].ours,
			.spi = spis[i],
			.reqid = ep->reqid,
			.out = out,
			.pair = p->pair,
			.keys = &keys,
		};
		struct xfrm_state *x = ims_sa_alloc(&sap, extack);

		if (IS_ERR(x))
			err = PTR_ERR(x);
		else
			b->sa[i] = x;
	}
	memzero_explicit(&keys, sizeof(keys));
	return err;
}

/* All four or none; on error the SAs that were added are deleted, not freed. */
static int ims_bundle_add_sas(struct ims_bundle *b, struct netlink_ext_ack *extack)
{
	int i, err;

	for (i = 0; i < IMS_FLOWS; i++) {
		err = ims_sa_add(b->sa[i], extack);
		if (err)
			goto undo;
	}
	for (i = 0; i < IMS_FLOWS; i++)
		ims_sa_announce(b->sa[i]);
	return 0;

undo:
	while (i--) {
		ims_sa_delete(b->sa[i], false);
		ims_sa_put(b->sa[i]);
		b->sa[i] = NULL;
	}
	return err;
}

static struct ims_bundle *ims_bundle_alloc(struct ims_endpoint *ep,
					   const struct ims_bundle_params *p)
{
	struct ims_bundle *b = kzalloc(struct_size(b, names, p->owner_len + p->contact_len),
				       GFP_KERNEL_ACCOUNT);

	if (!b)
		return NULL;
	b->ep = ep;
	timer_setup(&b->timer, ims_bundle_timer, 0);
	refcount_set(&b->refs, 1);
	b->state = IMS_IPSEC_STATE_TEMPORARY;
	b->mode = p->mode;
	b->pair = p->pair - ims_alg_pairs;
	b->owner_len = p->owner_len;
	b->contact_len = p->contact_len;
	memcpy(b->names, p->owner, p->owner_len);
	memcpy(b->names + p->owner_len, p->contact, p->contact_len);
	return b;
}

/**
 * ims_bundle_create() - put the four SAs of a registration in place
 * @in: where
 * @ep: the endpoint
 * @p: what to make
 * @extack: gets the reason
 *
 * The bundle is temporary and goes after temporary_timeout.
 *
 * Context: process, sleeps, @in->lock held.
 * Return: the bundle, or an ERR_PTR: -EINVAL, -ENOMEM, -EOPNOTSUPP for
 * algorithms that are not allowed or not built, -ENOSPC for the range or a limit, -EEXIST if
 * an SA with one of the UE's SPIs to its address is there. On error nothing
 * is left.
 */
struct ims_bundle *ims_bundle_create(struct ims_net *in, struct ims_endpoint *ep,
				     const struct ims_bundle_params *p,
				     struct netlink_ext_ack *extack)
{
	__be32 spis[IMS_FLOWS] = {
		[IMS_FLOW_OUT_UC] = p->spi_uc,
		[IMS_FLOW_OUT_US] = p->spi_us,
	};
	struct ims_bundle *b;
	int i, err;

	lockdep_assert_held(&in->lock);

	err = ims_bundle_check(ep, p, extack);
	if (err)
		return ERR_PTR(err);
	err = ims_alg_list_check(&in->config.algs, &p->allowed, p->pair, extack);
	if (err)
		return ERR_PTR(err);
	err = ims_bundle_check_limits(in, extack);
	if (err)
		return ERR_PTR(err);

	b = ims_bundle_alloc(ep, p);
	if (!b)
		return ERR_PTR(-ENOMEM);
	err = ims_bundle_alloc_spi(b, p, &spis[IMS_FLOW_IN_PS], extack);
	if (err)
		goto free;
	err = ims_bundle_alloc_spi(b, p, &spis[IMS_FLOW_IN_PC], extack);
	if (err)
		goto free_spi_ps;
	err = xa_alloc_cyclic(&in->bundles, &b->id, b, xa_limit_32b, &in->next_bundle_id,
			      GFP_KERNEL_ACCOUNT);
	if (err < 0)
		goto free_spi_pc;
	err = ims_bundle_alloc_sas(b, p, spis, extack);
	if (err)
		goto discard;
	err = ims_bundle_add_sas(b, extack);
	if (err)
		goto discard;

	in->n_bundles++;
	in->n_pending++;
	ep->n_bundles++;
	ims_bundle_arm(b, in->config.temporary_timeout);
	ims_event_send(b, IMS_IPSEC_EVENT_TYPE_CREATED, IMS_IPSEC_REASON_REQUEST, 0, b->state);
	return b;

discard:
	for (i = 0; i < IMS_FLOWS; i++) {
		if (b->sa[i])
			ims_sa_discard(b->sa[i]);
		b->sa[i] = NULL;
	}
	xa_erase(&in->bundles, b->id);
free_spi_pc:
	ims_spi_free(&in->spis, ntohl(spis[IMS_FLOW_IN_PC]));
free_spi_ps:
	ims_spi_free(&in->spis, ntohl(spis[IMS_FLOW_IN_PS]));
free:
	/* the guard may have found it by its SPI */
	ims_bundle_put(b);
	return ERR_PTR(err);
}

/**
 * ims_bundle_confirm() - the 200 OK has come
 * @b: the bundle
 * @lifetime: milliseconds from now, at least 1, at most IMS_IPSEC_LIFETIME_MAX
 * @extack: gets the reason
 *
 * One that is confirmed already keeps the longer of the two lifetimes.
 *
 * Context: process, struct ims_net.lock held.
 * Return: 0, or -EINVAL if it is being deleted.
 */
int ims_bundle_confirm(struct ims_bundle *b, u64 lifetime, struct netlink_ext_ack *extack)
{
	struct ims_net *in = b->ep->in;

	lockdep_assert_held(&in->lock);

	switch (b->state) {
	case IMS_IPSEC_STATE_TEMPORARY:
		b->state = IMS_IPSEC_STATE_ESTABLISHED;
		in->n_pending--;
		ims_bundle_arm(b, lifetime);
		ims_event_send(b, IMS_IPSEC_EVENT_TYPE_CONFIRMED, IMS_IPSEC_REASON_REQUEST,
			       IMS_IPSEC_STATE_TEMPORARY, b->state);
		return 0;
	case IMS_IPSEC_STATE_OLD:
		NL_SET_ERR_MSG_FMT(extack, "bundle %u is being deleted", b->id);
		return -EINVAL;
	default:
		if (lifetime > ims_bundle_remaining(b))
			ims_bundle_arm(b, lifetime);
		return 0;
	}
}

/**
 * ims_bundle_delete() - take a bundle down
 * @b: the bundle; gone when this returns if @linger is 0
 * @linger: milliseconds that its SAs stay, at most IMS_IPSEC_TIMEOUT_MAX; it
 *	never makes the bundle live longer than it would have
 *
 * Context: process, struct ims_net.lock held.
 */
void ims_bundle_delete(struct ims_bundle *b, u64 linger)
{
	lockdep_assert_held(&b->ep->in->lock);

	if (!linger) {
		ims_bundle_destroy(b, IMS_IPSEC_EVENT_TYPE_DELETED, IMS_IPSEC_REASON_REQUEST);
		return;
	}
	if (b->state == IMS_IPSEC_STATE_TEMPORARY)
		b->ep->in->n_pending--;
	b->state = IMS_IPSEC_STATE_OLD;
	if (linger < ims_bundle_remaining(b))
		ims_bundle_arm(b, linger);
}

/**
 * ims_bundle_delete_all() - delete bundles because their endpoint goes
 * @in: where
 * @ep: the endpoint, NULL: all
 *
 * Context: process, sleeps, @in->lock held.
 */
void ims_bundle_delete_all(struct ims_net *in, const struct ims_endpoint *ep)
{
	struct ims_bundle *b;
	unsigned long id;

	lockdep_assert_held(&in->lock);

	xa_for_each(&in->bundles, id, b) {
		if (ep && b->ep != ep)
			continue;
		ims_bundle_destroy(b, IMS_IPSEC_EVENT_TYPE_DELETED, IMS_IPSEC_REASON_ENDPOINT);
		cond_resched();
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
	lockdep_assert_held(&b->ep->in->lock);

	*c = (struct ims_bundle_counters) {};
	ims_sa_add_counters(b->sa[IMS_FLOW_IN_PS], &c->rx_packets, &c->rx_bytes);
	ims_sa_add_counters(b->sa[IMS_FLOW_IN_PC], &c->rx_packets, &c->rx_bytes);
	ims_sa_add_counters(b->sa[IMS_FLOW_OUT_UC], &c->tx_packets, &c->tx_bytes);
	ims_sa_add_counters(b->sa[IMS_FLOW_OUT_US], &c->tx_packets, &c->tx_bytes);
}

/**
 * ims_bundle_owns_input() - is this an inbound SA of one of an endpoint's bundles
 * @in: where
 * @ep: the endpoint
 * @x: the SA that a packet came over
 *
 * Context: any, under RCU.
 * Return: true if so.
 */
bool ims_bundle_owns_input(struct ims_net *in, const struct ims_endpoint *ep,
			   const struct xfrm_state *x)
{
	const struct ims_bundle *b = xa_load(&in->spis, ntohl(ims_sa_spi(x)));

	return b && b->ep == ep &&
	       (READ_ONCE(b->sa[IMS_FLOW_IN_PS]) == x || READ_ONCE(b->sa[IMS_FLOW_IN_PC]) == x);
}
