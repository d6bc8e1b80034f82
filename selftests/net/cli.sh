#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# The command imsipsec against the module: what it is told, and what it shows.
. "$(dirname "${BASH_SOURCE[0]}")/../lib/lib.sh"

ik=e1763cf28cc2e584588800193137ec92
ck=d53c02758b376066fad0af7daa6df765

# The value of a member in compact JSON, the first of that name.
member() { # NAME
	grep -oE "\"$1\": ?(\"[^\"]*\"|\[[^]]*\]|[0-9]+)" | head -n 1 | sed 's/^[^:]*: *//; s/^"//; s/"$//'
}

fails_with() { # STATUS TEXT COMMAND…
	local want=$1 text=$2 out status=0
	shift 2
	out=$("$@" 2>&1) || status=$?
	echo "$out"
	[ "$status" = "$want" ] && grep -q -- "$text" <<<"$out"
}

empty() {
	local id
	for id in $(P "$imsipsec" -j endpoint show | grep -oE '"id": ?[0-9]+' | grep -oE '[0-9]+'); do
		P "$imsipsec" endpoint del id "$id" force
	done
	[ "$(P ip xfrm state)" = '' ]
	[ "$(P ip xfrm policy)" = '' ]
}

add_bundle() { # ENDPOINT UE-ADDRESS
	P "$imsipsec" -j bundle add endpoint "$1" owner user@example contact sip:user@example \
		ue "$2" port-uc 8034 port-us 8904 spi-uc 1028536224 spi-us 455113919 \
		alg hmac-sha-1-96 ealg aes-cbc ik $ik ck $ck
}

life() {
	local ep id out address=$1 ue=$2
	empty
	out=$(P "$imsipsec" -j endpoint add address "$address" port-ps 7777 port-pc 7807,7808)
	ep=$(member id <<<"$out")
	[ "$(member address <<<"$out")" = "$address" ]
	[ "$(member port-ps <<<"$out")" = 7777 ]
	[ "$(member port-pc <<<"$out" | tr -d ' ')" = '[7807,7808]' ]
	[ "$(P ip xfrm policy | grep -c '^src')" = 6 ]

	out=$(add_bundle "$ep" "$ue")
	id=$(member id <<<"$out")
	[ "$(member state <<<"$out")" = temporary ]
	[ "$(member spi-uc <<<"$out")" = 1028536224 ]
	P ip xfrm state | grep -q "spi 0x$(printf %08x "$(member spi-ps <<<"$out")")"
	P ip xfrm state | grep -q "spi 0x$(printf %08x "$(member spi-pc <<<"$out")")"
	! grep -qE "$ik|$ck" <<<"$out"
	fails_with 1 'has 1 bundle' P "$imsipsec" endpoint del id "$ep"
	fails_with 1 'exists already' add_bundle "$ep" "$ue"

	P "$imsipsec" bundle confirm id "$id" lifetime 630
	out=$(P "$imsipsec" -j bundle show id "$id")
	[ "$(member state <<<"$out")" = established ]
	[ "$(member lifetime <<<"$out")" -gt 500000 ]
	[ "$(P "$imsipsec" -j bundle show ue "$ue" state established | grep -o '"spi-uc"' | wc -l)" = 1 ]
	[ "$(P "$imsipsec" -j bundle show owner nobody | grep -c '"spi-uc"')" = 0 ]
	P "$imsipsec" bundle show | grep -q "$ue"

	P "$imsipsec" bundle del id "$id" linger 60
	[ "$(P "$imsipsec" -j bundle show id "$id" | member state)" = old ]
	P "$imsipsec" bundle del id "$id"
	fails_with 1 . P "$imsipsec" bundle show id "$id"
	[ "$(P ip xfrm state)" = '' ]
	P "$imsipsec" endpoint del id "$ep"
	[ "$(P ip xfrm policy)" = '' ]
}
life4() { life 192.0.2.1 192.0.2.2; }
life6() { life 2001:db8::1 2001:db8::2; }
declare_test 'CLI: endpoint and bundle, from add to del, IPv4' life4
declare_test 'CLI: endpoint and bundle, from add to del, IPv6' life6

config() {
	local before
	empty
	before=$(P "$imsipsec" -j config show)
	[ "$(member min-spi <<<"$before")" = 65536 ]
	P "$imsipsec" config set min-spi 1000 max-spi 1999 temporary-timeout 5
	[ "$(P "$imsipsec" -j config show | member max-spi)" = 1999 ]
	[ "$(P "$imsipsec" -j config show | member temporary-timeout)" = 5000 ]
	fails_with 1 . P "$imsipsec" config set min-spi 3000
	[ "$(P "$imsipsec" -j config show | member min-spi)" = 1000 ]
	P "$imsipsec" config set min-spi 65536 max-spi 262144 temporary-timeout 30
	[ "$(P "$imsipsec" -j config show)" = "$before" ]
}
declare_test 'CLI: config is set, all or nothing, and shown' config

monitor() {
	local ep id log pid
	empty
	log=$(mktemp)
	P "$imsipsec" -j monitor >"$log" &
	pid=$!
	ep=$(P "$imsipsec" -j endpoint add address 192.0.2.1 port-ps 7777 port-pc 7807 | member id)
	# It listens once it has seen one
	seen() { id=$(add_bundle "$ep" 192.0.2.2 | member id); P "$imsipsec" bundle del id "$id"; grep -q deleted "$log"; }
	wait_for 20 seen
	id=$(add_bundle "$ep" 192.0.2.2 | member id)
	P "$imsipsec" bundle confirm id "$id" lifetime 600
	P "$imsipsec" endpoint del id "$ep" force
	wait_for 20 grep -qE '"reason": ?"endpoint"' "$log"
	kill $pid
	wait $pid || :
	for word in created confirmed deleted; do
		grep -qE "\"type\": ?\"$word\"" "$log"
	done
	grep -qE '"seq": ?[0-9]+' "$log"
	! grep -qE "$ik|$ck" "$log"
	rm "$log"
}
declare_test 'CLI EVENT: monitor shows what happens' monitor

run_tests "$@"
