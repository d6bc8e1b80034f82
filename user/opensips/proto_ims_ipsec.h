/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * proto_ims_ipsec - OpenSIPS as P-CSCF on libimsipsec, in the place of proto_ipsec
 *
 * The kernel has the sets of SAs, and what it knows is not kept here: each process asks it when a
 * message comes, or goes. What it does not tell, IK and CK and what the headers said, is in shared
 * memory (records.c).
 */
#ifndef PROTO_IMS_IPSEC_H
#define PROTO_IMS_IPSEC_H

#include <stdbool.h>

#include "ip_addr.h"
#include "mi/mi.h"
#include "modules/tm/tm_load.h"
#include "modules/usrloc/usrloc.h"
#include "parser/msg_parser.h"
#include "pvar.h"
#include "socket_info.h"
#include "statistics.h"
#include "str.h"

#include <imsipsec.h>

#include "../sip/sip.h"

#include "choice.h"
#include "compat.h"
#include "text.h"

/* What ipsec_create returns */
#define CREATED		1
#define FAILED		(-1)
#define NO_AGREEMENT	(-2)		/* no listener, or no pair, in common */
#define NO_KEYS		(-3)
#define NO_SET		(-5)		/* the kernel refuses */

#define ADDRESSES_MAX	16
#define LISTENERS_MAX	(IMSIPSEC_PORT_PC_MAX + 1)

/** struct listener - a "socket=ipsec:…" and its two hidden sockets */
struct listener {
	uint16_t port;
	struct socket_info *udp, *tcp;
};

/** struct gm - an address that UEs talk to, and its endpoint
 * @ip: for OpenSIPS
 * @addr: for the library
 * @listener: in the order of the configuration
 * @ports: what they are for
 * @server: the port_ps that the script names; 0: none
 * @endpoint: its id in the kernel
 * @nat: bundles may have IMSIPSEC_MODE_UDP_ENC_TUN
 */
struct gm {
	struct ip_addr ip;
	struct imsipsec_addr addr;
	struct listener listener[LISTENERS_MAX];
	size_t n;
	struct ports ports;
	uint32_t endpoint;
	bool nat;
};

/** struct settings - the module's parameters, and what was made of them */
struct settings {
	int port;
	int min_spi, max_spi;
	int temporary_timeout;		/* seconds */
	int default_client_port, default_server_port;
	char *allowed_algorithms;
	int disable_deprecated_algorithms;
	int nat_traversal, nat_port;
	char *hw_offload_interface;
	int linger;			/* seconds */
	char *guard;
	char *security_server;
	int mark_mask;			/* -1: as it is */
	struct gm gm[ADDRESSES_MAX];
	int n_gm;
	uint16_t script_server[ADDRESSES_MAX];	/* port_ps that ipsec_create names in the script */
	int n_script_server;
	bool bypass;			/* the guard lets plaintext in */
	bool whole_list;		/* Security-Server has all pairs */
};

/* --- settings.c */

extern struct settings settings;
extern usrloc_api_t ul;
extern struct tm_binds tmb;

/** is_hidden() - is it one of the hidden sockets */
bool is_hidden(const struct socket_info *si);

/** gm_of() - the Gm address that a message came to; NULL if it is none */
struct gm *gm_of(const struct ip_addr *ip);

/* --- kernel.c */

/** kernel_prepare() - the configuration and the endpoints; 0 or -1, which is said */
int kernel_prepare(void);

/**
 * kernel_mask() - what the kernel has; another one may be there when the kernel module was loaded anew,
 *	which one process hears first, and all have at once
 */
uint32_t kernel_mask(void);

/** kernel_init() - before processes are forked; 0 or -1, which is said */
int kernel_init(void);

/** kernel_look_after() - make endpoints again that somebody has deleted */
void kernel_look_after(void);

/** kernel_has_pair() - has the kernel a pair of algorithms; asked anew after a while */
bool kernel_has_pair(const struct imsipsec_pair *pair);

/**
 * kernel_over() - the set that a message came over
 * @rcv: where it came from; that of a transaction's request will do
 * @b: gets it
 *
 * Return: 0; -ENOENT if it came in clear, or the set has gone; -ENOTUNIQ; another negative errno.
 */
int kernel_over(const struct receive_info *rcv, struct imsipsec_bundle *b);

/** kernel_find_mark() - the set that a datagram's mark is of; 0, -ENOENT, … */
int kernel_find_mark(uint32_t mark, struct imsipsec_bundle *b);

/** kernel_find_spi() - the set that one of our SPIs is of */
int kernel_find_spi(uint32_t spi, struct imsipsec_bundle *b);

/** kernel_get() - a set by its id, its counters included */
int kernel_get(uint32_t id, struct imsipsec_bundle *b);

/** kernel_tx() - the set to send over now, of the registration that a set is of */
int kernel_tx(uint32_t id, struct imsipsec_bundle *b);

/** kernel_tx_port() - the set to send over now, to a UE's protected port */
int kernel_tx_port(const struct gm *gm, const struct imsipsec_addr *ue, uint16_t port,
		   struct imsipsec_bundle *b);

/** kernel_tuple() - the set that messages between two ends come over, in whatever state */
int kernel_tuple(const struct gm *gm, uint16_t local, const struct imsipsec_addr *ue, uint16_t port,
		 struct imsipsec_bundle *b);

/* --- sockets.c */

/** sockets_hide() - make the hidden sockets of each listener; 0 or -1, which is said */
int sockets_hide(void);

/** sockets_gather() - fill settings.gm from the listeners; 0 or -1, which is said */
int sockets_gather(void);

/** sockets_hook() - have what comes to hidden sockets read here */
void sockets_hook(void);

/** listener_of() - by its port; or NULL */
struct listener *listener_of(struct gm *gm, uint16_t port);

/** open_socket() - one that is not protected, of the same address if there is one; or NULL */
const struct socket_info *open_socket(const struct socket_info *like);

/* --- send.c */

/** send_protected() - what goes out by a hidden socket */
int send_protected(SEND_ARGS);

/* --- tcp.c */

/** tcp_hook() - have connections that are to be marked opened here */
void tcp_hook(void);

/** tcp_send_marked() - over the connection to there, or one whose mark is that of a set */
int tcp_send_marked(const struct socket_info *from, char *buf, unsigned int len,
		    const union sockaddr_union *to, uint32_t mark);

/* --- script.c */

/** script_init() - 0 or -1, which is said */
int script_init(void);

/** script_over() - the set that a message came over, which is asked for once; 0 or an errno */
int script_over(struct sip_msg *msg, struct imsipsec_bundle *b);

/** script_register() - the REGISTER that the script handles now; or NULL */
const struct sip_msg *script_register(void);

/** script_in_clear() - is what the script handles now a request that came over no set */
bool script_in_clear(void);

/** script_made() - ipsec_create has made a set for the answer that is handled */
void script_made(struct sip_msg *msg, const struct imsipsec_bundle *b);

/* --- message.c */

/** struct copy - a message parsed apart, so that what is in shared memory stays as it is */
struct copy {
	struct sip_msg msg;
	char *buf;
};

/** copy_begin() - parse it, all headers; 0 or -1; @copy is to be ended if it is 0 */
int copy_begin(struct copy *copy, const struct sip_msg *msg);
void copy_end(struct copy *copy);

/** header_text() - its value */
struct span header_text(const struct hdr_field *h);

/** add_header() - one line, with its end, behind the others; 0 or -1 */
int add_header(struct sip_msg *msg, const char *line);

/** add_text() - at a place of the message; 0 or -1 */
int add_text(struct sip_msg *msg, const char *at, const char *text);

/** cut_text() - out of the message; 0 or -1 */
int cut_text(struct sip_msg *msg, struct span text);

/** cut_headers() - all of a name */
void cut_headers(struct sip_msg *msg, const char *name);

/** all_of() - the values of all headers of a name, in one line; its length, -1: no room */
int all_of(const struct sip_msg *msg, const char *name, char *buf, size_t size);

/** owner_of() - the private identity that a REGISTER names; false if none, or one that is too long
 */
bool owner_of(struct sip_msg *req, uint8_t *owner, size_t *len);

/** public_of() - the public one, To's URI */
str public_of(struct sip_msg *req);

/** is_deregister() - does a REGISTER end a registration; all its headers are parsed */
bool is_deregister(struct sip_msg *req);

/* --- create.c */

/** ipsec_create() - what the script calls; the arguments are NULL where it has none */
int ipsec_create(struct sip_msg *msg, int *server, int *client, struct span *list);

/* --- records.c */

#define KEY_TEXT	(2 * IMSIPSEC_KEY_LEN)

/** struct record - what is known of a set that the kernel does not tell
 * @ik, @ck: in hexadecimal digits
 * @owner, @public: private and public identity; as long as their lengths
 * @client, @server: Security-Client and Security-Server; "": not known
 */
struct record {
	char ik[KEY_TEXT + 1], ck[KEY_TEXT + 1];
	char owner[IMSIPSEC_OWNER_MAX + 1], public[256];
	char client[4096], server[2048];
};

/** records_init() - before processes are forked; 0 or -1, which is said */
int records_init(void);

/** record_put() - of a set; 0 or -1 */
int record_put(uint32_t bundle, const struct record *record);

/** record_get() - a copy; false if nothing is known of the set */
bool record_get(uint32_t bundle, struct record *record);

/** record_del() - the set has gone */
void record_del(uint32_t bundle);

/** records_sweep() - forget what is known of sets that are not there any more */
void records_sweep(void);

/** contacts_more() - a registration has another contact; contacts_less(): how many are left */
void contacts_more(uint32_t registration);
int contacts_less(uint32_t registration);

/** contacts_of() - how many a registration has */
unsigned int contacts_of(uint32_t registration);

/**
 * life_number() - since when numbers of sets and registrations mean what they mean: a start of
 *	OpenSIPS; life_begins(): the kernel module, and all its sets, are another one from now on
 */
uint32_t life_number(void);
void life_begins(void);

/** target_put() - requests to a URI go to the registration of a set; for another contact that has it?
 */
void target_put(const str *uri, const struct imsipsec_bundle *b, bool another);

/**
 * target_get() - the last set of each registration that requests to a URI go to
 *
 * A phone writes into its contact what it likes: another one's URI as well.
 *
 * Return: how many, @room at most.
 */
size_t target_get(struct span uri, uint32_t *bundles, size_t room);

/** target_del() - one contact of a registration less has the URI */
void target_del(const str *uri, uint32_t registration);

/* --- contacts.c */

/** contacts_init() - 0 or -1, which is said */
int contacts_init(void);

/* --- vars.c: $ipsec(NAME), $ipsec_ue(NAME) */

int var_parse(pv_spec_p spec, const str *text);
int var_get(struct sip_msg *msg, pv_param_t *param, pv_value_t *value);
int var_get_ue(struct sip_msg *msg, pv_param_t *param, pv_value_t *value);

/* --- mi.c, stats.c */

extern const mi_export_t mi_commands[];
extern const stat_export_t statistics[];

/* --- events.c */

/** events_init() - 0 or -1, which is said */
int events_init(void);

/** events_run() - the process that hears what becomes of sets */
void events_run(int rank);

#endif
