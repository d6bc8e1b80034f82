# SPDX-License-Identifier: GPL-2.0-only
"""What the tests of mode udp-enc-tun share: UEs made by hand, NATs, and UEs behind them.

A Handset is ESP in UDP made here, put on the wire as if it came out of a NAT; P sends
what it has for such addresses to U, which drops it.  Where there are NATs, U is a
router, and they are namespaces with nftables:

     P  p0 ---- u0  U  u1 ---- n1  N1  i1 ---- h1  H1: UEs, 10.0.0.2 to .5, fd00::2 to ::5
                       u2 ---- n2  N2  i2 ---- h2  H2: the same addresses
"""
import collections
import contextlib
import ctypes
import fcntl
import itertools
import os
import select
import socket
import struct
import subprocess
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
# pylint: disable=wrong-import-position
from ims import (ADDRESSES, AUTH_KEY, P4, P6, SHIPPED, U4, U6, UDP, Fail, Namespace, Skip, World, Xfrm, algorithms, bundle,  # noqa: E402
                 check, echo, endpoint, equal, family, grow, icv, ip, layer4, quiet, receive, setup, table, teardown, wait)
from net import checksum, pseudo, set_gro  # noqa: E402
from nl import Netlink  # noqa: E402

SO_MARK, SO_RCVMARK, UDP_ENCAP, UDP_ENCAP_ESPINUDP = 36, 75, 100, 2
IPIP, IPV6 = 4, 41
NETLINK_NETFILTER, NFNL_SUBSYS_CTNETLINK, IPCTNL_MSG_CT_DELETE = 12, 1, 2
SIOCSIFMTU = 0x8922
NAT_PORT = 4500
LONG = 3600000
# Seconds between two moves of a UE: more than there have to be
APART = 0.2
KEEP_ALIVE, MARKER = b'\xff', bytes(4)
# Addresses that are nobody's: those of UEs, and of the outside of their NATs
INNER = {'IPv4': '10.0.0.2', 'IPv6': 'fd00::2'}
OUTER = {'IPv4': '203.0.113.77', 'IPv6': '2001:db8:77::77'}
OTHER = {'IPv4': '203.0.113.99', 'IPv6': '2001:db8:77::99'}
COUNTS = ('drop-plaintext-in', 'drop-plaintext-out', 'drop-foreign-sa', 'drop-cross-pair', 'drop-no-live-set',
          'drop-udp-only')
serial = itertools.count(1)
spis = itertools.count(0x40000000, 2)

Down = collections.namedtuple('Down', 'to port spi seq src dst proto sport dport data')


def setup_nat():
    """P and U, and P sends to U whatever is not its own."""
    setup()
    World.p.ip(f'route add default via {U4}', f'route add ::/0 via {U6}')


def nat_endpoint(fam='IPv4', **more):
    return endpoint(ADDRESSES[fam][0], nat_traversal=1, **more)


def nat_bundle(ep, n=None, **more):
    """A bundle of a registration of its own; `n` keeps apart what has to differ."""
    fam = 'IPv6' if ':' in ep['address'] else 'IPv4'
    n, spi = next(serial) if n is None else n, next(spis)
    return bundle(ep, **{'mode': 'udp-enc-tun', 'enc_alg': 'null', 'ue_address': INNER[fam], 'ue_nat_address': OUTER[fam],
                         'owner': b'%d@ims.example' % n, 'contact': b'sip:%d@ims.example' % n,
                         'spi_uc': spi, 'spi_us': spi + 1, **more})


def get(b):
    return World.nl.do('bundle-get', id=b['id'])


def confirm(b, **more):
    World.nl.do('bundle-confirm', id=b['id'], lifetime=LONG, **more)
    return b


def drops(ep):
    got = World.nl.do('endpoint-get', id=ep['id'])
    return {k: got[k] for k in COUNTS}


class Counted:
    """What is done meanwhile is dropped and counted: so many, for these reasons and no other."""

    def __init__(self, ep, text, **expected):
        self.ep, self.text = ep, text
        self.expected = {'drop-' + k.replace('_', '-'): v for k, v in expected.items() if v}
        self.was = None

    def grown(self):
        return {k: v - self.was[k] for k, v in drops(self.ep).items() if v != self.was[k]}

    def __enter__(self):
        self.was = drops(self.ep)

    def __exit__(self, kind, *_):
        if kind:
            return
        try:
            wait(lambda: sum(self.grown().values()) >= sum(self.expected.values()), 'counted', 10)
        except Fail:
            pass
        equal(self.grown(), self.expected, f'{self.text}: counted')


class Sip:
    """The SIP server's UDP sockets at an endpoint."""
    FREE = 9999

    def __init__(self, ep):
        self.ep, self.addr = ep, ep['address']
        self.six = ':' in self.addr
        self.socks = {port: World.p.udp(self.addr, port) for port in (ep['port-ps'], *ep['port-pc'], self.FREE)}
        for s in self.socks.values():
            s.setsockopt(socket.SOL_SOCKET, SO_RCVMARK, 1)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for s in self.socks.values():
            s.close()

    def receive(self, port, timeout=60):
        """The next message to a port: data, who sent it, its mark."""
        s = self.socks[port]
        if not select.select([s], [], [], timeout)[0]:
            raise TimeoutError(f'nothing received at port {port} within {timeout} s')
        data, anc, _, src = s.recvmsg(1 << 16, 64)
        marks = [struct.unpack('I', d)[0] for level, kind, d in anc if (level, kind) == (socket.SOL_SOCKET, SO_MARK)]
        return data, src[:2], marks[0] if marks else 0

    def send(self, data, to, mark=None, port=None):
        """A datagram from a protected port, with a mark; was there an error?"""
        anc = [(socket.SOL_SOCKET, SO_MARK, struct.pack('I', mark))] if mark is not None else []
        try:
            self.socks[port or self.ep['port-ps']].sendmsg([data], anc, 0, to)
        except OSError as e:
            return e
        return None

    def down(self, b, name, data, mark=True):
        """To the UE's port at the end of this SA, with its registration's mark, or another, or none."""
        _, _, sport, dport, _ = table(b)[b[name]]
        return self.send(data, (b['ue-address'], dport), b['mark'] if mark is True else mark, sport)

    def passed(self):
        """All that was put on the wire before has been dealt with: one more packet is through."""
        src = ADDRESSES['IPv6' if self.six else 'IPv4'][1]
        text = b'marker %d' % next(serial)
        World.wire.send(ip(src, self.addr, UDP, layer4(src, self.addr, UDP, self.FREE, self.FREE, text)))
        equal(receive(self.socks[self.FREE]), text, 'a port that is not protected')

    def nothing(self, text):
        """Nothing has been delivered to a protected port."""
        got = []
        for port, s in self.socks.items():
            try:
                while port != self.FREE:
                    got.append(s.recv(1 << 16))
            except BlockingIOError:
                pass
        equal(got, [], f'{text}: delivered')


class Handset:
    """The UE of a bundle, by hand, and where its NAT has it: null encryption."""

    def __init__(self, b, at=None, port=None):
        self.b, self.table = b, table(b)
        self.p, self.u = b['address'], b['ue-address']
        self.at, self.port = at or b['ue-nat-address'], port or b['ue-nat-port']
        self.key = bytes.fromhex(AUTH_KEY.get(b['auth-alg'], ''))
        self.seqs = collections.Counter()

    def next_seq(self, spi):
        self.seqs[spi] += 1
        return self.seqs[spi]

    def seal(self, spi, seq, proto, data):
        """ESP around something; its trailer is aligned to four bytes."""
        pad = bytes(range(1, 1 + -(len(data) + 2) % 4))
        data = struct.pack('>II', spi, seq) + data + pad + bytes([len(pad), proto])
        return data + icv(data, self.b['auth-alg'], self.key)

    def open(self, data):
        """What is in P's ESP: protocol and data; its ICV is right."""
        equal(data[-12:], icv(data[:-12], self.b['auth-alg'], self.key), 'ICV')
        body = data[8:-12]
        return body[-1], body[:len(body) - 2 - body[-2]]

    def inner(self, name, data, src=None, sport=None, dport=None, proto=UDP, dst=None):
        """The packet within the tunnel, by default as the SA's selector has it."""
        _, _, s, d, _ = self.table[self.b[name]]
        src, dst = src or self.u, dst or self.p
        return ip(src, dst, proto, layer4(src, dst, proto, sport or s, dport or d, data))

    def esp(self, name, packet, seq=None, spi=None):
        spi = spi or self.b[name]
        return self.seal(spi, seq or self.next_seq(spi), IPV6 if packet[0] >> 4 == 6 else IPIP, packet)

    def outer(self, data, port=None, at=None, dport=NAT_PORT):
        """UDP around it."""
        at = at or self.at
        return ip(at, self.p, UDP, layer4(at, self.p, UDP, port or self.port, dport, data))

    def message(self, name='spi-ps', data=b'MESSAGE', port=None, at=None, seq=None, **more):
        """A datagram of the UE's, as it is on the wire."""
        return self.outer(self.esp(name, self.inner(name, data, **more), seq), port, at)

    def forged(self, name='spi-ps', data=b'FORGED', port=None, at=None, seq=None):
        """The same by somebody who has seen the SPI and has not got the keys."""
        esp = bytearray(self.esp(name, self.inner(name, data), seq or self.seqs[self.b[name]] + 1000))
        esp[-1] ^= 1
        return self.outer(bytes(esp), port, at)

    def deliver(self, sip, name='spi-ps', data=None, **more):
        """A message, and it arrives, with the bundle's mark."""
        data = data or b'MESSAGE %d' % next(serial)
        World.wire.send(self.message(name, data, **more))
        _, _, sport, dport, _ = self.table[self.b[name]]
        equal(sip.receive(dport), (data, (self.u, sport), self.b['mark']), f'message over {name}')

    def take(self, seen):
        """What P has sent, taken out of UDP and ESP."""
        equal(seen.sport, NAT_PORT, "P's port of ESP")
        if seen.data[6:8] != bytes(2):
            value = checksum(pseudo(seen.src, seen.dst, UDP, len(seen.data)) + seen.data)
            equal(value, 0, 'checksum of UDP')
        else:
            check(':' not in seen.src, 'no checksum of UDP over IPv6')
        esp = seen.data[8:]
        spi, seq = struct.unpack_from('>II', esp)
        proto, packet = self.open(esp)
        if proto == IPIP:
            src, dst = (socket.inet_ntop(socket.AF_INET, packet[i:i + 4]) for i in (12, 16))
            inner, data = packet[9], packet[20:struct.unpack_from('>H', packet, 2)[0]]
        else:
            equal(proto, IPV6, 'protocol within ESP')
            src, dst = (socket.inet_ntop(socket.AF_INET6, packet[i:i + 16]) for i in (8, 24))
            inner, data = packet[6], packet[40:40 + struct.unpack_from('>H', packet, 4)[0]]
        sport, dport = struct.unpack_from('>HH', data)
        equal(checksum(pseudo(src, dst, inner, len(data)) + data), 0, 'checksum within the tunnel')
        return Down(seen.dst, seen.dport, spi, seq, src, dst, inner, sport, dport, data[8:] if inner == UDP else data)

    def sent(self):
        """All that P has sent since last asked: taken out of UDP and ESP, and nothing else."""
        seen = [s for s in World.wire.seen() if not s.sent and not quiet(s)]
        clear = [s for s in seen if (s.proto, s.sport) != (UDP, NAT_PORT)]
        check(not clear, f'not in UDP from port {NAT_PORT}: {clear[:3]}')
        return [self.take(s) for s in seen]

    def reached(self, sip, name='spi-uc', port=None, at=None, mark=True):
        """What the SIP server sends now goes to this port of the NAT, over this SA; its sequence number."""
        data = b'to the UE %d' % next(serial)
        World.wire.seen()
        equal(sip.down(self.b, name, data, mark), None, 'error of sending')
        # On a busy host it leaves a moment after it was sent
        got = wait(self.sent, 'a packet on the wire')
        equal(len(got), 1, 'packets on the wire')
        src, dst, sport, dport, _ = self.table[self.b[name]]
        equal(got[0]._replace(seq=0), Down(at or self.at, port or self.port, self.b[name], 0, src, dst, UDP, sport, dport, data),
              f'message over {name}')
        return got[0].seq

    def works(self, sip, **more):
        """All four ways."""
        for name in ('spi-ps', 'spi-pc'):
            self.deliver(sip, name)
        for name in ('spi-uc', 'spi-us'):
            self.reached(sip, name, **more)


def nat_event(b, port, at=None):
    """The next event of a mapping is that this bundle's is another."""
    e = World.events.next()
    while e['type'] != 'nat-mapping':
        e = World.events.next()
    got = e['bundle']
    equal((e['reason'], got['id'], got['ue-nat-port'], got['ue-nat-address']),
          ('nat', b['id'], port, at or b['ue-nat-address']), 'event of a mapping')


def mappings():
    """Of the events since last asked, those of a mapping: bundle and port."""
    return [(e['bundle']['id'], e['bundle']['ue-nat-port']) for e in World.events.drain() if e['type'] == 'nat-mapping']


def mappings_until(*last):
    """The events of mappings, until all of these have come: they are sent a moment after the mapping has changed."""
    got = []

    def come():
        got.extend(mappings())
        return set(last) <= set(got)
    wait(come, f'events of {last}')
    return got


def udp_sockets(port, ns=None):
    """The UDP sockets at a port, by /proc/net/udp: (address, bytes waiting to be read, packets dropped)."""
    out = []
    for name in ('udp', 'udp6'):
        with ns or World.p, open(f'/proc/thread-self/net/{name}', encoding='ascii') as f:
            for line in f.readlines()[1:]:
                words = line.split()
                addr, at = words[1].split(':')
                if int(at, 16) == port:
                    out.append((addr, int(words[4].split(':')[1], 16), int(words[-1])))
    return out


# --- NATs of the kernel's

class Nft:
    """What `nft -f` does, in a namespace, without starting it: the library that it is made of."""
    lib = None

    def __init__(self, ns):
        if not Nft.lib:
            Nft.lib = ctypes.CDLL('libnftables.so.1')
            Nft.lib.nft_ctx_new.restype = ctypes.c_void_p
            for name in ('output', 'error'):
                getattr(Nft.lib, f'nft_ctx_get_{name}_buffer').restype = ctypes.c_char_p
        self.ns = ns
        with ns:
            self.ctx = ctypes.c_void_p(self.lib.nft_ctx_new(0))
        for name in ('output', 'error'):
            getattr(self.lib, f'nft_ctx_buffer_{name}')(self.ctx)

    def run(self, *rules):
        """All of them or none; what it prints."""
        for rule in rules:
            echo(self.ns.name, f'nft {rule}')
        with self.ns:
            failed = self.lib.nft_run_cmd_from_buffer(self.ctx, ('\n'.join(rules) + '\n').encode())
        out, error = (getattr(self.lib, f'nft_ctx_get_{name}_buffer')(self.ctx).decode() for name in ('output', 'error'))
        if failed:
            raise RuntimeError(f'[{self.ns.name}] nft: {error}')
        return out

    def close(self):
        self.lib.nft_ctx_free(self.ctx)


class Nat:
    """A NAT, and a network behind it."""

    def __init__(self, n):
        self.i = n
        self.n, self.h = Namespace(f'N{n}'), Namespace(f'H{n}')
        self.outside = {'IPv4': f'198.51.{100 + n}.10', 'IPv6': f'2001:db8:a{n}::10'}
        gate = {'IPv4': f'198.51.{100 + n}.1', 'IPv6': f'2001:db8:a{n}::1'}
        World.u.ip(f'link add u{n} type veth peer name n{n} netns N{n}', f'addr add {gate["IPv4"]}/24 dev u{n}',
                   f'addr add {gate["IPv6"]}/64 dev u{n} nodad', f'link set u{n} up')
        self.n.ip(f'link add i{n} type veth peer name h{n} netns H{n}', f'addr add {self.outside["IPv4"]}/24 dev n{n}',
                  f'addr add {self.outside["IPv6"]}/64 dev n{n} nodad', f'addr add 10.0.0.1/24 dev i{n}',
                  f'addr add fd00::1/64 dev i{n} nodad', f'link set n{n} up', f'link set i{n} up',
                  f'route add default via {gate["IPv4"]}', f'route add ::/0 via {gate["IPv6"]}')
        self.h.ip(*(f'addr add 10.0.0.{k}/24 dev h{n}' for k in range(2, 6)),
                  *(f'addr add fd00::{k}/64 dev h{n} nodad' for k in range(2, 6)), f'link set h{n} up',
                  'route add default via 10.0.0.1', 'route add ::/0 via fd00::1')
        for ns in (self.n, World.u):
            forward(ns)
        with self.h:
            self.xfrm = Xfrm()
        with self.n:
            self.conntrack = Netlink(NETLINK_NETFILTER)
        self.nft, self.rebound = Nft(self.n), 0
        self.masquerade()

    def delete(self):
        for x in (self.xfrm, self.conntrack, self.nft):
            x.close()
        self.h.delete()
        self.n.delete()

    def masquerade(self, how=''):
        """As a NAT does, from the same port if it is free, or as said."""
        self.nft.run('table inet nat', 'delete table inet nat', 'table inet nat {', 'chain post {',
                     'type nat hook postrouting priority srcnat;',
                     f'oifname "n{self.i}" meta l4proto udp masquerade {how}', '}', '}')
        self.forget()

    def forget(self):
        """As if it had been switched off and on: no mapping is left."""
        # What `conntrack -F` says, without starting it
        self.conntrack.request(NFNL_SUBSYS_CTNETLINK << 8 | IPCTNL_MSG_CT_DELETE, bytes(4))

    def rebind(self, port):
        """The UE's next packet comes from this port; it may be followed there."""
        rest(self.rebound)
        self.masquerade(f'to :{port}')
        self.rebound = time.monotonic()

    def drop_fragments(self):
        """Before they are put together."""
        self.nft.run('table inet fragments', 'delete table inet fragments', 'table inet fragments {', 'chain pre {',
                     'type filter hook prerouting priority -450;', 'ip frag-off & 0x3fff != 0 counter drop',
                     'exthdr frag exists counter drop', '}', '}')

    def pass_fragments(self):
        self.nft.run('table inet fragments', 'delete table inet fragments')

    def as_new(self):
        self.xfrm.flush_states()
        self.xfrm.flush_policies()
        self.pass_fragments()
        self.masquerade()


def rest(since=None):
    """What has moved then, or before now, may be moved again."""
    since = time.monotonic() if since is None else since
    wait(lambda: time.monotonic() > since + APART, 'time passes')


def forward(ns):
    with ns:
        for name in ('ipv4/ip_forward', 'ipv6/conf/all/forwarding'):
            with open(f'/proc/sys/net/{name}', 'w', encoding='ascii') as f:
                f.write('1')


@contextlib.contextmanager
def device_gro():
    """P's packets come by way of GRO meanwhile."""
    try:
        set_gro(World.u, World.p, True)
        yield
    finally:
        set_gro(World.u, World.p, SHIPPED)


@contextlib.contextmanager
def gro(fam):
    """The same, and ESP in UDP is taken there by kernels that can."""
    module = {'IPv4': 'esp4_offload', 'IPv6': 'esp6_offload'}[fam]
    if subprocess.run(['modprobe', module], stderr=subprocess.DEVNULL, check=False).returncode:
        raise Skip(f'this kernel has no {module}')
    try:
        with device_gro():
            yield
    finally:
        for ep in World.nl.dump('endpoint-get'):
            World.nl.do('endpoint-del', id=ep['id'], force=True)
        # Its SAs use it until the kernel has done away with them
        if os.path.exists(f'/sys/module/{module}/initstate'):
            wait(lambda: not subprocess.run(['rmmod', module], stderr=subprocess.DEVNULL, check=False).returncode,
                 f'{module} is unloaded')


def set_mtu(ns, dev, size):
    """As `ip link set` does."""
    with ns.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        fcntl.ioctl(s, SIOCSIFMTU, struct.pack('16si12x', dev.encode(), size))


def looked_at(fam):
    """How many packets P's IP has received: what comes out of a tunnel is one more, and GRO's ESP none."""
    with World.p:
        if fam == 'IPv6':
            with open('/proc/thread-self/net/snmp6', encoding='ascii') as f:
                return next(int(x.split()[1]) for x in f if x.startswith('Ip6InReceives'))
        with open('/proc/thread-self/net/snmp', encoding='ascii') as f:
            names, values = [x.split() for x in f if x.startswith('Ip:')]
            return int(values[names.index('InReceives')])


def takes_esp_by_gro():
    with open('/proc/kallsyms', encoding='ascii') as f:
        return any(x.split()[2] == 'xfrm4_gro_udp_encap_rcv' for x in f)


class Nats:
    """Both of them."""
    all = ()


def setup_nats():
    setup_nat()
    Nats.all = tuple(Nat(n) for n in (1, 2))
    # Neighbours are looked for, and the devices are up, when this has been through
    for nat in Nats.all:
        grow(nat.h)
        for fam, p in (('IPv4', P4), ('IPv6', P6)):
            a = World.p.udp(p, 9000)
            b = nat.h.udp(INNER[fam], 9000)

            def through():
                b.sendto(b'hello', (p, 9000))  # pylint: disable=cell-var-from-loop
                return select.select([a], [], [], 0.05)[0]  # pylint: disable=cell-var-from-loop
            wait(through, f'N{nat.i} is there')
            a.close()
            b.close()
        nat.forget()


def teardown_nats():
    for nat in Nats.all:
        nat.delete()
    teardown()


class TunnelUe:
    """The UE's side of sets of mode udp-enc-tun: `ip xfrm` and sockets in a namespace.

    local: its own address there; inner: the one within the tunnel.
    """

    def __init__(self, ns, b, local=None):
        self.ns, self.p, self.u = ns, b['address'], b['ue-address']
        self.local = local or self.u
        self.socks, self.policies, self.closed = {}, set(), []
        if self.u != self.local:
            self.ns.batch(f'addr replace {self.u}/{self.bits()} dev lo' + (' nodad' if ':' in self.u else ''))
        # One for all UEs of a namespace
        if not udp_sockets(NAT_PORT, ns):
            self.closed.append(encap_socket(ns, '::' if ':' in self.p else '0.0.0.0'))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        for s in (*self.socks.values(), *self.closed):
            s.close()
        if self.u != self.local:
            self.ns.batch(f'addr del {self.u}/{self.bits()} dev lo')

    def bits(self):
        return 128 if ':' in self.u else 32

    def selector(self, src, dst, sport, dport):
        return f'src {src}/{self.bits()} dst {dst}/{self.bits()} sport {sport} dport {dport}'

    def ends(self, way):
        """Source and destination outside the tunnel; `way` is P's."""
        return (self.local, self.p) if way == 'in' else (self.p, self.local)

    def install(self, b):
        """The SAs of a set; it receives over them at once."""
        commands = []
        for spi, (src, dst, sport, dport, way) in table(b).items():
            sel, (a, z) = self.selector(src, dst, sport, dport), self.ends(way)
            commands.append(f"xfrm state add src {a} dst {z} proto esp spi {spi} reqid {b['id']} mode tunnel "
                            f"replay-window 32 {algorithms(b['auth-alg'], b['enc-alg'])} "
                            f"encap espinudp {NAT_PORT} {NAT_PORT} {'::' if ':' in self.p else '0.0.0.0'} sel {sel}")
            if way == 'out' and sel not in self.policies:
                self.policies.add(sel)
                commands.append(f'xfrm policy update {sel} dir in tmpl src {a} dst {z} proto esp mode tunnel')
        self.ns.batch(*commands)
        for port in (b['port-uc'], b['port-us']):
            if port not in self.socks:
                self.socks[port] = self.ns.udp(self.u, port)

    def over(self, b):
        """What it sends between the ports of this set leaves over this set from now on."""
        commands = []
        for src, dst, sport, dport, way in table(b).values():
            if way == 'in':
                a, z = self.ends(way)
                commands.append(f'xfrm policy update {self.selector(src, dst, sport, dport)} dir out '
                                f"tmpl src {a} dst {z} proto esp reqid {b['id']} mode tunnel")
        self.ns.batch(*commands)

    def register(self, b):
        self.install(b)
        self.over(b)
        return self

    def forget(self, b):
        ends = ((spi, self.ends(way)) for spi, (*_, way) in table(b).items())
        self.ns.batch(*(f'xfrm state delete src {a} dst {z} proto esp spi {spi}' for spi, (a, z) in ends))

    def send(self, b, data, name='spi-ps'):
        """It sends to P over one of its ways."""
        _, dst, sport, dport, _ = table(b)[b[name]]
        self.socks[sport].sendto(data, (dst, dport))

    def deliver(self, sip, b, name='spi-ps', data=None):
        """A message to P arrives, with the bundle's mark."""
        data = data or b'MESSAGE %d' % next(serial)
        self.send(b, data, name)
        _, _, sport, dport, _ = table(b)[b[name]]
        equal(sip.receive(dport), (data, (self.u, sport), b['mark']), f'message over {name}')

    def reached(self, sip, b, name='spi-uc', data=None):
        """A message from P arrives."""
        data = data or b'to the UE %d' % next(serial)
        equal(sip.down(b, name, data), None, 'error of sending')
        equal(receive(self.socks[table(b)[b[name]][3]]), data, f'message over {name}')

    def works(self, sip, b):
        for name in ('spi-ps', 'spi-pc'):
            self.deliver(sip, b, name)
        for name in ('spi-uc', 'spi-us'):
            self.reached(sip, b, name)


def encap_socket(ns, addr, port=NAT_PORT):
    """A socket for ESP in UDP, as an IKE daemon has it."""
    s = ns.socket(family(addr), socket.SOCK_DGRAM)
    s.bind((addr, port))
    s.setsockopt(UDP, UDP_ENCAP, UDP_ENCAP_ESPINUDP)
    s.setblocking(False)
    return s


def no_outer_fragments():
    """Since last asked: ESP in UDP on the wire, none of it in fragments."""
    seen = [s for s in World.wire.seen() if not quiet(s)]
    bad = [s for s in seen if s.fragment or s.proto != UDP or NAT_PORT not in (s.sport, s.dport)]
    check(not bad, f'on the wire: {bad[:3]}')
