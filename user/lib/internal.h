/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the library's files share and its users do not see. libimsipsec.map
 * keeps these names out of the shared library; their prefix keeps them out of
 * the way in the static one.
 */
#ifndef IMSIPSEC_INTERNAL_H
#define IMSIPSEC_INTERNAL_H

#include <stdalign.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <libmnl/libmnl.h>
#include <linux/genetlink.h>
#include <linux/ims_ipsec.h>

/* What is not in the header of the library is hidden, in the static one as well. */
#pragma GCC visibility push(default)
#include "imsipsec.h"
#pragma GCC visibility pop

/*
 * The largest requests are bundle-new (owner, contact, a list of algorithms and
 * some twenty short attributes) and endpoint-new (64 ports of 8 bytes).
 */
#define REQUEST_MAX	2048
/* The kernel fills at most this much of a buffer in a dump (NLMSG_GOODSIZE). */
#define REPLY_MAX	32768
#define ERROR_MAX	256

struct imsipsec {
	struct mnl_socket *nl;
	const bool *opened_here;	/* by this process: false after fork() */
	uint16_t family;
	uint32_t group;			/* multicast group of the events */
	uint32_t seq;
	bool late;			/* an answer was not waited for any longer */
	char error[ERROR_MAX];
	struct imsipsec_config config;
	char allowed_algorithms[IMS_IPSEC_ALGORITHMS_MAX + 1];	/* config's */
	struct imsipsec_endpoint endpoint;
	struct imsipsec_bundle bundle;
	struct imsipsec_pair_info pair;
	struct imsipsec_offload_pair offload_pair;
	struct imsipsec_stats stats;
	struct imsipsec_trace trace;
	alignas(8) char request[REQUEST_MAX];
	alignas(8) char reply[REPLY_MAX];
};

struct imsipsec_events {
	struct imsipsec *h;
	const struct nlmsghdr *nlh;	/* next message in h->reply */
	int left;			/* bytes from there on */
	uint64_t next;			/* number of the next event, 0: any */
	bool first;			/* it is the first one, and may have an earlier number */
	bool overrun;			/* events were lost, the listener does not know yet */
	struct imsipsec_event event;
};

/* error.c: the text of an error, and structs of the caller's */

int imsipsec_fail(struct imsipsec *h, int err, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/* Take in a struct of the caller's, into another one: 0, or -E2BIG for what is not known here. */
#define imsipsec_take_in(h, to, from) \
	(*(to) = *(from), \
	 imsipsec_is_zero((from)->reserved, sizeof((from)->reserved)) ? 0 : imsipsec_too_new(h))
bool imsipsec_is_zero(const void *data, size_t len);
int imsipsec_too_new(struct imsipsec *h);

/* handle.c: exchanges with the kernel */

typedef int (*imsipsec_reply_fn)(struct imsipsec *h, const struct nlmsghdr *nlh, void *data);

/**
 * struct imsipsec_exchange - one request and what comes back
 * @h: the handle, whose error text is set
 * @request: what was sent, to find the attribute that an error is about
 * @type: of replies
 * @reply: called for each reply; may be NULL
 * @data: passed to @reply
 * @once: one reply ends it, after which nothing comes
 * @replied: there was a reply
 * @interrupted: a dump was inconsistent
 * @err: what @reply returned if that was not 0, which ends the calls of it; in
 *	the end, the result of the exchange
 */
struct imsipsec_exchange {
	struct imsipsec *h;
	const struct nlmsghdr *request;
	uint16_t type;
	imsipsec_reply_fn reply;
	void *data;
	bool once;
	bool replied;
	bool interrupted;
	int err;
};

int imsipsec_nl_open(struct imsipsec **h);
struct nlmsghdr *imsipsec_nl_request(struct imsipsec *h, uint8_t cmd, uint16_t flags);
int imsipsec_nl_exchange(struct imsipsec *h, struct nlmsghdr *request,
			 imsipsec_reply_fn reply, void *data);
int imsipsec_nl_get(struct imsipsec *h, struct nlmsghdr *request,
		    imsipsec_reply_fn reply, void *data);
int imsipsec_nl_ask(int bus, struct nlmsghdr *request, uint16_t type,
		    imsipsec_reply_fn reply, void *data);
int imsipsec_nl_mark_process(struct imsipsec *h);
int imsipsec_nl_check_process(struct imsipsec *h);
bool imsipsec_nl_ok(const struct nlmsghdr *nlh, int left);
bool imsipsec_nl_input(struct imsipsec_exchange *x, const void *buf, size_t len);
int imsipsec_nl_recv(int fd, void *buf, size_t size, int flags, size_t *len);
int imsipsec_fail_system(struct imsipsec *h, int err);
int imsipsec_called(struct imsipsec *h, int ret);

/* attr.c: attributes */

const char *imsipsec_attr_name(uint8_t cmd, unsigned int type);

typedef int (*imsipsec_attr_fn)(const struct nlattr *attr, void *data);
int imsipsec_attr_walk(const void *start, size_t len, imsipsec_attr_fn fn, void *data);
int imsipsec_attr_walk_msg(const struct nlmsghdr *nlh, imsipsec_attr_fn fn, void *data);
int imsipsec_attr_walk_nest(const struct nlattr *nest, imsipsec_attr_fn fn, void *data);

int imsipsec_attr_u8(const struct nlattr *attr, uint8_t *value);
int imsipsec_attr_u16(const struct nlattr *attr, uint16_t *value);
int imsipsec_attr_u32(const struct nlattr *attr, uint32_t *value);
int imsipsec_attr_u64(const struct nlattr *attr, uint64_t *value);
int imsipsec_attr_be16(const struct nlattr *attr, uint16_t *value);
int imsipsec_attr_be32(const struct nlattr *attr, uint32_t *value);
int imsipsec_attr_addr(const struct nlattr *attr, struct imsipsec_addr *addr);
int imsipsec_attr_bytes(const struct nlattr *attr, void *buf, size_t size, size_t *len);
int imsipsec_attr_text(const struct nlattr *attr, char *buf, size_t size);
int imsipsec_attr_remark(const struct nlattr *attr, char *buf, size_t size);

void imsipsec_put_be16(struct nlmsghdr *nlh, uint16_t type, uint16_t value);
void imsipsec_put_be32(struct nlmsghdr *nlh, uint16_t type, uint32_t value);
int imsipsec_put_addr(struct imsipsec *h, struct nlmsghdr *nlh, uint16_t type,
		      const struct imsipsec_addr *addr);
int imsipsec_put_bytes(struct imsipsec *h, struct nlmsghdr *nlh, uint16_t type,
		       const void *data, size_t len, size_t max);
int imsipsec_put_text(struct imsipsec *h, struct nlmsghdr *nlh, uint16_t type,
		      const char *text, size_t max);

/* config.c, endpoint.c and so on: replies, apart from any socket */

/* Into h->config and what it points to. */
int imsipsec_config_parse(struct imsipsec *h, const struct nlmsghdr *nlh);
int imsipsec_pair_info_parse(const struct nlmsghdr *nlh, struct imsipsec_pair_info *pair);
int imsipsec_offload_parse(const struct nlmsghdr *nlh, struct imsipsec_offload_pair *pair);
int imsipsec_stats_parse(const struct nlmsghdr *nlh, struct imsipsec_stats *stats);
int imsipsec_trace_parse(const struct nlmsghdr *nlh, struct imsipsec_trace *trace);
int imsipsec_endpoint_parse(const struct nlmsghdr *nlh, struct imsipsec_endpoint *endpoint);
int imsipsec_bundle_parse(const struct nlmsghdr *nlh, struct imsipsec_bundle *bundle);
extern const struct imsipsec_bundle imsipsec_no_bundle;
int imsipsec_bundle_parse_nest(const struct nlattr *nest, struct imsipsec_bundle *bundle);
int imsipsec_event_parse(const struct nlmsghdr *nlh, struct imsipsec_event *event);
int imsipsec_event_input(struct imsipsec_events *ev,
			 int (*cb)(const struct imsipsec_event *event, void *data), void *data);

/* cache.c: what it has, for tests; @cb must not use it */

void imsipsec_cache_walk(struct imsipsec_cache *c,
			 void (*cb)(const struct imsipsec_bundle *bundle, void *data), void *data);

/* addr.c */

bool imsipsec_addr_equal(const struct imsipsec_addr *a, const struct imsipsec_addr *b);
struct imsipsec_addr imsipsec_addr_unmapped(const struct imsipsec_addr *addr);

/* names.c: what RFC 3329 writes, found without regard to case; 0 if unknown */

enum imsipsec_alg imsipsec_alg_find(const char *name, size_t len);
enum imsipsec_ealg imsipsec_ealg_find(const char *name, size_t len);
enum imsipsec_mode imsipsec_mode_find(const char *name, size_t len);
bool imsipsec_name_equal(const char *name, const char *text, size_t len);

/* pairs.c: every pair that may be used, most preferred first */

#define N_PAIRS 9

extern const struct imsipsec_pair imsipsec_pairs[N_PAIRS];
bool imsipsec_pairs_known(const struct imsipsec_pair *pairs, size_t n);

/* secagree.c, secagree_write.c */

/* Phones offer up to a dozen; a header must not make the server hoard memory. */
#define MECHS_MAX	64
#define SPI_MIN		256	/* below: reserved by RFC 4303 */

#endif /* IMSIPSEC_INTERNAL_H */
