/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef _IMS_FOU_H
#define _IMS_FOU_H

#include "compat.h"
#include "encap.h"
#include "parse.h"

struct ims_endpoint;
struct ims_net;

/**
 * ims_fou_is_possible() - may there be a socket for FOU or GUE
 * @net: where
 *
 * Return: false if there is none for sure.
 */
static inline bool ims_fou_is_possible(const struct net *net)
{
	return ims_compat_has_udp_tunnels(net, &ims_encap_sockets);
}

struct ims_endpoint *ims_fou_leads_to(struct ims_net *in, const struct sk_buff *skb,
				      struct ims_parsed *p);

#endif /* _IMS_FOU_H */
