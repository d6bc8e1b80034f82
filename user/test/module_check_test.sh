#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# module_check_test.sh IMSIPSEC
#
# What a host starts with, and what "imsipsec check" says of it, against the kernel
# module, in a network namespace of its own. To be run by root where the module is or
# can be loaded.
set -u

if [ -z "${IN_NETNS-}" ]; then
	# Another one, for what is one value for the host: the one we came from
	exec 3</proc/self/ns/net
	IN_NETNS=1 exec unshare -n "$0" "$@"
fi

imsipsec=$1
here=$(cd "$(dirname "$0")" && pwd -P)
tmp=$(mktemp -d)
socket=
# shellcheck disable=SC2154 # by coproc
trap 'rm -rf "$tmp"; kill $socket $judge_PID 2>/dev/null' EXIT
. "$here/cli_lib.sh"

# One Python for all questions about what was printed, for it takes long to start
coproc judge { exec python3 -c '
import json, re, sys

def ask(path, what, *words):
    with open(path, encoding="utf-8") as f:
        j = json.load(f)
    if what == "json":
        return eval("(" + words[0] + ")")
    if what == "levels":
        return sorted({f["check"] for f in j if f["level"] == words[0]}) == sorted(words[1:])
    if what == "has":
        level, check, text, cure = words
        return any((f["level"], f["check"]) == (level, check) and text in f["text"] and cure in f.get("cure", "") and
                   ("cure" in f) == (level != "ok") for f in j)
    check, imsipsec, to = words
    cure, = {f["cure"] for f in j if f["check"] == check and "cure" in f}
    with open(to, "w", encoding="utf-8") as f:
        print(re.split(r", at boot|, or ", cure)[0].replace("imsipsec", imsipsec, 1), file=f)
    return True

read = sys.stdin.buffer
while True:
    n = read.readline()
    if not n:
        break
    words = []
    while len(words) < int(n):
        word = b""
        while not word.endswith(b"\0"):
            word += read.read(1)
        words.append(word[:-1].decode())
    try:
        answer = bool(ask(*words))
    except Exception as e:
        print("#", e, file=sys.stderr)
        answer = False
    print(int(answer), flush=True)
'; }
judges() {	# WHAT WORD...
	local answer

	printf '%d\n' $(($# + 1)) >&"${judge[1]}"
	printf '%s\0' "$tmp/out" "$@" >&"${judge[1]}"
	read -r answer <&"${judge[0]}" && [ "$answer" = 1 ]
}

json() {	# EXPRESSION over j, what was printed
	judges json "$1"
}

# Commands that look at another namespace, or lack something, go before check
checked() {	# STATUS [COMMAND...]
	local want=$1
	shift
	"$@" "$imsipsec" -j check ues 10000 >"$tmp/out" 2>"$tmp/err"
	[ $? -eq "$want" ] && [ ! -s "$tmp/err" ]
}

has() {		# LEVEL CHECK TEXT CURE: parts of one finding
	judges has "$@"
}

levels() {	# LEVEL [CHECK...]: just these checks have findings of that level
	judges levels "$@"
}

if ! run 0 config; then
	cat "$tmp/err" >&2
	exit 1
fi

# The unit's commands, in turn
starts() {	# NAME, as of a line of the unit
	sed -n "s|^$1=@BINDIR@/imsipsec|$imsipsec|p" "$here/../systemd/ims_ipsec.service.in" |
		sed "s|@SYSCONFDIR@|$tmp|" >"$tmp/commands"
	[ -s "$tmp/commands" ] && bash -e "$tmp/commands" >"$tmp/out" 2>"$tmp/err"
}
endpoints() {
	"$imsipsec" -j endpoint show
}
cp "$here/../systemd/ims_ipsec.conf" "$tmp/"
starts ExecStart && run 0 -j endpoint show && json 'j == []'
ok "the unit starts with the file as it is shipped: no endpoint is there"
# The commands in it
sed -i 's/^#\(config\|endpoint\|\t\)/\1/' "$tmp/ims_ipsec.conf"
starts ExecStart && run 0 -j endpoint show && json '[(e["address"], e["port-ps"], e["port-pc"],
	e["guard"], e["nat-traversal"]) for e in j] == [
	("192.0.2.1", 5063, [5062, 5064], "drop", False), ("2001:db8::1", 5063, [5062, 5064], "drop", False),
	("198.51.100.1", 5063, [5062, 5064], "drop", True)]' && run 0 -j config show && json 'j["max-spi"] == 600000'
ok "the unit starts: the endpoints of the shipped file are there, when they are no comments"
key=000102030405060708090a0b0c0d0e0f
id=$(endpoints | sed 's/^\[{"id":\([0-9]*\),.*/\1/')
run 0 bundle add endpoint "$id" owner alice contact c ue 192.0.2.5 port-uc 6301 port-us 6300 spi-uc 25656 \
	spi-us 25657 alg hmac-sha-1-96 ealg aes-cbc ik $key ck $key
# It would go meanwhile, where the machine is slow.
run 0 bundle confirm id "$(sed -n 's/^bundle \([0-9]*\):.*/\1/p' "$tmp/out")" lifetime 1h
endpoints >"$tmp/before"
for name in ExecStart ExecReload; do
	starts $name && endpoints | cmp - "$tmp/before" && grep -q '"bundles":1' "$tmp/before"
	ok "$name again: endpoints and their bundles are left as they are"
done
echo 'endpoint replace address 192.0.2.9' >>"$tmp/ims_ipsec.conf"
starts ExecReload && run 0 -j endpoint show && json 'len(j) == 4' && run 0 endpoint del address 192.0.2.9
ok "ExecReload: what is new in the file is made"
sed -i '$d' "$tmp/ims_ipsec.conf"
echo 'endpoint replace address 192.0.2.1 guard bypass' >>"$tmp/ims_ipsec.conf"
! starts ExecStart && endpoints | cmp - "$tmp/before" && grep -q "^imsipsec: $tmp/ims_ipsec.conf:[0-9]*: endpoint replace: " "$tmp/err"
ok "what differs is refused, with its place"

# endpoint replace
one=(endpoint replace address 192.0.2.1 port-ps 5063)
run 0 "${one[@]}" port-pc 5064,5062 && grep -q "^endpoint $id: " "$tmp/out" && endpoints | cmp - "$tmp/before"
ok "endpoint replace: the order of the pool does not matter"
while read -r what words; do
	# shellcheck disable=SC2086
	run 2 "${one[@]}" $words && grep -q "another $what: \"force\" deletes it, with its 1 bundle$" "$tmp/err" &&
		endpoints | cmp - "$tmp/before"
	ok "endpoint replace: another $what is refused, $words"
done <<'END'
guard port-pc 5062,5064 guard reject
nat-traversal port-pc 5062,5064 nat-traversal on
hw-offload port-pc 5062,5064 hw-offload off
hw-offload-interface port-pc 5062,5064 hw-offload-interface nosuch0
hw-offload-required port-pc 5062,5064 hw-offload-required on
END
run 0 "${one[@]}" port-pc 5062,5064,5066 && run 0 -j endpoint show id "$id" && json 'j[0]["port-pc"] == [5062, 5064, 5066] and j[0]["bundles"] == 1'
ok "endpoint replace: a port is added, and the bundle stays"
run 0 "${one[@]}" port-pc 5062,5064 && endpoints | cmp - "$tmp/before"
ok "endpoint replace: and taken away again"
# One of the two has the bundle
run 2 "${one[@]}" port-pc 5066 && grep -q "port 506[24] of endpoint $id still has bundles: 1" "$tmp/err" && endpoints | cmp - "$tmp/before"
ok "endpoint replace: not the one that has the bundle"
run 2 endpoint replace address 192.0.2.1 port-ps 5064 port-pc 5062 && grep -q 'another port-ps: ' "$tmp/err"
ok "endpoint replace: another port-ps is refused"
run 2 endpoint replace address 198.51.100.1 port-ps 5063 port-pc 5062,5064 nat-traversal on nat-port 4501 &&
	grep -q 'another nat-port: .* 0 bundles$' "$tmp/err"
ok "endpoint replace: another nat-port is refused"
run 0 "${one[@]}" port-pc 5062,5064 guard reject force && grep -q 'guard reject  offload software  0 bundles$' "$tmp/out" &&
	run 2 endpoint show id "$id"
ok "endpoint replace force"
run 0 config set nat-traversal on hw-offload software && run 0 -j endpoint replace address 192.0.2.10 &&
	json 'j["nat-traversal"] and j["hw-offload"] == "software" and (j["port-ps"], j["port-pc"]) == (5063, [5062, 5064])' &&
	cp "$tmp/out" "$tmp/made" && run 0 -j endpoint replace address 192.0.2.10 && cmp "$tmp/out" "$tmp/made" &&
	run 0 config set nat-traversal off hw-offload crypto && run 2 endpoint replace address 192.0.2.10 &&
	run 0 endpoint del address 192.0.2.10
ok "endpoint replace: what is not said is the configuration's"
run 0 endpoint add address 192.0.2.11 port-ps 7001 port-pc 7002 &&
	run 0 endpoint add address 192.0.2.11 port-ps 7003 port-pc 7004 &&
	run 2 endpoint replace address 192.0.2.11 port-ps 7001 port-pc 7004 force &&
	grep -q several "$tmp/err" && run 0 endpoint replace address 192.0.2.11 port-ps 7005 port-pc 7006 &&
	run 0 -j endpoint show && json 'len([e for e in j if e["address"] == "192.0.2.11"]) == 3'
ok "endpoint replace: other ports of the address are another endpoint"
endpoints | python3 -c 'import json, sys
for e in json.load(sys.stdin):
    print("endpoint del id", e["id"])' | "$imsipsec" batch - && run 0 -j endpoint show && json 'j == []'
ok "batch: from a pipe, what another command wrote"

# A host on which all is well. What is one for the host cannot be seen from here
ip link set lo up
ip link add v0 type veth peer name v1
ip link set v0 up
ip link set v1 up
ip address add 192.0.2.1/24 dev v0
ip address add 2001:db8::1/64 dev v0 nodad
sysctl -qw net.ipv4.tcp_fwmark_accept=1
run 0 config set max-spi 600000
run 0 endpoint add address 192.0.2.1 port-ps 5063 port-pc 5062,5064
run 0 endpoint add address 2001:db8::1 port-ps 5063 port-pc 5062,5064
checked 0 && levels fault && levels warning backlog && has ok module "version " "" &&
	has ok capability "" "" && has ok address "2001:db8::1 of endpoint" "" && has ok tcp-marks "" "" &&
	has ok local-ports "" "" && has ok disable-xfrm "" "" && has ok default-policy "" "" &&
	has ok firewall "no input or output chain" "" && has ok mark-rules "no rule that was looked at uses bits of mark-mask 0x00ffffff" "" &&
	has ok sockets "no socket at a protected port" "" && has ok algorithms "" "" && has ok esp "esp4" "" &&
	has ok esp "esp6" "" && has ok spis "" "" && has ok bundles "" "" && has ok marks "" "" &&
	has ok memory "" ""
ok "all is well"
run 0 check ues 10000 && grep -qx 'ok       tcp-marks: net.ipv4.tcp_fwmark_accept is 1' "$tmp/out" &&
	grep -q '^warning  backlog: .*; cure: ' "$tmp/out" && ! grep -q '^fault' "$tmp/out"
ok "all is well, as text"

# One thing after the other is broken, and mended as the cure says
mended() {
	checked 0 && levels fault && levels warning backlog
}
cure() {	# CHECK: its cure's command is run, up to a comma or what else is no part of it
	judges cure "$1" "$imsipsec" "$tmp/cure" && bash -e "$tmp/cure" >/dev/null
}

sysctl -qw net.ipv4.tcp_fwmark_accept=0
checked 0 && levels warning backlog tcp-marks && cure tcp-marks && mended
ok "marks of TCP connections"
sysctl -qw net.ipv4.tcp_fwmark_accept=0
run 0 endpoint add address 192.0.2.1 port-ps 6063 port-pc 6062 nat-traversal on
checked 2 && levels fault tcp-marks && has ok nat-port "has the socket at UDP port 4500" "" && cure tcp-marks && mended
ok "marks of TCP connections, with a UE behind a NAT"
run 0 endpoint del address 192.0.2.1 port-ps 6063

ip address del 192.0.2.1/24 dev v0
checked 0 && levels warning address backlog && has warning address "192.0.2.1 of endpoint" "ip address add" &&
	ip address add 192.0.2.1/24 dev v0 && mended
ok "the address is missing"
ip link set v0 down
checked 0 && has warning address "192.0.2.1 of endpoint" "" && has warning address "2001:db8::1 of endpoint" "" &&
	ip link set v0 up && ip address add 2001:db8::1/64 dev v0 nodad && mended
ok "its interface is down"

sysctl -qw net.ipv4.ip_local_port_range='5000 6000'
checked 0 && levels warning backlog local-ports && cure local-ports && mended &&
	[ "$(cat /proc/sys/net/ipv4/ip_local_reserved_ports)" = 5062-5064 ]
ok "protected ports are handed out"
sysctl -qw net.ipv4.ip_local_port_range='32768 60999'

for name in all v0; do
	sysctl -qw net.ipv4.conf.$name.disable_xfrm=1
	checked 2 && levels fault disable-xfrm && has fault disable-xfrm "conf.$name." "" && cure disable-xfrm && mended
	ok "disable_xfrm of $name"
done
sysctl -qw net.ipv4.conf.v1.disable_xfrm=1
checked 0 && levels warning backlog disable-xfrm && cure disable-xfrm && mended
ok "disable_xfrm of another interface"

for way in in out; do
	ip xfrm policy setdefault $way block
	checked 0 && levels warning backlog default-policy && cure default-policy && mended
	ok "XFRM blocks by default what goes $way"
done

nft -f - <<'END'
table inet filter {
	chain in { type filter hook input priority 0; policy drop; ct state established,related accept; }
}
END
checked 0 && levels warning backlog firewall && has warning firewall "inet filter in drops what no rule takes, and none" \
	"meta l4proto esp accept" && has warning firewall "port 5063 of endpoint" "meta ipsec exists accept"
ok "a firewall lets nothing in"
nft 'add rule inet filter in meta l4proto esp accept'
checked 0 && ! has warning firewall "of ESP" "" && has warning firewall "port 5063 of endpoint" ""
ok "a firewall lets ESP in, and not what comes out of it"
nft 'add rule inet filter in meta ipsec exists accept'
mended && has ok firewall "rules speak of all that is needed" ""
ok "a firewall lets all in that is needed"
# With others' tables beside it, and IPv6 alone
nft -f - <<'END'
table ip6 more {
	chain in {
		type filter hook input priority 5; policy accept;
		ip6 nexthdr esp counter drop
	}
}
table ip docker {
	chain user {
		meta l4proto esp drop
		udp dport 5063 drop
	}
	chain forwarded {
		type filter hook forward priority 0; policy drop;
		jump user
	}
}
END
checked 0 && levels warning backlog firewall && has warning firewall "chain ip6 more in has a rule that refuses ESP: " "nft delete rule" &&
	! has warning firewall docker "" && nft flush chain ip6 more in && mended
ok "a firewall's rule refuses ESP over IPv6"
nft 'add rule ip6 more in udp dport { 4500, 5062 } drop'
checked 0 && levels warning backlog firewall && has warning firewall "refuses port 5062 of endpoint" "nft delete rule" &&
	nft delete table ip6 more && mended
ok "a firewall's rule refuses a protected port over IPv6"
nft flush ruleset

# Marks. What kube-proxy has in its nftables mode, and the cure
nft -f - <<'END'
table ip kube-proxy {
	chain mark-for-masquerade { meta mark set meta mark | 0x4000; }
	chain masquerading {
		meta mark & 0x4000 == 0 return
		meta mark set meta mark ^ 0x4000
		masquerade fully-random
	}
	chain nat-postrouting { type nat hook postrouting priority srcnat; jump masquerading; }
}
END
checked 0 && levels warning backlog mark-rules &&
	has warning mark-rules "nftables' table ip kube-proxy uses bits 0x00004000 of mark-mask 0x00ffffff: \"mark-for-masquerade: " "0xffff8000" &&
	has warning mark-rules ", and 2 more" "tells 32767 registrations apart" && cure mark-rules && mended &&
	has ok mark-rules "mark-mask 0xffff8000" "" && run 0 config set mark-mask 0x00ffffff
ok "a rule of nftables uses the mark"
# The mask of a mark that has a name
if [ -d /etc/iproute2 ] || mkdir -p /etc/iproute2 2>/dev/null; then
	named=(unshare -m sh -c "mkdir -p '$tmp/named' && echo 0x4000 sip >'$tmp/named/rt_marks' &&
		mount --bind '$tmp/named' /etc/iproute2 && exec \"\$@\"" sh)
	nft -f - <<-'END'
	table ip named { chain c { type filter hook output priority 0; meta mark & 0x4000 == 0x4000 accept; }; }
	END
	"${named[@]}" nft list table ip named >"$tmp/named.txt"
	checked 0 "${named[@]}" && grep -q sip "$tmp/named.txt" &&
		has warning mark-rules "table ip named uses bits 0x00004000 of mark-mask 0x00ffffff: \"c: " ""
	ok "a rule of nftables uses a mark that has a name"
	nft delete table ip named
else
	n=$((n + 1))
	echo "ok $n - a rule of nftables uses a mark that has a name # SKIP there is no /etc/iproute2"
fi
# What a new endpoint says of it
more=(endpoint add address 192.0.2.1 port-ps 6063 port-pc 6062)
less=(endpoint del address 192.0.2.1 port-ps 6063)
warned() {	# TEXT
	[ "$(wc -l <"$tmp/err")" -eq 1 ] && grep -q "^imsipsec: .*warning: $1.*; cure: " "$tmp/err"
}
silent() {
	[ ! -s "$tmp/err" ]
}
run 0 "${more[@]}" && warned "nftables' table ip kube-proxy uses bits 0x00004000" && grep -q '^endpoint ' "$tmp/out" &&
	run 0 "${less[@]}" && run 0 -j "${more[@]}" && warned nftables && json 'j["port-ps"] == 6063'
ok "endpoint add warns of it"
run 0 endpoint replace "${more[@]:2}" && silent && run 0 endpoint replace "${more[@]:2}" guard reject force && warned nftables &&
	run 0 "${less[@]}"
ok "endpoint replace warns of it, if it makes one"
echo "${more[@]}" >"$tmp/batch"
run 0 batch "$tmp/batch" && warned nftables && grep -q "^imsipsec: $tmp/batch:1: endpoint add: warning: " "$tmp/err" && run 0 "${less[@]}"
ok "a file of commands warns of it"
nft flush ruleset
run 0 "${more[@]}" && silent && run 0 "${less[@]}"
ok "endpoint add has nothing to warn of"
nft 'add table ip t'
nft 'add chain ip t c { type route hook output priority 0; }'
nft 'add rule ip t c meta mark set 5'
run 0 config set mark-mask 0 && run 0 "${more[@]}" && silent && checked 0 && levels warning backlog &&
	has ok mark-rules "there are no marks" "" && run 0 "${less[@]}" && run 0 config set mark-mask 0x00ffffff &&
	checked 0 && has warning mark-rules "table ip t uses bits 0x00ffffff" "give the rule other bits, by a mask" && nft flush ruleset && mended
ok "endpoint add has nothing to warn of where there are no marks"
# What is not the packet's mark, or not of these bits
nft -f - <<'END'
table ip raw {
	chain PREROUTING { type filter hook prerouting priority raw; ip daddr 172.17.0.2 iifname != "docker0" counter drop; }
}
table ip docker-bridges {
	chain nat-postrouting {
		type nat hook postrouting priority srcnat
		oifname != "docker0" ip saddr 172.17.0.0/16 masquerade comment "meta mark set 0x5"
	}
	chain nat-prerouting { type nat hook prerouting priority dstnat; tcp dport 8080 dnat to 172.17.0.2:80; }
}
table inet firewalld {
	chain rpfilter { type filter hook prerouting priority 10; }
	chain own {
		type filter hook output priority 0
		ct mark 5 ct mark set ct mark | 4 counter
		meta mark & 0xff000000 == 0x01000000 meta mark set meta mark & 0x00ffffff log prefix "meta mark set 5 "
	}
}
END
# Not every kernel has that
nft 'add rule inet firewalld rpfilter meta nfproto ipv6 fib saddr . mark . iif oif missing drop' 2>/dev/null
mended && has ok mark-rules "no rule that was looked at" ""
ok "rules of Docker, firewalld and others that leave the mark alone"
nft flush ruleset
for rule in "ip rule" "ip -6 rule"; do
	$rule add fwmark 0x80000/0xff0000 lookup 52 priority 5210
	checked 0 && levels warning backlog mark-rules &&
		has warning mark-rules "$rule uses bits 0x00ff0000 of mark-mask 0x00ffffff: \"priority 5210 fwmark 0x80000/0xff0000\"" "" &&
		run 0 "${more[@]}" && if [ "$rule" = "ip rule" ]; then warned "ip rule"; else silent; fi && run 0 "${less[@]}" &&
		$rule del priority 5210 && mended
	ok "$rule uses the mark"
done
ip rule add fwmark 0x1000000/0xff000000 lookup 52 && ip rule add from 10.0.0.0/8 lookup 52 && mended
ok "ip rule uses other bits, or none"
ip rule del lookup 52
ip rule del lookup 52

# By way of nftables, and in the kernel's old tables, whichever it has
for kind in nft legacy; do
	iptables="iptables-$kind -t mangle"
	name="a rule of iptables-$kind uses the mark"
	if ! $iptables -A PREROUTING -j MARK --or-mark 0x4000 2>"$tmp/err"; then
		n=$((n + 1))
		echo "ok $n - $name # SKIP this kernel has no such tables"
		continue
	fi
	checked 0 && levels warning backlog mark-rules && has warning mark-rules \
		"iptables's table mangle uses bits 0x00004000 of mark-mask 0x00ffffff: \"-A PREROUTING -j MARK --set-xmark 0x4000/0x4000\"" "" &&
		$iptables -F && $iptables -A PREROUTING -j CONNMARK --restore-mark --nfmask 0xff000000 --ctmask 0xff000000 &&
		$iptables -A PREROUTING -j CONNMARK --set-xmark 0x1/0x1 && $iptables -A PREROUTING -m connmark --mark 0x1/0x1 -j ACCEPT &&
		$iptables -A PREROUTING -m comment --comment "-j MARK --set-xmark 0x1/0x1" -j ACCEPT &&
		$iptables -A PREROUTING -p udp -j TPROXY --on-port 99 --tproxy-mark 0x1000000/0xff000000 && mended &&
		$iptables -A PREROUTING -p udp -j TPROXY --on-port 99 --tproxy-mark 0x200/0xf00 && checked 0 &&
		has warning mark-rules "iptables's table mangle uses bits 0x00000f00" ""
	ok "$name"
	$iptables -F
	[ $kind = legacy ] || nft flush ruleset
done

# Who listens, and where
listens() {	# TYPE FAMILY ADDRESS PORT...: each of them, until stops()
	python3 -c '
import socket, sys, time
ready, *words = sys.argv[1:]
sockets = []
for kind, family, address, port in zip(*[iter(words)] * 4):
    s = socket.socket(getattr(socket, family.split(":")[0]), getattr(socket, kind))
    if family.startswith("AF_INET6"):
        s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, family.endswith(":only"))
    s.bind((address, int(port)))
    if kind == "SOCK_STREAM":
        s.listen()
    sockets.append(s)
open(ready, "w").close()
time.sleep(1000)
' "$tmp/listens" "$@" &
	socket=$!
	for ((i = 0; i < 300; i++)); do
		[ -e "$tmp/listens" ] && break
		sleep 0.1
	done
}
stops() {
	kill "$socket"
	wait "$socket" 2>/dev/null
	rm "$tmp/listens"
}
listens SOCK_DGRAM AF_INET 192.0.2.1 5063 SOCK_STREAM AF_INET6 2001:db8::1 5063 SOCK_DGRAM AF_INET 0.0.0.0 5060 \
	SOCK_STREAM AF_INET6 :: 5060 SOCK_STREAM AF_INET 127.0.0.1 5062 && mended && stops
ok "sockets that are bound to the endpoints' addresses, or at other ports"
listens SOCK_DGRAM AF_INET 0.0.0.0 5063 SOCK_STREAM AF_INET 0.0.0.0 5062 SOCK_STREAM AF_INET6:only :: 5064 &&
	checked 2 && levels fault sockets && has fault sockets "UDP 0.0.0.0 port 5063, which endpoint" "bind it to 192.0.2.1; ss -ulpn" &&
	has fault sockets "TCP 0.0.0.0 port 5062, which endpoint" "bind it to 192.0.2.1; ss -tlpn" &&
	has fault sockets "TCP :: port 5064, which endpoint" "bind it to 2001:db8::1" && stops
ok "sockets at protected ports that are bound to all addresses"
# With an endpoint of IPv4 alone
run 0 endpoint del address 2001:db8::1 && listens SOCK_DGRAM AF_INET6:only :: 5062 && mended && stops &&
	listens SOCK_DGRAM AF_INET6 :: 5063 && checked 2 && has fault sockets "UDP :: port 5063" "bind it to 192.0.2.1" && stops &&
	run 0 endpoint add address 2001:db8::1 port-ps 5063 port-pc 5062,5064 && mended
ok "a socket of IPv6 is one of IPv4 as well, unless it has IPV6_V6ONLY"

# Policies of others; the cure is run as it stands
while read -r level text words; do
	# shellcheck disable=SC2086
	ip xfrm policy add $words && checked "$([ "$level" = fault ] && echo 2 || echo 0)" && has "$level" policies "${text//_/ }" "ip xfrm policy delete" &&
		cure policies && mended && has ok policies "no XFRM policy of somebody else" ""
	ok "XFRM has a policy: $words"
done <<'END'
fault drops_what_comes_to_port_5063 dir in src 0.0.0.0/0 dst 192.0.2.1/32 action block priority 5000
warning drops_what_comes_to_port_5063 dir in src 198.51.100.0/24 dst 0.0.0.0/0 proto udp action block
fault drops_what_comes_to_port_5062 dir in src ::/0 dst 2001:db8::1/128 dport 5062 action block
warning asks_for_other_SAs_of_what_comes_to dir in src 10.0.0.0/8 dst 192.0.2.0/24 tmpl src 10.0.0.1 dst 192.0.2.1 proto esp mode tunnel
fault has_other_SAs,_or_none,_for_what_leaves_port_5063 dir out src 192.0.2.0/24 dst 0.0.0.0/0
fault drops_what_leaves_port_5063 dir out src ::/0 dst ::/0 action block priority 2
END
# As the modules of others make them, several a UE; what is left of them goes as the cure says
while read -r priority family local remote; do
	for ue in 1 2; do
		ip xfrm policy add dir in src "$remote$ue" dst "$local" sport 6301 dport 5063 priority "$priority" \
			tmpl src "$remote$ue" dst "$local" proto esp reqid "70000$ue" mode transport &&
			ip xfrm policy add dir out src "$local" dst "$remote$ue" sport 5062 dport 6300 priority "$priority" \
			tmpl src "$local" dst "$remote$ue" proto esp reqid "70001$ue" mode transport
	done
	checked 0 && levels warning backlog policies && has warning policies \
		"belong to 4 XFRM policies of somebody else's, each for one UE, the first at $local port 506" "ip xfrm policy flush" &&
		ip xfrm policy flush && mended && has ok policies "no XFRM policy of somebody else" ""
	ok "XFRM has policies of another P-CSCF's module, priority $priority, $family"
done <<'END'
2080 IPv4 192.0.2.1 198.51.100.
1024 IPv6 2001:db8::1 2001:db8:1::
END
# Those that are asked besides; not every kernel has them
if ip xfrm policy add dir out src 192.0.2.1/32 dst 0.0.0.0/0 ptype sub action block priority 5000 2>"$tmp/err"; then
	checked 2 && has fault policies "XFRM sub-policy of somebody else's, dir out" "ip xfrm policy delete dir out index" &&
		has fault policies "priority 5000, drops what leaves port 5063" "ptype sub" && cure policies && mended &&
		ip xfrm policy add dir out src 192.0.2.1/32 dst 0.0.0.0/0 ptype sub priority 1 && mended &&
		ip xfrm policy add dir in src 0.0.0.0/0 dst 192.0.2.1/32 ptype sub action block && checked 2 &&
		has fault policies "drops what comes to port 5063" "ptype sub" && cure policies && mended
	ok "XFRM has sub-policies"
	ip xfrm policy flush ptype sub
else
	n=$((n + 1))
	echo "ok $n - XFRM has sub-policies # SKIP this kernel has no CONFIG_XFRM_SUB_POLICY"
fi
ip xfrm policy add dir out src 192.0.2.0/24 dst 0.0.0.0/0 priority 100 && ip xfrm policy add dir fwd src 0.0.0.0/0 dst 0.0.0.0/0 action block &&
	ip xfrm policy add dir in src 0.0.0.0/0 dst 192.0.2.1/32 dport 22 proto tcp action block && mended
ok "XFRM has policies that are in nobody's way"
ip xfrm policy flush

run 0 config set max-bundles 5000 max-spi 75535 && checked 2 && levels fault spis bundles &&
	cure spis && cure bundles && mended
ok "too few SPIs"
run 0 config set max-bundles 15000 max-spi 95535 && checked 0 &&
	levels warning backlog spis bundles && cure spis && cure bundles && mended
ok "SPIs for one bundle each"
run 0 config set max-bundles 9999 && checked 2 && levels fault bundles && cure bundles && mended
ok "too few bundles"
run 0 config set max-bundles 29999 && checked 0 && levels warning backlog bundles && cure bundles && mended
ok "too few bundles for max-sets"
run 0 config set mark-mask 0xffff && run 2 -j check ues 20000 && levels fault marks && has fault marks "16383 registrations apart, not 20000" "" &&
	run 0 config set mark-mask 0x00ffffff && run 0 -j check ues 20000
ok "marks for too few"

# There are 2 GB
run 2 -j check ues 1000000 && has fault memory "1000000 UEs take 6774 MB more" "more memory"
ok "too little memory"

python3 - "$tmp/ready" <<'END' &
import socket, sys, time
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.setsockopt(socket.IPPROTO_UDP, 100, 2)
s.bind(('192.0.2.1', 4500))
open(sys.argv[1], 'w').close()
time.sleep(1000)
END
socket=$!
for ((i = 0; i < 300; i++)); do
	[ -e "$tmp/ready" ] && break
	sleep 0.1
done
run 0 config set nat-traversal on && checked 0 && has warning nat-port "somebody has UDP port 4500" "ss -ulpn" &&
	run 0 config set nat-traversal off
ok "somebody has the port of ESP in UDP"
run 0 endpoint add address 192.0.2.1 port-ps 6063 port-pc 6062 nat-traversal on nat-shared on &&
	checked 0 && has warning nat-port "is a socket of somebody else" "nat-shared off"
ok "somebody else's socket is used"
kill "$socket"
wait "$socket" 2>/dev/null
run 0 endpoint replace address 192.0.2.1 port-ps 6063 port-pc 6062 nat-traversal on nat-shared off force &&
	checked 0 && has ok nat-port "has the socket" "" && run 0 endpoint del address 192.0.2.1 port-ps 6063
ok "and no longer, as the cure says"

run 0 endpoint add address 192.0.2.1 port-ps 6063 port-pc 6062 hw-offload software && checked 0 &&
	has ok offload "esp4_offload, which endpoint" "" && run 0 endpoint del address 192.0.2.1 port-ps 6063
ok "offload by software"

checked 2 setpriv --bounding-set -net_admin --inh-caps -net_admin &&
	levels fault capability && has fault capability "CAP_NET_ADMIN is missing" "AmbientCapabilities="
ok "without CAP_NET_ADMIN"
# A SIP server that is not root
user=(setpriv --reuid 65534 --regid 65534 --clear-groups --inh-caps +net_admin --ambient-caps +net_admin)
checked 0 "${user[@]}" && levels fault && "${user[@]}" "$imsipsec" endpoint show >"$tmp/out" 2>"$tmp/err" &&
	[ "$(grep -c ^endpoint "$tmp/out")" -eq 2 ] &&
	"${user[@]}" python3 -c 'import socket; socket.socket().setsockopt(socket.SOL_SOCKET, socket.SO_MARK, 5)' &&
	! setpriv --reuid 65534 --regid 65534 --clear-groups python3 -c 'import socket
socket.socket().setsockopt(socket.SOL_SOCKET, socket.SO_MARK, 5)' 2>"$tmp/err"
ok "with CAP_NET_ADMIN and not as root"

run 0 endpoint del address 192.0.2.1 && run 0 endpoint del address 2001:db8::1 &&
	checked 0 && has warning endpoints "no port is shut" "imsipsec endpoint add"
ok "no endpoint"

# In the host's first namespace
first=(nsenter --net=/proc/self/fd/3)
was=$("${first[@]}" cat /proc/sys/net/core/netdev_max_backlog)
"${first[@]}" sysctl -qw net.core.netdev_max_backlog=100
checked 0 "${first[@]}" && has warning backlog "net.core.netdev_max_backlog is 100, for 10000 UEs 1000" \
	"sysctl -w net.core.netdev_max_backlog=1000" && "${first[@]}" sysctl -qw net.core.netdev_max_backlog=1000 &&
	checked 0 "${first[@]}" && has ok backlog "is 1000" ""
ok "a short queue for what was decrypted"
"${first[@]}" sysctl -qw net.core.netdev_max_backlog="$was"

echo "1..$n"
exit $failed
