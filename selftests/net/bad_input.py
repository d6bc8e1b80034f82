#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only
"""Wrong requests, derived from the YAML spec: an error with text, and nothing changed."""
import errno
import os
import random
import struct
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '../lib'))
from ims import *  # noqa: E402,F403  pylint: disable=wildcard-import,unused-wildcard-import,wrong-import-position
from nl import NLA_F_NESTED, Spec, nla  # noqa: E402  pylint: disable=wrong-import-position

# The spec does not say what may be left out; its descriptions do
OFFLOAD = {'hw-offload-interface', 'hw-offload', 'hw-offload-required'}
OPTIONAL = {'endpoint-new': {'port-ps', 'port-pc', 'guard', 'nat-traversal', 'nat-port', 'nat-shared', 'trusted',
                             *OFFLOAD},
            'endpoint-del': {'force'}, 'endpoint-set': set(),
            # Without the mode, those of a NAT have no meaning
            'bundle-new': {'port-pc', 'allowed-algorithms', 'replace', 'ue-nat-address', 'ue-nat-port', 'unmarked',
                           'cookie', 'began-clear', 'over'},
            'bundle-del': {'linger'}, 'bundle-get': set(), 'endpoint-get': set(),
            'bundle-confirm': {'older', 'over'}, 'bundle-extend': set(), 'bundle-find': set(), 'bundle-tx': {'address'},
            'config-get': set(), 'stats-get': set(), 'offload-get': {'mode'}, 'trace-get': {'ue-address'},
            'bundle-flush': {'endpoint', 'owner', 'contact', 'state', 'ue-address', 'older-than', 'linger'},
            'config-set': {'min-spi', 'max-spi', 'temporary-timeout', 'port-pc', 'port-ps', 'max-endpoints',
                           'max-bundles', 'max-pending', 'allowed-algorithms', 'preferred-alg', 'preferred-ealg',
                           'disable-deprecated-algorithms', 'max-sets', 'old-timeout', 'idle-timeout',
                           'mark-mask', 'nat-traversal', 'nat-port', 'nat-follow-address', *OFFLOAD}}
SPEC = Spec()
# What the spec's descriptions say, and its checks cannot
for a in SPEC.sets['bundle'].values():
    if a.name in ('owner', 'contact'):
        a.checks.update({'min-len': 1, 'max-len': SPEC.consts[a.name + '-max']})
    elif a.name in ('spi-uc', 'spi-us'):
        a.checks['min'] = SPEC.consts['spi-min']
    elif a.name == 'allowed-algorithms':
        a.checks['min-len'] = 1
for a in (SPEC.sets['config']['min-spi'], SPEC.sets['config']['max-spi']):
    a.checks['min'] = SPEC.consts['spi-min']
SPEC.sets['offload']['interface'].checks['min-len'] = 1
MODES = tuple((op, mode) for op, o in SPEC.ops.items() for mode in ('do', 'dump') if mode in o)


class Ground:
    """What the requests are made on: it is there before and after."""
    ep = older = b = None


def ground_bundles():
    """An older set and a newer one of a registration."""
    Ground.older = bundle(Ground.ep)
    World.nl.do('bundle-confirm', id=Ground.older['id'], lifetime=3600000)
    Ground.b = bundle(Ground.ep, port_uc=PORT_UC + 1, spi_uc=SPI_UC + 1, spi_us=SPI_US + 1)
    World.nl.do('bundle-confirm', id=Ground.b['id'], lifetime=3600000)


def lay():
    before()
    World.events.close()  # nobody listens; there would be thousands
    with World.p:
        World.events = Events()
    Ground.ep = endpoint(nat_traversal=1)
    ground_bundles()


def base(op, mode):
    """A valid request."""
    ep, b = Ground.ep['id'], Ground.b['id']
    some = {'endpoint': ep, 'owner': b'o', 'contact': b'c', 'state': 'old', 'ue-address': U4, 'older-than': b}
    return {
        ('config-get', 'do'): {},
        ('config-set', 'do'): dict(DEFAULTS, **{'allowed-algorithms': 'aes-gcm,aes-cbc', 'preferred-alg': 1,
                                           'hw-offload-interface': 'nic0'}),
        ('endpoint-new', 'do'): {'address': '192.0.2.77', 'port-ps': 9000, 'port-pc': [9001, 9002],
                                   'guard': 'reject', 'nat-traversal': 1, 'nat-port': 4700, 'nat-shared': 0,
                                   'hw-offload-interface': 'nic0', 'hw-offload': 'software', 'hw-offload-required': 0,
                                   'trusted': '198.51.100.0/24%nic0,203.0.113.0/24%nic0'},
        ('endpoint-del', 'do'): {'id': ep, 'force': True},
        ('endpoint-set', 'do'): {'id': ep, 'port-pc': list(PORT_PC)},
        ('endpoint-get', 'do'): {'id': ep},
        ('endpoint-get', 'dump'): {},
        ('bundle-new', 'do'): dict(bundle_attrs(ep, ue_address='192.0.2.78'), **{
            'port-pc': PORT_PC[0], 'mode': 'udp-enc-tun', 'allowed-algorithms': 'aes-gcm,hmac-sha-1-96=aes-cbc',
            'replace': True, 'ue-nat-address': '192.0.2.79', 'ue-nat-port': 4501, 'unmarked': True,
            'cookie': 7, 'began-clear': True}),
        ('bundle-confirm', 'do'): {'id': b, 'lifetime': 1000, 'older': 'keep', 'over': Ground.older['id']},
        ('bundle-extend', 'do'): {'id': b, 'lifetime': 1000},
        ('bundle-find', 'do'): {'address': P4, 'local-port': PORT_PS, 'ue-address': U4, 'ue-port': PORT_UC + 1},
        ('bundle-tx', 'do'): {'address': P4, 'ue-address': U4, 'ue-port': PORT_UC + 1},
        ('bundle-del', 'do'): {'id': b, 'linger': 3600000},
        ('bundle-get', 'do'): {'id': b},
        ('bundle-get', 'dump'): some,
        ('bundle-flush', 'do'): dict(some, linger=1000),
        ('offload-get', 'dump'): {'interface': 'lo', 'mode': 'crypto'},
        ('stats-get', 'do'): {},
        ('trace-get', 'dump'): {'ue-address': U4},
        ('algorithm-get', 'dump'): {},
    }[op, mode]


def bases(op, mode):
    """That, and others that ask for the same in another way."""
    b = Ground.b
    more = {'endpoint-set': ({'id': Ground.ep['id'], 'trusted': '198.51.100.0/24%nic0'},),
            'bundle-find': ({'spi': b['spi-ps']}, {'mark': b['mark']}),
            'bundle-new': (dict(bundle_attrs(Ground.ep), over=b['id']),),
            'bundle-tx': ({'id': b['id']}, {'owner': b['owner'], 'contact': b['contact']})}
    return (base(op, mode), *more.get(op, ()))


def snapshot():
    """All that a request could change.  What is left of a lifetime changes by itself."""
    nl = World.nl
    return (nl.do('config-get'), nl.dump('endpoint-get'),
            [{k: v for k, v in b.items() if k != 'lifetime'} for b in nl.dump('bundle-get')],
            World.xfrm.states(), World.xfrm.policies())


def blobs(op, attrs):
    """The attributes of a request, each on its own: [(Attr, bytes)]."""
    table = SPEC.sets[SPEC.ops[op]['attribute-set']]
    out = []
    for name, value in attrs.items():
        a = table[name]
        out += [(a, nla(a.number, a.pack(v))) for v in (value if isinstance(value, list) else [value])]
    return out


def join(items):
    return b''.join(data for _, data in items)


def bad_payloads(a, good):
    """Payloads that are wrong by themselves: (what, bytes)."""
    if a.kind == 'flag':
        yield from (('with a payload', b'\1'), ('with a payload', b'\0\0\0\0'))
        return
    n = len(good)
    yield 'empty', b''
    if a.kind == 'string' and a.checks.get('min-len'):
        yield 'a lone NUL', b'\0'
    if a.size:
        for m in {1, 2, 4, 8, 3, n - 1, n + 1, 16, 64, 4000} - {n, 0}:
            yield f'of {m} bytes', (good + bytes(4000))[:m]
        fmt = a.order + {1: 'B', 2: 'H', 4: 'I', 8: 'Q'}[a.size]
        top = (1 << 8 * a.size) - 1
        values = []
        if a.enum:
            values = [0, max(a.enum.values()) + 1, 255, 1 << 31, top]
        if 'min' in a.checks:
            values += [0, a.checks['min'] - 1]
        if a.checks.get('max', top) < top:
            values += [a.checks['max'] + 1, top, 1 << 31 if a.checks['max'] < 1 << 31 else top]
        for v in sorted(x for x in set(values) if x <= top):
            yield f'is {v}', struct.pack(fmt, v)
        return
    if a.kind == 'string' and a.name.endswith('interface'):
        yield from (('with a slash', b'a/b'), ('with a blank', b'a b'), ('with NUL in the middle', b'n\0c0'))
    elif a.kind == 'string':
        yield from (('that is no list', b'aes'), ('with NUL in the middle', good[:7] + b'\0' + good[7:]),
                    ('that ends in a comma', good + b','))
    lengths = {4000}
    if a.is_address():
        lengths |= {1, 3, 5, 8, 12, 15, 17, 32}
    if 'exact-len' in a.checks:
        lengths |= {1, a.checks['exact-len'] - 1, a.checks['exact-len'] + 1, 2 * a.checks['exact-len']}
    if 'max-len' in a.checks:
        lengths |= {a.checks['max-len'] + 1}
    if a.checks.get('min-len', 0) > 1:
        lengths |= {a.checks['min-len'] - 1}
    for m in sorted(lengths):
        yield f'of {m} bytes', (good + bytes(range(1, 251)) * 20)[:m]
    if a.is_address():
        yield 'unspecified', bytes(n)
        yield 'multicast', b'\xe0' + bytes(n - 2) + b'\1' if n == 4 else b'\xff\2' + bytes(n - 3) + b'\1'


def variations(op, mode):
    """(what, bytes, does it succeed) of everything that can be wrong with one request."""
    listed = {a.name for a in SPEC.attrs(op, mode)}
    got = set().union(*bases(op, mode))
    if got != listed:
        raise Fail(f'the request {op} of the test has {got}, the spec {listed}')
    for attrs in bases(op, mode):
        yield from variations_of(op, mode, attrs)


def variations_of(op, mode, attrs):
    items = blobs(op, attrs)
    table = SPEC.sets[SPEC.ops[op]['attribute-set']]
    listed = set(attrs)
    optional = listed if op == 'bundle-get' and mode == 'dump' else OPTIONAL[op] if listed else set()
    for a in (a for a in SPEC.attrs(op, mode) if a.name in listed):
        # Without force there are bundles in the way
        yield f'{a.name} missing', join(x for x in items if x[0] is not a), \
            a.name in optional and a.name != 'force'
    for i, (a, data) in enumerate(items):
        rest = items[:i] + items[i + 1:]
        yield f'{a.name} doubled', join(items) + data, False
        yield f'{a.name} doubled, side by side', join(items[:i + 1]) + data + join(items[i + 1:]), False
        good = a.pack(attrs[a.name][0] if isinstance(attrs[a.name], list) else attrs[a.name])
        for what, payload in bad_payloads(a, good):
            if op in ('bundle-get', 'bundle-flush', 'trace-get') and what in ('unspecified', 'multicast'):
                continue  # as a filter it matches nothing
            yield f'{a.name} {what}', join(rest) + nla(a.number, payload), False
        if a.is_address() and op == 'bundle-new':
            yield f'{a.name} of the other family', join(rest) + nla(a.number, (good * 4)[:20 - len(good)]), False
        yield f'{a.name} with the flag of a nest', join(rest) + \
            nla(a.number | NLA_F_NESTED, good), False
        # Shortened at the end, and with a length that goes past it
        if good:
            yield f'{a.name} cut off', join(rest) + data[:3 + len(good)], False
        yield f'{a.name} cut in its header', join(rest) + data[:3], False
        yield f'{a.name} longer than the message', \
            join(rest) + struct.pack('=H', len(data) + 5) + data[2:], False
        for short in (0, 3):
            yield f'{a.name} of length {short}', join(rest) + struct.pack('=H', short) + data[2:], False
    # Whatever else bundle-new has is no other way to ask for it
    ways = {a.name for a in SPEC.attrs(op, mode)} if op == 'bundle-new' else listed
    for a in table.values():
        if a.name not in ways:
            payload = bytes(a.size or 4) if a.kind not in ('flag', 'pad') else b''
            yield f'{a.name}, which is not of this operation', join(items) + nla(a.number, payload), False
    top = max(a.number for a in table.values())
    for number in (0, top + 1, top + 100, 0x3fff):
        yield f'attribute {number}, which is not known', join(items) + nla(number, b'\1\0\0\0'), False
    for n in (1, 2, 3):
        yield f'{n} bytes of garbage at the end', join(items) + b'\xff' * n, False
    yield 'garbage at the end', join(items) + b'\xff' * 64, False
    if listed - optional or op == 'config-set':
        yield 'no attributes at all', b'', False
    if op == 'endpoint-new':
        a = table['port-pc']
        rest = join(x for x in items if x[0] is not a)
        limit = SPEC.consts['port-pc-max']
        yield f'{limit + 1} port-pc', rest + b''.join(nla(a.number, a.pack(20000 + i)) for i in range(limit + 1)), False
        yield '4,000 port-pc', rest + b''.join(nla(a.number, a.pack(20000 + i)) for i in range(4000)), False
        yield f'{limit} port-pc', rest + b''.join(nla(a.number, a.pack(20000 + i)) for i in range(limit)), True


def restore():
    """After a request that was valid: as it was."""
    nl = World.nl
    nl.do('config-set', DEFAULTS)
    there = {b['id']: b['state'] for b in nl.dump('bundle-get')}
    if there != {Ground.older['id']: 'established', Ground.b['id']: 'established'}:
        for bundle_id in there:
            nl.do('bundle-del', id=bundle_id)
    for e in nl.dump('endpoint-get'):
        if e['id'] != Ground.ep['id']:
            nl.do('endpoint-del', id=e['id'])
    if not nl.dump('endpoint-get'):
        Ground.ep = endpoint(nat_traversal=1)
    if not nl.dump('bundle-get'):
        ground_bundles()
    return snapshot()


def send(op, mode, data):
    """None for success, else the NlError."""
    try:
        World.nl.raw(op, data, dump=mode == 'dump')
    except NlError as e:
        return e
    return None


@test('INPUT', 'every attribute missing, doubled, of a wrong length, out of range, of no use: {}', each=MODES, limit=600)
def wrong(case):
    op, mode = case
    lay()
    n, wrong_ones = 0, []
    valid = send(op, mode, join(blobs(op, base(op, mode))))
    check(not valid, f'the valid request is refused: {valid}')
    was = restore()
    todo, i = list(variations(op, mode)), 0
    while i < len(todo):
        what, data, may = todo[i]
        i += 1
        e = send(op, mode, data)
        n += 1
        now = snapshot()
        if e is None and not may:
            wrong_ones.append(f'{what}: no error')
        elif e is not None and may:
            wrong_ones.append(f'{what}: {e}')
        elif e is not None and not e.text:
            wrong_ones.append(f'{what}: {e} without text')
        elif e is not None and e.errno in (errno.ENOMEM, errno.EOPNOTSUPP):
            wrong_ones.append(f'{what}: {e}')
        if e is not None and now != was:
            wrong_ones.append(f'{what}: refused, and something has changed')
        if e is None or now != was:
            was = restore()
            # The ids may be others now
            todo = list(variations(op, mode))
    say(f'{op} {mode}: {n} requests')
    check(n >= 6, f'only {n} variations')
    check(not wrong_ones, f'{len(wrong_ones)} of {n}:\n' + '\n'.join(wrong_ones[:40]))


def mutate(rng, data):
    """A few bytes other, gone, more, or moved."""
    data = bytearray(data)
    for _ in range(rng.randint(1, 4)):
        at = rng.randrange(len(data)) if data else 0
        kind = rng.randrange(6)
        if kind == 0 and data:
            data[at] = rng.choice((0, 1, 0x7f, 0x80, 0xff, rng.randrange(256)))
        elif kind == 1 and data:
            data[at] ^= 1 << rng.randrange(8)
        elif kind == 2:
            del data[at:at + rng.randint(1, 12)]
        elif kind == 3:
            data[at:at] = bytes(rng.randrange(256) for _ in range(rng.randint(1, 12)))
        elif kind == 4:
            part = data[at & ~3:at + rng.randint(4, 40)]
            data[rng.randint(0, len(data)) & ~3:0] = part
        else:
            data = data[:rng.randint(0, len(data))]
    return bytes(data)


@test('INPUT', 'two thousand random changes of valid requests: an error with text and nothing changed, or success',
      limit=900)
def fuzz():
    lay()
    rng = random.Random(33203)
    modes = [m for m in MODES if base(*m)]
    was, wrong_ones, refused = restore(), [], 0
    for i in range(2000):
        op, mode = rng.choice(modes)
        data = mutate(rng, join(blobs(op, base(op, mode))))
        e = send(op, mode, data)
        what = f'{i}: {op} {mode} {data.hex()}'
        if e is None:
            if mode == 'do' and not op.endswith('get'):
                was = restore()
            continue
        refused += 1
        if not e.text:
            wrong_ones.append(f'{what}: {e} without text')
        # Each would do; all of them would take too long
        if i % 5 == 0 and snapshot() != was:
            wrong_ones.append(f'{what}: something has changed')
            was = restore()
    check(snapshot() == was, 'something has changed at last')
    say(f'{refused} of 2000 refused')
    check(refused > 1000, f'only {refused} refused')
    check(not wrong_ones, '\n'.join(wrong_ones[:20]))


@test('INPUT', 'operations that are none are refused')
def no_operation():
    lay()
    was = snapshot()
    for op in (0, SPEC.ops['event']['value'], max(o['value'] for o in SPEC.ops.values()) + 1, 255):
        for dump in (False, True):
            try:
                World.nl.raw(op, b'', dump)
            except NlError as e:
                equal(e.name, 'EOPNOTSUPP', f'operation {op}')
            else:
                raise Fail(f'operation {op} is there')
    for op, o in SPEC.ops.items():
        for has, mode in (('do', 'dump'), ('dump', 'do')):
            if has not in o or mode in o:
                continue
            try:
                World.nl.raw(op, join(blobs(op, base(op, has))), mode == 'dump')
            except NlError as e:
                check(e.name in ('EOPNOTSUPP', 'EINVAL'), f'{op} {mode}: {e}')
            else:
                raise Fail(f'{op} has a {mode}')
    equal(snapshot(), was, 'what is there')


@test('INPUT', 'a guard that is none is out of range')
def guards():
    lay()
    was = snapshot()
    for value in (0, max(SPEC.enums['guard'].values()) + 1, 255, 0xffffffff):
        expect_error('ERANGE', endpoint, '192.0.2.77', guard=value)
    equal(snapshot(), was, 'what is there')


@test('INPUT', 'an error says which attribute it is about')
def offsets():
    lay()
    nl, ep = World.nl, Ground.ep['id']
    for op, attrs, name in (('bundle-confirm', [('id', Ground.b['id']), ('lifetime', 0)], 'lifetime'),
                            ('bundle-get', [('id', 0)], 'id'),
                            ('config-set', [('max-bundles', 5), ('max-endpoints', 1025)], 'max-endpoints'),
                            ('bundle-new', list(bundle_attrs(ep, ue_address='192.0.2.9', spi_us=255).items()), 'spi-us')):
        data = nl.spec.encode(op, attrs)
        e = expect_error('EINVAL ERANGE', nl.raw, op, data)
        at = 20
        for a, v in attrs:
            if a == name:
                break
            at += len(nl.spec.encode(op, [(a, v)]))
        check(e.offset == at or e.offset is None and name.replace('-', '_') in e.text,
              f'{op}: {e}, offset {e.offset}: {name}, at {at}, is meant')


if __name__ == '__main__':
    main(setup, lay, teardown)
