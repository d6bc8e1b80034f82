// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Prints what the UAPI header and the library make of the constants that
 * spec_test.py gives on standard input, one NAME a line: "NAME VALUE".
 * The names themselves are in constants.inc, which spec_test.py writes.
 */
#include <inttypes.h>
#include <stdio.h>

#include "../lib/internal.h"

#define SHOW(constant) printf("%s %llu\n", #constant, (unsigned long long)(constant));
#define TEXT(constant) printf("%s %s\n", #constant, constant);
#define NAME(what, value) \
	printf("%s-%d %s\n", #what, value, \
	       imsipsec_##what##_name(value) ? imsipsec_##what##_name(value) : "-");
#define ATTR(cmd, type) \
	printf("attr-%d-%d %s\n", cmd, type, \
	       imsipsec_attr_name(cmd, type) ? imsipsec_attr_name(cmd, type) : "-");

int main(void)
{
#include "constants.inc"
	return 0;
}
