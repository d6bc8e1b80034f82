/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef _IMS_NAT_H
#define _IMS_NAT_H

#include <linux/timer.h>

#include "addr.h"
#include "bundle.h"
#include "sa.h"

struct sk_buff;
struct xfrm_policy;

/* Outbound flows: they are the first ones */
#define IMS_NAT_FLOWS	(IMS_FLOW_OUT_US + 1)

/**
 * struct ims_nat - what a bundle in mode UDP-enc-tun has besides its SAs
 * @b: the bundle
 * @pol: policies of the outbound flows, in XFRM's tables unless the flow is dormant;
 *	under struct ims_net.state_lock
 * @addr: where it is sent to; written under struct ims_net.lock and .state_lock
 * @port: UDP port that it is sent to; under struct ims_net.state_lock
 * @heard_addr: where the last authenticated packet came from; likewise
 * @heard_port: its UDP port; likewise
 * @moved: jiffies of the last move; likewise
 * @timer: fires when a move that came too soon may be made
 * @is_moved: an event has to tell of it; under struct ims_net.state_lock
 * @is_marked: packets are sent over it by their mark; constant
 * @is_fact: the UE's address within was that of its NAT when it was asked for; constant
 */
struct ims_nat {
	struct ims_bundle *b;
	struct xfrm_policy *pol[IMS_NAT_FLOWS];
	struct ims_addr addr;
	__be16 port;
	__be16 heard_port;
	struct ims_addr heard_addr;
	unsigned long moved;
	struct timer_list timer;
	bool is_moved;
	bool is_marked;
	bool is_fact;
};

int ims_nat_init(struct ims_bundle *b, const struct ims_bundle_params *p);
void ims_nat_get_tunnel(const struct ims_bundle *b, bool out, struct ims_sa_tunnel *tunnel);
u32 ims_nat_get_sa_mark(const struct ims_bundle *b, u32 *mask);
u32 ims_nat_reqid(const struct ims_net *in, u32 bundle_id);
int ims_nat_alloc_policies(struct ims_bundle *b);
int ims_nat_send_over(struct ims_bundle *b, enum ims_flow flow, const struct ims_bundle *before);
void ims_nat_stop(struct ims_bundle *b, enum ims_flow flow);
void ims_nat_end(struct ims_bundle *b);
void ims_nat_free(struct ims_bundle *b);
void ims_nat_settle(struct ims_bundle *b);
int ims_nat_restore_policies(struct ims_net *in);
void ims_nat_input(struct ims_net *in, const struct sk_buff *skb, const struct xfrm_state *x);
struct ims_bundle *ims_nat_of_output(struct ims_net *in, const struct xfrm_state *x);

/**
 * ims_nat_is_marked() - are packets sent over a bundle by their mark
 * @b: the bundle, in either mode
 *
 * Return: true if so; else it has its flows to itself.
 */
static inline bool ims_nat_is_marked(const struct ims_bundle *b)
{
	return b->nat && b->nat->is_marked;
}

#endif /* _IMS_NAT_H */
