#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only
"""ESP in UDP that is taken by GRO, before it gets to the socket; and many NATs at once."""
import array
import collections
import fcntl
import os
import socket
import struct
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '../lib'))
from ims import *  # noqa: E402,F403  pylint: disable=wildcard-import,unused-wildcard-import,wrong-import-position
from natted import *  # noqa: E402,F403  pylint: disable=wildcard-import,unused-wildcard-import,wrong-import-position

SIOCETHTOOL, ETHTOOL_STSO, ETHTOOL_SGRO = 0x8946, 0x1f, 0x2c


def ethtool(ns, dev, command, value):
    data = array.array('B', struct.pack('II', command, value))
    with ns, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        fcntl.ioctl(s, SIOCETHTOOL, struct.pack('16sP', dev.encode(), data.buffer_info()[0]))


def gro(on):
    """P has it.  A veth gives it nothing whose sender could have left it to segment."""
    ethtool(World.p, 'p0', ETHTOOL_SGRO, on)
    ethtool(World.u, 'u0', ETHTOOL_STSO, not on)


def received(fam):
    """How many packets IP has had a look at."""
    with World.p:
        if fam == 'IPv6':
            with open('/proc/thread-self/net/snmp6', encoding='ascii') as f:
                return next(int(x.split()[1]) for x in f if x.startswith('Ip6InReceives'))
        with open('/proc/thread-self/net/snmp', encoding='ascii') as f:
            names, values = [x.split() for x in f if x.startswith('Ip:')]
            return int(values[names.index('InReceives')])


@test('G4 G8', 'by way of GRO, which goes past the socket: messages, keep-alives, the mapping is learnt, {}', each=ADDRESSES)
def by_gro(fam):
    name = 'esp4_offload' if fam == 'IPv4' else 'esp6_offload'
    if subprocess.run(['modprobe', name], stderr=subprocess.DEVNULL, check=False).returncode:
        raise Skip(f'this kernel has no {name}')
    ep = nat_endpoint(fam)
    gro(1)
    try:
        with Sip(ep) as sip:
            b = confirm(nat_bundle(ep))
            ue = Handset(b)
            ue.deliver(sip)
            was = received(fam)
            for n in range(20):
                ue.deliver(sip, 'spi-ps' if n % 2 else 'spi-pc')
            # Twice each where it goes by way of the socket: with the tunnel, and without
            looks = received(fam) - was
            if looks >= 40:
                raise Skip('this kernel has no GRO for ESP in UDP')
            check(20 <= looks < 30, f'{looks} packets received')
            World.wire.send(ue.outer(KEEP_ALIVE), ue.outer(MARKER + b'IKE'))
            ue.port = 31007
            ue.deliver(sip)
            nat_event(b, 31007)
            ue.works(sip)
            World.wire.send(ue.forged(port=31008))
            ue.works(sip)
            equal(get(b)['ue-nat-port'], 31007, 'port')
            equal([x[1] for x in udp_sockets(NAT_PORT)], [0], 'bytes that wait at the socket')
    finally:
        gro(0)
        World.nl.do('endpoint-del', id=ep['id'], force=True)
        # SAs use it until the kernel has done away with them
        if os.path.exists(f'/sys/module/{name}/initstate'):
            wait(lambda: not subprocess.run(['rmmod', name], stderr=subprocess.DEVNULL, check=False).returncode, f'{name} is unloaded')


def come_and_go(ep, i):
    """Sets of a registration with the same ports, whose NAT has another port with each message."""
    with World.p:
        nl = Family()
    name = {'owner': b'%d@race.example' % i, 'contact': b'sip:%d@race.example' % i}
    for n in range(60):
        spi = 0x50000000 + (i << 16) + 2 * n
        b = nat_bundle(ep, nl=nl, spi_uc=spi, spi_us=spi + 1, ue_address=f'10.7.0.{i}', **name)
        ue = Handset(b)
        nl.do('bundle-confirm', id=b['id'], lifetime=LONG, older='keep')
        for k in range(4):
            port = 10000 + (n * 4 + k) * 97 % 50000
            World.wire.send(ue.message('spi-ps', port=port), ue.message('spi-pc', port=port, at=OTHER['IPv4'] if k == 2 else None))
        if n % 8 == 7:
            nl.do('bundle-del', id=b['id'])
        if n % 16 == 0:
            nl.dump('bundle-get')


def flush(_, i):
    with World.p:
        xfrm = Xfrm()
    for _ in range(150):
        xfrm.flush_policies()


@test('RACE G9', 'mappings that move, sets of the same ports, policies that are flushed, all at once', limit=600)
def at_once():
    os.sched_setaffinity(0, range(os.cpu_count()))
    World.nl.do('config-set', nat_follow_address=1)
    ep, pids = nat_endpoint(port_pc=[PORT_PC[0]]), []
    was = len(World.xfrm.policies())
    for i in range(7):
        pid = os.fork()
        if not pid:
            status = 1
            try:
                os.sched_setaffinity(0, {i % os.cpu_count()})
                (come_and_go if i else flush)(ep, i)
                status = 0
            finally:
                os._exit(status)
        pids.append(pid)
    status = [os.waitpid(pid, 0)[1] for pid in pids]
    os.sched_setaffinity(0, {0})
    equal(status, [0] * 7, 'how the processes ended')
    # What was flushed last is back: it is sent over
    with Sip(ep) as sip:
        for b in World.nl.dump('bundle-get', state='active'):
            wait(lambda: not sip.down(b, 'spi-uc', b'x') and any(d.spi == b['spi-uc'] for d in sent_in_udp()),  # pylint: disable=cell-var-from-loop
                 'it is sent over')
    for b in World.nl.dump('bundle-get'):
        World.nl.do('bundle-del', id=b['id'])
    wait(lambda: len(World.xfrm.policies()) == was, "the endpoint's policies alone are there")
    World.nl.do('endpoint-del', id=ep['id'])
    nothing_left()


def sent_in_udp():
    """SPIs of what P has sent in UDP since last asked."""
    Spi = collections.namedtuple('Spi', 'spi')
    return [Spi(struct.unpack_from('>I', s.data, 8)[0]) for s in World.wire.seen()
            if not s.sent and (s.proto, s.sport) == (UDP, NAT_PORT)]


if __name__ == '__main__':
    main(setup_nat, before, teardown)
