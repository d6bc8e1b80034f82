/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef _IMS_NETLINK_H
#define _IMS_NETLINK_H

#include <linux/ims_ipsec.h>
#include <net/genetlink.h>

#include "compat.h"
#include "netlink_gen.h"

struct ims_addr;
struct ims_alg_list;
struct ims_bundle;
struct ims_endpoint;
struct ims_net;
struct ims_offload_wish;

extern struct genl_family ims_genl_family;

int ims_netlink_init(void);
void ims_netlink_exit(void);

/* netlink.c: what the requests have in common */
int ims_netlink_check_attrs(const struct nlmsghdr *nlh, u64 allowed, u64 multi,
			    struct netlink_ext_ack *extack);
int ims_netlink_check_dump(struct netlink_callback *cb, u64 allowed);
int ims_netlink_require(struct genl_info *info, const int *attrs);
int ims_netlink_check_len(const struct nlattr *nla, const char *name, int max,
			  struct netlink_ext_ack *extack);
int ims_netlink_get_addr(struct ims_addr *addr, const struct nlattr *nla,
			 struct netlink_ext_ack *extack);
int ims_netlink_put_addr(struct sk_buff *skb, int attr, const struct ims_addr *addr);
int ims_netlink_get_alg_list(struct ims_alg_list *list, const struct nlattr *nla,
			     struct netlink_ext_ack *extack);
struct sk_buff *ims_netlink_reply_new(struct genl_info *info, size_t size, void **hdr);
int ims_netlink_reply(struct sk_buff *skb, void *hdr, struct genl_info *info, int err);
void *ims_netlink_put_dump_header(struct sk_buff *skb, struct netlink_callback *cb, u8 cmd);

#define IMS_REQUIRE(info, ...) \
	ims_netlink_require(info, (const int []){ __VA_ARGS__, 0 })

/*
 * The spec's operations and their policies are in netlink_gen.h, which is generated. The handlers
 * do what the spec says of their operation. What a policy does not name is refused; where a dump
 * and a single request differ, the handlers refuse the rest, for 6.1 has one policy for both. What
 * is no attribute of an operation may be beyond the end of its attrs.
 *
 * Context: process, sleeping; they take struct ims_net.lock.
 */

/* netlink_endpoint.c */
struct ims_endpoint *ims_netlink_find_endpoint(struct ims_net *in, const struct nlattr *id,
					       struct netlink_ext_ack *extack);

/* netlink_bundle.c */
struct ims_bundle *ims_netlink_find_bundle(struct ims_net *in, const struct nlattr *id,
					   struct netlink_ext_ack *extack);
int ims_netlink_check_names(struct nlattr **a, struct netlink_ext_ack *extack);
size_t ims_netlink_bundle_brief_size(const struct ims_bundle *b);
int ims_netlink_put_bundle_brief(struct sk_buff *skb, const struct ims_bundle *b);
int ims_netlink_put_bundle(struct sk_buff *skb, const struct ims_bundle *b);

/* netlink_offload.c */

/* Attributes that config and endpoint both have */
enum ims_netlink_offload {
	IMS_OFFLOAD_ATTR_INTERFACE,
	IMS_OFFLOAD_ATTR_MODE,
	IMS_OFFLOAD_ATTR_REQUIRED,
	IMS_OFFLOAD_ATTRS,
};

int ims_netlink_get_offload(struct ims_offload_wish *wish, const struct nlattr *const *a,
			    struct netlink_ext_ack *extack);
int ims_netlink_put_offload(struct sk_buff *skb, const struct ims_endpoint *ep);
int ims_netlink_put_bundle_offload(struct sk_buff *skb, const struct ims_bundle *b);

#endif /* _IMS_NETLINK_H */
