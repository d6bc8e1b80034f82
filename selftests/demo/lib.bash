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

# --- The network: P is the P-CSCF's namespace, U the UE's, N that of a NAT
#
#    demo-p eth0 192.0.2.1 ------ 192.0.2.2 eth0 demo-u
#           eth1 203.0.113.1 ---- 203.0.113.7 eth0 demo-n eth1 10.0.0.1 ---- 10.0.0.2 eth0 demo-h
#           eth2 198.51.100.1 --- 198.51.100.2 eth0 demo-c, the home network

P() { ip netns exec demo-p "$@"; }
U() { ip netns exec "$phone" "$@"; }
N() { ip netns exec demo-n "$@"; }

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

# What Kamailio sends to
home_up() {
	ip netns add demo-c
	ip link add eth2 netns demo-p type veth peer name eth0 netns demo-c
	ip -n demo-c link set lo up
	ip -n demo-p link set eth2 up
	ip -n demo-c link set eth0 up
	ip -n demo-p address add 198.51.100.1/24 dev eth2
	ip -n demo-c address add 198.51.100.2/24 dev eth0
	ip -n demo-c route add default via 198.51.100.1
}

# A NAT, and behind it a home
nat_up() {
	ip netns add demo-n
	ip netns add demo-h
	ip link add eth1 netns demo-p type veth peer name eth0 netns demo-n
	ip link add eth1 netns demo-n type veth peer name eth0 netns demo-h
	local at
	for at in p:eth1:203.0.113.1 n:eth0:203.0.113.7 n:eth1:10.0.0.1 h:eth0:10.0.0.2; do
		IFS=: read -r side device address <<<"$at"
		ip -n "demo-$side" link set lo up
		ip -n "demo-$side" link set "$device" up
		ip -n "demo-$side" address add "$address/24" dev "$device"
	done
	# Into the tunnels, too
	ip -n demo-p route add default via 203.0.113.7
	ip -n demo-n route add default via 203.0.113.1
	ip -n demo-h route add default via 10.0.0.1
	N sysctl -q net.ipv4.ip_forward=1
}

# nat_to FIRST-LAST: have the NAT forget all ports, and give others, of these
nat_to() {
	N nft -f - <<-EOF || return 1
		table ip nat
		delete table ip nat
		table ip nat {
			chain postrouting {
				type nat hook postrouting priority srcnat
				oifname eth0 meta l4proto { tcp, udp } masquerade to :$1
			}
		}
	EOF
	# A slow machine is no reason to forget more
	N sysctl -q net.netfilter.nf_conntrack_udp_timeout{,_stream}=600
	N conntrack -F 2>/dev/null
}

# nat_port: what the NAT has made of the UE's port 4500
nat_port() { N conntrack -L -p udp --orig-port-dst 4500 2>/dev/null | sed -n 's/.* dport=\([0-9]*\).*/\1/p'; }

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
	local namespace
	for namespace in demo-p demo-u demo-n demo-h demo-c; do
		ip netns del "$namespace" 2>/dev/null
	done
	rm -rf "$dir"
}

sa_count()   { P ip xfrm state | grep -c '^src'; }
sas_gone()   { [ "$(sa_count)" = 0 ]; }
log_has()    { grep -qF -- "$2" "$1"; }
listens()    { [ -n "$(P ss -Hltn "sport = :$1")" ]; }
socket_at()  { [ -n "$(U ss -Hlun "src $1")" ]; }

# dropped: plaintext that the guard of the endpoint at address $1 dropped
dropped() {
	P "$imsipsec" -j endpoint show | /usr/bin/python3 -c '
import json, sys
print(sum(e["drop-plaintext-in"] for e in json.load(sys.stdin) if e["address"] == sys.argv[1]))' "$1"
}
