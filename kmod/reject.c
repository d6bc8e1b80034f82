// SPDX-License-Identifier: GPL-2.0-only
/* What an endpoint with "guard reject" answers to what comes in clear. */
#include <linux/icmpv6.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/netfilter.h>
#include <linux/skbuff.h>
#include <net/dst.h>
#include <net/ip6_route.h>
#include <net/netfilter/ipv4/nf_reject.h>
#include <net/netfilter/ipv6/nf_reject.h>
#include <net/route.h>

#include "reject.h"

static DEFINE_PER_CPU(bool, ims_reject_own);

/**
 * ims_reject_is_own() - is what leaves this CPU just now an answer of the guard's
 *
 * Context: softirq, in one of the hooks that an answer passes.
 * Return: true if so.
 */
bool ims_reject_is_own(void)
{
	return this_cpu_read(ims_reject_own);
}

/*
 * The endpoint's policies and its guard would stop a RST, which leaves a
 * protected port in clear: so it is routed without XFRM, does not pass LOCAL_OUT,
 * and is known at POST_ROUTING.
 */
static void ims_reject_reset(struct net *net, struct sk_buff *rst, struct dst_entry *dst,
			     const struct sk_buff *skb)
{
	skb_dst_set(rst, dst);
	nf_ct_attach(rst, skb);
	dst_output(net, NULL, rst);
}

static void ims_reject_reset4(struct net *net, struct sk_buff *skb)
{
	struct sk_buff *rst = nf_reject_skb_v4_tcp_reset(net, skb, skb->dev, NF_INET_LOCAL_IN);
	struct flowi4 fl4 = {};
	struct rtable *rt;

	if (!rst)
		return;
	fl4.saddr = ip_hdr(rst)->saddr;
	fl4.daddr = ip_hdr(rst)->daddr;
	fl4.flowi4_proto = IPPROTO_TCP;
	rt = __ip_route_output_key(net, &fl4);
	if (IS_ERR(rt)) {
		kfree_skb(rst);
		return;
	}
	ims_reject_reset(net, rst, &rt->dst, skb);
}

static void ims_reject_reset6(struct net *net, struct sk_buff *skb)
{
	struct sk_buff *rst = nf_reject_skb_v6_tcp_reset(net, skb, skb->dev, NF_INET_LOCAL_IN);
	struct flowi6 fl6 = {};
	struct dst_entry *dst;

	if (!rst)
		return;
	fl6.saddr = ipv6_hdr(rst)->saddr;
	fl6.daddr = ipv6_hdr(rst)->daddr;
	fl6.flowi6_proto = IPPROTO_TCP;
	if (ipv6_addr_type(&fl6.daddr) & IPV6_ADDR_LINKLOCAL)
		fl6.flowi6_oif = skb->dev->ifindex;
	dst = ip6_route_output(net, NULL, &fl6);
	if (dst->error) {
		dst_release(dst);
		kfree_skb(rst);
		return;
	}
	ims_reject_reset(net, rst, dst, skb);
}

static void ims_reject_send4(struct net *net, struct sk_buff *skb)
{
	if (ip_hdr(skb)->protocol == IPPROTO_TCP)
		ims_reject_reset4(net, skb);
	else
		nf_send_unreach(skb, ICMP_PORT_UNREACH, NF_INET_LOCAL_IN);
}

static void ims_reject_send6(struct net *net, struct sk_buff *skb)
{
	unsigned int offset = 0;

	if (ipv6_find_hdr(skb, &offset, -1, NULL, NULL) == IPPROTO_TCP)
		ims_reject_reset6(net, skb);
	else
		nf_send_unreach6(net, skb, ICMPV6_PORT_UNREACH, NF_INET_LOCAL_IN);
}

/**
 * ims_reject_input() - tell the sender that a packet is not wanted
 * @skb: the packet, unprotected, with its ports; still the caller's to drop
 * @state: of its LOCAL_IN hook
 *
 * RST for TCP, ICMP port unreachable for all else; nothing where that would
 * be wrong: an answer to a RST, a broken checksum, a broadcast.
 *
 * Context: softirq.
 */
void ims_reject_input(struct sk_buff *skb, const struct nf_hook_state *state)
{
	if (skb->pkt_type != PACKET_HOST)
		return;
	/* it leaves before this returns, or never */
	local_bh_disable();
	this_cpu_write(ims_reject_own, true);
	if (state->pf == NFPROTO_IPV4)
		ims_reject_send4(state->net, skb);
	else
		ims_reject_send6(state->net, skb);
	this_cpu_write(ims_reject_own, false);
	local_bh_enable();
}
