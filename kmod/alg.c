// SPDX-License-Identifier: GPL-2.0-only
/* Algorithms of ipsec-3gpp and their key expansion (TS 33.203 Annex I). */
#include <crypto/hash.h>
#include <crypto/sha2.h>
#include <linux/bitops.h>
#include <linux/err.h>
#include <linux/kernel.h>
#include <linux/string.h>

#include "alg.h"
#include "compat.h"

/* Bytes of the salt behind the key of RFC 4106 and RFC 4543 */
#define IMS_ALG_SALT_LEN	4

static const char *const ims_alg_auth_names[] = {
	[IMS_IPSEC_AUTH_ALG_HMAC_MD5_96] = "hmac-md5-96",
	[IMS_IPSEC_AUTH_ALG_HMAC_SHA_1_96] = "hmac-sha-1-96",
	[IMS_IPSEC_AUTH_ALG_AES_GMAC] = "aes-gmac",
	[IMS_IPSEC_AUTH_ALG_NULL] = "null",
};

static const char *const ims_alg_enc_names[] = {
	[IMS_IPSEC_ENC_ALG_NULL] = "null",
	[IMS_IPSEC_ENC_ALG_AES_CBC] = "aes-cbc",
	[IMS_IPSEC_ENC_ALG_DES_EDE3_CBC] = "des-ede3-cbc",
	[IMS_IPSEC_ENC_ALG_AES_GCM] = "aes-gcm",
};

static int ims_alg_expand_ik(u8 *key, const u8 *ik, const u8 *ck)
{
	memcpy(key, ik, IMS_IPSEC_KEY_LEN);
	return 0;
}

/* 160 bits: 32 zero bits behind IK */
static int ims_alg_expand_sha1(u8 *key, const u8 *ik, const u8 *ck)
{
	memcpy(key, ik, IMS_IPSEC_KEY_LEN);
	memset(key + IMS_IPSEC_KEY_LEN, 0, 4);
	return 0;
}

static int ims_alg_expand_ck(u8 *key, const u8 *ik, const u8 *ck)
{
	memcpy(key, ck, IMS_IPSEC_KEY_LEN);
	return 0;
}

/* The halves of CK are the first and the second key, and the first is the third too. */
static int ims_alg_expand_3des(u8 *key, const u8 *ik, const u8 *ck)
{
	int i;

	memcpy(key, ck, 16);
	memcpy(key + 16, ck, 8);
	/* the lowest bit of each byte of a key of DES makes its parity odd */
	for (i = 0; i < 24; i++)
		if (!(hweight8(key[i]) & 1))
			key[i] ^= 1;
	return 0;
}

/* Has no key, so that all use it at once; NULL: the kernel has none */
static struct crypto_shash *ims_alg_kdf;

/**
 * ims_alg_init() - get what keys are derived by
 *
 * To look SHA-256 up for each bundle would take as long as to make an SA. Where the kernel
 * has none, bundles that need it are refused.
 *
 * Context: process, sleeps.
 */
void ims_alg_init(void)
{
	struct crypto_shash *tfm = crypto_alloc_shash("sha256", 0, 0);

	ims_alg_kdf = IS_ERR(tfm) ? NULL : tfm;
}

/**
 * ims_alg_exit() - the reverse
 *
 * Context: process, sleeps.
 */
void ims_alg_exit(void)
{
	crypto_free_shash(ims_alg_kdf);
}

/*
 * HMAC-SHA-256 (RFC 2104) of 32 bytes at most; the key is that of CK and IK. @digest: gets it
 *
 * The kernel's hmac(sha256) keeps what it has made of a key until it is given another one, which
 * takes as long as all of this, and all would wait for each other for it.
 */
static int ims_alg_hmac(u8 *digest, const u8 *key, const u8 *s, size_t len)
{
	struct {
		u8 key[SHA256_BLOCK_SIZE];
		u8 text[SHA256_DIGEST_SIZE];
	} in = {};
	int err, i;

	if (!ims_alg_kdf)
		return -ENOENT;
	memcpy(in.key, key, 2 * IMS_IPSEC_KEY_LEN);
	memcpy(in.text, s, len);
	for (i = 0; i < sizeof(in.key); i++)
		in.key[i] ^= 0x36;
	err = crypto_shash_tfm_digest(ims_alg_kdf, in.key, sizeof(in.key) + len, digest);
	if (!err) {
		for (i = 0; i < sizeof(in.key); i++)
			in.key[i] ^= 0x36 ^ 0x5c;
		memcpy(in.text, digest, sizeof(in.text));
		err = crypto_shash_tfm_digest(ims_alg_kdf, in.key, sizeof(in), digest);
	}
	memzero_explicit(&in, sizeof(in));
	return err;
}

/*
 * The key derivation function of TS 33.220 Annex B, of whose 256 bits the salt
 * is the last 32: HMAC-SHA-256 keyed with CK and IK, of FC || P0 || L0.
 */
static int ims_alg_salt(u8 *salt, u8 fc, const char *p0, const u8 *ik, const u8 *ck)
{
	u8 key[2 * IMS_IPSEC_KEY_LEN], digest[SHA256_DIGEST_SIZE], s[32];
	const size_t len = strlen(p0);
	int err;

	s[0] = fc;
	memcpy(s + 1, p0, len);
	s[1 + len] = 0;
	s[2 + len] = len;
	memcpy(key, ck, IMS_IPSEC_KEY_LEN);
	memcpy(key + IMS_IPSEC_KEY_LEN, ik, IMS_IPSEC_KEY_LEN);

	err = ims_alg_hmac(digest, key, s, len + 3);
	if (!err)
		memcpy(salt, digest + sizeof(digest) - IMS_ALG_SALT_LEN, IMS_ALG_SALT_LEN);
	memzero_explicit(key, sizeof(key));
	memzero_explicit(digest, sizeof(digest));
	return err;
}

static int ims_alg_expand_gmac(u8 *key, const u8 *ik, const u8 *ck)
{
	memcpy(key, ik, IMS_IPSEC_KEY_LEN);
	return ims_alg_salt(key + IMS_IPSEC_KEY_LEN, 0x58, "AES_GMAC_SALT", ik, ck);
}

static int ims_alg_expand_gcm(u8 *key, const u8 *ik, const u8 *ck)
{
	memcpy(key, ck, IMS_IPSEC_KEY_LEN);
	return ims_alg_salt(key + IMS_IPSEC_KEY_LEN, 0x59, "AES_GCM_SALT", ik, ck);
}

static const struct ims_alg ims_alg_md5 = {
	.name = "hmac(md5)", .key_len = 16, .icv_bits = 96, .expand = ims_alg_expand_ik,
};

static const struct ims_alg ims_alg_sha1 = {
	.name = "hmac(sha1)", .key_len = 20, .icv_bits = 96, .expand = ims_alg_expand_sha1,
};

static const struct ims_alg ims_alg_null = {
	.name = "ecb(cipher_null)",
};

static const struct ims_alg ims_alg_cbc = {
	.name = "cbc(aes)", .key_len = 16, .expand = ims_alg_expand_ck,
};

static const struct ims_alg ims_alg_3des = {
	.name = "cbc(des3_ede)", .key_len = 24, .expand = ims_alg_expand_3des,
};

static const struct ims_alg ims_alg_gmac = {
	.name = "rfc4543(gcm(aes))", .key_len = 20, .icv_bits = 128,
	.expand = ims_alg_expand_gmac,
};

static const struct ims_alg ims_alg_gcm = {
	.name = "rfc4106(gcm(aes))", .key_len = 20, .icv_bits = 128,
	.expand = ims_alg_expand_gcm,
};

const struct ims_alg_pair ims_alg_pairs[IMS_ALG_PAIRS] = {
	{
		.auth_alg = IMS_IPSEC_AUTH_ALG_NULL, .enc_alg = IMS_IPSEC_ENC_ALG_AES_GCM,
		.aead = &ims_alg_gcm,
	},
	/* another spelling of the first, which phones use */
	{
		.auth_alg = IMS_IPSEC_AUTH_ALG_AES_GMAC, .enc_alg = IMS_IPSEC_ENC_ALG_AES_GCM,
		.aead = &ims_alg_gcm,
	},
	{
		.auth_alg = IMS_IPSEC_AUTH_ALG_AES_GMAC, .enc_alg = IMS_IPSEC_ENC_ALG_NULL,
		.aead = &ims_alg_gmac,
	},
	{
		.auth_alg = IMS_IPSEC_AUTH_ALG_HMAC_SHA_1_96, .enc_alg = IMS_IPSEC_ENC_ALG_AES_CBC,
		.auth = &ims_alg_sha1, .enc = &ims_alg_cbc,
		.both = "authenc(hmac(sha1),cbc(aes))",
	},
	{
		.auth_alg = IMS_IPSEC_AUTH_ALG_HMAC_SHA_1_96,
		.enc_alg = IMS_IPSEC_ENC_ALG_DES_EDE3_CBC,
		.auth = &ims_alg_sha1, .enc = &ims_alg_3des, .deprecated = true,
		.both = "authenc(hmac(sha1),cbc(des3_ede))",
	},
	{
		.auth_alg = IMS_IPSEC_AUTH_ALG_HMAC_SHA_1_96, .enc_alg = IMS_IPSEC_ENC_ALG_NULL,
		.auth = &ims_alg_sha1, .enc = &ims_alg_null,
	},
	{
		.auth_alg = IMS_IPSEC_AUTH_ALG_HMAC_MD5_96, .enc_alg = IMS_IPSEC_ENC_ALG_AES_CBC,
		.auth = &ims_alg_md5, .enc = &ims_alg_cbc, .deprecated = true,
		.both = "authenc(hmac(md5),cbc(aes))",
	},
	{
		.auth_alg = IMS_IPSEC_AUTH_ALG_HMAC_MD5_96,
		.enc_alg = IMS_IPSEC_ENC_ALG_DES_EDE3_CBC,
		.auth = &ims_alg_md5, .enc = &ims_alg_3des, .deprecated = true,
		.both = "authenc(hmac(md5),cbc(des3_ede))",
	},
	{
		.auth_alg = IMS_IPSEC_AUTH_ALG_HMAC_MD5_96, .enc_alg = IMS_IPSEC_ENC_ALG_NULL,
		.auth = &ims_alg_md5, .enc = &ims_alg_null, .deprecated = true,
	},
};

/**
 * ims_alg_auth_name() - "alg" of RFC 3329
 * @auth_alg: enum ims_ipsec_auth_alg, any value
 *
 * Return: the name, or NULL if there is none.
 */
const char *ims_alg_auth_name(u32 auth_alg)
{
	return auth_alg < ARRAY_SIZE(ims_alg_auth_names) ? ims_alg_auth_names[auth_alg] : NULL;
}

/**
 * ims_alg_enc_name() - "ealg" of RFC 3329
 * @enc_alg: enum ims_ipsec_enc_alg, any value
 *
 * Return: the name, or NULL if there is none.
 */
const char *ims_alg_enc_name(u32 enc_alg)
{
	return enc_alg < ARRAY_SIZE(ims_alg_enc_names) ? ims_alg_enc_names[enc_alg] : NULL;
}

static u32 ims_alg_find(const char *const *names, u32 n, const char *name, size_t len)
{
	u32 i;

	for (i = 1; i < n; i++)
		if (strlen(names[i]) == len && !strncasecmp(names[i], name, len))
			return i;
	return 0;
}

/**
 * ims_alg_auth_find() - the integrity algorithm that has a name
 * @name: the name, in any case
 * @len: bytes of it
 *
 * Return: enum ims_ipsec_auth_alg, 0 if there is none.
 */
u32 ims_alg_auth_find(const char *name, size_t len)
{
	return ims_alg_find(ims_alg_auth_names, ARRAY_SIZE(ims_alg_auth_names), name, len);
}

/**
 * ims_alg_enc_find() - the encryption algorithm that has a name
 * @name: the name, in any case
 * @len: bytes of it
 *
 * Return: enum ims_ipsec_enc_alg, 0 if there is none.
 */
u32 ims_alg_enc_find(const char *name, size_t len)
{
	return ims_alg_find(ims_alg_enc_names, ARRAY_SIZE(ims_alg_enc_names), name, len);
}

/**
 * ims_alg_find_pair() - look a pair of algorithms up
 * @auth_alg: enum ims_ipsec_auth_alg, any value
 * @enc_alg: enum ims_ipsec_enc_alg, any value
 * @extack: gets the reason, may be NULL
 *
 * Return: the pair, or NULL if the two do not go together.
 */
const struct ims_alg_pair *ims_alg_find_pair(u32 auth_alg, u32 enc_alg,
					     struct netlink_ext_ack *extack)
{
	int i;

	for (i = 0; i < IMS_ALG_PAIRS; i++)
		if (ims_alg_pairs[i].auth_alg == auth_alg && ims_alg_pairs[i].enc_alg == enc_alg)
			return &ims_alg_pairs[i];

	if (enc_alg == IMS_IPSEC_ENC_ALG_AES_GCM)
		NL_SET_ERR_MSG(extack, "aes-gcm goes with null or aes-gmac alone");
	else if (auth_alg == IMS_IPSEC_AUTH_ALG_AES_GMAC)
		NL_SET_ERR_MSG(extack, "aes-gmac goes with null or aes-gcm alone");
	else if (auth_alg == IMS_IPSEC_AUTH_ALG_NULL)
		NL_SET_ERR_MSG(extack, "without integrity there is aes-gcm alone");
	else
		NL_SET_ERR_MSG(extack, "no such algorithm");
	return NULL;
}

/**
 * ims_alg_expand() - make the ESP keys of a pair
 * @pair: the pair
 * @keys: gets the keys, zeroes behind them; the caller wipes it, also on error
 * @ik: IK, IMS_IPSEC_KEY_LEN bytes
 * @ck: CK, IMS_IPSEC_KEY_LEN bytes
 *
 * Context: process, sleeps.
 * Return: 0, or what the kernel's HMAC-SHA-256 gives: -ENOENT without it.
 */
int ims_alg_expand(const struct ims_alg_pair *pair, struct ims_alg_keys *keys,
		   const u8 *ik, const u8 *ck)
{
	int err = 0;

	memset(keys, 0, sizeof(*keys));
	if (pair->aead)
		return pair->aead->expand(keys->enc, ik, ck);
	if (pair->auth->expand)
		err = pair->auth->expand(keys->auth, ik, ck);
	if (!err && pair->enc->expand)
		err = pair->enc->expand(keys->enc, ik, ck);
	return err;
}
