// SPDX-License-Identifier: GPL-2.0-only
/* What the guard reads in a packet: where it comes from, where it goes to, whether it is SIP. */
#include <linux/icmpv6.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/skbuff.h>
#include <linux/tcp.h>
#include <linux/udp.h>
#include <net/icmp.h>
#include <net/ip.h>
#include <net/ipv6.h>
#include <net/xfrm.h>

#include "parse.h"

static bool ims_parse_is_error(const struct sk_buff *skb, u8 proto, unsigned int offset)
{
	u8 _type;
	const u8 *type = skb_header_pointer(skb, offset, sizeof(_type), &_type);

	if (!type)
		return false;
	/* ICMPv6 takes those that it does not know to sockets, too. */
	return proto == IPPROTO_ICMP ? icmp_is_err(*type) : !(*type & ICMPV6_INFOMSG_MASK);
}

/**
 * ims_parse_ports() - ports of a transport protocol
 * @skb: has them
 * @proto: the protocol
 * @p: has the offset of its header; gets the protocol and the ports
 *
 * Return: what there is.
 */
enum ims_shape ims_parse_ports(const struct sk_buff *skb, u8 proto, struct ims_parsed *p)
{
	__be16 _ports[2];
	const __be16 *ports;

	p->proto = proto;
	switch (proto) {
	case IPPROTO_TCP:
	case IPPROTO_UDP:
	case IPPROTO_UDPLITE:
	case IPPROTO_SCTP:
	case IPPROTO_DCCP:
		break;
	case IPPROTO_ICMP:
	case IPPROTO_ICMPV6:
		return ims_parse_is_error(skb, proto, p->offset) ? IMS_SHAPE_ERROR :
								  IMS_SHAPE_NO_PORTS;
	default:
		return IMS_SHAPE_NO_PORTS;
	}
	/* source and destination port come first in all of them */
	ports = skb_header_pointer(skb, p->offset, sizeof(_ports), _ports);
	if (!ports)
		return IMS_SHAPE_BROKEN;
	p->t.sport = ports[0];
	p->t.dport = ports[1];
	return IMS_SHAPE_PORTS;
}

/* @buf: for the header; gets the addresses */
static const struct iphdr *ims_parse_addrs4(const struct sk_buff *skb, struct ims_parsed *p,
					    struct iphdr *buf)
{
	const struct iphdr *iph = skb_header_pointer(skb, p->offset, sizeof(*buf), buf);

	if (!iph)
		return NULL;
	p->proto = iph->protocol;
	p->t.src.family = AF_INET;
	p->t.src.in.s_addr = iph->saddr;
	p->t.dst.family = AF_INET;
	p->t.dst.in.s_addr = iph->daddr;
	p->offset += iph->ihl * 4;
	return iph;
}

/**
 * ims_parse4() - addresses and ports of an IPv4 packet
 * @skb: has it
 * @p: has the offset of the IP header, gets all else
 *
 * Return: what holds of @p.
 */
enum ims_shape ims_parse4(const struct sk_buff *skb, struct ims_parsed *p)
{
	struct iphdr _iph;
	const struct iphdr *iph = ims_parse_addrs4(skb, p, &_iph);

	/*
	 * A later fragment is worth nothing without the first one, which is
	 * judged; where datagrams are whole, somebody put it together by hand.
	 */
	if (!iph || iph->frag_off & htons(IP_OFFSET))
		return IMS_SHAPE_NO_PORTS;
	return ims_parse_ports(skb, iph->protocol, p);
}

/**
 * ims_parse4_quick() - as ims_parse4(), of UDP or TCP, no later fragment
 * @skb: has the packet
 * @ports: the packet's, behind the IP header
 * @p: has the offset of the IP header, gets all else
 *
 * Return: IMS_SHAPE_PORTS.
 */
enum ims_shape ims_parse4_quick(const struct sk_buff *skb, const __be16 *ports,
				struct ims_parsed *p)
{
	const struct iphdr *iph = ip_hdr(skb);

	p->offset += iph->ihl * 4;
	p->proto = iph->protocol;
	p->t.src.family = AF_INET;
	p->t.src.in.s_addr = iph->saddr;
	p->t.dst.family = AF_INET;
	p->t.dst.in.s_addr = iph->daddr;
	p->t.sport = ports[0];
	p->t.dport = ports[1];
	return IMS_SHAPE_PORTS;
}

/**
 * ims_parse6_quick() - as ims_parse6(), of UDP or TCP right behind the IPv6 header
 * @skb: has the packet
 * @ports: the packet's
 * @p: has the offset of the IPv6 header, gets all else
 *
 * Return: IMS_SHAPE_PORTS.
 */
enum ims_shape ims_parse6_quick(const struct sk_buff *skb, const __be16 *ports,
				struct ims_parsed *p)
{
	const struct ipv6hdr *ip6h = ipv6_hdr(skb);

	p->offset += sizeof(*ip6h);
	p->proto = ip6h->nexthdr;
	p->t.src.family = AF_INET6;
	p->t.src.in6 = ip6h->saddr;
	p->t.dst.family = AF_INET6;
	p->t.dst.in6 = ip6h->daddr;
	p->t.sport = ports[0];
	p->t.dport = ports[1];
	return IMS_SHAPE_PORTS;
}

/**
 * ims_parse_quoted4() - addresses and ports of an IPv4 packet that an ICMP error quotes
 * @skb: has the error
 * @p: has the offset of the quoted IP header, gets all else
 *
 * Whoever gets the error reads the ports where a whole packet has them, also of
 * one that says that it is a later fragment.
 *
 * Return: what holds of @p.
 */
enum ims_shape ims_parse_quoted4(const struct sk_buff *skb, struct ims_parsed *p)
{
	struct iphdr _iph;
	const struct iphdr *iph = ims_parse_addrs4(skb, p, &_iph);

	return iph ? ims_parse_ports(skb, iph->protocol, p) : IMS_SHAPE_NO_PORTS;
}

/* Offset and IP6_MF of the fragment header behind the IPv6 header at @offset. */
static u16 ims_parse_frag_off(const struct sk_buff *skb, unsigned int offset)
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
static bool ims_parse_is_routed(const struct sk_buff *skb, unsigned int offset)
{
	int flags = IP6_FH_F_SKIP_RH;

	return ipv6_find_hdr(skb, &offset, NEXTHDR_ROUTING, NULL, &flags) >= 0;
}

/* What stands behind an IPv6 header with extension headers */
static enum ims_shape ims_parse_extended(const struct sk_buff *skb, struct ims_parsed *p)
{
	const unsigned int start = p->offset;
	enum ims_shape shape = IMS_SHAPE_BROKEN;
	int proto, flags = 0;
	u16 frag_off;

	/*
	 * Fragments come here before they are put together. A first one must
	 * show its ports, alone (an atomic fragment) or not; the later ones
	 * are worth nothing without it.
	 */
	proto = ipv6_find_hdr(skb, &p->offset, -1, NULL, &flags);
	if (flags & IP6_FH_F_FRAG) {
		frag_off = ims_parse_frag_off(skb, start);
		/* What came out of ESP is whole, or it could be completed in clear. */
		if (frag_off && skb_sec_path(skb))
			return IMS_SHAPE_BROKEN;
		if (frag_off & IP6_OFFSET)
			return IMS_SHAPE_NO_PORTS;
	}
	if (proto >= 0)
		shape = ims_parse_ports(skb, proto, p);
	/* A later fragment may have a routing header that the first one does not show. */
	if (shape == IMS_SHAPE_BROKEN || ims_parse_is_routed(skb, start))
		p->t.dst.family = AF_UNSPEC;
	return shape;
}

/**
 * ims_parse6() - addresses and ports of an IPv6 packet
 * @skb: has it
 * @p: has the offset of the IPv6 header, gets all else
 *
 * Return: what holds of @p.
 */
enum ims_shape ims_parse6(const struct sk_buff *skb, struct ims_parsed *p)
{
	struct ipv6hdr _ip6h;
	const struct ipv6hdr *ip6h = skb_header_pointer(skb, p->offset, sizeof(_ip6h), &_ip6h);

	if (!ip6h)
		return IMS_SHAPE_NO_PORTS;
	p->proto = ip6h->nexthdr;
	p->t.src.family = AF_INET6;
	p->t.src.in6 = ip6h->saddr;
	p->t.dst.family = AF_INET6;
	p->t.dst.in6 = ip6h->daddr;
	if (ipv6_ext_hdr(ip6h->nexthdr))
		return ims_parse_extended(skb, p);
	p->offset += sizeof(*ip6h);
	return ims_parse_ports(skb, ip6h->nexthdr, p);
}

/**
 * ims_parse_quoted6() - addresses and ports of an IPv6 packet that an ICMP error quotes
 * @skb: has the error
 * @p: has the offset of the quoted IPv6 header, gets all else
 *
 * A later fragment of the error may have what the first one does not show.
 *
 * Return: what holds of @p; where even the addresses do not, they are AF_UNSPEC.
 */
enum ims_shape ims_parse_quoted6(const struct sk_buff *skb, struct ims_parsed *p)
{
	if (p->offset + sizeof(struct ipv6hdr) > skb->len)
		return IMS_SHAPE_BROKEN;
	return ims_parse6(skb, p);
}

/**
 * ims_parse_is_sip() - is there a part of a SIP message in a datagram or segment
 * @skb: has it
 * @p: of it
 *
 * What keeps a NAT's mapping or a connection alive is none: nothing, line ends, a
 * byte 0xff.
 *
 * Return: true if so.
 */
bool ims_parse_is_sip(const struct sk_buff *skb, const struct ims_parsed *p)
{
	unsigned int offset = p->offset;
	struct tcphdr _th;
	const struct tcphdr *th;
	const u8 *c;
	u8 _c;

	switch (p->proto) {
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
