// SPDX-License-Identifier: GPL-2.0-only
/* What is asked of SAs, and of packets about theirs: see sa.c. */
#include <crypto/aead.h>
#include <crypto/algapi.h>
#include <linux/hash.h>
#include <linux/skbuff.h>
#include <net/dst.h>
#include <net/ipv6.h>
#include <net/xfrm.h>

#include "sa.h"

/**
 * ims_sa_spi_is_taken() - does any SA have this (destination, SPI)
 * @net: where
 * @dst: destination address
 * @spi: the SPI
 *
 * Return: true if so, whoever it belongs to.
 */
bool ims_sa_spi_is_taken(struct net *net, const struct ims_addr *dst, __be32 spi)
{
	struct xfrm_state *x;
	xfrm_address_t daddr = {};

	ims_addr_to_xfrm(dst, &daddr);
	x = xfrm_state_lookup(net, 0, &daddr, spi, IPPROTO_ESP, dst->family);
	if (!x)
		return false;
	xfrm_state_put(x);
	return true;
}

/**
 * ims_sa_find_same() - the SA in the kernel's tables that has the place of one that is not there
 * @x: an outbound SA
 *
 * Context: any.
 * Return: the SA, whoever it belongs to, with a reference to be given to ims_sa_put(); or NULL.
 */
struct xfrm_state *ims_sa_find_same(struct xfrm_state *x)
{
	return xfrm_state_lookup(xs_net(x), x->mark.v, &x->id.daddr, x->id.spi, x->id.proto,
				 x->props.family);
}

/* The mark that an SA has for good: one that waits for its turn has one until then. */
static u32 ims_sa_lasting_mark(const struct xfrm_state *x)
{
	return x->props.mode == XFRM_MODE_TUNNEL ? x->mark.v : 0;
}

/**
 * ims_sa_same_place() - can only one of two SAs be in the kernel's tables
 * @a: an outbound SA of ours
 * @b: another
 *
 * Return: true if so: they have the same destination address, SPI and mark.
 */
bool ims_sa_same_place(const struct xfrm_state *a, const struct xfrm_state *b)
{
	return a->id.spi == b->id.spi && ims_sa_lasting_mark(a) == ims_sa_lasting_mark(b) &&
	       a->props.family == b->props.family &&
	       xfrm_addr_equal(&a->id.daddr, &b->id.daddr, a->props.family);
}

/**
 * ims_sa_add_counters() - add what has gone over an SA
 * @x: the SA
 * @packets: is added to
 * @bytes: is added to
 */
void ims_sa_add_counters(struct xfrm_state *x, u64 *packets, u64 *bytes)
{
	spin_lock_bh(&x->lock);
	*packets += x->curlft.packets;
	*bytes += x->curlft.bytes;
	spin_unlock_bh(&x->lock);
}

/**
 * ims_sa_add_faults() - add what has come with an SA's SPI and was not taken
 * @x: an inbound SA
 * @bad_icv: is added to: what was not authentic
 * @replayed: is added to: what was not new
 */
void ims_sa_add_faults(const struct xfrm_state *x, u64 *bad_icv, u64 *replayed)
{
	*bad_icv += READ_ONCE(x->stats.integrity_failed);
	*replayed += READ_ONCE(x->stats.replay) + READ_ONCE(x->stats.replay_window);
}

/*
 * Is a number one that an SA has not received yet? As XFRM decides it, which tells nobody why it
 * drops a packet. A number counts as received when the packet was authentic.
 */
static bool ims_sa_is_new(const struct xfrm_state *x, u32 seq)
{
	const struct xfrm_replay_state_esn *esn = x->replay_esn;
	const u32 top = READ_ONCE(esn->seq);
	u32 bit;

	if (seq > top)
		return true;
	if (!seq || top - seq >= esn->replay_window)
		return false;
	bit = (seq - 1) % esn->replay_window;
	return !(READ_ONCE(esn->bmp[bit / 32]) & BIT(bit % 32));
}

/**
 * ims_sa_is_bad() - has a UE other keys or algorithms than an SA, or another mode
 * @x: an inbound SA of ours
 * @skb: what came over it, and XFRM drops, in a callback of XFRM's input
 * @spi: what stands where an SPI is
 * @seq: what stands where a number is
 *
 * What was replayed is no fault, and counted by XFRM, nor is a dummy packet. Where there is a
 * tunnel, XFRM drops what comes out of ESP and is no packet, too, and ESP's header is behind it.
 *
 * Context: any, under RCU.
 * Return: true if so, or somebody forges.
 */
bool ims_sa_is_bad(const struct xfrm_state *x, const struct sk_buff *skb, __be32 spi, __be32 seq)
{
	const struct ip_esp_hdr *esph;

	if (spi == x->id.spi)
		return ims_sa_is_new(x, ntohl(seq));
	if (!ims_sa_is_tunnel(x))
		return false;
	esph = (const void *)skb_transport_header(skb) - sizeof(*esph) -
	       crypto_aead_ivsize(x->data);
	/* it was authentic, and no dummy packet: then XFRM notes its number */
	return (const u8 *)esph >= skb->head && esph->spi == x->id.spi &&
	       !ims_sa_is_new(x, ntohl(esph->seq_no));
}

/**
 * ims_sa_last_used() - when the last packet went over an SA
 * @x: the SA
 *
 * Return: seconds, as of ktime_get_real_seconds(); 0: none did.
 */
time64_t ims_sa_last_used(const struct xfrm_state *x)
{
	return READ_ONCE(x->lastused);
}

/**
 * ims_sa_has_keys() - were these an SA's keys
 * @x: an SA that was not deleted, of the same algorithms
 * @keys: the keys
 *
 * Return: true if so.
 */
bool ims_sa_has_keys(const struct xfrm_state *x, const struct ims_alg_keys *keys)
{
	if (x->aead)
		return !crypto_memneq(x->aead->alg_key, keys->enc, x->aead->alg_key_len / 8);
	return !crypto_memneq(x->aalg->alg_key, keys->auth, x->aalg->alg_key_len / 8) &&
	       !crypto_memneq(x->ealg->alg_key, keys->enc, x->ealg->alg_key_len / 8);
}

/**
 * ims_sa_of_input() - the SA that a received packet came over
 * @skb: the packet
 *
 * Context: any, softirq as a rule.
 * Return: the SA if it was exactly one, without a reference: it lives as long
 * as @skb. NULL if there was none; ERR_PTR(-EPERM) if there were several, or
 * one that is not ESP.
 */
const struct xfrm_state *ims_sa_of_input(const struct sk_buff *skb)
{
	const struct sec_path *sp = skb_sec_path(skb);

	if (!sp || !sp->len)
		return NULL;
	if (sp->len != 1 || sp->xvec[0]->id.proto != IPPROTO_ESP)
		return ERR_PTR(-EPERM);
	return sp->xvec[0];
}

/**
 * ims_sa_scatter() - have GRO keep apart what comes over different SAs
 * @skb: what has just come out of ESP
 * @x: the SA that it came over, one of ours
 *
 * GRO joins packets of one flow, which two UEs with the same address behind two
 * NATs would be, and what is joined has one mark. It compares hashes first. SPIs
 * of ours differ, and so do their products with an odd number.
 *
 * Context: softirq.
 */
void ims_sa_scatter(struct sk_buff *skb, const struct xfrm_state *x)
{
	__skb_set_sw_hash(skb, (__force u32)x->id.spi * GOLDEN_RATIO_32, true);
}

/**
 * ims_sa_last_of_input() - the SA that a packet has just come out of
 * @skb: the packet, in a callback of XFRM's input
 *
 * Return: the SA, without a reference; NULL if there was none.
 */
const struct xfrm_state *ims_sa_last_of_input(const struct sk_buff *skb)
{
	const struct sec_path *sp = skb_sec_path(skb);

	return sp && sp->len ? sp->xvec[sp->len - 1] : NULL;
}

/**
 * ims_sa_forget_input() - from here on nobody asks how a packet came
 * @skb: a packet that was judged
 *
 * XFRM's own check would want an inbound policy for what has come out of a tunnel, which all that
 * comes to this host would have to be compared with; in transport mode it would take the packet
 * apart once more.
 */
void ims_sa_forget_input(struct sk_buff *skb)
{
	secpath_reset(skb);
}

/* The IP header of the ESP in UDP whose UDP header this is; of no use with options. */
static bool ims_sa_find_outer(const struct xfrm_state *x, const struct sk_buff *skb,
			      const struct udphdr *uh, struct ims_addr *addr)
{
	const struct ipv6hdr *ip6h = (const void *)uh - sizeof(*ip6h);
	const struct iphdr *iph = (const void *)uh - sizeof(*iph);

	addr->family = x->props.family;
	if (x->props.family == AF_INET) {
		if ((const u8 *)iph < skb->head || iph->version != 4 || iph->ihl != 5 ||
		    iph->protocol != IPPROTO_UDP || iph->daddr != x->id.daddr.a4)
			return false;
		addr->in.s_addr = iph->saddr;
		return true;
	}
	if ((const u8 *)ip6h < skb->head || ip6h->version != 6 || ip6h->nexthdr != IPPROTO_UDP ||
	    !ipv6_addr_equal(&ip6h->daddr, &x->id.daddr.in6))
		return false;
	addr->in6 = ip6h->saddr;
	return true;
}

/**
 * ims_sa_find_source() - where ESP in UDP has come from
 * @x: a tunnel's inbound SA
 * @skb: what has just come out of it, its IP header being the inner one
 * @addr: gets the address
 * @port: gets the UDP port
 *
 * What XFRM pulls off a packet stays in front of it, and so the outer headers are
 * there for whoever asks when all has been checked, the sequence number too:
 *
 *	outer IP | UDP | ESP, IV | inner IP
 *
 * The link layer's header has been moved to right before the inner one.
 *
 * Return: true if it could be found out.
 */
bool ims_sa_find_source(const struct xfrm_state *x, const struct sk_buff *skb,
			struct ims_addr *addr, __be16 *port)
{
	const unsigned int esp_len = sizeof(struct ip_esp_hdr) + crypto_aead_ivsize(x->data);
	const u8 *inner = skb_network_header(skb);
	const struct udphdr *uh = (const void *)(inner - esp_len - sizeof(*uh));

	if ((const u8 *)uh < skb->head || inner - skb->mac_len < (const u8 *)&uh->dest ||
	    !ims_sa_find_outer(x, skb, uh, addr))
		return false;
	*port = uh->source;
	return true;
}

/**
 * ims_sa_has_source() - does ESP in UDP come from where it came from before
 * @x: a tunnel's inbound SA
 * @addr: address it comes from
 * @port: UDP port it comes from
 *
 * Return: true if so.
 */
bool ims_sa_has_source(const struct xfrm_state *x, const struct ims_addr *addr, __be16 port)
{
	if (READ_ONCE(x->encap->encap_sport) != port)
		return false;
	if (addr->family == AF_INET)
		return READ_ONCE(x->props.saddr.a4) == addr->in.s_addr;
	return ipv6_addr_equal(&x->props.saddr.in6, &addr->in6);
}

/**
 * ims_sa_spi() - SPI of an SA
 * @x: the SA
 *
 * Return: the SPI.
 */
__be32 ims_sa_spi(const struct xfrm_state *x)
{
	return x->id.spi;
}

/**
 * ims_sa_mark() - mark of the packets that come over an SA
 * @x: the SA
 *
 * Return: the mark, 0 if they have none.
 */
u32 ims_sa_mark(const struct xfrm_state *x)
{
	return x->props.smark.v;
}

static void ims_sa_addr(struct ims_addr *addr, const xfrm_address_t *xaddr, sa_family_t family)
{
	addr->family = family;
	if (family == AF_INET)
		addr->in.s_addr = xaddr->a4;
	else
		addr->in6 = xaddr->in6;
}

/**
 * ims_sa_tuple() - what an SA is for
 * @x: an SA of ours
 * @t: gets the addresses and ports
 */
void ims_sa_tuple(const struct xfrm_state *x, struct ims_tuple *t)
{
	ims_sa_addr(&t->src, &x->sel.saddr, x->sel.family);
	ims_sa_addr(&t->dst, &x->sel.daddr, x->sel.family);
	t->sport = x->sel.sport;
	t->dport = x->sel.dport;
}

/**
 * ims_sa_cmp_dst() - an order of the addresses that SAs are for packets to
 * @x: an SA of ours
 * @addr: an address
 *
 * Return: below 0 if the SA's comes first, above 0 if @addr does, 0 if they are the same.
 */
int ims_sa_cmp_dst(const struct xfrm_state *x, const struct ims_addr *addr)
{
	const u32 a = (__force u32)x->sel.daddr.a4, b = (__force u32)addr->in.s_addr;

	if (x->sel.family != addr->family)
		return x->sel.family < addr->family ? -1 : 1;
	if (addr->family == AF_INET)
		return a < b ? -1 : a > b;
	return memcmp(&x->sel.daddr.in6, &addr->in6, sizeof(addr->in6));
}

/**
 * ims_sa_ports() - the ports that an SA is for
 * @x: an SA of ours
 * @sport: gets the source port
 *
 * Return: the destination port.
 */
__be16 ims_sa_ports(const struct xfrm_state *x, __be16 *sport)
{
	*sport = x->sel.sport;
	return x->sel.dport;
}

/**
 * ims_sa_reqid() - what policies choose an SA by
 * @x: the SA
 *
 * Return: its reqid.
 */
u32 ims_sa_reqid(const struct xfrm_state *x)
{
	return x->props.reqid;
}

/**
 * ims_sa_same_selector() - are two SAs for the same packets
 * @a: an SA of ours
 * @b: another of its registration
 *
 * Return: true if so.
 */
bool ims_sa_same_selector(const struct xfrm_state *a, const struct xfrm_state *b)
{
	return !memcmp(&a->sel, &b->sel, sizeof(a->sel));
}

/**
 * ims_sa_is_gone() - has an SA been taken out of the kernel's tables
 * @x: an SA that was added
 *
 * Where somebody is about to, and has told of it, the lock waits for that.
 *
 * Context: any; takes x->lock.
 * Return: true if so.
 */
bool ims_sa_is_gone(struct xfrm_state *x)
{
	bool gone;

	spin_lock_bh(&x->lock);
	gone = x->km.state == XFRM_STATE_DEAD;
	spin_unlock_bh(&x->lock);
	return gone;
}

/**
 * ims_sa_covers() - is a packet one that an SA is for
 * @x: an SA of ours: whole addresses and exact ports
 * @t: where the packet comes from and goes to
 *
 * Return: true if so.
 */
bool ims_sa_covers(const struct xfrm_state *x, const struct ims_tuple *t)
{
	const struct xfrm_selector *sel = &x->sel;

	if (sel->sport != t->sport || sel->dport != t->dport || sel->family != t->src.family)
		return false;
	if (sel->family == AF_INET)
		return sel->saddr.a4 == t->src.in.s_addr && sel->daddr.a4 == t->dst.in.s_addr;
	return ipv6_addr_equal(&sel->saddr.in6, &t->src.in6) &&
	       ipv6_addr_equal(&sel->daddr.in6, &t->dst.in6);
}

/**
 * ims_sa_fitting_input() - the SA of ours that a packet came over, if it is for the packet
 * @skb: the packet
 * @ports: its ports
 *
 * Context: any.
 * Return: the SA, live or not, without a reference: it lives as long as @skb; or NULL.
 */
const struct xfrm_state *ims_sa_fitting_input(const struct sk_buff *skb, const __be16 *ports)
{
	const struct xfrm_state *x = ims_sa_of_input(skb);

	return !IS_ERR_OR_NULL(x) && ims_sa_is_for(x, skb, ports) ? x : NULL;
}

/**
 * ims_sa_exists() - is there an SA of an endpoint's port between two addresses
 * @net: where
 * @src: source address
 * @dst: destination address
 * @reqid: the port's
 *
 * Context: any; takes net->xfrm.xfrm_state_lock.
 * Return: true if there is a live one, for whatever ports.
 */
bool ims_sa_exists(struct net *net, const struct ims_addr *src, const struct ims_addr *dst,
		   u32 reqid)
{
	xfrm_address_t saddr = {}, daddr = {};
	struct xfrm_state *x;

	ims_addr_to_xfrm(src, &saddr);
	ims_addr_to_xfrm(dst, &daddr);
	x = xfrm_stateonly_find(net, 0, 0, &daddr, &saddr, dst->family, XFRM_MODE_TRANSPORT,
				IPPROTO_ESP, reqid);
	if (!x)
		return false;
	xfrm_state_put(x);
	return true;
}
