#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only
"""Five hundred UEs are re-registered at once, again and again, for ten minutes.

Not part of the tests that always run: `make soak`.  UES and MINUTES in the environment
change how many and how long.
"""
import os
import resource
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '../lib'))
from ims import *  # noqa: E402,F403  pylint: disable=wildcard-import,unused-wildcard-import,wrong-import-position
from ktap import TESTS  # noqa: E402  pylint: disable=wrong-import-position
from rereg import Server, begin, one_round  # noqa: E402  pylint: disable=wrong-import-position

TESTS.clear()  # those of rereg.py
UES = int(os.environ.get('UES') or 500)
MINUTES = float(os.environ.get('MINUTES') or 10)
LIMIT = int(MINUTES * 60 * 2 + 1200)


def addresses():
    """One a UE, on the wire's far end, known to P."""
    found = [f'10.9.{i >> 8}.{i & 255}' for i in range(1, UES + 1)]
    World.u.ip(*(f'addr add {a}/32 dev u0' for a in found))
    World.p.ip('route add 10.9.0.0/16 dev p0',
               *(f'neigh replace {a} lladdr 02:00:00:00:00:02 dev p0 nud permanent' for a in found))
    return found


def life(ep, commands, server, addr, i):
    """A UE: registered, and then re-registered for ever; gives its rounds and messages."""
    same = i % 2 == 0
    more = {'owner': b'%d@ims.example' % i, 'ue_address': addr}
    cur, talk = begin(ep, commands, server, same, **more)
    ue, before_it, n = talk.ue, None, 0
    while True:
        n += 1
        new = yield from one_round(talk, ep, n, same, cur, **more)
        if before_it:
            ue.forget(before_it)
        before_it, cur = cur, new
        yield n, talk


@test('SOAK', '{}', each=(f'{UES} UEs at once, for {MINUTES:g} minutes: nothing lost, nothing in clear',), limit=LIMIT)
def soak(_):
    resource.setrlimit(resource.RLIMIT_NOFILE, (1 << 16, 1 << 16))
    # Those with ports of their own each time, and those that keep theirs
    eps = [endpoint(P4, port_ps=7777, port_pc=[7807]), endpoint(P4, port_ps=7778, port_pc=[7817, 7818, 7819])]
    servers, commands = [Server(ep) for ep in eps], Batch(World.u)
    World.events.close()
    ues = [life(eps[i % 2], commands, servers[i % 2], a, i) for i, a in enumerate(addresses())]
    talks, rounds, end, said = {}, 0, time.monotonic() + MINUTES * 60, time.monotonic()
    while time.monotonic() < end:
        for i, ue in enumerate(ues):
            done = next(ue)
            if done:
                rounds += 1
                talks[i] = done[1]
        if time.monotonic() > said + 60:
            said = time.monotonic()
            say(f'{rounds} re-registrations')
    messages = sum(next(t.n) for t in talks.values())
    say(f'{UES} UEs, {rounds} re-registrations, {messages} messages')
    check(rounds > UES or MINUTES < 5, 'hardly anything has happened')
    for ep in eps:
        drops = World.nl.do('endpoint-get', id=ep['id'])
        equal({k: v for k, v in drops.items() if k.startswith('drop-') and v}, {}, 'dropped')
    check(len(World.nl.dump('bundle-get')) <= 3 * UES, 'sets are left over')
    with World.p:
        World.events = Events()
    for s in servers:
        s.close()
    commands.close()


if __name__ == '__main__':
    main(setup, before, teardown)
