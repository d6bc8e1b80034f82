#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only
"""Every pair of algorithms on the wire, between P and a UE that is not ours.

The UE is U's kernel, with keys given by hand, and then scapy (lib/peer.py), which
has nothing in common with any kernel.  The MTU is 1,400.
"""
import hashlib
import hmac
import os
import random
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '../lib'))
from ims import *  # noqa: E402,F403  pylint: disable=wildcard-import,unused-wildcard-import,wrong-import-position
from net import dissect  # noqa: E402  pylint: disable=wrong-import-position

MTU = 1400
SIZES = (1, 15, 16, 17, 100, 1279, 1280, 1281, 1399, 1400, 1401, 1500, 2000, 3000)
# Over the other two SAs
FEW = (1, 1400, 3000)
EACH = tuple((a, e, f) for a, e in PAIRS for f in ADDRESSES)


def prepare():
    setup()
    World.p.ip(f'link set p0 mtu {MTU}')
    World.u.ip(f'link set u0 mtu {MTU}')


def scapy():
    """lib/peer.py; importing it takes its time, and not all tests need it."""
    import peer  # pylint: disable=import-outside-toplevel
    return peer


def made(auth, enc, fam):
    p, u = ADDRESSES[fam]
    b = bundle(endpoint(p), ue_address=u, auth_alg=auth, enc_alg=enc)
    # However long it takes
    World.nl.do('bundle-confirm', id=b['id'], lifetime=600000)
    return b


class Texts:
    """What is sent: never the same twice."""

    def __init__(self, *seed):
        self.rng, self.all = random.Random(repr(seed)), []

    def __call__(self, size):
        self.all.append(self.rng.randbytes(size))
        return self.all[-1]

    def hidden(self, packets, enc):
        """None of it is on the wire, unless nothing is encrypted: then all is, as far as it is in one piece."""
        wire = b'|'.join(packets)
        for text in self.all:
            if len(text) < 15:
                continue
            equal(text[:15] in wire, enc == 'null', f'{len(text)} bytes in clear inside ESP')
            check(enc == 'null' or text[-15:] not in wire, f'the end of {len(text)} bytes in clear inside ESP')


def esp_only(packets):
    """What was on the wire: ESP, and nothing else.  How many fragments, and the packets."""
    seen = [dissect(data, sent) for sent, data in packets]
    clear = [s for s in seen if s.proto != ESP and not quiet(s)]
    check(not clear, f'in clear on the wire: {clear[:3]}')
    return sum(s.fragment for s in seen), [data for _, data in packets]


@test('A2 A11 ALG', 'UDP, 1 to 3,000 bytes, between P and ip xfrm: {}', each=EACH)
def udp_xfrm(case):
    text = Texts('udp', 'xfrm', *case)
    World.wire.packets()
    with Phone(made(*case)) as phone:
        for sizes, names in ((SIZES, ('spi-ps', 'spi-uc')), (FEW, ('spi-pc', 'spi-us'))):
            for size in sizes:
                for name in names:
                    phone.deliver(name, text(size))
        in_fragments, packets = esp_only(World.wire.packets())
    check(in_fragments >= 8, f'{in_fragments} fragments')
    text.hidden(packets, case[1])


def all_of(sock, size):
    data = b''
    while len(data) < size:
        data += receive(sock)
    return data


@test('A2 ALG', 'TCP, 1 to 3,000 bytes, between P and ip xfrm: {}', each=EACH)
def tcp_xfrm(case):
    text = Texts('tcp', 'xfrm', *case)
    packets = []
    World.wire.packets()
    with Phone(made(*case)) as phone:
        for opened, sizes in (('spi-ps', SIZES), ('spi-us', FEW)):
            ends = phone.connect(opened)
            for s in ends:
                s.setsockopt(6, 1, 1)  # TCP_NODELAY
            for size in sizes:
                for a, b in (ends, ends[::-1]):
                    data = text(size)
                    a.sendall(data)
                    equal(all_of(b, size), data, f'{size} bytes')
            # Or the phone's last word would be taken up, and answered, when the endpoint has gone
            phone.hang_up(ends)
            packets += World.wire.packets()
    text.hidden(esp_only(packets)[1], case[1])


@test('A2 A11 ALG', 'UDP, 1 to 3,000 bytes, between P and scapy: {}', each=EACH)
def udp_scapy(case):
    text, b = Texts('udp', 'scapy', *case), made(*case)
    ue = scapy().Peer(b, MTU)
    ps, pc = World.p.udp(ue.p, b['port-ps']), World.p.udp(ue.p, b['port-pc'])
    try:
        for sizes, into, out, sock, port in ((SIZES, 'spi-ps', 'spi-uc', ps, b['port-uc']),
                                             (FEW, 'spi-pc', 'spi-us', pc, b['port-us'])):
            for size in sizes:
                data = text(size)
                ue.put(ue.udp(into, data))
                equal(receive(sock), data, f'{size} bytes that P gets over {into}')
                data = text(size)
                sock.sendto(data, (ue.u, port))
                equal(ue.datagram(out), data, f'{size} bytes that P sends over {out}')
    finally:
        ps.close()
        pc.close()
    check(ue.in_fragments >= 8, f'{ue.in_fragments} fragments')
    text.hidden(ue.packets, case[1])


@test('A2 ALG', 'TCP, 1 to 3,000 bytes, between P and scapy: {}', each=EACH)
def tcp_scapy(case):
    text, b = Texts('tcp', 'scapy', *case), made(*case)
    ue = scapy().Peer(b, MTU)
    socks = [World.p.tcp(ue.p, b['port-ps'], True), World.p.tcp(ue.p, b['port-pc'])]
    try:
        socks[1].connect_ex((ue.u, b['port-us']))
        outgoing = scapy().Connection(ue, 'spi-pc', 'spi-us', opened=False)
        incoming = scapy().Connection(ue, 'spi-ps', 'spi-uc')
        socks.append(wait(lambda: accepted(socks[0]), 'accept'))
        for connection, sock, sizes in ((incoming, socks[2], SIZES), (outgoing, socks[1], FEW)):
            sock.setblocking(False)
            sock.setsockopt(6, 1, 1)  # TCP_NODELAY
            for size in sizes:
                data = text(size)
                connection.send(data)
                equal(all_of(sock, size), data, f'{size} bytes that P gets')
                data = text(size)
                sock.sendall(data)
                equal(connection.receive(size), data, f'{size} bytes that P sends')
            connection.finish()
            try:
                raise Fail(f'after a reset: {receive(sock)!r}')
            except ConnectionResetError:
                pass
    finally:
        for s in socks:
            s.close()
    ue.take()
    text.hidden(ue.packets, case[1])


def drops(b):
    """Whatever counts a packet that was thrown away in P."""
    ep = World.nl.do('endpoint-get', id=b['endpoint'])
    return sum(v for k, v in ep.items() if k.startswith('drop-')) + sum(World.p.xfrm_stat().values())


def flipped(data, at):
    data = bytearray(data)
    data[at] ^= 0x10
    return bytes(data)


@test('A6 E1 ALG', 'forged, cut, and replayed packets are dropped and counted, the genuine one is not: {}', each=EACH)
def forged(case):
    auth, enc = pair = case[:2]
    b = made(*case)
    ue = scapy().Peer(b, MTU)
    sock = World.p.udp(ue.p, b['port-ps'])
    iv = {'aes-cbc': 16, 'aes-gcm': 8, 'des-ede3-cbc': 8, 'null': 8 if auth == 'aes-gmac' else 0}[enc]
    tag = 16 if pair in AEAD else 12

    so_far = drops(b)

    def dropped(data, text):
        nonlocal so_far
        ue.put(data)
        now = wait(lambda: drops(b) - so_far, f'{text} is counted')
        equal(now, 1, f'{text}: counted')
        equal(pending(sock), [], f'{text}: delivered')
        so_far += 1

    def delivered(data, text):
        ue.put(data)
        equal(receive(sock), text, 'the genuine one')
        equal(drops(b), so_far, 'dropped')

    try:
        delivered(ue.udp('spi-ps', b'first', 7), b'first')
        # All before the genuine one, and with its number: the window has to be where it was
        text = bytes(range(64, 64 + 61))
        good = ue.udp('spi-ps', text, 9)
        for at, what in ((2, 'SPI'), (4, 'sequence number'), (7, 'sequence number'), (8 if iv else None, 'IV'),
                         (7 + iv if iv else None, 'IV'), (8 + iv, 'ciphertext'), (len(good) - tag - 1, 'ciphertext'),
                         (-tag, 'ICV'), (-1, 'ICV')):
            if at is not None:
                dropped(flipped(good, at), f'a bit other in the {what}, at {at}')
        for size in {0, 1, 4, 7, 8, 9, 12, 8 + iv, 7 + tag, 8 + tag, 8 + iv + tag, 9 + iv + tag, 10 + iv + tag,
                     12 + iv + tag, len(good) // 2, len(good) - tag, len(good) - 4, len(good) - 1}:
            dropped(good[:size], f'{size} bytes of {len(good)}')
        dropped(good + bytes(4), 'four bytes more')
        if pair in AEAD:
            # The end of the key is the salt
            key = bytes.fromhex(AEAD[pair][1])
            for name, wrong in (('no salt', key[:16] + bytes(4)), ('another salt', flipped(key, -1)),
                                ("the other one's salt", key[:16] + bytes.fromhex(
                                    (GCM if AEAD[pair] is GMAC else GMAC)[1])[16:]), ('another key', flipped(key, 0))):
                dropped(ue.udp('spi-ps', text, 9, scapy().association(b['spi-ps'], pair, wrong)), name)
        else:
            bare, key = good[:-tag], bytes.fromhex(AUTH_KEY[auth])
            kind = {'hmac-md5-96': hashlib.md5, 'hmac-sha-1-96': hashlib.sha1}[auth]
            equal(good[-tag:], hmac.new(key, bare, kind).digest()[:tag], 'ICV')
            dropped(bare + hmac.new(key, bare, kind).digest()[:16], 'an ICV of 128 bits')
            dropped(bare + hmac.new(key, bare, kind).digest()[:8], 'an ICV of 64 bits')
            dropped(bare + hmac.new(flipped(key, 0), bare, kind).digest()[:tag], 'an ICV by another key')
            for name, other in (('short', key[:12]), ('longer by ones', key[:16] + b'\1' * 4)):
                dropped(bare + hmac.new(other, bare, kind).digest()[:tag], f'an ICV by a key that is {name}')
        delivered(good, text)
        dropped(good, 'a replayed packet')
        # Long after, and then again one that was in the window and is behind it
        delivered(ue.udp('spi-ps', b'far', 1000), b'far')
        dropped(good, 'one behind the window')
        dropped(ue.udp('spi-ps', b'behind', 1000 - 64), 'another one behind the window')
        delivered(ue.udp('spi-ps', b'inside', 1000 - 63), b'inside')
        delivered(ue.udp('spi-ps', b'last', 1001), b'last')
    finally:
        sock.close()


@test('ALG', 'pairs that the table has not are EINVAL, and nothing is left')
def no_pairs():
    ep, enums = endpoint(), World.nl.spec.enums
    wrong = [(a, e) for a in enums['auth-alg'] for e in enums['enc-alg'] if (a, e) not in PAIRS]
    equal(len(wrong), 7, 'pairs that are none')
    for auth, enc in wrong:
        e = expect_error('EINVAL', bundle, ep, auth_alg=auth, enc_alg=enc)
        check(any(x in e.text for x in (auth, enc, 'integrity')), f'{auth}={enc}: "{e.text}"')
        # Nor by a list that says so
        expect_error('EINVAL', bundle, ep, auth_alg=auth, enc_alg=enc, allowed_algorithms=f'{auth}={enc}')
        expect_error('EINVAL', World.nl.do, 'config-set', allowed_algorithms=f'{auth}={enc}')
    equal(World.nl.dump('bundle-get'), [], 'bundles')
    equal(World.nl.do('endpoint-get', id=ep['id'])['bundles'], 0, 'bundles of the endpoint')
    equal(World.events.drain(), [], 'events')
    nothing_left(policies=3)


if __name__ == '__main__':
    main(prepare, before, teardown)
