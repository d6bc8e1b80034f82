#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only
"""IV generators of ours: a bundle has one cipher, IVs do not repeat, and the module of theirs outlives the other.

IVS=100000 in the environment: as many packets; ROUNDS: so many times the modules come and go.
"""
import contextlib
import errno
import functools
import os
import re
import socket
import struct
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '../lib'))
from ims import *  # noqa: E402,F403  pylint: disable=wildcard-import,unused-wildcard-import,wrong-import-position
from rounds import Rounds  # noqa: E402  pylint: disable=wrong-import-position

# Those that have an IV, and what generates it in the kernel
PAIR = {pair: 'seqiv' if pair in AEAD else 'echainiv' for pair in PAIRS if pair in AEAD or pair[1] != 'null'}
IV_SIZE = {'aes-cbc': 16, 'des-ede3-cbc': 8, 'aes-gcm': 8, 'null': 8}
WAYS = ('spi-ps', 'spi-uc', 'spi-us', 'spi-pc')
BUNDLES = 10
IVS, ROUNDS = (int(os.environ.get(name, default)) for name, default in (('IVS', 1200), ('ROUNDS', 5)))
SYS = '/sys/module/ims_ipsec_iv'


def cipher(pair):
    """The kernel's name for what encrypts and protects, without IVs."""
    return AEAD[pair][0] if pair in AEAD else f'authenc({AUTH_NAME[pair[0]]},{ENC_NAME[pair[1]]})'


def users(name):
    """How many have an algorithm, by /proc/crypto."""
    with open('/proc/crypto', encoding='ascii') as f:
        blocks = f.read().split('\n\n')
    return sum(int(re.search(r'^refcnt +: (\d+)', x, re.M)[1]) for x in blocks if re.match(rf'name +: {re.escape(name)}\n', x))


def settled(pair):
    """How many have the cipher and the IV generator of a pair, once what was deleted before has been freed."""
    seen = []

    def same():
        seen.append([users(name) for name in (cipher(pair), f'ims_{PAIR[pair]}({cipher(pair)})')])
        # An SA's IV generator goes with its cipher, or before that
        return seen[-1][1] == 1 and seen[-2:-1] == seen[-1:]
    wait(same, 'nobody has an SA with it any more')
    return seen[-1]


@test('IV A4', 'the four SAs of a bundle have one cipher, those of another with the same keys another: {}', each=tuple(PAIR))
def one_cipher(pair):
    ep = endpoint()
    names = cipher(pair), f'ims_{PAIR[pair]}({cipher(pair)})'
    was = settled(pair)
    made = []
    for n in (1, 2):
        made.append(bundle(ep, auth_alg=pair[0], enc_alg=pair[1], ue_address=f'198.51.100.{n}', spi_uc=1000 + n, spi_us=2000 + n))
        equal([users(name) - x for name, x in zip(names, was)], [n, 4 * n], f'{n} bundles: ciphers and SAs')
    equal(World.p.count(), 8, 'SAs')
    for b in made:
        World.nl.do('bundle-del', id=b['id'])
    wait(lambda: [users(name) for name in names] == was, 'ciphers and SAs go')


@test('IV A4', 'ip xfrm state shows of an SA what it shows of one that has the kernel\'s generator: {}', each=tuple(PAIR))
def shown(pair):
    with Phone(bundle(endpoint(), auth_alg=pair[0], enc_alg=pair[1])):
        algs = [sorted(re.findall(r'\t((?:auth-trunc|enc|aead) .*)', ns.ip('xfrm state'))) for ns in (World.p, World.u)]
    check(algs[0] and len(algs[0]) == len(algs[1]), f'{len(algs[0])} lines')
    equal(algs[0], algs[1], 'algorithms and keys')


@test('IV A4', 'bundles with other keys have theirs: each is heard, and none by the key of the one before: {}', each=tuple(PAIR))
def other_keys(pair):
    ep = endpoint()
    for n in range(3):
        # The phone has the keys of the table; every other bundle has others
        own = {} if n % 2 == 0 else {'ik': IK[::-1], 'ck': CK[::-1]}
        b = bundle(ep, auth_alg=pair[0], enc_alg=pair[1], spi_uc=1000 + n, spi_us=2000 + n, **own)
        with Phone(b) as phone:
            if not own:
                for name in WAYS:
                    phone.deliver(name)
                continue
            errors = World.u.xfrm_stat().get('XfrmInStateProtoError', 0)
            got = phone.send('spi-uc', b'with another key')
            wait(lambda: World.u.xfrm_stat().get('XfrmInStateProtoError', 0) == errors + 1,  # pylint: disable=cell-var-from-loop
                 'the phone cannot read it')
            equal(pending(got), [], 'what came')
        World.nl.do('bundle-del', id=b['id'])


def ivs(pair):
    """(SPI, sequence number, IV) of each packet of ESP since last asked."""
    out = []
    for _, p in World.wire.packets():
        if p[0] >> 4 == 4 and p[9] == ESP:
            spi, seq = struct.unpack('>II', p[20:28])
            out.append((spi, seq, p[28:28 + IV_SIZE[pair[1]]]))
    return out


@test('IV A4', f'IVs of one key do not repeat, of {BUNDLES} re-registrations with the same keys, of the UE\'s SAs and ours: {{}}',
      each=(('null', 'aes-gcm'), ('aes-gmac', 'null'), ('hmac-sha-1-96', 'aes-cbc'), ('hmac-sha-1-96', 'des-ede3-cbc')), limit=3000)
def unique(pair):
    ep, seen, n = endpoint(), {}, max(IVS // BUNDLES // len(WAYS), 1)
    for i in range(BUNDLES):
        b = bundle(ep, auth_alg=pair[0], enc_alg=pair[1], spi_uc=1000 + i, spi_us=2000 + i)
        World.nl.do('bundle-confirm', id=b['id'], lifetime=600000, older='drop')
        with Phone(b) as phone:
            equal(ivs(pair), [], 'before')
            for left in range(n, 0, -50):
                for name in WAYS:
                    got = [phone.send(name, b'x') for _ in range(min(50, left))]
                    wait(lambda: len(pending(got[0])) or True, 'taken')  # pylint: disable=cell-var-from-loop
            packets = []
            wait(lambda: packets.extend(ivs(pair)) or len(packets) >= 4 * n, 'packets on the wire')  # pylint: disable=cell-var-from-loop
        for spi, seq, iv in packets:
            check(iv not in seen, f'{iv.hex()}, of SPI {spi} number {seq} of bundle {i}, is that of {seen.get(iv)}')
            seen[iv] = (spi, seq, i)
        equal({spi for spi, _, _ in packets}, {b[name] for name in WAYS}, 'SPIs')
    equal(len(seen), BUNDLES * 4 * n, 'IVs')
    World.events.drain()


class Alg(socket.socket):
    """A cipher of AF_ALG."""
    icv = 0


def aead(name, key=None, size=16):
    """One with a key, if there is one, and so many bytes of ICV."""
    s = Alg(socket.AF_ALG, socket.SOCK_SEQPACKET)
    s.bind(('aead', name))
    s.icv = size
    s.setsockopt(socket.SOL_ALG, socket.ALG_SET_AEAD_AUTHSIZE, None, size)
    if key:
        s.setsockopt(socket.SOL_ALG, socket.ALG_SET_KEY, key)
    return s


def run(s, op, iv, data, assoc=8, cut=0):
    """What comes of it, without the associated data; with cut, into two pieces of memory, the first of so many bytes."""
    size = s.icv if op == socket.ALG_OP_ENCRYPT else -s.icv
    # Who asks for more waits for more to be sent
    pieces = [bytearray(n) for n in (cut, len(data) + size - cut) if n]
    with s.accept()[0] as x:
        x.sendmsg_afalg([data], op=op, iv=iv, assoclen=assoc)
        equal(x.recvmsg_into(pieces)[0], len(data) + size, 'bytes')
    return b''.join(pieces)[assoc:]


def af_alg():
    """Algorithms that can be named from here, by pair: (name of ours, of the kernel's, key, bytes of the ICV)"""
    subprocess.run(['modprobe', '-qa', 'algif_aead', 'algif_skcipher'], check=False)
    out = {}
    for pair, geniv in PAIR.items():
        key = bytes.fromhex(AEAD[pair][1] if pair in AEAD else AUTH_KEY[pair[0]] + ENC_KEY[pair[1]])
        if pair not in AEAD:
            # struct rtattr, and the length of the second key
            key = struct.pack('=HH', 8, 1) + struct.pack('>I', len(bytes.fromhex(ENC_KEY[pair[1]]))) + key
        out[pair] = (f'ims_{geniv}({cipher(pair)})', f'{geniv}({cipher(pair)})', key, 16 if pair in AEAD else 12)
    try:
        socket.socket(socket.AF_ALG, socket.SOCK_SEQPACKET).close()
        aead(out[PAIRS[0]][1]).close()
    except OSError as e:
        raise Skip(f'this kernel has no AEAD by AF_ALG: {e.strerror}') from None
    return out


@test('IV A4 AFALG', 'by AF_ALG they are ordinary: what one makes the kernel\'s reads, and the reverse; keys can be set again')
def by_name():
    # The names are there while an SA has been made with them
    algs, ep = af_alg(), endpoint()
    for pair, (own, kernels, key, size) in algs.items():
        # Of two spellings of one pair the other's, too
        ciphers = settled(pair)[0] + 1
        b = bundle(ep, auth_alg=pair[0], enc_alg=pair[1])
        other = key[:-24] + key[:-25:-1] if pair[1] != 'des-ede3-cbc' else key[:-1] + bytes([key[-1] ^ 2])
        text, n = os.urandom(48), IV_SIZE[pair[1]]
        with contextlib.ExitStack() as after:
            ours = [after.enter_context(aead(own, key, size)) for _ in range(2)]
            theirs = {k: after.enter_context(aead(kernels, k, size)) for k in (key, other)}
            equal(users(cipher(pair)) - ciphers, 4, f'{own}: a cipher for each')
            made = []
            # The IV's place in one piece, in two, and in the second
            for seq, cut in ((1, 0), (2, 8 + n // 2), (255, 4), (1 << 31, 8)):
                head, iv = struct.pack('>II', 77, seq), bytes(n - 8) + struct.pack('>Q', seq)
                for s in ours:
                    out = run(s, socket.ALG_OP_ENCRYPT, iv, head + bytes(n) + text, cut=cut)
                    equal(len(out), n + 48 + size, f'{own}: bytes')
                    equal(run(theirs[key], socket.ALG_OP_DECRYPT, bytes(n), head + out)[n:n + 48], text, f'{kernels} of {own}')
                    equal(run(ours[0], socket.ALG_OP_DECRYPT, bytes(n), head + out)[n:n + 48], text, f'{own} of its own')
                    made.append(out[:n])
                out = run(theirs[key], socket.ALG_OP_ENCRYPT, iv, head + bytes(n) + text)
                equal(run(ours[1], socket.ALG_OP_DECRYPT, bytes(n), head + out)[n:n + 48], text, f'{own} of {kernels}')
                broken = out[:-1] + bytes([out[-1] ^ 1])
                try:
                    run(ours[1], socket.ALG_OP_DECRYPT, bytes(n), head + broken)
                    raise Fail(f'{own} takes what is broken')
                except OSError as e:
                    equal(e.errno, errno.EBADMSG, f'{own}: what is broken')
            equal(len(set(made)), len(made), f'{own}: different IVs')
            if PAIR[pair] == 'seqiv':
                salts = {bytes(a ^ b for a, b in zip(iv, struct.pack('>Q', seq))) for seq, iv in
                         zip((1, 2, 255, 1 << 31), made[::2])}
                equal(len(salts), 1, f'{own}: the IV is the number and a salt')
            # Another key of one of them is not one of the other's, nor of the bundle's
            ours[0].setsockopt(socket.SOL_ALG, socket.ALG_SET_KEY, other)
            head, iv = struct.pack('>II', 77, 9), bytes(n - 8) + struct.pack('>Q', 9)
            for s, k in ((ours[0], other), (ours[1], key)):
                out = run(s, socket.ALG_OP_ENCRYPT, iv, head + bytes(n) + text)
                equal(run(theirs[k], socket.ALG_OP_DECRYPT, bytes(n), head + out)[n:n + 48], text, f'{own} with a key set again')
            with Phone(b) as phone:
                for name in WAYS:
                    phone.deliver(name)
        World.nl.do('bundle-del', id=b['id'])


def loaded():
    return os.path.isdir(SYS)


def users_of_module():
    with open(SYS + '/refcnt', encoding='ascii') as f:
        return int(f.read())


def tool(*argv):
    echo('-', ' '.join(argv))
    return subprocess.run(argv, stderr=subprocess.STDOUT, stdout=subprocess.PIPE, text=True, check=False)


def unload():
    close_family()
    wait(lambda: rmmod().returncode == 0, 'the module goes', 10)


def load(*params):
    """Both modules, or the one that is missing; parameters of the one that stays."""
    if not loaded():
        done = tool('insmod', module_iv_file(), *params)
        equal(done.returncode, 0, done.stdout)
    done = insmod()
    equal(done.returncode, 0, done.stdout)
    reopen_family()


def unload_both():
    unload()
    wait(lambda: not tool('rmmod', 'ims_ipsec_iv').returncode, 'its IV generators go', 20)


@contextlib.contextmanager
def comes_back():
    """Whatever becomes of it within, there are both modules afterwards, as they were."""
    if not os.path.exists(module_file()):
        raise Skip(f'{module_file()} is not there')
    try:
        yield
    finally:
        if os.path.isdir('/sys/module/ims_ipsec'):
            unload()
        if loaded():
            wait(lambda: not tool('rmmod', 'ims_ipsec_iv').returncode, 'its IV generators go', 20)
        load()


def passes(number, kept):
    """A bundle under traffic, whose module goes meanwhile; a socket keeps a route over one of its SAs."""
    pair = PAIRS[3 * (number & 1)]
    # Where the one before had its socket, that still is
    b = bundle(endpoint(port_ps=PORT_PS + number % 2), auth_alg=pair[0], enc_alg=pair[1])
    World.nl.do('bundle-confirm', id=b['id'], lifetime=600000)
    with Phone(b) as phone:
        for name in WAYS:
            phone.deliver(name)
        phone.ps.connect((U4, b['port-uc']))
        phone.ps.send(b'over a route that is kept')
        equal(receive(phone.uc), b'over a route that is kept', 'datagram')
        kept.append(phone.ps.dup())
        ways = [functools.partial(phone.send, name, b'on and on') for name in ('spi-ps', 'spi-us', 'spi-pc')]

        def sends():
            for way in ways:
                with contextlib.suppress(OSError):
                    way()
        with Rounds(sends) as rounds:
            rounds.more(5)
            unload()
            rounds.more(5)
        nothing_left()
        return users_of_module() > 0


@test('IV RMMOD', f'{ROUNDS} times under traffic the module goes, comes, and goes again, with SAs that XFRM still has', limit=3000)
def outlives():
    """Sockets have routes over SAs that are deleted: those hold the ciphers, and these their module."""
    with comes_back():
        for _ in range(ROUNDS):
            kept = []
            for number in (0, 1):
                check(passes(number, kept), 'no SA has a cipher of it when the module has gone')
                if number == 0:
                    load()
            for s in kept:
                s.close()
            # Now nobody has the ciphers any more
            wait(lambda: not tool('rmmod', 'ims_ipsec_iv').returncode, 'its IV generators go', 20)
            load()


@test('IV RMMOD', 'a namespace that ends takes its SAs along, and the modules can go')
def namespace_ends():
    with comes_back():
        q = Namespace('Q')
        with q:
            nl = Family()
        ep = endpoint(nl=nl)
        for n in range(20):
            bundle(ep, nl=nl, ue_address=f'198.51.100.{n + 1}')
        check(users_of_module() >= 80, f'{users_of_module()} have its ciphers')
        nl.close()
        q.delete()
        # The other module is one of them
        wait(lambda: users_of_module() == 1, 'nobody else has its ciphers')
        unload_both()
        load()


@test('IV E6', 'without them SAs have the kernel\'s generators, and algorithm-get says so; both kinds understand each other')
def kernels_own():
    def drivers():
        return {(x['auth-alg'], x['enc-alg']): (x['name'], x['driver']) for x in World.nl.dump('algorithm-get')}
    with comes_back():
        for prefix, params in (('ims_', ()), ('', ('own=0',))):
            unload_both()
            load(*params)
            for pair, names in drivers().items():
                geniv = PAIR.get(pair)
                for name in names if geniv else ():
                    check(name.startswith(f'{prefix}{geniv}('), f'{pair}, {params}: {name}')
                if not geniv:
                    check(names[0].startswith('authenc('), f'{pair}: {names[0]}')
            ep = endpoint()
            for n, pair in enumerate(PAIR):
                b = bundle(ep, auth_alg=pair[0], enc_alg=pair[1], spi_uc=1000 + n, spi_us=2000 + n)
                with Phone(b) as phone:
                    for name in WAYS:
                        phone.deliver(name)
                World.nl.do('bundle-del', id=b['id'])


if __name__ == '__main__':
    main(setup, before, teardown)
