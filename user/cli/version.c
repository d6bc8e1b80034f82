// SPDX-License-Identifier: GPL-2.0-only
/* imsipsec version */
#include <stdio.h>

#include "cli.h"

int cmd_version(int argc, char **argv)
{
	parse_args(argc, argv, NULL, 0);
	if (json_wanted) {
		json_open(&json_out, NULL, '{');
		json_string(&json_out, "version", IMSIPSEC_VERSION);
		json_close(&json_out, '}');
		json_end(&json_out);
	} else {
		printf("imsipsec %s\n", IMSIPSEC_VERSION);
	}
	return EXIT_OK;
}
