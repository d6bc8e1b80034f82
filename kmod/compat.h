/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What differs between kernels, and nothing else: the one place for #ifdef on
 * what a kernel has. IMS_HAVE_* come from Kbuild, which looks into the
 * kernel's headers.
 */
#ifndef _IMS_COMPAT_H
#define _IMS_COMPAT_H

#include <crypto/scatterwalk.h>
#include <linux/netlink.h>
#include <net/genetlink.h>
#include <net/netfilter/nf_conntrack.h>
#include <net/netfilter/nf_nat.h>
#include <net/udp.h>
#include <net/xfrm.h>

/*
 * 6.1 has no room for a text in an extended ack. There a text is written to where whoever sends
 * the answer has lent some, which is nobody else's and stays until it is sent.
 */
#ifndef NL_SET_ERR_MSG_FMT
#define IMS_COMPAT_ERR_MSG
__printf(2, 3)
void ims_compat_set_err_msg(struct netlink_ext_ack *extack, const char *fmt, ...);
void ims_compat_lend_text(struct netlink_ext_ack *extack, char *text, size_t size);
int ims_compat_pre_doit(const struct genl_ops *ops, struct sk_buff *skb, struct genl_info *info);
#define NL_SET_ERR_MSG_FMT(extack, fmt, args...) \
	ims_compat_set_err_msg(extack, fmt, ##args)
#else
#define ims_compat_pre_doit	NULL
static inline void ims_compat_lend_text(struct netlink_ext_ack *extack, char *text, size_t size)
{
}
#endif

/* Bytes of a text that is written to where ims_compat_lend_text() says */
#define IMS_COMPAT_TEXT_MAX	160

/*
 * A dump's text is read with the dump still locked, after the last look at where it has come to:
 * there is room for 47 characters.
 */
static inline void ims_compat_lend_dump_text(struct netlink_callback *cb)
{
	ims_compat_lend_text(cb->extack, (char *)cb->ctx, sizeof(cb->ctx));
}

#ifndef NL_SET_ERR_MSG_ATTR_FMT
#define NL_SET_ERR_MSG_ATTR_FMT(extack, attr, fmt, args...) do {	\
	struct netlink_ext_ack *__extack_fmt = (extack);		\
									\
	NL_SET_BAD_ATTR(__extack_fmt, attr);				\
	NL_SET_ERR_MSG_FMT(__extack_fmt, fmt, ##args);			\
} while (0)
#endif

/*
 * The crypto layer got a copy of what may be in several pieces (6.16), and stable kernels of then
 * as well. Before, few bytes at a time: what ESP does not encrypt in its place is a packet.
 */
static inline void ims_compat_copy_sglist(struct scatterlist *dst, struct scatterlist *src,
					  unsigned int len)
{
#ifdef IMS_HAVE_MEMCPY_SGLIST
	memcpy_sglist(dst, src, len);
#else
	unsigned int i, n;
	u8 part[128];

	for (i = 0; i < len; i += n) {
		n = min_t(unsigned int, len - i, sizeof(part));
		scatterwalk_map_and_copy(part, src, i, n, 0);
		scatterwalk_map_and_copy(part, dst, i, n, 1);
	}
	memzero_explicit(part, sizeof(part));
#endif
}

/* A state that knows its direction is refused in the other one (6.10). */
static inline void ims_compat_set_dir(struct xfrm_state *x, bool out)
{
#ifdef IMS_HAVE_XFRM_DIR
	x->dir = out ? XFRM_SA_DIR_OUT : XFRM_SA_DIR_IN;
#endif
}

/* The flags went; replay protection and software offload got functions of their own (6.15). */
static inline int ims_compat_init_state(struct xfrm_state *x,
					struct netlink_ext_ack *extack)
{
#ifdef IMS_HAVE_INIT_STATE_FLAGS
	return __xfrm_init_state(x, true, false, extack);
#else
	int err = __xfrm_init_state(x, extack);

	if (!err)
		err = xfrm_init_replay(x, extack);
	if (!err)
		xfrm_set_type_offload(x, false);
	return err;
#endif
}

/*
 * XFRM got caches of SAs (6.13), which an SA that is deleted leaves. Some versions leave the node
 * as it was in the list, so that it must not be taken for one that is in there.
 */
static inline void ims_compat_left_caches(struct xfrm_state *x)
{
#ifdef IMS_HAVE_STATE_CACHE
	INIT_HLIST_NODE(&x->state_cache);
#endif
#ifdef IMS_HAVE_STATE_CACHE_INPUT
	INIT_HLIST_NODE(&x->state_cache_input);
#endif
}

/*
 * XFRM notes down when an SA was used last (6.2; what is looked for came later), unless its packets
 * are a device's alone.
 */
static inline bool ims_compat_is_touched(const struct xfrm_state *x)
{
#ifdef IMS_HAVE_LASTUSED
	return x->xso.type != XFRM_DEV_OFFLOAD_PACKET;
#else
	return false;
#endif
}

/* As XFRM does when it ends an SA; newer kernels have a function for it (6.15). */
static inline void ims_compat_drop_gso(struct xfrm_state *x)
{
	if (!x->type_offload)
		return;
	module_put(x->type_offload->owner);
	x->type_offload = NULL;
}

/* Where a driver refuses an SA, XFRM takes GRO and GSO from it as well (6.15): they come back. */
static inline void ims_compat_keep_gso(struct xfrm_state *x)
{
#ifndef IMS_HAVE_INIT_STATE_FLAGS
	if (!x->type_offload)
		xfrm_set_type_offload(x, false);
#endif
}

/* Has a driver offload of ESP? */
static inline bool ims_compat_has_offload(const struct net_device *dev)
{
#ifdef CONFIG_XFRM_OFFLOAD
	return dev->xfrmdev_ops && dev->xfrmdev_ops->xdo_dev_state_add;
#else
	return false;
#endif
}

/*
 * A device forgets an SA, in two steps as XFRM has it; what XFRM has for that keeps a list,
 * and is not exported. The device became an argument in 6.16.
 */
static inline void ims_compat_state_delete(struct xfrm_state *x)
{
#ifdef CONFIG_XFRM_OFFLOAD
	struct net_device *dev = x->xso.dev;

#ifdef IMS_HAVE_STATE_DELETE_DEV
	dev->xfrmdev_ops->xdo_dev_state_delete(dev, x);
#else
	dev->xfrmdev_ops->xdo_dev_state_delete(x);
#endif
#endif
}

static inline void ims_compat_state_free(struct xfrm_state *x)
{
#ifdef CONFIG_XFRM_OFFLOAD
	struct net_device *dev = x->xso.dev;

	if (dev->xfrmdev_ops->xdo_dev_state_free)
#ifdef IMS_HAVE_STATE_DELETE_DEV
		dev->xfrmdev_ops->xdo_dev_state_free(dev, x);
#else
		dev->xfrmdev_ops->xdo_dev_state_free(x);
#endif
	WRITE_ONCE(x->xso.dev, NULL);
	netdev_put(dev, &x->xso.dev_tracker);
#endif
}

/*
 * A family's table got an entry for each of both ways to ask, each with its policy (6.2). Before,
 * an operation had one entry, and one policy for both.
 */
#ifndef IMS_HAVE_GENL_SPLIT_OPS
struct genl_split_ops {
	int (*doit)(struct sk_buff *skb, struct genl_info *info);
	int (*dumpit)(struct sk_buff *skb, struct netlink_callback *cb);
	const struct nla_policy *policy;
	unsigned int maxattr;
	u8 cmd;
	u8 flags;
};
#endif

int ims_compat_set_ops(struct genl_family *family, const struct genl_split_ops *ops,
		       unsigned int n_ops);

/* A dump got a struct genl_info of its own (6.6). */
static inline struct nlattr **ims_compat_dump_attrs(struct netlink_callback *cb)
{
#ifdef IMS_HAVE_GENL_INFO_DUMP
	return genl_info_dump(cb)->attrs;
#else
	return genl_dumpit_info(cb)->attrs;
#endif
}

/* UDP sockets have a table, which got one a namespace (6.2), and need not be named (7.x). */
#ifdef IMS_HAVE_UDP_TABLE
static inline struct udp_table *ims_compat_udp_table(const struct net *net)
{
#ifdef IMS_HAVE_NET_UDP_TABLE
	return net->ipv4.udp_table;
#else
	return &udp_table;
#endif
}
#endif

/* The socket that receives between two ends; under RCU. */
static inline struct sock *ims_compat_udp_lookup4(struct net *net, __be32 raddr, __be16 rport,
						  __be32 laddr, __be16 lport, int dif, int sdif)
{
#ifdef IMS_HAVE_UDP_TABLE
	return __udp4_lib_lookup(net, raddr, rport, laddr, lport, dif, sdif,
				 ims_compat_udp_table(net), NULL);
#else
	return __udp4_lib_lookup(net, raddr, rport, laddr, lport, dif, sdif, NULL);
#endif
}

static inline struct sock *ims_compat_udp_lookup6(struct net *net, const struct in6_addr *raddr,
						  __be16 rport, const struct in6_addr *laddr,
						  __be16 lport, int dif, int sdif)
{
#ifdef IMS_HAVE_UDP_TABLE
	return __udp6_lib_lookup(net, raddr, rport, laddr, lport, dif, sdif,
				 ims_compat_udp_table(net), NULL);
#else
	return __udp6_lib_lookup(net, raddr, rport, laddr, lport, dif, sdif, NULL);
#endif
}

/*
 * May there be UDP sockets that take something out of UDP, beside @own ones? Newer kernels
 * have a list a namespace (6.16), older ones count them for all.
 */
static inline bool ims_compat_has_udp_tunnels(const struct net *net, const atomic_t *own)
{
#ifdef IMS_HAVE_UDP_TUNNEL_GRO
	return !hlist_empty(&net->ipv4.udp_tunnel_gro[0].list) ||
	       !hlist_empty(&net->ipv4.udp_tunnel_gro[1].list);
#else
	/* -1 while the first one comes, which is many */
	return static_branch_unlikely(&udp_encap_needed_key) &&
	       (u32)atomic_read(&udp_encap_needed_key.key.enabled) > (u32)atomic_read(own);
#endif
}

/*
 * Addresses and ports of a packet when connection tracking first saw it, if NAT has changed
 * them, or will; of an ICMP error, those of the connection that it is about.
 */
static inline const struct nf_conntrack_tuple *ims_compat_origin(const struct sk_buff *skb)
{
#if IS_ENABLED(CONFIG_NF_CONNTRACK)
	enum ip_conntrack_info ctinfo;
	const struct nf_conn *ct = nf_ct_get(skb, &ctinfo);

	if (ct && READ_ONCE(ct->status) & IPS_NAT_MASK)
		return &ct->tuplehash[CTINFO2DIR(ctinfo)].tuple;
#endif
	return NULL;
}

/* Has connection tracking seen something in the other direction before? */
static inline bool ims_compat_is_answer(const struct sk_buff *skb)
{
#if IS_ENABLED(CONFIG_NF_CONNTRACK)
	enum ip_conntrack_info ctinfo;

	return nf_ct_get(skb, &ctinfo) && CTINFO2DIR(ctinfo) == IP_CT_DIR_REPLY;
#else
	return false;
#endif
}

/* Rules for source NAT pass over a connection that has begun with this packet. */
static inline void ims_compat_keep_source(struct sk_buff *skb)
{
#if IS_ENABLED(CONFIG_NF_NAT)
	enum ip_conntrack_info ctinfo;
	struct nf_conn *ct = nf_ct_get(skb, &ctinfo);
	const struct nf_nat_hook *nat;

	if (!ct || nf_ct_is_confirmed(ct) || nf_nat_initialized(ct, NF_NAT_MANIP_SRC))
		return;
	nat = rcu_dereference(nf_nat_hook);
	if (nat)
		nat->parse_nat_setup(ct, NF_NAT_MANIP_SRC, NULL);
#endif
}

/*
 * No flowtable takes the connection that a packet has begun: answers would leave, and more would
 * be let in, without a look by netfilter. (All else that the bit does is to have an entry of UDP
 * time out sooner.)
 */
static inline void ims_compat_keep_from_flowtable(struct sk_buff *skb)
{
#if IS_ENABLED(CONFIG_NF_CONNTRACK)
	enum ip_conntrack_info ctinfo;
	struct nf_conn *ct = nf_ct_get(skb, &ctinfo);

	if (ct && !test_bit(IPS_NAT_CLASH_BIT, &ct->status))
		set_bit(IPS_NAT_CLASH_BIT, &ct->status);
#endif
}

/* Addresses of sockets got a type of their own (6.19). */
static inline int ims_compat_bind(struct socket *sock, void *addr, int len)
{
	return kernel_bind(sock, addr, len);
}

/* ESP in UDP is taken by GRO, if the socket has it (6.7). */
#ifdef IMS_HAVE_ENCAP_GRO
#define IMS_COMPAT_ENCAP_GRO	true
#else
#define IMS_COMPAT_ENCAP_GRO	false
#endif

/* Newer kernels have a cache of inbound SAs, which has to be kept short (6.11). */
#ifdef IMS_HAVE_STATE_CACHE_INPUT
#include "input_cache.h"
#else
static inline void ims_input_cache_check(struct net *net)
{
}
#endif

#endif /* _IMS_COMPAT_H */
