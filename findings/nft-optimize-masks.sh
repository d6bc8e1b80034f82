#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
#
# nft -o, of rules that mask a mark
#
# One would guess: "nft -o -f" merges rules that ask the same of packets, and the merged rule set does with
# each packet what the given one does; what cannot be merged stays as it is.
# seen: nft 1.0.6 takes rules for alike whose masks differ, and puts the first rule's mask for both: of
# "meta mark & 0xf0 == 0x10" and "meta mark & 0x0f == 0x01" it makes "meta mark & 0xf0 == { 0x10, 0x01 }",
# and the second is never true again. So it does with tcp flags and addresses. It says what it merges,
# and status 0. A port and a range with that port in it, of which the first rule counts, are merged into a
# map that nft itself refuses, and the file is not loaded. "nft -c -o" shows both beforehand.
set -eu

# shellcheck source=common
. "$(dirname "$0")/common"
unshare -n true || exit 2
command -v python3 >/dev/null || exit 2
# shellcheck disable=SC2086 # a list
unpack $nft_packages

cat >"$dir/send.py" <<'END'
"""send.py MARK: whether a datagram with that mark may leave."""
import socket
import sys

SO_MARK = 36
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
    sock.setsockopt(socket.SOL_SOCKET, SO_MARK, int(sys.argv[1], 0))
    try:
        sock.sendto(b'', ('127.0.0.1', 9))
        print(f'  mark {sys.argv[1]}: accepted')
    except PermissionError:
        print(f'  mark {sys.argv[1]}: dropped')
END

export dir
seen=$(unshare -n sh -eu 2>&1 <<'END'
nft -v | cut -d' ' -f1,2
ip link set lo up
# load RULES: with and without -o
load() {
	printf '%s\n' 'table ip t {' 'chain c {' 'type filter hook output priority 0; policy drop;' "$1" '}' '}' >"$dir/rules"
	for option in '' -o; do
		nft flush ruleset
		status=0
		nft $option -f "$dir/rules" >/dev/null 2>&1 || status=$?
		echo "nft${option:+ $option} -f ends with $status:"
		nft -s list ruleset | sed -n 's/^[[:space:]]*\(.*\(mark\|flags\|dport\).*\)$/  \1/p'
		[ $status != 0 ] || case $1 in *mark*) python3 "$dir/send.py" 0x10; python3 "$dir/send.py" 0x01 ;; esac
	done
}
load 'meta mark & 0xf0 == 0x10 accept
meta mark & 0x0f == 0x01 accept'
load 'tcp flags & (syn | ack) == syn accept
tcp flags & fin == fin accept'
load 'udp dport 5063 accept
udp dport 5060-5070 drop'
END
) || :

expected=$(cat <<'END'
nftables v1.0.6
nft -f ends with 0:
  meta mark & 0x000000f0 == 0x00000010 accept
  meta mark & 0x0000000f == 0x00000001 accept
  mark 0x10: accepted
  mark 0x01: accepted
nft -o -f ends with 0:
  meta mark & 0x000000f0 == { 0x00000001, 0x00000010 } accept
  mark 0x10: accepted
  mark 0x01: dropped
nft -f ends with 0:
  tcp flags syn / syn,ack accept
  tcp flags & fin == fin accept
nft -o -f ends with 0:
  tcp flags & (syn | ack) == { fin, syn } accept
nft -f ends with 0:
  udp dport 5063 accept
  udp dport 5060-5070 drop
nft -o -f ends with 1:
END
)

compare "$seen" "$expected" 'the first mask is put for the second'
