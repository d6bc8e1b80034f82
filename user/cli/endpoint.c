// SPDX-License-Identifier: GPL-2.0-only
/* imsipsec endpoint */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "check.h"
#include "cli.h"

static void endpoint_json(struct json *j, const struct imsipsec_endpoint *e)
{
	size_t i;

	json_open(j, NULL, '{');
	json_number(j, "id", e->id);
	json_addr(j, "address", &e->address);
	json_number(j, "port-ps", e->port_ps);
	json_open(j, "port-pc", '[');
	for (i = 0; i < e->n_port_pc; i++)
		json_number(j, NULL, e->port_pc[i]);
	json_close(j, ']');
	json_number(j, "bundles", e->bundles);
	json_number(j, "drop-plaintext-in", e->drop_plaintext_in);
	json_number(j, "drop-plaintext-out", e->drop_plaintext_out);
	json_number(j, "drop-foreign-sa", e->drop_foreign_sa);
	json_name(j, "guard", imsipsec_guard_name(e->guard), e->guard);
	json_number(j, "drop-cross-pair", e->drop_cross_pair);
	json_number(j, "drop-no-live-set", e->drop_no_live_set);
	json_bool(j, "nat-traversal", e->nat_traversal);
	json_number(j, "nat-port", e->nat_port);
	json_bool(j, "nat-shared", e->nat_shared);
	json_number(j, "drop-udp-only", e->drop_udp_only);
	json_number(j, "esp-bad-icv", e->esp_bad_icv);
	json_number(j, "esp-unknown-spi", e->esp_unknown_spi);
	json_number(j, "clear-to-ue", e->clear_to_ue);
	json_endpoint_offload(j, e);
	json_open(j, "trusted", '[');
	for (i = 0; i < e->n_trusted; i++)
		json_string(j, NULL, e->trusted[i]);
	json_close(j, ']');
	json_close(j, '}');
}

static void endpoint_text(const struct imsipsec_endpoint *e)
{
	char buf[INET6_ADDRSTRLEN];
	size_t i;

	printf("endpoint %" PRIu32 ": %s  port-ps %" PRIu16 "  port-pc ", e->id,
	       imsipsec_addr_format(&e->address, buf, sizeof(buf)), e->port_ps);
	for (i = 0; i < e->n_port_pc; i++)
		printf("%s%" PRIu16, i ? "," : "", e->port_pc[i]);
	printf("  guard %s", name_or_unknown(imsipsec_guard_name(e->guard)));
	if (e->nat_traversal)
		printf("  nat-port %" PRIu16 "%s", e->nat_port, e->nat_shared ? " (shared)" : "");
	text_endpoint_offload(e);
	for (i = 0; i < e->n_trusted; i++)
		printf("%s%s", i ? "," : "  trusted ", e->trusted[i]);
	printf("  %" PRIu32 " bundle%s\n", e->bundles, e->bundles == 1 ? "" : "s");
	printf("    dropped: unprotected in %" PRIu64 ", unprotected out %" PRIu64
	       ", foreign SA %" PRIu64 ", cross pair %" PRIu64 ", no live set %" PRIu64,
	       e->drop_plaintext_in, e->drop_plaintext_out, e->drop_foreign_sa,
	       e->drop_cross_pair, e->drop_no_live_set);
	if (e->nat_traversal)
		printf(", UDP only %" PRIu64, e->drop_udp_only);
	printf("\n    ESP: bad ICV %" PRIu64 ", unknown SPI %" PRIu64 "; in clear to UEs: %" PRIu64 "\n",
	       e->esp_bad_icv, e->esp_unknown_spi, e->clear_to_ue);
	text_endpoint_fallbacks(e);
}

/* What the command line says of an endpoint */
struct wish {
	struct imsipsec_endpoint_params p;
	struct ports port_pc;
	struct trusted trusted;
};

#define WISH_ARGS(w)							\
	{ "address", parse_addr, &(w)->p.address, .required = true },	\
	{ "port-ps", parse_port, &(w)->p.port_ps },			\
	{ "port-pc", parse_ports, &(w)->port_pc },			\
	{ "guard", parse_guard, &(w)->p.guard },			\
	{ "nat-traversal", parse_choice, &(w)->p.nat_traversal },	\
	{ "nat-port", parse_port, &(w)->p.nat_port },			\
	{ "nat-shared", parse_on_off, &(w)->p.nat_shared },		\
	{ "hw-offload-interface", parse_interface, &(w)->p.hw_offload_interface }, \
	{ "hw-offload", parse_offload, &(w)->p.hw_offload },		\
	{ "hw-offload-required", parse_choice, &(w)->p.hw_offload_required }, \
	{ "trusted", parse_trusted, &(w)->trusted }

static void fill_in(struct wish *w, const struct arg *args, size_t n)
{
	size_t i;

	w->p.port_pc = w->port_pc.port;
	w->p.n_port_pc = w->port_pc.n;
	for (i = 0; i < n; i++) {
		if (strcmp(args[i].name, "trusted") || !args[i].given)
			continue;
		w->p.trusted = w->trusted.prefix;
		w->p.n_trusted = w->trusted.n;
	}
}

static void show_made(const struct imsipsec_endpoint *e)
{
	if (json_wanted) {
		endpoint_json(&json_out, e);
		json_end(&json_out);
	} else {
		endpoint_text(e);
	}
}

/* A new one, and what on the host gets in its way; @e is gone afterwards. */
static void show_new(struct imsipsec *h, const struct imsipsec_endpoint *e)
{
	const struct imsipsec_endpoint made = *e;
	const struct imsipsec_config *config;

	show_made(&made);
	if (!imsipsec_config_get(h, &config))
		check_warn_marks(config, &made);
}

static int endpoint_add(int argc, char **argv)
{
	struct wish w = { 0 };
	const struct imsipsec_endpoint *e;
	struct arg args[] = { WISH_ARGS(&w) };
	struct imsipsec *h;
	int status = EXIT_OK;

	parse_args(argc, argv, args, ARRAY_SIZE(args));
	fill_in(&w, args, ARRAY_SIZE(args));

	h = open_or_die();
	if (imsipsec_endpoint_add(h, &w.p, &e))
		status = fail("%s", imsipsec_strerror(h));
	else
		show_new(h, e);
	imsipsec_close(h);
	return status;
}

struct search {
	struct imsipsec_addr address;
	uint16_t port_ps;
	uint32_t id;			/* out */
	unsigned int found;
};

static bool equal_addresses(const struct imsipsec_addr *a, const struct imsipsec_addr *b)
{
	return a->family == b->family &&
	       !memcmp(&a->in, &b->in, a->family == AF_INET ? sizeof(a->in) : sizeof(a->in6));
}

static int search_endpoint(const struct imsipsec_endpoint *e, void *data)
{
	struct search *s = data;

	if ((s->port_ps && e->port_ps != s->port_ps) ||
	    !equal_addresses(&e->address, &s->address))
		return 0;
	s->id = e->id;
	s->found++;
	return 0;
}

/* One that is there, by its id or its address: the first of a command's words */
#define SEARCH_ARGS(s)							\
	{ "id", parse_u32, &(s)->id },					\
	{ "address", parse_addr, &(s)->address },			\
	{ "port-ps", parse_port, &(s)->port_ps }
#define N_SEARCH_ARGS	3

static void check_search(const struct arg *args)
{
	const bool by_id = args[0].given, by_address = args[1].given, has_port = args[2].given;

	if (by_id == by_address || (has_port && !by_address))
		die(EXIT_USAGE, "either \"id\" or \"address\" says which");
}

static int search(struct imsipsec *h, struct search *s)
{
	if (!s->address.family)
		return EXIT_OK;
	if (imsipsec_endpoint_dump(h, search_endpoint, s))
		return fail("%s", imsipsec_strerror(h));
	if (s->found != 1)
		return fail(s->found ? "several endpoints have that address: name \"port-ps\""
				     : "no endpoint has that address");
	return EXIT_OK;
}

static int endpoint_del(int argc, char **argv)
{
	struct search s = { .port_ps = 0 };
	struct arg args[] = { SEARCH_ARGS(&s), { "force", NULL, NULL } };
	struct imsipsec *h;
	int status;

	parse_args(argc, argv, args, ARRAY_SIZE(args));
	check_search(args);

	h = open_or_die();
	status = search(h, &s);
	if (!status && imsipsec_endpoint_delete(h, s.id, args[N_SEARCH_ARGS].given))
		status = fail("%s", imsipsec_strerror(h));
	imsipsec_close(h);
	return status;
}

static int endpoint_set(int argc, char **argv)
{
	struct search s = { .port_ps = 0 };
	struct trusted trusted;
	struct ports port_pc;
	struct arg args[] = {
		SEARCH_ARGS(&s),
		{ "port-pc", parse_ports, &port_pc },
		{ "trusted", parse_trusted, &trusted },
	};
	const struct arg *by_ports = &args[N_SEARCH_ARGS], *by_trusted = by_ports + 1;
	const struct imsipsec_endpoint *e;
	struct imsipsec *h;
	int err, status;

	parse_args(argc, argv, args, ARRAY_SIZE(args));
	check_search(args);
	if (by_ports->given == by_trusted->given)
		die(EXIT_USAGE, "either \"port-pc\" or \"trusted\" says what");

	h = open_or_die();
	status = search(h, &s);
	if (!status) {
		err = by_ports->given ?
		      imsipsec_endpoint_set_ports(h, s.id, port_pc.port, port_pc.n, &e) :
		      imsipsec_endpoint_set_trusted(h, s.id, trusted.prefix, trusted.n, &e);
		if (err)
			status = fail("%s", imsipsec_strerror(h));
		else
			show_made(e);
	}
	imsipsec_close(h);
	return status;
}

static int endpoint_replace(int argc, char **argv)
{
	struct wish w = { 0 };
	struct arg args[] = { WISH_ARGS(&w), { "force", NULL, NULL } };
	const struct imsipsec_endpoint *e;
	struct imsipsec *h;
	int made;

	parse_args(argc, argv, args, ARRAY_SIZE(args));
	fill_in(&w, args, ARRAY_SIZE(args));
	h = open_or_die();
	made = imsipsec_endpoint_replace(h, &w.p, args[ARRAY_SIZE(args) - 1].given, &e);
	if (made < 0)
		fail("%s", imsipsec_strerror(h));
	else if (made)
		show_new(h, e);
	else
		show_made(e);
	imsipsec_close(h);
	return made < 0 ? EXIT_KERNEL : EXIT_OK;
}

static int show_one(const struct imsipsec_endpoint *e, void *data)
{
	(void)data;
	if (json_wanted)
		endpoint_json(&json_out, e);
	else
		endpoint_text(e);
	return 0;
}

static int endpoint_show(int argc, char **argv)
{
	const struct imsipsec_endpoint *e;
	uint32_t id = 0;
	struct arg args[] = {
		{ "id", parse_u32, &id },
	};
	struct imsipsec *h;
	int err;

	parse_args(argc, argv, args, ARRAY_SIZE(args));
	h = begin_list();
	if (args[0].given) {
		err = imsipsec_endpoint_get(h, id, &e);
		if (!err)
			show_one(e, NULL);
	} else {
		err = imsipsec_endpoint_dump(h, show_one, NULL);
	}
	return end_list(h, err);
}

#define HELP_WISH							\
	"address ADDRESS [ port-ps PORT ] [ port-pc PORT[,PORT]... ]\n"	\
	"      [ guard { drop | reject | bypass } ]\n"			\
	"      [ nat-traversal { on | off } ] [ nat-port PORT ] [ nat-shared { on | off } ]" \
	HELP_OFFLOAD							\
	"\n      [ trusted { none | PREFIX%INTERFACE[,PREFIX%INTERFACE]... } ]"

int cmd_endpoint(int argc, char **argv)
{
	static const struct command commands[] = {
		{ "add", endpoint_add, HELP_WISH,
		  "Make an endpoint: nothing unprotected passes its ports unless guard is bypass" },
		{ "replace", endpoint_replace, HELP_WISH "\n      [ force ]",
		  "Make it unless it is there; with force even if another one has its ports" },
		{ "set", endpoint_set,
		  "{ id ID | address ADDRESS [ port-ps PORT ] }\n"
		  "      { port-pc PORT[,PORT]... | trusted { none | PREFIX%INTERFACE[,PREFIX%INTERFACE]... } }",
		  "Change an endpoint's client ports, or what it trusts; its bundles stay" },
		{ "del", endpoint_del,
		  "{ id ID | address ADDRESS [ port-ps PORT ] } [ force ]",
		  "Delete an endpoint, with force even if it has bundles" },
		{ "show", endpoint_show, "[ id ID ]", "Show endpoints" },
	};

	return run_command(commands, ARRAY_SIZE(commands), "show", argc, argv);
}
