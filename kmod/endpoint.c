// SPDX-License-Identifier: GPL-2.0-only
/* Endpoints: a local address with its protected ports, shut while it exists. */
#include <linux/random.h>
#include <linux/slab.h>

#include "compat.h"
#include "endpoint.h"
#include "guard.h"
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
	unsigned int i;

	for (i = 0; i < ep->ports.n; i++)
		if (ep->ports.port[i] == port)
			return true;
	return false;
}

static int ims_endpoint_check(struct ims_net *in, const struct ims_addr *addr,
			      const struct ims_ports *ports, struct netlink_ext_ack *extack)
{
	struct ims_endpoint *ep;
	unsigned int i, j;

	if (in->n_endpoints >= in->config.max_endpoints) {
		NL_SET_ERR_MSG_FMT(extack, "max_endpoints (%u) reached",
				   in->config.max_endpoints);
		return -ENOSPC;
	}
	if (!ims_addr_is_host(addr)) {
		NL_SET_ERR_MSG(extack, "address is not one that a host can have");
		return -EINVAL;
	}
	for (i = 0; i < ports->n; i++) {
		if (!ims_port_is_protectable(ports->port[i])) {
			NL_SET_ERR_MSG_FMT(extack, "port %u cannot be a protected port",
					   ntohs(ports->port[i]));
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
		if (!ims_addr_equal(&ep->addr, addr))
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

/*
 * One reqid for all SAs of an endpoint, and a random one: the state table
 * hashes it with the addresses, and numbers in a row would meet addresses in
 * a row in the same buckets.
 */
static u32 ims_endpoint_reqid(struct ims_net *in)
{
	struct ims_endpoint *ep;
	u32 reqid;

again:
	reqid = get_random_u32();
	if (!reqid)
		goto again;
	list_for_each_entry(ep, &in->endpoint_list, node)
		if (ep->reqid == reqid)
			goto again;
	return reqid;
}

/**
 * ims_endpoint_create() - make an endpoint and shut its ports
 * @in: where
 * @addr: local address
 * @ports: its ports
 * @extack: gets the reason
 *
 * Context: process, sleeps, @in->lock held.
 * Return: the endpoint, or an ERR_PTR: -EINVAL, -ENOSPC, -ENOMEM, -EADDRINUSE
 * for a port of another endpoint, -EEXIST for a policy of somebody else's. On
 * error nothing is left.
 */
struct ims_endpoint *ims_endpoint_create(struct ims_net *in, const struct ims_addr *addr,
					 const struct ims_ports *ports,
					 struct netlink_ext_ack *extack)
{
	struct ims_endpoint *ep;
	unsigned int i;
	int err;

	lockdep_assert_held(&in->lock);

	err = ims_endpoint_check(in, addr, ports, extack);
	if (err)
		return ERR_PTR(err);

	ep = kzalloc(struct_size(ep, pols, ports->n), GFP_KERNEL_ACCOUNT);
	if (!ep)
		return ERR_PTR(-ENOMEM);
	ep->reqid = ims_endpoint_reqid(in);
	ep->addr = *addr;
	ep->ports = *ports;

	err = xa_alloc_cyclic(&in->endpoints, &ep->id, ep, xa_limit_32b,
			      &in->next_endpoint_id, GFP_KERNEL_ACCOUNT);
	if (err < 0)
		goto free;

	/* The guard first: there must be no moment with half of it. */
	err = ims_guard_enable(in);
	if (err)
		goto erase;
	list_add_tail_rcu(&ep->node, &in->endpoint_list);
	in->n_endpoints++;

	for (i = 0; i < ports->n; i++) {
		err = ims_policy_add(&ep->pols[i], in->net, addr, ports->port[i], ep->reqid,
				     extack);
		if (err) {
			ims_endpoint_delete(in, ep);
			return ERR_PTR(err);
		}
	}
	return ep;

erase:
	xa_erase(&in->endpoints, ep->id);
free:
	kfree(ep);
	return ERR_PTR(err);
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
	unsigned int i;

	lockdep_assert_held(&in->lock);
	WARN_ON_ONCE(ep->n_bundles);

	for (i = 0; i < ep->ports.n; i++)
		ims_policy_delete(&ep->pols[i]);

	xa_erase(&in->endpoints, ep->id);
	list_del_rcu(&ep->node);
	if (!--in->n_endpoints)
		ims_guard_disable(in);
	kfree_rcu(ep, rcu);
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

	list_for_each_entry_safe(ep, next, &in->endpoint_list, node)
		ims_endpoint_delete(in, ep);
}
