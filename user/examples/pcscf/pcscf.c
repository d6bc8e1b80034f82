// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * A small P-CSCF that shows how a SIP server uses libimsipsec. This is the
 * file to read: all that has to do with IPsec is here. The others are what a
 * SIP server has already.
 *
 * What it does with the library, in the order in which it happens:
 *
 *   start	   the algorithms that may be used; endpoint (the ports shut), then
 *		   the protected sockets; bundles that a process before this one
 *		   made are taken over, and their UEs go on: see take_over()
 *   REGISTER	   in clear: is there a NAT, parse Security-Client, choose, make the
 *		   bundle, and only then the 401 with Security-Server
 *   REGISTER	   over the new SAs: compare Security-Verify and Security-Client, check
 *		   the digest, confirm the bundle, 200 OK
 *   REGISTER	   again, over the SAs: 200 OK, the bundle lives longer; or, asked to
 *		   reauthenticate, a new bundle beside it, and a new challenge
 *   any message   its mark says which UE and which bundle it came over, whatever
 *		   identity it names
 *   Expires: 0	   over the SAs: the bundles go a moment later, after the 200 OK
 *   events	   the kernel ends a bundle whose time ran out: forget the UE
 *   end	   endpoint and bundles stay, unless --delete-endpoint is given
 *
 * What leaves toward the UE over UDP leaves from port_pc to port_us; over TCP
 * an answer takes the connection of its request (TS 33.203 clause 7.1). Through a
 * NAT it needs the mark of its registration, as UEs behind NATs may have the same
 * address and ports: over UDP here, while a TCP connection has the one that it was
 * accepted with (net.ipv4.tcp_fwmark_accept = 1).
 *
 * It stands in for the whole of the IMS: it knows the AKA vectors, answers
 * OPTIONS and MESSAGE itself, and forwards nothing.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/random.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <imsipsec.h>

#include "answer.h"
#include "home.h"
#include "net.h"
#include "options.h"
#include "sip.h"
#include "ue.h"

#define EXPIRES_DEFAULT	3600
#define EXPIRES_MAX	600000		/* seconds, the value of TS 24.229 */
#define GRACE_MS	30000		/* the SAs outlive the registration by so much */

static struct imsipsec *ipsec;
static struct imsipsec_cache *cache;
static uint64_t cookie;		/* of the last bundle that was asked for */
static int signals;

/* Take the bundle down after @linger milliseconds; a UE is dropped with its bundle. */
static void ue_end(struct ue *ue, uint64_t linger)
{
	int err = imsipsec_bundle_delete(ipsec, ue->bundle, linger);

	if (err && err != -ENOENT)
		error("bundle %u: %s", ue->bundle, imsipsec_strerror(ipsec));
	ue->state = UE_LEAVING;
	if (err || !linger)
		ue_drop(ue);
}

/* ---- REGISTER -------------------------------------------------------- */

/* All headers of a name as one list; NULL if there is none or one is malformed */
static struct imsipsec_secagree *secagree_of(const struct sip_msg *msg, const char *name)
{
	struct imsipsec_secagree *list = NULL;
	const char *value;
	size_t i = 0;

	while ((value = sip_header(msg, name, &i))) {
		if (imsipsec_secagree_parse(&list, value, strlen(value))) {
			imsipsec_secagree_free(list);
			return NULL;
		}
	}
	return list;
}

/* Is that the public identity of @owner? This home gives each IMPI one, "sip:" before it. */
static bool is_identity_of(const char *header, const char *owner)
{
	char uri[256];

	return sip_uri(header, uri, sizeof(uri)) && !strncasecmp(uri, "sip:", 4) &&
	       strcspn(uri + 4, ";?") == strlen(owner) &&
	       !memcmp(uri + 4, owner, strlen(owner));
}

/* The private identity: from Authorization, or the public one without "sip:" */
static bool impi_of(const struct sip_msg *msg, char *buf, size_t size)
{
	const char *authorization = sip_header(msg, "Authorization", NULL);
	char uri[256];

	if (authorization)
		return sip_digest_param(authorization, "username", buf, size) && *buf;
	return sip_uri(sip_header(msg, "To", NULL), uri, sizeof(uri)) &&
	       !strncmp(uri, "sip:", 4) && (size_t)snprintf(buf, size, "%s", uri + 4) < size;
}

/*
 * Does a message name nobody but the owner of the SAs that it came over? Else a UE
 * could use another one's identity over its own SAs.
 */
static bool names_only(const struct sip_msg *msg, const char *owner)
{
	static const char *const public[] = { "From", "P-Preferred-Identity", "To" };
	/* To says whom a REGISTER registers. */
	const size_t n = strcmp(msg->method, "REGISTER") ? 2 : 3;
	const char *authorization = sip_header(msg, "Authorization", NULL), *value;
	char name[IMSIPSEC_OWNER_MAX + 1];

	if (authorization && (!sip_digest_param(authorization, "username", name, sizeof(name)) ||
			      strcmp(name, owner)))
		return false;
	for (size_t i = 0; i < n; i++) {
		size_t next = 0;

		while ((value = sip_header(msg, public[i], &next))) {
			/* one to a header */
			if (!is_identity_of(value, owner) || strchr(value, '>') != strrchr(value, '>'))
				return false;
		}
	}
	return true;
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
	    sent_by.family == source->address.family)
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

static void refuse_no_agreement(const struct sip_msg *msg, const struct net_source *source,
				const struct ue *over, const struct imsipsec_secagree *client,
				enum imsipsec_mode mode)
{
	struct sip_reply reply;

	if (mode == IMSIPSEC_MODE_UDP_ENC_TUN && has_other_modes(client, mode)) {
		answer(msg, source, over, "403 Forbidden",
		       "behind a NAT there is ipsec-3gpp with mod=UDP-enc-tun alone");
		return;
	}
	answer_begin(&reply, msg, source, "494 Security Agreement Required");
	sip_reply_add(&reply, "Warning: 399 pcscf \"ipsec-3gpp with mod=%s,",
		      imsipsec_mode_name(mode));
	for (size_t i = 0; i < opt.n_algs; i++)
		sip_reply_add(&reply, "%s alg=%s;ealg=%s", i ? "," : "",
			      imsipsec_alg_name(opt.algs[i].alg),
			      imsipsec_ealg_name(opt.algs[i].ealg));
	sip_reply_add(&reply, "\"\r\n");
	answer_end(&reply, msg, source, over);
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

/* What is written and what is compared later are one: the text that was sent. */
static int write_security_server(const struct imsipsec_bundle *bundle, char *buf, size_t size,
				 struct imsipsec_secagree **list)
{
	int len = imsipsec_secagree_write_server(buf, size, bundle, opt.algs,
						 opt.single ? 0 : opt.n_algs);

	if (len < 0)
		return len;
	return imsipsec_secagree_parse(list, buf, (size_t)len);
}

/* What is sent through a NAT is told by its mark whose it is; 0: it needs none. */
static uint32_t mark_of(const struct imsipsec_bundle *bundle)
{
	return bundle->mode == IMSIPSEC_MODE_UDP_ENC_TUN && !bundle->unmarked ? bundle->mark : 0;
}

/*
 * A bundle for a UE that offers @mech; gives the value of Security-Server. The
 * keys go from the vector to the kernel, and stay nowhere else.
 */
static int make_bundle(struct ue *ue, const struct imsipsec_mech *mech, char *server, size_t size)
{
	struct imsipsec_bundle_params params = {
		.size = sizeof(params),
		.endpoint = ue->local->endpoint,
		.owner = ue->owner,
		.owner_len = strlen(ue->owner),
		.contact = ue->contact,
		.contact_len = strlen(ue->contact),
		.mode = mech->mode,
		.alg = mech->alg,
		.ealg = mech->ealg,
		.ue_address = ue->address,
		.ue_nat_address = ue->nat,
		.port_uc = mech->port_c,
		.port_us = mech->port_s,
		.spi_uc = mech->spi_c,
		.spi_us = mech->spi_s,
		.allowed_algorithms = opt.algs_text,
		.cookie = ++cookie,
	};
	const struct imsipsec_bundle *bundle;
	int err;

	memcpy(params.ik, ue->vector.ik, sizeof(params.ik));
	memcpy(params.ck, ue->vector.ck, sizeof(params.ck));
	err = imsipsec_bundle_new(ipsec, &params, &bundle);
	/* The answer got lost: with the same cookie there is no second bundle. */
	if (err == -ENOBUFS)
		err = imsipsec_bundle_new(ipsec, &params, &bundle);
	explicit_bzero(params.ik, sizeof(params.ik));
	explicit_bzero(params.ck, sizeof(params.ck));
	explicit_bzero(ue->vector.ik, sizeof(ue->vector.ik));
	explicit_bzero(ue->vector.ck, sizeof(ue->vector.ck));
	if (err) {
		error("no bundle for %s: %s", ue->owner, imsipsec_strerror(ipsec));
		return err;
	}

	ue->bundle = bundle->id;
	ue->port_uc = bundle->port_uc;
	ue->port_us = bundle->port_us;
	ue->mark = mark_of(bundle);
	if (bundle->mode == IMSIPSEC_MODE_UDP_ENC_TUN)
		log("bundle %u: ESP in UDP, to %s port %u", bundle->id,
		    ADDR(&bundle->ue_nat_address), bundle->ue_nat_port);
	log("bundle %u for %s: %s/%s, UE %s ports %u %u SPIs %u %u, ours %u %u SPIs %u %u",
	    bundle->id, ue->owner, imsipsec_alg_name(bundle->alg),
	    imsipsec_ealg_name(bundle->ealg), ADDR(&bundle->ue_address), bundle->port_uc,
	    bundle->port_us, bundle->spi_uc, bundle->spi_us, bundle->port_pc, bundle->port_ps,
	    bundle->spi_pc, bundle->spi_ps);
	err = write_security_server(bundle, server, size, &ue->server);
	if (err)
		imsipsec_bundle_delete(ipsec, ue->bundle, 0);
	return err;
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

	if (!sip_header(msg, "Security-Client", NULL)) {
		answer(msg, source, over, "421 Extension Required\r\nRequire: sec-agree", NULL);
		return;
	}
	err = locate(msg, source, over, &place);
	if (err) {
		refuse_no_place(msg, source, over, err);
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
	if (!contact || !sip_uri(contact, ue->contact, sizeof(ue->contact))) {
		answer(msg, source, over, "400 Bad Request", "no contact");
		ue_drop(ue);
		return;
	}
	/* Over its set, a UE behind a NAT names the NAT's address (TS 24.229 annex F). */
	if (over && over->nat.family)
		strcpy(ue->contact, over->contact);
	/* Another contact is another registration, and touches no set of this one. */
	if (over && !strcmp(ue->contact, over->contact))
		ue->over = over->bundle;
	if (challenge(ue, msg, source, mech, over))
		ue_drop(ue);
	return;

free_client:
	imsipsec_secagree_free(client);
}

static void register_in_clear(const struct sip_msg *msg, const struct net_source *source)
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

static void accept_register(const struct sip_msg *msg, const struct net_source *source,
			    struct ue *ue, unsigned int expires)
{
	const char *header = sip_header(msg, "Contact", NULL), *contact = ue->contact;
	struct sip_reply reply;
	char uri[sizeof(ue->contact)];

	/* The one that the UE looks for is not the one that it began with. */
	if (ue->nat.family && header && sip_uri(header, uri, sizeof(uri)))
		contact = uri;
	answer_begin(&reply, msg, source, "200 OK");
	if (expires)
		sip_reply_add(&reply, "Contact: <%s>;expires=%u\r\n", contact, expires);
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

static bool same_registration(const struct ue *a, const struct ue *b)
{
	return !strcmp(a->owner, b->owner) && !strcmp(a->contact, b->contact);
}

/*
 * De-registered: all sets of the registration go, in one request. UEs are dropped when
 * the kernel tells that they have gone.
 */
static void end_registration(struct ue *ue)
{
	const struct imsipsec_bundle_filter filter = {
		.size = sizeof(filter), .owner = ue->owner, .owner_len = strlen(ue->owner),
		.contact = ue->contact, .contact_len = strlen(ue->contact),
	};

	step("leave");
	if (imsipsec_bundle_flush(ipsec, &filter, opt.linger, NULL))
		error("bundles of %s: %s", ue->owner, imsipsec_strerror(ipsec));
	for (struct ue *other = ues; other; other = other->next) {
		if (same_registration(other, ue))
			other->state = UE_LEAVING;
	}
	step("flushed");
}

/*
 * The 200 OK. An authentication that began in clear leaves the new set only; one
 * that began over a set keeps that one until the UE uses the new one (TS 33.203
 * clause 7.4), as does one of which it is not known. Without a new challenge the set
 * lives longer.
 */
static int keep_bundle(const struct ue *ue, bool first, unsigned int expires)
{
	const uint64_t lifetime = expires * 1000ULL + GRACE_MS;

	if (!first)
		return imsipsec_bundle_extend(ipsec, ue->bundle, lifetime);
	return imsipsec_bundle_confirm(ipsec, ue->bundle, lifetime,
				       ue->over || ue->taken_over ? IMSIPSEC_OLDER_KEEP :
								    IMSIPSEC_OLDER_DROP,
				       ue->over);
}

static void register_protected(const struct sip_msg *msg, const struct net_source *source,
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
		answer(msg, source, ue, "494 Security Agreement Required", "security agreement differs");
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
}

/* ---- What comes in --------------------------------------------------- */

/*
 * The bundle that a message came over; NULL: none. For TCP its addresses and ports
 * tell it, as a connection may outlive the bundle that it was opened over. Its mark
 * tells whose it is, and has to agree, where net.ipv4.tcp_fwmark_accept is 1.
 */
static const struct imsipsec_bundle *bundle_of(const struct net_source *source)
{
	struct imsipsec_found found;
	uint32_t registration = 0;
	bool marked = !imsipsec_rx_mark(cache, source->mark, &found);

	if (!source->conn)
		return marked ? found.bundle : NULL;
	if (marked)
		registration = found.bundle->registration;
	if (imsipsec_rx_tuple(cache, &source->local->address, opt.port_ps, &source->address,
			      source->port, &found) ||
	    (registration && registration != found.bundle->registration))
		return NULL;
	return found.bundle;
}

static void receive_protected(const struct sip_msg *msg, const struct net_source *source)
{
	const struct imsipsec_bundle *bundle = bundle_of(source);
	struct ue *ue = bundle ? ue_of_bundle(bundle->id) : NULL;

	if (!ue) {
		/* Over the SAs of a bundle that is gone, or not ours */
		answer(msg, source, NULL, "403 Forbidden", NULL);
		return;
	}
	log("%s over bundle %u, %s, of %s", msg->method, bundle->id,
	    imsipsec_state_name(bundle->state), ue->owner);
	if (!names_only(msg, ue->owner))
		answer(msg, source, ue, "403 Forbidden", "not the identity of this registration");
	else if (!strcmp(msg->method, "REGISTER"))
		register_protected(msg, source, ue);
	else if (bundle->state == IMSIPSEC_STATE_TEMPORARY)
		/* nothing but REGISTER before the 200 OK (TS 24.229 clause 5.2.6) */
		answer(msg, source, ue, "403 Forbidden", "register first");
	else if (!strcmp(msg->method, "OPTIONS") || !strcmp(msg->method, "MESSAGE"))
		/* Here one would assert ue->owner's identity and forward. */
		answer(msg, source, ue, "200 OK", NULL);
	else
		answer(msg, source, ue,
		       "405 Method Not Allowed\r\nAllow: REGISTER, OPTIONS, MESSAGE", NULL);
}

static void receive(const struct net_source *source, char *text, size_t len)
{
	struct sip_msg msg;

	if (!sip_parse(&msg, text, len)) {
		log("malformed message from %s port %u", ADDR(&source->address), source->port);
		return;
	}
	if (!msg.method || !strcmp(msg.method, "ACK"))
		return;
	if (source->protected)
		receive_protected(&msg, source);
	else if (!strcmp(msg.method, "REGISTER"))
		register_in_clear(&msg, source);
	else
		answer(&msg, source, NULL, "403 Forbidden", "register first");
}

/* ---- What the kernel says -------------------------------------------- */

/*
 * A bundle that a process before this one made: its UE goes on where it was, be it
 * challenged, registered or leaving, and need not register anew. It repeats what was
 * not answered. All that is to be known of it the bundle has, but for what it first sent
 * and whether that was in clear, and for the challenge, which is the home network's.
 */
static void take_over(const struct imsipsec_bundle *bundle)
{
	struct ue *ue = NULL;
	char server[2048];

	for (size_t i = 0; i < n_locals && !ue; i++) {
		if (locals[i].endpoint == bundle->endpoint)
			ue = ue_new(&locals[i],
				    bundle->state == IMSIPSEC_STATE_TEMPORARY ? UE_CHALLENGED :
				    bundle->state == IMSIPSEC_STATE_OLD ? UE_LEAVING :
									  UE_REGISTERED);
	}
	if (!ue)
		return;
	ue->taken_over = true;
	ue->bundle = bundle->id;
	memcpy(ue->owner, bundle->owner, bundle->owner_len);
	memcpy(ue->contact, bundle->contact, bundle->contact_len);
	ue->address = bundle->ue_address;
	ue->nat = bundle->ue_nat_address;
	ue->port_uc = bundle->port_uc;
	ue->port_us = bundle->port_us;
	ue->mark = mark_of(bundle);
	if (write_security_server(bundle, server, sizeof(server), &ue->server))
		error("bundle %u: its algorithms are not ours", bundle->id);
	log("bundle %u of %s taken over, %s", bundle->id, ue->owner,
	    imsipsec_state_name(bundle->state));
}

/* One that has a newer bundle in use is not leaving: the older one drains. */
static void stay(struct ue *ue)
{
	for (struct ue *other = ues; other; other = other->next) {
		if (other->state == UE_REGISTERED && same_registration(other, ue))
			ue->state = UE_REGISTERED;
	}
}

struct there {
	const struct ue *ue[UES_MAX];
	size_t n;
};

static int on_bundle(const struct imsipsec_bundle *bundle, void *data)
{
	struct there *there = data;
	const struct ue *ue = ue_of_bundle(bundle->id);

	if (!ue) {
		take_over(bundle);
		ue = ue_of_bundle(bundle->id);
	}
	if (ue && there->n < UES_MAX)
		there->ue[there->n++] = ue;
	return 0;
}

/* Make our list that of the kernel: at the start, and when events were lost. */
static int synchronize(void)
{
	struct there there = { .n = 0 };
	struct ue *next;
	size_t i;
	int err;

	err = imsipsec_bundle_dump(ipsec, NULL, on_bundle, &there);
	if (err)
		return err;
	for (struct ue *ue = ues; ue; ue = next) {
		next = ue->next;
		for (i = 0; i < there.n && there.ue[i] != ue; i++)
			;
		if (i == there.n)
			ue_drop(ue);
		else if (ue->state == UE_LEAVING && ue->taken_over)
			stay(ue);
	}
	return 0;
}

static int on_event(const struct imsipsec_event *event, void *data)
{
	struct ue *ue;

	(void)data;
	switch (event->type) {
	case IMSIPSEC_EVENT_LOST:
		log("events were lost");
		if (synchronize())
			error("bundles: %s", imsipsec_strerror(ipsec));
		break;
	case IMSIPSEC_EVENT_ACTIVATED:
		log("bundle %u is sent over from here on: %s", event->bundle.id,
		    imsipsec_reason_name(event->reason));
		break;
	case IMSIPSEC_EVENT_NAT_MAPPING:
		log("bundle %u is sent to %s port %u from here on", event->bundle.id,
		    ADDR(&event->bundle.ue_nat_address), event->bundle.ue_nat_port);
		break;
	case IMSIPSEC_EVENT_EXPIRED:
	case IMSIPSEC_EVENT_DELETED:
		ue = ue_of_bundle(event->bundle.id);
		log("bundle %u is gone: %s, %s", event->bundle.id,
		    imsipsec_event_type_name(event->type), imsipsec_reason_name(event->reason));
		if (ue)
			ue_drop(ue);
		break;
	default:
		break;
	}
	return 0;
}

static bool ready(int fd)
{
	int err;

	if (fd == signals)
		return false;
	err = imsipsec_cache_dispatch(cache, on_event, NULL);
	if (err)
		error("events: %s", imsipsec_cache_strerror(cache));
	/* Without the module there is nothing left to do. */
	return err != -ENODEV;
}

/* ---- Start ----------------------------------------------------------- */

/* The endpoint that a process before this one left, if it has our address and ports */
static int on_endpoint(const struct imsipsec_endpoint *endpoint, void *data)
{
	struct net_local *local = data;

	if (net_addr_equal(&endpoint->address, &local->address) &&
	    endpoint->port_ps == opt.port_ps && endpoint->n_port_pc == 1 &&
	    endpoint->port_pc[0] == opt.port_pc && (!opt.nat || endpoint->nat_traversal))
		local->endpoint = endpoint->id;
	return 0;
}

static int make_endpoint(struct net_local *local)
{
	struct imsipsec_endpoint_params params = {
		.size = sizeof(params),
		.address = local->address,
		.port_ps = opt.port_ps,
		.port_pc = &opt.port_pc,
		.n_port_pc = 1,
		.nat_traversal = opt.nat ? IMSIPSEC_CHOICE_ON : IMSIPSEC_CHOICE_CONFIG,
	};
	const struct imsipsec_endpoint *endpoint;
	int err;

	err = imsipsec_endpoint_dump(ipsec, on_endpoint, local);
	if (err || local->endpoint)
		return err;
	err = imsipsec_endpoint_add(ipsec, &params, &endpoint);
	if (!err)
		local->endpoint = endpoint->id;
	return err;
}

/* The endpoint first: from the moment on that they are bound, the ports are shut. */
static bool start_local(struct net_local *local)
{
	const uint16_t ports[NET_N_SOCKETS] = {
		[NET_UDP] = opt.port, [NET_TCP] = opt.port,
		[NET_UDP_PS] = opt.port_ps, [NET_TCP_PS] = opt.port_ps,
		[NET_UDP_PC] = opt.port_pc,
	};
	int err = make_endpoint(local);

	if (err) {
		error("endpoint %s: %s", ADDR(&local->address), imsipsec_strerror(ipsec));
		return false;
	}
	for (int i = 0; i < NET_N_SOCKETS; i++) {
		err = net_bind(local, (enum net_socket)i, ports[i]);
		if (err) {
			error("%s port %u: %s", ADDR(&local->address), ports[i], strerror(-err));
			return false;
		}
	}
	log("endpoint %u at %s: port %u, port_ps %u, port_pc %u", local->endpoint,
	    ADDR(&local->address), opt.port, opt.port_ps, opt.port_pc);
	return true;
}

static bool start(void)
{
	sigset_t mask;
	int err;

	sigemptyset(&mask);
	sigaddset(&mask, SIGINT);
	sigaddset(&mask, SIGTERM);
	sigprocmask(SIG_BLOCK, &mask, NULL);
	signals = signalfd(-1, &mask, SFD_NONBLOCK | SFD_CLOEXEC);
	if (signals < 0) {
		error("signalfd: %s", strerror(errno));
		return false;
	}
	/* No process before this one has counted the same ones. */
	if (getrandom(&cookie, sizeof(cookie), 0) != sizeof(cookie)) {
		error("getrandom: %s", strerror(errno));
		return false;
	}
	err = imsipsec_open(&ipsec);
	if (!err)
		err = imsipsec_cache_open(&cache);
	if (err) {
		error("ims_ipsec: %s", err == -ENOENT ? "the module is not loaded" : strerror(-err));
		return false;
	}
	if (!opt.algs_text)
		err = imsipsec_algs_get(ipsec, opt.algs, &opt.n_algs);
	if (err) {
		error("algorithms: %s", imsipsec_strerror(ipsec));
		return false;
	}
	for (size_t i = 0; i < n_locals; i++) {
		if (!start_local(&locals[i]))
			return false;
	}
	/* After subscribing, so that nothing is missed in between */
	err = synchronize();
	if (err)
		error("bundles: %s", imsipsec_strerror(ipsec));
	return !err;
}

static void stop(void)
{
	if (cache)
		net_close(locals, n_locals);
	while (ues)
		ue_drop(ues);
	for (size_t i = 0; i < n_locals; i++) {
		if (opt.delete_endpoint && locals[i].endpoint &&
		    imsipsec_endpoint_delete(ipsec, locals[i].endpoint, true))
			error("endpoint %u: %s", locals[i].endpoint, imsipsec_strerror(ipsec));
	}
	imsipsec_cache_close(cache);
	imsipsec_close(ipsec);
	if (signals > 0)
		close(signals);
}

int main(int argc, char **argv)
{
	int err = -1;

	options(argc, argv);
	if (start()) {
		const int extra[] = { imsipsec_cache_fd(cache), signals };

		log("ready");
		err = net_loop(locals, n_locals, extra, 2, ready, receive);
		if (err)
			error("%s", strerror(-err));
	}
	stop();
	return err ? 1 : 0;
}
