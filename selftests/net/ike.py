#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only
"""An IKE daemon beside us: strongSwan, which has port 4500 first.

P and U have a tunnel of their own, by IKEv2, in UDP as behind a NAT, by a shared key or
by certificates; UEs are behind the NATs of lib/natted.py, or at U.  Starting charon takes
long in a VM: IPv6 and certificates are tried with FULL in the environment.
"""
import contextlib
import datetime
import os
import re
import shutil
import subprocess
import sys
import time

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
PLUGINS = 'random nonce aes sha1 sha2 hmac kdf gmp kernel-netlink socket-default vici updown pem pkcs1 pkcs8 x509 pubkey constraints'


class Certificates:
    """A CA, and what it has signed for P and U: made when first asked for."""
    made = None

    @classmethod
    def get(cls):
        """{(folder of swanctl's, name): PEM}"""
        if not cls.made:
            ca_key = rsa.generate_private_key(65537, 2048)
            ca = cls.sign('CA', ca_key.public_key(), 'CA', ca_key, True)
            cls.made = {('x509ca', 'CA'): ca}
            for name in ENDS:
                key = rsa.generate_private_key(65537, 2048)
                cls.made['x509', name] = cls.sign(name, key.public_key(), 'CA', ca_key, False)
                cls.made['private', name] = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8,
                                                              serialization.NoEncryption())
        return cls.made

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


class Daemon:
    """charon in a namespace; what it writes while it runs is in its own folder."""

    def __init__(self, ns, other, auth='psk'):
        self.ns, self.dir = ns, f'/tmp/ike-{ns.name}'
        shutil.rmtree(self.dir, ignore_errors=True)
        os.makedirs(self.dir)
        self.env = dict(os.environ, STRONGSWAN_CONF=f'{self.dir}/strongswan.conf', SWANCTL_DIR=self.dir)
        self.uri = f'unix://{self.dir}/vici'
        me, peer = ns.name, other.name
        who = {n: f'id = {n}' for n in (me, peer)}
        if auth == 'pubkey':
            # Their certificates say who they are
            who = {n: '' for n in (me, peer)}
            for (folder, name), pem in Certificates.get().items():
                if name in ('CA', me):
                    os.makedirs(f'{self.dir}/{folder}', exist_ok=True)
                    self.write(f'{folder}/{name}.pem', pem.decode())
        self.write('strongswan.conf', f'''
            charon {{
                load = {PLUGINS}
                install_routes = no
                install_virtual_ip = no
                # Given up after ten seconds
                retransmit_timeout = 2.5
                retransmit_base = 1
                retransmit_tries = 3
                filelog {{ log {{ path = {self.dir}/log
                                  default = 1 }} }}
                plugins {{ vici {{ socket = {self.uri} }} }}
            }}''')
        self.write('swanctl.conf', f'''
            connections {{ host {{
                version = 2
                proposals = aes128-sha256-modp2048
                local_addrs = {OUTSIDE[me]}
                remote_addrs = {OUTSIDE[peer]}
                encap = yes
                {'dpd_delay = 2s' if auth == 'pubkey' else ''}
                local {{ auth = {auth}
                         {f'certs = {me}.pem' if auth == 'pubkey' else ''}
                         {who[me]} }}
                remote {{ auth = {auth}
                          {who[peer]} }}
                children {{ net {{
                    local_ts = {ENDS[me]}/32
                    remote_ts = {ENDS[peer]}/32
                    esp_proposals = aes128-sha1
                }} }}
            }} }}
            {'secrets { ike { secret = correct-horse-battery } }' if auth == 'psk' else ''}''')
        # Its process's number is in /run, where there are two of them
        with ns:
            self.p = subprocess.Popen(['unshare', '-m', 'sh', '-c', f'mount -t tmpfs run /run && exec {CHARON}'],
                                      env=self.env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        wait(lambda: os.path.exists(f'{self.dir}/vici') or not self.runs(), 'charon is there', 60)
        if not self.runs():
            raise Fail(f'charon has ended: {self.log()}')
        self.swanctl('--load-all', '--file', f'{self.dir}/swanctl.conf')

    def write(self, name, text):
        with open(f'{self.dir}/{name}', 'w', encoding='ascii') as f:
            f.write(text + '\n')

    def log(self):
        try:
            with open(f'{self.dir}/log', encoding='utf-8') as f:
                return ''.join(f.readlines()[-20:])
        except OSError:
            return 'no log'

    def said(self, text):
        """How many lines of its log have this in them."""
        with open(f'{self.dir}/log', encoding='utf-8') as f:
            return sum(text in line for line in f)

    def runs(self):
        return self.p.poll() is None

    def swanctl(self, what, *more):
        done = subprocess.run(['swanctl', what, *more, '--uri', self.uri], stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True, check=False, env=self.env)
        if done.returncode:
            raise Fail(f'swanctl {what}: {done.stdout}\n{self.log()}')
        return done.stdout

    def sas(self):
        """The IKE SA's number, and the SPIs of its child."""
        text = self.swanctl('--list-sas')
        return re.findall(r'^host: #(\d+), ESTABLISHED', text, re.M), set(re.findall(r'^ +(?:in|out) +([0-9a-f]{8})', text, re.M))

    def close(self):
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
        self.daemons, self.auth, self.beside = [], auth, beside
        for ns in (World.p, World.u):
            ns.ip(f'addr replace {ENDS[ns.name]}/32 dev lo')
        World.u.ip(f"route replace {ENDS['P']} via {P4}")
        try:
            for ns, other in ((World.p, World.u), (World.u, World.p)):
                self.daemons.append(Daemon(ns, other, auth))
            self.p, self.u = self.daemons
            self.initiate()
        except BaseException:
            self.__exit__()
            raise
        self.socks = [World.p.udp(ENDS['P'], 9000), World.u.udp(ENDS['U'], 9000)]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for s in getattr(self, 'socks', ()):
            s.close()
        for d in self.daemons:
            d.close()
        World.u.ip(f"route del {ENDS['P']} via {P4}")

    def initiate(self):
        self.p.swanctl('--initiate', '--child', 'net', '--timeout', '60')

    def restart(self):
        """P's daemon ends, and another begins; as some do, it flushes all that there is."""
        self.p.close()
        World.p.ip('xfrm state flush', 'xfrm policy flush')
        self.daemons[0] = self.p = Daemon(World.p, World.u, self.auth)
        self.initiate()

    @contextlib.contextmanager
    def cut(self):
        """Nothing of IKE, nor of the tunnel, gets to U or leaves it meanwhile."""
        rules = ['table inet cut {', *(f'chain {x} {{ type filter hook {x} priority 0; udp dport {{ 500, {NAT_PORT} }} drop; }}'
                                       for x in ('input', 'output')), '}']
        World.u.run('nft', '-f', '-', stdin='\n'.join(rules) + '\n')
        try:
            yield
        finally:
            World.u.run('nft delete table inet cut')

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
            ike, spi = d.sas()
            check(ike and spi, f'no SAs: {d.swanctl("--list-sas")}')
            d.swanctl('--rekey', f'--{what}', {'ike': 'host', 'child': 'net'}[what])

            def done():
                new = d.sas()  # pylint: disable=cell-var-from-loop
                return len(new[0]) == 1 and (new[0] != ike if what == 'ike' else not new[1] & spi)  # pylint: disable=cell-var-from-loop
            wait(done, f'{what} is another', 60)
            self.works()


@test('G4 B3', 'an IKE daemon has port 4500: refused, or with nat-shared UEs and its tunnel go together, {}',
      each=tuple(ADDRESSES) if os.environ.get('FULL') else ('IPv4',), limit=600)
def beside(fam):
    if not os.path.exists(CHARON):
        raise Skip(f'{CHARON} is not there')
    nat = Nats.all[0]
    nat.masquerade('random')
    with Tunnel() as tunnel:
        tunnel.works()
        states, policies = World.p.count(), World.p.count('policy')
        expect_error('EADDRINUSE', nat_endpoint, fam, text=str(NAT_PORT))
        equal((World.nl.dump('endpoint-get'), World.p.count(), World.p.count('policy')), ([], states, policies), 'what is there')
        ep = nat_endpoint(fam, nat_shared=1)
        equal(ep.get('nat-shared'), 1, 'nat-shared')
        b = confirm(nat_bundle(ep, enc_alg='aes-cbc', ue_nat_address=nat.outside[fam]))
        with Sip(ep) as sip, TunnelUe(nat.h, b) as ue:
            ue.register(b)
            ue.works(sip, b)
            check(get(b)['ue-nat-port'] != NAT_PORT, 'the port has not been learnt')
            tunnel.works()
            last = time.monotonic()
            for n in range(10):
                nat.rebind(21000 + n)
                wait(lambda: time.monotonic() > last + 0.2, 'time passes')  # pylint: disable=cell-var-from-loop
                last = time.monotonic()
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
        equal((World.p.count(), World.p.count('policy')), (states, policies), "the daemon's SAs and policies")
    equal(World.p.run('ip xfrm policy'), '', 'policies without the daemon')


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


@test('B3 NEIGHBOUR', "a UE's set is in use while a daemon with certificates starts, rekeys, finds its peer dead, restarts and stops",
      limit=600)
def certificates():
    if not os.path.exists(CHARON):
        raise Skip(f'{CHARON} is not there')
    if not os.environ.get('FULL'):
        raise Skip('it takes long: with FULL in the environment alone')
    b = bundle(endpoint())
    World.nl.do('bundle-confirm', id=b['id'], lifetime=LONG)
    states = {s['spi'] for s in World.p.states()}
    was = policies()

    with Phone(b) as phone:
        def messages():
            data = b'message %d' % next(serial)
            for name in ('spi-ps', 'spi-uc', 'spi-us', 'spi-pc'):
                phone.deliver(name, data)
        with Rounds(messages) as rounds:
            with Tunnel('pubkey', states) as tunnel:
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
                # Our policies go along with all others, and come back: no message may be under way
                rounds.stop()
                tunnel.restart()
                wait(lambda: was <= policies(), 'our policies are back')
                with Rounds(messages) as rounds:
                    tunnel.works()
                    nobody(b)
                    tunnel.works()
                    n = tunnel.p.said('acquire job')
                    say(f'{n} acquires in the log for a thousand packets')
                    check(n <= 1, f'{n} acquires in the log: {tunnel.p.log()}')
                    rounds.more()
            with Rounds(messages) as rounds:
                rounds.more()
    equal((states - {s['spi'] for s in World.p.states()}, policies()), (set(), was), 'SAs that are missing, and policies')


def policies():
    return set(re.split(r'^(?=src )', World.p.ip('xfrm policy'), flags=re.MULTILINE)[1:])


def nobody(b):
    """A thousand packets to a UE that has no set."""
    sock = World.p.udp(P4, next(port for port in PORT_PC if port != b['port-pc']))
    for _ in range(1000):
        with contextlib.suppress(OSError):
            sock.sendto(b'to nobody', ('192.0.2.200', PORT_UC))
    sock.close()


def before_each():
    for nat in Nats.all:
        nat.as_new()
    before()


if __name__ == '__main__':
    main(setup_nats, before_each, teardown_nats)
