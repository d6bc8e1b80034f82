// SPDX-License-Identifier: GPL-2.0-only
/*
 * The protected ports of UEs: what this host sends there from a port that is not protected leaves
 * in clear, and the UE throws it away. From one that is, with guard bypass, nothing is to leave in
 * clear where the UE has a set.
 *
 * They are in a table, with nothing of their own: of the bundles that have a UE's port one is
 * there, the first, and when that goes another one in its place.
 */
#include <linux/jhash.h>
#include <linux/rhashtable.h>

#include "bundle.h"
#include "clear.h"
#include "endpoint.h"
#include "netns.h"
#include "sa.h"
#include "ues.h"

/**
 * struct ims_clear_key - a port of a UE
 * @addr: the UE's address
 * @hash: see ims_addr_number()
 * @port: the port
 */
struct ims_clear_key {
	struct ims_addr addr;
	u32 hash;
	__be16 port;
};

static struct ims_clear_key ims_clear_make_key(const struct ims_addr *addr, __be16 port)
{
	return (struct ims_clear_key) { *addr, ims_addr_number(addr), port };
}

/* Where a bundle's SA goes to */
static struct ims_clear_key ims_clear_get_key(const struct ims_bundle *b, enum ims_flow flow)
{
	struct ims_tuple t;

	ims_bundle_tuple(b, flow, &t);
	return ims_clear_make_key(&t.dst, t.dport);
}

/* Of the whole address: who chooses addresses knows which have the same ims_addr_number(). */
static u32 ims_clear_hash(const void *data, u32 len, u32 seed)
{
	const struct ims_clear_key *key = data;

	return jhash(&key->addr.in6, ims_addr_len(&key->addr), seed ^ (__force u32)key->port);
}

static u32 ims_clear_obj_hash(const void *data, u32 len, u32 seed)
{
	const struct ims_ue_port *p = data;
	const struct ims_clear_key key = ims_clear_get_key(ims_bundle_of_ue_port(p), p->flow);

	return ims_clear_hash(&key, len, seed);
}

static int ims_clear_cmp(struct rhashtable_compare_arg *arg, const void *obj)
{
	const struct ims_clear_key *key = arg->key;
	const struct ims_ue_port *p = obj;
	const struct ims_bundle *b = ims_bundle_of_ue_port(p);
	const struct xfrm_state *x;
	__be16 sport;

	/* the SA is looked into for what is found, as a rule, and for nothing else */
	if (b->ue_hash != key->hash)
		return 1;
	x = READ_ONCE(b->sa[p->flow]);
	return ims_sa_ports(x, &sport) != key->port || ims_sa_cmp_dst(x, &key->addr);
}

static const struct rhashtable_params ims_clear_params = {
	.head_offset = offsetof(struct ims_ue_port, node),
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

/**
 * ims_clear_first() - which of the bundles that have a UE's port is in the table
 * @b: one of them
 * @flow: which of its outbound SAs goes to the port
 *
 * Context: any, struct ims_net.lock or .state_lock held.
 * Return: of that bundle the port; NULL if @b is not there yet, or not any more.
 */
struct ims_ue_port *ims_clear_first(const struct ims_bundle *b, enum ims_flow flow)
{
	struct ims_clear_key key;

	/* what is found in the table is not const either */
	if (b->ue_port[flow].is_first)
		return (struct ims_ue_port *)&b->ue_port[flow];
	key = ims_clear_get_key(b, flow);
	return rhashtable_lookup_fast(&b->ep->in->ue_ports, &key, ims_clear_params);
}

/**
 * ims_clear_first_at() - likewise, by the UE's address and port
 * @in: where
 * @addr: the address
 * @port: the port
 *
 * Context: any, struct ims_net.lock or .state_lock held.
 * Return: of that bundle the port; NULL if no bundle has this one.
 */
struct ims_ue_port *ims_clear_first_at(struct ims_net *in, const struct ims_addr *addr,
				       __be16 port)
{
	const struct ims_clear_key key = ims_clear_make_key(addr, port);

	return rhashtable_lookup_fast(&in->ue_ports, &key, ims_clear_params);
}

static int ims_clear_add_port(struct ims_bundle *b, enum ims_flow flow)
{
	struct ims_ue_port *p = &b->ue_port[flow];
	const struct ims_clear_key key = ims_clear_get_key(b, flow);
	struct ims_net *in = b->ep->in;

	p->flow = flow;
	if (rhashtable_lookup_fast(&in->ue_ports, &key, ims_clear_params))
		return 0;
	if (rhashtable_insert_fast(&in->ue_ports, &p->node, ims_clear_params))
		return -ENOMEM;
	spin_lock_bh(&in->state_lock);
	p->is_first = true;
	spin_unlock_bh(&in->state_lock);
	set_bit(ims_port_bit(key.port), ims_clear_map(in)->ues);
	set_bit(ims_clear_bit(key.hash, key.port), ims_clear_map(in)->at_ues);
	return 0;
}

/**
 * ims_clear_add() - have what goes in clear to a bundle's UE noticed
 * @b: the bundle, which has just come into struct ims_net.ues
 *
 * Context: process, sleeps, struct ims_net.lock held; takes .state_lock.
 * Return: 0 or -ENOMEM; ims_clear_remove() clears up.
 */
int ims_clear_add(struct ims_bundle *b)
{
	lockdep_assert_held(&b->ep->in->lock);

	return ims_clear_add_port(b, IMS_FLOW_OUT_UC) ?: ims_clear_add_port(b, IMS_FLOW_OUT_US);
}

static void ims_clear_count_secured(struct ims_bundle *b, int n)
{
	struct ims_ue_port *first;
	enum ims_flow flow;

	for (flow = IMS_FLOW_OUT_UC; flow <= IMS_FLOW_OUT_US; flow++) {
		first = ims_clear_first(b, flow);
		if (!WARN_ON_ONCE(!first))
			WRITE_ONCE(first->n_secured, first->n_secured + n);
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
	ims_clear_count_secured(b, 1);
}

/* Another one is in the table in place of one that goes, with all that hangs on that. */
static void ims_clear_replace(struct ims_net *in, struct ims_ue_port *p, struct ims_ue_port *heir)
{
	struct ims_ue_port *before = p;

	while (before->next && before->next != heir)
		before = before->next;
	if (before->next)
		before->next = heir->next;
	heir->next = p->next;
	heir->n_secured = p->n_secured;
	heir->is_first = true;
	WARN_ON_ONCE(rhashtable_replace_fast(&in->ue_ports, &p->node, &heir->node,
					     ims_clear_params));
}

/* @b: in struct ims_net.ues no more, and without TCP */
static void ims_clear_remove_port(struct ims_bundle *b, enum ims_flow flow)
{
	struct ims_ue_port *p = &b->ue_port[flow], *heir;
	struct ims_net *in = b->ep->in;
	struct ims_clear_key key;

	if (!p->is_first)
		return;
	key = ims_clear_get_key(b, flow);
	heir = ims_ues_find_port(in, &key.addr, key.port);
	spin_lock_bh(&in->state_lock);
	if (heir)
		ims_clear_replace(in, p, heir);
	else
		rhashtable_remove_fast(&in->ue_ports, &p->node, ims_clear_params);
	p->is_first = false;
	spin_unlock_bh(&in->state_lock);
	/* A bit more than there are ports costs a packet a look, and no more. */
	if (atomic_read(&in->ue_ports.nelems))
		return;
	bitmap_zero(ims_clear_map(in)->ues, 65536);
	bitmap_zero(ims_clear_map(in)->at_ues, 1 << IMS_CLEAR_BITS);
}

/**
 * ims_clear_remove() - no more of that
 * @b: the bundle, whose endpoint is still there, but which is neither in struct ims_net.ues any
 *	more nor has TCP; ims_clear_add() may have failed
 *
 * Context: process, struct ims_net.lock held; takes .state_lock.
 */
void ims_clear_remove(struct ims_bundle *b)
{
	lockdep_assert_held(&b->ep->in->lock);

	if (b->is_secured)
		ims_clear_count_secured(b, -1);
	ims_clear_remove_port(b, IMS_FLOW_OUT_UC);
	ims_clear_remove_port(b, IMS_FLOW_OUT_US);
}

static struct ims_ue_port *ims_clear_find(struct ims_net *in, const struct ims_addr *addr,
					  __be16 port)
{
	const struct ims_clear_key key = ims_clear_make_key(addr, port);

	return rhashtable_lookup(&in->ue_ports, &key, ims_clear_params);
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
	const struct ims_addr addr = ims_addr_dst(skb);

	return ims_clear_find(in, &addr, port);
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
	const struct ims_ue_port *first = ims_clear_find(in, addr, port);

	return first ? ims_bundle_of_ue_port(first)->ep : NULL;
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
	const struct ims_ue_port *first = ims_clear_find(in, addr, port);

	return first && READ_ONCE(first->n_secured);
}
