#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only
"""Others on the host: XFRM's tables are everybody's.

What an IKE daemon or an operator does to all SAs and policies leaves ours alone, or ours
come back; and nothing that we do is done to theirs.
"""
import contextlib
import difflib
import os
import re
import socket
import struct
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '../lib'))
from ims import *  # noqa: E402,F403  pylint: disable=wildcard-import,unused-wildcard-import,wrong-import-position
from natted import *  # noqa: E402,F403  pylint: disable=wildcard-import,unused-wildcard-import,wrong-import-position
from nl import NETLINK_ADD_MEMBERSHIP, NETLINK_XFRM, SOL_NETLINK, Netlink, address  # noqa: E402  pylint: disable=wrong-import-position
from rounds import Rounds  # noqa: E402  pylint: disable=wrong-import-position

WAYS = ('spi-ps', 'spi-uc', 'spi-us', 'spi-pc')
AF_KEY, PF_KEY_V2, SADB_DELETE, SADB_FLUSH, SADB_X_SPDFLUSH = 15, 2, 4, 9, 19
XFRM_MSG_ACQUIRE, XFRM_MSG_EXPIRE, XFRMNLGRP_ACQUIRE = 23, 24, 1


def attempt(f, *args):
    with contextlib.suppress(OSError):
        f(*args)


def shown(text):
    """What `ip -s xfrm` prints but for counters, in blocks."""
    for counter in (r'(?<=seq )0x\w+', r'(?<=seq-hi )0x\w+', r'(?<=bitmap )0x\w+', r'^\t +[0-9a-f]{8}( [0-9a-f]{8})* *$',
                    r'\d+\(bytes\), \d+\(packets\)', r'(?<= use )[^\n]*', r'(?<=replay-window )\d+ replay \d+ failed \d+'):
        text = re.sub(counter, '…', text, flags=re.MULTILINE)
    text = re.sub(r'^\tlastused [^\n]*\n', '', text, flags=re.MULTILINE)
    return sorted(re.split(r'^(?=src )', text, flags=re.MULTILINE)[1:])


def same(got, was, text):
    """Two that shown() gave, in all lines."""
    lines = difflib.unified_diff(''.join(was).splitlines(), ''.join(got).splitlines(), 'as it was', 'as it is', lineterm='')
    check(got == was, f'{text} changed something:\n' + '\n'.join(lines))


def sas(ns=None):
    return shown((ns or World.p).ip('-s xfrm state'))


def policies(ns=None):
    return shown((ns or World.p).ip('-s xfrm policy'))


def back(was):
    """All policies are there again, as they were but for when."""
    def now():
        return sorted(re.split(r'^(?=src )', World.p.ip('xfrm policy'), flags=re.MULTILINE)[1:])
    try:
        wait(lambda: now() == was, 'the policies come back', 10)
    except Fail:
        equal(now(), was, 'policies')


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
        return self.ask(SADB_DELETE, 3, struct.pack('=HH', 2, 1) + struct.pack('>I', s['spi']) + bytes(8) +
                        self.address(5, s['src']) + self.address(6, s['dst']))


def ids(s):
    """An SA as `ip xfrm state` takes it."""
    mark = re.search(r'\bmark (0x\w+)/(0x\w+)', s['text'].split('output-mark')[0])
    return (f"src {s['src']} dst {s['dst']} proto esp spi {s['spi']}" +
            (f' mark {mark[1]} mask {mark[2]}' if mark else ''))


def anew(s):
    """What would be put in the place of an SA: of other keys, and at its end with the next packet."""
    encap = re.search(r'encap type espinudp sport (\d+) dport (\d+) addr (\S+)', s['text'])
    return (f"{ids(s)} reqid 77 mode {s['mode']} auth-trunc hmac(md5) 0x{bytes(16).hex()} 96 enc ecb(cipher_null) \"\"" +
            (f' encap espinudp {encap[1]} {encap[2]} {encap[3]}' if encap else '') + ' limit packet-hard 1')


def attacks(ours):
    """What is done to the SAs: what it is, and a function that says what became of it."""
    def ip_xfrm(command, *expected):
        def run():
            done = World.p.run(f'timeout 20 ip xfrm {command}', ok=False)
            # The one without a word of its own has nothing to say where all went well
            check(any(e in done for e in expected) if expected else not done, f'ip xfrm {command}: {done!r}')
        return f'ip xfrm {command}', run
    yield ip_xfrm('state flush')
    yield ip_xfrm('state flush proto esp')
    # EPERM, in the words of ip or of newer kernels
    refused = ('not permitted', 'in use by tunnels')
    yield ip_xfrm('state deleteall', *refused)
    for s in ours:
        yield ip_xfrm('state delete ' + ids(s), *refused)
    for s in ours:
        yield ip_xfrm('state update ' + anew(s), 'File exists')
        yield ip_xfrm('state add ' + anew(s), 'File exists')


def withstand(rounds, was):
    """All of it, and after each the SAs are as they were and messages go on."""
    ours = World.p.states()
    equal(len(ours), 4, 'SAs')
    n = 0
    for what, run in attacks(ours):
        run()
        same(sas(), was, what)
        rounds.more()
        n += 1
    equal(n, 3 + 3 * 4, 'things done')


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
            withstand(rounds, was)
        wire_has([b[k] for k in WAYS])
        same(policies(), policies_were, 'all that')
        check(World.nl.do('bundle-get', id=b['id'])['rx-packets'] >= got + 2 * rounds.done(), 'the bundle counts on')
    World.nl.do('endpoint-del', id=ep['id'], force=True)
    nothing_left()


@test('B3 NEIGHBOUR', 'the same, behind a NAT')
def shielded_nat():
    nat = Nats.all[0]
    nat.as_new()
    ep = nat_endpoint()
    b = confirm(nat_bundle(ep, enc_alg='aes-cbc', ue_nat_address=nat.outside['IPv4']))
    with Sip(ep) as sip, TunnelUe(nat.h, b) as ue:
        ue.register(b)
        ue.works(sip, b)
        wait(lambda: get(b)['ue-nat-port'] == NAT_PORT, 'the port is learnt')
        World.wire.seen()
        with nothing_lost(), Rounds(lambda: ue.works(sip, b)) as rounds:
            withstand(rounds, sas())
        no_outer_fragments()
    World.nl.do('endpoint-del', id=ep['id'], force=True)
    nothing_left()
    nat.as_new()


@test('B3 NEIGHBOUR', 'PF_KEY: flushed and deleted, the SAs stay; its SPDFLUSH, and the policies are back, {}', each=ADDRESSES)
def pf_key(fam):
    p, u = ADDRESSES[fam]
    with PfKey() as key:
        ep = endpoint(p)
        b = bundle(ep, ue_address=u)
        plain = sorted(re.split(r'^(?=src )', World.p.ip('xfrm policy'), flags=re.MULTILINE)[1:])
        with Phone(b) as phone:
            was, ours = sas(), World.p.states()
            def messages():
                for name in WAYS:
                    phone.deliver(name, b'%d' % next(serial))
            with nothing_lost(), Rounds(messages) as rounds:
                for satype in (0, 3):
                    equal(key.ask(SADB_FLUSH, satype), 0, 'SADB_FLUSH')
                    rounds.more()
                for s in ours:
                    equal(key.delete(s), 1, 'errno of SADB_DELETE')
                    rounds.more()
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
    was = sorted(re.split(r'^(?=src )', World.p.ip('xfrm policy'), flags=re.MULTILINE)[1:])
    into = [ip(u, p, proto, layer4(u, p, proto, sport, port, b'in')) for proto in (UDP, TCP)
            for sport in (5060, PORT_UC) for port in (PORT_PS, b['port-pc'])]
    with Phone(b) as phone:
        ends = [phone.connect(name) for name in ('spi-ps', 'spi-us')]

        def tries():
            World.wire.send(*into)
            for s, port in ((phone.ps, 9999), (phone.pc, 9999)):
                attempt(s.sendto, b'out', (u, port))
        in_clear = clear()
        for command in ('flush', 'deleteall', 'flush', 'deleteall'):
            with Rounds(tries) as rounds:
                # It asks for what there is until there is nothing: ours may be back by then
                done = World.p.run('timeout', '20', 'ip', 'xfrm', 'policy', command, ok=False)
                equal(done, '', f'ip xfrm policy {command}')
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
        check(dropped['drop-plaintext-in'] >= 8 * 4 * 20, f'{dropped}')


@test('B3 NEIGHBOUR', 'an SA that another has expire, which no shield is against, opens nothing, {}', each=ADDRESSES)
def expired_by_others(fam):
    p, u = ADDRESSES[fam]
    ep = endpoint(p)
    b = bundle(ep, ue_address=u)
    free = World.u.udp(u, 9999)
    with Phone(b) as phone:
        for name in WAYS:
            phone.deliver(name)
        World.wire.seen()
        for s in World.xfrm.states():
            # struct xfrm_user_expire: the SA as the dump has it, and "hard"
            World.xfrm.request(XFRM_MSG_EXPIRE, s[:224] + struct.pack('=B7x', 1))
        equal(World.p.ip('xfrm state'), '', 'SAs')
        World.wire.seen()
        for port in (PORT_PS, b['port-pc']):
            World.wire.send(ip(u, p, UDP, layer4(u, p, UDP, PORT_UC, port, b'in')))
        for s, port in ((phone.ps, PORT_UC), (phone.pc, PORT_US), (phone.ps, 9999)):
            attempt(s.sendto, b'out', (u, port))
        wait(lambda: World.nl.do('endpoint-get', id=ep['id'])['drop-plaintext-in'] == 2, 'both are dropped')
        equal(pending(phone.ps, phone.pc, phone.uc, phone.us, free), [], 'delivered')
        check(not clear(), 'in clear on the wire')
    free.close()
    World.nl.do('endpoint-del', id=ep['id'], force=True)
    nothing_left()
    with Phone(bundle(endpoint(p), ue_address=u)) as phone:
        phone.deliver('spi-ps')


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
        out = [x for x in sas() + policies() if re.search(r'reqid 77[01][12]\b', x)]
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
                rounds.more()
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
    equal(got, 1, 'acquires for a thousand packets to one UE')
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
    for more in ({'ue_address': u}, nat):
        def delete(b):
            nl.do('bundle-del', id=b['id'])

        def linger(b):
            nl.do('bundle-del', id=b['id'], linger=100)

        def expire(b):
            nl.do('bundle-confirm', id=b['id'], lifetime=100)

        def replace(b):
            new = bundle(ep, replace=True, **more)  # pylint: disable=cell-var-from-loop
            check(gone(nl, b['id']), 'it is still there')
            equal(len(World.p.states()), 4, 'SAs')
            nl.do('bundle-del', id=new['id'])
        for f in (delete, linger, expire, replace):
            f(bundle(ep, **more))
            nothing_left(policies=3)
    for more in ({'ue_address': u}, nat):
        bundle(ep, **more)
        nl.do('endpoint-del', id=ep['id'], force=True)
        nothing_left()
        ep = endpoint(p, nat_traversal=1)


@test('NEIGHBOUR', 'the address of an endpoint, its link, and its interface go and come back: so does the traffic')
def comes_back():
    a, z = '192.0.3.1', '192.0.3.2'
    macs = {'p9': '02:00:00:00:09:01', 'u9': '02:00:00:00:09:02'}

    def addresses():
        for ns, dev, addr, other, mac in ((World.p, 'p9', a, z, macs['u9']), (World.u, 'u9', z, a, macs['p9'])):
            ns.ip(f'addr replace {addr}/24 dev {dev}', f'link set {dev} up',
                  f'neigh replace {other} lladdr {mac} dev {dev} nud permanent')
        wait(lambda: 'NO-CARRIER' not in World.p.ip('link show p9'), 'the link is up')

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
    for n in range(3):
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
