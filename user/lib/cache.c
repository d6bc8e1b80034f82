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

#define ROOM_MIN	64
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

/* An address, or a name */
struct bytes {
	const uint8_t *at;
	size_t len;
};

struct query {
	enum key key;
	uint32_t number;	/* id or mark */
	struct bytes owner, contact;
	struct bytes local, remote;
	uint16_t local_port, remote_port;
};

/*
 * A bundle, in as many bytes as it has: there may be a million, in each of many processes. A
 * lookup makes the struct imsipsec_bundle of it. What stands together there, and is wanted for
 * each message, stands together here, so that it is copied in few steps. Other enumerations have
 * few values, so that a byte holds one.
 */
struct entry {
	uint32_t index;			/* its own in entries */
	uint32_t next[N_KEYS];		/* index of the next one that its head has */
	uint32_t id, endpoint;
	enum imsipsec_state state;
	enum imsipsec_mode mode;
	enum imsipsec_alg alg;
	enum imsipsec_ealg ealg;
	uint16_t port_pc, port_ps, port_uc, port_us;
	uint32_t spi_pc, spi_ps, spi_uc, spi_us;
	uint64_t lifetime;
	uint32_t registration, mark;
	uint32_t shape;			/* see shape_of() */
	uint16_t contact_len;
	uint16_t ue_nat_port;
	uint8_t owner_len, interface_len;
	uint8_t address_len, ue_address_len, ue_nat_address_len;
	uint8_t offload, offload_reason;
	bool unmarked, udp_only;
	uint8_t round;			/* of the last dump that had it */
	/*
	 * The addresses, owner, contact and interface. The names have zeroes up to a multiple of
	 * STEP behind them: copied in few steps, which bring along what has to be behind them.
	 */
	uint8_t tail[];
};

#define NOBODY	UINT32_MAX		/* no index */
#define STEP	16
#define STEPS(len)	(((size_t)(len) + STEP - 1) / STEP * STEP)
#define SHAPE_RARE	0		/* it has what few bundles have */
#define SHAPE_NONE	UINT32_MAX	/* of what was found last: another one than any entry's */

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
	uint8_t round;
	int see_err;			/* of what a dump gave, what went wrong */

	struct entry **entries;		/* in no order, without holes */
	uint32_t n, room;		/* room is a power of two */
	/* A table for each key, of room indices, which chains begin with */
	uint64_t seeds[N_KEYS];
	uint32_t *heads;
	struct imsipsec_bundle found;	/* what was found last */
	uint32_t found_shape;

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

static uint64_t hash_of(const struct imsipsec_cache *c, const struct query *q)
{
	uint64_t hash = c->seeds[q->key];

	switch (q->key) {
	case KEY_ID:
	case KEY_MARK:
		return mix(hash, q->number);
	case KEY_NAME:
		hash = mix_bytes(hash, q->owner.at, q->owner.len);
		return mix_bytes(hash, q->contact.at, q->contact.len);
	default:
		hash = mix_bytes(hash, q->local.at, q->local.len);
		hash = mix_bytes(hash, q->remote.at, q->remote.len);
		return mix(hash, (uint32_t)q->local_port << 16 | q->remote_port);
	}
}

/* ---- Entries --------------------------------------------------------- */

static struct bytes bytes_of(const struct imsipsec_addr *addr)
{
	return (struct bytes){
		.at = (const uint8_t *)&addr->in,
		.len = addr->family == AF_INET ? sizeof(addr->in) :
		       addr->family == AF_INET6 ? sizeof(addr->in6) : 0,
	};
}

static uint8_t *put(uint8_t *to, struct bytes bytes)
{
	if (bytes.len)
		memcpy(to, bytes.at, bytes.len);
	return to + bytes.len;
}

static uint8_t *put_name(uint8_t *to, struct bytes name)
{
	memset(put(to, name), 0, STEPS(name.len) - name.len);
	return to + STEPS(name.len);
}

/* The longest there can be */
union packed {
	struct entry entry;
	uint8_t room[sizeof(struct entry) + 3 * sizeof(struct in6_addr) + IMSIPSEC_OWNER_MAX +
		     IMSIPSEC_CONTACT_MAX + IMSIPSEC_INTERFACE_MAX];
};

static size_t length_of(const struct entry *e)
{
	return offsetof(struct entry, tail) + e->address_len + e->ue_address_len +
	       e->ue_nat_address_len + STEPS(e->owner_len) + STEPS(e->contact_len) +
	       e->interface_len;
}

/*
 * Of two bundles with one shape, neither has what few bundles have, offload and the families of
 * the addresses are the same, and the names end in the same step: so nothing of the first is left
 * when what is copied for each message is the second's.
 */
static uint32_t shape_of(const struct entry *e)
{
	if (!e->address_len || !e->ue_address_len || e->ue_nat_address_len || e->ue_nat_port ||
	    e->offload_reason || e->unmarked || e->udp_only || e->interface_len)
		return SHAPE_RARE;
	return STEPS(e->owner_len) / STEP | STEPS(e->contact_len) / STEP << 8 |
	       e->offload << 16 | (e->address_len == sizeof(struct in6_addr)) << 24 |
	       (e->ue_address_len == sizeof(struct in6_addr)) << 25;
}

static void pack(union packed *packed, const struct imsipsec_bundle *b)
{
	const struct bytes address = bytes_of(&b->address), ue_address = bytes_of(&b->ue_address);
	const struct bytes nat_address = bytes_of(&b->ue_nat_address);
	const size_t interface_len = strlen(b->offload_interface);
	struct entry *e = &packed->entry;
	uint8_t *to;

	*e = (struct entry){ .index = NOBODY };
	e->id = b->id;
	e->endpoint = b->endpoint;
	e->registration = b->registration;
	e->mark = b->mark;
	e->lifetime = b->lifetime;
	e->spi_pc = b->spi_pc;
	e->spi_ps = b->spi_ps;
	e->spi_uc = b->spi_uc;
	e->spi_us = b->spi_us;
	e->port_pc = b->port_pc;
	e->port_ps = b->port_ps;
	e->port_uc = b->port_uc;
	e->port_us = b->port_us;
	e->ue_nat_port = b->ue_nat_port;
	e->owner_len = b->owner_len;
	e->contact_len = b->contact_len;
	e->interface_len = interface_len;
	e->address_len = address.len;
	e->ue_address_len = ue_address.len;
	e->ue_nat_address_len = nat_address.len;
	e->state = b->state;
	e->mode = b->mode;
	e->alg = b->alg;
	e->ealg = b->ealg;
	e->offload = b->offload;
	e->offload_reason = b->offload_reason;
	e->unmarked = b->unmarked;
	e->udp_only = b->udp_only;
	e->shape = shape_of(e);
	to = put(e->tail, address);
	to = put(to, ue_address);
	to = put(to, nat_address);
	to = put_name(to, (struct bytes){ b->owner, b->owner_len });
	to = put_name(to, (struct bytes){ b->contact, b->contact_len });
	put(to, (struct bytes){ (const uint8_t *)b->offload_interface, interface_len });
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

/* What @e is found by. False: nothing. */
static bool query_of(const struct entry *e, enum key key, struct query *q)
{
	const uint8_t *local = e->tail, *remote = local + e->address_len;
	const uint8_t *owner = remote + e->ue_address_len + e->ue_nat_address_len;

	*q = (struct query){
		.key = key,
		.number = key == KEY_MARK ? e->mark : e->id,
		.owner = { owner, e->owner_len },
		.contact = { owner + STEPS(e->owner_len), e->contact_len },
		.local = { local, e->address_len },
		.remote = { remote, e->ue_address_len },
		.local_port = key == KEY_PS ? e->port_ps : e->port_pc,
		.remote_port = key == KEY_PS ? e->port_uc : e->port_us,
	};
	return key != KEY_MARK || e->mark;
}

static bool same_bytes(const struct bytes *a, const struct bytes *b)
{
	return a->len == b->len && !memcmp(a->at, b->at, a->len);
}

static bool is_found_by(const struct entry *e, const struct query *q)
{
	struct query own;

	if (q->key == KEY_ID)
		return e->id == q->number;
	if (q->key == KEY_MARK)
		return e->mark == q->number;
	query_of(e, q->key, &own);
	if (q->key == KEY_NAME)
		return same_bytes(&own.owner, &q->owner) && same_bytes(&own.contact, &q->contact);
	return own.local_port == q->local_port && own.remote_port == q->remote_port &&
	       same_bytes(&own.local, &q->local) && same_bytes(&own.remote, &q->remote);
}

/* ---- The tables ------------------------------------------------------ */

static uint32_t *head_of(const struct imsipsec_cache *c, const struct query *q)
{
	return &c->heads[(size_t)c->room * q->key + (hash_of(c, q) & (c->room - 1))];
}

static struct entry *first_of(const struct imsipsec_cache *c, uint32_t index, const struct query *q)
{
	struct entry *e;

	for (; index != NOBODY; index = e->next[q->key]) {
		e = c->entries[index];
		if (is_found_by(e, q))
			return e;
	}
	return NULL;
}

static struct entry *find(const struct imsipsec_cache *c, const struct query *q)
{
	return first_of(c, *head_of(c, q), q);
}

/* Another one behind @e, for a key that need not be of one only */
static struct entry *find_next(const struct imsipsec_cache *c, const struct entry *e,
			       const struct query *q)
{
	return first_of(c, e->next[q->key], q);
}

static const struct entry *find_mark(const struct imsipsec_cache *c, uint32_t mark)
{
	const uint64_t hash = mix(c->seeds[KEY_MARK], mark);
	uint32_t index = c->heads[(size_t)c->room * KEY_MARK + (hash & (c->room - 1))];

	for (; index != NOBODY; index = c->entries[index]->next[KEY_MARK])
		if (c->entries[index]->mark == mark)
			return c->entries[index];
	return NULL;
}

static struct entry *find_id(const struct imsipsec_cache *c, uint32_t id)
{
	return find(c, &(struct query){ .key = KEY_ID, .number = id });
}

static void link_entry(struct imsipsec_cache *c, struct entry *e)
{
	struct query q;
	uint32_t *head;
	enum key key;

	for (key = 0; key < N_KEYS; key++) {
		if (!query_of(e, key, &q))
			continue;
		head = head_of(c, &q);
		e->next[key] = *head;
		*head = e->index;
	}
}

static void unlink_entry(struct imsipsec_cache *c, struct entry *e)
{
	struct query q;
	enum key key;
	uint32_t *p;

	for (key = 0; key < N_KEYS; key++) {
		if (!query_of(e, key, &q))
			continue;
		for (p = head_of(c, &q); *p != e->index; p = &c->entries[*p]->next[key])
			;
		*p = e->next[key];
	}
}

/* Room for one more */
static int grow(struct imsipsec_cache *c)
{
	uint32_t room = c->room ? 2 * c->room : ROOM_MIN, i;
	struct entry **entries;
	uint32_t *heads;

	if (c->n < c->room)
		return 0;
	heads = calloc((size_t)room * N_KEYS, sizeof(*heads));
	if (!heads)
		return -ENOMEM;
	entries = realloc(c->entries, room * sizeof(*entries));
	if (!entries) {
		free(heads);
		return -ENOMEM;
	}
	memset(heads, 0xff, (size_t)room * N_KEYS * sizeof(*heads));
	free(c->heads);
	c->heads = heads;
	c->entries = entries;
	c->room = room;
	for (i = 0; i < c->n; i++)
		link_entry(c, c->entries[i]);
	return 0;
}

static void add(struct imsipsec_cache *c, struct entry *e)
{
	e->index = c->n++;
	c->entries[e->index] = e;
	link_entry(c, e);
}

/* Is all the same that a bundle is found by? It never changes while a bundle lives. */
static bool same_keys(const struct entry *a, const struct entry *b)
{
	struct query q;
	enum key key;

	for (key = 0; key < N_KEYS; key++)
		if (query_of(a, key, &q) != query_of(b, key, &(struct query){ 0 }) ||
		    !is_found_by(b, &q))
			return false;
	return true;
}

/* The last one moves to where it was. */
static void forget(struct imsipsec_cache *c, struct entry *e)
{
	struct entry *last;

	if (!e)
		return;
	unlink_entry(c, e);
	last = c->entries[--c->n];
	if (last != e) {
		unlink_entry(c, last);
		last->index = e->index;
		c->entries[last->index] = last;
		link_entry(c, last);
	}
	free(e);
}

/* All that dump number @round did not have */
static void forget_outdated(struct imsipsec_cache *c, uint8_t round)
{
	uint32_t i;

	/* What moves to i has been looked at. */
	for (i = c->n; i--;)
		if (c->entries[i]->round != round)
			forget(c, c->entries[i]);
}

static bool is_older(uint32_t a, uint32_t b)
{
	/* ids are given out in turn */
	return (int32_t)(a - b) < 0;
}

/* @e becomes what @new is, where it is; what leads to it stays. */
static void overwrite(struct entry *e, struct entry *new)
{
	new->index = e->index;
	memcpy(new->next, e->next, sizeof(new->next));
	memcpy(e, new, length_of(new));
}

/* Take in what is said of a bundle. */
static int take(struct imsipsec_cache *c, const struct imsipsec_bundle *b)
{
	struct entry *old = find_id(c, b->id), *rival = NULL, *e;
	union packed new;

	if (b->mark)
		rival = find(c, &(struct query){ .key = KEY_MARK, .number = b->mark });
	if (rival && rival != old) {
		/* Of two with one mark, the older one is gone. */
		if (is_older(b->id, rival->id))
			return 0;
		forget(c, rival);
	}
	pack(&new, b);
	new.entry.round = c->round;
	if (old && old->state > new.entry.state)
		new.entry.state = old->state;
	/* As a rule: so no memory is wanted for what is there. */
	if (old && length_of(old) == length_of(&new.entry) && same_keys(old, &new.entry)) {
		overwrite(old, &new.entry);
		return 0;
	}
	e = !old && grow(c) ? NULL : calloc(1, length_of(&new.entry));
	if (!e)
		return imsipsec_fail(c->h, -ENOMEM, "out of memory");
	memcpy(e, &new.entry, length_of(&new.entry));
	if (old && same_keys(old, e)) {
		e->index = old->index;
		memcpy(e->next, old->next, sizeof(e->next));
		c->entries[e->index] = e;
		free(old);
		return 0;
	}
	forget(c, old);
	add(c, e);
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
		forget(c, *e);
		*e = NULL;
		return 0;
	}
	if (!err)
		err = take(c, b);
	/* What was taken in is another entry. */
	if (!err)
		*e = find_id(c, id);
	return err;
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
		next = find_next(c, e, q);
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

	for (e = find(c, q); e; e = find_next(c, e, q)) {
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
