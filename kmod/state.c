// SPDX-License-Identifier: GPL-2.0-only
/* The life of a bundle: a state and an event give the next state, and nothing else does. */
#include <linux/ims_ipsec.h>
#include <linux/kernel.h>

#include "state.h"

#define T	IMS_IPSEC_STATE_TEMPORARY
#define E	IMS_IPSEC_STATE_ESTABLISHED
#define A	IMS_IPSEC_STATE_ACTIVE
#define O	IMS_IPSEC_STATE_OLD
#define G	IMS_STATE_GONE
#define R	IMS_STATE_REFUSED

/* The table of Documentation/states.rst, which the tests compare with this one. */
static const u8 ims_state_table[IMS_EVENTS][IMS_IPSEC_STATE_OLD + 1] = {
	/*			      T  E  A  O */
	[IMS_EVENT_CHALLENGE] = { R,  G, E, A, O },
	[IMS_EVENT_CONFIRM]   = { R,  E, E, A, R },
	[IMS_EVENT_EXTEND]    = { R,  R, E, A, R },
	[IMS_EVENT_USE]	      = { R,  T, A, A, O },
	[IMS_EVENT_SUPERSEDE] = { R,  T, O, O, O },
	[IMS_EVENT_LINGER]    = { R,  O, O, O, O },
	[IMS_EVENT_END]	      = { R,  G, G, G, G },
};

/**
 * ims_state_next() - what a bundle becomes
 * @state: enum ims_ipsec_state that it is in
 * @event: what happens
 *
 * Context: any; pure.
 * Return: enum ims_ipsec_state, IMS_STATE_GONE or IMS_STATE_REFUSED.
 */
u8 ims_state_next(u8 state, enum ims_event event)
{
	if (state >= ARRAY_SIZE(ims_state_table[0]) || (unsigned int)event >= IMS_EVENTS)
		return IMS_STATE_REFUSED;
	return ims_state_table[event][state];
}
