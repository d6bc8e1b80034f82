// SPDX-License-Identifier: GPL-2.0-only
/* imsipsec offload, and what others show of offload */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "cli.h"

void json_endpoint_offload(struct json *j, const struct imsipsec_endpoint *e)
{
	unsigned int reason;

	json_string(j, "hw-offload-interface", e->hw_offload_interface);
	json_name(j, "hw-offload", imsipsec_offload_name(e->hw_offload), e->hw_offload);
	json_bool(j, "hw-offload-required", e->hw_offload_required);
	json_number(j, "hw-offload-bundles", e->hw_offload_bundles);
	json_open(j, "hw-offload-fallback", '[');
	for (reason = 0; reason < ARRAY_SIZE(e->fallbacks); reason++) {
		if (!e->fallbacks[reason])
			continue;
		json_open(j, NULL, '{');
		json_name(j, "reason", imsipsec_offload_reason_name(reason), reason);
		json_number(j, "count", e->fallbacks[reason]);
		json_close(j, '}');
	}
	json_close(j, ']');
	if (*e->hw_offload_text)
		json_string(j, "hw-offload-text", e->hw_offload_text);
}

static bool is_hardware(enum imsipsec_offload offload)
{
	return offload == IMSIPSEC_OFFLOAD_CRYPTO || offload == IMSIPSEC_OFFLOAD_PACKET;
}

/* Without an interface, crypto and packet mean nothing. */
static bool wants_interface(const struct imsipsec_endpoint *e)
{
	return is_hardware(e->hw_offload) && *e->hw_offload_interface;
}

/* Nothing where XFRM does all as ever */
void text_endpoint_offload(const struct imsipsec_endpoint *e)
{
	const char *name = name_or_unknown(imsipsec_offload_name(e->hw_offload));

	if (e->hw_offload == IMSIPSEC_OFFLOAD_SOFTWARE)
		printf("  offload %s", name);
	else if (wants_interface(e))
		printf("  offload %s %s%s", name, e->hw_offload_interface,
		       e->hw_offload_required ? " (required)" : "");
}

/* A line of its own, where an interface is to do something, or was to */
void text_endpoint_fallbacks(const struct imsipsec_endpoint *e)
{
	unsigned int reason, n = 0;

	for (reason = 0; reason < ARRAY_SIZE(e->fallbacks); reason++)
		n += !!e->fallbacks[reason];
	if (!wants_interface(e) && !n)
		return;
	printf("    offloaded: %" PRIu32 " bundle%s", e->hw_offload_bundles,
	       e->hw_offload_bundles == 1 ? "" : "s");
	for (reason = 0, n = 0; reason < ARRAY_SIZE(e->fallbacks); reason++) {
		if (!e->fallbacks[reason])
			continue;
		printf("%s %s %" PRIu64, n++ ? "," : "; not offloaded:",
		       name_or_unknown(imsipsec_offload_reason_name(reason)),
		       e->fallbacks[reason]);
	}
	if (*e->hw_offload_text)
		printf("; last: %s", e->hw_offload_text);
	putchar('\n');
}

void json_bundle_offload(struct json *j, const struct imsipsec_bundle *b)
{
	json_name(j, "offload", imsipsec_offload_name(b->offload), b->offload);
	if (b->offload_reason)
		json_name(j, "offload-reason", imsipsec_offload_reason_name(b->offload_reason),
			  b->offload_reason);
	if (*b->offload_interface)
		json_string(j, "offload-interface", b->offload_interface);
}

/* Nothing where it is off, and nobody wishes otherwise */
void text_bundle_offload(const struct imsipsec_bundle *b)
{
	if (b->offload == IMSIPSEC_OFFLOAD_OFF && !b->offload_reason)
		return;
	printf("  offload %s", name_or_unknown(imsipsec_offload_name(b->offload)));
	if (*b->offload_interface)
		printf(" %s", b->offload_interface);
	if (b->offload_reason)
		printf(" (%s)", name_or_unknown(imsipsec_offload_reason_name(b->offload_reason)));
}

/* ---- imsipsec offload check ------------------------------------------- */

static void pair_json(struct json *j, const struct imsipsec_offload_pair *p)
{
	json_open(j, NULL, '{');
	json_string(j, "interface", p->interface);
	json_name(j, "mode", imsipsec_offload_name(p->mode), p->mode);
	if (*p->driver)
		json_string(j, "driver", p->driver);
	json_name(j, "auth-alg", imsipsec_alg_name(p->alg), p->alg);
	json_name(j, "enc-alg", imsipsec_ealg_name(p->ealg), p->ealg);
	if (p->reason)
		json_name(j, "reason", imsipsec_offload_reason_name(p->reason), p->reason);
	if (*p->text)
		json_string(j, "text", p->text);
	json_close(j, '}');
}

static void headline(const struct imsipsec_offload_pair *p)
{
	printf("%s: %s offload, ", p->interface,
	       name_or_unknown(imsipsec_offload_name(p->mode)));
	if (*p->driver)
		printf("driver %s\n", p->driver);
	else
		printf("no driver\n");
}

static void pair_text(const struct imsipsec_offload_pair *p)
{
	printf("  %-13s  %-12s  ", name_or_unknown(imsipsec_alg_name(p->alg)),
	       name_or_unknown(imsipsec_ealg_name(p->ealg)));
	if (p->reason)
		printf("no, %s", name_or_unknown(imsipsec_offload_reason_name(p->reason)));
	else
		printf("yes");
	printf("%s%s\n", *p->text ? ": " : "", p->text);
}

static int show_one(const struct imsipsec_offload_pair *p, void *data)
{
	bool *first = data;

	if (json_wanted) {
		pair_json(&json_out, p);
		return 0;
	}
	if (*first)
		headline(p);
	*first = false;
	pair_text(p);
	return 0;
}

static int offload_check(int argc, char **argv)
{
	enum imsipsec_offload mode = IMSIPSEC_OFFLOAD_CRYPTO;
	struct imsipsec *h;
	bool first = true;

	if (!argc)
		die(EXIT_USAGE, "the name of an interface is missing");
	if (!*argv[0] || strlen(argv[0]) > IMSIPSEC_INTERFACE_MAX)
		die(EXIT_USAGE, "the name of an interface has 1 to %d bytes",
		    IMSIPSEC_INTERFACE_MAX);
	if (argc > 1 && !(parse_offload(argv[1], &mode) && is_hardware(mode)))
		die(EXIT_USAGE, "\"%s\" is unknown; wanted: crypto, packet", argv[1]);
	if (argc > 2)
		die(EXIT_USAGE, "\"%s\" is unknown; wanted: no more words", argv[2]);

	h = begin_list();
	return end_list(h, imsipsec_offload_dump(h, argv[0], mode, show_one, &first));
}

int cmd_offload(int argc, char **argv)
{
	static const struct command commands[] = {
		{ "check", offload_check, "NAME [ crypto | packet ]",
		  "Show which algorithms the network interface of that name can do" },
	};

	return run_command(commands, ARRAY_SIZE(commands), NULL, argc, argv);
}
