#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
#
# Marks that have names: /etc/iproute2/rt_marks
#
# One would guess: "nft list" shows marks as numbers, since they are bits that rules mask, and
# "nft -j list" shows numbers in any case.
# seen: nft 1.0.6 puts a name of rt_marks for each number that has one, in masks and in what is
# or-ed as well, in JSON too, where the same place is a number in one rule and a string in the
# next. "-n" is for numbers, with JSON as well.
set -eu

# shellcheck source=common
. "$(dirname "$0")/common"
unshare -mn true || exit 2
# shellcheck disable=SC2086 # a list
unpack $nft_packages

seen=$(unshare -mn sh -eu 2>&1 <<'END'
nft -v | cut -d' ' -f1,2
# Another /etc, for this script alone
mount -t tmpfs none /etc
mkdir /etc/iproute2
echo '0x10 voice' >/etc/iproute2/rt_marks

nft add table ip t
nft add chain ip t c
nft add rule ip t c 'meta mark & 0x10 == 0'
nft add rule ip t c 'meta mark & 0x20 == 0'
nft add rule ip t c 'meta mark set meta mark | 0x10'
for options in -s -n -j -nj; do
	echo "nft $options list:"
	nft "$options" list chain ip t c | grep -oE 'meta mark .*|"key": "mark"\}\}, [^]]*'
done
END
) || :

expected=$(cat <<'END'
nftables v1.0.6
nft -s list:
meta mark & "voice" == 0x00000000
meta mark & 0x00000020 == 0x00000000
meta mark set meta mark | "voice"
nft -n list:
meta mark & 0x00000010 == 0x00000000
meta mark & 0x00000020 == 0x00000000
meta mark set meta mark | 0x00000010
nft -j list:
"key": "mark"}}, "voice"
"key": "mark"}}, 32
"key": "mark"}}, "value": {"|": [{"meta": {"key": "mark"}}, "voice"
nft -nj list:
"key": "mark"}}, 16
"key": "mark"}}, 32
"key": "mark"}}, "value": {"|": [{"meta": {"key": "mark"}}, 16
END
)

compare "$seen" "$expected" 'masks have names'
