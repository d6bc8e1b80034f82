# SPDX-License-Identifier: GPL-2.0-only
"""Network namespaces, packets made by hand, and what is seen on the wire.

     namespace P: the P-CSCF               namespace U: the UE
    +-------------------------+  veth   +-------------------------+
    | lo                      |         |                         |
    | p0  192.0.2.1/24        +---------+ u0  192.0.2.2/24        |
    |     2001:db8::1/64      |         |     2001:db8::2/64      |
    +-------------------------+         +-------------------------+

Nothing of ours runs in U: `ip xfrm`, sockets, packets made here.
"""
import collections
import contextlib
import ctypes
import fcntl
import hashlib
import hmac
import itertools
import os
import re
import select
import shlex
import socket
import struct
import subprocess

from ktap import echo, wait

CLONE_NEWNET, CLONE_NEWUSER = 0x40000000, 0x10000000
ETH_P_ALL, ETH_P_IP, ETH_P_IPV6 = 3, 0x0800, 0x86dd
PACKET_OUTGOING = 4
SIOCETHTOOL, ETHTOOL_STSO, ETHTOOL_SGRO = 0x8946, 0x1f, 0x2c
TCP, UDP, UDPLITE, SCTP, DCCP, ESP, AH, FRAGMENT, DSTOPTS = 6, 17, 136, 132, 33, 50, 51, 44, 60
ICMP, ICMP6 = 1, 58
MAC = {'p0': bytes.fromhex('020000000001'), 'u0': bytes.fromhex('020000000002')}
P4, U4, P6, U6 = '192.0.2.1', '192.0.2.2', '2001:db8::1', '2001:db8::2'

libc = ctypes.CDLL(None, use_errno=True)


def family(addr):
    return socket.AF_INET6 if ':' in addr else socket.AF_INET


def call(name, *args):
    if getattr(libc, name)(*args) < 0:
        e = ctypes.get_errno()
        raise OSError(e, f'{name}: {os.strerror(e)}')


class Namespace:
    """A network namespace; `with ns:` enters it, for this thread."""

    def __init__(self, name):
        self.name = name
        subprocess.run(['ip', 'netns', 'del', name], stderr=subprocess.DEVNULL, check=False)
        echo('-', f'ip netns add {name}')
        subprocess.run(['ip', 'netns', 'add', name], check=True)
        self.fd = os.open(f'/run/netns/{name}', os.O_RDONLY)
        self.before, self.batched = [], None
        self.ip('link set lo up')

    def __enter__(self):
        self.before.append(os.open('/proc/thread-self/ns/net', os.O_RDONLY))
        call('setns', self.fd, CLONE_NEWNET)
        return self

    def __exit__(self, *_):
        fd = self.before.pop()
        call('setns', fd, CLONE_NEWNET)
        os.close(fd)

    def enter(self):
        """Enter it for good."""
        call('setns', self.fd, CLONE_NEWNET)

    def run(self, *argv, ok=True, stdin=None):
        """Run a command in the namespace; its output."""
        argv = shlex.split(argv[0]) if len(argv) == 1 else argv
        echo(self.name, ' '.join(argv))
        with self:
            done = subprocess.run(argv, input=stdin, stdout=subprocess.PIPE,
                                  stderr=subprocess.STDOUT, text=True, check=False)
        if ok and done.returncode:
            raise RuntimeError(f'[{self.name}] {" ".join(argv)}: {done.stdout.strip()}')
        return done.stdout

    def ip(self, *commands):
        """One or more `ip` commands, in one process."""
        for c in commands[1:] and commands:
            echo(self.name, f'ip {c}')
        if commands[1:]:
            return self.run('ip', '-batch', '-', stdin='\n'.join(commands) + '\n')
        return self.run('ip ' + commands[0]) if commands else ''

    def batch(self, *commands):
        """As ip() does, by one process that stays: what they print is not looked at."""
        batched, self.batched = self.batched or Batch(self), None
        batched.run(*commands)
        # It ends with the first that fails
        self.batched = batched

    def socket(self, *args):
        with self:
            return socket.socket(*args)

    def udp(self, addr, port, protocol=0):
        """A UDP socket bound there, non-blocking."""
        s = self.socket(family(addr), socket.SOCK_DGRAM, protocol)
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        s.bind((addr, port))
        s.setblocking(False)
        return s

    def tcp(self, addr, port, listen=False):
        """A TCP socket bound there, listening or not, non-blocking.

        It is reset when closed: no TIME_WAIT stands in the next test's way.
        """
        s = self.socket(family(addr), socket.SOCK_STREAM)
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 1, 0))
        s.bind((addr, port))
        if listen:
            s.listen()
        s.setblocking(False)
        return s

    @contextlib.contextmanager
    def sysctl(self, **values):
        """What is under /proc/sys/net has these values meanwhile; "__" stands for "/"."""
        was = []
        try:
            for name, value in values.items():
                path = '/proc/sys/net/' + name.replace('__', '/')
                echo(self.name, f'{path} = {value}')
                with self, open(path, encoding='ascii') as f:
                    was.append((path, f.read()))
                with self, open(path, 'w', encoding='ascii') as f:
                    f.write(str(value))
            yield
        finally:
            for path, value in was[::-1]:
                with self, open(path, 'w', encoding='ascii') as f:
                    f.write(value)

    def xfrm_stat(self):
        with self, open('/proc/thread-self/net/xfrm_stat', encoding='ascii') as f:
            return {k: int(v) for k, v in map(str.split, f)}

    def tcp_stat(self):
        """Of TCP's counters those that are not 0, by name."""
        with self, open('/proc/thread-self/net/netstat', encoding='ascii') as f:
            names, values = [x.split()[1:] for x in f if x.startswith('TcpExt:')]
        return {k: int(v) for k, v in zip(names, values) if int(v)}

    def states(self):
        """`ip xfrm state` as a list of dicts."""
        return parse_states(self.ip('-s xfrm state'))

    def count(self, what='state'):
        """How many states or policies `ip xfrm` counts."""
        if what == 'state':
            return int(re.search(r'SAD count (\d+)', self.ip('xfrm state count')).group(1))
        return len(re.findall(r'^src ', self.ip('xfrm policy'), re.MULTILINE))

    def delete(self):
        if self.batched:
            self.batched.close()
        os.close(self.fd)
        subprocess.run(['ip', 'netns', 'del', self.name], check=False)


class Batch:
    """`ip -batch` in a namespace, kept running: starting it takes longer than what it does."""

    def __init__(self, ns):
        self.ns = ns
        with ns:
            self.p = subprocess.Popen(['stdbuf', '-oL', 'ip', '-batch', '-'], stdin=subprocess.PIPE,
                                      stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

    def run(self, *commands):
        for c in commands:
            echo(self.ns.name, f'ip {c}')
        self.p.stdin.write('\n'.join((*commands, 'xfrm state count')) + '\n')
        self.p.stdin.flush()
        line = self.p.stdout.readline()
        if 'SAD count' not in line:
            raise RuntimeError(f'[{self.ns.name}] ip: {line}')

    def close(self):
        self.p.stdin.close()
        self.p.wait()


def ethtool(ns, dev, command, value):
    data = ctypes.create_string_buffer(struct.pack('II', command, value))
    with ns.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        fcntl.ioctl(s, SIOCETHTOOL, struct.pack('16sP16x', dev.encode(), ctypes.addressof(data)))


def set_gro(u, p, on):
    """P's packets come by way of GRO, or do not."""
    # A veth gives GRO nothing whose sender could have left it to segment
    ethtool(u, 'u0', ETHTOOL_STSO, not on)
    ethtool(p, 'p0', ETHTOOL_SGRO, on)


def parse_states(text):
    """What `ip -s xfrm state` prints."""
    out = []
    for block in re.split(r'^(?=src )', text, flags=re.MULTILINE)[1:]:
        s = {'text': block}
        s['src'], s['dst'] = re.match(r'src (\S+) dst (\S+)', block).groups()
        s['proto'], s['spi'] = re.search(r'proto (\w+) spi (0x\w+)', block).groups()
        s['spi'] = int(s['spi'], 16)
        s['reqid'] = int(re.search(r'reqid (\d+)', block).group(1))
        s['mode'] = re.search(r'mode (\w+)', block).group(1)
        # Where there is the long form of the replay state, it counts
        m = re.search(r'replay_window (\d+)', block) or re.search(r'replay-window (\d+)', block)
        s['window'] = int(m.group(1))
        s['esn'] = bool(re.search(r'flag\b[^\n]*\besn\b', block))
        m = re.search(r'auth(?:-trunc)? (\S+) 0x(\w+)(?: \(\d+ bits\))?(?: (\d+))?', block)
        s['auth'] = m.groups() if m else None
        m = re.search(r'enc (\S+) *(?:0x(\w+))?', block)
        s['enc'] = m.groups('') if m else None
        m = re.search(r'aead (\S+) 0x(\w+)(?: \(\d+ bits\))? (\d+)', block)
        s['aead'] = m.groups() if m else None
        m = re.search(r'sel src (\S+) dst (\S+)([^\n]*)', block)
        s['sel_src'], s['sel_dst'], rest = m.groups()
        s['sport'] = int((re.search(r'sport (\d+)', rest) or [0, 0])[1])
        s['dport'] = int((re.search(r'dport (\d+)', rest) or [0, 0])[1])
        s['sel_proto'] = (re.search(r'proto (\w+)', rest) or [0, None])[1]
        s['limits'] = re.findall(r'limit: soft \(?(\w+)\)?\(\w+\), hard \(?(\w+)\)?\(\w+\)', block)
        s['expire'] = re.findall(r'expire \w+: soft (\d+)\(sec\), hard (\d+)\(sec\)', block)
        out.append(s)
    return out


# --- Packets

def checksum(data):
    data += b'\0' * (len(data) % 2)
    total = sum(struct.unpack(f'>{len(data) // 2}H', data))
    while total >> 16:
        total = (total & 0xffff) + (total >> 16)
    return ~total & 0xffff


def pack(addr):
    return socket.inet_pton(family(addr), addr)


def pseudo(src, dst, proto, length):
    if ':' in src:
        return pack(src) + pack(dst) + struct.pack('>IHBB', length, 0, 0, proto)
    return pack(src) + pack(dst) + struct.pack('>BBH', 0, proto, length)


def layer4(src, dst, proto, sport, dport, payload=b'', flags=2):
    """A datagram, or a segment of TCP: a SYN by its flags.

    Of SCTP and DCCP there are ports, and a head that nobody reads.
    """
    if proto in (SCTP, DCCP):
        return struct.pack('>HHQ', sport, dport, 0) + payload
    if proto == TCP:
        head = struct.pack('>HHIIBBHHH', sport, dport, 1, 0, 5 << 4, flags, 65535, 0, 0)
        at = 16
    else:
        # UDP-Lite has there how much is checksummed: 0, all
        length = 8 + len(payload) if proto == UDP else 0
        head, at = struct.pack('>HHHH', sport, dport, length, 0), 6
    data = head + payload
    value = checksum(pseudo(src, dst, proto, len(data)) + data) or 0xffff
    return data[:at] + struct.pack('>H', value) + data[at + 2:]


IDENT = 0x4711
idents = itertools.count(1)


def ip4(src, dst, proto, data, offset=0, ident=IDENT, options=b''):
    head = struct.pack('>BBHHHBBH', 0x45 + len(options) // 4, 0, 20 + len(options) + len(data), ident, offset, 64, proto, 0)
    head += pack(src) + pack(dst) + options
    return head[:10] + struct.pack('>H', checksum(head)) + head[12:] + data


def ip6(src, dst, proto, data):
    return struct.pack('>IHBB', 6 << 28, len(data), proto, 64) + pack(src) + pack(dst) + data


def ip(src, dst, proto, data):
    return (ip6 if ':' in src else ip4)(src, dst, proto, data)


def fragment_head(proto, at, more, ident=IDENT):
    """IPv6's fragment header."""
    return struct.pack('>BBHI', proto, 0, at | more, ident)


def fragment(src, dst, proto, at, more, part, ident=IDENT):
    """One fragment: where in the packet, whether more come, and what is in it."""
    if ':' in src:
        return ip6(src, dst, FRAGMENT, fragment_head(proto, at, more, ident) + part)
    return ip4(src, dst, proto, part, at // 8 | more << 13, ident)


def fragments(src, dst, proto, data, size, ident=None):
    """The IP packet in fragments of `size` bytes; one, not smaller, is an atomic one (IPv6).

    What waits to be completed would be mixed with the next of the same identification.
    """
    ident = ident or next(idents)
    return [fragment(src, dst, proto, at, at + size < len(data), data[at:at + size], ident)
            for at in range(0, len(data), size)]


def icmp_error(src, dst, kind, quoted):
    """An ICMP error about a packet: 'port' unreachable, or 'size': too big for an MTU of 1,280; or its type and code."""
    six = ':' in src
    number, code = {('port', False): (3, 3), ('port', True): (1, 4),
                    ('size', False): (3, 4), ('size', True): (2, 0)}.get((kind, six)) or kind
    data = struct.pack('>BBHI', number, code, 0, 1280 if kind == 'size' else 0) + quoted[:1200]
    proto = ICMP6 if six else ICMP
    value = checksum((pseudo(src, dst, proto, len(data)) if six else b'') + data)
    return ip(src, dst, proto, data[:2] + struct.pack('>H', value) + data[4:])


def esp_data(spi, seq, proto, data, auth, key):
    """Data in ESP with null encryption, made without the kernel's help."""
    pad = bytes(range(1, 1 + -(len(data) + 2) % 4))
    data = struct.pack('>II', spi, seq) + data + pad + bytes([len(pad), proto])
    return data + icv(data, auth, key)


def esp(src, dst, spi, seq, proto, data, auth, key):
    """The packet in it."""
    return ip(src, dst, ESP, esp_data(spi, seq, proto, data, auth, key))


def ah(src, dst, spi, seq, proto, data, auth, key):
    """The packet with an authentication header, likewise."""
    def packet(value):
        return ip(src, dst, AH, struct.pack('>BBHII', proto, 4, 0, spi, seq) + value + data)
    bare = bytearray(packet(bytes(12)))
    # What changes on the way counts as zero: TTL and checksum, or the hop limit
    for at in (7,) if ':' in src else (8, 10, 11):
        bare[at] = 0
    return packet(icv(bytes(bare), auth, key))


def icv(data, auth, key):
    return hmac.new(key, data, {'hmac-md5-96': hashlib.md5,
                                'hmac-sha-1-96': hashlib.sha1}[auth]).digest()[:12]


class Seen(collections.namedtuple('Seen', 'sent src dst proto sport dport spi fragment data')):
    """A packet on the wire."""

    def __repr__(self):
        return (f'{self.src} {self.sport} to {self.dst} {self.dport}, protocol {self.proto}, SPI {self.spi}, '
                f'{len(self.data)} bytes: {self.data[:32].hex()}')


def dissect(data, sent):
    """A frame without its Ethernet header; None for what is no IP."""
    version, fragment = data[0] >> 4, False
    if version == 4:
        src, dst = (socket.inet_ntop(socket.AF_INET, data[i:i + 4]) for i in (12, 16))
        proto, at = data[9], (data[0] & 15) * 4
        offset = struct.unpack_from('>H', data, 6)[0]
        fragment, offset = bool(offset & 0x3fff), offset & 0x1fff
        data = data[:struct.unpack_from('>H', data, 2)[0]]
    elif version == 6:
        src, dst = (socket.inet_ntop(socket.AF_INET6, data[i:i + 16]) for i in (8, 24))
        proto, at, offset = data[6], 40, 0
        data = data[:40 + struct.unpack_from('>H', data, 4)[0]]
        while proto in (0, 43, DSTOPTS, FRAGMENT):
            if proto == FRAGMENT:
                fragment, offset = True, struct.unpack_from('>H', data, at + 2)[0] >> 3
                proto, at = data[at], at + 8
                if offset:
                    break
            else:
                proto, at = data[at], at + 8 + data[at + 1] * 8
    else:
        return None
    sport = dport = spi = None
    if not offset and proto in (TCP, UDP, UDPLITE, SCTP, DCCP) and len(data) >= at + 4:
        sport, dport = struct.unpack_from('>HH', data, at)
    elif not offset and proto == ESP:
        spi, = struct.unpack_from('>I', data, at)
    return Seen(sent, src, dst, proto, sport, dport, spi, fragment, data[at:])


class Wire:
    """What goes over the wire, as u0 sees it, and a way to put packets on it."""

    def __init__(self, ns, device):
        self.device, self.peer = device, {'u0': 'p0', 'p0': 'u0'}[device]
        self.sock = ns.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
        self.sock.setsockopt(socket.SOL_SOCKET, 33, 16 << 20)  # SO_RCVBUFFORCE
        with ns:
            self.sock.bind((device, ETH_P_ALL))
        self.sock.setblocking(False)

    def packets(self):
        """All IP packets since the last call: was it sent from this end, and the packet."""
        out = []
        while True:
            try:
                frame, addr = self.sock.recvfrom(1 << 16)
            except BlockingIOError:
                return out
            if frame[12:14] in (b'\x08\x00', b'\x86\xdd'):
                out.append((addr[2] == PACKET_OUTGOING, frame[14:]))

    def seen(self):
        """All since the last call, dissected; `sent` is true for what left this end."""
        return [s for s in (dissect(data, sent) for sent, data in self.packets()) if s]

    def send(self, *packets, to=None):
        """Put IP packets on it, to the other end or to a MAC address."""
        for p in packets:
            kind = ETH_P_IPV6 if p[0] >> 4 == 6 else ETH_P_IP
            frame = (to or MAC[self.peer]) + MAC[self.device] + struct.pack('>H', kind) + p
            while True:
                try:
                    self.sock.send(frame)
                    break
                except BlockingIOError:
                    # On a busy machine those before it may still be on their way
                    select.select([], [self.sock], [])


def topology():
    """P and U as drawn above; neighbours are fixed, so that only tests talk."""
    # One CPU: what is sent first is received first
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    p, u = Namespace('P'), Namespace('U')
    mac = {k: v.hex(':') for k, v in MAC.items()}
    p.ip(f'link add p0 address {mac["p0"]} type veth peer name u0 address {mac["u0"]} netns U')
    for ns, dev, four, six, other in ((p, 'p0', P4, P6, 'u0'), (u, 'u0', U4, U6, 'p0')):
        four2, six2 = {'p0': (U4, U6), 'u0': (P4, P6)}[dev]
        ns.ip(f'addr add {four}/24 dev {dev}', f'addr add {six}/64 dev {dev} nodad',
              f'link set {dev} up',
              f'neigh replace {four2} lladdr {mac[other]} dev {dev} nud permanent',
              f'neigh replace {six2} lladdr {mac[other]} dev {dev} nud permanent')
    wait_up((p, 'p0'), (u, 'u0'))
    return p, u


def wait_up(*devices):
    """Packets leave by each device (namespace, name), and its addresses are in use.

    A veth that lost its carrier has it back before it has its queue, and drops what is sent meanwhile; its state tells. An ipvlan has
    none.
    """
    def up(ns, dev):
        shown = ns.ip(f'addr show {dev}')
        return re.search(' state (UP|UNKNOWN) ', shown) and 'NO-CARRIER' not in shown and 'tentative' not in shown
    for ns, dev in devices:
        wait(lambda ns=ns, dev=dev: up(ns, dev), f'{dev} is up')


def receive(sock, timeout=60):
    """The next datagram or bytes; TimeoutError where none comes."""
    if not select.select([sock], [], [], timeout)[0]:
        raise TimeoutError(f'nothing received within {timeout} s')
    return sock.recv(1 << 16)


def pending(*socks):
    """What has been received on any of the sockets, without waiting."""
    out = []
    for s in socks:
        try:
            while True:
                out.append(s.recv(1 << 16))
        except BlockingIOError:
            pass
    return out


def accepted(sock):
    """A connection that waits to be accepted, or None."""
    try:
        return sock.accept()[0]
    except BlockingIOError:
        return None
