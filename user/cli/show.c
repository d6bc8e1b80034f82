// SPDX-License-Identifier: GPL-2.0-only
/* Values as people and as JSON read them. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "cli.h"

/* The two largest units that are not zero: 1 h 3 min, 9.5 s. */
void show_time(uint64_t ms)
{
	uint64_t s = ms / 1000;

	if (s >= 86400)
		printf("%" PRIu64 " d %" PRIu64 " h", s / 86400, s / 3600 % 24);
	else if (s >= 3600)
		printf("%" PRIu64 " h %" PRIu64 " min", s / 3600, s / 60 % 60);
	else if (s >= 60)
		printf("%" PRIu64 " min %" PRIu64 " s", s / 60, s % 60);
	else
		printf("%" PRIu64 ".%" PRIu64 " s", s, ms / 100 % 10);
}

/* How long ago: what is younger than a minute in whole seconds */
void show_ago(uint64_t ms)
{
	if (ms < 60000)
		printf("%" PRIu64 " s", ms / 1000);
	else
		show_time(ms);
	printf(" ago");
}

void show_size(uint64_t bytes)
{
	static const char *const units[] = { "kB", "MB", "GB", "TB" };
	double value = bytes / 1000.0;
	size_t i;

	if (bytes < 1000) {
		printf("%" PRIu64 " B", bytes);
		return;
	}
	for (i = 0; value >= 999.95 && i + 1 < ARRAY_SIZE(units); i++)
		value /= 1000;
	printf("%.1f %s", value, units[i]);
}

/*
 * How many bytes the character at @s has if it is UTF-8 and may go to a
 * terminal, else 0: owners and contacts come from the network.
 */
static size_t printable(const uint8_t *s, size_t len)
{
	static const uint32_t least[] = { 0, 0, 0x80, 0x800, 0x10000 };
	uint32_t c = s[0];
	size_t n, i;

	if (c < 0x80)
		return c >= ' ' && c != 0x7f;
	n = c >= 0xf0 ? 4 : c >= 0xe0 ? 3 : 2;
	if (c < 0xc2 || c > 0xf4 || n > len)
		return 0;
	c &= 0x7f >> n;
	for (i = 1; i < n; i++) {
		if ((s[i] & 0xc0) != 0x80)
			return 0;
		c = c << 6 | (s[i] & 0x3f);
	}
	if (c < least[n] || c < 0xa0 || c > 0x10ffff || (c >= 0xd800 && c <= 0xdfff))
		return 0;
	/* What turns the direction of the text around */
	if ((c >= 0x202a && c <= 0x202e) || (c >= 0x2066 && c <= 0x2069))
		return 0;
	return n;
}

static bool all_printable(const uint8_t *data, size_t len)
{
	size_t n;

	for (; len; data += n, len -= n) {
		n = printable(data, len);
		if (!n)
			return false;
	}
	return true;
}

void show_bytes(const uint8_t *data, size_t len)
{
	size_t i;

	if (all_printable(data, len)) {
		printf("%.*s", (int)len, (const char *)data);
		return;
	}
	printf("0x");
	for (i = 0; i < len; i++)
		printf("%02x", data[i]);
}

/* As text under @key where it is text, else in hexadecimal under @key-hex. */
void json_bytes(struct json *j, const char *key, const uint8_t *data, size_t len)
{
	char hex[2 * IMSIPSEC_CONTACT_MAX + 1] = "", hex_key[32];
	size_t i;

	if (all_printable(data, len)) {
		json_string_n(j, key, (const char *)data, len);
		return;
	}
	for (i = 0; i < len; i++)
		snprintf(hex + 2 * i, sizeof(hex) - 2 * i, "%02x", data[i]);
	snprintf(hex_key, sizeof(hex_key), "%s-hex", key);
	json_string(j, hex_key, hex);
}

/* With its port, which is in PEER_LEN bytes; as snprintf() */
int format_peer(char *buf, size_t size, const struct imsipsec_addr *addr, uint16_t port)
{
	char text[INET6_ADDRSTRLEN];

	imsipsec_addr_format(addr, text, sizeof(text));
	return snprintf(buf, size, addr->family == AF_INET6 ? "[%s]:%" PRIu16 : "%s:%" PRIu16,
			text, port);
}

void json_addr(struct json *j, const char *key, const struct imsipsec_addr *addr)
{
	char buf[INET6_ADDRSTRLEN];

	json_string(j, key, imsipsec_addr_format(addr, buf, sizeof(buf)));
}

/* A value that the library has no name for is a number. */
void json_name(struct json *j, const char *key, const char *name, unsigned int value)
{
	if (name)
		json_string(j, key, name);
	else
		json_number(j, key, value);
}

const char *name_or_unknown(const char *name)
{
	return name ? name : "unknown";
}
