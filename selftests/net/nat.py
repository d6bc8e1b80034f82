#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only
"""Mode udp-enc-tun: its SAs, its socket, and what is refused.

The UEs are made by hand (lib/natted.py), or scapy's.
"""
import os
import re
import socket
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '../lib'))
from ims import *  # noqa: E402,F403  pylint: disable=wildcard-import,unused-wildcard-import,wrong-import-position
from natted import *  # noqa: E402,F403  pylint: disable=wildcard-import,unused-wildcard-import,wrong-import-position

INSIDES = ('private', 'public')
EACH = tuple((f, i) for f in ADDRESSES for i in INSIDES)


def inside(fam, which):
    """The address within the tunnel: the UE's own, or that of its NAT."""
    return (INNER if which == 'private' else OUTER)[fam]


@test('G2 A1 A2 A6', 'the four SAs are in tunnel mode, in UDP, for exact addresses and ports within; the address within is {}', each=EACH)
def shape(case):
    fam, which = case
    ep = nat_endpoint(fam)
    b = nat_bundle(ep, ue_address=inside(fam, which), ue_nat_port=61000)
    equal((b['mode'], b['ue-address'], b['ue-nat-address'], b['ue-nat-port']),
          ('udp-enc-tun', inside(fam, which), OUTER[fam], 61000), 'the bundle')
    states = {s['spi']: s for s in World.p.states()}
    equal(set(states), set(table(b)), 'SPIs')
    bits = 128 if fam == 'IPv6' else 32
    for spi, (src, dst, sport, dport, way) in table(b).items():
        s, p, outer = states[spi], b['address'], OUTER[fam]
        equal((s['mode'], s['src'], s['dst']), ('tunnel', *((p, outer) if way == 'out' else (outer, p))), f'SA {spi}')
        equal((s['sel_src'], s['sel_dst'], s['sport'], s['dport'], s['sel_proto']),
              (f'{src}/{bits}', f'{dst}/{bits}', sport, dport, None), f'selector of SA {spi}')
        encap = re.search(r'encap type espinudp sport (\d+) dport (\d+)', s['text'])
        check(encap, f"SA {spi} is not in UDP: {s['text']}")
        equal(tuple(map(int, encap.groups())), (NAT_PORT, 61000) if way == 'out' else (61000, NAT_PORT), f'UDP ports of SA {spi}')
        check((s['window'] >= 64 or way == 'out') and not s['esn'], f"window {s['window']}, ESN {s['esn']}")
    World.nl.do('bundle-del', id=b['id'])
    World.nl.do('endpoint-del', id=ep['id'])
    nothing_left()


@test('G2', 'messages on all four ways, each with its mark; the address within is {}', each=EACH)
def ways(case):
    fam, which = case
    ep = nat_endpoint(fam)
    with Sip(ep) as sip:
        b = nat_bundle(ep, ue_address=inside(fam, which))
        equal(b['ue-nat-port'], NAT_PORT, 'the port where nothing is said')
        ue = Handset(b)
        ue.works(sip)
        equal(drops(ep), dict.fromkeys(COUNTS, 0), 'dropped')
        got = get(b)
        equal((got['rx-packets'], got['tx-packets']), (2, 2), 'packets counted')
        # Checksums of UDP around ESP over IPv4 are zero, by RFC 3948
        if fam == 'IPv4':
            data = ue.message(data=b'no checksum')
            World.wire.send(data[:26] + bytes(2) + data[28:])
            equal(sip.receive(b['port-ps'])[0], b'no checksum', 'received')


@test('G2', 'with every pair of algorithms, and a UE by scapy, {}', each=tuple((a, e, f) for a, e in PAIRS for f in ADDRESSES))
def scapy(case):
    auth, enc, fam = case
    from peer import association, inet, inet6, ipsec, raw  # pylint: disable=import-outside-toplevel
    ep = nat_endpoint(fam)

    class Ue(Handset):
        """Its ESP is scapy's: in transport mode a packet in ESP is a tunnel."""

        def around(self, proto, data):
            return (inet6.IPv6(src=self.at, dst=self.p, nh=proto) if ':' in self.p else
                    inet.IP(src=self.at, dst=self.p, proto=proto)) / data

        def seal(self, spi, seq, proto, data):
            return raw(association(spi, (auth, enc)).encrypt(self.around(proto, data), seq_num=seq)[ipsec.ESP])

        def open(self, data):
            spi = int.from_bytes(data[:4], 'big')
            got = association(spi, (auth, enc)).decrypt(self.around(ESP, ipsec.ESP(data)))
            return (got.proto if got.version == 4 else got.nh), raw(got.payload)
    with Sip(ep) as sip:
        Ue(nat_bundle(ep, auth_alg=auth, enc_alg=enc)).works(sip)


@test('G2', 'forced encapsulation, where there is no NAT: outer and inner address are one, {}', each=ADDRESSES)
def forced(fam):
    ep = nat_endpoint(fam)
    u = ADDRESSES[fam][1]
    b = bundle(ep, mode='udp-enc-tun', ue_address=u)
    equal((b['ue-nat-address'], b['ue-nat-port']), (u, NAT_PORT), "where it is, if nothing's said")
    with Sip(ep) as sip, TunnelUe(World.u, b) as ue:
        ue.register(b)
        # At u0 what has been in the tunnel is seen, too
        wire = Wire(World.p, 'p0')
        ue.works(sip, b)
        equal([(s.proto, s.sport, s.dport) for s in wire.seen() if s.sent and not quiet(s)], [(UDP, NAT_PORT, NAT_PORT)] * 2, 'P sends')
        wire.sock.close()


@test('G2', 'trans and udp-enc-tun side by side on one endpoint and its ports, {}', each=ADDRESSES)
def side_by_side(fam):
    ep = nat_endpoint(fam)
    plain = confirm(bundle(ep, ue_address=ADDRESSES[fam][1]))
    tunnel = confirm(nat_bundle(ep, port_pc=plain['port-pc']))
    ue = Handset(tunnel)
    sip = None
    try:
        with Phone(plain) as phone:
            for s in (phone.ps, phone.pc):
                s.close()
            sip = Sip(ep)
            phone.ps, phone.pc = sip.socks[plain['port-ps']], sip.socks[plain['port-pc']]
            for _ in range(3):
                for name in ('spi-ps', 'spi-uc', 'spi-us', 'spi-pc'):
                    phone.deliver(name)
                World.wire.seen()
                ue.works(sip)
            ends = phone.connect('spi-ps')
            phone.talk(ends)
            ue.deliver(sip)
    finally:
        if sip:
            sip.__exit__()
    # A bundle of each kind goes; the other is as it was
    World.nl.do('bundle-del', id=plain['id'])
    with Sip(ep) as sip:
        World.wire.seen()
        ue.works(sip)


@test('G2', 'with the mark of any of its sets what is sent to a UE leaves, without a mark or with another nothing does, {}', each=ADDRESSES)
def marks(fam):
    ep = nat_endpoint(fam)
    with Sip(ep) as sip:
        b = confirm(nat_bundle(ep))
        ue = Handset(b)
        for slot in range(4):
            ue.reached(sip, mark=b['mark'] & ~3 | slot)
        for name in ('spi-uc', 'spi-us'):
            for mark in (None, 0, b['mark'] + 4, 0xffffff, b['mark'] | 1 << 24):
                World.wire.seen()
                # Bits outside mark-mask are not ours
                dropped = mark is None or mark < 1 << 24
                with Counted(ep, f'{name}, mark {mark}', no_live_set=int(dropped)):
                    sip.down(b, name, b'lost', mark)
                equal(len(ue.sent()), int(not dropped), 'packets on the wire')


@test('G2', 'unmarked: no mark is needed, and one does no harm, {}', each=ADDRESSES)
def unmarked(fam):
    ep = nat_endpoint(fam)
    with Sip(ep) as sip:
        b = confirm(nat_bundle(ep, unmarked=True))
        check(b.get('unmarked'), 'the flag is not in the reply')
        ue = Handset(b)
        for name in ('spi-uc', 'spi-us'):
            for mark in (None, b['mark'], 0):
                ue.reached(sip, name, mark=mark)
        ue.works(sip)


@test('G2', 'what is refused, and why')
def refused():
    plain = endpoint(P4)
    e = {'ue_address': '10.0.0.2'}
    for more in ({'mode': 'udp-enc-tun', **e}, {'mode': 'udp-enc-tun', 'ue_nat_address': OUTER['IPv4'], **e}):
        expect_error('EOPNOTSUPP', bundle, plain, **more)
    for mode in ({}, {'mode': 'trans'}):
        for more in ({'ue_nat_address': OUTER['IPv4']}, {'ue_nat_port': 4500}, {'unmarked': True}):
            expect_error('EINVAL', bundle, plain, **mode, **more)
    World.nl.do('endpoint-del', id=plain['id'])
    ep = nat_endpoint()
    equal((ep['nat-traversal'], ep['nat-port']), (1, NAT_PORT), 'the endpoint')
    for mode in ({}, {'mode': 'trans'}):
        for more in ({'ue_nat_address': OUTER['IPv4']}, {'ue_nat_port': 4500}, {'unmarked': True}):
            expect_error('EINVAL', bundle, ep, **mode, **more)
    for wrong in (OUTER['IPv6'], '0.0.0.0', '224.0.0.1', P4):
        expect_error('EINVAL', nat_bundle, ep, ue_nat_address=wrong)
    expect_error('EINVAL ERANGE', nat_bundle, ep, ue_nat_port=0)
    expect_error('EINVAL', nat_bundle, ep, ue_address=P4)
    equal((World.p.count(), World.nl.dump('bundle-get')), (0, []), 'what is there')


@test('C3 G2', 'a clash with an SA at the outer address: EEXIST, nothing left, {}', each=ADDRESSES)
def clash(fam):
    ep = nat_endpoint(fam)
    policies = World.p.count('policy')
    World.p.ip(f"xfrm state add src {ep['address']} dst {OUTER[fam]} proto esp spi 0x3000 mode tunnel "
               f'auth-trunc hmac(md5) 0x{IK.hex()} 96 enc ecb(cipher_null) ""')
    for more in ({'spi_uc': 0x3000}, {'spi_us': 0x3000}):
        expect_error('EEXIST', nat_bundle, ep, **more)
        equal((World.p.count(), World.p.count('policy'), World.nl.dump('bundle-get')), (1, policies, []), 'what is there')
    World.p.ip('xfrm state flush')
    with Sip(ep) as sip:
        Handset(nat_bundle(ep, spi_uc=0x3000)).works(sip)


@test('G2 G8', "the configuration's nat-traversal and nat-port are an endpoint's that says nothing")
def configured():
    equal((DEFAULTS['nat-traversal'], DEFAULTS['nat-port'], DEFAULTS['nat-follow-address']), (0, NAT_PORT, 0), 'defaults')
    World.nl.do('config-set', nat_traversal=1, nat_port=4600)
    ep = endpoint()
    equal((ep['nat-traversal'], ep['nat-port']), (1, 4600), 'the endpoint')
    equal(len(udp_sockets(4600)), 1, 'sockets')
    equal(udp_sockets(NAT_PORT), [], 'sockets at 4500')
    with Sip(ep) as sip:
        b = nat_bundle(ep)
        equal(b['ue-nat-port'], 4600, "the UE's port")
        data = b'MESSAGE at another port'
        ue = Handset(b)
        World.wire.send(ue.outer(ue.esp('spi-ps', ue.inner('spi-ps', data)), dport=4600))
        equal(sip.receive(b['port-ps'])[0], data, 'received')
        World.wire.seen()
        sip.down(b, 'spi-uc', b'back')
        equal([(s.proto, s.sport, s.dport) for s in World.wire.seen() if not s.sent and not quiet(s)], [(UDP, 4600, 4600)], 'on the wire')
    other = endpoint(P6, nat_traversal=0)
    expect_error('EOPNOTSUPP', bundle, other, mode='udp-enc-tun', ue_address=INNER['IPv6'])


@test('G2 G8', 'ESP in UDP without a checksum, as RFC 3948 has it, is taken, {}', each=ADDRESSES)
def no_checksum(fam):
    ep = nat_endpoint(fam)
    with Sip(ep) as sip:
        b = nat_bundle(ep)
        ue = Handset(b)
        at = (40 if fam == 'IPv6' else 20) + 6
        for name, data in (('spi-ps', b'MESSAGE'), ('spi-pc', b'200 OK'), ('spi-ps', b'MESSAGE again')):
            packet = bytearray(ue.message(name, data))
            packet[at:at + 2] = bytes(2)
            World.wire.send(bytes(packet))
            equal(sip.receive(ue.table[b[name]][3])[0], data, f'received over {name}')
        # What is answered has one
        World.wire.seen()
        ue.works(sip)
        # Nothing is taken that has a wrong one
        packet = bytearray(ue.message())
        packet[at] ^= 1
        World.wire.send(bytes(packet))
        sip.passed()
        sip.nothing('a wrong checksum')


# --- The socket

@test('G4 G8', 'the socket is there from the first endpoint to the last, {}', each=ADDRESSES)
def socket_life(fam):
    equal(udp_sockets(NAT_PORT), [], 'sockets before')
    plain = endpoint(ADDRESSES[fam][0], port_ps=7000, port_pc=[7001])
    equal(udp_sockets(NAT_PORT), [], 'sockets of an endpoint without NAT traversal')
    a = nat_endpoint(fam)
    equal(len(udp_sockets(NAT_PORT)), 1, 'sockets')
    b = nat_endpoint(fam, port_ps=7100, port_pc=[7101])
    equal(len(udp_sockets(NAT_PORT)), 1, 'sockets of two endpoints')
    c = nat_endpoint(fam, port_ps=7200, port_pc=[7201], nat_port=4700)
    equal((len(udp_sockets(NAT_PORT)), len(udp_sockets(4700))), (1, 1), 'sockets at two ports')
    six = nat_endpoint('IPv4' if fam == 'IPv6' else 'IPv6')
    equal(len(udp_sockets(NAT_PORT)), 2, 'sockets of two addresses')
    World.nl.do('endpoint-del', id=six['id'])
    with Sip(b) as sip:
        bb = nat_bundle(b)
        Handset(bb).works(sip)
        World.nl.do('endpoint-del', id=a['id'])
        equal(len(udp_sockets(NAT_PORT)), 1, 'sockets, one endpoint having gone')
        Handset(nat_bundle(b, ue_address=OTHER[fam])).works(sip)
        World.nl.do('endpoint-del', id=b['id'], force=True)
    wait(lambda: not udp_sockets(NAT_PORT), 'the socket goes with the last endpoint')
    equal(len(udp_sockets(4700)), 1, 'sockets at 4700')
    for e in (c, plain):
        World.nl.do('endpoint-del', id=e['id'])
    wait(lambda: not udp_sockets(4700), 'the socket goes with the last endpoint')
    # And can be had again, by others too
    World.p.udp(ADDRESSES[fam][0], NAT_PORT).close()
    nat_endpoint(fam)


@test('G4', 'the port is taken: EADDRINUSE, nothing left; with nat-shared an ESP-in-UDP socket is lived with, {}', each=ADDRESSES)
def taken(fam):
    p = ADDRESSES[fam][0]
    for addr in (p, '::' if fam == 'IPv6' else '0.0.0.0'):
        s = World.p.socket(family(p), socket.SOCK_DGRAM)
        s.bind((addr, NAT_PORT))
        expect_error('EADDRINUSE', nat_endpoint, fam, text=str(NAT_PORT))
        # It is for no ESP: nothing would come in
        expect_error('EADDRINUSE', nat_endpoint, fam, nat_shared=1, text=str(NAT_PORT))
        equal(World.nl.dump('endpoint-get'), [], 'endpoints')
        nothing_left()
        s.close()
        s = encap_socket(World.p, addr)
        expect_error('EADDRINUSE', nat_endpoint, fam, text=str(NAT_PORT))
        ep = nat_endpoint(fam, nat_shared=1)
        equal(ep.get('nat-shared'), 1, 'nat-shared')
        equal(len(udp_sockets(NAT_PORT)), 1, 'sockets')
        with Sip(ep) as sip:
            b = nat_bundle(ep)
            ue = Handset(b, port=61001)
            ue.deliver(sip)
            nat_event(b, 61001)
            ue.reached(sip)
        World.nl.do('endpoint-del', id=ep['id'], force=True)
        equal(len(udp_sockets(NAT_PORT)), 1, "somebody else's socket")
        s.close()
        World.events.drain()
    with Sip(nat_endpoint(fam, nat_shared=1)) as sip:
        Handset(nat_bundle(sip.ep)).works(sip)


if __name__ == '__main__':
    main(setup_nat, before, teardown)
