// SPDX-License-Identifier: GPL-2.0-only
/* What every ESP packet that comes in is looked at for, beside what XFRM does with it. */
#include <net/xfrm.h>

#include "bundle.h"
#include "compat.h"
#include "endpoint.h"
#include "guard.h"
#include "input.h"
#include "journal.h"
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

/*
 * There is no SA for it. To an endpoint: the UE uses a set that is no longer there, or was never
 * made. UDP that ESP was in has been pulled off.
 */
static void ims_input_drop_unknown(struct ims_net *in, const struct sk_buff *skb, __be32 spi)
{
	struct ims_journal_drop entry = {
		.t.src = ims_addr_src(skb),
		.t.dst = ims_addr_dst(skb),
		.proto = IPPROTO_ESP,
		.drop = IMS_IPSEC_DROP_UNKNOWN_SPI,
		.spi = spi,
	};
	struct ims_endpoint *ep;

	ep = ims_endpoint_at(in, &entry.t.dst);
	if (!ep)
		return;
	entry.e.endpoint = ep->id;
	ims_guard_note_drop(in, ep, &entry);
}

/* XFRM drops it, and tells of that in the namespace's statistics alone. */
static noinline void ims_input_failed(struct ims_net *in, struct sk_buff *skb)
{
	const struct xfrm_state *x = ims_sa_last_of_input(skb);
	__be32 spi, seq;

	/* from the packet: XFRM has not noted the number yet where it was replayed */
	if (xfrm_parse_spi(skb, IPPROTO_ESP, &spi, &seq))
		return;
	rcu_read_lock();
	if (!x)
		ims_input_drop_unknown(in, skb, spi);
	else if (ims_sa_is_shielded(x) && ims_sa_is_live(x) && ims_sa_is_bad(x, skb, spi, seq))
		ims_guard_note_bad(in, x);
	rcu_read_unlock();
}

/* When it has been decrypted and its number was new, or not; GRO's are seen here only. */
static int ims_input_cb(struct sk_buff *skb, int err)
{
	struct net *net = dev_net(skb->dev);
	const struct xfrm_state *x;

	if (xfrm_offload(skb))
		ims_input_cache_check(net);
	if (!READ_ONCE(ims_net(net)->guarded))
		return 1;
	if (err) {
		ims_input_failed(ims_net(net), skb);
		return 1;
	}
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
