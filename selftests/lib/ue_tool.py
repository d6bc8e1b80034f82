# SPDX-License-Identifier: GPL-2.0-only
"""imsipsec-ue(8), run in U or behind a NAT as an operator does, and what it must leave alone."""
import collections
import contextlib
import json
import os
import re
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
# pylint: disable=wrong-import-position
from ims import TCP, TOP, UDP, Fail, World, check, echo, equal, wait  # noqa: E402
from sip_phone import REALM, UE1, usim  # noqa: E402

UE = os.environ.get('IMSIPSEC_UE') or TOP + '/user/ue/imsipsec-ue'
# Of an SA and a policy that are somebody else's in U
FOREIGN = ('xfrm state add src 192.0.2.2 dst 192.0.2.1 proto esp spi 0x1234 reqid 77 mode transport auth-trunc hmac(sha1) '
           '0x0102030405060708090a0b0c0d0e0f1011121314 96 enc ecb(cipher_null) ""',
           'xfrm policy add src 192.0.2.2/32 dst 192.0.2.99/32 dir out tmpl src 192.0.2.2 dst 192.0.2.99 proto esp reqid 77 mode transport')

Done = collections.namedtuple('Done', 'status json said')


@contextlib.contextmanager
def subscribers(impis=(UE1,), sqn='', key=None):
    """A file of them, with the keys that the tests' home network has, or another key."""
    with tempfile.NamedTemporaryFile('w', encoding='utf-8', suffix='.csv') as f:
        f.write('impi,impu,k,op,sqn\n')
        for impi in impis:
            k, op = usim['SUBSCRIBERS'][impi]
            f.write(f'{impi},,{key or k},{op},{sqn}\n')
        f.flush()
        yield f.name


class Tool:
    """It runs: until it ends by itself, or as long as the block does."""

    def __init__(self, *words, pcscf, ns=None, impis=(UE1,), sqn='', key=None, limit=240):
        self.ns, self.limit, self.stack = ns or World.u, limit, contextlib.ExitStack()
        self.argv = [UE, *words, '--pcscf', f'[{pcscf}]' if ':' in pcscf else pcscf,
                     '--subscribers', self.stack.enter_context(subscribers(impis, sqn, key)), '--json', '-']
        echo(self.ns.name, ' '.join(self.argv))
        self.out = self.stack.enter_context(tempfile.TemporaryFile('w+'))
        self.err = self.stack.enter_context(tempfile.TemporaryFile('w+'))
        self.before = self.xfrm()
        with self.ns:
            self.process = subprocess.Popen(self.argv, stdout=self.out, stderr=self.err, stdin=subprocess.DEVNULL)

    def xfrm(self):
        """All SAs and policies, without what counts."""
        text = self.ns.ip('xfrm state') + self.ns.ip('xfrm policy')
        return sorted(re.sub(r'\s+anti-replay context:.*|\s+lastused.*', '', text).splitlines())

    def said(self):
        return os.pread(self.err.fileno(), 1 << 20, 0).decode()

    def registered(self, n=1):
        """So many are, by what it says as it goes."""
        wait(lambda: f'register {n}' in self.said() or self.process.poll() is not None, f'{n} registered', 120)
        check(self.process.poll() is None, f'imsipsec-ue has ended: {self.said()}')

    def end(self):
        """Wait for its end; it leaves nothing behind."""
        try:
            status = self.process.wait(self.limit)
        except subprocess.TimeoutExpired:
            raise Fail(f'imsipsec-ue does not end: {self.said()}') from None
        self.out.seek(0)
        text, said = self.out.read(), self.said()
        equal(self.xfrm(), self.before, 'SAs and policies where the phones are')
        check('Traceback' not in said, said)
        return Done(status, json.loads(text) if text.strip() else None, said)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self.stack.close()


def ran(*words, **more):
    """From its begin to its end."""
    with Tool(*words, **more) as tool:
        return tool.end()


def good(done, *steps, n=1):
    """All steps of all phones went well."""
    check(done.json, f'it ended with {done.status}: {done.said}')
    equal((done.status, done.json['failures']), (0, []), 'exit status and failures')
    for step in steps:
        x = done.json['steps'].get(step) or {}
        equal((x.get('sent'), x.get('good'), x.get('in_clear')), (n, n, 0), f'{step}: sent, good, in clear')


def named(done, *codes, status=1):
    """It failed, and says why: [(step, code)]."""
    check(done.json, f'it ended with {done.status}: {done.said}')
    equal((done.status, [(x['step'], x['code']) for x in done.json['failures']]), (status, [*codes]), f'exit status and codes of {done.json["failures"]}')
    return done.json['failures'][0]['reason'] + ' ' + done.json['failures'][0]['detail']


def notes(done):
    return {x['code'] for x in done.json['notes']}


def no_clear(ports):
    """Since last asked nothing on the wire was in clear at these ports, but there was ESP."""
    seen = World.wire.seen()
    clear = [s for s in seen if s.proto in (TCP, UDP) and {s.sport, s.dport} & {*ports}]
    check(not clear, f'in clear on the wire: {clear[:3]}')


# Of many phones where a CPU is emulated, or busy: nothing ends while it waits for its turn
PATIENT = ('--timeout', '1200', '--t1', '10', '--expires', '3600')


@contextlib.contextmanager
def prefix():
    """10.1.0.0/16 is U's, an address a phone, and P sends there."""
    World.u.ip('route add local 10.1.0.0/16 dev lo')
    World.p.ip('route add 10.1.0.0/16 via 192.0.2.2')
    mac = re.search(r'link/ether (\S+)', World.u.ip('link show u0'))[1]
    World.p.ip(f'neigh replace 192.0.2.2 lladdr {mac} dev p0 nud permanent')
    try:
        yield '10.1.0.0/16'
    finally:
        World.u.ip('route del local 10.1.0.0/16 dev lo')
        World.p.ip('route del 10.1.0.0/16 via 192.0.2.2')


@contextlib.contextmanager
def derived(n):
    """So many subscribers, counted from 0, of which the file has the first: what the home network knows of them."""
    impis = [f'u{i:04d}@{REALM}' for i in range(n)]
    for impi in impis:
        usim['SUBSCRIBERS'][impi] = usim['SUBSCRIBERS'][UE1]
    try:
        yield impis[0]
    finally:
        for impi in impis:
            del usim['SUBSCRIBERS'][impi]
