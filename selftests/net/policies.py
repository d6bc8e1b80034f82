#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only
"""A10: the policies are everybody's, and the ports stay shut whatever is done to them."""
import mmap
import os
import re
import signal
import struct
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '../lib'))
from ims import *  # noqa: E402,F403  pylint: disable=wildcard-import,unused-wildcard-import,wrong-import-position
from protected import *  # noqa: E402,F403  pylint: disable=wildcard-import,unused-wildcard-import,wrong-import-position


def policies():
    """What `ip xfrm policy` shows: selectors, directions, priorities, templates with their reqid."""
    text = World.p.ip('xfrm policy')
    return sorted(re.split(r'^(?=src )', text, flags=re.MULTILINE)[1:])


def back(was):
    """All have come back, and are as they were."""
    try:
        wait(lambda: len(World.xfrm.policies()) == len(was) and policies() == was, 'the policies come back', 10)
    except Fail:
        equal(policies(), was, 'policies')


def selector(port, addr):
    """That of a port's policy, for `ip xfrm policy`."""
    return f'src {addr} dst {"::/0" if ":" in addr else "0.0.0.0/0"} sport {port} dir out'


class Trying:
    """Processes that do one thing without pause."""

    def __init__(self, *functions):
        self.functions, self.children = functions, []
        # A page that they and this process have: how often each has done it
        self.counts = mmap.mmap(-1, mmap.PAGESIZE)

    def tries(self):
        return list(struct.unpack_from(f'{len(self.functions)}Q', self.counts))

    def __enter__(self):
        for n, f in enumerate(self.functions):
            pid = os.fork()
            if not pid:
                tries, go = 0, [True]
                signal.signal(signal.SIGALRM, signal.SIG_DFL)
                signal.signal(signal.SIGTERM, lambda *_, go=go: go.clear())
                try:
                    os.sched_setaffinity(0, {(n + 1) % os.cpu_count()})
                    while go:
                        try:
                            f()
                        except OSError:
                            pass
                        tries += 1
                        struct.pack_into('Q', self.counts, 8 * n, tries)
                finally:
                    os._exit(0)
            self.children.append(pid)
        wait(lambda: min(self.tries()) >= 10, 'each process tries', 60)
        return self

    def __exit__(self, *_):
        for pid in self.children:
            os.kill(pid, signal.SIGTERM)
            os.waitpid(pid, 0)


@test('A1', 'port_ps has a reqid, and the ports of port_pc another, of their policies and of the SAs from them; the SAs to them have a third, {}', each=ADDRESSES)
def reqids(fam):
    p, u = ADDRESSES[fam]
    ep = endpoint(p)
    of = {int(port): int(reqid) for port, reqid in re.findall(r'sport (\d+) .*?reqid (\d+)', World.p.ip('xfrm policy'), re.DOTALL)}
    equal(sorted(of), sorted(PORTS), 'ports with a policy')
    check(all(of.values()) and {of[x] for x in PORT_PC} == {of[PORT_PC[0]]} != {of[PORT_PS]}, f'reqids: {of}')
    for n in range(2):
        b = bundle(ep, ue_address=u, port_uc=PORT_UC + n, port_us=PORT_US + n, spi_uc=SPI_UC + 2 * n, spi_us=SPI_US + 2 * n)
        got = {s['spi']: s['reqid'] for s in World.p.states()}
        for name, port in (('spi-uc', PORT_PS), ('spi-us', b['port-pc'])):
            equal(got[b[name]], of[port], f'reqid of {name}')
        equal(got[b['spi-ps']], got[b['spi-pc']], 'reqid of the SAs to this host')
        check(got[b['spi-ps']] not in (0, *of.values()), f'reqids: {got}')


@test('A10', 'flush: nothing passes in the moments after it, and the policies come back, {}', each=ADDRESSES)
def flushed(fam):
    p, u = ADDRESSES[fam]
    ep = endpoint(p)
    b = bundle(ep, ue_address=u)
    was, phone_free = policies(), World.u.udp(u, FREE)
    equal(len(was), len(PORTS), 'policies')
    with Phone(b) as phone:
        into = [ip(u, p, proto, layer4(u, p, proto, sport, port, b'in')) for proto in (UDP, TCP)
                for sport in (5060, PORT_UC) for port in (PORT_PS, b['port-pc'])]

        def send_in():
            World.wire.send(*into)

        def send_out():
            for s in (phone.ps, phone.pc):
                try:
                    s.sendto(b'out', (u, FREE))
                except OSError:
                    pass
        clear = []
        with Trying(send_in, send_out) as trying:
            flushes = 0
            while flushes < 50 or min(trying.tries()) <= 50:
                World.xfrm.flush_policies()
                flushes += 1
                wait(lambda: len(World.xfrm.policies()) == len(was), 'the policies come back')
                clear += [s for s in World.wire.seen() if not s.sent and s.proto != ESP and not quiet(s)]
        clear += [s for s in World.wire.seen() if not s.sent and s.proto != ESP and not quiet(s)]
        check(not clear, f'in clear on the wire: {clear[:3]}')
        equal(pending(phone.ps, phone.pc, phone_free), [], 'delivered')
        got = drops(ep)
        say(f'{trying.tries()} tries in {flushes} flushes, dropped: {got}')
        check(got['plaintext-in'] > 0 and got['no-live-set'] + got['cross-pair'] + got['plaintext-out'] > 0, f'{got}')
        back(was)
        for name in ('spi-ps', 'spi-uc', 'spi-us', 'spi-pc'):
            phone.deliver(name)
        phone.talk(phone.connect('spi-ps'))
        phone.talk(phone.connect('spi-us'))
        wire_has([b[k] for k in ('spi-ps', 'spi-uc', 'spi-us', 'spi-pc')])
    phone_free.close()


@test('A10', 'flush: by `ip xfrm policy flush`, and of one by `ip xfrm policy delete`, they come back, {}', each=ADDRESSES)
def deleted(fam):
    with Case(fam, WITH) as c:
        was = policies()
        World.p.ip('xfrm policy flush')
        back(was)
        for port in (PORT_PS, PORT_PC[1]):
            World.p.ip('xfrm policy delete ' + selector(port, c.p))
            back(was)
        c.work()
        for port in PORTS:
            c.put(f'port {port}', c.clear(5060, port), plaintext_in=1)


@test('A10', 'flush: what somebody has expire comes back, {}', each=ADDRESSES)
def expired(fam):
    with Case(fam, WITH) as c:
        was = policies()
        for p in World.xfrm.policies():
            # XFRM_MSG_POLEXPIRE, struct xfrm_user_polexpire: the policy as the dump has it, and "hard"
            World.xfrm.request(27, p[:168] + struct.pack('=B7x', 1))
            back(was)
        c.work()


@test('A10', 'flush: what guard bypass has optional comes back optional, {}', each=ADDRESSES)
def flushed_bypass(fam):
    with Case(fam, WITH, 'bypass') as c:
        was = policies()
        check(all('level use' in x for x in was), f'not optional: {was}')
        World.p.ip('xfrm policy flush')
        back(was)
        World.wire.send(c.clear())
        equal(receive(c.udp[0]), bytes(40), 'plaintext')
        c.work()


@test('A10', "flush: a policy that a stranger puts in the place of ours opens nothing, and ours is back after it, {}",
      each=ADDRESSES)
def replaced(fam):
    with Case(fam, WITH) as c:
        was = policies()
        theirs = [selector(port, c.p) for port in PORTS]
        World.p.ip(*(f'xfrm policy update {x}' for x in theirs))
        check(not any('tmpl' in x for x in policies()), 'there are policies of ours')
        for port, s in zip(PORTS, c.udp):
            for proto in (UDP, UDPLITE, TCP):
                c.put(f'protocol {proto} to port {port}', c.clear(PORT_UC, port, proto), plaintext_in=1)
            before_that = c.count('plaintext-out')
            tries = try_to_send(c, port) + 1
            try:
                s.sendto(b'out', (c.u, PORT_US))
            except PermissionError:
                pass
            c.left()
            c.silent(f'sockets at port {port}')
            n = c.count('plaintext-out') - before_that
            check(n >= tries, f'{n} counted of {tries}')
        # One stays a little longer
        World.p.ip(*(f'xfrm policy delete {x}' for x in theirs[1:]))
        wait(lambda: sum('tmpl' in x for x in policies()) == len(PORTS) - 1, 'all but one come back')
        World.p.ip(f'xfrm policy delete {theirs[0]}')
        back(was)
        c.work()


@test('A10', 'flush: what belongs to an endpoint that goes at that moment does not come back')
def flushed_and_gone():
    stays = endpoint(P6)
    was = policies()
    equal(len(was), len(PORTS), 'policies')
    for _ in range(20):
        goes = endpoint(P4)
        World.xfrm.flush_policies()
        World.nl.do('endpoint-del', id=goes['id'])
        back(was)
    # And with nothing to put back
    World.xfrm.flush_policies()
    World.nl.do('endpoint-del', id=stays['id'])
    nothing_left()
    World.nl.do('endpoint-del', id=endpoint(P6)['id'])
    nothing_left()


@test('A10', 'flush: SAs and policies of others are not touched')
def others():
    ours = endpoint(P4)
    mine = len(policies())
    World.p.ip(f'xfrm policy add src {P4} dst {U4} sport 4000 dir out',
               f'xfrm policy add src {P4} dst {U4} sport {PORT_PS} dir out priority 5')
    was = policies()
    World.p.ip('xfrm policy delete ' + selector(PORT_PS, P4))
    back(was)
    World.p.ip('xfrm policy flush')
    back([x for x in was if 'tmpl' in x])
    equal(len(policies()), mine, 'policies')
    World.nl.do('endpoint-del', id=ours['id'])
    nothing_left()


if __name__ == '__main__':
    main(setup, before, teardown)
