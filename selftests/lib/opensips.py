# SPDX-License-Identifier: GPL-2.0-only
"""OpenSIPS as P-CSCF in P (scscf.py, phones.py).

It comes from outside: OPENSIPS in the environment is the program, OPENSIPS_SRC the tree that it was built in, with its
modules in modules/NAME/NAME.so. IPSEC=proto_ipsec has its own module instead of ours, OPENSIPS_MODULE another
folder with ours. The routing is selftests/opensips/pcscf.cfg.
"""
import functools
import ipaddress
import os
import re
import shutil
import signal
import sqlite3
import subprocess
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
# pylint: disable=wrong-import-position
from ims import ADDRESSES, P4, P6, TOP, Fail, Skip, World, wait  # noqa: E402
from phones import PC, PS  # noqa: E402
from scscf import CORE  # noqa: E402
from sip_server import Server, in_use  # noqa: E402

PROGRAM, SOURCE = os.environ.get('OPENSIPS'), os.environ.get('OPENSIPS_SRC')
# The module that is to be loaded: ours, or OpenSIPS's own
IPSEC = os.environ.get('IPSEC') or 'proto_ims_ipsec'
OURS = IPSEC == 'proto_ims_ipsec'
CONFIG = TOP + '/selftests/opensips/pcscf.cfg'


def needed():
    """Without an OpenSIPS nothing can be run."""
    if not PROGRAM or not SOURCE:
        raise Skip('OPENSIPS and OPENSIPS_SRC are not given: make opensips OPENSIPS=PROGRAM OPENSIPS_SRC=DIR')


@functools.lru_cache
def version():
    """3.6, 4.0."""
    out = subprocess.run([PROGRAM, '-V'], stdout=subprocess.PIPE, text=True, check=True).stdout
    return re.search(r'version: opensips (\d+\.\d+)', out)[1]


def modules_of(text):
    return re.findall(r'loadmodule "(\w+)\.so"', text)


@functools.lru_cache
def folder():
    """The program and the modules are copied to where the VM has its memory: it is started for each test."""
    fast = f'/run/opensips-{version()}-{IPSEC}'
    if not os.path.exists(fast):
        os.makedirs(fast + '.new/modules')
        shutil.copy(PROGRAM, fast + '.new/opensips')
        with open(CONFIG, encoding='utf-8') as f:
            names = modules_of(f.read())
        for name in names:
            # proto_udp and proto_tcp are in the program
            if os.path.isdir(f'{SOURCE}/modules/{name}'):
                shutil.copy(f'{SOURCE}/modules/{name}/{name}.so', fast + '.new/modules/')
        if not OURS:
            shutil.copy(f'{SOURCE}/modules/{IPSEC}/{IPSEC}.so', fast + '.new/modules/')
        os.rename(fast + '.new', fast)
    # Ours may be another one than a test before had
    if OURS:
        shutil.copy((os.environ.get('OPENSIPS_MODULE') or f'{TOP}/build/opensips-{version()}') + f'/{IPSEC}.so', fast + '/modules/')
    return fast


def chosen(text, names):
    """Without what lies between #!ifdef and #!endif of other names."""
    out, stack = [], []
    for line in text.splitlines():
        m = re.match(r'#!(ifdef|ifndef|endif)(?: (\w+))?', line)
        if not m:
            if all(stack):
                out.append(line)
        elif m[1] == 'endif':
            stack.pop()
        else:
            stack.append((m[2] in names) == (m[1] == 'ifdef'))
    return '\n'.join(out) + '\n'


def make_database(path):
    """What usrloc keeps contacts in, by the tables that OpenSIPS has in its tree."""
    db = sqlite3.connect(path)
    for name in ('standard', 'usrloc'):
        with open(f'{SOURCE}/scripts/sqlite/{name}-create.sql', encoding='utf-8') as f:
            db.executescript(f.read())
    db.commit()
    db.close()
    return path


def listening(port):
    """Does a TCP socket of P's, at each address that has one there."""
    states = []
    with World.p:
        for name in ('tcp', 'tcp6'):
            with open(f'/proc/thread-self/net/{name}', encoding='ascii') as f:
                states += re.findall(rf'^ *\d+: \w+:{port:04X} \w+:0000 (\w\w) ', f.read(), re.M)
    return bool(states) and set(states) == {'0A'}


def in_brackets(address):
    return f'[{address}]' if ':' in address else address


def as_si(address):
    """As $si has it: of IPv6 all groups."""
    if ':' not in address:
        return address
    return ':'.join(f'{int(x, 16):X}' for x in ipaddress.ip_address(address).exploded.split(':'))


class OpenSips(Server):
    """OpenSIPS, ready."""
    name, noise = 'OpenSIPS', 'DBG:'

    def __init__(self, *names, parameters=None, fam='IPv4', addresses=None, clear=None, sockets=None, arguments='', condition='$rs == 401', core=CORE,
                 database=None, forced=True, ready=True, prefix=(), ports=(PS, *PC), workers=1, quiet=False, out=None, event=None, fields=()):
        # Phones of one family, if nothing else is said: it is started often, and each socket has processes
        clear = clear or addresses or ((P4,) if fam == 'IPv4' else (P4, P6))
        addresses = addresses or (ADDRESSES[fam][0],)
        super().__init__(clear[0])
        self.folder, self.prefix = folder(), prefix
        values = {'default_server_port': PS, **(parameters or {})}
        names = {*names, *(['OURS'] if OURS else []), *(['FORCED'] if forced else []), *(['DATABASE'] if database else []),
                 *(['EVENT'] if event else [])}
        if sockets is None:
            sockets = [f'ipsec:{in_brackets(a)}:{port}' for a in addresses for port in ports]
        sockets = [f'{proto}:{in_brackets(a)}:5060' for a in clear for proto in ('udp', 'tcp')] + sockets

        def literal(x):
            return f'"{x}"' if isinstance(x, str) else x
        fill = {'SOCKETS': '\n'.join(f'socket={x}' for x in sockets), 'MODULES': self.folder + '/modules', 'IPSEC': IPSEC, 'WORK': self.work,
                'DATABASE': database or '', 'CORE': in_brackets(core), 'CORE_ADDRESS': as_si(core), 'ARGUMENTS': arguments, 'WORKERS': str(workers),
                'CONDITION': condition, 'LEVEL': os.environ.get('LEVEL') or '3',
                'OUT': in_brackets(out or next(a for a in clear if (':' in a) == (':' in core))),
                'EVENT': event or '', 'EVENT_PARAMS': ' '.join(f'{x}=$param({x})' for x in fields),
                'PARAMETERS': '\n'.join(f'modparam("{IPSEC}", "{k}", {literal(x)})' for k, v in values.items() if v is not None
                                        for x in (v if isinstance(v, list) else [v]))}
        with open(CONFIG, encoding='utf-8') as f:
            text = re.sub(r'@([A-Z]+(?:_[A-Z]+)*)@', lambda m: fill[m[1]], chosen(f.read(), names))
        if quiet:
            text = re.sub(r'xlog\(.*\);', '$var(nothing) = 0;', text)
        with open(self.work + '/pcscf.cfg', 'w', encoding='utf-8') as f:
            f.write(text)
        self.begin(prefix, ready)

    def start(self, ready=True):
        if ready:
            # No test has to wait for what a server that has gone would say
            signal.signal(signal.SIGCHLD, self.gone)
        self.launch([*self.prefix, self.folder + '/opensips', '-F', '-f', self.work + '/pcscf.cfg', '-m', '64', '-M', '8', '-w', self.work], ready)

    def is_ready(self):
        # It answers over UDP before its process of TCP listens
        return super().is_ready() and listening(5060) and listening(PS)

    def gone(self, *_):
        if self.process and self.process.poll() is not None:
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            raise Fail(f'OpenSIPS has ended by itself: {self.process.returncode}')

    def stop(self):
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        super().stop()

    def __exit__(self, *why):
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        super().__exit__(*why)

    def kill(self):
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        super().kill()
        wait(lambda: not in_use(PS), 'its protected sockets have gone')

    def created(self):
        """What ipsec_create() has given, each time."""
        return [int(m[1]) for m in (re.search(r'test: ipsec_create gave (-?\d+)', x) for x in self.lines()) if m]

    def contacts(self):
        """How many the user location has."""
        got = self.rpc('get_statistics', ['location-contacts'])
        return int(next(iter(got.values())))
