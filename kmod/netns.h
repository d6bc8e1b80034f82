/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef _IMS_NETNS_H
#define _IMS_NETNS_H

#include <linux/ims_ipsec.h>
#include <linux/list.h>
#include <linux/llist.h>
#include <linux/mutex.h>
#include <linux/netfilter.h>
#include <linux/rbtree.h>
#include <linux/rhashtable-types.h>
#include <linux/sched.h>
#include <linux/spinlock.h>
#include <linux/workqueue.h>
#include <linux/xarray.h>
#include <net/net_namespace.h>
#include <net/netns/generic.h>

#include "config.h"

struct ims_journal;
struct ims_port_map;

/* Two families, four places */
#define IMS_GUARD_HOOKS	8
/* Two families, in */
#define IMS_FRAG_HOOKS	2

/* Types of events, from 1 */
#define IMS_EVENT_TYPES	(IMS_IPSEC_EVENT_TYPE_NEARLY_FULL + 1)

/**
 * struct ims_ues_seen - is there any bundle at a UE's address
 * @number: the address's, see ims_addr_number()
 * @any: there is
 * @is_known: else nothing is known
 */
struct ims_ues_seen {
	u32 number;
	bool any;
	bool is_known;
};

/**
 * struct ims_net - all that the module holds in a network namespace
 * @net: the namespace
 * @lock: serialises every change, but what a packet does to its bundle's state
 * @state_lock: states of bundles; inside @lock
 * @config: under @lock
 * @endpoints: by id; written under @lock
 * @endpoint_list: the same ones for the guard; written under @lock, read
 *	under RCU
 * @port_map: all ports of @endpoints, NULL where there are none; written under
 *	@lock, read under RCU
 * @restore: puts policies back that somebody took away
 * @sa_gone: ends the bundles of which somebody took an SA away
 * @registrations: by owner and contact; under @lock
 * @registration_ids: the same ones by index; under @lock
 * @unsettled: registrations of which a packet has changed the bundles' states
 * @settle: deals with them
 * @tcp_held: sockets of connections that are to end, whose owners were in a system call;
 *	each with a reference
 * @tcp_retry: ends them when the owners have left it
 * @ues: bundles by the UE's address and either port; under @lock
 * @ues_seen: where it was looked last, see ues.c; likewise
 * @ue_ports: protected ports of UEs; written under @lock, and under @state_lock where one that
 *	is there leaves; read under RCU, or either lock
 * @bundles: by id; written under @lock
 * @due: bundles by the time when there is something to look at; under @lock
 * @expire: looks at those whose time has come
 * @expire_at: jiffies when that was told to begin, U64_MAX: it was not; under @lock
 * @rearm: sets the times in @due anew, idle_timeout having become shorter
 * @spis: inbound SPI to bundle; written under @lock, read under RCU
 * @next_spi: where to look for a free SPI, 0: anywhere; under @lock
 * @next_endpoint_id: under @lock
 * @next_bundle_id: under @lock
 * @next_registration: under @lock
 * @n_endpoints: under @lock
 * @n_registrations: under @lock
 * @n_bundles: under @lock
 * @n_pending: how many bundles are temporary; under @lock
 * @n_nat: how many bundles are in mode UDP-enc-tun; under @lock
 * @nearly_full: bits by enum ims_ipsec_resource, of which events have told; under @lock
 * @reqid_key: random, part of their SAs' reqids; constant
 * @encaps: sockets for ESP in UDP; under @lock
 * @event_seq: number of the last event; under @lock
 * @n_events: how many there were, by enum ims_ipsec_event_type; under @lock
 * @n_refused: how many bundles were refused; under @lock
 * @journal: the last refusals and drops, NULL before the first endpoint; made under
 *	@lock
 * @guard_ops: the guard's hooks
 * @guarded: the guard's hooks are registered; written under @lock
 * @guards_last: at LOCAL_IN no rules of anybody come behind the guard's; likewise
 * @frag_ops: the hooks for fragments within tunnels
 * @visited: hooks are registered here for other namespaces, see ipvlan.c
 */
struct ims_net {
	struct net *net;
	struct mutex lock;	/* every change, see Documentation/locking.rst */
	spinlock_t state_lock;	/* states of bundles, inside the mutex */
	struct ims_config config;
	struct xarray endpoints;
	struct list_head endpoint_list;
	struct ims_port_map __rcu *port_map;
	struct delayed_work restore;
	struct work_struct sa_gone;
	struct rb_root registrations;
	struct xarray registration_ids;
	struct llist_head unsettled;
	struct work_struct settle;
	struct xarray tcp_held;
	struct delayed_work tcp_retry;
	struct rb_root ues[2];
	struct ims_ues_seen ues_seen;
	struct rhashtable ue_ports;
	struct xarray bundles;
	struct rb_root_cached due;
	struct delayed_work expire;
	u64 expire_at;
	struct work_struct rearm;
	struct xarray spis;
	u32 next_spi;
	u32 next_endpoint_id;
	u32 next_bundle_id;
	u32 next_registration;
	u32 n_endpoints;
	u32 n_registrations;
	u32 n_bundles;
	u32 n_pending;
	u32 n_nat;
	u8 nearly_full;
	u32 reqid_key;
	struct list_head encaps;
	u64 event_seq;
	u64 n_events[IMS_EVENT_TYPES];
	u64 n_refused;
	struct ims_journal *journal;
	struct nf_hook_ops guard_ops[IMS_GUARD_HOOKS];
	bool guarded;
	bool guards_last;
	struct nf_hook_ops frag_ops[IMS_FRAG_HOOKS];
	bool visited;
};

extern unsigned int ims_net_id;
extern struct workqueue_struct *ims_wq;

static inline struct ims_net *ims_net(const struct net *net)
{
	return net_generic(net, ims_net_id);
}

/*
 * How much is done under struct ims_net.lock before others get their turn, where how much
 * there is to do is up to others: 64 bundles that are looked at, or four that end.
 */
#define IMS_SLICE		64
#define IMS_SLICE_BUNDLE	(IMS_SLICE / 4)

/**
 * ims_net_pause() - let others have their turn, now and then
 * @in: where
 * @steps: how many have been done since they had it, 0 at first
 * @more: and now
 *
 * Whatever the caller has found under the lock may be gone when this returns.
 *
 * Context: process, sleeps, @in->lock held, and held again when this returns.
 */
static inline void ims_net_pause(struct ims_net *in, unsigned int *steps, unsigned int more)
{
	lockdep_assert_held(&in->lock);

	*steps += more;
	if (*steps < IMS_SLICE)
		return;
	*steps = 0;
	mutex_unlock(&in->lock);
	cond_resched();
	mutex_lock(&in->lock);
}

#endif /* _IMS_NETNS_H */
