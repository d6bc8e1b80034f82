// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Random changes to real headers, always the same ones. If a rule of
 * secagree_fuzz.c breaks or a sanitizer finds something, the last lines of the
 * report say which input it was.
 */
#include <sanitizer/common_interface_defs.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "headers.h"
#include "tap.h"

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))

#define SEED		0x3329u
#define MUTATIONS	10000

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char *const headers[] = {
	PHONE_MD5_NULL, PHONE_TWO, PHONE_VERIFY, SERVER_LARGE_SPI, PHONE_BLANKS,
	SERVER_LIST, PHONE_BOTH,
	"tls;q=0.2, " PHONE_MD5_NULL ", sdes-srtp;mediasec;x=\"a,\\\"b;\",\r\n " PHONE_VERIFY,
	"SIP/2.0/UDP 10.0.0.5:6300;branch=z9hG4bK1;rport",
	"SIP / 2.0 / TLS [2001:db8::5] : 5062;branch=1, SIP/2.0/UDP ue1.ims.example",
};

static const char *const pieces[] = {
	",", ";", "=", "\"", "\\", " ", "\r\n ", "\r\n", "\t", "0", "4294967296", "65536", "-1",
	"ipsec-3gpp", ";alg=hmac-sha-1-96", ";alg=null", ";ealg=null", ";ealg=aes-gcm",
	";spi-c=256", ";port-s=5060", ";q=0.9999", ";mod=UDP-enc-tun", ",tls", "10.0.0.5",
	"SIP/2.0/UDP ", "[::ffff:10.0.0.5]", ":5060", "ue.example", "\xff", "[::1]",
};

static const uint8_t *current;
static size_t current_len;

static void show_current(void)
{
	fprintf(stderr, "input of %zu bytes:\n%.*s\n", current_len, (int)current_len, current);
}

static void show_current_on_abort(int signal)
{
	(void)signal;
	show_current();
}

static uint64_t random_state = SEED;

/* xorshift64*: the same everywhere, unlike rand() */
static uint32_t random_below(uint32_t n)
{
	random_state ^= random_state >> 12;
	random_state ^= random_state << 25;
	random_state ^= random_state >> 27;
	return (uint32_t)((random_state * 2685821657736338717u) >> 32) % n;
}

static size_t mutate(uint8_t *data, size_t len, size_t room)
{
	size_t at = random_below(len + 1), n;
	const char *piece;

	switch (random_below(5)) {
	case 0:			/* another byte */
		if (at < len)
			data[at] = random_below(256);
		return len;
	case 1:			/* some bytes less */
		n = random_below(len - at + 1);
		n = n > 20 ? n % 20 : n;
		memmove(data + at, data + at + n, len - at - n);
		return len - n;
	case 2:			/* a piece more */
		piece = pieces[random_below(ARRAY_SIZE(pieces))];
		n = strlen(piece);
		if (len + n > room)
			return len;
		memmove(data + at + n, data + at, len - at);
		memcpy(data + at, piece, n);
		return len + n;
	case 3:			/* a part of it once more */
		n = random_below(len - at + 1);
		if (len + n > room)
			return len;
		memmove(data + at + n, data + at, len - at);
		return len + n;
	default:		/* cut short */
		return random_below(8) ? len : at;
	}
}

int main(void)
{
	uint8_t data[4096], *exact;
	unsigned int i, j;
	size_t len;

	__sanitizer_set_death_callback(show_current);
	signal(SIGABRT, show_current_on_abort);
	printf("# seed 0x%x, %d mutations of %zu headers\n", SEED, MUTATIONS, ARRAY_SIZE(headers));
	for (i = 0; i < MUTATIONS; i++) {
		const char *header = headers[i % ARRAY_SIZE(headers)];

		len = strlen(header);
		memcpy(data, header, len);
		for (j = random_below(4); j < 4; j++)
			len = mutate(data, len, sizeof(data));

		/* On the heap and no longer than it is, for AddressSanitizer */
		exact = malloc(len ? len : 1);
		if (!exact)
			abort();
		memcpy(exact, data, len);
		current = exact;
		current_len = len;
		LLVMFuzzerTestOneInput(exact, len);
		free(exact);
	}
	ok(true, "%d mutations of real headers", MUTATIONS);
	return done();
}
