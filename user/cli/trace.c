// SPDX-License-Identifier: GPL-2.0-only
/* imsipsec trace: why is this UE not registered */
#include <errno.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

#include "cli.h"

static const struct {
	int error;
	const char *name, *text;
} errors[] = {
	{ EADDRINUSE, "EADDRINUSE", "another subscriber has the UE's address and port" },
	{ EDQUOT, "EDQUOT", "the registration has as many bundles as it may" },
	{ EEXIST, "EEXIST", "the UE's SPIs are in use" },
	{ EINVAL, "EINVAL", "the SIP server asked for what cannot be" },
	{ ENOENT, "ENOENT", "no such endpoint" },
	{ ENOMEM, "ENOMEM", "no memory" },
	{ ENOSPC, "ENOSPC", "a limit is reached, or no SPI is free" },
	{ EOPNOTSUPP, "EOPNOTSUPP", "algorithms or mode are not to be had" },
	{ ERANGE, "ERANGE", "the SIP server asked for what cannot be" },
};

static const char *const drops[] = {
	[IMSIPSEC_DROP_PLAINTEXT_IN] = "it came to a protected port unprotected",
	[IMSIPSEC_DROP_PLAINTEXT_OUT] = "it would have left a protected port unprotected",
	[IMSIPSEC_DROP_FOREIGN_SA] = "it was protected by somebody else's SA",
	[IMSIPSEC_DROP_CROSS_PAIR] = "there is a bundle, not for these addresses and ports",
	[IMSIPSEC_DROP_NO_LIVE_SET] = "the bundle has gone, or there was none",
	[IMSIPSEC_DROP_UDP_ONLY] = "the bundle is for UDP alone",
	[IMSIPSEC_DROP_BAD_ICV] = "the UE has another key, algorithm or mode than the bundle",
	[IMSIPSEC_DROP_UNKNOWN_SPI] = "no SA has the SPI: the bundle has gone, or there was none",
	[IMSIPSEC_DROP_CLEAR_TO_UE] = "it left in clear for the UE's protected port: the UE drops it",
};

static const char *error_name(int error)
{
	size_t i;

	for (i = 0; i < ARRAY_SIZE(errors); i++)
		if (errors[i].error == error)
			return errors[i].name;
	return NULL;
}

static const char *error_text(int error)
{
	size_t i;

	for (i = 0; i < ARRAY_SIZE(errors); i++)
		if (errors[i].error == error)
			return errors[i].text;
	return strerror(error);
}

static const char *drop_text(enum imsipsec_drop drop)
{
	const char *text = (size_t)drop < ARRAY_SIZE(drops) ? drops[drop] : NULL;

	return name_or_unknown(text);
}

/* ---- JSON ------------------------------------------------------------- */

static void refusal_json(struct json *j, const struct imsipsec_trace *t)
{
	if (t->ue_address.family)
		json_addr(j, "ue-address", &t->ue_address);
	json_bytes(j, "owner", t->owner, t->owner_len);
	json_bytes(j, "contact", t->contact, t->contact_len);
	json_number(j, "port-uc", t->port_uc);
	json_number(j, "port-us", t->port_us);
	json_number(j, "spi-uc", t->spi_uc);
	json_number(j, "spi-us", t->spi_us);
	json_name(j, "errno", error_name(t->error), t->error);
	if (*t->text)
		json_bytes(j, "text", (const uint8_t *)t->text, strlen(t->text));
}

static void drop_json(struct json *j, const struct imsipsec_trace *t)
{
	json_name(j, "drop", imsipsec_drop_name(t->drop), t->drop);
	json_addr(j, "source", &t->source);
	json_addr(j, "destination", &t->destination);
	if (t->source_port || t->destination_port) {
		json_number(j, "source-port", t->source_port);
		json_number(j, "destination-port", t->destination_port);
	}
	json_number(j, "protocol", t->protocol);
	if (t->spi)
		json_number(j, "spi", t->spi);
}

static void trace_json(struct json *j, const struct imsipsec_trace *t)
{
	json_open(j, NULL, '{');
	json_name(j, "kind", imsipsec_trace_kind_name(t->kind), t->kind);
	json_number(j, "ago", t->ago_ms);
	json_number(j, "count", t->count);
	if (t->endpoint)
		json_number(j, "endpoint", t->endpoint);
	if (t->kind == IMSIPSEC_TRACE_KIND_REFUSAL)
		refusal_json(j, t);
	else if (t->kind == IMSIPSEC_TRACE_KIND_DROP)
		drop_json(j, t);
	json_close(j, '}');
}

/* ---- Text ------------------------------------------------------------- */

static void text_end_of_line(const struct imsipsec_trace *t)
{
	if (t->endpoint)
		printf("  endpoint %" PRIu32, t->endpoint);
	if (t->count > 1)
		printf("  %" PRIu32 " times", t->count);
	putchar('\n');
}

static void refusal_text(const struct imsipsec_trace *t)
{
	char buf[INET6_ADDRSTRLEN];

	printf("refused  UE %s  ports %" PRIu16 " %" PRIu16 "  SPIs %" PRIu32 " %" PRIu32
	       "  owner ", imsipsec_addr_format(&t->ue_address, buf, sizeof(buf)), t->port_uc,
	       t->port_us, t->spi_uc, t->spi_us);
	show_bytes(t->owner, t->owner_len);
	printf("  contact ");
	show_bytes(t->contact, t->contact_len);
	text_end_of_line(t);
	printf("    %s", error_text(t->error));
	if (error_name(t->error))
		printf(" (%s)", error_name(t->error));
	if (*t->text) {
		printf(": ");
		show_bytes((const uint8_t *)t->text, strlen(t->text));
	}
	putchar('\n');
}

static void text_packet_end(const struct imsipsec_addr *addr, uint16_t port)
{
	char buf[PEER_LEN];

	if (port)
		format_peer(buf, sizeof(buf), addr, port);
	else
		imsipsec_addr_format(addr, buf, sizeof(buf));
	printf("%s", buf);
}

static void drop_packet_text(const struct imsipsec_trace *t)
{
	printf(t->drop == IMSIPSEC_DROP_CLEAR_TO_UE ? "in clear " : "dropped  ");
	if (t->protocol == IPPROTO_UDP)
		printf("UDP ");
	else if (t->protocol == IPPROTO_TCP)
		printf("TCP ");
	else if (t->protocol == IPPROTO_ESP)
		printf("ESP ");
	else
		printf("protocol %" PRIu8 " ", t->protocol);
	text_packet_end(&t->source, t->source_port);
	printf(" -> ");
	text_packet_end(&t->destination, t->destination_port);
	if (t->spi)
		printf("  spi %" PRIu32 " (0x%08" PRIx32 ")", t->spi, t->spi);
	else
		printf("  no SA");
	text_end_of_line(t);
	printf("    %s (%s)\n", drop_text(t->drop), name_or_unknown(imsipsec_drop_name(t->drop)));
}

static void trace_text(const struct imsipsec_trace *t)
{
	show_ago(t->ago_ms);
	printf(": ");
	if (t->kind == IMSIPSEC_TRACE_KIND_REFUSAL)
		refusal_text(t);
	else if (t->kind == IMSIPSEC_TRACE_KIND_DROP)
		drop_packet_text(t);
	else
		printf("unknown\n");
}

/* What a bundle that is not in use yet waits for */
static const char *hint(const struct imsipsec_bundle *b)
{
	if (b->state == IMSIPSEC_STATE_OLD || b->state == IMSIPSEC_STATE_ACTIVE)
		return NULL;
	if (!b->rx_packets && b->rx_bad_icv)
		return "nothing that came is authentic: the UE has other keys or algorithms";
	if (b->state == IMSIPSEC_STATE_ESTABLISHED)
		return "confirmed: the UE has sent nothing over it since";
	if (b->rx_packets)
		return "the UE has sent over it: the SIP server has not confirmed it";
	return "challenged: nothing has come from the UE over it";
}

/* ---- The command ------------------------------------------------------ */

/* Callbacks count what they show. */
static int show_trace(const struct imsipsec_trace *t, void *data)
{
	++*(unsigned int *)data;
	if (json_wanted)
		trace_json(&json_out, t);
	else
		trace_text(t);
	return 0;
}

static int show_set(const struct imsipsec_bundle *b, void *data)
{
	++*(unsigned int *)data;
	if (json_wanted) {
		json_bundle(&json_out, NULL, b);
		return 0;
	}
	text_bundle(b);
	if (hint(b))
		printf("    %s\n", hint(b));
	return 0;
}

static int show_traces(struct imsipsec *h, const struct imsipsec_addr *ue)
{
	unsigned int n = 0;
	int err;

	if (json_wanted)
		json_open(&json_out, "trace", '[');
	err = imsipsec_trace_dump(h, ue, show_trace, &n);
	if (json_wanted)
		json_close(&json_out, ']');
	else if (!err && !n)
		printf("nothing was refused or dropped\n");
	return err;
}

static int show_sets(struct imsipsec *h, const struct imsipsec_addr *ue)
{
	struct imsipsec_bundle_filter filter = { .ue_address = *ue };
	unsigned int n = 0;
	int err;

	if (json_wanted)
		json_open(&json_out, "bundles", '[');
	err = imsipsec_bundle_dump(h, &filter, show_set, &n);
	if (json_wanted)
		json_close(&json_out, ']');
	else if (!err && !n)
		printf("it has no bundle\n");
	return err;
}

int cmd_trace(int argc, char **argv)
{
	struct imsipsec_addr ue;
	struct arg args[] = {
		{ "ue", parse_addr, &ue },
	};
	struct imsipsec *h;
	int err;

	parse_args(argc, argv, args, ARRAY_SIZE(args));
	h = open_or_die();
	if (json_wanted)
		json_open(&json_out, NULL, '{');
	err = show_traces(h, args[0].given ? &ue : NULL);
	if (!err && args[0].given)
		err = show_sets(h, &ue);
	if (json_wanted) {
		json_close(&json_out, '}');
		json_end(&json_out);
	}
	if (err)
		fail("%s", imsipsec_strerror(h));
	imsipsec_close(h);
	return err ? EXIT_KERNEL : EXIT_OK;
}
