// SPDX-License-Identifier: GPL-2.0-or-later
/* ipsec_create: the set of SAs of a 401. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "dprint.h"
#include "hash_func.h"
#include "parser/contact/parse_contact.h"
#include "parser/parse_cseq.h"
#include "parser/parse_uri.h"

#include "proto_ims_ipsec.h"

/* The keys are taken out of the answer, from wherever it has them: the phone computes them. */
static bool cut_keys(struct sip_msg *reply)
{
	struct span found, ik, ck;
	struct hdr_field *h = NULL;
	bool has_ik, has_ck;

	if (parse_headers(reply, HDR_EOH_F, 0) < 0)
		return false;
	while ((h = next_header(reply, "WWW-Authenticate", h))) {
		has_ik = text_param(header_text(h), "ik", &found, &ik);
		has_ck = text_param(header_text(h), "ck", &found, &ck);
		if (has_ik && has_ck)
			text_join(header_text(h), &ik, &ck);
		if ((has_ik && ik.len && cut_text(reply, ik)) ||
		    (has_ck && ck.len && cut_text(reply, ck)))
			return false;
	}
	return true;
}

static bool keys_of(const struct sip_msg *reply, struct imsipsec_bundle_params *p,
		    struct record *record)
{
	struct {
		const char *name;
		uint8_t *key;
		char *text;
	} keys[] = { { "ik", p->ik, record->ik }, { "ck", p->ck, record->ck } };
	struct hdr_field *h = NULL;
	struct span found;
	bool have = false;

	while (!have && (h = next_header(reply, "WWW-Authenticate", h))) {
		have = true;
		for (int i = 0; have && i < 2; i++) {
			have = text_param(header_text(h), keys[i].name, &found, NULL) &&
			       !imsipsec_key_parse(keys[i].key, found.s, found.len);
			if (have)
				memcpy(keys[i].text, found.s, KEY_TEXT);
		}
	}
	if (!have)
		LIMITED(LM_ERR,
			"no ik and ck of 32 hexadecimal digits in WWW-Authenticate: the S-CSCF has "
			"to give them to the P-CSCF\n");
	return have;
}

static str param_of(const contact_t *contact, const char *name)
{
	const str none = { "", 0 };

	for (param_t *p = contact->params; p; p = p->next) {
		if (p->name.len == (int)strlen(name) && !strncasecmp(p->name.s, name, p->name.len))
			return p->body;
	}
	return none;
}

/* Which of the subscriber's registrations */
static bool contact_key(struct sip_msg *req, const struct imsipsec_addr *ue, uint8_t *key,
			size_t *len)
{
	struct phone_contact phone;
	contact_t *contact;
	struct sip_uri uri;

	if (!req->contact || (!req->contact->parsed && parse_contact(req->contact) < 0))
		return false;
	contact = ((contact_body_t *)req->contact->parsed)->contacts;
	if (!contact || parse_uri(contact->uri.s, contact->uri.len, &uri) < 0)
		return false;
	phone = (struct phone_contact) {
		.user = uri.user, .params = uri.params,
		.instance = param_of(contact, "+sip.instance"),
		.reg_id = param_of(contact, "reg-id"),
	};
	return registration_key(&phone, ue, key, len);
}

/*
 * Of the challenge: where the 401 comes twice, and two processes have it at once, both get the one
 * set. The label of a transaction begins at random when OpenSIPS starts.
 */
static uint64_t cookie_of(const struct cell *t, const struct sip_msg *reply)
{
	struct hdr_field *h = next_header(reply, "WWW-Authenticate", NULL);
	struct span nonce = { "", 0 };
	str s;

	if (h)
		text_param(header_text(h), "nonce", &nonce, NULL);
	s = (str) { (char *)nonce.s, nonce.len };
	return ((uint64_t)t->label << 32 | (core_hash(&s, NULL, 0) ^ t->hash_index)) ?: 1;
}

/* The pairs that are allowed and that the kernel has */
static int pairs_for(struct span *list, struct imsipsec_pair *algs, size_t *n)
{
	struct imsipsec_pair all[ALGS_MAX];
	char text[512];
	size_t n_all;

	if (list && list->len) {
		if (list->len >= sizeof(text))
			return -EINVAL;
		memcpy(text, list->s, list->len);
		text[list->len] = '\0';
	}
	if (choice_algs(list && list->len ? text : settings.allowed_algorithms,
			settings.disable_deprecated_algorithms, all, &n_all))
		return -EINVAL;
	*n = 0;
	for (size_t i = 0; i < n_all; i++) {
		if (kernel_has_pair(&all[i]))
			algs[(*n)++] = all[i];
	}
	return 0;
}

static int say_server(struct sip_msg *reply, const struct imsipsec_bundle *b,
		      const struct imsipsec_pair *algs, size_t n, struct record *record)
{
	char line[sizeof(record->server) + 32];
	int len;

	/*
	 * The one pair alone, if nothing else is asked for: there are phones that take the first of a
	 * list, whatever they offered.
	 */
	len = imsipsec_secagree_write_server(record->server, sizeof(record->server), b,
					     settings.whole_list ? algs : NULL, n);
	if (len < 0) {
		LIMITED(LM_ERR, "Security-Server cannot be written: %s\n", strerror(-len));
		return -1;
	}
	snprintf(line, sizeof(line), "Security-Server: %s\r\n", record->server);
	return add_header(reply, "Supported: sec-agree\r\n") || add_header(reply, line) ? -1 : 0;
}

/* What the two arguments say of the ports has to be what the endpoint has. */
static bool ports_fit(const struct gm *gm, const int *server, const int *client,
		      struct imsipsec_bundle_params *p)
{
	char text[INET6_ADDRSTRLEN];

	imsipsec_addr_format(&gm->addr, text, sizeof(text));
	if (server && *server && *server != gm->ports.ps) {
		LIMITED(LM_ERR, "ipsec_create: the server port of %s is %u, and not %d\n", text,
			gm->ports.ps, *server);
		return false;
	}
	if (!client || !*client)
		return true;
	if (*client < 0 || *client > UINT16_MAX || !choice_is_client(&gm->ports, *client)) {
		LIMITED(LM_ERR, "ipsec_create: %s has no client port %d\n", text, *client);
		return false;
	}
	p->port_pc = *client;
	return true;
}

/* Whose set it is; what comes over a set is of that set's registration, whatever it says. */
static bool name(struct sip_msg *req, const struct imsipsec_bundle *over, uint8_t *owner,
		 uint8_t *key, struct imsipsec_bundle_params *p)
{
	if (over) {
		p->owner = over->owner;
		p->owner_len = over->owner_len;
		p->contact = over->contact;
		p->contact_len = over->contact_len;
		p->over = over->id;
		return true;
	}
	p->owner = owner;
	p->contact = key;
	p->began_clear = 1;
	return owner_of(req, owner, &p->owner_len) &&
	       contact_key(req, &p->ue_address, key, &p->contact_len);
}

static int make(struct sip_msg *reply, struct sip_msg *req, const struct cell *t, int *server,
		int *client, struct span *list)
{
	struct imsipsec_bundle_params p = { 0 };
	uint8_t owner[IMSIPSEC_OWNER_MAX], key[IMSIPSEC_CONTACT_MAX];
	struct imsipsec_secagree *offered = NULL;
	const struct imsipsec_bundle *made;
	const struct imsipsec_mech *mech;
	struct imsipsec_bundle over, b;
	struct imsipsec_pair algs[ALGS_MAX];
	static struct record record;
	char allowed[512], *source = ip_addr2a(&req->rcv.src_ip);
	struct gm *gm = gm_of(&req->rcv.dst_ip);
	int err, result = NO_AGREEMENT;
	str public = public_of(req);
	bool protected;
	size_t n;

	memset(&record, 0, sizeof(record));
	if (!keys_of(reply, &p, &record)) {
		result = NO_KEYS;
		goto wipe;
	}
	if (!gm) {
		LIMITED(LM_ERR, "%s: it talks to %s, which has no socket=ipsec:\n", source,
			ip_addr2a(&req->rcv.dst_ip));
		goto wipe;
	}
	if (!ports_fit(gm, server, client, &p))
		goto wipe;
	err = kernel_over(&req->rcv, &over);
	if (err && err != -ENOENT) {
		LIMITED(LM_ERR, "%s: which set its REGISTER came over cannot be told: %s\n", source,
			strerror(-err));
		result = NO_SET;
		goto wipe;
	}
	protected = !err;
	offered = secagree_of(req, "Security-Client");
	if (!offered) {
		LIMITED(LM_WARN,
			"%s: no Security-Client with a complete ipsec-3gpp in its REGISTER: it has "
			"no IPsec, or it is switched off there\n",
			source);
		goto wipe;
	}
	/* The REGISTER over the new set has to repeat it. */
	if (all_of(req, "Security-Client", record.client, sizeof(record.client)) < 0) {
		LIMITED(LM_ERR, "%s: its Security-Client is longer than %zu bytes\n", source,
			sizeof(record.client));
		goto wipe;
	}
	if (pairs_for(list, algs, &n)) {
		LIMITED(LM_ERR, "ipsec_create: the list of algorithms names no pair that there is\n");
		goto wipe;
	}
	locate_phone(req, protected ? &over : NULL, gm->nat, kernel_mask(), &p);
	if (imsipsec_secagree_choose(offered, algs, n, &p.mode, 1, &mech)) {
		LIMITED(LM_ERR,
			"%s: nothing of what its Security-Client offers can be had with mod=%s: "
			"imsipsec algorithms says what can\n",
			source, imsipsec_mode_name(p.mode));
		goto wipe;
	}
	if (!name(req, protected ? &over : NULL, owner, key, &p)) {
		LIMITED(LM_ERR,
			"%s: its REGISTER says no identity, or no contact, or one that is too "
			"long\n",
			source);
		result = FAILED;
		goto wipe;
	}
	/* Of a set that follows another one the kernel chooses the port, for the two to differ. */
	if (!p.port_pc && !protected &&
	    choice_is_client(&gm->ports, settings.default_client_port))
		p.port_pc = settings.default_client_port;
	choice_write_algs(allowed, sizeof(allowed), algs, n);
	p.allowed_algorithms = allowed;
	p.cookie = cookie_of(t, reply);
	p.alg = mech->alg;
	p.ealg = mech->ealg;
	p.port_uc = mech->port_c;
	p.port_us = mech->port_s;
	p.spi_uc = mech->spi_c;
	p.spi_us = mech->spi_s;
	err = bundle_new(&p, &gm->endpoint, &made);
	if (err) {
		result = NO_SET;
		if (kernel())
			say_refused(&p, err);
		goto wipe;
	}
	b = *made;
	snprintf(record.owner, sizeof(record.owner), "%.*s", (int)p.owner_len,
		 (const char *)p.owner);
	snprintf(record.public, sizeof(record.public), "%.*s", public.len, public.s ?: "");
	result = say_server(reply, &b, algs, n, &record) || record_put(b.id, &record) ? FAILED
										      : CREATED;
	if (result == CREATED)
		script_made(reply, &b);
	/* Nobody is told of it. */
	else if (kernel())
		imsipsec_bundle_delete(kernel(), b.id, 0);

wipe:
	imsipsec_secagree_free(offered);
	explicit_bzero(p.ck, sizeof(p.ck));
	explicit_bzero(p.ik, sizeof(p.ik));
	explicit_bzero(&record, sizeof(record));
	return result;
}

int ipsec_create(struct sip_msg *msg, int *server, int *client, struct span *list)
{
	struct cell *t = tmb.t_gett();
	struct copy req;
	int result;

	if (msg->first_line.type != SIP_REPLY || msg->REPLY_STATUS != 401) {
		LIMITED(LM_ERR, "ipsec_create is for a 401\n");
		return FAILED;
	}
	if (!cut_keys(msg))
		return FAILED;
	if (!t || t == T_UNDEFINED || !t->uas.request) {
		LIMITED(LM_ERR, "ipsec_create: an answer without its request\n");
		return FAILED;
	}
	/* A 401 that comes again is not sent on: the phone has the set of the first. */
	if (t->uas.status >= 200)
		return CREATED;
	if (t->uas.request->REQ_METHOD != METHOD_REGISTER) {
		LIMITED(LM_ERR, "ipsec_create: the request was none of REGISTER\n");
		return FAILED;
	}
	if (copy_begin(&req, t->uas.request))
		return FAILED;
	result = make(msg, &req.msg, t, server, client, list);
	copy_end(&req);
	return result;
}
