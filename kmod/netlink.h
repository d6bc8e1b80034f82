/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef _IMS_NETLINK_H
#define _IMS_NETLINK_H

#include <linux/ims_ipsec.h>
#include <net/genetlink.h>

struct ims_bundle;

/* Groups, in the order of the family's table */
enum {
	IMS_MCGRP_EVENTS,
};

extern struct genl_family ims_genl_family;

int ims_netlink_put_bundle(struct sk_buff *skb, const struct ims_bundle *b);
int ims_netlink_init(void);
void ims_netlink_exit(void);

#endif /* _IMS_NETLINK_H */
