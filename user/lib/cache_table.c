// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * The bundles that a cache has: packed into entries, which are found by tables. What is taken in
 * may be older than what is there: see cache.c.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cache.h"

#define ROOM_MIN	64

/* ---- Keys ------------------------------------------------------------ */

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

struct entry *imsipsec_cache_find(const struct imsipsec_cache *c, const struct query *q)
{
	return first_of(c, *head_of(c, q), q);
}

/* Another one behind @e, for a key that need not be of one only */
struct entry *imsipsec_cache_find_next(const struct imsipsec_cache *c, const struct entry *e,
				       const struct query *q)
{
	return first_of(c, e->next[q->key], q);
}

struct entry *imsipsec_cache_find_id(const struct imsipsec_cache *c, uint32_t id)
{
	return imsipsec_cache_find(c, &(struct query){ .key = KEY_ID, .number = id });
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
int imsipsec_cache_grow(struct imsipsec_cache *c)
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
void imsipsec_cache_forget(struct imsipsec_cache *c, struct entry *e)
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
void imsipsec_cache_forget_outdated(struct imsipsec_cache *c, uint8_t round)
{
	uint32_t i;

	/* What moves to i has been looked at. */
	for (i = c->n; i--;)
		if (c->entries[i]->round != round)
			imsipsec_cache_forget(c, c->entries[i]);
}

/* @e becomes what @new is, where it is; what leads to it stays. */
static void overwrite(struct entry *e, struct entry *new)
{
	new->index = e->index;
	memcpy(new->next, e->next, sizeof(new->next));
	memcpy(e, new, length_of(new));
}

/* Take in what is said of a bundle. */
int imsipsec_cache_take(struct imsipsec_cache *c, const struct imsipsec_bundle *b)
{
	struct entry *old = imsipsec_cache_find_id(c, b->id), *rival = NULL, *e;
	union packed new;

	if (b->mark)
		rival = imsipsec_cache_find(c, &(struct query){ .key = KEY_MARK, .number = b->mark });
	if (rival && rival != old) {
		/* Of two with one mark, the older one is gone. */
		if (is_older(b->id, rival->id))
			return 0;
		imsipsec_cache_forget(c, rival);
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
	e = !old && imsipsec_cache_grow(c) ? NULL : calloc(1, length_of(&new.entry));
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
	imsipsec_cache_forget(c, old);
	add(c, e);
	return 0;
}
