// SPDX-License-Identifier: GPL-2.0-only
/* Requests about algorithms: what the configuration allows and the kernel has. */
#include <net/sock.h>

#include "alg_list.h"
#include "netlink.h"
#include "netns.h"
#include "sa.h"

/* The pairs that are allowed, in order of preference, then the others. */
static u32 ims_netlink_order_algorithms(struct ims_net *in, struct ims_alg_list *order)
{
	u32 allowed;
	int i;

	mutex_lock(&in->lock);
	ims_alg_list_order(&in->config.algs, NULL, order);
	mutex_unlock(&in->lock);
	allowed = order->n;
	for (i = 0; i < IMS_ALG_PAIRS; i++)
		if (!memchr(order->pair, i, allowed))
			order->pair[order->n++] = i;
	return allowed;
}

/* @rank is 0 for one that is not allowed. */
static int ims_netlink_put_algorithm(struct sk_buff *skb, struct net *net,
				     const struct ims_alg_pair *pair, u32 rank)
{
	struct ims_sa_driver driver;
	int err;

	if (nla_put_u32(skb, IMS_IPSEC_A_ALGORITHM_AUTH_ALG, pair->auth_alg) ||
	    nla_put_u32(skb, IMS_IPSEC_A_ALGORITHM_ENC_ALG, pair->enc_alg) ||
	    (rank && nla_put_u32(skb, IMS_IPSEC_A_ALGORITHM_RANK, rank)) ||
	    (pair->deprecated && nla_put_flag(skb, IMS_IPSEC_A_ALGORITHM_DEPRECATED)))
		return -EMSGSIZE;

	err = ims_sa_find_driver(net, pair, &driver);
	if (err == -ENOMEM)
		return err;
	if (!err && (nla_put_string(skb, IMS_IPSEC_A_ALGORITHM_NAME, driver.name) ||
		     nla_put_string(skb, IMS_IPSEC_A_ALGORITHM_DRIVER, driver.driver)))
		return -EMSGSIZE;
	return 0;
}

int ims_ipsec_nl_algorithm_get_dumpit(struct sk_buff *skb, struct netlink_callback *cb)
{
	struct net *net = sock_net(skb->sk);
	struct ims_alg_list order;
	u32 i, allowed;
	void *hdr;
	int err;

	if (!cb->args[0]) {
		err = ims_netlink_check_dump(cb, 0);
		if (err)
			return err;
	}

	allowed = ims_netlink_order_algorithms(ims_net(net), &order);
	for (i = cb->args[0]; i < order.n; i++) {
		hdr = ims_netlink_put_dump_header(skb, cb, IMS_IPSEC_CMD_ALGORITHM_GET);
		if (!hdr)
			break;
		err = ims_netlink_put_algorithm(skb, net, &ims_alg_pairs[order.pair[i]],
						i < allowed ? i + 1 : 0);
		if (err) {
			genlmsg_cancel(skb, hdr);
			if (err != -EMSGSIZE)
				return err;
			break;
		}
		genlmsg_end(skb, hdr);
	}
	cb->args[0] = i;
	return skb->len;
}
