#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only
"""rereg.py behind a NAT: a UE is re-registered again and again while it sends and receives,
and its NAT rebinds. ROUNDS in the environment says how often.
"""
import collections
import os
import socket
import struct
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '../lib'))
from ims import *  # noqa: E402,F403  pylint: disable=wildcard-import,unused-wildcard-import,wrong-import-position
from ktap import TESTS  # noqa: E402  pylint: disable=wrong-import-position
from natted import *  # noqa: E402,F403  pylint: disable=wildcard-import,unused-wildcard-import,wrong-import-position
from rereg import Server, Talk, new_set, one_round, whole  # noqa: E402  pylint: disable=wrong-import-position

TESTS.clear()  # those of rereg.py
# In each of four ways, and with a quarter of them the NAT rebinds
ROUNDS = int(os.environ.get('ROUNDS') or 60) // 4


class NatTalk(Talk):
    """Messages both ways, in tunnels: what is sent to the UE has its mark."""

    def send(self, sock, data, to, mark):
        sock.sendmsg([data], [(socket.SOL_SOCKET, SO_MARK, struct.pack('I', mark))], 0, to)

    def down(self, b, over, request=False):
        data = b'200 OK %d' % next(self.n)
        if request:
            self.send(self.server.pc[b['port-pc']], data, (self.ue.u, b['port-us']), b['mark'])
            self.coming.append((self.ue.socks[b['port-us']], data, None))
        else:
            self.send(self.server.ps, data, (self.ue.u, b['port-uc']), b['mark'])
            self.coming.append((self.ue.socks[b['port-uc']], data, None))
        self.expected.append(over['spi-us' if request else 'spi-uc'])

    def checked(self):
        self.arrived()
        seen = [s for s in World.wire.seen() if not quiet(s)]
        clear = [s for s in seen if s.proto != UDP or NAT_PORT not in (s.sport, s.dport) or s.data[8:12] == MARKER]
        check(not clear, f'not in ESP in UDP: {clear[:3]}')
        equal(collections.Counter(struct.unpack_from('>I', s.data, 8)[0] for s in seen), collections.Counter(self.expected),
              'how often each SPI')
        self.expected.clear()


@test('REREG G2 G9 F1', 're-registered without pause behind a NAT that rebinds: nothing lost, nothing in clear, {}',
      each=tuple((f, p) for f in ADDRESSES for p in ('new ports', 'the same ports')), limit=1200)
def again_and_again(case):
    fam, ports = case
    same, nat = ports == 'the same ports', Nats.all[0]
    ep = endpoint(ADDRESSES[fam][0], nat_traversal=1, port_pc=[7807] if same else [7807, 7808, 7809])
    more = {'mode': 'udp-enc-tun', 'ue_address': INNER[fam], 'ue_nat_address': nat.outside[fam]}
    server, ue = Server(ep), None
    try:
        cur = new_set(ep, 0, same, **more)
        ue = TunnelUe(nat.h, cur)
        talk = NatTalk(ue, server)
        ue.register(cur)
        World.nl.do('bundle-confirm', id=cur['id'], lifetime=LONG)
        talk.up(cur)
        talk.checked()
        before_it = None
        for n in range(1, ROUNDS + 1):
            if n % 4 == 0:
                # In the middle of it, too: the first to send is the UE
                nat.rebind(20000 + n)
                talk.up(cur, ('spi-ps', 'spi-pc')[n % 8 // 4])
                talk.checked()
                equal(get(cur)['ue-nat-port'], 20000 + n, 'ue-nat-port')
            new = whole(one_round(talk, ep, n, same, cur, **more))
            if before_it:
                check(gone(World.nl, before_it['id']), 'the set before the last is there')
                ue.forget(before_it)
            before_it, cur = cur, new
        equal(drops(ep), dict.fromkeys(COUNTS, 0), 'dropped')
        say(f'{ROUNDS} rounds, {next(talk.n)} messages')
    finally:
        if ue:
            ue.close()
        server.close()


def before_each():
    for nat in Nats.all:
        nat.as_new()
    before()


if __name__ == '__main__':
    main(setup_nats, before_each, teardown_nats)
