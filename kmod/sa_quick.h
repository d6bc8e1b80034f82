/* SPDX-License-Identifier: GPL-2.0-only */
/* What is asked of the SA of each packet, with no function called for it: see sa.c. */
#ifndef _IMS_SA_QUICK_H
#define _IMS_SA_QUICK_H

#include <linux/skbuff.h>
#include <linux/timekeeping.h>
#include <net/dst.h>
#include <net/ipv6.h>
#include <net/xfrm.h>

#include "compat.h"

/**
 * ims_sa_of_output() - the SA that a packet will leave over
 * @skb: the packet, routed, not transformed yet
 *
 * Context: any.
 * Return: the first one, without a reference: it lives as long as @skb. NULL if
 * there is none.
 */
static inline const struct xfrm_state *ims_sa_of_output(const struct sk_buff *skb)
{
	const struct dst_entry *dst = skb_dst(skb);

	return dst ? dst_xfrm(dst) : NULL;
}

/**
 * ims_sa_is_shielded() - is an SA one of this module's
 * @x: the SA
 *
 * Context: any.
 * Return: true if so: of those for ESP nobody else's is shielded, see ims_sa_new().
 */
static inline bool ims_sa_is_shielded(const struct xfrm_state *x)
{
	return x->id.proto == IPPROTO_ESP && xfrm_state_kern(x);
}

/**
 * ims_sa_is_tunnel() - is an SA one for ESP in UDP in tunnel mode
 * @x: the SA
 *
 * Return: true if so, whoever it belongs to.
 */
static inline bool ims_sa_is_tunnel(const struct xfrm_state *x)
{
	return x->encap && x->props.mode == XFRM_MODE_TUNNEL;
}

/**
 * ims_sa_is_live() - may an SA be used
 * @x: the SA
 *
 * Return: false if it was deleted, by whomever.
 */
static inline bool ims_sa_is_live(const struct xfrm_state *x)
{
	return READ_ONCE(x->km.state) == XFRM_STATE_VALID;
}

/**
 * ims_sa_is_missing() - did XFRM want an SA for a packet and find none
 * @skb: the packet, routed
 *
 * Context: any.
 * Return: true if so: it goes nowhere.
 */
static inline bool ims_sa_is_missing(const struct sk_buff *skb)
{
	const struct dst_entry *dst = skb_dst(skb);

	if (!dst)
		return false;
	/* net.core.xfrm_larval_drop is 0: XFRM would have it wait for an SA */
	if (dst->flags & DST_XFRM_QUEUE)
		return true;
	/* also the route below an SA that was found later leads nowhere then */
	return xfrm_dst_path(dst)->output == dst_discard_out;
}

/**
 * ims_sa_touch() - a packet goes over an SA
 * @x: the SA
 */
static inline void ims_sa_touch(const struct xfrm_state *x)
{
	time64_t now;

	if (ims_compat_is_touched(x))
		return;
	now = ktime_get_real_seconds();
	if (READ_ONCE(x->lastused) != now)
		WRITE_ONCE(((struct xfrm_state *)x)->lastused, now);
}

/* Is an SA one of ours, and for a packet? As ims_sa_covers(), of what is in the packet. */
static __always_inline bool ims_sa_is_for(const struct xfrm_state *x, const struct sk_buff *skb,
					  const __be16 *ports)
{
	const struct xfrm_selector *sel = &x->sel;
	const struct ipv6hdr *ip6h;
	const struct iphdr *iph;

	if (!ims_sa_is_shielded(x) || sel->sport != ports[0] || sel->dport != ports[1])
		return false;
	if (ip_hdr(skb)->version == 4) {
		iph = ip_hdr(skb);
		return sel->family == AF_INET && sel->saddr.a4 == iph->saddr &&
		       sel->daddr.a4 == iph->daddr;
	}
	ip6h = ipv6_hdr(skb);
	return sel->family == AF_INET6 && ipv6_addr_equal(&sel->saddr.in6, &ip6h->saddr) &&
	       ipv6_addr_equal(&sel->daddr.in6, &ip6h->daddr);
}

/**
 * ims_sa_carries_output() - will a packet leave over a live SA of ours that is for it, in no tunnel
 * @skb: the packet, routed, not transformed yet
 * @ports: its ports
 *
 * Context: any.
 * Return: true if so.
 */
static __always_inline bool ims_sa_carries_output(const struct sk_buff *skb, const __be16 *ports)
{
	const struct xfrm_state *x = ims_sa_of_output(skb);

	return x && ims_sa_is_for(x, skb, ports) && !ims_sa_is_tunnel(x) && ims_sa_is_live(x) &&
	       !ims_sa_is_missing(skb);
}

#endif /* _IMS_SA_QUICK_H */
