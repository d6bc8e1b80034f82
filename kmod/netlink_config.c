// SPDX-License-Identifier: GPL-2.0-only
/* Requests about the configuration. */
#include <linux/bits.h>

#include "compat.h"
#include "limit.h"
#include "netlink.h"
#include "netns.h"

static int ims_netlink_put_algs(struct sk_buff *skb, const struct ims_alg_prefs *algs)
{
	char allowed[IMS_IPSEC_ALGORITHMS_MAX];

	ims_alg_list_format(&algs->allowed, allowed, sizeof(allowed));
	if (nla_put_string(skb, IMS_IPSEC_A_CONFIG_ALLOWED_ALGORITHMS, allowed) ||
	    nla_put_u32(skb, IMS_IPSEC_A_CONFIG_PREFERRED_ALG, algs->preferred_alg) ||
	    nla_put_u32(skb, IMS_IPSEC_A_CONFIG_PREFERRED_EALG, algs->preferred_ealg) ||
	    nla_put_u8(skb, IMS_IPSEC_A_CONFIG_DISABLE_DEPRECATED_ALGORITHMS,
		       algs->disable_deprecated))
		return -EMSGSIZE;
	return 0;
}

static int ims_netlink_put_port_pc(struct sk_buff *skb, const struct ims_config *c)
{
	unsigned int i;

	for (i = 0; i < c->n_port_pc; i++)
		if (nla_put_be16(skb, IMS_IPSEC_A_CONFIG_PORT_PC, c->port_pc[i]))
			return -EMSGSIZE;
	return 0;
}

static int ims_netlink_put_config(struct sk_buff *skb, const struct ims_config *c)
{
	if (nla_put_be32(skb, IMS_IPSEC_A_CONFIG_MIN_SPI, htonl(c->spi.min)) ||
	    nla_put_be32(skb, IMS_IPSEC_A_CONFIG_MAX_SPI, htonl(c->spi.max)) ||
	    nla_put_u64_64bit(skb, IMS_IPSEC_A_CONFIG_TEMPORARY_TIMEOUT, c->temporary_timeout,
			      IMS_IPSEC_A_CONFIG_PAD) ||
	    nla_put_be16(skb, IMS_IPSEC_A_CONFIG_PORT_PS, c->port_ps) ||
	    nla_put_u32(skb, IMS_IPSEC_A_CONFIG_MAX_ENDPOINTS, c->max_endpoints) ||
	    nla_put_u32(skb, IMS_IPSEC_A_CONFIG_MAX_BUNDLES, c->max_bundles) ||
	    nla_put_u32(skb, IMS_IPSEC_A_CONFIG_MAX_PENDING, c->max_pending) ||
	    nla_put_u32(skb, IMS_IPSEC_A_CONFIG_MAX_SETS, c->max_sets) ||
	    nla_put_u64_64bit(skb, IMS_IPSEC_A_CONFIG_OLD_TIMEOUT, c->old_timeout,
			      IMS_IPSEC_A_CONFIG_PAD) ||
	    nla_put_u64_64bit(skb, IMS_IPSEC_A_CONFIG_IDLE_TIMEOUT, c->idle_timeout,
			      IMS_IPSEC_A_CONFIG_PAD) ||
	    nla_put_u32(skb, IMS_IPSEC_A_CONFIG_MARK_MASK, c->mark_mask) ||
	    nla_put_u8(skb, IMS_IPSEC_A_CONFIG_NAT_TRAVERSAL, c->nat) ||
	    nla_put_be16(skb, IMS_IPSEC_A_CONFIG_NAT_PORT, c->nat_port) ||
	    nla_put_u8(skb, IMS_IPSEC_A_CONFIG_NAT_FOLLOW_ADDRESS, c->nat_follow_address) ||
	    nla_put_string(skb, IMS_IPSEC_A_CONFIG_HW_OFFLOAD_INTERFACE, c->hw.ifname) ||
	    nla_put_u32(skb, IMS_IPSEC_A_CONFIG_HW_OFFLOAD, c->hw.mode) ||
	    nla_put_u8(skb, IMS_IPSEC_A_CONFIG_HW_OFFLOAD_REQUIRED, c->hw.required))
		return -EMSGSIZE;
	return ims_netlink_put_port_pc(skb, c) ?: ims_netlink_put_algs(skb, &c->algs);
}

/* The attribute is there once for each port; in place of all that there were. */
static int ims_netlink_get_port_pc(struct ims_config *c, const struct nlmsghdr *nlh,
				   struct netlink_ext_ack *extack)
{
	const struct nlattr *nla;
	unsigned int n = 0;
	int rem;

	nlmsg_for_each_attr(nla, nlh, GENL_HDRLEN, rem) {
		if (nla_type(nla) != IMS_IPSEC_A_CONFIG_PORT_PC)
			continue;
		if (n == IMS_IPSEC_PORT_PC_MAX) {
			NL_SET_ERR_MSG_ATTR(extack, nla, "more than 64 client ports");
			return -EINVAL;
		}
		c->port_pc[n++] = nla_get_be16(nla);
	}
	if (n)
		c->n_port_pc = n;
	return 0;
}

int ims_ipsec_nl_config_get_doit(struct sk_buff *skb, struct genl_info *info)
{
	struct ims_net *in = ims_net(genl_info_net(info));
	struct sk_buff *reply;
	void *hdr;
	int err;

	reply = ims_netlink_reply_new(info, NLMSG_DEFAULT_SIZE, &hdr);
	if (!reply)
		return -ENOMEM;
	mutex_lock(&in->lock);
	err = ims_netlink_put_config(reply, &in->config);
	mutex_unlock(&in->lock);
	return ims_netlink_reply(reply, hdr, info, err);
}

static int ims_netlink_get_algs(struct ims_alg_prefs *algs, struct nlattr **a,
				struct netlink_ext_ack *extack)
{
	const struct nlattr *nla = a[IMS_IPSEC_A_CONFIG_ALLOWED_ALGORITHMS];
	int err;

	if (nla) {
		err = ims_netlink_get_alg_list(&algs->allowed, nla, extack);
		if (err)
			return err;
	}
	if (a[IMS_IPSEC_A_CONFIG_PREFERRED_ALG])
		algs->preferred_alg = nla_get_u32(a[IMS_IPSEC_A_CONFIG_PREFERRED_ALG]);
	if (a[IMS_IPSEC_A_CONFIG_PREFERRED_EALG])
		algs->preferred_ealg = nla_get_u32(a[IMS_IPSEC_A_CONFIG_PREFERRED_EALG]);
	nla = a[IMS_IPSEC_A_CONFIG_DISABLE_DEPRECATED_ALGORITHMS];
	if (nla)
		algs->disable_deprecated = nla_get_u8(nla);
	return 0;
}

static int ims_netlink_get_config_offload(struct ims_offload_wish *wish, struct nlattr **a,
					  struct netlink_ext_ack *extack)
{
	const struct nlattr *hw[IMS_OFFLOAD_ATTRS] = {
		[IMS_OFFLOAD_ATTR_INTERFACE] = a[IMS_IPSEC_A_CONFIG_HW_OFFLOAD_INTERFACE],
		[IMS_OFFLOAD_ATTR_MODE] = a[IMS_IPSEC_A_CONFIG_HW_OFFLOAD],
		[IMS_OFFLOAD_ATTR_REQUIRED] = a[IMS_IPSEC_A_CONFIG_HW_OFFLOAD_REQUIRED],
	};

	return ims_netlink_get_offload(wish, hw, extack);
}

static int ims_netlink_check_mark_mask(const struct ims_net *in, u32 mask,
				       struct netlink_ext_ack *extack)
{
	if (mask == in->config.mark_mask || !in->n_bundles)
		return 0;
	/* two of them could have one mark */
	NL_SET_ERR_MSG(extack, "mark_mask cannot change while there are bundles");
	return -EBUSY;
}

/*
 * Who administers a namespace may be root of a user namespace of its own, as anybody can become.
 * What it takes of the host's memory is the host's to say.
 */
static int ims_netlink_check_limits(struct sk_buff *skb, const struct ims_config *was,
				    const struct ims_config *c, struct netlink_ext_ack *extack)
{
	if (!ims_config_raises_limits(c, was) || netlink_capable(skb, CAP_NET_ADMIN))
		return 0;
	NL_SET_ERR_MSG(extack,
		       "a limit above the module's parameter takes CAP_NET_ADMIN of the host");
	return -EPERM;
}

/* Does it come to be looked at earlier whether a bundle is idle? */
static bool ims_netlink_is_idle_earlier(u64 was, u64 is)
{
	return is && (!was || is < was);
}

int ims_ipsec_nl_config_set_doit(struct sk_buff *skb, struct genl_info *info)
{
	struct ims_net *in = ims_net(genl_info_net(info));
	struct nlattr **a = info->attrs;
	struct ims_config c;
	int err;

	if (!nlmsg_attrlen(info->nlhdr, GENL_HDRLEN)) {
		GENL_SET_ERR_MSG(info, "nothing to set");
		return -EINVAL;
	}
	err = ims_netlink_check_attrs(info->nlhdr, ~0ULL, BIT(IMS_IPSEC_A_CONFIG_PORT_PC),
				      info->extack);
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
	if (a[IMS_IPSEC_A_CONFIG_PORT_PS])
		c.port_ps = nla_get_be16(a[IMS_IPSEC_A_CONFIG_PORT_PS]);
	if (a[IMS_IPSEC_A_CONFIG_MAX_ENDPOINTS])
		c.max_endpoints = nla_get_u32(a[IMS_IPSEC_A_CONFIG_MAX_ENDPOINTS]);
	if (a[IMS_IPSEC_A_CONFIG_MAX_BUNDLES])
		c.max_bundles = nla_get_u32(a[IMS_IPSEC_A_CONFIG_MAX_BUNDLES]);
	if (a[IMS_IPSEC_A_CONFIG_MAX_PENDING])
		c.max_pending = nla_get_u32(a[IMS_IPSEC_A_CONFIG_MAX_PENDING]);
	if (a[IMS_IPSEC_A_CONFIG_MAX_SETS])
		c.max_sets = nla_get_u32(a[IMS_IPSEC_A_CONFIG_MAX_SETS]);
	if (a[IMS_IPSEC_A_CONFIG_OLD_TIMEOUT])
		c.old_timeout = nla_get_u64(a[IMS_IPSEC_A_CONFIG_OLD_TIMEOUT]);
	if (a[IMS_IPSEC_A_CONFIG_IDLE_TIMEOUT])
		c.idle_timeout = nla_get_u64(a[IMS_IPSEC_A_CONFIG_IDLE_TIMEOUT]);
	if (a[IMS_IPSEC_A_CONFIG_MARK_MASK])
		c.mark_mask = nla_get_u32(a[IMS_IPSEC_A_CONFIG_MARK_MASK]);
	if (a[IMS_IPSEC_A_CONFIG_NAT_TRAVERSAL])
		c.nat = nla_get_u8(a[IMS_IPSEC_A_CONFIG_NAT_TRAVERSAL]);
	if (a[IMS_IPSEC_A_CONFIG_NAT_PORT])
		c.nat_port = nla_get_be16(a[IMS_IPSEC_A_CONFIG_NAT_PORT]);
	if (a[IMS_IPSEC_A_CONFIG_NAT_FOLLOW_ADDRESS])
		c.nat_follow_address = nla_get_u8(a[IMS_IPSEC_A_CONFIG_NAT_FOLLOW_ADDRESS]);
	err = ims_netlink_get_port_pc(&c, info->nlhdr, info->extack);
	if (!err)
		err = ims_netlink_get_algs(&c.algs, a, info->extack);
	if (!err)
		err = ims_netlink_get_config_offload(&c.hw, a, info->extack);
	if (!err)
		err = ims_config_check(&c, info->extack);
	if (!err)
		err = ims_netlink_check_mark_mask(in, c.mark_mask, info->extack);
	if (!err)
		err = ims_netlink_check_limits(skb, &in->config, &c, info->extack);
	if (!err) {
		if (ims_netlink_is_idle_earlier(in->config.idle_timeout, c.idle_timeout))
			queue_work(ims_wq, &in->rearm);
		in->config = c;
		ims_limits_check(in);
	}
	mutex_unlock(&in->lock);
	return err;
}
