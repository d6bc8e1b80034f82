#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
#
# iptables-nft-save of a table that has one rule by nft
#
# One would guess: iptables-nft-save leaves that rule out and writes the others, or fails.
# seen: iptables-nft-save 1.8.9 leaves out the whole table, with a comment in its place on
# standard output, and ends with 0: a backup lacks the table, and a reader finds no rule.
# Other tables are written. "iptables-nft -S" fails for the same table, with 1, yet
# "iptables-nft -A" still adds to it.
set -eu

# shellcheck source=common
. "$(dirname "$0")/common"
unshare -n true || exit 2
# shellcheck disable=SC2086 # a list
unpack $nft_packages iptables=1.8.9-2

seen=$(unshare -n sh -eu 2>&1 <<'END'
nft -v | cut -d' ' -f1,2
iptables-nft -V
iptables-nft -A INPUT -s 192.0.2.1 -j DROP
iptables-nft -t mangle -A PREROUTING -s 192.0.2.1 -j DROP
nft add rule ip mangle PREROUTING meta mark set ct mark

echo 'iptables-nft-save:'
status=0
saved=$(iptables-nft-save 2>/dev/null) || status=$?
echo "$saved" | grep -E '^(\*|-A|# Table)'
echo "status $status"
for command in '-S' '-A PREROUTING -s 192.0.2.2 -j DROP'; do
	echo "iptables-nft -t mangle $command:"
	status=0
	iptables-nft -t mangle $command || status=$?
	echo "status $status"
done
echo 'nft list:'
nft -s list chain ip mangle PREROUTING 2>/dev/null | grep -E 'saddr|mark'
END
) || :

expected=$(cat <<'END'
nftables v1.0.6
iptables v1.8.9 (nf_tables)
iptables-nft-save:
# Table `mangle' is incompatible, use 'nft' tool.
*filter
-A INPUT -s 192.0.2.1/32 -j DROP
status 0
iptables-nft -t mangle -S:
iptables v1.8.9 (nf_tables): table `mangle' is incompatible, use 'nft' tool.
status 1
iptables-nft -t mangle -A PREROUTING -s 192.0.2.2 -j DROP:
status 0
nft list:
		ip saddr 192.0.2.1 counter drop
		meta mark set ct mark
		ip saddr 192.0.2.2 counter drop
END
)

compare "$seen" "$expected" 'the table is left out, and nothing fails'
