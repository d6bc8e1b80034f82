// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * The library against the kernel module, in a network namespace of its own.
 * To be run by root where the module is or can be loaded.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <imsipsec.h>

#include "tap.h"

#define BUNDLES	2000	/* several datagrams of a dump */

static struct imsipsec *h;
static uint32_t endpoint;

static int make_bundle(unsigned int n, const struct imsipsec_bundle **bundle)
{
	struct imsipsec_bundle_params p = {
		.size = sizeof(p), .endpoint = endpoint, .owner = &n, .owner_len = sizeof(n),
		.contact = "c", .contact_len = 1, .alg = IMSIPSEC_ALG_HMAC_SHA_1_96,
		.ealg = IMSIPSEC_EALG_NULL, .port_uc = 6301, .port_us = 6300,
		.spi_uc = 1000, .spi_us = 1001, .ik = { 1 }, .ck = { 2 },
	};

	p.ue_address.family = AF_INET;
	p.ue_address.in.s_addr = htonl(0x0a000001 + n);
	return imsipsec_bundle_new(h, &p, bundle);
}

static bool opened(void)
{
	int err = imsipsec_open(&h);

	return ok(!err, "open%s%s", err ? ": " : "", err ? imsipsec_open_strerror(err) : "");
}

static void test_config(void)
{
	struct imsipsec_config c = {
		.size = sizeof(c),
		.set = IMSIPSEC_CONFIG_MIN_SPI | IMSIPSEC_CONFIG_MAX_SPI |
		       IMSIPSEC_CONFIG_TEMPORARY_TIMEOUT,
		.min_spi = 300000, .max_spi = 400000, .temporary_timeout = 3600000,
	};
	const struct imsipsec_config *got;

	ok(!imsipsec_config_set(h, &c) && !imsipsec_config_get(h, &got) && got->set == 0xff &&
	   got->min_spi == 300000 && got->max_spi == 400000 && got->temporary_timeout == 3600000 &&
	   got->port_pc && got->port_ps && got->max_endpoints && got->max_bundles &&
	   got->max_pending, "config: set and get");
	c.min_spi = 255;
	ok(imsipsec_config_set(h, &c) < 0 && strstr(imsipsec_strerror(h), "min-spi"),
	   "config: an error names the attribute: %s", imsipsec_strerror(h));
}

static void test_endpoint(void)
{
	static const uint16_t ports[] = { 7001, 7002, 7003 };
	struct imsipsec_endpoint_params p = {
		.size = sizeof(p), .port_ps = 7000, .port_pc = ports, .n_port_pc = 3,
	};
	const struct imsipsec_endpoint *e;
	uint32_t id;

	imsipsec_addr_parse(&p.address, "2001:db8::1");
	ok(!imsipsec_endpoint_add(h, &p, &e) && e->id && e->address.family == AF_INET6 &&
	   e->port_ps == 7000 && e->n_port_pc == 3 && e->port_pc[2] == 7003, "endpoint: add, IPv6");
	id = e->id;
	ok(!imsipsec_endpoint_get(h, id, &e) && e->id == id && !e->bundles, "endpoint: get");
	ok(imsipsec_endpoint_add(h, &p, NULL) == -EADDRINUSE, "endpoint: EADDRINUSE: %s",
	   imsipsec_strerror(h));
	ok(!imsipsec_endpoint_delete(h, id, false) &&
	   imsipsec_endpoint_get(h, id, &e) == -ENOENT, "endpoint: delete");

	p = (struct imsipsec_endpoint_params){ .size = sizeof(p) };
	imsipsec_addr_parse(&p.address, "192.0.2.1");
	ok(!imsipsec_endpoint_add(h, &p, &e) && e->port_ps && e->n_port_pc,
	   "endpoint: add, IPv4, the configuration's ports");
	endpoint = e->id;
}

static void test_guard(void)
{
	struct imsipsec_endpoint_params p = { .size = sizeof(p) };
	const struct imsipsec_endpoint *e;
	enum imsipsec_guard guard;
	const char *name;

	imsipsec_addr_parse(&p.address, "192.0.2.2");
	for (guard = 0; guard <= IMSIPSEC_GUARD_BYPASS; guard++) {
		p.guard = guard;
		name = guard ? imsipsec_guard_name(guard) : "none given";
		ok(!imsipsec_endpoint_add(h, &p, &e) &&
		   e->guard == (guard ? guard : IMSIPSEC_GUARD_DROP) &&
		   !imsipsec_endpoint_get(h, e->id, &e) &&
		   e->guard == (guard ? guard : IMSIPSEC_GUARD_DROP) && !e->drop_plaintext_in &&
		   !e->drop_plaintext_out && !e->drop_foreign_sa && !e->drop_cross_pair &&
		   !e->drop_no_live_set && !imsipsec_endpoint_delete(h, e->id, false),
		   "guard: %s", name);
	}
	p.guard = guard;
	ok(imsipsec_endpoint_add(h, &p, NULL) == -ERANGE && strstr(imsipsec_strerror(h), "guard"),
	   "guard: one that the kernel does not know: %s", imsipsec_strerror(h));
}

static void test_bundle(void)
{
	const struct imsipsec_bundle *b;
	uint32_t id;

	ok(!make_bundle(0, &b) && b->id && b->endpoint == endpoint && b->owner_len == 4 &&
	   b->contact_len == 1 && b->state == IMSIPSEC_STATE_TEMPORARY &&
	   b->mode == IMSIPSEC_MODE_TRANS && b->alg == IMSIPSEC_ALG_HMAC_SHA_1_96 &&
	   b->ealg == IMSIPSEC_EALG_NULL && b->address.in.s_addr == htonl(0xc0000201) &&
	   b->ue_address.in.s_addr == htonl(0x0a000001) && b->port_uc == 6301 &&
	   b->port_us == 6300 && b->spi_uc == 1000 && b->spi_us == 1001 &&
	   b->spi_pc >= 300000 && b->spi_pc <= 400000 && b->spi_ps >= 300000 &&
	   b->spi_ps <= 400000 && b->spi_pc != b->spi_ps && b->port_pc && b->port_ps &&
	   b->lifetime > 3590000 && b->lifetime <= 3600000, "bundle: new");
	id = b->id;
	ok(make_bundle(0, &b) == -EEXIST, "bundle: EEXIST: %s", imsipsec_strerror(h));
	ok(!imsipsec_bundle_confirm(h, id, 7200000) && !imsipsec_bundle_get(h, id, &b) &&
	   b->state == IMSIPSEC_STATE_ESTABLISHED && b->lifetime > 7190000, "bundle: confirm");
	ok(!imsipsec_bundle_delete(h, id, 60000) && !imsipsec_bundle_get(h, id, &b) &&
	   b->state == IMSIPSEC_STATE_OLD, "bundle: delete with linger");
	ok(!imsipsec_bundle_delete(h, id, 0) && imsipsec_bundle_get(h, id, &b) == -ENOENT,
	   "bundle: delete: %s", imsipsec_strerror(h));
	ok(imsipsec_bundle_confirm(h, id, 1000) == -ENOENT, "bundle: confirm what is gone: %s",
	   imsipsec_strerror(h));
}

static unsigned char seen[BUNDLES];
static unsigned int n_seen;

static int see(const struct imsipsec_bundle *b, void *data)
{
	unsigned int n;

	memcpy(&n, b->owner, sizeof(n));
	if (n < BUNDLES)
		seen[n]++;
	n_seen++;
	return data && n_seen == *(unsigned int *)data ? 77 : 0;
}

static bool seen_once_each(void)
{
	unsigned int i;

	for (i = 0; i < BUNDLES; i++)
		if (seen[i] != 1)
			return false;
	return n_seen == BUNDLES;
}

static int last_seq(const struct imsipsec_event *event, void *data)
{
	*(uint64_t *)data = event->seq;
	return 0;
}

struct losses {
	unsigned int lost, events;
	uint64_t seq;
	bool in_order;
};

static int count_losses(const struct imsipsec_event *event, void *data)
{
	struct losses *l = data;

	if (event->type == IMSIPSEC_EVENT_LOST) {
		l->lost++;
		l->seq = event->seq ? event->seq - 1 : 0;
		return 0;
	}
	l->events++;
	if (l->seq && event->seq != l->seq + 1)
		l->in_order = false;
	l->seq = event->seq;
	return 0;
}

static int stop(const struct imsipsec_event *event, void *data)
{
	(void)event;
	(void)data;
	return 77;
}

static void test_many(void)
{
	struct imsipsec_bundle_filter filter = { .size = sizeof(filter) };
	struct losses losses = { .in_order = true };
	struct imsipsec_events *ev, *small;
	const struct imsipsec_bundle *b;
	unsigned int i, stop_at = 3;
	uint64_t seq = 0;
	uint32_t id = 0;
	int tiny = 1, err = 0;

	ok(!imsipsec_event_open(&ev) && !imsipsec_event_open(&small), "events: open");
	ok(!imsipsec_event_dispatch(ev, stop, NULL), "events: none so far");
	setsockopt(imsipsec_event_fd(small), SOL_SOCKET, SO_RCVBUFFORCE, &tiny, sizeof(tiny));

	for (i = 0; i < BUNDLES && !err; i++) {
		err = make_bundle(i, &b);
		if (!err)
			id = b->id;
		if (!err && i % 100 == 0)
			err = imsipsec_event_dispatch(ev, last_seq, &seq);
	}
	ok(!err, "many: %u made%s%s", i, err ? ": " : "", err ? imsipsec_strerror(h) : "");

	ok(!imsipsec_bundle_dump(h, NULL, see, NULL) && seen_once_each(),
	   "dump: each of %d once", BUNDLES);
	n_seen = 0;
	ok(imsipsec_bundle_dump(h, NULL, see, &stop_at) == 77 && n_seen == 3 &&
	   !imsipsec_bundle_get(h, id, &b) && b->id == id,
	   "dump: ended by the callback, and the handle goes on");
	n_seen = 0;
	i = 42;
	filter.owner = &i;
	filter.owner_len = sizeof(i);
	ok(!imsipsec_bundle_dump(h, &filter, see, NULL) && n_seen == 1, "dump: of one owner");
	n_seen = 0;
	filter.state = IMSIPSEC_STATE_OLD;
	ok(!imsipsec_bundle_dump(h, &filter, see, NULL) && !n_seen, "dump: of none");

	err = imsipsec_event_dispatch(small, count_losses, &losses);
	ok(!err && losses.lost == 1 && losses.events && losses.in_order,
	   "events: %u had, the others told as lost",
	   losses.events);
	losses = (struct losses){ .in_order = true };
	ok(!imsipsec_endpoint_delete(h, endpoint, true), "many: deleted with the endpoint");
	err = imsipsec_event_dispatch(ev, count_losses, &losses);
	ok(!err && losses.in_order && (losses.lost || losses.events >= BUNDLES),
	   "events: %u had of the deletion, lost %u times",
	   losses.events, losses.lost);
	imsipsec_event_close(ev);
	imsipsec_event_close(small);
}

/* In a user namespace of its own, a process has no power over the network namespace. */
static void test_eperm(void)
{
	struct imsipsec_events *ev;
	struct imsipsec *other;
	int status;
	pid_t pid;

	fflush(stdout);
	pid = fork();
	if (!pid) {
		if (unshare(CLONE_NEWUSER))
			_exit(2);
		_exit(imsipsec_open(&other) != -EPERM || imsipsec_event_open(&ev) != -EPERM);
	}
	waitpid(pid, &status, 0);
	if (WIFEXITED(status) && WEXITSTATUS(status) == 2)
		ok(true, "EPERM without CAP_NET_ADMIN # SKIP no user namespaces");
	else
		ok(!status, "EPERM without CAP_NET_ADMIN");
}

int main(void)
{
	if (unshare(CLONE_NEWNET)) {
		perror("unshare");
		return 1;
	}
	if (!opened())
		return 1;
	test_config();
	test_endpoint();
	test_guard();
	test_bundle();
	test_many();
	test_eperm();
	imsipsec_close(h);
	return done();
}
