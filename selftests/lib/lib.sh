# SPDX-License-Identifier: GPL-2.0-only
#
# For test programs in bash: namespaces, waiting, KTAP.
#
#      namespace P: the P-CSCF               namespace U: the UE
#     +-------------------------+  veth   +-------------------------+
#     | p0  192.0.2.1/24        +---------+ u0  192.0.2.2/24        |
#     |     2001:db8::1/64      |         |     2001:db8::2/64      |
#     +-------------------------+         +-------------------------+
#
# A test is a function, declared by `declare_test NAME FUNCTION`; it fails when
# a command in it does.  Options -l, -t ID, -x as for the programs in Python.

top=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd -P)
imsipsec=$top/build/user/imsipsec
names=() functions=()

declare_test() { # "ID…: TEXT" FUNCTION
	names+=("$1")
	functions+=("$2")
}

# Run a command in a namespace.
in_ns() { # NAMESPACE COMMAND…
	local ns=$1
	shift
	case ${V:-0} in '' | 0) ;; *) echo "# [$ns] $*" >&2 ;; esac
	ip netns exec "$ns" "$@"
}
P() { in_ns P "$@"; }
U() { in_ns U "$@"; }

# Wait until a command succeeds.
wait_for() { # SECONDS COMMAND…
	local end=$((SECONDS + $1))
	shift
	until "$@"; do
		if [ $SECONDS -ge $end ]; then
			echo "not in time: $*" >&2
			return 1
		fi
		sleep 0.05
	done
}

is_up() { ! P ip addr show dev p0 | grep -qE 'tentative|NO-CARRIER'; }

setup() {
	cleanup
	ip netns add P
	ip netns add U
	P ip link set lo up
	U ip link set lo up
	P ip link add p0 type veth peer name u0 netns U
	P ip addr add 192.0.2.1/24 dev p0
	P ip addr add 2001:db8::1/64 dev p0 nodad
	U ip addr add 192.0.2.2/24 dev u0
	U ip addr add 2001:db8::2/64 dev u0 nodad
	P ip link set p0 up
	U ip link set u0 up
	wait_for 20 is_up
}

cleanup() {
	local ns
	for ns in P U; do
		ip netns del "$ns" 2>/dev/null || :
	done
}

run_tests() { # OPTION…
	local -a ids=()
	local list='' stop='' i n=0 failed=0 selected=() words word id log
	while [ $# -gt 0 ]; do
		case $1 in
		-l) list=1 ;;
		-x) stop=1 ;;
		-t) ids+=("$2"); shift ;;
		*) echo "usage: $0 [-l] [-x] [-t ID]…" >&2; exit 2 ;;
		esac
		shift
	done
	for i in "${!names[@]}"; do
		[ ${#ids[@]} -gt 0 ] || { selected+=("$i"); continue; }
		read -ra words <<<"${names[i]%%:*}"
		for word in "${words[@]}"; do
			for id in "${ids[@]}"; do
				[ "$word" != "$id" ] || { selected+=("$i"); continue 3; }
			done
		done
	done
	if [ -n "$list" ]; then
		for i in "${selected[@]}"; do echo "${names[i]}"; done
		exit 0
	fi
	printf 'TAP version 13\n1..%d\n' ${#selected[@]}
	[ ${#selected[@]} -gt 0 ] || exit 0
	trap cleanup EXIT
	trap 'exit 1' HUP INT TERM
	setup
	log=$(mktemp)
	for i in "${selected[@]}"; do
		n=$((n + 1))
		# A shell of its own, so that -e holds inside
		if (set +e; (set -ex; "${functions[i]}") >"$log" 2>&1); then
			echo "ok $n ${names[i]}"
		else
			tail -n 25 "$log" | sed 's/^/# /'
			echo "not ok $n ${names[i]}"
			failed=1
			[ -z "$stop" ] || break
		fi
	done
	rm -f "$log"
	exit $failed
}
