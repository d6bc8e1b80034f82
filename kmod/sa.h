/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef _IMS_SA_H
#define _IMS_SA_H

#include <linux/crypto.h>
#include <linux/skbuff.h>
#include <linux/time64.h>

#include "addr.h"
#include "alg.h"
#include "sa_quick.h"

struct net;
struct net_device;
struct netlink_ext_ack;
struct xfrm_state;

/**
 * struct ims_sa_tunnel - ESP in UDP, in tunnel mode
 * @src: address it comes from
 * @dst: address it goes to
 * @sport: UDP port it comes from
 * @dport: UDP port it goes to
 */
struct ims_sa_tunnel {
	struct ims_addr src;
	struct ims_addr dst;
	__be16 sport;
	__be16 dport;
};

/**
 * struct ims_sa_kind - what an SA is before anybody knows between whom
 * @net: where
 * @family: of its addresses
 * @is_tunnel: in UDP; else transport mode
 * @out: the P-CSCF sends over it
 * @pair: its algorithms
 * @keys: their ESP keys
 * @for_device: a device may be to encrypt, whose driver asks for the kernel's IV generator
 */
struct ims_sa_kind {
	struct net *net;
	sa_family_t family;
	bool is_tunnel;
	bool out;
	const struct ims_alg_pair *pair;
	const struct ims_alg_keys *keys;
	bool for_device;
};

/**
 * struct ims_sa_params - between whom an SA is, one way
 * @src: address it comes from
 * @dst: address it goes to
 * @sport: port it comes from
 * @dport: port it goes to
 * @tunnel: around these; NULL: transport mode
 * @spi: its SPI
 * @reqid: what policies choose it by
 * @out: as in struct ims_sa_kind
 * @mark: marks the packets that come over it; of one that the P-CSCF sends over, the mark of the
 *	policies that may choose it
 * @mark_mask: bits of @mark that count; 0: they are not marked, or any policy may
 */
struct ims_sa_params {
	const struct ims_addr *src;
	const struct ims_addr *dst;
	__be16 sport;
	__be16 dport;
	const struct ims_sa_tunnel *tunnel;
	__be32 spi;
	u32 reqid;
	bool out;
	u32 mark;
	u32 mark_mask;
};

/**
 * struct ims_sa_driver - what serves a pair of algorithms, as in /proc/crypto
 * @name: name of the algorithm
 * @driver: name of its implementation
 */
struct ims_sa_driver {
	char name[CRYPTO_MAX_ALG_NAME];
	char driver[CRYPTO_MAX_ALG_NAME];
};

/* sa.c */
void ims_sa_warm_up(void);
struct xfrm_state *ims_sa_try(struct net *net, const struct ims_alg_pair *pair,
			      sa_family_t family, bool out, bool for_device,
			      struct netlink_ext_ack *extack);
int ims_sa_find_driver(struct net *net, const struct ims_alg_pair *pair,
		       struct ims_sa_driver *driver);
struct xfrm_state *ims_sa_alloc(const struct ims_sa_kind *kind, struct netlink_ext_ack *extack);
void ims_sa_set_ends(struct xfrm_state *x, const struct ims_sa_params *p);
int ims_sa_add(struct xfrm_state *x, struct netlink_ext_ack *extack);
void ims_sa_say_exists(const struct xfrm_state *x, struct netlink_ext_ack *extack);
void ims_sa_announce(struct xfrm_state *x);
void ims_sa_end(struct xfrm_state *x);
void ims_sa_discard(struct xfrm_state *x);
void ims_sa_put_to_sleep(struct xfrm_state *x, u32 mark, u32 mark_mask);
void ims_sa_wake(struct xfrm_state *x, u32 mask);
void ims_sa_delete(struct xfrm_state *x, bool announce);
void ims_sa_take_out(struct xfrm_state *x);
int ims_sa_put_in(struct xfrm_state *x, bool asleep);
bool ims_sa_was_added(const struct xfrm_state *x);
void ims_sa_finish(struct xfrm_state *x);
struct xfrm_state *ims_sa_alloc_moved(struct xfrm_state *x, const struct ims_addr *dst,
				      __be16 dport);
struct xfrm_state *ims_sa_alloc_again(struct xfrm_state *x);
void ims_sa_carry_on(struct xfrm_state *x, struct xfrm_state *old);
void ims_sa_put(struct xfrm_state *x);
void ims_sa_hold(struct xfrm_state *x);
void ims_sa_set_source(struct xfrm_state *x, const struct ims_addr *addr, __be16 port);
void ims_sa_set_nat_port(struct xfrm_state *x, __be16 port);

/* sa_query.c */
bool ims_sa_spi_is_taken(struct net *net, const struct ims_addr *dst, __be32 spi);
struct xfrm_state *ims_sa_find_same(struct xfrm_state *x);
bool ims_sa_same_place(const struct xfrm_state *a, const struct xfrm_state *b);
void ims_sa_add_counters(struct xfrm_state *x, u64 *packets, u64 *bytes);
void ims_sa_add_faults(const struct xfrm_state *x, u64 *bad_icv, u64 *replayed);
bool ims_sa_is_bad(const struct xfrm_state *x, const struct sk_buff *skb, __be32 spi, __be32 seq);
time64_t ims_sa_last_used(const struct xfrm_state *x);
bool ims_sa_has_keys(const struct xfrm_state *x, const struct ims_alg_keys *keys);
bool ims_sa_find_source(const struct xfrm_state *x, const struct sk_buff *skb,
			struct ims_addr *addr, __be16 *port);
bool ims_sa_has_source(const struct xfrm_state *x, const struct ims_addr *addr, __be16 port);
void ims_sa_forget_input(struct sk_buff *skb);
const struct xfrm_state *ims_sa_of_input(const struct sk_buff *skb);
const struct xfrm_state *ims_sa_last_of_input(const struct sk_buff *skb);
void ims_sa_scatter(struct sk_buff *skb, const struct xfrm_state *x);
u32 ims_sa_mark(const struct xfrm_state *x);
__be32 ims_sa_spi(const struct xfrm_state *x);
void ims_sa_tuple(const struct xfrm_state *x, struct ims_tuple *t);
int ims_sa_cmp_dst(const struct xfrm_state *x, const struct ims_addr *addr);
__be16 ims_sa_ports(const struct xfrm_state *x, __be16 *sport);
u32 ims_sa_reqid(const struct xfrm_state *x);
bool ims_sa_same_selector(const struct xfrm_state *a, const struct xfrm_state *b);
bool ims_sa_is_gone(struct xfrm_state *x);
bool ims_sa_covers(const struct xfrm_state *x, const struct ims_tuple *t);
const struct xfrm_state *ims_sa_fitting_input(const struct sk_buff *skb, const __be16 *ports);
bool ims_sa_exists(struct net *net, const struct ims_addr *src, const struct ims_addr *dst,
		   u32 reqid);

/* sa_offload.c */
int ims_sa_offload(struct xfrm_state *x, const struct net_device *dev, bool out,
		   struct netlink_ext_ack *extack);
void ims_sa_withdraw(struct xfrm_state *x);
bool ims_sa_was_on_device(struct xfrm_state *x);
bool ims_sa_has_gso(const struct xfrm_state *x);
void ims_sa_drop_gso(struct xfrm_state *x);
void ims_sa_mark_input(struct sk_buff *skb, const struct xfrm_state *x);

#endif /* _IMS_SA_H */
