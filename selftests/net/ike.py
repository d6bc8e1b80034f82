#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only
"""An IKE daemon beside us: strongSwan, which has port 4500 first.

P and U have a tunnel of their own, by IKEv2, in UDP as behind a NAT, by a shared key or
by certificates; UEs are behind the NATs of lib/natted.py, or at U.  Starting charon takes
long in a VM: where it may, it stays from one test to the next.  IPv6 is tried with FULL in
the environment.
"""
import contextlib
import datetime
import os
import re
import shutil
import socket
import struct
import subprocess
import sys

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '../lib'))
from ims import *  # noqa: E402,F403  pylint: disable=wildcard-import,unused-wildcard-import,wrong-import-position
from natted import *  # noqa: E402,F403  pylint: disable=wildcard-import,unused-wildcard-import,wrong-import-position
from rounds import Rounds  # noqa: E402  pylint: disable=wrong-import-position

CHARON = '/usr/lib/ipsec/charon'
# Within the tunnel
ENDS = {'P': '10.77.0.1', 'U': '10.77.0.2'}
OUTSIDE = {'P': P4, 'U': U4}
# Behind a gateway that is not there
NOWHERE, NO_GATEWAY = '10.77.0.9', '192.0.2.201'
PLUGINS = 'random nonce aes sha1 sha2 hmac kdf gmp kernel-netlink socket-default vici pem pkcs1 pkcs8 x509 pubkey constraints'


class Certificates:
    """A CA, and what it has signed for P and U: made when first asked for."""
    made = None

    @classmethod
    def get(cls):
        """The CA's certificate, and {name: (certificate, private key)}; all are PEM."""
        if not cls.made:
            ca_key, pairs = cls.key(), {}
            for name in ENDS:
                key = cls.key()
                pairs[name] = (cls.sign(name, key.public_key(), 'CA', ca_key, False),
                               key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8,
                                                 serialization.NoEncryption()))
            cls.made = cls.sign('CA', ca_key.public_key(), 'CA', ca_key, True), pairs
        return cls.made

    @staticmethod
    def key():
        # Of a size that is found soon
        return rsa.generate_private_key(65537, 1024)

    @staticmethod
    def sign(subject, key, issuer, issuer_key, is_ca):
        def name(text):
            return x509.Name([x509.NameAttribute(x509.oid.NameOID.COMMON_NAME, text)])
        now = datetime.datetime.utcnow()
        cert = x509.CertificateBuilder().subject_name(name(subject)).issuer_name(name(issuer)).public_key(key)
        cert = cert.serial_number(x509.random_serial_number())
        cert = cert.not_valid_before(now - datetime.timedelta(1)).not_valid_after(now + datetime.timedelta(1))
        cert = cert.add_extension(x509.BasicConstraints(is_ca, None), True)
        return cert.sign(issuer_key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


class Vici:
    """What swanctl says to charon, without starting it."""
    REQUEST, RESPONSE, REGISTER, CONFIRM, EVENT = 0, 1, 3, 5, 7
    SECTION, END, VALUE, LIST, ITEM, LIST_END = range(1, 7)

    def __init__(self, path):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(70)
        self.sock.connect(path)
        self.file = self.sock.makefile('rb')
        self.send(self.REGISTER, 'list-sa')
        equal(self.receive()[0], self.CONFIRM, 'event list-sa')

    def close(self):
        self.file.close()
        self.sock.close()

    def send(self, kind, name, message=b''):
        data = bytes([kind, len(name)]) + name.encode() + message
        self.sock.sendall(struct.pack('>I', len(data)) + data)

    def receive(self):
        """The kind of a packet, and what is in it."""
        size, kind = struct.unpack('>IB', self.file.read(5))
        data = self.file.read(size - 1)
        if kind == self.EVENT:
            data = data[1 + data[0]:]
        return kind, self.decode(data) if kind in (self.RESPONSE, self.EVENT) else data

    def request(self, name, message=None):
        """What it answers, and the events that have come before."""
        self.send(self.REQUEST, name, self.encode(message or {}))
        events = []
        while True:
            kind, got = self.receive()
            if kind != self.EVENT:
                break
            events.append(got)
        check(kind == self.RESPONSE, f'{name}: {kind}, which is no response')
        return got, events

    @classmethod
    def encode(cls, message):
        out = b''
        for key, value in message.items():
            key = bytes([len(key)]) + key.encode()
            if isinstance(value, dict):
                out += bytes([cls.SECTION]) + key + cls.encode(value) + bytes([cls.END])
            elif isinstance(value, (list, tuple)):
                out += bytes([cls.LIST]) + key
                out += b''.join(bytes([cls.ITEM]) + cls.pack(v) for v in value) + bytes([cls.LIST_END])
            else:
                out += bytes([cls.VALUE]) + key + cls.pack(value)
        return out

    @staticmethod
    def pack(value):
        value = value if isinstance(value, bytes) else str(value).encode()
        return struct.pack('>H', len(value)) + value

    @classmethod
    def decode(cls, data):
        """Sections are dicts; of a list nothing is asked here, and it stays one."""
        stack, items, pos = [{}], None, 0

        def take(size):
            nonlocal pos
            n = int.from_bytes(data[pos:pos + size], 'big')
            pos += size + n
            return data[pos - n:pos].decode(errors='replace')
        while pos < len(data):
            kind, pos = data[pos], pos + 1
            if kind == cls.SECTION:
                stack.append(stack[-1].setdefault(take(1), {}))
            elif kind == cls.END:
                stack.pop()
            elif kind == cls.VALUE:
                key = take(1)
                stack[-1][key] = take(2)
            elif kind == cls.LIST:
                items = stack[-1].setdefault(take(1), [])
            elif kind == cls.ITEM:
                items.append(take(2))
        return stack[0]


class Daemon:
    """charon in a namespace; what it writes while it runs is in its own folder."""
    running = {}

    def __init__(self, ns):
        self.ns, self.dir, self.vici = ns, f'/tmp/ike-{ns.name}', None
        shutil.rmtree(self.dir, ignore_errors=True)
        os.makedirs(self.dir)
        # Given up after six seconds; a line of the log is there when it has been said; a child that has
        # been rekeyed goes at once; and exponents of Diffie-Hellman are no longer than need be
        with open(f'{self.dir}/strongswan.conf', 'w', encoding='ascii') as f:
            f.write(f'''charon {{
                load = {PLUGINS}
                install_routes = no
                install_virtual_ip = no
                retransmit_timeout = 1
                retransmit_base = 1
                retransmit_tries = 5
                delete_rekeyed_delay = 0
                dh_exponent_ansi_x9_42 = no
                filelog {{ log {{ path = {self.dir}/log
                                  default = 1
                                  flush_line = yes }} }}
                plugins {{ vici {{ socket = unix://{self.dir}/vici }} }}
            }}\n''')
        # Its process's number is in /run, where there are two of them
        with ns:
            self.p = subprocess.Popen(['unshare', '-m', 'sh', '-c', f'mount -t tmpfs run /run && exec {CHARON}'],
                                      env=dict(os.environ, STRONGSWAN_CONF=f'{self.dir}/strongswan.conf'),
                                      stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.running[ns.name] = self

    @classmethod
    def get(cls, ns):
        """The one that runs there; it is started if there is none."""
        return cls.running.get(ns.name) or cls(ns)

    def ready(self):
        """It takes requests."""
        def connect():
            check(self.runs(), f'charon has ended: {self.log()}')
            try:
                return Vici(f'{self.dir}/vici')
            except OSError:
                return None
        self.vici = self.vici or wait(connect, 'charon is there', 60)

    def load(self, auth, **more):
        """Its end of the tunnel, and what goes with it."""
        me = self.ns.name
        peer, = {*ENDS} - {me}
        mine, other = {'auth': auth, 'id': me}, {'auth': auth, 'id': peer}
        self.request('clear-creds')
        if auth == 'pubkey':
            # Their certificates say who they are
            ca, pairs = Certificates.get()
            mine, other = {'auth': auth, 'certs': [pairs[me][0]]}, {'auth': auth}
            self.request('load-cert', {'type': 'X509', 'flag': 'CA', 'data': ca})
            self.request('load-key', {'type': 'any', 'data': pairs[me][1]})
        else:
            self.request('load-shared', {'type': 'IKE', 'data': 'correct-horse-battery'})
        self.request('load-conn', {'host': {
            'version': 2, 'proposals': ['aes128-sha256-modp2048'], 'encap': 'yes', 'local': mine, 'remote': other, **more,
            'local_addrs': [OUTSIDE[me]], 'remote_addrs': [OUTSIDE[peer]], 'children': {'net': {
                'local_ts': [ENDS[me] + '/32'], 'remote_ts': [ENDS[peer] + '/32'], 'esp_proposals': ['aes128-sha1'],
                # One with a lifetime would be left until its end
                'rekey_time': 0}}}})

    def log(self, last=20):
        try:
            with open(f'{self.dir}/log', encoding='utf-8') as f:
                return ''.join(f.readlines()[-last:])
        except OSError:
            return 'no log'

    def acquires(self, addr):
        """How often the kernel has asked it for SAs to there."""
        return len(re.findall(rf'creating acquire job for policy .* === {re.escape(addr)}/32', self.log(0)))

    def runs(self):
        return self.p.poll() is None

    def request(self, what, message=None):
        got, _ = self.vici.request(what, message)
        check(got.get('success', 'yes') == 'yes', f'{self.ns.name}: {what}: {got}\n{self.log()}')

    def sas(self):
        """The IKE SA's number, and the SPIs of its child; of those, too, that are on their way out."""
        ikes = [ike for event in self.vici.request('list-sas')[1] for name, ike in event.items() if name == 'host']
        return ([ike['uniqueid'] for ike in ikes],
                {child[f'spi-{way}'] for ike in ikes for child in ike.get('child-sas', {}).values() for way in ('in', 'out')
                 if f'spi-{way}' in child})

    def close(self):
        self.running.pop(self.ns.name, None)
        if self.vici:
            self.vici.close()
        self.p.terminate()
        try:
            self.p.wait(20)
        except subprocess.TimeoutExpired:
            self.p.kill()
            self.p.wait()


class Tunnel:
    """Both daemons, and the tunnel between them."""

    def __init__(self, auth='psk', beside=()):
        # beside: SPIs of what P sends to the same host and has nothing to do with it
        self.auth, self.beside = auth, beside
        for ns in (World.p, World.u):
            ns.ip(f'addr replace {ENDS[ns.name]}/32 dev lo')
        World.u.ip(f"route replace {ENDS['P']} via {P4}")
        self.socks = [World.p.udp(ENDS['P'], 9000), World.u.udp(ENDS['U'], 9000)]
        try:
            self.begin()
        except BaseException as e:
            self.__exit__(type(e))
            raise

    def begin(self):
        """Those that do not run are started, side by side."""
        self.p, self.u = self.daemons = [Daemon.get(ns) for ns in (World.p, World.u)]
        for d in self.daemons:
            d.ready()
            d.load(self.auth, **({'dpd_delay': 1} if self.auth == 'pubkey' else {}))
        self.initiate()

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        for s in self.socks:
            s.close()
        # They stay, without the tunnel; who knows how they are where a test has failed
        for d in list(Daemon.running.values()):
            if kind:
                say(d.log())
                d.close()
            elif d.sas()[0]:
                d.request('terminate', {'ike': 'host', 'timeout': 60000})
        World.u.ip(f"route del {ENDS['P']} via {P4}")

    def initiate(self):
        self.p.request('initiate', {'child': 'net', 'timeout': 60000})

    @contextlib.contextmanager
    def cut(self):
        """Nothing of IKE, nor of the tunnel, gets to U or leaves it meanwhile."""
        rules = ['table inet cut {', *(f'chain {x} {{ type filter hook {x} priority 0; udp dport {{ 500, {NAT_PORT} }} drop; }}'
                                       for x in ('input', 'output')), '}']
        nft = Nft(World.u)
        nft.run(*rules)
        try:
            yield
        finally:
            nft.run('delete table inet cut')
            nft.close()

    def works(self):
        """Traffic passes, in UDP, both ways."""
        wire = Wire(World.p, 'p0')
        for (a, z), to in ((self.socks, ENDS['U']), (self.socks[::-1], ENDS['P'])):
            data = b'through the tunnel %d' % next(serial)
            a.sendto(data, (to, 9000))
            equal(receive(z), data, 'through the tunnel')
        sent = {(s.proto, s.sport, s.dport) for s in wire.seen() if s.sent and s.dst == U4 and s.spi not in self.beside}
        wire.sock.close()
        equal(sent, {(UDP, NAT_PORT, NAT_PORT)}, 'P sends to U')
        for d in self.daemons:
            check(d.runs(), f'charon has ended: {d.log()}')

    def rekey(self):
        """Both SAs, by messages to and from port 4500."""
        for d, what in ((self.p, 'ike'), (self.u, 'child'), (self.u, 'ike'), (self.p, 'child')):
            (ike,), spi = d.sas()
            d.request('rekey', {what: {'ike': 'host', 'child': 'net'}[what]})

            def done():
                got = [x.sas() for x in self.daemons]
                ikes, now = got[d is self.u]  # pylint: disable=cell-var-from-loop
                # While one takes the other's place there may be none to list
                return (all((len(n), len(s)) == (1, 2) for n, s in got) and
                        (ikes != [ike] if what == 'ike' else not now & spi))  # pylint: disable=cell-var-from-loop
            wait(done, f'{what} is another', 60)
            self.works()


@test('B3 NEIGHBOUR',
      "a UE's set is in use while a daemon with certificates starts, rekeys, finds its peer dead, stops and starts anew",
      limit=600)
def certificates():
    if not os.path.exists(CHARON):
        raise Skip(f'{CHARON} is not there')
    b = bundle(endpoint())
    World.nl.do('bundle-confirm', id=b['id'], lifetime=LONG)
    states = {s['spi'] for s in World.p.states()}
    was = policies()
    check('P' not in Daemon.running, "P's daemon runs already")

    with Phone(b) as phone:
        def messages():
            data = b'message %d' % next(serial)
            for name in ('spi-ps', 'spi-uc', 'spi-us', 'spi-pc'):
                try:
                    phone.deliver(name, data)
                except TimeoutError as e:
                    raise Fail(f'{name}: {e}; of XFRM P counts {World.p.xfrm_stat()}, U {World.u.xfrm_stat()}') from None
        with Rounds(messages) as rounds, Tunnel('pubkey', states) as tunnel:
            tunnel.works()
            rounds.more()
            tunnel.rekey()
            rounds.more()
            with tunnel.cut():
                # Nothing goes through the tunnel: it has to ask
                wait(lambda: not tunnel.p.sas()[0], 'P gives its peer up', 60)
                rounds.more()
            tunnel.initiate()
            tunnel.works()
            tunnel.p.close()
            rounds.more()
            rounds.stop()
            equal(policies(), was, 'policies without the daemon')
            # As some daemons do before they begin. Our policies go along with all others, and come back
            World.p.ip('xfrm state flush', 'xfrm policy flush')
            tunnel.begin()
            wait(lambda: was <= policies(), 'our policies are back')
            with Rounds(messages) as rounds_anew:
                tunnel.works()
                rounds_anew.more()
                not_flooded(tunnel.p, b)
                tunnel.works()
                rounds_anew.more()
    equal((states - {s['spi'] for s in World.p.states()}, policies()), (set(), was), 'SAs that are missing, and policies')


def policies():
    """Those of sockets are not among them: a daemon's have some."""
    return {x for x in re.split(r'^(?=src )', World.p.ip('xfrm policy'), flags=re.MULTILINE)[1:] if '\tsocket ' not in x}


def not_flooded(daemon, b):
    """Of a thousand packets to UEs that have no set, it hears once for each UE."""
    port = next(port for port in PORT_PC if port != b['port-pc'])
    nobodies = ('192.0.2.200', '192.0.2.202')
    with World.p.udp(P4, port) as sock:
        for n in range(1000):
            with contextlib.suppress(OSError):
                sock.sendto(b'to nobody', (nobodies[n % 2], PORT_UC))
    # It hears in order; with a policy of its own, of which it hears as well, it has heard all
    daemon.request('load-conn', {'trap': {
        'version': 2, 'local_addrs': [P4], 'remote_addrs': [NO_GATEWAY], 'local': {'auth': 'psk'}, 'remote': {'auth': 'psk'},
        'children': {'trap': {'local_ts': [P4 + '/32'], 'remote_ts': [NOWHERE + '/32'], 'start_action': 'trap'}}}})
    with World.p.udp(P4, 9001) as sock:
        sock.sendto(b'to be asked for', (NOWHERE, 9000))
    wait(lambda: daemon.acquires(NOWHERE), 'it hears of its own')
    equal([daemon.acquires(x) for x in nobodies], [1, 1], 'how often it has heard of a UE')
    daemon.request('unload-conn', {'name': 'trap'})
    # It may have given up by itself
    daemon.vici.request('terminate', {'ike': 'trap', 'force': 'yes', 'timeout': 60000})


@test('G4 B3', 'an IKE daemon has port 4500: refused, or with nat-shared UEs and its tunnel go together, {}',
      each=tuple(ADDRESSES) if os.environ.get('FULL') else ('IPv4',), limit=600)
def beside(fam):
    if not os.path.exists(CHARON):
        raise Skip(f'{CHARON} is not there')
    nat = Nats.all[0]
    nat.masquerade('random')
    with Tunnel() as tunnel:
        tunnel.works()
        had = World.p.count(), World.p.count('policy')
        expect_error('EADDRINUSE', nat_endpoint, fam, text=str(NAT_PORT))
        equal((World.nl.dump('endpoint-get'), World.p.count(), World.p.count('policy')), ([], *had), 'what is there')
        ep = nat_endpoint(fam, nat_shared=1)
        equal(ep.get('nat-shared'), 1, 'nat-shared')
        b = confirm(nat_bundle(ep, enc_alg='aes-cbc', ue_nat_address=nat.outside[fam]))
        with Sip(ep) as sip, TunnelUe(nat.h, b) as ue:
            ue.register(b)
            ue.works(sip, b)
            check(get(b)['ue-nat-port'] != NAT_PORT, 'the port has not been learnt')
            tunnel.works()
            rest()
            for n in range(10):
                nat.rebind(21000 + n)
                ue.works(sip, b)
                equal(get(b)['ue-nat-port'], 21000 + n, 'ue-nat-port')
                tunnel.works()
            tunnel.rekey()
            ue.works(sip, b)
            # Forgeries, of which the daemon's socket has heard
            hand = Handset(b)
            World.events.drain()
            World.wire.send(*[hand.forged(name, port=40000, seq=5000) for name in ('spi-ps', 'spi-pc')])
            sip.passed()
            sip.nothing('forged')
            equal((mappings(), get(b)['ue-nat-port']), ([], 21009), 'mappings')
            ue.works(sip, b)
            World.nl.do('bundle-del', id=b['id'])
            tunnel.works()
        World.nl.do('endpoint-del', id=ep['id'])
        tunnel.rekey()
        equal((World.p.count(), World.p.count('policy')), had, "the daemon's SAs and policies")
    equal(policies(), set(), 'policies without the tunnel')


@test('G4 B3', 'with nat-traversal at another port both have their sockets', limit=300)
def other_port():
    if not os.path.exists(CHARON):
        raise Skip(f'{CHARON} is not there')
    with Tunnel() as tunnel:
        ep = nat_endpoint(nat_port=4600)
        with Sip(ep) as sip:
            b = nat_bundle(ep)
            ue = Handset(b)
            World.wire.send(ue.outer(ue.esp('spi-ps', ue.inner('spi-ps', b'MESSAGE')), dport=4600))
            equal(sip.receive(b['port-ps'])[0], b'MESSAGE', 'received')
            tunnel.works()
            tunnel.rekey()
        World.nl.do('endpoint-del', id=ep['id'], force=True)
        tunnel.works()


def setup_all():
    setup_nats()


def before_each():
    for nat in Nats.all:
        nat.as_new()
    before()


def teardown_all():
    for d in list(Daemon.running.values()):
        d.close()
    teardown_nats()


if __name__ == '__main__':
    main(setup_all, before_each, teardown_all)
