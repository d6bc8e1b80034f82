// SPDX-License-Identifier: GPL-2.0-only
/*
 * imsipsec stats --openmetrics, --prometheus: the counters for a monitoring system.
 *
 * OpenMetrics 1.0, or Prometheus' older text format, which node-exporter's folder of text files
 * and "promtool check metrics" read. They differ in how a counter and an info are named, and at the
 * end.
 *
 * What HELP says of a metric never varies: of two files that differ in it node-exporter drops one.
 */
#define _GNU_SOURCE	/* asprintf(), mkostemp() */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "check.h"
#include "cli.h"

#define VERSION_FILE	"/sys/module/ims_ipsec/version"

struct metrics {
	FILE *file;
	enum metrics_format format;
	const char *netns;		/* a label of all samples, or NULL */
	const char *family;		/* that is being written */
	const char *suffix;		/* behind the name of its samples */
};

enum type { GAUGE, COUNTER, INFO };

/* What the samples behind it are of */
static void begin(struct metrics *m, const char *family, enum type type, const char *help)
{
	static const char *const suffixes[] = { "", "_total", "_info" };
	static const char *const types[] = { "gauge", "counter", "info" };
	const bool open = m->format == METRICS_OPENMETRICS;
	const char *suffix = open ? "" : suffixes[type];

	m->family = family;
	m->suffix = suffixes[type];
	fprintf(m->file, "# HELP ims_ipsec_%s%s %s\n", family, suffix, help);
	fprintf(m->file, "# TYPE ims_ipsec_%s%s %s\n", family, suffix,
		open || type != INFO ? types[type] : types[GAUGE]);
}

static void label(const struct metrics *m, const char **before, const char *name,
		  const char *value)
{
	const char *p;

	fprintf(m->file, "%s%s=\"", *before, name);
	*before = ",";
	for (p = value; *p; p++) {
		if (*p == '\n') {
			fputs("\\n", m->file);
			continue;
		}
		if (*p == '"' || *p == '\\')
			putc('\\', m->file);
		putc(*p, m->file);
	}
	putc('"', m->file);
}

/* One value; behind it a name and a value for each label, and NULL */
static void __attribute__((sentinel)) sample(const struct metrics *m, uint64_t value, ...)
{
	const char *before = "{", *name;
	va_list labels;

	fprintf(m->file, "ims_ipsec_%s%s", m->family, m->suffix);
	if (m->netns)
		label(m, &before, "netns", m->netns);
	va_start(labels, value);
	while ((name = va_arg(labels, const char *)))
		label(m, &before, name, va_arg(labels, const char *));
	va_end(labels);
	fprintf(m->file, "%s %" PRIu64 "\n", *before == ',' ? "}" : "", value);
}

static void single(struct metrics *m, const char *family, enum type type, const char *help,
		   uint64_t value)
{
	begin(m, family, type, help);
	sample(m, value, NULL);
}

static void write_up(struct metrics *m, bool up)
{
	single(m, "up", GAUGE, "1 if the kernel module answers, 0 if it is not loaded.", up);
}

static void write_module(struct metrics *m)
{
	const struct check host = { .root = "" };
	char *version = check_read(&host, VERSION_FILE);

	if (version)
		version[strcspn(version, "\n")] = '\0';
	begin(m, "module", INFO, "The kernel module that is loaded.");
	sample(m, 1, "version", version ? version : "unknown", NULL);
	free(version);
}

static void write_stats(struct metrics *m, const struct imsipsec_stats *s)
{
	const struct {
		const char *resource;
		uint32_t used, limit;
	} resources[] = {
		{ "endpoints", s->endpoints, s->max_endpoints },
		{ "registrations", s->registrations, s->max_registrations },
		{ "bundles", s->bundles, s->max_bundles },
		{ "pending", s->pending, s->max_pending },
		{ "spis", s->spis_used, s->spis },
	};
	const struct {
		const char *event;
		uint64_t count;
	} events[] = {
		{ "created", s->created }, { "confirmed", s->confirmed },
		{ "activated", s->activated }, { "superseded", s->superseded },
		{ "expired", s->expired }, { "deleted", s->deleted },
	};
	size_t i;

	begin(m, "resource_used", GAUGE, "How many there are; pending are temporary bundles.");
	for (i = 0; i < ARRAY_SIZE(resources); i++)
		sample(m, resources[i].used, "resource", resources[i].resource, NULL);
	begin(m, "resource_limit", GAUGE, "How many there can be.");
	for (i = 0; i < ARRAY_SIZE(resources); i++)
		sample(m, resources[i].limit, "resource", resources[i].resource, NULL);
	single(m, "nat_bundles", GAUGE, "How many bundles are of UEs behind NATs.", s->nat_bundles);

	begin(m, "bundle_events", COUNTER,
	      "What became of bundles: created at the 401, confirmed at the 200 OK, activated by use.");
	for (i = 0; i < ARRAY_SIZE(events); i++)
		sample(m, events[i].count, "event", events[i].event, NULL);
	single(m, "bundles_refused", COUNTER,
	       "Bundles that the SIP server asked for and did not get.", s->refused);
	single(m, "nat_mappings", COUNTER,
	       "Changes of a NAT's port or address that were followed.", s->nat_mappings);
	single(m, "offload_fallbacks", COUNTER,
	       "Bundles whose ESP software does, and an interface should.", s->offload_fallbacks);
	single(m, "nearly_full", COUNTER,
	       "How often 90 % of a resource came to be in use.", s->nearly_full);
}

struct endpoints {
	struct imsipsec_endpoint *all;
	size_t n;
};

static int gather(const struct imsipsec_endpoint *e, void *data)
{
	struct endpoints *list = data;

	list->all = check_grow(list->all, &list->n, sizeof(*list->all));
	list->all[list->n - 1] = *e;
	return 0;
}

/* A sample of an endpoint, and of what else is named */
static void sample_of(const struct metrics *m, const struct imsipsec_endpoint *e, uint64_t value,
		      const char *name, const char *text)
{
	char address[INET6_ADDRSTRLEN], port[8];

	snprintf(port, sizeof(port), "%" PRIu16, e->port_ps);
	imsipsec_addr_format(&e->address, address, sizeof(address));
	sample(m, value, "address", address, "port_ps", port, name, text, NULL);
}

static void write_endpoints(struct metrics *m, const struct endpoints *list)
{
	const struct imsipsec_endpoint *e;
	size_t i, j;

	begin(m, "endpoint", INFO,
	      "An endpoint, and what becomes of what touches its ports unprotected.");
	for (e = list->all; e < list->all + list->n; e++)
		sample_of(m, e, 1, "guard", name_or_unknown(imsipsec_guard_name(e->guard)));
	begin(m, "endpoint_bundles", GAUGE, "How many bundles an endpoint has.");
	for (e = list->all; e < list->all + list->n; e++)
		sample_of(m, e, e->bundles, NULL, NULL);
	begin(m, "dropped_packets", COUNTER,
	      "Packets at an endpoint that the guard, or XFRM, has dropped.");
	for (i = 0; i < list->n; i++) {
		e = &list->all[i];
		const struct {
			enum imsipsec_drop reason;
			uint64_t count;
		} drops[] = {
			{ IMSIPSEC_DROP_PLAINTEXT_IN, e->drop_plaintext_in },
			{ IMSIPSEC_DROP_PLAINTEXT_OUT, e->drop_plaintext_out },
			{ IMSIPSEC_DROP_FOREIGN_SA, e->drop_foreign_sa },
			{ IMSIPSEC_DROP_CROSS_PAIR, e->drop_cross_pair },
			{ IMSIPSEC_DROP_NO_LIVE_SET, e->drop_no_live_set },
			{ IMSIPSEC_DROP_UDP_ONLY, e->drop_udp_only },
			{ IMSIPSEC_DROP_BAD_ICV, e->esp_bad_icv },
			{ IMSIPSEC_DROP_UNKNOWN_SPI, e->esp_unknown_spi },
		};

		for (j = 0; j < ARRAY_SIZE(drops); j++)
			sample_of(m, e, drops[j].count, "reason", imsipsec_drop_name(drops[j].reason));
	}
	begin(m, "clear_to_ue_packets", COUNTER,
	      "Packets that left in clear for a UE's protected port, and were not dropped here.");
	for (e = list->all; e < list->all + list->n; e++)
		sample_of(m, e, e->clear_to_ue, NULL, NULL);
}

/*
 * All answers, before the first line: the program may end here. Not if it is not loaded: asking
 * would load it.
 */
static struct imsipsec *ask(const struct imsipsec_stats **s, struct endpoints *list)
{
	const struct check host = { .root = "" };
	struct imsipsec *h;

	if (!check_exists(&host, "/sys/module/ims_ipsec"))
		return NULL;
	h = open_or_die();
	if (imsipsec_endpoint_dump(h, gather, list) || imsipsec_stats_get(h, s))
		die(EXIT_KERNEL, "%s", imsipsec_strerror(h));
	return h;
}

/* @s is NULL if the module is not loaded. */
static void write_all(struct metrics *m, const struct imsipsec_stats *s, const struct endpoints *list)
{
	write_up(m, s);
	if (s) {
		write_module(m);
		write_stats(m, s);
		write_endpoints(m, list);
	}
	if (m->format == METRICS_OPENMETRICS)
		fputs("# EOF\n", m->file);
}

/*
 * Whoever reads @path sees all of it, old or new: it is written beside, without the ending of those
 * that are read, and named so when it is complete.
 */
static int write_file(struct metrics *m, const char *path, const struct imsipsec_stats *s,
		      const struct endpoints *list)
{
	const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
	int status = EXIT_OK, fd;
	char *beside;
	bool bad;

	if (asprintf(&beside, "%.*s.%s.XXXXXX", (int)(name - path), path, name) < 0)
		die(EXIT_KERNEL, "%s", strerror(ENOMEM));
	fd = mkostemp(beside, O_CLOEXEC);
	m->file = fd < 0 ? NULL : fdopen(fd, "w");
	if (!m->file)
		die(EXIT_KERNEL, "%s: %s", path, strerror(errno));
	write_all(m, s, list);
	/* For everybody, as node-exporter is not root */
	bad = fchmod(fd, 0644) || fflush(m->file);
	bad |= fclose(m->file) || (!bad && rename(beside, path));
	if (bad) {
		status = fail("%s: %s", path, strerror(errno));
		unlink(beside);
	}
	free(beside);
	return status;
}

/* Return: the exit status. @path is a file, or NULL for standard output. */
int write_metrics(enum metrics_format format, const char *netns, const char *path)
{
	struct metrics m = { .format = format, .netns = netns, .file = stdout };
	const struct check host = { .root = "" };
	const struct imsipsec_stats *s = NULL;
	struct endpoints list = { .n = 0 };
	struct imsipsec *h = ask(&s, &list);
	char cure[CHECK_TEXT];
	int status = EXIT_OK;

	if (path)
		status = write_file(&m, path, s, &list);
	else
		write_all(&m, s, &list);
	free(list.all);
	if (h) {
		imsipsec_close(h);
		return status;
	}
	check_module_cure(&host, cure, sizeof(cure));
	return fail("%s; cure: %s", imsipsec_open_strerror(-ENOENT), cure);
}
