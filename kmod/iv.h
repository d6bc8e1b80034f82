/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the module ims_ipsec_iv has for ims_ipsec. It stays loaded while SAs are left of an
 * ims_ipsec that has gone, and serves a newer one then: nothing but pointers and texts is passed,
 * and what one of these functions does is never changed, but under another name.
 */
#ifndef _IMS_IV_H
#define _IMS_IV_H

#include <linux/types.h>

struct crypto_aead;
struct ims_iv_group;

const char *ims_iv_name(const char *geniv);
struct ims_iv_group *ims_iv_begin(void);
void ims_iv_end(struct ims_iv_group *group);
bool ims_iv_show_driver(struct crypto_aead *aead, char *buf, size_t size);

#endif /* _IMS_IV_H */
