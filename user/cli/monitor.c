// SPDX-License-Identifier: GPL-2.0-only
/* imsipsec monitor */
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"

static void event_json(struct json *j, const struct imsipsec_event *e)
{
	json_open(j, NULL, '{');
	json_number(j, "seq", e->seq);
	json_name(j, "type", imsipsec_event_type_name(e->type), e->type);
	if (e->type == IMSIPSEC_EVENT_NEARLY_FULL) {
		json_name(j, "resource", imsipsec_resource_name(e->resource), e->resource);
		json_number(j, "used", e->used);
		json_number(j, "limit", e->limit);
	} else if (e->type != IMSIPSEC_EVENT_LOST) {
		json_name(j, "reason", imsipsec_reason_name(e->reason), e->reason);
		if (e->old_state)
			json_name(j, "old-state", imsipsec_state_name(e->old_state), e->old_state);
		if (e->new_state)
			json_name(j, "new-state", imsipsec_state_name(e->new_state), e->new_state);
		json_bundle(j, "bundle", &e->bundle);
	}
	json_close(j, '}');
	json_end(j);
}

static const char *state_text(enum imsipsec_state state)
{
	return state ? name_or_unknown(imsipsec_state_name(state)) : "none";
}

static void event_text(const struct imsipsec_event *e)
{
	char buf[PEER_LEN];

	if (e->type == IMSIPSEC_EVENT_LOST) {
		printf("events were lost, see \"imsipsec bundle show\"\n");
		return;
	}
	if (e->type == IMSIPSEC_EVENT_NEARLY_FULL) {
		printf("%" PRIu64 ": nearly full: %" PRIu32 " of %" PRIu32 " %s in use\n",
		       e->seq, e->used, e->limit,
		       name_or_unknown(imsipsec_resource_name(e->resource)));
		return;
	}
	printf("%" PRIu64 ": bundle %" PRIu32 " %s (%s), %s -> %s  ", e->seq, e->bundle.id,
	       name_or_unknown(imsipsec_event_type_name(e->type)),
	       name_or_unknown(imsipsec_reason_name(e->reason)),
	       state_text(e->old_state), state_text(e->new_state));
	printf("UE %s", imsipsec_addr_format(&e->bundle.ue_address, buf, sizeof(buf)));
	if (e->bundle.ue_nat_address.family) {
		format_peer(buf, sizeof(buf), &e->bundle.ue_nat_address, e->bundle.ue_nat_port);
		printf(" at %s", buf);
	}
	if (e->type == IMSIPSEC_EVENT_OFFLOAD_FALLBACK)
		text_bundle_offload(&e->bundle);
	printf("  owner ");
	show_bytes(e->bundle.owner, e->bundle.owner_len);
	putchar('\n');
}

static int show_event(const struct imsipsec_event *e, void *data)
{
	(void)data;
	if (json_wanted)
		event_json(&json_out, e);
	else
		event_text(e);
	/* The reader may be a pipe, and the next event far away. */
	return fflush(stdout) ? EPIPE : 0;
}

int cmd_monitor(int argc, char **argv)
{
	struct imsipsec_events *ev;
	struct pollfd poll_fd = { .events = POLLIN };
	int err;

	parse_args(argc, argv, NULL, 0);
	err = imsipsec_event_open(&ev);
	if (err)
		die_of_open(err);

	poll_fd.fd = imsipsec_event_fd(ev);
	do {
		if (poll(&poll_fd, 1, -1) < 0)
			err = errno == EINTR ? 0 : -errno;
		else
			err = imsipsec_event_dispatch(ev, show_event, NULL);
	} while (!err);
	imsipsec_event_close(ev);

	if (err == -ENODEV)
		return fail("the kernel module ims_ipsec was unloaded");
	return fail("%s", strerror(abs(err)));
}
