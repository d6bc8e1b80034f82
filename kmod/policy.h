/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef _IMS_POLICY_H
#define _IMS_POLICY_H

#include "addr.h"

struct net;
struct netlink_ext_ack;
struct xfrm_policy;

/**
 * struct ims_port_policies - what protects one port
 * @in: asks of what comes to the port that it came over ESP; NULL if not there
 * @out: sends what leaves from the port over ESP; NULL if not there
 */
struct ims_port_policies {
	struct xfrm_policy *in;
	struct xfrm_policy *out;
};

int ims_policy_add(struct ims_port_policies *pols, struct net *net,
		   const struct ims_addr *addr, __be16 port, u32 reqid, bool optional,
		   struct netlink_ext_ack *extack);
int ims_policy_restore(struct ims_port_policies *pols, struct net *net,
		       const struct ims_addr *addr, __be16 port, u32 reqid, bool optional);
void ims_policy_delete(struct ims_port_policies *pols);

#endif /* _IMS_POLICY_H */
