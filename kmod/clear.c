// SPDX-License-Identifier: GPL-2.0-only
/*
 * The protected ports of UEs: what this host sends there from a port that is not protected leaves
 * in clear, and the UE throws it away. From one that is, with guard bypass, nothing is to leave in
 * clear where the UE has a set.
 */
#include <linux/jhash.h>
#include <linux/rhashtable.h>
#include <linux/slab.h>

#include "bundle.h"
#include "clear.h"
#include "endpoint.h"
#include "netns.h"

/**
 * struct ims_clear_key - a port of a UE
 * @addr: the UE's address
 * @port: the port
 */
struct ims_clear_key {
	struct ims_addr addr;
	__be16 port;
};

/**
 * struct ims_clear - a UE's port that bundles have
 * @node: in struct ims_net.ue_ports
 * @rcu: for freeing
 * @key: constant
 * @users: how many bundles have it; under struct ims_net.lock
 * @confirmed: how many of those were confirmed, and come from @key's address; likewise, and read
 *	without
 * @endpoint: id of the endpoint that the first one had; constant
 */
struct ims_clear {
	struct rhash_head node;
	struct rcu_head rcu;
	struct ims_clear_key key;
	u32 users;
	u32 confirmed;
	u32 endpoint;
};

static u32 ims_clear_hash(const void *data, u32 len, u32 seed)
{
	const struct ims_clear_key *key = data;

	return jhash(&key->addr.in6, ims_addr_len(&key->addr), seed ^ (__force u32)key->port);
}

static u32 ims_clear_obj_hash(const void *data, u32 len, u32 seed)
{
	const struct ims_clear *c = data;

	return ims_clear_hash(&c->key, len, seed);
}

static int ims_clear_cmp(struct rhashtable_compare_arg *arg, const void *obj)
{
	const struct ims_clear_key *key = arg->key;
	const struct ims_clear *c = obj;

	return c->key.port != key->port || !ims_addr_equal(&c->key.addr, &key->addr);
}

static const struct rhashtable_params ims_clear_params = {
	.head_offset = offsetof(struct ims_clear, node),
	.hashfn = ims_clear_hash,
	.obj_hashfn = ims_clear_obj_hash,
	.obj_cmpfn = ims_clear_cmp,
	/* Never smaller: to make a table of a million places keeps a CPU. */
};

/**
 * ims_clear_init() - prepare a namespace's table
 * @in: where
 *
 * Return: 0 or -ENOMEM.
 */
int ims_clear_init(struct ims_net *in)
{
	return rhashtable_init(&in->ue_ports, &ims_clear_params);
}

/**
 * ims_clear_exit() - end a namespace's table
 * @in: where; it has no bundles any more
 */
void ims_clear_exit(struct ims_net *in)
{
	rhashtable_destroy(&in->ue_ports);
}

static struct ims_port_map *ims_clear_map(struct ims_net *in)
{
	return rcu_dereference_protected(in->port_map, lockdep_is_held(&in->lock));
}

static void ims_clear_get_key(const struct ims_bundle *b, enum ims_flow flow,
			      struct ims_clear_key *key)
{
	struct ims_tuple t;

	ims_bundle_tuple(b, flow, &t);
	key->addr = t.dst;
	key->port = t.dport;
}

static void ims_clear_put(struct ims_net *in, const struct ims_clear_key *key)
{
	struct ims_clear *c = rhashtable_lookup_fast(&in->ue_ports, key, ims_clear_params);

	if (WARN_ON_ONCE(!c) || --c->users)
		return;
	rhashtable_remove_fast(&in->ue_ports, &c->node, ims_clear_params);
	kfree_rcu(c, rcu);
	/* A bit more than there are ports costs a packet a look, and no more. */
	if (atomic_read(&in->ue_ports.nelems))
		return;
	bitmap_zero(ims_clear_map(in)->ues, 65536);
	bitmap_zero(ims_clear_map(in)->at_ues, 1 << IMS_CLEAR_BITS);
}

static bool ims_clear_get(struct ims_net *in, const struct ims_clear_key *key, u32 endpoint)
{
	struct ims_clear *c = rhashtable_lookup_fast(&in->ue_ports, key, ims_clear_params);

	if (c) {
		c->users++;
		return true;
	}
	c = kmalloc(sizeof(*c), GFP_KERNEL_ACCOUNT);
	if (!c)
		return false;
	c->key = *key;
	c->users = 1;
	c->confirmed = 0;
	c->endpoint = endpoint;
	if (rhashtable_insert_fast(&in->ue_ports, &c->node, ims_clear_params)) {
		kfree(c);
		return false;
	}
	set_bit(ims_port_bit(key->port), ims_clear_map(in)->ues);
	set_bit(ims_clear_bit(ims_addr_number(&key->addr), key->port), ims_clear_map(in)->at_ues);
	return true;
}

/**
 * ims_clear_add() - have what goes in clear to a bundle's UE noticed
 * @b: the bundle, with its SAs
 *
 * Context: process, sleeps, struct ims_net.lock held.
 * Return: 0 or -ENOMEM.
 */
int ims_clear_add(struct ims_bundle *b)
{
	struct ims_clear_key uc, us;
	struct ims_net *in = b->ep->in;

	lockdep_assert_held(&in->lock);

	ims_clear_get_key(b, IMS_FLOW_OUT_UC, &uc);
	ims_clear_get_key(b, IMS_FLOW_OUT_US, &us);
	if (!ims_clear_get(in, &uc, b->ep->id))
		return -ENOMEM;
	b->is_watched = ims_clear_get(in, &us, b->ep->id);
	if (b->is_watched)
		return 0;
	ims_clear_put(in, &uc);
	return -ENOMEM;
}

static void ims_clear_count_confirmed(struct ims_bundle *b, int n)
{
	struct ims_net *in = b->ep->in;
	struct ims_clear_key key;
	struct ims_clear *c;
	enum ims_flow flow;

	for (flow = IMS_FLOW_OUT_UC; flow <= IMS_FLOW_OUT_US; flow++) {
		ims_clear_get_key(b, flow, &key);
		c = rhashtable_lookup_fast(&in->ue_ports, &key, ims_clear_params);
		if (!WARN_ON_ONCE(!c))
			WRITE_ONCE(c->confirmed, c->confirmed + n);
	}
}

/**
 * ims_clear_confirm() - nothing is to go in clear to a bundle's UE any more
 * @b: the bundle, which is confirmed, and whose UE's address is not only said
 *
 * Context: process, struct ims_net.lock held.
 */
void ims_clear_confirm(struct ims_bundle *b)
{
	lockdep_assert_held(&b->ep->in->lock);

	b->is_secured = true;
	ims_clear_count_confirmed(b, 1);
}

/**
 * ims_clear_remove() - no more of that
 * @b: the bundle, whose endpoint is still there; ims_clear_add() may have failed
 *
 * Context: process, struct ims_net.lock held.
 */
void ims_clear_remove(struct ims_bundle *b)
{
	struct ims_net *in = b->ep->in;
	struct ims_clear_key key;
	enum ims_flow flow;

	lockdep_assert_held(&in->lock);

	if (!b->is_watched)
		return;
	if (b->is_secured)
		ims_clear_count_confirmed(b, -1);
	for (flow = IMS_FLOW_OUT_UC; flow <= IMS_FLOW_OUT_US; flow++) {
		ims_clear_get_key(b, flow, &key);
		ims_clear_put(in, &key);
	}
}

/**
 * ims_clear_is_to_ue() - does a packet go to a UE's protected port
 * @in: where
 * @skb: the packet, IPv4 or IPv6
 * @port: its destination port
 *
 * Context: any, under RCU.
 * Return: true if so.
 */
bool ims_clear_is_to_ue(struct ims_net *in, const struct sk_buff *skb, __be16 port)
{
	const struct ims_clear_key key = { ims_addr_dst(skb), port };

	return rhashtable_lookup(&in->ue_ports, &key, ims_clear_params);
}

/**
 * ims_clear_endpoint() - the endpoint whose UE has a port
 * @in: where
 * @addr: address
 * @port: port
 *
 * Context: any, under RCU.
 * Return: the endpoint, NULL if no UE has the port.
 */
struct ims_endpoint *ims_clear_endpoint(struct ims_net *in, const struct ims_addr *addr,
					__be16 port)
{
	const struct ims_clear_key key = { *addr, port };
	const struct ims_clear *c = rhashtable_lookup(&in->ue_ports, &key, ims_clear_params);

	return c ? xa_load(&in->endpoints, c->endpoint) : NULL;
}

/**
 * ims_clear_has_set() - is nothing to go in clear to a UE's port
 * @in: where
 * @addr: address
 * @port: port
 *
 * Context: any, under RCU.
 * Return: true if a UE there has a confirmed bundle with the port.
 */
bool ims_clear_has_set(struct ims_net *in, const struct ims_addr *addr, __be16 port)
{
	const struct ims_clear_key key = { *addr, port };
	const struct ims_clear *c = rhashtable_lookup(&in->ue_ports, &key, ims_clear_params);

	return c && READ_ONCE(c->confirmed);
}
