// SPDX-License-Identifier: GPL-2.0-only
/* Events: what happens, to bundles as a rule, told to the multicast group. */
#include "bundle.h"
#include "endpoint.h"
#include "event.h"
#include "limit.h"
#include "netlink.h"
#include "netns.h"

/*
 * Count an event and begin its message. NULL: nobody listens, or there is no memory, which
 * leaves a gap in the numbers; that tells the listeners that they have missed something.
 */
static struct sk_buff *ims_event_begin(struct ims_net *in, enum ims_ipsec_event_type type,
				       void **hdr)
{
	struct sk_buff *skb;

	lockdep_assert_held(&in->lock);

	in->event_seq++;
	in->n_events[type]++;
	if (!genl_has_listeners(&ims_genl_family, in->net, IMS_IPSEC_NLGRP_EVENTS))
		return NULL;
	skb = genlmsg_new(NLMSG_DEFAULT_SIZE, GFP_KERNEL);
	if (!skb)
		return NULL;
	*hdr = genlmsg_put(skb, 0, 0, &ims_genl_family, 0, IMS_IPSEC_CMD_EVENT);
	if (WARN_ON_ONCE(!*hdr ||
			 nla_put_u64_64bit(skb, IMS_IPSEC_A_EVENT_SEQ, in->event_seq,
					   IMS_IPSEC_A_EVENT_PAD) ||
			 nla_put_u32(skb, IMS_IPSEC_A_EVENT_TYPE, type))) {
		nlmsg_free(skb);
		return NULL;
	}
	return skb;
}

/* @err: what became of filling it */
static void ims_event_end(struct ims_net *in, struct sk_buff *skb, void *hdr, int err)
{
	if (WARN_ON_ONCE(err)) {
		nlmsg_free(skb);
		return;
	}
	genlmsg_end(skb, hdr);
	genlmsg_multicast_netns(&ims_genl_family, in->net, skb, 0, IMS_IPSEC_NLGRP_EVENTS,
				GFP_KERNEL);
}

static int ims_event_put_bundle(struct sk_buff *skb, const struct ims_bundle *b,
				enum ims_ipsec_reason reason, u8 old_state, u8 new_state)
{
	struct nlattr *nest;

	if (nla_put_u32(skb, IMS_IPSEC_A_EVENT_REASON, reason) ||
	    (old_state && nla_put_u32(skb, IMS_IPSEC_A_EVENT_OLD_STATE, old_state)) ||
	    (new_state && nla_put_u32(skb, IMS_IPSEC_A_EVENT_NEW_STATE, new_state)))
		return -EMSGSIZE;
	nest = nla_nest_start(skb, IMS_IPSEC_A_EVENT_BUNDLE);
	if (!nest || ims_netlink_put_bundle(skb, b))
		return -EMSGSIZE;
	nla_nest_end(skb, nest);
	return 0;
}

/**
 * ims_event_send() - tell listeners what happened to a bundle
 * @b: the bundle, its SAs still held
 * @type: what happened
 * @reason: why
 * @old_state: enum ims_ipsec_state, 0: there was none
 * @new_state: enum ims_ipsec_state, 0: there is none any more
 *
 * Context: process, sleeps, struct ims_net.lock held.
 */
void ims_event_send(const struct ims_bundle *b, enum ims_ipsec_event_type type,
		    enum ims_ipsec_reason reason, u8 old_state, u8 new_state)
{
	struct ims_net *in = b->ep->in;
	struct sk_buff *skb;
	void *hdr;

	skb = ims_event_begin(in, type, &hdr);
	if (skb)
		ims_event_end(in, skb, hdr,
			      ims_event_put_bundle(skb, b, reason, old_state, new_state));
}

static int ims_event_put_usage(struct sk_buff *skb, enum ims_ipsec_resource resource,
			       const struct ims_usage *u)
{
	if (nla_put_u32(skb, IMS_IPSEC_A_EVENT_RESOURCE, resource) ||
	    nla_put_u32(skb, IMS_IPSEC_A_EVENT_USED, u->used) ||
	    nla_put_u32(skb, IMS_IPSEC_A_EVENT_LIMIT, u->limit))
		return -EMSGSIZE;
	return 0;
}

/**
 * ims_event_send_nearly_full() - tell listeners that something is running out
 * @in: where
 * @resource: what
 * @u: how much of it is in use
 *
 * Context: process, sleeps, @in->lock held.
 */
void ims_event_send_nearly_full(struct ims_net *in, enum ims_ipsec_resource resource,
				const struct ims_usage *u)
{
	struct sk_buff *skb;
	void *hdr;

	skb = ims_event_begin(in, IMS_IPSEC_EVENT_TYPE_NEARLY_FULL, &hdr);
	if (skb)
		ims_event_end(in, skb, hdr, ims_event_put_usage(skb, resource, u));
}
