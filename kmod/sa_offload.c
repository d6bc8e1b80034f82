// SPDX-License-Identifier: GPL-2.0-only
/* SAs on a device: see sa.c. */
#include <net/xfrm.h>

#include "compat.h"
#include "sa.h"

/**
 * ims_sa_offload() - have a device encrypt and decrypt for an SA
 * @x: from ims_sa_alloc(), not added yet
 * @dev: the device
 * @out: the P-CSCF sends over it
 * @extack: gets what the kernel or the driver says
 *
 * Not for an SA that is in use: packets would be on their way to the device before
 * it has got the key.
 *
 * Context: process, sleeps; takes net->xfrm.xfrm_cfg_mutex.
 * Return: 0, or what the kernel or the driver gives: -EOPNOTSUPP, -EINVAL, -ENOSPC,
 * -ENOMEM, others. On error the SA is as it was.
 */
int ims_sa_offload(struct xfrm_state *x, const struct net_device *dev, bool out,
		   struct netlink_ext_ack *extack)
{
	struct xfrm_user_offload xuo = { .ifindex = dev->ifindex };
	struct net *net = xs_net(x);
	int err;

	if (x->props.family == AF_INET6)
		xuo.flags |= XFRM_OFFLOAD_IPV6;
	if (!out)
		xuo.flags |= XFRM_OFFLOAD_INBOUND;
	/* as all that adds SAs does: some drivers have no lock of their own */
	mutex_lock(&net->xfrm.xfrm_cfg_mutex);
	err = xfrm_dev_state_add(net, x, &xuo, extack);
	mutex_unlock(&net->xfrm.xfrm_cfg_mutex);
	if (!err && x->xso.dev == dev)
		return 0;
	/* It passes over some refusals, and takes another device for one that is gone. */
	if (!err)
		ims_sa_withdraw(x);
	ims_compat_keep_gso(x);
	return err ?: -EOPNOTSUPP;
}

/**
 * ims_sa_withdraw() - have XFRM encrypt and decrypt for an SA again
 * @x: an SA, in use or not; one that has been deleted stays as it is
 *
 * It keeps its place, its cipher, its sequence numbers and what it has received; there
 * is nothing that could fail. It does not wait for packets that are on their way to
 * the device: XFRM encrypts them where it would have handed them over, the device not
 * being the SA's. What is behind that the driver has dropped: of an SA in use, this is
 * for a device that is down.
 *
 * Context: process, sleeps; takes x->lock.
 */
void ims_sa_withdraw(struct xfrm_state *x)
{
	struct xfrm_state gone = {};

	spin_lock_bh(&x->lock);
	if (x->km.state != XFRM_STATE_DEAD && x->xso.dev) {
		ims_compat_state_delete(x);
		/*
		 * Nothing of it may stay: a packet would be taken for one that the device
		 * encrypts. The driver's second step sleeps, so it gets what was there;
		 * meanwhile somebody else may delete the SA.
		 */
		gone.xso = x->xso;
		memset(&x->xso, 0, sizeof(x->xso));
	}
	spin_unlock_bh(&x->lock);
	if (gone.xso.dev)
		ims_compat_state_free(&gone);
}

/**
 * ims_sa_was_on_device() - has a device forgotten an SA that was taken out of the tables
 * @x: the SA
 *
 * Context: any; takes x->lock.
 * Return: true if so: it is of no use any more, see ims_sa_alloc_again().
 */
bool ims_sa_was_on_device(struct xfrm_state *x)
{
	bool was;

	spin_lock_bh(&x->lock);
	was = x->km.state == XFRM_STATE_DEAD && x->xso.dev;
	spin_unlock_bh(&x->lock);
	return was;
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
 * ims_sa_drop_gso() - have an SA's packets encrypted where XFRM comes to them
 * @x: from ims_sa_alloc(), not added yet, and on no device
 *
 * Else they would be when they leave, which spares a long TCP message the way down in pieces, and
 * costs every other packet. GRO takes what comes over it all the same.
 */
void ims_sa_drop_gso(struct xfrm_state *x)
{
	ims_compat_drop_gso(x);
}

/**
 * ims_sa_mark_input() - mark a packet as its SA says
 * @skb: the packet
 * @x: the SA that it came over
 *
 * XFRM does so, but where a device has decrypted it.
 */
void ims_sa_mark_input(struct sk_buff *skb, const struct xfrm_state *x)
{
	skb->mark = xfrm_smark_get(skb->mark, (struct xfrm_state *)x);
}
