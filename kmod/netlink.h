/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef _IMS_NETLINK_H
#define _IMS_NETLINK_H

#include <linux/ims_ipsec.h>
#include <net/genetlink.h>

struct ims_addr;
struct ims_alg_list;
struct ims_bundle;
struct ims_endpoint;
struct ims_net;
struct ims_offload_wish;

/* Groups, in the order of the family's table */
enum {
	IMS_MCGRP_EVENTS,
};

extern struct genl_family ims_genl_family;

int ims_netlink_init(void);
void ims_netlink_exit(void);

/* netlink.c: what the requests have in common */
int ims_netlink_check_attrs(const struct nlmsghdr *nlh, u64 allowed, u64 multi,
			    struct netlink_ext_ack *extack);
int ims_netlink_require(struct genl_info *info, const int *attrs);
int ims_netlink_get_addr(struct ims_addr *addr, const struct nlattr *nla,
			 struct netlink_ext_ack *extack);
int ims_netlink_put_addr(struct sk_buff *skb, int attr, const struct ims_addr *addr);
int ims_netlink_get_alg_list(struct ims_alg_list *list, const struct nlattr *nla,
			     struct netlink_ext_ack *extack);
struct sk_buff *ims_netlink_reply_new(struct genl_info *info, void **hdr);
int ims_netlink_reply(struct sk_buff *skb, void *hdr, struct genl_info *info, int err);
void *ims_netlink_put_dump_header(struct sk_buff *skb, struct netlink_callback *cb, u8 cmd);

#define IMS_REQUIRE(info, ...) \
	ims_netlink_require(info, (const int []){ __VA_ARGS__, 0 })

/*
 * One policy a command. What a policy does not name is refused; where a
 * command's dump and its single request differ, the handlers refuse the rest.
 *
 * The handlers do what the spec says of their operation. Context: process,
 * sleeping; they take struct ims_net.lock.
 */

/* netlink_config.c */
extern const struct nla_policy ims_config_get_policy[IMS_IPSEC_A_CONFIG_MAX + 1];
extern const struct nla_policy ims_config_set_policy[IMS_IPSEC_A_CONFIG_MAX + 1];
int ims_netlink_config_get(struct sk_buff *skb, struct genl_info *info);
int ims_netlink_config_set(struct sk_buff *skb, struct genl_info *info);

/* netlink_endpoint.c */
extern const struct nla_policy ims_endpoint_new_policy[IMS_IPSEC_A_ENDPOINT_MAX + 1];
extern const struct nla_policy ims_endpoint_del_policy[IMS_IPSEC_A_ENDPOINT_MAX + 1];
extern const struct nla_policy ims_endpoint_get_policy[IMS_IPSEC_A_ENDPOINT_MAX + 1];
int ims_netlink_endpoint_new(struct sk_buff *skb, struct genl_info *info);
int ims_netlink_endpoint_del(struct sk_buff *skb, struct genl_info *info);
int ims_netlink_endpoint_get(struct sk_buff *skb, struct genl_info *info);
int ims_netlink_endpoint_dump(struct sk_buff *skb, struct netlink_callback *cb);
struct ims_endpoint *ims_netlink_find_endpoint(struct ims_net *in, const struct nlattr *id,
					       struct netlink_ext_ack *extack);

/* netlink_bundle.c */
extern const struct nla_policy ims_bundle_new_policy[IMS_IPSEC_A_BUNDLE_MAX + 1];
extern const struct nla_policy ims_bundle_confirm_policy[IMS_IPSEC_A_BUNDLE_MAX + 1];
extern const struct nla_policy ims_bundle_del_policy[IMS_IPSEC_A_BUNDLE_MAX + 1];
extern const struct nla_policy ims_bundle_get_policy[IMS_IPSEC_A_BUNDLE_MAX + 1];
int ims_netlink_bundle_new(struct sk_buff *skb, struct genl_info *info);
int ims_netlink_bundle_confirm(struct sk_buff *skb, struct genl_info *info);
extern const struct nla_policy ims_bundle_extend_policy[IMS_IPSEC_A_BUNDLE_MAX + 1];
int ims_netlink_bundle_extend(struct sk_buff *skb, struct genl_info *info);
int ims_netlink_bundle_del(struct sk_buff *skb, struct genl_info *info);
int ims_netlink_bundle_get(struct sk_buff *skb, struct genl_info *info);
int ims_netlink_bundle_dump(struct sk_buff *skb, struct netlink_callback *cb);
extern const struct nla_policy ims_bundle_flush_policy[IMS_IPSEC_A_BUNDLE_MAX + 1];
int ims_netlink_bundle_flush(struct sk_buff *skb, struct genl_info *info);
int ims_netlink_put_bundle(struct sk_buff *skb, const struct ims_bundle *b);

/* netlink_algorithm.c */
extern const struct nla_policy ims_algorithm_get_policy[IMS_IPSEC_A_ALGORITHM_MAX + 1];
int ims_netlink_algorithm_dump(struct sk_buff *skb, struct netlink_callback *cb);

/* netlink_stats.c */
extern const struct nla_policy ims_stats_get_policy[IMS_IPSEC_A_STATS_MAX + 1];
extern const struct nla_policy ims_trace_get_policy[IMS_IPSEC_A_TRACE_MAX + 1];
int ims_netlink_stats_get(struct sk_buff *skb, struct genl_info *info);
int ims_netlink_trace_dump(struct sk_buff *skb, struct netlink_callback *cb);

/* netlink_offload.c */

/* Attributes that config and endpoint both have */
enum ims_netlink_offload {
	IMS_OFFLOAD_ATTR_INTERFACE,
	IMS_OFFLOAD_ATTR_MODE,
	IMS_OFFLOAD_ATTR_REQUIRED,
	IMS_OFFLOAD_ATTRS,
};

extern const struct nla_policy ims_offload_get_policy[IMS_IPSEC_A_OFFLOAD_MAX + 1];
int ims_netlink_offload_dump(struct sk_buff *skb, struct netlink_callback *cb);
int ims_netlink_get_offload(struct ims_offload_wish *wish, const struct nlattr *const *a,
			    struct netlink_ext_ack *extack);
int ims_netlink_put_offload(struct sk_buff *skb, const struct ims_endpoint *ep);
int ims_netlink_put_bundle_offload(struct sk_buff *skb, const struct ims_bundle *b);

#endif /* _IMS_NETLINK_H */
