// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * A program that uses all structs of the library, copies them, puts them into others and hands
 * them back; abi_test.py builds it with this header and with a newer one, whose structs have
 * grown, and runs it with this library and with a newer one. The kernel is the functions below,
 * which the library finds before those of libmnl and of libc.
 *
 * With NEWER the header is the newer one, with NEWER_LIBRARY the library is: only where both are
 * does what is new hold a value.
 */
#include <errno.h>
#include <stdalign.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <arpa/inet.h>

#include <libmnl/libmnl.h>
#include <linux/genetlink.h>
#include <linux/ims_ipsec.h>

#include "imsipsec.h"

#define FAMILY	0x1234
#define N_MAX	16

static int failed;

#define expect(condition) \
	do { \
		if (!(condition)) { \
			printf("line %d: %s\n", __LINE__, #condition); \
			failed = 1; \
		} \
	} while (0)

/* ---- The kernel ------------------------------------------------------ */

struct queue {
	alignas(8) char data[N_MAX][2048];
	size_t n, next;
};

static struct queue replies, events;
static uint32_t seq;	/* of the request */

static struct nlmsghdr *put(struct queue *q, uint16_t type, uint16_t flags)
{
	struct nlmsghdr *nlh = mnl_nlmsg_put_header(q->data[q->n++]);

	nlh->nlmsg_type = type;
	nlh->nlmsg_flags = flags;
	nlh->nlmsg_seq = q == &replies ? seq : 0;
	return nlh;
}

static struct nlmsghdr *put_genl(struct queue *q, uint16_t type, uint8_t cmd, uint16_t flags)
{
	struct nlmsghdr *nlh = put(q, type, flags);
	struct genlmsghdr *genl = mnl_nlmsg_put_extra_header(nlh, sizeof(*genl));

	genl->cmd = cmd;
	return nlh;
}

static void put_ack(void)
{
	struct nlmsghdr *nlh = put(&replies, NLMSG_ERROR, 0);

	memset(mnl_nlmsg_put_extra_header(nlh, sizeof(struct nlmsgerr)), 0, sizeof(struct nlmsgerr));
}

static void put_done(void)
{
	struct nlmsghdr *nlh = put(&replies, NLMSG_DONE, NLM_F_MULTI);

	memset(mnl_nlmsg_put_extra_header(nlh, 4), 0, 4);
}

static void put_family(void)
{
	struct nlmsghdr *nlh = put_genl(&replies, GENL_ID_CTRL, CTRL_CMD_NEWFAMILY, 0);
	struct nlattr *groups, *group;

	mnl_attr_put_u16(nlh, CTRL_ATTR_FAMILY_ID, FAMILY);
	mnl_attr_put_u32(nlh, CTRL_ATTR_VERSION, IMS_IPSEC_FAMILY_VERSION);
	groups = mnl_attr_nest_start(nlh, CTRL_ATTR_MCAST_GROUPS);
	group = mnl_attr_nest_start(nlh, 1);
	mnl_attr_put_strz(nlh, CTRL_ATTR_MCAST_GRP_NAME, IMS_IPSEC_MCGRP_EVENTS);
	mnl_attr_put_u32(nlh, CTRL_ATTR_MCAST_GRP_ID, 7);
	mnl_attr_nest_end(nlh, group);
	mnl_attr_nest_end(nlh, groups);
}

static void put_bundle(struct nlmsghdr *nlh, uint32_t id)
{
	static const unsigned char address[] = { 192, 0, 2, 1 }, ue[] = { 192, 0, 2, 7 };

	mnl_attr_put_u32(nlh, IMS_IPSEC_A_BUNDLE_ID, id);
	mnl_attr_put(nlh, IMS_IPSEC_A_BUNDLE_OWNER, 5, "alice");
	mnl_attr_put(nlh, IMS_IPSEC_A_BUNDLE_CONTACT, 1, "c");
	mnl_attr_put_u32(nlh, IMS_IPSEC_A_BUNDLE_STATE, IMS_IPSEC_STATE_ACTIVE);
	mnl_attr_put_u32(nlh, IMS_IPSEC_A_BUNDLE_MODE, IMS_IPSEC_MODE_TRANS);
	mnl_attr_put_u32(nlh, IMS_IPSEC_A_BUNDLE_AUTH_ALG, IMSIPSEC_ALG_HMAC_SHA_1_96);
	mnl_attr_put_u32(nlh, IMS_IPSEC_A_BUNDLE_ENC_ALG, IMSIPSEC_EALG_AES_CBC);
	mnl_attr_put(nlh, IMS_IPSEC_A_BUNDLE_ADDRESS, sizeof(address), address);
	mnl_attr_put(nlh, IMS_IPSEC_A_BUNDLE_UE_ADDRESS, sizeof(ue), ue);
	mnl_attr_put_u16(nlh, IMS_IPSEC_A_BUNDLE_PORT_PC, htons(5062));
	mnl_attr_put_u16(nlh, IMS_IPSEC_A_BUNDLE_PORT_PS, htons(5063));
	mnl_attr_put_u16(nlh, IMS_IPSEC_A_BUNDLE_PORT_UC, htons(6000));
	mnl_attr_put_u16(nlh, IMS_IPSEC_A_BUNDLE_PORT_US, htons(6001));
	mnl_attr_put_u32(nlh, IMS_IPSEC_A_BUNDLE_SPI_PC, htonl(1000));
	mnl_attr_put_u32(nlh, IMS_IPSEC_A_BUNDLE_SPI_PS, htonl(1001));
	mnl_attr_put_u32(nlh, IMS_IPSEC_A_BUNDLE_MARK, id);
	mnl_attr_put_u32(nlh, IMS_IPSEC_A_BUNDLE_REGISTRATION, id);
	mnl_attr_put(nlh, IMS_IPSEC_A_BUNDLE_TCP_ONLY, 0, NULL);
}

static void put_event(uint64_t number, uint32_t id)
{
	struct nlmsghdr *nlh = put_genl(&events, FAMILY, IMS_IPSEC_CMD_EVENT, 0);
	struct nlattr *nest;

	mnl_attr_put_u64(nlh, IMS_IPSEC_A_EVENT_SEQ, number);
	mnl_attr_put_u32(nlh, IMS_IPSEC_A_EVENT_TYPE, IMS_IPSEC_EVENT_TYPE_CREATED);
	mnl_attr_put_u32(nlh, IMS_IPSEC_A_EVENT_NEW_STATE, IMS_IPSEC_STATE_ACTIVE);
	nest = mnl_attr_nest_start(nlh, IMS_IPSEC_A_EVENT_BUNDLE);
	put_bundle(nlh, id);
	mnl_attr_nest_end(nlh, nest);
}

static void put_thing(struct nlmsghdr *nlh, uint8_t cmd, uint32_t n)
{
	switch (cmd) {
	case IMS_IPSEC_CMD_BUNDLE_GET:
	case IMS_IPSEC_CMD_BUNDLE_NEW:
		put_bundle(nlh, n);
		break;
	case IMS_IPSEC_CMD_CONFIG_GET:
		mnl_attr_put_u32(nlh, IMS_IPSEC_A_CONFIG_MARK_MASK, 0xff);
		mnl_attr_put_u8(nlh, IMS_IPSEC_A_CONFIG_HW_OFFLOAD_REQUIRED, 1);
		break;
	case IMS_IPSEC_CMD_ENDPOINT_GET:
	case IMS_IPSEC_CMD_ENDPOINT_NEW:
		mnl_attr_put_u32(nlh, IMS_IPSEC_A_ENDPOINT_ID, n);
		mnl_attr_put_strz(nlh, IMS_IPSEC_A_ENDPOINT_TRUSTED, "192.0.2.0/24%eth1");
		break;
	case IMS_IPSEC_CMD_STATS_GET:
		mnl_attr_put_u64(nlh, IMS_IPSEC_A_STATS_EVENTS, 0);
		mnl_attr_put_u64(nlh, IMS_IPSEC_A_STATS_NEARLY_FULL, n);
		break;
	case IMS_IPSEC_CMD_TRACE_GET:
		mnl_attr_put_u32(nlh, IMS_IPSEC_A_TRACE_KIND, IMS_IPSEC_TRACE_KIND_DROP);
		mnl_attr_put_u32(nlh, IMS_IPSEC_A_TRACE_SPI, htonl(n));
		break;
	case IMS_IPSEC_CMD_ALGORITHM_GET:
		mnl_attr_put_u32(nlh, IMS_IPSEC_A_ALGORITHM_AUTH_ALG, n);
		mnl_attr_put_u32(nlh, IMS_IPSEC_A_ALGORITHM_ENC_ALG, 1);
		mnl_attr_put_u32(nlh, IMS_IPSEC_A_ALGORITHM_RANK, n);
		mnl_attr_put_strz(nlh, IMS_IPSEC_A_ALGORITHM_DRIVER, "driver");
		break;
	case IMS_IPSEC_CMD_OFFLOAD_GET:
		mnl_attr_put_u32(nlh, IMS_IPSEC_A_OFFLOAD_AUTH_ALG, n);
		mnl_attr_put_u32(nlh, IMS_IPSEC_A_OFFLOAD_ENC_ALG, 1);
		mnl_attr_put_strz(nlh, IMS_IPSEC_A_OFFLOAD_TEXT, "why");
		break;
	}
}

ssize_t mnl_socket_sendto(const struct mnl_socket *nl, const void *buf, size_t len)
{
	const struct nlmsghdr *request = buf;
	const struct genlmsghdr *genl = mnl_nlmsg_get_payload(request);
	uint32_t n;

	(void)nl;
	seq = request->nlmsg_seq;
	replies.n = replies.next = 0;
	if (request->nlmsg_type == GENL_ID_CTRL) {
		put_family();
		put_ack();
	} else if (request->nlmsg_flags & NLM_F_DUMP) {
		for (n = 1; n <= 3; n++)
			put_thing(put_genl(&replies, FAMILY, genl->cmd, NLM_F_MULTI), genl->cmd, n);
		put_done();
	} else {
		put_thing(put_genl(&replies, FAMILY, genl->cmd, 0), genl->cmd, 1);
		put_ack();
	}
	return len;
}

int mnl_socket_setsockopt(const struct mnl_socket *nl, int type, void *buf, socklen_t len)
{
	(void)nl;
	(void)type;
	(void)buf;
	(void)len;
	return 0;
}

ssize_t recvmsg(int fd, struct msghdr *msg, int flags)
{
	struct queue *q = flags & MSG_DONTWAIT ? &events : &replies;
	const struct nlmsghdr *nlh;

	(void)fd;
	if (q->next == q->n) {
		errno = EAGAIN;
		return -1;
	}
	nlh = (const void *)q->data[q->next++];
	memset(msg->msg_name, 0, sizeof(struct sockaddr_nl));
	memcpy(msg->msg_iov->iov_base, nlh, nlh->nlmsg_len);
	msg->msg_flags = 0;
	return nlh->nlmsg_len;
}

/* ---- The program ----------------------------------------------------- */

static bool is_zero(const void *data, size_t len)
{
	const unsigned char *bytes = data;

	while (len && !bytes[len - 1])
		len--;
	return !len;
}

/* What came out of the library: is what is newer in it as this program has to find it? */
#ifndef NEWER
/* It does not know of it. */
#define expect_newer(s)	((void)(s))
#elif defined NEWER_LIBRARY
#define expect_newer(s)	expect(!is_zero((s)->newer, sizeof((s)->newer)))
#else
#define expect_newer(s)	expect(is_zero((s)->newer, sizeof((s)->newer)))
#endif

/* What goes in is as large as this program knows it, and behind that is nothing to be read. */
#define NEW(p) \
	do { \
		(p) = calloc(1, sizeof(*(p))); \
		if (!(p)) \
			abort(); \
	} while (0)

/* A library that does not know of it refuses what is new, and nothing else. */
#ifdef NEWER
#define expect_known(p, call, err) \
	do { \
		expect((call) == (err)); \
		(p)->newer[3] = 1; \
		expect((call) == (REFUSED ? -E2BIG : (err))); \
		(p)->newer[3] = 0; \
	} while (0)
#else
#define expect_known(p, call, err)	expect((call) == (err))
#endif
#ifdef NEWER_LIBRARY
#define REFUSED	0
#else
#define REFUSED	1
#endif

static bool is_bundle(const struct imsipsec_bundle *b, uint32_t id)
{
	return b->id == id && b->owner_len == 5 && b->state == IMSIPSEC_STATE_ACTIVE && b->mark == id;
}

static int see_bundle(const struct imsipsec_bundle *bundle, void *data)
{
	const struct imsipsec_bundle copy = *bundle;

	/* The last member as well, which a cache has not */
	expect(is_bundle(&copy, ++*(int *)data) && copy.tcp_only);
	expect_newer(&copy);
	return 0;
}

static int see_endpoint(const struct imsipsec_endpoint *endpoint, void *data)
{
	const struct imsipsec_endpoint copy = *endpoint;

	expect(copy.id == (uint32_t)++*(int *)data && copy.n_trusted == 1);
	expect_newer(&copy);
	return 0;
}

static int see_trace(const struct imsipsec_trace *trace, void *data)
{
	const struct imsipsec_trace copy = *trace;

	expect(copy.spi == (uint32_t)++*(int *)data);
	expect_newer(&copy);
	return 0;
}

static int see_pair(const struct imsipsec_pair_info *pair, void *data)
{
	const struct imsipsec_pair_info copy = *pair;

	expect(copy.alg == (enum imsipsec_alg)++*(int *)data && !strcmp(copy.driver, "driver"));
	expect_newer(&copy);
	return 0;
}

static int see_offload(const struct imsipsec_offload_pair *pair, void *data)
{
	const struct imsipsec_offload_pair copy = *pair;

	expect(copy.alg == (enum imsipsec_alg)++*(int *)data && !strcmp(copy.text, "why"));
	expect_newer(&copy);
	return 0;
}

static int see_event(const struct imsipsec_event *event, void *data)
{
	const struct imsipsec_event copy = *event;

	++*(int *)data;
	expect(copy.seq == 1 && copy.type == IMSIPSEC_EVENT_CREATED && is_bundle(&copy.bundle, 9));
	expect_newer(&copy);
	expect_newer(&copy.bundle);
	return 0;
}

static void use_requests(struct imsipsec *h)
{
	const struct imsipsec_endpoint *endpoint = NULL;
	struct imsipsec_endpoint_params *ep;
	const struct imsipsec_config *config;
	const struct imsipsec_stats *stats;
	struct imsipsec_bundle_filter *filter;
	struct imsipsec_bundle_params *bp;
	const struct imsipsec_bundle *b;
	struct imsipsec_config *c;
	int n;

	expect(!imsipsec_config_get(h, &config) && config->mark_mask == 0xff &&
	       config->hw_offload_required);
	expect_newer(config);
	NEW(c);
	*c = *config;
	c->set = IMSIPSEC_CONFIG_MARK_MASK;
	expect_known(c, imsipsec_config_set(h, c), 0);
	free(c);
	expect(!imsipsec_stats_get(h, &stats) && stats->nearly_full == 1);
	expect_newer(stats);

	NEW(ep);
	expect(!imsipsec_addr_parse(&ep->address, "192.0.2.1"));
	expect_known(ep, imsipsec_endpoint_add(h, ep, &endpoint), 0);
	free(ep);
	expect(endpoint && endpoint->id == 1);
	n = 0;
	expect(!imsipsec_endpoint_dump(h, see_endpoint, &n) && n == 3);

	NEW(bp);
	bp->endpoint = 1;
	bp->owner = "alice";
	bp->owner_len = 5;
	bp->contact = "c";
	bp->contact_len = 1;
	bp->ue_address = (struct imsipsec_addr){ .family = AF_INET };
	expect_known(bp, imsipsec_bundle_new(h, bp, &b), 0);
	free(bp);
	n = 0;
	NEW(filter);
	filter->endpoint = 1;
	expect_known(filter, (n = 0, imsipsec_bundle_dump(h, filter, see_bundle, &n)), 0);
	expect(n == 3 || REFUSED);
	free(filter);

	n = 0;
	expect(!imsipsec_trace_dump(h, NULL, see_trace, &n) && n == 3);
	n = 0;
	expect(!imsipsec_pair_dump(h, see_pair, &n) && n == 3);
	n = 0;
	expect(!imsipsec_offload_dump(h, "eth0", IMSIPSEC_OFFLOAD_DEFAULT, see_offload, &n) && n == 3);
}

/* Of a function that returns a length */
static int result(int len)
{
	return len < 0 ? len : 0;
}

/* What goes in and out in arrays, and a copy of what came out that goes in */
static void use_arrays(struct imsipsec *h)
{
	static const char client[] =
		"ipsec-3gpp;alg=hmac-sha-1-96;ealg=aes-cbc;spi-c=1000;spi-s=1001;port-c=6000;port-s=6001,"
		"ipsec-3gpp;alg=hmac-md5-96;spi-c=1000;spi-s=1001;port-c=6000;port-s=6001";
	struct imsipsec_secagree *list = NULL;
	const struct imsipsec_bundle *b;
	const struct imsipsec_mech *m;
	struct imsipsec_bundle *copy;
	struct imsipsec_mech *mechs;
	struct imsipsec_pair *pairs;
	char buf[2048];
	size_t n = 9, i;

	pairs = calloc(n, sizeof(*pairs));
	mechs = calloc(2, sizeof(*mechs));
	if (!pairs || !mechs)
		abort();
	expect(!imsipsec_pairs_get(h, pairs, &n) && n == 3 && pairs[2].alg == 3 && pairs[2].ealg == 1);
	expect_newer(&pairs[2]);
	n = 9;
	expect(!imsipsec_pairs_parse("hmac-md5-96=null,hmac-sha-1-96=aes-cbc", pairs, &n) && n == 2 &&
	       pairs[1].alg == IMSIPSEC_ALG_HMAC_SHA_1_96 && pairs[1].ealg == IMSIPSEC_EALG_AES_CBC);

	expect(!imsipsec_secagree_parse(&list, client, strlen(client)));
	for (i = 0; i < 2; i++) {
		m = imsipsec_secagree_get(list, i);
		expect(m && m->spi_s == 1001 && m->port_s == 6001);
		mechs[i] = *m;
		expect_newer(&mechs[i]);
	}
	expect_known(&pairs[1], imsipsec_secagree_choose(list, pairs, 2, NULL, 0, &m), 0);
	expect(m->alg == IMSIPSEC_ALG_HMAC_MD5_96);
	expect_known(&mechs[1], result(imsipsec_secagree_write(buf, sizeof(buf), mechs, 2)), 0);
	imsipsec_secagree_free(list);

	expect(!imsipsec_bundle_get(h, 1, &b));
	NEW(copy);
	*copy = *b;
	expect(imsipsec_secagree_write_server(buf, sizeof(buf), copy, pairs, 2) > 0 &&
	       strstr(buf, "spi-s=1001"));
	free(copy);
	free(pairs);
	free(mechs);
}

static void use_events(void)
{
	struct imsipsec_cache *cache;
	struct imsipsec_events *ev;
	struct {
		struct imsipsec_found found;
		unsigned char behind[256];
	} f = { { 0 } };
	int n = 0;

	expect(!imsipsec_event_open(&ev));
	put_event(1, 9);
	expect(!imsipsec_event_dispatch(ev, see_event, &n) && n == 1);
	imsipsec_event_close(ev);

	events.n = events.next = 0;
	expect(!imsipsec_cache_open(&cache));
	expect(!imsipsec_rx_mark(cache, 2, &f.found) && is_bundle(f.found.bundle, 2));
	expect(is_zero(f.behind, sizeof(f.behind)));
	expect_newer(f.found.bundle);
	expect_newer(&f.found);
	put_event(1, 9);
	n = 0;
	/* Read in passing, and kept */
	expect(imsipsec_rx_mark(cache, 77, &f.found) == -ENOENT);
	expect(!imsipsec_cache_dispatch(cache, see_event, &n) && n == 1);
	expect(!imsipsec_tx(cache, "alice", 5, "c", 1, &f.found) && is_bundle(f.found.bundle, 9));
	imsipsec_cache_close(cache);
}

int main(void)
{
	struct imsipsec *h;

	expect(!imsipsec_open(&h));
	if (!h)
		return 1;
	use_requests(h);
	use_arrays(h);
	imsipsec_close(h);
	use_events();
	return failed;
}
