#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""What imsipsec-ue needs no kernel for: Milenage, AKA, security agreements, SIP, subscribers, its report and its command line.

Numbers of AKA are those of 3GPP TS 35.207 and 35.208, those of the keys of ESP computed by hand (TS 33.203 Annex I).
"""
import base64
import contextlib
import hashlib
import io
import json
import os
import sys
import tempfile

UE = os.path.join(os.path.dirname(os.path.abspath(__file__)), '../ue')
sys.path.insert(0, UE)
sys.dont_write_bytecode = True
# pylint: disable=wrong-import-position
from imsipsec_ue import cli, milenage, secagree, sip, subscribers, usim  # noqa: E402
from imsipsec_ue.report import Report, percentile  # noqa: E402
from imsipsec_ue.steps import INCOMING, LEAVE, Result  # noqa: E402
from imsipsec_ue.xfrm import IN, OUT, Policy, Sa, Way  # noqa: E402

count = failed = 0

# K RAND SQN AMF OP OPc f1 f1* f2 f5 f3 f4 f5*: TS 35.208 clauses 4.3.1 to 4.3.6
SETS = '''
465b5ce8b199b49faa5f0a2ee238a6bc 23553cbe9637a89d218ae64dae47bf35 ff9bb4d0b607 b9b9 cdc202d5123e20f62b6d676ac72cb318
cd63cb71954a9f4e48a5994e37a02baf 4a9ffac354dfafb3 01cfaf9ec4e871e9 a54211d5e3ba50bf aa689c648370
b40ba9a3c58b2a05bbf0d987b21bf8cb f769bcd751044604127672711c6d3441 451e8beca43b
0396eb317b6d1c36f19c1c84cd6ffd16 c00d603103dcee52c4478119494202e8 fd8eef40df7d af17 ff53bade17df5d4e793073ce9d7579fa
53c15671c60a4b731c55b4a441c0bde2 5df5b31807e258b0 a8c016e51ef4a343 d3a628ed988620f0 c47783995f72
58c433ff7a7082acd424220f2b67c556 21a8c1f929702adb3e738488b9f5c5da 30f1197061c1
fec86ba6eb707ed08905757b1bb44b8f 9f7c8d021accf4db213ccff0c7f71a6a 9d0277595ffc 725c dbc59adcb6f9a0ef735477b7fadf8374
1006020f0a478bf6b699f15c062e42b3 9cabc3e99baf7281 95814ba2b3044324 8011c48c0c214ed2 33484dc2136b
5dbdbb2954e8f3cde665b046179a5098 59a92d3b476a0443487055cf88b2307b deacdd848cc6
9e5944aea94b81165c82fbf9f32db751 ce83dbc54ac0274a157c17f80d017bd6 0b604a81eca8 9e09 223014c5806694c007ca1eeef57f004f
a64a507ae1a2a98bb88eb4210135dc87 74a58220cba84c49 ac2cc74a96871837 f365cd683cd92e96 f0b9c08ad02e
e203edb3971574f5a94b0d61b816345d 0c4524adeac041c4dd830d20854fc46b 6085a86c6f63
4ab1deb05ca6ceb051fc98e77d026a84 74b0cd6031a1c8339b2b6ce2b8c4a186 e880a1b580b6 9f07 2d16c5cd1fdf6b22383584e3bef2a8d8
dcf07cbd51855290b92a07a9891e523e 49e785dd12626ef2 9e85790336bb3fa2 5860fc1bce351e7e 31e11a609118
7657766b373d1c2138f307e3de9242f9 1c42e960d89b8fa99f2744e0708ccb53 fe2555e54aa9
6c38a116ac280c454f59332ee35c8c4f ee6466bc96202c5a557abbeff8babf63 414b98222181 4464 1ba00a1a7c6700ac8c3ff3e96ad08725
3803ef5363b947c6aaa225e58fae3934 078adfb488241a57 80246b8d0186bcf1 16c8233f05a0ac28 45b0f69ab06c
3f8c7587fe8e4b233af676aede30ba3b a7466cc1e6b2a1337d49d3b66e95d7b4 1f53cd2b1113
'''.split()
SETS = [[bytes.fromhex(x) for x in SETS[at:at + 13]] for at in range(0, len(SETS), 13)]
# Of a public trace, and what was computed of them by hand
CK, IK = (bytes.fromhex(x) for x in ('d53c02758b376066fad0af7daa6df765', 'e1763cf28cc2e584588800193137ec92'))


def ok(good, name, *why):
    global count, failed  # pylint: disable=global-statement
    count += 1
    failed += not good
    print(f'{"ok" if good else "not ok"} {count} - {name}', flush=True)
    for line in () if good else why:
        print('#', line)


def equal(got, expected, name):
    ok(got == expected, name, f'{got!r}, expected {expected!r}')


def raises(kind, f, *args):
    try:
        f(*args)
    except kind as e:
        return e
    return None


# --- Milenage and AKA

for n, (k, rand, sqn, amf, op, opc, f1, f1s, f2, f5, f3, f4, f5s) in enumerate(SETS, 1):
    m = milenage.Milenage(k, opc, rand)
    equal((milenage.opc_of(k, op), *m.macs(sqn, amf), m.res, m.ak, m.ck, m.ik, m.ak_star()), (opc, f1, f1s, f2, f5, f3, f4, f5s),
          f'TOOL: Milenage, test set {n} of TS 35.208')

k, rand, sqn, amf, op, opc, f1, f1s, f2, f5, f3, f4, f5s = SETS[0]
autn = milenage.xor(sqn, f5) + amf + f1
number = int.from_bytes(sqn, 'big')
card = usim.Usim(k, opc)
equal(card.take(rand, autn), (f2, f3, f4), 'TOOL: the USIM takes AUTN, and gives RES, CK, IK')
e = raises(usim.OutOfRange, card.take, rand, autn)
ok(e, 'TOOL: the same SQN again is out of range')
# By hand: SQN in AUTS is what the USIM has, hidden by f5*, and MAC-S is f1* of it with an AMF of 0
m = milenage.Milenage(k, opc, rand)
equal(e.auts, milenage.xor(sqn, f5s) + m.macs(sqn, bytes(2))[1], 'TOOL: AUTS says the SQN that the USIM has')
ok(raises(usim.OutOfRange, usim.Usim(k, opc, number + 1).take, rand, autn), 'TOOL: a lower SQN is out of range')
equal(usim.Usim(k, opc, number - 1).take(rand, autn)[0], f2, 'TOOL: a higher SQN is taken')
for at, what in ((0, 'SQN'), (6, 'AMF'), (8, 'MAC'), (15, 'MAC')):
    wrong = bytearray(autn)
    wrong[at] ^= 1
    ok(raises(usim.WrongMac, usim.Usim(k, opc).take, rand, bytes(wrong)), f'TOOL: AUTN with another {what} (byte {at}) is refused')
other = usim.Usim(SETS[1][0], opc)
ok(raises(usim.WrongMac, other.take, rand, autn) and other.sqn == -1, 'TOOL: another K refuses it, and keeps its SQN')


def md5(*parts):
    return hashlib.md5(b':'.join(parts)).hexdigest().encode()


challenge = usim.Challenge('ims.example', 'bm9uY2U=', True, 'AKAv1-MD5', None)
challenge.res = f2
for nc in ('00000001', '00000002'):
    said = sip.parameters(challenge.authorization('ue1@ims.example', 'REGISTER', 'sip:ims.example').removeprefix('Digest '))
    equal(said['nc'], nc, f'TOOL: the digest is counted, {nc}')
    equal(said['response'].encode(), md5(md5(b'ue1@ims.example', b'ims.example', f2), b'bm9uY2U=', nc.encode(), said['cnonce'].encode(), b'auth',
                                         md5(b'REGISTER', b'sip:ims.example')), f'TOOL: RES is the password, as it is and not in hex, {nc}')
challenge = usim.Challenge('ims.example', 'bm9uY2U=', False, 'AKAv1-MD5', 'o')
challenge.res = f2
said = sip.parameters(challenge.authorization('ue1@ims.example', 'REGISTER', 'sip:ims.example', b'fourteen bytes'))
equal((said['auts'], said['opaque'], said['response'].encode()), (
    base64.b64encode(b'fourteen bytes').decode(), 'o',
    md5(md5(b'ue1@ims.example', b'ims.example', b''), b'bm9uY2U=', md5(b'REGISTER', b'sip:ims.example'))), 'TOOL: with AUTS there is no password (RFC 3310)')

# --- Security agreements

equal(secagree.expand(('hmac-sha-1-96', 'aes-cbc'), CK, IK), ('both', ('hmac(sha1)', IK + bytes(4), 96), ('cbc(aes)', CK)), 'TOOL: keys of sha1 and aes-cbc')
equal(secagree.expand(('hmac-md5-96', 'des-ede3-cbc'), CK, IK), (
    'both', ('hmac(md5)', IK, 96), ('cbc(des3_ede)', bytes.fromhex('d53d02758a376167fbd0ae7cab6df764d53d02758a376167'))), 'TOOL: keys of md5 and 3DES')
for pair in (('null', 'aes-gcm'), ('aes-gmac', 'aes-gcm')):
    equal(secagree.expand(pair, CK, IK), ('aead', 'rfc4106(gcm(aes))', CK + bytes.fromhex('f4f61e05'), 128), f'TOOL: key and salt of {"=".join(pair)}')
equal(secagree.expand(('aes-gmac', 'null'), CK, IK), ('aead', 'rfc4543(gcm(aes))', IK + bytes.fromhex('7098d183'), 128), 'TOOL: key and salt of aes-gmac')
equal(len(secagree.PAIRS), 9, 'TOOL: nine pairs')

server = secagree.parse(['ipsec-3gpp;q=0.1;alg=hmac-md5-96;spi-c=1000;spi-s=1001;port-c=5062;port-s=5063, tls',
                         'IPSEC-3GPP ; q=0.5 ; ALG = HMAC-SHA-1-96; Ealg=AES-CBC; mod=udp-enc-tun; prot=esp; spi-c=4294967295;spi-s=256;port-c=1;port-s=2'])
equal([(x.name, x.pair, x.mode) for x in server], [
    ('ipsec-3gpp', ('hmac-md5-96', 'null'), 'trans'), ('tls', ('', 'null'), 'trans'),
    ('ipsec-3gpp', ('hmac-sha-1-96', 'aes-cbc'), 'UDP-enc-tun')], 'TOOL: a list of mechanisms in two headers')
both = secagree.MODES
equal(secagree.choose(server, secagree.PAIRS, both), server[2], 'TOOL: the one with the highest q is chosen')
equal(secagree.choose(server, secagree.PAIRS, ('trans',)), server[0], 'TOOL: of another mode than was offered, none is')
equal(secagree.choose(server, [('null', 'aes-gcm')], both), None, 'TOOL: with no pair in common, none is')
equal([x.faults() for x in (server[0], server[2])], [[], []], 'TOOL: numbers that a phone can live with')
equal(secagree.Mechanism('ipsec-3gpp;alg=hmac-md5-96;spi-c=255;spi-s=256;port-c=1;port-s=2').reserved(), ['spi-c=255'], 'TOOL: SPIs below 256 are reserved')
for wrong, what in (('spi-c=0;spi-s=1000;port-c=1;port-s=2', 'spi-c=0'), ('spi-c=4294967296;spi-s=1000;port-c=1;port-s=2', 'spi-c=4294967296'),
                    ('spi-c=1000;spi-s=1001;port-c=1;port-s=0', 'port-s=0'), ('spi-c=1000;spi-s=1001;port-c=1', 'port-s=(missing)'),
                    ('spi-c=1000;spi-s=1001;port-c=5060;port-s=5063', 'port-c=5060'), ('spi-c=1000;spi-s=1000;port-c=1;port-s=2', 'spi-c and spi-s'),
                    ('spi-c=1000;spi-s=1001;port-c=2;port-s=2', 'port-c and port-s')):
    said = secagree.Mechanism('ipsec-3gpp;alg=hmac-md5-96;' + wrong).faults()
    ok(said and what in said[0], f'TOOL: {wrong} is not usable', said)
offered = secagree.parse([secagree.client(secagree.PAIRS, both, 1000, 1001, 6301, 6300)])
equal([(x.pair, x.mode, x.faults()) for x in offered], [(p, m, []) for m in both for p in secagree.PAIRS], 'TOOL: Security-Client has each pair in each mode')

# --- SIP

text = (b'SIP/2.0 401 Unauthorized\r\nv: SIP/2.0/UDP 192.0.2.2:6300;branch=z9hG4bK1\r\nFrom: <sip:a@b>;tag=1\r\nt: <sip:a@b>\r\ni: 1\r\n'
        b'CSeq: 7 REGISTER\r\nWWW-Authenticate: Digest realm="a, b",\r\n\tnonce="x=",algorithm=AKAv1-MD5, qop="auth,auth-int"\r\nl: 0\r\n\r\n')
m = sip.Message(text)
equal((m.status, m.method, m.key, sip.parameters(m['www-authenticate'])), (
    401, 'REGISTER', ('1', 7, 'REGISTER'), {'realm': 'a, b', 'nonce': 'x=', 'algorithm': 'AKAv1-MD5', 'qop': 'auth,auth-int'}),
    'TOOL: an answer with compact names and a folded line')
stream, found = b'\r\n\r\n' + text + text.replace(b'l: 0', b'l: 4') + b'body' + text, []
left = b''
for at in range(0, len(stream), 7):
    more, left = sip.split(left + stream[at:at + 7])
    found += more
equal(([x.body for x in found], left), ([b'', b'body', b''], b''), 'TOOL: messages of a stream, in pieces')
for wrong in (b'', b'\xff', b'SIP/2.0 200 OK\r\n\r\n', b'GET / HTTP/1.1\r\nVia: a\r\nCall-ID: 1\r\nCSeq: 1 GET\r\n\r\n', text.replace(b'CSeq: 7', b'CSeq: x')):
    ok(raises(sip.Bad, sip.Message, wrong), f'TOOL: {wrong[:20]} is no SIP')
for via, port in (('SIP/2.0/UDP 192.0.2.1:5100;branch=1', 5100), ('SIP/2.0/TCP [2001:db8::1]:6100;rport', 6100), ('SIP/2.0/UDP [2001:db8::1]', 5060),
                  ('SIP / 2.0 / UDP a.example : 7 ;x', 7)):
    equal(sip.via_port(via), port, f'TOOL: the port of Via {via}')
equal([sip.host_port(x) for x in ('sip:a@[2001:db8::1]:5063;lr', 'sip:192.0.2.1;lr', 'sip:b.example:99')],
      [('2001:db8::1', 5063), ('192.0.2.1', 5060), ('b.example', 99)], 'TOOL: host and port of URIs')
equal(sip.header_list(['<sip:a;lr>, <sip:b?x=1,2;lr>;y', '<sip:c>']), ['<sip:a;lr>', '<sip:b?x=1,2;lr>;y', '<sip:c>'], 'TOOL: elements of Record-Route')

# --- Subscribers


def read(text, number=None):
    with tempfile.NamedTemporaryFile('w') as f:
        f.write(text)
        f.flush()
        return subscribers.read(f.name, number)


people = read(f'# a comment\nimpi,k,op,sqn\n\nue09@ims.example,{k.hex()},{op.hex()},0000000000ff\n', 3)
equal([(x.impi, x.impu, x.usim.k, x.usim.opc, x.usim.sqn) for x in people],
      [(f'ue{n}@ims.example', f'sip:ue{n}@ims.example', k, opc, 255) for n in ('09', '10', '11')], 'TOOL: phones derived of one line, OPc of OP')
people = read(f'IMPI, IMPU ,K,OPc\na@b,tel:+4930,{k.hex()},{opc.hex()}\nc@d,,{k.hex().upper()},{opc.hex()}\n')
equal([(x.impi, x.impu, x.usim.sqn) for x in people], [('a@b', 'tel:+4930', -1), ('c@d', 'sip:c@d', -1)], 'TOOL: phones of two lines')
row = f'{k.hex()},{opc.hex()}'
for text, number, what in (
        ('', None, 'first line'), ('impi,k,opc\n', None, 'no subscribers'), ('impi,key\n', None, 'first line'),
        (f'impi,k,opc\na@b,{row}\nc@d,{row}\n', 3, '2 subscribers, where 3'), (f'impi,k,opc\na@b,{row}\na@b,{row}\n', None, 'twice'),
        (f'impi,k,opc\na,{row}\n', None, 'impi "a"'), (f'impi,k,opc\na@b,{row[1:]}\n', None, 'line 2: k is not 32'),
        (f'impi,k,opc\na@b,{row},1\n', None, '4 fields'), (f'impi,k,opc,op\na@b,{row},{op.hex()}\n', None, 'k, and opc or op'),
        (f'impi,k,opc,sqn\na@b,{row},1\n', None, 'sqn is not 12'), (f'impi,impu,k,opc\na@b,http:x,{row}\n', None, 'no sip: or tel:')):
    e = raises(subscribers.Wrong, read, text, number)
    ok(e and what in str(e), f'TOOL: a file that is not right: {what}', e)
    ok(not e or k.hex()[:31] not in str(e), f'TOOL: no key is said: {what}')
example = os.path.join(UE, 'subscribers.csv.example')
equal(len(subscribers.read(example, 500)), 500, 'TOOL: the example has as many phones as are wanted')

# --- SAs: what `ip xfrm` shows of them, the tests with a kernel do

way = Way('192.0.2.1', 5063, '192.0.2.2', 6301)
for sa in (Sa(way, 1000, 1, secagree.expand(('hmac-sha-1-96', 'null'), CK, IK), 60), Sa(way, 1000, 1, secagree.expand(('null', 'aes-gcm'), CK, IK), 60, True, 4500, 7)):
    ok(len(sa.message()) > 224 and len(sa.message()) % 4 == 0, 'TOOL: an SA is struct xfrm_usersa_info and attributes')
equal([(len(x.selector()), len(Policy(x, OUT, 1).message()), len(Policy(x, IN, 1).ref())) for x in (way, Way('2001:db8::1', 1, '2001:db8::2', 2))],
      [(56, 168 + 68, 64)] * 2, 'TOOL: sizes of a selector and of a policy')

# --- The report

equal([percentile(list(range(1, 101)), p) for p in (50, 90, 99)] + [percentile([5], 99)], [50, 90, 99, 5], 'TOOL: percentiles')
report = Report(['sip:a', 'sip:b', 'sip:c'])
equal([report.next_impu(x) for x in ('sip:a', 'sip:c')], ['sip:b', 'sip:a'], 'TOOL: each phone calls the next, and the last the first')
ok(not report.failed(), 'TOOL: nothing has failed yet')
r = Result(LEAVE, 'a')
r.faults = [('x', 'y', '')]
report.add(r)
ok(not report.failed(), 'TOOL: what goes wrong when phones leave is no failure')
report.results.clear()
for step, impi, seconds, faults, clear in (('register', 'a', 0.1, [], 0), ('register', 'b', 0.3, [('in-clear', 'it came in clear', 'from 1')], 1),
                                           ('register', 'c', None, [('icv', 'wrong', '')], 0), (INCOMING, 'a', None, [], 0), (LEAVE, 'a', None, [('x', 'y', '')], 0)):
    r = Result(step, impi)
    r.seconds, r.faults, r.clear = seconds, faults, clear
    report.add(r)
got = json.loads(report.as_json({'ues': 3}))
equal((got['ues'], got['ok'], got['steps']['register']), (3, False, {
    'sent': 3, 'good': 1, 'failed': 2, 'in_clear': 1, 'old_set': 0, 'lost': 1, 'resent': 0, 'ms': {'p50': 100.0, 'p90': 300.0, 'p99': 300.0, 'max': 300.0}}),
      'TOOL: figures in JSON')
equal([(x['step'], x['code'], x['count'], x['ues']) for x in got['failures']], [('register', 'in-clear', 1, ['b']), ('register', 'icv', 1, ['c'])],
      'TOOL: what failed, without what ended the run')
equal([(x['step'], x['code']) for x in got['notes']], [(LEAVE, 'x')], 'TOOL: that is a note')
ok(all(x in report.table() for x in ('register', 'it came in clear', '[icv]', '300.0')), 'TOOL: the table')

# --- The command line


def run(*words):
    """(exit status, what it says)"""
    said = io.StringIO()
    with contextlib.redirect_stderr(said), contextlib.redirect_stdout(said):
        try:
            status = cli.main(list(words))
        except SystemExit as e:
            status = e.code
    return status, said.getvalue()


needed = ('--pcscf', '192.0.2.1', '--subscribers', example)
for words, what in (
        ((), 'STEP'), (('fly', *needed), "'register', 'reregister'"), (('register', '--pcscf', '192.0.2.1'), '--subscribers'),
        (('register', '--pcscf', 'pcscf.example', '--subscribers', example), 'no address'), (('register', '--pcscf', '[::1', '--subscribers', example), 'no address'),
        (('register', '--pcscf', '192.0.2.1:0', '--subscribers', example), 'no address'), (('register', '--algs', 'md5', *needed), 'hmac-sha-1-96=aes-cbc'),
        (('register', '--mod', 'tunnel', *needed), 'trans, UDP-enc-tun'), (('register', '--count', '0', *needed), 'number of phones'),
        (('register', '--pcscf', '192.0.2.1', '--subscribers', '/nonexistent'), '/nonexistent'), (('register', '--hold', '600', *needed), '--expires'),
        (('register', '--json', '/nonexistent/x', *needed), '/nonexistent/x')):
    status, said = run(*words)
    ok(status == 2 and what in said and 'Traceback' not in said, f'TOOL: "{" ".join(words)[:60]}" is an error that says {what}', status, said)
cli.has_net_admin = lambda: False
status, said = run('register', *needed)
ok(status == 2 and 'CAP_NET_ADMIN' in said, 'TOOL: without CAP_NET_ADMIN it says so', status, said)
for text, expected in (('192.0.2.1', ('192.0.2.1', 5060)), ('192.0.2.1:5062', ('192.0.2.1', 5062)), ('2001:db8::1', ('2001:db8::1', 5060)),
                       ('[2001:DB8::1]:5062', ('2001:db8::1', 5062)), ('[2001:db8::1]', ('2001:db8::1', 5060))):
    equal(cli.address_option(text), expected, f'TOOL: --pcscf {text}')

print(f'1..{count}')
sys.exit(1 if failed else 0)
