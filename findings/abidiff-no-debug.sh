#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
#
# abidiff and a library without debug information
#
# One would guess: abidiff, which reads types from debug information, says when a library has none;
# and with --fail-no-debug-info, "bail out if no debug info was found", it fails.
# seen: abidiff 2.2 compares the names of symbols then, says nothing, and ends with 0: a struct that has
# grown is no change. It is so with either library stripped, with both, against a dump by abidw, and
# with --fail-no-debug-info, also where the directories that it is given hold nothing. A check of
# an ABI that compares what a distribution ships, or what a build without -g has made, finds nothing
# for ever. A check has to compare with a dump that is changed on purpose as well.
set -eu

# shellcheck source=common
. "$(dirname "$0")/common"
command -v gcc >/dev/null && command -v strip >/dev/null || exit 2
unpack abigail-tools=2.2-2 libabigail0=2.2-2 libdw1=0.188-2.1 libelf1=0.188-2.1 libctf0=2.40-2 libbinutils=2.40-2
abidiff --version >/dev/null 2>&1 || { echo 'abidiff wants libxml2'; exit 2; }

cd "$dir"
for more in '' ' int more;'; do
	echo "struct s { int a;$more }; int f(struct s *s) { return s->a; }" |
		gcc -g -fPIC -shared -x c - -o "old${more:+-grown}.so"
done
mv old-grown.so new.so
strip -g -o old-stripped.so old.so
strip -g -o new-stripped.so new.so
mkdir nothing
abidw --out-file old.abi old.so

seen=$(
	abidiff --version
	while read -r arguments; do
		status=0
		# shellcheck disable=SC2086 # a list
		lines=$(abidiff $arguments 2>&1 | wc -l)
		# shellcheck disable=SC2086
		abidiff $arguments >/dev/null 2>&1 || status=$?
		echo "$arguments: status $status, $lines lines"
	done <<'END'
old.so new.so
old.so new-stripped.so
old-stripped.so new-stripped.so
--fail-no-debug-info old.so new-stripped.so
--fail-no-debug-info old-stripped.so new.so
--fail-no-debug-info old-stripped.so new-stripped.so
--fail-no-debug-info old.abi new-stripped.so
--fail-no-debug-info --d1 nothing --d2 nothing old-stripped.so new-stripped.so
END
)

expected=$(cat <<'END'
abidiff: 2.2.0
old.so new.so: status 4, 12 lines
old.so new-stripped.so: status 0, 0 lines
old-stripped.so new-stripped.so: status 0, 0 lines
--fail-no-debug-info old.so new-stripped.so: status 0, 0 lines
--fail-no-debug-info old-stripped.so new.so: status 0, 0 lines
--fail-no-debug-info old-stripped.so new-stripped.so: status 0, 0 lines
--fail-no-debug-info old.abi new-stripped.so: status 0, 0 lines
--fail-no-debug-info --d1 nothing --d2 nothing old-stripped.so new-stripped.so: status 0, 0 lines
END
)

compare "$seen" "$expected" 'no debug information, no change'
