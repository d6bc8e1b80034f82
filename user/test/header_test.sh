#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# header_test.sh FOLDER: imsipsec.h, in FOLDER, has nothing that a compiler warns of, in each
# standard of C and C++ that has bool, and what is documented as a default can be written in both.
set -eu

folder=$1
. "${0%/*}/ok_lib.sh"
id='HEADER: '

# In C++ an enumeration takes none but its own names. A member may be set by its name alone from C++20.
cat >"$tmp/a.c" <<'EOF'
#include <imsipsec.h>
#include <imsipsec.h>

extern int use(struct imsipsec *h);

static int see(const struct imsipsec_bundle *bundle, void *data)
{
	*(enum imsipsec_state *)data = bundle->state;
	return bundle->offload_reason != IMSIPSEC_OFFLOAD_REASON_NONE;
}

int use(struct imsipsec *h)
{
	enum imsipsec_state state = IMSIPSEC_STATE_NONE;
	struct imsipsec_endpoint_params e = { };
	struct imsipsec_bundle_params b = { };
	struct imsipsec_bundle_filter f = { };
	struct imsipsec_config c = { };
	struct imsipsec_pair pair = { IMSIPSEC_ALG_HMAC_SHA_1_96, IMSIPSEC_EALG_AES_CBC, { } };
	struct imsipsec_addr addr = { };
	struct imsipsec_event event = { };

	e.guard = IMSIPSEC_GUARD_DEFAULT;
	e.nat_traversal = IMSIPSEC_CHOICE_DEFAULT;
	e.hw_offload = IMSIPSEC_OFFLOAD_DEFAULT;
	b.mode = IMSIPSEC_MODE_DEFAULT;
	b.alg = pair.alg;
	b.ealg = pair.ealg;
	b.ue_address = addr;
	addr.in.s_addr = 1;
	f.state = IMSIPSEC_STATE_NONE;
	c.preferred_alg = IMSIPSEC_ALG_NONE;
	c.preferred_ealg = IMSIPSEC_EALG_NONE;
	event.limit = 1;
	event.new_state = IMSIPSEC_STATE_NONE;
	return event.limit || imsipsec_endpoint_add(h, &e, NULL) || imsipsec_bundle_new(h, &b, NULL) ||
	       imsipsec_bundle_confirm(h, 1, 1, IMSIPSEC_OLDER_DEFAULT, 0) ||
	       imsipsec_bundle_dump(h, &f, see, &state) || imsipsec_config_set(h, &c);
}
EOF
# An initialiser is never empty in C
sed 's/{ }/{ 0 }/' "$tmp/a.c" >"$tmp/b.c"
cp "$tmp/a.c" "$tmp/a.cc"
# Of initialisers like { 0 } the program's own are no fault of the header
warnings="-pedantic -Wall -Wextra -Wshadow -Wundef -Werror -Wno-missing-field-initializers -Wno-missing-braces"
for pair in gcc:g++ clang:clang++; do
	cc=${pair%:*} cxx=${pair#*:}
	if ! command -v "$cc" >/dev/null || ! command -v "$cxx" >/dev/null; then
		n=$((n + 1))
		echo "ok $n - HEADER: $cc and $cxx # SKIP they are not installed"
		continue
	fi
	for std in c99 c11 c17; do
		# shellcheck disable=SC2086
		ok "$cc -std=$std -pedantic" "$cc" -std=$std $warnings -Wstrict-prototypes -I"$folder" -fsyntax-only "$tmp/b.c"
	done
	for std in c++11 c++14 c++17 c++20; do
		# shellcheck disable=SC2086
		ok "$cxx -std=$std -pedantic" "$cxx" -std=$std $warnings -I"$folder" -fsyntax-only "$tmp/a.cc"
	done
done
ok_end
