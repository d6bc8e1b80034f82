#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only
"""What is only said beats nothing that is proved, and nobody loses anything to a request.

UEs are made by hand, each with keys of its own, so that what P sends tells over whose SA, where
two have one SPI.
"""
import contextlib
import itertools
import os
import select
import struct
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '../lib'))
from ims import *  # noqa: E402,F403  pylint: disable=wildcard-import,unused-wildcard-import,wrong-import-position
from ktap import TESTS  # noqa: E402  pylint: disable=wrong-import-position
from natted import Handset, Nft, Sip, confirm, drops, get, nat_bundle, nat_endpoint, setup_nat  # noqa: E402  pylint: disable=wrong-import-position
from net import checksum, pseudo  # noqa: E402  pylint: disable=wrong-import-position
from sets import OTHER, SIP, P, Set, before_each, gone_for, spis  # noqa: E402  pylint: disable=wrong-import-position

TESTS.clear()  # those of sets.py
SYN, RST, ACK = 2, 4, 16
VICTIM = b'001010000000001@ims.example'
# What a claimant's packets would come from
ELSEWHERE = {'IPv4': ('203.0.113.50', '203.0.113.51', '203.0.113.52'),
             'IPv6': ('2001:db8:50::1', '2001:db8:50::2', '2001:db8:50::3')}
keys = itertools.count(1)


class Ue(Set):
    """A bundle with keys of its own, and the UE's end of it."""

    def __init__(self, ep, **more):
        self.ik = struct.pack('>QQ', 0xe1763cf28cc2e584, next(keys))
        super().__init__(ep, ik=self.ik, **more)

    def esp(self, proto, data, name='spi-ps', flags=0x18):
        src, dst, sport, dport, _ = table(self.b)[self[name]]
        return self.sealed(name, proto, layer4(src, dst, proto, sport, dport, data, flags))

    def sealed(self, name, proto, inner):
        src, dst, *_ = table(self.b)[self[name]]
        return esp(src, dst, self[name], next(self.seq), proto, inner, 'hmac-sha-1-96', self.ik + bytes(4))

    def sealed_this(self, seen):
        """Was a packet of P's sealed with these keys?"""
        return seen.data[-12:] == icv(seen.data[:-12], 'hmac-sha-1-96', self.ik + bytes(4))

    def spis(self):
        return {'spi_uc': self['spi-uc'], 'spi_us': self['spi-us']}

    def delete(self):
        World.nl.do('bundle-del', id=self.id)


def sent_by(to, sets, client=False):
    """What the SIP server sends to a set's ports now leaves over which of these, if over any; its sequence number."""
    data = b'to the UE %d' % next(spis)
    World.wire.seen()
    ours, theirs = ('port-pc', 'port-us') if client else ('port-ps', 'port-uc')
    P.at(to['address'], to[ours]).sendto(data, (to['ue-address'], to[theirs]))
    seen = wait(lambda: [x for x in World.wire.seen() if not quiet(x)], 'something on the wire')
    equal([x.proto for x in seen], [ESP], 'protocols on the wire')
    found = [s for s in sets if s.sealed_this(seen[0]) and seen[0].spi in (s['spi-uc'], s['spi-us'])]
    equal(len(found), 1, 'sets whose keys these are')
    return found[0], struct.unpack_from('>I', seen[0].data, 4)[0]


def over(what, to, *sets):
    """Both of P's ways to a set's ports are over this set; the sequence numbers."""
    out = []
    for client in (False, True):
        s, seq = sent_by(to, {what, to, *sets}, client)
        equal(s.id, what.id, 'bundle that is sent over')
        out.append(seq)
    return out


def outbound(u):
    """The SAs that XFRM has to an address, by SPI; none twice."""
    found = [s for s in World.p.states() if s['dst'] == u]
    equal(len(found), len({s['spi'] for s in found}), 'SAs with an SPI of their own')
    return {s['spi']: s for s in found}


def keyed(s):
    """The keys in XFRM's tables under this set's outbound SPIs are its own."""
    out = outbound(s['ue-address'])
    return [out[s[n]]['auth'][1].startswith(s.ik.hex()) for n in ('spi-uc', 'spi-us')]


def tunnel(ep, fam, n=0, **more):
    """Somebody elsewhere says that the UE's address is his within a tunnel."""
    return nat_bundle(ep, n, **{'ue_address': ADDRESSES[fam][1], 'ue_nat_address': ELSEWHERE[fam][0], **more})


# --- The UE that has lost its state, or another contact of its owner

WHICH = ('the same contact', 'another contact')
SPIS = ('the same SPIs', 'other SPIs')


@test('C5 C3', 'a UE that has lost its state, {}: with its first packet it is sent over, and the old set goes at the 200 OK',
      each=tuple((f, w, s) for f in ADDRESSES for w in WHICH for s in SPIS if (w, s) != (WHICH[0], SPIS[1])))
def lost_state(case):
    fam, which, same = case
    ep = endpoint(ADDRESSES[fam][0], port_pc=[PORT_PC[0]])
    old = Ue(ep).confirm().use()
    more = {'contact': b'sip:other@example'} if which == WHICH[1] else {}
    new = Ue(ep, **(old.spis() if same == SPIS[0] else {}), **more)
    equal((old.state(), new.state()), ('active', 'temporary'), 'states')
    seq = over(old, new)
    equal(keyed(old), [True, True], 'the old keys in the tables')
    new.deliver(b'REGISTER sip:example SIP/2.0\r\n\r\n')
    over(new, new, old)
    equal((keyed(new), old.state()), ([True, True], 'active'), 'keys, and the old state')
    if same == SPIS[1]:
        check(not {old['spi-uc'], old['spi-us']} & set(outbound(old['ue-address'])), 'the old SAs are in the tables')
    # It fails: the old one is there again, its numbers go on
    new.delete()
    equal(old.state(), 'active', 'the old one')
    equal(over(old, old), [seq[0] + 1, seq[1] + 1], 'sequence numbers')
    # And again, and it is confirmed
    for _ in range(2):
        new = Ue(ep, **(old.spis() if same == SPIS[0] else {}), **more)
    new.deliver(b'REGISTER sip:example SIP/2.0\r\n\r\n')
    World.events.drain()
    new.confirm(older='drop')
    gone_for(old, 'newer' if which == WHICH[0] else 'replaced')
    over(new, new)
    new.deliver()
    equal(len(World.nl.dump('bundle-get')), 1, 'bundles')
    World.nl.do('endpoint-del', id=ep['id'], force=True)
    equal(World.p.count(), 0, 'SAs')


@test('C5', 'confirmed without having sent anything it is sent over as well, {}', each=SPIS)
def confirmed_at_once(same):
    ep = endpoint(P4, port_pc=[PORT_PC[0]])
    old = Ue(ep).confirm().use()
    new = Ue(ep, contact=b'sip:other@example', **(old.spis() if same == SPIS[0] else {})).confirm()
    check(gone(World.nl, old.id), 'the old one is there')
    over(new, new)


@test('C5', 'two sets are in the way, one of each port or SPI: both go at the 200 OK, and are back if there is none, {}',
      each=('ports', 'SPIs'))
def two_in_the_way(what):
    ep = endpoint(P4, port_pc=[PORT_PC[0]])
    one = Ue(ep, contact=b'sip:one@example').confirm().use()
    two = Ue(ep, contact=b'sip:two@example', port_uc=9000, port_us=9001).confirm().use()
    if what == 'ports':
        more = {'port_us': 9001}
    else:
        more = {'port_uc': 9002, 'port_us': 9003, 'spi_uc': one['spi-uc'], 'spi_us': two['spi-us']}
    for _ in range(2):
        new = Ue(ep, contact=b'sip:three@example', **more)
        over(one, one, new)
        over(two, two, new)
        new.deliver()
        over(new, new, one, two)
        if what == 'SPIs':
            # Of each the other way is as it was
            equal((sent_by(one, (one, new), True)[0], sent_by(two, (two, new))[0]), (one, two), 'sets')
        new.delete()
        over(one, one)
        over(two, two)
    new = Ue(ep, contact=b'sip:three@example', **more).confirm()
    gone_for(one, 'replaced')
    check(gone(World.nl, two.id), 'the second one is there')
    over(new, new)


@test('C5', 'of an owner with two UEs at two addresses, and of another UE at the same one, the sets stay')
def not_replaced():
    ep = endpoint(P4)
    near = Ue(ep, contact=b'sip:near@example', port_uc=9000, port_us=9001).confirm()
    far = Ue(ep, contact=b'sip:far@example', ue_address='192.0.2.77').confirm()
    new = Ue(ep, contact=b'sip:other@example').confirm().use()
    equal((near.state(), far.state(), new.state()), ('established', 'established', 'active'), 'states')


@test('C5 G6', 'a UE behind a NAT that has lost its state, {}: its SPIs and ports are the same', each=tuple(
    (f, w) for f in ADDRESSES for w in WHICH))
def lost_state_natted(case):
    fam, which = case
    ep = nat_endpoint(fam, port_pc=[7807])
    with Sip(ep) as sip:
        spi = {'spi_uc': 0x5000, 'spi_us': 0x5001}
        old = Handset(confirm(nat_bundle(ep, 1, ik=bytes(15) + b'1', **spi)))
        old.key = bytes(15) + b'1' + bytes(4)
        old.works(sip)
        contact = {'contact': b'sip:other@example'} if which == WHICH[1] else {}

        def anew(key):
            ue = Handset(nat_bundle(ep, 1, ik=bytes(15) + key, **spi, **contact))
            ue.key = bytes(15) + key + bytes(4)
            return ue
        new = anew(b'2')
        seq = [old.reached(sip, name) for name in ('spi-uc', 'spi-us')]
        new.deliver(sip)
        for name in ('spi-uc', 'spi-us'):
            new.reached(sip, name)
        World.nl.do('bundle-del', id=new.b['id'])
        equal([old.reached(sip, name) for name in ('spi-uc', 'spi-us')], [n + 1 for n in seq], 'sequence numbers')
        old.works(sip)
        new = anew(b'3')
        new.deliver(sip)
        confirm(new.b, older='drop')
        check(gone(World.nl, old.b['id']), 'the old one is there')
        new.works(sip)
    World.nl.do('endpoint-del', id=ep['id'], force=True)
    equal((World.p.count(), World.p.count('policy')), (0, 0), 'SAs and policies')


@test('C5 G6 D2', 'behind a NAT, challenged again and again with the SPIs that a set has, and other ports, {}', each=ADDRESSES)
def challenged_again(fam):
    ep = nat_endpoint(fam, port_pc=[7807])
    spi = {'spi_uc': 0x5000, 'spi_us': 0x5001}
    with Sip(ep) as sip:
        old = Handset(confirm(nat_bundle(ep, 1, **spi)))
        old.works(sip)
        for _ in range(3):
            new = Handset(nat_bundle(ep, 1, port_uc=9000, port_us=9001, **spi))
            old.works(sip)
        new.works(sip)
        World.nl.do('bundle-del', id=new.b['id'])
        old.works(sip)


def segment(s, seq, ack, flags, data=b''):
    """TCP from the UE's client port, in ESP."""
    src, dst, sport, dport, _ = table(s.b)[s['spi-ps']]
    head = struct.pack('>HHIIBBHHH', sport, dport, seq, ack, 5 << 4, flags, 65535, 0, 0)
    value = checksum(pseudo(src, dst, TCP, len(head + data)) + head + data)
    return s.sealed('spi-ps', TCP, head[:16] + struct.pack('>H', value) + head[18:] + data)


@test('C5 F2 F6', 'over TCP: the SYN-ACK has the new keys, and so has the connection, {}',
      each=tuple((f, w, s) for f in ADDRESSES for w in WHICH for s in SPIS if (w, s) != (WHICH[0], SPIS[1])))
def over_tcp(case):
    fam, which, same = case
    ep = endpoint(ADDRESSES[fam][0], port_pc=[PORT_PC[0]])
    old = Ue(ep).confirm().use()
    more = {'contact': b'sip:other@example'} if which == WHICH[1] else {}
    new = Ue(ep, **(old.spis() if same == SPIS[0] else {}), **more)
    listener, s = World.p.tcp(ep['address'], PORT_PS, True), None
    try:
        World.wire.seen()
        World.wire.send(segment(new, 1000, 0, SYN))
        seen = wait(lambda: [x for x in World.wire.seen() if x.proto == ESP and not x.sent], 'an answer')
        check(new.sealed_this(seen[0]) and not old.sealed_this(seen[0]), 'the SYN-ACK has not the new keys')
        equal(seen[0].spi, new['spi-uc'], 'SPI')
        seq, = struct.unpack_from('>I', seen[0].data, 12)
        equal(seen[0].data[21], SYN | ACK, 'flags')
        World.wire.send(segment(new, 1001, seq + 1, ACK | 8, b'REGISTER over TCP'))
        s = wait(lambda: accepted(listener), 'accept')
        equal(receive(s), b'REGISTER over TCP', 'over TCP')
        World.wire.seen()
        new.confirm(older='drop')
        check(gone(World.nl, old.id), 'the old one is there')
        s.send(b'200 OK')
        seen = wait(lambda: [x for x in World.wire.seen() if x.proto == ESP and b'200 OK' in x.data], 'the answer')
        check(new.sealed_this(seen[0]), 'the 200 OK has not the new keys')
        check(not select.select([s], [], [], 0)[0], 'the connection has ended')
    finally:
        listener.close()
        if s:
            s.close()


# --- Two owners

@test('C1 B4', 'another owner at the address, with other ports and the same SPIs: none is refused, who speaks is sent over')
def same_spis():
    ep = endpoint(P4)
    first = Ue(ep).confirm().use()
    second = Ue(ep, owner=OTHER, port_uc=9000, port_us=9001, spi_uc=first['spi-us'], spi_us=first['spi-uc'])
    third = Ue(ep, owner=b'third', port_uc=9002, port_us=9003, spi_uc=first['spi-uc'])
    over(first, first)
    second.deliver()
    over(second, second, first)
    third.deliver()
    equal(sent_by(third, (third, first, second))[0].id, third.id, 'bundle')
    # Each gives back what it took, to whom it took it from
    third.delete()
    over(second, second, first)
    second.delete()
    over(first, first)
    equal(first.state(), 'active', 'the first one')
    # One that waits gets its turn when there is nobody
    fourth = Ue(ep, owner=b'fourth', port_uc=9004, port_us=9005, **first.spis())
    first.delete()
    over(fourth, fourth)
    World.nl.do('endpoint-del', id=ep['id'], force=True)
    equal(World.p.count(), 0, 'SAs')


@test('C1', 'two owners at one address and port, of whom none has proved anything: the first to do so has it, {}', each=ADDRESSES)
def side_by_side_owners(fam):
    ep = endpoint(ADDRESSES[fam][0], port_pc=[PORT_PC[0]])
    # Somebody's REGISTER in clear, with the victim's address and ports
    claim = Ue(ep, owner=OTHER)
    victim = Ue(ep)
    over(claim, claim, victim)
    victim.deliver(b'REGISTER sip:example SIP/2.0\r\n\r\n')
    over(victim, victim, claim)
    # From now on the ports are the victim's
    expect_error('EADDRINUSE', Ue, ep, owner=b'third', text=VICTIM.decode()[:19])
    expect_error('EADDRINUSE', Ue, ep, owner=OTHER, contact=b'again', text=VICTIM.decode()[:19])
    equal((claim.state(), victim.state()), ('temporary', 'temporary'), 'states')
    # If it comes to nothing, all is as it was
    victim.delete()
    over(claim, claim)
    victim = Ue(ep)
    victim.deliver()
    # Who proves himself later takes nothing
    claim.deliver()
    over(victim, victim, claim)
    claim.delete()
    claim = Ue(ep, owner=OTHER, contact=b'another', port_uc=9000, port_us=9001)
    World.events.drain()
    victim.confirm().use()
    equal(claim.state(), 'temporary', 'one with other ports')
    victim.delete()
    # What has proved nothing goes at the 200 OK
    claim = Ue(ep, owner=OTHER)
    victim = Ue(ep).confirm()
    gone_for(claim, 'replaced')
    over(victim, victim)


def in_clear(to, ep):
    """What the SIP server sends now to a set's ports, from each protected port: does it leave in clear, and is the rest counted?"""
    out = []
    for theirs in ('port-uc', 'port-us'):
        for ours in (ep['port-ps'], *ep['port-pc']):
            data, was = b'in clear %d' % next(spis), drops(ep)['drop-no-live-set']
            World.wire.seen()
            with contextlib.suppress(PermissionError):
                P.at(ep['address'], ours).sendto(data, (to['ue-address'], to[theirs]))
            # The next packet is behind it
            P.at(ep['address'], 5060).sendto(b'marker', (to['ue-address'], 9))
            seen = []
            wait(lambda s=seen: s.extend(World.wire.seen()) or any(b'marker' in x.data for x in s), 'the marker')
            clear = any(data in x.data for x in seen if x.proto == UDP)
            equal(drops(ep)['drop-no-live-set'] - was, int(not clear and not any(x.proto == ESP for x in seen)), 'counted')
            out.append(clear)
    check(len(set(out)) == 1, f'of some ports in clear: {out}')
    return out[0]


@test('B4 A10', 'with guard bypass, nothing leaves in clear for a UE whose confirmed set has lost its place, {}', each=ADDRESSES)
def bypassed(fam):
    ep = endpoint(ADDRESSES[fam][0], guard='bypass', port_pc=[7807])
    first = Ue(ep)
    second = Ue(ep, owner=OTHER, port_uc=9000, port_us=9001, **first.spis())
    second.deliver()
    over(second, second, first)
    # What nobody has confirmed has no set yet
    equal(in_clear(first, ep), True, 'before the 200 OK')
    first.confirm().use()
    equal(in_clear(first, ep), False, 'after it')
    second.delete()
    over(first, first)
    second = Ue(ep, owner=OTHER, port_uc=9000, port_us=9001, **first.spis())
    second.deliver()
    equal(in_clear(first, ep), False, 'again without its place')
    # To another port of the UE's, and from elsewhere, it goes
    equal(in_clear({**first.b, 'port-uc': 7001, 'port-us': 7002}, ep), True, 'other ports')
    first.delete()
    equal(in_clear(first, ep), True, 'without a set')
    second.delete()
    # Who has asked for its ports before it, and goes with its 200 OK, takes nothing along
    claim = Ue(ep, owner=b'sip:claim@example')
    first = Ue(ep).confirm()
    gone_for(claim, 'replaced')
    Ue(ep, owner=OTHER, port_uc=9000, port_us=9001, **first.spis()).deliver()
    equal(in_clear(first, ep), False, 'when another set at its ports has gone')


@test('B4 A10', 'with guard bypass and a redirect, nothing leaves in clear for a UE whose confirmed set has lost its place, {}',
      each=ADDRESSES)
def bypassed_redirected(fam):
    p, _ = ADDRESSES[fam]
    with contextlib.closing(Nft(World.p)) as nft:
        nft.run('add table inet nat; add chain inet nat in { type nat hook prerouting priority -100; }; '
                f'add rule inet nat in udp dport {PORT_PS} redirect to :9990')
        server = World.p.udp(p, 9990)
        try:
            ep = endpoint(p, guard='bypass', port_pc=[7807])
            first = Ue(ep).confirm()

            def answered():
                World.wire.seen()
                with contextlib.suppress(PermissionError):
                    server.sendto(b'200 OK', (first['ue-address'], first['port-uc']))
                P.at(p, 5060).sendto(b'marker', (first['ue-address'], 9))
                seen = []
                wait(lambda: seen.extend(World.wire.seen()) or any(b'marker' in x.data for x in seen), 'the marker')
                return [x.proto for x in seen if not x.sent and b'200 OK' in x.data]
            World.wire.send(first.esp(UDP, SIP))
            equal(receive(server), SIP, 'received')
            equal(answered(), [ESP], 'the answer')
            second = Ue(ep, owner=OTHER, port_uc=9000, port_us=9001, **first.spis())
            second.deliver(name='spi-pc')
            equal(answered(), [], 'the answer without a place')
            equal(drops(ep)['drop-no-live-set'], 1, 'counted')
            second.delete()
            equal(answered(), [ESP], 'the answer over the set that has its place again')
        finally:
            server.close()
            nft.run('delete table inet nat')


@test('B4 C5', "a set that finds its place taken by an SA of somebody else's takes nothing from who is sent over, {}", each=tuple(
    (f, n) for f in ADDRESSES for n in ('spi-uc', 'spi-us')))
def stranger_in_place(case):
    fam, name = case
    ep = endpoint(ADDRESSES[fam][0], port_pc=[PORT_PC[0]])
    old = Ue(ep, owner=VICTIM).confirm().use()
    new = Ue(ep, contact=b'sip:other@example')
    key = f'auth-trunc hmac(md5) 0x{IK.hex()} 96 enc ecb(cipher_null) ""'
    # Its own SPIs are nobody's, as it waits for the ports
    World.p.ip(f'xfrm state add src {ep["address"]} dst {new["ue-address"]} proto esp spi {new[name]:#x} mode transport {key}')
    new.deliver()
    for client in (False, True):
        expected = old if client == (name == 'spi-us') else new
        equal(sent_by(old, (old, new), client)[0].id, expected.id, f'bundle that is sent over, client {client}')
    World.p.ip(f'xfrm state delete src {ep["address"]} dst {new["ue-address"]} proto esp spi {new[name]:#x}')
    old.delete()
    over(new, new)


@test('B4 C1 G6', 'a set that is kept out takes no place from another one, {}', each=ADDRESSES)
def beaten(fam):
    ep = nat_endpoint(fam, port_pc=[7807])
    with Sip(ep) as sip:
        spi, there = {'spi_uc': 0x6000, 'spi_us': 0x6001}, ELSEWHERE[fam]
        has = Handset(tunnel(ep, fam, 1, unmarked=True))
        beside = Handset(nat_bundle(ep, 2, unmarked=True, ue_nat_address=there[1], **spi))
        beside.works(sip, mark=None)
        # The ports of the one, the SPIs of the other
        new = Handset(tunnel(ep, fam, 3, unmarked=True, ue_nat_address=there[1], **spi))
        has.deliver(sip)
        new.deliver(sip)
        has.works(sip, mark=None)
        beside.works(sip, mark=None)


# --- A tunnel that has lost its place, and has its policy

def three_tunnels(ep, fam, sip):
    """The first has lost its place to the second, and has the flow that the third would have."""
    spi, there = {'spi_uc': 0x6000, 'spi_us': 0x6001}, ELSEWHERE[fam]
    first = Handset(tunnel(ep, fam, 1, unmarked=True, **spi))
    first.reached(sip, mark=None)
    second = Handset(nat_bundle(ep, 2, unmarked=True, ue_nat_address=there[0], **spi))
    second.works(sip, mark=None)
    return first, second, Handset(tunnel(ep, fam, 3, unmarked=True, ue_nat_address=there[1]))


@test('B4 G6', 'an unmarked set that has lost its place keeps the flow, and keeps no other set from being made, {}', each=ADDRESSES)
def flow_without_place(fam):
    ep = nat_endpoint(fam, port_pc=[7807])
    with Sip(ep) as sip:
        first, second, third = three_tunnels(ep, fam, sip)
        third.works(sip, mark=None)
        World.nl.do('bundle-del', id=third.b['id'])
        second.works(sip, mark=None)
        World.nl.do('bundle-del', id=second.b['id'])
        first.works(sip, mark=None)
    World.nl.do('endpoint-del', id=ep['id'], force=True)
    equal((World.p.count(), World.p.count('policy')), (0, 0), 'SAs and policies')


@test('B4 G6', 'what an unmarked set without a place leaves, its flow, is passed on, {}', each=ADDRESSES)
def flow_passed_on(fam):
    ep = nat_endpoint(fam, port_pc=[7807])
    with Sip(ep) as sip:
        first, _, third = three_tunnels(ep, fam, sip)
        World.nl.do('bundle-del', id=first.b['id'])
        wait(lambda: not sip.down(third.b, 'spi-uc', b'who has waited', None), 'it is sent over')


@test('B4 G6', "a set whose policy somebody else's stood in the way of is sent over when that goes, {}", each=ADDRESSES)
def policy_later(fam):
    ep = nat_endpoint(fam, port_pc=[7807])
    with Sip(ep) as sip:
        claim = Handset(tunnel(ep, fam, 1, unmarked=True))
        P.socks.update({(ep['address'], port): s for port, s in sip.socks.items()})
        victim = Ue(ep)
        victim.deliver()
        P.socks.clear()
        bits = 128 if fam == 'IPv6' else 32
        sel = f'src {ep["address"]}/{bits} dst {claim.u}/{bits} sport {ep["port-ps"]} dport {claim.b["port-uc"]}'
        World.p.ip(f'xfrm policy add {sel} dir out action block')
        victim.delete()
        claim.deliver(sip)
        # Nothing is sent while it is there
        check(sip.down(claim.b, 'spi-uc', b'blocked', None), 'sent')
        World.p.ip(f'xfrm policy delete {sel} dir out')
        wait(lambda: not sip.down(claim.b, 'spi-uc', b'again', None), 'it is sent over')
        claim.works(sip, mark=None)


@test('C5 C3', '(a) a claimed address within a tunnel ends nothing that is established, confirmed or not, {}', each=tuple(
    (f, m) for f in ADDRESSES for m in ('marked', 'unmarked')))
def claimed(case):
    fam, mark = case
    ep = nat_endpoint(fam, port_pc=[7807])
    for state in ('temporary', 'established', 'active'):
        victim = Ue(ep, contact=b'sip:%s@example' % state.encode())
        if state != 'temporary':
            victim.confirm()
        if state == 'active':
            victim.use()
        more = {'unmarked': True} if mark == 'unmarked' else {}
        for owner in (VICTIM, OTHER):
            try:
                b = tunnel(ep, fam, owner=owner, replace=True, **victim.spis(), **more)
            except NlError as e:
                # Its address and port are the victim's, who comes from there
                equal((e.name, mark), ('EADDRINUSE', 'unmarked'), 'error')
                continue
            equal(victim.state(), state, 'the victim')
            confirm(b)
            equal(victim.state(), state, 'the victim after the 200 OK of somebody elsewhere')
            World.nl.do('bundle-del', id=b['id'])
        over(victim, victim)
        victim.deliver()
        victim.delete()


@test('C1 G6', '(b) a claimed address and port keep nobody out who comes from there, {}',
      each=tuple((f, m, s) for f in ADDRESSES for m in ('marked', 'unmarked') for s in ('temporary', 'established', 'active')))
def keeps_nobody_out(case):
    fam, mark, state = case
    ep = nat_endpoint(fam, port_pc=[7807])
    with Sip(ep) as sip:
        more = {'unmarked': True} if mark == 'unmarked' else {}
        claim = Handset(tunnel(ep, fam, port_pc=7807, **more))
        if state != 'temporary':
            confirm(claim.b)
        if state == 'active':
            claim.works(sip)
        P.socks.update({(ep['address'], port): s for port, s in sip.socks.items()})
        victim = Ue(ep)
        equal(get(claim.b)['state'], state, 'the claim')
        victim.deliver(b'REGISTER sip:example SIP/2.0\r\n\r\n')
        over(victim, victim)
        # If it comes to nothing all is as it was
        victim.delete()
        if state == 'active':
            claim.works(sip, mark=None if mark == 'unmarked' else True)
        victim = Ue(ep)
        victim.deliver(b'REGISTER sip:example SIP/2.0\r\n\r\n')
        victim.confirm().use()
        over(victim, victim)
        if mark == 'unmarked':
            check(gone(World.nl, claim.b['id']), 'an unmarked claim to the address is there')
            expect_error('EADDRINUSE', tunnel, ep, fam, 5, unmarked=True, text=VICTIM.decode()[:19])
        else:
            equal(get(claim.b)['state'], state, 'the claim')
            claim.works(sip)
            over(victim, victim)
        P.socks.clear()


@test('C1 G6', '(b) of two that only say so, unmarked, the one that has proved nothing keeps nobody out, {}', each=ADDRESSES)
def two_claims(fam):
    ep = nat_endpoint(fam, port_pc=[7807])
    with Sip(ep) as sip:
        first = Handset(tunnel(ep, fam, 1, unmarked=True))
        second = Handset(tunnel(ep, fam, 2, unmarked=True, ue_nat_address=ELSEWHERE[fam][1]))
        second.deliver(sip)
        second.reached(sip, mark=None)
        confirm(second.b)
        second.works(sip, mark=None)
        expect_error('EADDRINUSE', tunnel, ep, fam, 3, unmarked=True, ue_nat_address=ELSEWHERE[fam][2], text='2@ims')
        first.deliver(sip)
        second.works(sip, mark=None)
        World.nl.do('bundle-del', id=second.b['id'])
        first.works(sip, mark=None)


@test('G6 F2', '(c) TCP is not lost to what is only said, and is there again when the claim goes, {}', each=ADDRESSES)
def tcp_claimed(fam):
    ep = nat_endpoint(fam, port_pc=[7807])
    with Sip(ep) as sip:
        def syn(ue, udp_only=0):
            was = drops(ep)['drop-udp-only']
            World.wire.send(ue.message(data=b'', proto=TCP))
            sip.passed()
            wait(lambda: drops(ep)['drop-udp-only'] >= was + udp_only, 'it is counted')
            equal(drops(ep)['drop-udp-only'], was + udp_only, 'counted')
        ues = [Handset(tunnel(ep, fam, n, ue_nat_address=ELSEWHERE[fam][n - 1])) for n in (1, 2, 3)]
        claim, real, other = ues
        equal([bool(get(ue.b).get('udp-only')) for ue in ues], [False] * 3, 'udp-only, as long as nobody has proved anything')
        syn(real)
        equal([bool(get(ue.b).get('udp-only')) for ue in ues], [True, False, True], 'udp-only')
        syn(claim, udp_only=1)
        syn(real)
        confirm(other.b)
        syn(other, udp_only=1)
        World.nl.do('bundle-del', id=claim.b['id'])
        World.nl.do('bundle-del', id=real.b['id'])
        equal(bool(get(other.b).get('udp-only')), False, 'udp-only, when the other one has gone')
        syn(other)
        # The same UE under another contact has it from its first packet on
        again = Handset(tunnel(ep, fam, owner=other.b['owner'], contact=b'sip:again@example',
                               ue_nat_address=other.b['ue-nat-address']))
        syn(other)
        syn(again)
        syn(other, udp_only=1)
        World.nl.do('bundle-del', id=again.b['id'])
        syn(other)
        # Who comes from there has it before any who says so
        victim = Ue(ep)
        syn(other)
        P.socks.update({(ep['address'], port): s for port, s in sip.socks.items()})
        victim.deliver()
        P.socks.clear()
        equal(bool(get(other.b).get('udp-only')), True, 'udp-only beside the UE itself')
        syn(other, udp_only=1)
        victim.delete()
        syn(other)


# --- Refused requests

@test('C3', '(d) a request that is refused has changed nothing: {}', each=(
    'an SA of somebody else', "another one's SA", 'a policy of somebody else', 'max-sets', 'the ports', 'an algorithm', 'a cookie'))
def refused(why):
    ep = nat_endpoint('IPv4', port_pc=[7807])
    confirmed = Ue(ep, cookie=7).confirm().use()
    waiting = Ue(ep, port_uc=PORT_UC + 1, port_us=PORT_US + 1, cookie=8)
    beside = Ue(ep, owner=OTHER, port_uc=9000, port_us=9001).confirm()
    error, more = 'EEXIST', {'replace': True}
    if 'SA' in why:
        # The one or the other of the two, so that something was added before
        spi, name = 0x4000, ('spi_uc', 'spi_us')['another' in why]
        World.p.ip(f'xfrm state add src {P4} dst {U4} proto esp spi {spi:#x} mode transport auth-trunc hmac(md5) 0x{IK.hex()} 96 '
                   'enc ecb(cipher_null) ""')
        more[name] = spi
    elif 'policy' in why:
        World.p.ip(f'xfrm policy add src {P4}/32 dst 10.7.7.7/32 sport 7807 dport {PORT_US} dir out priority 1')
        more.update(mode='udp-enc-tun', unmarked=True, ue_address='10.7.7.7', ue_nat_address=U4)
    elif why == 'max-sets':
        World.nl.do('config-set', max_sets=1)
        error = 'EDQUOT'
    elif why == 'the ports':
        error, more = 'EADDRINUSE', {'port_uc': 9000}
    elif why == 'an algorithm':
        error, more = 'EOPNOTSUPP', {'allowed_algorithms': 'aes-gcm'}
    else:
        more['cookie'] = 8
    World.events.drain()
    was = World.p.ip('xfrm state'), World.p.ip('xfrm policy'), [{k: v for k, v in b.items() if k not in ('lifetime', 'last-rx')}
                                                              for b in World.nl.dump('bundle-get')]
    expect_error(error, Ue, ep, **more)
    now = World.p.ip('xfrm state'), World.p.ip('xfrm policy'), [{k: v for k, v in b.items() if k not in ('lifetime', 'last-rx')}
                                                              for b in World.nl.dump('bundle-get')]
    equal(now, was, 'SAs, policies and bundles')
    equal(World.events.drain(), [], 'events')
    equal((confirmed.state(), waiting.state(), beside.state()), ('active', 'temporary', 'established'), 'states')
    for s in (confirmed, waiting, beside):
        over(s, s)
        s.deliver()


# --- Challenges

@test('D2', '(e) a challenge to another address ends nothing, and keeps nobody out, {}', each=tuple(
    (f, m) for f in ADDRESSES for m in ('trans', 'udp-enc-tun')))
def challenged_elsewhere(case):
    fam, mode = case
    ep = nat_endpoint(fam)
    near = '192.0.2.77' if fam == 'IPv4' else '2001:db8::77'
    World.nl.do('config-set', max_sets=1)
    victim = Ue(ep)
    name = {'owner': victim['owner'], 'contact': victim['contact']}
    for _ in range(5):
        if mode == 'trans':
            other = Ue(ep, ue_address=near)
        else:
            other = Ue(ep, mode=mode, ue_address=victim['ue-address'], ue_nat_address=ELSEWHERE[fam][0], **victim.spis())
        equal((victim.state(), other.state()), ('temporary', 'temporary'), 'states')
        equal(len(World.nl.dump('bundle-get', **name)), 2, 'bundles: the last one from there has made way')
    over(victim, victim)
    victim.deliver(b'REGISTER sip:example SIP/2.0\r\n\r\n')
    # The victim is challenged again, and with its sets it has not used up what it may have
    victim = Ue(ep)
    equal(len(World.nl.dump('bundle-get', **name)), 2, 'bundles')
    victim.confirm(older='drop').use()
    check(gone(World.nl, other.id), 'the other one is there')
    over(victim, victim)


@test('D2 C2', '(e) challenges to other addresses leave room for the UE that has a set, {}', each=ADDRESSES)
def crowded(fam):
    ep = nat_endpoint(fam)
    victim = Ue(ep).confirm().use()
    near = '192.0.2.{}' if fam == 'IPv4' else '2001:db8::{}'
    others = [Ue(ep, ue_address=near.format(70 + n)) for n in range(3)]
    # Who comes from where no set is, finds no room
    expect_error('EDQUOT', Ue, ep, ue_address=near.format(77))
    new = Ue(ep)
    equal((victim.state(), new.state(), gone(World.nl, others[0].id)), ('active', 'temporary', True), 'states')
    equal([x.state() for x in others[1:]], ['temporary'] * 2, 'the younger ones')
    new.confirm(older='drop').use()
    over(new, new)


@test('C1 D12', "another owner's set keeps none of the UE's own client ports from it, {}", each=ADDRESSES)
def client_ports(fam):
    ep = nat_endpoint(fam)
    victim = Ue(ep).confirm().use()
    Ue(ep, owner=OTHER, contact=b'o', port_uc=9000).confirm()
    for n in range(4):
        equal(Ue(ep, port_uc=9100 + n)['port-pc'], victim['port-pc'], 'the client port of ours')


@test('QUOTA C5', 'contacts of one owner that contend for one UE are bounded, and those that wait go at the 200 OK, {}', each=ADDRESSES)
def contenders(fam):
    ep = nat_endpoint(fam)
    first = Ue(ep, contact=b'first')
    made = [Ue(ep, contact=b'c%d' % n, **first.spis()) for n in range(64)]
    expect_error('ENOSPC', Ue, ep, text='64 bundles contend', contact=b'more', **first.spis())
    equal(len(World.nl.dump('bundle-get')), 65, 'bundles')
    made[-1].deliver(b'REGISTER sip:example SIP/2.0\r\n\r\n')
    made[-1].confirm()
    equal([b['id'] for b in World.nl.dump('bundle-get')], [made[-1].id], 'bundles')
    over(made[-1], made[-1])


@test('B4 C5', 'a place that a set leaves before its end goes to who waits for it, {}', each=ADDRESSES)
def left_early(fam):
    ep = nat_endpoint(fam, port_pc=[7807])
    waits = Ue(ep, owner=OTHER, contact=b'c', port_uc=9000, port_us=9001, spi_uc=0x6000, spi_us=0x6001).confirm().use()
    over(waits, waits)
    has = Ue(ep, spi_uc=0x6000, spi_us=0x6001).confirm().use()
    over(has, has, waits)
    new = Ue(ep).confirm().use()
    equal(has.state(), 'old', 'the set whose place it was')
    over(new, new)
    over(waits, waits)


@test('QUOTA D2', 'what makes way for a bundle is not counted against it: {}', each=('max-pending', 'max-bundles'))
def makes_room(limit):
    World.nl.do('config-set', **{limit.replace('-', '_'): 1})
    ep = endpoint(P4)
    first = Ue(ep)
    for more in ({'contact': b'sip:other@example', 'port_uc': 9000, 'port_us': 9001}, {'ue_address': '192.0.2.77'}):
        expect_error('ENOSPC', Ue, ep, text=limit.replace('-', '_'), **more)
    equal(first.state(), 'temporary', 'the first one')
    for _ in range(3):
        first = Ue(ep)
        equal([b['id'] for b in World.nl.dump('bundle-get')], [first.id], 'bundles')
    over(first, first)


# --- The same SPIs at one address, in two modes

@test('G6 B4', 'a set that has waited for its turn, and one that has a mark, have the same SPIs at one address, {}', each=ADDRESSES)
def woken(fam):
    ep = nat_endpoint(fam, port_pc=[7807])
    Ue(ep, owner=OTHER).confirm().use()
    new = Ue(ep, owner=OTHER, spi_uc=0x6000, spi_us=0x6001).confirm().use()
    over(new, new)
    P.close()
    with Sip(ep) as sip:
        ue = Handset(nat_bundle(ep, 1, ue_nat_address=ADDRESSES[fam][1], ue_nat_port=61001, port_uc=PORT_UC + 4,
                                port_us=PORT_US + 4, spi_uc=0x6000, spi_us=0x6001))
        for name in ('spi-uc', 'spi-us'):
            ue.reached(sip, name)


@test('G6 B4', 'the same SPIs at one address, {}: both work, whichever comes first', each=tuple(
    (f, m, o) for f in ADDRESSES for m in ('trans', 'unmarked') for o in ('before a marked one', 'after a marked one')))
def same_spis_two_modes(case):
    fam, mode, order = case
    ep = nat_endpoint(fam, port_pc=[7807])
    at, spi = ADDRESSES[fam][1], {'spi_uc': 0x6000, 'spi_us': 0x6001}
    with Sip(ep) as sip:
        def plain():
            if mode == 'trans':
                return Ue(ep, owner=OTHER, **spi)
            return Handset(nat_bundle(ep, 2, unmarked=True, ue_nat_address=at, ue_nat_port=61002, **spi))

        def marked():
            return Handset(nat_bundle(ep, 1, ue_nat_address=at, ue_nat_port=61001, port_uc=PORT_UC + 4, port_us=PORT_US + 4, **spi))
        a, b = (f() for f in ((plain, marked) if 'before' in order else (marked, plain)))
        one, two = (a, b) if 'before' in order else (b, a)
        P.socks.update({(ep['address'], port): s for port, s in sip.socks.items()})
        for _ in range(2):
            two.works(sip)
            if mode == 'trans':
                one.deliver()
                over(one, one)
            else:
                one.works(sip, mark=None)
        P.socks.clear()
        # And one of somebody else's stands in the way of each
        World.p.ip(f'xfrm state add src {ep["address"]} dst {at} proto esp spi 0x7000 mode transport '
                   f'auth-trunc hmac(md5) 0x{IK.hex()} 96 enc ecb(cipher_null) ""')
        spi = {'spi_uc': 0x7000, 'spi_us': 0x7001}
        expect_error('EEXIST', nat_bundle, ep, 4, ue_nat_address=at, port_uc=9000, port_us=9001, text='SPI 28672', **spi)
        expect_error('EEXIST', Ue, ep, owner=b'fourth', port_uc=9000, port_us=9001, text='SPI 28672', **spi)
    World.nl.do('endpoint-del', id=ep['id'], force=True)
    equal(World.p.count(), 1, "SAs: somebody else's")


if __name__ == '__main__':
    main(setup_nat, before_each, teardown)
