#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only
"""Where the NAT has a UE: learnt from what it has authenticated, and from nothing else.

The UEs are made by hand (lib/natted.py), and so are those who would be them.
"""
import os
import re
import select
import socket
import struct
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '../lib'))
from ims import *  # noqa: E402,F403  pylint: disable=wildcard-import,unused-wildcard-import,wrong-import-position
from natted import *  # noqa: E402,F403  pylint: disable=wildcard-import,unused-wildcard-import,wrong-import-position
from nl import NETLINK_ADD_MEMBERSHIP, SOL_NETLINK  # noqa: E402  pylint: disable=wrong-import-position

# At most one move in so many seconds, by jiffies, which are late where a CPU that is emulated has to wait for its turn
PAUSE = 0.1
REST = PAUSE * (1.5 if os.path.exists('/proc/exitcode') else 2)
# The second family for what differs, not for the number
MANY = {'IPv4': 20, 'IPv6': 6}
XFRM_MSG_MAPPING, XFRMNLGRP_MAPPING = 38, 8
PORTS = iter(range(20000, 60000))


class Moved:
    """A registration with one bundle, its UE, the SIP server; when it was last moved."""

    def __init__(self, fam, **more):
        self.ep = nat_endpoint(fam)
        self.sip = Sip(self.ep)
        self.b = confirm(nat_bundle(self.ep, **more))
        self.ue = Handset(self.b)
        self.at = 0
        World.events.drain()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.sip.__exit__()

    def rest(self):
        """It may be moved again."""
        wait(lambda: time.monotonic() > self.at + REST, 'time passes')

    def move(self, name='spi-ps', port=None):
        """The NAT has another port for it; it sends, and the mapping is that at once."""
        self.rest()
        self.ue.port = port or next(PORTS)
        self.ue.deliver(self.sip, name)
        self.at = time.monotonic()
        for out in ('spi-uc', 'spi-us'):
            self.ue.reached(self.sip, out)
        nat_event(self.b, self.ue.port)
        equal(get(self.b)['ue-nat-port'], self.ue.port, "the bundle's ue-nat-port")

    def stays(self, text):
        """What went before has moved nothing: P sends where it did, and there is no event but those of two real moves."""
        self.sip.passed()
        equal(get(self.b)['ue-nat-port'], self.ue.port, f'{text}: ue-nat-port')
        self.ue.reached(self.sip)
        self.ue.reached(self.sip, 'spi-us')
        equal(mappings(), [], f'{text}: events')
        # What was put off would be done before the second one is
        self.move()
        self.move('spi-pc')
        equal(mappings(), [], f'{text}: events')


@test('G4 G9', 'the port is learnt from the first packet that is authenticated, over either SA, {}',
      each=tuple((f, n) for f in ADDRESSES for n in ('spi-ps', 'spi-pc')))
def first(case):
    fam, name = case
    with Moved(fam) as m:
        m.ue.reached(m.sip, port=NAT_PORT)
        m.move(name)
        m.ue.works(m.sip)
        # Where it is, it stays
        for _ in range(5):
            m.ue.deliver(m.sip)
        equal(mappings(), [], 'events')


@test('G4 A11', 'learnt from what comes in fragments, is long, or has options, {}', each=ADDRESSES)
def forms_outside(fam):
    with Moved(fam) as m:
        for size in (1, 1000, 1300, 1360):
            m.rest()
            m.ue.port, data = next(PORTS), os.urandom(size)
            m.ue.deliver(m.sip, data=data)
            m.at = time.monotonic()
            nat_event(m.b, m.ue.port)
            m.ue.reached(m.sip)
        for order in (1, -1):
            for size in (8, 16, 640, 1200):
                m.rest()
                m.ue.port, data = next(PORTS), os.urandom(3000 if size > 100 else 30)
                packet = m.ue.message(data=data)
                World.wire.send(*fragments(m.ue.at, m.ue.p, UDP, packet[40 if fam == 'IPv6' else 20:], size)[::order])
                equal(m.sip.receive(m.b['port-ps'])[0], data, 'received')
                m.at = time.monotonic()
                nat_event(m.b, m.ue.port)
                m.ue.reached(m.sip)
        # Options outside, where they may be: it is received, and then it is moved there, or not at all. ESP's GRO looks for
        # ESP behind IPv6's, finds UDP, and leaves the packet with an SA that it has not come out of
        if SHIPPED and fam == 'IPv6':
            return
        m.rest()
        packet = m.ue.message(data=b'options', port=next(PORTS))
        if fam == 'IPv4':
            packet = ip4(m.ue.at, m.ue.p, UDP, packet[20:], options=b'\1\1\1\1')
        else:
            packet = ip(m.ue.at, m.ue.p, DSTOPTS, struct.pack('>BBBB4x', UDP, 0, 1, 4) + packet[40:])
        World.wire.send(packet)
        equal(m.sip.receive(m.b['port-ps'])[0], b'options', 'received')
        m.at = time.monotonic()
        m.sip.passed()
        check(mappings() in ([], [(m.b['id'], int.from_bytes(packet[24 if fam == 'IPv4' else 48:][:2], 'big'))]), 'moved elsewhere')
        m.move()


@test('G4 G9 E1', 'by way of GRO: a mapping that changes, and forgeries, {}', each=ADDRESSES)
def by_gro(fam):
    with gro(fam), Moved(fam) as m:
        was = looked_at(fam)
        for n in range(10):
            m.ue.deliver(m.sip, ('spi-ps', 'spi-pc')[n % 2])
        looks = looked_at(fam) - was
        check(10 <= looks < 20 if takes_esp_by_gro() else looks >= 20, f'{looks} packets for 10 messages')
        for n in range(MANY[fam] // 2):
            m.move(('spi-ps', 'spi-pc')[n % 2])
        for n in range(6):
            m.rest()
            m.ue.port = next(PORTS)
            texts = [b'MESSAGE %d %d' % (n, i) for i in range(6)]
            packets = [m.ue.message(data=t) for t in texts]
            packets[1:1] = [m.ue.forged(port=next(PORTS)) for _ in range(3)]
            World.wire.send(*packets, m.ue.forged(port=next(PORTS)))
            equal([m.sip.receive(m.b['port-ps'])[0] for _ in texts], texts, 'received')
            m.sip.passed()
            nat_event(m.b, m.ue.port)
            m.ue.reached(m.sip)
            m.at = time.monotonic()
        World.wire.send(m.ue.outer(KEEP_ALIVE), m.ue.outer(MARKER + b'x' * 100), m.ue.outer(KEEP_ALIVE))
        m.sip.passed()
        equal([s[1] for s in udp_sockets(NAT_PORT)], [0], 'bytes that wait at the socket')
        m.stays('forgeries')


@test('G4', 'before the 200 OK too: the answer to the challenge comes from there, {}', each=ADDRESSES)
def temporary(fam):
    ep = nat_endpoint(fam)
    with Sip(ep) as sip:
        b = nat_bundle(ep)
        ue = Handset(b, port=61000)
        World.events.drain()
        ue.deliver(sip, data=b'REGISTER')
        ue.reached(sip)
        nat_event(b, 61000)
        equal(get(b)['state'], 'temporary', 'state')


@test('G4', "a port that is known already: the request's, or that of the registration's last bundle at that address, {}", each=ADDRESSES)
def known(fam):
    ep = nat_endpoint(fam)
    with Sip(ep) as sip:
        a = confirm(nat_bundle(ep, 1, ue_nat_port=61010))
        Handset(a).reached(sip, port=61010)
        Handset(a, port=61011).deliver(sip)
        again = nat_bundle(ep, 1, port_uc=PORT_UC + 1)
        equal(again['ue-nat-port'], 61011, "the registration's second bundle")
        Handset(again).reached(sip)
        elsewhere = nat_bundle(ep, 1, port_uc=PORT_UC + 2, ue_nat_address=OTHER[fam])
        equal(elsewhere['ue-nat-port'], NAT_PORT, 'one at another address')
        stranger = nat_bundle(ep, 2, ue_address=OTHER[fam])
        equal(stranger['ue-nat-port'], NAT_PORT, "another registration's")


@test('G9', 'a mapping that changes, {} times: both outbound SAs follow', each=tuple(MANY.items()))
def changes(case):
    fam, count = case
    with Moved(fam) as m:
        for n in range(count):
            m.move(('spi-ps', 'spi-pc')[n % 2])
        # And back to one that was
        m.move(port=NAT_PORT)


@test('G9', "all of a registration's bundles follow, whichever the packet came over, and no other registration's, {}", each=ADDRESSES)
def together(fam):
    ep = nat_endpoint(fam, port_pc=[7807])
    with Sip(ep) as sip:
        stranger = Handset(confirm(nat_bundle(ep, 2, ue_address=OTHER[fam])))
        old = confirm(nat_bundle(ep, 1))
        Handset(old).deliver(sip)
        wait(lambda: get(old)['state'] == 'active', 'it is active')
        # The same ports, and new ones
        same = confirm(nat_bundle(ep, 1), over=old['id'])
        new = nat_bundle(ep, 1, port_uc=PORT_UC + 1)
        World.events.drain()
        for n, (b, name) in enumerate(((old, 'spi-ps'), (new, 'spi-pc'), (new, 'spi-ps'), (old, 'spi-pc'))):
            port = 61100 + n
            start = time.monotonic()
            ue = Handset(b, port=port)
            ue.seqs.update({old[name]: 10 * n + 10, new[name]: 10 * n + 10})
            ue.deliver(sip, name)
            # An SA that is not sent over yet has it as well
            wait(lambda: {get(b)['ue-nat-port'] for b in (old, same, new)} == {port},  # pylint: disable=cell-var-from-loop
                 'all have the port')
            for b in (old, new):
                Handset(b).reached(sip, port=port)
            stranger.reached(sip, port=NAT_PORT)
            equal(encap_ports() - {NAT_PORT}, {port}, 'ports of the outbound SAs')
            expected = [(b['id'], port) for b in (old, same, new)]
            equal(sorted(mappings_until(*expected)), sorted(expected), 'events')
            wait(lambda: time.monotonic() > start + REST, 'time passes')  # pylint: disable=cell-var-from-loop
        # The one that was not in use
        Handset(same, port=61103).deliver(sip)
        wait(lambda: get(same)['state'] == 'active', 'it is taken into use')
        Handset(same, port=61103).reached(sip)


def encap_ports():
    """The UDP ports that P's outbound SAs send to."""
    return {int(re.search(r'espinudp sport \d+ dport (\d+)', s['text'])[1]) for s in World.p.states() if s['src'] in (P4, P6)}


@test('G9', 'at most one move in 100 ms, and the latest wins, {}', each=ADDRESSES)
def rate(fam):
    with Moved(fam) as m:
        for count in (2, 3, 50):
            m.rest()
            ports = [next(PORTS) for _ in range(count)]
            packets = [m.ue.message(port=p) for p in ports]
            start = time.monotonic()
            World.wire.send(*packets)
            # No packet comes after these
            wait(lambda: get(m.b)['ue-nat-port'] == ports[-1], 'the latest one')  # pylint: disable=cell-var-from-loop
            took = time.monotonic() - start
            m.at = time.monotonic()
            m.ue.port = ports[-1]
            m.ue.reached(m.sip)
            m.ue.reached(m.sip, 'spi-us')
            moves = [port for _, port in mappings_until((m.b['id'], ports[-1]))]
            equal(moves[-1], ports[-1], 'the last event')
            # The kernel's clock of jiffies may be late, and catch up
            check(len(moves) <= 1 + took * 2 / PAUSE, f'{len(moves)} moves in {took:.3f} s')
            check(set(moves) <= set(ports) and moves == sorted(moves), f'moves: {moves}')
            while m.sip.socks[m.ep['port-ps']] in select_now(m.sip):
                m.sip.receive(m.ep['port-ps'])
        m.stays('after all that')


def select_now(sip):
    return select.select(list(sip.socks.values()), [], [], 0)[0]


@test('G9', 'back and forth within 100 ms: where it is at last, {}', each=ADDRESSES)
def back(fam):
    with Moved(fam) as m:
        m.move()
        a = m.ue.port
        for _ in range(MANY[fam] // 2):
            m.rest()
            World.wire.send(m.ue.message(port=a + 1000), m.ue.message(port=a + 2000), m.ue.message(port=a))
            for _ in range(3):
                m.sip.receive(m.ep['port-ps'])
            start = time.monotonic()
            wait(lambda: get(m.b)['ue-nat-port'] == a, 'it is back')
            wait(lambda: time.monotonic() > start + REST, 'time passes')  # pylint: disable=cell-var-from-loop
            m.ue.reached(m.sip, port=a)
            m.at = time.monotonic()
            World.events.drain()
        m.stays('after all that')


# --- Who must not

@test('E1 G4 G9', 'forged, replayed, or from elsewhere: the mapping stays, {}',
      each=tuple((f, w) for f in ADDRESSES for w in ('before the first packet', 'afterwards')))
def forgeries(case):
    fam, when = case
    with Moved(fam) as m:
        if when == 'afterwards':
            m.move()
        ue, b, elsewhere = m.ue, m.b, OTHER[fam]
        good = {name: ue.message(name, seq=ue.seqs[b[name]] + 1, port=ue.port) for name in ('spi-ps', 'spi-pc')}
        if when == 'afterwards':
            for name in good:
                ue.deliver(m.sip, name)
        for at in (ue.at, elsewhere):
            # It would be moved at once, not put off until it is forgotten
            m.rest()
            port = next(PORTS)
            bad = []
            for name in ('spi-ps', 'spi-pc'):
                whole = ue.esp(name, ue.inner(name, b'x'), ue.seqs[b[name]] + 500)
                bad += [ue.forged(name, port=port, at=at), ue.outer(whole[:-1], port, at), ue.outer(whole[:40], port, at),
                        ue.outer(whole[:16], port, at), ue.outer(whole[:8], port, at), ue.outer(whole[:4], port, at),
                        ue.outer(whole[:30] + bytes([whole[30] ^ 1]) + whole[31:], port, at),
                        ue.outer(whole[:7] + bytes([whole[7] ^ 1]) + whole[8:], port, at),
                        ue.outer(KEEP_ALIVE, port, at), ue.outer(MARKER + whole, port, at)]
                # Right in itself, and known: from another port
                if when == 'afterwards':
                    bad.append(ue.message(name, seq=ue.seqs[b[name]], port=port, at=at))
                # The SPIs of P's outbound SAs
                out = {'spi-ps': 'spi-uc', 'spi-pc': 'spi-us'}[name]
                bad.append(ue.outer(ue.seal(b[out], 1, IPIP, ue.inner(name, b'reflected')), port, at))
            World.wire.send(*bad * 3)
            m.sip.passed()
            m.sip.nothing(f'forgeries from {at}')
            equal(get(b)['ue-nat-port'], ue.port, f'ue-nat-port after forgeries from {at}')
        m.stays('forgeries')


@test('E1 G4', 'a forgery counts as a failure of its ICV, and of nothing else, {}', each=ADDRESSES)
def counted(fam):
    with Moved(fam) as m:
        m.move()
        was, dropped = World.p.xfrm_stat(), drops(m.ep)
        World.wire.send(*[m.ue.forged(port=next(PORTS)) for _ in range(10)])
        m.sip.passed()
        now = World.p.xfrm_stat()
        equal({k: v - was[k] for k, v in now.items() if v != was[k]}, {'XfrmInStateProtoError': 10}, 'counted by XFRM')
        equal(drops(m.ep), dropped, 'dropped by the guard')
        m.stays('forgeries')


@test('E1 G4 G9', 'forgeries that race with good packets on the same SPI never win, {}', each=ADDRESSES)
def race(fam):
    with Moved(fam) as m:
        # With as many forgeries ahead of it as there are, and fewer
        for n in range(18 if fam == 'IPv4' else 6):
            m.rest()
            old, m.ue.port = m.ue.port, next(PORTS)
            forged = [m.ue.forged(port=next(PORTS)) for _ in range(4)] + [m.ue.forged(port=old)]
            data = b'MESSAGE %d' % n
            good = m.ue.message(data=data)
            # All in one go, so that they are dealt with in one
            World.wire.send(*forged[:n % 6], good, *forged[n % 6:])
            equal(m.sip.receive(m.b['port-ps'])[0], data, 'received')
            m.sip.passed()
            nat_event(m.b, m.ue.port)
            m.ue.reached(m.sip)
            m.at = time.monotonic()
        m.stays('forgeries')


@test('G4 G9', 'a replayed packet from elsewhere right behind the first, {}', each=ADDRESSES)
def replays(fam):
    with Moved(fam) as m:
        for _ in range(MANY[fam]):
            m.rest()
            m.ue.port = next(PORTS)
            seq = m.ue.next_seq(m.b['spi-ps'])
            port = next(PORTS)
            World.wire.send(m.ue.message(seq=seq), *[m.ue.message(seq=seq, port=port), m.ue.message(seq=seq, port=port, at=OTHER[fam])] * 3)
            m.sip.receive(m.b['port-ps'])
            m.sip.passed()
            m.sip.nothing('replayed')
            nat_event(m.b, m.ue.port)
            m.ue.reached(m.sip)
            m.at = time.monotonic()
        # One that is older than the window
        World.wire.send(m.ue.message(seq=1, port=next(PORTS)))
        m.stays('replays')


@test('G4', 'what has the right keys and is not for the UE does not move it, {}', each=ADDRESSES)
def two_ues(fam):
    """Another registration's UE, from the same NAT: its own mapping is what it moves."""
    ep = nat_endpoint(fam)
    with Sip(ep) as sip:
        a, b = (confirm(nat_bundle(ep, n, ue_address=x)) for n, x in ((1, INNER[fam]), (2, OTHER[fam])))
        ues = Handset(a), Handset(b)
        World.events.drain()
        for n in range(5):
            for i, ue in enumerate(ues):
                ue.port = 30000 + 1000 * i + n
                start = time.monotonic()
                ue.deliver(sip)
                nat_event(ue.b, ue.port)
                for other in ues:
                    other.reached(sip, port=other.port)
            wait(lambda: time.monotonic() > start + REST, 'time passes')  # pylint: disable=cell-var-from-loop


# --- What others hear

class Monitor:
    """`ip xfrm monitor`, and what it may hear."""
    p = heard = None

    def __enter__(self):
        with World.p:
            self.p = subprocess.Popen(['ip', 'xfrm', 'monitor'], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            self.heard = Xfrm()
        self.heard.sock.setsockopt(SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, XFRMNLGRP_MAPPING)
        self.heard.sock.setsockopt(socket.SOL_SOCKET, 33, 8 << 20)  # SO_RCVBUFFORCE
        self.heard.sock.setblocking(False)

        def listens():
            with World.p, open('/proc/thread-self/net/netlink', encoding='ascii') as f:
                return any(int(w[1]) == 6 and int(w[3], 16) and int(w[2]) == self.p.pid for w in map(str.split, f.readlines()[1:]))
        wait(listens, 'ip xfrm monitor listens')
        return self

    def __exit__(self, *_):
        self.p.kill()
        self.p.wait()
        self.heard.close()

    def mappings(self):
        """Messages of another mapping since last asked."""
        n = 0
        while True:
            try:
                data = self.heard.sock.recv(1 << 17)
            except BlockingIOError:
                return n
            n += int.from_bytes(data[4:6], sys.byteorder) == XFRM_MSG_MAPPING


@test('G4 G9', '`ip xfrm monitor` makes no difference, and hears of few mappings, {}', each=ADDRESSES)
def monitored(fam):
    with Monitor() as monitor, Moved(fam) as m:
        for n in range(8):
            m.move(('spi-ps', 'spi-pc')[n % 2])
            for _ in range(20):
                m.ue.deliver(m.sip)
        heard = monitor.mappings()
        check(heard <= 8 * 4, f'{heard} messages of 8 mappings and 168 packets')
        for _ in range(100):
            m.ue.deliver(m.sip)
            m.ue.deliver(m.sip, 'spi-pc')
        equal(monitor.mappings(), 0, 'messages where nothing has changed')
        World.wire.send(*[m.ue.forged(port=next(PORTS)) for _ in range(50)])
        m.sip.passed()
        equal(monitor.mappings(), 0, 'messages of mappings that are forged')
        m.stays('forgeries')


# --- Another address

@test('G9', 'another address of the NAT is not followed, and what comes from it is received, {}', each=ADDRESSES)
def not_followed(fam):
    with Moved(fam) as m:
        m.move()
        for _ in range(5):
            for name in ('spi-ps', 'spi-pc'):
                m.ue.deliver(m.sip, name, at=OTHER[fam], port=next(PORTS))
            m.ue.reached(m.sip)
        equal(get(m.b)['ue-nat-address'], OUTER[fam], 'ue-nat-address')
        m.stays('packets from another address')


@test('G9', 'with nat-follow-address it is: SAs there, whose sequence numbers go on, {}', each=ADDRESSES)
def followed(fam):
    World.nl.do('config-set', nat_follow_address=1)
    with Moved(fam) as m:
        m.move()
        World.wire.send(m.ue.forged(at=OTHER[fam], port=next(PORTS)),
                        m.ue.message(seq=m.ue.seqs[m.b['spi-ps']], at=OTHER[fam], port=next(PORTS)))
        m.stays('forgeries from another address')
        seqs = {name: m.ue.reached(m.sip, name) for name in ('spi-uc', 'spi-us')}
        spi = {s['spi']: s['dst'] for s in World.p.states()}
        equal((spi[m.b['spi-uc']], spi[m.b['spi-us']], len(spi)), (OUTER[fam], OUTER[fam], 4), 'SAs')
        for at in (OTHER[fam], OUTER[fam], OTHER[fam]):
            m.rest()
            m.ue.at, m.ue.port = at, next(PORTS)
            m.ue.deliver(m.sip)
            nat_event(m.b, m.ue.port, at)
            m.at = time.monotonic()
            got = get(m.b)
            equal((got['ue-nat-address'], got['ue-nat-port']), (at, m.ue.port), 'the bundle')
            for name, seq in seqs.items():
                now = m.ue.reached(m.sip, name)
                # Some may be left out, so that none is used twice
                check(seq < now < seq + 10000, f'sequence number over {name}: {now} after {seq}')
                seqs[name] = now
            spi = {s['spi']: s['dst'] for s in World.p.states()}
            equal((spi[m.b['spi-uc']], spi[m.b['spi-us']], len(spi)), (at, at, 4), 'SAs')
            m.ue.works(m.sip)
            for name in seqs:
                seqs[name] += 1
        # Another port there
        m.ue.at = OTHER[fam]
        m.rest()
        m.ue.port = next(PORTS)
        m.ue.deliver(m.sip)
        nat_event(m.b, m.ue.port, OTHER[fam])
        m.ue.reached(m.sip)
    World.nl.do('bundle-del', id=m.b['id'])
    World.nl.do('endpoint-del', id=m.ep['id'])
    nothing_left()


@test('G9 E1', 'with nat-follow-address: where there are no more sequence numbers nothing is sent, and none is used twice, {}', each=ADDRESSES)
def numbers_end(fam):
    World.nl.do('config-set', nat_follow_address=1)
    with Moved(fam, unmarked=True) as m:
        last = (1 << 32) - 100
        for name in ('spi-uc', 'spi-us'):
            World.xfrm.set_oseq(OUTER[fam], m.b[name], last)
            equal(m.ue.reached(m.sip, name, mark=None), last + 1, 'sequence number')
        m.rest()
        m.ue.at, m.ue.port = OTHER[fam], next(PORTS)
        m.ue.deliver(m.sip)
        nat_event(m.b, m.ue.port, OTHER[fam])
        World.wire.seen()
        for name in ('spi-uc', 'spi-us'):
            m.sip.down(m.b, name, b'one too many', None)
        # The next packet is behind them
        m.sip.send(b'marker', (ADDRESSES[fam][1], 9), port=m.sip.FREE)
        seen = []
        wait(lambda: seen.extend(World.wire.seen()) or any(b'marker' in s.data for s in seen), 'the marker')
        equal([struct.unpack_from('>II', s.data, 8) for s in seen if (s.proto, s.sport) == (UDP, NAT_PORT)], [],
              'SPIs and numbers of what is sent')


@test('G9 B4', 'with nat-follow-address: the place of a set that follows is for who waits, and a set without one has one elsewhere, {}',
      each=ADDRESSES)
def places(fam):
    World.nl.do('config-set', nat_follow_address=1)
    ep = nat_endpoint(fam, port_pc=[7807])
    inner = '10.0.0.{}' if fam == 'IPv4' else 'fd00::{}'
    with Sip(ep) as sip:
        ues = []

        def another():
            n = len(ues) + 1
            ues.append(Handset(confirm(nat_bundle(ep, n, unmarked=True, ue_address=inner.format(n + 1), spi_uc=0x6000, spi_us=0x6001))))
            ues[-1].works(sip, mark=None)
            return ues[-1]

        def follows(ue, at):
            rest()
            ue.at, ue.port = at, next(PORTS)
            ue.deliver(sip)
            nat_event(ue.b, ue.port, at)
            ue.works(sip, mark=None)
        first = another()
        # It is sent over as the last one to have proved itself, and then is elsewhere
        second = another()
        follows(second, OTHER[fam])
        first.works(sip, mark=None)
        # And the first one, which has lost its place again, is where nobody has its place
        third = another()
        follows(first, '203.0.113.111' if fam == 'IPv4' else '2001:db8:77::111')
        for ue in (first, second, third):
            ue.works(sip, mark=None)
    World.nl.do('endpoint-del', id=ep['id'], force=True)
    nothing_left()


@test('G9 KEYS', 'with nat-follow-address: of a set that is not sent over any more no SA is made, and none without its keys, {}',
      each=ADDRESSES)
def ended_flows(fam):
    World.nl.do('config-set', nat_follow_address=1)
    ep = nat_endpoint(fam, port_pc=[7807])
    with Sip(ep) as sip:
        # The same ports: when the new one is used, the old one's outbound SAs end
        old = Handset(confirm(nat_bundle(ep, 1)))
        old.deliver(sip)
        new = Handset(confirm(nat_bundle(ep, 1, spi_uc=next(spis), spi_us=next(spis))))
        new.deliver(sip)
        wait(lambda: get(old.b)['state'] == 'old', 'the old one is OLD')
        inbound = {old.b[n] for n in ('spi-ps', 'spi-pc')}
        for ue, at in ((old, OTHER[fam]), (new, OUTER[fam]), (old, OTHER[fam])):
            rest()
            for handset in (old, new):
                handset.at, handset.port = at, next(PORTS)
            new.port = old.port
            ue.deliver(sip)
            mappings_until((new.b['id'], new.port))
            spi = {s['spi']: s for s in World.p.states()}
            equal(set(spi), inbound | {new.b[n] for n in ('spi-ps', 'spi-pc', 'spi-uc', 'spi-us')}, 'SPIs')
            for s in spi.values():
                check(s['auth'][1].strip('0'), f'an SA whose key is all zeroes: {s["text"]}')
            new.works(sip)
    World.nl.do('endpoint-del', id=ep['id'], force=True)
    nothing_left()


if __name__ == '__main__':
    main(setup_nat, before, teardown)
