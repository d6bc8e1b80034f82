// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * The cache: which bundle a message came over, and which one to send over,
 * without asking the kernel each time.
 *
 * A dump fills it, events keep it. What they say may be older than what a dump
 * or bundle-get has said since, but a bundle's state only ever goes forward, and
 * its id is not given out again.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/random.h>
#include <unistd.h>

#include "cache.h"

#define HEARD_MAX	1024	/* events kept until the listener asks for them */
#define DUMPS_MAX	3	/* that are inconsistent, one after the other */

struct heard {
	struct heard *next;
	struct imsipsec_event event;
};

/* ---- What is found --------------------------------------------------- */

static const struct entry *find_mark(const struct imsipsec_cache *c, uint32_t mark)
{
	const uint64_t hash = mix(c->seeds[KEY_MARK], mark);
	uint32_t index = c->heads[(size_t)c->room * KEY_MARK + (hash & (c->room - 1))];

	for (; index != NOBODY; index = c->entries[index]->next[KEY_MARK])
		if (c->entries[index]->mark == mark)
			return c->entries[index];
	return NULL;
}

static const uint8_t *unpack_addr(struct imsipsec_addr *addr, const uint8_t *from, size_t len)
{
	if (len == sizeof(addr->in))
		memcpy(&addr->in, from, sizeof(addr->in));
	else if (len)
		memcpy(&addr->in6, from, sizeof(addr->in6));
	return from + len;
}

/* Of the family that has addresses of @len bytes */
static struct imsipsec_addr *zero_addr(struct imsipsec_addr *addr, size_t len)
{
	*addr = (struct imsipsec_addr){
		.family = len == sizeof(addr->in) ? AF_INET : len ? AF_INET6 : 0,
	};
	return addr;
}

static const uint8_t *unpack_name(uint8_t *to, const uint8_t *from, size_t len)
{
	size_t i;

	for (i = 0; i < len; i += STEP)
		memcpy(to + i, from + i, STEP);
	return from + i;
}

/*
 * What was found last has what @e has of each message's, and gets its shape, and what few bundles
 * have. Nothing of the bundle before is left. Seldom, and out of the way of what is done for each
 * message.
 */
__attribute__((noinline))
static void reshape(struct imsipsec_cache *c, const struct entry *e)
{
	const uint8_t *from = e->tail;
	struct imsipsec_bundle *b = &c->found;

	from = unpack_addr(zero_addr(&b->address, e->address_len), from, e->address_len);
	from = unpack_addr(zero_addr(&b->ue_address, e->ue_address_len), from, e->ue_address_len);
	from = unpack_addr(zero_addr(&b->ue_nat_address, e->ue_nat_address_len), from,
			   e->ue_nat_address_len);
	memset(b->owner + e->owner_len, 0, sizeof(b->owner) - e->owner_len);
	memset(b->contact + e->contact_len, 0, sizeof(b->contact) - e->contact_len);
	b->ue_nat_port = e->ue_nat_port;
	b->unmarked = e->unmarked;
	b->udp_only = e->udp_only;
	b->offload = e->offload;
	b->offload_reason = e->offload_reason;
	memset(b->offload_interface, 0, sizeof(b->offload_interface));
	memcpy(b->offload_interface, from + STEPS(e->owner_len) + STEPS(e->contact_len),
	       e->interface_len);
	c->found_shape = e->shape == SHAPE_RARE ? SHAPE_NONE : e->shape;
}

/* Into what was found last, whose counters nobody sets. This is done for each message. */
static inline void unpack(struct imsipsec_cache *c, const struct entry *e)
{
	struct imsipsec_bundle *b = &c->found;
	const uint8_t *from = e->tail;

	b->id = e->id;
	b->endpoint = e->endpoint;
	b->owner_len = e->owner_len;
	b->contact_len = e->contact_len;
	b->state = e->state;
	b->mode = e->mode;
	b->alg = e->alg;
	b->ealg = e->ealg;
	b->port_pc = e->port_pc;
	b->port_ps = e->port_ps;
	b->port_uc = e->port_uc;
	b->port_us = e->port_us;
	b->spi_pc = e->spi_pc;
	b->spi_ps = e->spi_ps;
	b->spi_uc = e->spi_uc;
	b->spi_us = e->spi_us;
	b->lifetime = e->lifetime;
	b->registration = e->registration;
	b->mark = e->mark;
	from = unpack_addr(&b->address, from, e->address_len);
	from = unpack_addr(&b->ue_address, from, e->ue_address_len);
	from += e->ue_nat_address_len;
	from = unpack_name(b->owner, from, e->owner_len);
	unpack_name(b->contact, from, e->contact_len);
	if (e->shape != c->found_shape)
		reshape(c, e);
}

/* ---- What the kernel says -------------------------------------------- */

static int see(const struct imsipsec_bundle *bundle, void *data)
{
	struct imsipsec_cache *c = data;

	c->see_err = imsipsec_cache_take(c, bundle);
	return !!c->see_err;
}

static int dump(struct imsipsec_cache *c)
{
	const struct imsipsec_config *config;
	int err, tries = 0;

	err = imsipsec_config_get(c->h, &config);
	if (err)
		return err;
	c->mask = config->mark_mask;
	do {
		c->round++;
		err = imsipsec_bundle_dump(c->h, NULL, see, c);
		if (err > 0)
			err = c->see_err;
	} while (err == -ESTALE && ++tries < DUMPS_MAX);
	if (err)
		return err;
	imsipsec_cache_forget_outdated(c, c->round);
	c->stale = false;
	return 0;
}

typedef int (*event_fn)(const struct imsipsec_event *event, void *data);

struct listener {
	struct imsipsec_cache *c;
	event_fn cb;
	void *data;
	int ret;		/* what @cb returned */
};

static void apply_to_bundles(struct imsipsec_cache *c, const struct imsipsec_event *event)
{
	if (event->type == IMSIPSEC_EVENT_NEARLY_FULL)
		return;
	if (!event->new_state)
		imsipsec_cache_forget(c, imsipsec_cache_find_id(c, event->bundle.id));
	else if (imsipsec_cache_take(c, &event->bundle))
		c->stale = true;
}

static int apply(const struct imsipsec_event *event, void *data)
{
	struct listener *l = data;
	struct imsipsec_cache *c = l->c;

	if (event->type == IMSIPSEC_EVENT_LOST) {
		c->stale = true;
	} else {
		c->seq = event->seq;
		apply_to_bundles(c, event);
	}
	l->ret = l->cb ? imsipsec_called(c->h, l->cb(event, l->data)) : 0;
	return l->ret;
}

/* Read the events that are there; dump if some are missing. */
static int refresh(struct imsipsec_cache *c, event_fn cb, void *data)
{
	struct listener l = { .c = c, .cb = cb, .data = data };
	int err;

	do {
		err = imsipsec_event_dispatch(c->ev, apply, &l);
		if (l.ret)
			return l.ret;
		if (err)
			c->stale = true;
	} while (err == -EBADMSG);
	if (err == -ENODEV)
		return imsipsec_fail(c->h, err, "the kernel module ims_ipsec was unloaded");
	if (err)
		return imsipsec_fail_system(c->h, err);
	return c->stale ? dump(c) : 0;
}

/* ---- Events that were read in passing -------------------------------- */

static void drop_heard(struct imsipsec_cache *c)
{
	struct heard *heard;

	while ((heard = c->heard)) {
		c->heard = heard->next;
		free(heard);
	}
	c->heard_end = &c->heard;
	c->n_heard = 0;
}

static int keep(const struct imsipsec_event *event, void *data)
{
	struct imsipsec_cache *c = data;
	struct heard *heard = NULL;

	if (c->n_heard < HEARD_MAX)
		heard = calloc(1, sizeof(*heard));
	if (heard) {
		heard->event = *event;
		*c->heard_end = heard;
		c->heard_end = &heard->next;
		c->n_heard++;
	} else {
		drop_heard(c);
		c->heard_lost = true;
	}
	eventfd_write(c->heard_fd, 1);
	return 0;
}

static int tell_heard(struct imsipsec_cache *c, event_fn cb, void *data)
{
	static const struct imsipsec_event lost = { .type = IMSIPSEC_EVENT_LOST };
	struct heard *heard;
	eventfd_t n;
	int err = 0;

	if (!cb) {
		drop_heard(c);
		c->heard_lost = false;
	}
	if (c->heard_lost) {
		c->heard_lost = false;
		err = imsipsec_called(c->h, cb(&lost, data));
	}
	while (!err && (heard = c->heard)) {
		c->heard = heard->next;
		if (!c->heard)
			c->heard_end = &c->heard;
		c->n_heard--;
		err = imsipsec_called(c->h, cb(&heard->event, data));
		free(heard);
	}
	if (!c->heard)
		eventfd_read(c->heard_fd, &n);
	return err;
}

/* ---- Looking up ------------------------------------------------------ */

static bool is_active(const struct entry *e)
{
	return e->state == IMSIPSEC_STATE_ACTIVE;
}

/*
 * Ask the kernel about one that a packet may just have taken into use. No entry
 * any more: it is gone.
 */
static int renew(struct imsipsec_cache *c, struct entry **e)
{
	const struct imsipsec_bundle *b;
	const uint32_t id = (*e)->id;
	int err;

	if ((*e)->state != IMSIPSEC_STATE_TEMPORARY &&
	    (*e)->state != IMSIPSEC_STATE_ESTABLISHED)
		return 0;
	err = imsipsec_bundle_get(c->h, id, &b);
	if (err == -ENOENT) {
		imsipsec_cache_forget(c, *e);
		*e = NULL;
		return 0;
	}
	if (!err)
		err = imsipsec_cache_take(c, b);
	/* What was taken in is another entry. */
	if (!err)
		*e = imsipsec_cache_find_id(c, id);
	return err;
}

/* There is one of a mark. */
static int choose_mark(struct imsipsec_cache *c, const struct query *q, struct entry **best)
{
	*best = imsipsec_cache_find(c, q);
	return *best ? renew(c, best) : 0;
}

/*
 * The ACTIVE one is it, the newest if there is none. Of several, the newest that
 * is ACTIVE: the event that makes the other one OLD is on its way. What may be had
 * by UDP alone shares its ports with the one whose connections they are.
 */
static int choose_ports(struct imsipsec_cache *c, const struct query *q, struct entry **best)
{
	struct entry *e, *next;
	int err;

	for (e = imsipsec_cache_find(c, q); e; e = next) {
		next = imsipsec_cache_find_next(c, e, q);
		if (e->udp_only)
			continue;
		err = renew(c, &e);
		if (err)
			return err;
		if (!e || e->udp_only)
			continue;
		if (!*best || is_active(e) > is_active(*best) ||
		    (is_active(e) == is_active(*best) &&
		     is_older((*best)->id, e->id)))
			*best = e;
	}
	return 0;
}

/* The connection is one that the UE opened, or one that we did. */
static int choose_tuple(struct imsipsec_cache *c, const struct query *q, struct entry **best)
{
	struct query opened_by_us = *q;
	int err;

	err = choose_ports(c, q, best);
	if (err || *best)
		return err;
	opened_by_us.key = KEY_PC;
	return choose_ports(c, &opened_by_us, best);
}

/* The newest ACTIVE one, else the oldest ESTABLISHED one */
static int choose_tx(struct imsipsec_cache *c, const struct query *q, struct entry **best)
{
	struct entry *e;

	for (e = imsipsec_cache_find(c, q); e; e = imsipsec_cache_find_next(c, e, q)) {
		if (!is_active(e) && e->state != IMSIPSEC_STATE_ESTABLISHED)
			continue;
		if (!*best || is_active(e) > is_active(*best) ||
		    (is_active(e) == is_active(*best) &&
		     is_older((*best)->id, e->id) == is_active(e)))
			*best = e;
	}
	return 0;
}

static void give(struct imsipsec_cache *c, const struct entry *e, struct imsipsec_found *found)
{
	*found = (struct imsipsec_found){ .seq = c->seq, .bundle = &c->found };
	unpack(c, e);
}

/* The query has no pointer into an entry: they come and go in here. */
static int look_up(struct imsipsec_cache *c, const struct query *q,
		   int (*choose)(struct imsipsec_cache *c, const struct query *q,
				 struct entry **best), struct imsipsec_found *found)
{
	struct entry *best = NULL;
	int err, tries;

	err = imsipsec_nl_check_process(c->h);
	if (err)
		return err;
	for (tries = 0; !best && tries < 2; tries++) {
		/* What is not there may be in the events. */
		if (tries || c->stale) {
			err = refresh(c, keep, c);
			if (err)
				return err;
		}
		err = choose(c, q, &best);
		if (err)
			return err;
	}
	if (!best)
		return imsipsec_fail(c->h, -ENOENT, "no such bundle");
	give(c, best, found);
	return 0;
}

/* For few messages, out of the way of the others */
__attribute__((noinline))
static int look_up_mark(struct imsipsec_cache *c, uint32_t mark, struct imsipsec_found *found)
{
	const struct query q = { .key = KEY_MARK, .number = mark };

	if (!mark)
		return imsipsec_fail(c->h, -ENOENT, "not a bundle's mark");
	return look_up(c, &q, choose_mark, found);
}

int imsipsec_rx_mark(struct imsipsec_cache *c, uint32_t mark, struct imsipsec_found *found)
{
	const struct entry *e = find_mark(c, mark & c->mask);

	/* As it is for most messages, without what look_up() does for others */
	if (e && e->state >= IMSIPSEC_STATE_ACTIVE && !c->stale && *c->h->opened_here) {
		give(c, e, found);
		return 0;
	}
	return look_up_mark(c, mark & c->mask, found);
}

int imsipsec_rx_tuple(struct imsipsec_cache *c,
		      const struct imsipsec_addr *local, uint16_t local_port,
		      const struct imsipsec_addr *remote, uint16_t remote_port,
		      struct imsipsec_found *found)
{
	const struct imsipsec_addr own = imsipsec_addr_unmapped(local);
	const struct imsipsec_addr other = imsipsec_addr_unmapped(remote);
	const struct query q = {
		.key = KEY_PS,
		.local = bytes_of(&own), .local_port = local_port,
		.remote = bytes_of(&other), .remote_port = remote_port,
	};

	return look_up(c, &q, choose_tuple, found);
}

/* The names may be those in c->found, which is as it was until give(). */
int imsipsec_tx(struct imsipsec_cache *c, const void *owner, size_t owner_len,
		const void *contact, size_t contact_len, struct imsipsec_found *found)
{
	const struct query q = {
		.key = KEY_NAME,
		.owner = { owner, owner_len },
		.contact = { contact, contact_len },
	};

	if (owner_len > IMSIPSEC_OWNER_MAX || contact_len > IMSIPSEC_CONTACT_MAX)
		return imsipsec_fail(c->h, -ENOENT, "no such bundle");
	return look_up(c, &q, choose_tx, found);
}

/* ---- Opening, reading and closing ------------------------------------ */

static int open_fds(struct imsipsec_cache *c)
{
	struct epoll_event event = { .events = EPOLLIN };

	c->fd = epoll_create1(EPOLL_CLOEXEC);
	c->heard_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (c->fd < 0 || c->heard_fd < 0 ||
	    epoll_ctl(c->fd, EPOLL_CTL_ADD, c->heard_fd, &event) ||
	    epoll_ctl(c->fd, EPOLL_CTL_ADD, imsipsec_event_fd(c->ev), &event))
		return -errno;
	return 0;
}

int imsipsec_cache_open(struct imsipsec_cache **cache)
{
	struct imsipsec_cache *c;
	int err;

	*cache = NULL;
	c = calloc(1, sizeof(*c));
	if (!c)
		return -ENOMEM;
	c->fd = c->heard_fd = -1;
	c->heard_end = &c->heard;
	c->found = imsipsec_no_bundle;
	c->found_shape = SHAPE_NONE;
	/* So that nobody on the network can choose what meets in one place */
	if (getrandom(c->seeds, sizeof(c->seeds), GRND_NONBLOCK) < (ssize_t)sizeof(c->seeds))
		c->seeds[0] = (uintptr_t)c;

	err = imsipsec_cache_grow(c);
	/* It listens before it dumps, so that nothing is missed in between. */
	if (!err)
		err = imsipsec_event_open(&c->ev);
	if (!err)
		err = imsipsec_open(&c->h);
	if (!err)
		err = open_fds(c);
	if (!err)
		err = dump(c);
	if (err) {
		imsipsec_cache_close(c);
		return err;
	}
	*cache = c;
	return 0;
}

void imsipsec_cache_close(struct imsipsec_cache *c)
{
	if (!c)
		return;
	imsipsec_cache_forget_outdated(c, c->round + 1);
	drop_heard(c);
	free(c->heads);
	free(c->entries);
	if (c->fd >= 0)
		close(c->fd);
	if (c->heard_fd >= 0)
		close(c->heard_fd);
	imsipsec_event_close(c->ev);
	imsipsec_close(c->h);
	free(c);
}

void imsipsec_cache_walk(struct imsipsec_cache *c,
			 void (*cb)(const struct imsipsec_bundle *bundle, void *data), void *data)
{
	uint32_t i;

	for (i = 0; i < c->n; i++) {
		unpack(c, c->entries[i]);
		cb(&c->found, data);
	}
}

int imsipsec_cache_fd(const struct imsipsec_cache *c)
{
	return c->fd;
}

int imsipsec_cache_dispatch(struct imsipsec_cache *c,
			    int (*cb)(const struct imsipsec_event *event, void *data), void *data)
{
	int err = imsipsec_nl_check_process(c->h);

	if (!err)
		err = tell_heard(c, cb, data);
	return err ? err : refresh(c, cb, data);
}

const char *imsipsec_cache_strerror(const struct imsipsec_cache *c)
{
	return imsipsec_strerror(c->h);
}
