// SPDX-License-Identifier: GPL-2.0-or-later
/* A process that hears what becomes of sets, and says of those that nobody confirmed why. */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/dprint.h"

#include "ims_ipsec.h"

/* The challenge was not answered by a 200 in time. Whoever sends many REGISTERs has this run. */
static void say_why(const struct imsipsec_bundle *b)
{
	char ue[INET6_ADDRSTRLEN];
	const struct imsipsec_config *config;
	static struct limit limit;
	unsigned int unknown = 0;
	int err;

	if (!may_say(&limit))
		return;
	imsipsec_addr_format(&b->ue_address, ue, sizeof(ue));
	if (kernel()) {
		err = imsipsec_config_get(kernel(), &config);
		if (!err)
			err = count_unknown_spis(&b->ue_address, config->temporary_timeout,
						 &unknown);
		if (err)
			kernel_failed("why a set was not confirmed", err);
	}
	if (b->rx_bad_icv)
		LM_WARN("%.*s at %s: its ESP came over the new set, and the ICV was wrong: the "
			"keys differ. Its K or OPc is not what the HSS has, or the S-CSCF gave "
			"other keys than those of the challenge\n",
			(int)b->owner_len, (const char *)b->owner, ue);
	else if (b->rx_packets)
		LM_WARN("%.*s at %s: it answered the challenge over the new set, and no 200 came "
			"for it: ask the S-CSCF, or did the script not come to pcscf_save and "
			"ipsec_forward?\n",
			(int)b->owner_len, (const char *)b->owner, ue);
	else if (unknown)
		LM_WARN("%.*s at %s: ESP came from there, with an SPI that no set has: the phone "
			"uses an older set, or did not take the SPIs of Security-Server\n",
			(int)b->owner_len, (const char *)b->owner, ue);
	else
		LM_WARN("%.*s at %s: nothing came after the 401. The phone refused the challenge "
			"(AUTN or SQN) or what Security-Server offers, or ESP (IP protocol 50) is "
			"dropped on its way\n",
			(int)b->owner_len, (const char *)b->owner, ue);
}

static int hear(const struct imsipsec_event *event, void *data)
{
	if (event->type == IMSIPSEC_EVENT_EXPIRED &&
	    event->reason == IMSIPSEC_REASON_TEMPORARY_TIMEOUT)
		say_why(&event->bundle);
	else if (event->type == IMSIPSEC_EVENT_NEARLY_FULL)
		LIMITED(LM_WARN,
			"%u of %u %s are in use: imsipsec config says how many there may be\n",
			event->used, event->limit, imsipsec_resource_name(event->resource));
	return 0;
}

void events_run(void)
{
	struct imsipsec_events *events = NULL;
	struct pollfd fd = { .events = POLLIN };
	int err;

	for (;;) {
		err = imsipsec_event_open(&events);
		if (err) {
			/* Unloaded, and to be loaded again; kernel() says so for phones. */
			sleep(1);
			continue;
		}
		/* Where it was, the ports are shut again without waiting for a phone. */
		kernel();
		fd.fd = imsipsec_event_fd(events);
		while (!err) {
			if (poll(&fd, 1, -1) < 0 && errno != EINTR)
				break;
			err = imsipsec_event_dispatch(events, hear, NULL);
		}
		imsipsec_event_close(events);
		if (err == -ENODEV)
			kernel_lost();
	}
}
