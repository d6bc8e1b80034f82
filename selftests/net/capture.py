#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only
"""imsipsec capture: tshark reads what a UE says, with the keys that the command has written; and nobody else's."""
import os
import re
import signal
import stat
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '../lib'))
from document import Document  # noqa: E402  pylint: disable=wrong-import-position
from ims import *  # noqa: E402,F403  pylint: disable=wildcard-import,unused-wildcard-import,wrong-import-position
from natted import Nats, Sip, TunnelUe, confirm, nat_bundle, nat_endpoint, setup_nats, teardown_nats  # noqa: E402  pylint: disable=wrong-import-position

IMSIPSEC = os.environ.get('IMSIPSEC') or f'{TOP}/build/user/imsipsec'
FILE = '/tmp/ue.pcap'
KEYS = FILE + '.esp_sa'
WAYS = ('spi-ps', 'spi-uc', 'spi-us', 'spi-pc')
DOC = Document('operation.rst')
# Wireshark 4.0 has no AES-GMAC
UNREAD = ('aes-gmac', 'null')


def remove():
    for path in (FILE, KEYS):
        if os.path.lexists(path):
            os.unlink(path)


def fresh():
    before()
    for nat in Nats.all:
        nat.as_new()
    remove()


class Capture:
    """The command runs in P until it is left; what it says is read then."""

    def __init__(self, ue, *more):
        # As the document has it
        line, = DOC.block('What a phone says', 'imsipsec capture')
        _, *words = line.replace('192.0.2.2', ue).split()
        check(FILE in words, 'the file')
        with World.p:
            self.process = subprocess.Popen([IMSIPSEC, *words, *more], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.said = ''

    def __enter__(self):
        def begun():
            os.set_blocking(self.process.stderr.fileno(), False)
            self.said += (self.process.stderr.read() or b'').decode()
            return 'capturing' in self.said or self.process.poll() is not None
        wait(begun, 'it captures')
        equal(self.process.poll(), None, f'it has ended: {self.said}')
        return self

    def __exit__(self, kind, *_):
        self.process.send_signal(signal.SIGINT)
        status = self.process.wait(60)
        os.set_blocking(self.process.stderr.fileno(), True)
        self.said += self.process.stderr.read().decode()
        for f in (self.process.stdout, self.process.stderr):
            f.close()
        if not kind:
            equal(status, 0, f'it ends, having said {self.said}')

    @staticmethod
    def keys():
        """The lines of the file of keys, by SPI."""
        with open(KEYS, encoding='ascii') as f:
            lines = [re.findall('"([^"]*)"', x) for x in f]
        return {int(x[3], 16): x for x in lines}

    def knows(self, b):
        """Of this bundle it has all keys."""
        wait(lambda: {b[w] for w in WAYS} <= set(self.keys()), f'the keys of bundle {b["id"]}')


def tshark(*more):
    """What the document has an operator type, of the fields that a test looks at."""
    if not os.path.exists('/usr/bin/tshark'):
        raise Skip('there is no tshark')
    lines = DOC.block('What a phone says', 'WIRESHARK_CONFIG_DIR', 'tshark')
    script = '\n'.join(lines) + ' ' + ' '.join(more)
    subprocess.run(['rm', '-rf', '/root/ims'], check=True)
    done = subprocess.run(['bash', '-ec', script], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, check=False)
    echo('-', script)
    check(not done.returncode, f'tshark: {done.stderr}')
    return done.stdout.splitlines()


def calls():
    """The Call-IDs of all SIP that tshark sees, each with its transport, and whether the ICV is right."""
    return [tuple(x.split('\t')) for x in tshark('-T', 'fields', '-e', 'sip.Call-ID', '-e', 'esp.icv_good')]


def message(call):
    return (f'OPTIONS sip:pcscf.ims.example SIP/2.0\r\nVia: SIP/2.0/UDP ue.ims.example;branch=z9hG4bK{call}\r\nFrom: <sip:a@ims.example>;tag=1\r\n'
            f'To: <sip:b@ims.example>\r\nCall-ID: {call}\r\nCSeq: 1 OPTIONS\r\nMax-Forwards: 70\r\nContent-Length: 0\r\n\r\n').encode()


def talk(phone, name):
    """All four ways over UDP, and TCP both ways; the Call-IDs."""
    out = []
    for way in WAYS:
        out.append(f'{name}-udp-{way}')
        phone.deliver(way, message(out[-1]))
    ends = phone.connect('spi-ps')
    for n in (0, 1):
        out.append(f'{name}-tcp-{n}')
        ends[n].send(message(out[-1]))
        equal(receive(ends[1 - n]), message(out[-1]), 'bytes over TCP')
    phone.hang_up(ends)
    return out


@test('CAPTURE', 'tshark shows the SIP of each pair of algorithms that it can decrypt, of sets that came while it ran, {}', each=ADDRESSES, limit=600)
def pairs(fam):
    p, u = ADDRESSES[fam]
    ep = endpoint(p)
    expected = []
    with Capture(u) as capture:
        for n, (auth, enc) in enumerate(PAIRS):
            b = bundle(ep, ue_address=u, auth_alg=auth, enc_alg=enc, spi_uc=0x1000 + 2 * n, spi_us=0x1001 + 2 * n)
            if (auth, enc) != UNREAD:
                capture.knows(b)
            with Phone(b) as phone:
                said = talk(phone, f'{auth}-{enc}')
            if (auth, enc) != UNREAD:
                expected += said
            World.nl.do('bundle-del', id=b['id'])
    seen = calls()
    equal(sorted({x[0] for x in seen}), sorted(expected), 'Call-IDs that tshark shows')
    check(all(x[1] in ('1', 'True') for x in seen), f'an ICV is not right: {seen}')
    check('Wireshark cannot read aes-gmac with null: no keys' in capture.said, 'what it cannot read is said')
    say(f'{len(seen)} messages, {len(PAIRS) - 1} of {len(PAIRS)} pairs')


@test('CAPTURE', 'a set that was there before, and the four SAs of a re-registration, are read; another UE is not in the files', limit=600)
def only_this_one():
    ep = endpoint()
    first = bundle(ep)
    World.nl.do('bundle-confirm', id=first['id'], lifetime=600000)
    other = bundle(ep, ue_address='192.0.2.99', spi_uc=0x5a17c0de, spi_us=0x5a17c0df, owner=b'other', ik=bytes(range(16)), ck=bytes(range(16, 32)))
    # Nobody's: the UE's host would answer by ICMP, which has the packet in it
    World.p.ip('neigh replace 192.0.2.99 lladdr 02:00:00:00:00:63 dev p0 nud permanent')
    with Capture(U4, 'interface', 'p0') as capture:
        capture.knows(first)
        with Phone(first) as phone:
            expected = talk(phone, 'first')
        # Another UE's meanwhile, and its SAs are used
        with World.p.udp(P4, other['port-ps']) as s:
            s.sendto(message('other'), ('192.0.2.99', other['port-uc']))
        wait(lambda: any(x.spi == other['spi-uc'] for x in World.wire.seen()), "the other UE's ESP")
        third = bundle(ep, ue_address='192.0.2.99', spi_uc=0x6b28d1e0, spi_us=0x6b28d1e1, owner=b'other')
        again = bundle(ep, spi_uc=0x3000, spi_us=0x3001)
        # One of its SAs is not to be used yet, for the older set has the same ports
        capture.knows(again)
        World.nl.do('bundle-confirm', id=again['id'], lifetime=600000, older='drop')
        with Phone(again) as phone:
            expected += talk(phone, 'again')
    equal(sorted({x[0] for x in calls()}), sorted(expected), 'Call-IDs that tshark shows')
    keys = capture.keys()
    equal(set(keys), {b[w] for b in (first, again) for w in WAYS}, 'SPIs of which there are keys')
    equal(keys[first['spi-ps']], ['IPv4', U4, P4, f"0x{first['spi-ps']:08x}", 'AES-CBC [RFC3602]', '0x' + ENC_KEY['aes-cbc'],
                                  'HMAC-SHA-1-96 [RFC2404]', '0x' + AUTH_KEY['hmac-sha-1-96']], 'a line')
    with open(FILE, 'rb') as f:
        data = f.read()
    for spi in (*(other[w] for w in WAYS), *(third[w] for w in WAYS)):
        check(spi.to_bytes(4, 'big') not in data, f"another UE's SPI {spi:#x} is in the capture")
    check(first['spi-ps'].to_bytes(4, 'big') in data, 'its own is')


@test('CAPTURE', "SIP that the UE sends in clear is in it as well: the first REGISTER", limit=300)
def in_clear():
    with World.p.udp(P4, 5060) as s, Capture(U4):
        World.wire.send(ip(U4, P4, UDP, layer4(U4, P4, UDP, 5060, 5060, message('clear'))))
        receive(s)
    equal([x[0] for x in calls()], ['clear'], 'Call-IDs')


@test('CAPTURE', 'a UE behind a NAT, ESP in UDP: tshark shows its SIP, {}', each=tuple((f, *a) for f in ADDRESSES for a in (
    ('hmac-sha-1-96', 'aes-cbc'), ('null', 'aes-gcm'))), limit=600)
def natted(case):
    fam, auth, enc = case
    ep, nat = nat_endpoint(fam), Nats.all[0]
    inner = {'IPv4': '10.0.0.2', 'IPv6': 'fd00::2'}[fam]
    with Capture(inner) as capture, Sip(ep) as sip:
        b = nat_bundle(ep, ue_address=inner, ue_nat_address=nat.outside[fam], auth_alg=auth, enc_alg=enc)
        # Another UE's behind the same NAT
        other = nat_bundle(ep, ue_address=inner.replace('2', '3', 1) if fam == 'IPv6' else '10.0.0.3', ue_nat_address=nat.outside[fam],
                           auth_alg=auth, enc_alg=enc, ik=bytes(16), ck=bytes(range(16)))
        capture.knows(b)
        confirm(b)
        with TunnelUe(nat.h, b) as ue:
            ue.register(b)
            for n, name in enumerate(WAYS):
                (ue.deliver if n in (0, 3) else ue.reached)(sip, b, name, message(f'nat-{name}'))
    equal(sorted({x[0] for x in calls()}), sorted(f'nat-{w}' for w in WAYS), 'Call-IDs')
    equal(set(capture.keys()), {b[w] for w in WAYS}, f'SPIs of which there are keys, and not of bundle {other["id"]}')


@test('CAPTURE', 'files are root\'s alone, none is overwritten, nobody else may capture, and the keys are told of loudly')
def files():
    bundle(endpoint())
    with Capture(U4) as capture:
        for path in (FILE, KEYS):
            equal(stat.S_IMODE(os.stat(path).st_mode), 0o600, f'mode of {path}')
    check(re.search(rf'^WARNING: the KEYS of this UE are written to {KEYS}', capture.said, re.M), f'it says so: {capture.said}')

    def refused(text, *words):
        said = World.p.run(*words, IMSIPSEC, 'capture', 'ue', U4, '-w', FILE, ok=False)
        check(text in said, f'{said} does not say {text}')
        check('WARNING' not in said, 'it goes on')
    refused('File exists, and is not overwritten')
    os.unlink(FILE)
    refused(f'{KEYS}: File exists')
    remove()
    os.symlink('/tmp/elsewhere', KEYS)
    refused(f'{KEYS}: File exists')
    check(not os.path.exists('/tmp/elsewhere'), 'a link is followed')
    remove()
    refused('for root alone', 'setpriv', '--reuid=65534', '--inh-caps=+net_admin,+net_raw', '--ambient-caps=+net_admin,+net_raw')
    check(not os.path.exists(FILE), 'a file of somebody who may not')


@test('CAPTURE KEYS', 'where the kernel shows no keys, that is said, and packets are captured all the same')
def locked_down():
    if not os.environ.get('IMS_IPSEC_LOCKDOWN'):
        raise Skip('a lockdown lasts until the kernel ends: IMS_IPSEC_LOCKDOWN=1 selftests/vm/run -- selftests/net/capture.py -t KEYS')
    subprocess.run('mountpoint -q /sys/kernel/security || mount -t securityfs none /sys/kernel/security; '
                   'echo confidentiality >/sys/kernel/security/lockdown', shell=True, check=True)
    ep = endpoint()
    with Capture(U4) as capture:
        b = bundle(ep)
        with Phone(b) as phone:
            phone.deliver('spi-ps')
    check('the kernel shows no keys (lockdown=confidentiality)' in capture.said, capture.said)
    equal(os.path.getsize(KEYS), 0, 'keys')
    with open(FILE, 'rb') as f:
        check(b['spi-ps'].to_bytes(4, 'big') in f.read(), 'its ESP')


if __name__ == '__main__':
    main(setup_nats, fresh, teardown_nats)
