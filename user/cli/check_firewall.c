// SPDX-License-Identifier: GPL-2.0-only
/*
 * imsipsec check: does the firewall let ESP and the protected ports in, and out.
 *
 * No packet is taken through the rules. Two things are looked for. A rule that by name
 * refuses ESP, the port of ESP in UDP, or a protected port. And, where a chain of a
 * hook that all pass drops what no rule takes, whether any rule it leads to speaks of
 * these; what came out of ESP is filtered by the protected ports once more. Where a
 * rule takes whatever comes a certain way, it cannot be told, and is said.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "cli.h"

/* A chain that all pass, and the rules it leads to, with the sets of its table */
struct chain {
	char name[192];			/* for people */
	bool input;			/* else output */
	bool ipv4, ipv6;
	bool drops;			/* what no rule takes */
	const char *rules;
	size_t len;
	bool iptables;			/* ranges have a colon */
};

static size_t line_length(const char *line)
{
	return strcspn(line, "\n");
}

/* Where a word is, or NULL; its ends are not letters of a longer one */
static const char *find_word(const char *line, size_t len, const char *word)
{
	const size_t n = strlen(word);
	size_t i;

	for (i = 0; i + n <= len; i++)
		if (!memcmp(line + i, word, n) && (!i || strchr(" \t{,", line[i - 1])) &&
		    (i + n == len || strchr(" \t,};", line[i + n])))
			return line + i;
	return NULL;
}

static bool has_word(const char *line, size_t len, const char *word)
{
	return find_word(line, len, word);
}

/* The first of a list of words that ends with NULL */
static const char *find_any(const char *line, size_t len, const char *const *words)
{
	const char *at = NULL;

	while (!at && *words)
		at = find_word(line, len, *words++);
	return at;
}

/* A map of verdicts that has both, "{ esp : accept, ah : drop }", goes by the element at @at. */
static bool refuses(const char *line, size_t len, const char *at)
{
	static const char *const no[] = { "drop", "reject", "DROP", "REJECT", NULL };
	static const char *const yes[] = { "accept", "jump", "goto", NULL };
	size_t n;

	if (at) {
		n = strcspn(at, ",}\n");
		if (n < len - (at - line) && memchr(at, ':', n))
			return find_any(at, n, no);
	}
	return find_any(line, len, no) && !find_any(line, len, yes);
}

/* Is the line for this family, as far as it says? */
static bool is_of(const char *line, size_t len, const struct chain *chain, int family)
{
	static const char *const ipv4[] = { "ip", "ipv4", "icmp", NULL };
	static const char *const ipv6[] = { "ip6", "ipv6", "icmpv6", NULL };

	if (chain->iptables)
		return true;
	return !find_any(line, len, family == AF_INET ? ipv6 : ipv4);
}

/* A rule about ESP: where it says so */
static const char *speaks_of_esp(const char *line, size_t len, bool iptables)
{
	static const char *const old[] = { "-p esp", "-p 50", "--espspi", "--header esp", NULL };
	static const char *const words[] = { "esp", "protocol 50", "l4proto 50", "nexthdr 50", NULL };

	return find_any(line, len, iptables ? old : words);
}

/* About what came out of ESP, whatever the port */
static bool speaks_of_ipsec(const char *line, size_t len, bool iptables)
{
	/* The last is iptables', by way of nftables. */
	static const char *const words[] = {
		"ipsec exists", "secpath exists", "ipsec in", "ipsec out", "xt match \"policy\"", NULL,
	};

	if (iptables)
		return has_word(line, len, "--pol ipsec");
	return find_any(line, len, words);
}

/* About what did not */
static bool speaks_of_clear(const char *line, size_t len, bool iptables)
{
	static const char *const words[] = {
		"ipsec missing", "secpath missing", "xt match \"policy\"", NULL,
	};

	if (iptables)
		return has_word(line, len, "--pol none");
	return find_any(line, len, words);
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

/* Does the line speak of it? *@at: where, if it is a word */
static bool is_about(const struct chain *chain, const char *line, size_t len, enum topic topic,
		     uint16_t port, const char **at)
{
	*at = NULL;
	switch (topic) {
	case TOPIC_ESP:
		*at = speaks_of_esp(line, len, chain->iptables);
		return *at;
	case TOPIC_NAT:
		if ((has_word(line, len, "tcp") || has_word(line, len, "-p tcp")) &&
		    !has_word(line, len, "udp"))
			return false;
		return speaks_of_port(line, len, chain->iptables, port);
	default:
		return speaks_of_port(line, len, chain->iptables, port);
	}
}

static const char *next_line(const struct chain *chain, const char *line, size_t *len)
{
	const char *end = chain->rules + chain->len;

	line = line ? line + *len + 1 : chain->rules;
	if (line >= end)
		return NULL;
	*len = line_length(line);
	if (line + *len > end)
		*len = end - line;
	return line;
}

/* Does a rule that the chain leads to speak of it, and not to drop it? */
static bool speaks(const struct chain *chain, enum topic topic, uint16_t port, int family)
{
	const char *line = NULL, *at;
	size_t len;

	while ((line = next_line(chain, line, &len))) {
		if (!is_of(line, len, chain, family))
			continue;
		if (!is_about(chain, line, len, topic, port, &at) &&
		    !(topic == TOPIC_PORT && speaks_of_ipsec(line, len, chain->iptables)))
			continue;
		if (!refuses(line, len, at))
			return true;
	}
	return false;
}

/* A rule that takes what comes a certain way, whatever it is: it may be ESP, too */
static const char *takes_unnamed(const struct chain *chain, int family, size_t *len)
{
	static const char *const accepts[] = { "accept", "-j ACCEPT", NULL };
	/* What names something else; what is local, or was asked for */
	static const char *const named[] = {
		"tcp", "udp", "th", "sctp", "dccp", "ah", "icmp", "icmpv6", "igmp", "-p tcp", "-p udp", "-p icmp",
		"-p ipv6-icmp", "protocol", "l4proto", "nexthdr", "ct", "--ctstate", "--state", "-i lo", "-o lo",
		"iif lo", "oif lo", "\"lo\"", "iif \"lo\"", "ipsec", "secpath", "--pol", "elements", NULL,
	};
	const char *line = NULL;

	while ((line = next_line(chain, line, len)))
		if (find_any(line, *len, accepts) && is_of(line, *len, chain, family) &&
		    !find_any(line, *len, named) && !speaks_of_esp(line, *len, chain->iptables))
			return line;
	return NULL;
}

static void missing(struct check *c, const struct chain *chain, int family, const char *what,
		    const char *rule)
{
	const char *line;
	size_t len;

	line = takes_unnamed(chain, family, &len);
	if (line) {
		while (*line == '\t' || *line == ' ')
			line++, len--;
		check_found(c, CHECK_WARNING, "%s drops what no rule takes: cannot tell whether \"%.*s\" takes %s",
			    chain->name, (int)(len < 200 ? len : 200), line, what);
		check_cure(c, "if not, a rule such as: %s", rule);
		return;
	}
	check_found(c, CHECK_WARNING, "%s drops what no rule takes, and none of that table speaks of %s",
		    chain->name, what);
	check_cure(c, "a rule such as: %s", rule);
}

static void say_port(const struct imsipsec_endpoint *e, enum topic topic, uint16_t port, char *what,
		     size_t size)
{
	if (topic == TOPIC_NAT)
		snprintf(what, size, "UDP port %" PRIu16 ", for ESP", port);
	else
		snprintf(what, size, "port %" PRIu16 " of endpoint %" PRIu32, port, e->id);
}

/* By its name; is there such a rule? */
static bool refused(struct check *c, const struct chain *chain, int family, enum topic topic,
		    uint16_t port, const char *what)
{
	const char *line = NULL, *at;
	size_t len;

	while ((line = next_line(chain, line, &len))) {
		if (!is_of(line, len, chain, family) ||
		    !is_about(chain, line, len, topic, port, &at) || !refuses(line, len, at))
			continue;
		/* What is not protected may well be refused. */
		if (topic == TOPIC_PORT && speaks_of_clear(line, len, chain->iptables))
			continue;
		while (*line == '\t' || *line == ' ')
			line++, len--;
		check_found(c, CHECK_WARNING, "%s has a rule that refuses %s: \"%.*s\"", chain->name, what,
			    (int)(len < 200 ? len : 200), line);
		check_cure(c, "%s", chain->iptables ?
			   "take it away (-D instead of -A), or one ahead of it that accepts" :
			   "nft -a list ruleset has its handle for nft delete rule; or one ahead of it that accepts");
		return true;
	}
	return false;
}

static void judge_endpoint(struct check *c, const struct chain *chain,
			   const struct imsipsec_endpoint *e)
{
	const char *side = chain->input ? "dport" : "sport";
	const int family = e->address.family;
	bool told = false;
	char what[64], rule[128];
	uint16_t port;
	size_t i;

	if (e->nat_traversal) {
		say_port(e, TOPIC_NAT, e->nat_port, what, sizeof(what));
		snprintf(rule, sizeof(rule), chain->iptables ? "-p udp --%s %" PRIu16 " -j ACCEPT" :
			 "udp %s %" PRIu16 " accept", side, e->nat_port);
		if (!refused(c, chain, family, TOPIC_NAT, e->nat_port, what) && chain->drops &&
		    !speaks(chain, TOPIC_NAT, e->nat_port, family))
			missing(c, chain, family, what, rule);
	}
	if (chain->iptables)
		snprintf(rule, sizeof(rule), "-m policy --dir %s --pol ipsec -j ACCEPT",
			 chain->input ? "in" : "out");
	else
		snprintf(rule, sizeof(rule), "%s accept",
			 chain->input ? "meta ipsec exists" : "rt ipsec exists");
	for (i = 0; i <= e->n_port_pc; i++) {
		port = i ? e->port_pc[i - 1] : e->port_ps;
		say_port(e, TOPIC_PORT, port, what, sizeof(what));
		/* One rule is the cure of all. */
		if (refused(c, chain, family, TOPIC_PORT, port, what) || !chain->drops || told ||
		    speaks(chain, TOPIC_PORT, port, family))
			continue;
		missing(c, chain, family, what, rule);
		told = true;
	}
}

static void judge(struct check *c, const struct chain *chain)
{
	static const int families[] = { AF_INET, AF_INET6 };
	bool any;
	size_t i, j;

	for (j = 0; j < ARRAY_SIZE(families); j++) {
		if (!(families[j] == AF_INET ? chain->ipv4 : chain->ipv6))
			continue;
		any = false;
		for (i = 0; i < c->n_endpoints; i++)
			any |= c->endpoints[i].address.family == families[j];
		if (!any)
			continue;
		if (!refused(c, chain, families[j], TOPIC_ESP, 0, "ESP") && chain->drops &&
		    !speaks(chain, TOPIC_ESP, 0, families[j]))
			missing(c, chain, families[j], families[j] == AF_INET ? "ESP" : "ESP over IPv6",
				chain->iptables ? "-p esp -j ACCEPT" : "meta l4proto esp accept");
		for (i = 0; i < c->n_endpoints; i++)
			if (c->endpoints[i].address.family == families[j])
				judge_endpoint(c, chain, &c->endpoints[i]);
	}
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

/* What is within a table of nft's */
struct block {
	char name[64];
	bool chain;			/* else a set or a map */
	bool base, input, drops, early;
	const char *rules, *last;
	size_t len;
	bool reached;
};

struct nft_table {
	char family[16], name[64];
	struct block *blocks;
	size_t n_blocks;
};

static struct block *block_named(struct nft_table *t, const char *name, size_t len)
{
	size_t i;

	for (i = 0; i < t->n_blocks; i++)
		if (t->blocks[i].chain && strlen(t->blocks[i].name) == len &&
		    !memcmp(t->blocks[i].name, name, len))
			return &t->blocks[i];
	return NULL;
}

/* The chain that a "jump" or "goto" from there on leads to; *@p goes on behind it. */
static struct block *led_to(struct nft_table *t, const char **p, const char *end)
{
	static const char *const words[] = { "jump", "goto", NULL };
	const char *at = *p < end ? find_any(*p, end - *p, words) : NULL, *other;
	size_t len;

	if (!at) {
		*p = end;
		return NULL;
	}
	/* The first of both */
	other = find_word(*p, at - *p, "goto");
	at = (other ? other : at) + strlen("jump ");
	if (at > end)
		at = end;
	len = strcspn(at, " \t\n,};");
	*p = at + len < end ? at + len : end;
	return block_named(t, at, len);
}

static void reach(struct nft_table *t, struct block *from)
{
	const char *p = from->rules, *end = from->rules + from->len;
	struct block *to;

	from->reached = true;
	while (p < end) {
		to = led_to(t, &p, end);
		if (to && !to->reached)
			reach(t, to);
	}
}

/* Does it drop what no rule takes, itself or where it leads at its end? */
static bool drops_the_rest(struct nft_table *t, const struct block *b, unsigned int depth)
{
	const char *p, *end;
	struct block *to;
	size_t len;

	if (b->drops)
		return true;
	if (!b->last || depth > 16)
		return false;
	len = line_length(b->last);
	if (takes_all(b->last, len))
		return true;
	p = b->last + strspn(b->last, " \t");
	end = b->last + len;
	if (!strncmp(p, "counter ", 8))
		p += 8;
	if (strncmp(p, "jump ", 5) && strncmp(p, "goto ", 5))
		return false;
	to = led_to(t, &p, end);
	return to && drops_the_rest(t, to, depth + 1);
}

static void judge_table(struct check *c, struct nft_table *t, unsigned int *dropping)
{
	struct chain chain;
	char *rules = NULL;
	size_t i, j, len;
	struct block *b;

	for (i = 0; i < t->n_blocks; i++) {
		b = &t->blocks[i];
		if (!b->base)
			continue;
		if (!strcmp(t->family, "netdev")) {
			if (!drops_the_rest(t, b, 0))
				continue;
			++*dropping;
			check_found(c, CHECK_WARNING, "nftables' chain netdev %s %s drops what no rule takes: "
				    "cannot tell whether ESP is", t->name, b->name);
			check_cure(c, "look at it by hand: nft list chain netdev %s %s", t->name, b->name);
			continue;
		}
		if (b->early)
			continue;
		for (j = 0; j < t->n_blocks; j++)
			t->blocks[j].reached = !t->blocks[j].chain;
		reach(t, b);
		for (j = 0, len = 1; j < t->n_blocks; j++)
			len += t->blocks[j].reached ? t->blocks[j].len : 0;
		rules = realloc(rules, len);
		if (!rules)
			die(EXIT_KERNEL, "%s", strerror(ENOMEM));
		for (j = 0, len = 0; j < t->n_blocks; j++) {
			if (!t->blocks[j].reached)
				continue;
			memcpy(rules + len, t->blocks[j].rules, t->blocks[j].len);
			len += t->blocks[j].len;
		}
		rules[len] = '\0';
		chain = (struct chain) {
			.input = b->input, .drops = drops_the_rest(t, b, 0), .rules = rules, .len = len,
			.ipv4 = strcmp(t->family, "ip6"), .ipv6 = strcmp(t->family, "ip"),
		};
		snprintf(chain.name, sizeof(chain.name), "nftables' chain %s %s %s", t->family, t->name,
			 b->name);
		*dropping += chain.drops;
		judge(c, &chain);
	}
	free(rules);
}

/* "type filter hook input priority filter; policy drop;" */
static void base_chain(struct block *b, const char *line, size_t len)
{
	static const char *const in[] = { "hook input", "hook prerouting", NULL };
	static const char *const out[] = { "hook output", "hook postrouting", NULL };
	static const char *const early[] = { "hook ingress", "hook egress", NULL };

	b->input = find_any(line, len, in);
	b->early = find_any(line, len, early);
	/* Of a chain for NAT the first packet of a connection passes, and it drops none. */
	b->base = !has_word(line, len, "type nat") && (b->input || b->early || find_any(line, len, out));
	b->drops = has_word(line, len, "policy drop");
}

/* What nft lists: tables, in them chains and sets, in them rules and elements, each by a
 * tab further in.
 */
static void judge_nft(struct check *c, unsigned int *dropping)
{
	struct nft_table t = { "" };
	const char *line, *next;
	struct block *b = NULL;
	char kind[16], name[64];
	size_t len;

	for (line = c->nft; *line; line = next) {
		len = line_length(line);
		next = line + len + (line[len] == '\n');
		if (*line == 't' && sscanf(line, "table %15s %63s {", t.family, t.name) == 2) {
			t.n_blocks = 0;
			b = NULL;
		} else if (*line == '}') {
			if (strcmp(t.family, "bridge") && strcmp(t.family, "arp"))
				judge_table(c, &t, dropping);
		} else if (*line != '\t') {
			continue;
		} else if (line[1] == '}') {
			b = NULL;
		} else if (line[1] != '\t' && sscanf(line, "\t%15s %63s {", kind, name) == 2) {
			t.blocks = check_grow(t.blocks, &t.n_blocks, sizeof(*t.blocks));
			b = &t.blocks[t.n_blocks - 1];
			strcpy(b->name, name);
			b->chain = !strcmp(kind, "chain");
			b->rules = next;
		} else if (b) {
			if (b->chain && !strncmp(line, "\t\ttype ", 7)) {
				base_chain(b, line, len);
				b->rules = next;
			} else {
				b->len = next - b->rules;
				b->last = line;
			}
		}
	}
	free(t.blocks);
}

/* Is the chain of iptables one that all pass there? */
static bool passes_all(const char *name, bool *input)
{
	*input = !strcmp(name, "INPUT") || !strcmp(name, "PREROUTING");
	return *input || !strcmp(name, "OUTPUT") || !strcmp(name, "POSTROUTING");
}

/* Does a chain of iptables lead to another, by way of others too? */
static bool leads_to(const char *table, const char *end, const char *from, const char *to,
		     unsigned int depth)
{
	char word[64], name[32];
	const char *line, *jump;

	if (!strcmp(from, to))
		return true;
	if (depth > 16)
		return false;
	snprintf(word, sizeof(word), "\n-A %s ", from);
	for (line = table; (line = strstr(line, word)) && line < end; line++) {
		jump = strpbrk(line + 1, "\n");
		for (; jump && jump > line + 3; jump--)
			if (!strncmp(jump - 3, "-j ", 3) || !strncmp(jump - 3, "-g ", 3))
				break;
		if (jump && jump > line + 3 && sscanf(jump, "%31s", name) == 1 && strcmp(name, from) &&
		    leads_to(table, end, name, to, depth + 1))
			return true;
	}
	return false;
}

/* What iptables-save writes: ":INPUT DROP [0:0]", then "-A INPUT ..." */
static void judge_iptables(struct check *c, unsigned int i, unsigned int *dropping)
{
	const char *text = c->iptables[i], *table, *end, *line, *rule, *last;
	char word[64], name[32], from[32], policy[16], of[32];
	struct chain chain;
	char *rules;
	size_t len;
	bool input;

	for (table = strchr(text, '*'); table; table = strstr(end, "\n*")) {
		if (*table == '\n')
			table++;
		end = strstr(table, "\nCOMMIT");
		if (!end)
			end = table + strlen(table);
		if (sscanf(table, "*%31s", name) != 1 || !strcmp(name, "nat"))
			continue;
		for (line = table; (line = strstr(line, "\n:")) && line < end; line++) {
			if (sscanf(line, "\n:%31s %15s", from, policy) != 2 || !passes_all(from, &input))
				continue;
			/* The rules of all chains that it leads to */
			rules = calloc(1, end - table + 2);
			if (!rules)
				die(EXIT_KERNEL, "%s", strerror(ENOMEM));
			last = NULL;
			for (rule = table, len = 0; (rule = strstr(rule, "\n-A ")) && rule < end; rule++) {
				if (sscanf(rule, "\n-A %31s", of) != 1 || !leads_to(table, end, from, of, 0))
					continue;
				if (!strcmp(of, from))
					last = rule + 1;
				memcpy(rules + len, rule + 1, line_length(rule + 1));
				len += line_length(rule + 1);
				rules[len++] = '\n';
			}
			chain = (struct chain) {
				.input = input, .ipv4 = !i, .ipv6 = i, .iptables = true, .rules = rules,
				.len = len, .drops = !strcmp(policy, "DROP"),
			};
			if (last) {
				snprintf(word, sizeof(word), "-A %s ", from);
				last += strlen(word);
				chain.drops |= (line_length(last) == 7 && !strncmp(last, "-j DROP", 7)) ||
					       !strncmp(last, "-j REJECT", 9);
			}
			snprintf(chain.name, sizeof(chain.name), "%s's chain %s %s",
				 i ? "ip6tables" : "iptables", name, from);
			*dropping += chain.drops;
			judge(c, &chain);
			free(rules);
		}
	}
}

void check_firewall(struct check *c)
{
	static const char *const names[] = { "iptables", "ip6tables" };
	const size_t before = c->n_findings;
	unsigned int dropping = 0, i;
	bool nft_loaded, there;
	char looked[64] = "";

	if (c->nft) {
		strcat(looked, "nftables");
		judge_nft(c, &dropping);
	} else {
		there = check_has_kernel_module(c, "nf_tables", &nft_loaded);
		if (there && nft_loaded) {
			check_found(c, CHECK_WARNING, "nf_tables is in the kernel, and nft %s: its rules "
				    "were not looked at", c->nft_error);
			check_cure(c, "install nftables, and check again");
		}
	}
	for (i = 0; i < ARRAY_SIZE(names); i++) {
		if (c->iptables[i]) {
			sprintf(looked + strlen(looked), "%s%s", *looked ? ", " : "", names[i]);
			judge_iptables(c, i, &dropping);
		} else if (c->iptables_error[i]) {
			check_found(c, CHECK_WARNING, "there are tables of %s, and %s-save %s: they were "
				    "not looked at", names[i], names[i], c->iptables_error[i]);
			check_cure(c, "install iptables, and check again");
		}
	}
	if (c->n_findings != before)
		return;
	if (!*looked)
		check_found(c, CHECK_OK, "there are no tables of nftables or iptables");
	else if (!dropping)
		check_found(c, CHECK_OK, "no input or output chain of %s drops what no rule takes, and no rule "
			    "refuses ESP or a port by name; rules were not judged further", looked);
	else
		check_found(c, CHECK_OK, "where input and output chains of %s drop what no rule takes, rules "
			    "speak of all that is needed; they were not judged", looked);
}
