/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A table of things that have a number, for shared memory: OpenSIPS's functions are given to it.
 * Who uses it holds a lock, but for table_sweep(), which takes it.
 */
#ifndef IMS_IPSEC_TABLE_H
#define IMS_IPSEC_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct table;

/** struct table_memory - where its memory comes from */
struct table_memory {
	void *(*alloc)(size_t size);
	void (*free)(void *p);
};

/** table_new() - with so many lists, a power of two; NULL: no memory */
struct table *table_new(const struct table_memory *memory, size_t lists);

/** table_put() - the thing of a number, zeroed; another one of that number goes; NULL: no memory */
void *table_put(struct table *t, uint32_t number, size_t size);

/** table_get() - the thing of a number; NULL: there is none */
void *table_get(const struct table *t, uint32_t number);

/** table_del() - take the thing of a number away; was there one */
bool table_del(struct table *t, uint32_t number);

/**
 * table_sweep() - take away what @gone says of
 * @hold: takes the lock (true) and lets go of it (false), once for each list: others have their turn
 *	in between, however many things there are
 * @gone: called with each thing
 */
void table_sweep(struct table *t, void (*hold)(bool on),
		 bool (*gone)(uint32_t number, void *thing, void *data), void *data);

/** table_count() - how many things there are */
size_t table_count(const struct table *t);

#endif
