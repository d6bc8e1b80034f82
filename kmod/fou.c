// SPDX-License-Identifier: GPL-2.0-only
/*
 * Transport protocols in UDP (FOU, GUE): the kernel takes the UDP header off behind the
 * last of netfilter's hooks, and hands what is within to whoever has its port.
 *
 * An inbound policy would not see it: XFRM reads the ports behind the IP header, which are
 * those of the UDP header still.
 */
#include <linux/skbuff.h>
#include <linux/udp.h>
#include <net/gue.h>
#include <net/ip.h>
#include <net/ipv6.h>
#include <net/udp.h>

#include "compat.h"
#include "endpoint.h"
#include "fou.h"
#include "netns.h"

/* One in another so often is nobody's way to talk. */
#define IMS_FOU_DEPTH	4

static const struct sock *ims_fou_lookup(struct net *net, const struct sk_buff *skb,
					 const struct ims_tuple *t)
{
	if (t->dst.family == AF_INET)
		return ims_compat_udp_lookup4(net, t->src.in.s_addr, t->sport, t->dst.in.s_addr,
					      t->dport, inet_iif(skb), inet_sdif(skb));
	return ims_compat_udp_lookup6(net, &t->src.in6, t->sport, &t->dst.in6, t->dport,
				      inet6_iif(skb), inet6_sdif(skb));
}

/*
 * Does a socket take a transport protocol out of UDP? Nothing says so. Of all tunnels,
 * whose type is 1, these alone have GRO and no look-up of their own for errors.
 */
static bool ims_fou_is(const struct sock *sk)
{
	const struct udp_sock *up = udp_sk(sk);

	return READ_ONCE(up->encap_type) == 1 && READ_ONCE(up->gro_receive) &&
	       !READ_ONCE(up->encap_err_lookup);
}

/*
 * Does the kernel look on behind one of IPv6's extension headers? Not behind hop-by-hop
 * options, whose number is GRE's second byte as well.
 */
static bool ims_fou_is_passed_on(u8 proto)
{
	return ipv6_ext_hdr(proto) && proto != NEXTHDR_HOP && proto != NEXTHDR_NONE;
}

/* Where does a protocol's header lead to? It may be another one of UDP with one within. */
static struct ims_endpoint *ims_fou_follow(struct ims_net *in, const struct sk_buff *skb,
					   struct ims_parsed *p, unsigned int depth)
{
	struct ims_parsed direct = *p, gue = *p;
	const struct guehdr *head;
	struct ims_endpoint *ep;
	struct guehdr _head;
	enum ims_shape shape;
	const struct sock *sk;

	ep = depth ? ims_endpoint_of_port(in, &p->t.dst, p->t.dport) : NULL;
	if (ep)
		return ep;
	sk = ims_fou_lookup(in->net, skb, &p->t);
	if (!sk || !ims_fou_is(sk))
		return NULL;
	direct.offset += sizeof(struct udphdr);
	head = skb_header_pointer(skb, direct.offset, sizeof(_head), &_head);
	/* the rest is in a later fragment, perhaps (IPv6) */
	if (!head)
		return ims_endpoint_of_addr(in, &p->t.dst);
	/* the ports come first in all protocols that have any */
	direct.t.sport = ((const __be16 *)head)[0];
	direct.t.dport = ((const __be16 *)head)[1];
	if (depth == IMS_FOU_DEPTH) {
		*p = direct;
		return ims_endpoint_of_addr(in, &p->t.dst);
	}
	/* Of the two ways it is one, but the socket does not tell which. */
	ep = ims_fou_follow(in, skb, &direct, depth + 1);
	if (ep) {
		*p = direct;
		return ep;
	}
	/* an IP packet, which is received anew, or nothing for anybody else */
	if (head->version || head->control)
		return NULL;
	gue.offset = direct.offset + sizeof(*head) + head->hlen * 4;
	if (p->t.dst.family == AF_INET6 && ims_fou_is_passed_on(head->proto_ctype))
		return ims_endpoint_of_addr(in, &p->t.dst);
	shape = ims_parse_ports(skb, head->proto_ctype, &gue);
	if (shape == IMS_SHAPE_NO_PORTS)
		return NULL;
	/* ports that a later fragment has; or an ICMP error, which may be about any port */
	if (shape != IMS_SHAPE_PORTS)
		return ims_endpoint_of_addr(in, &p->t.dst);
	ep = ims_fou_follow(in, skb, &gue, depth + 1);
	if (ep)
		*p = gue;
	return ep;
}

/**
 * ims_fou_leads_to() - is there something for a protected port in a UDP packet
 * @in: where
 * @skb: a UDP packet at LOCAL_IN
 * @p: of it; gets the ports of what is within, if there is
 *
 * A packet that only looks as if it had may be taken for one that has: a number that is
 * a protected port, where FOU or GUE would have it, at a port that has a socket for either.
 *
 * Context: softirq, under RCU.
 * Return: the endpoint that has the port, or NULL.
 */
struct ims_endpoint *ims_fou_leads_to(struct ims_net *in, const struct sk_buff *skb,
				      struct ims_parsed *p)
{
	if (!ims_endpoint_of_addr(in, &p->t.dst))
		return NULL;
	return ims_fou_follow(in, skb, p, 0);
}
