#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only
"""A10: nothing unprotected is received on or sent from a protected port."""
import os
import socket
import struct
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '../lib'))
from ims import *  # noqa: E402,F403  pylint: disable=wildcard-import,unused-wildcard-import,wrong-import-position
from protected import *  # noqa: E402,F403  pylint: disable=wildcard-import,unused-wildcard-import,wrong-import-position

PROTOCOLS = {'UDP': UDP, 'TCP': TCP, 'UDP-Lite': UDPLITE, 'SCTP': SCTP, 'DCCP': DCCP}


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
    with Case(fam, WITH) as c:
        for proto in (UDP, TCP, UDPLITE):
            for name, packets in forms(fam, c.u, c.p, proto, layer4(c.u, c.p, proto, 5060, PORT_PS, bytes(40))):
                was = c.count('plaintext-in')
                World.wire.send(*packets)
                c.passed()
                c.nothing_in(f'protocol {proto}, {name}')
                check(c.count('plaintext-in') > was, f'protocol {proto}, {name}: not counted')


@test('A10', 'out: nothing leaves in clear, {}', each=tuple((f, s) for f in ADDRESSES for s in STAGES))
def plaintext_out(case):
    fam, stage = case
    with Case(fam, stage) as c:
        for port in PORTS:
            try_to_send(c, port)
            c.left()
            c.nothing_out(f'sockets at port {port}')


@test('A10', 'UDP-Lite: a socket at a protected port gets nothing in clear, and nothing leaves from it, {}',
      each=tuple((f, s) for f in ADDRESSES for s in STAGES))
def lite_sockets(case):
    need_lite()
    fam, stage = case
    with Case(fam, stage) as c:
        for port, s in zip(PORTS, c.lite):
            c.put(f'UDP-Lite to port {port}', c.clear(5060, port, UDPLITE), plaintext_in=1)
            with c.counted(f'UDP-Lite from port {port}', **{'cross_pair' if stage == WITH else 'no_live_set': 1}):
                try:
                    s.sendto(b'out', (c.u, FREE))
                except OSError:
                    pass
            c.left()
            c.silent(f'UDP-Lite from port {port}')


@test('A10', 'out: packets of raw sockets are dropped and counted, {}',
      each=tuple((f, n) for f in ADDRESSES for n in PROTOCOLS))
def raw_out(case):
    fam, name = case
    with Case(fam, WITH) as c:
        for port in PORTS:
            was = c.count('plaintext-out')
            n = raw_packets(c, port, (PROTOCOLS[name],))
            c.left()
            c.nothing_out(f'raw sockets, port {port}')
            equal(c.count('plaintext-out') - was, n, 'drop-plaintext-out')


@test('A10', 'in: any transport protocol is dropped and counted, {}',
      each=tuple((f, n) for f in ADDRESSES for n in PROTOCOLS))
def protocols(case):
    fam, name = case
    proto = PROTOCOLS[name]
    with Case(fam, WITH) as c:
        # It would get what passes the guard, of whatever protocol
        raw = c.keep(World.p.socket(family(c.p), socket.SOCK_RAW, proto))
        raw.setblocking(False)
        World.wire.send(c.clear(5060, FREE, proto))
        check(receive(raw), 'a packet to a port that is not protected')
        pending(raw, c.free)
        World.wire.seen()
        for port in PORTS:
            was = c.count('plaintext-in')
            for n, packets in forms(fam, c.u, c.p, proto, layer4(c.u, c.p, proto, 5060, port, bytes(40))):
                World.wire.send(*packets)
                c.passed()
                if proto == UDP:
                    pending(raw)  # the marker
                c.nothing_in(f'{name}, {n}')
                check(c.count('plaintext-in') > was, f'{name}, {n}: not counted')
                was = c.count('plaintext-in')
            c.nothing_out(f'an answer to {name}')


def unparsable(fam, src, dst):
    """Packets that do not say to which port they go, or from which: name and packet."""
    for proto in (UDP, TCP, SCTP):
        for size in (0, 1, 3):
            yield f'{size} bytes of protocol {proto}', ip(src, dst, proto, bytes(size))
    if fam == 'IPv4':
        return
    options = struct.pack('>BBBB4x', UDP, 0, 1, 4)
    for size in (0, 3):
        yield f'{size} bytes of UDP in a first fragment', fragment(src, dst, UDP, 0, True, bytes(size))
        yield f'{size} bytes of UDP in an atomic fragment', fragment(src, dst, UDP, 0, False, bytes(size))
    yield 'no UDP yet in a first fragment', fragment(src, dst, DSTOPTS, 0, True, options)
    yield 'options that are cut off', ip(src, dst, DSTOPTS, struct.pack('>BBBB4x', UDP, 9, 1, 4))
    yield 'options without anything', ip(src, dst, DSTOPTS, b'')
    yield 'options cut off in a first fragment', fragment(src, dst, DSTOPTS, 0, True, bytes([UDP, 9]) + bytes(6))
    yield 'a fragment header that is cut off', ip(src, dst, 44, bytes([UDP, 0, 0, 0]))


@test('A10', 'in: what cannot be parsed is dropped and counted, {}', each=ADDRESSES)
def unparsable_in(fam):
    with Case(fam, WITH) as c:
        for name, packet in unparsable(fam, c.u, c.p):
            with c.counted(name, plaintext_in=1):
                World.wire.send(packet)
                c.passed()
            c.nothing_in(name)
            c.nothing_out(f'an answer to {name}')


@test('A10', 'out: what cannot be parsed is dropped and counted, {}', each=ADDRESSES)
def unparsable_out(fam):
    with Case(fam, WITH) as c:
        raw = c.keep(World.p.socket(family(c.p), socket.SOCK_RAW, socket.IPPROTO_RAW))
        raw.setblocking(False)
        for name, packet in unparsable(fam, c.p, c.u):
            with c.counted(name, plaintext_out=1):
                try:
                    raw.sendto(packet, (c.u, 0))
                except PermissionError:
                    pass
            c.left()
            c.nothing_out(name)


@test('A10', 'out: a later fragment leaves whatever is in it: it has no ports, {}', each=('IPv4',))
def later_out(fam):
    with Case(fam, WITH) as c:
        raw = c.keep(World.p.socket(family(c.p), socket.SOCK_RAW, socket.IPPROTO_RAW))
        # What would be the ports, were it whole; here it is in the midst of a datagram
        for sport, dport in ((PORT_PS, FREE), (PORT_PS, PORT_UC), (FREE, FREE)):
            _, later = fragments(c.p, c.u, UDP, layer4(c.p, c.u, UDP, FREE, FREE, bytes(56)) +
                                 struct.pack('>HH', sport, dport) + bytes(28), 64)
            with c.counted(f'{sport} to {dport}'):
                raw.sendto(later, (c.u, 0))
                wait(lambda: [s for s in World.wire.seen() if not s.sent and s.proto == UDP], 'it leaves')


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
        # Both ends know, or will, when they try
        for end in ends[::-1]:
            try:
                end.send(b'after')
            except ConnectionError:
                pass
        for s in (phone.ps, phone.pc):
            try:
                s.sendto(b'after', (u, PORT_UC))
            except OSError:
                pass
        free.sendto(b'marker', (u, FREE))
        equal(receive(phone_free), b'marker', 'a port that is not protected')
        clear = [s for s in World.wire.seen() if s.proto != ESP and not quiet(s) and FREE not in (s.sport, s.dport)]
        check(not clear, f'in clear on the wire: {clear[:3]}')
        try:
            equal(ends[1].recv(100), b'', 'received in P')
        except (BlockingIOError, ConnectionError):
            pass
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


@test('A10', 'fragments with options before the ports are judged by the first one, {}', each=('IPv6',))
def options(fam):
    with Case(fam, WITH) as c:
        for port in (FREE, PORT_PS):
            head = struct.pack('>BBBB4x', UDP, 0, 1, 4)
            packets = fragments(c.u, c.p, DSTOPTS, head + layer4(c.u, c.p, UDP, 5060, port, bytes(200)), 64)
            if port == FREE:
                World.wire.send(*packets)
                equal(receive(c.free), bytes(200), 'a port that is not protected')
            else:
                c.put('a protected port', *packets, plaintext_in=1)


@test('A10', 'after endpoint-del the ports work in clear, {}', each=ADDRESSES)
def opened_again(fam):
    with Case(fam, AFTER) as c:
        World.nl.do('endpoint-del', id=c.ep['id'])
        nothing_left()
        for s, port in zip(c.udp, PORTS):
            c.phone.sendto(b'hello', (c.p, port))
            equal(receive(s), b'hello', f'to port {port}')
            s.sendto(b'hello', (c.u, FREE))
            equal(receive(c.phone), b'hello', f'from port {port}')


@test('A10', 'another endpoint of the same address stays shut when one goes, {}', each=ADDRESSES)
def two_endpoints(fam):
    with Case(fam, BEFORE) as c:
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
