// SPDX-License-Identifier: GPL-2.0-only
/*
 * Interfaces of type ipvlan: in mode L3S, what they receive passes netfilter's hooks in
 * the namespace of their lower device, and not in their own. So the guard has hooks there
 * as well, as soon as a namespace with an endpoint has such an interface, whatever mode it is
 * in now. They stay until that namespace ends.
 *
 * An inbound policy in the interface's namespace would be no cure: fragments of IPv6 that
 * are alone get past policies for ports, and all that the namespace receives would be
 * looked up.
 */
#include <linux/mutex.h>
#include <linux/netdevice.h>
#include <net/net_namespace.h>
#include <net/rtnetlink.h>

#include "guard.h"
#include "ipvlan.h"
#include "netns.h"

/* Whether a namespace is visited; inside RTNL and struct ims_net.lock */
static DEFINE_MUTEX(ims_ipvlan_lock);

/* The namespace of an ipvlan's lower device, NULL: not that of another one */
static struct net *ims_ipvlan_lower(const struct net_device *dev)
{
	const struct rtnl_link_ops *ops = dev->rtnl_link_ops;
	struct net *net;

	if (!ops || !ops->get_link_net || strcmp(ops->kind, "ipvlan"))
		return NULL;
	net = ops->get_link_net(dev);
	return net == dev_net(dev) ? NULL : net;
}

/* One that has no hooks yet, with a reference */
static struct net *ims_ipvlan_next(struct net *net)
{
	struct net *lower = NULL;
	struct net_device *dev;

	rcu_read_lock();
	for_each_netdev_rcu(net, dev) {
		lower = ims_ipvlan_lower(dev);
		if (lower && !READ_ONCE(ims_net(lower)->visited))
			lower = maybe_get_net(lower);
		else
			lower = NULL;
		if (lower)
			break;
	}
	rcu_read_unlock();
	return lower;
}

static int ims_ipvlan_visit(struct ims_net *in)
{
	int err = 0;

	mutex_lock(&ims_ipvlan_lock);
	if (!in->visited)
		err = ims_guard_visit(in->net);
	if (!err)
		WRITE_ONCE(in->visited, true);
	mutex_unlock(&ims_ipvlan_lock);
	return err;
}

/**
 * ims_ipvlan_guard() - have all that reaches a namespace's ipvlan interfaces judged
 * @net: where
 *
 * Context: process, sleeps; under RTNL or struct ims_net.lock, or neither.
 * Return: 0 or -ENOMEM.
 */
int ims_ipvlan_guard(struct net *net)
{
	struct net *lower;
	int err = 0;

	while (!err && (lower = ims_ipvlan_next(net))) {
		err = ims_ipvlan_visit(ims_net(lower));
		put_net(lower);
	}
	return err;
}

/**
 * ims_ipvlan_net_exit() - a namespace ends
 * @in: the namespace, in which no interface is looked for any more
 *
 * Context: process, sleeps.
 */
void ims_ipvlan_net_exit(struct ims_net *in)
{
	if (in->visited)
		ims_guard_leave_alone(in->net);
	in->visited = false;
}

static int ims_ipvlan_look(const struct net_device *dev)
{
	struct net *net = dev_net(dev);

	if (!ims_ipvlan_lower(dev) || !READ_ONCE(ims_net(net)->guarded))
		return 0;
	return ims_ipvlan_guard(net);
}

/* Under RTNL */
static int ims_ipvlan_event(struct notifier_block *nb, unsigned long event, void *ptr)
{
	struct net_device *upper, *dev = netdev_notifier_info_to_dev(ptr);
	struct list_head *iter;
	int err;

	/* new, or come from another namespace */
	if (event != NETDEV_REGISTER)
		return NOTIFY_DONE;
	err = ims_ipvlan_look(dev);
	/* a lower one leaves some behind when it comes */
	netdev_for_each_upper_dev_rcu(dev, upper, iter)
		err = err ?: ims_ipvlan_look(upper);
	return notifier_from_errno(err);
}

static struct notifier_block ims_ipvlan_notifier = {
	.notifier_call = ims_ipvlan_event,
};

/**
 * ims_ipvlan_init() - begin to look for interfaces
 *
 * Context: process, sleeps.
 * Return: 0 or a negative errno.
 */
int ims_ipvlan_init(void)
{
	return register_netdevice_notifier(&ims_ipvlan_notifier);
}

/**
 * ims_ipvlan_exit() - look no more
 *
 * Context: process, sleeps.
 */
void ims_ipvlan_exit(void)
{
	unregister_netdevice_notifier(&ims_ipvlan_notifier);
}
