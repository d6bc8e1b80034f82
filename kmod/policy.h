/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef _IMS_POLICY_H
#define _IMS_POLICY_H

#include "addr.h"

struct net;
struct netlink_ext_ack;
struct xfrm_policy;

/**
 * struct ims_policy_tunnel - what leaves through a bundle's tunnel
 * @inner: addresses and ports of the packets
 * @src: local end of the tunnel
 * @dst: its other end
 * @reqid: of the SA to send over
 * @mark: mark of the packets
 * @mark_mask: bits of @mark that count; 0: any packet
 */
struct ims_policy_tunnel {
	struct ims_tuple inner;
	struct ims_addr src;
	struct ims_addr dst;
	u32 reqid;
	u32 mark;
	u32 mark_mask;
};

/**
 * struct ims_policy_answer - what leaves over one SA, because of its mark
 * @t: addresses and ports of the packets
 * @reqid: of the SA to send over
 * @spi: likewise
 * @mark: mark of the packets
 * @mark_mask: bits of @mark that count
 */
struct ims_policy_answer {
	struct ims_tuple t;
	u32 reqid;
	__be32 spi;
	u32 mark;
	u32 mark_mask;
};

int ims_policy_add(struct xfrm_policy **pol, struct net *net, const struct ims_addr *addr,
		   __be16 port, u32 reqid, bool optional, struct netlink_ext_ack *extack);
int ims_policy_add_trusted(struct xfrm_policy **pol, struct net *net, const struct ims_addr *addr,
			   __be16 port, const struct ims_addr *peer, u8 len,
			   struct netlink_ext_ack *extack);
bool ims_policy_is_gone(const struct xfrm_policy *pol);
void ims_policy_delete(struct xfrm_policy *pol);
struct xfrm_policy *ims_policy_alloc_tunnel(struct net *net, const struct ims_policy_tunnel *p,
					    gfp_t gfp);
int ims_policy_add_answer(struct xfrm_policy **policy, struct net *net,
			  const struct ims_policy_answer *p);
int ims_policy_insert(struct xfrm_policy *pol, const struct xfrm_policy *old);
void ims_policy_discard(struct xfrm_policy *pol);
bool ims_policy_wants_none(const struct net *net);
__be16 ims_policy_port(const struct xfrm_policy *pol);
bool ims_policy_is_own_notice(void);

#endif /* _IMS_POLICY_H */
