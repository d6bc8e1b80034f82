// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Who a request may say that it is from: the P-CSCF goes by the SA that it came over, whatever
 * identity it names (TS 24.229 clause 5.2.6.3).
 */
#include <string.h>

#include "core/dprint.h"
#include "core/mem/shm_mem.h"
#include "core/parser/parse_from.h"
#include "core/parser/parse_to.h"

#include "ims_ipsec.h"

#define DOMAINS_MAX	8

/* Shared: the process that a request comes to need not be one in which the script names them. */
static udomain_t **domains;

int identity_init(void)
{
	domains = shm_malloc(DOMAINS_MAX * sizeof(*domains));
	if (!domains) {
		LM_ERR("no shared memory\n");
		return -1;
	}
	memset(domains, 0, DOMAINS_MAX * sizeof(*domains));
	return 0;
}

void identity_domain(udomain_t *d)
{
	for (int i = 0; i < DOMAINS_MAX; i++) {
		udomain_t *there = NULL;

		if (__atomic_compare_exchange_n(&domains[i], &there, d, false, __ATOMIC_ACQ_REL,
						__ATOMIC_ACQUIRE) ||
		    there == d)
			return;
	}
}

/* Without parameters, and a display name has gone before */
static str bare(str uri)
{
	for (int i = 0; i < uri.len; i++) {
		if (uri.s[i] == ';' || uri.s[i] == '?')
			uri.len = i;
	}
	return uri;
}

static bool same(str a, str b)
{
	a = bare(a);
	b = bare(b);
	return a.len == b.len && !strncasecmp(a.s, b.s, a.len);
}

static bool is_anonymous(str uri)
{
	static const char host[] = "anonymous.invalid";

	uri = bare(uri);
	return uri.len > (int)sizeof(host) &&
	       !strncasecmp(uri.s + uri.len - sizeof(host) + 1, host, sizeof(host) - 1) &&
	       uri.s[uri.len - sizeof(host)] == '@';
}

/*
 * Of the contact that came from there, filed under a host; a phone whose registration says no
 * identities has the benefit of it. Somebody else may have been there before, and the contact of
 * that one may still be.
 */
static bool may_be(udomain_t *d, struct sip_msg *msg, const struct imsipsec_bundle *over, str host,
		   str from, bool *known)
{
	unsigned short port = msg->rcv.src_port;
	pcontact_t *c = NULL;
	bool may = false;
	ppublic_t *p;

	ul.lock_udomain(d, &host, port, msg->rcv.proto);
	while ((c = contact_from(d, &host, &msg->rcv.src_ip, c))) {
		if (c->received_port != port && c->contact_port != port)
			continue;
		if (contact_is_of(c, over))
			break;
		*known = true;
	}
	if (c && c->head) {
		*known = true;
		for (p = c->head; p && !may; p = p->next)
			may = same(p->public_identity, from);
	}
	ul.unlock_udomain(d, &host, port, msg->rcv.proto);
	return may;
}

/* Is there one that has a set, and none that came in clear from that port */
static bool has_set(udomain_t *d, struct sip_msg *msg, str host)
{
	unsigned short port = msg->rcv.src_port;
	bool set = false, clear = false;
	pcontact_t *c = NULL;

	ul.lock_udomain(d, &host, port, msg->rcv.proto);
	while ((c = contact_from(d, &host, &msg->rcv.src_ip, c))) {
		if (contact_has_set(c))
			set = true;
		else if (c->received_port == port)
			clear = true;
	}
	ul.unlock_udomain(d, &host, port, msg->rcv.proto);
	return set && !clear;
}

/*
 * The user location files a contact under the host of the REGISTER's Via, which is what the phone
 * says: another spelling of its address, or another address. What the script finds a contact by is
 * the Via of this message; so both are looked at.
 */
struct hosts {
	char text[IP_ADDR_MAX_STR_SIZE + 2];
	str host[2];
};

static void hosts_of(struct sip_msg *msg, struct hosts *hosts)
{
	/* In [] if it is IPv6, as in Via */
	hosts->host[0].s = hosts->text;
	hosts->host[0].len = ip_addr2sbufz(&msg->rcv.src_ip, hosts->text, sizeof(hosts->text));
	hosts->host[1] = msg->via1 ? msg->via1->host : (str) { NULL, 0 };
}

static bool is_own(struct sip_msg *msg, const struct imsipsec_bundle *over, str from, bool *known)
{
	struct hosts hosts;

	hosts_of(msg, &hosts);
	for (int i = 0; i < DOMAINS_MAX && domains[i]; i++) {
		for (int j = 0; j < 2 && hosts.host[j].len; j++) {
			if (may_be(domains[i], msg, over, hosts.host[j], from, known))
				return true;
		}
	}
	return false;
}

/*
 * Of two, the core may read the one that is not looked at here. Kamailio refuses such a message
 * itself, but with sip_parser_mode 0.
 */
static bool is_ambiguous(const struct sip_msg *msg)
{
	int from = 0, to = 0, call_id = 0;

	for (struct hdr_field *h = msg->headers; h; h = h->next) {
		from += h->type == HDR_FROM_T;
		to += h->type == HDR_TO_T;
		call_id += h->type == HDR_CALLID_T;
	}
	return from > 1 || to > 1 || call_id > 1;
}

bool begins_something(struct sip_msg *msg)
{
	struct to_body *to;

	if (!msg->to || (!msg->to->parsed && parse_to_header(msg) < 0))
		return false;
	to = get_to(msg);
	return !to->tag_value.len;
}

static bool register_holds(struct sip_msg *msg, const struct imsipsec_bundle *over)
{
	struct hdr_field *h = NULL;
	str name;

	/* Which one of several the core goes by is not known here, nor how it reads a strange one. */
	while ((h = next_header(msg, "Authorization", h))) {
		name = auth_param(&h->body, "username");
		if ((int)over->owner_len == name.len && !memcmp(over->owner, name.s, name.len))
			continue;
		/* A line of the log is a line, whatever is folded within quotes. */
		LIMITED(LM_WARN, "REGISTER of %.*s over a set of %.*s: refused\n",
			name.s ? (int)strcspn(name.s, "\r\n\"") : 0, name.s ? name.s : "",
			(int)over->owner_len, (const char *)over->owner);
		return false;
	}
	if (over->state != IMSIPSEC_STATE_TEMPORARY || create_agrees(msg, over))
		return true;
	LIMITED(LM_WARN,
		"%.*s: Security-Client is not that of the first REGISTER, or somebody has changed "
		"that one on its way: refused\n",
		(int)over->owner_len, (const char *)over->owner);
	return false;
}

bool identity_holds(struct sip_msg *msg, const struct imsipsec_bundle *over)
{
	bool known = false;
	str from;

	if (parse_headers(msg, HDR_EOH_F, 0) < 0)
		return true;
	if (is_ambiguous(msg)) {
		LIMITED(LM_WARN, "%.*s of %.*s with two From, To or Call-ID: refused\n",
			msg->first_line.u.request.method.len, msg->first_line.u.request.method.s,
			(int)over->owner_len, (const char *)over->owner);
		return false;
	}
	if (msg->first_line.u.request.method_value == METHOD_REGISTER)
		return register_holds(msg, over);
	if (msg->first_line.u.request.method_value == METHOD_CANCEL)
		return true;
	if (!begins_something(msg)) {
		/* That of an answer that is none of 2xx has no Route */
		if (dialog_holds(msg, over) || msg->first_line.u.request.method_value == METHOD_ACK)
			return true;
		LIMITED(LM_WARN,
			"%.*s of %.*s within a dialog of another subscriber, or one that "
			"was not recorded: refused\n",
			msg->first_line.u.request.method.len, msg->first_line.u.request.method.s,
			(int)over->owner_len, (const char *)over->owner);
		return false;
	}
	dialog_begins(msg, over);
	if (msg->first_line.u.request.method_value == METHOD_ACK)
		return true;
	/* The core may read it as somebody's. */
	if (parse_from_header(msg) < 0) {
		LIMITED(LM_WARN, "%.*s of %.*s with a From that cannot be read: refused\n",
			msg->first_line.u.request.method.len,
			msg->first_line.u.request.method.s, (int)over->owner_len,
			(const char *)over->owner);
		return false;
	}
	from = get_from(msg)->uri;
	if (is_anonymous(from) || is_own(msg, over, from, &known) || !known)
		return true;
	LIMITED(LM_WARN,
		"%.*s with From %.*s, which is none of the identities of the phone's registration: "
		"refused\n",
		msg->first_line.u.request.method.len, msg->first_line.u.request.method.s, from.len,
		from.s);
	return false;
}

bool identity_in_clear(struct sip_msg *msg)
{
	static const char help[] = "urn:service:sos";
	char text[IP_ADDR_MAX_STR_SIZE + 1] = "";
	str uri = msg->first_line.u.request.uri;
	struct hosts hosts;
	bool has = false;

	if ((msg->first_line.u.request.method_value &
	     (METHOD_REGISTER | METHOD_ACK | METHOD_CANCEL)) ||
	    parse_headers(msg, HDR_EOH_F, 0) < 0 || !begins_something(msg) ||
	    is_trusted(&msg->rcv.src_ip) ||
	    (uri.len >= (int)sizeof(help) - 1 && !strncasecmp(uri.s, help, sizeof(help) - 1)))
		return true;
	hosts_of(msg, &hosts);
	for (int i = 0; !has && i < DOMAINS_MAX && domains[i]; i++) {
		for (int j = 0; !has && j < 2 && hosts.host[j].len; j++)
			has = has_set(domains[i], msg, hosts.host[j]);
	}
	if (!has)
		return true;
	ip_addr2sbuf(&msg->rcv.src_ip, text, sizeof(text) - 1);
	LIMITED(LM_WARN,
		"%s: %.*s in clear, and a phone is registered there over IPsec: refused\n", text,
		msg->first_line.u.request.method.len, msg->first_line.u.request.method.s);
	return false;
}
