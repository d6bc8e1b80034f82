/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef _IMS_CLAIM_H
#define _IMS_CLAIM_H

#include "bundle.h"

struct ims_net;

/**
 * struct ims_claimant - who asks for a bundle, or has one, and where
 * @ep: the endpoint
 * @b: the bundle, NULL: it is being asked for
 * @name: its registration's
 * @ue_addr: the UE's address, within the tunnel if there is one
 * @source: the address that the UE is reached at
 * @port_uc: the UE's protected client port
 * @port_us: the UE's protected server port
 * @port_pc: the endpoint's port towards @port_us
 * @is_marked: it is told from others by a mark
 */
struct ims_claimant {
	const struct ims_endpoint *ep;
	const struct ims_bundle *b;
	struct ims_name name;
	struct ims_addr ue_addr;
	struct ims_addr source;
	__be16 port_uc;
	__be16 port_us;
	__be16 port_pc;
	bool is_marked;
};

int ims_claim_join(struct ims_bundle *b, struct netlink_ext_ack *extack);
void ims_claim_leave(struct ims_bundle *b, u8 had);
void ims_claim_free(struct ims_bundle *b, enum ims_flow flow);
void ims_claim_try(struct ims_bundle *b, enum ims_flow flow);
void ims_claim_pass_place(struct ims_bundle *b, const struct xfrm_state *x);
u8 ims_claim_held(struct ims_bundle *b);
/**
 * struct ims_claim_walk - where a search for what is replaced is
 * @pos: among the owner's bundles
 * @steps: see ims_net_pause()
 */
struct ims_claim_walk {
	u64 pos;
	unsigned int steps;
};

struct ims_bundle *ims_claim_find_owner(struct ims_net *in, const struct ims_claimant *c);
struct ims_bundle *ims_claim_find_replaced(const struct ims_bundle *b, struct ims_claim_walk *w);
void ims_claim_prove(struct ims_bundle *b);
bool ims_claim_is_kept_out(const struct ims_bundle *b, enum ims_flow flow);
bool ims_claim_has_tcp(struct ims_bundle *b, const struct xfrm_state *x);
bool ims_claim_tcp_is_others(const struct ims_bundle *b, enum ims_flow flow);
bool ims_claim_is_udp_only(const struct ims_bundle *b);
struct ims_bundle *ims_claim_tcp_of(struct ims_net *in, const struct ims_tuple *t);
struct ims_addr ims_bundle_source(const struct ims_bundle *b);
bool ims_bundle_is_fact(const struct ims_bundle *b);

#endif /* _IMS_CLAIM_H */
