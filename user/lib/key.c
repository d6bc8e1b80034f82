// SPDX-License-Identifier: LGPL-2.1-or-later
/* The keys of an AKA run, from SIP's text. */
#include <errno.h>
#include <string.h>

#include "internal.h"

static int digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

int imsipsec_key_parse(uint8_t key[IMSIPSEC_KEY_LEN], const char *text, size_t len)
{
	size_t i;

	if (len == 2 * IMSIPSEC_KEY_LEN + 2 && text[0] == '"' && text[len - 1] == '"') {
		text++;
		len -= 2;
	}
	if (len != 2 * IMSIPSEC_KEY_LEN)
		return -EINVAL;
	for (i = 0; i < len; i++)
		if (digit(text[i]) < 0)
			return -EINVAL;
	for (i = 0; i < IMSIPSEC_KEY_LEN; i++)
		key[i] = digit(text[2 * i]) << 4 | digit(text[2 * i + 1]);
	return 0;
}
