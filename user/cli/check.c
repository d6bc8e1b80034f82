// SPDX-License-Identifier: GPL-2.0-only
/*
 * imsipsec check: what on this host stands in the way of so many UEs.
 *
 * It looks and changes no setting. Each check is a function that says what it found, good
 * or bad, and how that is cured; it claims no more than it looked at.
 */
#include <stdio.h>

#include "check.h"
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

static void gather(struct check *c)
{
	check_gather_host(c);
	/* Without the module nobody would look at it. */
	if (!c->module)
		return;
	check_gather_policies(c);
	check_gather_rules(c);
	check_gather_fwmarks(c);
	check_gather_sockets(c);
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

	gather(&c);
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
