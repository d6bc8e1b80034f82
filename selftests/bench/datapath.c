// SPDX-License-Identifier: GPL-2.0-only
/*
 * What a packet costs, in guest instructions (clock.h).
 *
 *	datapath SYSTEM ROW...
 *
 * SYSTEM is "ours": the module; "before": the module of another tree, which is loaded
 * instead; "stock": what OpenSIPS leaves in XFRM, the module not being loaded; "exact":
 * the same with reqids that do not collide; "none": nobody is registered. Writes lines
 * "row system instructions". A row is
 *
 *	inbound[-nat|-ipv6]-N		a UE's packet, received; from behind a NAT
 *	inbound-gro[-ipv6]-N		the same by way of GRO
 *	inbound-shipped[-ipv6]-N, outbound-shipped[-ipv6]-N	with the shipped configuration,
 *					and an interface that has GRO
 *	inbound-oldest-N		of the 16 UEs that were the first to send
 *	inbound-nat-inside-N, outbound-nat-inside-N	all behind one NAT, whose address
 *					is the one within their tunnels
 *	lock-N				how long xfrm_state_lock is held (lock/lock.c)
 *	activate[-same-ports]-N		what a UE's first message over a new set costs
 *					more than the next one: taking it into use
 *	rx-mark-N			imsipsec_rx_mark()
 *	cache-memory-N			bytes that imsipsec_cache_open() takes
 *	outbound[-nat|-ipv6]-N		a packet to a UE
 *	other-in[-ipv6], other-out[-ipv6]	somebody else's packet, plain UDP
 *	forwarded[-ipv6]		the same, not to this host, which passes it on
 *	load-N, memory-N, create-N, delete-N	to make the N one after the other, and bytes,
 *					each; one more is made, and ends
 *	held-load-N, held-expire-N, held-end-N	how long one is kept from the CPU, and from
 *					an answer, at most, while N are made, expire together, end
 *					with their endpoint
 *	inbound-apart-N and others	N in 16 network namespaces, one of which is measured
 *
 * beside N UEs, each of which is registered and, inbound, has sent before. UEs'
 * addresses are sequential, as an operator's pool hands them out, and so are
 * their SPIs, and stock's. Packets are of all UEs in turn.
 *
 * Inbound: a frame with ESP is written to a TAP device, which takes it through
 * the kernel within write(), up to the socket or (transport mode without GRO) to a
 * kernel thread that brings it there; then it is read from the socket, and only
 * then the next is written. All that the CPU did is counted, but for the injection,
 * which is measured right before, with frames of the same length to somebody
 * else's MAC address, which IP drops before it looks at them: write(), the TAP
 * device (and GRO, for that), making and freeing the packet's buffer. It is the
 * same for all systems. Of other-in and forwarded it is not subtracted. What is
 * forwarded is through within write(): it leaves by a dummy device.
 *
 * Outbound: sendto() from the protected port; a dummy device takes the packets.
 *
 * Ciphers are what a machine with AES in its CPU has: net_load_ciphers().
 *
 * A figure counts only if all packets arrived with what was in them or, outbound,
 * if each SA's own counter rose by what was sent over it.
 */
#include <arpa/inet.h>
#include <err.h>
#include <errno.h>
#include <linux/if_tun.h>
#include <linux/udp.h>
#include <netinet/in.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "clock.h"
#include "memory.h"
#include "net.h"
#include "ours.h"
#include "packet.h"
#include "wait.h"
#include "xfrm.h"

#define BATCH		256	/* packets */
#define BATCHES		16
#define OLDEST		16
#define SWITCHED	64	/* UEs of a batch that take a new set into use */
#define APART		16	/* network namespaces */
#define CREATED		64
#define LINGER		150000	/* ns a UE: timers of the kernel's would all fire as one then */
#define LINGER_MS(n)	((n) * (uint64_t)LINGER / 1000000 + 3000)
#define OTHERS		1000	/* UEs registered while others' packets are measured */
#define PATIENCE	10	/* seconds for a row, should a packet get lost */
#define A_SECOND	20000	/* UEs that send in a second at least */
#define PORT_NATT	4500
#define PORT_OTHER	5099

enum what {
	INBOUND, INBOUND_OLDEST, INBOUND_GRO, LOCK, ACTIVATE, ACTIVATE_SAME_PORTS, RX_MARK,
	CACHE_MEMORY, OUTBOUND, LOAD, MEMORY, CREATE, DELETE, HELD_EXPIRE, HELD_LOAD, HELD_END,
	OTHER_IN, OTHER_OUT, FORWARDED
};

struct row {
	const char *name;
	enum what what;
	sa_family_t family;
	uint16_t encap;
	bool inside;
	bool shipped;
	bool apart;
	size_t n;
};

struct datagram {
	union addr {
		struct sockaddr_in in;
		struct sockaddr_in6 in6;
		struct sockaddr sa;
	} from;
	struct payload payload;
	ssize_t len;
};

static const struct system none = { "none" };
static const struct column {
	const char *name;
	const struct system *sys;
} columns[] = {
	{ "ours", &ours }, { "before", &ours }, { "stock", &opensips }, { "exact", &scattered },
	{ "none", &none },
}, *column;

static struct setup setup;
static struct ue *ues;		/* who is forked writes there, too */
static uint32_t *seqs;		/* of the packets that each UE has sent */
static size_t registered, active;
static size_t crowd;		/* UEs of the row that is measured */
static double load, memory;	/* a UE: instructions, bytes */
static size_t policies;		/* the endpoint's */
static struct tap tap, napi_tap;
static int protected, other;	/* sockets */

static struct frame frames[BATCH];
static struct datagram datagrams[BATCH];
static struct payload payloads[BATCH];
static uint64_t costs[BATCHES];

/* ---- UEs ------------------------------------------------------------- */

/* Ours has none, but for tunnels, one for each outbound SA. */
static size_t policies_a_ue(void)
{
	return setup.sys == &ours && setup.encap ? SAS / 2 : setup.sys->policies;
}

static void add_ue(size_t i)
{
	ues[i] = make_ue(&setup, i + 1);
	if (setup.sys == &ours) {
		ours_create(&setup, &ues[i]);
		ours_confirm(&ues[i], IMSIPSEC_OLDER_DROP);
	} else {
		peer_create(&setup, &ues[i]);
	}
}

static void grow(size_t n)
{
	/* Who is inside one address is not told by it. */
	const size_t samples = setup.inside ? 0 : 8, more = n - registered;
	const bool ask = n > registered;
	uint64_t busy;
	long slab;

	if (ask) {
		settle(40);
		slab = read_slab();
		busy = busy_clock();
	}
	for (; registered < n; registered++)
		add_ue(registered);
	if (ask) {
		settle(40);
		load = (busy_clock() - busy) / (double)more;
		memory = (read_slab() - slab) / (double)more;
	}
	if (count_sas() != n * SAS || count_policies() != policies + n * policies_a_ue())
		errx(2, "%s: %zu SAs and %zu policies are there", column->name, count_sas(),
		     count_policies());
	for (size_t i = 0; i < samples; i++)
		check_registered(&setup, &ues[i * (n - 1) / (samples - 1)], true);
}

/*
 * All in turn, yet any few of them evenly spread: in steps of the golden section,
 * or a little more, that no divisor of n divides.
 */
static size_t step(size_t n)
{
	size_t s = n * 0.618, a, b, t;

	do {
		s++;
		for (a = n, b = s; b; t = a % b, a = b, b = t)
			;
	} while (a != 1);
	return s;
}

/* ---- Inbound --------------------------------------------------------- */

static void make_esp_of(size_t slot, size_t i, const struct tap *t)
{
	make_payload(&payloads[slot], i, ++seqs[i]);
	make_esp(&frames[slot], &setup, t->mac, &ues[i], seqs[i], &payloads[slot]);
}

static uint64_t inject(const struct tap *t, size_t n)
{
	uint64_t before = busy_clock();

	for (size_t i = 0; i < n; i++)
		if (write(t->fd, frames[i].data, frames[i].len) != (ssize_t)frames[i].len)
			err(2, "TAP device");
	return busy_clock() - before;
}

/* One at a time: the next is sent when the last one has been read. */
static uint64_t inject_and_receive(const struct tap *t, int fd, size_t n)
{
	uint64_t before = busy_clock();

	for (size_t i = 0; i < n; i++) {
		struct datagram *d = &datagrams[i];
		socklen_t len = sizeof(d->from);

		if (write(t->fd, frames[i].data, frames[i].len) != (ssize_t)frames[i].len)
			err(2, "TAP device");
		d->len = recvfrom(fd, &d->payload, sizeof(d->payload), 0, &d->from.sa, &len);
	}
	return busy_clock() - before;
}

/* Did all arrive, in order, unaltered, from whom they are, and nothing else? */
static void check_datagrams(int fd, size_t n, const struct ue *(*sender)(size_t slot))
{
	char more;

	for (size_t i = 0; i < n; i++) {
		const struct datagram *d = &datagrams[i];
		const struct ue *ue = sender(i);
		const void *addr = setup.family == AF_INET ? (void *)&d->from.in.sin_addr
							   : (void *)&d->from.in6.sin6_addr;

		if (d->len != sizeof(d->payload) ||
		    memcmp(&d->payload, &payloads[i], sizeof(d->payload)) ||
		    memcmp(addr, &ue->addr, setup.family == AF_INET ? 4 : 16) ||
		    d->from.in.sin_port != htons(ue->port_uc))
			errx(2, "%s: not what was sent", column->name);
	}
	if (recv(fd, &more, sizeof(more), MSG_DONTWAIT) >= 0 || errno != EAGAIN)
		errx(2, "%s: more than was sent", column->name);
}

static const struct ue *registered_sender(size_t slot)
{
	return &ues[payloads[slot].ue];
}

/* A packet of each that has not sent any yet */
static void activate(size_t n)
{
	while (active < n) {
		size_t slots = 0;

		while (slots < BATCH && active < n)
			make_esp_of(slots++, active++, &tap);
		inject_and_receive(&tap, protected, slots);
		check_datagrams(protected, slots, registered_sender);
	}
}

static double measure_injection(const struct tap *t, size_t len)
{
	uint64_t received = net_counter(&setup, "InReceives");

	for (size_t i = 0; i < BATCH; i++)
		make_stray(&frames[i], &setup, &ues[0], len);
	for (size_t b = 0; b < BATCHES; b++)
		costs[b] = inject(t, BATCH);
	if (net_counter(&setup, "InReceives") != received)
		errx(2, "what is not for us is looked at");
	return median(costs, BATCHES) / BATCH;
}

/*
 * IP counts a packet when it comes, again when it comes out of a tunnel, and whenever a
 * protocol has taken it: ESP and UDP, or UDP alone if ESP was there before, in GRO.
 */
static double measure_inbound(const struct row *row)
{
	const bool gro = row->what == INBOUND_GRO;
	const struct tap *t = gro ? &napi_tap : &tap;
	const size_t n = row->what == INBOUND_OLDEST ? OLDEST : row->n;
	size_t s = step(n), next = 0;
	uint64_t received, delivered;
	double injection;

	make_esp_of(0, 0, t);
	injection = measure_injection(t, frames[0].len);

	received = net_counter(&setup, "InReceives");
	delivered = net_counter(&setup, "InDelivers");
	for (size_t b = 0; b < BATCHES; b++) {
		for (size_t i = 0; i < BATCH; i++, next = (next + s) % n)
			make_esp_of(i, next, t);
		sleep_ms(1);
		costs[b] = inject_and_receive(t, protected, BATCH);
		check_datagrams(protected, BATCH, registered_sender);
	}
	received = net_counter(&setup, "InReceives") - received;
	delivered = net_counter(&setup, "InDelivers") - delivered;
	if (received != BATCH * BATCHES * (setup.encap ? 2 : 1))
		errx(2, "%s: %lu packets", row->name, received);
	if (!setup.encap && delivered != received * (gro ? 1 : 2))
		errx(2, "%s: %s GRO", row->name, gro ? "not by way of" : "by way of");
	return median(costs, BATCHES) / BATCH - injection;
}

static long lock_parameter(const char *name, const char *mode, long value)
{
	char path[64];
	FILE *f;

	snprintf(path, sizeof(path), "/sys/module/lock/parameters/%s", name);
	f = fopen(path, mode);
	if (!f || (*mode == 'w' ? fprintf(f, "%ld\n", value) : fscanf(f, "%ld", &value)) < 1 ||
	    fclose(f))
		err(2, "%s", path);
	return value;
}

/*
 * lock.ko takes the namespace of whoever loads it. Stock holds the lock when a UE
 * sends for the first time (6.12) or never (6.1).
 */
static double measure_lock(const struct row *row)
{
	long held;

	if (system("exec insmod \"$(dirname \"$(readlink /proc/$PPID/exe)\")/lock-$(uname -r).ko\""))
		errx(2, "lock.ko");
	lock_parameter("on", "w", 1);
	measure_inbound(row);
	lock_parameter("on", "w", 0);
	held = lock_parameter("held", "r", 0);
	if (system("exec rmmod lock"))
		errx(2, "lock.ko");
	return held / (double)(BATCH * BATCHES);
}

/* ---- Ours alone ------------------------------------------------------ */

/* A message of each of so many UEs, and all that the kernel does later for them */
static uint64_t message_of_each(size_t first, size_t n)
{
	uint64_t before;

	for (size_t i = 0; i < n; i++)
		make_esp_of(i, first + i, &tap);
	sleep_ms(1);
	before = busy_clock();
	inject_and_receive(&tap, protected, n);
	sleep_ms(20);
	before = busy_clock() - before;
	check_datagrams(protected, n, registered_sender);
	return before;
}

/*
 * The 200 OK has been sent, the UE has two sets, and somebody listens to the events.
 * When it is over, the UE has the new one.
 */
static double measure_activate(const struct row *row)
{
	const size_t dormant = row->what == ACTIVATE ? 1 : 2;
	struct ue old[SWITCHED];

	for (size_t b = 0; b < BATCHES; b++) {
		const size_t first = b * SWITCHED;

		for (size_t i = 0; i < SWITCHED; i++) {
			struct ue *ue = &ues[first + i];

			old[i] = *ue;
			if (row->what == ACTIVATE)
				ue->port_uc++;
			ue->spi[SPI_UC] += 1 << 28;
			ue->spi[SPI_US] += 1 << 28;
			seqs[first + i] = 0;
			ours_create(&setup, ue);
			ours_confirm(ue, IMSIPSEC_OLDER_KEEP);
		}
		ours_listen();
		settle(40);
		costs[b] = message_of_each(first, SWITCHED);
		costs[b] -= message_of_each(first, SWITCHED);
		/* Of SAs for the same packets, the old one has gone. */
		if (count_sas() != registered * SAS + SWITCHED * (SAS - dormant))
			errx(2, "%s: %zu SAs are there", row->name, count_sas());
		ours_listen();
		for (size_t i = 0; i < SWITCHED; i++) {
			struct imsipsec_found found;

			ours_rx_mark(&old[i], &found);
			if (found.bundle->state != IMSIPSEC_STATE_OLD)
				errx(2, "%s: the new set is not used", row->name);
			ours_delete(&old[i]);
		}
	}
	return median(costs, BATCHES) / SWITCHED;
}

static double measure_rx_mark(const struct row *row)
{
	const size_t s = step(row->n);
	struct imsipsec_found found;
	uint32_t ids[BATCH];
	size_t next = 0;

	ours_listen();
	for (size_t b = 0; b < BATCHES; b++) {
		size_t first = next;
		uint64_t t = now();

		for (size_t i = 0; i < BATCH; i++, next = (next + s) % row->n) {
			ours_rx_mark(&ues[next], &found);
			ids[i] = found.bundle->id;
		}
		costs[b] = now() - t;
		for (size_t i = 0; i < BATCH; i++, first = (first + s) % row->n)
			if (ids[i] != ues[first].id)
				errx(2, "%s: not the UE's", row->name);
	}
	return median(costs, BATCHES) / BATCH;
}

/* ---- Outbound -------------------------------------------------------- */

static uint64_t send_to(int fd, const union addr *to, size_t n)
{
	uint64_t before = busy_clock();

	for (size_t i = 0; i < n; i++)
		if (sendto(fd, &payloads[i], PAYLOAD, 0, &to[i].sa, sizeof(to[i])) != PAYLOAD)
			err(2, "sendto");
	return busy_clock() - before;
}

/* To UEs behind NATs: the mark of each */
static uint64_t send_marked(int fd, union addr *to, size_t n)
{
	union {
		struct cmsghdr cmsg;
		char room[CMSG_SPACE(sizeof(uint32_t))];
	} control = {
		.cmsg.cmsg_len = CMSG_LEN(sizeof(uint32_t)),
		.cmsg.cmsg_level = SOL_SOCKET,
		.cmsg.cmsg_type = SO_MARK,
	};
	uint64_t before = busy_clock();

	for (size_t i = 0; i < n; i++) {
		struct iovec iov = { &payloads[i], PAYLOAD };
		const struct msghdr msg = {
			.msg_name = &to[i].sa, .msg_namelen = sizeof(to[i]),
			.msg_iov = &iov, .msg_iovlen = 1,
			.msg_control = &control, .msg_controllen = sizeof(control),
		};

		memcpy(CMSG_DATA(&control.cmsg), &ues[payloads[i].ue].mark, sizeof(uint32_t));
		if (sendmsg(fd, &msg, 0) != PAYLOAD)
			err(2, "sendmsg");
	}
	return busy_clock() - before;
}

static union addr ue_addr(const struct ue *ue)
{
	union addr addr = { 0 };

	addr.sa.sa_family = setup.family;
	addr.in.sin_port = htons(ue->port_uc);
	if (setup.family == AF_INET)
		addr.in.sin_addr.s_addr = ue->addr.a4;
	else
		memcpy(&addr.in6.sin6_addr, &ue->addr, sizeof(addr.in6.sin6_addr));
	return addr;
}

/*
 * Some of what a packet leaves is freed later, after a grace period of RCU. So
 * whoever has to do with that gets its share of the CPU, and is counted: each
 * figure is over several batches, long enough to have such periods in it.
 */
static double measure_outbound(const struct row *row)
{
	const size_t rounds = 4, warm_up = 2, packets = (warm_up + BATCHES) * rounds * BATCH;
	const size_t n = row->n < packets ? row->n : packets, s = step(row->n);
	const struct flow *f = &flows[3];	/* from the protected server port */
	uint64_t *expected = calloc(row->n, sizeof(*expected)), cost = 0;
	size_t next = 0;
	union addr to[BATCH];

	if (!expected)
		err(2, "memory");
	for (size_t i = 0; i < n; i++, next = (next + s) % row->n)
		expected[next] = sa_packets(&setup, &ues[next], f);

	next = 0;
	for (size_t b = 0; b < (warm_up + BATCHES) * rounds; b++) {
		for (size_t i = 0; i < BATCH; i++, next = (next + s) % row->n) {
			make_payload(&payloads[i], next, b);
			to[i] = ue_addr(&ues[next]);
			expected[next]++;
		}
		cost = b % rounds ? cost : 0;
		if (setup.encap && setup.sys == &ours)
			cost += send_marked(protected, to, BATCH);
		else
			cost += send_to(protected, to, BATCH);
		if (b / rounds >= warm_up)
			costs[b / rounds - warm_up] = cost / rounds;
	}

	next = 0;
	for (size_t i = 0; i < n; i++, next = (next + s) % row->n)
		if (sa_packets(&setup, &ues[next], f) != expected[next])
			errx(2, "%s: not over the UE's SA", row->name);
	free(expected);
	return median(costs, BATCHES) / BATCH;
}

/* ---- A crowd --------------------------------------------------------- */

static double measure_create(const struct row *row)
{
	uint64_t created[CREATED], deleted[CREATED], t[4];

	for (size_t i = 0; i < CREATED; i++) {
		struct ue ue = make_ue(&setup, row->n + 1 + i);

		t[0] = now();
		ours_create(&setup, &ue);
		t[1] = now();
		ours_confirm(&ue, IMSIPSEC_OLDER_DROP);
		t[2] = now();
		ours_delete(&ue);
		t[3] = now();
		created[i] = t[1] - t[0];
		deleted[i] = t[3] - t[2];
		sleep_ms(1);
	}
	return median(row->what == CREATE ? created : deleted, CREATED);
}

static void all_gone(void)
{
	registered = 0;
	active = 0;
	memset(seqs, 0, crowd * sizeof(*seqs));
	settle(40);
	if (count_sas())
		errx(2, "%zu SAs are left", count_sas());
}

static void wait_for_none(void)
{
	const struct imsipsec_stats *stats;

	do {
		sleep_ms(1);
		must(imsipsec_stats_get(handle, &stats));
	} while (stats->bundles);
}

/* All at once, as after an outage: they linger until the kernel's timers fire. */
static double measure_held_expire(void)
{
	const uint64_t end = now() + LINGER_MS(crowd) * 1000000ULL;
	double held;
	uint32_t n;

	must(imsipsec_bundle_flush(handle, NULL, LINGER_MS(crowd), &n));
	if (n != crowd)
		errx(2, "%u end", n);
	kill(spinning, SIGSTOP);	/* it would take as many instructions */
	while (now() + 1000000000 < end)
		sleep_ms(100);
	kill(spinning, SIGCONT);
	held = held_during(wait_for_none);
	all_gone();
	return held;
}

static void load_all(void)
{
	ours_connect();
	for (size_t i = 0; i < crowd; i++)
		add_ue(i);
}

static double measure_held_load(void)
{
	double held;

	if (registered) {
		must(imsipsec_bundle_flush(handle, NULL, 0, NULL));
		all_gone();
	}
	held = held_during(load_all);
	registered = crowd;
	return held;
}

static void end_all(void)
{
	must(imsipsec_endpoint_delete(handle, setup.endpoint, true));
}

static double measure_held_end(void)
{
	double held = held_during(end_all);

	all_gone();
	ours_open(&setup, PORT_PS, PORT_PC);
	return held;
}

/* So many in each of the other network namespaces, which stay as long as the caller does */
static void load_elsewhere(size_t n)
{
	for (size_t i = 1; i < APART; i++) {
		const pid_t pid = fork();
		int status;

		if (pid < 0)
			err(2, "fork");
		if (pid) {
			if (waitpid(pid, &status, WUNTRACED) != pid || !WIFSTOPPED(status))
				errx(2, "namespace %zu", i);
			continue;
		}
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (unshare(CLONE_NEWNET))
			err(2, "unshare");
		setup.addr.a4 = htonl(ntohl(setup.addr.a4) + i);
		ours_open(&setup, PORT_PS, PORT_PC);
		for (size_t u = 1; u <= n; u++) {
			struct ue ue = make_ue(&setup, i * n + u);

			ours_create(&setup, &ue);
			ours_confirm(&ue, IMSIPSEC_OLDER_DROP);
		}
		raise(SIGSTOP);
	}
}

/* ---- Others ---------------------------------------------------------- */

static const struct ue *other_sender(size_t slot)
{
	static struct ue ue;

	(void)slot;
	ue = make_ue(&setup, 1 << 23);
	return &ue;
}

static double measure_other_in(void)
{
	for (size_t b = 0; b < BATCHES; b++) {
		for (size_t i = 0; i < BATCH; i++) {
			make_payload(&payloads[i], i, b);
			make_udp(&frames[i], &setup, tap.mac, other_sender(i), PORT_OTHER,
				 &payloads[i]);
		}
		costs[b] = inject_and_receive(&tap, other, BATCH);
		check_datagrams(other, BATCH, other_sender);
	}
	return median(costs, BATCHES) / BATCH;
}

static double measure_other_out(void)
{
	union addr to[BATCH];

	for (size_t i = 0; i < BATCH; i++)
		to[i] = ue_addr(other_sender(i));
	for (size_t b = 0; b < BATCHES; b++)
		costs[b] = send_to(other, to, BATCH);
	return median(costs, BATCHES) / BATCH;
}

static double measure_forwarded(void)
{
	struct setup elsewhere = setup;
	uint64_t forwarded;

	inet_pton(setup.family, setup.family == AF_INET ? "203.0.113.1" : "2001:db8:fffe::1",
		  &elsewhere.addr);
	for (size_t i = 0; i < BATCH; i++) {
		make_payload(&payloads[i], i, 0);
		make_udp(&frames[i], &elsewhere, tap.mac, other_sender(i), PORT_OTHER,
			 &payloads[i]);
	}
	net_forward(&setup, true);
	forwarded = net_forwarded(&setup);
	for (size_t b = 0; b < BATCHES; b++)
		costs[b] = inject(&tap, BATCH);
	if (net_forwarded(&setup) - forwarded != BATCH * BATCHES)
		errx(2, "%s: not forwarded", column->name);
	net_forward(&setup, false);
	return median(costs, BATCHES) / BATCH;
}

/* ---- Rows ------------------------------------------------------------ */

static const char *offload_module(sa_family_t family)
{
	return family == AF_INET ? "esp4_offload" : "esp6_offload";
}

static double measure(const struct row *row)
{
	const char *offload = offload_module(row->family);
	double cost;

	switch (row->what) {
	case INBOUND_GRO:
		/* then the module has done so */
		if (row->shipped)
			return measure_inbound(row);
		/*
		 * Not first, or 6.1's ksoftirqd, once awake, is kept from going back
		 * to sleep and has to do all packets from then on.
		 */
		net_load(offload, true);
		settle(40);
		cost = measure_inbound(row);
		net_load(offload, false);
		return cost;
	case LOCK:
		return measure_lock(row);
	case RX_MARK:
		return measure_rx_mark(row);
	case CACHE_MEMORY:
		return ours_cache_memory();
	case OUTBOUND:
		return measure_outbound(row);
	case LOAD:
		return load;
	case MEMORY:
		return memory;
	case HELD_EXPIRE:
		return measure_held_expire();
	case HELD_LOAD:
		return measure_held_load();
	case HELD_END:
		return measure_held_end();
	default:
		break;
	}
	/* First, so that it is always a recvfrom() that hands over to the kernel thread */
	run_first();
	switch (row->what) {
	case OTHER_IN:
		cost = measure_other_in();
		break;
	case OTHER_OUT:
		cost = measure_other_out();
		break;
	case FORWARDED:
		cost = measure_forwarded();
		break;
	case ACTIVATE:
	case ACTIVATE_SAME_PORTS:
		cost = measure_activate(row);
		break;
	case CREATE:
	case DELETE:
		cost = measure_create(row);
		break;
	default:
		cost = measure_inbound(row);
	}
	run_like_others();
	return cost;
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
	size_t n = batch->n, largest = rows[n - 1].n;
	const int natt = UDP_ENCAP_ESPINUDP;

	if (rows->apart)
		load_elsewhere(rows->n);
	net_make(&setup);
	net_open_tap(&tap, "tap", 0);
	net_open_tap(&napi_tap, "tapnapi", IFF_NAPI);
	protected = net_open_udp(&setup, PORT_PS);
	other = net_open_udp(&setup, PORT_OTHER);
	if (setup.encap && setup.sys != &ours) {
		int fd = net_open_udp(&setup, setup.encap);

		if (setsockopt(fd, IPPROTO_UDP, UDP_ENCAP, &natt, sizeof(natt)))
			err(2, "UDP_ENCAP");
	}
	xfrm_look();
	if (column->sys == &ours && largest > MANY)
		ours_raise_limits();
	if (column->sys == &ours) {
		ours_open(&setup, PORT_PS, PORT_PC);
		if (imsipsec_open(&handle))
			err(2, "open");
	}
	policies = count_policies();

	settle(40);	/* an IPv6 address is there a little later */

	ues = mmap(NULL, (largest + 1) * sizeof(*ues), PROT_READ | PROT_WRITE,
		   MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	seqs = calloc(largest + 1, sizeof(*seqs));
	if (ues == MAP_FAILED || !seqs)
		err(2, "memory");
	for (const struct row *row = rows; row < rows + n; row++) {
		double cost;

		if (row == rows || row->n != row[-1].n)
			fprintf(stderr, "%s%s%s%s%s: %zu UEs\n", column->name,
				setup.family == AF_INET6 ? ", IPv6" : "",
				setup.encap ? ", behind NATs" : "",
				setup.shipped ? ", as shipped" : "",
				row->apart ? ", in one of 16 namespaces" : "", row->n);
		crowd = row->n;
		if (setup.sys != &none && row->what != HELD_LOAD)
			grow(row->n);
		alarm(row->what < LOAD || row->what >= OTHER_IN ? PATIENCE + row->n / A_SECOND : 0);
		if (row->what < OUTBOUND)
			activate(row->n);
		settle(40);
		cost = measure(row);
		alarm(0);
		printf("%s %s %.0f\n", row->name, column->name, cost);
		fflush(stdout);
	}
}

static bool take(const char **text, const char *word)
{
	size_t len = strlen(word);

	if (strncmp(*text, word, len) || ((*text)[len] && (*text)[len] != '-'))
		return false;
	*text += len + !!(*text)[len];
	return true;
}

static struct row parse_row(const char *text)
{
	struct row row = { .name = text, .family = AF_INET };
	size_t least = OLDEST;

	if (take(&text, "inbound-oldest"))
		row.what = INBOUND_OLDEST;
	else if (take(&text, "inbound-shipped") && (row.shipped = true))
		row.what = INBOUND_GRO;
	else if (take(&text, "outbound-shipped") && (row.shipped = true))
		row.what = OUTBOUND;
	else if (take(&text, "inbound-gro"))
		row.what = INBOUND_GRO;
	else if (take(&text, "activate-same-ports"))
		row.what = ACTIVATE_SAME_PORTS;
	else if (take(&text, "activate"))
		row.what = ACTIVATE;
	else if (take(&text, "rx-mark"))
		row.what = RX_MARK;
	else if (take(&text, "cache-memory"))
		row.what = CACHE_MEMORY;
	else if (take(&text, "lock"))
		row.what = LOCK;
	else if (take(&text, "inbound"))
		row.what = INBOUND;
	else if (take(&text, "outbound"))
		row.what = OUTBOUND;
	else if (take(&text, "load"))
		row.what = LOAD;
	else if (take(&text, "memory"))
		row.what = MEMORY;
	else if (take(&text, "create"))
		row.what = CREATE;
	else if (take(&text, "delete"))
		row.what = DELETE;
	else if (take(&text, "held-expire"))
		row.what = HELD_EXPIRE;
	else if (take(&text, "held-load"))
		row.what = HELD_LOAD;
	else if (take(&text, "held-end"))
		row.what = HELD_END;
	else if (take(&text, "other-in"))
		row.what = OTHER_IN;
	else if (take(&text, "other-out"))
		row.what = OTHER_OUT;
	else if (take(&text, "forwarded"))
		row.what = FORWARDED;
	else
		errx(2, "no row %s", row.name);
	if (take(&text, "ipv6"))
		row.family = AF_INET6;
	else if ((row.what == INBOUND || (row.what == OUTBOUND && !row.shipped)) &&
		 take(&text, "nat"))
		row.encap = PORT_NATT;
	row.inside = row.encap && take(&text, "inside");
	row.apart = row.what < OTHER_IN && take(&text, "apart");
	row.n = row.what >= OTHER_IN ? OTHERS : strtoul(text, NULL, 10) / (row.apart ? APART : 1);
	if (row.what == ACTIVATE || row.what == ACTIVATE_SAME_PORTS)
		least = BATCHES * SWITCHED;
	if (row.n < least || (row.what >= OTHER_IN && *text))
		errx(2, "no row %s", row.name);
	return row;
}

/* By address family, encapsulation and namespaces, then by number, then as given */
static int compare_rows(const void *a, const void *b)
{
	const struct row *x = a, *y = b;

	if (x->family != y->family)
		return x->family < y->family ? -1 : 1;
	if (x->encap != y->encap)
		return x->encap < y->encap ? -1 : 1;
	if (x->inside != y->inside)
		return x->inside < y->inside ? -1 : 1;
	if (x->shipped != y->shipped)
		return x->shipped < y->shipped ? -1 : 1;
	if (x->apart != y->apart)
		return x->apart < y->apart ? -1 : 1;
	if (x->n != y->n)
		return x->n < y->n ? -1 : 1;
	return x->what < y->what ? -1 : x->what > y->what;
}

int main(int argc, char **argv)
{
	struct row *rows = calloc(argc, sizeof(*rows));
	size_t n_rows = argc - 2, n;

	for (size_t i = 0; argc > 2 && i < ARRAY_SIZE(columns); i++)
		if (!strcmp(argv[1], columns[i].name))
			column = &columns[i];
	if (!column || !rows)
		errx(2, "usage: datapath ours|before|stock|exact|none ROW...");
	for (size_t i = 0; i < n_rows; i++)
		rows[i] = parse_row(argv[i + 2]);
	qsort(rows, n_rows, sizeof(*rows), compare_rows);

	net_load_ciphers();
	check_clock();
	spinning = start_spinner();
	for (; n_rows; n_rows -= n, rows += n) {
		for (n = 1; n < n_rows; n++)
			if (rows[n].family != rows->family || rows[n].encap != rows->encap ||
			    rows[n].inside != rows->inside || rows[n].shipped != rows->shipped ||
			    rows[n].apart != rows->apart || (rows->apart && rows[n].n != rows->n))
				break;
		setup = (struct setup) {
			.sys = column->sys,
			.pair = &pairs[0],
			.family = rows->family,
			.encap = rows->encap,
			.inside = rows->inside,
			.shipped = rows->shipped,
		};
		inet_pton(setup.family, setup.family == AF_INET ? "192.0.2.1" : "2001:db8::1",
			  &setup.addr);
		measure_apart(measure_all, &(struct batch) { rows, n });
		if (rows->shipped)
			net_load(offload_module(rows->family), false);
	}
	kill(spinning, SIGKILL);
	return 0;
}
