// SPDX-License-Identifier: GPL-2.0-only
/* imsipsec algorithms */
#include <inttypes.h>
#include <stdio.h>

#include "cli.h"

static void algorithm_json(struct json *j, const struct imsipsec_pair_info *a)
{
	json_open(j, NULL, '{');
	json_name(j, "auth-alg", imsipsec_alg_name(a->alg), a->alg);
	json_name(j, "enc-alg", imsipsec_ealg_name(a->ealg), a->ealg);
	if (a->rank)
		json_number(j, "rank", a->rank);
	json_bool(j, "deprecated", a->deprecated);
	if (*a->driver) {
		json_string(j, "name", a->name);
		json_string(j, "driver", a->driver);
	}
	json_close(j, '}');
}

static void algorithm_text(const struct imsipsec_pair_info *a)
{
	if (a->rank)
		printf("%" PRIu32, a->rank);
	else
		putchar('-');
	printf("  %-13s  %-12s  %s%s", name_or_unknown(imsipsec_alg_name(a->alg)),
	       name_or_unknown(imsipsec_ealg_name(a->ealg)),
	       a->rank ? "" : "not allowed  ", a->deprecated ? "deprecated  " : "");
	if (*a->driver)
		printf("%s  driver %s\n", a->name, a->driver);
	else
		printf("not in this kernel\n");
}

static int show_one(const struct imsipsec_pair_info *a, void *data)
{
	(void)data;
	if (json_wanted)
		algorithm_json(&json_out, a);
	else
		algorithm_text(a);
	return 0;
}

int cmd_algorithms(int argc, char **argv)
{
	struct imsipsec *h;

	parse_args(argc, argv, NULL, 0);
	h = begin_list();
	return end_list(h, imsipsec_pair_dump(h, show_one, NULL));
}
