// SPDX-License-Identifier: GPL-2.0-only
/*
 * The guard: netfilter hooks that judge what touches a protected port.
 * Policies would have holes (IPv6 atomic fragments, the loopback device, SAs of
 * somebody else, a flush), so they transform what goes out and the hooks decide.
 */
#include <linux/icmpv6.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/netfilter.h>
#include <linux/netfilter_ipv4.h>
#include <linux/netfilter_ipv6.h>
#include <linux/skbuff.h>
#include <linux/tcp.h>
#include <linux/udp.h>
#include <net/icmp.h>
#include <net/ip.h>
#include <net/ipv6.h>

#include "bundle.h"
#include "endpoint.h"
#include "frag.h"
#include "guard.h"
#include "journal.h"
#include "nat.h"
#include "netns.h"
#include "reject.h"
#include "sa.h"
#include "trace.h"

/* What has been found out of a packet. Its addresses hold in any case. */
enum ims_guard_shape {
	IMS_GUARD_PORTS,	/* the ports hold, too */
	IMS_GUARD_NO_PORTS,	/* nothing to judge */
	IMS_GUARD_ERROR,	/* an ICMP error, which quotes another packet */
	IMS_GUARD_BROKEN,	/* cannot be parsed */
};

static bool ims_guard_is_error(const struct sk_buff *skb, u8 proto, unsigned int offset)
{
	u8 _type;
	const u8 *type = skb_header_pointer(skb, offset, sizeof(_type), &_type);

	if (!type)
		return false;
	return proto == IPPROTO_ICMP ? icmp_is_err(*type) : icmpv6_is_err(*type);
}

/* @offset: of the header of @proto */
static enum ims_guard_shape ims_guard_parse_ports(const struct sk_buff *skb, u8 proto,
						  unsigned int offset, struct ims_tuple *t)
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
	case IPPROTO_ICMP:
	case IPPROTO_ICMPV6:
		return ims_guard_is_error(skb, proto, offset) ? IMS_GUARD_ERROR :
							       IMS_GUARD_NO_PORTS;
	default:
		return IMS_GUARD_NO_PORTS;
	}
	/* source and destination port come first in all of them */
	ports = skb_header_pointer(skb, offset, sizeof(_ports), _ports);
	if (!ports)
		return IMS_GUARD_BROKEN;
	t->sport = ports[0];
	t->dport = ports[1];
	return IMS_GUARD_PORTS;
}

/* @offset: of the IP header; moves to that of the next one */
static enum ims_guard_shape ims_guard_parse4(const struct sk_buff *skb, unsigned int *offset,
					     struct ims_tuple *t)
{
	struct iphdr _iph;
	const struct iphdr *iph = skb_header_pointer(skb, *offset, sizeof(_iph), &_iph);

	if (!iph)
		return IMS_GUARD_NO_PORTS;
	t->src.family = AF_INET;
	t->src.in.s_addr = iph->saddr;
	t->dst.family = AF_INET;
	t->dst.in.s_addr = iph->daddr;
	/*
	 * Datagrams are whole here, both ways; a later fragment is one that
	 * somebody put together by hand, whose first one is judged.
	 */
	if (iph->frag_off & htons(IP_OFFSET))
		return IMS_GUARD_NO_PORTS;
	*offset += iph->ihl * 4;
	return ims_guard_parse_ports(skb, iph->protocol, *offset, t);
}

/* Offset and IP6_MF of the fragment header behind the IPv6 header at @offset. */
static u16 ims_guard_frag_off(const struct sk_buff *skb, unsigned int offset)
{
	const struct frag_hdr *fh;
	struct frag_hdr _fh;

	if (ipv6_find_hdr(skb, &offset, NEXTHDR_FRAGMENT, NULL, NULL) < 0)
		return IP6_MF;
	fh = skb_header_pointer(skb, offset, sizeof(_fh), &_fh);
	return fh ? ntohs(fh->frag_off) & (IP6_OFFSET | IP6_MF) : IP6_MF;
}

/*
 * Is a routing header's way not at its end (segment routing)? Then the packet
 * is for another address, of this host perhaps, and does not come here again.
 */
static bool ims_guard_is_routed(const struct sk_buff *skb, unsigned int offset)
{
	int flags = IP6_FH_F_SKIP_RH;

	return ipv6_find_hdr(skb, &offset, NEXTHDR_ROUTING, NULL, &flags) >= 0;
}

static enum ims_guard_shape ims_guard_parse6(const struct sk_buff *skb, unsigned int *offset,
					     struct ims_tuple *t)
{
	struct ipv6hdr _ip6h;
	const struct ipv6hdr *ip6h = skb_header_pointer(skb, *offset, sizeof(_ip6h), &_ip6h);
	const unsigned int start = *offset;
	int proto, flags = 0;
	u16 frag_off;

	if (!ip6h)
		return IMS_GUARD_NO_PORTS;
	t->src.family = AF_INET6;
	t->src.in6 = ip6h->saddr;
	t->dst.family = AF_INET6;
	t->dst.in6 = ip6h->daddr;

	proto = ip6h->nexthdr;
	if (!ipv6_ext_hdr(proto)) {
		*offset += sizeof(*ip6h);
		return ims_guard_parse_ports(skb, proto, *offset, t);
	}
	/*
	 * Fragments come here before they are put together. A first one must
	 * show its ports, alone (an atomic fragment) or not; the later ones
	 * are worth nothing without it.
	 */
	if (ims_guard_is_routed(skb, start))
		t->dst.family = AF_UNSPEC;
	proto = ipv6_find_hdr(skb, offset, -1, NULL, &flags);
	if (flags & IP6_FH_F_FRAG) {
		frag_off = ims_guard_frag_off(skb, start);
		/* What came out of ESP is whole, or it could be completed in clear. */
		if (frag_off && skb_sec_path(skb))
			return IMS_GUARD_BROKEN;
		if (frag_off & IP6_OFFSET)
			return IMS_GUARD_NO_PORTS;
	}
	if (proto < 0)
		return IMS_GUARD_BROKEN;
	return ims_guard_parse_ports(skb, proto, *offset, t);
}

/* The protocol of a packet that has come out of ESP or goes there, its only one. */
static u8 ims_guard_proto(const struct sk_buff *skb)
{
	return ip_hdr(skb)->version == 4 ? ip_hdr(skb)->protocol : ipv6_hdr(skb)->nexthdr;
}

/*
 * Is there a part of a SIP message in a datagram or segment? What keeps a NAT's
 * mapping or a connection alive is none: nothing, line ends, a byte 0xff.
 */
static bool ims_guard_is_sip(const struct sk_buff *skb, unsigned int offset)
{
	struct tcphdr _th;
	const struct tcphdr *th;
	const u8 *c;
	u8 _c;

	switch (ims_guard_proto(skb)) {
	case IPPROTO_UDP:
		offset += sizeof(struct udphdr);
		break;
	case IPPROTO_TCP:
		th = skb_header_pointer(skb, offset, sizeof(_th), &_th);
		if (!th)
			return false;
		offset += th->doff * 4;
		break;
	default:
		return false;
	}
	for (; (c = skb_header_pointer(skb, offset, 1, &_c)); offset++)
		if (*c != '\r' && *c != '\n')
			return *c > ' ' && *c < 0x7f;
	return false;
}

/* The UE takes a new set into use by sending over it. */
static void ims_guard_note(struct ims_bundle *b, const struct sk_buff *skb, unsigned int offset)
{
	if (READ_ONCE(b->state) == IMS_IPSEC_STATE_ESTABLISHED && ims_guard_is_sip(skb, offset))
		ims_bundle_used(b);
}

/* Did a packet come over a live SA of this endpoint that is for it? */
static enum ims_ipsec_drop ims_guard_check_input(struct ims_net *in, const struct ims_endpoint *ep,
						 const struct sk_buff *skb,
						 const struct ims_tuple *t,
						 enum ims_guard_shape shape, unsigned int offset)
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
	if (shape == IMS_GUARD_BROKEN || !ims_sa_covers(x, t))
		return IMS_IPSEC_DROP_CROSS_PAIR;
	if (b->udp_only && ims_guard_proto(skb) != IPPROTO_UDP)
		return IMS_IPSEC_DROP_UDP_ONLY;
	ims_guard_note(b, skb, offset);
	ims_sa_touch(x);
	return IMS_DROP_NOT;
}

/* A port that is not shut: what comes over a bundle may take it into use all the same. */
static void ims_guard_pass_input(struct ims_net *in, struct sk_buff *skb,
				 const struct ims_tuple *t, unsigned int offset)
{
	const struct xfrm_state *x = ims_sa_of_input(skb);
	struct ims_bundle *b;

	if (IS_ERR_OR_NULL(x))
		return;
	b = ims_bundle_of_input(in, x);
	if (!b || !ims_sa_covers(x, t))
		return;
	ims_guard_note(b, skb, offset);
	ims_sa_mark_input(skb, x);
	if (b->nat)
		ims_sa_forget_input(skb);
}

/* The endpoint's own SA, or why not; a tunnel's has a reqid of its own. */
static enum ims_ipsec_drop ims_guard_check_owner(struct ims_net *in, const struct ims_endpoint *ep,
						 const struct sk_buff *skb,
						 const struct xfrm_state *x)
{
	const struct ims_bundle *b;

	if (!ims_sa_is_tunnel(x))
		return ims_sa_has_reqid(x, ep->reqid) ? IMS_DROP_NOT : IMS_IPSEC_DROP_FOREIGN_SA;
	b = ims_nat_of_output(in, x);
	if (!b || b->ep != ep)
		return IMS_IPSEC_DROP_FOREIGN_SA;
	if (b->udp_only && ims_guard_proto(skb) != IPPROTO_UDP)
		return IMS_IPSEC_DROP_UDP_ONLY;
	return IMS_DROP_NOT;
}

/* Will a packet leave over a live SA of this endpoint that is for it? */
static enum ims_ipsec_drop ims_guard_check_output(struct ims_net *in,
						  const struct ims_endpoint *ep,
						  const struct sk_buff *skb,
						  const struct ims_tuple *t,
						  enum ims_guard_shape shape)
{
	const struct xfrm_state *x = ims_sa_of_output(skb);
	enum ims_ipsec_drop drop;

	if (!x) {
		if (!ims_sa_is_missing(skb))
			return IMS_IPSEC_DROP_PLAINTEXT_OUT;
		return ims_sa_exists(in->net, &t->src, &t->dst, ep->reqid) ?
			       IMS_IPSEC_DROP_CROSS_PAIR :
			       IMS_IPSEC_DROP_NO_LIVE_SET;
	}
	drop = ims_guard_check_owner(in, ep, skb, x);
	if (drop != IMS_DROP_NOT)
		return drop;
	if (!ims_sa_is_live(x))
		return IMS_IPSEC_DROP_NO_LIVE_SET;
	if (shape == IMS_GUARD_BROKEN || !ims_sa_covers(x, t))
		return IMS_IPSEC_DROP_CROSS_PAIR;
	ims_sa_touch(x);
	return IMS_DROP_NOT;
}

/* Was it a tunnel? Then XFRM would want a policy. */
static unsigned int ims_guard_let_in(struct sk_buff *skb)
{
	const struct xfrm_state *x = ims_sa_of_input(skb);

	ims_sa_mark_input(skb, x);
	if (ims_sa_is_tunnel(x))
		ims_sa_forget_input(skb);
	return NF_ACCEPT;
}

static unsigned int ims_guard_let_out(struct sk_buff *skb, const struct nf_hook_state *state)
{
	if (ims_sa_is_tunnel(ims_sa_of_output(skb)) && ims_frag_output(skb, state))
		return NF_STOLEN;
	return NF_ACCEPT;
}

/* Count a drop, and note it down; @t: of the packet, or of what it quotes. */
static void ims_guard_count(struct ims_net *in, struct ims_endpoint *ep, enum ims_ipsec_drop drop,
			    const struct sk_buff *skb, const struct ims_tuple *t, bool has_ports,
			    bool out)
{
	const struct xfrm_state *x = out ? ims_sa_of_output(skb) : ims_sa_of_input(skb);
	const struct ims_journal_drop entry = {
		.e.endpoint = ep->id,
		.t = *t,
		.spi = IS_ERR_OR_NULL(x) ? 0 : ims_sa_spi(x),
		.has_ports = has_ports,
		.proto = ims_guard_proto(skb),
		.drop = drop,
	};

	atomic64_inc(&ep->drops[drop]);
	ims_journal_add_drop(in, &entry);
	trace_ims_drop(ep->id, entry.drop, entry.proto, has_ports ? ntohs(t->sport) : 0,
		       has_ports ? ntohs(t->dport) : 0, ntohl(entry.spi));
}

static unsigned int ims_guard_judge(struct ims_net *in, struct sk_buff *skb,
				    const struct ims_tuple *t, enum ims_guard_shape shape,
				    unsigned int offset, const struct nf_hook_state *state)
{
	bool out = state->hook == NF_INET_LOCAL_OUT;
	const struct ims_addr *local = out ? &t->src : &t->dst;
	struct ims_endpoint *ep;
	enum ims_ipsec_drop drop;

	if (shape == IMS_GUARD_PORTS)
		ep = ims_endpoint_of_port(in, local, out ? t->sport : t->dport);
	else
		ep = ims_endpoint_of_addr(in, local);
	if (!ep) {
		if (!out && shape == IMS_GUARD_PORTS)
			ims_guard_pass_input(in, skb, t, offset);
		return NF_ACCEPT;
	}

	if (out)
		drop = ims_guard_check_output(in, ep, skb, t, shape);
	else
		drop = ims_guard_check_input(in, ep, skb, t, shape, offset);
	if (drop == IMS_DROP_NOT)
		return out ? ims_guard_let_out(skb, state) : ims_guard_let_in(skb);
	ims_guard_count(in, ep, drop, skb, t, shape == IMS_GUARD_PORTS, out);

	if (ep->guard != IMS_IPSEC_GUARD_REJECT)
		return NF_DROP;
	if (out)
		return NF_DROP_ERR(-ECONNREFUSED);
	/* An answer to what came protected would quote it in clear. */
	if (drop == IMS_IPSEC_DROP_PLAINTEXT_IN && shape == IMS_GUARD_PORTS)
		ims_reject_input(skb, state);
	return NF_DROP;
}

/*
 * An ICMP error quotes a packet. From outside, one about what left a protected
 * port quotes ESP: if it quotes the port, it is forged. From here, one about
 * what came to a protected port would show in clear what came in ESP.
 */
static unsigned int ims_guard_judge_error(struct ims_net *in, const struct sk_buff *skb,
					  const struct ims_tuple *quoted, bool out)
{
	struct ims_endpoint *ep;

	if (out)
		ep = ims_endpoint_of_port(in, &quoted->dst, quoted->dport);
	else
		ep = ims_endpoint_of_port(in, &quoted->src, quoted->sport);
	if (!ep)
		return NF_ACCEPT;
	/* Where no set is, it is the guard's own answer to what came in clear. */
	if (out && ep->guard == IMS_IPSEC_GUARD_REJECT &&
	    !ims_sa_exists(in->net, &quoted->dst, &quoted->src, ep->reqid))
		return NF_ACCEPT;
	ims_guard_count(in, ep, out ? IMS_IPSEC_DROP_PLAINTEXT_OUT : IMS_IPSEC_DROP_PLAINTEXT_IN,
			skb, quoted, true, out);
	return NF_DROP;
}

typedef enum ims_guard_shape ims_guard_parse_t(const struct sk_buff *skb, unsigned int *offset,
					       struct ims_tuple *t);

static noinline unsigned int ims_guard_look(struct ims_net *in, struct sk_buff *skb,
					    const struct nf_hook_state *state,
					    ims_guard_parse_t *parse)
{
	unsigned int offset = skb_network_offset(skb);
	enum ims_guard_shape shape;
	struct ims_tuple t;

	shape = parse(skb, &offset, &t);
	if (shape == IMS_GUARD_NO_PORTS)
		return NF_ACCEPT;
	if (shape != IMS_GUARD_ERROR)
		return ims_guard_judge(in, skb, &t, shape, offset, state);

	/* The headers of an error are as long in both families. */
	offset += sizeof(struct icmphdr);
	if (parse(skb, &offset, &t) != IMS_GUARD_PORTS)
		return NF_ACCEPT;
	return ims_guard_judge_error(in, skb, &t, state->hook == NF_INET_LOCAL_OUT);
}

/*
 * Most of what a host receives and sends has nothing to do with an endpoint,
 * and has to be let go with as little work as possible: if it is UDP or TCP
 * and its ports are at hand, a look at one bit will do.
 */
static __always_inline bool ims_guard_is_unrelated(const struct ims_net *in,
						   const struct sk_buff *skb, u8 proto,
						   unsigned int offset, bool out)
{
	const struct ims_port_map *map = rcu_dereference(in->port_map);
	const __be16 *ports;

	if ((proto != IPPROTO_UDP && proto != IPPROTO_TCP) ||
	    offset + 2 * sizeof(*ports) > skb_headlen(skb))
		return false;
	ports = (const __be16 *)(skb->data + offset);
	return !map || !test_bit(ntohs(ports[out ? 0 : 1]), map->bits);
}

static unsigned int ims_guard_hook4(void *priv, struct sk_buff *skb,
				    const struct nf_hook_state *state)
{
	const struct iphdr *iph = ip_hdr(skb);

	if (!(iph->frag_off & htons(IP_OFFSET)) &&
	    ims_guard_is_unrelated(priv, skb, iph->protocol,
				   skb_network_offset(skb) + iph->ihl * 4,
				   state->hook == NF_INET_LOCAL_OUT))
		return NF_ACCEPT;
	return ims_guard_look(priv, skb, state, ims_guard_parse4);
}

static unsigned int ims_guard_hook6(void *priv, struct sk_buff *skb,
				    const struct nf_hook_state *state)
{
	if (ims_guard_is_unrelated(priv, skb, ipv6_hdr(skb)->nexthdr,
				   skb_network_offset(skb) + sizeof(struct ipv6hdr),
				   state->hook == NF_INET_LOCAL_OUT))
		return NF_ACCEPT;
	return ims_guard_look(priv, skb, state, ims_guard_parse6);
}

/* Last, so that nothing changes ports or route behind them. */
static const struct nf_hook_ops ims_guard_ops[IMS_GUARD_HOOKS] = {
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
