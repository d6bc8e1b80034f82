// SPDX-License-Identifier: GPL-2.0-only
/* Requests about endpoints. */
#include <linux/bits.h>
#include <linux/slab.h>
#include <linux/string.h>
#include <net/sock.h>

#include "bundle.h"
#include "compat.h"
#include "encap.h"
#include "endpoint.h"
#include "netlink.h"
#include "netns.h"
#include "offload.h"

/* What names a single one; a dump has nothing to select by */
#define IMS_ENDPOINT_GET_DO	BIT(IMS_IPSEC_A_ENDPOINT_ID)
#define IMS_ENDPOINT_GET_DUMP	0

#define IMS_ENDPOINT_MULTI	BIT(IMS_IPSEC_A_ENDPOINT_PORT_PC)

static int ims_netlink_put_drops(struct sk_buff *skb, const struct ims_endpoint *ep)
{
	static const int attrs[IMS_DROPS] = {
		[IMS_IPSEC_DROP_PLAINTEXT_IN] = IMS_IPSEC_A_ENDPOINT_DROP_PLAINTEXT_IN,
		[IMS_IPSEC_DROP_PLAINTEXT_OUT] = IMS_IPSEC_A_ENDPOINT_DROP_PLAINTEXT_OUT,
		[IMS_IPSEC_DROP_FOREIGN_SA] = IMS_IPSEC_A_ENDPOINT_DROP_FOREIGN_SA,
		[IMS_IPSEC_DROP_CROSS_PAIR] = IMS_IPSEC_A_ENDPOINT_DROP_CROSS_PAIR,
		[IMS_IPSEC_DROP_NO_LIVE_SET] = IMS_IPSEC_A_ENDPOINT_DROP_NO_LIVE_SET,
		[IMS_IPSEC_DROP_UDP_ONLY] = IMS_IPSEC_A_ENDPOINT_DROP_UDP_ONLY,
		[IMS_IPSEC_DROP_BAD_ICV] = IMS_IPSEC_A_ENDPOINT_ESP_BAD_ICV,
		[IMS_IPSEC_DROP_UNKNOWN_SPI] = IMS_IPSEC_A_ENDPOINT_ESP_UNKNOWN_SPI,
		[IMS_IPSEC_DROP_CLEAR_TO_UE] = IMS_IPSEC_A_ENDPOINT_CLEAR_TO_UE,
	};
	unsigned int i;

	for (i = 1; i < IMS_DROPS; i++)
		if (nla_put_u64_64bit(skb, attrs[i], atomic64_read(&ep->drops[i]),
				      IMS_IPSEC_A_ENDPOINT_PAD))
			return -EMSGSIZE;
	return 0;
}

/* Room for all there may be, of which what is not needed is given back */
static int ims_netlink_put_trusted(struct sk_buff *skb, const struct ims_endpoint *ep)
{
	const size_t size = IMS_IPSEC_TRUSTED_TEXT_MAX + 1;
	struct ims_trust_wish w;
	struct nlattr *nla;
	unsigned int i;
	size_t n = 0;
	char *text;

	if (ims_trust_get(ep, 0, &w))
		return 0;
	nla = nla_reserve(skb, IMS_IPSEC_A_ENDPOINT_TRUSTED, size);
	if (!nla)
		return -EMSGSIZE;
	text = memset(nla_data(nla), 0, size);
	for (i = 0; !ims_trust_get(ep, i, &w); i++) {
		if (i)
			text[n++] = ',';
		if (w.addr.family == AF_INET)
			n += scnprintf(text + n, size - n, "%pI4/%u%%%s", &w.addr.in, w.len,
				       w.ifname);
		else
			n += scnprintf(text + n, size - n, "%pI6c/%u%%%s", &w.addr.in6, w.len,
				       w.ifname);
	}
	nla->nla_len = nla_attr_size(n + 1);
	nlmsg_trim(skb, (void *)nla + nla_total_size(n + 1));
	return 0;
}

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
	    nla_put_u32(skb, IMS_IPSEC_A_ENDPOINT_GUARD, ep->guard) ||
	    nla_put_u8(skb, IMS_IPSEC_A_ENDPOINT_NAT_TRAVERSAL, !!ep->encap) ||
	    nla_put_be16(skb, IMS_IPSEC_A_ENDPOINT_NAT_PORT, ep->nat_port) ||
	    nla_put_u8(skb, IMS_IPSEC_A_ENDPOINT_NAT_SHARED,
		       ep->encap && ims_encap_is_shared(ep->encap)))
		return -EMSGSIZE;
	return ims_netlink_put_drops(skb, ep) ?: ims_netlink_put_offload(skb, ep) ?:
	       ims_netlink_put_trusted(skb, ep);
}

/**
 * ims_netlink_find_endpoint() - the endpoint that a request names
 * @in: where
 * @id: the attribute that names it
 * @extack: gets the reason
 *
 * Context: struct ims_net.lock held.
 * Return: the endpoint, or NULL if there is none.
 */
struct ims_endpoint *ims_netlink_find_endpoint(struct ims_net *in, const struct nlattr *id,
					       struct netlink_ext_ack *extack)
{
	struct ims_endpoint *ep = xa_load(&in->endpoints, nla_get_u32(id));

	if (!ep)
		NL_SET_ERR_MSG_ATTR_FMT(extack, id, "no endpoint has id %u", nla_get_u32(id));
	return ep;
}

/* The client ports, behind the server port */
static int ims_netlink_get_pool(struct ims_ports *ports, struct genl_info *info)
{
	const struct nlattr *nla;
	int rem;

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
	return 0;
}

static int ims_netlink_parse_trusts(struct ims_trust_wishes *wishes, const struct nlattr *nla,
				    char *list, struct netlink_ext_ack *extack)
{
	char *text;

	while (list) {
		text = strsep(&list, ",");
		if (wishes->n == IMS_IPSEC_TRUSTED_MAX) {
			NL_SET_ERR_MSG_ATTR(extack, nla, "more than 16 trusted");
			return -EINVAL;
		}
		if (ims_trust_parse(&wishes->wish[wishes->n], text)) {
			NL_SET_ERR_MSG_ATTR(extack, nla,
					    "trusted is not ADDRESS/LENGTH%INTERFACE, or several of these");
			return -EINVAL;
		}
		wishes->n++;
	}
	return 0;
}

static int ims_netlink_get_trusts(struct ims_trust_wishes *wishes, const struct genl_info *info)
{
	const struct nlattr *nla = info->attrs[IMS_IPSEC_A_ENDPOINT_TRUSTED];
	char *list;
	int err;

	wishes->n = 0;
	if (!nla)
		return 0;
	list = nla_strdup(nla, GFP_KERNEL);
	if (!list)
		return -ENOMEM;
	if (strlen(list) + 1 < nla_len(nla)) {
		NL_SET_ERR_MSG_ATTR(info->extack, nla, "trusted has a NUL in it");
		err = -EINVAL;
	} else {
		/* empty: none */
		err = *list ? ims_netlink_parse_trusts(wishes, nla, list, info->extack) : 0;
	}
	kfree(list);
	return err;
}

static int ims_netlink_get_ports(struct ims_ports *ports, const struct ims_config *config,
				 struct genl_info *info)
{
	const struct nlattr *ps = info->attrs[IMS_IPSEC_A_ENDPOINT_PORT_PS];
	int err;

	ports->port[0] = ps ? nla_get_be16(ps) : config->port_ps;
	err = ims_netlink_get_pool(ports, info);
	if (err)
		return err;
	if (ports->n == 1) {
		memcpy(ports->port + 1, config->port_pc, sizeof(config->port_pc));
		ports->n += config->n_port_pc;
	}
	return 0;
}

static int ims_netlink_get_endpoint_params(struct ims_endpoint_params *p,
					   const struct ims_config *config,
					   struct genl_info *info)
{
	struct nlattr **a = info->attrs;
	const struct nlattr *hw[IMS_OFFLOAD_ATTRS] = {
		[IMS_OFFLOAD_ATTR_INTERFACE] = a[IMS_IPSEC_A_ENDPOINT_HW_OFFLOAD_INTERFACE],
		[IMS_OFFLOAD_ATTR_MODE] = a[IMS_IPSEC_A_ENDPOINT_HW_OFFLOAD],
		[IMS_OFFLOAD_ATTR_REQUIRED] = a[IMS_IPSEC_A_ENDPOINT_HW_OFFLOAD_REQUIRED],
	};
	int err;

	p->guard = IMS_IPSEC_GUARD_DROP;
	if (a[IMS_IPSEC_A_ENDPOINT_GUARD])
		p->guard = nla_get_u32(a[IMS_IPSEC_A_ENDPOINT_GUARD]);
	p->nat = config->nat;
	if (a[IMS_IPSEC_A_ENDPOINT_NAT_TRAVERSAL])
		p->nat = nla_get_u8(a[IMS_IPSEC_A_ENDPOINT_NAT_TRAVERSAL]);
	p->nat_port = config->nat_port;
	if (a[IMS_IPSEC_A_ENDPOINT_NAT_PORT])
		p->nat_port = nla_get_be16(a[IMS_IPSEC_A_ENDPOINT_NAT_PORT]);
	if (a[IMS_IPSEC_A_ENDPOINT_NAT_SHARED])
		p->nat_shared = nla_get_u8(a[IMS_IPSEC_A_ENDPOINT_NAT_SHARED]);
	p->hw = config->hw;
	err = ims_netlink_get_offload(&p->hw, hw, info->extack);
	if (!err)
		err = ims_offload_check(&p->hw, hw[IMS_OFFLOAD_ATTR_MODE], info->extack);
	if (!err)
		err = ims_netlink_get_ports(&p->ports, config, info);
	if (!err)
		err = ims_netlink_get_trusts(&p->trust, info);
	return err;
}

int ims_ipsec_nl_endpoint_new_doit(struct sk_buff *skb, struct genl_info *info)
{
	struct ims_net *in = ims_net(genl_info_net(info));
	struct ims_endpoint_params p = {};
	struct ims_endpoint *ep;
	struct sk_buff *reply;
	void *hdr;
	int err;

	err = ims_netlink_check_attrs(info->nlhdr, ~0ULL, IMS_ENDPOINT_MULTI, info->extack);
	if (!err)
		err = IMS_REQUIRE(info, IMS_IPSEC_A_ENDPOINT_ADDRESS);
	if (!err)
		err = ims_netlink_get_addr(&p.addr, info->attrs[IMS_IPSEC_A_ENDPOINT_ADDRESS],
					   info->extack);
	if (err)
		return err;

	/* the answer before the deed: what follows it cannot fail for memory */
	reply = ims_netlink_reply_new(info, NLMSG_DEFAULT_SIZE, &hdr);
	if (!reply)
		return -ENOMEM;

	mutex_lock(&in->lock);
	err = ims_netlink_get_endpoint_params(&p, &in->config, info);
	mutex_unlock(&in->lock);
	if (err)
		goto free;
	/* It may take its time: nobody waits for it. */
	if (p.hw.mode != IMS_IPSEC_OFFLOAD_OFF)
		ims_offload_load(p.addr.family);

	mutex_lock(&in->lock);
	ep = ims_endpoint_create(in, &p, info->extack);
	if (IS_ERR(ep)) {
		err = PTR_ERR(ep);
		goto unlock;
	}
	err = ims_netlink_put_endpoint(reply, ep);
	mutex_unlock(&in->lock);
	return ims_netlink_reply(reply, hdr, info, err);

unlock:
	mutex_unlock(&in->lock);
free:
	nlmsg_free(reply);
	return err;
}

int ims_ipsec_nl_endpoint_del_doit(struct sk_buff *skb, struct genl_info *info)
{
	struct ims_net *in = ims_net(genl_info_net(info));
	struct ims_endpoint *ep;
	int err;

	err = ims_netlink_check_attrs(info->nlhdr, ~0ULL, 0, info->extack);
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
	} else if (ep->going) {
		NL_SET_ERR_MSG_FMT(info->extack, "endpoint %u is being deleted already", ep->id);
		err = -EBUSY;
	} else {
		/* others have their turn meanwhile */
		ep->going = true;
		ims_bundle_delete_all(in, ep);
		ims_endpoint_delete(in, ep);
	}
	mutex_unlock(&in->lock);
	return err;
}

int ims_ipsec_nl_endpoint_set_doit(struct sk_buff *skb, struct genl_info *info)
{
	struct ims_net *in = ims_net(genl_info_net(info));
	struct ims_trust_wishes trust;
	struct ims_ports ports;
	struct ims_endpoint *ep;
	struct sk_buff *reply;
	void *hdr;
	int err;

	err = ims_netlink_check_attrs(info->nlhdr, ~0ULL, IMS_ENDPOINT_MULTI, info->extack);
	if (!err)
		err = IMS_REQUIRE(info, IMS_IPSEC_A_ENDPOINT_ID);
	if (!err && !info->attrs[IMS_IPSEC_A_ENDPOINT_PORT_PC] ==
		    !info->attrs[IMS_IPSEC_A_ENDPOINT_TRUSTED]) {
		GENL_SET_ERR_MSG(info, "either port-pc or trusted");
		err = -EINVAL;
	}
	if (!err)
		err = ims_netlink_get_pool(&ports, info) ?: ims_netlink_get_trusts(&trust, info);
	if (err)
		return err;

	reply = ims_netlink_reply_new(info, NLMSG_DEFAULT_SIZE, &hdr);
	if (!reply)
		return -ENOMEM;
	mutex_lock(&in->lock);
	ep = ims_netlink_find_endpoint(in, info->attrs[IMS_IPSEC_A_ENDPOINT_ID], info->extack);
	if (!ep) {
		err = -ENOENT;
	} else if (ep->going) {
		NL_SET_ERR_MSG_FMT(info->extack, "endpoint %u is being deleted already", ep->id);
		err = -EBUSY;
	} else if (info->attrs[IMS_IPSEC_A_ENDPOINT_TRUSTED]) {
		err = ims_trust_set(ep, &trust, info->extack);
	} else {
		ports.port[0] = ep->ports.port[0];
		err = ims_endpoint_set_ports(ep, &ports, info->extack);
	}
	if (!err)
		err = ims_netlink_put_endpoint(reply, ep);
	mutex_unlock(&in->lock);
	if (!err)
		return ims_netlink_reply(reply, hdr, info, 0);
	nlmsg_free(reply);
	return err;
}

int ims_ipsec_nl_endpoint_get_doit(struct sk_buff *skb, struct genl_info *info)
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

	reply = ims_netlink_reply_new(info, NLMSG_DEFAULT_SIZE, &hdr);
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

int ims_ipsec_nl_endpoint_get_dumpit(struct sk_buff *skb, struct netlink_callback *cb)
{
	struct ims_net *in = ims_net(sock_net(skb->sk));
	struct ims_endpoint *ep;
	unsigned long id = cb->args[0];
	void *hdr;
	int err;

	/* here, since 6.1 has no extended ack for a start callback */
	if (!id) {
		err = ims_netlink_check_dump(cb, IMS_ENDPOINT_GET_DUMP);
		if (err)
			return err;
	}

	mutex_lock(&in->lock);
	/* resumes at an id, so that what comes and goes meanwhile does no harm */
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
