# SPDX-License-Identifier: GPL-2.0-or-later
"""SIP messages, as far as a phone needs them (RFC 3261)."""
import re

COMPACT = {'v': 'via', 'f': 'from', 't': 'to', 'i': 'call-id', 'm': 'contact', 'l': 'content-length', 'c': 'content-type', 'k': 'supported'}
END = b'\r\n\r\n'


class Bad(ValueError):
    """It is no SIP."""


class Message:
    """One that came. `status` is None of a request, `method` that of CSeq of an answer."""

    def __init__(self, data):
        head, _, self.body = data.partition(END)
        lines = re.sub(r'\r\n[ \t]+', ' ', head.decode('utf-8', 'replace')).split('\r\n')
        self.first = lines[0]
        self.headers = []
        for line in lines[1:]:
            name, colon, value = line.partition(':')
            if colon:
                name = name.strip().lower()
                self.headers.append((COMPACT.get(name, name), value.strip()))
        m = re.fullmatch(r'SIP/2\.0 ([1-6][0-9][0-9]) ?(.*)', self.first)
        self.status, self.phrase = (int(m[1]), m[2]) if m else (None, '')
        request = re.fullmatch(r'([A-Z]+) \S+ SIP/2\.0', self.first)
        cseq = re.fullmatch(r'([0-9]{1,10})\s+([A-Z]+)', self['cseq'] or '')
        if not (m or request) or not cseq or not self['call-id'] or not self['via']:
            raise Bad(self.first[:80])
        self.cseq, self.method = int(cseq[1]), cseq[2] if m else request[1]

    def all(self, name):
        return [value for n, value in self.headers if n == name]

    def __getitem__(self, name):
        return next(iter(self.all(name)), None)

    @property
    def key(self):
        """What an answer has in common with its request."""
        return self['call-id'], self.cseq, self.method

    def text(self):
        """How a report names an answer."""
        why = ' '.join(f'({x})' for name in ('warning', 'reason') for x in self.all(name))
        return f'{self.status} {self.phrase} {why}'.strip()


def split(data):
    """Messages of a stream: a list of them, and what is left. What is no message is Bad."""
    out = []
    while True:
        # Keep-alives of RFC 5626 as well
        data = data.lstrip(b'\r\n')
        head, end, rest = data.partition(END)
        if not end:
            return out, data
        m = re.search(rb'^(?:content-length|l)[ \t]*:[ \t]*([0-9]+)', head, re.M | re.I)
        length = int(m[1]) if m else 0
        if len(rest) < length:
            return out, data
        out.append(Message(data[:len(head) + len(end) + length]))
        data = rest[length:]


def parameters(value):
    """Those of a challenge, by their names in small letters: name="value" and name=value."""
    return {k.lower(): (quoted if bare is None else bare)
            for k, quoted, bare in ((m[1], m[2], m[3]) for m in re.finditer(r'([\w-]+)\s*=\s*(?:"([^"]*)"|([^\s,"]+))', value))}


def uri_of(value):
    """The URI in From, Contact or Route."""
    m = re.search(r'<([^>]*)>', value)
    return m[1] if m else value.split(';')[0].strip()


def host_port(uri):
    """(host, port) of a SIP URI; an address of IPv6 comes without brackets, the port is 5060 by default."""
    m = re.match(r'sips?:(?:[^@]*@)?(\[[^\]]*\]|[^:;?>]*)(?::([0-9]+))?', uri)
    return (m[1].strip('[]'), int(m[2] or 5060)) if m else (None, None)


def via_port(via):
    """The port in a Via."""
    m = re.match(r'SIP\s*/\s*2\.0\s*/\s*\w+\s+(?:\[[^\]]*\]|[^:;\s]*)\s*(?::\s*([0-9]+))?', via)
    return int(m[1] or 5060) if m else None


def header_list(values):
    """The elements of all headers of a name that holds a list, as Record-Route."""
    return [x.strip() for value in values for x in re.findall(r'(?:<[^>]*>|"[^"]*"|[^,<"])+', value)]


def host_of(address):
    """An address as a URI and Via have it."""
    return f'[{address}]' if ':' in address else address
