# SPDX-License-Identifier: GPL-2.0-only
"""The example P-CSCF in P, and phones in U that speak SIP with it.

A phone is sockets, `ip xfrm` and the demo's USIM, and nothing of ours. What it names in Via,
Contact and Security-Client is for each test to say.
"""
import hashlib
import itertools
import json
import os
import re
import select
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
# pylint: disable=wrong-import-position
from ims import ADDRESSES, P4, P6, TOP, Fail, World, check, echo, equal, say, wait  # noqa: E402

PCSCF = os.environ.get('PCSCF') or TOP + '/build/user/pcscf'
IMSIPSEC = TOP + '/build/user/imsipsec'
REALM, UE1, UE2 = 'ims.example', 'ue1@ims.example', 'ue2@ims.example'
CLEAR = 5060
INSTANCE = '"<urn:gsma:imei:35686800-004185-0>"'
serial = itertools.count(1)

# The demo's USIM: all but the last line of the script, which is its command line
with open(TOP + '/selftests/demo/ue', encoding='utf-8') as file:
    usim = {}
    exec(file.read().rpartition('\nCOMMANDS[')[0], usim)  # pylint: disable=exec-used


def vectors(n=8):
    """Of each subscriber so many AKA vectors, which the P-CSCF uses in turn: each challenge has keys of its own."""
    for impi, key in usim['SUBSCRIBERS'].items():
        k, op = map(bytes.fromhex, key)
        for i in range(1, n + 1):
            rand, sqn, amf = hashlib.sha256(f'{impi} {i}'.encode()).digest()[:16], i.to_bytes(6, 'big'), b'\x80\0'
            res, ck, ik, ak, mac_a = usim['milenage'](k, op, rand)
            autn = usim['xor'](sqn, ak) + amf + mac_a(sqn, amf)
            yield ' '.join((impi, *(x.hex() for x in (rand, autn, res, ck, ik))))


def imsipsec(*words):
    """A command, as an operator gives it; what it prints with -j."""
    out = World.p.run(IMSIPSEC, '-j', *words)
    return json.loads(out) if out.strip() else None


def bundles():
    """Those that are there, by the UE's SPI at its client port."""
    return {b['spi-uc']: b for b in World.nl.dump('bundle-get')}


def get(b):
    return World.nl.do('bundle-get', id=b['id'])


def states():
    return {spi: b['state'] for spi, b in bundles().items()}


class Pcscf:
    """The example P-CSCF, ready; what it says is shown if the test fails."""

    def __init__(self, *options, addresses=(P4, P6), challenges=8, prefix=()):
        """prefix: where and as whom it runs; in P if nothing is said."""
        self.log = tempfile.NamedTemporaryFile('w+', encoding='utf-8')  # pylint: disable=consider-using-with
        self.vectors = tempfile.NamedTemporaryFile('w', encoding='utf-8')  # pylint: disable=consider-using-with
        self.vectors.write('\n'.join(vectors(challenges)) + '\n')
        self.vectors.flush()
        argv = [*prefix, PCSCF, '-v', *[x for a in addresses for x in ('-l', a)], '--vectors', self.vectors.name, *options]
        echo('P', ' '.join(argv))
        with World.p:
            self.process = subprocess.Popen(argv, stderr=self.log)  # pylint: disable=consider-using-with
        try:
            wait(lambda: self.said('ready') or self.process.poll() is not None, 'the P-CSCF is ready', 60)
            check(self.process.poll() is None, 'the P-CSCF has ended')
        except Fail:
            self.__exit__(Fail)
            raise

    def lines(self):
        self.log.seek(0)
        return [x.rstrip('\n').removeprefix('pcscf: ') for x in self.log]

    def said(self, text):
        return any(text in x for x in self.lines())

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        self.process.kill()
        self.process.wait()
        if kind:
            say('\n'.join('pcscf: ' + x for x in self.lines()))
        self.log.close()
        self.vectors.close()


class Set:
    """What a phone offers, and what the P-CSCF makes of it."""

    def __init__(self, spi, port_c=6301, port_s=6300, alg='hmac-sha-1-96', ealg='null', more=''):
        self.spi, self.port_c, self.port_s = spi, port_c, port_s
        self.mine = {'alg': alg, 'ealg': ealg, 'spi-c': str(spi), 'spi-s': str(spi + 1), 'port-c': str(port_c), 'port-s': str(port_s)}
        self.client = 'ipsec-3gpp;' + ';'.join(f'{k}={v}' for k, v in self.mine.items()) + more
        self.server = self.verify = self.nonce = self.res = None


class Message:
    """A SIP message, and where it came from and to."""

    def __init__(self, data, source, port):
        self.text, self.source, self.port = data.decode(), source, port
        self.first, *lines = self.text.partition('\r\n\r\n')[0].split('\r\n')
        self.status = self.first.split()[1] if self.first.startswith('SIP/2.0 ') else None
        self.method = None if self.status else self.first.split()[0]
        self.headers = [x.partition(':') for x in lines]

    def __repr__(self):
        return f'{self.first!r} at port {self.port} from port {self.source}'

    def all(self, name):
        return [value.strip() for n, _, value in self.headers if n.strip().lower() == name.lower()]

    def __getitem__(self, name):
        return next(iter(self.all(name)), None)


class Phone:
    """A phone of a subscriber's.

    What the first methods say is what some phones do in another way: `over` is the set that a
    request goes over, None is in clear.
    """

    def __init__(self, impi=UE1, fam='IPv4', address=None):
        self.impi, self.p, self.address = impi, ADDRESSES[fam][0], address or ADDRESSES[fam][1]
        self.host = f'[{self.address}]' if ':' in self.address else self.address
        self.socks, self.cseq, self.heard, self.reqid = {}, 0, [], itertools.count(1)
        self.call_id = f'{next(serial)}@{self.host}'
        self.clear_port = CLEAR
        # Where it is, and how its ESP is packed
        self.ns, self.mode, self.encap = World.u, 'transport', ''

    def via(self, over):
        """The port in Via."""
        return over.port_s if over else self.clear_port

    def contact(self, over):
        """TS 24.229 clause 5.1.1.2.2: over a set it has the protected server port."""
        return f'<sip:{self.impi.partition("@")[0]}@{self.host}{f":{over.port_s}" if over else ""}>'

    def ports(self, new):
        """Where it has sockets."""
        return new.port_c, new.port_s

    # --- No more of these

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for s in self.socks.values():
            s.close()
        World.phones.flush_states()
        World.phones.flush_policies()

    def sock(self, port):
        if port not in self.socks:
            self.socks[port] = self.ns.udp(self.address, port)
        return self.socks[port]

    # --- SAs

    def install(self, new):
        """The SAs of a set. What the phone sends goes over the set that it has made last."""
        server, commands = new.server, []
        auth, enc = usim['expand'](server, *new.keys)
        bits = 128 if ':' in self.p else 32
        for out, sport, dport, spi in (
                (True, new.port_c, server['port-s'], server['spi-s']), (False, server['port-s'], new.port_c, new.mine['spi-c']),
                (False, server['port-c'], new.port_s, new.mine['spi-s']), (True, new.port_s, server['port-c'], server['spi-c'])):
            src, dst = (self.address, self.p) if out else (self.p, self.address)
            sel = f'src {src}/{bits} dst {dst}/{bits} sport {sport} dport {dport}'
            reqid = next(self.reqid)
            commands += [f"xfrm state add src {src} dst {dst} proto esp spi {spi} reqid {reqid} mode {self.mode} replay-window 32 "
                         f"auth-trunc {auth[0]} 0x{auth[1].hex()} 96 enc {enc[0]} {'0x' + enc[1].hex() if enc[1] else chr(34) * 2} {self.encap}sel {sel}",
                         f"xfrm policy update {sel} dir {'out' if out else 'in'} tmpl src {src} dst {dst} proto esp "
                         f"{f'reqid {reqid} ' if out else ''}mode {self.mode}"]
        self.ns.ip(*commands)
        for port in self.ports(new):
            self.sock(port)

    def forget(self, old):
        """The phone takes nothing over a set any more."""
        World.u.ip(*(f'xfrm state delete src {self.p} dst {self.address} proto esp spi {old.mine[x]}' for x in ('spi-c', 'spi-s')))

    def agree(self, new, answer):
        """With what the 401 says: the phone takes the first mechanism that it has got, whatever q is."""
        new.verify = ', '.join(answer.all('Security-Server'))
        new.nonce = re.search(r'nonce="([^"]*)"', answer['WWW-Authenticate'])[1]
        new.res, *new.keys = usim['aka'](self.impi, new.nonce)
        new.server = self.choose([usim['mechanism'](x) for x in new.verify.split(',')], new)
        self.install(new)

    def choose(self, mechanisms, new):
        return next(m for m in mechanisms if all(m.get(x, 'null') == new.mine[x] for x in ('alg', 'ealg')))

    # --- SIP

    def send(self, text, over):
        sock = self.sock(over.port_c if over else self.clear_port)
        sock.sendto(text.encode(), (self.p, int(over.server['port-s']) if over else CLEAR))

    def connect(self, over):
        """A TCP connection from port_uc to port_ps."""
        s = self.ns.tcp(self.address, over.port_c)
        s.connect_ex((self.p, int(over.server['port-s'])))
        if not select.select([], [s], [], 20)[1] or s.getsockopt(1, 4):
            raise Fail(f'no TCP connection: {os.strerror(s.getsockopt(1, 4))}')
        return s

    def next(self, wanted, timeout=20):
        """The next message that is wanted; others are kept for the next call."""
        for m in self.heard:
            if wanted(m):
                self.heard.remove(m)
                return m
        while True:
            ready = select.select(list(self.socks.values()), [], [], timeout)[0]
            if not ready:
                raise Fail(f'nothing heard within {timeout} s, but for {self.heard}')
            for s in ready:
                data, source = s.recvfrom(1 << 16)
                self.heard.append(Message(data, source[1], s.getsockname()[1]))
            for m in self.heard:
                if wanted(m):
                    self.heard.remove(m)
                    return m

    def text_of(self, method, over, *headers, user=None, contact=None, to=None):
        self.cseq += 1
        return '\r\n'.join((
            f'{method} sip:{REALM} SIP/2.0',
            f'Via: SIP/2.0/UDP {self.host}:{self.via(over)};branch=z9hG4bK{self.call_id.partition("@")[0]}-{self.cseq}',
            f'From: <sip:{user or self.impi}>;tag=ue', f'To: <sip:{to or self.impi}>', f'Call-ID: {self.call_id}',
            f'CSeq: {self.cseq} {method}', f'Contact: {contact or self.contact(over)}', *headers, 'Content-Length: 0', '', ''))

    def answer(self):
        """To the request that was sent last."""
        return self.next(lambda m: m.status and m['CSeq'].split()[0] == str(self.cseq) and m['Call-ID'] == self.call_id)

    def request(self, method, over, *headers, **more):
        """Over a set, or in clear (None); its answer."""
        self.send(self.text_of(method, over, *headers, **more), over)
        return self.answer()

    def respond(self, request, over, status='200 OK'):
        """The answer to a request of the P-CSCF's, from port_uc to the port in its Via."""
        copied = [f'{name}: {request[name]}' for name in ('Via', 'From', 'To', 'Call-ID', 'CSeq')]
        port = int(re.match(r'SIP/2.0/UDP .*?:(\d+);', request['Via'])[1])
        self.sock(over.port_c).sendto('\r\n'.join((f'SIP/2.0 {status}', *copied, 'Content-Length: 0', '', '')).encode(),
                                      (self.p, port))

    def register(self, new, over=None, verify=None, expires=600, **more):
        return self.request('REGISTER', over, *self.headers(new, over, verify, expires), **more)

    def headers(self, new, over, verify=None, expires=600):
        """Of a REGISTER: with the digest, if `over` is the new set, whose challenge the phone answers."""
        if over is new and new.res:
            digest = usim['digest'](self.impi, REALM, 'sip:' + REALM, new.nonce, new.res)
        else:
            digest = f'Digest username="{self.impi}", realm="{REALM}", uri="sip:{REALM}", nonce="", response=""'
        headers = [f'Authorization: {digest}', f'Security-Client: {new.client}', f'Expires: {expires}', 'Require: sec-agree']
        verify = verify or over
        if verify:
            headers.append(f'Security-Verify: {verify.verify}')
        return headers

    def challenge(self, new, over=None, **more):
        """REGISTER, 401, and the phone has its SAs."""
        answer = self.register(new, over, **more)
        equal(answer.status, '401', f'the answer to REGISTER, {answer}')
        self.agree(new, answer)
        return answer

    def confirm(self, new, **more):
        """REGISTER over the new set, 200 OK."""
        answer = self.register(new, new, **more)
        equal(answer.status, '200', f'the answer to REGISTER over the new set, {answer}')
        return answer

    def sign_up(self, new, over=None):
        self.challenge(new, over)
        return self.confirm(new)

    def talk(self, over, status='200'):
        """A MESSAGE over the set, and its answer."""
        answer = self.request('MESSAGE', over)
        equal(answer.status, status, f'the answer to MESSAGE, {answer}')
        return answer
