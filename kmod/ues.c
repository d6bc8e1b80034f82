// SPDX-License-Identifier: GPL-2.0-only
/*
 * Bundles by the UE's address and ports. In order, not hashed: many may have the same, be it
 * that they are behind NATs, whose addresses are everybody's, and phones have fixed ports.
 */
#include "bundle.h"
#include "endpoint.h"
#include "nat.h"
#include "netns.h"
#include "sa.h"
#include "tree.h"
#include "ues.h"

/* The trees of struct ims_net.ues */
enum { IMS_UES_UC, IMS_UES_US };

/*
 * A bundle's place in a tree: its UE's address, by a number of it first, which is at hand on the
 * way through a tree; then, in the bits of a number, the UE's port, whether it has a mark, and of
 * IMS_UES_US the endpoint's port; then the endpoint there, and the bundle.
 */
struct ims_ues_key {
	u32 hash;
	struct ims_addr addr;
	u64 port;
	u32 ep;
	u32 id;
};

static u64 ims_ues_port_uc(__be16 port, enum ims_ues_who who)
{
	return ntohs(port) << 1 | (who == IMS_UES_MARKED);
}

static u64 ims_ues_port_us(__be16 port, enum ims_ues_who who, __be16 port_pc)
{
	return ims_ues_port_uc(port, who) << 16 | ntohs(port_pc);
}

static enum ims_ues_who ims_ues_who(const struct ims_bundle *b)
{
	return ims_nat_is_marked(b) ? IMS_UES_MARKED : IMS_UES_UNMARKED;
}

static struct ims_ues_key ims_ues_key_uc(const struct ims_bundle *b)
{
	struct ims_tuple t;

	ims_bundle_tuple(b, IMS_FLOW_OUT_UC, &t);
	return (struct ims_ues_key) {
		.hash = ims_addr_number(&t.dst),
		.addr = t.dst,
		.port = ims_ues_port_uc(t.dport, ims_ues_who(b)),
		.id = b->id,
	};
}

static struct ims_ues_key ims_ues_key_us(const struct ims_bundle *b)
{
	struct ims_tuple t;

	ims_bundle_tuple(b, IMS_FLOW_OUT_US, &t);
	return (struct ims_ues_key) {
		.hash = ims_addr_number(&t.dst),
		.addr = t.dst,
		.port = ims_ues_port_us(t.dport, ims_ues_who(b), t.sport),
		.ep = b->ep->id,
		.id = b->id,
	};
}

static struct ims_bundle *ims_ues_uc(const struct rb_node *node)
{
	return rb_entry_safe(node, struct ims_bundle, by_uc);
}

static struct ims_bundle *ims_ues_us(const struct rb_node *node)
{
	return rb_entry_safe(node, struct ims_bundle, by_us);
}

/* Is a place behind a bundle's? Not by the bundle's key: to make that takes longer. */
static bool ims_ues_is_behind(const struct ims_ues_key *key, const struct ims_bundle *b,
			      enum ims_flow flow, u64 port, u32 ep)
{
	const int cmp = ims_sa_cmp_dst(b->sa[flow], &key->addr);

	if (cmp)
		return cmp < 0;
	if (key->port != port)
		return key->port > port;
	return key->ep != ep ? key->ep > ep : key->id > b->id;
}

/* 0 for any place that is not before the key's */
static int ims_ues_cmp_from_uc(const void *data, const struct rb_node *node)
{
	const struct ims_bundle *b = rb_entry(node, struct ims_bundle, by_uc);
	const struct ims_ues_key *key = data;
	__be16 port_ps, port_uc;

	if (key->hash != b->ue_hash)
		return key->hash > b->ue_hash;
	port_uc = ims_sa_ports(b->sa[IMS_FLOW_OUT_UC], &port_ps);
	return ims_ues_is_behind(key, b, IMS_FLOW_OUT_UC,
				 ims_ues_port_uc(port_uc, ims_ues_who(b)), 0);
}

static int ims_ues_cmp_from_us(const void *data, const struct rb_node *node)
{
	const struct ims_bundle *b = rb_entry(node, struct ims_bundle, by_us);
	const struct ims_ues_key *key = data;
	__be16 port_pc, port_us;

	if (key->hash != b->ue_hash)
		return key->hash > b->ue_hash;
	port_us = ims_sa_ports(b->sa[IMS_FLOW_OUT_US], &port_pc);
	return ims_ues_is_behind(key, b, IMS_FLOW_OUT_US,
				 ims_ues_port_us(port_us, ims_ues_who(b), port_pc), b->ep->id);
}

/* By the number of the UE's address alone: no SA is looked into. */
static int ims_ues_cmp_number(const void *key, const struct rb_node *node)
{
	const u32 number = *(const u32 *)key, hash = ims_ues_uc(node)->ue_hash;

	return number < hash ? -1 : number > hash;
}

/*
 * Is there a bundle at an address with that number? Most new bundles are the first at theirs, and
 * the same is asked several times in a row.
 */
static bool ims_ues_is_any(struct ims_net *in, u32 number)
{
	struct ims_ues_seen *seen = &in->ues_seen;

	if (!seen->is_known || seen->number != number)
		*seen = (struct ims_ues_seen) {
			.number = number,
			.any = rb_find(&number, &in->ues[IMS_UES_UC], ims_ues_cmp_number),
			.is_known = true,
		};
	return seen->any;
}

/**
 * ims_ues_init() - prepare a namespace's trees
 * @in: where
 */
void ims_ues_init(struct ims_net *in)
{
	in->ues[IMS_UES_UC] = RB_ROOT;
	in->ues[IMS_UES_US] = RB_ROOT;
}

/**
 * ims_ues_add() - a bundle can be found by its UE's address and ports
 * @b: the bundle, which has its SAs and its id
 *
 * Context: process, struct ims_net.lock held.
 */
void ims_ues_add(struct ims_bundle *b)
{
	const struct ims_ues_key uc = ims_ues_key_uc(b), us = ims_ues_key_us(b);
	struct ims_net *in = b->ep->in;

	lockdep_assert_held(&in->lock);

	b->ue_hash = uc.hash;
	in->ues_seen.is_known = false;
	ims_tree_insert(&b->by_uc, &in->ues[IMS_UES_UC], &uc, ims_ues_cmp_from_uc);
	ims_tree_insert(&b->by_us, &in->ues[IMS_UES_US], &us, ims_ues_cmp_from_us);
}

/**
 * ims_ues_remove() - a bundle cannot be found any more
 * @b: the bundle
 *
 * Context: process, struct ims_net.lock held.
 */
void ims_ues_remove(struct ims_bundle *b)
{
	struct ims_net *in = b->ep->in;

	lockdep_assert_held(&in->lock);

	in->ues_seen.is_known = false;
	rb_erase(&b->by_uc, &in->ues[IMS_UES_UC]);
	rb_erase(&b->by_us, &in->ues[IMS_UES_US]);
}

/**
 * ims_ues_next() - go through the bundles of a UE's address
 * @in: where
 * @ue_addr: the address
 * @pos: where to begin, at first 0, later one more than this function has set it to
 *
 * @in->lock may be let go of in between.
 *
 * Context: process, @in->lock held.
 * Return: a bundle, or NULL if there are no more.
 */
struct ims_bundle *ims_ues_next(struct ims_net *in, const struct ims_addr *ue_addr, u64 *pos)
{
	struct ims_ues_key key = {
		.hash = ims_addr_number(ue_addr), .addr = *ue_addr, .port = *pos >> 32, .id = *pos,
	};
	struct ims_bundle *b;

	lockdep_assert_held(&in->lock);

	b = ims_ues_uc(rb_find_first(&key, &in->ues[IMS_UES_UC], ims_ues_cmp_from_uc));
	if (!b)
		return NULL;
	key = ims_ues_key_uc(b);
	*pos = key.port << 32 | key.id;
	return ims_addr_equal(&key.addr, ue_addr) ? b : NULL;
}

/**
 * ims_ues_find() - a bundle of a UE's address
 * @in: where
 * @ue_addr: the address
 * @match: is it the one?
 * @data: for @match
 *
 * Takes the longer the more there are at the address: what knows more than that asks one of
 * those that follow.
 *
 * Context: process, @in->lock held.
 * Return: one that matches, or NULL.
 */
struct ims_bundle *ims_ues_find(struct ims_net *in, const struct ims_addr *ue_addr,
				ims_ues_match *match, const void *data)
{
	struct ims_bundle *b;
	u64 pos;

	for (pos = 0; (b = ims_ues_next(in, ue_addr, &pos)); pos++)
		if (match(b, data))
			return b;
	return NULL;
}

/**
 * ims_ues_find_uc() - a bundle of a UE's client port
 * @in: where
 * @ue_addr: the UE's address
 * @port_uc: the port
 * @who: which of those there
 * @match: is it the one?
 * @data: for @match
 *
 * Context: process, @in->lock held.
 * Return: one that matches, or NULL.
 */
struct ims_bundle *ims_ues_find_uc(struct ims_net *in, const struct ims_addr *ue_addr,
				   __be16 port_uc, enum ims_ues_who who,
				   ims_ues_match *match, const void *data)
{
	const struct ims_ues_key from = {
		.hash = ims_addr_number(ue_addr),
		.addr = *ue_addr, .port = ims_ues_port_uc(port_uc, who),
	};
	struct ims_ues_key key;
	struct rb_node *node;

	lockdep_assert_held(&in->lock);

	if (!ims_ues_is_any(in, from.hash))
		return NULL;
	node = rb_find_first(&from, &in->ues[IMS_UES_UC], ims_ues_cmp_from_uc);
	for (; node; node = rb_next(node)) {
		key = ims_ues_key_uc(ims_ues_uc(node));
		if (key.port != from.port || !ims_addr_equal(&key.addr, ue_addr))
			return NULL;
		if (match(ims_ues_uc(node), data))
			return ims_ues_uc(node);
	}
	return NULL;
}

/**
 * ims_ues_find_us() - a bundle between a UE's server port and one of ours
 * @in: where
 * @ue_addr: the UE's address
 * @port_us: its port
 * @who: which of those there
 * @port_pc: our port; 0: any
 * @ep: the endpoint that has it; NULL: any, as it is where @port_pc is 0
 * @match: is it the one?
 * @data: for @match
 *
 * Context: process, @in->lock held.
 * Return: one that matches, or NULL.
 */
struct ims_bundle *ims_ues_find_us(struct ims_net *in, const struct ims_addr *ue_addr,
				   __be16 port_us, enum ims_ues_who who, __be16 port_pc,
				   const struct ims_endpoint *ep,
				   ims_ues_match *match, const void *data)
{
	const struct ims_ues_key from = {
		.hash = ims_addr_number(ue_addr),
		.addr = *ue_addr, .port = ims_ues_port_us(port_us, who, port_pc),
		.ep = ep ? ep->id : 0,
	};
	/* of our port there are the lower bits */
	const unsigned int shift = port_pc ? 0 : 16;
	struct ims_ues_key key;
	struct rb_node *node;

	lockdep_assert_held(&in->lock);

	if (!ims_ues_is_any(in, from.hash))
		return NULL;
	node = rb_find_first(&from, &in->ues[IMS_UES_US], ims_ues_cmp_from_us);
	for (; node; node = rb_next(node)) {
		key = ims_ues_key_us(ims_ues_us(node));
		if (key.port >> shift != from.port >> shift || (ep && key.ep != from.ep) ||
		    !ims_addr_equal(&key.addr, ue_addr))
			return NULL;
		if (match(ims_ues_us(node), data))
			return ims_ues_us(node);
	}
	return NULL;
}

/* Which bundles at a port is not asked: those without a mark come first. */
static bool ims_ues_has_port(const struct ims_bundle *b, enum ims_flow flow,
			     const struct ims_addr *ue_addr, __be16 port)
{
	struct ims_tuple t;

	if (!b)
		return false;
	ims_bundle_tuple(b, flow, &t);
	return t.dport == port && ims_addr_equal(&t.dst, ue_addr);
}

/**
 * ims_ues_find_port() - any bundle that has a UE's port, as the client's or the server's
 * @in: where
 * @ue_addr: the UE's address
 * @port: the port
 *
 * Context: process, @in->lock held.
 * Return: of a bundle the port, or NULL.
 */
struct ims_ue_port *ims_ues_find_port(struct ims_net *in, const struct ims_addr *ue_addr,
				      __be16 port)
{
	struct ims_ues_key from = {
		.hash = ims_addr_number(ue_addr),
		.addr = *ue_addr, .port = ims_ues_port_uc(port, IMS_UES_UNMARKED),
	};
	struct ims_bundle *b;

	lockdep_assert_held(&in->lock);

	if (!ims_ues_is_any(in, from.hash))
		return NULL;
	b = ims_ues_uc(rb_find_first(&from, &in->ues[IMS_UES_UC], ims_ues_cmp_from_uc));
	if (ims_ues_has_port(b, IMS_FLOW_OUT_UC, ue_addr, port))
		return &b->ue_port[IMS_FLOW_OUT_UC];
	from.port = ims_ues_port_us(port, IMS_UES_UNMARKED, 0);
	b = ims_ues_us(rb_find_first(&from, &in->ues[IMS_UES_US], ims_ues_cmp_from_us));
	return ims_ues_has_port(b, IMS_FLOW_OUT_US, ue_addr, port) ?
		&b->ue_port[IMS_FLOW_OUT_US] : NULL;
}
