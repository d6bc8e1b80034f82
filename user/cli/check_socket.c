// SPDX-License-Identifier: GPL-2.0-only
/*
 * imsipsec check: who listens at a protected port.
 *
 * An endpoint guards its own address. A socket that is bound to no address gets what comes
 * to the same port of every other address of the host, and by broadcast, in clear.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <inttypes.h>
#include <libmnl/libmnl.h>
#include <linux/inet_diag.h>
#include <linux/sock_diag.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>

#include "check.h"
#include "cli.h"

static struct imsipsec_addr address_of(int family, const void *from)
{
	struct imsipsec_addr a = { .family = family };

	memcpy(&a.in6, from, family == AF_INET ? sizeof(a.in) : sizeof(a.in6));
	return imsipsec_addr_unmapped(&a);
}

struct gather {
	struct check *c;
	uint8_t proto;
};

static int gather_socket(struct imsipsec *h, const struct nlmsghdr *nlh, void *data)
{
	const struct inet_diag_msg *m = mnl_nlmsg_get_payload(nlh);
	const struct gather *g = data;
	const struct nlattr *attr;
	struct check_socket *s;
	struct check *c = g->c;

	(void)h;
	if (mnl_nlmsg_get_payload_len(nlh) < sizeof(*m))
		return -EBADMSG;
	c->sockets = check_grow(c->sockets, &c->n_sockets, sizeof(*c->sockets));
	s = &c->sockets[c->n_sockets - 1];
	s->proto = g->proto;
	s->port = ntohs(m->id.idiag_sport);
	s->address = address_of(m->idiag_family, m->id.idiag_src);
	if (m->id.idiag_if && !if_indextoname(m->id.idiag_if, s->interface))
		snprintf(s->interface, sizeof(s->interface), "%u", (unsigned int)m->id.idiag_if);
	mnl_attr_for_each(attr, nlh, sizeof(*m))
		if (mnl_attr_get_type(attr) == INET_DIAG_SKV6ONLY)
			s->v6only = mnl_attr_get_u8(attr);
	return 0;
}

static int gather(struct check *c, uint8_t proto, uint8_t family)
{
	char buf[MNL_NLMSG_HDRLEN + MNL_ALIGN(sizeof(struct inet_diag_req_v2))];
	struct nlmsghdr *nlh = mnl_nlmsg_put_header(buf);
	struct gather g = { .c = c, .proto = proto };
	struct inet_diag_req_v2 *req;

	nlh->nlmsg_type = SOCK_DIAG_BY_FAMILY;
	req = mnl_nlmsg_put_extra_header(nlh, sizeof(*req));
	req->sdiag_family = family;
	req->sdiag_protocol = proto;
	/* A socket of UDP that is not connected has TCP's state "closed". */
	req->idiag_states = proto == IPPROTO_TCP ? 1 << TCP_LISTEN : 1 << TCP_CLOSE;
	return check_dump(NETLINK_SOCK_DIAG, nlh, SOCK_DIAG_BY_FAMILY, gather_socket, &g);
}

void check_gather_sockets(struct check *c)
{
	static const uint8_t protos[] = { IPPROTO_UDP, IPPROTO_TCP };
	size_t i;

	for (i = 0; i < ARRAY_SIZE(protos); i++)
		if (gather(c, protos[i], AF_INET) || gather(c, protos[i], AF_INET6))
			c->sockets_error = true;
}

static bool is_any(const struct imsipsec_addr *a)
{
	return a->family == AF_INET ? !a->in.s_addr : IN6_IS_ADDR_UNSPECIFIED(&a->in6);
}

/* Does it get what comes to the port of addresses of the endpoint's family? */
static bool is_open(const struct check_socket *s, const struct imsipsec_endpoint *e)
{
	return is_any(&s->address) && check_has_port(e, s->port) && e->guard != IMSIPSEC_GUARD_BYPASS &&
	       (s->address.family == e->address.family ||
		(s->address.family == AF_INET6 && !s->v6only));
}

void check_sockets(struct check *c)
{
	const size_t before = c->n_findings;
	const struct imsipsec_endpoint *e;
	const struct check_socket *s;
	char any[INET6_ADDRSTRLEN], own[INET6_ADDRSTRLEN];
	size_t i, j;
	bool tcp;

	if (c->sockets_error) {
		check_found(c, CHECK_WARNING, "the kernel does not tell its sockets");
		check_cure(c, "look by hand that none at a protected port is bound to 0.0.0.0 or *: ss -tuln");
		return;
	}
	for (i = 0; i < c->n_sockets; i++) {
		s = &c->sockets[i];
		for (j = 0; j < c->n_endpoints && !is_open(s, &c->endpoints[j]); j++)
			;
		if (j == c->n_endpoints)
			continue;
		e = &c->endpoints[j];
		tcp = s->proto == IPPROTO_TCP;
		check_found(c, CHECK_FAULT, "%s %s%s%s port %" PRIu16 ", which endpoint %" PRIu32
			    " guards at its own address only, gets by any other address of this host what "
			    "is not protected", tcp ? "TCP" : "UDP",
			    imsipsec_addr_format(&s->address, any, sizeof(any)), *s->interface ? "%" : "",
			    s->interface, s->port, e->id);
		check_cure(c, "bind it to %s; ss -%slpn sport = %" PRIu16 " says which program it is",
			   imsipsec_addr_format(&e->address, own, sizeof(own)), tcp ? "t" : "u", s->port);
	}
	if (c->n_findings == before)
		check_found(c, CHECK_OK, "no socket at a protected port is bound to all addresses");
}
