# SPDX-License-Identifier: GPL-2.0-or-later
"""SAs and policies of this network namespace, by netlink (linux/xfrm.h).

What is made here is remembered, and that alone is removed. Each request is answered by the kernel, with its reason.
"""
import os
import socket
import struct

NETLINK_XFRM = 6
NLMSG_ERROR, NLM_F_REQUEST, NLM_F_ACK, NLM_F_REPLACE, NLM_F_EXCL, NLM_F_CREATE = 2, 1, 4, 0x100, 0x200, 0x400
NLM_F_CAPPED, NLM_F_ACK_TLVS = 0x100, 0x200
SOL_NETLINK, NETLINK_CAP_ACK, NETLINK_EXT_ACK = 270, 10, 11
NEWSA, DELSA, GETSA, NEWPOLICY, DELPOLICY, UPDPOLICY = 0x10, 0x11, 0x12, 0x13, 0x14, 0x19
ALG_CRYPT, ENCAP, TMPL, SRCADDR, ALG_AEAD, ALG_AUTH_TRUNC, SET_MARK = 2, 4, 5, 13, 18, 20, 29
IN, OUT = 0, 1
TRANSPORT, TUNNEL = 0, 1
ESP, ESPINUDP = 50, 2
INFINITE = (1 << 64) - 1
WINDOW = 32
PRIORITY = 100


class XfrmError(Exception):
    """The kernel has refused it."""


def family(address):
    return socket.AF_INET6 if ':' in address else socket.AF_INET


def packed(address):
    return socket.inet_pton(family(address), address).ljust(16, b'\0')


class Way:
    """From where to where: a selector of exact ends, any protocol."""

    def __init__(self, src, sport, dst, dport):
        self.src, self.sport, self.dst, self.dport = src, sport, dst, dport

    def selector(self):
        bits = 128 if ':' in self.src else 32
        return packed(self.dst) + packed(self.src) + struct.pack('>HHHH', self.dport, 0xffff, self.sport, 0xffff) + \
            struct.pack('=HBBB3xiI', family(self.src), bits, bits, 0, 0, 0)

    def __str__(self):
        return f'{self.src} port {self.sport} to {self.dst} port {self.dport}'


class Sa:
    """One SA: algorithms as secagree.expand() has them, mark: what is received over it carries, seconds: its life at most."""

    def __init__(self, way, spi, reqid, algorithms, seconds, tunnel=False, port=None, mark=None):
        self.way, self.spi, self.reqid, self.algorithms, self.seconds = way, spi, reqid, algorithms, seconds
        self.tunnel, self.port, self.mark = tunnel, port, mark

    def id(self):
        return packed(self.way.dst) + struct.pack('>IB3x', self.spi, ESP)

    def ref(self):
        """struct xfrm_usersa_id"""
        return packed(self.way.dst) + struct.pack('>I', self.spi) + struct.pack('=HBx', family(self.way.dst), ESP)

    def message(self):
        """struct xfrm_usersa_info and its attributes; it holds keys."""
        info = self.way.selector() + self.id() + packed(self.way.src)
        info += struct.pack('=8Q', *[INFINITE] * 4, 0, self.seconds, 0, 0) + bytes(32 + 12)
        info += struct.pack('=IIHBBB7x', 0, self.reqid, family(self.way.src), TUNNEL if self.tunnel else TRANSPORT, WINDOW, 0)
        out = info
        kind, *what = self.algorithms
        if kind == 'aead':
            name, key, icv = what
            out += attribute(ALG_AEAD, struct.pack('=64sII', name.encode(), len(key) * 8, icv) + key)
        else:
            (name, key, icv), (cipher, cipher_key) = what
            out += attribute(ALG_AUTH_TRUNC, struct.pack('=64sII', name.encode(), len(key) * 8, icv) + key)
            out += attribute(ALG_CRYPT, struct.pack('=64sI', cipher.encode(), len(cipher_key) * 8) + cipher_key)
        if self.port:
            out += attribute(ENCAP, struct.pack('=H', ESPINUDP) + struct.pack('>HH2x16x', self.port, self.port))
        if self.mark:
            out += attribute(SET_MARK, struct.pack('=I', self.mark))
        return out


class Policy:
    """What goes this way goes over the SA with this reqid. Inbound nothing is demanded (level use): what came in clear
    is to be seen, and named."""

    def __init__(self, way, direction, reqid, tunnel=False):
        self.way, self.direction, self.reqid, self.tunnel = way, direction, reqid, tunnel
        self.key = direction, way.selector()

    def message(self):
        """struct xfrm_userpolicy_info, and its template"""
        info = self.way.selector() + struct.pack('=8Q', *[INFINITE] * 4, 0, 0, 0, 0) + bytes(32)
        info += struct.pack('=IIBBBB4x', PRIORITY, 0, self.direction, 0, 0, 0)
        inbound = self.direction == IN
        template = packed(self.way.dst) + struct.pack('>IB3x', 0, ESP) + struct.pack('=H2x', family(self.way.src)) + packed(self.way.src)
        template += struct.pack('=IBBBxIII', 0 if inbound else self.reqid, TUNNEL if self.tunnel else TRANSPORT, 0, inbound,
                                *[0xffffffff] * 3)
        return info + attribute(TMPL, template)

    def ref(self):
        """struct xfrm_userpolicy_id"""
        return self.way.selector() + struct.pack('=IB3x', 0, self.direction)


def attribute(kind, data):
    return struct.pack('=HH', 4 + len(data), kind) + data + bytes(-len(data) % 4)


class Xfrm:
    """A socket, and what was made by it."""

    def __init__(self):
        self.sock = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_XFRM)
        self.sock.setsockopt(SOL_NETLINK, NETLINK_CAP_ACK, 1)
        self.sock.setsockopt(SOL_NETLINK, NETLINK_EXT_ACK, 1)
        self.sock.settimeout(10)
        self.seq, self.sas, self.policies = 0, {}, {}

    def request(self, messages):
        """Send [(type, flags, body)] at once. Return what each is answered: an error's text or None, and data if it has any."""
        first, data = self.seq + 1, bytearray()
        for kind, flags, body in messages:
            self.seq += 1
            data += struct.pack('=IHHII', 16 + len(body), kind, NLM_F_REQUEST | NLM_F_ACK | flags, self.seq, 0) + body
        self.sock.send(data)
        answers, texts = {}, {}
        while len(texts) < len(messages):
            got, at = self.sock.recv(1 << 16), 0
            while at < len(got):
                length, kind, flags, seq, _ = struct.unpack_from('=IHHII', got, at)
                body = got[at + 16:at + length]
                at += length + -length % 4
                if seq < first:
                    continue
                if kind == NLMSG_ERROR:
                    texts[seq] = error_text(body, flags)
                else:
                    answers[seq] = body
        return [(texts[n], answers.get(n)) for n in range(first, self.seq + 1)]

    def add(self, sas, policies):
        """All of them, or none and XfrmError. A policy that was made here for another set is that of this one from now on."""
        policies = list(policies)
        made = [(x, (NEWSA, NLM_F_CREATE | NLM_F_EXCL, x.message())) for x in sas]
        made += [(x, (UPDPOLICY if x.key in self.policies else NEWPOLICY, NLM_F_CREATE | NLM_F_EXCL, x.message())) for x in policies]
        answers = self.request([m for _, m in made])
        failed = []
        for (x, _), (error, _) in zip(made, answers):
            if error:
                failed.append(f'{"SA" if isinstance(x, Sa) else "policy"} {f"with SPI {x.spi:#x} " if isinstance(x, Sa) else ""}{x.way}: {error}')
            elif isinstance(x, Sa):
                self.sas[x.id()] = x
            else:
                self.policies[x.key] = x
        if failed:
            self.remove(sas, policies)
            raise XfrmError(failed[0])

    def remove(self, sas, policies):
        """Those of them that were made here, and have not gone over to another set."""
        policies = [x for x in policies if self.policies.get(x.key) is x]
        sas = [x for x in sas if self.sas.get(x.id()) is x]
        # SAs first: with a policy and no SA nothing leaves, and without a policy it leaves in clear
        messages = [(DELSA, 0, x.ref() + attribute(SRCADDR, packed(x.way.src))) for x in sas]
        messages += [(DELPOLICY, 0, x.ref()) for x in policies]
        for x in policies:
            del self.policies[x.key]
        for x in sas:
            del self.sas[x.id()]
        if messages:
            # One that has gone by itself is no error
            self.request(messages)

    def remove_all(self):
        """Whatever was made here."""
        every = list(self.sas.values()), list(self.policies.values())
        for at in range(0, max(map(len, every)), 100):
            self.remove(*(x[at:at + 100] for x in every))

    def counters(self, *sas):
        """[(packets, packets with a wrong ICV, bytes within ESP)] of each SA, zeroes of one that is no more there."""
        # struct xfrm_usersa_info: curlft.bytes and curlft.packets, stats.integrity_failed
        return [(*struct.unpack_from('=Q', data, 168), *struct.unpack_from('=I', data, 200), *struct.unpack_from('=Q', data, 160)) if data
                else (0, 0, 0) for _, data in self.request([(GETSA, 0, x.ref()) for x in sas])]


def error_text(body, flags):
    """Of an NLMSG_ERROR: None of success, else the errno's text and what the kernel says of it."""
    number, = struct.unpack_from('=i', body)
    if not number:
        return None
    text, at = os.strerror(-number), 20 if flags & NLM_F_CAPPED else 4 + struct.unpack_from('=I', body, 4)[0]
    while flags & NLM_F_ACK_TLVS and at + 4 <= len(body):
        length, kind = struct.unpack_from('=HH', body, at)
        if kind == 1 and length > 4:
            text += ': ' + body[at + 4:at + length].rstrip(b'\0').decode('utf-8', 'replace')
        at += max(4, length + -length % 4)
    return text


def statistics():
    """/proc/net/xfrm_stat of this namespace, {} where the kernel has none."""
    try:
        with open('/proc/thread-self/net/xfrm_stat', encoding='ascii') as f:
            return {k: int(v) for k, v in map(str.split, f)}
    except OSError:
        return {}
