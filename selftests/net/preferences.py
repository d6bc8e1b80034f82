#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only
"""Which pairs of algorithms may be used, and which rather: lists, preference, the veto."""
import os
import re
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '../lib'))
from ims import *  # noqa: E402,F403  pylint: disable=wildcard-import,unused-wildcard-import,wrong-import-position
from nl import nla  # noqa: E402  pylint: disable=wrong-import-position

DEPRECATED = {(a, e) for a, e in PAIRS if a == 'hmac-md5-96' or e == 'des-ede3-cbc'}
# The library is tested with the same
LISTS = os.path.join(TOP, 'user/test/alg_lists.txt')
AUTH = {None: 0, 'hmac-md5-96': 1, 'hmac-sha-1-96': 2, 'aes-gmac': 3, 'null': 4}
ENC = {None: 0, 'null': 1, 'aes-cbc': 2, 'des-ede3-cbc': 3, 'aes-gcm': 4}


def text(pairs):
    return ','.join(f'{a}={e}' for a, e in pairs)


def ranked(nl=None):
    """algorithm-get: (the pairs that are allowed, in order; the others)."""
    got = (nl or World.nl).dump('algorithm-get')
    pairs = [(x['auth-alg'], x['enc-alg']) for x in got]
    equal(sorted(pairs), sorted(PAIRS), 'pairs of algorithm-get')
    n = sum('rank' in x for x in got)
    equal([x.get('rank') for x in got], [*range(1, n + 1), *[None] * (len(got) - n)], 'ranks')
    for x, pair in zip(got, pairs):
        equal('deprecated' in x, pair in DEPRECATED, f'{text([pair])} is deprecated')
    return pairs[:n], pairs[n:]


def usable(ep, **more):
    """The pairs that bundle-new takes; what it refuses leaves nothing."""
    out = []
    for auth, enc in PAIRS:
        try:
            b = bundle(ep, auth_alg=auth, enc_alg=enc, **more)
        except NlError as e:
            equal(e.name, 'EOPNOTSUPP', f'{auth}={enc}: {e}')
            check(f'{auth}={enc}' in (e.text or ''), f'"{e.text}" does not name {auth}={enc}')
            equal(World.nl.dump('bundle-get'), [], f'{auth}={enc}: bundles left')
            continue
        equal((b['auth-alg'], b['enc-alg']), (auth, enc), 'the pair')
        World.nl.do('bundle-del', id=b['id'])
        out.append((auth, enc))
    equal(World.nl.do('endpoint-get', id=ep['id'])['bundles'], 0, 'bundles of the endpoint')
    return out


def settings(**more):
    return {k.replace('_', '-'): v for k, v in more.items()}


@test('E6 ALG', 'without a word all nine are allowed, the strongest first, and each has a driver of /proc/crypto')
def all_nine():
    equal({k: v for k, v in DEFAULTS.items() if 'alg' in k},
          {'allowed-algorithms': '', 'preferred-alg': 0, 'preferred-ealg': 0, 'disable-deprecated-algorithms': 0},
          'what it has without any')
    equal(ranked(), (list(PAIRS), []), 'order')
    with open('/proc/crypto', encoding='ascii') as f:
        known = {tuple(line.split(': ')[1] for line in x.splitlines()[:2]) for x in f.read().split('\n\n') if x}
    for x in World.nl.dump('algorithm-get'):
        pair = x['auth-alg'], x['enc-alg']
        got = x.get('name', ''), x.get('driver', '')
        # Of what generates IVs here, what it does so for
        own = [re.fullmatch(r'ims_\w+\((.*)\)', s) for s in got]
        check((tuple(m[1] for m in own) if all(own) else got) in known, f'{pair}: {got[0]} by {got[1]} is not there')
        names = [AEAD[pair][0]] if pair in AEAD else [AUTH_NAME[pair[0]], ENC_NAME[pair[1]]]
        check(all(n in x['name'] for n in names), f'{pair} is {x["name"]}')
    equal(usable(endpoint()), list(PAIRS), 'pairs that can be used')
    nothing_left(policies=3)


@test('E6 CONFIG', 'a list means what the library takes it for, every line of its tests')
def lists():
    if not os.path.exists(LISTS):
        raise Skip('user/test/alg_lists.txt is not there')
    with open(LISTS, encoding='utf-8') as f:
        lines = [x.rstrip('\n').rpartition('\t')[::2] for x in f if not x.startswith('#')]
    check(len(lines) > 40, f'{len(lines)} lines')
    was = '-'
    for listed, want in lines:
        if want == 'error':
            expect_error('ERANGE' if len(listed) > 512 else 'EINVAL', World.nl.do, 'config-set',
                         allowed_algorithms=listed)
        else:
            World.nl.do('config-set', allowed_algorithms=listed)
            was = want
            pairs = [tuple(x.split('=')) for x in want.split(',')] if want else list(PAIRS)
            equal(ranked(), (pairs, [p for p in PAIRS if p not in pairs]), f'order by "{listed}"')
        if was != '-':
            equal(World.nl.do('config-get')['allowed-algorithms'], was, f'allowed-algorithms after "{listed}"')


@test('E6 CONFIG', 'the order of a list is kept, a lone name is in the built-in order, a lone null is no encryption')
def order():
    for listed, want in ((text(PAIRS[::-1]), PAIRS[::-1]),
                         ('hmac-md5-96=null,hmac-sha-1-96=aes-cbc', (PAIRS[8], PAIRS[3])),
                         ('hmac-sha-1-96=aes-cbc,hmac-md5-96=null', (PAIRS[3], PAIRS[8])),
                         ('hmac-sha-1-96', PAIRS[3:6]), ('aes-cbc', (PAIRS[3], PAIRS[6])),
                         ('null', (PAIRS[2], PAIRS[5], PAIRS[8])), (' AES-CBC ,\tNull', (*PAIRS[3:9:3], *PAIRS[2:9:3])),
                         ('aes-gmac=aes-gcm', (PAIRS[1], PAIRS[0])), ('aes-cbc,aes-cbc', (PAIRS[3], PAIRS[6]))):
        World.nl.do('config-set', allowed_algorithms=listed)
        equal(ranked()[0], list(want), f'"{listed}"')
        equal(World.nl.do('config-get')['allowed-algorithms'], text(want), f'"{listed}"')


@test('E6 CONFIG', 'what is not in the list is refused with a text, nothing is left of it, what there is stays')
def not_allowed():
    ep = endpoint()
    old = bundle(ep, ue_address='192.0.2.3', auth_alg='hmac-md5-96', enc_alg='null')
    for want in (PAIRS[3:4], PAIRS[2:9:3], PAIRS[0:2]):
        World.nl.do('config-set', allowed_algorithms=text(want))
        equal(World.nl.do('bundle-get', id=old['id'])['enc-alg'], 'null', 'a bundle from before')
        World.nl.do('bundle-confirm', id=old['id'], lifetime=60000)
        nothing_left(states=4, policies=3)
        World.nl.do('bundle-del', id=old['id'])
        equal(usable(ep), list(want), f'pairs that can be used with {text(want)}')
        nothing_left(policies=3)
        World.nl.do('config-set', allowed_algorithms='')
        old = bundle(ep, ue_address='192.0.2.3', auth_alg='hmac-md5-96', enc_alg='null')


@test('E6 ALG', "a request's own list goes before the configuration's")
def own_list():
    ep = endpoint()
    for config, own, want in (('', 'hmac-md5-96', PAIRS[6:]), ('aes-cbc', 'null', PAIRS[2:9:3]),
                              ('hmac-sha-1-96=aes-cbc', 'hmac-md5-96=null, aes-gcm', (*PAIRS[:2], PAIRS[8])),
                              ('hmac-md5-96=null', text(PAIRS), PAIRS), (text(PAIRS[3:]), 'null=aes-gcm', PAIRS[:2])):
        World.nl.do('config-set', allowed_algorithms=config)
        equal(usable(ep, allowed_algorithms=own), list(want), f'pairs of "{own}", "{config}" being configured')
        equal(ranked()[0], [p for p in PAIRS if p in ranked()[0]], 'what is configured')
        for wrong in ('', ',', 'aes-ctr', 'null=null', 'aes-cbc,', 'aes-cbc;null', own + ',hmac-sha-1-96=aes-gcm'):
            expect_error('EINVAL', bundle, ep, allowed_algorithms=wrong)
    equal(World.nl.dump('bundle-get'), [], 'bundles')
    nothing_left(policies=3)


@test('E6 CONFIG', 'preferred-alg and preferred-ealg: what has both, then either, then the rest; a list is an order')
def preferred():
    sha1, cbc, md5 = PAIRS[3:6], (PAIRS[3], PAIRS[6]), PAIRS[6:9]
    for auth, enc, first in (('hmac-sha-1-96', None, sha1), (None, 'aes-cbc', cbc), ('hmac-md5-96', None, md5),
                             ('hmac-md5-96', 'null', (PAIRS[8], *md5, PAIRS[2], PAIRS[5])),
                             ('hmac-sha-1-96', 'des-ede3-cbc', (PAIRS[4], *sha1, PAIRS[7])),
                             (None, 'null', PAIRS[2:9:3]), (None, 'aes-gcm', PAIRS[:2]), (None, None, ()),
                             # A pair that is none: each for itself
                             ('hmac-md5-96', 'aes-gcm', md5)):
        World.nl.do('config-set', preferred_alg=AUTH[auth], preferred_ealg=ENC[enc])
        want = list(dict.fromkeys((*first, *PAIRS)))
        equal(ranked(), (want, []), f'preferred are {auth} and {enc}')
        World.nl.do('config-set', disable_deprecated_algorithms=1)
        equal(ranked()[0], [p for p in want if p not in DEPRECATED], 'without those that are deprecated')
        World.nl.do('config-set', allowed_algorithms='aes-cbc,null', disable_deprecated_algorithms=0)
        equal(ranked()[0], [*PAIRS[3:9:3], *PAIRS[2:9:3]], 'a list beside the preference')
        World.nl.do('config-set', allowed_algorithms='')
    equal(usable(endpoint()), list(PAIRS), 'pairs that can be used')
    for name, wrong in (('preferred-alg', 5), ('preferred-ealg', 5), ('disable-deprecated-algorithms', 2)):
        expect_error('ERANGE', World.nl.do, 'config-set', {name: wrong})


@test('E6 CONFIG', 'disable-deprecated-algorithms goes before all that a list or a request says')
def veto():
    ep = endpoint()
    kept = [p for p in PAIRS if p not in DEPRECATED]
    equal(len(kept), 5, 'pairs that are not deprecated')
    World.nl.do('config-set', disable_deprecated_algorithms=1)
    equal(ranked(), (kept, [p for p in PAIRS if p in DEPRECATED]), 'order')
    equal(usable(ep), kept, 'pairs that can be used')
    equal(usable(ep, allowed_algorithms=text(PAIRS)), kept, "pairs of a request's own list")
    equal(usable(ep, allowed_algorithms='hmac-md5-96'), [], "pairs of an own list that is deprecated")
    e = expect_error('EOPNOTSUPP', bundle, ep, auth_alg='hmac-md5-96', enc_alg='null', allowed_algorithms='hmac-md5-96',
                     text='deprecated')
    check('hmac-md5-96=null' in e.text, f'"{e.text}" does not name the pair')
    World.nl.do('config-set', allowed_algorithms='hmac-md5-96,hmac-sha-1-96')
    equal(ranked()[0], [PAIRS[3], PAIRS[5]], 'what is left of a list')
    equal(World.nl.do('config-get')['allowed-algorithms'], text((*PAIRS[6:], *PAIRS[3:6])), 'the list')
    World.nl.do('config-set', disable_deprecated_algorithms=0)
    equal(ranked()[0], [*PAIRS[6:], *PAIRS[3:6]], 'the list once they are back')


@test('E6 CONFIG', 'a configuration that leaves no pair at all is EINVAL, and changes nothing')
def nothing_allowed():
    nl = World.nl
    for first, second in ((settings(allowed_algorithms='hmac-md5-96'), settings(disable_deprecated_algorithms=1)),
                          (settings(disable_deprecated_algorithms=1), settings(allowed_algorithms='des-ede3-cbc')),
                          (settings(min_spi=1000), settings(allowed_algorithms='hmac-md5-96,hmac-sha-1-96=des-ede3-cbc',
                                                            disable_deprecated_algorithms=1))):
        nl.do('config-set', DEFAULTS)
        nl.do('config-set', first)
        was = nl.do('config-get')
        expect_error('EINVAL', nl.do, 'config-set', dict(second, **{'max-bundles': 7}), text='deprecated')
        equal(nl.do('config-get'), was, 'configuration')


@test('CONFIG', 'a list may have 512 bytes and not one more, and may end in NUL')
def long_list():
    nl, ep, cbc = World.nl, endpoint(), b'aes-cbc'
    for op in ('config-set', 'bundle-new'):
        number = nl.spec.sets[nl.spec.ops[op]['attribute-set']]['allowed-algorithms'].number

        def send(data):
            attrs = bundle_attrs(ep) if op == 'bundle-new' else {}
            nl.raw(op, nl.spec.encode(op, attrs) + nla(number, data))
            for b in nl.dump('bundle-get'):
                nl.do('bundle-del', id=b['id'])
        for data in (cbc.ljust(512), cbc.rjust(512), cbc + b'\0', cbc + b',null\0'):
            send(data)
        for data in (cbc.ljust(513), cbc + b'\0null', cbc + b'\0\0', cbc + b'\0,null', cbc.ljust(4000), b'\0\0'):
            e = expect_error('EINVAL ERANGE', send, data)
            check(e.offset, f'{e}: it does not say where')
    want = text((PAIRS[3], PAIRS[6], *PAIRS[2:9:3]))
    equal(nl.do('config-get')['allowed-algorithms'], want, 'the list')
    for none in ('', '\0'):
        nl.do('config-set', allowed_algorithms='null')
        nl.do('config-set', allowed_algorithms=none)
        equal(nl.do('config-get')['allowed-algorithms'], '', 'no list')


@test('E6 NETNS', 'each namespace has lists and preference of its own')
def namespaces():
    q = Namespace('Q')
    try:
        with q:
            nl = Family()
        World.nl.do('config-set', allowed_algorithms='aes-cbc')
        equal(nl.do('config-get'), DEFAULTS, 'configuration of the other one')
        nl.do('config-set', preferred_alg=AUTH['hmac-md5-96'], disable_deprecated_algorithms=1)
        equal(ranked()[0], list(PAIRS[3:9:3]), 'order in the one')
        equal(ranked(nl)[0], [p for p in PAIRS if p not in DEPRECATED], 'order in the other')
        expect_error('EOPNOTSUPP', bundle, endpoint(), enc_alg='null')
        bundle(endpoint(nl=nl), nl=nl, enc_alg='null')
        expect_error('EOPNOTSUPP', bundle, endpoint(P6, nl=nl), nl=nl, ue_address=U6, auth_alg='hmac-md5-96')
        nl.close()
    finally:
        q.delete()


if __name__ == '__main__':
    main(setup, before, teardown)
