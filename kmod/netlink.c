// SPDX-License-Identifier: GPL-2.0-only
/* The generic netlink family: Documentation/netlink/specs/ims_ipsec.yaml. */
#include <linux/bits.h>
#include <linux/module.h>

#include "addr.h"
#include "alg_list.h"
#include "compat.h"
#include "netlink.h"
#include "netns.h"

/**
 * ims_netlink_check_attrs() - refuse attributes that are there twice
 * @nlh: the request
 * @allowed: types that it may have, as bits
 * @multi: types that it may have more than once, as bits
 * @extack: gets the reason
 *
 * The core takes the last of several attributes of a type without a word.
 *
 * Return: 0 or -EINVAL.
 */
int ims_netlink_check_attrs(const struct nlmsghdr *nlh, u64 allowed, u64 multi,
			    struct netlink_ext_ack *extack)
{
	const struct nlattr *nla;
	u64 seen = 0;
	int rem;

	nlmsg_for_each_attr(nla, nlh, GENL_HDRLEN, rem) {
		/* a dump's have not been parsed on 6.1 */
		u64 bit = nla_type(nla) < 64 ? BIT_ULL(nla_type(nla)) : 0;

		if (!(allowed & bit)) {
			NL_SET_ERR_MSG_ATTR_FMT(extack, nla, "attribute %u has no meaning here",
						nla_type(nla));
			return -EINVAL;
		}
		if (seen & bit & ~multi) {
			NL_SET_ERR_MSG_ATTR_FMT(extack, nla, "attribute %u is there twice",
						nla_type(nla));
			return -EINVAL;
		}
		seen |= bit;
	}
	return 0;
}

/**
 * ims_netlink_check_dump() - as ims_netlink_check_attrs(), of a dump that begins
 * @cb: the dump
 * @allowed: types that it may have, as bits
 *
 * What follows may set texts with values in them.
 *
 * Return: 0 or -EINVAL.
 */
int ims_netlink_check_dump(struct netlink_callback *cb, u64 allowed)
{
	ims_compat_lend_dump_text(cb);
	return ims_netlink_check_attrs(cb->nlh, allowed, 0, cb->extack);
}

/**
 * ims_netlink_require() - refuse a request that lacks an attribute
 * @info: the request
 * @attrs: what it must have, ends with 0, which is no attribute
 *
 * Return: 0 or -EINVAL.
 */
int ims_netlink_require(struct genl_info *info, const int *attrs)
{
	for (; *attrs; attrs++) {
		if (GENL_REQ_ATTR_CHECK(info, *attrs)) {
			GENL_SET_ERR_MSG(info, "mandatory attribute is missing");
			return -EINVAL;
		}
	}
	return 0;
}

/**
 * ims_netlink_check_len() - refuse bytes of a length that they cannot have
 * @nla: the attribute, may be NULL
 * @name: what it is
 * @max: most bytes; there is one at least
 * @extack: gets the reason
 *
 * The policies, which are generated, have one limit of a length at most.
 *
 * Return: 0 or -ERANGE.
 */
int ims_netlink_check_len(const struct nlattr *nla, const char *name, int max,
			  struct netlink_ext_ack *extack)
{
	if (!nla || (nla_len(nla) >= 1 && nla_len(nla) <= max))
		return 0;
	NL_SET_ERR_MSG_ATTR_FMT(extack, nla, "%s has %d bytes, out of 1 to %d", name, nla_len(nla),
				max);
	return -ERANGE;
}

/**
 * ims_netlink_get_addr() - get an address of either family
 * @addr: gets it
 * @nla: the attribute
 * @extack: gets the reason
 *
 * Return: 0, or -EINVAL for a length that no address has.
 */
int ims_netlink_get_addr(struct ims_addr *addr, const struct nlattr *nla,
			 struct netlink_ext_ack *extack)
{
	int err = ims_addr_set(addr, nla_data(nla), nla_len(nla));

	if (err)
		NL_SET_ERR_MSG_ATTR(extack, nla, "address is neither 4 nor 16 bytes");
	return err;
}

/**
 * ims_netlink_get_alg_list() - get a list of pairs of algorithms
 * @list: gets it
 * @nla: the attribute, text
 * @extack: gets the reason
 *
 * Return: 0, or -EINVAL if an entry is no algorithm.
 */
int ims_netlink_get_alg_list(struct ims_alg_list *list, const struct nlattr *nla,
			     struct netlink_ext_ack *extack)
{
	const char *text = nla_data(nla);
	size_t len = nla_len(nla);
	int err;

	/* it may end in NUL */
	if (len && !text[len - 1])
		len--;
	err = ims_alg_list_parse(list, text, len, extack);
	if (err)
		NL_SET_BAD_ATTR(extack, nla);
	return err;
}

/**
 * ims_netlink_put_addr() - put an address into a message
 * @skb: the message
 * @attr: the attribute's type
 * @addr: the address
 *
 * Return: 0 or -EMSGSIZE.
 */
int ims_netlink_put_addr(struct sk_buff *skb, int attr, const struct ims_addr *addr)
{
	/* both members of the union begin at the same place */
	return nla_put(skb, attr, ims_addr_len(addr), &addr->in6);
}

/**
 * ims_netlink_reply_new() - begin the answer to a request
 * @info: the request
 * @size: bytes for what the answer holds, or NLMSG_DEFAULT_SIZE; netlink copies an answer that
 *	fills less than half of its room
 * @hdr: gets the message's header
 *
 * To be made before the deed: what follows that cannot fail for memory.
 *
 * Return: the answer, to be given to ims_netlink_reply() or freed; NULL
 * without memory.
 */
struct sk_buff *ims_netlink_reply_new(struct genl_info *info, size_t size, void **hdr)
{
	struct sk_buff *skb = genlmsg_new(size, GFP_KERNEL);

	if (!skb)
		return NULL;
	*hdr = genlmsg_put_reply(skb, info, &ims_genl_family, 0, info->genlhdr->cmd);
	if (WARN_ON_ONCE(!*hdr)) {
		nlmsg_free(skb);
		return NULL;
	}
	return skb;
}

/**
 * ims_netlink_reply() - end the answer to a request and send it
 * @skb: from ims_netlink_reply_new()
 * @hdr: from there too
 * @info: the request
 * @err: what putting the object into it gave
 *
 * Return: 0 or a negative errno.
 */
int ims_netlink_reply(struct sk_buff *skb, void *hdr, struct genl_info *info, int err)
{
	/* the buffer was made large enough for any object */
	if (WARN_ON_ONCE(err)) {
		nlmsg_free(skb);
		return err;
	}
	genlmsg_end(skb, hdr);
	return genlmsg_reply(skb, info);
}

/**
 * ims_netlink_put_dump_header() - begin an object in a dump
 * @skb: the message
 * @cb: the dump
 * @cmd: the command
 *
 * Return: the header, or NULL if the message is full.
 */
void *ims_netlink_put_dump_header(struct sk_buff *skb, struct netlink_callback *cb, u8 cmd)
{
	return genlmsg_put(skb, NETLINK_CB(cb->skb).portid, cb->nlh->nlmsg_seq, &ims_genl_family,
			   NLM_F_MULTI, cmd);
}

/* The generated table of groups has no flags; events carry identities. */
static const struct genl_multicast_group ims_genl_groups[] = {
	[IMS_IPSEC_NLGRP_EVENTS] = {
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
	.pre_doit = ims_compat_pre_doit,
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
	int err = ims_compat_set_ops(&ims_genl_family, ims_ipsec_nl_ops,
				     ARRAY_SIZE(ims_ipsec_nl_ops));

	return err ? err : genl_register_family(&ims_genl_family);
}

/**
 * ims_netlink_exit() - unregister the family; no request runs when it returns
 */
void ims_netlink_exit(void)
{
	genl_unregister_family(&ims_genl_family);
}
