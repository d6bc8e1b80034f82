// SPDX-License-Identifier: GPL-2.0-only
/* Requests about interfaces that do ESP's work, and what other requests say of them. */
#include <linux/netdevice.h>
#include <net/sock.h>

#include "alg.h"
#include "compat.h"
#include "endpoint.h"
#include "netlink.h"
#include "netns.h"
#include "offload.h"

#define IMS_OFFLOAD_GET_DUMP	(BIT(IMS_IPSEC_A_OFFLOAD_INTERFACE) | \
				 BIT(IMS_IPSEC_A_OFFLOAD_MODE))

/* It may end in NUL. */
static int ims_netlink_get_ifname(char *ifname, const struct nlattr *nla,
				  struct netlink_ext_ack *extack)
{
	size_t len = nla_len(nla);

	if (len && !((const char *)nla_data(nla))[len - 1])
		len--;
	if (len > IMS_IPSEC_INTERFACE_MAX) {
		NL_SET_ERR_MSG_ATTR(extack, nla, "an interface's name is too long");
		return -EINVAL;
	}
	memset(ifname, 0, IFNAMSIZ);
	memcpy(ifname, nla_data(nla), len);
	if (len && (strlen(ifname) != len || !dev_valid_name(ifname))) {
		NL_SET_ERR_MSG_ATTR(extack, nla, "no interface can have this name");
		return -EINVAL;
	}
	return 0;
}

/**
 * ims_netlink_get_offload() - change what a request says of an interface
 * @wish: what it changes
 * @a: the attributes, by enum ims_netlink_offload, each of which may be NULL
 * @extack: gets the reason
 *
 * Return: 0 or -EINVAL.
 */
int ims_netlink_get_offload(struct ims_offload_wish *wish, const struct nlattr *const *a,
			    struct netlink_ext_ack *extack)
{
	if (a[IMS_OFFLOAD_ATTR_MODE])
		wish->mode = nla_get_u32(a[IMS_OFFLOAD_ATTR_MODE]);
	if (a[IMS_OFFLOAD_ATTR_REQUIRED])
		wish->required = nla_get_u8(a[IMS_OFFLOAD_ATTR_REQUIRED]);
	if (!a[IMS_OFFLOAD_ATTR_INTERFACE])
		return 0;
	return ims_netlink_get_ifname(wish->ifname, a[IMS_OFFLOAD_ATTR_INTERFACE], extack);
}

static int ims_netlink_put_fallbacks(struct sk_buff *skb, const u64 *fallbacks)
{
	struct nlattr *nest;
	u32 reason;

	for (reason = 1; reason < IMS_OFFLOAD_REASONS; reason++) {
		if (!fallbacks[reason])
			continue;
		nest = nla_nest_start(skb, IMS_IPSEC_A_ENDPOINT_HW_OFFLOAD_FALLBACK);
		if (!nest || nla_put_u32(skb, IMS_IPSEC_A_FALLBACK_REASON, reason) ||
		    nla_put_u64_64bit(skb, IMS_IPSEC_A_FALLBACK_COUNT, fallbacks[reason],
				      IMS_IPSEC_A_FALLBACK_PAD))
			return -EMSGSIZE;
		nla_nest_end(skb, nest);
	}
	return 0;
}

/**
 * ims_netlink_put_offload() - put what an endpoint's interface does into a message
 * @skb: the message
 * @ep: the endpoint
 *
 * Context: struct ims_net.lock held.
 * Return: 0 or -EMSGSIZE.
 */
int ims_netlink_put_offload(struct sk_buff *skb, const struct ims_endpoint *ep)
{
	struct ims_offload hw;

	spin_lock_bh(&ep->in->state_lock);
	hw = ep->hw;
	spin_unlock_bh(&ep->in->state_lock);

	if (nla_put_string(skb, IMS_IPSEC_A_ENDPOINT_HW_OFFLOAD_INTERFACE, hw.wish.ifname) ||
	    nla_put_u32(skb, IMS_IPSEC_A_ENDPOINT_HW_OFFLOAD, hw.wish.mode) ||
	    nla_put_u8(skb, IMS_IPSEC_A_ENDPOINT_HW_OFFLOAD_REQUIRED, hw.wish.required) ||
	    nla_put_u32(skb, IMS_IPSEC_A_ENDPOINT_HW_OFFLOAD_BUNDLES, hw.n_bundles) ||
	    (*hw.text && nla_put_string(skb, IMS_IPSEC_A_ENDPOINT_HW_OFFLOAD_TEXT, hw.text)))
		return -EMSGSIZE;
	return ims_netlink_put_fallbacks(skb, hw.fallbacks);
}

/**
 * ims_netlink_put_bundle_offload() - put what does a bundle's ESP into a message
 * @skb: the message
 * @b: the bundle
 *
 * Context: struct ims_net.lock held.
 * Return: 0 or -EMSGSIZE.
 */
int ims_netlink_put_bundle_offload(struct sk_buff *skb, const struct ims_bundle *b)
{
	char ifname[IFNAMSIZ];
	u8 offload, reason;

	spin_lock_bh(&b->ep->in->state_lock);
	offload = b->offload;
	reason = b->offload_reason;
	memcpy(ifname, b->ep->hw.wish.ifname, sizeof(ifname));
	spin_unlock_bh(&b->ep->in->state_lock);

	if (nla_put_u32(skb, IMS_IPSEC_A_BUNDLE_OFFLOAD, offload) ||
	    (reason && nla_put_u32(skb, IMS_IPSEC_A_BUNDLE_OFFLOAD_REASON, reason)) ||
	    (offload >= IMS_IPSEC_OFFLOAD_CRYPTO &&
	     nla_put_string(skb, IMS_IPSEC_A_BUNDLE_OFFLOAD_INTERFACE, ifname)))
		return -EMSGSIZE;
	return 0;
}

static int ims_netlink_put_try(struct sk_buff *skb, const struct ims_alg_pair *pair, u32 mode,
			       const struct ims_offload_try *result)
{
	if (nla_put_string(skb, IMS_IPSEC_A_OFFLOAD_INTERFACE, result->ifname) ||
	    nla_put_u32(skb, IMS_IPSEC_A_OFFLOAD_MODE, mode) ||
	    (*result->driver &&
	     nla_put_string(skb, IMS_IPSEC_A_OFFLOAD_DRIVER, result->driver)) ||
	    nla_put_u32(skb, IMS_IPSEC_A_OFFLOAD_AUTH_ALG, pair->auth_alg) ||
	    nla_put_u32(skb, IMS_IPSEC_A_OFFLOAD_ENC_ALG, pair->enc_alg) ||
	    (result->reason &&
	     nla_put_u32(skb, IMS_IPSEC_A_OFFLOAD_REASON, result->reason)) ||
	    (*result->text && nla_put_string(skb, IMS_IPSEC_A_OFFLOAD_TEXT, result->text)))
		return -EMSGSIZE;
	return 0;
}

int ims_ipsec_nl_offload_get_dumpit(struct sk_buff *skb, struct netlink_callback *cb)
{
	struct nlattr **a = ims_compat_dump_attrs(cb);
	u32 i, mode = IMS_IPSEC_OFFLOAD_CRYPTO;
	struct ims_offload_try result;
	char ifname[IFNAMSIZ];
	void *hdr;
	int err;

	if (!cb->args[0]) {
		err = ims_netlink_check_dump(cb, IMS_OFFLOAD_GET_DUMP);
		if (err)
			return err;
	}
	if (!a[IMS_IPSEC_A_OFFLOAD_INTERFACE]) {
		NL_SET_ERR_MSG(cb->extack, "mandatory attribute is missing");
		return -EINVAL;
	}
	err = ims_netlink_get_ifname(ifname, a[IMS_IPSEC_A_OFFLOAD_INTERFACE], cb->extack);
	if (err)
		return err;
	if (a[IMS_IPSEC_A_OFFLOAD_MODE])
		mode = nla_get_u32(a[IMS_IPSEC_A_OFFLOAD_MODE]);

	if (!cb->args[0]) {
		ims_offload_load(AF_INET);
		ims_offload_load(AF_INET6);
	}
	for (i = cb->args[0]; i < IMS_ALG_PAIRS; i++) {
		err = ims_offload_probe(sock_net(skb->sk), ifname, mode, &ims_alg_pairs[i],
					&result);
		if (err) {
			NL_SET_ERR_MSG_FMT(cb->extack, "no interface has the name %s", ifname);
			return err;
		}
		hdr = ims_netlink_put_dump_header(skb, cb, IMS_IPSEC_CMD_OFFLOAD_GET);
		if (!hdr)
			break;
		if (ims_netlink_put_try(skb, &ims_alg_pairs[i], mode, &result)) {
			genlmsg_cancel(skb, hdr);
			break;
		}
		genlmsg_end(skb, hdr);
	}
	cb->args[0] = i;
	return skb->len;
}
