/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the cache holds, and how a bundle is found in it. */
#ifndef IMSIPSEC_CACHE_H
#define IMSIPSEC_CACHE_H

#include "internal.h"

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

/* One step of a hash */
static inline uint64_t mix(uint64_t hash, uint64_t value)
{
	hash = (hash ^ value) * 0x9e3779b97f4a7c15;
	return hash ^ hash >> 32;
}

static inline struct bytes bytes_of(const struct imsipsec_addr *addr)
{
	return (struct bytes){
		.at = (const uint8_t *)&addr->in,
		.len = addr->family == AF_INET ? sizeof(addr->in) :
		       addr->family == AF_INET6 ? sizeof(addr->in6) : 0,
	};
}

/* ids are given out in turn */
static inline bool is_older(uint32_t a, uint32_t b)
{
	return (int32_t)(a - b) < 0;
}

/* cache_table.c */

struct entry *imsipsec_cache_find(const struct imsipsec_cache *c, const struct query *q);
struct entry *imsipsec_cache_find_next(const struct imsipsec_cache *c, const struct entry *e,
				       const struct query *q);
struct entry *imsipsec_cache_find_id(const struct imsipsec_cache *c, uint32_t id);
int imsipsec_cache_grow(struct imsipsec_cache *c);
int imsipsec_cache_take(struct imsipsec_cache *c, const struct imsipsec_bundle *b);
void imsipsec_cache_forget(struct imsipsec_cache *c, struct entry *e);
void imsipsec_cache_forget_outdated(struct imsipsec_cache *c, uint8_t round);

#endif /* IMSIPSEC_CACHE_H */
