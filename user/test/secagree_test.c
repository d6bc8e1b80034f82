// SPDX-License-Identifier: LGPL-2.1-or-later
/* RFC 3329 headers: parsing, choosing, writing, comparing. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <imsipsec.h>

#include "headers.h"
#include "tap.h"

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))

#define MD5	IMSIPSEC_ALG_HMAC_MD5_96
#define SHA1	IMSIPSEC_ALG_HMAC_SHA_1_96
#define GMAC	IMSIPSEC_ALG_AES_GMAC
#define NO_ALG	IMSIPSEC_ALG_NULL
#define NONE	IMSIPSEC_EALG_NULL
#define AES	IMSIPSEC_EALG_AES_CBC
#define DES3	IMSIPSEC_EALG_DES_EDE3_CBC
#define GCM	IMSIPSEC_EALG_AES_GCM
#define TRANS	IMSIPSEC_MODE_TRANS
#define ENC_TUN	IMSIPSEC_MODE_UDP_ENC_TUN

/* A copy without anything behind it, so that AddressSanitizer sees one byte too many. */
static int parse_n(struct imsipsec_secagree **list, const char *text, size_t len)
{
	char *copy = malloc(len ? len : 1);
	int err;

	if (!copy)
		abort();
	memcpy(copy, text, len);
	err = imsipsec_secagree_parse(list, copy, len);
	free(copy);
	return err;
}

static int parse(struct imsipsec_secagree **list, const char *text)
{
	return parse_n(list, text, strlen(text));
}

static bool mech_is(const struct imsipsec_mech *m, const struct imsipsec_mech *want)
{
	return m && m->alg == want->alg && m->ealg == want->ealg && m->mode == want->mode &&
	       m->esp == want->esp && m->q == want->q &&
	       m->spi_c == want->spi_c && m->spi_s == want->spi_s &&
	       m->port_c == want->port_c && m->port_s == want->port_s;
}

#define MECH_A { SHA1, AES, TRANS, true, 1000, 1000, 2000, 3000, 4000 }
#define MECH_A_ENC_TUN { SHA1, AES, ENC_TUN, true, 1000, 1000, 2000, 3000, 4000 }
#define REST ";spi-c=1000;spi-s=2000;port-c=3000;port-s=4000"
#define TEXT_A "ipsec-3gpp;alg=hmac-sha-1-96;ealg=aes-cbc" REST

static const struct {
	const char *name, *text;
	size_t n;
	struct imsipsec_mech mech[2];
} good_cases[] = {
	{ "phone: md5, null", PHONE_MD5_NULL, 1,
	  { { MD5, NONE, TRANS, true, 1000, 25656, 25657, 6301, 6300 } } },
	{ "phone: list of two", PHONE_TWO, 2,
	  { { MD5, DES3, TRANS, true, 1000, 1028536224, 455113919, 8034, 8904 },
	    { MD5, AES, TRANS, true, 1000, 1028536224, 455113919, 8034, 8904 } } },
	{ "phone: Security-Verify with q", PHONE_VERIFY, 1,
	  { { SHA1, NONE, TRANS, true, 500, 52340051, 3859, 7807, 7777 } } },
	{ "B5: SPIs above 2^31", SERVER_LARGE_SPI, 1,
	  { { SHA1, AES, TRANS, true, 500, 3759706211, 2594505554, 7807, 7777 } } },
	{ "phone: blanks behind semicolons", PHONE_BLANKS, 1,
	  { { SHA1, AES, TRANS, true, 1000, 1546543, 1546542, 32773, 6000 } } },
	{ "plain", TEXT_A, 1, { MECH_A } },
	{ "defaults: ealg null, mod trans, prot esp, q 1",
	  "ipsec-3gpp;alg=hmac-sha-1-96" REST, 1,
	  { { SHA1, NONE, TRANS, true, 1000, 1000, 2000, 3000, 4000 } } },
	{ "any order",
	  "ipsec-3gpp;port-s=4000;spi-s=2000;ealg=aes-cbc;spi-c=1000;port-c=3000;"
	  "alg=hmac-sha-1-96", 1, { MECH_A } },
	{ "any case",
	  "IPSEC-3GPP;ALG=HMAC-SHA-1-96;eAlg=AES-cbc;SPI-C=1000;Spi-S=2000;PORT-C=3000;"
	  "port-S=4000;PROT=ESP;Mod=TRANS;Q=1", 1, { MECH_A } },
	{ "blanks around everything",
	  " \t ipsec-3gpp \t; alg = hmac-sha-1-96 ;\tealg\t=\taes-cbc ; spi-c = 1000 ; "
	  "spi-s =2000; port-c= 3000 ;port-s=4000 \t ", 1, { MECH_A } },
	{ "folded",
	  "ipsec-3gpp;\r\n alg=hmac-sha-1-96;\r\n\tealg\r\n =\r\n aes-cbc\r\n ;spi-c=1000;\n "
	  "spi-s=2000;port-c=3000;port-s=4000", 1, { MECH_A } },
	{ "line end behind", TEXT_A "\r\n", 1, { MECH_A } },
	{ "bare line feed behind", TEXT_A "\n", 1, { MECH_A } },
	{ "empty elements and parameters", ",, ipsec-3gpp;;alg=hmac-sha-1-96; ;ealg=aes-cbc" REST
	  "; , ,", 1, { MECH_A } },
	{ "unknown parameters",
	  "ipsec-3gpp;foo;bar=1;baz=\"a;b,c\\\"d\";v6=[::1]:5060;alg=hmac-sha-1-96;"
	  "ealg=aes-cbc;e=\"\"" REST, 1, { MECH_A } },
	{ "unknown parameter, quoted and folded",
	  "ipsec-3gpp;foo=\"a\r\n b\";alg=hmac-sha-1-96;ealg=aes-cbc" REST, 1, { MECH_A } },
	{ "unknown parameter in UTF-8",
	  "ipsec-3gpp;foo=\"\303\244\";bar=\303\244;alg=hmac-sha-1-96;ealg=aes-cbc" REST, 1,
	  { MECH_A } },
	{ "names that begin like known ones",
	  "ipsec-3gpp;al=x;algo=x;spi=7;spi-cc=1;alg=hmac-sha-1-96;ealg=aes-cbc" REST, 1,
	  { MECH_A } },
	{ "tls is passed over", "tls;q=0.2", 0, { { 0 } } },
	{ "tls, then ipsec-3gpp", "tls;q=0.2, " TEXT_A, 1, { MECH_A } },
	{ "ipsec-3gpp, then tls", TEXT_A ", tls", 1, { MECH_A } },
	{ "sdes-srtp;mediasec in between",
	  TEXT_A ", sdes-srtp;mediasec, " TEXT_A, 2, { MECH_A, MECH_A } },
	{ "digest with quoted strings",
	  "digest;d-alg=md5;d-qop=auth;d-ver=\"0,1;2\"," TEXT_A, 1, { MECH_A } },
	{ "ipsec-ike and ipsec-man are others",
	  "ipsec-ike;q=0.1,ipsec-man," TEXT_A, 1, { MECH_A } },
	{ "SPI 2^32-1", "ipsec-3gpp;alg=hmac-md5-96;spi-c=4294967295;spi-s=2000;port-c=3000;"
	  "port-s=4000", 1, { { MD5, NONE, TRANS, true, 1000, 4294967295, 2000, 3000, 4000 } } },
	{ "B1: SPI 256", "ipsec-3gpp;alg=hmac-md5-96;spi-c=256;spi-s=2000;port-c=3000;"
	  "port-s=4000", 1, { { MD5, NONE, TRANS, true, 1000, 256, 2000, 3000, 4000 } } },
	{ "leading zeros", "ipsec-3gpp;alg=hmac-md5-96;spi-c=00000000000000001000;spi-s=02000;"
	  "port-c=03000;port-s=04000", 1,
	  { { MD5, NONE, TRANS, true, 1000, 1000, 2000, 3000, 4000 } } },
	{ "ports 1 and 65535", "ipsec-3gpp;alg=hmac-md5-96;spi-c=1000;spi-s=2000;port-c=1;"
	  "port-s=65535", 1, { { MD5, NONE, TRANS, true, 1000, 1000, 2000, 1, 65535 } } },
	{ "q=0", TEXT_A ";q=0", 1, { { SHA1, AES, TRANS, true, 0, 1000, 2000, 3000, 4000 } } },
	{ "q=0.", TEXT_A ";q=0.", 1, { { SHA1, AES, TRANS, true, 0, 1000, 2000, 3000, 4000 } } },
	{ "q=0.05", TEXT_A ";q=0.05", 1,
	  { { SHA1, AES, TRANS, true, 50, 1000, 2000, 3000, 4000 } } },
	{ "q=0.123", TEXT_A ";q=0.123", 1,
	  { { SHA1, AES, TRANS, true, 123, 1000, 2000, 3000, 4000 } } },
	{ "q=1.000", TEXT_A ";q=1.000", 1, { MECH_A } },
	{ "AES-GCM, and the other spelling of it",
	  "ipsec-3gpp;alg=null;ealg=aes-gcm" REST ",ipsec-3gpp;alg=AES-GMAC;ealg=AES-GCM" REST, 2,
	  { { NO_ALG, GCM, TRANS, true, 1000, 1000, 2000, 3000, 4000 },
	    { GMAC, GCM, TRANS, true, 1000, 1000, 2000, 3000, 4000 } } },
	{ "AES-GMAC without ealg", "ipsec-3gpp;alg=aes-gmac" REST, 1,
	  { { GMAC, NONE, TRANS, true, 1000, 1000, 2000, 3000, 4000 } } },
	{ "ealg that is not known", "ipsec-3gpp;alg=hmac-md5-96;ealg=aes-ctr" REST, 1,
	  { { MD5, 0, TRANS, true, 1000, 1000, 2000, 3000, 4000 } } },
	{ "alg that is not known", "ipsec-3gpp;alg=hmac-sha-256-128;ealg=aes-cbc" REST, 1,
	  { { 0, AES, TRANS, true, 1000, 1000, 2000, 3000, 4000 } } },
	{ "mod that is not known", TEXT_A ";mod=tun", 1,
	  { { SHA1, AES, 0, true, 1000, 1000, 2000, 3000, 4000 } } },
	{ "UDP-enc-tun", TEXT_A ";mod=UDP-enc-tun", 1, { MECH_A_ENC_TUN } },
	{ "UDP-enc-tun in any case", TEXT_A ";MOD=udp-Enc-TUN;prot=esp", 1, { MECH_A_ENC_TUN } },
	{ "UDP-enc-tun, blanks and folds, before the others",
	  "ipsec-3gpp ;\r\n mod\t=\r\n UDP-enc-tun ; alg=hmac-sha-1-96;ealg=aes-cbc" REST, 1,
	  { MECH_A_ENC_TUN } },
	{ "modes that are almost UDP-enc-tun",
	  TEXT_A ";mod=UDP-enc-tunn," TEXT_A ";mod=UDP-enc-tu", 2,
	  { { SHA1, AES, 0, true, 1000, 1000, 2000, 3000, 4000 },
	    { SHA1, AES, 0, true, 1000, 1000, 2000, 3000, 4000 } } },
	{ "a pair in both modes", TEXT_A ";mod=trans," TEXT_A ";mod=UDP-enc-tun", 2,
	  { MECH_A, MECH_A_ENC_TUN } },
	{ "prot=ah", TEXT_A ";prot=ah", 1,
	  { { SHA1, AES, TRANS, false, 1000, 1000, 2000, 3000, 4000 } } },
};

static void test_good(void)
{
	size_t i, j;

	for (i = 0; i < ARRAY_SIZE(good_cases); i++) {
		struct imsipsec_secagree *list = NULL;
		bool same;

		same = !parse(&list, good_cases[i].text) && list &&
		       imsipsec_secagree_count(list) == good_cases[i].n;
		for (j = 0; same && j < good_cases[i].n; j++)
			same = mech_is(imsipsec_secagree_get(list, j), &good_cases[i].mech[j]);
		ok(same, "parse: %s", good_cases[i].name);
		imsipsec_secagree_free(list);
	}
}

static const struct {
	const char *name, *text;
} bad_cases[] = {
	{ "empty", "" },
	{ "blanks only", " \t " },
	{ "commas only", " , ," },
	{ "line end only", "\r\n" },
	{ "no parameters", "ipsec-3gpp" },
	{ "alg missing", "ipsec-3gpp;ealg=null" REST },
	{ "spi-c missing", "ipsec-3gpp;alg=hmac-md5-96;spi-s=2000;port-c=3000;port-s=4000" },
	{ "spi-s missing", "ipsec-3gpp;alg=hmac-md5-96;spi-c=1000;port-c=3000;port-s=4000" },
	{ "port-c missing", "ipsec-3gpp;alg=hmac-md5-96;spi-c=1000;spi-s=2000;port-s=4000" },
	{ "port-s missing", "ipsec-3gpp;alg=hmac-md5-96;spi-c=1000;spi-s=2000;port-c=3000" },
	{ "alg twice", TEXT_A ";alg=hmac-sha-1-96" },
	{ "ealg twice", TEXT_A ";ealg=null" },
	{ "mod twice", TEXT_A ";mod=trans;mod=trans" },
	{ "both modes in one mechanism", TEXT_A ";mod=trans;mod=UDP-enc-tun" },
	{ "mod quoted", TEXT_A ";mod=\"UDP-enc-tun\"" },
	{ "mod without value", TEXT_A ";mod" },
	{ "prot twice", TEXT_A ";prot=esp;prot=esp" },
	{ "q twice", TEXT_A ";q=0.1;q=0.1" },
	{ "spi-c twice", TEXT_A ";spi-c=1000" },
	{ "spi-s twice", TEXT_A ";SPI-S=1000" },
	{ "port-c twice", TEXT_A ";port-c=3000" },
	{ "port-s twice", TEXT_A ";port-s=4000" },
	{ "alg without value", "ipsec-3gpp;alg" REST },
	{ "alg with empty value", "ipsec-3gpp;alg=" REST },
	{ "alg quoted", "ipsec-3gpp;alg=\"hmac-md5-96\"" REST },
	{ "alg of 32 characters", "ipsec-3gpp;alg=abcdefghijklmnopqrstuvwxyz012345" REST },
	{ "alg of two words", "ipsec-3gpp;alg=hmac md5" REST },
	{ "alg with a slash", "ipsec-3gpp;alg=hmac/md5" REST },
	{ "unknown parameter with empty value", TEXT_A ";foo=" },
	{ "parameter without name", TEXT_A ";=1" },
	{ "quoted string without end", TEXT_A ";foo=\"bar" },
	{ "quoted string that ends in a backslash", TEXT_A ";foo=\"bar\\" },
	{ "quoted string with a control character", TEXT_A ";foo=\"\001\"" },
	{ "quoted string with a line end", TEXT_A ";foo=\"a\r\nb\"" },
	{ "text behind a quoted string", TEXT_A ";foo=\"a\"b" },
	{ "two words for a mechanism", "ipsec 3gpp;alg=hmac-md5-96" REST },
	{ "mechanism that begins with a semicolon", ";alg=hmac-md5-96" REST },
	{ "the header's name", "Security-Client: " TEXT_A },
	{ "line end inside", "ipsec-3gpp;alg=hmac-md5-96\r\n" REST },
	{ "two line ends behind", TEXT_A "\r\n\r\n" },
	{ "bare carriage return", TEXT_A "\r" },
	{ "two that are malformed", "tls;=1, ipsec-3gpp;alg=hmac-md5-96" },
	{ "B5: spi-c = spi-s", "ipsec-3gpp;alg=hmac-md5-96;spi-c=1000;spi-s=1000;port-c=3000;"
	  "port-s=4000" },
	{ "B5: SPI 0", "ipsec-3gpp;alg=hmac-md5-96;spi-c=0;spi-s=1000;port-c=3000;port-s=4000" },
	{ "B5: SPI 255",
	  "ipsec-3gpp;alg=hmac-md5-96;spi-c=1000;spi-s=255;port-c=3000;port-s=4000" },
	{ "SPI 2^32", "ipsec-3gpp;alg=hmac-md5-96;spi-c=4294967296;spi-s=1000;port-c=3000;"
	  "port-s=4000" },
	{ "SPI 2^64 + 1000", "ipsec-3gpp;alg=hmac-md5-96;spi-c=18446744073709552616;spi-s=2000;"
	  "port-c=3000;port-s=4000" },
	{ "SPI negative",
	  "ipsec-3gpp;alg=hmac-md5-96;spi-c=-1000;spi-s=2000;port-c=3000;port-s=4000" },
	{ "SPI hexadecimal", "ipsec-3gpp;alg=hmac-md5-96;spi-c=0x1000;spi-s=2000;port-c=3000;"
	  "port-s=4000" },
	{ "SPI with a letter behind", "ipsec-3gpp;alg=hmac-md5-96;spi-c=1000a;spi-s=2000;"
	  "port-c=3000;port-s=4000" },
	{ "A9: port-c = port-s", "ipsec-3gpp;alg=hmac-md5-96;spi-c=1000;spi-s=2000;port-c=3000;"
	  "port-s=3000" },
	{ "A9: port 5060", "ipsec-3gpp;alg=hmac-md5-96;spi-c=1000;spi-s=2000;port-c=5060;"
	  "port-s=4000" },
	{ "A9: port 5061", "ipsec-3gpp;alg=hmac-md5-96;spi-c=1000;spi-s=2000;port-c=3000;"
	  "port-s=5061" },
	{ "port 0", "ipsec-3gpp;alg=hmac-md5-96;spi-c=1000;spi-s=2000;port-c=0;port-s=4000" },
	{ "port 65536",
	  "ipsec-3gpp;alg=hmac-md5-96;spi-c=1000;spi-s=2000;port-c=3000;port-s=65536" },
	{ "port 2^16 + 3000", "ipsec-3gpp;alg=hmac-md5-96;spi-c=1000;spi-s=2000;port-c=68536;"
	  "port-s=4000" },
	{ "q=1.001", TEXT_A ";q=1.001" },
	{ "q=2", TEXT_A ";q=2" },
	{ "q=0.1234", TEXT_A ";q=0.1234" },
	{ "q=.5", TEXT_A ";q=.5" },
	{ "q=05", TEXT_A ";q=05" },
	{ "q=0.a", TEXT_A ";q=0.a" },
	{ "q=-0", TEXT_A ";q=-0" },
};

static void test_bad(void)
{
	size_t i;

	for (i = 0; i < ARRAY_SIZE(bad_cases); i++) {
		struct imsipsec_secagree *list = NULL;

		ok(parse(&list, bad_cases[i].text) == -EINVAL && !imsipsec_secagree_count(list),
		   "refuse: %s", bad_cases[i].name);
		imsipsec_secagree_free(list);
	}
}

/* Each of the malformed ones, ahead of a good one, behind it, and as a header of its own */
static void test_beside(void)
{
	const struct imsipsec_mech a = MECH_A;
	struct imsipsec_secagree *list, *again, *without;
	char text[1024];
	unsigned int missed = 0, uncompared = 0, apart = 0;
	const char *bad;
	bool ends;
	size_t i, j;

	without = NULL;
	if (parse(&without, TEXT_A))
		abort();
	for (i = 0; i < ARRAY_SIZE(bad_cases); i++) {
		bad = bad_cases[i].text;
		/* A quoted string without end has all that is behind it. */
		ends = !strstr(bad_cases[i].name, "quoted string") || strstr(bad_cases[i].name, "text behind");
		for (j = 0; j < 2; j++) {
			if (!j && !ends)
				continue;
			snprintf(text, sizeof(text), "%s,%s", j ? TEXT_A : bad, j ? bad : TEXT_A);
			list = again = NULL;
			missed += parse(&list, text) || imsipsec_secagree_count(list) != 1 ||
				  !mech_is(imsipsec_secagree_get(list, 0), &a);
			/* What is empty, or line ends, is no mechanism. */
			if (strspn(bad, " \t\r\n,") != strlen(bad))
				uncompared += imsipsec_secagree_equal(list, without) ||
					      imsipsec_secagree_equal(without, list);
			uncompared += parse(&again, text) || !imsipsec_secagree_equal(list, again);
			imsipsec_secagree_free(list);
			imsipsec_secagree_free(again);
		}
		list = NULL;
		apart += parse(&list, bad) != -EINVAL || parse(&list, TEXT_A) ||
			 imsipsec_secagree_count(list) != 1 || parse(&list, bad) ||
			 imsipsec_secagree_count(list) != 1;
		imsipsec_secagree_free(list);
	}
	imsipsec_secagree_free(without);
	ok(!missed, "E6: a malformed mechanism beside a good one is passed over");
	ok(!uncompared, "E5: what is passed over is compared");
	ok(!apart, "E6: a malformed mechanism in a header of its own is passed over");
}

static void test_bytes(void)
{
	static const char nul[] = TEXT_A "\0;q=0.5";
	struct imsipsec_secagree *list = NULL;
	unsigned int control, taken = 0;
	char text[] = TEXT_A ";foo=?";
	size_t len, most;

	ok(parse_n(&list, nul, sizeof(nul) - 1) == -EINVAL && !imsipsec_secagree_count(list),
	   "refuse: a NUL inside");
	for (control = 1; control < ' '; control++) {
		if (strchr("\t\n\r", control))
			continue;
		text[sizeof(text) - 2] = control;
		taken += !parse(&list, text);
	}
	ok(!taken && !imsipsec_secagree_count(list), "refuse: control characters");
	imsipsec_secagree_free(list);

	/*
	 * Cut short at each byte, it is an error, or ends between two mechanisms,
	 * in the name of one (which is then another's), or in the last number.
	 */
	taken = 0;
	for (len = 0; len < strlen(TEXT_A "," TEXT_A); len++) {
		struct imsipsec_secagree *cut = NULL;

		if (!parse_n(&cut, TEXT_A "," TEXT_A, len)) {
			most = len < strlen("ipsec-3gpp") ? 0 :
			       len < 2 * strlen(TEXT_A) - 2 ? 1 : 2;
			taken += imsipsec_secagree_count(cut) != most;
		}
		imsipsec_secagree_free(cut);
	}
	ok(!taken, "parse: cut short at every byte");
}

static void test_any_order(void)
{
	static const char *const params[] = {
		"alg=hmac-sha-1-96", "ealg=aes-cbc", "spi-c=1000", "spi-s=2000", "port-c=3000",
		"port-s=4000",
	};
	const struct imsipsec_mech a = MECH_A;
	unsigned int order, rest, wrong = 0;
	const char *left[ARRAY_SIZE(params)];
	struct imsipsec_secagree *list;
	char text[256];
	size_t i, n, at;

	for (order = 0; order < 720; order++) {
		memcpy(left, params, sizeof(left));
		strcpy(text, "ipsec-3gpp");
		for (n = ARRAY_SIZE(params), rest = order; n; rest /= n--) {
			at = rest % n;
			strcat(strcat(text, ";"), left[at]);
			for (i = at; i + 1 < n; i++)
				left[i] = left[i + 1];
		}
		list = NULL;
		wrong += parse(&list, text) || !mech_is(imsipsec_secagree_get(list, 0), &a);
		imsipsec_secagree_free(list);
	}
	ok(!wrong, "parse: parameters in all 720 orders");
}

static void test_repeated(void)
{
	struct imsipsec_secagree *list = NULL;
	const struct imsipsec_mech a = MECH_A;
	int err;

	ok(!parse(&list, "tls") && list && imsipsec_secagree_count(list) == 0 &&
	   !imsipsec_secagree_get(list, 0), "repeated headers: only tls so far");
	ok(!parse(&list, TEXT_A) && imsipsec_secagree_count(list) == 1,
	   "repeated headers: the second adds to the first");
	err = parse(&list, ",ipsec-3gpp;alg=hmac-md5-96");
	ok(!err && imsipsec_secagree_count(list) == 1 &&
	   mech_is(imsipsec_secagree_get(list, 0), &a),
	   "repeated headers: a bad one leaves what was there");
	imsipsec_secagree_free(list);

	ok(imsipsec_secagree_count(NULL) == 0 && !imsipsec_secagree_get(NULL, 0),
	   "NULL is an empty list");
	imsipsec_secagree_free(NULL);
}

static void test_many(void)
{
	struct imsipsec_secagree *list = NULL, *other;
	char *text;
	size_t len;
	int i, err = 0;

	for (i = 0; i < 64 && !err; i++)
		err = parse(&list, TEXT_A);
	ok(!err && imsipsec_secagree_count(list) == 64, "parse: 64 mechanisms");
	ok(parse(&list, TEXT_A) == -E2BIG && imsipsec_secagree_count(list) == 64,
	   "refuse: the 65th mechanism");
	for (i = 0; i < 64 && !err; i++)
		err = parse(&list, i ? "tls;=" : "tls;=2");
	ok(!err, "parse: 64 malformed mechanisms beside them");
	other = NULL;
	for (i = 0; i < 64; i++)
		err |= parse(&other, TEXT_A);
	for (i = 0; i < 64; i++)
		err |= parse(&other, i < 63 ? "tls;=" : "tls;=2");
	ok(!err && imsipsec_secagree_equal(list, other), "E5: equal, in another order");
	imsipsec_secagree_free(other);
	ok(parse(&list, "tls;=") == -E2BIG && parse(&list, "tls") == 0 &&
	   imsipsec_secagree_count(list) == 64, "refuse: the 65th malformed mechanism");
	imsipsec_secagree_free(list);

	/* A megabyte of what is passed over costs time in proportion, and no memory. */
	list = NULL;
	len = 1 << 20;
	text = malloc(len);
	if (!text)
		abort();
	memset(text, ',', len);
	memcpy(text, "tls", 3);
	err = parse_n(&list, text, len);
	ok(!err && imsipsec_secagree_count(list) == 0, "parse: a million empty elements");
	memset(text, ';', len);
	memcpy(text, "tls", 3);
	err = parse_n(&list, text, len);
	ok(!err, "parse: a million empty parameters");
	imsipsec_secagree_free(list);
	free(text);
}

static void test_choose(void)
{
	static const struct imsipsec_pair sha1_first[] = {
		{ SHA1, AES }, { MD5, AES }, { MD5, NONE }
	};
	static const struct imsipsec_pair md5_only[] = { { MD5, NONE } };
	static const struct imsipsec_pair gmac_gcm[] = { { GMAC, GCM } };
	static const struct imsipsec_pair zero[] = { { 0, 0 }, { 0, AES }, { MD5, 0 } };
	static const struct {
		const char *name, *text;
		const struct imsipsec_pair *algs;
		size_t n;
		int err;
		enum imsipsec_alg alg;
		enum imsipsec_ealg ealg;
	} cases[] = {
		{ "the UE's order does not matter",
		  "ipsec-3gpp;q=1;alg=hmac-md5-96" REST ",ipsec-3gpp;q=0.1;alg=hmac-sha-1-96;"
		  "ealg=aes-cbc" REST, sha1_first, 3, 0, SHA1, AES },
		{ "the server's order decides",
		  "ipsec-3gpp;alg=hmac-md5-96" REST ",ipsec-3gpp;alg=hmac-md5-96;ealg=aes-cbc" REST,
		  sha1_first, 3, 0, MD5, AES },
		{ "built-in order: AES-GCM first", TEXT_A ",ipsec-3gpp;alg=aes-gmac" REST
		  ",ipsec-3gpp;alg=null;ealg=aes-gcm" REST, NULL, 0, 0, NO_ALG, GCM },
		{ "aes-gmac with aes-gcm is not aes-gcm alone",
		  "ipsec-3gpp;alg=null;ealg=aes-gcm" REST, gmac_gcm, 1, -ENOENT, 0, 0 },
		{ "a missing ealg is null", "ipsec-3gpp;alg=hmac-md5-96" REST, md5_only, 1, 0, MD5,
		  NONE },
		{ "built-in order: then sha1 and aes-cbc",
		  "ipsec-3gpp;alg=hmac-md5-96" REST ",ipsec-3gpp;alg=hmac-md5-96;ealg=aes-cbc" REST
		  ",ipsec-3gpp;alg=hmac-sha-1-96" REST ",ipsec-3gpp;alg=hmac-sha-1-96;ealg=aes-cbc"
		  REST, NULL, 0, 0, SHA1, AES },
		{ "built-in order: md5 and null last", PHONE_MD5_NULL, NULL, 0, 0, MD5, NONE },
		{ "built-in order: aes-cbc before 3DES", PHONE_TWO, NULL, 0, 0, MD5, AES },
		{ "unknown ealg is passed over", "ipsec-3gpp;alg=hmac-sha-1-96;ealg=aes-ctr" REST
		  "," PHONE_MD5_NULL, NULL, 0, 0, MD5, NONE },
		{ "none in common", TEXT_A, md5_only, 1, -ENOENT, 0, 0 },
		{ "no list of the server's", TEXT_A, md5_only, 0, -ENOENT, 0, 0 },
		{ "only tls", "tls", NULL, 0, -ENOENT, 0, 0 },
		{ "unknown alg only", "ipsec-3gpp;alg=foo" REST, NULL, 0, -ENOENT, 0, 0 },
		{ "zeroes of the server's match nothing",
		  "ipsec-3gpp;alg=foo;ealg=bar" REST ",ipsec-3gpp;alg=foo;ealg=aes-cbc" REST
		  ",ipsec-3gpp;alg=hmac-md5-96;ealg=bar" REST, zero, 3, -ENOENT, 0, 0 },
		{ "unknown mod is passed over", TEXT_A ";mod=tun", NULL, 0, -ENOENT, 0, 0 },
		{ "prot=ah is passed over", TEXT_A ";prot=ah", NULL, 0, -ENOENT, 0, 0 },
	};
	const struct imsipsec_mech *m;
	size_t i;
	int err;

	for (i = 0; i < ARRAY_SIZE(cases); i++) {
		struct imsipsec_secagree *list = NULL;

		m = NULL;
		err = parse(&list, cases[i].text);
		if (!err)
			err = imsipsec_secagree_choose(list, cases[i].algs, cases[i].n, NULL, 0,
						       &m);
		ok(err == cases[i].err &&
		   (err ? !m : m->alg == cases[i].alg && m->ealg == cases[i].ealg),
		   "E6: %s", cases[i].name);
		imsipsec_secagree_free(list);
	}
	ok(imsipsec_secagree_choose(NULL, NULL, 0, NULL, 0, &m) == -ENOENT,
	   "E6: no Security-Client at all");
}

#define AES_TRANS	TEXT_A ";mod=trans"
#define AES_ENC_TUN	TEXT_A ";mod=UDP-enc-tun"
#define MD5_TRANS	"ipsec-3gpp;alg=hmac-md5-96;mod=trans" REST
#define MD5_ENC_TUN	"ipsec-3gpp;alg=hmac-md5-96;mod=udp-enc-tun" REST

static void test_choose_mode(void)
{
	static const struct imsipsec_pair algs[] = { { SHA1, AES }, { MD5, NONE } };
	static const enum imsipsec_mode trans[] = { TRANS }, enc_tun[] = { ENC_TUN };
	static const enum imsipsec_mode trans_first[] = { TRANS, ENC_TUN };
	static const enum imsipsec_mode enc_tun_first[] = { ENC_TUN, TRANS };
	static const enum imsipsec_mode zero[] = { 0 };
	static const struct {
		const char *name, *text;
		const enum imsipsec_mode *modes;
		size_t n;
		enum imsipsec_alg alg;		/* 0: none */
		enum imsipsec_mode mode;
	} cases[] = {
		{ "none said: trans", AES_ENC_TUN "," AES_TRANS, NULL, 0, SHA1, TRANS },
		{ "none said: not UDP-enc-tun", AES_ENC_TUN, NULL, 0, 0, 0 },
		{ "none said: the pair that is there in trans", AES_ENC_TUN "," MD5_TRANS, NULL, 0,
		  MD5, TRANS },
		{ "a mod that is missing is trans", TEXT_A, trans, 1, SHA1, TRANS },
		{ "a mod that is missing is not UDP-enc-tun", TEXT_A, enc_tun, 1, 0, 0 },
		{ "NAT: UDP-enc-tun of both", AES_TRANS "," AES_ENC_TUN, enc_tun, 1, SHA1, ENC_TUN },
		{ "NAT: UDP-enc-tun of both, the other order", AES_ENC_TUN "," AES_TRANS, enc_tun,
		  1, SHA1, ENC_TUN },
		{ "NAT: never trans", AES_TRANS "," MD5_TRANS, enc_tun, 1, 0, 0 },
		{ "NAT: a worse pair that has UDP-enc-tun", AES_TRANS "," MD5_TRANS "," MD5_ENC_TUN,
		  enc_tun, 1, MD5, ENC_TUN },
		{ "NAT: unknown mod is passed over", TEXT_A ";mod=tun," MD5_ENC_TUN, enc_tun, 1,
		  MD5, ENC_TUN },
		{ "NAT: prot=ah is passed over", AES_ENC_TUN ";prot=ah", enc_tun, 1, 0, 0 },
		{ "no NAT: trans of both", AES_ENC_TUN "," AES_TRANS, trans, 1, SHA1, TRANS },
		{ "both: the server's order, trans", AES_ENC_TUN "," AES_TRANS, trans_first, 2,
		  SHA1, TRANS },
		{ "both: the server's order, UDP-enc-tun", AES_TRANS "," AES_ENC_TUN,
		  enc_tun_first, 2, SHA1, ENC_TUN },
		{ "both: the one that is offered", AES_ENC_TUN, trans_first, 2, SHA1, ENC_TUN },
		{ "both: the pair counts first", AES_ENC_TUN "," MD5_TRANS, trans_first, 2, SHA1,
		  ENC_TUN },
		{ "both: the pair counts first, the other order", MD5_ENC_TUN "," AES_TRANS,
		  enc_tun_first, 2, SHA1, TRANS },
		{ "both: UE's q does not count", AES_TRANS ";q=0.1," AES_ENC_TUN ";q=0.9",
		  trans_first, 2, SHA1, TRANS },
		{ "a phone that offers both", PHONE_BOTH, enc_tun, 1, SHA1, ENC_TUN },
		{ "no mode of the server's", AES_TRANS "," AES_ENC_TUN, trans, 0, 0, 0 },
		{ "zero matches no mode", TEXT_A ";mod=tun," AES_TRANS, zero, 1, 0, 0 },
	};
	const struct imsipsec_mech *m;
	size_t i;
	int err;

	for (i = 0; i < ARRAY_SIZE(cases); i++) {
		struct imsipsec_secagree *list = NULL;

		m = NULL;
		err = parse(&list, cases[i].text);
		if (!err)
			err = imsipsec_secagree_choose(list, algs, ARRAY_SIZE(algs), cases[i].modes,
						       cases[i].n, &m);
		ok(cases[i].alg ? !err && m->alg == cases[i].alg && m->mode == cases[i].mode :
				  err == -ENOENT && !m, "E6: G2: %s", cases[i].name);
		imsipsec_secagree_free(list);
	}
}

/* Parts of SERVER_LIST */
#define L9	SERVER_MECH(9, "null", "aes-gcm")
#define L678 \
	SERVER_MECH(8, "aes-gmac", "aes-gcm") "," SERVER_MECH(7, "aes-gmac", "null") "," \
	SERVER_MECH(6, "hmac-sha-1-96", "aes-cbc")
#define L5	SERVER_MECH(5, "hmac-sha-1-96", "des-ede3-cbc")
#define L1234 \
	SERVER_MECH(4, "hmac-sha-1-96", "null") "," SERVER_MECH(3, "hmac-md5-96", "aes-cbc") "," \
	SERVER_MECH(2, "hmac-md5-96", "des-ede3-cbc") "," SERVER_MECH(1, "hmac-md5-96", "null")

static void test_equal(void)
{
	static const char b[] = "ipsec-3gpp;alg=hmac-md5-96" REST;
	static const struct {
		const char *name, *a, *b;
		bool equal;
	} cases[] = {
		{ "same text", TEXT_A, TEXT_A, true },
		{ "order of parameters", TEXT_A,
		  "ipsec-3gpp;port-s=4000;port-c=3000;spi-s=2000;spi-c=1000;ealg=aes-cbc;"
		  "alg=hmac-sha-1-96", true },
		{ "defaults spelled out", b,
		  "ipsec-3gpp;alg=hmac-md5-96;q=1.0;prot=esp;mod=trans;ealg=null" REST, true },
		{ "case and blanks", TEXT_A,
		  "IPSEC-3GPP ; ALG=Hmac-Sha-1-96 ;ealg=AES-CBC " REST, true },
		{ "order of mechanisms", TEXT_A "," PHONE_MD5_NULL, PHONE_MD5_NULL "," TEXT_A,
		  true },
		{ "other mechanisms do not count",
		  "tls," TEXT_A, TEXT_A ",sdes-srtp;mediasec", true },
		{ "unknown parameters do not count", TEXT_A ";foo=1", TEXT_A ";foo=2;bar", true },
		{ "unknown algorithm, same name", "ipsec-3gpp;alg=foo" REST,
		  "ipsec-3gpp;alg=FOO" REST, true },
		{ "a malformed mechanism, blanks around it, another order",
		  TEXT_A ", ipsec-3gpp;spi-c=1 ", "ipsec-3gpp;spi-c=1," TEXT_A, true },
		{ "E5: the stronger one was made malformed", TEXT_A "," PHONE_MD5_NULL,
		  "ipsec-3gpp;alg=hmac-sha-1-96;ealg=aes-cbc;" "," PHONE_MD5_NULL, false },
		{ "E5: a malformed one added", TEXT_A, TEXT_A ",ipsec-3gpp;spi-c=1", false },
		{ "E5: a malformed one of another mechanism added", TEXT_A, "tls;=1," TEXT_A, false },
		{ "E5: a malformed one for another", TEXT_A ",ipsec-3gpp;spi-c=1",
		  TEXT_A ",ipsec-3gpp;spi-c=2", false },
		{ "E5: a malformed one for its beginning", TEXT_A ",ipsec-3gpp;spi-c=1",
		  TEXT_A ",ipsec-3gpp;spi-c=", false },
		{ "E5: one of two malformed ones twice", TEXT_A ",ipsec-3gpp;spi-c=1,ipsec-3gpp;spi-c=2",
		  TEXT_A ",ipsec-3gpp;spi-c=1,ipsec-3gpp;spi-c=1", false },
		{ "E5: alg", "ipsec-3gpp;alg=hmac-sha-1-96" REST, b, false },
		{ "E5: ealg", TEXT_A, "ipsec-3gpp;alg=hmac-sha-1-96" REST, false },
		{ "E5: the stronger one removed", TEXT_A "," PHONE_MD5_NULL, PHONE_MD5_NULL,
		  false },
		{ "E5: one added", PHONE_MD5_NULL, PHONE_MD5_NULL "," TEXT_A, false },
		{ "E5: one replaced by another that is there", TEXT_A "," PHONE_MD5_NULL,
		  PHONE_MD5_NULL "," PHONE_MD5_NULL, false },
		{ "E5: the same the other way round", PHONE_MD5_NULL "," PHONE_MD5_NULL,
		  TEXT_A "," PHONE_MD5_NULL, false },
		{ "E5: spi-c", TEXT_A,
		  "ipsec-3gpp;alg=hmac-sha-1-96;ealg=aes-cbc;spi-c=1001;spi-s=2000;port-c=3000;"
		  "port-s=4000", false },
		{ "E5: spi-s", TEXT_A,
		  "ipsec-3gpp;alg=hmac-sha-1-96;ealg=aes-cbc;spi-c=1000;spi-s=2001;port-c=3000;"
		  "port-s=4000", false },
		{ "E5: port-c", TEXT_A,
		  "ipsec-3gpp;alg=hmac-sha-1-96;ealg=aes-cbc;spi-c=1000;spi-s=2000;port-c=3001;"
		  "port-s=4000", false },
		{ "E5: port-s", TEXT_A,
		  "ipsec-3gpp;alg=hmac-sha-1-96;ealg=aes-cbc;spi-c=1000;spi-s=2000;port-c=3000;"
		  "port-s=4001", false },
		{ "E5: q", TEXT_A ";q=0.5", TEXT_A ";q=0.4", false },
		{ "UDP-enc-tun, its case", TEXT_A ";mod=UDP-enc-tun", TEXT_A ";mod=udp-enc-tun",
		  true },
		{ "both modes, their order", AES_TRANS "," AES_ENC_TUN, AES_ENC_TUN "," AES_TRANS,
		  true },
		{ "E5: mod", TEXT_A ";mod=trans", TEXT_A ";mod=tun", false },
		{ "E5: UDP-enc-tun against trans", AES_ENC_TUN, AES_TRANS, false },
		{ "E5: UDP-enc-tun against none", AES_ENC_TUN, TEXT_A, false },
		{ "E5: one of the modes removed", AES_TRANS "," AES_ENC_TUN, AES_TRANS, false },
		{ "E5: the modes of two pairs exchanged", AES_TRANS "," MD5_ENC_TUN,
		  AES_ENC_TUN "," MD5_TRANS, false },
		{ "E5: prot", TEXT_A ";prot=esp", TEXT_A ";prot=ah", false },
		{ "E5: unknown algorithms of different names", "ipsec-3gpp;alg=foo" REST,
		  "ipsec-3gpp;alg=bar" REST, false },
		{ "E5: unknown ealg of different names", "ipsec-3gpp;alg=foo;ealg=a" REST,
		  "ipsec-3gpp;alg=foo;ealg=b" REST, false },
		{ "E5: unknown mod of different names", TEXT_A ";mod=a", TEXT_A ";mod=b", false },
		{ "E5: unknown prot of different names", TEXT_A ";prot=a", TEXT_A ";prot=b",
		  false },
		{ "E5: nothing against nothing", "tls", "tls", false },
		{ "a list, its order", SERVER_LIST, L5 ",\r\n " L678 "," L9 ",tls," L1234, true },
		{ "E5: the best of a list removed", SERVER_LIST, L678 "," L5 "," L1234, false },
		{ "E5: another of a list removed", SERVER_LIST, L9 "," L678 "," L1234, false },
		{ "E5: one of a list twice", SERVER_LIST, SERVER_LIST "," L5, false },
		{ "E5: one of a list for another", SERVER_LIST,
		  L9 "," L678 "," L9 "," L1234, false },
		{ "E5: q of two of a list exchanged", SERVER_LIST,
		  SERVER_MECH(5, "null", "aes-gcm") "," L678 ","
		  SERVER_MECH(9, "hmac-sha-1-96", "des-ede3-cbc") "," L1234, false },
		{ "E5: ealg of one of a list", SERVER_LIST,
		  L9 "," L678 "," SERVER_MECH(5, "hmac-sha-1-96", "null") "," L1234, false },
		{ "E5: a single one for a list", SERVER_LIST, L9, false },
	};
	struct imsipsec_secagree *list = NULL;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(cases); i++) {
		struct imsipsec_secagree *x = NULL, *y = NULL;

		ok(!parse(&x, cases[i].a) && !parse(&y, cases[i].b) &&
		   imsipsec_secagree_equal(x, y) == cases[i].equal &&
		   imsipsec_secagree_equal(y, x) == cases[i].equal,
		   "%s: %s", cases[i].equal ? "equal" : "not equal", cases[i].name);
		imsipsec_secagree_free(x);
		imsipsec_secagree_free(y);
	}
	ok(!imsipsec_secagree_equal(NULL, NULL), "not equal: E5: NULL against NULL");
	ok(!parse(&list, TEXT_A) && !imsipsec_secagree_equal(list, NULL) &&
	   !imsipsec_secagree_equal(NULL, list), "not equal: E5: no Security-Verify");
	imsipsec_secagree_free(list);
}

static void test_write(void)
{
	static const struct imsipsec_mech m = {
		SHA1, AES, TRANS, true, 500, 3759706211, 2594505554, 7807, 7777
	};
	static const struct imsipsec_mech list[] = {
		MECH_A, { MD5, NONE, TRANS, true, 0, 300, 301, 3, 4 }
	};
	static const struct {
		unsigned int q;
		const char *text;
	} qs[] = { { 0, "ipsec-3gpp;alg" }, { 1, ";q=0.001;" }, { 50, ";q=0.05;" },
		   { 100, ";q=0.1;" }, { 123, ";q=0.123;" }, { 1000, ";q=1.0;" } };
	struct imsipsec_mech bad;
	struct imsipsec_secagree *back = NULL, *sent = NULL;
	char buf[512];
	size_t size, i;
	int len, err;

	len = imsipsec_secagree_write(buf, sizeof(buf), &m, 1);
	ok(len == (int)strlen(SERVER_LARGE_SPI) && !strcmp(buf, SERVER_LARGE_SPI),
	   "write: as a server in the field does");

	len = imsipsec_secagree_write(buf, sizeof(buf), list, 2);
	ok(len > 0 && !parse(&back, buf) && imsipsec_secagree_count(back) == 2 &&
	   mech_is(imsipsec_secagree_get(back, 0), &list[0]), "write: a list, and back");
	ok(!parse(&sent, buf) && imsipsec_secagree_equal(sent, back),
	   "write: Security-Verify of it");
	imsipsec_secagree_free(back);
	imsipsec_secagree_free(sent);

	err = 0;
	for (size = 0; size <= (size_t)len; size++) {
		char *small = malloc(size ? size : 1);

		err += imsipsec_secagree_write(small, size, list, 2) != -ENOSPC;
		free(small);
	}
	ok(!err && imsipsec_secagree_write(buf, len + 1, list, 2) == len,
	   "write: ENOSPC in every buffer that is too small");

	for (i = 0; i < ARRAY_SIZE(qs); i++) {
		bad = m;
		bad.q = qs[i].q;
		len = imsipsec_secagree_write(buf, sizeof(buf), &bad, 1);
		ok(len > 0 && strstr(buf, qs[i].text), "write: q of %u", qs[i].q);
	}

	bad = m;
	bad.mode = ENC_TUN;
	len = imsipsec_secagree_write(buf, sizeof(buf), &bad, 1);
	back = NULL;
	ok(len > 0 && strstr(buf, ";mod=UDP-enc-tun;") && !parse(&back, buf) &&
	   mech_is(imsipsec_secagree_get(back, 0), &bad),
	   "write: G2: UDP-enc-tun as TS 33.203 spells it, and back");
	imsipsec_secagree_free(back);

	for (i = 0; i < 12; i++) {
		struct imsipsec_mech wrong[] = { m, m, m, m, m, m, m, m, m, m, m, m };

		wrong[0].alg = 0;
		wrong[1].alg = 99;
		wrong[2].ealg = 0;
		wrong[3].mode = 0;
		wrong[4].esp = false;
		wrong[5].q = 1001;
		wrong[6].spi_c = 255;
		wrong[7].spi_s = 0;
		wrong[8].spi_s = m.spi_c;
		wrong[9].port_c = 0;
		wrong[10].port_s = 0;
		wrong[11].port_s = m.port_c;
		ok(imsipsec_secagree_write(buf, sizeof(buf), &wrong[i], 1) == -EINVAL,
		   "write: EINVAL for what cannot be, %zu", i + 1);
	}
	bad.mode = ENC_TUN + 1;
	ok(imsipsec_secagree_write(buf, sizeof(buf), &bad, 1) == -EINVAL,
	   "write: EINVAL for a mode that the library does not know");
	ok(imsipsec_secagree_write(buf, sizeof(buf), &m, 0) == -EINVAL,
	   "write: EINVAL for nothing");
}

/* ---- Security-Server ---------------------------------------------------- */

static const struct imsipsec_pair pairs[] = {
	{ NO_ALG, GCM }, { GMAC, GCM }, { GMAC, NONE },
	{ SHA1, AES }, { SHA1, DES3 }, { SHA1, NONE },
	{ MD5, AES }, { MD5, DES3 }, { MD5, NONE },
};

static const struct imsipsec_bundle bundle = {
	.mode = TRANS, .port_pc = 7807, .port_ps = 7777,
	.spi_pc = 3759706211, .spi_ps = 2594505554,
};

static struct imsipsec_bundle bundle_with(enum imsipsec_alg alg, enum imsipsec_ealg ealg)
{
	struct imsipsec_bundle b = bundle;

	b.alg = alg;
	b.ealg = ealg;
	return b;
}

static unsigned int bit_of(enum imsipsec_alg alg, enum imsipsec_ealg ealg)
{
	size_t i;

	for (i = 0; i < ARRAY_SIZE(pairs); i++)
		if (pairs[i].alg == alg && pairs[i].ealg == ealg)
			return 1U << i;
	return 0;
}

/* Security-Client with a mechanism for each bit of @offers, the last first, each with its SPIs */
static struct imsipsec_secagree *client_of(unsigned int offers)
{
	struct imsipsec_mech mechs[ARRAY_SIZE(pairs)];
	struct imsipsec_secagree *client = NULL;
	size_t i, n = 0;
	char buf[2048];

	for (i = ARRAY_SIZE(pairs); i--;)
		if (offers & 1U << i)
			mechs[n++] = (struct imsipsec_mech){
				pairs[i].alg, pairs[i].ealg, TRANS, true, 0,
				1000 + 2 * i, 1001 + 2 * i, 3000 + 2 * i, 3001 + 2 * i,
			};
	if (imsipsec_secagree_write(buf, sizeof(buf), mechs, n) < 0 || parse(&client, buf))
		abort();
	return client;
}

/* What a UE with @offers chooses: the first that it has, or the one of the highest q */
static const struct imsipsec_mech *ue_chooses(const struct imsipsec_secagree *server,
					      unsigned int offers, bool by_q)
{
	const struct imsipsec_mech *m, *best = NULL;
	size_t i;

	for (i = 0; (m = imsipsec_secagree_get(server, i)); i++)
		if (offers & bit_of(m->alg, m->ealg) && (!best || (by_q && m->q > best->q)))
			best = m;
	return best;
}

static bool q_falls(const struct imsipsec_secagree *server)
{
	const struct imsipsec_mech *m;
	unsigned int last = 1001;
	size_t i;

	for (i = 0; (m = imsipsec_secagree_get(server, i)); last = m->q, i++)
		if (!m->q || m->q >= last)
			return false;
	return true;
}

/* Security-Server for @b and @algs, as the UE and as the P-CSCF sees it */
static bool both_choose(const struct imsipsec_bundle *b, const struct imsipsec_pair *algs, size_t n,
			unsigned int offers)
{
	struct imsipsec_mech want = {
		b->alg, b->ealg, TRANS, true, 0, b->spi_pc, b->spi_ps, b->port_pc, b->port_ps,
	};
	struct imsipsec_secagree *server = NULL, *verify = NULL;
	const struct imsipsec_mech *first, *highest;
	char buf[2048];
	bool good;
	int len;

	len = imsipsec_secagree_write_server(buf, sizeof(buf), b, algs, n);
	good = len > 0 && !parse_n(&server, buf, len) && !parse(&verify, buf) &&
	       imsipsec_secagree_equal(server, verify) && q_falls(server) &&
	       imsipsec_secagree_count(server) == (n ? n : 1);
	if (good) {
		first = ue_chooses(server, offers, false);
		highest = ue_chooses(server, offers, true);
		want.q = first ? first->q : 0;
		good = first == highest && mech_is(first, &want);
	}
	imsipsec_secagree_free(server);
	imsipsec_secagree_free(verify);
	return good;
}

/* The P-CSCF's first pair of those that a UE offers is what both sides use; or there is none. */
static bool agree(const struct imsipsec_pair *algs, size_t n, unsigned int offers)
{
	struct imsipsec_secagree *client = client_of(offers);
	const struct imsipsec_mech *m;
	struct imsipsec_bundle b;
	bool good;
	size_t i;
	int err;

	for (i = 0; i < n && !(offers & bit_of(algs[i].alg, algs[i].ealg)); i++)
		;
	err = imsipsec_secagree_choose(client, algs, n, NULL, 0, &m);
	if (err || i == n) {
		good = err == -ENOENT && i == n;
	} else {
		b = bundle_with(m->alg, m->ealg);
		good = m->alg == algs[i].alg && m->ealg == algs[i].ealg &&
		       1U << (m->spi_c - 1000) / 2 == bit_of(m->alg, m->ealg) &&
		       m->spi_s == m->spi_c + 1 && m->port_c == m->spi_c + 2000 &&
		       m->port_s == m->spi_c + 2001 &&
		       both_choose(&b, algs, n, offers) && both_choose(&b, NULL, 0, offers);
	}
	imsipsec_secagree_free(client);
	return good;
}

static void test_subsets(void)
{
	static const char *const lists[] = {
		"aes-gcm,aes-gmac,hmac-sha-1-96,hmac-md5-96",
		"hmac-md5-96=null,hmac-md5-96,null,aes-cbc,des-ede3-cbc,aes-gmac=aes-gcm",
		"null,aes-gcm", "hmac-sha-1-96=aes-cbc", "aes-gmac", "des-ede3-cbc,null",
	};
	struct imsipsec_pair algs[ARRAY_SIZE(pairs)];
	unsigned int offers, wrong;
	size_t i, n;

	for (i = 0; i < ARRAY_SIZE(lists); i++) {
		n = ARRAY_SIZE(algs);
		wrong = !!imsipsec_pairs_parse(lists[i], algs, &n);
		for (offers = 1; offers < 1U << ARRAY_SIZE(pairs); offers++)
			wrong += !agree(algs, n, offers);
		ok(!wrong, "E6: a UE that goes by q, one by order, every subset: %s", lists[i]);
	}
}

static void test_write_server(void)
{
	static const char list[] = SERVER_MECH(2, "hmac-md5-96", "null") ", "
				   SERVER_MECH(1, "hmac-sha-1-96", "aes-cbc");
	static const struct imsipsec_pair two[] = { { SHA1, AES }, { MD5, NONE } };
	struct imsipsec_bundle b = bundle_with(MD5, NONE);
	struct imsipsec_pair ten[ARRAY_SIZE(pairs) + 1] = { { MD5, NONE } };
	char buf[2048];
	int len;

	memcpy(ten + 1, pairs, sizeof(pairs));
	len = imsipsec_secagree_write_server(buf, sizeof(buf), &b, NULL, 0);
	ok(len == (int)strlen(buf) && !strcmp(buf, SERVER_MECH(1, "hmac-md5-96", "null")),
	   "Security-Server: single");
	len = imsipsec_secagree_write_server(buf, sizeof(buf), &b, two, 2);
	ok(len == (int)strlen(buf) && !strcmp(buf, list), "Security-Server: E6: a list, the bundle's pair first");
	ok(imsipsec_secagree_write_server(buf, len + 1, &b, two, 2) == len &&
	   imsipsec_secagree_write_server(buf, len, &b, two, 2) == -ENOSPC &&
	   imsipsec_secagree_write_server(NULL, 0, &b, two, 2) == -ENOSPC,
	   "Security-Server: ENOSPC");
	b = bundle_with(pairs[0].alg, pairs[0].ealg);
	len = imsipsec_secagree_write_server(buf, sizeof(buf), &b, pairs, ARRAY_SIZE(pairs));
	ok(len == (int)strlen(buf) && !strcmp(buf, SERVER_LIST), "Security-Server: all pairs");
	b = bundle_with(MD5, NONE);
	ok(imsipsec_secagree_write_server(buf, sizeof(buf), &b, ten, ARRAY_SIZE(ten)) == -EINVAL,
	   "Security-Server: EINVAL, more pairs than there are");
	ok(imsipsec_secagree_write_server(buf, sizeof(buf), &b, two, 1) == -EINVAL,
	   "Security-Server: EINVAL, the bundle's pair is not in the list");
	b.mode = ENC_TUN;
	len = imsipsec_secagree_write_server(buf, sizeof(buf), &b, two, 2);
	ok(len == (int)strlen(buf) && !strcmp(buf, SERVER_MECH_MODE(2, "hmac-md5-96", "null",
								    "UDP-enc-tun") ", "
				      SERVER_MECH_MODE(1, "hmac-sha-1-96", "aes-cbc",
						       "UDP-enc-tun")),
	   "Security-Server: G2: UDP-enc-tun in all of a list");
	b.spi_pc = UINT32_MAX;
	b.spi_ps = UINT32_MAX - 1;
	b.port_pc = UINT16_MAX;
	b.port_ps = UINT16_MAX - 1;
	len = imsipsec_secagree_write_server(buf, sizeof(buf), &b, pairs, ARRAY_SIZE(pairs));
	ok(len > 0, "Security-Server: G2: the longest has %d bytes, 2048 are enough", len);
	b = bundle_with(SHA1, NONE);
	ok(imsipsec_secagree_write_server(buf, sizeof(buf), &b, two, 2) == -EINVAL,
	   "Security-Server: EINVAL, both are, and the pair is not");
	b = bundle_with(0, 0);
	ok(imsipsec_secagree_write_server(buf, sizeof(buf), &b, NULL, 0) == -EINVAL,
	   "Security-Server: EINVAL, an algorithm that the library does not know");
}

static void test_write_static(void)
{
	static const char all[] =
		"ipsec-3gpp;q=0.45;alg=null;prot=esp;mod=trans;ealg=aes-gcm, "
		"ipsec-3gpp;q=0.4;alg=aes-gmac;prot=esp;mod=trans;ealg=aes-gcm, "
		"ipsec-3gpp;q=0.35;alg=aes-gmac;prot=esp;mod=trans;ealg=null, "
		"ipsec-3gpp;q=0.3;alg=hmac-sha-1-96;prot=esp;mod=trans;ealg=aes-cbc, "
		"ipsec-3gpp;q=0.25;alg=hmac-sha-1-96;prot=esp;mod=trans;ealg=des-ede3-cbc, "
		"ipsec-3gpp;q=0.2;alg=hmac-sha-1-96;prot=esp;mod=trans;ealg=null, "
		"ipsec-3gpp;q=0.15;alg=hmac-md5-96;prot=esp;mod=trans;ealg=aes-cbc, "
		"ipsec-3gpp;q=0.1;alg=hmac-md5-96;prot=esp;mod=trans;ealg=des-ede3-cbc, "
		"ipsec-3gpp;q=0.05;alg=hmac-md5-96;prot=esp;mod=trans;ealg=null";
	static const char both[] =
		"ipsec-3gpp;q=0.2;alg=hmac-sha-1-96;prot=esp;mod=UDP-enc-tun;ealg=aes-cbc, "
		"ipsec-3gpp;q=0.15;alg=hmac-sha-1-96;prot=esp;mod=trans;ealg=aes-cbc, "
		"ipsec-3gpp;q=0.1;alg=hmac-md5-96;prot=esp;mod=UDP-enc-tun;ealg=null, "
		"ipsec-3gpp;q=0.05;alg=hmac-md5-96;prot=esp;mod=trans;ealg=null";
	static const struct imsipsec_pair two[] = { { SHA1, AES }, { MD5, NONE } };
	static const struct imsipsec_pair unknown[] = { { SHA1, AES }, { MD5, 99 } };
	static const enum imsipsec_mode modes[] = { ENC_TUN, TRANS, TRANS }, no_mode[] = { 99 };
	struct imsipsec_secagree *list = NULL;
	char buf[2048];
	int len;

	len = imsipsec_secagree_write_static(buf, sizeof(buf), NULL, 0, NULL, 0);
	ok(len == (int)strlen(buf) && !strcmp(buf, all), "E6: static list: all pairs, no SPI, no port");
	/* It is no offer: nobody can take it for one. */
	ok(parse(&list, buf) == -EINVAL && !imsipsec_secagree_count(list),
	   "E6: static list: has nothing to be chosen");
	imsipsec_secagree_free(list);
	len = imsipsec_secagree_write_static(buf, sizeof(buf), two, 2, modes, 2);
	ok(len == (int)strlen(buf) && !strcmp(buf, both),
	   "E6: static list: two pairs, both modes, in order of preference");
	ok(imsipsec_secagree_write_static(buf, len + 1, two, 2, modes, 2) == len &&
	   imsipsec_secagree_write_static(buf, len, two, 2, modes, 2) == -ENOSPC &&
	   imsipsec_secagree_write_static(NULL, 0, two, 2, modes, 2) == -ENOSPC,
	   "E6: static list: ENOSPC");
	len = imsipsec_secagree_write_static(buf, sizeof(buf), NULL, 0, modes, 2);
	ok(len > 0 && strstr(buf, "q=0.9;") && strstr(buf, "q=0.05;"),
	   "E6: static list: the longest has %d bytes, 2048 are enough", len);
	ok(imsipsec_secagree_write_static(buf, sizeof(buf), two, 0, NULL, 0) == -EINVAL &&
	   imsipsec_secagree_write_static(buf, sizeof(buf), two, 10, NULL, 0) == -EINVAL &&
	   imsipsec_secagree_write_static(buf, sizeof(buf), two, 2, modes, 0) == -EINVAL &&
	   imsipsec_secagree_write_static(buf, sizeof(buf), two, 2, modes, 3) == -EINVAL &&
	   imsipsec_secagree_write_static(buf, sizeof(buf), unknown, 2, NULL, 0) == -EINVAL &&
	   imsipsec_secagree_write_static(buf, sizeof(buf), two, 2, no_mode, 1) == -EINVAL,
	   "E6: static list: EINVAL for none, too many, and what the library does not know");
}

int main(void)
{
	test_good();
	test_bad();
	test_beside();
	test_bytes();
	test_any_order();
	test_repeated();
	test_many();
	test_choose();
	test_choose_mode();
	test_equal();
	test_write();
	test_write_server();
	test_write_static();
	test_subsets();
	return done();
}
