#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only
"""A10: what the guard answers, lets by where it is told to, and does with ICMP errors."""
import contextlib
import errno
import os
import re
import select
import socket
import struct
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '../lib'))
from ims import *  # noqa: E402,F403  pylint: disable=wildcard-import,unused-wildcard-import,wrong-import-position
from hosts import GUE, fou  # noqa: E402  pylint: disable=wrong-import-position
from natted import Nft  # noqa: E402  pylint: disable=wrong-import-position
from net import FRAGMENT  # noqa: E402  pylint: disable=wrong-import-position
from protected import *  # noqa: E402,F403  pylint: disable=wildcard-import,unused-wildcard-import,wrong-import-position

OTHERS = {'UDP': UDP, 'UDP-Lite': UDPLITE, 'SCTP': SCTP, 'DCCP': DCCP}
# From 6.16 on the kernel does not know DCCP's checksum, and answers nothing whose checksum is wrong
if tuple(map(int, re.findall(r'\d+', os.uname().release)[:2])) >= (6, 16):
    del OTHERS['DCCP']
RST, SYN, ACK = 4, 2, 16


@contextlib.contextmanager
def talkative():
    """ICMP errors are sent as often as there is cause."""
    with World.p.sysctl(ipv4__icmp_ratelimit=0, ipv6__icmp__ratelimit=0):
        yield


def answers():
    """What P has put on the wire, but for the markers."""
    return [s for s in World.wire.seen() if not s.sent and not quiet(s) and s.sport != FREE]


def is_unreachable(s):
    """Is it an ICMP port unreachable?"""
    return (s.proto, *s.data[:2]) in ((ICMP, 3, 3), (ICMP6, 1, 4))


def error_of(s):
    """The error that a socket has, by its name."""
    e = s.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
    return errno.errorcode.get(e, e)


def refused(s, text):
    """The socket gets ECONNREFUSED."""
    check(select.select([s], [s], [s], 20), text)
    wait(lambda: error_of(s) == 'ECONNREFUSED', f'{text}: refused')


@test('A10', 'endpoint-get tells the guard, drop if none was given')
def told():
    equal(endpoint(P4)['guard'], 'drop', 'guard')
    before()
    for guard in ('drop', 'reject', 'bypass'):
        ep = endpoint(P4, guard=guard)
        equal(ep['guard'], guard, 'guard in the reply')
        equal(World.nl.do('endpoint-get', id=ep['id'])['guard'], guard, 'guard')
        World.nl.do('endpoint-del', id=ep['id'])


@test('A10', 'reject: TCP in clear is refused by a RST at once, {}',
      each=tuple((f, s) for f in ADDRESSES for s in STAGES))
def reject_tcp(case):
    fam, stage = case
    with Case(fam, stage, 'reject') as c:
        for n, port in enumerate(PORTS):
            with c.counted(f'port {port}', plaintext_in=1):
                client = c.keep(World.u.tcp(c.u, 6000 + n))
                client.connect_ex((c.p, port))
                refused(client, f'a connection to port {port}')
            said = answers()
            equal([(s.proto, s.sport, s.dport, bool(s.data[13] & RST)) for s in said], [(TCP, port, 6000 + n, True)],
                  'answers')
            check(not any(accepted(s) for s in c.tcp), 'accepted')
            # What belongs to no connection, likewise; never a RST to a RST, nor to what is broken
            for flags, n_answers in ((ACK, 1), (SYN | ACK, 1), (RST, 0), (RST | ACK, 0), (None, 0)):
                data = layer4(c.u, c.p, TCP, 5060, port, flags=SYN if flags is None else flags)
                if flags is None:
                    data = data[:16] + bytes([data[16] ^ 1]) + data[17:]
                with c.counted(f'flags {flags}', plaintext_in=1):
                    World.wire.send(ip(c.u, c.p, TCP, data))
                    c.passed()
                said = answers()
                equal([(s.proto, s.sport, s.dport, s.data[13] & RST) for s in said],
                      [(TCP, port, 5060, RST)] * n_answers, f'answers to flags {flags}')


@test('A10', 'reject: what is not TCP is refused by ICMP at once where there is no set, {}', each=ADDRESSES)
def reject_others(fam):
    with talkative(), Case(fam, BEFORE, 'reject') as c:
        for n, port in enumerate(PORTS):
            with c.counted(f'port {port}', plaintext_in=1):
                client = c.keep(World.u.udp(c.u, 6000 + n))
                client.connect((c.p, port))
                client.send(b'in')
                refused(client, f'a datagram to port {port}')
            said = answers()
            check(len(said) == 1 and is_unreachable(said[0]), f'answers: {said}')
            for name, proto in OTHERS.items():
                with c.counted(name, plaintext_in=1):
                    World.wire.send(c.clear(5060, port, proto))
                    c.passed()
                said = answers()
                check(len(said) == 1 and is_unreachable(said[0]), f'answers to {name}: {said}')
        c.nothing_in('in clear')


@test('A10', 'reject: what comes in clear is refused where there is a set, too, which works, {}', each=ADDRESSES)
def reject_with_set(fam):
    with talkative(), Case(fam, WITH, 'reject') as c:
        for port in PORTS:
            for proto in OTHERS.values():
                with c.counted(f'protocol {proto}', plaintext_in=1):
                    World.wire.send(c.clear(PORT_UC, port, proto))
                    c.passed()
                said = answers()
                check(len(said) == 1 and is_unreachable(said[0]), f'answers to protocol {proto} at port {port}: {said}')
                # Only what came in clear is quoted
                check(c.clear(PORT_UC, port, proto)[-40:] in said[0].data, f'what is quoted: {said[0]}')
        c.nothing_in('in clear')
        c.work()


@test('A10', 'reject: what is for no host alone, or cannot be parsed, is not answered, {}', each=ADDRESSES)
def reject_silently(fam):
    with talkative(), Case(fam, BEFORE, 'reject') as c:
        for mac in (b'\xff' * 6, bytes.fromhex('01005e000001')):
            for proto in (UDP, TCP):
                with c.counted('a broadcast', plaintext_in=1):
                    World.wire.send(c.clear(5060, PORT_PS, proto), to=mac)
                    c.passed()
                c.silent('an answer to a broadcast')
        for proto in (UDP, TCP):
            c.put('without ports', ip(c.u, c.p, proto, b'\0\0'), plaintext_in=1)


@test('A10', 'reject: what came protected is never answered, {}', each=ADDRESSES)
def reject_protected(fam):
    with talkative(), Case(fam, WITH, 'reject') as c:
        key = bytes.fromhex(AUTH_KEY['hmac-md5-96'])
        World.p.ip(f'xfrm state add src {c.u} dst {c.p} proto esp spi 0x1234 mode transport '
                   f'auth-trunc hmac(md5) 0x{key.hex()} 96 enc ecb(cipher_null) ""')
        seq = 0
        for port in PORTS:
            for proto in (UDP, TCP, UDPLITE):
                seq += 1
                c.put('over a foreign SA', esp(c.u, c.p, 0x1234, seq, proto, layer4(c.u, c.p, proto, 5060, port),
                                               'hmac-md5-96', key), foreign_sa=1)
                c.put('a cross pair', c.by_hand.udp('spi-ps', b'', 5060, port, proto=proto), cross_pair=1)
        c.work()


@test('A10', 'reject: who sends from here is refused at once, and nothing leaves, {}',
      each=tuple((f, s) for f in ADDRESSES for s in STAGES))
def reject_out(case):
    fam, stage = case
    why = {'cross_pair' if stage == WITH else 'no_live_set': 1}
    with Case(fam, stage, 'reject') as c:
        for index, port in enumerate(PORTS):
            for s in (c.udp[index], *c.lite[index:index + 1]):
                for data in (b'out', bytes(4000)):
                    with c.counted(f'from port {port}', **why):
                        try:
                            s.sendto(data, (c.u, FREE))
                        except ConnectionRefusedError:
                            pass
                        else:
                            raise Fail(f'sendto() from port {port} is not refused')
            with c.counted(f'a SYN from port {port}', **why):
                equal(errno.errorcode.get(c.client(port).connect_ex((c.u, FREE))), 'ECONNREFUSED',
                      f'connect() from port {port}')
            c.left()
            c.silent(f'from port {port}')


@test('A10', 'bypass: plaintext passes both ways, and is not counted, {}',
      each=tuple((f, s) for f in ADDRESSES for s in STAGES))
def bypass(case):
    fam, stage = case
    with Case(fam, stage, 'bypass') as c, c.counted('bypassed'):
        for index, port in enumerate(PORTS):
            for proto, s in ((UDP, c.udp[index]), *((UDPLITE, s) for s in c.lite[index:index + 1])):
                phone = World.u.udp(c.u, FREE if proto == UDPLITE else 6000, proto)
                phone.sendto(b'in', (c.p, port))
                equal(receive(s), b'in', f'protocol {proto} to port {port}')
                s.sendto(b'out', phone.getsockname()[:2])
                equal(receive(phone), b'out', f'protocol {proto} from port {port}')
                phone.close()
            client = c.keep(World.u.tcp(c.u, 6100 + index))
            client.connect_ex((c.p, port))
            server = c.keep(wait(lambda n=index: accepted(c.tcp[n]), f'a connection to port {port}'))
            talk(client, server)
            listener = c.keep(World.u.tcp(c.u, 6200 + index, True))
            client = c.client(port)
            client.connect_ex((c.u, 6200 + index))
            server = c.keep(wait(lambda s=listener: accepted(s), f'a connection from port {port}'))
            talk(client, server)
            check(not [s for s in World.wire.seen() if s.proto == ESP], 'there is ESP on the wire')


def talk(*ends):
    for a, b in (ends, ends[::-1]):
        a.send(b'over TCP')
        equal(receive(b), b'over TCP', 'bytes over TCP')


@test('A10', 'bypass: where there is a set, it is used, {}', each=ADDRESSES)
def bypass_with_set(fam):
    p, u = ADDRESSES[fam]
    ep = endpoint(p, guard='bypass')
    b = bundle(ep, ue_address=u)
    World.wire.seen()
    with Phone(b) as phone:
        for name in ('spi-ps', 'spi-uc', 'spi-us', 'spi-pc'):
            phone.deliver(name)
            wire_has([b[name]])
        for opened, back in (('spi-ps', 'spi-uc'), ('spi-us', 'spi-pc')):
            phone.talk(phone.connect(opened))
            wire_has([b[opened], b[back]])
    equal(set(drops(ep).values()), {0}, 'dropped')


@test('A10', 'bypass: where there is a set, it is used, whatever source NAT the host has, {}', each=ADDRESSES)
def bypass_nat(fam):
    with contextlib.closing(Nft(World.p)) as nft:
        nft.run('add table inet nat; add chain inet nat out { type nat hook postrouting priority 100; }; '
                'add rule inet nat out oifname "p0" meta l4proto { udp, tcp } masquerade random')
        try:
            with Case(fam, WITH, 'bypass') as c:
                World.wire.seen()
                for n, port in ((0, c.b['port-uc']), (PORTS.index(c.b['port-pc']), c.b['port-us'])):
                    c.udp[n].sendto(b'over the set', (c.u, port))
                c.left()
                equal([s.spi for s in World.wire.seen() if not s.sent and (s.spi or b'over the set' in s.data)],
                      [c.b['spi-uc'], c.b['spi-us']], 'SPIs that P sends')
        finally:
            nft.run('delete table inet nat')


@test('A10 B4', 'bypass: a connection in clear that is older than the set, and source NAT has changed, does not go on in clear, {}',
      each=ADDRESSES)
def bypass_older(fam):
    with contextlib.closing(Nft(World.p)) as nft:
        nft.run('add table inet nat; add chain inet nat out { type nat hook postrouting priority 100; }; '
                'add rule inet nat out oifname "p0" meta l4proto { udp, tcp } masquerade random')
        try:
            with Case(fam, BEFORE, 'bypass') as c:
                def in_clear():
                    World.wire.seen()
                    with contextlib.suppress(PermissionError):
                        c.udp[0].sendto(b'in clear', (c.u, 8100))
                    c.left()
                    return any(b'in clear' in s.data for s in World.wire.seen() if not s.sent)
                equal(in_clear(), True, 'in clear without a set')
                b = bundle(c.ep, ue_address=c.u, port_uc=8100)
                World.nl.do('bundle-confirm', id=b['id'], lifetime=600000)
                with c.counted('with a set', no_live_set=1):
                    equal(in_clear(), False, 'in clear with a set')
        finally:
            nft.run('delete table inet nat')


@test('A10', 'bypass: an endpoint beside it is shut, {}',
      each=tuple((f, o) for f in ADDRESSES for o in ('the older', 'the younger')))
def bypass_beside(case):
    fam, order = case
    p, _ = ADDRESSES[fam]
    older = endpoint(p, port_ps=9001, port_pc=9002, guard='bypass') if order == 'the younger' else None
    with Case(fam, WITH) as c:
        other = older or endpoint(p, port_ps=9001, port_pc=9002, guard='bypass')
        s = c.keep(World.p.udp(c.p, 9001))
        World.wire.send(c.clear(5060, 9001))
        equal(receive(s), bytes(40), 'to the one with bypass')
        for port in PORTS:
            c.put(f'port {port}', c.clear(5060, port), plaintext_in=1)
        if fam == 'IPv6':
            # Half of it in ESP: which endpoint it is for is not known before it is complete
            data, ident = layer4(c.u, c.p, UDP, PORT_UC, PORT_PS, bytes(40)), next(idents)
            c.put('half protected', c.by_hand.packet('spi-ps', 44, fragment_head(UDP, 0, True, ident) + data[:24]),
                  fragment(c.u, c.p, UDP, 24, False, data[24:], ident), cross_pair=1)
        c.put('without ports', ip(c.u, c.p, UDP, b'\0\0'), plaintext_in=1)
        equal(set(drops(other).values()), {0}, 'dropped at the one with bypass')
        c.work()


@test('A10', 'ICMP in: an error that quotes a protected port is forged, and does not reach the socket, {}',
      each=tuple((f, g) for f in ADDRESSES for g in ('drop', 'reject')))
def icmp_in(case):
    fam, guard = case
    level, mtu, recverr = (41, 24, 25) if fam == 'IPv6' else (0, 14, 11)
    with Case(fam, WITH, guard) as c:
        to = {PORT_PS: PORT_UC, PORT_PC[0]: PORT_US, PORT_PC[1]: PORT_US, FREE: FREE}
        for port, s in (*zip(PORTS, c.udp), (FREE, c.free)):
            s.connect((c.u, to[port]))
            s.setsockopt(level, recverr, 1)
            for kind, error in (('port', 'ECONNREFUSED'), ('size', 'EMSGSIZE')):
                was = s.getsockopt(level, mtu)
                quoted = ip(c.p, c.u, UDP, layer4(c.p, c.u, UDP, port, to[port], bytes(1300)))
                packet = icmp_error(c.u, c.p, kind, quoted)
                with c.counted(f'{kind}, port {port}', plaintext_in=port != FREE):
                    World.wire.send(packet)
                    if port != FREE:
                        c.passed()
                equal(error_of(s), error if port == FREE else 0, f'{kind}: error of the socket at port {port}')
                if port != FREE:
                    equal(s.getsockopt(level, mtu), was, f'{kind}: MTU')
        # A connection in the making
        client = c.client(c.b['port-pc'])
        client.connect_ex((c.u, PORT_US))
        quoted = ip(c.p, c.u, TCP, layer4(c.p, c.u, TCP, c.b['port-pc'], PORT_US))
        with c.counted('TCP', plaintext_in=1):
            World.wire.send(icmp_error(c.u, c.p, 'port', quoted))
        equal(error_of(client), 0, 'error of a connection')


def quotes(c, told):
    """How an ICMP error may quote a packet from P: name, f(port), and whether the kernel takes it for the port's.

    A quotation is not checked much by who gets it: of IPv4's headers the length counts, of IPv6's the chain.
    """
    def data(port):
        return layer4(c.p, c.u, UDP, port, told.to[port], bytes(64))
    if c.fam == 'IPv4':
        def four(offset=0, options=b'', size=None, first=None):
            def packet(port):
                whole = ip4(c.p, c.u, UDP, data(port), offset, options=options)
                return ((bytes([first]) if first else whole[:1]) + whole[1:])[:size]
            return packet
        for bits in (0, 0x2000, 0x4000, 0x6000, 0x8000):
            for offset in (0, 1, 185, 0x1fff):
                yield f'fragment field {bits | offset:#06x}', four(bits | offset), True
        for options in (4, 40):
            for offset in (0, 3):
                yield f'{options} bytes of options, offset {offset}', four(offset, b'\1' * options), True
        for version in (0, 6):
            yield f'version {version}', four(5, first=version << 4 | 5), True
        for size in (28, 27, 24, 23, 20, 8, 0):
            yield f'cut after {size} bytes', four(7, size=size), size == 28
        return

    def six(first, heads, size=None, version=6):
        def packet(port):
            whole = ip(c.p, c.u, first, heads + data(port))
            return (bytes([version << 4]) + whole[1:])[:None if size is None else 40 + len(heads) + size]
        return packet

    def options(head):
        return bytes([head, 0, 1, 4]) + bytes(4)

    def routing(head, left):
        return bytes([head, 2, 0, left]) + bytes(20)

    def auth(head):
        return bytes([head, 4]) + bytes(22)
    for name, first, heads, taken in (
            ('nothing', UDP, b'', True),
            ('a first fragment', FRAGMENT, fragment_head(UDP, 0, True), True),
            ('an atomic fragment', FRAGMENT, fragment_head(UDP, 0, False), True),
            ('a later fragment', FRAGMENT, fragment_head(UDP, 8, True), False),
            ('a last fragment', FRAGMENT, fragment_head(UDP, 800, False), False),
            ('destination options', DSTOPTS, options(UDP), True),
            ('hop-by-hop options', 0, options(UDP), True),
            ('a routing header at its end', 43, routing(UDP, 0), True),
            ('a routing header on its way', 43, routing(UDP, 1), True),
            ('an authentication header', AH, auth(UDP), True),
            ('all of them', 0, options(43) + routing(FRAGMENT, 1) + fragment_head(AH, 0, True) + auth(DSTOPTS) + options(UDP), True)):
        yield f'behind {name}', six(first, heads), taken
        for version in (0, 4):
            yield f'behind {name}, version {version}', six(first, heads, version=version), taken
        for size in (8, 7, 4, 3, 0):
            yield f'behind {name}, cut after {size} bytes', six(first, heads, size), taken and size == 8


class Told:
    """Connected sockets that would tell of any error: at the protected ports, and at one that is not."""

    def __init__(self, c):
        self.c = c
        # What others have been told of the path
        World.p.ip(f'-{c.fam[-1]} route flush cache')
        self.level, self.mtu, recverr = (41, 24, 25) if c.fam == 'IPv6' else (0, 14, 11)
        self.to = {PORT_PS: PORT_UC, PORT_PC[0]: PORT_US, PORT_PC[1]: PORT_US, FREE: FREE}
        self.socks = dict(zip((*PORTS, FREE), (*c.udp, c.free)))
        for port, s in self.socks.items():
            s.connect((c.u, self.to[port]))
            s.setsockopt(self.level, recverr, 1)
        self.was = {port: self.of(port) for port in PORTS}

    def of(self, port):
        """What a socket has been told: an error, how many are in its queue, and the path MTU."""
        s, queued = self.socks[port], 0
        try:
            while s.recvmsg(0, 512, socket.MSG_ERRQUEUE):
                queued += 1
        except BlockingIOError:
            pass
        return error_of(s), queued, s.getsockopt(self.level, self.mtu)

    def nothing(self, port, text, packets, must_count=True):
        """An error comes and nobody is told; it is counted, once, if it could have been believed."""
        was = self.c.counts()

        def grown():
            return {k: v - was[k] for k, v in self.c.counts().items() if v != was[k]}
        World.wire.send(*packets)
        self.c.passed()
        equal(self.of(port), self.was[port], f'{text}: error, errors queued, and MTU of the socket at port {port}')
        got = wait(grown, f'{text}: counted', 10) if must_count else grown()
        check(got == {'plaintext-in': 1} or not must_count and not got, f'{text}: counted: {got}')

    def believed(self, text, packets):
        """The same about a port that is not protected is believed, so that the test is one."""
        World.wire.send(*packets)
        wait(lambda: self.of(FREE)[1], f'{text}: the socket at a port that is not protected is told')


@test('A10', 'ICMP in: whatever part of a packet is quoted, the socket at a protected port is not told, {}', each=ADDRESSES)
def icmp_quotes(fam):
    with Case(fam, WITH) as c:
        told = Told(c)
        for n, (name, quoted, taken) in enumerate(quotes(c, told)):
            port = PORTS[n % 3]
            for kind in ('port', 'size'):
                text = f'{kind}, {name}'
                told.nothing(port, text, [icmp_error(c.u, c.p, kind, quoted(port))], taken)
            # With another version nothing can be found behind a header of IPv6: whatever port it is about, it is dropped
            if taken and not (name.startswith('behind') and 'nothing' not in name and 'version' in name):
                told.believed(name, [icmp_error(c.u, c.p, 'port', quoted(FREE))])
        check('mtu' not in World.p.ip(f'route get {c.u}'), 'the route has another MTU')
        c.work()


@test('A10', 'ICMP in: however an error comes, and of whatever kind, the socket at a protected port is not told, {}', each=ADDRESSES)
def icmp_forms(fam):
    kinds = ('port', 'size', *((3, n) for n in (0, 1, 2, 4, 13)), (4, 0), (11, 0), (12, 0)) if fam == 'IPv4' else \
        ('port', 'size', *((1, n) for n in (0, 1, 3, 4)), (3, 0), (4, 0), (5, 0), (100, 0), (127, 3))
    proto, at = (ICMP, 20) if fam == 'IPv4' else (ICMP6, 40)
    with Case(fam, WITH) as c:
        told = Told(c)
        for n, kind in enumerate(kinds):
            def error(port, kind=kind):
                return icmp_error(c.u, c.p, kind, ip(c.p, c.u, UDP, layer4(c.p, c.u, UDP, port, told.to[port], bytes(64))))[at:]

            def ways(data):
                yield from forms(fam, c.u, c.p, proto, data)
                for size in (8, 48, 64):
                    yield f'fragments of {size} bytes', fragments(c.u, c.p, proto, data, size)
            for k, (name, _) in enumerate(ways(error(FREE))):
                port, text = PORTS[(n + k) % 3], f'type {kind}, {name}'
                told.nothing(port, text, dict(ways(error(port)))[name])
                # Where the first fragment does not show the port, it is dropped whatever port it is about (IPv6)
                if kind == 'port' and (fam == 'IPv4' or not name.startswith('fragments') or '64' in name):
                    told.believed(text, dict(ways(error(FREE)))[name])
        check('mtu' not in World.p.ip(f'route get {c.u}'), 'the route has another MTU')


@test('A10', 'ICMP in GUE: the socket at a protected port is not told, {}', each=ADDRESSES)
def icmp_in_gue(fam):
    with fou(fam, {GUE: 'gue'}), Case(fam, WITH) as c:
        told = Told(c)
        proto, at = (ICMP, 20) if fam == 'IPv4' else (ICMP6, 40)
        for port in PORTS:
            for kind in ('port', 'size'):
                quoted = ip(c.p, c.u, UDP, layer4(c.p, c.u, UDP, port, told.to[port], bytes(64)))
                data = struct.pack('>BBH', 0, proto, 0) + icmp_error(c.u, c.p, kind, quoted)[at:]
                told.nothing(port, kind, [ip(c.u, c.p, UDP, layer4(c.u, c.p, UDP, 40000, GUE, data))])


@test('A10', 'FOU: GRE within, which has no ports, is let in, {}', each=ADDRESSES)
def gre_in_fou(fam):
    with fou(fam, {GUE: 'ipproto 47'}), Case(fam, WITH) as c, c.counted('GRE'):
        # A checksum, a key, a sequence number, or none of them
        for flags in (0, 0x10, 0x20, 0x30, 0x80):
            World.wire.send(ip(c.u, c.p, UDP, layer4(c.u, c.p, UDP, 40000, GUE, bytes([flags, 0, 8, 0]) + bytes(60))))
        c.passed()


@test('A10', 'ICMP in: a connection in the making is not told, {}', each=ADDRESSES)
def icmp_connection(fam):
    with Case(fam, WITH) as c:
        port, sport = c.b['port-pc'], PORT_US
        client = c.client(port)
        World.wire.seen()
        client.connect_ex((c.u, sport))
        syn = wait(lambda: [s.data[8:] for s in World.wire.seen() if not s.sent and s.proto == ESP], 'a SYN')[0]
        for offset in (0, 1, 185) if fam == 'IPv4' else (0,):
            quoted = ip4(c.p, c.u, TCP, syn[:20], offset) if fam == 'IPv4' else ip(c.p, c.u, TCP, syn[:20])
            with c.counted('TCP', plaintext_in=1):
                World.wire.send(icmp_error(c.u, c.p, 'port', quoted))
            equal(error_of(client), 0, f'error of a connection, fragment offset {offset}')


@test('A10', 'ICMP out: an error about what came protected would quote it, and does not leave, {}',
      each=tuple((f, g) for f in ADDRESSES for g in ('drop', 'reject')))
def icmp_out(case):
    fam, guard = case
    with talkative(), Case(fam, WITH, guard, sockets=False) as c:
        # The SIP server is down
        for name in ('spi-ps', 'spi-pc'):
            for proto in (UDP, UDPLITE):
                with c.counted(name, plaintext_out=1):
                    World.wire.send(c.by_hand.udp(name, b'SIP', proto=proto))
                    c.passed()
                c.silent(f'an answer to what came over {name}')
        if guard == 'drop':
            return
        # The guard's own answers go on, whatever else comes with them
        for _ in range(3):
            with c.counted('in turn', plaintext_in=1, plaintext_out=1):
                World.wire.send(c.clear(PORT_UC), c.by_hand.udp('spi-ps', b'SIP'))
                c.passed()
            said = answers()
            check(len(said) == 1 and is_unreachable(said[0]) and b'SIP' not in said[0].data, f'answers: {said}')


@test('A10', 'ICMP: errors about ports that are not protected go on, both ways, {}',
      each=tuple((f, g) for f in ADDRESSES for g in ('drop', 'reject', 'bypass')))
def icmp_unrelated(case):
    fam, guard = case
    with talkative(), World.u.sysctl(ipv4__icmp_ratelimit=0, ipv6__icmp__ratelimit=0), \
            Case(fam, WITH, guard) as c, c.counted('not protected'):
        for a, b in ((c.free, c.phone), (c.phone, c.free)):
            host = (c.p if a is c.phone else c.u)
            # A number that is protected at P may be any at U
            for port in (CLOSED, PORT_PS) if a is c.free else (CLOSED,):
                a.connect((host, port))
                a.send(b'nobody')
                refused(a, f'a datagram to {host} port {port}')


if __name__ == '__main__':
    main(setup, before, teardown)
