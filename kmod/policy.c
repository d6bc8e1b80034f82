// SPDX-License-Identifier: GPL-2.0-only
/*
 * Policies: the only file that looks into struct xfrm_policy.
 *
 * Outbound ones only, which have XFRM send over an SA. Inbound ones would have
 * nothing to transform and nothing to decide that the guard does not, and one
 * alone would have every packet that comes to this host looked up.
 */
#include <net/xfrm.h>

#include "compat.h"
#include "policy.h"

/* Before what an IKE daemon installs; lower comes first. */
#define IMS_POLICY_PRIORITY	1

static void ims_policy_notify(struct xfrm_policy *pol, int event)
{
	struct km_event c = { .event = event };

	km_policy_notify(pol, XFRM_POLICY_OUT, &c);
}

/*
 * A policy that is in no table: the destructor insists on a dead one.
 */
static void ims_policy_discard(struct xfrm_policy *pol)
{
	pol->walk.dead = 1;
	xfrm_policy_destroy(pol);
}

/**
 * ims_policy_add() - have what leaves a port sent over ESP
 * @pol: gets the policy
 * @net: where
 * @addr: local address
 * @port: local port
 * @reqid: of the SAs to send over
 * @optional: where there is no SA, in clear
 * @extack: gets the reason, may be NULL
 *
 * Context: process, sleeps.
 * Return: 0; -EEXIST if somebody has a policy with the same selector;
 * -ENOMEM. On error nothing is left.
 */
int ims_policy_add(struct xfrm_policy **pol, struct net *net, const struct ims_addr *addr,
		   __be16 port, u32 reqid, bool optional, struct netlink_ext_ack *extack)
{
	struct xfrm_policy *p = xfrm_policy_alloc(net, GFP_KERNEL_ACCOUNT);
	struct xfrm_selector *sel;
	struct xfrm_tmpl *t;
	int err;

	if (!p)
		return -ENOMEM;

	/* Any remote address and port, any transport protocol. */
	sel = &p->selector;
	sel->family = addr->family;
	if (addr->family == AF_INET)
		sel->saddr.a4 = addr->in.s_addr;
	else
		sel->saddr.in6 = addr->in6;
	sel->prefixlen_s = ims_addr_len(addr) * 8;
	sel->sport = port;
	sel->sport_mask = htons(0xffff);

	p->family = addr->family;
	p->action = XFRM_POLICY_ALLOW;
	p->priority = IMS_POLICY_PRIORITY;
	p->lft.soft_byte_limit = XFRM_INF;
	p->lft.hard_byte_limit = XFRM_INF;
	p->lft.soft_packet_limit = XFRM_INF;
	p->lft.hard_packet_limit = XFRM_INF;

	/* The reqid and the flow's addresses and ports find the SA. */
	t = &p->xfrm_vec[0];
	t->id.proto = IPPROTO_ESP;
	t->mode = XFRM_MODE_TRANSPORT;
	t->encap_family = addr->family;
	t->allalgs = 1;
	t->aalgos = ~0;
	t->ealgos = ~0;
	t->calgos = ~0;
	t->optional = optional;
	t->reqid = reqid;
	p->xfrm_nr = 1;

	err = xfrm_policy_insert(XFRM_POLICY_OUT, p, 1);
	if (err) {
		ims_policy_discard(p);
		NL_SET_ERR_MSG_FMT(extack, "an IPsec policy for port %u is there already",
				   ntohs(port));
		return err;
	}
	ims_policy_notify(p, XFRM_MSG_NEWPOLICY);
	*pol = p;
	return 0;
}

/**
 * ims_policy_is_gone() - has somebody taken a policy away
 * @pol: from ims_policy_add(); NULL: it could not be put back
 *
 * Return: true if so.
 */
bool ims_policy_is_gone(const struct xfrm_policy *pol)
{
	return !pol || READ_ONCE(pol->walk.dead);
}

/**
 * ims_policy_delete() - take a policy away
 * @pol: from ims_policy_add(), or NULL
 *
 * Deletes this very policy, never one of the same selector.
 * Context: process.
 */
void ims_policy_delete(struct xfrm_policy *pol)
{
	if (!pol)
		return;
	/* Fails if somebody flushed the policies: then it was announced. */
	if (!xfrm_policy_delete(pol, XFRM_POLICY_OUT))
		ims_policy_notify(pol, XFRM_MSG_DELPOLICY);
	xfrm_pol_put(pol);
}
