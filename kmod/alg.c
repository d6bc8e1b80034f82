// SPDX-License-Identifier: GPL-2.0-only
/* Algorithms of ipsec-3gpp and their key expansion (TS 33.203 Annex I). */
#include <linux/kernel.h>
#include <linux/string.h>

#include "alg.h"

static const struct ims_alg ims_auth_algs[] = {
	[IMS_IPSEC_AUTH_ALG_HMAC_MD5_96] = {
		.name = "hmac(md5)", .key_len = 16, .icv_bits = 96,
	},
	[IMS_IPSEC_AUTH_ALG_HMAC_SHA_1_96] = {
		.name = "hmac(sha1)", .key_len = 20, .icv_bits = 96,
	},
};

static const struct ims_alg ims_enc_algs[] = {
	[IMS_IPSEC_ENC_ALG_NULL] = { .name = "ecb(cipher_null)" },
	[IMS_IPSEC_ENC_ALG_AES_CBC] = { .name = "cbc(aes)", .key_len = 16 },
};

/**
 * ims_alg_auth() - look an integrity algorithm up
 * @auth_alg: enum ims_ipsec_auth_alg, any value
 *
 * Return: the algorithm, or NULL if there is none.
 */
const struct ims_alg *ims_alg_auth(u32 auth_alg)
{
	if (auth_alg >= ARRAY_SIZE(ims_auth_algs) || !ims_auth_algs[auth_alg].name)
		return NULL;
	return &ims_auth_algs[auth_alg];
}

/**
 * ims_alg_enc() - look an encryption algorithm up
 * @enc_alg: enum ims_ipsec_enc_alg, any value
 *
 * Return: the algorithm, or NULL if there is none.
 */
const struct ims_alg *ims_alg_enc(u32 enc_alg)
{
	if (enc_alg >= ARRAY_SIZE(ims_enc_algs) || !ims_enc_algs[enc_alg].name)
		return NULL;
	return &ims_enc_algs[enc_alg];
}

/**
 * ims_alg_expand() - make the ESP key of an algorithm
 * @alg: the algorithm
 * @key: gets the key, room for IMS_ALG_KEY_MAX bytes; the caller wipes it
 * @aka_key: IK for integrity, CK for encryption, IMS_IPSEC_KEY_LEN bytes
 *
 * The key is as much of @aka_key as the algorithm takes; one that takes more
 * gets zero bits after it (Annex I, HMAC-SHA-1-96).
 */
void ims_alg_expand(const struct ims_alg *alg, u8 *key, const u8 *aka_key)
{
	size_t n = min_t(size_t, alg->key_len, IMS_IPSEC_KEY_LEN);

	memset(key, 0, IMS_ALG_KEY_MAX);
	memcpy(key, aka_key, n);
}
