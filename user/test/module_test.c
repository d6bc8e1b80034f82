// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * The library against the kernel module, in a network namespace of its own.
 * To be run by root where the module is or can be loaded.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <linux/filter.h>

#include "../lib/internal.h"
#include "alg_lists.h"
#include "tap.h"

#define BUNDLES	2000	/* several datagrams of a dump */

static struct imsipsec *h;
static uint32_t endpoint;

/* User *@n's, whose UE offers SPIs @spi and @spi + 1 */
static struct imsipsec_bundle_params params_of(const unsigned int *n, uint32_t spi)
{
	struct imsipsec_bundle_params p = {
		.endpoint = endpoint, .owner = n, .owner_len = sizeof(*n),
		.contact = "c", .contact_len = 1, .alg = IMSIPSEC_ALG_HMAC_SHA_1_96,
		.ealg = IMSIPSEC_EALG_NULL, .port_uc = 6301, .port_us = 6300,
		.spi_uc = spi, .spi_us = spi + 1, .ik = { 1 }, .ck = { 2 },
	};

	p.ue_address.family = AF_INET;
	p.ue_address.in.s_addr = htonl(0x0a000001 + *n);
	return p;
}

static int make_bundle_with(enum imsipsec_alg alg, enum imsipsec_ealg ealg, const char *allowed,
			    unsigned int n, const struct imsipsec_bundle **bundle)
{
	struct imsipsec_bundle_params p = params_of(&n, 1000);

	p.alg = alg;
	p.ealg = ealg;
	p.allowed_algorithms = allowed;
	return imsipsec_bundle_new(h, &p, bundle);
}

static int make_bundle(unsigned int n, const struct imsipsec_bundle **bundle)
{
	return make_bundle_with(IMSIPSEC_ALG_HMAC_SHA_1_96, IMSIPSEC_EALG_NULL, NULL, n, bundle);
}

static bool opened(void)
{
	int err = imsipsec_open(&h);

	return ok(!err, "open%s%s", err ? ": " : "", err ? imsipsec_open_strerror(err) : "");
}

static void test_config(void)
{
	struct imsipsec_config c = {
		.set = IMSIPSEC_CONFIG_MIN_SPI | IMSIPSEC_CONFIG_MAX_SPI |
		       IMSIPSEC_CONFIG_TEMPORARY_TIMEOUT,
		.min_spi = 300000, .max_spi = 900000, .temporary_timeout = 3600000,
	};
	const struct imsipsec_config *got;

	ok(!imsipsec_config_set(h, &c) && !imsipsec_config_get(h, &got) && got->set == 0x3fffff &&
	   got->min_spi == 300000 && got->max_spi == 900000 && got->temporary_timeout == 3600000 &&
	   got->n_port_pc == 2 && got->port_ps && got->max_endpoints && got->max_bundles &&
	   got->max_pending && !strcmp(got->allowed_algorithms, "") && !got->preferred_alg &&
	   !got->preferred_ealg && !got->disable_deprecated_algorithms &&
	   got->max_sets == 3 && got->old_timeout == 128000 && !got->idle_timeout &&
	   got->mark_mask == 0x00ffffff && !got->nat_traversal && got->nat_port == 4500 &&
	   !*got->hw_offload_interface && got->hw_offload == IMSIPSEC_OFFLOAD_CRYPTO &&
	   !got->hw_offload_required,
	   "config: set and get");
	c.min_spi = 255;
	ok(imsipsec_config_set(h, &c) < 0 && strstr(imsipsec_strerror(h), "min_spi"),
	   "config: an error names the attribute: %s", imsipsec_strerror(h));
}

static bool is_list_of_kernel(const char *list, const char *want)
{
	struct imsipsec_config c = {
		.set = IMSIPSEC_CONFIG_ALLOWED_ALGORITHMS,
		.allowed_algorithms = list,
	};
	const struct imsipsec_config *got;
	int err = imsipsec_config_set(h, &c);

	if (!want)
		return err == -EINVAL;
	return !err && !imsipsec_config_get(h, &got) && !strcmp(got->allowed_algorithms, want);
}

/* What @c says of algorithms, and nothing of what it does not */
static int set_algorithms(struct imsipsec_config c)
{
	c.set = IMSIPSEC_CONFIG_ALLOWED_ALGORITHMS | IMSIPSEC_CONFIG_PREFERRED_ALG |
		IMSIPSEC_CONFIG_PREFERRED_EALG | IMSIPSEC_CONFIG_DISABLE_DEPRECATED_ALGORITHMS;
	if (!c.allowed_algorithms)
		c.allowed_algorithms = "";
	return imsipsec_config_set(h, &c);
}

struct pairs {
	char text[512];		/* those that are allowed */
	unsigned int n, wrong;
};

static int see_pair(const struct imsipsec_pair_info *a, void *data)
{
	struct pairs *p = data;
	size_t len = strlen(p->text);
	bool deprecated = a->alg == IMSIPSEC_ALG_HMAC_MD5_96 ||
			  a->ealg == IMSIPSEC_EALG_DES_EDE3_CBC;

	p->n++;
	if (a->rank)
		snprintf(p->text + len, sizeof(p->text) - len, "%s%s=%s", len ? "," : "",
			 imsipsec_alg_name(a->alg), imsipsec_ealg_name(a->ealg));
	p->wrong += (a->rank && a->rank != p->n) || a->deprecated != deprecated ||
		    !*a->name != !*a->driver;
	return 0;
}

/* Is the order of preference just that of @list, as the library reads it? */
static bool order_is(const char *list)
{
	struct imsipsec_pair want[9], got[9];
	size_t n_want = 9, n_got = 9, i, j;
	struct pairs p = { .n = 0 };

	if (imsipsec_pair_dump(h, see_pair, &p) || p.n != 9 || p.wrong ||
	    imsipsec_pairs_parse(list, want, &n_want) || imsipsec_pairs_get(h, got, &n_got))
		return false;
	/* What the kernel has of them, in that order */
	for (i = j = 0; i < n_want && j < n_got; i++)
		if (want[i].alg == got[j].alg && want[i].ealg == got[j].ealg)
			j++;
	n_want = 9;
	return n_got && j == n_got && !imsipsec_pairs_parse(p.text, got, &n_want) &&
	       !memcmp(want, got, n_want * sizeof(*got));
}

static void test_algorithms(void)
{
	const struct imsipsec_config *got;

	test_alg_lists("the kernel", is_list_of_kernel);
	ok(!set_algorithms((struct imsipsec_config){ 0 }) &&
	   order_is("aes-gcm,aes-gmac,hmac-sha-1-96,hmac-md5-96"), "algorithms: built-in order");
	ok(!set_algorithms((struct imsipsec_config){
		.preferred_alg = IMSIPSEC_ALG_HMAC_SHA_1_96,
		.preferred_ealg = IMSIPSEC_EALG_NULL,
	   }) && order_is("hmac-sha-1-96=null,hmac-sha-1-96,null,aes-gcm,hmac-md5-96") &&
	   !imsipsec_config_get(h, &got) && got->preferred_alg == IMSIPSEC_ALG_HMAC_SHA_1_96 &&
	   got->preferred_ealg == IMSIPSEC_EALG_NULL, "algorithms: preferred ones");
	ok(!set_algorithms((struct imsipsec_config){ .disable_deprecated_algorithms = true }) &&
	   order_is("aes-gcm,aes-gmac,hmac-sha-1-96=aes-cbc,hmac-sha-1-96=null") &&
	   !imsipsec_config_get(h, &got) && got->disable_deprecated_algorithms,
	   "algorithms: deprecated ones disabled");
	ok(!set_algorithms((struct imsipsec_config){
		.allowed_algorithms = "hmac-md5-96=null, hmac-sha-1-96",
		.preferred_alg = IMSIPSEC_ALG_HMAC_SHA_1_96,
	   }) && order_is("hmac-md5-96=null,hmac-sha-1-96"), "algorithms: allowed ones");
	ok(set_algorithms((struct imsipsec_config){
		.allowed_algorithms = "hmac-md5-96", .disable_deprecated_algorithms = true,
	   }) == -EINVAL && order_is("hmac-md5-96=null,hmac-sha-1-96"),
	   "algorithms: none left: %s", imsipsec_strerror(h));
	ok(!set_algorithms((struct imsipsec_config){ 0 }), "algorithms: as before");
}

static void test_endpoint(void)
{
	static const uint16_t ports[] = { 7001, 7002, 7003 };
	struct imsipsec_endpoint_params p = {
		.port_ps = 7000, .port_pc = ports, .n_port_pc = 3,
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

	p = (struct imsipsec_endpoint_params){ 0 };
	imsipsec_addr_parse(&p.address, "192.0.2.1");
	ok(!imsipsec_endpoint_add(h, &p, &e) && e->port_ps && e->n_port_pc,
	   "endpoint: add, IPv4, the configuration's ports");
	endpoint = e->id;
}

static bool has_pool(const struct imsipsec_endpoint *e, size_t n, const uint16_t *ports)
{
	size_t i, j, found = 0;

	for (i = 0; i < n; i++)
		for (j = 0; j < e->n_port_pc; j++)
			found += e->port_pc[j] == ports[i];
	return e->n_port_pc == n && found == n;
}

/* An endpoint and its pool, which changes under a bundle */
static void test_ports(void)
{
	static const uint16_t ports[] = { 7001, 7002, 7003, 7004 };
	struct imsipsec_endpoint_params p = {
		.port_ps = 7000, .port_pc = ports, .n_port_pc = 2,
	};
	const struct imsipsec_endpoint *e;
	const struct imsipsec_bundle *b;
	const unsigned int n = 40;
	struct imsipsec_bundle_params bp = params_of(&n, 1000);
	uint32_t id, bundle;

	imsipsec_addr_parse(&p.address, "::ffff:192.0.2.5");
	ok(imsipsec_endpoint_replace(h, &p, false, &e) == 1 && e->id && has_pool(e, 2, ports),
	   "PORTS: replace makes the endpoint: %s", imsipsec_strerror(h));
	id = e->id;
	ok(!imsipsec_endpoint_replace(h, &p, false, &e) && e->id == id && has_pool(e, 2, ports),
	   "PORTS: replace leaves it as it is: %s", imsipsec_strerror(h));
	bp.endpoint = id;
	bp.port_pc = 7002;
	ok(!imsipsec_bundle_new(h, &bp, &b), "PORTS: a bundle: %s", imsipsec_strerror(h));
	bundle = b->id;
	ok(!imsipsec_endpoint_set_ports(h, id, ports, 4, &e) && e->bundles == 1 && has_pool(e, 4, ports),
	   "PORTS: two are added: %s", imsipsec_strerror(h));
	ok(imsipsec_endpoint_set_ports(h, id, ports + 2, 2, &e) == -EBUSY &&
	   strstr(imsipsec_strerror(h), "port 7002") && !imsipsec_endpoint_get(h, id, &e) &&
	   has_pool(e, 4, ports), "PORTS: not the one that has a bundle: %s", imsipsec_strerror(h));
	p.port_pc = ports + 1;
	ok(imsipsec_endpoint_replace(h, &p, false, &e) == 1 && e->id == id && e->bundles == 1 &&
	   has_pool(e, 2, ports + 1) && !imsipsec_bundle_get(h, bundle, &b) && b->port_pc == 7002,
	   "PORTS: replace changes the pool, and the bundle stays: %s", imsipsec_strerror(h));
	ok(imsipsec_endpoint_set_ports(h, id, &(uint16_t){ 7000 }, 1, &e) == -EBUSY ||
	   imsipsec_endpoint_set_ports(h, id, &(uint16_t){ 7000 }, 1, &e) == -EINVAL,
	   "PORTS: not the server port: %s", imsipsec_strerror(h));
	p.guard = IMSIPSEC_GUARD_REJECT;
	ok(imsipsec_endpoint_replace(h, &p, false, &e) == -EBUSY && strstr(imsipsec_strerror(h), "another guard") &&
	   !imsipsec_bundle_get(h, bundle, &b), "PORTS: another guard is refused: %s", imsipsec_strerror(h));
	ok(imsipsec_endpoint_replace(h, &p, true, &e) == 1 && e->id != id &&
	   e->guard == IMSIPSEC_GUARD_REJECT && imsipsec_bundle_get(h, bundle, &b) == -ENOENT,
	   "PORTS: with force another one is made: %s", imsipsec_strerror(h));
	id = 0;
	if (!imsipsec_endpoint_replace(h, &p, false, &e))
		id = e->id;
	ok(id && !imsipsec_endpoint_delete(h, id, false), "PORTS: delete: %s", imsipsec_strerror(h));
}

static bool trusts(const struct imsipsec_endpoint *e, size_t n, const char *first)
{
	return e->n_trusted == n && (!n || !strcmp(e->trusted[0], first));
}

static void test_trusted(void)
{
	static const char *const one[] = { "2001:DB8:0:0::/64%nosuch0" };
	static const char *const two[] = { "2001:db8:1::/48%lo", "2001:db8::/64%nosuch0" };
	static const char *const wrong[] = { "192.0.2.0/24%lo" };
	static const char *const there[] = { "2001:db8:2::/48%lo" };
	struct imsipsec_endpoint_params p = { .port_ps = 7000, .trusted = one, .n_trusted = 1 };
	const unsigned int n = 40;
	struct imsipsec_bundle_params bp = params_of(&n, 1000);
	const struct imsipsec_endpoint *e;
	const struct imsipsec_bundle *b;
	uint32_t id;

	imsipsec_addr_parse(&p.address, "2001:db8::5");
	ok(imsipsec_endpoint_replace(h, &p, false, &e) == 1 && trusts(e, 1, two[1]),
	   "TRUST: replace makes the endpoint: %s", imsipsec_strerror(h));
	id = e->id;
	ok(!imsipsec_endpoint_replace(h, &p, false, &e) && e->id == id && trusts(e, 1, two[1]),
	   "TRUST: replace leaves it as it is: %s", imsipsec_strerror(h));
	p.trusted = NULL;
	ok(!imsipsec_endpoint_replace(h, &p, false, &e) && trusts(e, 1, two[1]),
	   "TRUST: replace leaves it if it does not say: %s", imsipsec_strerror(h));
	p.trusted = two;
	p.n_trusted = 2;
	ok(imsipsec_endpoint_replace(h, &p, false, &e) == 1 && e->id == id && trusts(e, 2, two[0]),
	   "TRUST: replace changes it: %s", imsipsec_strerror(h));
	ok(imsipsec_endpoint_set_trusted(h, id, wrong, 1, &e) == -EINVAL &&
	   strstr(imsipsec_strerror(h), "family") && !imsipsec_endpoint_get(h, id, &e) &&
	   trusts(e, 2, two[0]), "TRUST: not of another family: %s", imsipsec_strerror(h));
	bp.endpoint = id;
	imsipsec_addr_parse(&bp.ue_address, "2001:db8:2::1");
	ok(!imsipsec_bundle_new(h, &bp, &b), "TRUST: a bundle: %s", imsipsec_strerror(h));
	p.trusted = there;
	p.n_trusted = 1;
	ok(imsipsec_endpoint_replace(h, &p, true, &e) == -EBUSY && !imsipsec_endpoint_get(h, id, &e) &&
	   trusts(e, 2, two[0]), "TRUST: replace does not with force what a UE is in the way of: %s",
	   imsipsec_strerror(h));
	imsipsec_bundle_flush(h, NULL, 0, NULL);
	p.n_trusted = 0;
	ok(imsipsec_endpoint_replace(h, &p, false, &e) == 1 && e->id == id && trusts(e, 0, NULL),
	   "TRUST: replace takes it away: %s", imsipsec_strerror(h));
	ok(!imsipsec_endpoint_set_trusted(h, id, one, 1, &e) && trusts(e, 1, two[1]) &&
	   !imsipsec_endpoint_set_trusted(h, id, NULL, 0, &e) && trusts(e, 0, NULL) &&
	   imsipsec_endpoint_set_trusted(h, id, one, IMSIPSEC_TRUSTED_MAX + 1, &e) == -EINVAL,
	   "TRUST: set_trusted: %s", imsipsec_strerror(h));
	ok(!imsipsec_endpoint_delete(h, id, false), "TRUST: delete: %s", imsipsec_strerror(h));
}

static void test_guard(void)
{
	struct imsipsec_endpoint_params p = { 0 };
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
		   !e->drop_no_live_set && !e->drop_udp_only && !e->nat_traversal &&
		   !imsipsec_endpoint_delete(h, e->id, false),
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
	   b->spi_pc >= 300000 && b->spi_pc <= 900000 && b->spi_ps >= 300000 &&
	   b->spi_ps <= 900000 && b->spi_pc != b->spi_ps && b->port_pc && b->port_ps &&
	   b->lifetime > 3590000 && b->lifetime <= 3600000, "bundle: new");
	id = b->id;
	ok(imsipsec_bundle_extend(h, id, 1000) == -EINVAL, "bundle: extend before confirm: %s",
	   imsipsec_strerror(h));
	ok(!imsipsec_bundle_confirm(h, id, 7200000, 0, 0) && !imsipsec_bundle_get(h, id, &b) &&
	   b->state == IMSIPSEC_STATE_ESTABLISHED && b->lifetime > 7190000, "bundle: confirm");
	ok(!make_bundle(0, &b) && b->id != id && !imsipsec_bundle_delete(h, b->id, 0) &&
	   !imsipsec_bundle_get(h, id, &b) && b->state == IMSIPSEC_STATE_ESTABLISHED,
	   "C5: bundle: the same SPIs again, and the set that has them stays: %s",
	   imsipsec_strerror(h));
	ok(!imsipsec_bundle_extend(h, id, 1000) && !imsipsec_bundle_get(h, id, &b) &&
	   b->lifetime > 7190000 && !imsipsec_bundle_extend(h, id, 9000000) &&
	   !imsipsec_bundle_get(h, id, &b) && b->lifetime > 8990000, "D5: bundle: extend");
	ok(!imsipsec_bundle_delete(h, id, 60000) && !imsipsec_bundle_get(h, id, &b) &&
	   b->state == IMSIPSEC_STATE_OLD, "bundle: delete with linger");
	ok(!imsipsec_bundle_delete(h, id, 0) && imsipsec_bundle_get(h, id, &b) == -ENOENT,
	   "bundle: delete: %s", imsipsec_strerror(h));
	ok(imsipsec_bundle_confirm(h, id, 1000, 0, 0) == -ENOENT, "bundle: confirm what is gone: %s",
	   imsipsec_strerror(h));
}

struct set {
	uint32_t id, mark, registration;
};

/* A bundle of user @n whose UE offers @spi; the id is 0 if it is refused. */
static struct set new_set(unsigned int n, uint32_t spi, bool replace)
{
	struct imsipsec_bundle_params p = params_of(&n, spi);
	const struct imsipsec_bundle *b;
	struct set set = { 0 };

	p.replace = replace;
	if (!imsipsec_bundle_new(h, &p, &b))
		set = (struct set){ b->id, b->mark, b->registration };
	return set;
}

static bool rx_is(struct imsipsec_cache *c, const struct set *set, enum imsipsec_state state)
{
	const struct imsipsec_bundle *b;
	struct imsipsec_found found;

	return !imsipsec_rx_mark(c, set->mark | 0xff000000, &found) &&
	       found.bundle->id == set->id && found.bundle->state == state &&
	       found.bundle->registration == set->registration &&
	       !imsipsec_bundle_find_mark(h, set->mark | 0xff000000, &b) &&
	       b->id == set->id && b->state == state && b->registration == set->registration;
}

static bool tx_is(struct imsipsec_cache *c, unsigned int n, const struct set *set)
{
	struct imsipsec_found found;
	int err = imsipsec_tx(c, &n, sizeof(n), "c", 1, &found);
	const struct imsipsec_bundle *b;

	/* the kernel says the same */
	if (imsipsec_bundle_tx_name(h, &n, sizeof(n), "c", 1, &b) != err ||
	    (!err && b->id != found.bundle->id))
		return false;
	return set ? !err && found.bundle->id == set->id : err == -ENOENT;
}

static bool tuple_is(struct imsipsec_cache *c, unsigned int n, const struct set *set)
{
	struct imsipsec_addr local, remote = params_of(&n, 0).ue_address;
	const struct imsipsec_endpoint *e;
	const struct imsipsec_bundle *b;
	struct imsipsec_found found;

	imsipsec_addr_parse(&local, "192.0.2.1");
	return !imsipsec_endpoint_get(h, endpoint, &e) &&
	       !imsipsec_rx_tuple(c, &local, e->port_ps, &remote, 6301, &found) &&
	       found.bundle->id == set->id &&
	       !imsipsec_bundle_find_tuple(h, &local, e->port_ps, &remote, 6301, &b) &&
	       b->id == set->id && !b->tcp_only;
}

struct told {
	unsigned int n, wrong, of_type[9];
	uint64_t seq;
};

static int count_told(const struct imsipsec_event *event, void *data)
{
	struct told *told = data;

	told->n++;
	told->wrong += told->seq && event->seq != told->seq + 1;
	told->seq = event->seq;
	if ((size_t)event->type < sizeof(told->of_type) / sizeof(told->of_type[0]))
		told->of_type[event->type]++;
	return 0;
}

static uint64_t lifetime_of(uint32_t id)
{
	const struct imsipsec_bundle *b;

	return imsipsec_bundle_get(h, id, &b) ? 0 : b->lifetime;
}

static int set_max_sets(uint32_t n)
{
	return imsipsec_config_set(h, &(struct imsipsec_config){
		.set = IMSIPSEC_CONFIG_MAX_SETS,
		.max_sets = n });
}

/* The life of a registration's bundles, as the library and the cache see it */
static void test_life(void)
{
	struct told told = { 0 };
	struct imsipsec_bundle_params p;
	struct imsipsec_found found;
	struct imsipsec_cache *c;
	const unsigned int other = 99;
	struct set x, y, z;

	ok(!imsipsec_cache_open(&c) && tx_is(c, 7, NULL), "cache: open");
	x = new_set(7, 1000, false);
	ok(x.id && x.mark && x.registration && rx_is(c, &x, IMSIPSEC_STATE_TEMPORARY) &&
	   tx_is(c, 7, NULL), "cache: TEMPORARY");
	ok(!imsipsec_bundle_confirm(h, x.id, 600000, 0, 0) &&
	   rx_is(c, &x, IMSIPSEC_STATE_ESTABLISHED) && tx_is(c, 7, &x) && tuple_is(c, 7, &x),
	   "cache: ESTABLISHED");
	p = params_of(&other, 5000);
	p.ue_address = params_of(&(unsigned int){ 7 }, 0).ue_address;
	ok(imsipsec_bundle_new(h, &p, NULL) == -EADDRINUSE, "C1: EADDRINUSE: %s",
	   imsipsec_strerror(h));

	y = new_set(7, 2000, false);
	z = new_set(7, 3000, false);
	ok(y.id && z.id && imsipsec_bundle_confirm(h, y.id, 1, 0, 0) == -ENOENT &&
	   z.registration == x.registration && z.mark != x.mark,
	   "D2: a new challenge removes the one before");
	ok(imsipsec_bundle_confirm(h, z.id, 1000, IMSIPSEC_OLDER_KEEP, z.id) == -EINVAL,
	   "confirm: over itself: %s", imsipsec_strerror(h));
	ok(!imsipsec_bundle_confirm(h, z.id, 1000, IMSIPSEC_OLDER_KEEP, x.id) &&
	   rx_is(c, &z, IMSIPSEC_STATE_ESTABLISHED) && tx_is(c, 7, &x) &&
	   lifetime_of(z.id) > 500000, "D7: the older one is sent over, D4: its lifetime");
	y = new_set(7, 4000, false);
	ok(!imsipsec_bundle_confirm(h, y.id, 1000, IMSIPSEC_OLDER_DROP, 0) &&
	   rx_is(c, &y, IMSIPSEC_STATE_ACTIVE) && tx_is(c, 7, &y) &&
	   imsipsec_rx_mark(c, x.mark, &found) == -ENOENT &&
	   imsipsec_rx_mark(c, z.mark, &found) == -ENOENT && tuple_is(c, 7, &y),
	   "D6: the older ones go, the new one is sent over");
	x = new_set(7, 4000, false);
	ok(x.id && rx_is(c, &y, IMSIPSEC_STATE_ACTIVE) && tx_is(c, 7, &y),
	   "C5: the SPIs that it has: the set stays: %s", imsipsec_strerror(h));
	x = new_set(7, 4000, true);
	ok(x.id && rx_is(c, &y, IMSIPSEC_STATE_ACTIVE) &&
	   !imsipsec_bundle_confirm(h, x.id, 1000, 0, 0) && !imsipsec_bundle_delete(h, y.id, 0),
	   "C5: the same where it is asked to be replaced");
	ok(!set_max_sets(1) && !new_set(7, 5000, false).id, "C2: EDQUOT: %s",
	   imsipsec_strerror(h));
	set_max_sets(3);
	ok(!imsipsec_bundle_delete(h, x.id, 60000) && rx_is(c, &x, IMSIPSEC_STATE_OLD),
	   "cache: OLD");
	imsipsec_bundle_delete(h, x.id, 0);
	ok(!imsipsec_cache_dispatch(c, count_told, &told) && !told.wrong && told.n >= 12 &&
	   told.of_type[IMSIPSEC_EVENT_ACTIVATED] == 1 &&
	   told.of_type[IMSIPSEC_EVENT_SUPERSEDED] >= 1 &&
	   imsipsec_rx_mark(c, x.mark, &found) == -ENOENT, "cache: %u events told", told.n);
	imsipsec_cache_close(c);
}

/* Which bundle a message came over, and which to send over, asked of the kernel */
static void test_find(void)
{
	const struct imsipsec_addr remote = params_of(&(unsigned int){ 8 }, 0).ue_address;
	struct imsipsec_addr local, mapped = { .family = AF_INET6 };
	struct imsipsec_bundle made;
	const struct imsipsec_bundle *b;
	struct set x, y;

	imsipsec_addr_parse(&local, "192.0.2.1");
	inet_pton(AF_INET6, "::ffff:10.0.0.9", &mapped.in6);
	x = new_set(8, 1000, false);
	ok(!imsipsec_bundle_get(h, x.id, &b), "FIND: a bundle: %s", imsipsec_strerror(h));
	made = *b;
	ok(!imsipsec_bundle_find_tuple(h, &made.address, made.port_ps, &remote, 6301, &b) &&
	   b->id == x.id && b->endpoint == made.endpoint && b->owner_len == 4 && b->contact_len == 1 &&
	   b->state == IMSIPSEC_STATE_TEMPORARY && b->spi_pc == made.spi_pc && b->spi_ps == made.spi_ps &&
	   b->spi_uc == 1000 && b->spi_us == 1001 && b->port_pc == made.port_pc &&
	   b->port_us == 6300 && b->mark == x.mark && b->registration == x.registration &&
	   b->alg == made.alg && b->ealg == made.ealg && b->mode == IMSIPSEC_MODE_TRANS &&
	   b->lifetime && b->lifetime <= made.lifetime && b->last_rx_ms == IMSIPSEC_NEVER &&
	   !b->tcp_only, "FIND: by addresses and ports, the UE's client port: %s", imsipsec_strerror(h));
	ok(!imsipsec_bundle_find_tuple(h, &local, made.port_pc, &mapped, 6300, &b) &&
	   b->id == x.id, "FIND: the UE's server port, and an IPv4-mapped address: %s", imsipsec_strerror(h));
	ok(imsipsec_bundle_find_tuple(h, &local, made.port_ps, &remote, 6300, &b) == -ENOENT &&
	   imsipsec_bundle_find_tuple(h, &local, made.port_pc, &remote, 6301, &b) == -ENOENT &&
	   imsipsec_bundle_find_tuple(h, &remote, made.port_ps, &local, 6301, &b) == -ENOENT,
	   "FIND: not across the pairs: %s", imsipsec_strerror(h));
	ok(!imsipsec_bundle_find_spi(h, made.spi_pc, &b) && b->id == x.id &&
	   !imsipsec_bundle_find_spi(h, made.spi_ps, &b) && b->id == x.id &&
	   !imsipsec_bundle_find_spi(h, made.spi_ps, NULL) &&
	   imsipsec_bundle_find_spi(h, made.spi_uc, &b) == -ENOENT,
	   "FIND: by either SPI of the P-CSCF's, not the UE's: %s", imsipsec_strerror(h));
	ok(!imsipsec_bundle_find_mark(h, x.mark | 0xff000000, &b) && b->id == x.id &&
	   imsipsec_bundle_find_mark(h, x.mark ^ 1, &b) == -ENOENT &&
	   imsipsec_bundle_find_mark(h, 0, &b) == -ENOENT, "FIND: by mark: %s", imsipsec_strerror(h));
	ok(imsipsec_bundle_tx(h, x.id, &b) == -ENOENT &&
	   imsipsec_bundle_tx_port(h, NULL, &remote, 6300, &b) == -ENOENT,
	   "FIND: nothing to send over before the 200 OK: %s", imsipsec_strerror(h));
	imsipsec_bundle_confirm(h, x.id, 600000, 0, 0);
	ok(!imsipsec_bundle_tx(h, x.id, &b) && b->id == x.id &&
	   b->state == IMSIPSEC_STATE_ESTABLISHED &&
	   !imsipsec_bundle_tx_port(h, NULL, &remote, 6300, &b) && b->id == x.id &&
	   !imsipsec_bundle_tx_port(h, &local, &mapped, 6301, &b) && b->id == x.id &&
	   imsipsec_bundle_tx_port(h, &remote, &remote, 6301, &b) == -ENOENT &&
	   imsipsec_bundle_tx_port(h, NULL, &remote, 6302, &b) == -ENOENT,
	   "FIND: to send over, by id, and by either of the UE's ports: %s", imsipsec_strerror(h));
	y = new_set(8, 2000, false);
	imsipsec_bundle_confirm(h, y.id, 600000, IMSIPSEC_OLDER_KEEP, x.id);
	ok(!imsipsec_bundle_tx(h, y.id, &b) && b->id == x.id, "FIND: the older one until the newer is used");
	imsipsec_bundle_delete(h, x.id, 60000);
	ok(!imsipsec_bundle_tx(h, x.id, &b) && b->id == y.id,
	   "FIND: by the id of one that is being deleted, its successor");
	imsipsec_bundle_delete(h, x.id, 0);
	imsipsec_bundle_delete(h, y.id, 0);
	ok(imsipsec_bundle_tx(h, y.id, &b) == -ENOENT && strstr(imsipsec_strerror(h), "no bundle has id") &&
	   imsipsec_bundle_find_spi(h, made.spi_ps, &b) == -ENOENT &&
	   imsipsec_bundle_tx_name(h, "o", 1, "", 0, &b) == -EINVAL &&
	   !imsipsec_config_get(h, &(const struct imsipsec_config *){ NULL }),
	   "FIND: what is gone, and the handle goes on: %s", imsipsec_strerror(h));
}

/* An endpoint at 192.0.2.3, with NAT traversal or without; 0: refused */
static uint32_t nat_endpoint(enum imsipsec_choice nat_traversal, uint16_t nat_port, bool shared)
{
	struct imsipsec_endpoint_params p = {
		.nat_traversal = nat_traversal, .nat_port = nat_port,
		.nat_shared = shared,
	};
	const struct imsipsec_endpoint *e;

	imsipsec_addr_parse(&p.address, "192.0.2.3");
	if (imsipsec_endpoint_add(h, &p, &e))
		return 0;
	if (e->nat_traversal != (nat_traversal == IMSIPSEC_CHOICE_ON) ||
	    (nat_port && e->nat_port != nat_port) || e->drop_udp_only)
		return 0;
	return e->id;
}

/* A bundle of user @n at 10.9.9.9 behind @nat, in the endpoint @at */
static int new_natted(uint32_t at, unsigned int n, const char *nat, uint16_t nat_port,
		      bool unmarked, const struct imsipsec_bundle **bundle)
{
	struct imsipsec_bundle_params p = params_of(&n, 1000);

	p.endpoint = at;
	p.mode = IMSIPSEC_MODE_UDP_ENC_TUN;
	p.unmarked = unmarked;
	imsipsec_addr_parse(&p.ue_address, "10.9.9.9");
	if (nat)
		imsipsec_addr_parse(&p.ue_nat_address, nat);
	p.ue_nat_port = nat_port;
	return imsipsec_bundle_new(h, &p, bundle);
}

static bool nat_is(const struct imsipsec_bundle *b, const char *nat, uint16_t nat_port)
{
	char buf[INET6_ADDRSTRLEN];

	return b->mode == IMSIPSEC_MODE_UDP_ENC_TUN && b->mark &&
	       b->ue_address.in.s_addr == htonl(0x0a090909) && b->ue_nat_port == nat_port &&
	       !strcmp(imsipsec_addr_format(&b->ue_nat_address, buf, sizeof(buf)), nat);
}

static void test_nat(void)
{
	struct imsipsec_config c = {
		.set = IMSIPSEC_CONFIG_NAT_TRAVERSAL | IMSIPSEC_CONFIG_NAT_PORT,
		.nat_traversal = true, .nat_port = 4600,
	};
	struct imsipsec_addr local, remote;
	const struct imsipsec_endpoint *e;
	const struct imsipsec_bundle *b;
	struct imsipsec_found found;
	struct imsipsec_cache *cache;
	uint32_t at, first, second;
	uint16_t port_ps;

	ok(new_natted(endpoint, 1, "203.0.113.7", 0, false, &b) == -EOPNOTSUPP,
	   "NAT: EOPNOTSUPP, the endpoint has no NAT traversal: %s", imsipsec_strerror(h));
	ok(!imsipsec_config_set(h, &c) && (at = nat_endpoint(IMSIPSEC_CHOICE_OFF, 0, false)) &&
	   !imsipsec_endpoint_delete(h, at, false), "NAT: endpoint: off, though configured");
	at = nat_endpoint(IMSIPSEC_CHOICE_ON, 4601, false);
	ok(at && !imsipsec_endpoint_get(h, at, &e) && e->nat_traversal && e->nat_port == 4601 &&
	   !e->nat_shared, "NAT: endpoint: on, at a port of its own");
	imsipsec_endpoint_delete(h, at, false);
	c.nat_traversal = false;
	c.nat_port = 4500;
	imsipsec_config_set(h, &c);
	at = nat_endpoint(IMSIPSEC_CHOICE_ON, 0, true);
	ok(at && !imsipsec_endpoint_get(h, at, &e) && e->nat_port == 4500 && !e->nat_shared,
	   "NAT: endpoint: may be shared, and is not, nobody else being there: %s",
	   imsipsec_strerror(h));
	port_ps = e->port_ps;

	ok(!imsipsec_cache_open(&cache), "NAT: cache: open");
	ok(!new_natted(at, 1, "203.0.113.7", 61234, false, &b) && nat_is(b, "203.0.113.7", 61234) &&
	   !b->unmarked && !b->udp_only, "G2: NAT: bundle: new: %s", imsipsec_strerror(h));
	first = b->id;
	ok(!imsipsec_bundle_confirm(h, first, 60000, 0, 0), "G7: NAT: bundle: it has TCP");
	ok(!new_natted(at, 2, "203.0.113.8", 0, false, &b) && nat_is(b, "203.0.113.8", 4500) &&
	   b->udp_only, "G7: NAT: bundle: the same address behind another NAT: %s",
	   imsipsec_strerror(h));
	second = b->id;
	imsipsec_addr_parse(&local, "192.0.2.3");
	imsipsec_addr_parse(&remote, "10.9.9.9");
	ok(!imsipsec_rx_tuple(cache, &local, port_ps, &remote, 6301, &found) &&
	   found.bundle->id == first, "G7: NAT: cache: TCP is that of the first");
	ok(!imsipsec_bundle_find_tuple(h, &local, port_ps, &remote, 6301, &b) && b->id == first &&
	   !b->tcp_only, "FIND: NAT: nothing has come over the second: it is the first's");
	ok(!imsipsec_bundle_confirm(h, second, 60000, 0, 0) &&
	   !imsipsec_bundle_find_tuple(h, &local, port_ps, &remote, 6301, &b) && b->id == first &&
	   b->tcp_only, "FIND: NAT: of both TCP is the first's, and a datagram of either: %s",
	   imsipsec_strerror(h));
	ok(imsipsec_bundle_tx_port(h, NULL, &remote, 6301, &b) == -ENOTUNIQ &&
	   !imsipsec_bundle_tx(h, second, &b) && b->id == second && b->udp_only,
	   "FIND: NAT: an address and port of two UEs: %s", imsipsec_strerror(h));
	ok(!imsipsec_bundle_get(h, second, &b) &&
	   !imsipsec_rx_mark(cache, b->mark, &found) && found.bundle->id == second &&
	   found.bundle->udp_only && nat_is(found.bundle, "203.0.113.8", 4500),
	   "G7: NAT: cache: the mark is that of the second");
	imsipsec_bundle_delete(h, first, 0);
	ok(imsipsec_rx_tuple(cache, &local, port_ps, &remote, 6301, &found) == -ENOENT,
	   "G7: NAT: cache: no TCP, the first being gone");
	ok(!imsipsec_bundle_find_tuple(h, &local, port_ps, &remote, 6301, &b) && b->id == second &&
	   !b->tcp_only && !imsipsec_bundle_tx_port(h, NULL, &remote, 6301, &b) && b->id == second,
	   "FIND: NAT: the second alone: %s", imsipsec_strerror(h));
	imsipsec_bundle_delete(h, second, 0);
	ok(!new_natted(at, 3, NULL, 0, true, &b) && nat_is(b, "10.9.9.9", 4500) && b->unmarked &&
	   !b->udp_only && !imsipsec_bundle_confirm(h, b->id, 600000, 0, 0),
	   "NAT: bundle: unmarked, and no NAT: %s", imsipsec_strerror(h));
	ok(new_natted(at, 4, "203.0.113.7", 0, true, &b) == -EADDRINUSE,
	   "NAT: bundle: EADDRINUSE, two that are unmarked: %s", imsipsec_strerror(h));
	ok(!imsipsec_endpoint_delete(h, at, true), "NAT: endpoint: delete");
	imsipsec_cache_close(cache);
}

struct offloaded {
	uint32_t endpoint;		/* 0: refused */
	struct imsipsec_endpoint e;
	struct imsipsec_bundle b;
	int err;			/* of the bundle */
};

/* An endpoint at 192.0.2.4, of which @p says no more than offload, and a bundle of it */
static struct offloaded offloaded(struct imsipsec_endpoint_params p)
{
	const unsigned int n = 50;
	struct imsipsec_bundle_params bundle = params_of(&n, 1000);
	const struct imsipsec_endpoint *e;
	const struct imsipsec_bundle *b;
	struct offloaded o = { 0 };

	imsipsec_addr_parse(&p.address, "192.0.2.4");
	if (imsipsec_endpoint_add(h, &p, &e))
		return o;
	bundle.endpoint = e->id;
	o.err = imsipsec_bundle_new(h, &bundle, &b);
	if (!o.err)
		o.b = *b;
	if (!imsipsec_endpoint_get(h, bundle.endpoint, &e)) {
		o.endpoint = e->id;
		o.e = *e;
	}
	return o;
}

static int set_offload(const char *interface, enum imsipsec_offload offload, bool required)
{
	struct imsipsec_config c = {
		.set = IMSIPSEC_CONFIG_HW_OFFLOAD_INTERFACE | IMSIPSEC_CONFIG_HW_OFFLOAD |
		       IMSIPSEC_CONFIG_HW_OFFLOAD_REQUIRED,
		.hw_offload = offload, .hw_offload_required = required,
	};

	strcpy(c.hw_offload_interface, interface);
	return imsipsec_config_set(h, &c);
}

static bool no_fallbacks(const struct imsipsec_endpoint *e)
{
	size_t i;

	for (i = 0; i < IMSIPSEC_OFFLOAD_REASONS; i++)
		if (e->fallbacks[i])
			return false;
	return true;
}

static int see_fallback(const struct imsipsec_event *event, void *data)
{
	unsigned int *n = data;

	*n += event->type == IMSIPSEC_EVENT_OFFLOAD_FALLBACK &&
	      event->reason == IMSIPSEC_REASON_INTERFACE &&
	      event->new_state == IMSIPSEC_STATE_TEMPORARY &&
	      event->bundle.offload_reason == IMSIPSEC_OFFLOAD_REASON_NO_INTERFACE;
	return 0;
}

/* How many fallbacks were told of, the first of which may take a moment */
static unsigned int fallbacks_told(struct imsipsec_events *ev)
{
	struct pollfd fd = { .fd = imsipsec_event_fd(ev), .events = POLLIN };
	unsigned int n = 0;

	while (!n && poll(&fd, 1, 2000) > 0)
		if (imsipsec_event_dispatch(ev, see_fallback, &n))
			break;
	return n;
}

static int see_no_pair(const struct imsipsec_offload_pair *pair, void *data)
{
	*(unsigned int *)data += !strcmp(pair->interface, "lo") && pair->alg && pair->ealg &&
				 pair->mode == IMSIPSEC_OFFLOAD_PACKET && pair->reason;
	return 0;
}

/* The interfaces of this network namespace can do nothing. */
static void test_offload(void)
{
	const struct imsipsec_config *got;
	struct imsipsec_events *ev;
	struct offloaded o;
	unsigned int n = 0;

	o = offloaded((struct imsipsec_endpoint_params){ 0 });
	/* what it is to do means nothing without; with ESP's GSO there, a bundle has that */
	ok(o.endpoint && !o.err && o.e.hw_offload == IMSIPSEC_OFFLOAD_OFF &&
	   !*o.e.hw_offload_interface && !o.e.hw_offload_required &&
	   !o.e.hw_offload_bundles && no_fallbacks(&o.e) && !*o.e.hw_offload_text &&
	   o.b.offload <= IMSIPSEC_OFFLOAD_SOFTWARE && !o.b.offload_reason &&
	   !*o.b.offload_interface, "offload: no interface: %s", imsipsec_strerror(h));
	imsipsec_endpoint_delete(h, o.endpoint, true);

	ok(!imsipsec_event_open(&ev), "offload: events: open");
	o = offloaded((struct imsipsec_endpoint_params){ .hw_offload_interface = "nosuch0" });
	ok(o.endpoint && !o.err && !strcmp(o.e.hw_offload_interface, "nosuch0") &&
	   !o.e.hw_offload_bundles &&
	   o.e.fallbacks[IMSIPSEC_OFFLOAD_REASON_NO_INTERFACE] == 1 &&
	   o.b.offload <= IMSIPSEC_OFFLOAD_SOFTWARE &&
	   o.b.offload_reason == IMSIPSEC_OFFLOAD_REASON_NO_INTERFACE &&
	   !*o.b.offload_interface, "offload: an interface that is not there: %s",
	   imsipsec_strerror(h));
	ok(fallbacks_told(ev) == 1, "offload: an event tells of the fallback");
	imsipsec_event_close(ev);
	imsipsec_endpoint_delete(h, o.endpoint, true);

	o = offloaded((struct imsipsec_endpoint_params){
		.hw_offload_interface = "nosuch0", .hw_offload = IMSIPSEC_OFFLOAD_PACKET,
		.hw_offload_required = IMSIPSEC_CHOICE_ON });
	ok(o.endpoint && o.err < 0 && o.e.hw_offload == IMSIPSEC_OFFLOAD_PACKET &&
	   o.e.hw_offload_required && !o.e.bundles, "offload: required, the bundle is refused: %s",
	   imsipsec_strerror(h));
	imsipsec_endpoint_delete(h, o.endpoint, true);

	ok(!set_offload("nosuch123456789", IMSIPSEC_OFFLOAD_PACKET, true) &&
	   !imsipsec_config_get(h, &got) &&
	   !strcmp(got->hw_offload_interface, "nosuch123456789") &&
	   got->hw_offload == IMSIPSEC_OFFLOAD_PACKET && got->hw_offload_required,
	   "offload: config: set and get, a name as long as may be: %s", imsipsec_strerror(h));
	o = offloaded((struct imsipsec_endpoint_params){
		.hw_offload_interface = "", .hw_offload = IMSIPSEC_OFFLOAD_OFF,
		.hw_offload_required = IMSIPSEC_CHOICE_OFF });
	ok(o.endpoint && !o.err && !*o.e.hw_offload_interface &&
	   o.e.hw_offload == IMSIPSEC_OFFLOAD_OFF && !o.e.hw_offload_required &&
	   o.b.offload <= IMSIPSEC_OFFLOAD_SOFTWARE && !o.b.offload_reason,
	   "offload: off, though configured: %s", imsipsec_strerror(h));
	imsipsec_endpoint_delete(h, o.endpoint, true);
	o = offloaded((struct imsipsec_endpoint_params){ 0 });
	ok(o.endpoint && o.err < 0 && !strcmp(o.e.hw_offload_interface, "nosuch123456789") &&
	   o.e.hw_offload == IMSIPSEC_OFFLOAD_PACKET && o.e.hw_offload_required,
	   "offload: as configured: %s", imsipsec_strerror(h));
	imsipsec_endpoint_delete(h, o.endpoint, true);
	ok(!set_offload("", IMSIPSEC_OFFLOAD_CRYPTO, false), "offload: config: as before");

	ok(!imsipsec_offload_dump(h, "lo", IMSIPSEC_OFFLOAD_PACKET, see_no_pair, &n) && n == 9,
	   "offload: lo can do none of %u pairs: %s", n, imsipsec_strerror(h));
	ok(imsipsec_offload_dump(h, "nosuch0", 0, see_no_pair, &n) == -ENODEV && n == 9,
	   "offload: ENODEV: %s", imsipsec_strerror(h));
	ok(imsipsec_offload_dump(h, "lo", IMSIPSEC_OFFLOAD_SOFTWARE, see_no_pair, &n) < 0,
	   "offload: what no interface does is refused: %s", imsipsec_strerror(h));
}

static void test_bundle_algorithms(void)
{
	const struct imsipsec_bundle *b;
	struct imsipsec_pair algs[9];
	size_t i, n = 9;
	int err;

	ok(!imsipsec_pairs_get(h, algs, &n) && n >= 3, "bundle: the kernel has %zu pairs", n);
	for (i = 0; i < n; i++) {
		err = make_bundle_with(algs[i].alg, algs[i].ealg, NULL, 0, &b);
		ok(!err && b->alg == algs[i].alg && b->ealg == algs[i].ealg &&
		   !imsipsec_bundle_delete(h, b->id, 0), "bundle: %s with %s",
		   imsipsec_alg_name(algs[i].alg), imsipsec_ealg_name(algs[i].ealg));
	}

	set_algorithms((struct imsipsec_config){ .allowed_algorithms = "hmac-sha-1-96=null" });
	ok(make_bundle_with(IMSIPSEC_ALG_HMAC_MD5_96, IMSIPSEC_EALG_NULL, NULL, 0, &b) ==
	   -EOPNOTSUPP, "bundle: EOPNOTSUPP, not allowed: %s", imsipsec_strerror(h));
	ok(!make_bundle_with(IMSIPSEC_ALG_HMAC_MD5_96, IMSIPSEC_EALG_NULL, "null", 0, &b) &&
	   b->alg == IMSIPSEC_ALG_HMAC_MD5_96 && !imsipsec_bundle_delete(h, b->id, 0),
	   "bundle: allowed by a list of its own");
	ok(make_bundle_with(IMSIPSEC_ALG_HMAC_SHA_1_96, IMSIPSEC_EALG_NULL, "hmac-md5-96", 0, &b) ==
	   -EOPNOTSUPP, "bundle: EOPNOTSUPP, not in its own list: %s", imsipsec_strerror(h));
	ok(make_bundle_with(IMSIPSEC_ALG_HMAC_MD5_96, IMSIPSEC_EALG_NULL, "null,foo", 0, &b) ==
	   -EINVAL && strstr(imsipsec_strerror(h), "allowed-algorithms"),
	   "bundle: EINVAL, its list is no list: %s", imsipsec_strerror(h));
	ok(make_bundle_with(IMSIPSEC_ALG_HMAC_MD5_96, IMSIPSEC_EALG_NULL, "", 0, &b) == -EINVAL,
	   "bundle: EINVAL, its list is empty: %s", imsipsec_strerror(h));
	ok(make_bundle_with(IMSIPSEC_ALG_HMAC_MD5_96, IMSIPSEC_EALG_AES_GCM, NULL, 0, &b) ==
	   -EINVAL, "bundle: EINVAL, no pair: %s", imsipsec_strerror(h));
	set_algorithms((struct imsipsec_config){ 0 });
}

static int count_bundle(const struct imsipsec_bundle *b, void *data)
{
	(void)b;
	++*(unsigned int *)data;
	return 0;
}

/* How many bundles there are of user @n */
static unsigned int claimed(unsigned int n)
{
	unsigned int found = 0;

	return imsipsec_bundle_claim(h, &n, sizeof(n), count_bundle, &found) ? UINT32_MAX : found;
}

static void test_cookie(void)
{
	const unsigned int n = 60;
	struct imsipsec_bundle_params p = params_of(&n, 1000);
	const struct imsipsec_bundle *b;
	struct imsipsec_stats before;
	const struct imsipsec_stats *stats;
	struct imsipsec_bundle first;

	p.cookie = 1ULL << 63;
	if (!ok(!imsipsec_stats_get(h, &stats) && stats->events, "cookie: stats: %s",
		imsipsec_strerror(h)))
		return;
	before = *stats;
	ok(!imsipsec_bundle_new(h, &p, &b), "cookie: new: %s", imsipsec_strerror(h));
	first = *b;
	ok(!imsipsec_bundle_new(h, &p, &b) && b->id == first.id && b->spi_pc == first.spi_pc &&
	   b->spi_ps == first.spi_ps && b->port_pc == first.port_pc && claimed(n) == 1 &&
	   !imsipsec_stats_get(h, &stats) && stats->created == before.created + 1 &&
	   stats->events == before.events + 1 && stats->bundles == before.bundles + 1 &&
	   stats->spis_used == before.spis_used + 2,
	   "cookie: the answer was lost: the same again, and nothing made: %s",
	   imsipsec_strerror(h));
	p.ik[15] ^= 1;
	ok(imsipsec_bundle_new(h, &p, &b) == -EEXIST && claimed(n) == 1,
	   "cookie: it came with another key: %s", imsipsec_strerror(h));
	p.ik[15] ^= 1;
	p.spi_us++;
	ok(imsipsec_bundle_new(h, &p, &b) == -EEXIST && claimed(n) == 1,
	   "cookie: it came with another SPI: %s", imsipsec_strerror(h));
	p.spi_us--;
	ok(!imsipsec_bundle_confirm(h, first.id, 60000, 0, 0) && !imsipsec_bundle_new(h, &p, &b) &&
	   b->id == first.id && b->state == IMSIPSEC_STATE_ESTABLISHED,
	   "cookie: confirmed meanwhile, the same again");
	p.cookie++;
	p.spi_uc = 2000;
	p.spi_us = 2001;
	ok(!imsipsec_bundle_new(h, &p, &b) && b->id != first.id && claimed(n) == 2,
	   "cookie: another one: %s", imsipsec_strerror(h));
	p.cookie = 0;
	ok(!imsipsec_bundle_new(h, &p, &b) && claimed(n) == 2 && b->id != first.id,
	   "cookie: none: a new challenge, whose SPIs are those of the last: %s",
	   imsipsec_strerror(h));
	p.cookie = (1ULL << 63) + 1;
	ok(!imsipsec_bundle_flush(h, NULL, 0, NULL) && !claimed(n) &&
	   !imsipsec_bundle_new(h, &p, &b) && claimed(n) == 1,
	   "cookie: the bundle has gone, another one is made: %s", imsipsec_strerror(h));
	imsipsec_bundle_delete(h, b->id, 0);
}

/* A bundle of user 61's, its REGISTER being said to have come so */
static uint32_t new_from(uint32_t spi, bool began_clear, uint32_t over)
{
	const unsigned int n = 61;
	struct imsipsec_bundle_params p = params_of(&n, spi);
	const struct imsipsec_bundle *b;

	p.began_clear = began_clear;
	p.over = over;
	return imsipsec_bundle_new(h, &p, &b) ? 0 : b->id;
}

static enum imsipsec_state state_of(uint32_t id)
{
	const struct imsipsec_bundle *b;

	return imsipsec_bundle_get(h, id, &b) ? 0 : b->state;
}

/* What imsipsec_bundle_new() was told of the REGISTER, the 200 OK need not tell. */
static void test_confirm(void)
{
	const struct imsipsec_bundle *b;
	uint32_t x, y, z;

	x = new_from(1000, true, 0);
	ok(x && !imsipsec_bundle_confirm(h, x, 600000, 0, 0) && state_of(x) == IMSIPSEC_STATE_ACTIVE,
	   "CONFIRM: the REGISTER came in clear: %s", imsipsec_strerror(h));
	y = new_from(2000, false, 0);
	imsipsec_bundle_confirm(h, y, 600000, 0, 0);
	z = new_from(3000, false, y);
	ok(z && !imsipsec_bundle_confirm(h, z, 600000, 0, 0) && !state_of(x) &&
	   state_of(y) == IMSIPSEC_STATE_ESTABLISHED && state_of(z) == IMSIPSEC_STATE_ESTABLISHED,
	   "CONFIRM: it came over one that was not sent over: %s", imsipsec_strerror(h));
	x = new_from(4000, false, z);
	ok(x && !imsipsec_bundle_confirm(h, x, 600000, 0, y) && state_of(y) && !state_of(z),
	   "CONFIRM: the 200 OK tells another one: %s", imsipsec_strerror(h));
	z = new_from(5000, false, x);
	imsipsec_bundle_delete(h, x, 0);
	ok(z && !imsipsec_bundle_confirm(h, z, 600000, 0, 0) && state_of(y) && state_of(z) &&
	   !imsipsec_bundle_tx(h, z, &b) && b->id == y,
	   "CONFIRM: that one has gone: the one that was sent over: %s", imsipsec_strerror(h));
	x = new_from(6000, true, 0);
	ok(x && !imsipsec_bundle_confirm(h, x, 600000, IMSIPSEC_OLDER_KEEP, 0) && state_of(y) &&
	   state_of(x) == IMSIPSEC_STATE_ESTABLISHED,
	   "CONFIRM: the 200 OK tells to keep what a REGISTER in clear leaves out: %s",
	   imsipsec_strerror(h));
	ok(!new_from(7000, true, x), "CONFIRM: in clear, and over a bundle: %s", imsipsec_strerror(h));
	y = new_set(62, 1000, false).id;
	ok(!new_from(7000, false, y), "CONFIRM: over another registration's: %s", imsipsec_strerror(h));
	imsipsec_bundle_delete(h, y, 0);
	imsipsec_bundle_flush(h, NULL, 0, NULL);
}

static int see_nothing(const struct imsipsec_bundle *b, void *data)
{
	(void)b;
	++*(unsigned int *)data;
	return 0;
}

/* Does what the kernel answers get to the handle? */
static void let_through(bool on)
{
	struct sock_filter drop = BPF_STMT(BPF_RET | BPF_K, 0);
	const struct sock_fprog all = { .len = 1, .filter = &drop };

	setsockopt(imsipsec_fd(h), SOL_SOCKET, on ? SO_DETACH_FILTER : SO_ATTACH_FILTER, &all, sizeof(all));
}

static void test_timeout(void)
{
	const struct imsipsec_bundle *b;
	const unsigned int some = 12;
	unsigned int n = 0, i;
	uint32_t id;

	id = new_set(63, 1000, false).id;
	ok(id && !imsipsec_set_timeout(h, 200), "timeout: set: %s", imsipsec_strerror(h));
	let_through(false);
	ok(imsipsec_bundle_get(h, id, &b) == -ETIMEDOUT && imsipsec_bundle_find_spi(h, 999999, &b) == -ETIMEDOUT,
	   "timeout: no answer: %s", imsipsec_strerror(h));
	let_through(true);
	ok(!imsipsec_bundle_get(h, id, &b) && b->id == id, "timeout: the handle goes on: %s",
	   imsipsec_strerror(h));
	for (i = 0; i < some; i++)
		new_set(70 + i, 1000, false);
	let_through(false);
	ok(imsipsec_bundle_dump(h, NULL, see_nothing, &n) == -ETIMEDOUT && !n,
	   "timeout: of a dump: %s", imsipsec_strerror(h));
	let_through(true);
	ok(!imsipsec_bundle_dump(h, NULL, see_nothing, &n) && n == some + 1,
	   "timeout: another dump has all %u", some + 1);
	ok(!imsipsec_set_timeout(h, 0), "timeout: for ever again");
	imsipsec_bundle_flush(h, NULL, 0, NULL);
}

static uint32_t flush(struct imsipsec_bundle_filter filter, uint64_t linger)
{
	uint32_t count;

	return imsipsec_bundle_flush(h, &filter, linger, &count) ? UINT32_MAX : count;
}

static unsigned int dumped(struct imsipsec_bundle_filter filter)
{
	unsigned int n = 0;

	return imsipsec_bundle_dump(h, &filter, count_bundle, &n) ? UINT32_MAX : n;
}

static void test_flush(void)
{
	const struct imsipsec_stats *stats;
	const struct imsipsec_bundle *b;
	uint32_t ids[10], count = 7;
	unsigned int i, five = 5;
	uint64_t deleted;

	for (i = 0; i < 10; i++)
		ids[i] = make_bundle(i, &b) ? 0 : b->id;
	for (i = 0; i < 4; i++)
		imsipsec_bundle_confirm(h, ids[i], 60000, 0, 0);
	ok(ids[9] && dumped((struct imsipsec_bundle_filter){ .older_than = ids[4] }) == 4 &&
	   dumped((struct imsipsec_bundle_filter){ .older_than = ids[0] }) == 0 &&
	   dumped((struct imsipsec_bundle_filter){ .older_than = ids[9] + 1 }) == 10 &&
	   dumped((struct imsipsec_bundle_filter){
		.older_than = ids[4], .state = IMSIPSEC_STATE_TEMPORARY }) == 0,
	   "flush: dump: older_than");
	ok(claimed(5) == 1 && claimed(99) == 0, "claim: what there is of a subscriber");
	ok(!imsipsec_bundle_get(h, ids[5], &b) && b->last_rx_ms == IMSIPSEC_NEVER &&
	   b->last_tx_ms == IMSIPSEC_NEVER && !b->rx_bad_icv && !b->rx_replayed,
	   "bundle: nothing has come or gone");
	ok(!imsipsec_stats_get(h, &stats) && stats->bundles == 10 && stats->pending == 6 &&
	   stats->registrations == 10 && stats->spis_used == 20 && stats->endpoints == 1 &&
	   !stats->nat_bundles && stats->spis == 600001, "stats: what there is");
	deleted = stats->deleted;
	ok(flush((struct imsipsec_bundle_filter){ .endpoint = endpoint + 1000 }, 0) == 0 &&
	   flush((struct imsipsec_bundle_filter){ .owner = "nobody", .owner_len = 6 }, 0) == 0 &&
	   dumped((struct imsipsec_bundle_filter){ 0 }) == 10, "flush: none");
	ok(flush((struct imsipsec_bundle_filter){ .owner = &five, .owner_len = 4 }, 0) == 1 &&
	   imsipsec_bundle_get(h, ids[5], &b) == -ENOENT && !claimed(5), "flush: an owner");
	ok(flush((struct imsipsec_bundle_filter){
		.state = IMSIPSEC_STATE_ESTABLISHED, .older_than = ids[3] }, 60000) == 3 &&
	   dumped((struct imsipsec_bundle_filter){ .state = IMSIPSEC_STATE_OLD }) == 3 &&
	   dumped((struct imsipsec_bundle_filter){ .state = IMSIPSEC_STATE_ESTABLISHED }) == 1,
	   "flush: those that were made before another one, with linger");
	ok(flush((struct imsipsec_bundle_filter){
		.ue_address = params_of(&(unsigned int){ 6 }, 0).ue_address }, 0) == 1 &&
	   imsipsec_bundle_get(h, ids[6], &b) == -ENOENT, "flush: a UE");
	ok(!imsipsec_bundle_flush(h, NULL, 0, &count) && count == 8 &&
	   dumped((struct imsipsec_bundle_filter){ 0 }) == 0 && !imsipsec_stats_get(h, &stats) &&
	   !stats->bundles && !stats->registrations && !stats->spis_used && !stats->pending &&
	   stats->deleted == deleted + 10, "flush: all");
}

struct traced {
	struct imsipsec_trace last;
	unsigned int refusals, drops, wrong;
	uint64_t ago;
};

static int see_trace(const struct imsipsec_trace *t, void *data)
{
	struct traced *traced = data;

	traced->refusals += t->kind == IMSIPSEC_TRACE_KIND_REFUSAL;
	traced->drops += t->kind == IMSIPSEC_TRACE_KIND_DROP;
	/* as many as fit into one datagram are of one moment */
	traced->wrong += traced->refusals + traced->drops > 1 && t->ago_ms > traced->ago;
	traced->ago = t->ago_ms;
	traced->last = *t;
	return 0;
}

static struct traced trace_of(const struct imsipsec_addr *ue)
{
	struct traced traced = { .refusals = 0 };

	if (imsipsec_trace_dump(h, ue, see_trace, &traced))
		traced.wrong = UINT32_MAX;
	return traced;
}

/* Three datagrams from @from to @to, both of the loopback device */
static bool send_three(uint16_t from, uint16_t to)
{
	struct sockaddr_in addr = {
		.sin_family = AF_INET, .sin_port = htons(from),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK),
	};
	int fd = socket(AF_INET, SOCK_DGRAM, 0), sent = 0, i;
	bool bound = !bind(fd, (struct sockaddr *)&addr, sizeof(addr));

	addr.sin_port = htons(to);
	for (i = 0; i < 3; i++)
		sent += sendto(fd, "x", 1, 0, (struct sockaddr *)&addr, sizeof(addr)) == 1;
	close(fd);
	return bound && sent == 3;
}

static void test_trace(void)
{
	struct imsipsec_endpoint_params at = { 0 };
	const unsigned int n = 70, other = 71;
	struct imsipsec_bundle_params p = params_of(&n, 1000), q = params_of(&other, 3000);
	const struct imsipsec_stats *stats;
	const struct imsipsec_endpoint *e;
	const struct imsipsec_bundle *b;
	char long_owner[IMSIPSEC_OWNER_MAX];
	struct imsipsec_addr loopback;
	struct traced t;
	uint64_t refused;

	imsipsec_addr_parse(&p.ue_address, "10.77.0.1");
	q.ue_address = p.ue_address;
	t = trace_of(&p.ue_address);
	if (!ok(!t.refusals && !t.drops && !t.wrong && !imsipsec_stats_get(h, &stats),
		"trace: nothing of that UE: %s", imsipsec_strerror(h)))
		return;
	refused = stats->refused;
	ok(!imsipsec_bundle_new(h, &p, &b) && !imsipsec_bundle_confirm(h, b->id, 600000, 0, 0) &&
	   imsipsec_bundle_new(h, &q, NULL) == -EADDRINUSE, "trace: EADDRINUSE");
	t = trace_of(&p.ue_address);
	ok(t.refusals == 1 && !t.drops && t.last.count == 1 && t.last.endpoint == endpoint &&
	   t.last.error == EADDRINUSE && t.last.owner_len == sizeof(other) &&
	   !memcmp(t.last.owner, &other, sizeof(other)) && t.last.contact_len == 1 &&
	   *t.last.contact == 'c' && t.last.port_uc == 6301 && t.last.port_us == 6300 &&
	   t.last.spi_uc == 3000 && t.last.spi_us == 3001 && *t.last.text && t.last.ago_ms < 60000 &&
	   t.last.ue_address.in.s_addr == p.ue_address.in.s_addr, "trace: a refusal: %s",
	   t.last.text);
	memset(long_owner, 'o', sizeof(long_owner));
	q.owner = long_owner;
	q.owner_len = sizeof(long_owner);
	q.endpoint = endpoint + 1000;
	ok(imsipsec_bundle_new(h, &q, NULL) == -ENOENT, "trace: ENOENT");
	t = trace_of(&p.ue_address);
	ok(t.refusals == 2 && !t.wrong && t.last.error == ENOENT && t.last.owner_len == 64 &&
	   !memcmp(t.last.owner, long_owner, 64), "trace: the last one is the last, a name is cut");
	ok(!imsipsec_stats_get(h, &stats) && stats->refused == refused + 2, "stats: refused");
	imsipsec_bundle_flush(h, NULL, 0, NULL);

	imsipsec_addr_parse(&loopback, "127.0.0.1");
	at.address = loopback;
	if (!ok(!system("ip link set lo up") && !imsipsec_endpoint_add(h, &at, &e),
		"trace: endpoint: %s", imsipsec_strerror(h)))
		return;
	ok(send_three(40001, e->port_ps), "trace: in clear to port_ps");
	t = trace_of(&loopback);
	ok(t.drops == 1 && !t.refusals && t.last.count == 3 && t.last.endpoint == e->id &&
	   t.last.drop == IMSIPSEC_DROP_PLAINTEXT_IN && t.last.protocol == IPPROTO_UDP &&
	   t.last.source.in.s_addr == htonl(INADDR_LOOPBACK) && t.last.source_port == 40001 &&
	   t.last.destination.in.s_addr == htonl(INADDR_LOOPBACK) &&
	   t.last.destination_port == e->port_ps && !t.last.spi, "trace: three drops of a kind");
	imsipsec_endpoint_delete(h, e->id, false);
	t = trace_of(NULL);
	ok(t.drops == 1 && t.refusals >= 2 && !t.wrong && t.last.kind == IMSIPSEC_TRACE_KIND_DROP,
	   "trace: of all, the oldest first");
}

/* ---- Events that get lost ------------------------------------------------ */

/*
 * What the library reads events with, in its place by the linker: it loses some of them,
 * as the kernel does where a socket's buffer is full, or where it has no memory.
 */
int __wrap_imsipsec_nl_recv(int fd, void *buf, size_t size, int flags, size_t *len);
int __real_imsipsec_nl_recv(int fd, void *buf, size_t size, int flags, size_t *len);

static uint64_t random_state = 0x33203;

static uint32_t random_below(uint32_t n)
{
	random_state ^= random_state >> 12;
	random_state ^= random_state << 25;
	random_state ^= random_state >> 27;
	return (uint32_t)((random_state * 2685821657736338717u) >> 32) % n;
}

static struct {
	enum { LOSE_NONE, LOSE_NTH, LOSE_RUNS, LOSE_FULL } how;
	unsigned int nth, n, left, lost;
} loss;

/* Is the one that was just read lost? */
static bool loses(void)
{
	switch (loss.how) {
	case LOSE_NTH:
		return ++loss.n % loss.nth == 0;
	case LOSE_RUNS:
		if (!loss.left && !random_below(20))
			loss.left = 1 + random_below(60);
		break;
	default:
		break;
	}
	if (!loss.left)
		return false;
	loss.left--;
	return true;
}

int __wrap_imsipsec_nl_recv(int fd, void *buf, size_t size, int flags, size_t *len)
{
	int err;

	/* it is only events that it does not wait for */
	if (!(flags & MSG_DONTWAIT))
		return __real_imsipsec_nl_recv(fd, buf, size, flags, len);
	if (loss.how == LOSE_FULL && !random_below(10)) {
		/* a full buffer takes nothing until it has been emptied */
		while (!(err = __real_imsipsec_nl_recv(fd, buf, size, flags, len)))
			loss.lost++;
		return err == -EAGAIN ? -ENOBUFS : err;
	}
	do {
		err = __real_imsipsec_nl_recv(fd, buf, size, flags, len);
	} while (!err && loses() && ++loss.lost);
	return err;
}

/* Between the process that makes and deletes bundles, and the one with the cache */
struct churn {
	volatile bool pause, paused, stop;
	volatile unsigned int steps;
};

#define USERS	40

/* A step in the life of a bundle of a user, chosen at random */
static void churn_once(uint32_t *ids)
{
	const unsigned int user = random_below(USERS);
	static uint32_t spi = 1000;
	struct imsipsec_bundle_params p;
	const unsigned int owner = 10000 + user;
	const struct imsipsec_bundle *b;
	uint32_t *id = &ids[user];

	switch (random_below(5)) {
	case 0:
		imsipsec_bundle_delete(h, *id, 0);
		return;
	case 1:
		imsipsec_bundle_delete(h, *id, random_below(2) ? 100 : 60000);
		return;
	case 2:
		imsipsec_bundle_confirm(h, *id, 60000, IMSIPSEC_OLDER_KEEP, 0);
		return;
	case 3:
		imsipsec_bundle_confirm(h, *id, 100 + random_below(60000), IMSIPSEC_OLDER_DROP, 0);
		return;
	default:
		p = params_of(&owner, spi += 2);
		if (!imsipsec_bundle_new(h, &p, &b))
			*id = b->id;
	}
}

static void churn(struct churn *c)
{
	uint32_t ids[USERS] = { 0 };

	imsipsec_open(&h);
	random_state ^= 0x5555;
	while (!c->stop) {
		c->paused = c->pause;
		if (c->paused) {
			sched_yield();
			continue;
		}
		churn_once(ids);
		c->steps++;
	}
	imsipsec_close(h);
}

struct contents {
	struct imsipsec_bundle b[4 * USERS + 8];
	size_t n;
};

static int add_content(const struct imsipsec_bundle *b, void *data)
{
	struct contents *c = data;

	if (c->n == sizeof(c->b) / sizeof(c->b[0]))
		return -ENOSPC;
	c->b[c->n++] = *b;
	return 0;
}

static void add_cached(const struct imsipsec_bundle *b, void *data)
{
	add_content(b, data);
}

static int by_id(const void *a, const void *b)
{
	const struct imsipsec_bundle *x = a, *y = b;

	return x->id < y->id ? -1 : x->id > y->id;
}

static bool same_bundle(const struct imsipsec_bundle *a, const struct imsipsec_bundle *b)
{
	return a->id == b->id && a->state == b->state && a->mark == b->mark &&
	       a->registration == b->registration && a->owner_len == b->owner_len &&
	       !memcmp(a->owner, b->owner, a->owner_len) && a->port_pc == b->port_pc &&
	       a->spi_pc == b->spi_pc && a->spi_ps == b->spi_ps && a->spi_uc == b->spi_uc &&
	       a->endpoint == b->endpoint;
}

static bool is_what_the_kernel_has(struct imsipsec_cache *cache)
{
	static struct contents kernel, cached;
	size_t i;

	kernel.n = cached.n = 0;
	if (imsipsec_bundle_dump(h, NULL, add_content, &kernel))
		return false;
	imsipsec_cache_walk(cache, add_cached, &cached);
	qsort(kernel.b, kernel.n, sizeof(kernel.b[0]), by_id);
	qsort(cached.b, cached.n, sizeof(cached.b[0]), by_id);
	for (i = 0; i < kernel.n && i < cached.n; i++)
		if (!same_bundle(&kernel.b[i], &cached.b[i]))
			break;
	if (i == kernel.n && i == cached.n)
		return true;
	printf("# %zu in the kernel, %zu in the cache, the %zu. differ\n", kernel.n, cached.n, i);
	return false;
}

static uint64_t last_event(void)
{
	const struct imsipsec_stats *stats;

	return imsipsec_stats_get(h, &stats) ? 0 : stats->events;
}

/*
 * Nothing is lost any more, and an event more comes: what went before it, if it was
 * lost, shows by a gap. Then the cache is what the kernel has, unless a bundle's time
 * has run out in between.
 */
static bool catches_up(struct imsipsec_cache *cache)
{
	const struct imsipsec_bundle *b;
	bool equal = false;
	uint64_t before;
	int tries;

	loss.how = LOSE_NONE;
	loss.left = 0;
	for (tries = 0; tries < 100 && !equal; tries++) {
		before = 0;
		if (!make_bundle(0, &b) && !imsipsec_bundle_delete(h, b->id, 0))
			before = last_event();
		if (!before || imsipsec_cache_dispatch(cache, NULL, NULL))
			return false;
		equal = is_what_the_kernel_has(cache);
		if (!equal && last_event() == before)
			return false;
	}
	return equal;
}

static void test_loss_of(const char *how, unsigned int nth)
{
	const int way = loss.how;
	struct churn *c = mmap(NULL, sizeof(*c), PROT_READ | PROT_WRITE,
			       MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	unsigned int i, wrong = 0, steps, failed = 0, owner;
	struct imsipsec_cache *cache;
	struct imsipsec_found found;
	pid_t pid;

	loss.how = LOSE_NONE;
	loss.lost = 0;
	loss.nth = nth;
	if (imsipsec_cache_open(&cache)) {
		ok(false, "loss: %s: cache: open", how);
		return;
	}
	fflush(stdout);
	pid = fork();
	if (!pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		churn(c);
		_exit(0);
	}
	for (i = 0; i < 25; i++) {
		loss.how = way;
		for (steps = c->steps; c->steps - steps < 40;) {
			failed += imsipsec_cache_dispatch(cache, NULL, NULL) != 0;
			/* which asks the kernel of one that may be in use by now */
			owner = 10000 + random_below(USERS);
			if (!imsipsec_tx(cache, &owner, sizeof(owner), "c", 1, &found))
				imsipsec_rx_mark(cache, found.bundle->mark, &found);
			sched_yield();
		}
		c->pause = true;
		while (!c->paused)
			sched_yield();
		wrong += !catches_up(cache);
		c->pause = false;
		while (c->paused)
			sched_yield();
	}
	c->stop = true;
	waitpid(pid, NULL, 0);
	ok(!wrong && !failed && loss.lost, "loss: %s: %u events lost in %u steps, the cache is what "
	   "the kernel has, each time", how, loss.lost, c->steps);
	imsipsec_cache_close(cache);
	imsipsec_bundle_flush(h, NULL, 0, NULL);
	munmap(c, sizeof(*c));
}

static void test_loss(void)
{
	loss.how = LOSE_NTH;
	test_loss_of("every second", 2);
	loss.how = LOSE_NTH;
	test_loss_of("every seventh", 7);
	loss.how = LOSE_RUNS;
	test_loss_of("runs of them", 0);
	loss.how = LOSE_FULL;
	test_loss_of("the buffer full", 0);
	loss.how = LOSE_NONE;
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

static int see_in_cache(const struct imsipsec_bundle *b, void *data)
{
	struct imsipsec_found found;

	return imsipsec_rx_mark(data, b->mark, &found) || found.bundle->id != b->id;
}

static void test_many(void)
{
	struct imsipsec_bundle_filter filter = { 0 };
	struct losses losses = { .in_order = true };
	struct imsipsec_events *ev, *small;
	struct imsipsec_cache *c;
	const struct imsipsec_bundle *b;
	unsigned int i, stop_at = 3;
	uint64_t seq = 0;
	uint32_t id = 0;
	int tiny = 1, err = 0;

	ok(!imsipsec_event_open(&ev) && !imsipsec_event_open(&small) && !imsipsec_cache_open(&c),
	   "events: open");
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

	ok(!imsipsec_bundle_dump(h, NULL, see_in_cache, c), "cache: each of %d, by events", BUNDLES);
	imsipsec_cache_close(c);
	ok(!imsipsec_cache_open(&c) && !imsipsec_bundle_dump(h, NULL, see_in_cache, c),
	   "cache: each of %d, by a dump", BUNDLES);

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
	ok(!imsipsec_cache_dispatch(c, NULL, NULL) && see_in_cache(b, c), "cache: all gone");
	imsipsec_cache_close(c);
	imsipsec_event_close(ev);
	imsipsec_event_close(small);
}

/* What a child does with the handles of its parent, which it has, too, and waits in it for */
static int calls_of_child(struct imsipsec_events *ev, struct imsipsec_cache *c, uint32_t id)
{
	const struct imsipsec_bundle *b;
	struct imsipsec_found found;
	uint64_t seq = 0;

	if (imsipsec_bundle_get(h, id, &b) != -ECHILD || imsipsec_rx_mark(c, 4, &found) != -ECHILD ||
	    imsipsec_event_dispatch(ev, last_seq, &seq) != -ECHILD || seq ||
	    imsipsec_cache_dispatch(c, NULL, NULL) != -ECHILD)
		return 1;
	imsipsec_event_close(ev);
	imsipsec_cache_close(c);
	imsipsec_close(h);
	if (imsipsec_open(&h) || imsipsec_bundle_get(h, id, &b) || b->id != id)
		return 2;
	imsipsec_close(h);
	return 0;
}

static void test_fork(void)
{
	const struct imsipsec_bundle *b = NULL;
	struct imsipsec_events *ev;
	struct imsipsec_cache *c;
	uint32_t first, second;
	uint64_t seq = 0;
	int status = -1;
	pid_t pid;

	if (imsipsec_event_open(&ev) || imsipsec_cache_open(&c) || make_bundle(1, &b)) {
		ok(false, "INPUT: fork: open");
		return;
	}
	first = b->id;
	make_bundle(2, &b);
	second = b->id;
	fflush(stdout);
	pid = fork();
	if (!pid)
		_exit(calls_of_child(ev, c, second));
	waitpid(pid, &status, 0);
	ok(WIFEXITED(status) && !WEXITSTATUS(status),
	   "INPUT: fork: ECHILD with handles of another process, its own one works (%d)", WEXITSTATUS(status));
	ok(!imsipsec_bundle_get(h, first, &b) && b->id == first && see_in_cache(b, c) == 0 &&
	   !imsipsec_event_dispatch(ev, last_seq, &seq) && seq,
	   "INPUT: fork: the child has closed them, and the process that opened them goes on");
	imsipsec_bundle_delete(h, first, 0);
	imsipsec_bundle_delete(h, second, 0);
	imsipsec_event_close(ev);
	imsipsec_cache_close(c);
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
	test_algorithms();
	test_endpoint();
	test_ports();
	test_trusted();
	test_guard();
	test_bundle();
	test_life();
	test_find();
	test_nat();
	test_offload();
	test_bundle_algorithms();
	test_cookie();
	test_confirm();
	test_timeout();
	test_flush();
	test_trace();
	test_loss();
	test_fork();
	test_many();
	test_eperm();
	imsipsec_close(h);
	return done();
}
