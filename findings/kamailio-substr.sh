#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
#
# RAND and AUTN out of AKA's nonce, in the routing of Kamailio 5.6
#
# One would guess: $(var(nonce){s.decode.base64}{s.substr,0,16}) is RAND, and {s.strip,16} is AUTN,
# whatever bytes they have: Kamailio's text has a length, and {s.decode.base64}{s.encode.hexa} gives
# all bytes.
# seen: in Kamailio 5.6.3 {s.substr}, {s.strip} and {s.striptail} give the right number of bytes, and
# after the first 00 these are all 00; so does $shv(). $var(), $avp(), $sht() and "+" keep the bytes,
# as do {s.md5} and the encodings. 1 - (255/256)^16 of all RANDs have such a byte: one challenge of
# 16. Hexadecimal first, and the part of that, is right: {s.encode.hexa}{s.substr,0,32}.
set -eu

# shellcheck source=common
. "$(dirname "$0")/common"
unshare -n true || exit 2
unpack kamailio=5.6.3-2

kamailio_head >"$dir/kamailio.cfg"
cat >>"$dir/kamailio.cfg" <<END
loadmodule "pv.so"
loadmodule "xlog.so"
loadmodule "htable.so"
modparam("htable", "htable", "t=>size=4;")
request_route {
	exit;
}
event_route[core:worker-one-init] {
	\$var(nonce) = "ICIAITAxMjM0NTY3ODk6O1AAUWBhYmNkZWZnaGlqa2w=";
	\$var(bytes) = \$(var(nonce){s.decode.base64});
	\$avp(bytes) = \$var(bytes);
	\$sht(t=>bytes) = \$var(bytes);
	\$shv(bytes) = \$var(bytes);
	xlog("seen: var: \$(var(bytes){s.encode.hexa})\n");
	xlog("seen: avp: \$(avp(bytes){s.encode.hexa})\n");
	xlog("seen: sht: \$(sht(t=>bytes){s.encode.hexa})\n");
	xlog("seen: shv: \$(shv(bytes){s.encode.hexa})\n");
	xlog("seen: {s.substr,0,16} \$(var(bytes){s.substr,0,16}{s.encode.hexa})\n");
	xlog("seen: {s.strip,16} \$(var(bytes){s.strip,16}{s.encode.hexa})\n");
	xlog("seen: {s.striptail,16} \$(var(bytes){s.striptail,16}{s.encode.hexa})\n");
	xlog("seen: {s.encode.hexa}{s.substr,0,32} \$(var(bytes){s.encode.hexa}{s.substr,0,32})\n");
	xlog("seen: the end\n");
}
END

export dir
seen=$(unshare -n sh -eu 2>&1 <<'END'
ip link set lo up
cd "$dir"
kamailio -v | grep -o 'kamailio [0-9.]*'
kamailio -f kamailio.cfg -DD -m 16 -M 4 >log 2>&1 &
trap "kill $!; wait" EXIT
until grep -qs "seen: the end" log || ! kill -0 $! 2>/dev/null; do sleep 0.1; done
grep -o 'seen: .*' log | cut -c7-
END
) || :

expected=$(cat <<'END'
kamailio 5.6.3
var: 20220021303132333435363738393a3b500051606162636465666768696a6b6c
avp: 20220021303132333435363738393a3b500051606162636465666768696a6b6c
sht: 20220021303132333435363738393a3b500051606162636465666768696a6b6c
shv: 2022000000000000000000000000000000000000000000000000000000000000
{s.substr,0,16} 20220000000000000000000000000000
{s.strip,16} 50000000000000000000000000000000
{s.striptail,16} 20220000000000000000000000000000
{s.encode.hexa}{s.substr,0,32} 20220021303132333435363738393a3b
the end
END
)

compare "$seen" "$expected" 'what is cut out ends at the first 00'
