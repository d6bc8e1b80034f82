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

#define DEPTH_MAX	64	/* of JSON, and so of what follows it */
#define SPLITS_MAX	2	/* of a rule, by sets and maps that it uses */
#define ELEMENTS_MAX	64	/* of the second of them */

/* ---- JSON that may be anything --------------------------------------- */

/* Return: the array of objects that `nft -j` writes, or NULL */
struct json_object *check_nft_parse(const char *text)
{
	struct json_tokener *tok = json_tokener_new_ex(DEPTH_MAX);
	struct json_object *all, *array = NULL;

	all = tok ? json_tokener_parse_ex(tok, text, (int)strlen(text) + 1) : NULL;
	if (tok)
		json_tokener_free(tok);
	if (json_object_object_get_ex(all, "nftables", &array) &&
	    json_object_is_type(array, json_type_array))
		json_object_get(array);
	else
		array = NULL;
	json_object_put(all);
	return array;
}

size_t check_nft_length(struct json_object *array)
{
	return json_object_is_type(array, json_type_array) ? json_object_array_length(array) : 0;
}

struct json_object *check_nft_at(struct json_object *array, size_t i)
{
	return i < check_nft_length(array) ? json_object_array_get_idx(array, i) : NULL;
}

static bool has(struct json_object *object, const char *key)
{
	return json_object_object_get_ex(object, key, NULL);
}

struct json_object *check_nft_get(struct json_object *object, const char *key)
{
	struct json_object *value = NULL;

	json_object_object_get_ex(object, key, &value);
	return value;
}

/* Return: "" if it is no string */
static const char *string_of(struct json_object *value)
{
	return json_object_is_type(value, json_type_string) ? json_object_get_string(value) : "";
}

const char *check_nft_string(struct json_object *object, const char *key)
{
	return string_of(check_nft_get(object, key));
}

static bool is(struct json_object *object, const char *key, const char *value)
{
	return !strcmp(check_nft_string(object, key), value);
}

static bool is_number(struct json_object *value, uint32_t *number)
{
	int64_t n;

	if (!json_object_is_type(value, json_type_int))
		return false;
	n = json_object_get_int64(value);
	*number = n;
	return n >= 0 && n <= UINT32_MAX;
}

/* ---- A rule for people ------------------------------------------------ */

struct output {
	char *text;
	size_t size, len;
	bool marks;		/* numbers are marks */
	bool quotes;		/* texts are names of devices */
};

/* To what stands there, without a blank */
static void join(struct output *out, const char *text)
{
	size_t left = out->size - out->len;
	int n = snprintf(out->text + out->len, left, "%s", text);

	out->len += (size_t)n < left ? (size_t)n : left - 1;
}

static void print(struct output *out, const char *text)
{
	if (out->len && !strchr(" -/", out->text[out->len - 1]) && *text != ',')
		join(out, " ");
	join(out, text);
}

static void print_quoted(struct output *out, const char *text)
{
	print(out, "\"");
	join(out, text);
	join(out, "\"");
}

static void print_any(struct output *out, struct json_object *value);

static void print_list(struct output *out, struct json_object *array, const char *between)
{
	size_t i;

	for (i = 0; i < check_nft_length(array); i++) {
		if (i)
			print(out, between);
		print_any(out, check_nft_at(array, i));
	}
}

/* Two values side by side: of a map, the second may be a verdict */
static void print_elements(struct output *out, struct json_object *set)
{
	struct json_object *e;
	size_t i;

	print(out, "{");
	for (i = 0; i < check_nft_length(set); i++) {
		e = check_nft_at(set, i);
		if (i)
			print(out, ",");
		if (json_object_is_type(e, json_type_array))
			print_list(out, e, ":");
		else
			print_any(out, e);
	}
	print(out, "}");
}

static void print_key(struct output *out, const char *name, struct json_object *value)
{
	static const char *const members[] = {
		"key", "protocol", "field", "target", "type", "name", "prefix",
	};
	struct json_object *left = check_nft_get(value, "left"), *addr = check_nft_get(value, "addr");
	const char *text;
	size_t i;

	if (left) {
		print_any(out, left);
		/* nft leaves "==" out, but behind an operator. */
		if (has(left, "&") || has(left, "|") || has(left, "^") ||
		    (!is(value, "op", "==") && !is(value, "op", "in")))
			print(out, check_nft_string(value, "op"));
		print_any(out, check_nft_get(value, "right"));
	} else if (!strcmp(name, "vmap") || !strcmp(name, "map") || !strcmp(name, "mangle")) {
		print_any(out, check_nft_get(value, "key"));
		print(out, !strcmp(name, "mangle") ? "set" : name);
		print_any(out, check_nft_get(value, !strcmp(name, "mangle") ? "value" : "data"));
	} else if (!strcmp(name, "set") && json_object_is_type(value, json_type_array)) {
		print_elements(out, value);
	} else if (!strcmp(name, "range") && check_nft_length(value) == 2) {
		print_any(out, check_nft_at(value, 0));
		join(out, "-");
		print_any(out, check_nft_at(value, 1));
	} else if (!strcmp(name, "concat")) {
		print_list(out, value, ".");
	} else if (!strcmp(name, "elem")) {
		print_any(out, check_nft_get(value, "val"));
	} else if (addr) {
		print_any(out, addr);
		join(out, "/");
		out->marks = false;
		print_any(out, check_nft_get(value, "len"));
	} else if (strchr("&|^<>", *name) && json_object_is_type(value, json_type_array)) {
		print_list(out, value, name);
	} else {
		text = check_nft_string(value, "key");
		out->marks |= !strcmp(text, "mark");
		out->quotes |= !strcmp(text, "iifname") || !strcmp(text, "oifname");
		/* As nft, which leaves that word out */
		if (strcmp(name, "payload") && strncmp(text, "iif", 3) && strncmp(text, "oif", 3))
			print(out, name);
		if (!strcmp(name, "reject"))
			return;
		for (i = 0; i < ARRAY_SIZE(members); i++) {
			text = check_nft_string(value, members[i]);
			if (!*text)
				continue;
			if (!strcmp(members[i], "prefix")) {
				print(out, members[i]);
				print_quoted(out, text);
			} else {
				print(out, text);
			}
		}
	}
}

static void print_any(struct output *out, struct json_object *value)
{
	char number[32];
	uint32_t n;

	if (json_object_is_type(value, json_type_object)) {
		json_object_object_foreach(value, key, member)
			print_key(out, key, member);
	} else if (json_object_is_type(value, json_type_array)) {
		print_list(out, value, ",");
	} else if (is_number(value, &n)) {
		snprintf(number, sizeof(number), out->marks ? "0x%08x" : "%u", (unsigned int)n);
		print(out, number);
	} else if (out->quotes && value) {
		print_quoted(out, json_object_get_string(value));
	} else if (value) {
		print(out, json_object_get_string(value));
	}
}

void check_nft_text(struct json_object *expr, char *text, size_t size)
{
	struct output out = { .text = text, .size = size };
	size_t i;

	*text = '\0';
	for (i = 0; i < check_nft_length(expr); i++, out.marks = out.quotes = false)
		print_any(&out, check_nft_at(expr, i));
}

/* ---- What a rule is for ----------------------------------------------- */

/* A set or a map of the table, by "@name"; else @value, or what is in its "set" */
static struct json_object *elements_of(const struct check_table *t, struct json_object *value)
{
	const char *name = string_of(value);

	if (*name == '@')
		return check_nft_get(t->sets, name + 1);
	return has(value, "set") ? check_nft_get(value, "set") : value;
}

/* An element may have a comment, a timeout, and so on. */
static struct json_object *plain(struct json_object *element)
{
	return has(element, "elem") ? check_nft_get(check_nft_get(element, "elem"), "val") : element;
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

	if (is_number(value, &first)) {
		check_set_add(s, first, first);
		return true;
	}
	if (is_number(check_nft_at(range, 0), &first) && is_number(check_nft_at(range, 1), &last)) {
		check_set_add(s, first, last);
		return true;
	}
	if (!protos || !json_object_is_type(value, json_type_string))
		return false;
	number = check_proto_number(string_of(value), strlen(string_of(value)));
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
	return is_number(value, &n) ? n : !strcmp(string_of(value), "exists");
}

static void match_ipsec(struct check_rule *r, const char *op, struct json_object *right)
{
	r->ipsec = is_true(right) == !strcmp(op, "==") ? CHECK_IPSEC_EXISTS : CHECK_IPSEC_MISSING;
}

/* A family by its number, AF_INET or an EtherType, or by its name */
static void match_family(struct check_rule *r, const char *op, struct json_object *right)
{
	bool ipv4 = false, ipv6 = false;
	uint32_t n;

	if (is_number(right, &n)) {
		ipv4 = n == AF_INET || n == 0x0800;
		ipv6 = n == AF_INET6 || n == 0x86dd;
	} else {
		ipv4 = !strcmp(string_of(right), "ipv4") || !strcmp(string_of(right), "ip");
		ipv6 = !strcmp(string_of(right), "ipv6") || !strcmp(string_of(right), "ip6");
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
		    !strcmp(string_of(right), "lo"))
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
	} else if (has(payload, "protocol")) {
		match_payload(t, r, payload, op, right, part);
	} else if (has(left, "meta")) {
		match_meta(t, r, check_nft_string(check_nft_get(left, "meta"), "key"), op, right, part);
	} else if (has(left, "ipsec")) {
		r->ipsec = CHECK_IPSEC_EXISTS;
		r->other = true;
	} else if (is(check_nft_get(left, "rt"), "key", "ipsec") && part < 0) {
		match_ipsec(r, op, right);
	} else {
		r->other = true;
		r->named |= has(left, "ct");
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
		if (!has(statement, verdicts[i].name))
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

	if (is(xt, "type", "match") && !strcmp(name, "comment"))
		return;
	if (is(xt, "type", "match") && !strcmp(name, "policy")) {
		r->ipsec = CHECK_IPSEC_UNKNOWN;
	} else if (is(xt, "type", "target") && !strcmp(name, "REJECT")) {
		r->verdict = CHECK_REFUSES;
	} else if (is(xt, "type", "match")) {
		r->other = r->opaque = true;
	} else if (!is(xt, "type", "target")) {
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
	if (!vmap && (!has(key, "concat") || is(m, "op", "!=") || check_nft_length(elements) < 2))
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
		else if (has(statement, "xt"))
			read_xt(r, check_nft_get(statement, "xt"));
		else if (!set_verdict(r, statement))
			for (j = 0; j < ARRAY_SIZE(some); j++)
				r->other |= has(statement, some[j]);
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
	chain->base = !is(o, "type", "nat") && (chain->input || chain->early || !strcmp(hook, "output") ||
						!strcmp(hook, "postrouting"));
	chain->drops = is(o, "policy", "drop");
}

static bool is_dormant(struct json_object *table)
{
	struct json_object *flags = check_nft_get(table, "flags");
	size_t i;

	for (i = 0; i < check_nft_length(flags); i++)
		if (!strcmp(string_of(check_nft_at(flags, i)), "dormant"))
			return true;
	return !strcmp(string_of(flags), "dormant");
}

bool check_nft_has_table(const struct check *c, const char *family)
{
	size_t i;

	for (i = 0; i < check_nft_length(c->nft); i++)
		if (is(check_nft_get(check_nft_at(c->nft, i), "table"), "family", family))
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
		o = has(all, "set") ? check_nft_get(all, "set") : check_nft_get(all, "map");
		t = o ? table_of(tables, index, o) : NULL;
		if (!t)
			continue;
		if (!t->sets)
			t->sets = json_object_new_object();
		json_object_object_add(t->sets, check_nft_string(o, "name"),
				       has(o, "elem") ? json_object_get(check_nft_get(o, "elem")) :
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
