#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
#
# ip rule add fwmark 0
#
# One would guess: the rule takes packets that have no mark, and is listed with fwmark 0.
# seen: with iproute2 6.1.0 on Linux 6.18 the rule takes every packet, whatever the mark, and
# is listed without fwmark. The kernel sets the mask to all bits for a mark other than 0 alone.
# Packets that have no mark are fwmark 0/0xffffffff, and that rule is listed as "fwmark 0": who
# adds what the list says gets the rule for every packet.
set -eu

# shellcheck source=common
. "$(dirname "$0")/common"
unshare -n true || exit 2
unpack iproute2=6.1.0-3 libbpf1=1:1.1.2-0+deb12u1 libelf1=0.188-2.1 libmnl0=1.0.4-3 \
	libbsd0=0.11.7-2 libmd0=1.0.4-2

seen=$(unshare -n sh -eu 2>&1 <<'END'
ip -V | sed 's/, libbpf.*//'
ip link set lo up
ip route add 192.0.2.1 dev lo table 100

for rule in '0' '0/0xffffffff'; do
	echo "ip rule add fwmark $rule:"
	ip rule add fwmark $rule lookup 100 priority 50
	ip rule list priority 50
	for mark in 0 7; do
		# A route is looked up; no packet is sent.
		if ip route get 192.0.2.1 mark $mark 2>/dev/null | grep -q 'table 100'; then
			echo "mark $mark: taken"
		else
			echo "mark $mark: not taken"
		fi
	done
	ip rule del priority 50
done
END
) || :

expected=$(cat <<'END'
ip utility, iproute2-6.1.0
ip rule add fwmark 0:
50:	from all lookup 100
mark 0: taken
mark 7: taken
ip rule add fwmark 0/0xffffffff:
50:	from all fwmark 0 lookup 100
mark 0: taken
mark 7: not taken
END
)

compare "$seen" "$expected" 'fwmark 0 takes every packet'
