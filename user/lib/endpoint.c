// SPDX-License-Identifier: LGPL-2.1-or-later
/* Endpoints: local addresses with their protected ports. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "internal.h"

static int port_pc_attr(const struct nlattr *attr, struct imsipsec_endpoint *e)
{
	if (e->n_port_pc == IMSIPSEC_PORT_PC_MAX)
		return -EBADMSG;
	return imsipsec_attr_be16(attr, &e->port_pc[e->n_port_pc++]);
}

/* With a comma between two; an interface's name may have one, but has no slash */
static int trusted_attr(const struct nlattr *attr, struct imsipsec_endpoint *e)
{
	char list[IMS_IPSEC_TRUSTED_TEXT_MAX + 1], *rest = list, *one, *next;
	int err, len;

	err = imsipsec_attr_text(attr, list, sizeof(list));
	if (err)
		return err;
	while (rest && *rest) {
		one = rest;
		next = strchr(one, '/');
		if (next)
			next = strchr(next + 1, '/');
		rest = NULL;
		if (next) {
			/* back to the comma before its address */
			while (next > one && *next != ',')
				next--;
			*next = '\0';
			rest = next + 1;
		}
		if (e->n_trusted == IMSIPSEC_TRUSTED_MAX)
			return -EBADMSG;
		len = snprintf(e->trusted[e->n_trusted], sizeof(e->trusted[0]), "%s", one);
		if (len >= (int)sizeof(e->trusted[0]))
			return -EBADMSG;
		e->n_trusted++;
	}
	return 0;
}

struct fallback {
	uint32_t reason;
	uint64_t count;
};

static int fallback_attr(const struct nlattr *attr, void *data)
{
	struct fallback *f = data;

	switch (mnl_attr_get_type(attr)) {
	case IMS_IPSEC_A_FALLBACK_REASON:
		return imsipsec_attr_u32(attr, &f->reason);
	case IMS_IPSEC_A_FALLBACK_COUNT:
		return imsipsec_attr_u64(attr, &f->count);
	default:
		return 0;
	}
}

/* A reason that there is no room for is passed over. */
static int fallback_nest(const struct nlattr *nest, struct imsipsec_endpoint *e)
{
	struct fallback f = { 0 };
	int err;

	err = imsipsec_attr_walk_nest(nest, fallback_attr, &f);
	if (err)
		return err;
	if (!f.reason)
		return -EBADMSG;
	if (f.reason < IMSIPSEC_OFFLOAD_REASONS)
		e->fallbacks[f.reason] = f.count;
	return 0;
}

static int endpoint_attr(const struct nlattr *attr, void *data)
{
	struct imsipsec_endpoint *e = data;
	uint32_t value = 0;
	uint8_t flag = 0;
	int err;

	switch (mnl_attr_get_type(attr)) {
	case IMS_IPSEC_A_ENDPOINT_ID:
		return imsipsec_attr_u32(attr, &e->id);
	case IMS_IPSEC_A_ENDPOINT_ADDRESS:
		return imsipsec_attr_addr(attr, &e->address);
	case IMS_IPSEC_A_ENDPOINT_PORT_PS:
		return imsipsec_attr_be16(attr, &e->port_ps);
	case IMS_IPSEC_A_ENDPOINT_PORT_PC:
		return port_pc_attr(attr, e);
	case IMS_IPSEC_A_ENDPOINT_BUNDLES:
		return imsipsec_attr_u32(attr, &e->bundles);
	case IMS_IPSEC_A_ENDPOINT_DROP_PLAINTEXT_IN:
		return imsipsec_attr_u64(attr, &e->drop_plaintext_in);
	case IMS_IPSEC_A_ENDPOINT_DROP_PLAINTEXT_OUT:
		return imsipsec_attr_u64(attr, &e->drop_plaintext_out);
	case IMS_IPSEC_A_ENDPOINT_DROP_FOREIGN_SA:
		return imsipsec_attr_u64(attr, &e->drop_foreign_sa);
	case IMS_IPSEC_A_ENDPOINT_GUARD:
		err = imsipsec_attr_u32(attr, &value);
		e->guard = value;
		return err;
	case IMS_IPSEC_A_ENDPOINT_DROP_CROSS_PAIR:
		return imsipsec_attr_u64(attr, &e->drop_cross_pair);
	case IMS_IPSEC_A_ENDPOINT_DROP_NO_LIVE_SET:
		return imsipsec_attr_u64(attr, &e->drop_no_live_set);
	case IMS_IPSEC_A_ENDPOINT_NAT_TRAVERSAL:
		err = imsipsec_attr_u8(attr, &flag);
		e->nat_traversal = flag;
		return err;
	case IMS_IPSEC_A_ENDPOINT_NAT_PORT:
		return imsipsec_attr_be16(attr, &e->nat_port);
	case IMS_IPSEC_A_ENDPOINT_NAT_SHARED:
		err = imsipsec_attr_u8(attr, &flag);
		e->nat_shared = flag;
		return err;
	case IMS_IPSEC_A_ENDPOINT_DROP_UDP_ONLY:
		return imsipsec_attr_u64(attr, &e->drop_udp_only);
	case IMS_IPSEC_A_ENDPOINT_ESP_BAD_ICV:
		return imsipsec_attr_u64(attr, &e->esp_bad_icv);
	case IMS_IPSEC_A_ENDPOINT_ESP_UNKNOWN_SPI:
		return imsipsec_attr_u64(attr, &e->esp_unknown_spi);
	case IMS_IPSEC_A_ENDPOINT_CLEAR_TO_UE:
		return imsipsec_attr_u64(attr, &e->clear_to_ue);
	case IMS_IPSEC_A_ENDPOINT_HW_OFFLOAD_INTERFACE:
		return imsipsec_attr_text(attr, e->hw_offload_interface,
					  sizeof(e->hw_offload_interface));
	case IMS_IPSEC_A_ENDPOINT_HW_OFFLOAD:
		err = imsipsec_attr_u32(attr, &value);
		e->hw_offload = value;
		return err;
	case IMS_IPSEC_A_ENDPOINT_HW_OFFLOAD_REQUIRED:
		err = imsipsec_attr_u8(attr, &flag);
		e->hw_offload_required = flag;
		return err;
	case IMS_IPSEC_A_ENDPOINT_HW_OFFLOAD_BUNDLES:
		return imsipsec_attr_u32(attr, &e->hw_offload_bundles);
	case IMS_IPSEC_A_ENDPOINT_HW_OFFLOAD_FALLBACK:
		return fallback_nest(attr, e);
	case IMS_IPSEC_A_ENDPOINT_HW_OFFLOAD_TEXT:
		return imsipsec_attr_remark(attr, e->hw_offload_text, sizeof(e->hw_offload_text));
	case IMS_IPSEC_A_ENDPOINT_TRUSTED:
		return trusted_attr(attr, e);
	default:
		return 0;
	}
}

int imsipsec_endpoint_parse(const struct nlmsghdr *nlh, struct imsipsec_endpoint *endpoint)
{
	int err;

	*endpoint = (struct imsipsec_endpoint){ 0 };
	err = imsipsec_attr_walk_msg(nlh, endpoint_attr, endpoint);
	if (err)
		return err;
	return endpoint->id ? 0 : -EBADMSG;
}

static int endpoint_reply(struct imsipsec *h, const struct nlmsghdr *nlh, void *data)
{
	(void)data;
	return imsipsec_endpoint_parse(nlh, &h->endpoint);
}

/* A request that is answered with one endpoint. */
static int exchange_one(struct imsipsec *h, struct nlmsghdr *nlh,
			const struct imsipsec_endpoint **endpoint)
{
	int err;

	err = imsipsec_nl_get(h, nlh, endpoint_reply, NULL);
	if (!err && endpoint)
		*endpoint = &h->endpoint;
	return err;
}

static int put_trusted(struct imsipsec *h, struct nlmsghdr *nlh, const char *const *trusted,
		       size_t n)
{
	char list[IMS_IPSEC_TRUSTED_TEXT_MAX + 1] = "";
	size_t i, len = 0;

	if (n > IMSIPSEC_TRUSTED_MAX)
		return imsipsec_fail(h, -EINVAL, "trusted: more than %d", IMSIPSEC_TRUSTED_MAX);
	for (i = 0; i < n; i++) {
		if (!*trusted[i] || strlen(trusted[i]) > IMSIPSEC_TRUSTED_LEN ||
		    strchr(trusted[i], ','))
			return imsipsec_fail(h, -EINVAL, "trusted: not ADDRESS/LENGTH%%INTERFACE");
		len += snprintf(list + len, sizeof(list) - len, "%s%s", i ? "," : "", trusted[i]);
	}
	return imsipsec_put_text(h, nlh, IMS_IPSEC_A_ENDPOINT_TRUSTED, list, sizeof(list) - 1);
}

int imsipsec_endpoint_add(struct imsipsec *h, const struct imsipsec_endpoint_params *params,
			  const struct imsipsec_endpoint **endpoint)
{
	struct nlmsghdr *nlh = imsipsec_nl_request(h, IMS_IPSEC_CMD_ENDPOINT_NEW, 0);
	struct imsipsec_endpoint_params p;
	size_t i;
	int err;

	err = imsipsec_take_in(h, &p, params);
	if (err)
		return err;
	if (p.n_port_pc > IMSIPSEC_PORT_PC_MAX)
		return imsipsec_fail(h, -EINVAL, "port-pc: more than %d", IMSIPSEC_PORT_PC_MAX);
	if (p.nat_traversal > IMSIPSEC_CHOICE_ON)
		return imsipsec_fail(h, -EINVAL, "nat-traversal: neither on nor off");
	if (p.hw_offload_required > IMSIPSEC_CHOICE_ON)
		return imsipsec_fail(h, -EINVAL, "hw-offload-required: neither on nor off");

	err = imsipsec_put_addr(h, nlh, IMS_IPSEC_A_ENDPOINT_ADDRESS, &p.address);
	if (err)
		return err;
	if (p.port_ps)
		imsipsec_put_be16(nlh, IMS_IPSEC_A_ENDPOINT_PORT_PS, p.port_ps);
	for (i = 0; p.port_pc && i < p.n_port_pc; i++)
		imsipsec_put_be16(nlh, IMS_IPSEC_A_ENDPOINT_PORT_PC, p.port_pc[i]);
	if (p.guard)
		mnl_attr_put_u32(nlh, IMS_IPSEC_A_ENDPOINT_GUARD, p.guard);
	if (p.nat_traversal)
		mnl_attr_put_u8(nlh, IMS_IPSEC_A_ENDPOINT_NAT_TRAVERSAL,
				p.nat_traversal == IMSIPSEC_CHOICE_ON);
	if (p.nat_port)
		imsipsec_put_be16(nlh, IMS_IPSEC_A_ENDPOINT_NAT_PORT, p.nat_port);
	if (p.nat_shared)
		mnl_attr_put_u8(nlh, IMS_IPSEC_A_ENDPOINT_NAT_SHARED, 1);
	if (p.hw_offload_interface) {
		err = imsipsec_put_text(h, nlh, IMS_IPSEC_A_ENDPOINT_HW_OFFLOAD_INTERFACE,
					p.hw_offload_interface, IMS_IPSEC_INTERFACE_MAX);
		if (err)
			return err;
	}
	if (p.hw_offload)
		mnl_attr_put_u32(nlh, IMS_IPSEC_A_ENDPOINT_HW_OFFLOAD, p.hw_offload);
	if (p.hw_offload_required)
		mnl_attr_put_u8(nlh, IMS_IPSEC_A_ENDPOINT_HW_OFFLOAD_REQUIRED,
				p.hw_offload_required == IMSIPSEC_CHOICE_ON);
	if (p.trusted && p.n_trusted)
		err = put_trusted(h, nlh, p.trusted, p.n_trusted);
	return err ? err : exchange_one(h, nlh, endpoint);
}

int imsipsec_endpoint_delete(struct imsipsec *h, uint32_t id, bool force)
{
	struct nlmsghdr *nlh = imsipsec_nl_request(h, IMS_IPSEC_CMD_ENDPOINT_DEL, 0);

	mnl_attr_put_u32(nlh, IMS_IPSEC_A_ENDPOINT_ID, id);
	if (force)
		mnl_attr_put(nlh, IMS_IPSEC_A_ENDPOINT_FORCE, 0, NULL);
	return imsipsec_nl_exchange(h, nlh, NULL, NULL);
}

int imsipsec_endpoint_get(struct imsipsec *h, uint32_t id,
			  const struct imsipsec_endpoint **endpoint)
{
	struct nlmsghdr *nlh = imsipsec_nl_request(h, IMS_IPSEC_CMD_ENDPOINT_GET, 0);

	mnl_attr_put_u32(nlh, IMS_IPSEC_A_ENDPOINT_ID, id);
	return exchange_one(h, nlh, endpoint);
}

struct dump {
	int (*cb)(const struct imsipsec_endpoint *endpoint, void *data);
	void *data;
};

static int dump_reply(struct imsipsec *h, const struct nlmsghdr *nlh, void *data)
{
	const struct dump *dump = data;
	int err = imsipsec_endpoint_parse(nlh, &h->endpoint);

	return err ? err : imsipsec_called(h, dump->cb(&h->endpoint, dump->data));
}

int imsipsec_endpoint_dump(struct imsipsec *h,
			   int (*cb)(const struct imsipsec_endpoint *endpoint, void *data),
			   void *data)
{
	struct nlmsghdr *nlh = imsipsec_nl_request(h, IMS_IPSEC_CMD_ENDPOINT_GET, NLM_F_DUMP);
	struct dump dump = { .cb = cb, .data = data };

	return imsipsec_nl_exchange(h, nlh, dump_reply, &dump);
}

static int put_pool(struct imsipsec *h, struct nlmsghdr *nlh, const uint16_t *port_pc, size_t n)
{
	size_t i;

	if (n > IMSIPSEC_PORT_PC_MAX)
		return imsipsec_fail(h, -EINVAL, "port-pc: more than %d", IMSIPSEC_PORT_PC_MAX);
	for (i = 0; i < n; i++)
		imsipsec_put_be16(nlh, IMS_IPSEC_A_ENDPOINT_PORT_PC, port_pc[i]);
	return 0;
}

int imsipsec_endpoint_set_ports(struct imsipsec *h, uint32_t id, const uint16_t *port_pc, size_t n,
				const struct imsipsec_endpoint **endpoint)
{
	struct nlmsghdr *nlh = imsipsec_nl_request(h, IMS_IPSEC_CMD_ENDPOINT_SET, 0);
	int err;

	mnl_attr_put_u32(nlh, IMS_IPSEC_A_ENDPOINT_ID, id);
	err = put_pool(h, nlh, port_pc, n);
	return err ? err : exchange_one(h, nlh, endpoint);
}

int imsipsec_endpoint_set_trusted(struct imsipsec *h, uint32_t id, const char *const *trusted,
				  size_t n, const struct imsipsec_endpoint **endpoint)
{
	struct nlmsghdr *nlh = imsipsec_nl_request(h, IMS_IPSEC_CMD_ENDPOINT_SET, 0);
	int err;

	mnl_attr_put_u32(nlh, IMS_IPSEC_A_ENDPOINT_ID, id);
	err = put_trusted(h, nlh, trusted, n);
	return err ? err : exchange_one(h, nlh, endpoint);
}

/* ---- One that is to be there, whatever there is ---------------------- */

/* What is asked for, and what the kernel would make of what is not said */
struct wish {
	struct imsipsec_endpoint_params p;
	uint16_t port_pc[IMSIPSEC_PORT_PC_MAX];
	char interface[IMSIPSEC_INTERFACE_MAX + 1];
	struct imsipsec_endpoint found;	/* one in the way */
	unsigned int n;			/* how many are */
};

static bool has_port(const struct imsipsec_endpoint *e, uint16_t port)
{
	size_t i;

	for (i = 0; i < e->n_port_pc; i++)
		if (e->port_pc[i] == port)
			return true;
	return e->port_ps == port;
}

static int search_in_the_way(const struct imsipsec_endpoint *e, void *data)
{
	struct wish *w = data;
	size_t i;

	if (!imsipsec_addr_equal(&e->address, &w->p.address))
		return 0;
	for (i = 0; i < w->p.n_port_pc; i++)
		if (has_port(e, w->p.port_pc[i]))
			break;
	if (i == w->p.n_port_pc && !has_port(e, w->p.port_ps))
		return 0;
	w->found = *e;
	w->n++;
	return 0;
}

static enum imsipsec_choice choice_of(enum imsipsec_choice asked, bool configured)
{
	if (asked)
		return asked;
	return configured ? IMSIPSEC_CHOICE_ON : IMSIPSEC_CHOICE_OFF;
}

static void fill_in(struct wish *w, const struct imsipsec_config *config)
{
	struct imsipsec_endpoint_params *p = &w->p;

	p->address = imsipsec_addr_unmapped(&p->address);
	if (!p->port_ps)
		p->port_ps = config->port_ps;
	if (!p->port_pc || !p->n_port_pc) {
		p->port_pc = config->port_pc;
		p->n_port_pc = config->n_port_pc;
	}
	/* @config is gone with the next call */
	memcpy(w->port_pc, p->port_pc, p->n_port_pc * sizeof(*p->port_pc));
	p->port_pc = w->port_pc;
	if (!p->guard)
		p->guard = IMSIPSEC_GUARD_DROP;
	p->nat_traversal = choice_of(p->nat_traversal, config->nat_traversal);
	if (!p->nat_port)
		p->nat_port = config->nat_port;
	if (!p->hw_offload)
		p->hw_offload = config->hw_offload;
	p->hw_offload_required = choice_of(p->hw_offload_required, config->hw_offload_required);
	if (!p->hw_offload_interface)
		p->hw_offload_interface = config->hw_offload_interface;
	snprintf(w->interface, sizeof(w->interface), "%s", p->hw_offload_interface);
	p->hw_offload_interface = w->interface;
}

static bool is_pool_of(const struct imsipsec_endpoint *e, const struct imsipsec_endpoint_params *p)
{
	size_t i;

	for (i = 0; i < p->n_port_pc; i++)
		if (p->port_pc[i] == e->port_ps || !has_port(e, p->port_pc[i]))
			return false;
	return p->n_port_pc == e->n_port_pc;
}

/* Without an interface, what one would do is the same as off. */
static enum imsipsec_offload offload_of(enum imsipsec_offload mode, const char *interface)
{
	return *interface || mode == IMSIPSEC_OFFLOAD_SOFTWARE ? mode : IMSIPSEC_OFFLOAD_OFF;
}

/*
 * What an endpoint has otherwise than @p says and cannot change, or NULL. Whether somebody else's
 * socket for ESP will do is no property of one that has its own.
 */
static const char *difference(const struct imsipsec_endpoint *e,
			      const struct imsipsec_endpoint_params *p)
{
	const bool nat = p->nat_traversal == IMSIPSEC_CHOICE_ON;

	if (e->port_ps != p->port_ps)
		return "port-ps";
	if (e->guard != p->guard)
		return "guard";
	if (e->nat_traversal != nat)
		return "nat-traversal";
	if (nat && e->nat_port != p->nat_port)
		return "nat-port";
	if (nat && e->nat_shared && !p->nat_shared)
		return "nat-shared";
	if (strcmp(e->hw_offload_interface, p->hw_offload_interface))
		return "hw-offload-interface";
	if (offload_of(e->hw_offload, e->hw_offload_interface) !=
	    offload_of(p->hw_offload, p->hw_offload_interface))
		return "hw-offload";
	if (e->hw_offload_required != (p->hw_offload_required == IMSIPSEC_CHOICE_ON))
		return "hw-offload-required";
	return NULL;
}

/* As the kernel has it, which writes an address in one way; what is wrong is for it to say. */
static void get_trusted(char *buf, size_t size, const char *text)
{
	const char *slash = strchr(text, '/');
	const size_t len = slash ? (size_t)(slash - text) : 0;
	char addr[INET6_ADDRSTRLEN], given[INET6_ADDRSTRLEN];
	struct imsipsec_addr parsed;

	snprintf(buf, size, "%s", text);
	if (!len || len >= sizeof(given))
		return;
	memcpy(given, text, len);
	given[len] = '\0';
	if (!imsipsec_addr_parse(&parsed, given))
		snprintf(buf, size, "%s%s", imsipsec_addr_format(&parsed, addr, sizeof(addr)),
			 slash);
}

static bool trusts(const struct imsipsec_endpoint *e, const char *text)
{
	char buf[2 * IMSIPSEC_TRUSTED_LEN];
	size_t i;

	get_trusted(buf, sizeof(buf), text);
	for (i = 0; i < e->n_trusted; i++)
		if (!strcmp(e->trusted[i], buf))
			return true;
	return false;
}

/* In whatever order */
static bool is_trust_of(const struct imsipsec_endpoint *e, const struct imsipsec_endpoint_params *p)
{
	size_t i;

	if (!p->trusted)
		return true;
	for (i = 0; i < p->n_trusted; i++)
		if (!trusts(e, p->trusted[i]))
			return false;
	return p->n_trusted == e->n_trusted;
}

/* What can change while it has bundles. Returns 1 if it did; @e is what is there. */
static int change_ports(struct imsipsec *h, const struct imsipsec_endpoint *e,
			const struct imsipsec_endpoint_params *p,
			const struct imsipsec_endpoint **endpoint)
{
	int err;

	h->endpoint = *e;
	if (endpoint)
		*endpoint = &h->endpoint;
	if (is_pool_of(e, p))
		return 0;
	err = imsipsec_endpoint_set_ports(h, e->id, p->port_pc, p->n_port_pc, endpoint);
	return err ? err : 1;
}

/* Likewise; @changed: something else has already */
static int change_trusted(struct imsipsec *h, const struct imsipsec_endpoint *e,
			  const struct imsipsec_endpoint_params *p, int changed,
			  const struct imsipsec_endpoint **endpoint)
{
	int err;

	if (is_trust_of(e, p))
		return changed;
	err = imsipsec_endpoint_set_trusted(h, e->id, p->trusted, p->n_trusted, endpoint);
	return err ? err : 1;
}

static int refuse(struct imsipsec *h, const struct imsipsec_endpoint *e, const char *what)
{
	return imsipsec_fail(h, -EBUSY,
			     "endpoint %" PRIu32 " is there with another %s: \"force\" deletes it, with its %" PRIu32 " bundle%s",
			     e->id, what, e->bundles, e->bundles == 1 ? "" : "s");
}

int imsipsec_endpoint_replace(struct imsipsec *h, const struct imsipsec_endpoint_params *params,
			      bool force, const struct imsipsec_endpoint **endpoint)
{
	const struct imsipsec_config *config;
	struct wish w = { .n = 0 };
	const char *what;
	int err;

	err = imsipsec_take_in(h, &w.p, params);
	if (err)
		return err;
	/* What is wrong in itself the kernel is to say. */
	if (w.p.n_port_pc > IMSIPSEC_PORT_PC_MAX)
		return imsipsec_fail(h, -EINVAL, "port-pc: more than %d", IMSIPSEC_PORT_PC_MAX);
	err = imsipsec_config_get(h, &config);
	if (err)
		return err;
	fill_in(&w, config);
	err = imsipsec_endpoint_dump(h, search_in_the_way, &w);
	if (err)
		return err;
	if (w.n > 1)
		return imsipsec_fail(h, -EADDRINUSE,
				     "several endpoints have these ports: delete them first");
	if (w.n) {
		what = difference(&w.found, &w.p);
		if (!what) {
			err = change_ports(h, &w.found, &w.p, endpoint);
			/* A UE in the way of a prefix may be another endpoint's: that is no reason */
			if (err >= 0)
				return change_trusted(h, &w.found, &w.p, err, endpoint);
			if (err != -EBUSY || !force)
				return err;
		} else if (!force) {
			return refuse(h, &w.found, what);
		}
		err = imsipsec_endpoint_delete(h, w.found.id, true);
		if (err && err != -ENOENT)
			return err;
	}
	/* Said aloud, some defaults are refused: an offload that lacks an interface. */
	err = imsipsec_endpoint_add(h, params, endpoint);
	return err ? err : 1;
}
