#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only
"""SPIs and ports: which are chosen, which are refused, and what a refusal leaves behind."""
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '../lib'))
from ims import *  # noqa: E402,F403  pylint: disable=wildcard-import,unused-wildcard-import,wrong-import-position


def spi_range(low, high):
    World.nl.do('config-set', min_spi=low, max_spi=high, max_bundles=(high - low + 1) // 2)


def ours(*bundles):
    return [b[k] for b in bundles for k in ('spi-ps', 'spi-pc')]


def many(ep, n, first=0, **more):
    """n bundles of as many UEs."""
    return [bundle(ep, ue_address=f'198.51.{i >> 8}.{i & 255}', **more) for i in range(first, first + n)]


@test('A9', 'port {} is refused, as a server and as a client port, at either end', each=(5060, 5061))
def sip_ports(port):
    expect_error('EINVAL', endpoint, port_ps=port, text=str(port))
    for pool in (port, [port, 7000], [7000, port]):
        expect_error('EINVAL', endpoint, port_pc=pool, text=str(port))
    expect_error('EINVAL', World.nl.do, 'config-set', port_ps=port)
    for pool in (port, [port, 7000], [7000, port]):
        expect_error('EINVAL', World.nl.do, 'config-set', port_pc=pool)
    ep = endpoint()
    expect_error('EINVAL', bundle, ep, port_uc=port, text=str(port))
    expect_error('EINVAL', bundle, ep, port_us=port, text=str(port))
    nothing_left(policies=3)


@test('A9', 'client and server port differ, at either end')
def same_ports():
    expect_error('EINVAL', endpoint, port_ps=7000, port_pc=7000, text='7000')
    expect_error('EINVAL', endpoint, port_ps=7000, port_pc=[6999, 7000], text='7000')
    expect_error('EINVAL', endpoint, port_ps=7000, port_pc=[7001, 7001], text='7001')
    expect_error('EINVAL', World.nl.do, 'config-set', port_pc=7000, port_ps=7000)
    expect_error('EINVAL', World.nl.do, 'config-set', port_pc=[7001, 7000], port_ps=7000)
    expect_error('EINVAL', World.nl.do, 'config-set', port_pc=[7001, 7001], text='7001')
    expect_error('EINVAL', World.nl.do, 'config-set', port_pc=[*range(6001, 6066)], text='64')
    config = World.nl.do('config-get')
    expect_error('EINVAL', World.nl.do, 'config-set', port_pc=config['port-ps'])
    equal(World.nl.do('config-get'), config, 'config')
    equal(World.nl.dump('endpoint-get'), [], 'endpoints')
    expect_error('EINVAL', bundle, endpoint(), port_uc=7000, port_us=7000)
    nothing_left(policies=3)


@test('D12', 'an endpoint that names no client port has two: a set and its successor differ in it')
def two_client_ports():
    ep = World.nl.do('endpoint-new', address=P4)
    old = bundle(ep)
    World.nl.do('bundle-confirm', id=old['id'], lifetime=600000)
    new = bundle(ep, spi_uc=3000, spi_us=3001)
    equal(old['port-us'], new['port-us'], 'port-us')
    equal({old['port-pc'], new['port-pc']}, {5062, 5064}, 'port-pc of both')
    World.nl.do('endpoint-del', id=ep['id'], force=True)
    World.nl.do('config-set', port_pc=[7001, 7003, 7005])
    equal(World.nl.do('config-get')['port-pc'], [7001, 7003, 7005], 'config')
    equal(World.nl.do('endpoint-new', address=P4)['port-pc'], [7001, 7003, 7005], 'client ports')


@test('A9', 'a port of another endpoint of the address is refused, of another address not')
def port_taken():
    ep = endpoint()
    for more in ({'port_ps': PORT_PS, 'port_pc': 9000}, {'port_ps': 9000, 'port_pc': [9001, PORT_PC[1]]},
                 {'port_ps': PORT_PC[0], 'port_pc': 9000}, {'port_ps': 9000, 'port_pc': PORT_PS}):
        expect_error('EADDRINUSE', endpoint, text=str(ep['id']), **more)
    endpoint('192.0.2.3')
    endpoint(P6)
    equal(World.p.count('policy'), 9, 'policies')


@test('A9', 'a bundle gets the port-pc that it names, else one of the pool in turn')
def pool():
    ep = endpoint()
    for port in (*PORT_PC, PORT_PC[0]):
        b = bundle(ep, port_pc=port)
        equal(b['port-pc'], port, 'port-pc')
        World.nl.do('bundle-del', id=b['id'])
    for port in (PORT_PS, 7999):
        expect_error('EINVAL', bundle, ep, port_pc=port, text=str(port))
    equal({b['port-pc'] for b in many(ep, 2)}, set(PORT_PC), 'ports of two bundles in a row')


@test('B1', 'SPIs are unique, in the range, and it can be used up: {}', each=('256 to 511', '4294967039 to 4294967294'))
def whole_range(text):
    low, high = map(int, text.split(' to '))
    spi_range(low, high)
    # Two are somebody else's, so that max_bundles is not what ends it
    n = (high - low + 1) // 2 - 1
    eps = [endpoint(), endpoint('192.0.2.3')]
    for addr in (P4, '192.0.2.3'):
        for spi in (low + 100, high):
            theirs(U4, addr, spi)
    made = many(eps[0], n // 2) + many(eps[1], n - n // 2, n)
    spis = ours(*made)
    equal(len(set(spis)), 2 * n, 'different SPIs')
    check(all(low <= s <= high for s in spis), 'out of the range')
    e = expect_error('ENOSPC', many, eps[0], 1, 5000)
    check(str(low) in e.text, f'"{e.text}" does not name the range')
    equal(World.p.count(), 4 * n + 4, 'SAs')
    # What is given back can be had again
    for b in made[::7]:
        World.nl.do('bundle-del', id=b['id'])
        again, = many(eps[1], 1, 6000 + b['id'])
        equal(set(ours(again)), set(ours(b)), 'the only SPIs that are free')
    dump = World.nl.dump('bundle-get')
    equal(sorted(ours(*dump)), sorted(spis), 'SPIs in the dump')


@test('B1', 'unique over the families and all endpoints too')
def over_families():
    spi_range(300, 307)
    four, six = endpoint(), endpoint(P6)
    made = many(four, 2) + [bundle(six, spi_uc=1000 + i, spi_us=2000 + i) for i in range(2)]
    equal(sorted(ours(*made)), list(range(300, 308)), 'SPIs')


@test('B1', 'a range that begins below 256, or is no range, is refused')
def bad_range():
    was = World.nl.do('config-get')
    for low, high in ((255, 1000), (0, 1000), (1000, 999), (1000, 1000), (256, 255)):
        expect_error('EINVAL ERANGE', spi_range, low, high)
    equal(World.nl.do('config-get'), was, 'config')


@test('B2', "ours are never the UE's")
def no_reflection():
    ep = endpoint()
    for low in range(1000, 1040, 4):
        spi_range(low, low + 3)
        for pair in ((low, low + 1), (low + 3, low), (low + 2, low + 3)):
            b = bundle(ep, spi_uc=pair[0], spi_us=pair[1])
            equal(set(ours(b)), set(range(low, low + 4)) - set(pair), 'SPIs')
            World.nl.do('bundle-del', id=b['id'])
    spi_range(1000, 1002)
    expect_error('ENOSPC', bundle, ep, spi_uc=1000, spi_us=1002)
    nothing_left(policies=3)
    b = bundle(ep, spi_uc=1001, spi_us=70000)
    equal(set(ours(b)), {1000, 1002}, 'SPIs')


@test('B5', "of the UE's: equal ones, 0 and those below 256 are refused, high ones are not")
def ue_spis():
    ep = endpoint()
    expect_error('EINVAL', bundle, ep, spi_uc=5000, spi_us=5000)
    for bad in (0, 1, 255):
        expect_error('EINVAL ERANGE', bundle, ep, spi_uc=bad)
        expect_error('EINVAL ERANGE', bundle, ep, spi_us=bad)
    nothing_left(policies=3)
    for good in ((256, 257), (2594505554, 3759706211), (0xffffffff, 0x80000000)):
        b = bundle(ep, spi_uc=good[0], spi_us=good[1])
        equal((b['spi-uc'], b['spi-us']), good, 'SPIs')
        equal(set(s['spi'] for s in World.p.states()), {*good, *ours(b)}, 'SPIs in ip xfrm state')
        World.nl.do('bundle-del', id=b['id'])


@test('B5', 'ours do not begin at a fixed value')
def random_start():
    ep, seen = endpoint(), set()
    for _ in range(8):
        b = bundle(ep)
        seen |= set(ours(b))
        World.nl.do('bundle-del', id=b['id'])
    check(len(seen) > 8, f'always the same: {sorted(seen)}')


@test('B5', 'ours are spread over the range, where XFRM finds each in a bucket of its own')
def spread():
    made = many(endpoint(), 300)
    check(len({s >> 24 for s in ours(*made)}) > 2, 'first bytes')
    runs = {s >> 8 for s in ours(*made)}
    check(len(runs) < 8, f'{len(runs)} runs: they take memory')


def theirs(src, dst, spi):
    World.p.ip(f'xfrm state add src {src} dst {dst} proto esp spi {spi} reqid 77 mode transport '
               f'auth-trunc hmac(md5) 0x{IK.hex()} 96 enc ecb(cipher_null) ""')


@test('C3', 'the SA ({}) is there already: EEXIST with text, nothing left',
      each=tuple((f, s) for f in ADDRESSES for s in ('spi-uc', 'spi-us')))
def occupied(case):
    fam, which = case
    p, u = ADDRESSES[fam]
    ep = endpoint(p)
    spi_range(2000, 2001)  # what is lost of it would be missed
    spi = {'spi-uc': SPI_UC, 'spi-us': SPI_US}[which]
    theirs('192.0.2.77' if fam == 'IPv4' else '2001:db8::77', u, spi)
    was, policies = World.p.ip('xfrm state'), World.p.ip('xfrm policy')
    World.events.drain()
    for _ in range(3):
        e = expect_error('EEXIST', bundle, ep, ue_address=u, text=str(spi))
        check(u in e.text, f'"{e.text}" does not name {u}')
    equal(World.nl.dump('bundle-get'), [], 'bundles')
    equal(World.nl.do('endpoint-get', id=ep['id'])['bundles'], 0, 'bundles of the endpoint')
    equal(World.p.ip('xfrm state'), was, 'ip xfrm state')
    equal(World.p.ip('xfrm policy'), policies, 'ip xfrm policy')
    wait(lambda: World.p.count() == 1, 'only theirs is counted')
    equal(World.events.drain(), [], 'events')
    World.p.ip('xfrm state flush')
    b = bundle(ep, ue_address=u)
    equal(sorted(ours(b)), [2000, 2001], 'SPIs')
    # The range and max-bundles are used up with it
    equal([e['type'] for e in (World.events.next(), *World.events.drain())], ['created'] + ['nearly-full'] * 2, 'events')


@test('C3 B3', 'inbound SPIs of somebody else are passed over, {}', each=ADDRESSES)
def passed_over(fam):
    p, u = ADDRESSES[fam]
    ep = endpoint(p)
    for low in range(3000, 3040, 4):
        spi_range(low, low + 3)
        World.p.ip('xfrm state flush')
        theirs(u, p, low)
        theirs(u, p, low + 3)
        was = World.p.ip('xfrm state')
        b = bundle(ep, ue_address=u)
        equal(set(ours(b)), {low + 1, low + 2}, 'SPIs')
        expect_error('ENOSPC', bundle, ep, ue_address=u, spi_uc=9000, spi_us=9001, text=str(low))
        World.nl.do('bundle-del', id=b['id'])
        equal(World.p.ip('xfrm state'), was, 'ip xfrm state')
    World.p.ip('xfrm state flush')
    for spi in range(low, low + 4):
        theirs(u, p, spi)
    was = World.p.ip('xfrm state')
    expect_error('ENOSPC', bundle, ep, ue_address=u, text=str(low))
    equal(World.p.ip('xfrm state'), was, 'ip xfrm state')
    equal(World.nl.dump('bundle-get'), [], 'bundles')
    World.p.ip('xfrm state flush')
    nothing_left(policies=3)


@test('C3', 'somebody else has a policy on a port: EEXIST with text, nothing left')
def policy_occupied():
    World.p.ip(f'xfrm policy add src {P4} dst 0.0.0.0/0 sport {PORT_PC[1]} dir out priority 1 action block')
    was = World.p.ip('xfrm policy')
    expect_error('EEXIST', endpoint, text=str(PORT_PC[1]))
    equal(World.nl.dump('endpoint-get'), [], 'endpoints')
    equal(World.p.ip('xfrm policy'), was, 'ip xfrm policy')


@test('B4', 'the same SPIs of two UEs are no clash, of one UE the later ones are kept out of the tables')
def repeated():
    ep = endpoint()
    many(ep, 3)
    for n, more in ((2, {}), (3, {'spi_uc': SPI_US, 'spi_us': 7777777})):
        many(ep, 1, contact=b'another', port_uc=9000, port_us=9001, **more)
        equal(World.p.count(), 12 + n, 'SAs')


@test('QUOTA', 'max-endpoints, max-bundles and max-pending are kept: ENOSPC with text')
def quota():
    World.nl.do('config-set', max_endpoints=2, max_bundles=3, max_pending=2)
    eps = [endpoint(), endpoint('192.0.2.3')]
    expect_error('ENOSPC', endpoint, '192.0.2.4', text='max_endpoints')
    made = many(eps[0], 2)
    expect_error('ENOSPC', many, eps[1], 1, 10, text='max_pending')
    World.nl.do('bundle-confirm', id=made[0]['id'], lifetime=600000)
    made += many(eps[1], 1, 10)
    World.nl.do('bundle-confirm', id=made[1]['id'], lifetime=600000)
    expect_error('ENOSPC', many, eps[1], 1, 11, text='max_bundles')
    World.nl.do('bundle-del', id=made[0]['id'])
    many(eps[1], 1, 12)
    equal(World.p.count(), 12, 'SAs')


# What makes each of them scarce, and how much there is of it then
SCARCE = {'endpoints': ({'max_endpoints': 10}, 10), 'registrations': ({'mark_mask': 0x3f0}, 15),
          'bundles': ({'max_bundles': 10}, 10), 'pending': ({'max_pending': 10}, 10),
          'spis': ({'min_spi': 1000, 'max_spi': 1019, 'max_bundles': 10}, 20)}


def told(resource):
    """What events have said of it, since last asked."""
    return [(e['used'], e['limit']) for e in World.events.drain()
            if e['type'] == 'nearly-full' and e['resource'] == resource]


@test('QUOTA', '{} nearly exhausted: told at 90 %, and again when less than 80 % have been in use', each=SCARCE)
def nearly_full(resource):
    config, limit = SCARCE[resource]
    World.nl.do('config-set', **config)
    eps = [] if resource == 'endpoints' else [endpoint()]
    made, each = (eps, 1) if resource == 'endpoints' else ([], 2 if resource == 'spis' else 1)
    # The least that is near, and the most that is not any more
    near, far = -(-limit * 9 // 10 // each), (limit * 4 // 5 - (limit * 4 % 5 == 0)) // each

    def use(n):
        while len(made) > n:
            World.nl.do('endpoint-del' if made is eps else 'bundle-del', id=made.pop()['id'])
        while len(made) < n:
            made.extend([endpoint(f'192.0.2.{100 + len(eps)}')] if made is eps else many(eps[0], 1, len(made)))
        return told(resource)

    was = World.nl.do('stats-get')['nearly-full']
    for n, want in ((near - 1, []), (near, [(near * each, limit)]), (limit // each, []), (far + 1, []), (near, []),
                    (far, []), (near - 1, []), (near, [(near * each, limit)]), (0, [])):
        equal(use(n), want, f'{n * each} of {limit}')
    check(World.nl.do('stats-get')['nearly-full'] >= was + 2, 'nearly-full of stats')


@test('QUOTA', 'the kernel log says in which namespace a limit is near')
def which_namespace():
    with World.p, open('/proc/thread-self/ns/net', 'rb') as f:
        number = os.fstat(f.fileno()).st_ino
    with open('/dev/kmsg', 'rb', buffering=0) as f:
        os.set_blocking(f.fileno(), False)
        os.lseek(f.fileno(), 0, os.SEEK_END)
        many(endpoint(), 3)
        lines = []

        def is_told():
            # The kernel says no more than so many in a while, and may have
            for n in (100, 3):
                World.nl.do('config-set', max_bundles=n)
            try:
                while True:
                    lines.append(os.read(f.fileno(), 8192).decode(errors='replace'))
            except BlockingIOError:
                pass
            return any(f'ims_ipsec: network namespace {number}: 3 of 3 bundles (max_bundles) are in use' in x for x in lines)
        wait(is_told, 'it is in the log')


@test('QUOTA', 'a limit that is set so that it is nearly exhausted is told of, and one that is raised forgotten')
def limit_lowered():
    made = many(endpoint(), 9)
    for n, want in ((12, []), (10, [(9, 10)]), (5, []), (100, []), (5, [(9, 5)]), (9, []), (100, [])):
        World.nl.do('config-set', max_bundles=n)
        equal(told('bundles'), want, f'max-bundles {n}')
    stats = World.nl.do('stats-get')
    equal([stats[k] for k in ('bundles', 'max-bundles', 'pending', 'max-pending', 'endpoints', 'max-endpoints', 'spis-used',
                              'registrations', 'max-registrations')],
          [9, 100, 9, DEFAULTS['max-pending'], 1, DEFAULTS['max-endpoints'], 18, 9, (1 << 22) - 1], 'stats')
    # What a challenge waits for is pending no more, when it is answered and when it is taken back
    World.nl.do('config-set', max_pending=10)
    equal(told('pending'), [(9, 10)], 'pending')
    World.nl.do('bundle-confirm', id=made[0]['id'], lifetime=600000)
    World.nl.do('bundle-del', id=made[1]['id'], linger=60000)
    many(World.nl.dump('endpoint-get')[0], 2, 20)
    equal(told('pending'), [(9, 10)], 'pending again')


@test('IDS', 'ids of endpoints and bundles are not used again')
def ids():
    seen_eps, seen_bundles = [], []
    for _ in range(5):
        ep = endpoint()
        seen_eps.append(ep['id'])
        for _ in range(5):
            b = bundle(ep)
            seen_bundles.append(b['id'])
            World.nl.do('bundle-del', id=b['id'])
        World.nl.do('endpoint-del', id=ep['id'])
    for seen in (seen_eps, seen_bundles):
        equal(len(set(seen)), len(seen), f'different ids in {seen}')
        check(0 not in seen, 'id 0')


@test('IDS', 'what is not there is ENOENT with text')
def unknown():
    ep = endpoint()
    b = bundle(ep)
    for op, attrs in (('endpoint-get', {}), ('endpoint-del', {}), ('endpoint-del', {'force': True})):
        expect_error('ENOENT', World.nl.do, op, attrs, id=ep['id'] + 1)
    for op, attrs in (('bundle-get', {}), ('bundle-del', {}), ('bundle-del', {'linger': 1000}),
                      ('bundle-confirm', {'lifetime': 1000})):
        expect_error('ENOENT', World.nl.do, op, attrs, id=b['id'] + 1)
    expect_error('ENOENT', bundle, ep['id'] + 1, ue_address='192.0.2.9')
    expect_error('EBUSY', World.nl.do, 'endpoint-del', id=ep['id'])
    equal(World.nl.dump('bundle-get')[0]['id'], b['id'], 'the bundle')


@test('DUMP', 'filters: endpoint, owner, contact, state, ue-address, and all at once')
def filters():
    eps = [endpoint(), endpoint(P6)]
    made = many(eps[0], 1, owner=b'a', contact=b'1')
    World.nl.do('bundle-confirm', id=made[0]['id'], lifetime=600000)
    made += many(eps[0], 1, 1, owner=b'a', contact=b'1') + many(eps[0], 1, 5, owner=b'b', contact=b'1') + \
        [bundle(eps[1], owner=b'a', contact=b'2')]
    # In no order that is promised
    got = lambda **f: sorted(b['id'] for b in World.nl.dump('bundle-get', **f))  # noqa: E731
    ids_of = lambda *n: [made[i]['id'] for i in n]  # noqa: E731
    equal(got(), ids_of(0, 1, 2, 3), 'all')
    equal(got(endpoint=eps[1]['id']), ids_of(3), 'endpoint')
    equal(got(owner=b'a'), ids_of(0, 1, 3), 'owner')
    equal(got(owner=b'aa'), [], 'another owner')
    equal(got(contact=b'1'), ids_of(0, 1, 2), 'contact')
    equal(got(state='established'), ids_of(0), 'state')
    equal(got(state='temporary'), ids_of(1, 2, 3), 'state')
    equal(got(ue_address='198.51.0.1'), ids_of(1), 'ue-address')
    equal(got(ue_address=U6), ids_of(3), 'ue-address')
    equal(got(endpoint=eps[0]['id'], owner=b'a', contact=b'1', state='temporary', ue_address='198.51.0.1'),
          ids_of(1), 'all filters')
    equal([(e['id'], e['bundles']) for e in World.nl.dump('endpoint-get')],
          [(eps[0]['id'], 3), (eps[1]['id'], 1)], 'endpoints')
    for b in made:
        got_one = World.nl.do('bundle-get', id=b['id'])
        for k in set(b) - {'lifetime', 'state'}:
            equal(got_one[k], b[k], k)


@test('DUMP', 'a dump is right while bundles come and go')
def changing_dump():
    ep = endpoint()
    made = many(ep, 300)
    stay = {b['id'] for b in made[1::2]}
    with World.p:
        reader = Family()
    # The first part is made at once; the rest when it is read
    reader.send(reader.id, reader.header('bundle-get'), 0x301)
    for b in made[::2]:
        World.nl.do('bundle-del', id=b['id'])
    many(ep, 20, 1000)
    got = [b['id'] for b in reader.results('bundle-get', reader.answer())]
    reader.close()
    equal(len(set(got)), len(got), 'each one once')
    check(stay <= set(got), 'one is missing that was there all the time')


if __name__ == '__main__':
    main(setup, before, teardown)
