// SPDX-License-Identifier: GPL-2.0-only
/* What the command writes: what was asked for, as JSON or text, and what went wrong. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "cli.h"

bool json_wanted;
struct json json_out;

char command_name[64];
const char *command_place;

static int vfail(const char *fmt, va_list args)
{
	fflush(stdout);
	fputs("imsipsec:", stderr);
	if (command_place)
		fprintf(stderr, " %s:", command_place);
	fprintf(stderr, "%s%s ", command_name, *command_name ? ":" : "");
	vfprintf(stderr, fmt, args);
	putc('\n', stderr);
	return EXIT_KERNEL;
}

int fail(const char *fmt, ...)
{
	va_list args;
	int status;

	va_start(args, fmt);
	status = vfail(fmt, args);
	va_end(args);
	return status;
}

void die(int status, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	vfail(fmt, args);
	va_end(args);
	exit(status);
}
