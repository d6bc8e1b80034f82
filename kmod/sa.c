// SPDX-License-Identifier: GPL-2.0-only
/* SAs made, changed and ended: with sa_*.c, all that looks into struct xfrm_state. */
#include <crypto/aead.h>
#include <crypto/authenc.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <linux/slab.h>
#include <net/xfrm.h>

#include "audit.h"
#include "compat.h"
#include "iv.h"
#include "sa.h"

/* RFC 4303 clause 3.4.3 recommends 64; the bitmap lies behind the state. */
#define IMS_SA_REPLAY_WINDOW	64

/*
 * The three lookups below also probe: __xfrm_init_state() BUG()s on an algorithm
 * that has not been.
 */
static int ims_sa_no_alg(const struct ims_alg *alg, struct netlink_ext_ack *extack)
{
	NL_SET_ERR_MSG_FMT(extack, "this kernel has no %s", alg->name);
	return -EOPNOTSUPP;
}

/*
 * What XFRM knows of a pair's algorithms. XFRM looks them up by name, among a dozen others, and
 * never frees them, but may find some day that the kernel has one no longer.
 */
static struct {
	struct xfrm_algo_desc *auth;
	struct xfrm_algo_desc *enc;
} ims_sa_descs[IMS_ALG_PAIRS] __read_mostly;

static struct xfrm_algo_desc *ims_sa_find_auth(const struct ims_alg_pair *pair)
{
	struct xfrm_algo_desc **known = &ims_sa_descs[pair - ims_alg_pairs].auth;
	struct xfrm_algo_desc *desc = READ_ONCE(*known);

	if (!desc || !desc->available) {
		desc = xfrm_aalg_get_byname(pair->auth->name, 1);
		WRITE_ONCE(*known, desc);
	}
	return desc;
}

/* Of what encrypts, or does both */
static struct xfrm_algo_desc *ims_sa_find_enc(const struct ims_alg_pair *pair)
{
	struct xfrm_algo_desc **known = &ims_sa_descs[pair - ims_alg_pairs].enc;
	struct xfrm_algo_desc *desc = READ_ONCE(*known);

	if (!desc || !desc->available) {
		desc = pair->aead ?
			xfrm_aead_get_byname(pair->aead->name, pair->aead->icv_bits, 1) :
			xfrm_ealg_get_byname(pair->enc->name, 1);
		WRITE_ONCE(*known, desc);
	}
	return desc;
}

static int ims_sa_set_auth(struct xfrm_state *x, const struct ims_sa_kind *kind,
			   struct netlink_ext_ack *extack)
{
	struct xfrm_algo_desc *desc = ims_sa_find_auth(kind->pair);
	const struct ims_alg *alg = kind->pair->auth;

	if (!desc)
		return ims_sa_no_alg(alg, extack);
	x->aalg = kzalloc(sizeof(*x->aalg) + alg->key_len, GFP_KERNEL_ACCOUNT);
	if (!x->aalg)
		return -ENOMEM;
	strscpy(x->aalg->alg_name, desc->name, sizeof(x->aalg->alg_name));
	x->aalg->alg_key_len = alg->key_len * 8;
	x->aalg->alg_trunc_len = alg->icv_bits;
	memcpy(x->aalg->alg_key, kind->keys->auth, alg->key_len);
	x->props.aalgo = desc->desc.sadb_alg_id;
	return 0;
}

/* Pairs of algorithms, as bits, that this kernel does not have with IV generators of ours */
static u32 ims_sa_no_own_iv __read_mostly;

static const char *ims_sa_iv_name(const struct ims_sa_kind *kind, const char *geniv)
{
	const bool own = !kind->for_device && !(ims_sa_no_own_iv & BIT(kind->pair - ims_alg_pairs));

	return (own ? ims_iv_name(geniv) : NULL) ?: geniv;
}

static int ims_sa_set_enc(struct xfrm_state *x, const struct ims_sa_kind *kind,
			  struct netlink_ext_ack *extack)
{
	struct xfrm_algo_desc *desc = ims_sa_find_enc(kind->pair);
	const struct ims_alg *alg = kind->pair->enc;

	if (!desc)
		return ims_sa_no_alg(alg, extack);
	x->ealg = kzalloc(sizeof(*x->ealg) + alg->key_len, GFP_KERNEL_ACCOUNT);
	if (!x->ealg)
		return -ENOMEM;
	strscpy(x->ealg->alg_name, desc->name, sizeof(x->ealg->alg_name));
	x->ealg->alg_key_len = alg->key_len * 8;
	memcpy(x->ealg->alg_key, kind->keys->enc, alg->key_len);
	x->props.ealgo = desc->desc.sadb_alg_id;
	x->geniv = ims_sa_iv_name(kind, desc->uinfo.encr.geniv);
	return 0;
}

static int ims_sa_set_aead(struct xfrm_state *x, const struct ims_sa_kind *kind,
			   struct netlink_ext_ack *extack)
{
	struct xfrm_algo_desc *desc = ims_sa_find_enc(kind->pair);
	const struct ims_alg *alg = kind->pair->aead;

	if (!desc)
		return ims_sa_no_alg(alg, extack);
	x->aead = kzalloc(sizeof(*x->aead) + alg->key_len, GFP_KERNEL_ACCOUNT);
	if (!x->aead)
		return -ENOMEM;
	strscpy(x->aead->alg_name, desc->name, sizeof(x->aead->alg_name));
	x->aead->alg_key_len = alg->key_len * 8;
	x->aead->alg_icv_len = alg->icv_bits;
	memcpy(x->aead->alg_key, kind->keys->enc, alg->key_len);
	x->props.ealgo = desc->desc.sadb_alg_id;
	x->geniv = ims_sa_iv_name(kind, desc->uinfo.aead.geniv);
	return 0;
}

static int ims_sa_set_algs(struct xfrm_state *x, const struct ims_sa_kind *kind,
			   struct netlink_ext_ack *extack)
{
	int err;

	if (kind->pair->aead)
		return ims_sa_set_aead(x, kind, extack);
	err = ims_sa_set_auth(x, kind, extack);
	if (!err)
		err = ims_sa_set_enc(x, kind, extack);
	return err;
}

/* The key of two algorithms together, as authenc() has it: its head, and the two keys */
struct ims_sa_key_head {
	struct rtattr rta;
	struct crypto_authenc_key_param param;
};

union ims_sa_both {
	struct xfrm_algo_aead alg;
	u8 room[sizeof(struct xfrm_algo_aead) + sizeof(struct ims_sa_key_head) +
		2 * IMS_ALG_KEY_MAX];
};

/* An SA's two algorithms as one that does both */
static void ims_sa_combine(const struct xfrm_state *x, const char *name, union ims_sa_both *both)
{
	const unsigned int auth_len = x->aalg->alg_key_len / 8, enc_len = x->ealg->alg_key_len / 8;
	const struct ims_sa_key_head head = {
		.rta = {
			.rta_len = RTA_LENGTH(sizeof(head.param)),
			.rta_type = CRYPTO_AUTHENC_KEYA_PARAM,
		},
		.param.enckeylen = cpu_to_be32(enc_len),
	};
	u8 *key = both->room + offsetof(struct xfrm_algo_aead, alg_key);

	strscpy(both->alg.alg_name, name, sizeof(both->alg.alg_name));
	both->alg.alg_key_len = (sizeof(head) + auth_len + enc_len) * 8;
	both->alg.alg_icv_len = x->aalg->alg_trunc_len;
	memcpy(key, &head, sizeof(head));
	memcpy(key + sizeof(head), x->aalg->alg_key, auth_len);
	memcpy(key + sizeof(head) + auth_len, x->ealg->alg_key, enc_len);
}

/*
 * Have XFRM and ESP make an SA ready. Of two algorithms ESP makes the name and the key of the one
 * that the kernel's crypto has for both, of each SA, and that takes longer than what is done with
 * them. So ESP is told of that one, while it asks; whoever looks at the SA finds the two.
 */
static int ims_sa_init(struct xfrm_state *x, const struct ims_sa_kind *kind,
		       struct netlink_ext_ack *extack)
{
	union ims_sa_both both;
	int err;

	if (!kind->pair->both || !x->geniv)
		return ims_compat_init_state(x, extack);
	ims_sa_combine(x, kind->pair->both, &both);
	x->aead = &both.alg;
	err = ims_compat_init_state(x, extack);
	x->aead = NULL;
	memzero_explicit(&both, sizeof(both));
	return err;
}

/*
 * XFRM frees its copies of the keys as they are, and uses them for nothing once
 * they are with the cipher, but to show them.
 */
static void ims_sa_wipe_keys(struct xfrm_state *x)
{
	if (x->aalg)
		memzero_explicit(x->aalg->alg_key, x->aalg->alg_key_len / 8);
	if (x->ealg)
		memzero_explicit(x->ealg->alg_key, x->ealg->alg_key_len / 8);
	if (x->aead)
		memzero_explicit(x->aead->alg_key, x->aead->alg_key_len / 8);
	/* a mark of it that ims_sa_add() looks for; XFRM sends nothing over such an SA */
	x->lft.hard_packet_limit = 0;
}

/* Have its keys been wiped? */
static bool ims_sa_is_wiped(const struct xfrm_state *x)
{
	return !x->lft.hard_packet_limit;
}

/*
 * A window over 32 needs the long form of the replay state, ESN or not. What
 * goes out has no window, and the short form has its sequence number.
 */
static int ims_sa_set_replay(struct xfrm_state *x)
{
	struct xfrm_replay_state_esn *esn;
	const u32 bmp_len = DIV_ROUND_UP(IMS_SA_REPLAY_WINDOW, 32);

	esn = kzalloc(struct_size(esn, bmp, bmp_len), GFP_KERNEL_ACCOUNT);
	if (!esn)
		return -ENOMEM;
	esn->bmp_len = bmp_len;
	esn->replay_window = IMS_SA_REPLAY_WINDOW;
	x->replay_esn = esn;
	x->preplay_esn = kmemdup(esn, struct_size(esn, bmp, bmp_len), GFP_KERNEL_ACCOUNT);
	return x->preplay_esn ? 0 : -ENOMEM;
}

static int ims_sa_set_tunnel(struct xfrm_state *x)
{
	x->encap = kzalloc(sizeof(*x->encap), GFP_KERNEL_ACCOUNT);
	if (!x->encap)
		return -ENOMEM;
	x->encap->encap_type = UDP_ENCAP_ESPINUDP;
	x->props.mode = XFRM_MODE_TUNNEL;
	return 0;
}

/*
 * One that is not to be deleted, changed or flushed by others, an IKE daemon that starts as
 * a rule: XFRM takes it for one that other SAs need. Where somebody has an inbound policy with
 * templates it is no match for one.
 */
static struct xfrm_state *ims_sa_new(struct net *net)
{
	struct xfrm_state *x = xfrm_state_alloc(net);

	if (x)
		atomic_set(&x->tunnel_users, 1);
	return x;
}

/**
 * ims_sa_alloc() - make an SA that is in no table yet
 * @kind: what to make
 * @extack: gets the reason, may be NULL
 *
 * Context: process, sleeps.
 * Return: the SA, to be given to ims_sa_set_ends() and ims_sa_add(), or to ims_sa_discard(), or
 * an ERR_PTR: -ENOMEM, or -EOPNOTSUPP for an algorithm that is not built.
 */
struct xfrm_state *ims_sa_alloc(const struct ims_sa_kind *kind, struct netlink_ext_ack *extack)
{
	struct xfrm_state *x = ims_sa_new(kind->net);
	int err;

	if (!x)
		return ERR_PTR(-ENOMEM);

	x->id.proto = IPPROTO_ESP;
	x->props.family = kind->family;
	x->props.mode = XFRM_MODE_TRANSPORT;
	x->props.replay_window = kind->out ? 0 : IMS_SA_REPLAY_WINDOW;
	ims_compat_set_dir(x, kind->out);
	/* Family 0 would match anything. */
	x->sel.family = kind->family;

	err = ims_sa_set_algs(x, kind, extack);
	if (!err && kind->is_tunnel)
		err = ims_sa_set_tunnel(x);
	if (!err && !kind->out)
		err = ims_sa_set_replay(x);
	if (!err)
		err = ims_sa_init(x, kind, extack);
	if (err) {
		ims_sa_discard(x);
		return ERR_PTR(err);
	}
	x->km.state = XFRM_STATE_VALID;
	return x;
}

/**
 * ims_sa_set_ends() - say between whom an SA is
 * @x: from ims_sa_alloc(), not added yet
 * @p: addresses, ports and what else tells it from others
 *
 * Context: any.
 */
void ims_sa_set_ends(struct xfrm_state *x, const struct ims_sa_params *p)
{
	const struct ims_sa_tunnel *tunnel = p->tunnel;
	const u8 prefixlen = ims_addr_len(p->src) * 8;

	ims_addr_to_xfrm(tunnel ? &tunnel->dst : p->dst, &x->id.daddr);
	ims_addr_to_xfrm(tunnel ? &tunnel->src : p->src, &x->props.saddr);
	if (tunnel) {
		x->encap->encap_sport = tunnel->sport;
		x->encap->encap_dport = tunnel->dport;
	}
	x->id.spi = p->spi;
	x->props.reqid = p->reqid;
	if (p->out) {
		x->mark.v = p->mark & p->mark_mask;
		x->mark.m = p->mark_mask;
	} else {
		x->props.smark.v = p->mark;
		x->props.smark.m = p->mark_mask;
	}

	/*
	 * Whole addresses and exact ports, any transport protocol: phones mix
	 * UDP and TCP over one set.
	 */
	ims_addr_to_xfrm(p->dst, &x->sel.daddr);
	ims_addr_to_xfrm(p->src, &x->sel.saddr);
	x->sel.prefixlen_d = prefixlen;
	x->sel.prefixlen_s = prefixlen;
	x->sel.dport = p->dport;
	x->sel.dport_mask = htons(0xffff);
	x->sel.sport = p->sport;
	x->sel.sport_mask = htons(0xffff);
}

/**
 * ims_sa_say_exists() - why an SA cannot be added
 * @x: the SA
 * @extack: gets it
 */
void ims_sa_say_exists(const struct xfrm_state *x, struct netlink_ext_ack *extack)
{
	if (x->props.family == AF_INET)
		NL_SET_ERR_MSG_FMT(extack, "SA (%pI4, SPI %u) exists already",
				   &x->id.daddr.a4, ntohl(x->id.spi));
	else
		NL_SET_ERR_MSG_FMT(extack, "SA (%pI6c, SPI %u) exists already",
				   &x->id.daddr.in6, ntohl(x->id.spi));
}

/*
 * XFRM looks a second after it was added whether an SA has a lifetime. None of ours has, and the
 * timers of thousands that fire together keep a CPU from all else. Whoever gives an SA a lifetime
 * (ip xfrm state update) starts its timer again.
 */
static bool ims_sa_has_lifetime(const struct xfrm_state *x)
{
	return x->lft.soft_add_expires_seconds || x->lft.hard_add_expires_seconds ||
	       x->lft.soft_use_expires_seconds || x->lft.hard_use_expires_seconds;
}

/**
 * ims_sa_add() - put an SA into the kernel's tables
 * @x: from ims_sa_alloc()
 * @extack: gets the reason
 *
 * On success the tables hold the caller's first reference and the caller a
 * second: ims_sa_delete() ends the first, ims_sa_put() the second. On error
 * the SA is still the caller's to discard.
 *
 * All SAs of this module come into the tables here, and none without its keys.
 *
 * Return: 0; -EEXIST if its (destination address, SPI) is taken; -EINVAL if its keys have been
 * wiped, which is a fault of the caller's.
 */
int ims_sa_add(struct xfrm_state *x, struct netlink_ext_ack *extack)
{
	int err;

	if (WARN_ON_ONCE(ims_sa_is_wiped(x)))
		return -EINVAL;
	xfrm_state_hold(x);
	err = xfrm_state_add(x);
	xfrm_audit_state_add(x, !err, ims_audit_has_user());
	if (err) {
		xfrm_state_put(x);
		ims_sa_say_exists(x, extack);
		return err;
	}
	if (!ims_sa_has_lifetime(x))
		hrtimer_try_to_cancel(&x->mtimer);
	return 0;
}

/**
 * ims_sa_put_to_sleep() - an SA is not to be used until it is woken
 * @x: from ims_sa_alloc(), not added
 * @mark: what is to be sent over it all the same has this mark, and a policy for the mark
 * @mark_mask: bits of @mark that count; 0: nothing is sent over it
 *
 * It is in the tables then, so that a clash is found, but XFRM does not take it for
 * the endpoint's policies, which have no mark.
 */
void ims_sa_put_to_sleep(struct xfrm_state *x, u32 mark, u32 mark_mask)
{
	x->mark.v = mark & mark_mask;
	x->mark.m = mark_mask;
	/* not VOID, for which XFRM would make larval states */
	if (!mark_mask)
		x->km.state = XFRM_STATE_ERROR;
}

/**
 * ims_sa_wake() - an SA that was put to sleep may be used
 * @x: an SA that was added; one that has been deleted since stays so
 * @mask: bits of a mark that must not be there, see ims_nat_get_sa_mark()
 *
 * Context: any; takes x->lock.
 */
void ims_sa_wake(struct xfrm_state *x, u32 mask)
{
	spin_lock_bh(&x->lock);
	if (x->km.state == XFRM_STATE_ERROR)
		x->km.state = XFRM_STATE_VALID;
	/* XFRM reads both without a lock: a value without the mask matches nothing */
	WRITE_ONCE(x->mark.m, 0);
	WRITE_ONCE(x->mark.v, 0);
	WRITE_ONCE(x->mark.m, mask);
	spin_unlock_bh(&x->lock);
}

/* The message has the keys in it, and is freed as it is where nobody listens. */
static bool ims_sa_is_heard(struct net *net)
{
	struct sock *nlsk;
	bool heard;

	rcu_read_lock();
	nlsk = rcu_dereference(net->xfrm.nlsk);
	heard = nlsk && netlink_has_listeners(nlsk, XFRMNLGRP_SA);
	rcu_read_unlock();
	return heard;
}

static void ims_sa_notify(struct xfrm_state *x, int event)
{
	struct km_event c = { .event = event };

	if (ims_sa_is_heard(xs_net(x)))
		km_state_notify(x, &c);
}

/**
 * ims_sa_announce() - tell XFRM's listeners of a new SA (ip xfrm monitor)
 * @x: an SA that was added
 *
 * Listeners of PF_KEY are told too, where one of XFRM's own listens.
 */
void ims_sa_announce(struct xfrm_state *x)
{
	ims_sa_notify(x, XFRM_MSG_NEWSA);
}

/**
 * ims_sa_end() - end an SA that is in no table
 * @x: from ims_sa_alloc(), not added, or deleted again
 *
 * The caller still has its reference.
 *
 * Context: process, sleeps.
 */
void ims_sa_end(struct xfrm_state *x)
{
	ims_sa_withdraw(x);
	ims_sa_wipe_keys(x);
	x->km.state = XFRM_STATE_DEAD;
}

/**
 * ims_sa_discard() - end an SA that is in no table, and drop the reference
 * @x: from ims_sa_alloc(), not added
 *
 * Context: process, sleeps.
 */
void ims_sa_discard(struct xfrm_state *x)
{
	ims_sa_end(x);
	xfrm_state_put(x);
}

/**
 * ims_sa_delete() - take an SA out of the kernel's tables
 * @x: an SA that was added; somebody else may have deleted it since
 * @announce: it was announced, so tell the listeners
 *
 * Its keys are wiped. The caller still has a reference.
 */
void ims_sa_delete(struct xfrm_state *x, bool announce)
{
	const bool gone = !xfrm_state_delete(x);

	ims_sa_wipe_keys(x);
	if (gone)
		xfrm_audit_state_delete(x, 1, ims_audit_has_user());
	if (gone && announce)
		ims_sa_notify(x, XFRM_MSG_DELSA);
}

/**
 * ims_sa_take_out() - take an outbound SA out of the kernel's tables, and keep it
 * @x: an SA that was added
 *
 * It has its keys and its sequence number: ims_sa_put_in() puts it back, ims_sa_delete() ends it.
 *
 * Context: any; takes x->lock.
 */
void ims_sa_take_out(struct xfrm_state *x)
{
	if (xfrm_state_delete(x))
		return;
	xfrm_audit_state_delete(x, 1, ims_audit_has_user());
	ims_sa_notify(x, XFRM_MSG_DELSA);
}

/**
 * ims_sa_put_in() - put an outbound SA into the kernel's tables that was kept out of them
 * @x: from ims_sa_take_out(), or ims_sa_alloc() and not added yet
 * @asleep: it is not to be used until it is woken
 *
 * It is the same SA as before, which nothing has been sent over meanwhile: no sequence number is
 * used twice. XFRM's tables are no obstacle: what is taken out of them is whole, and whoever
 * still looks at it under RCU finds its way back to the same chain. What a device had is not put
 * back, as the device has forgotten it.
 *
 * Context: any; takes x->lock.
 * Return: 0; -EEXIST if another SA has its place; -EOPNOTSUPP if a device had it.
 */
int ims_sa_put_in(struct xfrm_state *x, bool asleep)
{
	u8 was;
	int err;

	if (ims_sa_was_on_device(x))
		return -EOPNOTSUPP;
	spin_lock_bh(&x->lock);
	was = x->km.state;
	if (was == XFRM_STATE_DEAD)
		ims_compat_left_caches(x);
	/* what has a mark is not taken without, see ims_sa_put_to_sleep() */
	x->km.state = asleep && !x->mark.m ? XFRM_STATE_ERROR : XFRM_STATE_VALID;
	spin_unlock_bh(&x->lock);

	err = ims_sa_add(x, NULL);
	if (!err) {
		ims_sa_announce(x);
		return 0;
	}
	spin_lock_bh(&x->lock);
	x->km.state = was;
	spin_unlock_bh(&x->lock);
	return err;
}

/**
 * ims_sa_was_added() - has an SA been in the kernel's tables, now or before
 * @x: the SA
 *
 * Some kernels forget what was before: then the SA is gone, see ims_sa_is_gone().
 *
 * Context: whoever adds the SA is kept out.
 * Return: true if so.
 */
bool ims_sa_was_added(const struct xfrm_state *x)
{
	return !hlist_unhashed(&x->bydst);
}

/**
 * ims_sa_finish() - end an SA that may be in the kernel's tables or not
 * @x: the SA, which nobody adds any more
 *
 * Context: process, sleeps.
 */
void ims_sa_finish(struct xfrm_state *x)
{
	/* if it is in none, its end has been announced, or it never was */
	if (!ims_sa_was_added(x) && !ims_sa_is_gone(x))
		ims_sa_end(x);
	else
		ims_sa_delete(x, true);
}

/**
 * ims_sa_put() - drop the reference that ims_sa_add() left with the caller
 * @x: the SA
 *
 * Context: any.
 */
void ims_sa_put(struct xfrm_state *x)
{
	xfrm_state_put(x);
}

/**
 * ims_sa_hold() - get another reference, to be given to ims_sa_put()
 * @x: the SA
 *
 * Context: any.
 */
void ims_sa_hold(struct xfrm_state *x)
{
	xfrm_state_hold(x);
}

/* Algorithms with their keys */
static int ims_sa_copy_algs(struct xfrm_state *to, const struct xfrm_state *from)
{
	if (from->aalg)
		to->aalg = kmemdup(from->aalg, xfrm_alg_auth_len(from->aalg),
				   GFP_KERNEL_ACCOUNT);
	if (from->ealg)
		to->ealg = kmemdup(from->ealg, xfrm_alg_len(from->ealg), GFP_KERNEL_ACCOUNT);
	if (from->aead)
		to->aead = kmemdup(from->aead, aead_len(from->aead), GFP_KERNEL_ACCOUNT);
	to->props.aalgo = from->props.aalgo;
	to->props.ealgo = from->props.ealgo;
	to->geniv = from->geniv;
	return !from->aalg == !to->aalg && !from->ealg == !to->ealg &&
	       !from->aead == !to->aead ? 0 : -ENOMEM;
}

/*
 * An outbound SA that is another one's, whose keys have not been wiped, but for where it goes;
 * @dst: NULL: there, too
 */
static struct xfrm_state *ims_sa_copy(struct xfrm_state *x, const struct ims_addr *dst,
				      __be16 dport)
{
	struct xfrm_state *n = ims_sa_new(xs_net(x));

	if (!n)
		return NULL;
	n->lft.hard_packet_limit = x->lft.hard_packet_limit;
	n->id = x->id;
	if (dst)
		ims_addr_to_xfrm(dst, &n->id.daddr);
	n->props.saddr = x->props.saddr;
	n->props.family = x->props.family;
	n->props.mode = x->props.mode;
	n->props.reqid = x->props.reqid;
	n->mark = x->mark;
	n->sel = x->sel;
	ims_compat_set_dir(n, true);
	if (x->encap)
		n->encap = kmemdup(x->encap, sizeof(*x->encap), GFP_KERNEL_ACCOUNT);
	if (!n->encap != !x->encap || ims_sa_copy_algs(n, x))
		goto discard;
	if (n->encap && dst)
		n->encap->encap_dport = dport;
	if (ims_compat_init_state(n, NULL))
		goto discard;
	if (!ims_sa_has_gso(x))
		ims_sa_drop_gso(n);
	n->km.state = XFRM_STATE_VALID;
	return n;

discard:
	ims_sa_discard(n);
	return NULL;
}

/**
 * ims_sa_alloc_moved() - make an outbound SA that is another one's but for where it goes
 * @x: a tunnel's outbound SA, whose keys have not been wiped
 * @dst: address to send to
 * @dport: UDP port to send to
 *
 * Context: process, sleeps.
 * Return: the SA, as from ims_sa_alloc(), or NULL.
 */
struct xfrm_state *ims_sa_alloc_moved(struct xfrm_state *x, const struct ims_addr *dst,
				      __be16 dport)
{
	return ims_sa_copy(x, dst, dport);
}

/* Packets that may leave over an SA until the one that follows it is used */
#define IMS_SA_OVERLAP	1024

/**
 * ims_sa_carry_on() - an outbound SA goes on where another one will end
 * @x: from ims_sa_alloc_moved(), not added yet
 * @old: what it was made from; some more packets may leave over it
 *
 * Where there are no more numbers nothing is sent over @x, as XFRM has it with the last one: none
 * is used twice.
 */
void ims_sa_carry_on(struct xfrm_state *x, struct xfrm_state *old)
{
	spin_lock_bh(&old->lock);
	/* outbound SAs have no ESN */
	if (old->replay.oseq > U32_MAX - IMS_SA_OVERLAP)
		x->replay.oseq = U32_MAX;
	else
		x->replay.oseq = old->replay.oseq + IMS_SA_OVERLAP;
	x->curlft.bytes = old->curlft.bytes;
	x->curlft.packets = old->curlft.packets;
	spin_unlock_bh(&old->lock);
}

/**
 * ims_sa_alloc_again() - make an outbound SA anew that a device had
 * @x: what ims_sa_take_out() has taken out, so that nothing is sent over it
 *
 * Context: process, sleeps.
 * Return: the SA, as from ims_sa_alloc(), with the numbers that follow, or NULL.
 */
struct xfrm_state *ims_sa_alloc_again(struct xfrm_state *x)
{
	struct xfrm_state *n = ims_sa_copy(x, NULL, 0);

	if (n)
		ims_sa_carry_on(n, x);
	return n;
}

/**
 * ims_sa_set_source() - where ESP in UDP is expected to come from
 * @x: a tunnel's inbound SA
 * @addr: address
 * @port: UDP port
 *
 * From elsewhere it is received as well, but XFRM tells its listeners each time.
 * Nothing is looked up by an inbound SA's source.
 *
 * Context: any; takes x->lock.
 */
void ims_sa_set_source(struct xfrm_state *x, const struct ims_addr *addr, __be16 port)
{
	spin_lock_bh(&x->lock);
	ims_addr_to_xfrm(addr, &x->props.saddr);
	WRITE_ONCE(x->encap->encap_sport, port);
	spin_unlock_bh(&x->lock);
}

/**
 * ims_sa_set_nat_port() - send ESP in UDP to another port
 * @x: a tunnel's outbound SA
 * @port: UDP port
 *
 * Context: any; takes x->lock.
 */
void ims_sa_set_nat_port(struct xfrm_state *x, __be16 port)
{
	spin_lock_bh(&x->lock);
	x->encap->encap_dport = port;
	spin_unlock_bh(&x->lock);
}

/**
 * ims_sa_try() - an SA for nothing but to see whether it can be made
 * @net: where
 * @pair: its algorithms
 * @family: AF_INET or AF_INET6
 * @out: the P-CSCF would send over it
 * @for_device: as in struct ims_sa_kind
 * @extack: gets the reason, may be NULL
 *
 * Context: process, sleeps.
 * Return: as ims_sa_alloc(); to be given to ims_sa_discard().
 */
struct xfrm_state *ims_sa_try(struct net *net, const struct ims_alg_pair *pair,
			      sa_family_t family, bool out, bool for_device,
			      struct netlink_ext_ack *extack)
{
	static const struct ims_alg_keys keys;
	const struct ims_sa_kind kind = {
		.net = net,
		.family = family,
		.out = out,
		.pair = pair,
		.keys = &keys,
		.for_device = for_device,
	};
	struct ims_addr addr = { .family = family };
	const struct ims_sa_params p = {
		.src = &addr,
		.dst = &addr,
		.spi = htonl(IMS_IPSEC_SPI_MIN),
		.out = out,
	};
	struct xfrm_state *x = ims_sa_alloc(&kind, extack);

	if (IS_ERR(x))
		return x;
	if (family == AF_INET)
		addr.in.s_addr = htonl(INADDR_LOOPBACK);
	else
		addr.in6 = in6addr_loopback;
	ims_sa_set_ends(x, &p);
	return x;
}

/**
 * ims_sa_warm_up() - have loaded and built what the first SA would wait for
 *
 * ESP, the ciphers, their combinations, the random numbers of their IVs: many
 * times what an SA costs later. What is missing is no error here: the bundle
 * that needs it is refused. Where an IV generator of ours is all that is missing, its
 * pairs have the kernel's.
 *
 * Context: process, sleeps.
 */
void ims_sa_warm_up(void)
{
	struct xfrm_state *x;
	int i;

	/* what is made last is found first in the crypto layer's list: what is preferred */
	for (i = IMS_ALG_PAIRS - 1; i >= 0; i--) {
		x = ims_sa_try(&init_net, &ims_alg_pairs[i], AF_INET, false, false, NULL);
		if (IS_ERR(x)) {
			ims_sa_no_own_iv |= BIT(i);
			x = ims_sa_try(&init_net, &ims_alg_pairs[i], AF_INET, false, true, NULL);
		}
		if (!IS_ERR(x))
			ims_sa_discard(x);
	}
}

/**
 * ims_sa_find_driver() - what would serve an SA
 * @net: where
 * @pair: its algorithms
 * @driver: gets it
 *
 * Context: process, sleeps.
 * Return: 0, -ENOMEM, or why there can be no such SA, -EOPNOTSUPP as a rule.
 */
int ims_sa_find_driver(struct net *net, const struct ims_alg_pair *pair,
		       struct ims_sa_driver *driver)
{
	struct xfrm_state *x = ims_sa_try(net, pair, AF_INET, false, false, NULL);
	struct crypto_tfm *tfm;

	if (IS_ERR(x))
		return PTR_ERR(x);
	/* ESP's own, whatever it combines */
	tfm = crypto_aead_tfm(x->data);
	strscpy(driver->name, crypto_tfm_alg_name(tfm), sizeof(driver->name));
	if (!ims_iv_show_driver(x->data, driver->driver, sizeof(driver->driver)))
		strscpy(driver->driver, crypto_tfm_alg_driver_name(tfm), sizeof(driver->driver));
	ims_sa_discard(x);
	return 0;
}

