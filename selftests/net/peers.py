#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only
"""What breaks with OpenSIPS's proto_ipsec and Kamailio's ims_ipsec_pcscf, and does not here.

The numbers are those of Documentation/peers.rst.  Where the kernel can show it, a test
has two halves: the peer's messages, replayed in namespaces of their own (lib/peers.py),
and that it breaks; the module, in the same case, and that it does not.
"""
import ctypes
import errno
import os
import re
import socket
import struct
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '../lib'))
from ims import *  # noqa: E402,F403  pylint: disable=wildcard-import,unused-wildcard-import,wrong-import-position
import natted  # noqa: E402  pylint: disable=wrong-import-position
from peers import *  # noqa: E402,F403  pylint: disable=wildcard-import,unused-wildcard-import,wrong-import-position
from protected import *  # noqa: E402,F403  pylint: disable=wildcard-import,unused-wildcard-import,wrong-import-position

THIRD = {'IPv4': '192.0.2.4', 'IPv6': '2001:db8::4'}
SO_MARK, SO_RCVMARK = 36, 75
LONG = 3600000
SIP = b'OPTIONS sip:ims.example SIP/2.0\r\n\r\n'
# OpenSIPS itself crashes on IPv6, before it comes to this
EACH = ((OPENSIPS, 'IPv4'), *((KAMAILIO, f) for f in ADDRESSES))


def setup_all():
    natted.setup_nat()
    setup_theirs()


def before_all():
    before()
    before_theirs()


def teardown_all():
    teardown()
    teardown_theirs()


def confirmed(b):
    World.nl.do('bundle-confirm', id=b['id'], lifetime=LONG)
    return b


def event(kind):
    """The next event of this type."""
    while True:
        e = World.events.next()
        if e['type'] == kind:
            return e


def missing(*names):
    """What nobody reads: SAs that are there already."""
    return [(XFRM_MSG_NEWSA, name, errno.EEXIST) for name in names]


def spis():
    """The inbound and outbound SAs of the P-CSCF: SPIs."""
    return sorted(s['spi'] for s in World.p.states())


def left_clear():
    """What the P-CSCF has sent in clear since last asked: (from port, to port); and the SPIs of the rest."""
    seen = [s for s in World.wire.seen() if not s.sent and not quiet(s)]
    return [(s.sport, s.dport) for s in seen if s.proto == UDP], [s.spi for s in seen if s.proto == ESP]


class Sockets:
    """A SIP server's UDP sockets, the phone's, and a way to know that a packet has been dealt with."""

    def __init__(self, u):
        self.u = u
        self.ps, self.pc, self.free = (World.p.udp(u['address'], port) for port in (u['port-ps'], u['port-pc'], FREE))
        for s in (self.ps, self.pc):
            s.setsockopt(socket.SOL_SOCKET, SO_RCVMARK, 1)
        # Nobody is told that the phone's ports are closed
        self.phone = [World.u.udp(u['ue-address'], port) for port in (u['port-uc'], u['port-us'], FREE)]
        World.wire.seen()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for s in (self.ps, self.pc, self.free, *self.phone):
            s.close()

    def clear(self, *packets):
        """Packets in clear come; what of them is delivered to the server port."""
        World.wire.send(*packets)
        u = self.u
        World.wire.send(ip(u['ue-address'], u['address'], UDP, layer4(u['ue-address'], u['address'], UDP, FREE, FREE, b'marker')))
        equal(receive(self.free), b'marker', 'a port that is not protected')
        return pending(self.ps)

    def send(self, sock, port):
        """The server sends to the UE's port; left_clear() of it."""
        World.wire.seen()
        try:
            sock.sendto(SIP, (self.u['ue-address'], port))
        except OSError:
            pass
        self.free.sendto(b'marker', (self.u['ue-address'], FREE))
        equal(receive(self.phone[2]), b'marker', 'to a port that is not protected')
        clear, esps = left_clear()
        return [x for x in clear if x[0] != FREE], esps

    def marked(self, u, data):
        """A message of this UE's over its own SA: what the SIP server gets, and its mark."""
        World.wire.send(ByHand(u).udp('spi-ps', data))
        wait(lambda: select_readable(self.ps), 'it arrives')
        got, anc, _, _ = self.ps.recvmsg(4096, 64)
        marks = [struct.unpack('I', d)[0] for level, kind, d in anc if (level, kind) == (socket.SOL_SOCKET, SO_MARK)]
        return got, marks[0] if marks else 0


def select_readable(sock):
    import select  # pylint: disable=import-outside-toplevel
    return select.select([sock], [], [], 0)[0]


# --- 1: The kernel's errors are never read

@test('PEERS 1', '{}: an SA stands in the way: half a set is made unnoticed; here it is refused, named, and nothing is left', each=EACH)
def half_made(case):
    peer, fam = case
    u = ue(fam)
    somebody = f'src {u["address"]} dst {u["ue-address"]} proto esp spi {SPI_US} mode transport {algorithms("hmac-md5-96", "null")}'
    with theirs():
        World.p.ip('xfrm state add ' + somebody)
        made = peer.create(u)
        equal(made.unread[:1], missing('spi-us'), 'the first error that nobody reads')
        equal(spis(), sorted((u['spi-ps'], u['spi-pc'], SPI_UC, SPI_US)), 'SPIs of SAs')
        equal(World.p.count('policy'), len(peer.flows), 'policies, as if nothing were missing')
        with Sockets(u) as s:
            equal(s.send(s.pc, PORT_US), ([], []), 'a request to the UE')
    World.p.ip('xfrm state add ' + somebody)
    expect_error('EEXIST', bundle, endpoint(u['address']), text=str(SPI_US))
    nothing_left(states=1, policies=3)


@test('PEERS 1', "four of Kamailio's eight SAs fail each time, and their policies are black holes; there are none here, {}",
      each=ADDRESSES)
def black_holes(fam):
    u = ue(fam, enc_alg='null')
    with theirs():
        equal(KAMAILIO.create(u).unread, missing('spi-ps', 'spi-us', 'spi-uc', 'spi-pc'), 'errors that nobody reads')
        equal((World.p.count(), World.p.count('policy')), (4, 8), 'SAs and policies')
        was = World.p.xfrm_stat()['XfrmOutNoStates']
        with Sockets(u) as s:
            equal(s.send(s.pc, PORT_UC), ([], []), 'sent from port_pc to port_uc')
        check(World.p.xfrm_stat()['XfrmOutNoStates'] > was, 'no policy has swallowed it')
    with Case(fam, WITH) as c:
        equal(World.p.count(), 4, 'SAs')
        index = PORTS.index(c.b['port-pc'])
        with c.counted('the same', cross_pair=1):
            try:
                c.udp[index].sendto(SIP, (c.u, PORT_UC))
            except OSError:
                pass
        c.work()


# --- 2: SPIs that begin at a fixed place

@test('PEERS 2', "{}: after a crash the next UE's inbound SAs are another's; here they are its own", each=PEERS)
def after_a_crash(peer):
    first, second = ue(spi_ps=101, spi_pc=100), ue(ue_address=THIRD['IPv4'], spi_ps=101, spi_pc=100, spi_uc=7000, spi_us=7001)
    with theirs():
        peer.create(first)
        # It begins anew with the same numbers
        errors = peer.create(second).unread
        equal(errors[:2], missing('spi-ps', 'spi-pc'), 'errors that nobody reads')
        equal({s['src'] for s in World.p.states() if s['spi'] in (100, 101)}, {U4}, 'whose the inbound SAs are')
    # Somebody's SAs are where the range begins, and the process that makes the first set goes
    World.nl.do('config-set', min_spi=1000, max_spi=1007, max_bundles=4)
    for spi in (1000, 1001):
        World.p.ip(f'xfrm state add src {THIRD["IPv4"]} dst {P4} proto esp spi {spi} mode transport {algorithms("hmac-md5-96", "null")}')
    ep = endpoint()

    def work(_):
        with World.p:
            bundle(ep, nl=Family())
    side_by_side(1, work)
    made = World.nl.dump('bundle-get') + [bundle(ep, ue_address=f'198.51.100.{n}') for n in (1, 2)]
    equal(sorted(b[k] for b in made for k in ('spi-ps', 'spi-pc')), list(range(1002, 1008)), 'SPIs')
    equal(World.p.count(), 2 + 12, 'SAs')
    with Phone(made[0]) as phone:
        phone.deliver('spi-ps')


# --- 3: DELSA takes no notice of the source address

@test('PEERS 3', "{}: a UE goes, and another's SAs with the same SPIs are deleted; here all four stay", each=EACH)
def another_ues(case):
    peer, fam = case
    first = ue(fam)
    second = {**first, 'ue-address': THIRD[fam]}
    with theirs():
        peer.create(first)
        peer.create(second)
        peer.delete(second)
        equal(spis(), sorted((SPI_UC, SPI_US)), "what is left of the first one's")
    ep = endpoint(first['address'])
    first, second = confirmed(bundle(ep)), confirmed(bundle(ep, ue_address=THIRD[fam]))
    equal((first['spi-uc'], first['spi-us']), (second['spi-uc'], second['spi-us']), "the UEs' SPIs")
    World.nl.do('bundle-del', id=second['id'])
    # And the peer's own messages, if it should know the numbers
    refused = peer.delete(first).unread
    equal({e for kind, _, e in refused if kind == XFRM_MSG_DELSA}, {errno.EPERM}, "errors of DELSA of the first one's")
    equal(len(refused), 2 * len(peer.flows), 'messages that were refused')
    with Phone(first) as phone:
        for name in ('spi-ps', 'spi-uc', 'spi-us', 'spi-pc'):
            phone.deliver(name)


# --- 4: The successor's policy is deleted by its selector

@test('PEERS 4', '{}: registered again on the same ports, SIP is sent in clear; here over the new set',
      each=EACH)
def successor(case):
    peer, fam = case
    old, new = ue(fam, spi_ps=101, spi_pc=100), ue(fam, spi_ps=103, spi_pc=102, spi_uc=5000, spi_us=5001)
    with theirs():
        peer.create(old)
        peer.create(new)
        peer.delete(old)
        check(set(spis()) >= {100 + n for n in (2, 3)} | {5000, 5001}, 'the new set is not there')
        with Sockets(new) as s:
            equal(s.send(s.pc, PORT_US), ([(new['port-pc'], PORT_US)], []), 'a request to the UE')
            equal(s.send(s.ps, PORT_UC), ([(PORT_PS, PORT_UC)], []), 'a response')
    ep = endpoint(old['address'], port_pc=PORT_PC[0])
    more = {'ue_address': old['ue-address'], 'enc_alg': 'null'}
    a = confirmed(bundle(ep, **more))
    with Sockets(a) as s:
        s.marked(a, SIP)
        b = confirmed(bundle(ep, spi_uc=5000, spi_us=5001, **more))
        equal([b[k] for k in ('port-pc', 'port-uc', 'port-us')], [a[k] for k in ('port-pc', 'port-uc', 'port-us')], 'ports')
        s.marked(b, SIP)
        World.nl.do('bundle-del', id=a['id'])
        equal(s.send(s.pc, PORT_US), ([], [b['spi-us']]), 'a request to the UE')
        equal(s.send(s.ps, PORT_UC), ([], [b['spi-uc']]), 'a response')
    equal(set(drops(ep).values()), {0}, 'dropped')


# --- 5: Plaintext from elsewhere

@test('PEERS 5', '{}: plaintext from another port or host is delivered; here it is dropped and counted', each=EACH)
def plaintext(case):
    peer, fam = case
    u = ue(fam)
    p, other = u['address'], THIRD[fam]
    packets = [ip(src, p, UDP, layer4(src, p, UDP, port, PORT_PS, SIP))
               for src, port in ((u['ue-address'], 5060), (other, PORT_UC))]
    with theirs():
        peer.create(u)
        with Sockets(u) as s:
            equal(s.clear(*packets), [SIP] * 2, 'delivered in clear')
            # What it does stop
            equal(s.clear(ip(u['ue-address'], p, UDP, layer4(u['ue-address'], p, UDP, PORT_UC, PORT_PS, SIP))), [], 'between the ports')
    with Case(fam, WITH) as c:
        c.put('the same', *packets, plaintext_in=2)
        c.work()


# --- 6: Which SA a message came over

@test('PEERS 6', "{}: nothing tells whose SA a message came over; here its mark does", each=EACH)
def whose(case):
    peer, fam = case
    # Two subscribers at one address, and one of them says that it is the other
    first = ue(fam, enc_alg='null')
    second = ue(fam, enc_alg='null', port_uc=9000, port_us=9001, spi_uc=7000, spi_us=7001, spi_ps=103, spi_pc=102)
    with theirs():
        for u in (first, second):
            peer.create(u)
        with Sockets(first) as s:
            equal([s.marked(u, SIP) for u in (first, second)], [(SIP, 0)] * 2, 'messages, and what the SA has left on them')
    ep = endpoint(first['address'])
    more = {'ue_address': first['ue-address'], 'enc_alg': 'null'}
    first = confirmed(bundle(ep, **more))
    second = confirmed(bundle(ep, owner=b'2@ims.example', port_uc=9000, port_us=9001, spi_uc=7000, spi_us=7001, **more))
    with Sockets(first) as s:
        for b in (first, second):
            got = s.marked(b, SIP)
            equal(got, (SIP, b['mark']), 'message and mark')
            found, = [x for x in World.nl.dump('bundle-get') if x['registration'] == got[1] >> 2]
            equal((found['id'], found['owner'], found['state']), (b['id'], b['owner'], 'active'), 'what the mark leads to')
    check(first['mark'] != second['mark'] and first['registration'] != second['registration'], 'they have one mark')


# --- 7: SPIs, several processes, REGISTER repeated

@test('PEERS 7', '{}: of two processes that hand out one SPI the second has half a set; here all SPIs differ', each=PEERS)
def twice(peer):
    with theirs():
        peer.create(ue(spi_ps=101, spi_pc=100))
        second = ue(ue_address=THIRD['IPv4'], spi_ps=101, spi_pc=100)
        equal(peer.create(second).unread[:2], missing('spi-ps', 'spi-pc'), 'errors of the second, that nobody reads')
    ep = endpoint()

    def work(i):
        with World.p:
            nl = Family()
        for n in range(8):
            bundle(ep, nl=nl, ue_address=f'198.51.{i}.{n + 1}')
    side_by_side(4, work)
    made = World.nl.dump('bundle-get')
    equal((len(made), len({b[k] for b in made for k in ('spi-ps', 'spi-pc')}), World.p.count()), (32, 64, 128), 'bundles, SPIs and SAs')


@test('PEERS 7', 'a UE repeats its REGISTER: no SPI and no SA is left over')
def repeated():
    World.nl.do('config-set', min_spi=1000, max_spi=1007, max_bundles=4)
    ep = endpoint()
    for n in range(20):
        b = bundle(ep, spi_uc=5000 + 2 * n, spi_us=5001 + 2 * n)
    equal([x['id'] for x in World.nl.dump('bundle-get')], [b['id']], 'bundles')
    nothing_left(states=4, policies=3)


# --- 8: AES-GCM and AES-GMAC

@test('PEERS 8', '{}: OpenSIPS has no SA, and goes on; here all four work',
      each=tuple((f'{a}={e}', f) for a, e in (('null', 'aes-gcm'), ('aes-gmac', 'null')) for f in ADDRESSES))
def aead(case):
    text, fam = case
    auth, enc = text.split('=')
    with theirs():
        made = OPENSIPS.create(ue(fam, auth_alg=auth, enc_alg=enc))
        equal(made.unread, [(XFRM_MSG_NEWSA, f.spi, errno.ENOSYS) for f in OPENSIPS.flows], 'errors that nobody reads')
        equal((World.p.count(), World.p.count('policy')), (0, 4), 'SAs and policies')
    with Phone(bundle(endpoint(ADDRESSES[fam][0]), auth_alg=auth, enc_alg=enc)) as phone:
        for name in ('spi-ps', 'spi-uc', 'spi-us', 'spi-pc'):
            phone.deliver(name)


@test('PEERS 8', "des-ede3-cbc: with OpenSIPS's key a message is rubbish; here it is the phone's key, {}", each=ADDRESSES)
def triple_des(fam):
    u = ue(fam, enc_alg='des-ede3-cbc')
    with theirs():
        equal(OPENSIPS.create(u).unread, [], 'errors')
        with Phone(u) as phone:
            phone.send('spi-ps', SIP)

            def decrypted():
                packets = [re.search(r'(\d+)\(packets\)', s['text'])[1] for s in World.p.states() if s['spi'] == u['spi-ps']]
                return packets != ['0'] or World.p.xfrm_stat()['XfrmInStateProtoError']
            wait(decrypted, 'it is decrypted')
            equal(pending(phone.ps, phone.pc), [], 'delivered')
    with Phone(bundle(endpoint(u['address']), enc_alg='des-ede3-cbc')) as phone:
        for name in ('spi-ps', 'spi-uc', 'spi-us', 'spi-pc'):
            phone.deliver(name)


# --- 9: NAT traversal

@test('PEERS 9', "behind a NAT the fork's first SA takes nothing, its second fails on a socket; here all four work, {}", each=ADDRESSES)
def behind_nat(fam):
    inner, outer, port = natted.INNER[fam], natted.OUTER[fam], 31007
    # It knows one address, the one that it sees
    u = ue(fam, ue_address=outer, enc_alg='null')
    b = {**u, 'ue-address': inner, 'ue-nat-address': outer, 'ue-nat-port': port}
    with theirs():
        World.p.ip(f'route add default via {U4}' if fam == 'IPv4' else f'route add ::/0 via {U6}')
        # The SA from the UE: encapsulated at the SIP ports
        flow = FLOWS[0]
        sa = OPENSIPS.new_sa(u, flow, XFRM_MODE_TUNNEL, OPENSIPS.encap(u, flow))
        equal(OPENSIPS.talk([(flow, u, sa), (flow, u, OPENSIPS.new_policy(u, flow))]).unread, [], 'errors')
        encap = natted.encap_socket(World.p, u['address'], PORT_PS)
        was = World.p.xfrm_stat()
        phone = natted.Handset(b)
        World.wire.send(phone.outer(phone.esp('spi-ps', phone.inner('spi-ps', SIP)), dport=PORT_PS))
        wait(lambda: World.p.xfrm_stat()['XfrmInStateMismatch'] > was['XfrmInStateMismatch'], 'the inner address is not its own')
        equal(pending(encap), [], 'delivered')
        encap.close()
        # The SA to the UE: its socket is to be at the UE's address
        try:
            World.p.udp(outer, PORT_UC).close()
            raise Fail('a socket at an address of somebody else')
        except OSError as e:
            equal(e.errno, errno.EADDRNOTAVAIL, "error of the fork's socket")
    ep = natted.nat_endpoint(fam)
    with natted.Sip(ep) as sip:
        natted.Handset(natted.nat_bundle(ep), port=port).works(sip)


# --- 10: Offload

@test('PEERS 10', "an interface is to do ESP's work: the fork has no SA then; here software does it, and says so, {}", each=ADDRESSES)
def offload(fam):
    u = ue(fam)
    with theirs():
        with World.p:
            index = socket.if_nametoindex('p0')
        asked = nla(FORK_OFFLOAD_DEV, struct.pack('=iB3x', index, 2))
        made = OPENSIPS.talk([(f, u, OPENSIPS.new_sa(u, f, more=asked)) for f in OPENSIPS.flows])
        equal([(kind, name) for kind, name, _ in made.unread], [(XFRM_MSG_NEWSA, f.spi) for f in OPENSIPS.flows], 'errors that nobody reads')
        equal(World.p.count(), 0, 'SAs')
    ep = endpoint(u['address'], hw_offload_interface='p0', hw_offload='crypto')
    b = bundle(ep)
    e = event('offload-fallback')
    equal((e['reason'], e['bundle']['id']), ('interface', b['id']), 'event')
    check(e['bundle']['offload-reason'] in ('no-support', 'feature-off'), e['bundle']['offload-reason'])
    got = World.nl.do('endpoint-get', id=ep['id'])
    equal([(x['reason'], x['count']) for x in got['hw-offload-fallback']], [(e['bundle']['offload-reason'], 1)], 'counted')
    with Phone(b) as phone:
        for name in ('spi-ps', 'spi-uc', 'spi-us', 'spi-pc'):
            phone.deliver(name)


# --- 11: The answer to a de-registration

@test('PEERS 11', '{}: the 200 OK to a de-registration leaves in clear; here it is protected, and nothing follows', each=EACH)
def deregistered(case):
    peer, fam = case
    u = ue(fam)
    with theirs():
        peer.create(u)
        peer.delete(u)
        with Sockets(u) as s:
            equal(s.send(s.ps, PORT_UC), ([(PORT_PS, PORT_UC)], []), 'the 200 OK')
    ep = endpoint(u['address'])
    b = confirmed(bundle(ep, ue_address=u['ue-address']))
    World.nl.do('bundle-del', id=b['id'], linger=LONG)
    with Sockets(b) as s:
        equal(s.send(s.ps, PORT_UC), ([], [b['spi-uc']]), 'the 200 OK')
        World.nl.do('bundle-del', id=b['id'], linger=0)
        event('deleted')
        equal(s.send(s.ps, PORT_UC), ([], []), 'what is sent when it has gone')


# --- 12: Lifetimes, counters, events

@test('PEERS 12', '{}: the SIP server dies after its 401, and SAs stay for ever; here they end, and an event tells', each=PEERS)
def left_behind(peer):
    u = ue()

    def work(_):
        peer.create(u)
    with theirs():
        side_by_side(1, work)
        states = World.p.states()
        equal(len(states), 4, 'SAs')
        equal({x for s in states for x in s['expire']}, {('0', '0')}, 'when they end')
        equal({x for s in states for x in s['limits']}, {('INF', 'INF')}, 'after how much')
    World.nl.do('config-set', temporary_timeout=200)
    ep = endpoint()

    def ours(_):
        with World.p:
            bundle(ep, nl=Family())
    side_by_side(1, ours)
    e = event('expired')
    equal((e['reason'], e['old-state'], e['bundle']['ue-address']), ('temporary-timeout', 'temporary', U4), 'event')
    nothing_left(policies=3)


@test('PEERS 12', 'each set has its lifetime, its state, and counters of what came and left over it')
def counters():
    b = confirmed(bundle(endpoint()))
    with Phone(b) as phone:
        for name in ('spi-ps', 'spi-pc', 'spi-uc', 'spi-us', 'spi-ps'):
            phone.deliver(name, SIP)
    got = World.nl.do('bundle-get', id=b['id'])
    equal((got['state'], got['rx-packets'], got['tx-packets']), ('active', 3, 2), 'state and packets')
    check(got['rx-bytes'] >= 3 * len(SIP) and got['tx-bytes'] >= 2 * len(SIP), f"{got['rx-bytes']} and {got['tx-bytes']} bytes")
    check(0 < got['lifetime'] <= LONG, f"{got['lifetime']} ms are left")


# --- 13: Preferences, and what Security-Client says

class Mech(ctypes.Structure):
    """struct imsipsec_mech."""
    _fields_ = (('alg', ctypes.c_int), ('ealg', ctypes.c_int), ('mode', ctypes.c_int), ('esp', ctypes.c_bool), ('q', ctypes.c_uint),
                ('spi_c', ctypes.c_uint32), ('spi_s', ctypes.c_uint32), ('port_c', ctypes.c_uint16), ('port_s', ctypes.c_uint16),
                ('reserved', ctypes.c_ubyte * 32))


class Pair(ctypes.Structure):
    """struct imsipsec_pair."""
    _fields_ = (('alg', ctypes.c_int), ('ealg', ctypes.c_int), ('reserved', ctypes.c_ubyte * 8))


def offered(algs, *headers):
    """What the library chooses of these headers Security-Client, by this order: (alg, ealg), or None."""
    lib = ctypes.CDLL(TOP + '/build/user/libimsipsec.so.1')
    lib.imsipsec_secagree_free.argtypes = (ctypes.c_void_p,)
    client, mech = ctypes.c_void_p(), ctypes.POINTER(Mech)()
    spec = World.nl.spec.enums
    order = (Pair * len(algs))(*(Pair(spec['auth-alg'][a], spec['enc-alg'][e]) for a, e in algs))
    try:
        for h in headers:
            equal(lib.imsipsec_secagree_parse(ctypes.byref(client), h.encode(), ctypes.c_size_t(len(h))), 0, f'parsing "{h}"')
        err = lib.imsipsec_secagree_choose(client, order, ctypes.c_size_t(len(algs)), None, ctypes.c_size_t(0), ctypes.byref(mech))
        if err:
            equal(err, -errno.ENOENT, 'error')
            return None
        names = {n: {v: k for k, v in spec[n].items()} for n in ('auth-alg', 'enc-alg')}
        return names['auth-alg'][mech.contents.alg], names['enc-alg'][mech.contents.ealg]
    finally:
        lib.imsipsec_secagree_free(client)


def mechanism(alg, ealg=None):
    return (f'ipsec-3gpp;alg={alg}' + (f';ealg={ealg}' if ealg else '') +
            f';spi-c={SPI_UC};spi-s={SPI_US};port-c={PORT_UC};port-s={PORT_US}')


def ranked():
    """The pairs of algorithms in the configured order."""
    found = [a for a in World.nl.dump('algorithm-get') if a.get('rank')]
    return [(a['auth-alg'], a['enc-alg']) for a in sorted(found, key=lambda a: a['rank'])]


@test('PEERS 13', 'both preferences set are both heeded, and decide what of Security-Client is chosen')
def both_preferences():
    World.nl.do('config-set', preferred_alg=World.nl.spec.enums['auth-alg']['hmac-md5-96'],
                preferred_ealg=World.nl.spec.enums['enc-alg']['des-ede3-cbc'])
    order = ranked()
    equal(order[0], ('hmac-md5-96', 'des-ede3-cbc'), 'the first pair')
    offers = [mechanism(a, e) for a, e in (('hmac-sha-1-96', 'aes-cbc'), ('hmac-md5-96', 'aes-cbc'),
                                           ('hmac-md5-96', 'des-ede3-cbc'), ('hmac-sha-1-96', 'des-ede3-cbc'))]
    for offer in (offers, offers[::-1]):
        equal(offered(order, ', '.join(offer)), order[0], 'chosen')


@test('PEERS 13', 'a missing ealg is null, and nothing else')
def no_ealg():
    equal(offered(PAIRS, mechanism('hmac-sha-1-96')), ('hmac-sha-1-96', 'null'), 'chosen')
    equal(offered((('hmac-sha-1-96', 'aes-cbc'),), mechanism('hmac-sha-1-96')), None, 'chosen where null is not allowed')


@test('PEERS 13', 'every Security-Client header is read, and other mechanisms are passed over')
def all_headers():
    first, second = mechanism('hmac-md5-96', 'null'), mechanism('hmac-sha-1-96', 'aes-cbc')
    best = ('hmac-sha-1-96', 'aes-cbc')
    for headers in ((first, second), (second, first), (f'tls, {second}',), ('tls', second), (f'{first}, tls;q=0.2, {second}',),
                    (f'sdes-srtp;mediasec, {second}',)):
        equal(offered(PAIRS, *headers), best, f'chosen of {headers}')
    equal(offered(PAIRS, 'tls'), None, 'chosen of tls alone')


# --- 14: What a registration asks of the kernel

@test('PEERS 14', '{}: 8 or 16 messages to make a set, and to delete it; here one', each=PEERS)
def requests(peer):
    u = ue()
    with theirs():
        equal([t.messages for t in (peer.create(u), peer.delete(u))], [2 * len(peer.flows)] * 2, 'messages')
        equal((World.p.count(), World.p.count('policy')), (0, 0), 'SAs and policies left')
    ep = endpoint()
    was = World.nl.seq
    b = bundle(ep)
    equal((World.nl.seq - was, World.p.count(), World.p.count('policy')), (1, 4, 3), 'requests, SAs, and the policies of the endpoint')
    World.nl.do('bundle-del', id=b['id'])
    equal(World.nl.seq - was, 2, 'requests')
    nothing_left(policies=3)


# --- 15: IPv6's atomic fragments

@test('PEERS 15', "{}: IPv6's atomic fragments bring plaintext past its policies; here they are dropped and counted", each=PEERS)
def atomic(peer):
    u = ue('IPv6')
    src, p = u['ue-address'], u['address']
    data = layer4(src, p, UDP, PORT_UC, PORT_PS, SIP)
    packet = fragments(src, p, UDP, data, 4096)
    equal(len(packet), 1, 'fragments')
    with theirs():
        peer.create(u)
        with Sockets(u) as s:
            equal(s.clear(ip(src, p, UDP, data)), [], 'delivered, in one piece')
            equal(s.clear(*packet), [SIP], 'delivered, as an atomic fragment')
    with Case('IPv6', WITH) as c:
        c.put('an atomic fragment', *packet, plaintext_in=1)
        c.work()


if __name__ == '__main__':
    main(setup_all, before_all, teardown_all)
