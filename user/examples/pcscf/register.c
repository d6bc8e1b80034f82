// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * REGISTER: where the UE is, what is agreed on, the challenge, its answer, and what
 * becomes of the bundle. See pcscf.c for all of it in order.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <imsipsec.h>

#include "answer.h"
#include "bundle.h"
#include "home.h"
#include "identity.h"
#include "options.h"
#include "register.h"
#include "request.h"

#define EXPIRES_DEFAULT	3600
#define EXPIRES_MAX	600000		/* seconds, the value of TS 24.229 */

/* All headers of a name as one list; NULL if there is none, or nothing well-formed in them */
static struct imsipsec_secagree *secagree_of(const struct sip_msg *msg, const char *name)
{
	struct imsipsec_secagree *list = NULL;
	int err = -EINVAL;
	const char *value;
	size_t i = 0;

	while ((value = sip_header(msg, name, &i))) {
		err = imsipsec_secagree_parse(&list, value, strlen(value));
		if (err && err != -EINVAL)
			break;
	}
	if (!err)
		return list;
	imsipsec_secagree_free(list);
	return NULL;
}

static unsigned int expires_of(const struct sip_msg *msg)
{
	const char *contact = sip_header(msg, "Contact", NULL);
	const char *header = sip_header(msg, "Expires", NULL);
	unsigned long expires = EXPIRES_DEFAULT;
	char text[16];

	if (contact && sip_param(contact, "expires", text, sizeof(text)))
		expires = strtoul(text, NULL, 10);
	else if (header)
		expires = strtoul(header, NULL, 10);
	return expires < EXPIRES_MAX ? (unsigned int)expires : EXPIRES_MAX;
}

/*
 * Which of a subscriber's registrations this is: that of its instance and reg-id (RFC 5626)
 * if Contact has them, else the one at its address. Never that of the port in Contact, which
 * is another one over a set than in clear (TS 24.229 clause 5.1.1.2.2). An emergency
 * registration stands beside a normal one (clause 5.1.6).
 */
static void name_registration(struct ue *ue, const char *contact)
{
	const char *sos = sip_uri_has_param(ue->uri, "sos") ? ";sos" : "";
	char instance[IMSIPSEC_CONTACT_MAX - 32], reg_id[16] = "";

	if (!sip_param(contact, "+sip.instance", instance, sizeof(instance)) || !*instance) {
		snprintf(ue->contact, sizeof(ue->contact), "%s%s", ADDR(&ue->address), sos);
		return;
	}
	sip_param(contact, "reg-id", reg_id, sizeof(reg_id));
	snprintf(ue->contact, sizeof(ue->contact), "%s;reg-id=%s%s", instance, reg_id, sos);
}

/* Where a UE is, and the mode that it may have there */
struct place {
	enum imsipsec_mode mode;
	struct imsipsec_addr address;	/* within the tunnel, if there is one */
	struct imsipsec_addr nat;	/* where ESP in UDP goes; family 0: it is not in UDP */
};

/*
 * It is behind a NAT if it says in clear that it has another address than its packets
 * (TS 24.229 annex F). Over a set, it is where that set is.
 */
static int locate(const struct sip_msg *msg, const struct net_source *source,
		  const struct ue *over, struct place *place)
{
	const char *via = sip_header(msg, "Via", NULL);
	const struct imsipsec_bundle *bundle;
	struct imsipsec_addr sent_by;
	bool natted = false;
	int err;

	*place = (struct place) { .mode = IMSIPSEC_MODE_TRANS, .address = source->address };
	if (over) {
		err = imsipsec_bundle_get(ipsec, over->bundle, &bundle);
		if (err)
			return err;
		place->mode = bundle->mode;
		place->nat = bundle->ue_nat_address;
		return 0;
	}
	if (!opt.nat)
		return 0;
	err = imsipsec_via_is_natted(via, strlen(via), &source->address, &natted);
	if (err == -EAFNOSUPPORT)
		/* Here one would look the name up. */
		log("a name in Via of %s, taken for one of that address", ADDR(&source->address));
	else if (err)
		return err;
	if (!natted && !opt.force_udp_encap)
		return 0;
	place->mode = IMSIPSEC_MODE_UDP_ENC_TUN;
	place->nat = source->address;
	/* An address of another family, as through NAT64, no tunnel of this one can have. */
	if (natted && !opt.nat_inner_public &&
	    !imsipsec_via_sent_by(via, strlen(via), &sent_by, NULL) &&
	    sent_by.family == net_family(&source->address))
		place->address = sent_by;
	return 0;
}

static void refuse_no_place(const struct sip_msg *msg, const struct net_source *source,
			    const struct ue *over, int err)
{
	if (err == -EINVAL)
		answer(msg, source, over, "400 Bad Request", "no sent-by in Via");
	else
		answer(msg, source, over, "500 Server Internal Error", NULL);
}

/* Is there ipsec-3gpp in @client, but not in @mode? */
static bool has_other_modes(const struct imsipsec_secagree *client, enum imsipsec_mode mode)
{
	const struct imsipsec_mech *mech;
	size_t i;

	for (i = 0; (mech = imsipsec_secagree_get(client, i)); i++) {
		if (mech->mode == mode)
			return false;
	}
	return i;
}

/*
 * 421 or 494: they say what the UE may offer, without SPIs and ports, and that it has to
 * (RFC 3329 clause 2.3.1).
 */
static void demand_agreement(const struct sip_msg *msg, const struct net_source *source,
			     const struct ue *over, const char *status, enum imsipsec_mode mode,
			     const char *warning)
{
	struct sip_reply reply;
	char list[2048];

	answer_begin(&reply, msg, source, status);
	sip_reply_add(&reply, "Require: sec-agree\r\n");
	if (imsipsec_secagree_write_static(list, sizeof(list), opt.algs, opt.n_algs, &mode, 1) > 0)
		sip_reply_add(&reply, "Security-Server: %s\r\n", list);
	sip_reply_add(&reply, "Warning: 399 pcscf \"%s\"\r\n", warning);
	answer_end(&reply, msg, source, over);
}

static void refuse_no_agreement(const struct sip_msg *msg, const struct net_source *source,
				const struct ue *over, const struct imsipsec_secagree *client,
				enum imsipsec_mode mode)
{
	if (mode == IMSIPSEC_MODE_UDP_ENC_TUN && has_other_modes(client, mode))
		answer(msg, source, over, "403 Forbidden",
		       "behind a NAT there is ipsec-3gpp with mod=UDP-enc-tun alone");
	else
		demand_agreement(msg, source, over, "494 Security Agreement Required", mode,
				 "no pair of algorithms in common");
}

static void refuse_no_bundle(const struct sip_msg *msg, const struct net_source *source,
			     const struct ue *over, int err)
{
	switch (err) {
	case -EADDRINUSE:
		answer(msg, source, over, "403 Forbidden", "protected port in use");
		break;
	case -EDQUOT:
		answer(msg, source, over, "403 Forbidden", "too many security associations");
		break;
	case -EEXIST:
	case -EINVAL:
		answer(msg, source, over, "500 Server Internal Error",
		       "no security association with these SPIs and ports");
		break;
	default:
		answer(msg, source, over, "503 Service Unavailable",
		       "no security association to be had");
		break;
	}
}

/*
 * Make the bundle, then challenge, over the set of @over or in clear (NULL). @ue
 * holds nothing but who it is to be. The kernel ends a bundle that still waits for
 * the answer to the challenge before.
 */
static int challenge(struct ue *ue, const struct sip_msg *msg, const struct net_source *source,
		     const struct imsipsec_mech *mech, struct ue *over)
{
	static unsigned int turn;
	struct sip_reply reply;
	char server[2048];
	int err;

	err = home_vector(opt.vectors, ue->owner, turn++, &ue->vector);
	if (err) {
		error("no vector for %s: %s", ue->owner, strerror(-err));
		answer(msg, source, over, err == -ENOENT ? "403 Forbidden" :
		       "500 Server Internal Error", NULL);
		return err;
	}
	step("challenge");
	err = make_bundle(ue, mech, server, sizeof(server));
	if (err) {
		refuse_no_bundle(msg, source, over, err);
		return err;
	}
	step("made");

	answer_begin(&reply, msg, source, "401 Unauthorized");
	sip_reply_add(&reply, "WWW-Authenticate: Digest realm=\"%s\", nonce=\"%s\", "
		      "algorithm=AKAv1-MD5, qop=\"auth\"\r\n", opt.realm, ue->vector.nonce);
	sip_reply_add(&reply, "Security-Server: %s\r\n", server);
	answer_end_and_keep(&reply, msg, source, over ? over : ue);
	step("challenged");
	return 0;
}

/* A REGISTER that is to be challenged: in clear, or over the set of @over */
static void begin_authentication(const struct sip_msg *msg, const struct net_source *source,
				 struct ue *over)
{
	const char *contact = sip_header(msg, "Contact", NULL);
	const struct imsipsec_mech *mech;
	struct imsipsec_secagree *client;
	char owner[IMSIPSEC_OWNER_MAX + 1];
	struct place place;
	struct ue *ue;
	int err;

	err = locate(msg, source, over, &place);
	if (err) {
		refuse_no_place(msg, source, over, err);
		return;
	}
	if (!sip_header(msg, "Security-Client", NULL)) {
		demand_agreement(msg, source, over, "421 Extension Required", place.mode,
				 "no Security-Client");
		return;
	}
	client = secagree_of(msg, "Security-Client");
	if (imsipsec_secagree_choose(client, opt.algs, opt.n_algs, &place.mode, 1, &mech)) {
		refuse_no_agreement(msg, source, over, client, place.mode);
		goto free_client;
	}
	if (!impi_of(msg, owner, sizeof(owner))) {
		answer(msg, source, over, "400 Bad Request", "no identity");
		goto free_client;
	}

	ue = ue_new(source->local, UE_CHALLENGED);
	if (!ue) {
		answer(msg, source, over, "503 Service Unavailable", NULL);
		goto free_client;
	}
	strcpy(ue->owner, owner);
	ue->address = place.address;
	ue->nat = place.nat;
	ue->client = client;
	if (!contact || !sip_uri(contact, ue->uri, sizeof(ue->uri))) {
		answer(msg, source, over, "400 Bad Request", "no contact");
		ue_drop(ue);
		return;
	}
	/* What comes over a set is of that set's registration, whatever Contact says. */
	if (over) {
		strcpy(ue->contact, over->contact);
		ue->over = over->bundle;
	} else {
		name_registration(ue, contact);
	}
	if (challenge(ue, msg, source, mech, over))
		ue_drop(ue);
	return;

free_client:
	imsipsec_secagree_free(client);
}

void register_in_clear(const struct sip_msg *msg, const struct net_source *source)
{
	for (struct ue *ue = ues; ue; ue = ue->next) {
		if (ue->state == UE_CHALLENGED && !ue->over && ue->local == source->local &&
		    net_addr_equal(ue->nat.family ? &ue->nat : &ue->address, &source->address) &&
		    answer_again(msg, source, ue))
			return;
	}
	begin_authentication(msg, source, NULL);
}

/*
 * Is what we would choose of @client just what the UE's bundle has? Then nobody has taken
 * better algorithms out of what the UE sent in clear, even if that is not known any more.
 */
static bool would_choose_again(const struct imsipsec_secagree *client, const struct ue *ue)
{
	const struct imsipsec_bundle *b;
	const struct imsipsec_mech *mech;

	return !imsipsec_bundle_get(ipsec, ue->bundle, &b) &&
	       !imsipsec_secagree_choose(client, opt.algs, opt.n_algs, &b->mode, 1, &mech) &&
	       mech->alg == b->alg && mech->ealg == b->ealg && mech->port_c == b->port_uc &&
	       mech->port_s == b->port_us && mech->spi_c == b->spi_uc && mech->spi_s == b->spi_us;
}

/*
 * Has somebody taken the better algorithms out on the way? The UE repeats,
 * protected, what it got, and on its first registration what it sent as well.
 */
static bool agreement_holds(const struct sip_msg *msg, const struct ue *ue)
{
	struct imsipsec_secagree *verify = secagree_of(msg, "Security-Verify");
	struct imsipsec_secagree *client = secagree_of(msg, "Security-Client");
	bool holds = imsipsec_secagree_equal(ue->server, verify);

	if (ue->state == UE_CHALLENGED)
		holds = holds && (ue->taken_over ? would_choose_again(client, ue) :
				  imsipsec_secagree_equal(ue->client, client));
	imsipsec_secagree_free(verify);
	imsipsec_secagree_free(client);
	return holds;
}

/* A parameter of the UE's Contact, which the registrar says again (RFC 5626 clause 6) */
static void add_param(struct sip_reply *reply, const char *contact, const char *name,
		      const char *quote)
{
	char value[IMSIPSEC_CONTACT_MAX];

	if (sip_param(contact, name, value, sizeof(value)) && *value && !strpbrk(value, "\"\\"))
		sip_reply_add(reply, ";%s=%s%s%s", name, quote, value, quote);
}

static void accept_register(const struct sip_msg *msg, const struct net_source *source,
			    struct ue *ue, unsigned int expires)
{
	const char *contact = sip_header(msg, "Contact", NULL);
	struct sip_reply reply;

	/* The UE looks for the one of this request, which is not the one that it began with. */
	if (contact)
		sip_uri(contact, ue->uri, sizeof(ue->uri));
	answer_begin(&reply, msg, source, "200 OK");
	if (expires && *ue->uri) {
		sip_reply_add(&reply, "Contact: <%s>", ue->uri);
		if (contact) {
			add_param(&reply, contact, "+sip.instance", "\"");
			add_param(&reply, contact, "reg-id", "");
		}
		sip_reply_add(&reply, ";expires=%u\r\n", expires);
	}
	answer_end_and_keep(&reply, msg, source, ue);
}

/* Does the UE answer its challenge? That of a process before this one, the home remembers. */
static bool answers_challenge(const struct sip_msg *msg, struct ue *ue)
{
	const char *authorization = sip_header(msg, "Authorization", NULL);

	if (ue->taken_over && home_vector_of(opt.vectors, ue->owner, authorization, &ue->vector))
		return false;
	/* which the kernel has */
	explicit_bzero(ue->vector.ik, sizeof(ue->vector.ik));
	explicit_bzero(ue->vector.ck, sizeof(ue->vector.ck));
	return home_check(&ue->vector, ue->owner, opt.realm, msg->method, authorization);
}

/*
 * Is it the REGISTER that a process before this one confirmed the bundle for, without
 * coming to answer? What is to come after it offers other SPIs.
 */
static bool was_confirmed_for(const struct sip_msg *msg, struct ue *ue)
{
	struct imsipsec_secagree *client;
	bool was;

	if (!ue->taken_over || ue->request)
		return false;
	client = secagree_of(msg, "Security-Client");
	was = would_choose_again(client, ue) && answers_challenge(msg, ue);
	imsipsec_secagree_free(client);
	return was;
}

void register_protected(const struct sip_msg *msg, const struct net_source *source,
			struct ue *ue)
{
	unsigned int expires = expires_of(msg);
	bool first = ue->state == UE_CHALLENGED;

	if (answer_again(msg, source, ue))
		return;
	if (ue->state == UE_LEAVING) {
		/* A process before this one may not have come to answer. */
		if (ue->taken_over && !expires)
			accept_register(msg, source, ue, 0);
		else
			answer(msg, source, ue, "403 Forbidden", NULL);
		return;
	}
	if (!agreement_holds(msg, ue)) {
		demand_agreement(msg, source, ue, "494 Security Agreement Required",
				 ue->nat.family ? IMSIPSEC_MODE_UDP_ENC_TUN : IMSIPSEC_MODE_TRANS,
				 "security agreement differs");
		if (first)
			ue_end(ue, opt.linger);
		return;
	}
	/* What fails ends the new set and leaves the old one. */
	if (first && !answers_challenge(msg, ue)) {
		answer(msg, source, ue, "403 Forbidden", NULL);
		ue_end(ue, opt.linger);
		return;
	}

	if (!expires) {
		/* The 200 OK is to leave over the SAs, and again if it got lost: they linger. */
		if (opt.linger)
			end_registration(ue);
		accept_register(msg, source, ue, 0);
		if (!opt.linger)
			end_registration(ue);
		step("left");
		return;
	}
	if (!first && opt.reauthenticate && !was_confirmed_for(msg, ue)) {
		begin_authentication(msg, source, ue);
		return;
	}
	if (first)
		step("confirm");
	if (keep_bundle(ue, first, expires)) {
		error("bundle %u: %s", ue->bundle, imsipsec_strerror(ipsec));
		answer(msg, source, ue, "500 Server Internal Error", NULL);
		return;
	}
	if (first)
		step("confirmed");
	ue->state = UE_REGISTERED;
	explicit_bzero(&ue->vector, sizeof(ue->vector));
	accept_register(msg, source, ue, expires);
	if (first)
		step("registered");
	if (opt.send_options)
		request_options(ue);
}
