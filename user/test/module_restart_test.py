#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""module_restart_test.py PCSCF IMSIPSEC

The example P-CSCF is killed at every step of a registration and started again, as a
supervisor does; the phone does what phones do, which is to repeat a request until it is
answered. Nobody registers anew, and nothing is left over. To be run by root where the
module is loaded.
"""
import contextlib
import ctypes
import json
import re
import signal
import socket
import subprocess
import sys
import threading
import time

import module_pcscf_test as test
from module_pcscf_test import DEMO, P, Phone, Set, sh, wait_for

LINGER = 4000           # longer than it takes to start again
TEMPORARY = '5s'        # longer than it takes to see what is there
CLONE_NEWNET = 0x40000000


class Pair:
    """A P-CSCF's namespace, and a phone's; the one whose P-CSCF is spoken of at present."""
    now = None

    def __init__(self, name):
        self.p, self.u = f'{name}-p', f'{name}-u'
        test.make_namespaces(self.p, self.u)

    def enter(self):
        """The phone's, from here on."""
        enter(self.u)
        Pair.now = self

    def delete(self):
        sh(f'ip netns del {self.p}; ip netns del {self.u}')


class Pcscf:
    """The P-CSCF and its supervisor, which starts it again when it is killed."""

    def __init__(self, pcscf, *options):
        self.ns = Pair.now.p
        self.command = [pcscf, '-v', '-l', P, '--reauthenticate', '--linger', str(LINGER), '--vectors', DEMO + '/vectors']
        self.deaths, self.lines, self.stopping = 0, [], False
        self.ready = threading.Event()
        self.process = None
        self.thread = threading.Thread(target=self.supervise, args=options)
        self.thread.start()
        self.ready.wait()

    def supervise(self, *options):
        enter(self.ns)  # this thread alone
        while not self.stopping:
            with subprocess.Popen(self.command + list(options), stderr=subprocess.PIPE, text=True) as process:
                self.process = process
                if self.stopping:
                    process.terminate()
                for line in process.stderr:
                    self.lines.append(line.rstrip())
                    if line == 'pcscf: ready\n':
                        self.ready.set()
            self.deaths += process.returncode == -signal.SIGKILL
            if process.returncode != -signal.SIGKILL:
                break
            options = ()
        self.ready.set()

    def kill(self):
        """For good"""
        self.stopping = True
        self.process.kill()
        self.thread.join()

    def stop(self):
        self.stopping = True
        self.process.terminate()
        self.thread.join()


class Patient(Phone):
    """Repeats a request until it is answered (RFC 3261 clause 17.1.2)."""

    def send(self, text, sock, to, answers):
        cseq = re.search(rb'^CSeq: .*?\r$', text, re.M)[0].decode()
        wait, end = 0.5, time.monotonic() + 64
        while time.monotonic() < end:
            sock.sendto(text, to)
            answers.settimeout(wait)
            try:
                # An answer to what was repeated may come twice.
                while True:
                    answer = answers.recv(16384).decode()
                    if cseq in answer:
                        return answer
            except socket.timeout:
                wait = min(2 * wait, 4)
        return 'SIP/2.0 nothing'

    def close(self):
        for sock in self.socks.values():
            sock.close()


def imsipsec(*words):
    with inside(Pair.now.p):
        out = subprocess.run([sys.argv[2], '-j', *words], check=True, stdout=subprocess.PIPE, text=True).stdout
    return json.loads(out) if out else None


def states():
    return {b['spi-uc']: b['state'] for b in imsipsec('bundle', 'show')}


def register(ue, new, name, over=None, verify=None):
    new.agree(ue.expect(401, ue.register(over, new, verify=verify), f'{name}: challenged'))
    ue.expect(200, ue.register(new, new, verify=new, res=new.res), f'{name}: registered')


def use(ue, over, name, ways=('rx', 'tx')):
    """A message there, and its answer back"""
    before = bundle(over)
    ue.expect(200, ue.request('MESSAGE', over), f'{name}: a message and its answer')
    after = bundle(over)
    ue.ok(before and after and all(after[f'{way}-packets'] > before[f'{way}-packets'] and
                                   f'last-{way}' in after for way in ways),
          f'{name}: over the set', (before, after))


def bundle(over):
    return next((b for b in imsipsec('bundle', 'show') if b['spi-uc'] == int(over.client['spi-c'])), None)


# What a UE does in a P-CSCF's life; which of its steps is the one to die at comes with it.

def first_time(ue, name):
    a = Set(0, 6301)
    register(ue, a, name)
    use(ue, a, name)
    got = states()
    ue.ok(got == {5000: 'active'}, f'{name}: one set, in use', got)


def again(ue, name):
    a, b = Set(0, 6301), Set(1, 6303)
    register(ue, a, name)
    use(ue, a, name)
    register(ue, b, f'{name}, again', over=a, verify=a)
    use(ue, b, name)
    # with ports that are the same, what is sent leaves over the new one
    use(ue, a, f'{name}, the older set', ways=('rx',))
    got = states()
    ue.ok(got == {5000: 'old', 5002: 'active'}, f'{name}: two sets, the new one in use', got)


def leave(ue, name):
    a, b = Set(0, 6301), Set(1, 6303)
    register(ue, a, name)
    use(ue, a, name)
    ue.expect(200, ue.register(a, a, verify=a, expires=0), f'{name}: de-registered')
    ue.ok(wait_for(lambda: not states(), 60), f'{name}: its set goes', states())
    register(ue, b, f'{name}, then back')
    use(ue, b, name)
    got = states()
    ue.ok(got == {5002: 'active'}, f'{name}: one set, in use', got)


STEPS = ('challenge', 'made', 'challenged', 'confirm', 'confirmed', 'registered')
TABLE = [(first_time, 'first', step, 1) for step in STEPS] + \
        [(again, 're-registration', step, 2) for step in STEPS] + \
        [(leave, 'de-registration', step, 1) for step in ('leave', 'flushed', 'left')]


def clean():
    sh('ip xfrm state flush; ip xfrm policy flush')
    for endpoint in imsipsec('endpoint', 'show'):
        imsipsec('endpoint', 'del', 'id', str(endpoint['id']), 'force')


def one(ue, scenario, what, step, turn):
    name = f'D16: {what}, killed at {step}'
    pcscf = Pcscf(sys.argv[1], '--die-at', f'{step}:{turn}')
    try:
        scenario(ue, name)
        # answers reach the phone before the process that sent them is killed
        ue.ok(wait_for(lambda: pcscf.deaths == 1, 30), f'{name}: just once', pcscf.deaths)
        stats = imsipsec('stats')
        ue.ok(stats['spis-used'] == 2 * stats['bundles'] and stats['bundles'] == len(states()) and
              stats['registrations'] == 1 and not stats['pending'],
              f'{name}: nothing is left over', stats)
    finally:
        pcscf.stop()
        if ue.failed:
            print('\n'.join('# ' + x for x in pcscf.lines))
        clean()
        ue.close()


def unclaimed(ue):
    """Nobody starts it again. Something else is done while the lifetime of its set passes."""
    name = 'D16: killed for good'
    a, b = Set(0, 6301), Set(1, 6303)
    imsipsec('config', 'set', 'temporary-timeout', TEMPORARY)
    pcscf = Pcscf(sys.argv[1])
    a.agree(ue.expect(401, ue.register(None, a), f'{name}: challenged'))
    ue.expect(200, ue.register(a, a, verify=a, res=a.res, expires=1), f'{name}: registered')
    b.agree(ue.expect(401, ue.register(a, b, verify=a), f'{name}: challenged again'))
    pcscf.kill()
    ue.ok(set(states()) == {5000, 5002}, f'{name}: two sets', states())
    ue.ok(wait_for(lambda: set(states()) == {5000}, 25), f'{name}: the temporary one ends first', states())
    yield
    ue.ok(wait_for(lambda: not states(), 90), f'{name}: the other one by its lifetime', states())
    stats = imsipsec('stats')
    ue.ok(stats['spis-used'] == 0 and stats['registrations'] == 0 and stats['expired'] >= 2,
          f'{name}: nothing is left over', stats)
    clean()
    ue.close()


def setns(file):
    if ctypes.CDLL(None, use_errno=True).setns(file.fileno(), CLONE_NEWNET):
        raise OSError(ctypes.get_errno(), 'setns')


def enter(ns):
    with open(f'/run/netns/{ns}', 'rb') as file:
        setns(file)


@contextlib.contextmanager
def inside(ns):
    """This thread is there meanwhile."""
    with open('/proc/thread-self/ns/net', 'rb') as was:
        enter(ns)
        try:
            yield
        finally:
            setns(was)


def main():
    failed, pairs = 0, []
    try:
        pairs = [Pair('restart-1'), Pair('restart-2')]
        pairs[0].enter()
        last = Patient()
        waiting = unclaimed(last)
        next(waiting)
        n = last.n
        pairs[1].enter()
        for entry in TABLE:
            ue = Patient()
            ue.n = n
            one(ue, *entry)
            n, failed = ue.n, failed + ue.failed
        pairs[0].enter()
        last.n = n
        next(waiting, None)
        n, failed = last.n, failed + last.failed
    finally:
        for pair in pairs:
            pair.delete()
    print(f'1..{n}')
    sys.exit(failed != 0)


if __name__ == '__main__':
    main()
