// SPDX-License-Identifier: GPL-2.0-only
/*
 * imsipsec check: does the firewall let ESP and the protected ports in.
 *
 * Rules are not judged. Where a chain of the input or output hook drops what no rule
 * takes, it is looked whether any rule of its table speaks of ESP, of the port of ESP in
 * UDP, and of the protected ports, which what came out of ESP is filtered by once more.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "cli.h"

/* A chain that drops by default, and all rules of its table */
struct chain {
	char name[192];			/* for people */
	bool input;			/* else output */
	bool ipv4, ipv6;
	const char *rules;
	size_t len;
	bool iptables;			/* ranges have a colon */
};

static size_t line_length(const char *line)
{
	return strcspn(line, "\n");
}

static bool has_word(const char *line, size_t len, const char *word)
{
	const size_t n = strlen(word);
	size_t i;

	for (i = 0; i + n <= len; i++)
		if (!memcmp(line + i, word, n) && (!i || strchr(" \t{,", line[i - 1])) &&
		    (i + n == len || strchr(" \t,};", line[i + n])))
			return true;
	return false;
}

static bool refuses(const char *line, size_t len)
{
	return has_word(line, len, "drop") || has_word(line, len, "reject") ||
	       has_word(line, len, "DROP") || has_word(line, len, "REJECT");
}

/* Rules about ESP that do not drop it */
static bool speaks_of_esp(const char *line, size_t len, bool iptables)
{
	if (iptables)
		return has_word(line, len, "-p esp") || has_word(line, len, "-p 50") ||
		       has_word(line, len, "--espspi");
	return has_word(line, len, "esp") || has_word(line, len, "protocol 50") ||
	       has_word(line, len, "l4proto 50") || has_word(line, len, "nexthdr 50");
}

/* About what came out of ESP, whatever the port */
static bool speaks_of_ipsec(const char *line, size_t len, bool iptables)
{
	if (iptables)
		return has_word(line, len, "--pol ipsec");
	/* The last is iptables', by way of nftables. */
	return has_word(line, len, "ipsec exists") || has_word(line, len, "secpath exists") ||
	       has_word(line, len, "ipsec in") || has_word(line, len, "ipsec out") ||
	       has_word(line, len, "xt match \"policy\"");
}

static bool speaks_of_port(const char *line, size_t len, bool iptables, uint16_t port)
{
	char copy[1024], *ports;

	snprintf(copy, sizeof(copy), "%.*s", (int)len, line);
	if (iptables) {
		ports = strstr(copy, "port");
	} else {
		/* A rule, or the elements of a set that one may use */
		ports = strstr(copy, "port ");
		if (!ports)
			ports = strstr(copy, "elements");
		/* More elements */
		if (!ports && copy[strspn(copy, " \t")] >= '0' && copy[strspn(copy, " \t")] <= '9')
			ports = copy;
	}
	return ports && check_list_has(ports, iptables ? ':' : '-', port);
}

enum topic { TOPIC_ESP, TOPIC_NAT, TOPIC_PORT };

/* Does a rule of the chain's table speak of it, and not to drop it? */
static bool speaks(const struct chain *chain, enum topic topic, uint16_t port)
{
	const char *line, *end = chain->rules + chain->len;
	bool hit, plain;
	size_t len;

	for (line = chain->rules; line < end; line += len + 1) {
		len = line_length(line);
		if (line + len > end)
			len = end - line;
		plain = topic != TOPIC_ESP && speaks_of_port(line, len, chain->iptables, port);
		switch (topic) {
		case TOPIC_ESP:
			hit = speaks_of_esp(line, len, chain->iptables);
			break;
		case TOPIC_NAT:
			hit = plain;
			break;
		default:
			hit = plain || speaks_of_ipsec(line, len, chain->iptables);
		}
		if (hit && !refuses(line, len))
			return true;
	}
	return false;
}

static void missing(struct check *c, const struct chain *chain, const char *what,
		    const char *rule)
{
	check_found(c, CHECK_WARNING, "%s drops what no rule takes, and none of that table speaks of %s",
		    chain->name, what);
	check_cure(c, "a rule such as: %s", rule);
}

static void judge_endpoint(struct check *c, const struct chain *chain,
			   const struct imsipsec_endpoint *e, unsigned int *bad)
{
	const char *side = chain->input ? "dport" : "sport";
	const size_t before = c->n_findings;
	char what[64], rule[128];
	uint16_t port;
	size_t i;

	if (e->nat_traversal && !speaks(chain, TOPIC_NAT, e->nat_port)) {
		snprintf(what, sizeof(what), "UDP port %" PRIu16 ", for ESP", e->nat_port);
		snprintf(rule, sizeof(rule), chain->iptables ? "-p udp --%s %" PRIu16 " -j ACCEPT" :
			 "udp %s %" PRIu16 " accept", side, e->nat_port);
		missing(c, chain, what, rule);
	}
	for (i = 0; i <= e->n_port_pc; i++) {
		port = i ? e->port_pc[i - 1] : e->port_ps;
		if (speaks(chain, TOPIC_PORT, port))
			continue;
		snprintf(what, sizeof(what), "port %" PRIu16 " of endpoint %" PRIu32, port, e->id);
		if (chain->iptables)
			snprintf(rule, sizeof(rule), "-m policy --dir %s --pol ipsec -j ACCEPT",
				 chain->input ? "in" : "out");
		else
			snprintf(rule, sizeof(rule), "%s accept",
				 chain->input ? "meta ipsec exists" : "rt ipsec exists");
		missing(c, chain, what, rule);
		/* One rule is the cure of all. */
		break;
	}
	*bad += c->n_findings - before;
}

static unsigned int judge(struct check *c, const struct chain *chain)
{
	unsigned int bad = 0;
	bool any = false;
	size_t i;

	for (i = 0; i < c->n_endpoints; i++)
		any |= c->endpoints[i].address.family == AF_INET ? chain->ipv4 : chain->ipv6;
	if (any && !speaks(chain, TOPIC_ESP, 0)) {
		missing(c, chain, "ESP", chain->iptables ? "-p esp -j ACCEPT" : "meta l4proto esp accept");
		bad++;
	}
	for (i = 0; i < c->n_endpoints; i++)
		if (c->endpoints[i].address.family == AF_INET ? chain->ipv4 : chain->ipv6)
			judge_endpoint(c, chain, &c->endpoints[i], &bad);
	return bad;
}

/* A rule that takes all: "drop", "counter drop", "reject with ..." */
static bool takes_all(const char *line, size_t len)
{
	static const char *const words[] = { "counter drop", "drop", "counter reject", "reject" };
	size_t i, n;

	while (len && (*line == ' ' || *line == '\t'))
		line++, len--;
	for (i = 0; i < ARRAY_SIZE(words); i++) {
		n = strlen(words[i]);
		if (len >= n && !memcmp(line, words[i], n) &&
		    (len == n || !strncmp(line + n, " with ", 6)))
			return true;
	}
	return false;
}

/* What nft lists: tables, in them chains, in them rules, each by a tab further in. */
static unsigned int judge_nft(struct check *c, unsigned int *dropping)
{
	char family[16] = "", table[64] = "", name[64] = "";
	const char *line, *next, *drop, *table_start = NULL, *table_end, *last = NULL;
	struct chain chain;
	unsigned int bad = 0;
	bool base = false, drops = false;
	size_t len;

	for (line = c->nft; *line; line = next) {
		len = line_length(line);
		next = line + len + (line[len] == '\n');
		if (sscanf(line, "table %15s %63s {", family, table) == 2 && *line == 't') {
			table_start = next;
			continue;
		}
		if (!table_start)
			continue;
		if (sscanf(line, "\tchain %63s {", name) == 1 && line[1] == 'c') {
			base = drops = false;
			last = NULL;
			continue;
		}
		if (len > 2 && !strncmp(line, "\t\ttype filter hook ", 19)) {
			chain.input = !strncmp(line + 19, "input ", 6);
			base = chain.input || !strncmp(line + 19, "output ", 7);
			drop = strstr(line, "policy drop;");
			drops = drop && drop < line + len;
			continue;
		}
		if (len > 2 && line[0] == '\t' && line[1] == '\t') {
			last = line;
			continue;
		}
		if (len != 2 || strncmp(line, "\t}", 2) || !base)
			continue;
		/* The end of a base chain */
		base = false;
		if (!drops && !(last && takes_all(last, line_length(last))))
			continue;
		chain.ipv4 = strcmp(family, "ip6");
		chain.ipv6 = strcmp(family, "ip");
		if (strcmp(family, "inet") && strcmp(family, "ip") && strcmp(family, "ip6"))
			continue;
		table_end = strstr(table_start, "\n}");
		chain.rules = table_start;
		chain.len = table_end ? (size_t)(table_end - table_start) : strlen(table_start);
		chain.iptables = false;
		snprintf(chain.name, sizeof(chain.name), "nftables' chain %s %s %s", family, table,
			 name);
		++*dropping;
		bad += judge(c, &chain);
	}
	return bad;
}

/* What iptables-save writes: ":INPUT DROP [0:0]", then "-A INPUT ..." */
static unsigned int judge_iptables(struct check *c, unsigned int i, unsigned int *dropping)
{
	static const char *const chains[] = { "INPUT", "OUTPUT" };
	const char *text = c->iptables[i], *table, *end, *line, *last;
	char word[64], name[32];
	struct chain chain;
	unsigned int bad = 0, j;
	size_t len;

	for (table = strchr(text, '*'); table; table = strstr(end, "\n*")) {
		if (*table == '\n')
			table++;
		end = strstr(table, "\nCOMMIT");
		if (!end)
			end = table + strlen(table);
		sscanf(table, "*%31s", name);
		for (j = 0; j < ARRAY_SIZE(chains); j++) {
			last = NULL;
			snprintf(word, sizeof(word), "\n-A %s ", chains[j]);
			for (line = table; (line = strstr(line, word)) && line < end; line++)
				last = line + strlen(word);
			snprintf(word, sizeof(word), "\n:%s DROP", chains[j]);
			line = strstr(table, word);
			len = last ? line_length(last) : 0;
			if (!(line && line < end) &&
			    !(len == 7 && !strncmp(last, "-j DROP", len)) &&
			    !(len >= 9 && !strncmp(last, "-j REJECT", 9)))
				continue;
			chain = (struct chain) {
				.input = !j, .ipv4 = !i, .ipv6 = i, .iptables = true,
				.rules = table, .len = end - table,
			};
			snprintf(chain.name, sizeof(chain.name), "%s's chain %s %s",
				 i ? "ip6tables" : "iptables", name, chains[j]);
			++*dropping;
			bad += judge(c, &chain);
		}
	}
	return bad;
}

void check_firewall(struct check *c)
{
	static const char *const names[] = { "iptables", "ip6tables" };
	unsigned int bad = 0, dropping = 0, i;
	bool nft_loaded, there;
	char looked[64] = "";

	if (c->nft) {
		strcat(looked, "nftables");
		bad += judge_nft(c, &dropping);
	} else {
		there = check_has_kernel_module(c, "nf_tables", &nft_loaded);
		if (there && nft_loaded) {
			check_found(c, CHECK_WARNING, "nf_tables is in the kernel, and nft %s: its rules "
				    "were not looked at", c->nft_error);
			check_cure(c, "install nftables, and check again");
			bad++;
		}
	}
	for (i = 0; i < ARRAY_SIZE(names); i++) {
		if (c->iptables[i]) {
			sprintf(looked + strlen(looked), "%s%s", *looked ? ", " : "", names[i]);
			bad += judge_iptables(c, i, &dropping);
		} else if (c->iptables_error[i]) {
			check_found(c, CHECK_WARNING, "there are tables of %s, and %s-save %s: they were "
				    "not looked at", names[i], names[i], c->iptables_error[i]);
			check_cure(c, "install iptables, and check again");
			bad++;
		}
	}
	if (bad)
		return;
	if (!*looked)
		check_found(c, CHECK_OK, "there are no tables of nftables or iptables");
	else if (!dropping)
		check_found(c, CHECK_OK, "no input or output chain of %s drops what no rule takes; rules were "
			    "not judged",
			    looked);
	else
		check_found(c, CHECK_OK, "where input and output chains of %s drop what no rule takes, rules "
			    "speak of all that is needed; they were not judged", looked);
}
