// SPDX-License-Identifier: GPL-2.0-only
/*
 * imsipsec check: what on this host stands in the way of so many UEs.
 *
 * It looks and changes no setting. Each check is a function that says what it found, good
 * or bad, and how that is cured; it claims no more than it looked at.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "check_rules.h"
#include "cli.h"

static const struct check_row {
	const char *name;
	void (*run)(struct check *c);
	bool module;			/* it needs the module's answers */
} rows[] = {
	{ "module", check_module },
	{ "capability", check_capability },
	{ "endpoints", check_endpoints, true },
	{ "address", check_address, true },
	{ "trusted", check_trusted, true },
	{ "nat-port", check_nat_port, true },
	{ "tcp-marks", check_tcp_marks, true },
	{ "backlog", check_backlog },
	{ "local-ports", check_local_ports, true },
	{ "disable-xfrm", check_disable_xfrm, true },
	{ "default-policy", check_default_policy },
	{ "policies", check_policies, true },
	{ "firewall", check_firewall, true },
	{ "mark-rules", check_mark_rules, true },
	{ "sockets", check_sockets, true },
	{ "algorithms", check_algorithms, true },
	{ "esp", check_esp, true },
	{ "dropped", check_dropped, true },
	{ "offload", check_offload, true },
	{ "gro", check_gro, true },
	{ "spis", check_spis, true },
	{ "bundles", check_bundles, true },
	{ "marks", check_marks, true },
	{ "memory", check_memory },
};

static const char *const level_names[] = {
	[CHECK_OK] = "ok",
	[CHECK_WARNING] = "warning",
	[CHECK_FAULT] = "fault",
};

/* Return: @array with room for one more than @n, which counts it. It is zero. */
void *check_grow(void *array, size_t *n, size_t size)
{
	/* Twice as much at a time */
	if (!(*n & (*n - 1)))
		array = realloc(array, (*n ? 2 * *n : 1) * size);
	if (!array)
		die(EXIT_KERNEL, "%s", strerror(ENOMEM));
	memset((char *)array + *n * size, 0, size);
	++*n;
	return array;
}

void check_found(struct check *c, enum check_level level, const char *fmt, ...)
{
	struct check_finding *f;
	va_list args;

	c->findings = check_grow(c->findings, &c->n_findings, sizeof(*c->findings));
	f = &c->findings[c->n_findings - 1];
	f->level = level;
	f->check = c->now;
	va_start(args, fmt);
	vsnprintf(f->text, sizeof(f->text), fmt, args);
	va_end(args);
}

/* Of what was found last */
void check_cure(struct check *c, const char *fmt, ...)
{
	struct check_finding *f = &c->findings[c->n_findings - 1];
	va_list args;

	va_start(args, fmt);
	vsnprintf(f->cure, sizeof(f->cure), fmt, args);
	va_end(args);
}

/* Those that the module has to answer for: it said why it does not. */
static void tell_left_out(struct check *c)
{
	char names[CHECK_TEXT] = "";
	size_t i, len = 0;

	for (i = 0; i < ARRAY_SIZE(rows); i++)
		if (rows[i].module && len < sizeof(names))
			len += snprintf(names + len, sizeof(names) - len, "%s%s",
					len ? ", " : "", rows[i].name);
	c->now = "left-out";
	check_found(c, CHECK_WARNING,
		    "without an answer of the module these checks were not made: %s", names);
	check_cure(c, "mend the faults above, then imsipsec check once more");
}

void check_run(struct check *c)
{
	size_t i;

	for (i = 0; i < ARRAY_SIZE(rows); i++) {
		c->now = rows[i].name;
		if (c->module || !rows[i].module)
			rows[i].run(c);
	}
	if (!c->module)
		tell_left_out(c);
}

void check_free(struct check *c)
{
	free(c->endpoints);
	free(c->algorithms);
	free(c->addresses);
	free(c->policies);
	json_object_put(c->nft);
	free(c->iptables[0]);
	free(c->iptables[1]);
	free(c->iptables_nft[0]);
	free(c->iptables_nft[1]);
	free(c->fwmarks);
	free(c->sockets);
	free(c->findings);
}

static void finding_json(struct json *j, const struct check_finding *f)
{
	json_open(j, NULL, '{');
	json_string(j, "level", level_names[f->level]);
	json_string(j, "check", f->check);
	json_string(j, "text", f->text);
	if (*f->cure)
		json_string(j, "cure", f->cure);
	json_close(j, '}');
}

static void finding_text(const struct check_finding *f)
{
	printf("%-8s %s: %s", level_names[f->level], f->check, f->text);
	if (*f->cure)
		printf("; cure: %s", f->cure);
	putchar('\n');
}

int cmd_check(int argc, char **argv)
{
	struct check c = { .root = "", .ues = 64000 };
	struct arg args[] = {
		{ "ues", parse_id, &c.ues },
		{ "processes", parse_u32, &c.processes },
	};
	int status = EXIT_OK;
	size_t i;

	parse_args(argc, argv, args, ARRAY_SIZE(args));

	check_gather(&c);
	check_run(&c);
	if (json_wanted)
		json_open(&json_out, NULL, '[');
	for (i = 0; i < c.n_findings; i++) {
		if (json_wanted)
			finding_json(&json_out, &c.findings[i]);
		else
			finding_text(&c.findings[i]);
		if (c.findings[i].level == CHECK_FAULT)
			status = EXIT_KERNEL;
	}
	if (json_wanted) {
		json_close(&json_out, ']');
		json_end(&json_out);
	}
	check_free(&c);
	return status;
}
