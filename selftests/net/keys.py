#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only
"""No key stays in the machine's memory: keys.c makes the requests, and searches all of it.

Nothing here knows the keys, or it would have them in its memory.  What does not
come to the module is not tested: a request that generic netlink refuses, for an
attribute is of a wrong length or out of range, is freed and sent back as it was.
"""
import errno
import os
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '../lib'))
from ims import *  # noqa: E402,F403  pylint: disable=wildcard-import,unused-wildcard-import,wrong-import-position

SOURCES = (os.path.join(TOP, 'selftests/net/keys.c'), os.path.join(TOP, 'include/uapi/linux/ims_ipsec.h'))
PROGRAM = os.path.join(TOP, 'build/selftests/keys')
# Ways in which a request is wrong, by their numbers in keys.c
GOOD, IK_TWICE, CK_TWICE, NO_ENDPOINT, SPI_SAME, NO_OWNER = range(6)


def build():
    """The program; what is built stays, in the VM too."""
    if os.path.exists(PROGRAM) and os.path.getmtime(PROGRAM) >= max(map(os.path.getmtime, SOURCES)):
        return
    os.makedirs(os.path.dirname(PROGRAM), exist_ok=True)
    new = f'{PROGRAM}.{os.getpid()}.{time.monotonic_ns()}'
    subprocess.run(['cc', '-std=gnu11', '-D_GNU_SOURCE', '-O2', '-fno-tree-vectorize', '-Wall', '-Wextra',
                    '-I' + os.path.join(TOP, 'include/uapi'), '-o', new, SOURCES[0]], check=True)
    os.rename(new, PROGRAM)


class Keys:
    """The program at work; its slots are keys, each used once."""

    def __init__(self):
        if not os.path.exists('/proc/kcore'):
            raise Skip('this kernel has no /proc/kcore')
        build()
        with World.p:
            self.program = subprocess.Popen([PROGRAM], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.program.stdin.close()
        self.program.wait()
        self.program.stdout.close()

    def say(self, command):
        self.program.stdin.write(command + '\n')
        self.program.stdin.flush()
        out = []
        while True:
            line = self.program.stdout.readline()
            if not line:
                raise Fail(f'"{command}": the program has ended')
            if line == '.\n':
                return out
            out.append(line.rstrip('\n'))

    def new(self, slot, ep, pair, how=GOOD, address=None, spi=None):
        """bundle-new with the keys of a slot; its errno's name."""
        enums = World.nl.spec.enums
        auth, enc = enums['auth-alg'][pair[0]], enums['enc-alg'][pair[1]]
        address, spi = address or f'198.51.100.{slot + 1}', spi or 1000 + 2 * slot
        error, back = map(int, self.say(f'new {slot} {ep["id"]} {auth} {enc} {address} {spi} {how}')[0].split())
        check(not back, f'keys came back with the answer to request {how}')
        return 'ok' if not error else 'EOPNOTSUPP' if error == errno.EOPNOTSUPP else errno.errorcode[error]

    def scan(self):
        """{(slot, key): where}"""
        start, out = time.monotonic(), {}
        for line in self.say('scan'):
            if line[0] == '#':
                say(f'{line[2:]} in {time.monotonic() - start:.1f} s')
                continue
            slot, key, half, where, flags = line.split()
            out.setdefault((int(slot), key), []).append(f'{where} half {half} ({page(int(flags, 16))})')
        return out

    def none_left(self, text):
        """No key is anywhere, once all has been freed that is to be."""
        def nothing():
            self.found = self.scan()
            return not self.found
        try:
            wait(nothing, text, 30)
        except Fail:
            for key, where in sorted(self.found.items()):
                say(f'{key}: {"; ".join(where)}')
            raise


def page(flags):
    """What kind of page it is."""
    names = {3: 'uptodate', 5: 'lru', 7: 'slab', 10: 'buddy', 11: 'mmap', 12: 'anon', 15: 'compound head',
             16: 'compound tail', 20: 'nopage', 26: 'pagetable', 32: 'reserved'}
    return ', '.join(v for k, v in names.items() if flags >> k & 1) or f'{flags:#x}'


@test('KEYS', 'found while bundles live, of every pair, and nowhere when they have gone')
def life():
    # None is to expire while the memory is looked through
    World.nl.do('config-set', temporary_timeout=3600000)
    with Keys() as keys:
        eps = [endpoint(), endpoint('192.0.2.3')]
        for slot, pair in enumerate(PAIRS):
            equal(keys.new(slot, eps[slot % 2], pair), 'ok', f'bundle-new {pair}')
        found = keys.scan()
        for slot, (auth, enc) in enumerate(PAIRS):
            key = {(slot, 'ik')} if enc != 'aes-gcm' else set()
            key |= {'null': set(), 'des-ede3-cbc': {(slot, '3des')}}.get(enc, {(slot, 'ck')})
            got = {k: v for k, v in found.items() if k[0] == slot}
            if set(got) != key:
                say(got)
            # What the pair has no use for has gone with the request
            equal(set(got), key, f'keys in memory of {auth}={enc}')
        # Each in another way
        bundles = World.nl.dump('bundle-get', endpoint=eps[0]['id'])
        for b in bundles[:3]:
            World.nl.do('bundle-del', id=b['id'])
        for b in bundles[3:]:
            World.nl.do('bundle-confirm', id=b['id'], lifetime=1)
        World.nl.do('endpoint-del', id=eps[1]['id'], force=True)
        wait(lambda: not World.nl.dump('bundle-get'), 'all bundles have gone')
        nothing_left(policies=3)
        keys.none_left('no key is left of bundles that have gone')


@test('KEYS', 'in as many places of one bundle as of another: none stays behind when it has been made')
def places():
    World.nl.do('config-set', temporary_timeout=3600000)
    with Keys() as keys:
        ep = endpoint()
        for slot in range(8):
            equal(keys.new(slot, ep, ('hmac-sha-1-96', 'aes-cbc')), 'ok', 'bundle-new')
        found = keys.scan()
        for key in ('ik', 'ck'):
            n = [len(found.get((slot, key), ())) for slot in range(8)]
            check(n[0] and len(set(n)) == 1, f'places with the {key} of each bundle: {n}')
        World.nl.do('endpoint-del', id=ep['id'], force=True)


@test('KEYS', 'nowhere after requests that failed')
def failed():
    with Keys() as keys:
        ep = endpoint()
        equal(keys.new(0, ep, PAIRS[3]), 'ok', 'bundle-new')
        taken = {'address': '198.51.100.1'}
        # A stranger's: for one of ours there is a way out
        stranger = f'src {P4} dst {taken["address"]} proto esp spi 2000'
        World.p.ip(f'xfrm state add {stranger} mode transport auth-trunc hmac(md5) 0x{bytes(16).hex()} 96 enc ecb(cipher_null) ""')
        for slot, pair in enumerate(PAIRS, 1):
            # spi-uc, and spi-us, when there is an SA with the first already
            equal(keys.new(slot, ep, pair, spi=2000, **taken), 'EEXIST', f'{pair}: an SPI that is taken')
            equal(keys.new(slot + 20, ep, pair, spi=1999, **taken), 'EEXIST', f'{pair}: the second SPI')
        for slot, (pair, how, want) in enumerate((
                (PAIRS[3], IK_TWICE, 'EINVAL'), (PAIRS[3], CK_TWICE, 'EINVAL'), (PAIRS[3], NO_OWNER, 'EINVAL'),
                (('null', 'null'), GOOD, 'EINVAL'), (PAIRS[0], SPI_SAME, 'EINVAL'),
                (PAIRS[3], NO_ENDPOINT, 'ENOENT')), 40):
            equal(keys.new(slot, ep, pair, how), want, f'way {how} of {pair}')
        World.nl.do('config-set', allowed_algorithms='aes-gcm')
        equal(keys.new(50, ep, PAIRS[3]), 'EOPNOTSUPP', 'a pair that is not allowed')
        World.nl.do('endpoint-del', id=ep['id'], force=True)
        World.p.ip(f'xfrm state delete {stranger}')
        nothing_left()
        keys.none_left('no key is left of requests that failed')


if __name__ == '__main__':
    main(setup, before, teardown)
