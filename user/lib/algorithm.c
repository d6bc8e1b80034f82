// SPDX-License-Identifier: LGPL-2.1-or-later
/* Algorithms: what the configuration allows and the kernel has. */
#include <errno.h>

#include "internal.h"

static int algorithm_attr(const struct nlattr *attr, void *data)
{
	struct imsipsec_algorithm *a = data;
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

int imsipsec_algorithm_parse(const struct nlmsghdr *nlh, struct imsipsec_algorithm *algorithm)
{
	int err;

	*algorithm = (struct imsipsec_algorithm){ 0 };
	err = imsipsec_attr_walk_msg(nlh, algorithm_attr, algorithm);
	if (err)
		return err;
	return algorithm->alg && algorithm->ealg ? 0 : -EBADMSG;
}

struct dump {
	int (*cb)(const struct imsipsec_algorithm *algorithm, void *data);
	void *data;
};

static int dump_reply(struct imsipsec *h, const struct nlmsghdr *nlh, void *data)
{
	const struct dump *dump = data;
	int err = imsipsec_algorithm_parse(nlh, &h->algorithm);

	return err ? err : dump->cb(&h->algorithm, dump->data);
}

int imsipsec_algorithm_dump(struct imsipsec *h,
			    int (*cb)(const struct imsipsec_algorithm *algorithm, void *data),
			    void *data)
{
	struct nlmsghdr *nlh = imsipsec_nl_request(h, IMS_IPSEC_CMD_ALGORITHM_GET, NLM_F_DUMP);
	struct dump dump = { .cb = cb, .data = data };

	return imsipsec_nl_exchange(h, nlh, dump_reply, &dump);
}

struct list {
	struct imsipsec_algs *algs;
	size_t n, room;
};

static int add_usable(const struct imsipsec_algorithm *a, void *data)
{
	struct list *list = data;

	if (!a->rank || !*a->driver)
		return 0;
	if (list->n == list->room)
		return -ENOSPC;
	list->algs[list->n++] = (struct imsipsec_algs){ a->alg, a->ealg };
	return 0;
}

int imsipsec_algs_get(struct imsipsec *h, struct imsipsec_algs *algs, size_t *n)
{
	struct list list = { .algs = algs, .room = *n };
	int err;

	err = imsipsec_algorithm_dump(h, add_usable, &list);
	if (err == -ENOSPC)
		return imsipsec_fail(h, err, "more than %zu pairs of algorithms", *n);
	if (!err)
		*n = list.n;
	return err;
}
