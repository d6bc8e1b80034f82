#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only
"""ESP's work is done by a network interface, and by software where that cannot: lib/nic.py."""
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '../lib'))
from ims import *  # noqa: E402,F403  pylint: disable=wildcard-import,unused-wildcard-import,wrong-import-position
from nic import *  # noqa: E402,F403  pylint: disable=wildcard-import,unused-wildcard-import,wrong-import-position

OUTER = {'IPv4': '203.0.113.77', 'IPv6': '2001:db8:77::77'}


# --- What is on the device

@test('OFFLOAD', 'a bundle of AES-GCM is on the device: four SAs, with their SPIs, addresses and directions, {}', each=ADDRESSES)
def there(fam):
    p, u = ADDRESSES[fam]
    with Sim() as dev:
        ep = offloading(dev, p)
        for auth, enc in GCM_PAIRS:
            b = made(ep, ue_address=u, auth_alg=auth, enc_alg=enc)
            equal(dev.table(), (4, {spi: (sa[4], sa[1]) for spi, sa in table(b).items()}), 'what netdevsim has')
            equal(told(), [('created', b['id'], None)], 'events')
            equal((b['offload'], b['offload-interface']), ('crypto', dev.name), "bundle-new's answer")
            on_device(dev, b)
            account(ep, 1)
            works(b)
            delete(b)
            equal(dev.table(), (0, {}), 'what netdevsim has')
            account(ep, 0)
            told()


@test('OFFLOAD', 'what no longer fits falls back, all four of it: an event, a counter; when one goes the next fits')
def full():
    with Sim() as dev:
        ep = offloading(dev)
        fit = [made(ep, n + 1) for n in range(ROOM // 4)]
        dev.has(*fit)
        told()
        for n in range(1, 4):
            b = made(ep, 100 + n)
            fell_back('table-full', b)
            dev.has(*fit)
            account(ep, len(fit), text='No space for SA', table_full=n)
        delete(fit[0])
        dev.has(*fit[1:])
        # Those that were made before stay in software
        in_software('table-full', b)
        fit[0] = made(ep, 1)
        dev.has(*fit)
        on_device(dev, *fit)
        account(ep, len(fit), table_full=3)
        equal(dev.table()[0] % 4, 0, 'SAs of half a bundle')


@test('OFFLOAD', 'a NIC gets no AES-GCM and no AES-GMAC, of which it could repeat a nonce')
def nonce():
    with Nic(hardware=True) as dev:
        ep, kept = offloading(dev), []
        demanding = offloading(dev, '192.0.2.3', hw_offload_required=True)
        for n, (auth, enc) in enumerate(PAIRS, 1):
            more = {'auth_alg': auth, 'enc_alg': enc}
            b = made(ep, n, **more)
            if (auth, enc) not in AEAD:
                on_device(dev, b)
                kept.append(b)
                continue
            fell_back('algorithm', b)
            expect_error('EOPNOTSUPP', made, demanding, n, text='nonces', **more)
        dev.has(*kept)
        for x in World.nl.dump('offload-get', interface=dev.name):
            is_aead = (x['auth-alg'], x['enc-alg']) in AEAD
            equal((x.get('reason'), 'nonces' in x.get('text', '')), ('algorithm' if is_aead else None, is_aead), 'offload-get')
        delete(*kept)
        dev.empty()


@test('OFFLOAD', 'a bond gets nothing, which would hand it to a NIC, or sleep where XFRM has a lock')
def bond():
    with Bond() as dev:
        ep = offloading(dev)
        demanding = offloading(dev, '192.0.2.3', hw_offload_required=True)
        for n, (auth, enc) in enumerate(PAIRS, 1):
            more = {'auth_alg': auth, 'enc_alg': enc}
            fell_back('no-support', made(ep, n, **more))
            expect_error('EOPNOTSUPP', made, demanding, n, text=dev.name, **more)
        account(ep, 0, no_support=len(PAIRS))
        equal({x['reason'] for x in World.nl.dump('offload-get', interface=dev.name)}, {'no-support'}, 'reasons')
        dev.empty()


@test('OFFLOAD', 'what the driver has not the algorithms for falls back: {}', each=PAIRS)
def algorithm(pair):
    auth, enc = pair
    with Sim() as dev:
        ep = offloading(dev)
        b = made(ep, ue_address=U4, auth_alg=auth, enc_alg=enc)
        if pair in GCM_PAIRS:
            dev.has(b)
            on_device(dev, b)
        else:
            fell_back('algorithm', b)
            equal(dev.sas(), {}, 'SAs on the device')
            account(ep, 0, text='Failed to get key data', algorithm=1)
            # It is remembered, so that the driver does not say it again, in the kernel's log
            other = made(ep, 1, auth_alg=auth, enc_alg=enc)
            fell_back('algorithm', other)
            account(ep, 0, text='algorithms', algorithm=2)
        works(b)


@test('OFFLOAD', 'what is behind a NAT falls back, {}', each=ADDRESSES)
def encapsulation(fam):
    with Sim() as dev:
        ep = offloading(dev, ADDRESSES[fam][0], nat_traversal=1)
        nat = {'mode': 'udp-enc-tun', 'ue_nat_address': OUTER[fam], 'ue_nat_port': 61000}
        b = made(ep, 1, **nat)
        fell_back('encapsulation', b)
        account(ep, 0, encapsulation=1)
        beside = made(ep, 2)
        dev.has(beside)
        # Where there is more than one reason, the device's own comes first
        dev.link('down')
        told()
        fell_back('down', made(ep, 3, **nat))


@test('OFFLOAD', 'an interface that there is not, that is down, or cannot: the bundle falls back, {}', each=ADDRESSES)
def cannot(fam):
    p, u = ADDRESSES[fam]
    World.p.ip('link add idle0 type veth peer name idle1')
    try:
        for name, reason in (('none0', 'no-interface'), ('idle0', 'down'), ('p0', 'no-support'), ('lo', 'no-support')):
            ep = offloading(name, p)
            equal(ep['hw-offload-interface'], name, 'hw-offload-interface')
            b = made(ep, ue_address=u)
            fell_back(reason, b)
            account(ep, 0, **{reason.replace('-', '_'): 1})
            works(b)
            World.nl.do('endpoint-del', id=ep['id'], force=True)
            told()
            ep = offloading(name, p, hw_offload_required=1)
            expect_error('EOPNOTSUPP', made, ep, text=name)
            World.nl.do('endpoint-del', id=ep['id'])
            nothing_left()
            equal(told(), [], 'events')
    finally:
        World.p.ip('link del idle0')


# Error, what the driver or the kernel says, and of what bundle
DEMANDS = {
    'algorithm': ('EOPNOTSUPP', 'Failed to get key data', {'enc_alg': 'aes-cbc', 'auth_alg': 'hmac-sha-1-96'}),
    'table-full': ('ENOSPC', 'No space for SA', {}),
    'encapsulation': ('EOPNOTSUPP', 'udp-enc-tun',
                      {'mode': 'udp-enc-tun', 'ue_nat_address': OUTER['IPv4'], 'ue_nat_port': 61000}),
    'down': ('EOPNOTSUPP', 'down', {})}


@test('OFFLOAD', 'where it is demanded, what cannot be is refused with a text, and leaves nothing: {}', each=DEMANDS)
def demand(reason):
    error, text, more = DEMANDS[reason]
    with Sim() as dev:
        ep = offloading(dev, nat_traversal=1, hw_offload_required=1)
        fit = [made(ep, n + 1) for n in range(ROOM // 4 if reason == 'table-full' else 1)]
        dev.has(*fit)
        if reason == 'down':
            dev.link('down')
            in_software('lost', *fit)
            fit_there = []
        else:
            fit_there = fit
        World.events.drain()
        # As few SPIs as may be: were some kept, the others would soon find none
        World.nl.do('config-set', min_spi=5000, max_spi=5001 + 2 * len(fit), max_bundles=len(fit) + 1)
        states, policies = World.p.count(), World.p.count('policy')
        for _ in range(100):
            e = expect_error(error, made, ep, 100, text=dev.name, **more)
            check(text in e.text, f'"{e.text}" does not say "{text}"')
        dev.has(*fit_there)
        nothing_left(states=states, policies=policies)
        equal(len(World.nl.dump('bundle-get')), len(fit), 'bundles')
        equal(told(), [], 'events')
        equal(World.nl.do('endpoint-get', id=ep['id'])['hw-offload-bundles'], len(fit_there), 'hw-offload-bundles')
        if reason == 'down':
            dev.link('up')
        elif reason == 'table-full':
            delete(fit.pop())
        fit_there = [] if reason == 'down' else fit
        b = made(ep, 100)
        dev.has(b, *fit_there)
        on_device(dev, b)


# --- What happens to the device

def come_back(dev, how):
    """There is one of that name, up, again."""
    if how == 'is removed':
        dev.make()
    elif how == 'moves to another namespace':
        dev.link('netns P')
        dev.ns = World.p
    dev.link('up')


def fingerprints():
    """SAs as `ip xfrm` shows them, without what may change, and without keys."""
    return sorted(str({k: v for k, v in s.items() if k not in ('text', 'aead')}) for s in World.p.states())


@test('OFFLOAD', 'the device {}: live bundles go on in software, the very SAs; when it is back new ones are on it', each=EVENTS)
def gone_away(how):
    with Sim() as dev, Sim('sim1') as other:
        eps = [offloading(dev, a) for a in (P4, P6)]
        mine = [[confirmed(made(ep)), made(ep, 1), made(ep, 2)] for ep in eps]
        beside = made(offloading(other, '192.0.2.9'), 9)
        World.events.drain()
        states, was = World.xfrm.directions(), fingerprints()
        dev.has(*mine[0], *mine[1])
        with Phone(mine[0][0]) as phone:
            phone.deliver('spi-ps')
            World.events.drain()
            EVENTS[how](dev)
            events = told()
            equal(sorted(events), sorted(('offload-fallback', b['id'], 'lost') for x in mine for b in x), 'events')
            for ep, bundles in zip(eps, mine):
                in_software('lost', *bundles)
                account(ep, 0, lost=3)
            if how != 'is removed':
                equal(dev.sas(), {}, 'SAs on the device')
            # Which does not concern the other device
            other.has(beside)
            on_device(other, beside)
            equal(World.xfrm.directions(), states, 'SAs')
            equal(fingerprints(), was, 'SAs as they are shown')
            for name in WAYS:
                phone.deliver(name)
        works(mine[1][0])
        reason = 'down' if how == 'goes down' else 'no-interface'
        told()
        b = made(eps[0], 3)
        fell_back(reason, b)
        come_back(dev, how)
        new = [made(ep, 4) for ep in eps]
        dev.has(*new)
        on_device(dev, *new)
        # Those that were on it stay where they are
        in_software('lost', *mine[0], *mine[1])
        in_software(reason, b)
        for ep in eps:
            World.nl.do('endpoint-del', id=ep['id'], force=True)
        equal(dev.sas(), {}, 'SAs on the device')


@test('OFFLOAD', 'the device gets another name: the endpoint follows it')
def renamed():
    with Sim() as dev:
        ep = offloading(dev)
        was = made(ep, 1)
        World.events.drain()
        dev.rename('sim9')
        equal(told(), [], 'events')
        dev.has(was)
        on_device(dev, was)
        equal(account(ep, 1)['hw-offload-interface'], 'sim9', 'hw-offload-interface')
        new = made(ep, 2)
        dev.has(was, new)
        on_device(dev, new)
        # One that comes under the old name is another one
        with Sim('sim0') as other:
            third = made(ep, 3)
            equal(other.sas(), {}, 'SAs on the one that has the old name')
            dev.has(was, new, third)
        on_device(dev, was, new, third)
        dev.link('down')
        told()
        dev.rename('sim8')
        dev.link('up')
        new = made(ep, 4)
        dev.has(new)
        on_device(dev, new)


@test('OFFLOAD', 'an endpoint may name a device that comes later, {}', each=('made', 'renamed', 'moved here'))
def later(how):
    ep = offloading('later0', hw_offload='crypto')
    early = made(ep, 1)
    fell_back('no-interface', early)
    expect_error('EOPNOTSUPP', made, offloading('later0', P6, hw_offload_required=1), text='later0')
    account(ep, 0, no_interface=1)
    with Sim('later0' if how == 'made' else 'sim0', ns=World.u if how == 'moved here' else None) as dev:
        if how == 'renamed':
            dev.rename('later0')
        elif how == 'moved here':
            dev.link('down')
            dev.rename('later0')
            World.u.ip('link set later0 netns P')
            dev.ns = World.p
            dev.link('up')
        b = made(ep, 2)
        dev.has(b)
        on_device(dev, b)
        in_software('no-interface', early)
        account(ep, 1, no_interface=1)


def none_left(dev, ep):
    equal(dev.table(), (0, {}), 'what netdevsim has')
    account(ep, 0)


@test('OFFLOAD', 'bundles deleted, expired, replaced, or gone with their endpoint, take their SAs off the device')
def ends():
    with Sim() as dev:
        ep = offloading(dev)
        delete(made(ep))
        none_left(dev, ep)
        b = made(ep)
        World.nl.do('bundle-confirm', id=b['id'], lifetime=1)
        wait(lambda: gone(World.nl, b['id']), 'it expires')
        none_left(dev, ep)
        World.nl.do('config-set', temporary_timeout=100)
        b = made(ep)
        wait(lambda: gone(World.nl, b['id']), 'it is not confirmed')
        none_left(dev, ep)
        World.nl.do('config-set', DEFAULTS)
        b = made(ep)
        World.nl.do('bundle-del', id=b['id'], linger=LONG)
        dev.has(b)
        delete(b)
        none_left(dev, ep)
        b = confirmed(made(ep))
        new = made(ep, spi_uc=b['spi-uc'], spi_us=b['spi-us'])
        World.nl.do('bundle-confirm', id=new['id'], lifetime=LONG, older='drop')
        dev.has(new)
        # Somebody else's flush leaves them alone
        World.xfrm.flush_states()
        dev.has(new)
        delete(new)
        none_left(dev, ep)
        made(ep, 1)
        World.nl.do('endpoint-del', id=ep['id'], force=True)
        equal(dev.table(), (0, {}), 'what netdevsim has')
        nothing_left()


@test('OFFLOAD C5', 'a set that gets its place back from another one with its SPIs does so by software, {}', each=(Sim, Nic))
def back_again(device):
    with device() as dev:
        ep = offloading(dev)
        b = confirmed(made(ep))
        dev.has(b)
        key = {s['spi']: s['aead'] for s in World.p.states()}
        new = made(ep, spi_uc=b['spi-uc'], spi_us=b['spi-us'], ik=bytes(15) + b'1', ck=bytes(15) + b'2')
        World.nl.do('bundle-confirm', id=new['id'], lifetime=LONG)
        equal(set(dev.sas()), {*table(new), b['spi-ps'], b['spi-pc']}, 'SAs on the device')
        told()
        delete(new)
        in_software('lost', b)
        equal({s['spi']: s['aead'] for s in World.p.states()}, key, 'SAs and their keys')
        equal(dev.sas(), {}, 'SAs on the device')
        account(ep, 0, lost=1)
        works(b)
        delete(b)
        equal(dev.sas(), {}, 'SAs on the device')


@test('OFFLOAD', 'a namespace goes with its device and what is on it, {}', each=('made there', 'moved there'))
def namespace(how):
    root = links_of_root()
    q = Namespace('Q')
    dev = Sim(ns=q if how == 'made there' else World.p)
    try:
        if how == 'moved there':
            dev.link('netns Q')
            dev.ns = q
            dev.link('up')
        with q:
            nl = Family()
        eps = [offloading(dev, a, nl=nl) for a in (P4, P6)]
        bundles = [made(ep, n, nl=nl) for ep in eps for n in range(1, 4)]
        dev.has(*bundles)
        nl.close()
        q.delete()
        q = None
        # It ends up in the first namespace
        wait(lambda: links_of_root() - root, 'the device is where namespaces leave it')
        equal(dev.sas(), {}, 'SAs on the device')
    finally:
        if q:
            q.delete()
        dev.remove()
    with open('/dev/kmsg', encoding='utf-8', errors='replace') as f:
        os.set_blocking(f.fileno(), False)
        left = [x for x in read_all(f.fileno()) if 'tearing down IPsec offload' in x]
    equal(left, [], 'what netdevsim said')


def links_of_root():
    with open('/proc/1/net/dev', encoding='ascii') as f:
        return {x.split(':')[0].strip() for x in f if ':' in x}


def read_all(fd):
    """The kernel's messages so far."""
    out = []
    while True:
        try:
            out.append(os.read(fd, 8192).decode(errors='replace'))
        except BrokenPipeError:
            continue
        except BlockingIOError:
            return out


# --- What is configured

@test('OFFLOAD', 'what the namespace says goes for endpoints that say nothing, what they say goes before')
def defaults():
    equal({k: v for k, v in DEFAULTS.items() if k.startswith('hw-offload')},
          {'hw-offload-interface': '', 'hw-offload': 'crypto', 'hw-offload-required': 0}, 'defaults')
    with Sim() as dev:
        before_that = endpoint('192.0.2.7')
        World.nl.do('config-set', hw_offload_interface=dev.name, hw_offload_required=1)
        ep = endpoint(P4)
        equal([ep[k] for k in ('hw-offload-interface', 'hw-offload', 'hw-offload-required')], [dev.name, 'crypto', 1], 'endpoint')
        b = made(ep, 1)
        dev.has(b)
        on_device(dev, b)
        expect_error('EOPNOTSUPP', made, ep, 2, enc_alg='aes-cbc', auth_alg='hmac-sha-1-96', text=dev.name)
        delete(b)
        told()
        World.nl.do('endpoint-del', id=ep['id'])
        # Each of them is the endpoint's own to say
        ep = endpoint(P4, hw_offload_required=0)
        fell_back('algorithm', made(ep, 2, enc_alg='aes-cbc', auth_alg='hmac-sha-1-96'))
        World.nl.do('endpoint-del', id=ep['id'], force=True)
        told()
        for more in ({'hw_offload': 'software'}, {'hw_offload_interface': ''}):
            ep = endpoint(P4, **more)
            b = made(ep, 3)
            equal(dev.sas(), {}, 'SAs on the device')
            in_software(None, b)
            account(ep, 0)
            World.nl.do('endpoint-del', id=ep['id'], force=True)
            equal([x[0] for x in told()], ['created', 'deleted'], 'events')
        World.nl.do('config-set', hw_offload_interface='none0', hw_offload_required=0)
        ep = endpoint(P4, hw_offload_interface=dev.name, hw_offload='crypto')
        dev.has(made(ep, 4))
        # And what was there before is as it was
        got = World.nl.do('endpoint-get', id=before_that['id'])
        equal((got['hw-offload-interface'], got['hw-offload-required']), ('', 0), 'an endpoint of before')
        in_software(None, made(before_that, 5))


@test('OFFLOAD', 'software alone needs no interface; without a wish, there is none')
def software():
    for more in ({'hw_offload': 'software'}, {'hw_offload': 'off'}, {}):
        ep = endpoint(P4, **more)
        b = made(ep, ue_address=U4)
        if more.get('hw_offload') == 'software':
            check(has_software(b), 'it is not there where it is wished')
        in_software(None, b)
        equal([x[0] for x in told()], ['created'], 'events')
        account(ep, 0)
        works(b)
        World.nl.do('endpoint-del', id=ep['id'], force=True)
        told()


@test('OFFLOAD', 'names that no interface has, and modes that mean nothing, are refused')
def refused():
    for name in ('a/b', 'a b', ' ', 'a\tb', 'x' * 16, 'x' * 100, '.', '..'):
        expect_error('EINVAL ERANGE', offloading, name)
        expect_error('EINVAL ERANGE', World.nl.do, 'config-set', hw_offload_interface=name)
    for mode in ('crypto', 'packet'):
        expect_error('EINVAL', endpoint, hw_offload=mode)
        expect_error('EINVAL', offloading, '', hw_offload=mode)
    for mode in (0, 5, 1 << 31):
        expect_error('EINVAL ERANGE', offloading, 'p0', hw_offload=mode)
        expect_error('EINVAL ERANGE', World.nl.do, 'config-set', hw_offload=mode)
    for value in (2, 255):
        expect_error('EINVAL ERANGE', offloading, 'p0', hw_offload_required=value)
        expect_error('EINVAL ERANGE', World.nl.do, 'config-set', hw_offload_required=value)
    equal(World.nl.dump('endpoint-get'), [], 'endpoints')
    equal(World.nl.do('config-get'), DEFAULTS, 'config')
    nothing_left()
    # The longest
    equal(offloading('x' * 15)['hw-offload-interface'], 'x' * 15, 'name')


# --- What a device can do

@test('OFFLOAD', 'offload-get tries every pair of algorithms, and leaves nothing, {}', each=('crypto', 'packet'))
def offload_get(mode):
    expect_error('ENODEV', World.nl.dump, 'offload-get', interface='none0')
    with Sim() as dev:
        ep = offloading(dev)
        b = made(ep, 1)
        states = World.p.count()
        for more in ({'mode': mode}, {}) if mode == 'crypto' else ({'mode': mode},):
            got = World.nl.dump('offload-get', interface=dev.name, **more)
            equal({(x['auth-alg'], x['enc-alg']) for x in got}, set(PAIRS), 'pairs')
            equal(len(got), len(PAIRS), 'entries')
            for x in got:
                pair = x['auth-alg'], x['enc-alg']
                equal((x['interface'], x['mode']), (dev.name, mode), 'interface and mode')
                equal(x.get('driver'), 'netdevsim', 'driver')
                wanted = ('no-support',) if mode == 'packet' else (None,) if pair in GCM_PAIRS else ('algorithm',)
                check(x.get('reason') in wanted, f"{pair}: {x.get('reason')}, expected {wanted}")
                if wanted[0] == 'algorithm':
                    check('Failed to get key data' in x['text'], f"{pair}: {x['text']}")
            dev.has(b)
            nothing_left(states=states, policies=GUARD)
            account(ep, 1)
        dev.link('down')
        equal({x['reason'] for x in World.nl.dump('offload-get', interface=dev.name, mode=mode)}, {'down'}, 'reasons')
    equal({x['reason'] for x in World.nl.dump('offload-get', interface='p0', mode=mode)}, {'no-support'}, 'reasons')
    expect_error('EINVAL', World.nl.dump, 'offload-get')
    for name in ('a/b', 'x' * 16):
        expect_error('EINVAL ERANGE ENODEV', World.nl.dump, 'offload-get', interface=name)


@test('OFFLOAD', 'offload-get says what the driver says, whichever SA it refuses')
def offload_get_refused():
    with Nic() as nic:
        for error, _, reason in ERRORS:
            nic.set(sas=0, error=error, text='not now')
            got = World.nl.dump('offload-get', interface=nic.name)
            gcm = {(x['reason'], x['text']) for x in got if (x['auth-alg'], x['enc-alg']) in GCM_PAIRS}
            others = {(x['reason'], x['text']) for x in got if (x['auth-alg'], x['enc-alg']) not in GCM_PAIRS}
            equal(gcm, {(reason, 'not now')}, 'reasons')
            equal(others, {('algorithm' if error in (22, 95) else reason, 'not now')}, 'reasons of other algorithms')
            nic.empty()
        nic.set(sas=1)
        equal({x.get('reason') for x in World.nl.dump('offload-get', interface=nic.name)}, {None}, 'reasons')
        nic.empty()


# --- What a driver says, and is told

@test('OFFLOAD', 'all or none, whichever SA the driver refuses, and for whatever reason, {}', each=('wished', 'demanded'))
def steps(how):
    with Nic() as nic:
        ep = offloading(nic, hw_offload_required=int(how == 'demanded'))
        # Two SPIs: were one kept, the next would find none
        World.nl.do('config-set', min_spi=5000, max_spi=5001, max_bundles=1)
        counts = {}
        for n in range(4):
            for error, name, reason in ERRORS if n == 1 else ERRORS[:2]:
                nic.set(sas=n, error=error, text='not that one')
                if how == 'demanded':
                    e = expect_error(name, made, ep, 1, text='not that one')
                    check(nic.name in e.text, f'"{e.text}" does not name the device')
                    equal(told(), [], 'events')
                else:
                    b = made(ep, 1)
                    fell_back(reason, b)
                    key = reason.replace('-', '_')
                    counts[key] = counts.get(key, 0) + 1
                    account(ep, 0, text='not that one', **counts)
                    equal(World.p.count(), 4, 'SAs')
                    delete(b)
                    told()
                nic.empty()
                nothing_left(policies=GUARD)
        # A driver that says nothing
        for error, name, reason in ERRORS[:3]:
            nic.set(sas=3, error=error, text='')
            if how == 'demanded':
                expect_error(name, made, ep, 1, text=nic.name)
            else:
                b = made(ep, 1)
                told()
                in_software(reason, b)
                delete(b)
                told()
            nic.empty()
        nic.set(sas=4)
        b = made(ep, 1)
        nic.has(b)
        on_device(nic, b)


@test('OFFLOAD', 'the driver has each SA deleted and freed, once: it {}', each=EVENTS)
def driver(how):
    with Nic() as nic:
        eps = [offloading(nic, a) for a in (P4, P6)]
        bundles = [made(ep, n) for ep in eps for n in range(1, 4)]
        nic.has(*bundles)
        confirmed(bundles[0])
        World.nl.do('bundle-del', id=bundles[1]['id'], linger=LONG)
        delete(bundles.pop())
        World.events.drain()
        EVENTS[how](nic)
        equal(sorted(told()), sorted(('offload-fallback', b['id'], 'lost') for b in bundles), 'events')
        in_software('lost', *bundles)
        if how != 'is removed':
            nic.empty()
        for ep in eps:
            World.nl.do('endpoint-del', id=ep['id'], force=True)
        nothing_left()


@test('OFFLOAD', 'where the feature is off, or rx-all on, bundles fall back')
def feature():
    with Nic() as nic:
        ep = offloading(nic)
        there_already = made(ep, 9)
        told()
        equal(nic.features(False), False, 'esp-hw-offload')
        fell_back('feature-off', made(ep, 1))
        account(ep, 1, feature_off=1)
        equal({x['reason'] for x in World.nl.dump('offload-get', interface=nic.name)}, {'feature-off'}, 'reasons')
        nic.link('down')
        World.events.drain()
        fell_back('down', made(ep, 2))
        # It is of those to be made; what was there was the driver's
        in_software('lost', there_already)
        nic.empty()
        nic.link('up')
        expect_error('EOPNOTSUPP', made, offloading(nic, P6, hw_offload_required=1), 1, text='nic0')
        equal(nic.features(True), True, 'esp-hw-offload')
        b = made(ep, 3)
        nic.has(b)
        on_device(nic, b)
        told()
        equal(nic.features(True, ('rx-all',)), True, 'rx-all')
        fell_back('refused', made(ep, 4))
        account(ep, 1, text='rx-all', feature_off=1, down=1, lost=1, refused=1)
        equal(nic.features(False, ('rx-all',)), False, 'rx-all')
        nic.has(b, made(ep, 5))


@test('OFFLOAD', 'packet offload is asked for and never had, {}', each=(Sim, Nic))
def packet(device):
    with device() as dev:
        ep = offloading(dev, hw_offload='packet')
        equal(ep['hw-offload'], 'packet', 'hw-offload')
        b = made(ep, 1)
        fell_back('no-support', b)
        account(ep, 0, text='packet', no_support=1)
        equal(dev.sas(), {}, 'SAs on the device')
        ep = offloading(dev, P6, hw_offload='packet', hw_offload_required=1)
        expect_error('EOPNOTSUPP', made, ep, 2, text=dev.name)
        equal({x['reason'] for x in World.nl.dump('offload-get', interface=dev.name, mode='packet')}, {'no-support'}, 'reasons')


if __name__ == '__main__':
    main(setup, before, teardown)
