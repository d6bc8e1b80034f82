// SPDX-License-Identifier: GPL-2.0-or-later
/* A process that hears what becomes of sets: for the event E_IMS_IPSEC, and for the log. */
#include <errno.h>
#include <string.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "dprint.h"
#include "evi/evi_modules.h"
#include "evi/evi_params.h"
#include "reactor_defs.h"
#include "reactor_proc.h"
#include "timer.h"

#include "proto_ims_ipsec.h"

#define RETRY_SECONDS	1
#define LOOK_SECONDS	5

static event_id_t id = EVI_ERROR;
static struct imsipsec_events *events;
static bool missed;		/* what has become of some sets is not known */

int events_init(void)
{
	id = evi_publish_event((str) str_init("E_IMS_IPSEC"));
	if (id != EVI_ERROR)
		return 0;
	LM_ERR("the event E_IMS_IPSEC cannot be published\n");
	return -1;
}

static int add(evi_params_p params, char *name, const char *text, size_t len)
{
	str n = { name, strlen(name) }, value = { (char *)text, len };

	return evi_param_add_str(params, &n, &value);
}

static void raise_event(const struct imsipsec_event *event)
{
	const struct imsipsec_bundle *b = &event->bundle;
	const char *type = imsipsec_event_type_name(event->type);
	const char *reason = imsipsec_reason_name(event->reason);
	char ue[INET6_ADDRSTRLEN];
	str name = str_init("id");
	evi_params_p params;
	int number = b->id;

	if (!type || !b->id || !evi_probe_event(id))
		return;
	params = evi_get_params();
	if (!params)
		return;
	imsipsec_addr_format(&b->ue_address, ue, sizeof(ue));
	if (add(params, "type", type, strlen(type)) ||
	    add(params, "reason", reason ?: "", reason ? strlen(reason) : 0) ||
	    evi_param_add_int(params, &name, &number) ||
	    add(params, "owner", (const char *)b->owner, b->owner_len) ||
	    add(params, "contact", (const char *)b->contact, b->contact_len) ||
	    add(params, "ue", ue, strlen(ue))) {
		LM_ERR("no memory\n");
		evi_free_params(params);
		return;
	}
	evi_raise_event(id, params);
}

/* The challenge was not answered by a 200 in time. Whoever sends many REGISTERs has this run. */
static void say_why(const struct imsipsec_bundle *b)
{
	static struct limit limit;
	unsigned int unknown = 0;
	char ue[INET6_ADDRSTRLEN];
	int err;

	if (!may_say(&limit))
		return;
	imsipsec_addr_format(&b->ue_address, ue, sizeof(ue));
	if (kernel()) {
		err = count_unknown_spis(&b->ue_address,
					 (uint64_t)settings.temporary_timeout * 1000, &unknown);
		if (err)
			kernel_failed("why a set was not confirmed", err);
	}
	if (b->rx_bad_icv)
		LM_WARN("%.*s at %s: its ESP came over the new set, and the ICV was wrong: the "
			"keys differ. Its K or OPc is not what the HSS has, or the S-CSCF gave "
			"other keys than those of the challenge\n",
			(int)b->owner_len, (const char *)b->owner, ue);
	else if (b->rx_packets)
		LM_WARN("%.*s at %s: it answered the challenge over the new set, and its contact "
			"was not saved: ask the S-CSCF, or did the script not come to save()?\n",
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
	if (event->type == IMSIPSEC_EVENT_NEARLY_FULL) {
		LIMITED(LM_WARN,
			"%u of %u %s are in use: imsipsec config says how many there may be\n",
			event->used, event->limit, imsipsec_resource_name(event->resource));
		return 0;
	}
	if (event->type == IMSIPSEC_EVENT_LOST) {
		missed = true;
		return 0;
	}
	raise_event(event);
	if (event->type == IMSIPSEC_EVENT_EXPIRED &&
	    event->reason == IMSIPSEC_REASON_TEMPORARY_TIMEOUT)
		say_why(&event->bundle);
	if (event->type == IMSIPSEC_EVENT_EXPIRED || event->type == IMSIPSEC_EVENT_DELETED)
		record_del(event->bundle.id);
	return 0;
}

static int dispatch(int fd, void *param, int was_timeout)
{
	int err = imsipsec_event_dispatch(events, hear, NULL);

	if (err != -ENODEV)
		return 0;
	/* Unloaded, and to be loaded again */
	reactor_proc_del_fd(fd, -1, 0);
	imsipsec_event_close(events);
	events = NULL;
	life_begins();
	kernel_lost();
	return 0;
}

static void listen_to_kernel(void)
{
	if (events)
		return;
	/* kernel() says so for phones. */
	if (imsipsec_event_open(&events)) {
		events = NULL;
		return;
	}
	/* Where it was unloaded, the ports are shut again without waiting for a phone. */
	kernel();
	records_sweep();
	if (reactor_proc_add_fd(imsipsec_event_fd(events), dispatch, NULL) < 0)
		LM_ERR("the reactor does not take the events\n");
}

static int retry(int fd, void *param, int was_timeout)
{
	static unsigned int next;
	uint64_t times;

	if (read(fd, &times, sizeof(times)) != sizeof(times))
		return 0;
	listen_to_kernel();
	if (missed) {
		missed = false;
		records_sweep();
	}
	if (events && get_ticks() >= next) {
		next = get_ticks() + LOOK_SECONDS;
		kernel_look_after();
	}
	return 0;
}

void events_run(int rank)
{
	const struct itimerspec each = {
		.it_interval = { .tv_sec = RETRY_SECONDS },
		.it_value = { .tv_sec = RETRY_SECONDS },
	};
	int fd;

	if (reactor_proc_init("ims_ipsec events") < 0)
		return;
	fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	if (fd < 0 || timerfd_settime(fd, 0, &each, NULL) ||
	    reactor_proc_add_fd(fd, retry, NULL) < 0) {
		LM_ERR("a timer cannot be had: %s\n", strerror(errno));
		return;
	}
	/* Whoever OpenSIPS is now: that it cannot have the kernel module is said when it starts. */
	kernel();
	listen_to_kernel();
	reactor_proc_loop();
}
