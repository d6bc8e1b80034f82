/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef _IMS_ALG_H
#define _IMS_ALG_H

#include <linux/ims_ipsec.h>
#include <linux/types.h>

/* HMAC-SHA-1 has the longest: IK and 32 zero bits, TS 33.203 Annex I */
#define IMS_ALG_KEY_MAX		20

/**
 * struct ims_alg - one algorithm as the kernel's XFRM knows it
 * @name: its name there, NULL in a gap of the table
 * @key_len: bytes of its ESP key, at most IMS_ALG_KEY_MAX
 * @icv_bits: length of the integrity check value, 0 for encryption
 */
struct ims_alg {
	const char *name;
	u8 key_len;
	u16 icv_bits;
};

const struct ims_alg *ims_alg_auth(u32 auth_alg);
const struct ims_alg *ims_alg_enc(u32 enc_alg);
void ims_alg_expand(const struct ims_alg *alg, u8 *key, const u8 *aka_key);

#endif /* _IMS_ALG_H */
