// SPDX-License-Identifier: GPL-2.0-or-later
/* Of the module for OpenSIPS what knows nothing of OpenSIPS. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <imsipsec.h>

#include "../opensips/choice.h"
#include "../opensips/table.h"
#include "../opensips/text.h"
#include "tap.h"

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))

/* --- Text */

/* A copy without anything behind it, so that AddressSanitizer sees one byte too many. */
static struct span copy_of(const char *text)
{
	size_t len = strlen(text);
	char *copy = malloc(len ? len : 1);

	if (!copy)
		abort();
	memcpy(copy, text, len);
	return (struct span) { copy, len };
}

static void end_copy(struct span copy)
{
	free((char *)copy.s);
}

static bool is(struct span span, const char *text)
{
	return span.len == strlen(text) && !memcmp(span.s, text, span.len);
}

static const struct {
	const char *value, *name, *found, *left;
} params[] = {
	{ "Digest realm=\"x\", ck=\"12\", ik=\"34\"", "ck", "12", "Digest realm=\"x\", ik=\"34\"" },
	{ "Digest realm=\"x\", ck=\"12\", ik=\"34\"", "ik", "34", "Digest realm=\"x\", ck=\"12\"" },
	{ "Digest ik=\"34\", realm=\"x\"", "ik", "34", "Digest realm=\"x\"" },
	{ "Digest ik=\"34\"", "ik", "34", "Digest " },
	{ "Digest realm=\"a, ik=\\\"1\\\"\",ik=\"2\"", "ik", "2", "Digest realm=\"a, ik=\\\"1\\\"\"" },
	{ "Digest realm=x , IK = \"2\" , qop=auth", "ik", "2", "Digest realm=x , qop=auth" },
	{ "Digest realm=\"x\",\r\n ik=2,\r\n qop=auth", "ik", "2", "Digest realm=\"x\",\r\n qop=auth" },
	{ "Digest username=\"\", uri=\"sip:x\"", "username", "", "Digest uri=\"sip:x\"" },
	{ "Digest realm=\"ik=1\"", "ik", NULL, NULL },
	{ "Digest realm=\"x, ik=\"1\"", "ik", NULL, NULL },
	{ "Digest xik=\"1\", ikx=\"2\"", "ik", NULL, NULL },
	{ "Digest realm=\"x\\", "ik", NULL, NULL },
	{ "Digest", "ik", NULL, NULL },
	{ "Digest ik", "ik", NULL, NULL },
	{ ",,", "ik", NULL, NULL },
	{ "", "ik", NULL, NULL },
};

static void test_params(void)
{
	for (size_t i = 0; i < ARRAY_SIZE(params); i++) {
		struct span value = copy_of(params[i].value), found, whole;
		bool got = text_param(value, params[i].name, &found, &whole);
		char left[128] = "";

		if (got)
			snprintf(left, sizeof(left), "%.*s%.*s", (int)(whole.s - value.s), value.s,
				 (int)(value.s + value.len - whole.s - whole.len),
				 whole.s + whole.len);
		ok(got ? params[i].found && is(found, params[i].found) &&
				 !strcmp(left, params[i].left)
		       : !params[i].found,
		   "OSIPS: parameter %s of %.*s is %s, and is cut out", params[i].name,
		   (int)strcspn(params[i].value, "\r"), params[i].value,
		   params[i].found ? params[i].found : "not there");
		end_copy(value);
	}
}

static const struct {
	const char *value, *left;
} pairs[] = {
	{ "Digest ck=\"1\", ik=\"2\", realm=\"x\"", "Digest realm=\"x\"" },
	{ "Digest ik=\"2\",ck=\"1\",realm=\"x\"", "Digest realm=\"x\"" },
	{ "Digest ck=\"1\", realm=\"x\", ik=\"2\"", "Digest realm=\"x\"" },
	{ "Digest realm=\"x\", ck=\"1\", ik=\"2\"", "Digest realm=\"x\"" },
	{ "Digest realm=\"x\", ik=\"2\", ck=\"1\", qop=auth", "Digest realm=\"x\", qop=auth" },
	{ "Digest ck=\"1\", ik=\"2\"", "Digest " },
};

static void test_pairs(void)
{
	for (size_t i = 0; i < ARRAY_SIZE(pairs); i++) {
		struct span value = copy_of(pairs[i].value), found, ik, ck;
		char left[128] = "";
		size_t n = 0;

		if (text_param(value, "ik", &found, &ik) && text_param(value, "ck", &found, &ck)) {
			text_join(value, &ik, &ck);
			for (const char *s = value.s; s < value.s + value.len; s++) {
				if ((s < ik.s || s >= ik.s + ik.len) &&
				    (s < ck.s || s >= ck.s + ck.len))
					left[n++] = *s;
			}
		}
		ok(!strcmp(left, pairs[i].left), "OSIPS: without ik and ck, %s is %s", pairs[i].value, left);
		end_copy(value);
	}
}

#define REQUEST \
	"MESSAGE sip:ue1@192.0.2.2:6300;transport=udp SIP/2.0\r\n" \
	"v: SIP/2.0/UDP 192.0.2.1:6100;branch=z9hG4bK1\r\n" \
	"Via: SIP/2.0/UDP 192.0.2.9:1\r\n" \
	"Subject: a\r\n Via: b\r\n" \
	"CSeq: 1 MESSAGE\r\n\r\nTo: none\r\n"
#define ANSWER \
	"SIP/2.0 200 OK\r\nVia : SIP / 2.0 / UDP\r\n [2001:db8::2] : 6301\r\n ;branch=1\r\n" \
	"CSeq: 2\tREGISTER\r\n\r\n"

static void test_messages(void)
{
	struct span request = copy_of(REQUEST), answer = copy_of(ANSWER), found;
	struct span cut;

	ok(!text_is_answer(request.s, request.len) && text_is_answer(answer.s, answer.len),
	   "OSIPS: which one is an answer");
	ok(text_target(request.s, request.len, &found) &&
	   is(found, "sip:ue1@192.0.2.2:6300;transport=udp") && text_uri_port(found) == 6300,
	   "OSIPS: the Request-URI of a request, and its port");
	ok(!text_target(answer.s, answer.len, &found), "OSIPS: an answer has none");
	ok(text_header(request.s, request.len, "Via", "v", &found) && text_via_port(found) == 6100,
	   "OSIPS: the first Via of a request, by its short name");
	ok(text_header(request.s, request.len, "Subject", "s", &found) && is(found, "a\r\n Via: b"),
	   "OSIPS: a folded header");
	ok(!text_header(request.s, request.len, "To", "t", &found), "OSIPS: behind the headers is none");
	ok(text_header(answer.s, answer.len, "Via", "v", &found) && text_via_port(found) == 6301,
	   "OSIPS: the Via of an answer, folded, IPv6 and with blanks");
	ok(text_is_of(answer.s, answer.len, "REGISTER") &&
	   !text_is_of(request.s, request.len, "REGISTER") &&
	   !text_is_of(answer.s, answer.len, "GISTER"), "OSIPS: CSeq's method");
	/* Whatever it is cut off at, nothing behind it is read. */
	for (size_t n = 0; n <= request.len; n++) {
		cut = copy_of(REQUEST);
		cut.s = realloc((char *)cut.s, n ? n : 1);
		cut.len = n;
		if (!cut.s)
			abort();
		text_is_answer(cut.s, n);
		text_is_of(cut.s, n, "MESSAGE");
		if (text_target(cut.s, n, &found))
			text_uri_port(found);
		if (text_header(cut.s, n, "Via", "v", &found))
			text_via_port(found);
		end_copy(cut);
	}
	ok(true, "OSIPS: a message that is cut off anywhere");
	end_copy(request);
	end_copy(answer);
}

static const struct {
	const char *uri;
	uint16_t port;
} uris[] = {
	{ "sip:192.0.2.2", 0 },		  { "sip:192.0.2.2:5062", 5062 },
	{ "sip:a:b@192.0.2.2:1", 1 },	  { "sip:a@[2001:db8::1]:65535;x=1", 65535 },
	{ "sip:a@[2001:db8::1]", 0 },	  { "sip:a@h:65536", 0 },
	{ "sip:a@h;x=:5", 0 },		  { "sip:a@h:", 0 },
	{ "tel:+4930", 0 },		  { "", 0 },
	{ "sip:a@[2001:db8", 0 },
};

static void test_uris(void)
{
	for (size_t i = 0; i < ARRAY_SIZE(uris); i++) {
		struct span uri = copy_of(uris[i].uri);

		ok(text_uri_port(uri) == uris[i].port, "OSIPS: the port of \"%s\" is %u", uris[i].uri,
		   uris[i].port);
		end_copy(uri);
	}
}

/* --- Choices */

static const struct {
	const char *text;
	uint16_t listeners[4], server, client, ps, pc[3];
} choices[] = {
	{ "the first is the server port", { 6100, 5100 }, 0, 0, 6100, { 5100 } },
	{ "default_server_port", { 5100, 6100 }, 6100, 0, 6100, { 5100 } },
	{ "default_client_port", { 5100, 6100 }, 0, 5100, 6100, { 5100 } },
	{ "both", { 5100, 5101, 6100 }, 6100, 5101, 6100, { 5101, 5100 } },
	{ "neither is there", { 5100, 5101 }, 1, 2, 5100, { 5101 } },
	{ "both are one", { 5100, 5101 }, 5100, 5100, 5100, { 5101 } },
	{ "one port", { 5100 }, 0, 0, 0, { 0 } },
};

static void test_ports(void)
{
	struct ports ports;

	for (size_t i = 0; i < ARRAY_SIZE(choices); i++) {
		size_t n = 0, m = 0;
		const char *wrong;

		while (n < 4 && choices[i].listeners[n])
			n++;
		while (m < 3 && choices[i].pc[m])
			m++;
		wrong = choice_ports(choices[i].listeners, n, choices[i].server, choices[i].client,
				     &ports);
		ok(choices[i].ps ? !wrong && ports.ps == choices[i].ps && ports.n_pc == m &&
				   !memcmp(ports.pc, choices[i].pc, m * sizeof(*ports.pc))
				 : !!wrong, "OSIPS: ports: %s", choices[i].text);
	}
	choice_ports(choices[3].listeners, 3, 6100, 0, &ports);
	ok(choice_is_client(&ports, 5101) && !choice_is_client(&ports, 6100) &&
	   !choice_is_client(&ports, 0), "OSIPS: what is a client port");
}

static const struct {
	uint32_t min, max, min_is, max_is, bundles;
	bool changed;
} ranges[] = {
	{ 65536, 262144, 65536, 262144, 98304, false },
	{ 20000, 10000, 10000, 20000, 5000, true },
	{ 0, 1000, 256, 1000, 372, true },
	{ 5, 10, 256, 257, 1, true },
	{ 1000, 1000, 999, 1000, 1, true },
	{ 256, 256, 256, 257, 1, true },
	{ 256, UINT32_MAX, 256, UINT32_MAX - 1, 2147483519, true },
};

static void test_spis(void)
{
	for (size_t i = 0; i < ARRAY_SIZE(ranges); i++) {
		struct spis spis = { ranges[i].min, ranges[i].max, 0 };
		bool changed = choice_spis(&spis);

		ok(spis.min == ranges[i].min_is && spis.max == ranges[i].max_is &&
		   spis.max_bundles == ranges[i].bundles && changed == ranges[i].changed,
		   "OSIPS: SPIs from %u to %u are %u to %u, for %u bundles", ranges[i].min, ranges[i].max,
		   spis.min, spis.max, spis.max_bundles);
	}
}

static const struct {
	const char *list;
	bool no_deprecated;
	const char *is;
} lists[] = {
	{ "hmac-sha-1-96=null", false, "hmac-sha-1-96=null" },
	{ " aes-gmac , hmac-md5-96=aes-cbc", false,
	  "aes-gmac=aes-gcm,null=aes-gcm,aes-gmac=null,hmac-md5-96=aes-cbc" },
	{ "=aes-cbc", false, "hmac-sha-1-96=aes-cbc,hmac-md5-96=aes-cbc" },
	{ "hmac-sha-1-96=null,aes-gmac=null", true, "aes-gmac=null" },
	{ "hmac-md5-96,aes-cbc", true, NULL },
	{ "hmac-sha-1-96=rot13", false, NULL },
	{ "hmac-sha-1-96=null,,aes-gmac", false, NULL },
	{ NULL, true, "null=aes-gcm,aes-gmac=aes-gcm,aes-gmac=null" },
};

static void test_lists(void)
{
	struct imsipsec_pair algs[ALGS_MAX];
	char text[512];
	size_t n;

	for (size_t i = 0; i < ARRAY_SIZE(lists); i++) {
		int err = choice_algs(lists[i].list, lists[i].no_deprecated, algs, &n);

		choice_write_algs(text, sizeof(text), algs, err ? 0 : n);
		ok(lists[i].is ? !err && !strcmp(text, lists[i].is) : err == -EINVAL,
		   "OSIPS: algorithms %s%s: %s", lists[i].list ? lists[i].list : "(all)",
		   lists[i].no_deprecated ? " without those that are deprecated" : "", text);
	}
	ok(!choice_algs("", false, algs, &n) && n == 9, "OSIPS: no list: all nine pairs");
}

static void test_called(void)
{
	static const struct {
		const char *headers, *identity;
		bool is;
	} t[] = {
		{ "To: <sip:ue1@ims.example>\r\n", "sip:ue1@ims.example", true },
		{ "To: <sip:ue1@ims.example>\r\n", "sip:ue11@ims.example", false },
		{ "To: <sip:ue1@ims.example>\r\n", "sip:ue1@ims", false },
		{ "t: sip:ue1@ims.example;tag=x\r\n", "sip:ue1@IMS.example", true },
		{ "To: \"<sip:ue2@ims.example>\" <sip:ue1@ims.example;user=phone>;tag=x\r\n",
		  "sip:ue1@ims.example;a=b", true },
		{ "To: \"<sip:ue2@ims.example>\" <sip:ue1@ims.example>\r\n", "sip:ue2@ims.example",
		  false },
		{ "To: \"\\\"<sip:ue2@ims.example>\" <sip:ue1@ims.example>\r\n",
		  "sip:ue1@ims.example", true },
		{ "To: \"not closed <sip:ue2@ims.example>\r\n", "sip:ue2@ims.example", false },
		{ "To: <sip:ue2@ims.example>\r\nP-Called-Party-ID: <sip:ue1@ims.example>\r\n",
		  "sip:ue1@ims.example", true },
		{ "To: <sip:ue2@ims.example>\r\nP-Called-Party-ID: <sip:ue1@ims.example>\r\n",
		  "sip:ue2@ims.example", false },
		{ "To: <tel:+493012345>\r\n", "tel:+493012345", true },
		{ "To:\r\n", "", false },
		{ "", "", false },
	};

	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		char text[512];
		int n = snprintf(text, sizeof(text), "MESSAGE sip:ue1@10.0.0.1:6300 SIP/2.0\r\n%s"
				 "Content-Length: 0\r\n\r\n", t[i].headers);

		ok(text_is_called(text, n, t[i].identity) == t[i].is,
		   "OSIPS: a request names \"%s\": %s", t[i].identity, t[i].is ? "yes" : "no");
	}
}

static void test_marks(void)
{
	ok(choice_mark(0x85, 0x00ffffff, 2) == 0x86 && choice_mark(0x85, 0x00ffffff, 0) == 0x84,
	   "OSIPS: marks of a registration's slots");
	ok(choice_mark(0x12008500, 0x00ffff00, 3) == 0x00008700, "OSIPS: within a mask");
}

/* --- The table */

static unsigned int allocated;
static bool short_of_memory;

static void *get_memory(size_t size)
{
	void *p = short_of_memory ? NULL : malloc(size);

	allocated += !!p;
	return p;
}

static void give_memory(void *p)
{
	allocated--;
	free(p);
}

static bool is_even(uint32_t number, void *thing, void *data)
{
	(void)data;
	return number % 2 == 0 && *(int *)thing == (int)number;
}

static bool is_any(uint32_t number, void *thing, void *data)
{
	(void)number;
	(void)thing;
	(void)data;
	return true;
}

static struct {
	bool on;
	unsigned int times, now, most;		/* of the things that were seen while it was held */
} held;

static void hold(bool on)
{
	if (on == held.on)
		abort();
	held.on = on;
	held.times += on;
	held.now = 0;
}

static bool is_held(uint32_t number, void *thing, void *data)
{
	(void)number;
	(void)thing;
	(void)data;
	held.now += held.on;
	if (held.now > held.most)
		held.most = held.now;
	return !held.on;
}

static void test_table(void)
{
	const struct table_memory memory = { get_memory, give_memory };
	struct table *t = table_new(&memory, 16);
	int *one;

	if (!t)
		abort();
	for (uint32_t i = 1; i <= 100; i++) {
		one = table_put(t, i, sizeof(*one));
		if (!one)
			abort();
		*one = i;
	}
	one = table_get(t, 77);
	ok(table_count(t) == 100 && one && *one == 77 && !table_get(t, 101), "OSIPS: things are found");
	one = table_put(t, 77, sizeof(*one));
	ok(one && !*one && table_count(t) == 100, "OSIPS: one of the same number takes its place");
	ok(table_del(t, 77) && !table_del(t, 77) && !table_get(t, 77) && table_get(t, 61),
	   "OSIPS: one is taken away, and its neighbour stays");
	table_sweep(t, hold, is_even, NULL);
	ok(table_count(t) == 49 && !table_get(t, 2) && table_get(t, 3), "OSIPS: some are swept away");
	short_of_memory = true;
	ok(!table_put(t, 3, sizeof(*one)) && table_get(t, 3), "OSIPS: without memory what is there stays");
	short_of_memory = false;
	held.times = 0;
	table_sweep(t, hold, is_held, NULL);
	ok(held.times == 16 && held.most <= 7 && table_count(t) == 49,
	   "OSIPS: the lock is held for one list of sixteen at a time: for %u of 49 things", held.most);
	table_sweep(t, hold, is_any, NULL);
	ok(!table_count(t) && allocated == 1, "OSIPS: all are swept away, and their memory");
	give_memory(t);
}

int main(void)
{
	test_params();
	test_pairs();
	test_messages();
	test_uris();
	test_ports();
	test_spis();
	test_lists();
	test_called();
	test_marks();
	test_table();
	return done();
}
