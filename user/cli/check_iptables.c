// SPDX-License-Identifier: GPL-2.0-only
/* imsipsec check: rules of iptables, as iptables-save writes them. Each line is read once. */
#include <stdlib.h>
#include <string.h>

#include "check_rules.h"
#include "cli.h"

/* "5060", "5060:5070", "5062,5064:5066" */
static void add_ports(struct check_set *to, const char *word, bool not)
{
	struct check_set s = { .named = true };
	unsigned long first, last;
	const char *p = word;
	char *end;

	while (*p) {
		first = last = strtoul(p, &end, 10);
		if (*end == ':')
			last = end[1] && end[1] != ',' ? strtoul(end + 1, &end, 10) : UINT16_MAX;
		/* A name of /etc/services, which iptables-save does not write */
		if (end == p || (*end && *end != ','))
			break;
		check_set_add(&s, first, last);
		p = end + (*end == ',');
	}
	if (not)
		check_set_not(&s, UINT16_MAX);
	check_set_and(to, &s);
}

static void add_proto(struct check_rule *r, const char *word, bool not)
{
	struct check_set s = { .named = true };
	int number = check_proto_number(word, strlen(word));

	if (!number || !strcmp(word, "all"))
		return;
	if (number < 0) {
		r->other = r->named = true;
		return;
	}
	check_set_add(&s, number, number);
	if (not)
		check_set_not(&s, UINT8_MAX);
	check_set_and(&r->proto, &s);
}

static void set_verdict(struct check_rule *r, const char *word)
{
	static const struct {
		const char *target;
		enum check_verdict verdict;
	} targets[] = {
		{ "ACCEPT", CHECK_ACCEPTS }, { "DROP", CHECK_REFUSES }, { "REJECT", CHECK_REFUSES },
		{ "RETURN", CHECK_OTHER }, { "QUEUE", CHECK_OTHER }, { "NFQUEUE", CHECK_OTHER },
	};
	size_t i;

	for (i = 0; i < ARRAY_SIZE(targets); i++)
		if (!strcmp(targets[i].target, word))
			r->verdict = targets[i].verdict;
}

/* What a rule is for, up to its target; that the table has a chain of its name is seen later. */
static void read_rule(struct check_rule *r, struct check_words w)
{
	static const char *const dports[] = { "--dport", "--dports", "--destination-port", "--ports" };
	static const char *const sports[] = { "--sport", "--sports", "--source-port", "--ports" };
	static const char *const states[] = { "--ctstate", "--state", "--ctstatus" };
	/* Values that say no more than what is named already */
	static const char *const quiet[] = { "--comment", "--dir" };
	bool not = false, used;
	char option[sizeof(w.word)];
	size_t i;

	for (; check_next_word(&w); not = check_is_word(&w, "!")) {
		if (check_is_word(&w, "!"))
			continue;
		if (check_is_word(&w, "-j") || check_is_word(&w, "-g")) {
			w.word[0] = '\0';
			check_next_word(&w);
			set_verdict(r, w.word);
			r->target = w.at - strlen(w.word);
			r->target_len = strlen(w.word);
			return;
		}
		strcpy(option, w.word);
		if (!strcmp(option, "-f") || !strcmp(option, "--syn") || !check_next_word(&w)) {
			r->other = true;
			continue;
		}
		if (!strcmp(option, "-m"))
			continue;
		if (!strcmp(option, "-p")) {
			add_proto(r, w.word, not);
			continue;
		}
		if (!strcmp(option, "--pol")) {
			r->ipsec = check_is_word(&w, "ipsec") != not ? CHECK_IPSEC_EXISTS : CHECK_IPSEC_MISSING;
			continue;
		}
		used = false;
		for (i = 0; i < ARRAY_SIZE(dports); i++) {
			if (!strcmp(option, dports[i])) {
				add_ports(&r->dport, w.word, not);
				used = true;
			}
			if (!strcmp(option, sports[i])) {
				add_ports(&r->sport, w.word, not);
				used = true;
			}
		}
		for (i = 0; i < ARRAY_SIZE(states); i++)
			r->named |= !strcmp(option, states[i]);
		for (i = 0; i < ARRAY_SIZE(quiet); i++)
			used |= !strcmp(option, quiet[i]);
		if (used)
			continue;
		r->other = true;
		if (!strcmp(option, "--espspi") || !strcmp(option, "--header"))
			add_proto(r, option[2] == 'e' ? "esp" : w.word, not);
		else if ((!strcmp(option, "-i") || !strcmp(option, "-o")) && check_is_word(&w, "lo") && !not)
			r->named = true;
	}
}

/* Is it a chain that all pass there? */
static void set_hook(struct check_chain *chain)
{
	static const struct {
		const char *name;
		bool input;
	} hooks[] = {
		{ "INPUT", true }, { "PREROUTING", true }, { "OUTPUT", false }, { "POSTROUTING", false },
	};
	size_t i;

	for (i = 0; i < ARRAY_SIZE(hooks); i++) {
		if (strlen(hooks[i].name) != chain->name_len ||
		    memcmp(hooks[i].name, chain->name, chain->name_len))
			continue;
		chain->base = true;
		chain->input = hooks[i].input;
	}
}

static struct check_chain *chain_of(struct check_table *t, const char *name, size_t len)
{
	struct check_chain *chain = check_chain_named(t, name, len);

	return chain ? chain : check_chain_new(t, name, len);
}

/* ":INPUT DROP [0:0]", "-A INPUT -p esp -j ACCEPT" */
static void read_line(struct check_table *t, const char *line, const char *end)
{
	struct check_words w = { .at = line, .end = end };
	struct check_chain *chain;
	struct check_rule *r;

	if (*line == ':') {
		w.at++;
		if (!check_next_word(&w))
			return;
		chain = chain_of(t, w.at - strlen(w.word), strlen(w.word));
		set_hook(chain);
		chain->drops = check_next_word(&w) && check_is_word(&w, "DROP");
		return;
	}
	if (!check_next_word(&w) || !check_is_word(&w, "-A") || !check_next_word(&w))
		return;
	chain = chain_of(t, w.at - strlen(w.word), strlen(w.word));
	r = check_rule_new(t, chain);
	r->line = line;
	r->len = end - line;
	read_rule(r, w);
}

/* What no built-in target is may be a chain. */
static void set_targets(struct check_table *t)
{
	struct check_rule *r;
	size_t i, j;

	for (i = 0; i < t->n; i++)
		for (j = 0; j < t->chains[i].n; j++) {
			r = &t->chains[i].rules[j];
			if (r->verdict == CHECK_GOES_ON && r->target &&
			    check_chain_named(t, r->target, r->target_len))
				r->verdict = CHECK_LEADS;
		}
}

void check_iptables_tables(struct check *c, const char *text, bool ipv6, check_table_fn fn, void *data)
{
	const char *line, *end, *next;
	struct check_table t = { .name = NULL };

	for (line = text; *line; line = next) {
		end = line + strcspn(line, "\n");
		next = *end ? end + 1 : end;
		if (*line == '*') {
			check_table_free(&t);
			t = (struct check_table) {
				.family = ipv6 ? "ip6" : "ip", .iptables = true,
				.name = line + 1, .name_len = end - line - 1,
			};
		} else if (t.name) {
			read_line(&t, line, end);
		}
		/* COMMIT, or what was cut short */
		if (t.name && (!*next || *next == '*')) {
			set_targets(&t);
			/* Of a table for NAT the first packet of a connection passes, and it drops none. */
			if (t.name_len != 3 || memcmp(t.name, "nat", 3))
				fn(c, &t, data);
		}
	}
	check_table_free(&t);
}
