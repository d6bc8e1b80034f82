# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash disable=SC2034,SC2154
# What tests of the command share. Whoever sources it sets imsipsec, the command,
# and tmp, a folder of its own, and at the end looks at n and failed.

n=0 failed=0

ok() {		# NAME, after a test
	local status=$?

	n=$((n + 1))
	if [ $status -eq 0 ]; then
		echo "ok $n - $1"
	else
		echo "not ok $n - $1"
		sed 's/^/# /' "$tmp/out" "$tmp/err"
		failed=1
	fi
}

run() {		# STATUS WORD...
	local want=$1
	shift
	"$imsipsec" "$@" >"$tmp/out" 2>"$tmp/err" </dev/null
	[ $? -eq "$want" ]
}
