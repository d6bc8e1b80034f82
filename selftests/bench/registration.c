// SPDX-License-Identifier: GPL-2.0-only
/*
 * What a registration costs: ours, and the peers' messages replayed.
 *
 *	registration PAIR POPULATION
 *
 * PAIR of algorithms, beside POPULATION other registrations, in guest
 * instructions (clock.h). Writes lines "row system value": thousand
 * instructions, or bytes. Beside more than MANY it is ours alone.
 */
#include <arpa/inet.h>
#include <err.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "clock.h"
#include "memory.h"
#include "ours.h"
#include "xfrm.h"

#define WARM_UP		16
#define MEASURED	64

#define P_ADDR		0xc0000201	/* 192.0.2.1 */

static struct setup setup = { .family = AF_INET };

static void create(struct ue *ue)
{
	if (setup.sys == &ours)
		ours_create(&setup, ue);
	else
		peer_create(&setup, ue);
}

/* At the 200 OK; the peers have nothing to say to the kernel then. */
static void confirm(const struct ue *ue)
{
	if (setup.sys == &ours)
		ours_confirm(ue, IMSIPSEC_OLDER_DROP);
}

static void delete(const struct ue *ue)
{
	if (setup.sys == &ours)
		ours_delete(ue);
	else
		peer_delete(&setup, ue);
}

/* Is this UE's registration there, and beside it so many SAs and policies? */
static void check(const struct ue *ue, bool there, size_t sas, size_t policies)
{
	size_t s = count_sas(), p = count_policies();

	if (s != sas + there * SAS || p != policies + there * setup.sys->policies)
		errx(2, "%s: %zu SAs and %zu policies are there", setup.sys->name, s, p);
	check_registered(&setup, ue, there);
}

/*
 * Addresses are scattered, the same for all: sequential ones would meet
 * Kamailio's sequential reqids in the same buckets of the kernel's hash. SPIs
 * are as each hands them out: OpenSIPS shuffles its range, Kamailio counts.
 */
static struct ue make_ue(uint32_t n)
{
	struct ue ue = {
		.addr.a4 = htonl(0x0a000000 | (n * 0x9e3779b1 & 0xffffff)),
		.port_uc = PORT_UC,
	};

	snprintf(ue.owner, sizeof(ue.owner), "00101%010u@ims.example.org", n);
	snprintf(ue.contact, sizeof(ue.contact), "sip:00101%010u@10.0.0.1:%u", n, PORT_US);
	ue.spi[SPI_UC] = 0x10000000 | (n * 0x85ebca6b & 0xfffffff);
	ue.spi[SPI_US] = ue.spi[SPI_UC] ^ 1;
	ue.spi[SPI_PC] = 65536 + (2 * n * 0xc2b2ae35 & 0x1ffff);
	ue.spi[SPI_PS] = 65536 + ((2 * n + 1) * 0xc2b2ae35 & 0x1ffff);
	if (setup.sys == &kamailio) {
		ue.spi[SPI_PC] = 100 + 2 * n;
		ue.spi[SPI_PS] = ue.spi[SPI_PC] + 1;
	}
	return ue;
}

static void report(const char *what, unsigned int population, double value)
{
	printf("%s-%s-%u %s %.1f\n", what, setup.pair->name, population, setup.sys->name, value);
	fflush(stdout);
}

static void measure(const void *data)
{
	const unsigned int population = *(const int *)data;
	uint64_t created[MEASURED], confirmed[MEASURED], deleted[MEASURED], busy, t[6];
	size_t sas = population * SAS, policies = population * setup.sys->policies;
	struct ue ue;
	long slab;

	if (unshare(CLONE_NEWNET))
		err(2, "unshare");
	xfrm_look();
	if (setup.sys == &ours && population > MANY)
		ours_raise_limits();
	if (setup.sys == &ours)
		ours_open(&setup, PORT_PS, PORT_PC);
	policies += count_policies();	/* the endpoint's */

	settle(40);
	slab = read_slab();
	busy = -busy_clock();
	for (unsigned int i = 1; i <= population; i++) {
		ue = make_ue(i);
		create(&ue);
		confirm(&ue);
	}
	settle(40);
	busy += busy_clock();
	if (population) {
		report("memory", population, (read_slab() - slab) / (double)population);
		report("load", population, busy / 1000.0 / population);
	}

	run_first();
	for (int i = -WARM_UP; i < MEASURED; i++) {
		if (!i) {
			settle(40);
			busy = -busy_clock();
		}
		ue = make_ue(population + WARM_UP + 1 + i);
		t[0] = now();
		create(&ue);
		t[1] = now();
		check(&ue, true, sas, policies);
		t[2] = now();
		confirm(&ue);
		t[3] = now();
		delete(&ue);
		t[4] = now();
		check(&ue, false, sas, policies);
		t[5] = now();
		if (i >= 0) {
			created[i] = t[1] - t[0];
			confirmed[i] = t[3] - t[2];
			deleted[i] = t[4] - t[3];
			busy -= (t[2] - t[1]) + (t[5] - t[4]);
		}
		sleep_ms(1);
	}
	settle(40);
	busy += busy_clock();

	report("create", population, median(created, MEASURED) / 1000);
	if (setup.sys == &ours)
		report("confirm", population, median(confirmed, MEASURED) / 1000);
	report("delete", population, median(deleted, MEASURED) / 1000);
	/* All that the CPU did but spinning and our own looking */
	report("registration", population, busy / 1000.0 / MEASURED);
}

int main(int argc, char **argv)
{
	static const struct system *const systems[] = { &ours, &opensips, &kamailio };
	int population = argc == 3 ? atoi(argv[2]) : -1;
	pid_t spinning;

	for (size_t i = 0; argc == 3 && i < ARRAY_SIZE(pairs); i++)
		if (!strcmp(argv[1], pairs[i].name))
			setup.pair = &pairs[i];
	if (!setup.pair || population < 0)
		errx(2, "usage: registration sha1-aes|md5-null|gcm POPULATION");
	setup.addr.a4 = htonl(P_ADDR);
	check_clock();
	spinning = start_spinner();
	for (size_t i = 0; i < ARRAY_SIZE(systems); i++) {
		setup.sys = systems[i];
		if (setup.sys != &ours && (!setup.pair->auth || population > MANY))
			continue;
		fprintf(stderr, "%s, %s, %d registered\n", setup.sys->name, setup.pair->name,
			population);
		measure_apart(measure, &population);
	}
	kill(spinning, SIGKILL);
	return 0;
}
