// SPDX-License-Identifier: GPL-2.0-only
/* Addresses of either family. */
#include <linux/errno.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/skbuff.h>
#include <linux/string.h>
#include <net/ipv6.h>

#include "addr.h"

/**
 * ims_addr_set() - take an address over from its binary form
 * @addr: gets it
 * @data: in network byte order
 * @len: tells the family: 4 or 16 bytes
 *
 * Return: 0, or -EINVAL for any other length.
 */
int ims_addr_set(struct ims_addr *addr, const void *data, size_t len)
{
	memset(addr, 0, sizeof(*addr));
	switch (len) {
	case sizeof(addr->in):
		addr->family = AF_INET;
		memcpy(&addr->in, data, len);
		return 0;
	case sizeof(addr->in6):
		addr->family = AF_INET6;
		memcpy(&addr->in6, data, len);
		return 0;
	}
	return -EINVAL;
}

/**
 * ims_addr_len() - length of the binary form
 * @addr: the address
 *
 * Return: 4 or 16 bytes.
 */
size_t ims_addr_len(const struct ims_addr *addr)
{
	return addr->family == AF_INET ? sizeof(addr->in) : sizeof(addr->in6);
}

/**
 * ims_addr_equal() - are two addresses the same
 * @a: an address
 * @b: another, of any family
 *
 * Return: true if family and address are the same.
 */
bool ims_addr_equal(const struct ims_addr *a, const struct ims_addr *b)
{
	if (a->family != b->family)
		return false;
	if (a->family == AF_INET)
		return a->in.s_addr == b->in.s_addr;
	return ipv6_addr_equal(&a->in6, &b->in6);
}

/**
 * ims_addr_is_host() - can one host have this address
 * @addr: the address
 *
 * Return: false for the unspecified address, broadcast, multicast, and for an
 * IPv4 address that is written as an IPv6 one: no packet carries that.
 */
bool ims_addr_is_host(const struct ims_addr *addr)
{
	if (addr->family == AF_INET)
		return !ipv4_is_zeronet(addr->in.s_addr) &&
		       !ipv4_is_multicast(addr->in.s_addr) &&
		       !ipv4_is_lbcast(addr->in.s_addr);
	return !ipv6_addr_any(&addr->in6) &&
	       !ipv6_addr_is_multicast(&addr->in6) &&
	       !ipv6_addr_v4mapped(&addr->in6);
}

/**
 * ims_addr_src() - where a packet comes from
 * @skb: the packet, IPv4 or IPv6
 *
 * Return: its source address.
 */
struct ims_addr ims_addr_src(const struct sk_buff *skb)
{
	if (ip_hdr(skb)->version == 4)
		return (struct ims_addr) { .family = AF_INET, .in.s_addr = ip_hdr(skb)->saddr };
	return (struct ims_addr) { .family = AF_INET6, .in6 = ipv6_hdr(skb)->saddr };
}

/**
 * ims_addr_dst() - where a packet goes to
 * @skb: the packet, IPv4 or IPv6
 *
 * Return: its destination address.
 */
struct ims_addr ims_addr_dst(const struct sk_buff *skb)
{
	if (ip_hdr(skb)->version == 4)
		return (struct ims_addr) { .family = AF_INET, .in.s_addr = ip_hdr(skb)->daddr };
	return (struct ims_addr) { .family = AF_INET6, .in6 = ipv6_hdr(skb)->daddr };
}

/**
 * ims_addr_to_xfrm() - an address as XFRM has it
 * @addr: the address
 * @xaddr: gets it; of an IPv4 address, what lies behind is left alone
 */
void ims_addr_to_xfrm(const struct ims_addr *addr, xfrm_address_t *xaddr)
{
	if (addr->family == AF_INET)
		xaddr->a4 = addr->in.s_addr;
	else
		xaddr->in6 = addr->in6;
}
