// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Random changes to the seeds of a target for libFuzzer, always the same ones. If a rule
 * of the target breaks or a sanitizer finds something, the last lines of the report say
 * which input it was.
 */
#include <sanitizer/common_interface_defs.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "fuzz.h"
#include "tap.h"

#define SEED		0x3329u
#define MUTATIONS	10000

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

static size_t n_pieces;

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
		piece = fuzz_pieces[random_below(n_pieces)];
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
	size_t len, n_seeds = 0;
	unsigned int i, j;

	while (fuzz_seeds[n_seeds])
		n_seeds++;
	while (fuzz_pieces[n_pieces])
		n_pieces++;

	__sanitizer_set_death_callback(show_current);
	signal(SIGABRT, show_current_on_abort);
	printf("# seed 0x%x, %d mutations of %zu inputs\n", SEED, MUTATIONS, n_seeds);
	for (i = 0; i < MUTATIONS; i++) {
		const char *seed = fuzz_seeds[i % n_seeds];

		len = strlen(seed);
		memcpy(data, seed, len);
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
	ok(true, "INPUT: %d mutations of %zu inputs", MUTATIONS, n_seeds);
	return done();
}
