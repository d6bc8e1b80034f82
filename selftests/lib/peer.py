# SPDX-License-Identifier: GPL-2.0-only
"""A UE that owes the kernel nothing: ESP by scapy, TCP by hand.

What it sends and gets goes over the wire as U's device sees it; U's own kernel
has no SA, and takes no part.
"""
import collections
import os
import select
import struct
import sys
import time

from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from scapy.compat import raw
from scapy.config import conf
from scapy.layers import inet, inet6, ipsec

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
# pylint: disable=wrong-import-position
from ims import (AEAD, AUTH_KEY, ENC_KEY, ESP, GMAC, TCP, UDP, World, check, equal, fragments, ip,  # noqa: E402
                 layer4, quiet, table)
from net import FRAGMENT, checksum, dissect, pseudo  # noqa: E402

# What is in ESP is bytes to scapy, and quicker so
conf.layers.filter([inet.IP, inet6.IPv6, ipsec.ESP])

CRYPT = {'null': 'NULL', 'aes-cbc': 'AES-CBC', 'des-ede3-cbc': '3DES'}
AUTH = {'hmac-md5-96': 'HMAC-MD5-96', 'hmac-sha-1-96': 'HMAC-SHA1-96'}
SYN, RST, ACK = 2, 4, 16


class Gmac:
    """An SA of AES-GMAC, by RFC 4543, for scapy 2.5.0 has none.

    It is AES-GCM that encrypts nothing.  What it authenticates is SPI, sequence
    number, IV, and all of the payload with its padding, its length and the next
    header; the nonce is salt and IV.
    """

    def __init__(self, spi, key):
        self.spi, self.seq_num, self.mac, self.salt = spi, 1, AESGCM(key[:16]), key[16:]

    def encrypt(self, pkt, seq_num=None):
        header, proto, payload = ipsec.split_for_transport(pkt, ESP)
        data, iv, seq = raw(payload), os.urandom(8), seq_num or self.seq_num
        self.seq_num += seq_num is None
        pad = bytes(range(1, 1 + -(len(data) + 2) % 4))
        body = iv + data + pad + bytes([len(pad), proto])
        tag = self.mac.encrypt(self.salt + iv, b'', struct.pack('>II', self.spi, seq) + body)
        return header / ipsec.ESP(spi=self.spi, seq=seq, data=body + tag)

    def decrypt(self, pkt):
        esp = pkt[ipsec.ESP]
        body, tag = esp.data[:-16], esp.data[-16:]
        self.mac.decrypt(self.salt + body[:8], tag, struct.pack('>II', esp.spi, esp.seq) + body)
        data = body[8:len(body) - 2 - body[-2]]
        pkt.remove_payload()
        setattr(pkt, 'proto' if pkt.version == 4 else 'nh', body[-1])
        return pkt / data


def association(spi, pair, key=None):
    """One SA as scapy has it; key: another one of AES-GCM or AES-GMAC."""
    auth, enc = pair
    if pair in AEAD:
        key = key or bytes.fromhex(AEAD[pair][1])
        if AEAD[pair] is GMAC:
            return Gmac(spi, key)
        return ipsec.SecurityAssociation(ipsec.ESP, spi=spi, crypt_algo='AES-GCM', crypt_key=key)
    return ipsec.SecurityAssociation(ipsec.ESP, spi=spi, crypt_algo=CRYPT[enc], crypt_key=bytes.fromhex(ENC_KEY[enc]),
                                     auth_algo=AUTH[auth], auth_key=bytes.fromhex(AUTH_KEY[auth]))


Inner = collections.namedtuple('Inner', 'spi proto data')
Segment = collections.namedtuple('Segment', 'seq flags options data')


class Peer:
    """The UE of a bundle."""

    def __init__(self, b, mtu):
        self.b, self.mtu, self.table = b, mtu, table(b)
        pair = b['auth-alg'], b['enc-alg']
        self.sas = {spi: association(spi, pair) for spi in self.table}
        self.u, self.p = b['ue-address'], b['address']
        self.waiting, self.parts, self.packets = [], {}, []
        self.in_fragments = 0
        World.wire.packets()

    def scapy(self, proto, inner, src=None, dst=None):
        """An IP packet for scapy."""
        src, dst = src or self.u, dst or self.p
        if ':' in src:
            return inet6.IPv6(src=src, dst=dst, nh=proto) / inner
        return inet.IP(src=src, dst=dst, proto=proto) / inner

    def seal(self, name, proto, inner, seq=None, sa=None):
        """ESP's bytes behind the IP header: a packet into the SA named, or by another that has its SPI."""
        done = (sa or self.sas[self.b[name]]).encrypt(self.scapy(proto, inner), seq_num=seq)
        return raw(done[ipsec.ESP])

    def put(self, data):
        """ESP's bytes onto the wire, in fragments where they are too many."""
        # A socket does not see what it sends itself
        self.packets.append(data)
        head = 40 if ':' in self.u else 20
        if head + len(data) <= self.mtu:
            World.wire.send(ip(self.u, self.p, ESP, data))
            return
        # IPv6 has a header of 8 bytes more for it
        room = self.mtu - (48 if ':' in self.u else 20) & ~7
        World.wire.send(*fragments(self.u, self.p, ESP, data, room))

    def udp(self, name, data, seq=None, sa=None):
        """A datagram in ESP."""
        _, _, sport, dport, _ = self.table[self.b[name]]
        return self.seal(name, UDP, layer4(self.u, self.p, UDP, sport, dport, data), seq, sa)

    def whole(self, packet):
        """(protocol, what is behind the IP header), None while parts of it are missing."""
        if packet[0] >> 4 == 4:
            at, (length, ident, offset) = (packet[0] & 15) * 4, struct.unpack_from('>HHH', packet, 2)
            proto, more, offset = packet[9], offset >> 13 & 1, (offset & 0x1fff) * 8
            data = packet[at:length]
        else:
            proto, length, ident, more, offset = packet[6], struct.unpack_from('>H', packet, 4)[0], 0, 0, 0
            data = packet[40:40 + length]
            if proto == FRAGMENT:
                proto, offset, ident = struct.unpack_from('>BxHI', data)
                more, offset, data = offset & 1, offset & ~7, data[8:]
        if not more and not offset:
            return proto, data
        self.in_fragments += 1
        parts = self.parts.setdefault(ident, {})
        parts[offset] = (data, more)
        out = b''
        while len(out) in parts:
            data, more = parts[len(out)]
            out += data
            if not more:
                del self.parts[ident]
                return proto, out
        return None

    def take(self):
        """Deal with what has come over the wire."""
        for sent, packet in World.wire.packets():
            self.packets.append(packet)
            seen = dissect(packet, sent)
            check(seen.proto == ESP or quiet(seen), f'in clear on the wire: {seen}')
            found = not sent and seen.proto == ESP and self.whole(packet)
            if not found:
                continue
            spi, = struct.unpack_from('>I', found[1])
            src, dst, _, _, way = self.table[spi]
            equal(way, 'out', 'direction of an SA that P sends over')
            inner = self.sas[spi].decrypt(self.scapy(ESP, ipsec.ESP(found[1]), src, dst))
            proto, data = inner.proto if inner.version == 4 else inner.nh, raw(inner.payload)
            equal(checksum(pseudo(src, dst, proto, len(data)) + data), 0, 'checksum of what is in ESP')
            self.waiting.append(Inner(spi, proto, data))

    def get(self, name, proto, timeout=60):
        """The next one over the SA named; those over others wait, P may send a segment again."""
        end = time.monotonic() + timeout
        while True:
            self.take()
            for i, inner in enumerate(self.waiting):
                if inner.spi == self.b[name]:
                    equal(inner.proto, proto, f'protocol over {name}')
                    return self.waiting.pop(i).data
            left = end - time.monotonic()
            if left < 0 or not select.select([World.wire.sock], [], [], left)[0]:
                raise TimeoutError(f'nothing over {name} within {timeout} s: {self.waiting}')

    def datagram(self, name):
        """The next datagram's content."""
        data = self.get(name, UDP)
        _, _, sport, dport, _ = self.table[self.b[name]]
        equal(struct.unpack_from('>HHH', data), (sport, dport, len(data)), 'head of the datagram')
        return data[8:]


class Connection:
    """A TCP connection as it is on paper: in order, and nothing is lost on the way.

    `out` and `into` name the SAs.  P opens it where `opened` is false.
    """
    MSS = 1300

    def __init__(self, peer, out, into, opened=True):
        self.peer, self.out, self.into = peer, out, into
        _, _, self.sport, self.dport, _ = peer.table[peer.b[out]]
        # It passes 2^32 on the way, as it may
        self.seq, self.acked, self.next, self.mss = 0xfffffc00, None, 0, self.MSS
        # A maximum segment size is the one option that there is
        mss = struct.pack('>BBH', 2, 4, self.MSS)
        if opened:
            self.say(SYN, options=mss)
        first = self.segment()
        equal(first.flags, SYN | ACK if opened else SYN, 'what opens a connection')
        equal(first.options[:2], mss[:2], 'the first option')
        self.next = first.seq + 1 & 0xffffffff
        self.mss = min(self.MSS, *struct.unpack_from('>H', first.options, 2))
        if opened:
            self.say(ACK)
        else:
            self.say(SYN | ACK, options=mss)
        self.wait_acked()

    def say(self, flags, data=b'', options=b''):
        head = struct.pack('>HHIIBBHHH', self.sport, self.dport, self.seq, self.next if flags & ACK else 0,
                           5 + len(options) // 4 << 4, flags, 65535, 0, 0) + options
        self.seq = self.seq + len(data) + bool(flags & SYN) & 0xffffffff
        whole = head + data
        value = checksum(pseudo(self.peer.u, self.peer.p, TCP, len(whole)) + whole)
        self.peer.put(self.peer.seal(self.out, TCP, whole[:16] + struct.pack('>H', value) + whole[18:]))

    def segment(self):
        """The next one from P, new or not."""
        data = self.peer.get(self.into, TCP)
        sport, dport, seq, ack, at, flags = struct.unpack_from('>HHIIBB', data)
        equal((sport, dport), (self.dport, self.sport), 'ports of a segment')
        check(not flags & RST, f'P has reset the connection: flags {flags:#x}, number {seq}, {self.next} expected, '
                               f'acknowledged {ack}, {self.seq} sent, {World.p.tcp_stat()}')
        if flags & ACK:
            self.acked = ack
        at = (at >> 4) * 4
        return Segment(seq, flags, data[20:at], data[at:])

    def wait_acked(self):
        while self.acked != self.seq:
            self.segment()

    def send(self, data):
        """In segments of the MSS."""
        for at in range(0, len(data), self.mss):
            self.say(ACK, data[at:at + self.mss])

    def receive(self, size):
        """So many bytes; they are acknowledged with what is sent next."""
        out = b''
        while len(out) < size:
            s = self.segment()
            check(len(s.data) <= self.MSS, f'{len(s.data)} bytes in a segment')
            if s.seq == self.next:
                out, self.next = out + s.data, self.next + len(s.data) & 0xffffffff
        return out

    def finish(self):
        """All is acknowledged, both ways, and the connection reset."""
        self.say(ACK)
        self.wait_acked()
        self.say(RST | ACK)
