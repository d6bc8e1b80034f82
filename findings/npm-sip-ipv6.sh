#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
#
# IPv6 in npm's sip and drachtio-sip
#
# One would guess: sip, a SIP stack for Node.js, and drachtio-sip, the parser of drachtio, read Via with an
# IPv6 address, as RFC 3261 has it, or say that they do not; and what sip has parsed it writes with the
# same meaning.
# seen: sip 0.0.6 has "[2001" for the host of a Via with [2001:db8::7], and nothing of what is behind: no
# port, no branch. It answers with that Via, and no client knows the answer for its own. Of
# received=2001:db8::8 there is 2001 left, and a URI with an IPv6 address is none for parseUri(). Nothing of
# this is an error. drachtio-sip 0.6.3 reads the URI, and the Via as sip does. Contact: *, with which a phone takes back what it has registered, is written as <*>.
set -eu

# shellcheck source=common
. "$(dirname "$0")/common"
command -v node >/dev/null && command -v npm >/dev/null || exit 2
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
npm install --silent --no-audit --no-fund --ignore-scripts --prefix "$dir" --legacy-peer-deps \
	sip@0.0.6 ws@6.2.3 drachtio-sip@0.6.3 >/dev/null

cat >"$dir/ipv6.js" <<'END'
const sip = require('sip');
const drachtio = require('drachtio-sip');

console.log('drachtio-sip ' + require('drachtio-sip/package.json').version);
console.log('sip ' + require('sip/package.json').version);
for (const via of ['192.0.2.7:5062;branch=z9hG4bK1', '[2001:db8::7]:5062;branch=z9hG4bK1',
		   '192.0.2.7:5062;received=2001:db8::8;branch=z9hG4bK1']) {
	const text = `REGISTER sip:ims.example SIP/2.0\r\nVia: SIP/2.0/UDP ${via}\r\n` +
		'From: <sip:ue@ims.example>;tag=1\r\nTo: <sip:ue@ims.example>\r\nCall-ID: 1\r\nCSeq: 1 REGISTER\r\n' +
		'Contact: *\r\nExpires: 0\r\n\r\n';
	const request = sip.parse(text);
	console.log(`Via ${via}\n  answered: ` + sip.stringify(sip.makeResponse(request, 200, 'OK')).match(/Via: .*/)[0]);
	console.log('  written: ' + sip.stringify(request).match(/Contact: .*/)[0]);
	console.log('  drachtio: host ' + new drachtio.SipMessage(text).getParsedHeader('Via')[0].host);
}
for (const uri of ['sip:ue@192.0.2.7:5062', 'sip:ue@[2001:db8::7]:5062'])
	console.log(`${uri}: host ` + (sip.parseUri(uri) || {}).host + ', drachtio: ' + drachtio.parser.parseUri(uri).host);
END
seen=$(node "$dir/ipv6.js")

expected=$(cat <<'END'
drachtio-sip 0.6.3
sip 0.0.6
Via 192.0.2.7:5062;branch=z9hG4bK1
  answered: Via: SIP/2.0/UDP 192.0.2.7:5062;branch=z9hG4bK1
  written: Contact:  <*>
  drachtio: host 192.0.2.7
Via [2001:db8::7]:5062;branch=z9hG4bK1
  answered: Via: SIP/2.0/UDP [2001
  written: Contact:  <*>
  drachtio: host [2001
Via 192.0.2.7:5062;received=2001:db8::8;branch=z9hG4bK1
  answered: Via: SIP/2.0/UDP 192.0.2.7:5062;received=2001
  written: Contact:  <*>
  drachtio: host 192.0.2.7
sip:ue@192.0.2.7:5062: host 192.0.2.7, drachtio: 192.0.2.7
sip:ue@[2001:db8::7]:5062: host undefined, drachtio: [2001:db8::7]
END
)

compare "$seen" "$expected" 'IPv6 is cut at its first colon'
