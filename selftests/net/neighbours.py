#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only
"""Others on the host: XFRM's tables are everybody's.

What an IKE daemon or an operator does to all SAs and policies leaves ours alone, or ours
come back, or the whole set ends; and nothing that we do is done to theirs.

Others are `ip` and PF_KEY where what an operator has is the point, and netlink by hand where
it is what the kernel does: starting `ip` takes long where one is emulated.
"""
import collections
import contextlib
import difflib
import itertools
import os
import re
import socket
import struct
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '../lib'))
from ims import *  # noqa: E402,F403  pylint: disable=wildcard-import,unused-wildcard-import,wrong-import-position
from natted import *  # noqa: E402,F403  pylint: disable=wildcard-import,unused-wildcard-import,wrong-import-position
# pylint: disable=wrong-import-position
from nic import GCM_PAIRS, Sim, account, offloading  # noqa: E402
from nl import (NETLINK_ADD_MEMBERSHIP, NETLINK_XFRM, SOL_NETLINK, XFRM_MSG_FLUSHSA, Netlink, address, nla, parse)  # noqa: E402
from protected import ByHand  # noqa: E402
from rounds import Rounds  # noqa: E402

WAYS = ('spi-ps', 'spi-uc', 'spi-us', 'spi-pc')
AF_KEY, PF_KEY_V2, SADB_DELETE, SADB_FLUSH, SADB_X_SPDFLUSH = 15, 2, 4, 9, 19
XFRM_MSG_NEWSA, XFRM_MSG_DELSA, XFRM_MSG_ALLOCSPI, XFRM_MSG_ACQUIRE, XFRM_MSG_EXPIRE = 16, 17, 22, 23, 24
XFRM_MSG_UPDSA, XFRM_MSG_NEWAE, XFRM_MSG_MIGRATE, XFRM_MSG_SETDEFAULT = 26, 30, 33, 39
XFRMA_ALGS, XFRMA_ENCAP, XFRMA_TMPL, XFRMA_LTIME_VAL, XFRMA_MIGRATE, XFRMA_MARK = (2, 18, 20), 4, 5, 9, 17, 21
# What counts: XFRMA_REPLAY_VAL, XFRMA_LASTUSED; of XFRMA_REPLAY_ESN_VAL the length and the window do not. XFRMA_PAD is
# where the message happens to need it
XFRMA_COUNTERS, XFRMA_PAD, XFRMA_REPLAY_ESN_VAL = (10, 15), 27, 23
XFRMNLGRP_ACQUIRE, NLM_F_REPLACE = 1, 0x100
BLOCK, ACCEPT = 1, 2


def attempt(f, *args):
    with contextlib.suppress(OSError):
        f(*args)


# --- What is there, as XFRM dumps it

def zeroed(data, *spans):
    """Without what is there from one place to another."""
    for a, z in spans:
        data = data[:a] + bytes(z - a) + data[z:]
    return data


class Sa:
    """An SA: struct xfrm_usersa_info, and attributes."""

    def __init__(self, dumped):
        self.info, self.attrs = dumped[:224], dict(parse(dumped[224:]))
        self.family, = struct.unpack_from('=H', self.info, 212)
        self.spi, = struct.unpack_from('>I', self.info, 72)
        self.reqid, = struct.unpack_from('=I', self.info, 208)
        self.mode = self.info[214]
        self.dst, self.src = (self.text(at) for at in (56, 80))

    def text(self, at):
        size = 16 if self.family == socket.AF_INET6 else 4
        return socket.inet_ntop(self.family, self.info[at:at + size])

    def some(self, *numbers):
        """Some of the attributes, as a request has them."""
        return b''.join(nla(n, self.attrs[n]) for n in numbers if n in self.attrs)

    def lines(self):
        """All but what counts: bytes, packets, when first and last used, errors, sequence numbers."""
        yield f'{self.src} to {self.dst}, SPI {self.spi}: {zeroed(self.info, (160, 176), (184, 204)).hex()}'
        for n, data in sorted(self.attrs.items()):
            if n == XFRMA_REPLAY_ESN_VAL:
                yield f'    {n}: {(data[:4] + data[20:24]).hex()}'
            elif n not in (*XFRMA_COUNTERS, XFRMA_PAD):
                yield f'    {n}: {data.hex()}'


class Policy:
    """A policy: struct xfrm_userpolicy_info, and attributes."""

    def __init__(self, dumped):
        self.info, self.attrs = dumped[:168], dict(parse(dumped[168:]))
        self.selector, self.direction = self.info[:56], self.info[160]
        # Of its first template
        self.reqid, = struct.unpack_from('=I', self.attrs[XFRMA_TMPL], 44)

    def lines(self, *but):
        """All but what counts; and, where it may have been put back, its index and when that was."""
        yield f'policy {zeroed(self.info, (120, 136), (144, 152), *but).hex()}'
        yield from (f'    {n}: {data.hex()}' for n, data in sorted(self.attrs.items()) if n != XFRMA_PAD)


def dump():
    """P's SAs."""
    return [Sa(x) for x in World.xfrm.states()]


def sas(which=None):
    return sorted('\n'.join(x.lines()) for x in dump() if not which or which(x))


def policies(*but, which=None):
    return sorted('\n'.join(x.lines(*but)) for x in map(Policy, World.xfrm.policies()) if not which or which(x))


def policies_alike():
    return policies((136, 144), (156, 160))


def same(got, was, text):
    """Two that these gave, in all lines."""
    lines = difflib.unified_diff('\n'.join(was).splitlines(), '\n'.join(got).splitlines(), 'as it was', 'as it is', lineterm='')
    check(got == was, f'{text} changed something:\n' + '\n'.join(lines))


def back(was):
    """All policies are there again, as they were but for when."""
    try:
        wait(lambda: policies_alike() == was, 'the policies come back', 10)
    except Fail:
        same(policies_alike(), was, 'that')


def clear():
    """What P has said in clear since last asked."""
    return [s for s in World.wire.seen() if not s.sent and s.proto != ESP and not quiet(s)]


# --- What they do

class PfKey:
    """PF_KEY, where the kernel has it; who listens is told of every SA, so it is unloaded after."""

    def __enter__(self):
        self.loaded = not os.path.exists('/proc/net/pfkey')
        if self.loaded and subprocess.run(['modprobe', 'af_key'], stderr=subprocess.DEVNULL, check=False).returncode:
            raise Skip('this kernel has no PF_KEY')
        try:
            self.sock = World.p.socket(AF_KEY, socket.SOCK_RAW, PF_KEY_V2)
        except OSError as e:
            raise Skip(f'this kernel has no PF_KEY: {e}') from None
        self.sock.settimeout(20)
        self.seq = 0
        return self

    def __exit__(self, *_):
        self.sock.close()
        if self.loaded:
            wait(lambda: not subprocess.run(['rmmod', 'af_key'], stderr=subprocess.DEVNULL, check=False).returncode,
                 'af_key is unloaded')

    def ask(self, kind, satype=0, more=b''):
        """A request; the errno that its answer has."""
        self.seq += 1
        self.sock.send(struct.pack('=BBBBHHII', PF_KEY_V2, kind, 0, satype, 2 + len(more) // 8, 0, self.seq, os.getpid()) + more)
        while True:
            data = self.sock.recv(1 << 16)
            _, got, error, _, _, _, seq, pid = struct.unpack_from('=BBBBHHII', data)
            if (got, seq, pid) == (kind, self.seq, os.getpid()):
                return error

    @staticmethod
    def address(number, addr):
        if ':' in addr:
            data = struct.pack('=HHI16sI', socket.AF_INET6, 0, 0, address(addr), 0) + bytes(4)
        else:
            data = struct.pack('=HH4s8x', socket.AF_INET, 0, address(addr))
        return struct.pack('=HHBBH', 1 + len(data) // 8, number, 0, 8 * len(address(addr)), 0) + data

    def delete(self, s):
        return self.ask(SADB_DELETE, 3, struct.pack('=HH', 2, 1) + struct.pack('>I', s.spi) + bytes(8) +
                        self.address(5, s.src) + self.address(6, s.dst))


def whom(s):
    """struct xfrm_usersa_id of an SA."""
    return s.info[56:76] + struct.pack('=HBx', s.family, ESP)


def anew(s):
    """What would be put in the place of an SA: for other policies, without a window, at its end with the next packet."""
    info = bytearray(s.info)
    info[120:128] = struct.pack('=Q', 1)
    info[208:212] = struct.pack('=I', 77)
    info[215:217] = bytes(2)
    return bytes(info) + s.some(*XFRMA_ALGS, XFRMA_ENCAP, XFRMA_MARK)


def refused(kind, payload, error):
    try:
        World.xfrm.request(kind, payload)
    except NlError as e:
        equal(e.name, error, 'errno')
        return
    raise Fail('it was not refused')


def by_hand(ours):
    """What is done to the SAs: what it is, how, and what comes of it."""
    yield 'state flush', World.xfrm.flush_states, ()
    yield 'state flush proto esp', World.xfrm.request, (XFRM_MSG_FLUSHSA, bytes([ESP]))
    for s in ours:
        def one(s=s):
            refused(XFRM_MSG_DELSA, whom(s) + s.some(XFRMA_MARK), 'EPERM')
            refused(XFRM_MSG_UPDSA, anew(s), 'EEXIST')
            refused(XFRM_MSG_NEWSA, anew(s), 'EEXIST')
        yield f'state delete, update and add, SPI {s.spi}', one, ()


def by_ip(s):
    """As an operator does, to all SAs and to one."""
    def ip_xfrm(command, *expected):
        done = World.p.run(f'timeout 20 ip xfrm {command}', ok=False)
        # The one without a word of its own has nothing to say where all went well
        check(any(e in done for e in expected) if expected else not done, f'ip xfrm {command}: {done!r}')
    which = f'src {s.src} dst {s.dst} proto esp spi {s.spi}'
    key = f'reqid 77 mode transport auth-trunc hmac(md5) 0x{bytes(16).hex()} 96 enc ecb(cipher_null) "" limit packet-hard 1'
    # EPERM, in the words of ip or of newer kernels
    eperm = ('not permitted', 'in use by tunnels')
    for command, *expected in (('state flush',), ('state flush proto esp',), ('state deleteall', *eperm),
                               (f'state delete {which}', *eperm), (f'state update {which} {key}', 'File exists'),
                               (f'state add {which} {key}', 'File exists')):
        yield 'ip xfrm ' + command, ip_xfrm, (command, *expected)


def withstand(rounds, was, *more):
    """All of it, and after each the SAs are as they were and messages go on."""
    ours = dump()
    equal(len(ours), 4, 'SAs')
    n = 0
    for what, f, args in (*by_hand(ours), *(by_ip(ours[0]) if more else ())):
        f(*args)
        same(sas(), was, what)
        rounds.more(1)
        n += 1
    equal(n, 2 + 4 + (6 if more else 0), 'things done')


@contextlib.contextmanager
def nothing_lost():
    """Meanwhile XFRM drops nothing, neither here nor at the UE, and there are no events."""
    stats = [ns.xfrm_stat() for ns in (World.p, World.u)]
    World.events.drain()
    yield
    for ns, was in zip((World.p, World.u), stats):
        equal(ns.xfrm_stat(), was, f'xfrm_stat in {ns.name}')
    equal(World.events.drain(), [], 'events')


@test('B3 NEIGHBOUR', 'SAs flushed, deleted, updated and added by others, under UDP and TCP both ways: nothing is lost, {}',
      each=ADDRESSES)
def shielded(fam):
    p, u = ADDRESSES[fam]
    ep = endpoint(p)
    b = bundle(ep, ue_address=u)
    World.nl.do('bundle-confirm', id=b['id'], lifetime=600000)
    with Phone(b) as phone:
        ends = [phone.connect(name) for name in ('spi-ps', 'spi-us')]

        def messages():
            data = b'message %d' % next(serial)
            for name in WAYS:
                phone.deliver(name, data)
            for e in ends:
                phone.talk(e, data)
        messages()
        World.wire.seen()
        was, policies_were = sas(), policies()
        got = World.nl.do('bundle-get', id=b['id'])['rx-packets']
        with nothing_lost(), Rounds(messages) as rounds:
            withstand(rounds, was, *(['as an operator does'] if fam == 'IPv4' else []))
        wire_has([b[k] for k in WAYS])
        same(policies(), policies_were, 'all that')
        check(World.nl.do('bundle-get', id=b['id'])['rx-packets'] >= got + 2 * rounds.done(), 'the bundle counts on')
    World.nl.do('endpoint-del', id=ep['id'], force=True)
    nothing_left()


@test('B3 NEIGHBOUR', 'the same, behind a NAT, {}', each=ADDRESSES)
def shielded_nat(fam):
    nat = Nats.all[0]
    nat.as_new()
    ep = nat_endpoint(fam)
    b = confirm(nat_bundle(ep, enc_alg='aes-cbc', ue_address=INNER[fam], ue_nat_address=nat.outside[fam]))
    with Sip(ep) as sip, TunnelUe(nat.h, b) as ue:
        ue.register(b)
        ue.works(sip, b)
        wait(lambda: get(b)['ue-nat-port'] == NAT_PORT, 'the port is learnt')
        World.wire.seen()
        with nothing_lost(), Rounds(lambda: ue.works(sip, b)) as rounds:
            withstand(rounds, sas())
        no_outer_fragments()
        ue.forget(b)
    World.nl.do('endpoint-del', id=ep['id'], force=True)
    nothing_left()
    nat.as_new()


@test('B3 NEIGHBOUR', 'PF_KEY: flushed and deleted, the SAs stay; its SPDFLUSH, and the policies are back, {}', each=ADDRESSES)
def pf_key(fam):
    p, u = ADDRESSES[fam]
    with PfKey() as key:
        ep = endpoint(p)
        b = bundle(ep, ue_address=u)
        plain = policies_alike()
        with Phone(b) as phone:
            was, ours = sas(), dump()
            def messages():
                for name in WAYS:
                    phone.deliver(name, b'%d' % next(serial))
            with nothing_lost(), Rounds(messages) as rounds:
                for satype in (0, 3):
                    equal(key.ask(SADB_FLUSH, satype), 0, 'SADB_FLUSH')
                    rounds.more(1)
                for s in ours:
                    equal(key.delete(s), 1, 'errno of SADB_DELETE')
                    rounds.more(1)
                same(sas(), was, 'PF_KEY')
            equal(key.ask(SADB_X_SPDFLUSH), 0, 'SADB_X_SPDFLUSH')
            back(plain)
            messages()
            wire_has([b[k] for k in WAYS])
        World.nl.do('endpoint-del', id=ep['id'], force=True)
        nothing_left()


@test('B3 NEIGHBOUR', 'all policies are deleted by others, while some try to get round them: the guard holds, they are back, {}',
      each=ADDRESSES)
def policies_deleted(fam):
    p, u = ADDRESSES[fam]
    ep = endpoint(p)
    b = bundle(ep, ue_address=u)
    was = policies_alike()
    into = [ip(u, p, proto, layer4(u, p, proto, sport, port, b'in')) for proto in (UDP, TCP)
            for sport in (5060, PORT_UC) for port in (PORT_PS, b['port-pc'])]
    with Phone(b) as phone:
        ends = [phone.connect(name) for name in ('spi-ps', 'spi-us')]

        def tries():
            World.wire.send(*into)
            for s, port in ((phone.ps, 9999), (phone.pc, 9999)):
                attempt(s.sendto, b'out', (u, port))
        in_clear = clear()
        for command in ('flush', 'deleteall') if fam == 'IPv4' else (None, None):
            with Rounds(tries) as rounds:
                if command:
                    # It asks for what there is until there is nothing: ours may be back by then
                    done = World.p.run('timeout', '20', 'ip', 'xfrm', 'policy', command, ok=False)
                    equal(done, '', f'ip xfrm policy {command}')
                else:
                    World.xfrm.flush_policies()
                back(was)
                rounds.more(20)
            in_clear += clear()
            for s in (phone.ps, phone.pc):
                equal(pending(s), [], 'delivered')
            for name in WAYS:
                phone.deliver(name, b'after %d' % next(serial))
            for e in ends:
                phone.talk(e)
            in_clear += clear()
        check(not in_clear, f'in clear on the wire: {in_clear[:3]}')
        dropped = World.nl.do('endpoint-get', id=ep['id'])
        check(dropped['drop-plaintext-in'] >= 8 * 2 * 20, f'{dropped}')


# --- What no shield is against

def expire(s):
    """struct xfrm_user_expire: the SA as the dump has it, and "hard"."""
    World.xfrm.request(XFRM_MSG_EXPIRE, s.info + struct.pack('=B7x', 1) + s.some(XFRMA_MARK))


def overdue(s):
    """struct xfrm_aevent_id: more bytes have gone over it than may; the next packet finds out."""
    most = (1 << 64) - 1
    World.xfrm.request(XFRM_MSG_NEWAE, whom(s) + s.info[80:96] + bytes(8) + s.some(XFRMA_MARK) +
                       nla(XFRMA_LTIME_VAL, struct.pack('=4Q', most, most, 0, 0)), NLM_F_REPLACE | 4)


def migrate(s, to):
    """struct xfrm_userpolicy_id and xfrm_user_migrate: an outbound SA goes to another address from now on."""
    pol = next(p for p in map(Policy, World.xfrm.policies()) if p.reqid == s.reqid)
    moved = nla(XFRMA_MIGRATE, s.info[56:72] + s.info[80:96] + address(to).ljust(16, b'\0') + s.info[80:96] +
                struct.pack('=BBHIHH', ESP, s.mode, 0, s.reqid, s.family, s.family))
    # Newer kernels look for the policy of a packet, which has a protocol
    for proto in (0, UDP):
        selector = pol.selector[:44] + bytes([proto]) + pol.selector[45:]
        try:
            return World.xfrm.request(XFRM_MSG_MIGRATE, selector + struct.pack('=IB3x', 0, pol.direction) + moved)
        except NlError as e:
            equal(e.name, 'ENOENT', 'errno')
    raise Fail('no policy to migrate')


def deleted(*bundles, old_state='temporary'):
    """The next events are that these went, because of an SA; no other came."""
    for b in bundles:
        e = World.events.next()
        equal((e['type'], e['reason'], e['old-state'], e['bundle']['id'], e['bundle']['spi-ps']),
              ('deleted', 'sa-gone', old_state, b['id'], b['spi-ps']), 'event')
        check('new-state' not in e and gone(World.nl, b['id']), 'it is still there')
    equal(World.events.drain(), [], 'events')


def come(kind):
    """An event, and all that were before it."""
    while World.events.next()['type'] != kind:
        pass


def one_set():
    """No more SPIs than one takes: all that come have the same, and none comes before they are free."""
    World.nl.do('config-set', min_spi=70000, max_spi=70001, max_bundles=1, max_pending=1)


def by_spi(spi):
    return next(s for s in dump() if s.spi == spi)


@test('B3 NEIGHBOUR', 'an SA that another has expire, any of the four, or all: the set ends at once, its SPIs are free, '
      'the ports are shut, the UE may register again, {}', each=ADDRESSES)
def expired_by_others(fam):
    p, u = ADDRESSES[fam]
    one_set()
    ep = endpoint(p)
    free = World.u.udp(u, 9999)
    for names in (*((name,) for name in WAYS), WAYS):
        b = bundle(ep, ue_address=u)
        World.events.drain()
        with Phone(b) as phone:
            for name in WAYS:
                phone.deliver(name)
            wire_has([b[k] for k in WAYS])
            if len(names) == 1:
                expire(by_spi(b[names[0]]))
            else:
                for s in dump():
                    # The set may have gone by the second
                    attempt(expire, s)
            deleted(b)
            equal(World.xfrm.states(), [], 'SAs')
            def dropped():
                return World.nl.do('endpoint-get', id=ep['id'])['drop-plaintext-in']
            was = dropped()
            for port in (PORT_PS, b['port-pc']):
                World.wire.send(ip(u, p, UDP, layer4(u, p, UDP, PORT_UC, port, b'in')))
            for s, port in ((phone.ps, PORT_UC), (phone.pc, PORT_US), (phone.ps, 9999)):
                attempt(s.sendto, b'out', (u, port))
            wait(lambda: dropped() == was + 2, 'both are dropped')  # pylint: disable=cell-var-from-loop
            equal(pending(phone.ps, phone.pc, phone.uc, phone.us, free), [], 'delivered')
            check(not clear(), 'in clear on the wire')
    free.close()


@test('B3 NEIGHBOUR', 'it is that set which ends: not one of which we have ended SAs ourselves, nor another, {}',
      each=ADDRESSES)
def only_that_set(fam):
    p, u = ADDRESSES[fam]
    ep = endpoint(p, port_pc=PORT_PC[:1])
    more = {'ue_address': u, 'enc_alg': 'null'}
    ps = World.p.udp(p, PORT_PS)

    def in_use(n):
        b = bundle(ep, spi_uc=SPI_UC + n, spi_us=SPI_US + n, **more)
        World.nl.do('bundle-confirm', id=b['id'], lifetime=600000, older='keep')
        World.wire.send(ByHand(b).udp('spi-ps', b'REGISTER'))
        equal(receive(ps), b'REGISTER', 'a message')
        come('activated')
        return b
    old, new = in_use(0), in_use(1)
    # They have one selector: when the newer one is used, the older one's outbound SAs go
    come('superseded')
    equal(len(dump()), 6, 'SAs')
    other = bundle(ep, ue_address=u[:-1] + '9', owner=b'another')
    World.events.drain()
    expire(by_spi(other['spi-ps']))
    deleted(other)
    equal([get(b)['state'] for b in (old, new)], ['old', 'active'], 'states')
    expire(by_spi(old['spi-pc']))
    deleted(old, old_state='old')
    World.wire.send(ByHand(new).udp('spi-ps', b'MESSAGE', seq=2))
    equal(receive(ps), b'MESSAGE', 'a message')
    expire(by_spi(new['spi-us']))
    deleted(new, old_state='active')
    ps.close()
    equal(World.xfrm.states(), [], 'SAs')


@test('B3 NEIGHBOUR', 'an SA of a UE behind a NAT that another has expire, any of the four: the same, {}', each=ADDRESSES)
def expired_nat(fam):
    one_set()
    ep = nat_endpoint(fam)
    with Sip(ep) as sip:
        for name in WAYS:
            b = confirm(nat_bundle(ep, ue_nat_port=61000))
            phone = Handset(b)
            phone.works(sip)
            come('activated')
            expire(by_spi(b[name]))
            deleted(b, old_state='active')
            equal((World.xfrm.states(), len(World.xfrm.policies())), ([], 3), 'SAs, and policies')
            for way in ('spi-uc', 'spi-us'):
                sip.down(b, way, b'out')
            World.wire.send(phone.message())
            sip.passed()
            sip.nothing('after the set has gone')
            equal(phone.sent(), [], 'sent')


@test('B3 NEIGHBOUR', 'an SA on an interface that another has expire, any of the four: none stays there, {}', each=ADDRESSES)
def expired_offloaded(fam):
    p, u = ADDRESSES[fam]
    auth, enc = GCM_PAIRS[0]
    with Sim() as dev:
        ep = offloading(dev, p)
        for name in WAYS:
            b = bundle(ep, ue_address=u, auth_alg=auth, enc_alg=enc)
            dev.has(b)
            World.events.drain()
            expire(by_spi(b[name]))
            deleted(b)
            equal(dev.sas(), {}, 'SAs on the interface')
            account(ep, 0)


@test('B3 NEIGHBOUR', 'SAs that another has expire under traffic, again and again, while sets go by themselves too, {}',
      each=ADDRESSES)
def expired_under_traffic(fam):
    p, u = ADDRESSES[fam]
    one_set()
    ep = endpoint(p)
    socks = [World.p.udp(p, port) for port in (PORT_PS, *PORT_PC)]
    # Those of a phone, whatever becomes of what is sent to it
    phones = [World.u.udp(u, port) for port in (PORT_UC, PORT_US)]
    first = bundle(ep, ue_address=u, enc_alg='null')
    hand, serials = ByHand(first), itertools.count(2)

    def sends():
        n = next(serials)
        World.wire.send(hand.udp('spi-ps', b'in', seq=n), hand.udp('spi-pc', b'in', seq=n))
        for s in socks:
            for port in (PORT_UC, PORT_US):
                attempt(s.sendto, b'out', (u, port))
        pending(*socks, *phones)
    ends = collections.Counter()
    in_clear = []
    with Rounds(sends) as rounds:
        b = first
        for n in range(40):
            s = by_spi(b[WAYS[n % 4]])
            if n % 4 == 3:
                # Whoever comes first
                World.nl.do('bundle-confirm', id=b['id'], lifetime=1)
            attempt(expire, s)
            if n % 4 == 2:
                attempt(World.nl.do, 'bundle-del', {'id': b['id']})
            wait(lambda: gone(World.nl, b['id']), 'it goes')  # pylint: disable=cell-var-from-loop
            equal(World.xfrm.states(), [], 'SAs')
            b = bundle(ep, ue_address=u, enc_alg='null')
            rounds.more(1)
            in_clear += clear()
    for e in World.events.drain():
        if e['type'] in ('deleted', 'expired'):
            ends[e['reason']] += 1
    check(not in_clear, f'in clear on the wire: {in_clear[:3]}')
    say(f'they went: {dict(ends)}')
    equal(sum(ends.values()), 40, 'ends')
    check(ends['sa-gone'] >= 20, f'{ends}')
    for s in (*socks, *phones):
        s.close()
    World.nl.do('endpoint-del', id=ep['id'], force=True)
    nothing_left()


@test('B3 NEIGHBOUR', 'an SA that another gives a lifetime: when it is over, the set ends, {}', each=ADDRESSES)
def lifetime_by_others(fam):
    p, u = ADDRESSES[fam]
    ep = endpoint(p)
    for name in WAYS:
        b = bundle(ep, ue_address=u)
        World.events.drain()
        with Phone(b) as phone:
            phone.deliver(name)
            overdue(by_spi(b[name]))
            attempt(phone.send, name, b'the last')
            deleted(b)
            equal(World.xfrm.states(), [], 'SAs')


@test('B3 NEIGHBOUR', 'an SA that another migrates to another address: the set ends, nothing leaves over what is there now, {}',
      each=ADDRESSES)
def migrated(fam):
    p, u = ADDRESSES[fam]
    ep = endpoint(p)
    b = bundle(ep, ue_address=u)
    World.events.drain()
    to = u[:-1] + '9'
    with Phone(b) as phone:
        phone.deliver('spi-uc')
        World.wire.seen()
        migrate(by_spi(SPI_UC), to)
        deleted(b)
        # What they have put there is theirs, and one of the two
        equal([(s.src, s.dst) for s in dump() if s.dst != u], [(p, to)], 'SAs')
        for s in (phone.ps, phone.pc):
            for a in (u, to):
                for port in (PORT_UC, PORT_US):
                    attempt(s.sendto, b'out', (a, port))
        equal([s for s in World.wire.seen() if not s.sent and not quiet(s)], [], 'sent')
        got = World.nl.do('endpoint-get', id=ep['id'])
        equal((got['drop-no-live-set'], got['drop-cross-pair']), (4, 4), 'dropped, to the UE and where theirs goes')
    b = bundle(ep, ue_address=u)
    with Phone(b) as phone:
        for name in WAYS:
            phone.deliver(name)


@test('B3 NEIGHBOUR', 'an SA of others that our policies would choose is not sent over, {}', each=ADDRESSES)
def with_our_reqid(fam):
    p, u = ADDRESSES[fam]
    ep = endpoint(p)
    b = bundle(ep, ue_address=u[:-1] + '9')
    ps = World.p.udp(p, PORT_PS)
    key = f'auth-trunc hmac(sha1) 0x{"5a" * 20} 96 enc cbc(aes) 0x{"a5" * 16}'
    World.p.ip(f'xfrm state add src {p} dst {u} proto esp spi 0x7000 reqid {by_spi(b["spi-uc"]).reqid} mode transport {key}')
    attempt(ps.sendto, b'out', (u, PORT_UC))
    equal([s for s in World.wire.seen() if not s.sent and not quiet(s)], [], 'sent')
    equal(World.nl.do('endpoint-get', id=ep['id'])['drop-foreign-sa'], 1, 'dropped and counted')
    ps.close()


@test('B3 A11 NEIGHBOUR', "ICMP says that ESP is too large, a stranger's, ours: XFRM hears it, and the MTU is learnt, {}",
      each=ADDRESSES)
def too_large(fam):
    p, u = ADDRESSES[fam]
    # Of their own, for it stays learnt
    theirs, ours = u[:-1] + '7', u[:-1] + '8'
    World.p.ip(f'xfrm state add src {p} dst {theirs} proto esp spi 0x7000 mode transport enc ecb(cipher_null) ""')
    bundle(endpoint(p), ue_address=ours)
    for name, to, spi in (('a stranger', theirs, 0x7000), ('ours', ours, SPI_UC)):
        check('mtu 1280' not in World.p.ip(f'route get {to}'), f'the MTU to {name} before')
        World.wire.send(icmp_error(u, p, 'size', ip(p, to, ESP, struct.pack('>II', spi, 1) + bytes(1300))))
        # pylint: disable-next=cell-var-from-loop
        wait(lambda: 'mtu 1280' in World.p.ip(f'route get {to}'), f'the MTU to {name} is learnt')


@test('B3 NEIGHBOUR', 'what passes by default, and larval SAs with our SPIs, open nothing and leave ours as they are, {}',
      each=ADDRESSES)
def defaults(fam):
    p, u = ADDRESSES[fam]
    ep = endpoint(p)
    b = bundle(ep, ue_address=u)
    with Phone(b) as phone:
        for name in WAYS:
            phone.deliver(name)
        was, policies_were = sas(), policies()
        World.wire.seen()
        for into, out in ((BLOCK, ACCEPT), (ACCEPT, BLOCK), (ACCEPT, ACCEPT)):
            # struct xfrm_userpolicy_default: in, forward, out
            World.xfrm.request(XFRM_MSG_SETDEFAULT, bytes([into, ACCEPT, out]))
            try:
                # What is refused by default is what has no policy: inbound ours have none
                for name in WAYS if into == ACCEPT else ('spi-uc', 'spi-us'):
                    phone.deliver(name)
                wire_has([b[k] for k in (WAYS if into == ACCEPT else ('spi-uc', 'spi-us'))])
                World.wire.send(ip(u, p, UDP, layer4(u, p, UDP, PORT_UC, PORT_PS, b'in')))
                attempt(phone.ps.sendto, b'out', (u, 9999))
            finally:
                World.xfrm.request(XFRM_MSG_SETDEFAULT, bytes([ACCEPT] * 3))
            for name in WAYS:
                phone.deliver(name)
            check(not clear(), 'in clear on the wire')
        for s in dump():
            # struct xfrm_userspi_info: an SA of these addresses, and the range, which is this SPI
            attempt(World.xfrm.request, XFRM_MSG_ALLOCSPI, s.info[:72] + bytes(4) + s.info[76:208] + struct.pack('=I', 77) +
                    s.info[212:] + struct.pack('=2I', s.spi, s.spi))
        same(sas(lambda s: s.reqid != 77), was, 'all that')
        same(policies(), policies_were, 'all that')
        for name in WAYS:
            phone.deliver(name)
        equal(World.events.drain()[1:], [], 'events')


# --- What we do

class Foreign:
    """Tunnel and transport of somebody else's between the two hosts, by hand."""
    ENDS = {'P': '10.88.0.1', 'U': '10.88.0.2'}
    PORT = 4000

    def __init__(self):
        key = f'auth-trunc hmac(sha1) 0x{"5a" * 20} 96 enc cbc(aes) 0x{"a5" * 16}'
        self.socks = []
        commands = {'P': [], 'U': []}
        for me, other, a, z in (('P', 'U', P4, U4), ('U', 'P', U4, P4)):
            commands[me] += [f'addr replace {self.ENDS[me]}/32 dev lo',
                             f'route replace {self.ENDS[other]}/32 via {z} src {self.ENDS[me]}']
            inner = f'src {self.ENDS[me]} dst {self.ENDS[other]}'
            n = 1 if me == 'P' else 2
            for ns, way in ((me, 'out'), (other, 'in')):
                commands[ns] += [
                    f'xfrm state add src {a} dst {z} proto esp spi {0x7000 + n} reqid {7700 + n} mode tunnel {key}',
                    f'xfrm state add src {a} dst {z} proto esp spi {0x7100 + n} reqid {7710 + n} mode transport {key}',
                    f'xfrm policy add {inner} dir {way} tmpl src {a} dst {z} proto esp reqid {7700 + n} mode tunnel',
                    f'xfrm policy add src {a} dst {z} proto udp sport {self.PORT} dport {self.PORT} dir {way} '
                    f'tmpl src {a} dst {z} proto esp reqid {7710 + n} mode transport']
        for ns in (World.p, World.u):
            grow(ns, key)
            ns.ip(*commands[ns.name])

    def __enter__(self):
        self.socks = [(World.p.udp(self.ENDS['P'], 9000), World.u.udp(self.ENDS['U'], 9000), self.ENDS, 9000),
                      (World.p.udp(P4, self.PORT), World.u.udp(U4, self.PORT), {'P': P4, 'U': U4}, self.PORT)]
        return self

    def __exit__(self, *_):
        for a, z, *_ in self.socks:
            a.close()
            z.close()
        for ns, other in (('P', 'U'), ('U', 'P')):
            getattr(World, ns.lower()).ip(f'route del {self.ENDS[other]}/32', f'addr del {self.ENDS[ns]}/32 dev lo')

    def works(self):
        for a, z, addr, port in self.socks:
            data = b'theirs %d' % next(serial)
            a.sendto(data, (addr['U'], port))
            equal(receive(z), data, f'to U, port {port}')
            z.sendto(data, (addr['P'], port))
            equal(receive(a), data, f'to P, port {port}')

    @staticmethod
    def shown():
        """SAs and policies, in P: theirs."""
        def theirs(x):
            return 7700 <= x.reqid < 7720
        out = sas(theirs) + policies(which=theirs)
        equal(len(out), 8, 'SAs and policies of theirs')
        return out


@test('B3 NEIGHBOUR', 'SAs and policies of others between the same hosts are as before, and work, whatever we do')
def others():
    nl = World.nl
    with Foreign() as foreign:
        foreign.works()
        was = foreign.shown()
        with Rounds(foreign.works) as rounds:
            done = []

            def step(what):
                done.append(what)
                rounds.more(1)
                same(foreign.shown(), was, what)
            ep, six = endpoint(nat_traversal=1), endpoint(P6)
            step('endpoints')
            b = bundle(ep)
            nl.do('bundle-confirm', id=b['id'], lifetime=600000)
            step('a bundle')
            # In the end it flushes what U has
            with Phone(b) as phone:
                for name in WAYS:
                    phone.deliver(name)
                phone.talk(phone.connect('spi-ps'))
                phone.talk(phone.connect('spi-us'))
                step('traffic')
                again = bundle(ep, port_uc=PORT_UC + 1, spi_uc=SPI_UC + 1, spi_us=SPI_US + 1)
                nl.do('bundle-confirm', id=again['id'], lifetime=600000)
                step('a second set')
                for fam, e in (('IPv4', ep), ('IPv6', six)):
                    for n in range(3):
                        nl.do('bundle-del', id=bundle(e, contact=b'%d' % n, ue_address=ADDRESSES[fam][1], port_uc=9100 + n,
                                                      port_us=9200 + n, spi_uc=3000 + n, spi_us=3100 + n)['id'])
                step('bundles deleted')
                nat = nat_bundle(ep, ue_nat_address=U4)
                step('one behind a NAT at the same address')
                nl.do('bundle-del', id=nat['id'])
                World.events.drain()
                nl.do('bundle-confirm', id=again['id'], lifetime=1)
                nl.do('bundle-del', id=again['id'], linger=100)
                wait(lambda: gone(nl, again['id']), 'it has gone')
                step('one lingers, and goes')
                World.p.ip(f'xfrm policy delete src {P4} dst 0.0.0.0/0 sport {PORT_PS} dir out')
                wait(lambda: World.p.count('policy') == 2 * 3 + 4, 'our policies')
                step('a policy of ours is put back')
                phone.deliver('spi-uc')
                nl.do('bundle-del', id=b['id'])
                step('the bundle deleted')
                for e in (ep, six):
                    nl.do('endpoint-del', id=e['id'], force=True)
                step('endpoints deleted')
                nothing_left(states=4, policies=4)
                rounds.stop()
        equal(len(done), 10, 'steps')


def listen_acquire(ns):
    """As `ip xfrm monitor acquire` and IKE daemons listen."""
    with ns:
        nl = Netlink(NETLINK_XFRM)
    nl.sock.setsockopt(socket.SOL_SOCKET, 33, 8 << 20)  # SO_RCVBUFFORCE
    nl.sock.setsockopt(SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, XFRMNLGRP_ACQUIRE)
    nl.sock.setblocking(False)
    return nl


def acquires(nl):
    """How many there have been since last asked."""
    n = 0
    with contextlib.suppress(BlockingIOError):
        while True:
            data = nl.sock.recv(1 << 16)
            n += struct.unpack_from('=H', data, 4)[0] == XFRM_MSG_ACQUIRE
    return n


@test('NEIGHBOUR', 'a thousand packets to UEs that have no set, and an IKE daemon hears of each UE once, {}', each=ADDRESSES)
def no_flood(fam):
    p, u = ADDRESSES[fam]
    more = [u[:-1] + str(n) for n in range(3, 6)]
    ep = endpoint(p)
    socks = [World.p.udp(p, port) for port in (PORT_PS, *PORT_PC)]
    listener = listen_acquire(World.p)
    for i in range(1000):
        for s in socks[i % len(socks):][:1]:
            attempt(s.sendto, b'to nobody', (u, PORT_UC + i % 7))
    got = acquires(listener)
    say(f'{got} for a thousand packets, {World.p.count()} larval SAs')
    # One from port_ps, one from the ports of port_pc
    equal(got, 2, 'acquires for a thousand packets to one UE')
    for i in range(300):
        attempt(socks[0].sendto, b'to nobody', (more[i % 3], PORT_UC))
    equal(acquires(listener), 3, 'acquires for packets to three more')
    dropped = World.nl.do('endpoint-get', id=ep['id'])
    equal(dropped['drop-no-live-set'], 1300, 'packets dropped and counted')
    # And the larval one is in nobody's way
    for s in socks:
        s.close()
    b = bundle(ep, ue_address=u)
    with Phone(b) as phone:
        for name in WAYS:
            phone.deliver(name)
    equal(acquires(listener), 0, 'acquires for a UE that has a set')
    listener.close()


# --- What comes and goes

@test('NEIGHBOUR', 'shielded or not, ours go completely: deleted, after a linger, expired, replaced, with their endpoint, {}',
      each=ADDRESSES)
def gone_completely(fam):
    p, u = ADDRESSES[fam]
    nl, ep = World.nl, endpoint(p, nat_traversal=1)
    nat = dict(mode='udp-enc-tun', ue_address=INNER[fam], ue_nat_address=OUTER[fam], ue_nat_port=61000)

    def none(kept):
        wait(lambda: not World.xfrm.states(), 'the SAs go')
        equal(len(World.xfrm.policies()), kept, 'policies')
    for more in ({'ue_address': u}, nat):
        def delete(b):
            nl.do('bundle-del', id=b['id'])

        def linger(b):
            nl.do('bundle-del', id=b['id'], linger=100)

        def run_out(b):
            nl.do('bundle-confirm', id=b['id'], lifetime=100)

        def replace(b):
            new = bundle(ep, replace=True, **more)  # pylint: disable=cell-var-from-loop
            check(gone(nl, b['id']), 'it is still there')
            equal(len(dump()), 4, 'SAs')
            nl.do('bundle-del', id=new['id'])
        for f in (delete, linger, run_out, replace):
            f(bundle(ep, **more))
            none(3)
    for more in ({'ue_address': u}, nat):
        bundle(ep, **more)
        nl.do('endpoint-del', id=ep['id'], force=True)
        none(0)
        ep = endpoint(p, nat_traversal=1)


@test('NEIGHBOUR', 'the address of an endpoint, its link, and its interface go and come back: so does the traffic')
def comes_back():
    a, z = '192.0.3.1', '192.0.3.2'
    macs = {'p9': '02:00:00:00:09:01', 'u9': '02:00:00:00:09:02'}

    def addresses():
        for ns, dev, addr, other, mac in ((World.p, 'p9', a, z, macs['u9']), (World.u, 'u9', z, a, macs['p9'])):
            ns.ip(f'addr replace {addr}/24 dev {dev}', f'link set {dev} up',
                  f'neigh replace {other} lladdr {mac} dev {dev} nud permanent')
        wait_up((World.p, 'p9'), (World.u, 'u9'))

    def interface():
        World.p.ip(f'link add p9 address {macs["p9"]} type veth peer name u9 address {macs["u9"]} netns U')
        addresses()
    interface()
    try:
        b = bundle(endpoint(a), ue_address=z)
        World.nl.do('bundle-confirm', id=b['id'], lifetime=600000)
        was = sas() + policies()
        with Phone(b) as phone:
            ends = [phone.connect(name) for name in ('spi-ps', 'spi-us')]

            def works(text):
                for name in WAYS:
                    phone.deliver(name, b'%s %d' % (text.encode(), next(serial)))
                for e in ends:
                    phone.talk(e)
                same(sas() + policies(), was, text)
            works('before')
            for text, take, give in (
                    ('address', f'addr del {a}/24 dev p9', addresses),
                    ('link', 'link set p9 down', addresses),
                    ('interface', 'link del p9', interface)):
                World.p.ip(take)
                for s, port in ((phone.ps, PORT_UC), (phone.pc, PORT_US)):
                    attempt(s.sendto, b'to nowhere', (z, port))
                attempt(phone.uc.sendto, b'to nowhere', (a, PORT_PS))
                give()
                for s in (phone.ps, phone.pc, phone.uc, phone.us):
                    pending(s)
                works(text)
        World.nl.do('bundle-del', id=b['id'])
        nothing_left(policies=3)
    finally:
        World.p.run('ip link del p9', ok=False)


def complaints():
    """Of the kernel, so far."""
    return len(re.findall(r'^.*(?:WARNING: |BUG: ).*$', subprocess.run(['dmesg'], stdout=subprocess.PIPE, text=True, check=True).stdout,
                          re.MULTILINE))


@test('NETNS NEIGHBOUR', 'a namespace goes under traffic to it, and takes along what others could not have deleted')
def namespace_goes():
    was = complaints()
    for n in range(2):
        q = Namespace('Q')
        World.u.ip('link add w0 type veth peer name q0 netns Q', 'addr add 192.0.4.2/24 dev w0', 'link set w0 up')
        q.ip('addr add 192.0.4.1/24 dev q0', 'link set q0 up')
        with q:
            nl = Family()
        b = bundle(endpoint('192.0.4.1', nl=nl), nl=nl, ue_address='192.0.4.2')
        nl.do('bundle-confirm', id=b['id'], lifetime=600000)
        p, World.p = World.p, q
        try:
            phone = Phone(b)
        finally:
            World.p = p
        with phone:
            for name in WAYS:
                phone.deliver(name)
            q.ip('xfrm state flush')
            equal(len(q.states()), 4, 'SAs')

            def sends():
                attempt(phone.uc.sendto, b'on and on', ('192.0.4.1', PORT_PS))  # pylint: disable=cell-var-from-loop
                attempt(phone.us.sendto, b'on and on', ('192.0.4.1', b['port-pc']))  # pylint: disable=cell-var-from-loop
            # The sockets of P's end would keep the namespace
            for s in (phone.ps, phone.pc):
                s.close()
            nl.close()
            with Rounds(sends, close=[q.fd]) as rounds:
                rounds.more(100)
                q.delete()
                wait(lambda: 'w0' not in World.u.ip('-o link'), 'the namespace goes', 60)
                rounds.more(100)
    # They go one after the other: when this one's interface goes, they have gone
    q = Namespace('Q')
    World.u.ip('link add w0 type veth peer name q0 netns Q')
    q.delete()
    wait(lambda: 'w0' not in World.u.ip('-o link'), 'the last namespace goes', 60)
    equal(complaints(), was, 'complaints of the kernel')


if __name__ == '__main__':
    main(setup_nats, before, teardown_nats)
