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
 * identities has the benefit of it.
 */
static bool may_be(udomain_t *d, struct sip_msg *msg, str host, str from, bool *known)
{
	struct pcontact_info info = { .searchflag = SEARCH_RECEIVED,
				      .reg_state = PCONTACT_REGISTERED };
	char text[IP_ADDR_MAX_STR_SIZE + 2];
	pcontact_t *c = NULL;
	bool may = false;
	ppublic_t *p;

	info.via_host = host;
	info.via_port = info.received_port = msg->rcv.src_port;
	info.via_prot = info.received_proto = msg->rcv.proto;
	info.received_host.s = text;
	info.received_host.len = ip_addr2sbuf(&msg->rcv.src_ip, text, sizeof(text));
	ul.lock_udomain(d, &info.via_host, info.via_port, info.via_prot);
	if (!ul.get_pcontact(d, &info, &c, 1) && c && c->head) {
		*known = true;
		for (p = c->head; p && !may; p = p->next)
			may = same(p->public_identity, from);
	}
	ul.unlock_udomain(d, &info.via_host, info.via_port, info.via_prot);
	return may;
}

/*
 * The user location files a contact under the host of the REGISTER's Via, which is what the phone
 * says: another spelling of its address, or another address. What the script finds a contact by is
 * the Via of this message; so both are looked at.
 */
static bool is_own(struct sip_msg *msg, str from, bool *known)
{
	char text[IP_ADDR_MAX_STR_SIZE + 2];
	str hosts[2] = { { text, 0 }, { NULL, 0 } };

	/* In [] if it is IPv6, as in Via */
	hosts[0].len = ip_addr2sbufz(&msg->rcv.src_ip, text, sizeof(text));
	if (msg->via1)
		hosts[1] = msg->via1->host;
	for (int i = 0; i < DOMAINS_MAX && domains[i]; i++) {
		for (int j = 0; j < 2 && hosts[j].len; j++) {
			if (may_be(domains[i], msg, hosts[j], from, known))
				return true;
		}
	}
	return false;
}

bool begins_something(struct sip_msg *msg)
{
	struct to_body *to;

	if (!msg->to || (!msg->to->parsed && parse_to_header(msg) < 0))
		return false;
	to = get_to(msg);
	return !to->tag_value.len;
}

static bool register_holds(const struct sip_msg *msg, const struct imsipsec_bundle *over)
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
	return true;
}

bool identity_holds(struct sip_msg *msg, const struct imsipsec_bundle *over)
{
	bool known = false;
	str from;

	if (parse_headers(msg, HDR_EOH_F, 0) < 0)
		return true;
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
	if (is_anonymous(from) || is_own(msg, from, &known) || !known)
		return true;
	LIMITED(LM_WARN,
		"%.*s with From %.*s, which is none of the identities of the phone's registration: "
		"refused\n",
		msg->first_line.u.request.method.len, msg->first_line.u.request.method.s, from.len,
		from.s);
	return false;
}
