// SPDX-License-Identifier: GPL-2.0-only
/*
 * Four CPUs receive at once: packets a second of the guest's time.
 *
 *	parallel ours|stock
 *
 * 4,000 UEs, 1,000 to a CPU. Each CPU has a thread that writes their packets to
 * its own queue of a TAP device, one at a time, and reads each from a socket: the
 * P-CSCF has four addresses, lest four threads wait for one socket. All SAs are
 * in one network namespace. "stock" is what OpenSIPS leaves in XFRM, with the
 * module not loaded. Writes a line "row system value" if all packets arrived.
 */
#include <arpa/inet.h>
#include <err.h>
#include <linux/if_tun.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "clock.h"
#include "net.h"
#include "ours.h"
#include "packet.h"
#include "xfrm.h"

#define CPUS		4
#define UES		1000	/* a CPU */
#define ROUNDS		8	/* packets a UE; of the first nothing is measured */
#define PACKETS		(ROUNDS * UES)
#define PATIENCE	300	/* seconds, should a packet get lost */

static struct cpu {
	pthread_t thread;
	struct setup setup;
	struct tap tap;
	int socket;
	struct ue ues[UES];
	struct frame frames[PACKETS];
	struct payload payloads[PACKETS];
} cpus[CPUS];

static pthread_barrier_t barrier;

static void receive_all(struct cpu *cpu, size_t from, size_t to)
{
	struct payload got;

	for (size_t i = from; i < to; i++) {
		const struct frame *frame = &cpu->frames[i];

		if (write(cpu->tap.fd, frame->data, frame->len) != (ssize_t)frame->len)
			err(2, "TAP device");
		if (recv(cpu->socket, &got, sizeof(got), 0) != sizeof(got) ||
		    memcmp(&got, &cpu->payloads[i], sizeof(got)))
			errx(2, "not what was sent");
	}
}

static void *run(void *arg)
{
	struct cpu *cpu = arg;
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu - cpus, &set);
	if (sched_setaffinity(0, sizeof(set), &set))
		err(2, "sched_setaffinity");
	for (size_t i = 0; i < PACKETS; i++) {
		make_payload(&cpu->payloads[i], i % UES, 1 + i / UES);
		make_esp(&cpu->frames[i], &cpu->setup, cpu->tap.mac, &cpu->ues[i % UES],
			 1 + i / UES, &cpu->payloads[i]);
	}
	receive_all(cpu, 0, UES);
	pthread_barrier_wait(&barrier);
	receive_all(cpu, UES, PACKETS);
	pthread_barrier_wait(&barrier);
	return NULL;
}

static void prepare(struct cpu *cpu, const struct system *sys)
{
	const size_t n = cpu - cpus;

	cpu->setup = (struct setup) {
		.sys = sys,
		.pair = &pairs[0],
		.family = AF_INET,
		.addr.a4 = htonl(0xc0000201 + n),	/* 192.0.2.1 and so on */
	};
	if (!n) {
		net_make(&cpu->setup);
		xfrm_look();
	} else {
		net_add_address(&cpu->setup);
	}
	net_open_tap(&cpu->tap, "tap", IFF_MULTI_QUEUE);
	cpu->socket = net_open_udp(&cpu->setup, PORT_PS);
	if (sys == &ours)
		ours_open(&cpu->setup, PORT_PS, PORT_PC);
	for (size_t i = 0; i < UES; i++) {
		struct ue *ue = &cpu->ues[i];

		*ue = make_ue(&cpu->setup, n * UES + i + 1);
		if (sys == &ours) {
			ours_create(&cpu->setup, ue);
			ours_confirm(ue, IMSIPSEC_OLDER_DROP);
		} else {
			peer_create(&cpu->setup, ue);
		}
	}
	if (count_sas() != (n + 1) * UES * SAS)
		errx(2, "%zu SAs are there", count_sas());
	check_registered(&cpu->setup, &cpu->ues[UES - 1], true);
}

int main(int argc, char **argv)
{
	const struct system *sys = NULL;
	uint64_t time;

	if (argc == 2 && !strcmp(argv[1], "ours"))
		sys = &ours;
	else if (argc == 2 && !strcmp(argv[1], "stock"))
		sys = &opensips;
	else
		errx(2, "usage: parallel ours|stock");
	net_load_ciphers();
	for (struct cpu *cpu = cpus; cpu < cpus + CPUS; cpu++)
		prepare(cpu, sys);

	alarm(PATIENCE);
	if (pthread_barrier_init(&barrier, NULL, CPUS + 1))
		errx(2, "pthread_barrier_init");
	for (struct cpu *cpu = cpus; cpu < cpus + CPUS; cpu++)
		if (pthread_create(&cpu->thread, NULL, run, cpu))
			errx(2, "pthread_create");
	pthread_barrier_wait(&barrier);
	time = now();
	pthread_barrier_wait(&barrier);
	time = now() - time;
	for (struct cpu *cpu = cpus; cpu < cpus + CPUS; cpu++)
		pthread_join(cpu->thread, NULL);
	printf("parallel-%d %s %.0f\n", CPUS * UES, argv[1],
	       CPUS * (PACKETS - UES) / (time / 1e9));
	return 0;
}
