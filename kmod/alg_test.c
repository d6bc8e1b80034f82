// SPDX-License-Identifier: GPL-2.0-only
#include <kunit/test.h>
#include <linux/kernel.h>
#include <linux/netlink.h>
#include <linux/string.h>

#include "alg.h"

/*
 * Keys of a public trace, those of test set 1 of TS 35.208, and the two ends.
 * What is derived was computed with OpenSSL:
 *
 *	printf '\x58AES_GMAC_SALT\x00\x0d' |
 *		openssl dgst -sha256 -mac HMAC -macopt hexkey:$CK$IK | tail -c 9
 *	printf '\x59AES_GCM_SALT\x00\x0c' |
 *		openssl dgst -sha256 -mac HMAC -macopt hexkey:$CK$IK | tail -c 9
 *
 * and for each half of CK, the first one being the third key too:
 *
 *	python3 -c 'import ctypes, sys
 *	half = ctypes.create_string_buffer(bytes.fromhex(sys.argv[1]), 8)
 *	ctypes.CDLL("libcrypto.so.3").DES_set_odd_parity(half)
 *	print(half.raw.hex())' $HALF
 */
struct ims_alg_vector {
	const char *name;
	const char *ck;
	const char *ik;
	const char *gmac_salt;
	const char *gcm_salt;
	const char *des_ede3;
};

static const struct ims_alg_vector ims_alg_vectors[] = {
	{
		.name = "public trace",
		.ck = "d53c02758b376066fad0af7daa6df765",
		.ik = "e1763cf28cc2e584588800193137ec92",
		.gmac_salt = "7098d183",
		.gcm_salt = "f4f61e05",
		.des_ede3 = "d53d02758a376167fbd0ae7cab6df764d53d02758a376167",
	},
	{
		.name = "TS 35.208 set 1",
		.ck = "b40ba9a3c58b2a05bbf0d987b21bf8cb",
		.ik = "f769bcd751044604127672711c6d3441",
		.gmac_salt = "dbc2b1c2",
		.gcm_salt = "89273db6",
		.des_ede3 = "b50ba8a2c48a2a04baf1d986b31af8cbb50ba8a2c48a2a04",
	},
	{
		.name = "zeroes",
		.ck = "00000000000000000000000000000000",
		.ik = "00000000000000000000000000000000",
		.gmac_salt = "80e2197f",
		.gcm_salt = "6e9e4ab7",
		.des_ede3 = "010101010101010101010101010101010101010101010101",
	},
	{
		.name = "ones",
		.ck = "ffffffffffffffffffffffffffffffff",
		.ik = "ffffffffffffffffffffffffffffffff",
		.gmac_salt = "4f9a6919",
		.gcm_salt = "42171c64",
		.des_ede3 = "fefefefefefefefefefefefefefefefefefefefefefefefe",
	},
};

static void ims_alg_vector_desc(const struct ims_alg_vector *v, char *desc)
{
	strscpy(desc, v->name, KUNIT_PARAM_DESC_SIZE);
}

KUNIT_ARRAY_PARAM(ims_alg_vector, ims_alg_vectors, ims_alg_vector_desc);

/* The key is what two strings of hexadecimal digits say, and zeroes are behind it. */
static void ims_alg_expect_key(struct kunit *test, const u8 *key, size_t key_len,
			       const char *hex, const char *more)
{
	const size_t n = strlen(hex) / 2, m = strlen(more) / 2;
	u8 want[IMS_ALG_KEY_MAX] = {};

	KUNIT_ASSERT_LE(test, n + m, sizeof(want));
	KUNIT_EXPECT_EQ(test, n + m, key_len);
	KUNIT_ASSERT_EQ(test, hex2bin(want, hex, n), 0);
	KUNIT_ASSERT_EQ(test, hex2bin(want + n, more, m), 0);
	KUNIT_EXPECT_EQ(test, memcmp(key, want, sizeof(want)), 0);
}

static void ims_alg_expect_alg(struct kunit *test, const struct ims_alg *alg, const char *name,
			       u16 icv_bits)
{
	KUNIT_ASSERT_NOT_NULL(test, alg);
	KUNIT_EXPECT_STREQ(test, alg->name, name);
	KUNIT_EXPECT_EQ(test, alg->icv_bits, icv_bits);
}

static void ims_alg_expect_auth(struct kunit *test, const struct ims_alg_vector *v,
				const struct ims_alg_pair *pair, const struct ims_alg_keys *keys)
{
	switch (pair->auth_alg) {
	case IMS_IPSEC_AUTH_ALG_HMAC_MD5_96:
		ims_alg_expect_alg(test, pair->auth, "hmac(md5)", 96);
		ims_alg_expect_key(test, keys->auth, pair->auth->key_len, v->ik, "");
		break;
	case IMS_IPSEC_AUTH_ALG_HMAC_SHA_1_96:
		ims_alg_expect_alg(test, pair->auth, "hmac(sha1)", 96);
		ims_alg_expect_key(test, keys->auth, pair->auth->key_len, v->ik, "00000000");
		break;
	default:
		KUNIT_FAIL(test, "auth-alg %u needs an algorithm that does both", pair->auth_alg);
	}
}

static void ims_alg_expect_enc(struct kunit *test, const struct ims_alg_vector *v,
			       const struct ims_alg_pair *pair, const struct ims_alg_keys *keys)
{
	switch (pair->enc_alg) {
	case IMS_IPSEC_ENC_ALG_NULL:
		ims_alg_expect_alg(test, pair->enc, "ecb(cipher_null)", 0);
		ims_alg_expect_key(test, keys->enc, pair->enc->key_len, "", "");
		break;
	case IMS_IPSEC_ENC_ALG_AES_CBC:
		ims_alg_expect_alg(test, pair->enc, "cbc(aes)", 0);
		ims_alg_expect_key(test, keys->enc, pair->enc->key_len, v->ck, "");
		break;
	case IMS_IPSEC_ENC_ALG_DES_EDE3_CBC:
		ims_alg_expect_alg(test, pair->enc, "cbc(des3_ede)", 0);
		ims_alg_expect_key(test, keys->enc, pair->enc->key_len, v->des_ede3, "");
		break;
	default:
		KUNIT_FAIL(test, "enc-alg %u needs an algorithm that does both", pair->enc_alg);
	}
}

/* A4: Annex I, for every pair */
static void ims_alg_expand_test(struct kunit *test)
{
	const struct ims_alg_vector *v = test->param_value;
	u8 ik[IMS_IPSEC_KEY_LEN], ck[IMS_IPSEC_KEY_LEN];
	int i;

	KUNIT_ASSERT_EQ(test, hex2bin(ik, v->ik, sizeof(ik)), 0);
	KUNIT_ASSERT_EQ(test, hex2bin(ck, v->ck, sizeof(ck)), 0);

	for (i = 0; i < IMS_ALG_PAIRS; i++) {
		const struct ims_alg_pair *pair = &ims_alg_pairs[i];
		struct ims_alg_keys keys;

		memset(&keys, 0xa5, sizeof(keys));
		KUNIT_ASSERT_EQ(test, ims_alg_expand(pair, &keys, ik, ck), 0);
		if (!pair->aead) {
			ims_alg_expect_auth(test, v, pair, &keys);
			ims_alg_expect_enc(test, v, pair, &keys);
			continue;
		}
		if (pair->enc_alg == IMS_IPSEC_ENC_ALG_AES_GCM) {
			ims_alg_expect_alg(test, pair->aead, "rfc4106(gcm(aes))", 128);
			ims_alg_expect_key(test, keys.enc, pair->aead->key_len, v->ck,
					   v->gcm_salt);
		} else {
			ims_alg_expect_alg(test, pair->aead, "rfc4543(gcm(aes))", 128);
			ims_alg_expect_key(test, keys.enc, pair->aead->key_len, v->ik,
					   v->gmac_salt);
		}
		ims_alg_expect_key(test, keys.auth, 0, "", "");
	}
}

/* The table of TS 33.203 Annex H, whole and nothing beside it */
static void ims_alg_pair_test(struct kunit *test)
{
	static const bool allowed[][IMS_IPSEC_ENC_ALG_AES_GCM + 1] = {
		[IMS_IPSEC_AUTH_ALG_HMAC_MD5_96] = {
			[IMS_IPSEC_ENC_ALG_NULL] = true,
			[IMS_IPSEC_ENC_ALG_DES_EDE3_CBC] = true,
			[IMS_IPSEC_ENC_ALG_AES_CBC] = true,
		},
		[IMS_IPSEC_AUTH_ALG_HMAC_SHA_1_96] = {
			[IMS_IPSEC_ENC_ALG_NULL] = true,
			[IMS_IPSEC_ENC_ALG_DES_EDE3_CBC] = true,
			[IMS_IPSEC_ENC_ALG_AES_CBC] = true,
		},
		[IMS_IPSEC_AUTH_ALG_AES_GMAC] = {
			[IMS_IPSEC_ENC_ALG_NULL] = true,
			[IMS_IPSEC_ENC_ALG_AES_GCM] = true,
		},
		[IMS_IPSEC_AUTH_ALG_NULL] = {
			[IMS_IPSEC_ENC_ALG_AES_GCM] = true,
		},
	};
	const struct ims_alg_pair *pair;
	u32 auth_alg, enc_alg, n = 0;

	for (auth_alg = 0; auth_alg < ARRAY_SIZE(allowed) + 1; auth_alg++) {
		for (enc_alg = 0; enc_alg < ARRAY_SIZE(allowed[0]) + 1; enc_alg++) {
			bool want = auth_alg < ARRAY_SIZE(allowed) &&
				    enc_alg < ARRAY_SIZE(allowed[0]) &&
				    allowed[auth_alg][enc_alg];
			struct netlink_ext_ack extack = {};

			pair = ims_alg_find_pair(auth_alg, enc_alg, &extack);
			KUNIT_EXPECT_EQ(test, !!pair, want);
			/* an error has a text, and only an error */
			KUNIT_EXPECT_EQ(test, !extack._msg, want);
			if (!pair)
				continue;
			n++;
			KUNIT_EXPECT_EQ(test, pair->auth_alg, auth_alg);
			KUNIT_EXPECT_EQ(test, pair->enc_alg, enc_alg);
			KUNIT_EXPECT_EQ(test, pair->deprecated,
					auth_alg == IMS_IPSEC_AUTH_ALG_HMAC_MD5_96 ||
					enc_alg == IMS_IPSEC_ENC_ALG_DES_EDE3_CBC);
		}
	}
	KUNIT_EXPECT_EQ(test, n, IMS_ALG_PAIRS);
	KUNIT_EXPECT_NULL(test, ims_alg_find_pair(U32_MAX, IMS_IPSEC_ENC_ALG_NULL, NULL));
	KUNIT_EXPECT_NULL(test, ims_alg_find_pair(IMS_IPSEC_AUTH_ALG_HMAC_MD5_96, U32_MAX, NULL));
}

static void ims_alg_name_test(struct kunit *test)
{
	u32 id;

	for (id = 1; id <= IMS_IPSEC_AUTH_ALG_NULL; id++) {
		const char *name = ims_alg_auth_name(id);

		KUNIT_ASSERT_NOT_NULL(test, name);
		KUNIT_EXPECT_EQ(test, ims_alg_auth_find(name, strlen(name)), id);
	}
	for (id = 1; id <= IMS_IPSEC_ENC_ALG_AES_GCM; id++) {
		const char *name = ims_alg_enc_name(id);

		KUNIT_ASSERT_NOT_NULL(test, name);
		KUNIT_EXPECT_EQ(test, ims_alg_enc_find(name, strlen(name)), id);
	}
	KUNIT_EXPECT_STREQ(test, ims_alg_auth_name(IMS_IPSEC_AUTH_ALG_HMAC_SHA_1_96),
			   "hmac-sha-1-96");
	KUNIT_EXPECT_STREQ(test, ims_alg_enc_name(IMS_IPSEC_ENC_ALG_DES_EDE3_CBC),
			   "des-ede3-cbc");
	KUNIT_EXPECT_EQ(test, ims_alg_enc_find("AES-Cbc", 7), IMS_IPSEC_ENC_ALG_AES_CBC);
	KUNIT_EXPECT_EQ(test, ims_alg_enc_find("aes-cbc", 6), 0);
	KUNIT_EXPECT_EQ(test, ims_alg_enc_find("aes-cbcx", 8), 0);
	KUNIT_EXPECT_EQ(test, ims_alg_enc_find("", 0), 0);
	KUNIT_EXPECT_EQ(test, ims_alg_auth_find("aes-gcm", 7), 0);
	KUNIT_EXPECT_NULL(test, ims_alg_auth_name(0));
	KUNIT_EXPECT_NULL(test, ims_alg_auth_name(IMS_IPSEC_AUTH_ALG_NULL + 1));
	KUNIT_EXPECT_NULL(test, ims_alg_enc_name(0));
	KUNIT_EXPECT_NULL(test, ims_alg_enc_name(U32_MAX));
}

static struct kunit_case ims_alg_test_cases[] = {
	KUNIT_CASE_PARAM(ims_alg_expand_test, ims_alg_vector_gen_params),
	KUNIT_CASE(ims_alg_pair_test),
	KUNIT_CASE(ims_alg_name_test),
	{}
};

static struct kunit_suite ims_alg_test_suite = {
	.name = "ims_ipsec_alg",
	.test_cases = ims_alg_test_cases,
};

kunit_test_suite(ims_alg_test_suite);
