# SPDX-License-Identifier: GPL-2.0-only
"""What Kamailio and OpenSIPS have in common when tests run them in P."""
import json
import os
import re
import select
import shutil
import socket
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
# pylint: disable=wrong-import-position
from ims import ADDRESSES, Fail, World, check, echo, say, wait  # noqa: E402
from sip_phone import IMSIPSEC  # noqa: E402

# As Debian's unit runs it, without what it needs; and with it
NOBODY = ('setpriv', '--reuid', '65534', '--regid', '65534', '--clear-groups', '--no-new-privs')
CAPABLE = (*NOBODY, '--inh-caps', '-all,+net_admin', '--ambient-caps', '-all,+net_admin')


def open_to_all(path):
    """Whoever is not root may get there; in the VM alone."""
    path = os.path.realpath(path)
    while path != '/':
        if not os.stat(path).st_mode & 1:
            os.chmod(path, os.stat(path).st_mode | 0o55)
        path = os.path.dirname(path)


def in_use(port):
    """Has P a socket at it."""
    with World.p:
        for name in ('tcp', 'tcp6', 'udp', 'udp6'):
            with open(f'/proc/thread-self/net/{name}', encoding='ascii') as f:
                if re.search(rf'^ *\d+: \w+:{port:04X} ', f.read(), re.M):
                    return True
    return False


class Server:
    """A SIP server in P; what it says is shown if the test fails."""
    name, noise = None, '\0'

    def __init__(self, at):
        # An address that it listens at
        self.at = at
        self.work = tempfile.mkdtemp()
        self.log = open(self.work + '/log', 'w+', encoding='utf-8', errors='replace')  # pylint: disable=consider-using-with
        self.process = self.folder = None

    def begin(self, prefix, ready):
        """Start it, or say why not; prefix: as whom."""
        os.chmod(self.work, 0o777)
        if prefix:
            open_to_all(self.folder)
        try:
            self.start(ready)
        except Fail:
            self.__exit__(Fail)
            raise

    def start(self, ready=True):
        """Once more; each server has its own way."""
        raise NotImplementedError

    def launch(self, argv, ready=True):
        echo('P', ' '.join(argv))
        self.log.seek(0, 2)
        with World.p:
            self.process = subprocess.Popen(argv, stderr=self.log, stdout=self.log, stdin=subprocess.DEVNULL, start_new_session=True)
        if ready:
            wait(lambda: self.is_ready() or self.process.poll() is not None, f'{self.name} is ready', 120)
            check(self.process.poll() is None, f'{self.name} has ended')

    def is_ready(self):
        """It answers, over UDP and TCP."""
        if not in_use(5060):
            return False
        addr = self.at
        s = World.u.udp(ADDRESSES['IPv6' if ':' in addr else 'IPv4'][1], 5099)
        try:
            host = f'[{addr}]' if ':' in addr else addr
            s.sendto(f'OPTIONS sip:{host} SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.2:5099;rport;branch=z9hG4bKready\r\nFrom: <sip:a@a>;tag=a\r\n'
                     f'To: <sip:{host}>\r\nCall-ID: ready\r\nCSeq: 1 OPTIONS\r\nMax-Forwards: 5\r\nContent-Length: 0\r\n\r\n'.encode(), (addr, 5060))
            return bool(select.select([s], [], [], 1)[0])
        finally:
            s.close()

    def lines(self):
        self.log.flush()
        with open(self.log.name, encoding='utf-8', errors='replace') as f:
            return f.read().splitlines()

    def said(self, text):
        return any(text in x for x in self.lines())

    def rpc(self, method, *params):
        """A command to it, and what it answers."""
        s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        try:
            os.unlink(self.work + '/client') if os.path.exists(self.work + '/client') else None
            s.bind(self.work + '/client')
            s.settimeout(20)
            s.sendto(json.dumps({'jsonrpc': '2.0', 'method': method, 'params': list(params), 'id': 1}).encode(), self.work + '/rpc')
            got = json.loads(s.recv(1 << 16))
        finally:
            s.close()
        if 'error' in got:
            raise Fail(f'{method}: {got["error"]}')
        return got['result']

    def alive(self):
        """The first of its processes, with which the others end."""
        return self.process.poll() is None

    def stop(self):
        self.process.terminate()
        self.process.wait()

    def kill(self):
        """All of it at once, as by the OOM killer."""
        os.killpg(self.process.pid, 9)
        self.process.wait()
        wait(lambda: not in_use(5060), 'its sockets have gone')

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        ended = self.process and self.process.poll()
        if self.process and ended is None:
            self.kill()
        if kind:
            if ended is not None:
                say(f'{self.name} has ended by itself: {ended}')
            say('\n'.join(x[:300] for x in self.lines() if self.noise not in x))
            for command in ('endpoint show', 'bundle show', 'trace'):
                say(World.p.run(IMSIPSEC, *command.split(), ok=False))
        self.log.close()
        shutil.rmtree(self.work)
