#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
#
# Headers with commas, read by Perl's Net::SIP
#
# One would guess: get_header() gives the values of a header that has several, however they are
# written, as it does for Contact; and sip_hdrval2parts() refuses what is not one value.
# seen: Net::SIP 0.835 has a list of the headers that it splits at commas, Contact and Record-Route among
# them. Of others, Path, Service-Route and Security-Client, two values in one header are one value, of
# which no URI is had; they are two when they stand in two headers. sip_hdrval2parts() of two
# mechanisms in one Security-Client mixes them: the first's name and q, and the second's algorithm and
# SPI, and no error tells.
set -eu

# shellcheck source=common
. "$(dirname "$0")/common"
command -v perl >/dev/null || exit 2
unpack libnet-sip-perl=0.835-1

cat >"$dir/joined.pl" <<'END'
use strict;
use warnings;
use Net::SIP;
use Net::SIP::Util 'sip_hdrval2parts';

print "Net::SIP $Net::SIP::VERSION\n";
for my $header ('Contact: <sip:a.example>, <sip:b.example>', 'Record-Route: <sip:a.example;lr>, <sip:b.example;lr>',
		'Path: <sip:a.example;lr>, <sip:b.example;lr>', 'Service-Route: <sip:a.example;lr>, <sip:b.example;lr>',
		"Path: <sip:a.example;lr>\r\nPath: <sip:b.example;lr>",
		'Security-Client: ipsec-3gpp;q=0.2;alg=hmac-sha-1-96;spi-c=1111, ipsec-3gpp;alg=hmac-md5-96;spi-c=2222') {
	my ($name) = $header =~ /^([\w-]+)/;
	my $packet = Net::SIP::Packet->new("REGISTER sip:ims.example SIP/2.0\r\n$header\r\nContent-Length: 0\r\n\r\n");
	my @values = $packet->get_header($name);
	print $header =~ s/\r\n/, and /r, "\n", map { "  value: $_\n" } @values;
	next if $name ne 'Security-Client';
	my ($data, $parameters) = sip_hdrval2parts(lc $name, $values[0]);
	print "  parts: $data", (map { ";$_=$parameters->{$_}" } sort keys %$parameters), "\n";
}
END
seen=$(perl -I"$dir/usr/share/perl5" "$dir/joined.pl")

expected=$(cat <<'END'
Net::SIP 0.835
Contact: <sip:a.example>, <sip:b.example>
  value: <sip:a.example>
  value: <sip:b.example>
Record-Route: <sip:a.example;lr>, <sip:b.example;lr>
  value: <sip:a.example;lr>
  value: <sip:b.example;lr>
Path: <sip:a.example;lr>, <sip:b.example;lr>
  value: <sip:a.example;lr>, <sip:b.example;lr>
Service-Route: <sip:a.example;lr>, <sip:b.example;lr>
  value: <sip:a.example;lr>, <sip:b.example;lr>
Path: <sip:a.example;lr>, and Path: <sip:b.example;lr>
  value: <sip:a.example;lr>
  value: <sip:b.example;lr>
Security-Client: ipsec-3gpp;q=0.2;alg=hmac-sha-1-96;spi-c=1111, ipsec-3gpp;alg=hmac-md5-96;spi-c=2222
  value: ipsec-3gpp;q=0.2;alg=hmac-sha-1-96;spi-c=1111, ipsec-3gpp;alg=hmac-md5-96;spi-c=2222
  parts: ipsec-3gpp;alg=hmac-md5-96;q=0.2;spi-c=2222
END
)

compare "$seen" "$expected" 'two values are one'
