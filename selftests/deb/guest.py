# SPDX-License-Identifier: GPL-2.0-only
"""In the VM of selftests/deb/check: the packages as a user has them, in a Debian of their own.

The Debian's root is that of process 1; this program and its tools run in the host's root, beside it. Namespaces U and C,
with a phone and an S-CSCF, are joined to the Debian's network:

     U  u0 ---- p0  the Debian  p1 ---- c0  C
"""
import json
import os
import re
import select
import subprocess
import sys
import tempfile
import time

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path[:0] = ['/usr/lib/python3/dist-packages', TOP + '/selftests/lib']
# pylint: disable=wrong-import-position
import ims  # noqa: E402
from document import Document, Readme  # noqa: E402
from ims import P4, P6, Fail, Namespace, Wire, World, check, equal, grow, main, say, test, wait  # noqa: E402
from net import MAC, U4, U6, wait_up  # noqa: E402
from phones import all_in_esp, asked, phone  # noqa: E402
from scscf import CORE, Core, make_core  # noqa: E402
from sip_phone import UE1, UE2, Set  # noqa: E402

CONFIG = '/etc/kamailio/kamailio.cfg'
README, INSTALL, KAMAILIO = Readme(), Document('install.rst'), Document('kamailio.rst')
PS, PC = 5063, (5062, 5064)
DEBIAN, PART = os.environ['DEBIAN'], os.environ['PART']


class Host(Namespace):
    """The Debian's own network, which nobody has to make."""

    def __init__(self):  # pylint: disable=super-init-not-called
        self.name, self.before, self.batched = 'P', [], None
        self.fd = os.open('/proc/1/ns/net', os.O_RDONLY)


# As root of the Debian, in root's home
ENTER = ('nsenter', '-t', '1', '-m', 'env', '-i', 'PATH=/usr/sbin:/usr/bin:/sbin:/bin', 'HOME=/root', 'LANG=C.UTF-8',
         'DEBIAN_FRONTEND=noninteractive', 'SYSTEMD_PAGER=', 'bash', '-c')


def run(script, ok=True, limit=1800):
    """What an operator types; its output."""
    done = subprocess.run([*ENTER, 'cd; ' + script],
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors='replace',
                          timeout=limit, check=False)
    if ok and done.returncode:
        raise Fail(f'{script}: {done.returncode}: {done.stdout[-3000:]}')
    return done.stdout


def show(unit, name):
    return run(f'systemctl show --value -p {name} {unit}').strip()


def loaded():
    return os.path.isdir('/sys/module/ims_ipsec')


def network():
    """Links to U and C, as a P-CSCF has them."""
    World.p, World.u = Host(), Namespace('U')
    World.p.ip(f'link add p0 address {MAC["p0"].hex(":")} type veth peer name u0 address {MAC["u0"].hex(":")} netns U')
    for ns, dev, four, six, other in ((World.p, 'p0', P4, P6, 'u0'), (World.u, 'u0', U4, U6, 'p0')):
        four2, six2 = (U4, U6) if dev == 'p0' else (P4, P6)
        ns.ip(f'addr add {four}/24 dev {dev}', f'addr add {six}/64 dev {dev} nodad', f'link set {dev} up',
              *(f'neigh replace {a} lladdr {MAC[other].hex(":")} dev {dev} nud permanent' for a in (four2, six2)))
    wait_up((World.p, 'p0'), (World.u, 'u0'))
    with World.u:
        World.phones = ims.Xfrm()
    World.wire = Wire(World.u, 'u0')
    grow(World.u)
    make_core()


def kamailio_is_ready():
    def answers():
        s = World.u.udp(U4, 5099)
        try:
            s.sendto(f'OPTIONS sip:{P4} SIP/2.0\r\nVia: SIP/2.0/UDP {U4}:5099;rport;branch=z9hG4bKready\r\nFrom: <sip:a@a>;tag=a\r\n'
                     f'To: <sip:{P4}>\r\nCall-ID: ready\r\nCSeq: 1 OPTIONS\r\nMax-Forwards: 5\r\nContent-Length: 0\r\n\r\n'.encode(), (P4, 5060))
            return select.select([s], [], [], 2)[0]
        finally:
            s.close()
    try:
        wait(answers, 'Kamailio answers', 120)
    except Fail:
        say(run('systemctl status kamailio; journalctl -u kamailio -o cat | tail -n 40', ok=False))
        raise


def shown(what):
    return json.loads(run(f'imsipsec -j {what} show') or '[]')


def dropped():
    return sum(e['drop-plaintext-in'] for e in shown('endpoint'))


class Monitor:
    """`imsipsec monitor` in another terminal."""

    def __enter__(self):
        self.file = tempfile.TemporaryFile('w+', encoding='utf-8')  # pylint: disable=consider-using-with
        self.process = subprocess.Popen([*ENTER, README.line('imsipsec monitor')], stdout=self.file, stderr=self.file)
        wait(self.listens, 'the monitor listens')
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
        self.file.close()

    def listens(self):
        """Its socket of generic netlink (16) is in a group."""
        with World.p, open('/proc/thread-self/net/netlink', encoding='ascii') as f:
            return any(x[1:3] == ['16', str(self.process.pid)] and int(x[3], 16) for x in map(str.split, f))

    def text(self):
        self.file.seek(0)
        return self.file.read()


def talks(core, ue, over):
    """A request of the phone's, and one to it."""
    World.wire.seen()
    ue.talk(over)
    equal(core.next(lambda m: m.method == 'MESSAGE').source, 5060, 'port that the core hears from')
    asked(core, ue, over, impi=ue.impi, ports=PC, call=f'core-{over.spi}-{ue.cseq}')
    all_in_esp(ue, (PS, *PC))


def registers(core, ue, over):
    """REGISTER, 401, SAs, REGISTER over ESP, 200 OK; for longer than DKMS builds in an emulated machine."""
    World.wire.seen()
    answer = ue.challenge(over)
    check('ipsec-3gpp' in (answer['Security-Server'] or ''), f'Security-Server of the 401: {answer["Security-Server"]}')
    check('ck=' not in answer['WWW-Authenticate'], f'the phone is told the keys: {answer["WWW-Authenticate"]}')
    ue.confirm(over, expires=86400)
    all_in_esp(ue, (PS, *PC))
    b = [x for x in shown('bundle') if x['spi-uc'] == over.spi]
    equal([(x['owner'], x['state'] in ('established', 'active')) for x in b], [(ue.impi, True)], 'the set, as the command shows it')


@test('DEB', 'DKMS has built the modules for the kernel that runs, and signed them; nothing is loaded, no unit has failed')
def installed():
    release = os.uname().release
    equal(run('systemctl --failed --no-legend').strip(), '', 'units that have failed')
    check(f'{release}, x86_64: installed' in run('dkms status'), f'dkms status: {run("dkms status")}')
    for name in ('ims_ipsec', 'ims_ipsec_iv'):
        path = run(f'modinfo -n {name}').strip()
        check(path.startswith(f'/lib/modules/{release}/updates/dkms/'), path)
        say(f'{path}: signer {run(f"modinfo -F signer {name}").strip()}')
        check(run(f'modinfo -F signer {name}').strip(), f'{name} is not signed')
    check(not loaded(), 'the module is loaded')


@test('DEB', 'where Kamailio was there before the package of its module, its unit has the capability, and has not when the package has gone')
def late():
    for command, has in (('dpkg -r kamailio-ims-ipsec', ''), ('dpkg -i build/deb/kamailio-ims-ipsec_*.deb', 'cap_net_admin')):
        run(command)
        equal((show('kamailio', 'NeedDaemonReload'), show('kamailio', 'AmbientCapabilities')), ('no', has), f'the unit after {command}')


@test('DEB', 'systemctl enable --now ims_ipsec, as the README has it, with the configuration as it comes: the module is there, no endpoint')
def unit():
    run(README.line('systemctl enable'))
    equal(run('systemctl is-enabled ims_ipsec').strip(), 'enabled', 'the unit')
    equal((show('ims_ipsec', 'ActiveState'), show('ims_ipsec', 'Result')), ('active', 'success'), 'the unit')
    check(loaded(), 'the module is not loaded')
    equal(run('imsipsec endpoint show').strip(), '', 'endpoints')
    run('systemctl reload ims_ipsec')


@test('DEB', "Kamailio with the example, by the README's lines: ports are protected, it has one capability, and the host is fit")
def kamailio():
    for line in ('cp', 'sed', 'systemctl restart kamailio'):
        run(README.line(line).replace('ADDRESS', P4).replace('CORE', CORE))
    kamailio_is_ready()
    equal([(e['address'], e['port-ps'], e['port-pc']) for e in shown('endpoint')], [(P4, PS, list(PC))], 'endpoints')
    pid = show('kamailio', 'MainPID')
    with open(f'/proc/{pid}/status', encoding='ascii') as f:
        status = dict(x.split(':', 1) for x in f.read().splitlines())
    check(int(status['CapEff'], 16) == 1 << 12 and status['Uid'].split()[1] != '0', f'its capabilities are {status["CapEff"]}')
    said = run(README.line('imsipsec check'))
    say(said)
    check(not re.search('^fault', said, re.M), 'a fault is found')


@test('DEB', "Kamailio by the lines of kamailio.rst's Packages; its unit has what that document says")
def kamailio_document():
    copy, restart, look, watch = KAMAILIO.block('Packages', 'cp ')
    run(copy)
    # As a configuration of the original has the lines, and back
    was = run(f'cat {CONFIG}')
    run(f"""sed -i 's/"ims_ipsec\\([".]\\)/"ims_ipsec_pcscf\\1/' {CONFIG}""")
    check(was.count('"ims_ipsec') == run(f'cat {CONFIG}').count('"ims_ipsec_pcscf') > 1, 'lines that name the original')
    change, again, *_ = KAMAILIO.block('Packages', 'sed -i.old')
    run(change)
    equal((run(f'cat {CONFIG}'), again), (was, restart), 'the configuration, and what is done then')
    run(restart)
    kamailio_is_ready()
    check(P4 in run(look), 'the endpoint is shown')
    equal(watch, README.line('imsipsec monitor'), 'how to watch')
    part = run('cat /lib/systemd/system/kamailio.service.d/ims_ipsec.conf')
    equal([x for x in part.splitlines() if x and x[0] != '#'], KAMAILIO.block('Build', 'AmbientCapabilities'), 'what the package adds to the unit')


@test('DEB', 'a phone registers over {}, sends and is sent to, all of it in ESP; what comes in clear is dropped; the monitor tells', each=('UDP', 'TCP'))
def phone_registers(way):
    with Core() as core, phone(way, impi=UE1 if way == 'UDP' else UE2) as ue, Monitor() as monitor:
        first = Set(5000) if way == 'UDP' else Set(6000, 6303, 6302)
        registers(core, ue, first)
        talks(core, ue, first)
        wait(lambda: ue.impi in monitor.text(), f'the monitor tells: {monitor.text()}')
        clear, was = World.u.udp(U4, 9998), dropped()
        clear.sendto(b'in clear', (P4, PS))
        wait(lambda: dropped() > was, 'what comes in clear to the protected port is dropped')
        clear.close()
        leaves(ue, first)


def leaves(ue, over):
    """De-registration: the next phone is no other contact's."""
    equal(ue.register(over, over, expires=0).status, '200', 'the answer to the de-registration')


def version(of):
    """Of the module in the file, or of the one that is loaded."""
    return run('modinfo -F version ims_ipsec' if of == 'file' else 'cat /sys/module/ims_ipsec/version').strip()


@test('DEB', 'upgrade, by the line of install.rst: DKMS builds the next version, and phones notice nothing; by the lines after that it is '
      'in use, and sets are gone', limit=3600)
def upgrade():
    was, pid = version('loaded'), show('kamailio', 'MainPID')
    equal(version('file'), was, 'the module')
    with Core() as core, phone('UDP') as ue:
        first = Set(7000, 6305, 6304)
        registers(core, ue, first)
        run('rm -r build; mkdir build; mv next build/deb')
        install, = INSTALL.block('Upgrade', 'apt install')
        begin = time.monotonic()
        out = run(install, limit=3000)
        say(f'upgraded in {time.monotonic() - begin:.0f} s\n' + '\n'.join(x for x in out.splitlines() if 'ims' in x))
        check(version('file') != was == version('loaded'), f'the file is {version("file")}, {version("loaded")} is loaded')
        equal((show('kamailio', 'MainPID'), show('ims_ipsec', 'ActiveState')), (pid, 'active'), 'Kamailio, and the unit')
        equal(run('dkms status').strip().count('ims_ipsec'), 1, 'versions that DKMS has')
        talks(core, ue, first)
        for line in INSTALL.block('Upgrade', 'rmmod'):
            run(line)
        kamailio_is_ready()
        equal(version('loaded'), version('file'), 'the module that is loaded')
        equal(shown('bundle'), [], 'sets')
        # What it sends over the old set is dropped; it begins anew
        ue.forget(first)
    with Core() as core, phone('UDP') as ue:
        again = Set(7100, 6307, 6306)
        registers(core, ue, again)
        talks(core, ue, again)
        leaves(ue, again)


def paths():
    """All of the Debian's disk."""
    out, root = set(), '/proc/1/root'
    for folder, folders, names in os.walk(root):
        if folder == root:
            folders[:] = [x for x in folders if x not in ('proc', 'sys', 'dev', 'run', 'tmp', 'root')]
        out |= {os.path.join(folder, x)[len(root):] for x in folders + names}
    return out


OURS = ('ims-ipsec-dkms', 'ims-ipsec-ue', 'imsipsec', 'kamailio-ims-ipsec', 'libimsipsec-dev', 'libimsipsec1')


@test('DEB', "purged, by the lines of install.rst: of ours nothing is left but what apt and dpkg have logged", limit=1200)
def purge():
    owned = {x for name in OURS for x in run(f'dpkg -L {name}').splitlines() if x in ('/etc/ims_ipsec.conf',) or 'ims' in x}
    check(len(owned) > 60, f'{len(owned)} paths are ours')
    for line in INSTALL.block('Removal', 'apt purge'):
        run(line)
    check(not loaded(), 'the module is loaded')
    equal(run("dpkg-query -W -f '${Package} ${db:Status-Status}\\n' '*ims*ipsec*' 2>/dev/null | grep -v not-installed; :").strip(), '', 'packages')
    now = paths()
    left = sorted(x for x in now if x in owned or re.search('ims[_-]?ipsec(?!_pcscf)', x))
    equal([x for x in left if not x.startswith(('/var/log/', '/var/cache/apt/', '/usr/share/doc/kamailio'))], [], 'what is left')
    with open(f'{TOP}/build/deb-{DEBIAN}/files-before', encoding='utf-8') as f:
        before = set(f.read().splitlines())
    modules = {x for x in now - before if x.startswith('/lib/modules/') or x.startswith('/usr/lib/modules/')}
    equal(sorted(x for x in modules if x.endswith(('.ko', '.xz')) or '/updates' in x), [], 'modules that were not there before')
    check('ims_ipsec' not in run('modprobe ims_ipsec 2>&1; cat /lib/modules/*/modules.dep', ok=False).replace('Module ims_ipsec not found', ''),
          'modprobe knows the module')


@test('SECURE', 'a kernel that takes signed modules alone (module.sig_enforce=1) refuses what DKMS has signed with a key that nobody has '
      'enrolled: the unit fails, and its log says why')
def sig_enforce():
    with open('/sys/module/module/parameters/sig_enforce', encoding='ascii') as f:
        equal(f.read().strip(), 'Y', 'sig_enforce')
    # A module of Debian's own is taken
    run('modprobe xfrm_user')
    said = run(README.line('systemctl enable') + ' 2>&1; journalctl -o cat -u ims_ipsec', ok=False)
    say(said)
    told, = INSTALL.block('Secure Boot', 'could not insert')
    check(told in said, f'install.rst has {told!r}')
    equal((show('ims_ipsec', 'ActiveState'), loaded()), ('failed', False), 'the unit, and is the module loaded')
    keys = run('cat /proc/keys')
    say(keys)


if __name__ == '__main__':
    sys.argv[1:] = ['-t', 'SECURE' if PART == 'secure' else 'DEB']
    main(network if PART != 'secure' else None)
