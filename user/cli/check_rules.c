// SPDX-License-Identifier: GPL-2.0-only
/* imsipsec check: tables, chains and rules of packet filters, and sets of numbers. */
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "check_rules.h"
#include "cli.h"

/* ---- Sets of numbers ------------------------------------------------- */

void check_set_add(struct check_set *s, uint32_t first, uint32_t last)
{
	s->named = true;
	if (first > last || first > UINT16_MAX)
		return;
	s->ranges = check_grow(s->ranges, &s->n, sizeof(*s->ranges));
	s->ranges[s->n - 1].first = first;
	s->ranges[s->n - 1].last = last < UINT16_MAX ? last : UINT16_MAX;
}

static int by_first(const void *a, const void *b)
{
	const struct check_range *x = a, *y = b;

	return (int)x->first - y->first;
}

/* All up to @max that it has not */
void check_set_not(struct check_set *s, uint16_t max)
{
	struct check_set not = { .named = true };
	uint32_t from = 0;
	size_t i;

	if (s->n)
		qsort(s->ranges, s->n, sizeof(*s->ranges), by_first);
	for (i = 0; i < s->n; i++) {
		if (s->ranges[i].first > from)
			check_set_add(&not, from, s->ranges[i].first - 1);
		if (s->ranges[i].last >= from)
			from = (uint32_t)s->ranges[i].last + 1;
	}
	if (from <= max)
		check_set_add(&not, from, max);
	free(s->ranges);
	*s = not;
}

/* What both have; @with is used up. */
void check_set_and(struct check_set *s, struct check_set *with)
{
	struct check_set both = { .named = true };
	size_t i, j;

	if (!s->named) {
		*s = *with;
		return;
	}
	for (i = 0; i < s->n; i++)
		for (j = 0; j < with->n; j++)
			check_set_add(&both, s->ranges[i].first > with->ranges[j].first ?
					     s->ranges[i].first : with->ranges[j].first,
				      s->ranges[i].last < with->ranges[j].last ?
				      s->ranges[i].last : with->ranges[j].last);
	free(s->ranges);
	free(with->ranges);
	*s = both;
}

bool check_set_has(const struct check_set *s, uint16_t number)
{
	size_t i;

	if (!s->named)
		return true;
	for (i = 0; i < s->n; i++)
		if (number >= s->ranges[i].first && number <= s->ranges[i].last)
			return true;
	return false;
}

static bool is_text(const char *text, size_t len, const char *other)
{
	return strlen(other) == len && !strncasecmp(text, other, len);
}

/* Return: -1 if it is none that is known. Not /etc/protocols, which need not be there. */
int check_proto_number(const char *name, size_t len)
{
	static const struct {
		const char *name;
		uint8_t number;
	} protos[] = {
		{ "icmp", IPPROTO_ICMP }, { "igmp", IPPROTO_IGMP }, { "tcp", IPPROTO_TCP },
		{ "udp", IPPROTO_UDP }, { "dccp", 33 }, { "gre", IPPROTO_GRE },
		{ "esp", IPPROTO_ESP }, { "ah", IPPROTO_AH }, { "icmpv6", IPPROTO_ICMPV6 },
		{ "ipv6-icmp", IPPROTO_ICMPV6 }, { "comp", 108 }, { "ipcomp", 108 },
		{ "sctp", IPPROTO_SCTP }, { "udplite", IPPROTO_UDPLITE },
	};
	unsigned int number = 0;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(protos); i++)
		if (is_text(name, len, protos[i].name))
			return protos[i].number;
	if (!len || len > 3)
		return -1;
	for (i = 0; i < len; i++) {
		if (name[i] < '0' || name[i] > '9')
			return -1;
		number = number * 10 + (name[i] - '0');
	}
	return number < 256 ? (int)number : -1;
}

/* ---- Tables ---------------------------------------------------------- */

struct check_chain *check_chain_named(const struct check_table *t, const char *name, size_t len)
{
	struct json_object *i;
	char key[256];

	snprintf(key, sizeof(key), "%.*s", (int)len, name);
	if (!json_object_object_get_ex(t->index, key, &i))
		return NULL;
	return &t->chains[json_object_get_int64(i)];
}

struct check_chain *check_chain_new(struct check_table *t, const char *name, size_t len)
{
	struct check_chain *chain;
	char key[256];

	t->chains = check_grow(t->chains, &t->n, sizeof(*t->chains));
	chain = &t->chains[t->n - 1];
	chain->name = name;
	chain->name_len = len;
	if (!t->index)
		t->index = json_object_new_object();
	snprintf(key, sizeof(key), "%.*s", (int)len, name);
	json_object_object_add(t->index, key, json_object_new_int64(t->n - 1));
	return chain;
}

struct check_rule *check_rule_new(struct check_table *t, struct check_chain *chain)
{
	struct check_rule *r;

	chain->rules = check_grow(chain->rules, &chain->n, sizeof(*chain->rules));
	r = &chain->rules[chain->n - 1];
	r->ipv4 = strcmp(t->family, "ip6");
	r->ipv6 = strcmp(t->family, "ip");
	return r;
}

void check_table_free(struct check_table *t)
{
	struct check_rule *r;
	size_t i, j;

	for (i = 0; i < t->n; i++) {
		for (j = 0; j < t->chains[i].n; j++) {
			r = &t->chains[i].rules[j];
			free(r->proto.ranges);
			free(r->dport.ranges);
			free(r->sport.ranges);
		}
		free(t->chains[i].rules);
	}
	free(t->chains);
	json_object_put(t->index);
	json_object_put(t->sets);
}

void check_rule_text(const struct check_rule *r, char *text, size_t size)
{
	if (r->expr)
		check_nft_text(r->expr, text, size);
	else
		snprintf(text, size, "%.*s", (int)r->len, r->line);
}

/* ---- Words of iptables ------------------------------------------------ */

/* What stands in quotes is none of the words that mean something. */
bool check_next_word(struct check_words *w)
{
	const char *from;
	size_t len;

	while (w->at < w->end && strchr(" \t", *w->at))
		w->at++;
	if (w->at >= w->end)
		return false;
	from = w->at++;
	if (*from == '"') {
		while (w->at < w->end && *w->at != '"')
			w->at += *w->at == '\\' && w->at + 1 < w->end ? 2 : 1;
		len = w->at - from;
		w->at += w->at < w->end;
	} else {
		while (w->at < w->end && !strchr(" \t", *w->at))
			w->at++;
		len = w->at - from;
	}
	snprintf(w->word, sizeof(w->word), "%.*s", (int)len, from);
	return true;
}

bool check_is_word(const struct check_words *w, const char *word)
{
	return !strcmp(w->word, word);
}
