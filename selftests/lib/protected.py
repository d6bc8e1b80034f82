# SPDX-License-Identifier: GPL-2.0-only
"""What the tests of the guard share: protected ports, and who tries to get round it."""
import contextlib
import functools
import os
import socket
import struct
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
# pylint: disable=wrong-import-position
from ims import (ADDRESSES, AUTH_KEY, DSTOPTS, ESP, PORT_PC, PORT_PS, PORT_UC, UDP, UDPLITE,  # noqa: E402
                 Fail, Skip, World, accepted, bundle, check, endpoint, equal, esp_data, family, fragments, ip, ip4, layer4, pending,
                 quiet, receive, table, wait)


def has_socket(proto):
    """Has the kernel datagram sockets of this protocol?"""
    try:
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM, proto).close()
    except OSError:
        return False
    return True


PORTS = (PORT_PS, *PORT_PC)
FREE, CLOSED = 9999, 9998
# Newer kernels have no UDP-Lite; packets of it come all the same
LITE = has_socket(UDPLITE)


def need_lite():
    """For what is about nothing but those sockets; other tests go without where there are none."""
    if not LITE:
        raise Skip('this kernel has no UDP-Lite sockets')


STAGES = ('before the first bundle', 'with a bundle', 'after the last bundle')
BEFORE, WITH, AFTER = STAGES
XFRM_POLICY_IN, XFRM_POLICY_OUT = 0, 1


class Case:
    """An endpoint, with or without a bundle, and sockets that would get what slips through."""

    def __init__(self, fam, stage=BEFORE, guard=None, sockets=True):
        self.fam = fam
        self.p, self.u = ADDRESSES[fam]
        # As the SIP server has them: bound before there is an endpoint, too
        ports = PORTS if sockets else ()
        self.udp = [World.p.udp(self.p, port) for port in ports]
        self.lite = [World.p.udp(self.p, port, UDPLITE) for port in ports if LITE]
        self.tcp = [World.p.tcp(self.p, port, True) for port in ports]
        self.free = World.p.udp(self.p, FREE)
        self.phone = World.u.udp(self.u, FREE)
        self.more = []
        self.ep = endpoint(self.p, **({'guard': guard} if guard else {}))
        self.b = None
        if stage != BEFORE:
            self.b = bundle(self.ep, ue_address=self.u, enc_alg='null')
            World.nl.do('bundle-confirm', id=self.b['id'], lifetime=600000)
            if stage == AFTER:
                World.nl.do('bundle-del', id=self.b['id'])
        World.wire.seen()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for s in (*self.udp, *self.lite, *self.tcp, self.free, self.phone, *self.more):
            s.close()

    @functools.cached_property
    def by_hand(self):
        """The UE of the bundle; there is one, for it counts."""
        return ByHand(self.b)

    def keep(self, s):
        """A socket that is closed with the others."""
        self.more.append(s)
        return s

    def client(self, port):
        """A TCP socket at a protected port that does not listen."""
        index = PORTS.index(port)
        self.tcp[index].close()
        self.tcp[index] = World.p.tcp(self.p, port)
        return self.tcp[index]

    def counts(self):
        return drops(self.ep)

    def count(self, what):
        return self.counts()[what]

    @contextlib.contextmanager
    def counted(self, text, **expected):
        """What is done meanwhile is dropped and counted: so many, for these reasons and no other."""
        was = self.counts()
        expected = {k.replace('_', '-'): v for k, v in expected.items() if v}

        def grown():
            return {k: v - was[k] for k, v in self.counts().items() if v != was[k]}
        yield
        # What comes out of ESP may be behind a packet in clear that came later
        try:
            wait(lambda: sum(grown().values()) >= sum(expected.values()), 'counted', 10)
        except Fail:
            pass
        equal(grown(), expected, f'{text}: counted')

    def passed(self):
        """All that was put on the wire before has been dealt with: one more packet is through."""
        World.wire.send(ip(self.u, self.p, UDP, layer4(self.u, self.p, UDP, FREE, FREE, b'marker')))
        equal(receive(self.free), b'marker', 'a port that is not protected')

    def left(self):
        """The same for what P has sent."""
        self.free.sendto(b'marker', (self.u, FREE))
        equal(receive(self.phone), b'marker', 'a port that is not protected')

    def nothing_in(self, text):
        """Nothing has been delivered to a protected port."""
        equal(pending(*self.udp, *self.lite, *self.more), [], f'{text}: delivered')
        for s in self.tcp:
            if s.fileno() >= 0 and s.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
                check(not accepted(s), f'{text}: accepted')

    def nothing_out(self, text):
        """P has said nothing in clear from a protected port."""
        # U's own probes are sent; what P lets out is received
        clear = [s for s in World.wire.seen()
                 if not s.sent and s.proto != ESP and not quiet(s) and s.sport != FREE]
        check(not clear, f'{text}: in clear on the wire: {clear[:3]}')

    def silent(self, text):
        """P has said nothing at all, protected or not."""
        said = [s for s in World.wire.seen() if not s.sent and not quiet(s) and s.sport != FREE]
        check(not said, f'{text}: on the wire: {said[:3]}')

    def put(self, text, *packets, **expected):
        """Packets come over the wire and are counted so; they are not delivered, nor answered."""
        with self.counted(text, **expected):
            World.wire.send(*packets)
            self.passed()
            self.nothing_in(text)
        self.nothing_in(text)
        self.silent(f'{text}: an answer')

    def clear(self, sport=5060, port=PORT_PS, proto=UDP):
        """A plaintext packet to a protected port."""
        return ip(self.u, self.p, proto, layer4(self.u, self.p, proto, sport, port, bytes(40)))

    def work(self):
        """What is protected works, both ways, as if nothing had been: packets by hand one way."""
        for index, name in ((0, 'spi-ps'), (PORTS.index(self.b['port-pc']), 'spi-pc')):
            World.wire.send(self.by_hand.udp(name, b'right'))
            equal(receive(self.udp[index]), b'right', f'what {name} is for')
        World.wire.seen()
        for index, port in ((0, self.b['port-uc']), (PORTS.index(self.b['port-pc']), self.b['port-us'])):
            self.udp[index].sendto(b'right', (self.u, port))
        self.left()
        equal([s.spi for s in World.wire.seen() if not s.sent and s.proto == ESP],
              [self.b['spi-uc'], self.b['spi-us']], 'SPIs that P sends')


class ByHand:
    """The UE's ESP made by hand, with valid keys: whatever is in it."""

    def __init__(self, b):
        self.b, self.seq = b, 0
        self.key = bytes.fromhex(AUTH_KEY[b['auth-alg']])

    def data(self, name, proto, inner, seq=None):
        """What is behind the IP header."""
        self.seq += 1
        return esp_data(self.b[name], seq or self.seq, proto, inner, self.b['auth-alg'], self.key)

    def packet(self, name, proto, inner, src=None, seq=None):
        return ip(src or self.b['ue-address'], self.b['address'], ESP, self.data(name, proto, inner, seq))

    def udp(self, name, data=b'', sport=None, port=None, src=None, proto=UDP, seq=None):
        """A datagram, or a SYN; its ports are the SA's if none are given."""
        u, p, s, d, _ = table(self.b)[self.b[name]]
        return self.packet(name, proto, layer4(src or u, p, proto, sport or s, port or d, data), src, seq)


def drops(ep):
    """The counters of an endpoint, by reason."""
    got = World.nl.do('endpoint-get', id=ep['id'])
    return {k[5:]: v for k, v in got.items() if k.startswith('drop-')}


def forms(fam, src, dst, proto, data):
    """The ways in which a packet can come: name and IP packets."""
    yield 'whole', [ip(src, dst, proto, data)]
    yield 'fragments', fragments(src, dst, proto, data, 16)
    yield 'fragments backwards', fragments(src, dst, proto, data, 16)[::-1]
    if fam == 'IPv4':
        yield 'options', [ip4(src, dst, proto, data, options=b'\1\1\1\1')]
    else:
        yield 'atomic fragment', fragments(src, dst, proto, data, 4096)
        yield 'destination options', [ip(src, dst, DSTOPTS, struct.pack('>BBBB4x', proto, 0, 1, 4) + data)]


def try_to_send(c, port):
    """Everything that a program can do to get out from a port; how many packets at least."""
    index, n = PORTS.index(port), 1
    for s in (c.udp[index], *c.lite[index:index + 1]):
        n += 2
        for data, to in ((b'out', FREE), (bytes(4000), PORT_UC)):
            try:
                s.sendto(data, (c.u, to))
            except OSError:
                pass
    client = c.client(port)
    client.connect_ex((c.u, FREE))
    # It would try again after a second
    client.close()
    return n


def raw_packets(c, port, protos):
    """Packets that a raw socket sends from a protected port; how many."""
    raw = World.p.socket(family(c.p), socket.SOCK_RAW, socket.IPPROTO_RAW)
    n = 0
    for proto in protos:
        data = layer4(c.p, c.u, proto, port, PORT_UC, bytes(40))
        for name, packets in forms(c.fam, c.p, c.u, proto, data):
            # A raw socket's fragments have ports in the first one only
            for packet in packets[:1] if name != 'fragments backwards' else []:
                n += 1
                try:
                    raw.sendto(packet, (c.u, 0))
                except PermissionError:
                    pass
    raw.close()
    return n


def allow_all(s, direction):
    """A policy of the socket's own: everything may pass without IPsec."""
    selector = struct.pack('=40xH14x', s.family)
    limits = struct.pack('=4Q32x', *[(1 << 64) - 1] * 4)
    info = selector + limits + bytes(32) + struct.pack('=IIBBBB4x', 0, 0, direction, 0, 0, 0)
    level, option = ((socket.IPPROTO_IPV6, 35) if s.family == socket.AF_INET6 else  # IPV6_XFRM_POLICY
                     (socket.IPPROTO_IP, 17))  # IP_XFRM_POLICY
    s.setsockopt(level, option, info)
