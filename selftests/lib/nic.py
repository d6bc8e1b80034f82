# SPDX-License-Identifier: GPL-2.0-only
"""Network interfaces that do ESP's work: netdevsim's, and one made up (selftests/offload/nic.c).

And the endpoints and bundles that are to be on them.
"""
import fcntl
import itertools
import os
import re
import socket
import struct
import subprocess
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
# pylint: disable=wrong-import-position
from ims import GCM, AEAD, P4, TOP, UML, Fail, Phone, Skip, World, bundle, check, echo, endpoint, equal, table, wait  # noqa: E402

BUS = '/sys/bus/netdevsim'
DEBUGFS = '/sys/kernel/debug'
# NSIM_IPSEC_MAX_SA_COUNT
ROOM = 33
GCM_PAIRS = [pair for pair, sa in AEAD.items() if sa is GCM]
LONG = 600000
GUARD = 3  # policies of an endpoint
WAYS = ('spi-ps', 'spi-uc', 'spi-us', 'spi-pc')
# User-mode Linux's, and the newest kernel's; beside these 6.12's for what takes several CPUs
NIC_KO = f'{TOP}/build/{"uml" if UML else "7.3"}-nic/nic.ko'
NIC_KO_SMP = TOP + '/build/6.12-nic/nic.ko' if '6.12.' in os.uname().release else NIC_KO
NIC_PARAMETERS = '/sys/module/nic/parameters/'
NIC_FULL = {'sas': 1000, 'error': 28, 'text': 'the table is full', 'wait_add': 0, 'wait_free': 0, 'clash': 0, 'delete_ms': 0}
# What the driver says, bundle-new's error, and the reason
ERRORS = ((28, 'ENOSPC', 'table-full'), (12, 'ENOMEM', 'no-memory'), (22, 'EOPNOTSUPP', 'refused'),
          (95, 'EOPNOTSUPP', 'refused'), (16, 'EOPNOTSUPP', 'refused'), (5, 'EOPNOTSUPP', 'refused'))
spis = itertools.count(0x40000000, 2)
# The first says whether it is on
ESP_FEATURES = ('esp-hw-offload', 'esp-tx-csum-hw-offload', 'tx-esp-segmentation')


def child(argv, ns=None):
    """A command that may never return, where a device is waited for; it is not waited for then."""
    echo(ns.name if ns else '-', ' '.join(argv))

    def start():
        return subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if ns:
        with ns:
            p = start()
    else:
        p = start()
    try:
        out = p.communicate(timeout=60)[0]
    except subprocess.TimeoutExpired:
        raise Fail(f'{" ".join(argv)}: no end') from None
    check(not p.returncode, f'{" ".join(argv)}: {out}')


def links(ns):
    return set(re.findall(r'^\d+: ([^:@]+)', ns.ip('-o link'), re.MULTILINE))


class Device:
    """An interface in a namespace, P as a rule; it goes at the end, if it is still there."""
    name = ns = None

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        try:
            self.remove()
        except Fail:
            # What went wrong before it is what there is to tell
            if not kind:
                raise

    def remove(self):
        raise NotImplementedError

    def link(self, *words, ns=None):
        """`ip link set` of it."""
        (ns or self.ns).ip(f'link set {self.name} ' + ' '.join(words))

    def rename(self, name):
        self.link('name', name)
        self.name = name

    def sas(self):
        """{SPI: direction} of what it has."""
        raise NotImplementedError

    def has(self, *bundles):
        """It has these bundles' SAs, all of them, and no other's."""
        equal(self.sas(), {spi: sa[4] for b in bundles for spi, sa in table(b).items()}, f'SAs on {self.name}')

    def features(self, on, which=ESP_FEATURES):
        """As `ethtool -K` does it: what has to do with ESP, on or off; is the first of them on?"""
        def ethtool(s, data):
            import ctypes  # pylint: disable=import-outside-toplevel
            buf = ctypes.create_string_buffer(data, len(data))
            fcntl.ioctl(s, 0x8946, struct.pack('16sP8x', self.name.encode(), ctypes.addressof(buf)))
            return buf.raw
        with self.ns.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
            # ETHTOOL_GSSET_INFO, GSTRINGS, SFEATURES; ETH_SS_FEATURES is 4
            n, = struct.unpack_from('I', ethtool(s, struct.pack('IIQI', 0x37, 0, 1 << 4, 0)), 16)
            raw = ethtool(s, struct.pack('III', 0x1b, 4, n) + bytes(32 * n))[12:]
            names = [raw[i:i + 32].split(b'\0')[0].decode() for i in range(0, 32 * n, 32)]
            blocks = [0] * ((n + 31) // 32)
            for f in which:
                i = names.index(f)
                blocks[i // 32] |= 1 << i % 32
            ethtool(s, struct.pack('II', 0x3b, len(blocks)) +
                    b''.join(struct.pack('II', b, b if on else 0) for b in blocks))
            # ETHTOOL_GFEATURES: available, requested, active, never changed
            raw = ethtool(s, struct.pack('II', 0x3a, len(blocks)) + bytes(16 * len(blocks)))[8:]
            i = names.index(which[0])
            return bool(struct.unpack_from('I', raw, i // 32 * 16 + 8)[0] >> i % 32 & 1)


class Sim(Device):
    """netdevsim's: AES-GCM alone, crypto alone."""
    numbers, is_looked_for = 10, False

    def __init__(self, name='sim0', ns=None):
        if not os.path.isdir(BUS) and not Sim.is_looked_for:
            Sim.is_looked_for = True
            subprocess.run(['modprobe', '-q', 'netdevsim'], check=False)
        if not os.path.isdir(BUS):
            raise Skip('this kernel has no netdevsim')
        Sim.numbers += 1
        self.ns, self.name, self.number, self.there = ns or World.p, name, Sim.numbers, False
        self.make()
        self.link('up')

    def make(self):
        was = links(self.ns)
        child(['sh', '-c', f'echo "{self.number} 1" >{BUS}/new_device'], self.ns)
        self.there = True
        found, = links(self.ns) - was
        self.ns.ip(f'link set {found} name {self.name} addrgenmode none')

    def table(self):
        """(number of SAs, {SPI: (direction, destination)}); there are keys in it, which nobody shall see."""
        path = f'{DEBUGFS}/netdevsim/netdevsim{self.number}/ports/0/ipsec'
        with open(path, encoding='ascii') as f:
            text = f.read()
        count = int(re.match(r'SA count=(\d+)', text).group(1))
        found = re.findall(r'^sa\[\d+\] ([rt])x ipaddr=(\S+)\n.* spi=0x(\w+) proto=0x32 .*crypt=1$', text, re.MULTILINE)
        return count, {int(spi, 16): ('in' if way == 'r' else 'out', addr) for way, addr, spi in found}

    def sas(self):
        def whole():
            # What comes while it is being shown has no room
            count, found = self.table()
            return found if len(found) == count else None
        found = wait(lambda: [x for x in (whole(),) if x is not None], 'netdevsim shows as many SAs as it counts')[0]
        return {spi: way for spi, (way, _) in found.items()}

    def remove(self):
        if self.there:
            self.there = False
            child(['sh', '-c', f'echo {self.number} >{BUS}/del_device'])
            check(not os.path.exists(f'{BUS}/devices/netdevsim{self.number}'), 'netdevsim is still there')


class Nic(Device):
    """The one made up: any algorithm, and it can be on packets' way."""
    name = 'nic0'

    def __init__(self, ns=None, ko=NIC_KO, hardware=False, **parameters):
        if not self.is_for_this_kernel(ko):
            raise Skip('selftests/offload/nic.c is not built for this kernel')
        self.ns = ns or World.p
        child(['insmod', ko, f'hardware={int(hardware)}'], self.ns)
        self.set(**parameters)
        self.ns.ip('link set nic0 addrgenmode none', 'link set nic0 up')

    @staticmethod
    def is_for_this_kernel(ko=NIC_KO):
        if not os.path.exists(ko):
            return False
        with open(ko, 'rb') as f:
            return f'vermagic={os.uname().release} '.encode() in f.read()

    @staticmethod
    def get(name):
        with open(NIC_PARAMETERS + name, encoding='ascii') as f:
            return f.read().strip()

    @staticmethod
    def go_on():
        """What waits does no longer."""
        with open(NIC_PARAMETERS + 'waiting', 'w', encoding='ascii') as f:
            f.write('N\n')

    def set(self, **parameters):
        """Where its table ends, and what it says then; what waits, and for how long."""
        for k, v in {**NIC_FULL, **parameters}.items():
            echo('-', f'nic: {k}={v}')
            with open(NIC_PARAMETERS + k, 'w', encoding='ascii') as f:
                f.write(f'{v}\n')  # a write of nothing would be none

    @staticmethod
    def lines(kind):
        with open(DEBUGFS + '/ims_nic/tables', encoding='ascii') as f:
            return [x.split()[1:] for x in f if x.startswith(kind + ' ')]

    def sas(self):
        return {int(spi): way for spi, way, _ in self.lines('sa')}

    def packets(self, spi):
        """How many it has encrypted, or decrypted, with this SA."""
        return next(int(n) for x, _, n in self.lines('sa') if int(x) == spi)

    def count(self, kind):
        """What was sent over none of its SAs, "esp" and "others"; "leaving": SAs deleted, not freed."""
        return int(self.lines(kind)[0][0])

    @staticmethod
    def receive(packet):
        """ESP that it has decrypted, and found authentic."""
        with open(DEBUGFS + '/ims_nic/receive', 'wb', buffering=0) as f:
            f.write(packet)

    def empty(self):
        """It has nothing, and will have freed all."""
        equal(self.sas(), {}, 'SAs left on nic0')
        wait(lambda: not self.count('leaving'), 'what it had is freed')

    def remove(self):
        if os.path.isdir('/sys/module/nic'):
            child(['rmmod', 'nic'])


class Bond(Device):
    """A bond, of the one made up where that is built for this kernel; ESP's features are on then."""
    name, nic = 'bond9', None

    def __init__(self):
        if subprocess.run(['modprobe', '-q', 'bonding', 'max_bonds=0'], check=False).returncode:
            raise Skip('this kernel has no bonding')
        self.ns = World.p
        self.ns.ip('link add bond9 type bond mode active-backup', 'link set bond9 addrgenmode none')
        try:
            if Nic.is_for_this_kernel(NIC_KO_SMP):
                self.nic = Nic(ko=NIC_KO_SMP, hardware=True)
                self.nic.link('down')
                self.nic.link('master bond9')
            self.link('up')
            check(self.features(True), 'bond9: no esp-hw-offload')
            if self.nic:
                wait(lambda: 'nic0' in self.ns.ip('-d link show bond9').partition('active_slave')[2], 'nic0 is the active one')
        except BaseException:
            self.remove()
            raise

    def empty(self):
        if self.nic:
            self.nic.empty()

    def remove(self):
        self.ns.ip('link del bond9')
        if self.nic:
            self.nic.remove()


# --- Endpoints and bundles

def offloading(dev, addr=P4, **more):
    """An endpoint whose bundles are to be on a device, or on one of this name."""
    return endpoint(addr, hw_offload_interface=dev if isinstance(dev, str) else dev.name, **more)


def made(ep, n=0, **more):
    """A bundle of AES-GCM; n: of another UE."""
    spi = next(spis)
    if n:
        more.setdefault('ue_address', f'2001:db8:5::{n}' if ':' in ep['address'] else f'198.18.0.{n}')
    return bundle(ep, **{'auth_alg': 'null', 'enc_alg': 'aes-gcm', 'spi_uc': spi, 'spi_us': spi + 1, **more})


def confirmed(b):
    World.nl.do('bundle-confirm', id=b['id'], lifetime=LONG)
    return b


def delete(*bundles):
    for b in bundles:
        World.nl.do('bundle-del', id=b['id'])


def has_software(b):
    """GRO and GSO of ESP: built in, or loaded."""
    name = f"esp{6 if ':' in b['address'] else 4}_offload"
    with open(f'/lib/modules/{os.uname().release}/modules.builtin', encoding='ascii') as f:
        if f'/{name}.ko' in f.read():
            return True
    with open('/proc/modules', encoding='ascii') as f:
        return f'{name} ' in f.read()


def on_device(dev, *bundles, mode='crypto'):
    """That is what is said of them."""
    for b in bundles:
        got = World.nl.do('bundle-get', id=b['id'])
        equal(tuple(got.get(k) for k in ('offload', 'offload-reason', 'offload-interface')), (mode, None, dev.name),
              f"bundle {b['id']}")


def in_software(reason, *bundles):
    """No device has them: GRO and GSO do, unless the endpoint wishes for neither."""
    for b in bundles:
        got = World.nl.do('bundle-get', id=b['id'])
        wish = World.nl.do('endpoint-get', id=got['endpoint']).get('hw-offload', 'off')
        equal(tuple(got.get(k) for k in ('offload', 'offload-reason', 'offload-interface')),
              ('software' if wish != 'off' and has_software(b) else 'off', reason, None), f"bundle {b['id']}")


def account(ep, bundles, text=None, **fallbacks):
    """How many the endpoint says that are on the device, and how many are not."""
    got = World.nl.do('endpoint-get', id=ep['id'])
    equal(got['hw-offload-bundles'], bundles, 'hw-offload-bundles')
    counts = {f['reason']: f['count'] for f in got.get('hw-offload-fallback', []) if f['count']}
    equal(counts, {k.replace('_', '-'): v for k, v in fallbacks.items()}, 'hw-offload-fallback')
    if text:
        check(text in got.get('hw-offload-text', ''), f"{got.get('hw-offload-text')!r} does not say {text!r}")
    return got


def told():
    """The events of bundles since last asked, without what they are about beyond its id and offload-reason."""
    return [(e['type'], e['bundle']['id'], e['bundle'].get('offload-reason')) for e in World.events.drain()
            if 'bundle' in e and (e['type'] != 'offload-fallback' or e['reason'] == 'interface')]


def fell_back(reason, b):
    """It was made, and fell back, and both were told."""
    equal(told(), [('created', b['id'], reason), ('offload-fallback', b['id'], reason)], 'events')
    in_software(reason, b)


def lost(ep, dev, *bundles, before_that=0, **fallbacks):
    """These were on the device, and go on in software: once, in place."""
    wanted = sorted(('offload-fallback', b['id'], 'lost') for b in bundles)
    equal(sorted(told()), wanted, 'events')
    in_software('lost', *bundles)
    account(ep, before_that, lost=len(bundles), **fallbacks)
    if dev:
        equal(dev.sas(), {}, f'SAs on {dev.name}')


def works(b):
    """All four ways."""
    with Phone(b) as phone:
        for name in WAYS:
            phone.deliver(name)


def vanish(dev):
    dev.remove()


def down(dev):
    dev.link('down')


def move(dev):
    """Into U, where there is no module's business."""
    dev.link('netns U')
    dev.ns = World.u


EVENTS = {'is removed': vanish, 'goes down': down, 'moves to another namespace': move}
