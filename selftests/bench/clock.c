// SPDX-License-Identifier: GPL-2.0-only
/* Time in guest instructions: see clock.h. */
#include <err.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "clock.h"

static clockid_t spinner;

static uint64_t read_clock(clockid_t id)
{
	struct timespec t;

	if (clock_gettime(id, &t))
		err(2, "clock");
	return t.tv_sec * 1000000000ULL + t.tv_nsec;
}

uint64_t now(void)
{
	return read_clock(CLOCK_MONOTONIC);
}

/*
 * Two loops, as another clock may suit one of them by chance: emulating a
 * division takes far longer than counting down. Of each the quickest of some,
 * since something may still run after booting.
 */
void check_clock(void)
{
	const uint64_t turns = 1000000;
	double ratio[2] = { 1e9, 1e9 };

	for (int i = 0; i < 20; i++) {
		uint64_t n = turns, one = 1, t = now();

		if (i & 1)
			asm volatile("1: xor %%edx, %%edx\n\tdiv %1\n\tdec %0\n\tjnz 1b"
				     : "+r" (n), "+r" (one) : : "rax", "rdx", "cc");
		else
			asm volatile("1: dec %0\n\tjnz 1b" : "+r" (n) : : "cc");
		n = (i & 1 ? 4 : 2) * turns;
		t = now() - t;
		if (t < ratio[i & 1] * n)
			ratio[i & 1] = (double)t / n;
	}
	fprintf(stderr, "clock: %.3f and %.3f ns an instruction\n", ratio[0], ratio[1]);
	for (int i = 0; i < 2; i++)
		if (ratio[i] < 0.95 || ratio[i] > 1.05)
			errx(2, "the clock does not count instructions: not run with --icount?");
}

/*
 * While the CPU idles, the clock shows no instructions. So something spins
 * that gives way to anything else, and how long it ran is known.
 */
pid_t start_spinner(void)
{
	pid_t pid = fork();

	if (pid < 0)
		err(2, "fork");
	if (!pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (sched_setscheduler(0, SCHED_IDLE, &(struct sched_param) { 0 }))
			err(2, "spinner");
		for (;;)
			asm volatile("");
	}
	if (clock_getcpuclockid(pid, &spinner))
		errx(2, "no clock of the spinner");
	return pid;
}

uint64_t busy_clock(void)
{
	return now() - read_clock(spinner);
}

void sleep_ms(unsigned int ms)
{
	nanosleep(&(struct timespec) { .tv_nsec = ms * 1000000L }, NULL);
}

/*
 * Wait until the kernel has freed what was deleted, which it does in the
 * background: until nothing has happened for so long. It pauses for grace periods
 * of RCU, a few ticks each: for one after what a process did, 40 ms are enough; the
 * end of a network namespace has many.
 */
void settle(unsigned int ms)
{
	for (unsigned int quiet = 0; quiet < ms; quiet += 4) {
		uint64_t busy = busy_clock();

		sleep_ms(4);
		if (busy_clock() - busy > 200000)
			quiet = 0;
	}
}

static void set_priority(int priority)
{
	const struct sched_param first = { .sched_priority = priority };

	if (sched_setscheduler(0, SCHED_FIFO, &first))
		err(2, "sched_setscheduler");
}

/*
 * Before kernel threads, so that what is left to them is not taken for the
 * caller's own, and does not run while the caller looks.
 */
void run_first(void)
{
	set_priority(1);
}

/* And before whoever has done so */
void run_very_first(void)
{
	set_priority(2);
}

void run_like_others(void)
{
	if (sched_setscheduler(0, SCHED_OTHER, &(struct sched_param) { 0 }))
		err(2, "sched_setscheduler");
}

static int compare(const void *a, const void *b)
{
	const uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

/* Sorts the values. */
double median(uint64_t *values, size_t n)
{
	qsort(values, n, sizeof(*values), compare);
	return (values[(n - 1) / 2] + values[n / 2]) / 2.0;
}

void measure_apart(void (*measure)(const void *data), const void *data)
{
	pid_t pid = fork();
	int status;

	if (pid < 0)
		err(2, "fork");
	if (!pid) {
		measure(data);
		exit(0);
	}
	if (waitpid(pid, &status, 0) != pid)
		err(2, "waitpid");
	if (WIFSIGNALED(status) && WTERMSIG(status) == SIGALRM)
		errx(2, "a packet got lost");
	if (status)
		exit(2);
	settle(200);
}
