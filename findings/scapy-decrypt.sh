#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
#
# The packet that scapy's SecurityAssociation.decrypt() is given
#
# One would guess: decrypt(packet) gives the packet that was in ESP, as encrypt(packet) gives the one
# in ESP, and leaves its argument as it is: it can be decrypted again, stored or shown beside.
# seen: scapy 2.5.0 takes the ESP out of the argument. There is an IP header left, of UDP and with UDP's
# length, without anything behind; a second decrypt() fails with TypeError, and what is written to a
# pcap after decrypt() is that header. A packet whose SPI is another SA's is left as it is, so that trying
# one SA after the other works until one fits. encrypt() leaves its argument alone.
# decrypt(packet.copy()) is what one has to write.
set -eu

# shellcheck source=common
. "$(dirname "$0")/common"
command -v python3 >/dev/null || exit 2
unpack python3-scapy=2.5.0+dfsg-2

cat >"$dir/decrypt.py" <<'END'
import logging

logging.disable()  # of what scapy misses on this host
import scapy
from scapy.layers.inet import IP, UDP
from scapy.layers.ipsec import ESP, SecurityAssociation

print('scapy', scapy.VERSION)
ours, other = (SecurityAssociation(ESP, spi=spi, crypt_algo='NULL', auth_algo='NULL') for spi in (0x1000, 0x2000))


def show(words, packet):
    print(f'{words}: {packet.summary()}, {len(packet)} bytes')


clear = IP(src='192.0.2.7', dst='192.0.2.1') / UDP(sport=5062, dport=5063) / b'OPTIONS'
show('given to encrypt()', clear)
packet = IP(bytes(ours.encrypt(clear)))
show('  afterwards', clear)
show('given to decrypt()', packet)
try:
    other.decrypt(packet)
except TypeError as e:
    print('  by another SA:', e)
show('  afterwards', packet)
show('  decrypted', ours.decrypt(packet))
show('  afterwards', packet)
try:
    ours.decrypt(packet)
except TypeError as e:
    print('  again: TypeError')
END
seen=$(PYTHONPATH=$dir/usr/lib/python3/dist-packages python3 -W ignore "$dir/decrypt.py" 2>&1) || :

expected=$(cat <<'END'
scapy 2.5.0
given to encrypt(): IP / UDP 192.0.2.7:5062 > 192.0.2.1:5063 / Raw, 35 bytes
  afterwards: IP / UDP 192.0.2.7:5062 > 192.0.2.1:5063 / Raw, 35 bytes
given to decrypt(): 192.0.2.7 > 192.0.2.1 esp / ESP, 48 bytes
  by another SA: packet spi=0x1000 does not match the SA spi=0x2000
  afterwards: 192.0.2.7 > 192.0.2.1 esp / ESP, 48 bytes
  decrypted: IP / UDP 192.0.2.7:5062 > 192.0.2.1:5063 / Raw, 35 bytes
  afterwards: 192.0.2.7 > 192.0.2.1 udp, 20 bytes
  again: TypeError
END
)

compare "$seen" "$expected" 'decrypt() leaves a header of its argument'
