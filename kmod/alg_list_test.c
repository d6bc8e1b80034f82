// SPDX-License-Identifier: GPL-2.0-only
#include <kunit/test.h>
#include <linux/kernel.h>
#include <linux/netlink.h>
#include <linux/string.h>

#include "alg_list.h"

#define GCM		"null=aes-gcm"
#define GMAC_GCM	"aes-gmac=aes-gcm"
#define GMAC		"aes-gmac=null"
#define SHA1_CBC	"hmac-sha-1-96=aes-cbc"
#define SHA1_3DES	"hmac-sha-1-96=des-ede3-cbc"
#define SHA1_NULL	"hmac-sha-1-96=null"
#define MD5_CBC		"hmac-md5-96=aes-cbc"
#define MD5_3DES	"hmac-md5-96=des-ede3-cbc"
#define MD5_NULL	"hmac-md5-96=null"

struct ims_alg_list_case {
	const char *name;
	const char *text;
	const char *want;	/* NULL: an error */
};

static const struct ims_alg_list_case ims_alg_list_cases[] = {
	{ "a pair", SHA1_CBC, SHA1_CBC },
	{ "pairs in their order", MD5_NULL "," SHA1_CBC, MD5_NULL "," SHA1_CBC },
	{ "a lone alg", "hmac-sha-1-96", SHA1_CBC "," SHA1_3DES "," SHA1_NULL },
	{ "a lone ealg", "aes-cbc", SHA1_CBC "," MD5_CBC },
	{ "a lone null is encryption", "null", GMAC "," SHA1_NULL "," MD5_NULL },
	{ "a lone aes-gmac", "aes-gmac", GMAC_GCM "," GCM "," GMAC },
	{ "a lone aes-gcm", "aes-gcm", GCM "," GMAC_GCM },
	{ "aes-gcm has two spellings", GCM, GCM "," GMAC_GCM },
	{ "the one that was meant first", GMAC_GCM, GMAC_GCM "," GCM },
	{ "each once", "aes-cbc,hmac-md5-96,aes-cbc",
	  SHA1_CBC "," MD5_CBC "," MD5_3DES "," MD5_NULL },
	{ "any case", "HMAC-SHA-1-96=AES-CBC", SHA1_CBC },
	{ "blanks", " hmac-md5-96 =\tnull , aes-gcm ", MD5_NULL "," GCM "," GMAC_GCM },
	{ "nothing", "", "" },
	{ "a blank", " ", NULL },
	{ "a comma", ",", NULL },
	{ "ends in a comma", "aes-cbc,", NULL },
	{ "begins with a comma", ",aes-cbc", NULL },
	{ "unknown", "aes-ctr", NULL },
	{ "unknown behind a good one", "aes-cbc,hmac-sha-256", NULL },
	{ "a part of a name", "aes-cb", NULL },
	{ "no pair", "hmac-sha-1-96=aes-gcm", NULL },
	{ "null twice", "null=null", NULL },
	{ "the wrong way round", "aes-cbc=hmac-sha-1-96", NULL },
	{ "no alg", "=aes-cbc", NULL },
	{ "no ealg", "hmac-sha-1-96=", NULL },
	{ "two signs", "hmac-sha-1-96==null", NULL },
	{ "a blank within", "aes -cbc", NULL },
};

static void ims_alg_list_case_desc(const struct ims_alg_list_case *c, char *desc)
{
	strscpy(desc, c->name, KUNIT_PARAM_DESC_SIZE);
}

KUNIT_ARRAY_PARAM(ims_alg_list, ims_alg_list_cases, ims_alg_list_case_desc);

static void ims_alg_list_parse_test(struct kunit *test)
{
	const struct ims_alg_list_case *c = test->param_value;
	struct netlink_ext_ack extack = {};
	char buf[IMS_IPSEC_ALGORITHMS_MAX];
	struct ims_alg_list list;
	int err;

	err = ims_alg_list_parse(&list, c->text, strlen(c->text), &extack);
	KUNIT_EXPECT_EQ(test, err, c->want ? 0 : -EINVAL);
	KUNIT_EXPECT_EQ(test, !!extack._msg, !c->want);
	if (err)
		return;
	KUNIT_EXPECT_EQ(test, ims_alg_list_format(&list, buf, sizeof(buf)), strlen(c->want));
	KUNIT_EXPECT_STREQ(test, buf, c->want);
	/* what is written is read as it was meant */
	KUNIT_EXPECT_EQ(test, ims_alg_list_parse(&list, buf, strlen(buf), NULL), 0);
	ims_alg_list_format(&list, buf, sizeof(buf));
	KUNIT_EXPECT_STREQ(test, buf, c->want);
}

/* The longest list has room, and no byte behind the text counts. */
static void ims_alg_list_bounds_test(struct kunit *test)
{
	static const char all[] = "hmac-md5-96,hmac-sha-1-96,aes-gmac,aes-gcm";
	char buf[IMS_IPSEC_ALGORITHMS_MAX];
	struct ims_alg_list list;

	KUNIT_ASSERT_EQ(test, ims_alg_list_parse(&list, all, strlen(all), NULL), 0);
	KUNIT_EXPECT_EQ(test, list.n, IMS_ALG_PAIRS);
	KUNIT_EXPECT_EQ(test, ims_alg_list_format(&list, buf, sizeof(buf)), strlen(buf));
	KUNIT_EXPECT_EQ(test, ims_alg_list_parse(&list, buf, strlen(buf), NULL), 0);
	KUNIT_EXPECT_EQ(test, list.n, IMS_ALG_PAIRS);

	KUNIT_EXPECT_EQ(test, ims_alg_list_parse(&list, "aes-cbc,x", 7, NULL), 0);
	KUNIT_EXPECT_EQ(test, list.n, 2);
	KUNIT_EXPECT_EQ(test, ims_alg_list_parse(&list, "aes-cbc\0", 8, NULL), -EINVAL);
}

struct ims_alg_order_case {
	const char *name;
	const char *own;
	const char *allowed;
	u8 preferred_alg;
	u8 preferred_ealg;
	bool disable_deprecated;
	const char *want;
};

#define BUILT_IN	GCM "," GMAC_GCM "," GMAC "," SHA1_CBC "," SHA1_3DES "," SHA1_NULL \
			"," MD5_CBC "," MD5_3DES "," MD5_NULL

static const struct ims_alg_order_case ims_alg_order_cases[] = {
	{ .name = "built in", .want = BUILT_IN },
	{ .name = "allowed", .allowed = MD5_NULL "," GMAC, .want = MD5_NULL "," GMAC },
	{ .name = "the call's own", .own = SHA1_NULL, .allowed = MD5_NULL,
	  .preferred_alg = IMS_IPSEC_AUTH_ALG_AES_GMAC, .want = SHA1_NULL },
	{ .name = "allowed before preferred", .allowed = MD5_NULL "," SHA1_NULL,
	  .preferred_alg = IMS_IPSEC_AUTH_ALG_HMAC_SHA_1_96, .want = MD5_NULL "," SHA1_NULL },
	{ .name = "preferred_alg", .preferred_alg = IMS_IPSEC_AUTH_ALG_HMAC_MD5_96,
	  .want = MD5_CBC "," MD5_3DES "," MD5_NULL "," GCM "," GMAC_GCM "," GMAC "," SHA1_CBC
		  "," SHA1_3DES "," SHA1_NULL },
	{ .name = "preferred_ealg", .preferred_ealg = IMS_IPSEC_ENC_ALG_NULL,
	  .want = GMAC "," SHA1_NULL "," MD5_NULL "," GCM "," GMAC_GCM "," SHA1_CBC
		  "," SHA1_3DES "," MD5_CBC "," MD5_3DES },
	{ .name = "both preferred", .preferred_alg = IMS_IPSEC_AUTH_ALG_HMAC_SHA_1_96,
	  .preferred_ealg = IMS_IPSEC_ENC_ALG_NULL,
	  .want = SHA1_NULL "," SHA1_CBC "," SHA1_3DES "," GMAC "," MD5_NULL "," GCM
		  "," GMAC_GCM "," MD5_CBC "," MD5_3DES },
	{ .name = "both preferred, no pair", .preferred_alg = IMS_IPSEC_AUTH_ALG_NULL,
	  .preferred_ealg = IMS_IPSEC_ENC_ALG_DES_EDE3_CBC,
	  .want = GCM "," GMAC_GCM "," SHA1_3DES "," MD5_3DES "," GMAC "," SHA1_CBC
		  "," SHA1_NULL "," MD5_CBC "," MD5_NULL },
	{ .name = "none deprecated", .disable_deprecated = true,
	  .want = GCM "," GMAC_GCM "," GMAC "," SHA1_CBC "," SHA1_NULL },
	{ .name = "none deprecated, though allowed", .allowed = "hmac-md5-96," SHA1_CBC,
	  .disable_deprecated = true, .want = SHA1_CBC },
	{ .name = "none deprecated, though the call's", .own = MD5_NULL,
	  .disable_deprecated = true, .want = "" },
};

static void ims_alg_order_case_desc(const struct ims_alg_order_case *c, char *desc)
{
	strscpy(desc, c->name, KUNIT_PARAM_DESC_SIZE);
}

KUNIT_ARRAY_PARAM(ims_alg_order, ims_alg_order_cases, ims_alg_order_case_desc);

static void ims_alg_list_order_test(struct kunit *test)
{
	const struct ims_alg_order_case *c = test->param_value;
	const char *own = c->own ?: "", *allowed = c->allowed ?: "";
	struct ims_alg_prefs prefs = {
		.preferred_alg = c->preferred_alg,
		.preferred_ealg = c->preferred_ealg,
		.disable_deprecated = c->disable_deprecated,
	};
	struct ims_alg_list own_list, order;
	char buf[IMS_IPSEC_ALGORITHMS_MAX];
	int i;

	KUNIT_ASSERT_EQ(test, ims_alg_list_parse(&own_list, own, strlen(own), NULL), 0);
	KUNIT_ASSERT_EQ(test, ims_alg_list_parse(&prefs.allowed, allowed, strlen(allowed), NULL),
			0);
	ims_alg_list_order(&prefs, &own_list, &order);
	ims_alg_list_format(&order, buf, sizeof(buf));
	KUNIT_EXPECT_STREQ(test, buf, c->want);

	/* what may be used is what is in the order */
	for (i = 0; i < IMS_ALG_PAIRS; i++) {
		bool in_order = memchr(order.pair, i, order.n);
		struct netlink_ext_ack extack = {};
		int err = ims_alg_list_check(&prefs, &own_list, &ims_alg_pairs[i], &extack);

		KUNIT_EXPECT_EQ(test, err, in_order ? 0 : -EOPNOTSUPP);
		KUNIT_EXPECT_EQ(test, !!extack._msg, !in_order);
	}
}

static struct kunit_case ims_alg_list_test_cases[] = {
	KUNIT_CASE_PARAM(ims_alg_list_parse_test, ims_alg_list_gen_params),
	KUNIT_CASE(ims_alg_list_bounds_test),
	KUNIT_CASE_PARAM(ims_alg_list_order_test, ims_alg_order_gen_params),
	{}
};

static struct kunit_suite ims_alg_list_test_suite = {
	.name = "ims_ipsec_alg_list",
	.test_cases = ims_alg_list_test_cases,
};

kunit_test_suite(ims_alg_list_test_suite);
