// SPDX-License-Identifier: GPL-2.0-only
/*
 * The guard: netfilter hooks that judge what touches a protected port.
 * Policies alone have holes (IPv6 atomic fragments, the loopback device, SAs
 * of somebody else, a flush), so they transform and the hooks decide.
 */
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/netfilter.h>
#include <linux/netfilter_ipv4.h>
#include <linux/netfilter_ipv6.h>
#include <linux/skbuff.h>
#include <net/ip.h>
#include <net/ipv6.h>

#include "bundle.h"
#include "endpoint.h"
#include "guard.h"
#include "netns.h"
#include "sa.h"

/**
 * struct ims_guard_pkt - what the guard has to know of a packet
 * @local: its address on our side
 * @port: its port on our side; 0 for a protocol without ports
 */
struct ims_guard_pkt {
	struct ims_addr local;
	__be16 port;
};

enum ims_guard_parsed {
	IMS_GUARD_PORTS,	/* both members hold */
	IMS_GUARD_NO_PORTS,	/* nothing to judge */
	IMS_GUARD_BROKEN,	/* cannot be parsed; the address holds */
};

static enum ims_guard_parsed ims_guard_parse_ports(const struct sk_buff *skb, u8 proto,
						   unsigned int offset, bool out,
						   struct ims_guard_pkt *pkt)
{
	__be16 _ports[2];
	const __be16 *ports;

	switch (proto) {
	case IPPROTO_TCP:
	case IPPROTO_UDP:
	case IPPROTO_UDPLITE:
	case IPPROTO_SCTP:
	case IPPROTO_DCCP:
		break;
	default:
		return IMS_GUARD_NO_PORTS;
	}
	/* source and destination port come first in all of them */
	ports = skb_header_pointer(skb, offset, sizeof(_ports), _ports);
	if (!ports)
		return IMS_GUARD_BROKEN;
	pkt->port = ports[out ? 0 : 1];
	return IMS_GUARD_PORTS;
}

static enum ims_guard_parsed ims_guard_parse4(const struct sk_buff *skb, bool out,
					      struct ims_guard_pkt *pkt)
{
	const struct iphdr *iph = ip_hdr(skb);

	pkt->local.family = AF_INET;
	pkt->local.in.s_addr = out ? iph->saddr : iph->daddr;
	/*
	 * Datagrams are whole here, both ways; a later fragment is one that
	 * somebody put together by hand, whose first one is judged.
	 */
	if (iph->frag_off & htons(IP_OFFSET))
		return IMS_GUARD_NO_PORTS;
	return ims_guard_parse_ports(skb, iph->protocol, ip_hdrlen(skb), out, pkt);
}

static enum ims_guard_parsed ims_guard_parse6(const struct sk_buff *skb, bool out,
					      struct ims_guard_pkt *pkt)
{
	const struct ipv6hdr *ip6h = ipv6_hdr(skb);
	unsigned int offset = 0;
	unsigned short fragoff;
	int proto;

	pkt->local.family = AF_INET6;
	pkt->local.in6 = out ? ip6h->saddr : ip6h->daddr;
	/*
	 * Fragments come here before they are put together. A first one must
	 * show its ports, alone (an atomic fragment) or not; the later ones
	 * are worth nothing without it.
	 */
	proto = ipv6_find_hdr(skb, &offset, -1, &fragoff, NULL);
	if (proto < 0)
		return IMS_GUARD_BROKEN;
	if (fragoff)
		return IMS_GUARD_NO_PORTS;
	return ims_guard_parse_ports(skb, proto, offset, out, pkt);
}

/* Did a packet come over a live SA of this endpoint? Under RCU. */
static int ims_guard_check_input(struct ims_net *in, const struct ims_endpoint *ep,
				 const struct sk_buff *skb)
{
	const struct xfrm_state *x = ims_sa_of_input(skb);

	if (!x)
		return -ENOENT;
	if (IS_ERR(x) || !ims_bundle_owns_input(in, ep, x))
		return -EPERM;
	return 0;
}

static unsigned int ims_guard_judge(struct ims_net *in, const struct sk_buff *skb,
				    enum ims_guard_parsed parsed,
				    const struct ims_guard_pkt *pkt, bool out)
{
	struct ims_endpoint *ep;
	enum ims_drop drop;
	int err;

	/* netfilter calls its hooks under RCU */
	list_for_each_entry_rcu(ep, &in->endpoint_list, node) {
		if (!ims_addr_equal(&ep->addr, &pkt->local))
			continue;
		if (parsed == IMS_GUARD_PORTS && !ims_endpoint_has_port(ep, pkt->port))
			continue;

		if (parsed == IMS_GUARD_BROKEN)
			err = -ENOENT;
		else if (out)
			err = ims_sa_check_output(skb, ep->reqid);
		else
			err = ims_guard_check_input(in, ep, skb);
		if (!err)
			return NF_ACCEPT;

		if (err == -EPERM)
			drop = IMS_DROP_FOREIGN_SA;
		else
			drop = out ? IMS_DROP_PLAINTEXT_OUT : IMS_DROP_PLAINTEXT_IN;
		atomic64_inc(&ep->drops[drop]);
		return NF_DROP;
	}
	return NF_ACCEPT;
}

static unsigned int ims_guard_hook4(void *priv, struct sk_buff *skb,
				    const struct nf_hook_state *state)
{
	bool out = state->hook == NF_INET_LOCAL_OUT;
	enum ims_guard_parsed parsed;
	struct ims_guard_pkt pkt = {};

	parsed = ims_guard_parse4(skb, out, &pkt);
	if (parsed == IMS_GUARD_NO_PORTS)
		return NF_ACCEPT;
	return ims_guard_judge(ims_net(state->net), skb, parsed, &pkt, out);
}

static unsigned int ims_guard_hook6(void *priv, struct sk_buff *skb,
				    const struct nf_hook_state *state)
{
	bool out = state->hook == NF_INET_LOCAL_OUT;
	enum ims_guard_parsed parsed;
	struct ims_guard_pkt pkt = {};

	parsed = ims_guard_parse6(skb, out, &pkt);
	if (parsed == IMS_GUARD_NO_PORTS)
		return NF_ACCEPT;
	return ims_guard_judge(ims_net(state->net), skb, parsed, &pkt, out);
}

/* Last, so that nothing changes ports or route behind them. */
static const struct nf_hook_ops ims_guard_ops[] = {
	{
		.hook = ims_guard_hook4,
		.pf = NFPROTO_IPV4,
		.hooknum = NF_INET_LOCAL_IN,
		.priority = NF_IP_PRI_LAST,
	},
	{
		.hook = ims_guard_hook4,
		.pf = NFPROTO_IPV4,
		.hooknum = NF_INET_LOCAL_OUT,
		.priority = NF_IP_PRI_LAST,
	},
	{
		.hook = ims_guard_hook6,
		.pf = NFPROTO_IPV6,
		.hooknum = NF_INET_LOCAL_IN,
		.priority = NF_IP6_PRI_LAST,
	},
	{
		.hook = ims_guard_hook6,
		.pf = NFPROTO_IPV6,
		.hooknum = NF_INET_LOCAL_OUT,
		.priority = NF_IP6_PRI_LAST,
	},
};

/**
 * ims_guard_enable() - have the hooks registered
 * @in: where; a namespace without endpoints has none and pays nothing
 *
 * Context: process, sleeps, @in->lock held.
 * Return: 0 or -ENOMEM.
 */
int ims_guard_enable(struct ims_net *in)
{
	int err;

	lockdep_assert_held(&in->lock);

	if (in->guarded)
		return 0;
	err = nf_register_net_hooks(in->net, ims_guard_ops, ARRAY_SIZE(ims_guard_ops));
	in->guarded = !err;
	return err;
}

/**
 * ims_guard_disable() - have the hooks unregistered
 * @in: where; it has no endpoints any more
 *
 * Context: process, sleeps, @in->lock held.
 */
void ims_guard_disable(struct ims_net *in)
{
	lockdep_assert_held(&in->lock);

	if (in->guarded)
		nf_unregister_net_hooks(in->net, ims_guard_ops, ARRAY_SIZE(ims_guard_ops));
	in->guarded = false;
}
