// SPDX-License-Identifier: GPL-2.0-only
/* imsipsec bundle */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "cli.h"

void json_bundle(struct json *j, const char *key, const struct imsipsec_bundle *b)
{
	json_open(j, key, '{');
	json_number(j, "id", b->id);
	json_number(j, "endpoint", b->endpoint);
	json_bytes(j, "owner", b->owner, b->owner_len);
	json_bytes(j, "contact", b->contact, b->contact_len);
	json_name(j, "state", imsipsec_state_name(b->state), b->state);
	json_addr(j, "address", &b->address);
	json_number(j, "port-pc", b->port_pc);
	json_number(j, "port-ps", b->port_ps);
	json_number(j, "spi-pc", b->spi_pc);
	json_number(j, "spi-ps", b->spi_ps);
	json_addr(j, "ue-address", &b->ue_address);
	json_number(j, "port-uc", b->port_uc);
	json_number(j, "port-us", b->port_us);
	json_number(j, "spi-uc", b->spi_uc);
	json_number(j, "spi-us", b->spi_us);
	json_name(j, "mode", imsipsec_mode_name(b->mode), b->mode);
	json_name(j, "auth-alg", imsipsec_alg_name(b->alg), b->alg);
	json_name(j, "enc-alg", imsipsec_ealg_name(b->ealg), b->ealg);
	json_number(j, "lifetime", b->lifetime);
	json_number(j, "rx-packets", b->rx_packets);
	json_number(j, "rx-bytes", b->rx_bytes);
	json_number(j, "tx-packets", b->tx_packets);
	json_number(j, "tx-bytes", b->tx_bytes);
	json_number(j, "registration", b->registration);
	if (b->mark)
		json_number(j, "mark", b->mark);
	if (b->ue_nat_address.family) {
		json_addr(j, "ue-nat-address", &b->ue_nat_address);
		json_number(j, "ue-nat-port", b->ue_nat_port);
		json_bool(j, "unmarked", b->unmarked);
	}
	json_bool(j, "udp-only", b->udp_only);
	if (b->tcp_only)
		json_bool(j, "tcp-only", true);
	json_bundle_offload(j, b);
	if (b->last_rx_ms != IMSIPSEC_NEVER)
		json_number(j, "last-rx", b->last_rx_ms);
	if (b->last_tx_ms != IMSIPSEC_NEVER)
		json_number(j, "last-tx", b->last_tx_ms);
	json_number(j, "rx-bad-icv", b->rx_bad_icv);
	json_number(j, "rx-replayed", b->rx_replayed);
	json_close(j, '}');
}

/* The four SAs, in the order in which TS 33.203 numbers them. */
static void text_sas(const struct imsipsec_bundle *b)
{
	const struct {
		const char *direction;
		const struct imsipsec_addr *from, *to;
		uint16_t from_port, to_port;
		uint32_t spi;
	} sas[] = {
		{ "in ", &b->ue_address, &b->address, b->port_uc, b->port_ps, b->spi_ps },
		{ "out", &b->address, &b->ue_address, b->port_ps, b->port_uc, b->spi_uc },
		{ "out", &b->address, &b->ue_address, b->port_pc, b->port_us, b->spi_us },
		{ "in ", &b->ue_address, &b->address, b->port_us, b->port_pc, b->spi_pc },
	};
	char from[ARRAY_SIZE(sas)][PEER_LEN], to[ARRAY_SIZE(sas)][PEER_LEN];
	int len, from_width = 0, to_width = 0;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(sas); i++) {
		len = format_peer(from[i], sizeof(from[i]), sas[i].from, sas[i].from_port);
		from_width = len > from_width ? len : from_width;
		len = format_peer(to[i], sizeof(to[i]), sas[i].to, sas[i].to_port);
		to_width = len > to_width ? len : to_width;
	}
	for (i = 0; i < ARRAY_SIZE(sas); i++)
		printf("    %s  %-*s -> %-*s  spi %" PRIu32 " (0x%08" PRIx32 ")\n",
		       sas[i].direction, from_width, from[i], to_width, to[i],
		       sas[i].spi, sas[i].spi);
}

static void text_nat(const struct imsipsec_bundle *b)
{
	char buf[PEER_LEN];

	format_peer(buf, sizeof(buf), &b->ue_nat_address, b->ue_nat_port);
	printf("    ESP in UDP to %s%s\n", buf, b->unmarked ? "  unmarked" : "");
}

static void text_counters(const char *name, uint64_t packets, uint64_t bytes, uint64_t last_ms)
{
	printf("%s %" PRIu64 " packet%s, ", name, packets, packets == 1 ? "" : "s");
	show_size(bytes);
	if (last_ms == IMSIPSEC_NEVER)
		return;
	printf(", last ");
	show_ago(last_ms);
}

void text_bundle(const struct imsipsec_bundle *b)
{
	printf("bundle %" PRIu32 ": %s, ", b->id, name_or_unknown(imsipsec_state_name(b->state)));
	show_time(b->lifetime);
	printf(" left  owner ");
	show_bytes(b->owner, b->owner_len);
	printf("  contact ");
	show_bytes(b->contact, b->contact_len);
	printf("\n    endpoint %" PRIu32 "  registration %" PRIu32, b->endpoint, b->registration);
	if (b->mark)
		printf("  mark 0x%" PRIx32, b->mark);
	printf("  %s  %s, %s%s%s", name_or_unknown(imsipsec_mode_name(b->mode)),
	       name_or_unknown(imsipsec_alg_name(b->alg)),
	       name_or_unknown(imsipsec_ealg_name(b->ealg)), b->udp_only ? "  UDP only" : "",
	       b->tcp_only ? "  TCP only" : "");
	text_bundle_offload(b);
	putchar('\n');
	text_sas(b);
	if (b->ue_nat_address.family)
		text_nat(b);
	text_counters("    received", b->rx_packets, b->rx_bytes, b->last_rx_ms);
	text_counters("   sent", b->tx_packets, b->tx_bytes, b->last_tx_ms);
	putchar('\n');
	if (b->rx_bad_icv || b->rx_replayed)
		printf("    not received: %" PRIu64 " not authentic, %" PRIu64 " replayed\n",
		       b->rx_bad_icv, b->rx_replayed);
}

static void check_owner(const struct bytes *owner)
{
	if (owner->len > IMSIPSEC_OWNER_MAX)
		die(EXIT_USAGE, "an owner has at most %d bytes", IMSIPSEC_OWNER_MAX);
}

/* Two spellings of one value: at most one of them, and at least one if it is required. */
static void check_pair(const struct arg *a, const struct arg *b, bool required)
{
	if (a->given && b->given)
		die(EXIT_USAGE, "\"%s\" and \"%s\" exclude each other", a->name, b->name);
	if (required && !a->given && !b->given)
		die(EXIT_USAGE, "\"%s\" is missing", a->name);
}

static int bundle_add(int argc, char **argv)
{
	struct imsipsec_bundle_params p = { 0 };
	struct bytes owner = { .len = 0 }, contact = { .len = 0 };
	const struct imsipsec_bundle *b;
	struct keys keys;
	enum {
		OWNER, OWNER_HEX, CONTACT, CONTACT_HEX, IK, CK, KEYS, REPLACE, UNMARKED, CLEAR,
		OVER
	};
	struct arg args[] = {
		[OWNER] = { "owner", parse_text, &owner },
		[OWNER_HEX] = { "owner-hex", parse_hex, &owner },
		[CONTACT] = { "contact", parse_text, &contact },
		[CONTACT_HEX] = { "contact-hex", parse_hex, &contact },
		[IK] = { "ik", parse_key, &keys.ik },
		[CK] = { "ck", parse_key, &keys.ck },
		[KEYS] = { "keys", parse_keys_file, &keys },
		/* of no effect: it is not in the help */
		[REPLACE] = { "replace" },
		[UNMARKED] = { "unmarked" },
		[CLEAR] = { "began-clear" },
		[OVER] = { "over", parse_id, &p.over },
		{ "endpoint", parse_u32, &p.endpoint, .required = true },
		{ "ue", parse_addr, &p.ue_address, .required = true },
		{ "port-uc", parse_port, &p.port_uc, .required = true },
		{ "port-us", parse_port, &p.port_us, .required = true },
		{ "spi-uc", parse_u32, &p.spi_uc, .required = true },
		{ "spi-us", parse_u32, &p.spi_us, .required = true },
		{ "port-pc", parse_port, &p.port_pc },
		{ "mode", parse_mode, &p.mode },
		{ "nat", parse_addr, &p.ue_nat_address },
		{ "nat-port", parse_port, &p.ue_nat_port },
		{ "alg", parse_alg, &p.alg, .required = true },
		{ "ealg", parse_ealg, &p.ealg, .required = true },
		{ "allowed-algorithms", parse_string, &p.allowed_algorithms },
	};
	struct imsipsec *h;
	int status = EXIT_OK;

	parse_args(argc, argv, args, ARRAY_SIZE(args));
	check_pair(&args[OWNER], &args[OWNER_HEX], true);
	check_pair(&args[CONTACT], &args[CONTACT_HEX], true);
	check_pair(&args[IK], &args[KEYS], true);
	check_pair(&args[CK], &args[KEYS], true);
	check_owner(&owner);
	p.replace = args[REPLACE].given;
	check_pair(&args[CLEAR], &args[OVER], false);
	p.unmarked = args[UNMARKED].given;
	p.began_clear = args[CLEAR].given;
	p.owner = owner.data;
	p.owner_len = owner.len;
	p.contact = contact.data;
	p.contact_len = contact.len;

	h = open_or_die();
	memcpy(p.ik, keys.ik, sizeof(p.ik));
	memcpy(p.ck, keys.ck, sizeof(p.ck));
	explicit_bzero(&keys, sizeof(keys));
	if (imsipsec_bundle_new(h, &p, &b)) {
		status = fail("%s", imsipsec_strerror(h));
	} else if (json_wanted) {
		json_bundle(&json_out, NULL, b);
		json_end(&json_out);
	} else {
		text_bundle(b);
	}
	explicit_bzero(&p, sizeof(p));
	imsipsec_close(h);
	return status;
}

static int bundle_confirm(int argc, char **argv)
{
	enum imsipsec_older older = 0;
	uint32_t id = 0, over = 0;
	uint64_t lifetime = 0;
	struct arg args[] = {
		{ "id", parse_u32, &id, .required = true },
		{ "lifetime", parse_time, &lifetime, .required = true },
		{ "older", parse_older, &older },
		{ "over", parse_u32, &over },
	};
	struct imsipsec *h;
	int status = EXIT_OK;

	parse_args(argc, argv, args, ARRAY_SIZE(args));
	h = open_or_die();
	if (imsipsec_bundle_confirm(h, id, lifetime, older, over))
		status = fail("%s", imsipsec_strerror(h));
	imsipsec_close(h);
	return status;
}

static int bundle_extend(int argc, char **argv)
{
	uint64_t lifetime = 0;
	uint32_t id = 0;
	struct arg args[] = {
		{ "id", parse_u32, &id, .required = true },
		{ "lifetime", parse_time, &lifetime, .required = true },
	};
	struct imsipsec *h;
	int status = EXIT_OK;

	parse_args(argc, argv, args, ARRAY_SIZE(args));
	h = open_or_die();
	if (imsipsec_bundle_extend(h, id, lifetime))
		status = fail("%s", imsipsec_strerror(h));
	imsipsec_close(h);
	return status;
}

static int bundle_del(int argc, char **argv)
{
	uint64_t linger = 0;
	uint32_t id = 0;
	struct arg args[] = {
		{ "id", parse_u32, &id, .required = true },
		{ "linger", parse_time, &linger },
	};
	struct imsipsec *h;
	int status = EXIT_OK;

	parse_args(argc, argv, args, ARRAY_SIZE(args));
	h = open_or_die();
	if (imsipsec_bundle_delete(h, id, linger))
		status = fail("%s", imsipsec_strerror(h));
	imsipsec_close(h);
	return status;
}

static int show_one(const struct imsipsec_bundle *b, void *data)
{
	(void)data;
	if (json_wanted)
		json_bundle(&json_out, NULL, b);
	else
		text_bundle(b);
	return 0;
}

/* Which bundles, on the command line: for bundle show, and flush */
struct filter_args {
	struct imsipsec_bundle_filter filter;
	struct bytes owner, contact;
};

enum {
	BY_OWNER, BY_OWNER_HEX, BY_CONTACT, BY_CONTACT_HEX, BY_UE, BY_UE_ADDRESS,
	N_FILTER_ARGS = BY_UE_ADDRESS + 4
};

static void init_filter(struct filter_args *f, struct arg *args)
{
	const struct arg wanted[N_FILTER_ARGS] = {
		[BY_OWNER] = { "owner", parse_text, &f->owner },
		[BY_OWNER_HEX] = { "owner-hex", parse_hex, &f->owner },
		[BY_CONTACT] = { "contact", parse_text, &f->contact },
		[BY_CONTACT_HEX] = { "contact-hex", parse_hex, &f->contact },
		[BY_UE] = { "ue", parse_addr, &f->filter.ue_address },
		/* as -j calls it */
		[BY_UE_ADDRESS] = { "ue-address", parse_addr, &f->filter.ue_address },
		{ "endpoint", parse_id, &f->filter.endpoint },
		{ "state", parse_state, &f->filter.state },
		{ "older-than", parse_id, &f->filter.older_than },
	};

	*f = (struct filter_args){ 0 };
	memcpy(args, wanted, sizeof(wanted));
}

/* Return: whether there is any. */
static bool end_filter(struct filter_args *f, const struct arg *args)
{
	bool any = false;
	size_t i;

	check_pair(&args[BY_OWNER], &args[BY_OWNER_HEX], false);
	check_pair(&args[BY_CONTACT], &args[BY_CONTACT_HEX], false);
	check_pair(&args[BY_UE], &args[BY_UE_ADDRESS], false);
	check_owner(&f->owner);
	f->filter.owner = f->owner.len ? f->owner.data : NULL;
	f->filter.owner_len = f->owner.len;
	f->filter.contact = f->contact.len ? f->contact.data : NULL;
	f->filter.contact_len = f->contact.len;
	for (i = 0; i < N_FILTER_ARGS; i++)
		any |= args[i].given;
	return any;
}

static int bundle_show(int argc, char **argv)
{
	struct arg args[N_FILTER_ARGS + 1];
	const struct imsipsec_bundle *b;
	struct arg *const by_id = &args[N_FILTER_ARGS];
	struct filter_args f;
	struct imsipsec *h;
	uint32_t id = 0;
	int err;

	init_filter(&f, args);
	*by_id = (struct arg){ "id", parse_u32, &id };
	parse_args(argc, argv, args, ARRAY_SIZE(args));
	if (end_filter(&f, args) && by_id->given)
		die(EXIT_USAGE, "\"id\" stands alone");

	h = begin_list();
	if (by_id->given) {
		err = imsipsec_bundle_get(h, id, &b);
		if (!err)
			show_one(b, NULL);
	} else {
		err = imsipsec_bundle_dump(h, &f.filter, show_one, NULL);
	}
	return end_list(h, err);
}

/* What was found, with its counters: the answer has none. @b is gone afterwards. */
static int show_found(struct imsipsec *h, const struct imsipsec_bundle *b)
{
	const bool tcp_only = b->tcp_only;
	struct imsipsec_bundle found;

	if (imsipsec_bundle_get(h, b->id, &b))
		return fail("%s", imsipsec_strerror(h));
	found = *b;
	found.tcp_only = tcp_only;
	if (json_wanted) {
		json_bundle(&json_out, NULL, &found);
		json_end(&json_out);
	} else {
		text_bundle(&found);
	}
	return EXIT_OK;
}

/*
 * One of several ways to name what is looked for: all of @args up to the @n'th are given, or none.
 */
static bool is_way(const struct arg *args, size_t n)
{
	size_t i;

	for (i = 1; i < n; i++)
		if (args[i].given != args[0].given)
			die(EXIT_USAGE, "\"%s\" is missing", args[args[0].given ? i : 0].name);
	return args[0].given;
}

static int bundle_find(int argc, char **argv)
{
	enum { TUPLE, SPI = TUPLE + 4, MARK, N_ARGS };
	struct imsipsec_addr local = { .family = 0 }, remote = { .family = 0 };
	uint16_t local_port = 0, remote_port = 0;
	uint32_t spi = 0, mark = 0;
	struct arg args[N_ARGS] = {
		[TUPLE] = { "address", parse_addr, &local },
		{ "local-port", parse_port, &local_port },
		{ "ue-address", parse_addr, &remote },
		{ "ue-port", parse_port, &remote_port },
		[SPI] = { "spi", parse_u32, &spi },
		[MARK] = { "mark", parse_u32, &mark },
	};
	const struct imsipsec_bundle *b;
	struct imsipsec *h;
	bool by_tuple;
	int err, status;

	parse_args(argc, argv, args, ARRAY_SIZE(args));
	by_tuple = is_way(&args[TUPLE], SPI - TUPLE);
	if (by_tuple + args[SPI].given + args[MARK].given != 1)
		die(EXIT_USAGE, "either addresses and ports, or \"spi\", or \"mark\" say which");

	h = open_or_die();
	if (by_tuple)
		err = imsipsec_bundle_find_tuple(h, &local, local_port, &remote, remote_port, &b);
	else if (args[SPI].given)
		err = imsipsec_bundle_find_spi(h, spi, &b);
	else
		err = imsipsec_bundle_find_mark(h, mark, &b);
	status = err ? fail("%s", imsipsec_strerror(h)) : show_found(h, b);
	imsipsec_close(h);
	return status;
}

static int bundle_tx(int argc, char **argv)
{
	enum { ID, OWNER, OWNER_HEX, CONTACT, CONTACT_HEX, UE, UE_PORT, ADDRESS, N_ARGS };
	struct imsipsec_addr local = { .family = 0 }, remote = { .family = 0 };
	struct bytes owner = { .len = 0 }, contact = { .len = 0 };
	uint16_t remote_port = 0;
	uint32_t id = 0;
	struct arg args[N_ARGS] = {
		[ID] = { "id", parse_u32, &id },
		[OWNER] = { "owner", parse_text, &owner },
		[OWNER_HEX] = { "owner-hex", parse_hex, &owner },
		[CONTACT] = { "contact", parse_text, &contact },
		[CONTACT_HEX] = { "contact-hex", parse_hex, &contact },
		[UE] = { "ue-address", parse_addr, &remote },
		[UE_PORT] = { "ue-port", parse_port, &remote_port },
		[ADDRESS] = { "address", parse_addr, &local },
	};
	const struct imsipsec_bundle *b;
	bool by_name, by_port;
	struct imsipsec *h;
	int err, status;

	parse_args(argc, argv, args, ARRAY_SIZE(args));
	by_name = owner.len || contact.len;
	check_pair(&args[OWNER], &args[OWNER_HEX], by_name);
	check_pair(&args[CONTACT], &args[CONTACT_HEX], by_name);
	check_owner(&owner);
	by_port = is_way(&args[UE], ADDRESS - UE);
	if (args[ID].given + by_name + by_port != 1 || (args[ADDRESS].given && !by_port))
		die(EXIT_USAGE,
		    "either \"id\", or \"owner\" and \"contact\", or the UE's address and port say which");

	h = open_or_die();
	if (args[ID].given)
		err = imsipsec_bundle_tx(h, id, &b);
	else if (by_name)
		err = imsipsec_bundle_tx_name(h, owner.data, owner.len, contact.data, contact.len,
					      &b);
	else
		err = imsipsec_bundle_tx_port(h, args[ADDRESS].given ? &local : NULL, &remote,
					      remote_port, &b);
	status = err ? fail("%s", imsipsec_strerror(h)) : show_found(h, b);
	imsipsec_close(h);
	return status;
}

static int bundle_flush(int argc, char **argv)
{
	enum { ALL = N_FILTER_ARGS, LINGER, N_ARGS };
	struct arg args[N_ARGS];
	struct filter_args f;
	uint64_t linger = 0;
	struct imsipsec *h;
	int status = EXIT_OK;
	uint32_t count;
	bool any;

	init_filter(&f, args);
	args[ALL] = (struct arg){ "all" };
	args[LINGER] = (struct arg){ "linger", parse_time, &linger };
	parse_args(argc, argv, args, ARRAY_SIZE(args));
	any = end_filter(&f, args);
	/* A word that got lost on the way is not to cost all UEs their bundles. */
	if (!any && !args[ALL].given)
		die(EXIT_USAGE, "which ones? \"all\" is all of them");
	if (any && args[ALL].given)
		die(EXIT_USAGE, "\"all\" stands alone");

	h = open_or_die();
	if (imsipsec_bundle_flush(h, &f.filter, linger, &count)) {
		status = fail("%s", imsipsec_strerror(h));
	} else if (json_wanted) {
		json_open(&json_out, NULL, '{');
		json_number(&json_out, "flushed", count);
		json_close(&json_out, '}');
		json_end(&json_out);
	} else {
		printf("%" PRIu32 " bundle%s flushed\n", count, count == 1 ? "" : "s");
	}
	imsipsec_close(h);
	return status;
}

int cmd_bundle(int argc, char **argv)
{
	static const struct command commands[] = {
		{ "add", bundle_add,
		  "endpoint ID owner TEXT contact TEXT ue ADDRESS\n"
		  "      port-uc PORT port-us PORT spi-uc SPI spi-us SPI [ port-pc PORT ]\n"
		  "      [ mode { trans | udp-enc-tun [ nat ADDRESS ] [ nat-port PORT ] [ unmarked ] } ]\n"
		  "      alg ALG ealg EALG [ allowed-algorithms LIST ] [ began-clear | over ID ]\n"
		  "      { ik HEX ck HEX | keys { FILE | - } }" HELP_ALGS,
		  "Put the four SAs of a registration in place, temporary until confirmed" },
		{ "confirm", bundle_confirm,
		  "id ID lifetime TIME [ older { keep | drop } ] [ over ID ]",
		  "Establish a bundle, as of the 200 OK" },
		{ "extend", bundle_extend, "id ID lifetime TIME",
		  "Lengthen the lifetime, as of a 200 OK without a challenge" },
		{ "del", bundle_del, "id ID [ linger TIME ]",
		  "Delete a bundle, with linger its SAs stay so much longer" },
		{ "flush", bundle_flush,
		  "{ all | [ endpoint ID ] [ owner TEXT ] [ contact TEXT ]\n"
		  "      [ ue ADDRESS ] [ state STATE ] [ older-than ID ] } [ linger TIME ]",
		  "Delete all bundles that match, with linger their SAs stay so much longer" },
		{ "show", bundle_show,
		  "[ id ID | [ endpoint ID ] [ owner TEXT ] [ contact TEXT ]\n"
		  "      [ ue ADDRESS ] [ state STATE ] [ older-than ID ] ]",
		  "Show bundles" },
		{ "find", bundle_find,
		  "{ address ADDRESS local-port PORT ue-address ADDRESS ue-port PORT\n"
		  "      | spi SPI | mark MARK }",
		  "Show the bundle that a message came over" },
		{ "tx", bundle_tx,
		  "{ id ID | owner TEXT contact TEXT\n"
		  "      | ue-address ADDRESS ue-port PORT [ address ADDRESS ] }",
		  "Show the bundle to send over now" },
	};

	return run_command(commands, ARRAY_SIZE(commands), "show", argc, argv);
}
