// SPDX-License-Identifier: GPL-2.0-only
/*
 * Trusted prefixes of an endpoint: a core that answers to a protected port.
 *
 * What is between a protected port and such a prefix, by its interface, the guard lets through in
 * clear, and a policy without IPsec has it leave so. An address is the core's or a UE's, never
 * both: no bundle is made for a UE whose address is in such a prefix, and no prefix is trusted that
 * has a UE's.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/inet.h>
#include <linux/inetdevice.h>
#include <linux/netdevice.h>
#include <linux/slab.h>
#include <net/ip.h>
#include <net/ipv6.h>
#include <net/l3mdev.h>

#include "bundle.h"
#include "claim.h"
#include "compat.h"
#include "endpoint.h"
#include "netns.h"
#include "policy.h"
#include "trust.h"

/**
 * struct ims_trust - a trusted prefix
 * @wish: what was asked for; the interface's name follows the interface's, under struct
 *	ims_net.state_lock
 * @ifindex: the interface, 0: it is not there; written under struct ims_net.state_lock
 * @pols: one for each of the endpoint's ports, NULL if it is not there, or if another one of the
 *	endpoint's has the same prefix; under struct ims_net.lock
 */
struct ims_trust {
	struct ims_trust_wish wish;
	int ifindex;
	struct xfrm_policy *pols[1 + IMS_IPSEC_PORT_PC_MAX];
};

/**
 * struct ims_trusts - all of an endpoint's
 * @rcu: for freeing
 * @n: how many; constant
 * @trust: each
 */
struct ims_trusts {
	struct rcu_head rcu;
	unsigned int n;
	struct ims_trust trust[];
};

static struct ims_trusts *ims_trusts_of(const struct ims_endpoint *ep)
{
	return rcu_dereference_protected(ep->trusts, lockdep_is_held(&ep->in->lock));
}

static bool ims_trust_covers(const struct ims_trust_wish *wish, const struct ims_addr *addr)
{
	if (wish->addr.family != addr->family)
		return false;
	if (addr->family == AF_INET)
		return !((wish->addr.in.s_addr ^ addr->in.s_addr) & inet_make_mask(wish->len));
	return ipv6_prefix_equal(&wish->addr.in6, &addr->in6, wish->len);
}

static bool ims_trust_same_prefix(const struct ims_trust_wish *a, const struct ims_trust_wish *b)
{
	return a->len == b->len && ims_addr_equal(&a->addr, &b->addr);
}

/**
 * ims_trust_parse() - a prefix and its interface, from text
 * @wish: gets them
 * @text: ADDRESS/LENGTH%INTERFACE
 *
 * Return: 0; -EINVAL if it is nothing of the kind.
 */
int ims_trust_parse(struct ims_trust_wish *wish, const char *text)
{
	const char *slash = strchr(text, '/'), *percent = slash ? strchr(slash, '%') : NULL;
	char len[4];

	memset(wish, 0, sizeof(*wish));
	if (!percent || percent - slash > sizeof(len) || !dev_valid_name(percent + 1))
		return -EINVAL;
	if (in4_pton(text, slash - text, (u8 *)&wish->addr.in, -1, NULL))
		wish->addr.family = AF_INET;
	else if (in6_pton(text, slash - text, (u8 *)&wish->addr.in6, -1, NULL))
		wish->addr.family = AF_INET6;
	else
		return -EINVAL;
	strscpy(len, slash + 1, percent - slash);
	strscpy(wish->ifname, percent + 1, sizeof(wish->ifname));
	return kstrtou8(len, 10, &wish->len);
}

/**
 * ims_trust_get() - what an endpoint trusts
 * @ep: the endpoint
 * @i: which, from 0
 * @wish: gets it
 *
 * Context: struct ims_net.lock held.
 * Return: 0; -ENOENT: there are not so many.
 */
int ims_trust_get(const struct ims_endpoint *ep, unsigned int i, struct ims_trust_wish *wish)
{
	const struct ims_trusts *trusts = ims_trusts_of(ep);

	if (!trusts || i >= trusts->n)
		return -ENOENT;
	spin_lock_bh(&ep->in->state_lock);
	*wish = trusts->trust[i].wish;
	spin_unlock_bh(&ep->in->state_lock);
	return 0;
}

/* Without bits behind the prefix, and not everything: the endpoint's own policy is for that. */
static bool ims_trust_is_prefix(const struct ims_trust_wish *wish)
{
	struct in6_addr prefix;

	if (!wish->len || wish->len > ims_addr_len(&wish->addr) * 8)
		return false;
	if (wish->addr.family == AF_INET)
		return !(wish->addr.in.s_addr & ~inet_make_mask(wish->len));
	ipv6_addr_prefix(&prefix, &wish->addr.in6, wish->len);
	return ipv6_addr_equal(&prefix, &wish->addr.in6);
}

static int ims_trust_check(const struct ims_endpoint *ep, const struct ims_trust_wishes *wishes,
			   struct netlink_ext_ack *extack)
{
	const struct ims_trust_wish *a, *b;
	unsigned int i, j;

	for (i = 0; i < wishes->n; i++) {
		a = &wishes->wish[i];
		if (a->addr.family != ep->addr.family) {
			NL_SET_ERR_MSG(extack, "trusted is not of the endpoint's family");
			return -EINVAL;
		}
		if (!ims_trust_is_prefix(a)) {
			NL_SET_ERR_MSG(extack,
				       "trusted has bits behind its prefix, or no length of one");
			return -EINVAL;
		}
		for (j = 0; j < i; j++) {
			b = &wishes->wish[j];
			if (!ims_trust_same_prefix(a, b) || strcmp(a->ifname, b->ifname))
				continue;
			NL_SET_ERR_MSG(extack, "trusted has a prefix twice");
			return -EINVAL;
		}
	}
	return 0;
}

/* Is a UE there, of whatever endpoint? One that only says so, in a tunnel, is elsewhere. */
static int ims_trust_check_ues(struct ims_net *in, const struct ims_trust_wishes *wishes,
			       struct netlink_ext_ack *extack)
{
	struct ims_bundle *b;
	struct ims_tuple t;
	unsigned long id;
	unsigned int i;

	if (!wishes->n)
		return 0;
	xa_for_each(&in->bundles, id, b) {
		cond_resched();
		if (!ims_bundle_is_fact(b))
			continue;
		ims_bundle_tuple(b, IMS_FLOW_OUT_UC, &t);
		for (i = 0; i < wishes->n; i++) {
			if (!ims_trust_covers(&wishes->wish[i], &t.dst))
				continue;
			NL_SET_ERR_MSG_FMT(extack, "trusted has the UE of bundle %u in it", b->id);
			return -EBUSY;
		}
	}
	return 0;
}

/**
 * ims_trust_check_bundle() - may there be a bundle, or would its UE be among the core
 * @in: where
 * @p: the bundle
 * @extack: gets the reason
 *
 * Context: process, struct ims_net.lock held.
 * Return: 0; -EADDRNOTAVAIL if the UE's address is in a prefix that an endpoint trusts, unless it
 * is only said, within a tunnel that comes from elsewhere.
 */
int ims_trust_check_bundle(struct ims_net *in, const struct ims_bundle_params *p,
			   struct netlink_ext_ack *extack)
{
	const struct ims_trusts *trusts;
	const struct ims_endpoint *ep;
	unsigned int i;

	lockdep_assert_held(&in->lock);

	if (p->mode == IMS_IPSEC_MODE_UDP_ENC_TUN && !ims_addr_equal(&p->nat_addr, &p->ue_addr))
		return 0;
	list_for_each_entry(ep, &in->endpoint_list, node) {
		trusts = ims_trusts_of(ep);
		for (i = 0; trusts && i < trusts->n; i++) {
			if (!ims_trust_covers(&trusts->trust[i].wish, &p->ue_addr))
				continue;
			NL_SET_ERR_MSG_FMT(extack,
					   "ue-address is in a prefix that endpoint %u trusts",
					   ep->id);
			return -EADDRNOTAVAIL;
		}
	}
	return 0;
}

/* Has an earlier one the same prefix, by another interface? Then it has the policies. */
static bool ims_trust_has_policies(const struct ims_trusts *trusts, unsigned int i)
{
	unsigned int j;

	for (j = 0; j < i; j++)
		if (ims_trust_same_prefix(&trusts->trust[i].wish, &trusts->trust[j].wish))
			return false;
	return true;
}

static int ims_trust_add_policy(struct ims_endpoint *ep, struct ims_trust *t, unsigned int port,
				struct netlink_ext_ack *extack)
{
	return ims_policy_add_trusted(&t->pols[port], ep->in->net, &ep->addr,
				      ep->ports.port[port], &t->wish.addr, t->wish.len, extack);
}

/**
 * ims_trust_add_port() - an endpoint has got a port
 * @ep: the endpoint
 * @port: which of its ports
 * @extack: gets the reason
 *
 * Context: process, sleeps, struct ims_net.lock held.
 * Return: 0; -EEXIST for a policy of somebody else's; -ENOMEM. ims_trust_drop_port() undoes it.
 */
int ims_trust_add_port(struct ims_endpoint *ep, unsigned int port, struct netlink_ext_ack *extack)
{
	struct ims_trusts *trusts = ims_trusts_of(ep);
	unsigned int i;
	int err = 0;

	for (i = 0; trusts && i < trusts->n && !err; i++) {
		trusts->trust[i].pols[port] = NULL;
		if (ims_trust_has_policies(trusts, i))
			err = ims_trust_add_policy(ep, &trusts->trust[i], port, extack);
	}
	return err;
}

/**
 * ims_trust_drop_port() - an endpoint loses a port
 * @ep: the endpoint
 * @port: which of its ports
 * @last: the one that gets its place
 *
 * Context: process, struct ims_net.lock held.
 */
void ims_trust_drop_port(struct ims_endpoint *ep, unsigned int port, unsigned int last)
{
	struct ims_trusts *trusts = ims_trusts_of(ep);
	struct ims_trust *t;
	unsigned int i;

	for (i = 0; trusts && i < trusts->n; i++) {
		t = &trusts->trust[i];
		ims_policy_delete(t->pols[port]);
		t->pols[port] = t->pols[last];
		t->pols[last] = NULL;
	}
}

/**
 * ims_trust_restore() - put the policies back that somebody took away
 * @ep: the endpoint
 * @restored: is counted up by those that were gone
 *
 * Context: process, sleeps, struct ims_net.lock held.
 * Return: 0; -ENOMEM. One for which somebody else has a policy by now stays away: the guard holds.
 */
int ims_trust_restore(struct ims_endpoint *ep, unsigned int *restored)
{
	struct ims_trusts *trusts = ims_trusts_of(ep);
	struct ims_trust *t;
	unsigned int i, port;

	for (i = 0; trusts && i < trusts->n; i++) {
		t = &trusts->trust[i];
		if (!ims_trust_has_policies(trusts, i))
			continue;
		for (port = 0; port < ep->ports.n; port++) {
			if (!ims_policy_is_gone(t->pols[port]))
				continue;
			++*restored;
			ims_policy_delete(t->pols[port]);
			t->pols[port] = NULL;
			if (ims_trust_add_policy(ep, t, port, NULL) == -ENOMEM)
				return -ENOMEM;
		}
	}
	return 0;
}

/* Those that are not another's by now */
static void ims_trust_delete_policies(struct ims_endpoint *ep, struct ims_trusts *trusts)
{
	unsigned int i, port;

	for (i = 0; trusts && i < trusts->n; i++)
		for (port = 0; port < ep->ports.n; port++)
			ims_policy_delete(trusts->trust[i].pols[port]);
}

/* The one that has the policies of a prefix, or NULL */
static struct ims_trust *ims_trust_find(struct ims_trusts *trusts, const struct ims_trust_wish *w)
{
	unsigned int i;

	for (i = 0; trusts && i < trusts->n; i++)
		if (ims_trust_same_prefix(&trusts->trust[i].wish, w))
			return &trusts->trust[i];
	return NULL;
}

/* What is new; @old has the rest. */
static int ims_trust_add_policies(struct ims_endpoint *ep, struct ims_trusts *new,
				  struct ims_trusts *old, struct netlink_ext_ack *extack)
{
	unsigned int i, port;
	struct ims_trust *t;
	int err = 0;

	for (i = 0; i < new->n; i++) {
		t = &new->trust[i];
		if (!ims_trust_has_policies(new, i) || ims_trust_find(old, &t->wish))
			continue;
		for (port = 0; port < ep->ports.n && !err; port++)
			err = ims_trust_add_policy(ep, t, port, extack);
	}
	return err;
}

static void ims_trust_take_over(struct ims_trusts *new, struct ims_trusts *old)
{
	struct ims_trust *t, *o;
	unsigned int i;

	for (i = 0; i < new->n; i++) {
		t = &new->trust[i];
		o = ims_trust_has_policies(new, i) ? ims_trust_find(old, &t->wish) : NULL;
		if (!o)
			continue;
		memcpy(t->pols, o->pols, sizeof(t->pols));
		memset(o->pols, 0, sizeof(o->pols));
	}
}

/*
 * Those that are not there yet; under struct ims_net.state_lock, which the notifier takes after a
 * name has changed, so that an interface is found by the name that it has, or followed.
 */
static void ims_trust_bind(struct ims_net *in, struct ims_trusts *trusts)
{
	const struct net_device *dev;
	struct ims_trust *t;
	unsigned int i;

	lockdep_assert_held(&in->state_lock);

	for (i = 0; i < trusts->n; i++) {
		t = &trusts->trust[i];
		if (t->ifindex)
			continue;
		dev = dev_get_by_name_rcu(in->net, t->wish.ifname);
		WRITE_ONCE(t->ifindex, dev ? dev->ifindex : 0);
	}
}

static struct ims_trusts *ims_trusts_new(const struct ims_trust_wishes *wishes)
{
	struct ims_trusts *trusts;
	unsigned int i;

	trusts = kvzalloc(struct_size(trusts, trust, wishes->n), GFP_KERNEL_ACCOUNT);
	if (!trusts)
		return NULL;
	trusts->n = wishes->n;
	for (i = 0; i < wishes->n; i++)
		trusts->trust[i].wish = wishes->wish[i];
	return trusts;
}

/**
 * ims_trust_set() - have an endpoint trust these, and no others
 * @ep: the endpoint, in its namespace's list
 * @wishes: which
 * @extack: gets the reason
 *
 * Context: process, sleeps, struct ims_net.lock held.
 * Return: 0; -EINVAL; -EBUSY if a UE that has a bundle is among them; -EEXIST for a policy of
 * somebody else's; -ENOMEM. On error nothing has changed.
 */
int ims_trust_set(struct ims_endpoint *ep, const struct ims_trust_wishes *wishes,
		  struct netlink_ext_ack *extack)
{
	struct ims_trusts *old = ims_trusts_of(ep), *new;
	struct ims_net *in = ep->in;
	int err;

	lockdep_assert_held(&in->lock);

	err = ims_trust_check(ep, wishes, extack);
	if (!err)
		err = ims_trust_check_ues(in, wishes, extack);
	if (err || (!wishes->n && !old))
		return err;
	new = ims_trusts_new(wishes);
	if (!new)
		return -ENOMEM;
	err = ims_trust_add_policies(ep, new, old, extack);
	if (err) {
		ims_trust_delete_policies(ep, new);
		kvfree(new);
		return err;
	}
	/* the guard has them before the policies go: what is no longer trusted is dropped */
	ims_trust_take_over(new, old);
	rcu_read_lock();
	spin_lock_bh(&in->state_lock);
	rcu_assign_pointer(ep->trusts, new);
	ims_trust_bind(in, new);
	spin_unlock_bh(&in->state_lock);
	rcu_read_unlock();
	if (!old)
		return 0;
	ims_trust_delete_policies(ep, old);
	synchronize_rcu_expedited();
	kvfree(old);
	return 0;
}

/**
 * ims_trust_end() - an endpoint trusts nobody any more
 * @ep: the endpoint, which is being deleted
 *
 * Context: process, struct ims_net.lock held.
 */
void ims_trust_end(struct ims_endpoint *ep)
{
	struct ims_trusts *trusts = ims_trusts_of(ep);

	if (!trusts)
		return;
	ims_trust_delete_policies(ep, trusts);
	RCU_INIT_POINTER(ep->trusts, NULL);
	kvfree_rcu(trusts, rcu);
}

/* An index says nothing in another namespace. */
static const struct ims_trusts *ims_trusts_at(const struct ims_endpoint *ep,
					      const struct net_device *dev)
{
	const struct ims_trusts *trusts = rcu_dereference(ep->trusts);

	return trusts && dev && net_eq(dev_net(dev), ep->in->net) ? trusts : NULL;
}

/* The interface that a packet came by into a VRF, or 0 */
static int ims_trust_slave(const struct sk_buff *skb)
{
	return ip_hdr(skb)->version == 4 ? inet_sdif(skb) : inet6_sdif(skb);
}

/**
 * ims_trust_input() - did what came in clear come from where an endpoint trusts
 * @ep: the endpoint
 * @peer: where it says that it comes from
 * @dev: the interface; of a VRF, that or the one in it
 * @skb: the packet
 *
 * Context: any, under RCU.
 * Return: true if so.
 */
bool ims_trust_input(const struct ims_endpoint *ep, const struct ims_addr *peer,
		     const struct net_device *dev, const struct sk_buff *skb)
{
	const struct ims_trusts *trusts = ims_trusts_at(ep, dev);
	unsigned int i;
	int ifindex;

	/* The first fragment of a packet came by skb_iif, and the last one to come by @dev. */
	if (!trusts || skb->skb_iif != dev->ifindex)
		return false;
	for (i = 0; i < trusts->n; i++) {
		ifindex = READ_ONCE(trusts->trust[i].ifindex);
		if (ifindex && ims_trust_covers(&trusts->trust[i].wish, peer) &&
		    (ifindex == dev->ifindex || ifindex == ims_trust_slave(skb)))
			return true;
	}
	return false;
}

/* A packet for an interface in a VRF is seen on its way to either. */
static bool ims_trust_leads_to(const struct net_device *dev, int ifindex)
{
	const struct net_device *slave;

	if (ifindex == dev->ifindex || ifindex == l3mdev_master_ifindex_rcu(dev))
		return true;
	if (!netif_is_l3_master(dev))
		return false;
	slave = dev_get_by_index_rcu(dev_net(dev), ifindex);
	return slave && l3mdev_master_ifindex_rcu(slave) == dev->ifindex;
}

/**
 * ims_trust_output() - does what leaves in clear go to where an endpoint trusts
 * @ep: the endpoint
 * @peer: where it goes to
 * @dev: the interface; of a VRF, that or the one in it
 *
 * Context: any, under RCU.
 * Return: true if so.
 */
bool ims_trust_output(const struct ims_endpoint *ep, const struct ims_addr *peer,
		      const struct net_device *dev)
{
	const struct ims_trusts *trusts = ims_trusts_at(ep, dev);
	unsigned int i;
	int ifindex;

	for (i = 0; trusts && i < trusts->n; i++) {
		ifindex = READ_ONCE(trusts->trust[i].ifindex);
		if (ifindex && ims_trust_covers(&trusts->trust[i].wish, peer) &&
		    ims_trust_leads_to(dev, ifindex))
			return true;
	}
	return false;
}

/* Endpoints follow their interfaces; @gone: else it is new, or has a new name. */
static void ims_trust_follow(struct ims_net *in, const struct net_device *dev, bool gone)
{
	struct ims_endpoint *ep;
	struct ims_trusts *trusts;
	struct ims_trust *t;
	unsigned int i;

	rcu_read_lock();
	list_for_each_entry_rcu(ep, &in->endpoint_list, node) {
		spin_lock_bh(&in->state_lock);
		trusts = rcu_dereference(ep->trusts);
		for (i = 0; trusts && i < trusts->n; i++) {
			t = &trusts->trust[i];
			if (t->ifindex != dev->ifindex)
				continue;
			if (gone)
				WRITE_ONCE(t->ifindex, 0);
			else
				strscpy(t->wish.ifname, dev->name, sizeof(t->wish.ifname));
		}
		if (trusts)
			ims_trust_bind(in, trusts);
		spin_unlock_bh(&in->state_lock);
	}
	rcu_read_unlock();
}

/* Under RTNL, and so not under struct ims_net.lock. */
static int ims_trust_event(struct notifier_block *nb, unsigned long event, void *ptr)
{
	const struct net_device *dev = netdev_notifier_info_to_dev(ptr);
	struct ims_net *in = ims_net(dev_net(dev));

	switch (event) {
	case NETDEV_REGISTER:
	case NETDEV_CHANGENAME:
	case NETDEV_UNREGISTER:
		ims_trust_follow(in, dev, event == NETDEV_UNREGISTER);
	}
	return NOTIFY_DONE;
}

static struct notifier_block ims_trust_notifier = {
	.notifier_call = ims_trust_event,
};

/**
 * ims_trust_init() - begin to follow interfaces
 *
 * Context: process, sleeps.
 * Return: 0 or a negative errno.
 */
int ims_trust_init(void)
{
	return register_netdevice_notifier(&ims_trust_notifier);
}

/**
 * ims_trust_exit() - follow them no more
 *
 * Context: process, sleeps.
 */
void ims_trust_exit(void)
{
	unregister_netdevice_notifier(&ims_trust_notifier);
}
