#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# module_cli_test.sh IMSIPSEC
#
# The command against the kernel module, in a network namespace of its own. To
# be run by root where the module is or can be loaded.
set -u

if [ -z "${IN_NETNS-}" ]; then
	IN_NETNS=1 exec unshare -n "$0" "$@"
fi

imsipsec=$1
tmp=$(mktemp -d)
monitor=
trap 'rm -rf "$tmp"; kill $monitor 2>/dev/null' EXIT
. "$(dirname "$0")/cli_lib.sh"

json() {	# EXPRESSION over j, what was printed
	python3 -c 'import json, sys
j = json.load(open(sys.argv[1]))
sys.exit(not eval("(" + sys.argv[2] + ")"))' "$tmp/out" "$1"
}

says() {	# LINE of the output
	grep -qxF -- "$1" "$tmp/out"
}

wait_for() {	# COMMAND...: up to a minute
	local i

	for ((i = 0; i < 600; i++)); do
		"$@" && return
		sleep 0.1
	done
	return 1
}

if ! run 0 config; then
	cat "$tmp/err" >&2
	exit 1
fi

run 0 config set min-spi 70000 max-spi 0x200000 temporary-timeout 5m && [ ! -s "$tmp/out" ]
ok "config set"
run 0 -j config show && json 'j["min-spi"] == 70000 and j["max-spi"] == 2097152 and
	j["temporary-timeout"] == 300000 and len(j) == 22 and
	j["allowed-algorithms"] == "" and j["preferred-alg"] == j["preferred-ealg"] == "none" and
	j["disable-deprecated-algorithms"] is False and j["max-sets"] == 3 and
	j["old-timeout"] == 128000 and j["idle-timeout"] == 0 and j["mark-mask"] == 0xffffff and
	j["nat-traversal"] is False and j["nat-port"] == 4500 and j["nat-follow-address"] is False and
	j["hw-offload"] == "crypto" and j["hw-offload-interface"] == "" and
	j["hw-offload-required"] is False'
ok "config show -j"
run 0 config show && says "SPIs               70000 to 2097152" &&
	says "temporary timeout  5 min 0 s" && says "algorithms         all" &&
	says "preferred          alg none, ealg none" && says "deprecated         not disabled" &&
	says "old timeout        2 min 8 s" && says "idle timeout       none" &&
	says "mark mask          0x00ffffff" && grep -q "temporary, 3 a registration$" "$tmp/out" &&
	says "NAT traversal      off, port 4500, another address is not followed" &&
	says "offload            crypto, interface none"
ok "config show"
run 2 config set min-spi 2000000 && grep -q '^imsipsec: config set: ' "$tmp/err" &&
	[ ! -s "$tmp/out" ]
ok "config set, refused by the kernel"

run 0 -j algorithms && json '[a["rank"] for a in j] == list(range(1, 10)) and
	(j[0]["auth-alg"], j[0]["enc-alg"]) == ("null", "aes-gcm") and
	(j[8]["auth-alg"], j[8]["enc-alg"], j[8]["deprecated"]) == ("hmac-md5-96", "null", True) and
	j[0]["deprecated"] is False and all(("name" in a) == ("driver" in a) for a in j) and
	any("driver" in a for a in j)'
ok "algorithms -j"
run 0 config set preferred-alg hmac-sha-1-96 preferred-ealg aes-cbc \
	disable-deprecated-algorithms on &&
	run 0 config show && says "preferred          alg hmac-sha-1-96, ealg aes-cbc" &&
	says "deprecated         disabled" && run 0 -j config show &&
	json 'j["preferred-alg"] == "hmac-sha-1-96" and j["preferred-ealg"] == "aes-cbc" and
	j["disable-deprecated-algorithms"] is True' &&
	run 0 -j algorithms && json '[a["enc-alg"] for a in j if "rank" in a] ==
	["aes-cbc", "null", "aes-gcm", "aes-gcm", "null"]'
ok "config set, what is preferred"
run 0 config set preferred-alg none preferred-ealg none disable-deprecated-algorithms off \
	allowed-algorithms 'hmac-md5-96=null, AES-GCM' &&
	run 0 config show &&
	says "algorithms         hmac-md5-96=null,null=aes-gcm,aes-gmac=aes-gcm" &&
	says "preferred          alg none, ealg none" && run 0 -j config show &&
	json 'j["allowed-algorithms"] == "hmac-md5-96=null,null=aes-gcm,aes-gmac=aes-gcm"' &&
	run 0 algorithms && grep -qE '^1  hmac-md5-96    null          deprecated  .*  driver ' \
	"$tmp/out" && grep -qE '^-  aes-gmac       null          not allowed  ' "$tmp/out" &&
	[ "$(wc -l <"$tmp/out")" -eq 9 ]
ok "config set allowed-algorithms"
run 2 config set allowed-algorithms aes-cbc,foo && grep -q allowed-algorithms "$tmp/err" &&
	run 2 config set allowed-algorithms "$(printf '%513s' aes-cbc)"
ok "config set allowed-algorithms, refused"
run 0 config set max-sets 4 old-timeout 32s idle-timeout 10m mark-mask 0x3fffffc &&
	run 0 config show && says "old timeout        32.0 s" &&
	says "idle timeout       10 min 0 s" && says "mark mask          0x03fffffc" &&
	grep -q "temporary, 4 a registration$" "$tmp/out" &&
	run 0 config set max-sets 3 old-timeout 128s idle-timeout 0 mark-mask 0x00ffffff
ok "config set, what sets live by"
run 0 config set nat-traversal on nat-port 0x1234 nat-follow-address on &&
	run 0 config show &&
	says "NAT traversal      on, port 4660, another address is followed" &&
	run 0 config set nat-follow-address off && run 0 config show &&
	says "NAT traversal      on, port 4660, another address is not followed" &&
	run 0 -j config show && json 'j["nat-traversal"] is True and j["nat-port"] == 4660 and
	j["nat-follow-address"] is False' && run 0 config set nat-traversal off nat-port 4500
ok "config set, NAT traversal"
run 0 config set hw-offload-interface nosuch0 hw-offload packet hw-offload-required on &&
	run 0 config show && says "offload            packet, interface nosuch0, required" &&
	run 0 -j config show && json 'j["hw-offload-interface"] == "nosuch0" and
	j["hw-offload"] == "packet" and j["hw-offload-required"] is True' &&
	run 0 config set hw-offload-interface none hw-offload crypto hw-offload-required off &&
	run 0 config show && says "offload            crypto, interface none"
ok "config set, offload"

# Up, so that this is not what stands in the way
ip link set lo up
for mode in crypto packet; do
	run 0 -j offload check lo $mode && json "len(j) == 9 and
	len({(p['auth-alg'], p['enc-alg']) for p in j}) == 9 and
	all((p['interface'], p['mode'], p['reason']) == ('lo', '$mode', 'no-support') for p in j)"
	ok "offload check lo $mode -j"
done
run 0 offload check lo && [ "$(head -n 1 "$tmp/out")" = "lo: crypto offload, no driver" ] &&
	[ "$(grep -cE '^  (hmac|aes|null)[^ ]* +(null|aes|des)[^ ]* +no, no-support(: .*)?$' \
	"$tmp/out")" -eq 9 ] && [ "$(wc -l <"$tmp/out")" -eq 10 ]
ok "offload check lo"
run 2 offload check nosuch0 && [ ! -s "$tmp/out" ]
ok "offload check, no such interface"
run 2 config set mark-mask 5 && grep -q mark_mask "$tmp/err"
ok "config set mark-mask, refused"
for all in all ''; do
	run 0 config set allowed-algorithms aes-cbc && run 0 config set allowed-algorithms "$all" &&
		run 0 config show && says "algorithms         all"
	ok "config set allowed-algorithms \"$all\""
done

"$imsipsec" -j monitor >"$tmp/events" &
monitor=$!
# It listens once its socket is a member of two groups, ours and nlctrl's.
# shellcheck disable=SC2317
listening() {
	awk -v p="$monitor" '$2 == 16 && $3 == p && $4 != "00000000" { ok = 1 } END { exit !ok }' \
		/proc/net/netlink
}
wait_for listening
ok "monitor listens"

run 0 -j endpoint add address 192.0.2.1 port-ps 5063 port-pc 5062,5064 &&
	json 'j["address"] == "192.0.2.1" and j["port-ps"] == 5063 and
	j["port-pc"] == [5062, 5064] and j["bundles"] == 0 and j["guard"] == "drop" and
	not any(j["drop-" + k] for k in ("plaintext-in", "plaintext-out", "foreign-sa",
					 "cross-pair", "no-live-set"))'
ok "endpoint add -j"
id=$(python3 -c 'import json, sys; print(json.load(sys.stdin)["id"])' <"$tmp/out")
run 0 endpoint add address 2001:db8::1 port-ps 5063 port-pc 5062 &&
	grep -qE '^endpoint [0-9]+: 2001:db8::1  port-ps 5063  port-pc 5062  guard drop  0 bundles$' \
		"$tmp/out"
ok "endpoint add, IPv6"
dropped='unprotected in 0, unprotected out 0, foreign SA 0, cross pair 0, no live set 0'
for guard in drop reject bypass; do
	run 0 endpoint add address 192.0.2.2 guard $guard && says "    dropped: $dropped" &&
		grep -q "^endpoint .*: 192.0.2.2  port-ps .*  guard $guard  0 bundles\$" "$tmp/out" &&
		run 0 -j endpoint show &&
		json "sorted(e['guard'] for e in j) == sorted(['drop', 'drop', '$guard'])" &&
		run 0 endpoint del address 192.0.2.2
	ok "endpoint add, guard $guard"
done
run 0 endpoint add address 192.0.2.3 nat-traversal on nat-port 4501 &&
	grep -q '  guard drop  nat-port 4501  0 bundles$' "$tmp/out" &&
	says "    dropped: $dropped, UDP only 0" &&
	run 0 -j endpoint show && json '[(e["address"], e["nat-traversal"], e["nat-shared"],
	e["drop-udp-only"]) for e in j if e["nat-port"] == 4501] == [("192.0.2.3", True, False, 0)]'
ok "endpoint add nat-traversal on"
run 0 config set nat-traversal on && run 0 -j endpoint add address 2001:db8::3 &&
	json 'j["nat-traversal"] is True and j["nat-port"] == 4500' &&
	run 0 endpoint del address 2001:db8::3 &&
	run 0 -j endpoint add address 2001:db8::3 nat-traversal off &&
	json 'j["nat-traversal"] is False' && run 0 endpoint del address 2001:db8::3 &&
	run 0 config set nat-traversal off
ok "endpoint add, NAT traversal as the configuration says, or off all the same"
run 0 -j endpoint show id "$id" && json '(j[0]["hw-offload"], j[0]["hw-offload-interface"],
	j[0]["hw-offload-required"], j[0]["hw-offload-bundles"], j[0]["hw-offload-fallback"]) ==
	("off", "", False, 0, []) and "hw-offload-text" not in j[0]' &&
	run 0 endpoint show id "$id" && ! grep -q offload "$tmp/out"
ok "endpoint show, no interface to do ESP's work"
run 0 endpoint add address 192.0.2.4 hw-offload-interface nosuch0 hw-offload-required on &&
	grep -q '  guard drop  offload crypto nosuch0 (required)  0 bundles$' "$tmp/out" &&
	says "    offloaded: 0 bundles" && run 0 endpoint del address 192.0.2.4 &&
	run 0 endpoint add address 192.0.2.4 hw-offload software &&
	grep -q '  guard drop  offload software  0 bundles$' "$tmp/out" &&
	! grep -q offloaded "$tmp/out" && run 0 endpoint del address 192.0.2.4 &&
	run 0 endpoint add address 192.0.2.4 hw-offload-interface lo hw-offload off &&
	! grep -q offload "$tmp/out" && run 0 endpoint del address 192.0.2.4
ok "endpoint add, offload"
run 2 endpoint add address 192.0.2.1 port-ps 5063 port-pc 5066
ok "endpoint add, in use"
run 0 -j endpoint show && json 'len(j) == 3'
ok "endpoint show -j"
run 0 -j endpoint show id "$id" && json "len(j) == 1 and j[0]['id'] == $id"
ok "endpoint show id -j"
run 2 endpoint show id 4000000000 && [ ! -s "$tmp/out" ]
ok "endpoint show id, none"

key=000102030405060708090a0b0c0d0e0f
add=(bundle add endpoint "$id" contact 'sip:alice@192.0.2.5;x="y"' ue 192.0.2.5
     alg hmac-sha-1-96 ealg aes-cbc)
alice=(owner alice@example.com port-uc 6301 port-us 6300)
bob=(owner bob port-uc 6401 port-us 6400)
echo "$key $key" | "$imsipsec" -j "${add[@]}" "${alice[@]}" spi-uc 25656 \
	spi-us 3759706211 keys - >"$tmp/out" 2>"$tmp/err" &&
	json 'j["owner"] == "alice@example.com" and
	j["contact"] == "sip:alice@192.0.2.5;x=\"y\"" and j["state"] == "temporary" and
	j["spi-us"] == 3759706211 and 70000 <= j["spi-pc"] <= 2097152 and
	j["auth-alg"] == "hmac-sha-1-96" and j["enc-alg"] == "aes-cbc" and j["mode"] == "trans" and
	j["ue-address"] == "192.0.2.5" and 290000 < j["lifetime"] <= 300000 and
	not {"ik", "ck"} & set(j) and
	j["mark"] in range(4 * j["registration"], 4 * j["registration"] + 4) and
	j["offload"] in ("off", "software") and not {"offload-reason", "offload-interface"} & set(j)'
ok "bundle add -j, keys from standard input"
bundle=$(python3 -c 'import json, sys; print(json.load(sys.stdin)["id"])' <"$tmp/out")
! grep -q $key "$tmp/out"
ok "no key is printed"
ip xfrm state add src 192.0.2.1 dst 192.0.2.5 proto esp spi 0x7001 mode transport \
	auth-trunc 'hmac(md5)' 0x$key 96 enc 'ecb(cipher_null)' ''
run 2 "${add[@]}" "${bob[@]}" spi-uc 28673 spi-us 1000 ik $key ck $key &&
	grep -q 28673 "$tmp/err" && ! grep -q $key "$tmp/err"
ok "bundle add, SA exists"
run 0 bundle confirm id "$bundle" lifetime 600s &&
	run 2 "${add[@]}" owner bob port-uc 6301 port-us 6300 spi-uc 1000 spi-us 1001 ik $key ck $key &&
	grep -q alice@example.com "$tmp/err"
ok "bundle add, ports of another owner"
run 2 "${add[@]}" "${bob[@]}" spi-uc 255 spi-us 1000 ik $key ck $key && grep -q spi-uc "$tmp/err"
ok "bundle add, the attribute is named"
run 0 "${add[@]}" owner-hex ff00 port-uc 6501 port-us 6500 spi-uc 1000 spi-us 1001 port-pc 5064 ik $key ck $key &&
	grep -q ' owner 0xff00 ' "$tmp/out" &&
	grep -qE '^    endpoint [0-9]+  registration [0-9]+  mark 0x[0-9a-f]+  trans  ' "$tmp/out" &&
	says '    out  192.0.2.1:5064 -> 192.0.2.5:6500  spi 1001 (0x000003e9)'
ok "bundle add, owner in hexadecimal"
nat=$("$imsipsec" -j endpoint show | python3 -c 'import json, sys
print(next(e["id"] for e in json.load(sys.stdin) if e["address"] == "192.0.2.3"))')
natted=(bundle add endpoint "$nat" contact c port-uc 6301 port-us 6300 alg hmac-sha-1-96
	ealg aes-cbc ik "$key" ck "$key" mode udp-enc-tun)
run 0 "${natted[@]}" owner dave ue 10.0.0.5 nat 203.0.113.7 nat-port 61234 spi-uc 3000 spi-us 3001 &&
	says '    ESP in UDP to 203.0.113.7:61234' && grep -q '  udp-enc-tun  ' "$tmp/out" &&
	! grep -q 'UDP only' "$tmp/out" && run 0 -j bundle show owner dave &&
	run 0 bundle confirm lifetime 60s id "$(python3 -c 'import json, sys
print(json.load(sys.stdin)[0]["id"])' <"$tmp/out")"
ok "bundle add, mode udp-enc-tun"
run 0 -j "${natted[@]}" owner erin ue 10.0.0.5 nat 203.0.113.8 spi-uc 3000 spi-us 3001 &&
	json 'j["ue-address"] == "10.0.0.5" and j["ue-nat-address"] == "203.0.113.8" and
	j["ue-nat-port"] == 4501 and j["udp-only"] is True and j["unmarked"] is False and
	j["mode"] == "udp-enc-tun"' && run 0 bundle show owner erin &&
	grep -qE ', aes-cbc  UDP only(  offload software)?$' "$tmp/out"
ok "G7: bundle add, the same address behind another NAT"
run 0 "${natted[@]}" owner frank ue 10.0.0.6 spi-uc 4000 spi-us 4001 unmarked &&
	says '    ESP in UDP to 10.0.0.6:4501  unmarked' && run 0 -j bundle show owner frank &&
	run 0 bundle confirm lifetime 60s id "$(python3 -c 'import json, sys
print(json.load(sys.stdin)[0]["id"])' <"$tmp/out")" &&
	run 2 "${natted[@]}" owner grace ue 10.0.0.6 nat 203.0.113.9 spi-uc 5000 spi-us 5001 unmarked &&
	grep -q frank "$tmp/err"
ok "bundle add unmarked, the second at that address refused"
run 0 endpoint del address 192.0.2.3 force
ok "endpoint del, NAT traversal"
run 0 -j endpoint add address 192.0.2.4 hw-offload-interface nosuch0
offloaded=$(python3 -c 'import json, sys; print(json.load(sys.stdin)["id"])' <"$tmp/out")
henry=(bundle add endpoint "$offloaded" owner henry contact c ue 192.0.2.6 port-uc 6301
       port-us 6300 alg hmac-sha-1-96 ealg aes-cbc ik "$key" ck "$key" spi-uc 6000 spi-us 6001)
run 0 "${henry[@]}" &&
	grep -qE ', aes-cbc  offload (off|software) \(no-interface\)$' "$tmp/out" &&
	run 0 -j bundle show owner henry && json 'j[0]["offload"] in ("off", "software") and
	j[0]["offload-reason"] == "no-interface" and "offload-interface" not in j[0]'
ok "bundle add, its interface is not there"
run 0 endpoint show id "$offloaded" &&
	grep -qE '^    offloaded: 0 bundles; not offloaded: no-interface 1(; last: .*)?$' \
	"$tmp/out" && run 0 -j endpoint show id "$offloaded" &&
	json 'j[0]["hw-offload-fallback"] == [{"reason": "no-interface", "count": 1}]'
ok "endpoint show, a fallback"
run 0 endpoint del address 192.0.2.4 force
ok "endpoint del, offload"
run 2 "${add[@]}" owner carol port-uc 6601 port-us 6600 spi-uc 2000 spi-us 2001 ik $key ck $key \
	mode udp-enc-tun && grep -q nat-traversal "$tmp/err"
ok "bundle add, mode udp-enc-tun without NAT traversal"
run 2 "${add[@]}" owner carol port-uc 6601 port-us 6600 spi-uc 2000 spi-us 2001 ik $key ck $key \
	nat 203.0.113.7
ok "bundle add, a NAT in mode trans"
run 2 "${add[@]}" owner carol port-uc 6601 port-us 6600 spi-uc 2000 spi-us 2001 ik $key ck $key \
	allowed-algorithms hmac-md5-96 && grep -q hmac-sha-1-96=aes-cbc "$tmp/err"
ok "bundle add, not in its own list"
run 0 -j bundle show && json 'len(j) == 2 and j[1]["owner-hex"] == "ff00" and "owner" not in j[1]'
ok "bundle show -j"
run 0 -j bundle show owner-hex ff00 ue 192.0.2.5 endpoint "$id" state temporary &&
	json 'len(j) == 1'
ok "bundle show, filtered"
run 0 -j bundle show state old && json 'j == []'
ok "bundle show, none"
run 0 bundle confirm id "$bundle" lifetime 630s && [ ! -s "$tmp/out" ]
ok "bundle confirm"
run 0 bundle show id "$bundle" &&
	grep -qE "^bundle $bundle: established, 10 min (30|2.) s left" "$tmp/out"
ok "bundle show"
run 0 bundle extend id "$bundle" lifetime 1h && run 0 bundle show id "$bundle" &&
	grep -qE "^bundle $bundle: established, (1 h 0 min|59 min .*) left" "$tmp/out"
ok "bundle extend"
run 0 -j "${add[@]}" "${alice[@]}" spi-uc 25656 spi-us 1100 ik $key ck $key &&
	run 0 -j "${add[@]}" "${alice[@]}" spi-uc 25656 spi-us 1100 ik $key ck $key replace &&
	run 0 bundle show id "$bundle" && grep -q ': established, ' "$tmp/out" &&
	run 0 -j bundle show owner alice@example.com && json 'len(j) == 2' &&
	run 0 bundle del id "$bundle"
ok "C5: bundle add, of a UE that has lost its state"
run 0 -j bundle show owner alice@example.com && json 'len(j) == 1'
bundle=$(python3 -c 'import json, sys; print(json.load(sys.stdin)[0]["id"])' <"$tmp/out")
run 2 bundle confirm id "$bundle" lifetime 1s older keep over 4000000000
ok "bundle confirm over none"
run 0 bundle confirm id "$bundle" lifetime 1h older drop && run 0 bundle show state active &&
	grep -q "^bundle $bundle: active, " "$tmp/out"
ok "bundle confirm older drop"
run 2 bundle confirm id 4000000000 lifetime 1s
ok "bundle confirm, none"
run 0 -j bundle show id "$bundle"
read -r spi mark <<<"$(python3 -c 'import json, sys
b = json.load(sys.stdin)[0]
print(b["spi-ps"], b["mark"])' <"$tmp/out")"
found() {	# WORD...: find that bundle, with its counters
	run 0 -j bundle "$@" && json "j['id'] == $bundle and j['rx-packets'] == 0 and
		j['owner'] == 'alice@example.com' and 'tcp-only' not in j"
}
found find spi "$spi" && found find mark "$mark" &&
	found find address 192.0.2.1 local-port 5063 ue-address 192.0.2.5 ue-port 6301 &&
	run 0 bundle find spi "$spi" && grep -q "^bundle $bundle: active, " "$tmp/out"
ok "FIND: bundle find"
run 2 bundle find spi 4294967295 && [ ! -s "$tmp/out" ] &&
	run 2 bundle find mark 0 && [ ! -s "$tmp/out" ] &&
	run 2 bundle find address 192.0.2.1 local-port 5063 ue-address 192.0.2.5 ue-port 6302 &&
	[ ! -s "$tmp/out" ]
ok "FIND: bundle find, none"
found tx id "$bundle" &&
	found tx owner alice@example.com contact 'sip:alice@192.0.2.5;x="y"' &&
	found tx ue-address 192.0.2.5 ue-port 6300 &&
	found tx ue-address 192.0.2.5 ue-port 6301 address 192.0.2.1
ok "FIND: bundle tx"
run 2 bundle tx id 4000000000 && run 2 bundle tx owner alice@example.com contact c &&
	run 2 bundle tx ue-address 192.0.2.5 ue-port 6300 address 192.0.2.2
ok "FIND: bundle tx, none"
run 0 -j endpoint set id "$id" port-pc 5062,5064,5066 &&
	json "j['id'] == $id and sorted(j['port-pc']) == [5062, 5064, 5066] and j['bundles']" &&
	run 0 endpoint set address 192.0.2.1 port-ps 5063 port-pc 5064,5062 &&
	grep -qE '  port-pc (5062,5064|5064,5062)  ' "$tmp/out"
ok "PORTS: endpoint set port-pc"
run 2 endpoint set id "$id" port-pc 5066 && grep -q 'still has bundles' "$tmp/err" &&
	run 2 endpoint set id 4000000000 port-pc 5066 &&
	run 2 endpoint set address 192.0.2.99 port-pc 5066
ok "PORTS: endpoint set port-pc, refused"
run 0 -j endpoint set id "$id" trusted 10.0.0.0/24%eth1,10.1.0.0/32%lo &&
	json 'j["trusted"] == ["10.0.0.0/24%eth1", "10.1.0.0/32%lo"]' &&
	run 0 endpoint show id "$id" && grep -q '  trusted 10.0.0.0/24%eth1,10.1.0.0/32%lo  ' "$tmp/out" &&
	run 2 endpoint set id "$id" trusted 192.0.2.0/24%eth1 &&
	run 0 -j endpoint show id "$id" && json 'len(j[0]["trusted"]) == 2' &&
	run 0 -j endpoint set id "$id" trusted none && json 'j["trusted"] == []'
ok "TRUST: endpoint set trusted"
run 0 bundle del id "$bundle" linger 60s && run 0 bundle show id "$bundle" &&
	grep -q ': old, ' "$tmp/out"
ok "bundle del linger"
run 0 bundle del id "$bundle" && run 2 bundle show id "$bundle"
ok "bundle del"
run 2 endpoint del address 192.0.2.1 port-ps 5063
ok "endpoint del, busy"
run 2 endpoint del address 192.0.2.99
ok "endpoint del, none"
run 0 -j trace ue 192.0.2.5 && json '[(t["kind"], t["errno"], t["owner"], t["port-uc"], t["spi-uc"],
	t["count"]) for t in j["trace"]][:2] == [("refusal", "EEXIST", "bob", 6401, 28673, 1),
	("refusal", "EADDRINUSE", "bob", 6301, 1000, 1)] and
	all(t["ue-address"] == "192.0.2.5" and t["endpoint"] == '"$id"' and
	t["contact"] == "sip:alice@192.0.2.5;x=\"y\"" and t["text"] for t in j["trace"]) and
	[t["ago"] for t in j["trace"]] == sorted((t["ago"] for t in j["trace"]), reverse=True) and
	[b["owner-hex"] for b in j["bundles"]] == ["ff00"]'
ok "trace ue -j"
run 0 trace ue 192.0.2.5 && grep -qE "^([0-9]+ min )?[0-9]+ s ago: refused  UE 192\.0\.2\.5  ports 6301 6300  \
SPIs 1000 1001  owner bob  contact sip:alice@192\.0\.2\.5;x=\"y\"  endpoint $id\$" "$tmp/out" &&
	grep -qE "^    another subscriber has the UE's address and port \(EADDRINUSE\): .*alice@example" \
	"$tmp/out" && grep -q '^bundle .* owner 0xff00 ' "$tmp/out" &&
	says '    challenged: nothing has come from the UE over it'
ok "trace ue"
run 0 trace ue 192.0.2.77 && says 'nothing was refused or dropped' && says 'it has no bundle'
ok "trace ue, one that is unknown"
run 0 -j trace && json 'list(j) == ["trace"] and
	{"bob", "carol", "grace"} <= {t["owner"] for t in j["trace"]}'
ok "trace -j"
run 0 -j stats && json '(j["endpoints"], j["registrations"], j["bundles"], j["pending"],
	j["nat-bundles"], j["spis"], j["spis-used"]) == (2, 1, 1, 1, 0, 2097152 - 70000 + 1, 2) and
	j["created"] == 8 and j["refused"] == 5 and j["confirmed"] == 4 and j["deleted"] == 7 and
	j["expired"] == 0 and j["offload-fallbacks"] == 1 and j["nearly-full"] == 0 and
	(j["max-endpoints"], j["max-registrations"], j["max-bundles"], j["max-pending"]) ==
	(16, (1 << 22) - 1, 262144, 16384) and len(j) == 22'
ok "stats -j"
run 0 stats && says "bundles            1 of 262144, 0 of them behind NATs" &&
	says "temporary bundles  1 of 16384" && says "endpoints          2 of 16" &&
	says "registrations      1 of 4194303" && says "nearly full        0 so far" &&
	says "SPIs               2 of 2027153 in use" && says "offload            1 left to software"
ok "stats"
run 0 config set max-endpoints 2 && run 0 stats && says "endpoints          2 of 2" &&
	says "nearly full        1 so far" && run 0 config set max-endpoints 16
ok "stats: nearly full"
for i in 1 2 3; do
	run 0 "${add[@]}" owner flushed$i port-uc $((6700 + i)) port-us $((6800 + i)) \
		spi-uc $((7000 + i)) spi-us $((7100 + i)) ik $key ck $key
done
last=$("$imsipsec" -j bundle show owner flushed3 | python3 -c 'import json, sys
print(json.load(sys.stdin)[0]["id"])')
run 0 -j bundle show older-than "$last" && json "len(j) == 3 and all(b['id'] < $last for b in j)"
ok "bundle show older-than"
run 0 -j bundle flush owner flushed1 && json 'j == {"flushed": 1}' &&
	run 0 -j bundle show && json '[b.get("owner") for b in j] == [None, "flushed2", "flushed3"]'
ok "bundle flush owner -j"
run 0 bundle flush endpoint 4000000000 && says "0 bundles flushed"
ok "bundle flush, none"
run 0 bundle flush older-than "$last" endpoint "$id" ue 192.0.2.5 state temporary linger 1m &&
	says "2 bundles flushed" && run 0 -j bundle show && json '[b["state"] for b in j] ==
	["old", "old", "temporary"]'
ok "bundle flush, filtered, with linger"
run 0 -j bundle show owner flushed3 && json 'not {"last-rx", "last-tx"} & set(j[0]) and
	j[0]["rx-bad-icv"] == j[0]["rx-replayed"] == 0'
ok "bundle show, one over which nothing has come"
# An address of the namespace's own: the guard sees what goes to it over lo.
run 0 -j endpoint add address 127.0.0.1 port-ps 5063 port-pc 5062
lo=$(python3 -c 'import json, sys; print(json.load(sys.stdin)["id"])' <"$tmp/out")
python3 -c 'import socket
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.bind(("127.0.0.1", 40001))
for i in range(3):
    s.sendto(b"x", ("127.0.0.1", 5063))'
run 0 -j trace ue 127.0.0.1 && json 'len(j["trace"]) == 1 and j["bundles"] == [] and
	(lambda t: (t["kind"], t["drop"], t["source"], t["destination"], t["source-port"],
	t["destination-port"], t["protocol"], t["count"], t["endpoint"], "spi" in t))(j["trace"][0]) ==
	("drop", "plaintext-in", "127.0.0.1", "127.0.0.1", 40001, 5063, 17, 3, '"$lo"', False)'
ok "trace ue -j, a drop"
run 0 trace && grep -qE "^[0-9]+ s ago: dropped  UDP 127\.0\.0\.1:40001 -> 127\.0\.0\.1:5063  \
no SA  endpoint $lo  3 times\$" "$tmp/out" &&
	says '    it came to a protected port unprotected (plaintext-in)'
ok "trace, a drop"
run 0 endpoint del id "$lo"
ok "endpoint del id"
run 0 endpoint del address 192.0.2.1 force && run 0 endpoint delete address 2001:db8::1 &&
	run 0 -j endpoint && json 'j == []'
ok "endpoint del"

# shellcheck disable=SC2317
events_complete() {
	python3 -c 'import json, sys
events = [json.loads(line) for line in sys.stdin]
full = [(e["resource"], e["used"], e["limit"], len(e)) for e in events if e["type"] == "nearly-full"]
types = [e["type"] for e in events]
sys.exit(full != [("endpoints", 2, 2, 5)] or types != ["created", "confirmed", "created", "created", "confirmed", "created", "created", "confirmed",
		   "deleted", "deleted", "deleted", "created", "offload-fallback", "deleted", "created", "deleted", "created", "deleted",
		   "confirmed", "activated", "superseded", "deleted", "nearly-full", "created", "created", "created", "deleted",
		   "superseded", "superseded", "deleted", "deleted", "deleted"])' <"$tmp/events"
}
cp "$tmp/events" "$tmp/out"
wait_for events_complete
ok "monitor -j showed each"

echo "1..$n"
exit $failed
