// SPDX-License-Identifier: GPL-2.0-only
/*
 * The guard: netfilter hooks that judge what touches a protected port.
 * Policies would have holes (IPv6 atomic fragments, the loopback device, SAs of
 * somebody else, a flush), so they transform what goes out and the hooks decide.
 *
 * Others may rewrite addresses and ports between netfilter's places, so a packet is
 * judged by what it was, which connection tracking knows, and by what it is where
 * nothing changes it any more:
 *
 *	LOCAL_IN      what is delivered, before load balancing, as it came
 *	LOCAL_IN      what is delivered, last, as it is
 *	LOCAL_OUT     what is sent, last, before XFRM and source NAT
 *	POST_ROUTING  what leaves, or goes to XFRM, last, as it was and as it is
 */
#include <linux/icmp.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/netfilter.h>
#include <linux/netfilter_ipv4.h>
#include <linux/netfilter_ipv6.h>
#include <linux/skbuff.h>
#include <net/dst.h>
#include <net/inet_sock.h>
#include <net/ip.h>
#include <net/ipv6.h>

#include "bundle.h"
#include "claim.h"
#include "clear.h"
#include "compat.h"
#include "endpoint.h"
#include "fou.h"
#include "frag.h"
#include "guard.h"
#include "journal.h"
#include "nat.h"
#include "netns.h"
#include "parse.h"
#include "policy.h"
#include "reject.h"
#include "sa.h"
#include "trace.h"
#include "trust.h"

/* The UE proves that a set is its own by sending anything over it. */
static void ims_guard_prove(struct ims_bundle *b)
{
	if (!READ_ONCE(b->proven))
		ims_claim_prove(b);
}

/* It takes a new set into use by sending a SIP message over it. */
static void ims_guard_note(struct ims_bundle *b, const struct sk_buff *skb,
			   const struct ims_parsed *p)
{
	if (READ_ONCE(b->state) == IMS_IPSEC_STATE_ESTABLISHED && ims_parse_is_sip(skb, p))
		ims_bundle_used(b);
}

/* Is an SA the endpoint's, or was it? Not so one of a tunnel, whose reqid is another. */
static bool ims_guard_is_own(const struct ims_endpoint *ep, const struct xfrm_state *x)
{
	return ims_sa_is_shielded(x) && ims_endpoint_has_reqid(ep, ims_sa_reqid(x));
}

/* Is there a set of the endpoint's to send from one address to another, for whatever ports? */
static bool ims_guard_has_set(const struct ims_endpoint *ep, const struct ims_tuple *t)
{
	struct net *net = ep->in->net;

	return ims_sa_exists(net, &t->src, &t->dst, ep->reqid[IMS_REQID_PS]) ||
	       ims_sa_exists(net, &t->src, &t->dst, ep->reqid[IMS_REQID_PC]);
}

/* Did a packet come over a live SA of this endpoint that is for it, or from where it trusts? */
static enum ims_ipsec_drop ims_guard_check_input(struct ims_net *in, const struct ims_endpoint *ep,
						 const struct sk_buff *skb,
						 const struct nf_hook_state *state,
						 const struct ims_parsed *p,
						 enum ims_shape shape)
{
	const struct xfrm_state *x = ims_sa_of_input(skb);
	struct ims_bundle *b;

	if (!x)
		return shape == IMS_SHAPE_PORTS &&
		       ims_trust_input(ep, &p->t.src, state->in, skb) ? IMS_DROP_NOT :
									IMS_IPSEC_DROP_PLAINTEXT_IN;
	if (IS_ERR(x))
		return IMS_IPSEC_DROP_FOREIGN_SA;
	b = ims_bundle_of_input(in, x);
	if (!b || b->ep != ep)
		return ims_guard_is_own(ep, x) ? IMS_IPSEC_DROP_NO_LIVE_SET :
						 IMS_IPSEC_DROP_FOREIGN_SA;
	if (!ims_sa_is_live(x))
		return IMS_IPSEC_DROP_NO_LIVE_SET;
	if (shape != IMS_SHAPE_PORTS || !ims_sa_covers(x, &p->t))
		return IMS_IPSEC_DROP_CROSS_PAIR;
	ims_guard_prove(b);
	if (b->nat && p->proto != IPPROTO_UDP && !ims_claim_has_tcp(b, x))
		return IMS_IPSEC_DROP_UDP_ONLY;
	ims_guard_note(b, skb, p);
	ims_sa_touch(x);
	return IMS_DROP_NOT;
}

/* A port that is not shut: what comes over a bundle may take it into use all the same. */
static void ims_guard_pass_input(struct ims_net *in, const struct sk_buff *skb,
				 const struct ims_parsed *p)
{
	const struct xfrm_state *x = ims_sa_of_input(skb);
	struct ims_bundle *b;

	if (IS_ERR_OR_NULL(x))
		return;
	b = ims_bundle_of_input(in, x);
	if (!b || !ims_sa_covers(x, &p->t))
		return;
	ims_guard_prove(b);
	ims_guard_note(b, skb, p);
}

/* The endpoint's own SA, or why not; a tunnel's has a reqid of its own. */
static enum ims_ipsec_drop ims_guard_check_owner(struct ims_net *in, const struct ims_endpoint *ep,
						 const struct xfrm_state *x, u8 proto)
{
	struct ims_bundle *b;

	if (!ims_sa_is_tunnel(x))
		return ims_guard_is_own(ep, x) ? IMS_DROP_NOT : IMS_IPSEC_DROP_FOREIGN_SA;
	b = ims_nat_of_output(in, x);
	if (!b || b->ep != ep)
		return IMS_IPSEC_DROP_FOREIGN_SA;
	if (proto != IPPROTO_UDP && !ims_claim_has_tcp(b, x))
		return IMS_IPSEC_DROP_UDP_ONLY;
	return IMS_DROP_NOT;
}

/* Is what leaves this host's own? From within a VRF it comes by that, and was not received. */
static bool ims_guard_is_hosts(const struct sk_buff *skb, const struct nf_hook_state *state)
{
	return !state->in || (netif_is_l3_master(state->in) && !skb->skb_iif);
}

/*
 * Does what leaves in clear go to where an endpoint trusts? It has to come from this host, or be
 * an answer to what came to the protected port: others do not speak for it, whatever their source
 * is, or becomes.
 */
static bool ims_guard_is_trusted(const struct ims_endpoint *ep, const struct sk_buff *skb,
				 const struct nf_hook_state *state, const struct ims_parsed *p)
{
	return (ims_guard_is_hosts(skb, state) || ims_compat_is_answer(skb)) &&
	       ims_trust_output(ep, &p->t.dst, state->out);
}

/* Will a packet leave over a live SA of this endpoint that is for it, or to where it trusts? */
static enum ims_ipsec_drop ims_guard_check_output(struct ims_net *in,
						  const struct ims_endpoint *ep,
						  const struct sk_buff *skb,
						  const struct nf_hook_state *state,
						  const struct ims_parsed *p,
						  enum ims_shape shape)
{
	const struct xfrm_state *x = ims_sa_of_output(skb);
	const struct ims_tuple *t = &p->t;
	enum ims_ipsec_drop drop;

	if (!x) {
		if (!ims_sa_is_missing(skb))
			return shape == IMS_SHAPE_PORTS &&
			       ims_guard_is_trusted(ep, skb, state, p) ?
			       IMS_DROP_NOT : IMS_IPSEC_DROP_PLAINTEXT_OUT;
		return ims_guard_has_set(ep, t) ? IMS_IPSEC_DROP_CROSS_PAIR :
						  IMS_IPSEC_DROP_NO_LIVE_SET;
	}
	drop = ims_guard_check_owner(in, ep, x, p->proto);
	if (drop != IMS_DROP_NOT)
		return drop;
	if (!ims_sa_is_live(x) || ims_sa_is_missing(skb))
		return IMS_IPSEC_DROP_NO_LIVE_SET;
	if (shape != IMS_SHAPE_PORTS || !ims_sa_covers(x, t))
		return IMS_IPSEC_DROP_CROSS_PAIR;
	ims_sa_touch(x);
	return IMS_DROP_NOT;
}

/* Was it a tunnel? Then XFRM would want a policy. @x: NULL: it is from where we trust. */
static unsigned int ims_guard_let_in(struct sk_buff *skb, const struct xfrm_state *x)
{
	if (!x)
		return NF_ACCEPT;
	ims_sa_mark_input(skb, x);
	if (ims_sa_is_tunnel(x))
		ims_sa_forget_input(skb);
	return NF_ACCEPT;
}

static unsigned int ims_guard_let_out(struct sk_buff *skb, const struct nf_hook_state *state)
{
	/* in clear, to where we trust: source NAT is the operator's */
	if (!ims_sa_of_output(skb))
		return NF_ACCEPT;
	/* with another source address or port it would fit no SA */
	ims_compat_keep_source(skb);
	if (ims_sa_is_tunnel(ims_sa_of_output(skb)) && ims_frag_output(skb, state))
		return NF_STOLEN;
	return NF_ACCEPT;
}

/**
 * ims_guard_note_drop() - count a packet that is dropped, by the UE at the latest, and note it down
 * @in: where
 * @ep: the endpoint that it has to do with
 * @entry: the packet
 *
 * Context: any, under RCU.
 */
void ims_guard_note_drop(struct ims_net *in, struct ims_endpoint *ep,
			 const struct ims_journal_drop *entry)
{
	const bool has_ports = entry->has_ports;

	atomic64_inc(&ep->drops[entry->drop]);
	ims_journal_add_drop(in, entry);
	trace_ims_drop(ep->id, entry->drop, entry->proto, has_ports ? ntohs(entry->t.sport) : 0,
		       has_ports ? ntohs(entry->t.dport) : 0, ntohl(entry->spi));
}

/**
 * ims_guard_note_bad() - a UE has other keys or algorithms than its bundle, or somebody forges
 * @in: where
 * @x: the bundle's SA whose SPI the packet has
 *
 * Context: any, under RCU.
 */
void ims_guard_note_bad(struct ims_net *in, const struct xfrm_state *x)
{
	struct ims_journal_drop entry = {
		.proto = IPPROTO_ESP,
		.drop = IMS_IPSEC_DROP_BAD_ICV,
		.spi = ims_sa_spi(x),
		.has_ports = true,
	};
	const struct ims_bundle *b = ims_bundle_of_input(in, x);

	if (!b)
		return;
	ims_sa_tuple(x, &entry.t);
	entry.e.endpoint = b->ep->id;
	ims_guard_note_drop(in, b->ep, &entry);
}

/* Count a drop, and note it down; @p: of the packet, or of what it quotes or carries. */
static void ims_guard_count(struct ims_net *in, struct ims_endpoint *ep, enum ims_ipsec_drop drop,
			    const struct sk_buff *skb, const struct ims_parsed *p, bool has_ports,
			    bool out)
{
	const struct xfrm_state *x = out ? ims_sa_of_output(skb) : ims_sa_of_input(skb);
	const struct ims_journal_drop entry = {
		.e.endpoint = ep->id,
		.t = p->t,
		.spi = IS_ERR_OR_NULL(x) ? 0 : ims_sa_spi(x),
		.has_ports = has_ports,
		.proto = p->proto,
		.drop = drop,
	};

	ims_guard_note_drop(in, ep, &entry);
}

static unsigned int ims_guard_drop_input(struct ims_net *in, struct ims_endpoint *ep,
					 enum ims_ipsec_drop drop, struct sk_buff *skb,
					 const struct ims_parsed *p, enum ims_shape shape,
					 const struct nf_hook_state *state)
{
	ims_guard_count(in, ep, drop, skb, p, shape == IMS_SHAPE_PORTS, false);
	/* An answer to what came protected would quote it in clear. */
	if (ep->guard == IMS_IPSEC_GUARD_REJECT && drop == IMS_IPSEC_DROP_PLAINTEXT_IN &&
	    shape == IMS_SHAPE_PORTS && state->net == in->net)
		ims_reject_input(skb, state);
	return NF_DROP;
}

static unsigned int ims_guard_drop_output(struct ims_net *in, struct ims_endpoint *ep,
					  enum ims_ipsec_drop drop, const struct sk_buff *skb,
					  const struct ims_parsed *p, enum ims_shape shape)
{
	ims_guard_count(in, ep, drop, skb, p, shape == IMS_SHAPE_PORTS, true);
	return ep->guard == IMS_IPSEC_GUARD_REJECT ? NF_DROP_ERR(-ECONNREFUSED) : NF_DROP;
}

/*
 * The addresses and ports that a packet had when it came or was sent, if NAT has
 * changed them since, or will.
 */
static bool ims_guard_get_origin(const struct sk_buff *skb, struct ims_parsed *origin)
{
	const struct nf_conntrack_tuple *t = ims_compat_origin(skb);

	if (!t)
		return false;
	origin->proto = t->dst.protonum;
	origin->t.sport = t->src.u.all;
	origin->t.dport = t->dst.u.all;
	if (t->src.l3num == NFPROTO_IPV4) {
		origin->t.src.family = AF_INET;
		origin->t.dst.family = AF_INET;
		origin->t.src.in.s_addr = t->src.u3.ip;
		origin->t.dst.in.s_addr = t->dst.u3.ip;
	} else {
		origin->t.src.family = AF_INET6;
		origin->t.dst.family = AF_INET6;
		origin->t.src.in6 = t->src.u3.in6;
		origin->t.dst.in6 = t->dst.u3.in6;
	}
	return true;
}

/* Is it the packet itself that connection tracking knows so, or what an ICMP error is about? */
static bool ims_guard_get_own_origin(const struct sk_buff *skb, const struct ims_parsed *now,
				     struct ims_parsed *origin)
{
	if (!ims_guard_get_origin(skb, origin) || origin->proto != now->proto)
		return false;
	origin->offset = now->offset;
	return true;
}

static unsigned int ims_guard_drop_error(struct ims_net *in, struct ims_endpoint *ep,
					 const struct sk_buff *skb, struct ims_parsed *quoted,
					 u8 proto, bool out)
{
	quoted->proto = proto;
	ims_guard_count(in, ep, out ? IMS_IPSEC_DROP_PLAINTEXT_OUT : IMS_IPSEC_DROP_PLAINTEXT_IN,
			skb, quoted, true, out);
	return NF_DROP;
}

/*
 * An ICMP error quotes a packet. From outside, one about what left a protected
 * port quotes ESP: if it quotes the port, it is forged. From here, one about
 * what came to a protected port would show in clear what came in ESP. What is between
 * a port and a trusted prefix is in clear, and so are the errors.
 *
 * @p: of the error
 */
static unsigned int ims_guard_judge_error(struct ims_net *in, const struct sk_buff *skb,
					  const struct nf_hook_state *state,
					  const struct ims_parsed *p, bool out)
{
	/* The headers of an error are as long in both families. */
	struct ims_parsed quoted = { .offset = p->offset + sizeof(struct icmphdr) };
	struct ims_endpoint *ep = NULL;
	enum ims_shape shape;

	if (p->t.src.family == AF_INET)
		shape = ims_parse_quoted4(skb, &quoted);
	else
		shape = ims_parse_quoted6(skb, &quoted);
	if (shape == IMS_SHAPE_BROKEN && !out) {
		ep = ims_endpoint_of_addr(in, &quoted.t.src);
		return ep ? ims_guard_drop_error(in, ep, skb, &quoted, p->proto, out) : NF_ACCEPT;
	}
	if (shape != IMS_SHAPE_PORTS)
		return NF_ACCEPT;
	if (out) {
		if (!ims_reject_is_own())
			ep = ims_endpoint_of_port(in, &quoted.t.dst, quoted.t.dport);
		if (ep && ims_guard_is_hosts(skb, state) &&
		    ims_trust_output(ep, &quoted.t.src, state->out))
			return NF_ACCEPT;
		return ep ? ims_guard_drop_error(in, ep, skb, &quoted, p->proto, out) : NF_ACCEPT;
	}
	ep = ims_endpoint_of_port(in, &quoted.t.src, quoted.t.sport);
	if (ep && ims_trust_input(ep, &quoted.t.dst, state->in, skb))
		return NF_ACCEPT;
	/* NAT has changed what is quoted, too: the connection was with the protected port */
	if (!ep && ims_guard_get_origin(skb, &quoted))
		ep = ims_endpoint_of_port(in, &quoted.t.dst, quoted.t.dport);
	return ep ? ims_guard_drop_error(in, ep, skb, &quoted, p->proto, out) : NF_ACCEPT;
}

static unsigned int ims_guard_judge_input(struct ims_net *in, struct sk_buff *skb,
					  const struct nf_hook_state *state,
					  const struct ims_parsed *p, enum ims_shape shape)
{
	struct ims_endpoint *ep;
	enum ims_ipsec_drop drop;

	if (shape == IMS_SHAPE_PORTS)
		ep = ims_endpoint_of_port(in, &p->t.dst, p->t.dport);
	else
		ep = ims_endpoint_of_addr(in, &p->t.dst);
	if (!ep) {
		if (shape == IMS_SHAPE_PORTS)
			ims_guard_pass_input(in, skb, p);
		return NF_ACCEPT;
	}
	drop = ims_guard_check_input(in, ep, skb, state, p, shape);
	if (drop == IMS_DROP_NOT)
		return NF_ACCEPT;
	return ims_guard_drop_input(in, ep, drop, skb, p, shape, state);
}

/* Not inline, as what is on the stack here is cleared: few packets are NATed. */
static noinline unsigned int ims_guard_judge_changed(struct ims_net *in, struct sk_buff *skb,
						     const struct nf_hook_state *state,
						     const struct ims_parsed *now)
{
	struct ims_parsed origin;
	unsigned int verdict;

	if (!ims_guard_get_own_origin(skb, now, &origin))
		return ims_guard_judge_input(in, skb, state, now, IMS_SHAPE_PORTS);
	verdict = ims_guard_judge_input(in, skb, state, &origin, IMS_SHAPE_PORTS);
	/*
	 * A connection whose first packet is dropped later would be known all the same, and stand
	 * in the way of the UE's own.
	 */
	if (verdict == NF_ACCEPT && !ims_endpoint_of_port(in, &origin.t.dst, origin.t.dport))
		verdict = ims_guard_judge_input(in, skb, state, now, IMS_SHAPE_PORTS);
	return verdict;
}

/*
 * What has no ports, and came over an SA of ours, was made by another cipher: the ICV was right,
 * and there is no telling what this is.
 */
static noinline unsigned int ims_guard_judge_garbled(struct ims_net *in, struct sk_buff *skb)
{
	const struct xfrm_state *x = ims_sa_of_input(skb);

	if (IS_ERR_OR_NULL(x) || !ims_sa_is_shielded(x))
		return NF_ACCEPT;
	ims_guard_note_bad(in, x);
	return NF_DROP;
}

/* What is delivered, as it came */
static unsigned int ims_guard_arrive(struct ims_net *in, struct sk_buff *skb,
				     const struct nf_hook_state *state,
				     const struct ims_parsed *p, enum ims_shape shape)
{
	if (shape == IMS_SHAPE_NO_PORTS)
		return ims_guard_judge_garbled(in, skb);
	if (shape == IMS_SHAPE_ERROR)
		return ims_guard_judge_error(in, skb, state, p, false);
	if (shape == IMS_SHAPE_PORTS && ims_compat_origin(skb))
		return ims_guard_judge_changed(in, skb, state, p);
	return ims_guard_judge_input(in, skb, state, p, shape);
}

/* The endpoint of the socket that somebody has chosen for a packet (TPROXY, BPF) */
static struct ims_endpoint *ims_guard_steered_to(struct ims_net *in, const struct sk_buff *skb)
{
	const struct sock *sk = skb->sk;
	struct ims_addr addr;

	if (!sk)
		return NULL;
	if (ip_hdr(skb)->version == 4) {
		addr.family = AF_INET;
		addr.in.s_addr = sk->sk_rcv_saddr;
	} else {
		addr.family = AF_INET6;
		addr.in6 = sk->sk_v6_rcv_saddr;
	}
	return ims_endpoint_of_port(in, &addr, htons(sk->sk_num));
}

static noinline bool ims_guard_covers_origin(const struct sk_buff *skb,
					     const struct ims_parsed *now,
					     const struct xfrm_state *x)
{
	struct ims_parsed origin;

	return ims_guard_get_own_origin(skb, now, &origin) && ims_sa_covers(x, &origin.t);
}

/* Did a packet come over an SA of ours that is for it? */
static bool ims_guard_is_covered(const struct sk_buff *skb, const struct ims_parsed *p,
				 const struct xfrm_state *x)
{
	if (IS_ERR_OR_NULL(x) || !ims_sa_is_shielded(x))
		return false;
	if (ims_compat_origin(skb))
		return ims_guard_covers_origin(skb, p, x);
	return ims_sa_covers(x, &p->t);
}

static noinline unsigned int ims_guard_judge_fou(struct ims_net *in, const struct sk_buff *skb,
						 const struct ims_parsed *p)
{
	struct ims_parsed within = *p;
	struct ims_endpoint *ep = ims_fou_leads_to(in, skb, &within);

	if (!ep)
		return NF_ACCEPT;
	ims_guard_count(in, ep, IMS_IPSEC_DROP_PLAINTEXT_IN, skb, &within, true, false);
	return NF_DROP;
}

/* What is delivered: nothing changes it any more. */
static unsigned int ims_guard_enter(struct ims_net *in, struct sk_buff *skb,
				    const struct nf_hook_state *state,
				    const struct ims_parsed *p, enum ims_shape shape)
{
	const struct xfrm_state *x = ims_sa_of_input(skb);
	struct ims_endpoint *ep;
	enum ims_ipsec_drop drop;

	/* all else has been judged as it came, and so has what came over an SA that is for it */
	if (shape != IMS_SHAPE_PORTS)
		return NF_ACCEPT;
	if (ims_guard_is_covered(skb, p, x))
		return ims_guard_let_in(skb, x);
	ep = ims_endpoint_of_port(in, &p->t.dst, p->t.dport) ?: ims_guard_steered_to(in, skb);
	if (!ep) {
		if (p->proto != IPPROTO_UDP || !ims_fou_is_possible(in->net))
			return NF_ACCEPT;
		return ims_guard_judge_fou(in, skb, p);
	}
	drop = ims_guard_check_input(in, ep, skb, state, p, shape);
	if (drop == IMS_DROP_NOT)
		return ims_guard_let_in(skb, x);
	return ims_guard_drop_input(in, ep, drop, skb, p, shape, state);
}

/*
 * ESP of an endpoint keeps its source, too: a UE in transport mode knows no other, and a UE in
 * a tunnel has a mapping in its NAT for this one.
 *
 * @nat_port: source port where ESP is in UDP, or 0
 */
static noinline unsigned int ims_guard_let_esp_out(struct ims_net *in, struct sk_buff *skb,
						   __be16 nat_port)
{
	struct ims_addr src;

	/* not tracked, not NATed */
	if (!skb_nfct(skb))
		return NF_ACCEPT;
	src = ims_addr_src(skb);
	if (ims_endpoint_sends_esp(in, &src, nat_port))
		ims_compat_keep_source(skb);
	return NF_ACCEPT;
}

/* The server sends from a port that is not protected to a UE's that is: the UE drops it. */
static void ims_guard_note_clear(struct ims_net *in, const struct ims_parsed *p)
{
	const struct ims_port_map *map = rcu_dereference(in->port_map);
	struct ims_journal_drop entry = {
		.t = p->t,
		.has_ports = true,
		.proto = p->proto,
		.drop = IMS_IPSEC_DROP_CLEAR_TO_UE,
	};
	struct ims_endpoint *ep;

	/* with guard bypass a protected port sends in clear */
	if (!map || test_bit(ims_port_bit(p->t.sport), map->bits))
		return;
	ep = ims_clear_endpoint(in, &p->t.dst, p->t.dport);
	if (!ep)
		return;
	entry.e.endpoint = ep->id;
	ims_guard_note_drop(in, ep, &entry);
}

/* A port that is not shut: what leaves over a bundle keeps its source all the same. */
static noinline void ims_guard_pass_output(struct ims_net *in, struct sk_buff *skb,
					   const struct ims_parsed *p)
{
	const struct xfrm_state *x = ims_sa_of_output(skb);

	if (x && ims_sa_is_shielded(x)) {
		ims_compat_keep_source(skb);
		return;
	}
	if (!x)
		ims_guard_note_clear(in, p);
	if (p->proto == IPPROTO_UDP)
		ims_guard_let_esp_out(in, skb, p->t.sport);
}

/* What is sent, before anybody transforms it */
static unsigned int ims_guard_depart(struct ims_net *in, struct sk_buff *skb,
				     const struct nf_hook_state *state,
				     const struct ims_parsed *p, enum ims_shape shape)
{
	enum ims_ipsec_drop drop;
	struct ims_endpoint *ep;

	if (shape == IMS_SHAPE_NO_PORTS)
		return NF_ACCEPT;
	if (shape == IMS_SHAPE_ERROR)
		return ims_guard_judge_error(in, skb, state, p, true);
	if (shape == IMS_SHAPE_PORTS)
		ep = ims_endpoint_of_port(in, &p->t.src, p->t.sport);
	else
		ep = ims_endpoint_of_addr(in, &p->t.src);
	if (!ep) {
		if (shape == IMS_SHAPE_PORTS)
			ims_guard_pass_output(in, skb, p);
		return NF_ACCEPT;
	}
	drop = ims_guard_check_output(in, ep, skb, state, p, shape);
	if (drop == IMS_DROP_NOT)
		return ims_guard_let_out(skb, state);
	return ims_guard_drop_output(in, ep, drop, skb, p, shape);
}

/*
 * With guard bypass a protected port sends in clear where there is no set. Where there is one its
 * SA may be out of XFRM's tables: the endpoint whose packet would leave in clear for that, or NULL.
 */
static struct ims_endpoint *ims_guard_exposed(struct ims_net *in, const struct ims_parsed *p)
{
	struct ims_endpoint *ep = ims_endpoint_with_bypass(in, &p->t.src, p->t.sport);

	return ep && ims_clear_has_set(in, &p->t.dst, p->t.dport) ? ep : NULL;
}

/*
 * What leaves, or goes to XFRM. Where NAT has changed it, whatever came of a judgement
 * before is worth nothing; and what came to a protected port may be on its way to
 * somebody else.
 */
static noinline unsigned int ims_guard_leave(struct ims_net *in, struct sk_buff *skb,
					     const struct nf_hook_state *state,
					     const struct ims_parsed *p, enum ims_shape shape)
{
	struct ims_endpoint *ep = NULL;
	struct ims_parsed origin;
	enum ims_ipsec_drop drop;
	bool changed;

	if (shape == IMS_SHAPE_ERROR)
		return ims_guard_judge_error(in, skb, state, p, true);
	changed = ims_guard_get_own_origin(skb, p, &origin);
	if (changed) {
		ep = ims_endpoint_of_port(in, &origin.t.dst, origin.t.dport);
		if (ep) {
			drop = ims_guard_check_input(in, ep, skb, state, &origin, IMS_SHAPE_PORTS);
			if (drop != IMS_DROP_NOT) {
				ims_guard_count(in, ep, drop, skb, &origin, true, false);
				return NF_DROP;
			}
			ims_compat_keep_from_flowtable(skb);
		}
		ep = ims_endpoint_of_port(in, &origin.t.src, origin.t.sport);
	}
	if (!ep && shape == IMS_SHAPE_PORTS)
		ep = ims_endpoint_of_port(in, &p->t.src, p->t.sport);
	if (!ep && shape == IMS_SHAPE_PORTS && !ims_sa_of_output(skb)) {
		ep = ims_guard_exposed(in, p);
		if (!ep && changed)
			ep = ims_guard_exposed(in, &origin);
		if (ep)
			return ims_guard_drop_output(in, ep, IMS_IPSEC_DROP_NO_LIVE_SET, skb, p,
						     shape);
	}
	if (!ep || ims_reject_is_own())
		return NF_ACCEPT;
	if (changed)
		drop = ims_guard_check_output(in, ep, skb, state, p, shape);
	else if (ims_sa_of_output(skb) || ims_guard_is_trusted(ep, skb, state, p))
		drop = IMS_DROP_NOT;
	else
		drop = IMS_IPSEC_DROP_PLAINTEXT_OUT;
	if (drop == IMS_DROP_NOT)
		return NF_ACCEPT;
	return ims_guard_drop_output(in, ep, drop, skb, changed ? &origin : p,
				     changed ? IMS_SHAPE_PORTS : shape);
}

/* The guard's places; each is a constant where it is used. */
enum ims_guard_place {
	IMS_GUARD_ARRIVE,
	IMS_GUARD_ENTER,
	IMS_GUARD_DEPART,
	IMS_GUARD_LEAVE,
};

/*
 * Most of what a host receives, forwards and sends has nothing to do with an endpoint,
 * and has to be let go with as little work as possible: if it is UDP or TCP and its
 * ports are at hand, a look at a few bits will do.
 *
 * @dst: where it goes to, as ims_clear_bit() has it
 */
static __always_inline bool ims_guard_is_unrelated(struct ims_net *in,
						   const struct sk_buff *skb, u8 proto,
						   const __be16 *ports, u32 dst,
						   enum ims_guard_place place)
{
	const bool out = place == IMS_GUARD_DEPART || place == IMS_GUARD_LEAVE;
	const struct ims_port_map *map = rcu_dereference(in->port_map);
	const struct nf_conntrack_tuple *origin;

	if (!map)
		return true;
	if (test_bit(ims_port_bit(ports[out ? 0 : 1]), map->bits))
		return false;

	switch (place) {
	case IMS_GUARD_ARRIVE:
		origin = ims_compat_origin(skb);
		return !origin || !test_bit(ims_port_bit(origin->dst.u.all), map->bits);
	case IMS_GUARD_ENTER:
		if (secpath_exists(skb) && ims_compat_origin(skb))
			return false;
		if (skb->sk && test_bit(ims_port_bit(htons(skb->sk->sk_num)), map->bits))
			return false;
		return !ims_fou_is_possible(in->net) || proto != IPPROTO_UDP;
	case IMS_GUARD_DEPART:
		if (proto == IPPROTO_UDP && test_bit(ims_port_bit(ports[0]), map->esp))
			return false;
		return !test_bit(ims_port_bit(ports[1]), map->ues) ||
		       !test_bit(ims_clear_bit(dst, ports[1]), map->at_ues);
	default:
		origin = ims_compat_origin(skb);
		return !origin || (!test_bit(ims_port_bit(origin->src.u.all), map->bits) &&
				   !test_bit(ims_port_bit(origin->dst.u.all), map->bits));
	}
}

static unsigned int ims_guard_judge(struct ims_net *in, struct sk_buff *skb,
				    const struct nf_hook_state *state, const struct ims_parsed *p,
				    enum ims_shape shape, enum ims_guard_place place)
{
	switch (place) {
	case IMS_GUARD_ARRIVE:
		return ims_guard_arrive(in, skb, state, p, shape);
	case IMS_GUARD_ENTER:
		return ims_guard_enter(in, skb, state, p, shape);
	case IMS_GUARD_DEPART:
		return ims_guard_depart(in, skb, state, p, shape);
	default:
		return ims_guard_leave(in, skb, state, p, shape);
	}
}

/* Are the ports of UDP or TCP at hand? */
static bool ims_guard_has_ports(const struct sk_buff *skb, const __be16 *ports)
{
	return (const u8 *)(ports + 2) <= skb_tail_pointer(skb);
}

/* @ports: NULL: they have to be looked for */
static noinline unsigned int ims_guard_look(struct ims_net *in, struct sk_buff *skb,
					    const struct nf_hook_state *state,
					    const __be16 *ports, enum ims_guard_place place)
{
	struct ims_parsed p = { .offset = skb_network_offset(skb) };
	enum ims_shape shape;

	if (ip_hdr(skb)->version == 4)
		shape = ports ? ims_parse4_quick(skb, ports, &p) : ims_parse4(skb, &p);
	else
		shape = ports ? ims_parse6_quick(skb, ports, &p) : ims_parse6(skb, &p);
	return ims_guard_judge(in, skb, state, &p, shape, place);
}

/* Of a packet with its ports at hand */
static bool ims_guard_is_udp(const struct sk_buff *skb)
{
	if (ip_hdr(skb)->version == 4)
		return ip_hdr(skb)->protocol == IPPROTO_UDP;
	return ipv6_hdr(skb)->nexthdr == IPPROTO_UDP;
}

/*
 * What comes over an SA that is for it: its address and port are an endpoint's, which no other
 * endpoint has, so that none is looked for. What is new of a bundle is for ims_guard_check_input().
 */
static bool ims_guard_has_arrived(struct ims_net *in, const struct sk_buff *skb,
				  const __be16 *ports)
{
	const struct xfrm_state *x = ims_sa_fitting_input(skb, ports);
	const struct ims_bundle *b;

	if (!x || !ims_sa_is_live(x))
		return false;
	b = ims_bundle_of_input(in, x);
	if (!b || !READ_ONCE(b->proven) || READ_ONCE(b->state) == IMS_IPSEC_STATE_ESTABLISHED)
		return false;
	if (b->nat && !ims_guard_is_udp(skb))
		return false;
	ims_sa_touch(x);
	return true;
}

/*
 * Has XFRM's check the same result for what came over an SA of ours, in transport mode, if nobody
 * knows any more that it did? The check would find that the SA is for the packet, as the guard
 * has; that no policy asks for it, as it is one of those that other SAs need; and that it stands
 * in the way of none. Behind LOCAL_IN nobody else looks but SELinux, for a label, which the SA
 * has not. Before, rules of operators do. Where there are inbound policies, XFRM looks for one of
 * them in any case, and all is left as it is.
 */
static bool ims_guard_may_forget(const struct ims_net *in, const struct nf_hook_state *state)
{
	return READ_ONCE(in->guards_last) && state->net == in->net &&
	       ims_policy_wants_none(in->net);
}

/* It has been judged when it arrived. */
static bool ims_guard_has_entered(struct ims_net *in, struct sk_buff *skb,
				  const struct nf_hook_state *state, const __be16 *ports)
{
	const struct xfrm_state *x = ims_sa_fitting_input(skb, ports);

	if (!x)
		return false;
	ims_guard_let_in(skb, x);
	if (ims_guard_may_forget(in, state))
		ims_sa_forget_input(skb);
	return true;
}

/*
 * Most of what has to do with an endpoint is as it should be, and nobody has changed it: UDP or
 * TCP that is whole, over an SA of ours that is for it. What came over one was judged on arrival,
 * and what XFRM gets after the judgement at LOCAL_OUT leaves in ESP.
 *
 * The hooks themselves have what all packets need. They end with one of these, so that nothing
 * has to be kept on the stack before.
 */
static noinline unsigned int ims_guard_see_arrive(struct ims_net *in, struct sk_buff *skb,
						  const struct nf_hook_state *state,
						  const __be16 *ports)
{
	if (!ims_compat_origin(skb) && ims_guard_has_arrived(in, skb, ports))
		return NF_ACCEPT;
	return ims_guard_look(in, skb, state, ports, IMS_GUARD_ARRIVE);
}

static noinline unsigned int ims_guard_see_enter(struct ims_net *in, struct sk_buff *skb,
						 const struct nf_hook_state *state,
						 const __be16 *ports)
{
	if (!ims_compat_origin(skb) && ims_guard_has_entered(in, skb, state, ports))
		return NF_ACCEPT;
	return ims_guard_look(in, skb, state, ports, IMS_GUARD_ENTER);
}

/* The bits of a UE's port may be another UE's, or of one that has gone. */
static bool ims_guard_goes_elsewhere(struct ims_net *in, const struct sk_buff *skb,
				     const __be16 *ports)
{
	const struct ims_port_map *map = rcu_dereference(in->port_map);

	if (!map || test_bit(ims_port_bit(ports[0]), map->bits) ||
	    test_bit(ims_port_bit(ports[0]), map->esp))
		return false;
	return !ims_clear_is_to_ue(in, skb, ports[1]);
}

static noinline unsigned int ims_guard_see_other(struct ims_net *in, struct sk_buff *skb,
						 const struct nf_hook_state *state,
						 const __be16 *ports)
{
	if (ims_guard_goes_elsewhere(in, skb, ports))
		return NF_ACCEPT;
	return ims_guard_look(in, skb, state, ports, IMS_GUARD_DEPART);
}

static noinline unsigned int ims_guard_see_off(struct sk_buff *skb)
{
	ims_sa_touch(ims_sa_of_output(skb));
	ims_compat_keep_source(skb);
	return NF_ACCEPT;
}

static noinline unsigned int ims_guard_see_depart(struct ims_net *in, struct sk_buff *skb,
						  const struct nf_hook_state *state,
						  const __be16 *ports)
{
	if (ims_sa_carries_output(skb, ports))
		return ims_guard_see_off(skb);
	return ims_guard_see_other(in, skb, state, ports);
}

static __always_inline unsigned int ims_guard_see(struct ims_net *in, struct sk_buff *skb,
						  const struct nf_hook_state *state,
						  const __be16 *ports, enum ims_guard_place place)
{
	switch (place) {
	case IMS_GUARD_ARRIVE:
		return ims_guard_see_arrive(in, skb, state, ports);
	case IMS_GUARD_ENTER:
		return ims_guard_see_enter(in, skb, state, ports);
	case IMS_GUARD_DEPART:
		return ims_guard_see_depart(in, skb, state, ports);
	default:
		return ims_guard_look(in, skb, state, ports, place);
	}
}

/* What XFRM gets was judged at LOCAL_OUT, unless NAT has changed it since. */
static __always_inline bool ims_guard_has_left(const struct sk_buff *skb,
					       enum ims_guard_place place)
{
	return place == IMS_GUARD_LEAVE && ims_sa_of_output(skb) && !ims_compat_origin(skb);
}

/* ESP is judged by what comes out of it. */
static __always_inline unsigned int ims_guard_see_esp(struct ims_net *in, struct sk_buff *skb,
						      enum ims_guard_place place)
{
	if (place == IMS_GUARD_DEPART && skb_nfct(skb))
		return ims_guard_let_esp_out(in, skb, 0);
	return NF_ACCEPT;
}

static __always_inline unsigned int ims_guard_hook4(struct ims_net *in, struct sk_buff *skb,
						    const struct nf_hook_state *state,
						    enum ims_guard_place place)
{
	const struct iphdr *iph = ip_hdr(skb);
	const __be16 *ports = (const void *)iph + iph->ihl * 4;

	switch (iph->protocol) {
	case IPPROTO_UDP:
	case IPPROTO_TCP:
		if (ims_guard_has_left(skb, place))
			return NF_ACCEPT;
		if (!(iph->frag_off & htons(IP_OFFSET)) && ims_guard_has_ports(skb, ports))
			break;
		return ims_guard_look(in, skb, state, NULL, place);
	case IPPROTO_ESP:
		return ims_guard_see_esp(in, skb, place);
	default:
		return ims_guard_look(in, skb, state, NULL, place);
	}
	if (ims_guard_is_unrelated(in, skb, iph->protocol, ports, (__force u32)iph->daddr, place))
		return NF_ACCEPT;
	return ims_guard_see(in, skb, state, ports, place);
}

static __always_inline unsigned int ims_guard_hook6(struct ims_net *in, struct sk_buff *skb,
						    const struct nf_hook_state *state,
						    enum ims_guard_place place)
{
	const struct ipv6hdr *ip6h = ipv6_hdr(skb);
	const __be16 *ports = (const void *)(ip6h + 1);

	switch (ip6h->nexthdr) {
	case IPPROTO_UDP:
	case IPPROTO_TCP:
		if (ims_guard_has_left(skb, place))
			return NF_ACCEPT;
		if (ims_guard_has_ports(skb, ports))
			break;
		return ims_guard_look(in, skb, state, NULL, place);
	case IPPROTO_ESP:
		return ims_guard_see_esp(in, skb, place);
	default:
		return ims_guard_look(in, skb, state, NULL, place);
	}
	if (ims_guard_is_unrelated(in, skb, ip6h->nexthdr, ports, ipv6_addr_hash(&ip6h->daddr),
				   place))
		return NF_ACCEPT;
	return ims_guard_see(in, skb, state, ports, place);
}

#define IMS_GUARD_HOOK(name, family, place)					\
	static unsigned int name(void *priv, struct sk_buff *skb,		\
				 const struct nf_hook_state *state)		\
	{									\
		return ims_guard_hook##family(priv, skb, state, place);		\
	}

IMS_GUARD_HOOK(ims_guard_arrive4, 4, IMS_GUARD_ARRIVE)
IMS_GUARD_HOOK(ims_guard_arrive6, 6, IMS_GUARD_ARRIVE)
IMS_GUARD_HOOK(ims_guard_enter4, 4, IMS_GUARD_ENTER)
IMS_GUARD_HOOK(ims_guard_enter6, 6, IMS_GUARD_ENTER)
IMS_GUARD_HOOK(ims_guard_depart4, 4, IMS_GUARD_DEPART)
IMS_GUARD_HOOK(ims_guard_depart6, 6, IMS_GUARD_DEPART)
IMS_GUARD_HOOK(ims_guard_leave4, 4, IMS_GUARD_LEAVE)
IMS_GUARD_HOOK(ims_guard_leave6, 6, IMS_GUARD_LEAVE)

/*
 * In the namespace of an ipvlan's lower device: in mode L3S a packet passes the hooks
 * there, and not those of the namespace that gets it.
 */
static struct ims_net *ims_guard_host(const struct sk_buff *skb, const struct nf_hook_state *state)
{
	const struct net *net = dev_net(skb_dst(skb)->dev);
	struct ims_net *in;

	if (net == state->net)
		return NULL;
	in = ims_net(net);
	return READ_ONCE(in->guarded) ? in : NULL;
}

static unsigned int ims_guard_visitor(void *priv, struct sk_buff *skb,
				      const struct nf_hook_state *state)
{
	const bool is_ipv4 = state->pf == NFPROTO_IPV4;
	struct ims_net *in = ims_guard_host(skb, state);
	unsigned int verdict;

	if (!in)
		return NF_ACCEPT;
	verdict = is_ipv4 ? ims_guard_arrive4(in, skb, state) : ims_guard_arrive6(in, skb, state);
	if (verdict != NF_ACCEPT)
		return verdict;
	return is_ipv4 ? ims_guard_enter4(in, skb, state) : ims_guard_enter6(in, skb, state);
}

/*
 * Before IPVS and source NAT of what comes; behind the operator's rules, which see in
 * this place what they would without the guard
 */
#define IMS_GUARD_EARLY4	(NF_IP_PRI_NAT_SRC - 3)
#define IMS_GUARD_EARLY6	(NF_IP6_PRI_NAT_SRC - 3)

static const struct nf_hook_ops ims_guard_ops[IMS_GUARD_HOOKS] = {
	{
		.hook = ims_guard_arrive4,
		.pf = NFPROTO_IPV4,
		.hooknum = NF_INET_LOCAL_IN,
		.priority = IMS_GUARD_EARLY4,
	},
	{
		.hook = ims_guard_enter4,
		.pf = NFPROTO_IPV4,
		.hooknum = NF_INET_LOCAL_IN,
		.priority = NF_IP_PRI_LAST,
	},
	{
		.hook = ims_guard_depart4,
		.pf = NFPROTO_IPV4,
		.hooknum = NF_INET_LOCAL_OUT,
		.priority = NF_IP_PRI_LAST,
	},
	{
		.hook = ims_guard_leave4,
		.pf = NFPROTO_IPV4,
		.hooknum = NF_INET_POST_ROUTING,
		.priority = NF_IP_PRI_LAST,
	},
	{
		.hook = ims_guard_arrive6,
		.pf = NFPROTO_IPV6,
		.hooknum = NF_INET_LOCAL_IN,
		.priority = IMS_GUARD_EARLY6,
	},
	{
		.hook = ims_guard_enter6,
		.pf = NFPROTO_IPV6,
		.hooknum = NF_INET_LOCAL_IN,
		.priority = NF_IP6_PRI_LAST,
	},
	{
		.hook = ims_guard_depart6,
		.pf = NFPROTO_IPV6,
		.hooknum = NF_INET_LOCAL_OUT,
		.priority = NF_IP6_PRI_LAST,
	},
	{
		.hook = ims_guard_leave6,
		.pf = NFPROTO_IPV6,
		.hooknum = NF_INET_POST_ROUTING,
		.priority = NF_IP6_PRI_LAST,
	},
};

static const struct nf_hook_ops ims_guard_visit_ops[] = {
	{
		.hook = ims_guard_visitor,
		.pf = NFPROTO_IPV4,
		.hooknum = NF_INET_LOCAL_IN,
		.priority = NF_IP_PRI_LAST,
	},
	{
		.hook = ims_guard_visitor,
		.pf = NFPROTO_IPV6,
		.hooknum = NF_INET_LOCAL_IN,
		.priority = NF_IP6_PRI_LAST,
	},
};

/**
 * ims_guard_init() - prepare a namespace's hooks
 * @in: where
 */
void ims_guard_init(struct ims_net *in)
{
	unsigned int i;

	memcpy(in->guard_ops, ims_guard_ops, sizeof(ims_guard_ops));
	for (i = 0; i < IMS_GUARD_HOOKS; i++)
		in->guard_ops[i].priv = in;
}

/*
 * Do rules come behind the guard's hook at LOCAL_IN, whose priority is the last one there is?
 * What is registered later with the same comes before; connection tracking has it, too, which
 * has no rules.
 */
static bool ims_guard_is_last(const struct nf_hook_entries *e, nf_hookfn *own)
{
	struct nf_hook_ops **ops = nf_hook_entries_get_hook_ops(e);
	unsigned int i;

	for (i = e->num_hook_entries; i-- && e->hooks[i].hook != own;)
		if (READ_ONCE(ops[i])->hook_ops_type != NF_HOOK_OP_UNDEFINED)
			return false;
	return true;
}

static bool ims_guard_are_last(const struct net *net)
{
	const struct nf_hook_entries *e4, *e6;
	bool last;

	rcu_read_lock();
	e4 = rcu_dereference(net->nf.hooks_ipv4[NF_INET_LOCAL_IN]);
	e6 = rcu_dereference(net->nf.hooks_ipv6[NF_INET_LOCAL_IN]);
	last = e4 && e6 && ims_guard_is_last(e4, ims_guard_enter4) &&
	       ims_guard_is_last(e6, ims_guard_enter6);
	rcu_read_unlock();
	return last;
}

/**
 * ims_guard_enable() - have the hooks registered
 * @in: where; a namespace without endpoints has none and pays nothing
 *
 * Context: process, sleeps, @in->lock held.
 * Return: 0 or -ENOMEM.
 */
int ims_guard_enable(struct ims_net *in)
{
	int err;

	lockdep_assert_held(&in->lock);

	if (in->guarded)
		return 0;
	err = nf_register_net_hooks(in->net, in->guard_ops, IMS_GUARD_HOOKS);
	WRITE_ONCE(in->guards_last, !err && ims_guard_are_last(in->net));
	WRITE_ONCE(in->guarded, !err);
	return err;
}

/**
 * ims_guard_disable() - have the hooks unregistered
 * @in: where; it has no endpoints any more
 *
 * Context: process, sleeps, @in->lock held.
 */
void ims_guard_disable(struct ims_net *in)
{
	lockdep_assert_held(&in->lock);

	if (in->guarded)
		nf_unregister_net_hooks(in->net, in->guard_ops, IMS_GUARD_HOOKS);
	WRITE_ONCE(in->guarded, false);
	WRITE_ONCE(in->guards_last, false);
}

/**
 * ims_guard_visit() - judge what reaches other namespaces through one
 * @net: where an ipvlan's lower device is
 *
 * Context: process, sleeps.
 * Return: 0 or -ENOMEM.
 */
int ims_guard_visit(struct net *net)
{
	return nf_register_net_hooks(net, ims_guard_visit_ops, ARRAY_SIZE(ims_guard_visit_ops));
}

/**
 * ims_guard_leave_alone() - no more of that
 * @net: where ims_guard_visit() was called
 *
 * Context: process, sleeps.
 */
void ims_guard_leave_alone(struct net *net)
{
	nf_unregister_net_hooks(net, ims_guard_visit_ops, ARRAY_SIZE(ims_guard_visit_ops));
}
