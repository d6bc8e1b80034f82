# SPDX-License-Identifier: GPL-2.0-only
"""Namespace C, behind the P-CSCF, and in it an S-CSCF of a few lines.

     U  u0 ---- p0  P  p1 ---- c0  C
     192.0.2.2  192.0.2.1      198.51.100.1, .2
"""
import base64
import contextlib
import hashlib
import os
import queue
import re
import select
import socket
import sys
import threading

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
# pylint: disable=wrong-import-position
from hss import sqn_of  # noqa: E402
import ims  # noqa: E402
from ims import P4, P6, Fail, Namespace, World, accepted  # noqa: E402
from sip_phone import REALM, UE1, Message, usim  # noqa: E402

CORE_P, CORE = '198.51.100.1', '198.51.100.2'
CORE_P6, CORE6 = '2001:db8:c::1', '2001:db8:c::2'


def make_core():
    """Namespace C, and the link to it."""
    core = World.core = Namespace('C')
    World.p.ip('link add p1 type veth peer name c0 netns C')
    for ns, dev, four, six in ((World.p, 'p1', CORE_P, CORE_P6), (core, 'c0', CORE, CORE6)):
        ns.ip(f'addr add {four}/24 dev {dev}', f'addr add {six}/64 dev {dev} nodad', f'link set {dev} up')
    # The P-CSCF has one address by default
    core.ip(f'route add {P4}/32 via {CORE_P}', f'route add {P6}/128 via {CORE_P6}')
    # Nothing waits for neighbours, which answer when they like
    mac = {ns.name: re.search(r'link/ether (\S+)', ns.ip(f'link show {dev}'))[1] for ns, dev in ((World.p, 'p1'), (core, 'c0'))}
    World.p.ip(f'neigh replace {CORE} lladdr {mac["C"]} dev p1 nud permanent', f'neigh replace {CORE6} lladdr {mac["C"]} dev p1 nud permanent')
    core.ip(*(f'neigh replace {a} lladdr {mac["P"]} dev c0 nud permanent' for a in (CORE_P, CORE_P6)))


def setup_with_core():
    """P, U and C."""
    ims.setup()
    make_core()


def teardown_with_core():
    ims.teardown()
    if getattr(World, 'core', None):
        World.core.delete()


class Meanwhile:
    """What runs in a thread of its own for as long as the block lasts: run() ends when there is something to read from quit."""

    def begin(self):
        self.lock = threading.Condition()
        self.quit, self.woken = os.pipe()
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        os.close(self.woken)
        self.thread.join()
        os.close(self.quit)


class Core(Meanwhile):
    """The S-CSCF: challenges, each with keys of its own, and answers; what it hears is kept."""

    def __init__(self, address=CORE, expires=600, identities=None):
        self.address, self.expires, self.identities = address, expires, identities
        self.host = f'[{address}]' if ':' in address else address
        self.udp = World.core.udp(address, 5060)
        self.udp.setsockopt(socket.SOL_SOCKET, 33, 16 << 20)   # SO_RCVBUFFORCE
        self.listener = World.core.tcp(address, 5060, True)
        self.vectors, self.n = {}, 0
        self.auts = []          # the SQNs that phones have said, None of what was not a phone's
        self.heard, self.challenge, self.failed = [], set(), None
        self.keys_of = None     # what a wrong S-CSCF would say instead
        self.status = '200 OK'
        self.contacts = {}
        self.others = ()        # contacts of other phones, as its 200 to REGISTER lists them
        self.answered, self.times = {}, 1
        self.later = set()      # methods that are answered by the test, with reply_to()
        self.finals = {}        # of requests whose answers are awaited, by Call-ID
        self.forgets = False    # of many phones nothing else is kept: each search would be through all of it
        self.conns = []
        self.demand(None, UE1)
        self.vectors.clear()
        self.begin()

    def __exit__(self, *why):
        super().__exit__(*why)
        for s in (self.udp, self.listener, *self.conns):
            s.close()

    def run(self):
        while True:
            ready = select.select([self.quit, self.udp, self.listener, *self.conns], [], [])[0]
            if self.quit in ready:
                return
            for s in ready:
                if s is self.listener:
                    conn = accepted(s)
                    if conn:
                        self.conns.append(conn)
                elif s is self.udp:
                    data, source = s.recvfrom(1 << 16)
                    self.take(data, source, lambda x, a=source: self.udp.sendto(x, a))
                else:
                    data = s.recv(1 << 16)
                    if not data:
                        self.conns.remove(s)
                        s.close()
                    else:
                        self.take(data, s.getpeername(), s.send)

    def take(self, data, source, send):
        if not data.strip():
            return
        m = Message(data, source[1], 5060)
        m.host = source[0]
        if m.status and m['Call-ID'] in self.finals:
            if m.status[0] != '1':
                self.finals[m['Call-ID']].put(m)
        elif not self.forgets:
            with self.lock:
                self.heard.append(m)
                self.lock.notify_all()
        if m.status or m.method == 'ACK' or m.method in self.later:
            return
        # What comes again is answered as before
        key = m['Call-ID'], m['CSeq'], m['Via']
        if key not in self.answered:
            self.answered[key] = self.answer(m)
            for _ in range(1, self.times):
                send(self.answered[key].encode())
        send(self.answered[key].encode())

    def next(self, wanted, timeout=20):
        """The next message that is wanted."""
        def found():
            for m in self.heard:
                if wanted(m):
                    self.heard.remove(m)
                    return m
            return None
        with self.lock:
            if not self.lock.wait_for(lambda: any(wanted(m) for m in self.heard), timeout):
                raise Fail(f'the S-CSCF has not heard it within {timeout} s, but {self.heard}')
            return found()

    @contextlib.contextmanager
    def final_of(self, call, timeout=60):
        """What gives the final answer to a request with this Call-ID that is sent meanwhile."""
        answers = self.finals[call] = queue.SimpleQueue()

        def final():
            try:
                return answers.get(timeout=timeout)
            except queue.Empty:
                raise Fail(f'the S-CSCF has heard no answer to {call} within {timeout} s') from None
        try:
            yield final
        finally:
            del self.finals[call]

    def reply(self, m, status, *headers):
        copied = [f'{n}: {v}' for n in ('Via', 'Record-Route', 'From', 'Call-ID', 'CSeq') for v in m.all(n)]
        to = m['To'] if 'tag=' in m['To'] else m['To'] + ';tag=core'
        return '\r\n'.join((f'SIP/2.0 {status}', *copied, f'To: {to}', *headers, 'Content-Length: 0', '', ''))

    def reply_to(self, m, status):
        """To what was left unanswered, over UDP."""
        self.udp.sendto(self.reply(m, status, f'Contact: <sip:core@{self.host}:5060>').encode(), (m.host, m.source))

    def answer(self, m):
        if m.method == 'REGISTER':
            return self.register(m)
        return self.reply(m, '200 OK', f'Contact: <sip:core@{self.host}:5060>')

    def register(self, m):
        auth = dict(re.findall(r'(\w+)="([^"]*)"', m['Authorization'] or ''))
        impi = auth.get('username') or re.search(r'<(?:sips?|tel):([^>;]*)', m['To'])[1]
        vector = self.vectors.get(auth.get('nonce'))
        if vector and 'auts' in auth:
            self.resynchronise(impi, auth)
            return self.demand(m, impi)
        if not vector or impi in self.challenge or auth.get('response') != self.expected(m, impi, auth, vector):
            self.challenge.discard(impi)
            return self.demand(m, impi)
        if self.status != '200 OK':
            return self.reply(m, self.status)
        contact = m['Contact']
        expires = int(re.search(r'expires=(\d+)', contact)[1] if 'expires=' in contact else m['Expires'] or self.expires)
        if expires:
            self.contacts[impi] = re.search(r'<([^>]*)>', contact)[1]
        else:
            self.contacts.pop(impi, None)
        uri = re.search(r'<[^>]*>', contact)[0]
        return self.reply(m, '200 OK', 'Contact: ' + ', '.join((f'{uri};expires={expires}', *self.others)),
                          'P-Associated-URI: ' + ', '.join(f'<{x}>' for x in (self.identities or ('sip:' + impi, 'tel:+4930' + impi[2]))),
                          f'Service-Route: <sip:orig@{self.host}:5060;lr>', *(f'Path: {x}' for x in m.all('Path')))

    def resynchronise(self, impi, auth):
        """AUTS: the next SQN is above that of the phone, if it is the phone that says so."""
        k, op = map(bytes.fromhex, usim['SUBSCRIBERS'][impi])
        sqn = sqn_of(k, op, base64.b64decode(auth['nonce'])[:16], base64.b64decode(auth['auts']))
        self.auts.append(sqn)
        if sqn is not None:
            self.n = max(self.n, sqn)

    @staticmethod
    def expected(m, impi, auth, vector):
        """The response that the phone's cnonce and count make, by RFC 2617 and 3310."""
        def md5(*parts):
            return hashlib.md5(b':'.join(parts)).hexdigest().encode()
        count = re.search(r'\bnc="?(\w+)', m['Authorization'])
        middle = [count[1].encode(), auth['cnonce'].encode(), b'auth'] if count else []
        return md5(md5(impi.encode(), REALM.encode(), vector[0]), auth['nonce'].encode(), *middle,
                   md5(m.method.encode(), auth['uri'].encode())).decode()

    def demand(self, m, impi):
        self.n += 1
        k, op = map(bytes.fromhex, usim['SUBSCRIBERS'][impi])
        rand, sqn, amf = hashlib.sha256(f'{impi} {self.n}'.encode()).digest()[:16], self.n.to_bytes(6, 'big'), b'\x80\0'
        res, ck, ik, ak, mac_a = usim['milenage'](k, op, rand)
        nonce = base64.b64encode(rand + usim['xor'](sqn, ak) + amf + mac_a(sqn, amf)).decode()
        self.vectors[nonce] = (res, ck, ik)
        if not m:
            return ''
        if self.keys_of:
            ck, ik = self.keys_of(ck, ik)
        return self.reply(m, '401 Unauthorized', f'WWW-Authenticate: Digest realm="{REALM}", nonce="{nonce}", algorithm=AKAv1-MD5, '
                          f'qop="auth", ck="{ck.hex()}", ik="{ik.hex()}"')

    # --- What it sends on its own

    def within(self, m, method, cseq=100):
        """In the dialog that a phone's request has begun, by the route that it was recorded with."""
        route = [x.strip() for h in m.all('Record-Route') for x in h.split(',')]
        host, port = re.match(r'<sip:(\[[^]]*\]|[^:;>]*):?(\d*)', route[0]).groups()
        text = '\r\n'.join((f'{method} {re.search("<([^>]*)>", m["Contact"])[1]} SIP/2.0',
                            f'Via: SIP/2.0/UDP {self.host}:5060;branch=z9hG4bKwithin-{m["Call-ID"]}-{cseq}',
                            *(f'Route: {x}' for x in route), f'From: {m["To"]};tag=core', f'To: {m["From"]}',
                            f'Call-ID: {m["Call-ID"]}', f'CSeq: {cseq} {method}', 'Max-Forwards: 70', 'Content-Length: 0', '', ''))
        self.udp.sendto(text.encode(), (host.strip('[]'), int(port or 5060)))
        return route

    def request(self, method, impi=UE1, to=(P4, 5060), uri=None, branch=None, more=(), call='core', cseq=1, tags=''):
        """To the P-CSCF, for a phone's contact."""
        uri = uri or self.contacts[impi]
        text = '\r\n'.join((f'{method} {uri} SIP/2.0',
                            f'Via: SIP/2.0/UDP {self.host}:5060;branch=z9hG4bK{branch or f"core-{method}-{call}-{cseq}"}',
                            f'From: <sip:ue2@{REALM}>;tag=core', f'To: <sip:{impi}>{tags}', f'Call-ID: {call}', f'CSeq: {cseq} {method}',
                            f'Contact: <sip:core@{self.host}:5060>', 'Max-Forwards: 70', *more, 'Content-Length: 0', '', ''))
        self.udp.sendto(text.encode(), to)
