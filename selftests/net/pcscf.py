#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only
"""The example P-CSCF, tried as phones in the field do it.

It is PCSCF, or that of the tree. What a phone does that is peculiar stands in its test.
"""
import os
import re
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '../lib'))
# pylint: disable=wrong-import-position,wildcard-import,unused-wildcard-import
from document import Document  # noqa: E402
from ims import P4, PAIRS, World, before, check, equal, main, receive, setup, teardown, test, wait  # noqa: E402
from sip_phone import INSTANCE, REALM, UE1, UE2, Pcscf, Phone, Set, bundles, get, imsipsec, states  # noqa: E402

DOC = Document('operation.rst')
FAMILIES = ('IPv4', 'IPv6')


# --- Which registration a REGISTER is of

def again(ue, first, second):
    """A phone that is challenged again, over its set, and uses the new one."""
    ue.challenge(second, over=first)
    ue.confirm(second)
    equal(states(), {first.spi: 'active', second.spi: 'established'}, 'the sets of the registration')
    ue.talk(second)
    equal(states(), {first.spi: 'old', second.spi: 'active'}, 'the sets of the registration')


def leave(ue, over):
    answer = ue.register(over, over, expires=0)
    equal(answer.status, '200', 'the answer to the de-registration')
    equal({*states().values()}, {'old'}, 'all sets that there are')


@test('PHONE', 'a phone whose Contact names its port_us over a set, and none in clear, {}', each=FAMILIES)
def port_us_in_contact(fam):
    with Pcscf('--reauthenticate'), Phone(fam=fam) as ue:
        first, second = Set(5000, 6301), Set(5002, 6303)
        ue.challenge(first)
        answer = ue.confirm(first)
        check(answer['Contact'].startswith(ue.contact(first) + ';'), f'Contact is {answer["Contact"]}')
        again(ue, first, second)
        equal(len({b['registration'] for b in bundles().values()}), 1, 'registrations')
        leave(ue, second)


@test('PHONE', 'a phone that changes its port_us, and its Contact with it, is one registration')
def another_port_us():
    with Pcscf('--reauthenticate'), Phone() as ue:
        first, second = Set(5000, 6301, 6300), Set(5002, 6303, 6302)
        ue.sign_up(first)
        again(ue, first, second)
        leave(ue, second)


@test('PHONE', 'a phone that comes back in clear, with another port in Contact, leaves no set behind')
def back_in_clear():
    with Pcscf(), Phone() as ue:
        first, second = Set(5000, 6301, 6300), Set(5002, 6303, 6302)
        ue.sign_up(first)
        ue.challenge(second, contact=f'<sip:ue1@{ue.host}:6302>')
        equal(states(), {5000: 'active', 5002: 'temporary'}, 'the sets')
        ue.confirm(second)
        equal(states(), {5002: 'active'}, 'the sets')


@test('PHONE', 'a phone that names its instance over a set, and not in clear, is one registration')
def late_instance():
    class Late(Phone):
        """As the test says."""

        def contact(self, over):
            return super().contact(over) + (f';+sip.instance={INSTANCE};reg-id=1' if over else '')

    with Pcscf('--reauthenticate'), Late() as ue:
        first, second = Set(5000, 6301), Set(5002, 6303)
        ue.sign_up(first)
        again(ue, first, second)
        leave(ue, second)


@test('PHONE', 'registrations of one phone: its instance with each reg-id, and the emergency one')
def registrations():
    with Pcscf(), Phone() as ue:
        def one(spi, port, contact):
            s = Set(spi, port, port + 1)
            ue.challenge(s, contact=contact)
            answer = ue.confirm(s, contact=contact)
            equal({*answer['Contact'].split(';')}, {*contact.split(';'), 'expires=600'}, 'what there is in Contact')
        uri = f'<sip:ue1@{ue.host}:7000>'
        for n, contact in enumerate((uri, f'{uri};+sip.instance={INSTANCE}', f'{uri};+sip.instance={INSTANCE};reg-id=1',
                                     f'{uri};+sip.instance={INSTANCE};reg-id=2',
                                     f'<sip:ue1@{ue.host}:7000;sos>;+sip.instance={INSTANCE};reg-id=1')):
            one(5000 + 2 * n, 7001 + 2 * n, contact)
        got = bundles()
        equal(len(got), 5, 'sets')
        equal(len({b['registration'] for b in got.values()}), 5, 'registrations')
        # With its port changed, and with its parameters in another order
        one(5100, 7101, f'<sip:ue1@{ue.host}:7101>;reg-id=2;+sip.instance={INSTANCE}')
        equal({*states()}, {5000, 5002, 5004, 5008, 5100}, 'sets: it takes the place of the one before')


# How a phone comes back that has lost its state: its SPI and ports, and what it adds to Contact
LOST = {'with the same SPIs and ports': (5000, 6301, 6300, ''),
        'with the same ports': (6000, 6301, 6300, ''),
        'with the same SPIs': (5000, 7301, 7300, ''),
        'with the same port_us': (6000, 7301, 6300, ''),
        'with the same SPIs and ports, as another contact': (5000, 6301, 6300, f';+sip.instance={INSTANCE};reg-id=1'),
        'with the same ports, as another contact': (6000, 6301, 6300, f';+sip.instance={INSTANCE};reg-id=1')}


@test('PHONE C5', 'a phone that has lost its state registers again, {}', each=tuple((x, y) for x in LOST for y in ('UDP', 'TCP')))
def lost_state(case):
    how, over = case
    spi, *ports, more = LOST[how]
    # Addresses and ports of a connection are those of two sets: by the mark it is told over which it was opened
    with World.p.sysctl(ipv4__tcp_fwmark_accept=1), Pcscf() as pcscf:
        with Phone() as ue:
            ue.sign_up(Set(5000))
        was, = World.nl.dump('bundle-get')
        with Phone() as ue:
            new, uri = Set(spi, *ports), f'<sip:ue1@{ue.host}:{ports[1]}>{more}'
            ue.challenge(new, contact=uri)
            equal(get(was)['state'], 'active', 'the old set, until the phone has shown who it is')
            if over == 'UDP':
                ue.confirm(new, contact=uri)
            else:
                with ue.connect(new) as s:
                    s.send(ue.text_of('REGISTER', new, *ue.headers(new, new), contact=uri).encode())
                    check(receive(s).startswith(b'SIP/2.0 200 '), 'the answer over TCP')
            ue.talk(new)
            now = World.nl.dump('bundle-get')
            equal([(b['spi-uc'], b['state']) for b in now], [(spi, 'active')], 'the sets')
            wait(lambda: pcscf.said(f'bundle {was["id"]} is gone'), 'the P-CSCF hears of the old set')


# --- Answers, and where they go

@test('PHONE', 'the answer to a REGISTER over a new set leaves over that one, {}', each=FAMILIES)
def answered_over_the_new_set(fam):
    with Pcscf('--reauthenticate'), Phone(fam=fam) as ue:
        first, second = Set(5000, 6301), Set(5002, 6303)
        ue.sign_up(first)
        ue.challenge(second, over=first)
        # From here on this phone takes nothing over the first
        ue.forget(first)
        answer = ue.confirm(second)
        equal((answer.source, answer.port), (bundles()[5002]['port-pc'], 6300), 'the ports that the answer went from and to')
        check(bundles()[5000]['port-pc'] != bundles()[5002]['port-pc'], 'the two sets have one port_pc')


class OneSocket(Phone):
    """Sends and receives at its port_uc alone, in clear as well, and says so in Via and Contact."""

    def __init__(self, port, **more):
        super().__init__(**more)
        self.clear_port = port

    def via(self, over):
        return self.clear_port

    def contact(self, over):
        return f'<sip:ue1@{self.host}:{self.clear_port}>'

    def ports(self, new):
        return (new.port_c,)


@test('PHONE', 'a phone with one socket, which Via and Contact name, {}', each=FAMILIES)
def one_socket(fam):
    with Pcscf('--send-options') as pcscf, OneSocket(6301, fam=fam) as ue:
        first = Set(5000, 6301, 6300)
        ue.challenge(first)
        answer = ue.confirm(first)
        ps = bundles()[5000]['port-ps']
        equal((answer.source, answer.port), (ps, 6301), 'the ports that the answer to REGISTER went from and to')
        asked_for_options(pcscf, ue, first, (ps, 6301))
        answer = ue.talk(first)
        equal((answer.source, answer.port), (ps, 6301), 'the ports that the answer to MESSAGE went from and to')
        answer = ue.register(first, first, expires=0)
        equal((answer.status, answer.port), ('200', 6301), 'the answer to the de-registration')


def asked_for_options(pcscf, ue, over, ports):
    """By a request of the P-CSCF's, whose answer it gets."""
    request = ue.next(lambda m: m.method == 'OPTIONS')
    equal((request.source, request.port), ports, 'the ports that the request went from and to')
    ue.respond(request, over)
    wait(lambda: pcscf.said(f'an answer over bundle {bundles()[over.spi]["id"]}'), 'the P-CSCF has the answer')


@test('PHONE', 'a request to a phone goes to its port_us, and its answer comes to port_ps, {}', each=FAMILIES)
def asked(fam):
    with Pcscf('--reauthenticate', '--send-options') as pcscf, Phone(fam=fam) as ue:
        first, second = Set(5000, 6301), Set(5002, 6303)
        ue.sign_up(first)
        was = bundles()[5000]['port-pc']
        asked_for_options(pcscf, ue, first, (was, 6300))
        ue.sign_up(second, over=first)
        # D7: the new set has not been used yet
        asked_for_options(pcscf, ue, first, (was, 6300))


# --- The security agreement

class FirstOfAll(Phone):
    """Takes the first mechanism of Security-Server, whatever it has offered."""

    def choose(self, mechanisms, new):
        equal({k: mechanisms[0].get(k) for k in ('alg', 'ealg')}, {k: new.mine[k] for k in ('alg', 'ealg')},
              'the first in Security-Server')
        return mechanisms[0]


@test('PHONE', 'a phone that takes the first of Security-Server, {}', each=('by default', 'of a list'))
def first_of_all(what):
    with Pcscf(*(('--security-server', 'list') if what == 'of a list' else ())), FirstOfAll() as ue:
        # The last in the P-CSCF's order
        only = Set(5000, alg='hmac-md5-96')
        ue.sign_up(only)
        equal(len(only.verify.split(',')), 9 if what == 'of a list' else 1, 'mechanisms in Security-Server')


def static_list(answer, status):
    """What an answer says may be offered."""
    equal(answer.status, status, f'the answer, {answer}')
    equal(answer['Require'], 'sec-agree', 'Require')
    mechanisms = [x.strip() for x in (answer['Security-Server'] or '').split(',')]
    pairs = [re.match(r'ipsec-3gpp;q=[0-9.]+;alg=([\w-]+);prot=esp;mod=trans;ealg=([\w-]+)$', x) for x in mechanisms]
    check(all(pairs), f'Security-Server: {mechanisms}')
    equal({x.groups() for x in pairs}, {*PAIRS}, 'the pairs in Security-Server')


@test('PHONE', 'the answers 421 and 494 have the list of what may be offered, and Require: sec-agree')
def demands():
    with Pcscf(), Phone() as ue:
        digest = f'Digest username="{ue.impi}", realm="{REALM}", uri="sip:{REALM}", nonce="", response=""'
        static_list(ue.request('REGISTER', None, f'Authorization: {digest}'), '421')
        strange = Set(5000, ealg='rot13')
        static_list(ue.register(strange), '494')
        first = Set(5000)
        ue.challenge(first)
        # Somebody has changed what was agreed on
        was, first.verify = first.verify, first.verify.replace('null', 'aes-cbc')
        check(was != first.verify, first.verify)
        static_list(ue.register(first, first), '494')
        wait(lambda: states().get(5000) in (None, 'old'), 'the set ends')


@test('PHONE', 'a malformed offer beside a good one is passed over, {}', each=('before', 'behind', 'in another header'))
def malformed(where):
    bad = {'SPI 0': 'ipsec-3gpp;alg=hmac-sha-1-96;spi-c=0;spi-s=5001;port-c=6301;port-s=6300',
           'no alg': 'ipsec-3gpp;spi-c=5000;spi-s=5001;port-c=6301;port-s=6300',
           'port 70000': 'ipsec-3gpp;alg=hmac-sha-1-96;ealg=aes-cbc;spi-c=5000;spi-s=5001;port-c=70000;port-s=6300',
           'a quote': 'ipsec-3gpp;alg="hmac;ealg'}
    with Pcscf(), Phone() as ue:
        for n, (what, text) in enumerate(bad.items()):
            if what == 'a quote' and where == 'before':
                continue
            s = Set(5000 + 2 * n, 6301 + 2 * n)
            joint = '\r\nSecurity-Client: ' if where == 'in another header' else ', '
            s.client = joint.join((s.client, text) if where == 'behind' else (text, s.client))
            answer = ue.register(s)
            equal(answer.status, '401', f'the answer to an offer with {what}')
            ue.agree(s, answer)
            ue.confirm(s)


@test('PHONE D7a', 'the answer to a REGISTER over a new set leaves over that one, though {}',
      each=('there is one port_pc', 'the phone has one socket'))
def answered_by_mark(what):
    one = what == 'the phone has one socket'
    with Pcscf('--reauthenticate', *(() if one else ('--port-pc', '5062'))), OneSocket(6301) if one else Phone() as ue:
        first, second = Set(5000, 6301), Set(5002, 6301 if one else 6303)
        ue.sign_up(first)
        ue.challenge(second, over=first)
        # From here on this phone takes nothing over the first
        ue.forget(first)
        ue.confirm(second)
        ue.talk(second)
        equal(states(), {5000: 'old', 5002: 'active'}, 'the sets')


# --- Where a phone is

@test('PHONE C1 IDLE', 'an address given to another subscriber, whose phone has the same ports, is refused until {}',
      each=('flush ue', 'idle-timeout'))
def inherited_address(cure):
    command = DOC.block('An address that changes hands', cure)[0].split()[1:]
    if cure == 'idle-timeout':
        imsipsec(*command)
        # Not so long
        World.nl.do('config-set', {'idle-timeout': 1000})
    with Pcscf():
        with Phone(UE1) as gone:
            gone.sign_up(Set(5000))
        with Phone(UE2) as heir:
            own = Set(6000)
            answer = heir.register(own)
            if cure == 'idle-timeout' and answer.status == '401':
                # It took so long
                heir.agree(own, answer)
            else:
                equal(answer.status, '403', f'the answer while the other one is there, {answer}')
                World.nl.do('bundle-get', id=bundles()[5000]['id'])
                if cure == 'flush ue':
                    refusal = imsipsec('trace', 'ue', heir.address)
                    check('ue1@ims.example' in str(refusal), f'trace does not name who has the port: {refusal}')
                    imsipsec(*command)
                else:
                    wait(lambda: not states(), 'the idle set goes')
                heir.challenge(own)
            heir.confirm(own)
            equal(states(), {6000: 'active'}, 'the sets')


@test('PHONE', 'IPv4 by sockets of both families: UDP and TCP, a re-authentication, a NAT')
def both_families():
    with Pcscf('--both-families', '--reauthenticate', '--nat', addresses=(P4,)) as pcscf, Phone() as ue:
        first, second = Set(5000, 6301), Set(5002, 6303)
        ue.sign_up(first)
        again(ue, first, second)
        equal({b['ue-address'] for b in bundles().values()}, {ue.address}, 'addresses')
        with ue.connect(second) as s:
            s.send(ue.text_of('MESSAGE', second).encode())
            check(receive(s).startswith(b'SIP/2.0 200 '), 'the answer over TCP')
        leave(ue, second)
        check(not pcscf.said('::ffff:'), 'an address in another form')
    with Pcscf('--both-families', '--nat', addresses=(P4,)), Phone() as ue:
        ue.host = '10.0.0.5'
        equal(ue.register(Set(6000, more=';mod=UDP-enc-tun')).status, '401', 'the answer to one behind a NAT')
        got = bundles()[6000]
        equal((got['mode'], got['ue-address'], got['ue-nat-address']), ('udp-enc-tun', '10.0.0.5', ue.address), 'where it is')


if __name__ == '__main__':
    main(setup, before, teardown)
