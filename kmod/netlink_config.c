// SPDX-License-Identifier: GPL-2.0-only
/* Requests about the configuration. */
#include "compat.h"
#include "netlink.h"
#include "netns.h"

static struct netlink_range_validation ims_timeout_range = {
	.min = IMS_IPSEC_TIMEOUT_MIN,
	.max = IMS_IPSEC_TIMEOUT_MAX,
};

const struct nla_policy ims_config_get_policy[IMS_IPSEC_A_CONFIG_MAX + 1] = {};

const struct nla_policy ims_config_set_policy[IMS_IPSEC_A_CONFIG_MAX + 1] = {
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

int ims_netlink_config_get(struct sk_buff *skb, struct genl_info *info)
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

int ims_netlink_config_set(struct sk_buff *skb, struct genl_info *info)
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
