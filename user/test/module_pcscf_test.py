#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""module_pcscf_test.py PCSCF IMSIPSEC

The example P-CSCF against a UE: who may say what over which bundle, and what becomes of
the bundles when the UE registers again. To be run by root where the module is loaded.
The UE's USIM and its SAs are those of the demo.
"""
import json
import os
import re
import socket
import subprocess
import sys
import time

DEMO = os.path.join(os.path.dirname(os.path.abspath(__file__)), '../../selftests/demo')
with open(DEMO + '/ue', encoding='utf-8') as file:
    # all but its last line, which is its command line
    usim = {}
    exec(file.read().rpartition('\nCOMMANDS[')[0], usim)  # pylint: disable=exec-used

P, UE = '192.0.2.1', '192.0.2.2'
IMPI, OTHER = 'ue1@ims.example', 'ue2@ims.example'
N_P, N_U = 'pcscf-test-p', 'pcscf-test-u'


def sh(command):
    subprocess.run(command, shell=True, check=True)


def setup(pcscf, imsipsec):
    for ns in (N_P, N_U):
        sh(f'ip netns add {ns}')
    sh(f'ip link add eth0 netns {N_P} type veth peer name eth0 netns {N_U}')
    for ns, addr in ((N_P, P), (N_U, UE)):
        sh(f'ip -n {ns} link set lo up; ip -n {ns} link set eth0 up; ip -n {ns} addr add {addr}/24 dev eth0')
    log = os.environ.get('PCSCF_LOG', '/dev/null')
    with open(log, 'w', encoding='utf-8') as f:
        return subprocess.Popen(['ip', 'netns', 'exec', N_P, pcscf, '-v', '-l', P, '--reauthenticate',
                                 '--linger', '2000', '--vectors', DEMO + '/vectors'], stderr=f)


class Set:
    """What a Security-Client and its Security-Server agree on."""

    def __init__(self, n, port_c):
        self.client = {'alg': 'hmac-sha-1-96', 'ealg': 'null', 'spi-c': str(5000 + 2 * n),
                       'spi-s': str(5001 + 2 * n), 'port-c': str(port_c), 'port-s': '6300'}
        self.client_text = 'ipsec-3gpp; ' + '; '.join(f'{k}={v}' for k, v in self.client.items())

    def agree(self, answer):
        self.server_text = re.search(r'^Security-Server: *(.*?)\r$', answer, re.M)[1]
        self.nonce = re.search(r'nonce="([^"]*)"', answer)[1]
        server = next(m for m in map(usim['mechanism'], self.server_text.split(','))
                      if m['alg'] == self.client['alg'] and m.get('ealg', 'null') == 'null')
        self.port_ps = int(server['port-s'])
        self.res, ck, ik = usim['aka'](IMPI, self.nonce)
        c, s = self.client, server
        for line in usim['xfrm_commands'](UE, P, [
                ('ue', c['port-c'], s['port-s'], s['spi-s']), ('p', s['port-s'], c['port-c'], c['spi-c']),
                ('p', s['port-c'], c['port-s'], c['spi-s']), ('ue', c['port-s'], s['port-c'], s['spi-c'])],
                *usim['expand'](server, ck, ik)):
            sh(line.replace('policy add', 'policy update'))


class Phone:
    def __init__(self):
        self.socks, self.cseq, self.n, self.failed = {}, 0, 0, 0
        self.answers = self.sock(6300)

    def sock(self, port):
        if port not in self.socks:
            self.socks[port] = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            self.socks[port].bind((UE, port))
            self.socks[port].settimeout(20)
        return self.socks[port]

    def request(self, method, over, *headers, user=IMPI, expires=600):
        """Send it, over a set or in clear (None). Return the answer."""
        self.cseq += 1
        text = '\r\n'.join((
            f'{method} sip:ims.example SIP/2.0', f'Via: SIP/2.0/UDP {UE}:{6300 if over else 5060};branch=z9hG4bK{self.cseq}',
            f'From: <sip:{user}>;tag=ue', f'To: <sip:{IMPI}>', f'Call-ID: {self.cseq}@ue',
            f'CSeq: {self.cseq} {method}', f'Contact: <sip:{UE}:6300>;expires={expires}', *headers,
            'Content-Length: 0', '', '')).encode()
        port, to = (int(over.client['port-c']), over.port_ps) if over else (5060, 5060)
        self.sock(port).sendto(text, (P, to))
        sock = self.answers if over else self.sock(5060)
        try:
            return sock.recv(16384).decode()
        except socket.timeout:
            return 'SIP/2.0 nothing'

    def register(self, over, new, verify=None, res=None, expires=600):
        digest = (usim['digest'](IMPI, 'ims.example', 'sip:ims.example', new.nonce, res) if res else
                  f'Digest username="{IMPI}", realm="ims.example", uri="sip:ims.example", nonce="", response=""')
        headers = [f'Authorization: {digest}', f'Security-Client: {new.client_text}']
        if verify:
            headers.append(f'Security-Verify: {verify.server_text}')
        return self.request('REGISTER', over, *headers, expires=expires)

    def ok(self, good, name, got=''):
        self.n += 1
        self.failed += not good
        print(f"{'ok' if good else 'not ok'} {self.n} - {name}", flush=True)
        if not good:
            print('# ' + str(got).split('\r\n', maxsplit=1)[0])

    def expect(self, status, answer, name):
        self.ok(answer.startswith(f'SIP/2.0 {status} '), name, answer)
        return answer


def states(imsipsec):
    out = subprocess.run(['ip', 'netns', 'exec', N_P, imsipsec, '-j', 'bundle', 'show'], check=True,
                         stdout=subprocess.PIPE, text=True).stdout
    return {b['spi-uc']: b['state'] for b in json.loads(out)}


def phone(imsipsec):
    ue, a, b, c = Phone(), Set(0, 6301), Set(1, 6303), Set(2, 6305)
    a.agree(ue.expect(401, ue.register(None, a), 'challenged in clear'))
    ue.expect(403, ue.request('MESSAGE', a), 'E7: nothing but REGISTER over a TEMPORARY set')
    ue.expect(200, ue.register(a, a, verify=a, res=a.res), 'D6: registered')
    ue.ok(states(imsipsec) == {5000: 'active'}, 'D6: the only set is sent over at once', states(imsipsec))
    ue.expect(200, ue.request('MESSAGE', a), 'a MESSAGE')
    ue.expect(403, ue.request('MESSAGE', a, user=OTHER), "E7: another one's From")
    ue.expect(200, ue.request('MESSAGE', a, f'P-Preferred-Identity: "A, B" <sip:{IMPI};user=phone>'), 'its own identity')
    ue.expect(403, ue.request('MESSAGE', a, f'P-Preferred-Identity: <sip:{OTHER}>'), "E7: another one's identity")
    ue.expect(403, ue.request('MESSAGE', a, f'P-Preferred-Identity: <sip:{IMPI}>, <sip:{OTHER}>'),
              "E7: another one's identity behind its own")
    ue.expect(403, ue.request('MESSAGE', a, f'Authorization: Digest username="{OTHER}"'), "E7: another one's username")

    b.agree(ue.expect(401, ue.register(a, b, verify=a), 'challenged over the set'))
    ue.ok(states(imsipsec) == {5000: 'active', 5002: 'temporary'}, 'D7: two sets', states(imsipsec))
    ue.expect(403, ue.register(b, b, verify=b, res=b'wrong'), 'E2: a wrong answer')
    ue.expect(200, ue.request('MESSAGE', a), 'E2: the old set goes on')
    ue.ok(states(imsipsec).get(5000) == 'active', 'E2: and is sent over', states(imsipsec))

    c.agree(ue.expect(401, ue.register(a, c, verify=a), 'challenged again'))
    ue.expect(200, ue.register(c, c, verify=c, res=c.res), 'D7: the right answer')
    got = states(imsipsec)
    ue.ok(got.get(5000) == 'active' and got.get(5004) == 'established', 'D7: the old set is sent over still', got)
    ue.expect(200, ue.request('MESSAGE', c), 'D8: a MESSAGE over the new set')
    got = states(imsipsec)
    ue.ok(got.get(5000) == 'old' and got.get(5004) == 'active', 'D8: the new one is sent over', got)
    ue.expect(200, ue.request('MESSAGE', a), 'D10: the old one still receives')

    ue.expect(200, ue.register(c, c, verify=c, expires=0), 'D14: de-registered, the 200 OK over the set')
    got = states(imsipsec)
    ue.ok(set(got.values()) <= {'old'}, 'D14: all sets linger', got)
    for _ in range(100):
        got = states(imsipsec)
        if not got:
            break
        time.sleep(0.1)
    ue.ok(not got, 'D14: and go', got)
    print(f'1..{ue.n}')
    return ue.failed != 0


def main():
    if sys.argv[1] == 'ue':
        sys.exit(phone(sys.argv[2]))
    pcscf = setup(*sys.argv[1:3])
    try:
        for _ in range(100):
            show = subprocess.run(['ip', 'netns', 'exec', N_P, sys.argv[2], 'endpoint', 'show'],
                                  stdout=subprocess.PIPE, check=False)
            if show.stdout:
                break
            time.sleep(0.1)
        time.sleep(0.5)
        status = subprocess.run(['ip', 'netns', 'exec', N_U, sys.argv[0], 'ue', sys.argv[2]], check=False).returncode
    finally:
        pcscf.terminate()
        pcscf.wait()
        sh(f'ip netns del {N_P}; ip netns del {N_U}')
    sys.exit(status)


main()
