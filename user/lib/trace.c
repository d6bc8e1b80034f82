// SPDX-License-Identifier: LGPL-2.1-or-later
/* Trace: the last bundles that were refused, and packets that were dropped. */
#include <errno.h>

#include "internal.h"

static int trace_attr(const struct nlattr *attr, void *data)
{
	struct imsipsec_trace *t = data;
	uint32_t value = 0;
	int err;

	switch (mnl_attr_get_type(attr)) {
	case IMS_IPSEC_A_TRACE_UE_ADDRESS:
		return imsipsec_attr_addr(attr, &t->ue_address);
	case IMS_IPSEC_A_TRACE_KIND:
		err = imsipsec_attr_u32(attr, &value);
		t->kind = value;
		return err;
	case IMS_IPSEC_A_TRACE_AGO:
		return imsipsec_attr_u64(attr, &t->ago_ms);
	case IMS_IPSEC_A_TRACE_COUNT:
		return imsipsec_attr_u32(attr, &t->count);
	case IMS_IPSEC_A_TRACE_ENDPOINT:
		return imsipsec_attr_u32(attr, &t->endpoint);
	case IMS_IPSEC_A_TRACE_OWNER:
		return imsipsec_attr_bytes(attr, t->owner, sizeof(t->owner), &t->owner_len);
	case IMS_IPSEC_A_TRACE_CONTACT:
		return imsipsec_attr_bytes(attr, t->contact, sizeof(t->contact), &t->contact_len);
	case IMS_IPSEC_A_TRACE_PORT_UC:
		return imsipsec_attr_be16(attr, &t->port_uc);
	case IMS_IPSEC_A_TRACE_PORT_US:
		return imsipsec_attr_be16(attr, &t->port_us);
	case IMS_IPSEC_A_TRACE_SPI_UC:
		return imsipsec_attr_be32(attr, &t->spi_uc);
	case IMS_IPSEC_A_TRACE_SPI_US:
		return imsipsec_attr_be32(attr, &t->spi_us);
	case IMS_IPSEC_A_TRACE_ERROR:
		err = imsipsec_attr_u32(attr, &value);
		t->error = (int)value;
		return err;
	case IMS_IPSEC_A_TRACE_TEXT:
		return imsipsec_attr_remark(attr, t->text, sizeof(t->text));
	case IMS_IPSEC_A_TRACE_DROP:
		err = imsipsec_attr_u32(attr, &value);
		t->drop = value;
		return err;
	case IMS_IPSEC_A_TRACE_SOURCE:
		return imsipsec_attr_addr(attr, &t->source);
	case IMS_IPSEC_A_TRACE_DESTINATION:
		return imsipsec_attr_addr(attr, &t->destination);
	case IMS_IPSEC_A_TRACE_SOURCE_PORT:
		return imsipsec_attr_be16(attr, &t->source_port);
	case IMS_IPSEC_A_TRACE_DESTINATION_PORT:
		return imsipsec_attr_be16(attr, &t->destination_port);
	case IMS_IPSEC_A_TRACE_PROTOCOL:
		return imsipsec_attr_u8(attr, &t->protocol);
	case IMS_IPSEC_A_TRACE_SPI:
		return imsipsec_attr_be32(attr, &t->spi);
	default:
		return 0;
	}
}

int imsipsec_trace_parse(const struct nlmsghdr *nlh, struct imsipsec_trace *trace)
{
	int err;

	*trace = (struct imsipsec_trace){ 0 };
	err = imsipsec_attr_walk_msg(nlh, trace_attr, trace);
	if (err)
		return err;
	return trace->kind ? 0 : -EBADMSG;
}

struct dump {
	int (*cb)(const struct imsipsec_trace *trace, void *data);
	void *data;
};

static int dump_reply(struct imsipsec *h, const struct nlmsghdr *nlh, void *data)
{
	const struct dump *dump = data;
	int err = imsipsec_trace_parse(nlh, &h->trace);

	return err ? err : imsipsec_called(h, dump->cb(&h->trace, dump->data));
}

int imsipsec_trace_dump(struct imsipsec *h, const struct imsipsec_addr *ue_address,
			int (*cb)(const struct imsipsec_trace *trace, void *data), void *data)
{
	struct nlmsghdr *nlh = imsipsec_nl_request(h, IMS_IPSEC_CMD_TRACE_GET, NLM_F_DUMP);
	struct dump dump = { .cb = cb, .data = data };
	int err;

	if (ue_address) {
		err = imsipsec_put_addr(h, nlh, IMS_IPSEC_A_TRACE_UE_ADDRESS, ue_address);
		if (err)
			return err;
	}
	return imsipsec_nl_exchange(h, nlh, dump_reply, &dump);
}
