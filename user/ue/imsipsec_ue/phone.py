# SPDX-License-Identifier: GPL-2.0-or-later
"""One UE: where it is, its sets of SAs, what it sends and what comes.

The ways are those of TS 33.203 clause 7: requests go from port_uc to port_ps, what the P-CSCF sends goes from port_pc to
port_us; over TCP each answer goes on the connection of its request.
"""
import asyncio
import errno
import itertools
import secrets
import socket

from . import secagree, sip
from .air import AirError, Came, Encapsulation, Listener, Stream, Udp, connect, parsed
from .xfrm import IN, OUT, Policy, Sa, Way, statistics

ALLOW = 'ACK, BYE, CANCEL, INFO, INVITE, MESSAGE, NOTIFY, OPTIONS, UPDATE'
# Seconds: between two sendings of a request over UDP at most (TS 24.229 table 7.8); how long a set stays that has a successor
T2, OLD = 16, 32
NAT_PORT = 4500


class Failure(Exception):
    """What has gone wrong: a code that stays, a text in the field's terms, and what is this phone's alone."""

    def __init__(self, code, text, detail=''):
        super().__init__(text)
        self.code, self.text, self.detail = code, text, detail


class Environment:
    """What all phones of a run have in common."""

    def __init__(self, options, xfrm):
        self.options, self.xfrm = options, xfrm
        self.started_with = statistics()
        self.sets, self.spis, self.encapsulations, self.ports = {}, set(), {}, {}
        self.reqids = itertools.count(0x10000000 + secrets.randbelow(0x10000000))
        self.marks = itertools.count(0x40000001)

    def spi(self):
        """One that no other set of this run has."""
        while True:
            spi = 256 + secrets.randbelow((1 << 32) - 256)
            if spi not in self.spis:
                self.spis.add(spi)
                return spi

    def port(self, address):
        """The next number to try at an address."""
        at = self.ports.setdefault(address, itertools.count(secrets.randbelow(40000)))
        return 10000 + next(at) % 50000

    def encapsulate(self, address):
        if address not in self.encapsulations:
            self.encapsulations[address] = Encapsulation(address, self.options.pcscf, self.options.nat_port)

    def foreign_esp(self):
        """How many packets of ESP have come since the start for an SPI that this namespace has no SA of."""
        return statistics().get('XfrmInNoStates', 0) - self.started_with.get('XfrmInNoStates', 0)

    def close(self):
        for x in self.encapsulations.values():
            x.close()


class SaSet:
    """What a phone offers, and what becomes of it: four SAs."""

    def __init__(self, phone, port_c, port_s):
        env = phone.env
        self.phone, self.port_c, self.port_s = phone, port_c, port_s
        self.spi_c, self.spi_s, self.mark = env.spi(), env.spi(), next(env.marks)
        options = env.options
        self.client = secagree.client(options.pairs, options.modes, self.spi_c, self.spi_s, port_c, port_s)
        self.server = self.verify = None
        self.sas, self.policies, self.used = {}, [], False
        # The SA of what comes from the P-CSCF between two ports, and what of its bytes connections have had
        self.inbound, self.taken = {}, {'spi_uc': 0, 'spi_us': 0}

    def install(self, server, verify, ck, ik):
        """The SAs, as the P-CSCF's mechanism has them. xfrm.XfrmError: there are none."""
        env, ue, p = self.phone.env, self.phone.address, self.phone.env.options.pcscf
        self.server, self.verify = server, verify
        self.port_pc, self.port_ps = server.number('port-c'), server.number('port-s')
        self.inbound = {(self.port_c, self.port_ps): 'spi_uc', (self.port_s, self.port_pc): 'spi_us'}
        algorithms, tunnel = secagree.expand(server.pair, ck, ik), server.mode != 'trans'
        if tunnel:
            env.encapsulate(ue)
        for name, way, spi in (('spi_ps', Way(ue, self.port_c, p, self.port_ps), server.number('spi-s')),
                               ('spi_uc', Way(p, self.port_ps, ue, self.port_c), self.spi_c),
                               ('spi_us', Way(p, self.port_pc, ue, self.port_s), self.spi_s),
                               ('spi_pc', Way(ue, self.port_s, p, self.port_pc), server.number('spi-c'))):
            reqid, inbound = next(env.reqids), way.src == p
            self.sas[name] = Sa(way, spi, reqid, algorithms, env.options.life, tunnel, env.options.nat_port if tunnel else None,
                                self.mark if inbound else None)
            self.policies.append(Policy(way, IN if inbound else OUT, reqid, tunnel))
        try:
            env.xfrm.add(self.sas.values(), self.policies)
        except Exception:
            self.sas, self.policies = {}, []
            raise
        env.sets[self.mark] = self

    def counters(self):
        """Packets sent from port_uc, packets that came, packets with a wrong ICV."""
        if not self.sas:
            return 0, 0, 0
        out, *back = self.phone.env.xfrm.counters(*(self.sas[x] for x in ('spi_ps', 'spi_uc', 'spi_us')))
        return out[0], sum(x[0] for x in back), sum(x[1] for x in back)

    def fresh(self, port, source, header):
        """How many bytes of streams have come over its SA between these ports, of which none has been taken."""
        name = self.inbound.get((port, source))
        if name not in self.sas:
            return 0
        packets, _, length = self.phone.env.xfrm.counters(self.sas[name])[0]
        if self.server.mode != 'trans':
            header += 40 if ':' in self.phone.address else 20
        return length - packets * header - self.taken[name]

    def take(self, port, source, length):
        """So many of them."""
        self.taken[self.inbound[port, source]] += length

    def remove(self):
        self.phone.env.xfrm.remove(self.sas.values(), self.policies)
        self.phone.env.sets.pop(self.mark, None)
        self.sas, self.policies = {}, []


class Answer:
    """The final answer to a request: the message, how it came, seconds from the first sending."""

    def __init__(self, message, came, seconds):
        self.message, self.came, self.seconds = message, came, seconds
        self.status = message.status


class Phone:
    """A subscriber's phone at an address. clear_port: where it is in clear, 0 for any port."""

    def __init__(self, env, subscriber, address, clear_port):
        self.env, self.subscriber, self.address = env, subscriber, address
        self.clear_port, self.host = clear_port, sip.host_of(address)
        self.sets, self.now, self.service_route = [], None, []
        self.challenge = None
        self.udp, self.listeners, self.streams, self.conns = {}, {}, {}, []
        self.call_id, self.tag, self.cseq = f'{secrets.token_hex(12)}@{self.host}', secrets.token_hex(4), 0
        self.waiting, self.answered, self.acks = {}, {}, {}
        self.unreachable, self.resent, self.requests = 0, 0, None
        self.tasks = set()
        self.open_udp(clear_port)
        self.clear_port = self.udp.pop(clear_port).port if not clear_port else clear_port

    # --- Where it is

    def open_udp(self, port):
        if port not in self.udp:
            s = Udp(self.address, port, lambda data, source, mark: self.datagram(s, data, source, mark), self.trouble)
            self.udp[port] = self.udp[s.port] = s

    def close(self):
        """Its sockets. SAs and policies go after those of all phones, by Xfrm.remove_all()."""
        for task in self.tasks:
            task.cancel()
        for x in (*{*self.udp.values()}, *self.conns, *self.listeners.values()):
            x.close()

    def new_set(self, port_s=None):
        """What it offers next: a free port_uc, and the port_us that it has or a free one."""
        ports = [port_s] if port_s else []
        while len(ports) < 2:
            port = self.env.port(self.address)
            try:
                if port not in self.udp:
                    self.open_udp(port)
                    self.listen(port, not ports)
                    ports.append(port)
            except AirError as e:
                # Somebody else has it
                if e.errno != errno.EADDRINUSE:
                    raise
        new = SaSet(self, ports[1], ports[0])
        self.sets.append(new)
        return new

    def listen(self, port, wanted):
        if wanted:
            try:
                self.listeners[port] = Listener(self.address, port, self.accepted)
            except AirError:
                self.udp.pop(port).close()
                raise

    def drop(self, old):
        """A set that is no more wanted."""
        if old in self.sets:
            self.sets.remove(old)
        if old is self.now:
            self.now = None
        stream = self.streams.pop(old, None)
        if stream:
            stream.close()
        if old.sas:
            old.remove()
        for port in {old.port_c, old.port_s} - {p for x in self.sets for p in (x.port_c, x.port_s)} - {self.clear_port}:
            for where in (self.udp, self.listeners):
                if port in where:
                    where.pop(port).close()

    def retire(self, old):
        """It has a successor: it is there for what is on its way, and then goes."""
        self.later(OLD, lambda: self.drop(old))

    def later(self, seconds, f):
        async def wait():
            await asyncio.sleep(seconds)
            f()
        self.task(wait())

    def task(self, coroutine):
        task = asyncio.get_running_loop().create_task(coroutine)
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    # --- What comes

    def trouble(self, number):
        self.unreachable = number

    def datagram(self, sock, data, source, mark):
        m = parsed(data)
        if m:
            over = self.env.sets.get(mark)
            self.take(m, Came(over if over and over.phone is self else None, sock.port, source))

    def accepted(self, sock):
        try:
            self.adopt(sock)
        except OSError:
            sock.close()

    def adopt(self, sock):
        """A connection, from now on."""
        stream = Stream(sock, self.streamed, self.lost)
        self.conns.append(stream)
        return stream

    def streamed(self, messages, stream):
        """Over the set whose SA has had most of the bytes since last looked at; in clear, if the SAs have had fewer. Where none
        have come since, the messages came when it was looked at last.

        The SAs are looked at last, and count first: what comes meanwhile is none too few. Packets would not do: an ACK that came
        in ESP waits for a kernel thread, and an answer in clear behind it does not.
        """
        was = stream.received
        stream.received, header = stream.received_now()
        left = stream.received - was
        if left:
            fresh = {x: x.fresh(stream.port, stream.source, header) for x in self.sets}
            most = sorted((x for x in fresh if fresh[x] > 0), key=fresh.get, reverse=True)
            enough = sum(fresh[x] for x in most) >= left
            stream.over = most[0] if enough else None
            for x in most if enough else ():
                x.take(stream.port, stream.source, min(left, fresh[x]))
                left -= min(left, fresh[x])
        for m in messages:
            self.take(m, Came(stream.over, stream.port, stream.source, stream))

    def lost(self, stream, number):
        if stream in self.conns:
            self.conns.remove(stream)
        for key, x in list(self.streams.items()):
            if x is stream:
                del self.streams[key]
                for over, queue in self.waiting.values():
                    if over is key:
                        queue.put_nowait(None)

    def take(self, m, came):
        if m.status is None:
            if self.requests:
                self.requests(m, came)
        elif m.key in self.waiting:
            self.waiting[m.key][1].put_nowait((m, came))

    # --- What it sends

    def via(self, over, conn):
        port, rport = (over.port_s, '') if over else (self.clear_port, ';rport')
        return f'Via: SIP/2.0/{"TCP" if conn else "UDP"} {self.host}:{port};branch=z9hG4bK{secrets.token_hex(10)}{rport}'

    def contact(self, over):
        port = f':{over.port_s}' if over else '' if self.clear_port == 5060 else f':{self.clear_port}'
        tcp = ';transport=tcp' if over and self.env.options.tcp else ''
        return f'Contact: <sip:{self.subscriber.user}@{self.host}{port}{tcp}>;+sip.instance="<{self.subscriber.instance}>"'

    async def stream_of(self, over):
        """The connection of a set, or that in clear: made where there is none."""
        if over not in self.streams:
            to = self.env.options.pcscf, over.port_ps if over else self.env.options.port
            self.streams[over] = self.adopt(await connect(self.address, over.port_c if over else 0, to, self.env.options.timeout))
        return self.streams[over]

    async def transmit(self, data, over):
        """A request of the phone, or an ACK: over a set, or in clear."""
        if self.env.options.tcp:
            (await self.stream_of(over)).send(data)
            return
        port, to = (over.port_c, over.port_ps) if over else (self.clear_port, self.env.options.port)
        self.udp[port].send(data, (self.env.options.pcscf, to))

    def head(self, method, uri, over, to, call_id, cseq, to_tag='', routes=(), sender=None):
        """The lines that all requests have."""
        me = sender or self.subscriber.impu
        return [f'{method} {uri} SIP/2.0', self.via(over, self.env.options.tcp), 'Max-Forwards: 70', *(f'Route: {x}' for x in routes),
                f'From: <{me}>;tag={self.tag}', f'To: <{to}>{to_tag}', f'Call-ID: {call_id}', f'CSeq: {cseq} {method}']

    @staticmethod
    def whole(lines, body=''):
        return '\r\n'.join((*lines, f'Content-Length: {len(body.encode())}', '', body)).encode()

    async def request(self, lines, over, body=''):
        """Send it, again and again over UDP as long as nothing comes, and return the final Answer. Failure: there is none."""
        loop, options = asyncio.get_running_loop(), self.env.options
        data = self.whole([*lines, 'User-Agent: imsipsec-ue', f'Allow: {ALLOW}'], body)
        sent = sip.Message(data)
        queue = asyncio.Queue()
        self.waiting[sent.key] = over, queue
        self.unreachable, start, pause, before = 0, loop.time(), options.t1, over and over.counters()
        try:
            await self.transmit(data, over)
            again = start + pause
            while True:
                left = start + options.timeout - loop.time()
                if left <= 0:
                    raise self.silence(sent, over, before)
                try:
                    got = await asyncio.wait_for(queue.get(), min(left, max(again - loop.time(), 0)) if again else left)
                except asyncio.TimeoutError:
                    if again and loop.time() >= again and loop.time() < start + options.timeout:
                        self.resent += 1
                        await self.transmit(data, over)
                        pause = pause * 2 if sent.method == 'INVITE' else min(pause * 2, max(T2, options.t1))
                        again = loop.time() + pause
                    continue
                if got is None:
                    raise Failure('connection-lost', f'the TCP connection ended before the answer to {sent.method}')
                if got[0].status >= 200:
                    return Answer(*got, loop.time() - start)
                # Over UDP an INVITE is not sent again once something has come (RFC 3261 clause 17.1.1.2)
                again = None if sent.method == 'INVITE' else again
                if options.tcp:
                    again = None
        except OSError as e:
            if not over:
                raise Failure('no-connection', f'no TCP connection to port {options.port} in clear: {e.strerror}') from e
            raise self.silence(sent, over, before, f'no TCP connection to port_ps: {e.strerror}') from e
        finally:
            del self.waiting[sent.key]

    def silence(self, sent, over, before, connection=''):
        """Why no answer came, as far as can be seen from here; before: the set's counters when it was sent."""
        kind = f'{sent.method}: ' + (f'{connection}; ' if connection else '')
        if not over:
            if self.unreachable:
                return Failure('unreachable', f'{kind}in clear: the network says that nobody is there at port {self.env.options.port}')
            return Failure('no-answer', f'{kind}no answer in clear from port {self.env.options.port}')
        out, back, wrong = (now - was for now, was in zip(over.counters(), before))
        detail = f'{out} packets sent over SPI {over.sas["spi_ps"].spi:#x}'
        foreign = self.env.foreign_esp()
        if foreign:
            detail += f'; ESP has come for SPIs that nobody here has, {foreign} packets'
        if wrong:
            return Failure('icv', f'{kind}what came over ESP has a wrong ICV: the P-CSCF has other keys (CK, IK) or another algorithm', detail)
        if back:
            return Failure('esp-silent', f'{kind}ESP came back, and no answer in it', f'{detail}; {back} packets came')
        if self.unreachable:
            return Failure('unreachable', f'{kind}the network says that nobody is there at port_ps', detail)
        return Failure('nothing-over-esp', f'{kind}SAs are there, and nothing comes back over ESP: the P-CSCF has none, or has other keys, '
                       'or ESP is dropped on the way', detail)

    # --- Answers of its own

    def respond(self, m, came, status, lines=(), body='', tag=''):
        """To a request of the P-CSCF's: over TCP on its connection, over UDP to the port in Via, from the port that has an SA to it."""
        copied = [f'{name}: {x}{tag if name == "To" and "tag=" not in x else ""}' for name in ('Via', 'Record-Route', 'From', 'To', 'Call-ID', 'CSeq')
                  for x in m.all(name.lower())]
        data = self.whole([f'SIP/2.0 {status}', *copied, *lines], body)
        self.send_answer(data, m, came)
        return data

    def send_answer(self, data, m, came):
        """The first time, or again."""
        if came.conn:
            came.conn.send(data)
            return
        over, to = came.over or self.now, sip.via_port(m['via'])
        sock = self.udp.get(over.port_c if over and to == over.port_ps else over.port_s if over else self.clear_port)
        if sock and to:
            sock.send(data, (self.env.options.pcscf, to))


def local_address(pcscf):
    """The address that this host has towards the P-CSCF. OSError: there is no way."""
    with socket.socket(socket.AF_INET6 if ':' in pcscf else socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.connect((pcscf, 9))
        return s.getsockname()[0]
