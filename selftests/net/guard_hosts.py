#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only
"""A10: whatever the host does with its packets, nothing is in clear, and a UE works.

A matrix: the set-ups of lib/hosts.py by what is tried in each. Documentation/guard.rst has the same
table; what is known not to work in a set-up is in both, and is tried all the same.
"""
import contextlib
import os
import re
import select
import socket
import struct
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '../lib'))
from ims import *  # noqa: E402,F403  pylint: disable=wildcard-import,unused-wildcard-import,wrong-import-position
from hosts import *  # noqa: E402,F403  pylint: disable=wildcard-import,unused-wildcard-import,wrong-import-position
from natted import NAT_PORT, SO_MARK, TunnelUe, nat_bundle, nat_endpoint  # noqa: E402  pylint: disable=wrong-import-position
from protected import FREE, WITH, Case, forms  # noqa: E402  pylint: disable=wrong-import-position

MARKER = b'marker'
# What is known not to work is given so many seconds; what works has all that it needs
BRIEFLY, PATIENTLY, LONG = 0.3, 10, 600000
IGMP = 2
STAGES = ('registered', 'registered again')
MATRIX = tuple((name, f) for name in HOSTS for f in ADDRESSES)
# Those that see what is within a tunnel, or what is outside
BEHIND_NAT = tuple((name, f) for name in (
    'none', 'masquerade', 'masquerade random', 'SNAT to another address', 'redirect of the protected ports', KUBE_NODE)
    for f in ADDRESSES)
# A bit that kube-proxy reads and writes
KUBE_MARK, MARK_MASK = 0x4000, 0xf000


def received(s, patience):
    """The next datagram and who sent it."""
    if not select.select([s], [], [], patience)[0]:
        raise TimeoutError(f'nothing received at port {s.getsockname()[1]}')
    data, source = s.recvfrom(1 << 16)[:2]
    return data, source[:2]


class Ue:
    """The UE's side of sets, of `ip xfrm` and sockets in U."""

    def __init__(self):
        self.socks = {}

    def register(self, b):
        """It sends and receives over this set."""
        commands = []
        for spi, (src, dst, sport, dport, way) in table(b).items():
            bits = 128 if ':' in src else 32
            sel = f'src {src}/{bits} dst {dst}/{bits} sport {sport} dport {dport}'
            commands += [f"xfrm state add src {src} dst {dst} proto esp spi {spi} reqid {b['id']} mode transport "
                         f"replay-window 32 {algorithms(b['auth-alg'], b['enc-alg'])} sel {sel}",
                         f"xfrm policy add {sel} dir {'out' if way == 'in' else 'in'} "
                         f"tmpl src {src} dst {dst} proto esp reqid {b['id']} mode transport"]
        World.u.batch(*commands)
        for port in (b['port-uc'], b['port-us']):
            if port not in self.socks:
                self.socks[port] = World.u.udp(b['ue-address'], port)

    def close(self):
        for s in self.socks.values():
            s.close()


class Cell:
    """A set-up in one family: an endpoint, and sockets that would get what slips through."""

    def __init__(self, fam, known):
        self.fam, self.known, self.six = fam, known, fam == 'IPv6'
        self.p, self.u = ADDRESSES[fam]
        # The UE's, which is another within a tunnel
        self.ue = self.u
        self.nf = 'ip6' if self.six else 'ip'
        # What a set-up may change: what sockets are bound to, where frames go, other ways in
        self.device, self.transparent, self.mac, self.ways = None, False, None, []
        # Where the SIP server receives what is for a port, answers from, and speaks from unasked
        self.receive = self.answer = self.speak = self.own
        self.socks, self.listeners, self.closed = {}, {}, contextlib.ExitStack()
        # What was delivered or sent in clear, or not counted; what does not work
        self.leaks, self.bad = [], []
        self.ep = self.free = self.phone = None

    def own(self, port):
        return World.p, self.p, port

    def serve(self, receive, answer=None, speak=None):
        self.receive, self.answer, self.speak = receive, answer or receive, speak or self.own

    # --- Sockets

    def made(self, ns, kind, addr, port):
        s = self.closed.enter_context(ns.socket(family(addr), kind))
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if ns is World.p and self.device:
            s.setsockopt(socket.SOL_SOCKET, SO_BINDTODEVICE, self.device.encode())
        if self.transparent:
            s.setsockopt(*((socket.IPPROTO_IPV6, IPV6_TRANSPARENT) if self.six else (socket.IPPROTO_IP, IP_TRANSPARENT)), 1)
        if kind == socket.SOCK_STREAM:
            # Reset when closed: no TIME_WAIT stands in the way
            s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 1, 0))
        s.bind((addr, port))
        s.setblocking(False)
        return s

    def udp(self, ns, addr, port):
        return self.made(ns, socket.SOCK_DGRAM, addr, port)

    def listen(self, place):
        s = self.listeners[place] = self.made(place[0], socket.SOCK_STREAM, *place[1:])
        s.listen()

    @contextlib.contextmanager
    def client(self, place):
        """A TCP socket of the server's that connects; what listens there makes way."""
        self.listeners.pop(place).close()
        s = self.made(place[0], socket.SOCK_STREAM, *place[1:])
        try:
            yield s
        finally:
            s.close()
            self.listen(place)

    def open(self):
        for place in {f(port) for port in PORTS for f in (self.own, self.receive, self.answer, self.speak)}:
            self.socks[place] = self.udp(*place)
            self.listen(place)
        self.free = self.udp(World.p, self.p, FREE)
        self.phone = self.closed.enter_context(World.u.udp(self.u, FREE))
        through(self)
        self.ep = self.endpoint()
        World.wire.seen()

    def endpoint(self):
        return endpoint(self.p)

    def register(self, ue, n):
        """A set, the UE has it, and it is confirmed; n tells the UE's ports and SPIs from those of others."""
        b = bundle(self.ep, ue_address=self.u, port_uc=PORT_UC + n, spi_uc=SPI_UC + n, spi_us=SPI_US + n)
        ue = ue or self.closed.enter_context(contextlib.closing(Ue()))
        ue.register(b)
        World.nl.do('bundle-confirm', id=b['id'], lifetime=LONG)
        return ue, b

    @staticmethod
    def is_protected(s):
        return s.proto == ESP

    def on_the_wire(self, ours):
        """What P has sent since last asked, or U as well."""
        return [s for s in World.wire.seen() if ours or not s.sent]

    # --- What must not pass

    def counted(self):
        return sum(v for k, v in World.nl.do('endpoint-get', id=self.ep['id']).items() if k.startswith('drop-'))

    def passed(self):
        """All that was put on the wire before has been dealt with, and what P has sent is on it."""
        World.wire.send(ip(self.u, self.p, UDP, layer4(self.u, self.p, UDP, FREE, FREE, MARKER)), to=self.mac)
        equal(receive(self.free), MARKER, 'to a port that is not protected')
        self.free.sendto(MARKER, (self.u, FREE))
        equal(receive(self.phone), MARKER, 'from a port that is not protected')

    def nothing_in(self, text):
        for (_, addr, port), s in self.socks.items():
            got = pending(s)
            if got:
                self.leaks.append(f'{text}: {len(got)} datagrams delivered to {addr} port {port}')
        for (_, addr, port), s in self.listeners.items():
            while True:
                got = accepted(s)
                if not got:
                    break
                got.close()
                self.leaks.append(f'{text}: a connection to {addr} port {port}')

    def nothing_out(self, text, ours=False):
        """In clear; ours: nor from U's own sockets."""
        clear = [s for s in self.on_the_wire(ours) if not self.is_protected(s) and not quiet(s) and s.proto != IGMP and
                 MARKER not in s.data]
        if clear:
            self.leaks.append(f'{text}: {len(clear)} in clear on the wire: {clear[0]}')

    @contextlib.contextmanager
    def kept(self, text):
        """What is done meanwhile does not pass; it is counted as often as the list says that this yields."""
        was, n = self.counted(), []
        yield n
        self.passed()
        self.nothing_in(text)
        self.nothing_out(text)
        try:
            wait(lambda: self.counted() >= was + sum(n), 'counted', BRIEFLY)
        except Fail:
            self.leaks.append(f'{text}: {self.counted() - was} counted of {sum(n)}')

    def try_in(self, stage):
        """Plaintext to every protected port, in every form and by every way."""
        for proto, name in ((UDP, 'UDP'), (TCP, 'SYN')):
            packets = {}
            for port in PORTS:
                for sport in (PORT_UC if port == PORT_PS else PORT_US, 5060):
                    data = layer4(self.u, self.p, proto, sport, port, bytes(40))
                    for form, these in forms(self.fam, self.u, self.p, proto, data):
                        packets.setdefault(form, []).append(these)
                    for way, make in self.ways:
                        packets.setdefault(way, []).append(make(proto, sport, port))
            for form, these in packets.items():
                with self.kept(f'{stage}, in, {name}, {form}') as n:
                    for p in these:
                        World.wire.send(*p, to=self.mac)
                        n.append(1)

    def try_out(self, stage):
        """All that P's programs can do to get out from a protected port, to where there is a set and where there is none."""
        raw = self.closed.enter_context(World.p.socket(family(self.p), socket.SOCK_RAW, socket.IPPROTO_RAW))
        if self.device:
            raw.setsockopt(socket.SOL_SOCKET, SO_BINDTODEVICE, self.device.encode())
        ways = tuple((port, to) for port in PORTS for to in ((self.u, FREE), (NOBODY[self.fam], PORT_UC)))
        with self.kept(f'{stage}, out, UDP') as n:
            for port, to in ways:
                for data in (b'out', bytes(4000)):
                    with contextlib.suppress(OSError):
                        self.socks[self.own(port)].sendto(data, to)
                    n.append(1)
        with self.kept(f'{stage}, out, SYN') as n:
            for port, to in ways:
                with self.client(self.own(port)) as s:
                    s.connect_ex(to)
                n.append(1)
        for name in ('whole', 'fragments'):
            with self.kept(f'{stage}, out, raw, {name}') as n:
                for port, to in ways:
                    for proto in (UDP, TCP):
                        data = layer4(self.p, to[0], proto, port, to[1], bytes(40))
                        # Of fragments the first one, which has the ports; conntrack may wait for the others
                        packet = dict(forms(self.fam, self.p, to[0], proto, data))[name][0]
                        with contextlib.suppress(OSError):
                            raw.sendto(packet, (to[0], 0))
                        n.append(name == 'whole')
        if self.speak(PORT_PS)[0] is not World.p:
            # What a container sends becomes P's by NAT; XFRM may drop it before the guard sees it
            with self.kept(f'{stage}, out, from a container'):
                for port, to in ways:
                    self.socks[self.speak(port)].sendto(b'out', to)

    # --- What must work

    def works(self, ue, b, stage):
        """Each step, or not, as it is known of the set-up."""
        for step, f in ((UDP_IN, self.udp_in), (USED, self.used), (UDP_OUT, self.udp_out), (TCP_IN, self.tcp_in), (TCP_OUT, self.tcp_out)):
            known = step in self.known.fails
            if stage != STAGES[0]:
                forget()
            World.wire.seen()
            try:
                f(ue, b, BRIEFLY if known else PATIENTLY if not self.bad + self.leaks else 1)
                if known:
                    self.bad.append(f'{stage}: {step} works, and is known not to')
            except (Fail, OSError) as e:
                if not known:
                    self.bad.append(f'{stage}: {step}: {type(e).__name__}: {e}')
            self.nothing_out(f'{stage}: {step}', ours=True)
            # What of it is too late
            pending(*self.socks.values(), *ue.socks.values())

    @staticmethod
    def ways_of(b):
        """The UE's and P's port of each pair."""
        return (b['port-uc'], b['port-ps']), (b['port-us'], b['port-pc'])

    def udp_in(self, ue, b, patience):
        """Messages of the UE's, and answers to where they came from."""
        for sport, port in self.ways_of(b):
            for n in range(2):
                data = b'MESSAGE %d to %d' % (n, port)
                ue.socks[sport].sendto(data, (self.p, port))
                got, source = received(self.socks[self.receive(port)], patience)
                equal(got, data, f'to port {port}')
                self.socks[self.answer(port)].sendto(b'200 ' + data, source)
                equal(received(ue.socks[sport], patience), (b'200 ' + data, (self.p, port)), f'the answer from port {port}')

    def udp_out(self, ue, b, patience):
        """P speaks unasked, as far as conntrack knows, and the UE answers."""
        forget()
        for sport, port in self.ways_of(b):
            for n in range(2):
                data = b'NOTIFY %d from %d' % (n, port)
                self.socks[self.speak(port)].sendto(data, (self.ue, sport))
                equal(received(ue.socks[sport], patience), (data, (self.p, port)), f'from port {port}')
                ue.socks[sport].sendto(b'200 ' + data, (self.p, port))
                # With a NAT that knows the connection, or one that does not
                mine = [self.socks[place] for place in {self.receive(port), self.speak(port)}]
                ready = select.select(mine, [], [], patience)[0]
                check(ready, f'no answer to port {port}')
                equal(ready[0].recv(1 << 16), b'200 ' + data, f'the answer to port {port}')

    def used(self, _, b, patience):
        """What the UE has sent over it has taken the set into use."""
        wait(lambda: World.nl.do('bundle-get', id=b['id'])['state'] == 'active', 'the set is active', patience)

    def tcp_in(self, _, b, patience):
        forget()
        with World.u.tcp(self.ue, b['port-uc']) as client:
            client.connect_ex((self.p, b['port-ps']))
            self.talk(client, wait(lambda: accepted(self.listeners[self.receive(b['port-ps'])]), 'a connection', patience), patience)

    def tcp_out(self, _, b, patience):
        forget()
        with World.u.tcp(self.ue, b['port-us'], True) as listener, self.client(self.speak(b['port-pc'])) as client:
            client.connect_ex((self.ue, b['port-us']))
            self.talk(wait(lambda: accepted(listener), 'a connection', patience), client, patience)

    @staticmethod
    def talk(ue_end, p_end, patience):
        """Both ways of a connection; the UE resets it, and nothing of it is on its way when P has heard of that."""
        with ue_end, p_end:
            for s in (ue_end, p_end):
                s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 1, 0))
                s.setblocking(False)
            for a, z in ((ue_end, p_end), (p_end, ue_end)):
                a.send(b'over TCP')
                equal(receive(z, patience), b'over TCP', 'over TCP')
            ue_end.close()
            try:
                raise Fail(f'after a reset: {receive(p_end, patience)!r}')
            except ConnectionResetError:
                pass

    def run(self):
        """All of it."""
        self.open()
        self.try_in('without a set')
        self.try_out('without a set')
        ue = None
        for n, stage in enumerate(STAGES):
            ue, b = self.register(ue, 2 * n)
            self.works(ue, b, stage)
        self.try_in('with sets')
        self.try_out('with sets')
        faults = self.bad
        if self.known.clear == 'yes':
            faults = [*self.leaks, *self.bad]
        elif not self.leaks:
            faults = [*self.bad, 'nothing is in clear, though something is known to be']
        check(not faults, '\n'.join([f'{len(faults)} faults', *faults]))


@test('A10', 'nothing is in clear, and a UE works: {}', each=MATRIX)
def matrix(case):
    name, fam = case
    c = Cell(fam, HOSTS[name])
    with c.closed, c.known.enter(c):
        c.run()


class NatCell(Cell):
    """The same for a UE whose sets are tunnels in UDP."""
    mark, who, wire = 0, 1, None

    def endpoint(self):
        # At U, what comes out of a tunnel is seen as if it had been on the wire
        self.wire = Wire(World.p, 'p0')
        self.closed.callback(self.wire.sock.close)
        World.nl.do('config-set', mark_mask=MARK_MASK)
        return nat_endpoint(self.fam)

    def made(self, ns, kind, addr, port):
        s = super().made(ns, kind, addr, port)
        s.setsockopt(socket.SOL_SOCKET, SO_MARK, self.mark)
        return s

    def register(self, ue, n):
        def make(who):
            return nat_bundle(self.ep, who, enc_alg='aes-cbc', ue_nat_address=self.u, port_uc=PORT_UC + n)
        b, self.who = make(self.who), self.who
        while not b['mark'] & KUBE_MARK:
            World.nl.do('bundle-del', id=b['id'])
            self.who += 1
            b = make(self.who)
        self.ue, self.mark = b['ue-address'], b['mark']
        for s in self.socks.values():
            s.setsockopt(socket.SOL_SOCKET, SO_MARK, self.mark)
        ue = ue or self.closed.enter_context(TunnelUe(World.u, b, self.u))
        ue.register(b)
        World.nl.do('bundle-confirm', id=b['id'], lifetime=LONG)
        return ue, b

    @staticmethod
    def is_protected(s):
        return s.proto == UDP and NAT_PORT in (s.sport, s.dport)

    def on_the_wire(self, _):
        return [s for s in self.wire.seen() if s.sent]


@test('A10 G2', 'nothing is in clear, and a UE in a tunnel works: {}', each=BEHIND_NAT)
def matrix_nat(case):
    name, fam = case
    c = NatCell(fam, HOSTS[name])
    with World.p.sysctl(ipv4__tcp_fwmark_accept=1), c.closed, c.known.enter(c):
        c.run()


@test('A10', "rules see what they have seen: `meta ipsec exists` of what came in ESP, {}",
      each=tuple((m, f) for m in ('trans', 'udp-enc-tun') for f in ADDRESSES))
def meta_ipsec(case):
    mode, fam = case
    c = (Cell if mode == 'trans' else NatCell)(fam, HOSTS['none'])
    words = [f'udp dport {PORT_PS} {meta} counter' for meta in (
        'meta ipsec exists', 'meta secpath exists', 'meta ipsec missing', 'ipsec in reqid != 0')]
    hooks = {'prerouting': -300, 'input': 0}
    with World.p.sysctl(ipv4__tcp_fwmark_accept=1), c.closed, c.known.enter(c):
        c.open()
        ue, b = c.register(None, 0)
        with rules(*(line for h, prio in hooks.items() for line in chain(h, *words, kind='filter', priority=prio))):
            for n in range(3):
                data = b'MESSAGE %d' % n
                ue.socks[b['port-uc']].sendto(data, (c.p, PORT_PS))
                equal(receive(c.socks[c.own(PORT_PS)]), data, 'a message')
            # In clear: seen ahead of the guard, which is the last
            World.wire.send(ip(c.u, c.p, UDP, layer4(c.u, c.p, UDP, 5060, PORT_PS, b'clear')))
            c.passed()
            said = Space.nft.run('list table inet host')
        equal([int(x) for x in re.findall(r'packets (\d+)', said.split('chain input')[1])], [3, 3, 1, 3], 'counted at input')
        c.nothing_in('in clear')
        equal(c.leaks, [], 'delivered')


@test('A10', 'rules behind all others see it as well, that were there before the endpoint or came later, {}', each=ADDRESSES)
def meta_ipsec_last(fam):
    # Of one priority, what has come first is the last: behind the guard's last hook, too
    for when, priority in (('before', 2 ** 31 - 1), ('before', 2 ** 31 - 2), ('later', 2 ** 31 - 1), ('later', 1000)):
        with contextlib.ExitStack() as stack:
            last = rules(*chain('input', f'udp dport {PORT_PS} meta ipsec exists counter', kind='filter', priority=priority))
            if when == 'before':
                stack.enter_context(last)
            c = stack.enter_context(Case(fam, WITH))
            if when == 'later':
                stack.enter_context(last)
            # More than one, as the first ones of a bundle are looked at in full
            for n in range(3):
                World.wire.send(c.by_hand.udp('spi-ps', b'%d' % n))
                equal(receive(c.udp[0]), b'%d' % n, 'a message')
            equal(re.findall(r'packets (\d+)', Space.nft.run('list table inet host')), ['3'], f'{when}, {priority}: counted')
        before()


@test('A10', 'ipvlan l3s: nothing is in clear when its lower device goes to another namespace, {}', each=ADDRESSES)
def lower_goes(fam):
    need('ipvlan')
    with Case(fam, WITH) as c:
        World.p.ip('link add link p0 name i0 type ipvlan mode l3s')
        with lower():
            place('i0')

            def hears():
                World.wire.send(ip(c.u, c.p, UDP, layer4(c.u, c.p, UDP, FREE, FREE, b'marker')))
                return pending(c.free)
            wait(hears, 'the interface receives')
            for port in PORTS:
                c.put(f'port {port}', c.clear(5060, port), plaintext_in=1)


@test('A10', 'the table of hosts in guard.rst says what is tested')
def documents():
    rows = documented()
    equal({name: row[:2] for name, row in rows.items()}, {name: (h.clear, h.works) for name, h in HOSTS.items()}, 'guard.rst')
    for name, (clear, works, why) in rows.items():
        equal(bool(why), (clear, works) != ('yes', 'yes'), f'{name}: a reason')


if __name__ == '__main__':
    def begin():
        setup()
        setup_hosts()

    def end():
        teardown_hosts()
        teardown()
    main(begin, before, end)
