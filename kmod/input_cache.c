// SPDX-License-Identifier: GPL-2.0-only
/*
 * Keeps XFRM's cache of inbound SAs short; compiled where there is one.
 *
 * Before it looks into its table, xfrm_input_state_lookup() walks a list of
 * every inbound SA that this CPU has used so far, in no useful order: with
 * thousands of UEs, a packet's cost is that of the walk. A list that is short
 * leaves the table to do its work.
 *
 * Here and in sa*.c only is looked into struct xfrm_state.
 */
#include <linux/percpu.h>
#include <linux/rculist.h>
#include <net/xfrm.h>

#include "input_cache.h"
#include "netns.h"

/*
 * A list of so many is left alone: so it is shortened, and the lock taken,
 * every so many packets, and a host with a few SAs of others is not touched.
 */
#define IMS_INPUT_CACHE_KEPT	8

/* Most that are taken off at once, so that the lock is not held for long. */
#define IMS_INPUT_CACHE_BATCH	64

static void ims_input_cache_shorten(struct net *net, struct hlist_head *cache)
{
	int left = IMS_INPUT_CACHE_BATCH;
	struct hlist_node *next;
	struct xfrm_state *x;

	/* as __xfrm_state_delete() does */
	spin_lock_bh(&net->xfrm.xfrm_state_lock);
	hlist_for_each_entry_safe(x, next, cache, state_cache_input) {
		hlist_del_init_rcu(&x->state_cache_input);
		if (!--left)
			break;
	}
	spin_unlock_bh(&net->xfrm.xfrm_state_lock);
}

/**
 * ims_input_cache_check() - keep the list of this CPU short
 * @net: where
 *
 * Context: softirq.
 */
void ims_input_cache_check(struct net *net)
{
	struct hlist_head *cache = raw_cpu_ptr(net->xfrm.state_cache_input);
	int left = IMS_INPUT_CACHE_KEPT;
	struct hlist_node *node;

	if (!READ_ONCE(ims_net(net)->guarded))
		return;

	rcu_read_lock();
	node = rcu_dereference(hlist_first_rcu(cache));
	while (node && left--)
		node = rcu_dereference(hlist_next_rcu(node));
	rcu_read_unlock();
	if (node)
		ims_input_cache_shorten(net, cache);
}
