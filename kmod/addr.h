/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef _IMS_ADDR_H
#define _IMS_ADDR_H

#include <linux/in.h>
#include <linux/in6.h>
#include <linux/socket.h>
#include <linux/types.h>
#include <linux/xfrm.h>
#include <net/ipv6.h>

struct sk_buff;

/**
 * struct ims_addr - an IPv4 or IPv6 address
 * @family: AF_INET or AF_INET6
 * @in: the address for AF_INET
 * @in6: the address for AF_INET6
 */
struct ims_addr {
	sa_family_t family;
	union {
		struct in_addr in;
		struct in6_addr in6;
	};
};

/**
 * struct ims_tuple - where a packet comes from and goes to
 * @src: source address
 * @dst: destination address
 * @sport: source port
 * @dport: destination port
 */
struct ims_tuple {
	struct ims_addr src;
	struct ims_addr dst;
	__be16 sport;
	__be16 dport;
};

int ims_addr_set(struct ims_addr *addr, const void *data, size_t len);
size_t ims_addr_len(const struct ims_addr *addr);
bool ims_addr_equal(const struct ims_addr *a, const struct ims_addr *b);
bool ims_addr_is_host(const struct ims_addr *addr);
struct ims_addr ims_addr_src(const struct sk_buff *skb);
struct ims_addr ims_addr_dst(const struct sk_buff *skb);
void ims_addr_to_xfrm(const struct ims_addr *addr, xfrm_address_t *xaddr);

/**
 * ims_addr_number() - a number of an address, which others may have as well
 * @addr: the address
 *
 * Who chooses colliding addresses has the addresses themselves compared, and no more.
 *
 * Return: the IPv4 address, or ipv6_addr_hash() of the IPv6 address.
 */
static inline u32 ims_addr_number(const struct ims_addr *addr)
{
	return addr->family == AF_INET ? (__force u32)addr->in.s_addr :
					 ipv6_addr_hash(&addr->in6);
}

#endif /* _IMS_ADDR_H */
