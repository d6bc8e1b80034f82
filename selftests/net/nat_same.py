#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only
"""UEs that have the same address, ports or SPIs, behind one NAT or several.

Marks keep them apart. The UEs are made by hand (lib/natted.py).
"""
import fcntl
import os
import select
import socket
import struct
import sys
import termios

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '../lib'))
from ims import *  # noqa: E402,F403  pylint: disable=wildcard-import,unused-wildcard-import,wrong-import-position
from natted import *  # noqa: E402,F403  pylint: disable=wildcard-import,unused-wildcard-import,wrong-import-position
from net import checksum, pseudo  # noqa: E402  pylint: disable=wrong-import-position

# Where all have one address within, marks alone tell so many apart; what is easier is the same with few
MANY = int(os.environ.get('UES') or (200 if os.path.exists('/proc/exitcode') else 1000))
FEW = int(os.environ.get('UES') or 200)
WHERE = ('behind two NATs', 'behind one NAT')
EACH = tuple((w, f) for w in WHERE for f in ADDRESSES)
SYN, RST, ACK = 2, 4, 16


def pair(ep, fam, where, **more):
    """Two registrations whose UEs have one address within and the same ports, and their UEs."""
    one = where == 'behind one NAT'
    both = []
    for n in (1, 2):
        at = OUTER[fam] if one or n == 1 else OTHER[fam]
        both.append(confirm(nat_bundle(ep, n, ue_address=OUTER[fam] if one else INNER[fam], ue_nat_address=at,
                                       ue_nat_port=60000 + n, **more)))
    return [Handset(b) for b in both]


def apart(sip, ues, rounds=3):
    """Each one's messages have its mark, and what has its mark goes to it."""
    for _ in range(rounds):
        for ue in ues:
            ue.deliver(sip)
        for ue in ues[::-1]:
            ue.deliver(sip, 'spi-pc')
        for name in ('spi-uc', 'spi-us'):
            for ue in ues:
                ue.reached(sip, name)


@test('G7 G6', 'the same address within and the same ports: told apart by their marks, {}', each=EACH)
def same_inside(case):
    where, fam = case
    ep = nat_endpoint(fam, port_pc=[7807])
    with Sip(ep) as sip:
        ues = pair(ep, fam, where)
        equal([bool(get(ue.b).get('udp-only')) for ue in ues], [False, True], 'udp-only')
        check(ues[0].b['mark'] >> 2 != ues[1].b['mark'] >> 2, 'one mark')
        apart(sip, ues)
        # Without a mark it is nobody's
        for mark in (None, ues[1].b['mark'] + 4):
            World.wire.seen()
            with Counted(ep, f'mark {mark}', no_live_set=1):
                sip.down(ues[0].b, 'spi-uc', b'lost', mark)
            equal(ues[0].sent(), [], 'on the wire')
        # One moves, the other does not
        ues[1].port = 61000
        apart(sip, ues)
        ues[0].port = 61001
        apart(sip, ues)
        equal([get(ue.b)['ue-nat-port'] for ue in ues], [61001, 61000], 'ports')
        # One goes, the other does not
        World.nl.do('bundle-del', id=ues[0].b['id'])
        World.wire.send(ues[0].message(data=b'its SAs have gone'))
        sip.passed()
        sip.nothing('a bundle that has gone')
        with Counted(ep, 'its mark', no_live_set=1):
            sip.down(ues[0].b, 'spi-uc', b'lost')
        equal(ues[0].sent(), [], 'on the wire')
        apart(sip, ues[1:])
    World.nl.do('endpoint-del', id=ep['id'], force=True)
    nothing_left()


@test('G6', 'the same SPIs of UEs behind one NAT address, {} addresses within',
      each=tuple((f, w) for f in ADDRESSES for w in ('the same', 'other')))
def same_spis(case):
    fam, which = case
    ep = nat_endpoint(fam)
    with Sip(ep) as sip:
        ues = []
        for n in range(4):
            inner = OUTER[fam] if which == 'the same' else INNER[fam][:-1] + str(2 + n)
            ues.append(Handset(confirm(nat_bundle(ep, n, ue_address=inner, ue_nat_port=60000 + n, spi_uc=SPI_UC, spi_us=SPI_US))))
        equal(World.p.count(), 16, 'SAs')
        apart(sip, ues)
        # Each moves by itself
        for n, ue in enumerate(ues):
            ue.port = 62000 + n
            apart(sip, ues, 1)
        equal([get(ue.b)['ue-nat-port'] for ue in ues], [62000 + n for n in range(4)], 'ports')
        # Each is re-registered with its own
        new = Handset(confirm(nat_bundle(ep, 2, ue_address=ues[2].u, port_uc=PORT_UC + 9,
                                        port_us=PORT_US + 9, spi_uc=SPI_UC + 2, spi_us=SPI_US + 2)))
        equal(new.port, 62002, "the registration's port")
        apart(sip, [*ues, new], 1)
        for ue in ues[:2]:
            World.nl.do('bundle-del', id=ue.b['id'])
        apart(sip, [*ues[2:], new])
        # Of one registration they wait, see claims.py
        nat_bundle(ep, 3, ue_address=ues[3].u, spi_uc=SPI_UC, spi_us=0x3333, port_uc=9000, port_us=9001)
        apart(sip, [*ues[2:], new])


def segments(ue):
    """Of TCP, those with data that have been sent to it since it was asked."""
    return [d for d in ue.sent() if d.data[(d.data[12] >> 4) * 4:]]


def acknowledge(ue, name, seq, got, sock):
    """What has been sent to it, so that it is not sent again: on a slow machine that comes before what is looked for next."""
    header = (got.data[12] >> 4) * 4
    theirs, = struct.unpack_from('>I', got.data, 4)
    World.wire.send(ue.outer(ue.esp(name, segment(ue, name, seq, theirs + len(got.data) - header, ACK))))
    wait(lambda: fcntl.ioctl(sock, termios.TIOCOUTQ, bytes(4)) == bytes(4), 'it is acknowledged')


@test('G6 F2', 'the later one is udp-only: its TCP is dropped both ways, and counted, {}', each=EACH)
def tcp(case):
    where, fam = case
    ep = nat_endpoint(fam, port_pc=[7807])
    first, second = pair(ep, fam, where)
    listener = World.p.tcp(ep['address'], ep['port-ps'], True)
    socks = [listener]
    try:
        with Sip(ep) as sip, World.p.sysctl(ipv4__tcp_fwmark_accept=1):
            for ue in (first, second):
                ue.deliver(sip)
            # A UE's SYN
            World.wire.seen()
            with Counted(ep, 'SYN of the later one', udp_only=1):
                World.wire.send(second.message(data=b'', proto=TCP))
                sip.passed()
            check(not accepted(listener), 'accepted')
            equal(second.sent(), [], 'on the wire')
            # P's
            s = World.p.tcp(ep['address'], 7807)
            socks.append(s)
            s.setsockopt(socket.SOL_SOCKET, SO_MARK, second.b['mark'])
            with Counted(ep, "P's SYN to the later one", udp_only=1):
                s.connect_ex((second.u, second.b['port-us']))
            s.close()
            equal(second.sent(), [], 'on the wire')
            # The first one has TCP, both ways
            s = World.p.tcp(ep['address'], 7807)
            socks.append(s)
            s.setsockopt(socket.SOL_SOCKET, SO_MARK, first.b['mark'])
            s.connect_ex((first.u, first.b['port-us']))
            got = wait(first.sent, 'a SYN')
            equal([(d.spi, d.proto, d.data[13]) for d in got], [(first.b['spi-us'], TCP, SYN)], "P's SYN")
            seq, = struct.unpack_from('>I', got[0].data, 4)
            World.wire.send(first.outer(first.esp('spi-pc', segment(first, 'spi-pc', 7, seq + 1, SYN | ACK))))
            check(select.select([], [s], [], 20)[1] and not s.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR), 'no connection')
            World.wire.seen()
            # Of a connection of the first's the later one has no part
            with Counted(ep, 'RST of the later one', udp_only=1):
                World.wire.send(second.outer(second.esp('spi-pc', segment(second, 'spi-pc', 8, seq + 1, RST))))
                sip.passed()
            s.send(b'to the first one')
            # The ACK of its SYN-ACK may still be on its way
            got = wait(lambda: segments(first), 'a segment with data')
            equal([(d.spi, d.data[-16:]) for d in got], [(first.b['spi-us'], b'to the first one')], 'over TCP')
            acknowledge(first, 'spi-pc', 8, got[0], s)
            World.wire.send(first.outer(first.esp('spi-ps', segment(first, 'spi-ps', 100, 0, SYN))))
            got = wait(first.sent, 'an answer to a SYN')
            equal([(d.spi, d.proto, d.data[13]) for d in got], [(first.b['spi-uc'], TCP, SYN | ACK)], 'the answer')
            seq, = struct.unpack_from('>I', got[0].data, 4)
            World.wire.send(first.outer(first.esp('spi-ps', segment(first, 'spi-ps', 101, seq + 1, ACK, b'REGISTER over TCP'))))
            other = wait(lambda: accepted(listener), 'accept')
            socks.append(other)
            equal(receive(other), b'REGISTER over TCP', 'over TCP')
            equal(other.getsockopt(socket.SOL_SOCKET, SO_MARK), first.b['mark'], 'mark of the connection')
            World.wire.seen()
            other.send(b'200 OK')
            got = wait(lambda: segments(first), 'a segment with data')
            equal([(d.spi, d.data[-6:]) for d in got], [(first.b['spi-uc'], b'200 OK')], 'over TCP')
            acknowledge(first, 'spi-ps', 101 + len(b'REGISTER over TCP'), got[0], other)
            for ue in (first, second):
                ue.works(sip)
    finally:
        for s in socks:
            s.close()


def segment(ue, name, seq, ack, flags, data=b''):
    """A packet within the tunnel: a segment of TCP."""
    src, dst, sport, dport, _ = ue.table[ue.b[name]]
    head = struct.pack('>HHIIBBHHH', sport, dport, seq, ack, 5 << 4, flags, 65535, 0, 0)
    value = checksum(pseudo(src, dst, TCP, len(head + data)) + head + data)
    return ip(src, dst, TCP, head[:16] + struct.pack('>H', value) + head[18:] + data)


@test('G6 F2', 'TCP from our ports to one port within: each keeps its own, whichever goes, {}', each=ADDRESSES)
def tcp_of_many(fam):
    ports = [7807, 7808, 7809]

    def ue(n, port_pc):
        # The client port is its own, so that it is all about the server port
        return confirm(nat_bundle(ep, n, ue_nat_port=60000 + n, port_uc=20000 + n, port_pc=port_pc))

    def udp_only(ues):
        return [bool(get(b).get('udp-only')) for b in ues]
    for gone in range(3):
        ep = nat_endpoint(fam, port_pc=ports)
        ues = [ue(n, port) for n, port in enumerate(ports)]
        equal(udp_only(ues), [False] * 3, 'udp-only, from a port each')
        World.nl.do('bundle-del', id=ues[gone]['id'])
        later = [ue(10 + n, port) for n, port in enumerate(ports)]
        left = [n != gone for n in range(3)]
        equal(udp_only(later), left, f'udp-only, when number {gone} has gone')
        # The others go, too, and nobody has it
        for n in range(3):
            if n != gone:
                World.nl.do('bundle-del', id=ues[n]['id'])
        equal(udp_only(later), [False] * 3, 'udp-only, when all have gone')
        World.nl.do('endpoint-del', id=ep['id'], force=True)
        nothing_left()


@test('G6 G7', "unmarked, or in mode trans, an address and port within is one registration's: EADDRINUSE, the owner named, {}",
      each=ADDRESSES)
def claimed(fam):
    u = INNER[fam]
    def plain(ep, n, **more):
        spi = next(spis)
        return bundle(ep, ue_address=u, enc_alg='null', owner=b'%d@ims.example' % n, contact=b'sip:%d@ims.example' % n,
                      spi_uc=spi, spi_us=spi + 1, **more)

    def without(ep, n, **more):
        return nat_bundle(ep, n, unmarked=True, **more)
    # Who comes from there is not kept out: claims.py
    for a, b in ((without, without), (plain, without)):
        ep = nat_endpoint(fam)
        first = confirm(a(ep, 1))
        states, policies = World.p.count(), World.p.count('policy')
        for more in ({}, {'port_us': 9000}):
            expect_error('EADDRINUSE', b, ep, 2, text='1@ims.example', **more)
        equal((World.p.count(), World.p.count('policy')), (states, policies), 'SAs and policies')
        # Another port of that address, another address
        b(ep, 2, port_uc=9000, port_us=9001)
        # The same registration
        a(ep, 1, port_uc=PORT_UC + 1)
        equal(get(first)['state'], 'established', 'the first one')
        World.nl.do('endpoint-del', id=ep['id'], force=True)
        nothing_left()


@test('G6', 'an unmarked one and a marked one that has its address and port, either way round, {}', each=ADDRESSES)
def beside(fam):
    for order in ((True, False), (False, True)):
        ep = nat_endpoint(fam, port_pc=[7807])
        with Sip(ep) as sip:
            ues = []
            for n, flag in enumerate(order, 1):
                more = {'unmarked': True} if flag else {}
                ues.append(Handset(confirm(nat_bundle(ep, n, ue_nat_address=(OUTER, OTHER)[n - 1][fam], **more))))
            apart(sip, ues)
            without = ues[order.index(True)]
            for name in ('spi-uc', 'spi-us'):
                without.reached(sip, name, mark=None)
        World.nl.do('endpoint-del', id=ep['id'], force=True)


@test('G6 G7', '{}: messages both ways, each to the right one',
      each=(f'{FEW} UEs behind one NAT address, each with an address of its own',
            f'{MANY} UEs behind one NAT address, which is the address within of all',
            f'{FEW} UEs, half of them with the same address within, each behind a NAT of its own'), limit=1200)
def many(case):
    count = int(case.split()[0])
    World.nl.do('config-set', max_pending=count * 2, max_bundles=count * 2)
    World.events.close()
    ep = nat_endpoint(port_pc=[7807])
    ues = []
    with Sip(ep) as sip:
        for n in range(count):
            own, out = f'10.{n >> 8}.{n & 255}.2', OUTER['IPv4']
            if 'NAT of its own' in case:
                inner, out = (INNER['IPv4'] if n % 2 else own), f'203.1.{n >> 8}.{n & 255}'
            else:
                inner = own if 'own' in case else out
            # SPIs and ports of a phone that starts anew are those of many
            more = {'spi_uc': 1000 + 2 * (n % 10), 'spi_us': 1001 + 2 * (n % 10)}
            ues.append(Handset(confirm(nat_bundle(ep, n, ue_address=inner, ue_nat_address=out, **more)), port=10000 + n))
        equal(len({ue.b['mark'] >> 2 for ue in ues}), count, 'registrations by their marks')
        for step in (1, -1):
            for ue in ues[::step]:
                ue.deliver(sip, 'spi-ps' if step == 1 else 'spi-pc')
        equal([get(ue.b)['ue-nat-port'] for ue in ues], [ue.port for ue in ues], 'ports')
        # P's are read in one go
        for some in (ues[i::7] for i in range(7)):
            World.wire.seen()
            for ue in some:
                sip.down(ue.b, 'spi-uc', b'for %d' % ue.b['id'])
            seen = []

            def left():
                seen.extend(s for s in World.wire.seen() if not s.sent and not quiet(s))  # pylint: disable=cell-var-from-loop
                return len(seen) >= len(some)  # pylint: disable=cell-var-from-loop
            wait(left, 'all are on the wire')
            equal(len(seen), len(some), 'packets on the wire')
            for ue, s in zip(some, seen):
                got = ue.take(s)
                equal((got.to, got.port, got.spi, got.dst, got.data), (ue.at, ue.port, ue.b['spi-uc'], ue.u, b'for %d' % ue.b['id']),
                      'message to a UE')
        equal(drops(ep), dict.fromkeys(COUNTS, 0), 'dropped')
    with World.p:
        World.events = Events()
    World.nl.do('endpoint-del', id=ep['id'], force=True)
    nothing_left()


if __name__ == '__main__':
    main(setup_nat, before, teardown)
