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

unshare -n true || exit 2
packages='nftables=1.0.6-2+deb12u2 libnftables1=1.0.6-2+deb12u2 libnftnl11=1.2.4-2 libmnl0=1.0.4-3
	libjansson4=2.14-2 libxtables12=1.8.9-2 libgmp10=2:6.2.1+dfsg1-1.1
	libedit2=3.1-20221030-2 libbsd0=0.11.7-2 libmd0=1.0.4-2 libtinfo6=6.4-4 iptables=1.8.9-2'
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
XTABLES_LIBDIR=$(echo "$dir"/usr/lib/*/xtables)
export XTABLES_LIBDIR

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

echo "$seen"
echo "on Linux $(uname -r)"
[ "$seen" = "$expected" ] || { echo 'NOT as expected, which is:'; echo "$expected"; exit 1; }
echo 'as expected: the table is left out, and nothing fails'
