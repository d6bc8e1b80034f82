// SPDX-License-Identifier: GPL-2.0-only
/* Bundles by the UE's address. */
#include <linux/jhash.h>
#include <linux/rhashtable.h>

#include "bundle.h"
#include "endpoint.h"
#include "netns.h"
#include "ues.h"

static struct ims_addr ims_ues_addr(const struct ims_bundle *b)
{
	struct ims_tuple t;

	ims_bundle_tuple(b, IMS_FLOW_OUT_UC, &t);
	return t.dst;
}

static u32 ims_ues_hash(const void *data, u32 len, u32 seed)
{
	const struct ims_addr *addr = data;

	return jhash(&addr->in6, ims_addr_len(addr), seed);
}

static u32 ims_ues_obj_hash(const void *data, u32 len, u32 seed)
{
	const struct ims_addr addr = ims_ues_addr(data);

	return ims_ues_hash(&addr, len, seed);
}

static int ims_ues_cmp(struct rhashtable_compare_arg *arg, const void *obj)
{
	const struct ims_addr addr = ims_ues_addr(obj);

	return !ims_addr_equal(&addr, arg->key);
}

static const struct rhashtable_params ims_ues_params = {
	.head_offset = offsetof(struct ims_bundle, by_ue),
	.hashfn = ims_ues_hash,
	.obj_hashfn = ims_ues_obj_hash,
	.obj_cmpfn = ims_ues_cmp,
	.automatic_shrinking = true,
};

/**
 * ims_ues_init() - prepare a namespace's table
 * @in: where
 *
 * Return: 0 or -ENOMEM.
 */
int ims_ues_init(struct ims_net *in)
{
	return rhltable_init(&in->ues, &ims_ues_params);
}

/**
 * ims_ues_exit() - end a namespace's table
 * @in: where; it has no bundles any more
 */
void ims_ues_exit(struct ims_net *in)
{
	rhltable_destroy(&in->ues);
}

/**
 * ims_ues_add() - a bundle can be found by its UE's address
 * @b: the bundle, which has its SAs
 *
 * Context: process, struct ims_net.lock held.
 * Return: 0 or -ENOMEM.
 */
int ims_ues_add(struct ims_bundle *b)
{
	const struct ims_addr addr = ims_ues_addr(b);
	struct ims_net *in = b->ep->in;

	lockdep_assert_held(&in->lock);

	return rhltable_insert_key(&in->ues, &addr, &b->by_ue, ims_ues_params) ? -ENOMEM : 0;
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

	rhltable_remove(&in->ues, &b->by_ue, ims_ues_params);
}

/**
 * ims_ues_find() - a bundle of a UE's address
 * @in: where
 * @ue_addr: the address
 * @match: is it the one?
 * @data: for @match
 *
 * Context: process, @in->lock held.
 * Return: one that matches, or NULL.
 */
struct ims_bundle *ims_ues_find(struct ims_net *in, const struct ims_addr *ue_addr,
				bool (*match)(const struct ims_bundle *b, const void *data),
				const void *data)
{
	struct rhlist_head *list, *pos;
	struct ims_bundle *b;

	lockdep_assert_held(&in->lock);

	rcu_read_lock();
	list = rhltable_lookup(&in->ues, ue_addr, ims_ues_params);
	rhl_for_each_entry_rcu(b, pos, list, by_ue) {
		if (match(b, data)) {
			rcu_read_unlock();
			return b;
		}
	}
	rcu_read_unlock();
	return NULL;
}
