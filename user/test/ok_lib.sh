# SPDX-License-Identifier: LGPL-2.1-or-later
#
# What tests in shell have in common that run commands. A test sources this file, has each result by ok,
# and ends with ok_end. $id is written before each name.
# shellcheck shell=sh disable=SC2034
id=
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
n=0 failed=0

ok() {		# NAME COMMAND...
	name=$1
	shift
	n=$((n + 1))
	if "$@" >"$tmp/log" 2>&1; then
		echo "ok $n - $id$name"
	else
		echo "not ok $n - $id$name"
		sed 's/^/# /' "$tmp/log"
		failed=1
	fi
}

ok_end() {
	echo "1..$n"
	exit $failed
}
