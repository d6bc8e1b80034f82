/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * ims_ipsec - Kamailio's P-CSCF on libimsipsec, in the place of ims_ipsec_pcscf
 *
 * The kernel has the sets of SAs, and nothing is kept here that it knows: each process asks it
 * when a message comes. What the registrar and the user location want to read of a set is
 * written into the contact.
 */
#ifndef IMS_IPSEC_H
#define IMS_IPSEC_H

#include <stdbool.h>

#include "core/ip_addr.h"
#include "core/parser/msg_parser.h"
#include "core/pvar.h"
#include "core/rpc.h"
#include "core/socket_info.h"
#include "core/str.h"
#include "modules/tm/tm_load.h"
#include "modules/ims_usrloc_pcscf/usrloc.h"

#include <imsipsec.h>

#include "../sip/sip.h"

/* What a function of the routing script returns */
#define DONE	1
#define FAILED	(-1)

#define ADDRESSES_MAX	16

/** struct gm - an address that UEs talk to, and its endpoint
 * @text: as the parameter has it
 * @ip: for Kamailio
 * @addr: for the library
 * @endpoint: its id in the kernel
 */
struct gm {
	str text;
	struct ip_addr ip;
	struct imsipsec_addr addr;
	uint32_t endpoint;
};

/** struct settings - the module's parameters, and what was made of them */
struct settings {
	struct gm gm[ADDRESSES_MAX];
	int n_gm;
	uint16_t port_ps;
	uint16_t port_pc[IMSIPSEC_PORT_PC_MAX];
	int n_port_pc;
	int client_port, server_port, max_connections, reuse_server_port;
	int spi_start, spi_range;
	str preferred_alg, preferred_ealg;
	str listen_name, listen_group;
	str core_socket;
	str guard;
	char *trusted[IMSIPSEC_TRUSTED_MAX];
	struct net trusted_nets[IMSIPSEC_TRUSTED_MAX];
	int n_trusted;
	bool bypass;		/* it lets plaintext in */
	int linger;		/* seconds */
	int nat;
	int check_identity;
};

/**
 * struct place - what a contact of the user location says of where its phone is
 * @ue: the address that it came from
 * @spi_ps, @port_uc: as the contact has them of its set, which may be what the phone says; 0: it
 *	has none
 * @secured: its phone has registered over a set, which may have gone
 */
struct place {
	struct imsipsec_addr ue;
	unsigned short received_port, contact_port, proto;
	uint32_t spi_ps;
	uint16_t port_uc;
	bool secured;
};

extern struct settings settings;
extern usrloc_api_t ul;
extern struct tm_binds tmb;

/* --- kernel.c */

/** kernel_prepare() - the endpoints, before Kamailio gives up root; 0 or -1, which is said */
int kernel_prepare(void);

/** kernel_check() - can this process talk to the kernel; 0 or -1, which is said */
int kernel_check(void);

/** kernel_algs() - the pairs that there are, in the order of the parameters; how many, or -1 */
int kernel_algs(struct imsipsec_pair *algs, size_t room);

/**
 * kernel_over() - the set that a message came over
 * @msg: where it came from is told by its addresses and ports; two sets of a UE may have the
 *	same, and the one that Security-Verify names is the one
 * @b: gets it
 *
 * Return: 0; -ENOENT if it came in clear, or the set has gone; another negative errno.
 */
int kernel_over(struct sip_msg *msg, struct imsipsec_bundle *b);

/**
 * kernel_over_known() - the same, if it was found before, by whatever process; nothing is asked
 * @msg: need not be parsed, and may be the request of the transaction that an answer is of
 *
 * Return: -EAGAIN: kernel_over() is to ask; 0; -ENOENT.
 */
int kernel_over_known(const struct sip_msg *msg, struct imsipsec_bundle *b);

/** kernel_of_contact() - the set that a contact of the user location is about; 0, -ENOENT, … */
int kernel_of_contact(const struct place *place, struct imsipsec_bundle *b);

/** kernel_tx() - the set to send over now, of the registration that a contact is of; as above */
int kernel_tx(const struct place *place, struct imsipsec_bundle *b);

/**
 * kernel_still() - @b if it is still there, else what its registration is sent over now
 *
 * Return: 0, -ENOENT, …
 */
int kernel_still(struct imsipsec_bundle *b);

/** kernel_has_sets() - is there a phone with a set at an address */
bool kernel_has_sets(const struct imsipsec_addr *ue);

/** kernel_confirm() - a REGISTER that came over @b was answered by 200 for so many seconds */
int kernel_confirm(const struct sip_msg *req, const struct imsipsec_bundle *b, long expires);

/** kernel_has_confirmed() - has this process done so for this very REGISTER */
bool kernel_has_confirmed(const struct sip_msg *req, const struct imsipsec_bundle *b);

/** kernel_end() - the set ends, when answers have had the time to leave */
int kernel_end(const struct imsipsec_bundle *b);

/** to_ip() - the library's address as Kamailio has it */
void to_ip(struct ip_addr *ip, const struct imsipsec_addr *addr);

/* --- sockets.c */

/** sockets_listen() - have Kamailio listen at the protected ports; 0 or -1, which is said */
int sockets_listen(void);

/** gm_of() - the Gm address that a message came to; NULL if it is none */
struct gm *gm_of(const struct ip_addr *ip);

/** is_trusted() - is it the address of a core that may talk to protected ports in clear */
bool is_trusted(const struct ip_addr *ip);

/** is_protected() - is it a protected port of a Gm address */
bool is_protected(const struct ip_addr *ip, unsigned short port);

/** core_socket_for() - the socket to send to the core from, for what came to a Gm address; or NULL
 */
struct socket_info *core_socket_for(const struct ip_addr *gm, int proto);

/** core_socket_find() - look up the parameter of that name; 0 or -1, which is said */
int core_socket_find(void);

/* --- message.c */

/**
 * struct copy - the request of a transaction, for whoever parses Contact and Expires
 * @msg: what stands in shared memory, and stays as it is, but for these two
 *
 * Each piece of memory costs Kamailio thousands of instructions, and to parse the whole message
 * again would take many.
 */
struct copy {
	struct sip_msg msg;
	struct hdr_field contact, expires;
};

/** copy_begin() - 0 or -1, which is said; @copy is to be ended if it is 0 */
int copy_begin(struct copy *copy, const struct sip_msg *msg);
void copy_end(struct copy *copy);

/** over_of_request() - kernel_over() of the request of a transaction, which is in shared memory */
int over_of_request(const struct sip_msg *req, struct imsipsec_bundle *b);

/** add_headers() - lines, each with its end, behind the others; 0 or -1 */
int add_headers(struct sip_msg *msg, const char *lines);

/** last_via() - that of the UE, in an answer; or NULL */
struct via_body *last_via(struct sip_msg *msg);

/** first_contact() - the first of a message that has its headers parsed; NULL: none */
struct contact *first_contact(struct sip_msg *msg);

/** auth_param() - a parameter in quotes of a header's value; .s is NULL if there is none, or two */
str auth_param(const str *value, const char *name);

/** uri_host_port() - "sip:host:port" into @buf, an IPv6 address in []; its length */
int uri_host_port(char *buf, size_t size, const struct imsipsec_addr *addr, unsigned short port,
		  const char *more);

/* --- contact.c */

/** contact_init() - nothing is hooked into the user location before; 0 or -1, which is said */
int contact_init(void);

/*
 * These find a contact and say what is to be known of it: nothing of the user location is locked
 * when they return. false is said.
 */

/**
 * contact_of_reply() - the contact that the REGISTER of an answer has made
 * @d: its domain
 * @reply: the answer
 * @req: the request, from copy_begin()
 */
bool contact_of_reply(udomain_t *d, struct sip_msg *reply, struct sip_msg *req,
		      struct place *place);
bool contact_of_request(udomain_t *d, struct sip_msg *msg, const str *uri, int flags,
			struct place *place);
bool contact_by(udomain_t *d, const str *uri, const str *host, int port, struct place *place);

/**
 * contact_describe() - write into the contact of a REGISTER what its set is
 *
 * Of a contact that is registered, the set in use is to be told until this one is confirmed: it
 * stays as it is.
 *
 * Return: 0 or -1, which is said.
 */
int contact_describe(udomain_t *d, struct sip_msg *reply, struct sip_msg *req,
		     const struct imsipsec_bundle *b);

/**
 * contact_describe_restored() - the same of a contact that came from a database, when its phone has
 * registered again over a set; such a one does not tell of that
 */
void contact_describe_restored(udomain_t *d, struct sip_msg *reply, struct sip_msg *req,
			       const struct imsipsec_bundle *b);

/**
 * contact_from() - contacts that are registered, filed under a host, of an address
 * @d: its domain, where that host is locked
 * @host: as Via has it
 * @ip: they came from there
 * @c: that before, or NULL: the newest is the first
 *
 * The user location's own search ends at the first whose Contact has a name for its host, and
 * anybody can have such a one filed there.
 *
 * Return: the next one, or NULL.
 */
pcontact_t *contact_from(udomain_t *d, const str *host, const struct ip_addr *ip, pcontact_t *c);

/** contact_has_set() - has a contact been registered over a set, which may have gone */
bool contact_has_set(const pcontact_t *c);

/**
 * contact_is_of() - may a contact be of the subscriber of a set
 * @c: has the address and port of the phone
 * @over: that set
 *
 * What says nothing of sets may.
 */
bool contact_is_of(const pcontact_t *c, const struct imsipsec_bundle *over);

/**
 * contact_end_dead() - a set is made for a phone: a contact that has been there before it, with the
 * same port, and whose set has gone, is deleted
 *
 * Else the registrar would take the contact for that phone's, together with the identities of
 * whoever it was.
 */
void contact_end_dead(udomain_t *d, struct sip_msg *reply, const struct ip_addr *ip,
		      const struct imsipsec_bundle *new);

/** on_expire() - what the registrar has called when a contact expires or is deleted */
void on_expire(pcontact_t *c, int type, void *param);

/* --- dialog.c */

/** dialog_init() - 0 or -1, which is said */
int dialog_init(void);

/**
 * dialog_begins() - a request that begins a dialog, from or to the phone of a set: Record-Route
 * will say whose it is
 */
void dialog_begins(struct sip_msg *msg, const struct imsipsec_bundle *b);

/**
 * dialog_holds() - is a request within a dialog of the subscriber whose set it came over;
 * check_identity 2
 */
bool dialog_holds(struct sip_msg *msg, const struct imsipsec_bundle *over);

/** dialog_to_server_port() - have the phone send to port_ps what it sends within the dialog */
void dialog_to_server_port(struct sip_msg *msg, const struct imsipsec_bundle *b, int proto);

/* --- identity.c */

/** begins_something() - is a request not within a dialog */
bool begins_something(struct sip_msg *msg);

/** identity_init() - before identity_domain(); 0 or -1, which is said */
int identity_init(void);

/** identity_domain() - a domain of the user location where contacts may be */
void identity_domain(udomain_t *d);

/**
 * identity_holds() - does a request that came to a protected port say who its phone is
 *
 * @over: the set that it came over
 *
 * A REGISTER: the private identity is that of the set. What begins something: From is a public
 * identity of the registration, or none (anonymous). A phone of which the user location knows
 * nothing is left to the script.
 */
bool identity_holds(struct sip_msg *msg, const struct imsipsec_bundle *over);

/**
 * identity_in_clear() - may a request that came in clear begin something
 *
 * Where a phone is registered over a set, what comes in clear may be anybody's. REGISTER may, and a
 * call for help.
 */
bool identity_in_clear(struct sip_msg *msg);

/* --- forward.c */

/**
 * late_answer() - what the core has called for an answer, before it is sent on
 *
 * Where tm knows of no request that is answered, as when the core has taken longer than the
 * transaction has lived, Kamailio would send the answer on as it is: in clear, and with the keys that
 * a 401 has.
 *
 * Return: 0: the answer is not to be sent on.
 */
int late_answer(struct sip_msg *msg);

/* --- create.c */

/**
 * create_agrees() - is the offer in a REGISTER that answers a challenge what its set was made of
 * @msg: the REGISTER
 * @over: the set that it came over
 *
 * Against bidding down, TS 33.203 clause 7.2: in clear somebody may have taken out of the offer what
 * he cannot break. Of what the phone repeats, the same has to be chosen again.
 */
bool create_agrees(struct sip_msg *msg, const struct imsipsec_bundle *over);

/* --- What the script calls */

int ipsec_create(struct sip_msg *msg, udomain_t *d, int flags);
int ipsec_forward(struct sip_msg *msg, udomain_t *d, int flags);
int ipsec_destroy(struct sip_msg *msg, udomain_t *d, str *uri);
int ipsec_destroy_by_contact(udomain_t *d, str *uri, str *host, int port);

/* Flags of ipsec_forward, as ims_ipsec_pcscf has them */
#define FORWARD_FORCE_SOCKET	(1 << 0)
#define FORWARD_NEWEST		(1 << 1)	/* the newest contact first */
#define FORWARD_BY_DST_URI	(1 << 2)
#define FORWARD_BY_NEW_URI	(1 << 3)
#define FORWARD_NO_ALIAS	(1 << 4)
#define FORWARD_KEEP_DST_URI	(1 << 5)
#define FORWARD_TCP_TO_UC	(1 << 6)
#define FORWARD_TRANSPORT	(1 << 7)	/* ;transport= in $du */
#define FORWARD_USE_VIA		(1 << 8)	/* its protocol, or the next hop's */
#define FORWARD_TRY_TCP		(1 << 9)

/* --- vars.c */

/* $ipsec(NAME) */
int var_parse(pv_spec_t *spec, str *text);
int var_get(struct sip_msg *msg, pv_param_t *param, pv_value_t *value);

/* --- rpc.c */

extern rpc_export_t rpc_commands[];

/* --- events.c */

/** events_run() - the process that says what becomes of sets; it does not return */
void events_run(void);

#endif
