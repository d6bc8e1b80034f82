#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
#
# SPIs in the routing of Kamailio 5.6
#
# One would guess: an SPI, which phones choose from all 32 bits, is a number in Kamailio as in
# any server of 64 bits; or a number that is too large is an error when the configuration is read.
# seen: Kamailio 5.6.3 has 32 bits with a sign for numbers. A number of 2^31 or above in the
# configuration becomes another, negative from 2^31 on and the remainder from 2^32 on, and
# "kamailio -c" finds the configuration good. {s.int} of such text is no value, for which a
# comparison takes 0, and says nothing; an assignment takes 0 as well, with an error in the log, and
# the routing goes on. As text the SPI is right.
set -eu

# shellcheck source=common
. "$(dirname "$0")/common"
unshare -n true || exit 2
command -v python3 >/dev/null || exit 2
unpack kamailio=5.6.3-2

kamailio_head >"$dir/kamailio.cfg"
cat >>"$dir/kamailio.cfg" <<END
loadmodule "pv.so"
loadmodule "sl.so"
loadmodule "textops.so"
request_route {
	\$var(text) = \$(hdr(Security-Client){param.value,spi-c});
	\$var(number) = \$(var(text){s.int});
	append_to_reply("X-Seen: text \$var(text), number \$var(number)\r\n");
	if (\$(var(text){s.int}) >= 256)
		append_to_reply("X-Seen: 256 or more\r\n");
	else
		append_to_reply("X-Seen: less than 256\r\n");
	\$var(a) = 3759706211;
	\$var(b) = 5000000000;
	append_to_reply("X-Seen: 3759706211 is \$var(a), 5000000000 is \$var(b)\r\n");
	sl_send_reply("200", "OK");
}
END
cat >"$dir/phones.py" <<'END'
"""Two phones register, and what the routing says is printed."""
import re
import socket

with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
    sock.bind(('127.0.0.1', 5070))
    sock.settimeout(0.5)
    for n, spi in enumerate((25656, 3759706211)):
        print(f'REGISTER with spi-c={spi}:')
        request = ('REGISTER sip:ims.example SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.1:5070;branch=z9hG4bK{0}\r\n'
                   'From: <sip:ue{0}@ims.example>;tag=1\r\nTo: <sip:ue{0}@ims.example>\r\nCall-ID: {0}\r\nCSeq: 1 REGISTER\r\n'
                   'Security-Client: ipsec-3gpp;alg=hmac-sha-1-96;spi-c={1};spi-s=25657;port-c=6301;port-s=6300\r\n'
                   'Content-Length: 0\r\n\r\n').format(n, spi)
        reply = ''
        for _ in range(40):  # until Kamailio is there
            sock.sendto(request.encode(), ('127.0.0.1', 5060))
            try:
                while f'Call-ID: {n}\r' not in reply:
                    reply = sock.recv(4096).decode()
                break
            except TimeoutError:
                pass
        print('\n'.join(re.findall('X-Seen: (.*)\r', reply)))
END

export dir
seen=$(unshare -n sh -eu 2>&1 <<'END'
ip link set lo up
cd "$dir"
kamailio -v | grep -o 'kamailio [0-9.]*'
kamailio -f kamailio.cfg -c >check 2>&1 && echo 'the configuration is good'
kamailio -f kamailio.cfg -DD -m 16 -M 4 >log 2>&1 &
trap "kill $!; wait" EXIT
python3 phones.py
grep -o 'ERROR.*right pvar' log
END
) || :

expected=$(cat <<'END'
kamailio 5.6.3
the configuration is good
REGISTER with spi-c=25656:
text 25656, number 25656
256 or more
3759706211 is -535261085, 5000000000 is 705032704
REGISTER with spi-c=3759706211:
text 3759706211, number 0
less than 256
3759706211 is -535261085, 5000000000 is 705032704
ERROR: <core> [core/lvalue.c:346]: lval_pvar_assign(): non existing right pvar
END
)

compare "$seen" "$expected" 'an SPI of 2^31 or above is another number, or none'
