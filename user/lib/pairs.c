// SPDX-License-Identifier: LGPL-2.1-or-later
/* Pairs of an integrity and an encryption algorithm, and lists of them. */
#include <errno.h>
#include <string.h>

#include "internal.h"

/* The kernel's, in its order. A further algorithm is a line here and one in names.c. */
const struct imsipsec_pair imsipsec_pairs[N_PAIRS] = {
	{ IMSIPSEC_ALG_NULL, IMSIPSEC_EALG_AES_GCM },
	{ IMSIPSEC_ALG_AES_GMAC, IMSIPSEC_EALG_AES_GCM },
	{ IMSIPSEC_ALG_AES_GMAC, IMSIPSEC_EALG_NULL },
	{ IMSIPSEC_ALG_HMAC_SHA_1_96, IMSIPSEC_EALG_AES_CBC },
	{ IMSIPSEC_ALG_HMAC_SHA_1_96, IMSIPSEC_EALG_DES_EDE3_CBC },
	{ IMSIPSEC_ALG_HMAC_SHA_1_96, IMSIPSEC_EALG_NULL },
	{ IMSIPSEC_ALG_HMAC_MD5_96, IMSIPSEC_EALG_AES_CBC },
	{ IMSIPSEC_ALG_HMAC_MD5_96, IMSIPSEC_EALG_DES_EDE3_CBC },
	{ IMSIPSEC_ALG_HMAC_MD5_96, IMSIPSEC_EALG_NULL },
};

/* Of the caller's pairs none has what is newer than the library. */
bool imsipsec_pairs_known(const struct imsipsec_pair *pairs, size_t n)
{
	size_t i;

	for (i = 0; i < n; i++)
		if (!imsipsec_is_zero(pairs[i].reserved, sizeof(pairs[i].reserved)))
			return false;
	return true;
}

struct list {
	struct imsipsec_pair *pairs;
	size_t n, room;
};

static int list_add_one(struct list *list, const struct imsipsec_pair *pair)
{
	size_t i;

	for (i = 0; i < list->n; i++)
		if (list->pairs[i].alg == pair->alg && list->pairs[i].ealg == pair->ealg)
			return 0;
	if (list->n == list->room)
		return -ENOSPC;
	list->pairs[list->n++] = *pair;
	return 0;
}

/* AES-GCM has two spellings, which go together, the one that was meant first. */
static int list_add(struct list *list, const struct imsipsec_pair *pair)
{
	int err = list_add_one(list, pair);
	size_t i;

	for (i = 0; !err && pair->ealg == IMSIPSEC_EALG_AES_GCM && i < N_PAIRS; i++)
		if (imsipsec_pairs[i].ealg == pair->ealg)
			err = list_add_one(list, &imsipsec_pairs[i]);
	return err;
}

/* Every pair with this alg (0: any) and this ealg (0: any), in the built-in order. */
static int list_add_matching(struct list *list, enum imsipsec_alg alg, enum imsipsec_ealg ealg)
{
	bool found = false;
	size_t i;
	int err;

	for (i = 0; i < N_PAIRS; i++) {
		const struct imsipsec_pair *pair = &imsipsec_pairs[i];

		if ((alg && alg != pair->alg) || (ealg && ealg != pair->ealg))
			continue;
		found = true;
		err = list_add(list, pair);
		if (err)
			return err;
	}
	return found ? 0 : -EINVAL;
}

static void trim(const char **text, size_t *len)
{
	while (*len && strchr(" \t", **text)) {
		(*text)++;
		(*len)--;
	}
	while (*len && strchr(" \t", (*text)[*len - 1]))
		(*len)--;
}

static int list_add_entry(struct list *list, const char *text, size_t len)
{
	const char *sep = memchr(text, '=', len), *right;
	enum imsipsec_ealg ealg;
	enum imsipsec_alg alg;
	size_t right_len;

	if (sep) {
		right = sep + 1;
		right_len = text + len - right;
		len = sep - text;
		trim(&text, &len);
		trim(&right, &right_len);
		alg = imsipsec_alg_find(text, len);
		ealg = imsipsec_ealg_find(right, right_len);
		if (!alg || !ealg)
			return -EINVAL;
		return list_add_matching(list, alg, ealg);
	}

	trim(&text, &len);
	/* Encryption first: a lone "null" is null encryption. */
	ealg = imsipsec_ealg_find(text, len);
	if (ealg)
		return list_add_matching(list, 0, ealg);
	alg = imsipsec_alg_find(text, len);
	if (alg)
		return list_add_matching(list, alg, 0);
	return -EINVAL;
}

int imsipsec_pairs_parse(const char *text, struct imsipsec_pair *pairs, size_t *n)
{
	struct list list = { .pairs = pairs, .room = *n };
	bool more = *text;
	size_t len;
	int err;

	if (strlen(text) > IMS_IPSEC_ALGORITHMS_MAX)
		return -EINVAL;
	while (more) {
		len = strcspn(text, ",");
		err = list_add_entry(&list, text, len);
		if (err)
			return err;
		more = text[len];
		text += len + more;
	}
	*n = list.n;
	return 0;
}
