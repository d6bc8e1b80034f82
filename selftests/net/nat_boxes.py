#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only
"""UEs of the kernel's behind NATs of the kernel's: nftables, in namespaces (lib/natted.py)."""
import contextlib
import os
import select
import socket
import struct
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '../lib'))
from ims import *  # noqa: E402,F403  pylint: disable=wildcard-import,unused-wildcard-import,wrong-import-position
from natted import *  # noqa: E402,F403  pylint: disable=wildcard-import,unused-wildcard-import,wrong-import-position

KINDS = {'that keeps ports': '', 'with random ports': 'random', 'with ports of a range': 'to :20000-29999 fully-random'}
INSIDES = ('private', 'public')
# As often as a minute has seconds; the second family for what differs, not for the number
REBINDS = {'IPv4': 60, 'IPv6': 20}


def before_each():
    for nat in Nats.all:
        nat.as_new()
    before()


def registered(ep, nat, which='private', n=None, local=None, fam=None, **more):
    """A bundle, and its UE in the NAT's network."""
    fam = fam or ('IPv6' if ':' in ep['address'] else 'IPv4')
    local = local or INNER[fam]
    b = nat_bundle(ep, n, **{'enc_alg': 'aes-cbc', 'ue_address': local if which == 'private' else nat.outside[fam],
                             'ue_nat_address': nat.outside[fam], **more})
    return confirm(b), TunnelUe(nat.h, b, local)


@test('G2 G4', 'messages on all four ways, the port learnt, through a NAT {}',
      each=tuple((k, f'and the {i} address within', f) for k in KINDS for i in INSIDES for f in ADDRESSES))
def through(case):
    kind, which, fam = case
    nat = Nats.all[0]
    nat.masquerade(KINDS[kind])
    ep = nat_endpoint(fam)
    b, ue = registered(ep, nat, which.split()[2])
    with Sip(ep) as sip, ue.register(b):
        World.wire.seen()
        ue.deliver(sip, b, 'spi-pc')
        port = {s.sport for s in World.wire.seen() if s.sent and s.proto == UDP}
        equal({get(b)['ue-nat-port']}, port, 'the port')
        check((port == {NAT_PORT}) == (kind == 'that keeps ports'), f'the NAT has sent from {port}')
        ue.works(sip, b)
        ue.works(sip, b)
        no_outer_fragments()
        equal(drops(ep), dict.fromkeys(COUNTS, 0), 'dropped')


@test('G9', 'a NAT that rebinds {} times: nothing that the UE sends is lost, nor what is sent after its next packet',
      each=tuple((f, REBINDS[f]) for f in ADDRESSES), limit=600)
def rebinds(case):
    fam = case[0]
    nat = Nats.all[0]
    ep = nat_endpoint(fam)
    b, ue = registered(ep, nat)
    with Sip(ep) as sip, ue.register(b):
        ue.works(sip, b)
        World.events.drain()
        for n in range(REBINDS[fam]):
            port = 20000 + n * 7
            nat.rebind(port)
            # P does not know yet; what it sends now may be lost
            if n % 3 == 0:
                sip.down(b, 'spi-us', b'too early')
            World.wire.seen()
            # The UE's are in a row, over both SAs, and none is lost
            sent = {}
            for k in range(3):
                for name in (('spi-ps', 'spi-pc'), ('spi-pc', 'spi-ps'))[n % 2]:
                    data = b'%s %d %d' % (name.encode(), n, k)
                    ue.send(b, data, name)
                    sent.setdefault(table(b)[b[name]][3], []).append(data)
            for at, texts in sent.items():
                equal(sorted(sip.receive(at)[0] for _ in texts), sorted(texts), 'received')
            # P's, right after
            for name in ('spi-uc', 'spi-us', 'spi-uc'):
                ue.reached(sip, b, name)
            seen = [s for s in World.wire.seen() if s.proto == UDP]
            equal({s.sport for s in seen if s.sent}, {port}, "the NAT's port")
            equal(get(b)['ue-nat-port'], port, 'ue-nat-port')
        expected = [(b['id'], 20000 + n * 7) for n in range(REBINDS[fam])]
        equal(mappings_until(expected[-1]), expected, 'events')
        equal(drops(ep), dict.fromkeys(COUNTS, 0), 'dropped')


@test('G9', 'a NAT that forgets while P sends: the UE is found where its next packet comes from, {}', each=ADDRESSES)
def forgets(fam):
    """P's packet to the old port makes an entry of its own in the NAT, so that it takes another port by itself."""
    nat = Nats.all[0]
    ep = nat_endpoint(fam)
    b, ue = registered(ep, nat)
    with Sip(ep) as sip, ue.register(b):
        ue.works(sip, b)
        ports = [NAT_PORT]
        for n in range(10):
            rest()
            nat.forget()
            sip.down(b, 'spi-uc', b'to nobody')
            ue.deliver(sip, b, ('spi-ps', 'spi-pc')[n % 2])
            ue.works(sip, b)
            ports.append(get(b)['ue-nat-port'])
        check(all(x != y for x, y in zip(ports, ports[1:])), f'the NAT has kept a port: {ports}')


@test('G6', 'four UEs behind one NAT, with the same ports and the same SPIs, {}', each=ADDRESSES)
def four(fam):
    nat = Nats.all[0]
    ep = nat_endpoint(fam, port_pc=[7807])
    ues = []
    try:
        with Sip(ep) as sip:
            for n in range(4):
                # In the UEs' namespace P is one, so that its inbound SPIs are apart; their own are at four addresses
                b, ue = registered(ep, nat, n=n, local=INNER[fam][:-1] + str(2 + n), spi_uc=SPI_UC, spi_us=SPI_US)
                ues.append((b, ue.register(b)))
            for _ in range(2):
                for b, ue in ues:
                    ue.deliver(sip, b)
                for name in ('spi-uc', 'spi-us'):
                    for b, ue in ues[::-1]:
                        ue.reached(sip, b, name)
                for b, ue in ues:
                    ue.works(sip, b)
            equal(len({get(b)['ue-nat-port'] for b, _ in ues}), 4, 'ports')
            rest()
            nat.masquerade('to :20000-29999 fully-random')
            for b, ue in ues:
                ue.works(sip, b)
            equal(len({get(b)['ue-nat-port'] for b, _ in ues} - {NAT_PORT}), 4, 'ports')
    finally:
        for _, ue in ues[::-1]:
            ue.close()


@test('G7', 'two UEs with the same private address behind two NATs, the address within being {}',
      each=tuple((i, f) for i in INSIDES for f in ADDRESSES))
def two(case):
    which, fam = case
    ep = nat_endpoint(fam, port_pc=[7807])
    ues = []
    try:
        with Sip(ep) as sip:
            for n, nat in enumerate(Nats.all):
                b, ue = registered(ep, nat, which, n)
                ues.append((b, ue.register(b)))
            equal([bool(get(b).get('udp-only')) for b, _ in ues], [False, which == 'private'], 'udp-only')
            for n in range(3):
                for b, ue in ues:
                    ue.works(sip, b)
                for nat in Nats.all[:n]:
                    nat.rebind(30000 + n)
    finally:
        for _, ue in ues:
            ue.close()


@test('G2 F2 F3', 'TCP both ways through a NAT, UDP beside it, and the NAT rebinds, {}',
      each=tuple((f, i) for f in ADDRESSES for i in INSIDES))
def tcp(case):
    fam, which = case
    nat = Nats.all[0]
    ep = nat_endpoint(fam, port_pc=[7807])
    b, ue = registered(ep, nat, which)
    socks = []
    with Sip(ep) as sip, ue.register(b), World.p.sysctl(ipv4__tcp_fwmark_accept=1):
        try:
            p, u = b['address'], b['ue-address']
            listener, s = World.p.tcp(p, b['port-ps'], True), nat.h.tcp(u, b['port-uc'])
            socks += [listener, s]
            s.connect_ex((p, b['port-ps']))
            connected(s)
            up = s, wait(lambda: accepted(listener), 'accept')
            equal(up[1].getsockopt(socket.SOL_SOCKET, SO_MARK), b['mark'], "mark of the UE's connection")
            listener, s = nat.h.tcp(u, b['port-us'], True), World.p.tcp(p, b['port-pc'])
            socks += [listener, s]
            s.setsockopt(socket.SOL_SOCKET, SO_MARK, b['mark'])
            s.connect_ex((u, b['port-us']))
            connected(s)
            down = s, wait(lambda: accepted(listener), 'accept')
            socks += [up[1], down[1]]
            for s in (up[1], down[1]):
                s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 1, 0))
                s.setblocking(False)
            for n in range(5):
                for x, y in (up, down):
                    # The UE is the first to send once the NAT has another port
                    ends = (x, y) if x in (up[0], down[1]) else (y, x)
                    for a, z in (ends, ends[::-1]):
                        data = os.urandom(5000)
                        a.send(data)
                        got = b''
                        while len(got) < len(data):
                            got += receive(z)
                        equal(got, data, 'over TCP')
                ue.works(sip, b)
                nat.rebind(31000 + n)
        finally:
            for s in socks:
                s.close()


def connected(s):
    check(select.select([], [s], [], 20)[1] and not s.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR), 'no connection')


@test('A11', '3,000 bytes both ways over a path of 1,400, {}', each=tuple((f, w) for f in ADDRESSES for w in ('UDP', 'trans beside it')))
def large(case):
    fam, what = case
    nat = Nats.all[0]
    ep = nat_endpoint(fam)
    b, ue = registered(ep, nat)
    with mtu(1400), Sip(ep) as sip, ue.register(b):
        if what == 'trans beside it':
            plain = confirm(bundle(ep, ue_address=ADDRESSES[fam][1]))
            ue.works(sip, b)
            del plain
        for n, size in enumerate((1200, 1300, 1320, 1340, 1360, 1400, 2000, 3000, 8000)):
            for name in ('spi-ps', 'spi-pc'):
                ue.deliver(sip, b, name, os.urandom(size))
            for name in ('spi-uc', 'spi-us'):
                ue.reached(sip, b, name, os.urandom(size))
            if n % 3 == 0:
                nat.rebind(32000 + n)
                ue.deliver(sip, b)
        equal(drops(ep), dict.fromkeys(COUNTS, 0), 'dropped')


@test('A11', "P's 3,000 bytes arrive behind a NAT that drops fragments: it fragments ahead of ESP, {}", each=ADDRESSES)
def no_fragments(fam):
    nat = Nats.all[0]
    ep = nat_endpoint(fam)
    b, ue = registered(ep, nat)
    with mtu(1400), Sip(ep) as sip, ue.register(b):
        ue.works(sip, b)
        nat.drop_fragments()
        for size in (1300, 1340, 1345, 1350, 1360, 1400, 2000, 3000, 3000, 8000):
            World.wire.seen()
            for name in ('spi-uc', 'spi-us'):
                ue.reached(sip, b, name, os.urandom(size))
            no_outer_fragments()
        check('packets 0 bytes 0 drop' in nat.nft.run('list table inet fragments'), 'the NAT has dropped fragments')
        ue.works(sip, b)


@contextlib.contextmanager
def mtu(size):
    """All of the way is narrow, as both ends know."""
    ends = [(World.p, 'p0'), (World.u, 'u0')]
    for n in Nats.all:
        ends += [(World.u, f'u{n.i}'), (n.n, f'n{n.i}'), (n.n, f'i{n.i}'), (n.h, f'h{n.i}')]
    try:
        for ns, dev in ends:
            set_mtu(ns, dev, size)
        yield
    finally:
        for ns, dev in ends:
            set_mtu(ns, dev, 1500)


if __name__ == '__main__':
    main(setup_nats, before_each, teardown_nats)
