// SPDX-License-Identifier: GPL-2.0-only
/*
 * Policies: the only file that looks into struct xfrm_policy.
 *
 * Outbound ones only, which have XFRM send over an SA. Inbound ones would have
 * nothing to transform and nothing to decide that the guard does not, and one
 * alone would have every packet that comes to this host looked up.
 */
#include <net/xfrm.h>

#include "audit.h"
#include "compat.h"
#include "policy.h"

/*
 * Before what an IKE daemon installs; lower comes first. A mark tells more than the
 * addresses and ports do, these more than a prefix, and that more than a local port.
 */
enum {
	IMS_POLICY_PRIORITY_MARKED = 1,
	IMS_POLICY_PRIORITY_TUNNEL,
	IMS_POLICY_PRIORITY_TRUSTED,
	IMS_POLICY_PRIORITY_PORT,
};

static DEFINE_PER_CPU(bool, ims_policy_own);

static void ims_policy_notify(struct xfrm_policy *pol, int event)
{
	struct km_event c = { .event = event };

	local_bh_disable();
	this_cpu_write(ims_policy_own, true);
	km_policy_notify(pol, XFRM_POLICY_OUT, &c);
	this_cpu_write(ims_policy_own, false);
	local_bh_enable();
}

/**
 * ims_policy_is_own_notice() - is it this module that tells XFRM's listeners
 *
 * Context: a listener's callback.
 * Return: true if so, false if somebody else has changed a policy.
 */
bool ims_policy_is_own_notice(void)
{
	return this_cpu_read(ims_policy_own);
}

/**
 * ims_policy_wants_none() - is what comes to this host let in whatever SA it came over, or none
 * @net: where
 *
 * Context: any.
 * Return: true if nobody has an inbound policy, of the namespace or of a socket, and what no
 * policy is for is let in.
 */
bool ims_policy_wants_none(const struct net *net)
{
	const struct netns_xfrm *xfrm = &net->xfrm;

	return !READ_ONCE(xfrm->policy_count[XFRM_POLICY_IN]) &&
	       !READ_ONCE(xfrm->policy_count[XFRM_POLICY_MAX + XFRM_POLICY_IN]) &&
	       READ_ONCE(xfrm->policy_default[XFRM_POLICY_IN]) == XFRM_USERPOLICY_ACCEPT;
}

/**
 * ims_policy_port() - the local port that a policy is for
 * @pol: a policy, whoever it belongs to
 *
 * Context: any.
 * Return: the port; 0 if it is for more than one, or for one that XFRM keeps elsewhere: none of
 * ours, and nothing that could take the place of one of ours.
 */
__be16 ims_policy_port(const struct xfrm_policy *pol)
{
	if (pol->type != XFRM_POLICY_TYPE_MAIN || pol->selector.sport_mask != htons(0xffff))
		return 0;
	return pol->selector.sport;
}

/**
 * ims_policy_discard() - end a policy that is in no table
 * @pol: from ims_policy_alloc_tunnel(), or NULL
 */
void ims_policy_discard(struct xfrm_policy *pol)
{
	if (!pol)
		return;
	/* the destructor insists on a dead one */
	pol->walk.dead = 1;
	xfrm_policy_destroy(pol);
}

static void ims_policy_set_lasting(struct xfrm_policy *p)
{
	p->lft.soft_byte_limit = XFRM_INF;
	p->lft.hard_byte_limit = XFRM_INF;
	p->lft.soft_packet_limit = XFRM_INF;
	p->lft.hard_packet_limit = XFRM_INF;
}

/* One transformation, by ESP, whatever the algorithms; the template is the policy's. */
static struct xfrm_tmpl *ims_policy_set_esp(struct xfrm_policy *p, u32 reqid)
{
	struct xfrm_tmpl *t = &p->xfrm_vec[0];

	ims_policy_set_lasting(p);
	t->id.proto = IPPROTO_ESP;
	t->encap_family = p->family;
	t->allalgs = 1;
	t->aalgos = ~0;
	t->ealgos = ~0;
	t->calgos = ~0;
	t->reqid = reqid;
	p->xfrm_nr = 1;
	return t;
}

/* For what leaves a local port: any remote address and port, any transport protocol. */
static struct xfrm_policy *ims_policy_alloc_port(struct net *net, const struct ims_addr *addr,
						 __be16 port, u32 priority)
{
	struct xfrm_policy *p = xfrm_policy_alloc(net, GFP_KERNEL_ACCOUNT);
	struct xfrm_selector *sel;

	if (!p)
		return NULL;
	sel = &p->selector;
	sel->family = addr->family;
	ims_addr_to_xfrm(addr, &sel->saddr);
	sel->prefixlen_s = ims_addr_len(addr) * 8;
	sel->sport = port;
	sel->sport_mask = htons(0xffff);

	p->family = addr->family;
	p->action = XFRM_POLICY_ALLOW;
	p->priority = priority;
	return p;
}

/* @p: is gone on error */
static int ims_policy_add_port(struct xfrm_policy **pol, struct xfrm_policy *p,
			       struct netlink_ext_ack *extack)
{
	const __be16 port = p->selector.sport;
	int err = ims_policy_insert(p, NULL);

	if (err) {
		ims_policy_discard(p);
		NL_SET_ERR_MSG_FMT(extack, "an IPsec policy for port %u is there already",
				   ntohs(port));
		return err;
	}
	*pol = p;
	return 0;
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
	struct xfrm_policy *p = ims_policy_alloc_port(net, addr, port, IMS_POLICY_PRIORITY_PORT);
	struct xfrm_tmpl *t;

	if (!p)
		return -ENOMEM;
	/* The reqid and the flow's addresses and ports find the SA. */
	t = ims_policy_set_esp(p, reqid);
	t->mode = XFRM_MODE_TRANSPORT;
	t->optional = optional;
	return ims_policy_add_port(pol, p, extack);
}

/**
 * ims_policy_add_trusted() - have what leaves a port for a prefix sent without IPsec
 * @pol: gets the policy
 * @net: where
 * @addr: local address
 * @port: local port
 * @peer: address of the prefix
 * @len: its length, not 0
 * @extack: gets the reason, may be NULL
 *
 * Context: process, sleeps.
 * Return: as ims_policy_add().
 */
int ims_policy_add_trusted(struct xfrm_policy **pol, struct net *net, const struct ims_addr *addr,
			   __be16 port, const struct ims_addr *peer, u8 len,
			   struct netlink_ext_ack *extack)
{
	struct xfrm_policy *p = ims_policy_alloc_port(net, addr, port,
						      IMS_POLICY_PRIORITY_TRUSTED);

	if (!p)
		return -ENOMEM;
	ims_addr_to_xfrm(peer, &p->selector.daddr);
	p->selector.prefixlen_d = len;
	ims_policy_set_lasting(p);
	return ims_policy_add_port(pol, p, extack);
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
	if (!xfrm_policy_delete(pol, XFRM_POLICY_OUT)) {
		xfrm_audit_policy_delete(pol, 1, ims_audit_has_user());
		ims_policy_notify(pol, XFRM_MSG_DELPOLICY);
	}
	xfrm_pol_put(pol);
}

/* Exactly these packets */
static void ims_policy_select(struct xfrm_selector *sel, const struct ims_tuple *t)
{
	const u8 prefixlen = ims_addr_len(&t->src) * 8;

	sel->family = t->src.family;
	ims_addr_to_xfrm(&t->src, &sel->saddr);
	ims_addr_to_xfrm(&t->dst, &sel->daddr);
	sel->prefixlen_s = prefixlen;
	sel->prefixlen_d = prefixlen;
	sel->sport = t->sport;
	sel->sport_mask = htons(0xffff);
	sel->dport = t->dport;
	sel->dport_mask = htons(0xffff);
}

/**
 * ims_policy_add_answer() - have what has a mark sent over one SA
 * @policy: gets the policy, to be given to ims_policy_delete()
 * @net: where
 * @p: what to send over which
 *
 * Context: process, sleeps.
 * Return: 0; -ENOMEM; -EEXIST if somebody has a policy with the same selector and mark.
 */
int ims_policy_add_answer(struct xfrm_policy **policy, struct net *net,
			  const struct ims_policy_answer *p)
{
	struct xfrm_policy *pol = xfrm_policy_alloc(net, GFP_KERNEL_ACCOUNT);
	struct xfrm_tmpl *t;
	int err;

	if (!pol)
		return -ENOMEM;
	ims_policy_select(&pol->selector, &p->t);
	pol->mark.v = p->mark & p->mark_mask;
	pol->mark.m = p->mark_mask;
	pol->family = p->t.src.family;
	pol->action = XFRM_POLICY_ALLOW;
	pol->priority = IMS_POLICY_PRIORITY_MARKED;
	/* XFRM would take an SA without a mark as well, but for the SPI. */
	t = ims_policy_set_esp(pol, p->reqid);
	t->mode = XFRM_MODE_TRANSPORT;
	t->id.spi = p->spi;
	err = ims_policy_insert(pol, NULL);
	if (err)
		ims_policy_discard(pol);
	else
		*policy = pol;
	return err;
}

/**
 * ims_policy_alloc_tunnel() - make a policy that is in no table yet
 * @net: where
 * @p: what it is to do
 * @gfp: GFP_KERNEL_ACCOUNT, or GFP_ATOMIC where one must not sleep
 *
 * Context: any, as @gfp says.
 * Return: the policy, to be given to ims_policy_insert() or ims_policy_discard(), or
 * NULL.
 */
struct xfrm_policy *ims_policy_alloc_tunnel(struct net *net, const struct ims_policy_tunnel *p,
					    gfp_t gfp)
{
	struct xfrm_policy *pol = xfrm_policy_alloc(net, gfp);
	struct xfrm_tmpl *t;

	if (!pol)
		return NULL;
	ims_policy_select(&pol->selector, &p->inner);
	pol->mark.v = p->mark & p->mark_mask;
	pol->mark.m = p->mark_mask;

	pol->family = p->src.family;
	pol->action = XFRM_POLICY_ALLOW;
	pol->priority = p->mark_mask ? IMS_POLICY_PRIORITY_MARKED : IMS_POLICY_PRIORITY_TUNNEL;
	t = ims_policy_set_esp(pol, p->reqid);
	t->mode = XFRM_MODE_TUNNEL;
	ims_addr_to_xfrm(&p->src, &t->saddr);
	ims_addr_to_xfrm(&p->dst, &t->id.daddr);
	return pol;
}

/**
 * ims_policy_insert() - from here on a policy holds
 * @pol: from ims_policy_alloc_tunnel()
 * @old: one with the same selector and mark, whose place it takes in the same moment,
 *	and which has to be given to ims_policy_delete() all the same; NULL: none
 *
 * Context: any.
 * Return: 0; -EEXIST if somebody else has a policy with the same selector and mark; or
 * what XFRM gives where an operator has it hash no whole addresses.
 */
int ims_policy_insert(struct xfrm_policy *pol, const struct xfrm_policy *old)
{
	const bool excl = !old || ims_policy_is_gone(old);
	int err = xfrm_policy_insert(XFRM_POLICY_OUT, pol, excl);

	xfrm_audit_policy_add(pol, !err, ims_audit_has_user());
	if (!err)
		ims_policy_notify(pol, XFRM_MSG_NEWPOLICY);
	return err;
}
