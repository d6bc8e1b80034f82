// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Where OpenSIPS listens: "socket=ipsec:…" has a socket of UDP and one of TCP behind it. What comes
 * to those of UDP is read here, for the mark of the set that it came over.
 */
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include "config.h"
#include "dprint.h"
#include "receive.h"

#include "proto_ims_ipsec.h"

#ifndef SO_RCVMARK
#define SO_RCVMARK	75
#endif

static proto_net_dgram_read_f others_read;
static proto_init_f others_init;

int sockets_hide(void)
{
	static const int protocols[] = { PROTO_UDP, PROTO_TCP };
	struct socket_info_full *it, *hidden;
	struct socket_id *sid;

	for (it = protos[PROTO_IPSEC].listeners; it; it = it->next) {
		for (int i = 0; i < 2; i++) {
			sid = socket_info2id(&it->socket_info);
			sid->proto = protocols[i];
			sid->port = sid->port ?: settings.port;
			/* These socket_info2id() leaves out, or has from where nothing is yet. */
			sid->adv_name = it->socket_info.adv_name_str.s;
			sid->tos = it->socket_info.tos;
			sid->flags |= SI_INTERNAL | (it->socket_info.flags & SI_FRAG);
			if (protocols[i] == PROTO_TCP) {
				/* It is connected from as well as listened at. */
				sid->flags |= SI_REUSEPORT;
				sid->workers = 0;
				sid->auto_scaling_profile = NULL;
			}
			hidden = make_socket(sid);
			if (!hidden) {
				LM_ERR("no memory\n");
				return -1;
			}
			hidden->socket_info.internal_proto = PROTO_IPSEC;
			push_sock2list(hidden);
		}
	}
	return 0;
}

struct listener *listener_of(struct gm *gm, uint16_t port)
{
	for (size_t i = 0; i < gm->n; i++) {
		if (gm->listener[i].port == port)
			return &gm->listener[i];
	}
	return NULL;
}

const struct socket_info *open_socket(const struct socket_info *like)
{
	const struct socket_info *other = NULL;
	struct socket_info_full *it;

	for (it = protos[like->proto].listeners; it; it = it->next) {
		const struct socket_info *si = &it->socket_info;

		if (si->flags & SI_INTERNAL || si->address.af != like->address.af)
			continue;
		if (ip_addr_cmp((struct ip_addr *)&si->address, (struct ip_addr *)&like->address))
			return si;
		if (!other)
			other = si;
	}
	return other;
}

static struct gm *gm_for(const struct socket_info *si)
{
	struct gm *gm = gm_of(&si->address);

	if (gm)
		return gm;
	if (settings.n_gm == ADDRESSES_MAX) {
		LM_ERR("%d addresses are the most\n", ADDRESSES_MAX);
		return NULL;
	}
	gm = &settings.gm[settings.n_gm++];
	gm->ip = si->address;
	to_addr(&gm->addr, &si->address);
	return gm;
}

static int gather(struct socket_info *si)
{
	struct listener *listener;
	struct gm *gm = gm_for(si);

	if (!gm)
		return -1;
	listener = listener_of(gm, si->port_no);
	if (!listener) {
		if (gm->n == LISTENERS_MAX) {
			LM_ERR("%.*s: %d ports for IPsec are the most\n", si->address_str.len,
			       si->address_str.s, LISTENERS_MAX);
			return -1;
		}
		listener = &gm->listener[gm->n++];
		listener->port = si->port_no;
	}
	if (si->proto == PROTO_UDP)
		listener->udp = si;
	else
		listener->tcp = si;
	return 0;
}

int sockets_gather(void)
{
	static const int protocols[] = { PROTO_UDP, PROTO_TCP };
	struct socket_info_full *it;

	for (int i = 0; i < 2; i++) {
		for (it = protos[protocols[i]].listeners; it; it = it->next) {
			if (is_hidden(&it->socket_info) && gather(&it->socket_info))
				return -1;
		}
	}
	/* For $socket_out = "ipsec:…": OpenSIPS can write no Via of a protocol "ipsec". */
	for (it = protos[PROTO_IPSEC].listeners; it; it = it->next) {
		it->socket_info.proto = PROTO_UDP;
		it->socket_info.flags |= SI_INTERNAL;
		it->socket_info.internal_proto = PROTO_IPSEC;
	}
	return 0;
}

/* Of the ports that the script names, the one that the address listens at */
static uint16_t server_of(struct gm *gm)
{
	uint16_t server = 0;

	for (int i = 0; i < settings.n_script_server; i++) {
		if (!listener_of(gm, settings.script_server[i]))
			continue;
		if (server)
			LM_WARN("ipsec_create: the server port is %u, and cannot be %u too: an "
				"address has one\n", server, settings.script_server[i]);
		else
			server = settings.script_server[i];
	}
	if (server)
		return server;
	return settings.n_script_server ? settings.script_server[0] : settings.default_server_port;
}

/* Which ports are what is known when the script has been read. */
static int choose_ports(struct gm *gm)
{
	uint16_t listeners[LISTENERS_MAX], server;
	char text[INET6_ADDRSTRLEN];
	const char *wrong;

	for (size_t i = 0; i < gm->n; i++)
		listeners[i] = gm->listener[i].port;
	server = server_of(gm);
	wrong = choice_ports(listeners, gm->n, server, settings.default_client_port, &gm->ports);
	imsipsec_addr_format(&gm->addr, text, sizeof(text));
	if (wrong) {
		LM_ERR("%s %s\n", text, wrong);
		return -1;
	}
	if (server && server != gm->ports.ps)
		LM_WARN("%s has no socket=ipsec: at the server port %u: it is %u\n", text, server,
			gm->ports.ps);
	if (settings.default_client_port &&
	    !choice_is_client(&gm->ports, settings.default_client_port))
		LM_WARN("%s has no socket=ipsec: for default_client_port %d\n", text,
			settings.default_client_port);
	return 0;
}

/*
 * The ports are shut before they are bound, and while OpenSIPS may be root; this is called with the
 * first socket of UDP.
 */
static int prepare(void)
{
	static bool done;

	if (done)
		return 0;
	done = true;
	for (int i = 0; i < settings.n_gm; i++) {
		if (choose_ports(&settings.gm[i]))
			return -1;
	}
	if (kernel_prepare())
		return -1;
	kernel_close();
	return 0;
}

static int init_listener(struct socket_info *si)
{
	int on = 1;

	if (prepare())
		return -1;
	if (others_init(si) < 0)
		return -1;
	/* Whatever mark_mask is: the kernel module may be loaded anew with another one. */
	if (is_hidden(si) && setsockopt(si->socket, SOL_SOCKET, SO_RCVMARK, &on, sizeof(on))) {
		LM_ERR("SO_RCVMARK: %s\n", strerror(errno));
		return -1;
	}
	return 0;
}

static uint32_t mark_of(struct msghdr *header)
{
	uint32_t mark = 0;

	for (struct cmsghdr *c = CMSG_FIRSTHDR(header); c; c = CMSG_NXTHDR(header, c)) {
		if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SO_MARK)
			memcpy(&mark, CMSG_DATA(c), sizeof(mark));
	}
	return mark;
}

static int read_datagram(const struct socket_info *si, int *bytes_read)
{
	static char buf[BUF_SIZE + 1];
	union {
		struct cmsghdr header;
		char room[CMSG_SPACE(sizeof(uint32_t)) + 64];
	} control;
	struct receive_info ri;
	struct iovec iov = { buf, BUF_SIZE };
	struct msghdr header = {
		.msg_name = &ri.src_su,
		.msg_namelen = sizeof(ri.src_su),
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = &control,
		.msg_controllen = sizeof(control),
	};
	ssize_t len;

	if (!is_hidden(si))
		return others_read(si, bytes_read);
	memset(&ri, 0, sizeof(ri));
	len = recvmsg(si->socket, &header, 0);
	if (len < 0) {
		if (errno == EAGAIN)
			return 0;
		if (errno == EINTR || errno == ECONNREFUSED)
			return -1;
		LM_ERR("recvmsg: %s\n", strerror(errno));
		return -2;
	}
	/* Something to keep a NAT open with */
	if (len < MIN_UDP_PACKET)
		return 0;
	buf[len] = '\0';
	ri.bind_address = si;
	ri.dst_port = si->port_no;
	ri.dst_ip = si->address;
	ri.proto = si->proto;
	su2ip_addr(&ri.src_ip, &ri.src_su);
	ri.src_port = su_getport(&ri.src_su);
	/* The first goes with the answer, to send_protected(). */
	ri.proto_reserved1 = ri.proto_reserved2 = mark_of(&header);
	receive_msg(buf, len, &ri, NULL, 0);
	return 0;
}

void sockets_hook(void)
{
	others_read = protos[PROTO_UDP].net.dgram.read;
	protos[PROTO_UDP].net.dgram.read = read_datagram;
	others_init = protos[PROTO_UDP].tran.init_listener;
	protos[PROTO_UDP].tran.init_listener = init_listener;
}
