// SPDX-License-Identifier: GPL-2.0-only
/*
 * Offload: which interface does the work of a bundle's SAs, or why it does not.
 *
 * XFRM ends the SAs of an interface that goes down or away, and tells nobody. A
 * notifier that comes first gives them back to XFRM, as they are.
 */
#include <linux/kmod.h>
#include <linux/netdevice.h>

#include "compat.h"
#include "endpoint.h"
#include "event.h"
#include "netns.h"
#include "offload.h"
#include "sa.h"

static const char *const ims_offload_texts[IMS_OFFLOAD_REASONS] = {
	[IMS_IPSEC_OFFLOAD_REASON_NO_INTERFACE] = "there is no such interface",
	[IMS_IPSEC_OFFLOAD_REASON_DOWN] = "it is down",
	[IMS_IPSEC_OFFLOAD_REASON_NO_SUPPORT] = "no offload of ESP",
	[IMS_IPSEC_OFFLOAD_REASON_FEATURE_OFF] = "esp-hw-offload is off",
	[IMS_IPSEC_OFFLOAD_REASON_ENCAPSULATION] = "not in mode udp-enc-tun",
	[IMS_IPSEC_OFFLOAD_REASON_ALGORITHM] = "its driver refuses the algorithms",
	[IMS_IPSEC_OFFLOAD_REASON_TABLE_FULL] = "it has as many SAs as it can",
	[IMS_IPSEC_OFFLOAD_REASON_REFUSED] = "its driver refuses",
	[IMS_IPSEC_OFFLOAD_REASON_NO_MEMORY] = "no memory",
	[IMS_IPSEC_OFFLOAD_REASON_LOST] = "it went down or away",
};

/* What was said, or else what there is to say */
static void ims_offload_say(char *text, const struct netlink_ext_ack *said, u8 reason)
{
	strscpy(text, said->_msg ?: ims_offload_texts[reason], IMS_OFFLOAD_TEXT_MAX);
}

/**
 * ims_offload_check() - does a wish say what it takes
 * @wish: the wish; without an interface a device's work becomes IMS_IPSEC_OFFLOAD_OFF
 * @is_explicit: it was asked for by name, and is an error without an interface
 * @extack: gets the reason
 *
 * Return: 0 or -EINVAL.
 */
int ims_offload_check(struct ims_offload_wish *wish, bool is_explicit,
		      struct netlink_ext_ack *extack)
{
	if (*wish->ifname || wish->mode < IMS_IPSEC_OFFLOAD_CRYPTO)
		return 0;
	if (is_explicit) {
		NL_SET_ERR_MSG(extack, "hw-offload without hw-offload-interface");
		return -EINVAL;
	}
	wish->mode = IMS_IPSEC_OFFLOAD_OFF;
	return 0;
}

/**
 * ims_offload_load() - load GRO and GSO of ESP, which nothing else does
 * @family: AF_INET or AF_INET6
 *
 * Context: process, sleeps until modprobe has ended; without struct ims_net.lock.
 */
void ims_offload_load(sa_family_t family)
{
	request_module("xfrm-offload-%d-%d", family, IPPROTO_ESP);
}

/*
 * Packet offload keeps neither A6 nor A10 nor A11: without extended sequence numbers drivers
 * have no replay window, XFRM sends nothing that is longer than the MTU, and what takes
 * another route leaves in clear (Documentation/offload.rst).
 */
static u8 ims_offload_check_mode(u8 mode, struct netlink_ext_ack *said)
{
	if (mode != IMS_IPSEC_OFFLOAD_PACKET)
		return 0;
	NL_SET_ERR_MSG(said, "packet offload has neither a replay window nor fragments");
	return IMS_IPSEC_OFFLOAD_REASON_NO_SUPPORT;
}

static u8 ims_offload_check_device(const struct net_device *dev, struct netlink_ext_ack *said)
{
	if (!(dev->flags & IFF_UP))
		return IMS_IPSEC_OFFLOAD_REASON_DOWN;
	/* a bond would hand an SA to an interface below it, and sleep where XFRM cannot */
	if (!ims_compat_has_offload(dev) || netif_is_bond_master(dev))
		return IMS_IPSEC_OFFLOAD_REASON_NO_SUPPORT;
	if (!(dev->features & NETIF_F_HW_ESP))
		return dev->hw_features & NETIF_F_HW_ESP ? IMS_IPSEC_OFFLOAD_REASON_FEATURE_OFF :
							   IMS_IPSEC_OFFLOAD_REASON_NO_SUPPORT;
	if (dev->features & NETIF_F_RXALL) {
		NL_SET_ERR_MSG(said, "rx-all is on, with which forgeries may pass for authentic");
		return IMS_IPSEC_OFFLOAD_REASON_REFUSED;
	}
	return 0;
}

/*
 * The four SAs of a bundle have one key and one salt (TS 33.203), so that the IV alone has to
 * differ. XFRM's own begin at a random number, of each SA; drivers of devices write the packet's
 * number, or leave it to their firmware, or write nothing (Documentation/offload.rst), and one
 * nonce of AES-GCM or AES-GMAC for two packets gives away what is in them, or the key of its
 * ICV. What has no hardware behind it encrypts nothing, nor does netdevsim.
 */
static u8 ims_offload_check_nonce(const struct net_device *dev, const struct ims_alg_pair *pair,
				  struct netlink_ext_ack *said)
{
	const struct device *parent = dev->dev.parent;

	if (!pair->aead)
		return 0;
	/* a bond has no hardware either: ims_offload_check_device() has refused it */
	if (!parent || !strcmp(dev_driver_string(parent), "netdevsim"))
		return 0;
	NL_SET_ERR_MSG(said, "its nonces of AES-GCM and AES-GMAC may repeat within a set");
	return IMS_IPSEC_OFFLOAD_REASON_ALGORITHM;
}

/* Of a driver's errno; all of them take AES-GCM, and many nothing else. */
static u8 ims_offload_reason(int err, const struct ims_alg_pair *pair)
{
	switch (err) {
	case 0:
		return 0;
	case -ENOSPC:
		return IMS_IPSEC_OFFLOAD_REASON_TABLE_FULL;
	case -ENOMEM:
		return IMS_IPSEC_OFFLOAD_REASON_NO_MEMORY;
	case -EINVAL:
	case -EOPNOTSUPP:
		if (pair->enc_alg != IMS_IPSEC_ENC_ALG_AES_GCM)
			return IMS_IPSEC_OFFLOAD_REASON_ALGORITHM;
	}
	return IMS_IPSEC_OFFLOAD_REASON_REFUSED;
}

static bool ims_offload_is_out(enum ims_flow flow)
{
	return flow <= IMS_FLOW_OUT_US;
}

/* What does a bundle's ESP where no device does */
static u8 ims_offload_without(const struct ims_bundle *b)
{
	return ims_sa_has_gso(b->sa[IMS_FLOW_OUT_UC]) ? IMS_IPSEC_OFFLOAD_SOFTWARE :
							IMS_IPSEC_OFFLOAD_OFF;
}

/* The interface that an endpoint has, or that has its name now, with a reference */
static struct net_device *ims_offload_get_device(struct ims_endpoint *ep)
{
	struct ims_net *in = ep->in;
	struct net_device *dev;
	char ifname[IFNAMSIZ];
	int ifindex;

	spin_lock_bh(&in->state_lock);
	ifindex = ep->hw.ifindex;
	memcpy(ifname, ep->hw.wish.ifname, sizeof(ifname));
	spin_unlock_bh(&in->state_lock);

	/* it may have gone before the endpoint could be told */
	dev = ifindex ? dev_get_by_index(in->net, ifindex) : NULL;
	if (dev)
		return dev;
	dev = dev_get_by_name(in->net, ifname);
	if (!dev)
		return NULL;
	spin_lock_bh(&in->state_lock);
	ep->hw.ifindex = dev->ifindex;
	ep->hw.refused = 0;
	spin_unlock_bh(&in->state_lock);
	return dev;
}

/**
 * ims_offload_endpoint() - what an endpoint's bundles wish for
 * @ep: the endpoint, new
 * @wish: what
 *
 * Context: process, sleeps, struct ims_net.lock held.
 */
void ims_offload_endpoint(struct ims_endpoint *ep, const struct ims_offload_wish *wish)
{
	lockdep_assert_held(&ep->in->lock);

	ep->hw.wish = *wish;
	/* if it is there, it is followed from now on */
	if (wish->mode >= IMS_IPSEC_OFFLOAD_CRYPTO)
		dev_put(ims_offload_get_device(ep));
}

/*
 * All four. From its beginning to its end the notifier leaves the bundle to this
 * function: it cannot wait for a driver, which may be waiting for the notifier.
 */
static u8 ims_offload_add_sas(struct ims_bundle *b, const struct net_device *dev,
			      struct netlink_ext_ack *said)
{
	enum ims_flow flow;
	int err = 0;

	for (flow = 0; flow < IMS_FLOWS && !err; flow++)
		err = ims_sa_offload(b->sa[flow], dev, ims_offload_is_out(flow), said);
	return ims_offload_reason(err, ims_bundle_pair(b));
}

static void ims_offload_withdraw(struct ims_bundle *b)
{
	enum ims_flow flow;

	for (flow = 0; flow < IMS_FLOWS; flow++)
		ims_sa_withdraw(b->sa[flow]);
}

static u8 ims_offload_on(struct ims_bundle *b, const struct net_device *dev,
			 struct netlink_ext_ack *said)
{
	struct ims_endpoint *ep = b->ep;
	u8 reason;

	reason = ims_offload_check_device(dev, said);
	if (!reason)
		reason = ims_offload_check_mode(ep->hw.wish.mode, said);
	if (!reason && b->nat)
		reason = IMS_IPSEC_OFFLOAD_REASON_ENCAPSULATION;
	if (!reason)
		reason = ims_offload_check_nonce(dev, ims_bundle_pair(b), said);
	if (!reason && !ims_sa_has_gso(b->sa[IMS_FLOW_OUT_UC]))
		reason = IMS_IPSEC_OFFLOAD_REASON_NO_SUPPORT;
	/* drivers write into the kernel's log each time; a demand is refused in their words */
	if (!reason && !ep->hw.wish.required && READ_ONCE(ep->hw.refused) & BIT(b->pair))
		reason = IMS_IPSEC_OFFLOAD_REASON_ALGORITHM;
	return reason ?: ims_offload_add_sas(b, dev, said);
}

/* From here on the notifier has the bundle; what came of it, unless that has lost it. */
static u8 ims_offload_conclude(struct ims_bundle *b, u8 reason)
{
	struct ims_endpoint *ep = b->ep;
	struct ims_net *in = ep->in;

	spin_lock_bh(&in->state_lock);
	b->offloading = false;
	if (!reason && b->offload_lost)
		reason = IMS_IPSEC_OFFLOAD_REASON_LOST;
	if (reason == IMS_IPSEC_OFFLOAD_REASON_ALGORITHM)
		ep->hw.refused |= BIT(b->pair);
	if (!reason) {
		b->offload = ep->hw.wish.mode;
		ep->hw.n_bundles++;
	}
	/* what the device has got of it, the notifier takes back as well, if that goes just now */
	b->offload_lost = reason;
	spin_unlock_bh(&in->state_lock);
	if (!reason)
		return 0;
	ims_offload_withdraw(b);
	spin_lock_bh(&in->state_lock);
	b->offload_lost = false;
	spin_unlock_bh(&in->state_lock);
	return reason;
}

/* The event follows: ims_offload_settle() */
static void ims_offload_fall_back(struct ims_bundle *b, u8 reason, const char *text)
{
	struct ims_offload *hw = &b->ep->hw;

	lockdep_assert_held(&b->ep->in->state_lock);

	b->offload = ims_offload_without(b);
	b->offload_reason = reason;
	b->fell_back = true;
	hw->fallbacks[reason]++;
	strscpy(hw->text, text, sizeof(hw->text));
}

/* Is it a wish or a demand? */
static int ims_offload_refuse(struct ims_bundle *b, u8 reason, const struct netlink_ext_ack *said,
			      struct netlink_ext_ack *extack)
{
	struct ims_endpoint *ep = b->ep;
	char text[IMS_OFFLOAD_TEXT_MAX], ifname[IFNAMSIZ];

	ims_offload_say(text, said, reason);
	spin_lock_bh(&ep->in->state_lock);
	memcpy(ifname, ep->hw.wish.ifname, sizeof(ifname));
	if (!ep->hw.wish.required)
		ims_offload_fall_back(b, reason, text);
	spin_unlock_bh(&ep->in->state_lock);
	if (!ep->hw.wish.required)
		return 0;
	NL_SET_ERR_MSG_FMT(extack, "%s: %s", ifname, text);
	switch (reason) {
	case IMS_IPSEC_OFFLOAD_REASON_TABLE_FULL:
		return -ENOSPC;
	case IMS_IPSEC_OFFLOAD_REASON_NO_MEMORY:
		return -ENOMEM;
	default:
		return -EOPNOTSUPP;
	}
}

/**
 * ims_offload_bundle() - have the endpoint's interface do the work of a bundle's SAs
 * @b: the bundle, in struct ims_net.bundles, its SAs in no table yet
 * @extack: gets the reason
 *
 * All four or none.
 *
 * Context: process, sleeps, struct ims_net.lock held.
 * Return: 0, also where software does it, which it may; or where that was not wished for
 * -ENOSPC if the interface has as many SAs as it can, -ENOMEM, -EOPNOTSUPP.
 */
int ims_offload_bundle(struct ims_bundle *b, struct netlink_ext_ack *extack)
{
	struct netlink_ext_ack said = {};
	struct ims_net *in = b->ep->in;
	struct net_device *dev;
	enum ims_flow flow;
	u8 reason;

	lockdep_assert_held(&in->lock);

	/* somebody else has GRO and GSO loaded: what is received has no choice */
	if (b->ep->hw.wish.mode == IMS_IPSEC_OFFLOAD_OFF)
		for (flow = 0; flow < IMS_FLOWS; flow++)
			ims_sa_drop_gso(b->sa[flow]);
	b->offload = ims_offload_without(b);
	if (b->ep->hw.wish.mode < IMS_IPSEC_OFFLOAD_CRYPTO)
		return 0;

	/*
	 * Before the device is looked at: what happens to it from then on is noted. One that
	 * is found up has not been closed yet, which takes a grace period, and after that
	 * the notifier finds the bundle.
	 */
	spin_lock_bh(&in->state_lock);
	b->offloading = true;
	spin_unlock_bh(&in->state_lock);
	dev = ims_offload_get_device(b->ep);
	reason = dev ? ims_offload_on(b, dev, &said) : IMS_IPSEC_OFFLOAD_REASON_NO_INTERFACE;
	reason = ims_offload_conclude(b, reason);
	dev_put(dev);
	return reason ? ims_offload_refuse(b, reason, &said, extack) : 0;
}

/* No device has it any more: was it this caller that took it away? */
static bool ims_offload_leave(struct ims_bundle *b)
{
	lockdep_assert_held(&b->ep->in->state_lock);

	if (b->offload < IMS_IPSEC_OFFLOAD_CRYPTO)
		return false;
	b->offload = ims_offload_without(b);
	b->ep->hw.n_bundles--;
	return true;
}

/**
 * ims_offload_end() - a bundle is done with its interface
 * @b: the bundle, dead, or not made
 *
 * Its SAs are still there, and leave the device with their end.
 *
 * Context: process, struct ims_net.lock held.
 */
void ims_offload_end(struct ims_bundle *b)
{
	struct ims_net *in = b->ep->in;

	lockdep_assert_held(&in->lock);

	spin_lock_bh(&in->state_lock);
	ims_offload_leave(b);
	spin_unlock_bh(&in->state_lock);
}

/**
 * ims_offload_give_up() - from here on software does a bundle's ESP
 * @b: the bundle, some of whose SAs the device has forgotten
 *
 * Context: process, sleeps, struct ims_net.lock held.
 */
void ims_offload_give_up(struct ims_bundle *b)
{
	const u8 reason = IMS_IPSEC_OFFLOAD_REASON_LOST;
	struct ims_net *in = b->ep->in;
	bool was_on;

	lockdep_assert_held(&in->lock);

	spin_lock_bh(&in->state_lock);
	was_on = ims_offload_leave(b);
	if (was_on) {
		ims_offload_fall_back(b, reason, ims_offload_texts[reason]);
		ims_registration_queue(b->reg);
	}
	spin_unlock_bh(&in->state_lock);
	if (was_on)
		ims_offload_withdraw(b);
}

/**
 * ims_offload_settle() - tell that software does what an interface should
 * @b: the bundle
 *
 * Context: process, sleeps, struct ims_net.lock held.
 */
void ims_offload_settle(struct ims_bundle *b)
{
	struct ims_net *in = b->ep->in;
	bool fell_back;

	lockdep_assert_held(&in->lock);

	spin_lock_bh(&in->state_lock);
	fell_back = b->fell_back;
	b->fell_back = false;
	spin_unlock_bh(&in->state_lock);
	if (fell_back)
		ims_event_send(b, IMS_IPSEC_EVENT_TYPE_OFFLOAD_FALLBACK,
			       IMS_IPSEC_REASON_INTERFACE, b->state, b->state);
}

/**
 * ims_offload_probe() - try an interface with a pair of algorithms
 * @net: where
 * @ifname: the interface
 * @mode: enum ims_ipsec_offload
 * @pair: the algorithms
 * @result: gets what came of it
 *
 * An SA each way and family is made, given to the device, and taken back.
 *
 * Context: process, sleeps.
 * Return: 0, or -ENODEV if there is no such interface.
 */
int ims_offload_probe(struct net *net, const char *ifname, u8 mode,
		      const struct ims_alg_pair *pair, struct ims_offload_try *result)
{
	static const sa_family_t families[] = { AF_INET, AF_INET6 };
	struct net_device *dev = dev_get_by_name(net, ifname);
	struct netlink_ext_ack said = {};
	char text[IMS_OFFLOAD_TEXT_MAX];
	struct xfrm_state *x;
	int i, err;

	if (!dev)
		return -ENODEV;
	ims_compat_lend_text(&said, text, sizeof(text));
	*result = (struct ims_offload_try) {
		.reason = ims_offload_check_device(dev, &said) ?:
			  ims_offload_check_mode(mode, &said) ?:
			  ims_offload_check_nonce(dev, pair, &said),
	};
	strscpy(result->ifname, dev->name, sizeof(result->ifname));
	if (dev->dev.parent)
		strscpy(result->driver, dev_driver_string(dev->dev.parent),
			sizeof(result->driver));
	for (i = 0; i < 2 * ARRAY_SIZE(families) && !result->reason; i++) {
		x = ims_sa_try(net, pair, families[i / 2], i % 2, true, &said);
		if (IS_ERR(x)) {
			result->reason = ims_offload_reason(PTR_ERR(x), pair);
			break;
		}
		err = ims_sa_offload(x, dev, i % 2, &said);
		result->reason = ims_sa_has_gso(x) ? ims_offload_reason(err, pair) :
						     IMS_IPSEC_OFFLOAD_REASON_NO_SUPPORT;
		ims_sa_discard(x);
	}
	dev_put(dev);
	if (result->reason)
		ims_offload_say(result->text, &said, result->reason);
	return 0;
}

/*
 * @left: gets the bundle's SAs, with a reference each, NULL where it has none yet. Under
 * RCU, by which it was found.
 */
static bool ims_offload_lose(struct ims_bundle *b, int ifindex, struct xfrm_state **left)
{
	const u8 reason = IMS_IPSEC_OFFLOAD_REASON_LOST;
	struct ims_net *in = b->ep->in;
	bool is_lost = false, was_on;
	int i;

	spin_lock_bh(&in->state_lock);
	if (b->ep->hw.ifindex != ifindex)
		goto unlock;
	/* whoever is at it sees to it */
	if (b->offloading) {
		b->offload_lost = true;
		goto unlock;
	}
	was_on = ims_offload_leave(b);
	/* of one that is about to end, or was refused, the SAs are still there perhaps */
	is_lost = was_on || b->dead || b->offload_lost;
	if (!is_lost)
		goto unlock;
	for (i = 0; i < IMS_FLOWS; i++) {
		left[i] = b->sa[i];
		if (left[i])
			ims_sa_hold(left[i]);
	}
	if (!was_on || b->dead)
		goto unlock;
	ims_offload_fall_back(b, reason, ims_offload_texts[reason]);
	ims_registration_queue(b->reg);
unlock:
	spin_unlock_bh(&in->state_lock);
	return is_lost;
}

/*
 * Is it an endpoint's interface? That is what ims_offload_lose() asks of each bundle, of which
 * there are many more: a bundle's endpoint is in the list as long as the bundle is there.
 */
static bool ims_offload_is_used(struct ims_net *in, int ifindex)
{
	struct ims_endpoint *ep;
	bool is_used = false;

	rcu_read_lock();
	spin_lock_bh(&in->state_lock);
	list_for_each_entry_rcu(ep, &in->endpoint_list, node)
		is_used |= ep->hw.ifindex == ifindex;
	spin_unlock_bh(&in->state_lock);
	rcu_read_unlock();
	return is_used;
}

static void ims_offload_lose_all(struct ims_net *in, int ifindex)
{
	struct xfrm_state *left[IMS_FLOWS];
	struct ims_bundle *b;
	unsigned long id = 0;
	bool is_lost;
	int i;

	/* any interface of the host that goes down, under RTNL */
	if (!ims_offload_is_used(in, ifindex))
		return;
	for (;; id++) {
		rcu_read_lock();
		b = xa_find(&in->bundles, &id, ULONG_MAX, XA_PRESENT);
		is_lost = b && ims_offload_lose(b, ifindex, left);
		rcu_read_unlock();
		if (!b)
			break;
		cond_resched();
		if (!is_lost)
			continue;
		for (i = 0; i < IMS_FLOWS; i++) {
			if (!left[i])
				continue;
			ims_sa_withdraw(left[i]);
			ims_sa_put(left[i]);
		}
	}
}

/* Endpoints follow their interface; @ifname: its name, NULL: it is gone. */
static void ims_offload_follow(struct ims_net *in, int ifindex, const char *ifname)
{
	struct ims_endpoint *ep;

	rcu_read_lock();
	list_for_each_entry_rcu(ep, &in->endpoint_list, node) {
		spin_lock_bh(&in->state_lock);
		if (ep->hw.ifindex == ifindex && ifname)
			strscpy(ep->hw.wish.ifname, ifname, sizeof(ep->hw.wish.ifname));
		else if (ep->hw.ifindex == ifindex)
			ep->hw.ifindex = 0;
		spin_unlock_bh(&in->state_lock);
	}
	rcu_read_unlock();
}

static bool ims_offload_is_over;

/* Under RTNL, and so not under struct ims_net.lock: a driver may want both. */
static int ims_offload_event(struct notifier_block *nb, unsigned long event, void *ptr)
{
	const struct net_device *dev = netdev_notifier_info_to_dev(ptr);
	struct ims_net *in = ims_net(dev_net(dev));

	if (READ_ONCE(ims_offload_is_over))
		return NOTIFY_DONE;
	switch (event) {
	case NETDEV_CHANGENAME:
		ims_offload_follow(in, dev->ifindex, dev->name);
		break;
	case NETDEV_DOWN:
		ims_offload_lose_all(in, dev->ifindex);
		break;
	case NETDEV_UNREGISTER:
		ims_offload_lose_all(in, dev->ifindex);
		ims_offload_follow(in, dev->ifindex, NULL);
	}
	return NOTIFY_DONE;
}

static struct notifier_block ims_offload_notifier = {
	.notifier_call = ims_offload_event,
	/* before XFRM's, which has none */
	.priority = 1,
};

/**
 * ims_offload_init() - begin to look what happens to interfaces
 *
 * Context: process, sleeps.
 * Return: 0 or a negative errno.
 */
int ims_offload_init(void)
{
	return register_netdevice_notifier(&ims_offload_notifier);
}

/**
 * ims_offload_exit() - look no more
 *
 * Context: process, sleeps. What is offloaded stays so until its end.
 */
void ims_offload_exit(void)
{
	/* it is told then that all interfaces go */
	WRITE_ONCE(ims_offload_is_over, true);
	unregister_netdevice_notifier(&ims_offload_notifier);
}
