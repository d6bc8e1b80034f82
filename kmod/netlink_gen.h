/* SPDX-License-Identifier: ((GPL-2.0 WITH Linux-syscall-note) OR BSD-3-Clause) */
/* Do not edit directly, auto-generated from: */
/*	Documentation/netlink/specs/ims_ipsec.yaml */
/* YNL-GEN kernel header */

#ifndef _LINUX_IMS_IPSEC_GEN_H
#define _LINUX_IMS_IPSEC_GEN_H

#include <net/netlink.h>
#include <net/genetlink.h>

#include <uapi/linux/ims_ipsec.h>

/* Ops table for ims_ipsec */
extern const struct genl_split_ops ims_ipsec_nl_ops[20];

int ims_ipsec_nl_config_get_doit(struct sk_buff *skb, struct genl_info *info);
int ims_ipsec_nl_config_set_doit(struct sk_buff *skb, struct genl_info *info);
int ims_ipsec_nl_endpoint_new_doit(struct sk_buff *skb, struct genl_info *info);
int ims_ipsec_nl_endpoint_del_doit(struct sk_buff *skb, struct genl_info *info);
int ims_ipsec_nl_endpoint_get_doit(struct sk_buff *skb, struct genl_info *info);
int ims_ipsec_nl_endpoint_get_dumpit(struct sk_buff *skb,
				     struct netlink_callback *cb);
int ims_ipsec_nl_bundle_new_doit(struct sk_buff *skb, struct genl_info *info);
int ims_ipsec_nl_bundle_confirm_doit(struct sk_buff *skb,
				     struct genl_info *info);
int ims_ipsec_nl_bundle_del_doit(struct sk_buff *skb, struct genl_info *info);
int ims_ipsec_nl_bundle_get_doit(struct sk_buff *skb, struct genl_info *info);
int ims_ipsec_nl_bundle_get_dumpit(struct sk_buff *skb,
				   struct netlink_callback *cb);
int ims_ipsec_nl_algorithm_get_dumpit(struct sk_buff *skb,
				      struct netlink_callback *cb);
int ims_ipsec_nl_bundle_extend_doit(struct sk_buff *skb,
				    struct genl_info *info);
int ims_ipsec_nl_offload_get_dumpit(struct sk_buff *skb,
				    struct netlink_callback *cb);
int ims_ipsec_nl_bundle_flush_doit(struct sk_buff *skb, struct genl_info *info);
int ims_ipsec_nl_stats_get_doit(struct sk_buff *skb, struct genl_info *info);
int ims_ipsec_nl_trace_get_dumpit(struct sk_buff *skb,
				  struct netlink_callback *cb);
int ims_ipsec_nl_bundle_find_doit(struct sk_buff *skb, struct genl_info *info);
int ims_ipsec_nl_bundle_tx_doit(struct sk_buff *skb, struct genl_info *info);
int ims_ipsec_nl_endpoint_set_doit(struct sk_buff *skb, struct genl_info *info);

enum {
	IMS_IPSEC_NLGRP_EVENTS,
};

#endif /* _LINUX_IMS_IPSEC_GEN_H */
