// SPDX-License-Identifier: GPL-2.0-only
/* The generic netlink family: Documentation/netlink/specs/ims_ipsec.yaml. */
#include <linux/bits.h>
#include <linux/module.h>
#include <net/sock.h>

#include "alg.h"
#include "bundle.h"
#include "compat.h"
#include "endpoint.h"
#include "netlink.h"
#include "netns.h"

static struct netlink_range_validation ims_timeout_range = {
	.min = IMS_IPSEC_TIMEOUT_MIN,
	.max = IMS_IPSEC_TIMEOUT_MAX,
};

static struct netlink_range_validation ims_linger_range = {
	.max = IMS_IPSEC_TIMEOUT_MAX,
};

static struct netlink_range_validation ims_lifetime_range = {
	.min = 1,
	.max = IMS_IPSEC_LIFETIME_MAX,
};

/*
 * One policy a command. What a policy does not name is refused; where a
 * command's dump and its single request differ, the handlers refuse the rest.
 */
static const struct nla_policy ims_config_get_policy[IMS_IPSEC_A_CONFIG_MAX + 1] = {};

static const struct nla_policy ims_config_set_policy[IMS_IPSEC_A_CONFIG_MAX + 1] = {
	[IMS_IPSEC_A_CONFIG_MIN_SPI] = NLA_POLICY_MIN(NLA_BE32, IMS_IPSEC_SPI_MIN),
	[IMS_IPSEC_A_CONFIG_MAX_SPI] = NLA_POLICY_MIN(NLA_BE32, IMS_IPSEC_SPI_MIN),
	[IMS_IPSEC_A_CONFIG_TEMPORARY_TIMEOUT] =
		NLA_POLICY_FULL_RANGE(NLA_U64, &ims_timeout_range),
	[IMS_IPSEC_A_CONFIG_PORT_PC] = NLA_POLICY_MIN(NLA_BE16, 1),
	[IMS_IPSEC_A_CONFIG_PORT_PS] = NLA_POLICY_MIN(NLA_BE16, 1),
	[IMS_IPSEC_A_CONFIG_MAX_ENDPOINTS] = NLA_POLICY_MIN(NLA_U32, 1),
	[IMS_IPSEC_A_CONFIG_MAX_BUNDLES] = NLA_POLICY_MIN(NLA_U32, 1),
	[IMS_IPSEC_A_CONFIG_MAX_PENDING] = NLA_POLICY_MIN(NLA_U32, 1),
};

static const struct nla_policy ims_endpoint_new_policy[IMS_IPSEC_A_ENDPOINT_MAX + 1] = {
	[IMS_IPSEC_A_ENDPOINT_ADDRESS] = NLA_POLICY_RANGE(NLA_BINARY, 4, 16),
	[IMS_IPSEC_A_ENDPOINT_PORT_PS] = NLA_POLICY_MIN(NLA_BE16, 1),
	[IMS_IPSEC_A_ENDPOINT_PORT_PC] = NLA_POLICY_MIN(NLA_BE16, 1),
};

static const struct nla_policy ims_endpoint_del_policy[IMS_IPSEC_A_ENDPOINT_MAX + 1] = {
	[IMS_IPSEC_A_ENDPOINT_ID] = NLA_POLICY_MIN(NLA_U32, 1),
	[IMS_IPSEC_A_ENDPOINT_FORCE] = { .type = NLA_FLAG },
};

static const struct nla_policy ims_endpoint_get_policy[IMS_IPSEC_A_ENDPOINT_MAX + 1] = {
	[IMS_IPSEC_A_ENDPOINT_ID] = NLA_POLICY_MIN(NLA_U32, 1),
};

static const struct nla_policy ims_bundle_new_policy[IMS_IPSEC_A_BUNDLE_MAX + 1] = {
	[IMS_IPSEC_A_BUNDLE_ENDPOINT] = NLA_POLICY_MIN(NLA_U32, 1),
	[IMS_IPSEC_A_BUNDLE_OWNER] = NLA_POLICY_RANGE(NLA_BINARY, 1, IMS_IPSEC_OWNER_MAX),
	[IMS_IPSEC_A_BUNDLE_CONTACT] = NLA_POLICY_RANGE(NLA_BINARY, 1, IMS_IPSEC_CONTACT_MAX),
	[IMS_IPSEC_A_BUNDLE_UE_ADDRESS] = NLA_POLICY_RANGE(NLA_BINARY, 4, 16),
	[IMS_IPSEC_A_BUNDLE_PORT_UC] = NLA_POLICY_MIN(NLA_BE16, 1),
	[IMS_IPSEC_A_BUNDLE_PORT_US] = NLA_POLICY_MIN(NLA_BE16, 1),
	[IMS_IPSEC_A_BUNDLE_PORT_PC] = NLA_POLICY_MIN(NLA_BE16, 1),
	[IMS_IPSEC_A_BUNDLE_SPI_UC] = NLA_POLICY_MIN(NLA_BE32, IMS_IPSEC_SPI_MIN),
	[IMS_IPSEC_A_BUNDLE_SPI_US] = NLA_POLICY_MIN(NLA_BE32, IMS_IPSEC_SPI_MIN),
	[IMS_IPSEC_A_BUNDLE_MODE] = NLA_POLICY_RANGE(NLA_U32, IMS_IPSEC_MODE_TRANS,
						     IMS_IPSEC_MODE_TRANS),
	[IMS_IPSEC_A_BUNDLE_AUTH_ALG] = NLA_POLICY_RANGE(NLA_U32, IMS_IPSEC_AUTH_ALG_HMAC_MD5_96,
							 IMS_IPSEC_AUTH_ALG_HMAC_SHA_1_96),
	[IMS_IPSEC_A_BUNDLE_ENC_ALG] = NLA_POLICY_RANGE(NLA_U32, IMS_IPSEC_ENC_ALG_NULL,
							IMS_IPSEC_ENC_ALG_AES_CBC),
	[IMS_IPSEC_A_BUNDLE_IK] = NLA_POLICY_EXACT_LEN(IMS_IPSEC_KEY_LEN),
	[IMS_IPSEC_A_BUNDLE_CK] = NLA_POLICY_EXACT_LEN(IMS_IPSEC_KEY_LEN),
};

static const struct nla_policy ims_bundle_confirm_policy[IMS_IPSEC_A_BUNDLE_MAX + 1] = {
	[IMS_IPSEC_A_BUNDLE_ID] = NLA_POLICY_MIN(NLA_U32, 1),
	[IMS_IPSEC_A_BUNDLE_LIFETIME] = NLA_POLICY_FULL_RANGE(NLA_U64, &ims_lifetime_range),
};

static const struct nla_policy ims_bundle_del_policy[IMS_IPSEC_A_BUNDLE_MAX + 1] = {
	[IMS_IPSEC_A_BUNDLE_ID] = NLA_POLICY_MIN(NLA_U32, 1),
	[IMS_IPSEC_A_BUNDLE_LINGER] = NLA_POLICY_FULL_RANGE(NLA_U64, &ims_linger_range),
};

static const struct nla_policy ims_bundle_get_policy[IMS_IPSEC_A_BUNDLE_MAX + 1] = {
	[IMS_IPSEC_A_BUNDLE_ID] = NLA_POLICY_MIN(NLA_U32, 1),
	[IMS_IPSEC_A_BUNDLE_ENDPOINT] = NLA_POLICY_MIN(NLA_U32, 1),
	[IMS_IPSEC_A_BUNDLE_OWNER] = NLA_POLICY_RANGE(NLA_BINARY, 1, IMS_IPSEC_OWNER_MAX),
	[IMS_IPSEC_A_BUNDLE_CONTACT] = NLA_POLICY_RANGE(NLA_BINARY, 1, IMS_IPSEC_CONTACT_MAX),
	[IMS_IPSEC_A_BUNDLE_STATE] = NLA_POLICY_RANGE(NLA_U32, IMS_IPSEC_STATE_TEMPORARY,
						      IMS_IPSEC_STATE_OLD),
	[IMS_IPSEC_A_BUNDLE_UE_ADDRESS] = NLA_POLICY_RANGE(NLA_BINARY, 4, 16),
};

/* What identifies a single object, and what selects among many */
#define IMS_ENDPOINT_GET_DO	BIT(IMS_IPSEC_A_ENDPOINT_ID)
#define IMS_ENDPOINT_GET_DUMP	0
#define IMS_BUNDLE_GET_DO	BIT(IMS_IPSEC_A_BUNDLE_ID)
#define IMS_BUNDLE_GET_DUMP	(BIT(IMS_IPSEC_A_BUNDLE_ENDPOINT) |	\
				 BIT(IMS_IPSEC_A_BUNDLE_OWNER) |	\
				 BIT(IMS_IPSEC_A_BUNDLE_CONTACT) |	\
				 BIT(IMS_IPSEC_A_BUNDLE_STATE) |	\
				 BIT(IMS_IPSEC_A_BUNDLE_UE_ADDRESS))

/*
 * The core takes the last of several attributes of a type without a word.
 * @allowed are the types that the request may have, @multi those that it may
 * have more than once.
 */
static int ims_netlink_check_attrs(const struct nlmsghdr *nlh, u32 allowed, u32 multi,
				   struct netlink_ext_ack *extack)
{
	const struct nlattr *nla;
	u32 seen = 0;
	int rem;

	nlmsg_for_each_attr(nla, nlh, GENL_HDRLEN, rem) {
		u32 bit = BIT(nla_type(nla));

		if (!(allowed & bit)) {
			NL_SET_ERR_MSG_ATTR(extack, nla, "attribute has no meaning here");
			return -EINVAL;
		}
		if (seen & bit & ~multi) {
			NL_SET_ERR_MSG_ATTR(extack, nla, "attribute is there twice");
			return -EINVAL;
		}
		seen |= bit;
	}
	return 0;
}

/* @attrs ends with 0, which is no attribute. */
static int ims_netlink_require(struct genl_info *info, const int *attrs)
{
	for (; *attrs; attrs++) {
		if (GENL_REQ_ATTR_CHECK(info, *attrs)) {
			GENL_SET_ERR_MSG(info, "mandatory attribute is missing");
			return -EINVAL;
		}
	}
	return 0;
}

#define IMS_REQUIRE(info, ...) \
	ims_netlink_require(info, (const int []){ __VA_ARGS__, 0 })

static int ims_netlink_get_addr(struct ims_addr *addr, const struct nlattr *nla,
				struct netlink_ext_ack *extack)
{
	int err = ims_addr_set(addr, nla_data(nla), nla_len(nla));

	if (err)
		NL_SET_ERR_MSG_ATTR(extack, nla, "address is neither 4 nor 16 bytes");
	return err;
}

static int ims_netlink_put_addr(struct sk_buff *skb, int attr, const struct ims_addr *addr)
{
	/* both members of the union begin at the same place */
	return nla_put(skb, attr, ims_addr_len(addr), &addr->in6);
}

static struct sk_buff *ims_netlink_reply_new(struct genl_info *info, void **hdr)
{
	struct sk_buff *skb = genlmsg_new(NLMSG_DEFAULT_SIZE, GFP_KERNEL);

	if (!skb)
		return NULL;
	*hdr = genlmsg_put_reply(skb, info, &ims_genl_family, 0, info->genlhdr->cmd);
	if (WARN_ON_ONCE(!*hdr)) {
		nlmsg_free(skb);
		return NULL;
	}
	return skb;
}

static int ims_netlink_reply(struct sk_buff *skb, void *hdr, struct genl_info *info, int err)
{
	/* the buffer was made large enough for any object */
	if (WARN_ON_ONCE(err)) {
		nlmsg_free(skb);
		return err;
	}
	genlmsg_end(skb, hdr);
	return genlmsg_reply(skb, info);
}

/* ---- config ---- */

static int ims_netlink_put_config(struct sk_buff *skb, const struct ims_config *c)
{
	if (nla_put_be32(skb, IMS_IPSEC_A_CONFIG_MIN_SPI, htonl(c->spi.min)) ||
	    nla_put_be32(skb, IMS_IPSEC_A_CONFIG_MAX_SPI, htonl(c->spi.max)) ||
	    nla_put_u64_64bit(skb, IMS_IPSEC_A_CONFIG_TEMPORARY_TIMEOUT, c->temporary_timeout,
			      IMS_IPSEC_A_CONFIG_PAD) ||
	    nla_put_be16(skb, IMS_IPSEC_A_CONFIG_PORT_PC, c->port_pc) ||
	    nla_put_be16(skb, IMS_IPSEC_A_CONFIG_PORT_PS, c->port_ps) ||
	    nla_put_u32(skb, IMS_IPSEC_A_CONFIG_MAX_ENDPOINTS, c->max_endpoints) ||
	    nla_put_u32(skb, IMS_IPSEC_A_CONFIG_MAX_BUNDLES, c->max_bundles) ||
	    nla_put_u32(skb, IMS_IPSEC_A_CONFIG_MAX_PENDING, c->max_pending))
		return -EMSGSIZE;
	return 0;
}

static int ims_netlink_config_get(struct sk_buff *skb, struct genl_info *info)
{
	struct ims_net *in = ims_net(genl_info_net(info));
	struct sk_buff *reply;
	void *hdr;
	int err;

	reply = ims_netlink_reply_new(info, &hdr);
	if (!reply)
		return -ENOMEM;
	mutex_lock(&in->lock);
	err = ims_netlink_put_config(reply, &in->config);
	mutex_unlock(&in->lock);
	return ims_netlink_reply(reply, hdr, info, err);
}

static int ims_netlink_config_set(struct sk_buff *skb, struct genl_info *info)
{
	struct ims_net *in = ims_net(genl_info_net(info));
	struct nlattr **a = info->attrs;
	struct ims_config c;
	int err;

	if (!nlmsg_attrlen(info->nlhdr, GENL_HDRLEN)) {
		GENL_SET_ERR_MSG(info, "nothing to set");
		return -EINVAL;
	}
	err = ims_netlink_check_attrs(info->nlhdr, ~0U, 0, info->extack);
	if (err)
		return err;

	mutex_lock(&in->lock);
	c = in->config;
	if (a[IMS_IPSEC_A_CONFIG_MIN_SPI])
		c.spi.min = ntohl(nla_get_be32(a[IMS_IPSEC_A_CONFIG_MIN_SPI]));
	if (a[IMS_IPSEC_A_CONFIG_MAX_SPI])
		c.spi.max = ntohl(nla_get_be32(a[IMS_IPSEC_A_CONFIG_MAX_SPI]));
	if (a[IMS_IPSEC_A_CONFIG_TEMPORARY_TIMEOUT])
		c.temporary_timeout = nla_get_u64(a[IMS_IPSEC_A_CONFIG_TEMPORARY_TIMEOUT]);
	if (a[IMS_IPSEC_A_CONFIG_PORT_PC])
		c.port_pc = nla_get_be16(a[IMS_IPSEC_A_CONFIG_PORT_PC]);
	if (a[IMS_IPSEC_A_CONFIG_PORT_PS])
		c.port_ps = nla_get_be16(a[IMS_IPSEC_A_CONFIG_PORT_PS]);
	if (a[IMS_IPSEC_A_CONFIG_MAX_ENDPOINTS])
		c.max_endpoints = nla_get_u32(a[IMS_IPSEC_A_CONFIG_MAX_ENDPOINTS]);
	if (a[IMS_IPSEC_A_CONFIG_MAX_BUNDLES])
		c.max_bundles = nla_get_u32(a[IMS_IPSEC_A_CONFIG_MAX_BUNDLES]);
	if (a[IMS_IPSEC_A_CONFIG_MAX_PENDING])
		c.max_pending = nla_get_u32(a[IMS_IPSEC_A_CONFIG_MAX_PENDING]);
	err = ims_config_check(&c, info->extack);
	if (!err)
		in->config = c;
	mutex_unlock(&in->lock);
	return err;
}

/* ---- endpoint ---- */

static int ims_netlink_put_endpoint(struct sk_buff *skb, const struct ims_endpoint *ep)
{
	unsigned int i;

	if (nla_put_u32(skb, IMS_IPSEC_A_ENDPOINT_ID, ep->id) ||
	    ims_netlink_put_addr(skb, IMS_IPSEC_A_ENDPOINT_ADDRESS, &ep->addr) ||
	    nla_put_be16(skb, IMS_IPSEC_A_ENDPOINT_PORT_PS, ep->ports.port[0]))
		return -EMSGSIZE;
	for (i = 1; i < ep->ports.n; i++)
		if (nla_put_be16(skb, IMS_IPSEC_A_ENDPOINT_PORT_PC, ep->ports.port[i]))
			return -EMSGSIZE;
	if (nla_put_u32(skb, IMS_IPSEC_A_ENDPOINT_BUNDLES, ep->n_bundles) ||
	    nla_put_u64_64bit(skb, IMS_IPSEC_A_ENDPOINT_DROP_PLAINTEXT_IN,
			      atomic64_read(&ep->drops[IMS_DROP_PLAINTEXT_IN]),
			      IMS_IPSEC_A_ENDPOINT_PAD) ||
	    nla_put_u64_64bit(skb, IMS_IPSEC_A_ENDPOINT_DROP_PLAINTEXT_OUT,
			      atomic64_read(&ep->drops[IMS_DROP_PLAINTEXT_OUT]),
			      IMS_IPSEC_A_ENDPOINT_PAD) ||
	    nla_put_u64_64bit(skb, IMS_IPSEC_A_ENDPOINT_DROP_FOREIGN_SA,
			      atomic64_read(&ep->drops[IMS_DROP_FOREIGN_SA]),
			      IMS_IPSEC_A_ENDPOINT_PAD))
		return -EMSGSIZE;
	return 0;
}

/* The endpoint that a request names; under struct ims_net.lock. */
static struct ims_endpoint *ims_netlink_find_endpoint(struct ims_net *in,
						      const struct nlattr *id,
						      struct netlink_ext_ack *extack)
{
	struct ims_endpoint *ep = xa_load(&in->endpoints, nla_get_u32(id));

	if (!ep)
		NL_SET_ERR_MSG_ATTR_FMT(extack, id, "no endpoint has id %u", nla_get_u32(id));
	return ep;
}

static int ims_netlink_get_ports(struct ims_ports *ports, const struct ims_config *config,
				 struct genl_info *info)
{
	const struct nlattr *ps = info->attrs[IMS_IPSEC_A_ENDPOINT_PORT_PS];
	const struct nlattr *nla;
	int rem;

	ports->port[0] = ps ? nla_get_be16(ps) : config->port_ps;
	ports->n = 1;
	nlmsg_for_each_attr(nla, info->nlhdr, GENL_HDRLEN, rem) {
		if (nla_type(nla) != IMS_IPSEC_A_ENDPOINT_PORT_PC)
			continue;
		if (ports->n > IMS_IPSEC_PORT_PC_MAX) {
			NL_SET_ERR_MSG_ATTR(info->extack, nla, "more than 64 client ports");
			return -EINVAL;
		}
		ports->port[ports->n++] = nla_get_be16(nla);
	}
	if (ports->n == 1)
		ports->port[ports->n++] = config->port_pc;
	return 0;
}

static int ims_netlink_endpoint_new(struct sk_buff *skb, struct genl_info *info)
{
	struct ims_net *in = ims_net(genl_info_net(info));
	struct ims_endpoint *ep;
	struct ims_ports ports;
	struct sk_buff *reply;
	struct ims_addr addr;
	void *hdr;
	int err;

	err = ims_netlink_check_attrs(info->nlhdr, ~0U, BIT(IMS_IPSEC_A_ENDPOINT_PORT_PC),
				      info->extack);
	if (!err)
		err = IMS_REQUIRE(info, IMS_IPSEC_A_ENDPOINT_ADDRESS);
	if (!err)
		err = ims_netlink_get_addr(&addr, info->attrs[IMS_IPSEC_A_ENDPOINT_ADDRESS],
					   info->extack);
	if (err)
		return err;

	/* the answer before the deed: what follows it cannot fail for memory */
	reply = ims_netlink_reply_new(info, &hdr);
	if (!reply)
		return -ENOMEM;

	mutex_lock(&in->lock);
	err = ims_netlink_get_ports(&ports, &in->config, info);
	if (err)
		goto unlock;
	ep = ims_endpoint_create(in, &addr, &ports, info->extack);
	if (IS_ERR(ep)) {
		err = PTR_ERR(ep);
		goto unlock;
	}
	err = ims_netlink_put_endpoint(reply, ep);
	mutex_unlock(&in->lock);
	return ims_netlink_reply(reply, hdr, info, err);

unlock:
	mutex_unlock(&in->lock);
	nlmsg_free(reply);
	return err;
}

static int ims_netlink_endpoint_del(struct sk_buff *skb, struct genl_info *info)
{
	struct ims_net *in = ims_net(genl_info_net(info));
	struct ims_endpoint *ep;
	int err;

	err = ims_netlink_check_attrs(info->nlhdr, ~0U, 0, info->extack);
	if (!err)
		err = IMS_REQUIRE(info, IMS_IPSEC_A_ENDPOINT_ID);
	if (err)
		return err;

	mutex_lock(&in->lock);
	ep = ims_netlink_find_endpoint(in, info->attrs[IMS_IPSEC_A_ENDPOINT_ID], info->extack);
	if (!ep) {
		err = -ENOENT;
	} else if (ep->n_bundles && !info->attrs[IMS_IPSEC_A_ENDPOINT_FORCE]) {
		NL_SET_ERR_MSG_FMT(info->extack, "endpoint %u still has bundles: %u", ep->id,
				   ep->n_bundles);
		err = -EBUSY;
	} else {
		ims_bundle_delete_all(in, ep);
		ims_endpoint_delete(in, ep);
	}
	mutex_unlock(&in->lock);
	return err;
}

static int ims_netlink_endpoint_get(struct sk_buff *skb, struct genl_info *info)
{
	struct ims_net *in = ims_net(genl_info_net(info));
	struct ims_endpoint *ep;
	struct sk_buff *reply;
	void *hdr;
	int err;

	err = ims_netlink_check_attrs(info->nlhdr, IMS_ENDPOINT_GET_DO, 0, info->extack);
	if (!err)
		err = IMS_REQUIRE(info, IMS_IPSEC_A_ENDPOINT_ID);
	if (err)
		return err;

	reply = ims_netlink_reply_new(info, &hdr);
	if (!reply)
		return -ENOMEM;
	mutex_lock(&in->lock);
	ep = ims_netlink_find_endpoint(in, info->attrs[IMS_IPSEC_A_ENDPOINT_ID], info->extack);
	err = ep ? ims_netlink_put_endpoint(reply, ep) : -ENOENT;
	mutex_unlock(&in->lock);
	if (!ep) {
		nlmsg_free(reply);
		return err;
	}
	return ims_netlink_reply(reply, hdr, info, err);
}

static int ims_netlink_endpoint_start(struct netlink_callback *cb)
{
	return ims_netlink_check_attrs(cb->nlh, IMS_ENDPOINT_GET_DUMP, 0, cb->extack);
}

static void *ims_netlink_put_dump_header(struct sk_buff *skb, struct netlink_callback *cb, u8 cmd)
{
	return genlmsg_put(skb, NETLINK_CB(cb->skb).portid, cb->nlh->nlmsg_seq, &ims_genl_family,
			   NLM_F_MULTI, cmd);
}

static int ims_netlink_endpoint_dump(struct sk_buff *skb, struct netlink_callback *cb)
{
	struct ims_net *in = ims_net(sock_net(skb->sk));
	struct ims_endpoint *ep;
	/* resumes at an id, so that what comes and goes meanwhile does no harm */
	unsigned long id = cb->args[0];
	void *hdr;

	mutex_lock(&in->lock);
	xa_for_each_start(&in->endpoints, id, ep, id) {
		hdr = ims_netlink_put_dump_header(skb, cb, IMS_IPSEC_CMD_ENDPOINT_GET);
		if (!hdr)
			break;
		if (ims_netlink_put_endpoint(skb, ep)) {
			genlmsg_cancel(skb, hdr);
			break;
		}
		genlmsg_end(skb, hdr);
	}
	mutex_unlock(&in->lock);
	cb->args[0] = ep ? id : ULONG_MAX;
	return skb->len;
}

/* ---- bundle ---- */

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
	const int pad = IMS_IPSEC_A_BUNDLE_PAD;
	struct ims_bundle_counters c;

	ims_bundle_count(b, &c);
	if (nla_put_u32(skb, IMS_IPSEC_A_BUNDLE_ID, b->id) ||
	    nla_put_u32(skb, IMS_IPSEC_A_BUNDLE_ENDPOINT, b->ep->id) ||
	    nla_put(skb, IMS_IPSEC_A_BUNDLE_OWNER, b->owner_len, ims_bundle_owner(b)) ||
	    nla_put(skb, IMS_IPSEC_A_BUNDLE_CONTACT, b->contact_len, ims_bundle_contact(b)) ||
	    nla_put_u32(skb, IMS_IPSEC_A_BUNDLE_STATE, b->state) ||
	    ims_netlink_put_addr(skb, IMS_IPSEC_A_BUNDLE_ADDRESS, &b->ep->addr) ||
	    nla_put_be16(skb, IMS_IPSEC_A_BUNDLE_PORT_PC, b->port_pc) ||
	    nla_put_be16(skb, IMS_IPSEC_A_BUNDLE_PORT_PS, b->ep->ports.port[0]) ||
	    nla_put_be32(skb, IMS_IPSEC_A_BUNDLE_SPI_PC, b->spi_pc) ||
	    nla_put_be32(skb, IMS_IPSEC_A_BUNDLE_SPI_PS, b->spi_ps) ||
	    ims_netlink_put_addr(skb, IMS_IPSEC_A_BUNDLE_UE_ADDRESS, &b->ue_addr) ||
	    nla_put_be16(skb, IMS_IPSEC_A_BUNDLE_PORT_UC, b->port_uc) ||
	    nla_put_be16(skb, IMS_IPSEC_A_BUNDLE_PORT_US, b->port_us) ||
	    nla_put_be32(skb, IMS_IPSEC_A_BUNDLE_SPI_UC, b->spi_uc) ||
	    nla_put_be32(skb, IMS_IPSEC_A_BUNDLE_SPI_US, b->spi_us) ||
	    nla_put_u32(skb, IMS_IPSEC_A_BUNDLE_MODE, b->mode) ||
	    nla_put_u32(skb, IMS_IPSEC_A_BUNDLE_AUTH_ALG, b->auth_alg) ||
	    nla_put_u32(skb, IMS_IPSEC_A_BUNDLE_ENC_ALG, b->enc_alg) ||
	    nla_put_u64_64bit(skb, IMS_IPSEC_A_BUNDLE_LIFETIME, ims_bundle_remaining(b), pad) ||
	    nla_put_u64_64bit(skb, IMS_IPSEC_A_BUNDLE_RX_PACKETS, c.rx_packets, pad) ||
	    nla_put_u64_64bit(skb, IMS_IPSEC_A_BUNDLE_RX_BYTES, c.rx_bytes, pad) ||
	    nla_put_u64_64bit(skb, IMS_IPSEC_A_BUNDLE_TX_PACKETS, c.tx_packets, pad) ||
	    nla_put_u64_64bit(skb, IMS_IPSEC_A_BUNDLE_TX_BYTES, c.tx_bytes, pad))
		return -EMSGSIZE;
	return 0;
}

/* The bundle that a request names; under struct ims_net.lock. */
static struct ims_bundle *ims_netlink_find_bundle(struct ims_net *in, const struct nlattr *id,
						  struct netlink_ext_ack *extack)
{
	struct ims_bundle *b = xa_load(&in->bundles, nla_get_u32(id));

	if (!b)
		NL_SET_ERR_MSG_ATTR_FMT(extack, id, "no bundle has id %u", nla_get_u32(id));
	return b;
}

static int ims_netlink_get_bundle_params(struct ims_bundle_params *p, struct genl_info *info)
{
	struct nlattr **a = info->attrs;
	int err;

	err = ims_netlink_check_attrs(info->nlhdr, ~0U, 0, info->extack);
	if (!err)
		err = IMS_REQUIRE(info, IMS_IPSEC_A_BUNDLE_ENDPOINT, IMS_IPSEC_A_BUNDLE_OWNER,
				  IMS_IPSEC_A_BUNDLE_CONTACT, IMS_IPSEC_A_BUNDLE_UE_ADDRESS,
				  IMS_IPSEC_A_BUNDLE_PORT_UC, IMS_IPSEC_A_BUNDLE_PORT_US,
				  IMS_IPSEC_A_BUNDLE_SPI_UC, IMS_IPSEC_A_BUNDLE_SPI_US,
				  IMS_IPSEC_A_BUNDLE_AUTH_ALG, IMS_IPSEC_A_BUNDLE_ENC_ALG,
				  IMS_IPSEC_A_BUNDLE_IK, IMS_IPSEC_A_BUNDLE_CK);
	if (!err)
		err = ims_netlink_get_addr(&p->ue_addr, a[IMS_IPSEC_A_BUNDLE_UE_ADDRESS],
					   info->extack);
	if (err)
		return err;

	p->port_uc = nla_get_be16(a[IMS_IPSEC_A_BUNDLE_PORT_UC]);
	p->port_us = nla_get_be16(a[IMS_IPSEC_A_BUNDLE_PORT_US]);
	if (a[IMS_IPSEC_A_BUNDLE_PORT_PC])
		p->port_pc = nla_get_be16(a[IMS_IPSEC_A_BUNDLE_PORT_PC]);
	p->spi_uc = nla_get_be32(a[IMS_IPSEC_A_BUNDLE_SPI_UC]);
	p->spi_us = nla_get_be32(a[IMS_IPSEC_A_BUNDLE_SPI_US]);
	p->mode = IMS_IPSEC_MODE_TRANS;
	if (a[IMS_IPSEC_A_BUNDLE_MODE])
		p->mode = nla_get_u32(a[IMS_IPSEC_A_BUNDLE_MODE]);
	p->auth_alg = nla_get_u32(a[IMS_IPSEC_A_BUNDLE_AUTH_ALG]);
	p->enc_alg = nla_get_u32(a[IMS_IPSEC_A_BUNDLE_ENC_ALG]);
	p->owner = nla_data(a[IMS_IPSEC_A_BUNDLE_OWNER]);
	p->owner_len = nla_len(a[IMS_IPSEC_A_BUNDLE_OWNER]);
	p->contact = nla_data(a[IMS_IPSEC_A_BUNDLE_CONTACT]);
	p->contact_len = nla_len(a[IMS_IPSEC_A_BUNDLE_CONTACT]);
	p->ik = nla_data(a[IMS_IPSEC_A_BUNDLE_IK]);
	p->ck = nla_data(a[IMS_IPSEC_A_BUNDLE_CK]);
	return 0;
}

static int __ims_netlink_bundle_new(struct genl_info *info)
{
	struct ims_net *in = ims_net(genl_info_net(info));
	struct ims_bundle_params p = {};
	struct ims_endpoint *ep;
	struct sk_buff *reply;
	struct ims_bundle *b;
	void *hdr;
	int err;

	err = ims_netlink_get_bundle_params(&p, info);
	if (err)
		return err;

	reply = ims_netlink_reply_new(info, &hdr);
	if (!reply)
		return -ENOMEM;

	mutex_lock(&in->lock);
	ep = ims_netlink_find_endpoint(in, info->attrs[IMS_IPSEC_A_BUNDLE_ENDPOINT],
				       info->extack);
	if (!ep) {
		err = -ENOENT;
		goto unlock;
	}
	b = ims_bundle_create(in, ep, &p, info->extack);
	if (IS_ERR(b)) {
		err = PTR_ERR(b);
		goto unlock;
	}
	err = ims_netlink_put_bundle(reply, b);
	mutex_unlock(&in->lock);
	return ims_netlink_reply(reply, hdr, info, err);

unlock:
	mutex_unlock(&in->lock);
	nlmsg_free(reply);
	return err;
}

static int ims_netlink_bundle_new(struct sk_buff *skb, struct genl_info *info)
{
	int err = __ims_netlink_bundle_new(info);
	const int keys[] = { IMS_IPSEC_A_BUNDLE_IK, IMS_IPSEC_A_BUNDLE_CK };
	size_t i;

	/* the request's buffer is freed, or sent back with an error, as it is */
	for (i = 0; i < ARRAY_SIZE(keys); i++) {
		struct nlattr *nla = info->attrs[keys[i]];

		if (nla)
			memzero_explicit(nla_data(nla), nla_len(nla));
	}
	return err;
}

static int ims_netlink_bundle_confirm(struct sk_buff *skb, struct genl_info *info)
{
	struct ims_net *in = ims_net(genl_info_net(info));
	struct ims_bundle *b;
	u64 lifetime;
	int err;

	err = ims_netlink_check_attrs(info->nlhdr, ~0U, 0, info->extack);
	if (!err)
		err = IMS_REQUIRE(info, IMS_IPSEC_A_BUNDLE_ID, IMS_IPSEC_A_BUNDLE_LIFETIME);
	if (err)
		return err;
	lifetime = nla_get_u64(info->attrs[IMS_IPSEC_A_BUNDLE_LIFETIME]);

	mutex_lock(&in->lock);
	b = ims_netlink_find_bundle(in, info->attrs[IMS_IPSEC_A_BUNDLE_ID], info->extack);
	err = b ? ims_bundle_confirm(b, lifetime, info->extack) : -ENOENT;
	mutex_unlock(&in->lock);
	return err;
}

static int ims_netlink_bundle_del(struct sk_buff *skb, struct genl_info *info)
{
	struct ims_net *in = ims_net(genl_info_net(info));
	struct nlattr *attr;
	struct ims_bundle *b;
	u64 linger = 0;
	int err;

	err = ims_netlink_check_attrs(info->nlhdr, ~0U, 0, info->extack);
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

static int ims_netlink_bundle_get(struct sk_buff *skb, struct genl_info *info)
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

	reply = ims_netlink_reply_new(info, &hdr);
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

static int ims_netlink_bundle_start(struct netlink_callback *cb)
{
	struct nlattr **a = ims_compat_dump_attrs(cb);
	struct ims_addr addr;
	int err;

	err = ims_netlink_check_attrs(cb->nlh, IMS_BUNDLE_GET_DUMP, 0, cb->extack);
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
	if (a[IMS_IPSEC_A_BUNDLE_ENDPOINT] &&
	    nla_get_u32(a[IMS_IPSEC_A_BUNDLE_ENDPOINT]) != b->ep->id)
		return false;
	if (a[IMS_IPSEC_A_BUNDLE_STATE] && nla_get_u32(a[IMS_IPSEC_A_BUNDLE_STATE]) != b->state)
		return false;
	if (a[IMS_IPSEC_A_BUNDLE_OWNER] &&
	    !ims_netlink_bytes_match(a[IMS_IPSEC_A_BUNDLE_OWNER], ims_bundle_owner(b),
				     b->owner_len))
		return false;
	if (a[IMS_IPSEC_A_BUNDLE_CONTACT] &&
	    !ims_netlink_bytes_match(a[IMS_IPSEC_A_BUNDLE_CONTACT], ims_bundle_contact(b),
				     b->contact_len))
		return false;
	if (a[IMS_IPSEC_A_BUNDLE_UE_ADDRESS] &&
	    !ims_netlink_bytes_match(a[IMS_IPSEC_A_BUNDLE_UE_ADDRESS], (const u8 *)&b->ue_addr.in6,
				     ims_addr_len(&b->ue_addr)))
		return false;
	return true;
}

static int ims_netlink_bundle_dump(struct sk_buff *skb, struct netlink_callback *cb)
{
	struct nlattr **attrs = ims_compat_dump_attrs(cb);
	struct ims_net *in = ims_net(sock_net(skb->sk));
	unsigned long id = cb->args[0];
	struct ims_bundle *b;
	void *hdr;

	mutex_lock(&in->lock);
	xa_for_each_start(&in->bundles, id, b, id) {
		if (!ims_netlink_bundle_matches(b, attrs))
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
	cb->args[0] = b ? id : ULONG_MAX;
	return skb->len;
}

/* ---- the family ---- */

static const struct genl_ops ims_genl_ops[] = {
	{
		.cmd = IMS_IPSEC_CMD_CONFIG_GET,
		.flags = GENL_UNS_ADMIN_PERM,
		.policy = ims_config_get_policy,
		.maxattr = ARRAY_SIZE(ims_config_get_policy) - 1,
		.doit = ims_netlink_config_get,
	},
	{
		.cmd = IMS_IPSEC_CMD_CONFIG_SET,
		.flags = GENL_UNS_ADMIN_PERM,
		.policy = ims_config_set_policy,
		.maxattr = ARRAY_SIZE(ims_config_set_policy) - 1,
		.doit = ims_netlink_config_set,
	},
	{
		.cmd = IMS_IPSEC_CMD_ENDPOINT_NEW,
		.flags = GENL_UNS_ADMIN_PERM,
		.policy = ims_endpoint_new_policy,
		.maxattr = ARRAY_SIZE(ims_endpoint_new_policy) - 1,
		.doit = ims_netlink_endpoint_new,
	},
	{
		.cmd = IMS_IPSEC_CMD_ENDPOINT_DEL,
		.flags = GENL_UNS_ADMIN_PERM,
		.policy = ims_endpoint_del_policy,
		.maxattr = ARRAY_SIZE(ims_endpoint_del_policy) - 1,
		.doit = ims_netlink_endpoint_del,
	},
	{
		.cmd = IMS_IPSEC_CMD_ENDPOINT_GET,
		.flags = GENL_UNS_ADMIN_PERM,
		.policy = ims_endpoint_get_policy,
		.maxattr = ARRAY_SIZE(ims_endpoint_get_policy) - 1,
		.doit = ims_netlink_endpoint_get,
		.start = ims_netlink_endpoint_start,
		.dumpit = ims_netlink_endpoint_dump,
	},
	{
		.cmd = IMS_IPSEC_CMD_BUNDLE_NEW,
		.flags = GENL_UNS_ADMIN_PERM,
		.policy = ims_bundle_new_policy,
		.maxattr = ARRAY_SIZE(ims_bundle_new_policy) - 1,
		.doit = ims_netlink_bundle_new,
	},
	{
		.cmd = IMS_IPSEC_CMD_BUNDLE_CONFIRM,
		.flags = GENL_UNS_ADMIN_PERM,
		.policy = ims_bundle_confirm_policy,
		.maxattr = ARRAY_SIZE(ims_bundle_confirm_policy) - 1,
		.doit = ims_netlink_bundle_confirm,
	},
	{
		.cmd = IMS_IPSEC_CMD_BUNDLE_DEL,
		.flags = GENL_UNS_ADMIN_PERM,
		.policy = ims_bundle_del_policy,
		.maxattr = ARRAY_SIZE(ims_bundle_del_policy) - 1,
		.doit = ims_netlink_bundle_del,
	},
	{
		.cmd = IMS_IPSEC_CMD_BUNDLE_GET,
		.flags = GENL_UNS_ADMIN_PERM,
		.policy = ims_bundle_get_policy,
		.maxattr = ARRAY_SIZE(ims_bundle_get_policy) - 1,
		.doit = ims_netlink_bundle_get,
		.start = ims_netlink_bundle_start,
		.dumpit = ims_netlink_bundle_dump,
	},
};

static const struct genl_multicast_group ims_genl_groups[] = {
	/* its events carry identities */
	[IMS_MCGRP_EVENTS] = {
		.name = IMS_IPSEC_MCGRP_EVENTS,
		.flags = GENL_MCAST_CAP_NET_ADMIN,
	},
};

struct genl_family ims_genl_family __ro_after_init = {
	.name = IMS_IPSEC_FAMILY_NAME,
	.version = IMS_IPSEC_FAMILY_VERSION,
	.module = THIS_MODULE,
	.netnsok = true,
	/* the namespace's lock is all that requests share */
	.parallel_ops = true,
	.ops = ims_genl_ops,
	.n_ops = ARRAY_SIZE(ims_genl_ops),
	.resv_start_op = IMS_IPSEC_CMD_CONFIG_GET,
	.mcgrps = ims_genl_groups,
	.n_mcgrps = ARRAY_SIZE(ims_genl_groups),
};

/**
 * ims_netlink_init() - register the family
 *
 * Return: 0 or a negative errno.
 */
int __init ims_netlink_init(void)
{
	return genl_register_family(&ims_genl_family);
}

/**
 * ims_netlink_exit() - unregister the family; no request runs when it returns
 */
void ims_netlink_exit(void)
{
	genl_unregister_family(&ims_genl_family);
}
