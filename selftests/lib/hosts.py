# SPDX-License-Identifier: GPL-2.0-only
"""Set-ups of hosts that have their own ways with packets: the rows of guard_hosts.py's matrix.

    +-- C ----+    +-- P ----------------+       +-- U ------+
    |     e0  +----+ c0   i0, m0  p0     +-------+ u0        |
    +---------+    +-------+-------------+       +-----------+
    a container            |
                   +-- H --+-------------+
                   | p0, where P has an  |
                   | ipvlan or macvlan   |
                   +---------------------+
"""
import contextlib
import ctypes
import os
import re
import socket
import struct
import subprocess
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
# pylint: disable=wrong-import-position
from ims import (ADDRESSES, DSTOPTS, P4, P6, TCP, TOP, U4, U6, UDP, UML, Namespace, Skip, World, fragment_head,  # noqa: E402
                 fragments, ip, layer4, wait)
from natted import IPCTNL_MSG_CT_DELETE, NETLINK_NETFILTER, NFNL_SUBSYS_CTNETLINK, Nft  # noqa: E402
from net import MAC, wait_up  # noqa: E402
from nl import NLA_F_NESTED, Netlink, NETLINK_GENERIC, nla, parse  # noqa: E402
from protected import PORTS  # noqa: E402

# Where a host sends what comes to a protected port
TARGETS = dict(zip(PORTS, (9990, 9991, 9992)))
# More addresses of P's, and one on U's side that has no bundle
SECOND = {'IPv4': '192.0.2.3', 'IPv6': '2001:db8::3'}
NOBODY = {'IPv4': '192.0.2.22', 'IPv6': '2001:db8::22'}
LOWER = {'IPv4': '192.0.2.100', 'IPv6': '2001:db8::100'}
GATE = {'IPv4': '172.17.0.1', 'IPv6': 'fd17::1'}
CONTAINER = {'IPv4': '172.17.0.2', 'IPv6': 'fd17::2'}
NETWORK = {'IPv4': '172.17.0.0/16', 'IPv6': 'fd17::/64'}
MACVLAN = '02:00:00:00:00:11'
GUE, FOU_UDP, FOU_TCP = 5555, 5556, 5557
NETLINK_ROUTE, RTM_SETLINK, IFLA_XDP, IFLA_XDP_FD, IFLA_XDP_FLAGS, XDP_FLAGS_SKB_MODE = 0, 19, 43, 1, 3, 2
SO_BINDTODEVICE, IP_TRANSPARENT, IPV6_TRANSPARENT = 25, 19, 75

HOSTS = {}
# What a UE and the SIP server do; a host may be known to stop some of them
STEPS = UDP_IN, UDP_OUT, TCP_IN, TCP_OUT, USED = ('UDP from the UE', 'UDP to the UE', 'TCP from the UE', 'TCP to the UE',
                                                  'taking a set into use')
TRAFFIC = STEPS[:4]


class Host:
    """A set-up, and what is known of it."""

    def __init__(self, name, f, clear, fails, families):
        self.name, self.clear, self.fails, self.families = name, clear, fails, families
        self.enter = contextlib.contextmanager(f)

    @property
    def works(self):
        """As the table in guard.rst has it."""
        if not self.fails:
            return 'yes'
        return 'no' if set(self.fails) >= set(TRAFFIC) else 'not ' + ', '.join(s for s in STEPS if s in self.fails)


def host(name, clear='yes', fails=(), families=tuple(ADDRESSES)):
    """Decorator: a set-up; a generator that has it stand while it waits."""
    def declare(f):
        HOSTS[name] = Host(name, f, clear, fails, families)
        return f
    return declare


class Space:
    """The namespaces beside P and U, and what is kept open in P."""
    h = c = nft = conntrack = None


def setup_hosts():
    """After P and U are there."""
    Space.h, Space.c = Namespace('H'), Namespace('C')
    World.p.ip('link add c0 type veth peer name e0 netns C', f'addr add {GATE["IPv4"]}/16 dev c0',
               f'addr add {GATE["IPv6"]}/64 dev c0 nodad', 'link set c0 up')
    Space.c.ip(f'addr add {CONTAINER["IPv4"]}/16 dev e0', f'addr add {CONTAINER["IPv6"]}/64 dev e0 nodad', 'link set e0 up',
               f'route add default via {GATE["IPv4"]}', f'route add ::/0 via {GATE["IPv6"]}')
    World.u.batch(*(f'neigh replace {SECOND[f]} lladdr {MAC["p0"].hex(":")} dev u0 nud permanent' for f in ADDRESSES))
    with World.p:
        Space.conntrack = Netlink(NETLINK_NETFILTER)
    Space.nft = Nft(World.p)
    place('p0')


def teardown_hosts():
    for ns in (Space.h, Space.c):
        if ns:
            ns.delete()
    for x in (Space.nft, Space.conntrack):
        if x:
            x.close()


def place(dev, routes=True):
    """P's addresses and routes are on this device of its."""
    World.p.batch(f'addr replace {P4}/24 dev {dev}', f'addr replace {P6}/64 dev {dev} nodad', f'link set {dev} up',
                  *(f'neigh replace {a} lladdr {MAC["u0"].hex(":")} dev {dev} nud permanent'
                    for a in (U4, U6, *NOBODY.values())),
                  *((f'route replace default via {U4}', f'route replace ::/0 via {U6}') if routes else ()))
    wait_up((World.p, dev), (World.u, 'u0'))


def need(*modules):
    """The kernel has these; only user-mode Linux may not, whose configuration is ours."""
    for m in modules:
        done = subprocess.run(['modprobe', m], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
        if done.returncode and not os.path.isdir('/sys/module/' + m):
            if UML:
                raise Skip(f'this kernel has no {m}')
            raise RuntimeError(done.stdout)


def forget():
    """No connection is known to conntrack."""
    # What `conntrack -F` says
    Space.conntrack.request(NFNL_SUBSYS_CTNETLINK << 8 | IPCTNL_MSG_CT_DELETE, bytes(4))


@contextlib.contextmanager
def rules(*lines):
    """P has these in a table meanwhile."""
    Space.nft.run('table inet host {', *lines, '}')
    forget()
    try:
        yield
    finally:
        Space.nft.run('delete table inet host')
        forget()


def chain(hook, *lines, kind='nat', priority=None):
    if priority is None:
        priority = 100 if hook == 'postrouting' else -100
    return f'chain {hook} {{', f'type {kind} hook {hook} priority {priority};', *lines, '}'


def both(text):
    """A rule of UDP's and of TCP's, which stand where it has L4."""
    return [text.replace('L4', proto) for proto in ('udp', 'tcp')]


def at(addr):
    """An address before a port."""
    return f'[{addr}]' if ':' in addr else addr


# --- Nothing, and source NAT

@host('none')
def none(_):
    yield


@host('masquerade')
def masquerade(_):
    with rules(*chain('postrouting', 'oifname "p0" masquerade')):
        yield


@host('masquerade random')
def masquerade_random(_):
    with rules(*chain('postrouting', *both('oifname "p0" meta l4proto L4 masquerade random'))):
        yield


@host('masquerade, the endpoint at a secondary address')
def masquerade_secondary(c):
    c.p = SECOND[c.fam]
    with second(c), rules(*chain('postrouting', 'oifname "p0" masquerade')):
        yield


@contextlib.contextmanager
def second(c):
    """P has one more address."""
    # Deprecated, so that nothing chooses it
    addr, more = SECOND[c.fam], (' nodad preferred_lft 0' if c.six else '')
    World.p.batch(f'addr replace {addr}/{64 if c.six else 24} dev p0{more}')
    try:
        yield
    finally:
        World.p.batch(f'addr del {addr}/{64 if c.six else 24} dev p0')


@host('SNAT to another address')
def snat(c):
    with second(c), rules(*chain('postrouting', f'oifname "p0" snat {c.nf} to {SECOND[c.fam]}')):
        yield


@host('SNAT to another address and other ports')
def snat_ports(c):
    with second(c), rules(*chain('postrouting', *both(
            f'oifname "p0" meta l4proto L4 snat {c.nf} to {at(SECOND[c.fam])}:20000-20999'))):
        yield


# --- Destination NAT of what is local

def to_targets(c, what):
    """Rules that send what comes to protected ports elsewhere; {} is the port there."""
    return [r for port, to in TARGETS.items() for r in both(f'{c.nf} daddr {c.p} L4 dport {port} {what.format(to)}')]


@host('redirect of the protected ports')
def redirect(c):
    c.serve(lambda port: (World.p, c.p, TARGETS[port]))
    with rules(*chain('prerouting', *to_targets(c, 'redirect to :{}'))):
        yield


@host('redirect from other ports to the protected ones')
def redirect_into(c):
    back = {to: port for port, to in TARGETS.items()}
    c.ways.append(('redirected', lambda proto, sport, port: [ip(c.u, c.p, proto, layer4(
        c.u, c.p, proto, sport, TARGETS[port], bytes(40)))]))
    with rules(*chain('prerouting', *(r for a, z in back.items() for r in both(f'L4 dport {a} redirect to :{z}')))):
        yield


@host('DNAT of the protected ports to other ports')
def dnat_port(c):
    c.serve(lambda port: (World.p, c.p, TARGETS[port]))
    with rules(*chain('prerouting', *to_targets(c, f'dnat {c.nf} to {at(c.p)}:{{}}'))):
        yield


@host('DNAT of the protected ports to another address')
def dnat_addr(c):
    c.serve(lambda port: (World.p, SECOND[c.fam], port))
    with second(c), rules(*chain('prerouting', *to_targets(c, f'dnat {c.nf} to {SECOND[c.fam]}'))):
        yield


@host('stateless rewriting of the protected ports', clear='no', fails=STEPS)
def stateless(c):
    c.serve(lambda port: (World.p, c.p, TARGETS[port]))
    with rules(*chain('prerouting', *(r for port, to in TARGETS.items() for r in both(f'L4 dport {port} L4 dport set {to}')),
                      kind='filter', priority=-300)):
        yield


# --- TPROXY and IPVS

@host('TPROXY of the protected ports to another socket')
def tproxy(c):
    need('nft_tproxy')
    c.transparent = True
    c.serve(lambda port: (World.p, c.p, TARGETS[port]), answer=lambda port: (World.p, c.p, port))
    with rules(*chain('prerouting', *to_targets(c, f'tproxy {c.nf} to {at(c.p)}:{{}} accept'), kind='filter', priority=-150)):
        yield


@host('TPROXY from other ports to the protected sockets')
def tproxy_into(c):
    need('nft_tproxy')
    c.transparent = True
    c.ways.append(('by TPROXY', lambda proto, sport, port: [ip(c.u, c.p, proto, layer4(
        c.u, c.p, proto, sport, TARGETS[port], bytes(40)))]))
    with rules(*chain('prerouting', *(r for port, to in TARGETS.items() for r in both(
            f'{c.nf} daddr {c.p} L4 dport {to} tproxy {c.nf} to {at(c.p)}:{port} accept')), kind='filter', priority=-150)):
        yield


class Ipvs(Netlink):
    """What ipvsadm says."""
    NEW_SERVICE, NEW_DEST, FLUSH = 1, 5, 17

    def __init__(self):
        super().__init__(NETLINK_GENERIC)
        info = dict(parse(self.request(16, struct.pack('=BBH', 3, 2, 0) + nla(2, b'IPVS\0'))[0][4:]))
        self.id, = struct.unpack('=H', info[1])

    def say(self, command, *attrs):
        self.request(self.id, struct.pack('=BBH', command, 1, 0) + b''.join(nla(k | NLA_F_NESTED, v) for k, v in attrs))

    def add(self, addr, proto, port, to, to_port):
        """A virtual service with one real server, by NAT."""
        six = ':' in addr
        fam = socket.AF_INET6 if six else socket.AF_INET

        def packed(a):
            return socket.inet_pton(fam, a).ljust(16, b'\0')
        service = (nla(1, struct.pack('=H', fam)) + nla(2, struct.pack('=H', proto)) + nla(3, packed(addr)) +
                   nla(4, struct.pack('>H', port)))
        more = (nla(6, b'rr\0') + nla(7, struct.pack('=II', 0, 0xffffffff)) + nla(8, struct.pack('=I', 0)) +
                nla(9, struct.pack('=I', 128 if six else 0xffffffff)))
        dest = (nla(1, packed(to)) + nla(2, struct.pack('>H', to_port)) + nla(3, struct.pack('=I', 0)) +
                nla(4, struct.pack('=I', 1)) + nla(5, struct.pack('=I', 0)) + nla(6, struct.pack('=I', 0)) +
                nla(11, struct.pack('=H', fam)))
        self.say(self.NEW_SERVICE, (1, service + more))
        self.say(self.NEW_DEST, (1, service), (2, dest))


@contextlib.contextmanager
def ipvs(c, where):
    """Virtual services at the protected ports."""
    need('ip_vs', 'ip_vs_rr')
    with World.p:
        vs = Ipvs()
    try:
        for port in PORTS:
            for proto in (UDP, TCP):
                vs.add(c.p, proto, port, *where(port))
        yield
    finally:
        vs.say(vs.FLUSH)
        vs.close()


@host('IPVS at the protected ports, a real server on the host', fails=TRAFFIC)
def ipvs_local(c):
    c.serve(lambda port: (World.p, c.p, TARGETS[port]))
    with ipvs(c, lambda port: (c.p, TARGETS[port])):
        yield


@host('IPVS at the protected ports, a real server in a container', fails=TRAFFIC)
def ipvs_container(c):
    c.serve(lambda port: (Space.c, CONTAINER[c.fam], port))
    with forwarding(), ipvs(c, lambda port: (CONTAINER[c.fam], port)):
        yield


# --- Containers, by the documents of Docker and of kube-proxy

@contextlib.contextmanager
def forwarding():
    with World.p.sysctl(ipv4__ip_forward=1, ipv6__conf__all__forwarding=1):
        yield


def docker_rules(c, *more):
    """What dockerd says for published ports: its chains, with `fib daddr type local` spelt out."""
    net, inside, nf = NETWORK[c.fam], CONTAINER[c.fam], c.nf
    ports = '{ ' + ', '.join(map(str, PORTS)) + ' }'
    return (*more, 'chain DOCKER {', 'iifname "c0" return',
            *(f'{nf} daddr {c.p} {p} dport {port} dnat {nf} to {at(inside)}:{port}' for p in ('udp', 'tcp') for port in PORTS), '}',
            *chain('prerouting', f'{nf} daddr {c.p} jump DOCKER'),
            *chain('output', f'{nf} daddr {c.p} jump DOCKER'),
            *chain('postrouting', f'{nf} saddr {net} oifname != "c0" masquerade',
                   *both(f'{nf} saddr {inside} {nf} daddr {inside} L4 dport {ports} masquerade')),
            *chain('forward', *(['flow add @ft'] if more else []), 'ct state established,related accept',
                   *both(f'iifname != "c0" oifname "c0" {nf} daddr {inside} L4 dport {ports} accept'),
                   'iifname "c0" accept', 'oifname "c0" drop', kind='filter', priority=0))


@contextlib.contextmanager
def docker(c, *more):
    c.serve(lambda port: (Space.c, CONTAINER[c.fam], port), speak=lambda port: (Space.c, CONTAINER[c.fam], port))
    with forwarding(), rules(*docker_rules(c, *more)):
        yield


@host("Docker's published ports")
def docker_published(c):
    with docker(c):
        yield


@host("a flowtable, and Docker's published ports")
def flowtable(c):
    need('nft_flow_offload')
    with docker(c, 'flowtable ft {', 'hook ingress priority 0; devices = { p0, c0 };', '}'):
        yield


def kube_rules(c, services, node_ports):
    """What kube-proxy says in mode iptables; a service is (address, port) and where its pod is."""
    nf, out = c.nf, []
    for n, ((addr, port), (pod, to)) in enumerate(services.items()):
        out += [f'chain KUBE-SEP-{n} {{', f'{nf} saddr {pod} jump KUBE-MARK-MASQ',
                *both(f'meta l4proto L4 dnat {nf} to {at(pod)}:{to}'), '}',
                f'chain KUBE-SVC-{n} {{', f'{nf} saddr != {NETWORK[c.fam]} {nf} daddr {addr} jump KUBE-MARK-MASQ',
                f'jump KUBE-SEP-{n}', '}', f'chain KUBE-EXT-{n} {{', 'jump KUBE-MARK-MASQ', f'jump KUBE-SVC-{n}', '}']
    return ('chain KUBE-MARK-MASQ {', 'meta mark set meta mark or 0x4000', '}', *out,
            'chain KUBE-NODEPORTS {', *(r for port, n in node_ports.items() for r in both(f'L4 dport {port} jump KUBE-EXT-{n}')), '}',
            'chain KUBE-SERVICES {', *(r for n, (addr, port) in enumerate(services) for r in both(
                f'{nf} daddr {addr} L4 dport {port} jump KUBE-SVC-{n}')), f'{nf} daddr {c.p} jump KUBE-NODEPORTS', '}',
            'chain KUBE-POSTROUTING {', 'meta mark & 0x4000 == 0 return', 'meta mark set meta mark xor 0x4000',
            'masquerade fully-random', '}',
            *chain('prerouting', 'jump KUBE-SERVICES'), *chain('output', 'jump KUBE-SERVICES'),
            *chain('postrouting', 'jump KUBE-POSTROUTING'),
            *chain('forward', 'ct state invalid drop', 'meta mark & 0x4000 == 0x4000 accept',
                   'ct state related,established accept', kind='filter', priority=0))


def kube_service(c):
    """Of something else: a cluster's DNS."""
    return {({'IPv4': '10.96.0.10', 'IPv6': 'fd96::10'}[c.fam], 53): (CONTAINER[c.fam], 53)}


KUBE_NODE = "kube-proxy, the SIP server on the node's network"


@host(KUBE_NODE)
def kube_node(c):
    with forwarding(), rules(*kube_rules(c, kube_service(c), {30053: 0})):
        yield


@host('kube-proxy, the protected ports are NodePorts')
def kube_node_port(c):
    services = {({'IPv4': '10.96.0.11', 'IPv6': 'fd96::11'}[c.fam], port): (CONTAINER[c.fam], port) for port in PORTS}
    c.serve(lambda port: (Space.c, CONTAINER[c.fam], port))
    with forwarding(), rules(*kube_rules(c, services, {port: n for n, port in enumerate(PORTS)})):
        yield


# --- Devices

@host('a bridge with br_netfilter')
def bridge(_):
    need('bridge', 'br_netfilter')
    World.p.batch(f'link add br0 address {MAC["p0"].hex(":")} type bridge', 'addr flush dev p0', 'link set p0 master br0')
    try:
        place('br0')
        with World.p.sysctl(**{'bridge__bridge-nf-call-iptables': 1, 'bridge__bridge-nf-call-ip6tables': 1}), \
                rules(*chain('prerouting', 'ct state new,established counter', kind='filter', priority=0)):
            yield
    finally:
        World.p.batch('link del br0')
        place('p0')


@contextlib.contextmanager
def lower(*commands):
    """p0 is another namespace's, H's, which makes P a device upon it."""
    World.p.batch('link set p0 netns H')
    try:
        Space.h.batch(f'addr add {LOWER["IPv4"]}/24 dev p0', f'addr add {LOWER["IPv6"]}/64 dev p0 nodad', 'link set p0 up',
                      *(f'neigh replace {a} lladdr {MAC["u0"].hex(":")} dev p0 nud permanent'
                        for a in (U4, U6, *NOBODY.values())), *commands)
        yield
    finally:
        World.p.batch('link del i0')
        Space.h.batch('link set p0 netns P')
        place('p0')


def ipvlan(mode):
    def enter(_):
        need('ipvlan')
        with lower(f'link add link p0 name i0 netns P type ipvlan mode {mode}'):
            place('i0')
            yield
    host(f'ipvlan {mode}')(enter)


for each in ('l2', 'l3', 'l3s'):
    ipvlan(each)


@host('macvlan')
def macvlan(c):
    need('macvlan')
    c.mac = bytes.fromhex(MACVLAN.replace(':', ''))
    with lower(f'link add link p0 name i0 address {MACVLAN} netns P type macvlan mode bridge'):
        try:
            World.u.batch(*(f'neigh replace {a} lladdr {MACVLAN} dev u0 nud permanent' for a in (P4, P6)))
            place('i0')
            yield
        finally:
            World.u.batch(*(f'neigh replace {a} lladdr {MAC["p0"].hex(":")} dev u0 nud permanent' for a in (P4, P6)))


@host('VRF')
def vrf(c):
    need('vrf')
    c.device = 'vrf0'
    World.p.batch('link add vrf0 type vrf table 100', 'link set vrf0 up', 'link set p0 master vrf0')
    try:
        place('p0', routes=False)
        yield
    finally:
        World.p.batch('link del vrf0')
        place('p0')


# --- What takes packets before netfilter, or behind it

@contextlib.contextmanager
def fou(fam, ports):
    """P takes these ports' packets out of UDP: by port, what is in them."""
    six = ['fou6'] if fam == 'IPv6' else []
    need('fou', *six)
    command = f'ip {"-6 " if six else ""}fou'
    try:
        for port, what in ports.items():
            World.p.run(f'{command} add port {port} {what}')
        yield
    finally:
        for port in ports:
            World.p.run(f'{command} del port {port}', ok=False)


@host('GUE and FOU')
def gue(c):
    def outer(port, data):
        return layer4(c.u, c.p, UDP, 40000, port, data)

    def within(proto, data, options=0):
        return struct.pack('>BBH', options, proto, 0) + bytes(4 * options) + data

    def inner(proto, sport, port):
        return layer4(c.u, c.p, proto, sport, port, bytes(40))
    c.ways += [('in GUE', lambda *a: [ip(c.u, c.p, UDP, outer(GUE, within(a[0], inner(*a))))]),
               ('in GUE, fragments', lambda *a: fragments(c.u, c.p, UDP, outer(GUE, within(a[0], inner(*a))), 16)),
               ('in GUE, in a second fragment', lambda *a: fragments(c.u, c.p, UDP, outer(GUE, within(a[0], inner(*a))), 8)),
               ('in GUE, ports in a second fragment', lambda *a: fragments(c.u, c.p, UDP, outer(GUE, within(a[0], inner(*a), 3)), 24)),
               ('in FOU, in a second fragment', lambda *a: fragments(c.u, c.p, UDP, outer(
                   FOU_UDP if a[0] == UDP else FOU_TCP, inner(*a)), 8)),
               ('in GUE, twice', lambda *a: [ip(c.u, c.p, UDP, outer(GUE, within(UDP, outer(GUE, within(a[0], inner(*a))))))]),
               ('in FOU', lambda *a: [ip(c.u, c.p, UDP, outer(FOU_UDP if a[0] == UDP else FOU_TCP, inner(*a)))])]
    if c.six:
        c.ways += [('in GUE, an atomic fragment', lambda *a: [ip(c.u, c.p, UDP, outer(GUE, within(
                        44, fragment_head(a[0], 0, False) + inner(*a))))]),
                   ('in GUE, behind options', lambda *a: [ip(c.u, c.p, UDP, outer(GUE, within(
                       DSTOPTS, struct.pack('>BBBB4x', a[0], 0, 1, 4) + inner(*a))))])]
    with fou(c.fam, {GUE: 'gue', FOU_UDP: f'ipproto {UDP}', FOU_TCP: f'ipproto {TCP}'}):
        yield


def set_xdp(fd):
    with World.p:
        index = socket.if_nametoindex('p0')
        route = Netlink(NETLINK_ROUTE)
    xdp = nla(IFLA_XDP_FD, struct.pack('=i', fd)) + nla(IFLA_XDP_FLAGS, struct.pack('=I', XDP_FLAGS_SKB_MODE))
    route.request(RTM_SETLINK, struct.pack('=BxHiII', 0, 0, index, 0, 0) + nla(IFLA_XDP | NLA_F_NESTED, xdp))
    route.close()


@host('an XDP program that lets all pass')
def xdp_pass(_):
    # r0 = XDP_PASS; exit
    insns = ctypes.create_string_buffer(bytes.fromhex('b700000002000000 9500000000000000'), 16)
    licence = ctypes.create_string_buffer(b'GPL')
    attr = ctypes.create_string_buffer(struct.pack('=IIQQ', 6, 2, ctypes.addressof(insns), ctypes.addressof(licence)), 128)
    fd = ctypes.CDLL(None, use_errno=True).syscall(321, 5, attr, 128)
    if fd < 0:
        raise Skip(f'this kernel takes no BPF program: {os.strerror(ctypes.get_errno())}')
    try:
        set_xdp(fd)
        yield
    finally:
        set_xdp(-1)
        os.close(fd)


@host('tc redirect by way of another device')
def tc_redirect(_):
    need('ifb', 'sch_ingress', 'cls_matchall', 'act_mirred')
    World.p.batch('link add ifb0 type ifb', 'link set ifb0 up')
    try:
        World.p.run('tc qdisc add dev p0 clsact')
        World.p.run('tc filter add dev p0 ingress matchall action mirred egress redirect dev ifb0')
        yield
    finally:
        World.p.run('tc qdisc del dev p0 clsact', ok=False)
        World.p.batch('link del ifb0')


# --- The table of the document

def documented():
    """The rows of the table in guard.rst: {set-up: (nothing in clear, UE works, why not or cure)}."""
    with open(os.path.join(TOP, 'Documentation/guard.rst'), encoding='utf-8') as f:
        text = f.read()
    rows, words = [], None
    for line in text.split('.. list-table::')[1].splitlines()[1:]:
        m = re.match(r' {3}(\* )?(?:  )?- ?(.*)', line)
        if m:
            if m.group(1):
                rows.append([])
            words = [m.group(2)]
            rows[-1].append(words)
        elif words is not None and line.startswith(' ' * 7):
            words.append(line.strip())
        elif words is not None and line and not line.startswith(' '):
            break
    return {r[0]: tuple(r[1:]) for r in ([' '.join(w).strip() for w in row] for row in rows[1:])}


def through(c):
    """Wait until a packet gets from U to P: devices may have just come up."""
    a, b = c.udp(World.p, c.p, 9000), World.u.udp(c.u, 9000)

    def come():
        b.sendto(b'marker', (c.p, 9000))
        try:
            return a.recv(100)
        except BlockingIOError:
            return None
    try:
        wait(come, 'P is there')
    finally:
        a.close()
        b.close()
