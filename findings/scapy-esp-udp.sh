#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
#
# scapy's SecurityAssociation with a nat_t_header
#
# One would guess: SecurityAssociation(ESP, …, nat_t_header=UDP(…)).encrypt(packet) makes ESP in
# UDP for IPv4 as for IPv6: UDP's length covers the ESP, and who listens at port 4500 gets it.
# seen: scapy 2.5.0 computes UDP's length for IPv4 before the ESP is there: it is 8, whatever
# follows. IP's length is right. The packet leaves, and the kernel gives the one who listens a
# datagram of no bytes, since what is behind UDP's end is padding; scapy's own decrypt() does not
# find the ESP, once the packet is parsed again. "del packet[UDP].len" before the packet is sent
# has the length made anew. In IPv6 the length is right, and the checksum is 0 as in IPv4: a socket
# without UDP_NO_CHECK6_RX gets nothing.
set -eu

# shellcheck source=common
. "$(dirname "$0")/common"
unshare -n true || exit 2
command -v python3 >/dev/null || exit 2
unpack python3-scapy=2.5.0+dfsg-2

cat >"$dir/udp.py" <<'END'
import logging
import socket

logging.disable()  # of what scapy misses on this host
import scapy
from scapy.layers.inet import IP, UDP
from scapy.layers.inet6 import IPv6
from scapy.layers.ipsec import ESP, SecurityAssociation

print('scapy', scapy.VERSION)


UDP_NO_CHECK6_RX = 102


def show(words, packet, no_check6=0):
    """What the kernel makes of PACKET, which is sent over lo, and scapy."""
    data = bytes(packet)
    again = packet.__class__(data)
    family = socket.AF_INET if packet.version == 4 else socket.AF_INET6
    with socket.socket(family, socket.SOCK_DGRAM) as listens, \
            socket.socket(family, socket.SOCK_RAW, socket.IPPROTO_RAW) as sends:
        listens.bind((packet.dst, 4500))
        listens.settimeout(2)
        listens.setsockopt(socket.IPPROTO_UDP, UDP_NO_CHECK6_RX, no_check6)
        sends.sendto(data, (packet.dst, 0))
        try:
            got = f'{len(listens.recv(2048))} arrive'
        except TimeoutError:
            got = 'nothing arrives'
    print(f'{words}: IP has {len(data)} bytes, UDP says {again[UDP].len} of {len(data) - len(packet.__class__())}: '
          f'{got}, scapy finds {"ESP" if ESP in again else "no ESP"}')


def make(ip):
    sa = SecurityAssociation(ESP, spi=0x1000, crypt_algo='NULL', auth_algo='NULL',
                             nat_t_header=UDP(sport=4500, dport=4500))
    return sa.encrypt(ip / UDP(sport=5062, dport=5063) / b'OPTIONS')


show('IPv4', make(IP(src='127.0.0.1', dst='127.0.0.1')))
packet = make(IP(src='127.0.0.1', dst='127.0.0.1'))
del packet[UDP].len
show('IPv4 without that length', packet)
show('IPv6', make(IPv6(src='::1', dst='::1')))
show('IPv6 without checksums', make(IPv6(src='::1', dst='::1')), 1)
END

export dir
seen=$(unshare -n sh -eu 2>&1 <<'END'
ip link set lo up
PYTHONPATH=$dir/usr/lib/python3/dist-packages python3 -W ignore "$dir/udp.py"
END
) || :

expected=$(cat <<'END'
scapy 2.5.0
IPv4: IP has 56 bytes, UDP says 8 of 36: 0 arrive, scapy finds no ESP
IPv4 without that length: IP has 56 bytes, UDP says 36 of 36: 28 arrive, scapy finds ESP
IPv6: IP has 76 bytes, UDP says 36 of 36: nothing arrives, scapy finds ESP
IPv6 without checksums: IP has 76 bytes, UDP says 36 of 36: 28 arrive, scapy finds ESP
END
)

compare "$seen" "$expected" 'UDP has the length of its header'
