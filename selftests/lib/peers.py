# SPDX-License-Identifier: GPL-2.0-only
"""What the peers say to XFRM, replayed: OpenSIPS's proto_ipsec and Kamailio's ims_ipsec_pcscf.

Message by message what they send for a UE, in namespaces of their own, K for the
P-CSCF and V for its phone, with P's and U's addresses:

     P-CSCF by the module   P  p0 ---- u0  U     its phone
     P-CSCF by a peer       K  p0 ---- u0  V     its phone

How they find a user, hand out SPIs and read headers is not here: that is not seen by
the kernel.  selftests/bench/xfrm.c has the same messages, with the library that they use.
"""
import collections
import contextlib
import os
import socket
import struct
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
# pylint: disable=wrong-import-position
from ims import (ADDRESSES, AUTH_KEY, CK, ENC_KEY, ESP, IK, P4, P6, PORT_PC, PORT_PS, PORT_UC, PORT_US,  # noqa: E402
                 SPI_UC, SPI_US, U4, U6, Namespace, Wire, World, Xfrm, family, wait)
from net import MAC, pack, wait_up  # noqa: E402
from nl import NLM_F_REQUEST, NLMSG_ERROR, nla  # noqa: E402

XFRM_MSG_NEWSA, XFRM_MSG_DELSA, XFRM_MSG_NEWPOLICY, XFRM_MSG_DELPOLICY = 16, 17, 19, 20
XFRMA_ALG_AUTH, XFRMA_ALG_CRYPT, XFRMA_ENCAP, XFRMA_TMPL, XFRMA_SRCADDR = 1, 2, 4, 5, 13
NLM_F_EXCL, NLM_F_CREATE = 0x200, 0x400
XFRM_POLICY_IN, XFRM_POLICY_OUT = 0, 1
XFRM_MODE_TRANSPORT, XFRM_MODE_TUNNEL = 0, 1
UDP_ENCAP_ESPINUDP = 2
# The fork has this for XFRMA_OFFLOAD_DEV, which is 28: 26 is XFRMA_ADDRESS_FILTER
FORK_OFFLOAD_DEV = 26
FOREVER = struct.pack('=8Q', *[(1 << 64) - 1] * 4, *[0] * 4)

# What a flow is between, which SPI it has, and where P is: the first four are those of TS 33.203
Flow = collections.namedtuple('Flow', 'sport dport spi way')
FLOWS = (Flow('port-uc', 'port-ps', 'spi-ps', 'in'), Flow('port-pc', 'port-us', 'spi-us', 'out'),
         Flow('port-us', 'port-pc', 'spi-pc', 'in'), Flow('port-ps', 'port-uc', 'spi-uc', 'out'),
         Flow('port-uc', 'port-pc', 'spi-ps', 'in'), Flow('port-pc', 'port-uc', 'spi-us', 'out'),
         Flow('port-ps', 'port-us', 'spi-uc', 'out'), Flow('port-us', 'port-ps', 'spi-pc', 'in'))

Algorithm = collections.namedtuple('Algorithm', 'name key')
# OpenSIPS's names and keys: the kernel's old names, CK as it is, and zeroes where it is too short
AUTH = {'hmac-md5-96': Algorithm('md5', bytes.fromhex(AUTH_KEY['hmac-md5-96'])),
        'hmac-sha-1-96': Algorithm('sha1', bytes.fromhex(AUTH_KEY['hmac-sha-1-96'])),
        'aes-gmac': Algorithm('rfc4543(gcm(aes))', IK), 'null': Algorithm('digest_null', b'')}
ENC = {'null': Algorithm('cipher_null', b''), 'aes-cbc': Algorithm('aes', bytes.fromhex(ENC_KEY['aes-cbc'])),
       'des-ede3-cbc': Algorithm('des3_ede', CK + bytes(8)), 'aes-gcm': Algorithm('rfc4106(gcm(aes))', CK)}


def ue(fam='IPv4', **more):
    """A UE, and what a peer would choose for it, as a bundle of the module's is described."""
    attrs = {'address': ADDRESSES[fam][0], 'ue-address': ADDRESSES[fam][1], 'port-ps': PORT_PS, 'port-pc': PORT_PC[0],
             'port-uc': PORT_UC, 'port-us': PORT_US, 'spi-uc': SPI_UC, 'spi-us': SPI_US, 'spi-ps': 65537, 'spi-pc': 65536,
             'auth-alg': 'hmac-sha-1-96', 'enc-alg': 'aes-cbc'}
    attrs.update({k.replace('_', '-'): v for k, v in more.items()})
    return attrs


class Peer:
    """How a peer's messages differ from another's."""

    def __init__(self, name, order, reqid, user, priority, *, names_spi=False, pid_is_spi=False):
        self.name, self.flows = name, tuple(FLOWS[n] for n in order)
        self.reqid, self.user, self.priority = reqid, user, priority
        self.names_spi, self.pid_is_spi = names_spi, pid_is_spi

    def __str__(self):
        return self.name

    @staticmethod
    def ends(u, flow):
        """Source and destination of a flow."""
        pair = u['ue-address'], u['address']
        return pair if flow.way == 'in' else pair[::-1]

    def selector(self, u, flow):
        src, dst = self.ends(u, flow)
        bits = 128 if ':' in src else 32
        return struct.pack('=16s16s2s2s2s2sHBBB3xiI', pack(dst), pack(src), u[flow.dport].to_bytes(2, 'big'), b'\xff\xff',
                           u[flow.sport].to_bytes(2, 'big'), b'\xff\xff', family(src), bits, bits, 0, 0, self.user)

    @staticmethod
    def algorithm(number, alg):
        # They take a length in bits for one in bytes
        bits = 8 * len(alg.key)
        return nla(number, struct.pack('=64sI', alg.name.encode(), bits) + alg.key.ljust(bits, b'\0'))

    def new_sa(self, u, flow, mode=XFRM_MODE_TRANSPORT, more=b''):
        src, dst = self.ends(u, flow)
        return XFRM_MSG_NEWSA, NLM_F_CREATE | NLM_F_EXCL, (
            self.selector(u, flow) + struct.pack('=16s4sB3x', pack(dst), u[flow.spi].to_bytes(4, 'big'), ESP) +
            struct.pack('=16s', pack(src)) + FOREVER + bytes(32 + 12) +
            struct.pack('=IIHBBB7x', 0, self.reqid(u[flow.spi]), family(src), mode, 32, 0) +
            self.algorithm(XFRMA_ALG_AUTH, AUTH[u['auth-alg']]) + self.algorithm(XFRMA_ALG_CRYPT, ENC[u['enc-alg']]) + more)

    @staticmethod
    def encap(u, flow):
        """The fork's, for UEs behind NATs: ESP is in UDP between the ports of SIP."""
        return nla(XFRMA_ENCAP, struct.pack('=H2s2s2x16x', UDP_ENCAP_ESPINUDP, u[flow.sport].to_bytes(2, 'big'),
                                            u[flow.dport].to_bytes(2, 'big')))

    def new_policy(self, u, flow):
        src, dst = self.ends(u, flow)
        spi = u[flow.spi].to_bytes(4, 'big') if self.names_spi else bytes(4)
        template = (struct.pack('=16s4sB3xH2x16s', pack(dst), spi, ESP, family(src), pack(src)) +
                    struct.pack('=IBBBxIII', self.reqid(u[flow.spi]), XFRM_MODE_TRANSPORT, 0, 0, *[0xffffffff] * 3))
        return XFRM_MSG_NEWPOLICY, NLM_F_CREATE | NLM_F_EXCL, (
            self.selector(u, flow) + FOREVER + bytes(32) +
            struct.pack('=IIBBBB4x', self.priority, 0, self.direction(flow), 0, 0, 0) + nla(XFRMA_TMPL, template))

    @staticmethod
    def direction(flow):
        return XFRM_POLICY_IN if flow.way == 'in' else XFRM_POLICY_OUT

    def delete_sa(self, u, flow):
        src, dst = self.ends(u, flow)
        return XFRM_MSG_DELSA, 0, (struct.pack('=16s4sHBx', pack(dst), u[flow.spi].to_bytes(4, 'big'), family(dst), ESP) +
                                   nla(XFRMA_SRCADDR, pack(src).ljust(16, b'\0')))

    def delete_policy(self, u, flow):
        return XFRM_MSG_DELPOLICY, 0, self.selector(u, flow) + struct.pack('=IB3x', 0, self.direction(flow))

    def talk(self, messages):
        """Send them on a socket of their own, as it does; `Talk` says what came of it.

        A peer closes the socket then, without having read it.
        """
        with World.p:
            sock = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_XFRM)
        with contextlib.closing(sock):
            sock.bind((0, 0))
            sent = {}
            for seq, (flow, u, (kind, flags, payload)) in enumerate(messages, 1):
                pid = u[flow.spi] if self.pid_is_spi else 0
                sock.send(struct.pack('=IHHII', 16 + len(payload), kind, NLM_F_REQUEST | flags, seq, pid) + payload)
                sent[seq] = (kind, flow.spi)
            return Talk(len(sent), unread(sock, sent))

    def create(self, u):
        """The 401: an SA and a policy for each flow."""
        return self.talk([(f, u, m(u, f)) for f in self.flows for m in (self.new_sa, self.new_policy)])

    def delete(self, u):
        """The contact has gone."""
        return self.talk([(f, u, m(u, f)) for f in self.flows for m in (self.delete_sa, self.delete_policy)])


# How many messages were sent, and the errors that nobody reads: [(kind, name of the SPI, errno)]
Talk = collections.namedtuple('Talk', 'messages unread')


def unread(sock, sent):
    """XFRM answers before send() returns, so that all answers are there."""
    out = []
    sock.setblocking(False)
    while True:
        try:
            data = sock.recv(1 << 16)
        except BlockingIOError:
            return out
        _, kind, _, seq, _, error = struct.unpack_from('=IHHIIi', data)
        if kind == NLMSG_ERROR and error:
            out.append((*sent[seq], -error))


OPENSIPS = Peer('OpenSIPS', (0, 1, 2, 3), socket.htonl, 1387164160, 1024, names_spi=True)
KAMAILIO = Peer('Kamailio', (0, 1, 3, 2, 4, 5, 6, 7), lambda spi: spi, socket.htonl(143956232), 2080, pid_is_spi=True)
PEERS = (OPENSIPS, KAMAILIO)


class Theirs:
    """Where a peer is the P-CSCF.  `with theirs():` there, it takes the place of P and U in World."""
    k = v = wire = xfrm = phones = None


def setup_theirs():
    Theirs.k, Theirs.v = k, v = Namespace('K'), Namespace('V')
    mac = {name: value.hex(':') for name, value in MAC.items()}
    k.ip(f'link add p0 address {mac["p0"]} type veth peer name u0 address {mac["u0"]} netns V')
    for ns, dev, own, far, other in ((k, 'p0', (P4, P6), (U4, U6), 'u0'), (v, 'u0', (U4, U6), (P4, P6), 'p0')):
        ns.ip(f'addr add {own[0]}/24 dev {dev}', f'addr add {own[1]}/64 dev {dev} nodad', f'link set {dev} up',
              *(f'neigh replace {addr} lladdr {mac[other]} dev {dev} nud permanent' for addr in far))
    wait_up((k, 'p0'), (v, 'u0'))
    with k:
        Theirs.xfrm = Xfrm()
    with v:
        Theirs.phones = Xfrm()
    Theirs.wire = Wire(v, 'u0')


def before_theirs():
    """Every test begins with nothing there."""
    for xfrm in (Theirs.xfrm, Theirs.phones):
        xfrm.flush_states()
        xfrm.flush_policies()
    Theirs.wire.seen()


def teardown_theirs():
    for ns in (Theirs.k, Theirs.v):
        if ns:
            ns.delete()


@contextlib.contextmanager
def theirs():
    """Meanwhile World's P-CSCF is a peer's, and the phone that peer's."""
    was = World.p, World.u, World.wire, World.xfrm, World.phones
    World.p, World.u, World.wire, World.xfrm, World.phones = Theirs.k, Theirs.v, Theirs.wire, Theirs.xfrm, Theirs.phones
    try:
        yield
    finally:
        World.p, World.u, World.wire, World.xfrm, World.phones = was
