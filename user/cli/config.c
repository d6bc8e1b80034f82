// SPDX-License-Identifier: GPL-2.0-only
/* imsipsec config */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "cli.h"

/* 0 is none, and has no name in the library. */
static const char *alg_or_none(enum imsipsec_alg alg)
{
	return alg ? imsipsec_alg_name(alg) : "none";
}

static const char *ealg_or_none(enum imsipsec_ealg ealg)
{
	return ealg ? imsipsec_ealg_name(ealg) : "none";
}

static void config_json(struct json *j, const struct imsipsec_config *c)
{
	size_t i;

	json_open(j, NULL, '{');
	json_number(j, "min-spi", c->min_spi);
	json_number(j, "max-spi", c->max_spi);
	json_number(j, "temporary-timeout", c->temporary_timeout);
	json_open(j, "port-pc", '[');
	for (i = 0; i < c->n_port_pc; i++)
		json_number(j, NULL, c->port_pc[i]);
	json_close(j, ']');
	json_number(j, "port-ps", c->port_ps);
	json_number(j, "max-endpoints", c->max_endpoints);
	json_number(j, "max-bundles", c->max_bundles);
	json_number(j, "max-pending", c->max_pending);
	json_string(j, "allowed-algorithms", c->allowed_algorithms);
	json_name(j, "preferred-alg", alg_or_none(c->preferred_alg), c->preferred_alg);
	json_name(j, "preferred-ealg", ealg_or_none(c->preferred_ealg), c->preferred_ealg);
	json_bool(j, "disable-deprecated-algorithms", c->disable_deprecated_algorithms);
	json_number(j, "max-sets", c->max_sets);
	json_number(j, "old-timeout", c->old_timeout);
	json_number(j, "idle-timeout", c->idle_timeout);
	json_number(j, "mark-mask", c->mark_mask);
	json_bool(j, "nat-traversal", c->nat_traversal);
	json_number(j, "nat-port", c->nat_port);
	json_bool(j, "nat-follow-address", c->nat_follow_address);
	json_string(j, "hw-offload-interface", c->hw_offload_interface);
	json_name(j, "hw-offload", imsipsec_offload_name(c->hw_offload), c->hw_offload);
	json_bool(j, "hw-offload-required", c->hw_offload_required);
	json_close(j, '}');
	json_end(j);
}

static void config_text(const struct imsipsec_config *c)
{
	size_t i;

	printf("SPIs               %" PRIu32 " to %" PRIu32 "\n", c->min_spi, c->max_spi);
	printf("default ports      pc ");
	for (i = 0; i < c->n_port_pc; i++)
		printf("%s%" PRIu16, i ? "," : "", c->port_pc[i]);
	printf(", ps %" PRIu16 "\n", c->port_ps);
	printf("temporary timeout  ");
	show_time(c->temporary_timeout);
	printf("\nold timeout        ");
	show_time(c->old_timeout);
	printf("\nidle timeout       ");
	if (c->idle_timeout)
		show_time(c->idle_timeout);
	else
		printf("none");
	printf("\nat most            %" PRIu32 " endpoints, %" PRIu32 " bundles, %" PRIu32
	       " of them temporary, %" PRIu32 " a registration\n", c->max_endpoints,
	       c->max_bundles, c->max_pending, c->max_sets);
	printf("mark mask          0x%08" PRIx32 "\n", c->mark_mask);
	printf("NAT traversal      %s, port %" PRIu16 ", another address is %s\n",
	       c->nat_traversal ? "on" : "off", c->nat_port,
	       c->nat_follow_address ? "followed" : "not followed");
	printf("offload            %s, interface %s%s\n",
	       name_or_unknown(imsipsec_offload_name(c->hw_offload)),
	       *c->hw_offload_interface ? c->hw_offload_interface : "none",
	       c->hw_offload_required ? ", required" : "");
	printf("algorithms         %s\n", *c->allowed_algorithms ? c->allowed_algorithms : "all");
	printf("preferred          alg %s, ealg %s\n",
	       name_or_unknown(alg_or_none(c->preferred_alg)),
	       name_or_unknown(ealg_or_none(c->preferred_ealg)));
	printf("deprecated         %s\n",
	       c->disable_deprecated_algorithms ? "disabled" : "not disabled");
}

static int config_show(int argc, char **argv)
{
	const struct imsipsec_config *c;
	struct imsipsec *h;
	int status = EXIT_OK;

	parse_args(argc, argv, NULL, 0);
	h = open_or_die();
	if (imsipsec_config_get(h, &c))
		status = fail("%s", imsipsec_strerror(h));
	else if (json_wanted)
		config_json(&json_out, c);
	else
		config_text(c);
	imsipsec_close(h);
	return status;
}

static bool parse_allowed(const char *text, void *to)
{
	return parse_string(strcmp(text, "all") ? text : "", to);
}

static int config_set(int argc, char **argv)
{
	struct imsipsec_config c = { 0 };
	const char *interface = "";
	struct ports port_pc = { .n = 0 };
	/* In the order of the bits IMSIPSEC_CONFIG_* */
	struct arg args[] = {
		{ "min-spi", parse_u32, &c.min_spi },
		{ "max-spi", parse_u32, &c.max_spi },
		{ "temporary-timeout", parse_time, &c.temporary_timeout },
		{ "port-pc", parse_ports, &port_pc },
		{ "port-ps", parse_port, &c.port_ps },
		{ "max-endpoints", parse_u32, &c.max_endpoints },
		{ "max-bundles", parse_u32, &c.max_bundles },
		{ "max-pending", parse_u32, &c.max_pending },
		{ "allowed-algorithms", parse_allowed, &c.allowed_algorithms },
		{ "preferred-alg", parse_preferred_alg, &c.preferred_alg },
		{ "preferred-ealg", parse_preferred_ealg, &c.preferred_ealg },
		{ "disable-deprecated-algorithms", parse_on_off,
		  &c.disable_deprecated_algorithms },
		{ "max-sets", parse_u32, &c.max_sets },
		{ "old-timeout", parse_time, &c.old_timeout },
		{ "idle-timeout", parse_time, &c.idle_timeout },
		{ "mark-mask", parse_u32, &c.mark_mask },
		{ "nat-traversal", parse_on_off, &c.nat_traversal },
		{ "nat-port", parse_port, &c.nat_port },
		{ "nat-follow-address", parse_on_off, &c.nat_follow_address },
		{ "hw-offload-interface", parse_interface, &interface },
		{ "hw-offload", parse_offload, &c.hw_offload },
		{ "hw-offload-required", parse_on_off, &c.hw_offload_required },
	};
	struct imsipsec *h;
	int status = EXIT_OK;
	size_t i;

	parse_args(argc, argv, args, ARRAY_SIZE(args));
	for (i = 0; i < ARRAY_SIZE(args); i++)
		if (args[i].given)
			c.set |= 1U << i;
	if (!c.set)
		die(EXIT_USAGE, "nothing to set, try \"help\"");
	memcpy(c.port_pc, port_pc.port, sizeof(c.port_pc));
	c.n_port_pc = port_pc.n;
	snprintf(c.hw_offload_interface, sizeof(c.hw_offload_interface), "%s", interface);

	h = open_or_die();
	if (imsipsec_config_set(h, &c))
		status = fail("%s", imsipsec_strerror(h));
	imsipsec_close(h);
	return status;
}

int cmd_config(int argc, char **argv)
{
	static const struct command commands[] = {
		{ "show", config_show, "", "Show the configuration" },
		{ "set", config_set,
		  "[ min-spi SPI ] [ max-spi SPI ] [ port-pc PORT[,PORT]... ] [ port-ps PORT ]\n"
		  "      [ temporary-timeout TIME ] [ old-timeout TIME ] [ idle-timeout TIME ]\n"
		  "      [ max-endpoints N ] [ max-bundles N ] [ max-pending N ] [ max-sets N ]\n"
		  "      [ mark-mask MASK ]\n"
		  "      [ nat-traversal { on | off } ] [ nat-port PORT ]\n"
		  "      [ nat-follow-address { on | off } ]" HELP_OFFLOAD "\n"
		  "      [ allowed-algorithms { LIST | all } ]\n"
		  "      [ preferred-alg { ALG | none } ] [ preferred-ealg { EALG | none } ]\n"
		  "      [ disable-deprecated-algorithms { on | off } ]" HELP_ALGS,
		  "Change what is named, all or nothing" },
	};

	return run_command(commands, ARRAY_SIZE(commands), "show", argc, argv);
}
