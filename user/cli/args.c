// SPDX-License-Identifier: GPL-2.0-only
/* Keywords and values of the command line. */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"

/* The longest has all keywords of a command. */
#define MESSAGE	1024

static struct arg *find_arg(struct arg *args, size_t n, const char *name)
{
	size_t i;

	for (i = 0; i < n; i++)
		if (!strcmp(args[i].name, name))
			return &args[i];
	return NULL;
}

/* Decimal, or hexadecimal behind 0x, up to @max; @end gets what is behind it. */
static bool parse_number(const char *text, uint64_t max, uint64_t *value, char **end)
{
	size_t digits;
	int base = 10;

	if (text[0] == '0' && (text[1] == 'x' || text[1] == 'X')) {
		base = 16;
		text += 2;
	}
	/* strtoull() takes signs, blanks, and another 0x. */
	digits = strspn(text, base == 16 ? "0123456789abcdefABCDEF" : "0123456789");
	errno = 0;
	*value = strtoull(text, end, base);
	return digits && *end == text + digits && !errno && *value <= max;
}

bool parse_u32(const char *text, void *to)
{
	uint64_t value;
	char *end;

	if (!parse_number(text, UINT32_MAX, &value, &end) || *end)
		return false;
	*(uint32_t *)to = value;
	return true;
}

/* 0 is nobody's: it would be no filter at all. */
bool parse_id(const char *text, void *to)
{
	return parse_u32(text, to) && *(uint32_t *)to;
}

bool parse_port(const char *text, void *to)
{
	uint64_t value;
	char *end;

	if (!parse_number(text, UINT16_MAX, &value, &end) || *end || !value)
		return false;
	*(uint16_t *)to = value;
	return true;
}

/* 5062,5064 */
bool parse_ports(const char *text, void *to)
{
	struct ports *ports = to;
	uint64_t value;
	char *end;

	ports->n = 0;
	for (;;) {
		if (ports->n == ARRAY_SIZE(ports->port) ||
		    !parse_number(text, UINT16_MAX, &value, &end) || !value)
			return false;
		ports->port[ports->n++] = value;
		if (!*end)
			return true;
		if (*end != ',')
			return false;
		text = end + 1;
	}
}

/* 192.0.2.0/24%eth1,2001:db8::/64%eth1; what a prefix is, the kernel says. None: none */
bool parse_trusted(const char *text, void *to)
{
	struct trusted *t = to;
	char *next = t->text, *one;

	t->n = 0;
	if (strlen(text) >= sizeof(t->text))
		return false;
	if (!strcmp(text, "none"))
		return true;
	strcpy(t->text, text);
	while ((one = strsep(&next, ","))) {
		if (t->n == ARRAY_SIZE(t->prefix) || !*one || strlen(one) > IMSIPSEC_TRUSTED_LEN ||
		    !strchr(one, '/') || !strchr(one, '%'))
			return false;
		t->prefix[t->n++] = one;
	}
	return true;
}

/*
 * Numbers, each with its unit, the largest unit first: 500ms, 30s, 1h30m, 30d. No bare number: it
 * means milliseconds in JSON and to modprobe, and seconds in SIP. Nothing is nothing in any unit.
 */
bool parse_time(const char *text, void *to)
{
	static const struct {
		const char *unit;
		uint64_t milliseconds;
	} units[] = {
		{ "d", 86400000 }, { "h", 3600000 }, { "m", 60000 }, { "s", 1000 }, { "ms", 1 },
	};
	uint64_t sum = 0, value;
	size_t len, i = 0;
	char *end;

	if (!strcmp(text, "0")) {
		*(uint64_t *)to = 0;
		return true;
	}
	do {
		if (!parse_number(text, UINT32_MAX, &value, &end))
			return false;
		len = strspn(end, "dhms");
		while (i < ARRAY_SIZE(units) && (strlen(units[i].unit) != len ||
						 strncmp(units[i].unit, end, len)))
			i++;
		if (i == ARRAY_SIZE(units))
			return false;
		sum += value * units[i++].milliseconds;
		text = end + len;
	} while (*text);
	*(uint64_t *)to = sum;
	return true;
}

bool parse_addr(const char *text, void *to)
{
	return !imsipsec_addr_parse(to, text);
}

/* The text itself, which outlives the arguments. */
bool parse_string(const char *text, void *to)
{
	*(const char **)to = text;
	return true;
}

/* The name of a network interface; none: "" */
bool parse_interface(const char *text, void *to)
{
	size_t len = strlen(text);

	if (!len || len > IMSIPSEC_INTERFACE_MAX)
		return false;
	return parse_string(strcmp(text, "none") ? text : "", to);
}

bool parse_on_off(const char *text, void *to)
{
	*(bool *)to = !strcmp(text, "on");
	return *(bool *)to || !strcmp(text, "off");
}

/* Where the configuration has a default */
bool parse_choice(const char *text, void *to)
{
	bool on;

	if (!parse_on_off(text, &on))
		return false;
	*(enum imsipsec_choice *)to = on ? IMSIPSEC_CHOICE_ON : IMSIPSEC_CHOICE_OFF;
	return true;
}

bool parse_text(const char *text, void *to)
{
	struct bytes *bytes = to;
	size_t len = strlen(text);

	if (!len || len > sizeof(bytes->data))
		return false;
	memcpy(bytes->data, text, len);
	bytes->len = len;
	return true;
}

static int hex_digit(char c)
{
	static const char digits[] = "0123456789abcdef0123456789ABCDEF";
	const char *p = c ? strchr(digits, c) : NULL;

	return p ? (p - digits) % 16 : -1;
}

static bool parse_hex_n(const char *text, size_t text_len, uint8_t *data, size_t max, size_t *len)
{
	size_t i;

	if (!text_len || text_len % 2 || text_len / 2 > max)
		return false;
	for (i = 0; i < text_len; i++) {
		int digit = hex_digit(text[i]);

		if (digit < 0)
			return false;
		data[i / 2] = i % 2 ? data[i / 2] | digit : digit << 4;
	}
	*len = text_len / 2;
	return true;
}

bool parse_hex(const char *text, void *to)
{
	struct bytes *bytes = to;

	return parse_hex_n(text, strlen(text), bytes->data, sizeof(bytes->data), &bytes->len);
}

static bool parse_key_n(const char *text, size_t len, void *to)
{
	return !imsipsec_key_parse(to, text, len);
}

bool parse_key(const char *text, void *to)
{
	return parse_key_n(text, strlen(text), to);
}

/* A file, "-" for standard input, that holds IK and CK in hexadecimal, blanks between them. */
bool parse_keys_file(const char *path, void *to)
{
	static const char blanks[] = " \t\r\n";
	struct keys *keys = to;
	char buf[256], *ik, *ck;
	size_t n, ik_len, ck_len;
	FILE *file;
	bool ok;

	file = strcmp(path, "-") ? fopen(path, "re") : stdin;
	if (!file)
		die(EXIT_USAGE, "%s: %s", path, strerror(errno));
	setvbuf(file, NULL, _IONBF, 0);		/* no copy of the keys in stdio's buffer */
	n = fread(buf, 1, sizeof(buf) - 1, file);
	buf[n] = '\0';
	if (file != stdin)
		fclose(file);

	ik = buf + strspn(buf, blanks);
	ik_len = strcspn(ik, blanks);
	ck = ik + ik_len;
	ck += strspn(ck, blanks);
	ck_len = strcspn(ck, blanks);
	ok = parse_key_n(ik, ik_len, keys->ik) && parse_key_n(ck, ck_len, keys->ck) &&
	     !ck[ck_len + strspn(ck + ck_len, blanks)];
	explicit_bzero(buf, sizeof(buf));
	return ok;
}

#define DEFINE_PARSE_NAME(what)						\
static const char *what##_name(unsigned int value)			\
{									\
	return imsipsec_##what##_name((enum imsipsec_##what)value);	\
}									\
									\
bool parse_##what(const char *text, void *to)				\
{									\
	enum imsipsec_##what value;					\
	const char *name;						\
									\
	for (value = 1; (name = imsipsec_##what##_name(value)); value++) { \
		if (strcmp(name, text))					\
			continue;					\
		*(enum imsipsec_##what *)to = value;			\
		return true;						\
	}								\
	return false;							\
}

DEFINE_PARSE_NAME(alg)
DEFINE_PARSE_NAME(ealg)
DEFINE_PARSE_NAME(mode)
DEFINE_PARSE_NAME(state)
DEFINE_PARSE_NAME(guard)
DEFINE_PARSE_NAME(older)
DEFINE_PARSE_NAME(offload)

bool parse_preferred_alg(const char *text, void *to)
{
	return !strcmp(text, "none") || parse_alg(text, to);
}

bool parse_preferred_ealg(const char *text, void *to)
{
	return !strcmp(text, "none") || parse_ealg(text, to);
}

/* ---- What is wrong, and what would be right ---------------------------- */

/* What a value may be. A name is of the library: as long as there is one for the next number. */
static const struct kind {
	bool (*parse)(const char *text, void *to);
	const char *text;
	const char *(*name)(unsigned int value);
	bool telling;			/* what such a value looks like, no other one does */
} kinds[] = {
	{ parse_u32, "0 to 4294967295, decimal or hexadecimal behind 0x", NULL, true },
	{ parse_id, "1 to 4294967295", NULL, true },
	{ parse_port, "1 to 65535", NULL, true },
	{ parse_ports, "up to 64 ports of 1 to 65535, commas between: 5062,5064", NULL, true },
	{ parse_trusted,
	  "none, or up to 16 of PREFIX/LENGTH%INTERFACE, commas between: 10.0.0.0/24%eth1" },
	{ parse_time, "a number with its unit, ms, s, m, h or d: 500ms, 30s, 1h30m, 30d",
	  NULL, true },
	{ parse_addr, "an IPv4 or IPv6 address", NULL, true },
	{ parse_interface, "the name of an interface, 1 to 15 bytes, or none" },
	{ parse_on_off, "on, off", NULL, true },
	{ parse_choice, "on, off", NULL, true },
	{ parse_text, "1 to 256 bytes" },
	{ parse_hex, "hexadecimal digits, two a byte, 1 to 256 bytes" },
	{ parse_key, "32 hexadecimal digits" },
	{ parse_keys_file, "a file with IK and CK, 32 hexadecimal digits each" },
	{ parse_alg, "", alg_name, true },
	{ parse_ealg, "", ealg_name, true },
	{ parse_preferred_alg, "none, ", alg_name, true },
	{ parse_preferred_ealg, "none, ", ealg_name, true },
	{ parse_mode, "", mode_name, true },
	{ parse_state, "", state_name, true },
	{ parse_guard, "", guard_name, true },
	{ parse_older, "", older_name, true },
	{ parse_offload, "", offload_name, true },
};

static const struct kind *kind_of(const struct arg *arg)
{
	size_t i;

	for (i = 0; i < ARRAY_SIZE(kinds); i++)
		if (kinds[i].parse == arg->parse)
			return &kinds[i];
	return NULL;
}

static void __attribute__((format(printf, 2, 3))) append(char (*to)[MESSAGE], const char *fmt, ...)
{
	const size_t len = strlen(*to);
	va_list args;

	va_start(args, fmt);
	vsnprintf(*to + len, sizeof(*to) - len, fmt, args);
	va_end(args);
}

static void __attribute__((noreturn)) die_of_value(const struct arg *arg)
{
	const struct kind *kind = kind_of(arg);
	char valid[MESSAGE] = "";
	unsigned int i;

	if (kind)
		append(&valid, "%s", kind->text);
	for (i = 1; kind && kind->name && kind->name(i); i++)
		append(&valid, "%s%s", i > 1 ? ", " : "", kind->name(i));
	/* Not the value: it could be a key. */
	die(EXIT_USAGE, "the value of \"%s\" is not valid%s%s", arg->name,
	    *valid ? "; valid: " : "", valid);
}

/* Would the word do as the value of this one? */
static bool is_value_of(const struct arg *arg, const char *word)
{
	const struct kind *kind = arg->parse ? kind_of(arg) : NULL;

	return kind && kind->telling && kind->parse(word, arg->to);
}

/*
 * A word that is no keyword: is it the value of one that is left out? Else which keywords are
 * there?
 */
static void __attribute__((noreturn)) die_of_word(const char *word, const struct arg *args,
						  size_t n)
{
	char wanted[MESSAGE] = "";
	bool values;
	size_t i;

	for (i = 0; i < n; i++)
		if (!args[i].given && is_value_of(&args[i], word))
			append(&wanted, "%s\"%s %s\"", *wanted ? ", " : "", args[i].name,
			       word);
	values = *wanted;
	for (i = 0; i < n && !values; i++)
		if (!args[i].given)
			append(&wanted, "%s\"%s\"", *wanted ? ", " : "", args[i].name);
	die(EXIT_USAGE, "\"%s\" is unknown; wanted: %s", word,
	    *wanted ? wanted : "no more words");
}

/* Ends the program where the command line is wrong. */
void parse_args(int argc, char **argv, struct arg *args, size_t n)
{
	struct arg *arg;
	size_t j;
	int i;

	for (i = 0; i < argc; i++) {
		arg = find_arg(args, n, argv[i]);
		if (!arg)
			die_of_word(argv[i], args, n);
		if (arg->given)
			die(EXIT_USAGE, "\"%s\" is there twice", arg->name);
		arg->given = true;
		if (!arg->parse)
			continue;
		if (++i == argc)
			die(EXIT_USAGE, "\"%s\" needs a value", arg->name);
		if (!arg->parse(argv[i], arg->to))
			die_of_value(arg);
	}

	for (j = 0; j < n; j++)
		if (args[j].required && !args[j].given)
			die(EXIT_USAGE, "\"%s\" is missing", args[j].name);
}
