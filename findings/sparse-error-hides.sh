#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
#
# sparse and a file of which sparse cannot read one line
#
# One would guess: sparse has an error for that line, and warns of the rest as before; and it ends
# with another status than 0, as compilers do.
# seen: sparse 0.6.4 has the error, and none of its warnings for all of the file, before the line as after
# it, and ends with 0. A [[fallthrough]] that gcc 12 takes, or a bit-field of __be32, hides each wrong
# byte order of its file: who counts warnings, or looks at the status, has a clean file.
# With -Wsparse-error sparse shows them all, as errors, and ends with 1.
set -eu

# shellcheck source=common
. "$(dirname "$0")/common"
command -v gcc >/dev/null || exit 2
unpack sparse=0.6.4-3

cd "$dir"
cat >orders.c <<'END'
typedef unsigned int __attribute__((bitwise)) __be32;

static unsigned int host(__be32 wire)
{
	return wire;
}

#ifdef ATTRIBUTE
static int next(int n)
{
	switch (n) {
	case 1:
		n++;
		[[fallthrough]];
	default:
		return n;
	}
}
#endif

#ifdef FIELD
struct word {
	__be32 half:16;
};
#endif

static __be32 wire(unsigned int host)
{
	return host;
}
END

seen=$(
	sparse --version
	for define in NOTHING ATTRIBUTE FIELD; do
		gcc -w -c -o orders.o -D$define orders.c && echo "$define: gcc compiles"
		for option in '' -Wsparse-error; do
			status=0
			# shellcheck disable=SC2086 # none, or one
			sparse -Wbitwise $option -D$define orders.c >said 2>&1 || status=$?
			echo "  sparse${option:+ $option} ends with $status: $(grep -c warning: said) warnings, $(grep -c error: said) errors"
		done
	done
)

expected=$(cat <<'END'
0.6.4 (Debian: 0.6.4-3)
NOTHING: gcc compiles
  sparse ends with 0: 2 warnings, 0 errors
  sparse -Wsparse-error ends with 1: 0 warnings, 2 errors
ATTRIBUTE: gcc compiles
  sparse ends with 0: 0 warnings, 2 errors
  sparse -Wsparse-error ends with 1: 0 warnings, 4 errors
FIELD: gcc compiles
  sparse ends with 0: 0 warnings, 1 errors
  sparse -Wsparse-error ends with 1: 0 warnings, 3 errors
END
)

compare "$seen" "$expected" 'an error hides the warnings'
