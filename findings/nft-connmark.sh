#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
#
# Rules of iptables-nft, as "nft list" shows them: CONNMARK
#
# One would guess: nft shows each rule of iptables-nft in its own words where it has words
# for the rule, and as "xt target NAME" where it has none; the words mean what the rule does.
# seen: nft 1.0.6 shows what libxt_CONNMARK of iptables 1.8.9 makes of the rule, for the same
# masks in words that mean something else. "--restore-mark --nfmask 0xff --ctmask 0xff" leaves
# the mark's upper bits as they are; by the words they become 0. "--set-xmark 0x10/0xf0" sets
# a bit; by the words, which nft reads with "and" before "xor", it sets none. Loaded again,
# the list is two other rules, and no error tells. JSON has the target's name and no masks.
set -eu

# shellcheck source=common
. "$(dirname "$0")/common"
unshare -n true || exit 2
# shellcheck disable=SC2086 # a list
unpack $nft_packages iptables=1.8.9-2

seen=$(unshare -n sh -eu 2>&1 <<'END'
nft -v | cut -d' ' -f1,2
iptables-nft -V
iptables-nft -t mangle -A PREROUTING -j CONNMARK --restore-mark --nfmask 0xff --ctmask 0xff
iptables-nft -t mangle -A PREROUTING -j CONNMARK --set-xmark 0x10/0xf0

echo 'iptables-nft-save:'
iptables-nft-save -t mangle | grep ^-A
echo 'nft list:'
listed=$(nft -s list table ip mangle 2>/dev/null)
echo "$listed" | grep mark.set
echo 'nft -j list:'
nft -j list table ip mangle | grep -o '{"xt": {[^}]*}}'

nft flush ruleset
echo "$listed" | sed '/^#/d' | nft -f -
echo 'nft list, when that is loaded again:'
nft -s list table ip mangle | grep mark.set
END
) || :

expected=$(cat <<'END'
nftables v1.0.6
iptables v1.8.9 (nf_tables)
iptables-nft-save:
-A PREROUTING -j CONNMARK --restore-mark --nfmask 0xff --ctmask 0xff
-A PREROUTING -j CONNMARK --set-xmark 0x10/0xf0
nft list:
		counter meta mark set ct mark and 0xff
		counter ct mark set ct mark xor 0x10 and 0xffffff0f
nft -j list:
{"xt": {"type": "target", "name": "CONNMARK"}}
{"xt": {"type": "target", "name": "CONNMARK"}}
nft list, when that is loaded again:
		counter meta mark set ct mark & 0x000000ff
		counter ct mark set ct mark
END
)

compare "$seen" "$expected" 'the words are other rules'
