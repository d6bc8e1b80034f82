#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only
"""A10: ways round policies that do not lead round the guard, one test for each."""
import os
import select
import socket
import struct
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '../lib'))
from ims import *  # noqa: E402,F403  pylint: disable=wildcard-import,unused-wildcard-import,wrong-import-position
from natted import Nft  # noqa: E402  pylint: disable=wrong-import-position
from net import pack  # noqa: E402  pylint: disable=wrong-import-position
from protected import *  # noqa: E402,F403  pylint: disable=wildcard-import,unused-wildcard-import,wrong-import-position

# A stranger's SAs: an IKE daemon's, an operator's
KEY = bytes.fromhex(AUTH_KEY['hmac-md5-96'])
ALGORITHMS = f'auth-trunc hmac(md5) 0x{KEY.hex()} 96 enc ecb(cipher_null) ""'
SPI = 0x1234


def strange(c, mode='transport', out=False, proto='esp', reqid=77):
    """An SA of somebody else between the two hosts."""
    src, dst = (c.p, c.u) if out else (c.u, c.p)
    World.p.ip(f'xfrm state add src {src} dst {dst} proto {proto} spi {SPI} reqid {reqid} mode {mode} ' +
               (ALGORITHMS if proto == 'esp' else ALGORITHMS[:ALGORITHMS.index(' enc')]))


def over(c, seq, proto, data):
    """Data over that SA."""
    return esp(c.u, c.p, SPI, seq, proto, data, 'hmac-md5-96', KEY)


def plain(c, proto, port):
    return layer4(c.u, c.p, proto, PORT_UC, port, b'strange' if proto != TCP else b'')


@test('A10', 'lo in: plaintext is dropped and counted, {}', each=ADDRESSES)
def lo_in(fam):
    with Case(fam, WITH) as c:
        for n, port in enumerate(PORTS):
            for data in (b'x', bytes(5000)):
                with c.counted('a datagram over lo', plaintext_in=1):
                    with World.p:
                        s = c.keep(socket.socket(family(c.p), socket.SOCK_DGRAM))
                        s.setblocking(False)
                        s.sendto(data, (c.p, port))
                        s.sendto(b'marker', (c.p, FREE))
                    equal(receive(c.free), b'marker', 'a port that is not protected')
                c.nothing_in('a datagram over lo')
            with c.counted('a SYN over lo', plaintext_in=1):
                s = World.p.tcp(c.p, 9000 + n)
                s.connect_ex((c.p, port))
                s.close()
            c.nothing_in('a connection over lo')


@test('A10', 'lo out: plaintext is dropped and counted, {}', each=ADDRESSES)
def lo_out(fam):
    # Policies do not hold on IPv4's, and do on IPv6's
    why = {'plaintext_out' if fam == 'IPv4' else 'no_live_set': 1}
    with Case(fam, WITH) as c:
        for port, s in zip(PORTS, c.udp):
            for to in (FREE, PORT_PS):
                with c.counted(f'from port {port} to {to} over lo', **why):
                    try:
                        s.sendto(b'out', (c.p, to))
                    except PermissionError:
                        pass
                c.passed()
                c.nothing_in('a datagram over lo')


@test('A10', 'disable_policy: plaintext in is dropped and counted, {}',
      each=tuple((f, d) for f in ADDRESSES for d in ('p0', 'all')))
def disable_policy(case):
    fam, device = case
    with World.p.sysctl(**{f'{fam.lower()}__conf__{device}__disable_policy': 1}), Case(fam, WITH) as c:
        for proto in (UDP, TCP, UDPLITE):
            for port in PORTS:
                c.put(f'protocol {proto} to port {port}', c.clear(PORT_UC, port, proto), plaintext_in=1)


@test('A10', 'disable_xfrm: plaintext out is dropped and counted, IPv4 {}', each=('p0', 'all'))
def disable_xfrm(device):
    # IPv6 has no such thing
    with World.p.sysctl(**{f'ipv4__conf__{device}__disable_xfrm': 1}), Case('IPv4', WITH) as c:
        for port in PORTS:
            was = c.count('plaintext-out')
            n = try_to_send(c, port)
            c.left()
            c.silent(f'sockets at port {port}')
            check(c.count('plaintext-out') >= was + n, f'{c.count("plaintext-out") - was} counted of {n}')


@test('A10 D11', 'what XFRM has no SA for is counted as that, whether it would wait for one or not: {}',
      each=tuple((f, stage, drop) for f in ADDRESSES for stage in (BEFORE, WITH) for drop in (1, 0)))
def larval_drop(case):
    fam, stage, drop = case
    if UML and not drop:
        raise Skip('the kernel itself leaks a route for each, where it would wait (dst_destroy()), and kmemleak tells')
    why = {'no_live_set' if stage == BEFORE else 'cross_pair': 1}
    with World.p.sysctl(core__xfrm_larval_drop=drop), Case(fam, stage) as c:
        for port, s in zip(PORTS, c.udp):
            with c.counted(f'a datagram from port {port}', **why):
                try:
                    s.sendto(b'out', (c.u, FREE))
                except PermissionError:
                    pass
            c.left()
            c.silent(f'a datagram from port {port}')


@test('A10', 'socket policies: what they let in is dropped and counted, {}', each=ADDRESSES)
def socket_policy_in(fam):
    with Case(fam, WITH) as c:
        for s in (*c.udp, *c.lite, *c.tcp):
            allow_all(s, XFRM_POLICY_IN)
            allow_all(s, XFRM_POLICY_OUT)  # for the SYN+ACK
        for port in PORTS:
            for proto in (UDP, UDPLITE, TCP):
                c.put(f'protocol {proto} to port {port}', c.clear(PORT_UC, port, proto), plaintext_in=1)


@test('A10', 'socket policies: what they let out is dropped and counted, {}', each=ADDRESSES)
def socket_policy_out(fam):
    with Case(fam, WITH) as c:
        for index, port in enumerate(PORTS):
            for x in (c.udp[index], *c.lite[index:index + 1]):
                allow_all(x, XFRM_POLICY_OUT)
                for to in (FREE, PORT_UC, PORT_US):
                    with c.counted(f'from port {port} to {to}', plaintext_out=1):
                        try:
                            x.sendto(b'out', (c.u, to))
                        except PermissionError:
                            pass
            with c.counted(f'a SYN from port {port}', plaintext_out=1):
                client = c.client(port)
                allow_all(client, XFRM_POLICY_OUT)
                client.connect_ex((c.u, FREE))
                client.close()
            c.left()
            c.silent(f'sockets at port {port}')


@test('A10', 'foreign SA in: whatever its mode, it is dropped and counted, {}',
      each=tuple((f, m) for f in ADDRESSES for m in ('transport', 'tunnel', 'AH')))
def foreign_in(case):
    fam, mode = case
    with Case(fam, WITH) as c:
        try:
            strange(c, mode if mode != 'AH' else 'transport', proto='esp' if mode != 'AH' else 'ah')
        except RuntimeError:
            if mode == 'AH':
                raise Skip('this kernel has no AH') from None
            raise

        def packet(seq, proto, port):
            data = plain(c, proto, port)
            if mode == 'AH':
                return ah(c.u, c.p, SPI, seq, proto, data, 'hmac-md5-96', KEY)
            if mode == 'tunnel':
                return over(c, seq, 4 if fam == 'IPv4' else 41, ip(c.u, c.p, proto, data))
            return over(c, seq, proto, data)
        # What comes out of a tunnel needs a policy
        free = f'src {c.u} dst {c.p} dport {FREE} dir in'
        if mode == 'tunnel':
            World.p.ip(f'xfrm policy add {free} tmpl src {c.u} dst {c.p} proto esp reqid 77 mode tunnel')
        World.wire.send(packet(1, UDP, FREE))
        equal(receive(c.free), b'strange', 'over the foreign SA to a port that is not protected')
        if mode == 'tunnel':
            World.p.ip(f'xfrm policy delete {free}')
        # IPv6's AH hides no port: it is judged before it has been checked
        why = {'plaintext_in' if case == ('IPv6', 'AH') else 'foreign_sa': 1}
        seq = 1
        for port in PORTS:
            for proto in (UDP, TCP, UDPLITE):
                seq += 1
                c.put(f'protocol {proto} to port {port}', packet(seq, proto, port), **why)
        c.work()


@test('A10', 'foreign SA in: one of ours inside it, or it inside ours, is dropped and counted, {}',
      each=tuple((f, p) for f in ADDRESSES for p in ('ESP', 'AH')))
def nested(case):
    fam, proto = case
    with Case(fam, WITH) as c:
        try:
            strange(c, proto=proto.lower())
        except RuntimeError:
            if proto == 'AH':
                raise Skip('this kernel has no AH') from None
            raise
        for seq, (name, sport, port) in enumerate((('spi-ps', PORT_UC, PORT_PS), ('spi-pc', PORT_US, c.b['port-pc'])), 1):
            data = layer4(c.u, c.p, UDP, sport, port, b'nested')
            ours = c.by_hand.data(name, UDP, data)
            if SHIPPED and proto == 'ESP':
                # The kernel's GRO loses what is ESP once more: not counted, nor received
                theirs = esp_data(SPI, seq + 10, UDP, data, 'hmac-md5-96', KEY)
                for way, packet in (('inside', over(c, seq, ESP, ours)), ('outside', c.by_hand.packet(name, ESP, theirs))):
                    World.wire.send(packet)
                    c.passed()
                    c.nothing_in(f'{name} {way}, by way of GRO')
                continue
            c.put(f'{name} inside', over(c, seq, ESP, ours) if proto == 'ESP' else
                  ah(c.u, c.p, SPI, seq, ESP, ours, 'hmac-md5-96', KEY), foreign_sa=1)
            if proto == 'ESP':
                theirs = esp_data(SPI, seq + 10, UDP, data, 'hmac-md5-96', KEY)
                c.put(f'{name} outside', c.by_hand.packet(name, ESP, theirs), foreign_sa=1)
        c.work()


@test('A10', 'foreign SA in: one with the number of the endpoint is dropped and counted, {}', each=ADDRESSES)
def same_reqid(fam):
    with Case(fam, WITH) as c:
        reqid = World.p.states()[0]['reqid']
        strange(c, reqid=reqid)
        c.put('a UE that has a set', over(c, 1, UDP, plain(c, UDP, PORT_PS)), foreign_sa=1)
        c.work()


@test('A10', 'foreign SA in: that of another endpoint is dropped and counted, {}', each=ADDRESSES)
def other_endpoint(fam):
    with Case(fam, WITH) as c:
        other = endpoint(c.p, port_ps=9001, port_pc=9002)
        s = c.keep(World.p.udp(c.p, 9001))
        was = drops(other)
        with c.counted('at the endpoint whose SA it is'):
            World.wire.send(c.by_hand.udp('spi-ps', b'other', port=9001))
            c.passed()
        wait(lambda: drops(other) != was, 'counted')
        equal(pending(s), [], 'delivered')
        equal(drops(other), {**was, 'foreign-sa': was['foreign-sa'] + 1}, 'counted')
        c.work()


@test('A10', "higher priority: a stranger's policy without IPsec lets nothing in or out, {}", each=ADDRESSES)
def higher_allow(fam):
    with Case(fam, WITH) as c:
        World.p.ip(*(f'xfrm policy add {way} priority 0' for port in PORTS for way in (
            f'src {c.p} dst {c.u} sport {port} dir out', f'src {c.u} dst {c.p} dport {port} dir in')))
        for port, s in zip(PORTS, c.udp):
            for proto in (UDP, UDPLITE, TCP):
                c.put(f'protocol {proto} to port {port}', c.clear(PORT_UC, port, proto), plaintext_in=1)
            was = c.count('plaintext-out')
            n = try_to_send(c, port)
            c.left()
            c.silent(f'sockets at port {port}')
            check(c.count('plaintext-out') >= was + n, f'{c.count("plaintext-out") - was} counted of {n}')
            with c.counted('to where there is a set', plaintext_out=1):
                try:
                    s.sendto(b'out', (c.u, PORT_US if port in PORT_PC else PORT_UC))
                except PermissionError:
                    pass
            c.silent('to where there is a set')


@test('A10', "higher priority: a stranger's policy with an SA of his lets nothing in or out, {}",
      each=tuple((f, m) for f in ADDRESSES for m in ('transport', 'tunnel')))
def higher_foreign(case):
    fam, mode = case
    with Case(fam, WITH) as c:
        strange(c, mode)
        strange(c, mode, out=True)
        World.p.ip(*(f'xfrm policy add src {c.p} dst {c.u} sport {port} dir out priority 0 '
                     f'tmpl src {c.p} dst {c.u} proto esp reqid 77 mode {mode}' for port in (*PORTS, FREE)),
                   *(f'xfrm policy add src {c.u} dst {c.p} dport {port} dir in priority 0 '
                     f'tmpl src {c.u} dst {c.p} proto esp reqid 77 mode {mode}' for port in PORTS))
        c.free.sendto(b'out', (c.u, FREE))
        equal([s.spi for s in World.wire.seen() if not s.sent and s.proto == ESP], [SPI],
              'SPI of what leaves a port that is not protected')
        seq = 0
        for port, s in zip(PORTS, c.udp):
            for proto in (UDP, TCP):
                seq += 1
                data = plain(c, proto, port)
                if mode == 'tunnel':
                    data, proto = ip(c.u, c.p, proto, data), 4 if fam == 'IPv4' else 41
                c.put(f'protocol {proto} to port {port}', over(c, seq, proto, data), foreign_sa=1)
            for to in (FREE, PORT_UC, PORT_US):
                with c.counted(f'from port {port} to {to}', foreign_sa=1):
                    try:
                        s.sendto(b'out', (c.u, to))
                    except PermissionError:
                        pass
            with c.counted(f'a SYN from port {port}', foreign_sa=1):
                client = c.client(port)
                client.connect_ex((c.u, FREE))
                client.close()
            c.silent(f'sockets at port {port}')


@test('A10', 'fragments: a first one for another port does not take later ones along, {}', each=('IPv6',))
def overlapping(fam):
    with Case(fam, WITH) as c:
        shut, free = (layer4(c.u, c.p, UDP, 5060, port, bytes(32)) for port in (PORT_PS, FREE))
        # Whichever comes first: the one that says the protected port never does
        for name in ('after', 'before', 'last'):
            ident = next(idents)
            to_shut, to_free = (fragment(c.u, c.p, UDP, 0, True, data[:16], ident) for data in (shut, free))
            last = fragment(c.u, c.p, UDP, 16, False, shut[16:], ident)
            packets = {'after': (to_free, to_shut, last), 'before': (to_shut, to_free, last),
                       'last': (last, to_free, to_shut)}[name]
            with c.counted(f'overlapping, {name}', plaintext_in=1):
                World.wire.send(*packets)
            pending(c.free)
            c.passed()
            c.nothing_in(f'overlapping, {name}')


@test('A10', 'fragments: one inside ESP is not completed in clear, {}', each=('IPv6',))
def half_protected(fam):
    with Case(fam, WITH) as c:
        data = layer4(c.u, c.p, UDP, PORT_UC, PORT_PS, bytes(40))

        def part(at, more, protected, ident):
            piece = data[at:at + 24]
            if protected:
                return c.by_hand.packet('spi-ps', 44, fragment_head(UDP, at, more, ident) + piece)
            return fragment(c.u, c.p, UDP, at, more, piece, ident)
        for first, later in ((True, False), (False, True), (True, True)):
            for order in (1, -1):
                ident = next(idents)
                expected = {'cross_pair': first + later, 'plaintext_in': not first}
                c.put(f'first fragment {"in ESP" if first else "in clear"}, later {"in ESP" if later else "in clear"}',
                      *[part(0, True, first, ident), part(24, False, later, ident)][::order], **expected)
        c.work()


@test('A10', 'routing header: it does not lead round the guard, {}', each=('IPv6',))
def routing_header(fam):
    segment = '2001:db8::3'
    World.p.ip(f'addr replace {segment}/64 dev p0 nodad')
    try:
        with World.p.sysctl(ipv6__conf__all__seg6_enabled=1, ipv6__conf__p0__seg6_enabled=1), Case(fam, WITH) as c:
            def by_way_of(port, *packed):
                # Segment routing: from one address of the host to the other
                data = layer4(c.u, c.p, UDP, 5060, port, b'routed')
                for head in packed:
                    data = head + data
                head = struct.pack('>BBBBBBH', 44 if packed else UDP, 4, 4, 1, 1, 0, 0)
                return ip(c.u, segment, 43, head + pack(c.p) + pack(segment) + data)
            for name, packed in (('atomic fragment', (fragment_head(UDP, 0, False),)), ('whole', ())):
                World.wire.send(by_way_of(FREE, *packed))
                equal(receive(c.free), b'routed', f'{name}: a port that is not protected')
                for port in PORTS:
                    c.put(f'{name} to port {port}', by_way_of(port, *packed), plaintext_in=1)
    finally:
        World.p.ip(f'addr del {segment}/64 dev p0')


@test('A10', 'routing header: one that a later fragment has does not lead round the guard, {}', each=('IPv6',))
def routing_later(fam):
    segment = '2001:db8::3'
    World.p.ip(f'addr replace {segment}/64 dev p0 nodad')
    try:
        with World.p.sysctl(ipv6__conf__all__seg6_enabled=1, ipv6__conf__p0__seg6_enabled=1), Case(fam, WITH) as c:
            def packets(port, at, order):
                # The first fragment ends within the options, behind them, or within the routing header's addresses
                routing = struct.pack('>BBBBBBH', UDP, 4, 4, 1, 1, 0, 0) + pack(c.p) + pack(segment)
                data = struct.pack('>BBBB12x', 43, 1, 0x1e, 12) + routing + layer4(c.u, c.p, UDP, 5060, port, b'routed')
                ident = next(idents)
                return [fragment(c.u, segment, DSTOPTS, 0, True, data[:at], ident),
                        fragment(c.u, segment, DSTOPTS, at, False, data[at:], ident)][::order]
            for port in PORTS:
                for at in (8, 16, 24, 32, 48, 56):
                    for order in (1, -1):
                        c.put(f'a first fragment of {at} bytes, port {port}', *packets(port, at, order), plaintext_in=1)
            # With its ports in it, the first one says where it goes
            World.wire.send(*packets(FREE, 64, 1))
            equal(receive(c.free), b'routed', 'a port that is not protected')
    finally:
        World.p.ip(f'addr del {segment}/64 dev p0')


REDIRECTED = 9990


@test('A10', 'a protected port that is redirected: open over ESP, shut in clear, {}',
      each=tuple((f, g) for f in ADDRESSES for g in ('drop', 'reject')))
def redirect(case):
    fam, guard = case
    nft = Nft(World.p)
    try:
        with Case(fam, WITH, guard, sockets=False) as c:
            # As a SIP server has them that listens elsewhere
            udp, tcp = c.keep(World.p.udp(c.p, REDIRECTED)), c.keep(World.p.tcp(c.p, REDIRECTED, True))
            nft.run('table inet turn {', 'chain pre {', 'type nat hook prerouting priority dstnat;',
                    f'meta l4proto {{ udp, tcp }} th dport {PORT_PS} redirect to :{REDIRECTED}', '}', '}')
            for n, proto in enumerate((UDP, UDP, TCP)):
                for name, packets in forms(fam, c.u, c.p, proto, layer4(c.u, c.p, proto, 5070 + n, PORT_PS, bytes(40))):
                    with c.counted(f'protocol {proto}, {name}', plaintext_in=1):
                        World.wire.send(*packets)
                        c.passed()
                    equal(pending(udp), [], f'{name}: delivered')
                    check(not accepted(tcp), f'{name}: accepted')
                    if guard == 'drop':
                        c.silent(f'an answer to {name}')
            # Another program's port is its own
            World.wire.send(c.clear(5060, REDIRECTED))
            equal(receive(udp), bytes(40), 'to the port itself')
            World.wire.seen()
            with c.counted('over ESP'), Phone(c.b) as phone:
                phone.ps.close()
                phone.uc.sendto(b'over ESP', (c.p, PORT_PS))
                data, sender = wait(lambda: select.select([udp], [], [], 0)[0] and udp.recvfrom(100), 'a message over ESP')
                equal((data, sender[:2]), (b'over ESP', (c.u, c.b['port-uc'])), 'what has come')
                udp.sendto(b'an answer', sender)
                equal(receive(phone.uc), b'an answer', 'the answer')
                client = c.keep(World.u.tcp(c.u, c.b['port-uc']))
                client.connect_ex((c.p, PORT_PS))
                server = c.keep(wait(lambda: accepted(tcp), 'a connection over ESP'))
                for a, b in ((client, server), (server, client)):
                    a.send(b'over TCP')
                    equal(receive(b), b'over TCP', 'bytes over TCP')
                wire_has([c.b['spi-ps'], c.b['spi-uc']])
                server.close()
    finally:
        nft.run('table inet turn', 'delete table inet turn')
        nft.close()


if __name__ == '__main__':
    main(setup, before, teardown)
