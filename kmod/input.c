// SPDX-License-Identifier: GPL-2.0-only
/* What every ESP packet that comes in is looked at for, beside what XFRM does with it. */
#include <net/xfrm.h>

#include "compat.h"
#include "input.h"
#include "nat.h"
#include "netns.h"
#include "sa.h"

/* Before those of the kernel, which end the chain. */
#define IMS_INPUT_PRIORITY	1000

/* Before its SA is looked up; not after GRO. */
static int ims_input_rcv(struct sk_buff *skb)
{
	ims_input_cache_check(dev_net(skb->dev));
	return -EINVAL;	/* not ours, go on */
}

static int ims_input_rcv_encap(struct sk_buff *skb, int nexthdr, __be32 spi, int encap_type)
{
	return ims_input_rcv(skb);
}

/* When it has been decrypted and its number was new, or not; GRO's are seen here only. */
static int ims_input_cb(struct sk_buff *skb, int err)
{
	struct net *net = dev_net(skb->dev);
	const struct xfrm_state *x;

	if (xfrm_offload(skb))
		ims_input_cache_check(net);
	if (err || !READ_ONCE(ims_net(net)->guarded))
		return 1;
	x = ims_sa_last_of_input(skb);
	if (x && ims_sa_is_shielded(x)) {
		ims_sa_scatter(skb, x);
		if (ims_sa_is_tunnel(x))
			ims_nat_input(ims_net(net), skb, x);
	}
	return 1;	/* go on */
}

static int ims_input_err4(struct sk_buff *skb, u32 info)
{
	return -ENOENT;	/* go on */
}

static int ims_input_err6(struct sk_buff *skb, struct inet6_skb_parm *opt, u8 type,
			  u8 code, int offset, __be32 info)
{
	return -ENOENT;	/* go on */
}

static struct xfrm4_protocol ims_input_esp4 = {
	.handler = ims_input_rcv,
	.input_handler = ims_input_rcv_encap,
	.cb_handler = ims_input_cb,
	.err_handler = ims_input_err4,
	.priority = IMS_INPUT_PRIORITY,
};

static struct xfrm6_protocol ims_input_esp6 = {
	.handler = ims_input_rcv,
	.input_handler = ims_input_rcv_encap,
	.cb_handler = ims_input_cb,
	.err_handler = ims_input_err6,
	.priority = IMS_INPUT_PRIORITY,
};

/**
 * ims_input_init() - begin to look
 *
 * Context: process, sleeps.
 * Return: 0; -EEXIST if another module has this priority; -EAGAIN.
 */
int ims_input_init(void)
{
	int err = xfrm4_protocol_register(&ims_input_esp4, IPPROTO_ESP);

	if (err)
		return err;
	err = xfrm6_protocol_register(&ims_input_esp6, IPPROTO_ESP);
	if (err)
		xfrm4_protocol_deregister(&ims_input_esp4, IPPROTO_ESP);
	return err;
}

/**
 * ims_input_exit() - look no more
 *
 * Context: process, sleeps. No packet is in the handlers when it returns.
 */
void ims_input_exit(void)
{
	xfrm6_protocol_deregister(&ims_input_esp6, IPPROTO_ESP);
	xfrm4_protocol_deregister(&ims_input_esp4, IPPROTO_ESP);
}
