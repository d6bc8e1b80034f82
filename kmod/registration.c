// SPDX-License-Identifier: GPL-2.0-only
/* Registrations: what bundles are counted by, and marked by. */
#include <linux/jhash.h>
#include <linux/once.h>
#include <linux/slab.h>

#include "compat.h"
#include "netns.h"
#include "registration.h"
#include "tree.h"

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

/**
 * ims_registrations_init() - prepare a namespace's table of registrations
 * @in: where
 */
void ims_registrations_init(struct ims_net *in)
{
	in->registrations = RB_ROOT;
	xa_init_flags(&in->registration_ids, XA_FLAGS_ALLOC1);
}

/**
 * ims_registrations_exit() - end a namespace's table of registrations
 * @in: where; it has none any more
 */
void ims_registrations_exit(struct ims_net *in)
{
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

/*
 * A place in struct ims_net.registrations: the owners, by a number of each first, for names of
 * subscribers have much in common; of each the contacts, which a number tells, so that whoever is
 * on the way through them can say where he was.
 */
struct ims_registration_key {
	const struct ims_name *name;
	u32 owner_hash;
	u64 place;
};

/* The index, so that there are no two in one place */
static u64 ims_registration_place(u32 contact_hash, u32 index)
{
	return (u64)contact_hash * (IMS_REGISTRATION_INDEX_MAX + 1) + index;
}

static u32 ims_name_hash(const u8 *name, u16 len)
{
	static u32 seed __read_mostly;

	get_random_once(&seed, sizeof(seed));
	return jhash(name, len, seed);
}

static u32 ims_contact_hash(const struct ims_name *name)
{
	return ims_name_hash(name->contact, name->contact_len);
}

static int ims_registration_cmp(const void *data, const struct rb_node *node)
{
	const struct ims_registration *reg = rb_entry(node, struct ims_registration, node);
	const struct ims_registration_key *key = data;
	const struct ims_name *name = key->name;
	u64 place;

	if (key->owner_hash != reg->owner_hash)
		return key->owner_hash < reg->owner_hash ? -1 : 1;
	if (name->owner_len != reg->owner_len)
		return name->owner_len < reg->owner_len ? -1 : 1;
	place = ims_registration_place(reg->contact_hash, reg->index);
	return memcmp(name->owner, reg->names, reg->owner_len) ?:
	       key->place < place ? -1 : key->place > place;
}

/* Any of the owner's that is not before the key's place */
static int ims_registration_cmp_from(const void *data, const struct rb_node *node)
{
	const struct ims_registration *reg = rb_entry(node, struct ims_registration, node);
	const struct ims_registration_key *key = data;
	const int cmp = ims_registration_cmp(key, node);

	/* to compare names on each step of the way would take longer than the way */
	if (cmp >= 0 || key->owner_hash != reg->owner_hash)
		return cmp;
	return ims_registration_has_owner(reg, key->name) ? 0 : cmp;
}

/* The first of an owner's at a place or behind it, or NULL */
static struct ims_registration *ims_registration_from(struct ims_net *in,
						      const struct ims_name *name, u64 place)
{
	const struct ims_registration_key key = {
		name, ims_name_hash(name->owner, name->owner_len), place,
	};
	struct rb_node *node;

	node = rb_find_first(&key, &in->registrations, ims_registration_cmp_from);
	return rb_entry_safe(node, struct ims_registration, node);
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
	const u32 hash = ims_contact_hash(name);
	struct ims_registration *reg;

	lockdep_assert_held(&in->lock);

	reg = ims_registration_from(in, name, ims_registration_place(hash, 0));
	while (reg && reg->contact_hash == hash && !ims_registration_is(reg, name))
		reg = rb_entry_safe(rb_next(&reg->node), struct ims_registration, node);
	return reg && ims_registration_is(reg, name) ? reg : NULL;
}

/**
 * ims_registration_next_bundle() - go through the bundles of a subscriber, or of one contact
 * @in: where
 * @name: the subscriber; the contact, or NULL for all of them
 * @pos: where to begin, at first 0, later one more than this function has set it to
 *
 * Of one contact, and of a subscriber who has few of them, at once, however many there are
 * of others. @in->lock may be let go of in between.
 *
 * Context: process, @in->lock held.
 * Return: a bundle, or NULL if there are no more.
 */
struct ims_bundle *ims_registration_next_bundle(struct ims_net *in, const struct ims_name *name,
						u64 *pos)
{
	struct ims_registration *reg;
	struct ims_bundle *b;
	u64 place;

	lockdep_assert_held(&in->lock);

	if (name->contact)
		reg = ims_registration_find(in, name);
	else
		reg = ims_registration_from(in, name, *pos / IMS_IPSEC_SETS_MAX);
	while (reg) {
		place = ims_registration_place(reg->contact_hash, reg->index);
		*pos = max(*pos, place * IMS_IPSEC_SETS_MAX);
		for (; *pos / IMS_IPSEC_SETS_MAX == place; ++*pos) {
			b = reg->set[*pos % IMS_IPSEC_SETS_MAX];
			if (b)
				return b;
		}
		reg = name->contact ? NULL : ims_registration_from(in, name, place + 1);
	}
	return NULL;
}

/**
 * ims_registration_get() - get a reference to a registration, or make one
 * @in: where
 * @reg: from ims_registration_find(), NULL: it is to be made
 * @name: what the SIP server calls it
 * @extack: gets the reason
 *
 * Context: process, sleeps, @in->lock held.
 * Return: the registration, with a reference to be given to
 * ims_registration_put(), or an ERR_PTR: -ENOMEM, -ENOSPC if all indices are used.
 */
struct ims_registration *ims_registration_get(struct ims_net *in, struct ims_registration *reg,
					      const struct ims_name *name,
					      struct netlink_ext_ack *extack)
{
	struct ims_registration_key key;
	int err;

	lockdep_assert_held(&in->lock);

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
	reg->owner_hash = ims_name_hash(name->owner, name->owner_len);
	reg->contact_hash = ims_contact_hash(name);

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
	key = (struct ims_registration_key) {
		name, reg->owner_hash, ims_registration_place(reg->contact_hash, reg->index),
	};
	ims_tree_insert(&reg->node, &in->registrations, &key, ims_registration_cmp);
	in->n_registrations++;
	return reg;

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
	rb_erase(&reg->node, &in->registrations);
	in->n_registrations--;
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
