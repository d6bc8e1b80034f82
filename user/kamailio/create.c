// SPDX-License-Identifier: GPL-2.0-or-later
/* ipsec_create(): the set of SAs, before the 401 leaves. */
#include <ctype.h>
#include <errno.h>
#include <string.h>

#include "core/dprint.h"
#include "core/hashes.h"
#include "core/parser/contact/contact.h"
#include "core/parser/parse_to.h"
#include "core/parser/parse_uri.h"
#include "core/parser/parse_via.h"

#include "ims_ipsec.h"

/* They stay in the answer: taking them out is the script's. */
static bool keys_of(struct sip_msg *reply, uint8_t *ck, uint8_t *ik)
{
	struct hdr_field *h;
	str text;

	if (parse_headers(reply, HDR_EOH_F, 0) < 0)
		return false;
	h = next_header(reply, "WWW-Authenticate", NULL);
	if (!h) {
		LIMITED(LM_ERR,
			"no WWW-Authenticate in the answer %u: there are no keys without it\n",
			reply->first_line.u.reply.statuscode);
		return false;
	}
	text = auth_param(&h->body, "ck");
	if (!text.s || imsipsec_key_parse(ck, text.s, text.len)) {
		LIMITED(LM_ERR,
			"no ck of 32 hexadecimal digits in WWW-Authenticate: the S-CSCF has to "
			"give it to the P-CSCF\n");
		return false;
	}
	text = auth_param(&h->body, "ik");
	if (!text.s || imsipsec_key_parse(ik, text.s, text.len)) {
		LIMITED(LM_ERR,
			"no ik of 32 hexadecimal digits in WWW-Authenticate: the S-CSCF has to "
			"give it to the P-CSCF\n");
		return false;
	}
	return true;
}

/* The private identity; where the phone says none, what TS 24.229 makes of the public one */
static bool owner_of(struct sip_msg *req, uint8_t *owner, size_t *len)
{
	struct hdr_field *h = next_header(req, "Authorization", NULL);
	str name = { NULL, 0 };
	struct sip_uri uri;

	if (h)
		name = auth_param(&h->body, "username");
	if (!name.len && req->to && (req->to->parsed || parse_to_header(req) >= 0)) {
		struct to_body *to = get_to(req);

		if (parse_uri(to->uri.s, to->uri.len, &uri) < 0)
			return false;
		/* Of tel: that is all there is. */
		name = uri.host.len ? uri.host : uri.user;
		if (uri.host.len && uri.user.len) {
			name.s = uri.user.s;
			name.len = uri.host.s + uri.host.len - name.s;
		}
	}
	if (name.len <= 0 || name.len > IMSIPSEC_OWNER_MAX)
		return false;
	/* It goes into the log, where a line is a line. */
	for (int i = 0; i < name.len; i++) {
		if (iscntrl((unsigned char)name.s[i]))
			return false;
	}
	memcpy(owner, name.s, name.len);
	*len = name.len;
	return true;
}

/* Which of the subscriber's registrations */
static bool contact_key(struct sip_msg *req, const struct imsipsec_addr *ue, uint8_t *key,
			size_t *len)
{
	struct contact *contact = first_contact(req);
	struct phone_contact phone = {};
	struct sip_uri uri;

	if (!contact || parse_uri(contact->uri.s, contact->uri.len, &uri) < 0)
		return false;
	phone.user = uri.user;
	phone.params = uri.params;
	if (contact->instance)
		phone.instance = contact->instance->body;
	if (contact->reg_id)
		phone.reg_id = contact->reg_id->body;
	return registration_key(&phone, ue, key, len);
}

/*
 * Of the challenge: where the 401 comes twice, and two processes have it at once, both get the one
 * set. The label of a transaction begins at random when Kamailio starts.
 */
static uint64_t cookie_of(const tm_cell_t *t, const struct sip_msg *reply)
{
	struct hdr_field *h = next_header(reply, "WWW-Authenticate", NULL);
	str nonce = auth_param(&h->body, "nonce");
	uint32_t challenge = nonce.len ? get_hash1_raw(nonce.s, nonce.len) : 0;

	return ((uint64_t)t->label << 32 | (challenge ^ t->hash_index)) ?: 1;
}

bool create_agrees(struct sip_msg *msg, const struct imsipsec_bundle *over)
{
	struct imsipsec_secagree *client = secagree_of(msg, "Security-Client");
	const struct imsipsec_mech *mech;
	struct imsipsec_pair algs[16];
	bool agrees;
	int n;

	if (!client)
		return false;
	n = kernel_algs(algs, sizeof(algs) / sizeof(algs[0]));
	agrees = n >= 0 && !imsipsec_secagree_choose(client, algs, n, &over->mode, 1, &mech) &&
		 mech->alg == over->alg && mech->ealg == over->ealg &&
		 mech->spi_c == over->spi_uc && mech->spi_s == over->spi_us &&
		 mech->port_c == over->port_uc && mech->port_s == over->port_us;
	imsipsec_secagree_free(client);
	return agrees;
}

static int supported_and_server(struct sip_msg *reply, const struct imsipsec_bundle *b)
{
	char lines[2048 + 64] = "Supported: sec-agree\r\nSecurity-Server: ";
	int at = strlen(lines), len;

	/*
	 * The one pair alone: there are phones that take the first of a list, whatever they
	 * offered.
	 */
	len = imsipsec_secagree_write_server(lines + at, sizeof(lines) - at - 2, b, NULL, 0);
	if (len < 0) {
		LIMITED(LM_ERR, "Security-Server cannot be written: %s\n", strerror(-len));
		return -1;
	}
	strcpy(lines + at + len, "\r\n");
	return add_headers(reply, lines);
}

static int make(struct sip_msg *reply, struct sip_msg *req, udomain_t *d, const tm_cell_t *t)
{
	struct imsipsec_bundle_params p = { 0 };
	uint8_t owner[IMSIPSEC_OWNER_MAX], key[IMSIPSEC_CONTACT_MAX];
	struct imsipsec_secagree *client;
	const struct imsipsec_mech *mech;
	const struct imsipsec_bundle *made;
	struct imsipsec_bundle over, b;
	struct imsipsec_pair algs[16];
	char source[IP_ADDR_MAX_STR_SIZE + 2] = "";
	struct gm *gm = gm_of(&req->rcv.dst_ip);
	struct place place;
	bool protected;
	int n, err, result = -1;

	ip_addr2sbuf(&req->rcv.src_ip, source, sizeof(source) - 1);
	if (!gm) {
		LIMITED(LM_ERR,
			"%s: it talks to an address that is not one of ipsec_listen_addr and "
			"ipsec_listen_addr6%s\n",
			source,
			req->rcv.dst_ip.af == AF_INET6 ? ": for IPv6 phones the second is to be set"
						       : "");
		return -1;
	}
	err = kernel_over(req, &over);
	if (err && err != -ENOENT) {
		LIMITED(LM_ERR, "%s: which set its REGISTER came over cannot be told: %s\n", source,
			strerror(-err));
		return -1;
	}
	protected = !err;
	/* That of what came in clear is found when it is described. */
	if (protected && !contact_of_reply(d, reply, req, &place))
		return -1;
	client = secagree_of(req, "Security-Client");
	if (!client) {
		LIMITED(LM_WARN,
			"%s: no Security-Client with a complete ipsec-3gpp in its REGISTER: it has "
			"no IPsec, or it is switched off there\n",
			source);
		return -1;
	}
	n = kernel_algs(algs, sizeof(algs) / sizeof(algs[0]));
	if (n < 0)
		goto free_client;
	/* Kamailio cannot mark what it sends. */
	locate_phone(req, protected ? &over : NULL, settings.nat, false, &p);
	if (imsipsec_secagree_choose(client, algs, n, &p.mode, 1, &mech)) {
		LIMITED(LM_ERR,
			"%s: nothing of what its Security-Client offers can be had with mod=%s: "
			"imsipsec algorithms says what can\n",
			source, imsipsec_mode_name(p.mode));
		goto free_client;
	}
	/* What comes over a set is of that set's registration, whatever it says. */
	if (protected) {
		p.owner = over.owner;
		p.owner_len = over.owner_len;
		p.contact = over.contact;
		p.contact_len = over.contact_len;
		p.over = over.id;
	} else {
		p.owner = owner;
		p.contact = key;
		p.began_clear = 1;
		if (!owner_of(req, owner, &p.owner_len) ||
		    !contact_key(req, &p.ue_address, key, &p.contact_len)) {
			LIMITED(LM_ERR,
				"%s: its REGISTER says no identity, or no contact, or one that is "
				"too long\n",
				source);
			goto free_client;
		}
	}
	if (!keys_of(reply, p.ck, p.ik))
		goto wipe;
	p.cookie = cookie_of(t, reply);
	p.alg = mech->alg;
	p.ealg = mech->ealg;
	p.port_uc = mech->port_c;
	p.port_us = mech->port_s;
	p.spi_uc = mech->spi_c;
	p.spi_us = mech->spi_s;
	err = bundle_new(&p, &gm->endpoint, &made);
	if (err) {
		if (kernel())
			say_refused(&p, err);
		goto wipe;
	}
	b = *made;
	contact_end_dead(d, reply, &req->rcv.src_ip, &b);
	if (protected || !contact_describe(d, reply, req, &b))
		result = supported_and_server(reply, &b);
	/* Nobody is told of it. */
	if (result && kernel())
		imsipsec_bundle_delete(kernel(), b.id, 0);

wipe:
	explicit_bzero(p.ck, sizeof(p.ck));
	explicit_bzero(p.ik, sizeof(p.ik));
free_client:
	imsipsec_secagree_free(client);
	return result;
}

int ipsec_create(struct sip_msg *msg, udomain_t *d, int flags)
{
	tm_cell_t *t = tmb.t_gett();
	int result = FAILED;
	struct copy req;

	if (!t || t == T_UNDEFINED || !t->uas.request) {
		LIMITED(LM_ERR, "ipsec_create: an answer without its request\n");
		return FAILED;
	}
	/* A 401 that comes again is not sent on: the phone has the set of the first. */
	if (t->uas.status >= 200)
		return DONE;
	if (copy_begin(&req, t->uas.request))
		return FAILED;
	if (!make(msg, &req.msg, d, t))
		result = DONE;
	copy_end(&req);
	return result;
}
