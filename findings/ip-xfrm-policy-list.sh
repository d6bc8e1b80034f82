#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
#
# What ip lists of XFRM's policies
#
# One would guess: "ip xfrm policy" lists policies as they are tried, the smallest priority first, as "ip
# rule" does; "ip -j" writes JSON, or says that it cannot; and what is listed can be given to "ip xfrm
# policy add" again.
# seen: with iproute2 6.1.0 on Linux 6.18 the latest policy is listed first, of all priorities, directions
# and families. "ip -j xfrm policy" lists the same text, with status 0, and nothing at all where there
# is no policy. A mark is listed as 0x20/0xf0, as in "ip rule", and "ip xfrm policy add" refuses
# that form, which wants "mark 0x20 mask 0xf0"; "ip xfrm policy list" takes a mark in no form.
set -eu

# shellcheck source=common
. "$(dirname "$0")/common"
unshare -n ip xfrm policy count >/dev/null 2>&1 || { echo 'no XFRM'; exit 2; }
unpack iproute2=6.1.0-3 libbpf1=1:1.1.2-0+deb12u1 libelf1=0.188-2.1 libmnl0=1.0.4-3 \
	libbsd0=0.11.7-2 libmd0=1.0.4-2

seen=$(unshare -n sh -eu 2>&1 <<'END'
ip -V | sed 's/, libbpf.*//'
echo "ip -j, without a policy: '$(ip -j xfrm policy)'"
for priority in 20 10 30; do
	ip xfrm policy add src 192.0.2.0/24 dst 198.51.100.0/24 dir in priority $priority mark $priority mask 0xff
done
echo 'ip -o:'
ip -o xfrm policy | tr -d '\\\t' | sed 's# $##'
echo 'ip -j:'
ip -j -o xfrm policy | tr -d '\\\t' | sed 's# $##'
echo 'added as it is listed:'
ip xfrm policy add src 192.0.2.0/24 dst 198.51.100.0/24 dir out priority 0 ptype main mark 0xa/0xff || :
echo 'listed by mark:'
ip xfrm policy list mark 0xa mask 0xff || :
END
) || :

expected=$(cat <<'END'
ip utility, iproute2-6.1.0
ip -j, without a policy: ''
ip -o:
src 192.0.2.0/24 dst 198.51.100.0/24 dir in priority 30 ptype main mark 0x1e/0xff
src 192.0.2.0/24 dst 198.51.100.0/24 dir in priority 10 ptype main mark 0xa/0xff
src 192.0.2.0/24 dst 198.51.100.0/24 dir in priority 20 ptype main mark 0x14/0xff
ip -j:
src 192.0.2.0/24 dst 198.51.100.0/24 dir in priority 30 ptype main mark 0x1e/0xff
src 192.0.2.0/24 dst 198.51.100.0/24 dir in priority 10 ptype main mark 0xa/0xff
src 192.0.2.0/24 dst 198.51.100.0/24 dir in priority 20 ptype main mark 0x14/0xff
added as it is listed:
Error: argument "0xa/0xff" is wrong: MARK value is invalid

listed by mark:
Error: argument "mark" is wrong: unknown
END
)

compare "$seen" "$expected" 'the latest first, -j has no effect, and marks have another form'
