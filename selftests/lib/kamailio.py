# SPDX-License-Identifier: GPL-2.0-only
"""Kamailio as P-CSCF in P, phones in U, and an S-CSCF of a few lines in C.

     U  u0 ---- p0  P  p1 ---- c0  C
     192.0.2.2  192.0.2.1      198.51.100.1, .2

Kamailio is Debian's own, 5.6 or 6.0 (KAMAILIO in the environment), with the module of this tree or with the one that
it comes with (IPSEC=ims_ipsec_pcscf). Its routing is selftests/kamailio/pcscf.cfg.
"""
import base64
import contextlib
import functools
import glob
import hashlib
import json
import os
import re
import select
import shutil
import socket
import sqlite3
import subprocess
import sys
import tempfile
import threading

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
# pylint: disable=wrong-import-position
from ims import ADDRESSES, P4, P6, TOP, U4, Fail, Namespace, World, accepted, check, echo, say, wait  # noqa: E402
from natted import INNER, NAT_PORT, Nat, encap_socket  # noqa: E402
from sip_phone import IMSIPSEC, REALM, UE1, Message, Phone, usim  # noqa: E402

VERSION = os.environ.get('KAMAILIO') or '5.6'
# The module that is to be loaded: ours, or Debian's
IPSEC = os.environ.get('IPSEC') or 'ims_ipsec'
OURS = IPSEC == 'ims_ipsec'
# ipsec_destroy with two arguments, and ipsec_destroy_by_contact: 5.6's own module has neither
BY_CONTACT = OURS or VERSION != '5.6'
# ipsec_preferred_alg and _ealg
PREFERRED = OURS or VERSION != '5.6'
# The folder of ours; selftests/mutate has others
MODULE = os.environ.get('KAMAILIO_MODULE') or f'{TOP}/build/kamailio-{VERSION}'
CORE_P, CORE = '198.51.100.1', '198.51.100.2'
CORE_P6, CORE6 = '2001:db8:c::1', '2001:db8:c::2'
PS, PC = 6100, (5100, 5101)


FAST = f'/run/kamailio-{VERSION}-{IPSEC}'


@functools.lru_cache
def folder():
    """That of `selftests/kamailio/setup get`, which the host has called before the VM; what is run of it, and our module,
    are copied to where the VM has its memory: it is started for each test."""
    out = subprocess.run([TOP + '/selftests/kamailio/setup', 'get', VERSION], stdout=subprocess.PIPE, text=True, check=True)
    found = out.stdout.strip()
    with open(TOP + '/selftests/kamailio/pcscf.cfg', encoding='utf-8') as f:
        wanted = {x + '.so' for x in re.findall(r'loadmodule "(\w+).so"', f.read())} | {IPSEC + '.so'}

    def without(path, names):
        if path.endswith('/kamailio/modules'):
            return set(names) - wanted
        # The one large file, which is there for another that is
        return {x for x in names if x in ('src', 'share', 'gconv', 'etc') or x.startswith('libicudata')}
    # Another test program may have done it
    if not os.path.exists(FAST):
        shutil.copytree(found, FAST + '.new', symlinks=True, ignore=without)
        for path in glob.glob(found + '/root/usr/lib/*/libicudata*'):
            os.symlink(path, FAST + '.new' + path.removeprefix(found))
        os.rename(FAST + '.new', FAST)
    if OURS:
        shutil.copy(MODULE + '/ims_ipsec.so', f'{FAST}/root/{Kamailio.modules}/')
    return FAST


def in_use(port):
    """Has P a socket at it."""
    with World.p:
        for name in ('tcp', 'tcp6', 'udp', 'udp6'):
            with open(f'/proc/thread-self/net/{name}', encoding='ascii') as f:
                if re.search(rf'^ *\d+: \w+:{port:04X} ', f.read(), re.M):
                    return True
    return False


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


class Kamailio:
    """Kamailio, ready; what it says is shown if the test fails."""
    # Where Debian's has it
    modules = 'usr/lib/x86_64-linux-gnu/kamailio/modules'

    def __init__(self, *settings, forward=897, parameters=None, addresses=(P4, P6), listen=None, grace=5, database=None,
                 core=CORE, db_mode=1, ready=True, pending=30, prefix=(), quiet=False, connections=2, client=PC[0], server=PS):
        self.folder = folder()
        self.work = tempfile.mkdtemp()
        self.log = open(self.work + '/log', 'w+', encoding='utf-8', errors='replace')  # pylint: disable=consider-using-with
        self.prefix, self.process = prefix, None
        values = {'ipsec_client_port': client, 'ipsec_server_port': server, 'ipsec_max_connections': connections}
        for name, there in (('ipsec_listen_addr', [a for a in addresses if ':' not in a]), ('ipsec_listen_addr6', [a for a in addresses if ':' in a])):
            if there:
                values[name] = there
        values.update(parameters or {})

        def literal(x):
            return f'"{x}"' if isinstance(x, str) else x
        lines = [f'listen={proto}:{f"[{a}]" if ":" in a else a}:5060' for a in listen or addresses for proto in ('udp', 'tcp')]
        lines = [*(['#!define OURS'] if OURS else []), *(['#!define BY_CONTACT'] if BY_CONTACT else []), *lines, *settings]
        fill = {'SETTINGS': '\n'.join(lines), 'IPSEC': IPSEC, 'GRACE': str(grace), 'PENDING': str(pending), 'WORK': self.work,
                'FORWARD': str(forward),
                'DATABASE': database or '', 'DB_MODE': str(db_mode), 'CORE': f'[{core}]' if ':' in core else core, 'CORE_ADDRESS': core,
                'PATH': f'[{addresses[0]}]' if ':' in addresses[0] else addresses[0],
                'PARAMETERS': '\n'.join(f'modparam("{IPSEC}", "{k}", {literal(x)})' for k, v in values.items()
                                        for x in (v if isinstance(v, list) else [v]))}
        with open(TOP + '/selftests/kamailio/pcscf.cfg', encoding='utf-8') as f:
            text = re.sub(r'@([A-Z]+(?:_[A-Z]+)*)@', lambda m: fill[m[1]], f.read())
        if quiet:
            text = re.sub(r'xlog\(.*\);', '$var(nothing) = 0;', text)
        if database:
            text = text.replace('\n', '\n#!define DATABASE\n', 1)
        with open(self.work + '/pcscf.cfg', 'w', encoding='utf-8') as f:
            f.write(text)
        for name, flags in (('create', 1), ('forward', forward)):
            with open(f'{self.work}/{name}.js', 'w', encoding='utf-8') as f:
                f.write(f"KSR.pv.seti('$var(done)', KSR.ims_ipsec.ipsec_{name}('location', {flags}));\n")
        os.chmod(self.work, 0o777)
        if prefix:
            open_to_all(self.folder)
        try:
            self.start(ready)
        except Fail:
            self.__exit__(Fail)
            raise

    def start(self, ready=True):
        argv = [*self.prefix, f'{self.folder}/kamailio', '-L', f'{self.folder}/root/{self.modules}', '-DD', '-E',
                '-f', self.work + '/pcscf.cfg', '-Y', self.work, '-P', self.work + '/pid', '-m', '32', '-M', '4', '-w', self.work]
        echo('P', ' '.join(argv))
        self.log.seek(0, 2)
        with World.p:
            self.process = subprocess.Popen(argv, stderr=self.log, stdout=self.log, stdin=subprocess.DEVNULL, start_new_session=True)
        if ready:
            wait(lambda: self.is_ready() or self.process.poll() is not None, 'Kamailio is ready', 120)
            check(self.process.poll() is None, 'Kamailio has ended')

    def is_ready(self):
        """It answers, over UDP and TCP."""
        if not in_use(5060):
            return False
        s = World.u.udp(ADDRESSES['IPv4'][1] if self.four() else ADDRESSES['IPv6'][1], 5099)
        try:
            addr = P4 if self.four() else P6
            host = f'[{addr}]' if ':' in addr else addr
            s.sendto(f'OPTIONS sip:{host} SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.2:5099;rport;branch=z9hG4bKready\r\nFrom: <sip:a@a>;tag=a\r\n'
                     f'To: <sip:{host}>\r\nCall-ID: ready\r\nCSeq: 1 OPTIONS\r\nMax-Forwards: 5\r\nContent-Length: 0\r\n\r\n'.encode(), (addr, 5060))
            return bool(select.select([s], [], [], 1)[0])
        finally:
            s.close()

    def four(self):
        with open(self.work + '/pcscf.cfg', encoding='utf-8') as f:
            return P4 + ':5060' in f.read()

    def lines(self):
        self.log.flush()
        with open(self.log.name, encoding='utf-8', errors='replace') as f:
            return f.read().splitlines()

    def said(self, text):
        return any(text in x for x in self.lines())

    def rpc(self, method, *params):
        """What kamcmd would do."""
        s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        try:
            os.unlink(self.work + '/client') if os.path.exists(self.work + '/client') else None
            s.bind(self.work + '/client')
            s.settimeout(20)
            s.sendto(json.dumps({'jsonrpc': '2.0', 'method': method, 'params': list(params), 'id': 1}).encode(), self.work + '/rpc')
            got = json.loads(s.recv(1 << 16))
        finally:
            s.close()
        if 'error' in got:
            raise Fail(f'{method}: {got["error"]}')
        return got['result']

    def contacts(self):
        """How many the user location has."""
        got = self.rpc('stats.get_statistics', 'all')
        found = [x for x in got if re.search('location.contacts', x)]
        if not found:
            raise Fail(f'no count of contacts in {got}')
        return int(found[0].rpartition('=')[2])

    def stop(self):
        self.process.terminate()
        self.process.wait()

    def kill(self):
        """All of it at once, as by the OOM killer."""
        os.killpg(self.process.pid, 9)
        self.process.wait()
        wait(lambda: not in_use(5060), 'its sockets have gone')

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        if self.process and self.process.poll() is None:
            self.kill()
        if kind:
            say('\n'.join(x[:300] for x in self.lines() if 'INFO: <core>' not in x))
            for command in ('endpoint show', 'bundle show', 'trace'):
                say(World.p.run(IMSIPSEC, *command.split(), ok=False))
        self.log.close()
        shutil.rmtree(self.work)


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
        self.heard, self.challenge, self.failed = [], set(), None
        self.keys_of = None     # what a wrong S-CSCF would say instead
        self.status = '200 OK'
        self.contacts = {}
        self.others = ()        # contacts of other phones, as its 200 to REGISTER lists them
        self.answered, self.times = {}, 1
        self.later = set()      # methods that are answered by the test, with reply_to()
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

    @staticmethod
    def expected(m, impi, auth, vector):
        uri = auth.get('uri')
        text = usim['digest'](impi, REALM, uri, auth['nonce'], vector[0])
        return re.search(r'response="(\w+)"', text)[1]

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


# As Debian's unit runs it, without what it needs; and with it
NOBODY = ('setpriv', '--reuid', '65534', '--regid', '65534', '--clear-groups', '--no-new-privs')
CAPABLE = (*NOBODY, '--inh-caps', '-all,+net_admin', '--ambient-caps', '-all,+net_admin')


def open_to_all(path):
    """Whoever is not root may get there; in the VM alone."""
    path = os.path.realpath(path)
    while path != '/':
        if not os.stat(path).st_mode & 1:
            os.chmod(path, os.stat(path).st_mode | 0o55)
        path = os.path.dirname(path)


COLUMNS = 'domain aor host received path rinstance rx_session_id expires service_routes socket public_ids'
NUMBERS = 'port received_port received_proto reg_state'
SECURITY = ('protocol mode ck ik ealg ialg', 'security_type port_pc port_ps port_uc port_us spi_pc spi_ps spi_uc spi_us')


def make_database(path):
    """What ims_usrloc_pcscf keeps contacts in: a table of the domain's name."""
    texts, numbers = COLUMNS.split(), NUMBERS.split()
    for prefix in ('', 't_'):
        texts += [prefix + x for x in SECURITY[0].split()]
        numbers += [prefix + x for x in SECURITY[1].split()]
    db = sqlite3.connect(path)
    db.execute('CREATE TABLE version (table_name TEXT, table_version INTEGER)')
    db.execute("INSERT INTO version VALUES ('location', 7)")
    db.execute('CREATE TABLE location (id INTEGER PRIMARY KEY, ' + ', '.join(
        [f'{x} TEXT' for x in texts if x != 'expires'] + ['expires TIMESTAMP'] + [f'{x} INTEGER' for x in numbers]) + ')')
    db.commit()
    db.close()
    return path


class TcpPhone(Phone):
    """A phone whose requests go over TCP, a connection for each set and one in clear; it listens at port_us as well."""

    def __init__(self, *args, **more):
        super().__init__(*args, **more)
        self.conns, self.data, self.listeners = {}, {}, {}

    def __exit__(self, *args):
        for s in (*self.conns.values(), *self.listeners.values()):
            s.close()
        super().__exit__(*args)

    def contact(self, over):
        return super().contact(over).replace('>', ';transport=tcp>') if over else super().contact(over)

    def send(self, text, over):
        key = over.spi if over else None
        if key not in self.conns:
            if over:
                self.conns[key] = self.connect(over)
            else:
                s = self.conns[key] = World.u.tcp(self.address, self.clear_port)
                s.connect_ex((self.p, 5060))
                check(select.select([], [s], [], 20)[1], 'a connection in clear')
        self.conns[key].send(text.replace('SIP/2.0/UDP', 'SIP/2.0/TCP').encode())

    def install(self, new):
        super().install(new)
        if new.port_s not in self.listeners:
            self.listeners[new.port_s] = World.u.tcp(self.address, new.port_s, True)

    def next(self, wanted, timeout=20):
        while True:
            for m in self.heard:
                if wanted(m):
                    self.heard.remove(m)
                    return m
            # With the set, they stay
            ready = select.select([*self.socks.values(), *self.conns.values(), *self.listeners.values()], [], [], timeout)[0]
            if not ready:
                raise Fail(f'nothing heard within {timeout} s, but for {self.heard}')
            for s in ready:
                if s in self.listeners.values():
                    conn = accepted(s)
                    if conn:
                        conn.setblocking(False)
                        self.conns[conn.getpeername()] = conn
                elif s in self.socks.values():
                    data, source = s.recvfrom(1 << 16)
                    self.heard.append(Message(data, source[1], s.getsockname()[1]))
                else:
                    try:
                        data = s.recv(1 << 16)
                    except ConnectionResetError:
                        data = b''
                    if not data:
                        self.conns = {k: v for k, v in self.conns.items() if v is not s}
                        s.close()
                        continue
                    self.split(s, data)

    def split(self, s, data):
        """Messages of a stream; none has a body."""
        data = self.data.pop(s, b'') + data
        while b'\r\n\r\n' in data:
            one, _, data = data.partition(b'\r\n\r\n')
            if one.strip():
                m = Message(one.lstrip(b'\r\n') + b'\r\n\r\n', s.getpeername()[1], s.getsockname()[1])
                m.conn = s
                self.heard.append(m)
        if data:
            self.data[s] = data


class NattedPhone(Phone):
    """A phone behind a NAT: ESP tunnels in UDP, and its own address is within."""

    def __init__(self, nat, impi=UE1):
        super().__init__(impi, address=INNER['IPv4'])
        self.nat, self.ns, self.mode = nat, nat.h, 'tunnel'
        self.encap = f'encap espinudp {NAT_PORT} {NAT_PORT} 0.0.0.0 '
        self.takes_esp = encap_socket(nat.h, self.address)

    def __exit__(self, *args):
        self.takes_esp.close()
        super().__exit__(*args)
        self.nat.as_new()


@contextlib.contextmanager
def one_nat():
    """A NAT that is there meanwhile; P sends to U what is for addresses that it does not know."""
    World.p.ip(f'route add default via {U4}')
    nat = Nat(1)
    try:
        yield nat
    finally:
        nat.delete()
        World.p.ip(f'route del default via {U4}')


class Crowd(Meanwhile):
    """Where many phones are: an address each, and three sockets in all."""

    def __init__(self, n):
        World.u.ip('route add local 10.1.0.0/16 dev lo')
        World.p.ip('route add 10.1.0.0/16 via 192.0.2.2')
        mac = re.search(r'link/ether (\S+)', World.u.ip('link show u0'))[1]
        World.p.ip(f'neigh replace 192.0.2.2 lladdr {mac} dev p0 nud permanent')
        for i in range(n):
            usim['SUBSCRIBERS'][f'u{i}@{REALM}'] = usim['SUBSCRIBERS'][UE1]
        self.socks = {}
        for port in (5060, 6300, 6301, 6302, 6303):
            s = self.socks[port] = World.u.socket(socket.AF_INET, socket.SOCK_DGRAM)
            s.setsockopt(socket.IPPROTO_IP, 8, 1)   # IP_PKTINFO
            s.setsockopt(socket.SOL_SOCKET, 33, 16 << 20)   # SO_RCVBUFFORCE
            s.bind(('0.0.0.0', port))
        self.heard = {}
        self.begin()

    def __exit__(self, *why):
        super().__exit__(*why)
        for s in self.socks.values():
            s.close()
        World.phones.flush_states()
        World.phones.flush_policies()
        World.u.ip('route del local 10.1.0.0/16 dev lo')
        World.p.ip('route del 10.1.0.0/16 via 192.0.2.2')

    def run(self):
        ports = {s: port for port, s in self.socks.items()}
        while True:
            ready = select.select([self.quit, *ports], [], [])[0]
            if self.quit in ready:
                return
            for s in ready:
                data, more, _, source = s.recvmsg(1 << 16, 256)
                to = socket.inet_ntoa(more[0][2][8:12])
                with self.lock:
                    self.heard.setdefault(to, []).append(Message(data, source[1], ports[s]))
                    self.lock.notify_all()

    def send(self, address, port, to, data):
        info = bytes(4) + socket.inet_aton(address) + bytes(4)
        self.socks[port].sendmsg([data], [(socket.IPPROTO_IP, 8, info)], 0, to)

    def next(self, address, wanted, timeout):
        with self.lock:
            def found():
                return next((m for m in self.heard.get(address, ()) if wanted(m)), None)
            if not self.lock.wait_for(found, timeout):
                return None
            m = found()
            self.heard[address].remove(m)
            return m


class CrowdPhone(Phone):
    """One of them. What it sends it sends again, as SIP does over UDP, until something comes."""

    def __init__(self, crowd, n):
        super().__init__(f'u{n}@{REALM}', address=f'10.1.{n // 250}.{n % 250 + 1}')
        self.crowd, self.last = crowd, None

    def sock(self, port):
        return CrowdSocket(self, port)

    def send(self, text, over):
        self.last = self.sock(over.port_c if over else self.clear_port), text.encode(), \
            (self.p, int(over.server['port-s']) if over else 5060)
        self.last[0].sendto(*self.last[1:])

    def next(self, wanted, timeout=60):
        wait_for = 2
        while timeout > 0:
            m = self.crowd.next(self.address, wanted, wait_for)
            if m:
                self.last = None
                return m
            timeout -= wait_for
            wait_for *= 2
            if self.last:
                self.last[0].sendto(*self.last[1:])
        raise Fail(f'nothing heard, but for {self.crowd.heard.get(self.address)}')


class CrowdSocket:
    """What a phone of a crowd has in the place of a socket."""

    def __init__(self, phone, port):
        self.phone, self.port = phone, port

    def sendto(self, data, to):
        self.phone.crowd.send(self.phone.address, self.port, to, data)
