#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only
"""The sets of a registration: admission, re-registration, which one is sent over.

What the UE sends is ESP made by hand, with null encryption; what it gets is read off
the wire.
"""
import contextlib
import itertools
import os
import socket
import struct
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '../lib'))
from ims import *  # noqa: E402,F403  pylint: disable=wildcard-import,unused-wildcard-import,wrong-import-position

LONG = 600000
SO_MARK, SO_RCVMARK = 36, 75
OTHER = b'001010000000002@ims.example'
SIP = b'MESSAGE sip:a@example SIP/2.0\r\n\r\n'
spis = itertools.count(0x20000000, 2)


class Set:
    """A bundle, and the UE's end of it."""

    def __init__(self, ep, **more):
        spi = next(spis)
        self.b = bundle(ep, **{'enc_alg': 'null', 'contact': b'sip:a@example', 'spi_uc': spi, 'spi_us': spi + 1, **more})
        self.id, self.seq = self.b['id'], itertools.count(1)

    def __getitem__(self, name):
        return self.b[name]

    def get(self):
        return World.nl.do('bundle-get', id=self.id)

    def state(self):
        return self.get()['state']

    def confirm(self, lifetime=LONG, **more):
        World.nl.do('bundle-confirm', id=self.id, lifetime=lifetime, **more)
        return self

    def esp(self, proto, data, name='spi-ps', flags=0x18):
        """A packet over one of the UE's ways."""
        src, dst, sport, dport, _ = table(self.b)[self[name]]
        inner = layer4(src, dst, proto, sport, dport, data, flags)
        return esp(src, dst, self[name], next(self.seq), proto, inner, self['auth-alg'],
                   bytes.fromhex(AUTH_KEY[self['auth-alg']]))

    def deliver(self, data=SIP, name='spi-ps'):
        """A datagram of the UE's, and it arrives."""
        sock = P.at(self['address'], self['port-ps' if name == 'spi-ps' else 'port-pc'])
        World.wire.send(self.esp(UDP, data, name))
        equal(receive(sock), data, 'received')

    def use(self):
        self.deliver()
        wait(lambda: self.state() == 'active', 'it is ACTIVE')
        return self


class P:
    """The SIP server's sockets, made when they are wanted."""
    socks = {}

    @classmethod
    def at(cls, addr, port):
        if (addr, port) not in cls.socks:
            cls.socks[addr, port] = World.p.udp(addr, port)
        return cls.socks[addr, port]

    @classmethod
    def close(cls):
        for s in cls.socks.values():
            s.close()
        cls.socks.clear()


def before_each():
    P.close()
    before()


def sent(s, client=False, mark=0):
    """SPI of what the SIP server sends to the UE's ports of this set now, with a mark."""
    data = b'to the UE %d' % next(spis)
    World.wire.seen()
    ours, theirs = ('port-pc', 'port-us') if client else ('port-ps', 'port-uc')
    send_marked(P.at(s['address'], s[ours]), data, (s['ue-address'], s[theirs]), mark)
    # Ciphers may take their time
    seen = wait(lambda: [x for x in World.wire.seen() if not quiet(x)], 'something on the wire')
    equal([x.proto for x in seen], [ESP], 'protocols on the wire')
    check(data in seen[0].data, 'it is not what was sent')
    return seen[0].spi


def sent_over(s, what=None):
    """Requests and responses to this set's ports leave over this one, or `what`."""
    what = what or s
    equal((sent(s), sent(s, True)), (what['spi-uc'], what['spi-us']), 'SPIs of what is sent')


def send_marked(sock, data, to, mark):
    """A datagram with a mark, as a SIP server sends it that answers over the set that the request came over."""
    sock.sendmsg([data], [(socket.SOL_SOCKET, SO_MARK, struct.pack('I', mark))], 0, to)


def events():
    return [(e['bundle']['id'], e['type'], e['reason']) for e in World.events.drain()]


def event(s, kind, reason, timeout=60):
    """This event comes next."""
    e = World.events.next(timeout)
    equal((e['bundle']['id'], e['type'], e['reason']), (s.id, kind, reason), 'event')


def gone_for(s, reason):
    check(gone(World.nl, s.id), 'it is still there')
    check((s.id, 'deleted', reason) in events(), f'no event says that it was deleted: {reason}')


# --- Admission

@test('C4', 'as soon as bundle-new has answered, all four SAs are in use, {}', each=ADDRESSES)
def at_once(fam):
    ep = endpoint(ADDRESSES[fam][0])
    for n in range(10):
        new = Set(ep, contact=b'sip:%d@example' % n, port_uc=9000 + 2 * n, port_us=9001 + 2 * n)
        sent_over(new)
        new.deliver()
        new.deliver(name='spi-pc')


@test('C1', "a UE's protected client port is one owner's, who is named, {}", each=ADDRESSES)
def port_taken(fam):
    ep = endpoint(ADDRESSES[fam][0])
    # As long as nobody has proved anything: claims.py
    first = Set(ep).confirm()
    states = World.p.count()
    for more in ({}, {'contact': b'sip:other@example'}, {'port_us': 9000}, {'replace': True}):
        expect_error('EADDRINUSE', Set, ep, owner=OTHER, text='001010000000001@ims', **more)
    equal(World.p.count(), states, 'SAs')
    equal(first.state(), 'established', 'the first one')
    # Another port, another address, another contact of the owner's
    Set(ep, owner=OTHER, port_uc=PORT_UC + 2, port_us=PORT_US + 2)
    near = '192.0.2.77' if fam == 'IPv4' else '2001:db8::77'
    Set(ep, owner=OTHER, contact=b'c2', ue_address=near)
    Set(ep, contact=b'another', port_uc=PORT_UC + 4, port_us=PORT_US + 4)


@test('C1', "two owners at one address do not get one pair of server and client port")
def port_pc_taken():
    ep = endpoint(P4)
    a = Set(ep).confirm()
    b = Set(ep, owner=OTHER, port_uc=PORT_UC + 2).confirm()
    check(a['port-pc'] != b['port-pc'], 'they have one port_pc')
    expect_error('EADDRINUSE', Set, ep, owner=b'third', port_uc=PORT_UC + 4)
    expect_error('EADDRINUSE', Set, ep, owner=b'third', port_uc=PORT_UC + 4, port_pc=a['port-pc'],
                 text='bundle %d' % a.id)


@test('C2', 'at most max-sets sets a registration, {}', each=(1, 2, 3, 4))
def quota(n):
    World.nl.do('config-set', max_sets=n)
    ep = endpoint(P4)
    # Those deleted, with linger, count while they are there
    sets = [Set(ep).confirm()]
    for i in range(1, n):
        sets.append(Set(ep, port_uc=PORT_UC + i))
        World.nl.do('bundle-del', id=sets[-1].id, linger=LONG)
    states = World.p.count()
    expect_error('EDQUOT', Set, ep, port_uc=9000, text='max_sets')
    equal(World.p.count(), states, 'SAs')
    # It is counted by contact, and by owner
    Set(ep, contact=b'another', port_uc=9002, port_us=9003)
    Set(ep, owner=OTHER, port_uc=9004, port_us=9005)
    World.nl.do('bundle-del', id=sets[0].id)
    Set(ep, port_uc=9000)


@test('C5', "a UE that lost its state is challenged, and its old set is there until the 200 OK, {}", each=tuple(
    (f, r) for f in ADDRESSES for r in ('asked to replace', 'not asked')))
def lost_state(case):
    fam, replace = case
    ep = endpoint(ADDRESSES[fam][0])
    first = Set(ep).confirm().use()
    more = {'replace': True} if replace == 'asked to replace' else {}
    states = World.p.count()
    second = Set(ep, spi_uc=first['spi-uc'], spi_us=first['spi-us'], **more)
    # Its outbound ones have the others' places
    equal((World.p.count(), first.state(), second.state()), (states + 2, 'active', 'temporary'), 'SAs and states')
    World.nl.do('bundle-del', id=second.id)
    equal((World.p.count(), first.state()), (states, 'active'), 'SAs and state')
    second = Set(ep, spi_uc=first['spi-us'], spi_us=0x30000, **more).confirm(older='drop')
    gone_for(first, 'newer')
    equal(World.p.count(), states, 'SAs')
    sent_over(second)


@test('C5', 'the same owner under another contact, with the same ports or SPIs: the old set goes at the 200 OK, {}',
      each=('asked to replace', 'not asked'))
def lost_contact(replace):
    ep = endpoint(P4)
    more = {'replace': True} if replace == 'asked to replace' else {}
    first = Set(ep).confirm().use()
    beside = Set(ep, contact=b'beside', port_uc=9000, port_us=9001)
    second = Set(ep, contact=b'another', **more)
    equal((first.state(), second.state()), ('active', 'temporary'), 'states')
    second.confirm()
    gone_for(first, 'replaced')
    sent_over(second)
    third = Set(ep, contact=b'third', port_uc=9002, port_us=9003, spi_uc=second['spi-uc'], **more)
    equal(second.state(), 'established', 'state')
    third.confirm()
    gone_for(second, 'replaced')
    sent_over(third)
    equal(beside.state(), 'temporary', 'another contact of the owner')


@test('C5', "another owner's set stays, whatever its SPIs")
def lost_state_of_others():
    ep = endpoint(P4)
    first = Set(ep).confirm()
    other = Set(ep, owner=OTHER, replace=True, port_uc=9000, port_us=9001, spi_uc=first['spi-uc'], spi_us=first['spi-us'])
    equal(first.state(), 'established', 'the first one')
    sent_over(first)
    other.confirm().use()
    equal(first.state(), 'established', 'the first one')
    World.nl.do('bundle-del', id=other.id)
    sent_over(first)


@test('D2 D13', 'a new challenge ends the last one, with other SPIs and with the same, {}', each=('other', 'same'))
def challenged_again(which):
    ep = endpoint(P4)
    kept = Set(ep).confirm()
    first = Set(ep, port_uc=PORT_UC + 1)
    spi = {'spi_uc': first['spi-uc'], 'spi_us': first['spi-us']} if which == 'same' else {}
    World.events.drain()
    second = Set(ep, port_uc=PORT_UC + 1, **spi)
    gone_for(first, 'challenge')
    equal((kept.state(), second.state()), ('established', 'temporary'), 'states')
    equal(World.p.count(), 8, 'SAs')
    # Another contact's is not touched
    other = Set(ep, contact=b'another', port_uc=PORT_UC + 2, port_us=PORT_US + 2)
    equal((second.state(), other.state()), ('temporary', 'temporary'), 'states')


@test('D2', 'a challenge that fails leaves the last one as it is')
def challenge_refused():
    ep = endpoint(P4)
    first = Set(ep)
    World.events.drain()
    add = f'src {P4} dst {U4} proto esp spi 0x4000 mode transport auth-trunc hmac(md5) 0x{IK.hex()} 96 ' \
          'enc ecb(cipher_null) ""'
    World.p.ip('xfrm state add ' + add)
    expect_error('EINVAL', Set, ep, spi_uc=700, spi_us=700)
    expect_error('EINVAL ERANGE', Set, ep, spi_uc=255)
    equal((first.state(), events()), ('temporary', []), 'state and events')


# --- The 200 OK

def left(s, low, high):
    """What a set still has."""
    ms = s.get()['lifetime']
    check(low <= ms <= high, f'lifetime is {ms}, expected {low} to {high}')


@test('D4', 'the new set lives for what the old one had left, if that is longer')
def lifetime():
    ep = endpoint(P4)
    first = Set(ep).confirm(900000)
    second = Set(ep, port_uc=PORT_UC + 1).confirm(300000)
    left(second, 880000, 900000)
    second.use()
    third = Set(ep, port_uc=PORT_UC + 2).confirm(1800000)
    left(third, 1780000, 1800000)
    check(gone(World.nl, first.id), 'the oldest one is still there')


@test('D5', 'extend lengthens and never shortens')
def extend():
    ep = endpoint(P4)
    s = Set(ep)
    expect_error('EINVAL', World.nl.do, 'bundle-extend', id=s.id, lifetime=LONG, text='not confirmed')
    s.confirm(300000)
    World.nl.do('bundle-extend', id=s.id, lifetime=200000)
    left(s, 280000, 300000)
    World.nl.do('bundle-extend', id=s.id, lifetime=500000)
    left(s, 480000, 500000)
    s.use()
    World.nl.do('bundle-extend', id=s.id, lifetime=700000)
    left(s, 680000, 700000)
    World.nl.do('bundle-del', id=s.id, linger=LONG)
    expect_error('EINVAL', World.nl.do, 'bundle-extend', id=s.id, lifetime=LONG)
    expect_error('ENOENT', World.nl.do, 'bundle-extend', id=s.id + 1000, lifetime=LONG)


@test('D6', 'begun unprotected: only the new set stays, and is used at once, {} ports', each=('new', 'the same'))
def alone(ports):
    same = ports == 'the same'
    ep = endpoint(P4, port_pc=[PORT_PC[0]] if same else PORT_PC)
    first = Set(ep).confirm().use()
    second = Set(ep, port_uc=PORT_UC + (not same)).confirm(older='drop')
    gone_for(first, 'newer')
    equal(second.state(), 'active', 'state')
    sent_over(second)
    equal(World.p.count(), 4, 'SAs')


@test('D7', 'begun over a set: it and the new one stay, the others go, and it is sent over, {} ports',
      each=('new', 'the same'))
def kept(ports):
    same = ports == 'the same'
    ep = endpoint(P4, port_pc=[PORT_PC[0]] if same else PORT_PC)
    old = Set(ep).confirm().use()
    cur = Set(ep, port_uc=PORT_UC + (not same)).confirm().use()
    new = Set(ep, port_uc=PORT_UC + 2 * (not same))
    equal((old.state(), cur.state(), new.state()), ('old', 'active', 'temporary'), 'states')
    new.confirm(over=cur.id)
    gone_for(old, 'newer')
    equal((cur.state(), new.state()), ('active', 'established'), 'states')
    sent_over(cur)


@test('D7', 'the set that the request came over need not be the one sent over')
def kept_other():
    ep = endpoint(P4)
    old = Set(ep).confirm().use()
    cur = Set(ep, port_uc=PORT_UC + 1).confirm().use()
    new = Set(ep, port_uc=PORT_UC + 2)
    stranger = Set(ep, owner=OTHER, port_uc=9000, port_us=9001)
    expect_error('EINVAL', new.confirm, over=new.id)
    expect_error('EINVAL', new.confirm, over=stranger.id, text='registration')
    expect_error('ENOENT', new.confirm, over=stranger.id + 1000)
    equal((old.state(), cur.state(), new.state()), ('old', 'active', 'temporary'), 'states')
    new.confirm(over=old.id)
    gone_for(cur, 'newer')
    equal((old.state(), new.state()), ('old', 'established'), 'states')


@test('D7a', 'a response leaves over the set of its request, whatever its state, {}', each=ADDRESSES)
def responses(fam):
    ep = endpoint(ADDRESSES[fam][0])
    old = Set(ep).confirm().use()
    cur = Set(ep, port_uc=PORT_UC + 1).confirm().use()
    new = Set(ep, port_uc=PORT_UC + 2)
    for s in (old, cur, new):
        s.deliver(b'REGISTER sip:example SIP/2.0\r\n\r\n')
        equal(sent(s), s['spi-uc'], 'SPI of the response')
    equal((old.state(), cur.state(), new.state()), ('old', 'active', 'temporary'), 'states')


# --- Activation

@test('D8', 'the first SIP message over the new set makes it the one to send over, {}',
      each=tuple((f, n) for f in ADDRESSES for n in ('spi-ps', 'spi-pc')))
def activation(case):
    fam, name = case
    ep = endpoint(ADDRESSES[fam][0])
    old = Set(ep).confirm().use()
    new = Set(ep, port_uc=PORT_UC + 1).confirm()
    World.events.drain()
    new.deliver(name=name)
    event(new, 'activated', 'used')
    event(old, 'superseded', 'used')
    equal((old.state(), new.state()), ('old', 'active'), 'states')
    left(old, 100000, 128000)
    sent_over(new)


@test('D8 D7a D12', 'with the same ports on both sides what is sent changes right then, {}', each=ADDRESSES)
def same_ports(fam):
    ep = endpoint(ADDRESSES[fam][0], port_pc=[PORT_PC[0]])
    old = Set(ep).confirm().use()
    for n in range(20):
        new = Set(ep)
        equal(new['port-pc'], old['port-pc'], 'port_pc')
        sent_over(new, old)
        # The protected REGISTER, before the 200 OK
        new.deliver(b'REGISTER sip:example SIP/2.0\r\n\r\n')
        sent_over(new, old)
        new.confirm()
        sent_over(new, old)
        new.deliver()
        # No time in between: what it sends after having received
        sent_over(new)
        if n % 2:
            new.deliver()
            old.deliver()
            sent_over(new)
        old = new


@test('D8', 'a connected socket is on the new set at once, with the same ports')
def connected():
    ep = endpoint(P4, port_pc=[PORT_PC[0]])
    old = Set(ep).confirm().use()
    s = P.at(P4, PORT_PS)
    s.connect((U4, PORT_UC))
    new = Set(ep).confirm()

    def spi():
        World.wire.seen()
        s.send(b'connected')
        return [x.spi for x in World.wire.seen() if x.proto == ESP]
    equal(spi(), [old['spi-uc']], 'before')
    World.wire.send(new.esp(UDP, SIP))
    equal(receive(s), SIP, 'received')
    equal(spi(), [new['spi-uc']], 'after')


@test('D8', 'not taken into use: {}', each=(
    ('a CRLF', UDP, b'\r\n', 0), ('two CRLF', UDP, b'\r\n\r\n', 0), ('a 0xff', UDP, b'\xff', 0), ('an empty datagram', UDP, b'', 0),
    ('a zero', UDP, b'\0', 0), ('a bare ACK', TCP, b'', 0x10), ('a SYN', TCP, b'', 2), ('a FIN', TCP, b'', 0x11), ('a CRLF over TCP', TCP, b'\r\n\r\n', 0x18)))
def keep_alive(case):
    _, proto, data, flags = case
    ep = endpoint(P4)
    old = Set(ep).confirm().use()
    new = Set(ep, port_uc=PORT_UC + 1).confirm()
    P.at(P4, PORT_PS)
    World.events.drain()
    for name in ('spi-ps', 'spi-pc'):
        World.wire.send(new.esp(proto, data, name, flags))
    wait(lambda: new.get()['rx-packets'] == 2, 'both have come')
    # What comes behind them is enough, CRLF in front of it
    World.wire.send(old.esp(UDP, b'behind'))
    equal((old.state(), new.state(), events()), ('active', 'established', []), 'states and events')
    World.wire.send(new.esp(UDP, b'\r\n' + SIP))
    event(new, 'activated', 'used')


@test('D8 E1', 'forged, replayed or cross-paired it is not taken into use')
def not_authentic():
    ep = endpoint(P4)
    Set(ep).confirm().use()
    new = Set(ep, port_uc=PORT_UC + 1)
    early, sock = new.esp(UDP, SIP), P.at(P4, PORT_PS)
    World.wire.send(early)
    equal(receive(sock), SIP, 'received')
    new.confirm()
    World.events.drain()
    was = World.p.xfrm_stat()
    forged = bytearray(new.esp(UDP, SIP))
    forged[-1] ^= 1
    World.wire.send(early, bytes(forged))
    wait(lambda: sum(World.p.xfrm_stat().values()) >= sum(was.values()) + 2, 'they are counted')
    src, dst, sport, dport, _ = table(new.b)[new['spi-ps']]
    cross = esp(src, dst, new['spi-ps'], next(new.seq), UDP, layer4(src, dst, UDP, sport, new['port-pc'], SIP),
                new['auth-alg'], bytes.fromhex(AUTH_KEY[new['auth-alg']]))
    World.wire.send(cross)
    wait(lambda: World.nl.do('endpoint-get', id=ep['id'])['drop-cross-pair'] == 1, 'it is counted')
    equal((new.state(), events()), ('established', []), 'state and events')


@test('D8', 'over TCP: the first bytes of a message take it into use')
def over_tcp():
    ep = endpoint(P4)
    old = bundle(ep)
    World.nl.do('bundle-confirm', id=old['id'], lifetime=LONG)
    new = bundle(ep, port_uc=PORT_UC + 1, spi_uc=next(spis), spi_us=next(spis))
    World.nl.do('bundle-confirm', id=new['id'], lifetime=LONG)
    World.events.drain()
    with Phone(new) as phone:
        ue, _ = phone.connect('spi-ps')
        ue.send(b'\r\n\r\n')
        wait(lambda: World.nl.do('bundle-get', id=new['id'])['rx-packets'] >= 3, 'it has come')
        equal(World.nl.do('bundle-get', id=new['id'])['state'], 'established', 'state after a keep-alive')
        ue.send(SIP)
        e = World.events.next()
        equal((e['type'], e['bundle']['id']), ('activated', new['id']), 'event')


@test('D9', 'the old set about to run out and the new one unused: it is taken into use')
def running_out():
    World.nl.do('config-set', old_timeout=1500)
    ep = endpoint(P4, port_pc=[PORT_PC[0]])
    old = Set(ep).confirm(3000).use()
    new = Set(ep).confirm()
    World.events.drain()
    sent_over(new, old)
    event(new, 'activated', 'running-out')
    event(old, 'superseded', 'running-out')
    check(0 < old.get()['lifetime'] <= 1500, 'the old one is cut, or gone')
    sent_over(new)
    event(old, 'expired', 'lifetime')
    sent_over(new)


@test('D10', 'traffic over an OLD set changes nothing, and arrives')
def traffic_on_old():
    ep = endpoint(P4)
    old = Set(ep).confirm().use()
    new = Set(ep, port_uc=PORT_UC + 1).confirm().use()
    World.events.drain()
    was = old.get()['lifetime']
    for _ in range(3):
        old.deliver()
    equal((old.state(), new.state(), events()), ('old', 'active', []), 'states and events')
    check(old.get()['lifetime'] <= was, 'it lives longer')
    World.nl.do('config-set', old_timeout=100)
    third = Set(ep, port_uc=PORT_UC + 2).confirm().use()
    wait(lambda: gone(World.nl, new.id), 'OLD ends')
    # Its tuple is shut
    World.wire.seen()
    try:
        P.at(P4, new['port-ps']).sendto(b'plain', (U4, new['port-uc']))
    except OSError:
        pass
    equal([x for x in World.wire.seen() if x.sent is False and x.proto in (UDP, ESP)], [], 'sent')
    equal(third.state(), 'active', 'the third one')


@test('D12', 'successive sets have other client ports while there are any, {} in the pool', each=(2, 3))
def other_port_pc(n):
    ports = [7807 + i for i in range(n)]
    ep = endpoint(P4, port_pc=ports)
    old = Set(ep).confirm().use()
    for _ in range(5):
        new = Set(ep, port_uc=PORT_UC + 1)
        check(new['port-pc'] != old['port-pc'], 'the same port_pc')
        equal(new['port-ps'], old['port-ps'], 'port_ps')
        new.confirm().use()
        World.nl.do('bundle-del', id=old.id)
        old = new


@test('D15', 'a UE that changes its address registers anew; the old set ages out')
def other_address():
    World.nl.do('config-set', old_timeout=200)
    ep = endpoint(P4)
    old = Set(ep).confirm().use()
    new = Set(ep, ue_address='192.0.2.77').confirm()
    equal((old.state(), new.state()), ('active', 'established'), 'states')
    World.events.drain()
    World.wire.send(new.esp(UDP, SIP))
    event(new, 'activated', 'used')
    event(old, 'superseded', 'used')
    event(old, 'expired', 'lifetime')


@test('E2 E3', 'a wrong answer to the challenge: the new set goes, the old one is used as before, {} ports',
      each=('new', 'the same'))
def wrong_res(ports):
    same = ports == 'the same'
    ep = endpoint(P4, port_pc=[PORT_PC[0]] if same else PORT_PC)
    old = Set(ep).confirm().use()
    new = Set(ep, port_uc=PORT_UC + (not same))
    new.deliver(b'REGISTER sip:example SIP/2.0\r\n\r\n')
    World.nl.do('bundle-del', id=new.id)
    equal(old.state(), 'active', 'the old one')
    sent_over(old)
    old.deliver()


@test('D11 E2', 'the set that is sent over goes: the new one takes over, {}', each=('temporary', 'established'))
def takes_over(state):
    ep = endpoint(P4, port_pc=[PORT_PC[0]])
    old = Set(ep).confirm().use()
    new = Set(ep)
    if state == 'established':
        new.confirm()
    World.nl.do('bundle-del', id=old.id)
    equal(new.state(), state, 'its state')
    sent_over(new)


@test('D5 IDLE', 'idle-timeout ends what nothing comes over')
def idle():
    ep = endpoint(P4)
    busy = Set(ep).confirm()
    quiet_one = Set(ep, contact=b'another', port_uc=9000, port_us=9001).confirm()
    old_enough = Set(ep, contact=b'third', port_uc=9002, port_us=9003)
    World.nl.do('config-set', idle_timeout=400)
    World.events.drain()
    end = time.monotonic() + 20
    while not gone(World.nl, quiet_one.id):
        busy.deliver()
        check(time.monotonic() < end, 'the quiet one does not end')
    check((quiet_one.id, 'expired', 'idle') in events(), 'no event')
    equal((busy.state(), old_enough.state()), ('active', 'temporary'), 'the others')


@test('IDLE', 'an idle-timeout that becomes shorter holds for all that are there, from {}', each=('never', 'an hour'))
def idle_shortened(was):
    World.nl.do('config-set', idle_timeout=0 if was == 'never' else 3600000)
    ep = endpoint(P4)
    # More than the kernel looks at while it keeps requests waiting
    sets = [Set(ep, ue_address=f'198.51.100.{n}', contact=b'%d' % n).confirm() for n in range(1, 140)]
    World.nl.do('config-set', idle_timeout=300)
    wait(lambda: not World.nl.dump('bundle-get'), 'all of them end')
    equal(len([e for e in events() if e[1:] == ('expired', 'idle')]), len(sets), 'events')


# --- Which set a message came over

def marks(s, data=SIP):
    """The mark of a datagram that comes over this set."""
    sock = P.at(s['address'], s['port-ps'])
    sock.setsockopt(socket.SOL_SOCKET, SO_RCVMARK, 1)
    World.wire.send(s.esp(UDP, data))
    wait(lambda: World.p and select_readable(sock), 'it arrives')
    _, anc, _, _ = sock.recvmsg(4096, 64)
    return [struct.unpack('I', d)[0] for level, kind, d in anc if (level, kind) == (socket.SOL_SOCKET, SO_MARK)]


def select_readable(sock):
    import select  # pylint: disable=import-outside-toplevel
    return select.select([sock], [], [], 0)[0]


@test('E7', 'a datagram has the mark of its set, {}', each=ADDRESSES)
def datagram_marks(fam):
    p, u = ADDRESSES[fam]
    ep = endpoint(p)
    a = Set(ep).confirm()
    b = Set(ep, port_uc=PORT_UC + 1).confirm(over=a.id)
    c = Set(ep, owner=OTHER, port_uc=9000, port_us=9001)
    seen = [marks(s) for s in (a, b, c)]
    equal(seen, [[s['mark']] for s in (a, b, c)], 'marks')
    equal([s['mark'] >> 2 for s in (a, b, c)], [s['registration'] for s in (a, b, c)], 'registrations')
    equal(a['registration'], b['registration'], 'one registration')
    equal(len({s['mark'] for s in (a, b, c)}), 3, 'marks')
    check(u, 'an address')


@test('E7', 'an accepted TCP connection has the mark of its SYN')
def connection_mark():
    ep = endpoint(P4)
    b = bundle(ep)
    with World.p.sysctl(ipv4__tcp_fwmark_accept=1), Phone(b) as phone:
        _, server = phone.connect('spi-ps')
        equal(server.getsockopt(socket.SOL_SOCKET, SO_MARK), b['mark'], 'mark')


@test('E7', 'marks stay within mark-mask, {}', each=('0xff000000', '0x7c', '0x7', '0'))
def masks(mask):
    World.nl.do('config-set', mark_mask=int(mask, 0))
    ep = endpoint(P4)
    b = Set(ep)
    if not int(mask, 0):
        check('mark' not in b.b, 'it has a mark')
        equal(marks(b), [0], 'marks')
        return
    equal(b['mark'] & ~int(mask, 0), 0, 'bits outside')
    check(b['mark'], 'mark is 0')
    equal(marks(b), [b['mark']], 'marks')


@test('E7', 'no more registrations than marks can tell apart')
def marks_used_up():
    World.nl.do('config-set', mark_mask=0x1c)
    ep = endpoint(P4)
    Set(ep)
    states = World.p.count()
    expect_error('ENOSPC', Set, ep, owner=OTHER, port_uc=9000, port_us=9001, text='mark')
    equal(World.p.count(), states, 'SAs')
    expect_error('EBUSY', World.nl.do, 'config-set', mark_mask=0xff, text='mark_mask')
    World.nl.do('config-set', mark_mask=0x1c)
    for mask in (0x5, 0x3, 0x80000001, 0x101):
        expect_error('EINVAL', World.nl.do, 'config-set', mark_mask=mask, text='mark_mask')


REGISTER = b'REGISTER sip:example SIP/2.0\r\n\r\n'


@test('D7a', 'with one client port, what has the mark of the set that a request came over leaves over that, {}', each=ADDRESSES)
def answered_by_mark(fam):
    ep = endpoint(ADDRESSES[fam][0], port_pc=[PORT_PC[0]])
    policies = World.p.count('policy')
    old = Set(ep).confirm().use()
    new = Set(ep)
    equal([new[x] for x in ('port-uc', 'port-us', 'port-pc')], [old[x] for x in ('port-uc', 'port-us', 'port-pc')], 'ports')
    # The REGISTER with the response comes over the new one; the answer is a 4xx (E2), or the 200 OK
    new.deliver(REGISTER)
    for state in ('temporary', 'established'):
        equal(new.state(), state, 'state of the new one')
        for mark, over in ((new['mark'], new), (old['mark'], old), (0, old)):
            equal((sent(new, False, mark), sent(new, True, mark)), (over['spi-uc'], over['spi-us']), f'SPIs, mark {mark}')
        if state == 'temporary':
            new.confirm(over=old.id)
    # It has taken the new one into use: whatever the mark, the old one's outbound SAs have gone
    new.use()
    for mark in (new['mark'], old['mark'], 0):
        equal((sent(new, False, mark), sent(new, True, mark)), (new['spi-uc'], new['spi-us']), f'SPIs, mark {mark}')
    equal(World.p.count('policy'), policies, 'policies')
    # and the next one, which is deleted before its turn, as on a wrong response
    third = Set(ep)
    equal(sent(third, True, third['mark']), third['spi-us'], 'SPI of what has the mark of the third')
    World.nl.do('bundle-del', id=third.id)
    equal(sent(third, True, third['mark']), new['spi-us'], 'SPI when it has gone')
    equal(World.p.count('policy'), policies, 'policies when it has gone')
    stats = World.nl.do('endpoint-get', id=ep['id'])
    equal({k: v for k, v in stats.items() if k.startswith('drop-') and v}, {}, 'what the guard has dropped')


@test('D7a', 'with one client port, a UE that takes only the new set hears the 200 OK to its re-authentication, {}', each=ADDRESSES)
def answered_to_phone(fam):
    ep = endpoint(ADDRESSES[fam][0], port_pc=[PORT_PC[0]])
    old = Set(ep, enc_alg='aes-cbc').confirm()
    new = Set(ep, enc_alg='aes-cbc')
    with Phone(new.b) as phone:
        phone.ps.setsockopt(socket.SOL_SOCKET, SO_RCVMARK, 1)
        phone.uc.sendto(REGISTER, (new['address'], new['port-ps']))
        wait(lambda: select_readable(phone.ps), 'the REGISTER arrives')
        _, anc, _, _ = phone.ps.recvmsg(4096, 64)
        mark, = [struct.unpack('I', d)[0] for level, kind, d in anc if (level, kind) == (socket.SOL_SOCKET, SO_MARK)]
        new.confirm(over=old.id)
        # To port_us, and to the port that a UE with one socket has
        for ours, port, theirs in ((phone.pc, 'port-us', phone.us), (phone.ps, 'port-uc', phone.uc)):
            send_marked(ours, b'SIP/2.0 200 OK\r\n\r\n', (new['ue-address'], new[port]), mark)
            equal(receive(theirs), b'SIP/2.0 200 OK\r\n\r\n', f'answer at {port}')
        equal(old.state(), 'established', 'the old one, which is still sent over')


@test('D7a', 'with the same ports, a connection that the UE opens over the new set is answered over that, by its mark, {}',
      each=ADDRESSES)
def connection_by_mark(fam):
    ep = endpoint(ADDRESSES[fam][0], port_pc=[PORT_PC[0]])
    old = Set(ep, enc_alg='aes-cbc').confirm()
    new = Set(ep, enc_alg='aes-cbc')
    with World.p.sysctl(ipv4__tcp_fwmark_accept=1), Phone(new.b) as phone:
        ends = phone.connect('spi-ps')
        phone.talk(ends, b'more than line ends, but no SIP')
        equal((old.state(), new.state()), ('established', 'temporary'), 'states')
        phone.hang_up(ends)


@test('D7a', 'with one client port and without marks, the new set waits for its turn')
def no_marks():
    World.nl.do('config-set', mark_mask=0)
    ep = endpoint(P4, port_pc=[PORT_PC[0]])
    old = Set(ep).confirm().use()
    new = Set(ep).confirm(over=old.id)
    sent_over(new, old)
    new.use()
    sent_over(new)


# --- Connections

@test('F6', 'TCP connections over a set end with it, both ends know, {}', each=ADDRESSES)
def connections_end(fam):
    p, u = ADDRESSES[fam]
    ep = endpoint(p)
    b, other = bundle(ep, ue_address=u), Set(ep, owner=OTHER, port_uc=9000, port_us=9001)
    with Phone(b) as phone:
        pairs = [phone.connect('spi-ps'), phone.connect('spi-us')]
        for ends in pairs:
            phone.talk(ends)
        World.nl.do('bundle-del', id=b['id'])
        for s in itertools.chain(*pairs):
            try:
                data = receive(s)
            except ConnectionError:
                continue
            equal(data, b'', 'received')
    equal(other.state(), 'temporary', 'the other one')
    check('ESTAB' not in World.p.run('ss -tnH'), 'a connection is left')


def is_open(phone):
    """A connection of either way"""
    for name in ('spi-ps', 'spi-us'):
        yield phone.connect(name)


def half_closed(phone, end):
    """One end has said all that it has to say, in either way"""
    for ends in is_open(phone):
        by_ue = sorted(ends, key=lambda s: s.getsockname()[0] == phone.b['ue-address'])
        by_ue[end].shutdown(socket.SHUT_WR)
        equal(receive(by_ue[1 - end]), b'', 'end of file')
        yield ends


def closed(phone):
    """P has closed them, and the UE, which has lost its SAs, does not answer"""
    servers = [s for ends in is_open(phone) for s in ends if s.getsockname()[0] != phone.b['ue-address']]
    World.phones.flush_states()
    for s in servers:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 0, 0))
        s.close()
    equal(World.p.run('ss -tanH').count('FIN-WAIT-1'), 2, 'connections that are being closed')
    yield []


def unaccepted(phone):
    """The SIP server has not accepted it yet"""
    b = phone.b
    listener, s = World.p.tcp(b['address'], b['port-ps'], True), World.u.tcp(b['ue-address'], b['port-uc'])
    phone.closed += [listener, s]
    s.connect_ex((b['address'], b['port-ps']))
    wait(lambda: 'ESTAB' in World.p.run('ss -tnH'), 'a connection')
    yield [s]


def not_answered(phone):
    """The UE, which has lost its SAs, answers neither a SYN nor a SYN-ACK"""
    b = phone.b
    listener, s = World.p.tcp(b['address'], b['port-ps'], True), World.p.tcp(b['address'], b['port-pc'])
    phone.closed += [listener, s]
    ue = World.u.tcp(b['ue-address'], b['port-uc'])
    ue.connect_ex((b['address'], b['port-ps']))
    World.phones.flush_states()
    s.connect_ex((b['ue-address'], b['port-us']))
    ue.close()
    wait(lambda: 'SYN-SENT' in World.p.run('ss -tanH'), 'a SYN')
    yield []


def mapped(phone):
    """The SIP server's socket is of IPv6, and takes IPv4 as well"""
    b = phone.b
    listener, s = World.p.socket(socket.AF_INET6, socket.SOCK_STREAM), World.u.tcp(b['ue-address'], b['port-uc'])
    phone.closed += [listener, s]
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(('::', b['port-ps']))
    listener.listen()
    listener.settimeout(20)
    s.connect_ex((b['address'], b['port-ps']))
    server = listener.accept()[0]
    phone.closed.append(server)
    yield [s, server]


STATES = {'that are open': is_open, 'that the UE has half closed': lambda phone: half_closed(phone, 1),
          'that P has half closed': lambda phone: half_closed(phone, 0), 'that P has closed': closed,
          'that are not accepted yet': unaccepted, 'that are not answered': not_answered}
CASES = tuple((s, f) for s in STATES for f in ADDRESSES) + (('of a socket that takes both families', 'IPv4'),)


@test('F6', 'connections {} end at once, and who is there is told', each=CASES)
def in_each_state(case):
    state, fam = case
    p, u = ADDRESSES[fam]
    b = bundle(endpoint(p), ue_address=u)
    with Phone(b) as phone:
        socks = list(itertools.chain(*STATES.get(state, mapped)(phone)))
        World.wire.seen()
        World.nl.do('bundle-del', id=b['id'])
        left = [x for x in World.p.run('ss -tanH').splitlines() if not x.startswith('LISTEN')]
        equal(left, [], 'connections of P')
        for s in socks:
            wait(lambda s=s: s.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR), f'an error of {s.getsockname()}')


@contextlib.contextmanager
def vrf():
    """p0 is in a VRF, which takes away what it had of IPv6."""
    again = [f'addr replace {P6}/64 dev p0 nodad']
    again += [f'neigh replace {u} lladdr 02:00:00:00:00:02 dev p0 nud permanent' for u in (U4, U6)]
    try:
        World.p.ip('link add vrf0 type vrf table 10', 'link set vrf0 up', 'link set p0 master vrf0', *again)
        wait_up((World.p, 'p0'), (World.u, 'u0'))
        yield 'vrf0'
    finally:
        World.p.ip('link set p0 nomaster', 'link del vrf0', *again)
        wait_up((World.p, 'p0'), (World.u, 'u0'))


@test('F6', 'connections of sockets that are bound to {} end with the set, too',
      each=tuple((d, f) for d in ('a device', 'a VRF') for f in ADDRESSES))
def bound(case):
    where, fam = case
    p, u = ADDRESSES[fam]
    with vrf() if where == 'a VRF' else contextlib.nullcontext('p0') as device:
        # They are in clear, which is as good here
        ep, socks = endpoint(p, guard='bypass'), []
        for server, addr, port, client, caddr, cport in ((World.p, p, PORT_PS, World.u, u, PORT_UC),
                                                         (World.u, u, PORT_US, World.p, p, PORT_PC[0])):
            ends = []
            for ns, a, n in ((server, addr, port), (client, caddr, cport)):
                s = ns.socket(family(a), socket.SOCK_STREAM)
                s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 1, 0))
                if ns is World.p:
                    s.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, device.encode())
                s.bind((a, n))
                ends.append(s)
            ends[0].listen()
            ends[1].settimeout(20)
            ends[1].connect((addr, port))
            socks += [*ends, ends[0].accept()[0]]
        equal(World.p.run('ss -tnH').count('ESTAB'), 2, 'connections')
        b = bundle(ep, ue_address=u, port_pc=PORT_PC[0])
        equal(World.p.run('ss -tnH').count('ESTAB'), 2, 'connections with a set')
        World.nl.do('bundle-del', id=b['id'])
        check('ESTAB' not in World.p.run('ss -tnH'), 'a connection is left')
        for s in socks:
            s.close()


@test('F6', 'TIME_WAIT does not stand in the way of the next set')
def time_wait():
    ep = endpoint(P4, port_pc=[PORT_PC[0]])
    for n in range(3):
        b = bundle(ep, spi_uc=next(spis), spi_us=next(spis))
        with Phone(b) as phone:
            client, server = phone.connect('spi-us')
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 0, 0))
            client.shutdown(socket.SHUT_WR)
            equal(receive(server), b'', 'end of file')
            server.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 0, 0))
            server.close()
            wait(lambda: 'TIME-WAIT' in World.p.run('ss -tanH'), 'TIME_WAIT')
            World.nl.do('bundle-del', id=b['id'])
            check('TIME-WAIT' not in World.p.run('ss -tanH'), f'TIME_WAIT is left, round {n}')


@test('F6', 'a connection goes on over the next set where the ports are the same')
def connection_stays():
    ep = endpoint(P4, port_pc=[PORT_PC[0]])
    old = bundle(ep)
    World.nl.do('bundle-confirm', id=old['id'], lifetime=LONG)
    with Phone(old) as phone:
        ends = phone.connect('spi-ps')
        phone.talk(ends)
        new = bundle(ep, spi_uc=next(spis), spi_us=next(spis))
        World.nl.do('bundle-confirm', id=new['id'], lifetime=LONG, older='drop')
        check(gone(World.nl, old['id']), 'the old one is there')
        World.phones.flush_states()
        World.phones.flush_policies()
        with Phone(new) as again:
            again.talk(ends, b'after')


@test('CONFIRM D6 D7', 'what bundle-new was told of the REGISTER is what the 200 OK does, by the id and the lifetime alone: {}', each=(
    'in clear', 'over another than is sent over', 'over one that has gone', 'the 200 OK says something else'))
def told_before(case):
    ep = endpoint()
    s = Set(ep).confirm().use()
    t = Set(ep).confirm()
    if case == 'in clear':
        x = Set(ep, began_clear=True).confirm()
        check(gone(World.nl, s.id) and gone(World.nl, t.id), 'the older ones are still there')
        equal(x.state(), 'active', 'its state')
        sent_over(x)
        return
    x = Set(ep, over=t.id)
    if case == 'over one that has gone':
        World.nl.do('bundle-del', id=t.id)
        x.confirm()
    elif case == 'the 200 OK says something else':
        x.confirm(over=s.id)
        gone_for(t, 'newer')
    else:
        x.confirm()
        gone_for(s, 'newer')
        s = t
    equal((x.state(), s.state() in ('active', 'established')), ('established', True), 'states')
    equal(tx(id=x.id)['id'], s.id, 'what is sent over')


# ---- Which set a message came over, and which to send over, asked of the kernel ----

def find(**by):
    return World.nl.do('bundle-find', {k.replace('_', '-'): v for k, v in by.items()})


def tx(**by):
    return World.nl.do('bundle-tx', {k.replace('_', '-'): v for k, v in by.items()})


def ends(s, client=False):
    ours, theirs = ('port-pc', 'port-us') if client else ('port-ps', 'port-uc')
    return {'address': s['address'], 'local_port': s[ours], 'ue_address': s['ue-address'], 'ue_port': s[theirs]}


def found_by(s, *ways):
    """What tells of this set alone."""
    for by in ({'spi': s['spi-ps']}, {'spi': s['spi-pc']}, {'mark': s['mark'] | 0xff000000}, *ways):
        equal(find(**by)['id'], s.id, f'the set, found by {by}')


def to_send_over(s, wanted):
    """Whatever tells of the registration"""
    for by in ({'id': s.id}, {'owner': s['owner'], 'contact': s['contact']},
               *({'ue_address': s['ue-address'], 'ue_port': s[port], **there}
                 for port in ('port-uc', 'port-us') for there in ({}, {'address': s['address']}))):
        if wanted:
            equal(tx(**by)['id'], wanted.id, f'to send over, by {by}')
        else:
            expect_error('ENOENT', tx, **by)


@test('FIND', 'through a re-authentication: the set of each message, and the one to send over, {}', each=ADDRESSES)
def find_sets(fam):
    p, u = ADDRESSES[fam]
    ep = endpoint(p)
    s = Set(ep, ue_address=u)
    found_by(s, ends(s), ends(s, True))
    to_send_over(s, None)
    s.confirm()
    to_send_over(s, s)
    s.use()
    t = Set(ep, ue_address=u)
    check(t['port-pc'] != s['port-pc'], 'another client port')
    # They have port_ps and port_uc both: what has come so far came over the first
    found_by(t, ends(t, True))
    found_by(s, ends(s), ends(s, True))
    t.confirm(older='keep', over=s.id)
    found_by(s, ends(s), ends(s, True))
    to_send_over(t, s)
    t.use()
    found_by(t, ends(t), ends(t, True))
    found_by(s, ends(s, True))
    to_send_over(s, t)
    equal(find(**ends(t))['state'], 'active', 'its state')
    check('rx-packets' not in find(**ends(t)), 'counters, which nobody asked for')
    World.nl.do('bundle-del', id=t.id, linger=60000)
    to_send_over(t, None)
    found_by(t, ends(t))
    for way in (ends(s), ends(s, True)):
        for name, other in (('address', u), ('ue_address', p), ('local_port', 9), ('ue_port', 9)):
            expect_error('ENOENT', find, **{**way, name: other})
    World.nl.do('bundle-flush')
    for by in (ends(s), {'spi': s['spi-ps']}, {'mark': s['mark']}):
        expect_error('ENOENT', find, **by)


@test('FIND', "a set of another owner's that has proved nothing is not in the way, {}", each=ADDRESSES)
def find_proven(fam):
    p, u = ADDRESSES[fam]
    ep = endpoint(p, port_pc=PORT_PC[0])
    s = Set(ep, ue_address=u)
    other = Set(ep, ue_address=u, owner=OTHER)
    for client in (False, True):
        expect_error('ENOTUNIQ', find, **ends(s, client))
    s.deliver()
    for x, packets in ((s, 1), (other, 0)):
        equal(find(spi=x['spi-ps'])['rx-packets'], packets, 'packets over a set that waits for its 200 OK')
    found_by(s, ends(s), ends(s, True))
    found_by(other)
    check('tcp-only' not in find(**ends(s)), 'nobody else has them')
    s.confirm()
    to_send_over(s, s)


def tunnels(ep, fam, n):
    """So many UEs that have one address and the same ports within."""
    within, outer = {'IPv4': ('10.9.9.9', '198.51.100.%d'), 'IPv6': ('fd00::9', '2001:db8:99::%d')}[fam]
    return [Set(ep, ue_address=within, owner=b'%d' % i, mode='udp-enc-tun', ue_nat_address=outer % (1 + i)) for i in range(n)]


@test('FIND G6', 'several UEs with one address and the same ports behind NATs: TCP is one\'s, and who has sent a datagram is '
      'not guessed, {}', each=ADDRESSES)
def find_natted(fam):
    p, _ = ADDRESSES[fam]
    ep = endpoint(p, nat_traversal=1, port_pc=PORT_PC[0])
    # More than are looked at
    sets = tunnels(ep, fam, 70)
    s, t = sets[:2]
    expect_error('ENOTUNIQ', find, **ends(s))
    s.confirm()
    for x in sets[3:]:
        World.nl.do('bundle-del', id=x.id)
    for client in (False, True):
        got = find(**ends(s, client))
        equal((got['id'], 'tcp-only' in got), (s.id, False), 'nothing has come over the others')
    t.confirm()
    for client in (False, True):
        got = find(**ends(s, client))
        equal((got['id'], 'tcp-only' in got), (s.id, True), 'whose TCP it is, and there is another one')
    for x in sets[:3]:
        found_by(x)
        expect_error('ENOTUNIQ', tx, ue_address=x['ue-address'], ue_port=x['port-us'])
    equal(tx(id=t.id)['id'], t.id, 'to send over to the other one')
    World.nl.do('bundle-del', id=s.id)
    got = find(**ends(t))
    equal((got['id'], 'tcp-only' in got), (t.id, False), 'the one that is left')
    to_send_over(t, t)


@test('FIND', "of a registration's sets that the UE has not used yet the older is sent over")
def unused():
    ep = endpoint()
    sets = []
    for n in range(2):
        b = bundle(ep, port_uc=PORT_UC + n, port_us=PORT_US + n, spi_uc=SPI_UC + n, spi_us=SPI_US + 2 + n)
        World.nl.do('bundle-confirm', id=b['id'], lifetime=600000, older='keep')
        sets.append(b['id'])
    equal({b['id']: b['state'] for b in World.nl.dump('bundle-get')}, {n: 'established' for n in sets}, 'sets')
    for n in sets:
        equal(World.nl.do('bundle-tx', id=n)['id'], sets[0], 'sent over')


@test('FIND', 'what is asked for is one thing')
def find_one_thing():
    s = Set(endpoint()).confirm()
    expect_error('EINVAL', find, spi=s['spi-ps'], mark=s['mark'], text='has no meaning here')
    expect_error('EINVAL', find, **ends(s), spi=s['spi-ps'], text='has no meaning here')
    expect_error('EINVAL', find, **ends(s), mark=s['mark'], text='has no meaning here')
    for missing in ends(s):
        expect_error('EINVAL', find, **{k: v for k, v in ends(s).items() if k != missing}, text='mandatory')
    expect_error('EINVAL', tx, id=s.id, owner=s['owner'], text='has no meaning here')
    expect_error('EINVAL', tx, owner=s['owner'], text='mandatory')
    expect_error('EINVAL', tx, contact=s['contact'], text='has no meaning here')
    expect_error('EINVAL', tx, ue_address=s['ue-address'], text='mandatory')
    expect_error('EINVAL', tx, owner=s['owner'], contact=s['contact'], ue_port=5, text='has no meaning here')


if __name__ == '__main__':
    main(setup, before_each, teardown)
