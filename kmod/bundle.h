/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef _IMS_BUNDLE_H
#define _IMS_BUNDLE_H

#include <linux/ims_ipsec.h>
#include <linux/list.h>
#include <linux/rbtree.h>
#include <linux/rcupdate.h>
#include <linux/refcount.h>
#include <linux/rhashtable-types.h>
#include <linux/time64.h>
#include <linux/timer.h>

#include "addr.h"
#include "alg_list.h"
#include "registration.h"

struct ims_endpoint;
struct ims_nat;
struct ims_net;
struct netlink_ext_ack;
struct work_struct;
struct xfrm_policy;
struct xfrm_state;

/**
 * enum ims_flow - the four SAs of a bundle (TS 33.203 clause 7.1)
 * @IMS_FLOW_OUT_UC: P:port_ps to UE:port_uc, spi_uc
 * @IMS_FLOW_OUT_US: P:port_pc to UE:port_us, spi_us
 * @IMS_FLOW_IN_PS: UE:port_uc to P:port_ps, spi_ps
 * @IMS_FLOW_IN_PC: UE:port_us to P:port_pc, spi_pc
 * @IMS_FLOWS: how many
 *
 * Outbound ones come first: their SPIs are the UE's, so that they are the
 * ones that can clash, and then no inbound one was there for an instant.
 */
enum ims_flow {
	IMS_FLOW_OUT_UC,
	IMS_FLOW_OUT_US,
	IMS_FLOW_IN_PS,
	IMS_FLOW_IN_PC,
	IMS_FLOWS,
};

/**
 * struct ims_bundle_params - what a request for a bundle says
 * @name: the SIP server's name for the registration
 * @ue_addr: the UE's address, within the tunnel if there is one
 * @nat_addr: where it is sent to
 * @port_uc: the UE's protected client port
 * @port_us: the UE's protected server port
 * @port_pc: one of the endpoint's pool, 0: any
 * @spi_uc: SPI of the UE's inbound SA at @port_uc
 * @spi_us: SPI of the UE's inbound SA at @port_us
 * @nat_port: UDP port that it is sent to, 0: not known; with IMS_IPSEC_MODE_UDP_ENC_TUN
 * @mode: enum ims_ipsec_mode
 * @unmarked: what is sent needs no mark; with IMS_IPSEC_MODE_UDP_ENC_TUN
 * @pair: the algorithms
 * @allowed: the request's own list of pairs, in place of the configured one;
 *	empty: none
 * @over: id of the bundle that the REGISTER came over, 0: not said
 * @began_clear: it came unprotected
 * @cookie: the request's own name; one that has the last one's is the same; 0: none
 * @ik: integrity key, IMS_IPSEC_KEY_LEN bytes
 * @ck: cipher key, IMS_IPSEC_KEY_LEN bytes
 */
struct ims_bundle_params {
	struct ims_name name;
	struct ims_addr ue_addr;
	struct ims_addr nat_addr;
	__be16 nat_port;
	__be16 port_uc;
	__be16 port_us;
	__be16 port_pc;
	__be32 spi_uc;
	__be32 spi_us;
	u32 mode;
	bool unmarked;
	const struct ims_alg_pair *pair;
	struct ims_alg_list allowed;
	u32 over;
	bool began_clear;
	u64 cookie;
	const u8 *ik;
	const u8 *ck;
};

/**
 * struct ims_bundle_draft - SAs of a bundle that is still to be made
 * @sa: by enum ims_flow; all or none
 * @for_device: as in struct ims_sa_kind
 * @err: why there are none, or 0
 */
struct ims_bundle_draft {
	struct xfrm_state *sa[IMS_FLOWS];
	bool for_device;
	int err;
};

/**
 * struct ims_ue_port - a UE's protected port, as a bundle has it
 * @node: in struct ims_net.ue_ports, if @is_first
 * @next: those that have TCP of the UE's port hang on its first one, which may have TCP, too: the
 *	next one; under struct ims_net.state_lock
 * @n_secured: if @is_first, how many of the bundles that have the UE's port were confirmed, and
 *	come from the UE's address; under struct ims_net.lock, and read without
 * @flow: enum ims_flow of the bundle's outbound SA to the port; constant
 * @is_first: of the bundles that have the UE's port this one is in the table; under struct
 *	ims_net.lock and .state_lock
 * @has_tcp: the bundle has TCP between the SA's ends; under struct ims_net.state_lock, and read
 *	without
 */
struct ims_ue_port {
	struct rhash_head node;
	struct ims_ue_port *next;
	u32 n_secured;
	u8 flow;
	bool is_first;
	bool has_tcp;
};

/**
 * struct ims_bundle - a set of four SAs
 * @ep: its endpoint; constant
 * @reg: its registration; constant, and there until @dead
 * @sa: its SAs, by enum ims_flow, each held until the bundle is freed; constant once
 *	it is in the tables, but for the outbound ones of a UE whose NAT changes its
 *	address, which change under struct ims_net.lock and .state_lock
 * @nat: mode UDP-enc-tun: what that takes, else NULL; constant
 * @ue_port: by enum ims_flow of its outbound SAs, where these go to
 * @rivals: others that contend for what only one can have, see claim.c; under struct
 *	ims_net.state_lock, and changed under .lock too
 * @by_uc: in struct ims_net.ues, by the UE's client port
 * @by_us: likewise, by its server port
 * @by_due: in struct ims_net.due; likewise
 * @rcu: for freeing, when it is in no tree any more
 * @due: jiffies when there is something to look at, at @deadline at the latest; under struct
 *	ims_net.lock
 * @deadline: jiffies; likewise
 * @idle_since: jiffies when @idle_packets was taken; under struct ims_net.lock
 * @idle_packets: how many had come then
 * @refs: one of the tables', one of the timer's of @nat while that is pending
 * @id: as userspace knows it
 * @ue_hash: of its UE's address; constant once it is in struct ims_net.ues
 * @over: id of the bundle that its REGISTER came over, 0: not said; constant
 * @dead: it is in no table any more; written under struct ims_net.lock and
 *	.state_lock
 * @state: enum ims_ipsec_state; written under struct ims_net.state_lock
 * @told: the state that events have told of; under struct ims_net.lock
 * @reason: enum ims_ipsec_reason of the last change of @state; under struct
 *	ims_net.state_lock
 * @ending: a request has it deleted when it is over; under struct ims_net.lock
 * @dormant: outbound SAs that are not to be used yet, bits by enum ims_flow; under
 *	struct ims_net.state_lock
 * @answer: policies that have what has the bundle's mark sent over a dormant SA, by enum
 *	ims_flow; NULL: there is none; likewise
 * @done: outbound SAs that are not used any more and were deleted before the bundle,
 *	likewise
 * @outside: outbound SAs that are kept out of XFRM's tables, where another bundle's has their
 *	place, likewise
 * @proven: a packet was authenticated by it, or the 200 OK has come; likewise
 * @offload: enum ims_ipsec_offload: what does its ESP; under struct ims_net.state_lock
 * @offload_reason: enum ims_ipsec_offload_reason, 0: as was wished for; likewise
 * @offloading: an interface is getting it; likewise
 * @offload_lost: and has gone down or away meanwhile; without @offloading: what that has got
 *	is being taken back; likewise
 * @fell_back: an event has to tell of @offload_reason; likewise
 * @mode: constant, as all that follow
 * @pair: the algorithms' place in ims_alg_pairs
 * @slot: its place in its registration
 * @began_clear: its REGISTER came unprotected
 * @is_secured: nothing of a protected port's is to go in clear to its UE; under struct
 *	ims_net.lock
 *
 * There are many, so what an SA knows stays there: ims_bundle_tuple(),
 * ims_bundle_spi(). They have a cache of their own size.
 */
struct ims_bundle {
	struct ims_endpoint *ep;
	struct ims_registration *reg;
	struct xfrm_state *sa[IMS_FLOWS];
	struct ims_nat *nat;
	struct xfrm_policy *answer[2];
	struct ims_ue_port ue_port[IMS_FLOW_OUT_US + 1];
	struct list_head rivals;
	struct rb_node by_uc;
	struct rb_node by_us;
	union {
		struct rb_node by_due;
		struct rcu_head rcu;
	};
	u64 due;
	u64 deadline;
	unsigned long idle_since;
	u32 idle_packets;
	refcount_t refs;
	u32 id;
	u32 ue_hash;
	u32 over;
	bool dead;
	u8 state;
	u8 told;
	u8 reason;
	bool ending;
	u8 dormant;
	u8 done;
	u8 outside;
	bool proven;
	u8 offload;
	u8 offload_reason;
	bool offloading;
	bool offload_lost;
	bool fell_back;
	u8 mode;
	u8 pair;
	u8 slot;
	bool began_clear;
	bool is_secured;
};

/**
 * struct ims_bundle_counters - what has gone over a bundle
 * @rx_packets: over both inbound SAs
 * @rx_bytes: over both inbound SAs
 * @tx_packets: over both outbound SAs
 * @tx_bytes: over both outbound SAs
 * @bad_icv: came with an inbound SA's SPI, and were not authentic
 * @replayed: likewise, and were not new
 * @last_rx: when the last one came, seconds as of ktime_get_real_seconds(); 0: none did
 * @last_tx: when the last one was sent, likewise
 */
struct ims_bundle_counters {
	u64 rx_packets;
	u64 rx_bytes;
	u64 tx_packets;
	u64 tx_bytes;
	u64 bad_icv;
	u64 replayed;
	time64_t last_rx;
	time64_t last_tx;
};

/* bundle_new.c */
void ims_bundle_make_draft(struct ims_net *in, u32 endpoint, const struct ims_bundle_params *p,
			   struct ims_bundle_draft *draft);
void ims_bundle_discard_draft(struct ims_bundle_draft *draft);
struct ims_bundle *ims_bundle_create(struct ims_net *in, struct ims_endpoint *ep,
				     const struct ims_bundle_params *p,
				     struct ims_bundle_draft *draft,
				     struct netlink_ext_ack *extack);

struct ims_bundle *ims_bundle_repeated(struct ims_net *in, const struct ims_endpoint *ep,
				       const struct ims_bundle_params *p,
				       struct netlink_ext_ack *extack);

/* bundle.c */
int ims_bundles_init(void);
void ims_bundles_exit(void);
struct ims_bundle *ims_bundle_zalloc(void);
int ims_bundle_confirm(struct ims_bundle *b, u64 lifetime, enum ims_ipsec_older older,
		       struct ims_bundle *over, struct netlink_ext_ack *extack);
int ims_bundle_extend(struct ims_bundle *b, u64 lifetime, struct netlink_ext_ack *extack);
void ims_bundle_delete(struct ims_bundle *b, u64 linger);
struct ims_bundle *ims_bundle_next(struct ims_net *in, u64 *pos);
void ims_bundle_delete_all(struct ims_net *in, const struct ims_endpoint *ep);
void ims_bundle_delete_broken(struct ims_net *in);
void ims_bundle_destroy(struct ims_bundle *b, enum ims_ipsec_event_type type,
			enum ims_ipsec_reason reason);
void ims_bundle_arm(struct ims_bundle *b, u64 ms);
void ims_bundle_rearm(struct ims_bundle *b);
void ims_bundle_put(struct ims_bundle *b);
void ims_bundle_set_timer(struct ims_bundle *b, struct timer_list *timer, unsigned long expires);
void ims_bundle_expire(struct work_struct *work);
u64 ims_bundle_remaining(const struct ims_bundle *b);
bool ims_bundle_is_current(const struct ims_bundle *b);
struct ims_bundle *ims_registration_sent_over(const struct ims_registration *reg,
					      const struct ims_bundle *new);
__be32 ims_bundle_spi(const struct ims_bundle *b, enum ims_flow flow);
void ims_bundle_tuple(const struct ims_bundle *b, enum ims_flow flow, struct ims_tuple *t);
u32 ims_bundle_mark(const struct ims_net *in, u32 index, u8 slot);
void ims_bundle_count(const struct ims_bundle *b, struct ims_bundle_counters *c);
struct ims_bundle *ims_bundle_of_input(struct ims_net *in, const struct xfrm_state *x);

/* switch.c */
void ims_bundle_set_state(struct ims_bundle *b, u8 state, enum ims_ipsec_reason reason);
bool ims_bundle_is_older(const struct ims_bundle *a, const struct ims_bundle *b);
bool ims_bundle_shares(const struct ims_bundle *b, enum ims_flow flow);
void ims_bundle_used(struct ims_bundle *b);
void ims_bundle_take_into_use(struct ims_bundle *b, enum ims_ipsec_reason reason);
void ims_bundle_unlink(struct ims_bundle *b, enum ims_ipsec_reason reason);
void ims_registration_wake(struct ims_registration *reg, const struct ims_bundle *leaving);
int ims_bundle_add_answers(struct ims_bundle *b);
void ims_bundle_end_answers(struct ims_bundle *b);
void ims_registration_queue(struct ims_registration *reg);
void ims_registration_settle(struct ims_registration *reg);
void ims_switch_settle(struct work_struct *work);

static inline struct ims_bundle *ims_bundle_of_ue_port(const struct ims_ue_port *port)
{
	return container_of(port, struct ims_bundle, ue_port[port->flow]);
}

static inline const struct ims_alg_pair *ims_bundle_pair(const struct ims_bundle *b)
{
	return &ims_alg_pairs[b->pair];
}

#endif /* _IMS_BUNDLE_H */
