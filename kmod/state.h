/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef _IMS_STATE_H
#define _IMS_STATE_H

#include <linux/types.h>

/**
 * enum ims_event - what can happen to a bundle
 * @IMS_EVENT_CHALLENGE: another challenge for its registration
 * @IMS_EVENT_CONFIRM: the 200 OK
 * @IMS_EVENT_EXTEND: a 200 OK without a challenge
 * @IMS_EVENT_USE: the UE sent a SIP message over it; or the older one that is sent
 *	over is about to run out, or has gone
 * @IMS_EVENT_SUPERSEDE: a newer one of its registration became ACTIVE
 * @IMS_EVENT_LINGER: a request to delete it after a while
 * @IMS_EVENT_END: its time ran out, or it is deleted now
 * @IMS_EVENTS: how many there are
 */
enum ims_event {
	IMS_EVENT_CHALLENGE,
	IMS_EVENT_CONFIRM,
	IMS_EVENT_EXTEND,
	IMS_EVENT_USE,
	IMS_EVENT_SUPERSEDE,
	IMS_EVENT_LINGER,
	IMS_EVENT_END,
	IMS_EVENTS,
};

/* What ims_state_next() gives beside enum ims_ipsec_state */
#define IMS_STATE_GONE		0	/* the bundle ends */
#define IMS_STATE_REFUSED	0xff	/* the event cannot be, nothing changes */

u8 ims_state_next(u8 state, enum ims_event event);

#endif /* _IMS_STATE_H */
