#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
#
# Names of algorithms for tcpdump -E
#
# One would guess: tcpdump decrypts ESP by the names that its man page has, 3des-cbc and none
# among them, and by those of OpenSSL, whose ciphers it uses: des-ede3-cbc, which is SIP's name as
# well, and aes-128-cbc. A warning tells of a name, or a key, that will not do.
# seen: tcpdump 4.99.3 takes "-cbc" off before it asks OpenSSL for the name. Of 3des-cbc there
# is 3des left, which OpenSSL has for CBC. Of des-ede3-cbc there is des-ede3 left, which is ECB:
# tcpdump decrypts to nonsense, without a warning, and shows that as the packet, or "[|esp]" as of
# a packet that was cut. Of aes-128-cbc nothing is left that OpenSSL knows; aes128-cbc is right.
# none is not known either, so that nothing of ESP with null encryption is shown.
# A key that is too short has zeroes appended, without a warning: with CK, 16 bytes, for 3DES
# tcpdump shows another packet. ipsec-3gpp's key is CK and its first half again. ICVs are not
# looked at, so that no wrong key is noticed.
set -eu

# shellcheck source=common
. "$(dirname "$0")/common"
command -v python3 >/dev/null && command -v openssl >/dev/null || exit 2
unpack tcpdump=4.99.3-1 libpcap0.8=1.10.3-1

CK=101112131415161718191a1b1c1d1e1f
# esp FILE [CIPHER… IV]: a packet of UDP in ESP, encrypted by that command
esp() {
	python3 - "$@" <<'END'
import struct
import subprocess
import sys

path, *cipher = sys.argv[1:]
data = b'OPTIONS sip:ue@192.0.2.7 SIP/2.0'
inner = struct.pack('>4H', 5062, 5063, 8 + len(data), 0) + data + bytes(range(1, 7)) + bytes((6, 17))
if cipher:
    inner = bytes.fromhex(cipher[-1]) + subprocess.run(cipher, input=inner, stdout=subprocess.PIPE, check=True).stdout
packet = struct.pack('>2I', 0x1000, 1) + inner + bytes(12)
packet = struct.pack('>2B3H2BH', 0x45, 0, 20 + len(packet), 0, 0, 64, 50, 0) + bytes((192, 0, 2, 7, 192, 0, 2, 1)) + packet
with open(path, 'wb') as f:
    f.write(struct.pack('<I2H4I', 0xa1b2c3d4, 2, 4, 0, 0, 65535, 101) + struct.pack('<4I', 0, 0, len(packet), len(packet)) + packet)
END
}
esp "$dir/3des" openssl enc -des-ede3-cbc -nopad -K "${CK}1011121314151617" -iv 0000000000000075
esp "$dir/aes" openssl enc -aes-128-cbc -nopad -K "$CK" -iv 00000000000000000000000000000001
esp "$dir/null"

# show FILE NAME KEY
show() {
	echo "$1, $2 with a key of $((${#3} / 2)) bytes:"
	tcpdump -n -t -r "$dir/$1" -E "0x1000@192.0.2.1 $2:0x$3" 2>&1 | sed '/^reading/d; s/^IP.*ESP([^)]*)/  ESP/; s/^tcpdump:/ &/'
}
seen=$(
	tcpdump --version 2>&1 | head -n 1
	show 3des 3des-cbc-hmac96 "${CK}1011121314151617"
	show 3des des-ede3-cbc-hmac96 "${CK}1011121314151617"
	show 3des 3des-cbc-hmac96 "$CK"
	show aes aes128-cbc-hmac96 "$CK"
	show aes aes-128-cbc-hmac96 "$CK"
	show null none-hmac96 00
)

expected=$(cat <<'END'
tcpdump version 4.99.3
3des, 3des-cbc-hmac96 with a key of 24 bytes:
  ESP, length 76: 5062 > 5063: UDP, length 32
3des, des-ede3-cbc-hmac96 with a key of 24 bytes:
  ESP, length 76:  ip-proto-19 41
3des, 3des-cbc-hmac96 with a key of 16 bytes:
  ESP, length 76: 192.0.2.7.28864 > 192.0.2.1.11500: sctp [|sctp]
aes, aes128-cbc-hmac96 with a key of 16 bytes:
  ESP, length 84: 5062 > 5063: UDP, length 32
aes, aes-128-cbc-hmac96 with a key of 16 bytes:
 tcpdump: WARNING: failed to find cipher algo aes-128
  ESP, length 84
null, none-hmac96 with a key of 1 bytes:
 tcpdump: WARNING: failed to find cipher algo none
  ESP, length 68
END
)

compare "$seen" "$expected" 'the name with -cbc is ECB'
