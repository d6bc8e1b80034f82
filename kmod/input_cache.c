// SPDX-License-Identifier: GPL-2.0-only
/*
 * Keeps XFRM's cache of inbound SAs short; compiled where there is one.
 *
 * Before it looks into its table, xfrm_input_state_lookup() walks a list of
 * every inbound SA that this CPU has used so far, in no useful order: with
 * thousands of UEs, a packet's cost is that of the walk. A list that is short
 * leaves the table to do its work.
 *
 * Here and in sa.c only is looked into struct xfrm_state.
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

/* Before those of the kernel, which end the chain. */
#define IMS_INPUT_CACHE_PRIORITY	1000

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

/* Softirq: the list is this CPU's. */
static void ims_input_cache_check(struct net *net)
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

/* Every ESP packet, in UDP or not, before its SA is looked up; not after GRO. */
static int ims_input_cache_rcv(struct sk_buff *skb)
{
	ims_input_cache_check(dev_net(skb->dev));
	return -EINVAL;	/* not ours, go on */
}

static int ims_input_cache_rcv_encap(struct sk_buff *skb, int nexthdr, __be32 spi,
				     int encap_type)
{
	return ims_input_cache_rcv(skb);
}

/* Every ESP packet when it has been decrypted, or not; GRO's are seen here only. */
static int ims_input_cache_cb(struct sk_buff *skb, int err)
{
	if (xfrm_offload(skb))
		ims_input_cache_check(dev_net(skb->dev));
	return 1;	/* go on */
}

static int ims_input_cache_err4(struct sk_buff *skb, u32 info)
{
	return -ENOENT;	/* go on */
}

static int ims_input_cache_err6(struct sk_buff *skb, struct inet6_skb_parm *opt, u8 type,
				u8 code, int offset, __be32 info)
{
	return -ENOENT;	/* go on */
}

static struct xfrm4_protocol ims_input_cache_esp4 = {
	.handler = ims_input_cache_rcv,
	.input_handler = ims_input_cache_rcv_encap,
	.cb_handler = ims_input_cache_cb,
	.err_handler = ims_input_cache_err4,
	.priority = IMS_INPUT_CACHE_PRIORITY,
};

static struct xfrm6_protocol ims_input_cache_esp6 = {
	.handler = ims_input_cache_rcv,
	.input_handler = ims_input_cache_rcv_encap,
	.cb_handler = ims_input_cache_cb,
	.err_handler = ims_input_cache_err6,
	.priority = IMS_INPUT_CACHE_PRIORITY,
};

/**
 * ims_input_cache_init() - begin to keep the cache short
 *
 * Context: process, sleeps.
 * Return: 0; -EEXIST if another module has this priority; -EAGAIN.
 */
int ims_input_cache_init(void)
{
	int err = xfrm4_protocol_register(&ims_input_cache_esp4, IPPROTO_ESP);

	if (err)
		return err;
	err = xfrm6_protocol_register(&ims_input_cache_esp6, IPPROTO_ESP);
	if (err)
		xfrm4_protocol_deregister(&ims_input_cache_esp4, IPPROTO_ESP);
	return err;
}

/**
 * ims_input_cache_exit() - leave the cache alone
 *
 * Context: process, sleeps. No packet is in the handlers when it returns.
 */
void ims_input_cache_exit(void)
{
	xfrm6_protocol_deregister(&ims_input_cache_esp6, IPPROTO_ESP);
	xfrm4_protocol_deregister(&ims_input_cache_esp4, IPPROTO_ESP);
}
