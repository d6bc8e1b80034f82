/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef _IMS_ALG_LIST_H
#define _IMS_ALG_LIST_H

#include "alg.h"

/**
 * struct ims_alg_list - pairs of algorithms in order of preference
 * @n: how many
 * @pair: their places in ims_alg_pairs, each once
 */
struct ims_alg_list {
	u8 n;
	u8 pair[IMS_ALG_PAIRS];
};

/**
 * struct ims_alg_prefs - which pairs may be used, and which rather
 * @allowed: these, in this order; empty: all
 * @preferred_alg: enum ims_ipsec_auth_alg whose pairs come first, 0 for none; of
 *	no account where @allowed has an order
 * @preferred_ealg: enum ims_ipsec_enc_alg, likewise
 * @disable_deprecated: but none that TS 33.203 has deprecated, whoever names it
 */
struct ims_alg_prefs {
	struct ims_alg_list allowed;
	u8 preferred_alg;
	u8 preferred_ealg;
	bool disable_deprecated;
};

int ims_alg_list_parse(struct ims_alg_list *list, const char *text, size_t len,
		       struct netlink_ext_ack *extack);
size_t ims_alg_list_format(const struct ims_alg_list *list, char *buf, size_t size);
void ims_alg_list_order(const struct ims_alg_prefs *prefs, const struct ims_alg_list *own,
			struct ims_alg_list *order);
int ims_alg_list_check(const struct ims_alg_prefs *prefs, const struct ims_alg_list *own,
		       const struct ims_alg_pair *pair, struct netlink_ext_ack *extack);

#endif /* _IMS_ALG_LIST_H */
