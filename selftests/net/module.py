#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only
"""The module itself: unloading it with all in use, its parameters."""
import contextlib
import errno
import functools
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '../lib'))
from ims import *  # noqa: E402,F403  pylint: disable=wildcard-import,unused-wildcard-import,wrong-import-position
from asleep import Asleep, Working  # noqa: E402  pylint: disable=wrong-import-position
from nic import Nic, Sim  # noqa: E402  pylint: disable=wrong-import-position
from rounds import Rounds  # noqa: E402  pylint: disable=wrong-import-position


def load(*params):
    done = insmod(*params)
    equal(done.returncode, 0, done.stdout)


def reload(*params):
    close_family()
    done = rmmod()
    equal(done.returncode, 0, done.stdout)
    load(*params)
    reopen_family()


@contextlib.contextmanager
def comes_back():
    """Whatever becomes of it within, there is the module afterwards, and somebody who listens to it."""
    if not os.path.exists(module_file()):
        raise Skip(f'{module_file()} is not there')
    try:
        yield
    finally:
        if not os.path.isdir('/sys/module/ims_ipsec'):
            insmod()
        close_family()
        reopen_family()


def unload():
    """It goes within a moment: those who hold it are on their way out."""
    wait(lambda: rmmod().returncode == 0, 'the module goes', 10)


@test('RMMOD', 'with endpoints, bundles and sockets it goes, all of it, and comes again')
def unloading():
    with comes_back(), contextlib.ExitStack() as after:
        q = Namespace('Q')
        after.callback(q.delete)
        with q:
            nl = Family()
        eps = [endpoint(nat_traversal=1), endpoint(P6, nat_traversal=1), endpoint(nl=nl, nat_traversal=1)]
        World.nl.do('config-set', temporary_timeout=1000)
        b = bundle(eps[0])
        World.nl.do('bundle-confirm', id=b['id'], lifetime=600000)
        for i in range(20):
            bundle(eps[0], ue_address=f'198.51.100.{i + 1}')
            bundle(eps[1], spi_uc=1000 + i, spi_us=2000 + i)
            last = bundle(eps[2], nl=nl, ue_address=f'198.51.100.{i + 1}')
            # Behind NATs, some of them at one address
            for ep, more in zip(eps, ({}, {}, {'nl': nl})):
                six = ':' in ep['address']
                made = bundle(ep, mode='udp-enc-tun', contact=b'NAT %d' % i, ue_address='fd00::2' if six else '10.0.0.2',
                              ue_nat_address=f'2001:db8:77::{i // 2}' if six else f'203.0.113.{i // 2}',
                              spi_uc=5000 + i, spi_us=6000 + i, **more)
                more.get('nl', World.nl).do('bundle-confirm', id=made['id'], lifetime=600000)
        nl.do('bundle-del', id=last['id'], linger=60000)
        with Phone(b) as phone:
            phone.deliver('spi-ps')
            phone.deliver('spi-us')
            # Its sockets and those of netlink are open while it goes
            unload()
        for ns in (World.p, q):
            equal(ns.ip('xfrm state'), '', f'ip xfrm state in {ns.name}')
            nothing_left(ns)
        # The sockets have gone, too
        for addr in (P4, P6):
            World.p.udp(addr, 4500).close()
        a, u = World.p.udp(P4, PORT_PS), World.u.udp(U4, 9999)
        u.sendto(b'clear', (P4, PORT_PS))
        equal(receive(a), b'clear', 'in clear without the module')
        for s in (a, u):
            s.close()
        nl.close()
        load()
        close_family()
        reopen_family()
        equal(World.nl.dump('endpoint-get'), [], 'endpoints')
        b = bundle(endpoint())
        with Phone(b) as phone:
            phone.deliver('spi-ps')


@test('RMMOD', 'while a thread sleeps in a call on a connection it goes, and leaves the connection behind')
def owner_asleep():
    with comes_back():
        b = bundle(endpoint())
        with Phone(b) as phone:
            ends = phone.connect('spi-ps')
            with Asleep('ims-asleep') as sleeper:
                sleeper.hold(ends[1])
                World.nl.do('bundle-del', id=b['id'])
                close_family()
                Working(unload, 'it goes').ends()
                nothing_left()
            check('ESTAB' in World.p.run('ss -tnH'), 'the connection is not there any more')
        load()


@test('RMMOD', 'with bundles on interfaces it goes, and leaves none of them there')
def offloaded():
    with comes_back(), Sim() as sim, Nic() as nic:
        there = []
        for dev, addr in ((sim, P4), (nic, P6)):
            ep = endpoint(addr, hw_offload_interface=dev.name)

            def made(first, n, e=ep):
                return [bundle(e, ue_address=f"{'2001:db8:5::' if ':' in e['address'] else '198.51.100.'}{i}",
                               auth_alg='null', enc_alg='aes-gcm', spi_uc=1000 + i, spi_us=2000 + i)
                        for i in range(first, first + n)]
            # Some in software again, some of each kind on the device
            made(10, 2)
            dev.link('down')
            dev.link('up')
            there.append(made(20, 4))
            World.nl.do('bundle-confirm', id=there[-1][0]['id'], lifetime=600000)
            World.nl.do('bundle-del', id=there[-1][1]['id'], linger=600000)
            dev.has(*there[-1])
        unload()
        for dev in (sim, nic):
            equal(dev.sas(), {}, f'SAs on {dev.name}')
        nothing_left()
        # Nobody is told of what happens to them now
        for dev in (sim, nic):
            dev.link('down')
            dev.link('up')
        load()


@test('RMMOD', 'under traffic both ways it goes, with SAs that others could not have deleted, and comes again')
def under_traffic():
    with comes_back():
        for fam in ADDRESSES:
            p, u = ADDRESSES[fam]
            b = bundle(endpoint(p, nat_traversal=1), ue_address=u)
            World.nl.do('bundle-confirm', id=b['id'], lifetime=600000)
            with Phone(b) as phone:
                for name in ('spi-ps', 'spi-uc', 'spi-us', 'spi-pc'):
                    phone.deliver(name)
                World.p.ip('xfrm state flush')
                equal(World.p.count(), 4, 'SAs')
                ways = [functools.partial(phone.send, name, b'on and on') for name in ('spi-ps', 'spi-uc', 'spi-us', 'spi-pc')]

                def sends():
                    for way in ways:  # pylint: disable=cell-var-from-loop
                        with contextlib.suppress(OSError):
                            way()
                with Rounds(sends) as rounds:
                    rounds.more(100)
                    close_family()
                    unload()
                    rounds.more(100)
                nothing_left()
            load()
            reopen_family()


def one_expires():
    """The next event says so; there may be more than can be read."""
    try:
        return World.events.next()['type'] == 'expired'
    except OSError as e:
        equal(e.errno, errno.ENOBUFS, 'error of the event socket')
        return False


@test('RMMOD', 'while requests and expiries are under way it goes without harm')
def under_way():
    with comes_back():
        for _ in range(3):
            pids = []
            for n in range(3):
                pid = os.fork()
                if not pid:
                    try:
                        with World.p:
                            nl = Family()
                        nl.do('config-set', temporary_timeout=100)
                        ep = endpoint(f'192.0.2.{100 + n}', nl=nl)
                        i = 0
                        while True:
                            i += 1
                            bundle(ep, nl=nl, ue_address=f'198.{51 + n}.{i >> 8 & 255}.{i & 255}')
                            if i % 8 == 0:
                                nl.dump('bundle-get')
                    except OSError:
                        pass  # the family has gone
                    finally:
                        os._exit(0)
                pids.append(pid)
            wait(one_expires, 'bundles are made, and expire')
            close_family()
            unload()
            for pid in pids:
                os.waitpid(pid, 0)
            nothing_left()
            load()
            reopen_family()


@test('PARAM', 'parameters are what a new namespace begins with; wrong ones are refused')
def parameters():
    if not os.path.exists(module_file()):
        raise Skip(f'{module_file()} is not there')
    want = {'min-spi': 300, 'max-spi': 999, 'temporary-timeout': 4321, 'port-pc': [7001, 7003], 'port-ps': 7002,
            'max-endpoints': 3, 'max-bundles': 33, 'max-pending': 22, 'max-sets': 2, 'old-timeout': 5432,
            'idle-timeout': 6543, 'mark-mask': 0xff00, 'nat-traversal': 1, 'nat-port': 4700, 'nat-follow-address': 1,
            'allowed-algorithms': ','.join(f'{a}={e}' for a, e in (PAIRS[3], PAIRS[6], *PAIRS[:2])),
            'preferred-alg': 2, 'preferred-ealg': 1, 'disable-deprecated-algorithms': 1,
            'hw-offload-interface': 'nic7', 'hw-offload': 'software', 'hw-offload-required': 1}
    texts = {'port-pc': '7001,7003', 'allowed-algorithms': '" AES-CBC, null=aes-gcm"', 'preferred-alg': 'HMAC-SHA-1-96',
             'preferred-ealg': 'null'}
    try:
        reload(*[f'{k.replace("-", "_")}={v}' for k, v in {**want, **texts}.items()])
        equal(World.nl.do('config-get'), want, 'config of a namespace that was there')
        q = Namespace('Q')
        with q:
            nl = Family()
        equal(nl.do('config-get'), want, 'config of a new namespace')
        ep = nl.do('endpoint-new', address=P4)
        equal((ep['port-ps'], ep['port-pc'], ep['nat-traversal'], ep['nat-port']), (7002, [7001, 7003], 1, 4700),
              'ports of an endpoint that names none')
        expect_error('EOPNOTSUPP', bundle, ep, nl=nl, enc_alg='null')
        bundle(ep, nl=nl, enc_alg='aes-cbc')
        nl.close()
        q.delete()
        close_family()
        equal(rmmod().returncode, 0, 'rmmod')
        for wrong in ('min_spi=255', 'max_spi=65536', 'temporary_timeout=99', 'temporary_timeout=3600001',
                      'port_pc=5060', 'port_pc=5062,5060', 'port_pc=5062,5062', 'port_pc=', 'port_pc=5062,', 'port_ps=0', 'port_ps=5062',
                      'port_ps=5064', f'port_pc={",".join(str(x) for x in range(6001, 6066))}', 'max_endpoints=0', 'max_bundles=0',
                      'max_pending=0', 'max_sets=0', 'max_sets=5', 'old_timeout=99', 'idle_timeout=99',
                      'mark_mask=5', 'mark_mask=3', 'allowed_algorithms=aes-ctr', 'allowed_algorithms=aes-cbc,',
                      'allowed_algorithms=null=null', 'preferred_alg=aes-cbc', 'preferred_alg=hmac-sha-1',
                      'nat_traversal=2', 'nat_port=0', 'nat_port=65536', 'nat_follow_address=2',
                      'preferred_ealg=hmac-md5-96', 'preferred_ealg=2', 'disable_deprecated_algorithms=2',
                      'hw_offload=fast', 'hw_offload_interface=a/b', 'hw_offload_interface=sixteenletters16',
                      'min_spi=3220701185', 'max_spi=589822', 'max_bundles=491521 max_spi=1048575',
                      'allowed_algorithms=hmac-md5-96 disable_deprecated_algorithms=1'):
            check(insmod(*wrong.split()).returncode, f'{wrong} is taken')
            check(not os.path.isdir('/sys/module/ims_ipsec'), f'it is loaded with {wrong}')
    finally:
        if os.path.isdir('/sys/module/ims_ipsec'):
            close_family()
            rmmod()
        insmod()
        close_family()
        reopen_family()
        DEFAULTS.update(World.nl.do('config-get'))
    equal({k: v for k, v in DEFAULTS.items() if not k.startswith('max-') or k == 'max-spi'},
          {'min-spi': 65536, 'max-spi': 3221225471, 'temporary-timeout': 30000, 'port-pc': [5062, 5064], 'port-ps': 5063,
           'old-timeout': 128000, 'idle-timeout': 0, 'mark-mask': 0xffffff,
           'allowed-algorithms': '', 'preferred-alg': 0, 'preferred-ealg': 0, 'disable-deprecated-algorithms': 0,
           'nat-traversal': 0, 'nat-port': 4500, 'nat-follow-address': 0,
           'hw-offload-interface': '', 'hw-offload': 'crypto', 'hw-offload-required': 0},
          'what it has without any')


if __name__ == '__main__':
    main(setup, before, teardown)
