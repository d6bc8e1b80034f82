// SPDX-License-Identifier: GPL-2.0-only
/* Endpoints: a local address with its protected ports, shut while it exists. */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/random.h>
#include <linux/slab.h>

#include "compat.h"
#include "encap.h"
#include "endpoint.h"
#include "guard.h"
#include "ipvlan.h"
#include "journal.h"
#include "limit.h"
#include "netns.h"

/**
 * ims_endpoint_has_port() - is a port one of the endpoint's
 * @ep: the endpoint
 * @port: the port
 *
 * Context: any; @ep under RCU or struct ims_net.lock.
 * Return: true if so.
 */
bool ims_endpoint_has_port(const struct ims_endpoint *ep, __be16 port)
{
	/* as many as there are by now, see ims_endpoint_drop_port() */
	const unsigned int n = smp_load_acquire(&ep->ports.n);
	unsigned int i;

	for (i = 0; i < n; i++)
		if (READ_ONCE(ep->ports.port[i]) == port)
			return true;
	return false;
}

/**
 * ims_endpoint_reqid() - what the SAs that send from a port are chosen by
 * @ep: the endpoint
 * @port: one of its ports
 *
 * Context: any; @ep under RCU or struct ims_net.lock.
 * Return: the reqid.
 */
u32 ims_endpoint_reqid(const struct ims_endpoint *ep, __be16 port)
{
	return ep->reqid[port == ep->ports.port[0] ? IMS_REQID_PS : IMS_REQID_PC];
}

/**
 * ims_endpoint_has_reqid() - is a reqid that of an endpoint's ports
 * @ep: the endpoint
 * @reqid: the reqid
 *
 * Context: any; @ep under RCU or struct ims_net.lock.
 * Return: true if so.
 */
bool ims_endpoint_has_reqid(const struct ims_endpoint *ep, u32 reqid)
{
	return reqid == ep->reqid[IMS_REQID_PS] || reqid == ep->reqid[IMS_REQID_PC] ||
	       reqid == ep->reqid[IMS_REQID_IN];
}

/* Does an endpoint shut its ports at an address? AF_UNSPEC: any IPv6 address */
static bool ims_endpoint_is_shut(const struct ims_endpoint *ep, const struct ims_addr *addr)
{
	if (ep->guard == IMS_IPSEC_GUARD_BYPASS)
		return false;
	if (addr->family == AF_UNSPEC)
		return ep->addr.family == AF_INET6;
	return ims_addr_equal(&ep->addr, addr);
}

static bool ims_endpoint_is_open(const struct ims_endpoint *ep, const struct ims_addr *addr)
{
	return ep->guard == IMS_IPSEC_GUARD_BYPASS && ims_addr_equal(&ep->addr, addr);
}

/* Of those that match, the one that has a port. Packets ask: the compiler has it twice. */
static __always_inline struct ims_endpoint *
ims_endpoint_find(struct ims_net *in, const struct ims_addr *addr, __be16 port,
		  bool (*match)(const struct ims_endpoint *ep, const struct ims_addr *addr))
{
	const struct ims_port_map *map = rcu_dereference(in->port_map);
	struct ims_endpoint *ep;

	if (!map || !test_bit(ims_port_bit(port), map->bits))
		return NULL;
	list_for_each_entry_rcu(ep, &in->endpoint_list, node)
		if (match(ep, addr) && ims_endpoint_has_port(ep, port))
			return ep;
	return NULL;
}

/**
 * ims_endpoint_of_port() - the endpoint that shuts a port
 * @in: where
 * @addr: local address; AF_UNSPEC: any IPv6 address
 * @port: local port
 *
 * Context: any, under RCU.
 * Return: the endpoint, or NULL if there is none, or one with guard bypass.
 */
struct ims_endpoint *ims_endpoint_of_port(struct ims_net *in, const struct ims_addr *addr,
					  __be16 port)
{
	return ims_endpoint_find(in, addr, port, ims_endpoint_is_shut);
}

/**
 * ims_endpoint_with_bypass() - the endpoint that has a port and does not shut it
 * @in: where
 * @addr: local address
 * @port: local port
 *
 * Context: any, under RCU.
 * Return: the endpoint, or NULL if there is none with guard bypass.
 */
struct ims_endpoint *ims_endpoint_with_bypass(struct ims_net *in, const struct ims_addr *addr,
					      __be16 port)
{
	return ims_endpoint_find(in, addr, port, ims_endpoint_is_open);
}

/**
 * ims_endpoint_of_addr() - an endpoint that shuts ports of a local address
 * @in: where
 * @addr: local address; AF_UNSPEC: any IPv6 address
 *
 * Context: any, under RCU.
 * Return: the first one whose guard is not bypass, or NULL.
 */
struct ims_endpoint *ims_endpoint_of_addr(struct ims_net *in, const struct ims_addr *addr)
{
	struct ims_endpoint *ep;

	list_for_each_entry_rcu(ep, &in->endpoint_list, node)
		if (ims_endpoint_is_shut(ep, addr))
			return ep;
	return NULL;
}

/**
 * ims_endpoint_sends_esp() - does ESP leave an address for an endpoint
 * @in: where
 * @addr: local address
 * @nat_port: source port where ESP is in UDP, or 0
 *
 * Context: any, under RCU.
 * Return: true if so.
 */
bool ims_endpoint_sends_esp(struct ims_net *in, const struct ims_addr *addr, __be16 nat_port)
{
	const struct ims_endpoint *ep;

	list_for_each_entry_rcu(ep, &in->endpoint_list, node)
		if (ims_addr_equal(&ep->addr, addr) &&
		    (!nat_port || (ep->encap && ep->nat_port == nat_port)))
			return true;
	return false;
}

/**
 * ims_endpoint_at() - an endpoint at an address, whether it shuts its ports or not
 * @in: where
 * @addr: local address
 *
 * Context: any, under RCU.
 * Return: the first one, or NULL.
 */
struct ims_endpoint *ims_endpoint_at(struct ims_net *in, const struct ims_addr *addr)
{
	struct ims_endpoint *ep;

	list_for_each_entry_rcu(ep, &in->endpoint_list, node)
		if (ims_addr_equal(&ep->addr, addr))
			return ep;
	return NULL;
}

static struct ims_port_map *ims_endpoint_port_map(struct ims_net *in)
{
	return rcu_dereference_protected(in->port_map, lockdep_is_held(&in->lock));
}

static int ims_endpoint_map_ports(struct ims_net *in, const struct ims_endpoint *ep)
{
	struct ims_port_map *map = ims_endpoint_port_map(in);
	unsigned int i;

	if (!map) {
		map = kvzalloc(sizeof(*map), GFP_KERNEL_ACCOUNT);
		if (!map)
			return -ENOMEM;
		rcu_assign_pointer(in->port_map, map);
	}
	for (i = 0; i < ep->ports.n; i++)
		set_bit(ims_port_bit(ep->ports.port[i]), map->bits);
	if (ep->encap)
		set_bit(ims_port_bit(ep->nat_port), map->esp);
	return 0;
}

/* Has any endpoint the port, at whatever address? */
static bool ims_endpoint_uses_port(struct ims_net *in, __be16 port)
{
	const struct ims_endpoint *ep;

	list_for_each_entry(ep, &in->endpoint_list, node)
		if (ims_endpoint_has_port(ep, port))
			return true;
	return false;
}

static bool ims_endpoint_uses_nat_port(struct ims_net *in, __be16 port)
{
	const struct ims_endpoint *ep;

	list_for_each_entry(ep, &in->endpoint_list, node)
		if (ep->encap && ep->nat_port == port)
			return true;
	return false;
}

/*
 * @gone has left the list. The guard reads the map meanwhile: the bit of a port that
 * another endpoint has is not cleared for an instant.
 */
static void ims_endpoint_unmap_ports(struct ims_net *in, const struct ims_endpoint *gone)
{
	struct ims_port_map *map = ims_endpoint_port_map(in);
	unsigned int i;

	if (!in->n_endpoints) {
		rcu_assign_pointer(in->port_map, NULL);
		kvfree_rcu(map, rcu);
		return;
	}
	for (i = 0; i < gone->ports.n; i++)
		if (!ims_endpoint_uses_port(in, gone->ports.port[i]))
			clear_bit(ims_port_bit(gone->ports.port[i]), map->bits);
	if (gone->encap && !ims_endpoint_uses_nat_port(in, gone->nat_port))
		clear_bit(ims_port_bit(gone->nat_port), map->esp);
}

/* @own: an endpoint that has some of the ports already, and would have these; or NULL */
static int ims_endpoint_check_ports(struct ims_net *in, const struct ims_endpoint_params *p,
				    const struct ims_endpoint *own,
				    struct netlink_ext_ack *extack)
{
	const struct ims_ports *ports = &p->ports;
	struct ims_endpoint *ep;
	unsigned int i, j;

	for (i = 0; i < ports->n; i++) {
		if (!ims_port_is_protectable(ports->port[i])) {
			NL_SET_ERR_MSG_FMT(extack, "port %u cannot be a protected port",
					   ntohs(ports->port[i]));
			return -EINVAL;
		}
		if (p->nat && ports->port[i] == p->nat_port) {
			NL_SET_ERR_MSG_FMT(extack, "port %u is nat-port", ntohs(p->nat_port));
			return -EINVAL;
		}
		for (j = 0; j < i; j++) {
			if (ports->port[j] != ports->port[i])
				continue;
			NL_SET_ERR_MSG_FMT(extack, "port %u is given twice",
					   ntohs(ports->port[i]));
			return -EINVAL;
		}
	}
	list_for_each_entry(ep, &in->endpoint_list, node) {
		if (ep == own || !ims_addr_equal(&ep->addr, &p->addr))
			continue;
		for (i = 0; i < ports->n; i++) {
			if (!ims_endpoint_has_port(ep, ports->port[i]))
				continue;
			NL_SET_ERR_MSG_FMT(extack, "port %u belongs to endpoint %u",
					   ntohs(ports->port[i]), ep->id);
			return -EADDRINUSE;
		}
	}
	return 0;
}

static int ims_endpoint_check(struct ims_net *in, const struct ims_endpoint_params *p,
			      struct netlink_ext_ack *extack)
{
	if (in->n_endpoints >= in->config.max_endpoints) {
		NL_SET_ERR_MSG_FMT(extack, "max_endpoints (%u) reached",
				   in->config.max_endpoints);
		return -ENOSPC;
	}
	if (!ims_addr_is_host(&p->addr)) {
		NL_SET_ERR_MSG(extack, "address is not one that a host can have");
		return -EINVAL;
	}
	return ims_endpoint_check_ports(in, p, NULL, extack);
}

/*
 * One for the server port and one for the client ports, or XFRM would find the two SAs to a UE in
 * one place and have to look at both; and another one for what comes from the UE, as the table does
 * not tell the two directions apart. Not one for each port: of a UE without a set XFRM has an IKE
 * daemon hear once a reqid. And random: the state table hashes it with the addresses, and numbers
 * in a row would meet addresses in a row in the same buckets. Nothing goes by its being unique.
 */
static u32 ims_endpoint_new_reqid(void)
{
	u32 reqid;

	do {
		reqid = get_random_u32();
	} while (!reqid);
	return reqid;
}

/* @i: which of the endpoint's ports */
static int ims_endpoint_add_policy(struct ims_endpoint *ep, unsigned int i,
				   struct netlink_ext_ack *extack)
{
	return ims_policy_add(&ep->pols[i], ep->in->net, &ep->addr, ep->ports.port[i],
			      ims_endpoint_reqid(ep, ep->ports.port[i]),
			      ep->guard == IMS_IPSEC_GUARD_BYPASS, extack);
}

/**
 * ims_endpoint_create() - make an endpoint and shut its ports
 * @in: where
 * @p: what to make
 * @extack: gets the reason
 *
 * Context: process, sleeps, @in->lock held.
 * Return: the endpoint, or an ERR_PTR: -EINVAL, -ENOSPC, -ENOMEM, -EADDRINUSE
 * for a port of another endpoint or a nat-port that is taken, -EEXIST for a policy of
 * somebody else's, -EBUSY if a UE is in a prefix that it is to trust. On error nothing is left.
 */
struct ims_endpoint *ims_endpoint_create(struct ims_net *in,
					 const struct ims_endpoint_params *p,
					 struct netlink_ext_ack *extack)
{
	struct ims_endpoint *ep;
	unsigned int i;
	int err;

	lockdep_assert_held(&in->lock);

	err = ims_endpoint_check(in, p, extack);
	if (err)
		return ERR_PTR(err);

	ep = kzalloc(sizeof(*ep), GFP_KERNEL_ACCOUNT);
	if (!ep)
		return ERR_PTR(-ENOMEM);
	ep->in = in;
	ep->addr = p->addr;
	ep->ports = p->ports;
	for (i = 0; i < ARRAY_SIZE(ep->reqid); i++)
		ep->reqid[i] = ims_endpoint_new_reqid();
	ep->guard = p->guard;
	ep->nat_port = p->nat_port;
	ims_offload_endpoint(ep, &p->hw);
	if (p->nat) {
		ep->encap = ims_encap_get(in, &p->addr, p->nat_port, p->nat_shared, extack);
		if (IS_ERR(ep->encap)) {
			err = PTR_ERR(ep->encap);
			goto free;
		}
	}

	err = xa_alloc_cyclic(&in->endpoints, &ep->id, ep, xa_limit_32b,
			      &in->next_endpoint_id, GFP_KERNEL_ACCOUNT);
	if (err < 0)
		goto put_encap;

	/* The guard first: there must be no moment with half of it. It writes a journal. */
	err = ims_journal_open(in);
	if (!err)
		err = ims_guard_enable(in);
	if (!err)
		err = ims_ipvlan_guard(in->net);
	if (err)
		goto disable_guard;
	list_add_tail_rcu(&ep->node, &in->endpoint_list);
	in->n_endpoints++;
	err = ims_endpoint_map_ports(in, ep);
	for (i = 0; i < ep->ports.n && !err; i++)
		err = ims_endpoint_add_policy(ep, i, extack);
	if (!err)
		err = ims_trust_set(ep, &p->trust, extack);
	if (err) {
		ims_endpoint_delete(in, ep);
		return ERR_PTR(err);
	}
	ims_limits_check(in);
	return ep;

disable_guard:
	if (!in->n_endpoints)
		ims_guard_disable(in);
	xa_erase(&in->endpoints, ep->id);
put_encap:
	ims_encap_put(in, ep->encap);
free:
	kfree(ep);
	return ERR_PTR(err);
}

/**
 * ims_endpoint_count() - an endpoint gets bundles, or loses some
 * @ep: the endpoint
 * @port_pc: its client port that they have
 * @n: how many
 *
 * Context: process, struct ims_net.lock held.
 */
void ims_endpoint_count(struct ims_endpoint *ep, __be16 port_pc, int n)
{
	unsigned int i;

	lockdep_assert_held(&ep->in->lock);

	ep->n_bundles += n;
	for (i = 1; i < ep->ports.n; i++)
		if (ep->ports.port[i] == port_pc)
			ep->n_of[i] += n;
}

static bool ims_ports_have(const struct ims_ports *ports, __be16 port)
{
	unsigned int i;

	for (i = 0; i < ports->n; i++)
		if (ports->port[i] == port)
			return true;
	return false;
}

/* Shut it, then have what leaves it sent over ESP. */
static int ims_endpoint_add_port(struct ims_endpoint *ep, __be16 port,
				 struct netlink_ext_ack *extack)
{
	const unsigned int i = ep->ports.n;

	ep->n_of[i] = 0;
	ep->pols[i] = NULL;
	set_bit(ims_port_bit(port), ims_endpoint_port_map(ep->in)->bits);
	WRITE_ONCE(ep->ports.port[i], port);
	/* who sees the number sees the port */
	smp_store_release(&ep->ports.n, i + 1);
	return ims_endpoint_add_policy(ep, i, extack) ?: ims_trust_add_port(ep, i, extack);
}

/*
 * The last one gets its place. Who has still the old number finds that one in both; before another
 * port is added behind, nobody has.
 */
static void ims_endpoint_drop_port(struct ims_endpoint *ep, unsigned int i)
{
	const unsigned int last = ep->ports.n - 1;
	const __be16 port = ep->ports.port[i];

	ims_trust_drop_port(ep, i, last);
	ims_policy_delete(ep->pols[i]);
	ep->pols[i] = ep->pols[last];
	ep->n_of[i] = ep->n_of[last];
	WRITE_ONCE(ep->ports.port[i], ep->ports.port[last]);
	/* who sees the number sees the last one's place */
	smp_store_release(&ep->ports.n, last);
	if (!ims_endpoint_uses_port(ep->in, port))
		clear_bit(ims_port_bit(port), ims_endpoint_port_map(ep->in)->bits);
}

static int ims_endpoint_check_pool(struct ims_endpoint *ep, const struct ims_ports *ports,
				   struct netlink_ext_ack *extack)
{
	const struct ims_endpoint_params p = {
		.addr = ep->addr,
		.ports = *ports,
		.nat = ep->encap,
		.nat_port = ep->nat_port,
	};
	unsigned int i, n = ports->n;

	for (i = 1; i < ep->ports.n; i++) {
		if (ims_ports_have(ports, ep->ports.port[i]))
			continue;
		if (ep->n_of[i]) {
			NL_SET_ERR_MSG_FMT(extack, "port %u of endpoint %u still has bundles: %u",
					   ntohs(ep->ports.port[i]), ep->id, ep->n_of[i]);
			return -EBUSY;
		}
		n++;
	}
	/* there is a moment with both */
	if (n > ARRAY_SIZE(ports->port)) {
		NL_SET_ERR_MSG(extack, "more than 64 client ports, with those that go");
		return -EINVAL;
	}
	return ims_endpoint_check_ports(ep->in, &p, ep, extack);
}

/**
 * ims_endpoint_set_ports() - change the pool of client ports
 * @ep: the endpoint
 * @ports: its server port, and the pool
 * @extack: gets the reason
 *
 * Context: process, sleeps, struct ims_net.lock held.
 * Return: 0; -EBUSY if a port that is to go has bundles; -EINVAL; -EADDRINUSE for a port of
 * another endpoint; -EEXIST for a policy of somebody else's; -ENOMEM. On error nothing has changed.
 */
int ims_endpoint_set_ports(struct ims_endpoint *ep, const struct ims_ports *ports,
			   struct netlink_ext_ack *extack)
{
	const unsigned int before = ep->ports.n;
	bool dropped = false;
	unsigned int i;
	int err;

	lockdep_assert_held(&ep->in->lock);

	err = ims_endpoint_check_pool(ep, ports, extack);
	for (i = 1; i < ports->n && !err; i++)
		if (!ims_endpoint_has_port(ep, ports->port[i]))
			err = ims_endpoint_add_port(ep, ports->port[i], extack);
	/* what is new goes again, or what is not wanted any more; the last one first */
	for (i = ep->ports.n; i-- > 1;) {
		if (err ? i < before : ims_ports_have(ports, ep->ports.port[i]))
			continue;
		ims_endpoint_drop_port(ep, i);
		dropped = true;
	}
	if (dropped)
		synchronize_rcu_expedited();
	return err;
}

/* @ports_too: else the map of ports says that somebody may have them, until nobody is left */
static void __ims_endpoint_delete(struct ims_net *in, struct ims_endpoint *ep, bool ports_too)
{
	unsigned int i;

	lockdep_assert_held(&in->lock);
	WARN_ON_ONCE(ep->n_bundles);

	ims_trust_end(ep);
	for (i = 0; i < ep->ports.n; i++)
		ims_policy_delete(ep->pols[i]);

	xa_erase(&in->endpoints, ep->id);
	list_del_rcu(&ep->node);
	in->n_endpoints--;
	ims_limits_check(in);
	if (ports_too || !in->n_endpoints)
		ims_endpoint_unmap_ports(in, ep);
	if (!in->n_endpoints)
		ims_guard_disable(in);
	ims_encap_put(in, ep->encap);
	kfree_rcu(ep, rcu);
}

/**
 * ims_endpoint_delete() - delete an endpoint that has no bundles
 * @in: where
 * @ep: the endpoint, gone when this returns
 *
 * Context: process, sleeps, @in->lock held.
 */
void ims_endpoint_delete(struct ims_net *in, struct ims_endpoint *ep)
{
	__ims_endpoint_delete(in, ep, true);
}

/**
 * ims_endpoint_restore_policies() - put back those that somebody took away
 * @in: where
 *
 * Until then the guard lets nothing through.
 *
 * Context: process, sleeps, @in->lock held; others have their turn meanwhile.
 * Return: 0, or -ENOMEM: to be tried again. A port for which somebody else has
 * a policy of the same selector by now stays without: that one is asked for by
 * somebody, and the guard holds.
 */
int ims_endpoint_restore_policies(struct ims_net *in)
{
	unsigned int i, restored, steps = 0;
	struct ims_endpoint *ep;
	unsigned long id;
	int err;

	lockdep_assert_held(&in->lock);

	xa_for_each(&in->endpoints, id, ep) {
		for (i = 0; i < ep->ports.n; i++) {
			if (!ims_policy_is_gone(ep->pols[i]))
				continue;
			steps += IMS_SLICE_BUNDLE;
			ims_policy_delete(ep->pols[i]);
			ep->pols[i] = NULL;
			err = ims_endpoint_add_policy(ep, i, NULL);
			if (err == -ENOMEM)
				return err;
			if (err)
				pr_warn_ratelimited("network namespace %u, endpoint %u, port %u: somebody else's policy stands where one of ours was taken away\n",
						    in->net->ns.inum, ep->id,
						    ntohs(ep->ports.port[i]));
		}
		restored = 0;
		err = ims_trust_restore(ep, &restored);
		if (err)
			return err;
		steps += restored * IMS_SLICE_BUNDLE;
		ims_net_pause(in, &steps, ep->ports.n);
	}
	return 0;
}

/**
 * ims_endpoint_delete_all() - delete every endpoint of a namespace
 * @in: where; it has no bundles any more
 *
 * Context: process, sleeps, @in->lock held.
 */
void ims_endpoint_delete_all(struct ims_net *in)
{
	struct ims_endpoint *ep, *next;

	/* whether another one has a port would be asked of all others, for each port of each */
	list_for_each_entry_safe(ep, next, &in->endpoint_list, node)
		__ims_endpoint_delete(in, ep, false);
}
