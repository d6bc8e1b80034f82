#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only
"""Start-up: ims_ipsec.service under systemd, with a SIP server; what Documentation/operation.rst says of it is run."""
import contextlib
import json
import os
import re
import shutil
import subprocess
import sys
import threading

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '../lib'))
from document import Document  # noqa: E402  pylint: disable=wrong-import-position
from ims import *  # noqa: E402,F403  pylint: disable=wildcard-import,unused-wildcard-import,wrong-import-position
from machine import Machine  # noqa: E402  pylint: disable=wrong-import-position

DOC = Document('operation.rst')
PS, FREE = 5063, 9999
CONF, MODPROBE = '/etc/ims_ipsec.conf', '/etc/modprobe.d/ims_ipsec.conf'
SERVER, TOLD, MODULE, BIN = '/tmp/ims_server', '/tmp/ims_told', '/tmp/ims_ipsec.ko', '/usr/local/sbin'
IMSIPSEC = BIN + '/imsipsec'
BUNDLE = (f'imsipsec bundle add endpoint %d owner ue1 contact c ue {U4} port-uc 6301 port-us 6300 spi-uc 5000 spi-us 5001 '
          f'alg hmac-sha-1-96 ealg aes-cbc ik {IK.hex()} ck {CK.hex()}')
# Stands in for a SIP server: says what it finds, binds, and says what it gets
SIP_SERVER = f'''#!/usr/bin/python3
import json, os, socket, subprocess
def tell(**what):
    os.write(told, (json.dumps(what) + chr(10)).encode())
told = os.open('{TOLD}', os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
endpoints = json.loads(subprocess.run(['{IMSIPSEC}', '-j', 'endpoint', 'show'], stdout=subprocess.PIPE).stdout or '[]')
socks = []
for port in ({PS}, {FREE}):
    socks.append(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
    socks[-1].bind(('{P4}', port))
mark = socks[0].setsockopt(socket.SOL_SOCKET, socket.SO_MARK, 5) if os.environ.get('MARK') else None
status = dict(x.split(':', 1) for x in open('/proc/self/status').read().splitlines())
tell(endpoints=[e['address'] for e in endpoints], uid=os.getuid(), caps=int(status['CapEff'], 16))
while True:
    import select
    for s in select.select(socks, [], [])[0]:
        tell(got=s.recv(1000).decode())
'''


class Host:
    """What `make install` and an operator put there, and a SIP server."""

    def __init__(self, conf=None, server='', options=''):
        self.machine = Machine()
        with open(TOP + '/user/systemd/ims_ipsec.service.in', encoding='utf-8') as f:
            self.text = f.read().replace('@BINDIR@', BIN).replace('@SYSCONFDIR@', '/etc')
        Machine.unit('ims_ipsec.service', self.text)
        Machine.unit('kamailio.service', '[Unit]\nDescription=Stands in for a SIP server\nAfter=network.target\n[Service]\n'
                     f'Type=exec\nExecStart={SERVER}\nRestart=no\n[Install]\nWantedBy=multi-user.target\n')
        # What "systemctl edit kamailio" writes
        Machine.unit('kamailio.service.d/override.conf', '\n'.join(DOC.block('Start-up', '[Unit]')) + '\n' + server)
        for path, text in ((CONF, conf), (SERVER, SIP_SERVER),
                           (MODPROBE, options + f'install ims_ipsec insmod {MODULE} $CMDLINE_OPTS\n')):
            if text is None:
                text = '\n'.join(DOC.block('Start-up', 'config set')[:2]) + '\n'
            with open(path, 'w', encoding='utf-8') as f:
                f.write(text)
        os.chmod(SERVER, 0o755)
        # The machine has a /run of its own
        shutil.copy(module_file(), MODULE)
        open(TOLD, 'wb').close()

    def __enter__(self):
        return self.machine.__enter__()

    def __exit__(self, *args):
        return self.machine.__exit__(*args)


def told(key):
    """What the SIP server has said so far under that name."""
    with open(TOLD, encoding='utf-8') as f:
        return [x[key] for x in map(json.loads, f) if key in x]


def shown(what='endpoint'):
    with World.p:
        done = subprocess.run([IMSIPSEC, '-j', what, 'show'], stdout=subprocess.PIPE, check=False)
    return json.loads(done.stdout or '[]')


@contextlib.contextmanager
def sending():
    """A UE sends in clear all the time, to the protected port and to another."""
    end, sock = threading.Event(), World.u.udp(U4, 5060)

    def send():
        while not end.wait(0.01):
            with contextlib.suppress(OSError):  # nobody has the port, as yet
                sock.sendto(b'protected', (P4, PS))
                sock.sendto(b'free', (P4, FREE))
    thread = threading.Thread(target=send)
    thread.start()
    try:
        yield
    finally:
        end.set()
        thread.join()
        sock.close()


def is_shut(server=True):
    """What comes in clear is dropped; the SIP server, if it runs, gets what goes elsewhere, and only that."""
    if server:
        was = len(told('got'))
        wait(lambda: len(told('got')) > was, 'what is sent to a port that is not protected')
        equal(set(told('got')), {'free'}, 'what the SIP server has got')
    was = shown()[0]['drop-plaintext-in']
    wait(lambda: shown()[0]['drop-plaintext-in'] > was, 'what is sent in clear is dropped')


def unload():
    if os.path.isdir('/sys/module/ims_ipsec'):
        wait(lambda: rmmod().returncode == 0, 'the module goes', 10)


@test('START', 'at boot the unit loads the module, with its parameters, and shuts the ports before the SIP server binds them')
def boot():
    unload()
    with open(TOP + '/user/systemd/modprobe.d.example', encoding='utf-8') as f:
        options = f.read()
    made = Host(conf='endpoint replace address 192.0.2.1 port-ps 5063 port-pc 5062,5064\n', options=options)
    Machine.enable('ims_ipsec.service', 'kamailio.service')
    with sending(), made as host:
        equal(host.show('ims_ipsec', 'ActiveState', 'SubState', 'Result'), ['active', 'exited', 'success'],
              'the unit, of which the log has ' + host.run('journalctl -o cat -u ims_ipsec -u kamailio')[1])
        wait(lambda: told('got'), 'the SIP server gets something')
        equal(told('endpoints'), [[P4]], 'endpoints when the SIP server started')
        is_shut()
        at = [int(host.show(unit, name + 'Monotonic')[0]) for unit, name in
              (('ims_ipsec', 'ActiveEnterTimestamp'), ('network-pre.target', 'ActiveEnterTimestamp'),
               ('kamailio', 'ExecMainStartTimestamp'))]
        check(0 < at[0] < at[1] < at[2], f'first the unit, then a network, then the SIP server: {at}')
        with open('/sys/module/ims_ipsec/parameters/max_spi', encoding='ascii') as f:
            equal(f.read().strip(), '600000', 'max_spi, of modprobe.d')


@test('START', 'enabled, reloaded, restarted, stopped: ports stay shut, bundles stay; a SIP server that is killed opens none')
def life():
    now, reload, by_hand = DOC.block('Start-up', 'systemctl enable', 'batch')
    with sending(), Host() as host:
        host.run(now)
        wants = f'/proc/{host.init}/root/etc/systemd/system/multi-user.target.wants'
        check(os.path.islink(wants + '/ims_ipsec.service'), 'it is enabled')
        is_shut(server=False)
        host.run('systemctl start kamailio')
        is_shut()
        host.run(BUNDLE % shown()[0]['id'])
        there, first = [b['id'] for b in shown('bundle')], shown()[0]['id']
        equal(len(there), 1, 'bundles')
        # Temporary it would end on its own
        host.run(f'imsipsec bundle confirm id {there[0]} lifetime 1h')

        with open(CONF, 'a', encoding='utf-8') as f:
            f.write('endpoint replace address 2001:db8::1\n')
        host.run(reload)
        equal([e['address'] for e in shown()], [P4, P6], 'endpoints after a reload')
        host.run(by_hand)
        equal([e['address'] for e in shown()], [P4, P6], 'endpoints after the same by hand')

        server, = host.show('kamailio', 'MainPID')
        host.run(f'kill -9 {server}')
        wait(lambda: host.show('kamailio', 'ActiveState') == ['failed'], 'the SIP server is dead')
        is_shut(server=False)
        host.run('systemctl reset-failed kamailio; systemctl start kamailio')
        is_shut()

        # Required by the SIP server: that goes with it
        was = host.show('kamailio', 'MainPID')
        host.run('systemctl restart ims_ipsec')
        wait(lambda: host.show('kamailio', 'ActiveState') == ['active'], 'the SIP server has been started again')
        check(host.show('kamailio', 'MainPID') != was, 'and is another')
        is_shut()
        host.run('systemctl stop ims_ipsec')
        equal(host.show('kamailio', 'ActiveState') + host.show('ims_ipsec', 'ActiveState'), ['inactive'] * 2, 'both')
        is_shut(server=False)
        # One starts the other
        host.run('systemctl start kamailio')
        equal(host.show('ims_ipsec', 'ActiveState'), ['active'], 'the unit')
        is_shut()
        equal(([b['id'] for b in shown('bundle')], shown()[0]['id']), (there, first), 'bundle and endpoint, after all that')
        host.run('imsipsec endpoint del address 192.0.2.1 force')
        wait(lambda: 'protected' in told('got'), 'the port is open')


def logged(host):
    """What the unit's log has about its file."""
    log = host.run('journalctl -o cat -u ims_ipsec')[1]
    return [x for x in log.splitlines() if x.startswith(f'imsipsec: {CONF}:2: ')]


BAD = (('endpoint replace address 192.0.2.300', '"address" is not valid'), ('endpoint replace adress 192.0.2.1', 'adress'),
       ('endpoint replace address 192.0.2.1 port-ps 5063 port-pc 5062,5064 guard reject', 'another guard'))


@test('START', 'a line of the file that is wrong: the unit fails, its log has place and cause, the SIP server does not start')
def wrong():
    good = 'endpoint replace address 192.0.2.1 port-ps 5063 port-pc 5062,5064\n'
    with Host(conf=good) as host:
        for n, (line, text) in enumerate(BAD):
            with open(CONF, 'w', encoding='utf-8') as f:
                f.write(good + line + '\n')
            equal(host.run('systemctl start kamailio', ok=False)[0], 1, f'systemctl start, {line}')
            equal(host.show('ims_ipsec', 'ActiveState', 'Result'), ['failed', 'exit-code'], f'the unit, {line}')
            equal(host.show('kamailio', 'ActiveState'), ['inactive'], 'the SIP server')
            equal(told('uid'), [], 'what the SIP server has said')
            wait(lambda count=n + 1: len(logged(host)) >= count, f'line {n + 1} of the log that names the place')
            said = logged(host)
            check(len(said) == n + 1 and text in said[-1], f'the cause: {said}')
            host.run('systemctl reset-failed')
        # What was before it holds, and one that is right is all it takes
        equal([e['address'] for e in shown()], [P4], 'endpoints')
        with open(CONF, 'w', encoding='utf-8') as f:
            f.write(good)
        host.run('systemctl start kamailio')
        wait(lambda: told('uid'), 'the SIP server runs')
        os.remove(CONF)
        code, text = host.run('systemctl reload ims_ipsec', ok=False)
        check(code == 1 and host.show('ims_ipsec', 'ActiveState') == ['active'], f'a reload without a file: {text}')


@test('START PERM', 'a SIP server that is not root, with CAP_NET_ADMIN alone: bundles, events, marks')
def unprivileged():
    server = '\n'.join(DOC.block('Privileges', 'AmbientCapabilities')) + '\nEnvironment=MARK=1\n'
    user = re.search(r'^User=(\w+)$', server, re.M)[1]
    # The VM has none of the host's
    with open('/etc/passwd', 'a', encoding='utf-8') as f:
        f.write(f'{user}:x:990:990::/:/usr/sbin/nologin\n')
    with Host(server=server) as host:
        os.chmod(TOLD, 0o666)
        host.run('systemctl start kamailio')
        wait(lambda: told('uid'), 'the SIP server runs')
        equal((told('uid'), told('caps'), told('endpoints')), ([990], [1 << 12], [[P4]]), 'user, capabilities, endpoints')


@test('START', 'every command line of the document about this has been run')
def all_run():
    if DOC.taken:
        equal(DOC.left('Start-up', 'Privileges'), [], 'literal blocks that no test has run')


MODPROBE_BY = '/proc/sys/kernel/modprobe'


def setup():  # pylint: disable=function-redefined
    World.p, World.u = topology()
    # The unit sees no homes, where the tree may be
    shutil.copy(TOP + '/build/user/imsipsec', BIN)
    # Ciphers are there; looking for more of them takes long where a CPU is emulated
    if os.path.exists(MODPROBE_BY):
        with open(MODPROBE_BY, 'r+', encoding='ascii') as f:
            World.modprobe = f.read()
            f.write('\n')


def before():  # pylint: disable=function-redefined
    if not os.path.isdir('/sys/module/ims_ipsec'):
        equal(insmod().returncode, 0, 'insmod')
    for e in shown():
        with World.p:
            subprocess.run([IMSIPSEC, 'endpoint', 'del', 'id', str(e['id']), 'force'], check=True, stdout=subprocess.DEVNULL)


def teardown():  # pylint: disable=function-redefined
    for path in (CONF, MODPROBE, SERVER, TOLD, MODULE, '/usr/local/sbin/imsipsec'):
        with contextlib.suppress(FileNotFoundError):
            os.remove(path)
    for ns in (World.p, World.u):
        if ns:
            ns.delete()
    # Other programs find it as it was
    unload()
    insmod()
    if getattr(World, 'modprobe', None):
        with open(MODPROBE_BY, 'w', encoding='ascii') as f:
            f.write(World.modprobe)


if __name__ == '__main__':
    main(setup, before, teardown)
