// SPDX-License-Identifier: GPL-2.0-only
/*
 * Whatever nft and iptables-save write, imsipsec check reads it: the target of libFuzzer,
 * and of check_mutate_test. The first byte says which of the two it is.
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../cli/check_rules.h"
#include "../cli/cli.h"
#include "fuzz.h"

/* Of the command's output.c and batch.c */
bool json_wanted, force_wanted;
struct json json_out;

void die(int status, const char *fmt, ...)
{
	(void)status;
	fprintf(stderr, "died: %s\n", fmt);
	abort();
}

int fail(const char *fmt, ...)
{
	(void)fmt;
	return EXIT_KERNEL;
}

#define NFT_CHAIN							\
	"{\"table\": {\"family\": \"inet\", \"name\": \"f\"}}, {\"chain\": {\"family\": \"inet\", \"table\": \"f\", " \
	"\"name\": \"in\", \"type\": \"filter\", \"hook\": \"input\", \"prio\": 0, \"policy\": \"drop\"}}, " \
	"{\"chain\": {\"family\": \"inet\", \"table\": \"f\", \"name\": \"x\"}}, " \
	"{\"set\": {\"family\": \"inet\", \"table\": \"f\", \"name\": \"s\", \"elem\": [50, {\"range\": [5062, 5064]}]}}"
#define NFT_RULE(expr)							\
	", {\"rule\": {\"family\": \"inet\", \"table\": \"f\", \"chain\": \"in\", \"expr\": [" expr "]}}"

const char *const fuzz_seeds[] = {
	"{\"nftables\": [" NFT_CHAIN
	NFT_RULE("{\"match\": {\"op\": \"==\", \"left\": {\"meta\": {\"key\": \"l4proto\"}}, \"right\": \"@s\"}}, {\"accept\": null}")
	NFT_RULE("{\"match\": {\"op\": \"!=\", \"left\": {\"payload\": {\"protocol\": \"udp\", \"field\": \"dport\"}}, "
		 "\"right\": {\"set\": [{\"range\": [4000, 5061]}, 5063]}}}, {\"counter\": null}, {\"reject\": null}") "]}",
	"{\"nftables\": [" NFT_CHAIN
	NFT_RULE("{\"vmap\": {\"key\": {\"concat\": [{\"meta\": {\"key\": \"l4proto\"}}, {\"payload\": {\"protocol\": \"th\", "
		 "\"field\": \"dport\"}}]}, \"data\": {\"set\": [[{\"concat\": [17, 5063]}, {\"jump\": {\"target\": \"x\"}}]]}}}")
	NFT_RULE("{\"mangle\": {\"key\": {\"meta\": {\"key\": \"mark\"}}, \"value\": {\"|\": [{\"&\": [{\"meta\": {\"key\": \"mark\"}}, "
		 "65535]}, 4]}}}, {\"xt\": {\"type\": \"match\", \"name\": \"policy\"}}")
	NFT_RULE("{\"match\": {\"op\": \"==\", \"left\": {\"meta\": {\"key\": \"mark\"}}, \"right\": {\"prefix\": {\"addr\": 65536, "
		 "\"len\": 16}}}}, {\"log\": {\"prefix\": \"a\"}}, {\"goto\": {\"target\": \"x\"}}") "]}",
	"4*filter\n:INPUT DROP [0:0]\n:U - [0:0]\n-A INPUT -p udp -m multiport --dports 5060:5062,5064 -j U\n"
	"-A U ! -p esp -m policy --dir in --pol ipsec -m comment --comment \"a \\\" -j DROP\" -j ACCEPT\n-A INPUT -j DROP\nCOMMIT\n",
	"6*mangle\n:PREROUTING ACCEPT [0:0]\n-A PREROUTING -i lo -m mark --mark 0x1/0xff -j CONNMARK --restore-mark --nfmask 0xff "
	"--ctmask 0xff\n-A PREROUTING -j MARK --set-xmark 0x4000/0x4000\n-A INPUT",
	NULL
};

const char *const fuzz_pieces[] = {
	"{", "}", "[", "]", ",", ":", "\"", "null", "true", "-1", "65536", "4294967296", "1e9", "\"@s\"", "\"x\"", "\"in\"",
	"\"op\": \">=\"", "{\"range\": [2, 1]}", "{\"concat\": []}", "{\"set\": []}", "\n", " ", "-A ", "-A INPUT", ":INPUT DROP",
	"*nat\n", "COMMIT\n", "! ", "-p ", "-j ", "--dport ", "--comment ", "0x", "5062:", NULL
};

/* A host with an endpoint of each family */
static void set_endpoints(struct check *c)
{
	static const char *const addresses[] = { "192.0.2.1", "2001:db8::1" };
	size_t i;

	for (i = 0; i < ARRAY_SIZE(addresses); i++) {
		c->endpoints = check_grow(c->endpoints, &c->n_endpoints, sizeof(*c->endpoints));
		c->endpoints[i] = (struct imsipsec_endpoint) {
			.id = 1 + i, .port_ps = 5063, .port_pc = { 5062, 5064 }, .n_port_pc = 2,
			.nat_traversal = i, .nat_port = 4500, .guard = IMSIPSEC_GUARD_DROP,
		};
		imsipsec_addr_parse(&c->endpoints[i].address, addresses[i]);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct check c = { .root = "/nonexistent", .ues = 1000, .config = { .mark_mask = 0xffffff } };
	char *text = malloc(size + 1);
	size_t i;

	if (!text)
		abort();
	memcpy(text, data, size);
	text[size] = '\0';
	set_endpoints(&c);
	if (size && (*text == '4' || *text == '6')) {
		/* No byte more than there are */
		c.iptables[*text == '6'] = strdup(text + 1);
		free(text);
	} else {
		c.nft = check_nft_parse(text);
		free(text);
	}
	c.now = "firewall";
	check_firewall(&c);
	c.now = "mark-rules";
	check_mark_rules(&c);
	for (i = 0; i < c.n_findings; i++)
		if (!*c.findings[i].text || (c.findings[i].level != CHECK_OK && !*c.findings[i].cure))
			abort();
	if (!c.n_findings)
		abort();
	check_free(&c);
	return 0;
}
