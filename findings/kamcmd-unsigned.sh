#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
#
# Unsigned numbers of Kamailio's RPC, by kamcmd and by JSON-RPC
#
# One would guess: an RPC that answers with an unsigned number, "u" in Kamailio's C, is shown the same
# by kamcmd and in JSON.
# seen: in Kamailio 5.6.3 the protocol that kamcmd speaks has numbers with a sign alone, and kamcmd
# shows 2^31 and above as negative: flags of a contact, and what else has 32 bits, as SPIs and IPv4
# addresses do. JSON-RPC has the number.
set -eu

# shellcheck source=common
. "$(dirname "$0")/common"
unshare -n true || exit 2
command -v python3 >/dev/null || exit 2
unpack kamailio=5.6.3-2 libreadline8=8.2-1.3 libtinfo6=6.4-4

kamailio_head >"$dir/kamailio.cfg"
cat >>"$dir/kamailio.cfg" <<END
loadmodule "kex.so"
loadmodule "ctl.so"
modparam("ctl", "binrpc", "unix:$dir/ctl")
loadmodule "jsonrpcs.so"
modparam("jsonrpcs", "transport", 4)
modparam("jsonrpcs", "dgram_socket", "$dir/json")
loadmodule "usrloc.so"
modparam("usrloc", "preload", "location")
request_route {
	exit;
}
END
cat >"$dir/flags.py" <<'END'
"""Adds a contact with these flags, and prints what flags it has."""
import json
import os
import re
import socket
import time


def call(method, *params):
    sock.send(json.dumps({'jsonrpc': '2.0', 'method': method, 'params': params, 'id': 1}).encode())
    return sock.recv(65536).decode()


with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
    sock.bind(os.path.abspath('answers'))
    sock.settimeout(10)
    for _ in range(200):  # until Kamailio is there
        try:
            sock.connect('json')
            break
        except OSError:
            time.sleep(0.1)
    call('ul.add', 'location', 'ue', 'sip:ue@192.0.2.7', 600, 0.5, '<sip:192.0.2.1;lr>', 3759706211, 0, 7)
    print('JSON-RPC:', re.search(r'"Flags":\s*([-\d]+)', call('ul.dump'))[1])
END

export dir
seen=$(unshare -n sh -eu 2>&1 <<'END'
ip link set lo up
cd "$dir"
kamailio -v | grep -o 'kamailio [0-9.]*'
kamailio -f kamailio.cfg -DD -m 16 -M 4 >log 2>&1 &
trap "kill $!; wait" EXIT
python3 flags.py
echo "kamcmd: $(kamcmd -s "unix:$dir/ctl" ul.dump | sed -n 's/^[[:space:]]*Flags: //p')"
END
) || :

expected=$(cat <<'END'
kamailio 5.6.3
JSON-RPC: 3759706211
kamcmd: -535261085
END
)

compare "$seen" "$expected" 'kamcmd shows 2^31 and above as negative'
