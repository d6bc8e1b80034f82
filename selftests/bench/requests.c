// SPDX-License-Identifier: GPL-2.0-only
/*
 * What a request costs beside many bundles, and how long one waits while others are gone
 * through, in guest instructions (clock.h).
 *
 *	requests ROW...
 *
 * Writes lines "row ours instructions". A row is WHAT-N, beside N bundles of UEs behind NATs, of
 * which each has two policies:
 *
 *	trace		what was refused last, of N refusals
 *	flush, claim	the bundles of a contact end; those of a subscriber are shown
 *	flush-ue, get-ue	the same of a UE's address
 *	create-there	a UE's, at an address that all others say to be theirs
 *	find-tuple, find-spi, find-mark, tx, tx-port	which bundle a message came over, and which to
 *			send over
 *	policy		others' policies come and go: all that the CPU does for one
 *	wait-flush, wait-get	how long another request waits at most, while all are looked at and
 *			none is meant
 *	wait-restore	likewise while policies come back that somebody has flushed
 *	wait-gone	likewise after somebody has had an SA expire
 *	wait-end	likewise while all end with their endpoint
 *
 * Who waits goes before others, and begins to count when he would like to have the CPU, or for
 * wait-restore and wait-end, of which others than the module have their part, when he has it.
 */
#include <arpa/inet.h>
#include <err.h>
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <libmnl/libmnl.h>
#include <linux/xfrm.h>

#include "clock.h"
#include "net.h"
#include "ours.h"
#include "packet.h"
#include "wait.h"
#include "xfrm.h"

#define TIMES		16	/* measured, of which the median counts */
#define PORT_NATT	4500
#define PRIVATE		0xc0a80102	/* 192.168.1.2 */

static struct setup setup = { .family = AF_INET, .encap = PORT_NATT };
static size_t n_ues, registered, policies;
static bool inside;	/* all have one private address */

/* ---- XFRM ------------------------------------------------------------ */

static void flush_policies(void)
{
	char buf[MNL_SOCKET_BUFFER_SIZE];

	net_request(NETLINK_XFRM, net_start_message(buf, XFRM_MSG_FLUSHPOLICY), "flush");
}

/* As an IKE daemon has them */
static void others_policy(bool there)
{
	const xfrm_address_t net = { .a4 = htonl(0xcb007100) };
	const struct xfrm_selector sel = {
		.family = AF_INET, .daddr = net, .saddr = setup.addr, .prefixlen_d = 24, .prefixlen_s = 32,
	};
	struct xfrm_userpolicy_info *policy;
	struct xfrm_userpolicy_id *id;
	char buf[MNL_SOCKET_BUFFER_SIZE];
	struct nlmsghdr *nlh;

	nlh = net_start_message(buf, there ? XFRM_MSG_NEWPOLICY : XFRM_MSG_DELPOLICY);
	if (there) {
		policy = mnl_nlmsg_put_extra_header(nlh, sizeof(*policy));
		policy->sel = sel;
		policy->lft = (struct xfrm_lifetime_cfg) { XFRM_INF, XFRM_INF, XFRM_INF, XFRM_INF };
		policy->dir = XFRM_POLICY_OUT;
		policy->priority = 1000;
	} else {
		id = mnl_nlmsg_put_extra_header(nlh, sizeof(*id));
		id->sel = sel;
		id->dir = XFRM_POLICY_OUT;
	}
	net_request(NETLINK_XFRM, nlh, "policy");
}

static void expire_sa(const struct ue *ue)
{
	char buf[MNL_SOCKET_BUFFER_SIZE];
	struct nlmsghdr *nlh = net_start_message(buf, XFRM_MSG_EXPIRE);
	struct xfrm_user_expire *expire = mnl_nlmsg_put_extra_header(nlh, sizeof(*expire));

	expire->state.id.daddr = setup.addr;
	expire->state.id.spi = htonl(ue->spi[SPI_PS]);
	expire->state.id.proto = IPPROTO_ESP;
	expire->state.family = AF_INET;
	expire->hard = 1;
	net_request(NETLINK_XFRM, nlh, "expire");
}

/* ---- UEs ------------------------------------------------------------- */

static struct ue add_ue(size_t n)
{
	struct ue ue = make_ue(&setup, n);

	if (inside)
		ue.addr.a4 = htonl(PRIVATE);
	ours_create(&setup, &ue);
	ours_confirm(&ue, IMSIPSEC_OLDER_DROP);
	return ue;
}

static void populate(void)
{
	for (; registered < n_ues; registered++)
		add_ue(registered + 1);
	policies = count_policies();
}

static struct imsipsec_bundle_filter filter_of(const struct ue *ue, bool by_address)
{
	struct imsipsec_bundle_filter filter = { 0 };

	if (by_address) {
		filter.ue_address.family = AF_INET;
		filter.ue_address.in.s_addr = ue->addr.a4;
	} else {
		filter.owner = ue->owner;
		filter.owner_len = strlen(ue->owner);
		filter.contact = ue->contact;
		filter.contact_len = strlen(ue->contact);
	}
	return filter;
}

/* ---- What a request costs -------------------------------------------- */

static int count_bundle(const struct imsipsec_bundle *b, void *data)
{
	(void)b;
	++*(unsigned int *)data;
	return 0;
}

static int count_trace(const struct imsipsec_trace *t, void *data)
{
	(void)t;
	++*(unsigned int *)data;
	return 0;
}

static double measure_trace(void)
{
	struct imsipsec_bundle_params params = {
		.endpoint = setup.endpoint + 1,
		.owner = "o", .owner_len = 1, .contact = "c", .contact_len = 1,
		.alg = setup.pair->alg, .ealg = setup.pair->ealg, .mode = IMSIPSEC_MODE_TRANS,
		.ue_address = { .family = AF_INET, .in.s_addr = htonl(0x0a000001) },
		.port_uc = PORT_UC, .port_us = PORT_US, .spi_uc = 4096, .spi_us = 4097,
	};
	const struct imsipsec_bundle *b;
	uint64_t costs[TIMES], t;
	unsigned int n;

	for (size_t i = 0; i < n_ues; i++)
		if (!imsipsec_bundle_new(handle, &params, &b))
			errx(2, "there is an endpoint %u", params.endpoint);
	for (int i = 0; i < TIMES; i++) {
		n = 0;
		t = now();
		must(imsipsec_trace_dump(handle, NULL, count_trace, &n));
		costs[i] = now() - t;
		if (n != 64)
			errx(2, "%u refusals are shown", n);
	}
	return median(costs, TIMES);
}

static double measure_flush(bool by_address)
{
	uint64_t costs[TIMES], t;
	uint32_t n;

	for (int i = 0; i < TIMES; i++) {
		const struct ue ue = add_ue(n_ues + 1);
		const struct imsipsec_bundle_filter filter = filter_of(&ue, by_address);

		t = now();
		must(imsipsec_bundle_flush(handle, &filter, 0, &n));
		costs[i] = now() - t;
		if (n != 1)
			errx(2, "%u bundles ended", n);
		sleep_ms(1);
	}
	return median(costs, TIMES);
}

static double measure_get(bool by_address)
{
	uint64_t costs[TIMES], t;
	unsigned int n;

	for (int i = 0; i < TIMES; i++) {
		const struct ue ue = make_ue(&setup, n_ues / TIMES * i + 1);
		const struct imsipsec_bundle_filter filter = filter_of(&ue, by_address);

		n = 0;
		t = now();
		if (by_address)
			must(imsipsec_bundle_dump(handle, &filter, count_bundle, &n));
		else
			must(imsipsec_bundle_claim(handle, filter.owner, filter.owner_len,
						   count_bundle, &n));
		costs[i] = now() - t;
		if (n != 1)
			errx(2, "%u bundles are shown", n);
	}
	return median(costs, TIMES);
}

/* Their tunnels come from elsewhere: it is the UE's own, and of one that has other ports */
static double measure_create(void)
{
	struct setup clear = setup;
	uint64_t costs[TIMES], t;

	clear.encap = 0;
	for (int i = 0; i < TIMES; i++) {
		struct ue ue = make_ue(&setup, n_ues + 1);

		ue.addr.a4 = htonl(PRIVATE);
		ue.port_uc++;
		ue.port_us = PORT_US + 1;
		t = now();
		ours_create(&clear, &ue);
		costs[i] = now() - t;
		ours_delete(&ue);
		sleep_ms(1);
	}
	return median(costs, TIMES);
}

enum find {
	FIND_TUPLE,
	FIND_SPI,
	FIND_MARK,
	FIND_TX,
	FIND_TX_PORT,
};

static int copy_bundle(const struct imsipsec_bundle *b, void *data)
{
	*(struct imsipsec_bundle *)data = *b;
	return 0;
}

static int find_bundle(enum find what, const struct imsipsec_bundle *b,
		       const struct imsipsec_bundle **found)
{
	switch (what) {
	case FIND_TUPLE:
		return imsipsec_bundle_find_tuple(handle, &b->address, b->port_ps, &b->ue_address,
						  b->port_uc, found);
	case FIND_SPI:
		return imsipsec_bundle_find_spi(handle, b->spi_pc, found);
	case FIND_MARK:
		return imsipsec_bundle_find_mark(handle, b->mark, found);
	case FIND_TX:
		return imsipsec_bundle_tx(handle, b->id, found);
	default:
		return imsipsec_bundle_tx_port(handle, &b->address, &b->ue_address, b->port_us,
					       found);
	}
}

static double measure_find(enum find what)
{
	const struct imsipsec_bundle *found;
	uint64_t costs[TIMES], t;

	for (int i = 0; i < TIMES; i++) {
		const struct ue ue = make_ue(&setup, n_ues / TIMES * i + 1);
		const struct imsipsec_bundle_filter filter = filter_of(&ue, true);
		struct imsipsec_bundle b = { .id = 0 };

		must(imsipsec_bundle_dump(handle, &filter, copy_bundle, &b));
		t = now();
		must(find_bundle(what, &b, &found));
		costs[i] = now() - t;
		if (found->id != b.id)
			errx(2, "bundle %u is found, not %u", found->id, b.id);
	}
	return median(costs, TIMES);
}

/* What others do makes work for later */
static double measure_policy(void)
{
	uint64_t costs[TIMES], t;

	for (int i = 0; i < TIMES; i++) {
		settle(20);
		t = busy_clock();
		others_policy(true);
		others_policy(false);
		settle(20);
		costs[i] = busy_clock() - t;
	}
	return median(costs, TIMES);
}

/* ---- How long one waits ---------------------------------------------- */

/* Of few, so often that who waits comes at any moment */
static size_t rounds(void)
{
	return n_ues < 1000 ? 64 : 2;
}

/* Of nobody: all are established */
static const struct imsipsec_bundle_filter none = {
	.state = IMSIPSEC_STATE_TEMPORARY,
};

static void flush_none(void)
{
	uint32_t n;

	for (size_t i = 0; i < rounds(); i++)
		must(imsipsec_bundle_flush(handle, &none, 0, &n));
}

static void get_none(void)
{
	unsigned int n = 0;

	for (size_t i = 0; i < rounds(); i++)
		must(imsipsec_bundle_dump(handle, &none, count_bundle, &n));
}

static void restore(void)
{
	for (size_t i = 0; i < rounds(); i++) {
		flush_policies();
		while (count_policies() != policies)
			sleep_ms(1);
	}
}

static struct ue last;

static void lose_last(void)
{
	const struct imsipsec_bundle *b;

	expire_sa(&last);
	/* without a pause: how long the CPU idles is the host's affair */
	while (!imsipsec_bundle_get(handle, last.id, &b))
		;
}

static void end_all(void)
{
	must(imsipsec_endpoint_delete(handle, setup.endpoint, true));
}

static double measure_gone(void)
{
	double longest = 0, wait;

	/* XFRM looks at each new SA and policy a second later, all at once */
	settle(1200);
	for (size_t i = 0; i < rounds(); i++) {
		last = add_ue(n_ues + 1);
		wait = wait_during(lose_last, true);
		longest = wait > longest ? wait : longest;
	}
	return longest;
}

static double measure_end(void)
{
	double longest = 0, wait;

	for (size_t i = 0; i < (rounds() + 7) / 8; i++) {
		populate();
		settle(40);
		wait = wait_during(end_all, false);
		longest = wait > longest ? wait : longest;
		registered = 0;
		ours_open(&setup, PORT_PS, PORT_PC);
	}
	return longest;
}

/* ---- Rows ------------------------------------------------------------ */

/* In this order: the last one leaves nothing */
static const char *const whats[] = {
	"trace", "flush", "claim", "flush-ue", "get-ue", "policy", "wait-flush", "wait-get",
	"wait-restore", "wait-gone", "find-tuple", "find-spi", "find-mark", "tx", "tx-port",
	"wait-end", "create-there",
};

/* Has all others at one address */
#define CREATE_THERE	16

struct row {
	size_t what, n;
};

static double measure(size_t what)
{
	switch (what) {
	case 0:
		return measure_trace();
	case 1:
	case 3:
		return measure_flush(what == 3);
	case 2:
	case 4:
		return measure_get(what == 4);
	case 5:
		return measure_policy();
	case 6:
		return wait_during(flush_none, true);
	case 7:
		return wait_during(get_none, true);
	case 8:
		return wait_during(restore, false);
	case 9:
		return measure_gone();
	case 10:
	case 11:
	case 12:
	case 13:
	case 14:
		return measure_find(what - 10);
	case CREATE_THERE:
		return measure_create();
	default:
		return measure_end();
	}
}

static struct row parse_row(const char *name)
{
	const char *dash = strrchr(name, '-');
	struct row row = { .what = ARRAY_SIZE(whats) };

	for (size_t i = 0; dash && i < ARRAY_SIZE(whats); i++)
		if (strlen(whats[i]) == (size_t)(dash - name) && !strncmp(name, whats[i], dash - name))
			row.what = i;
	row.n = dash ? strtoul(dash + 1, NULL, 10) : 0;
	if (row.what == ARRAY_SIZE(whats) || row.n < TIMES)
		errx(2, "no row %s", name);
	return row;
}

static int compare_rows(const void *a, const void *b)
{
	const struct row *x = a, *y = b;

	if ((x->what == CREATE_THERE) != (y->what == CREATE_THERE))
		return x->what == CREATE_THERE ? 1 : -1;
	if (x->n != y->n)
		return x->n < y->n ? -1 : 1;
	return x->what < y->what ? -1 : x->what > y->what;
}

/* Those beside the same population */
struct batch {
	const struct row *rows;
	size_t n;
};

static void measure_all(const void *data)
{
	const struct batch *batch = data;
	const struct row *rows = batch->rows;
	size_t n = batch->n;

	if (unshare(CLONE_NEWNET))
		err(2, "unshare");
	xfrm_look();
	ours_open(&setup, PORT_PS, PORT_PC);
	if (imsipsec_open(&handle))
		err(2, "open");
	inside = rows->what == CREATE_THERE;
	n_ues = rows->n;
	populate();
	settle(40);
	for (; n; n--, rows++) {
		printf("%s-%zu ours %.0f\n", whats[rows->what], rows->n, measure(rows->what));
		fflush(stdout);
		settle(40);
	}
}

int main(int argc, char **argv)
{
	struct row *rows = calloc(argc, sizeof(*rows));
	size_t n_rows = argc - 1, n;

	if (!n_rows || !rows)
		errx(2, "usage: requests ROW...");
	for (size_t i = 0; i < n_rows; i++)
		rows[i] = parse_row(argv[i + 1]);
	qsort(rows, n_rows, sizeof(*rows), compare_rows);

	setup.sys = &ours;
	setup.pair = &pairs[1];
	setup.addr.a4 = htonl(0xc0000201);
	check_clock();
	spinning = start_spinner();
	for (; n_rows; n_rows -= n, rows += n) {
		for (n = 1; n < n_rows && rows[n].n == rows->n; n++)
			if ((rows[n].what == CREATE_THERE) != (rows->what == CREATE_THERE))
				break;
		measure_apart(measure_all, &(struct batch) { rows, n });
	}
	kill(spinning, SIGKILL);
	return 0;
}
