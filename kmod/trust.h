/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef _IMS_TRUST_H
#define _IMS_TRUST_H

#include <linux/if.h>
#include <linux/ims_ipsec.h>

#include "addr.h"

struct ims_bundle_params;
struct ims_endpoint;
struct ims_net;
struct net_device;
struct netlink_ext_ack;
struct sk_buff;

/**
 * struct ims_trust_wish - a prefix that an endpoint trusts
 * @addr: its address, with no bits behind the prefix
 * @len: how many bits of it count
 * @ifname: the interface that it is behind
 */
struct ims_trust_wish {
	struct ims_addr addr;
	u8 len;
	char ifname[IFNAMSIZ];
};

/**
 * struct ims_trust_wishes - all that an endpoint trusts
 * @n: how many
 * @wish: the prefixes
 */
struct ims_trust_wishes {
	unsigned int n;
	struct ims_trust_wish wish[IMS_IPSEC_TRUSTED_MAX];
};

int ims_trust_init(void);
void ims_trust_exit(void);

int ims_trust_parse(struct ims_trust_wish *wish, const char *text);
int ims_trust_get(const struct ims_endpoint *ep, unsigned int i, struct ims_trust_wish *wish);

int ims_trust_set(struct ims_endpoint *ep, const struct ims_trust_wishes *wishes,
		  struct netlink_ext_ack *extack);
void ims_trust_end(struct ims_endpoint *ep);
int ims_trust_add_port(struct ims_endpoint *ep, unsigned int port, struct netlink_ext_ack *extack);
void ims_trust_drop_port(struct ims_endpoint *ep, unsigned int port, unsigned int last);
int ims_trust_restore(struct ims_endpoint *ep, unsigned int *restored);

int ims_trust_check_bundle(struct ims_net *in, const struct ims_bundle_params *p,
			   struct netlink_ext_ack *extack);

bool ims_trust_input(const struct ims_endpoint *ep, const struct ims_addr *peer,
		     const struct net_device *dev, const struct sk_buff *skb);
bool ims_trust_output(const struct ims_endpoint *ep, const struct ims_addr *peer,
		      const struct net_device *dev);

#endif /* _IMS_TRUST_H */
