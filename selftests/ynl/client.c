// SPDX-License-Identifier: GPL-2.0-only
/*
 * client config|endpoint|bundle ADDRESS UE-ADDRESS: what a program does that is written with the
 * client which the kernel's generator makes of the netlink spec. It ends at the first thing that
 * is not as it should be, and says which.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ims_ipsec-user.h"
#include "ynl.h"

#define OWNER	"001010123456789@ims.example"
#define CONTACT	"urn:uuid:1"
#define LIST	"aes-gmac=null,hmac-sha-1-96=aes-cbc"

static struct ynl_sock *ys;
static struct in_addr address, ue;

static void __attribute__((format(printf, 1, 2), noreturn)) die(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vprintf(format, args);
	va_end(args);
	printf(": %d %s\n", ys ? (int)ys->err.code : 0, ys ? ys->err.msg : "");
	exit(1);
}

#define CHECK(x) do { if (!(x)) die("line %d: %s", __LINE__, #x); } while (0)

/* The last request was refused with this error and a text that has this in it */
static void refused(int error, const char *text)
{
	if ((int)ys->err.code != error || !strstr(ys->err.msg, text))
		die("error %d with \"%s\" was expected", error, text);
}

/* ---- Configuration ---- */

static struct ims_ipsec_config_get_rsp *config(void)
{
	struct ims_ipsec_config_get_rsp *c = ims_ipsec_config_get(ys);

	CHECK(c);
	return c;
}

/* An empty text is a length of 0 to the setter, which is not sent: it is made one by hand. */
static int set_list(const char *list)
{
	struct ims_ipsec_config_set_req *req = ims_ipsec_config_set_req_alloc();
	int err;

	ims_ipsec_config_set_req_set_allowed_algorithms(req, list);
	req->_present.allowed_algorithms_len = strlen(list) + 1;
	err = ims_ipsec_config_set(ys, req);
	ims_ipsec_config_set_req_free(req);
	return err;
}

static int set_interface(const char *name)
{
	struct ims_ipsec_config_set_req *req = ims_ipsec_config_set_req_alloc();
	int err;

	ims_ipsec_config_set_req_set_hw_offload_interface(req, name);
	req->_present.hw_offload_interface_len = strlen(name) + 1;
	ims_ipsec_config_set_req_set_hw_offload(req, IMS_IPSEC_OFFLOAD_SOFTWARE);
	err = ims_ipsec_config_set(ys, req);
	ims_ipsec_config_set_req_free(req);
	return err;
}

static int set_max_sets(unsigned int n)
{
	struct ims_ipsec_config_set_req *req = ims_ipsec_config_set_req_alloc();
	int err;

	ims_ipsec_config_set_req_set_max_sets(req, n);
	err = ims_ipsec_config_set(ys, req);
	ims_ipsec_config_set_req_free(req);
	return err;
}

static void test_config(void)
{
	char most[IMS_IPSEC_ALGORITHMS_MAX + 2];
	struct ims_ipsec_config_get_rsp *c;
	unsigned int i;

	c = config();
	CHECK(c->_present.min_spi && c->_present.hw_offload_required);
	CHECK(ntohl(c->min_spi) >= IMS_IPSEC_SPI_MIN && ntohl(c->min_spi) < ntohl(c->max_spi));
	CHECK(c->allowed_algorithms && !*c->allowed_algorithms);
	CHECK(c->hw_offload_interface && !*c->hw_offload_interface);
	CHECK(!strcmp(ims_ipsec_offload_str(c->hw_offload), "crypto"));
	ims_ipsec_config_get_rsp_free(c);

	/* text of every length that there can be */
	CHECK(!set_list(LIST) && !set_interface("nic0") && !set_max_sets(2));
	c = config();
	CHECK(!strcmp(c->allowed_algorithms, LIST) && c->max_sets == 2);
	CHECK(!strcmp(c->hw_offload_interface, "nic0"));
	CHECK(c->hw_offload == IMS_IPSEC_OFFLOAD_SOFTWARE);
	ims_ipsec_config_get_rsp_free(c);
	for (i = 0; i < IMS_IPSEC_ALGORITHMS_MAX; i++)
		most[i] = "aes-gcm "[i < 7 ? i : 7];
	most[IMS_IPSEC_ALGORITHMS_MAX] = '\0';
	CHECK(!set_list(most) && !set_interface("fifteen-letters"));
	c = config();
	CHECK(!strcmp(c->hw_offload_interface, "fifteen-letters"));
	ims_ipsec_config_get_rsp_free(c);
	CHECK(!set_list("") && !set_interface(""));
	c = config();
	CHECK(!*c->allowed_algorithms && !*c->hw_offload_interface);
	ims_ipsec_config_get_rsp_free(c);

	/* by the policy, and by the module */
	CHECK(set_max_sets(IMS_IPSEC_SETS_MAX + 1) < 0);
	refused(ERANGE, ".max-sets");
	most[IMS_IPSEC_ALGORITHMS_MAX] = ' ';
	most[IMS_IPSEC_ALGORITHMS_MAX + 1] = '\0';
	CHECK(set_list(most) < 0);
	refused(ERANGE, ".allowed-algorithms");
	CHECK(set_list("aes") < 0);
	refused(EINVAL, "is no algorithm");
	CHECK(set_interface("sixteen--letters") < 0);
	refused(ERANGE, ".hw-offload-interface");
	CHECK(set_interface("a/b") < 0);
	refused(EINVAL, "no interface can have this name");
}

/* ---- Endpoints ---- */

static struct ims_ipsec_endpoint_new_rsp *endpoint_new(__u16 port_ps, size_t address_len)
{
	struct ims_ipsec_endpoint_new_req *req = ims_ipsec_endpoint_new_req_alloc();
	struct ims_ipsec_endpoint_new_rsp *ep;
	__u16 *port_pc = calloc(2, sizeof(*port_pc));

	port_pc[0] = htons(7807);
	port_pc[1] = htons(7808);
	ims_ipsec_endpoint_new_req_set_address(req, &address, address_len);
	ims_ipsec_endpoint_new_req_set_port_ps(req, htons(port_ps));
	__ims_ipsec_endpoint_new_req_set_port_pc(req, port_pc, 2);
	ims_ipsec_endpoint_new_req_set_guard(req, IMS_IPSEC_GUARD_REJECT);
	ep = ims_ipsec_endpoint_new(ys, req);
	ims_ipsec_endpoint_new_req_free(req);
	return ep;
}

static int endpoint_del(__u32 id)
{
	struct ims_ipsec_endpoint_del_req *req = ims_ipsec_endpoint_del_req_alloc();
	int err;

	ims_ipsec_endpoint_del_req_set_id(req, id);
	err = ims_ipsec_endpoint_del(ys, req);
	ims_ipsec_endpoint_del_req_free(req);
	return err;
}

static void test_endpoint(void)
{
	struct ims_ipsec_endpoint_new_rsp *ep = endpoint_new(7777, sizeof(address));
	struct ims_ipsec_endpoint_get_req *req = ims_ipsec_endpoint_get_req_alloc();
	struct ims_ipsec_endpoint_get_list *list;
	struct ims_ipsec_endpoint_get_rsp *got;
	unsigned int n = 0;

	CHECK(ep && ep->id && ep->_present.address_len == sizeof(address));
	CHECK(!memcmp(ep->address, &address, sizeof(address)) && ntohs(ep->port_ps) == 7777);
	CHECK(ep->n_port_pc == 2 && ntohs(ep->port_pc[1]) == 7808);
	CHECK(ep->guard == IMS_IPSEC_GUARD_REJECT && !ep->n_hw_offload_fallback);

	ims_ipsec_endpoint_get_req_set_id(req, ep->id);
	got = ims_ipsec_endpoint_get(ys, req);
	CHECK(got && got->id == ep->id && got->n_port_pc == 2 && !got->drop_plaintext_in);
	ims_ipsec_endpoint_get_rsp_free(got);
	list = ims_ipsec_endpoint_get_dump(ys);
	CHECK(list);
	ynl_dump_foreach(list, one) {
		CHECK(one->id == ep->id);
		n++;
	}
	CHECK(n == 1);
	ims_ipsec_endpoint_get_list_free(list);

	CHECK(!endpoint_new(0, sizeof(address)));
	refused(ERANGE, ".port-ps");
	CHECK(!endpoint_new(7777, 3));
	refused(EINVAL, "address is neither 4 nor 16 bytes' (bad attribute: .address)");
	CHECK(endpoint_del(ep->id + 1) < 0);
	refused(ENOENT, "no endpoint has id ");
	CHECK(!endpoint_del(ep->id));
	CHECK(!ims_ipsec_endpoint_get(ys, req));
	refused(ENOENT, "no endpoint has id ");
	list = ims_ipsec_endpoint_get_dump(ys);
	CHECK(list && ynl_dump_empty(list));
	ims_ipsec_endpoint_get_list_free(list);
	ims_ipsec_endpoint_get_req_free(req);
	ims_ipsec_endpoint_new_rsp_free(ep);
}

/* ---- Bundles and events ---- */

static struct ims_ipsec_bundle_new_req *bundle_req(__u32 endpoint)
{
	struct ims_ipsec_bundle_new_req *req = ims_ipsec_bundle_new_req_alloc();

	ims_ipsec_bundle_new_req_set_endpoint(req, endpoint);
	ims_ipsec_bundle_new_req_set_owner(req, OWNER, strlen(OWNER));
	ims_ipsec_bundle_new_req_set_contact(req, CONTACT, strlen(CONTACT));
	ims_ipsec_bundle_new_req_set_ue_address(req, &ue, sizeof(ue));
	ims_ipsec_bundle_new_req_set_port_uc(req, htons(8034));
	ims_ipsec_bundle_new_req_set_port_us(req, htons(8904));
	ims_ipsec_bundle_new_req_set_spi_uc(req, htonl(1028536224));
	ims_ipsec_bundle_new_req_set_spi_us(req, htonl(455113919));
	ims_ipsec_bundle_new_req_set_mode(req, IMS_IPSEC_MODE_TRANS);
	ims_ipsec_bundle_new_req_set_auth_alg(req, IMS_IPSEC_AUTH_ALG_HMAC_SHA_1_96);
	ims_ipsec_bundle_new_req_set_enc_alg(req, IMS_IPSEC_ENC_ALG_AES_CBC);
	ims_ipsec_bundle_new_req_set_allowed_algorithms(req, "aes-cbc");
	ims_ipsec_bundle_new_req_set_ik(req, "integrity key 16", 16);
	ims_ipsec_bundle_new_req_set_ck(req, "ciphering key 16", 16);
	return req;
}

/* The next event, and that it is of this bundle */
static void event_is(struct ynl_sock *events, enum ims_ipsec_event_type type, __u32 bundle)
{
	struct ims_ipsec_event *e;
	struct pollfd wait = { .fd = ynl_socket_get_fd(events), .events = POLLIN };

	while (!ynl_has_ntf(events)) {
		CHECK(poll(&wait, 1, 60000) == 1);
		if (ynl_ntf_check(events))
			die("events: %s", events->err.msg);
	}
	e = (struct ims_ipsec_event *)ynl_ntf_dequeue(events);
	CHECK(e->cmd == IMS_IPSEC_CMD_EVENT && e->obj._present.seq && e->obj._present.bundle);
	if (e->obj.type != type)
		die("event %s instead of %s", ims_ipsec_event_type_str(e->obj.type),
		    ims_ipsec_event_type_str(type));
	CHECK(e->obj.bundle.id == bundle && ntohs(e->obj.bundle.port_uc) == 8034);
	CHECK(e->obj.bundle._present.owner_len == strlen(OWNER) &&
	      !memcmp(e->obj.bundle.owner, OWNER, strlen(OWNER)));
	ims_ipsec_event_free(e);
}

static void test_bundle_errors(__u32 endpoint)
{
	struct ims_ipsec_bundle_confirm_req *confirm = ims_ipsec_bundle_confirm_req_alloc();
	struct ims_ipsec_bundle_new_req *req = bundle_req(endpoint);
	struct ims_ipsec_trace_get_rsp_list *trace;
	unsigned int n = 0;

	ims_ipsec_bundle_new_req_set_spi_us(req, htonl(IMS_IPSEC_SPI_MIN - 1));
	CHECK(!ims_ipsec_bundle_new(ys, req));
	refused(ERANGE, "SPIs below 256 are reserved' (bad attribute: .spi-us)");
	ims_ipsec_bundle_new_req_set_spi_us(req, htonl(455113919));
	req->_present.ik_len = 15;
	CHECK(!ims_ipsec_bundle_new(ys, req));
	refused(ERANGE, ".ik");
	req->_present.ik_len = 0;
	CHECK(!ims_ipsec_bundle_new(ys, req));
	refused(EINVAL, "mandatory attribute is missing");
	CHECK(strstr(ys->err.msg, ".ik"));
	req->_present.ik_len = 16;
	req->endpoint++;
	CHECK(!ims_ipsec_bundle_new(ys, req));
	refused(ENOENT, "no endpoint has id ");
	ims_ipsec_bundle_new_req_free(req);

	ims_ipsec_bundle_confirm_req_set_id(confirm, 0xffffffff);
	ims_ipsec_bundle_confirm_req_set_lifetime(confirm, 1000);
	CHECK(ims_ipsec_bundle_confirm(ys, confirm) < 0);
	refused(ENOENT, "no bundle has id 4294967295");
	ims_ipsec_bundle_confirm_req_free(confirm);

	/* what was refused by the module is remembered */
	struct ims_ipsec_trace_get_req_dump *of = ims_ipsec_trace_get_req_dump_alloc();

	ims_ipsec_trace_get_req_dump_set_ue_address(of, &ue, sizeof(ue));
	trace = ims_ipsec_trace_get_dump(ys, of);
	CHECK(trace);
	ynl_dump_foreach(trace, one) {
		CHECK(one->kind == IMS_IPSEC_TRACE_KIND_REFUSAL && one->error == ENOENT);
		CHECK(!strncmp(one->text, "no endpoint has id ", 19));
		n++;
	}
	CHECK(n == 1);
	ims_ipsec_trace_get_rsp_list_free(trace);
	ims_ipsec_trace_get_req_dump_free(of);
}

static void test_other_dumps(void)
{
	struct ims_ipsec_offload_get_req_dump *req = ims_ipsec_offload_get_req_dump_alloc();
	struct ims_ipsec_algorithm_get_rsp_list *algorithms = ims_ipsec_algorithm_get_dump(ys);
	struct ims_ipsec_stats_get_rsp *stats = ims_ipsec_stats_get(ys);
	struct ims_ipsec_offload_get_rsp_list *offload;
	unsigned int n = 0;

	CHECK(algorithms && stats);
	ynl_dump_foreach(algorithms, one)
		n += one->rank && one->auth_alg && one->enc_alg;
	CHECK(n >= 9 && stats->bundles == 1 && stats->endpoints == 1 && stats->refused);
	ims_ipsec_offload_get_req_dump_set_interface(req, "lo");
	offload = ims_ipsec_offload_get_dump(ys, req);
	CHECK(offload && !ynl_dump_empty(offload));
	ynl_dump_foreach(offload, one)
		CHECK(!strcmp(one->interface, "lo") && one->_present.reason);
	ims_ipsec_offload_get_rsp_list_free(offload);
	ims_ipsec_offload_get_req_dump_free(req);
	ims_ipsec_algorithm_get_rsp_list_free(algorithms);
	ims_ipsec_stats_get_rsp_free(stats);
}

static void test_bundle(void)
{
	struct ims_ipsec_bundle_get_req_dump *filter = ims_ipsec_bundle_get_req_dump_alloc();
	struct ims_ipsec_bundle_confirm_req *confirm = ims_ipsec_bundle_confirm_req_alloc();
	struct ims_ipsec_bundle_flush_req *flush = ims_ipsec_bundle_flush_req_alloc();
	struct ims_ipsec_bundle_get_req *get = ims_ipsec_bundle_get_req_alloc();
	struct ims_ipsec_bundle_del_req *del = ims_ipsec_bundle_del_req_alloc();
	struct ynl_sock *events = ynl_sock_create(&ynl_ims_ipsec_family, NULL);
	struct ims_ipsec_endpoint_new_rsp *ep = endpoint_new(7777, sizeof(address));
	struct ims_ipsec_bundle_new_req *req = bundle_req(ep ? ep->id : 0);
	struct ims_ipsec_bundle_flush_rsp *flushed;
	struct ims_ipsec_bundle_get_list *list;
	struct ims_ipsec_bundle_get_rsp *got;
	struct ims_ipsec_bundle_new_rsp *b;
	unsigned int n = 0;

	CHECK(ep && events && !ynl_subscribe(events, IMS_IPSEC_MCGRP_EVENTS));
	b = ims_ipsec_bundle_new(ys, req);
	CHECK(b && b->id && b->endpoint == ep->id && b->state == IMS_IPSEC_STATE_TEMPORARY);
	CHECK(b->_present.owner_len == strlen(OWNER) && !memcmp(b->owner, OWNER, strlen(OWNER)));
	CHECK(ntohl(b->spi_uc) == 1028536224 && ntohl(b->spi_pc) >= IMS_IPSEC_SPI_MIN);
	CHECK(ntohs(b->port_ps) == 7777 && !memcmp(b->ue_address, &ue, sizeof(ue)));
	event_is(events, IMS_IPSEC_EVENT_TYPE_CREATED, b->id);

	ims_ipsec_bundle_confirm_req_set_id(confirm, b->id);
	ims_ipsec_bundle_confirm_req_set_lifetime(confirm, 600000);
	CHECK(!ims_ipsec_bundle_confirm(ys, confirm));
	event_is(events, IMS_IPSEC_EVENT_TYPE_CONFIRMED, b->id);
	ims_ipsec_bundle_get_req_set_id(get, b->id);
	got = ims_ipsec_bundle_get(ys, get);
	CHECK(got && !strcmp(ims_ipsec_state_str(got->state), "established"));
	CHECK(got->lifetime > 500000 && got->lifetime <= 600000 && !got->rx_packets);
	ims_ipsec_bundle_get_rsp_free(got);
	ims_ipsec_bundle_get_req_dump_set_owner(filter, OWNER, strlen(OWNER));
	ims_ipsec_bundle_get_req_dump_set_ue_address(filter, &ue, sizeof(ue));
	list = ims_ipsec_bundle_get_dump(ys, filter);
	CHECK(list);
	ynl_dump_foreach(list, one) {
		CHECK(one->id == b->id);
		n++;
	}
	CHECK(n == 1);
	ims_ipsec_bundle_get_list_free(list);

	test_bundle_errors(ep->id);
	test_other_dumps();

	ims_ipsec_bundle_del_req_set_id(del, b->id);
	CHECK(!ims_ipsec_bundle_del(ys, del));
	event_is(events, IMS_IPSEC_EVENT_TYPE_DELETED, b->id);
	list = ims_ipsec_bundle_get_dump(ys, filter);
	CHECK(list && ynl_dump_empty(list));
	CHECK(!ims_ipsec_bundle_get(ys, get));
	refused(ENOENT, "no bundle has id ");
	ims_ipsec_bundle_new_rsp_free(b);
	b = ims_ipsec_bundle_new(ys, req);
	CHECK(b);
	ims_ipsec_bundle_flush_req_set_contact(flush, CONTACT, strlen(CONTACT));
	flushed = ims_ipsec_bundle_flush(ys, flush);
	CHECK(flushed && flushed->flushed == 1);
	event_is(events, IMS_IPSEC_EVENT_TYPE_CREATED, b->id);
	event_is(events, IMS_IPSEC_EVENT_TYPE_DELETED, b->id);
	CHECK(!endpoint_del(ep->id));

	ims_ipsec_bundle_flush_rsp_free(flushed);
	ims_ipsec_bundle_flush_req_free(flush);
	ims_ipsec_bundle_get_list_free(list);
	ims_ipsec_bundle_get_req_dump_free(filter);
	ims_ipsec_bundle_get_req_free(get);
	ims_ipsec_bundle_del_req_free(del);
	ims_ipsec_bundle_confirm_req_free(confirm);
	ims_ipsec_bundle_new_req_free(req);
	ims_ipsec_bundle_new_rsp_free(b);
	ims_ipsec_endpoint_new_rsp_free(ep);
	ynl_sock_destroy(events);
}

int main(int argc, char **argv)
{
	static const struct {
		const char *name;
		void (*test)(void);
	} tests[] = {
		{ "config", test_config }, { "endpoint", test_endpoint }, { "bundle", test_bundle },
	};
	struct ynl_error error;
	unsigned int i;

	if (argc != 4 || inet_pton(AF_INET, argv[2], &address) != 1 ||
	    inet_pton(AF_INET, argv[3], &ue) != 1)
		die("usage: client config|endpoint|bundle ADDRESS UE-ADDRESS");
	ys = ynl_sock_create(&ynl_ims_ipsec_family, &error);
	if (!ys)
		die("%s", error.msg);
	for (i = 0; i < sizeof(tests) / sizeof(tests[0]); i++) {
		if (strcmp(argv[1], tests[i].name))
			continue;
		tests[i].test();
		ynl_sock_destroy(ys);
		printf("all is as it should be\n");
		return 0;
	}
	die("%s", argv[1]);
}
