// SPDX-License-Identifier: GPL-2.0-only
/* The kernel module is reached, or the program ends. */
#include <errno.h>
#include <stdio.h>

#include "check.h"
#include "cli.h"

/* @err is of imsipsec_open() or imsipsec_event_open(). */
void die_of_open(int err)
{
	const struct check host = { .root = "" };
	char cure[CHECK_TEXT];

	if (err != -ENOENT)
		die(EXIT_KERNEL, "%s", imsipsec_open_strerror(err));
	check_module_cure(&host, cure, sizeof(cure));
	die(EXIT_KERNEL, "%s; cure: %s", imsipsec_open_strerror(err), cure);
}

struct imsipsec *open_or_die(void)
{
	struct imsipsec *h;
	int err;

	err = imsipsec_open(&h);
	if (err)
		die_of_open(err);
	return h;
}

/* Connect, to show any number of objects up to end_list(). */
struct imsipsec *begin_list(void)
{
	struct imsipsec *h = open_or_die();

	if (json_wanted)
		json_open(&json_out, NULL, '[');
	return h;
}

/* @err is what the library returned. Return: the exit status. */
int end_list(struct imsipsec *h, int err)
{
	if (json_wanted) {
		json_close(&json_out, ']');
		json_end(&json_out);
	}
	if (err)
		fail("%s", imsipsec_strerror(h));
	imsipsec_close(h);
	return err ? EXIT_KERNEL : EXIT_OK;
}
