# SPDX-License-Identifier: GPL-2.0-only
"""Kamailio as P-CSCF in P (scscf.py, phones.py).

Kamailio is Debian's own, 5.6 or 6.0 (KAMAILIO in the environment), with the module of this tree or with the one that
it comes with (IPSEC=ims_ipsec_pcscf). Its routing is selftests/kamailio/pcscf.cfg.
"""
import functools
import glob
import os
import re
import shutil
import sqlite3
import subprocess
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
# pylint: disable=wrong-import-position
from ims import P4, P6, TOP, Fail  # noqa: E402
from phones import PC, PS  # noqa: E402
from scscf import CORE  # noqa: E402
from sip_server import Server  # noqa: E402

VERSION = os.environ.get('KAMAILIO') or '5.6'
# The module that is to be loaded: ours, or Debian's
IPSEC = os.environ.get('IPSEC') or 'ims_ipsec'
OURS = IPSEC == 'ims_ipsec'
# ipsec_destroy with two arguments, and ipsec_destroy_by_contact: 5.6's own module has neither
BY_CONTACT = OURS or VERSION != '5.6'
# ipsec_preferred_alg and _ealg
PREFERRED = OURS or VERSION != '5.6'
# The folder of ours; selftests/mutate has others
MODULE = os.environ.get('KAMAILIO_MODULE') or f'{TOP}/build/kamailio-{VERSION}'

FAST = f'/run/kamailio-{VERSION}-{IPSEC}'


@functools.lru_cache
def folder():
    """That of `selftests/kamailio/setup get`, which the host has called before the VM; what is run of it, and our module,
    are copied to where the VM has its memory: it is started for each test."""
    out = subprocess.run([TOP + '/selftests/kamailio/setup', 'get', VERSION], stdout=subprocess.PIPE, text=True, check=True)
    found = out.stdout.strip()
    with open(TOP + '/selftests/kamailio/pcscf.cfg', encoding='utf-8') as f:
        wanted = {x + '.so' for x in re.findall(r'loadmodule "(\w+).so"', f.read())} | {IPSEC + '.so'}

    def without(path, names):
        if path.endswith('/kamailio/modules'):
            return set(names) - wanted
        # The one large file, which is there for another that is
        return {x for x in names if x in ('src', 'share', 'gconv', 'etc') or x.startswith('libicudata')}
    # Another test program may have done it
    if not os.path.exists(FAST):
        shutil.copytree(found, FAST + '.new', symlinks=True, ignore=without)
        for path in glob.glob(found + '/root/usr/lib/*/libicudata*'):
            os.symlink(path, FAST + '.new' + path.removeprefix(found))
        os.rename(FAST + '.new', FAST)
    if OURS:
        shutil.copy(MODULE + '/ims_ipsec.so', f'{FAST}/root/{Kamailio.modules}/')
    return FAST


class Kamailio(Server):
    """Kamailio, ready."""
    name, noise = 'Kamailio', 'INFO: <core>'
    # Where Debian's has it
    modules = 'usr/lib/x86_64-linux-gnu/kamailio/modules'

    def __init__(self, *settings, forward=897, parameters=None, addresses=(P4, P6), listen=None, grace=5, database=None,
                 core=CORE, db_mode=1, ready=True, pending=30, prefix=(), quiet=False, connections=2, client=PC[0], server=PS, patience=30000):
        super().__init__((listen or addresses)[0])
        self.folder, self.prefix = folder(), prefix
        values = {'ipsec_client_port': client, 'ipsec_server_port': server, 'ipsec_max_connections': connections}
        for name, there in (('ipsec_listen_addr', [a for a in addresses if ':' not in a]), ('ipsec_listen_addr6', [a for a in addresses if ':' in a])):
            if there:
                values[name] = there
        values.update(parameters or {})

        def literal(x):
            return f'"{x}"' if isinstance(x, str) else x
        lines = [f'listen={proto}:{f"[{a}]" if ":" in a else a}:5060' for a in listen or addresses for proto in ('udp', 'tcp')]
        lines = [*(['#!define OURS'] if OURS else []), *(['#!define BY_CONTACT'] if BY_CONTACT else []), *lines, *settings]
        fill = {'SETTINGS': '\n'.join(lines), 'IPSEC': IPSEC, 'GRACE': str(grace), 'PENDING': str(pending), 'WORK': self.work,
                'FORWARD': str(forward), 'PATIENCE': str(patience),
                'DATABASE': database or '', 'DB_MODE': str(db_mode), 'CORE': f'[{core}]' if ':' in core else core, 'CORE_ADDRESS': core,
                'PATH': f'[{addresses[0]}]' if ':' in addresses[0] else addresses[0],
                'PARAMETERS': '\n'.join(f'modparam("{IPSEC}", "{k}", {literal(x)})' for k, v in values.items()
                                        for x in (v if isinstance(v, list) else [v]))}
        with open(TOP + '/selftests/kamailio/pcscf.cfg', encoding='utf-8') as f:
            text = re.sub(r'@([A-Z]+(?:_[A-Z]+)*)@', lambda m: fill[m[1]], f.read())
        if quiet:
            text = re.sub(r'xlog\(.*\);', '$var(nothing) = 0;', text)
        if database:
            text = text.replace('\n', '\n#!define DATABASE\n', 1)
        with open(self.work + '/pcscf.cfg', 'w', encoding='utf-8') as f:
            f.write(text)
        for name, flags in (('create', 1), ('forward', forward)):
            with open(f'{self.work}/{name}.js', 'w', encoding='utf-8') as f:
                f.write(f"KSR.pv.seti('$var(done)', KSR.ims_ipsec.ipsec_{name}('location', {flags}));\n")
        self.begin(prefix, ready)

    def start(self, ready=True):
        argv = [*self.prefix, f'{self.folder}/kamailio', '-L', f'{self.folder}/root/{self.modules}', '-DD', '-E',
                '-f', self.work + '/pcscf.cfg', '-Y', self.work, '-P', self.work + '/pid', '-m', '32', '-M', '4', '-w', self.work]
        self.launch(argv, ready)

    def contacts(self):
        """How many the user location has."""
        got = self.rpc('stats.get_statistics', 'all')
        found = [x for x in got if re.search('location.contacts', x)]
        if not found:
            raise Fail(f'no count of contacts in {got}')
        return int(found[0].rpartition('=')[2])


COLUMNS = 'domain aor host received path rinstance rx_session_id expires service_routes socket public_ids'
NUMBERS = 'port received_port received_proto reg_state'
SECURITY = ('protocol mode ck ik ealg ialg', 'security_type port_pc port_ps port_uc port_us spi_pc spi_ps spi_uc spi_us')


def make_database(path):
    """What ims_usrloc_pcscf keeps contacts in: a table of the domain's name."""
    texts, numbers = COLUMNS.split(), NUMBERS.split()
    for prefix in ('', 't_'):
        texts += [prefix + x for x in SECURITY[0].split()]
        numbers += [prefix + x for x in SECURITY[1].split()]
    db = sqlite3.connect(path)
    db.execute('CREATE TABLE version (table_name TEXT, table_version INTEGER)')
    db.execute("INSERT INTO version VALUES ('location', 7)")
    db.execute('CREATE TABLE location (id INTEGER PRIMARY KEY, ' + ', '.join(
        [f'{x} TEXT' for x in texts if x != 'expires'] + ['expires TIMESTAMP'] + [f'{x} INTEGER' for x in numbers]) + ')')
    db.commit()
    db.close()
    return path
