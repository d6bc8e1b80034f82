#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
#
# Wireshark's table of ESP SAs: AES-GCM, and keys without 0x
#
# One would guess: of the encryptions in the table "AES-GCM [RFC4106]" is the AES-GCM that IPsec has,
# with the ICV of 16 bytes that RFC 4106 has everybody support; and a key in hexadecimal digits that the
# table does not take for such is of the wrong length, which Wireshark says.
# seen: for tshark 4.0.17 "AES-GCM [RFC4106]" is AES-GCM without an ICV: the ICV is deciphered as if
# it were the packet's end, where the next header is looked for, and the packet is shown as ESP, with
# no word of what is wrong. "AES-GCM with 16 octet ICV [RFC4106]" reads it. A key without 0x is
# text: a key of 16 bytes for AES-CBC, written as 32 digits, is a good key of AES-256, and the packet is
# ESP again, without a word. With 0x it is read. Only a key of no length that AES has is an error.
set -eu

# shellcheck source=common
. "$(dirname "$0")/common"
command -v python3 >/dev/null || exit 2
wireshark=4.0.17-0+deb12u3
unpack tshark=$wireshark libwireshark16=$wireshark libwireshark-data=$wireshark libwiretap13=$wireshark \
	libwsutil14=$wireshark libpcap0.8=1.10.3-1 libc-ares2=1.18.1-3 libbrotli1=1.0.9-2+b6 liblua5.2-0=5.2.4-3 \
	libsnappy1v5=1.1.9-3 libsmi2ldbl=0.4.8+dfsg2-16
tshark --version >/dev/null 2>&1 || { echo 'tshark wants libglib2.0-0, libkrb5-3, libnghttp2-14 and libxml2'; exit 2; }

# OPTIONS over UDP in ESP, with AES-GCM, and with AES-CBC and HMAC-SHA-1-96
python3 - "$dir/esp" <<'END'
import struct
import sys

packets = [bytes.fromhex(text.replace('\n', '')) for text in ('''
45000064000100004032f65ec0000201c000020700001000000000015051525354555657383cbe0cfc97b7c3b4b3bb2be56d30dbe06
3fd9206c9c1056d9499fee0035d513e93ce4ed0b22e35f70604ee54a1f5f418b94621d475e857ba15c216f035ea5b''', '''
45000068000100004032f65ac0000201c00002070000100100000001505152535455565758595a5b5c5d5e5f089db99d1a3475aef67c2
acad0949841339eb6f49e5d3ac8bb06842b93b701d98b057acf1da353cca4639b77a79db525f4d8f37043c05074606b9d76''')]
with open(sys.argv[1], 'wb') as f:
    f.write(struct.pack('<I2H4I', 0xa1b2c3d4, 2, 4, 0, 0, 65535, 101))
    for packet in packets:
        f.write(struct.pack('<4I', 0, 0, len(packet), len(packet)) + packet)
END

mkdir "$dir/config"
export WIRESHARK_CONFIG_DIR="$dir/config" WIRESHARK_DATA_DIR="$dir/usr/share/wireshark"
key=101112131415161718191a1b1c1d1e1f
# show PACKET ENCRYPTION KEY [AUTHENTICATION KEY]
show() {
	printf '"IPv4","*","*","*","%s","%s","%s","%s"\n' "$2" "$3" "${4:-NULL}" "${5:-}" >"$dir/config/esp_sa"
	echo "$2, $3: $(tshark -r "$dir/esp" -o esp.enable_encryption_decode:TRUE -d udp.port==5063,sip -Y "frame.number == $1" \
		-T fields -E separator=' ' -e _ws.col.Protocol -e _ws.expert.message 2>/dev/null | sed 's/ *$//')"
}
seen=$(
	tshark --version 2>/dev/null | grep -o '^TShark[^0-9]*[0-9.]*'
	for name in 'AES-GCM [RFC4106]' 'AES-GCM with 16 octet ICV [RFC4106]'; do
		show 1 "$name" 0x${key}40414243
	done
	for written in 0x$key $key 0x${key}00; do
		show 2 'AES-CBC [RFC3602]' "$written" 'HMAC-SHA-1-96 [RFC2404]' 0x202122232425262728292a2b2c2d2e2f00000000
	done
)

expected=$(cat <<'END'
TShark (Wireshark) 4.0.17
AES-GCM [RFC4106], 0x101112131415161718191a1b1c1d1e1f40414243: ESP
AES-GCM with 16 octet ICV [RFC4106], 0x101112131415161718191a1b1c1d1e1f40414243: SIP
AES-CBC [RFC3602], 0x101112131415161718191a1b1c1d1e1f: SIP
AES-CBC [RFC3602], 101112131415161718191a1b1c1d1e1f: ESP
AES-CBC [RFC3602], 0x101112131415161718191a1b1c1d1e1f00: ESP <ESP Preferences> Error in Encryption Algorithm AES-CBC : Bad Keylen (136 Bits)
END
)

compare "$seen" "$expected" 'no word of an ICV that is not taken for one, or of a key that is text'
