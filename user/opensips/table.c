// SPDX-License-Identifier: GPL-2.0-or-later
/* A table of things that have a number. */
#include <string.h>

#include "table.h"

struct thing {
	struct thing *next;
	size_t size;
	uint32_t number;
	_Alignas(max_align_t) unsigned char data[];
};

struct table {
	struct table_memory memory;
	size_t lists, count;
	struct thing *list[];
};

/* Keys lie in them. */
static void free_thing(struct table *t, struct thing *thing)
{
	explicit_bzero(thing->data, thing->size);
	t->memory.free(thing);
	t->count--;
}

struct table *table_new(const struct table_memory *memory, size_t lists)
{
	size_t size = sizeof(struct table) + lists * sizeof(struct thing *);
	struct table *t = memory->alloc(size);

	if (!t)
		return NULL;
	memset(t, 0, size);
	t->memory = *memory;
	t->lists = lists;
	return t;
}

/* Numbers are given out one after the other. */
static struct thing **list_of(const struct table *t, uint32_t number)
{
	return (struct thing **)&t->list[number & (t->lists - 1)];
}

static struct thing **find(const struct table *t, uint32_t number)
{
	struct thing **at = list_of(t, number);

	while (*at && (*at)->number != number)
		at = &(*at)->next;
	return at;
}

void *table_put(struct table *t, uint32_t number, size_t size)
{
	struct thing **at;
	struct thing *thing = t->memory.alloc(sizeof(*thing) + size);

	if (!thing)
		return NULL;
	memset(thing, 0, sizeof(*thing) + size);
	thing->number = number;
	thing->size = size;
	table_del(t, number);
	at = list_of(t, number);
	thing->next = *at;
	*at = thing;
	t->count++;
	return thing->data;
}

void *table_get(const struct table *t, uint32_t number)
{
	struct thing *thing = *find(t, number);

	return thing ? thing->data : NULL;
}

bool table_del(struct table *t, uint32_t number)
{
	struct thing **at = find(t, number);
	struct thing *thing = *at;

	if (!thing)
		return false;
	*at = thing->next;
	free_thing(t, thing);
	return true;
}

static void sweep_list(struct table *t, struct thing **at,
		       bool (*gone)(uint32_t number, void *thing, void *data), void *data)
{
	while (*at) {
		struct thing *thing = *at;

		if (gone(thing->number, thing->data, data)) {
			*at = thing->next;
			free_thing(t, thing);
		} else {
			at = &thing->next;
		}
	}
}

void table_sweep(struct table *t, void (*hold)(bool on),
		 bool (*gone)(uint32_t number, void *thing, void *data), void *data)
{
	for (size_t i = 0; i < t->lists; i++) {
		hold(true);
		sweep_list(t, &t->list[i], gone, data);
		hold(false);
	}
}

size_t table_count(const struct table *t)
{
	return t->count;
}
