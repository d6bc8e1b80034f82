// SPDX-License-Identifier: GPL-2.0-or-later
/* What is known of sets that the kernel does not tell, in shared memory. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "dprint.h"
#include "locking.h"
#include "mem/shm_mem.h"

#include "proto_ims_ipsec.h"
#include "table.h"

#define LISTS	4096

/* Of what varies in length, only as much as there is is kept. */
struct stored {
	struct {
		uint16_t at, len;
	} owner, public, client, server;
	char ik[KEY_TEXT + 1], ck[KEY_TEXT + 1];
	char text[];
};

/* Of a URI and a registration; @contacts: how many have it, of several public identities */
struct target {
	struct target *next;
	uint32_t bundle, registration;
	unsigned int contacts;
	size_t len;
	char uri[];
};

static struct table *sets, *contacts;
static uint32_t *life;
static struct target **targets;
static gen_lock_t *lock;

static void *from_shm(size_t size)
{
	return shm_malloc(size);
}

static void to_shm(void *p)
{
	shm_free(p);
}

int records_init(void)
{
	const struct table_memory memory = { from_shm, to_shm };

	lock = lock_alloc();
	sets = table_new(&memory, LISTS);
	contacts = table_new(&memory, LISTS);
	targets = shm_malloc(LISTS * sizeof(*targets));
	life = shm_malloc(sizeof(*life));
	if (!lock || !lock_init(lock) || !sets || !contacts || !targets || !life) {
		LM_ERR("no shared memory\n");
		return -1;
	}
	memset(targets, 0, LISTS * sizeof(*targets));
	*life = time(NULL);
	return 0;
}

int record_put(uint32_t bundle, const struct record *record)
{
	const char *const texts[] = { record->owner, record->public, record->client,
				      record->server };
	size_t size = sizeof(struct stored), at = 0;
	struct stored *s;

	for (int i = 0; i < 4; i++)
		size += strlen(texts[i]) + 1;
	lock_get(lock);
	s = table_put(sets, bundle, size);
	if (s) {
		memcpy(s->ik, record->ik, sizeof(s->ik));
		memcpy(s->ck, record->ck, sizeof(s->ck));
		for (int i = 0; i < 4; i++) {
			(&s->owner)[i].at = at;
			(&s->owner)[i].len = strlen(texts[i]);
			memcpy(s->text + at, texts[i], strlen(texts[i]) + 1);
			at += strlen(texts[i]) + 1;
		}
	}
	lock_release(lock);
	if (!s)
		LIMITED(LM_ERR, "no shared memory for what is known of a set\n");
	return s ? 0 : -1;
}

bool record_get(uint32_t bundle, struct record *record)
{
	struct stored *s;

	lock_get(lock);
	s = table_get(sets, bundle);
	if (s) {
		memcpy(record->ik, s->ik, sizeof(s->ik));
		memcpy(record->ck, s->ck, sizeof(s->ck));
		memcpy(record->owner, s->text + s->owner.at, s->owner.len + 1);
		memcpy(record->public, s->text + s->public.at, s->public.len + 1);
		memcpy(record->client, s->text + s->client.at, s->client.len + 1);
		memcpy(record->server, s->text + s->server.at, s->server.len + 1);
	}
	lock_release(lock);
	return s;
}

void record_del(uint32_t bundle)
{
	lock_get(lock);
	table_del(sets, bundle);
	lock_release(lock);
}

/* --- Sweeping, where it is not known what has gone */

struct ids {
	uint32_t *id;
	size_t n, room;
};

static int note(const struct imsipsec_bundle *b, void *data)
{
	struct ids *ids = data;

	if (ids->n == ids->room) {
		size_t room = ids->room ? ids->room * 2 : 1024;
		uint32_t *more = realloc(ids->id, room * sizeof(*more));

		if (!more)
			return -ENOMEM;
		ids->id = more;
		ids->room = room;
	}
	ids->id[ids->n++] = b->id;
	return 0;
}

static int by_number(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return x < y ? -1 : x > y;
}

static bool is_gone(uint32_t number, void *thing, void *data)
{
	const struct ids *ids = data;

	return !bsearch(&number, ids->id, ids->n, sizeof(number), by_number);
}

static bool is_known(uint32_t number, void *thing, void *data)
{
	return !note(&(struct imsipsec_bundle) { .id = number }, data) && false;
}

static bool was_gone(uint32_t number, void *thing, void *data)
{
	struct ids **both = data;

	return !is_gone(number, thing, both[0]) && is_gone(number, thing, both[1]);
}

void records_sweep(void)
{
	struct ids known = {}, there = {};
	struct ids *both[] = { &known, &there };
	int err;

	/* What is made meanwhile is not meant: what is known is listed first. */
	lock_get(lock);
	table_sweep(sets, is_known, &known);
	lock_release(lock);
	if (known.n && kernel()) {
		err = imsipsec_bundle_dump(kernel(), NULL, note, &there);
		if (!err) {
			qsort(known.id, known.n, sizeof(*known.id), by_number);
			qsort(there.id, there.n, sizeof(*there.id), by_number);
			lock_get(lock);
			table_sweep(sets, was_gone, both);
			lock_release(lock);
		} else {
			kernel_failed("the sets", err);
		}
	}
	free(known.id);
	free(there.id);
}

/* --- Contacts of a registration */

void contacts_more(uint32_t registration)
{
	unsigned int *n, was;

	lock_get(lock);
	n = table_get(contacts, registration);
	was = n ? *n : 0;
	if (!n)
		n = table_put(contacts, registration, sizeof(*n));
	if (n)
		*n = was + 1;
	lock_release(lock);
}

int contacts_less(uint32_t registration)
{
	unsigned int *n, left = 0;

	lock_get(lock);
	n = table_get(contacts, registration);
	if (n && *n > 1)
		left = --*n;
	else
		table_del(contacts, registration);
	lock_release(lock);
	return left;
}

unsigned int contacts_of(uint32_t registration)
{
	unsigned int *n, is;

	lock_get(lock);
	n = table_get(contacts, registration);
	is = n ? *n : 0;
	lock_release(lock);
	return is;
}

uint32_t life_number(void)
{
	uint32_t number;

	lock_get(lock);
	number = *life;
	lock_release(lock);
	return number;
}

/* --- Which registration a contact's URI is of */

static struct target **list_of(const char *s, size_t len)
{
	uint32_t number = 2166136261;

	for (size_t i = 0; i < len; i++)
		number = (number ^ (unsigned char)s[i]) * 16777619;
	return &targets[number % LISTS];
}

static bool has_uri(const struct target *t, const char *s, size_t len)
{
	return t->len == len && !memcmp(t->uri, s, len);
}

static struct target **find_target(const str *uri, uint32_t registration)
{
	struct target **at = list_of(uri->s, uri->len);

	while (*at && ((*at)->registration != registration || !has_uri(*at, uri->s, uri->len)))
		at = &(*at)->next;
	return at;
}

void target_put(const str *uri, const struct imsipsec_bundle *b, bool another)
{
	struct target **at, *t;

	lock_get(lock);
	at = find_target(uri, b->registration);
	t = *at;
	if (!t) {
		t = shm_malloc(sizeof(*t) + uri->len);
		if (t) {
			memset(t, 0, sizeof(*t));
			t->registration = b->registration;
			t->len = uri->len;
			memcpy(t->uri, uri->s, uri->len);
			another = true;
			*at = t;
		}
	}
	if (t) {
		t->bundle = b->id;
		t->contacts += another;
	}
	lock_release(lock);
	if (!t)
		LIMITED(LM_ERR, "no shared memory for the contact of a phone\n");
}

size_t target_get(struct span uri, uint32_t *bundles, size_t room)
{
	size_t n = 0;

	lock_get(lock);
	for (const struct target *t = *list_of(uri.s, uri.len); t && n < room; t = t->next) {
		if (has_uri(t, uri.s, uri.len))
			bundles[n++] = t->bundle;
	}
	lock_release(lock);
	return n;
}

void target_del(const str *uri, uint32_t registration)
{
	struct target **at, *t;

	lock_get(lock);
	at = find_target(uri, registration);
	t = *at;
	if (t && !--t->contacts) {
		*at = t->next;
		shm_free(t);
	}
	lock_release(lock);
}

/* --- The kernel module was unloaded, and its numbers begin anew */

static bool is_any(uint32_t number, void *thing, void *data)
{
	return true;
}

void life_begins(void)
{
	lock_get(lock);
	++*life;
	table_sweep(contacts, is_any, NULL);
	for (size_t i = 0; i < LISTS; i++) {
		while (targets[i]) {
			struct target *t = targets[i];

			targets[i] = t->next;
			shm_free(t);
		}
	}
	lock_release(lock);
}
