// SPDX-License-Identifier: GPL-2.0-only
/* imsipsec stats */
#include <inttypes.h>
#include <stdio.h>

#include "cli.h"

static void stats_json(struct json *j, const struct imsipsec_stats *s)
{
	json_open(j, NULL, '{');
	json_number(j, "endpoints", s->endpoints);
	json_number(j, "registrations", s->registrations);
	json_number(j, "bundles", s->bundles);
	json_number(j, "pending", s->pending);
	json_number(j, "nat-bundles", s->nat_bundles);
	json_number(j, "spis", s->spis);
	json_number(j, "spis-used", s->spis_used);
	json_number(j, "created", s->created);
	json_number(j, "refused", s->refused);
	json_number(j, "confirmed", s->confirmed);
	json_number(j, "activated", s->activated);
	json_number(j, "superseded", s->superseded);
	json_number(j, "expired", s->expired);
	json_number(j, "deleted", s->deleted);
	json_number(j, "nat-mappings", s->nat_mappings);
	json_number(j, "offload-fallbacks", s->offload_fallbacks);
	json_number(j, "events", s->events);
	json_number(j, "max-endpoints", s->max_endpoints);
	json_number(j, "max-registrations", s->max_registrations);
	json_number(j, "max-bundles", s->max_bundles);
	json_number(j, "max-pending", s->max_pending);
	json_number(j, "nearly-full", s->nearly_full);
	json_close(j, '}');
	json_end(j);
}

static void stats_text(const struct imsipsec_stats *s)
{
	printf("endpoints          %" PRIu32 " of %" PRIu32 "\n", s->endpoints, s->max_endpoints);
	printf("registrations      %" PRIu32 " of %" PRIu32 "\n", s->registrations,
	       s->max_registrations);
	printf("bundles            %" PRIu32 " of %" PRIu32 ", %" PRIu32 " of them behind NATs\n",
	       s->bundles, s->max_bundles, s->nat_bundles);
	printf("temporary bundles  %" PRIu32 " of %" PRIu32 "\n", s->pending, s->max_pending);
	printf("SPIs               %" PRIu32 " of %" PRIu32 " in use\n", s->spis_used, s->spis);
	printf("bundles so far     %" PRIu64 " created, %" PRIu64 " refused, %" PRIu64
	       " confirmed, %" PRIu64 " activated,\n", s->created, s->refused, s->confirmed,
	       s->activated);
	printf("                   %" PRIu64 " superseded, %" PRIu64 " expired, %" PRIu64
	       " deleted\n", s->superseded, s->expired, s->deleted);
	printf("NAT mappings       %" PRIu64 " changed\n", s->nat_mappings);
	printf("offload            %" PRIu64 " left to software\n", s->offload_fallbacks);
	printf("nearly full        %" PRIu64 " so far\n", s->nearly_full);
	printf("events             %" PRIu64 "\n", s->events);
}

int cmd_stats(int argc, char **argv)
{
	enum { OPENMETRICS, PROMETHEUS, NETNS, TO_FILE };
	const char *netns = NULL, *path = NULL;
	struct arg args[] = {
		[OPENMETRICS] = { "--openmetrics" },
		[PROMETHEUS] = { "--prometheus" },
		[NETNS] = { "netns", parse_string, &netns },
		[TO_FILE] = { "file", parse_string, &path },
	};
	const struct imsipsec_stats *s;
	struct imsipsec *h;
	int status = EXIT_OK;

	parse_args(argc, argv, args, ARRAY_SIZE(args));
	if (args[OPENMETRICS].given && args[PROMETHEUS].given)
		die(EXIT_USAGE,
		    "\"--openmetrics\" and \"--prometheus\" exclude each other");
	if (args[OPENMETRICS].given || args[PROMETHEUS].given)
		return write_metrics(args[PROMETHEUS].given ? METRICS_PROMETHEUS :
				     METRICS_OPENMETRICS, netns, path);
	if (netns || path)
		die(EXIT_USAGE,
		    "\"netns\" and \"file\" are for \"--openmetrics\" or \"--prometheus\"");

	h = open_or_die();
	if (imsipsec_stats_get(h, &s))
		status = fail("%s", imsipsec_strerror(h));
	else if (json_wanted)
		stats_json(&json_out, s);
	else
		stats_text(s);
	imsipsec_close(h);
	return status;
}
