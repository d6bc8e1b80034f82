#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only
"""Namespaces, and who may do what in them."""
import contextlib
import errno
import os
import shutil
import struct
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '../lib'))
from ims import *  # noqa: E402,F403  pylint: disable=wildcard-import,unused-wildcard-import,wrong-import-position
from asleep import Asleep, Working, namespaces_end  # noqa: E402  pylint: disable=wrong-import-position
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
        equal(sorted((e['type'], e['resource'], e['used'], e['limit']) for e in World.events.drain()),
              [('nearly-full', 'bundles', 1, 1), ('nearly-full', 'spis', 2, 2)], 'events')
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


def registers(ue='192.0.2.77'):
    """Another UE's registration in P comes, is confirmed, and goes."""
    with World.p:
        nl = Family()
    b = bundle(nl.dump('endpoint-get')[0], nl=nl, ue_address=ue, contact=ue.encode())
    nl.do('bundle-confirm', id=b['id'], lifetime=600000)
    nl.do('bundle-del', id=b['id'])


HOW = {'by request': lambda ep, b: World.nl.do('bundle-del', id=b['id']),
       'with its endpoint': lambda ep, b: World.nl.do('endpoint-del', id=ep['id'], force=True),
       'when it expires': lambda ep, b: World.nl.do('bundle-confirm', id=b['id'], lifetime=1)}


@test('NETNS F6', 'where a thread sleeps in a call on a connection whose set ends {}, nobody waits for it', each=HOW)
def asleep(how):
    endpoint(P6)
    ep = endpoint(P4)
    b = bundle(ep)
    with Phone(b) as phone:
        ends = phone.connect('spi-ps')
        phone.talk(ends)
        World.events.drain()
        with Asleep('ims-asleep') as sleeper:
            sleeper.hold(ends[1])
            with World.p:
                nl = Family()
            end = Working(lambda: HOW[how](ep, b), 'the set ends')
            try:
                end.ends()
                e = wait(lambda: [e for e in World.events.drain() if e['type'] in ('deleted', 'expired')], 'an event of it')
                equal([x['bundle']['id'] for x in e], [b['id']], 'of which set')
                Working(lambda: registers('2001:db8::77'), 'another registration').ends()
                Working(namespaces_end, 'other namespaces end').ends()
                check('ESTAB' in World.p.run('ss -tnH'), 'the connection has ended: its owner has not slept')
                nl.close()
            finally:
                sleeper.wake()
        wait(lambda: 'ESTAB' not in World.p.run('ss -tnH'), 'the connection ends when its owner wakes up')


@test('NETNS', 'while the modules that an endpoint needs are being loaded, nobody waits for it')
def loading():
    ep = endpoint(P6)
    with Asleep('xfrm-offload-') as sleeper:
        with World.p:
            nl = Family()
        sleeper.call(nl.do, 'endpoint-new', {'address': P4, 'port-ps': PORT_PS, 'port-pc': PORT_PC, 'hw-offload': 'software'})
        try:
            Working(lambda: registers('2001:db8::77'), 'a registration').ends()
            equal(World.nl.dump('endpoint-get'), [ep], 'endpoints')
            Working(namespaces_end, 'other namespaces end').ends()
        finally:
            sleeper.wake()
        equal(len(World.nl.dump('endpoint-get')), 2, 'endpoints')
        nl.close()


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


def operations(nl, ep, b):
    """Every operation of the spec, on an endpoint and a bundle: what becomes of it."""
    attrs = {'endpoint-new': {'address': '192.0.2.9', 'port-ps': 9000, 'port-pc': 9001},
             'bundle-new': bundle_attrs(ep, ue_address='192.0.2.9'),
             'endpoint-get': {'id': ep['id']}, 'endpoint-del': {'id': ep['id'], 'force': True},
             'config-set': {'max-bundles': 5}, 'config-get': {}, 'stats-get': {}, 'bundle-flush': {},
             'bundle-confirm': {'id': b['id'], 'lifetime': 60000}, 'bundle-extend': {'id': b['id'], 'lifetime': 60000},
             'bundle-find': {'spi': b['spi-ps']}, 'endpoint-set': {'id': ep['id'], 'port-pc': ep['port-pc']}}
    # What takes things away comes last
    ops = sorted(nl.spec.ops, key=lambda op: ('-flush' in op or '-del' in op, op))
    out = {op: attempt(nl.do, op, attrs.get(op, {'id': b['id']})) for op in ops if 'do' in nl.spec.ops[op]}
    out.update({op + ' dump': attempt(nl.dump, op, {'interface': 'lo'} if op == 'offload-get' else {})
                for op in ops if 'dump' in nl.spec.ops[op]})
    out['events'] = attempt(Events)
    n = sum((mode in o) for o in nl.spec.ops.values() for mode in ('do', 'dump')) + 1
    equal(len(out), n, 'operations tried')
    return out


def all_there():
    """All of P that they could change."""
    nl = World.nl
    return (nl.do('config-get'), nl.dump('endpoint-get'), World.xfrm.states(), World.xfrm.policies(),
            [{k: v for k, v in b.items() if k != 'lifetime'} for b in nl.dump('bundle-get')])


def become(uid):
    os.setgroups([])
    os.setgid(uid)
    os.setuid(uid)


def root_of_another():
    """Root of a user namespace of one's own."""
    call('unshare', CLONE_NEWUSER)
    for name, text in (('setgroups', 'deny'), ('uid_map', '0 0 1'), ('gid_map', '0 0 1')):
        with open(f'/proc/self/{name}', 'w', encoding='ascii') as f:
            f.write(text)


# Where a kernel has no place for such a text of its own; elsewhere once will do
ROUNDS = 10 if os.uname().release.startswith('6.1.') else 1


def messages(nl, op, requests, dump=False):
    """So many requests, to be sent at once."""
    out = b''
    for attrs in requests:
        nl.seq += 1
        payload = nl.header(op) + nl.spec.encode(op, attrs)
        out += struct.pack('=IHHII', 16 + len(payload), nl.id, 0x301 if dump else 5, nl.seq, 0) + payload
    return out


def refusals(nl, op, requests):
    """The texts with which so many requests are refused that are sent at once, as far as they are told."""
    out = []
    nl.sock.send(messages(nl, op, requests))
    while len(out) < len(requests):
        data = nl.sock.recv(1 << 17)
        while data:
            length, kind, flags, _, _ = struct.unpack_from('=IHHII', data)
            out.append(nl.error(0, data[16:length], kind, flags).text)
            data = data[length + 3 & ~3:]
    return out


@test('TEXT NETNS', 'many that ask at once, in two namespaces: each gets the text of its own refusal')
def texts():
    q, other = second()
    try:
        def work(i):
            with (World.p, q)[i % 2]:
                nl = Family()
            # Numbers of one digit to ten: a text that is not one's own is of another length, too
            mine = [i + 1 if n % 2 else (i + 1) * 100000000 + n for n in range(20)]
            twice = ('owner', 'contact')[i % 2]
            number = nl.spec.sets['bundle'][twice].number
            for _ in range(ROUNDS):
                equal(refusals(nl, 'endpoint-get', [{'id': n} for n in mine]),
                      [f'no endpoint has id {n}' for n in mine], 'texts')
            # Of dumps the socket has room for few; a text is read soon after it is written
            four = messages(nl, 'bundle-get', [[(twice, b'x')] * 2] * 4, True)
            text = f'attribute {number} is there twice'.encode() + b'\0'
            for _ in range(100 * ROUNDS):
                nl.sock.send(four)
                got = [nl.sock.recv(4096) for _ in range(4)]
                check(all(text in x for x in got), f'dumps are refused with {got}, expected {text}')
        side_by_side(4, work)
    finally:
        other.close()
        q.delete()


@test('PERM', 'without CAP_NET_ADMIN every operation is EPERM, and the events are not heard: {}',
      each=('nobody', 'root of a user namespace', 'root without the capability'))
def no_capability(who):
    ep = endpoint()
    b = bundle(ep)
    was = all_there()
    World.events.drain()

    def work():
        World.p.enter()
        if who == 'nobody':
            become(65534)
        elif who == 'root of a user namespace':
            root_of_another()
        else:
            capabilities(0)
        return operations(Family(), ep, b)
    got = child(work)
    check(isinstance(got, dict), got)
    equal(got, {k: 'EPERM' for k in got}, 'what is allowed')
    equal(all_there(), was, 'what is there')
    equal(World.events.drain(), [], 'events')


@test('PERM', 'who has it in another network namespace alone: every operation stays there, {}',
      each=('root', 'root of a user namespace'))
def elsewhere(who):
    ep = endpoint()
    b = bundle(ep)
    was = all_there()
    World.events.drain()

    def work():
        if who != 'root':
            root_of_another()
        call('unshare', CLONE_NEWNET)
        nl = Family()
        before_that = (nl.dump('endpoint-get'), nl.dump('bundle-get'))
        # The ids are those of P: here they are nobody's
        got = operations(nl, ep, b)
        return before_that, got, [e['address'] for e in nl.dump('endpoint-get')], nl.do('config-get')['max-bundles']
    got = child(work)
    check(isinstance(got, tuple), got)
    (before_that, ops, eps, max_bundles) = got
    equal(before_that, ([], []), 'what is to be seen')
    expected = {op: 'ok' for op in ops}
    expected.update({op: 'ENOENT' for op in ('endpoint-get', 'endpoint-set', 'endpoint-del', 'bundle-new', 'bundle-get', 'bundle-del',
                                             'bundle-confirm', 'bundle-extend', 'bundle-find', 'bundle-tx')})
    equal(ops, expected, 'what is allowed')
    equal((eps, max_bundles), (['192.0.2.9'], 5), 'what they made for themselves')
    equal(all_there(), was, 'what is there')
    equal(World.events.drain(), [], 'events')


CAP_NET_ADMIN, PR_SET_KEEPCAPS, SYS_CAPSET = 12, 8, 126


def capabilities(mask):
    """Have these and no other."""
    header = struct.pack('Ii', 0x20080522, 0)
    call('syscall', SYS_CAPSET, header, struct.pack('6I', mask, mask, 0, 0, 0, 0))


@test('PERM', 'who is no longer root and has kept CAP_NET_ADMIN may do everything: {}', each=('keepcaps', 'ambient'))
def kept(how):
    ep = endpoint()
    b = bundle(ep)
    if how == 'keepcaps':
        def work():
            World.p.enter()
            call('prctl', PR_SET_KEEPCAPS, 1, 0, 0, 0)
            become(65534)
            capabilities(1 << CAP_NET_ADMIN)
            return operations(Family(), ep, b)
        got = child(work)
    else:
        # Of what it needs a copy that anybody can read: the tree may be in a folder that is its owner's alone
        with tempfile.TemporaryDirectory() as folder:
            os.chmod(folder, 0o755)
            for part in ('selftests/lib', 'selftests/net', 'Documentation/netlink'):
                shutil.copytree(f'{TOP}/{part}', f'{folder}/{part}')
            code = (f'import os, sys; sys.path[:0] = ["{folder}/selftests/net"]; import netns; netns.World.nl = None; '
                    f'assert os.getuid() == 65534; print(repr(netns.operations(netns.Family(), {ep!r}, {b!r})))')
            text = World.p.run('setpriv', '--reuid', '65534', '--regid', '65534', '--clear-groups', '--inh-caps',
                               '-all,+net_admin', '--ambient-caps', '+net_admin', '--bounding-set', '-all,+net_admin',
                               sys.executable, '-c', code)
        got = eval(text, {})  # pylint: disable=eval-used
    check(isinstance(got, dict), got)
    equal(got, {k: 'ok' for k in got}, 'what is refused')
    equal([e['address'] for e in World.nl.dump('endpoint-get')], ['192.0.2.9'], 'endpoints')
    equal(World.nl.dump('bundle-get'), [], 'bundles')


@test('PERM', 'root of a user namespace: nothing in a namespace of others, all in its own')
def user_namespace():
    ep = endpoint()

    def work():
        World.p.enter()
        root_of_another()
        nl = Family()
        out = [attempt(nl.dump, 'endpoint-get'), attempt(endpoint, '192.0.2.9', nl=nl)]
        call('unshare', CLONE_NEWNET)
        nl, events = Family(), Events()
        out.append(nl.dump('endpoint-get'))
        mine = endpoint(nl=nl)
        b = bundle(mine, nl=nl)
        nl.do('bundle-confirm', id=b['id'], lifetime=60000)
        out += [events.next()['type'], events.next()['type'], len(Xfrm().states())]
        # What is an administrator's of the host to say, it may say of its own
        nl.do('config-set', max_endpoints=1, max_bundles=2, max_pending=1)
        out += [attempt(endpoint, '192.0.2.9', nl=nl), attempt(bundle, mine, nl, ue_address='192.0.2.9'),
                attempt(bundle, mine, nl, ue_address='192.0.2.10')]
        nl.do('config-set', max_pending=2)
        out += [attempt(bundle, mine, nl, ue_address='192.0.2.10'), len(Xfrm().states())]
        # But no more than an administrator of the host has said, by the module's parameters
        for name in ('max-endpoints', 'max-bundles', 'max-pending'):
            out += [attempt(nl.do, 'config-set', {name: DEFAULTS[name] + 1}), attempt(nl.do, 'config-set', {name: DEFAULTS[name]})]
        return out
    got = child(work)
    equal(got, ['EPERM'] * 2 + [[], 'created', 'confirmed', 4, 'ENOSPC', 'ok', 'ENOSPC', 'ENOSPC', 8] + ['EPERM', 'ok'] * 3,
          'what happened')
    equal([e['id'] for e in World.nl.dump('endpoint-get')], [ep['id']], 'endpoints')
    equal(World.nl.dump('bundle-get'), [], 'bundles')
    equal(World.events.drain(), [], 'events')


@test('PERM QUOTA', 'limits of a user namespace: the host raises them, who is in it then changes all else, and lowers them')
def raised_by_host():
    def work():
        root_of_another()
        call('unshare', CLONE_NEWNET)
        nl = Family()
        os.write(w[1], b'.')
        os.read(r[0], 1)
        got = nl.do('config-get')['max-bundles']
        return (got, attempt(nl.do, 'config-set', idle_timeout=5000), attempt(nl.do, 'config-set', max_bundles=got + 1),
                attempt(nl.do, 'config-set', max_bundles=got - 1), attempt(nl.do, 'config-set', max_bundles=got))
    r, w = os.pipe(), os.pipe()
    most = DEFAULTS['max-bundles']
    out, pid = os.pipe(), os.fork()
    if not pid:
        try:
            os.write(out[1], repr(work()).encode())
        finally:
            os._exit(0)
    try:
        os.read(w[0], 1)
        # As nsenter does
        fd, here = os.open(f'/proc/{pid}/ns/net', os.O_RDONLY), os.open('/proc/self/ns/net', os.O_RDONLY)
        call('setns', fd, CLONE_NEWNET)
        nl = Family()
        call('setns', here, CLONE_NEWNET)
        nl.do('config-set', max_bundles=most + 10)
        nl.close()
        os.close(fd)
        os.close(here)
        os.write(r[1], b'.')
        equal(eval(os.read(out[0], 1000), {}), (most + 10, 'ok', 'EPERM', 'ok', 'EPERM'), 'what is allowed')  # pylint: disable=eval-used
    finally:
        os.waitpid(pid, 0)
        for fd in (*r, *w, *out):
            os.close(fd)


class Cgroup:
    """A memory cgroup; its user is charged for what it does while it is in it."""
    TOP = '/sys/fs/cgroup'

    def __init__(self):
        if not os.path.exists(self.TOP + '/cgroup.controllers'):
            subprocess.run(['mount', '-t', 'cgroup2', 'none', self.TOP], stderr=subprocess.DEVNULL, check=False)
        try:
            with open(self.TOP + '/cgroup.controllers', encoding='ascii') as f:
                found = 'memory' in f.read().split()
        except OSError:
            found = False
        if not found:
            raise Skip('this kernel has no memory cgroups')
        self.dir = self.TOP + '/ims_ipsec_test'
        self.write(self.TOP, 'cgroup.subtree_control', '+memory')
        os.makedirs(self.dir, exist_ok=True)
        # Opened now: there may be no memory to open a file when it is to be left
        self.procs = [os.open(d + '/cgroup.procs', os.O_WRONLY) for d in (self.TOP, self.dir)]

    @staticmethod
    def write(where, name, value):
        with open(f'{where}/{name}', 'w', encoding='ascii') as f:
            f.write(str(value))

    def limit(self, value):
        self.write(self.dir, 'memory.max', value)

    @contextlib.contextmanager
    def limited(self, value):
        """So many bytes and no more; but not for ever, for who is in it may be in need of a page itself."""
        with subprocess.Popen(['sh', '-c', f'sleep 60; echo max >{self.dir}/memory.max']) as rescue:
            self.limit(value)
            try:
                yield
            finally:
                self.limit('max')
                rescue.kill()

    def current(self):
        with open(self.dir + '/memory.current', encoding='ascii') as f:
            return int(f.read())

    def slab(self):
        with open(self.dir + '/memory.stat', encoding='ascii') as f:
            return next(int(x.split()[1]) for x in f if x.startswith('slab '))

    def __enter__(self):
        os.write(self.procs[1], b'0')
        return self

    def __exit__(self, *_):
        os.write(self.procs[0], b'0')

    def remove(self):
        for fd in self.procs:
            os.close(fd)
        wait(lambda: attempt(os.rmdir, self.dir) == 'ok', 'the cgroup is removed')


def requests(nl, ep, first, n):
    """Messages that make bundles, ready to be sent: nothing is allocated here then."""
    out = []
    for i in range(first, first + n):
        payload = nl.header('bundle-new') + nl.spec.encode('bundle-new', bundle_attrs(ep, ue_address=f'198.51.{i >> 8}.{i & 255}'))
        nl.seq += 1
        out.append(struct.pack('=IHHII', 16 + len(payload), nl.id, 5, nl.seq, 0) + payload)
    return out


def send_all(nl, messages):
    """How many were served, and the errno that ended it."""
    buf = bytearray(1 << 16)
    for n, m in enumerate(messages):
        nl.sock.send(m)
        # The bundle, and that all is well; or an error
        while True:
            size = nl.sock.recv_into(buf)
            kind = struct.unpack_from('=H', buf, 4)[0]
            if kind == 2:
                error = -struct.unpack_from('=i', buf, 16)[0]
                if error:
                    return n, error
                break
            check(size > 100, 'a reply')
            # Both may have come at once
            length = struct.unpack_from('=I', buf)[0] + 3 & ~3
            if length < size:
                break
    return len(messages), 0


@test('PERM', 'memory is charged to whose cgroup asks for it; where there is no more it is ENOMEM, and nothing is left')
def charged():
    cgroup, n = Cgroup(), 200
    ep, nl = endpoint(), World.nl
    # The kernel's own score says that nobody is to be killed for it
    with open('/proc/self/oom_score_adj', 'r+', encoding='ascii') as f:
        score = f.read()
        f.seek(0)
        f.write('-1000')
    try:
        # What is made once, or grows by steps, is there already
        send_all(nl, requests(nl, ep, 0, n))
        messages, was = requests(nl, ep, 1000, n), cgroup.slab()
        with cgroup:
            equal(send_all(nl, messages), (n, 0), 'bundles made')
        # The kernel adds it up at its leisure
        wait(lambda: cgroup.slab() - was > 1000 * n, '1,000 bytes a bundle are charged')
        each = (cgroup.slab() - was) // n
        say(f'{each} bytes a bundle are charged')
        equal(nl.do('bundle-flush')['flushed'], 2 * n, 'bundles flushed')
        wait(lambda: cgroup.slab() - was < n * each // 4, 'what was charged is given back', 60)
        nothing_left(policies=3)

        messages = requests(nl, ep, 2000, 500)
        with cgroup.limited(cgroup.current() + 40 * each), cgroup:
            made, error = send_all(nl, messages)
        say(f'{made} bundles, then {errno.errorcode.get(error, error)}')
        equal(error, errno.ENOMEM, 'error')
        check(0 < made < 500, f'{made} bundles made')
        there = nl.dump('bundle-get')
        equal(len(there), made, 'bundles')
        nothing_left(states=4 * made, policies=3)
        with cgroup:
            equal(send_all(nl, messages[made:made + 5]), (5, 0), 'bundles made with more memory')
        equal(nl.do('bundle-flush')['flushed'], made + 5, 'bundles flushed')
        nothing_left(policies=3)
    finally:
        with open('/proc/self/oom_score_adj', 'w', encoding='ascii') as f:
            f.write(score)
        cgroup.limit('max')
        nl.do('endpoint-del', id=ep['id'], force=True)
        cgroup.remove()


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
