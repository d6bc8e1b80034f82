#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only
"""The four SAs of a bundle: their shape, and real traffic over each of them."""
import hashlib
import hmac
import json
import os
import re
import socket
import struct
import subprocess
import sys
import threading

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '../lib'))
from ims import *  # noqa: E402,F403  pylint: disable=wildcard-import,unused-wildcard-import,wrong-import-position

# What is tested
IMSIPSEC = os.environ.get('IMSIPSEC') or TOP + '/build/user/imsipsec'


def made(fam, **more):
    p, u = ADDRESSES[fam]
    return bundle(endpoint(p), ue_address=u, **more)


@test('A1', 'four SAs, ends, ports and SPIs as in the table, {}', each=ADDRESSES)
def four(fam):
    p, u = ADDRESSES[fam]
    b = bundle(endpoint(p, port_pc=PORT_PC[1]), ue_address=u)
    for k, v in {'address': p, 'ue-address': u, 'port-ps': PORT_PS, 'port-pc': PORT_PC[1],
                 'port-uc': PORT_UC, 'port-us': PORT_US, 'spi-uc': SPI_UC, 'spi-us': SPI_US,
                 'state': 'temporary', 'mode': 'trans', 'auth-alg': 'hmac-sha-1-96',
                 'enc-alg': 'aes-cbc'}.items():
        equal(b[k], v, k)
    check(b['spi-pc'] != b['spi-ps'], 'spi-pc and spi-ps are the same')
    check('ik' not in b and 'ck' not in b, 'keys are given out')
    # The reply is checked against the request above, now the kernel's table against both
    states = {s['spi']: (s['src'], s['dst'], s['sport'], s['dport']) for s in World.p.states()}
    equal(states, {spi: way[:4] for spi, way in table(b).items()}, 'ip xfrm state')
    World.nl.do('bundle-del', id=b['id'])
    nothing_left(policies=2)


@test('A1', 'each SA knows its direction, {}', each=ADDRESSES)
def directions(fam):
    b = made(fam)
    got = World.xfrm.directions()
    if not got:
        raise Skip('this kernel has no XFRMA_SA_DIR')
    equal(got, {spi: {'in': 1, 'out': 2}[way[4]] for spi, way in table(b).items()}, 'directions')


@test('A2', 'selectors are whole addresses and exact ports of any transport protocol, {}', each=ADDRESSES)
def selectors(fam):
    made(fam)
    bits = '/32' if fam == 'IPv4' else '/128'
    for s in World.p.states():
        equal((s['sel_src'], s['sel_dst']), (s['src'] + bits, s['dst'] + bits), 'selector')
        check(s['sport'] and s['dport'], 'a port is missing in the selector')
        equal(s['sel_proto'], None, 'protocol in the selector')


@test('A3 A6 A7 A8', 'transport mode, window of 64 inbound, no ESN, no limits, {}', each=ADDRESSES)
def shape(fam):
    made(fam)
    for s in World.p.states():
        equal((s['proto'], s['mode']), ('esp', 'transport'), 'protocol and mode')
        # What is sent has a sequence number and no window
        check(s['window'] >= 64 or s['src'] in (P4, P6), f'replay window is {s["window"]}')
        check(not s['esn'], 'ESN is on')
        check(len(s['limits']) == 2 and len(s['expire']) == 2, 'ip shows no limits: ' + s['text'])
        equal({v for pair in s['limits'] for v in pair}, {'INF'}, 'byte and packet limits')
        equal({v for pair in s['expire'] for v in pair}, {'0'}, 'time limits')
        check('encap' not in s['text'] and 'tfcpad' not in s['text'], s['text'])


@test('A4', 'all four have the keys of the table, {}', each=PAIRS)
def keys(pair):
    auth, enc = pair
    made('IPv4', auth_alg=auth, enc_alg=enc)
    want = ((*AEAD[pair], '128'), None, None) if pair in AEAD else \
        (None, (AUTH_NAME[auth], AUTH_KEY[auth], '96'), (ENC_NAME[enc], ENC_KEY[enc]))
    states = World.p.states()
    equal(len(states), 4, 'SAs')
    for s in states:
        equal((s['aead'], s['auth'], s['enc']), want, 'algorithms')


@test('A4', 'keys by hand are those that the specification gives')
def by_hand():
    def odd(n):
        return bin(n).count('1') % 2

    def salt(fc, p0):
        s = bytes([fc]) + p0 + len(p0).to_bytes(2, 'big')
        return hmac.new(CK + IK, s, hashlib.sha256).digest()[-4:]
    des = bytes(x if odd(x) else x ^ 1 for x in CK)
    equal(ENC_KEY['des-ede3-cbc'], (des + des[:8]).hex(), '3DES')
    equal(AUTH_KEY['hmac-sha-1-96'], (IK + bytes(4)).hex(), 'SHA-1')
    equal(GMAC[1], (IK + salt(0x58, b'AES_GMAC_SALT')).hex(), 'GMAC')
    equal(GCM[1], (CK + salt(0x59, b'AES_GCM_SALT')).hex(), 'GCM')
    equal((AUTH_KEY['hmac-md5-96'], ENC_KEY['aes-cbc']), (IK.hex(), CK.hex()), 'MD5 and AES-CBC')


@test('A1 A2', 'UDP and TCP over all four, opened from either side, counted, {}', each=ADDRESSES)
def traffic(fam):
    # Every pair, and both directions of the wire, in algorithms.py
    b = made(fam)
    World.wire.seen()
    was = World.u.xfrm_stat()
    with Phone(b) as phone:
        for name in ('spi-ps', 'spi-uc', 'spi-us', 'spi-pc'):
            phone.deliver(name)
            seen = wire_has([b[name]])
            equal({s.sent for s in seen if s.proto == ESP}, {name in ('spi-ps', 'spi-pc')}, f'{name}: sent by the UE')
        for opened, back in (('spi-ps', 'spi-uc'), ('spi-us', 'spi-pc')):
            phone.talk(phone.connect(opened))
            wire_has([b[opened], b[back]])
        # TCP open, UDP over the very SAs again
        for name in ('spi-ps', 'spi-uc', 'spi-us', 'spi-pc'):
            phone.deliver(name)
        World.wire.seen()
    got = World.nl.do('bundle-get', id=b['id'])
    for k in ('rx-packets', 'rx-bytes', 'tx-packets', 'tx-bytes'):
        check(got[k] > 0, f'{k} is {got[k]}')
    stat = {k: v for k, v in World.u.xfrm_stat().items() if v > was[k] and 'Replay' not in k}
    check(not stat, f'U has dropped: {stat}')


@test('A4', 'what leaves has the ICV computed from IK by hand, {}', each=tuple(AUTH_NAME))
def outgoing(auth):
    b = made('IPv4', auth_alg=auth, enc_alg='null')
    World.wire.seen()
    with Phone(b) as phone:
        for name in ('spi-uc', 'spi-us'):
            phone.deliver(name, b'to be seen')
            data, = [s.data for s in World.wire.seen() if s.spi == b[name]]
            equal(data[-12:], icv(data[:-12], auth, bytes.fromhex(AUTH_KEY[auth])), 'ICV')
            check(b'to be seen' in data, 'null encryption encrypts')


def crafted(b, name, seq, data, sport=None, dport=None):
    """The UE's ESP, made by hand: a datagram inside the SA named."""
    src, dst, s, d, _ = table(b)[b[name]]
    inner = layer4(src, dst, UDP, sport or s, dport or d, data)
    return esp(src, dst, b[name], seq, UDP, inner, b['auth-alg'], bytes.fromhex(AUTH_KEY[b['auth-alg']]))


def drops(b):
    """Whatever counts a packet that was thrown away in P."""
    ep = World.nl.do('endpoint-get', id=b['endpoint'])
    return sum(v for k, v in ep.items() if k.startswith('drop-')) + sum(World.p.xfrm_stat().values())


@test('A5 F4', 'valid ESP whose inside is not of its SA is dropped and counted, {}', each=ADDRESSES)
def inside(fam):
    b = made(fam, enc_alg='null')
    p = b['address']
    socks = {port: World.p.udp(p, port) for port in (PORT_PS, *PORT_PC, 9999)}
    other = PORT_PC[1] if b['port-pc'] == PORT_PC[0] else PORT_PC[0]
    wrong = (('spi-ps', PORT_US, PORT_PS), ('spi-pc', PORT_UC, b['port-pc']), ('spi-ps', PORT_UC, b['port-pc']),
             ('spi-pc', PORT_US, PORT_PS), ('spi-ps', PORT_UC, other), ('spi-ps', 9999, PORT_PS),
             ('spi-ps', PORT_UC, 9999), ('spi-pc', PORT_US, 9999))
    for seq, (name, sport, dport) in enumerate(wrong, 1):
        was = drops(b)
        World.wire.send(crafted(b, name, seq, b'wrong', sport, dport))
        wait(lambda: drops(b) > was, f'{sport} to {dport} in {name} is counted')
    for name, port in (('spi-ps', PORT_PS), ('spi-pc', b['port-pc'])):
        World.wire.send(crafted(b, name, 50, b'right'))
        equal(receive(socks[port]), b'right', f'what {name} is for')
    equal(pending(*socks.values()), [], 'delivered')
    for s in socks.values():
        s.close()


@test('A6 E1', 'replayed, too old and forged ESP is dropped, late within the window is not')
def replay():
    b = made('IPv4', enc_alg='null')
    s = World.p.udp(P4, PORT_PS)

    def dropped(packet, text):
        was = drops(b)
        World.wire.send(packet)
        wait(lambda: drops(b) > was, f'{text} is counted')
        equal(pending(s), [], f'{text}: delivered')

    for seq in (100, 100 - 63, 100 - 33):
        World.wire.send(crafted(b, 'spi-ps', seq, b'%d' % seq))
        equal(receive(s), b'%d' % seq, 'sequence number')
    dropped(crafted(b, 'spi-ps', 100, b'again'), 'a replayed packet')
    dropped(crafted(b, 'spi-ps', 37, b'again'), 'a late packet again')
    dropped(crafted(b, 'spi-ps', 1, b'old'), 'one behind the window')
    forged = bytearray(crafted(b, 'spi-ps', 101, b'forged'))
    forged[-1] ^= 1
    dropped(bytes(forged), 'a wrong ICV')
    World.wire.send(crafted(b, 'spi-ps', 101, b'genuine'))
    equal(receive(s), b'genuine', 'the same number with the right ICV')
    s.close()


@test('A1', 'ip xfrm monitor sees them come and go')
def monitor():
    with World.p:
        m = subprocess.Popen(['ip', 'xfrm', 'monitor', 'SA'], stdout=subprocess.PIPE, text=True)
    try:
        lines = []
        t = threading.Thread(target=lambda: lines.extend(iter(m.stdout.readline, '')), daemon=True)
        t.start()
        add = f'src {U4} dst {P4} proto esp spi 0x100 mode transport auth-trunc hmac(md5) 0x{IK.hex()} 96 ' \
              'enc ecb(cipher_null) ""'

        # It is listening once it sees a state of our own
        def listening():
            World.p.ip('xfrm state add ' + add, f'xfrm state del src {U4} dst {P4} proto esp spi 0x100')
            return any('0x00000100' in x for x in lines)
        wait(listening, 'monitor listens')
        b = made('IPv4')
        World.nl.do('bundle-del', id=b['id'])
        for spi in table(b):
            wait(lambda: sum(f'spi 0x{spi:08x}' in x for x in lines) == 2, f'two messages on SPI {spi:#x}')
        World.wire.seen()
    finally:
        m.kill()
        m.wait()


def esp_counts(ep):
    got = World.nl.do('endpoint-get', id=ep['id'])
    return got['esp-bad-icv'], got['esp-unknown-spi']


def last_drop():
    """The newest drop that is remembered."""
    t = [t for t in World.nl.dump('trace-get') if t['kind'] == 'drop'][-1]
    return {k: socket.inet_ntop(socket.AF_INET if len(v) == 4 else socket.AF_INET6, v) if k in ('source', 'destination') else v
            for k, v in t.items()}


def shown(what, source, destination, spi, ep, words, times=1):
    """The command shows a drop so, source and destination being an address, or an address and a port."""
    def end(e):
        return e if isinstance(e, str) else '%s:%d' % (f'[{e[0]}]' if ':' in e[0] else e[0], e[1])
    over = f'spi {spi} (0x{spi:08x})' if spi else 'no SA'
    line = f'{what} {end(source)} -> {end(destination)}  {over}  endpoint {ep["id"]}' + f'  {times} times' * (times > 1)
    got = re.sub(r'(?m)^[0-9]+ s ago: ', '', World.p.run(IMSIPSEC, 'trace'))
    check(f'{line}\n    {words}\n' in got, f'{line}\n    {words}\nis not in\n{got}')


def endpoint_shown(ep, bad, no_sa, clear):
    """The command shows these counters of an endpoint."""
    got = World.p.run(IMSIPSEC, 'endpoint', 'show', 'id', str(ep['id']))
    line = f'    ESP: bad ICV {bad}, unknown SPI {no_sa}; in clear to UEs: {clear}\n'
    check(line in got, f'{line}is not in\n{got}')
    got, = json.loads(World.p.run(IMSIPSEC, '-j', 'endpoint', 'show', 'id', str(ep['id'])))
    equal((got['esp-bad-icv'], got['esp-unknown-spi'], got['clear-to-ue']), (bad, no_sa, clear), 'endpoint show -j')


def unknown(src, dst, spi, in_udp=False):
    """ESP that no SA is for, in UDP or not."""
    data = struct.pack('>II', spi, 1) + bytes(64)
    if not in_udp:
        return ip(src, dst, ESP, data)
    return ip(src, dst, UDP, layer4(src, dst, UDP, 4500, 4500, data))


@test('E1 SHOWN', 'ESP that no SA is for, or that was made with other keys: its endpoint counts it, trace-get and the command tell, {}',
      each=ADDRESSES)
def failed(fam):
    p, u = ADDRESSES[fam]
    ep, other = endpoint(p, nat_traversal=1), endpoint(P6 if p == P4 else P4)
    b = bundle(ep, ue_address=u, enc_alg='null')
    World.nl.do('bundle-confirm', id=b['id'], lifetime=60000)
    key = bytes.fromhex(AUTH_KEY['hmac-sha-1-96'])

    def message(seq, key=key):
        return esp(u, p, b['spi-ps'], seq, UDP, layer4(u, p, UDP, b['port-uc'], b['port-ps'], b'hello'), 'hmac-sha-1-96', key)
    s = World.p.udp(p, b['port-ps'])
    try:
        for n, in_udp in enumerate((False, True), 1):
            World.wire.send(unknown(u, p, 0x12345678 + n, in_udp))
            wait(lambda n=n: esp_counts(ep) == (0, n), 'an unknown SPI is counted')
            t = last_drop()
            equal((t['drop'], t['source'], t['destination'], t['protocol'], t['spi'], t['endpoint'], 'source-port' in t),
                  ('unknown-spi', u, p, ESP, 0x12345678 + n, ep['id'], False), 'what trace-get tells')
            shown('dropped  ESP', u, p, 0x12345678 + n, ep, 'no SA has the SPI: the bundle has gone, or there was none (unknown-spi)')
        for n in (1, 2):
            World.wire.send(message(n, bytes(20)))
            wait(lambda n=n: esp_counts(ep) == (n, 2), 'another key is counted')
        t = last_drop()
        equal((t['drop'], t['source'], t['source-port'], t['destination'], t['destination-port'], t['protocol'], t['spi'], t['count']),
              ('bad-icv', u, b['port-uc'], p, b['port-ps'], ESP, b['spi-ps'], 2), 'what trace-get tells')
        equal(World.nl.dump('trace-get', ue_address=u)[-1]['drop'], 'bad-icv', 'what it tells of the UE')
        shown('dropped  ESP', (u, b['port-uc']), (p, b['port-ps']), b['spi-ps'], ep,
              'the UE has another key, algorithm or mode than the bundle (bad-icv)', 2)
        check('    nothing that came is authentic: the UE has other keys or algorithms\n' in World.p.run(IMSIPSEC, 'trace', 'ue', u),
              'imsipsec trace ue says nothing of the bundle')
        # Another cipher: the ICV is right, and what comes out of it is nothing
        World.wire.send(esp(u, p, b['spi-ps'], 3, 99, bytes(300), 'hmac-sha-1-96', key))
        wait(lambda: esp_counts(ep) == (3, 2), 'another cipher is counted')
        endpoint_shown(ep, 3, 2, 0)
        # Neither what is good, nor what is good and comes again, is such a fault
        World.wire.send(message(5), message(5), message(100), message(20), message(101))
        equal([receive(s) for _ in range(3)], [b'hello'] * 3, 'received')
        wait(lambda: World.nl.do('bundle-get', id=b['id'])['rx-replayed'] == 2, 'replays are counted')
        equal((esp_counts(ep), esp_counts(other)), ((3, 2), (0, 0)), 'counted')
    finally:
        s.close()


@test('SHOWN', "what leaves in clear for a UE's protected port is counted, told and shown, and not dropped, {}", each=ADDRESSES)
def in_clear(fam):
    p, u = ADDRESSES[fam]
    ep = endpoint(p)
    b = bundle(ep, ue_address=u)
    # A registration of the same UE's ports at another address is another one's
    other = bundle(ep, ue_address='2001:db8::77' if ':' in u else '198.51.100.77')
    World.nl.do('bundle-confirm', id=b['id'], lifetime=60000)

    def count():
        return World.nl.do('endpoint-get', id=ep['id'])['clear-to-ue']
    s, other_port = World.p.udp(p, 5060), World.p.udp(p, 45678)
    with Phone(b) as phone:
        try:
            World.wire.seen()
            for n, (sock, name, port) in enumerate(((s, 'port-uc', 5060), (s, 'port-us', 5060), (other_port, 'port-us', 45678)), 1):
                data = b'OPTIONS %d' % n
                sock.sendto(data, (u, b[name]))
                equal(count(), n, 'counted')
                t = last_drop()
                equal((t['drop'], t['source'], t['source-port'], t['destination'], t['destination-port'], t['protocol'], t['endpoint']),
                      ('clear-to-ue', p, port, u, b[name], UDP, ep['id']), 'what trace-get tells')
                wait(lambda data=data: any(data in x.data for x in World.wire.seen() if x.proto == UDP), 'it leaves in clear')
            c = World.p.socket(family(p), socket.SOCK_STREAM)
            c.setblocking(False)
            c.connect_ex((u, b['port-us']))
            equal((count(), last_drop()['protocol']), (4, TCP), 'a SYN')
            shown('in clear UDP', (p, 5060), (u, b['port-us']), 0, ep, "it left in clear for the UE's protected port: the UE drops it (clear-to-ue)")
            endpoint_shown(ep, 0, 0, 4)
            c.close()
            # This UE takes what comes in clear
            got = []
            wait(lambda: got.extend(pending(phone.uc, phone.us)) or len(got) == 3, 'it arrives')
            # Neither to other ports of the UE, nor over the set
            s.sendto(b'x', (u, 5060))
            s.sendto(b'x', (u, b['port-us'] + 7))
            for name in ('spi-ps', 'spi-uc', 'spi-us', 'spi-pc'):
                phone.deliver(name)
            equal(count(), 4, 'counted')
            again = bundle(ep, ue_address=u, port_uc=b['port-uc'] + 1, spi_uc=1000, spi_us=1001)
            World.nl.do('bundle-del', id=b['id'])
            s.sendto(b'x', (u, b['port-uc']))
            equal(count(), 4, 'counted when the set has gone')
            s.sendto(b'x', (u, b['port-us']))
            equal(count(), 5, 'counted, another set having the port')
            World.nl.do('bundle-del', id=again['id'])
            World.nl.do('bundle-del', id=other['id'])
            s.sendto(b'x', (u, b['port-us']))
            equal(count(), 5, 'counted when no set has it')
        finally:
            s.close()
            other_port.close()


class Audit:
    """What the kernel's audit tells of SAs and policies; it is on meanwhile, and who asks is USER."""
    NETLINK_AUDIT, AUDIT_SET, READLOG, MAC_IPSEC_EVENT = 9, 1001, 1, 1415
    USER, NOBODY = 1000, 0xffffffff

    def __init__(self):
        try:
            self.sock = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, self.NETLINK_AUDIT)
        except OSError:
            raise Skip('this kernel has no audit') from None
        self.sock.settimeout(20)
        self.sock.bind((0, 1 << self.READLOG - 1))

    def switch(self, on):
        # struct audit_status: mask of what is to be set, AUDIT_STATUS_ENABLED
        data = struct.pack('=10I', 1, on, *[0] * 8)
        self.sock.send(struct.pack('=IHHII', 16 + len(data), self.AUDIT_SET, 5, 1, 0) + data)
        with open('/proc/self/loginuid', 'w', encoding='ascii') as f:
            f.write(str(self.USER if on else self.NOBODY))

    def __enter__(self):
        self.switch(1)
        return self

    def __exit__(self, *_):
        self.switch(0)
        self.sock.close()

    def next(self):
        """The next event about IPsec."""
        while True:
            data = self.sock.recv(1 << 16)
            if struct.unpack_from('=H', data, 4)[0] == self.MAC_IPSEC_EVENT:
                return data[16:].rstrip(b'\0').decode()

    def until(self, n):
        """So many, without their time and user."""
        return [self.next().partition('op=')[2] for _ in range(n)]

    def sas(self, n):
        """What is done to SAs, to which SPIs, and who has asked for that: so many, in order."""
        out = []
        while len(out) < n:
            m = re.search(r'op=(SAD-\w+) auid=(\d+) .*spi=(\d+)', self.next())
            out += [(m[1], int(m[3]), int(m[2]))] if m else []
        return sorted(out)


@test('AUDIT', "the kernel's audit tells of each SA and policy that is made and deleted, as it does of ip xfrm's")
def audit():
    # It tells who is in the first namespace alone
    with Audit() as a:
        ep = endpoint()
        made = a.until(3)
        equal([x.split()[0] for x in made], ['SPD-add'] * 3, 'policies made')
        b = bundle(ep)
        made = a.until(4)
        for spi, (src, dst, *_) in table(b).items():
            check(any(x.startswith('SAD-add') and f'src={src} dst={dst} spi={spi}(' in x and 'res=1' in x for x in made),
                  f'SA {spi} made: {made}')
        # What cannot be made, as a stranger's SA is there, leaves nothing to tell
        World.p.ip(f'xfrm state add src {P4} dst {U4} proto esp spi 999999 mode transport auth-trunc hmac(md5) 0x{bytes(16).hex()} 96 '
                   'enc ecb(cipher_null) ""')
        equal(a.until(1)[0].split()[0], 'SAD-add', 'a stranger')
        expect_error('EEXIST', bundle, ep, contact=b'x', port_uc=9000, port_us=9001, spi_uc=3000, spi_us=999999)
        World.nl.do('endpoint-del', id=ep['id'], force=True)
        equal(sorted(x.split()[0] for x in a.until(7)), ['SAD-delete'] * 4 + ['SPD-delete'] * 3, 'what is deleted')


@test('AUDIT', "the kernel's audit tells of SAs that make room for another set's with their SPIs, and of those that come back")
def audit_of_rivals():
    ep = endpoint()
    old = bundle(ep, ik=bytes(15) + b'1')
    World.nl.do('bundle-confirm', id=old['id'], lifetime=600000)
    new = bundle(ep)
    both, mine = (SPI_UC, SPI_US), (new['spi-ps'], new['spi-pc'])
    with Phone(new) as phone, Audit() as a:
        phone.deliver('spi-ps')
        equal(a.sas(4), sorted((op, spi, a.NOBODY) for op in ('SAD-add', 'SAD-delete') for spi in both), 'what a packet does')
        World.nl.do('bundle-del', id=new['id'])
        equal(a.sas(6), sorted([('SAD-add', spi, a.USER) for spi in both] + [('SAD-delete', spi, a.USER) for spi in both + mine]),
              'what a request does')


TRACING = '/sys/kernel/tracing/'


def timers_left(made):
    """How many timers of SAs have been started meanwhile, and how many of those are not cancelled."""
    events = [f'{TRACING}events/timer/{x}/enable' for x in ('hrtimer_start', 'hrtimer_cancel')]
    started, left = set(), set()
    for path in (TRACING + 'trace', *events):
        write(path, '1')
    try:
        made()
    finally:
        for path in events:
            write(path, '0')
    with open(TRACING + 'trace', encoding='ascii', errors='replace') as f:
        for what, timer, rest in re.findall(r'hrtimer_(start|cancel): hrtimer=(\S+)(.*)', f.read()):
            if what == 'cancel':
                left.discard(timer)
            elif 'xfrm_timer_handler' in rest:
                started.add(timer)
                left.add(timer)
    return len(started), len(left)


@test('A8', 'XFRM has no timer running for the SAs of a bundle, which have no lifetimes')
def no_timers():
    if not os.path.isdir(TRACING + 'events/timer'):
        raise Skip('this kernel has no tracefs')
    ep = endpoint()
    equal(timers_left(lambda: World.p.ip(
        f'xfrm state add src {P4} dst {U4} proto esp spi 999999 mode transport auth-trunc hmac(md5) 0x{bytes(16).hex()} 96 '
        'enc ecb(cipher_null) ""')), (1, 1), "a stranger's")
    equal(timers_left(lambda: bundle(ep)), (4, 0), "a bundle's")


if __name__ == '__main__':
    main(setup, before, teardown)
