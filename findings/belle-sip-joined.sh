#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
#
# Headers with commas, written by belle-sip, Linphone's library
#
# One would guess: a header of three values, "Service-Route: a, b, c", which means the same as three
# headers, is written as one or as three; Contact: * is read, as each SIP server does when a phone
# takes its registrations back; and Expires, which has up to 2^32 - 1 seconds, is an unsigned number.
# seen: belle-sip 5.1.64 has the three values in the message's list, and writes six headers: each value
# is written with all that follow. A Service-Route, Route, Record-Route or Contact of n values is
# n(n + 1)/2 headers, and a route has hops twice. Contact: * is an error in belle-sip's log, and
# the message is parsed without its Contact. Expires of 2^31 or above is written as negative.
set -eu

# shellcheck source=common
. "$(dirname "$0")/common"
unpack libbellesip1=5.1.64+dfsg-2 libbellesip-dev=5.1.64+dfsg-2 libbctoolbox1=5.1.64-2 libbctoolbox-dev=5.1.64-2 \
	libbelr1=5.1.64-2 libantlr3c-3.4-0=3.4+dfsg-4 libavahi-compat-libdnssd1=0.8-10+deb12u1 \
	libavahi-client3=0.8-10+deb12u1 libavahi-common3=0.8-10+deb12u1 libmbedtls14=2.28.3-1 libmbedx509-1=2.28.3-1 \
	libmbedcrypto7=2.28.3-1 libdecaf0=1.0.2-2 libdbus-1-3=1.14.10-1~deb12u1

cat >"$dir/joined.c" <<'END'
#include <belle-sip/belle-sip.h>
#include <stdio.h>
#include <string.h>

static const char *const headers[][2] = {
	{ "Service-Route", "<sip:a.example;lr>, <sip:b.example;lr>, <sip:c.example;lr>" },
	{ "Contact", "<sip:ue@192.0.2.7>, <sip:ue@192.0.2.8>" },
	{ "Contact", "*" },
	{ "Expires", "4294967295" },
};

int main(void)
{
	belle_sip_object_pool_push();
	for (size_t i = 0; i < sizeof(headers) / sizeof(*headers); i++) {
		const char *name = headers[i][0];
		belle_sip_message_t *sip;
		char text[1024], *line;

		snprintf(text, sizeof(text), "REGISTER sip:ims.example SIP/2.0\r\n"
			 "Via: SIP/2.0/UDP 192.0.2.7;branch=z9hG4bK1\r\nFrom: <sip:ue@ims.example>;tag=1\r\n"
			 "To: <sip:ue@ims.example>\r\nCall-ID: 1\r\nCSeq: 1 REGISTER\r\n%s: %s\r\n\r\n", name, headers[i][1]);
		sip = belle_sip_message_parse(text);
		printf("%s: %s\n", name, headers[i][1]);
		printf("  message %s, %zu in its list\n", sip ? "parsed" : "not parsed",
		       bctbx_list_size(belle_sip_message_get_headers(sip, name)));
		for (line = strtok(belle_sip_object_to_string(sip), "\r\n"); line; line = strtok(NULL, "\r\n"))
			if (!strncasecmp(line, name, strlen(name)))
				printf("  written %s\n", line);
	}
}
END
gcc -w -I"$dir/usr/include" -o "$dir/joined" "$dir/joined.c" "$dir"/usr/lib/*/libbellesip.so.1 \
	"$dir"/usr/lib/*/libbctoolbox.so.1 -Wl,--allow-shlib-undefined
seen=$("$dir/joined" 2>/dev/null)

expected=$(cat <<'END'
Service-Route: <sip:a.example;lr>, <sip:b.example;lr>, <sip:c.example;lr>
  message parsed, 3 in its list
  written Service-route: <sip:a.example;lr>
  written Service-route: <sip:b.example;lr>
  written Service-route: <sip:c.example;lr>
  written Service-route: <sip:b.example;lr>
  written Service-route: <sip:c.example;lr>
  written Service-route: <sip:c.example;lr>
Contact: <sip:ue@192.0.2.7>, <sip:ue@192.0.2.8>
  message parsed, 2 in its list
  written Contact: sip:ue@192.0.2.7
  written Contact: sip:ue@192.0.2.8
  written Contact: sip:ue@192.0.2.8
Contact: *
  message parsed, 0 in its list
Expires: 4294967295
  message parsed, 1 in its list
  written Expires: -1
END
)

compare "$seen" "$expected" 'each value is written with all that follow'
