#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only
"""NATs that change while sets come and go."""
import os
import struct
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '../lib'))
from ims import *  # noqa: E402,F403  pylint: disable=wildcard-import,unused-wildcard-import,wrong-import-position
from natted import *  # noqa: E402,F403  pylint: disable=wildcard-import,unused-wildcard-import,wrong-import-position


def sent_over():
    """SPIs of what P has sent in UDP since last asked."""
    return {struct.unpack_from('>I', s.data, 8)[0] for s in World.wire.seen() if not s.sent and s.sport == NAT_PORT}


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


def flush():
    with World.p:
        xfrm = Xfrm()
    for _ in range(150):
        xfrm.flush_policies()


@test('RACE G9', 'mappings that move, sets of the same ports, policies that are flushed, all at once', limit=600)
def at_once():
    World.nl.do('config-set', nat_follow_address=1)
    ep = nat_endpoint(port_pc=[PORT_PC[0]])
    was = len(World.xfrm.policies())
    side_by_side(7, lambda i: come_and_go(ep, i) if i else flush())
    # What was flushed last is back: it is sent over
    with Sip(ep) as sip:
        for b in World.nl.dump('bundle-get', state='active'):
            wait(lambda: not sip.down(b, 'spi-uc', b'x') and b['spi-uc'] in sent_over(),  # pylint: disable=cell-var-from-loop
                 'it is sent over')
    for b in World.nl.dump('bundle-get'):
        World.nl.do('bundle-del', id=b['id'])
    wait(lambda: len(World.xfrm.policies()) == was, "the endpoint's policies alone are there")
    World.nl.do('endpoint-del', id=ep['id'])
    nothing_left()


if __name__ == '__main__':
    main(setup_nat, before, teardown)
