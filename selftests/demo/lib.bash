# SPDX-License-Identifier: GPL-2.0-only
# What the demonstration is made of: reports, waiting, the network.
# shellcheck shell=bash disable=SC2154
# dir, round and table are demo's

# --- Reports

bold='' plain='' green='' red=''
if [ -n "${TERM:-}" ] && [ "$TERM" != dumb ] && [ -z "${NO_COLOR:-}" ]; then
	bold=$'\e[1m' plain=$'\e[0m' green=$'\e[32m' red=$'\e[31m'
fi

heading() { printf '\n%s=== %s%s\n' "$bold" "$*" "$plain"; }
step()    { printf '\n%s--- %s%s\n' "$bold" "$*" "$plain"; }
quote()   { cut -c1-150 | sed 's/\r$//; s/^/    /'; }

failed=0 checks=0
# report ok|'not ok' TEXT: print it, and keep it for the table
report() {
	local mark="$green✓$plain"
	checks=$((checks + 1))
	if [ "$1" != ok ]; then
		mark="$red✗$plain"
		failed=$((failed + 1))
	fi
	printf '  %s %s\n' "$mark" "$2" | tee -a "$table"
}

# check TEXT COMMAND…
check() {
	local text=$1
	shift
	if "$@"; then report ok "$text"; else report 'not ok' "$text"; fi
}

table_heading() { printf '%s%s%s\n' "$bold" "$*" "$plain" >>"$table"; }

finish() {
	heading "Checks"
	cat "$table"
	if [ $failed = 0 ]; then
		printf '\n%sdemo: all %d checks passed%s\n' "$bold" $checks "$plain"
	else
		printf '\n%sdemo: %d of %d checks FAILED%s\n' "$bold" $failed $checks "$plain"
		exit 1
	fi
}

# die TEXT: what cannot be gone on from
die() {
	report 'not ok' "$*"
	local log
	for log in "$dir"/*.log "$dir"/*.err "$round"/*.err "$round"/*.errors; do
		[ -s "$log" ] || continue
		echo "${log##*/}:"
		tail -n 20 "$log" | quote
	done
	finish
}

# --- Waiting

# wait_for TEXT COMMAND…: until it succeeds, or fail
wait_for() {
	local text=$1 deadline=$((SECONDS + 60))
	shift
	until "$@"; do
		[ $SECONDS -lt $deadline ] || die "$text: not within 60 s"
		sleep 0.1
	done
}

# --- The network: P is the P-CSCF's namespace, U the UE's

P() { ip netns exec demo-p "$@"; }
U() { ip netns exec demo-u "$@"; }

network_up() {
	ip netns add demo-p
	ip netns add demo-u
	ip link add eth0 netns demo-p type veth peer name eth0 netns demo-u
	local side address
	for side in p:1 u:2; do
		ip -n "demo-${side%:*}" link set lo up
		ip -n "demo-${side%:*}" link set eth0 up
		for address in 192.0.2.${side#*:}/24 2001:db8::${side#*:}/64; do
			# shellcheck disable=SC2046
			ip -n "demo-${side%:*}" address add "$address" dev eth0 \
				$([[ $address == *:* ]] && echo nodad)
		done
	done
}

# start LOG NAMESPACE COMMAND…: in the background, $started is its number
start() {
	local log=$1 namespace=$2
	shift 2
	ip netns exec "$namespace" "$@" </dev/null 2>"$log" &
	started=$!
	all_started+=("$started")
}

stop() {
	kill "$1" 2>/dev/null
	wait "$1" 2>/dev/null
}

# cleanup: end what was started, by its number, and delete what was made
cleanup() {
	local pid
	for pid in "${all_started[@]}"; do
		stop "$pid"
	done
	ip netns del demo-p 2>/dev/null
	ip netns del demo-u 2>/dev/null
	rm -rf "$dir"
}

sa_count()   { P ip xfrm state | grep -c '^src'; }
sas_gone()   { [ "$(sa_count)" = 0 ]; }
log_has()    { grep -qF -- "$2" "$1"; }
socket_at()  { [ -n "$(U ss -Hlun "src $1")" ]; }

# dropped: plaintext that the guard of the endpoint at address $1 dropped
dropped() {
	P "$imsipsec" -j endpoint show | /usr/bin/python3 -c '
import json, sys
print(sum(e["drop-plaintext-in"] for e in json.load(sys.stdin) if e["address"] == sys.argv[1]))' "$1"
}
