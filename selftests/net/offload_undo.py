#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only
"""bundle-new while the interface that is to do its ESP goes: each way in which it ends, and each way to go.

The interface is selftests/offload/nic.c. It waits when it is given an SA, or frees one, so that the one happens in the
midst of the other; where there are two CPUs, it takes its time to delete an SA.
"""
import os
import subprocess
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '../lib'))
from ims import *  # noqa: E402,F403  pylint: disable=wildcard-import,unused-wildcard-import,wrong-import-position
from asleep import Working, namespaces_end  # noqa: E402  pylint: disable=wrong-import-position
from nic import NIC_KO_SMP, Nic, in_software, on_device  # noqa: E402  pylint: disable=wrong-import-position
from rounds import Rounds  # noqa: E402  pylint: disable=wrong-import-position

GCM = {'ue_address': U4, 'auth_alg': 'null', 'enc_alg': 'aes-gcm'}
# What happens to the interface
GO = ('goes down', 'is renamed', 'moves away', 'is removed')
# What becomes of bundle-new beside that: the driver refuses the last SA, or somebody has the SA of a flow
ENDS = ('is made', 'is refused', *(f'clashes at SA {n}' for n in range(4)))


class Making(threading.Thread):
    """A bundle-new that the interface keeps waiting; what came of it."""

    def __init__(self, ep):
        super().__init__(daemon=True)
        self.ep, self.result = ep, None
        with World.p:
            self.nl = Family()
        self.start()

    def run(self):
        try:
            self.result = bundle(self.ep, nl=self.nl, **GCM)
        except NlError as e:
            self.result = e

    def end(self):
        self.join(60)
        check(not self.is_alive(), 'bundle-new does not return')
        self.nl.close()
        return self.result


def go(dev, how):
    """Have it happen; what is still to be waited for."""
    if how == 'goes down':
        dev.link('down')
    elif how == 'is renamed':
        dev.rename('nic9')
    elif how == 'moves away':
        dev.link('netns U')
        dev.ns = World.u
    else:
        # It waits for what is still there of the SAs
        p = subprocess.Popen(['rmmod', 'nic'])  # pylint: disable=consider-using-with
        wait(lambda: 'nic0' not in World.p.ip('-o link'), 'nic0 goes')
        return p
    return None


def come_back(dev, how):
    """It is nic0, in P, and up again."""
    if how == 'is removed':
        return Nic()
    if how == 'is renamed':
        dev.rename('nic0')
    elif how == 'moves away':
        dev.link('netns P')
        dev.ns = World.p
    dev.link('up')
    dev.set()
    return dev


def look(dev, ep, end, how, demanded, result, knob, n):
    """What came of it, and that nothing else is left."""
    # As long as it is not on the device, XFRM looks for the device for each SA
    is_cut = knob == 'wait_add' and n < 4 and how in GO[2:]
    is_lost = knob == 'wait_add' and how != 'is renamed'
    reason = 'refused' if is_cut else 'table-full' if end == 'is refused' else 'lost' if is_lost else None
    if reason and demanded:
        wanted = 'ENOSPC' if reason == 'table-full' else 'EOPNOTSUPP'
    else:
        wanted = 'EEXIST' if 'clash' in end and int(end[-1]) < (n if is_cut else 4) else None
    equal(result.name if isinstance(result, NlError) else None, wanted, f'bundle-new: {result}')
    there = World.nl.dump('bundle-get')
    equal(len(there), 0 if wanted else 1, 'bundles')
    for b in there:
        if reason:
            in_software(reason, b)
        else:
            on_device(dev, b)
    if how != 'is removed':
        dev.has(*(there if not reason else ()))
    for b in there:
        World.nl.do('bundle-del', id=b['id'])
    World.xfrm.flush_states()  # the one that clashed
    nothing_left(policies=3)
    equal(World.nl.do('endpoint-get', id=ep['id'])['hw-offload-bundles'], 0, 'hw-offload-bundles')


def run(dev, end, how, demanded, knob, n):
    """One bundle-new, during which the n-th SA waits; the device of the next."""
    ep = endpoint(hw_offload_interface='nic0', hw_offload_required=demanded)
    dev.set(**{knob: n, 'clash': int(end[-1]) + 1 if 'clash' in end else 0, 'sas': 3 if end == 'is refused' else 1000})
    making = Making(ep)
    try:
        wait(lambda: dev.get('waiting') == 'Y', 'an SA waits')
        left = go(dev, how)
        if knob == 'wait_free' and how in GO[:3:2]:
            equal(dev.sas(), {}, 'SAs on the device when it has gone')
    finally:
        dev.go_on()
    result = making.end()
    if left:
        wait(lambda: left.poll() is not None, 'rmmod nic', 60)
        equal(left.returncode, 0, 'rmmod nic')
    look(dev, ep, end, how, demanded, result, knob, n)
    dev = come_back(dev, how)
    # And the next one is well
    b = bundle(ep, **GCM)
    dev.has(b)
    World.nl.do('endpoint-del', id=ep['id'], force=True)
    nothing_left()
    return dev


@test('UNDO NETNS', 'while a driver has a bundle wait, and what has expired waits for it, other namespaces end')
def others_end():
    if not UML:
        raise Skip('shown in user-mode Linux')
    lifetime, ep = 1, endpoint(P6)
    b = bundle(ep)
    with Nic(wait_add=1) as dev:
        hw = endpoint(hw_offload_interface='nic0')
        World.nl.do('bundle-confirm', id=b['id'], lifetime=1000 * lifetime)
        end = time.monotonic() + lifetime
        making = Making(hw)
        try:
            wait(lambda: dev.get('waiting') == 'Y', 'an SA waits')
            wait(lambda: time.monotonic() > end, 'the other bundle has had its time')
            Working(namespaces_end, 'other namespaces end').ends()
        finally:
            dev.go_on()
        check(isinstance(making.end(), dict), 'bundle-new')
        wait(lambda: gone(World.nl, b['id']), 'the other bundle goes')
        World.nl.do('endpoint-del', id=hw['id'], force=True)


def each_way(end, cases):
    """Each way in which it can go, in each of the cases: demanded or not, what waits, and the n-th."""
    dev = Nic()
    try:
        for how in GO:
            for demanded, knob, n in cases:
                try:
                    dev = run(dev, end, how, demanded, knob, n)
                except Fail as e:
                    raise Fail(f'it {how}, {"demanded" if demanded else "wished for"}, {knob} {n}: {e}') from None
        dev.empty()
    finally:
        dev.remove()


@test('UNDO', 'bundle-new {} while its interface gets an SA, and that interface goes, each way: all or nothing',
      each=ENDS, limit=900)
def while_given(end):
    each_way(end, ((0, 'wait_add', 1), (0, 'wait_add', 4), (1, 'wait_add', 4)))


@test('UNDO', 'bundle-new {} and takes its SAs back, and its interface goes meanwhile, each way: nothing is left',
      each=ENDS[1:5], limit=900)
def while_taken_back(end):
    last = 3 if end == 'is refused' else 4 - int(end[-1])
    each_way(end, [(int(end == 'is refused'), 'wait_free', n) for n in sorted({1, last})])


@test('UNDO', 'bundles {} while their interface goes down and up again and again: all or nothing',
      each=('that clash', 'that are deleted'))
def down_and_up(which):
    if os.cpu_count() < 2:
        raise Skip('one CPU: nothing happens while an SA is being deleted')
    with Nic(ko=NIC_KO_SMP) as dev:
        ep, done = endpoint(hw_offload_interface='nic0'), 0
        # It keeps the other CPU from going on
        dev.set(delete_ms=20)

        def toggle():
            World.p.batch('link set nic0 down', 'link set nic0 up')
        with Rounds(toggle):
            while done < 40:
                dev.set(delete_ms=20, clash=4 if which == 'that clash' else 0)
                try:
                    b = bundle(ep, **GCM)
                    World.nl.do('bundle-del', id=b['id'])
                    done += which != 'that clash' and b['offload'] == 'crypto'
                except NlError as e:
                    equal(e.name, 'EEXIST', 'bundle-new')
                    done += 1
                World.xfrm.flush_states()
        dev.set()
        nothing_left(policies=3)
        equal(World.nl.dump('bundle-get'), [], 'bundles')
        equal(World.nl.do('endpoint-get', id=ep['id'])['hw-offload-bundles'], 0, 'hw-offload-bundles')
        dev.empty()
        World.nl.do('endpoint-del', id=ep['id'])


if __name__ == '__main__':
    main(setup, before, teardown)
