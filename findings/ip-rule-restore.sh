#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
#
# ip rule save, and ip rule restore after a reboot
#
# One would guess: "ip rule restore" gives the rules that "ip rule save" has written, in a network
# namespace that has none but the kernel's three: these are there, and are left out or refused.
# seen: with iproute2 6.1.0 on Linux 6.18 restore adds the kernel's three as well. main and default are there
# twice then, and local a second time, with the priority that the kernel gives a rule without one: save
# leaves out a priority of 0. Restored again, all are there once more. The status is 0. "ip rule flush",
# as one would clear the rules before, takes main and default too: no route is found until they are
# restored. What is of one's own comes back as it was, marks and masks as well.
set -eu

# shellcheck source=common
. "$(dirname "$0")/common"
unshare -n true || exit 2
unpack iproute2=6.1.0-3 libbpf1=1:1.1.2-0+deb12u1 libelf1=0.188-2.1 libmnl0=1.0.4-3 \
	libbsd0=0.11.7-2 libmd0=1.0.4-2

export dir
seen=$(
	unshare -n sh -eu 2>&1 <<'END'
ip -V | sed 's/, libbpf.*//'
ip rule add fwmark 0x10/0xf0 lookup 100 priority 50
ip rule save >"$dir/rules"
END
	unshare -n sh -eu 2>&1 <<'END'
ip rule restore <"$dir/rules" && echo 'restored elsewhere:'
ip rule
ip rule flush && echo 'flushed:'
ip rule
END
) || :

expected=$(cat <<'END'
ip utility, iproute2-6.1.0
restored elsewhere:
0:	from all lookup local
50:	from all fwmark 0x10/0xf0 lookup 100
32765:	from all lookup local
32766:	from all lookup main
32766:	from all lookup main
32767:	from all lookup default
32767:	from all lookup default
flushed:
0:	from all lookup local
END
)

compare "$seen" "$expected" 'the rules of the kernel are restored beside the rules of the kernel'
