#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# cli_test.sh IMSIPSEC
#
# The command line, as far as no kernel module is needed: the command runs in
# a network namespace of its own where there is none, or fails to get there.
set -u

imsipsec=$1
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
. "$(dirname "$0")/cli_lib.sh"

refused() {	# TEXT WORD...: status 1, nothing on standard output, the text on standard error
	local text=$1 said
	shift
	run 1 "$@"
	local status=$?
	said=$(cat "$tmp/err")
	# What is valid, or wanted, stands behind: some are compared below
	case $text in
	*"is not valid") [[ $said == *"$text; valid: "?* ]] && said=${said%%; valid: *} ;;
	*"is unknown") [[ $said == *"$text; wanted: "?* ]] && said=${said%%; wanted: *} ;;
	esac && [ $status -eq 0 ] && [ ! -s "$tmp/out" ] && [ "$said" = "imsipsec: $text" ]
	ok "CLI: refused: $text"
}

printed() {	# TEXT: on standard output
	[ "$(cat "$tmp/out")" = "$1" ]
}

run 1 && grep -q '^Usage: ' "$tmp/err" && [ ! -s "$tmp/out" ]
ok "without a command: usage on standard error"
for words in help -h --help "help bundle" "help bundle add" "bundle help add" "help trace" "help endpoint show" "endpoint help" "bundle help" "config help" "endpoint add help" \
	     "endpoint del help" "endpoint show help" "bundle add help" "bundle confirm help" \
	     "bundle extend help" "bundle del help" "bundle flush help" "bundle show help" "config show help" "config set help" \
	     "algorithms help" "offload help" "offload check help" "stats help" "capture help" "trace help" "monitor help" "version help" "bundle --help" \
	     "endpoint replace help" "endpoint set help" "bundle find help" "bundle tx help" "check help" "batch help"; do
	# shellcheck disable=SC2086
	run 0 $words && grep -q '^Usage: imsipsec' "$tmp/out" && [ ! -s "$tmp/err" ]
	ok "help: $words"
done

for words in bundle "bundle add" trace; do
	# shellcheck disable=SC2086
	run 0 $words help && cp "$tmp/out" "$tmp/help" && run 0 help $words && cmp -s "$tmp/out" "$tmp/help"
	ok "CLI: help $words: as $words help"
done
refused '"foo" is unknown' help foo
refused 'bundle: "foo" is unknown' help bundle foo
refused 'bundle add: "foo" is unknown; wanted: no more words' help bundle add foo
run 0 bundle add help && grep -q allowed-algorithms "$tmp/out" && ! grep -q replace "$tmp/out"
ok "help: bundle add does not name replace, which has no effect"

run 0 version && grep -qE '^imsipsec [0-9.]+$' "$tmp/out"; ok "version"
run 0 -V && grep -qE '^imsipsec [0-9.]+$' "$tmp/out"; ok "-V"
run 0 -j version && python3 -c 'import json, sys; json.load(sys.stdin)["version"]' <"$tmp/out"
ok "-j version"
run 0 -jp version && [ "$(wc -l <"$tmp/out")" -eq 3 ]; ok "-jp version"
run 0 ver; ok "a command by its beginning"
run 1 -x; ok "an option that is unknown"

refused '"foo" is unknown' foo
refused 'bundle: "foo" is unknown' bundle foo
refused 'endpoint add: "foo" is unknown' endpoint add foo
refused 'endpoint add: "address" is missing' endpoint add
refused 'endpoint add: "address" needs a value' endpoint add address
refused 'endpoint add: "address" is there twice' endpoint add address 192.0.2.1 address 192.0.2.1
refused 'endpoint add: the value of "address" is not valid' endpoint add address 192.0.2
for port in 0 65536 -1 x '' 5062x ' 5062' 0x 1.5 0x0x10 0X0x10 0x+10 '0x 10' a0 0xg; do
	refused 'endpoint add: the value of "port-ps" is not valid' \
		endpoint add address 192.0.2.1 port-ps "$port"
done
for ports in "," "5062," ",5062" 5062,,5064 5062,0 5062,65536 5062:5064; do
	refused 'endpoint add: the value of "port-pc" is not valid' \
		endpoint add address 192.0.2.1 port-pc "$ports"
done
refused 'endpoint add: the value of "port-pc" is not valid' \
	endpoint add address 192.0.2.1 port-pc "$(seq -s, 6001 6065)"
refused 'endpoint add: "guard" needs a value' endpoint add address 192.0.2.1 guard
for guard in '' DROP dropped open 1; do
	refused 'endpoint add: the value of "guard" is not valid' \
		endpoint add address 192.0.2.1 guard "$guard"
done
refused 'endpoint replace: "address" is missing' endpoint replace force
refused 'endpoint set: either "id" or "address" says which' endpoint set trusted none
refused 'endpoint set: either "id" or "address" says which' endpoint set id 1 address 192.0.2.1 trusted none
refused 'endpoint set: either "id" or "address" says which' endpoint set id 1 port-ps 5063 trusted none
refused 'endpoint set: either "port-pc" or "trusted" says what' endpoint set id 1
refused 'endpoint set: either "port-pc" or "trusted" says what' endpoint set id 1 port-pc 5062 trusted none
refused 'endpoint set: the value of "port-pc" is not valid' endpoint set id 1 port-pc 5062,
for trusted in '' ',' '10.0.0.0/24%eth1,' 'none,10.0.0.0/24%eth1'; do
	refused 'endpoint set: the value of "trusted" is not valid' endpoint set id 1 trusted "$trusted"
done
refused 'endpoint set: "guard" is unknown' endpoint set id 1 guard drop
refused 'endpoint add: "force" is unknown' endpoint add address 192.0.2.1 force
for ues in '' 0 -1 many 4294967296; do
	refused 'check: the value of "ues" is not valid' check ues "$ues"
done
refused 'check: "foo" is unknown' check foo
for name in nat-traversal nat-shared; do
	for value in '' yes 1 ON default; do
		refused "endpoint add: the value of \"$name\" is not valid" \
			endpoint add address 192.0.2.1 $name "$value"
	done
done
for port in '' 0 65536 4500,4501; do
	refused 'endpoint add: the value of "nat-port" is not valid' \
		endpoint add address 192.0.2.1 nat-port "$port"
done
for command in "endpoint add address 192.0.2.1" "config set"; do
	name=${command%% address*}
	for value in '' enp129s0f1np1234 "$(printf '%16s' x)"; do
		# shellcheck disable=SC2086
		refused "$name: the value of \"hw-offload-interface\" is not valid" \
			$command hw-offload-interface "$value"
	done
	for value in '' on none CRYPTO 3 hardware; do
		# shellcheck disable=SC2086
		refused "$name: the value of \"hw-offload\" is not valid" \
			$command hw-offload "$value"
	done
	for value in '' yes 1 ON; do
		# shellcheck disable=SC2086
		refused "$name: the value of \"hw-offload-required\" is not valid" \
			$command hw-offload-required "$value"
	done
done
refused 'endpoint del: either "id" or "address" says which' endpoint del
refused 'endpoint del: either "id" or "address" says which' endpoint del id 1 address 192.0.2.1
refused 'endpoint del: either "id" or "address" says which' endpoint del id 1 port-ps 5063
refused 'config set: nothing to set, try "help"' config set
for name in preferred-alg preferred-ealg disable-deprecated-algorithms; do
	for value in '' any 0 aes NULL yes; do
		refused "config set: the value of \"$name\" is not valid" config set $name "$value"
	done
done
for mask in '' x -1 4294967296 0x 0x0xff 0x-1; do
	refused 'config set: the value of "mark-mask" is not valid' config set mark-mask "$mask"
done
for name in nat-traversal nat-follow-address; do
	for value in '' yes 1 ON; do
		refused "config set: the value of \"$name\" is not valid" config set $name "$value"
	done
done
for port in '' 0 65536 x; do
	refused 'config set: the value of "nat-port" is not valid' config set nat-port "$port"
done
refused 'config set: "nat-port" is there twice' config set nat-port 4500 nat-port 4501
refused 'algorithms: "show" is unknown' algorithms show
run 1 offload && grep -q '^Usage: imsipsec .* offload COMMAND' "$tmp/err" && [ ! -s "$tmp/out" ]
ok "offload without a command: usage on standard error"
refused 'offload: "show" is unknown' offload show
refused 'offload check: the name of an interface is missing' offload check
for name in '' enp129s0f1np1234; do
	refused 'offload check: the name of an interface has 1 to 15 bytes' offload check "$name"
done
for mode in '' off software CRYPTO 3; do
	refused "offload check: \"$mode\" is unknown" offload check lo "$mode"
done
refused 'offload check: "packet" is unknown' offload check lo crypto packet
for time in x 5x '' -1s 4294967296s ' 5s' 1.5s ms 5 600 30s1h 1h30 1h1h 5sm 5mss 1d1d 1hms 1h-1s; do
	refused 'bundle confirm: the value of "lifetime" is not valid' \
		bundle confirm id 1 lifetime "$time"
done
refused 'bundle confirm: "lifetime" is missing' bundle confirm id 1
for older in '' KEEP none 1; do
	refused 'bundle confirm: the value of "older" is not valid' \
		bundle confirm id 1 lifetime 1s older "$older"
done
refused 'bundle confirm: the value of "over" is not valid' bundle confirm id 1 lifetime 1s over x
refused 'bundle extend: "lifetime" is missing' bundle extend id 1
refused 'bundle extend: "over" is unknown' bundle extend id 1 lifetime 1s over 2
refused 'bundle show: "id" stands alone' bundle show id 1 owner a
refused 'bundle show: the value of "state" is not valid' bundle show state dead
refused 'bundle show: "owner" and "owner-hex" exclude each other' bundle show owner a owner-hex 61
refused 'bundle show: the value of "owner-hex" is not valid' bundle show owner-hex 616
refused 'bundle show: an owner has at most 128 bytes' bundle show owner "$(printf '%129d' 1)"
which='either addresses and ports, or "spi", or "mark" say which'
refused "bundle find: $which" bundle find
refused "bundle find: $which" bundle find spi 1 mark 1
refused "bundle find: $which" \
	bundle find address ::1 local-port 5063 ue-address ::2 ue-port 1 spi 1
refused 'bundle find: "address" is missing' bundle find ue-address 192.0.2.5
refused 'bundle find: "ue-port" is missing' \
	bundle find address ::1 local-port 5063 ue-address ::2
for word in spi mark; do
	for value in '' x -1 4294967296; do
		refused "bundle find: the value of \"$word\" is not valid" bundle find $word "$value"
	done
done
refused 'bundle find: the value of "ue-port" is not valid' bundle find ue-port 0
which='either "id", or "owner" and "contact", or the UE'"'s address and port say which"
refused "bundle tx: $which" bundle tx
refused "bundle tx: $which" bundle tx id 1 owner a contact b
refused "bundle tx: $which" bundle tx id 1 address 192.0.2.1
refused 'bundle tx: "contact" is missing' bundle tx owner a
refused 'bundle tx: "owner" is missing' bundle tx contact-hex 61
refused 'bundle tx: "owner" and "owner-hex" exclude each other' \
	bundle tx owner a owner-hex 61 contact b
refused 'bundle tx: "ue-port" is missing' bundle tx ue-address 192.0.2.5
for command in flush show; do
	for id in '' 0 x -1 4294967296; do
		for name in endpoint older-than; do
			refused "bundle $command: the value of \"$name\" is not valid" \
				bundle $command $name "$id"
		done
	done
	refused "bundle $command: \"ue\" and \"ue-address\" exclude each other" \
		bundle $command ue 192.0.2.5 ue-address 192.0.2.5
done
refused 'bundle flush: which ones? "all" is all of them' bundle flush
refused 'bundle flush: which ones? "all" is all of them' bundle flush linger 5s
for words in "endpoint 1" "owner a" "owner-hex 61" "contact c" "ue 192.0.2.5" "state old" \
	     "older-than 7"; do
	# shellcheck disable=SC2086
	refused 'bundle flush: "all" stands alone' bundle flush all $words
done
refused 'bundle flush: an owner has at most 128 bytes' bundle flush owner "$(printf '%129d' 1)"
refused 'bundle flush: the value of "owner" is not valid' bundle flush owner ''
refused 'bundle flush: the value of "contact" is not valid' bundle flush contact ''
refused 'bundle flush: "id" is unknown' bundle flush id 1
refused 'bundle flush: the value of "linger" is not valid' bundle flush all linger x
refused 'stats: "show" is unknown' stats show
refused 'stats: "--openmetrics" and "--prometheus" exclude each other' stats --openmetrics --prometheus
for words in "netns a" "file $tmp/x"; do
	# shellcheck disable=SC2086
	refused 'stats: "netns" and "file" are for "--openmetrics" or "--prometheus"' stats $words
done
refused 'capture: "ue" is missing' capture -w "$tmp/x"
refused 'capture: "-w" is missing' capture ue 192.0.2.5
refused 'capture: the value of "ue" is not valid; valid: an IPv4 or IPv6 address' capture ue ue.example -w "$tmp/x"
refused 'capture: "192.0.2.5" is unknown; wanted: "ue 192.0.2.5"' capture 192.0.2.5
refused 'trace: "192.0.2.5" is unknown' trace 192.0.2.5
refused 'trace: "192.0.2.5" is unknown; wanted: "ue 192.0.2.5"' trace 192.0.2.5
refused 'bundle show: "7" is unknown; wanted: "endpoint 7", "older-than 7", "id 7"' bundle show 7
refused 'endpoint set: "port" is unknown; wanted: "address", "port-ps", "port-pc", "trusted"' endpoint set id 1 port 5
refused 'bundle: "foo" is unknown; wanted: add, confirm, extend, del, flush, show, find, tx, help' bundle foo
refused 'algorithms: "show" is unknown; wanted: no more words' algorithms show
refused 'offload check: "off" is unknown; wanted: crypto, packet' offload check lo off
value='is not valid; valid'
refused "endpoint add: the value of \"guard\" $value: drop, reject, bypass" endpoint add guard open
refused "bundle add: the value of \"alg\" $value: hmac-md5-96, hmac-sha-1-96, aes-gmac, null" bundle add alg md5
refused "config set: the value of \"preferred-ealg\" $value: none, null, aes-cbc, des-ede3-cbc, aes-gcm" \
	config set preferred-ealg aes
refused "bundle show: the value of \"state\" $value: temporary, established, active, old" bundle show state dead
refused "endpoint add: the value of \"hw-offload\" $value: off, software, crypto, packet" endpoint add hw-offload on
refused "endpoint add: the value of \"nat-shared\" $value: on, off" endpoint add nat-shared yes
refused "endpoint add: the value of \"port-ps\" $value: 1 to 65535" endpoint add port-ps 0
refused "check: the value of \"ues\" $value: 1 to 4294967295" check ues 0
refused "bundle confirm: the value of \"over\" $value: 0 to 4294967295, decimal or hexadecimal behind 0x" \
	bundle confirm over x
refused "config set: the value of \"old-timeout\" $value: a number with its unit, ms, s, m, h or d: 500ms, 30s, 1h30m, 30d" \
	config set old-timeout 128
refused 'trace: the value of "ue" is not valid' trace ue ue.example
refused 'trace: "ue" needs a value' trace ue

key=000102030405060708090a0b0c0d0e0f
add=(bundle add endpoint 1 owner o contact c ue 192.0.2.5 port-uc 6301 port-us 6300 spi-uc 25656
     spi-us 0x6439 alg hmac-sha-1-96 ealg aes-cbc)
refused 'bundle add: "ik" is missing' "${add[@]}"
refused 'bundle add: "ck" is missing' "${add[@]}" ik $key
echo $key $key >"$tmp/keys"
refused 'bundle add: "ik" and "keys" exclude each other' "${add[@]}" ik $key keys "$tmp/keys"
refused 'bundle add: the value of "ik" is not valid' "${add[@]}" ik ${key}0
refused 'bundle add: the value of "ik" is not valid' "${add[@]}" ik "${key%0f}0g"
refused 'bundle add: the value of "ik" is not valid' "${add[@]}" ik "${key%0f}"
refused "bundle add: $tmp/none: No such file or directory" "${add[@]}" keys "$tmp/none"
echo $key >"$tmp/keys"
refused 'bundle add: the value of "keys" is not valid' "${add[@]}" keys "$tmp/keys"
echo $key $key $key >"$tmp/keys"
refused 'bundle add: the value of "keys" is not valid' "${add[@]}" keys "$tmp/keys"
refused 'bundle add: the value of "alg" is not valid' bundle add alg hmac-sha-256
for mode in '' tun UDP-enc-tun 2; do
	refused 'bundle add: the value of "mode" is not valid' "${add[@]}" mode "$mode"
done
for address in '' ue.example 10.0.0 10.0.0.5:4500 none; do
	refused 'bundle add: the value of "nat" is not valid' \
		"${add[@]}" mode udp-enc-tun nat "$address"
done
refused 'bundle add: the value of "nat-port" is not valid' \
	"${add[@]}" mode udp-enc-tun nat 203.0.113.7 nat-port 0
refused 'bundle add: "unmarked" is there twice' "${add[@]}" mode udp-enc-tun unmarked unmarked

# From here on the command line is right, and the kernel is asked, where
# there is no module.
if [ ! -e /sys/module/ims_ipsec ]; then
	echo $key $key >"$tmp/keys"
	run 2 "${add[@]}" keys "$tmp/keys" &&
		grep -q '^imsipsec: bundle add: ' "$tmp/err" && [ ! -s "$tmp/out" ]
	ok "status 2 without the module"
	run 2 stats && grep -q '^imsipsec: stats: the kernel module ims_ipsec is not loaded; cure: .*modprobe ims_ipsec' "$tmp/err"
	ok "CLI: what to do is said where the module is not loaded"
	for time in 0 500ms 30s 1m 24h 30d 1h30m 1d1h1m1s1ms; do
		run 2 config set idle-timeout $time && ! grep -q 'not valid' "$tmp/err"
		ok "CLI: a time: $time"
	done
	for guard in drop reject bypass; do
		run 2 endpoint add address 192.0.2.1 guard $guard
		ok "guard $guard is taken, status 2 without the module"
	done
	for words in "nat-traversal on" "nat-traversal off nat-port 4501 nat-shared on" \
		     "hw-offload-interface enp129s0f1np123 hw-offload packet hw-offload-required on" \
		     "hw-offload-interface none hw-offload software hw-offload-required off"; do
		# shellcheck disable=SC2086
		run 2 endpoint add address 192.0.2.1 $words
		ok "$words is taken, status 2 without the module"
	done
	for words in "mode trans" "mode udp-enc-tun" "mode udp-enc-tun nat 203.0.113.7" \
		     "mode udp-enc-tun nat 2001:db8::7 nat-port 0xf000 unmarked"; do
		# shellcheck disable=SC2086
		run 2 "${add[@]}" $words keys "$tmp/keys"
		ok "$words is taken, status 2 without the module"
	done
	for words in "preferred-alg null" "preferred-alg none" "preferred-ealg none" \
		     "preferred-ealg aes-gcm" "disable-deprecated-algorithms off" \
		     "allowed-algorithms all" "max-sets 4 old-timeout 32s idle-timeout 0" \
		     "mark-mask 0xffffff00" \
		     "nat-traversal on nat-port 4500 nat-follow-address off" \
		     "hw-offload-interface eth0 hw-offload crypto hw-offload-required on" \
		     "hw-offload-interface none hw-offload off hw-offload-required off"; do
		# shellcheck disable=SC2086
		run 2 config set $words
		ok "$words is taken, status 2 without the module"
	done
	run 2 "${add[@]}" replace keys "$tmp/keys" &&
		run 2 bundle confirm id 1 lifetime 1s older drop over 2 &&
		run 2 bundle extend id 1 lifetime 1s
	ok "replace, older, over and extend are taken, status 2 without the module"
	for words in enp129s0f1np123 "lo crypto" "lo packet"; do
		# shellcheck disable=SC2086
		run 2 offload check $words
		ok "offload check $words is taken, status 2 without the module"
	done
	run 2 check && grep -q '^fault    module: .*; cure: .*modprobe ims_ipsec' "$tmp/out" &&
		grep -q '^warning  left-out: .* were not made: endpoints, address, .*, marks; cure: ' "$tmp/out" &&
		[ ! -s "$tmp/err" ] && run 2 -j check ues 100 && python3 -c 'import json, sys
j = json.load(sys.stdin)
sys.exit([f["check"] for f in j if f["level"] == "fault"] != ["module"] or
	 any(("cure" in f) == (f["level"] == "ok") for f in j))' <"$tmp/out"
	ok "check without the module"
	run 2 endpoint replace address 192.0.2.1 force
	ok "endpoint replace force is taken, status 2 without the module"
	for words in "bundle flush all" "bundle flush all linger 5s" "stats" "trace" \
		     "bundle flush endpoint 1 owner a contact c state old ue-address ::1 older-than 7" \
		     "bundle find spi 0x100" "bundle tx owner a contact c" "endpoint set id 1 trusted none" \
		     "bundle show older-than 0x7" "trace ue 2001:db8::5"; do
		# shellcheck disable=SC2086
		run 2 $words
		ok "$words is taken, status 2 without the module"
	done
	# What is not there is told, too: by the counters, whole and for everybody to read, and nothing else is left
	up='# HELP ims_ipsec_up 1 if the kernel module answers, 0 if it is not loaded.
# TYPE ims_ipsec_up gauge'
	run 2 stats --prometheus && printed "$up"$'\nims_ipsec_up 0' && run 2 stats --openmetrics netns 'a"b\c' &&
		printed "$up"$'\nims_ipsec_up{netns="a\\"b\\\\c"} 0\n# EOF' &&
		grep -q '^imsipsec: stats: the kernel module ims_ipsec is not loaded; cure: .*modprobe ims_ipsec' "$tmp/err"
	ok "CLI: the counters without the module"
	mkdir "$tmp/metrics"
	(umask 077 && run 2 stats --prometheus file "$tmp/metrics/a.prom") && [ "$(cat "$tmp/metrics/a.prom")" = "$up"$'\nims_ipsec_up 0' ] &&
		[ "$(stat -c %a "$tmp/metrics/a.prom")" = 644 ] && run 2 stats --prometheus file "$tmp/metrics/none/a.prom" &&
		grep -q "metrics/none/a.prom: No such file or directory" "$tmp/err" && run 2 stats --prometheus file "$tmp/metrics" &&
		grep -q "$tmp/metrics: Is a directory" "$tmp/err" && [ "$(ls -A "$tmp/metrics")" = a.prom ]
	ok "CLI: the counters to a file, without the module"
	run 2 capture ue 192.0.2.5 -w "$tmp/x" && [ ! -e "$tmp/x" ] && [ ! -e "$tmp/x.esp_sa" ]
	ok "capture without the module leaves no file"
	run 2 monitor && grep -q '^imsipsec: monitor: ' "$tmp/err"
	ok "monitor without the module"
fi

# Files of commands
batch() {	# STATUS [OPTION]..., the text on standard input
	local want=$1
	shift
	cat >"$tmp/batch"
	run "$want" "$@" batch "$tmp/batch"
}
errors() {	# LINE...: on standard error, no more, but for which words are wanted
	printf '%s\n' "$@" | cmp -s - <(sed 's/; wanted: .*//' "$tmp/err")
}
version=$("$imsipsec" version)
batch 0 <<'EOF' && printed "$version"$'\n'"$version" && [ ! -s "$tmp/err" ]
# a comment
  	version	# another

ver\
sion
#version
EOF
ok "batch: comments, empty lines, a line in two"
batch 0 -j <<<$'version\nversion' && python3 -c 'import json, sys
lines = [json.loads(x) for x in sys.stdin]
sys.exit(len(lines) != 2 or lines[0] != lines[1])' <"$tmp/out"
ok "batch -j: a line each"
batch 1 <<'EOF' && printed "$version" &&
version
endpoint \
	add foo
version
EOF
	errors "imsipsec: $tmp/batch:2: endpoint add: \"foo\" is unknown"
ok "batch: the first error ends it, and says where its command begins"
batch 1 -force <<'EOF' && printed "$version"$'\n'"$version" &&
foo
version
bundle del
version
EOF
	errors "imsipsec: $tmp/batch:1: \"foo\" is unknown" \
	       "imsipsec: $tmp/batch:3: bundle del: \"id\" is missing"
ok "-force batch: it goes on"
for options in "-batch -" "-b -" "--batch -" "batch -"; do
	# From a file, which commands are not to set back
	printf 'version\nfoo\n' >"$tmp/batch"
	# shellcheck disable=SC2086
	"$imsipsec" $options <"$tmp/batch" >"$tmp/out" 2>"$tmp/err"
	[ $? -eq 1 ] && errors 'imsipsec: -:2: "foo" is unknown' && printed "$version"
	ok "$options: standard input"
done
batch 1 <<'EOF' && errors "imsipsec: $tmp/batch:1: endpoint add: \"a #b\" is unknown"
endpoint 'add' "a #b"
EOF
ok "batch: words in quotes"
batch 1 <<<"version 'x" && [ ! -s "$tmp/out" ] && grep -q "batch:1: a quote" "$tmp/err"
ok "batch: a quote that is not closed"
batch 1 <<<"version$(printf ' x%.0s' {1..128})" && grep -q "128 words" "$tmp/err"
ok "batch: too many words"
printf 'ver\0sion\n' >"$tmp/batch"
run 1 batch "$tmp/batch" && grep -q "batch:1: there is a NUL" "$tmp/err"
ok "batch: a NUL"
# shellcheck disable=SC1003
for text in 'version' 'version \'; do
	printf '%s' "$text" >"$tmp/batch"
	run 0 batch "$tmp/batch" && printed "$version"
	ok "batch: no newline at the end, $text"
done
batch 1 <<<"batch $tmp/batch" && grep -q ':1: batch: a file cannot' "$tmp/err"
ok "batch in a batch"
refused "batch: $tmp/none: No such file or directory" batch "$tmp/none"
refused 'batch: the name of a file is missing, - is standard input' batch
refused 'batch: there is more than one file' batch a b
refused 'either -batch or a command' -batch "$tmp/batch" version
echo version >"$tmp/batch"
"$imsipsec" batch "$tmp/batch" >/dev/full 2>"$tmp/err"
[ $? -eq 2 ] && grep -q ':1: version: standard output: ' "$tmp/err"
ok "batch: standard output is full"

# What help names the manual's synopsis has, and each check its section CHECK
manual=$(sed 's/\\f[A-Z]//g; s/\\-/-/g; s/\\&//g' "$(dirname "$0")/../../Documentation/man/imsipsec.8")
synopsis() {	# COMMAND...: of the manual, to the next command or blank line
	awk -v c="imsipsec $*" '/^\.SH DESCRIPTION/ { exit } /^imsipsec|^$/ { on = index($0 " ", c " ") == 1 } on' <<<"$manual"
}
for words in "endpoint add" "endpoint set" "endpoint del" "endpoint show" "bundle add" "bundle confirm" "bundle extend" \
	     "bundle del" "bundle flush" "bundle show" "bundle find" "bundle tx" "config show" "config set" "offload check" trace; do
	# shellcheck disable=SC2086
	run 0 help $words
	untold=$(sed '/^$/,$d; / := /d; s/^Usage: //; s/\[ -j \[ -p \] \]//' "$tmp/out" | grep -o '[a-z][a-z-]*' | sort -u |
		while read -r word; do
			# shellcheck disable=SC2086
			synopsis $words | grep -qwe "$word" || echo "$word"
		done)
	[ -s "$tmp/out" ] && [ -z "$untold" ]
	ok "CLI: the manual's synopsis has all words of $words${untold:+, but not ${untold//$'\n'/, }}"
done
while read -r check; do
	awk '/^\.SH/ { on = /CHECK/ } on && /^\.BR? /' <<<"$manual" | grep -qwe "$check"
	ok "CLI: the manual has the check $check"
done < <(sed -n 's/^\t{ "\([a-z-]*\)", check_.*/\1/p' "$(dirname "$0")/../cli/check.c")

# What the shell completes
completes() {	# WANTED WORD...: the last word is what is completed
	bash -c '. "$1"; want=$2; shift 2; COMP_WORDS=(imsipsec "$@"); COMP_CWORD=$#; _imsipsec
		 [[ " ${COMPREPLY[*]} " == *" $want "* ]]' bash \
		"$(dirname "$0")/../cli/imsipsec.bash-completion" "$@"
}
completes check '' && completes batch ba && completes -force -f && completes ues check '' &&
	completes replace endpoint '' && completes force endpoint replace '' &&
	completes guard endpoint replace '' && completes bundle help '' && completes confirm help bundle '' && ! completes force endpoint add '' &&
	completes set endpoint '' && completes port-pc endpoint set '' &&
	completes none endpoint set trusted '' && completes ue-port bundle find '' &&
	completes contact bundle tx '' && completes -w capture ue 192.0.2.5 '' && completes lo capture interface '' &&
	completes --prometheus stats '' && completes file stats --prometheus '' && completes keys bundle add '' && ! completes replace bundle add ''
ok "completion"

"$imsipsec" help >/dev/full 2>"$tmp/err"
[ $? -eq 2 ] && grep -q '^imsipsec: standard output: ' "$tmp/err"
ok "standard output is full"

echo "1..$n"
exit $failed
