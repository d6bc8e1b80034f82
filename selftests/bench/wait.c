// SPDX-License-Identifier: GPL-2.0-only
/* How long one waits, for the CPU or an answer, while somebody else is at work. */
#include <err.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "clock.h"
#include "setup.h"
#include "wait.h"

#define PAUSE		10000	/* ns, between two requests of who waits */
#define PAUSE_HELD	100000	/* likewise: a hundredth of what is too long */

struct imsipsec *handle;
pid_t spinning;

void must(int ret)
{
	if (ret)
		errx(2, "%s", imsipsec_strerror(handle));
}

static void wait_until(uint64_t at)
{
	const struct timespec t = { .tv_sec = at / 1000000000, .tv_nsec = at % 1000000000 };

	while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL))
		;
}

/* A process does the work, and the caller comes before it */
static pid_t begin(void (*work)(void), bool like_others)
{
	pid_t pid;

	run_first();
	pid = fork();
	if (pid < 0)
		err(2, "fork");
	if (!pid) {
		/*
		 * Who has the lock and is preempted, as from 6.13 on, has his turn again before
		 * kernel threads have theirs, whose work is others'.
		 */
		if (like_others)
			run_like_others();
		imsipsec_close(handle);
		if (imsipsec_open(&handle))
			err(2, "open");
		work();
		_exit(0);
	}
	run_very_first();
	return pid;
}

static void end(int status)
{
	run_like_others();
	if (status)
		errx(2, "it did not work");
}

/*
 * The longest that a request took while somebody else was at work. Before it begins, one may
 * wait for the CPU, @too: what does not let go of that is of the module. Else XFRM and RCU do
 * not either, also when who has the lock would have it: then 99 of 100 took no longer.
 */
double wait_during(void (*work)(void), bool too)
{
	const struct imsipsec_stats *stats;
	static uint64_t waits[1 << 20];
	size_t n = 0;
	uint64_t at;
	int status;
	pid_t pid;

	pid = begin(work, too);
	/* even it is given the CPU at times */
	kill(spinning, SIGSTOP);
	while (!waitpid(pid, &status, WNOHANG)) {
		at = now() + PAUSE;
		wait_until(at);
		if (!too)
			at = now();
		must(imsipsec_stats_get(handle, &stats));
		waits[n] = now() - at;
		n += n + 1 < ARRAY_SIZE(waits);
	}
	kill(spinning, SIGCONT);
	end(status);
	if (!n)
		errx(2, "it was over at once");
	/* before the last one the work may have ended, and the CPU idled */
	n -= n > 1;
	median(waits, n);	/* they are in order now */
	return waits[n - 1 - (too ? 0 : n / 100)];
}

/*
 * The longest from when one would have the CPU to the answer to a request. All counts, whoever
 * held the CPU or a lock: the module, XFRM, RCU. What spins goes on, as time is instructions only
 * while the CPU does not idle.
 */
double held_during(void (*work)(void))
{
	const struct imsipsec_stats *stats;
	uint64_t at, longest = 0;
	int status;
	pid_t pid;

	pid = begin(work, true);
	while (!waitpid(pid, &status, WNOHANG)) {
		at = now() + PAUSE_HELD;
		wait_until(at);
		must(imsipsec_stats_get(handle, &stats));
		at = now() - at;
		longest = at > longest ? at : longest;
	}
	end(status);
	return longest;
}
