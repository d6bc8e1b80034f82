// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * The cache against a kernel that this program plays: it holds bundles, answers
 * requests, and tells events. The linker puts the functions __wrap_* below in the
 * place of those that the library calls.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../lib/internal.h"
#include "tap.h"

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))

#define FAMILY		0x1c
#define MASK		0x00ffffff
#define BUNDLES_MAX	64
#define EVENTS_MAX	4096
#define DATAGRAM_MAX	768

/* ---- The kernel ------------------------------------------------------ */

struct datagram {
	alignas(8) char data[DATAGRAM_MAX];
	size_t len;
};

static struct {
	struct imsipsec_bundle bundles[BUNDLES_MAX];	/* id 0: none */
	uint32_t last_id;
	uint64_t seq;
	struct datagram replies[BUNDLES_MAX + 2], events[EVENTS_MAX];
	size_t n_replies, next_reply, n_events, next_event;
	bool lose_events, overrun, unloaded;
	unsigned int interrupted;	/* so many dumps are inconsistent */
	unsigned int requests, reads, dumps;
	bool listens;
	int event_fd, request_fd;
	long calloc_fails;		/* 0: never, n: the n-th from now on */
} kernel;

static struct mnl_socket *const event_nl = (void *)&kernel.event_fd;
static struct mnl_socket *const request_nl = (void *)&kernel.request_fd;

static struct nlmsghdr *begin(struct datagram *d, uint16_t type, uint16_t flags, uint32_t seq)
{
	struct nlmsghdr *nlh = mnl_nlmsg_put_header(d->data);

	nlh->nlmsg_type = type;
	nlh->nlmsg_flags = flags;
	nlh->nlmsg_seq = seq;
	return nlh;
}

static struct nlmsghdr *begin_genl(struct datagram *d, uint8_t cmd, uint16_t flags, uint32_t seq)
{
	struct nlmsghdr *nlh = begin(d, FAMILY, flags, seq);
	struct genlmsghdr *genl = mnl_nlmsg_put_extra_header(nlh, sizeof(*genl));

	genl->cmd = cmd;
	return nlh;
}

static void end(struct datagram *d)
{
	d->len = ((struct nlmsghdr *)d->data)->nlmsg_len;
}

static void put_addr(struct nlmsghdr *nlh, uint16_t type, const struct imsipsec_addr *addr)
{
	mnl_attr_put(nlh, type, addr->family == AF_INET6 ? sizeof(addr->in6) : sizeof(addr->in),
		     &addr->in6);
}

static void put_bundle(struct nlmsghdr *nlh, const struct imsipsec_bundle *b)
{
	mnl_attr_put_u32(nlh, IMS_IPSEC_A_BUNDLE_ID, b->id);
	mnl_attr_put(nlh, IMS_IPSEC_A_BUNDLE_OWNER, b->owner_len, b->owner);
	mnl_attr_put(nlh, IMS_IPSEC_A_BUNDLE_CONTACT, b->contact_len, b->contact);
	mnl_attr_put_u32(nlh, IMS_IPSEC_A_BUNDLE_STATE, b->state);
	put_addr(nlh, IMS_IPSEC_A_BUNDLE_ADDRESS, &b->address);
	put_addr(nlh, IMS_IPSEC_A_BUNDLE_UE_ADDRESS, &b->ue_address);
	mnl_attr_put_u16(nlh, IMS_IPSEC_A_BUNDLE_PORT_PC, htons(b->port_pc));
	mnl_attr_put_u16(nlh, IMS_IPSEC_A_BUNDLE_PORT_PS, htons(b->port_ps));
	mnl_attr_put_u16(nlh, IMS_IPSEC_A_BUNDLE_PORT_UC, htons(b->port_uc));
	mnl_attr_put_u16(nlh, IMS_IPSEC_A_BUNDLE_PORT_US, htons(b->port_us));
	mnl_attr_put_u32(nlh, IMS_IPSEC_A_BUNDLE_REGISTRATION, b->registration);
	if (b->mark)
		mnl_attr_put_u32(nlh, IMS_IPSEC_A_BUNDLE_MARK, b->mark);
	mnl_attr_put_u32(nlh, IMS_IPSEC_A_BUNDLE_MODE, b->mode);
	if (b->ue_nat_address.family) {
		put_addr(nlh, IMS_IPSEC_A_BUNDLE_UE_NAT_ADDRESS, &b->ue_nat_address);
		mnl_attr_put_u16(nlh, IMS_IPSEC_A_BUNDLE_UE_NAT_PORT, htons(b->ue_nat_port));
	}
	if (b->unmarked)
		mnl_attr_put(nlh, IMS_IPSEC_A_BUNDLE_UNMARKED, 0, NULL);
	if (b->udp_only)
		mnl_attr_put(nlh, IMS_IPSEC_A_BUNDLE_UDP_ONLY, 0, NULL);
	if (b->alg)
		mnl_attr_put_u32(nlh, IMS_IPSEC_A_BUNDLE_AUTH_ALG, b->alg);
	if (b->ealg)
		mnl_attr_put_u32(nlh, IMS_IPSEC_A_BUNDLE_ENC_ALG, b->ealg);
	if (b->offload)
		mnl_attr_put_u32(nlh, IMS_IPSEC_A_BUNDLE_OFFLOAD, b->offload);
	if (b->offload_reason)
		mnl_attr_put_u32(nlh, IMS_IPSEC_A_BUNDLE_OFFLOAD_REASON, b->offload_reason);
	if (b->offload_interface[0])
		mnl_attr_put_strz(nlh, IMS_IPSEC_A_BUNDLE_OFFLOAD_INTERFACE, b->offload_interface);
}

/* @new_state: 0: it is gone */
static void tell(const struct imsipsec_bundle *b, enum imsipsec_event_type type,
		 enum imsipsec_state new_state)
{
	struct datagram *d = &kernel.events[kernel.n_events];
	struct nlmsghdr *nlh;
	struct nlattr *nest;

	kernel.seq++;
	if (kernel.lose_events)
		return;
	nlh = begin_genl(d, IMS_IPSEC_CMD_EVENT, 0, 0);
	mnl_attr_put_u64(nlh, IMS_IPSEC_A_EVENT_SEQ, kernel.seq);
	mnl_attr_put_u32(nlh, IMS_IPSEC_A_EVENT_TYPE, type);
	mnl_attr_put_u32(nlh, IMS_IPSEC_A_EVENT_REASON, IMS_IPSEC_REASON_REQUEST);
	if (new_state)
		mnl_attr_put_u32(nlh, IMS_IPSEC_A_EVENT_NEW_STATE, new_state);
	nest = mnl_attr_nest_start(nlh, IMS_IPSEC_A_EVENT_BUNDLE);
	put_bundle(nlh, b);
	mnl_attr_nest_end(nlh, nest);
	end(d);
	kernel.n_events++;
	eventfd_write(kernel.event_fd, 1);
}

static struct imsipsec_bundle *bundle_of(uint32_t id)
{
	size_t i;

	for (i = 0; i < BUNDLES_MAX; i++)
		if (kernel.bundles[i].id == id)
			return &kernel.bundles[i];
	return NULL;
}

static struct imsipsec_bundle *bundle_at(uint32_t mark)
{
	size_t i;

	for (i = 0; i < BUNDLES_MAX; i++)
		if (kernel.bundles[i].id && kernel.bundles[i].mark == mark)
			return &kernel.bundles[i];
	return NULL;
}

/* A bundle of user @user, in its registration's place @slot, of which nobody is told yet */
static struct imsipsec_bundle *make(unsigned int user, uint32_t registration, unsigned int slot)
{
	struct imsipsec_bundle *b = bundle_of(0);

	*b = (struct imsipsec_bundle){
		.id = ++kernel.last_id, .state = IMSIPSEC_STATE_TEMPORARY,
		.owner_len = 1 + user % 20, .contact_len = 3,
		.port_uc = 6301, .port_us = 6300, .port_pc = 5062 + 2 * (slot % 2),
		.port_ps = 5063, .registration = registration, .mode = IMSIPSEC_MODE_TRANS,
		.mark = (registration * 4 + slot) & MASK,
	};
	memset(b->owner, 'a' + user % 26, b->owner_len);
	memcpy(b->contact, "c\0d", 3);
	imsipsec_addr_parse(&b->address, "192.0.2.1");
	b->ue_address.family = AF_INET;
	b->ue_address.in.s_addr = htonl(0x0a000000 + user);
	return b;
}

static uint32_t create(unsigned int user, uint32_t registration, unsigned int slot)
{
	struct imsipsec_bundle *b = make(user, registration, slot);

	tell(b, IMSIPSEC_EVENT_CREATED, b->state);
	return b->id;
}

/* One behind a NAT, with the address of user @at */
static uint32_t create_natted(unsigned int user, unsigned int slot, unsigned int at,
			      bool udp_only)
{
	struct imsipsec_bundle *b = make(user, user, slot);

	b->mode = IMSIPSEC_MODE_UDP_ENC_TUN;
	b->ue_address.in.s_addr = htonl(0x0a000000 + at);
	imsipsec_addr_parse(&b->ue_nat_address, "203.0.113.7");
	b->ue_nat_port = 4500;
	b->udp_only = udp_only;
	tell(b, IMSIPSEC_EVENT_CREATED, b->state);
	return b->id;
}

/* @told: whether its event is there already */
static void set_state(uint32_t id, enum imsipsec_state state, bool told)
{
	struct imsipsec_bundle *b = bundle_of(id);

	b->state = state;
	if (told)
		tell(b, state == IMSIPSEC_STATE_OLD ? IMSIPSEC_EVENT_SUPERSEDED :
		     state == IMSIPSEC_STATE_ACTIVE ? IMSIPSEC_EVENT_ACTIVATED :
						      IMSIPSEC_EVENT_CONFIRMED, state);
}

static void destroy(uint32_t id)
{
	struct imsipsec_bundle *b = bundle_of(id);

	tell(b, IMSIPSEC_EVENT_DELETED, 0);
	b->id = 0;
}

static struct datagram *new_reply(void)
{
	return &kernel.replies[kernel.n_replies++];
}

static void ack(uint32_t seq, int err, const char *text)
{
	struct datagram *d = new_reply();
	struct nlmsghdr *nlh = begin(d, NLMSG_ERROR, NLM_F_CAPPED | NLM_F_ACK_TLVS, seq);
	struct nlmsgerr *e = mnl_nlmsg_put_extra_header(nlh, sizeof(*e));

	e->error = err;
	if (text)
		mnl_attr_put_strz(nlh, NLMSGERR_ATTR_MSG, text);
	end(d);
}

static void answer_dump(uint32_t seq)
{
	const uint16_t flags = NLM_F_MULTI | (kernel.interrupted ? NLM_F_DUMP_INTR : 0);
	struct datagram *d;
	struct nlmsghdr *nlh;
	size_t i;

	/* to subscribe later would miss what happens meanwhile */
	kernel.dumps += kernel.listens;
	for (i = 0; i < BUNDLES_MAX; i++) {
		if (!kernel.bundles[i].id)
			continue;
		d = new_reply();
		nlh = begin_genl(d, IMS_IPSEC_CMD_BUNDLE_GET, flags, seq);
		put_bundle(nlh, &kernel.bundles[i]);
		end(d);
	}
	d = new_reply();
	nlh = begin(d, NLMSG_DONE, flags, seq);
	memset(mnl_nlmsg_put_extra_header(nlh, 4), 0, 4);
	end(d);
	kernel.interrupted -= !!kernel.interrupted;
}

static void answer_get(const struct nlmsghdr *request)
{
	const struct nlattr *attr = mnl_nlmsg_get_payload_offset(request, GENL_HDRLEN);
	const struct imsipsec_bundle *b = bundle_of(mnl_attr_get_u32(attr));
	struct datagram *d;
	struct nlmsghdr *nlh;

	if (b) {
		d = new_reply();
		nlh = begin_genl(d, IMS_IPSEC_CMD_BUNDLE_GET, 0, request->nlmsg_seq);
		put_bundle(nlh, b);
		end(d);
	}
	ack(request->nlmsg_seq, b ? 0 : -ENOENT, b ? NULL : "there is no such bundle");
}

ssize_t __wrap_mnl_socket_sendto(const struct mnl_socket *nl, const void *buf, size_t len);
ssize_t __wrap_recvmsg(int fd, struct msghdr *msg, int flags);
int __wrap_mnl_socket_get_fd(const struct mnl_socket *nl);
int __wrap_mnl_socket_close(struct mnl_socket *nl);
int __wrap_imsipsec_event_open(struct imsipsec_events **ev);
int __wrap_imsipsec_open(struct imsipsec **h);
void *__wrap_calloc(size_t n, size_t size);
void *__real_calloc(size_t n, size_t size);

ssize_t __wrap_mnl_socket_sendto(const struct mnl_socket *nl, const void *buf, size_t len)
{
	const struct nlmsghdr *request = buf;
	const struct genlmsghdr *genl = mnl_nlmsg_get_payload(request);
	struct datagram *d;
	struct nlmsghdr *nlh;

	if (nl != request_nl)
		abort();
	kernel.requests++;
	kernel.n_replies = kernel.next_reply = 0;
	if (kernel.unloaded) {
		ack(request->nlmsg_seq, -ENOENT, NULL);
	} else if (genl->cmd == IMS_IPSEC_CMD_CONFIG_GET) {
		d = new_reply();
		nlh = begin_genl(d, IMS_IPSEC_CMD_CONFIG_GET, 0, request->nlmsg_seq);
		mnl_attr_put_u32(nlh, IMS_IPSEC_A_CONFIG_MARK_MASK, MASK);
		end(d);
		ack(request->nlmsg_seq, 0, NULL);
	} else if (request->nlmsg_flags & NLM_F_DUMP) {
		answer_dump(request->nlmsg_seq);
	} else {
		answer_get(request);
	}
	return len;
}

static ssize_t receive(struct msghdr *msg, const struct datagram *d)
{
	struct sockaddr_nl *from = msg->msg_name;

	memset(from, 0, sizeof(*from));
	memcpy(msg->msg_iov->iov_base, d->data, d->len);
	msg->msg_flags = 0;
	return d->len;
}

static ssize_t fail_with(int err)
{
	errno = err;
	return -1;
}

ssize_t __wrap_recvmsg(int fd, struct msghdr *msg, int flags)
{
	eventfd_t n;

	(void)flags;
	if (fd == kernel.request_fd) {
		if (kernel.next_reply == kernel.n_replies)
			abort();
		return receive(msg, &kernel.replies[kernel.next_reply++]);
	}
	kernel.reads++;
	if (kernel.overrun) {
		kernel.overrun = false;
		return fail_with(ENOBUFS);
	}
	if (kernel.next_event == kernel.n_events) {
		kernel.next_event = kernel.n_events = 0;
		eventfd_read(kernel.event_fd, &n);
		return fail_with(EAGAIN);
	}
	return receive(msg, &kernel.events[kernel.next_event++]);
}

int __wrap_mnl_socket_get_fd(const struct mnl_socket *nl)
{
	return *(const int *)nl;
}

int __wrap_mnl_socket_close(struct mnl_socket *nl)
{
	(void)nl;
	return 0;
}

int __wrap_imsipsec_event_open(struct imsipsec_events **ev)
{
	*ev = __real_calloc(1, sizeof(**ev));
	(*ev)->h = __real_calloc(1, sizeof(*(*ev)->h));
	(*ev)->h->nl = event_nl;
	imsipsec_nl_mark_process((*ev)->h);
	(*ev)->h->family = FAMILY;
	kernel.listens = true;
	return 0;
}

int __wrap_imsipsec_open(struct imsipsec **h)
{
	*h = __real_calloc(1, sizeof(**h));
	(*h)->nl = request_nl;
	imsipsec_nl_mark_process(*h);
	(*h)->family = FAMILY;
	return 0;
}

static size_t largest;	/* that calloc() was asked for */

void *__wrap_calloc(size_t n, size_t size)
{
	if (kernel.calloc_fails && !--kernel.calloc_fails)
		return NULL;
	if (n * size > largest)
		largest = n * size;
	return __real_calloc(n, size);
}

/* ---- The cache ------------------------------------------------------- */

static struct imsipsec_cache *cache;

static void reset(void)
{
	imsipsec_cache_close(cache);
	cache = NULL;
	if (kernel.event_fd) {
		close(kernel.event_fd);
		close(kernel.request_fd);
	}
	memset(&kernel, 0, sizeof(kernel));
	kernel.event_fd = eventfd(0, EFD_NONBLOCK);
	kernel.request_fd = eventfd(0, EFD_NONBLOCK);
}

static bool open_cache(void)
{
	return !imsipsec_cache_open(&cache) && cache;
}

/* A bundle that the cache knows in @state */
static uint32_t known(unsigned int user, unsigned int slot, enum imsipsec_state state)
{
	uint32_t id = create(user, user, slot);

	if (state != IMSIPSEC_STATE_TEMPORARY)
		set_state(id, state, true);
	imsipsec_cache_dispatch(cache, NULL, NULL);
	kernel.requests = kernel.reads = kernel.dumps = 0;
	return id;
}

/* Id of the bundle with @mark, negative errno */
static int rx(uint32_t mark)
{
	struct imsipsec_found found;
	int err = imsipsec_rx_mark(cache, mark, &found);

	return err ? err : (int)found.bundle->id;
}

static enum imsipsec_state rx_state(uint32_t mark)
{
	struct imsipsec_found found;

	return imsipsec_rx_mark(cache, mark, &found) ? 0 : found.bundle->state;
}

static int rx_tuple(unsigned int user, uint16_t local_port, uint16_t remote_port)
{
	struct imsipsec_addr local, remote = { .family = AF_INET };
	struct imsipsec_found found;
	int err;

	imsipsec_addr_parse(&local, "192.0.2.1");
	remote.in.s_addr = htonl(0x0a000000 + user);
	err = imsipsec_rx_tuple(cache, &local, local_port, &remote, remote_port, &found);
	return err ? err : (int)found.bundle->id;
}

static int tx(unsigned int user)
{
	struct imsipsec_found found;
	char owner[20];
	int err;

	memset(owner, 'a' + user % 26, sizeof(owner));
	err = imsipsec_tx(cache, owner, 1 + user % 20, "c\0d", 3, &found);
	return err ? err : (int)found.bundle->id;
}

struct heard {
	unsigned int n, lost;
	uint64_t seq;
	unsigned int stop_at;
};

static int hear(const struct imsipsec_event *event, void *data)
{
	struct heard *heard = data;

	heard->lost += event->type == IMSIPSEC_EVENT_LOST;
	heard->seq = event->seq;
	return ++heard->n == heard->stop_at ? 77 : 0;
}

static bool readable(void)
{
	struct pollfd fd = { .fd = imsipsec_cache_fd(cache), .events = POLLIN };

	return poll(&fd, 1, 0) == 1;
}

static bool no_system_call(void)
{
	return !kernel.requests && !kernel.reads;
}

/* ---- Tests ----------------------------------------------------------- */

static void test_open(void)
{
	struct imsipsec_found found;
	uint32_t id;

	reset();
	id = create(1, 1, 2);
	ok(open_cache() && kernel.dumps == 1, "open: subscribes, then dumps");
	ok(!imsipsec_rx_mark(cache, 6, &found) && found.bundle->id == id && !found.seq &&
	   found.bundle->owner_len == 2 && !memcmp(found.bundle->owner, "bb", 2) &&
	   found.bundle->contact_len == 3 && found.bundle->registration == 1,
	   "open: what was there");
	ok(!imsipsec_cache_dispatch(cache, NULL, NULL) && rx(6) == (int)id,
	   "open: what was told twice");

	reset();
	kernel.interrupted = 2;
	ok(open_cache() && kernel.dumps == 3, "open: a dump that is inconsistent is repeated");
	reset();
	kernel.interrupted = 100;
	ok(imsipsec_cache_open(&cache) == -ESTALE && !cache, "open: ESTALE");
	reset();
	kernel.unloaded = true;
	ok(imsipsec_cache_open(&cache) == -ENODEV && !cache, "open: ENODEV");
}

static void test_mark(void)
{
	struct imsipsec_found found;
	uint32_t id;

	reset();
	open_cache();
	id = known(1, 0, IMSIPSEC_STATE_ACTIVE);
	ok(rx(4) == (int)id && no_system_call(), "E7: rx_mark: ACTIVE, without a system call");
	ok(rx(0xff000004) == (int)id && no_system_call(), "rx_mark: other bits do not count");
	ok(rx(0) == -ENOENT && rx(0xff000000) == -ENOENT && no_system_call(),
	   "rx_mark: none, without a system call: %s", imsipsec_cache_strerror(cache));
	set_state(id, IMSIPSEC_STATE_OLD, true);
	ok(!imsipsec_rx_mark(cache, 4, &found) && found.seq == 2 &&
	   !imsipsec_cache_dispatch(cache, NULL, NULL) &&
	   !imsipsec_rx_mark(cache, 4, &found) && found.seq == 3 &&
	   found.bundle->state == IMSIPSEC_STATE_OLD, "rx_mark: says which event it reflects");
	kernel.requests = kernel.reads = 0;
	ok(rx(4) == (int)id && no_system_call(), "E7: rx_mark: OLD, without a system call");

	id = known(2, 0, IMSIPSEC_STATE_TEMPORARY);
	ok(rx_state(8) == IMSIPSEC_STATE_TEMPORARY && kernel.requests == 1,
	   "E7: rx_mark: TEMPORARY, the kernel is asked");
	set_state(id, IMSIPSEC_STATE_ESTABLISHED, false);
	ok(rx_state(8) == IMSIPSEC_STATE_ESTABLISHED && kernel.requests == 2,
	   "E7: rx_mark: ESTABLISHED, the kernel is asked");
	set_state(id, IMSIPSEC_STATE_ACTIVE, false);
	ok(rx_state(8) == IMSIPSEC_STATE_ACTIVE && kernel.requests == 3 && !kernel.reads,
	   "E7: rx_mark: in use by now, its event still to come");
	ok(rx_state(8) == IMSIPSEC_STATE_ACTIVE && kernel.requests == 3,
	   "rx_mark: and is not asked again");
	bundle_of(id)->state = IMSIPSEC_STATE_ESTABLISHED;
	tell(bundle_of(id), IMSIPSEC_EVENT_CONFIRMED, IMSIPSEC_STATE_ESTABLISHED);
	ok(!imsipsec_cache_dispatch(cache, NULL, NULL) && rx_state(8) == IMSIPSEC_STATE_ACTIVE &&
	   kernel.requests == 3, "rx_mark: an event of before does not turn it back");

	id = known(3, 0, IMSIPSEC_STATE_TEMPORARY);
	destroy(id);
	ok(rx(12) == -ENOENT && !imsipsec_cache_dispatch(cache, NULL, NULL) && rx(12) == -ENOENT,
	   "rx_mark: gone by now");
}

static void test_miss(void)
{
	struct heard heard = { 0 };
	uint32_t id;
	int i;

	reset();
	open_cache();
	ok(!readable(), "miss: nothing to dispatch");
	id = create(1, 1, 0);
	ok(readable(), "miss: an event to dispatch");
	ok(rx(4) == (int)id && !kernel.overrun && kernel.dumps == 1,
	   "miss: it is in the events");
	ok(readable() && !imsipsec_cache_dispatch(cache, hear, &heard) && heard.n == 1 &&
	   heard.seq == 1 && !readable(), "miss: the event is told all the same");
	id = create(2, 2, 0);
	id = create(2, 2, 1);
	id = create(2, 2, 2);
	ok(rx(10) == (int)id, "miss: one of several");
	heard = (struct heard){ .stop_at = 1 };
	ok(imsipsec_cache_dispatch(cache, hear, &heard) == 77 && heard.seq == 2 && readable() &&
	   !imsipsec_cache_dispatch(cache, hear, &heard) && heard.n == 3 && heard.seq == 4 &&
	   !readable(), "miss: told in turn, ended by the callback, gone on with");
	id = create(3, 3, 0);
	rx(12);
	ok(readable() && !imsipsec_cache_dispatch(cache, NULL, NULL) && !readable(),
	   "miss: nobody wants to be told");

	kernel.requests = 0;
	ok(rx(400) == -ENOENT && !kernel.requests,
	   "miss: no dump for a mark that is nobody's: %s", imsipsec_cache_strerror(cache));
	kernel.lose_events = true;
	id = create(4, 4, 0);
	kernel.lose_events = false;
	ok(rx(16) == -ENOENT, "miss: its event got lost, nothing tells so yet");
	create(5, 5, 0);
	ok(rx(16) == (int)id && kernel.dumps == 2, "miss: a gap, so it dumps");
	heard = (struct heard){ 0 };
	ok(!imsipsec_cache_dispatch(cache, hear, &heard) && heard.n == 2 && heard.lost == 1,
	   "miss: the loss is told");

	for (i = 0; i < 1500; i++) {
		tell(bundle_of(id), IMSIPSEC_EVENT_CONFIRMED, IMSIPSEC_STATE_TEMPORARY);
		if (i % 100 == 99)
			rx(400);
	}
	heard = (struct heard){ 0 };
	ok(!imsipsec_cache_dispatch(cache, hear, &heard) && heard.lost == 1 && heard.n < 1100 &&
	   heard.seq == kernel.seq && !readable(), "miss: too many to keep, told as a loss");
}

static void test_loss(void)
{
	struct heard heard = { 0 };
	uint32_t a, b;
	char *seq;

	reset();
	open_cache();
	a = known(1, 0, IMSIPSEC_STATE_ACTIVE);
	kernel.lose_events = true;
	destroy(a);
	b = create(2, 2, 0);
	kernel.lose_events = false;
	create(3, 3, 0);
	ok(!imsipsec_cache_dispatch(cache, hear, &heard) && heard.lost == 1 && heard.n == 2 &&
	   kernel.dumps == 1 && rx(4) == -ENOENT && rx(8) == (int)b, "loss: a gap");

	kernel.lose_events = true;
	destroy(b);
	kernel.lose_events = false;
	kernel.overrun = true;
	ok(!imsipsec_cache_dispatch(cache, hear, &heard) && heard.lost == 2 &&
	   kernel.dumps == 2 && rx(8) == -ENOENT, "loss: the buffer was full, the last ones");

	a = create(1, 1, 1);
	seq = kernel.events[kernel.n_events - 1].data;
	((struct nlmsghdr *)seq)->nlmsg_len = kernel.events[kernel.n_events - 1].len -= 8;
	ok(!imsipsec_cache_dispatch(cache, hear, &heard) && kernel.dumps == 3 && rx(5) == (int)a,
	   "loss: a malformed one");

	kernel.interrupted = 100;
	kernel.overrun = true;
	ok(imsipsec_cache_dispatch(cache, NULL, NULL) == -ESTALE && rx(5) == -ESTALE,
	   "loss: no consistent dump to be had: %s", imsipsec_cache_strerror(cache));
	kernel.interrupted = 0;
	ok(rx(5) == (int)a, "loss: then it can be had");

	kernel.unloaded = true;
	kernel.overrun = true;
	ok(imsipsec_cache_dispatch(cache, NULL, NULL) == -ENODEV && rx(5) == -ENODEV,
	   "loss: the module was unloaded: %s", imsipsec_cache_strerror(cache));
}

static void test_reuse(void)
{
	uint32_t a, b;

	reset();
	open_cache();
	a = known(1, 0, IMSIPSEC_STATE_ACTIVE);
	kernel.lose_events = true;
	destroy(a);
	kernel.lose_events = false;
	kernel.seq--;			/* it is not known that one was lost */
	b = create(2, 1, 0);
	ok(!imsipsec_cache_dispatch(cache, NULL, NULL) && kernel.dumps == 0 && rx(4) == (int)b &&
	   tx(1) == -ENOENT && rx_tuple(1, 5063, 6301) == -ENOENT,
	   "a mark that is another one's now, the one before it is gone altogether");
	/* an event that comes late of the one before */
	bundle_of(b)->id = a;
	tell(bundle_of(a), IMSIPSEC_EVENT_ACTIVATED, IMSIPSEC_STATE_ACTIVE);
	bundle_of(a)->id = b;
	ok(!imsipsec_cache_dispatch(cache, NULL, NULL) && rx(4) == (int)b,
	   "a mark stays with the newer one");
}

static void test_tuple(void)
{
	uint32_t a, b, c;

	reset();
	open_cache();
	a = known(1, 0, IMSIPSEC_STATE_ACTIVE);
	ok(rx_tuple(1, 5063, 6301) == (int)a && no_system_call(),
	   "F2: rx_tuple: a connection that the UE opened");
	ok(rx_tuple(1, 5062, 6300) == (int)a && no_system_call(),
	   "F2: rx_tuple: a connection that the P-CSCF opened");
	ok(rx_tuple(1, 5063, 6300) == -ENOENT && rx_tuple(1, 5062, 6301) == -ENOENT &&
	   rx_tuple(2, 5063, 6301) == -ENOENT && rx_tuple(1, 5064, 6300) == -ENOENT,
	   "F4: rx_tuple: other pairs are nobody's");
	b = known(1, 1, IMSIPSEC_STATE_ESTABLISHED);
	ok(rx_tuple(1, 5063, 6301) == (int)a && kernel.requests == 1,
	   "rx_tuple: of two with the same ports the ACTIVE one");
	ok(rx_tuple(1, 5064, 6300) == (int)b, "rx_tuple: the newer one by a port of its own");
	set_state(b, IMSIPSEC_STATE_ACTIVE, false);
	set_state(a, IMSIPSEC_STATE_OLD, true);
	ok(rx_tuple(1, 5063, 6301) == (int)b, "rx_tuple: in use by now, the events still to come");
	c = known(1, 2, IMSIPSEC_STATE_TEMPORARY);
	ok(rx_tuple(1, 5063, 6301) == (int)b, "rx_tuple: not the TEMPORARY one");
	destroy(b);
	imsipsec_cache_dispatch(cache, NULL, NULL);
	ok(rx_tuple(1, 5063, 6301) == (int)c, "rx_tuple: the newest, none being ACTIVE");
	destroy(c);
	ok(rx_tuple(1, 5063, 6301) == (int)a, "rx_tuple: the newest is gone by now");
	c = create(2, 2, 0);
	ok(rx_tuple(2, 5063, 6301) == (int)c, "rx_tuple: it is in the events");
	c = create(3, 3, 0);
	ok(rx_tuple(3, 5062, 6300) == (int)c,
	   "rx_tuple: it is in the events, opened by the P-CSCF");
}

/* UEs behind NATs with one address and the same ports, of which one has TCP */
static void test_udp_only(void)
{
	struct imsipsec_found found;
	uint32_t a, b, c;

	reset();
	open_cache();
	a = create_natted(1, 0, 1, false);
	b = create_natted(2, 0, 1, true);
	set_state(a, IMSIPSEC_STATE_OLD, true);
	set_state(b, IMSIPSEC_STATE_ACTIVE, true);
	imsipsec_cache_dispatch(cache, NULL, NULL);
	kernel.requests = kernel.reads = 0;
	ok(rx_tuple(1, 5063, 6301) == (int)a && rx_tuple(1, 5062, 6300) == (int)a &&
	   no_system_call(), "G7: rx_tuple: not the newer, ACTIVE one, which is udp_only");
	ok(rx(8) == (int)b && rx(4) == (int)a && tx(2) == (int)b && no_system_call() &&
	   !imsipsec_rx_mark(cache, 8, &found) && found.bundle->udp_only &&
	   !found.bundle->unmarked && found.bundle->mode == IMSIPSEC_MODE_UDP_ENC_TUN,
	   "G7: rx_mark and tx: each by its own");
	destroy(a);
	imsipsec_cache_dispatch(cache, NULL, NULL);
	ok(rx_tuple(1, 5063, 6301) == -ENOENT && rx_tuple(1, 5062, 6300) == -ENOENT,
	   "G7: rx_tuple: none where that one is alone");
	c = create_natted(2, 1, 1, false);
	ok(rx_tuple(1, 5063, 6301) == (int)c && rx_tuple(1, 5064, 6300) == (int)c,
	   "G7: rx_tuple: the same registration's next one");
	kernel.lose_events = true;
	destroy(c);
	c = create_natted(3, 0, 1, true);
	kernel.lose_events = false;
	kernel.overrun = true;
	ok(!imsipsec_cache_dispatch(cache, NULL, NULL) && rx(12) == (int)c &&
	   rx_tuple(1, 5063, 6301) == -ENOENT, "G7: rx_tuple: nor one that a dump has told of");

	reset();
	open_cache();
	create_natted(1, 0, 1, true);
	imsipsec_cache_dispatch(cache, NULL, NULL);
	kernel.requests = 0;
	ok(rx_tuple(1, 5063, 6301) == -ENOENT && !kernel.requests,
	   "G7: rx_tuple: the kernel is not asked about one");
	b = create_natted(2, 0, 2, false);
	imsipsec_cache_dispatch(cache, NULL, NULL);
	bundle_of(b)->udp_only = true;
	ok(rx_tuple(2, 5063, 6301) == -ENOENT && kernel.requests,
	   "G7: rx_tuple: nor one of which the kernel says so only now");
}

/* Of the bundle with @mark: the port of its NAT */
static int nat_port(uint32_t mark)
{
	struct imsipsec_found found;

	return imsipsec_rx_mark(cache, mark, &found) ? -1 : found.bundle->ue_nat_port;
}

static int hear_nat(const struct imsipsec_event *event, void *data)
{
	if (event->type == IMSIPSEC_EVENT_NAT_MAPPING)
		*(uint16_t *)data = event->bundle.ue_nat_port;
	return 0;
}

static void test_nat_mapping(void)
{
	struct imsipsec_found found;
	struct imsipsec_bundle *b, before;
	uint16_t heard = 0;
	uint32_t id;

	reset();
	open_cache();
	id = create_natted(1, 0, 1, false);
	b = bundle_of(id);
	set_state(id, IMSIPSEC_STATE_ACTIVE, true);
	ok(!imsipsec_cache_dispatch(cache, NULL, NULL) && nat_port(4) == 4500,
	   "G9: NAT mapping: the first one");
	b->ue_nat_port = 61234;
	imsipsec_addr_parse(&b->ue_nat_address, "203.0.113.8");
	tell(b, IMSIPSEC_EVENT_NAT_MAPPING, b->state);
	ok(!imsipsec_cache_dispatch(cache, hear_nat, &heard) && heard == 61234 &&
	   nat_port(4) == 61234 && !imsipsec_rx_mark(cache, 4, &found) &&
	   found.bundle->id == id && found.bundle->state == IMSIPSEC_STATE_ACTIVE &&
	   found.bundle->ue_nat_address.in.s_addr == htonl(0xcb007108),
	   "G9: NAT mapping: told, and taken in");
	ok(rx_tuple(1, 5063, 6301) == (int)id && tx(1) == (int)id,
	   "G9: NAT mapping: the UE's own address is as before");

	before = *b;
	set_state(id, IMSIPSEC_STATE_OLD, true);
	imsipsec_cache_dispatch(cache, NULL, NULL);
	before.ue_nat_port = 61235;
	tell(&before, IMSIPSEC_EVENT_NAT_MAPPING, IMSIPSEC_STATE_ACTIVE);
	ok(!imsipsec_cache_dispatch(cache, NULL, NULL) &&
	   rx_state(4) == IMSIPSEC_STATE_OLD && nat_port(4) == 61235,
	   "G9: NAT mapping: one that comes late does not turn the state back");
	ok(tx(1) == -ENOENT, "G9: NAT mapping: nor is that sent over again");

	id = create_natted(2, 0, 2, false);
	bundle_of(id)->ue_nat_port = 61236;
	tell(bundle_of(id), IMSIPSEC_EVENT_NAT_MAPPING, IMSIPSEC_STATE_TEMPORARY);
	ok(nat_port(8) == 61236, "G9: NAT mapping: of one before the 200 OK, it is in the events");
	kernel.lose_events = true;
	bundle_of(id)->ue_nat_port = 61237;
	tell(bundle_of(id), IMSIPSEC_EVENT_NAT_MAPPING, IMSIPSEC_STATE_TEMPORARY);
	kernel.lose_events = false;
	kernel.overrun = true;
	ok(!imsipsec_cache_dispatch(cache, NULL, NULL) && nat_port(8) == 61237,
	   "G9: NAT mapping: one that got lost is in the dump");
}

static void test_tx(void)
{
	uint32_t a, b;

	reset();
	open_cache();
	a = known(1, 0, IMSIPSEC_STATE_TEMPORARY);
	ok(tx(1) == -ENOENT && tx(2) == -ENOENT, "tx: none but TEMPORARY");
	set_state(a, IMSIPSEC_STATE_ESTABLISHED, true);
	ok(tx(1) == (int)a, "tx: ESTABLISHED, it is in the events");
	b = known(1, 1, IMSIPSEC_STATE_ESTABLISHED);
	ok(tx(1) == (int)a && no_system_call(), "D7: tx: the older of two ESTABLISHED");
	set_state(a, IMSIPSEC_STATE_ACTIVE, true);
	imsipsec_cache_dispatch(cache, NULL, NULL);
	ok(tx(1) == (int)a, "D7: tx: the ACTIVE one");
	set_state(b, IMSIPSEC_STATE_ACTIVE, false);
	set_state(a, IMSIPSEC_STATE_OLD, false);
	rx(5);
	kernel.requests = kernel.reads = 0;
	ok(tx(1) == (int)b && no_system_call(),
	   "D8: tx: the newer one once a message has come over it");
	destroy(b);
	imsipsec_cache_dispatch(cache, NULL, NULL);
	set_state(a, IMSIPSEC_STATE_OLD, true);
	imsipsec_cache_dispatch(cache, NULL, NULL);
	ok(tx(1) == -ENOENT, "tx: never OLD: %s", imsipsec_cache_strerror(cache));
}

static void test_memory(void)
{
	unsigned int wrong = 0, failed = 0, user;
	uint32_t id;
	long n;
	int got;

	for (n = 1; n <= 6; n++) {
		reset();
		create(1, 1, 0);
		kernel.calloc_fails = n;
		got = imsipsec_cache_open(&cache);
		failed += got == -ENOMEM;
		wrong += got != -ENOMEM && (got || rx(4) != 1);
		wrong += got == -ENOMEM && cache;
	}
	ok(failed == 3 && !wrong, "memory: open");

	failed = 0;
	for (n = 1; n <= 40; n++) {
		reset();
		open_cache();
		for (user = 1; user <= 20; user++)
			create(user, user, 0);
		kernel.calloc_fails = n;
		got = n % 2 ? imsipsec_cache_dispatch(cache, NULL, NULL) : rx(80);
		failed += got == -ENOMEM;
		wrong += got < 0 && got != -ENOMEM;
		kernel.calloc_fails = 0;
		for (user = 1; user <= 20; user++)
			wrong += rx(4 * user) != (int)user;
	}
	ok(!wrong, "memory: without it at any place, all is there the next time");

	reset();
	open_cache();
	kernel.calloc_fails = 1;
	id = create(1, 1, 0);
	create(2, 2, 0);
	ok(!imsipsec_cache_dispatch(cache, NULL, NULL) && kernel.dumps == 2 && rx(4) == (int)id,
	   "memory: not for an event, but for the dump after it");
}

/* What was found names what is looked for, and goes while it is. */
static bool tx_by_own(void)
{
	struct imsipsec_found found, again;
	uint32_t id;

	reset();
	open_cache();
	id = known(1, 1, IMSIPSEC_STATE_OLD);
	imsipsec_rx_mark(cache, 5, &found);
	destroy(id);
	return imsipsec_tx(cache, found.bundle->owner, found.bundle->owner_len, found.bundle->contact,
			   found.bundle->contact_len, &again) == -ENOENT;
}

static bool rx_tuple_by_own(void)
{
	struct imsipsec_found found, again;
	uint32_t id;

	reset();
	open_cache();
	id = known(1, 2, IMSIPSEC_STATE_OLD);
	imsipsec_rx_mark(cache, 6, &found);
	destroy(id);
	return imsipsec_rx_tuple(cache, &found.bundle->address, found.bundle->port_ps,
				 &found.bundle->ue_address, 1, &again) == -ENOENT;
}

/* It goes as the kernel is asked about it, and the search goes on. */
static bool rx_tuple_by_own_asked(void)
{
	struct imsipsec_found found, again;
	uint32_t id;

	reset();
	open_cache();
	id = known(1, 0, IMSIPSEC_STATE_ACTIVE);
	known(1, 2, IMSIPSEC_STATE_ESTABLISHED);
	imsipsec_rx_mark(cache, 6, &found);
	bundle_at(6)->id = 0;
	return !imsipsec_rx_tuple(cache, &found.bundle->address, found.bundle->port_ps,
				  &found.bundle->ue_address, found.bundle->port_uc, &again) &&
	       again.bundle->id == id;
}

/* In a process of its own, which AddressSanitizer ends where it finds something */
static bool apart(bool (*test)(void))
{
	int status = -1;
	pid_t child;

	fflush(stdout);
	child = fork();
	if (!child)
		_exit(!test());
	waitpid(child, &status, 0);
	return WIFEXITED(status) && !WEXITSTATUS(status);
}

static void test_own_pointers(void)
{
	struct imsipsec_found found;

	ok(apart(tx_by_own), "INPUT: own pointers: tx with what was found, which goes meanwhile");
	ok(apart(rx_tuple_by_own), "INPUT: own pointers: rx_tuple with what was found, which goes meanwhile");
	ok(apart(rx_tuple_by_own_asked),
	   "INPUT: own pointers: rx_tuple with what was found, which the kernel does not know any more");
	reset();
	open_cache();
	ok(imsipsec_tx(cache, NULL, 0, NULL, 0, &found) == -ENOENT &&
	   imsipsec_tx(cache, &kernel, IMSIPSEC_OWNER_MAX + 1, "c", 1, &found) == -ENOENT &&
	   imsipsec_tx(cache, "c", 1, &kernel, IMSIPSEC_CONTACT_MAX + 1, &found) == -ENOENT,
	   "INPUT: tx: ENOENT for names that no bundle can have");
}

/* Addresses as a socket of both families has them */
static void test_mapped(void)
{
	struct imsipsec_addr local = { .family = AF_INET6 }, remote = { .family = AF_INET6 };
	struct imsipsec_found found;
	uint32_t id;

	reset();
	open_cache();
	id = known(1, 0, IMSIPSEC_STATE_ACTIVE);
	inet_pton(AF_INET6, "::ffff:192.0.2.1", &local.in6);
	inet_pton(AF_INET6, "::ffff:10.0.0.1", &remote.in6);
	ok(!imsipsec_rx_tuple(cache, &local, 5063, &remote, 6301, &found) && found.bundle->id == id &&
	   !imsipsec_rx_tuple(cache, &local, 5062, &remote, 6300, &found) && no_system_call(),
	   "INPUT: rx_tuple: addresses of a socket of both families");
}

static int calls_of_child(void)
{
	struct imsipsec_found found;
	struct heard heard = { 0 };

	if (rx(4) != -ECHILD || rx_tuple(1, 5063, 6301) != -ECHILD || tx(1) != -ECHILD ||
	    imsipsec_cache_dispatch(cache, hear, &heard) != -ECHILD || heard.n ||
	    imsipsec_rx_mark(cache, 8, &found) != -ECHILD || kernel.requests || kernel.reads)
		return 1;
	imsipsec_cache_close(cache);
	/* To close is but to close: what the other process has to hear is still there. */
	return kernel.requests || kernel.reads ? 2 : 0;
}

static void test_fork(void)
{
	struct heard heard = { 0 };
	int status = -1;
	pid_t child;
	uint32_t id;

	reset();
	open_cache();
	id = known(1, 0, IMSIPSEC_STATE_ACTIVE);
	create(2, 2, 0);
	rx(8);
	create(3, 3, 0);
	kernel.requests = kernel.reads = 0;
	fflush(stdout);
	child = fork();
	if (!child)
		_exit(calls_of_child());
	waitpid(child, &status, 0);
	ok(WIFEXITED(status) && !WEXITSTATUS(status), "INPUT: fork: every call with another process's cache: ECHILD (%d)",
	   WEXITSTATUS(status));
	ok(rx(4) == (int)id && readable() && !imsipsec_cache_dispatch(cache, hear, &heard) && heard.n == 2 &&
	   !readable() && rx(12) > 0, "INPUT: fork: the process that opened it goes on, and hears all");
}

static uint64_t random_state = 0x33203;

static uint32_t random_below(uint32_t n)
{
	random_state ^= random_state >> 12;
	random_state ^= random_state << 25;
	random_state ^= random_state >> 27;
	return (uint32_t)((random_state * 2685821657736338717u) >> 32) % n;
}

/* What the kernel would send over */
static int tx_of_kernel(unsigned int user)
{
	const struct imsipsec_bundle *best = NULL, *b;
	size_t i;

	for (i = 0; i < BUNDLES_MAX; i++) {
		b = &kernel.bundles[i];
		if (!b->id || b->ue_address.in.s_addr != htonl(0x0a000000 + user))
			continue;
		if (b->state == IMSIPSEC_STATE_ACTIVE)
			return b->id;
		if (b->state == IMSIPSEC_STATE_ESTABLISHED && (!best || b->id < best->id))
			best = b;
	}
	return best ? (int)best->id : -ENOENT;
}

/*
 * A step in the life of the bundle of @user in @slot; each user has a registration.
 * Now and then its events are lost; with @overrun the socket says so, else there is
 * but the gap.
 */
static void step(unsigned int user, unsigned int slot, bool overrun)
{
	struct imsipsec_bundle *b = bundle_at(4 * user + slot), *o;
	unsigned int i;

	kernel.lose_events = !random_below(20);
	kernel.overrun |= kernel.lose_events && overrun;
	if (!b) {
		create(user, user, slot);
		return;
	}
	switch (random_below(4)) {
	case 0:
		destroy(b->id);
		return;
	case 1:
		if (b->state == IMSIPSEC_STATE_TEMPORARY)
			set_state(b->id, IMSIPSEC_STATE_ESTABLISHED, true);
		return;
	default:
		if (b->state != IMSIPSEC_STATE_ESTABLISHED)
			return;
		set_state(b->id, IMSIPSEC_STATE_ACTIVE, true);
		for (i = 0; i < 4; i++) {
			o = bundle_at(4 * user + i);
			if (o && o != b && (o->state == IMSIPSEC_STATE_ESTABLISHED ||
					    o->state == IMSIPSEC_STATE_ACTIVE))
				set_state(o->id, IMSIPSEC_STATE_OLD, true);
		}
	}
}

static void test_random(bool overrun)
{
	const char *how = overrun ? "the buffer full" : "gaps";

	enum { STEPS = 20000, USERS = 12 };
	unsigned int i, user, slot, wrong = 0, early = 0;
	const struct imsipsec_bundle *b;
	struct imsipsec_found found;
	int err;

	reset();
	open_cache();
	for (i = 0; i < STEPS; i++) {
		user = 1 + random_below(USERS);
		slot = random_below(4);
		step(user, slot, overrun);

		/* whatever has been read so far: what is still to be used is as the kernel says */
		err = imsipsec_rx_mark(cache, 4 * user + slot, &found);
		b = bundle_at(4 * user + slot);
		if (!err && found.bundle->state < IMSIPSEC_STATE_ACTIVE)
			early += !b || b->id != found.bundle->id || b->state != found.bundle->state;

		if (random_below(4))
			continue;
		/* told that it is up to date, it is */
		kernel.lose_events = false;
		tell(&(struct imsipsec_bundle){ .id = UINT32_MAX }, IMSIPSEC_EVENT_DELETED, 0);
		err = imsipsec_cache_dispatch(cache, NULL, NULL);
		b = bundle_at(4 * user + slot);
		wrong += err || rx(4 * user + slot) != (b ? (int)b->id : -ENOENT) ||
			 (b && rx_state(4 * user + slot) != b->state) ||
			 tx(user) != tx_of_kernel(user);
	}
	ok(!wrong, "random: %s: after %d steps it has what the kernel has", how, STEPS);
	ok(!early, "random: %s: a state that may change is never that of before", how);
	reset();
}

#define SAME(member)	(!memcmp(&a->member, &b->member, sizeof(a->member)))

/* Is it all there, and nothing else? */
static bool is_whole(const struct imsipsec_bundle *a, const struct imsipsec_bundle *b)
{
	return SAME(id) && SAME(owner) && SAME(owner_len) && SAME(contact) && SAME(contact_len) &&
	       SAME(state) && SAME(mode) && SAME(alg) && SAME(ealg) && SAME(address) &&
	       SAME(ue_address) && SAME(port_pc) &&
	       SAME(port_ps) && SAME(port_uc) && SAME(port_us) && SAME(registration) &&
	       SAME(mark) && SAME(ue_nat_address) && SAME(ue_nat_port) && SAME(unmarked) &&
	       SAME(udp_only) && SAME(offload) && SAME(offload_reason) &&
	       SAME(offload_interface) && SAME(tcp_only) &&
	       a->last_rx_ms == IMSIPSEC_NEVER && !a->rx_packets && SAME(reserved);
}

/* There may be a million, in each of many processes. */
static void test_length(void)
{
	struct imsipsec_bundle *b;
	struct imsipsec_found found;
	char name[IMSIPSEC_CONTACT_MAX];
	bool same = true;
	size_t len;

	reset();
	make(1, 1, 0);
	make(2, 2, 0);
	if (!open_cache())
		exit(1);
	memset(name, 'x', sizeof(name));
	/* Long, then short, then long again: nothing is left of another one. */
	for (len = IMSIPSEC_OWNER_MAX; len; len /= 2) {
		b = make(3, 3, 0);
		memset(b->owner, 0, sizeof(b->owner));
		memset(b->contact, 0, sizeof(b->contact));
		memcpy(b->owner, name, len);
		b->owner_len = len;
		memcpy(b->contact, name, 2 * len);
		b->contact_len = 2 * len;
		b->ue_nat_address.family = len % 3 ? AF_INET : 0;
		b->ue_nat_address.in.s_addr = b->ue_nat_address.family;
		b->state = IMSIPSEC_STATE_ACTIVE;
		largest = 0;
		tell(b, IMSIPSEC_EVENT_CREATED, b->state);
		same &= !imsipsec_cache_dispatch(cache, NULL, NULL);
		if (largest > 106 + 2 * 4 + 4 + 3 * len + 2 * 15) {
			printf("# %zu bytes for names of %zu\n", largest, 3 * len);
			same = false;
		}
		same &= !imsipsec_rx_mark(cache, b->mark, &found) && is_whole(found.bundle, b);
		b->id = 0;
	}
	ok(same, "CACHE: an entry is as long as its names, and gives the whole bundle");
}

static size_t random_name(uint8_t *name, size_t most)
{
	static const size_t lens[] = { 1, 15, 16, 17, 31, 32, 33, IMSIPSEC_CONTACT_MAX };
	size_t len = lens[random_below(sizeof(lens) / sizeof(*lens))];

	if (len > most)
		len = most;
	memset(name, 0, most);
	memset(name, 'a' + random_below(26), len);
	return len;
}

static void random_addr(struct imsipsec_addr *addr)
{
	*addr = (struct imsipsec_addr){ .family = random_below(2) ? AF_INET : AF_INET6 };
	memset(&addr->in6, 1 + random_below(255),
	       addr->family == AF_INET ? sizeof(addr->in) : sizeof(addr->in6));
}

/* What was found last is where the next one goes. */
static void test_turns(void)
{
	enum { MANY = 64, TURNS = 4000 };
	static struct imsipsec_bundle all[MANY];
	struct imsipsec_found found;
	struct imsipsec_bundle *b;
	unsigned int i, wrong = 0;

	reset();
	if (!open_cache())
		exit(1);
	for (i = 0; i < MANY; i++) {
		b = make(i, 1 + i, 0);
		b->owner_len = random_name(b->owner, sizeof(b->owner));
		b->contact_len = random_name(b->contact, sizeof(b->contact));
		random_addr(&b->address);
		random_addr(&b->ue_address);
		b->alg = 1 + random_below(2);
		b->ealg = 1 + random_below(3);
		b->offload = random_below(4);
		b->state = IMSIPSEC_STATE_ACTIVE + random_below(2);
		/* Every other one has something of what is rare. */
		switch (random_below(10)) {
		case 0:
			random_addr(&b->ue_nat_address);
			b->ue_nat_port = 1 + random_below(65535);
			break;
		case 1:
			b->unmarked = true;
			break;
		case 2:
			b->udp_only = true;
			break;
		case 3:
			b->offload_reason = IMSIPSEC_OFFLOAD_REASON_DOWN;
			break;
		case 4:
			strcpy(b->offload_interface, "eth0");
			break;
		}
		all[i] = *b;
		tell(b, IMSIPSEC_EVENT_CREATED, b->state);
		b->id = 0;
	}
	wrong += !!imsipsec_cache_dispatch(cache, NULL, NULL);
	for (i = 0; i < TURNS; i++) {
		b = &all[random_below(MANY)];
		wrong += imsipsec_rx_mark(cache, b->mark, &found) || !is_whole(found.bundle, b);
	}
	ok(!wrong, "CACHE: of any two bundles in turn, the second has nothing of the first (%u of %d)",
	   wrong, TURNS);
}

int main(void)
{
	test_open();
	test_mark();
	test_miss();
	test_loss();
	test_reuse();
	test_tuple();
	test_udp_only();
	test_nat_mapping();
	test_tx();
	test_memory();
	test_own_pointers();
	test_mapped();
	test_fork();
	test_length();
	test_turns();
	test_random(false);
	test_random(true);
	return done();
}
