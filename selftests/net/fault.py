#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only
"""Allocations that fail, one after the other: all or nothing (C3)."""
import errno
import os
import struct
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '../lib'))
from ims import *  # noqa: E402,F403  pylint: disable=wildcard-import,unused-wildcard-import,wrong-import-position
from nic import Nic, Sim  # noqa: E402  pylint: disable=wrong-import-position

FAIL_NTH = '/proc/thread-self/fail-nth'
FAILSLAB = '/sys/kernel/debug/failslab'
NAT = {'IPv4': '203.0.113.77', 'IPv6': '2001:db8:77::77'}


def prepare():
    if not os.path.exists(FAIL_NTH):
        raise Skip('this kernel cannot make allocations fail (CONFIG_FAULT_INJECTION)')
    if not os.path.isdir(FAILSLAB):
        subprocess.run(['mount', '-t', 'debugfs', 'none', '/sys/kernel/debug'], check=False)
    # Not only those that may not sleep; and without a stack trace for each
    for name, value in (('ignore-gfp-wait', 'N'), ('verbose', '0')):
        with open(f'{FAILSLAB}/{name}', 'w', encoding='ascii') as f:
            f.write(value)


def failing(n, op, attrs):
    """The request with its n-th allocation failing: was there one, and how it ended."""
    nl = World.nl
    nl.seq += 1
    payload = nl.header(op) + nl.spec.encode(op, attrs)
    message = struct.pack('=IHHII', 16 + len(payload), nl.id, 5, nl.seq, 0) + payload
    fd = os.open(FAIL_NTH, os.O_RDWR)
    text = b'%d' % n
    result = None
    try:
        os.write(fd, text)
        nl.sock.send(message)
    except OSError as e:
        result = e
    left = int(os.pread(fd, 32, 0).split(b'\0')[0])
    os.write(fd, b'0')
    os.close(fd)
    if result is None:
        try:
            result = nl.results(op, nl.answer())
        except OSError as e:
            result = e
    return left == 0, result


def all_of_them(op, attrs, undo, left):
    """n = 1, 2, … until none fails any more; left() says what is there."""
    failed, was = 0, left()
    for n in range(1, 3000):
        hit, result = failing(n, op, attrs)
        if isinstance(result, OSError):
            check(hit, f'{op} fails without cause: {result}')
            check(result.errno in (errno.ENOMEM, errno.ENOBUFS), f'{op}, allocation {n}: {result}')
            failed += 1
            if result.errno == errno.ENOBUFS:
                # It may be the acknowledgement that there was no memory for
                undo(None)
            equal(left(), was, f'what is left after allocation {n} of {op} has failed')
        else:
            undo(result)
            equal(left(), was, f'what is left after {op} and its undoing')
            if not hit:
                break
    else:
        raise Fail('always another allocation')
    say(f'{op}: {n - 1} allocations, {failed} errors')
    # The policies or SAs alone are more than this
    check(failed >= 8, f'only {failed} errors: were they made to fail at all?')


def table_sizes():
    return (len(World.nl.dump('endpoint-get')), len(World.nl.dump('bundle-get')),
            len(World.xfrm.states()), len(World.xfrm.policies()),
            sum(e['bundles'] for e in World.nl.dump('endpoint-get')))


@test('FAULT C3', 'bundle-new with each of its allocations failing: ENOMEM, nothing left, {}',
      each=(*ADDRESSES, *((f, 'udp-enc-tun') for f in ADDRESSES), ('IPv4', 'udp-enc-tun unmarked')), limit=600)
def bundle_new(case):
    prepare()
    fam, mode = case if isinstance(case, tuple) else (case, 'trans')
    p, u = ADDRESSES[fam]
    ep = endpoint(p, nat_traversal=int(mode != 'trans'))
    nat = {'mode': 'udp-enc-tun', 'ue_nat_address': NAT[fam], 'ue_nat_port': 61000} if mode != 'trans' else {}
    if 'unmarked' in mode:
        nat['unmarked'] = True
    # Two SPIs: a lost one would end it
    World.nl.do('config-set', min_spi=5000, max_spi=5001, max_bundles=1)
    World.nl.do('bundle-del', id=bundle(ep, ue_address=u, **nat)['id'])  # what is loaded once

    def undo(_):
        for b in World.nl.dump('bundle-get'):
            World.nl.do('bundle-del', id=b['id'])
    World.events.close()
    all_of_them('bundle-new', bundle_attrs(ep, ue_address=u, **nat), undo, table_sizes)
    with World.p:
        World.events = Events()
    all_of_them('bundle-new', bundle_attrs(ep, ue_address=u, **nat), undo, table_sizes)
    nothing_left(policies=3)


@test('FAULT C3', 'bundle-new to which another one makes way, each of its allocations failing: what there was is as it was, {}',
      each=('trans', 'udp-enc-tun'), limit=600)
def makes_way(mode):
    prepare()
    ep = endpoint(nat_traversal=1, port_pc=[PORT_PC[0]])
    more = {'ue_address': U4, **({'mode': mode, 'ue_nat_address': NAT['IPv4']} if mode != 'trans' else {})}
    World.nl.do('config-set', max_pending=1, max_bundles=2)
    kept = bundle(ep, **more)
    World.nl.do('bundle-confirm', id=kept['id'], lifetime=600000)
    # The same SPIs as those of the one, and the same ports as those of the other
    attrs = bundle_attrs(ep, port_uc=PORT_UC + 1, **more)
    waiting = World.nl.do('bundle-new', attrs)['id']

    def left():
        return (sorted((b['id'], b['state']) for b in World.nl.dump('bundle-get')), World.p.count('policy'),
                sorted((s['src'], s['dst'], s['spi'], s['enc']) for s in World.p.states() if s['dst'] != P4))
    failed, was = 0, left()
    World.events.close()
    try:
        for n in range(1, 3000):
            hit, result = failing(n, 'bundle-new', attrs)
            now = left()
            if isinstance(result, OSError) and now == was:
                check(hit and result.errno in (errno.ENOMEM, errno.ENOBUFS), f'bundle-new, allocation {n}: {result}')
                failed += 1
                continue
            # It was made, and perhaps there was no memory for the answer
            check(not isinstance(result, OSError) or result.errno == errno.ENOBUFS, f'bundle-new, allocation {n}: {result}')
            new = next(b for b, _ in now[0] if b != kept['id'])
            check(new != waiting, 'it is the same one')
            equal(now, ([(kept['id'], 'established'), (new, 'temporary')], *was[1:]), f'after allocation {n} has failed')
            waiting, was = new, now
            if not hit:
                break
    finally:
        with World.p:
            World.events = Events()
    check(failed >= 8, f'only {failed} errors: were they made to fail at all?')
    for b in (waiting, kept['id']):
        World.nl.do('bundle-del', id=b)
    nothing_left(policies=2)


@test('FAULT', 'bundle-new with each of its allocations failing, an interface to do the work: nothing left, {}',
      each=tuple((d, how) for d in (Sim, Nic) for how in ('wished', 'demanded')), limit=600)
def offloaded(case):
    prepare()
    device, how = case
    with device() as dev:
        ep = endpoint(hw_offload_interface=dev.name, hw_offload_required=int(how == 'demanded'))
        more = {'ue_address': U4, 'auth_alg': 'null', 'enc_alg': 'aes-gcm'}
        # Two SPIs: a lost one would end it
        World.nl.do('config-set', min_spi=5000, max_spi=5001, max_bundles=1)
        World.nl.do('bundle-del', id=bundle(ep, **more)['id'])  # what is loaded once
        seen = set()

        def undo(_):
            for b in World.nl.dump('bundle-get'):
                there = b['offload'] == 'crypto'
                equal(dev.sas(), {spi: sa[4] for spi, sa in table(b).items()} if there else {}, 'SAs on the device')
                seen.add((b['offload'], b.get('offload-reason')))
                World.nl.do('bundle-del', id=b['id'])

        def left():
            return *table_sizes(), dev.sas(), World.nl.do('endpoint-get', id=ep['id'])['hw-offload-bundles']
        World.events.close()
        try:
            all_of_them('bundle-new', bundle_attrs(ep, **more), undo, left)
        finally:
            with World.p:
                World.events = Events()
        # Whole, and on the device, or not at all, for that reason; netdevsim allocates nothing
        wanted = {('crypto', None)}
        if device is Nic and how == 'wished':
            wanted.add(('software', 'no-memory'))
        equal(seen, wanted, 'what became of them')
        World.nl.do('endpoint-del', id=ep['id'])
        equal(dev.sas(), {}, 'SAs on the device')
        nothing_left()


@test('FAULT', 'endpoint-new with each of its allocations failing: ENOMEM, nothing left, {}',
      each=(*((f, 'drop') for f in ADDRESSES), ('IPv4', 'reject'), ('IPv6', 'bypass'),
            *((f, 'drop', 'nat-traversal') for f in ADDRESSES)), limit=600)
def endpoint_new(case):
    prepare()
    fam, guard = case[:2]

    def undo(_):
        for e in World.nl.dump('endpoint-get'):
            World.nl.do('endpoint-del', id=e['id'])
    attrs = {'address': ADDRESSES[fam][0], 'port-ps': PORT_PS, 'port-pc': PORT_PC, 'guard': guard, 'nat-traversal': len(case) - 2}
    all_of_them('endpoint-new', attrs, undo, table_sizes)
    nothing_left()
    # Its socket has gone with it
    World.p.udp(ADDRESSES[fam][0], 4500).close()
    # The guard is whole after all that
    ep = endpoint(ADDRESSES[fam][0])
    p, u = ADDRESSES[fam]
    free = World.p.udp(p, 9999)
    World.wire.send(ip(u, p, UDP, layer4(u, p, UDP, PORT_UC, PORT_PS, b'')),
                    ip(u, p, UDP, layer4(u, p, UDP, 9999, 9999, b'marker')))
    equal(receive(free), b'marker', 'a port that is not protected')
    free.close()
    equal(World.nl.do('endpoint-get', id=ep['id'])['drop-plaintext-in'], 1, 'drop-plaintext-in')


@test('FAULT', 'endpoint-new and endpoint-set with trusted, endpoint-set with port-pc, each of their allocations failing: all or nothing, {}',
      each=ADDRESSES, limit=600)
def endpoint_set(fam):
    prepare()
    few = {'IPv4': '10.1.0.0/16%lo', 'IPv6': '2001:db8:1::/48%lo'}[fam]
    many = {'IPv4': '10.1.0.0/16%lo,10.2.0.0/16%lo,10.2.0.0/16%nosuch0,10.3.0.0/16%lo',
            'IPv6': '2001:db8:1::/48%lo,2001:db8:2::/48%lo,2001:db8:2::/48%nosuch0,2001:db8:3::/48%lo'}[fam]

    def delete(_):
        for e in World.nl.dump('endpoint-get'):
            World.nl.do('endpoint-del', id=e['id'])
    all_of_them('endpoint-new', {'address': ADDRESSES[fam][0], 'port-ps': PORT_PS, 'port-pc': PORT_PC, 'trusted': many}, delete,
                table_sizes)
    ep = endpoint(ADDRESSES[fam][0], trusted=few)

    def left():
        e = World.nl.do('endpoint-get', id=ep['id'])
        return sorted(e['port-pc']), e['trusted'], World.p.count('policy')
    for name, before, after in (('trusted', few, many), ('port-pc', [*PORT_PC], [PORT_PC[1], 9001, 9002, 9003, 9004])):
        def undo(_, name=name, before=before):
            World.nl.do('endpoint-set', {'id': ep['id'], name: before})
        all_of_them('endpoint-set', {'id': ep['id'], name: after}, undo, left)
    World.nl.do('endpoint-del', id=ep['id'])
    nothing_left()


@test('FAULT', 'bundle-confirm and bundle-del do what they say or fail, whatever fails')
def others():
    prepare()
    ep = endpoint()
    hits = 0
    for op, more in (('bundle-confirm', {'lifetime': 600000}), ('bundle-del', {'linger': 60000}), ('bundle-del', {})):
        for n in range(1, 200):
            b = bundle(ep)
            hit, result = failing(n, op, {'id': b['id'], **more})
            hits += hit
            there = [x['state'] for x in World.nl.dump('bundle-get')]
            if not isinstance(result, OSError):
                expected = {'bundle-confirm': ['established']}.get(op, ['old'] if more else [])
                equal(there, expected, f'after {op}, allocation {n} failing')
            else:
                check(hit, f'{op} fails without cause: {result}')
            for x in World.nl.dump('bundle-get'):
                World.nl.do('bundle-del', id=x['id'])
            equal(World.xfrm.states(), [], 'SAs')
            if not hit:
                break
    check(hits >= 6, f'only {hits} allocations have failed')


@test('FAULT G6', 'what there is no memory for when its turn has come is tried again', limit=600)
def turn_comes():
    prepare()
    ep = endpoint(nat_traversal=1, port_pc=[PORT_PC[0]])
    more = {'mode': 'udp-enc-tun', 'unmarked': True, 'ue_address': '10.0.0.2'}
    bundle(ep, owner=b'first', ue_nat_address='203.0.113.77', **more)
    equal(World.p.count('policy'), 4, 'policies')
    hits = 0
    for n in range(1, 200):
        b = bundle(ep, owner=b'second', ue_nat_address='203.0.113.78', **more)
        # It has proved itself, so that the first one's policies go
        World.nl.do('bundle-confirm', id=b['id'], lifetime=600000)
        hit, _ = failing(n, 'bundle-del', {'id': b['id']})
        hits += hit
        for x in World.nl.dump('bundle-get', owner=b'second'):
            World.nl.do('bundle-del', id=x['id'])
        wait(lambda: World.p.count('policy') == 4, f'the policies are there after allocation {n} has failed')  # pylint: disable=cell-var-from-loop
        if not hit:
            break
    check(hits >= 3, f'only {hits} allocations have failed')


if __name__ == '__main__':
    main(setup, before, teardown)
