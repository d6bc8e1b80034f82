// SPDX-License-Identifier: GPL-2.0-only
/* Events: what happens to bundles, told to the multicast group. */
#include "bundle.h"
#include "endpoint.h"
#include "event.h"
#include "netlink.h"
#include "netns.h"

static int ims_event_fill(struct sk_buff *skb, const struct ims_bundle *b, u64 seq,
			  enum ims_ipsec_event_type type, enum ims_ipsec_reason reason,
			  u8 old_state, u8 new_state)
{
	struct nlattr *nest;
	void *hdr;

	hdr = genlmsg_put(skb, 0, 0, &ims_genl_family, 0, IMS_IPSEC_CMD_EVENT);
	if (!hdr)
		return -EMSGSIZE;
	if (nla_put_u64_64bit(skb, IMS_IPSEC_A_EVENT_SEQ, seq, IMS_IPSEC_A_EVENT_PAD) ||
	    nla_put_u32(skb, IMS_IPSEC_A_EVENT_TYPE, type) ||
	    nla_put_u32(skb, IMS_IPSEC_A_EVENT_REASON, reason) ||
	    (old_state && nla_put_u32(skb, IMS_IPSEC_A_EVENT_OLD_STATE, old_state)) ||
	    (new_state && nla_put_u32(skb, IMS_IPSEC_A_EVENT_NEW_STATE, new_state)))
		return -EMSGSIZE;
	nest = nla_nest_start(skb, IMS_IPSEC_A_EVENT_BUNDLE);
	if (!nest || ims_netlink_put_bundle(skb, b))
		return -EMSGSIZE;
	nla_nest_end(skb, nest);
	genlmsg_end(skb, hdr);
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
 * An event that cannot be sent leaves a gap in the numbers, which tells the
 * listeners that they have missed something.
 *
 * Context: process, sleeps, struct ims_net.lock held.
 */
void ims_event_send(const struct ims_bundle *b, enum ims_ipsec_event_type type,
		    enum ims_ipsec_reason reason, u8 old_state, u8 new_state)
{
	struct ims_net *in = b->ep->in;
	struct sk_buff *skb;

	lockdep_assert_held(&in->lock);

	in->event_seq++;
	in->n_events[type]++;
	if (!genl_has_listeners(&ims_genl_family, in->net, IMS_MCGRP_EVENTS))
		return;
	skb = genlmsg_new(NLMSG_DEFAULT_SIZE, GFP_KERNEL);
	if (!skb)
		return;
	if (ims_event_fill(skb, b, in->event_seq, type, reason, old_state, new_state)) {
		WARN_ON_ONCE(1);
		nlmsg_free(skb);
		return;
	}
	genlmsg_multicast_netns(&ims_genl_family, in->net, skb, 0, IMS_MCGRP_EVENTS,
				GFP_KERNEL);
}
