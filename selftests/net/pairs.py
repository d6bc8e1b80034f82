#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only
"""What an SA is for: its two ends and no others, each packet once, fragmented or not."""
import contextlib
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '../lib'))
from ims import *  # noqa: E402,F403  pylint: disable=wildcard-import,unused-wildcard-import,wrong-import-position
from protected import *  # noqa: E402,F403  pylint: disable=wildcard-import,unused-wildcard-import,wrong-import-position

THIRD = {'IPv4': '192.0.2.4', 'IPv6': '2001:db8::4'}
# What is inside which SA: ports, None for the SA's own, and whose address
WRONG = {'A5': (('us to ps in spi-ps', 'spi-ps', PORT_US, None, False),
                ('another port to ps in spi-ps', 'spi-ps', 5060, None, False),
                ('another port to pc in spi-pc', 'spi-pc', 5060, None, False),
                ('another address in spi-ps', 'spi-ps', None, None, True),
                ('another address in spi-pc', 'spi-pc', None, None, True),
                ('uc to the other pc in spi-ps', 'spi-ps', None, PORT_PC[1], False),
                ('us to the other pc in spi-pc', 'spi-pc', None, PORT_PC[1], False)),
         'F4': (('uc to pc in spi-ps', 'spi-ps', PORT_UC, PORT_PC[0], False),
                ('uc to pc in spi-pc', 'spi-pc', PORT_UC, None, False),
                ('us to ps in spi-pc', 'spi-pc', PORT_US, PORT_PS, False),
                ('uc to ps in spi-pc', 'spi-pc', PORT_UC, PORT_PS, False),
                ('us to pc in spi-ps', 'spi-ps', PORT_US, PORT_PC[0], False))}


class Pair(Case):
    """A Case whose bundle has the first of the pool."""

    def __init__(self, fam, **more):
        super().__init__(fam, BEFORE)
        self.b = bundle(self.ep, ue_address=self.u, port_pc=PORT_PC[0], **{'enc_alg': 'null', **more})


def wrong_inside(fam, rule):
    with Pair(fam) as c:
        for text, name, sport, port, other in WRONG[rule]:
            for proto in (UDP, TCP, UDPLITE):
                src = THIRD[fam] if other else None
                c.put(f'{text}, protocol {proto}', c.by_hand.udp(name, b'', sport, port, src, proto), cross_pair=1)
            c.work()


@test('A5', "in: what is not between the SA's ends is dropped and counted once, with valid keys, {}", each=ADDRESSES)
def inside(fam):
    wrong_inside(fam, 'A5')


@test('F4', 'in: cross pairs are dropped and counted once, with valid keys, {}', each=ADDRESSES)
def cross_in(fam):
    wrong_inside(fam, 'F4')


@test('A5', "in: one UE's packet over another's SA is dropped and counted, {}", each=ADDRESSES)
def other_ue(fam):
    with Pair(fam) as c:
        third = bundle(c.ep, ue_address=THIRD[fam], port_pc=PORT_PC[0], enc_alg='null')
        ours, theirs = c.by_hand, ByHand(third)
        for name in ('spi-ps', 'spi-pc'):
            # The inside is right for the one, the SA is the other's
            c.put(name, ours.udp(name, b'', src=THIRD[fam]), cross_pair=1)
            c.put(name, theirs.udp(name, b'', src=c.u), cross_pair=1)
        c.work()
        World.wire.send(theirs.udp('spi-ps', b'third'))
        equal(receive(c.udp[0]), b'third', "the other UE's own")


@test('A5 F4', "in: cross pairs of a UE's own ip xfrm are dropped and counted, {}", each=ADDRESSES)
def cross_kernel(fam):
    with Pair(fam, enc_alg='aes-cbc') as c, Phone(c.b) as phone:
        b = c.b
        for n, (name, sport, port) in enumerate((('spi-ps', PORT_US, PORT_PS), ('spi-ps', PORT_UC, PORT_PC[0]),
                                                 ('spi-pc', PORT_UC, PORT_PC[0]), ('spi-pc', PORT_US, PORT_PS))):
            # The phone's own SA, but for anything
            state = f'src {c.u} dst {c.p} proto esp spi {b[name]}'
            sel = f'src {c.u} dst {c.p} sport {sport} dport {port}'
            World.u.ip(f'xfrm state delete {state}',
                       f'xfrm state add {state} reqid 99 mode transport replay-window 32 replay-oseq {n} '
                       f'{algorithms(b["auth-alg"], b["enc-alg"])}',
                       f'xfrm policy update {sel} dir out tmpl src {c.u} dst {c.p} proto esp reqid 99 mode transport')
            World.wire.seen()
            was = c.counts()
            {PORT_UC: phone.uc, PORT_US: phone.us}[sport].sendto(b'cross', (c.p, port))
            wait(lambda: c.counts() != was, f'{sport} to {port} in {name} is counted')
            equal(c.counts(), {**was, 'cross-pair': was['cross-pair'] + 1}, f'{sport} to {port} in {name}')
            equal({s.spi for s in World.wire.seen() if not quiet(s)}, {b[name]}, 'SPIs on the wire')
            equal(pending(phone.ps, phone.pc, *c.udp), [], 'delivered')
            World.u.ip(f'xfrm policy delete {sel} dir out')


@test('F4', 'out: what P sends to the wrong port of the UE goes nowhere and is counted, {}', each=ADDRESSES)
def cross_out(fam):
    with Pair(fam) as c:
        for index, wrong in ((0, (PORT_US, FREE)), (1, (PORT_UC, FREE)), (2, (PORT_UC, PORT_US, FREE))):
            for to in wrong:
                for s in (c.udp[index], *c.lite[index:index + 1]):
                    with c.counted(f'from port {PORTS[index]} to {to}', cross_pair=1):
                        try:
                            s.sendto(b'cross', (c.u, to))
                        except OSError:
                            pass
                with c.counted(f'a SYN from port {PORTS[index]} to {to}', cross_pair=1):
                    client = c.client(PORTS[index])
                    client.connect_ex((c.u, to))
                    client.close()
                c.left()
                c.silent(f'from port {PORTS[index]} to {to}')
        c.work()


@test('F4', 'out: what P sends to an address that has no set goes nowhere and is counted, {}', each=ADDRESSES)
def no_set_out(fam):
    with Pair(fam) as c:
        World.p.ip(f'neigh replace {THIRD[fam]} lladdr 02:00:00:00:00:02 dev p0 nud permanent')

        def nowhere(to, what):
            for index, port in enumerate(PORTS):
                lite = c.lite[index:index + 1]
                with c.counted(f'from port {port} to {what}', no_live_set=2 + len(lite)):
                    client = c.client(port)
                    for send in (lambda s=c.udp[index]: s.sendto(b'x', (to, PORT_UC)),
                                 *(lambda s=s: s.sendto(b'x', (to, PORT_US)) for s in lite),
                                 lambda s=client: s.connect_ex((to, PORT_US))):
                        try:
                            send()
                        except OSError:
                            pass
                    client.close()
                c.left()
                c.silent(f'from port {port} to {what}')
        nowhere(THIRD[fam], 'a UE without')
        c.work()
        World.nl.do('bundle-del', id=c.b['id'])
        nowhere(c.u, 'a UE whose set has gone')


@test('A6', 'the window is 64: late ones within it come once, {}',
      each=tuple((f, n) for f in ADDRESSES for n in ('spi-ps', 'spi-pc')))
def window(case):
    fam, name = case
    with Pair(fam) as c:
        s = c.udp[PORTS.index(c.b['port-' + name[4:]])]

        def send(seqs):
            for seq in seqs:
                World.wire.send(c.by_hand.udp(name, b'%d' % seq, seq=seq))

        def taken(*seqs):
            send(seqs)
            equal([int(receive(s)) for _ in seqs], list(seqs), 'sequence numbers')

        def refused(*seqs):
            was = World.p.xfrm_stat()['XfrmInStateSeqError']
            send(seqs)
            wait(lambda: World.p.xfrm_stat()['XfrmInStateSeqError'] - was >= len(seqs),
                 f'sequence numbers {seqs} are counted by XFRM', 10)
            equal(pending(s), [], f'sequence numbers {seqs}: delivered')
        late = range(199, 200 - 64, -1)
        taken(200)
        taken(*late[::2], *late[1::2])
        refused(200, *late)
        refused(200 - 64, 200 - 65, 1)
        # It moves on
        taken(264)
        refused(200, 199, 264)
        taken(201)


@contextlib.contextmanager
def narrow():
    """The link takes packets of 1,400 bytes."""
    try:
        for ns, device in ((World.p, 'p0'), (World.u, 'u0')):
            ns.ip(f'link set {device} mtu 1400')
        yield
    finally:
        for ns, device in ((World.p, 'p0'), (World.u, 'u0')):
            ns.ip(f'link set {device} mtu 1500')


@test('A11', 'datagrams of 2,000 and 3,000 bytes over an MTU of 1,400, all ways, {}', each=ADDRESSES)
def long_ones(fam):
    p, u = ADDRESSES[fam]
    with narrow():
        ep = endpoint(p)
        b = bundle(ep, ue_address=u)
        with Phone(b) as phone:
            for name in ('spi-ps', 'spi-uc', 'spi-us', 'spi-pc'):
                for size in (2000, 3000):
                    World.wire.seen()
                    phone.deliver(name, bytes(range(250)) * (size // 250))
                    seen = [s for s in World.wire.seen() if not quiet(s)]
                    # The later ones have no SPI
                    check(len(seen) > 1 and all(s.fragment and s.proto == ESP for s in seen), f'on the wire: {seen}')
                    equal({s.spi for s in seen}, {b[name], None}, 'SPIs')
                    check(all(len(s.data) <= 1400 for s in seen), 'longer than the MTU')
        equal(set(drops(ep).values()), {0}, 'dropped')


@test('A11', 'fragments of ESP in any order, and plaintext ones stay out meanwhile, {}', each=ADDRESSES)
def out_of_order(fam):
    with Pair(fam) as c:
        socks = {'spi-ps': c.udp[0], 'spi-pc': c.udp[1]}
        for name, s in socks.items():
            _, _, sport, port, _ = table(c.b)[c.b[name]]
            data = bytes(range(250)) * 12
            for order in ((0, 1, 2), (2, 1, 0), (1, 2, 0), (2, 0, 1)):
                inner = layer4(c.u, c.p, UDP, sport, port, data)
                parts = fragments(c.u, c.p, ESP, c.by_hand.data(name, UDP, inner), 1240)
                plain = fragments(c.u, c.p, UDP, inner, 1240)
                equal(len(parts), 3, 'fragments')
                with c.counted(f'{name}, {order}', plaintext_in=1):
                    for n in order:
                        World.wire.send(parts[n], plain[n])
                    equal(receive(s), data, f'{name}, fragments {order}')
                    c.passed()
                c.nothing_in(f'{name}, {order}')
        c.silent('an answer')


if __name__ == '__main__':
    main(setup, before, teardown)
