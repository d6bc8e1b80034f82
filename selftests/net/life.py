#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only
"""The life of a bundle: temporary, established, deleted; and who hears of it."""
import os
import select
import signal
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '../lib'))
from ims import *  # noqa: E402,F403  pylint: disable=wildcard-import,unused-wildcard-import,wrong-import-position

LONG = 600000


def event(**expected):
    """The next event, which is this one."""
    e = World.events.next()
    got = {k: v for k, v in e.items() if k not in ('seq', 'bundle')}
    equal(got, {k.replace('_', '-'): v for k, v in expected.items()}, 'event')
    return e


def created(b):
    e = event(type='created', reason='request', new_state='temporary')
    equal(e['bundle']['id'], b['id'], 'bundle of the event')
    return e


def confirmed(b, lifetime=LONG):
    World.nl.do('bundle-confirm', id=b['id'], lifetime=lifetime)
    return event(type='confirmed', reason='request', old_state='temporary', new_state='established')


def plaintext_is_dropped(b, ep):
    """On the tuples that the bundle had, both ways."""
    p, u = b['address'], b['ue-address']
    socks = {port: World.p.udp(p, port) for port in (b['port-ps'], b['port-pc'])}
    free = World.p.udp(p, 9999)
    was = World.nl.do('endpoint-get', id=ep['id'])['drop-plaintext-in']
    for src, dst in ((b['port-uc'], b['port-ps']), (b['port-us'], b['port-pc'])):
        World.wire.send(ip(u, p, UDP, layer4(u, p, UDP, src, dst, b'plain')))
        try:
            socks[dst].sendto(b'plain', (u, src))
        except OSError:
            pass
    World.wire.send(ip(u, p, UDP, layer4(u, p, UDP, 9999, 9999, b'marker')))
    equal(receive(free), b'marker', 'a port that is not protected')
    equal(pending(*socks.values()), [], 'received in clear')
    equal(World.nl.do('endpoint-get', id=ep['id'])['drop-plaintext-in'], was + 2, 'drop-plaintext-in')
    check(not [s for s in World.wire.seen() if not s.sent and s.proto == UDP and s.sport != 9999],
          'sent in clear')
    for s in (free, *socks.values()):
        s.close()


@test('D1', 'an unconfirmed bundle goes after temporary-timeout, {} ms', each=(100, 1000))
def temporary(timeout):
    World.nl.do('config-set', temporary_timeout=timeout)
    ep = endpoint()
    start = time.monotonic()
    b = bundle(ep)
    check(0 < b['lifetime'] <= timeout + 10, f'lifetime is {b["lifetime"]}')
    equal(World.p.count(), 4, 'SAs') if timeout >= 1000 else None
    created(b)
    e = event(type='expired', reason='temporary-timeout', old_state='temporary')
    took = (time.monotonic() - start) * 1000
    check(took >= timeout * 0.9, f'gone after {took:.0f} ms')
    equal(e['bundle']['id'], b['id'], 'bundle of the event')
    check(gone(World.nl, b['id']), 'the bundle is there')
    equal(World.p.ip('xfrm state'), '', 'ip xfrm state')
    nothing_left(policies=3)
    plaintext_is_dropped(b, ep)


@test('D1', 'temporary-timeout of the time when it was made counts, and each has its own')
def own_timeout():
    ep = endpoint()
    World.nl.do('config-set', temporary_timeout=60000)
    slow = bundle(ep)
    World.nl.do('config-set', temporary_timeout=200)
    quick = bundle(ep, ue_address='192.0.2.9')
    World.nl.do('config-set', temporary_timeout=60000)
    created(slow)
    created(quick)
    e = event(type='expired', reason='temporary-timeout', old_state='temporary')
    equal(e['bundle']['id'], quick['id'], 'which one expired')
    left = World.nl.do('bundle-get', id=slow['id'])['lifetime']
    check(30000 < left <= 60010, f'the other one has {left} ms')
    equal(World.p.count(), 4, 'SAs')


@test('CONFIRM', 'a confirmed bundle outlives temporary-timeout')
def outlives():
    World.nl.do('config-set', temporary_timeout=1000)
    ep = endpoint()
    b = bundle(ep)
    created(b)
    e = confirmed(b)
    equal(e['bundle']['state'], 'established', 'state')
    # The next one's timeout ends after this one's would have
    other = bundle(ep, ue_address='192.0.2.9')
    created(other)
    e = event(type='expired', reason='temporary-timeout', old_state='temporary')
    equal(e['bundle']['id'], other['id'], 'which one expired')
    got = World.nl.do('bundle-get', id=b['id'])
    equal(got['state'], 'established', 'state')
    check(LONG - 60000 < got['lifetime'] <= LONG + 10, f'lifetime is {got["lifetime"]}')
    with Phone(b) as phone:
        for name in ('spi-ps', 'spi-uc', 'spi-us', 'spi-pc'):
            phone.deliver(name)


@test('CONFIRM', 'confirmed again, the longer lifetime holds, and there is no second event')
def longer():
    b = bundle(endpoint())
    created(b)
    confirmed(b, 100000)
    for lifetime, expected in ((1000, 100000), (200000, 200000), (150000, 200000), (4294967295000, 4294967295000)):
        World.nl.do('bundle-confirm', id=b['id'], lifetime=lifetime)
        left = World.nl.do('bundle-get', id=b['id'])['lifetime']
        check(expected - 60000 < left <= expected + 10, f'{left} ms are left, expected about {expected}')
    equal(World.events.drain(), [], 'events')


@test('D11', 'expiry removes the SAs, default-deny stays, {}', each=ADDRESSES)
def expiry(fam):
    p, u = ADDRESSES[fam]
    ep = endpoint(p)
    b = bundle(ep, ue_address=u)
    created(b)
    start = time.monotonic()
    World.nl.do('bundle-confirm', id=b['id'], lifetime=700)
    event(type='confirmed', reason='request', old_state='temporary', new_state='established')
    e = event(type='expired', reason='lifetime', old_state='established')
    took = (time.monotonic() - start) * 1000
    check(took >= 630, f'gone after {took:.0f} ms')
    equal(e['bundle']['id'], b['id'], 'bundle of the event')
    check(gone(World.nl, b['id']), 'the bundle is there')
    equal(World.p.ip('xfrm state'), '', 'ip xfrm state')
    nothing_left(policies=3)
    plaintext_is_dropped(b, ep)


@test('D14', 'deleted with linger, the SAs carry traffic until it is over, {}', each=ADDRESSES)
def linger(fam):
    p, u = ADDRESSES[fam]
    ep = endpoint(p)
    b = bundle(ep, ue_address=u)
    created(b)
    confirmed(b)
    with Phone(b) as phone:
        phone.deliver('spi-ps', b'REGISTER, expires 0')
        start = time.monotonic()
        event(type='activated', reason='used', old_state='established', new_state='active')
        World.nl.do('bundle-del', id=b['id'], linger=6000)
        event(type='superseded', reason='request', old_state='active', new_state='old')
        got = World.nl.do('bundle-get', id=b['id'])
        equal(got['state'], 'old', 'state')
        check(0 < got['lifetime'] <= 6010, f'lifetime is {got["lifetime"]}')
        World.wire.seen()
        phone.deliver('spi-uc', b'200 OK')
        wire_has([b['spi-uc']])
        for name in ('spi-ps', 'spi-us', 'spi-pc'):
            phone.deliver(name)
        check(time.monotonic() - start < 6, 'this machine is too slow for the test')
        equal(World.events.drain(), [], 'events before the end')
        expect_error('EINVAL', World.nl.do, 'bundle-confirm', id=b['id'], lifetime=LONG)
        e = event(type='deleted', reason='request', old_state='old')
        took = (time.monotonic() - start) * 1000
        check(took >= 5400, f'gone after {took:.0f} ms')
        equal(e['bundle']['id'], b['id'], 'bundle of the event')
    check(gone(World.nl, b['id']), 'the bundle is there')
    nothing_left(policies=3)
    plaintext_is_dropped(b, ep)


@test('D14', 'deleted without linger it goes at once; deleted again it may go earlier, never later')
def linger_again():
    ep = endpoint()
    b = bundle(ep)
    World.nl.do('bundle-del', id=b['id'])
    equal(World.p.ip('xfrm state'), '', 'ip xfrm state')
    created(b)
    event(type='deleted', reason='request', old_state='temporary')
    b = bundle(ep)
    created(b)
    confirmed(b)
    World.nl.do('bundle-del', id=b['id'], linger=60000)
    event(type='superseded', reason='request', old_state='established', new_state='old')
    World.nl.do('bundle-del', id=b['id'], linger=3600000)
    left = World.nl.do('bundle-get', id=b['id'])['lifetime']
    check(left <= 60010, f'{left} ms are left')
    World.nl.do('bundle-del', id=b['id'], linger=100)
    event(type='deleted', reason='request', old_state='old')
    # Never longer than it would have lived anyway
    World.nl.do('config-set', temporary_timeout=2000)
    b = bundle(ep)
    try:
        World.nl.do('bundle-del', id=b['id'], linger=3600000)
    except NlError as e:
        equal(e.name, 'ENOENT', 'on a machine too slow for this')
    created(b)
    while World.events.next()['type'] not in ('deleted', 'expired'):
        pass
    nothing_left(policies=3)


@test('EVENT', 'every event, in order, its numbers without a gap, what it says of the bundle')
def events():
    ep = endpoint()
    with World.p:
        second = Events()
    b = bundle(ep)
    first = created(b)
    for k in set(b) - {'lifetime'}:
        equal(first['bundle'][k], b[k], k)
    check('ik' not in first['bundle'] and 'ck' not in first['bundle'], 'keys are told')
    seqs = [first['seq'], confirmed(b)['seq']]
    with Phone(b) as phone:
        phone.deliver('spi-ps')
    seqs.append(event(type='activated', reason='used', old_state='established', new_state='active')['seq'])
    World.nl.do('bundle-del', id=b['id'])
    last = event(type='deleted', reason='request', old_state='active')
    check(last['bundle']['rx-packets'] == 1, 'the last event has not the last counters')
    seqs.append(last['seq'])
    bundle(ep)
    World.nl.do('endpoint-del', id=ep['id'], force=True)
    seqs.append(event(type='created', reason='request', new_state='temporary')['seq'])
    seqs.append(event(type='deleted', reason='endpoint', old_state='temporary')['seq'])
    equal(seqs, list(range(seqs[0], seqs[0] + 6)), 'numbers')
    equal([e['seq'] for e in (second.next(), *second.drain())], seqs, 'what a second listener hears')
    second.close()
    # Those that nobody heard are counted, too
    nobody, World.events = World.events, None
    nobody.close()
    ep = endpoint()
    bundle(ep)
    with World.p:
        World.events = Events()
    World.nl.do('endpoint-del', id=ep['id'], force=True)
    equal(event(type='deleted', reason='endpoint', old_state='temporary')['seq'], seqs[-1] + 2, 'number')


@test('EVENT', 'a listener that reads too late knows by the numbers')
def overrun():
    ep = endpoint()
    with World.p:
        late = Events()
    late.sock.setsockopt(1, 33, 4096)  # SO_RCVBUFFORCE
    n = 40
    for i in range(n):
        b = bundle(ep, ue_address=f'198.51.100.{i + 1}')
        World.nl.do('bundle-del', id=b['id'])
    seqs = []
    while not seqs or seqs[-1] < 0:
        try:
            seqs += [e['seq'] for e in [late.next(0), *late.drain()]]
        except TimeoutError:
            break
        except OSError as e:
            equal(e.errno, 105, 'ENOBUFS')
    World.nl.do('bundle-del', id=bundle(ep)['id'])
    fresh = late.next()['seq']
    check(fresh > seqs[-1] + 1, 'no gap is to be seen')
    late.close()


def victim(f):
    """Run f in a process that holds sockets as a SIP server does, kill it with SIGKILL; what f returned."""
    r, w = os.pipe()
    pid = os.fork()
    if not pid:
        try:
            with World.p:
                nl = Family()
            held = [World.p.udp(P4, port) for port in (PORT_PS, *PORT_PC)]
            held.append(World.p.tcp(P4, PORT_PS, True))
            result = f(nl)
            os.write(w, repr(result).encode())
            signal.pause()
        finally:
            os._exit(1)
    os.close(w)
    data = os.read(r, 1 << 16)
    os.close(r)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    check(data, 'the child has failed')
    return eval(data, {})  # pylint: disable=eval-used


@test('D16', 'SIP server killed: its temporary bundle dies by itself')
def killed_temporary():
    def work(nl):
        nl.do('config-set', temporary_timeout=1500)
        ep = endpoint(nl=nl)
        return ep, bundle(ep, nl=nl)
    ep, b = victim(work)
    created(b)
    equal(World.nl.do('bundle-get', id=b['id'])['state'], 'temporary', 'right after the kill')
    event(type='expired', reason='temporary-timeout', old_state='temporary')
    nothing_left(policies=3)
    plaintext_is_dropped(b, ep)


@test('D16', 'SIP server killed: an established bundle stays and carries traffic, the guard stays')
def killed_established():
    def work(nl):
        nl.do('config-set', temporary_timeout=200)
        ep = endpoint(nl=nl)
        b = bundle(ep, nl=nl)
        nl.do('bundle-confirm', id=b['id'], lifetime=LONG)
        return ep, b, bundle(ep, nl=nl, ue_address='192.0.2.9')
    ep, b, other = victim(work)
    created(b)
    event(type='confirmed', reason='request', old_state='temporary', new_state='established')
    created(other)
    e = event(type='expired', reason='temporary-timeout', old_state='temporary')
    equal(e['bundle']['id'], other['id'], 'which one expired')
    got = World.nl.do('bundle-get', id=b['id'])
    equal(got['state'], 'established', 'state')
    check(got['lifetime'] > LONG - 120000, f'{got["lifetime"]} ms are left')
    plaintext_is_dropped(b, ep)
    # The next SIP server binds the ports and goes on
    with Phone(b) as phone:
        for name in ('spi-ps', 'spi-uc', 'spi-us', 'spi-pc'):
            phone.deliver(name)


@test('D16', 'SIP server killed: a lingering bundle goes, an expiring one expires')
def killed_ending():
    def work(nl):
        ep = endpoint(nl=nl)
        made = [bundle(ep, nl=nl, ue_address=f'192.0.2.{9 + i}') for i in range(2)]
        for b, lifetime in zip(made, (LONG, 800)):
            nl.do('bundle-confirm', id=b['id'], lifetime=lifetime)
        nl.do('bundle-del', id=made[0]['id'], linger=400)
        return made
    made = victim(work)
    ends = {}
    while len(ends) < 2:
        e = World.events.next()
        if e['type'] in ('expired', 'deleted'):
            ends[e['bundle']['id']] = (e['type'], e['reason'])
    equal(ends, {made[0]['id']: ('deleted', 'request'), made[1]['id']: ('expired', 'lifetime')}, 'ends')
    nothing_left(policies=3)


REGISTER = f"""REGISTER sip:ims.example SIP/2.0\r
Via: SIP/2.0/UDP {U4}:5060;branch=z9hG4bK{{0}}\r
From: <sip:ue1@ims.example>;tag=1\r
To: <sip:ue1@ims.example>\r
Call-ID: {{0}}@ue\r
CSeq: 1 REGISTER\r
Contact: <sip:{U4}:{PORT_US}>;expires=600\r
Security-Client: ipsec-3gpp;alg=hmac-sha-1-96;ealg=aes-cbc;spi-c={SPI_UC};spi-s={SPI_US};port-c={PORT_UC};port-s={PORT_US}\r
Content-Length: 0\r
\r
"""


@test('D16', 'the example P-CSCF killed after its 401: the bundle dies by itself, the guard stays, the next one goes on')
def killed_pcscf():
    World.nl.do('config-set', temporary_timeout=3000)
    argv = (TOP + '/build/user/pcscf', '-l', P4, '--port-ps', str(PORT_PS), '--port-pc', str(PORT_PC[0]),
            '--vectors', TOP + '/selftests/demo/vectors')
    phone = World.u.udp(U4, 5060)
    for turn in ('first', 'second'):
        with World.p:
            pcscf = subprocess.Popen(argv)

        def challenged():
            # Until it listens; what is repeated is answered again, and makes one bundle
            phone.sendto(REGISTER.format(turn).encode(), (P4, 5060))
            return select.select([phone], [], [], 0.2)[0]
        try:
            wait(challenged, 'an answer')
            answer = phone.recv(1 << 16).decode()
        finally:
            pcscf.kill()
            pcscf.wait()
        b, = World.nl.dump('bundle-get')
        equal(b['state'], 'temporary', 'right after the kill')
        check(answer.startswith('SIP/2.0 401 '), answer)
        for parameter, name in (('spi-c', 'spi-pc'), ('spi-s', 'spi-ps'), ('port-c', 'port-pc'), ('port-s', 'port-ps')):
            check(f'{parameter}={b[name]}' in answer, f'{name} in Security-Server: {answer}')
        created(b)
        event(type='expired', reason='temporary-timeout', old_state='temporary')
        nothing_left(policies=2)
        pending(phone)
        World.wire.seen()
        ep, = World.nl.dump('endpoint-get')
        plaintext_is_dropped(b, ep)
    phone.close()


if __name__ == '__main__':
    main(setup, before, teardown)
