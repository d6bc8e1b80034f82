// SPDX-License-Identifier: GPL-2.0-only
/* Policies: the only file that looks into struct xfrm_policy. */
#include <net/xfrm.h>

#include "compat.h"
#include "policy.h"

/* Before what an IKE daemon installs; lower comes first. */
#define IMS_POLICY_PRIORITY	1

static void ims_policy_notify(struct xfrm_policy *pol, int dir, int event)
{
	struct km_event c = { .event = event };

	km_policy_notify(pol, dir, &c);
}

/*
 * A policy that is in no table: the destructor insists on a dead one.
 */
static void ims_policy_discard(struct xfrm_policy *pol)
{
	pol->walk.dead = 1;
	xfrm_policy_destroy(pol);
}

static int ims_policy_add_one(struct xfrm_policy **pol, struct net *net, int dir,
			      const struct ims_addr *addr, __be16 port, u32 reqid,
			      bool optional, struct netlink_ext_ack *extack)
{
	bool out = dir == XFRM_POLICY_OUT;
	struct xfrm_policy *p = xfrm_policy_alloc(net, GFP_KERNEL_ACCOUNT);
	struct xfrm_selector *sel;
	xfrm_address_t *local;
	struct xfrm_tmpl *t;
	int err;

	if (!p)
		return -ENOMEM;

	/* Any remote address and port, any transport protocol. */
	sel = &p->selector;
	sel->family = addr->family;
	local = out ? &sel->saddr : &sel->daddr;
	if (addr->family == AF_INET)
		local->a4 = addr->in.s_addr;
	else
		local->in6 = addr->in6;
	if (out) {
		sel->prefixlen_s = ims_addr_len(addr) * 8;
		sel->sport = port;
		sel->sport_mask = htons(0xffff);
	} else {
		sel->prefixlen_d = ims_addr_len(addr) * 8;
		sel->dport = port;
		sel->dport_mask = htons(0xffff);
	}

	p->family = addr->family;
	p->action = XFRM_POLICY_ALLOW;
	p->priority = IMS_POLICY_PRIORITY;
	p->lft.soft_byte_limit = XFRM_INF;
	p->lft.hard_byte_limit = XFRM_INF;
	p->lft.soft_packet_limit = XFRM_INF;
	p->lft.hard_packet_limit = XFRM_INF;

	t = &p->xfrm_vec[0];
	t->id.proto = IPPROTO_ESP;
	t->mode = XFRM_MODE_TRANSPORT;
	t->encap_family = addr->family;
	t->allalgs = 1;
	t->aalgos = ~0;
	t->ealgos = ~0;
	t->calgos = ~0;
	t->optional = optional;
	/*
	 * Out, the reqid and the flow's addresses and ports find the SA. In,
	 * the SA's own selector is checked, and any reqid will do.
	 */
	t->reqid = out ? reqid : 0;
	p->xfrm_nr = 1;

	err = xfrm_policy_insert(dir, p, 1);
	if (err) {
		ims_policy_discard(p);
		NL_SET_ERR_MSG_FMT(extack, "an IPsec policy for port %u is there already",
				   ntohs(port));
		return err;
	}
	ims_policy_notify(p, dir, XFRM_MSG_NEWPOLICY);
	*pol = p;
	return 0;
}

static void ims_policy_delete_one(struct xfrm_policy **pol, int dir)
{
	struct xfrm_policy *p = *pol;

	if (!p)
		return;
	*pol = NULL;
	/* Fails if somebody flushed the policies: then it was announced. */
	if (!xfrm_policy_delete(p, dir))
		ims_policy_notify(p, dir, XFRM_MSG_DELPOLICY);
	xfrm_pol_put(p);
}

/**
 * ims_policy_add() - ask for ESP on a port, both ways
 * @pols: gets the policies
 * @net: where
 * @addr: local address
 * @port: local port
 * @reqid: of the SAs to send over
 * @optional: where there is no SA, in clear
 * @extack: gets the reason
 *
 * Context: process, sleeps.
 * Return: 0; -EEXIST if somebody has a policy with the same selector and
 * priority; -ENOMEM. On error nothing is left.
 */
int ims_policy_add(struct ims_port_policies *pols, struct net *net,
		   const struct ims_addr *addr, __be16 port, u32 reqid, bool optional,
		   struct netlink_ext_ack *extack)
{
	int err;

	*pols = (struct ims_port_policies) {};
	err = ims_policy_add_one(&pols->out, net, XFRM_POLICY_OUT, addr, port, reqid, optional,
				 extack);
	if (err)
		return err;
	err = ims_policy_add_one(&pols->in, net, XFRM_POLICY_IN, addr, port, reqid, optional,
				 extack);
	if (err)
		ims_policy_delete(pols);
	return err;
}

static int ims_policy_restore_one(struct xfrm_policy **pol, struct net *net, int dir,
				  const struct ims_addr *addr, __be16 port, u32 reqid,
				  bool optional)
{
	struct xfrm_policy *gone = *pol;
	int err;

	if (gone && !READ_ONCE(gone->walk.dead))
		return 0;
	err = ims_policy_add_one(pol, net, dir, addr, port, reqid, optional, NULL);
	if (!err && gone)
		xfrm_pol_put(gone);
	return err;
}

/**
 * ims_policy_restore() - put back what somebody took away from a port
 * @pols: from ims_policy_add()
 * @net: where
 * @addr: local address
 * @port: local port
 * @reqid: of the SAs to send over
 * @optional: where there is no SA, in clear
 *
 * Does nothing where all is there.
 *
 * Context: process, sleeps.
 * Return: 0; -EEXIST if somebody has a policy with the same selector by now;
 * -ENOMEM.
 */
int ims_policy_restore(struct ims_port_policies *pols, struct net *net,
		       const struct ims_addr *addr, __be16 port, u32 reqid, bool optional)
{
	int err = ims_policy_restore_one(&pols->out, net, XFRM_POLICY_OUT, addr, port, reqid,
					 optional);

	return err ?: ims_policy_restore_one(&pols->in, net, XFRM_POLICY_IN, addr, port, reqid,
					     optional);
}

/**
 * ims_policy_delete() - take the policies of a port away
 * @pols: from ims_policy_add(), or zeroed
 *
 * Deletes these very policies, never one of the same selector.
 * Context: process.
 */
void ims_policy_delete(struct ims_port_policies *pols)
{
	ims_policy_delete_one(&pols->in, XFRM_POLICY_IN);
	ims_policy_delete_one(&pols->out, XFRM_POLICY_OUT);
}
