// SPDX-License-Identifier: LGPL-2.1-or-later
/* What the kernel says: the bundles that are there, and what becomes of them. */
#include <string.h>

#include <imsipsec.h>

#include "bundle.h"
#include "kernel.h"
#include "options.h"
#include "ue.h"

/*
 * A bundle that a process before this one made: its UE goes on where it was, be it
 * challenged, registered or leaving, and need not register anew. It repeats what was
 * not answered. All that is to be known of it the bundle has, but for what it first sent
 * and whether that was in clear, and for the challenge, which is the home network's.
 */
static void take_over(const struct imsipsec_bundle *bundle)
{
	struct ue *ue = NULL;
	char server[2048];

	for (size_t i = 0; i < n_locals && !ue; i++) {
		if (locals[i].endpoint == bundle->endpoint)
			ue = ue_new(&locals[i],
				    bundle->state == IMSIPSEC_STATE_TEMPORARY ? UE_CHALLENGED :
				    bundle->state == IMSIPSEC_STATE_OLD ? UE_LEAVING :
									  UE_REGISTERED);
	}
	if (!ue)
		return;
	ue->taken_over = true;
	ue->bundle = bundle->id;
	memcpy(ue->owner, bundle->owner, bundle->owner_len);
	memcpy(ue->contact, bundle->contact, bundle->contact_len);
	ue->address = bundle->ue_address;
	ue->nat = bundle->ue_nat_address;
	ue->port_uc = bundle->port_uc;
	ue->port_us = bundle->port_us;
	ue->port_pc = bundle->port_pc;
	ue->mark = mark_of(bundle);
	if (write_security_server(bundle, server, sizeof(server), &ue->server))
		error("bundle %u: its algorithms are not ours", bundle->id);
	log("bundle %u of %s taken over, %s", bundle->id, ue->owner,
	    imsipsec_state_name(bundle->state));
}

/* One that has a newer bundle in use is not leaving: the older one drains. */
static void stay(struct ue *ue)
{
	for (struct ue *other = ues; other; other = other->next) {
		if (other->state == UE_REGISTERED && same_registration(other, ue))
			ue->state = UE_REGISTERED;
	}
}

struct there {
	const struct ue *ue[UES_MAX];
	size_t n;
};

static int on_bundle(const struct imsipsec_bundle *bundle, void *data)
{
	struct there *there = data;
	const struct ue *ue = ue_of_bundle(bundle->id);

	if (!ue) {
		take_over(bundle);
		ue = ue_of_bundle(bundle->id);
	}
	if (ue && there->n < UES_MAX)
		there->ue[there->n++] = ue;
	return 0;
}

int synchronize(void)
{
	struct there there = { .n = 0 };
	struct ue *next;
	size_t i;
	int err;

	err = imsipsec_bundle_dump(ipsec, NULL, on_bundle, &there);
	if (err)
		return err;
	for (struct ue *ue = ues; ue; ue = next) {
		next = ue->next;
		for (i = 0; i < there.n && there.ue[i] != ue; i++)
			;
		if (i == there.n)
			ue_drop(ue);
		else if (ue->state == UE_LEAVING && ue->taken_over)
			stay(ue);
	}
	return 0;
}

int on_event(const struct imsipsec_event *event, void *data)
{
	struct ue *ue;

	(void)data;
	switch (event->type) {
	case IMSIPSEC_EVENT_LOST:
		log("events were lost");
		if (synchronize())
			error("bundles: %s", imsipsec_strerror(ipsec));
		break;
	case IMSIPSEC_EVENT_ACTIVATED:
		log("bundle %u is sent over from here on: %s", event->bundle.id,
		    imsipsec_reason_name(event->reason));
		break;
	case IMSIPSEC_EVENT_NAT_MAPPING:
		log("bundle %u is sent to %s port %u from here on", event->bundle.id,
		    ADDR(&event->bundle.ue_nat_address), event->bundle.ue_nat_port);
		break;
	case IMSIPSEC_EVENT_EXPIRED:
	case IMSIPSEC_EVENT_DELETED:
		ue = ue_of_bundle(event->bundle.id);
		log("bundle %u is gone: %s, %s", event->bundle.id,
		    imsipsec_event_type_name(event->type), imsipsec_reason_name(event->reason));
		if (ue)
			ue_drop(ue);
		break;
	default:
		break;
	}
	return 0;
}
