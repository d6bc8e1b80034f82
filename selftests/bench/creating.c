// SPDX-License-Identifier: GPL-2.0-only
/*
 * Two processes make registrations at once, each on a CPU of its own: how many times as fast
 * as one, by the guest's time.
 *
 *	creating ours|stock
 *
 * 4,000 in a network namespace of their own, by one process, then by two, in turn, several
 * rounds. "stock" is what OpenSIPS says to XFRM, with the module not loaded. Writes a line
 * "creating-2 SYSTEM TIMES" with the median of the rounds.
 */
#include <arpa/inet.h>
#include <err.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "clock.h"
#include "net.h"
#include "ours.h"
#include "packet.h"
#include "xfrm.h"

#define UES	4000
#define ROUNDS	5
#define MOST	2	/* processes */

static struct shared {
	pthread_barrier_t barrier;
	uint64_t time;
} *shared;

static struct setup setup;

/* The rest of the registrations when they are shared out among so many */
static void work(unsigned int me, unsigned int processes)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(me, &set);
	if (sched_setaffinity(0, sizeof(set), &set))
		err(2, "CPU %u", me);
	if (setup.sys == &ours)
		ours_connect();
	pthread_barrier_wait(&shared->barrier);
	for (unsigned int i = me; i < UES; i += processes) {
		struct ue ue = make_ue(&setup, i + 1);

		if (setup.sys == &ours)
			ours_create(&setup, &ue);
		else
			peer_create(&setup, &ue);
	}
	pthread_barrier_wait(&shared->barrier);
}

static void wait_for(pid_t pid)
{
	int status;

	if (waitpid(pid, &status, 0) != pid || status)
		errx(2, "a process failed");
}

/* In a process, whose network namespace goes with it */
static void make_all(unsigned int processes)
{
	pthread_barrierattr_t attr;
	pid_t pids[MOST];

	if (unshare(CLONE_NEWNET))
		err(2, "unshare");
	xfrm_look();
	if (setup.sys == &ours)
		ours_open(&setup, PORT_PS, PORT_PC);
	if (pthread_barrierattr_init(&attr) ||
	    pthread_barrierattr_setpshared(&attr, PTHREAD_PROCESS_SHARED) ||
	    pthread_barrier_init(&shared->barrier, &attr, processes + 1))
		errx(2, "pthread_barrier_init");
	for (unsigned int i = 0; i < processes; i++) {
		pids[i] = fork();
		if (pids[i] < 0)
			err(2, "fork");
		if (!pids[i]) {
			work(i, processes);
			_exit(0);
		}
	}
	pthread_barrier_wait(&shared->barrier);
	shared->time = now();
	pthread_barrier_wait(&shared->barrier);
	shared->time = now() - shared->time;
	for (unsigned int i = 0; i < processes; i++)
		wait_for(pids[i]);
	if (count_sas() != UES * SAS)
		errx(2, "%zu SAs are there", count_sas());
}

/* The namespace stays until the end: taking it down would keep a CPU busy in the next round */
static uint64_t time_of(unsigned int processes)
{
	int fds[2];
	uint64_t time;
	pid_t pid;

	if (pipe(fds))
		err(2, "pipe");
	pid = fork();
	if (pid < 0)
		err(2, "fork");
	if (!pid) {
		if (prctl(PR_SET_PDEATHSIG, SIGKILL))
			err(2, "prctl");
		make_all(processes);
		if (write(fds[1], &shared->time, sizeof(shared->time)) != sizeof(shared->time))
			err(2, "write");
		for (;;)
			pause();
	}
	close(fds[1]);
	if (read(fds[0], &time, sizeof(time)) != sizeof(time))
		errx(2, "a process failed");
	close(fds[0]);
	return time;
}

int main(int argc, char **argv)
{
	uint64_t times[ROUNDS];	/* in thousandths */

	setup = (struct setup) {
		.pair = &pairs[0],
		.family = AF_INET,
		.addr.a4 = htonl(0xc0000201),
	};
	if (argc == 2 && !strcmp(argv[1], "ours"))
		setup.sys = &ours;
	else if (argc == 2 && !strcmp(argv[1], "stock"))
		setup.sys = &opensips;
	else
		errx(2, "usage: creating ours|stock");
	net_load_ciphers();
	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (shared == MAP_FAILED)
		err(2, "mmap");
	time_of(MOST);	/* what is loaded and built when it is first used */
	for (int i = 0; i < ROUNDS; i++) {
		const uint64_t one = time_of(1), two = time_of(MOST);

		fprintf(stderr, "round %d: %.3f s and %.3f s\n", i + 1, one / 1e9, two / 1e9);
		times[i] = one * 1000 / two;
	}
	printf("creating-%u %s %.2f\n", MOST, argv[1], median(times, ROUNDS) / 1000);
	return 0;
}
