// SPDX-License-Identifier: GPL-2.0-only
/* Requests about bundles. */
#include <linux/bits.h>
#include <net/sock.h>

#include "bundle.h"
#include "claim.h"
#include "compat.h"
#include "endpoint.h"
#include "journal.h"
#include "nat.h"
#include "netlink.h"
#include "netns.h"
#include "sa.h"
#include "ues.h"

/* What names a single one, and what selects among many */
#define IMS_BUNDLE_GET_DO	BIT_ULL(IMS_IPSEC_A_BUNDLE_ID)
#define IMS_BUNDLE_GET_DUMP	(BIT_ULL(IMS_IPSEC_A_BUNDLE_ENDPOINT) |	\
				 BIT_ULL(IMS_IPSEC_A_BUNDLE_OWNER) |	\
				 BIT_ULL(IMS_IPSEC_A_BUNDLE_CONTACT) |	\
				 BIT_ULL(IMS_IPSEC_A_BUNDLE_STATE) |	\
				 BIT_ULL(IMS_IPSEC_A_BUNDLE_UE_ADDRESS) | \
				 BIT_ULL(IMS_IPSEC_A_BUNDLE_OLDER_THAN))

static int ims_netlink_put_nat(struct sk_buff *skb, const struct ims_bundle *b)
{
	const struct ims_nat *nat = b->nat;

	if (nat && (ims_netlink_put_addr(skb, IMS_IPSEC_A_BUNDLE_UE_NAT_ADDRESS, &nat->addr) ||
		    nla_put_be16(skb, IMS_IPSEC_A_BUNDLE_UE_NAT_PORT, READ_ONCE(nat->port)) ||
		    (!nat->is_marked && nla_put_flag(skb, IMS_IPSEC_A_BUNDLE_UNMARKED)) ||
		    (ims_claim_is_udp_only(b) &&
		     nla_put_flag(skb, IMS_IPSEC_A_BUNDLE_UDP_ONLY))))
		return -EMSGSIZE;
	return 0;
}

static int ims_netlink_put_counters(struct sk_buff *skb, const struct ims_bundle *b)
{
	const time64_t now = ktime_get_real_seconds();
	const int pad = IMS_IPSEC_A_BUNDLE_PAD;
	struct ims_bundle_counters c;

	ims_bundle_count(b, &c);
	if (nla_put_u64_64bit(skb, IMS_IPSEC_A_BUNDLE_RX_PACKETS, c.rx_packets, pad) ||
	    nla_put_u64_64bit(skb, IMS_IPSEC_A_BUNDLE_RX_BYTES, c.rx_bytes, pad) ||
	    nla_put_u64_64bit(skb, IMS_IPSEC_A_BUNDLE_TX_PACKETS, c.tx_packets, pad) ||
	    nla_put_u64_64bit(skb, IMS_IPSEC_A_BUNDLE_TX_BYTES, c.tx_bytes, pad) ||
	    nla_put_u64_64bit(skb, IMS_IPSEC_A_BUNDLE_RX_BAD_ICV, c.bad_icv, pad) ||
	    nla_put_u64_64bit(skb, IMS_IPSEC_A_BUNDLE_RX_REPLAYED, c.replayed, pad) ||
	    (c.last_rx && nla_put_u64_64bit(skb, IMS_IPSEC_A_BUNDLE_LAST_RX,
					    max(now - c.last_rx, 0LL) * MSEC_PER_SEC, pad)) ||
	    (c.last_tx && nla_put_u64_64bit(skb, IMS_IPSEC_A_BUNDLE_LAST_TX,
					    max(now - c.last_tx, 0LL) * MSEC_PER_SEC, pad)))
		return -EMSGSIZE;
	return 0;
}

/**
 * ims_netlink_put_bundle_brief() - put what tells one bundle from others, and its ends
 * @skb: the message
 * @b: the bundle
 *
 * Context: struct ims_net.lock held.
 * Return: 0 or -EMSGSIZE.
 */
int ims_netlink_put_bundle_brief(struct sk_buff *skb, const struct ims_bundle *b)
{
	const int pad = IMS_IPSEC_A_BUNDLE_PAD;
	struct ims_tuple uc, us;

	const struct ims_name name = ims_registration_name(b->reg);
	const u32 mark = ims_sa_mark(b->sa[IMS_FLOW_IN_PS]);

	ims_bundle_tuple(b, IMS_FLOW_OUT_UC, &uc);
	ims_bundle_tuple(b, IMS_FLOW_OUT_US, &us);
	if (nla_put_u32(skb, IMS_IPSEC_A_BUNDLE_ID, b->id) ||
	    nla_put_u32(skb, IMS_IPSEC_A_BUNDLE_ENDPOINT, b->ep->id) ||
	    nla_put(skb, IMS_IPSEC_A_BUNDLE_OWNER, name.owner_len, name.owner) ||
	    nla_put(skb, IMS_IPSEC_A_BUNDLE_CONTACT, name.contact_len, name.contact) ||
	    nla_put_u32(skb, IMS_IPSEC_A_BUNDLE_STATE, b->state) ||
	    ims_netlink_put_addr(skb, IMS_IPSEC_A_BUNDLE_ADDRESS, &b->ep->addr) ||
	    nla_put_be16(skb, IMS_IPSEC_A_BUNDLE_PORT_PC, us.sport) ||
	    nla_put_be16(skb, IMS_IPSEC_A_BUNDLE_PORT_PS, uc.sport) ||
	    nla_put_be32(skb, IMS_IPSEC_A_BUNDLE_SPI_PC, ims_bundle_spi(b, IMS_FLOW_IN_PC)) ||
	    nla_put_be32(skb, IMS_IPSEC_A_BUNDLE_SPI_PS, ims_bundle_spi(b, IMS_FLOW_IN_PS)) ||
	    ims_netlink_put_addr(skb, IMS_IPSEC_A_BUNDLE_UE_ADDRESS, &uc.dst) ||
	    nla_put_be16(skb, IMS_IPSEC_A_BUNDLE_PORT_UC, uc.dport) ||
	    nla_put_be16(skb, IMS_IPSEC_A_BUNDLE_PORT_US, us.dport) ||
	    nla_put_be32(skb, IMS_IPSEC_A_BUNDLE_SPI_UC, ims_bundle_spi(b, IMS_FLOW_OUT_UC)) ||
	    nla_put_be32(skb, IMS_IPSEC_A_BUNDLE_SPI_US, ims_bundle_spi(b, IMS_FLOW_OUT_US)) ||
	    nla_put_u32(skb, IMS_IPSEC_A_BUNDLE_MODE, b->mode) ||
	    nla_put_u32(skb, IMS_IPSEC_A_BUNDLE_AUTH_ALG, ims_bundle_pair(b)->auth_alg) ||
	    nla_put_u32(skb, IMS_IPSEC_A_BUNDLE_ENC_ALG, ims_bundle_pair(b)->enc_alg) ||
	    nla_put_u32(skb, IMS_IPSEC_A_BUNDLE_REGISTRATION, b->reg->index) ||
	    (mark && nla_put_u32(skb, IMS_IPSEC_A_BUNDLE_MARK, mark)) ||
	    nla_put_u64_64bit(skb, IMS_IPSEC_A_BUNDLE_LIFETIME, ims_bundle_remaining(b), pad))
		return -EMSGSIZE;
	return ims_netlink_put_nat(skb, b);
}

/**
 * ims_netlink_put_bundle() - put a bundle's attributes into a message
 * @skb: the message
 * @b: the bundle
 *
 * Keys are not among them.
 * Context: struct ims_net.lock held.
 * Return: 0 or -EMSGSIZE.
 */
int ims_netlink_put_bundle(struct sk_buff *skb, const struct ims_bundle *b)
{
	return ims_netlink_put_bundle_brief(skb, b) ?:
	       ims_netlink_put_counters(skb, b) ?:
	       ims_netlink_put_bundle_offload(skb, b);
}

static size_t ims_netlink_names_size(const struct ims_name *name)
{
	return nla_total_size(name->owner_len) + nla_total_size(name->contact_len);
}

/* Room for all that ims_netlink_put_bundle() may put */
static size_t ims_netlink_bundle_size(const struct ims_name *name)
{
	return ims_netlink_names_size(name) +
	       3 * nla_total_size(sizeof(struct in6_addr)) + nla_total_size(IFNAMSIZ) +
	       /* numbers and flags, lifetime and counters */
	       24 * nla_total_size(sizeof(u32)) + 9 * nla_total_size_64bit(sizeof(u64));
}

/**
 * ims_netlink_bundle_brief_size() - room for what ims_netlink_put_bundle_brief() puts
 * @b: the bundle
 *
 * Return: bytes, a flag besides included.
 */
size_t ims_netlink_bundle_brief_size(const struct ims_bundle *b)
{
	const struct ims_name name = ims_registration_name(b->reg);
	const size_t addr = nla_total_size(ims_addr_len(&b->ep->addr));

	return ims_netlink_names_size(&name) + (b->nat ? 3 : 2) * addr +
	       /* numbers, and flags */
	       (b->nat ? 21 : 17) * nla_total_size(sizeof(u32)) +
	       nla_total_size_64bit(sizeof(u64));
}

/**
 * ims_netlink_find_bundle() - the bundle that a request names
 * @in: where
 * @id: the attribute that names it
 * @extack: gets the reason
 *
 * Context: struct ims_net.lock held.
 * Return: the bundle, or NULL if there is none.
 */
struct ims_bundle *ims_netlink_find_bundle(struct ims_net *in, const struct nlattr *id,
					   struct netlink_ext_ack *extack)
{
	struct ims_bundle *b = xa_load(&in->bundles, nla_get_u32(id));

	if (!b)
		NL_SET_ERR_MSG_ATTR_FMT(extack, id, "no bundle has id %u", nla_get_u32(id));
	return b;
}

static int ims_netlink_get_bundle_algs(struct ims_bundle_params *p, struct genl_info *info)
{
	const struct nlattr *own = info->attrs[IMS_IPSEC_A_BUNDLE_ALLOWED_ALGORITHMS];
	struct nlattr **a = info->attrs;
	int err;

	p->pair = ims_alg_find_pair(nla_get_u32(a[IMS_IPSEC_A_BUNDLE_AUTH_ALG]),
				    nla_get_u32(a[IMS_IPSEC_A_BUNDLE_ENC_ALG]), info->extack);
	if (!p->pair) {
		NL_SET_BAD_ATTR(info->extack, a[IMS_IPSEC_A_BUNDLE_ENC_ALG]);
		return -EINVAL;
	}
	if (!own)
		return 0;
	err = ims_netlink_get_alg_list(&p->allowed, own, info->extack);
	if (!err && !p->allowed.n) {
		NL_SET_ERR_MSG_ATTR(info->extack, own, "the list of algorithms is empty");
		return -EINVAL;
	}
	return err;
}

/* The policies have no limit for a number that is big-endian. */
static int ims_netlink_get_spi(__be32 *spi, const struct nlattr *nla,
			       struct netlink_ext_ack *extack)
{
	*spi = nla_get_be32(nla);
	if (ntohl(*spi) >= IMS_IPSEC_SPI_MIN)
		return 0;
	NL_SET_ERR_MSG_ATTR(extack, nla, "SPIs below 256 are reserved");
	return -ERANGE;
}

/**
 * ims_netlink_check_names() - look at whose bundle it is, in a request for one or in a filter
 * @a: the request's attributes
 * @extack: gets the reason
 *
 * Return: 0, or -ERANGE for a length that they cannot have.
 */
int ims_netlink_check_names(struct nlattr **a, struct netlink_ext_ack *extack)
{
	int err = ims_netlink_check_len(a[IMS_IPSEC_A_BUNDLE_OWNER], "owner",
					IMS_IPSEC_OWNER_MAX, extack);

	return err ? err : ims_netlink_check_len(a[IMS_IPSEC_A_BUNDLE_CONTACT], "contact",
						 IMS_IPSEC_CONTACT_MAX, extack);
}

/* What has a meaning in mode UDP-enc-tun alone */
static int ims_netlink_get_bundle_nat(struct ims_bundle_params *p, struct genl_info *info)
{
	static const int attrs[] = {
		IMS_IPSEC_A_BUNDLE_UE_NAT_ADDRESS, IMS_IPSEC_A_BUNDLE_UE_NAT_PORT,
		IMS_IPSEC_A_BUNDLE_UNMARKED,
	};
	struct nlattr **a = info->attrs;
	int i;

	p->nat_addr = p->ue_addr;
	for (i = 0; i < ARRAY_SIZE(attrs) && p->mode == IMS_IPSEC_MODE_TRANS; i++) {
		if (!a[attrs[i]])
			continue;
		NL_SET_ERR_MSG_ATTR(info->extack, a[attrs[i]], "this is for mode udp-enc-tun");
		return -EINVAL;
	}
	if (a[IMS_IPSEC_A_BUNDLE_UE_NAT_PORT])
		p->nat_port = nla_get_be16(a[IMS_IPSEC_A_BUNDLE_UE_NAT_PORT]);
	p->unmarked = nla_get_flag(a[IMS_IPSEC_A_BUNDLE_UNMARKED]);
	if (!a[IMS_IPSEC_A_BUNDLE_UE_NAT_ADDRESS])
		return 0;
	return ims_netlink_get_addr(&p->nat_addr, a[IMS_IPSEC_A_BUNDLE_UE_NAT_ADDRESS],
				    info->extack);
}

static int ims_netlink_get_bundle_params(struct ims_bundle_params *p, struct genl_info *info)
{
	struct nlattr **a = info->attrs;
	int err;

	err = ims_netlink_check_attrs(info->nlhdr, ~0ULL, 0, info->extack);
	if (!err)
		err = IMS_REQUIRE(info, IMS_IPSEC_A_BUNDLE_ENDPOINT, IMS_IPSEC_A_BUNDLE_OWNER,
				  IMS_IPSEC_A_BUNDLE_CONTACT, IMS_IPSEC_A_BUNDLE_UE_ADDRESS,
				  IMS_IPSEC_A_BUNDLE_PORT_UC, IMS_IPSEC_A_BUNDLE_PORT_US,
				  IMS_IPSEC_A_BUNDLE_SPI_UC, IMS_IPSEC_A_BUNDLE_SPI_US,
				  IMS_IPSEC_A_BUNDLE_AUTH_ALG, IMS_IPSEC_A_BUNDLE_ENC_ALG,
				  IMS_IPSEC_A_BUNDLE_IK, IMS_IPSEC_A_BUNDLE_CK);
	if (!err)
		err = ims_netlink_check_names(a, info->extack);
	if (!err)
		err = ims_netlink_get_spi(&p->spi_uc, a[IMS_IPSEC_A_BUNDLE_SPI_UC], info->extack);
	if (!err)
		err = ims_netlink_get_spi(&p->spi_us, a[IMS_IPSEC_A_BUNDLE_SPI_US], info->extack);
	if (!err)
		err = ims_netlink_get_addr(&p->ue_addr, a[IMS_IPSEC_A_BUNDLE_UE_ADDRESS],
					   info->extack);
	if (err)
		return err;

	p->port_uc = nla_get_be16(a[IMS_IPSEC_A_BUNDLE_PORT_UC]);
	p->port_us = nla_get_be16(a[IMS_IPSEC_A_BUNDLE_PORT_US]);
	if (a[IMS_IPSEC_A_BUNDLE_PORT_PC])
		p->port_pc = nla_get_be16(a[IMS_IPSEC_A_BUNDLE_PORT_PC]);
	p->mode = IMS_IPSEC_MODE_TRANS;
	if (a[IMS_IPSEC_A_BUNDLE_MODE])
		p->mode = nla_get_u32(a[IMS_IPSEC_A_BUNDLE_MODE]);
	p->name = (struct ims_name) {
		.owner = nla_data(a[IMS_IPSEC_A_BUNDLE_OWNER]),
		.owner_len = nla_len(a[IMS_IPSEC_A_BUNDLE_OWNER]),
		.contact = nla_data(a[IMS_IPSEC_A_BUNDLE_CONTACT]),
		.contact_len = nla_len(a[IMS_IPSEC_A_BUNDLE_CONTACT]),
	};
	if (a[IMS_IPSEC_A_BUNDLE_COOKIE])
		p->cookie = nla_get_u64(a[IMS_IPSEC_A_BUNDLE_COOKIE]);
	if (a[IMS_IPSEC_A_BUNDLE_OVER])
		p->over = nla_get_u32(a[IMS_IPSEC_A_BUNDLE_OVER]);
	p->began_clear = nla_get_flag(a[IMS_IPSEC_A_BUNDLE_BEGAN_CLEAR]);
	if (p->over && p->began_clear) {
		NL_SET_ERR_MSG_ATTR(info->extack, a[IMS_IPSEC_A_BUNDLE_OVER],
				    "the REGISTER came in clear, or over a bundle");
		return -EINVAL;
	}
	p->ik = nla_data(a[IMS_IPSEC_A_BUNDLE_IK]);
	p->ck = nla_data(a[IMS_IPSEC_A_BUNDLE_CK]);
	err = ims_netlink_get_bundle_nat(p, info);
	return err ? err : ims_netlink_get_bundle_algs(p, info);
}

/* Where the REGISTER came from. What has gone has been another one of the registration, or not. */
static int ims_netlink_check_over(struct ims_net *in, const struct ims_bundle_params *p,
				  struct genl_info *info)
{
	const struct ims_bundle *o = p->over ? xa_load(&in->bundles, p->over) : NULL;

	if (!o || ims_registration_is(o->reg, &p->name))
		return 0;
	NL_SET_ERR_MSG_ATTR_FMT(info->extack, info->attrs[IMS_IPSEC_A_BUNDLE_OVER],
				"bundle %u is another registration's", o->id);
	return -EINVAL;
}

static int __ims_netlink_bundle_new(struct genl_info *info)
{
	struct ims_net *in = ims_net(genl_info_net(info));
	struct ims_bundle_params p = {};
	struct ims_bundle_draft draft;
	struct ims_endpoint *ep;
	struct sk_buff *reply;
	struct ims_bundle *b;
	u32 endpoint;
	void *hdr;
	int err;

	err = ims_netlink_get_bundle_params(&p, info);
	if (err)
		return err;

	reply = ims_netlink_reply_new(info, ims_netlink_bundle_size(&p.name), &hdr);
	if (!reply)
		return -ENOMEM;

	endpoint = nla_get_u32(info->attrs[IMS_IPSEC_A_BUNDLE_ENDPOINT]);
	ims_bundle_make_draft(in, endpoint, &p, &draft);
	mutex_lock(&in->lock);
	ep = ims_netlink_find_endpoint(in, info->attrs[IMS_IPSEC_A_BUNDLE_ENDPOINT],
				       info->extack);
	if (ep && ep->going) {
		NL_SET_ERR_MSG_FMT(info->extack, "endpoint %u is being deleted", ep->id);
		ep = NULL;
	}
	if (!ep) {
		err = -ENOENT;
		goto unlock;
	}
	err = ims_netlink_check_over(in, &p, info);
	if (err)
		goto unlock;
	b = ims_bundle_repeated(in, ep, &p, info->extack);
	if (!b)
		b = ims_bundle_create(in, ep, &p, &draft, info->extack);
	if (IS_ERR(b)) {
		err = PTR_ERR(b);
		goto unlock;
	}
	err = ims_netlink_put_bundle(reply, b);
	mutex_unlock(&in->lock);
	ims_bundle_discard_draft(&draft);
	return ims_netlink_reply(reply, hdr, info, err);

unlock:
	ims_journal_add_refusal(in, &p, endpoint, err,
				info->extack ? info->extack->_msg : NULL);
	mutex_unlock(&in->lock);
	ims_bundle_discard_draft(&draft);
	nlmsg_free(reply);
	return err;
}

int ims_ipsec_nl_bundle_new_doit(struct sk_buff *skb, struct genl_info *info)
{
	int rem, err = __ims_netlink_bundle_new(info);
	struct nlattr *nla;

	/*
	 * The request's buffer is freed, or sent back with an error, as it is.
	 * Each key, also where one is there twice.
	 */
	nlmsg_for_each_attr(nla, info->nlhdr, GENL_HDRLEN, rem)
		if (nla_type(nla) == IMS_IPSEC_A_BUNDLE_IK ||
		    nla_type(nla) == IMS_IPSEC_A_BUNDLE_CK)
			memzero_explicit(nla_data(nla), nla_len(nla));
	return err;
}

/* @older: NULL: as bundle-new was told where the REGISTER came from */
static enum ims_ipsec_older ims_netlink_get_older(const struct ims_bundle *b,
						  const struct nlattr *older)
{
	if (older)
		return nla_get_u32(older);
	return b->began_clear ? IMS_IPSEC_OLDER_DROP : IMS_IPSEC_OLDER_KEEP;
}

int ims_ipsec_nl_bundle_confirm_doit(struct sk_buff *skb, struct genl_info *info)
{
	const struct nlattr *older = info->attrs[IMS_IPSEC_A_BUNDLE_OLDER];
	const struct nlattr *over = info->attrs[IMS_IPSEC_A_BUNDLE_OVER];
	struct ims_net *in = ims_net(genl_info_net(info));
	struct ims_bundle *b, *o = NULL;
	u64 lifetime;
	int err;

	err = ims_netlink_check_attrs(info->nlhdr, ~0ULL, 0, info->extack);
	if (!err)
		err = IMS_REQUIRE(info, IMS_IPSEC_A_BUNDLE_ID, IMS_IPSEC_A_BUNDLE_LIFETIME);
	if (err)
		return err;
	lifetime = nla_get_u64(info->attrs[IMS_IPSEC_A_BUNDLE_LIFETIME]);

	mutex_lock(&in->lock);
	b = ims_netlink_find_bundle(in, info->attrs[IMS_IPSEC_A_BUNDLE_ID], info->extack);
	if (b && over)
		o = ims_netlink_find_bundle(in, over, info->extack);
	/* as bundle-new was told, unless that one has gone */
	if (b && !over && b->over)
		o = xa_load(&in->bundles, b->over);
	if (!b || (over && !o))
		err = -ENOENT;
	else
		err = ims_bundle_confirm(b, lifetime, ims_netlink_get_older(b, older), o,
					 info->extack);
	mutex_unlock(&in->lock);
	return err;
}

int ims_ipsec_nl_bundle_extend_doit(struct sk_buff *skb, struct genl_info *info)
{
	struct ims_net *in = ims_net(genl_info_net(info));
	struct ims_bundle *b;
	int err;

	err = ims_netlink_check_attrs(info->nlhdr, ~0ULL, 0, info->extack);
	if (!err)
		err = IMS_REQUIRE(info, IMS_IPSEC_A_BUNDLE_ID, IMS_IPSEC_A_BUNDLE_LIFETIME);
	if (err)
		return err;

	mutex_lock(&in->lock);
	b = ims_netlink_find_bundle(in, info->attrs[IMS_IPSEC_A_BUNDLE_ID], info->extack);
	err = -ENOENT;
	if (b)
		err = ims_bundle_extend(b, nla_get_u64(info->attrs[IMS_IPSEC_A_BUNDLE_LIFETIME]),
					info->extack);
	mutex_unlock(&in->lock);
	return err;
}

int ims_ipsec_nl_bundle_del_doit(struct sk_buff *skb, struct genl_info *info)
{
	struct ims_net *in = ims_net(genl_info_net(info));
	struct nlattr *attr;
	struct ims_bundle *b;
	u64 linger = 0;
	int err;

	err = ims_netlink_check_attrs(info->nlhdr, ~0ULL, 0, info->extack);
	if (!err)
		err = IMS_REQUIRE(info, IMS_IPSEC_A_BUNDLE_ID);
	if (err)
		return err;
	attr = info->attrs[IMS_IPSEC_A_BUNDLE_LINGER];
	if (attr)
		linger = nla_get_u64(attr);

	mutex_lock(&in->lock);
	b = ims_netlink_find_bundle(in, info->attrs[IMS_IPSEC_A_BUNDLE_ID], info->extack);
	if (b)
		ims_bundle_delete(b, linger);
	mutex_unlock(&in->lock);
	return b ? 0 : -ENOENT;
}

int ims_ipsec_nl_bundle_get_doit(struct sk_buff *skb, struct genl_info *info)
{
	struct ims_net *in = ims_net(genl_info_net(info));
	struct sk_buff *reply;
	struct ims_bundle *b;
	void *hdr;
	int err;

	err = ims_netlink_check_attrs(info->nlhdr, IMS_BUNDLE_GET_DO, 0, info->extack);
	if (!err)
		err = IMS_REQUIRE(info, IMS_IPSEC_A_BUNDLE_ID);
	if (err)
		return err;

	reply = ims_netlink_reply_new(info, NLMSG_DEFAULT_SIZE, &hdr);
	if (!reply)
		return -ENOMEM;
	mutex_lock(&in->lock);
	b = ims_netlink_find_bundle(in, info->attrs[IMS_IPSEC_A_BUNDLE_ID], info->extack);
	err = b ? ims_netlink_put_bundle(reply, b) : -ENOENT;
	mutex_unlock(&in->lock);
	if (!b) {
		nlmsg_free(reply);
		return err;
	}
	return ims_netlink_reply(reply, hdr, info, err);
}

/* 6.1 has no extended ack for a start callback, so that this is no such. */
static int ims_netlink_bundle_check_dump(struct netlink_callback *cb, struct nlattr **a)
{
	struct ims_addr addr;
	int err;

	err = ims_netlink_check_dump(cb, IMS_BUNDLE_GET_DUMP);
	if (!err)
		err = ims_netlink_check_names(a, cb->extack);
	if (!err && a[IMS_IPSEC_A_BUNDLE_UE_ADDRESS])
		err = ims_netlink_get_addr(&addr, a[IMS_IPSEC_A_BUNDLE_UE_ADDRESS], cb->extack);
	return err;
}

static bool ims_netlink_bytes_match(const struct nlattr *nla, const u8 *bytes, size_t len)
{
	return nla_len(nla) == len && !memcmp(nla_data(nla), bytes, len);
}

/* Does a bundle match every attribute that a dump asks for? */
static bool ims_netlink_bundle_matches(const struct ims_bundle *b, struct nlattr **a)
{
	const struct ims_name name = ims_registration_name(b->reg);
	struct ims_tuple t;

	if (a[IMS_IPSEC_A_BUNDLE_ENDPOINT] &&
	    nla_get_u32(a[IMS_IPSEC_A_BUNDLE_ENDPOINT]) != b->ep->id)
		return false;
	/* ids are given out in turn */
	if (a[IMS_IPSEC_A_BUNDLE_OLDER_THAN] &&
	    (s32)(b->id - nla_get_u32(a[IMS_IPSEC_A_BUNDLE_OLDER_THAN])) >= 0)
		return false;
	if (a[IMS_IPSEC_A_BUNDLE_STATE] && nla_get_u32(a[IMS_IPSEC_A_BUNDLE_STATE]) != b->state)
		return false;
	if (a[IMS_IPSEC_A_BUNDLE_OWNER] &&
	    !ims_netlink_bytes_match(a[IMS_IPSEC_A_BUNDLE_OWNER], name.owner, name.owner_len))
		return false;
	if (a[IMS_IPSEC_A_BUNDLE_CONTACT] &&
	    !ims_netlink_bytes_match(a[IMS_IPSEC_A_BUNDLE_CONTACT], name.contact, name.contact_len))
		return false;
	if (!a[IMS_IPSEC_A_BUNDLE_UE_ADDRESS])
		return true;
	ims_bundle_tuple(b, IMS_FLOW_OUT_UC, &t);
	return ims_netlink_bytes_match(a[IMS_IPSEC_A_BUNDLE_UE_ADDRESS], (const u8 *)&t.dst.in6,
				       ims_addr_len(&t.dst));
}

/* What requests about many bundles go through: of one subscriber or UE, not all there are. */
struct ims_netlink_walk {
	struct ims_name name;
	struct ims_addr ue_addr;
	u64 pos;
	unsigned int steps;
};

/* @a has been looked at: its addresses are such */
static void ims_netlink_walk_begin(struct ims_netlink_walk *w, struct nlattr **a, u64 pos)
{
	const struct nlattr *owner = a[IMS_IPSEC_A_BUNDLE_OWNER];
	const struct nlattr *contact = a[IMS_IPSEC_A_BUNDLE_CONTACT];
	const struct nlattr *ue = a[IMS_IPSEC_A_BUNDLE_UE_ADDRESS];

	*w = (struct ims_netlink_walk) { .pos = pos };
	if (owner) {
		w->name.owner = nla_data(owner);
		w->name.owner_len = nla_len(owner);
	}
	if (contact) {
		w->name.contact = nla_data(contact);
		w->name.contact_len = nla_len(contact);
	}
	if (ue)
		ims_addr_set(&w->ue_addr, nla_data(ue), nla_len(ue));
}

/*
 * The next bundle that may match, at @w->pos. Others may have their turn, and so no bundle
 * that was found before may be looked at any more.
 */
static struct ims_bundle *ims_netlink_walk_next(struct ims_net *in, struct ims_netlink_walk *w)
{
	ims_net_pause(in, &w->steps, 1);
	if (w->name.owner)
		return ims_registration_next_bundle(in, &w->name, &w->pos);
	if (w->ue_addr.family)
		return ims_ues_next(in, &w->ue_addr, &w->pos);
	return ims_bundle_next(in, &w->pos);
}

/* Where a dump is, in its callback's ctx */
struct ims_netlink_dump {
	u64 pos;
	bool begun;
	bool ended;
};

int ims_ipsec_nl_bundle_get_dumpit(struct sk_buff *skb, struct netlink_callback *cb)
{
	struct nlattr **attrs = ims_compat_dump_attrs(cb);
	struct ims_net *in = ims_net(sock_net(skb->sk));
	struct ims_netlink_dump *dump = (void *)cb->ctx;
	struct ims_netlink_walk walk;
	struct ims_bundle *b;
	void *hdr;
	int err;

	static_assert(sizeof(*dump) <= sizeof(cb->ctx));
	if (!dump->begun) {
		err = ims_netlink_bundle_check_dump(cb, attrs);
		if (err)
			return err;
	}

	ims_netlink_walk_begin(&walk, attrs, dump->pos);
	mutex_lock(&in->lock);
	/* resumes at a place, so that what comes and goes meanwhile does no harm */
	for (; !dump->ended; walk.pos++) {
		b = ims_netlink_walk_next(in, &walk);
		dump->ended = !b;
		if (!b || !ims_netlink_bundle_matches(b, attrs))
			continue;
		hdr = ims_netlink_put_dump_header(skb, cb, IMS_IPSEC_CMD_BUNDLE_GET);
		if (!hdr)
			break;
		if (ims_netlink_put_bundle(skb, b)) {
			genlmsg_cancel(skb, hdr);
			break;
		}
		genlmsg_end(skb, hdr);
	}
	mutex_unlock(&in->lock);
	dump->begun = true;
	dump->pos = walk.pos;
	return skb->len;
}

int ims_ipsec_nl_bundle_flush_doit(struct sk_buff *skb, struct genl_info *info)
{
	const struct nlattr *ue = info->attrs[IMS_IPSEC_A_BUNDLE_UE_ADDRESS];
	const struct nlattr *nla = info->attrs[IMS_IPSEC_A_BUNDLE_LINGER];
	struct ims_net *in = ims_net(genl_info_net(info));
	struct ims_netlink_walk walk;
	u32 n_flushed = 0, before;
	struct ims_bundle *b;
	struct sk_buff *reply;
	struct ims_addr addr;
	u64 linger = 0;
	void *hdr;
	int err;

	err = ims_netlink_check_attrs(info->nlhdr, ~0ULL, 0, info->extack);
	if (!err)
		err = ims_netlink_check_names(info->attrs, info->extack);
	if (!err && ue)
		err = ims_netlink_get_addr(&addr, ue, info->extack);
	if (err)
		return err;
	if (nla)
		linger = nla_get_u64(nla);
	reply = ims_netlink_reply_new(info, NLMSG_DEFAULT_SIZE, &hdr);
	if (!reply)
		return -ENOMEM;

	mutex_lock(&in->lock);
	/* what is made from now on is not meant */
	before = in->next_bundle_id;
	ims_netlink_walk_begin(&walk, info->attrs, 0);
	for (; (b = ims_netlink_walk_next(in, &walk)); walk.pos++) {
		if (!ims_netlink_bundle_matches(b, info->attrs) || (s32)(b->id - before) >= 0)
			continue;
		ims_bundle_delete(b, linger);
		n_flushed++;
		walk.steps += IMS_SLICE_BUNDLE;
	}
	mutex_unlock(&in->lock);
	err = nla_put_u32(reply, IMS_IPSEC_A_BUNDLE_FLUSHED, n_flushed);
	return ims_netlink_reply(reply, hdr, info, err);
}
