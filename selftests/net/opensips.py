#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only
"""OpenSIPS with the module in place of proto_ipsec: phones register and talk as they do in the field.

OPENSIPS=PROGRAM OPENSIPS_SRC=DIR in the environment: without them everything is skipped. IPSEC=proto_ipsec has OpenSIPS's own module
instead, for comparison. `make opensips` runs both.
"""
import contextlib
import functools
import json
import os
import re
import select
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '../lib'))
# pylint: disable=wrong-import-position
import ims  # noqa: E402
from ims import (P4, P6, TCP, UDP, Fail, Skip, World, check, equal, main, test, wait)  # noqa: E402
from natted import INNER  # noqa: E402
from nic import NIC_KO_SMP, Nic, on_device  # noqa: E402
from opensips import OURS, PROGRAM, OpenSips, make_database, needed  # noqa: E402
from phones import (PC, PS, Chooses, Elsewhere, NattedPhone, NattedTcpPhone, TcpPhone, all_at_once, all_in_esp, answer, answered_call,  # noqa: E402
                    asked, bye_of, each_is_itself, final, more_addresses, nats, one_nat, phone, routes, states, via_port)
from scscf import CORE6, CORE_P, Core, setup_with_core, teardown_with_core  # noqa: E402
from sip_phone import REALM, UE1, UE2, Phone, Set  # noqa: E402
from sip_server import CAPABLE, NOBODY, in_use  # noqa: E402

FAMILIES = ('IPv4', 'IPv6')
WAYS = ('UDP', 'TCP')
BOTH = tuple((w, f) for w in WAYS for f in FAMILIES)
CALLS = (('UDP', 'IPv4'), ('UDP', 'IPv6'), ('TCP', 'IPv4'))
OTHER = '192.0.2.21'


def case(ids, text, each=(None,), ours=False, limit=300):
    """A test; ours: proto_ipsec has nothing of the kind."""
    def declare(f):
        @functools.wraps(f)
        def run(*args):
            needed()
            if ours and not OURS:
                raise Skip('proto_ipsec has not got it')
            f(*args)
        test(f'OPENSIPS O/{ids}', text, each, limit)(run)
        return f
    return declare


def bundle():
    b, = World.nl.dump('bundle-get')
    return b


def load_anew(*parameters):
    """The kernel module: what it counts begins anew."""
    ims.close_family()
    wait(lambda: not ims.rmmod().returncode, 'the module goes', 20)
    done = ims.insmod(*parameters)
    equal(done.returncode, 0, done.stdout)
    ims.reopen_family()


# --- What every phone does

@case('REGISTRATION', 'a registration over {}', each=BOTH)
def registration(how):
    way, fam = how
    with Core() as core, OpenSips(fam=fam) as server, phone(way, fam) as ue:
        first = Set(5000)
        World.wire.seen()
        got = ue.challenge(first)
        equal(got['Supported'], 'sec-agree', 'Supported of the 401')
        check(not re.search(r'\b[ci]k=', got['WWW-Authenticate']), f'the keys have got to the phone: {got["WWW-Authenticate"]}')
        equal(server.created(), [1], 'what ipsec_create() gave')
        got = ue.confirm(first)
        if way == 'UDP':
            check(got.source in PC and got.port == first.port_s, f'the 200 OK went from {got.source} to {got.port}')
        all_in_esp(ue)
        if OURS:
            b = bundle()
            check(b['state'] in ('established', 'active'), f'the set is {b["state"]}')
            equal((b['owner'], b['lifetime'] > 600000), (UE1.encode(), True), 'owner, and lifetime of expires and 30 s')
        heard = core.next(lambda m: m.method == 'REGISTER' and 'response="' in m.text and 'response=""' not in m.text)
        equal(heard.source, 5060, 'the source port at the S-CSCF')


@case('REGISTRATION', 'the S-CSCF is told integrity-protected, and has no Security-Client and Security-Verify of the REGISTER over the new set')
def integrity():
    with Core() as core, OpenSips(), phone() as ue:
        first = Set(5000)
        ue.challenge(first)
        core.heard.clear()
        ue.confirm(first)
        heard = core.next(lambda m: m.method == 'REGISTER')
        check(re.search(r'integrity-protected="?yes', heard['Authorization']), f'Authorization: {heard["Authorization"]}')
        equal((heard['Security-Client'], heard['Security-Verify']), (None, None), 'Security-Client and Security-Verify')


@case('REGISTRATION', 'a first REGISTER without Authorization', ours=True)
def without_authorization():
    with Core() as core, OpenSips(), phone() as ue:
        first = Set(5000)
        got = ue.request('REGISTER', None, *ue.headers(first, None)[1:])
        equal(got.status, '401', 'the answer to REGISTER')
        ue.agree(first, got)
        ue.confirm(first)
        ue.talk(first)
        asked(core, ue, first)


@case('FROM', 'a request of a phone over {}: it leaves for the core from 5060, and its answer is in ESP', each=BOTH)
def from_phone(how):
    with Core() as core, OpenSips(fam=how[1]), phone(*how) as ue:
        first = Set(5000)
        ue.sign_up(first)
        World.wire.seen()
        equal(final(ue, ue.request('MESSAGE', first)).status, '200', 'the answer to MESSAGE')
        heard = core.next(lambda m: m.method == 'MESSAGE')
        equal((heard.source, via_port(heard)), (5060, 5060), 'source port and Via at the S-CSCF')
        all_in_esp(ue)


@case('TO', 'a request to a phone over {}', each=BOTH)
def to_phone(how):
    with Core() as core, OpenSips(fam=how[1]), phone(*how) as ue:
        first = Set(5000)
        ue.sign_up(first)
        World.wire.seen()
        asked(core, ue, first)
        # And over the connection that is there
        asked(core, ue, first, call='again')
        all_in_esp(ue)


@case('TO', 'a request to a phone that has registered and called over TCP goes over another connection, and that of the phone stays, {}', each=FAMILIES)
def both_ways(fam):
    with Core() as core, OpenSips(fam=fam), phone('TCP', fam) as ue:
        first = Set(5000)
        ue.sign_up(first)
        mine = ue.conns[first.spi]
        World.wire.seen()
        equal(final(ue, ue.request('MESSAGE', first)).status, '200', 'the answer to MESSAGE')
        asked(core, ue, first)
        equal(final(ue, ue.request('MESSAGE', first)).status, '200', 'the answer to the next MESSAGE')
        check(ue.conns.get(first.spi) is mine, 'the connection of the phone has gone')
        all_in_esp(ue)


@case('LONG', 'messages of 3,000 bytes over {}, both ways', each=CALLS)
def long(how):
    with Core() as core, OpenSips(fam=how[1]), phone(*how) as ue:
        first = Set(5000)
        ue.sign_up(first)
        World.wire.seen()
        filler = 'X-Filler: ' + 'x' * 2900
        equal(final(ue, ue.request('MESSAGE', first, filler)).status, '200', 'the answer to MESSAGE')
        equal(core.next(lambda m: m.method == 'MESSAGE')['X-Filler'], filler[10:], 'what the S-CSCF has')
        equal(asked(core, ue, first, more=(filler,))['X-Filler'], filler[10:], 'what the phone has')
        all_in_esp(ue)


@case('CALL', 'a call of a phone: its dialog is recorded with 5060, and what the core sends within it arrives, {}', each=CALLS)
def call_from_phone(how):
    with Core() as core, OpenSips(fam=how[1]), phone(*how) as ue:
        first = Set(5000)
        ue.sign_up(first)
        World.wire.seen()
        got = final(ue, ue.request('INVITE', first, to='ue2@' + REALM))
        equal(got.status, '200', 'the answer to INVITE')
        check(f':{PS}' in routes(got)[-1], f'the phone is to send to {routes(got)[-1]}')
        invite = core.next(lambda m: m.method == 'INVITE')
        route = core.within(invite, 'BYE')
        check(not any(f':{x}' in route[0] for x in (PS, *PC)), f'the core is to send to {route[0]}')
        bye = ue.next(lambda m: m.method == 'BYE')
        check(bye.source in PC and bye.port == first.port_s, f'BYE went from {bye.source} to {bye.port}')
        answer(ue, bye, first)
        equal(core.next(lambda m: m.status and 'BYE' in m['CSeq']).status, '200', 'the answer to BYE')
        all_in_esp(ue)


@case('CALL', 'a call to a phone, from INVITE to its BYE: all of it is in ESP, and its dialog is recorded with port_ps, {}', each=CALLS)
def call_to_phone(how):
    with Core() as core, OpenSips(fam=how[1]), phone(*how) as ue:
        first = Set(5000)
        ue.sign_up(first)
        World.wire.seen()
        invite = answered_call(core, ue, first)
        route = routes(invite)
        check(route, 'INVITE has no Record-Route')
        # Only there can the phone send from its client port
        check(f':{PS};' in route[0] or f':{PS}>' in route[0], f'the phone is to send to {route[0]}')
        ue.send(bye_of(ue, invite, first, route), first)
        equal(core.next(lambda m: m.method == 'BYE').source, 5060, 'the source port of BYE')
        equal(ue.next(lambda m: m.status and 'BYE' in m['CSeq'] and m.status != '100').status, '200', 'the answer to BYE')
        all_in_esp(ue)


@case('CALL', 'SUBSCRIBE of a phone, and NOTIFY of the core in their dialog, {}', each=FAMILIES)
def subscription(fam):
    with Core() as core, OpenSips(fam=fam), phone('UDP', fam) as ue:
        first = Set(5000)
        ue.sign_up(first)
        World.wire.seen()
        got = final(ue, ue.request('SUBSCRIBE', first, 'Event: reg', 'Expires: 600'))
        equal(got.status, '200', 'the answer to SUBSCRIBE')
        core.within(core.next(lambda m: m.method == 'SUBSCRIBE'), 'NOTIFY')
        notify = ue.next(lambda m: m.method == 'NOTIFY')
        check(notify.source in PC and notify.port == first.port_s, f'NOTIFY went from {notify.source} to {notify.port}')
        answer(ue, notify, first)
        equal(core.next(lambda m: m.status and 'NOTIFY' in m['CSeq']).status, '200', 'the answer to NOTIFY')
        all_in_esp(ue)


@case('AGAIN', 'a re-authentication over {}: what is sent to the phone goes over the new set, once it is used', each=WAYS)
def again(way):
    with Core() as core, OpenSips(), phone(way) as ue:
        first, second = Set(5000), Set(5002, 6303, 6302)
        ue.sign_up(first)
        World.wire.seen()
        core.challenge.add(UE1)
        ue.challenge(second, over=first)
        check(second.server['port-c'] != first.server['port-c'], f'both sets have port_pc {first.server["port-c"]}')
        ue.confirm(second)
        equal(final(ue, ue.request('MESSAGE', second)).status, '200', 'the answer to MESSAGE')
        equal(asked(core, ue, second).port, second.port_s, 'the port that the request came to')
        all_in_esp(ue)
        if OURS:
            equal(states(), {5000: 'old', 5002: 'active'}, 'the sets')


@case('AGAIN', 'a re-authentication of a phone that keeps its ports: the 200 OK leaves over the new set')
def again_same_ports():
    with Core() as core, OpenSips(), phone() as ue:
        first, second = Set(5000), Set(5002)
        ue.sign_up(first)
        core.challenge.add(UE1)
        ue.challenge(second, over=first)
        # From here on this phone takes nothing over the first
        ue.forget(first)
        ue.confirm(second)
        equal(final(ue, ue.request('MESSAGE', second)).status, '200', 'the answer to MESSAGE')
        asked(core, ue, second)


@case('AGAIN', 'a phone is challenged over its set four times, one after the other')
def again_and_again():
    with Core() as core, OpenSips(), phone() as ue:
        over = Set(5000)
        ue.sign_up(over)
        for n in range(1, 5):
            new = Set(5000 + 2 * n, 6301 + 2 * n, 6300 + 2 * n)
            core.challenge.add(UE1)
            ue.challenge(new, over=over)
            ue.confirm(new)
            equal(final(ue, ue.request('MESSAGE', new)).status, '200', f'the answer to MESSAGE {n}')
            asked(core, ue, new, call=f'again-{n}')
            over = new


def rings_through_challenge(goes):
    """goes: the set that the INVITE came over, before it is answered."""
    with Core() as core, OpenSips(), phone() as ue:
        if goes and OURS:
            World.nl.do('config-set', {'old-timeout': 1000})
        first, second = Set(5000), Set(5002, 6303, 6302)
        ue.sign_up(first)
        core.later.add('INVITE')
        World.wire.seen()
        ue.send(ue.text_of('INVITE', first, to='ue2@' + REALM), first)
        invite, cseq = core.next(lambda m: m.method == 'INVITE'), f'{ue.cseq} INVITE'
        core.reply_to(invite, '180 Ringing')
        ue.next(lambda m: m.status == '180')
        core.challenge.add(UE1)
        ue.challenge(second, over=first)
        ue.confirm(second)
        equal(final(ue, ue.request('MESSAGE', second)).status, '200', 'the answer to MESSAGE')
        if OURS:
            wait(lambda: states() == {5002: 'active'} | ({} if goes else {5000: 'old'}), 'what has become of the set of the call')
        core.reply_to(invite, '200 OK')
        got = ue.next(lambda m: m.status and m['CSeq'] == cseq and m.status not in ('100', '180'))
        equal((got.status, got.port), ('200', second.port_s), 'the answer, and the port that it came to')
        check(got.source in PC, f'it came from {got.source}')
        all_in_esp(ue)


@case('RINGS', 'a call of a phone rings for longer than a re-authentication leaves its set: the 200 OK goes over the new one')
def rings():
    rings_through_challenge(True)


@case('RINGS', 'a phone re-authenticates while a call of it rings: the 200 OK goes over the new set, though the one before is there', ours=True)
def rings_on():
    rings_through_challenge(False)


@case('CLOSED', 'a phone closes its TCP connection before the core has answered: nothing is in clear')
def closed():
    with Core() as core, OpenSips() as server, phone('TCP') as ue:
        first = Set(5000)
        ue.sign_up(first)
        core.later.add('MESSAGE')
        ue.send(ue.text_of('MESSAGE', first), first)
        heard = core.next(lambda m: m.method == 'MESSAGE')
        World.wire.seen()

        def opened():
            return str(server.rpc('list_tcp_conns')).count(f'{ue.address}:{first.port_c}')
        check(opened(), f'no connection from {first.port_c} in {server.rpc("list_tcp_conns")}')
        ue.conns.pop(first.spi).close()
        wait(lambda: not opened(), 'OpenSIPS has closed it too')
        core.reply_to(heard, '200 OK')
        # What handles it comes to this next
        core.request('OPTIONS', uri=f'sip:{P4}', call='behind')
        equal(core.next(lambda m: m.status and m['Call-ID'] == 'behind').status, '200', 'the answer to OPTIONS')
        all_in_esp(ue, (PS, *PC, first.port_c, first.port_s))


@case('LOST', 'a phone that has lost its state and registers in clear again is sent to over the new set at once')
def lost_state():
    with Core() as core, OpenSips():
        with phone() as ue:
            first = Set(5000)
            ue.sign_up(first)
            ue.talk(first)
        with phone() as ue:
            second = Set(5002, 6303, 6302)
            ue.sign_up(second)
            asked(core, ue, second)
            if OURS:
                equal(list(states()), [5002], 'the sets')


@case('REFRESH', 'a refresh without a challenge has the set live longer')
def refresh():
    with Core() as core, OpenSips(), phone() as ue:
        first = Set(5000)
        ue.sign_up(first)
        ue.talk(first)
        equal(ue.register(first, first, expires=1200).status, '200', 'the answer to the second REGISTER')
        asked(core, ue, first)
        if OURS:
            check(bundle()['lifetime'] > 1200000, f'the lifetime is {bundle()["lifetime"]}')


@case('LEAVE', 'a de-registration over {}: its 200 OK is in ESP, and the set goes', each=BOTH)
def leave(how):
    with Core(), OpenSips(fam=how[1]), phone(*how) as ue:
        first = Set(5000)
        ue.sign_up(first)
        World.wire.seen()
        equal(final(ue, ue.register(first, first, expires=0)).status, '200', 'the answer to the de-registration')
        all_in_esp(ue)
        if OURS:
            equal(states(), {5000: 'old'}, 'the set')


@case('LEAVE', 'a de-registration while a challenge is under way {}: the set of the challenge stays, and the phone registers over it',
      each=('over the set', 'in clear'), ours=True)
def leave_challenged(how):
    with Core() as core, OpenSips(), phone() as ue:
        first, second = Set(5000), Set(5002, 6303, 6302)
        ue.sign_up(first)
        core.challenge.add(UE1)
        ue.challenge(second, over=first if how == 'over the set' else None)
        equal(final(ue, ue.register(first, first, expires=0)).status, '200', 'the answer to the de-registration')
        equal(states(), {5000: 'old', 5002: 'temporary'}, 'the sets')
        World.wire.seen()
        ue.confirm(second)
        ue.talk(second)
        asked(core, ue, second)
        all_in_esp(ue)


@case('LEAVE', 'a de-registration that is challenged: the set of the challenge goes too', ours=True)
def leave_by_challenge():
    with Core() as core, OpenSips(), phone() as ue:
        first, second = Set(5000), Set(5002, 6303, 6302)
        ue.sign_up(first)
        core.challenge.add(UE1)
        ue.challenge(second, over=first, expires=0)
        World.wire.seen()
        equal(final(ue, ue.register(second, second, expires=0, contact=ue.contact(first))).status, '200', 'the answer to the de-registration')
        equal(states(), {5000: 'old', 5002: 'old'}, 'the sets')
        all_in_esp(ue)


@case('PROBE', 'plaintext to each protected port of a phone that is registered gets nowhere, {}', each=FAMILIES)
def probe(fam):
    with Core() as core, OpenSips(fam=fam), phone('UDP', fam) as ue:
        first = Set(5000)
        ue.sign_up(first)
        for port in (PS, *PC):
            with World.u.udp(ue.address, 7000) as s:
                text = ue.text_of('OPTIONS', None).replace(f'Call-ID: {ue.call_id}', f'Call-ID: probe-{port}') \
                    .replace(f'OPTIONS sip:{REALM}', f'OPTIONS sip:{ue.host}').replace(':5060;branch', ':7000;branch')
                s.sendto(text.encode(), (ue.p, port))
                check(not select.select([s], [], [], 1)[0], f'port {port} answers what comes in clear')
            with World.u.tcp(ue.address, 7001) as s:
                s.connect_ex((ue.p, port))
                check(not select.select([], [s], [], 1)[1], f'port {port} takes a TCP connection in clear')
        # What comes behind it over the set has been through OpenSIPS
        ue.talk(first)
        check(not any('probe' in m['Call-ID'] for m in core.heard), 'a probe went to the S-CSCF')


@case('TWICE', 'an answer 401 that comes twice leaves the set of the first')
def twice():
    with Core() as core, OpenSips(), phone() as ue:
        core.times = 3
        first = Set(5000)
        ue.sign_up(first)
        ue.talk(first)


@case('BOTH', 'a phone registers over IPv4 and over IPv6: each has a set of its own, and is sent to over it')
def both_families():
    with Core() as core, OpenSips(addresses=(P4, P6)), Phone(UE1, 'IPv4') as four, Phone(UE1, 'IPv6') as six:
        sets, uris = [(four, Set(5000)), (six, Set(5010))], []
        for ue, over in sets:
            ue.sign_up(over)
            uris.append(core.contacts[UE1])
        World.wire.seen()
        for n, (ue, over) in enumerate(sets):
            ue.talk(over)
            asked(core, ue, over, uri=uris[n], call=f'both-{n}')
        all_in_esp(four)
        if OURS:
            equal(states(), {5000: 'active', 5010: 'active'}, 'the sets')


@case('FIVE', 'five phones of one subscriber and two ports port_pc: each has its set and is sent to over it')
def five():
    addresses = [f'192.0.2.{n}' for n in range(21, 26)]
    with Core() as core, OpenSips(), more_addresses(addresses):
        phones = [Phone(UE1, address=a) for a in addresses]
        try:
            for n, ue in enumerate(phones):
                ue.first = Set(5000 + 2 * n)
                ue.sign_up(ue.first)
                ue.uri = core.contacts[UE1]
            for n, ue in enumerate(phones):
                ue.talk(ue.first)
                asked(core, ue, ue.first, uri=ue.uri, call=f'five-{n}')
        finally:
            for ue in phones:
                ue.__exit__()


@case('NEIGHBOUR', 'two subscribers with the same ports and SPIs at two addresses')
def two():
    with Core() as core, more_addresses([OTHER]), OpenSips(), phone() as one, Phone(UE2, address=OTHER) as other:
        each_is_itself(core, [(one, Set(5000)), (other, Set(5000))])


@case('ELSEWHERE', 'a phone whose Contact and Via in clear do not have 5060')
def elsewhere():
    with Core() as core, OpenSips(), Elsewhere() as ue:
        first = Set(5000)
        ue.sign_up(first)
        World.wire.seen()
        ue.talk(first)
        asked(core, ue, first)
        all_in_esp(ue)


@case('LIST', 'Security-Client: {}', each=('no ealg', 'tls comes first', 'two of ipsec-3gpp, the first is unknown', 'two headers',
                                              'twenty of ipsec-3gpp, the last is known'))
def security_client(what):
    with Core() as core, OpenSips(), phone() as ue:
        first = Set(5000)
        # The rest is without it
        bare = first.client.replace(';ealg=null', '')
        first.client = {'no ealg': bare, 'tls comes first': 'tls, ' + first.client,
                        'two of ipsec-3gpp, the first is unknown': first.client.replace('hmac-sha-1-96', 'hmac-unheard-of') + ', ' + first.client,
                        'two headers': f'tls\r\nSecurity-Client: {first.client}',
                        'twenty of ipsec-3gpp, the last is known':
                        ', '.join((*(first.client.replace('hmac-sha-1-96', f'hmac-unheard-of-{n}') for n in range(1, 20)), first.client))}[what]
        ue.sign_up(first)
        check('ealg=;' not in first.verify and 'ipsec-3gpp' in first.verify, f'Security-Server: {first.verify}')
        ue.talk(first)
        asked(core, ue, first)


# --- What is not to be

@case('VERIFY', 'the REGISTER over the new set with another {} than was agreed is dropped, and the right one is taken',
      each=('Security-Verify: spi-s', 'Security-Verify: alg', 'Security-Client: port-s', 'Security-Client: alg'))
def verify(what):
    header, _, word = what.partition(': ')
    with Core() as core, OpenSips(), phone() as ue:
        first = Set(5000)
        ue.challenge(first)
        core.heard.clear()
        ours, theirs = first.client, first.verify

        def other(text):
            return re.sub(rf'\b({word})=([^;,]+)', lambda m: f'{m[1]}={"hmac-md5-96" if word == "alg" else int(m[2]) + 2}', text)
        if header == 'Security-Verify':
            first.verify = other(first.verify)
        else:
            first.client = other(first.client)
        ue.send(ue.text_of('REGISTER', first, *ue.headers(first, first)), first)
        first.client, first.verify = ours, theirs
        ue.confirm(first)
        equal(len([m for m in core.heard if m.method == 'REGISTER']), 1, 'how many the S-CSCF has heard')


@case('VERIFY', 'over a set that no 200 OK has confirmed, MESSAGE is dropped')
def temporary():
    with Core() as core, OpenSips(), phone() as ue:
        first = Set(5000)
        ue.challenge(first)
        ue.send(ue.text_of('MESSAGE', first), first)
        ue.confirm(first)
        ue.talk(first)
        equal(len([m for m in core.heard if m.method == 'MESSAGE']), 1, 'how many the S-CSCF has heard')


def not_taken(core, ue, over, *headers, **more):
    """A REGISTER over a set that the S-CSCF does not hear; what comes over the set next is behind it."""
    core.heard.clear()
    ue.send(ue.text_of('REGISTER', over, *headers, **more), over)
    ue.talk(over)
    equal([m for m in core.heard if m.method == 'REGISTER'], [], 'the REGISTER at the S-CSCF')


@case('VERIFY', 'a REGISTER over a set with a second Authorization, of another subscriber, is dropped', ours=True)
def second_authorization():
    with Core() as core, OpenSips(), phone() as ue:
        first = Set(5000)
        ue.sign_up(first)
        ue.talk(first)
        headers = ue.headers(first, first)
        not_taken(core, ue, first, headers[0], headers[0].replace(UE1, UE2), *headers[1:])
        equal(ue.register(first, first).status, '200', 'the answer to its own')


@case('VERIFY', 'a phone has registered without Authorization: a REGISTER over its set for another subscriber is dropped', ours=True)
def unnamed():
    with Core() as core, OpenSips(), phone() as ue:
        first = Set(5000)
        ue.agree(first, ue.request('REGISTER', None, *ue.headers(first, None)[1:]))
        ue.confirm(first)
        ue.talk(first)
        not_taken(core, ue, first, *(x.replace(UE1, UE2) for x in ue.headers(first, first)), user=UE2, to=UE2)
        equal(ue.register(first, first).status, '200', 'the answer to its own')


@case('VERIFY', 'integrity-protected that a phone writes {} does not get to the S-CSCF', each=('over a set', 'in clear'), ours=True)
def forged(how):
    with Core() as core, OpenSips(), phone() as ue:
        first = Set(5000)
        over = None
        if how == 'over a set':
            ue.challenge(first)
            over = first
        core.answer = lambda m: core.reply(m, '403 Forbidden')
        core.heard.clear()
        # No answer to the challenge
        auth, *headers = ue.headers(first, None, verify=over)
        got = ue.request('REGISTER', over, auth + ', integrity-protected=yes', auth + ', integrity-protected="yes"', *headers)
        equal(got.status, '403', 'the answer')
        heard = core.next(lambda m: m.method == 'REGISTER')
        equal([re.findall(r'integrity-protected="?(\w+)', x) for x in heard.all('Authorization')], [['no'] if over else []] * 2,
              'integrity-protected of each Authorization')


@case('CLEAR', 'the set of a contact has gone: nothing for the phone leaves a protected port in clear', ours=True)
def no_set():
    with Core() as core, OpenSips(), phone() as ue:
        first = Set(5000)
        ue.sign_up(first)
        core.later.add('MESSAGE')
        ue.send(ue.text_of('MESSAGE', first), first)
        heard = core.next(lambda m: m.method == 'MESSAGE')
        World.nl.do('bundle-del', id=bundle()['id'])
        World.wire.seen()
        # The answer to the phone, and a request for it
        core.reply_to(heard, '200 OK')
        core.request('MESSAGE', call='gone')
        core.request('OPTIONS', uri=f'sip:{P4}', call='behind')
        equal(core.next(lambda m: m.status and m['Call-ID'] == 'behind').status, '200', 'the answer to OPTIONS')
        core.next(lambda m: m.status and m['Call-ID'] == 'gone' and m.status != '100', 60)
        # Nor from 5060
        all_in_esp(ue, (PS, *PC, first.port_c, first.port_s))


def not_sent(core, ue, over, call):
    """What the core has sent to a phone is refused, and is nowhere on the wire in clear."""
    core.request('OPTIONS', uri=f'sip:{P4}', call='behind')
    equal(core.next(lambda m: m.status and m['Call-ID'] == 'behind').status, '200', 'the answer to OPTIONS')
    all_in_esp(ue, (PS, *PC, over.port_s, over.port_c))
    core.next(lambda m: m.status and m['Call-ID'] == call and 'OPTIONS' not in m['CSeq'] and m.status != '100', 60)
    all_in_esp(ue, (PS, *PC, over.port_s, over.port_c))


@case('CLEAR', 'the set of a phone has gone: {} in its dialog, whose contact is not the one that it registered, is not sent in clear',
      each=('NOTIFY', 'BYE'), ours=True)
def no_set_in_dialog(method):
    with Core() as core, OpenSips(), phone() as ue:
        first = Set(5000)
        ue.sign_up(first)
        first_of = 'SUBSCRIBE' if method == 'NOTIFY' else 'INVITE'
        got = final(ue, ue.request(first_of, first, 'Event: reg', 'Expires: 600', to='ue2@' + REALM, contact=ue.contact(first).replace('>', ';ob>')))
        equal(got.status, '200', f'the answer to {first_of}')
        World.nl.do('bundle-del', id=bundle()['id'])
        World.wire.seen()
        core.within(core.next(lambda m: m.method == first_of), method)
        not_sent(core, ue, first, ue.call_id)


@case('CLEAR', 'OpenSIPS is started again, its contacts are in a database, and the set of one has gone: what is for it is not sent in clear', ours=True)
def no_set_restarted():
    with tempfile.TemporaryDirectory() as folder, Core() as core, OpenSips(database=make_database(folder + '/db')) as server, phone() as ue:
        first = Set(5000)
        ue.sign_up(first)
        server.stop()
        World.nl.do('bundle-del', id=bundle()['id'])
        server.start()
        World.wire.seen()
        core.request('MESSAGE', call='gone')
        not_sent(core, ue, first, 'gone')


@case('CLEAR', 'the script sends to the core without $socket_out: it leaves from 5060, and everything to the phone is in ESP, {}', each=CALLS)
def unforced(how):
    with Core() as core, OpenSips(fam=how[1], forced=False), phone(*how) as ue:
        first = Set(5000)
        World.wire.seen()
        ue.challenge(first)
        ue.confirm(first)
        equal(final(ue, ue.request('MESSAGE', first)).status, '200', 'the answer to MESSAGE')
        heard = core.next(lambda m: m.method == 'MESSAGE')
        equal((heard.source, via_port(heard)), (5060, 5060), 'source port and Via at the S-CSCF')
        asked(core, ue, first)
        all_in_esp(ue)


@case('SOCKET', 'the script sends to a phone with $socket_out = "ipsec:…"')
def socket_out():
    with Core() as core, OpenSips('OUT_IPSEC'), phone() as ue:
        first = Set(5000)
        ue.sign_up(first)
        World.wire.seen()
        asked(core, ue, first)
        all_in_esp(ue)


# --- Sides, families, ends

@case('SIDES', 'Gm and core have addresses and interfaces of their own: what comes from a phone leaves by the core\'s')
def two_sides():
    with Core() as core, OpenSips(clear=(P4, CORE_P), addresses=(P4,), out=CORE_P), phone() as ue:
        first = Set(5000)
        ue.sign_up(first)
        ue.talk(first)
        heard = core.next(lambda m: m.method == 'MESSAGE')
        equal((heard.host, heard.source), (CORE_P, 5060), 'where the request came from')
        asked(core, ue, first, to=(CORE_P, 5060))


@case('SIDES', 'two Gm addresses: a phone at each is sent to from its own')
def two_gm():
    second = '192.0.2.11'
    mac = World.p.ip('link show p0').split('link/ether ')[1].split()[0]
    World.p.ip(f'addr add {second}/24 dev p0')
    World.u.ip(f'neigh replace {second} lladdr {mac} dev u0 nud permanent')
    World.core.ip(f'route add {second}/32 via {CORE_P}')
    try:
        with Core() as core, more_addresses([OTHER]), OpenSips(addresses=(P4, second)), phone() as one, Phone(UE2, address=OTHER) as other:
            other.p = second
            each_is_itself(core, [(one, Set(5000)), (other, Set(5010))])
    finally:
        World.p.ip(f'addr del {second}/24 dev p0')
        World.core.ip(f'route del {second}/32')


@case('SIDES', 'all is IPv6: a registration, a request of a phone and one to it')
def ipv6_alone():
    with Core(CORE6) as core, OpenSips(addresses=(P6,), core=CORE6), phone('UDP', 'IPv6') as ue:
        first = Set(5000)
        ue.sign_up(first)
        World.wire.seen()
        ue.talk(first)
        heard = core.next(lambda m: m.method == 'MESSAGE')
        equal((heard.source, via_port(heard)), (5060, 5060), 'source port and Via at the S-CSCF')
        asked(core, ue, first, to=(P6, 5060))
        all_in_esp(ue)


@case('EXPIRY', 'a registration that is not refreshed: its set ends, and nothing is in clear')
def expiry():
    with Core() as core, OpenSips() as server, phone() as ue:
        first = Set(5000)
        ue.challenge(first)
        World.wire.seen()
        # mid_registrar makes ten seconds of less
        ue.confirm(first, expires=10)
        asked(core, ue, first)
        wait(lambda: not server.contacts(), 'its contact goes', 60)
        if OURS:
            equal(states(), {5000: 'active'}, 'the set, whose time runs in the kernel')
        core.request('MESSAGE', call='late')
        equal(core.next(lambda m: m.status and m['Call-ID'] == 'late' and m.status != '100').status, '404', 'the answer to what comes for it then')
        wait(lambda: not World.p.count(), 'its SAs go', 90)
        all_in_esp(ue)


@case('CAPABILITY', 'user nobody {} CAP_NET_ADMIN: no phone is challenged without SAs', each=('without', 'with'))
def capability(what):
    if what == 'without':
        with OpenSips(prefix=NOBODY, ready=not OURS) as server:
            if OURS:
                wait(lambda: server.process.poll() is not None, 'OpenSIPS ends', 60)
                check(server.said('CAP_NET_ADMIN'), 'it does not say what it needs')
                return
            # What it does instead
            with Core(), Phone() as ue:
                got = ue.register(Set(5000))
                check(not got['Security-Server'] or World.p.count(), 'the 401 has a Security-Server, and there is no SA')
        return
    with Core() as core, OpenSips(prefix=CAPABLE), phone() as ue:
        first = Set(5000)
        ue.sign_up(first)
        ue.talk(first)
        asked(core, ue, first)


@case('CHECK', 'opensips -C reads the configuration, and asks the kernel for nothing')
def check_config():
    with OpenSips() as server:
        server.stop()
        wait(lambda: not in_use(PS), 'its sockets have gone')
        before = World.nl.dump('endpoint-get') if OURS else []
        for ep in before:
            World.nl.do('endpoint-del', id=ep['id'], force=True)
        with World.p:
            done = subprocess.run([*NOBODY, server.folder + '/opensips', '-C', '-f', server.work + '/pcscf.cfg'], stdout=subprocess.PIPE,
                                  stderr=subprocess.STDOUT, text=True, check=False, timeout=60)
        equal(done.returncode, 0, f'opensips -C: {done.stdout[-500:]}')
        equal(World.nl.dump('endpoint-get'), [], 'endpoints')


@case('RESTART', 'OpenSIPS ends by {} and is started again, its contacts are in a database: a phone goes on at once', each=('SIGTERM', 'kill -9'))
def restart(how):
    with tempfile.TemporaryDirectory() as folder, Core() as core:
        database = make_database(folder + '/db')
        with OpenSips(database=database) as server, phone() as ue:
            first = Set(5000)
            ue.sign_up(first)
            ue.talk(first)
            (server.stop if how == 'SIGTERM' else server.kill)()
            if OURS:
                equal(states(), {5000: 'active'}, 'the sets while there is no OpenSIPS')
            server.start()
            World.wire.seen()
            asked(core, ue, first)
            ue.talk(first)
            equal(ue.register(first, first).status, '200', 'the answer to a refresh')
            asked(core, ue, first, call='refreshed')
            equal(final(ue, ue.register(first, first, expires=0)).status, '200', 'the answer to the de-registration')
            all_in_esp(ue)


@case('RESTART', 'OpenSIPS ends by {} and is started again without a database: a phone goes on when it refreshes', each=('SIGTERM', 'kill -9'))
def restart_without(how):
    with Core() as core, OpenSips() as server, phone() as ue:
        first = Set(5000)
        ue.sign_up(first)
        ue.talk(first)
        (server.stop if how == 'SIGTERM' else server.kill)()
        server.start()
        World.wire.seen()
        equal(ue.register(first, first).status, '200', 'the answer to a refresh')
        ue.talk(first)
        asked(core, ue, first)
        all_in_esp(ue)


@case('RESTART', 'the host is started again: a contact of the database with the numbers of another phone\'s new set goes, and that set stays', ours=True)
def numbers_anew():
    # The first set of each life has the same numbers
    load_anew()
    with tempfile.TemporaryDirectory() as folder, Core() as core, more_addresses([OTHER]), OpenSips(database=make_database(folder + '/db')) as server, \
            phone() as one, Phone(UE2, address=OTHER) as other:
        first, second, third = Set(5000), Set(5000), Set(5010)
        one.sign_up(first)
        was = bundle()
        server.stop()
        load_anew()
        server.start()
        other.sign_up(second)
        now = bundle()
        equal((now['id'], now['registration']), (was['id'], was['registration']), 'the numbers of both sets')
        one.challenge(third)
        equal(final(one, one.register(third, third, expires=0)).status, '200', 'the answer to the de-registration')
        wait(lambda: server.contacts() == 1, 'its contact goes')
        b = World.nl.do('bundle-get', id=now['id'])
        check(b['state'] in ('established', 'active') and b['lifetime'] > 60000, f'the set of the other is {b["state"]} for {b["lifetime"]} ms')
        other.talk(second)
        asked(core, other, second, impi=UE2)


@case('RESTART', 'OpenSIPS is killed: the protected ports stay shut, and nothing of a phone that has gone stays')
def killed():
    with Core(), OpenSips(parameters={'temporary_timeout': 5}) as server, phone() as ue:
        ue.challenge(Set(5000))
        check(World.p.count(), 'there are no SAs')
        server.kill()
        listener = World.p.udp(P4, PS)
        with listener, World.u.udp(ue.address, 7000) as s:
            s.sendto(b'x', (ue.p, PS))
            check(not select.select([listener], [], [], 1)[0], 'port_ps is open to what comes in clear')
        wait(lambda: not World.p.count(), 'its SAs go', 30)


@case('GONE', '{}: a phone registers as before', each=('the endpoint is deleted', 'the kernel module is unloaded and loaded'), ours=True)
def gone(what):
    with Core() as core, OpenSips():
        with phone() as ue:
            ue.sign_up(Set(5000))
        if what == 'the endpoint is deleted':
            ep, = World.nl.dump('endpoint-get')
            World.nl.do('endpoint-del', id=ep['id'], force=True)
        else:
            load_anew()
        wait(lambda: World.nl.dump('endpoint-get'), 'the endpoint is there again', 20)
        with phone() as ue:
            second = Set(5002)
            ue.sign_up(second)
            ue.talk(second)
            asked(core, ue, second)


@contextlib.contextmanager
def loaded_with(*parameters):
    """The kernel module meanwhile."""
    load_anew(*parameters)
    try:
        yield
    finally:
        load_anew()


def load_beneath(*parameters):
    """The kernel module anew, while OpenSIPS runs and has no phones."""
    load_anew(*parameters)
    wait(lambda: World.nl.dump('endpoint-get'), 'the endpoint is there again', 20)


@case('GONE', 'the kernel module is loaded anew, with a mark_mask where there was none: phones behind NATs with one inner address are told apart',
      ours=True)
def marks_anew():
    with loaded_with('mark_mask=0'), nats(2) as (left, right), Core() as core, OpenSips(parameters={'nat_traversal': 1}), \
            NattedPhone(left) as one, NattedPhone(right, UE2) as other:
        load_beneath()
        each_is_itself(core, [(one, Set(5000, more=';mod=UDP-enc-tun')), (other, Set(5010, more=';mod=UDP-enc-tun'))])


@case('GONE', 'the kernel module is loaded anew, without a mark_mask where there was one: a phone registers as before', ours=True)
def marks_no_more():
    with loaded_with(), Core() as core, OpenSips(), phone() as ue:
        load_beneath('mark_mask=0')
        first = Set(5000)
        ue.sign_up(first)
        ue.talk(first)
        asked(core, ue, first)


@case('GONE', 'the kernel module is unloaded and loaded: contacts that were counted before do not keep a set with the same numbers', ours=True)
def counted_anew():
    load_anew()
    with Core(), OpenSips() as server, phone() as ue:
        first, second = Set(5000), Set(5002)
        ue.sign_up(first)
        uri = 'tel-' + UE1
        equal(ue.register(first, first, to=uri).status, '200', 'the answer to REGISTER of a second identity')
        was = bundle()
        load_beneath()
        ue.sign_up(second)
        now = bundle()
        equal((now['id'], now['registration']), (was['id'], was['registration']), 'the numbers of both sets')
        equal(final(ue, ue.register(second, second, expires=0)).status, '200', 'the answer to the de-registration')
        wait(lambda: server.contacts() == 1, 'its contact goes')
        equal(states(), {5002: 'old'}, 'the set')


@contextlib.contextmanager
def at_inner_address():
    """A phone without a NAT can be where those behind NATs say that they are."""
    address = INNER['IPv4']
    World.u.ip(f'addr add {address}/32 dev lo')
    try:
        yield address
    finally:
        World.u.ip(f'addr del {address}/32 dev lo')


@case('NAT', 'a phone behind a NAT registers, calls and is called, also when the NAT has another port for it, {}', each=FAMILIES, ours=True)
def behind_nat(fam):
    with one_nat() as nat, Core() as core, OpenSips(fam=fam, parameters={'nat_traversal': 1}), NattedPhone(nat, fam=fam) as ue:
        first = Set(5000, more=';mod=UDP-enc-tun')
        ue.sign_up(first)
        World.wire.seen()
        ue.talk(first)
        asked(core, ue, first)
        b = bundle()
        equal((b['mode'], b['ue-address'], b['ue-nat-address'], b['state']), ('udp-enc-tun', ue.address, nat.outside[fam], 'active'), 'the set')
        nat.rebind(30001)
        ue.talk(first)
        equal(World.nl.do('bundle-get', id=b['id'])['ue-nat-port'], 30001, 'the port of the NAT')
        asked(core, ue, first, call='rebound')
        all_in_esp(ue)


@case('NAT O/NAT-TCP', 'a phone behind a NAT registers, calls and is called over TCP, with net.ipv4.tcp_fwmark_accept, {}', each=FAMILIES, ours=True)
def behind_nat_tcp(fam):
    with one_nat() as nat, World.p.sysctl(ipv4__tcp_fwmark_accept=1), Core() as core, OpenSips(fam=fam, parameters={'nat_traversal': 1}), \
            NattedTcpPhone(nat, fam=fam) as ue:
        first = Set(5000, more=';mod=UDP-enc-tun')
        ue.sign_up(first)
        World.wire.seen()
        equal(final(ue, ue.request('MESSAGE', first)).status, '200', 'the answer to MESSAGE')
        asked(core, ue, first)
        equal(bundle()['mode'], 'udp-enc-tun', 'the mode of the set')
        all_in_esp(ue)


@case('NAT', 'two phones behind two NATs have the same inner address and ports: each has what is for it, {}', each=FAMILIES, ours=True)
def same_inner(fam):
    with nats(2) as (left, right), Core() as core, OpenSips(fam=fam, parameters={'nat_traversal': 1}), NattedPhone(left, UE1, fam) as one, \
            NattedPhone(right, UE2, fam) as other:
        sets = [(one, Set(5000, more=';mod=UDP-enc-tun')), (other, Set(5010, more=';mod=UDP-enc-tun'))]
        for ue, over in sets:
            ue.sign_up(over)
        World.wire.seen()
        for n in range(2):
            for ue, over in sets:
                ue.talk(over)
                asked(core, ue, over, impi=ue.impi, call=f'{n}-{ue.impi}')
        all_in_esp(one)


@case('NAT', 'of two phones with one inner address, {}: each has what is for it',
      each=('one has two identities and ends the second', 'the other has registered its contact and ended that'), ours=True)
def same_inner_leaves(what):
    with nats(2) as (left, right), Core() as core, OpenSips(parameters={'nat_traversal': 1}), NattedPhone(left) as one, NattedPhone(right, UE2) as other:
        sets = [(one, Set(5000, more=';mod=UDP-enc-tun')), (other, Set(5010, more=';mod=UDP-enc-tun'))]
        for ue, over in sets:
            ue.sign_up(over)
        uris = dict(core.contacts)
        (_, first), (_, second) = sets
        for expires in (600, 0):
            if what.startswith('one'):
                got = one.register(first, first, expires=expires, to='tel-' + UE1)
            else:
                got = other.register(second, second, expires=expires, contact=one.contact(first))
            equal(got.status, '200', 'the answer to REGISTER')
        World.wire.seen()
        for ue, over in sets:
            ue.talk(over)
            asked(core, ue, over, impi=ue.impi, uri=uris[ue.impi], call=ue.impi)
        equal(states(), {5000: 'active', 5010: 'active'}, 'the sets')
        all_in_esp(one)


def same_contact(core, one, other):
    """Two phones have registered, and the second has the first one's contact; (phone, set, the contact as the S-CSCF has it) of each."""
    first, second = Set(5000, more=';mod=UDP-enc-tun'), Set(5010, more=';mod=UDP-enc-tun')
    one.sign_up(first)
    other.challenge(second)
    other.confirm(second, contact=one.contact(first))
    return (one, first, core.contacts[one.impi]), (other, second, core.contacts[other.impi])


@case('NAT', 'two phones behind two NATs have one inner address and one contact: a request goes to the one that {} names',
      each=('To', 'P-Called-Party-ID'), ours=True)
def same_contact_called(header):
    with nats(2) as (left, right), Core() as core, OpenSips(parameters={'nat_traversal': 1}), NattedPhone(left) as one, NattedPhone(right, UE2) as other:
        phones = same_contact(core, one, other)
        World.wire.seen()
        for n, (ue, over, uri) in enumerate(phones * 2):
            to = {'impi': ue.impi} if header == 'To' else {'impi': 'forwarded@' + REALM, 'more': [f'P-Called-Party-ID: <sip:{ue.impi}>']}
            asked(core, ue, over, uri=uri, call=f'same-{n}', **to)
        all_in_esp(one)


@case('NAT', 'two phones behind two NATs have one inner address and one contact: a request that names neither gets to neither', ours=True)
def same_contact_of_nobody():
    with nats(2) as (left, right), Core() as core, OpenSips(parameters={'nat_traversal': 1}) as server, NattedPhone(left) as one, \
            NattedPhone(right, UE2) as other:
        phones = same_contact(core, one, other)
        World.wire.seen()
        with core.final_of('nobody') as final_answer:
            core.request('MESSAGE', 'forwarded@' + REALM, uri=phones[0][2], call='nobody')
            got = final_answer()
        check(got.status[0] in '45', f'the answer is {got.status}')
        check(server.said('which phone it is cannot be told'), 'the log says so')
        # What comes behind it
        for ue, over, uri in phones:
            asked(core, ue, over, impi=ue.impi, uri=uri, call=ue.impi)
            check(not [m for m in ue.heard if m['Call-ID'] == 'nobody'], f'it came to {ue.impi}')
        all_in_esp(one)


@case('NAT', "a phone comes from the inner address of one behind a NAT, with the same port_us, and has a TCP connection: the other's is not sent over it",
      ours=True)
def same_inner_tcp():
    with one_nat() as nat, World.p.sysctl(ipv4__tcp_fwmark_accept=1), at_inner_address() as inner, Core() as core, \
            OpenSips(parameters={'nat_traversal': 1, 'default_client_port': PC[0]}) as server, \
            NattedTcpPhone(nat, UE2) as other, TcpPhone(UE1, address=inner) as one:
        first, second = Set(5000), Set(5010, 6303, 6300, more=';mod=UDP-enc-tun')
        other.sign_up(second)
        one.sign_up(first)
        # Both have the same port of the P-CSCF, or the connection would be another one anyhow
        equal(*(b['port-pc'] for b in World.nl.dump('bundle-get')), 'port_pc of both')
        asked(core, one, first)
        World.wire.seen()
        with core.final_of('other') as final_answer:
            core.request('MESSAGE', UE2, call='other')
            got = final_answer()
        check(got.status[0] in '45', f'the answer is {got.status}')
        asked(core, one, first, call='again')
        check(not [m for m in one.heard if m['Call-ID'] == 'other'], "the other one's MESSAGE came")
        check(server.said('another phone behind a NAT has TCP there'), 'the log says so')
        all_in_esp(one)


# --- Each field of $ipsec and $ipsec_ue, on a REGISTER and on a MESSAGE

FIELDS = ('ik', 'ck', 'alg', 'ealg', 'ip', 'spi-c', 'spi-s', 'port-c', 'port-s')


@functools.lru_cache
def shown():
    """What the log has for the messages of one phone: {(method, variable): {field: value}}, and what is right."""
    with Core() as core, OpenSips() as server, phone() as ue:
        first = Set(5000, ealg='aes-cbc')
        ue.sign_up(first)
        ue.talk(first)
        asked(core, ue, first)
        out = {}
        wait(lambda: server.said('test: MESSAGE') and server.said(f'test: 200 to MESSAGE from {ue.address}'), 'the log has them')
        for line in server.lines():
            m = re.search(r'test: (\w+) (\d+) (ipsec(?:_ue)?) (.*)', line)
            # The REGISTER in clear and the MESSAGE of the core have none
            if m and m[2] != '1':
                out.setdefault((m[1], m[3]), {}).update(x.split('=', 1) for x in m[4].split())
        reply = next(x for x in server.lines() if f'test: 200 to MESSAGE from {ue.address}' in x)
        out['reply'] = {'alg': re.search(r'ipsec alg=([^,]*)', reply)[1], 'spi-c': re.search(r'ipsec_ue spi-c=(.*)', reply)[1]}
        ck, ik = (x.hex() for x in first.keys)
        same = {'ik': ik, 'ck': ck, 'alg': 'hmac-sha-1-96', 'ealg': 'aes-cbc', 'mode': 'trans', 'owner': UE1}
        if OURS:
            b = bundle()
            same.update(id=str(b['id']), contact=b['contact'].decode())
        right = {'ipsec': {**same, 'ip': ue.p, **{x: first.server[x] for x in FIELDS[-4:]}},
                 'ipsec_ue': {**same, 'ip': ue.address, **{x: first.mine[x] for x in FIELDS[-4:]}}}
        return out, right


def field(method, variable, name):
    got, right = shown()
    equal(got[method, variable].get(name), right[variable][name], f'${variable}({name})')


@case('FIELD', '$ipsec({}) of a REGISTER over a set', each=FIELDS)
def field_ipsec(name):
    field('REGISTER', 'ipsec', name)


@case('FIELD', '$ipsec_ue({}) of a REGISTER over a set', each=FIELDS)
def field_ipsec_ue(name):
    field('REGISTER', 'ipsec_ue', name)


@case('FIELD', '$ipsec({}) of a MESSAGE', each=FIELDS)
def field_message(name):
    field('MESSAGE', 'ipsec', name)


@case('FIELD', '$ipsec_ue({}) of a MESSAGE', each=FIELDS)
def field_message_ue(name):
    field('MESSAGE', 'ipsec_ue', name)


@case('FIELD', '${} of a REGISTER and of a MESSAGE', ours=True,
      each=tuple(f'{v}({x})' for v in ('ipsec', 'ipsec_ue') for x in ('mode', 'id', 'owner', 'contact')))
def field_more(name):
    variable, _, x = name.rstrip(')').partition('(')
    for method in ('REGISTER', 'MESSAGE'):
        field(method, variable, x)


@case('FIELD', '${}(state)', each=('ipsec', 'ipsec_ue'), ours=True)
def field_state(variable):
    got, _ = shown()
    equal(got['REGISTER', variable]['state'], 'temporary', 'of the first REGISTER over the set')
    check(got['MESSAGE', variable]['state'] in ('established', 'active'), f"of a MESSAGE: {got['MESSAGE', variable]['state']}")


@case('FIELD', '$ipsec and $ipsec_ue of an answer of the phone')
def field_answer():
    got, right = shown()
    equal(got['reply'], {'alg': right['ipsec']['alg'], 'spi-c': right['ipsec_ue']['spi-c']}, 'of the 200 OK to MESSAGE')


# --- What the user location has for each contact

KEYS = ('ik', 'ck', 'alg', 'ealg', 'impi', 'impu', 'spi_pc', 'spi_ps', 'spi_uc', 'spi_us', 'port_pc', 'port_uc', 'port_us')


@functools.lru_cache
def stored():
    """The keys of one phone's contact, and what is right."""
    with Core(), OpenSips() as server, phone() as ue:
        first = Set(5000, ealg='aes-cbc')
        ue.sign_up(first)
        text = json.dumps(server.rpc('ul_dump'))
        got = json.loads(json.loads('"' + re.search(r'"KV-Store": "((?:[^"\\]|\\.)*)"', text)[1] + '"'))
        ck, ik = (x.hex() for x in first.keys)
        right = {'ik': ik, 'ck': ck, 'alg': 'hmac-sha-1-96', 'ealg': 'aes-cbc', 'impi': UE1, 'impu': 'sip:' + UE1}
        for side, values in (('p', first.server), ('u', first.mine)):
            for end in ('c', 's'):
                for name in ('spi', 'port'):
                    right[f'{name}_{side}{end}'] = int(values[f'{name}-{end}'])
        if OURS:
            b = bundle()
            right.update(bundle=b['id'], registration=b['registration'])
        return got, right


@case('KEY', 'ipsec.{} of a contact in usrloc', each=KEYS)
def key(name):
    got, right = stored()
    equal(got.get('ipsec.' + name), right[name], 'ipsec.' + name)


@case('KEY', 'ipsec.bundle of a contact in usrloc: the number of the set in the kernel', ours=True)
def key_bundle():
    key('bundle')


@case('KEY', 'ipsec.registration of a contact in usrloc: that of the set', ours=True)
def key_registration():
    key('registration')


# --- What an operator sees

STATISTICS = ('endpoints', 'registrations', 'bundles', 'pending', 'nat_bundles', 'max_bundles', 'created', 'refused', 'confirmed', 'activated',
              'superseded', 'expired', 'deleted')


@functools.lru_cache
def counted():
    """Statistics before and after a phone has registered and re-registered, another has only been challenged, and one set was deleted; and
    the kernel's own."""
    def read(server):
        got = server.rpc('get_statistics', ['proto_ims_ipsec:'])
        return {k.rpartition(':')[2]: int(v) for k, v in got.items()}
    with Core() as core, OpenSips() as server, phone() as ue:
        first, second = Set(5000), Set(5002, 6303, 6302)
        old = read(server)
        ue.sign_up(first)
        ue.talk(first)
        core.challenge.add(UE1)
        ue.challenge(second, over=first)
        ue.confirm(second)
        ue.talk(second)
        with Phone(UE2) as other:
            other.challenge(Set(6000, 6401, 6400))
        new = read(server)
        return old, new, World.nl.do('stats-get')


@case('STATISTIC', 'proto_ims_ipsec:{}', each=STATISTICS, ours=True)
def statistic(name):
    old, new, kernel = counted()
    equal(new[name], kernel[name.replace('_', '-')], f'{name}, and of the kernel')
    grown = {'registrations': 2, 'bundles': 3, 'pending': 1, 'created': 3, 'confirmed': 2, 'activated': 2, 'superseded': 1}
    equal(new[name] - old[name], grown.get(name, 0), f'by how much {name} has grown')


@case('MI', 'ims_ipsec:list, all and of a subscriber', ours=True)
def mi_list():
    with Core(), OpenSips() as server, phone() as ue:
        first = Set(5000)
        ue.sign_up(first)
        ue.talk(first)
        b = bundle()
        for got in (server.rpc('ims_ipsec:list'), server.rpc('ims_ipsec:list', UE1)):
            one, = got
            equal({k: one[k] for k in ('id', 'owner', 'state', 'ue', 'mode', 'alg', 'ealg', 'port-uc', 'port-us', 'spi-ps', 'spi-pc')},
                  {'id': b['id'], 'owner': UE1, 'state': 'active', 'ue': ue.address, 'mode': 'trans', 'alg': 'hmac-sha-1-96', 'ealg': 'null',
                   'port-uc': 6301, 'port-us': 6300, 'spi-ps': b['spi-ps'], 'spi-pc': b['spi-pc']}, 'the set')
        equal(server.rpc('ims_ipsec:list', UE2), [], 'the sets of another one')


def not_answered(server, *words):
    """The error that a command gives."""
    try:
        got = server.rpc(*words)
    except Fail as e:
        return str(e)
    raise Fail(f'{words} gives {got}')


@case('MI', 'ims_ipsec:list of more than 50 sets: all at once are refused, and page by page each is there once', ours=True)
def mi_pages():
    with OpenSips(parameters={'temporary_timeout': 300}) as server:
        ep, = World.nl.dump('endpoint-get')
        made = [ims.bundle(ep, owner=(UE2 if i % 50 == 49 else UE1).encode(), ue_address=f'192.0.2.{i + 100}')['id'] for i in range(130)]
        why = not_answered(server, 'ims_ipsec:list')
        check('more than 50' in why and 'from' in why, f'the answer is {why}')
        equal(len(server.rpc('ims_ipsec:list', UE2)), 2, 'the sets of a subscriber')
        got, start = [], 0
        while True:
            page = server.rpc('ims_ipsec:list', '', start)
            check(len(page) <= 50, f'{len(page)} sets in a page')
            if not page:
                break
            got += [x['id'] for x in page]
            start = page[-1]['id'] + 1
        equal(got, sorted(made), 'the sets of all pages')
        equal([x['id'] for x in server.rpc('ims_ipsec:list', UE2, made[50])], [made[99]], 'the sets of a subscriber from a number on')
        check('from' in not_answered(server, 'ims_ipsec:list', '', -1), 'what a page from -1 gives')


@case('MI', 'ims_ipsec:trace, all and of a phone', ours=True)
def mi_trace():
    with Core(), OpenSips() as server, phone() as ue:
        ue.sign_up(Set(5000))
        with World.u.udp(ue.address, 7000) as s:
            s.sendto(b'in clear', (ue.p, PS))
        for got in (server.rpc('ims_ipsec:trace'), server.rpc('ims_ipsec:trace', ue.address)):
            drops = [x for x in got if x.get('source-port') == 7000 and x.get('destination-port') == PS]
            check(drops, f'the drop is not in {got}')
        equal(server.rpc('ims_ipsec:trace', '192.0.2.99'), [], 'what is of another phone')


@case('EVENT', 'E_IMS_IPSEC tells what becomes of a set, with {}', each=('type', 'reason', 'id', 'owner', 'contact', 'ue'), ours=True)
def event(name):
    told, b, address = events()
    right = {'id': str(b['id']), 'owner': UE1, 'contact': b['contact'].decode(), 'ue': address}
    if name in right:
        equal({x[name] for x in told}, {right[name]}, name)
    else:
        got = [x[name] for x in told]
        check(all(got) and (name == 'reason' or len(set(got)) > 1), f'{name}: {got}')


@functools.lru_cache
def events():
    """Those of a phone that registers, and leaves."""
    names = ('type', 'reason', 'id', 'owner', 'contact', 'ue')
    with Core(), OpenSips(event='E_IMS_IPSEC', fields=names) as server, phone() as ue:
        first = Set(5000)
        ue.sign_up(first)
        ue.talk(first)
        b = bundle()
        ue.register(first, first, expires=0)

        def told():
            lines = [x.partition('test: event E_IMS_IPSEC ')[2] for x in server.lines() if 'test: event E_IMS_IPSEC ' in x]
            return [dict(w.split('=', 1) for w in x.split(' ')) for x in lines]
        wait(lambda: len(told()) >= 3, 'events')
        return told(), b, ue.address


# --- Each parameter

@case('PARAMETER O/PORT', 'port: that of an ipsec socket without one')
def port():
    with Core() as core, OpenSips(sockets=[f'ipsec:{P4}', f'ipsec:{P4}:{PS}'], parameters={'port': 5101}), phone() as ue:
        first = Set(5000)
        ue.sign_up(first)
        equal(first.server['port-c'], '5101', 'port-c of Security-Server')
        asked(core, ue, first)


@case('PARAMETER', 'min_spi and max_spi{}', each=('', ', reversed'))
def spis(how):
    low, high = 10000, 10999
    given = (high, low) if how else (low, high)
    with Core(), OpenSips(parameters=dict(zip(('min_spi', 'max_spi'), given))), phone() as ue:
        first = Set(5000)
        ue.sign_up(first)
        got = [int(first.server[x]) for x in ('spi-c', 'spi-s')]
        check(all(low <= x <= high for x in got), f'the SPIs are {got}')
        if OURS:
            config = World.nl.do('config-get')
            equal((config['min-spi'], config['max-spi']), (low, high), 'min_spi and max_spi of the kernel')


@case('PARAMETER', 'min_spi below 256: SPIs begin at 256 (RFC 4303)')
def low_spi():
    with Core(), OpenSips(parameters={'min_spi': 1, 'max_spi': 300}), phone() as ue:
        first = Set(5000)
        ue.sign_up(first)
        got = [int(first.server[x]) for x in ('spi-c', 'spi-s')]
        check(all(256 <= x <= 300 for x in got), f'the SPIs are {got}')


@case('PARAMETER', 'temporary_timeout, in seconds: a set that nobody confirms goes')
def temporary_timeout():
    with Core(), OpenSips(parameters={'temporary_timeout': 4}), phone() as ue:
        start = time.monotonic()
        ue.challenge(Set(5000))
        equal(World.p.count(), 4, 'SAs')
        wait(lambda: not World.p.count(), 'its SAs go', 30)
        check(time.monotonic() - start > 3.5, f'they went after {time.monotonic() - start:.1f} s')
        if OURS:
            equal(World.nl.do('config-get')['temporary-timeout'], 4000, 'milliseconds of the kernel')


@case('PARAMETER', 'default_client_port {}', each=PC)
def default_client_port(port_pc):
    with Core() as core, OpenSips(parameters={'default_client_port': port_pc}), phone() as ue:
        first = Set(5000)
        ue.sign_up(first)
        equal((first.server['port-s'], first.server['port-c']), (str(PS), str(port_pc)), 'the ports of Security-Server')
        asked(core, ue, first, ports=(port_pc,))


@case('PARAMETER', 'default_server_port {}', each=(PS, PC[0]))
def default_server_port(port_ps):
    with Core() as core, OpenSips(parameters={'default_server_port': port_ps}), phone() as ue:
        first = Set(5000)
        ue.sign_up(first)
        equal(first.server['port-s'], str(port_ps), 'port-s of Security-Server')
        asked(core, ue, first, ports=(int(first.server['port-c']),))


LISTS = {'hmac-md5-96=null': (('hmac-md5-96', 'null'),),
         'hmac-md5-96=aes-cbc,hmac-sha-1-96=null': (('hmac-md5-96', 'aes-cbc'), ('hmac-sha-1-96', 'null')),
         'hmac-md5-96': (('hmac-md5-96', 'aes-cbc'), ('hmac-md5-96', 'null')),
         'aes-cbc': (('hmac-sha-1-96', 'aes-cbc'), ('hmac-md5-96', 'aes-cbc'))}


def agreed(core, ue):
    """A phone that offers four pairs registers and talks; the pair that it was given."""
    first = ue.offer(Set(5000))
    ue.sign_up(first)
    ue.talk(first)
    asked(core, ue, first)
    return first.mine['alg'], first.mine['ealg']


@case('PARAMETER', 'allowed_algorithms {}', each=tuple(LISTS))
def allowed_algorithms(text):
    with Core() as core, OpenSips(parameters={'allowed_algorithms': text}), Chooses() as ue:
        got = agreed(core, ue)
        check(got in LISTS[text], f'the pair is {got}')


@case('PARAMETER', 'disable_deprecated_algorithms: none of hmac-md5-96, hmac-sha-1-96, des-ede3-cbc and aes-cbc is agreed on')
def disable_deprecated_algorithms():
    with Core(), OpenSips(parameters={'disable_deprecated_algorithms': 1}) as server, Chooses() as ue:
        got = ue.register(ue.offer(Set(5000)))
        equal(got.status, '401', 'the answer')
        equal(got['Security-Server'], None, 'Security-Server, where all that is offered is deprecated')
        check(server.created()[-1] < 0, f'ipsec_create() gave {server.created()}')
        ue.offered = (*Chooses.offered, ('null', 'aes-gcm'))
        got = ue.register(ue.offer(Set(5002)))
        check('ealg=aes-gcm' in (got['Security-Server'] or ''), f'Security-Server: {got["Security-Server"]}')


@case('PARAMETER', 'nat_traversal {}', each=(0, 1), ours=True)
def nat_traversal(value):
    with Core(), OpenSips(parameters={'nat_traversal': value}):
        equal({ep['nat-traversal'] for ep in World.nl.dump('endpoint-get')}, {value}, 'nat-traversal of the endpoints')


@case('PARAMETER', 'nat_port', ours=True)
def nat_port():
    with Core(), OpenSips(parameters={'nat_traversal': 1, 'nat_port': 4600}):
        equal({ep['nat-port'] for ep in World.nl.dump('endpoint-get')}, {4600}, 'nat-port of the endpoints')


@case('PARAMETER', 'hw_offload_interface: one that cannot, software does it', ours=True)
def hw_offload_interface():
    with Core() as core, OpenSips(parameters={'hw_offload_interface': 'p0'}), phone() as ue:
        first = Set(5000)
        ue.sign_up(first)
        asked(core, ue, first)
        ep, = World.nl.dump('endpoint-get')
        equal(ep['hw-offload-interface'], 'p0', 'hw-offload-interface of the endpoint')


@case('PARAMETER O/OFFLOAD', 'hw_offload_interface: one that can has the SAs', ours=True)
def hw_offload():
    if not Nic.is_for_this_kernel(NIC_KO_SMP):
        raise Skip('the interface that can is not built for this kernel')
    with Nic(ko=NIC_KO_SMP) as dev, Core() as core, OpenSips(parameters={'hw_offload_interface': dev.name}), phone() as ue:
        first = Set(5000, ealg='aes-cbc')
        ue.sign_up(first)
        ue.talk(first)
        asked(core, ue, first)
        b = bundle()
        on_device(dev, b)
        dev.has(b)
        World.nl.do('bundle-del', id=b['id'])


@case('PARAMETER', 'linger', ours=True)
def linger():
    with Core(), OpenSips(parameters={'linger': 50}), phone() as ue:
        first = Set(5000)
        ue.sign_up(first)
        ue.register(first, first, expires=0)
        b = bundle()
        check(b['state'] == 'old' and 40000 < b['lifetime'] <= 50000, f'the set is {b["state"]} for {b["lifetime"]} ms')


@case('PARAMETER', 'guard {}', each=('drop', 'reject', 'bypass'), ours=True)
def guard(mode):
    with Core(), OpenSips(parameters={'guard': mode}):
        equal({ep['guard'] for ep in World.nl.dump('endpoint-get')}, {mode}, 'guard of the endpoints')


@case('PARAMETER', 'mark_mask', ours=True)
def mark_mask():
    with Core() as core, OpenSips(parameters={'mark_mask': 0x00ffff00}), phone() as ue:
        equal(World.nl.do('config-get')['mark-mask'], 0x00ffff00, 'mark-mask of the kernel')
        first = Set(5000)
        ue.sign_up(first)
        ue.talk(first)
        asked(core, ue, first)


@case('PARAMETER', 'security_server {}', each=('single', 'list'), ours=True)
def security_server(value):
    with Core(), OpenSips(parameters={'security_server': value}), Chooses() as ue:
        got = ue.register(ue.offer(Set(5000)))
        n = len([x for h in got.all('Security-Server') for x in h.split(',')])
        check(n == 1 if value == 'single' else n > 1, f'Security-Server has {n} mechanisms')


# --- ipsec_create()

@case('ARGUMENT', 'ipsec_create(port_server)')
def argument_server():
    with Core() as core, OpenSips(parameters={'default_server_port': None}, arguments=str(PS)), phone() as ue:
        first = Set(5000)
        ue.sign_up(first)
        equal(first.server['port-s'], str(PS), 'port-s of Security-Server')
        asked(core, ue, first)


@case('ARGUMENT', 'ipsec_create(, port_client), {}', each=PC)
def argument_client(port_pc):
    with Core() as core, OpenSips(arguments=f', {port_pc}'), phone() as ue:
        first = Set(5000)
        ue.sign_up(first)
        equal(first.server['port-c'], str(port_pc), 'port-c of Security-Server')
        asked(core, ue, first, ports=(port_pc,))


@case('ARGUMENT', 'ipsec_create(, , algos): in place of allowed_algorithms')
def argument_algos():
    with Core() as core, OpenSips(parameters={'allowed_algorithms': 'hmac-sha-1-96=aes-cbc'}, arguments=', , "hmac-md5-96=null"'), Chooses() as ue:
        equal(agreed(core, ue), ('hmac-md5-96', 'null'), 'the pair')


@case('ARGUMENT', 'ipsec_create(port_server, port_client, algos)')
def argument_all():
    with Core() as core, OpenSips(parameters={'default_server_port': None}, arguments=f'{PS}, {PC[1]}, "hmac-md5-96=aes-cbc"'), Chooses() as ue:
        first = ue.offer(Set(5000))
        ue.sign_up(first)
        equal((first.server['port-s'], first.server['port-c'], first.mine['alg'], first.mine['ealg']),
              (str(PS), str(PC[1]), 'hmac-md5-96', 'aes-cbc'), 'ports and pair')
        asked(core, ue, first, ports=(PC[1],))


def refused(ue, server, new, value):
    got = ue.register(new)
    equal((got.status, got['Security-Server']), ('401', None), 'the 401 and its Security-Server')
    equal(server.created()[-1], value, 'what ipsec_create() gave')
    return got


@case('VALUE', 'ipsec_create() gives -1 to what is no 401')
def value_1():
    with Core() as core, OpenSips(condition='$rs == 403') as server, phone() as ue:
        first = Set(5000)
        core.answer = lambda m: core.reply(m, '403 Forbidden')
        equal(ue.register(first).status, '403', 'the answer')
        equal(server.created(), [-1], 'what ipsec_create() gave')


@case('VALUE', 'ipsec_create() gives -2 without {}', each=('a listener at that port', 'a pair in common'))
def value_2(what):
    arguments = '7000' if what == 'a listener at that port' else ', , "hmac-md5-96=aes-cbc"'
    with Core(), OpenSips(arguments=arguments) as server, phone() as ue:
        refused(ue, server, Set(5000), -2)
        equal(World.p.count(), 0, 'SAs')


@case('VALUE', 'ipsec_create() gives -3 without keys in the 401')
def value_3():
    with Core() as core, OpenSips() as server, phone() as ue:
        core.keys_of = lambda ck, ik: (b'', b'')
        refused(ue, server, Set(5000), -3)
        equal(World.p.count(), 0, 'SAs')


@case('VALUE', 'ipsec_create() gives -5 when the kernel refuses, and its text is in the log', ours=True)
def value_5():
    with Core(), OpenSips() as server, phone() as ue:
        World.nl.do('config-set', {'max-bundles': 1})
        with Phone(UE2) as other:
            other.challenge(Set(6000, 6401, 6400))
        refused(ue, server, Set(5000), -5)
        wait(lambda: server.said('max_bundles'), 'the log has the text of the kernel')


@case('KEY', 'the 401 has {}: neither ik nor ck gets to the phone', each=('an ik that is too short', 'two WWW-Authenticate with ik and ck'), ours=True)
def no_keys(what):
    with Core() as core, OpenSips() as server, phone() as ue:
        first = Set(5000)
        if what.startswith('two'):
            core.answer = lambda m: re.sub('(WWW-Authenticate: .*\r\n)', r'\1\1', Core.answer(core, m))
            got = ue.challenge(first)
        else:
            core.keys_of = lambda ck, ik: (ck, ik[:-1])
            got = refused(ue, server, first, -3)
        equal([x for x in got.all('WWW-Authenticate') if re.search(r'\b[ci]k\b', x)], [], 'WWW-Authenticate with keys')


# --- Many

# Not OPENSIPS: it takes as long as all the others
@test('O/MANY', '{} phones register, register anew, call and are called at once: none fails, and nothing is in clear',
      each=(int(os.environ.get('UES') or 500),), limit=3000)
def many(n):
    needed()
    if OURS:
        World.nl.do('config-set', {'max-bundles': 4 * n})
    # However long a phone of a busy host takes to answer its challenge
    with Core() as core, OpenSips(workers=2, quiet=True, parameters={'temporary_timeout': 300}) as server:
        all_at_once(core, server, n)


def setup():
    # All is skipped then
    if PROGRAM:
        setup_with_core()


def before():
    if PROGRAM:
        ims.before()


def teardown():
    if PROGRAM:
        teardown_with_core()


if __name__ == '__main__':
    main(setup, before, teardown)
