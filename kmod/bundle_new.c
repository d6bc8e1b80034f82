// SPDX-License-Identifier: GPL-2.0-only
/* Making a bundle: all of it or nothing. */
#include <linux/ctype.h>
#include <linux/slab.h>

#include "bundle.h"
#include "claim.h"
#include "clear.h"
#include "compat.h"
#include "endpoint.h"
#include "event.h"
#include "iv.h"
#include "limit.h"
#include "nat.h"
#include "netns.h"
#include "offload.h"
#include "sa.h"
#include "state.h"
#include "trust.h"
#include "ues.h"

static int ims_bundle_check_nat(const struct ims_endpoint *ep, const struct ims_bundle_params *p,
				struct netlink_ext_ack *extack)
{
	if (!ep->encap) {
		NL_SET_ERR_MSG_FMT(extack, "endpoint %u has no nat-traversal", ep->id);
		return -EOPNOTSUPP;
	}
	if (p->nat_addr.family != ep->addr.family) {
		NL_SET_ERR_MSG(extack, "ue-nat-address is not of the endpoint's family");
		return -EINVAL;
	}
	if (!ims_addr_is_host(&p->nat_addr) || ims_addr_equal(&p->nat_addr, &ep->addr)) {
		NL_SET_ERR_MSG(extack, "ue-nat-address is not one that a NAT can have");
		return -EINVAL;
	}
	if (!p->unmarked && !ep->in->config.mark_mask) {
		NL_SET_ERR_MSG(extack, "mark_mask is 0: only what is unmarked can be sent");
		return -EOPNOTSUPP;
	}
	return 0;
}

static int ims_bundle_check(const struct ims_endpoint *ep, const struct ims_bundle_params *p,
			    struct netlink_ext_ack *extack)
{
	if (p->ue_addr.family != ep->addr.family) {
		NL_SET_ERR_MSG(extack, "ue-address is not of the endpoint's family");
		return -EINVAL;
	}
	if (!ims_addr_is_host(&p->ue_addr)) {
		NL_SET_ERR_MSG(extack, "ue-address is not one that a host can have");
		return -EINVAL;
	}
	if (ims_addr_equal(&p->ue_addr, &ep->addr)) {
		NL_SET_ERR_MSG(extack, "ue-address is the endpoint's own");
		return -EINVAL;
	}
	if (!ims_port_is_protectable(p->port_uc) || !ims_port_is_protectable(p->port_us)) {
		NL_SET_ERR_MSG(extack, "port-uc and port-us cannot be 5060 or 5061");
		return -EINVAL;
	}
	if (p->port_uc == p->port_us) {
		NL_SET_ERR_MSG(extack, "port-uc and port-us are the same");
		return -EINVAL;
	}
	if (p->spi_uc == p->spi_us) {
		NL_SET_ERR_MSG(extack, "spi-uc and spi-us are the same");
		return -EINVAL;
	}
	/* the pool is all of its ports but port_ps */
	if (p->port_pc &&
	    (p->port_pc == ep->ports.port[0] || !ims_endpoint_has_port(ep, p->port_pc))) {
		NL_SET_ERR_MSG_FMT(extack, "port-pc %u is not of endpoint %u's pool",
				   ntohs(p->port_pc), ep->id);
		return -EINVAL;
	}
	return p->mode == IMS_IPSEC_MODE_UDP_ENC_TUN ? ims_bundle_check_nat(ep, p, extack) : 0;
}

/* As much of a name as fits into a message, and nothing that a terminal would obey */
static void ims_bundle_show_owner(char *buf, size_t size, const struct ims_registration *reg)
{
	size_t i, n = min_t(size_t, reg->owner_len, size - 1);

	for (i = 0; i < n; i++)
		buf[i] = isascii(reg->names[i]) && isgraph(reg->names[i]) ? reg->names[i] : '?';
	buf[n] = '\0';
}

static bool ims_bundle_is_from(const struct ims_bundle *o, const struct ims_addr *source)
{
	const struct ims_addr addr = ims_bundle_source(o);

	return ims_addr_equal(&addr, source);
}

/* Does it wait for the answer to a challenge, and is there another challenge now? */
static bool ims_bundle_is_challenged(const struct ims_bundle *o, const struct ims_addr *source)
{
	return ims_state_next(o->state, IMS_EVENT_CHALLENGE) == IMS_STATE_GONE &&
	       ims_bundle_is_from(o, source);
}

/*
 * Challenges to other addresses, which anybody may cause, have all the places that are left, and
 * the UE that has a confirmed bundle asks: the oldest of those, else NULL.
 */
static const struct ims_bundle *ims_bundle_squatter(const struct ims_registration *reg,
						    const struct ims_addr *source)
{
	const struct ims_bundle *o, *oldest = NULL;
	bool is_at_home = false;
	int i;

	for (i = 0; i < IMS_IPSEC_SETS_MAX; i++) {
		o = reg->set[i];
		if (!o || ims_bundle_is_challenged(o, source))
			return NULL;
		if (o->state != IMS_IPSEC_STATE_TEMPORARY)
			is_at_home |= ims_bundle_is_from(o, source);
		else if (!o->proven && (!oldest || ims_bundle_is_older(o, oldest)))
			oldest = o;
	}
	return is_at_home ? oldest : NULL;
}

/*
 * Which bundles of the registration have to make way, bits by their slots? One that waits for the
 * answer to a challenge does, there being another challenge, to the same address: one to another
 * address is what anybody may cause, and makes way where the UE has no other place. A packet may
 * make it another answer, so a request asks once. @reg: may be NULL
 */
static u8 ims_bundle_find_way(const struct ims_registration *reg, const struct ims_addr *source)
{
	const struct ims_bundle *o, *squatter = reg ? ims_bundle_squatter(reg, source) : NULL;
	u8 i, way = 0;

	for (i = 0; reg && i < IMS_IPSEC_SETS_MAX; i++) {
		o = reg->set[i];
		if (o && (o == squatter || ims_bundle_is_challenged(o, source)))
			way |= BIT(i);
	}
	return way;
}

struct ims_bundle_port_query {
	const struct ims_bundle_params *p;
	const struct ims_endpoint *ep;
	const struct ims_registration *reg;
	u8 way;
	__be16 port_pc;
};

/* Is a client port of ours in use towards the UE's server port? */
static bool ims_bundle_has_port_pc(const struct ims_bundle *b, const void *data)
{
	const struct ims_bundle_port_query *query = data;
	struct ims_tuple us;

	/* one that will make way is none */
	if (b->ep != query->ep || (b->reg == query->reg && query->way & BIT(b->slot)))
		return false;
	ims_bundle_tuple(b, IMS_FLOW_OUT_US, &us);
	return us.dport == query->p->port_us && us.sport == query->port_pc;
}

/*
 * The UE's ports are one owner's (TS 33.203 clause 7.1). A client port of ours that no
 * other bundle has towards it is preferred, so that a set and its successor differ in
 * it (TS 24.229); else they share it.
 */
static int ims_bundle_choose_port_pc(struct ims_endpoint *ep, const struct ims_bundle_params *p,
				     const struct ims_registration *reg, u8 way, __be16 *port_pc,
				     struct netlink_ext_ack *extack)
{
	const u32 n = ep->ports.n - 1, turn = ep->next_pc++;
	struct ims_bundle_port_query query = {
		.p = p, .ep = ep, .reg = reg, .way = way,
	};
	struct ims_claimant claimant = {
		.ep = ep,
		.name = p->name,
		.ue_addr = p->ue_addr,
		.source = p->nat_addr,
		.port_uc = p->port_uc,
		.port_us = p->port_us,
		.is_marked = p->mode == IMS_IPSEC_MODE_UDP_ENC_TUN && !p->unmarked,
	};
	const struct ims_bundle *b;
	char owner[24];
	u32 i;

	*port_pc = p->port_pc ?: ep->ports.port[1 + turn % n];
	for (i = 0; i < n && !p->port_pc; i++) {
		query.port_pc = ep->ports.port[1 + (turn + i) % n];
		if (ims_ues_find_us(ep->in, &p->ue_addr, p->port_us, IMS_UES_UNMARKED,
				    query.port_pc, ep, ims_bundle_has_port_pc, &query) ||
		    ims_ues_find_us(ep->in, &p->ue_addr, p->port_us, IMS_UES_MARKED,
				    query.port_pc, ep, ims_bundle_has_port_pc, &query))
			continue;
		*port_pc = query.port_pc;
		break;
	}

	claimant.port_pc = *port_pc;
	b = ims_claim_find_owner(ep->in, &claimant);
	/* if all are in use, one of the registration's own, rather than another owner's */
	for (i = 1; i < n && b && !p->port_pc; i++) {
		claimant.port_pc = ep->ports.port[1 + (turn + i) % n];
		if (ims_claim_find_owner(ep->in, &claimant))
			continue;
		*port_pc = claimant.port_pc;
		b = NULL;
	}
	if (!b)
		return 0;
	ims_bundle_show_owner(owner, sizeof(owner), b->reg);
	NL_SET_ERR_MSG_FMT(extack, "the UE's ports are bundle %u's, owner %s", b->id, owner);
	return -EADDRINUSE;
}

/* What will make way is not counted. */
static int ims_bundle_check_limits(struct ims_net *in, u8 way, struct netlink_ext_ack *extack)
{
	const u32 n = hweight8(way);

	if (in->n_bundles - n >= in->config.max_bundles) {
		NL_SET_ERR_MSG_FMT(extack, "max_bundles (%u) reached", in->config.max_bundles);
		return -ENOSPC;
	}
	if (in->n_pending - n >= in->config.max_pending) {
		NL_SET_ERR_MSG_FMT(extack, "max_pending (%u) reached", in->config.max_pending);
		return -ENOSPC;
	}
	return 0;
}

struct ims_bundle_spi_query {
	const struct ims_bundle *b;
	const struct ims_bundle_params *p;
};

/* An SPI that the range has free may still be the UE's or somebody else's. */
static bool ims_bundle_spi_is_taken(u32 spi, const void *data)
{
	const struct ims_bundle_spi_query *query = data;
	__be32 be = htonl(spi);

	/* no reflection: a packet of ours must not be one to us (TS 33.203) */
	if (be == query->p->spi_uc || be == query->p->spi_us)
		return true;
	return ims_sa_spi_is_taken(query->b->ep->in->net, &query->b->ep->addr, be);
}

static int ims_bundle_alloc_spi(struct ims_bundle *b, const struct ims_bundle_params *p,
				__be32 *spi, struct netlink_ext_ack *extack)
{
	const struct ims_spi_range *range = &b->ep->in->config.spi;
	const struct ims_bundle_spi_query query = { b, p };
	struct ims_net *in = b->ep->in;
	u32 host;
	int err;

	err = ims_spi_alloc(&in->spis, range, &in->next_spi, b, ims_bundle_spi_is_taken,
			    &query, &host);
	if (err == -ENOSPC)
		NL_SET_ERR_MSG_FMT(extack, "no SPI is free in %u to %u", range->min, range->max);
	if (!err)
		*spi = htonl(host);
	return err;
}

/* The four, between whom ever they will be */
static int ims_bundle_make_sas(struct net *net, const struct ims_bundle_params *p,
			       bool for_device, struct ims_bundle_draft *draft,
			       struct netlink_ext_ack *extack)
{
	struct ims_alg_keys keys;
	struct ims_sa_kind kind = {
		.net = net,
		.family = p->ue_addr.family,
		.is_tunnel = p->mode == IMS_IPSEC_MODE_UDP_ENC_TUN,
		.pair = p->pair,
		.keys = &keys,
		.for_device = for_device,
	};
	struct ims_iv_group *group;
	enum ims_flow flow;
	int err;

	err = ims_alg_expand(p->pair, &keys, p->ik, p->ck);
	if (err == -ENOENT) {
		NL_SET_ERR_MSG(extack, "this kernel has no sha256");
		err = -EOPNOTSUPP;
	}
	group = ims_iv_begin();
	for (flow = 0; flow < IMS_FLOWS && !err; flow++) {
		struct xfrm_state *x;

		kind.out = flow == IMS_FLOW_OUT_UC || flow == IMS_FLOW_OUT_US;
		x = ims_sa_alloc(&kind, extack);
		if (IS_ERR(x))
			err = PTR_ERR(x);
		else
			draft->sa[flow] = x;
	}
	ims_iv_end(group);
	memzero_explicit(&keys, sizeof(keys));
	draft->for_device = for_device;
	if (err)
		ims_bundle_discard_draft(draft);
	return err;
}

static bool ims_endpoint_is_for_device(const struct ims_endpoint *ep)
{
	return ep->hw.wish.mode >= IMS_IPSEC_OFFLOAD_CRYPTO;
}

/**
 * ims_bundle_make_draft() - make most of a bundle before anybody else has to wait
 * @in: where
 * @endpoint: id of the endpoint
 * @p: what to make
 * @draft: gets the SAs, to be given to ims_bundle_create(), and to ims_bundle_discard_draft() in
 *	any case
 *
 * Keys and ciphers are most of what a bundle takes, and no other bundle has to do with them. If
 * that fails, or the bundle is refused at a glance, there are none: ims_bundle_create() says why.
 *
 * Context: process, sleeps, without struct ims_net.lock.
 */
void ims_bundle_make_draft(struct ims_net *in, u32 endpoint, const struct ims_bundle_params *p,
			   struct ims_bundle_draft *draft)
{
	const struct ims_endpoint *ep;
	bool for_device;

	memset(draft, 0, sizeof(*draft));
	/* which endpoint and how many there are may change until the lock is held */
	if (READ_ONCE(in->n_bundles) >= READ_ONCE(in->config.max_bundles) ||
	    READ_ONCE(in->n_pending) >= READ_ONCE(in->config.max_pending))
		return;
	rcu_read_lock();
	ep = xa_load(&in->endpoints, endpoint);
	for_device = ep && ims_endpoint_is_for_device(ep);
	rcu_read_unlock();
	if (ep)
		draft->err = ims_bundle_make_sas(in->net, p, for_device, draft, NULL);
}

/**
 * ims_bundle_discard_draft() - end what of a draft no bundle has taken
 * @draft: from ims_bundle_make_draft()
 *
 * Context: process, sleeps.
 */
void ims_bundle_discard_draft(struct ims_bundle_draft *draft)
{
	enum ims_flow flow;

	for (flow = 0; flow < IMS_FLOWS; flow++) {
		if (draft->sa[flow])
			ims_sa_discard(draft->sa[flow]);
		draft->sa[flow] = NULL;
	}
}

/* Take those of the draft, if they are what the endpoint needs, or make them now. */
static int ims_bundle_take_sas(struct ims_bundle *b, const struct ims_bundle_params *p,
			       __be16 port_pc, const __be32 *spis, struct ims_bundle_draft *draft,
			       struct netlink_ext_ack *extack)
{
	const u32 mark = ims_bundle_mark(b->ep->in, b->reg->index, b->slot);
	u32 out_mask, out_mark = ims_nat_get_sa_mark(b, &out_mask);
	struct ims_endpoint *ep = b->ep;
	const bool for_device = ims_endpoint_is_for_device(ep);
	const struct {
		__be16 ours;
		__be16 ues;
		bool out;
	} flows[IMS_FLOWS] = {
		[IMS_FLOW_OUT_UC] = { ep->ports.port[0], p->port_uc, true },
		[IMS_FLOW_OUT_US] = { port_pc, p->port_us, true },
		[IMS_FLOW_IN_PS] = { ep->ports.port[0], p->port_uc, false },
		[IMS_FLOW_IN_PC] = { port_pc, p->port_us, false },
	};
	struct ims_sa_tunnel tunnel;
	int i, err;

	/* of anything else there is a text to be told */
	if (draft->err == -ENOMEM)
		return draft->err;
	if (!draft->sa[0] || draft->for_device != for_device) {
		ims_bundle_discard_draft(draft);
		err = ims_bundle_make_sas(ep->in->net, p, for_device, draft, extack);
		if (err)
			return err;
	}
	for (i = 0; i < IMS_FLOWS; i++) {
		bool out = flows[i].out;
		const struct ims_sa_params sap = {
			.src = out ? &ep->addr : &p->ue_addr,
			.dst = out ? &p->ue_addr : &ep->addr,
			.sport = out ? flows[i].ours : flows[i].ues,
			.dport = out ? flows[i].ues : flows[i].ours,
			.tunnel = b->nat ? &tunnel : NULL,
			.spi = spis[i],
			.reqid = b->nat ? ims_nat_reqid(ep->in, b->id) :
				 out ? ims_endpoint_reqid(ep, flows[i].ours) :
				       ep->reqid[IMS_REQID_IN],
			.out = out,
			.mark = out ? out_mark : mark,
			.mark_mask = out ? out_mask : ep->in->config.mark_mask,
		};

		if (b->nat)
			ims_nat_get_tunnel(b, out, &tunnel);
		ims_sa_set_ends(draft->sa[i], &sap);
		b->sa[i] = draft->sa[i];
		draft->sa[i] = NULL;
	}
	return 0;
}

/* A tunnel's packets leave over it, unless another bundle has their ports, or has them first. */
static int ims_bundle_add_policies(struct ims_bundle *b, struct netlink_ext_ack *extack)
{
	struct ims_net *in = b->ep->in;
	enum ims_flow flow;
	int err = 0;

	spin_lock_bh(&in->state_lock);
	for (flow = 0; flow < IMS_NAT_FLOWS && !err; flow++) {
		if (ims_bundle_shares(b, flow) || ims_claim_is_kept_out(b, flow))
			continue;
		err = ims_nat_send_over(b, flow, NULL);
		if (!err)
			b->dormant &= ~BIT(flow);
	}
	spin_unlock_bh(&in->state_lock);
	if (err == -EEXIST)
		NL_SET_ERR_MSG(extack,
			       "an IPsec policy for the UE's address and port is there already");
	return err;
}

/*
 * One of its SAs. A packet over another bundle may have decided meanwhile that an outbound one is
 * to wait outside, or that the SA has its place.
 */
static int ims_bundle_add_sa(struct ims_bundle *b, enum ims_flow flow, u8 *added,
			     struct netlink_ext_ack *extack)
{
	struct ims_net *in = b->ep->in;
	int err = 0;

	spin_lock_bh(&in->state_lock);
	if (!(b->outside & BIT(flow)) && !ims_sa_was_added(b->sa[flow])) {
		err = ims_sa_add(b->sa[flow], extack);
		if (!err)
			*added |= BIT(flow);
	}
	spin_unlock_bh(&in->state_lock);
	return err;
}

/*
 * All four or none, but for those whose places others have. On error ims_bundle_abandon() takes
 * out what was added.
 */
static int ims_bundle_add_sas(struct ims_bundle *b, struct netlink_ext_ack *extack)
{
	enum ims_flow flow;
	u8 added = 0;
	int err = 0;

	for (flow = 0; flow < IMS_FLOWS && !err; flow++)
		err = ims_bundle_add_sa(b, flow, &added, extack);
	if (!err && b->nat)
		err = ims_bundle_add_policies(b, extack);
	if (!err)
		err = ims_bundle_add_answers(b);
	if (err)
		return err;
	for (flow = 0; flow < IMS_FLOWS; flow++)
		if (added & BIT(flow))
			ims_sa_announce(b->sa[flow]);
	return 0;
}

/*
 * It is not to be. Whoever has found it meanwhile, by its id or an SPI, may still be
 * looking at its SAs, so that they are held until it is freed. Its interface may be
 * going down just now: from the notifier's view it is one that ends.
 */
static void ims_bundle_abandon(struct ims_bundle *b)
{
	struct ims_net *in = b->ep->in;
	u8 held;
	int i;

	spin_lock_bh(&in->state_lock);
	b->dead = true;
	spin_unlock_bh(&in->state_lock);
	ims_offload_end(b);
	if (b->nat)
		ims_nat_end(b);
	ims_bundle_end_answers(b);
	held = ims_claim_held(b);
	for (i = 0; i < IMS_FLOWS; i++)
		if (b->sa[i])
			ims_sa_finish(b->sa[i]);
	/* it may have proved itself, and taken from others what they had, in between */
	ims_claim_leave(b, held);
	ims_clear_remove(b);
	xa_erase(&in->bundles, b->id);
}

static struct ims_bundle *ims_bundle_alloc(struct ims_endpoint *ep,
					   const struct ims_bundle_params *p)
{
	struct ims_bundle *b = ims_bundle_zalloc();

	if (!b)
		return NULL;
	b->ep = ep;
	RB_CLEAR_NODE(&b->by_due);
	refcount_set(&b->refs, 1);
	INIT_LIST_HEAD(&b->rivals);
	b->told = IMS_IPSEC_STATE_TEMPORARY;
	b->mode = p->mode;
	b->pair = p->pair - ims_alg_pairs;
	b->over = p->over;
	b->began_clear = p->began_clear;
	return b;
}

/* A slot that is free, or will be; -1: there is none. */
static int ims_bundle_choose_slot(const struct ims_registration *reg, u8 way)
{
	const int slot = ims_registration_free_slot(reg);

	return slot < 0 ? ffs(way) - 1 : slot;
}

/*
 * Refuse what the bundles that stay leave no room for. Those that wait for the answer to a
 * challenge to another address are nobody's yet, and count only where there is no place left.
 */
static int ims_bundle_check_registration(const struct ims_registration *reg, u8 way,
					 struct netlink_ext_ack *extack)
{
	const u32 max_sets = reg->in->config.max_sets;
	u32 i, n = 0;

	for (i = 0; i < IMS_IPSEC_SETS_MAX; i++)
		n += reg->set[i] && reg->set[i]->state != IMS_IPSEC_STATE_TEMPORARY;
	if (n < max_sets && ims_bundle_choose_slot(reg, way) >= 0)
		return 0;
	NL_SET_ERR_MSG_FMT(extack, "the registration has max_sets (%u) bundles", max_sets);
	return -EDQUOT;
}

static void ims_bundle_make_way(struct ims_registration *reg, u8 way)
{
	u32 i;

	for (i = 0; i < IMS_IPSEC_SETS_MAX; i++)
		if (way & BIT(i))
			ims_bundle_destroy(reg->set[i], IMS_IPSEC_EVENT_TYPE_DELETED,
					   IMS_IPSEC_REASON_CHALLENGE);
}

/*
 * Outbound SAs that XFRM could take in place of an older bundle's wait for their turn.
 * Of a tunnel it is the policies that wait.
 */
static void ims_bundle_put_to_sleep(struct ims_bundle *b)
{
	int flow;

	if (b->nat)
		return;
	for (flow = IMS_FLOW_OUT_UC; flow <= IMS_FLOW_OUT_US; flow++) {
		if (!ims_bundle_shares(b, flow))
			continue;
		b->dormant |= BIT(flow);
		ims_sa_put_to_sleep(b->sa[flow],
				    ims_bundle_mark(b->ep->in, b->reg->index, b->slot),
				    b->ep->in->config.mark_mask);
	}
}

/* On error it is not in struct ims_net.ues any more, and ims_bundle_abandon() does the rest. */
static int ims_bundle_insert(struct ims_bundle *b, u8 way, struct netlink_ext_ack *extack)
{
	struct ims_registration *reg = b->reg;
	struct ims_net *in = reg->in;
	int err;

	err = ims_claim_join(b, extack);
	if (err)
		return err;
	ims_ues_add(b);
	err = ims_clear_add(b);
	if (!err) {
		ims_bundle_put_to_sleep(b);
		err = ims_bundle_add_sas(b, extack);
	}
	if (err) {
		ims_ues_remove(b);
		return err;
	}
	/* From here on nothing fails: what makes way does so for one that is there. */
	ims_bundle_make_way(reg, way);
	spin_lock_bh(&in->state_lock);
	ims_bundle_set_state(b, IMS_IPSEC_STATE_TEMPORARY, IMS_IPSEC_REASON_REQUEST);
	reg->set[b->slot] = b;
	ims_registration_wake(reg, NULL);
	spin_unlock_bh(&in->state_lock);
	reg->next_slot = b->slot + 1;
	return 0;
}

static bool ims_bundle_has_keys(const struct ims_bundle *b, const struct ims_bundle_params *p)
{
	struct ims_alg_keys keys;
	bool has;

	has = !ims_alg_expand(p->pair, &keys, p->ik, p->ck) &&
	      ims_sa_has_keys(b->sa[IMS_FLOW_IN_PS], &keys);
	memzero_explicit(&keys, sizeof(keys));
	return has;
}

/* Would a request make the same bundle? Where a UE's NAT is, it may have found out since. */
static bool ims_bundle_is_asked_for(const struct ims_bundle *b, const struct ims_endpoint *ep,
				    const struct ims_bundle_params *p)
{
	struct ims_tuple uc, us;

	ims_bundle_tuple(b, IMS_FLOW_OUT_UC, &uc);
	ims_bundle_tuple(b, IMS_FLOW_OUT_US, &us);
	return b->ep == ep && b->mode == p->mode && b->over == p->over &&
	       b->began_clear == p->began_clear && ims_bundle_pair(b) == p->pair &&
	       ims_addr_equal(&uc.dst, &p->ue_addr) && uc.dport == p->port_uc &&
	       us.dport == p->port_us && (!p->port_pc || us.sport == p->port_pc) &&
	       ims_bundle_spi(b, IMS_FLOW_OUT_UC) == p->spi_uc &&
	       ims_bundle_spi(b, IMS_FLOW_OUT_US) == p->spi_us && ims_bundle_has_keys(b, p);
}

/**
 * ims_bundle_repeated() - the bundle that a request has made already
 * @in: where
 * @ep: the endpoint
 * @p: what to make; its cookie tells
 * @extack: gets the reason
 *
 * Context: process, @in->lock held.
 * Return: the bundle; NULL if the request is a new one; or ERR_PTR(-EEXIST) if it has the
 * cookie of one that was different.
 */
struct ims_bundle *ims_bundle_repeated(struct ims_net *in, const struct ims_endpoint *ep,
				       const struct ims_bundle_params *p,
				       struct netlink_ext_ack *extack)
{
	const struct ims_registration *reg;
	struct ims_bundle *b;

	lockdep_assert_held(&in->lock);

	reg = p->cookie ? ims_registration_find(in, &p->name) : NULL;
	if (!reg || reg->cookie != p->cookie)
		return NULL;
	b = xa_load(&in->bundles, reg->cookie_id);
	if (!b || b->ending)
		return NULL;
	if (ims_bundle_is_asked_for(b, ep, p))
		return b;
	NL_SET_ERR_MSG_FMT(extack, "another request has made bundle %u with this cookie", b->id);
	return ERR_PTR(-EEXIST);
}

/**
 * ims_bundle_create() - put the four SAs of a registration in place
 * @in: where
 * @ep: the endpoint
 * @p: what to make
 * @draft: its SAs, if there are any
 * @extack: gets the reason
 *
 * The bundle is temporary and goes after temporary_timeout. Another temporary one of
 * its registration, whose UE has the same address, goes at once. All else that is in its way
 * stays until ims_bundle_confirm().
 *
 * Context: process, sleeps, @in->lock held.
 * Return: the bundle, or an ERR_PTR: -EINVAL, -ENOMEM, -EOPNOTSUPP for
 * algorithms that are not allowed or not built, for a mode that the endpoint does
 * not have and for what its interface has to do and cannot, -ENOSPC for the range, a limit
 * or the interface's,
 * -EDQUOT for what one registration may have, -EADDRINUSE if the UE's ports are another
 * owner's, -EADDRNOTAVAIL if the UE's address is in a trusted prefix, -EEXIST if somebody else's SA
 * with one of the UE's SPIs to its address, or policy for its packets, is there. On error nothing
 * is left, and nothing else has changed.
 */
struct ims_bundle *ims_bundle_create(struct ims_net *in, struct ims_endpoint *ep,
				     const struct ims_bundle_params *p,
				     struct ims_bundle_draft *draft,
				     struct netlink_ext_ack *extack)
{
	__be32 spis[IMS_FLOWS] = {
		[IMS_FLOW_OUT_UC] = p->spi_uc,
		[IMS_FLOW_OUT_US] = p->spi_us,
	};
	struct ims_registration *reg;
	struct ims_bundle *b;
	__be16 port_pc;
	int err;
	u8 way;

	lockdep_assert_held(&in->lock);

	reg = ims_registration_find(in, &p->name);
	way = ims_bundle_find_way(reg, &p->nat_addr);
	err = ims_bundle_check(ep, p, extack) ?: ims_trust_check_bundle(in, p, extack);
	if (!err)
		err = ims_alg_list_check(&in->config.algs, &p->allowed, p->pair, extack);
	if (!err)
		err = ims_bundle_check_limits(in, way, extack);
	if (!err)
		err = ims_bundle_choose_port_pc(ep, p, reg, way, &port_pc, extack);
	if (err)
		return ERR_PTR(err);

	reg = ims_registration_get(in, reg, &p->name, extack);
	if (IS_ERR(reg))
		return ERR_CAST(reg);
	err = ims_bundle_check_registration(reg, way, extack);
	if (err)
		goto put_registration;
	err = -ENOMEM;
	b = ims_bundle_alloc(ep, p);
	if (!b)
		goto put_registration;
	b->reg = reg;
	b->slot = ims_bundle_choose_slot(reg, way);
	if (p->mode == IMS_IPSEC_MODE_UDP_ENC_TUN) {
		err = ims_nat_init(b, p);
		if (err)
			goto free;
	}
	err = ims_bundle_alloc_spi(b, p, &spis[IMS_FLOW_IN_PS], extack);
	if (err)
		goto free;
	err = ims_bundle_alloc_spi(b, p, &spis[IMS_FLOW_IN_PC], extack);
	if (err)
		goto free_spi_ps;
	err = xa_alloc_cyclic(&in->bundles, &b->id, b, xa_limit_32b, &in->next_bundle_id,
			      GFP_KERNEL_ACCOUNT);
	if (err < 0)
		goto free_spi_pc;
	err = ims_bundle_take_sas(b, p, port_pc, spis, draft, extack);
	if (!err && b->nat)
		err = ims_nat_alloc_policies(b);
	if (!err)
		err = ims_offload_bundle(b, extack);
	if (!err)
		err = ims_bundle_insert(b, way, extack);
	if (err)
		goto abandon;

	reg->cookie = p->cookie;
	reg->cookie_id = b->id;
	in->n_bundles++;
	in->n_nat += !!b->nat;
	in->n_pending++;
	ims_endpoint_count(ep, port_pc, 1);
	ims_bundle_arm(b, in->config.temporary_timeout);
	ims_event_send(b, IMS_IPSEC_EVENT_TYPE_CREATED, IMS_IPSEC_REASON_REQUEST, 0, b->state);
	ims_offload_settle(b);
	ims_limits_check(in);
	return b;

abandon:
	ims_bundle_abandon(b);
free_spi_pc:
	ims_spi_free(&in->spis, ntohl(spis[IMS_FLOW_IN_PC]));
free_spi_ps:
	ims_spi_free(&in->spis, ntohl(spis[IMS_FLOW_IN_PS]));
free:
	/* somebody may have found it */
	ims_bundle_put(b);
put_registration:
	ims_registration_put(reg);
	return ERR_PTR(err);
}
