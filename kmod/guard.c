// SPDX-License-Identifier: GPL-2.0-only
/*
 * The guard: netfilter hooks that judge what touches a protected port.
 * Policies would have holes (IPv6 atomic fragments, the loopback device, SAs of
 * somebody else, a flush), so they transform what goes out and the hooks decide.
 *
 * A packet is judged where nothing has changed it yet, and again where nothing
 * will change it any more: others may rewrite addresses and ports in between.
 *
 *	PRE_ROUTING   what comes, before destination NAT
 *	LOCAL_IN      what is delivered, by what it was and by what it is
 *	LOCAL_OUT     what is sent, before XFRM and source NAT
 *	POST_ROUTING  what leaves, by what it was and by what it is
 */
#include <linux/icmp.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/netfilter.h>
#include <linux/netfilter_ipv4.h>
#include <linux/netfilter_ipv6.h>
#include <linux/skbuff.h>
#include <net/dst.h>
#include <net/inet_sock.h>
#include <net/ip.h>
#include <net/ipv6.h>

#include "bundle.h"
#include "compat.h"
#include "endpoint.h"
#include "fou.h"
#include "frag.h"
#include "guard.h"
#include "journal.h"
#include "nat.h"
#include "netns.h"
#include "parse.h"
#include "reject.h"
#include "sa.h"
#include "trace.h"

/* The UE takes a new set into use by sending over it. */
static void ims_guard_note(struct ims_bundle *b, const struct sk_buff *skb,
			   const struct ims_parsed *p)
{
	if (READ_ONCE(b->state) == IMS_IPSEC_STATE_ESTABLISHED && ims_parse_is_sip(skb, p))
		ims_bundle_used(b);
}

/* Did a packet come over a live SA of this endpoint that is for it? */
static enum ims_ipsec_drop ims_guard_check_input(struct ims_net *in, const struct ims_endpoint *ep,
						 const struct sk_buff *skb,
						 const struct ims_parsed *p,
						 enum ims_shape shape)
{
	const struct xfrm_state *x = ims_sa_of_input(skb);
	struct ims_bundle *b;

	if (!x)
		return IMS_IPSEC_DROP_PLAINTEXT_IN;
	if (IS_ERR(x))
		return IMS_IPSEC_DROP_FOREIGN_SA;
	b = ims_bundle_of_input(in, x);
	if (!b || b->ep != ep)
		return ims_sa_has_reqid(x, ep->reqid) ? IMS_IPSEC_DROP_NO_LIVE_SET :
							IMS_IPSEC_DROP_FOREIGN_SA;
	if (!ims_sa_is_live(x))
		return IMS_IPSEC_DROP_NO_LIVE_SET;
	if (shape != IMS_SHAPE_PORTS || !ims_sa_covers(x, &p->t))
		return IMS_IPSEC_DROP_CROSS_PAIR;
	if (b->udp_only && p->proto != IPPROTO_UDP)
		return IMS_IPSEC_DROP_UDP_ONLY;
	ims_guard_note(b, skb, p);
	ims_sa_touch(x);
	return IMS_DROP_NOT;
}

/* A port that is not shut: what comes over a bundle may take it into use all the same. */
static void ims_guard_pass_input(struct ims_net *in, const struct sk_buff *skb,
				 const struct ims_parsed *p)
{
	const struct xfrm_state *x = ims_sa_of_input(skb);
	struct ims_bundle *b;

	if (IS_ERR_OR_NULL(x))
		return;
	b = ims_bundle_of_input(in, x);
	if (b && ims_sa_covers(x, &p->t))
		ims_guard_note(b, skb, p);
}

/* The endpoint's own SA, or why not; a tunnel's has a reqid of its own. */
static enum ims_ipsec_drop ims_guard_check_owner(struct ims_net *in, const struct ims_endpoint *ep,
						 const struct xfrm_state *x, u8 proto)
{
	const struct ims_bundle *b;

	if (!ims_sa_is_tunnel(x))
		return ims_sa_has_reqid(x, ep->reqid) ? IMS_DROP_NOT : IMS_IPSEC_DROP_FOREIGN_SA;
	b = ims_nat_of_output(in, x);
	if (!b || b->ep != ep)
		return IMS_IPSEC_DROP_FOREIGN_SA;
	if (b->udp_only && proto != IPPROTO_UDP)
		return IMS_IPSEC_DROP_UDP_ONLY;
	return IMS_DROP_NOT;
}

/* Will a packet leave over a live SA of this endpoint that is for it? */
static enum ims_ipsec_drop ims_guard_check_output(struct ims_net *in,
						  const struct ims_endpoint *ep,
						  const struct sk_buff *skb,
						  const struct ims_parsed *p,
						  enum ims_shape shape)
{
	const struct xfrm_state *x = ims_sa_of_output(skb);
	const struct ims_tuple *t = &p->t;
	enum ims_ipsec_drop drop;

	if (!x) {
		if (!ims_sa_is_missing(skb))
			return IMS_IPSEC_DROP_PLAINTEXT_OUT;
		return ims_sa_exists(in->net, &t->src, &t->dst, ep->reqid) ?
			       IMS_IPSEC_DROP_CROSS_PAIR :
			       IMS_IPSEC_DROP_NO_LIVE_SET;
	}
	drop = ims_guard_check_owner(in, ep, x, p->proto);
	if (drop != IMS_DROP_NOT)
		return drop;
	if (!ims_sa_is_live(x))
		return IMS_IPSEC_DROP_NO_LIVE_SET;
	if (shape != IMS_SHAPE_PORTS || !ims_sa_covers(x, t))
		return IMS_IPSEC_DROP_CROSS_PAIR;
	ims_sa_touch(x);
	return IMS_DROP_NOT;
}

/* Was it a tunnel? Then XFRM would want a policy. */
static unsigned int ims_guard_let_in(struct sk_buff *skb, const struct xfrm_state *x)
{
	ims_sa_mark_input(skb, x);
	if (ims_sa_is_tunnel(x))
		ims_sa_forget_input(skb);
	return NF_ACCEPT;
}

static unsigned int ims_guard_let_out(struct sk_buff *skb, const struct nf_hook_state *state)
{
	/* with another source address or port it would fit no SA */
	ims_compat_keep_source(skb);
	if (ims_sa_is_tunnel(ims_sa_of_output(skb)) && ims_frag_output(skb, state))
		return NF_STOLEN;
	return NF_ACCEPT;
}

/* Count a drop, and note it down; @p: of the packet, or of what it quotes or carries. */
static void ims_guard_count(struct ims_net *in, struct ims_endpoint *ep, enum ims_ipsec_drop drop,
			    const struct sk_buff *skb, const struct ims_parsed *p, bool has_ports,
			    bool out)
{
	const struct xfrm_state *x = out ? ims_sa_of_output(skb) : ims_sa_of_input(skb);
	const struct ims_journal_drop entry = {
		.e.endpoint = ep->id,
		.t = p->t,
		.spi = IS_ERR_OR_NULL(x) ? 0 : ims_sa_spi(x),
		.has_ports = has_ports,
		.proto = p->proto,
		.drop = drop,
	};

	atomic64_inc(&ep->drops[drop]);
	ims_journal_add_drop(in, &entry);
	trace_ims_drop(ep->id, entry.drop, entry.proto, has_ports ? ntohs(p->t.sport) : 0,
		       has_ports ? ntohs(p->t.dport) : 0, ntohl(entry.spi));
}

static unsigned int ims_guard_drop_input(struct ims_net *in, struct ims_endpoint *ep,
					 enum ims_ipsec_drop drop, struct sk_buff *skb,
					 const struct ims_parsed *p, enum ims_shape shape,
					 const struct nf_hook_state *state)
{
	ims_guard_count(in, ep, drop, skb, p, shape == IMS_SHAPE_PORTS, false);
	/* An answer to what came protected would quote it in clear. */
	if (ep->guard == IMS_IPSEC_GUARD_REJECT && drop == IMS_IPSEC_DROP_PLAINTEXT_IN &&
	    shape == IMS_SHAPE_PORTS && state->net == in->net)
		ims_reject_input(skb, state);
	return NF_DROP;
}

static unsigned int ims_guard_drop_output(struct ims_net *in, struct ims_endpoint *ep,
					  enum ims_ipsec_drop drop, const struct sk_buff *skb,
					  const struct ims_parsed *p, enum ims_shape shape)
{
	ims_guard_count(in, ep, drop, skb, p, shape == IMS_SHAPE_PORTS, true);
	return ep->guard == IMS_IPSEC_GUARD_REJECT ? NF_DROP_ERR(-ECONNREFUSED) : NF_DROP;
}

/*
 * An ICMP error quotes a packet. From outside, one about what left a protected
 * port quotes ESP: if it quotes the port, it is forged. From here, one about
 * what came to a protected port would show in clear what came in ESP.
 *
 * @p: of the error
 */
static unsigned int ims_guard_judge_error(struct ims_net *in, const struct sk_buff *skb,
					  const struct ims_parsed *p, ims_parse_t *parse_quoted,
					  bool out)
{
	/* The headers of an error are as long in both families. */
	struct ims_parsed quoted = { .offset = p->offset + sizeof(struct icmphdr) };
	struct ims_endpoint *ep;

	if (parse_quoted(skb, &quoted) != IMS_SHAPE_PORTS || (out && ims_reject_is_own()))
		return NF_ACCEPT;
	if (out)
		ep = ims_endpoint_of_port(in, &quoted.t.dst, quoted.t.dport);
	else
		ep = ims_endpoint_of_port(in, &quoted.t.src, quoted.t.sport);
	if (!ep)
		return NF_ACCEPT;
	quoted.proto = p->proto;
	ims_guard_count(in, ep, out ? IMS_IPSEC_DROP_PLAINTEXT_OUT : IMS_IPSEC_DROP_PLAINTEXT_IN,
			skb, &quoted, true, out);
	return NF_DROP;
}

/* What differs between the families */
struct ims_guard_family {
	ims_parse_t *parse;
	ims_parse_t *parse_quoted;
};

static const struct ims_guard_family ims_guard_ipv4 = { ims_parse4, ims_parse_quoted4 };
static const struct ims_guard_family ims_guard_ipv6 = { ims_parse6, ims_parse6 };

/*
 * The addresses and ports that a packet had when it came or was sent, if NAT has
 * changed them since.
 */
static bool ims_guard_get_origin(const struct sk_buff *skb, const struct ims_parsed *p,
				 struct ims_parsed *origin)
{
	const struct nf_conntrack_tuple *t = ims_compat_origin(skb);

	if (!t || t->dst.protonum != p->proto)
		return false;
	*origin = *p;
	origin->t.sport = t->src.u.all;
	origin->t.dport = t->dst.u.all;
	if (t->src.l3num == NFPROTO_IPV4) {
		origin->t.src.in.s_addr = t->src.u3.ip;
		origin->t.dst.in.s_addr = t->dst.u3.ip;
	} else {
		origin->t.src.in6 = t->src.u3.in6;
		origin->t.dst.in6 = t->dst.u3.in6;
	}
	return true;
}

/* What comes, as it comes: whether it is for this host is not known yet. */
static noinline unsigned int ims_guard_arrive(struct ims_net *in, struct sk_buff *skb,
					      const struct nf_hook_state *state,
					      const struct ims_guard_family *family)
{
	struct ims_parsed p = { .offset = skb_network_offset(skb) };
	struct ims_endpoint *ep = NULL;
	enum ims_ipsec_drop drop;
	enum ims_shape shape = family->parse(skb, &p);

	if (shape == IMS_SHAPE_ERROR)
		return ims_guard_judge_error(in, skb, &p, family->parse_quoted, false);
	/* for any address: it may be somebody else's, and only comes by here */
	if (p.t.dst.family == AF_UNSPEC)
		return NF_ACCEPT;
	if (shape == IMS_SHAPE_PORTS)
		ep = ims_endpoint_of_port(in, &p.t.dst, p.t.dport);
	/* what comes in ESP could be completed in clear; for all else LOCAL_IN will do */
	else if (shape == IMS_SHAPE_BROKEN && skb_sec_path(skb))
		ep = ims_endpoint_of_addr(in, &p.t.dst);
	if (!ep) {
		if (shape == IMS_SHAPE_PORTS)
			ims_guard_pass_input(in, skb, &p);
		return NF_ACCEPT;
	}
	drop = ims_guard_check_input(in, ep, skb, &p, shape);
	if (drop == IMS_DROP_NOT)
		return NF_ACCEPT;
	return ims_guard_drop_input(in, ep, drop, skb, &p, shape, state);
}

/* The endpoint of the socket that somebody has chosen for a packet (TPROXY, BPF) */
static struct ims_endpoint *ims_guard_steered_to(struct ims_net *in, const struct sk_buff *skb)
{
	const struct sock *sk = skb->sk;
	struct ims_addr addr;

	if (!sk)
		return NULL;
	if (ip_hdr(skb)->version == 4) {
		addr.family = AF_INET;
		addr.in.s_addr = sk->sk_rcv_saddr;
	} else {
		addr.family = AF_INET6;
		addr.in6 = sk->sk_v6_rcv_saddr;
	}
	return ims_endpoint_of_port(in, &addr, htons(sk->sk_num));
}

/* What is delivered: nothing changes it any more. */
static noinline unsigned int ims_guard_enter(struct ims_net *in, struct sk_buff *skb,
					     const struct nf_hook_state *state,
					     const struct ims_guard_family *family)
{
	struct ims_parsed now = { .offset = skb_network_offset(skb) }, origin, *p = &now;
	const struct xfrm_state *x = ims_sa_of_input(skb);
	struct ims_endpoint *ep = NULL;
	enum ims_ipsec_drop drop;
	enum ims_shape shape = family->parse(skb, &now);

	if (shape == IMS_SHAPE_NO_PORTS)
		return NF_ACCEPT;
	if (shape == IMS_SHAPE_ERROR)
		return ims_guard_judge_error(in, skb, &now, family->parse_quoted, false);
	if (shape == IMS_SHAPE_BROKEN) {
		ep = ims_endpoint_of_addr(in, &now.t.dst);
	} else {
		if (ims_guard_get_origin(skb, &now, &origin))
			p = &origin;
		/* What came over an SA that is for it was judged at PRE_ROUTING. */
		if (!IS_ERR_OR_NULL(x) && ims_sa_is_shielded(x) && ims_sa_covers(x, &p->t))
			return ims_guard_let_in(skb, x);
		ep = ims_endpoint_of_port(in, &p->t.dst, p->t.dport);
		if (!ep && p == &origin)
			ep = ims_endpoint_of_port(in, &now.t.dst, now.t.dport);
		if (!ep)
			ep = ims_guard_steered_to(in, skb);
		if (!ep && now.proto == IPPROTO_UDP && ims_fou_is_possible(in->net)) {
			ep = ims_fou_leads_to(in, skb, &now);
			if (!ep)
				return NF_ACCEPT;
			ims_guard_count(in, ep, IMS_IPSEC_DROP_PLAINTEXT_IN, skb, &now, true, false);
			return NF_DROP;
		}
	}
	if (!ep)
		return NF_ACCEPT;
	drop = ims_guard_check_input(in, ep, skb, p, shape);
	if (drop == IMS_DROP_NOT)
		return ims_guard_let_in(skb, x);
	return ims_guard_drop_input(in, ep, drop, skb, p, shape, state);
}

/* What is sent, before anybody transforms it */
static noinline unsigned int ims_guard_depart(struct ims_net *in, struct sk_buff *skb,
					      const struct nf_hook_state *state,
					      const struct ims_guard_family *family)
{
	struct ims_parsed p = { .offset = skb_network_offset(skb) };
	enum ims_shape shape = family->parse(skb, &p);
	enum ims_ipsec_drop drop;
	struct ims_endpoint *ep;

	if (shape == IMS_SHAPE_NO_PORTS)
		return NF_ACCEPT;
	if (shape == IMS_SHAPE_ERROR)
		return ims_guard_judge_error(in, skb, &p, family->parse_quoted, true);
	if (shape == IMS_SHAPE_PORTS)
		ep = ims_endpoint_of_port(in, &p.t.src, p.t.sport);
	else
		ep = ims_endpoint_of_addr(in, &p.t.src);
	if (!ep)
		return NF_ACCEPT;
	drop = ims_guard_check_output(in, ep, skb, &p, shape);
	if (drop == IMS_DROP_NOT)
		return ims_guard_let_out(skb, state);
	return ims_guard_drop_output(in, ep, drop, skb, &p, shape);
}

/*
 * What leaves, or goes to XFRM: where NAT has changed it, whatever came of the
 * judgement before is worth nothing.
 */
static noinline unsigned int ims_guard_leave(struct ims_net *in, struct sk_buff *skb,
					     const struct nf_hook_state *state,
					     const struct ims_guard_family *family)
{
	struct ims_parsed now = { .offset = skb_network_offset(skb) }, origin;
	enum ims_ipsec_drop drop = IMS_IPSEC_DROP_PLAINTEXT_OUT;
	struct ims_endpoint *ep = NULL;
	enum ims_shape shape = family->parse(skb, &now);
	bool changed;

	if (shape == IMS_SHAPE_ERROR)
		return ims_guard_judge_error(in, skb, &now, family->parse_quoted, true);
	changed = ims_guard_get_origin(skb, &now, &origin);
	if (changed)
		ep = ims_endpoint_of_port(in, &origin.t.src, origin.t.sport);
	if (!ep && shape == IMS_SHAPE_PORTS)
		ep = ims_endpoint_of_port(in, &now.t.src, now.t.sport);
	if (!ep || ims_reject_is_own())
		return NF_ACCEPT;
	if (changed)
		drop = ims_guard_check_output(in, ep, skb, &now, shape);
	else if (ims_sa_of_output(skb))
		drop = IMS_DROP_NOT;
	if (drop == IMS_DROP_NOT)
		return NF_ACCEPT;
	return ims_guard_drop_output(in, ep, drop, skb, changed ? &origin : &now,
				     changed ? IMS_SHAPE_PORTS : shape);
}

/*
 * Most of what a host receives, forwards and sends has nothing to do with an endpoint,
 * and has to be let go with as little work as possible: if it is UDP or TCP and its
 * ports are at hand, a look at one bit will do. ESP is judged by what comes out of it.
 *
 * @offset: of the header of @proto
 * @place: a constant
 */
static __always_inline bool ims_guard_is_unrelated(const struct ims_net *in,
						   const struct sk_buff *skb, u8 proto,
						   unsigned int offset, enum nf_inet_hooks place)
{
	const bool out = place == NF_INET_LOCAL_OUT || place == NF_INET_POST_ROUTING;
	const struct nf_conntrack_tuple *origin;
	const struct ims_port_map *map;
	const __be16 *ports;

	if (proto == IPPROTO_ESP)
		return true;
	if ((proto != IPPROTO_UDP && proto != IPPROTO_TCP) ||
	    offset + 2 * sizeof(*ports) > skb_headlen(skb))
		return false;
	map = rcu_dereference(in->port_map);
	if (!map)
		return true;
	ports = (const __be16 *)(skb->data + offset);
	if (test_bit(ntohs(ports[out ? 0 : 1]), map->bits))
		return false;

	switch (place) {
	case NF_INET_LOCAL_IN:
		if (skb_sec_path(skb) && ims_compat_origin(skb))
			return false;
		if (skb->sk && test_bit(skb->sk->sk_num, map->bits))
			return false;
		return proto != IPPROTO_UDP || !ims_fou_is_possible(in->net);
	case NF_INET_POST_ROUTING:
		origin = ims_compat_origin(skb);
		return !origin || !test_bit(ntohs(origin->src.u.all), map->bits);
	default:
		return true;
	}
}

/* What XFRM gets as it was judged at LOCAL_OUT leaves in ESP. */
static __always_inline bool ims_guard_is_settled(const struct sk_buff *skb,
						 enum nf_inet_hooks place)
{
	return place == NF_INET_POST_ROUTING && ims_sa_of_output(skb) && !ims_compat_origin(skb);
}

typedef unsigned int ims_guard_judge_t(struct ims_net *in, struct sk_buff *skb,
				       const struct nf_hook_state *state,
				       const struct ims_guard_family *family);

static __always_inline unsigned int ims_guard_hook4(struct ims_net *in, struct sk_buff *skb,
						    const struct nf_hook_state *state,
						    enum nf_inet_hooks place,
						    ims_guard_judge_t *judge)
{
	const struct iphdr *iph = ip_hdr(skb);

	if (ims_guard_is_settled(skb, place))
		return NF_ACCEPT;
	if (!(iph->frag_off & htons(IP_OFFSET)) &&
	    ims_guard_is_unrelated(in, skb, iph->protocol,
				   skb_network_offset(skb) + iph->ihl * 4, place))
		return NF_ACCEPT;
	return judge(in, skb, state, &ims_guard_ipv4);
}

static __always_inline unsigned int ims_guard_hook6(struct ims_net *in, struct sk_buff *skb,
						    const struct nf_hook_state *state,
						    enum nf_inet_hooks place,
						    ims_guard_judge_t *judge)
{
	if (ims_guard_is_settled(skb, place) ||
	    ims_guard_is_unrelated(in, skb, ipv6_hdr(skb)->nexthdr,
				   skb_network_offset(skb) + sizeof(struct ipv6hdr), place))
		return NF_ACCEPT;
	return judge(in, skb, state, &ims_guard_ipv6);
}

#define IMS_GUARD_HOOK(name, family, place, judge)					\
	static unsigned int name(void *priv, struct sk_buff *skb,			\
				 const struct nf_hook_state *state)			\
	{										\
		return ims_guard_hook##family(priv, skb, state, place, judge);		\
	}

IMS_GUARD_HOOK(ims_guard_arrive4, 4, NF_INET_PRE_ROUTING, ims_guard_arrive)
IMS_GUARD_HOOK(ims_guard_arrive6, 6, NF_INET_PRE_ROUTING, ims_guard_arrive)
IMS_GUARD_HOOK(ims_guard_enter4, 4, NF_INET_LOCAL_IN, ims_guard_enter)
IMS_GUARD_HOOK(ims_guard_enter6, 6, NF_INET_LOCAL_IN, ims_guard_enter)
IMS_GUARD_HOOK(ims_guard_depart4, 4, NF_INET_LOCAL_OUT, ims_guard_depart)
IMS_GUARD_HOOK(ims_guard_depart6, 6, NF_INET_LOCAL_OUT, ims_guard_depart)
IMS_GUARD_HOOK(ims_guard_leave4, 4, NF_INET_POST_ROUTING, ims_guard_leave)
IMS_GUARD_HOOK(ims_guard_leave6, 6, NF_INET_POST_ROUTING, ims_guard_leave)

/*
 * In the namespace of an ipvlan's lower device: in mode L3S a packet passes the hooks
 * there, and not those of the namespace that gets it.
 */
static struct ims_net *ims_guard_host(const struct sk_buff *skb, const struct nf_hook_state *state)
{
	const struct net *net = dev_net(skb_dst(skb)->dev);
	struct ims_net *in;

	if (net == state->net)
		return NULL;
	in = ims_net(net);
	return READ_ONCE(in->guarded) ? in : NULL;
}

static unsigned int ims_guard_visit4(void *priv, struct sk_buff *skb,
				     const struct nf_hook_state *state)
{
	struct ims_net *in = ims_guard_host(skb, state);

	return in ? ims_guard_enter4(in, skb, state) : NF_ACCEPT;
}

static unsigned int ims_guard_visit6(void *priv, struct sk_buff *skb,
				     const struct nf_hook_state *state)
{
	struct ims_net *in = ims_guard_host(skb, state);

	return in ? ims_guard_enter6(in, skb, state) : NF_ACCEPT;
}

/*
 * Behind those who put fragments together, before anybody marks, tracks or rewrites
 * packets
 */
#define IMS_GUARD_FIRST4	(NF_IP_PRI_CONNTRACK_DEFRAG + 10)
#define IMS_GUARD_FIRST6	(NF_IP6_PRI_CONNTRACK_DEFRAG + 10)

static const struct nf_hook_ops ims_guard_ops[IMS_GUARD_HOOKS] = {
	{
		.hook = ims_guard_arrive4,
		.pf = NFPROTO_IPV4,
		.hooknum = NF_INET_PRE_ROUTING,
		.priority = IMS_GUARD_FIRST4,
	},
	{
		.hook = ims_guard_enter4,
		.pf = NFPROTO_IPV4,
		.hooknum = NF_INET_LOCAL_IN,
		.priority = NF_IP_PRI_LAST,
	},
	{
		.hook = ims_guard_depart4,
		.pf = NFPROTO_IPV4,
		.hooknum = NF_INET_LOCAL_OUT,
		.priority = NF_IP_PRI_LAST,
	},
	{
		.hook = ims_guard_leave4,
		.pf = NFPROTO_IPV4,
		.hooknum = NF_INET_POST_ROUTING,
		.priority = NF_IP_PRI_LAST,
	},
	{
		.hook = ims_guard_arrive6,
		.pf = NFPROTO_IPV6,
		.hooknum = NF_INET_PRE_ROUTING,
		.priority = IMS_GUARD_FIRST6,
	},
	{
		.hook = ims_guard_enter6,
		.pf = NFPROTO_IPV6,
		.hooknum = NF_INET_LOCAL_IN,
		.priority = NF_IP6_PRI_LAST,
	},
	{
		.hook = ims_guard_depart6,
		.pf = NFPROTO_IPV6,
		.hooknum = NF_INET_LOCAL_OUT,
		.priority = NF_IP6_PRI_LAST,
	},
	{
		.hook = ims_guard_leave6,
		.pf = NFPROTO_IPV6,
		.hooknum = NF_INET_POST_ROUTING,
		.priority = NF_IP6_PRI_LAST,
	},
};

static const struct nf_hook_ops ims_guard_visit_ops[] = {
	{
		.hook = ims_guard_visit4,
		.pf = NFPROTO_IPV4,
		.hooknum = NF_INET_LOCAL_IN,
		.priority = NF_IP_PRI_LAST,
	},
	{
		.hook = ims_guard_visit6,
		.pf = NFPROTO_IPV6,
		.hooknum = NF_INET_LOCAL_IN,
		.priority = NF_IP6_PRI_LAST,
	},
};

/**
 * ims_guard_init() - prepare a namespace's hooks
 * @in: where
 */
void ims_guard_init(struct ims_net *in)
{
	unsigned int i;

	memcpy(in->guard_ops, ims_guard_ops, sizeof(ims_guard_ops));
	for (i = 0; i < IMS_GUARD_HOOKS; i++)
		in->guard_ops[i].priv = in;
}

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
	err = nf_register_net_hooks(in->net, in->guard_ops, IMS_GUARD_HOOKS);
	WRITE_ONCE(in->guarded, !err);
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
		nf_unregister_net_hooks(in->net, in->guard_ops, IMS_GUARD_HOOKS);
	WRITE_ONCE(in->guarded, false);
}

/**
 * ims_guard_visit() - judge what reaches other namespaces through one
 * @net: where an ipvlan's lower device is
 *
 * Context: process, sleeps.
 * Return: 0 or -ENOMEM.
 */
int ims_guard_visit(struct net *net)
{
	return nf_register_net_hooks(net, ims_guard_visit_ops, ARRAY_SIZE(ims_guard_visit_ops));
}

/**
 * ims_guard_leave_alone() - no more of that
 * @net: where ims_guard_visit() was called
 *
 * Context: process, sleeps.
 */
void ims_guard_leave_alone(struct net *net)
{
	nf_unregister_net_hooks(net, ims_guard_visit_ops, ARRAY_SIZE(ims_guard_visit_ops));
}
