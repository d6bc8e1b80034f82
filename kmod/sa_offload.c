// SPDX-License-Identifier: GPL-2.0-only
/* SAs on a device: with sa.c, all that looks into struct xfrm_state. */
#include <net/xfrm.h>

#include "compat.h"
#include "sa.h"

/**
 * ims_sa_offload() - have a device do an SA's work
 * @x: from ims_sa_alloc(), not added yet
 * @ifindex: the device's interface
 * @out: the P-CSCF sends over it
 * @packet: all of ESP, not encryption alone
 * @extack: gets what the kernel or the driver says
 *
 * Not for an SA that is in use: packets would be on their way to the device before
 * it has got the key.
 *
 * Context: process, sleeps.
 * Return: 0, or what the kernel or the driver gives: -EOPNOTSUPP, -EINVAL, -ENOSPC,
 * -ENOMEM, others. On error the SA is as it was.
 */
int ims_sa_offload(struct xfrm_state *x, int ifindex, bool out, bool packet,
		   struct netlink_ext_ack *extack)
{
	struct xfrm_user_offload xuo = { .ifindex = ifindex };
	int err;

	if (x->props.family == AF_INET6)
		xuo.flags |= XFRM_OFFLOAD_IPV6;
	if (!out)
		xuo.flags |= XFRM_OFFLOAD_INBOUND;
	if (packet)
		xuo.flags |= IMS_COMPAT_OFFLOAD_PACKET;
	err = xfrm_dev_state_add(xs_net(x), x, &xuo, extack);
	/* it passes over some refusals without a word */
	if (!err && !x->xso.dev)
		err = -EOPNOTSUPP;
	return err;
}

/* Packets that may have left over an SA since the device was asked for their number */
#define IMS_SA_UNCOUNTED	1024

/*
 * A device that does all of ESP counts by itself, and XFRM goes on from there. Which
 * numbers below have been received is not known: none of them is taken any more.
 */
static void ims_sa_take_over_numbers(struct xfrm_state *x)
{
	struct xfrm_replay_state_esn *esn = x->replay_esn;
	u32 packets;

	lockdep_assert_held(&x->lock);

	ims_compat_update_stats(x);
	packets = x->curlft.packets;
	if (!esn) {
		x->replay.oseq = max(x->replay.oseq, packets + IMS_SA_UNCOUNTED);
		return;
	}
	esn->seq = max(esn->seq, packets);
	memset(esn->bmp, 0xff, esn->bmp_len * sizeof(esn->bmp[0]));
}

/**
 * ims_sa_withdraw() - have XFRM do an SA's work again
 * @x: an SA, in use or not; one that has been deleted stays as it is
 *
 * It keeps its place, its cipher, its sequence numbers and what it has received; there
 * is nothing that could fail. As XFRM's own end of an offloaded SA, which it would
 * come to, this does not wait for packets that are on their way to the device:
 * there they are encrypted by XFRM, the device not being the SA's.
 *
 * Context: process, sleeps; takes x->lock.
 */
void ims_sa_withdraw(struct xfrm_state *x)
{
	bool mine;

	spin_lock_bh(&x->lock);
	mine = x->km.state != XFRM_STATE_DEAD && x->xso.dev &&
	       x->xso.type != XFRM_DEV_OFFLOAD_UNSPECIFIED;
	if (mine) {
		if (ims_compat_is_packet(x))
			ims_sa_take_over_numbers(x);
		ims_compat_state_delete(x);
		x->xso.type = XFRM_DEV_OFFLOAD_UNSPECIFIED;
	}
	spin_unlock_bh(&x->lock);
	if (mine)
		ims_compat_state_free(x);
}

/**
 * ims_sa_has_gso() - are an SA's packets taken by GRO and GSO
 * @x: the SA
 *
 * Return: true if so. Without, no device takes it.
 */
bool ims_sa_has_gso(const struct xfrm_state *x)
{
	return x->type_offload;
}

/**
 * ims_sa_mark_input() - mark a packet that a device has taken out of ESP
 * @skb: the packet
 * @x: the SA that it came over
 *
 * XFRM does so where it has something to do with it.
 */
void ims_sa_mark_input(struct sk_buff *skb, const struct xfrm_state *x)
{
	if (ims_compat_is_packet(x))
		skb->mark = xfrm_smark_get(skb->mark, (struct xfrm_state *)x);
}
