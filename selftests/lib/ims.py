# SPDX-License-Identifier: GPL-2.0-only
"""What the tests of the module share: a P-CSCF driven by netlink, and a phone.

See net.py for the drawing.
"""
import itertools
import os
import re
import select
import subprocess
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

# pylint: disable=wrong-import-position
from ktap import UML, Fail, Skip, check, echo, equal, main, say, test, wait  # noqa: E402,F401
from net import (AH, DCCP, DSTOPTS, ESP, ICMP, ICMP6, P4, P6, SCTP, TCP, U4, U6, UDP, UDPLITE,  # noqa: E402,F401
                 Batch, Namespace, Wire, accepted, ah, esp, esp_data, family, fragment, fragment_head, fragments, icmp_error,
                 icv, idents, ip, ip4, layer4, pending, receive, set_gro, topology, wait_up)
from nl import Events, Family, NlError, Xfrm  # noqa: E402,F401

TOP = os.path.abspath(os.path.join(os.path.dirname(os.path.abspath(__file__)), '../..'))
IK = bytes.fromhex('e1763cf28cc2e584588800193137ec92')
CK = bytes.fromhex('d53c02758b376066fad0af7daa6df765')
# Expanded by hand from the table of TS 33.203 Annex I
AUTH_KEY = {'hmac-md5-96': 'e1763cf28cc2e584588800193137ec92',
            'hmac-sha-1-96': 'e1763cf28cc2e584588800193137ec9200000000'}
ENC_KEY = {'null': '', 'aes-cbc': 'd53c02758b376066fad0af7daa6df765',
           'des-ede3-cbc': 'd53d02758a376167fbd0ae7cab6df764d53d02758a376167'}
AUTH_NAME = {'hmac-md5-96': 'hmac(md5)', 'hmac-sha-1-96': 'hmac(sha1)'}
ENC_NAME = {'null': 'ecb(cipher_null)', 'aes-cbc': 'cbc(aes)', 'des-ede3-cbc': 'cbc(des3_ede)'}
GCM = ('rfc4106(gcm(aes))', 'd53c02758b376066fad0af7daa6df765f4f61e05')
GMAC = ('rfc4543(gcm(aes))', 'e1763cf28cc2e584588800193137ec927098d183')
# What does both; the first two are one thing, spelt in two ways
AEAD = {('null', 'aes-gcm'): GCM, ('aes-gmac', 'aes-gcm'): GCM, ('aes-gmac', 'null'): GMAC}
# In the order in which they are preferred if nothing else is said
PAIRS = (*AEAD, *((a, e) for a in ('hmac-sha-1-96', 'hmac-md5-96') for e in ('aes-cbc', 'des-ede3-cbc', 'null')))
# A real P-CSCF's and a real phone's
PORT_PS, PORT_PC = 7777, (7807, 7808)
PORT_UC, PORT_US, SPI_UC, SPI_US = 8034, 8904, 1028536224, 455113919
ADDRESSES = {'IPv4': (P4, U4), 'IPv6': (P6, U6)}
DEFAULTS = {}
KUNIT_FILTER = '/sys/module/kunit/parameters/filter_glob'
# As /etc/ims_ipsec.conf is shipped, and by an interface that has GRO, as NICs have; else a packet at a time
SHIPPED = os.environ.get('IMS_IPSEC_SHIPPED', '0') not in ('', '0')


class World:
    """The two namespaces, and the sockets that tests look through."""
    p = u = nl = events = wire = xfrm = phones = None


def setup():
    World.p, World.u = topology()
    with World.p:
        World.nl, World.events, World.xfrm = Family(), Events(), Xfrm()
    with World.u:
        World.phones = Xfrm()
    World.wire = Wire(World.u, 'u0')
    # Tests add SAs while messages are on their way
    for ns in (World.p, World.u):
        grow(ns)
    if SHIPPED:
        World.nl.do('config-set', hw_offload='software')
        set_gro(World.u, World.p, True)
    DEFAULTS.update(World.nl.do('config-get'))


def before():
    """Every test begins with nothing there."""
    for ep in World.nl.dump('endpoint-get'):
        World.nl.do('endpoint-del', id=ep['id'], force=True)
    World.nl.do('config-set', DEFAULTS)
    for xfrm in (World.xfrm, World.phones):
        xfrm.flush_states()
        xfrm.flush_policies()
    World.events.drain()
    World.wire.seen()


def teardown():
    for ns in (World.p, World.u):
        if ns:
            ns.delete()


def endpoint(addr=P4, nl=None, **more):
    attrs = {'address': addr, 'port-ps': PORT_PS, 'port-pc': PORT_PC}
    attrs.update({k.replace('_', '-'): v for k, v in more.items()})
    return (nl or World.nl).do('endpoint-new', attrs)


def bundle_attrs(ep, **more):
    # Each address is a registration of its own, unless something else is said
    ue = more.get('ue_address', U6 if isinstance(ep, dict) and ':' in ep['address'] else U4)
    attrs = {'endpoint': ep['id'] if isinstance(ep, dict) else ep,
             'owner': b'001010000000001@ims.example', 'contact': f'sip:001010000000001@{ue}'.encode(),
             'ue-address': ue,
             'port-uc': PORT_UC, 'port-us': PORT_US, 'spi-uc': SPI_UC, 'spi-us': SPI_US,
             'auth-alg': 'hmac-sha-1-96', 'enc-alg': 'aes-cbc', 'ik': IK, 'ck': CK}
    attrs.update({k.replace('_', '-'): v for k, v in more.items()})
    return attrs


def bundle(ep, nl=None, **more):
    return (nl or World.nl).do('bundle-new', bundle_attrs(ep, **more))


def expect_error(names, f, *args, text=None, **more):
    """f fails with one of these errnos and says why."""
    names = names.split()
    try:
        got = f(*args, **more)
    except NlError as e:
        check(e.name in names, f'{e}, expected {" or ".join(names)}')
        check(e.text, f'{e.name} comes without a text')
        if text:
            check(text.lower() in e.text.lower(), f'"{e.text}" does not name {text}')
        return e
    raise Fail(f'no error, expected {" or ".join(names)}: {got}')


def gone(nl, bundle_id):
    """The bundle is no longer there."""
    try:
        nl.do('bundle-get', id=bundle_id)
    except NlError as e:
        equal(e.name, 'ENOENT', 'bundle-get')
        return True
    return False


def table(b):
    """The four SAs of a bundle as the requirements' table A1 has them:
    {spi: (src, dst, sport, dport, direction at P)}"""
    p, u = b['address'], b['ue-address']
    return {b['spi-ps']: (u, p, b['port-uc'], b['port-ps'], 'in'),
            b['spi-uc']: (p, u, b['port-ps'], b['port-uc'], 'out'),
            b['spi-us']: (p, u, b['port-pc'], b['port-us'], 'out'),
            b['spi-pc']: (u, p, b['port-us'], b['port-pc'], 'in')}


def nothing_left(p=None, states=0, policies=0):
    """Neither states nor policies are there, beyond so many."""
    p = p or World.p
    # Those killed stay counted until the kernel's garbage collector has run
    wait(lambda: p.count() == states, f'{states} SAs are left')
    equal(p.count('policy'), policies, 'policies left')


def side_by_side(n, work):
    """work(0) to work(n - 1), each in a process, in turn on each CPU; all of them end well."""
    os.sched_setaffinity(0, range(os.cpu_count()))
    pids = []
    for i in range(n):
        pid = os.fork()
        if not pid:
            status = 1
            try:
                os.sched_setaffinity(0, {i % os.cpu_count()})
                work(i)
                status = 0
            finally:
                os._exit(status)
        pids.append(pid)
    status = [os.waitpid(pid, 0)[1] for pid in pids]
    os.sched_setaffinity(0, {0})
    equal(status, [0] * n, 'how the processes ended')


def algorithms(auth, enc):
    """A pair and its keys as `ip xfrm state add` takes them."""
    if (auth, enc) in AEAD:
        name, key = AEAD[auth, enc]
        return f'aead {name} 0x{key} 128'
    key = '0x' + ENC_KEY[enc] if ENC_KEY[enc] else '""'
    return f'auth-trunc {AUTH_NAME[auth]} 0x{AUTH_KEY[auth]} 96 enc {ENC_NAME[enc]} {key}'


class Phone:
    """The UE's side of a bundle: `ip xfrm` in U, the keys expanded by hand."""

    def __init__(self, b):
        self.b, self.closed = b, []
        commands, p, u = [], b['address'], b['ue-address']
        for n, (spi, (src, dst, sport, dport, way)) in enumerate(table(b).items(), 1):
            bits = 128 if ':' in src else 32
            sel = f'src {src}/{bits} dst {dst}/{bits} sport {sport} dport {dport}'
            commands += [f"xfrm state add src {src} dst {dst} proto esp spi {spi} reqid {n} mode transport "
                         f"replay-window 32 {algorithms(b['auth-alg'], b['enc-alg'])} sel {sel}",
                         f"xfrm policy add {sel} dir {'out' if way == 'in' else 'in'} "
                         f"tmpl src {src} dst {dst} proto esp reqid {n} mode transport"]
        World.u.ip(*commands)
        self.uc, self.us = World.u.udp(u, b['port-uc']), World.u.udp(u, b['port-us'])
        self.ps, self.pc = World.p.udp(p, b['port-ps']), World.p.udp(p, b['port-pc'])

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for s in (self.uc, self.us, self.ps, self.pc, *self.closed):
            s.close()
        World.phones.flush_states()
        World.phones.flush_policies()

    def send(self, name, data):
        """A datagram on one of the four ways, by the SPI's name; who should get it."""
        b = self.b
        way = {'spi-ps': (self.uc, self.ps, b['address'], b['port-ps']),
               'spi-uc': (self.ps, self.uc, b['ue-address'], b['port-uc']),
               'spi-us': (self.pc, self.us, b['ue-address'], b['port-us']),
               'spi-pc': (self.us, self.pc, b['address'], b['port-pc'])}[name]
        way[0].sendto(data, way[2:])
        return way[1]

    def deliver(self, name, data=None):
        """A datagram on one of the four ways, and it arrives."""
        data = data or f'UDP over {name}'.encode()
        equal(receive(self.send(name, data)), data, f'datagram over {name}')

    def connect(self, name):
        """A TCP connection over spi-ps (the UE opens it) or spi-us (P opens it); both ends."""
        b, world = self.b, World
        client, caddr, cport, server, saddr, sport = {
            'spi-ps': (world.u, b['ue-address'], b['port-uc'], world.p, b['address'], b['port-ps']),
            'spi-us': (world.p, b['address'], b['port-pc'], world.u, b['ue-address'], b['port-us'])}[name]
        listener, s = server.tcp(saddr, sport, True), client.tcp(caddr, cport)
        self.closed += [listener, s]
        s.connect_ex((saddr, sport))
        if not select.select([], [s], [], 20)[1] or s.getsockopt(1, 4):
            raise Fail(f'no TCP connection over {name}: {os.strerror(s.getsockopt(1, 4))}')
        other = wait(lambda: accepted(listener), 'accept')
        # Reset when closed, by either end, or an answer might come when the phone has no SAs any more
        for end in (s, other):
            end.setsockopt(1, 13, b'\1\0\0\0\0\0\0\0')
        other.setblocking(False)
        self.closed.append(other)
        return s, other

    def talk(self, ends, data=b'over TCP'):
        """Both directions of a connection."""
        for a, b in (ends, ends[::-1]):
            a.send(data)
            equal(receive(b), data, 'bytes over TCP')

    def hang_up(self, ends):
        """The phone resets a connection, and P has heard of it: nothing of it is on its way any more."""
        u, p = sorted(ends, key=lambda s: s.getsockname()[0] != self.b['ue-address'])
        u.close()
        try:
            raise Fail(f'after a reset: {receive(p)!r}')
        except ConnectionResetError:
            pass


def wire_has(spis):
    """Since last asked: ESP with these SPIs, each of them seen, and nothing in clear."""
    seen = World.wire.seen()
    clear = [s for s in seen if s.proto != ESP and not quiet(s)]
    check(not clear, f'in clear on the wire: {clear[:3]}')
    equal({s.spi for s in seen if s.proto == ESP}, set(spis), 'SPIs on the wire')
    return seen


def quiet(s):
    """What the namespaces say on their own: MLD, router solicitation.

    And a phone's RST to a segment of P's that it takes up when its sockets and SAs
    have gone: its kernel decrypts in one context, and delivers in another, later.
    """
    return (s.proto == 58 and s.data[:1] in (b'\x85', b'\x8f', b'\x83', b'\x87', b'\x88') or
            s.proto == TCP and s.src not in (P4, P6) and s.data[13:14] == b'\4')


def close_family():
    """The module can go: nobody has its family open."""
    for x in (World.nl, World.events):
        if x:
            x.close()
    World.nl = World.events = None


def reopen_family():
    close_family()
    with World.p:
        World.nl, World.events = Family(), Events()


def module_file():
    """The module's file: the VM's, or the one named."""
    return os.environ.get('IMS_IPSEC_KO') or '/run/vm/module.ko'


def module_iv_file():
    """The file of the module that it needs, which is beside."""
    return module_file()[:-3] + '_iv.ko'


def rmmod():
    echo('-', 'rmmod ims_ipsec')
    return subprocess.run(['rmmod', 'ims_ipsec'], stderr=subprocess.STDOUT, stdout=subprocess.PIPE,
                          text=True, check=False)


def insmod(*params):
    # Its KUnit tests have run when the VM loaded it. Under KASAN they take longer than most tests
    if os.path.exists(KUNIT_FILTER):
        write(KUNIT_FILTER, 'none')
    echo('-', f'insmod {module_file()} {" ".join(params)}')
    return subprocess.run(['insmod', module_file(), *params], stderr=subprocess.STDOUT,
                          stdout=subprocess.PIPE, text=True, check=False)


def write(path, text):
    with open(path, 'w', encoding='ascii') as f:
        f.write(text)


def grow(ns, key=f'auth-trunc hmac(md5) 0x{bytes(16).hex()} 96 enc ecb(cipher_null) ""'):
    """XFRM's table of SAs, which never shrinks, is as large as a test will need it.

    When it doubles, a packet that looks for its SA at that moment is dropped, without an error: whoever adds the
    SA and whosever packet it is.  xfrm_state_find() has EAGAIN then, and XfrmOutNoStates counts it.
    """
    numbers = itertools.count(0x8000)

    def more(n):
        ns.ip(*(f'xfrm state add src 192.0.2.8 dst 192.0.2.9 proto esp spi {next(numbers)} reqid 9 mode transport {key}'
                for _ in range(n)))

    def grown():
        return int(re.search(r'buckets count (\d+)', ns.ip('-s xfrm state count'))[1]) >= 64
    more(40)
    # It does so from a workqueue, once whatever was added meanwhile
    wait(lambda: grown() or more(1), 'the table grows')
    ns.ip('xfrm state flush')
