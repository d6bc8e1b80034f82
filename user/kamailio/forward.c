// SPDX-License-Identifier: GPL-2.0-or-later
/* ipsec_forward() and ipsec_destroy(): over which set a message goes, and its end. */
#include <stdlib.h>
#include <string.h>

#include "core/dprint.h"
#include "core/parser/contact/contact.h"
#include "core/parser/parse_expires.h"
#include "core/parser/parse_uri.h"
#include "core/parser/parse_via.h"
#include "core/ut.h"

#include "ims_ipsec.h"

/* From where to where */
struct way {
	int proto;
	unsigned short src, dst;
};

static struct socket_info *socket_of(const struct imsipsec_bundle *b, const struct way *way)
{
	struct ip_addr ip;

	to_ip(&ip, &b->address);
	return find_si(&ip, way->src, way->proto);
}

static struct way pc_to_us(const struct imsipsec_bundle *b, int proto)
{
	return (struct way) { proto, b->port_pc, b->port_us };
}

static struct way ps_to_uc(const struct imsipsec_bundle *b, int proto)
{
	return (struct way) { proto, b->port_ps, b->port_uc };
}

static bool is_stream(int proto)
{
	return proto == PROTO_TCP || proto == PROTO_TLS;
}

/* Socket of a message, and $du of a request; NULL if Kamailio has not got the socket */
static struct socket_info *point(struct sip_msg *msg, const struct imsipsec_bundle *b,
				 struct way *way, int flags)
{
	struct socket_info *si = socket_of(b, way);
	char text[128];
	str uri = { text, 0 };

	if (!si && (flags & FORWARD_TRY_TCP) && way->proto == PROTO_UDP) {
		way->proto = PROTO_TCP;
		si = socket_of(b, way);
	}
	if (!si) {
		LIMITED(LM_ERR,
			"Kamailio does not listen at port %u, which set %u is to be sent from: was "
			"it restarted with other ports?\n",
			way->src, b->id);
		return NULL;
	}
	msg->force_send_socket = si;
	/* Where an answer goes is the transaction's. */
	if ((flags & FORWARD_KEEP_DST_URI) || msg->first_line.type == SIP_REPLY)
		return si;
	uri.len = uri_host_port(text, sizeof(text), &b->ue_address, way->dst,
				!(flags & FORWARD_TRANSPORT) ? "" :
				way->proto == PROTO_TCP ? ";transport=tcp" :
				way->proto == PROTO_TLS ? ";transport=tls" : "");
	if (set_dst_uri(msg, &uri) < 0)
		return NULL;
	return si;
}

/* --- Requests */

static int next_hop_proto(struct sip_msg *msg)
{
	str text = msg->dst_uri.len   ? msg->dst_uri
		   : msg->new_uri.len ? msg->new_uri
				      : msg->first_line.u.request.uri;
	struct sip_uri uri;

	if (parse_uri(text.s, text.len, &uri) < 0 || uri.proto == PROTO_NONE ||
	    uri.proto == PROTO_OTHER)
		return PROTO_UDP;
	return uri.proto;
}

/* Nothing has come over TCP from where it went to, not even 100 */
static bool is_unanswered(const struct ua_client *uac)
{
	const struct dest_info *dst = &uac->request.dst;

	return is_stream(dst->proto) && dst->send_sock && !(uac->request.flags & F_RB_REPLIED) &&
	       is_protected(&dst->send_sock->address, dst->send_sock->port_no);
}

/* An answer leaves that Kamailio has made itself */
static void on_own_answer(tm_cell_t *t, int type, struct tmcb_params *ps)
{
	char ue[INET6_ADDRSTRLEN];
	struct imsipsec_addr addr;
	struct ip_addr ip;

	if (ps->rpl != FAKED_REPLY || t->uas.status < 300)
		return;
	for (int i = 0; i < t->nr_of_outgoings; i++) {
		union sockaddr_union *to = &t->uac[i].request.dst.to;

		if (!is_unanswered(&t->uac[i]))
			continue;
		su2ip_addr(&ip, to);
		to_addr(&addr, &ip);
		LIMITED(LM_WARN,
			"the phone at %s does not answer over TCP at its port %u: it takes no "
			"connection there, though it may answer over UDP. With flag 64 Kamailio "
			"sends over the connection that the phone has opened\n",
			imsipsec_addr_format(&addr, ue, sizeof(ue)), su_getport(to));
	}
}

static bool has_keys(struct sip_msg *msg)
{
	struct hdr_field *h = NULL;

	while ((h = next_header(msg, "WWW-Authenticate", h))) {
		if (auth_param(&h->body, "ck").s || auth_param(&h->body, "ik").s)
			return true;
	}
	return false;
}

/* Where an answer goes next, by Via; false: an address that is a name, or none */
static bool next_of_answer(struct sip_msg *msg, struct imsipsec_addr *addr)
{
	struct ip_addr ip;
	str host;

	if (!msg->via2 || msg->via2->error != PARSE_OK)
		return false;
	host = msg->via2->received ? msg->via2->received->value : msg->via2->host;
	if (str2ipxbuf(&host, &ip) < 0)
		return false;
	to_addr(addr, &ip);
	return true;
}

int late_answer(struct sip_msg *msg)
{
	char ue[INET6_ADDRSTRLEN] = "somewhere";
	struct imsipsec_addr addr;
	tm_cell_t *t;
	int branch;
	bool known;

	/* A phone's goes to the core. */
	if (is_protected(&msg->rcv.dst_ip, msg->rcv.dst_port))
		return 1;
	tmb.t_check(msg, &branch);
	t = tmb.t_gett();
	if ((t && t != T_UNDEFINED) || parse_headers(msg, HDR_EOH_F, 0) < 0)
		return 1;
	known = next_of_answer(msg, &addr);
	if (!has_keys(msg) && (!known || !kernel_has_sets(&addr)))
		return 1;
	LIMITED(LM_WARN,
		"an answer %u for the phone at %s has come too late, when Kamailio has given its request "
		"up: not sent in clear\n",
		msg->first_line.u.reply.statuscode,
		known ? imsipsec_addr_format(&addr, ue, sizeof(ue)) : ue);
	return 0;
}

/*
 * The phone's set has gone. Where the script sends the request all the same, this is from a
 * protected port, and the guard has it.
 */
static void shut(struct sip_msg *msg, const struct place *place)
{
	for (int i = 0; i < settings.n_gm; i++) {
		if (settings.gm[i].addr.family == place->ue.family) {
			msg->force_send_socket = find_si(&settings.gm[i].ip, settings.port_pc[0],
							 PROTO_UDP);
			msg->fwd_send_flags.f |= SND_F_FORCE_SOCKET;
			return;
		}
	}
}

static int send_request(struct sip_msg *msg, udomain_t *d, int flags)
{
	char ue[INET6_ADDRSTRLEN];
	struct imsipsec_bundle b;
	struct place place;
	struct way way;
	int proto;

	if (!contact_of_request(d, msg, NULL, flags, &place))
		return FAILED;
	if (kernel_tx(&place, &b)) {
		LIMITED(LM_ERR,
			"there is no confirmed set of SAs of the phone at %s: it did not register "
			"over IPsec, or its set has ended\n",
			imsipsec_addr_format(&place.ue, ue, sizeof(ue)));
		if (place.secured)
			shut(msg, &place);
		return FAILED;
	}
	proto = flags & FORWARD_USE_VIA ? next_hop_proto(msg) : place.proto;
	way = is_stream(proto) && (flags & FORWARD_TCP_TO_UC) ? ps_to_uc(&b, proto)
							      : pc_to_us(&b, proto);
	if (!point(msg, &b, &way, flags))
		return FAILED;
	/*
	 * A connection comes from the socket's port only so, and elsewhere there is no SA. Kamailio
	 * makes one also for what is too long for UDP (udp_mtu_try_proto).
	 */
	msg->fwd_send_flags.f |= SND_F_FORCE_SOCKET;
	if (begins_something(msg))
		dialog_begins(msg, &b);
	dialog_to_server_port(msg, &b, way.proto);
	if (is_stream(way.proto) && way.dst == b.port_us)
		tmb.register_tmcb(msg, NULL, TMCB_RESPONSE_OUT, on_own_answer, NULL, NULL);
	return DONE;
}

/* --- Answers */

static bool asks_to_leave(struct sip_msg *req)
{
	struct contact *contact = first_contact(req);
	unsigned int seconds = 1;

	if (contact && contact->expires && contact->expires->body.len)
		str2int(&contact->expires->body, &seconds);
	else if (req->expires && (req->expires->parsed || !parse_expires(req->expires)))
		seconds = ((exp_body_t *)req->expires->parsed)->val;
	return !seconds;
}

/* For how long the 200 OK to a REGISTER holds: what it says of the contact of the request */
static long expires_of(struct sip_msg *reply, struct sip_msg *req)
{
	struct contact *wanted = first_contact(req), *contact;
	unsigned int all = 0, seconds;
	long best = -1;

	/* The contacts that are left are those of other phones. */
	if (asks_to_leave(req))
		return 0;
	if (parse_headers(reply, HDR_EOH_F, 0) < 0)
		return 0;
	if (reply->expires && (reply->expires->parsed || !parse_expires(reply->expires)))
		all = ((exp_body_t *)reply->expires->parsed)->val;
	for (contact = first_contact(reply); contact; contact = contact->next) {
		seconds = all;
		if (contact->expires && contact->expires->body.len)
			str2int(&contact->expires->body, &seconds);
		/* Of several, that of this phone; else the longest, which does no harm */
		if (wanted && wanted->uri.len == contact->uri.len &&
		    !memcmp(wanted->uri.s, contact->uri.s, contact->uri.len))
			return seconds;
		if ((long)seconds > best)
			best = seconds;
	}
	return best < 0 ? 0 : best;
}

static bool is_ok_to_register(const struct sip_msg *reply, const struct sip_msg *req)
{
	return req->first_line.u.request.method_value == METHOD_REGISTER &&
	       reply->first_line.u.reply.statuscode / 100 == 2;
}

/* The set that the request came over; else, where the request had no set, that of its contact */
static int set_of_reply(struct sip_msg *reply, const struct sip_msg *request, udomain_t *d,
			struct imsipsec_bundle *b, bool *over)
{
	struct place place;
	struct copy req;
	int err;

	err = over_of_request(request, b);
	*over = !err;
	/* A call may ring for longer than a set lives that was replaced. */
	if (!err && request->first_line.u.request.method_value == METHOD_INVITE)
		return kernel_still(b);
	if (err != -ENOENT)
		return err;
	if (copy_begin(&req, request))
		return -ENOMEM;
	if (contact_of_reply(d, reply, &req.msg, &place))
		err = kernel_tx(&place, b);
	copy_end(&req);
	return err;
}

/* What came in clear proves nothing of a set. */
static int confirm(struct sip_msg *reply, const struct sip_msg *request, udomain_t *d,
		   const struct imsipsec_bundle *over)
{
	struct copy req;
	long expires;

	/* By what the user location has told, before */
	if (kernel_has_confirmed(request, over))
		return 0;
	if (copy_begin(&req, request))
		return -1;
	expires = expires_of(reply, &req.msg);
	if (expires)
		contact_describe_restored(d, reply, &req.msg, over);
	copy_end(&req);
	return expires ? kernel_confirm(request, over, expires) : 0;
}

static int send_reply(struct sip_msg *msg, udomain_t *d, int flags)
{
	tm_cell_t *t = tmb.t_gett();
	const struct sip_msg *req;
	struct imsipsec_bundle b;
	struct via_body *via;
	struct dest_info dst;
	struct socket_info *si;
	struct ip_addr ip;
	struct way way;
	bool over;
	int proto;

	if (!t || t == T_UNDEFINED || !t->uas.request) {
		LIMITED(LM_ERR, "ipsec_forward: an answer without its request\n");
		return FAILED;
	}
	req = t->uas.request;
	if (set_of_reply(msg, req, d, &b, &over)) {
		LIMITED(LM_ERR, "there is no set of SAs for the answer %u to %.*s\n",
			msg->first_line.u.reply.statuscode, req->first_line.u.request.method.len,
			req->first_line.u.request.method.s);
		return FAILED;
	}
	if (is_ok_to_register(msg, req) &&
	    ((over && confirm(msg, req, d, &b)) ||
	     add_headers(msg, "Supported: sec-agree\r\nRequire: sec-agree\r\n")))
		return FAILED;
	via = last_via(msg);
	proto = (flags & FORWARD_USE_VIA) && via ? via->proto : req->rcv.proto;
	if (is_stream(proto))
		way = ps_to_uc(&b, proto);
	else if (via && via->port == b.port_uc && via->port != b.port_us)
		/* A phone that has one socket, and says so (RFC 3261 clause 18.2.2) */
		way = ps_to_uc(&b, proto);
	else
		way = pc_to_us(&b, proto);
	si = point(msg, &b, &way, flags);
	if (!si)
		return FAILED;
	/* That of a set that has gone since went with it; the phone has opened one over this set. */
	if (is_stream(proto) && is_stream(req->rcv.proto) &&
	    (!over || req->rcv.src_port == b.port_uc || req->rcv.src_port == b.port_us)) {
		init_dst_from_rcv(&dst, &t->uas.request->rcv);
		/* Where that connection has gone, another one is not to be made in clear. */
		if (over)
			dst.send_flags.f |= SND_F_FORCE_SOCKET;
	} else {
		init_dest_info(&dst);
		dst.send_sock = si;
		dst.proto = way.proto;
		if (is_stream(way.proto))
			dst.send_flags.f |= SND_F_FORCE_SOCKET;
		to_ip(&ip, &b.ue_address);
		init_su(&dst.to, &ip, way.dst);
	}
	t->uas.response.dst = dst;
	return DONE;
}

int ipsec_forward(struct sip_msg *msg, udomain_t *d, int flags)
{
	return msg->first_line.type == SIP_REPLY ? send_reply(msg, d, flags)
						 : send_request(msg, d, flags);
}

/* --- The end */

static int destroy(const struct place *place)
{
	char ue[INET6_ADDRSTRLEN];
	struct imsipsec_bundle b;

	if (kernel_of_contact(place, &b)) {
		LIMITED(LM_ERR, "there is no set of SAs of the phone at %s\n",
			imsipsec_addr_format(&place->ue, ue, sizeof(ue)));
		return FAILED;
	}
	return kernel_end(&b) ? FAILED : DONE;
}

int ipsec_destroy(struct sip_msg *msg, udomain_t *d, str *uri)
{
	struct imsipsec_bundle b;
	struct place place;
	struct copy req;
	tm_cell_t *t;
	bool found;

	if (msg->first_line.type != SIP_REPLY || (uri && uri->len)) {
		found = contact_of_request(d, msg, uri, 0, &place);
	} else {
		t = tmb.t_gett();
		if (!t || t == T_UNDEFINED || !t->uas.request || copy_begin(&req, t->uas.request))
			return FAILED;
		found = contact_of_reply(d, msg, &req.msg, &place);
		copy_end(&req);
		/* What came in clear may be anybody's. */
		if (found && over_of_request(t->uas.request, &b) &&
		    !kernel_of_contact(&place, &b) && b.state != IMSIPSEC_STATE_TEMPORARY) {
			LIMITED(LM_WARN,
				"an answer to a request in clear does not end set %u, which is in "
				"use\n",
				b.id);
			return FAILED;
		}
	}
	return found ? destroy(&place) : FAILED;
}

int ipsec_destroy_by_contact(udomain_t *d, str *uri, str *host, int port)
{
	struct place place;

	return contact_by(d, uri, host, port, &place) ? destroy(&place) : FAILED;
}
