// SPDX-License-Identifier: GPL-2.0-only
/* Keywords and values of the command line. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"

static struct arg *find_arg(struct arg *args, size_t n, const char *name)
{
	size_t i;

	for (i = 0; i < n; i++)
		if (!strcmp(args[i].name, name))
			return &args[i];
	return NULL;
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
			die(EXIT_USAGE, "\"%s\" is unknown, try \"help\"", argv[i]);
		if (arg->given)
			die(EXIT_USAGE, "\"%s\" is there twice", arg->name);
		arg->given = true;
		if (!arg->parse)
			continue;
		if (++i == argc)
			die(EXIT_USAGE, "\"%s\" needs a value", arg->name);
		if (!arg->parse(argv[i], arg->to))
			/* Not the value: it could be a key. */
			die(EXIT_USAGE, "the value of \"%s\" is not valid", arg->name);
	}

	for (j = 0; j < n; j++)
		if (args[j].required && !args[j].given)
			die(EXIT_USAGE, "\"%s\" is missing", args[j].name);
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

/* In seconds, or in what stands behind the number: ms, s, m, h. */
bool parse_time(const char *text, void *to)
{
	static const struct {
		const char *unit;
		unsigned int milliseconds;
	} units[] = {
		{ "ms", 1 }, { "", 1000 }, { "s", 1000 }, { "m", 60000 }, { "h", 3600000 },
	};
	uint64_t value;
	char *end;
	size_t i;

	if (!parse_number(text, UINT32_MAX, &value, &end))
		return false;
	for (i = 0; i < ARRAY_SIZE(units); i++) {
		if (strcmp(units[i].unit, end))
			continue;
		*(uint64_t *)to = value * units[i].milliseconds;
		return true;
	}
	return false;
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
