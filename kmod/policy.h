/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef _IMS_POLICY_H
#define _IMS_POLICY_H

#include "addr.h"

struct net;
struct netlink_ext_ack;
struct xfrm_policy;

int ims_policy_add(struct xfrm_policy **pol, struct net *net, const struct ims_addr *addr,
		   __be16 port, u32 reqid, bool optional, struct netlink_ext_ack *extack);
bool ims_policy_is_gone(const struct xfrm_policy *pol);
void ims_policy_delete(struct xfrm_policy *pol);

#endif /* _IMS_POLICY_H */
