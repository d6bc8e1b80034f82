// SPDX-License-Identifier: GPL-2.0-only
/*
 * imsipsec check: rules of nftables, as `nft -j -n -s list ruleset` writes them
 * (libnftables-json(5)). What is not understood restricts a rule in a way that is not known.
 */
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "check_rules.h"
#include "cli.h"

#define SPLITS_MAX	2	/* of a rule, by sets and maps that it uses */
#define ELEMENTS_MAX	64	/* of the second of them */

/* ---- What a rule is for ----------------------------------------------- */

/* A set or a map of the table, by "@name"; else @value, or what is in its "set" */
static struct json_object *elements_of(const struct check_table *t, struct json_object *value)
{
	const char *name = check_nft_as_string(value);

	if (*name == '@')
		return check_nft_get(t->sets, name + 1);
	return check_nft_has(value, "set") ? check_nft_get(value, "set") : value;
}

/* An element may have a comment, a timeout, and so on. */
static struct json_object *plain(struct json_object *element)
{
	return check_nft_has(element, "elem") ? check_nft_get(check_nft_get(element, "elem"), "val") :
	       element;
}

/* Component @part of a concatenation, where there is one */
static struct json_object *part_of(struct json_object *value, int part)
{
	return part < 0 ? value : check_nft_at(check_nft_get(value, "concat"), part);
}

/* Return: false if it is not known what the value is. */
static bool add_value(struct check_set *s, struct json_object *value, bool protos)
{
	struct json_object *range = check_nft_get(value, "range");
	uint32_t first, last;
	int number;

	if (check_nft_number(value, &first)) {
		check_set_add(s, first, first);
		return true;
	}
	if (check_nft_number(check_nft_at(range, 0), &first) &&
	    check_nft_number(check_nft_at(range, 1), &last)) {
		check_set_add(s, first, last);
		return true;
	}
	if (!protos || !json_object_is_type(value, json_type_string))
		return false;
	number = check_proto_number(check_nft_as_string(value), strlen(check_nft_as_string(value)));
	if (number >= 0)
		check_set_add(s, number, number);
	return number >= 0;
}

static bool add_values(const struct check_table *t, struct check_set *s, struct json_object *value,
		       int part, bool protos)
{
	struct json_object *elements = elements_of(t, value);
	bool known = elements;
	size_t i;

	s->named = true;
	if (!json_object_is_type(elements, json_type_array))
		return known && add_value(s, part_of(plain(elements), part), protos);
	for (i = 0; i < check_nft_length(elements); i++)
		known &= add_value(s, part_of(plain(check_nft_at(elements, i)), part), protos);
	return known;
}

static void restrict_to(const struct check_table *t, struct check_rule *r, struct check_set *to,
			const char *op, struct json_object *right, int part)
{
	const bool protos = to == &r->proto;
	const uint16_t max = protos ? UINT8_MAX : UINT16_MAX;
	struct check_set s = { .named = false };
	uint32_t n = 0;

	if (!add_values(t, &s, right, part, protos)) {
		/* It speaks of them, and nobody knows of which. */
		free(s.ranges);
		r->other = r->named = r->opaque = true;
		return;
	}
	if (*op == '<' || *op == '>') {
		n = s.n ? s.ranges[0].first : 0;
		free(s.ranges);
		s = (struct check_set){ .named = true };
		if (*op == '>')
			check_set_add(&s, op[1] ? n : n + 1, max);
		else if (op[1] || n)
			check_set_add(&s, 0, op[1] ? n : n - 1);
	} else if (!strcmp(op, "!=")) {
		check_set_not(&s, max);
	}
	check_set_and(to, &s);
}

static void restrict_to_proto(struct check_rule *r, int number)
{
	struct check_set s = { .named = false };

	check_set_add(&s, number, number);
	check_set_and(&r->proto, &s);
}

/* "ip saddr", "udp dport": a header, which a packet has to have */
static void match_payload(const struct check_table *t, struct check_rule *r, struct json_object *payload,
			  const char *op, struct json_object *right, int part)
{
	const char *of = check_nft_string(payload, "protocol"), *field = check_nft_string(payload, "field");
	int number = check_proto_number(of, strlen(of));

	if (!strcmp(of, "ip"))
		r->ipv6 = false;
	else if (!strcmp(of, "ip6"))
		r->ipv4 = false;
	else if (number > 0)
		restrict_to_proto(r, number);
	else if (!strcmp(of, "arp"))
		r->ipv4 = r->ipv6 = false;

	if (!strcmp(field, "dport"))
		restrict_to(t, r, &r->dport, op, right, part);
	else if (!strcmp(field, "sport"))
		restrict_to(t, r, &r->sport, op, right, part);
	else if (!strncmp(of, "ip", 2) && (!strcmp(field, "protocol") || !strcmp(field, "nexthdr")))
		restrict_to(t, r, &r->proto, op, right, part);
	else
		r->other = true;
}

static bool is_true(struct json_object *value)
{
	uint32_t n;

	if (json_object_is_type(value, json_type_boolean))
		return json_object_get_boolean(value);
	return check_nft_number(value, &n) ? n : !strcmp(check_nft_as_string(value), "exists");
}

static void match_ipsec(struct check_rule *r, const char *op, struct json_object *right)
{
	r->ipsec = is_true(right) == !strcmp(op, "==") ? CHECK_IPSEC_EXISTS : CHECK_IPSEC_MISSING;
}

/* A family by its number, AF_INET or an EtherType, or by its name */
static void match_family(struct check_rule *r, const char *op, struct json_object *right)
{
	const char *name = check_nft_as_string(right);
	bool ipv4 = false, ipv6 = false;
	uint32_t n;

	if (check_nft_number(right, &n)) {
		ipv4 = n == AF_INET || n == 0x0800;
		ipv6 = n == AF_INET6 || n == 0x86dd;
	} else {
		ipv4 = !strcmp(name, "ipv4") || !strcmp(name, "ip");
		ipv6 = !strcmp(name, "ipv6") || !strcmp(name, "ip6");
	}
	if (!ipv4 && !ipv6) {
		r->other = true;
	} else if (!strcmp(op, "!=")) {
		r->ipv4 &= !ipv4;
		r->ipv6 &= !ipv6;
	} else {
		r->ipv4 &= ipv4;
		r->ipv6 &= ipv6;
	}
}

static void match_meta(const struct check_table *t, struct check_rule *r, const char *key,
		       const char *op, struct json_object *right, int part)
{
	if (!strcmp(key, "l4proto")) {
		restrict_to(t, r, &r->proto, op, right, part);
	} else if ((!strcmp(key, "nfproto") || !strcmp(key, "protocol")) && part < 0) {
		match_family(r, op, right);
	} else if ((!strcmp(key, "ipsec") || !strcmp(key, "secpath")) && part < 0) {
		match_ipsec(r, op, right);
	} else {
		r->other = true;
		/* The loopback device, by its name or its number */
		if ((!strncmp(key, "iif", 3) || !strncmp(key, "oif", 3)) && strcmp(op, "!=") &&
		    !strcmp(check_nft_as_string(right), "lo"))
			r->named = true;
	}
}

static void match(const struct check_table *t, struct check_rule *r, struct json_object *left,
		  const char *op, struct json_object *right, int part)
{
	struct json_object *concat = check_nft_get(left, "concat"), *payload = check_nft_get(left, "payload");
	size_t i;

	if (check_nft_length(concat) && part < 0) {
		/* "!=" is so of all parts together. */
		for (i = 0; i < check_nft_length(concat); i++)
			if (strcmp(op, "!="))
				match(t, r, check_nft_at(concat, i), op, right, (int)i);
			else
				r->other = true;
	} else if (check_nft_has(payload, "protocol")) {
		match_payload(t, r, payload, op, right, part);
	} else if (check_nft_has(left, "meta")) {
		match_meta(t, r, check_nft_string(check_nft_get(left, "meta"), "key"), op, right, part);
	} else if (check_nft_has(left, "ipsec")) {
		r->ipsec = CHECK_IPSEC_EXISTS;
		r->other = true;
	} else if (check_nft_is(check_nft_get(left, "rt"), "key", "ipsec") && part < 0) {
		match_ipsec(r, op, right);
	} else {
		r->other = true;
		r->named |= check_nft_has(left, "ct");
		/* "tcp flags & syn" */
		payload = check_nft_get(check_nft_at(check_nft_get(left, "&"), 0), "payload");
		if (payload)
			match_payload(t, r, payload, "&", NULL, part);
	}
}

/* ---- What becomes of it ------------------------------------------------ */

static bool set_verdict(struct check_rule *r, struct json_object *statement)
{
	static const struct {
		const char *name;
		enum check_verdict verdict;
	} verdicts[] = {
		{ "accept", CHECK_ACCEPTS }, { "drop", CHECK_REFUSES }, { "reject", CHECK_REFUSES },
		{ "jump", CHECK_LEADS }, { "goto", CHECK_LEADS }, { "return", CHECK_OTHER },
		{ "queue", CHECK_OTHER }, { "continue", CHECK_GOES_ON },
	};
	size_t i;

	for (i = 0; i < ARRAY_SIZE(verdicts); i++) {
		if (!check_nft_has(statement, verdicts[i].name))
			continue;
		r->verdict = verdicts[i].verdict;
		r->target = check_nft_string(check_nft_get(statement, verdicts[i].name), "target");
		r->target_len = strlen(r->target);
		return true;
	}
	return false;
}

/* Of iptables, which nft does not read */
static void read_xt(struct check_rule *r, struct json_object *xt)
{
	const char *name = check_nft_string(xt, "name");

	if (check_nft_is(xt, "type", "match") && !strcmp(name, "comment"))
		return;
	if (check_nft_is(xt, "type", "match") && !strcmp(name, "policy")) {
		r->ipsec = CHECK_IPSEC_UNKNOWN;
	} else if (check_nft_is(xt, "type", "target") && !strcmp(name, "REJECT")) {
		r->verdict = CHECK_REFUSES;
	} else if (check_nft_is(xt, "type", "match")) {
		r->other = r->opaque = true;
	} else if (!check_nft_is(xt, "type", "target")) {
		/* Older ones say but that there is something. */
		r->other = r->opaque = true;
		r->verdict = CHECK_OTHER;
	}
}

static void copy_set(struct check_set *s)
{
	struct check_range *ranges = s->ranges;
	size_t i, n = s->n;

	s->ranges = NULL;
	s->n = 0;
	for (i = 0; i < n; i++)
		check_set_add(s, ranges[i].first, ranges[i].last);
}

/* Another rule of the chain that is for what rule @from is for */
static size_t copy_rule(struct check_table *t, struct check_chain *chain, size_t from)
{
	struct check_rule *r = check_rule_new(t, chain);

	*r = chain->rules[from];
	copy_set(&r->proto);
	copy_set(&r->dport);
	copy_set(&r->sport);
	return chain->n - 1;
}

static void read_from(struct check_table *t, struct check_chain *chain, size_t rule,
		      struct json_object *expr, size_t at, unsigned int depth);

/*
 * A rule for each element, "ah : drop, esp : accept" of a map of verdicts, "tcp . 22, udp . 53"
 * of a set; what stands behind is of each.
 */
static bool split(struct check_table *t, struct check_chain *chain, size_t rule, struct json_object *expr,
		  size_t at, unsigned int depth)
{
	struct json_object *statement = check_nft_at(expr, at), *vmap = check_nft_get(statement, "vmap");
	struct json_object *m = check_nft_get(statement, "match"), *key, *elements, *e;
	size_t i, copy;

	key = check_nft_get(vmap ? vmap : m, vmap ? "key" : "left");
	elements = elements_of(t, check_nft_get(vmap ? vmap : m, vmap ? "data" : "right"));
	if (!vmap && (!check_nft_has(key, "concat") || check_nft_is(m, "op", "!=") ||
		      check_nft_length(elements) < 2))
		return false;
	if (depth == SPLITS_MAX || (depth && check_nft_length(elements) > ELEMENTS_MAX)) {
		chain->rules[rule].other = chain->rules[rule].opaque = true;
		return false;
	}
	for (i = 0; i < check_nft_length(elements); i++) {
		e = check_nft_at(elements, i);
		copy = copy_rule(t, chain, rule);
		match(t, &chain->rules[copy], key, "==", plain(vmap ? check_nft_at(e, 0) : e), -1);
		if (vmap)
			set_verdict(&chain->rules[copy], check_nft_at(e, 1));
		else
			read_from(t, chain, copy, expr, at + 1, depth + 1);
	}
	/* What none of them is for goes on, in a map to what is behind. */
	chain->rules[rule].other = true;
	return !vmap;
}

static void read_from(struct check_table *t, struct check_chain *chain, size_t rule,
		      struct json_object *expr, size_t at, unsigned int depth)
{
	/* They are for a part of the packets. */
	static const char *const some[] = { "limit", "quota", "ct count" };
	struct json_object *statement, *m;
	struct check_rule *r;
	size_t j;

	for (; at < check_nft_length(expr); at++) {
		if (split(t, chain, rule, expr, at, depth))
			return;
		statement = check_nft_at(expr, at);
		m = check_nft_get(statement, "match");
		r = &chain->rules[rule];
		if (m)
			match(t, r, check_nft_get(m, "left"), check_nft_string(m, "op"),
			      check_nft_get(m, "right"), -1);
		else if (check_nft_has(statement, "xt"))
			read_xt(r, check_nft_get(statement, "xt"));
		else if (!set_verdict(r, statement))
			for (j = 0; j < ARRAY_SIZE(some); j++)
				r->other |= check_nft_has(statement, some[j]);
	}
}

static void read_rule(struct check_table *t, struct check_chain *chain, struct json_object *expr)
{
	check_rule_new(t, chain)->expr = expr;
	read_from(t, chain, chain->n - 1, expr, 0, 0);
}

/* ---- Tables ------------------------------------------------------------ */

static void read_chain(struct check_table *t, struct json_object *o)
{
	const char *name = check_nft_string(o, "name"), *hook = check_nft_string(o, "hook");
	struct check_chain *chain = check_chain_new(t, name, strlen(name));

	chain->input = !strcmp(hook, "input") || !strcmp(hook, "prerouting");
	chain->early = !strcmp(hook, "ingress") || !strcmp(hook, "egress");
	/* Of a chain for NAT the first packet of a connection passes, and it drops none. */
	chain->base = !check_nft_is(o, "type", "nat") &&
		      (chain->input || chain->early || !strcmp(hook, "output") ||
		       !strcmp(hook, "postrouting"));
	chain->drops = check_nft_is(o, "policy", "drop");
}

static bool is_dormant(struct json_object *table)
{
	struct json_object *flags = check_nft_get(table, "flags");
	size_t i;

	for (i = 0; i < check_nft_length(flags); i++)
		if (!strcmp(check_nft_as_string(check_nft_at(flags, i)), "dormant"))
			return true;
	return !strcmp(check_nft_as_string(flags), "dormant");
}

bool check_nft_has_table(const struct check *c, const char *family)
{
	size_t i;

	for (i = 0; i < check_nft_length(c->nft); i++)
		if (check_nft_is(check_nft_get(check_nft_at(c->nft, i), "table"), "family", family))
			return true;
	return false;
}

/* Is a table of nftables one that iptables-save has told of? */
bool check_is_told(const struct check *c, const char *family, const char *table)
{
	const char *text = c->iptables_nft[!strcmp(family, "ip6")];
	char line[72];

	if ((strcmp(family, "ip") && strcmp(family, "ip6")) || !text)
		return false;
	snprintf(line, sizeof(line), "\n*%s\n", table);
	return strstr(text, line) || !strncmp(text, line + 1, strlen(line + 1));
}

static const char *full_name(char *buf, size_t size, struct json_object *o, const char *name)
{
	snprintf(buf, size, "%s %s", check_nft_string(o, "family"), check_nft_string(o, name));
	return buf;
}

/* The table that an object is of; NULL: none that is looked at */
static struct check_table *table_of(struct check_table *tables, struct json_object *index,
				    struct json_object *o)
{
	struct json_object *i;
	char name[512];

	return json_object_object_get_ex(index, full_name(name, sizeof(name), o, "table"), &i) ?
	       &tables[json_object_get_int64(i)] : NULL;
}

static void add_table(const struct check *c, struct check_table **tables, size_t *n,
		      struct json_object *index, struct json_object *o)
{
	const char *family = check_nft_string(o, "family");
	char name[512];

	if (is_dormant(o) || !strcmp(family, "bridge") || !strcmp(family, "arp") ||
	    check_is_told(c, family, check_nft_string(o, "name")))
		return;
	*tables = check_grow(*tables, n, sizeof(**tables));
	(*tables)[*n - 1].family = family;
	(*tables)[*n - 1].name = check_nft_string(o, "name");
	(*tables)[*n - 1].name_len = strlen((*tables)[*n - 1].name);
	json_object_object_add(index, full_name(name, sizeof(name), o, "name"),
			       json_object_new_int64(*n - 1));
}

/* Each table; tables that iptables-save has told of are its. */
void check_nft_tables(struct check *c, check_table_fn fn, void *data)
{
	struct json_object *index = json_object_new_object(), *o, *all;
	struct check_table *tables = NULL, *t;
	struct check_chain *chain;
	const char *name;
	size_t n = 0, i;

	/* Sets and chains come before what uses them, whatever stands first. */
	for (i = 0; i < check_nft_length(c->nft); i++) {
		o = check_nft_get(check_nft_at(c->nft, i), "table");
		if (o)
			add_table(c, &tables, &n, index, o);
	}
	for (i = 0; i < check_nft_length(c->nft); i++) {
		all = check_nft_at(c->nft, i);
		o = check_nft_get(all, "chain");
		t = o ? table_of(tables, index, o) : NULL;
		if (t && !check_chain_named(t, check_nft_string(o, "name"), strlen(check_nft_string(o, "name"))))
			read_chain(t, o);
		o = check_nft_has(all, "set") ? check_nft_get(all, "set") : check_nft_get(all, "map");
		t = o ? table_of(tables, index, o) : NULL;
		if (!t)
			continue;
		if (!t->sets)
			t->sets = json_object_new_object();
		json_object_object_add(t->sets, check_nft_string(o, "name"),
				       check_nft_has(o, "elem") ? json_object_get(check_nft_get(o, "elem")) :
							json_object_new_array());
	}
	for (i = 0; i < check_nft_length(c->nft); i++) {
		o = check_nft_get(check_nft_at(c->nft, i), "rule");
		t = o ? table_of(tables, index, o) : NULL;
		name = check_nft_string(o, "chain");
		chain = t ? check_chain_named(t, name, strlen(name)) : NULL;
		if (chain)
			read_rule(t, chain, check_nft_get(o, "expr"));
	}
	for (i = 0; i < n; i++) {
		fn(c, &tables[i], data);
		check_table_free(&tables[i]);
	}
	free(tables);
	json_object_put(index);
}
