// SPDX-License-Identifier: LGPL-2.1-or-later
/* Events: a socket that listens to the family's multicast group. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "internal.h"

/* Some 2,000 events: what a few seconds of a mass registration bring. */
#define RECEIVE_BUFFER	(4 << 20)

static int event_attr(const struct nlattr *attr, void *data)
{
	struct imsipsec_event *e = data;
	uint32_t value = 0;
	int err;

	switch (mnl_attr_get_type(attr)) {
	case IMS_IPSEC_A_EVENT_SEQ:
		return imsipsec_attr_u64(attr, &e->seq);
	case IMS_IPSEC_A_EVENT_TYPE:
		err = imsipsec_attr_u32(attr, &value);
		e->type = value;
		return err;
	case IMS_IPSEC_A_EVENT_REASON:
		err = imsipsec_attr_u32(attr, &value);
		e->reason = value;
		return err;
	case IMS_IPSEC_A_EVENT_OLD_STATE:
		err = imsipsec_attr_u32(attr, &value);
		e->old_state = value;
		return err;
	case IMS_IPSEC_A_EVENT_NEW_STATE:
		err = imsipsec_attr_u32(attr, &value);
		e->new_state = value;
		return err;
	case IMS_IPSEC_A_EVENT_BUNDLE:
		return imsipsec_bundle_parse_nest(attr, &e->bundle);
	case IMS_IPSEC_A_EVENT_RESOURCE:
		err = imsipsec_attr_u32(attr, &value);
		e->resource = value;
		return err;
	case IMS_IPSEC_A_EVENT_USED:
		return imsipsec_attr_u32(attr, &e->used);
	case IMS_IPSEC_A_EVENT_LIMIT:
		return imsipsec_attr_u32(attr, &e->limit);
	default:
		return 0;
	}
}

int imsipsec_event_parse(const struct nlmsghdr *nlh, struct imsipsec_event *event)
{
	int err;

	*event = (struct imsipsec_event){ 0 };
	err = imsipsec_attr_walk_msg(nlh, event_attr, event);
	if (err)
		return err;
	if (!event->seq || !event->type)
		return -EBADMSG;
	return event->type == IMSIPSEC_EVENT_NEARLY_FULL || event->bundle.id ? 0 : -EBADMSG;
}

static uint8_t command(const struct nlmsghdr *nlh)
{
	const struct genlmsghdr *genl = mnl_nlmsg_get_payload(nlh);

	return mnl_nlmsg_get_payload_len(nlh) < GENL_HDRLEN ? 0 : genl->cmd;
}

static int family_id_attr(const struct nlattr *attr, void *data)
{
	if (mnl_attr_get_type(attr) != CTRL_ATTR_FAMILY_ID)
		return 0;
	return imsipsec_attr_u16(attr, data);
}

/* nlctrl tells of every family that comes or goes. */
static bool is_unload(const struct imsipsec_events *ev, const struct nlmsghdr *nlh)
{
	uint16_t family = 0;

	return nlh->nlmsg_type == GENL_ID_CTRL && command(nlh) == CTRL_CMD_DELFAMILY &&
	       !imsipsec_attr_walk_msg(nlh, family_id_attr, &family) && family == ev->h->family;
}

static int report_lost(struct imsipsec_events *ev, uint64_t seq,
		       int (*cb)(const struct imsipsec_event *event, void *data), void *data)
{
	/* What comes next is not lost again. */
	ev->next = seq;
	ev->first = false;
	ev->event = (struct imsipsec_event){ .seq = seq, .type = IMSIPSEC_EVENT_LOST };
	return imsipsec_called(ev->h, cb(&ev->event, data));
}

static void skip_message(struct imsipsec_events *ev)
{
	ev->nlh = mnl_nlmsg_next(ev->nlh, &ev->left);
}

static bool is_gap(const struct imsipsec_events *ev)
{
	if (!ev->next)
		return false;
	return ev->first ? ev->event.seq > ev->next : ev->event.seq != ev->next;
}

/*
 * Report what is in the buffer. A message is skipped before its callback, so
 * that a callback that ends the loop does not get it again.
 */
int imsipsec_event_input(struct imsipsec_events *ev,
			 int (*cb)(const struct imsipsec_event *event, void *data), void *data)
{
	int err;

	while (imsipsec_nl_ok(ev->nlh, ev->left)) {
		const struct nlmsghdr *nlh = ev->nlh;

		if (is_unload(ev, nlh)) {
			skip_message(ev);
			return -ENODEV;
		}
		if (nlh->nlmsg_type != ev->h->family || command(nlh) != IMS_IPSEC_CMD_EVENT) {
			skip_message(ev);
			continue;
		}

		err = imsipsec_event_parse(nlh, &ev->event);
		if (err) {
			skip_message(ev);
			return err;
		}
		if (is_gap(ev)) {
			err = report_lost(ev, ev->event.seq, cb, data);
			if (err)
				return err;
			continue;
		}
		skip_message(ev);
		ev->next = ev->event.seq + 1;
		ev->first = false;
		err = imsipsec_called(ev->h, cb(&ev->event, data));
		if (err)
			return err;
	}

	err = ev->left > 0 ? -EBADMSG : 0;
	ev->left = 0;
	return err;
}

int imsipsec_event_dispatch(struct imsipsec_events *ev,
			    int (*cb)(const struct imsipsec_event *event, void *data), void *data)
{
	size_t len;
	int err;

	err = imsipsec_nl_check_process(ev->h);
	if (err)
		return err;
	for (;;) {
		err = imsipsec_event_input(ev, cb, data);
		if (err)
			return err;

		err = imsipsec_nl_recv(imsipsec_fd(ev->h), ev->h->reply, sizeof(ev->h->reply),
				       MSG_DONTWAIT, &len);
		switch (err) {
		case 0:
			ev->nlh = (const struct nlmsghdr *)ev->h->reply;
			ev->left = len;
			break;
		case -ENOBUFS:
			/* What was in the buffer by then is still to be had. */
			ev->overrun = true;
			break;
		case -EAGAIN:
			/*
			 * The lost ones may have been the last ones: no gap shows it. One
			 * that was there may have been that of an earlier loss.
			 */
			if (!ev->overrun)
				return 0;
			ev->overrun = false;
			return report_lost(ev, 0, cb, data);
		default:
			return err;
		}
	}
}

static int subscribe(const struct imsipsec *h)
{
	int size = RECEIVE_BUFFER, nlctrl = GENL_ID_CTRL;

	if (fcntl(imsipsec_fd(h), F_SETFL, O_NONBLOCK))
		return -errno;
	/* A small buffer loses events sooner, that is all. */
	if (setsockopt(imsipsec_fd(h), SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size)))
		setsockopt(imsipsec_fd(h), SOL_SOCKET, SO_RCVBUF, &size, sizeof(size));

	if (mnl_socket_setsockopt(h->nl, NETLINK_ADD_MEMBERSHIP, (void *)&h->group,
				  sizeof(h->group)))
		return -errno;
	/* Its group "notify" has the number of the family, in every kernel. */
	if (mnl_socket_setsockopt(h->nl, NETLINK_ADD_MEMBERSHIP, &nlctrl, sizeof(nlctrl)))
		return -errno;
	return 0;
}

/*
 * Which number comes next, or the first events could be lost and no gap would show it.
 * Some that are counted here may be in the buffer already.
 */
static int find_next(struct imsipsec_events *ev)
{
	const struct imsipsec_stats *stats;
	struct imsipsec *h;
	int err;

	err = imsipsec_open(&h);
	if (err)
		return err;
	err = imsipsec_stats_get(h, &stats);
	if (!err) {
		ev->next = stats->events + 1;
		ev->first = true;
	}
	imsipsec_close(h);
	return err;
}

int imsipsec_event_open(struct imsipsec_events **events)
{
	struct imsipsec_events *ev;
	int err;

	*events = NULL;
	ev = calloc(1, sizeof(*ev));
	if (!ev)
		return -ENOMEM;
	err = imsipsec_nl_open(&ev->h);
	if (err)
		goto free_events;
	err = subscribe(ev->h);
	if (!err)
		err = find_next(ev);
	if (err)
		goto close_handle;
	*events = ev;
	return 0;

close_handle:
	imsipsec_close(ev->h);
free_events:
	free(ev);
	return err;
}

void imsipsec_event_close(struct imsipsec_events *ev)
{
	if (!ev)
		return;
	imsipsec_close(ev->h);
	free(ev);
}

int imsipsec_event_fd(const struct imsipsec_events *ev)
{
	return imsipsec_fd(ev->h);
}
