// SPDX-License-Identifier: GPL-2.0-only
#include <kunit/test.h>

#include "alg.h"

/*
 * Keys of a public trace. The expanded ones by hand, TS 33.203 Annex I: IK and
 * CK as they are, IK with 32 zero bits behind it for HMAC-SHA-1-96.
 */
static const u8 ims_alg_ck[] = {
	0xd5, 0x3c, 0x02, 0x75, 0x8b, 0x37, 0x60, 0x66,
	0xfa, 0xd0, 0xaf, 0x7d, 0xaa, 0x6d, 0xf7, 0x65,
};

static const u8 ims_alg_ik[] = {
	0xe1, 0x76, 0x3c, 0xf2, 0x8c, 0xc2, 0xe5, 0x84,
	0x58, 0x88, 0x00, 0x19, 0x31, 0x37, 0xec, 0x92,
};

static const u8 ims_alg_sha1_key[] = {
	0xe1, 0x76, 0x3c, 0xf2, 0x8c, 0xc2, 0xe5, 0x84,
	0x58, 0x88, 0x00, 0x19, 0x31, 0x37, 0xec, 0x92,
	0x00, 0x00, 0x00, 0x00,
};

struct ims_alg_case {
	const char *name;
	bool auth;
	u32 id;
	const char *kernel_name;
	u16 icv_bits;
	const u8 *key;
	u8 key_len;
};

static const struct ims_alg_case ims_alg_cases[] = {
	{ "hmac-md5-96", true, IMS_IPSEC_AUTH_ALG_HMAC_MD5_96, "hmac(md5)", 96,
	  ims_alg_ik, sizeof(ims_alg_ik) },
	{ "hmac-sha-1-96", true, IMS_IPSEC_AUTH_ALG_HMAC_SHA_1_96, "hmac(sha1)", 96,
	  ims_alg_sha1_key, sizeof(ims_alg_sha1_key) },
	{ "null", false, IMS_IPSEC_ENC_ALG_NULL, "ecb(cipher_null)", 0, ims_alg_ck, 0 },
	{ "aes-cbc", false, IMS_IPSEC_ENC_ALG_AES_CBC, "cbc(aes)", 0,
	  ims_alg_ck, sizeof(ims_alg_ck) },
};

static void ims_alg_case_desc(const struct ims_alg_case *c, char *desc)
{
	strscpy(desc, c->name, KUNIT_PARAM_DESC_SIZE);
}

KUNIT_ARRAY_PARAM(ims_alg, ims_alg_cases, ims_alg_case_desc);

static void ims_alg_expand_test(struct kunit *test)
{
	const struct ims_alg_case *c = test->param_value;
	const struct ims_alg *alg = c->auth ? ims_alg_auth(c->id) : ims_alg_enc(c->id);
	u8 key[IMS_ALG_KEY_MAX + 1];
	int i;

	KUNIT_ASSERT_NOT_NULL(test, alg);
	KUNIT_EXPECT_STREQ(test, alg->name, c->kernel_name);
	KUNIT_EXPECT_EQ(test, alg->icv_bits, c->icv_bits);
	KUNIT_ASSERT_EQ(test, alg->key_len, c->key_len);

	memset(key, 0xa5, sizeof(key));
	ims_alg_expand(alg, key, c->auth ? ims_alg_ik : ims_alg_ck);
	KUNIT_EXPECT_EQ(test, memcmp(key, c->key, c->key_len), 0);
	/* nothing of the other bits, nothing beyond the buffer */
	for (i = c->key_len; i < IMS_ALG_KEY_MAX; i++)
		KUNIT_EXPECT_EQ(test, key[i], 0);
	KUNIT_EXPECT_EQ(test, key[IMS_ALG_KEY_MAX], 0xa5);
}

static void ims_alg_unknown_test(struct kunit *test)
{
	KUNIT_EXPECT_NULL(test, ims_alg_auth(0));
	KUNIT_EXPECT_NULL(test, ims_alg_auth(IMS_IPSEC_AUTH_ALG_HMAC_SHA_1_96 + 1));
	KUNIT_EXPECT_NULL(test, ims_alg_auth(U32_MAX));
	KUNIT_EXPECT_NULL(test, ims_alg_enc(0));
	KUNIT_EXPECT_NULL(test, ims_alg_enc(IMS_IPSEC_ENC_ALG_AES_CBC + 1));
	KUNIT_EXPECT_NULL(test, ims_alg_enc(U32_MAX));
}

static struct kunit_case ims_alg_test_cases[] = {
	KUNIT_CASE_PARAM(ims_alg_expand_test, ims_alg_gen_params),
	KUNIT_CASE(ims_alg_unknown_test),
	{}
};

static struct kunit_suite ims_alg_test_suite = {
	.name = "ims_ipsec_alg",
	.test_cases = ims_alg_test_cases,
};

kunit_test_suite(ims_alg_test_suite);
