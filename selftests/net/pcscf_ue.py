#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only
"""The example P-CSCF, and what public reports say that phones do: each a small phone, and none is refused."""
import base64
import os
import select
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '../lib'))
# pylint: disable=wrong-import-position,wildcard-import,unused-wildcard-import
from ims import World, before, check, equal, main, setup, teardown, test, wait  # noqa: E402
from sip_phone import INSTANCE, REALM, Pcscf, Phone, Set, bundles, states  # noqa: E402

FAMILIES = ('IPv4', 'IPv6')
# Where a phone comes from when it has moved
MOVED = {'IPv4': '192.0.2.102', 'IPv6': '2001:db8::102'}


# --- The challenge

def out_of_range(ue, new, refused, over=None):
    """TS 24.229 clause 5.1.1.5.3: the network's SQN is not the phone's, which has other SPIs, and answers with AUTS."""
    auts = base64.b64encode(bytes(range(14))).decode()
    digest = (f'Digest username="{ue.impi}", realm="{REALM}", uri="sip:{REALM}", nonce="{refused.nonce}", response="", '
              f'auts="{auts}", algorithm=AKAv1-MD5')
    headers = [f'Authorization: {digest}', f'Security-Client: {new.client}', 'Expires: 600', 'Require: sec-agree']
    if over:
        headers.append(f'Security-Verify: {over.verify}')
    answer = ue.request('REGISTER', over, *headers)
    equal(answer.status, '401', f'the answer to AUTS, {answer}')
    ue.agree(new, answer)


@test('PHONE', 'a phone with another SQN: AUTS, and it is challenged anew, {}', each=FAMILIES)
def resynchronisation(fam):
    with Pcscf('--reauthenticate'), Phone(fam=fam) as ue:
        first, second, third, fourth = (Set(5000 + 2 * n, 6301 + 2 * n) for n in range(4))
        ue.challenge(first)
        out_of_range(ue, second, first)
        equal(states(), {5002: 'temporary'}, 'the sets after AUTS in clear')
        ue.confirm(second)
        ue.talk(second)
        # The same over the set that there is by now
        ue.challenge(third, over=second)
        out_of_range(ue, fourth, third, over=second)
        equal(states(), {5002: 'active', 5006: 'temporary'}, 'the sets after AUTS over a set')
        ue.talk(second)
        ue.confirm(fourth)
        ue.talk(fourth)
        equal(states(), {5002: 'old', 5006: 'active'}, 'the sets')


@test('PHONE', 'a phone that sends REGISTER in clear from its port_us, before it has a set and beside one, {}', each=FAMILIES)
def clear_from_port_us(fam):
    with Pcscf(), Phone(fam=fam) as ue:
        ue.clear_port = 6300
        first, second = Set(5000, 6301), Set(5002, 6303)
        answer = ue.challenge(first)
        equal((answer.source, answer.port), (5060, 6300), 'the ports that the challenge went from and to')
        ue.confirm(first)
        ue.talk(first)
        # It has lost nothing, and begins anew all the same
        answer = ue.challenge(second)
        equal((answer.source, answer.port), (5060, 6300), 'the ports that the challenge went from and to')
        equal(states(), {5000: 'active', 5002: 'temporary'}, 'the sets')
        ue.confirm(second)
        ue.talk(second)
        equal(states().get(5002), 'active', 'the new set')


# --- The security agreement

@test('PHONE', 'a phone that offers 6 KB of mechanisms, of which the last is known, {}', each=FAMILIES)
def offers(fam):
    with Pcscf('--reauthenticate'), Phone(fam=fam) as ue:
        first, second = Set(5000, 6301), Set(5002, 6303)
        for s in (first, second):
            strange = ', '.join(s.client.replace('ealg=null', f'ealg=cipher-of-the-future-{n}') for n in range(60))
            s.client = f'{strange}, {s.client}'
            check(len(s.client) > 6000, f'{len(s.client)} bytes of Security-Client')
        ue.sign_up(first)
        ue.talk(first)
        ue.sign_up(second, over=first)
        ue.talk(second)
        equal(states(), {5000: 'old', 5002: 'active'}, 'the sets')


def in_reverse(name, parameters):
    return ';'.join([name, *reversed(parameters)])


def in_capitals(name, parameters):
    return ';'.join([name.upper(), *(x.partition('=')[0].upper() + '=' + x.partition('=')[2] for x in parameters)])


def with_blanks(name, parameters):
    return '  ;\t'.join([name, *(x.replace('=', ' = ') for x in parameters)])


def in_all_ways(name, parameters):
    return ' ; '.join([name.title(), *(x.partition('=')[0].title() + ' =  ' + x.partition('=')[2] for x in parameters[::-1])])


@test('PHONE', 'a phone that writes Security-Verify anew: {}',
      each=tuple((f, s) for f in (in_reverse, in_capitals, with_blanks, in_all_ways) for s in ('list', 'single')))
def rebuilt(case):
    how, security_server = case
    with Pcscf('--security-server', security_server, '--reauthenticate'), Phone() as ue:
        first, second = Set(5000, 6301), Set(5002, 6303)
        for s, over in ((first, None), (second, first)):
            ue.challenge(s, over=over)
            said, mechanisms = s.verify, []
            for text in said.split(','):
                name, *parameters = [x.strip() for x in text.split(';')]
                mechanisms.append(how(name, parameters))
            s.verify = ',   '.join(mechanisms)
            check(s.verify != said, s.verify)
            ue.confirm(s)
            ue.talk(s)
        equal(states(), {5000: 'old', 5002: 'active'}, 'the sets')


@test('PHONE', 'a phone that has a header Security-Verify for each mechanism')
def headers_of_verify():
    with Pcscf('--security-server', 'list'), Phone() as ue:
        first = Set(5000)
        ue.challenge(first)
        first.verify = '\r\nSecurity-Verify: '.join(x.strip() for x in first.verify.split(','))
        check('\r\n' in first.verify, 'there is one mechanism alone')
        ue.confirm(first)
        ue.talk(first)


# --- Registrations

@test('PHONE', 'a registration with sos beside a normal one: each has its set, and ends alone, {}', each=FAMILIES)
def emergency(fam):
    with Pcscf('--reauthenticate'), Phone(fam=fam) as ue:
        normal, sos, next_normal = Set(5000, 6301, 6300), Set(5002, 6303, 6302), Set(5004, 6305, 6304)

        def contact(s, more=''):
            return f'<sip:ue1@{ue.host}:{s.port_s}{more}>;+sip.instance={INSTANCE}'
        ue.challenge(normal, contact=contact(normal))
        ue.confirm(normal, contact=contact(normal))
        ue.challenge(sos, contact=contact(sos, ';sos'))
        answer = ue.confirm(sos, contact=contact(sos, ';sos'))
        check('sos' in answer['Contact'], f'Contact: {answer["Contact"]}')
        for s in (normal, sos, normal):
            ue.talk(s)
        equal(states(), {5000: 'active', 5002: 'active'}, 'the sets')
        equal(len({b['registration'] for b in bundles().values()}), 2, 'registrations')
        # The normal one is authenticated again, and the other does not mind
        ue.challenge(next_normal, over=normal, contact=contact(next_normal))
        ue.confirm(next_normal, contact=contact(next_normal))
        ue.talk(next_normal)
        equal(states(), {5000: 'old', 5002: 'active', 5004: 'active'}, 'the sets')
        answer = ue.register(next_normal, next_normal, expires=0, contact=contact(next_normal))
        equal(answer.status, '200', 'the answer to the de-registration')
        equal(states().get(5002), 'active', 'the set of sos')
        ue.talk(sos)


@test('PHONE', 'a phone that de-registers with "Contact: *": all sets of its registration end, {}', each=FAMILIES)
def star(fam):
    with Pcscf('--reauthenticate'), Phone(fam=fam) as ue:
        first, second = Set(5000, 6301), Set(5002, 6303)
        ue.sign_up(first)
        ue.talk(first)
        ue.sign_up(second, over=first)
        ue.talk(second)
        equal(states(), {5000: 'old', 5002: 'active'}, 'the sets')
        answer = ue.register(second, second, expires=0, contact='*')
        equal(answer.status, '200', 'the answer to the de-registration')
        equal({*states().values()} - {'old'}, set(), 'the sets')


# --- TCP

def connect(ue, over):
    """A connection of the phone's over a set, to port_ps."""
    s = World.u.tcp(ue.address, over.port_c)
    s.connect_ex((ue.p, int(over.server['port-s'])))
    check(select.select([], [s], [], 20)[1] and not s.getsockopt(1, 4), 'a TCP connection')
    s.setsockopt(1, 13, b'\1\0\0\0\0\0\0\0')
    return s


def over_tcp(ue, conn, over):
    """A MESSAGE over a connection, and its answer."""
    conn.send(ue.text_of('MESSAGE', over).replace('SIP/2.0/UDP', 'SIP/2.0/TCP').encode())
    check(select.select([conn], [], [], 20)[0], 'nothing heard over TCP')
    return conn.recv(1 << 16).decode().split()[1]


def connections(ue):
    """Those that P has with the phone."""
    return len(World.p.run('ss', '-Htn', 'dst', ue.host).splitlines())


@test('PHONE', 'a phone that is handed over while it has a connection: it registers from its new address, {}', each=FAMILIES)
def handover(fam):
    bits = 64 if fam == 'IPv6' else 24
    with Pcscf('--reauthenticate'), Phone(fam=fam) as ue:
        instance = f';+sip.instance={INSTANCE}'
        first, second = Set(5000, 6301), Set(5002, 6303)
        ue.challenge(first, contact=ue.contact(None) + instance)
        ue.confirm(first, contact=ue.contact(first) + instance)
        conn = connect(ue, first)
        equal(over_tcp(ue, conn, first), '200', 'the answer over TCP')
        equal(connections(ue), 1, 'connections')
        World.u.ip(f'addr add {MOVED[fam]}/{bits} dev u0 {"nodad" if fam == "IPv6" else ""}')
        try:
            with Phone(fam=fam, address=MOVED[fam]) as moved:
                moved.challenge(second, contact=moved.contact(None) + instance)
                equal(states(), {5000: 'active', 5002: 'temporary'}, 'the sets while it is challenged')
                # It is still where it was, too
                equal(over_tcp(ue, conn, first), '200', 'the answer over TCP')
                moved.confirm(second, contact=moved.contact(second) + instance)
                moved.talk(second)
                equal(states().get(5002), 'active', 'the new set')
                fresh = connect(moved, second)
                equal(over_tcp(moved, fresh, second), '200', 'the answer over TCP from the new address')
                fresh.close()
                wait(lambda: states() == {5002: 'active'}, f'the old set goes: {states()}')
                wait(lambda: not connections(ue), 'the connection over the old set ends')
        finally:
            conn.close()
            World.u.ip(f'addr del {MOVED[fam]}/{bits} dev u0')


if __name__ == '__main__':
    main(setup, before, teardown)
