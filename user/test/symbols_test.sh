#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# symbols_test.sh HEADER MAP SHARED-LIBRARY SONAME STATIC-LIBRARY
#
# The functions of the header, those of the version script and those that the
# library exports are the same ones. What else the static one has is prefixed, and not seen
# outside of the shared object that it becomes a part of.
set -eu

header=$1 map=$2 lib=$3 soname=$4 static=$5
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
n=0 failed=0

ok() {
	n=$((n + 1))
	if "$2" "$3" "$4" >"$tmp/out"; then
		echo "ok $n - $1"
	else
		echo "not ok $n - $1"
		sed 's/^/# /' "$tmp/out"
		failed=1
	fi
}

# Comments away; a declaration at the start of a line is a function's.
gcc -fpreprocessed -dD -E -P "$header" 2>/dev/null |
	grep -oE '^[a-z].*[ *]imsipsec_[a-z0-9_]+\(' | grep -oE 'imsipsec_[a-z0-9_]+\(' |
	tr -d '(' | sort -u >"$tmp/header"
sed -n 's/^\t\(imsipsec_.*\);$/\1/p' "$map" | sort >"$tmp/map"
nm -D --defined-only "$lib" | sed -n 's/.* T \(.*\)@@LIBIMSIPSEC_1\.0$/\1/p' | sort >"$tmp/lib"
nm -D --defined-only "$lib" | grep -vE ' T .*@@LIBIMSIPSEC_1\.0$| A LIBIMSIPSEC_1\.0' \
	>"$tmp/other" || :
objdump -p "$lib" | sed -n 's/^ *SONAME *//p' >"$tmp/soname"
echo "$soname" >"$tmp/soname.want"
: >"$tmp/none"

test -s "$tmp/header"
ok "the version script names the functions of the header" diff "$tmp/header" "$tmp/map"
ok "the library exports the functions of the header" diff "$tmp/header" "$tmp/lib"
ok "the library exports nothing else" diff "$tmp/none" "$tmp/other"
ok "the soname is $soname" diff "$tmp/soname.want" "$tmp/soname"

nm -g --defined-only "$static" | sed -n 's/^[0-9a-f]* [A-Z] //p' | grep -v '^imsipsec_' >"$tmp/other" || :
ok "SYMBOLS: the static library has no name without the prefix" diff "$tmp/none" "$tmp/other"
# As a module for a SIP server takes it in, without a version script
gcc -shared -o "$tmp/module.so" -Wl,--whole-archive "$static" -Wl,--no-whole-archive -lmnl
nm -D --defined-only "$tmp/module.so" | sed -n 's/^[0-9a-f]* [A-Z] //p' | sort >"$tmp/seen"
ok "SYMBOLS: what is not in the header is hidden in the static library as well" diff "$tmp/header" "$tmp/seen"
echo "1..$n"
exit $failed
