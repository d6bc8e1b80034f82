#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only
"""Messages of bundles that are on a network interface, or were: lib/nic.py."""
import contextlib
import errno
import itertools
import os
import re
import select
import socket
import struct
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '../lib'))
from ims import *  # noqa: E402,F403  pylint: disable=wildcard-import,unused-wildcard-import,wrong-import-position
from nic import *  # noqa: E402,F403  pylint: disable=wildcard-import,unused-wildcard-import,wrong-import-position
from natted import Nft  # noqa: E402  pylint: disable=wrong-import-position
from net import MAC, pack  # noqa: E402  pylint: disable=wrong-import-position
from nl import NLM_F_ACK, nla  # noqa: E402  pylint: disable=wrong-import-position
from peer import Peer  # noqa: E402  pylint: disable=wrong-import-position
from peers import (FOREVER, NLM_F_CREATE, NLM_F_EXCL, XFRM_MODE_TRANSPORT, XFRM_MSG_NEWPOLICY, XFRM_MSG_NEWSA,  # noqa: E402
                   XFRM_POLICY_OUT, XFRMA_TMPL)  # pylint: disable=wrong-import-position

SO_MARK, SO_RCVMARK = 36, 75
XFRMA_ALG_AEAD, XFRMA_OFFLOAD_DEV, XFRM_OFFLOAD_PACKET = 18, 28, 4
# Behind nic0
FAR = {'IPv4': ('198.51.100.1', '198.51.100.2'), 'IPv6': ('2001:db8:51::1', '2001:db8:51::2')}


# --- Messages meanwhile

def sequence(packets, spi):
    """ESP sequence numbers of what was on the wire."""
    seen = [dissect_esp(data) for _, data in packets]
    return [seq for s, seq in filter(None, seen) if s == spi]


def dissect_esp(packet):
    """(SPI, sequence number), None for anything else; neither options nor fragments are there."""
    at = 40 if packet[0] >> 4 == 6 else 20
    proto = packet[6] if at == 40 else packet[9]
    return struct.unpack_from('>II', packet, at) if proto == ESP else None


@test('OFFLOAD', 'messages on all four ways while the device {}: none is lost, numbers go on, what was received is known',
      each=tuple((how, fam) for how in EVENTS for fam in ADDRESSES))
def messages(case):
    how, fam = case
    p, u = ADDRESSES[fam]
    with Sim() as dev:
        ep = offloading(dev, p)
        b = confirmed(made(ep, ue_address=u))
        World.wire.packets()
        with Phone(b) as phone:
            ends_of = [phone.connect('spi-ps'), phone.connect('spi-us')]

            def talk(n):
                for _ in range(n):
                    for name in WAYS:
                        phone.deliver(name)
                    for e in ends_of:
                        phone.talk(e)
            # More than a replay window
            talk(40)
            on_device(dev, b)
            packets = World.wire.packets()
            EVENTS[how](dev)
            in_software('lost', b)
            # What the UE has sent, again: the first, some that the window still has, the last
            again = [[data for sent, data in packets if sent and (dissect_esp(data) or (0,))[0] == b[name]]
                     for name in ('spi-ps', 'spi-pc')]
            again = [x for old in again for x in (old[0], old[-60], old[-33], old[-1])]
            was = World.p.xfrm_stat()
            World.wire.send(*again)

            def refused():
                return sum(v - was[k] for k, v in World.p.xfrm_stat().items())
            wait(lambda: refused() >= len(again), 'what was received already is dropped')
            equal(pending(phone.ps, phone.pc, *(e for x in ends_of for e in x)), [], 'received twice')
            equal({k for k, v in World.p.xfrm_stat().items() if v > was[k]}, {'XfrmInStateSeqError'}, 'why they were dropped')
            talk(10)
            packets += World.wire.packets()
            for name in WAYS:
                seqs = sequence(packets, b[name])
                check(len(seqs) > 60, f'{len(seqs)} packets over {name}')
                equal(seqs, list(range(1, len(seqs) + 1)), f'sequence numbers over {name}')
            if how == 'goes down':
                dev.link('up')
                talk(3)
                in_software('lost', b)


def ue(n, i, six):
    return f'2001:db8:5:{n}::{i + 1:x}' if six else f'198.{18 + n}.0.{i + 1}'


@test('OFFLOAD', 'devices go and come, bundles too, in several processes at once, and messages go on', limit=600)
def at_once():
    with Sim() as dev:
        eps = {fam: offloading(name, ADDRESSES[fam][0]) for fam, name in (('IPv4', dev.name), ('IPv6', 'sim1'))}
        mine = {fam: confirmed(made(eps[fam], ue_address=ADDRESSES[fam][1])) for fam in ADDRESSES}
        World.events.close()

        def bundle_there(nl, n, i, fam, present):
            b = made(eps[fam], nl=nl, ue_address=ue(n, i, fam == 'IPv6'))
            check(b.get('offload-reason') in (None, 'table-full'), f"{b.get('offload-reason')} on a device that is there")
            check(b['offload'] != 'crypto' or b['spi-ps'] in present.sas(), 'its SAs are not on the device')
            return b

        def work(n):
            with World.p:
                nl = Family()
            for i in range((15, 5, 40, 40, 40, 40)[n]):
                fam = ('IPv4', 'IPv6')[n % 2]
                if n == 0:
                    dev.link('down')
                    dev.link('up')
                    bundle_there(nl, n, i, fam, dev)
                elif n == 1:
                    with Sim('sim1') as other:
                        bundle_there(nl, n, i, fam, other)
                elif n in (2, 3):
                    for name in WAYS:
                        phones[fam].deliver(name, f'{i} over {name}'.encode())
                else:
                    b = made(eps[fam], nl=nl, ue_address=ue(n, i, fam == 'IPv6'))
                    if i % 3:
                        nl.do('bundle-del', id=b['id'])
                    else:
                        nl.do('bundle-confirm', id=b['id'], lifetime=1)

        def told_work(n):
            try:
                work(n)
            except Exception as e:  # pylint: disable=broad-except
                say(f'process {n}: {type(e).__name__}: {e}')
                raise
        phones = {}
        with Phone(mine['IPv4']) as phones['IPv4'], Phone(mine['IPv6']) as phones['IPv6']:
            side_by_side(6, told_work)
        with World.p:
            World.events = Events()
        in_software('no-interface', mine['IPv6'])
        in_software('lost', mine['IPv4'])
        wait(lambda: len(World.nl.dump('bundle-get')) == 2 + 15 + 5, 'all others go')
        equal(dev.table()[0] % 4, 0, 'SAs of half a bundle')
        for ep in eps.values():
            World.nl.do('endpoint-del', id=ep['id'], force=True)
        equal(dev.table(), (0, {}), 'what netdevsim has')
        nothing_left()


# --- Re-registration

def uses(b, sock):
    """A message of the UE's over spi_ps, and the SPI that P answers over."""
    peer = Peer(b, 1500)
    peer.put(peer.udp('spi-ps', b'from the UE'))
    equal(receive(sock), b'from the UE', 'received')
    return sent_to(b, sock)


@test('OFFLOAD', 're-registration on the same ports: both sets are on the device, {}', each=('', 'and it goes down meanwhile'))
def reregistration(meanwhile):
    with Sim() as dev:
        ep = offloading(dev)
        sock = World.p.udp(P4, PORT_PS)
        first = confirmed(made(ep, ue_address=U4))
        equal(uses(first, sock), first['spi-uc'], 'SPI of the answer')
        second = made(ep, ue_address=U4)
        dev.has(first, second)
        on_device(dev, first, second)
        equal(sent_to(first, sock), first['spi-uc'], 'SPI before the second is used')
        if meanwhile:
            World.events.drain()
            dev.link('down')
            lost(ep, dev, first, second)
        confirmed(second)
        equal(uses(second, sock), second['spi-uc'], 'SPI of the answer')
        if not meanwhile:
            on_device(dev, first, second)
        delete(first)
        if not meanwhile:
            dev.has(second)
        equal(sent_to(second, sock), second['spi-uc'], 'SPI when the first has gone')
        dev.link('up')
        third = made(ep, ue_address=U4)
        dev.has(third, *([] if meanwhile else [second]))
        confirmed(third)
        equal(uses(third, sock), third['spi-uc'], 'SPI of the answer')
        sock.close()


def sent_to(b, sock):
    """SPI of what P sends to the UE's client port."""
    World.wire.packets()
    sock.sendto(b'to the UE', (b['ue-address'], b['port-uc']))
    return dissect_esp(wait(World.wire.packets, 'something on the wire')[0][1])[0]


# --- A device on the way to the UE

class Path:
    """The UEs are behind nic0, and what P sends to them leaves there."""

    def __init__(self, fam='IPv4', **more):
        self.p, self.u = FAR[fam]
        self.nic, self.more = Nic(), more
        # As it will be when it has been down
        World.p.ip('route add 2001:db8:51::/64 dev nic0' if fam == 'IPv6' else 'route add 198.51.100.0/24 dev nic0',
                   f"addr add {self.p}/{'128 nodad' if fam == 'IPv6' else '32'} dev lo")
        self.seqs, self.seen = itertools.count(1), None
        self.listen()

    def __enter__(self):
        return self

    def __exit__(self, *args):
        self.seen.close()
        World.p.ip(f"addr del {self.p}/{'128' if ':' in self.p else '32'} dev lo")
        self.nic.__exit__(*args)

    def listen(self):
        """What it is given, and gives."""
        if self.seen:
            self.seen.close()
        self.seen = World.p.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(3))
        self.seen.bind(('nic0', 3))
        self.seen.setblocking(False)

    def restart(self):
        """It goes down, and comes up."""
        self.nic.link('down')
        self.nic.link('up')
        self.listen()
        World.p.ip('route replace 2001:db8:51::/64 dev nic0' if ':' in self.p else 'route replace 198.51.100.0/24 dev nic0')

    def endpoint(self, **more):
        return offloading(self.nic, self.p, **{**self.more, **more})

    def bundle(self, ep, **more):
        return made(ep, **{'ue_address': self.u, **more})

    def send(self, b, name):
        """P sends over spi-uc or spi-us; the ESP packet that nic0 was given."""
        sport, dport = table(b)[b[name]][2:4]
        pending(self.seen)
        with World.p.udp(self.p, sport) as s:
            s.sendto(b'to be read by nobody', (self.u, dport))
        return wait(lambda: [x for x in pending(self.seen) if (dissect_esp(x) or (0,))[0] == b[name]], f'ESP over {name}')[0]

    def received(self, b, name, seq=None, sport=None, dport=None):
        """ESP over spi-ps or spi-pc, which nic0 has decrypted: AES-GCM, what was encrypted is as it was."""
        src, dst, s, d, _ = table(b)[b[name]]
        seq = seq or next(self.seqs)
        inner = layer4(src, dst, UDP, sport or s, dport or d, b'number %d' % seq)
        pad = bytes(range(1, 1 + -(len(inner) + 2) % 4))
        data = struct.pack('>IIQ', b[name], seq, seq) + inner + pad + bytes([len(pad), UDP]) + bytes(16)
        self.nic.receive(ip(src, dst, ESP, data))
        return b'number %d' % seq


@test('OFFLOAD', 'a device on the way encrypts what is sent; when it has been down, and is up, software does, {}', each=ADDRESSES)
def sends(fam):
    with Path(fam) as path:
        ep, nic = path.endpoint(), path.nic
        b = confirmed(path.bundle(ep))
        nic.has(b)
        on_device(nic, b)
        was = nic.count('esp'), nic.count('others')
        for n in range(1, 6):
            for name in ('spi-uc', 'spi-us'):
                check(b'to be read by nobody' in path.send(b, name), 'it is encrypted before it is with the device')
                equal(nic.packets(b[name]), n, f'packets over {name}')
        equal((nic.count('esp'), nic.count('others')), was, 'sent over none of its SAs')
        equal(World.nl.do('bundle-get', id=b['id'])['tx-packets'], 10, 'tx-packets')
        check('crypto offload parameters: dev nic0' in World.p.ip('xfrm state'), '`ip xfrm state` does not say so')
        World.events.drain()
        path.restart()
        lost(ep, nic, b)
        check('offload' not in World.p.ip('xfrm state'), '`ip xfrm state` says that it is offloaded')
        was = nic.count('others')
        for n in range(1, 6):
            for name in ('spi-uc', 'spi-us'):
                packet = path.send(b, name)
                check(b'to be read by nobody' not in packet, 'it is not encrypted')
                equal(dissect_esp(packet), (b[name], 5 + n), 'SPI and number')
        equal(nic.count('others'), was, 'sent in clear')
        # Beside one that is on it again
        new = confirmed(path.bundle(ep, contact=b'2', port_uc=9000, port_us=9001))
        nic.has(new)
        check(b'to be read by nobody' in path.send(new, 'spi-uc'), 'it is encrypted before it is with the device')
        check(b'to be read by nobody' not in path.send(b, 'spi-uc'), 'it is not encrypted')
        equal(nic.packets(new['spi-uc']), 1, 'packets of the new one')
        delete(b, new)
        nic.empty()


def with_mark(sock, data):
    """This is received; its mark."""
    equal(select.select([sock], [], [], 20)[0], [sock], 'something is received')
    got, controls, *_ = sock.recvmsg(1 << 16, 64)
    equal(got, data, 'received')
    return next(struct.unpack('I', x)[0] for level, kind, x in controls if (level, kind) == (socket.SOL_SOCKET, SO_MARK))


@test('OFFLOAD', 'what a device has decrypted is judged as any other, by its number and ports, and marked, {}', each=ADDRESSES)
def receives(fam):
    with Path(fam) as path:
        ep, nic = path.endpoint(), path.nic
        b = confirmed(path.bundle(ep))
        socks = {'spi-ps': World.p.udp(path.p, b['port-ps']), 'spi-pc': World.p.udp(path.p, b['port-pc'])}
        free = World.p.udp(path.p, 9999)
        for name, s in socks.items():
            s.setsockopt(socket.SOL_SOCKET, SO_RCVMARK, 1)
            for n in range(3):
                equal(with_mark(s, path.received(b, name)), b['mark'], 'mark')
                equal(nic.packets(b[name]), n + 1, f'packets over {name}')

        def dropped(name, text, **more):
            def drops():
                return (sum(v for k, v in World.nl.do('endpoint-get', id=ep['id']).items() if k.startswith('drop-')) +
                        sum(World.p.xfrm_stat().values()))
            was = drops()
            path.received(b, name, **more)
            wait(lambda: drops() > was, f'{text} is counted')
        dropped('spi-ps', 'a number that was there', seq=1)
        dropped('spi-pc', 'a number that was there', seq=4)
        for name, s in socks.items():
            equal(with_mark(s, path.received(b, name, seq=200)), b['mark'], 'mark')
        dropped('spi-ps', 'one behind the window', seq=100)
        dropped('spi-ps', 'another port', seq=201, dport=9999)
        dropped('spi-ps', 'another port', seq=202, sport=9999)
        dropped('spi-pc', "the other SA's ports", seq=203, dport=b['port-ps'], sport=b['port-uc'])
        equal(pending(*socks.values(), free), [], 'received')
        got = World.nl.do('bundle-get', id=b['id'])
        check(got['rx-packets'] >= 8, f"rx-packets is {got['rx-packets']}")
        # It is the same in software afterwards: what was received is known
        path.restart()
        in_software('lost', b)
        nic.empty()
        # Encrypted, and by the other interface: what was received is known, what was not is not
        peer = Peer(b, 1500)
        for name, s in socks.items():
            was = World.p.xfrm_stat()['XfrmInStateSeqError']
            World.wire.send(*(ip(path.u, path.p, ESP, peer.udp(name, b'again', seq=seq)) for seq in (200, 2)))
            wait(lambda n=was + 2: World.p.xfrm_stat()['XfrmInStateSeqError'] == n, 'what was received already is dropped')
            for seq in (150, 300):
                World.wire.send(ip(path.u, path.p, ESP, peer.udp(name, b'new %d' % seq, seq=seq)))
                equal(with_mark(s, b'new %d' % seq), b['mark'], 'mark')
        equal(pending(*socks.values(), free), [], 'received')
        for s in (*socks.values(), free):
            s.close()


# --- What a device refuses

@contextlib.contextmanager
def counting():
    """nft, in which ESP passes as what it is, or as what is yet to become many packets."""
    nft = Nft(World.p)
    nft.run('table inet big {', 'counter seen {', '}', 'chain out {', 'type filter hook output priority 0;',
            'meta l4proto 50 counter name seen', '}', '}')
    try:
        yield nft
    finally:
        nft.run('delete table inet big')
        nft.close()


def esp_of_stream(nft, phone, way):
    """How many packets of ESP 256 segments of TCP are; where it is cut up first, there are as many at least."""
    ends = phone.connect(way)
    mine, its = ends if way == 'spi-us' else ends[::-1]
    phone.talk(ends)
    nft.run('reset counters')
    mine.setblocking(True)
    for _ in range(8):
        mine.sendall(bytes(32 * 1400))
        got = 0
        while got < 32 * 1400:
            got += len(receive(its))
    packets = int(re.search(r'packets (\d+)', nft.run('list counters')).group(1))
    phone.hang_up(ends)
    return packets


@test('OFFLOAD', 'what a driver refuses keeps GSO: a TCP stream is encrypted before it is cut up, whichever SA it refuses, {}',
      each=ADDRESSES)
def refused(fam):
    p, u = ADDRESSES[fam]
    with Nic() as nic, counting() as nft:
        ep = offloading(nic, p)
        for n, way in enumerate(('spi-ps', 'spi-us', 'spi-us', 'spi-us')):
            for error in (95, 28):
                # The first two are the outbound ones: an answer goes over spi-uc, what P begins over spi-us
                nic.set(sas=n, error=error)
                b = made(ep, ue_address=u)
                in_software('refused' if error == 95 else 'table-full', b)
                with Phone(b) as phone:
                    packets = esp_of_stream(nft, phone, way)
                    check(packets < 192, f'SA {n} refused by {error}: {packets} packets of ESP')
                delete(b)


@test('OFFLOAD', 'a TCP stream is encrypted before it is cut up where software is wished for, and else after, whoever has loaded it, {}',
      each=ADDRESSES)
def wished(fam):
    p, u = ADDRESSES[fam]
    with counting() as nft:
        for wish in ('software', 'off', None):
            ep = endpoint(p, **({'hw_offload': wish} if wish else {}))
            b = made(ep, ue_address=u)
            in_software(None, b)
            with Phone(b) as phone:
                for way in ('spi-ps', 'spi-us'):
                    packets = esp_of_stream(nft, phone, way)
                    check((packets < 192) == (wish == 'software'), f'{wish}, {way}: {packets} packets of ESP')
            World.nl.do('endpoint-del', id=ep['id'], force=True)


# --- What no bundle has

def by_packet_offload(path, sport, dport):
    """An outbound SA and its policy, by hand: nic0 is to do all of ESP."""
    src, dst, fam, reqid = pack(path.p), pack(path.u), family(path.p), 1
    bits = 128 if ':' in path.p else 32
    with World.p:
        device = nla(XFRMA_OFFLOAD_DEV, struct.pack('=iB3x', socket.if_nametoindex('nic0'), XFRM_OFFLOAD_PACKET))
    selector = struct.pack('=16s16s2s2s2s2sHBBB3xiI', dst, src, dport.to_bytes(2, 'big'), b'\xff\xff',
                           sport.to_bytes(2, 'big'), b'\xff\xff', fam, bits, bits, 0, 0, 0)
    World.xfrm.request(XFRM_MSG_NEWSA, selector + struct.pack('=16s4sB3x16s', dst, b'\0\1\0\0', ESP, src) + FOREVER +
                       bytes(32 + 12) + struct.pack('=IIHBBB7x', 0, reqid, fam, XFRM_MODE_TRANSPORT, 0, 0) +
                       nla(XFRMA_ALG_AEAD, struct.pack('=64sII20x', b'rfc4106(gcm(aes))', 160, 128)) + device,
                       NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL)
    World.xfrm.request(XFRM_MSG_NEWPOLICY, selector + FOREVER + bytes(32) +
                       struct.pack('=IIBBBB4x', 1, 0, XFRM_POLICY_OUT, 0, 0, 0) +
                       nla(XFRMA_TMPL, struct.pack('=16s4sB3xH2x16sIBBBxIII', dst, bytes(4), ESP, fam, src, reqid,
                                                   XFRM_MODE_TRANSPORT, 0, 0, *[0xffffffff] * 3)) + device,
                       NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL)


@test('OFFLOAD A10 A11', 'why there is no packet offload: what is longer than the MTU is not sent, '
      'and what takes another route leaves in clear, or not at all, {}', each=ADDRESSES)
def packet_offload(fam):
    with Path(fam) as path, World.p.udp(path.p, PORT_PS) as s:
        by_packet_offload(path, PORT_PS, PORT_UC)
        # As it should be: the device would make ESP of it
        was = path.nic.count('others')
        s.sendto(b'short', (path.u, PORT_UC))
        check(any(b'short' in x for x in pending(path.seen)), 'nic0 has not got it')
        equal(path.nic.count('others'), was + 1, 'packets of which nothing says whose they are')
        try:
            s.sendto(bytes(3000), (path.u, PORT_UC))
            raise Fail('3,000 bytes are sent')
        except OSError as e:
            equal(errno.errorcode[e.errno], 'EHOSTUNREACH', '3,000 bytes')
        route = f'{path.u}/{128 if ":" in path.u else 32} dev p0'
        World.p.ip(f'neigh replace {path.u} lladdr {MAC["u0"].hex(":")} dev p0 nud permanent', f'route add {route}')
        World.wire.packets()
        try:
            s.sendto(b'by another way', (path.u, PORT_UC))
            check(UML, 'it is sent')
            check(any(b'by another way' in data for _, data in World.wire.packets()), 'it is not in clear on the wire')
        except OSError as e:
            # The newest kernel looks where it leaves, and refuses it
            equal(errno.errorcode[e.errno], 'EHOSTUNREACH', 'by another route')
            check(not UML, 'it is refused')
            check(not any(b'by another way' in data for _, data in World.wire.packets()), 'it is in clear on the wire')
        World.p.ip(f'route del {route}', f'neigh del {path.u} dev p0')


if __name__ == '__main__':
    main(setup, before, teardown)
