#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only
"""A UE is re-registered again and again while it sends and receives: nothing is lost,
nothing is in clear, and each message is over the set that the rules say.

The UE is `ip xfrm` and sockets in its namespace. ROUNDS in the environment says how often:
with 500, a thousand times in all over UDP.
"""
import collections
import itertools
import os
import select
import socket
import struct
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '../lib'))
from ims import *  # noqa: E402,F403  pylint: disable=wildcard-import,unused-wildcard-import,wrong-import-position

LONG = 3600000
SO_MARK, SO_RCVMARK = 36, 75
BURST = 3
ROUNDS = int(os.environ.get('ROUNDS') or 60)
spis = itertools.count(0x30000000, 2)


def readable(sock):
    """Is there something? poll(), as there may be more sockets than select() takes."""
    p = select.poll()
    p.register(sock, select.POLLIN)
    return p.poll(20000)


class Ue:
    """The UE's side of several sets."""

    def __init__(self, b, commands):
        self.ip, self.socks, self.policies = commands, {}, set()
        self.p, self.u = b['address'], b['ue-address']

    def bits(self):
        return 128 if ':' in self.u else 32

    def install(self, b):
        """The SAs of a set; it receives over them at once."""
        commands = []
        for spi, (src, dst, sport, dport, way) in table(b).items():
            sel = f'src {src}/{self.bits()} dst {dst}/{self.bits()} sport {sport} dport {dport}'
            commands.append(f"xfrm state add src {src} dst {dst} proto esp spi {spi} reqid {b['id']} mode transport "
                            f"replay-window 32 {algorithms(b['auth-alg'], b['enc-alg'])} sel {sel}")
            if way == 'out' and sel not in self.policies:
                self.policies.add(sel)
                commands.append(f'xfrm policy update {sel} dir in tmpl src {src} dst {dst} proto esp mode transport')
        self.ip.run(*commands)
        for port in (b['port-uc'], b['port-us']):
            if port not in self.socks:
                self.socks[port] = World.u.udp(self.u, port)

    def over(self, b):
        """What it sends between the ports of this set leaves over this set from now on."""
        self.ip.run(*(f'xfrm policy update src {src}/{self.bits()} dst {dst}/{self.bits()} sport {sport} dport {dport} '
                      f"dir out tmpl src {src} dst {dst} proto esp reqid {b['id']} mode transport"
                      for src, dst, sport, dport, way in table(b).values() if way == 'in'))

    def forget(self, b):
        self.ip.run(*(f'xfrm state delete src {src} dst {dst} proto esp spi {spi}'
                      for spi, (src, dst, *_) in table(b).items()))

    def close(self):
        for s in self.socks.values():
            s.close()


class Server:
    """The SIP server's sockets."""

    def __init__(self, ep):
        self.addr = ep['address']
        self.ps = World.p.udp(self.addr, ep['port-ps'])
        self.pc = {port: World.p.udp(self.addr, port) for port in ep['port-pc']}
        for s in (self.ps, *self.pc.values()):
            s.setsockopt(socket.SOL_SOCKET, SO_RCVMARK, 1)

    def close(self):
        for s in (self.ps, *self.pc.values()):
            s.close()


class Talk:
    """Messages both ways, counted, and where they have to have gone."""

    def __init__(self, ue, server):
        self.ue, self.server, self.n = ue, server, itertools.count()
        self.expected, self.coming = [], []
        World.wire.seen()

    def up(self, b, way='spi-ps'):
        """The UE sends over a set, and does not wait."""
        data = b'MESSAGE %d' % next(self.n)
        if way == 'spi-ps':
            self.ue.socks[b['port-uc']].sendto(data, (self.ue.p, b['port-ps']))
            self.coming.append((self.server.ps, data, b['mark']))
        else:
            self.ue.socks[b['port-us']].sendto(data, (self.ue.p, b['port-pc']))
            self.coming.append((self.server.pc[b['port-pc']], data, b['mark']))
        self.expected.append(b[way])

    def down(self, b, over, request=False):
        """The server sends to the ports of one set, which has to leave over another, or the same."""
        data = b'200 OK %d' % next(self.n)
        if request:
            self.server.pc[b['port-pc']].sendto(data, (self.ue.u, b['port-us']))
            self.coming.append((self.ue.socks[b['port-us']], data, None))
        else:
            self.server.ps.sendto(data, (self.ue.u, b['port-uc']))
            self.coming.append((self.ue.socks[b['port-uc']], data, None))
        self.expected.append(over['spi-us' if request else 'spi-uc'])

    def arrived(self):
        """All has come, once each, with the right marks; ciphers may end in another order."""
        waiting = {}
        for sock, data, mark in self.coming:
            waiting.setdefault(sock, {})[data] = mark
        for sock, expected in waiting.items():
            while expected:
                if not readable(sock):
                    raise Fail(f'lost: {list(expected)}')
                got, anc, _, _ = sock.recvmsg(4096, 64)
                check(got in expected, f'received: {got}')
                mark = expected.pop(got)
                if mark is not None:
                    marks = [struct.unpack('I', d)[0] for level, kind, d in anc
                             if (level, kind) == (socket.SOL_SOCKET, SO_MARK)]
                    equal(marks, [mark], f'mark of {got}')
        self.coming.clear()

    def checked(self):
        """What was seen on the wire since the last time: as expected, and nothing else."""
        self.arrived()
        seen = [s for s in World.wire.seen() if not quiet(s)]
        clear = [s for s in seen if s.proto != ESP]
        check(not clear, f'in clear: {clear[:3]}')
        equal(collections.Counter(s.spi for s in seen), collections.Counter(self.expected), 'how often each SPI')
        self.expected.clear()


def new_set(ep, n, same, **more):
    spi = next(spis)
    return bundle(ep, spi_uc=spi, spi_us=spi + 1, port_uc=PORT_UC if same else PORT_UC + n % 4, **more)


def one_round(talk, ep, n, same, cur, **more):
    """A re-authentication over the current set; returns the one that is sent over after it.

    A generator that stops where others may have their turn.
    """
    ue = talk.ue
    for _ in range(BURST):
        talk.up(cur)
        talk.down(cur, cur)
    talk.checked()
    yield
    new = new_set(ep, n, same, **more)
    # The 401, over the set of its request; the UE's requests and the server's go on
    talk.down(cur, cur)
    talk.up(cur, 'spi-pc')
    talk.down(cur, cur, True)
    talk.checked()
    yield
    ue.install(new)
    # The answer to the challenge, over the new set, and what else is on its way
    ue.over(new)
    talk.up(new)
    talk.arrived()
    if same:
        ue.over(cur)
    for _ in range(BURST):
        talk.up(cur)
        talk.down(cur, cur, True)
    World.nl.do('bundle-confirm', id=new['id'], lifetime=LONG, over=cur['id'])
    # The 200 OK, over the set of its request where it has ports of its own
    talk.down(new, cur if same else new)
    talk.down(cur, cur, True)
    for _ in range(BURST):
        talk.up(cur)
    talk.checked()
    yield
    # The UE takes it into use: from what follows on it is sent over
    ue.over(new)
    talk.up(new)
    talk.arrived()
    for _ in range(BURST):
        talk.down(new, new)
        talk.down(new, new, True)
        talk.up(new, 'spi-pc')
    # What is late comes over the old one
    if not same:
        talk.up(cur)
        talk.down(cur, cur)
    talk.checked()
    return new


def begin(ep, commands, server, same, **more):
    """A UE is registered, and has used its set; the set, and its talk with the server."""
    cur = new_set(ep, 0, same, **more)
    talk = Talk(Ue(cur, commands), server)
    talk.ue.install(cur)
    talk.ue.over(cur)
    World.nl.do('bundle-confirm', id=cur['id'], lifetime=LONG)
    talk.up(cur)
    talk.checked()
    return cur, talk


def whole(generator):
    """What it returns, without a stop."""
    while True:
        try:
            next(generator)
        except StopIteration as end:
            return end.value


@test('REREG F1', 're-registered without pause over UDP: nothing lost, nothing in clear, {}',
      each=tuple((f, p) for f in ADDRESSES for p in ('new ports', 'the same ports')), limit=1200)
def again_and_again(case):
    fam, ports = case
    same = ports == 'the same ports'
    ep = endpoint(ADDRESSES[fam][0], port_pc=[7807] if same else [7807, 7808, 7809])
    commands, server, ue = Batch(World.u), Server(ep), None
    try:
        cur, talk = begin(ep, commands, server, same)
        ue, before_it = talk.ue, None
        for n in range(1, ROUNDS // 2 + 1):
            new = whole(one_round(talk, ep, n, same, cur))
            if before_it:
                check(gone(World.nl, before_it['id']), 'the set before the last is there')
                ue.forget(before_it)
            before_it, cur = cur, new
        drops = World.nl.do('endpoint-get', id=ep['id'])
        equal({k: v for k, v in drops.items() if k.startswith('drop-') and v}, {}, 'dropped')
        say(f'{ROUNDS // 2} rounds, {next(talk.n)} messages')
    finally:
        if ue:
            ue.close()
        server.close()
        commands.close()


@test('REREG F1 F2 F3', 're-registered without pause, one TCP connection all the time and UDP beside it, {}', each=ADDRESSES, limit=1200)
def connection(fam):
    ep = endpoint(ADDRESSES[fam][0], port_pc=[7807])
    cur = new_set(ep, 0, True)
    commands = Batch(World.u)
    ue, server = Ue(cur, commands), Server(ep)
    ends, listeners = [], []
    try:
        ue.install(cur)
        ue.over(cur)
        World.nl.do('bundle-confirm', id=cur['id'], lifetime=LONG)
        for ns, addr, port, other, oaddr, oport in (
                (World.u, ue.u, cur['port-uc'], World.p, ue.p, cur['port-ps']),
                (World.p, ue.p, cur['port-pc'], World.u, ue.u, cur['port-us'])):
            listener, s = other.tcp(oaddr, oport, True), ns.tcp(addr, port)
            listeners.append(listener)
            s.connect_ex((oaddr, oport))
            check(select.select([], [s], [], 20)[1], 'no connection')
            ends += [s, wait(lambda: accepted(listener), 'accept')]  # pylint: disable=cell-var-from-loop

        def exchange(n):
            for a, b in zip((0, 1, 2, 3), (1, 0, 3, 2)):
                data = b'MESSAGE %d %d\r\n' % (n, a) * 50
                ends[a].send(data)
                got = b''
                while len(got) < len(data):
                    got += receive(ends[b])
                equal(got, data, 'over TCP')
            # The same ports, and as a phone mixes them
            for a, b, to in ((ue.socks[cur['port-uc']], server.ps, (ue.p, cur['port-ps'])),
                             (server.pc[cur['port-pc']], ue.socks[cur['port-us']], (ue.u, cur['port-us']))):
                a.sendto(b'SUBSCRIBE %d' % n, to)
                equal(receive(b), b'SUBSCRIBE %d' % n, 'over UDP')
        before_it = None
        for n in range(1, ROUNDS // 5 + 1):
            exchange(n)
            new = new_set(ep, n, True)
            ue.install(new)
            exchange(n)
            World.nl.do('bundle-confirm', id=new['id'], lifetime=LONG, over=cur['id'])
            exchange(n)
            ue.over(new)
            World.wire.seen()
            exchange(n)
            wait(lambda: World.nl.do('bundle-get', id=new['id'])['state'] == 'active',  # pylint: disable=cell-var-from-loop
                 'it is in use')
            World.wire.seen()
            exchange(n)
            seen = [s for s in World.wire.seen() if not quiet(s)]
            equal({s.proto for s in seen}, {ESP}, 'protocols on the wire')
            check({s.spi for s in seen} <= {new[k] for k in ('spi-ps', 'spi-pc', 'spi-uc', 'spi-us')},
                  'something is not over the new set')
            if before_it:
                ue.forget(before_it)
            before_it, cur = cur, new
    finally:
        for s in (*ends, *listeners):
            s.close()
        ue.close()
        server.close()
        commands.close()


if __name__ == '__main__':
    main(setup, before, teardown)
