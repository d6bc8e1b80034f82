/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef _IMS_ALG_H
#define _IMS_ALG_H

#include <linux/ims_ipsec.h>
#include <linux/types.h>

struct netlink_ext_ack;

/* des-ede3-cbc has the longest: three keys of DES */
#define IMS_ALG_KEY_MAX		24

/**
 * struct ims_alg - one algorithm as the kernel's XFRM knows it
 * @name: its name there
 * @key_len: bytes of its ESP key, salt included, at most IMS_ALG_KEY_MAX
 * @icv_bits: length of the integrity check value, 0 for encryption alone
 * @expand: makes its ESP key, @key_len bytes, of IK and CK; NULL if there is none
 */
struct ims_alg {
	const char *name;
	u8 key_len;
	u16 icv_bits;
	int (*expand)(u8 *key, const u8 *ik, const u8 *ck);
};

/**
 * struct ims_alg_pair - an integrity and an encryption algorithm that go together
 * @auth_alg: enum ims_ipsec_auth_alg
 * @enc_alg: enum ims_ipsec_enc_alg
 * @deprecated: TS 33.203 has deprecated one of the two
 * @aead: does both; NULL if two algorithms do
 * @auth: does the first, if @aead does not
 * @enc: does the second, if @aead does not
 * @both: what the kernel's crypto calls the two together, where @enc has IVs; else NULL
 */
struct ims_alg_pair {
	u8 auth_alg;
	u8 enc_alg;
	bool deprecated;
	const struct ims_alg *aead;
	const struct ims_alg *auth;
	const struct ims_alg *enc;
	const char *both;
};

/**
 * struct ims_alg_keys - ESP keys of a pair, to be wiped by who has them
 * @auth: integrity key
 * @enc: encryption key, or that of the algorithm that does both
 */
struct ims_alg_keys {
	u8 auth[IMS_ALG_KEY_MAX];
	u8 enc[IMS_ALG_KEY_MAX];
};

/* How many pairs there are */
#define IMS_ALG_PAIRS		9

/* Every one, in the order in which they are preferred unless something else is said. */
extern const struct ims_alg_pair ims_alg_pairs[IMS_ALG_PAIRS];

void ims_alg_init(void);
void ims_alg_exit(void);
const char *ims_alg_auth_name(u32 auth_alg);
const char *ims_alg_enc_name(u32 enc_alg);
u32 ims_alg_auth_find(const char *name, size_t len);
u32 ims_alg_enc_find(const char *name, size_t len);
const struct ims_alg_pair *ims_alg_find_pair(u32 auth_alg, u32 enc_alg,
					     struct netlink_ext_ack *extack);
int ims_alg_expand(const struct ims_alg_pair *pair, struct ims_alg_keys *keys,
		   const u8 *ik, const u8 *ck);

#endif /* _IMS_ALG_H */
