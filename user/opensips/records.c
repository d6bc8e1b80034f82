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

/* A lock is held while one list is gone through: of 262,144 sets, a few are in each. */
#define LISTS	65536

/* Of what varies in length, only as much as there is is kept. @sweep: the last one that began before */
struct stored {
	uint32_t sweep;
	struct {
		uint16_t at, len;
	} owner, public, client, server;
	char ik[KEY_TEXT + 1], ck[KEY_TEXT + 1];
	char text[];
};

/* How many contacts a registration has; @life: when its number meant that */
struct counted {
	uint32_t life;
	unsigned int n;
};

/* Of a URI and a registration; @contacts: how many have it, of several public identities */
struct target {
	struct target *next;
	uint32_t bundle, registration, life;
	unsigned int contacts;
	size_t len;
	char uri[];
};

static struct table *sets, *contacts;
static uint32_t *life, *sweeps;
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
	sweeps = shm_malloc(sizeof(*sweeps));
	if (!lock || !lock_init(lock) || !sets || !contacts || !targets || !life || !sweeps) {
		LM_ERR("no shared memory\n");
		return -1;
	}
	memset(targets, 0, LISTS * sizeof(*targets));
	*life = time(NULL);
	*sweeps = 0;
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
		s->sweep = *sweeps;
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

static void hold(bool on)
{
	if (on)
		lock_get(lock);
	else
		lock_release(lock);
}

struct ids {
	uint32_t *id;
	size_t n, room;
	uint32_t sweep;
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

/* What is made meanwhile is not meant: the kernel may not have told of it. */
static bool is_gone(uint32_t number, void *thing, void *data)
{
	const struct stored *s = thing;
	const struct ids *there = data;

	return s->sweep != there->sweep &&
	       !bsearch(&number, there->id, there->n, sizeof(number), by_number);
}

void records_sweep(void)
{
	struct ids there = {};
	bool any;
	int err;

	lock_get(lock);
	there.sweep = ++*sweeps;
	any = table_count(sets);
	lock_release(lock);
	if (!any || !kernel())
		return;
	err = imsipsec_bundle_dump(kernel(), NULL, note, &there);
	if (err) {
		kernel_failed("the sets", err);
	} else {
		qsort(there.id, there.n, sizeof(*there.id), by_number);
		table_sweep(sets, hold, is_gone, &there);
	}
	free(there.id);
}

/* --- Contacts of a registration */

static struct counted *counted(uint32_t registration)
{
	struct counted *c = table_get(contacts, registration);

	return c && c->life == *life ? c : NULL;
}

void contacts_more(uint32_t registration)
{
	struct counted *c;

	lock_get(lock);
	c = counted(registration);
	if (!c) {
		c = table_put(contacts, registration, sizeof(*c));
		if (c)
			c->life = *life;
	}
	if (c)
		c->n++;
	lock_release(lock);
}

int contacts_less(uint32_t registration)
{
	struct counted *c;
	unsigned int left = 0;

	lock_get(lock);
	c = counted(registration);
	if (c && c->n > 1)
		left = --c->n;
	else
		table_del(contacts, registration);
	lock_release(lock);
	return left;
}

unsigned int contacts_of(uint32_t registration)
{
	struct counted *c;
	unsigned int is;

	lock_get(lock);
	c = counted(registration);
	is = c ? c->n : 0;
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
	return t->life == *life && t->len == len && !memcmp(t->uri, s, len);
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
			t->life = *life;
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

static bool is_of_before(uint32_t number, void *thing, void *data)
{
	return ((struct counted *)thing)->life != *life;
}

static void sweep_targets(struct target **at)
{
	while (*at) {
		struct target *t = *at;

		if (t->life == *life) {
			at = &t->next;
		} else {
			*at = t->next;
			shm_free(t);
		}
	}
}

/* What is of a life before counts for nothing from the first step on. */
void life_begins(void)
{
	lock_get(lock);
	++*life;
	lock_release(lock);
	table_sweep(contacts, hold, is_of_before, NULL);
	for (size_t i = 0; i < LISTS; i++) {
		lock_get(lock);
		sweep_targets(&targets[i]);
		lock_release(lock);
	}
}
