// SPDX-License-Identifier: GPL-2.0-only
/*
 * imsipsec check: the JSON that `nft -j -n -s list ruleset` writes (libnftables-json(5)), which may
 * be anything, and a rule of it for people.
 */
#include <stdio.h>
#include <string.h>

#include "check_rules.h"
#include "cli.h"

#define DEPTH_MAX	64	/* of JSON, and so of what follows it */

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

bool check_nft_has(struct json_object *object, const char *key)
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
const char *check_nft_as_string(struct json_object *value)
{
	return json_object_is_type(value, json_type_string) ? json_object_get_string(value) : "";
}

const char *check_nft_string(struct json_object *object, const char *key)
{
	return check_nft_as_string(check_nft_get(object, key));
}

bool check_nft_is(struct json_object *object, const char *key, const char *value)
{
	return !strcmp(check_nft_string(object, key), value);
}

bool check_nft_number(struct json_object *value, uint32_t *number)
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
		if (check_nft_has(left, "&") || check_nft_has(left, "|") || check_nft_has(left, "^") ||
		    (!check_nft_is(value, "op", "==") && !check_nft_is(value, "op", "in")))
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
	} else if (check_nft_number(value, &n)) {
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
