#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only
"""Mode udp-enc-tun: what comes in UDP or in tunnels and is not for the SIP server is kept from it.

The UEs are made by hand (lib/natted.py).
"""
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '../lib'))
from ims import *  # noqa: E402,F403  pylint: disable=wildcard-import,unused-wildcard-import,wrong-import-position
from natted import *  # noqa: E402,F403  pylint: disable=wildcard-import,unused-wildcard-import,wrong-import-position

@test('G8', 'keep-alives are swallowed, and what has the marker for no ESP is not taken for ESP, {}', each=ADDRESSES)
def swallowed(fam):
    ep = nat_endpoint(fam)
    with Sip(ep) as sip:
        b = confirm(nat_bundle(ep))
        ue = Handset(b)
        ue.works(sip)
        stat = World.p.xfrm_stat()
        whole = ue.esp('spi-ps', ue.inner('spi-ps', b'behind a marker'))
        odd = [KEEP_ALIVE, MARKER + bytes(28), MARKER + whole, MARKER, MARKER + KEEP_ALIVE, b'\0', b'\0\0', b'\xff\xff', b'', bytes(7),
               MARKER + b'x' * 1000]
        World.events.drain()
        for port in (b['ue-nat-port'], 61002):
            for data in odd * 5:
                World.wire.send(ue.outer(data, port))
        sip.passed()
        sip.nothing('keep-alives and others')
        equal(World.p.xfrm_stat(), stat, 'what XFRM has counted')
        equal([s[1] for s in udp_sockets(NAT_PORT)], [0], 'bytes that wait at the socket')
        equal((mappings(), get(b)['ue-nat-port']), ([], NAT_PORT), 'mappings')
        seen = [s for s in World.wire.seen() if not s.sent and not quiet(s) and s.sport != sip.FREE]
        check(not seen, f'P has answered: {seen[:3]}')
        ue.works(sip)


@test('A10 A5', 'what is not in ESP, or over the SA of another, is dropped and counted, {}', each=ADDRESSES)
def guard(fam):
    ep = nat_endpoint(fam)
    a = Handset(confirm(nat_bundle(ep)))
    b = Handset(confirm(nat_bundle(ep, ue_address=OTHER[fam], ue_nat_address=OTHER[fam])))
    listener = World.p.tcp(ep['address'], ep['port-ps'], True)
    with Sip(ep) as sip:
        for ue in (a, b):
            ue.works(sip)
        uc, us, pc = (a.b[x] for x in ('port-uc', 'port-us', 'port-pc'))
        for proto in (UDP, TCP):
            cases = (
                ('the packet within, in clear', a.inner('spi-ps', b'clear', proto=proto), {'plaintext_in': 1}),
                ('in clear from the NAT', a.inner('spi-ps', b'clear', src=a.at, proto=proto), {'plaintext_in': 1}),
                ("another UE's address over one's own SA", a.message(src=b.u, proto=proto), {'cross_pair': 1}),
                ("another UE's address, from where it is", a.message(src=b.u, at=b.at, proto=proto), {'cross_pair': 1}),
                ('another port of the UE', a.message(sport=us, proto=proto), {'cross_pair': 1}),
                ('another port of P', a.message(dport=pc, proto=proto), {'cross_pair': 1}),
                ('the other pair of ports', a.message(sport=us, dport=pc, proto=proto), {'cross_pair': 1}),
                ('a port of its own', a.message(sport=uc + 1, proto=proto), {'cross_pair': 1}),
                ("the NAT's address within", a.message(src='192.0.2.9' if fam == 'IPv4' else '2001:db8::9', proto=proto),
                 {'cross_pair': 1}))
            for text, packet, expected in cases:
                with Counted(ep, f'{text}, protocol {proto}', **expected):
                    World.wire.send(packet)
                    sip.passed()
                    sip.nothing(text)
                    check(not accepted(listener), f'{text}: accepted')
        seen = [s for s in World.wire.seen() if not s.sent and not quiet(s) and s.sport != sip.FREE]
        check(not seen, f'P has answered: {seen[:3]}')
        for ue in (a, b):
            ue.works(sip)
    listener.close()


@test('A10', 'nothing quotes in clear what came in a tunnel, when the SIP server is down, {}',
      each=tuple((f, g) for f in ADDRESSES for g in ('drop', 'reject')))
def icmp_out(case):
    fam, guard = case
    ep = nat_endpoint(fam, guard=guard)
    ue = Handset(confirm(nat_bundle(ep)))
    with World.p.sysctl(ipv4__icmp_ratelimit=0, ipv6__icmp__ratelimit=0, ipv4__ipfrag_time=1, ipv6__ip6frag_time=1), \
            Sip(ep) as sip:
        for port in (ep['port-ps'], *ep['port-pc']):
            sip.socks.pop(port).close()

        def said():
            return [s for s in World.wire.seen() if not s.sent and not quiet(s) and s.sport != sip.FREE]
        said()
        for name in ('spi-ps', 'spi-pc'):
            for proto in (UDP, UDPLITE):
                with Counted(ep, f'{name}, protocol {proto}', plaintext_out=1):
                    World.wire.send(ue.message(name, b'SECRET', proto=proto))
                    sip.passed()
                equal(said(), [], f'P has answered what came over {name}')
        # A message that is never complete: after a second the kernel says so; of IPv6 such are not kept where it would
        parts = fragments(ue.u, ue.p, UDP, layer4(ue.u, ue.p, UDP, ue.b['port-uc'], ue.b['port-ps'], b'SECRET' * 300), 1200)
        with Counted(ep, 'half a message', plaintext_out=fam == 'IPv4'):
            World.wire.send(ue.outer(ue.esp('spi-ps', parts[0])))
        equal(said(), [], 'P has answered half a message')
        # To what comes in clear the guard's own answer goes, to whomever it is: to where the UE is, and to its address within
        for src in (ue.at, ue.u):
            for proto in (UDP, UDPLITE):
                with Counted(ep, f'in clear from {src}', plaintext_in=1, plaintext_out=1):
                    World.wire.send(ue.message(data=b'SECRET'), ue.inner('spi-ps', b'in clear', src=src, proto=proto))
                    sip.passed()
                    wait(lambda: drops(ep)['drop-plaintext-in'], 'counted')
                got = said()
                equal([(s.dst, s.proto, s.data[:2]) for s in got],
                      [(src, ICMP6, b'\1\4') if fam == 'IPv6' else (src, ICMP, b'\3\3')] if guard == 'reject' else [],
                      f'answers to what comes in clear from {src}')
                check(not any(b'SECRET' in s.data for s in got), 'what is quoted')


@test('A10 A3', 'an SA in a tunnel serves nothing else: neither ESP without UDP nor transport mode within, {}', each=ADDRESSES)
def other_mode(fam):
    ep = nat_endpoint(fam)
    with Sip(ep) as sip:
        ue = Handset(confirm(nat_bundle(ep)))
        ue.works(sip)
        inner = ue.inner('spi-ps', b'not so')
        spi = ue.b['spi-ps']
        for text, packet in (
                ('ESP without UDP', ip(ue.at, ue.p, ESP, ue.esp('spi-ps', inner))),
                ('transport mode in UDP', ue.outer(ue.seal(spi, ue.next_seq(spi), UDP, layer4(ue.at, ue.p, UDP, PORT_UC, PORT_PS, b'x')))),
                ('transport mode in UDP, the address within', ue.outer(
                    ue.seal(spi, ue.next_seq(spi), UDP, layer4(ue.u, ue.p, UDP, PORT_UC, PORT_PS, b'x'))))):
            World.wire.send(packet)
            sip.passed()
            sip.nothing(text)
        # And the other way: an SA of transport mode in UDP
        u = ADDRESSES[fam][1]
        plain = bundle(ep, ue_address=u, enc_alg='null')
        data = esp_data(plain['spi-ps'], 1, UDP, layer4(u, ue.p, UDP, PORT_UC, PORT_PS, b'in UDP'), plain['auth-alg'], ue.key)
        World.wire.send(ip(u, ue.p, UDP, layer4(u, ue.p, UDP, NAT_PORT, NAT_PORT, data)))
        sip.passed()
        sip.nothing('an SA of transport mode in UDP')
        ue.works(sip)


@test('A10', "somebody else's SA in UDP does not lead to a protected port, {}", each=ADDRESSES)
def foreign(fam):
    ep = nat_endpoint(fam)
    with Sip(ep) as sip:
        ue = Handset(confirm(nat_bundle(ep)))
        ue.works(sip)
        World.p.ip(f'xfrm state add src {ue.at} dst {ue.p} proto esp spi 0x7777 mode tunnel replay-window 32 '
                   f"{algorithms('hmac-sha-1-96', 'null')} encap espinudp {NAT_PORT} {NAT_PORT} {'::' if fam == 'IPv6' else '0.0.0.0'}",
                   f'xfrm policy add src {ue.u} dst {ue.p} dport {sip.FREE} dir in tmpl src {ue.at} dst {ue.p} proto esp mode tunnel')
        for proto in (UDP, TCP):
            with Counted(ep, 'a foreign SA', foreign_sa=1):
                World.wire.send(ue.outer(ue.esp('spi-ps', ue.inner('spi-ps', b'foreign', proto=proto), spi=0x7777)))
                sip.passed()
                sip.nothing('a foreign SA')
        # It is good for other ports
        World.wire.send(ue.outer(ue.esp('spi-ps', ue.inner('spi-ps', b'elsewhere', dport=sip.FREE), spi=0x7777)))
        equal(receive(sip.socks[sip.FREE]), b'elsewhere', 'a port that is not protected')
        ue.works(sip)


@test('A11 A10', 'fragments within the tunnel are taken, in any order; one in clear never completes them, {}', each=ADDRESSES)
def fragments_within(fam):
    ep = nat_endpoint(fam)
    with Sip(ep) as sip:
        b = confirm(nat_bundle(ep))
        ue = Handset(b)

        def parts(data, size=1200):
            udp = layer4(ue.u, ue.p, UDP, b['port-uc'], b['port-ps'], data)
            return fragments(ue.u, ue.p, UDP, udp, size)

        def sealed(*packets):
            return [ue.outer(ue.esp('spi-ps', p)) for p in packets]
        for order in (1, -1):
            data = os.urandom(3000)
            World.wire.send(*sealed(*parts(data))[::order])
            equal(sip.receive(b['port-ps']), (data, (ue.u, b['port-uc']), b['mark']), '3,000 bytes')
        other = Handset(confirm(nat_bundle(ep, ue_address=OTHER[fam])))
        for text, clear in (('the last one in clear', {2}), ('the middle one in clear', {1}), ('the first one in clear', {0}),
                            ('all but the first in clear', {1, 2}), ('all but the last in clear', {0, 1})):
            for order in (1, -1):
                packets = parts(os.urandom(3000))
                mixed = [p if i in clear else sealed(p)[0] for i, p in enumerate(packets)]
                World.wire.send(*mixed[::order])
                sip.passed()
                sip.nothing(text)
        # Of another UE's SA
        packets = parts(os.urandom(3000))
        World.wire.send(*sealed(*packets[:2]), other.outer(other.esp('spi-ps', packets[2])))
        sip.passed()
        sip.nothing("the last one over another UE's SA")
        ue.works(sip)


@test('SHOWN', 'what another cipher, key or mode was used for in a tunnel is counted and told, {}', each=ADDRESSES)
def otherwise(fam):
    ep = nat_endpoint(fam)
    ue = Handset(confirm(nat_bundle(ep)))
    cbc = Handset(confirm(nat_bundle(ep, ue_address=OTHER[fam], ue_nat_address=OTHER[fam], enc_alg='aes-cbc')))

    def bad():
        return World.nl.do('endpoint-get', id=ep['id'])['esp-bad-icv']

    def sealed(ue, proto, data, seq=None):
        return ue.outer(ue.seal(ue.b['spi-ps'], seq or ue.next_seq(ue.b['spi-ps']), proto, data), 61002)
    with Sip(ep) as sip:
        ue.works(sip)
        World.events.drain()
        # The packet without a tunnel, garbage, and what null encryption makes, to who decrypts it: the ICV is right
        cases = [sealed(ue, UDP, layer4(ue.u, ue.p, UDP, ue.b['port-uc'], ue.b['port-ps'], b'x' * 90)), sealed(ue, 99, bytes(300)),
                 *(sealed(cbc, 99, bytes([n]) * (16 * n - 2)) for n in (10, 20, 30, 40)), ue.forged(port=61002)]
        for n, packet in enumerate(cases, 1):
            World.wire.send(packet)
            wait(lambda n=n: bad() == n, f'number {n} is counted')
            of = cbc if 3 <= n <= 6 else ue
            t = [t for t in World.nl.dump('trace-get') if t['kind'] == 'drop'][-1]
            equal((t['drop'], t['spi'], t['source-port']), ('bad-icv', of.b['spi-ps'], of.b['port-uc']), 'what trace-get tells')
        # Neither a dummy packet, nor what comes again, is such a fault
        again = ue.message()
        World.wire.send(sealed(ue, 59, bytes(100)), again, again)
        wait(lambda: get(ue.b)['rx-replayed'] == 1, 'a replay is counted')
        sip.receive(ue.b['port-ps'])
        sip.passed()
        sip.nothing('what was made otherwise')
        equal((bad(), mappings(), get(ue.b)['ue-nat-port']), (len(cases), [], NAT_PORT), 'counted; mappings')
        ue.works(sip)


if __name__ == '__main__':
    main(setup_nat, before, teardown)
