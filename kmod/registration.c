// SPDX-License-Identifier: GPL-2.0-only
/* Registrations: what bundles are counted by, and marked by. */
#include <linux/jhash.h>
#include <linux/rhashtable.h>
#include <linux/slab.h>

#include "compat.h"
#include "netns.h"
#include "registration.h"

static u32 ims_name_hash(const void *data, u32 len, u32 seed)
{
	const struct ims_name *name = data;

	return jhash(name->contact, name->contact_len,
		     jhash(name->owner, name->owner_len, seed));
}

/**
 * ims_registration_name() - what the SIP server calls a registration
 * @reg: the registration
 *
 * Return: the names, which live as long as @reg.
 */
struct ims_name ims_registration_name(const struct ims_registration *reg)
{
	return (struct ims_name) {
		.owner = reg->names,
		.owner_len = reg->owner_len,
		.contact = reg->names + reg->owner_len,
		.contact_len = reg->contact_len,
	};
}

static u32 ims_registration_hash(const void *data, u32 len, u32 seed)
{
	const struct ims_name name = ims_registration_name(data);

	return ims_name_hash(&name, len, seed);
}

static int ims_registration_cmp(struct rhashtable_compare_arg *arg, const void *obj)
{
	return !ims_registration_is(obj, arg->key);
}

static const struct rhashtable_params ims_registration_params = {
	.head_offset = offsetof(struct ims_registration, node),
	.hashfn = ims_name_hash,
	.obj_hashfn = ims_registration_hash,
	.obj_cmpfn = ims_registration_cmp,
	.automatic_shrinking = true,
};

/**
 * ims_registrations_init() - prepare a namespace's table of registrations
 * @in: where
 *
 * Return: 0 or -ENOMEM.
 */
int ims_registrations_init(struct ims_net *in)
{
	xa_init_flags(&in->registration_ids, XA_FLAGS_ALLOC1);
	return rhashtable_init(&in->registrations, &ims_registration_params);
}

/**
 * ims_registrations_exit() - end a namespace's table of registrations
 * @in: where; it has none any more
 */
void ims_registrations_exit(struct ims_net *in)
{
	rhashtable_destroy(&in->registrations);
	xa_destroy(&in->registration_ids);
}

/**
 * ims_registration_has_owner() - is a registration this subscriber's
 * @reg: the registration
 * @name: the subscriber
 *
 * Return: true if so, whatever the contact.
 */
bool ims_registration_has_owner(const struct ims_registration *reg,
				const struct ims_name *name)
{
	return reg->owner_len == name->owner_len &&
	       !memcmp(reg->names, name->owner, name->owner_len);
}

/**
 * ims_registration_is() - is a registration the one with these names
 * @reg: the registration
 * @name: the names
 *
 * Return: true if so.
 */
bool ims_registration_is(const struct ims_registration *reg, const struct ims_name *name)
{
	return ims_registration_has_owner(reg, name) &&
	       reg->contact_len == name->contact_len &&
	       !memcmp(reg->names + reg->owner_len, name->contact, name->contact_len);
}

/**
 * ims_registration_find() - find a registration
 * @in: where
 * @name: what the SIP server calls it
 *
 * Context: process, @in->lock held.
 * Return: the registration, without a reference, or NULL.
 */
struct ims_registration *ims_registration_find(struct ims_net *in, const struct ims_name *name)
{
	lockdep_assert_held(&in->lock);

	return rhashtable_lookup_fast(&in->registrations, name, ims_registration_params);
}

/**
 * ims_registration_get() - find a registration, or make one
 * @in: where
 * @name: what the SIP server calls it
 * @extack: gets the reason
 *
 * Context: process, sleeps, @in->lock held.
 * Return: the registration, with a reference to be given to
 * ims_registration_put(), or an ERR_PTR: -ENOMEM, -ENOSPC if all indices are used.
 */
struct ims_registration *ims_registration_get(struct ims_net *in, const struct ims_name *name,
					      struct netlink_ext_ack *extack)
{
	struct ims_registration *reg;
	int err;

	reg = ims_registration_find(in, name);
	if (reg) {
		refcount_inc(&reg->refs);
		return reg;
	}

	reg = kzalloc(struct_size(reg, names, name->owner_len + name->contact_len),
		      GFP_KERNEL_ACCOUNT);
	if (!reg)
		return ERR_PTR(-ENOMEM);
	reg->in = in;
	refcount_set(&reg->refs, 1);
	reg->owner_len = name->owner_len;
	reg->contact_len = name->contact_len;
	memcpy(reg->names, name->owner, name->owner_len);
	memcpy(reg->names + name->owner_len, name->contact, name->contact_len);

	/* in turn, so that a mark means nothing else for a while */
	err = xa_alloc_cyclic(&in->registration_ids, &reg->index, reg,
			      XA_LIMIT(1, ims_config_max_registrations(&in->config)),
			      &in->next_registration,
			      GFP_KERNEL_ACCOUNT);
	if (err == -EBUSY) {
		NL_SET_ERR_MSG(extack, "as many registrations as marks can tell apart");
		err = -ENOSPC;
	}
	if (err < 0)
		goto free;
	err = rhashtable_insert_fast(&in->registrations, &reg->node, ims_registration_params);
	if (err)
		goto erase;
	return reg;

erase:
	xa_erase(&in->registration_ids, reg->index);
free:
	kfree(reg);
	return ERR_PTR(err == -ENOSPC ? err : -ENOMEM);
}

/**
 * ims_registration_put() - drop a reference
 * @reg: the registration; gone with the last one
 *
 * Context: process, struct ims_net.lock held.
 */
void ims_registration_put(struct ims_registration *reg)
{
	struct ims_net *in = reg->in;

	lockdep_assert_held(&in->lock);

	if (!refcount_dec_and_test(&reg->refs))
		return;
	rhashtable_remove_fast(&in->registrations, &reg->node, ims_registration_params);
	xa_erase(&in->registration_ids, reg->index);
	/* a packet may still be looking at it through a bundle */
	kfree_rcu(reg, rcu);
}

/**
 * ims_registration_free_slot() - where a new bundle can go
 * @reg: the registration
 *
 * Context: struct ims_net.lock held.
 * Return: a slot, the one longest free as a rule, so that its mark is not soon
 * taken for another bundle's; -1 if there is none.
 */
int ims_registration_free_slot(const struct ims_registration *reg)
{
	int i, slot;

	lockdep_assert_held(&reg->in->lock);

	for (i = 0; i < IMS_IPSEC_SETS_MAX; i++) {
		slot = (reg->next_slot + i) % IMS_IPSEC_SETS_MAX;
		if (!reg->set[slot])
			return slot;
	}
	return -1;
}
