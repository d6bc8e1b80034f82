# SPDX-License-Identifier: GPL-2.0-only
"""A netlink client driven by the YAML spec, for the tests alone.

It shares no code with libimsipsec, so that a mistake made in both the library
and the module does not pass unseen.  Values are Python's own: int, bytes, str
for the names of enums and for addresses, True for flags, lists for multi-attr.
"""
import errno
import os
import socket
import struct

import yaml

NETLINK_GENERIC, NETLINK_XFRM = 16, 6
NETLINK_ADD_MEMBERSHIP, NETLINK_CAP_ACK, NETLINK_EXT_ACK = 1, 10, 11
SOL_NETLINK = 270
NLM_F_REQUEST, NLM_F_ACK, NLM_F_DUMP, NLM_F_DUMP_INTR = 1, 4, 0x300, 0x10
NLM_F_CAPPED, NLM_F_ACK_TLVS = 0x100, 0x200
NLMSG_ERROR, NLMSG_DONE = 2, 3
NLA_F_NESTED, NLA_F_NET_BYTEORDER = 0x8000, 0x4000
NLA_TYPE_MASK = 0x3fff
GENL_ID_CTRL, CTRL_CMD_GETFAMILY = 16, 3
XFRM_MSG_GETSA, XFRM_MSG_GETPOLICY, XFRM_MSG_FLUSHSA, XFRM_MSG_FLUSHPOLICY, XFRM_MSG_NEWAE = 18, 21, 28, 29, 30
XFRMA_REPLAY_VAL, NLM_F_REPLACE = 10, 0x100

SPEC = os.path.join(os.path.dirname(os.path.abspath(__file__)),
                    '../../Documentation/netlink/specs/ims_ipsec.yaml')


class NlError(OSError):
    """What the kernel answered: errno, its text, and the offset of the attribute."""

    def __init__(self, error, text, offset, miss=None):
        super().__init__(error, text or os.strerror(error))
        # It knows EOPNOTSUPP by its other name
        self.name = 'EOPNOTSUPP' if error == errno.EOPNOTSUPP else errno.errorcode.get(error, str(error))
        self.text = text
        self.offset = offset
        self.miss = miss

    def __str__(self):
        return f'{self.name} "{self.text or ""}"'


class Attr:
    """An attribute as the spec describes it."""

    def __init__(self, spec, number, a):
        self.number = number
        self.name = a['name']
        self.kind = a['type']
        self.order = '>' if a.get('byte-order') == 'big-endian' else '='
        self.multi = a.get('multi-attr', False)
        self.nested = a.get('nested-attributes')
        self.enum = spec.enums[a['enum']] if 'enum' in a else None
        self.checks = {k: spec.consts.get(v, v) for k, v in a.get('checks', {}).items()}
        self.size = {'u8': 1, 'u16': 2, 'u32': 4, 'u64': 8}.get(self.kind)

    def is_address(self):
        return self.kind == 'binary' and self.name.endswith('address')

    def pack(self, value):
        """The payload for a value."""
        if self.size:
            if self.enum and isinstance(value, str):
                value = self.enum[value]
            return struct.pack(self.order + {1: 'B', 2: 'H', 4: 'I', 8: 'Q'}[self.size], value)
        if self.kind == 'flag':
            return b''
        if isinstance(value, str):
            # Text that is empty is a NUL; other text needs none
            return address(value) if self.is_address() else value.encode() or b'\0'
        return bytes(value)

    def unpack(self, spec, data):
        if self.size:
            if len(data) != self.size:
                raise ValueError(f'{self.name}: {len(data)} bytes')
            value, = struct.unpack(self.order + {1: 'B', 2: 'H', 4: 'I', 8: 'Q'}[self.size], data)
            if self.enum:
                return next(k for k, v in self.enum.items() if v == value)
            return value
        if self.kind == 'flag':
            return True
        if self.kind == 'nest':
            return spec.decode(self.nested, data)
        if self.kind == 'string':
            return data.rstrip(b'\0').decode()
        if self.is_address():
            return socket.inet_ntop(socket.AF_INET if len(data) == 4 else socket.AF_INET6, data)
        return data


class Spec:
    def __init__(self, path=SPEC):
        with open(path, encoding='utf-8') as f:
            y = yaml.load(f, Loader=getattr(yaml, 'CSafeLoader', yaml.SafeLoader))
        self.name = y['name']
        self.consts = {d['name']: d['value'] for d in y['definitions'] if d['type'] == 'const'}
        self.enums = {}
        for d in y['definitions']:
            if d['type'] == 'enum':
                names = [e['name'] if isinstance(e, dict) else e for e in d['entries']]
                self.enums[d['name']] = {n: i for i, n in enumerate(names, d.get('value-start', 0))}
        self.sets = {}
        for s in y['attribute-sets']:
            if 'subset-of' in s:
                whole = self.sets[s['subset-of']]
                self.sets[s['name']] = {a['name']: whole[a['name']] for a in s['attributes']}
            else:
                self.sets[s['name']] = {a['name']: Attr(self, i, a)
                                        for i, a in enumerate(s['attributes'], 1)}
        self.ops, value = {}, 0
        for op in y['operations']['list']:
            value = op.get('value', value + 1)
            self.ops[op['name']] = dict(op, value=value)

    def attrs(self, op, mode='do'):
        """The attributes that a request of this operation may carry."""
        names = self.ops[op].get(mode, {}).get('request', {}).get('attributes', [])
        return [self.sets[self.ops[op]['attribute-set']][n] for n in names]

    def encode(self, op, attrs):
        """The attributes of a request: a dict, or a list of pairs."""
        table = self.sets[self.ops[op]['attribute-set']]
        out = b''
        for name, value in attrs.items() if isinstance(attrs, dict) else attrs:
            attr = table[name]
            for v in value if attr.multi and isinstance(value, (list, tuple)) else [value]:
                out += nla(attr.number, attr.pack(v))
        return out

    def decode(self, set_name, data):
        table = {a.number: a for a in self.sets[set_name].values()}
        out = {}
        for number, payload in parse(data):
            attr = table[number]
            if attr.kind == 'pad':
                continue
            value = attr.unpack(self, payload)
            if attr.multi:
                out.setdefault(attr.name, []).append(value)
            elif attr.name in out:
                raise ValueError(f'{attr.name} is there twice')
            else:
                out[attr.name] = value
        return out


def address(text):
    return socket.inet_pton(socket.AF_INET6 if ':' in text else socket.AF_INET, text)


def nla(number, payload):
    """One attribute, padded."""
    return struct.pack('=HH', 4 + len(payload), number) + payload + b'\0' * (-len(payload) % 4)


def parse(data):
    pos = 0
    while pos < len(data):
        length, number = struct.unpack_from('=HH', data, pos)
        if length < 4 or pos + length > len(data):
            raise ValueError('malformed attribute')
        yield number & NLA_TYPE_MASK, data[pos + 4:pos + length]
        pos += length + 3 & ~3


class Netlink:
    """A netlink socket in the namespace that the caller is in."""

    def __init__(self, protocol):
        self.sock = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, protocol)
        self.sock.setsockopt(SOL_NETLINK, NETLINK_EXT_ACK, 1)
        self.sock.setsockopt(SOL_NETLINK, NETLINK_CAP_ACK, 1)
        self.sock.settimeout(60)
        self.sock.bind((0, 0))
        self.seq = 0
        self.interrupted = False

    def close(self):
        self.sock.close()

    def fileno(self):
        return self.sock.fileno()

    def send(self, kind, payload, flags):
        self.seq += 1
        self.sock.send(struct.pack('=IHHII', 16 + len(payload), kind, flags, self.seq, 0) + payload)

    def request(self, kind, payload, flags=NLM_F_ACK):
        """Send, and return the payloads of the answers; an error is raised."""
        self.send(kind, payload, NLM_F_REQUEST | flags)
        return self.answer()

    def answer(self):
        out = []
        self.interrupted = False
        while True:
            data = self.sock.recv(1 << 17)
            while data:
                length, kind, flags, seq, _ = struct.unpack_from('=IHHII', data)
                payload, data = data[16:length], data[length + 3 & ~3:]
                if seq != self.seq:
                    continue
                if flags & NLM_F_DUMP_INTR:
                    self.interrupted = True
                if kind in (NLMSG_ERROR, NLMSG_DONE):
                    error, = struct.unpack_from('=i', payload)
                    if error < 0:
                        raise self.error(-error, payload, kind, flags)
                    return out
                out.append(payload)

    @staticmethod
    def error(number, payload, kind, flags):
        text = offset = miss = None
        if flags & NLM_F_ACK_TLVS:
            skip = 4
            if kind == NLMSG_ERROR:
                skip += 16 if flags & NLM_F_CAPPED else struct.unpack_from('=I', payload, 4)[0]
            for t, v in parse(payload[skip + 3 & ~3:]):
                if t == 1:
                    text = v.rstrip(b'\0').decode(errors='replace')  # the name of an interface is bytes
                elif t == 2:
                    offset, = struct.unpack('=I', v)
                elif t == 5:
                    miss, = struct.unpack('=I', v)
        return NlError(number, text, offset, miss)


class Family(Netlink):
    """The family ims_ipsec, by its spec."""

    spec = None

    def __init__(self):
        super().__init__(NETLINK_GENERIC)
        if not Family.spec:
            Family.spec = Spec()
        name = self.spec.name.encode() + b'\0'
        try:
            info = dict(parse(self.request(GENL_ID_CTRL, struct.pack('=BBH', CTRL_CMD_GETFAMILY, 2, 0) +
                                           nla(2, name))[0][4:]))
        except NlError:
            self.close()
            raise
        self.id, = struct.unpack('=H', info[1])
        self.groups = {}
        for _, g in parse(info.get(7, b'')):
            g = dict(parse(g))
            self.groups[g[1].rstrip(b'\0').decode()] = struct.unpack('=I', g[2])[0]

    def header(self, op):
        return struct.pack('=BBH', self.spec.ops[op]['value'] if isinstance(op, str) else op, 1, 0)

    def raw(self, op, attrs, dump=False):
        """A request whose attributes are given as bytes."""
        return self.request(self.id, self.header(op) + attrs, NLM_F_DUMP if dump else NLM_F_ACK)

    def results(self, op, payloads):
        return [self.spec.decode(self.spec.ops[op]['attribute-set'], p[4:]) for p in payloads]

    def do(self, op, attrs=(), **more):
        """One request; the reply's attributes, or {} where there is none."""
        attrs = dict(attrs, **{k.replace('_', '-'): v for k, v in more.items()})
        replies = self.results(op, self.raw(op, self.spec.encode(op, attrs)))
        if len(replies) > 1:
            raise ValueError(f'{op}: {len(replies)} replies')
        if bool(replies) != ('reply' in self.spec.ops[op]['do']):
            raise ValueError(f'{op}: {len(replies)} replies')
        return replies[0] if replies else {}

    def dump(self, op, attrs=(), **more):
        attrs = dict(attrs, **{k.replace('_', '-'): v for k, v in more.items()})
        return self.results(op, self.raw(op, self.spec.encode(op, attrs), dump=True))


class Events(Family):
    """A listener to the group "events"."""

    def __init__(self):
        super().__init__()
        try:
            self.sock.setsockopt(socket.SOL_SOCKET, 33, 8 << 20)  # SO_RCVBUFFORCE
        except PermissionError:
            pass  # for root of the first user namespace alone
        self.sock.setsockopt(SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, self.groups['events'])
        self.queue = []

    def next(self, timeout=60):
        """The next event; TimeoutError where none comes."""
        self.sock.settimeout(timeout or 0.000001)
        while not self.queue:
            try:
                data = self.sock.recv(1 << 17)
            except (BlockingIOError, socket.timeout):
                raise TimeoutError('no event') from None
            while data:
                length, = struct.unpack_from('=I', data)
                self.queue += self.results('event', [data[16:length]])
                data = data[length + 3 & ~3:]
        return self.queue.pop(0)

    def drain(self):
        """All that are there already."""
        out = []
        try:
            while True:
                out.append(self.next(0))
        except TimeoutError:
            return out


class Xfrm(Netlink):
    """What of XFRM's own netlink the tests need: faster than starting `ip`."""

    def __init__(self):
        super().__init__(NETLINK_XFRM)

    def states(self):
        """The dump as it comes."""
        return self.request(XFRM_MSG_GETSA, b'', NLM_F_DUMP)

    def policies(self):
        return self.request(XFRM_MSG_GETPOLICY, b'', NLM_F_DUMP)

    def flush_states(self):
        """As `ip xfrm state flush` does."""
        self.request(XFRM_MSG_FLUSHSA, b'\xff')

    def flush_policies(self):
        """As `ip xfrm policy flush` does."""
        self.request(XFRM_MSG_FLUSHPOLICY, b'')

    def set_oseq(self, dst, spi, oseq):
        """Have an SA believe that this was the number of the last packet sent over it, as a key manager can."""
        fam = socket.AF_INET6 if ':' in dst else socket.AF_INET
        ident = socket.inet_pton(fam, dst).ljust(16, b'\0') + struct.pack('>I', spi) + struct.pack('=HBx', fam, 50)
        # struct xfrm_aevent_id, and xfrm_replay_state
        self.request(XFRM_MSG_NEWAE, ident + bytes(24) + nla(XFRMA_REPLAY_VAL, struct.pack('=III', oseq, 0, 0)),
                     NLM_F_ACK | NLM_F_REPLACE)

    def directions(self):
        """{spi: direction of XFRMA_SA_DIR, 1 in, 2 out} of the states that say it."""
        out = {}
        for s in self.states():
            spi, = struct.unpack_from('>I', s, 56 + 16)  # struct xfrm_selector, then xfrm_id
            direction = dict(parse(s[224:])).get(33)
            if direction:
                out[spi] = direction[0]
        return out
