// SPDX-License-Identifier: GPL-2.0-only
/* Lists of pairs of algorithms, and what is preferred. */
#include <linux/kernel.h>
#include <linux/string.h>

#include "alg_list.h"
#include "compat.h"

static bool ims_alg_list_has(const struct ims_alg_list *list, u8 pair)
{
	return memchr(list->pair, pair, list->n);
}

static void ims_alg_list_add_one(struct ims_alg_list *list, u8 pair)
{
	if (!ims_alg_list_has(list, pair))
		list->pair[list->n++] = pair;
}

/* AES-GCM has two spellings, which go together, the one that was meant first. */
static void ims_alg_list_add(struct ims_alg_list *list, u8 pair)
{
	const struct ims_alg *aead = ims_alg_pairs[pair].aead;
	int i;

	ims_alg_list_add_one(list, pair);
	for (i = 0; aead && i < IMS_ALG_PAIRS; i++)
		if (ims_alg_pairs[i].aead == aead)
			ims_alg_list_add_one(list, i);
}

/* Every pair with these, 0 being any, in the built-in order; false if there is none. */
static bool ims_alg_list_add_matching(struct ims_alg_list *list, u32 auth_alg, u32 enc_alg)
{
	bool found = false;
	int i;

	for (i = 0; i < IMS_ALG_PAIRS; i++) {
		if (auth_alg && auth_alg != ims_alg_pairs[i].auth_alg)
			continue;
		if (enc_alg && enc_alg != ims_alg_pairs[i].enc_alg)
			continue;
		ims_alg_list_add(list, i);
		found = true;
	}
	return found;
}

static bool ims_alg_is_blank(char c)
{
	return c == ' ' || c == '\t';
}

static void ims_alg_trim(const char **text, size_t *len)
{
	while (*len && ims_alg_is_blank(**text)) {
		(*text)++;
		(*len)--;
	}
	while (*len && ims_alg_is_blank((*text)[*len - 1]))
		(*len)--;
}

static bool ims_alg_list_add_entry(struct ims_alg_list *list, const char *text, size_t len)
{
	const char *sep = memchr(text, '=', len), *enc;
	u32 auth_alg, enc_alg;
	size_t enc_len;

	if (!sep) {
		/* encryption first: a lone "null" is null encryption */
		enc_alg = ims_alg_enc_find(text, len);
		auth_alg = enc_alg ? 0 : ims_alg_auth_find(text, len);
		return (enc_alg || auth_alg) &&
		       ims_alg_list_add_matching(list, auth_alg, enc_alg);
	}

	enc = sep + 1;
	enc_len = text + len - enc;
	len = sep - text;
	ims_alg_trim(&text, &len);
	ims_alg_trim(&enc, &enc_len);
	auth_alg = ims_alg_auth_find(text, len);
	enc_alg = ims_alg_enc_find(enc, enc_len);
	return auth_alg && enc_alg && ims_alg_list_add_matching(list, auth_alg, enc_alg);
}

/**
 * ims_alg_list_parse() - a list from text
 * @list: gets it
 * @text: entries with commas between them, each "auth=enc", or a lone name, which
 *	stands for its pairs in the built-in order; blanks around names and their
 *	case do not matter; need not end in NUL
 * @len: bytes of it; of 0 the list is empty
 * @extack: gets the reason, may be NULL
 *
 * Return: 0, or -EINVAL if an entry is empty or names no pair.
 */
int ims_alg_list_parse(struct ims_alg_list *list, const char *text, size_t len,
		       struct netlink_ext_ack *extack)
{
	const char *end = text + len, *sep;
	int entry;
	size_t n;

	list->n = 0;
	if (!len)
		return 0;
	for (entry = 1;; entry++, text = sep + 1) {
		sep = memchr(text, ',', end - text);
		n = (sep ?: end) - text;
		ims_alg_trim(&text, &n);
		if (!ims_alg_list_add_entry(list, text, n)) {
			NL_SET_ERR_MSG_FMT(extack, "entry %d is no algorithm, and no pair of them",
					   entry);
			return -EINVAL;
		}
		if (!sep)
			return 0;
	}
}

/**
 * ims_alg_list_format() - a list as text, every pair in full
 * @list: the list
 * @buf: gets it, with NUL
 * @size: of @buf, IMS_IPSEC_ALGORITHMS_MAX is enough for any
 *
 * Return: length without NUL.
 */
size_t ims_alg_list_format(const struct ims_alg_list *list, char *buf, size_t size)
{
	size_t len = 0;
	int i;

	*buf = '\0';
	for (i = 0; i < list->n; i++) {
		const struct ims_alg_pair *pair = &ims_alg_pairs[list->pair[i]];

		len += scnprintf(buf + len, size - len, "%s%s=%s", i ? "," : "",
				 ims_alg_auth_name(pair->auth_alg),
				 ims_alg_enc_name(pair->enc_alg));
	}
	return len;
}

/**
 * ims_alg_list_order() - the pairs that may be used, in order of preference
 * @prefs: what is configured
 * @own: a request's own list, in place of the configured one; NULL or empty: none
 * @order: gets them
 */
void ims_alg_list_order(const struct ims_alg_prefs *prefs, const struct ims_alg_list *own,
			struct ims_alg_list *order)
{
	struct ims_alg_list all = {};
	int i;

	if (own && own->n) {
		all = *own;
	} else if (prefs->allowed.n) {
		all = prefs->allowed;
	} else {
		/* both before one of them, integrity before encryption, before neither */
		if (prefs->preferred_alg && prefs->preferred_ealg)
			ims_alg_list_add_matching(&all, prefs->preferred_alg,
						  prefs->preferred_ealg);
		if (prefs->preferred_alg)
			ims_alg_list_add_matching(&all, prefs->preferred_alg, 0);
		if (prefs->preferred_ealg)
			ims_alg_list_add_matching(&all, 0, prefs->preferred_ealg);
		ims_alg_list_add_matching(&all, 0, 0);
	}

	order->n = 0;
	for (i = 0; i < all.n; i++)
		if (!prefs->disable_deprecated || !ims_alg_pairs[all.pair[i]].deprecated)
			order->pair[order->n++] = all.pair[i];
}

/**
 * ims_alg_list_check() - may a pair be used
 * @prefs: what is configured
 * @own: the request's own list; empty: none
 * @pair: the pair
 * @extack: gets the reason
 *
 * Return: 0, or -EOPNOTSUPP if not.
 */
int ims_alg_list_check(const struct ims_alg_prefs *prefs, const struct ims_alg_list *own,
		       const struct ims_alg_pair *pair, struct netlink_ext_ack *extack)
{
	const struct ims_alg_list *allowed = own->n ? own : &prefs->allowed;
	const bool disabled = prefs->disable_deprecated && pair->deprecated;

	/* those of ims_alg_list_order(), whatever their order; without a list that is all */
	if (!disabled && (!allowed->n || ims_alg_list_has(allowed, pair - ims_alg_pairs)))
		return 0;

	if (disabled)
		NL_SET_ERR_MSG_FMT(extack, "%s=%s: deprecated algorithms are disabled",
				   ims_alg_auth_name(pair->auth_alg),
				   ims_alg_enc_name(pair->enc_alg));
	else
		NL_SET_ERR_MSG_FMT(extack, "%s=%s is not one of allowed_algorithms",
				   ims_alg_auth_name(pair->auth_alg),
				   ims_alg_enc_name(pair->enc_alg));
	return -EOPNOTSUPP;
}
