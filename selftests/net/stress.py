#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only
"""Many bundles: what they leave behind, and many processes at once."""
import glob
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '../lib'))
from ims import *  # noqa: E402,F403  pylint: disable=wildcard-import,unused-wildcard-import,wrong-import-position

THOUSAND = 1000


def ue(i):
    return f'198.{18 + (i >> 16)}.{i >> 8 & 255}.{i & 255}'


def slabs():
    """{cache: objects in use}; what CPUs keep for themselves is given back before."""
    for path in glob.glob('/sys/kernel/slab/*/shrink'):
        try:
            with open(path, 'w', encoding='ascii') as f:
                f.write('1')
        except OSError:
            pass
    with open('/proc/slabinfo', encoding='ascii') as f:
        return {x.split()[0]: int(x.split()[1]) for x in f.readlines()[2:]}


def meminfo(field):
    with open('/proc/meminfo', encoding='ascii') as f:
        return next(int(x.split()[1]) for x in f if x.startswith(field))


def fill_and_empty(ep, how):
    """A range of exactly 2,000 SPIs, a thousand bundles in it, and away with them."""
    made = []
    for i in range(THOUSAND):
        made.append(bundle(ep, ue_address=ue(i), enc_alg='null', auth_alg='hmac-md5-96'))
    spis = {b[k] for b in made for k in ('spi-ps', 'spi-pc')}
    equal(spis, set(range(70000, 72000)), 'SPIs')
    expect_error('ENOSPC', bundle, ep, ue_address=ue(THOUSAND))
    equal(World.p.count(), 4 * THOUSAND, 'SAs')
    if how == 'deleted':
        for b in made:
            World.nl.do('bundle-del', id=b['id'])
    elif how == 'expired':
        for b in made:
            World.nl.do('bundle-confirm', id=b['id'], lifetime=1)
        wait(lambda: not World.nl.dump('bundle-get'), 'all have expired', 60)
    else:
        World.nl.do('endpoint-del', id=ep['id'], force=True)
        nothing_left()
        ep = endpoint()
    equal(World.nl.do('endpoint-get', id=ep['id'])['bundles'], 0, 'bundles')
    equal(World.p.ip('xfrm state'), '', 'ip xfrm state')
    nothing_left(policies=3)
    return ep


@test('LEAK', 'a thousand bundles made and deleted, expired, forced out or refused, leave no SA, SPI or memory', limit=600)
def thousand():
    World.nl.do('config-set', min_spi=70000, max_spi=71999, max_pending=2000, max_bundles=1000)
    # The events are not what this is about, and their queue would be counted
    World.events.close()
    ep = fill_and_empty(endpoint(), 'deleted')  # what is allocated once is there after this
    was, percpu = slabs(), meminfo('Percpu')
    for how in ('deleted', 'expired', 'forced'):
        ep = fill_and_empty(ep, how)
    for _ in range(THOUSAND):
        expect_error('EINVAL', bundle, ep, port_uc=9000, port_us=9000)
    with World.p:
        World.events = Events()

    # Per bundle there would be 3,000 objects more, or 4,000 SAs, in some cache; what is freed after a
    # grace period may take its time
    def grown():
        now = slabs()
        # what the kernel notes down of timers and the like is not given back at once
        return {k: (was.get(k, 0), v) for k, v in now.items()
                if v - was.get(k, 0) >= THOUSAND and k != 'debug_objects_cache'}
    try:
        wait(lambda: not grown(), 'no cache has grown', 30)
    except Fail:
        raise Fail(f'caches have grown: {grown()}') from None
    check(meminfo('Percpu') - percpu < 1024, 'per-CPU memory has grown')


def process(n, count, go):
    """One of eight: its bundles, as (id, spi_ps, spi_pc), deleting some in between."""
    with World.p:
        nl = Family()
    ep = nl.dump('endpoint-get')[0]
    os.read(go, 1)
    out, errors = [], []
    for i in range(count):
        try:
            b = bundle(ep, nl=nl, ue_address=ue(1000 * n + i), enc_alg='null', auth_alg='hmac-md5-96')
            if i % 4 == 3:
                # Given back while the others are looking for one
                nl.do('bundle-del', id=b['id'])
                b = bundle(ep, nl=nl, ue_address=ue(1000 * n + i), enc_alg='null', auth_alg='hmac-md5-96')
            out.append((b['id'], b['spi-ps'], b['spi-pc']))
        except NlError as e:
            errors.append(str(e))
    return out, errors


@test('RACE', 'eight processes creating at once get what they ask for, and no SPI twice')
def race():
    os.sched_setaffinity(0, range(os.cpu_count()))
    ep, count = endpoint(), 60
    # Just enough for all: any SPI lost or given twice would be missed
    World.nl.do('config-set', min_spi=80000, max_spi=80000 + 2 * 8 * count - 1, max_bundles=8 * count)
    World.events.drain()
    go, start = os.pipe()
    pids, pipes = [], []
    for n in range(8):
        r, w = os.pipe()
        pid = os.fork()
        if not pid:
            try:
                os.sched_setaffinity(0, {n % os.cpu_count()})
                os.close(r)
                data = repr(process(n, count, go)).encode()
                while data:
                    data = data[os.write(w, data):]
            finally:
                os._exit(0)
        os.close(w)
        pids.append(pid)
        pipes.append(r)
    os.write(start, bytes(8))
    made, errors = [], []
    for r, pid in zip(pipes, pids):
        with os.fdopen(r, 'rb') as f:
            data = f.read()
        os.waitpid(pid, 0)
        check(data, 'a process has failed')
        out, bad = eval(data, {})  # pylint: disable=eval-used
        made += out
        errors += bad
    os.close(go)
    os.close(start)
    os.sched_setaffinity(0, {0})
    equal(errors, [], 'errors')
    spis = [s for _, ps, pc in made for s in (ps, pc)]
    equal(sorted(spis), list(range(80000, 80000 + 2 * 8 * count)), 'SPIs, each once')
    equal(len({m[0] for m in made}), 8 * count, 'different ids')
    dump = World.nl.dump('bundle-get')
    equal(sorted((b['id'], b['spi-ps'], b['spi-pc']) for b in dump), sorted(made), 'the dump')
    equal(World.p.count(), 32 * count, 'SAs')
    seqs = [e['seq'] for e in World.events.drain()]
    # Two are of no bundle: max-bundles and the SPIs are nearly exhausted, each once
    equal(seqs, list(range(seqs[0], seqs[0] + 8 * (count + count // 4 * 2) + 2)), 'numbers of events')
    World.nl.do('endpoint-del', id=ep['id'], force=True)
    nothing_left()


def flush_and_come_back(nl):
    """Policies go and come back, and endpoints come and go among them."""
    with World.p:
        xfrm = Xfrm()
    for i in range(40):
        ep = endpoint(P6, nl=nl, guard=('drop', 'reject', 'bypass')[i % 3])
        xfrm.flush_policies()
        nl.do('endpoint-del', id=ep['id'])


@test('RACE', 'confirming, deleting, expiring, dumping, and flushing policies at once leave nothing behind')
def churn():
    ep = endpoint()
    was = World.xfrm.policies()
    World.nl.do('config-set', temporary_timeout=100)

    def work(n):
        with World.p:
            nl = Family()
        if n == 6:
            flush_and_come_back(nl)
            return
        for i in range(40):
            b = bundle(ep, nl=nl, ue_address=ue(1000 * n + i))
            for op, more in (('bundle-confirm', {'lifetime': 1 + i * 7 % 50}), ('bundle-del', {'linger': i % 3}),
                             ('bundle-get', {}), ('bundle-del', {}))[i % 4:]:
                try:
                    nl.do(op, more, id=b['id'])
                except NlError as e:
                    if e.name not in ('ENOENT', 'EINVAL'):
                        raise
            if i % 8 == 0:
                nl.dump('bundle-get')
    side_by_side(7, work)
    wait(lambda: len(World.xfrm.policies()) == len(was), 'the policies come back')
    wait(lambda: not World.nl.dump('bundle-get'), 'all bundles go', 60)
    equal(World.p.ip('xfrm state'), '', 'ip xfrm state')
    nothing_left(policies=3)


if __name__ == '__main__':
    main(setup, before, teardown)
