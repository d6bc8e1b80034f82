# SPDX-License-Identifier: GPL-2.0-only
"""Phones that speak SIP with a whole P-CSCF, and what they do there: over TCP, behind a NAT, many at once.

None has anything of ours: sip_phone.py.
"""
import collections
import concurrent.futures
import contextlib
import os
import re
import select
import socket
import sys
import threading

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
# pylint: disable=wrong-import-position
from ims import TCP, U4, U6, UDP, Fail, World, accepted, check, equal  # noqa: E402
from natted import INNER, NAT_PORT, Nat, encap_socket  # noqa: E402
from scscf import Meanwhile  # noqa: E402
from sip_phone import INSTANCE, REALM, UE1, Message, Phone, Set, usim  # noqa: E402

# The protected ports of the P-CSCF
PS, PC = 6100, (5100, 5101)


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
                s = self.conns[key] = self.ns.tcp(self.address, self.clear_port)
                s.connect_ex((self.p, 5060))
                check(select.select([], [s], [], 20)[1], 'a connection in clear')
        self.conns[key].send(text.replace('SIP/2.0/UDP', 'SIP/2.0/TCP').encode())

    def install(self, new):
        super().install(new)
        if new.port_s not in self.listeners:
            self.listeners[new.port_s] = self.ns.tcp(self.address, new.port_s, True)

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

    def __init__(self, nat, impi=UE1, fam='IPv4'):
        super().__init__(impi, fam, INNER[fam])
        self.nat, self.ns, self.mode = nat, nat.h, 'tunnel'
        self.encap = f'encap espinudp {NAT_PORT} {NAT_PORT} {"0.0.0.0" if fam == "IPv4" else "::"} '
        self.takes_esp = encap_socket(nat.h, self.address)

    def __exit__(self, *args):
        self.takes_esp.close()
        super().__exit__(*args)
        self.nat.as_new()


class NattedTcpPhone(TcpPhone, NattedPhone):
    """The same over TCP; what it sends in clear goes over UDP, which is all that its NAT passes on."""

    def send(self, text, over):
        if over:
            super().send(text, over)
        else:
            NattedPhone.send(self, text, over)


@contextlib.contextmanager
def nats(n):
    """NATs that are there meanwhile; P sends to U what is for addresses that it does not know."""
    World.p.ip(f'route add default via {U4}', f'route add ::/0 via {U6}')
    there = []
    try:
        there += [Nat(i) for i in range(1, n + 1)]
        yield there
    finally:
        for nat in there:
            nat.delete()
        World.p.ip(f'route del default via {U4}', f'route del ::/0 via {U6}')


@contextlib.contextmanager
def one_nat():
    with nats(1) as (nat,):
        yield nat


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
        # Each has a lock, for none to wake all the others
        self.heard, self.locks = collections.defaultdict(list), collections.defaultdict(threading.Condition)
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
                with self.locks[to]:
                    self.heard[to].append(Message(data, source[1], ports[s]))
                    self.locks[to].notify_all()

    def send(self, address, port, to, data):
        info = bytes(4) + socket.inet_aton(address) + bytes(4)
        self.socks[port].sendmsg([data], [(socket.IPPROTO_IP, 8, info)], 0, to)

    def next(self, address, wanted, timeout):
        lock = self.locks[address]
        with lock:
            def found():
                return next((m for m in self.heard[address] if wanted(m)), None)
            if not lock.wait_for(found, timeout):
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


class Chooses(Phone):
    """It offers all that `offered` says, and takes what it is told."""
    offered = (('hmac-sha-1-96', 'aes-cbc'), ('hmac-sha-1-96', 'null'), ('hmac-md5-96', 'aes-cbc'), ('hmac-md5-96', 'null'))

    def offer(self, new):
        one = new.client
        new.client = ', '.join(one.replace(new.mine['alg'], alg).replace('ealg=' + new.mine['ealg'], 'ealg=' + ealg) for alg, ealg in self.offered)
        return new

    def choose(self, mechanisms, new):
        new.mine.update({x: mechanisms[0][x] for x in ('alg', 'ealg')})
        return mechanisms[0]


class Instance(Phone):
    """It says which, and where what is for it is to go."""
    name = INSTANCE

    def contact(self, over):
        alias = f';alias={self.address}~{over.port_c}~1' if over else ''
        return super().contact(over).replace('>', alias + '>') + f';+sip.instance={self.name}'


class Elsewhere(Phone):
    """In clear it is at 5070, and its Contact and Via say so."""

    def __init__(self, *args, **more):
        super().__init__(*args, **more)
        self.clear_port = 5070

    def contact(self, over):
        return super().contact(over) if over else f'<sip:ue1@{self.host}:5070>'


# --- What they do

def phone(way='UDP', fam='IPv4', impi=UE1):
    return (TcpPhone if way == 'TCP' else Phone)(impi, fam)


def all_in_esp(ue, ports=(PS, *PC)):
    """Since last asked: nothing between the phone and a protected port was in clear, either way."""
    clear = [s for s in World.wire.seen() if s.proto in (TCP, UDP) and (s.sport in ports or s.dport in ports)]
    check(not clear, f'in clear on the wire: {clear[:3]}')


def routes(m):
    """Record-Route, from the top."""
    return [x.strip() for h in m.all('Record-Route') for x in h.split(',')]


def via_port(m):
    return int((re.match(r'SIP/2.0/\w+ (?:\[[^]]*\]|[^:;]*)(?::(\d+))?', m['Via'])[1]) or 5060)


def asked(core, ue, over, back=False, ports=PC, **more):
    """The core sends a request, the phone answers; the request as the phone has it: from port_pc to port_us, or back over
    the phone's own connection."""
    call = more.get('call', 'core')
    with core.final_of(call) as final_answer:
        core.request('MESSAGE', **more)
        # Not one before that is sent again, where there are many
        request = ue.next(lambda m: m.method == 'MESSAGE' and m['Call-ID'] == call)
        equal(request.port, over.port_c if back else over.port_s, 'the port that the request came to')
        check(request.source in ((PS,) if back else ports), f'the request came from {request.source}')
        answer(ue, request, over)
        equal(final_answer().status, '200', 'the answer at the S-CSCF')
    return request


def answer(ue, request, over, status='200 OK', *more, tag=''):
    """To the port in its Via, over the SA that there is for that: from port_us to port_pc, from port_uc to port_ps; or back over its
    connection."""
    copied = [f'{name}: {x}{tag if name == "To" else ""}' for name in ('Via', 'Record-Route', 'From', 'To', 'Call-ID', 'CSeq') for x in request.all(name)]
    text = '\r\n'.join((f'SIP/2.0 {status}', *copied, *more, 'Content-Length: 0', '', '')).encode()
    if hasattr(request, 'conn'):
        request.conn.send(text)
    else:
        port = via_port(request)
        ue.sock(over.port_c if str(port) == over.server['port-s'] else over.port_s).sendto(text, (ue.p, port))


def final(ue, got):
    """The answer that is no 100, which comes again where the request did."""
    while got.status == '100':
        got = ue.answer()
    return got


def answered_call(core, ue, over):
    """A call to a phone, up to its ACK; INVITE as the phone has it, and the way back of the dialog as the core has it."""
    core.request('INVITE', call='mt')
    invite = ue.next(lambda m: m.method == 'INVITE')
    check(invite.source in PC and invite.port == over.port_s, f'INVITE went from {invite.source} to {invite.port}')
    contact = f'Contact: {ue.contact(over)}'
    answer(ue, invite, over, '180 Ringing', contact, tag=';tag=phone')
    equal(core.next(lambda m: m.status == '180').source, 5060, 'the source port of 180')
    answer(ue, invite, over, '200 OK', contact, tag=';tag=phone')
    ok = core.next(lambda m: m.status == '200' and 'INVITE' in m['CSeq'])
    uri = re.search('<([^>]*)>', ok['Contact'])[1]
    core.request('ACK', uri=uri, more=[f'Route: {x}' for x in routes(ok)[::-1]], call='mt', tags=';tag=phone', branch='mt-ack')
    ack = ue.next(lambda m: m.method == 'ACK')
    check(ack.source in PC and ack.port == over.port_s, f'ACK went from {ack.source} to {ack.port}')
    return invite


def bye_of(ue, invite, over, route):
    """What the phone of an answered call sends to end it."""
    return '\r\n'.join((
        f'BYE {re.search("<([^>]*)>", invite["Contact"])[1]} SIP/2.0', f'Via: SIP/2.0/UDP {ue.host}:{over.port_s};branch=z9hG4bKmt-bye',
        *(f'Route: {x}' for x in route), f'From: {invite["To"]};tag=phone', f'To: {invite["From"]}', 'Call-ID: mt', 'CSeq: 1 BYE',
        'Max-Forwards: 70', 'Content-Length: 0', '', ''))


def states():
    return {b['spi-uc']: b['state'] for b in World.nl.dump('bundle-get')}


@contextlib.contextmanager
def more_addresses(addresses):
    """Phones have them too."""
    World.u.ip(*(f'addr add {a}/24 dev u0' for a in addresses))
    try:
        mac = World.u.ip('link show u0').split('link/ether ')[1].split()[0]
        World.p.ip(*(f'neigh replace {a} lladdr {mac} dev p0 nud permanent' for a in addresses))
        yield
    finally:
        World.u.ip(*(f'addr del {a}/24 dev u0' for a in addresses))


# --- Many

def crowd_phone(crowd, core, n, failed):
    """All that a phone does, one thing after the other, beside many others."""
    ue = CrowdPhone(crowd, n)
    try:
        first, second = Set(5000 + 4 * n), Set(5002 + 4 * n, 6303, 6302)
        ue.sign_up(first)
        ue.talk(first)
        asked(core, ue, first, impi=ue.impi, call=f'first-{n}')
        core.challenge.add(ue.impi)
        ue.challenge(second, over=first)
        ue.confirm(second)
        ue.talk(second)
        asked(core, ue, second, impi=ue.impi, call=f'second-{n}')
        got = final(ue, ue.request('INVITE', second, to='ue2@' + REALM))
        equal(got.status, '200', 'the answer to INVITE')
        equal(final(ue, ue.register(second, second, expires=0)).status, '200', 'the answer to the de-registration')
    except Exception as e:  # pylint: disable=broad-except
        failed.append(f'{ue.impi}: {type(e).__name__}: {e}')


def each_is_itself(core, sets):
    """The phones of (phone, set) register; then each sends and is sent to over its own set, and all of it is in ESP."""
    for ue, over in sets:
        ue.sign_up(over)
    World.wire.seen()
    for ue, over in sets:
        ue.talk(over)
        asked(core, ue, over, impi=ue.impi, call=ue.impi)
    all_in_esp(sets[0][0])


def all_at_once(core, server, n):
    """So many phones do all that, and as many as AT_ONCE says at a time: none fails, and nothing is in clear."""
    failed = []
    core.forgets = True
    with Crowd(n) as crowd:
        World.wire.seen()
        with concurrent.futures.ThreadPoolExecutor(int(os.environ.get('AT_ONCE') or 40)) as pool:
            for i in range(n):
                pool.submit(crowd_phone, crowd, core, i, failed)
        ports = {PS, *PC}
        clear = [x for x in World.wire.seen() if x.proto in (TCP, UDP) and (x.sport in ports or x.dport in ports)]
        check(server.alive(), f'{server.name} has ended')
        check(not failed, f'{len(failed)} of {n}: {failed[:5]}')
        check(not clear, f'in clear on the wire: {clear[:3]}')
