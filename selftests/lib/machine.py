# SPDX-License-Identifier: GPL-2.0-only
"""systemd as a host has it: process 1 of a PID namespace, with few units, in the P-CSCF's network namespace."""
import contextlib
import os
import shutil
import signal
import subprocess
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
# pylint: disable=wrong-import-position
from ims import TOP, Fail, Skip, World, echo, say, wait  # noqa: E402

SYSTEMD, SYSTEM, UNITS, SAID = '/lib/systemd/systemd', '/lib/systemd/system', '/tmp/ims_units', '/tmp/ims_systemd'
# Of the system's own: what a boot goes through, and the journal
OWN = ('multi-user.target', 'basic.target', 'sysinit.target', 'local-fs.target', 'network-pre.target', 'network.target',
       'shutdown.target', 'umount.target', 'sockets.target', 'timers.target', 'paths.target', 'slices.target',
       'systemd-journald.service', 'systemd-journald.socket', 'systemd-journald-dev-log.socket')
# Its own /run, cgroups, and what "systemctl enable" and "edit" write
START = '''
mount -t tmpfs -o mode=755 run /run
mkdir -p /etc/systemd/system
mount -t tmpfs -o mode=755 units /etc/systemd/system
mkdir -p /run/lock /sys/fs/cgroup
# A test may have mounted it before
! mountpoint -q /sys/fs/cgroup || umount /sys/fs/cgroup
mount -t cgroup2 none /sys/fs/cgroup
exec "$@"
'''


def children(pid):
    """The processes that one has started, by their names: not each kernel has a list of them."""
    out = {}
    for name in filter(str.isdigit, os.listdir('/proc')):
        with contextlib.suppress(OSError), open(f'/proc/{name}/stat', encoding='ascii', errors='replace') as f:
            comm, rest = f.read().split('(', 1)[1].rsplit(')', 1)
            if int(rest.split()[1]) == pid:
                out[comm] = int(name)
    return out


class Machine:
    """Boots when entered, and is gone when left."""
    environment = {'PATH': f'{TOP}/build/user:{os.environ["PATH"]}', 'SYSTEMD_UNIT_PATH': f'/etc/systemd/system:{UNITS}',
                   # No generators: what they make of the host's other packages is no part of this
                   'SYSTEMD_GENERATOR_PATH': UNITS + '/none', 'SYSTEMD_PAGER': '', 'container': 'vm', 'LANG': 'C'}

    def __init__(self):
        if not os.path.exists(SYSTEMD):
            raise Skip('there is no systemd')
        self.process = self.init = None
        shutil.rmtree(UNITS, ignore_errors=True)
        os.mkdir(UNITS)
        for name in OWN:
            shutil.copy(f'{SYSTEM}/{name}', UNITS)
        self.enable('systemd-journald.service', target='sysinit.target')

    @staticmethod
    def unit(name, text):
        """A unit, or a part of one, as a package brings it."""
        path = f'{UNITS}/{name}'
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, 'w', encoding='utf-8') as f:
            f.write(text)

    @staticmethod
    def enable(*names, target='multi-user.target'):
        """As "systemctl enable", ahead of the boot."""
        os.makedirs(f'{UNITS}/{target}.wants', exist_ok=True)
        for name in names:
            os.symlink(f'../{name}', f'{UNITS}/{target}.wants/{name}')

    def __enter__(self):
        with open(SAID, 'wb') as said, World.p:
            self.process = subprocess.Popen(
                ['unshare', '--pid', '--fork', '--kill-child', '--mount', '--mount-proc', '--cgroup', '--ipc', '--uts',
                 'bash', '-ec', START, 'bash', SYSTEMD, '--system', '--unit=multi-user.target'],
                env=self.environment, stdin=subprocess.DEVNULL, stdout=said, stderr=said)
        try:
            wait(self.is_up, 'systemd has booted', 120)
        except Fail:
            if self.init:
                say(self.run('systemctl is-system-running; systemctl list-jobs; systemctl --failed', ok=False)[1][-4000:])
            with open(SAID, encoding='utf-8', errors='replace') as f:
                say(f.read()[-4000:])
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def is_up(self):
        self.init = children(self.process.pid).get('systemd')
        # A failed unit is not a failed boot
        return self.init and self.run('systemctl is-system-running', ok=False)[1].strip() in ('running', 'degraded')

    def run(self, script, ok=True):
        """A shell's commands in there; their exit status and output."""
        echo('machine', script)
        done = subprocess.run(['nsenter', '-t', str(self.init), '-m', '-p', '-n', 'bash', '-ec', script],
                              env=self.environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True, check=False)
        if ok and done.returncode:
            raise Fail(f'{script}: {done.returncode}: {done.stdout.strip()}')
        return done.returncode, done.stdout

    def show(self, unit, *names):
        """Properties of a unit."""
        text = self.run(f'systemctl show {unit} ' + ' '.join(f'-p {n}' for n in names))[1]
        found = dict(line.split('=', 1) for line in text.splitlines())
        return [found[n] for n in names]
