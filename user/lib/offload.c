// SPDX-License-Identifier: LGPL-2.1-or-later
/* Offload: which pairs of algorithms an interface can do. */
#include <errno.h>
#include <string.h>

#include "internal.h"

static int offload_attr(const struct nlattr *attr, void *data)
{
	struct imsipsec_offload_pair *p = data;
	uint32_t value = 0;
	int err;

	switch (mnl_attr_get_type(attr)) {
	case IMS_IPSEC_A_OFFLOAD_INTERFACE:
		return imsipsec_attr_text(attr, p->interface, sizeof(p->interface));
	case IMS_IPSEC_A_OFFLOAD_MODE:
		err = imsipsec_attr_u32(attr, &value);
		p->mode = value;
		return err;
	case IMS_IPSEC_A_OFFLOAD_DRIVER:
		return imsipsec_attr_remark(attr, p->driver, sizeof(p->driver));
	case IMS_IPSEC_A_OFFLOAD_AUTH_ALG:
		err = imsipsec_attr_u32(attr, &value);
		p->alg = value;
		return err;
	case IMS_IPSEC_A_OFFLOAD_ENC_ALG:
		err = imsipsec_attr_u32(attr, &value);
		p->ealg = value;
		return err;
	case IMS_IPSEC_A_OFFLOAD_REASON:
		err = imsipsec_attr_u32(attr, &value);
		p->reason = value;
		return err;
	case IMS_IPSEC_A_OFFLOAD_TEXT:
		return imsipsec_attr_remark(attr, p->text, sizeof(p->text));
	default:
		return 0;
	}
}

int imsipsec_offload_parse(const struct nlmsghdr *nlh, struct imsipsec_offload_pair *pair)
{
	int err;

	*pair = (struct imsipsec_offload_pair){ 0 };
	err = imsipsec_attr_walk_msg(nlh, offload_attr, pair);
	if (err)
		return err;
	return pair->alg && pair->ealg ? 0 : -EBADMSG;
}

struct dump {
	int (*cb)(const struct imsipsec_offload_pair *pair, void *data);
	void *data;
};

static int dump_reply(struct imsipsec *h, const struct nlmsghdr *nlh, void *data)
{
	const struct dump *dump = data;
	int err = imsipsec_offload_parse(nlh, &h->offload_pair);

	return err ? err : imsipsec_called(h, dump->cb(&h->offload_pair, dump->data));
}

int imsipsec_offload_dump(struct imsipsec *h, const char *interface, enum imsipsec_offload mode,
			  int (*cb)(const struct imsipsec_offload_pair *pair, void *data),
			  void *data)
{
	struct nlmsghdr *nlh = imsipsec_nl_request(h, IMS_IPSEC_CMD_OFFLOAD_GET, NLM_F_DUMP);
	struct dump dump = { .cb = cb, .data = data };
	int err;

	err = imsipsec_put_bytes(h, nlh, IMS_IPSEC_A_OFFLOAD_INTERFACE, interface,
				 interface ? strlen(interface) : 0, IMS_IPSEC_INTERFACE_MAX);
	if (err)
		return err;
	if (mode)
		mnl_attr_put_u32(nlh, IMS_IPSEC_A_OFFLOAD_MODE, mode);
	return imsipsec_nl_exchange(h, nlh, dump_reply, &dump);
}
