// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * What goes out by a hidden socket. OpenSIPS has chosen the socket that the phone sent to, or that
 * its contact has; which of the set's ports it leaves by, and over which set, is chosen here. What
 * is not for a phone never leaves in clear by a protected port.
 */
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include "dprint.h"
#include "net/net_tcp.h"

#include "proto_ims_ipsec.h"

#define TARGETS_MAX	8	/* registrations that may have the same contact */

/* TCP: its id is that of a connection, by which the answer goes back. */
static bool is_connected(unsigned int id)
{
	unsigned long long correlation;

	return id && !tcp_get_correlation_id(id, &correlation);
}

/* Has a set's registration the identity that a request is for */
static bool is_called(const char *buf, size_t len, uint32_t bundle)
{
	static struct record record;
	bool called = record_get(bundle, &record) && text_is_called(buf, len, record.public);

	explicit_bzero(&record, sizeof(record));
	return called;
}

/*
 * Where several phones behind NATs have the address and port: the one whose contact the request
 * names. Where several of them have that contact, too, the one that is called: nothing else of the
 * request tells. What OpenSIPS knows of the contact's source is the same inner address.
 */
static int by_target(const char *buf, size_t len, const struct imsipsec_addr *ue,
		     struct imsipsec_bundle *b)
{
	unsigned int found = 0, called = 0;
	struct imsipsec_bundle other;
	uint32_t ids[TARGETS_MAX];
	bool is_it;
	struct span uri;
	size_t n;
	int err;

	if (!text_target(buf, len, &uri))
		return -ENOTUNIQ;
	n = target_get(uri, ids, TARGETS_MAX);
	if (n == TARGETS_MAX)
		return -ENOTUNIQ;
	for (size_t i = 0; i < n; i++) {
		err = kernel_tx(ids[i], &other);
		if (err == -ENOENT || (!err && !addr_equal(&other.ue_address, ue)))
			continue;
		if (err)
			return err;
		is_it = is_called(buf, len, other.id);
		if (is_it || !found)
			*b = other;
		found++;
		called += is_it;
	}
	return found == 1 || called == 1 ? 0 : -ENOTUNIQ;
}

/*
 * The set that the request of an answer came over; of another than REGISTER what is used now. That
 * set may have gone: its registration has others, whose marks differ in the number of the slot.
 */
static int over_mark(uint32_t mark, bool is_register, const struct imsipsec_addr *ue,
		     struct imsipsec_bundle *b)
{
	struct imsipsec_bundle now;
	int err = kernel_find_mark(mark, b);

	for (uint32_t slot = 0; err == -ENOENT && slot < SLOTS; slot++)
		err = kernel_find_mark(choice_mark(mark, kernel_mask(), slot), b);
	if (!err && !addr_equal(&b->ue_address, ue))
		return -ENOENT;
	if (!err && !is_register && !kernel_tx(b->id, &now))
		*b = now;
	return err;
}

static int choose(struct gm *gm, const char *buf, size_t len, const struct imsipsec_addr *ue,
		  uint16_t port, uint32_t mark, struct imsipsec_bundle *b)
{
	int err = -ENOENT;

	if (mark & kernel_mask())
		err = over_mark(mark, text_is_of(buf, len, "REGISTER"), ue, b);
	if (err != -ENOENT)
		return err;
	err = kernel_tx_port(gm, ue, port, b);
	if (err == -ENOTUNIQ)
		return by_target(buf, len, ue, b);
	/* A set that is not confirmed: the answer to a REGISTER */
	if (err == -ENOENT && text_is_answer(buf, len))
		err = kernel_tuple(gm, gm->ports.ps, ue, port, b);
	return err;
}

/* A phone that has one socket names its client port in Via, and in its contact. */
static bool has_one_socket(const char *buf, size_t len, const struct imsipsec_bundle *b)
{
	struct span text;

	if (text_is_answer(buf, len))
		return text_header(buf, len, "Via", "v", &text) &&
		       text_via_port(text) == b->port_uc;
	return text_target(buf, len, &text) && text_uri_port(text) == b->port_uc;
}

static int send_datagram(const struct socket_info *si, const char *buf, size_t len,
			 const union sockaddr_union *to, uint32_t mark)
{
	union {
		struct cmsghdr header;
		char room[CMSG_SPACE(sizeof(uint32_t))];
	} control = {};
	struct iovec iov = { (char *)buf, len };
	struct msghdr header = {
		.msg_name = (void *)&to->s,
		.msg_namelen = sockaddru_len(*to),
		.msg_iov = &iov,
		.msg_iovlen = 1,
	};
	ssize_t n;

	if (mark) {
		control.header.cmsg_level = SOL_SOCKET;
		control.header.cmsg_type = SO_MARK;
		control.header.cmsg_len = CMSG_LEN(sizeof(mark));
		memcpy(CMSG_DATA(&control.header), &mark, sizeof(mark));
		header.msg_control = &control;
		header.msg_controllen = sizeof(control);
	}
	do
		n = sendmsg(si->socket, &header, 0);
	while (n < 0 && (errno == EINTR || errno == EAGAIN));
	return n;
}

static int by_udp(struct gm *gm, const char *buf, size_t len, const union sockaddr_union *to,
		  const struct imsipsec_bundle *b)
{
	bool one = has_one_socket(buf, len, b);
	struct listener *from = listener_of(gm, one ? b->port_ps : b->port_pc);
	union sockaddr_union ue = *to;
	char text[INET6_ADDRSTRLEN];
	int n;

	if (!from) {
		LIMITED(LM_ERR, "no socket=ipsec: for port %u, which a phone's set has\n",
			one ? b->port_ps : b->port_pc);
		return -1;
	}
	su_setport(&ue, one ? b->port_uc : b->port_us);
	n = send_datagram(from->udp, buf, len, &ue, b->mark);
	if (n < 0)
		LIMITED(LM_ERR, "to %s port %u: %s%s\n",
			imsipsec_addr_format(&b->ue_address, text, sizeof(text)),
			su_getport(&ue), strerror(errno),
			errno == ENETUNREACH ? ": there has to be a route to phones' inner addresses"
					     : "");
	return n;
}

static int by_tcp(struct gm *gm, char *buf, unsigned int len, const union sockaddr_union *to,
		  const struct imsipsec_bundle *b)
{
	struct listener *from = listener_of(gm, b->port_pc);
	union sockaddr_union ue = *to;

	if (!from) {
		LIMITED(LM_ERR, "no socket=ipsec: for port %u, which a phone's set has\n",
			b->port_pc);
		return -1;
	}
	su_setport(&ue, b->port_us);
	if (b->mode == IMSIPSEC_MODE_UDP_ENC_TUN && !b->unmarked)
		return tcp_send_marked(from->tcp, buf, len, &ue, b->mark);
	return send_by(PROTO_TCP, from->tcp, buf, len, &ue, 0);
}

/*
 * A request that came in clear is the core's: OpenSIPS has a protected socket for it from the contact
 * or the dialog of a phone, which need not be known here, as after a restart.
 */
static bool is_from_core(void)
{
	const struct cell *t = tmb.t_gett();

	if (t && t != T_UNDEFINED && t->uas.request)
		return !is_hidden(t->uas.request->rcv.bind_address);
	return script_in_clear();
}

/* An answer, and a request to a contact that was registered over a set, is for a phone. */
static bool is_for_phone(const char *buf, unsigned int len)
{
	struct span uri;
	uint32_t id;

	return text_is_answer(buf, len) || is_from_core() ||
	       (text_target(buf, len, &uri) && target_get(uri, &id, 1));
}

/* Whoever it is for has no set. */
static int in_clear(const struct socket_info *source, char *buf, unsigned int len,
		    const union sockaddr_union *to, unsigned int id)
{
	const struct socket_info *si = open_socket(source);
	struct ip_addr ip;

	sockaddr2ip_addr(&ip, (struct sockaddr *)&to->s);
	/* IPsec is optional there: what came in clear is answered so. */
	if (settings.bypass)
		return send_by(source->proto, source, buf, len, to, id);
	if (is_for_phone(buf, len)) {
		LIMITED(LM_WARN, "%s port %u: the phone has no set any more: not sent in clear\n",
			ip_addr2a(&ip), su_getport(to));
		return -1;
	}
	if (!si) {
		LIMITED(LM_ERR,
			"%s port %u is no phone with a set, and there is no socket that is not "
			"protected to send from: refused\n",
			ip_addr2a(&ip), su_getport(to));
		return -1;
	}
	LIMITED(LM_WARN,
		"%s port %u is no phone with a set: what was to leave by port %u leaves by %.*s\n",
		ip_addr2a(&ip), su_getport(to), source->port_no, si->sock_str.len, si->sock_str.s);
	return send_by(si->proto, si, buf, len, to, 0);
}

int send_protected(SEND_ARGS)
{
	bool answer = text_is_answer(buf, len);
	struct gm *gm = gm_of(&source->address);
	struct listener *by = gm ? listener_of(gm, source->port_no) : NULL;
	struct imsipsec_bundle b;
	struct imsipsec_addr ue;
	struct ip_addr ip;
	int err;

	if (!by) {
		LM_BUG("by a socket that is none of IPsec\n");
		return -1;
	}
	source = source->proto == PROTO_TCP ? by->tcp : by->udp;
	if (source->proto == PROTO_TCP && answer && is_connected(id))
		return send_by(PROTO_TCP, source, buf, len, to, id);
	sockaddr2ip_addr(&ip, (struct sockaddr *)&to->s);
	to_addr(&ue, &ip);
	err = choose(gm, buf, len, &ue, su_getport(to), source->proto == PROTO_UDP ? id : 0, &b);
	if (err == -ENOENT)
		return in_clear(source, buf, len, to, id);
	if (err) {
		LIMITED(LM_ERR, "%s port %u: which phone it is cannot be told: %s\n",
			ip_addr2a(&ip), su_getport(to), strerror(-err));
		return -1;
	}
	if (source->proto == PROTO_TCP)
		return by_tcp(gm, buf, len, to, &b);
	return by_udp(gm, buf, len, to, &b);
}
