// SPDX-License-Identifier: LGPL-2.1-or-later
/* Pairs of algorithms: what the configuration allows and the kernel has. */
#include <errno.h>

#include "internal.h"

static int pair_attr(const struct nlattr *attr, void *data)
{
	struct imsipsec_pair_info *a = data;
	uint32_t value = 0;
	int err;

	switch (mnl_attr_get_type(attr)) {
	case IMS_IPSEC_A_ALGORITHM_AUTH_ALG:
		err = imsipsec_attr_u32(attr, &value);
		a->alg = value;
		return err;
	case IMS_IPSEC_A_ALGORITHM_ENC_ALG:
		err = imsipsec_attr_u32(attr, &value);
		a->ealg = value;
		return err;
	case IMS_IPSEC_A_ALGORITHM_RANK:
		return imsipsec_attr_u32(attr, &a->rank);
	case IMS_IPSEC_A_ALGORITHM_DEPRECATED:
		a->deprecated = true;
		return 0;
	case IMS_IPSEC_A_ALGORITHM_NAME:
		return imsipsec_attr_text(attr, a->name, sizeof(a->name));
	case IMS_IPSEC_A_ALGORITHM_DRIVER:
		return imsipsec_attr_text(attr, a->driver, sizeof(a->driver));
	default:
		return 0;
	}
}

int imsipsec_pair_info_parse(const struct nlmsghdr *nlh, struct imsipsec_pair_info *pair)
{
	int err;

	*pair = (struct imsipsec_pair_info){ 0 };
	err = imsipsec_attr_walk_msg(nlh, pair_attr, pair);
	if (err)
		return err;
	return pair->alg && pair->ealg ? 0 : -EBADMSG;
}

struct dump {
	int (*cb)(const struct imsipsec_pair_info *pair, void *data);
	void *data;
};

static int dump_reply(struct imsipsec *h, const struct nlmsghdr *nlh, void *data)
{
	const struct dump *dump = data;
	int err = imsipsec_pair_info_parse(nlh, &h->pair);

	return err ? err : imsipsec_called(h, dump->cb(&h->pair, dump->data));
}

int imsipsec_pair_dump(struct imsipsec *h,
		       int (*cb)(const struct imsipsec_pair_info *pair, void *data), void *data)
{
	struct nlmsghdr *nlh = imsipsec_nl_request(h, IMS_IPSEC_CMD_ALGORITHM_GET, NLM_F_DUMP);
	struct dump dump = { .cb = cb, .data = data };

	return imsipsec_nl_exchange(h, nlh, dump_reply, &dump);
}

struct list {
	struct imsipsec_pair *pairs;
	size_t n, room;
};

static int add_usable(const struct imsipsec_pair_info *a, void *data)
{
	struct list *list = data;

	if (!a->rank || !*a->driver)
		return 0;
	if (list->n == list->room)
		return 1;
	list->pairs[list->n++] = (struct imsipsec_pair){ a->alg, a->ealg };
	return 0;
}

int imsipsec_pairs_get(struct imsipsec *h, struct imsipsec_pair *pairs, size_t *n)
{
	struct list list = { .pairs = pairs, .room = *n };
	int err;

	err = imsipsec_pair_dump(h, add_usable, &list);
	if (err > 0)
		return imsipsec_fail(h, -ENOSPC, "more than %zu pairs of algorithms", *n);
	if (!err)
		*n = list.n;
	return err;
}
