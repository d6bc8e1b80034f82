#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only
"""GRO joins packets of one flow: what came over two SAs it keeps apart, whatever form of it is on.

The kernel gives what has been decrypted to GRO (6.12: gro_cells), where one packet takes up
those behind it that have its addresses and ports, and all have its mark. Two registrations may
have these in common behind two NATs, two sets of one registration anywhere. What comes over
one SA is joined as it would be without us.

The UEs are made by hand; their packets are in one batch of P's NAPI (see batch()).
"""
import contextlib
import os
import re
import select
import socket
import struct
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '../lib'))
# pylint: disable=wrong-import-position
from ims import *  # noqa: E402,F403  pylint: disable=wildcard-import,unused-wildcard-import
from natted import *  # noqa: E402,F403  pylint: disable=wildcard-import,unused-wildcard-import
from net import checksum, pseudo  # noqa: E402
from nic import Device  # noqa: E402
from protected import ByHand  # noqa: E402

UDP_GRO, DONT_FRAGMENT = 104, 0x4000
ACK, SYN = 16, 2
FOREIGN = 0x7777
ROUNDS = 5
FORMS = ('GRO as it comes', 'UDP_GRO of the socket', 'rx-gro-list', 'rx-udp-gro-forwarding')
MODES = ('tunnel', 'transport')
WHERE = ('ESP by itself', 'ESP in GRO')


class Veth(Device):
    """P's end of the wire, whose features can be set."""

    def __init__(self):  # pylint: disable=super-init-not-called
        self.name, self.ns = 'p0', World.p


class Batch:
    """P's device polls in a thread, which runs when we let it."""
    thread = None

    @staticmethod
    def threads():
        """Those that poll for the device, by their process ids."""
        out = []
        for pid in filter(str.isdigit, os.listdir('/proc')):
            with contextlib.suppress(OSError), open(f'/proc/{pid}/comm', encoding='ascii') as f:
                # The name is cut after 15 characters
                if re.fullmatch(r'napi/p0-\d*\n', f.read()):
                    out.append(int(pid))
        return out

    @classmethod
    def start(cls):
        # It is on as often as GRO is, for it goes with that
        World.p.run('ip', 'netns', 'exec', 'P', 'sh', '-c', 'echo 1 >/sys/class/net/p0/threaded')
        cls.thread, = wait(cls.threads, 'a thread that polls')
        os.sched_setaffinity(cls.thread, os.sched_getaffinity(0))

    @classmethod
    def stop(cls):
        World.p.run('ip', 'netns', 'exec', 'P', 'sh', '-c', 'echo 0 >/sys/class/net/p0/threaded')


@contextlib.contextmanager
def batch():
    """What is put on the wire meanwhile comes to P in one go: its thread waits until this one sleeps.

    They share a CPU, and this one goes first.
    """
    os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
    try:
        yield
    finally:
        os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))


@contextlib.contextmanager
def receiving(fam, where, form):
    """P's packets come so meanwhile."""
    feature = [form] if form.startswith('rx-') else []
    with gro(fam) if where == 'ESP in GRO' else device_gro():
        Batch.start()
        try:
            if feature and not Veth().features(True, feature):
                raise Skip(f'this kernel has no {form}')
            yield
        finally:
            if feature:
                Veth().features(False, feature)
            Batch.stop()


def udp_lookup():
    """Does GRO look for the socket of a datagram? Then it leaves one's to it, whatever may be forwarded."""
    return any(udp_sockets(NAT_PORT))


class Server:
    """The SIP server's socket at port_ps: a read may give several messages, which have one mark."""

    def __init__(self, ep, form):
        self.sock = World.p.udp(ep['address'], ep['port-ps'])
        self.sock.setsockopt(socket.SOL_SOCKET, SO_RCVMARK, 1)
        if form.startswith('UDP_GRO'):
            self.sock.setsockopt(UDP, UDP_GRO, 1)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.sock.close()

    def receive(self, n):
        """So many messages, as (text, mark), and in how many reads they came."""
        out, reads = [], 0
        while len(out) < n:
            check(select.select([self.sock], [], [], 10)[0], f'{len(out)} of {n} messages have come: {out}')
            data, anc, _, _ = self.sock.recvmsg(1 << 16, 128)
            values = {(level, kind): struct.unpack_from('I', d)[0] for level, kind, d in anc}
            size = values.get((UDP, UDP_GRO), len(data))
            out += [(data[i:i + size], values.get((socket.SOL_SOCKET, SO_MARK), 0)) for i in range(0, len(data), size)]
            reads += 1
        return out, reads


def whole(src, dst, proto, data):
    """An IP packet that is not to be fragmented: GRO asks of others that they are counted (IPv4)."""
    return ip4(src, dst, proto, data, DONT_FRAGMENT) if family(src) == socket.AF_INET else ip(src, dst, proto, data)


class Ue:
    """A UE, or one of its sets: what it sends is over the one or the other kind of SA."""

    def __init__(self, b):
        self.b = b
        self.by_hand = Handset(b) if b['mode'] == 'udp-enc-tun' else ByHand(b)

    def packet(self, proto, data):
        """A packet of what is between port_uc and port_ps."""
        u, p = self.b['ue-address'], self.b['address']
        if isinstance(self.by_hand, ByHand):
            return whole(u, p, ESP, self.by_hand.data('spi-ps', proto, data))
        return self.by_hand.outer(self.by_hand.esp('spi-ps', whole(u, p, proto, data)))

    def message(self, text):
        return self.packet(UDP, layer4(self.b['ue-address'], self.b['address'], UDP, self.b['port-uc'], self.b['port-ps'], text))

    def answer(self):
        """The last segment that has come from P, or None."""
        if isinstance(self.by_hand, Handset):
            return next((d.data for d in self.by_hand.sent()[::-1] if d.proto == TCP), None)
        return next((s.data[8:] for s in World.wire.seen()[::-1] if not s.sent and s.proto == ESP), None)

    def segment(self, seq, data, ack=1, flags=ACK):
        u, p = self.b['ue-address'], self.b['address']
        head = struct.pack('>HHIIBBHHH', self.b['port-uc'], self.b['port-ps'], seq, ack, 5 << 4, flags, 65535, 0, 0)
        value = checksum(pseudo(u, p, TCP, len(head + data)) + head + data)
        return self.packet(TCP, head[:16] + struct.pack('>H', value) + head[18:] + data)


def alike(mode, fam, guard='drop'):
    """What has the same addresses and ports: two registrations behind two NATs, or two sets of one."""
    if mode == 'tunnel':
        ep = nat_endpoint(fam, port_pc=[PORT_PC[0]], guard=guard)
        both = [confirm(nat_bundle(ep, n, ue_nat_address=at)) for n, at in enumerate((OUTER[fam], OTHER[fam]), 1)]
    else:
        ep = endpoint(ADDRESSES[fam][0], port_pc=[PORT_PC[0]], guard=guard)
        both = [confirm(bundle(ep, ue_address=ADDRESSES[fam][1], enc_alg='null'))]
        both.append(bundle(ep, ue_address=ADDRESSES[fam][1], enc_alg='null', spi_uc=SPI_UC + 2, spi_us=SPI_US + 2))
        confirm(both[1], over=both[0]['id'])
    check(both[0]['mark'] != both[1]['mark'], 'one mark')
    return ep, [Ue(b) for b in both]


def looks(packets, arrived):
    """Packets come in one batch: how many IP has for port_ps until what is in them has arrived, joined or not."""
    World.nft.run('reset counters')
    with batch():
        World.wire.send(*packets)
    arrived()
    return int(re.search(r'packets (\d+)', World.nft.run('list counters')).group(1))


def start():
    setup_nat()
    World.nft = Nft(World.p)
    World.nft.run('table inet looks {', 'counter seen {', '}', 'chain input {', 'type filter hook input priority 0;',
                  f'th dport {PORT_PS} counter name seen', '}', '}')


def everywhere(case, f):
    """f(endpoint, what is alike, where, joined) without ESP's own GRO and with it: would GRO see what comes over one SA?"""
    mode, form, fam = case
    module = {'IPv4': 'esp4_offload', 'IPv6': 'esp6_offload'}[fam]
    for where in WHERE:
        if where == 'ESP by itself' and 'builtin' in World.p.run(f'modprobe --show-depends {module}', ok=False):
            say(f'{module} is part of this kernel: ESP is always taken in GRO')
            continue
        with receiving(fam, where, form):
            try:
                # What has been decrypted sees GRO if it was in a tunnel, or if ESP was taken there
                f(*alike(mode, fam), where, mode == 'tunnel' or where == 'ESP in GRO')
            finally:
                before()


@test('E7 G7', 'UDP, {}: each message has the mark of its SA, those of one SA are joined as ever',
      each=tuple((m, form, f) for m in MODES for form in FORMS for f in ADDRESSES))
def udp(case):
    mode, form, fam = case

    def go(ep, ues, where, joined):
        with Server(ep, form) as server:
            got = []
            packets = [ue.message(b'%d of %d' % (i, k)) for i in range(ROUNDS) for k, ue in enumerate(ues)]
            count = looks(packets, lambda: got.extend(server.receive(2 * ROUNDS)))
            for k, ue in enumerate(ues):
                equal([m for m in got[0] if m[0].endswith(b'of %d' % k)],
                      [(b'%d of %d' % (i, k), ue.b['mark']) for i in range(ROUNDS)], f'{where}: messages over SA {k} of 2')
            got.clear()
            one = 1 if joined and (form in FORMS[1:3] or form == FORMS[3] and not udp_lookup()) else ROUNDS
            packets = [ues[1].message(b'%d of one' % i) for i in range(ROUNDS)]
            count = looks(packets, lambda: got.extend(server.receive(ROUNDS)))
            equal(got[0], [(b'%d of one' % i, ues[1].b['mark']) for i in range(ROUNDS)], f'{where}: messages over one SA')
            equal(count, one, f'{where}: looks at {ROUNDS} messages over one SA')
            if form == FORMS[1]:
                equal(got[1], one, f'{where}: reads')
    everywhere(case, go)


def connected(ue, listener):
    """The UE opens a connection to port_ps: P's socket, and the number of P's first byte."""
    World.wire.seen()
    World.wire.send(ue.segment(99, b'', 0, SYN))
    seq, = struct.unpack_from('>I', wait(ue.answer, 'an answer to a SYN'), 4)
    World.wire.send(ue.segment(100, b'', seq + 1))
    return wait(lambda: accepted(listener), 'a connection'), seq + 1


def stream(sock, n):
    """So many bytes of a connection."""
    data = b''
    while len(data) < n:
        data += receive(sock)
    return data


@test('E7', 'TCP, {}: segments over two SAs are not joined, those of one are as ever',
      each=tuple((m, form, f) for m in MODES for form in (FORMS[0], FORMS[2]) for f in ADDRESSES))
def tcp(case):
    mode, form, fam = case

    def go(ep, ues, where, joined):
        with World.p.sysctl(ipv4__tcp_fwmark_accept=1), \
                contextlib.closing(World.p.tcp(ep['address'], ep['port-ps'], True)) as listener:
            sock, ack = connected(ues[0], listener)
            with contextlib.closing(sock):
                parts = [b'part %d of a message' % i for i in range(2 * ROUNDS)]
                at = [100 + i * len(parts[0]) for i in range(3 * ROUNDS)]
                got = []

                def come(packets, n):
                    return looks(packets, lambda: got.append(stream(sock, n * len(parts[0]))))
                if mode == 'transport':
                    # Both sets are the UE's
                    count = come([ues[i % 2].segment(at[i], part, ack) for i, part in enumerate(parts)], len(parts))
                    equal(count, len(parts), f'{where}: looks at segments over two SAs')
                else:
                    # The later UE has no TCP: what it says ahead of the next segment is not of this connection
                    for i in range(0, 2 * ROUNDS, 2):
                        with Counted(ep, f'{where}: two SAs', udp_only=1):
                            come([ues[0].segment(at[i], parts[i], ack), ues[1].segment(at[i + 1], b'forged as long as it', ack),
                                  ues[0].segment(at[i + 1], parts[i + 1], ack)], 2)
                equal(b''.join(got), b''.join(parts), f'{where}: received')
                got.clear()
                count = come([ues[0].segment(at[2 * ROUNDS + i], parts[i], ack) for i in range(ROUNDS)], ROUNDS)
                equal(b''.join(got), b''.join(parts[:ROUNDS]), f'{where}: received over one SA')
                equal(count, 1 if joined else ROUNDS, f'{where}: looks at segments over one SA')
    everywhere(case, go)


@test('A10', "what came over somebody else's SA is not joined to what came over ours, {}",
      each=tuple((m, f) for m in MODES for f in ADDRESSES))
def foreign(case):
    mode, fam = case

    def go(ep, ues, where, _):
        ue = ues[0]
        p, u = ue.b['address'], ue.b['ue-address']
        theirs = f"proto esp spi {FOREIGN} replay-window 32 {algorithms('hmac-sha-1-96', 'null')}"
        World.p.ip(f'xfrm state add src {OTHER[fam]} dst {p} {theirs} mode tunnel '
                   f'encap espinudp {NAT_PORT} {NAT_PORT} {"::" if fam == "IPv6" else "0.0.0.0"}' if mode == 'tunnel' else
                   f'xfrm state add src {u} dst {p} {theirs} mode transport')
        other = Ue({**ue.b, 'spi-ps': FOREIGN, 'ue-nat-address': OTHER[fam]})
        with Server(ep, FORMS[1]) as server:
            for i in range(ROUNDS):
                got = []
                texts = [b'%d of %s' % (i, who) for who in (b'ours', b'them', b'us..')]
                packets = [x.message(text) for x, text in zip((ue, other, ue), texts)]
                with Counted(ep, where, foreign_sa=1):
                    looks(packets, lambda: got.extend(server.receive(2)[0]))  # pylint: disable=cell-var-from-loop
                equal(got, [(text, ue.b['mark']) for text in texts[::2]], f'{where}: messages')
    everywhere((mode, FORMS[1], fam), go)


if __name__ == '__main__':
    main(start, before, teardown)
