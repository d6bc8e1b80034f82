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

#include "internal.h"

#define N_HEADS_MIN	64
#define HEARD_MAX	1024	/* events kept until the listener asks for them */
#define DUMPS_MAX	3	/* that are inconsistent, one after the other */

/* What a bundle is found by */
enum key {
	KEY_ID,
	KEY_MARK,
	KEY_NAME,		/* owner and contact */
	KEY_PS,			/* the UE's client port and our server port */
	KEY_PC,			/* the UE's server port and our client port */
	N_KEYS
};

struct query {
	enum key key;
	uint32_t number;	/* id or mark */
	const void *owner, *contact;
	size_t owner_len, contact_len;
	const struct imsipsec_addr *local, *remote;
	uint16_t local_port, remote_port;
};

struct node {
	struct node *next;
	struct entry *entry;
	uint32_t hash;
};

struct entry {
	struct imsipsec_bundle bundle;
	unsigned int round;	/* of the last dump that had it */
	struct node nodes[N_KEYS];
};

struct heard {
	struct heard *next;
	struct imsipsec_event event;
};

struct imsipsec_cache {
	struct imsipsec *h;
	struct imsipsec_events *ev;
	uint32_t mask;
	uint64_t seq;			/* of the last event heard of */
	bool stale;			/* to be dumped before it is used */
	unsigned int round;
	int see_err;			/* of what a dump gave, what went wrong */

	/* One table for all keys */
	uint64_t seed;
	struct node **heads;
	size_t n_heads, n_nodes;	/* n_heads is a power of two */

	/* Events that were read in passing, for the next imsipsec_cache_dispatch() */
	struct heard *heard, **heard_end;
	size_t n_heard;
	bool heard_lost;		/* some that came before them were not kept */
	int heard_fd;			/* readable while there are any */
	int fd;				/* readable while there are any, or the socket is */
};

/* ---- Keys ------------------------------------------------------------ */

static uint64_t mix(uint64_t hash, uint64_t value)
{
	hash = (hash ^ value) * 0x9e3779b97f4a7c15;
	return hash ^ hash >> 32;
}

static uint64_t mix_bytes(uint64_t hash, const void *data, size_t len)
{
	const uint8_t *bytes = data;
	uint64_t value;
	size_t n;

	hash = mix(hash, len);
	for (; len; bytes += n, len -= n) {
		n = len < sizeof(value) ? len : sizeof(value);
		value = 0;
		memcpy(&value, bytes, n);
		hash = mix(hash, value);
	}
	return hash;
}

static uint64_t mix_addr(uint64_t hash, const struct imsipsec_addr *addr)
{
	return mix_bytes(hash, &addr->in,
			 addr->family == AF_INET ? sizeof(addr->in) : sizeof(addr->in6));
}

static uint32_t hash_of(const struct imsipsec_cache *c, const struct query *q)
{
	uint64_t hash = mix(c->seed, q->key);

	switch (q->key) {
	case KEY_ID:
	case KEY_MARK:
		return mix(hash, q->number);
	case KEY_NAME:
		hash = mix_bytes(hash, q->owner, q->owner_len);
		return mix_bytes(hash, q->contact, q->contact_len);
	default:
		hash = mix_addr(mix_addr(hash, q->local), q->remote);
		return mix(hash, (uint32_t)q->local_port << 16 | q->remote_port);
	}
}

/* What @b is found by. False: nothing. */
static bool query_of(const struct imsipsec_bundle *b, enum key key, struct query *q)
{
	*q = (struct query){
		.key = key,
		.number = key == KEY_MARK ? b->mark : b->id,
		.owner = b->owner, .owner_len = b->owner_len,
		.contact = b->contact, .contact_len = b->contact_len,
		.local = &b->address, .remote = &b->ue_address,
		.local_port = key == KEY_PS ? b->port_ps : b->port_pc,
		.remote_port = key == KEY_PS ? b->port_uc : b->port_us,
	};
	return key != KEY_MARK || b->mark;
}

static bool same_bytes(const void *a, size_t a_len, const void *b, size_t b_len)
{
	return a_len == b_len && !memcmp(a, b, a_len);
}

static bool is_found_by(const struct imsipsec_bundle *b, const struct query *q)
{
	switch (q->key) {
	case KEY_ID:
		return b->id == q->number;
	case KEY_MARK:
		return b->mark == q->number;
	case KEY_NAME:
		return same_bytes(b->owner, b->owner_len, q->owner, q->owner_len) &&
		       same_bytes(b->contact, b->contact_len, q->contact, q->contact_len);
	default:
		return (q->key == KEY_PS ? b->port_ps == q->local_port &&
					   b->port_uc == q->remote_port
					 : b->port_pc == q->local_port &&
					   b->port_us == q->remote_port) &&
		       imsipsec_addr_equal(&b->address, q->local) &&
		       imsipsec_addr_equal(&b->ue_address, q->remote);
	}
}

/* ---- The table ------------------------------------------------------- */

static struct node **head_of(const struct imsipsec_cache *c, uint32_t hash)
{
	return &c->heads[hash & (c->n_heads - 1)];
}

static struct entry *first_of(struct node *node, uint32_t hash, const struct query *q)
{
	for (; node; node = node->next)
		if (node->hash == hash && node == &node->entry->nodes[q->key] &&
		    is_found_by(&node->entry->bundle, q))
			return node->entry;
	return NULL;
}

static struct entry *find(const struct imsipsec_cache *c, const struct query *q)
{
	uint32_t hash = hash_of(c, q);

	return first_of(*head_of(c, hash), hash, q);
}

/* Another one behind @e, for a key that need not be of one only */
static struct entry *find_next(struct entry *e, const struct query *q)
{
	return first_of(e->nodes[q->key].next, e->nodes[q->key].hash, q);
}

static struct entry *find_id(const struct imsipsec_cache *c, uint32_t id)
{
	return find(c, &(struct query){ .key = KEY_ID, .number = id });
}

/* Without memory it goes on with the heads that it has. */
static int grow(struct imsipsec_cache *c)
{
	size_t n_old = c->n_heads, i;
	struct node **old = c->heads, **heads, *node, *next;

	if (c->n_nodes < n_old)
		return 0;
	heads = calloc(n_old ? 2 * n_old : N_HEADS_MIN, sizeof(*heads));
	if (!heads)
		return -ENOMEM;
	c->heads = heads;
	c->n_heads = n_old ? 2 * n_old : N_HEADS_MIN;
	for (i = 0; i < n_old; i++) {
		for (node = old[i]; node; node = next) {
			next = node->next;
			node->next = *head_of(c, node->hash);
			*head_of(c, node->hash) = node;
		}
	}
	free(old);
	return 0;
}

static void link_entry(struct imsipsec_cache *c, struct entry *e)
{
	struct query q;
	enum key key;

	for (key = 0; key < N_KEYS; key++) {
		struct node *node = &e->nodes[key];

		if (!query_of(&e->bundle, key, &q))
			continue;
		node->entry = e;
		node->hash = hash_of(c, &q);
		node->next = *head_of(c, node->hash);
		*head_of(c, node->hash) = node;
		c->n_nodes++;
	}
}

static void unlink_entry(struct imsipsec_cache *c, struct entry *e)
{
	struct node **p;
	enum key key;

	for (key = 0; key < N_KEYS; key++) {
		struct node *node = &e->nodes[key];

		if (!node->entry)
			continue;
		for (p = head_of(c, node->hash); *p != node; p = &(*p)->next)
			;
		*p = node->next;
		node->entry = NULL;
		c->n_nodes--;
	}
}

static void forget(struct imsipsec_cache *c, struct entry *e)
{
	if (!e)
		return;
	unlink_entry(c, e);
	free(e);
}

static struct entry *first_outdated(struct node *node, unsigned int round)
{
	for (; node; node = node->next)
		if (node->entry->round != round)
			return node->entry;
	return NULL;
}

/* All that dump number @round did not have */
static void forget_outdated(struct imsipsec_cache *c, unsigned int round)
{
	struct entry *e;
	size_t i;

	for (i = 0; i < c->n_heads; i++)
		while ((e = first_outdated(c->heads[i], round)))
			forget(c, e);
}

static bool is_older(const struct imsipsec_bundle *a, const struct imsipsec_bundle *b)
{
	/* ids are given out in turn */
	return (int32_t)(a->id - b->id) < 0;
}

/* Take in what is said of a bundle. */
static int take(struct imsipsec_cache *c, const struct imsipsec_bundle *b)
{
	struct entry *e = find_id(c, b->id), *rival = NULL;
	enum imsipsec_state state = b->state;

	if (b->mark)
		rival = find(c, &(struct query){ .key = KEY_MARK, .number = b->mark });
	if (rival && rival != e) {
		/* Of two with one mark, the older one is gone. */
		if (is_older(b, &rival->bundle))
			return 0;
		forget(c, rival);
	}
	if (e) {
		if (e->bundle.state > state)
			state = e->bundle.state;
		unlink_entry(c, e);
	} else {
		grow(c);
		e = calloc(1, sizeof(*e));
		if (!e)
			return imsipsec_fail(c->h, -ENOMEM, "out of memory");
	}
	e->bundle = *b;
	e->bundle.state = state;
	e->round = c->round;
	link_entry(c, e);
	return 0;
}

/* ---- What the kernel says -------------------------------------------- */

static int see(const struct imsipsec_bundle *bundle, void *data)
{
	struct imsipsec_cache *c = data;

	c->see_err = take(c, bundle);
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
	forget_outdated(c, c->round);
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
		forget(c, find_id(c, event->bundle.id));
	else if (take(c, &event->bundle))
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
	return e->bundle.state == IMSIPSEC_STATE_ACTIVE;
}

/*
 * Ask the kernel about one that a packet may just have taken into use. No entry
 * any more: it is gone.
 */
static int renew(struct imsipsec_cache *c, struct entry **e)
{
	const struct imsipsec_bundle *b;
	int err;

	if ((*e)->bundle.state != IMSIPSEC_STATE_TEMPORARY &&
	    (*e)->bundle.state != IMSIPSEC_STATE_ESTABLISHED)
		return 0;
	err = imsipsec_bundle_get(c->h, (*e)->bundle.id, &b);
	if (err == -ENOENT) {
		forget(c, *e);
		*e = NULL;
		return 0;
	}
	/* it is there, so that it needs no memory */
	return err ? err : take(c, b);
}

/* There is one of a mark. */
static int choose_mark(struct imsipsec_cache *c, const struct query *q, struct entry **best)
{
	*best = find(c, q);
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

	for (e = find(c, q); e; e = next) {
		next = find_next(e, q);
		if (e->bundle.udp_only)
			continue;
		err = renew(c, &e);
		if (err)
			return err;
		if (!e || e->bundle.udp_only)
			continue;
		if (!*best || is_active(e) > is_active(*best) ||
		    (is_active(e) == is_active(*best) &&
		     is_older(&(*best)->bundle, &e->bundle)))
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

	for (e = find(c, q); e; e = find_next(e, q)) {
		if (!is_active(e) && e->bundle.state != IMSIPSEC_STATE_ESTABLISHED)
			continue;
		if (!*best || is_active(e) > is_active(*best) ||
		    (is_active(e) == is_active(*best) &&
		     is_older(&(*best)->bundle, &e->bundle) == is_active(e)))
			*best = e;
	}
	return 0;
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
	*found = (struct imsipsec_found){
		.seq = c->seq,
		.bundle = &best->bundle,
	};
	return 0;
}

int imsipsec_rx_mark(struct imsipsec_cache *c, uint32_t mark, struct imsipsec_found *found)
{
	const struct query q = { .key = KEY_MARK, .number = mark & c->mask };

	if (!q.number)
		return imsipsec_fail(c->h, -ENOENT, "not a bundle's mark");
	return look_up(c, &q, choose_mark, found);
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
		.local = &own, .local_port = local_port,
		.remote = &other, .remote_port = remote_port,
	};

	return look_up(c, &q, choose_tuple, found);
}

static bool copy(void *to, size_t size, const void *from, size_t len)
{
	if (len > size)
		return false;
	if (len)
		memcpy(to, from, len);
	return true;
}

int imsipsec_tx(struct imsipsec_cache *c, const void *owner, size_t owner_len,
		const void *contact, size_t contact_len, struct imsipsec_found *found)
{
	uint8_t owner_copy[IMSIPSEC_OWNER_MAX], contact_copy[IMSIPSEC_CONTACT_MAX];
	const struct query q = {
		.key = KEY_NAME,
		.owner = owner_copy, .owner_len = owner_len,
		.contact = contact_copy, .contact_len = contact_len,
	};

	if (!copy(owner_copy, sizeof(owner_copy), owner, owner_len) ||
	    !copy(contact_copy, sizeof(contact_copy), contact, contact_len))
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
	/* So that nobody on the network can choose what meets in one place */
	if (getrandom(&c->seed, sizeof(c->seed), GRND_NONBLOCK) < 0)
		c->seed = (uintptr_t)c;

	err = grow(c);
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
	forget_outdated(c, c->round + 1);
	drop_heard(c);
	free(c->heads);
	if (c->fd >= 0)
		close(c->fd);
	if (c->heard_fd >= 0)
		close(c->heard_fd);
	imsipsec_event_close(c->ev);
	imsipsec_close(c->h);
	free(c);
}

void imsipsec_cache_walk(const struct imsipsec_cache *c,
			 void (*cb)(const struct imsipsec_bundle *bundle, void *data), void *data)
{
	struct node *node;
	size_t i;

	for (i = 0; i < c->n_heads; i++)
		for (node = c->heads[i]; node; node = node->next)
			if (node == &node->entry->nodes[KEY_ID])
				cb(&node->entry->bundle, data);
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
