/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Test Anything Protocol. */
#ifndef TAP_H
#define TAP_H

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>

static unsigned int tap_run, tap_failed;

__attribute__((format(printf, 2, 3)))
static inline bool ok(bool good, const char *fmt, ...)
{
	va_list args;

	tap_run++;
	tap_failed += !good;
	printf("%s %u - ", good ? "ok" : "not ok", tap_run);
	va_start(args, fmt);
	vprintf(fmt, args);
	va_end(args);
	putchar('\n');
	fflush(stdout);
	return good;
}

/* The plan, and the program's exit status. */
static inline int done(void)
{
	printf("1..%u\n", tap_run);
	return tap_failed ? 1 : 0;
}

#endif /* TAP_H */
