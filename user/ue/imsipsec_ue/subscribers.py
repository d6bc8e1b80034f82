# SPDX-License-Identifier: GPL-2.0-or-later
"""Subscribers, from a file: CSV with a line of names first.

    impi,impu,k,opc,op,sqn

impi and k are needed, and one of opc and op, in hex. impu is sip:IMPI by default; sqn, in hex, is the highest that the USIM has
taken, and none by default. A line that begins with # is a comment. Of a file of one subscriber more are derived: the number
that its IMPI ends with, before the @, counts on; K and OPc are the same.
"""
import csv
import re
import uuid

from .milenage import opc_of
from .usim import Usim

FIELDS = ('impi', 'impu', 'k', 'opc', 'op', 'sqn')


class Wrong(Exception):
    """The file is not as it has to be."""


class Subscriber:
    """impi, impu: as in SIP."""

    def __init__(self, impi, impu, k, opc, sqn):
        self.impi, self.impu, self.usim = impi, impu or f'sip:{impi}', Usim(k, opc, sqn)
        # Of Contact
        self.user = re.sub(r'[^\w.+-]', '_', impi.partition('@')[0])
        self.instance = f'urn:uuid:{uuid.uuid5(uuid.NAMESPACE_URL, "sip:" + impi)}'

    @property
    def domain(self):
        return self.impi.partition('@')[2]


def hexadecimal(row, name, size, where):
    text = row[name]
    if not re.fullmatch(r'[0-9a-fA-F]{%d}' % (2 * size), text):
        # Not the text: it may be a key
        raise Wrong(f'{where}: {name} is not {2 * size} hexadecimal digits')
    return bytes.fromhex(text)


def one(row, where):
    if not re.fullmatch(r'[^@\s"<>]+@[^@\s"<>]+', row['impi']):
        raise Wrong(f'{where}: impi "{row["impi"]}" is not like 001010000000001@ims.example')
    if not row['k'] or bool(row['opc']) == bool(row['op']):
        raise Wrong(f'{where}: k, and opc or op, are needed')
    if row['impu'] and not re.fullmatch(r'(sips?|tel):[^\s"<>]+', row['impu']):
        raise Wrong(f'{where}: impu "{row["impu"]}" is no sip: or tel: URI')
    k = hexadecimal(row, 'k', 16, where)
    opc = hexadecimal(row, 'opc', 16, where) if row['opc'] else opc_of(k, hexadecimal(row, 'op', 16, where))
    sqn = int.from_bytes(hexadecimal(row, 'sqn', 6, where), 'big') if row['sqn'] else -1
    return row['impi'], row['impu'], k, opc, sqn


def counted(text, n):
    """The number at the end of the user's part counts on by n, and keeps its digits."""
    head, digits, rest = re.fullmatch(r'(.*?)([0-9]*)(@.*|)', text).groups()
    return f'{head}{int(digits or 0) + n:0{len(digits)}d}{rest}' if n else text


def read(path, count):
    """So many Subscribers, all that there are if count is None. Wrong or OSError: they cannot be had."""
    with open(path, encoding='utf-8', newline='') as f:
        lines = [(n, x) for n, x in enumerate(f, 1) if x.strip() and not x.startswith('#')]
    rows = list(csv.reader(x for _, x in lines))
    names = [x.strip().lower() for x in rows[0]] if rows else []
    if not {'impi', 'k'} <= {*names} or {*names} - {*FIELDS}:
        raise Wrong(f'{path}: the first line has to have names of {",".join(FIELDS)}, impi and k among them')
    found = []
    for (n, _), row in zip(lines[1:], rows[1:]):
        if len(row) != len(names):
            raise Wrong(f'{path}: line {n}: {len(row)} fields, where the first line has {len(names)}')
        found.append(one({**dict.fromkeys(FIELDS, ''), **dict(zip(names, map(str.strip, row)))}, f'{path}: line {n}'))
    if not found:
        raise Wrong(f'{path}: no subscribers')
    if count is None:
        count = len(found)
    if count > len(found):
        if len(found) > 1:
            raise Wrong(f'{path}: {len(found)} subscribers, where {count} are wanted: of a file of one they are derived')
        (impi, impu, *more), = found
        found = [(counted(impi, n), impu and counted(impu, n), *more) for n in range(count)]
    impis = [x[0] for x in found[:count]]
    twice = next((x for x in impis if impis.count(x) > 1), None) if len({*impis}) < len(impis) else None
    if twice:
        raise Wrong(f'{path}: {twice} is there twice')
    return [Subscriber(*x) for x in found[:count]]
