// SPDX-License-Identifier: LGPL-2.1-or-later
/* Configuration of the network namespace. */
#include <errno.h>

#include "internal.h"

#define CONFIG_ALL	((IMSIPSEC_CONFIG_HW_OFFLOAD_REQUIRED << 1) - 1)

/* The pool of client ports: the attribute is there once for each of them. */
static int port_pc_attr(const struct nlattr *attr, struct imsipsec_config *c)
{
	c->set |= IMSIPSEC_CONFIG_PORT_PC;
	if (c->n_port_pc == IMSIPSEC_PORT_PC_MAX)
		return -EBADMSG;
	return imsipsec_attr_be16(attr, &c->port_pc[c->n_port_pc++]);
}

static int config_attr(const struct nlattr *attr, void *data)
{
	struct imsipsec *h = data;
	struct imsipsec_config *c = &h->config;
	uint32_t value = 0;
	uint8_t flag = 0;
	int err;

	switch (mnl_attr_get_type(attr)) {
	case IMS_IPSEC_A_CONFIG_MIN_SPI:
		c->set |= IMSIPSEC_CONFIG_MIN_SPI;
		return imsipsec_attr_be32(attr, &c->min_spi);
	case IMS_IPSEC_A_CONFIG_MAX_SPI:
		c->set |= IMSIPSEC_CONFIG_MAX_SPI;
		return imsipsec_attr_be32(attr, &c->max_spi);
	case IMS_IPSEC_A_CONFIG_TEMPORARY_TIMEOUT:
		c->set |= IMSIPSEC_CONFIG_TEMPORARY_TIMEOUT;
		return imsipsec_attr_u64(attr, &c->temporary_timeout);
	case IMS_IPSEC_A_CONFIG_PORT_PC:
		return port_pc_attr(attr, c);
	case IMS_IPSEC_A_CONFIG_PORT_PS:
		c->set |= IMSIPSEC_CONFIG_PORT_PS;
		return imsipsec_attr_be16(attr, &c->port_ps);
	case IMS_IPSEC_A_CONFIG_MAX_ENDPOINTS:
		c->set |= IMSIPSEC_CONFIG_MAX_ENDPOINTS;
		return imsipsec_attr_u32(attr, &c->max_endpoints);
	case IMS_IPSEC_A_CONFIG_MAX_BUNDLES:
		c->set |= IMSIPSEC_CONFIG_MAX_BUNDLES;
		return imsipsec_attr_u32(attr, &c->max_bundles);
	case IMS_IPSEC_A_CONFIG_MAX_PENDING:
		c->set |= IMSIPSEC_CONFIG_MAX_PENDING;
		return imsipsec_attr_u32(attr, &c->max_pending);
	case IMS_IPSEC_A_CONFIG_ALLOWED_ALGORITHMS:
		c->set |= IMSIPSEC_CONFIG_ALLOWED_ALGORITHMS;
		return imsipsec_attr_text(attr, h->allowed_algorithms,
					  sizeof(h->allowed_algorithms));
	case IMS_IPSEC_A_CONFIG_PREFERRED_ALG:
		c->set |= IMSIPSEC_CONFIG_PREFERRED_ALG;
		err = imsipsec_attr_u32(attr, &value);
		c->preferred_alg = value;
		return err;
	case IMS_IPSEC_A_CONFIG_PREFERRED_EALG:
		c->set |= IMSIPSEC_CONFIG_PREFERRED_EALG;
		err = imsipsec_attr_u32(attr, &value);
		c->preferred_ealg = value;
		return err;
	case IMS_IPSEC_A_CONFIG_DISABLE_DEPRECATED_ALGORITHMS:
		c->set |= IMSIPSEC_CONFIG_DISABLE_DEPRECATED_ALGORITHMS;
		err = imsipsec_attr_u8(attr, &flag);
		c->disable_deprecated_algorithms = flag;
		return err;
	case IMS_IPSEC_A_CONFIG_MAX_SETS:
		c->set |= IMSIPSEC_CONFIG_MAX_SETS;
		return imsipsec_attr_u32(attr, &c->max_sets);
	case IMS_IPSEC_A_CONFIG_OLD_TIMEOUT:
		c->set |= IMSIPSEC_CONFIG_OLD_TIMEOUT;
		return imsipsec_attr_u64(attr, &c->old_timeout);
	case IMS_IPSEC_A_CONFIG_IDLE_TIMEOUT:
		c->set |= IMSIPSEC_CONFIG_IDLE_TIMEOUT;
		return imsipsec_attr_u64(attr, &c->idle_timeout);
	case IMS_IPSEC_A_CONFIG_MARK_MASK:
		c->set |= IMSIPSEC_CONFIG_MARK_MASK;
		return imsipsec_attr_u32(attr, &c->mark_mask);
	case IMS_IPSEC_A_CONFIG_NAT_TRAVERSAL:
		c->set |= IMSIPSEC_CONFIG_NAT_TRAVERSAL;
		err = imsipsec_attr_u8(attr, &flag);
		c->nat_traversal = flag;
		return err;
	case IMS_IPSEC_A_CONFIG_NAT_PORT:
		c->set |= IMSIPSEC_CONFIG_NAT_PORT;
		return imsipsec_attr_be16(attr, &c->nat_port);
	case IMS_IPSEC_A_CONFIG_NAT_FOLLOW_ADDRESS:
		c->set |= IMSIPSEC_CONFIG_NAT_FOLLOW_ADDRESS;
		err = imsipsec_attr_u8(attr, &flag);
		c->nat_follow_address = flag;
		return err;
	case IMS_IPSEC_A_CONFIG_HW_OFFLOAD_INTERFACE:
		c->set |= IMSIPSEC_CONFIG_HW_OFFLOAD_INTERFACE;
		return imsipsec_attr_text(attr, c->hw_offload_interface,
					  sizeof(c->hw_offload_interface));
	case IMS_IPSEC_A_CONFIG_HW_OFFLOAD:
		c->set |= IMSIPSEC_CONFIG_HW_OFFLOAD;
		err = imsipsec_attr_u32(attr, &value);
		c->hw_offload = value;
		return err;
	case IMS_IPSEC_A_CONFIG_HW_OFFLOAD_REQUIRED:
		c->set |= IMSIPSEC_CONFIG_HW_OFFLOAD_REQUIRED;
		err = imsipsec_attr_u8(attr, &flag);
		c->hw_offload_required = flag;
		return err;
	default:
		return 0;
	}
}

int imsipsec_config_parse(struct imsipsec *h, const struct nlmsghdr *nlh)
{
	*h->allowed_algorithms = '\0';
	h->config = (struct imsipsec_config){
		.allowed_algorithms = h->allowed_algorithms,
	};
	return imsipsec_attr_walk_msg(nlh, config_attr, h);
}

static int config_reply(struct imsipsec *h, const struct nlmsghdr *nlh, void *data)
{
	(void)data;
	return imsipsec_config_parse(h, nlh);
}

int imsipsec_config_get(struct imsipsec *h, const struct imsipsec_config **config)
{
	struct nlmsghdr *nlh = imsipsec_nl_request(h, IMS_IPSEC_CMD_CONFIG_GET, 0);
	int err;

	err = imsipsec_nl_get(h, nlh, config_reply, NULL);
	if (!err)
		*config = &h->config;
	return err;
}

static int put_allowed_algorithms(struct imsipsec *h, struct nlmsghdr *nlh, const char *list)
{
	if (!list)
		return imsipsec_fail(h, -EINVAL, "allowed-algorithms: NULL");
	/* Empty, it takes the list away. */
	return imsipsec_put_text(h, nlh, IMS_IPSEC_A_CONFIG_ALLOWED_ALGORITHMS, list,
				 IMS_IPSEC_ALGORITHMS_MAX);
}

static int put_port_pc(struct imsipsec *h, struct nlmsghdr *nlh, const struct imsipsec_config *c)
{
	size_t i;

	if (!c->n_port_pc || c->n_port_pc > IMSIPSEC_PORT_PC_MAX)
		return imsipsec_fail(h, -EINVAL, "port-pc: not 1 to %d", IMSIPSEC_PORT_PC_MAX);
	for (i = 0; i < c->n_port_pc; i++)
		imsipsec_put_be16(nlh, IMS_IPSEC_A_CONFIG_PORT_PC, c->port_pc[i]);
	return 0;
}

int imsipsec_config_set(struct imsipsec *h, const struct imsipsec_config *config)
{
	struct nlmsghdr *nlh = imsipsec_nl_request(h, IMS_IPSEC_CMD_CONFIG_SET, 0);
	struct imsipsec_config c;
	int err;

	err = imsipsec_take_in(h, &c, config);
	if (err)
		return err;
	if (c.set & ~CONFIG_ALL)
		return imsipsec_fail(h, -E2BIG, "made for a newer libimsipsec");

	if (c.set & IMSIPSEC_CONFIG_MIN_SPI)
		imsipsec_put_be32(nlh, IMS_IPSEC_A_CONFIG_MIN_SPI, c.min_spi);
	if (c.set & IMSIPSEC_CONFIG_MAX_SPI)
		imsipsec_put_be32(nlh, IMS_IPSEC_A_CONFIG_MAX_SPI, c.max_spi);
	if (c.set & IMSIPSEC_CONFIG_TEMPORARY_TIMEOUT)
		mnl_attr_put_u64(nlh, IMS_IPSEC_A_CONFIG_TEMPORARY_TIMEOUT, c.temporary_timeout);
	if (c.set & IMSIPSEC_CONFIG_PORT_PC) {
		err = put_port_pc(h, nlh, &c);
		if (err)
			return err;
	}
	if (c.set & IMSIPSEC_CONFIG_PORT_PS)
		imsipsec_put_be16(nlh, IMS_IPSEC_A_CONFIG_PORT_PS, c.port_ps);
	if (c.set & IMSIPSEC_CONFIG_MAX_ENDPOINTS)
		mnl_attr_put_u32(nlh, IMS_IPSEC_A_CONFIG_MAX_ENDPOINTS, c.max_endpoints);
	if (c.set & IMSIPSEC_CONFIG_MAX_BUNDLES)
		mnl_attr_put_u32(nlh, IMS_IPSEC_A_CONFIG_MAX_BUNDLES, c.max_bundles);
	if (c.set & IMSIPSEC_CONFIG_MAX_PENDING)
		mnl_attr_put_u32(nlh, IMS_IPSEC_A_CONFIG_MAX_PENDING, c.max_pending);
	if (c.set & IMSIPSEC_CONFIG_ALLOWED_ALGORITHMS) {
		err = put_allowed_algorithms(h, nlh, c.allowed_algorithms);
		if (err)
			return err;
	}
	if (c.set & IMSIPSEC_CONFIG_PREFERRED_ALG)
		mnl_attr_put_u32(nlh, IMS_IPSEC_A_CONFIG_PREFERRED_ALG, c.preferred_alg);
	if (c.set & IMSIPSEC_CONFIG_PREFERRED_EALG)
		mnl_attr_put_u32(nlh, IMS_IPSEC_A_CONFIG_PREFERRED_EALG, c.preferred_ealg);
	if (c.set & IMSIPSEC_CONFIG_DISABLE_DEPRECATED_ALGORITHMS)
		mnl_attr_put_u8(nlh, IMS_IPSEC_A_CONFIG_DISABLE_DEPRECATED_ALGORITHMS,
				c.disable_deprecated_algorithms);
	if (c.set & IMSIPSEC_CONFIG_MAX_SETS)
		mnl_attr_put_u32(nlh, IMS_IPSEC_A_CONFIG_MAX_SETS, c.max_sets);
	if (c.set & IMSIPSEC_CONFIG_OLD_TIMEOUT)
		mnl_attr_put_u64(nlh, IMS_IPSEC_A_CONFIG_OLD_TIMEOUT, c.old_timeout);
	if (c.set & IMSIPSEC_CONFIG_IDLE_TIMEOUT)
		mnl_attr_put_u64(nlh, IMS_IPSEC_A_CONFIG_IDLE_TIMEOUT, c.idle_timeout);
	if (c.set & IMSIPSEC_CONFIG_MARK_MASK)
		mnl_attr_put_u32(nlh, IMS_IPSEC_A_CONFIG_MARK_MASK, c.mark_mask);
	if (c.set & IMSIPSEC_CONFIG_NAT_TRAVERSAL)
		mnl_attr_put_u8(nlh, IMS_IPSEC_A_CONFIG_NAT_TRAVERSAL, c.nat_traversal);
	if (c.set & IMSIPSEC_CONFIG_NAT_PORT)
		imsipsec_put_be16(nlh, IMS_IPSEC_A_CONFIG_NAT_PORT, c.nat_port);
	if (c.set & IMSIPSEC_CONFIG_NAT_FOLLOW_ADDRESS)
		mnl_attr_put_u8(nlh, IMS_IPSEC_A_CONFIG_NAT_FOLLOW_ADDRESS,
				c.nat_follow_address);
	if (c.set & IMSIPSEC_CONFIG_HW_OFFLOAD_INTERFACE) {
		err = imsipsec_put_text(h, nlh, IMS_IPSEC_A_CONFIG_HW_OFFLOAD_INTERFACE,
					c.hw_offload_interface, IMS_IPSEC_INTERFACE_MAX);
		if (err)
			return err;
	}
	if (c.set & IMSIPSEC_CONFIG_HW_OFFLOAD)
		mnl_attr_put_u32(nlh, IMS_IPSEC_A_CONFIG_HW_OFFLOAD, c.hw_offload);
	if (c.set & IMSIPSEC_CONFIG_HW_OFFLOAD_REQUIRED)
		mnl_attr_put_u8(nlh, IMS_IPSEC_A_CONFIG_HW_OFFLOAD_REQUIRED,
				c.hw_offload_required);
	return imsipsec_nl_exchange(h, nlh, NULL, NULL);
}
