#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# abidiff_test.sh LIBRARY DUMP SUPPRESSIONS: nothing that programs rely on has changed since the
# release that the dump is of. Functions and enumerators may be new.
set -eu

lib=$1 dump=$2 allowed=$3
. "${0%/*}/ok_lib.sh"
id='ABI: '

if ! command -v abidiff >/dev/null; then
	echo "ok 1 - ABI: abidiff # SKIP it is not installed: abigail-tools"
	echo 1..1
	exit
fi
if [ "$(gcc -dumpmachine)" != x86_64-linux-gnu ]; then
	echo "ok 1 - ABI: abidiff # SKIP the dump is of x86_64"
	echo 1..1
	exit
fi

# shellcheck disable=SC2317 # ok calls them
{
	same() {		# DUMP
		abidiff --suppressions "$allowed" --redundant --no-added-syms "$1" "$lib"
	}
	differs() {
		! same "$1"
	}
}

ok "programs of the last release run with this library" same "$dump"
# That it would have found what has changed
change() {		# WHAT SED-EXPRESSION
	sed "$2" "$dump" >"$tmp/dump.abi"
	ok "abidiff sees $1" differs "$tmp/dump.abi"
}
change "that a struct has another size" "/class-decl name='imsipsec_mech'/s/size-in-bits='512'/size-in-bits='576'/"
change "that a function is missing" "s/'imsipsec_version'/'imsipsec_version_'/"
change "that an enumerator has another value" "/name='IMSIPSEC_STATE_OLD'/s/value='4'/value='5'/"
ok_end
