#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
#
# Linux's table of SAs by their SPI, with SPIs in a row
#
# One would guess: SPIs in a row are the best that a hash table can get. 8,000 of them, to one
# address, have a bucket each of 16,384, or share it with few.
# seen: __xfrm_spi_hash() of net/xfrm/xfrm_hash.h (Linux 6.12) takes the SPI as it is on the wire.
# On a host of little endian the bits that change from one SPI to the next are the highest then,
# and what is shifted down from there meets itself: 8,000 SPIs in a row have 512 buckets, and the
# SA of a packet is looked for among 16. With 128,000 it is among 32, in a table of 262,144. All
# SPIs that begin with the same byte have 4,096 buckets of such a table together. SPIs that are
# far apart, so that their first bytes differ, are spread as one would guess.
set -eu

# shellcheck source=common
. "$(dirname "$0")/common"
version=6.12.117-1~deb12u1
[ "$(printf '\1\0' | od -An -td2 | tr -d ' ')" = 1 ] || { echo 'this host is not of little endian'; exit 2; }
unpack "linux-source-6.12=$version"
tar -xJf "$dir/usr/src/linux-source-6.12.tar.xz" -C "$dir" --strip-components=3 \
	linux-source-6.12/net/xfrm/xfrm_hash.h

# What the header includes, as far as the hash of an SPI needs it
mkdir "$dir/linux"
touch "$dir/linux/socket.h" "$dir/linux/jhash.h"
cat >"$dir/linux/xfrm.h" <<'END'
#include <arpa/inet.h>
#include_next <linux/xfrm.h>
#define __force
typedef __u8 u8;
typedef __u16 u16;
typedef __u32 u32;
static inline u32 jhash2(const u32 *k, u32 length, u32 initval) { return 0; }
static inline u32 jhash_1word(u32 a, u32 initval) { return 0; }
static inline u32 jhash_2words(u32 a, u32 b, u32 initval) { return 0; }
static inline u32 jhash_3words(u32 a, u32 b, u32 c, u32 initval) { return 0; }
END
cat >"$dir/spis.c" <<'END'
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include "xfrm_hash.h"

int main(void)
{
	static const u32 numbers[] = { 8000, 128000 };
	const xfrm_address_t to = { .a4 = htonl(0xc0000201) };

	for (int i = 0; i < 4; i++) {
		u32 n = numbers[i / 2], size = n == 8000 ? 16384 : 262144, buckets = 0, most = 0;
		u32 *bucket = calloc(size, sizeof(*bucket));

		for (u32 k = 0; k < n; k++) {
			/* every other time by far apart: the golden section of 2^32 */
			u32 spi = i % 2 ? k * 2654435769u : 65536 + k;
			u32 *b = bucket + __xfrm_spi_hash(&to, htonl(spi), 50, AF_INET, size - 1);

			buckets += !*b;
			most = ++*b > most ? *b : most;
		}
		printf("%u SPIs %s, %u buckets: in %u, %u at most in one\n", n,
		       i % 2 ? "far apart" : "in a row", size, buckets, most);
	}
}
END
gcc -w -I"$dir" -o "$dir/spis" "$dir/spis.c"
seen=$("$dir/spis")

expected=$(cat <<'END'
8000 SPIs in a row, 16384 buckets: in 512, 16 at most in one
8000 SPIs far apart, 16384 buckets: in 6234, 5 at most in one
128000 SPIs in a row, 262144 buckets: in 4096, 32 at most in one
128000 SPIs far apart, 262144 buckets: in 94982, 8 at most in one
END
)

compare "$seen" "$expected" 'SPIs in a row share few buckets'
