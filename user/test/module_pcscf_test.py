#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""module_pcscf_test.py PCSCF IMSIPSEC

The example P-CSCF against a UE: who may say what over which bundle, and what becomes of
the bundles when the UE registers again; and against one that is behind a NAT, as far as
the P-CSCF can see: it has an address of its own, and sends from another. The P-CSCF is
not root, it has CAP_NET_ADMIN alone. To be run by root where the module is loaded. The
UE's USIM and its SAs are those of the demo.
"""
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time

DEMO = os.path.join(os.path.dirname(os.path.abspath(__file__)), '../../selftests/demo')
with open(DEMO + '/ue', encoding='utf-8') as file:
    # all but its last line, which is its command line
    usim = {}
    exec(file.read().rpartition('\nCOMMANDS[')[0], usim)  # pylint: disable=exec-used

P, UE = '192.0.2.1', '192.0.2.2'
OWN, NAT_PORT = '10.0.0.5', 40000       # what is behind the NAT, and what the NAT makes of port 4500
IMPI, OTHER = 'ue1@ims.example', 'ue2@ims.example'
PUBLIC = None
N_P, N_U = 'pcscf-test-p', 'pcscf-test-u'


def sh(command):
    subprocess.run(command, shell=True, check=True)


def wait_for(condition, seconds):
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.1)
    return True


def make_namespaces(p=N_P, u=N_U):
    for ns in (p, u):
        sh(f'ip netns add {ns}')
    sh(f'ip link add eth0 netns {p} type veth peer name eth0 netns {u}')
    for ns, addr in ((p, P), (u, UE)):
        sh(f'ip -n {ns} link set lo up; ip -n {ns} link set eth0 up; ip -n {ns} addr add {addr}/24 dev eth0')
    sh(f'ip -n {u} addr add {OWN}/32 dev lo; ip -n {p} route add default via {UE}')


def setup(pcscf):
    """The P-CSCF, ready; what it says is in PUBLIC/log."""
    make_namespaces()
    # All that it can do it does as nobody, with CAP_NET_ADMIN alone; who may not get at these files here
    for name in (pcscf, DEMO + '/vectors'):
        shutil.copy(name, PUBLIC)
    os.chmod(PUBLIC, 0o755)
    user = ['setpriv', '--reuid', '65534', '--regid', '65534', '--clear-groups', '--bounding-set', '-all,+net_admin',
            '--inh-caps', '-all,+net_admin', '--ambient-caps', '-all,+net_admin', '--no-new-privs']
    with open(PUBLIC + '/log', 'w', encoding='utf-8') as f:
        process = subprocess.Popen(['ip', 'netns', 'exec', N_P, *user, PUBLIC + '/pcscf', '-v', '-l', P, '--reauthenticate',
                                    '--nat', '--linger', '4000', '--vectors', PUBLIC + '/vectors'], stderr=f)
    wait_for(lambda: 'pcscf: ready\n' in log() or process.poll() is not None, 60)
    return process


def log():
    with open(PUBLIC + '/log', encoding='utf-8') as f:
        return f.read()


class Set:
    """What a Security-Client and its Security-Server agree on."""

    def __init__(self, n, port_c):
        self.client = {'alg': 'hmac-sha-1-96', 'ealg': 'null', 'spi-c': str(5000 + 2 * n),
                       'spi-s': str(5001 + 2 * n), 'port-c': str(port_c), 'port-s': '6300'}
        self.client_text = 'ipsec-3gpp; ' + '; '.join(f'{k}={v}' for k, v in self.client.items())

    def commands(self, sas, auth, enc):
        return usim['xfrm_commands'](UE, P, sas, auth, enc)

    def agree(self, answer, impi=IMPI):
        self.server_text = re.search(r'^Security-Server: *(.*?)\r$', answer, re.M)[1]
        self.nonce = re.search(r'nonce="([^"]*)"', answer)[1]
        server = next(m for m in map(usim['mechanism'], self.server_text.split(','))
                      if m['alg'] == self.client['alg'] and m.get('ealg', 'null') == 'null')
        self.port_ps = int(server['port-s'])
        self.mod = server['mod']
        self.res, ck, ik = usim['aka'](impi, self.nonce)
        c, s = self.client, server
        # Each is a command of ip's: one process does them all
        lines = (line.replace('policy add', 'policy update').removeprefix('ip ') for line in self.commands([
            ('ue', c['port-c'], s['port-s'], s['spi-s']), ('p', s['port-s'], c['port-c'], c['spi-c']),
            ('p', s['port-c'], c['port-s'], c['spi-s']), ('ue', c['port-s'], s['port-c'], s['spi-c'])],
            *usim['expand'](server, ck, ik)))
        subprocess.run(['ip', '-batch', '-'], input='\n'.join(lines) + '\n', text=True, check=True)


class NatSet(Set):
    """Offered in both modes, and in a tunnel that goes through UDP."""

    def __init__(self, n, port_c):
        super().__init__(n, port_c)
        self.client_text = ', '.join(f'{self.client_text}; mod={mod}' for mod in ('trans', 'UDP-enc-tun'))

    def commands(self, sas, auth, enc):
        for i, (sender, sport, dport, spi) in enumerate(sas, 11):
            out = sender == 'ue'
            ends = f'src {UE} dst {P} proto esp' if out else f'src {P} dst {UE} proto esp'
            ports = f'{NAT_PORT} 4500' if out else f'4500 {NAT_PORT}'
            selector = (f'src {OWN}/32 dst {P}/32' if out else f'src {P}/32 dst {OWN}/32') + \
                f' sport {sport} dport {dport}'
            yield (f"ip xfrm state add {ends} spi {spi} reqid {i} mode tunnel replay-window 32 "
                   f"auth-trunc '{auth[0]}' 0x{auth[1].hex()} 96 enc '{enc[0]}' '' "
                   f"encap espinudp {ports} 0.0.0.0 sel {selector}")
            yield (f"ip xfrm policy update {selector} dir {'out' if out else 'in'} "
                   f"tmpl {ends} reqid {i} mode tunnel")


class Phone:
    impi, own, clear = IMPI, UE, 5060

    def __init__(self):
        self.socks, self.cseq, self.n, self.failed = {}, 0, 0, 0
        self.answers = self.sock(6300)

    def sock(self, port):
        if port not in self.socks:
            self.socks[port] = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            self.socks[port].bind((UE if port == self.clear else self.own, port))
            self.socks[port].settimeout(20)
        return self.socks[port]

    def request(self, method, over, *headers, user=None, expires=600):
        """Send it, over a set or in clear (None). Return the answer."""
        self.cseq += 1
        text = '\r\n'.join((
            f'{method} sip:ims.example SIP/2.0',
            f'Via: SIP/2.0/UDP {self.own}:{6300 if over else self.clear};rport;branch=z9hG4bK{self.cseq}',
            f'From: <sip:{user or self.impi}>;tag=ue', f'To: <sip:{self.impi}>', f'Call-ID: {self.cseq}@{self.own}',
            f'CSeq: {self.cseq} {method}', f'Contact: <sip:{UE if over else self.own}:6300>;expires={expires}',
            *headers, 'Content-Length: 0', '', '')).encode()
        port, to = (int(over.client['port-c']), over.port_ps) if over else (self.clear, 5060)
        return self.send(text, self.sock(port), (P, to), self.answers if over else self.sock(self.clear))

    def send(self, text, sock, to, answers):
        sock.sendto(text, to)
        try:
            return answers.recv(16384).decode()
        except socket.timeout:
            return 'SIP/2.0 nothing'

    def register(self, over, new, verify=None, res=None, expires=600):
        digest = (usim['digest'](self.impi, 'ims.example', 'sip:ims.example', new.nonce, res) if res else
                  f'Digest username="{self.impi}", realm="ims.example", uri="sip:ims.example", nonce="", response=""')
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


class NatPhone(Phone):
    impi, own, clear = OTHER, OWN, 5070

    def __init__(self):
        super().__init__()
        # takes ESP in UDP (UDP_ENCAP, UDP_ENCAP_ESPINUDP)
        self.encap = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.encap.setsockopt(socket.IPPROTO_UDP, 100, 2)
        self.encap.bind((UE, NAT_PORT))


def bundles(imsipsec):
    out = subprocess.run(['ip', 'netns', 'exec', N_P, imsipsec, '-j', 'bundle', 'show'], check=True,
                         stdout=subprocess.PIPE, text=True).stdout
    return {b['spi-uc']: b for b in json.loads(out)}


def states(imsipsec):
    return {spi: b['state'] for spi, b in bundles(imsipsec).items()}


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
    ue.ok(wait_for(lambda: not states(imsipsec), 60), 'D14: and go', states(imsipsec))
    return ue


def nat_is(bundle, port):
    return (bundle['mode'], bundle['ue-address'], bundle['ue-nat-address'], bundle['ue-nat-port'],
            bundle['unmarked']) == ('udp-enc-tun', OWN, UE, port, False)


def nat_phone(imsipsec, n):
    ue, trans, a, b = NatPhone(), Set(9, 6301), NatSet(10, 6303), NatSet(11, 6305)
    ue.n = n
    ue.ok('UDP-enc-tun' in ue.expect(403, ue.register(None, trans), 'G2: behind a NAT, mod=trans alone'), 'G2: and why')
    a.agree(ue.expect(401, ue.register(None, a), 'G2: behind a NAT, challenged in clear'), OTHER)
    ue.ok(a.mod == 'UDP-enc-tun', 'G2: mod in Security-Server', a.mod)
    got = bundles(imsipsec)[5020]
    ue.ok(nat_is(got, 4500), 'G7: the address in Via is within the tunnel, that of the packet without', got)
    answer = ue.expect(200, ue.register(a, a, verify=a, res=a.res), 'G2: registered')
    ue.ok(f'Contact: <sip:{UE}:6300>' in answer, 'G7: with the contact that it has by now', answer)
    got = bundles(imsipsec)[5020]
    ue.ok(got['state'] == 'active' and nat_is(got, NAT_PORT), "G4: the NAT's port is learnt", got)
    ue.expect(200, ue.request('MESSAGE', a), 'G2: a MESSAGE')
    ue.expect(403, ue.request('MESSAGE', a, user=IMPI), "E7: another one's From")

    b.agree(ue.expect(401, ue.register(a, b, verify=a), 'D7: challenged over the set'), OTHER)
    ue.ok(b.mod == 'UDP-enc-tun', 'G2: the mode is that of the set', b.mod)
    ue.expect(200, ue.register(b, b, verify=b, res=b.res), 'D7: the right answer')
    got = states(imsipsec)
    ue.ok(got == {5020: 'active', 5022: 'established'}, 'D7: one registration, whatever Contact says', got)
    ue.expect(200, ue.request('MESSAGE', b), 'D8: a MESSAGE over the new set')
    got = states(imsipsec)
    ue.ok(got == {5020: 'old', 5022: 'active'}, 'D8: the new one is sent over', got)
    ue.expect(200, ue.register(b, b, verify=b, expires=0), 'D14: de-registered')
    return ue


def phones(imsipsec):
    first = phone(imsipsec)
    second = nat_phone(imsipsec, first.n)
    print(f'1..{second.n}')
    return first.failed + second.failed != 0


def main():
    if sys.argv[1] == 'ue':
        sys.exit(phones(sys.argv[2]))
    global PUBLIC  # pylint: disable=global-statement
    PUBLIC = tempfile.mkdtemp()
    pcscf, status = setup(sys.argv[1]), 1
    try:
        status = subprocess.run(['ip', 'netns', 'exec', N_U, sys.argv[0], 'ue', sys.argv[2]], check=False).returncode
        with open(f'/proc/{pcscf.pid}/status', encoding='ascii') as f:
            ids = dict(x.split(':', 1) for x in f.read().splitlines())
        if ids['Uid'].split() != ['65534'] * 4 or int(ids['CapPrm'], 16) != 1 << 12:
            sys.exit(f'the P-CSCF is not nobody with CAP_NET_ADMIN alone: {ids["Uid"]}, {ids["CapPrm"]}')
    finally:
        pcscf.terminate()
        pcscf.wait()
        if status:
            print('\n'.join('# ' + x for x in log().splitlines()))
        shutil.rmtree(PUBLIC)
        sh(f'ip netns del {N_P}; ip netns del {N_U}')
    sys.exit(status)


if __name__ == '__main__':
    main()
