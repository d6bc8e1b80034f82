#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only
"""Debian's Kamailio with the module in place of ims_ipsec_pcscf: phones register and talk as they do in the field.

KAMAILIO=6.0 in the environment is the other version, IPSEC=ims_ipsec_pcscf its own module, for comparison.
"""
import os
import re
import select
import socket
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '../lib'))
# pylint: disable=wrong-import-position
import ims  # noqa: E402
from ims import (P4, P6, TCP, U6, UDP, Skip, World, check, equal, main, test, wait)  # noqa: E402
from kamailio import BY_CONTACT, OURS, PREFERRED, VERSION, Kamailio, make_database  # noqa: E402
from phones import (PC, PS, Chooses, Elsewhere, Instance, NattedPhone, all_at_once, all_in_esp, answer, answered_call,  # noqa: E402
                    asked, bye_of, each_is_itself, final, more_addresses, one_nat, phone, routes, states, via_port)
from scscf import CORE, CORE6, CORE_P, Core, setup_with_core, teardown_with_core  # noqa: E402
from sip_phone import IMSIPSEC, INSTANCE, REALM, UE1, UE2, Phone, Set, usim  # noqa: E402
from sip_server import CAPABLE, NOBODY  # noqa: E402

FAMILIES = ('IPv4', 'IPv6')
WAYS = ('UDP', 'TCP')
# Of what both can be
CALLS = (('UDP', 'IPv4'), ('UDP', 'IPv6'), ('TCP', 'IPv4'))


def case(ids, text, each=(None,), short=()):
    """A test; `make check` has those of `short` (True: all of them), which carry the id KAM."""
    short = each if short is True else short

    def declare(f):
        for e in each:
            test(f'KAMAILIO K/{ids}' + (' KAM' if e in short else ''), text, (e,))(f)
        return f
    return declare


@case('REGISTRATION', 'a registration over {}', each=tuple((w, f) for w in WAYS for f in FAMILIES), short=(('UDP', 'IPv4'), ('TCP', 'IPv6')))
def registration(case):
    way, fam = case
    with Core() as core, Kamailio(), phone(way, fam) as ue:
        first = Set(5000)
        World.wire.seen()
        ue.challenge(first)
        answer = ue.confirm(first)
        equal((answer['Supported'], answer['Require']), ('sec-agree', 'sec-agree'), 'Supported and Require of the 200 OK')
        if way == 'UDP':
            check(answer.source in PC and answer.port == first.port_s, f'the 200 OK went from {answer.source} to {answer.port}')
        all_in_esp(ue)
        if OURS:
            b, = World.nl.dump('bundle-get')
            check(b['state'] in ('established', 'active'), f'the set is {b["state"]}')
            equal((b['owner'], b['lifetime'] > 600000), (UE1.encode(), True), 'owner, and lifetime of expires and 30 s')
        asked = core.next(lambda m: m.method == 'REGISTER' and 'response="' in m.text and 'response=""' not in m.text)
        equal(asked.source, 5060, 'the source port at the S-CSCF')


@case('FROM', 'a request of a phone over {}: it leaves for the core from 5060, and its answer is in ESP',
      each=tuple((w, f) for w in WAYS for f in FAMILIES), short=(('UDP', 'IPv6'), ('TCP', 'IPv4')))
def from_phone(case):
    with Core() as core, Kamailio(), phone(*case) as ue:
        first = Set(5000)
        ue.sign_up(first)
        World.wire.seen()
        ue.talk(first)
        heard = core.next(lambda m: m.method == 'MESSAGE')
        equal((heard.source, via_port(heard)), (5060, 5060), 'source port and Via at the S-CSCF')
        all_in_esp(ue)


@case('TO', 'a request to a phone, {}',
      each=tuple((w, f, n) for w in WAYS for f in FAMILIES for n in ((897,) if f == 'IPv6' else (0, 1, 2, 193, 897))),
      short=(('UDP', 'IPv4', 897), ('UDP', 'IPv6', 897), ('TCP', 'IPv4', 897)))
def to_phone(case):
    way, fam, flags = case
    with Core() as core, Kamailio(forward=flags), phone(way, fam) as ue:
        first = Set(5000)
        ue.sign_up(first)
        World.wire.seen()
        asked(core, ue, first, back=way == 'TCP' and flags == 193)
        all_in_esp(ue)


@case('CALL', 'a call of a phone: its dialog is recorded with 5060, and what the core sends within it arrives, {}', each=CALLS, short=CALLS[:1])
def call_from_phone(how):
    with Core() as core, Kamailio(), phone(*how) as ue:
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


@case('CALL', 'a call to a phone, from INVITE to its BYE: all of it is in ESP, and its dialog is recorded with port_ps, {}', each=CALLS,
      short=CALLS[:1])
def call_to_phone(how):
    with Core() as core, Kamailio(), phone(*how) as ue:
        first = Set(5000)
        ue.sign_up(first)
        World.wire.seen()
        invite = answered_call(core, ue, first)
        route = routes(invite)
        check(route, 'INVITE has no Record-Route')
        # Only there can the phone send from its client port
        check(f':{PS};' in route[0], f'the phone is to send to {route[0]}')
        ue.send(bye_of(ue, invite, first, route), first)
        equal(core.next(lambda m: m.method == 'BYE').source, 5060, 'the source port of BYE')
        equal(ue.next(lambda m: m.status and 'BYE' in m['CSeq'] and m.status != '100').status, '200', 'the answer to BYE')
        all_in_esp(ue)


@case('LATE', 'a request to a phone by {}: no memory stays behind, and its dialog is recorded with port_ps', short=('a failure route',),
      each=('a failure route', 'a branch route'))
def late(which):
    with Core() as core, Kamailio('#!define LATE') as kamailio, phone() as ue:
        first = Set(5000)
        ue.sign_up(first)
        World.wire.seen()
        core.later.add('SUBSCRIBE')

        def used():
            """What the processes that receive have of their own memory."""
            return sum(x['used'] for x in kamailio.rpc('pkg.stats') if 'receiver' in x['desc'])

        def each(n):
            more = ['Event: reg', f'X-Late: {which.split()[1]}']
            core.request('SUBSCRIBE', call=f'late-{n}', more=more)
            if which == 'a failure route':
                core.reply_to(core.next(lambda m: m.method == 'SUBSCRIBE'), '404 Not Found')
            request = ue.next(lambda m: m.method == 'SUBSCRIBE')
            check(f':{PS};' in routes(request)[0], f'the phone is to send to {routes(request)[0]}')
            answer(ue, request, first, tag=';tag=phone')
            equal(core.next(lambda m: m.status and m['Call-ID'] == f'late-{n}' and m.status != '100').status, '200', 'the answer at the S-CSCF')
        for n in range(15):
            each(n)
        # A process that still works has more
        before = min(used() for _ in range(20))
        for n in range(15, 30):
            each(n)
        wait(lambda: used() <= before, f'the processes have no more than {before} bytes of memory')
        all_in_esp(ue)


@case('DIALOG', 'check_identity 2: within the dialog of {} its phone may send, and nobody else', each=('a call of a phone', 'a call to a phone'),
      short=('a call to a phone',))
def dialog(which):
    if not OURS:
        raise Skip('the original does not look at it')
    with Core() as core, Kamailio(parameters={'check_identity': 2}) as kamailio, more_addresses([OTHER]), phone() as ue, \
            Phone(UE2, address=OTHER) as thief:
        first, second = Set(5000), Set(5010)
        ue.sign_up(first)
        thief.sign_up(second)
        if which == 'a call to a phone':
            invite = answered_call(core, ue, first)
            bye = bye_of(ue, invite, first, routes(invite))
        else:
            got = final(ue, ue.request('INVITE', first, to='ue2@' + REALM))
            equal(got.status, '200', 'the answer to INVITE')
            bye = ue.text_of('BYE', first, *(f'Route: {x}' for x in routes(got)[::-1]))
            bye = bye.replace(f'BYE sip:{REALM}', f'BYE {re.search("<([^>]*)>", got["Contact"])[1]}') \
                .replace(f'To: <sip:{ue.impi}>', f'To: {got["To"]}')

        def refused(one, over, text):
            one.send(text, over)
            equal(one.next(lambda m: m.status and 'BYE' in m['CSeq'] and m.status != '100').status, '403', 'the answer')
        stolen = bye.replace(f'{ue.host}:{first.port_s}', f'{thief.host}:{second.port_s}').replace('branch=z9hG4bK', 'branch=z9hG4bKother')
        refused(thief, second, stolen)
        # Without what says whose the dialog is
        refused(thief, second, re.sub(';ims-dialog=[0-9a-f]*', '', stolen).replace('branch=z9hG4bK', 'branch=z9hG4bKmore'))
        check(not any(m.method == 'BYE' for m in core.heard), f'the S-CSCF has heard {core.heard}')
        if which == 'a call to a phone':
            # It is the machine's
            kamailio.kill()
            kamailio.start()
        ue.send(bye, first)
        equal(ue.next(lambda m: m.status and 'BYE' in m['CSeq'] and m.status != '100').status, '200', 'the answer to the phone itself')


@case('CALL', 'SUBSCRIBE of a phone, NOTIFY of the core and a second SUBSCRIBE in their dialog, {}', each=FAMILIES)
def subscription(fam):
    with Core() as core, Kamailio(), phone('UDP', fam) as ue:
        first = Set(5000)
        ue.sign_up(first)
        World.wire.seen()
        got = ue.request('SUBSCRIBE', first, 'Event: reg', 'Expires: 600')
        got = final(ue, got)
        equal(got.status, '200', 'the answer to SUBSCRIBE')
        subscribe = core.next(lambda m: m.method == 'SUBSCRIBE')
        route = core.within(subscribe, 'NOTIFY')
        check(not any(f':{x}' in route[0] for x in (PS, *PC)), f'the core is to send to {route[0]}')
        for cseq in (101, 102):
            notify = ue.next(lambda m: m.method == 'NOTIFY')
            check(notify.source in PC and notify.port == first.port_s, f'NOTIFY went from {notify.source} to {notify.port}')
            answer(ue, notify, first)
            equal(core.next(lambda m: m.status and 'NOTIFY' in m['CSeq']).status, '200', 'the answer to NOTIFY')
            if cseq == 101:
                text = ue.text_of('SUBSCRIBE', first, 'Event: reg', 'Expires: 600', *(f'Route: {x}' for x in routes(got)[::-1]))
                # To where the first was answered from
                text = text.replace(f'SUBSCRIBE sip:{REALM}', f'SUBSCRIBE {re.search("<([^>]*)>", got["Contact"])[1]}')
                ue.send(text.replace(f'To: <sip:{ue.impi}>', f'To: <sip:{ue.impi}>;tag=core'), first)
                equal(final(ue, ue.answer()).status, '200', 'the answer to the second SUBSCRIBE')
                core.within(subscribe, 'NOTIFY', cseq)
        all_in_esp(ue)


@case('SIDES', 'what the core sends to a protected port is answered if it is trusted, and else is not', short=True)
def trusted():
    if not OURS:
        raise Skip('the original takes it from everybody')
    for text in ('', f'{CORE}/32%p1'):
        with Core() as core, Kamailio(parameters={'trusted': text} if text else {}), phone() as ue:
            ue.sign_up(Set(5000))
            core.request('OPTIONS', to=(P4, PS), uri=f'sip:{P4}:{PS}', call='old-route')
            if text:
                equal(core.next(lambda m: m.status and m['Call-ID'] == 'old-route').status, '200', 'the answer')
            else:
                core.request('OPTIONS', uri=f'sip:{P4}', call='behind')
                equal(core.next(lambda m: m.status and m['Call-ID'] == 'behind').status, '200', 'the answer')
                check(not any(m.status and m['Call-ID'] == 'old-route' for m in core.heard), 'it was answered')


@case('SIDES', 'two Gm addresses: a phone at each is sent to from its own')
def two_gm():
    second = '192.0.2.11'
    mac = World.p.ip('link show p0').split('link/ether ')[1].split()[0]
    World.p.ip(f'addr add {second}/24 dev p0')
    World.u.ip(f'neigh replace {second} lladdr {mac} dev u0 nud permanent')
    World.core.ip(f'route add {second}/32 via {CORE_P}')
    try:
        with Core() as core, more_addresses([OTHER]), Kamailio(addresses=(P4, second)), phone() as one, Phone(UE2, address=OTHER) as two:
            two.p = second
            sets = [(one, Set(5000)), (two, Set(5010))]
            each_is_itself(core, sets)
            if OURS:
                equal({(b['spi-uc'], b['endpoint']) for b in World.nl.dump('bundle-get')},
                      {(over.spi, ep['id']) for ep, (_, over) in zip(sorted(World.nl.dump('endpoint-get'), key=lambda x: x['id']), sets)}, 'the sets')
    finally:
        World.p.ip(f'addr del {second}/24 dev p0')
        World.core.ip(f'route del {second}/32')


@case('SIDES', 'all is IPv6: a registration, a request of a phone and one to it')
def ipv6_alone():
    with Core(CORE6) as core, Kamailio(addresses=(P6,), core=CORE6), phone('UDP', 'IPv6') as ue:
        first = Set(5000)
        ue.sign_up(first)
        World.wire.seen()
        ue.talk(first)
        heard = core.next(lambda m: m.method == 'MESSAGE')
        equal((heard.source, via_port(heard)), (5060, 5060), 'source port and Via at the S-CSCF')
        asked(core, ue, first, to=(P6, 5060))
        all_in_esp(ue)


@case('FLAGS', 'ipsec_forward, flag {} alone', each=(4, 8, 16, 32, 128, 384, 512), short=(128,))
def one_flag(flag):
    with Core() as core, Kamailio(forward=flag) as kamailio, phone() as ue:
        first = Set(5000)
        ue.sign_up(first)
        World.wire.seen()
        contact = f'sip:ue1@{ue.address}:{first.port_s}'
        # Of an address that nobody has
        wrong = contact + ';alias=192.0.2.99~7~1'
        if flag == 4:
            # Again and again: the slot that the contact is in has to be unlocked
            for n in range(3):
                asked(core, ue, first, uri='sip:ue1@192.0.2.98:5060', call=f'by-{n}',
                      more=(f'Route: <sip:{P4};lr>', f'Route: <sip:the-phone-itself@{ue.address}:{first.port_s};lr>'))
        elif flag in (8, 16):
            asked(core, ue, first, uri=wrong)
        else:
            asked(core, ue, first, uri=contact)
            wait(lambda: kamailio.said('test: MESSAGE to ' + ('<null>' if flag == 32 else f'sip:{ue.address}:{first.port_s}')), '$du is logged')
        if flag == 128:
            # Not the next hop's protocol
            asked(core, ue, first, uri=contact + ';transport=tcp', call='udp')
        if flag == 384:
            # The next hop's protocol, of which the phone takes no connection
            core.request('MESSAGE', uri=contact + ';transport=tcp', call='tcp')
            wait(lambda: kamailio.said(f'MESSAGE to sip:{ue.address}:{first.port_s};transport=tcp'), '$du is logged')
            if OURS:
                wait(lambda: kamailio.said('does not answer over TCP at its port 6300'), 'the log says why', 90)
        if flag not in (8, 16):
            core.request('MESSAGE', uri=wrong, call='wrong')
            equal(core.next(lambda m: m.status and m['Call-ID'] == 'wrong' and m.status != '100').status, '404', 'the answer where the alias is of nobody')
        all_in_esp(ue)


@case('DESTROY', 'ipsec_destroy: {}', each=('of a request', 'of a URI', 'by contact', 'of an answer'), short=('of an answer',))
def ends(how):
    if how in ('of a URI', 'by contact') and not BY_CONTACT:
        raise Skip('the original of 5.6 has it not')
    with Core() as core, Kamailio(), phone() as ue:
        first = Set(5000)
        ue.sign_up(first)
        ue.talk(first)
        uri = f'sip:ue1@{ue.address}:{first.port_s}'
        World.wire.seen()
        if how == 'of an answer':
            core.status = '403 Forbidden'
            equal(ue.register(first, first).status, '403', 'the answer to REGISTER')
        else:
            words = {'of a request': ('X-End: request',), 'of a URI': ('X-End: aor', f'X-Contact: {uri}'),
                     'by contact': ('X-End: contact', f'X-Contact: {uri}', f'X-Host: {ue.address}', f'X-Port: {first.port_c}')}[how]
            nobody = tuple(x.replace(ue.address, '192.0.2.99') for x in words)
            for call, more, to, status in (('nobody', nobody, uri.replace(ue.address, '192.0.2.99'), '404'), ('phone', words, uri, '200')):
                core.request('MESSAGE', uri=to, call=call, more=more)
                equal(core.next(lambda m, call=call: m.status and m['Call-ID'] == call).status, status, f'the answer, {call}')
        all_in_esp(ue)
        if OURS:
            equal(states(), {5000: 'old'}, 'the set')


@case('DESTROY', 'ipsec_destroy of an answer to a REGISTER in clear: the set of the phone that is registered there stays', short=True)
def ends_in_clear():
    with Core() as core, Kamailio(), phone() as ue:
        first = Set(5000)
        ue.sign_up(first)
        ue.talk(first)
        core.later.add('REGISTER')
        # Whoever can send from that address
        text = ue.text_of('REGISTER', None, 'Expires: 600', contact=ue.contact(first), user='nobody@' + REALM)
        ue.sock(first.port_c).sendto(text.replace(f':{ue.clear_port};branch', f':{first.port_s};branch').encode(), (ue.p, 5060))
        core.reply_to(core.next(lambda m: m.method == 'REGISTER' and 'nobody' in m['From']), '403 Forbidden')
        equal(ue.answer().status, '403', 'the answer to REGISTER')
        ue.talk(first)
        if OURS:
            equal(states(), {5000: 'active'}, 'the set')


@case('LIST', 'Security-Client: {}', short=('tls comes first', 'no ealg'), each=(
    'no ealg', 'tls comes first', 'two of ipsec-3gpp, the first is unknown', 'two headers', 'one that is not complete comes first'))
def security_client(what):
    with Core() as core, Kamailio(), phone() as ue:
        first = Set(5000)
        # The rest is without it
        bare = first.client.replace(';ealg=null', '')
        first.client = {'no ealg': bare, 'tls comes first': 'tls, ' + first.client,
                        'two of ipsec-3gpp, the first is unknown': first.client.replace('hmac-sha-1-96', 'hmac-unheard-of') + ', ' + first.client,
                        'two headers': f'tls\r\nSecurity-Client: {first.client}',
                        'one that is not complete comes first': 'ipsec-3gpp;alg=hmac-md5-96, ' + first.client}[what]
        ue.sign_up(first)
        check('ealg=;' not in first.verify and 'ipsec-3gpp' in first.verify, f'Security-Server: {first.verify}')
        ue.talk(first)
        asked(core, ue, first)


@case('LIST', 'somebody has taken the better pair out of the first Security-Client: what the phone repeats is refused', short=True)
def bid_down():
    with Core() as core, Kamailio(), phone() as ue:
        first = Set(5000, alg='hmac-md5-96')
        ue.challenge(first)
        core.heard.clear()
        # What the phone has sent
        first.client = f'{first.client.replace("hmac-md5-96", "hmac-sha-1-96")}, {first.client}'
        equal(ue.register(first, first).status, '403', 'the answer to REGISTER')
        check(not core.heard, f'the S-CSCF has heard {core.heard}')


@case('LIST', 'ipsec_preferred_alg and _ealg {}: of what a phone offers, that is chosen', short=(('hmac-md5-96', 'null'),),
      each=(('hmac-md5-96', 'null'), ('hmac-sha-1-96', 'aes-cbc'), ('hmac-md5-96', 'aes-cbc')))
def preferred(pair):
    if not PREFERRED:
        raise Skip('the original of 5.6 has not got it')
    with Core() as core, Kamailio(parameters=dict(zip(('ipsec_preferred_alg', 'ipsec_preferred_ealg'), pair))), Chooses() as ue:
        first = ue.offer(Set(5000))
        ue.sign_up(first)
        equal((first.mine['alg'], first.mine['ealg']), pair, 'what was chosen')
        ue.talk(first)
        asked(core, ue, first)
        if OURS:
            b, = World.nl.dump('bundle-get')
            equal((b['auth-alg'], b['enc-alg']), pair, 'what the set has')


@case('OVERLAP', 'ranges of ports that overlap, as they do by default: a phone registers, and again', short=True)
def overlap():
    with Core() as core, Kamailio(client=5062, server=5063), phone() as ue:
        first, second = Set(5000), Set(5002)
        World.wire.seen()
        ue.sign_up(first)
        ue.talk(first)
        ports = tuple(range(5062, 5066))
        asked(core, ue, first, ports=ports)
        core.challenge.add(UE1)
        ue.challenge(second, over=first)
        # It keeps its ports, and takes nothing over the first set any more
        ue.forget(first)
        got = ue.confirm(second)
        equal(str(got.source), second.server['port-c'], 'the port that the 200 OK came from')
        ue.talk(second)
        asked(core, ue, second, ports=(int(second.server['port-c']),), call='again')
        all_in_esp(ue, ports)
        if OURS:
            ep = next(e for e in World.nl.dump('endpoint-get') if e['address'] == P4)
            equal((ep['port-ps'], tuple(ep['port-pc'])), (5063, (5062, 5064)), 'the ports of the endpoint')


@case('NAT', 'a phone behind a NAT registers, calls and is called, also when the NAT has another port for it', short=True)
def behind_nat():
    if not OURS:
        raise Skip('the original has mod=trans alone')
    with one_nat() as nat, Core() as core, Kamailio(parameters={'nat': 1}) as kamailio, NattedPhone(nat) as ue:
        first = Set(5000, more=';mod=UDP-enc-tun')
        ue.sign_up(first)
        World.wire.seen()
        ue.talk(first)
        asked(core, ue, first)
        b, = World.nl.dump('bundle-get')
        equal((b['mode'], b['ue-address'], b['ue-nat-address'], b['state']), ('udp-enc-tun', ue.address, nat.outside['IPv4'], 'active'), 'the set')
        nat.rebind(30001)
        ue.talk(first)
        equal(World.nl.do('bundle-get', id=b['id'])['ue-nat-port'], 30001, 'the port of the NAT')
        asked(core, ue, first, call='rebound')
        all_in_esp(ue)
        # What is sent cannot be marked: inner address and ports are this phone's alone
        with Phone(UE2) as other:
            other.host = ue.address
            equal(other.register(Set(6000, more=';mod=UDP-enc-tun')).status, '503', 'the answer to another phone that has that address at home')
        wait(lambda: kamailio.said(f'no set of SAs for {UE2} at {ue.address}'), 'the log says it')
        traced(ue.address, 'another subscriber has the UE\'s address and port')


@case('BOTH', 'a phone registers over IPv4 and over IPv6, as one instance: each has a set of its own, and is sent to over it', short=True)
def both_families():
    class Instance(Phone):
        """It says which."""

        def contact(self, over):
            return super().contact(over) + ';+sip.instance="<urn:gsma:imei:35686800-004185-0>"'
    with Core() as core, Kamailio(), Instance(UE1, 'IPv4') as four, Instance(UE1, 'IPv6') as six:
        # With one Kamailio in between, the contacts of both stay
        sets = [(four, Set(5000)), (six, Set(5010))]
        uris = []
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


@case('AGAIN', 'a re-authentication over {}: what is sent to the phone goes over the new set, once it is used', each=WAYS, short=('UDP',))
def again(way):
    with Core() as core, Kamailio(), phone(way) as ue:
        first, second = Set(5000), Set(5002, 6303, 6302)
        ue.sign_up(first)
        World.wire.seen()
        core.challenge.add(UE1)
        ue.challenge(second, over=first)
        ue.confirm(second)
        ue.talk(second)
        equal(asked(core, ue, second).port, second.port_s, 'the port that the request came to')
        if way == 'UDP':
            # By the contact that it had before
            asked(core, ue, second, uri=f'sip:ue1@{ue.address}:{first.port_s}', call='old-contact')
        all_in_esp(ue)
        if OURS:
            equal(states(), {5000: 'old', 5002: 'active'}, 'the sets')


@case('AGAIN', 'a re-authentication of a phone that keeps its ports: the 200 OK leaves over the new set', short=True)
def again_same_ports():
    with Core() as core, Kamailio(), phone() as ue:
        first, second = Set(5000), Set(5002)
        ue.sign_up(first)
        core.challenge.add(UE1)
        ue.challenge(second, over=first)
        # From here on this phone takes nothing over the first
        ue.forget(first)
        ue.confirm(second)
        ue.talk(second)
        asked(core, ue, second)


@case('AGAIN', 'a re-authentication with another port_uc alone: what is sent to the phone still comes when the old set has gone', short=True)
def again_same_contact():
    with Core() as core, Kamailio(), phone() as ue:
        if OURS:
            World.p.run(IMSIPSEC, 'config', 'set', 'old-timeout', '1s')
        # TS 24.229 clause 5.1.1.5.1: port_us stays, and with it Contact
        first, second = Set(5000), Set(5002, 6303)
        ue.sign_up(first)
        core.challenge.add(UE1)
        ue.challenge(second, over=first)
        ue.confirm(second)
        ue.talk(second)
        asked(core, ue, second)
        if OURS:
            wait(lambda: states() == {5002: 'active'}, 'the first set has gone')
            asked(core, ue, second, call='later')


@case('RINGS', 'a call of a phone rings for longer than a re-authentication leaves its set: the 200 OK goes over the new one, {}', each=WAYS,
      short=True)
def rings(way):
    with Core() as core, Kamailio() as kamailio, phone(way) as ue:
        if OURS:
            World.p.run(IMSIPSEC, 'config', 'set', 'old-timeout', '1s')
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
        ue.talk(second)
        if OURS:
            wait(lambda: states() == {5002: 'active'}, 'the set of the call has gone')
        core.reply_to(invite, '200 OK')
        got = ue.next(lambda m: m.status and m['CSeq'] == cseq and m.status not in ('100', '180'))
        equal(got.status, '200', 'the answer')
        check((got.source, got.port) in ([(x, second.port_s) for x in PC] if way == 'UDP' else [(PS, second.port_c)]),
              f'it went from {got.source} to {got.port}')
        check(not kamailio.said('ipsec_forward failed'), 'ipsec_forward has failed')
        all_in_esp(ue)


@case('CLOSED', 'a phone closes its TCP connection before the core has answered: nothing is in clear', short=True)
def closed():
    with Core() as core, Kamailio() as kamailio, phone('TCP') as ue:
        first = Set(5000)
        ue.sign_up(first)
        core.later.add('MESSAGE')
        ue.send(ue.text_of('MESSAGE', first), first)
        heard = core.next(lambda m: m.method == 'MESSAGE')
        World.wire.seen()

        def opened():
            return kamailio.rpc('core.tcp_info')['opened_connections']
        before = opened()
        ue.conns.pop(first.spi).close()
        wait(lambda: opened() < before, 'Kamailio has closed it too')
        core.reply_to(heard, '200 OK')
        # What handles it comes to this next
        core.request('OPTIONS', uri=f'sip:{P4}', call='behind')
        equal(core.next(lambda m: m.status and m['Call-ID'] == 'behind').status, '200', 'the answer to OPTIONS')
        all_in_esp(ue, (PS, *PC, first.port_c, first.port_s))


@case('CLEAR', 'the core answers {} when Kamailio has given the request up: the answer is not sent on in clear',
      each=('a REGISTER in clear, with 401 and keys,', 'a MESSAGE'), short=True)
def too_late(what):
    with Core() as core, Kamailio(patience=1000) as kamailio, phone() as ue:
        first = Set(5000)
        ue.sign_up(first)
        method, over = ('MESSAGE', first) if what == 'a MESSAGE' else ('REGISTER', None)
        core.later.add(method)
        ue.send(ue.text_of(method, over), over)
        heard = core.next(lambda m: m.method == method)
        wait(lambda: not kamailio.rpc('tm.stats')['current'], 'the transaction has gone')
        World.wire.seen()
        core.udp.sendto((core.demand(heard, UE1) if method == 'REGISTER' else core.reply(heard, '200 OK')).encode(), (heard.host, heard.source))
        # What handles it comes to this next
        core.request('OPTIONS', uri=f'sip:{P4}', call='behind')
        equal(core.next(lambda m: m.status and m['Call-ID'] == 'behind').status, '200', 'the answer to OPTIONS')
        clear = [x for x in World.wire.seen() if x.sent and x.proto in (TCP, UDP)]
        check(not clear, f'in clear on the wire: {clear[:3]}')
        check(kamailio.said('has come too late'), 'the log says so')


@case('LOST', 'a phone that has lost its state and registers in clear again is sent to over the new set at once', short=True)
def lost_state():
    with Core() as core, Kamailio():
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


@case('REFRESH', 'a refresh without a challenge has the set live longer', short=True)
def refresh():
    with Core() as core, Kamailio(), phone() as ue:
        first = Set(5000)
        ue.sign_up(first)
        ue.talk(first)
        answer = ue.register(first, first, expires=1200)
        equal(answer.status, '200', 'the answer to the second REGISTER')
        asked(core, ue, first)
        if OURS:
            b, = World.nl.dump('bundle-get')
            check(b['lifetime'] > 1200000, f'the lifetime is {b["lifetime"]}')


@case('LEAVE', 'a de-registration over {}: its 200 OK is in ESP, and the set goes', each=tuple((w, f) for w in WAYS for f in FAMILIES),
      short=(('UDP', 'IPv4'),))
def leave(case):
    with Core(), Kamailio(), phone(*case) as ue:
        first = Set(5000)
        ue.sign_up(first)
        World.wire.seen()
        answer = ue.register(first, first, expires=0)
        equal(answer.status, '200', 'the answer to the de-registration')
        all_in_esp(ue)
        if OURS:
            equal(states(), {5000: 'old'}, 'the set')


@case('PROBE', 'plaintext to each protected port of a phone that is registered gets nowhere, {}', each=FAMILIES, short=('IPv4',))
def probe(fam):
    with Core() as core, Kamailio(), phone('UDP', fam) as ue:
        first = Set(5000)
        ue.sign_up(first)
        for port in (PS, *PC):
            with World.u.udp(ue.address, 7000) as s:
                text = ue.text_of('REGISTER', None, *ue.headers(Set(6000), None)).replace(f'Call-ID: {ue.call_id}', f'Call-ID: probe-{port}')
                s.sendto(text.encode(), (ue.p, port))
            with World.u.tcp(ue.address, 7001) as s:
                s.connect_ex((ue.p, port))
                check(not select.select([], [s], [], 1)[1], f'port {port} takes a TCP connection in clear')
        # What comes behind it over the set has been through Kamailio
        ue.talk(first)
        check(not any('probe' in m['Call-ID'] for m in core.heard), 'a probe went to the S-CSCF')


def said_in_clear(ue, over, method='MESSAGE', uri=f'sip:{REALM}', user=None):
    """A request whose Via is that of the phone's requests over the set; the status of its answer."""
    text = ue.text_of(method, None, user=user).replace(f':{ue.clear_port};branch', f':{over.port_s};branch')
    ue.send(text.replace(f'{method} sip:{REALM}', f'{method} {uri}'), None)
    return ue.next(lambda m: m.status and m['CSeq'].split()[0] == str(ue.cseq) and m.status != '100').status


@case('CLEAR', 'where a phone is registered over IPsec, a request in clear is refused, unless it is a call for help', short=True)
def in_clear():
    with Core() as core, Kamailio(), more_addresses([OTHER]), phone() as ue, Phone(UE2, address=OTHER) as plain:
        first, second = Set(5000), Set(5010)
        ue.sign_up(first)

        def without_ipsec():
            text = plain.text_of('REGISTER', None, *(x for x in plain.headers(second, second) if not x.startswith('Security')))
            plain.send(text, None)
            return plain.answer()
        second.nonce = re.search('nonce="([^"]*)"', without_ipsec()['WWW-Authenticate'])[1]
        second.res = usim['aka'](UE2, second.nonce)[0]
        equal(without_ipsec().status, '200', 'the answer to REGISTER without IPsec')

        for user in (UE1, UE2):
            equal(said_in_clear(ue, first, user=user), '403', f'the answer to MESSAGE of {user}')
        check(not any(m.method == 'MESSAGE' for m in core.heard), 'it went to the S-CSCF')
        equal(said_in_clear(ue, first, 'INVITE', 'urn:service:sos'), '200', 'the answer to a call for help')
        plain.talk(None)
        ue.talk(first)


@case('CLEAR', 'a request that is too long for UDP goes to a phone over TCP in ESP, flags {}', each=(0, 897), short=(0,))
def too_long(flags):
    with Core() as core, Kamailio('udp_mtu=1300', 'udp_mtu_try_proto=TCP', forward=flags) as kamailio, phone() as ue:
        first = Set(5000)
        ue.sign_up(first)
        World.wire.seen()
        listener = World.u.tcp(ue.address, first.port_s, True)
        try:
            core.request('MESSAGE', more=[f'X-Long: {"x" * 1300}'])
            check(select.select([listener], [], [], 20)[0], 'no connection comes')
            conn, source = listener.accept()
            conn.close()
            check(source[1] in PC, f'the connection came from {source}')
        finally:
            listener.close()
        all_in_esp(ue, (PS, *PC, first.port_s))
        check(kamailio.alive(), 'Kamailio has ended')


@case('CANCEL', 'the set of a phone has gone: what the script sends to the phone all the same does not leave in clear', short=True)
def set_gone():
    with Core() as core, Kamailio(), phone() as ue:
        first = Set(5000)
        ue.sign_up(first)
        end_sets()
        World.wire.seen()
        # Without a Route, which would name the socket
        core.request('BYE', call='ended', tags=';tag=phone')
        got = core.next(lambda m: m.status and 'BYE' in m['CSeq'] and m.status != '100')
        check(got.status[0] in '45', f'the answer to BYE is {got.status}')
        core.request('MESSAGE', call='anew')
        equal(core.next(lambda m: m.status and m['Call-ID'] == 'anew' and m.status != '100').status, '404', 'the answer to MESSAGE')
        all_in_esp(ue, (PS, *PC, first.port_s, first.port_c))


@case('CANCEL', 'the set of a phone goes while it rings, over {}: the CANCEL of the core does not leave in clear', each=WAYS, short=('TCP',))
def cancelled(way):
    with Core() as core, Kamailio(), phone(way) as ue:
        first = Set(5000)
        ue.sign_up(first)
        core.request('INVITE', call='rings', branch='rings')
        invite = ue.next(lambda m: m.method == 'INVITE')
        answer(ue, invite, first, '180 Ringing', f'Contact: {ue.contact(first)}', tag=';tag=phone')
        core.next(lambda m: m.status == '180')
        if way == 'TCP':
            # Another connection is to be made for it
            invite.conn.close()
            ue.conns = {k: v for k, v in ue.conns.items() if v is not invite.conn}
        end_sets()
        World.wire.seen()
        core.request('CANCEL', call='rings', branch='rings')
        equal(core.next(lambda m: m.status and 'CANCEL' in m['CSeq']).status, '200', 'the answer to CANCEL')
        # What handles it comes to this next
        core.request('OPTIONS', uri=f'sip:{P4}', call='behind')
        equal(core.next(lambda m: m.status and m['Call-ID'] == 'behind').status, '200', 'the answer to OPTIONS')
        all_in_esp(ue, (PS, *PC, first.port_s, first.port_c))


def end_sets():
    """Those that there are, as an operator does it."""
    if not OURS:
        World.p.ip('xfrm state flush', 'xfrm policy flush')
    for b in World.nl.dump('bundle-get') if OURS else ():
        World.nl.do('bundle-del', id=b['id'])


@case('REUSE', 'a phone registers where another subscriber\'s was, with the same ports: it is itself, and nobody else', short=True)
def reuse():
    with Core() as core, Kamailio(grace=3600):
        with phone() as ue:
            ue.sign_up(Set(5000))
        # Its time is over; that of its contact is not
        end_sets()
        with Phone(UE2) as ue:
            second = Set(5010, 6301, 6310)
            ue.sign_up(second)
            ue.talk(second)
            asked(core, ue, second, impi=UE2)
            equal(ue.request('MESSAGE', second, user=UE1).status, '403', 'the answer to a request of the one before')


@case('REUSE', 'the contact of a phone expires whose address and ports another one has by now: the set of that one lives on', short=True)
def reuse_expires():
    if not OURS:
        raise Skip('the original knows sets by their contacts')
    with Core() as core, Kamailio(grace=6, pending=1) as kamailio:
        with phone() as ue:
            first = Set(5000)
            ue.challenge(first)
            ue.confirm(first, expires=4)
        end_sets()
        with Phone(UE2) as ue:
            # The user location files it elsewhere
            ue.host = '192.0.2.98'
            second = Set(5010)
            ue.sign_up(second)
            wait(lambda: kamailio.contacts() == 1, 'the contact of the first has gone', 60)
            check(states()[5010] in ('established', 'active'), f'the set is {states()}')
            ue.talk(second)


@case('IDENTITY', 'a request with the From of another subscriber over a phone\'s own set is refused', short=True)
def foreign():
    with Core() as core, Kamailio(), phone() as ue:
        first = Set(5000)
        ue.sign_up(first)
        got = ue.request('MESSAGE', first, user=UE2, to='ue1@' + REALM)
        equal(got.status, '403', 'the answer')
        check(not any(m.method == 'MESSAGE' for m in core.heard), 'it went to the S-CSCF')
        ue.talk(first)
        # Whoever wants to be unknown may
        equal(ue.request('MESSAGE', first, user='anonymous@anonymous.invalid').status, '200', 'the answer to an anonymous one')


@case('IDENTITY', 'a request with a From that cannot be read over a phone\'s own set is refused', short=True)
def unreadable():
    with Core() as core, Kamailio() as kamailio, phone() as ue:
        first = Set(5000)
        ue.sign_up(first)
        text = ue.text_of('MESSAGE', first, to='ue1@' + REALM).replace(f'From: <sip:{UE1}>;tag=ue', f'From: <sip:{UE2}')
        ue.send(text, first)
        if OURS:
            wait(lambda: kamailio.said('with a From that cannot be read: refused'), 'the log says it')
        ue.talk(first)
        check(not any('sip:' + UE2 in m['From'] for m in core.heard), 'it went to the S-CSCF')


@case('DOUBLE', 'a request with two {} over a phone\'s own set is refused', each=('From', 'To', 'Call-ID'), short=('From',))
def twice_said(what):
    # Else Kamailio itself reads none of it
    with Core() as core, Kamailio('sip_parser_mode=0'), phone() as ue:
        first = Set(5000)
        ue.sign_up(first)
        text = ue.text_of('MESSAGE', first, {'From': f'f: <sip:{UE2}>;tag=ue', 'To': f'To: <sip:ue1@{REALM}>', 'Call-ID': 'i: another'}[what])
        if what == 'To':
            # Within a dialog for whoever reads the first alone
            text = text.replace(f'From: <sip:{UE1}>', f'From: <sip:{UE2}>').replace(f'To: <sip:{UE1}>', f'To: <sip:{UE1}>;tag=core', 1)
        ue.send(text, first)
        equal(ue.answer().status, '403', 'the answer')
        check(not any(m.method == 'MESSAGE' for m in core.heard), 'it went to the S-CSCF')
        ue.talk(first)


def one_before():
    """A phone whose address and ports are those of one before it. The set of that one has gone, its contact is still there, filed elsewhere."""
    with phone() as ue:
        ue.sign_up(Set(5000))
    end_sets()
    other = Phone(UE2)
    other.host = '192.0.2.98'
    return other


@case('EARLY', 'a phone that has the address and ports of one before it is not taken for that one, whatever its Via says', short=True)
def before_it():
    with Core() as core, Kamailio(grace=3600), one_before() as ue:
        first = Set(5010)
        ue.sign_up(first)
        ue.talk(first)
        core.heard.clear()
        ue.host = ue.address
        equal(ue.request('MESSAGE', first, user=UE1).status, '403', 'the answer to a request of the one before')
        check(not core.heard, f'the S-CSCF has heard {core.heard}')


@case('EARLY', 'a request over a set that waits for its first REGISTER goes nowhere', short=True)
def too_early():
    # The check of identities has nothing to do with it
    with Core() as core, Kamailio(grace=3600, parameters={'check_identity': 0} if OURS else {}) as kamailio, one_before() as ue:
        first = Set(5010)
        ue.challenge(first)
        core.heard.clear()
        there, ue.host = ue.host, ue.address
        ue.send(ue.text_of('MESSAGE', first, f'Security-Verify: {first.verify}', user=UE1), first)
        ue.host = there
        # What handles it comes to this next
        ue.confirm(first)
        check(not any(m.method == 'MESSAGE' for m in core.heard), f'the S-CSCF has heard {core.heard}')
        if OURS:
            check(kamailio.said(f'MESSAGE of {UE2} before its registration: dropped'), 'the log does not say it')
        ue.talk(first)


@case('IDENTITY', 'a phone that has a contact saved whose host is a name has its From looked at as well', short=True)
def spoiled():
    with Core() as core, Kamailio(), phone() as ue:
        first = Set(5000)
        ue.sign_up(first)
        ue.clear_port = 5070
        # Nobody answers the challenge
        without = [x for x in ue.headers(first, None) if not x.startswith('Security')]
        equal(ue.request('REGISTER', None, *without, contact='<sip:ue1@a.name>').status, '401', 'the answer to REGISTER')
        equal(ue.request('MESSAGE', first, user=UE2, to='ue1@' + REALM).status, '403', 'the answer')
        check(not any(m.method == 'MESSAGE' for m in core.heard), 'it went to the S-CSCF')
        ue.talk(first)


@case('IDENTITY', 'a REGISTER of another one, whose name is folded, makes one line of the log', short=True)
def folded():
    if not OURS:
        raise Skip('the original does not look at it')
    with Core() as core, Kamailio() as kamailio, phone() as ue:
        first = Set(5000)
        ue.sign_up(first)
        core.heard.clear()
        forged = f'Authorization: Digest username="{UE2}\r\n 0(1) NOTICE: forged", realm="{REALM}", uri="sip:{REALM}", nonce="", response=""'
        equal(ue.request('REGISTER', first, *ue.headers(first, first), forged).status, '403', 'the answer')
        wait(lambda: kamailio.said(f'REGISTER of {UE2} over a set of {UE1}: refused'), 'the log says it')
        check(not any(x.lstrip().startswith('0(1) NOTICE: forged') for x in kamailio.lines()), 'a phone has written a line of the log')
        check(not core.heard, f'the S-CSCF has heard {core.heard}')


@case('TEL', 'a phone whose first REGISTER has no private identity, and a To of tel:, registers and is sent to', short=True)
def tel():
    number = '+4930123'
    usim['SUBSCRIBERS'][number] = usim['SUBSCRIBERS'][UE1]
    with Core() as core, Kamailio(), Phone(number) as ue:
        core.identities = (f'tel:{number}',)
        first = Set(5000)

        def register(over):
            headers = ue.headers(first, over)
            text = ue.text_of('REGISTER', over, *(headers if over else headers[1:]))
            ue.send(text.replace(f'<sip:{number}>', f'<tel:{number}>'), over)
            return ue.answer()
        got = register(None)
        equal(got.status, '401', 'the answer to REGISTER')
        ue.agree(first, got)
        equal(register(first).status, '200', 'the answer to REGISTER over the new set')
        if OURS:
            b, = World.nl.dump('bundle-get')
            equal(b['owner'], number.encode(), 'whose set it is')
        asked(core, ue, first, impi=number)


OTHER = '192.0.2.21'


@case('CONTACT', 'a phone that names another one\'s address in Via and Contact gets nothing of what is for that one, flags {}', each=(2, 897), short=(897,))
def anothers_contact(flags):
    with Core() as core, Kamailio(forward=flags), more_addresses([OTHER]), phone() as ue, Phone(UE2, address=OTHER) as thief:
        # The older contact is found first, but for flag 2
        signed = [(ue, Set(5000)), (thief, Set(5010))]
        thief.host = ue.host
        for one, new in signed if flags & 2 else reversed(signed):
            one.sign_up(new)
        asked(core, ue, signed[0][1])
        check(not any(m.method for m in thief.heard), f'it has got {thief.heard}')


@case('CONTACT', 'a phone that names the port of another one at the same address gets nothing of what is for that one, flags {}', each=(2, 897), short=(897,))
def anothers_port(flags):
    class Thief(Phone):
        """Its Contact has a port that is not its own."""

        def contact(self, over):
            return f'<sip:ue2@{self.host}:6300>'
    with Core() as core, Kamailio(forward=flags), phone() as ue, Thief(UE2) as thief:
        thief.clear_port = 5070
        signed = [(ue, Set(5000)), (thief, Set(5010, 7301, 7300))]
        for one, new in signed if flags & 2 else reversed(signed):
            one.sign_up(new)
        asked(core, ue, signed[0][1])
        check(not any(m.method for m in thief.heard), f'it has got {thief.heard}')


@case('IDENTITY', 'a phone that writes another address into Via has its From looked at as well')
def foreign_via():
    with Core() as core, Kamailio(), phone() as ue:
        first = Set(5000)
        ue.host = '192.0.2.98'
        ue.sign_up(first)
        equal(ue.request('MESSAGE', first, user=UE2, to='ue1@' + REALM).status, '403', 'the answer')
        check(not any(m.method == 'MESSAGE' for m in core.heard), 'it went to the S-CSCF')
        ue.talk(first)


@case('IDENTITY', 'a REGISTER over a set, {}, is refused', short=('that names a set made in another one\'s name', 'with a second username'),
      each=('with a second Authorization', 'with a second username', 'that names a set made in another one\'s name'))
def foreign_register(what):
    with Core() as core, Kamailio():
        verify = None
        if what.startswith('that'):
            # From the same address with the same ports: nobody has the keys, and nothing comes over it
            with Phone(UE1) as ue:
                got = ue.register(Set(7000))
                equal(got.status, '401', 'the answer to REGISTER')
                verify = ', '.join(got.all('Security-Server'))
        with Phone(UE2) as ue:
            first = Set(5000)
            # While both wait for their phones
            (ue.challenge if verify else ue.sign_up)(first)
            core.heard.clear()
            foreign = f'Authorization: Digest username="{UE1}", realm="{REALM}", uri="sip:{REALM}", nonce="", response=""'
            if what == 'with a second username':
                twice = [x.replace('Digest ', 'Digest  ').replace(', realm', f', username\r\n ="{UE1}", realm') for x in ue.headers(first, first)]
                got = ue.request('REGISTER', first, *twice)
            elif verify:
                got = ue.request('REGISTER', first, foreign, f'Security-Client: {first.client}', 'Expires: 600', f'Security-Verify: {verify}')
            else:
                got = ue.request('REGISTER', first, *ue.headers(first, first), foreign)
            equal(got.status, '403', 'the answer')
            check(not core.heard, f'the S-CSCF has heard {core.heard}')


@case('GONE', '{}: a phone registers as before', each=('the endpoint is deleted', 'the kernel module is unloaded and loaded'))
def gone(what):
    if not OURS:
        raise Skip('the original has neither')
    with Core() as core, Kamailio(addresses=(P4,)) as kamailio:
        with phone() as ue:
            ue.sign_up(Set(5000))
        kamailio.rpc('ims_ipsec.stats')
        if what == 'the endpoint is deleted':
            ep, = World.nl.dump('endpoint-get')
            World.nl.do('endpoint-del', id=ep['id'], force=True)
        else:
            ims.close_family()
            wait(lambda: not ims.rmmod().returncode, 'the module goes', 20)
            done = ims.insmod()
            equal(done.returncode, 0, done.stdout)
            ims.reopen_family()
            # Before any phone
            wait(lambda: World.nl.dump('endpoint-get'), 'the endpoint is there again', 20)
            equal(kamailio.rpc('ims_ipsec.stats')['endpoints'], 1, 'endpoints')
        with phone() as ue:
            second = Set(5002)
            ue.sign_up(second)
            ue.talk(second)
            asked(core, ue, second)


@case('TWICE', 'an answer 401 that comes twice leaves the set of the first', short=True)
def twice():
    with Core() as core, Kamailio(), phone() as ue:
        core.times = 3
        first = Set(5000)
        ue.sign_up(first)
        ue.talk(first)


@case('RESTART', 'Kamailio ends, by {}, and is started again: sets live on, and a phone goes on when it refreshes',
      each=('SIGTERM', 'kill -9'), short=('kill -9',))
def restart(how):
    with Core() as core, Kamailio() as kamailio, phone() as ue:
        first = Set(5000)
        ue.sign_up(first)
        ue.talk(first)
        (kamailio.stop if how == 'SIGTERM' else kamailio.kill)()
        if OURS:
            equal(states(), {5000: 'active'}, 'the sets while there is no Kamailio')
            # Still shut
            with World.u.udp(ue.address, 7000) as s:
                s.sendto(b'x', (ue.p, PS))
        kamailio.start()
        if OURS:
            equal(states(), {5000: 'active'}, 'the sets')
            # Contacts were Kamailio's own
            equal(ue.request('MESSAGE', first).status, '403', 'the answer to what comes before it')
        World.wire.seen()
        equal(ue.register(first, first).status, '200', 'the answer to a refresh')
        ue.talk(first)
        asked(core, ue, first)
        all_in_esp(ue)


@case('LISTED', 'the 200 OK to a phone lists a contact of another one, {}: each keeps its set, and its time',
      each=('at the same address', 'at another address'), short=('at the same address',))
def listed(where):
    with Core() as core, Kamailio(), more_addresses([OTHER]), Instance() as one, \
            Instance(address=OTHER if where == 'at another address' else None) as other:
        other.name, other.clear_port = INSTANCE.replace('4185', '4186'), 5070
        first, second = Set(5000), Set(5010, 6311, 6310)
        one.sign_up(first)
        uris = {one: core.contacts[UE1]}
        other.challenge(second)
        core.others = (f'<{uris[one]}>;expires=60',)
        other.confirm(second)
        uris[other] = core.contacts[UE1]
        World.wire.seen()
        for ue, over in ((one, first), (other, second)):
            ue.talk(over)
            asked(core, ue, over, uri=uris[ue], call=f'listed-{over.spi}')
        all_in_esp(one, (PS, *PC))
        if OURS:
            lives = {b['spi-uc']: b['lifetime'] for b in World.nl.dump('bundle-get')}
            check(min(lives.values()) > 500000 and len(lives) == 2, f'the sets live for {lives}')


@case('FIVE', 'five phones with ipsec_max_connections 2: each has its set and is sent to over it', short=True)
def five():
    addresses = [f'192.0.2.{n}' for n in range(21, 26)]
    with Core() as core, Kamailio(connections=2), more_addresses(addresses):
        core.identities = tuple('sip:' + x for x in (UE1, UE2))
        phones = [Phone(UE1, address=a) for a in addresses]
        try:
            for n, ue in enumerate(phones):
                ue.first = Set(5000 + 2 * n)
                ue.challenge(ue.first)
                ue.confirm(ue.first)
            for n, ue in enumerate(phones):
                ue.talk(ue.first)
                asked(core, ue, ue.first, uri=f'sip:ue1@{ue.address}:6300', call=f'five-{n}')
        finally:
            for ue in phones:
                ue.__exit__()


@case('ELSEWHERE', 'a phone whose Contact and Via in clear do not have 5060: when what waited expires, its set lives on', short=True)
def elsewhere():
    with Core() as core, Kamailio(grace=0, pending=4) as kamailio, Elsewhere() as ue:
        first = Set(5000)
        answer = ue.challenge(first)
        check(';port-s=%d' % PS in answer['Security-Server'].replace(' ', ''), f"Security-Server: {answer['Security-Server']}")
        ue.confirm(first)
        ue.talk(first)
        wait(lambda: kamailio.contacts() <= 1, 'the contact that waited has expired', 60)
        World.wire.seen()
        ue.talk(first)
        asked(core, ue, first)
        all_in_esp(ue)
        if OURS:
            equal(states(), {5000: 'active'}, 'the set')


@case('EXPIRY', 'a registration that is not refreshed works until expires_grace is over, then its set ends', short=True)
def expiry():
    with Core() as core, Kamailio(grace=8, pending=1) as kamailio, phone() as ue:
        first = Set(5000)
        ue.challenge(first)
        World.wire.seen()
        ue.confirm(first, expires=4)
        end = time.monotonic() + 4
        wait(lambda: time.monotonic() > end, 'expires has passed')
        check(kamailio.contacts(), 'its contact has gone within expires_grace')
        asked(core, ue, first)
        wait(lambda: not kamailio.contacts(), 'its contact goes', 60)
        core.request('MESSAGE', call='late')
        equal(core.next(lambda m: m.status and m['Call-ID'] == 'late' and m.status != '100').status, '404', 'the answer to what comes for it then')
        all_in_esp(ue)
        if OURS:
            equal(states(), {5000: 'old'}, 'the set')


@case('EXPIRY', 'a set that nobody confirms ends by itself, whatever expires_grace is', short=True)
def unconfirmed():
    short_wait()
    with Core(), Kamailio(grace=3600, pending=2), phone() as ue:
        ue.challenge(Set(5000))
        check(World.p.count(), 'there are no SAs')
        wait(lambda: not World.p.count(), 'its SAs go', 30)


@case('CAPABILITY', 'user nobody {} CAP_NET_ADMIN', each=('without', 'with'), short=('without',))
def capability(what):
    if what == 'without':
        with Kamailio(prefix=NOBODY, ready=not OURS) as kamailio:
            if OURS:
                wait(lambda: kamailio.process.poll() is not None, 'Kamailio ends', 60)
                check(kamailio.said('AmbientCapabilities=CAP_NET_ADMIN'), 'it does not say what it needs')
                return
            # What it does instead
            with Core(), Phone() as ue:
                check(ue.register(Set(5000)).status != '401', 'a 401 left, and there is no SA')
        return
    with Core() as core, Kamailio(prefix=CAPABLE), phone() as ue:
        first = Set(5000)
        ue.sign_up(first)
        ue.talk(first)
        asked(core, ue, first)


@case('SIDES', 'Gm and core have addresses and interfaces of their own: what comes from a phone leaves by the core\'s', short=True)
def two_sides():
    with Core() as core, Kamailio(listen=(P4, CORE_P), addresses=(P4,), parameters={'core_socket': f'udp:{CORE_P}:5060'} if OURS else {}), \
            phone() as ue:
        first = Set(5000)
        ue.sign_up(first)
        ue.talk(first)
        heard = core.next(lambda m: m.method == 'MESSAGE')
        equal((heard.host, heard.source), (CORE_P, 5060), 'where the request came from')
        asked(core, ue, first, to=(CORE_P, 5060))


@case('DATABASE', 'Kamailio is killed and started, contacts are in a database, db_mode {}: a phone goes on at once', each=(1, 3))
def database(mode):
    if mode == 3 and VERSION == '5.6':
        raise Skip('the user location of 5.6 keeps nothing with it')
    with Core() as core, tempfile.TemporaryDirectory() as folder:
        with Kamailio(database='sqlite:///' + make_database(folder + '/db'), db_mode=mode) as kamailio, phone() as ue:
            first = Set(5000)
            ue.sign_up(first)
            ue.talk(first)
            kamailio.kill()
            kamailio.start()
            World.wire.seen()
            asked(core, ue, first)
            ue.talk(first)
            all_in_esp(ue)
            if OURS:
                equal(said_in_clear(ue, first), '403', 'the answer to what comes in clear')
            equal(ue.register(first, first, expires=0).status, '200', 'the answer to the de-registration')


@case('RESTORED', 'contacts came back from a database, two of them of one phone: it is sent to over its newest set, and by the older one not in clear', short=())
def two_contacts():
    with Core() as core, tempfile.TemporaryDirectory() as folder:
        with Kamailio(database='sqlite:///' + make_database(folder + '/db')) as kamailio, phone() as ue:
            first, second = Set(5000), Set(5002, 6303, 6302)
            ue.sign_up(first)
            old = core.contacts[UE1]
            core.challenge.add(UE1)
            ue.challenge(second, over=first)
            ue.confirm(second)
            ue.talk(second)
            kamailio.kill()
            kamailio.start()
            World.wire.seen()
            asked(core, ue, second)
            core.request('MESSAGE', uri=old, call='old-contact')
            got = core.next(lambda m: m.status and m['Call-ID'] == 'old-contact' and m.status != '100')
            check(got.status[0] in '245', f'the answer is {got.status}')
            ue.talk(second)
            all_in_esp(ue)


@case('RESTORED', 'contacts came back from a database, and sets have gone: nothing for a phone, or as from it, is in clear', short=True)
def restored():
    with Core() as core, tempfile.TemporaryDirectory() as folder:
        with Kamailio(database='sqlite:///' + make_database(folder + '/db'), grace=3600) as kamailio:
            with phone() as ue:
                first = Set(5000)
                ue.sign_up(first)
                kamailio.kill()
                end_sets()
                kamailio.start()
                World.wire.seen()
                core.request('BYE', call='ended', tags=';tag=phone')
                got = core.next(lambda m: m.status and 'BYE' in m['CSeq'] and m.status != '100')
                check(got.status[0] in '45', f'the answer to BYE is {got.status}')
                all_in_esp(ue, (PS, *PC, first.port_s, first.port_c))
                equal(said_in_clear(ue, first), '403', 'the answer to what comes in clear')
            # Nor is that contact the one of the phone that comes next
            with Phone(UE2) as ue:
                second = Set(5010, 6301, 6310)
                ue.sign_up(second)
                ue.talk(second)
                asked(core, ue, second, impi=UE2)
                equal(ue.request('MESSAGE', second, user=UE1).status, '403', 'the answer to a request of the one before')


@case('SPELLING', 'an IPv6 address is spelled in another way {}: the phone is itself, and is sent to', short=('by the core',),
      each=('by the phone', 'by the core'))
def spelling(where):
    packed = socket.inet_pton(socket.AF_INET6, U6).hex().upper()
    other = ':'.join(packed[n:n + 4] for n in range(0, 32, 4))
    with Core() as core, Kamailio(), phone('UDP', 'IPv6') as ue:
        first = Set(5000)
        if where == 'by the phone':
            ue.host = f'[{other}]'
        ue.sign_up(first)
        uri = core.contacts[UE1]
        if where == 'by the core':
            uri = f'sip:ue1@[{other}]:{first.port_s}'
        World.wire.seen()
        asked(core, ue, first, uri=uri)
        ue.talk(first)
        all_in_esp(ue)
        equal(ue.request('MESSAGE', first, user=UE2).status, '403', 'the answer to a request of another subscriber')


@case('COMPARE', 'the script compares what it has of the set with what the message says', short=True)
def compared():
    if not OURS:
        raise Skip('the original has no such variables')
    with Core(), Kamailio('#!define COMPARES') as kamailio, phone() as ue:
        first = Set(5000)
        ue.sign_up(first)
        ue.talk(first)
        for method in ('REGISTER', 'MESSAGE'):
            check(kamailio.said(f'test: {method} is of its subscriber'), f'{method} is not of its subscriber')
        ue.request('MESSAGE', first, to=UE2)
        check(kamailio.said('test: MESSAGE is of another one'), 'what is to another one is of the subscriber')


@case('RPC', 'the script has the set of a message, and RPC those that there are', short=True)
def shown():
    if not OURS:
        raise Skip('the original has neither')
    with Core(), Kamailio() as kamailio, phone() as ue:
        first = Set(5000)
        ue.sign_up(first)
        ue.talk(first)
        b, = World.nl.dump('bundle-get')
        for text in ('test: REGISTER over set <null> of <null>', f'test: REGISTER over set {b["id"]} of {UE1}, temporary, hmac-sha-1-96, from 6301',
                     f'test: MESSAGE over set {b["id"]} of {UE1}, established, hmac-sha-1-96, from 6301'):
            check(kamailio.said(text) or kamailio.said(text.replace('established', 'active')), f'no "{text}"')
        got, = kamailio.rpc('ims_ipsec.list', UE1)
        equal({k: got[k] for k in ('id', 'owner', 'state', 'ue', 'port-uc', 'spi-ps')},
              {'id': b['id'], 'owner': UE1, 'state': 'active', 'ue': ue.address, 'port-uc': 6301, 'spi-ps': b['spi-ps']}, 'the set')
        equal(kamailio.rpc('ims_ipsec.list', UE2), [], 'the sets of another one')
        equal(kamailio.rpc('ims_ipsec.stats')['bundles'], 1, 'sets')


@case('KEMI', 'the functions, called by a script in another language')
def kemi():
    if not OURS:
        raise Skip('the original has none for it')
    with Core() as core, Kamailio('#!define KEMI') as kamailio, phone() as ue:
        first = Set(5000)
        ue.sign_up(first)
        World.wire.seen()
        ue.talk(first)
        asked(core, ue, first)
        # The other process has named the domain
        equal(ue.request('MESSAGE', first, user=UE2, to='ue1@' + REALM).status, '403', 'the answer to a request with the From of another one')
        all_in_esp(ue)
        check(not kamailio.said('test: ipsec_'), 'a call has failed')


# --- What the log says

def short_wait():
    if OURS:
        World.nl.do('config-set', {'temporary-timeout': 5000})


def traced(address, text):
    """What the command has for the operator says so as well."""
    wait(lambda: text in World.p.run(IMSIPSEC, 'trace', 'ue', address), f'imsipsec trace says "{text}"')


# Of each cause what the log says, and what `imsipsec trace ue` does
WHY = {
    'a NAT': ('there is a NAT between the phone and here', 'challenged: nothing has come from the UE over it'),
    'other keys': ('the ICV was wrong', 'the UE has another key, algorithm or mode than the bundle'),
    'another SPI': ('with an SPI that no set has', 'no SA has the SPI'),
    'nothing after the 401': ('nothing came after the 401', 'challenged: nothing has come from the UE over it'),
    'no 200': ('it answered the challenge over the new set, and no 200 came', 'the UE has sent over it: the SIP server has not confirmed it'),
    'IPv6 and no ipsec_listen_addr6': ('for IPv6 phones the second is to be set', 'it has no bundle'),
    'no Security-Client': ('no Security-Client', 'it has no bundle'),
    'nothing to choose': ('nothing of what its Security-Client offers can be had', 'it has no bundle'),
    'no keys': ('no ck of 32', 'it has no bundle'),
    'no TCP at port_us': ('does not answer over TCP at its port 6300', ': active'),
}


@case('WHY', 'the log says why, and imsipsec trace: {}', short=('a NAT', 'other keys', 'nothing after the 401', 'no 200'), each=tuple(WHY))
def why(what):
    class Strange(Phone):
        """As the test says."""

        def choose(self, mechanisms, new):
            one = super().choose(mechanisms, new)
            return {**one, 'spi-s': str(int(one['spi-s']) ^ 0x1000000)} if what == 'another SPI' else one

    if not OURS:
        raise Skip('the original says nothing of it')
    said, trace = WHY[what]
    only4 = what.startswith('IPv6')
    with Core() as core, Kamailio(addresses=(P4,) if only4 else (P4, P6), listen=(P4, P6)) as kamailio, \
            Strange(fam='IPv6' if only4 else 'IPv4') as ue:
        first = Set(5000)
        if what == 'a NAT':
            ue.host = '10.0.0.5'
        if what == 'other keys':
            core.keys_of = lambda ck, ik: (ik, ck)
        if what == 'no keys':
            core.keys_of = lambda ck, ik: (b'', b'')
        if what == 'nothing to choose':
            first.client = first.client.replace('hmac-sha-1-96', 'hmac-unheard-of')
        if what == 'no Security-Client':
            equal(ue.request('REGISTER', None, *(x for x in ue.headers(first, None) if not x.startswith('Security'))).status, '401', 'the answer')
        elif what in ('IPv6 and no ipsec_listen_addr6', 'nothing to choose', 'no keys'):
            equal(ue.register(first).status, '503', 'the answer to REGISTER')
        elif what == 'no TCP at port_us':
            ue.sign_up(first)
            ue.talk(first)
            core.request('MESSAGE', uri=f'sip:ue1@{ue.address}:{first.port_s};transport=tcp')
        else:
            short_wait()
            ue.challenge(first)
            if what == 'no 200':
                core.status = '500 Server Error'
            if what in ('other keys', 'another SPI', 'no 200'):
                ue.send(ue.text_of('REGISTER', first, *ue.headers(first, first)), first)
        # The set may be there for a while only
        traced(ue.address, trace)
        wait(lambda: kamailio.said(said), 'the log says it', 90)


@case('WHY', 'what is said of phones is said ten times in ten seconds, and how often it was left out', short=True)
def limited():
    if not OURS:
        raise Skip('the original says as much as it is sent')
    said = 'no Security-Client in its REGISTER'
    with Core() as core, Kamailio() as kamailio, phone() as ue:
        first = Set(5000)

        def without():
            ue.request('REGISTER', None, *(x for x in ue.headers(first, None) if not x.startswith('Security')))
        # One process takes them all
        for _ in range(40):
            without()
        n = sum(said in x for x in kamailio.lines())
        check(5 <= n <= 20, f'it was said {n} times')

        def told():
            without()
            return kamailio.said('lines like the next one were left out')
        wait(told, 'what was left out is told', 40)


# --- Many

# Not KAMAILIO: it takes as long as all the others
@test('K/MANY', '{} phones register, register anew, call and are called at once: none fails, and nothing is in clear',
      each=(int(os.environ.get('UES') or 500),), limit=3000)
def many(n):
    # However long a phone of a busy host takes to answer its challenge, and the core to answer Kamailio
    if OURS:
        World.nl.do('config-set', {'max-bundles': 4 * n, 'temporary-timeout': 300000})
    with Core() as core, Kamailio(pending=300, patience=120000) as kamailio:
        all_at_once(core, kamailio, n)


if __name__ == '__main__':
    main(setup_with_core, ims.before, teardown_with_core)
