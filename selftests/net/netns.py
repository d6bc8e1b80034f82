#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only
"""Namespaces, and who may do what in them."""
import errno
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '../lib'))
from ims import *  # noqa: E402,F403  pylint: disable=wildcard-import,unused-wildcard-import,wrong-import-position
from net import CLONE_NEWNET, CLONE_NEWUSER, call  # noqa: E402  pylint: disable=wrong-import-position


def second(name='Q'):
    ns = Namespace(name)
    with ns:
        return ns, Family()


@test('NETNS', 'two namespaces are independent of each other')
def independent():
    q, nl = second()
    try:
        World.nl.do('config-set', min_spi=4000, max_spi=4001, max_bundles=1)
        equal(nl.do('config-get'), DEFAULTS, 'config of the other namespace')
        nl.do('config-set', min_spi=4000, max_spi=4001, max_bundles=1)
        eps = [endpoint(nl=n) for n in (World.nl, nl)]
        made = [bundle(ep, nl=n) for ep, n in zip(eps, (World.nl, nl))]
        equal([sorted((b['spi-ps'], b['spi-pc'])) for b in made], [[4000, 4001]] * 2, 'SPIs')
        equal([n.count() for n in (World.p, q)], [4, 4], 'SAs')
        for n, b in zip((World.nl, nl), made):
            equal([x['id'] for x in n.dump('bundle-get')], [b['id']], 'bundles')
            equal(len(n.dump('endpoint-get')), 1, 'endpoints')
        e = World.events.next()
        equal(e['bundle']['id'], made[0]['id'], 'bundle of the event')
        World.nl.do('bundle-confirm', id=made[0]['id'], lifetime=1)
        for kind in ('confirmed', 'expired'):
            e = World.events.next()
            equal((e['type'], e['bundle']['id']), (kind, made[0]['id']), 'the next event')
        equal([n.count() for n in (World.p, q)], [0, 4], 'SAs')
        World.nl.do('endpoint-del', id=eps[0]['id'])
        equal([n.count('policy') for n in (World.p, q)], [0, 3], 'policies')
        equal(nl.do('bundle-get', id=made[1]['id'])['state'], 'temporary', 'the other one')
        equal(World.events.drain(), [], 'events')
    finally:
        nl.close()
        q.delete()


@test('NETNS', 'a namespace that goes with live bundles takes all of it along')
def deleted():
    # Were anything left, unloading the module at the end or its timers would tell
    for i in range(3):
        q, nl = second(f'Q{i}')
        nl.do('config-set', temporary_timeout=20000 + 500 * i)
        for addr in (P4, P6):
            ep = endpoint(addr, nl=nl, nat_traversal=1)
            bundle(ep, nl=nl, mode='udp-enc-tun', contact=f'{addr} NAT'.encode(), ue_address='fd00::2' if ':' in addr else '10.0.0.2',
                   ue_nat_address='2001:db8:77::7' if ':' in addr else '203.0.113.7', ue_nat_port=61000, spi_uc=3000, spi_us=3001)
            for n in range(5):
                b = bundle(ep, nl=nl, contact=f'{addr} {n}'.encode(), port_uc=9000 + n, port_us=9100 + n, spi_uc=1000 + n, spi_us=2000 + n)
                if n == 1:
                    nl.do('bundle-confirm', id=b['id'], lifetime=4294967295000)
                if n == 2:
                    nl.do('bundle-del', id=b['id'], linger=3000)
        equal(q.count(), 48, 'SAs')
        nl.close()
        q.delete()
    # And what lives elsewhere is not disturbed
    b = bundle(endpoint())
    with Phone(b) as phone:
        for name in ('spi-ps', 'spi-uc', 'spi-us', 'spi-pc'):
            phone.deliver(name)


def child(f):
    """What f returns in a process of its own."""
    r, w = os.pipe()
    pid = os.fork()
    if not pid:
        try:
            os.close(r)
            try:
                result = f()
            except Exception as e:  # pylint: disable=broad-except
                result = f'{type(e).__name__}: {e}'
            os.write(w, repr(result).encode())
        finally:
            os._exit(0)
    os.close(w)
    with os.fdopen(r, 'rb') as f2:
        data = f2.read()
    os.waitpid(pid, 0)
    check(data, 'the child has failed')
    return eval(data, {})  # pylint: disable=eval-used


def attempt(f, *args, **more):
    """The errno's name, or 'ok'."""
    try:
        f(*args, **more)
    except OSError as e:
        return errno.errorcode[e.errno]
    return 'ok'


@test('PERM', 'without CAP_NET_ADMIN every operation is EPERM, and the events are not heard')
def no_capability():
    ep = endpoint()
    b = bundle(ep)

    def work():
        World.p.enter()
        os.setgroups([])
        os.setgid(65534)
        os.setuid(65534)
        nl = Family()
        attrs = {'endpoint-new': {'address': '192.0.2.9', 'port-ps': 9000, 'port-pc': 9001},
                 'bundle-new': bundle_attrs(ep, ue_address='192.0.2.9'),
                 'config-set': {'max-bundles': 5}, 'config-get': {},
                 'bundle-confirm': {'id': b['id'], 'lifetime': 1}, 'bundle-flush': {}, 'stats-get': {}}
        out = {op: attempt(nl.do, op, attrs.get(op, {'id': b['id']}))
               for op in nl.spec.ops if 'do' in nl.spec.ops[op]}
        out.update({op + ' dump': attempt(nl.dump, op) for op in nl.spec.ops if 'dump' in nl.spec.ops[op]})
        out['events'] = attempt(Events)
        return out
    got = child(work)
    check(isinstance(got, dict), got)
    equal(got, {k: 'EPERM' for k in got}, 'what is allowed')
    equal(len(got), 12 + 5 + 1, 'operations tried')
    equal(World.nl.do('bundle-get', id=b['id'])['state'], 'temporary', 'the bundle')
    equal(World.nl.do('config-get'), DEFAULTS, 'config')


@test('PERM', 'root of a user namespace: nothing in a namespace of others, all in its own')
def user_namespace():
    ep = endpoint()

    def work():
        World.p.enter()
        call('unshare', CLONE_NEWUSER)
        for name, text in (('setgroups', 'deny'), ('uid_map', '0 0 1'), ('gid_map', '0 0 1')):
            with open(f'/proc/self/{name}', 'w', encoding='ascii') as f:
                f.write(text)
        nl = Family()
        out = [attempt(nl.dump, 'endpoint-get'), attempt(nl.do, 'endpoint-del', id=ep['id'], force=True),
               attempt(endpoint, '192.0.2.9', nl=nl), attempt(Events)]
        call('unshare', CLONE_NEWNET)
        nl, events = Family(), Events()
        out.append(nl.dump('endpoint-get'))
        mine = endpoint(nl=nl)
        b = bundle(mine, nl=nl)
        nl.do('bundle-confirm', id=b['id'], lifetime=60000)
        out += [events.next()['type'], events.next()['type'], len(Xfrm().states())]
        return out
    got = child(work)
    equal(got, ['EPERM'] * 4 + [[], 'created', 'confirmed', 4], 'what happened')
    equal([e['id'] for e in World.nl.dump('endpoint-get')], [ep['id']], 'endpoints')
    equal(World.nl.dump('bundle-get'), [], 'bundles')
    equal(World.events.drain(), [], 'events')


@test('PERM', 'a socket opened with the capability is of no use without it where it was not opened')
def other_namespace():
    q, nl = second()
    try:
        ep = endpoint(nl=nl)
        with World.p:
            # The socket stays with the namespace that it was opened in
            equal([e['id'] for e in nl.dump('endpoint-get')], [ep['id']], 'endpoints by the socket of Q')
            equal(World.nl.dump('endpoint-get'), [], 'endpoints of P')
    finally:
        nl.close()
        q.delete()


if __name__ == '__main__':
    main(setup, before, teardown)
