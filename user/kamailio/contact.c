// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Contacts of the user location.
 *
 * A registration has two: that of the REGISTER in clear, which waits and goes, and that of the
 * protected one. What the registrar has written into the second of SPIs and ports is what the phone
 * says of them; it is replaced by what the set has when the REGISTER is answered.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "core/dprint.h"
#include "core/hashes.h"
#include "core/mem/mem.h"
#include "core/mem/shm_mem.h"
#include "core/parser/contact/contact.h"
#include "core/parser/parse_uri.h"
#include "core/parser/parse_via.h"
#include "core/resolve.h"
#include "modules/ims_usrloc_pcscf/hslot.h"

#include "ims_ipsec.h"

#define ALIAS_PARAM	";alias="

/* --- What stands in a contact of its set */

static void free_str(str *s)
{
	if (s->s)
		shm_free(s->s);
}

static void free_described(security_t *security)
{
	if (!security)
		return;
	free_str(&security->sec_header);
	if (security->type == SECURITY_IPSEC && security->data.ipsec) {
		ipsec_t *ipsec = security->data.ipsec;
		str *parts[] = { &ipsec->ealg,	&ipsec->r_ealg, &ipsec->ck,   &ipsec->alg,
				 &ipsec->r_alg, &ipsec->ik,	&ipsec->prot, &ipsec->mod };

		for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++)
			free_str(parts[i]);
		shm_free(ipsec);
	} else if (security->type == SECURITY_TLS && security->data.tls) {
		shm_free(security->data.tls);
	}
	shm_free(security);
}

/* Without NUL, as the user location takes it; what is there already stays */
static bool shm_text(str *s, const char *text)
{
	int len = strlen(text);
	char *new;

	if (s->s && s->len == len && !memcmp(s->s, text, len))
		return true;
	new = shm_malloc(len);
	if (!new)
		return false;
	memcpy(new, text, len);
	free_str(s);
	s->s = new;
	s->len = len;
	return true;
}

static security_t *nothing_described(void)
{
	security_t *security = shm_malloc(sizeof(*security));
	ipsec_t *ipsec = shm_malloc(sizeof(*ipsec));

	if (!security || !ipsec) {
		if (security)
			shm_free(security);
		if (ipsec)
			shm_free(ipsec);
		return NULL;
	}
	memset(security, 0, sizeof(*security));
	memset(ipsec, 0, sizeof(*ipsec));
	security->type = SECURITY_IPSEC;
	security->data.ipsec = ipsec;
	return security;
}

/* What the registrar writes there of a phone. Keys are the kernel's: of them nothing is kept. */
static bool describe(ipsec_t *ipsec, const struct imsipsec_bundle *b)
{
	if (!shm_text(&ipsec->r_alg, imsipsec_alg_name(b->alg)) ||
	    !shm_text(&ipsec->r_ealg, imsipsec_ealg_name(b->ealg)))
		return false;
	ipsec->spi_uc = b->spi_uc;
	ipsec->spi_us = b->spi_us;
	ipsec->spi_pc = b->spi_pc;
	ipsec->spi_ps = b->spi_ps;
	ipsec->port_uc = b->port_uc;
	ipsec->port_us = b->port_us;
	ipsec->port_pc = b->port_pc;
	ipsec->port_ps = b->port_ps;
	return true;
}

static bool describes(const security_t *security, const struct imsipsec_bundle *b)
{
	const ipsec_t *ipsec = security && security->type == SECURITY_IPSEC ? security->data.ipsec
									    : NULL;

	return ipsec && ipsec->spi_ps == b->spi_ps && ipsec->spi_pc == b->spi_pc &&
	       ipsec->port_uc == b->port_uc && ipsec->port_us == b->port_us &&
	       ipsec->port_pc == b->port_pc && ipsec->port_ps == b->port_ps;
}

/*
 * The registrar has written there what the phone says. It is written over, for each piece of memory
 * costs Kamailio thousands of instructions.
 */
static int describe_set(udomain_t *d, pcontact_t *c, const struct imsipsec_bundle *b)
{
	security_t *old = c->security_temp, *security = old;

	if (describes(old, b))
		return 0;
	if (!old || old->type != SECURITY_IPSEC || !old->data.ipsec)
		security = nothing_described();
	if (!security || !describe(security->data.ipsec, b)) {
		LM_ERR("no shared memory\n");
		if (security != old)
			free_described(security);
		return -1;
	}
	if (ul.update_temp_security(d, SECURITY_IPSEC, security, c)) {
		LIMITED(LM_ERR, "the user location does not take what the set is\n");
		if (security != old)
			free_described(security);
		return -1;
	}
	if (security != old)
		free_described(old);
	return 0;
}

/* --- Finding them */

static unsigned short or_5060(int port)
{
	return port ? port : 5060;
}

static pcontact_t *find_locked(udomain_t *d, struct pcontact_info *info, int newest)
{
	pcontact_t *c = NULL;

	ul.lock_udomain(d, &info->via_host, info->via_port, info->via_prot);
	if (!ul.get_pcontact(d, info, &c, newest) && c)
		return c;
	ul.unlock_udomain(d, &info->via_host, info->via_port, info->via_prot);
	return NULL;
}

static bool came_from(const pcontact_t *c, const struct ip_addr *ip)
{
	struct ip_addr copy = *ip;
	char text[IP_ADDR_MAX_STR_SIZE + 2];
	int len = ip_addr2sbuf(&copy, text, sizeof(text));

	return c->received_host.len == len && !memcmp(c->received_host.s, text, len);
}

pcontact_t *contact_from(udomain_t *d, const str *host, const struct ip_addr *ip, pcontact_t *c)
{
	for (c = c ? c->prev : d->table[core_hash(host, NULL, 0) & (d->size - 1)].last; c;
	     c = c->prev) {
		if (c->reg_state == PCONTACT_REGISTERED && came_from(c, ip))
			return c;
	}
	return NULL;
}

static void unlock_found(udomain_t *d, struct pcontact_info *info)
{
	ul.unlock_udomain(d, &info->via_host, info->via_port, info->via_prot);
}

static const ipsec_t *ipsec_of(const pcontact_t *c)
{
	const security_t *security = c->security_temp ? c->security_temp : c->security;

	return security && security->type == SECURITY_IPSEC ? security->data.ipsec : NULL;
}

/*
 * The user location does not read from its database what it has written there of sets. A phone that
 * has had a set sends from another port than that of its Contact, the kernel module sees to that.
 * The registrar hooks itself in when the phone registers again.
 */
static bool is_from_database(const pcontact_t *c)
{
	return !c->cbs.first && c->received_port != c->contact_port;
}

/* What is asked of the kernel for it, when its slot is not locked any more; false: no address */
static bool locate(const pcontact_t *c, struct place *place)
{
	const ipsec_t *ipsec = ipsec_of(c);
	char text[INET6_ADDRSTRLEN + 2];

	memset(place, 0, sizeof(*place));
	if (c->received_host.len <= 0 || c->received_host.len >= (int)sizeof(text))
		return false;
	memcpy(text, c->received_host.s, c->received_host.len);
	text[c->received_host.len] = '\0';
	if (imsipsec_addr_parse(&place->ue, text))
		return false;
	place->received_port = c->received_port;
	place->contact_port = c->contact_port;
	place->proto = c->received_proto;
	if (ipsec) {
		place->spi_ps = ipsec->spi_ps;
		place->port_uc = ipsec->port_uc;
	}
	place->secured = place->spi_ps || is_from_database(c);
	return true;
}

bool contact_has_set(const pcontact_t *c)
{
	struct imsipsec_bundle b;
	struct place place;

	return locate(c, &place) && (place.secured || !kernel_of_contact(&place, &b));
}

bool contact_is_of(const pcontact_t *c, const struct imsipsec_bundle *over)
{
	struct imsipsec_bundle b;
	struct place place;

	if (!locate(c, &place) || !place.spi_ps || place.spi_ps == over->spi_ps)
		return true;
	return !kernel_of_contact(&place, &b) && b.owner_len == over->owner_len &&
	       !memcmp(b.owner, over->owner, b.owner_len);
}

void contact_end_dead(udomain_t *d, struct sip_msg *reply, const struct ip_addr *ip,
		      const struct imsipsec_bundle *new)
{
	struct via_body *via = last_via(reply);
	pcontact_t *c = NULL, *next;
	struct imsipsec_bundle b;
	struct place place;
	int err;

	if (!via)
		return;
	ul.lock_udomain(d, &via->host, via->port, via->proto);
	next = contact_from(d, &via->host, ip, NULL);
	while ((c = next)) {
		next = contact_from(d, &via->host, ip, c);
		if (c->received_port != new->port_uc || !locate(c, &place) || !place.secured)
			continue;
		/* Of one from a database the ports are all that is known, and the new set has them. */
		err = kernel_of_contact(&place, &b);
		if (err == -ENOENT || (!err && b.id == new->id))
			ul.delete_pcontact(d, c);
	}
	ul.unlock_udomain(d, &via->host, via->port, via->proto);
}

static bool has_port(const pcontact_t *c, unsigned short port)
{
	const ipsec_t *ipsec = ipsec_of(c);

	return ipsec && ipsec->spi_ps && (ipsec->port_us == port || ipsec->port_uc == port);
}

/*
 * Of several contacts at an address the newest whose set has the port. What stands in a contact of
 * that is the kernel's, while its URI is what the phone says, and it may say another one's port. An
 * older one may be of a set that has gone since, of the same phone or of one before it.
 */
static pcontact_t *whose_port(udomain_t *d, const struct pcontact_info *info, pcontact_t *found)
{
	str host = info->received_host;
	pcontact_t *c = NULL;
	struct ip_addr ip;

	if (str2ipxbuf(&host, &ip) < 0)
		return found;
	while ((c = contact_from(d, &info->via_host, &ip, c))) {
		if (has_port(c, info->received_port))
			return c;
	}
	return found;
}

static bool find_place(udomain_t *d, struct pcontact_info *info, int newest, struct place *place)
{
	pcontact_t *c = find_locked(d, info, newest);
	bool found;

	if (!c)
		return false;
	found = locate(whose_port(d, info, c), place);
	unlock_found(d, info);
	return found;
}

/*
 * The user location files contacts under the text of an address, and the URI of a request may spell
 * an IPv6 address in another way than Via of the REGISTER did. Whose address and port they are the
 * kernel knows as well.
 */
static bool find_spelled(const struct pcontact_info *info, struct place *place)
{
	str host = info->received_host;
	struct imsipsec_bundle b;
	struct ip_addr ip;

	if (str2ipxbuf(&host, &ip) < 0 || ip.af != AF_INET6)
		return false;
	memset(place, 0, sizeof(*place));
	to_addr(&place->ue, &ip);
	place->received_port = info->received_port;
	if (kernel_tx(place, &b))
		return false;
	place->received_port = b.port_uc;
	place->contact_port = b.port_us;
	place->proto = info->received_proto ? info->received_proto : PROTO_UDP;
	place->spi_ps = b.spi_ps;
	place->port_uc = b.port_uc;
	place->secured = true;
	return true;
}

/* A URI without its parameters, as the user location compares it */
static str bare(str uri)
{
	for (int i = 4; i < uri.len; i++) {
		if (uri.s[i] == ';')
			uri.len = i;
	}
	return uri;
}

/* @source: room for an address, for as long as @info is used */
static bool info_of_reply(struct pcontact_info *info, struct sip_msg *reply, struct sip_msg *req,
			  char *source, size_t size)
{
	struct contact *contact = first_contact(req);
	struct via_body *via = last_via(reply);

	if (!contact || !via) {
		LIMITED(LM_ERR, "no Contact in the request, or no Via in its answer\n");
		return false;
	}
	memset(info, 0, sizeof(*info));
	info->aor = bare(contact->uri);
	info->via_host = via->host;
	info->via_port = or_5060(via->port);
	info->via_prot = via->proto;
	info->searchflag = SEARCH_RECEIVED;
	info->received_host.s = source;
	info->received_host.len = ip_addr2sbuf(&req->rcv.src_ip, source, size);
	info->received_port = or_5060(req->rcv.src_port);
	info->received_proto = req->rcv.proto;
	return true;
}

static void say_no_contact(const struct pcontact_info *info)
{
	LIMITED(LM_ERR,
		"the user location has no contact of %.*s port %u: pcscf_save_pending comes "
		"first\n",
		info->received_host.len, info->received_host.s, info->received_port);
}

bool contact_of_reply(udomain_t *d, struct sip_msg *reply, struct sip_msg *req, struct place *place)
{
	char source[IP_ADDR_MAX_STR_SIZE + 2];
	struct pcontact_info info;

	if (!info_of_reply(&info, reply, req, source, sizeof(source)))
		return false;
	if (find_place(d, &info, 0, place))
		return true;
	say_no_contact(&info);
	return false;
}

int contact_describe(udomain_t *d, struct sip_msg *reply, struct sip_msg *req,
		     const struct imsipsec_bundle *b)
{
	char source[IP_ADDR_MAX_STR_SIZE + 2];
	struct pcontact_info info, same = {};
	pcontact_t *c;
	int err = 0;

	if (!info_of_reply(&info, reply, req, source, sizeof(source)))
		return -1;
	c = find_locked(d, &info, 0);
	if (!c) {
		say_no_contact(&info);
		return -1;
	}
	if (c->reg_state != PCONTACT_REGISTERED) {
		same.reg_state = c->reg_state;
		err = describe_set(d, c, b) || ul.update_pcontact(d, &same, c) ? -1 : 0;
	}
	unlock_found(d, &info);
	return err;
}

void contact_describe_restored(udomain_t *d, struct sip_msg *reply, struct sip_msg *req,
			       const struct imsipsec_bundle *b)
{
	char source[IP_ADDR_MAX_STR_SIZE + 2];
	struct pcontact_info info;
	pcontact_t *c;

	if (!info_of_reply(&info, reply, req, source, sizeof(source)))
		return;
	c = find_locked(d, &info, 0);
	if (!c)
		return;
	if (c->reg_state == PCONTACT_REGISTERED && !ipsec_of(c))
		describe_set(d, c, b);
	unlock_found(d, &info);
}

/*
 * ";alias=ADDRESS~PORT~PROTOCOL", where the core may have written ":" over each "~" when it used
 * it: read from its end, for an IPv6 address has colons of its own.
 */
static bool take_alias(const struct sip_uri *uri, struct pcontact_info *info)
{
	int len = strlen(ALIAS_PARAM) - 1, i, parts[2], n = 0;
	const char *s = NULL, *end = uri->params.s + uri->params.len;

	for (i = 0; i + len < uri->params.len; i++) {
		if ((!i || uri->params.s[i - 1] == ';') &&
		    !strncasecmp(uri->params.s + i, ALIAS_PARAM + 1, len)) {
			s = uri->params.s + i + len;
			break;
		}
	}
	if (!s)
		return false;
	for (i = 0; s + i < end && s[i] != ';'; i++)
		;
	end = s + i;
	for (i = end - s - 1; i > 0 && n < 2; i--) {
		if (s[i] == '~' || s[i] == ':')
			parts[n++] = i;
	}
	if (n < 2)
		return false;
	info->received_host.s = (char *)s;
	info->received_host.len = parts[1];
	info->received_port = or_5060(atoi(s + parts[1] + 1));
	info->received_proto = atoi(s + parts[0] + 1);
	return true;
}

/*
 * A contact is its phone's if it came from the address that it names: Via and Contact alone are
 * what a phone says, and it may say another one's.
 */
bool contact_of_request(udomain_t *d, struct sip_msg *msg, const str *uri, int flags,
			struct place *place)
{
	str text = msg->first_line.u.request.uri;
	struct pcontact_info info = {};
	struct sip_uri parsed;

	if (uri && uri->len)
		text = *uri;
	else if ((flags & FORWARD_BY_DST_URI) && msg->dst_uri.len)
		text = msg->dst_uri;
	else if ((flags & FORWARD_BY_NEW_URI) && msg->new_uri.len)
		text = msg->new_uri;
	if (parse_uri(text.s, text.len, &parsed) < 0) {
		LIMITED(LM_ERR, "%.*s is no URI\n", text.len, text.s);
		return false;
	}
	info.aor = bare(text);
	info.via_host = parsed.host;
	info.via_port = or_5060(parsed.port_no);
	if (!info.via_host.len) {
		if (parse_headers(msg, HDR_VIA1_F, 0) < 0 || !msg->via1)
			return false;
		info.via_host = msg->via1->host;
		info.via_port = or_5060(msg->via1->port);
		info.via_prot = msg->via1->proto;
	}
	info.searchflag = SEARCH_RECEIVED;
	info.received_host = info.via_host;
	info.received_port = info.via_port;
	if (!(flags & FORWARD_NO_ALIAS))
		take_alias(&parsed, &info);
	if (find_place(d, &info, flags & FORWARD_NEWEST, place) || find_spelled(&info, place))
		return true;
	LIMITED(LM_ERR, "the user location has no contact %.*s\n", text.len, text.s);
	return false;
}

bool contact_by(udomain_t *d, const str *uri, const str *host, int port, struct place *place)
{
	struct pcontact_info info = {};
	struct sip_uri parsed;

	if (parse_uri(uri->s, uri->len, &parsed) < 0) {
		LIMITED(LM_ERR, "%.*s is no URI\n", uri->len, uri->s);
		return false;
	}
	info.aor = *uri;
	info.via_host = info.received_host = *host;
	info.via_port = info.received_port = port;
	info.via_prot = info.received_proto = parsed.proto ? parsed.proto : PROTO_UDP;
	info.searchflag = SEARCH_RECEIVED;
	if (find_place(d, &info, 0, place))
		return true;
	LIMITED(LM_ERR, "the user location has no contact %.*s of %.*s port %d\n", uri->len, uri->s,
		host->len, host->s, port);
	return false;
}

/* --- What the user location tells. The contact's slot is locked meanwhile. */

/*
 * The 200 OK lists the contacts of the subscriber's other phones as well, and the registrar
 * updates those that it finds by their alias.
 */
static bool is_senders(const pcontact_t *c, const struct sip_msg *req)
{
	return came_from(c, &req->rcv.src_ip) &&
	       (c->received_port == req->rcv.src_port || c->contact_port == req->rcv.src_port);
}

/* The 200 OK to a REGISTER, seen before it leaves */
static void on_update(pcontact_t *c, int type, void *param)
{
	struct imsipsec_bundle b;
	tm_cell_t *t;

	if (c->reg_state != PCONTACT_REGISTERED)
		return;
	t = tmb.t_gett();
	if (!t || t == T_UNDEFINED || !t->uas.request ||
	    t->uas.request->first_line.u.request.method_value != METHOD_REGISTER ||
	    !is_senders(c, t->uas.request) || over_of_request(t->uas.request, &b))
		return;
	kernel_confirm(t->uas.request, &b, c->expires - time(NULL));
	describe_set(c->slot->d, c, &b);
}

static void on_insert(pcontact_t *c, int type, void *param)
{
	/* The user location takes any parameter but NULL for a pointer to a port. */
	if (ul.register_ulcb(c, PCSCF_CONTACT_UPDATE, on_update, NULL) != 1)
		LM_ERR("no memory: a contact will not tell when it is registered\n");
}

int contact_init(void)
{
	if (ul.register_ulcb(NULL, PCSCF_CONTACT_INSERT, on_insert, NULL) != 1) {
		LM_ERR("no memory\n");
		return -1;
	}
	return 0;
}

/*
 * A contact that still waits for its answer says nothing of sets: one that nobody confirms ends by
 * its own, and where the phone came in clear with the ports of a set that lives, that set is
 * another contact's.
 */
void on_expire(pcontact_t *c, int type, void *param)
{
	struct imsipsec_bundle b;
	struct place place;

	if (c->reg_state == PCONTACT_REG_PENDING || c->reg_state == PCONTACT_REG_PENDING_AAR ||
	    c->reg_state == PCONTACT_NOT_REGISTERED)
		return;
	if (!locate(c, &place) || kernel_of_contact(&place, &b) || b.port_uc != c->received_port)
		return;
	kernel_end(&b);
}
