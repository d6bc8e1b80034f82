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

unshare -mn true || exit 2
packages='nftables=1.0.6-2+deb12u2 libnftables1=1.0.6-2+deb12u2 libnftnl11=1.2.4-2 libmnl0=1.0.4-3
	libjansson4=2.14-2 libxtables12=1.8.9-2 libgmp10=2:6.2.1+dfsg1-1.1
	libedit2=3.1-20221030-2 libbsd0=0.11.7-2 libmd0=1.0.4-2 libtinfo6=6.4-4'
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
# shellcheck disable=SC2086 # a list
(cd "$dir" && apt-get -qq -o APT::Sandbox::User=root download $packages)
for deb in "$dir"/*.deb; do
	dpkg -x "$deb" "$dir"
done
PATH=$dir/usr/sbin:$dir/sbin:$dir/bin:$PATH
LD_LIBRARY_PATH=$(find "$dir" -name '*.so.*' -printf '%h\n' | sort -u | paste -sd:)
export PATH LD_LIBRARY_PATH

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

echo "$seen"
echo "on Linux $(uname -r)"
[ "$seen" = "$expected" ] || { echo 'NOT as expected, which is:'; echo "$expected"; exit 1; }
echo 'as expected: masks have names'
