#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only
"""A P-CSCF in a container, made of unshare: what Documentation/install.rst says of containers."""
import contextlib
import os
import subprocess
import sys

import yaml

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '../lib'))
# pylint: disable=wrong-import-position
from ims import TOP, Fail, World, before, check, echo, equal, main, setup, teardown, test  # noqa: E402
from net import wait_up  # noqa: E402
from sip_phone import IMSIPSEC, Pcscf, Phone, Set  # noqa: E402

# Addresses in the container, and of the phone at the other end of its link
HERE, THERE = '203.0.113.1', '203.0.113.2'
# The container that is an example
with open(TOP + '/user/systemd/compose.yaml.example', encoding='utf-8') as file:
    EXAMPLE = yaml.safe_load(file)['services']['pcscf']
CAPS = ','.join(('-all' if EXAMPLE['cap_drop'] == ['ALL'] else '+all', *('+' + c.lower() for c in EXAMPLE['cap_add'])))
# As whom its processes run: as root of a user namespace of its own, in a rootless container; as the host's root with one
# capability, as the example has it; without that one, as containers come
WHO = {'root of a user namespace': (('--user', '--map-root-user'), ('-U', '--preserve-credentials'), ()),
       'root with CAP_NET_ADMIN alone': ((), (), ('setpriv', '--bounding-set', CAPS, '--inh-caps', '-all')),
       'root without CAP_NET_ADMIN': ((), (), ('setpriv', '--bounding-set', '-net_admin', '--inh-caps', '-all'))}
ENDPOINT = ('endpoint', 'add', 'address', HERE, 'port-ps', '5063', 'port-pc', '5062,5064')


class Container:
    """A network namespace that a process has for itself, with a link to U."""
    name = 'container'

    def __init__(self, who):
        new, enter, self.drop = WHO[who]
        # A container runtime makes namespaces and links as whoever it is, and the processes in there are less
        self.process = subprocess.Popen(['unshare', *new, '--net', 'sh', '-c', 'echo; exec sleep infinity'], stdout=subprocess.PIPE)
        check(self.process.stdout.readline(), f'unshare {new}')
        self.enter = ('nsenter', '-t', str(self.process.pid), *enter, '-n')

    def __enter__(self):
        World.u.ip(f'link add u1 type veth peer name eth0 netns {self.process.pid}', f'addr add {THERE}/24 dev u1', 'link set u1 up')
        self.ip('link set lo up', f'addr add {HERE}/24 dev eth0', 'link set eth0 up')
        wait_up((World.u, 'u1'), (self, 'eth0'))
        return self

    def __exit__(self, *_):
        # The link goes with the namespace
        World.u.run('ip link del u1')
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()

    def ip(self, *commands):
        for c in commands:
            out = self.do(*self.enter, 'ip', *c.split())
        return out

    def run(self, *argv, ok=True):
        """A command of a process in there; its output."""
        return self.do(*self.enter, *self.drop, *argv, ok=ok)

    def do(self, *argv, ok=True):
        echo(self.name, ' '.join(argv))
        done = subprocess.run(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
        if ok and done.returncode:
            raise Fail(f'{" ".join(argv)}: {done.stdout.strip()}')
        return done.stdout

    @contextlib.contextmanager
    def pcscf(self):
        """The example P-CSCF, as a process in there."""
        with Pcscf(addresses=(HERE,), prefix=(*self.enter, *self.drop)) as there:
            yield there


@test('NETNS PERM', 'the example P-CSCF in a container, as {}: a phone registers and talks, and the host sees nothing of it',
      each=tuple(WHO)[:2])
def registers(who):
    with Container(who) as box, box.pcscf(), Phone(address=THERE) as ue:
        ue.p = HERE
        first = Set(5000)
        ue.sign_up(first)
        ue.talk(first)
        shown = box.run(IMSIPSEC, 'bundle', 'show')
        check('owner ue1@ims.example' in shown, f'the set is shown in there: {shown}')
        for ns in (World.p, World.u):
            equal([ns.run(IMSIPSEC, x, 'show').strip() for x in ('endpoint', 'bundle')], ['', ''], f'endpoints and sets in {ns.name}')


@test('NETNS PERM', 'the example for compose gives its container a network namespace of its own, CAP_NET_ADMIN, and nothing else of that kind')
def compose():
    equal(CAPS, '-all,+net_admin', 'capabilities')
    equal({*EXAMPLE} & {'privileged', 'network_mode', 'devices', 'pid', 'userns_mode', 'security_opt'}, set(), 'what the example has besides')


@test('NETNS PERM', 'in a container of {} the command says what is missing, and nothing is made', each=tuple(WHO)[2:])
def refused(who):
    with Container(who) as box:
        said = box.run(IMSIPSEC, *ENDPOINT, ok=False)
        check('CAP_NET_ADMIN is needed in the network namespace' in said, f'the command says {said!r}')
        box.drop = ()
        equal(box.run(IMSIPSEC, 'endpoint', 'show').strip(), '', 'endpoints in there')
        # It is the capability, and nothing else, that was missing
        box.run(IMSIPSEC, *ENDPOINT)


if __name__ == '__main__':
    main(setup, before, teardown)
