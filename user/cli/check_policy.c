// SPDX-License-Identifier: GPL-2.0-only
/*
 * imsipsec check: policies of others in XFRM that come before an endpoint's.
 *
 * Of those that match a packet, XFRM takes the one whose priority is the lowest number.
 * What leaves a protected port needs the endpoint's, which has 3, or by way of a NAT 1 or
 * 2. For what comes in an endpoint has none, for the guard judges; one of somebody else's
 * that blocks it, or asks for other SAs, has it dropped before.
 *
 * Sub-policies (ip xfrm policy ... ptype sub) are asked besides, and both have to agree.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <inttypes.h>
#include <libmnl/libmnl.h>
#include <linux/xfrm.h>
#include <stdio.h>
#include <string.h>

#include "check.h"
#include "cli.h"

/* IMS_POLICY_PRIORITY_PORT and _TRUSTED of the module */
#define PRIORITY_PORT		4
#define PRIORITY_TRUSTED	3

static void set_address(struct imsipsec_addr *a, int family, const xfrm_address_t *from)
{
	a->family = family;
	if (family == AF_INET)
		memcpy(&a->in, &from->a4, sizeof(a->in));
	else
		memcpy(&a->in6, &from->a6, sizeof(a->in6));
}

/* Between two addresses, and two ports of theirs */
static bool is_one_to_one(const struct xfrm_userpolicy_info *info)
{
	const struct xfrm_selector *sel = &info->sel;
	const unsigned int bits = sel->family == AF_INET ? 32 : 128;

	return info->action == XFRM_POLICY_ALLOW && sel->prefixlen_s == bits &&
	       sel->prefixlen_d == bits && sel->sport_mask == 0xffff && sel->dport_mask == 0xffff;
}

static int gather_policy(struct imsipsec *h, const struct nlmsghdr *nlh, void *data)
{
	const struct xfrm_userpolicy_info *info = mnl_nlmsg_get_payload(nlh);
	const struct xfrm_selector *sel = &info->sel;
	const struct xfrm_userpolicy_type *type;
	const struct xfrm_user_tmpl *t;
	const struct nlattr *attr;
	struct check *c = data;
	struct check_policy *p;
	size_t i, n;

	(void)h;
	if (mnl_nlmsg_get_payload_len(nlh) < sizeof(*info))
		return -EBADMSG;
	/* Those of sockets have a higher one */
	if (info->dir != XFRM_POLICY_IN && info->dir != XFRM_POLICY_OUT)
		return 0;
	c->policies = check_grow(c->policies, &c->n_policies, sizeof(*c->policies));
	p = &c->policies[c->n_policies - 1];
	p->dir = info->dir;
	p->family = sel->family;
	p->index = info->index;
	p->priority = info->priority;
	p->blocks = info->action == XFRM_POLICY_BLOCK;
	p->proto = sel->proto;
	p->esp_transport = true;
	p->one_ue = is_one_to_one(info);
	if (p->dir == XFRM_POLICY_OUT) {
		set_address(&p->local, p->family, &sel->saddr);
		set_address(&p->remote, p->family, &sel->daddr);
		p->local_prefix = sel->prefixlen_s;
		p->remote_prefix = sel->prefixlen_d;
		p->port = ntohs(sel->sport);
		p->port_mask = ntohs(sel->sport_mask);
		p->remote_port = sel->dport_mask;
	} else {
		set_address(&p->local, p->family, &sel->daddr);
		set_address(&p->remote, p->family, &sel->saddr);
		p->local_prefix = sel->prefixlen_d;
		p->remote_prefix = sel->prefixlen_s;
		p->port = ntohs(sel->dport);
		p->port_mask = ntohs(sel->dport_mask);
		p->remote_port = sel->sport_mask;
	}
	mnl_attr_for_each(attr, nlh, sizeof(*info)) {
		switch (mnl_attr_get_type(attr)) {
		case XFRMA_TMPL:
			t = mnl_attr_get_payload(attr);
			n = mnl_attr_get_payload_len(attr) / sizeof(*t);
			p->templates |= n;
			for (i = 0; i < n; i++) {
				p->one_ue &= t[i].mode == XFRM_MODE_TRANSPORT &&
					     t[i].id.proto == IPPROTO_ESP;
				if (t[i].mode != XFRM_MODE_TRANSPORT ||
				    (p->dir == XFRM_POLICY_IN && !t[i].optional &&
				     (t[i].id.proto != IPPROTO_ESP || t[i].id.spi || t[i].reqid)))
					p->esp_transport = false;
			}
			break;
		case XFRMA_MARK:
			p->marked |= ((struct xfrm_mark *)mnl_attr_get_payload(attr))->m;
			break;
		case XFRMA_POLICY_TYPE:
			type = mnl_attr_get_payload(attr);
			p->sub = mnl_attr_get_payload_len(attr) >= sizeof(*type) &&
				 type->type == XFRM_POLICY_TYPE_SUB;
			break;
		case XFRMA_IF_ID:
			/* Only what goes by an interface of that number */
			if (mnl_attr_get_u32(attr)) {
				c->n_policies--;
				return 0;
			}
		}
	}
	return 0;
}

void check_gather_policies(struct check *c)
{
	char buf[MNL_NLMSG_HDRLEN + MNL_ALIGN(sizeof(struct xfrm_userpolicy_id))];
	struct nlmsghdr *nlh = mnl_nlmsg_put_header(buf);

	nlh->nlmsg_type = XFRM_MSG_GETPOLICY;
	mnl_nlmsg_put_extra_header(nlh, sizeof(struct xfrm_userpolicy_id));
	c->policies_error = check_dump(NETLINK_XFRM, nlh, XFRM_MSG_NEWPOLICY, gather_policy, c);
}

static bool has_prefix(const struct imsipsec_addr *net, unsigned int bits,
		       const struct imsipsec_addr *a)
{
	const uint8_t *x = (const uint8_t *)&net->in6, *y = (const uint8_t *)&a->in6;
	const unsigned int bytes = bits / 8;

	if (a->family == AF_INET) {
		x = (const uint8_t *)&net->in;
		y = (const uint8_t *)&a->in;
	}
	return !memcmp(x, y, bytes) &&
	       (!(bits % 8) || !((x[bytes] ^ y[bytes]) & (0xff00 >> bits % 8 & 0xff)));
}

static bool matches(const struct check_policy *p, const struct imsipsec_endpoint *e, uint16_t port)
{
	return (!p->proto || p->proto == IPPROTO_TCP || p->proto == IPPROTO_UDP) &&
	       p->family == e->address.family && has_prefix(&p->local, p->local_prefix, &e->address) &&
	       !((p->port ^ port) & p->port_mask);
}

/* Whoever is at the other end */
static bool is_for_all(const struct check_policy *p)
{
	return !p->remote_prefix && !p->remote_port && !p->proto && !p->marked;
}

/* One without IPsec for a prefix that the endpoint trusts */
static bool is_trusted(const struct check_policy *p, const struct imsipsec_endpoint *e)
{
	struct imsipsec_addr address;
	unsigned int length;
	size_t i;

	if (p->priority != PRIORITY_TRUSTED || p->templates || p->remote_port)
		return false;
	for (i = 0; i < e->n_trusted; i++)
		if (check_get_trusted(e->trusted[i], &address, &length) &&
		    length == p->remote_prefix && has_prefix(&address, length, &p->remote))
			return true;
	return false;
}

/* As the module makes them: of a port; of a port and a prefix; of a UE behind a NAT */
static bool is_own(const struct check_policy *p, const struct imsipsec_endpoint *e)
{
	const unsigned int bits = e->address.family == AF_INET ? 32 : 128;

	if (p->dir != XFRM_POLICY_OUT || p->sub || p->blocks || p->local_prefix != bits ||
	    p->port_mask != 0xffff || p->proto)
		return false;
	if (is_trusted(p, e))
		return true;
	if (!p->templates)
		return false;
	if (p->priority == PRIORITY_PORT)
		return p->esp_transport && is_for_all(p);
	return e->nat_traversal && p->priority && p->priority < PRIORITY_PORT && !p->esp_transport &&
	       p->remote_prefix == bits && p->remote_port;
}

static bool is_in_the_way(const struct check_policy *p, const struct imsipsec_endpoint *e)
{
	/* What the main one asks for is done, too. */
	if (p->dir == XFRM_POLICY_OUT && p->sub)
		return p->blocks || p->templates;
	if (p->dir == XFRM_POLICY_OUT)
		return p->priority <= PRIORITY_PORT && !is_own(p, e);
	return p->blocks || !p->esp_transport;
}

/* Does another that lets all in at that port come first? */
static bool is_excepted(const struct check *c, const struct check_policy *p,
			const struct imsipsec_endpoint *e, uint16_t port)
{
	const struct check_policy *q;
	size_t i;

	for (i = 0; i < c->n_policies; i++) {
		q = &c->policies[i];
		if (q->dir == p->dir && q->sub == p->sub && q->priority < p->priority && matches(q, e, port) &&
		    is_for_all(q) && !is_in_the_way(q, e))
			return true;
	}
	return false;
}

static void found(struct check *c, const struct check_policy *p, const struct imsipsec_endpoint *e,
		  const char *what, uint16_t port)
{
	char local[INET6_ADDRSTRLEN], remote[INET6_ADDRSTRLEN];
	const bool out = p->dir == XFRM_POLICY_OUT;
	const char *dir = out ? "out" : "in";

	check_found(c, is_for_all(p) ? CHECK_FAULT : CHECK_WARNING,
		    "an XFRM %spolicy of somebody else's, dir %s, local %s/%u, remote %s/%u%s, priority %" PRIu32
		    ", %s what %s %s %" PRIu16 " of endpoint %" PRIu32, p->sub ? "sub-" : "", dir,
		    imsipsec_addr_format(&p->local, local, sizeof(local)), p->local_prefix,
		    imsipsec_addr_format(&p->remote, remote, sizeof(remote)), p->remote_prefix,
		    p->marked ? ", some marks" : p->proto || p->remote_port ? ", not all of it" : "",
		    p->priority,
		    p->blocks ? "drops" : out ? "has other SAs, or none, for" : "asks for other SAs of",
		    out ? "leaves" : "comes to", what, port, e->id);
	if (p->sub)
		check_cure(c, "ip xfrm policy delete dir %s index %" PRIu32 " ptype sub", dir, p->index);
	else if (out)
		check_cure(c, "ip xfrm policy delete dir out index %" PRIu32 ", or give it a priority above %u",
			   p->index, PRIORITY_PORT);
	else
		check_cure(c, "ip xfrm policy delete dir in index %" PRIu32 ", or one ahead of it that allows this port",
			   p->index);
}

/*
 * Those that a P-CSCF without our module makes, several a UE: one finding for all of an endpoint's
 */
static bool is_peers(const struct check_policy *p, const struct imsipsec_endpoint *e)
{
	size_t i;

	if (!p->one_ue || !p->templates || is_own(p, e))
		return false;
	for (i = 0; i < e->n_port_pc; i++)
		if (matches(p, e, e->port_pc[i]))
			return true;
	return matches(p, e, e->port_ps);
}

static void found_peers(struct check *c, const struct imsipsec_endpoint *e)
{
	const struct check_policy *p, *first = NULL;
	char local[INET6_ADDRSTRLEN];
	size_t i, n = 0;

	for (i = 0; i < c->n_policies; i++) {
		p = &c->policies[i];
		if (!is_peers(p, e))
			continue;
		first = n++ ? first : p;
	}
	if (!n)
		return;
	check_found(c, CHECK_WARNING,
		    "protected ports of endpoint %" PRIu32 " belong to %zu XFRM policies of "
		    "somebody else's, each for one UE, the first at %s port %" PRIu16 ", as Kamailio's "
		    "ims_ipsec_pcscf or OpenSIPS's proto_ipsec makes them; what these UEs send over "
		    "its SAs, the guard drops", e->id, n,
		    imsipsec_addr_format(&first->local, local, sizeof(local)), first->port);
	check_cure(c, "load ims_ipsec.so (Kamailio) or proto_ims_ipsec.so (OpenSIPS) in its place, "
		   "or give it other ports; what it left behind: ip xfrm policy flush, where no IKE "
		   "daemon has policies");
}

void check_policies(struct check *c)
{
	const size_t before = c->n_findings;
	const struct imsipsec_endpoint *e;
	const struct check_policy *p;
	uint16_t port;
	size_t i, j, k;

	if (c->policies_error) {
		check_found(c, CHECK_WARNING, "XFRM does not tell its policies");
		check_cure(c, "look at them by hand: ip xfrm policy");
		return;
	}
	for (i = 0; i < c->n_endpoints; i++) {
		e = &c->endpoints[i];
		found_peers(c, e);
		for (j = 0; j < c->n_policies; j++) {
			p = &c->policies[j];
			if (!is_in_the_way(p, e) || is_peers(p, e))
				continue;
			/* ESP in UDP, that a NAT let in: the socket's policy is asked ahead of ESP */
			if (e->nat_traversal && p->dir == XFRM_POLICY_IN && matches(p, e, e->nat_port) &&
			    (!p->proto || p->proto == IPPROTO_UDP) && !is_excepted(c, p, e, e->nat_port)) {
				found(c, p, e, "UDP port", e->nat_port);
				continue;
			}
			/* One finding a policy */
			for (k = 0; k <= e->n_port_pc; k++) {
				port = k ? e->port_pc[k - 1] : e->port_ps;
				if (!matches(p, e, port) || is_excepted(c, p, e, port))
					continue;
				found(c, p, e, "port", port);
				break;
			}
		}
	}
	if (c->n_findings == before)
		check_found(c, CHECK_OK, "no XFRM policy of somebody else's comes before those of the endpoints");
}
