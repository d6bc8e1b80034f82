// SPDX-License-Identifier: LGPL-2.1-or-later
/* Bundles: the four SAs of a registration. */
#include <errno.h>
#include <string.h>

#include "internal.h"

static int bundle_attr(const struct nlattr *attr, void *data)
{
	struct imsipsec_bundle *b = data;
	uint32_t value = 0;
	int err;

	switch (mnl_attr_get_type(attr)) {
	case IMS_IPSEC_A_BUNDLE_ID:
		return imsipsec_attr_u32(attr, &b->id);
	case IMS_IPSEC_A_BUNDLE_ENDPOINT:
		return imsipsec_attr_u32(attr, &b->endpoint);
	case IMS_IPSEC_A_BUNDLE_OWNER:
		return imsipsec_attr_bytes(attr, b->owner, sizeof(b->owner), &b->owner_len);
	case IMS_IPSEC_A_BUNDLE_CONTACT:
		return imsipsec_attr_bytes(attr, b->contact, sizeof(b->contact), &b->contact_len);
	case IMS_IPSEC_A_BUNDLE_STATE:
		err = imsipsec_attr_u32(attr, &value);
		b->state = value;
		return err;
	case IMS_IPSEC_A_BUNDLE_ADDRESS:
		return imsipsec_attr_addr(attr, &b->address);
	case IMS_IPSEC_A_BUNDLE_PORT_PC:
		return imsipsec_attr_be16(attr, &b->port_pc);
	case IMS_IPSEC_A_BUNDLE_PORT_PS:
		return imsipsec_attr_be16(attr, &b->port_ps);
	case IMS_IPSEC_A_BUNDLE_SPI_PC:
		return imsipsec_attr_be32(attr, &b->spi_pc);
	case IMS_IPSEC_A_BUNDLE_SPI_PS:
		return imsipsec_attr_be32(attr, &b->spi_ps);
	case IMS_IPSEC_A_BUNDLE_UE_ADDRESS:
		return imsipsec_attr_addr(attr, &b->ue_address);
	case IMS_IPSEC_A_BUNDLE_PORT_UC:
		return imsipsec_attr_be16(attr, &b->port_uc);
	case IMS_IPSEC_A_BUNDLE_PORT_US:
		return imsipsec_attr_be16(attr, &b->port_us);
	case IMS_IPSEC_A_BUNDLE_SPI_UC:
		return imsipsec_attr_be32(attr, &b->spi_uc);
	case IMS_IPSEC_A_BUNDLE_SPI_US:
		return imsipsec_attr_be32(attr, &b->spi_us);
	case IMS_IPSEC_A_BUNDLE_MODE:
		err = imsipsec_attr_u32(attr, &value);
		b->mode = value;
		return err;
	case IMS_IPSEC_A_BUNDLE_AUTH_ALG:
		err = imsipsec_attr_u32(attr, &value);
		b->alg = value;
		return err;
	case IMS_IPSEC_A_BUNDLE_ENC_ALG:
		err = imsipsec_attr_u32(attr, &value);
		b->ealg = value;
		return err;
	case IMS_IPSEC_A_BUNDLE_LIFETIME:
		return imsipsec_attr_u64(attr, &b->lifetime);
	case IMS_IPSEC_A_BUNDLE_RX_PACKETS:
		return imsipsec_attr_u64(attr, &b->rx_packets);
	case IMS_IPSEC_A_BUNDLE_RX_BYTES:
		return imsipsec_attr_u64(attr, &b->rx_bytes);
	case IMS_IPSEC_A_BUNDLE_TX_PACKETS:
		return imsipsec_attr_u64(attr, &b->tx_packets);
	case IMS_IPSEC_A_BUNDLE_TX_BYTES:
		return imsipsec_attr_u64(attr, &b->tx_bytes);
	case IMS_IPSEC_A_BUNDLE_REGISTRATION:
		return imsipsec_attr_u32(attr, &b->registration);
	case IMS_IPSEC_A_BUNDLE_MARK:
		return imsipsec_attr_u32(attr, &b->mark);
	case IMS_IPSEC_A_BUNDLE_UE_NAT_ADDRESS:
		return imsipsec_attr_addr(attr, &b->ue_nat_address);
	case IMS_IPSEC_A_BUNDLE_UE_NAT_PORT:
		return imsipsec_attr_be16(attr, &b->ue_nat_port);
	case IMS_IPSEC_A_BUNDLE_UNMARKED:
		b->unmarked = true;
		return 0;
	case IMS_IPSEC_A_BUNDLE_UDP_ONLY:
		b->udp_only = true;
		return 0;
	case IMS_IPSEC_A_BUNDLE_OFFLOAD:
		err = imsipsec_attr_u32(attr, &value);
		b->offload = value;
		return err;
	case IMS_IPSEC_A_BUNDLE_OFFLOAD_REASON:
		err = imsipsec_attr_u32(attr, &value);
		b->offload_reason = value;
		return err;
	case IMS_IPSEC_A_BUNDLE_OFFLOAD_INTERFACE:
		return imsipsec_attr_text(attr, b->offload_interface,
					  sizeof(b->offload_interface));
	case IMS_IPSEC_A_BUNDLE_LAST_RX:
		return imsipsec_attr_u64(attr, &b->last_rx_ms);
	case IMS_IPSEC_A_BUNDLE_LAST_TX:
		return imsipsec_attr_u64(attr, &b->last_tx_ms);
	case IMS_IPSEC_A_BUNDLE_RX_BAD_ICV:
		return imsipsec_attr_u64(attr, &b->rx_bad_icv);
	case IMS_IPSEC_A_BUNDLE_RX_REPLAYED:
		return imsipsec_attr_u64(attr, &b->rx_replayed);
	case IMS_IPSEC_A_BUNDLE_TCP_ONLY:
		b->tcp_only = true;
		return 0;
	default:
		return 0;
	}
}

/* What is absent where it has not happened */
const struct imsipsec_bundle imsipsec_no_bundle = {
	.last_rx_ms = IMSIPSEC_NEVER,
	.last_tx_ms = IMSIPSEC_NEVER,
};

int imsipsec_bundle_parse(const struct nlmsghdr *nlh, struct imsipsec_bundle *bundle)
{
	int err;

	*bundle = imsipsec_no_bundle;
	err = imsipsec_attr_walk_msg(nlh, bundle_attr, bundle);
	if (err)
		return err;
	return bundle->id ? 0 : -EBADMSG;
}

int imsipsec_bundle_parse_nest(const struct nlattr *nest, struct imsipsec_bundle *bundle)
{
	int err;

	*bundle = imsipsec_no_bundle;
	err = imsipsec_attr_walk_nest(nest, bundle_attr, bundle);
	if (err)
		return err;
	return bundle->id ? 0 : -EBADMSG;
}

static int bundle_reply(struct imsipsec *h, const struct nlmsghdr *nlh, void *data)
{
	(void)data;
	return imsipsec_bundle_parse(nlh, &h->bundle);
}

/* A request that is answered with one bundle. */
static int exchange_one(struct imsipsec *h, struct nlmsghdr *nlh,
			const struct imsipsec_bundle **bundle)
{
	int err;

	err = imsipsec_nl_get(h, nlh, bundle_reply, NULL);
	if (!err && bundle)
		*bundle = &h->bundle;
	return err;
}

static int put_params(struct imsipsec *h, struct nlmsghdr *nlh,
		      const struct imsipsec_bundle_params *p)
{
	int err;

	mnl_attr_put_u32(nlh, IMS_IPSEC_A_BUNDLE_ENDPOINT, p->endpoint);
	err = imsipsec_put_bytes(h, nlh, IMS_IPSEC_A_BUNDLE_OWNER,
				 p->owner, p->owner_len, IMSIPSEC_OWNER_MAX);
	if (err)
		return err;
	err = imsipsec_put_bytes(h, nlh, IMS_IPSEC_A_BUNDLE_CONTACT,
				 p->contact, p->contact_len, IMSIPSEC_CONTACT_MAX);
	if (err)
		return err;
	err = imsipsec_put_addr(h, nlh, IMS_IPSEC_A_BUNDLE_UE_ADDRESS, &p->ue_address);
	if (err)
		return err;
	imsipsec_put_be16(nlh, IMS_IPSEC_A_BUNDLE_PORT_UC, p->port_uc);
	imsipsec_put_be16(nlh, IMS_IPSEC_A_BUNDLE_PORT_US, p->port_us);
	imsipsec_put_be32(nlh, IMS_IPSEC_A_BUNDLE_SPI_UC, p->spi_uc);
	imsipsec_put_be32(nlh, IMS_IPSEC_A_BUNDLE_SPI_US, p->spi_us);
	if (p->port_pc)
		imsipsec_put_be16(nlh, IMS_IPSEC_A_BUNDLE_PORT_PC, p->port_pc);
	if (p->mode)
		mnl_attr_put_u32(nlh, IMS_IPSEC_A_BUNDLE_MODE, p->mode);
	mnl_attr_put_u32(nlh, IMS_IPSEC_A_BUNDLE_AUTH_ALG, p->alg);
	mnl_attr_put_u32(nlh, IMS_IPSEC_A_BUNDLE_ENC_ALG, p->ealg);
	if (p->allowed_algorithms) {
		err = imsipsec_put_bytes(h, nlh, IMS_IPSEC_A_BUNDLE_ALLOWED_ALGORITHMS,
					 p->allowed_algorithms, strlen(p->allowed_algorithms),
					 IMS_IPSEC_ALGORITHMS_MAX);
		if (err)
			return err;
	}
	if (p->replace)
		mnl_attr_put(nlh, IMS_IPSEC_A_BUNDLE_REPLACE, 0, NULL);
	if (p->ue_nat_address.family) {
		err = imsipsec_put_addr(h, nlh, IMS_IPSEC_A_BUNDLE_UE_NAT_ADDRESS,
					&p->ue_nat_address);
		if (err)
			return err;
	}
	if (p->ue_nat_port)
		imsipsec_put_be16(nlh, IMS_IPSEC_A_BUNDLE_UE_NAT_PORT, p->ue_nat_port);
	if (p->unmarked)
		mnl_attr_put(nlh, IMS_IPSEC_A_BUNDLE_UNMARKED, 0, NULL);
	if (p->cookie)
		mnl_attr_put_u64(nlh, IMS_IPSEC_A_BUNDLE_COOKIE, p->cookie);
	if (p->began_clear)
		mnl_attr_put(nlh, IMS_IPSEC_A_BUNDLE_BEGAN_CLEAR, 0, NULL);
	if (p->over)
		mnl_attr_put_u32(nlh, IMS_IPSEC_A_BUNDLE_OVER, p->over);
	mnl_attr_put(nlh, IMS_IPSEC_A_BUNDLE_IK, sizeof(p->ik), p->ik);
	mnl_attr_put(nlh, IMS_IPSEC_A_BUNDLE_CK, sizeof(p->ck), p->ck);
	return 0;
}

int imsipsec_bundle_new(struct imsipsec *h, const struct imsipsec_bundle_params *params,
			const struct imsipsec_bundle **bundle)
{
	struct nlmsghdr *nlh = imsipsec_nl_request(h, IMS_IPSEC_CMD_BUNDLE_NEW, 0);
	struct imsipsec_bundle_params p;
	int err;

	err = imsipsec_take_in(h, &p, params);
	if (!err)
		err = put_params(h, nlh, &p);
	if (!err)
		err = exchange_one(h, nlh, bundle);
	/* No earlier: an error is explained by means of the request. */
	explicit_bzero(&p, sizeof(p));
	explicit_bzero(h->request, sizeof(h->request));
	return err;
}

int imsipsec_bundle_confirm(struct imsipsec *h, uint32_t id, uint64_t lifetime,
			    enum imsipsec_older older, uint32_t over)
{
	struct nlmsghdr *nlh = imsipsec_nl_request(h, IMS_IPSEC_CMD_BUNDLE_CONFIRM, 0);

	mnl_attr_put_u32(nlh, IMS_IPSEC_A_BUNDLE_ID, id);
	mnl_attr_put_u64(nlh, IMS_IPSEC_A_BUNDLE_LIFETIME, lifetime);
	if (older)
		mnl_attr_put_u32(nlh, IMS_IPSEC_A_BUNDLE_OLDER, older);
	if (over)
		mnl_attr_put_u32(nlh, IMS_IPSEC_A_BUNDLE_OVER, over);
	return imsipsec_nl_exchange(h, nlh, NULL, NULL);
}

int imsipsec_bundle_extend(struct imsipsec *h, uint32_t id, uint64_t lifetime)
{
	struct nlmsghdr *nlh = imsipsec_nl_request(h, IMS_IPSEC_CMD_BUNDLE_EXTEND, 0);

	mnl_attr_put_u32(nlh, IMS_IPSEC_A_BUNDLE_ID, id);
	mnl_attr_put_u64(nlh, IMS_IPSEC_A_BUNDLE_LIFETIME, lifetime);
	return imsipsec_nl_exchange(h, nlh, NULL, NULL);
}

int imsipsec_bundle_delete(struct imsipsec *h, uint32_t id, uint64_t linger)
{
	struct nlmsghdr *nlh = imsipsec_nl_request(h, IMS_IPSEC_CMD_BUNDLE_DEL, 0);

	mnl_attr_put_u32(nlh, IMS_IPSEC_A_BUNDLE_ID, id);
	if (linger)
		mnl_attr_put_u64(nlh, IMS_IPSEC_A_BUNDLE_LINGER, linger);
	return imsipsec_nl_exchange(h, nlh, NULL, NULL);
}

int imsipsec_bundle_get(struct imsipsec *h, uint32_t id, const struct imsipsec_bundle **bundle)
{
	struct nlmsghdr *nlh = imsipsec_nl_request(h, IMS_IPSEC_CMD_BUNDLE_GET, 0);

	mnl_attr_put_u32(nlh, IMS_IPSEC_A_BUNDLE_ID, id);
	return exchange_one(h, nlh, bundle);
}

struct dump {
	int (*cb)(const struct imsipsec_bundle *bundle, void *data);
	void *data;
};

static int dump_reply(struct imsipsec *h, const struct nlmsghdr *nlh, void *data)
{
	const struct dump *dump = data;
	int err = imsipsec_bundle_parse(nlh, &h->bundle);

	return err ? err : imsipsec_called(h, dump->cb(&h->bundle, dump->data));
}

static int put_filter(struct imsipsec *h, struct nlmsghdr *nlh,
		      const struct imsipsec_bundle_filter *filter)
{
	struct imsipsec_bundle_filter f;
	int err;

	err = imsipsec_take_in(h, &f, filter);
	if (err)
		return err;
	if (f.endpoint)
		mnl_attr_put_u32(nlh, IMS_IPSEC_A_BUNDLE_ENDPOINT, f.endpoint);
	if (f.owner) {
		err = imsipsec_put_bytes(h, nlh, IMS_IPSEC_A_BUNDLE_OWNER,
					 f.owner, f.owner_len, IMSIPSEC_OWNER_MAX);
		if (err)
			return err;
	}
	if (f.contact) {
		err = imsipsec_put_bytes(h, nlh, IMS_IPSEC_A_BUNDLE_CONTACT,
					 f.contact, f.contact_len, IMSIPSEC_CONTACT_MAX);
		if (err)
			return err;
	}
	if (f.ue_address.family) {
		err = imsipsec_put_addr(h, nlh, IMS_IPSEC_A_BUNDLE_UE_ADDRESS, &f.ue_address);
		if (err)
			return err;
	}
	if (f.state)
		mnl_attr_put_u32(nlh, IMS_IPSEC_A_BUNDLE_STATE, f.state);
	if (f.older_than)
		mnl_attr_put_u32(nlh, IMS_IPSEC_A_BUNDLE_OLDER_THAN, f.older_than);
	return 0;
}

int imsipsec_bundle_dump(struct imsipsec *h, const struct imsipsec_bundle_filter *filter,
			 int (*cb)(const struct imsipsec_bundle *bundle, void *data), void *data)
{
	struct nlmsghdr *nlh = imsipsec_nl_request(h, IMS_IPSEC_CMD_BUNDLE_GET, NLM_F_DUMP);
	struct dump dump = { .cb = cb, .data = data };
	int err;

	if (filter) {
		err = put_filter(h, nlh, filter);
		if (err)
			return err;
	}
	return imsipsec_nl_exchange(h, nlh, dump_reply, &dump);
}

int imsipsec_bundle_claim(struct imsipsec *h, const void *owner, size_t owner_len,
			  int (*cb)(const struct imsipsec_bundle *bundle, void *data), void *data)
{
	const struct imsipsec_bundle_filter filter = {
		/* no owner at all would be all of them */
		.owner = owner ? owner : "",
		.owner_len = owner ? owner_len : 0,
	};

	return imsipsec_bundle_dump(h, &filter, cb, data);
}

static int flushed_attr(const struct nlattr *attr, void *data)
{
	if (mnl_attr_get_type(attr) != IMS_IPSEC_A_BUNDLE_FLUSHED)
		return 0;
	return imsipsec_attr_u32(attr, data);
}

static int flush_reply(struct imsipsec *h, const struct nlmsghdr *nlh, void *data)
{
	(void)h;
	return imsipsec_attr_walk_msg(nlh, flushed_attr, data);
}

int imsipsec_bundle_flush(struct imsipsec *h, const struct imsipsec_bundle_filter *filter,
			  uint64_t linger, uint32_t *count)
{
	struct nlmsghdr *nlh = imsipsec_nl_request(h, IMS_IPSEC_CMD_BUNDLE_FLUSH, 0);
	uint32_t flushed = 0;
	int err;

	if (filter) {
		err = put_filter(h, nlh, filter);
		if (err)
			return err;
	}
	if (linger)
		mnl_attr_put_u64(nlh, IMS_IPSEC_A_BUNDLE_LINGER, linger);
	err = imsipsec_nl_get(h, nlh, flush_reply, &flushed);
	if (!err && count)
		*count = flushed;
	return err;
}

/* ---- Which bundle a message came over, and which to send over -------- */

static int find_one(struct imsipsec *h, struct nlmsghdr *nlh,
		    const struct imsipsec_bundle **bundle)
{
	int err = imsipsec_nl_get(h, nlh, bundle_reply, NULL);

	if (!err && bundle)
		*bundle = &h->bundle;
	return err;
}

int imsipsec_bundle_find_tuple(struct imsipsec *h,
			       const struct imsipsec_addr *local, uint16_t local_port,
			       const struct imsipsec_addr *remote, uint16_t remote_port,
			       const struct imsipsec_bundle **bundle)
{
	struct nlmsghdr *nlh = imsipsec_nl_request(h, IMS_IPSEC_CMD_BUNDLE_FIND, 0);
	int err;

	err = imsipsec_put_addr(h, nlh, IMS_IPSEC_A_BUNDLE_ADDRESS, local);
	if (!err)
		err = imsipsec_put_addr(h, nlh, IMS_IPSEC_A_BUNDLE_UE_ADDRESS, remote);
	if (err)
		return err;
	imsipsec_put_be16(nlh, IMS_IPSEC_A_BUNDLE_LOCAL_PORT, local_port);
	imsipsec_put_be16(nlh, IMS_IPSEC_A_BUNDLE_UE_PORT, remote_port);
	return find_one(h, nlh, bundle);
}

int imsipsec_bundle_find_spi(struct imsipsec *h, uint32_t spi,
			     const struct imsipsec_bundle **bundle)
{
	struct nlmsghdr *nlh = imsipsec_nl_request(h, IMS_IPSEC_CMD_BUNDLE_FIND, 0);

	imsipsec_put_be32(nlh, IMS_IPSEC_A_BUNDLE_SPI, spi);
	return find_one(h, nlh, bundle);
}

int imsipsec_bundle_find_mark(struct imsipsec *h, uint32_t mark,
			      const struct imsipsec_bundle **bundle)
{
	struct nlmsghdr *nlh = imsipsec_nl_request(h, IMS_IPSEC_CMD_BUNDLE_FIND, 0);

	mnl_attr_put_u32(nlh, IMS_IPSEC_A_BUNDLE_MARK, mark);
	return find_one(h, nlh, bundle);
}

int imsipsec_bundle_tx(struct imsipsec *h, uint32_t id, const struct imsipsec_bundle **bundle)
{
	struct nlmsghdr *nlh = imsipsec_nl_request(h, IMS_IPSEC_CMD_BUNDLE_TX, 0);

	mnl_attr_put_u32(nlh, IMS_IPSEC_A_BUNDLE_ID, id);
	return find_one(h, nlh, bundle);
}

int imsipsec_bundle_tx_name(struct imsipsec *h, const void *owner, size_t owner_len,
			    const void *contact, size_t contact_len,
			    const struct imsipsec_bundle **bundle)
{
	struct nlmsghdr *nlh = imsipsec_nl_request(h, IMS_IPSEC_CMD_BUNDLE_TX, 0);
	int err;

	err = imsipsec_put_bytes(h, nlh, IMS_IPSEC_A_BUNDLE_OWNER, owner, owner_len,
				 IMSIPSEC_OWNER_MAX);
	if (!err)
		err = imsipsec_put_bytes(h, nlh, IMS_IPSEC_A_BUNDLE_CONTACT, contact, contact_len,
					 IMSIPSEC_CONTACT_MAX);
	return err ? err : find_one(h, nlh, bundle);
}

int imsipsec_bundle_tx_port(struct imsipsec *h, const struct imsipsec_addr *local,
			    const struct imsipsec_addr *remote, uint16_t remote_port,
			    const struct imsipsec_bundle **bundle)
{
	struct nlmsghdr *nlh = imsipsec_nl_request(h, IMS_IPSEC_CMD_BUNDLE_TX, 0);
	int err = 0;

	if (local && local->family)
		err = imsipsec_put_addr(h, nlh, IMS_IPSEC_A_BUNDLE_ADDRESS, local);
	if (!err)
		err = imsipsec_put_addr(h, nlh, IMS_IPSEC_A_BUNDLE_UE_ADDRESS, remote);
	if (err)
		return err;
	imsipsec_put_be16(nlh, IMS_IPSEC_A_BUNDLE_UE_PORT, remote_port);
	return find_one(h, nlh, bundle);
}
