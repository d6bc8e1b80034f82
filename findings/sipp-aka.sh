#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
#
# SIPp as a phone that registers with AKA: RES and K with some bytes
#
# One would guess: SIPp's [authentication] with aka_K=0x… and aka_OP=0x… answers any challenge of
# a network that has the same K and OP, and the response is of RES, all eight bytes.
# seen: SIPp 3.6.1 takes RES for text, which ends at the first byte of zeroes, and has the
# response made of what is before. 1 - (255/256)^8 of all RES have such a byte: one challenge of
# 32 is answered wrongly, whatever K is. And K is put into the message as text before SIPp reads
# it: with a byte 0x0a in K no challenge is the network's (MAC), and with 0x5b, "[", the scenario
# is refused.
# A registration that fails now and then, or with one SIM of some, need not be the P-CSCF's fault.
set -eu

# shellcheck source=common
. "$(dirname "$0")/common"
unshare -n true || exit 2
command -v python3 >/dev/null || exit 2
unpack sip-tester=1:3.6.1-1+b2 libpcap0.8=1.10.3-1 libsctp1=1.0.19+dfsg-2 libgsl27=2.7.1+dfsg-5+deb12u1 \
	libgslcblas0=2.7.1+dfsg-5+deb12u1 libncursesw6=6.4-4 libtinfo6=6.4-4

cat >"$dir/network.py" <<'END'
"""network.py K OP RAND…: challenges a UE once with each RAND, and says what its responses are made of."""
import base64
import hashlib
import re
import socket
import sys


def times2(a):
    return (a << 1 ^ (0x11b if a & 0x80 else 0)) & 0x1ff


def sbox():
    p = q = 1
    out = {0: 0x63}
    while True:
        p ^= times2(p)
        for n in (1, 2, 4):
            q ^= q << n & 0xff
        q ^= 0x09 if q & 0x80 else 0
        turned = (q * 0x101 >> n & 0xff for n in (4, 5, 6, 7))
        x = q ^ 0x63
        for t in turned:
            x ^= t
        out[p] = x
        if p == 1:
            return out


SBOX = sbox()


def xor(a, b):
    return bytes(x ^ y for x, y in zip(a, b))


def aes(key, block):
    words, rcon = [key[i:i + 4] for i in range(0, 16, 4)], 1
    while len(words) < 44:
        w = words[-1]
        if len(words) % 4 == 0:
            w = bytes([SBOX[w[1]] ^ rcon, SBOX[w[2]], SBOX[w[3]], SBOX[w[0]]])
            rcon = times2(rcon)
        words.append(xor(w, words[-4]))
    keys = [b''.join(words[i:i + 4]) for i in range(0, 44, 4)]
    s = xor(block, keys[0])
    for n in range(1, 11):
        s = bytes(SBOX[s[(i + 4 * (i % 4)) % 16]] for i in range(16))
        if n < 10:
            s = bytes(times2(s[i]) ^ times2(s[j]) ^ s[j] ^ s[k] ^ s[m] for i, j, k, m in
                      ((4 * c + r, 4 * c + (r + 1) % 4, 4 * c + (r + 2) % 4, 4 * c + (r + 3) % 4)
                       for c in range(4) for r in range(4)))
        s = xor(s, keys[n])
    return s


def milenage(k, op, rand, sqn, amf):
    """MAC, RES and AK of 3GPP TS 35.206."""
    opc = xor(aes(k, op), op)
    temp = aes(k, xor(rand, opc))
    in1 = xor((sqn + amf) * 2, opc)
    mac = xor(aes(k, xor(temp, in1[8:] + in1[:8])), opc)[:8]
    out2 = xor(aes(k, xor(xor(temp, opc), bytes(15) + b'\1')), opc)
    return mac, out2[8:], out2[:6]


def md5(data):
    return hashlib.md5(data).hexdigest()


# Test set 1 of TS 35.207
assert [x.hex() for x in milenage(*map(bytes.fromhex, (
    '465b5ce8b199b49faa5f0a2ee238a6bc', 'cdc202d5123e20f62b6d676ac72cb318', '23553cbe9637a89d218ae64dae47bf35',
    'ff9bb4d0b607', 'b9b9')))] == ['4a9ffac354dfafb3', 'a54211d5e3ba50bf', 'aa689c648370']
K, OP, *rands = map(bytes.fromhex, sys.argv[1:])
sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
sock.bind(('127.0.0.1', 5070))
sock.settimeout(20)
print('ready', flush=True)
sqn = 0x111111111111
while rands:
    data, ue = sock.recvfrom(4096)
    text = data.decode()
    same = ''.join(re.search(rf'^{h}:.*?\n', text, re.M)[0] for h in ('Via', 'From', 'To', 'Call-ID', 'CSeq'))
    answer = dict(re.findall(r'(\w+)="?([^",\r]*)', text.partition('Authorization:')[2]))
    if not answer:
        number, amf = sqn.to_bytes(6, 'big'), b'\x81\x81'
        mac, res, ak = milenage(K, OP, rands[0], number, amf)
        nonce = base64.b64encode(rands[0] + xor(number, ak) + amf + mac).decode()
        sock.sendto(f'SIP/2.0 401 Unauthorized\r\n{same}WWW-Authenticate: Digest realm="ims.example", nonce="{nonce}", '
                    'algorithm=AKAv1-MD5\r\nContent-Length: 0\r\n\r\n'.encode(), ue)
        continue
    of = [n for n in range(len(res) + 1) if answer['response'] == md5(
        f"{md5(b'ue@ims.example:ims.example:' + res[:n])}:{answer['nonce']}:{md5(b'REGISTER:' + answer['uri'].encode())}".encode())]
    print(f'  RES {res.hex()}: the response is of its first {of} bytes', flush=True)
    sock.sendto(f'SIP/2.0 200 OK\r\n{same}Content-Length: 0\r\n\r\n'.encode(), ue)
    del rands[0]
    sqn += 1
END

OP=11223344556677889911223344556677
export OP dir
seen=$(unshare -n sh -eu 2>&1 <<'END'
ip link set lo up
cd "$dir"
sipp -v 2>&1 | grep -o 'SIPp v[0-9.]*'

# register K RAND...
register() {
	k=$1
	shift
	echo "K $k"
	message() {
		printf '<send><![CDATA[\nREGISTER sip:ims.example SIP/2.0\nVia: SIP/2.0/UDP 127.0.0.1:5060;branch=[branch]\n'
		printf 'From: <sip:ue@ims.example>;tag=[call_number]\nTo: <sip:ue@ims.example>\nCall-ID: [call_id]\n'
		printf 'CSeq: %s REGISTER\nContact: <sip:ue@127.0.0.1:5060>\n%sContent-Length: 0\n\n]]></send>\n' "$1" "$2"
	}
	{
		printf '<?xml version="1.0" encoding="UTF-8"?>\n<scenario name="register">\n'
		message 1 ''
		echo '<recv response="401" auth="true"/>'
		message 2 "[authentication username=ue@ims.example aka_K=0x$k aka_OP=0x$OP aka_AMF=0x8181]
"
		printf '<recv response="200"/>\n</scenario>\n'
	} >register.xml
	rm -f register_* said
	python3 network.py "$k" "$OP" "$@" >said &
	network=$!
	until grep -q ready said 2>/dev/null; do sleep 0.1; done
	status=0
	sipp -sf register.xml -m $# -l 1 -i 127.0.0.1 -p 5060 -nostdin -trace_err -timeout 15 127.0.0.1:5070 >/dev/null 2>&1 || status=$?
	grep -v ready said || :
	echo "  sipp ends with $status$(grep -hoE 'MAC != eXpectedMAC|invalid .keyword.' register_*_errors.log 2>/dev/null | head -n 1 | sed 's/^/: /')"
	kill $network 2>/dev/null || :
	wait
}
register 21222324252627282921222324252627 2122232425262728292a2b2c2d2e2121 2122232425262728292a2b2c2d2e2124 \
	2122232425262728292a2b2c2d2e217d 2122232425262728292a2b2c2d2e2150
register 2122232425262728292122232425260a 2122232425262728292a2b2c2d2e2f30
register 2122232425262728292122232425265b 2122232425262728292a2b2c2d2e2f30
END
) || :

expected=$(cat <<'END'
SIPp v3.6.1
K 21222324252627282921222324252627
  RES 48e96b9dd6a3e07b: the response is of its first [8] bytes
  RES fb9a00ed1543bda4: the response is of its first [2] bytes
  RES 2842485b00e7ccf5: the response is of its first [4] bytes
  RES f3d9e551d2ad4600: the response is of its first [7] bytes
  sipp ends with 0
K 2122232425262728292122232425260a
  sipp ends with 255: MAC != eXpectedMAC
K 2122232425262728292122232425265b
  sipp ends with 1: invalid [keyword]
END
)

compare "$seen" "$expected" 'SIPp takes RES and K for text'
