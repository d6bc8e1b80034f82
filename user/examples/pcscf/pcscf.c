// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * A small P-CSCF that shows how a SIP server uses libimsipsec. This is the
 * file to read; sip.c, net.c and home.c are what the SIP server has already.
 *
 * What it does with the library, in the order in which it happens:
 *
 *   start	   endpoint (the ports shut), then the protected sockets; bundles
 *		   that a process before this one confirmed are taken over
 *   REGISTER	   in clear: parse Security-Client, choose, make the bundle, and
 *		   only then the 401 with Security-Server
 *   REGISTER	   over the SAs: compare Security-Verify and Security-Client, check
 *		   the digest, confirm the bundle, 200 OK
 *   Expires: 0	   over the SAs: 200 OK, and the bundle goes a moment later
 *   events	   the kernel ends a bundle whose time ran out: forget the UE
 *   end	   endpoint and bundles stay, unless --delete-endpoint is given
 *
 * What leaves toward the UE over UDP leaves from port_pc to port_us; over TCP
 * an answer takes the connection of its request (TS 33.203 clause 7.1).
 *
 * It stands in for the whole of the IMS: it knows the AKA vectors, answers
 * OPTIONS and MESSAGE itself, and forwards nothing.
 */
#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <imsipsec.h>

#include "home.h"
#include "net.h"
#include "sip.h"

#define UES_MAX		1024
#define EXPIRES_DEFAULT	3600
#define EXPIRES_MAX	600000		/* seconds, the value of TS 24.229 */
#define GRACE_MS	30000		/* the SAs outlive the registration by so much */
#define ADDR(a)		imsipsec_addr_format(a, (char[INET6_ADDRSTRLEN]) {0}, INET6_ADDRSTRLEN)

enum ue_state {
	UE_CHALLENGED,		/* has a temporary bundle, the digest is awaited */
	UE_REGISTERED,
	UE_LEAVING,		/* the bundle lingers, so that a repeated request is answered */
};

/* A UE with its bundle. One that registers anew has two of them for a while. */
struct ue {
	struct ue *next;
	enum ue_state state;
	struct net_local *local;
	uint32_t bundle;
	char owner[IMSIPSEC_OWNER_MAX + 1];
	char contact[IMSIPSEC_CONTACT_MAX + 1];
	struct imsipsec_addr address;
	uint16_t port_uc, port_us;
	struct imsipsec_secagree *client;	/* as first received; NULL if taken over */
	struct imsipsec_secagree *server;	/* as sent */
	struct home_vector vector;		/* without the keys, which the kernel has */
	/* The REGISTER answered last, lest a repeated one counts twice */
	char *request;
	char *answer;
	size_t answer_len;
};

static struct {
	uint16_t port, port_ps, port_pc;
	const char *vectors, *realm, *algs_text;
	struct imsipsec_algs algs[16];
	size_t n_algs;
	uint64_t linger;
	bool delete_endpoint, verbose;
} opt = {
	.port = 5060,
	.port_ps = 5063,
	.port_pc = 5062,
	.realm = "ims.example",
	.algs_text = "hmac-sha-1-96,hmac-md5-96",
	.linger = 32000,
};

static struct imsipsec *ipsec;
static struct imsipsec_events *events;
static int signals;
static struct net_local locals[NET_LOCAL_MAX];
static size_t n_locals;
static struct ue *ues;			/* the newest first */
static size_t n_ues;

static void say(bool always, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static void say(bool always, const char *fmt, ...)
{
	char line[512];
	va_list ap;

	if (!always && !opt.verbose)
		return;
	va_start(ap, fmt);
	vsnprintf(line, sizeof(line), fmt, ap);
	va_end(ap);
	/* It has what others sent in it. */
	for (char *c = line; *c; c++) {
		if ((unsigned char)*c < ' ' || *c == 0x7f)
			*c = '?';
	}
	fprintf(stderr, "pcscf: %s\n", line);
}

#define error(...)	say(true, __VA_ARGS__)
#define log(...)	say(false, __VA_ARGS__)

/* ---- UEs ------------------------------------------------------------- */

static struct ue *ue_new(struct net_local *local, enum ue_state state)
{
	struct ue *ue = n_ues < UES_MAX ? calloc(1, sizeof(*ue)) : NULL;

	if (!ue)
		return NULL;
	ue->local = local;
	ue->state = state;
	ue->next = ues;
	ues = ue;
	n_ues++;
	return ue;
}

/* Forget a UE whose bundle is gone, and what came over its connections. */
static void ue_drop(struct ue *ue)
{
	struct ue **p = &ues;

	while (*p != ue)
		p = &(*p)->next;
	*p = ue->next;
	n_ues--;
	net_close_from(ue->local, &ue->address, ue->port_uc);
	imsipsec_secagree_free(ue->client);
	imsipsec_secagree_free(ue->server);
	free(ue->request);
	free(ue->answer);
	explicit_bzero(ue, sizeof(*ue));
	free(ue);
}

static struct ue *ue_of_bundle(uint32_t id)
{
	struct ue *ue = ues;

	while (ue && ue->bundle != id)
		ue = ue->next;
	return ue;
}

/*
 * Who sent this over an SA? The kernel lets nothing through but what came over
 * the SA with just these addresses and ports, so that they tell the UE. The
 * newest one, where a UE registers anew on the ports that it had.
 */
static struct ue *ue_of_source(const struct net_source *source, bool challenged)
{
	for (struct ue *ue = ues; ue; ue = ue->next) {
		if (ue->local == source->local && ue->port_uc == source->port &&
		    net_addr_equal(&ue->address, &source->address) &&
		    (challenged || ue->state != UE_CHALLENGED))
			return ue;
	}
	return NULL;
}

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

/* ---- Answers --------------------------------------------------------- */

static const char *random_hex(char buf[17])
{
	uint8_t bytes[8];

	if (getrandom(bytes, sizeof(bytes), 0) != sizeof(bytes))
		memset(bytes, 0, sizeof(bytes));
	for (size_t i = 0; i < sizeof(bytes); i++)
		sprintf(buf + 2 * i, "%02x", bytes[i]);
	return buf;
}

static void begin(struct sip_reply *reply, const struct sip_msg *msg,
		  const struct net_source *source, const char *status)
{
	sip_reply_begin(reply, msg, status, ADDR(&source->address), source->port,
			random_hex((char[17]) {0}));
	/* Up to the end of the line: more headers may follow. */
	log("%s from %s port %u%s: %.*s", msg->method, ADDR(&source->address), source->port,
	    source->protected ? " over ESP" : "", (int)strcspn(status, "\r"), status);
}

static void transmit(const struct net_source *source, const struct sip_msg *msg,
		     const struct ue *ue, const char *text, size_t len)
{
	if (source->conn)
		net_send_conn(source->conn, text, len);
	else if (!source->protected)
		net_send(source->local, NET_UDP, &source->address,
			 sip_via_port(msg, source->port), text, len);
	else if (ue)
		net_send(source->local, NET_UDP_PC, &ue->address, ue->port_us, text, len);
}

static void end(struct sip_reply *reply, const struct sip_msg *msg,
		const struct net_source *source, const struct ue *ue)
{
	if (sip_reply_end(reply))
		transmit(source, msg, ue, reply->text, reply->len);
	else
		error("the reply to a request of %s is too long", ADDR(&source->address));
}

static void refuse(const struct sip_msg *msg, const struct net_source *source,
		   const struct ue *ue, const char *status, const char *warning)
{
	struct sip_reply reply;

	begin(&reply, msg, source, status);
	if (warning)
		sip_reply_add(&reply, "Warning: 399 pcscf \"%s\"\r\n", warning);
	end(&reply, msg, source, ue);
}

/* What is the same when a request is repeated, and differs in the next one */
static char *request_key(const struct sip_msg *msg)
{
	char *key;

	if (asprintf(&key, "%s\n%s", sip_header(msg, "Call-ID", NULL),
		     sip_header(msg, "CSeq", NULL)) < 0)
		return NULL;
	return key;
}

/* End the reply, send it, and keep it. Without memory it is sent, at least. */
static void end_and_keep(struct sip_reply *reply, const struct sip_msg *msg,
			 const struct net_source *source, struct ue *ue)
{
	end(reply, msg, source, ue);
	free(ue->request);
	free(ue->answer);
	ue->request = request_key(msg);
	ue->answer = malloc(reply->len);
	ue->answer_len = reply->len;
	if (ue->answer)
		memcpy(ue->answer, reply->text, reply->len);
}

static bool answer_again(const struct sip_msg *msg, const struct net_source *source,
			 const struct ue *ue)
{
	char *key = request_key(msg);
	bool same = key && ue->request && ue->answer && !strcmp(key, ue->request);

	free(key);
	if (!same)
		return false;
	log("%s of %s, repeated: answered from memory", msg->method, ue->owner);
	transmit(source, msg, ue, ue->answer, ue->answer_len);
	return true;
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

static void refuse_no_agreement(const struct sip_msg *msg, const struct net_source *source)
{
	struct sip_reply reply;

	begin(&reply, msg, source, "494 Security Agreement Required");
	sip_reply_add(&reply, "Warning: 399 pcscf \"ipsec-3gpp with");
	for (size_t i = 0; i < opt.n_algs; i++)
		sip_reply_add(&reply, "%s alg=%s;ealg=%s", i ? "," : "",
			      imsipsec_alg_name(opt.algs[i].alg),
			      imsipsec_ealg_name(opt.algs[i].ealg));
	sip_reply_add(&reply, "\"\r\n");
	end(&reply, msg, source, NULL);
}

static void refuse_no_bundle(const struct sip_msg *msg, const struct net_source *source, int err)
{
	switch (err) {
	case -EEXIST:
	case -EINVAL:
		refuse(msg, source, NULL, "500 Server Internal Error",
		       "no security association with these SPIs and ports");
		break;
	default:
		refuse(msg, source, NULL, "503 Service Unavailable",
		       "no security association to be had");
		break;
	}
}

/* What is written and what is compared later are one: the text that was sent. */
static int write_security_server(const struct imsipsec_bundle *bundle, char *buf, size_t size,
				 struct imsipsec_secagree **list)
{
	struct imsipsec_mech mech = {
		.alg = bundle->alg,
		.ealg = bundle->ealg,
		.mode = bundle->mode,
		.esp = true,
		.spi_c = bundle->spi_pc,
		.spi_s = bundle->spi_ps,
		.port_c = bundle->port_pc,
		.port_s = bundle->port_ps,
	};
	int len = imsipsec_secagree_write(buf, size, &mech, 1);

	if (len < 0)
		return len;
	return imsipsec_secagree_parse(list, buf, (size_t)len);
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
		.port_uc = mech->port_c,
		.port_us = mech->port_s,
		.spi_uc = mech->spi_c,
		.spi_us = mech->spi_s,
	};
	const struct imsipsec_bundle *bundle;
	int err;

	memcpy(params.ik, ue->vector.ik, sizeof(params.ik));
	memcpy(params.ck, ue->vector.ck, sizeof(params.ck));
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

/* A UE whose address and protected port somebody else has (TS 33.203 clause 7.2) */
static bool ports_taken(const struct net_source *source, const struct imsipsec_mech *mech,
			const char *owner)
{
	for (const struct ue *ue = ues; ue; ue = ue->next) {
		if (ue->local == source->local && ue->port_uc == mech->port_c &&
		    net_addr_equal(&ue->address, &source->address) && strcmp(ue->owner, owner))
			return true;
	}
	return false;
}

/* A new challenge ends the one before it, and touches no registration. */
static void drop_challenges(const char *owner)
{
	struct ue *next;

	for (struct ue *ue = ues; ue; ue = next) {
		next = ue->next;
		if (ue->state == UE_CHALLENGED && !strcmp(ue->owner, owner))
			ue_end(ue, 0);
	}
}

/* Make the bundle, then challenge. @ue holds nothing but who it is to be. */
static int challenge(struct ue *ue, const struct sip_msg *msg, const struct net_source *source,
		     const struct imsipsec_mech *mech)
{
	static unsigned int turn;
	struct sip_reply reply;
	char server[256];
	int err;

	err = home_vector(opt.vectors, ue->owner, turn++, &ue->vector);
	if (err) {
		error("no vector for %s: %s", ue->owner, strerror(-err));
		refuse(msg, source, NULL, err == -ENOENT ? "403 Forbidden" :
		       "500 Server Internal Error", NULL);
		return err;
	}
	err = make_bundle(ue, mech, server, sizeof(server));
	if (err) {
		refuse_no_bundle(msg, source, err);
		return err;
	}

	begin(&reply, msg, source, "401 Unauthorized");
	sip_reply_add(&reply, "WWW-Authenticate: Digest realm=\"%s\", nonce=\"%s\", "
		      "algorithm=AKAv1-MD5, qop=\"auth\"\r\n", opt.realm, ue->vector.nonce);
	sip_reply_add(&reply, "Security-Server: %s\r\n", server);
	end_and_keep(&reply, msg, source, ue);
	return 0;
}

static void register_in_clear(const struct sip_msg *msg, const struct net_source *source)
{
	const char *contact = sip_header(msg, "Contact", NULL);
	const struct imsipsec_mech *mech;
	struct imsipsec_secagree *client;
	char owner[IMSIPSEC_OWNER_MAX + 1];
	struct ue *ue;

	for (ue = ues; ue; ue = ue->next) {
		if (ue->state == UE_CHALLENGED && ue->local == source->local &&
		    net_addr_equal(&ue->address, &source->address) &&
		    answer_again(msg, source, ue))
			return;
	}

	if (!sip_header(msg, "Security-Client", NULL)) {
		refuse(msg, source, NULL, "421 Extension Required\r\nRequire: sec-agree", NULL);
		return;
	}
	client = secagree_of(msg, "Security-Client");
	if (imsipsec_secagree_choose(client, opt.algs, opt.n_algs, &mech)) {
		refuse_no_agreement(msg, source);
		goto free_client;
	}
	if (!impi_of(msg, owner, sizeof(owner))) {
		refuse(msg, source, NULL, "400 Bad Request", "no identity");
		goto free_client;
	}
	if (ports_taken(source, mech, owner)) {
		error("%s: port %u of %s has another owner", owner, mech->port_c,
		      ADDR(&source->address));
		refuse(msg, source, NULL, "403 Forbidden", "protected port in use");
		goto free_client;
	}

	drop_challenges(owner);
	ue = ue_new(source->local, UE_CHALLENGED);
	if (!ue) {
		refuse(msg, source, NULL, "503 Service Unavailable", NULL);
		goto free_client;
	}
	strcpy(ue->owner, owner);
	ue->address = source->address;
	ue->client = client;
	if (!contact || !sip_uri(contact, ue->contact, sizeof(ue->contact))) {
		refuse(msg, source, NULL, "400 Bad Request", "no contact");
		ue_drop(ue);
		return;
	}
	if (challenge(ue, msg, source, mech))
		ue_drop(ue);
	return;

free_client:
	imsipsec_secagree_free(client);
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
		holds = holds && imsipsec_secagree_equal(ue->client, client);
	imsipsec_secagree_free(verify);
	imsipsec_secagree_free(client);
	return holds;
}

static void accept_register(const struct sip_msg *msg, const struct net_source *source,
			    struct ue *ue, unsigned int expires)
{
	struct sip_reply reply;

	begin(&reply, msg, source, "200 OK");
	if (expires)
		sip_reply_add(&reply, "Contact: <%s>;expires=%u\r\n", ue->contact, expires);
	end_and_keep(&reply, msg, source, ue);
}

/* An authentication that began in clear leaves the new set only (TS 33.203 clause 7.4). */
static void drop_older(const struct ue *ue)
{
	struct ue *next;

	for (struct ue *old = ues; old; old = next) {
		next = old->next;
		if (old != ue && !strcmp(old->owner, ue->owner) &&
		    !strcmp(old->contact, ue->contact))
			ue_end(old, 0);
	}
}

static void register_protected(const struct sip_msg *msg, const struct net_source *source,
			       struct ue *ue)
{
	const char *authorization = sip_header(msg, "Authorization", NULL);
	unsigned int expires = expires_of(msg);
	char impi[IMSIPSEC_OWNER_MAX + 1];
	bool first = ue->state == UE_CHALLENGED;

	if (answer_again(msg, source, ue))
		return;
	if (ue->state == UE_LEAVING) {
		refuse(msg, source, ue, "403 Forbidden", NULL);
		return;
	}
	if (!agreement_holds(msg, ue)) {
		refuse(msg, source, ue, "494 Security Agreement Required", "security agreement differs");
		if (first)
			ue_end(ue, opt.linger);
		return;
	}
	/* Later on it is the SA that says who it is; no other identity may be used over it. */
	if (first ? !home_check(&ue->vector, ue->owner, opt.realm, msg->method, authorization) :
		    !impi_of(msg, impi, sizeof(impi)) || strcmp(impi, ue->owner)) {
		refuse(msg, source, ue, "403 Forbidden", NULL);
		if (first)
			ue_end(ue, opt.linger);
		return;
	}

	if (!expires) {
		/* The 200 OK is to leave over the SAs, and again if it got lost. */
		accept_register(msg, source, ue, 0);
		ue_end(ue, opt.linger);
		return;
	}
	if (imsipsec_bundle_confirm(ipsec, ue->bundle, expires * 1000ULL + GRACE_MS)) {
		error("bundle %u: %s", ue->bundle, imsipsec_strerror(ipsec));
		refuse(msg, source, ue, "500 Server Internal Error", NULL);
		return;
	}
	ue->state = UE_REGISTERED;
	explicit_bzero(&ue->vector, sizeof(ue->vector));
	accept_register(msg, source, ue, expires);
	if (first)
		drop_older(ue);
}

/* ---- What comes in --------------------------------------------------- */

static void receive(const struct net_source *source, char *text, size_t len)
{
	struct sip_msg msg;
	bool is_register;
	struct ue *ue;

	if (!sip_parse(&msg, text, len)) {
		log("malformed message from %s port %u", ADDR(&source->address), source->port);
		return;
	}
	if (!msg.method || !strcmp(msg.method, "ACK"))
		return;

	is_register = !strcmp(msg.method, "REGISTER");
	if (!source->protected) {
		if (is_register)
			register_in_clear(&msg, source);
		else
			refuse(&msg, source, NULL, "403 Forbidden", "register first");
		return;
	}
	ue = ue_of_source(source, is_register);
	if (!ue) {
		/* Over the SAs of a bundle that is not ours, or of one not confirmed */
		refuse(&msg, source, NULL, "403 Forbidden", NULL);
		return;
	}
	if (is_register)
		register_protected(&msg, source, ue);
	else if (!strcmp(msg.method, "OPTIONS") || !strcmp(msg.method, "MESSAGE"))
		/* Here one would assert ue->owner's identity and forward. */
		refuse(&msg, source, ue, "200 OK", NULL);
	else
		refuse(&msg, source, ue,
		       "405 Method Not Allowed\r\nAllow: REGISTER, OPTIONS, MESSAGE", NULL);
}

/* ---- What the kernel says -------------------------------------------- */

/* A bundle that a process before this one confirmed: its UE goes on, without a new challenge. */
static void take_over(const struct imsipsec_bundle *bundle)
{
	struct ue *ue = NULL;
	char server[256];

	for (size_t i = 0; i < n_locals && !ue; i++) {
		if (locals[i].endpoint == bundle->endpoint)
			ue = ue_new(&locals[i], UE_REGISTERED);
	}
	if (!ue)
		return;
	ue->bundle = bundle->id;
	memcpy(ue->owner, bundle->owner, bundle->owner_len);
	memcpy(ue->contact, bundle->contact, bundle->contact_len);
	ue->address = bundle->ue_address;
	ue->port_uc = bundle->port_uc;
	ue->port_us = bundle->port_us;
	if (write_security_server(bundle, server, sizeof(server), &ue->server))
		error("bundle %u: no memory", bundle->id);
	log("bundle %u of %s taken over", bundle->id, ue->owner);
}

struct there {
	const struct ue *ue[UES_MAX];
	size_t n;
};

static int on_bundle(const struct imsipsec_bundle *bundle, void *data)
{
	struct there *there = data;
	const struct ue *ue = ue_of_bundle(bundle->id);

	if (!ue && (bundle->state == IMSIPSEC_STATE_ESTABLISHED ||
		    bundle->state == IMSIPSEC_STATE_ACTIVE)) {
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
	err = imsipsec_event_dispatch(events, on_event, NULL);
	if (err)
		error("events: %s", strerror(-err));
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
	    endpoint->port_pc[0] == opt.port_pc)
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
	err = imsipsec_open(&ipsec);
	if (!err)
		err = imsipsec_event_open(&events);
	if (err) {
		error("ims_ipsec: %s", err == -ENOENT ? "the module is not loaded" : strerror(-err));
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
	if (events)
		net_close(locals, n_locals);
	while (ues)
		ue_drop(ues);
	for (size_t i = 0; i < n_locals; i++) {
		if (opt.delete_endpoint && locals[i].endpoint &&
		    imsipsec_endpoint_delete(ipsec, locals[i].endpoint, true))
			error("endpoint %u: %s", locals[i].endpoint, imsipsec_strerror(ipsec));
	}
	imsipsec_event_close(events);
	imsipsec_close(ipsec);
	if (signals > 0)
		close(signals);
}

static void usage(void)
{
	fputs("usage: pcscf -l ADDRESS [-l ADDRESS]... --vectors FILE [OPTION]...\n"
	      "  -l, --listen ADDRESS   IPv4 or IPv6, up to 8 of them\n"
	      "      --port PORT        for what is not protected (5060)\n"
	      "      --port-ps PORT     protected server port (5063)\n"
	      "      --port-pc PORT     protected client port (5062)\n"
	      "      --vectors FILE     lines IMPI RAND AUTN XRES CK IK, in hex\n"
	      "      --realm REALM      of the challenge (ims.example)\n"
	      "      --algs LIST        alg=ealg,... in order of preference\n"
	      "                         (hmac-sha-1-96,hmac-md5-96)\n"
	      "      --linger MS        how long SAs stay after de-registration (32000)\n"
	      "      --delete-endpoint  delete endpoints and bundles at the end; without it\n"
	      "                         they stay, the ports remain shut, and the next pcscf\n"
	      "                         takes them over\n"
	      "  -v, --verbose          a line for each event, on standard error\n", stderr);
	exit(2);
}

static uint16_t port_option(const char *text)
{
	char *rest;
	unsigned long port = strtoul(text, &rest, 10);

	if (*rest || port < 1 || port > 65535)
		usage();
	return (uint16_t)port;
}

static void options(int argc, char **argv)
{
	enum { PORT = 256, PORT_PS, PORT_PC, VECTORS, REALM, ALGS, LINGER, DELETE };
	static const struct option known[] = {
		{ "listen", required_argument, NULL, 'l' },
		{ "port", required_argument, NULL, PORT },
		{ "port-ps", required_argument, NULL, PORT_PS },
		{ "port-pc", required_argument, NULL, PORT_PC },
		{ "vectors", required_argument, NULL, VECTORS },
		{ "realm", required_argument, NULL, REALM },
		{ "algs", required_argument, NULL, ALGS },
		{ "linger", required_argument, NULL, LINGER },
		{ "delete-endpoint", no_argument, NULL, DELETE },
		{ "verbose", no_argument, NULL, 'v' },
		{ NULL, 0, NULL, 0 },
	};
	char *rest;
	int c;

	while ((c = getopt_long(argc, argv, "l:v", known, NULL)) != -1) {
		switch (c) {
		case 'l':
			if (n_locals == NET_LOCAL_MAX ||
			    imsipsec_addr_parse(&locals[n_locals].address, optarg))
				usage();
			memset(locals[n_locals].fd, 0xff, sizeof(locals[n_locals].fd));
			n_locals++;
			break;
		case PORT:	opt.port = port_option(optarg); break;
		case PORT_PS:	opt.port_ps = port_option(optarg); break;
		case PORT_PC:	opt.port_pc = port_option(optarg); break;
		case VECTORS:	opt.vectors = optarg; break;
		case REALM:	opt.realm = optarg; break;
		case ALGS:	opt.algs_text = optarg; break;
		case LINGER:
			opt.linger = strtoull(optarg, &rest, 10);
			if (*rest)
				usage();
			break;
		case DELETE:	opt.delete_endpoint = true; break;
		case 'v':	opt.verbose = true; break;
		default:	usage();
		}
	}
	opt.n_algs = sizeof(opt.algs) / sizeof(opt.algs[0]);
	if (optind != argc || !n_locals || !opt.vectors ||
	    imsipsec_algs_parse(opt.algs_text, opt.algs, &opt.n_algs))
		usage();
}

int main(int argc, char **argv)
{
	int err = -1;

	options(argc, argv);
	if (start()) {
		const int extra[] = { imsipsec_event_fd(events), signals };

		log("ready");
		err = net_loop(locals, n_locals, extra, 2, ready, receive);
		if (err)
			error("%s", strerror(-err));
	}
	stop();
	return err ? 1 : 0;
}
