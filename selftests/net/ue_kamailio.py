#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only
"""imsipsec-ue(8) with Debian's Kamailio: with our module all is well, and of the original it names what is wrong.

KAMAILIO and IPSEC in the environment as for kamailio.py.
"""
import os
import signal
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '../lib'))
# pylint: disable=wrong-import-position
import ims  # noqa: E402
from ims import ADDRESSES, P4, PAIRS, Skip, World, check, equal, main, say, test  # noqa: E402
from kamailio import OURS, Kamailio  # noqa: E402
from phones import PC, PS, one_nat  # noqa: E402
from scscf import Core, setup_with_core, teardown_with_core  # noqa: E402
from sip_phone import REALM, UE1  # noqa: E402
from ue_tool import PATIENT, Tool, derived, good, named, no_clear, notes, prefix, ran  # noqa: E402

FAMILIES = ('IPv4', 'IPv6')
WAYS = ('udp', 'tcp')
CASES = tuple((w, f) for w in WAYS for f in FAMILIES)
ALL = ('register', 'call', 'message', 'deregister')
TO = ('--to', f'sip:ue2@{REALM}')


def case(text, each=(None,), short=(), ours=True, limit=300):
    """A test, of our module or of the original alone; `make check` has those of `short`, which carry the id UEK or UEO."""
    def declare(f):
        for e in each:
            def run(*arguments, f=f):
                if ours != OURS:
                    raise Skip('it is of the other module')
                f(*arguments)
            test(('K/UE' if ours else 'K/UE-ORIGINAL') + (' UEK' if ours else ' UEO') * (e in short), text, (e,), limit)(run)
        return f
    return declare


@case('register, call, message, reregister, message, deregister over {}', each=CASES, short=(('udp', 'IPv4'), ('tcp', 'IPv6')))
def steps(what):
    way, fam = what
    with Core(), Kamailio():
        World.wire.seen()
        done = ran('register', 'call', 'message', 'reregister', 'message', 'deregister', *TO, '--transport', way, pcscf=ADDRESSES[fam][0])
        good(done, 'register', 'call', 'reregister', 'deregister')
        equal(done.json['steps']['message']['good'], 2, 'messages')
        no_clear((PS, *PC))
        # A set is offered anew, and the S-CSCF takes the digest that it has
        check('not-challenged' in notes(done), f'notes are {notes(done)}')


@case('a re-authentication over {}: what follows goes over the new set', each=CASES, short=(('udp', 'IPv6'), ('tcp', 'IPv4')))
def again(what):
    way, fam = what

    class Strict(Core):
        """It challenges each REGISTER in which the phone offers another set."""
        seen = ()

        def register(self, m):
            client = m['Security-Client']
            if client not in self.seen and m['Expires'] != '0':
                self.seen = (*self.seen, client)
                self.challenge.add(UE1)
            return super().register(m)
    with Strict(), Kamailio():
        done = ran('register', 'message', 'reregister', 'message', 'call', 'deregister', *TO, '--transport', way, pcscf=ADDRESSES[fam][0])
        good(done, 'register', 'reregister', 'call', 'deregister')
        check('not-challenged' not in notes(done), f'notes are {notes(done)}')
        equal(done.json['steps']['message']['good'], 2, 'messages')


def called(core, tool):
    """MESSAGE and a call to the phone, up to its BYE; how it ended."""
    tool.registered()
    core.request('MESSAGE', call='mt-message')
    equal(core.next(lambda m: m.status and m['Call-ID'] == 'mt-message' and m.status != '100', 60).status, '200', 'the answer to MESSAGE')
    core.request('INVITE', call='mt')
    ok = core.next(lambda m: m.status == '200' and 'INVITE' in m['CSeq'], 60)
    routes = [x.strip() for h in ok.all('Record-Route') for x in h.split(',')][::-1]
    uri = ok['Contact'].partition('<')[2].partition('>')[0]
    tag = ';tag=' + ok['To'].partition(';tag=')[2]
    for n, method in enumerate(('ACK', 'BYE')):
        core.request(method, uri=uri, more=[f'Route: {x}' for x in routes], call='mt', tags=tag, branch=f'mt-{method}', cseq=1 + n)
    equal(core.next(lambda m: m.status and 'BYE' in m['CSeq'] and m.status != '100', 60).status, '200', 'the answer to BYE')
    tool.process.send_signal(signal.SIGINT)
    return tool.end()


@case('a MESSAGE and a call to the phone, over {}', each=CASES, short=(('udp', 'IPv4'), ('tcp', 'IPv4')))
def to_phone(what):
    way, fam = what
    with Core() as core, Kamailio(), Tool('register', '--hold', '120', '--transport', way, pcscf=ADDRESSES[fam][0]) as tool:
        done = called(core, tool)
        equal((done.status, done.json['failures']), (130, []), 'how it ended')
        # ACK is no request that is answered
        equal(done.json['steps']['incoming']['good'], 3, 'what came')


@case('each pair of algorithms: {}', each=PAIRS, short=PAIRS[:1])
def pairs(pair):
    with Core(), Kamailio():
        good(ran('register', 'message', 'deregister', '--algs', '='.join(pair), pcscf=P4), 'register', 'message', 'deregister')


@case('behind a NAT, {}', each=FAMILIES, short=FAMILIES[:1])
def behind_nat(fam):
    with Core(), one_nat() as nat, Kamailio(parameters={'nat': 1}):
        done = ran('register', 'call', 'message', 'reregister', 'message', 'deregister', *TO, '--mod', 'UDP-enc-tun', pcscf=ADDRESSES[fam][0], ns=nat.h)
        good(done, 'register', 'call', 'reregister', 'deregister')


@case('SQN is out of range: the HSS takes AUTS, and the phone registers', short=(None,))
def resynchronised():
    with Core() as core, Kamailio():
        done = ran('register', 'message', sqn='0000000000ff', pcscf=P4)
        good(done, 'register', 'message')
        equal((notes(done), core.auts), ({'resynchronised'}, [255]), 'notes, and the SQN that the HSS has read')


@case('another K than the HSS has: AUTN is not taken')
def wrong_key():
    with Core(), Kamailio():
        named(ran('register', key='00' * 16, pcscf=P4), ('register', 'autn-mac'))


@case('why it is refused: {}', each=('no pair in common', 'no keys'), short=('no keys',))
def refused(what):
    with Core() as core, Kamailio(parameters={}):
        if what == 'no keys':
            core.keys_of = lambda ck, ik: (b'', b'')
        else:
            World.nl.do('config-set', allowed_algorithms='hmac-md5-96=null')
        text = named(ran('register', '--algs', 'null=aes-gcm', pcscf=P4), ('register', 'refused'))
        check('503' in text, f'the reason: {text}')


@case('the original, over {}: what is wrong with it is named', each=CASES, short=CASES[:1], ours=False)
def original(what):
    way, fam = what
    with Core(), Kamailio(parameters=SPIS):
        done = ran(*ALL, *TO, '--algs', 'hmac-sha-1-96=aes-cbc', '--transport', way, pcscf=ADDRESSES[fam][0])
        codes = {(x['step'], x['code']) for x in done.json['failures']}
        equal((done.status, way == 'tcp' or ('deregister', 'in-clear') in codes, 'deregister' in {step for step, _ in codes}), (1, True, True),
              f'exit status, is the 200 in clear, has the de-registration failed: {done.json["failures"]}')


# Its default is 100, which is its own case
SPIS = {'ipsec_spi_id_start': 1000}


@case('the original: a call to the phone over {} is recorded with port_pc', each=CASES[:2], short=CASES[:1], ours=False)
def original_call(what):
    way, fam = what
    with Core() as core, Kamailio(parameters=SPIS), Tool('register', '--hold', '120', '--algs', 'hmac-sha-1-96=aes-cbc', '--transport', way,
                                          pcscf=ADDRESSES[fam][0]) as tool:
        done = called(core, tool)
        check(('incoming', 'dialog-port') in {(x['step'], x['code']) for x in done.json['failures']}, f'failures are {done.json["failures"]}')


@case('the original: SPIs are reserved ones by default', ours=False)
def original_spis():
    with Core(), Kamailio():
        named(ran('register', '--algs', 'hmac-sha-1-96=aes-cbc', pcscf=ADDRESSES['IPv6'][0]), ('register', 'reserved-spi'))


@case('the original: of several mechanisms it takes another than it can, or none', ours=False)
def original_many():
    with Core(), Kamailio():
        done = ran('register', *('--timeout', '5', '--t1', '1'), pcscf=P4)
        check(done.status == 1 and done.json['failures'], f'{done.json}')


# Not K/UE: it takes as long as all the others
@test('K/UE-MANY', '{} phones at once register, call, write, register anew, and go: none is lost', each=(int(os.environ.get('UES') or 500),), limit=3000)
def many(n):
    if OURS:
        World.nl.do('config-set', {'max-bundles': 4 * n, 'temporary-timeout': 3600000})
    with derived(n) as first, prefix() as source, Core(), Kamailio(addresses=(P4,), pending=3600, grace=3600):
        World.wire.seen()
        done = ran('register', 'call', 'message', 'reregister', 'message', 'deregister', *TO, '--count', str(n), '--source', source,
                   '--rate', os.environ.get('RATE') or '0', *PATIENT, impis=(first,), pcscf=P4, limit=2800)
        for name, x in done.json['steps'].items():
            say(f'{name}: {x}')
        good(done, 'register', 'call', 'reregister', 'deregister', n=n)
        no_clear((PS, *PC))


if __name__ == '__main__':
    main(setup_with_core, ims.before, teardown_with_core)
