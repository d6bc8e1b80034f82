#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only
"""imsipsec-ue(8) with the example P-CSCF, and with what is wrong on the way: it names it, and leaves nothing behind.

With Kamailio: ue_kamailio.py.
"""
import os
import re
import signal
import socket
import struct
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '../lib'))
# pylint: disable=wrong-import-position
from ims import ADDRESSES, ESP, P4, PAIRS, U4, World, before, check, equal, main, say, setup, teardown, test, wait  # noqa: E402
from ue_tool import FOREIGN, PATIENT, Tool, derived, good, named, no_clear, notes, prefix, ran  # noqa: E402
from by_hand import ByHand, InPlace  # noqa: E402
from phones import one_nat  # noqa: E402
from sip_phone import Pcscf  # noqa: E402

FAMILIES = ('IPv4', 'IPv6')
WAYS = ('udp', 'tcp')
# Of the example P-CSCF
PORTS = (5062, 5063, 5064)
# For what is not answered
SHORT = ('--timeout', '5', '--t1', '1')


@test('UE', 'register, message, reregister, message, deregister over {}: all are answered, in ESP',
      each=tuple((w, f) for w in WAYS for f in FAMILIES))
def steps(case):
    way, fam = case
    with Pcscf('--reauthenticate'):
        World.wire.seen()
        done = ran('register', 'message', 'reregister', 'message', 'deregister', '--transport', way, pcscf=ADDRESSES[fam][0])
        good(done, 'register', 'reregister', 'deregister')
        equal(done.json['steps']['message']['good'], 2, 'messages')
        check('not-challenged' not in notes(done), 'it was not challenged again')
        no_clear(PORTS)
        check(done.json['steps']['register']['ms']['max'] > 0, 'no time')


@test('UE', 'a refresh that is not challenged keeps the set')
def refreshed():
    with Pcscf():
        done = ran('register', 'reregister', 'message', pcscf=P4)
        good(done, 'register', 'reregister', 'message', 'leave')
        check('not-challenged' in notes(done), f'notes are {notes(done)}')


@test('UE', 'each pair of algorithms: {}', each=PAIRS)
def pairs(pair):
    with Pcscf('--algs', '='.join(pair)):
        World.wire.seen()
        good(ran('register', 'message', 'deregister', '--algs', '='.join(pair), pcscf=P4), 'register', 'message', 'deregister')
        no_clear(PORTS)


@test('UE', 'of all pairs the P-CSCF takes what it prefers, and the phone with it')
def all_pairs():
    with Pcscf('--algs', 'hmac-md5-96=des-ede3-cbc,hmac-sha-1-96=null', '--security-server', 'list'):
        with Tool('register', '--algs', 'all', '--hold', '60', pcscf=P4) as tool:
            tool.registered()
            equal({(b['auth-alg'], b['enc-alg']) for b in World.nl.dump('bundle-get')}, {('hmac-md5-96', 'des-ede3-cbc')}, 'the pair')


@test('UE', 'behind a NAT, {}', each=tuple((w, f) for w in WAYS for f in FAMILIES))
def behind_nat(case):
    way, fam = case
    # The NAT of these tests passes UDP alone: what is in clear goes over UDP
    if way == 'tcp':
        return behind_nat_tcp(fam)
    with Pcscf('--nat', '--reauthenticate'), one_nat() as nat:
        done = ran('register', 'message', 'reregister', 'message', 'deregister', '--mod', 'UDP-enc-tun', pcscf=ADDRESSES[fam][0], ns=nat.h)
        good(done, 'register', 'reregister', 'deregister')
        equal(done.json['steps']['message']['good'], 2, 'messages')


def behind_nat_tcp(fam):
    with Pcscf('--nat'), one_nat() as nat, World.p.sysctl(ipv4__tcp_fwmark_accept=1):
        nat.nft.run('table inet more', 'delete table inet more', 'table inet more {', 'chain post {', 'type nat hook postrouting priority srcnat;',
                    f'oifname "n{nat.i}" meta l4proto tcp masquerade', '}', '}')
        done = ran('register', 'message', 'deregister', '--mod', 'trans,UDP-enc-tun', '--transport', 'tcp', pcscf=ADDRESSES[fam][0], ns=nat.h)
        good(done, 'register', 'message', 'deregister')


@test('UE', 'what the P-CSCF sends is answered, {}', each=FAMILIES)
def incoming(fam):
    with Pcscf('--send-options') as pcscf:
        with Tool('register', '--hold', '60', pcscf=ADDRESSES[fam][0]) as tool:
            tool.registered()
            wait(lambda: pcscf.said('an answer over bundle'), 'OPTIONS is answered')
            tool.process.send_signal(signal.SIGTERM)
            done = tool.end()
    equal((done.status, done.json['failures'], done.json['steps']['incoming']['good']), (143, [], 1), 'how it ended, and what came')


@test('UE', 'SQN is out of range: resynchronised, and said')
def resynchronised():
    with Pcscf():
        done = ran('register', 'message', sqn='000000000001', pcscf=P4)
        good(done, 'register', 'message')
        equal(notes(done), {'resynchronised'}, 'notes')


@test('UE', 'SQN is out of range also after AUTS: that is said')
def never_in_range():
    with Pcscf():
        check('HSS' in named(ran('register', sqn='00ffffffffff', pcscf=P4), ('register', 'sqn')), 'who is to blame')


@test('UE', 'another K than the HSS has: AUTN is not taken')
def wrong_key():
    with Pcscf():
        check('K or OPc' in named(ran('register', 'message', key='00' * 16, pcscf=P4), ('register', 'autn-mac')), 'the reason')


@test('UE', 'no pair in common: {}', each=('alg', 'mod'))
def no_pair(what):
    with Pcscf('--algs', 'hmac-md5-96=null'):
        options = ('--algs', 'null=aes-gcm') if what == 'alg' else ('--algs', 'hmac-md5-96=null', '--mod', 'UDP-enc-tun')
        text = named(ran('register', *options, pcscf=P4), ('register', 'no-pair'))
        check('494' in text and 'hmac-md5-96' in text, f'the reason: {text}')


@test('UE', 'a subscriber whom the network does not know: 403')
def unknown():
    with Pcscf() as pcscf:
        pcscf.vectors.truncate(0)
        check('403' in named(ran('register', pcscf=P4), ('register', 'refused')), 'the reason')


@test('UE', 'nobody is there, over {}', each=WAYS)
def nobody(way):
    named(ran('register', '--transport', way, *SHORT, pcscf=P4), ('register', 'no-connection' if way == 'tcp' else 'unreachable'))


def drop(ns, *rules):
    ns.run('nft', '-f', '-', stdin='\n'.join(('table inet lost {', 'chain in {', 'type filter hook input priority -400;', *rules, '}', '}', '')))


@test('UE', 'nothing comes in clear: {} is lost', each=('the REGISTER', 'the 401'))
def lost_in_clear(what):
    with Pcscf():
        drop(World.p if what == 'the REGISTER' else World.u, 'udp dport 5060 drop' if what == 'the REGISTER' else 'udp sport 5060 drop')
        try:
            done = ran('register', *SHORT, pcscf=P4)
            named(done, ('register', 'no-answer'))
            check(done.json['steps']['register']['resent'] >= 2 and done.json['steps']['register']['lost'] == 1, f'{done.json["steps"]}')
        finally:
            (World.p if what == 'the REGISTER' else World.u).run('nft delete table inet lost')


@test('UE', 'SAs are there, and nothing comes back over ESP, over {}', each=WAYS)
def nothing_over_esp(way):
    with Pcscf():
        drop(World.p, 'meta l4proto esp drop')
        try:
            text = named(ran('register', '--transport', way, *SHORT, pcscf=P4), ('register', 'nothing-over-esp'))
            check('SAs are there' in text and 'packets sent' in text, f'the reason: {text}')
        finally:
            World.p.run('nft delete table inet lost')


@test('UE', 'what comes back has a wrong ICV')
def wrong_icv():
    with Pcscf():
        drop(World.p, 'meta l4proto esp drop')
        try:
            with Tool('register', '--timeout', '10', pcscf=P4) as tool, World.p.socket(socket.AF_INET, socket.SOCK_RAW, ESP) as raw:
                found = wait(lambda: [s for s in World.u.states() if s['dst'] == U4 and s['sport'] == 5063], 'the phone has its SAs')
                raw.sendto(struct.pack('>II', found[0]['spi'], 1) + os.urandom(96), (U4, 0))
                named(tool.end(), ('register', 'icv'))
        finally:
            World.p.run('nft delete table inet lost')


@test('UE', 'a 401 without Security-Server, and with ck and ik')
def no_security_server():
    with InPlace():
        done = ran('register', pcscf=P4)
        equal({x['code'] for x in done.json['failures']}, {'no-security-server', 'keys-sent'}, 'codes')


@test('UE', 'what the P-CSCF says is not usable: {}', each=('port-s=0', 'spi-s=0', 'no AKA', '200 at once'))
def unusable(what):
    class Wrong(InPlace):
        """As the test says."""

        def demand(self, m, impi):
            text = super().demand(m, impi)
            if what == 'no AKA':
                return text.replace('AKAv1-MD5', 'MD5')
            if what == '200 at once' and m:
                return self.reply(m, '200 OK')
            said = {'spi-c': 1000, 'spi-s': 1001, 'port-c': 5062, 'port-s': 5063, **{k: v for k, _, v in [what.partition('=')] if v}}
            said = ';'.join(f'{k}={v}' for k, v in said.items())
            return text.replace('\r\n\r\n', f'\r\nSecurity-Server: ipsec-3gpp;alg=hmac-md5-96;ealg=null;{said}\r\n\r\n')
    with Wrong():
        done = ran('register', pcscf=P4)
        code = {'no AKA': 'no-aka', '200 at once': 'not-challenged'}.get(what, 'security-server')
        check(code in {x['code'] for x in done.json['failures']}, f'{done.json["failures"]}')
        check(what not in ('port-s=0', 'spi-s=0') or what in str(done.json['failures']), f'{done.json["failures"]}')


ONE = ('--algs', 'hmac-md5-96=null')


@test('UE', 'a P-CSCF that does nothing wrong, over {}', each=WAYS)
def by_hand(way):
    with ByHand():
        done = ran('register', 'message', 'call', 'deregister', '--to', 'sip:ue2@ims.example', '--transport', way, *ONE, pcscf=P4)
        good(done, 'register', 'message', 'call', 'deregister')


@test('UE', 'an answer in clear is named, and taken by no phone, over {}', each=WAYS)
def answer_in_clear(way):
    with ByHand() as pcscf, Tool('register', 'message', '--stay', '--talk', '1', '--transport', way, *ONE, *SHORT, pcscf=P4) as tool:
        pcscf.wrong.add('in clear')
        done = tool.end()
        text = named(done, ('register', 'in-clear'), ('message', 'nothing-over-esp'))
        check('in clear' in text and '200' in text, f'the reason: {text}')
        equal(done.json['steps']['register']['in_clear'], 1, 'in clear')


class Again(ByHand):
    """It challenges each REGISTER that offers another set."""
    offered = None

    def register(self, m):
        if m['Security-Client'] != self.offered:
            self.offered = m['Security-Client']
            self.challenge.add('ue1@ims.example')
        return super().register(m)


@test('UE', 'an answer over the old set is named')
def answer_over_old():
    class Old(Again):
        """From when there are two sets on."""

        def over_esp(self, data, port):
            if len(self.sets) > 1 and b'200 OK' in data:
                self.wrong.add('old')
            super().over_esp(data, port)
    with Old():
        done = ran('register', 'reregister', '--stay', *ONE, pcscf=P4)
        named(done, ('reregister', 'old-set'))
        equal((done.json['steps']['reregister']['old_set'], done.json['steps']['register']['good']), (1, 1), 'over the old set, and before')


@test('UE', 'an answer that comes from port_ps to port_uc over UDP is told')
def answer_to_port_uc():
    with ByHand('port'):
        done = ran('register', '--stay', *ONE, pcscf=P4)
        good(done, 'register')
        equal(notes(done), {'port'}, 'notes')


@test('UE', 'what the S-CSCF or the P-CSCF does wrong has a name: {}', each=(
    ('res', 'register', 'res'), ('esp', 'register', 'esp-silent'), ('dialog', 'call', 'dialog-port'), ('unrecorded', 'call', 'no-record-route')))
def wrong_answers(case):
    what, step, code = case
    with ByHand(what):
        named(ran('register', *([step] if step == 'call' else []), '--to', 'sip:ue2@ims.example', '--stay', *ONE, *SHORT, pcscf=P4), (step, code))


@test('UE', 'a request to the phone is answered, and named where it comes {}', each=('as it has to', 'in clear', 'to port_uc'))
def asked(how):
    with ByHand() as pcscf, Tool('register', '--hold', '60', '--stay', *ONE, pcscf=P4) as tool:
        tool.registered()
        pcscf.ask('OPTIONS', how == 'to port_uc') if how != 'in clear' else in_clear(pcscf)
        tool.process.send_signal(signal.SIGINT)
        codes = {'in clear': [('incoming', 'in-clear')], 'to port_uc': [('incoming', 'port')]}.get(how, [])
        done = tool.end()
        equal((done.status, [(x['step'], x['code']) for x in done.json['failures']]), (130, codes), 'how it ended')
        equal(done.json['steps']['incoming']['sent'], 1, 'requests')


def in_clear(pcscf):
    """It has no SAs any more, and hears no answer: the phone tells that it has come."""
    pcscf.forget()
    uc, us, pc = pcscf.sets[-1]
    pcscf.prot[pc].sendto(f'OPTIONS sip:a SIP/2.0\r\nVia: SIP/2.0/UDP {P4}:{pc};branch=z9hG4bK1\r\nCall-ID: 1\r\nCSeq: 1 OPTIONS\r\nFrom: <sip:a>\r\n'
                          'To: <sip:b>\r\n\r\n'.encode(), (U4, us))
    wait(lambda: World.u.states() and any(s['src'] == U4 and s['sport'] == us and re.search(r'\s1\(packets\)', s['text']) for s in World.u.states()),
         'the phone answers')


@test('UE', 'SIGINT: the phones go, and SAs and policies of others stay')
def interrupted():
    World.u.ip(*FOREIGN)
    with Pcscf(), Tool('register', '--hold', '60', pcscf=P4) as tool:
        tool.registered()
        equal(World.u.count(), 5, 'SAs meanwhile')
        tool.process.send_signal(signal.SIGINT)
        done = tool.end()
    equal((done.status, done.json['interrupted'], done.json['failures']), (130, True, []), 'how it ended')
    equal((World.u.count(), World.u.count('policy')), (1, 1), 'SAs and policies of others')


@test('UE', 'kill -9: its SAs end by themselves, for they have a time')
def killed():
    with Pcscf(), Tool('register', '--hold', '60', '--expires', '300', pcscf=P4) as tool:
        tool.registered()
        tool.process.kill()
        tool.process.wait()
        equal({s['expire'][0][1] for s in World.u.states()}, {'900'}, 'seconds that the SAs have')


@test('UE', 'the P-CSCF is on the same host, or there is no way to it: that is said')
def same_host():
    done = ran('register', pcscf=U4)
    check(done.status == 2 and 'another host' in done.said, done.said)
    done = ran('register', pcscf='203.0.113.1')
    check(done.status == 2 and 'no way' in done.said, done.said)
    done = ran('register', '--source', '203.0.113.9', pcscf=P4)
    check(done.status == 2 and 'ip route add local' in done.said, done.said)


@test('UE UE-MANY', '{} phones at once register, write, register anew, and go: none is lost', each=(int(os.environ.get('UES') or 30),), limit=1200)
def many(n):
    World.nl.do('config-set', {'max-bundles': 4 * n, 'temporary-timeout': 3600000})
    # Each challenge has another SQN, whoever it is for
    again = {'challenges': 2 * n} if n <= 50 else {'challenges': 1}
    with derived(n) as first, prefix() as source, Pcscf(*['--reauthenticate'] * (n <= 50), addresses=(P4,), **again):
        World.wire.seen()
        done = ran('register', 'message', 'reregister', 'message', 'deregister', '--count', str(n), '--source', source, '--rate', '0',
                   *PATIENT, impis=(first,), pcscf=P4, limit=1100)
        for name, x in done.json['steps'].items():
            say(f'{name}: {x}')
        good(done, 'register', 'reregister', 'deregister', n=n)
        equal((done.json['steps']['message']['good'], done.json['ues']), (2 * n, n), 'messages and phones')
        no_clear(PORTS)


@test('UE', 'phones at one address, each with ports of its own')
def one_address():
    with derived(5) as first, Pcscf(addresses=(P4,)):
        good(ran('register', 'message', 'deregister', '--count', '5', impis=(first,), pcscf=P4), 'register', 'message', 'deregister', n=5)


if __name__ == '__main__':
    main(setup, before, teardown)
