// SPDX-License-Identifier: LGPL-2.1-or-later
/* Via: where it says that it was sent from, and whether that is behind a NAT. */
#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <imsipsec.h>

#include "tap.h"

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))

#define NAME	(-EAFNOSUPPORT)

/* A copy without anything behind it, so that AddressSanitizer sees one byte too many. */
static char *copy_of(const char *text, size_t len)
{
	char *copy = malloc(len ? len : 1);

	if (!copy)
		abort();
	memcpy(copy, text, len);
	return copy;
}

static int sent_by(const char *via, size_t len, struct imsipsec_addr *addr, uint16_t *port)
{
	char *copy = copy_of(via, len);
	int err = imsipsec_via_sent_by(copy, len, addr, port);

	free(copy);
	return err;
}

static const struct {
	const char *name, *via, *addr;
	uint16_t port;
} good[] = {
	{ "IPv4", "SIP/2.0/UDP 10.0.0.5:6300;branch=z9hG4bK1;rport", "10.0.0.5", 6300 },
	{ "without port", "SIP/2.0/UDP 10.0.0.5;branch=z9hG4bK1", "10.0.0.5", 5060 },
	{ "without parameters", "SIP/2.0/TCP 10.0.0.5", "10.0.0.5", 5060 },
	{ "TLS", "SIP/2.0/TLS 10.0.0.5", "10.0.0.5", 5061 },
	{ "TLS in any case", "sip/2.0/tls 10.0.0.5;alias", "10.0.0.5", 5061 },
	{ "TLS over SCTP", "SIP/2.0/TLS-SCTP 10.0.0.5", "10.0.0.5", 5061 },
	{ "TLS with a port", "SIP/2.0/TLS 10.0.0.5:5060", "10.0.0.5", 5060 },
	{ "SCTP", "SIP/2.0/SCTP 10.0.0.5", "10.0.0.5", 5060 },
	{ "another transport", "SIP/2.0/x-foo 10.0.0.5", "10.0.0.5", 5060 },
	{ "IPv6", "SIP/2.0/UDP [2001:db8::5]:6300;branch=z9hG4bK1", "2001:db8::5", 6300 },
	{ "IPv6 without port", "SIP/2.0/UDP [2001:DB8:0::5];branch=z9hG4bK1", "2001:db8::5", 5060 },
	{ "IPv4-mapped", "SIP/2.0/UDP [::ffff:10.0.0.5]:6300", "10.0.0.5", 6300 },
	{ "IPv4-mapped in hexadecimal", "SIP/2.0/UDP [::FFFF:a00:5]", "10.0.0.5", 5060 },
	{ "blanks wherever they may be", "SIP / 2.0 / UDP 10.0.0.5 : 5062 ; branch=z9hG4bK1",
	  "10.0.0.5", 5062 },
	{ "tabs and many blanks", " \tSIP\t/\t2.0  /UDP \t [2001:db8::5]\t :\t 5062\t",
	  "2001:db8::5", 5062 },
	{ "folded", "\r\n SIP/2.0\r\n /UDP\r\n\t10.0.0.5\r\n :\r\n 5062\r\n ;branch=1", "10.0.0.5",
	  5062 },
	{ "line end behind", "SIP/2.0/UDP 10.0.0.5\r\n", "10.0.0.5", 5060 },
	{ "several: the first", "SIP/2.0/UDP 10.0.0.5:1 , SIP/2.0/UDP 10.0.0.6:2;branch=1",
	  "10.0.0.5", 1 },
	{ "several without parameters", "SIP/2.0/UDP 10.0.0.5,SIP/2.0/UDP 10.0.0.6", "10.0.0.5",
	  5060 },
	{ "what follows is not looked at", "SIP/2.0/UDP 10.0.0.5;\"\001=", "10.0.0.5", 5060 },
	{ "received does not count", "SIP/2.0/UDP 10.0.0.5;received=203.0.113.7;rport=9",
	  "10.0.0.5", 5060 },
	{ "another protocol", "FOO/7.1/UDP 10.0.0.5", "10.0.0.5", 5060 },
	{ "the highest port", "SIP/2.0/UDP 10.0.0.5:65535", "10.0.0.5", 65535 },
	{ "a port with zeroes before", "SIP/2.0/UDP 10.0.0.5:0005062", "10.0.0.5", 5062 },
	{ "no address of a host", "SIP/2.0/UDP 0.0.0.0", "0.0.0.0", 5060 },
};

static const struct {
	const char *name, *via;
	int err;
} bad[] = {
	{ "a host name", "SIP/2.0/UDP ue1.ims.example:5060;branch=1", NAME },
	{ "a host name without port", "SIP/2.0/UDP ue1.ims.example", NAME },
	{ "a host name that ends in a point", "SIP/2.0/TCP ue1.example.;rport", NAME },
	{ "a host name of one letter", "SIP/2.0/TCP a", NAME },
	{ "a host name that begins like an address", "SIP/2.0/UDP 10.0.0.5.ims.example", NAME },
	{ "a host name with an underscore", "SIP/2.0/UDP my_ue.local", NAME },
	{ "WebSocket", "SIP/2.0/WSS df7jal23ls0d.invalid;branch=1;keep", NAME },
	{ "empty", "", -EINVAL },
	{ "blanks", " \t ", -EINVAL },
	{ "line end only", "\r\n", -EINVAL },
	{ "a comma before", ", SIP/2.0/UDP 10.0.0.5", -EINVAL },
	{ "an address only", "10.0.0.5:5060", -EINVAL },
	{ "the header's name", "Via: SIP/2.0/UDP 10.0.0.5", -EINVAL },
	{ "no transport", "SIP/2.0 10.0.0.5", -EINVAL },
	{ "no transport, with its slash", "SIP/2.0/ 10.0.0.5", -EINVAL },
	{ "no version", "SIP//UDP 10.0.0.5", -EINVAL },
	{ "no sent-by", "SIP/2.0/UDP", -EINVAL },
	{ "no sent-by, with a blank", "SIP/2.0/UDP ", -EINVAL },
	{ "no sent-by, with parameters", "SIP/2.0/UDP ;branch=z9hG4bK1", -EINVAL },
	{ "no sent-by, with a port", "SIP/2.0/UDP :5060", -EINVAL },
	{ "no blank before IPv6", "SIP/2.0/UDP[2001:db8::5]", -EINVAL },
	{ "IPv6 without brackets", "SIP/2.0/UDP 2001:db8::5", -EINVAL },
	{ "IPv6 without end", "SIP/2.0/UDP [2001:db8::5", -EINVAL },
	{ "IPv6 in two brackets", "SIP/2.0/UDP [[2001:db8::5]]", -EINVAL },
	{ "IPv6 with blanks within", "SIP/2.0/UDP [ 2001:db8::5 ]", -EINVAL },
	{ "IPv6 with a zone", "SIP/2.0/UDP [fe80::1%eth0]", -EINVAL },
	{ "IPv6 too long", "SIP/2.0/UDP [0000:0000:0000:0000:0000:0000:0000:0000:0000:0000:0]",
	  -EINVAL },
	{ "IPv4 in brackets", "SIP/2.0/UDP [10.0.0.5]", -EINVAL },
	{ "empty brackets", "SIP/2.0/UDP []", -EINVAL },
	{ "IPv4 of three numbers", "SIP/2.0/UDP 10.0.5", -EINVAL },
	{ "IPv4 of five numbers", "SIP/2.0/UDP 10.0.0.0.5", -EINVAL },
	{ "IPv4 with a number too large", "SIP/2.0/UDP 10.0.0.256", -EINVAL },
	{ "IPv4 with a point behind", "SIP/2.0/UDP 10.0.0.5.", -EINVAL },
	{ "a number", "SIP/2.0/UDP 167772165", -EINVAL },
	{ "two points", "SIP/2.0/UDP ue..example", -EINVAL },
	{ "a point before", "SIP/2.0/UDP .example", -EINVAL },
	{ "a point only", "SIP/2.0/UDP .", -EINVAL },
	{ "a hyphen before", "SIP/2.0/UDP -example", -EINVAL },
	{ "another character in a name", "SIP/2.0/UDP ue!.example", -EINVAL },
	{ "UTF-8 in a name", "SIP/2.0/UDP \303\244.example", -EINVAL },
	{ "two hosts", "SIP/2.0/UDP 10.0.0.5 10.0.0.6", -EINVAL },
	{ "a host name, and text", "SIP/2.0/UDP ue.example foo", -EINVAL },
	{ "no port behind the colon", "SIP/2.0/UDP 10.0.0.5:", -EINVAL },
	{ "no port before parameters", "SIP/2.0/UDP 10.0.0.5:;rport", -EINVAL },
	{ "port 0", "SIP/2.0/UDP 10.0.0.5:0", -EINVAL },
	{ "port 65536", "SIP/2.0/UDP 10.0.0.5:65536", -EINVAL },
	{ "port 2^64 + 1", "SIP/2.0/UDP 10.0.0.5:18446744073709551617", -EINVAL },
	{ "a port with a sign", "SIP/2.0/UDP 10.0.0.5:+5060", -EINVAL },
	{ "a port that is text", "SIP/2.0/UDP 10.0.0.5:sip", -EINVAL },
	{ "a port with text behind", "SIP/2.0/UDP 10.0.0.5:5060a", -EINVAL },
	{ "two ports", "SIP/2.0/UDP 10.0.0.5:5060:5061", -EINVAL },
	{ "a host name, and no port", "SIP/2.0/UDP ue.example:", -EINVAL },
	{ "a line end inside", "SIP/2.0/UDP\r\n10.0.0.5", -EINVAL },
	{ "two line ends behind", "SIP/2.0/UDP 10.0.0.5\r\n\r\n", -EINVAL },
	{ "a bare carriage return", "SIP/2.0/UDP 10.0.0.5\r", -EINVAL },
};

static bool same(const struct imsipsec_addr *a, const char *text)
{
	char buf[INET6_ADDRSTRLEN];

	return !strcmp(imsipsec_addr_format(a, buf, sizeof(buf)), text);
}

static void test_sent_by(void)
{
	const struct imsipsec_addr before = { .family = 77 };
	struct imsipsec_addr addr;
	uint16_t port;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(good); i++) {
		port = 0;
		ok(!sent_by(good[i].via, strlen(good[i].via), &addr, &port) &&
		   same(&addr, good[i].addr) && port == good[i].port, "sent-by: %s", good[i].name);
	}
	for (i = 0; i < ARRAY_SIZE(bad); i++) {
		addr = before;
		port = 77;
		ok(sent_by(bad[i].via, strlen(bad[i].via), &addr, &port) == bad[i].err &&
		   !memcmp(&addr, &before, sizeof(addr)) && port == 77,
		   "sent-by, %s: %s", bad[i].err == NAME ? "EAFNOSUPPORT" : "EINVAL", bad[i].name);
	}
	ok(sent_by("SIP/2.0/UDP 10.0.0.5\0:5060", 25, &addr, &port) == -EINVAL &&
	   sent_by("SIP/2.0/UDP 10.0\0.0.5", 21, &addr, &port) == -EINVAL, "sent-by: a NUL inside");
	ok(!imsipsec_via_sent_by("SIP/2.0/UDP 10.0.0.5", 20, &addr, NULL) && same(&addr, "10.0.0.5"),
	   "sent-by: the port is not asked for");
}

/* Cut short anywhere, it is malformed, or says what stands there by then. */
static void test_cut(void)
{
	static const char via[] = "SIP/2.0/UDP [2001:db8::5]:6300;branch=z9hG4bK1";
	const size_t host = strlen("SIP/2.0/UDP [2001:db8::5]"), colon = host + 1;
	struct imsipsec_addr addr;
	unsigned int wrong = 0;
	uint16_t port;
	size_t len;

	for (len = 0; len <= strlen(via); len++) {
		int err = sent_by(via, len, &addr, &port);

		if (len < host || len == colon)
			wrong += err != -EINVAL;
		else
			wrong += err || !same(&addr, "2001:db8::5") ||
				 (len == host && port != 5060) ||
				 (len >= colon + 4 && port != 6300);
	}
	ok(!wrong, "sent-by: cut short at every byte");
}

static void test_natted(void)
{
	static const struct {
		const char *name, *host, *source;
		bool natted;
	} cases[] = {
		{ "the same address", "10.0.0.5:6300", "10.0.0.5", false },
		{ "another address", "10.0.0.5:6300", "203.0.113.7", true },
		{ "an address that begins like it", "10.0.0.5", "10.0.0.50", true },
		{ "IPv6, the same", "[2001:db8::5]", "2001:db8:0::5", false },
		{ "IPv6, another spelling", "[2001:0DB8:0:0:0:0:0:5]", "2001:db8::5", false },
		{ "IPv6, another address", "[2001:db8::5]", "2001:db8:1::5", true },
		{ "NAT64", "[2001:db8::5]", "203.0.113.7", true },
		{ "IPv4 over IPv6", "10.0.0.5", "2001:db8::5", true },
		{ "a socket of both families", "10.0.0.5", "::ffff:10.0.0.5", false },
		{ "a socket of both families, NAT", "10.0.0.5", "::ffff:203.0.113.7", true },
		{ "a UE of both families", "[::ffff:10.0.0.5]", "10.0.0.5", false },
		{ "both of both families", "[::ffff:10.0.0.5]", "::ffff:10.0.0.5", false },
		{ "not IPv4-mapped, but like it", "10.0.0.5", "::10.0.0.5", true },
		{ "the UE does not know its address", "0.0.0.0", "203.0.113.7", true },
		{ "the port does not count", "10.0.0.5:1", "10.0.0.5", false },
		{ "the first of several", "10.0.0.5, SIP/2.0/UDP 203.0.113.7", "203.0.113.7", true },
		{ "received does not count", "10.0.0.5;received=203.0.113.7", "203.0.113.7", true },
	};
	struct imsipsec_addr source;
	bool natted;
	char via[128];
	size_t i;
	int len;

	for (i = 0; i < ARRAY_SIZE(cases); i++) {
		len = snprintf(via, sizeof(via), "SIP/2.0/UDP %s", cases[i].host);
		natted = !cases[i].natted;
		/* As a socket has it: imsipsec_addr_parse() would give IPv4 for an IPv4-mapped one. */
		source.family = strchr(cases[i].source, ':') ? AF_INET6 : AF_INET;
		ok(inet_pton(source.family, cases[i].source, &source.in) == 1 &&
		   !imsipsec_via_is_natted(via, len, &source, &natted) &&
		   natted == cases[i].natted, "is_natted: %s: %s", cases[i].natted ? "NAT" : "no NAT",
		   cases[i].name);
	}
	imsipsec_addr_parse(&source, "10.0.0.5");
	ok(imsipsec_via_is_natted("SIP/2.0/UDP ue.example", 22, &source, &natted) == NAME,
	   "is_natted: a host name is not compared");
	ok(imsipsec_via_is_natted("SIP/2.0/UDP", 11, &source, &natted) == -EINVAL,
	   "is_natted: malformed");
}

int main(void)
{
	test_sent_by();
	test_cut();
	test_natted();
	return done();
}
