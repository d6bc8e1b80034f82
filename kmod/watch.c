// SPDX-License-Identifier: GPL-2.0-only
/*
 * What others do to XFRM's tables, which are everybody's: an IKE daemon or an
 * operator may flush policies, and then those of the endpoints come back. SAs are
 * shielded from that, see ims_sa_new(); of one that somebody takes away all the same
 * the whole bundle ends.
 */
#include <linux/workqueue.h>
#include <net/xfrm.h>

#include "bundle.h"
#include "endpoint.h"
#include "nat.h"
#include "netns.h"
#include "sa.h"
#include "watch.h"

#define IMS_WATCH_RETRY	HZ

/**
 * ims_watch_retry() - have policies put back that there was no memory for
 * @in: where
 *
 * Context: any.
 */
void ims_watch_retry(struct ims_net *in)
{
	queue_delayed_work(ims_wq, &in->restore, IMS_WATCH_RETRY);
}

/**
 * ims_watch_restore() - put the policies of a namespace back, and those in that could not be
 * @work: struct ims_net.restore
 *
 * Context: process, sleeps; takes struct ims_net.lock.
 */
void ims_watch_restore(struct work_struct *work)
{
	struct ims_net *in = container_of(to_delayed_work(work), struct ims_net, restore);
	int err;

	mutex_lock(&in->lock);
	err = ims_endpoint_restore_policies(in);
	if (!err)
		err = ims_nat_restore_policies(in);
	mutex_unlock(&in->lock);
	if (err)
		ims_watch_retry(in);
}

/*
 * Ours, or one that had or has taken the place of one of ours? Others have as many as they
 * like, and each of those that come and go would cost a look at each of ours.
 */
static bool ims_watch_is_at_port(struct ims_net *in, const struct xfrm_policy *pol, int dir)
{
	const struct ims_port_map *map = rcu_dereference(in->port_map);
	const __be16 port = ims_policy_port(pol);

	return dir == XFRM_POLICY_OUT && port && map && test_bit(ims_port_bit(port), map->bits);
}

/* Called under RCU. Which policies are gone is seen by the work. */
static int ims_watch_policy(struct xfrm_policy *pol, int dir, const struct km_event *c)
{
	struct ims_net *in = ims_net(pol ? xp_net(pol) : c->net);

	if (ims_policy_is_own_notice() || !READ_ONCE(in->guarded))
		return 0;
	switch (c->event) {
	case XFRM_MSG_DELPOLICY:
	case XFRM_MSG_UPDPOLICY:
		if (ims_watch_is_at_port(in, pol, dir))
			mod_delayed_work(ims_wq, &in->restore, 0);
		break;
	case XFRM_MSG_POLEXPIRE:
		if (c->data.hard && ims_watch_is_at_port(in, pol, dir))
			mod_delayed_work(ims_wq, &in->restore, 0);
		break;
	case XFRM_MSG_FLUSHPOLICY:
		if (c->data.type == XFRM_POLICY_TYPE_MAIN)
			mod_delayed_work(ims_wq, &in->restore, 0);
	}
	return 0;
}

/**
 * ims_watch_sa_gone() - end the bundles of which somebody took an SA away
 * @work: struct ims_net.sa_gone
 *
 * Context: process, sleeps; takes struct ims_net.lock.
 */
void ims_watch_sa_gone(struct work_struct *work)
{
	struct ims_net *in = container_of(work, struct ims_net, sa_gone);

	mutex_lock(&in->lock);
	ims_bundle_delete_broken(in);
	mutex_unlock(&in->lock);
}

/*
 * Called under RCU, with x->lock held or not. Of ours only: somebody has it expire, or
 * has given it a lifetime.
 */
static int ims_watch_state(struct xfrm_state *x, const struct km_event *c)
{
	if (c->event == XFRM_MSG_EXPIRE && c->data.hard && ims_sa_is_shielded(x))
		queue_work(ims_wq, &ims_net(xs_net(x))->sa_gone);
	return 0;
}

static bool ims_watch_is_endpoint(struct ims_net *in, const xfrm_address_t *addr, u16 family)
{
	struct ims_endpoint *ep;
	xfrm_address_t local;

	list_for_each_entry_rcu(ep, &in->endpoint_list, node) {
		memset(&local, 0, sizeof(local));
		ims_addr_to_xfrm(&ep->addr, &local);
		if (ep->addr.family == family && xfrm_addr_equal(&local, addr, family))
			return true;
	}
	return false;
}

/*
 * Called under RCU, after what was moved has been deleted: SAs between these addresses,
 * perhaps ours.
 */
static int ims_watch_migrate(const struct xfrm_selector *sel, u8 dir, u8 type,
			     const struct xfrm_migrate *m, int n,
			     const struct xfrm_kmaddress *k, struct net *net,
			     const struct xfrm_encap_tmpl *encap)
{
	struct ims_net *in = ims_net(net);
	int i;

	for (i = 0; i < n; i++)
		if (ims_watch_is_endpoint(in, &m[i].old_saddr, m[i].old_family) ||
		    ims_watch_is_endpoint(in, &m[i].old_daddr, m[i].old_family))
			queue_work(ims_wq, &in->sa_gone);
	return -EINVAL;	/* told nobody */
}

/* XFRM calls these two without looking whether they are there. */
static int ims_watch_acquire(struct xfrm_state *x, struct xfrm_tmpl *t, struct xfrm_policy *pol)
{
	return -EINVAL;	/* not for us */
}

static struct xfrm_policy *ims_watch_compile_policy(struct sock *sk, int opt, u8 *data, int len,
						    int *dir)
{
	return NULL;	/* nor this: @dir keeps the error that it has */
}

static struct xfrm_mgr ims_watch_mgr = {
	.acquire = ims_watch_acquire,
	.compile_policy = ims_watch_compile_policy,
	.notify = ims_watch_state,
	.notify_policy = ims_watch_policy,
	.migrate = ims_watch_migrate,
};

/**
 * ims_watch_init() - begin to watch
 *
 * Context: process.
 */
void ims_watch_init(void)
{
	xfrm_register_km(&ims_watch_mgr);
}

/**
 * ims_watch_exit() - no more is noticed; what was may still be at work
 *
 * Context: process, sleeps.
 */
void ims_watch_exit(void)
{
	xfrm_unregister_km(&ims_watch_mgr);
}
