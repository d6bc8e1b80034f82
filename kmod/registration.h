/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef _IMS_REGISTRATION_H
#define _IMS_REGISTRATION_H

#include <linux/ims_ipsec.h>
#include <linux/llist.h>
#include <linux/rbtree.h>
#include <linux/rcupdate.h>
#include <linux/refcount.h>

struct ims_bundle;
struct ims_net;
struct netlink_ext_ack;
struct work_struct;

/* 22 bits, of which a mark has two more for the slot; 0 is none */
#define IMS_REGISTRATION_INDEX_MAX	((1U << 22) - 1)

/**
 * struct ims_registration - a contact of a subscriber, with its bundles
 * @node: in struct ims_net.registrations
 * @rcu: for freeing
 * @in: its namespace; constant
 * @refs: one of each bundle's, one while it is in struct ims_net.unsettled
 * @owner_hash: of the owner; constant
 * @unsettled: in struct ims_net.unsettled
 * @is_unsettled: it is there
 * @index: its number in marks; constant
 * @contact_hash: of the contact; constant
 * @next_slot: where to look for a free slot; under struct ims_net.lock
 * @set: its bundles by slot; written under struct ims_net.lock and .state_lock
 * @cookie: of the request that made the last bundle, 0: it had none; under struct
 *	ims_net.lock
 * @cookie_id: id of that bundle; likewise
 * @owner_len: bytes of the owner's name in @names; constant
 * @contact_len: bytes of the contact's name, behind the owner's; constant
 * @names: both; constant
 *
 * It exists while it has a bundle.
 */
struct ims_registration {
	struct rb_node node;
	struct rcu_head rcu;
	struct ims_net *in;
	refcount_t refs;
	u32 owner_hash;
	struct llist_node unsettled;
	atomic_t is_unsettled;
	u32 index;
	u32 contact_hash;
	u8 next_slot;
	struct ims_bundle *set[IMS_IPSEC_SETS_MAX];
	u64 cookie;
	u32 cookie_id;
	u16 owner_len;
	u16 contact_len;
	u8 names[];
};

/**
 * struct ims_name - what a SIP server calls a registration
 * @owner: the subscriber
 * @contact: the contact
 * @owner_len: bytes of @owner
 * @contact_len: bytes of @contact
 */
struct ims_name {
	const u8 *owner;
	const u8 *contact;
	u16 owner_len;
	u16 contact_len;
};

struct ims_name ims_registration_name(const struct ims_registration *reg);
void ims_registrations_init(struct ims_net *in);
void ims_registrations_exit(struct ims_net *in);
struct ims_registration *ims_registration_get(struct ims_net *in, struct ims_registration *reg,
					      const struct ims_name *name,
					      struct netlink_ext_ack *extack);
struct ims_registration *ims_registration_find(struct ims_net *in, const struct ims_name *name);
struct ims_bundle *ims_registration_next_bundle(struct ims_net *in, const struct ims_name *name,
						u64 *pos);
void ims_registration_put(struct ims_registration *reg);
int ims_registration_free_slot(const struct ims_registration *reg);
bool ims_registration_is(const struct ims_registration *reg, const struct ims_name *name);
bool ims_registration_has_owner(const struct ims_registration *reg,
				const struct ims_name *name);

#endif /* _IMS_REGISTRATION_H */
