/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef _IMS_PARSE_H
#define _IMS_PARSE_H

#include <linux/skbuff.h>

#include "addr.h"

/* What has been found out of a packet. Its addresses hold in any case. */
enum ims_shape {
	IMS_SHAPE_PORTS,	/* the ports hold, too */
	IMS_SHAPE_NO_PORTS,	/* nothing to judge */
	IMS_SHAPE_ERROR,	/* an ICMP error, which quotes another packet */
	IMS_SHAPE_BROKEN,	/* cannot be parsed */
};

/**
 * struct ims_parsed - what has been found out of a packet
 * @offset: of the IP header before; of the transport protocol's after
 * @proto: transport protocol
 * @t: addresses and ports; the destination is AF_UNSPEC where it may be any of this host's
 */
struct ims_parsed {
	unsigned int offset;
	u8 proto;
	struct ims_tuple t;
};

enum ims_shape ims_parse4(const struct sk_buff *skb, struct ims_parsed *p);
enum ims_shape ims_parse6(const struct sk_buff *skb, struct ims_parsed *p);
enum ims_shape ims_parse4_quick(const struct sk_buff *skb, const __be16 *ports,
				struct ims_parsed *p);
enum ims_shape ims_parse6_quick(const struct sk_buff *skb, const __be16 *ports,
				struct ims_parsed *p);
enum ims_shape ims_parse_quoted4(const struct sk_buff *skb, struct ims_parsed *p);
enum ims_shape ims_parse_quoted6(const struct sk_buff *skb, struct ims_parsed *p);
enum ims_shape ims_parse_ports(const struct sk_buff *skb, u8 proto, struct ims_parsed *p);
bool ims_parse_is_sip(const struct sk_buff *skb, const struct ims_parsed *p);

#endif /* _IMS_PARSE_H */
