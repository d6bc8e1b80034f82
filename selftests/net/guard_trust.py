#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only
"""TRUST: a core answers to a protected port, in clear, by its interface alone.

The topology of hosts.py: C is the core, behind c0; U is where UEs are, behind p0.
"""
import contextlib
import errno
import os
import select
import socket
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '../lib'))
from ims import *  # noqa: E402,F403  pylint: disable=wildcard-import,unused-wildcard-import,wrong-import-position
from hosts import (CONTAINER, GATE, Space, chain, need, place, rules, setup_hosts, teardown_hosts)  # noqa: E402  pylint: disable=wrong-import-position
from protected import *  # noqa: E402,F403  pylint: disable=wildcard-import,unused-wildcard-import,wrong-import-position

PREFIX = {'IPv4': '172.17.0.0/24', 'IPv6': 'fd17::/112'}
OUTSIDE = {'IPv4': '172.17.1.2', 'IPv6': 'fd17::1:2'}
OTHER = {'IPv4': '198.51.100.0/24', 'IPv6': '2001:db8:9::/48'}
CORE = 6060
BIG = 5000


def set_up():
    setup()
    setup_hosts()
    for f, mask in (('IPv4', 16), ('IPv6', 64)):
        Space.c.ip(f'addr add {OUTSIDE[f]}/{mask} dev e0' + (' nodad' if f == 'IPv6' else ''))
    towards_core('c0')
    # What comes with the core's source elsewhere gets as far as the guard
    World.p.run('sysctl', '-qw', 'net.ipv4.conf.all.rp_filter=0', 'net.ipv4.conf.p0.rp_filter=0')


def tear_down():
    teardown_hosts()
    teardown()


def trust(c, *prefixes):
    """The endpoint trusts these, and no others."""
    c.ep = World.nl.do('endpoint-set', {'id': c.ep['id'], 'trusted': ','.join(prefixes)})
    return trusted(c.ep)


def trusted(ep):
    return ep['trusted'].split(',') if 'trusted' in ep else []


def at(fam, dev='c0'):
    return f'{PREFIX[fam]}%{dev}'


def towards_core(dev):
    """P's addresses are there. IPv6 asks for a neighbour from the device's own address, which has to be proven for that."""
    World.p.batch(f'addr replace {GATE["IPv4"]}/16 dev {dev}', f'addr replace {GATE["IPv6"]}/64 dev {dev} nodad')
    wait(lambda: 'fe80:' in World.p.ip(f'addr show {dev}'), f'{dev} has its own address')
    wait_up((World.p, dev), (Space.c, 'e0'))


@contextlib.contextmanager
def case(fam, stage=WITH, dev='c0', **more):
    """A Case with a core that is trusted, and the core's sockets."""
    with Case(fam, stage, **more) as c:
        c.core = CONTAINER[fam]
        c.server = c.keep(Space.c.udp(c.core, CORE))
        c.listener = Space.c.tcp(c.core, CORE, True)
        equal(trust(c, at(fam, dev)), [at(fam, dev)], 'trusted')
        try:
            yield c
        finally:
            c.listener.close()


def ready(s, timeout=60):
    return bool(select.select([s], [], [], timeout)[0])


def to_core(c, index, data=b'to the core'):
    c.udp[index].sendto(data, (c.core, CORE))


def from_core(c, index, data=b'from the core'):
    c.server.sendto(data, (c.p, PORTS[index]))


def core_works(c, text='', sizes=(40, BIG)):
    """UDP both ways, with every port, whole and in fragments."""
    for index, port in enumerate(PORTS):
        for size in sizes:
            from_core(c, index, bytes(size))
            equal(len(receive(c.udp[index])), size, f'{text}: from the core to port {port}')
            to_core(c, index, bytes(size))
            equal(len(receive(c.server)), size, f'{text}: from port {port} to the core')


def core_fails(c, text, **expected):
    """Nothing of it goes, either way."""
    with c.counted(text, **expected):
        for index, _ in enumerate(PORTS):
            from_core(c, index)
            try:
                to_core(c, index)
            except OSError:
                pass
        c.passed()
    c.nothing_in(text)
    equal(pending(c.server), [], f'{text}: received by the core')


@test('TRUST', 'UDP both ways, whole and in fragments, and the UE works beside it, {}', each=ADDRESSES)
def udp(fam):
    with case(fam) as c:
        with c.counted('the core'):
            core_works(c)
        c.work()
        c.nothing_out('the core')


@test('TRUST', 'TCP, from the core and to it, {}', each=ADDRESSES)
def tcp(fam):
    with case(fam) as c, c.counted('the core'):
        for index, port in enumerate(PORTS):
            a = Space.c.tcp(c.core, 7000 + index)
            a.connect_ex((c.p, port))
            b = wait(lambda index=index: accepted(c.tcp[index]), f'a connection from the core to port {port}')
            client = c.client(port)
            client.connect_ex((c.core, CORE))
            d = wait(lambda: accepted(c.listener), f'a connection from port {port} to the core')
            for end, other in ((a, b), (b, a), (client, d), (d, client)):
                end.send(b'hello')
                equal(receive(other), b'hello', f'TCP, port {port}')
            for s in (a, b, d):
                s.close()


@test('TRUST', 'nobody is trusted unless it is said, {}', each=ADDRESSES)
def off(fam):
    with case(fam) as c:
        was = World.p.count('policy')
        equal(trust(c), [], 'trusted')
        equal(World.p.count('policy'), was - len(PORTS), 'policies')
        core_fails(c, 'nobody is trusted', plaintext_in=3, no_live_set=3)
        equal(trust(c, at(fam)), [at(fam)], 'trusted')
        with c.counted('again'):
            core_works(c)


@test('TRUST', 'a source of the core by another interface gets nothing, {}', each=ADDRESSES)
def spoofed(fam):
    with case(fam) as c:
        for proto in (UDP, TCP, UDPLITE):
            for port in PORTS:
                for name, packets in forms(fam, c.core, c.p, proto, layer4(c.core, c.p, proto, CORE, port, bytes(40))):
                    c.put(f'protocol {proto} to port {port}, {name}', *packets, plaintext_in=1)
        quoted = ip(c.p, c.core, UDP, layer4(c.p, c.core, UDP, PORT_PS, CORE, bytes(40)))
        c.put('an ICMP error', icmp_error(c.core, c.p, 'port', quoted), plaintext_in=1)
        core_works(c)


@test('TRUST', 'a first fragment by another interface gets nothing, {}', each=ADDRESSES)
def mixed(fam):
    with case(fam) as c:
        raw = c.keep(Space.c.socket(family(c.p), socket.SOCK_RAW, socket.IPPROTO_RAW))
        raw.setblocking(False)
        data = layer4(c.core, c.p, UDP, CORE, PORT_PS, bytes(56))
        first, last = fragments(c.core, c.p, UDP, data, 32)
        with c.counted('the core', plaintext_in=1):
            World.wire.send(first)
            c.passed()
            raw.sendto(last, (c.p, 0))
        c.nothing_in('the core')
        first, last = fragments(c.core, c.p, UDP, data, 32)
        with c.counted('the core'):
            raw.sendto(first, (c.p, 0))
            raw.sendto(last, (c.p, 0))
            equal(receive(c.udp[0]), bytes(56), 'both by the right one')


@test('TRUST', 'nothing leaves for the core by another interface, {}', each=ADDRESSES)
def other_way(fam):
    with case(fam) as c:
        World.p.ip(f'route add {c.core} via {c.u}')
        try:
            for index, port in enumerate(PORTS):
                with c.counted(f'from port {port}', plaintext_out=1):
                    try:
                        to_core(c, index)
                    except PermissionError:
                        pass
                with c.counted(f'a SYN from port {port}', plaintext_out=1):
                    c.client(port).connect_ex((c.core, CORE))
            c.left()
            c.silent('to the core')
        finally:
            World.p.ip(f'route del {c.core} via {c.u}')
        core_works(c)


@test('TRUST', 'what is behind the interface and not in the prefix is nobody, {}', each=ADDRESSES)
def outside(fam):
    with case(fam) as c:
        c.server = c.keep(Space.c.udp(OUTSIDE[fam], CORE))
        c.core = OUTSIDE[fam]
        core_fails(c, 'outside', plaintext_in=3, no_live_set=3)


@test('TRUST', 'what is sent on does not speak for the endpoint, {}', each=ADDRESSES)
def sent_on(fam):
    with case(fam, BEFORE) as c, World.p.sysctl(**{
            'ipv4__ip_forward' if fam == 'IPv4' else 'ipv6__conf__all__forwarding': 1,
            **({'ipv4__conf__p0__accept_local': 1} if fam == 'IPv4' else {})}):
        with c.counted('with the endpoint as its source', plaintext_out=1):
            World.wire.send(ip(c.p, c.core, UDP, layer4(c.p, c.core, UDP, PORT_PS, CORE, b'forged')))
            c.passed()
        equal(pending(c.server), [], 'received by the core')


@test('TRUST', 'ICMP errors come from the core and go there, {}', each=ADDRESSES)
def errors(fam):
    with case(fam) as c:
        s = c.udp[0]
        s.connect((c.core, CORE + 1))
        with c.counted('port unreachable'):
            s.send(b'to nobody')
            wait(lambda: s.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == errno.ECONNREFUSED, 'the error')
        for x in c.udp:
            x.close()
        c.server.connect((c.p, PORT_PS))
        with c.counted('port unreachable'):
            c.server.send(b'to nobody')
            wait(lambda: c.server.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == errno.ECONNREFUSED, "the core's error")


@test('TRUST', 'an address is the core or a UE, {}', each=ADDRESSES)
def ues(fam):
    with case(fam, WITH) as c:
        expect_error('EADDRNOTAVAIL', bundle, c.ep, ue_address=c.core, text=f'a prefix that endpoint {c.ep["id"]} trusts')
        second = endpoint(GATE[fam])
        expect_error('EADDRNOTAVAIL', bundle, second, ue_address=c.core, text=f'endpoint {c.ep["id"]} trusts')
        wide = f'{c.u}/{32 if fam == "IPv4" else 128}%p0'
        for ep in (c.ep, second):
            expect_error('EBUSY', World.nl.do, 'endpoint-set', {'id': ep['id'], 'trusted': wide},
                         text=f'the UE of bundle {c.b["id"]}')
        expect_error('EBUSY', endpoint, c.p, port_ps=9000, port_pc=(9001,), trusted=wide)
        equal(trusted(World.nl.do('endpoint-get', id=c.ep['id'])), [at(fam)], 'trusted, as it was')
        core_works(c)
        c.work()
        # In a tunnel from elsewhere it is only said
        third = endpoint(c.p, port_ps=9000, port_pc=(9001,), nat_traversal=1)
        bundle(third, ue_address=c.core, ue_nat_address=c.u, mode='udp-enc-tun', owner=b'behind a NAT')
        expect_error('EADDRNOTAVAIL', bundle, third, ue_address=c.core, mode='udp-enc-tun', owner=b'not behind one')
        World.nl.do('bundle-del', id=c.b['id'])
        equal(trust(c, at(fam), wide), [at(fam), wide], 'once the UE is gone')
        core_works(c)


@test('TRUST', 'the interface comes, goes, and gets another name, {}', each=ADDRESSES)
def interface(fam):
    name = lambda: trusted(World.nl.do('endpoint-get', id=c.ep['id']))  # noqa: E731
    with case(fam) as c:
        try:
            World.p.ip('link set c0 down', 'link set c0 name core0', 'link set core0 up')
            equal(name(), [at(fam, 'core0')], 'it has another name')
            towards_core('core0')
            core_works(c)
            # Another one that is called as this was
            trust(c, at(fam, 'c0'))
            core_fails(c, 'it is not there', plaintext_in=3, plaintext_out=3)
        finally:
            World.p.ip('link set core0 down', 'link set core0 name c0', 'link set c0 up')
            towards_core('c0')
        core_works(c)
        trust(c, at(fam, 'p0'), at(fam, 'd0'))
        core_fails(c, 'by others', plaintext_in=3, plaintext_out=3)
        World.p.ip('link add d0 type dummy')
        try:
            core_fails(c, 'by others', plaintext_in=3, plaintext_out=3)
            trust(c, at(fam, 'd0'), at(fam, 'c0'))
            core_works(c)
        finally:
            World.p.ip('link del d0')
        equal(name(), [at(fam, 'd0'), at(fam, 'c0')], 'one has gone')
        core_works(c)


@test('TRUST', 'ports come and go, policies are taken away, and it holds, {}', each=ADDRESSES)
def policies(fam):
    with case(fam) as c:
        n, more = World.p.count('policy'), 9001
        sock = c.keep(World.p.udp(c.p, more))
        World.nl.do('endpoint-set', {'id': c.ep['id'], 'port-pc': [*PORT_PC, more]})
        equal(World.p.count('policy'), n + 2, 'policies')
        with c.counted('a new port'):
            c.server.sendto(b'hello', (c.p, more))
            equal(receive(sock), b'hello', 'from the core')
            sock.sendto(b'hello', (c.core, CORE))
            equal(receive(c.server), b'hello', 'to the core')
        World.nl.do('endpoint-set', {'id': c.ep['id'], 'port-pc': [*PORT_PC]})
        equal(World.p.count('policy'), n, 'policies')
        World.xfrm.flush_policies()
        wait(lambda: World.p.count('policy') == n, 'they come back')
        core_works(c)
        for prefixes, count in (((OTHER[fam] + '%c0', at(fam), at(fam, 'p0')), 3), ((OTHER[fam] + '%c0',), 2), ((), 1)):
            equal(trust(c, *prefixes), list(prefixes), 'trusted')
            equal(World.p.count('policy'), len(PORTS) * count, f'policies of {prefixes}')
        World.nl.do('bundle-del', id=c.b['id'])
        trust(c, at(fam))
        World.nl.do('endpoint-del', id=c.ep['id'])
        nothing_left()


@contextlib.contextmanager
def core_at(*commands, dev, undo):
    """P's addresses towards the core are on another device meanwhile, or are gone with what is done to c0."""
    World.p.batch(*commands)
    try:
        towards_core(dev)
        yield
    finally:
        World.p.batch(*undo)
        towards_core('c0')


@test('TRUST', 'the core is behind a bridge: trusted by the bridge, and not by what is below it, {}', each=ADDRESSES)
def bridge(fam):
    need('bridge')
    with case(fam) as c, core_at('link add br1 type bridge', 'addr flush dev c0', 'link set c0 master br1',
                                 'link set br1 up', dev='br1', undo=['link del br1', 'link set c0 down', 'link set c0 up']):
        core_fails(c, 'c0 is trusted', plaintext_in=3, plaintext_out=3)
        equal(trust(c, at(fam, 'br1')), [at(fam, 'br1')], 'trusted')
        with c.counted('br1 is trusted'):
            core_works(c)
        c.work()


@test('TRUST', 'the core and UEs are in a VRF: trusted by that, or by the core\'s interface in it, {}', each=ADDRESSES)
def vrf(fam):
    need('vrf')
    with case(fam) as c, core_at('link add vrf1 type vrf table 101', 'link set vrf1 up', 'link set p0 master vrf1',
                                 'link set c0 master vrf1', dev='c0', undo=['link del vrf1']):
        try:
            place('p0', routes=False)
            for s in (*c.udp, *c.tcp, c.free):
                s.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b'vrf1')
            for dev in ('c0', 'vrf1'):
                equal(trust(c, at(fam, dev)), [at(fam, dev)], 'trusted')
                with c.counted(f'{dev} is trusted'):
                    core_works(c, dev)
            c.work()
            trust(c, at(fam, 'p0'))
            core_fails(c, 'another interface in the VRF is trusted', plaintext_in=3, plaintext_out=3)
        finally:
            World.p.batch('link set p0 nomaster')
            place('p0')


@test('TRUST', 'a connection ends to go when its core is trusted no more, {}', each=ADDRESSES)
def connection(fam):
    with case(fam) as c:
        client = c.client(PORT_PS)
        client.connect_ex((c.core, CORE))
        d = wait(lambda: accepted(c.listener), 'a connection to the core')
        d.setblocking(False)
        trust(c)
        try:
            client.send(b'in clear')
        except OSError:
            pass
        wait(lambda: sum(drops(c.ep).values()), 'it is dropped')
        equal(pending(d), [], 'received by the core')
        d.close()


@test('TRUST', 'a redirect of the protected port, and source NAT, {}', each=ADDRESSES)
def translated(fam):
    need('nft_redir', 'nft_masq')
    with case(fam) as c:
        # The address of the interface that it comes by
        target = c.keep(World.p.udp(GATE[fam], 9990))
        with rules(*chain('prerouting', f'udp dport {PORT_PS} redirect to :9990')), c.counted('a redirect'):
            from_core(c, 0)
            equal(receive(target), b'from the core', 'redirected')
            target.sendto(b'to the core', (c.core, CORE))
            check(ready(c.server), 'no answer arrives')
            data, addr = c.server.recvfrom(100)
            equal((data, addr[:2]), (b'to the core', (c.p, PORT_PS)), 'the answer')
        with rules(*chain('postrouting', 'oifname "c0" masquerade')), c.counted('masquerade'):
            to_core(c, 0)
            check(ready(c.server), 'nothing arrives')
            data, addr = c.server.recvfrom(100)
            equal((data, addr[0]), (b'to the core', GATE[fam]), 'masqueraded')
            c.server.sendto(b'from the core', addr[:2])
            equal(receive(c.udp[0]), b'from the core', 'the answer')


@test('TRUST', 'what is wrong is refused, and nothing changes')
def wrong():
    ep = endpoint(trusted='172.17.0.0/24%c0,172.17.0.0/24%p0')
    n = World.p.count('policy')
    for text in ('172.17.0.0/24', '172.17.0.0%c0', '172.17.0/24%c0', '172.17.0.0/24%', '172.17.0.0/33%c0', '172.17.0.1/24%c0',
                 '0.0.0.0/0%c0', 'fd17::/112%c0', '172.17.0.0/24%a/b', '172.17.0.0/24%' + 16 * 'x', '/24%c0', '172.17.0.0/%c0',
                 '172.17.0.0/256%c0', '172.17.0.0/-1%c0'):
        expect_error('EINVAL', World.nl.do, 'endpoint-set', {'id': ep['id'], 'trusted': text}, text='trusted')
        expect_error('EINVAL', endpoint, '192.0.2.9', trusted=text, text='trusted')
    for texts in (['172.17.0.0/24%c0'] * 2, ['172.17.0.0/24%c0', ''], ['', ''], [f'172.17.{i}.0/24%c0' for i in range(17)]):
        expect_error('EINVAL', World.nl.do, 'endpoint-set', {'id': ep['id'], 'trusted': ','.join(texts)}, text='trusted')
    expect_error('EINVAL', World.nl.do, 'endpoint-set', {'id': ep['id'], 'trusted': '', 'port-pc': [9001]}, text='either')
    expect_error('EINVAL', World.nl.do, 'endpoint-set', {'id': ep['id']}, text='either')
    World.p.ip(f'xfrm policy add src {P4} dst 172.18.0.0/24 sport {PORT_PC[-1]} dir out action allow')
    expect_error('EEXIST', World.nl.do, 'endpoint-set',
                 {'id': ep['id'], 'trusted': '172.19.0.0/24%c0,172.18.0.0/24%c0,172.17.0.0/24%c0'})
    equal(World.p.count('policy'), n + 1, 'policies')
    equal(World.nl.dump('endpoint-get'), [World.nl.do('endpoint-get', id=ep['id'])], 'endpoints')
    equal(trusted(World.nl.do('endpoint-get', id=ep['id'])), ['172.17.0.0/24%c0', '172.17.0.0/24%p0'], 'trusted')
    many = [f'172.17.{i}.0/24%c0' for i in range(16)]
    equal(trusted(World.nl.do('endpoint-set', {'id': ep['id'], 'trusted': ','.join(many)})), many, 'sixteen')


if __name__ == '__main__':
    main(set_up, before, tear_down)
