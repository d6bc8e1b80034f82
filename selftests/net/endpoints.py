#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only
"""Endpoints that come and go: the ports of those that stay are shut all the time."""
import errno
import os
import socket
import struct
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '../lib'))
from ims import *  # noqa: E402,F403  pylint: disable=wildcard-import,unused-wildcard-import,wrong-import-position
from protected import drops  # noqa: E402  pylint: disable=wrong-import-position
from rounds import Rounds  # noqa: E402  pylint: disable=wrong-import-position

ROUNDS = int(os.environ.get('ROUNDS', 300))
# So many others, with as many ports as there can be: what walks over all of them takes its time
MANY = 32
OTHERS = {'IPv4': '198.51.100.{}', 'IPv6': '2001:db8:51::{}'}


def plaintext(fam):
    """A frame to port_ps, not protected."""
    p, u = ADDRESSES[fam]
    kind = 0x86dd if fam == 'IPv6' else 0x0800
    return (bytes.fromhex('020000000001020000000002') + struct.pack('>H', kind) +
            ip(u, p, UDP, layer4(u, p, UDP, PORT_UC, PORT_PS, b'plaintext')))


class Flood(Rounds):
    """Plaintext from U without pause. A timer has each frame sent, so that it comes in the midst of whatever is done."""

    def __init__(self, fam):
        World.u.run('tc qdisc replace dev u0 root netem rate 2mbit limit 500')
        self.sock = World.u.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
        with World.u:
            self.sock.bind(('u0', 0))
        self.frame = plaintext(fam)
        super().__init__(self.send)

    def send(self):
        try:
            self.sock.send(self.frame)
        except OSError as e:
            if e.errno != errno.ENOBUFS:
                raise
            # The queue is full: enough for a while
            time.sleep(0.01)

    def __exit__(self, *how):
        super().__exit__(*how)
        self.sock.close()
        World.u.run('tc qdisc del dev u0 root')


@test('A10', 'a port stays shut while another endpoint that has the same port is {}',
      each=tuple((h, f) for h in ('made and deleted', 'refused for its last port') for f in ADDRESSES))
def comes_and_goes(case):
    how, fam = case
    p, _ = ADDRESSES[fam]
    World.nl.do('config-set', max_endpoints=MANY + 2)
    for n in range(MANY):
        endpoint(OTHERS[fam].format(n + 1), port_ps=10000, port_pc=tuple(range(10001, 10065)))
    ep, s = endpoint(p), World.p.udp(p, PORT_PS)
    other = OTHERS[fam].format(99)
    if how != 'made and deleted':
        World.p.ip(f'xfrm policy add src {other} dst {"::/0" if fam == "IPv6" else "0.0.0.0/0"} sport {PORT_PC[-1]} '
                   'dir out action allow')
    with Flood(fam):
        was, rounds = drops(ep)['plaintext-in'], 0
        while rounds < ROUNDS or drops(ep)['plaintext-in'] < was + ROUNDS:
            if how == 'made and deleted':
                World.nl.do('endpoint-del', id=endpoint(other)['id'])
            else:
                expect_error('EEXIST', endpoint, other)
            rounds += 1
            got = pending(s)
            check(not got, f'after {rounds} rounds: {len(got)} datagrams delivered')
        say(f"{drops(ep)['plaintext-in'] - was} datagrams in {rounds} rounds")
    equal(pending(s), [], 'delivered')
    s.close()


@test('RACE', 'an endpoint that goes with many bundles gets no new one meanwhile, nor does anybody else delete it')
def goes():
    ep, n = endpoint(), 400
    for i in range(n):
        bundle(ep, ue_address=f'198.18.{i >> 8}.{i & 255}', auth_alg='hmac-md5-96', enc_alg='null')
    begin, began = os.pipe()
    pid = os.fork()
    if not pid:
        status = 1
        try:
            with World.p:
                nl = Family()
            os.write(began, b'.')
            nl.do('endpoint-del', id=ep['id'], force=True)
            status = 0
        finally:
            os._exit(status)
    os.read(begin, 1)
    refused = deleted = 0
    while True:
        try:
            bundle(ep, owner=b'late', contact=b'late')
        except NlError as e:
            equal(e.name, 'ENOENT', 'bundle-new')
            if 'being deleted' not in e.text:
                break
            refused += 1
            e = expect_error('EBUSY ENOENT', World.nl.do, 'endpoint-del', id=ep['id'], force=True)
            deleted += 'being deleted' in e.text
    equal(os.waitpid(pid, 0)[1], 0, 'endpoint-del with force')
    os.close(begin)
    os.close(began)
    check(refused and deleted, 'nobody had a turn while the bundles ended')
    say(f'{refused} bundles and {deleted} deletions were refused meanwhile')
    equal((World.nl.dump('bundle-get'), World.nl.dump('endpoint-get')), ([], []), 'left')
    equal(World.nl.do('stats-get')['bundles'], 0, 'bundles left')
    nothing_left()


@test('PORTS', 'a client port is added to a live endpoint and taken away again: it is shut in between, and the set stays, {}', each=ADDRESSES)
def pool_changes(fam):
    p, u = ADDRESSES[fam]
    ep, more = endpoint(p), (9001, 9002)
    b = bundle(ep, ue_address=u, port_pc=PORT_PC[1])
    sock, policies = World.p.udp(p, more[0]), World.p.count('policy')

    def come():
        World.wire.send(ip(u, p, UDP, layer4(u, p, UDP, PORT_UC, more[0], b'plaintext')))

    def pool(*ports):
        return World.nl.do('endpoint-set', {'id': ep['id'], 'port-pc': list(ports)})['port-pc']
    come()
    equal(receive(sock), b'plaintext', 'received before')
    equal(sorted(pool(*PORT_PC, *more)), sorted((*PORT_PC, *more)), 'the pool')
    equal(World.p.count('policy'), policies + 2, 'policies')
    come()
    wait(lambda: World.nl.do('endpoint-get', id=ep['id'])['drop-plaintext-in'] == 1, 'it is dropped')
    check(not pending(sock), 'it is received')
    for ports in ((PORT_PC[0], *more), more):
        expect_error('EBUSY', pool, *ports, text=f'port {PORT_PC[1]} of endpoint {ep["id"]} still has bundles: 1')
    for ports, error in (((PORT_PS,), 'EBUSY EINVAL'), ((*PORT_PC, 9001, 9001), 'EINVAL'), ((*PORT_PC, 5060), 'EINVAL')):
        expect_error(error, pool, *ports)
    other = endpoint(p, port_ps=9100, port_pc=9101)
    expect_error('EADDRINUSE', pool, *PORT_PC, 9101, text=f'port 9101 belongs to endpoint {other["id"]}')
    equal(sorted(World.nl.do('endpoint-get', id=ep['id'])['port-pc']), sorted((*PORT_PC, *more)), 'the pool, as it was')
    World.nl.do('endpoint-del', id=other['id'])
    # The first one goes, the set's has its place
    equal(pool(PORT_PC[1]), [PORT_PC[1]], 'the pool')
    equal(World.p.count('policy'), policies - 1, 'policies')
    come()
    equal(receive(sock), b'plaintext', 'received afterwards')
    equal(World.nl.do('bundle-get', id=b['id'])['port-pc'], PORT_PC[1], "the set's port")
    World.nl.do('bundle-del', id=b['id'])
    equal(pool(9002), [9002], 'the pool, no set being there')
    sock.close()


if __name__ == '__main__':
    main(setup, before, teardown)
