// SPDX-License-Identifier: LGPL-2.1-or-later
/* Names, addresses, lists of algorithms, sizes of structs. */
#include <errno.h>
#include <string.h>
#include <arpa/inet.h>

#include "../lib/internal.h"
#include "alg_lists.h"
#include "tap.h"

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))

#define MD5	IMSIPSEC_ALG_HMAC_MD5_96
#define NONE	IMSIPSEC_EALG_NULL

static void test_names(void)
{
	ok(!strcmp(imsipsec_alg_name(MD5), "hmac-md5-96") && !imsipsec_alg_name(0) &&
	   !imsipsec_alg_name(1000) && !imsipsec_alg_name(-1), "names of alg");
	ok(!strcmp(imsipsec_ealg_name(NONE), "null") && !imsipsec_ealg_name(0), "names of ealg");
	ok(!strcmp(imsipsec_mode_name(IMSIPSEC_MODE_TRANS), "trans") &&
	   !strcmp(imsipsec_mode_name(IMSIPSEC_MODE_UDP_ENC_TUN), "udp-enc-tun") &&
	   !imsipsec_mode_name(0) && !imsipsec_mode_name(3), "names of mode");
	ok(imsipsec_mode_find("UDP-enc-tun", 11) == IMSIPSEC_MODE_UDP_ENC_TUN &&
	   imsipsec_mode_find("udp-ENC-Tun", 11) == IMSIPSEC_MODE_UDP_ENC_TUN &&
	   !imsipsec_mode_find("UDP-enc-tun", 10) && !imsipsec_mode_find("UDP-enc-tunn", 12) &&
	   !imsipsec_mode_find("tun", 3), "modes by their names");
	ok(!strcmp(imsipsec_state_name(IMSIPSEC_STATE_OLD), "old") && !imsipsec_state_name(5),
	   "names of state");
	ok(!strcmp(imsipsec_guard_name(IMSIPSEC_GUARD_BYPASS), "bypass") &&
	   !imsipsec_guard_name(0) && !imsipsec_guard_name(4), "names of guard");
	ok(!strcmp(imsipsec_older_name(IMSIPSEC_OLDER_DROP), "drop") &&
	   !imsipsec_older_name(0) && !imsipsec_older_name(3), "names of older");
	ok(!strcmp(imsipsec_offload_name(IMSIPSEC_OFFLOAD_OFF), "off") &&
	   !strcmp(imsipsec_offload_name(IMSIPSEC_OFFLOAD_PACKET), "packet") &&
	   !imsipsec_offload_name(0) && !imsipsec_offload_name(5), "names of offload");
	ok(!strcmp(imsipsec_offload_reason_name(IMSIPSEC_OFFLOAD_REASON_NO_INTERFACE),
		   "no-interface") &&
	   !strcmp(imsipsec_offload_reason_name(IMSIPSEC_OFFLOAD_REASON_LOST), "lost") &&
	   !imsipsec_offload_reason_name(0) &&
	   !imsipsec_offload_reason_name(IMSIPSEC_OFFLOAD_REASON_LOST + 1) &&
	   IMSIPSEC_OFFLOAD_REASON_LOST < IMSIPSEC_OFFLOAD_REASONS,
	   "names of reasons against offload");
	ok(!strcmp(imsipsec_drop_name(IMSIPSEC_DROP_PLAINTEXT_IN), "plaintext-in") &&
	   !strcmp(imsipsec_drop_name(IMSIPSEC_DROP_UDP_ONLY), "udp-only") &&
	   !strcmp(imsipsec_drop_name(IMSIPSEC_DROP_CLEAR_TO_UE), "clear-to-ue") &&
	   !imsipsec_drop_name(0) && !imsipsec_drop_name(IMSIPSEC_DROP_CLEAR_TO_UE + 1),
	   "names of drops");
	ok(!strcmp(imsipsec_trace_kind_name(IMSIPSEC_TRACE_KIND_REFUSAL), "refusal") &&
	   !strcmp(imsipsec_trace_kind_name(IMSIPSEC_TRACE_KIND_DROP), "drop") &&
	   !imsipsec_trace_kind_name(0) && !imsipsec_trace_kind_name(3), "names of kinds");
	ok(!strcmp(imsipsec_event_type_name(IMSIPSEC_EVENT_LOST), "lost") &&
	   !strcmp(imsipsec_event_type_name(IMSIPSEC_EVENT_SUPERSEDED), "superseded") &&
	   !strcmp(imsipsec_event_type_name(IMSIPSEC_EVENT_NAT_MAPPING), "nat-mapping") &&
	   !strcmp(imsipsec_event_type_name(IMSIPSEC_EVENT_OFFLOAD_FALLBACK),
		   "offload-fallback") &&
	   !strcmp(imsipsec_event_type_name(IMSIPSEC_EVENT_NEARLY_FULL), "nearly-full") &&
	   !imsipsec_event_type_name(0x10001), "names of event types");
	ok(!strcmp(imsipsec_reason_name(IMSIPSEC_REASON_ENDPOINT), "endpoint") &&
	   !strcmp(imsipsec_reason_name(IMSIPSEC_REASON_IDLE), "idle") &&
	   !strcmp(imsipsec_reason_name(IMSIPSEC_REASON_NAT), "nat") &&
	   !strcmp(imsipsec_reason_name(IMSIPSEC_REASON_INTERFACE), "interface") &&
	   !strcmp(imsipsec_reason_name(IMSIPSEC_REASON_SA_GONE), "sa-gone") &&
	   !imsipsec_reason_name(0) && !imsipsec_reason_name(IMSIPSEC_REASON_SA_GONE + 1),
	   "names of reasons");
	ok(!strcmp(imsipsec_resource_name(IMSIPSEC_RESOURCE_ENDPOINTS), "endpoints") &&
	   !strcmp(imsipsec_resource_name(IMSIPSEC_RESOURCE_SPIS), "spis") &&
	   !imsipsec_resource_name(0) && !imsipsec_resource_name(IMSIPSEC_RESOURCE_SPIS + 1),
	   "names of resources");
}

static void test_addr(void)
{
	static const struct {
		const char *text, *back;
	} good[] = {
		{ "192.0.2.1", "192.0.2.1" },
		{ "2001:db8::1", "2001:db8::1" },
		{ "[2001:db8::1]", "2001:db8::1" },
		{ "2001:DB8:0:0:0:0:0:1", "2001:db8::1" },
		{ "::ffff:192.0.2.1", "192.0.2.1" },
	};
	static const char *const bad[] = {
		"", "[]", "[", "]", "192.0.2", "192.0.2.256", "0192.0.2.1", "[192.0.2.1]",
		"192.0.2.1 ", "[2001:db8::1", "2001:db8::1]", "2001:db8:::1", "fe80::1%lo",
		"example.com", "[2001:db8::1]:5060",
		"0000:0000:0000:0000:0000:0000:0000:0000:0000:0000:0000",
	};
	struct imsipsec_addr addr;
	char buf[INET6_ADDRSTRLEN], tiny[4];
	size_t i;

	for (i = 0; i < ARRAY_SIZE(good); i++)
		ok(!imsipsec_addr_parse(&addr, good[i].text) &&
		   !strcmp(imsipsec_addr_format(&addr, buf, sizeof(buf)), good[i].back),
		   "address: %s", good[i].text);
	for (i = 0; i < ARRAY_SIZE(bad); i++)
		ok(imsipsec_addr_parse(&addr, bad[i]) == -EINVAL, "no address: \"%s\"", bad[i]);

	memset(&addr, 0, sizeof(addr));
	ok(!strcmp(imsipsec_addr_format(&addr, buf, sizeof(buf)), "?"), "address of no family");
	ok(!imsipsec_addr_parse(&addr, "192.0.2.1") &&
	   !strcmp(imsipsec_addr_format(&addr, tiny, sizeof(tiny)), "?"),
	   "address in a buffer that is too small");
}

static bool parses_as(const char *list, const char *want)
{
	struct imsipsec_pair algs[N_PAIRS];
	char text[IMS_IPSEC_ALGORITHMS_MAX] = "";
	size_t i, len = 0, n = ARRAY_SIZE(algs);
	int err = imsipsec_pairs_parse(list, algs, &n);

	for (i = 0; !err && i < n; i++)
		len += snprintf(text + len, sizeof(text) - len, "%s%s=%s", i ? "," : "",
				imsipsec_alg_name(algs[i].alg), imsipsec_ealg_name(algs[i].ealg));
	return want ? !err && !strcmp(text, want) : err == -EINVAL;
}

static void test_algs(void)
{
	struct imsipsec_pair algs[4];
	size_t n;

	test_alg_lists("the library", parses_as);
	n = 2;
	ok(imsipsec_pairs_parse("null", algs, &n) == -ENOSPC, "algorithms: no room");
	n = 1;
	ok(imsipsec_pairs_parse("null=aes-gcm", algs, &n) == -ENOSPC,
	   "algorithms: no room for the other spelling");
	n = 3;
	ok(!imsipsec_pairs_parse("null,null,hmac-md5-96=null", algs, &n) && n == 3,
	   "algorithms: each once, so that there is room");
}

/* A struct of the caller's that may be newer */
static void test_take_in(void)
{
	struct imsipsec_bundle_filter from = { .endpoint = 7 }, to;
	size_t i, wrong = 0;
	static struct imsipsec h;

	memset(&to, 0xff, sizeof(to));
	ok(!imsipsec_take_in(&h, &to, &from) && !memcmp(&to, &from, sizeof(to)),
	   "struct: one that uses nothing new");
	for (i = 0; i < sizeof(from.reserved); i++) {
		from.reserved[i] = 1;
		wrong += imsipsec_take_in(&h, &to, &from) != -E2BIG ||
			 !strstr(imsipsec_strerror(&h), "newer");
		from.reserved[i] = 0;
	}
	ok(i && !wrong, "struct: one that does, in any of %zu bytes", i);
}

#define IS_FIXED(name, bytes) \
	ok(sizeof(struct imsipsec_##name) == (bytes) && \
	   offsetof(struct imsipsec_##name, reserved) + \
	   sizeof(((struct imsipsec_##name *)0)->reserved) == (bytes), \
	   "ABI: struct imsipsec_" #name " has its size, and reserved bytes at its end")

static void test_sizes(void)
{
	ok(IMSIPSEC_OWNER_MAX == IMS_IPSEC_OWNER_MAX &&
	   IMSIPSEC_CONTACT_MAX == IMS_IPSEC_CONTACT_MAX &&
	   IMSIPSEC_KEY_LEN == IMS_IPSEC_KEY_LEN &&
	   IMSIPSEC_PORT_PC_MAX == IMS_IPSEC_PORT_PC_MAX &&
	   IMSIPSEC_INTERFACE_MAX == IMS_IPSEC_INTERFACE_MAX,
	   "limits are the kernel's");
	/* What programs were built with must not move, on a machine of 64 bits. */
	if (sizeof(void *) != 8)
		return;
	ok(sizeof(struct imsipsec_addr) == 20, "ABI: struct imsipsec_addr has its size");
	IS_FIXED(config, 376);
	IS_FIXED(pair, 16);
	IS_FIXED(pair_info, 336);
	IS_FIXED(offload_pair, 480);
	IS_FIXED(endpoint, 2136);
	IS_FIXED(endpoint_params, 216);
	IS_FIXED(bundle, 752);
	IS_FIXED(bundle_params, 296);
	IS_FIXED(bundle_filter, 136);
	IS_FIXED(stats, 392);
	IS_FIXED(trace, 904);
	IS_FIXED(event, 840);
	IS_FIXED(found, 32);
	IS_FIXED(mech, 64);
}

int main(void)
{
	test_names();
	test_addr();
	test_algs();
	test_take_in();
	test_sizes();
	return done();
}
