#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only
"""A10: nothing unprotected is received on or sent from a protected port."""
import os
import socket
import struct
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '../lib'))
from ims import *  # noqa: E402,F403  pylint: disable=wildcard-import,unused-wildcard-import,wrong-import-position

PORTS = (PORT_PS, *PORT_PC)
FREE = 9999
STAGES = ('before the first bundle', 'with a bundle', 'after the last bundle')


class Case:
    """An endpoint, with or without a bundle, and sockets that would get what slips through."""

    def __init__(self, fam, stage=STAGES[0]):
        self.fam = fam
        self.p, self.u = ADDRESSES[fam]
        # As the SIP server has them: bound before there is an endpoint, too
        self.udp = [World.p.udp(self.p, port) for port in PORTS]
        self.lite = [World.p.udp(self.p, port, UDPLITE) for port in PORTS]
        self.tcp = [World.p.tcp(self.p, port, True) for port in PORTS]
        self.free = World.p.udp(self.p, FREE)
        self.phone = World.u.udp(self.u, FREE)
        self.ep = endpoint(self.p)
        if stage != STAGES[0]:
            b = bundle(self.ep, ue_address=self.u)
            World.nl.do('bundle-confirm', id=b['id'], lifetime=600000)
            if stage == STAGES[2]:
                World.nl.do('bundle-del', id=b['id'])
        World.wire.seen()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for s in (*self.udp, *self.lite, *self.tcp, self.free, self.phone):
            s.close()

    def count(self, what):
        return World.nl.do('endpoint-get', id=self.ep['id'])[f'drop-{what}']

    def passed(self):
        """All that was put on the wire before has been dealt with: one more packet is through."""
        World.wire.send(ip(self.u, self.p, UDP, layer4(self.u, self.p, UDP, FREE, FREE, b'marker')))
        equal(receive(self.free), b'marker', 'a port that is not protected')

    def left(self):
        """The same for what P has sent."""
        self.free.sendto(b'marker', (self.u, FREE))
        equal(receive(self.phone), b'marker', 'a port that is not protected')

    def nothing_in(self, text):
        equal(pending(*self.udp, *self.lite), [], f'{text}: delivered')
        check(not any(accepted(s) for s in self.tcp), f'{text}: accepted')

    def nothing_out(self, text):
        # U's own probes are sent; what P lets out is received
        clear = [s for s in World.wire.seen()
                 if not s.sent and s.proto != ESP and not quiet(s) and s.sport != FREE]
        check(not clear, f'{text}: in clear on the wire: {clear[:3]}')


def forms(fam, src, dst, proto, data):
    """The ways in which a packet can come: name and IP packets."""
    yield 'whole', [ip(src, dst, proto, data)]
    yield 'fragments', fragments(src, dst, proto, data, 16)
    yield 'fragments backwards', fragments(src, dst, proto, data, 16)[::-1]
    if fam == 'IPv6':
        yield 'atomic fragment', fragments(src, dst, proto, data, 4096)
        yield 'destination options', [ip(src, dst, 60, struct.pack('>BBBB4x', proto, 0, 1, 4) + data)]


@test('A10', 'in: plaintext to protected ports is dropped and counted, {}',
      each=tuple((f, s) for f in ADDRESSES for s in STAGES))
def plaintext_in(case):
    fam, stage = case
    with Case(fam, stage) as c:
        for proto, name in ((UDP, 'UDP'), (TCP, 'SYN'), (UDPLITE, 'UDP-Lite')):
            for port in PORTS:
                was, n = c.count('plaintext-in'), 0
                for sport in (PORT_UC, PORT_US, 5060):
                    for _, packets in forms(fam, c.u, c.p, proto, layer4(c.u, c.p, proto, sport, port, bytes(40))):
                        World.wire.send(*packets)
                        n += 1
                c.passed()
                text = f'{name} to port {port}'
                c.nothing_in(text)
                c.nothing_out(f'answer to {text}')
                got = c.count('plaintext-in') - was
                check(got >= n, f'{text}: {got} counted of {n}')


@test('A10', 'in: every single form is dropped, {}', each=ADDRESSES)
def single_forms(fam):
    # One by one: above, a hole in one form could hide behind another that is counted twice
    with Case(fam, STAGES[1]) as c:
        for proto in (UDP, TCP, UDPLITE):
            for name, packets in forms(fam, c.u, c.p, proto, layer4(c.u, c.p, proto, 5060, PORT_PS, bytes(40))):
                was = c.count('plaintext-in')
                World.wire.send(*packets)
                c.passed()
                c.nothing_in(f'protocol {proto}, {name}')
                check(c.count('plaintext-in') > was, f'protocol {proto}, {name}: not counted')


@test('A10', 'in: plaintext over lo is dropped and counted, {}', each=ADDRESSES)
def loopback(fam):
    with Case(fam, STAGES[1]) as c:
        for n, port in enumerate(PORTS):
            for data in (b'x', bytes(5000)):
                was = c.count('plaintext-in')
                with World.p:
                    s = socket.socket(family(c.p), socket.SOCK_DGRAM)
                    s.sendto(data, (c.p, port))
                    s.sendto(b'marker', (c.p, FREE))
                equal(receive(c.free), b'marker', 'a port that is not protected')
                s.close()
                c.nothing_in('a datagram over lo')
                check(c.count('plaintext-in') > was, 'not counted')
            was = c.count('plaintext-in')
            s = World.p.tcp(c.p, 9000 + n)
            s.connect_ex((c.p, port))
            wait(lambda: c.count('plaintext-in') > was, 'the SYN is counted')
            check(not any(accepted(x) for x in c.tcp), 'a connection over lo')
            s.close()


@test('A10', 'in: ESP over an SA of somebody else is dropped and counted, {}', each=ADDRESSES)
def foreign_sa(fam):
    with Case(fam, STAGES[1]) as c:
        key = bytes.fromhex(AUTH_KEY['hmac-md5-96'])
        World.p.ip(f'xfrm state add src {c.u} dst {c.p} proto esp spi 0x1234 mode transport '
                   f'auth-trunc hmac(md5) 0x{key.hex()} 96 enc ecb(cipher_null) ""')

        def send(seq, port):
            World.wire.send(esp(c.u, c.p, 0x1234, seq, UDP, layer4(c.u, c.p, UDP, PORT_UC, port, b'foreign'),
                                'hmac-md5-96', key))
        send(1, FREE)
        equal(receive(c.free), b'foreign', 'over the foreign SA to a port that is not protected')
        for seq, port in enumerate(PORTS, 2):
            was = c.count('foreign-sa')
            send(seq, port)
            wait(lambda: c.count('foreign-sa') > was, f'port {port}: counted')
        c.nothing_in('over a foreign SA')


@test('A10', 'in: the hook holds without policies, and other SAs of the host go on, {}', each=ADDRESSES)
def flushed_in(fam):
    with Case(fam, STAGES[0]) as c:
        World.p.ip('xfrm policy flush')
        equal(World.p.count('policy'), 0, 'policies after the flush')
        for proto in (UDP, TCP, UDPLITE):
            for port in PORTS:
                was = c.count('plaintext-in')
                World.wire.send(ip(c.u, c.p, proto, layer4(c.u, c.p, proto, PORT_UC, port, b'')))
                c.passed()
                c.nothing_in(f'protocol {proto}, port {port}')
                equal(c.count('plaintext-in'), was + 1, 'drop-plaintext-in')
                c.nothing_out('an answer')


def try_to_send(c, port):
    """Everything that a program can do to get out from a port."""
    index = PORTS.index(port)
    for s in (c.udp[index], c.lite[index]):
        for data, to in ((b'out', FREE), (bytes(4000), PORT_UC)):
            try:
                s.sendto(data, (c.u, to))
            except OSError:
                pass
    c.tcp[index].close()
    c.tcp[index] = World.p.tcp(c.p, port)
    c.tcp[index].connect_ex((c.u, FREE))


def raw_packets(c, port):
    raw = World.p.socket(family(c.p), socket.SOCK_RAW, socket.IPPROTO_RAW)
    n = 0
    for proto in (UDP, TCP, UDPLITE):
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


@test('A10', 'out: nothing leaves in clear, {}', each=tuple((f, s) for f in ADDRESSES for s in STAGES))
def plaintext_out(case):
    fam, stage = case
    with Case(fam, stage) as c:
        for port in PORTS:
            try_to_send(c, port)
            c.left()
            c.nothing_out(f'sockets at port {port}')


@test('A10', 'out: the hook holds without policies, {}', each=ADDRESSES)
def flushed_out(fam):
    with Case(fam, STAGES[0]) as c:
        World.p.ip('xfrm policy flush')
        for port in PORTS:
            was = c.count('plaintext-out')
            try_to_send(c, port)
            c.left()
            c.nothing_out(f'sockets at port {port}')
            # Two UDP, two UDP-Lite, one SYN at least
            check(c.count('plaintext-out') >= was + 5, f'{c.count("plaintext-out") - was} counted of 5')


@test('A10', 'out: packets of raw sockets are dropped and counted, {}', each=ADDRESSES)
def raw_out(fam):
    with Case(fam, STAGES[1]) as c:
        for port in PORTS:
            was = c.count('plaintext-out')
            n = raw_packets(c, port)
            c.left()
            c.nothing_out(f'raw sockets, port {port}')
            equal(c.count('plaintext-out') - was, n, 'drop-plaintext-out')


@test('A10', 'out: an established connection sends nothing in clear when its bundle has gone, {}', each=ADDRESSES)
def connection(fam):
    p, u = ADDRESSES[fam]
    b = bundle(endpoint(p), ue_address=u)
    free, phone_free = World.p.udp(p, FREE), World.u.udp(u, FREE)
    with Phone(b) as phone:
        ends = phone.connect('spi-ps')
        phone.talk(ends)
        World.nl.do('bundle-del', id=b['id'])
        World.wire.seen()
        for end in ends[::-1]:
            end.send(b'after')
        for s in (phone.ps, phone.pc):
            try:
                s.sendto(b'after', (u, PORT_UC))
            except OSError:
                pass
        free.sendto(b'marker', (u, FREE))
        equal(receive(phone_free), b'marker', 'a port that is not protected')
        clear = [s for s in World.wire.seen() if s.proto != ESP and not quiet(s) and FREE not in (s.sport, s.dport)]
        check(not clear, f'in clear on the wire: {clear[:3]}')
        equal(pending(ends[1]), [], 'received in P')
    free.close()
    phone_free.close()


@test('A10', 'ports and addresses that are not protected go on working, {}', each=ADDRESSES)
def unrelated(fam):
    p, u = ADDRESSES[fam]
    second = {'IPv4': '192.0.2.3', 'IPv6': '2001:db8::3'}[fam]
    World.p.ip(f'addr replace {second}/{24 if fam == "IPv4" else 64} dev p0'
               + (' nodad' if fam == 'IPv6' else ''))
    World.u.ip(f'neigh replace {second} lladdr 02:00:00:00:00:01 dev u0 nud permanent')
    bundle(endpoint(p), ue_address=u)
    for addr, port in ((p, FREE), (p, 5060), (second, PORT_PS), (second, PORT_PC[0])):
        a, b = World.p.udp(addr, port), World.u.udp(u, FREE)
        b.sendto(b'hello', (addr, port))
        equal(receive(a), b'hello', f'to {addr} port {port}')
        a.sendto(b'hello', (u, FREE))
        equal(receive(b), b'hello', f'from {addr} port {port}')
        listener, client = World.p.tcp(addr, port, True), World.u.tcp(u, FREE)
        client.connect_ex((addr, port))
        server = wait(lambda: accepted(listener), f'a TCP connection to {addr} port {port}')
        server.send(b'hello')
        equal(receive(client), b'hello', 'over TCP')
        # A UE may use a number that is protected at P
        c = World.u.udp(u, PORT_PS)
        c.sendto(b'hello', (addr, port))
        equal(receive(a), b'hello', f'from the port {PORT_PS} of the UE')
        a.sendto(b'hello', (u, PORT_PS))
        equal(receive(c), b'hello', f'to the port {PORT_PS} of the UE')
        for s in (a, b, c, listener, client, server):
            s.close()
    World.p.ip(f'addr del {second}/{24 if fam == "IPv4" else 64} dev p0')


@test('A10', 'after endpoint-del the ports work in clear, {}', each=ADDRESSES)
def opened_again(fam):
    with Case(fam, STAGES[2]) as c:
        World.nl.do('endpoint-del', id=c.ep['id'])
        nothing_left()
        for s, port in zip(c.udp, PORTS):
            c.phone.sendto(b'hello', (c.p, port))
            equal(receive(s), b'hello', f'to port {port}')
            s.sendto(b'hello', (c.u, FREE))
            equal(receive(c.phone), b'hello', f'from port {port}')


@test('A10', 'another endpoint of the same address stays shut when one goes, {}', each=ADDRESSES)
def two_endpoints(fam):
    with Case(fam, STAGES[0]) as c:
        other = endpoint(c.p, port_ps=9001, port_pc=9002)
        World.nl.do('endpoint-del', id=other['id'])
        for port in PORTS:
            was = c.count('plaintext-in')
            World.wire.send(ip(c.u, c.p, UDP, layer4(c.u, c.p, UDP, PORT_UC, port, b'')))
            c.passed()
            c.nothing_in(f'port {port}')
            equal(c.count('plaintext-in'), was + 1, 'drop-plaintext-in')


if __name__ == '__main__':
    main(setup, before, teardown)
