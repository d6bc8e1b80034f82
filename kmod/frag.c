// SPDX-License-Identifier: GPL-2.0-only
/*
 * Fragments within tunnels. ESP in UDP that is fragmented itself does not come through
 * some NATs, so what is too long for it is fragmented before.
 */
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/netfilter.h>
#include <linux/netfilter_ipv4.h>
#include <linux/netfilter_ipv6.h>
#include <linux/skbuff.h>
#include <net/ip.h>
#include <net/ipv6.h>
#include <net/ipv6_frag.h>
#include <net/netfilter/ipv6/nf_defrag_ipv6.h>

#include "frag.h"
#include "netns.h"
#include "sa.h"

/* Before anybody else puts fragments together */
#define IMS_FRAG_PRIORITY4	(NF_IP_PRI_CONNTRACK_DEFRAG - 10)
#define IMS_FRAG_PRIORITY6	(NF_IP6_PRI_CONNTRACK_DEFRAG - 10)

/* Users of the kernel's queues have numbers below this: connection tracking one a zone */
#define IMS_FRAG_USERS	BIT(18)
static_assert((int)IP_DEFRAG_MACVLAN < (int)IMS_FRAG_USERS);
static_assert((int)__IP6_DEFRAG_CONNTRACK_BRIDGE_IN < (int)IMS_FRAG_USERS);

/*
 * Fragments are put together with those of the same SA alone, or what came in ESP
 * could be completed in clear: the user's number is the SPI. One that is as low as
 * somebody else's has the number of an SPI 2^31 above it, which has to be told apart
 * by the rest: addresses and identification.
 */
static u32 ims_frag_user(const struct sk_buff *skb)
{
	const struct xfrm_state *x = ims_sa_of_input(skb);
	u32 spi;

	if (IS_ERR_OR_NULL(x) || !ims_sa_is_tunnel(x))
		return 0;
	spi = ntohl(ims_sa_spi(x));
	return spi < IMS_FRAG_USERS ? spi | BIT(31) : spi;
}

static unsigned int ims_frag_hook4(void *priv, struct sk_buff *skb,
				   const struct nf_hook_state *state)
{
	u32 user;

	if (!skb_sec_path(skb) || !ip_is_fragment(ip_hdr(skb)))
		return NF_ACCEPT;
	user = ims_frag_user(skb);
	if (!user)
		return NF_ACCEPT;
	return ip_defrag(state->net, skb, user) ? NF_STOLEN : NF_ACCEPT;
}

static bool ims_frag_is_fragment6(const struct sk_buff *skb)
{
	unsigned int offset = skb_network_offset(skb);
	unsigned short frag_off = 0;

	return ipv6_find_hdr(skb, &offset, NEXTHDR_FRAGMENT, &frag_off, NULL) >= 0;
}

static unsigned int ims_frag_hook6(void *priv, struct sk_buff *skb,
				   const struct nf_hook_state *state)
{
	u32 user;
	int err;

	if (!skb_sec_path(skb) || !ims_frag_is_fragment6(skb))
		return NF_ACCEPT;
	user = ims_frag_user(skb);
	if (!user)
		return NF_ACCEPT;
	err = nf_ct_frag6_gather(state->net, skb, user);
	if (err == -EINPROGRESS)
		return NF_STOLEN;
	/* what is left of a fragment the guard lets nobody have */
	return err ? NF_DROP : NF_ACCEPT;
}

static const struct nf_hook_ops ims_frag_ops[IMS_FRAG_HOOKS] = {
	{
		.hook = ims_frag_hook4,
		.pf = NFPROTO_IPV4,
		.hooknum = NF_INET_PRE_ROUTING,
		.priority = IMS_FRAG_PRIORITY4,
	},
	{
		.hook = ims_frag_hook6,
		.pf = NFPROTO_IPV6,
		.hooknum = NF_INET_PRE_ROUTING,
		.priority = IMS_FRAG_PRIORITY6,
	},
};

/**
 * ims_frag_init() - prepare a namespace's hooks
 * @in: where
 */
void ims_frag_init(struct ims_net *in)
{
	memcpy(in->frag_ops, ims_frag_ops, sizeof(ims_frag_ops));
}

/**
 * ims_frag_enable() - take care of fragments within tunnels
 * @in: where
 *
 * Context: process, sleeps, @in->lock held.
 * Return: 0 or -ENOMEM.
 */
int ims_frag_enable(struct ims_net *in)
{
	lockdep_assert_held(&in->lock);

	return nf_register_net_hooks(in->net, in->frag_ops, IMS_FRAG_HOOKS);
}

/**
 * ims_frag_disable() - there are no tunnels any more
 * @in: where
 *
 * Context: process, sleeps, @in->lock held.
 */
void ims_frag_disable(struct ims_net *in)
{
	lockdep_assert_held(&in->lock);

	nf_unregister_net_hooks(in->net, in->frag_ops, IMS_FRAG_HOOKS);
}

/**
 * ims_frag_output() - fragment what is too long for a tunnel
 * @skb: a packet about to leave through one
 * @state: of the hook where it is
 *
 * XFRM does so itself with IPv6; with IPv4 it would have ESP fragmented.
 *
 * Context: any, under RCU.
 * Return: true if it has left in pieces, false if it is to go on as it is.
 */
bool ims_frag_output(struct sk_buff *skb, const struct nf_hook_state *state)
{
	if (ip_hdr(skb)->version != 4 || skb_is_gso(skb) ||
	    (ip_hdr(skb)->frag_off & htons(IP_DF)) ||
	    skb->len <= ip_skb_dst_mtu(state->sk, skb))
		return false;
	ip_do_fragment(state->net, state->sk, skb, state->okfn);
	return true;
}
