#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
#
# A mark and a slash, in iptables and in nft
#
# One would guess: nft lists "meta mark & 0xfffffff0 == 0x10" as it was given; and
# 0x10/28 is value and mask, as it is in iptables and ip rule.
# seen: nft 1.0.6 lists a mask of the highest bits as a prefix, as if the mark were an address:
# 0x10/28 has the mask 0xfffffff0. iptables 1.8.9 reads the same word as the mask 0x1c.
# A mask of other bits is listed as it was given, so few rule sets show the form.
set -eu

# shellcheck source=common
. "$(dirname "$0")/common"
unshare -n true || exit 2
# shellcheck disable=SC2086 # a list
unpack $nft_packages iptables=1.8.9-2

seen=$(unshare -n sh -eu 2>&1 <<'END'
nft -v | cut -d' ' -f1,2
iptables-nft -V
nft add table ip t
nft add chain ip t c
nft add rule ip t c 'meta mark & 0xfffffff0 == 0x10 accept'
nft add rule ip t c 'meta mark & 0x000000f0 == 0x10 accept'
nft add rule ip t c 'meta mark 0x10/28 accept'
echo 'nft:'
nft --debug=netlink list chain ip t c | grep -E 'bitwise|meta mark'

iptables-nft -t mangle -A PREROUTING -m mark --mark 0x10/0xfffffff0
iptables-nft -t mangle -A PREROUTING -m mark --mark 0x10/28
echo 'rules of iptables-nft, by iptables-nft-save and by nft:'
iptables-nft-save -t mangle | grep ^-A
nft -s list table ip mangle 2>/dev/null | grep meta.mark
END
) || :

expected=$(cat <<'END'
nftables v1.0.6
iptables v1.8.9 (nf_tables)
nft:
  [ bitwise reg 1 = ( reg 1 & 0xfffffff0 ) ^ 0x00000000 ]
  [ bitwise reg 1 = ( reg 1 & 0x000000f0 ) ^ 0x00000000 ]
  [ bitwise reg 1 = ( reg 1 & 0xfffffff0 ) ^ 0x00000000 ]
		meta mark 0x00000010/28 accept
		meta mark & 0x000000f0 == 0x00000010 accept
		meta mark 0x00000010/28 accept
rules of iptables-nft, by iptables-nft-save and by nft:
-A PREROUTING -m mark --mark 0x10/0xfffffff0
-A PREROUTING -m mark --mark 0x10/0x1c
		meta mark 0x00000010/28 counter
		meta mark & 0x0000001c == 0x00000010 counter
END
)

compare "$seen" "$expected" 'nft has a length behind the slash, iptables a mask'
