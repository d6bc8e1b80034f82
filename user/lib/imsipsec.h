/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * libimsipsec - IMS access security (ipsec-3gpp, 3GPP TS 33.203, RFC 3329)
 * for SIP servers that act as P-CSCF: a thin layer over the generic netlink
 * family of the kernel module ims_ipsec.
 *
 * Conventions
 *
 * - A function that can fail returns 0 or a negative errno. The text behind
 *   it, the kernel's own where it came from the kernel, is had from
 *   imsipsec_strerror().
 * - Ports and SPIs are in host byte order, times in milliseconds from now,
 *   struct imsipsec_addr holds addresses in network byte order.
 * - Any call may also return what the socket gives, -EBADMSG for a reply that
 *   the library does not understand, and -ENODEV if the module was unloaded
 *   (close the handle and open another one). -EINVAL is also the library's own
 *   answer to what does not fit into a request.
 * - A handle, a subscription and a cache belong to one thread at a time, and to
 *   the process that opened them; several are independent of each other. After
 *   fork() every call with the other process's gives -ECHILD, but for those that
 *   close, which close the process's own files and disturb the other one in
 *   nothing. The library keeps no global state and prints nothing.
 * - What a call takes may be what an earlier one with the same handle or cache
 *   gave out.
 * - An address that goes in may be an IPv4-mapped one, ::ffff:192.0.2.1, as a socket
 *   of both families has it: it is taken for the IPv4 address.
 * - What happened some time ago has happened so many milliseconds ago;
 *   IMSIPSEC_NEVER if it has not.
 * - The size of a struct is the same for all that have the soname, libimsipsec.so.1, so that
 *   program and library may be of different ages, and a struct may be copied, be a part of
 *   another one and stand in an array. It ends in reserved bytes, which are zero; a new member
 *   takes its place from them, of which 0 means what there was before. So
 *	- a struct that goes in is initialised as a whole:
 *		struct imsipsec_bundle_params p = { .endpoint = 1, ... };
 *	  -E2BIG if one of its reserved bytes is not zero: it was not, or the program uses
 *	  what is newer than the library;
 *	- of a struct that comes out, a member that is newer than the library is 0.
 *   struct imsipsec_addr alone has none: it has what an IP address is, and no more.
 *   A name that the library does not know yet may come out of an enumeration, too.
 * - Callbacks return 0 to go on. Another value ends the call, which reports no more, and
 *   returns the same if it is positive: a negative value is an errno of the library, and a
 *   callback that returns one gets -ECANCELED, which the library has for nothing else.
 * - Names: "uc", "us" are the UE's protected client and server port, "pc",
 *   "ps" the P-CSCF's. A bundle is a registration's set of four SAs:
 *	UE:port_uc -> P:port_ps  spi_ps     P:port_ps -> UE:port_uc  spi_uc
 *	UE:port_us -> P:port_pc  spi_pc     P:port_pc -> UE:port_us  spi_us
 */
#ifndef IMSIPSEC_H
#define IMSIPSEC_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Unnamed members are newer than C99, and unnamed structs are not in C++; compilers have them. */
#ifdef __GNUC__
#define IMSIPSEC_EXTENSION	__extension__
#else
#define IMSIPSEC_EXTENSION
#endif

/* ---- Version --------------------------------------------------------- */

/* Of this header */
#define IMSIPSEC_VERSION_MAJOR	0
#define IMSIPSEC_VERSION_MINOR	1
#define IMSIPSEC_VERSION_PATCH	0

#define IMSIPSEC_VERSION_STRING_(a, b, c)	#a "." #b "." #c
#define IMSIPSEC_VERSION_STRING(a, b, c)	IMSIPSEC_VERSION_STRING_(a, b, c)

/** Of this header, as text: "1.2.3" */
#define IMSIPSEC_VERSION \
	IMSIPSEC_VERSION_STRING(IMSIPSEC_VERSION_MAJOR, IMSIPSEC_VERSION_MINOR, \
				IMSIPSEC_VERSION_PATCH)

/** Is this header of that version, or a later one? For #if */
#define IMSIPSEC_VERSION_AT_LEAST(major, minor, patch) \
	(IMSIPSEC_VERSION_MAJOR > (major) || \
	 (IMSIPSEC_VERSION_MAJOR == (major) && \
	  (IMSIPSEC_VERSION_MINOR > (minor) || \
	   (IMSIPSEC_VERSION_MINOR == (minor) && IMSIPSEC_VERSION_PATCH >= (patch)))))

/**
 * imsipsec_version() - version of the library that runs
 *
 * A program that was built with another one's header finds it differs from IMSIPSEC_VERSION,
 * which does no harm as long as the soname is the same.
 *
 * Return: as IMSIPSEC_VERSION; constant.
 */
const char *imsipsec_version(void);

/** It has not happened yet: of members that say how long ago it did */
#define IMSIPSEC_NEVER	UINT64_MAX

/* ---- Handle ---------------------------------------------------------- */

/** struct imsipsec - a connection to the kernel module, opaque */
struct imsipsec;

/**
 * imsipsec_open() - connect to the module in the caller's network namespace
 * @h: gets the handle, to be closed with imsipsec_close(); NULL on error
 *
 * The handle stays with the network namespace that it was opened in.
 *
 * The kernel loads the module by itself if it is installed.
 *
 * Return: 0; -ENOENT if the module is not loaded, -ENODEV if it was unloaded
 * meanwhile; -EPERM without CAP_NET_ADMIN; -EMFILE, -ENFILE, -ENOMEM and what else
 * socket(2) gives; -EBADMSG and -EOPNOTSUPP if module and library are not of one
 * age. There being no handle, imsipsec_open_strerror() has the text.
 */
int imsipsec_open(struct imsipsec **h);

/**
 * imsipsec_open_strerror() - why imsipsec_open(), imsipsec_event_open() or
 *	imsipsec_cache_open() failed
 * @err: what it returned
 *
 * Return: one line without newline, constant, never NULL.
 */
const char *imsipsec_open_strerror(int err);

/**
 * imsipsec_close() - close the handle and all that it gave out
 * @h: the handle, or NULL
 */
void imsipsec_close(struct imsipsec *h);

/**
 * imsipsec_set_timeout() - how long a call waits for the kernel's answer
 * @h: the handle
 * @timeout: milliseconds for each message of it; 0: for ever, as at first
 *
 * The kernel has its answer ready when it takes a request, so that there is nothing to wait for
 * unless that got lost: for want of memory, or because somebody else has read it. What the
 * kernel itself waits for, in the request, is not cut short.
 *
 * A call that has waited in vain returns -ETIMEDOUT. What it asked for may have been done:
 * imsipsec_bundle_new() can be repeated with its cookie. The handle can be used as before.
 *
 * Return: 0 or what setsockopt(2) gives.
 */
int imsipsec_set_timeout(struct imsipsec *h, uint64_t timeout);

/**
 * imsipsec_fd() - the netlink socket that requests are made on
 * @h: the handle
 *
 * Close-on-exec. For setsockopt() and the like: replies are read by the
 * function that made the request.
 */
int imsipsec_fd(const struct imsipsec *h);

/**
 * imsipsec_strerror() - what went wrong in the last call that failed
 * @h: the handle
 *
 * Return: one line without newline, never NULL: the kernel's own message,
 * with the name of the attribute that it concerns where it named one, else
 * the errno's. Valid until the next call with @h.
 */
const char *imsipsec_strerror(const struct imsipsec *h);

/* ---- Addresses and names --------------------------------------------- */

/**
 * struct imsipsec_addr - an IPv4 or IPv6 address
 * @family: AF_INET or AF_INET6
 * @in: the address, network byte order, for AF_INET
 * @in6: the address for AF_INET6
 */
struct imsipsec_addr {
	int family;
	IMSIPSEC_EXTENSION union {
		struct in_addr in;
		struct in6_addr in6;
	};
};

/**
 * imsipsec_addr_parse() - from text; an IPv6 address may stand in [], an IPv4-mapped one
 *	gives AF_INET; 0 or -EINVAL
 */
int imsipsec_addr_parse(struct imsipsec_addr *addr, const char *text);

/** imsipsec_addr_format() - to text, into @buf, which it returns; INET6_ADDRSTRLEN is enough */
const char *imsipsec_addr_format(const struct imsipsec_addr *addr, char *buf, size_t size);

#define IMSIPSEC_INTERFACE_MAX	15	/* bytes of a network interface's name */

/* Values are those of linux/ims_ipsec.h. */
enum imsipsec_alg {		/* "alg" of RFC 3329 */
	IMSIPSEC_ALG_NONE = 0,	/* not said, or none that the library knows */
	IMSIPSEC_ALG_HMAC_MD5_96 = 1,
	IMSIPSEC_ALG_HMAC_SHA_1_96,
	IMSIPSEC_ALG_AES_GMAC,
	IMSIPSEC_ALG_NULL,	/* none beside AES-GCM */
};

enum imsipsec_ealg {		/* "ealg" of RFC 3329 */
	IMSIPSEC_EALG_NONE = 0,	/* likewise */
	IMSIPSEC_EALG_NULL = 1,
	IMSIPSEC_EALG_AES_CBC,
	IMSIPSEC_EALG_DES_EDE3_CBC,
	IMSIPSEC_EALG_AES_GCM,
};

enum imsipsec_mode {		/* "mod" of RFC 3329 */
	IMSIPSEC_MODE_DEFAULT = 0,	/* not said: IMSIPSEC_MODE_TRANS */
	IMSIPSEC_MODE_TRANS = 1,
	IMSIPSEC_MODE_UDP_ENC_TUN,	/* ESP in tunnel mode, in UDP (RFC 3948): behind a NAT */
};

enum imsipsec_state {
	IMSIPSEC_STATE_NONE = 0,	/* there is no bundle; of a filter: any state */
	IMSIPSEC_STATE_TEMPORARY = 1,	/* challenged, no 200 OK yet */
	IMSIPSEC_STATE_ESTABLISHED,	/* confirmed by the 200 OK */
	IMSIPSEC_STATE_ACTIVE,		/* the one to send over */
	IMSIPSEC_STATE_OLD,		/* superseded or being deleted */
};

enum imsipsec_guard {		/* what touches a protected port unprotected ... */
	IMSIPSEC_GUARD_DEFAULT = 0,	/* not said: IMSIPSEC_GUARD_DROP */
	IMSIPSEC_GUARD_DROP = 1,	/* is dropped */
	IMSIPSEC_GUARD_REJECT,		/* is dropped, and its sender told, by ICMP or RST */
	IMSIPSEC_GUARD_BYPASS,		/* passes: IPsec is optional */
};

enum imsipsec_older {		/* at the 200 OK, a registration's older bundles ... */
	IMSIPSEC_OLDER_DEFAULT = 0,	/* as imsipsec_bundle_new() was told */
	IMSIPSEC_OLDER_KEEP = 1,	/* go but for the one that the REGISTER came over */
	IMSIPSEC_OLDER_DROP,		/* go, the new one is used at once */
};

enum imsipsec_offload {		/* what does ESP's work */
	IMSIPSEC_OFFLOAD_DEFAULT = 0,	/* not said: the configuration's */
	IMSIPSEC_OFFLOAD_OFF = 1,	/* XFRM, a packet at a time */
	IMSIPSEC_OFFLOAD_SOFTWARE,	/* XFRM, with GRO and GSO of ESP */
	IMSIPSEC_OFFLOAD_CRYPTO,	/* a network interface encrypts and decrypts */
	IMSIPSEC_OFFLOAD_PACKET,	/* it does all of ESP: no bundle can have it yet */
};

enum imsipsec_offload_reason {	/* why an interface does not do what it should */
	IMSIPSEC_OFFLOAD_REASON_NONE = 0,	/* it does */
	IMSIPSEC_OFFLOAD_REASON_NO_INTERFACE = 1,	/* there is none of that name */
	IMSIPSEC_OFFLOAD_REASON_DOWN,		/* it is down */
	IMSIPSEC_OFFLOAD_REASON_NO_SUPPORT,	/* its driver, or the kernel, has not got it */
	IMSIPSEC_OFFLOAD_REASON_FEATURE_OFF,	/* switched off: ethtool -K, esp-hw-offload */
	IMSIPSEC_OFFLOAD_REASON_ENCAPSULATION,	/* not in IMSIPSEC_MODE_UDP_ENC_TUN */
	IMSIPSEC_OFFLOAD_REASON_ALGORITHM,	/* its driver does, or a NIC's nonces could repeat */
	IMSIPSEC_OFFLOAD_REASON_TABLE_FULL,	/* it has as many SAs as it can */
	IMSIPSEC_OFFLOAD_REASON_REFUSED,	/* its driver refuses, for another reason */
	IMSIPSEC_OFFLOAD_REASON_NO_MEMORY,
	IMSIPSEC_OFFLOAD_REASON_LOST,		/* it did, then it went down or away */
};

enum imsipsec_drop {		/* why a packet was dropped, by the guard if not said otherwise */
	IMSIPSEC_DROP_PLAINTEXT_IN = 1,	/* it came to a protected port unprotected */
	IMSIPSEC_DROP_PLAINTEXT_OUT,	/* it would have left one unprotected */
	IMSIPSEC_DROP_FOREIGN_SA,	/* over an SA that is not the endpoint's */
	IMSIPSEC_DROP_CROSS_PAIR,	/* there is a set, not for these addresses and ports */
	IMSIPSEC_DROP_NO_LIVE_SET,	/* the set has gone, or there was none */
	IMSIPSEC_DROP_UDP_ONLY,		/* not UDP, and the set is for nothing else */
	/* by XFRM: */
	IMSIPSEC_DROP_BAD_ICV,		/* an SA's SPI; another key, algorithm or mode */
	IMSIPSEC_DROP_UNKNOWN_SPI,	/* ESP to an endpoint; no SA has the SPI */
	/* by the UE: */
	IMSIPSEC_DROP_CLEAR_TO_UE,	/* it left in clear for a UE's protected port */
};

enum imsipsec_trace_kind {
	IMSIPSEC_TRACE_KIND_REFUSAL = 1, /* an imsipsec_bundle_new() that failed */
	IMSIPSEC_TRACE_KIND_DROP,	/* a packet that the guard or XFRM dropped, or a UE will */
};

enum imsipsec_choice {		/* where the configuration has a default */
	IMSIPSEC_CHOICE_DEFAULT = 0,	/* not said: that one */
	IMSIPSEC_CHOICE_CONFIG = IMSIPSEC_CHOICE_DEFAULT,
	IMSIPSEC_CHOICE_OFF,
	IMSIPSEC_CHOICE_ON,
};

/*
 * Names of the values above as the command writes them, which but for case is
 * how RFC 3329 does; NULL for a value that the library does not know.
 */
const char *imsipsec_alg_name(enum imsipsec_alg alg);
const char *imsipsec_ealg_name(enum imsipsec_ealg ealg);
const char *imsipsec_mode_name(enum imsipsec_mode mode);
const char *imsipsec_state_name(enum imsipsec_state state);
const char *imsipsec_guard_name(enum imsipsec_guard guard);
const char *imsipsec_older_name(enum imsipsec_older older);
const char *imsipsec_offload_name(enum imsipsec_offload offload);
const char *imsipsec_drop_name(enum imsipsec_drop drop);
const char *imsipsec_trace_kind_name(enum imsipsec_trace_kind kind);
const char *imsipsec_offload_reason_name(enum imsipsec_offload_reason reason);

/* ---- Configuration of the network namespace -------------------------- */

/* Bits of struct imsipsec_config.set */
#define IMSIPSEC_CONFIG_MIN_SPI			(1U << 0)
#define IMSIPSEC_CONFIG_MAX_SPI			(1U << 1)
#define IMSIPSEC_CONFIG_TEMPORARY_TIMEOUT	(1U << 2)
#define IMSIPSEC_CONFIG_PORT_PC			(1U << 3)
#define IMSIPSEC_CONFIG_PORT_PS			(1U << 4)
#define IMSIPSEC_CONFIG_MAX_ENDPOINTS		(1U << 5)
#define IMSIPSEC_CONFIG_MAX_BUNDLES		(1U << 6)
#define IMSIPSEC_CONFIG_MAX_PENDING		(1U << 7)
#define IMSIPSEC_CONFIG_ALLOWED_ALGORITHMS	(1U << 8)
#define IMSIPSEC_CONFIG_PREFERRED_ALG		(1U << 9)
#define IMSIPSEC_CONFIG_PREFERRED_EALG		(1U << 10)
#define IMSIPSEC_CONFIG_DISABLE_DEPRECATED_ALGORITHMS	(1U << 11)
#define IMSIPSEC_CONFIG_MAX_SETS		(1U << 12)
#define IMSIPSEC_CONFIG_OLD_TIMEOUT		(1U << 13)
#define IMSIPSEC_CONFIG_IDLE_TIMEOUT		(1U << 14)
#define IMSIPSEC_CONFIG_MARK_MASK		(1U << 15)
#define IMSIPSEC_CONFIG_NAT_TRAVERSAL		(1U << 16)
#define IMSIPSEC_CONFIG_NAT_PORT		(1U << 17)
#define IMSIPSEC_CONFIG_NAT_FOLLOW_ADDRESS	(1U << 18)
#define IMSIPSEC_CONFIG_HW_OFFLOAD_INTERFACE	(1U << 19)
#define IMSIPSEC_CONFIG_HW_OFFLOAD		(1U << 20)
#define IMSIPSEC_CONFIG_HW_OFFLOAD_REQUIRED	(1U << 21)

/* Client ports of an endpoint, at most */
#define IMSIPSEC_PORT_PC_MAX	64

/**
 * struct imsipsec_config - what a network namespace is set to
 * @set: IMSIPSEC_CONFIG_*: which members to set, or hold a value
 * @min_spi: first SPI of the P-CSCF's range, at least 256 (RFC 4303)
 * @max_spi: last SPI of the range
 * @temporary_timeout: milliseconds that a bundle waits to be confirmed
 * @port_pc: pool of protected client ports of an endpoint that names none; two as a rule:
 *	a set and its successor differ in it
 * @n_port_pc: how many
 * @port_ps: protected server port of an endpoint that names none
 * @max_endpoints: most endpoints
 * @max_bundles: most bundles
 * @max_pending: most temporary bundles
 * @allowed_algorithms: pairs that a bundle may have, in order of preference, as
 *	imsipsec_pairs_parse() reads them, up to 512 bytes; "": all pairs. What
 *	imsipsec_config_get() gives has every pair in full, and is the handle's,
 *	until its next call
 * @preferred_alg: integrity algorithm whose pairs come first; IMSIPSEC_ALG_NONE: none; not
 *	heeded where @allowed_algorithms is set
 * @preferred_ealg: encryption algorithm whose pairs come first, likewise
 * @disable_deprecated_algorithms: whatever a list says, no bundle has
 *	hmac-md5-96 or des-ede3-cbc, which TS 33.203 has deprecated
 * @max_sets: most bundles of a registration, 1 to 4 (TS 33.203 clause 7.4: 3)
 * @old_timeout: milliseconds that a superseded bundle still receives: 64*T1
 * @idle_timeout: milliseconds without a packet after which a confirmed bundle
 *	goes; 0: never
 * @mark_mask: bits of a received packet's mark that tell its registration and
 *	bundle, without holes; 0: none, there are no marks
 * @nat_traversal: an endpoint that does not say has NAT traversal, which is mode
 *	IMSIPSEC_MODE_UDP_ENC_TUN
 * @nat_port: UDP port for ESP of an endpoint that names none, and of a UE whose
 *	NAT's port is not known yet; 4500 as a rule (RFC 3948)
 * @nat_follow_address: where a UE's packets come from another address of its NAT,
 *	that one is sent to; else only another port is followed
 * @hw_offload_interface: name of the network interface that is to do ESP's work, of
 *	an endpoint that names none; it need not be there yet; "": none
 * @hw_offload: what it is to do, of an endpoint that does not say;
 *	IMSIPSEC_OFFLOAD_CRYPTO and IMSIPSEC_OFFLOAD_PACKET mean nothing without an
 *	interface, the others need none
 * @hw_offload_required: a bundle that it cannot do that for is refused, in an
 *	endpoint that does not say; else software does it, an event and a counter tell
 * @reserved: zero
 */
struct imsipsec_config {
	uint32_t set;
	uint32_t min_spi;
	uint32_t max_spi;
	uint64_t temporary_timeout;
	uint16_t port_pc[IMSIPSEC_PORT_PC_MAX];
	size_t n_port_pc;
	uint16_t port_ps;
	uint32_t max_endpoints;
	uint32_t max_bundles;
	uint32_t max_pending;
	const char *allowed_algorithms;
	enum imsipsec_alg preferred_alg;
	enum imsipsec_ealg preferred_ealg;
	bool disable_deprecated_algorithms;
	uint32_t max_sets;
	uint64_t old_timeout;
	uint64_t idle_timeout;
	uint32_t mark_mask;
	bool nat_traversal;
	bool nat_follow_address;
	uint16_t nat_port;
	char hw_offload_interface[IMSIPSEC_INTERFACE_MAX + 1];
	enum imsipsec_offload hw_offload;
	bool hw_offload_required;
	unsigned char reserved[131];
};

/** imsipsec_config_get() - read it; @config is the handle's, until its next call */
int imsipsec_config_get(struct imsipsec *h, const struct imsipsec_config **config);

/**
 * imsipsec_config_set() - change what @config->set names, all or nothing
 *
 * Return: 0; -EINVAL or -ERANGE out of range; -EBUSY for another mark_mask while there are
 * bundles; -EPERM for a limit above the module's parameter, which takes CAP_NET_ADMIN of the
 * host.
 */
int imsipsec_config_set(struct imsipsec *h, const struct imsipsec_config *config);

/* ---- Algorithms ------------------------------------------------------ */

/**
 * struct imsipsec_pair - a pair of algorithms
 * @alg: integrity
 * @ealg: encryption
 * @reserved: zero
 */
struct imsipsec_pair {
	enum imsipsec_alg alg;
	enum imsipsec_ealg ealg;
	unsigned char reserved[8];
};

/**
 * struct imsipsec_pair_info - a pair of algorithms, and what serves it
 * @alg: integrity
 * @ealg: encryption
 * @rank: its place in the configuration's order of preference, from 1; 0: the
 *	configuration does not allow it
 * @deprecated: TS 33.203 has deprecated one of the two
 * @name: the kernel's name for what does both; "" if it has not got it
 * @driver: the driver that serves it, as in /proc/crypto; "" likewise
 * @reserved: zero
 */
struct imsipsec_pair_info {
	enum imsipsec_alg alg;
	enum imsipsec_ealg ealg;
	uint32_t rank;
	bool deprecated;
	char name[128];
	char driver[128];
	unsigned char reserved[67];
};

/**
 * imsipsec_pair_dump() - call @cb for each pair of algorithms that there is
 * @h: the handle; @cb must not use it
 * @cb: called with a pair that is the library's, for the time of the call;
 *	returns 0 to go on, a positive value to end it
 * @data: passed to @cb
 *
 * Those that the configuration allows first, in order of preference. The
 * kernel tries each, which may load modules.
 *
 * Return: 0; the positive value that @cb returned, or -ECANCELED; -ENOMEM.
 */
int imsipsec_pair_dump(struct imsipsec *h,
		       int (*cb)(const struct imsipsec_pair_info *pair, void *data), void *data);

/**
 * imsipsec_pairs_get() - the pairs that a bundle can have
 * @h: the handle
 * @pairs: gets the pairs that the configuration allows and the kernel has, in
 *	order of preference, for imsipsec_secagree_choose()
 * @n: in: room in @pairs, there are nine pairs; out: how many, may be 0
 *
 * Return: 0; -ENOSPC; -ENOMEM.
 */
int imsipsec_pairs_get(struct imsipsec *h, struct imsipsec_pair *pairs, size_t *n);

/**
 * imsipsec_pairs_parse() - a list of pairs in order of preference, from text
 * @text: comma list of "alg=ealg", a lone alg (with any ealg), a lone ealg
 *	(with any alg; "null" is null encryption), up to 512 bytes; "" has no pair
 * @pairs: gets the pairs, each once
 * @n: in: room in @pairs, there are nine pairs; out: how many
 *
 * It means what it means to the kernel. Case does not matter, blanks around the
 * names neither. A lone name stands for its pairs in the built-in order,
 * strongest first. AES-GCM has two spellings, "null=aes-gcm" and
 * "aes-gmac=aes-gcm", which are one thing: either brings the other behind it.
 *
 * Return: 0; -EINVAL if an entry is empty or names no pair; -ENOSPC.
 */
int imsipsec_pairs_parse(const char *text, struct imsipsec_pair *pairs, size_t *n);

/* ---- Offload --------------------------------------------------------- */

/**
 * struct imsipsec_offload_pair - a pair of algorithms, and can an interface do it
 * @interface: name of the interface
 * @mode: IMSIPSEC_OFFLOAD_CRYPTO or IMSIPSEC_OFFLOAD_PACKET
 * @driver: what drives it; "" if it has no device
 * @alg: integrity
 * @ealg: encryption
 * @reason: why not; IMSIPSEC_OFFLOAD_REASON_NONE: it can
 * @text: what the kernel or the driver says of it; "" if nothing
 * @reserved: zero
 */
struct imsipsec_offload_pair {
	char interface[IMSIPSEC_INTERFACE_MAX + 1];
	enum imsipsec_offload mode;
	char driver[128];
	enum imsipsec_alg alg;
	enum imsipsec_ealg ealg;
	enum imsipsec_offload_reason reason;
	char text[256];
	unsigned char reserved[64];
};

/**
 * imsipsec_offload_dump() - call @cb for each pair of algorithms, of an interface
 * @h: the handle; @cb must not use it
 * @interface: name of a network interface, 1 to IMSIPSEC_INTERFACE_MAX bytes
 * @mode: IMSIPSEC_OFFLOAD_CRYPTO or IMSIPSEC_OFFLOAD_PACKET; IMSIPSEC_OFFLOAD_DEFAULT:
 *	IMSIPSEC_OFFLOAD_CRYPTO
 * @cb: called with a pair that is the library's, for the time of the call;
 *	returns 0 to go on, a positive value to end it
 * @data: passed to @cb
 *
 * The kernel tries an SA each way, which the interface has for a moment. Whether
 * there is room for those of all UEs, nobody can tell beforehand.
 *
 * Return: 0; the positive value that @cb returned, or -ECANCELED; -ENODEV also if there is no such
 * interface; -EINVAL; -ENOMEM.
 */
int imsipsec_offload_dump(struct imsipsec *h, const char *interface, enum imsipsec_offload mode,
			  int (*cb)(const struct imsipsec_offload_pair *pair, void *data),
			  void *data);

/* ---- Endpoints ------------------------------------------------------- */

#define IMSIPSEC_OFFLOAD_REASONS	32	/* a place for each reason, and room for more */
#define IMSIPSEC_TRUSTED_MAX		16	/* trusted prefixes of an endpoint, at most */
#define IMSIPSEC_TRUSTED_LEN		66	/* bytes of one, at most */

/**
 * struct imsipsec_endpoint - a local address with its protected ports
 * @id: never 0, not reused while the module is loaded
 * @address: the P-CSCF's address
 * @port_ps: protected server port
 * @port_pc: pool of protected client ports
 * @n_port_pc: how many
 * @bundles: how many bundles it has
 * @drop_plaintext_in: packets dropped: to its ports, unprotected
 * @drop_plaintext_out: packets dropped: from its ports, about to leave
 *	unprotected although XFRM did not stop them
 * @drop_foreign_sa: packets dropped: over an SA that is not its own
 * @guard: what becomes of what touches its ports unprotected
 * @drop_cross_pair: packets dropped: over an SA of a live bundle, or to its
 *	UE, but not between the addresses and ports that the SA is for
 * @drop_no_live_set: packets dropped: over an SA whose bundle has gone, or to
 *	an address that has no live bundle
 * @nat_traversal: bundles may have IMSIPSEC_MODE_UDP_ENC_TUN
 * @nat_port: UDP port of ESP, ours and as a rule the UE's
 * @nat_shared: somebody else, an IKE daemon, has the socket at it
 * @drop_udp_only: packets dropped: TCP of bundles that are udp_only
 * @esp_bad_icv: packets dropped by XFRM: they came with an SPI of its SAs, and were made with
 *	another key, by other algorithms or in another mode
 * @esp_unknown_spi: packets dropped by XFRM: ESP to its address, with an SPI that no SA has
 * @clear_to_ue: packets that left in clear, from a port that is not protected, for a protected
 *	port of one of its UEs, which drops them
 * @hw_offload_interface: name of the network interface that is to do ESP's work, its
 *	present one where it has got another; "": none
 * @hw_offload: what it is to do
 * @hw_offload_required: a bundle that it cannot do that for is refused
 * @hw_offload_bundles: how many bundles it does that for
 * @fallbacks: how many bundles software did it for, by enum imsipsec_offload_reason
 * @hw_offload_text: what the kernel or the driver said of the last of them; "" if
 *	nothing
 * @trusted: prefixes whose traffic with its ports passes in clear, each with the interface that
 *	it is behind, by its present name: "192.0.2.0/24%eth1"
 * @n_trusted: how many
 * @reserved: zero
 */
struct imsipsec_endpoint {
	uint32_t id;
	struct imsipsec_addr address;
	uint16_t port_ps;
	uint16_t port_pc[IMSIPSEC_PORT_PC_MAX];
	size_t n_port_pc;
	uint32_t bundles;
	uint64_t drop_plaintext_in;
	uint64_t drop_plaintext_out;
	uint64_t drop_foreign_sa;
	enum imsipsec_guard guard;
	uint64_t drop_cross_pair;
	uint64_t drop_no_live_set;
	uint64_t drop_udp_only;
	uint64_t esp_bad_icv;
	uint64_t esp_unknown_spi;
	uint64_t clear_to_ue;
	uint16_t nat_port;
	bool nat_traversal;
	bool nat_shared;
	bool hw_offload_required;
	enum imsipsec_offload hw_offload;
	uint32_t hw_offload_bundles;
	char hw_offload_interface[IMSIPSEC_INTERFACE_MAX + 1];
	uint64_t fallbacks[IMSIPSEC_OFFLOAD_REASONS];
	char hw_offload_text[256];
	char trusted[IMSIPSEC_TRUSTED_MAX][IMSIPSEC_TRUSTED_LEN + 1];
	size_t n_trusted;
	unsigned char reserved[256];
};

/**
 * struct imsipsec_endpoint_params - an endpoint to make
 * @address: local address; it need not be configured yet
 * @port_ps: protected server port; 0: the configuration's
 * @port_pc: pool of protected client ports; NULL: the configuration's
 * @n_port_pc: how many, at most IMSIPSEC_PORT_PC_MAX
 * @guard: what becomes of what touches its ports unprotected; IMSIPSEC_GUARD_DEFAULT:
 *	IMSIPSEC_GUARD_DROP
 * @nat_traversal: whether bundles may have IMSIPSEC_MODE_UDP_ENC_TUN, for which the
 *	kernel has a UDP socket at @address and @nat_port
 * @nat_port: UDP port of ESP; 0: the configuration's
 * @nat_shared: where somebody else, an IKE daemon, has a socket for ESP in UDP
 *	there, live with it
 * @hw_offload_interface: name of the network interface that is to do ESP's work, up
 *	to IMSIPSEC_INTERFACE_MAX bytes; it need not be there yet; "": none; NULL: the
 *	configuration's
 * @hw_offload: what it is to do; IMSIPSEC_OFFLOAD_DEFAULT: the configuration's
 * @hw_offload_required: whether a bundle that it cannot do that for is refused
 * @trusted: prefixes, each with the interface that it is behind, which need not be there yet:
 *	"192.0.2.0/24%eth1". What is in clear between one and the endpoint's ports, by that
 *	interface, passes: a core that answers to a protected port. No UE can have its address in
 *	one. NULL: none, and imsipsec_endpoint_replace() leaves what there is
 * @n_trusted: how many, at most IMSIPSEC_TRUSTED_MAX
 * @reserved: zero
 */
struct imsipsec_endpoint_params {
	struct imsipsec_addr address;
	uint16_t port_ps;
	const uint16_t *port_pc;
	size_t n_port_pc;
	enum imsipsec_guard guard;
	enum imsipsec_choice nat_traversal;
	uint16_t nat_port;
	bool nat_shared;
	const char *hw_offload_interface;
	enum imsipsec_offload hw_offload;
	enum imsipsec_choice hw_offload_required;
	const char *const *trusted;
	size_t n_trusted;
	unsigned char reserved[128];
};

/**
 * imsipsec_endpoint_add() - make an endpoint and shut its ports
 * @h: the handle
 * @params: what to make
 * @endpoint: gets what was made, the handle's until its next call; may be NULL
 *
 * From here on, nothing unprotected is received on or sent from its ports,
 * whether the caller lives or not, until the endpoint is deleted. With
 * IMSIPSEC_GUARD_REJECT the sender is told, but never where the packet had come
 * protected. With IMSIPSEC_GUARD_BYPASS the ports stay open, and nothing is
 * counted: there is protection only where there is a bundle, and what is
 * received need not have come protected. Only to a UE that has a confirmed
 * bundle nothing is sent in clear.
 *
 * Return: 0; -EADDRINUSE if another endpoint has one of the ports, or somebody
 * @params->nat_port, -EEXIST if somebody's IPsec policy stands in the way, -EINVAL,
 * -EBUSY if a UE that has a bundle is in a prefix that is to be trusted,
 * -ENOSPC over max_endpoints, -ENOMEM.
 */
int imsipsec_endpoint_add(struct imsipsec *h, const struct imsipsec_endpoint_params *params,
			  const struct imsipsec_endpoint **endpoint);

/**
 * imsipsec_endpoint_set_ports() - change the pool of protected client ports
 * @h: the handle
 * @id: the endpoint
 * @port_pc: the whole pool; its order may become another one
 * @n: how many, at least one, at most IMSIPSEC_PORT_PC_MAX with those that go
 * @endpoint: gets what it is now, the handle's until its next call; may be NULL
 *
 * All or nothing, and no bundle is lost. A port is shut from when it is added. One that still has
 * bundles is not taken away: their UEs know no other.
 *
 * Return: 0; -ENOENT; -EBUSY if a port that is to go has bundles, the text names the port;
 * -EADDRINUSE, -EEXIST, -EINVAL, -ENOMEM as imsipsec_endpoint_add().
 */
int imsipsec_endpoint_set_ports(struct imsipsec *h, uint32_t id, const uint16_t *port_pc, size_t n,
				const struct imsipsec_endpoint **endpoint);

/**
 * imsipsec_endpoint_set_trusted() - change the prefixes that an endpoint trusts
 * @h: the handle
 * @id: the endpoint
 * @trusted: all of them, as in struct imsipsec_endpoint_params
 * @n: how many, at most IMSIPSEC_TRUSTED_MAX; 0: none from now on
 * @endpoint: gets what it is now, the handle's until its next call; may be NULL
 *
 * All or nothing, and no bundle is lost. From an address that is not trusted any more nothing is
 * received once this returns.
 *
 * Return: 0; -ENOENT; -EBUSY if a UE that has a bundle is in one, the text names the bundle;
 * -EEXIST if somebody's IPsec policy stands in the way, -EINVAL, -ENOMEM.
 */
int imsipsec_endpoint_set_trusted(struct imsipsec *h, uint32_t id, const char *const *trusted,
				  size_t n, const struct imsipsec_endpoint **endpoint);

/**
 * imsipsec_endpoint_replace() - have an endpoint there as @params says, whatever there is
 * @h: the handle
 * @params: what to make
 * @force: an endpoint that has one of the ports and is another one goes, with its bundles
 * @endpoint: gets what is there, the handle's until its next call; may be NULL
 *
 * For a SIP server that starts, or starts again: what is there as it should be is left alone, with
 * its bundles. Where the pool of client ports alone differs, or what it trusts, that is changed as
 * by imsipsec_endpoint_set_ports() and imsipsec_endpoint_set_trusted(), in this order. One that is
 * made in another's place trusts what @params says, and nobody if that says nothing.
 *
 * Return: 0 if it was there; 1 if it was made or changed; -EBUSY if something else
 * differs, or bundles have a port that is to go, and @force is false, or, whatever @force is, if a
 * UE that has a bundle is in a prefix that is to be trusted; -EADDRINUSE if several have
 * the ports; what imsipsec_endpoint_add() gives.
 */
int imsipsec_endpoint_replace(struct imsipsec *h, const struct imsipsec_endpoint_params *params,
			      bool force, const struct imsipsec_endpoint **endpoint);

/**
 * imsipsec_endpoint_delete() - delete an endpoint and open its ports
 * @h: the handle
 * @id: the endpoint
 * @force: delete its bundles with it
 *
 * Return: 0; -ENOENT; -EBUSY if it has bundles and @force is false.
 */
int imsipsec_endpoint_delete(struct imsipsec *h, uint32_t id, bool force);

/** imsipsec_endpoint_get() - one by its id, the handle's until its next call; 0 or -ENOENT */
int imsipsec_endpoint_get(struct imsipsec *h, uint32_t id,
			  const struct imsipsec_endpoint **endpoint);

/**
 * imsipsec_endpoint_dump() - call @cb for each endpoint
 * @h: the handle; @cb must not use it
 * @cb: called with an endpoint that is the library's, for the time of the
 *	call; returns 0 to go on, a positive value to end it
 * @data: passed to @cb
 *
 * Return: 0; the positive value that @cb returned, or -ECANCELED; -ESTALE if endpoints came or
 * went in a way that may have left others out: dump again.
 */
int imsipsec_endpoint_dump(struct imsipsec *h,
			   int (*cb)(const struct imsipsec_endpoint *endpoint, void *data),
			   void *data);

/* ---- Bundles --------------------------------------------------------- */

#define IMSIPSEC_OWNER_MAX	128
#define IMSIPSEC_CONTACT_MAX	256
#define IMSIPSEC_KEY_LEN	16

/**
 * struct imsipsec_bundle - a set of four SAs
 * @id: never 0, not reused while the module is loaded
 * @endpoint: id of its endpoint
 * @owner: the SIP server's name for the subscriber, opaque bytes
 * @owner_len: how many
 * @contact: the SIP server's name for the contact, opaque bytes
 * @contact_len: how many
 * @state: where it stands
 * @mode: ESP mode
 * @alg: integrity algorithm
 * @ealg: encryption algorithm
 * @address: the P-CSCF's address
 * @ue_address: the UE's address, the one within the tunnel where there is one
 * @port_pc: P-CSCF's protected client port, port-c of Security-Server
 * @port_ps: P-CSCF's protected server port, port-s of Security-Server
 * @port_uc: UE's protected client port
 * @port_us: UE's protected server port
 * @spi_pc: spi-c of Security-Server
 * @spi_ps: spi-s of Security-Server
 * @spi_uc: spi-c of Security-Client
 * @spi_us: spi-s of Security-Client
 * @lifetime: milliseconds until it goes
 * @rx_packets: packets over the two inbound SAs
 * @rx_bytes: bytes over them
 * @tx_packets: packets over the two outbound SAs
 * @tx_bytes: bytes over them
 * @registration: number of its registration, which is what owner and contact
 *	name; from 1, not soon reused
 * @mark: mark of the packets that come over it, not 0; 0: they have none
 * @ue_nat_address: where ESP goes in IMSIPSEC_MODE_UDP_ENC_TUN, the UE's NAT if
 *	it has one; family 0 in another mode
 * @ue_nat_port: the UDP port there; it follows what comes from the UE
 * @unmarked: what is sent to the UE needs no mark; for IMSIPSEC_MODE_UDP_ENC_TUN
 *	where it is false see imsipsec_tx()
 * @udp_only: TCP is dropped now: another registration has it between these ends, as
 *	may be behind NATs, where addresses and ports do not tell a connection's
 *	registration. That ends with the other one; in a cache it is as of the last event
 * @offload: what does its ESP
 * @offload_reason: why that is not what its endpoint wishes; IMSIPSEC_OFFLOAD_REASON_NONE: it is
 * @offload_interface: name of the network interface that does it; "": none does
 * @last_rx_ms: how long ago the last packet came over one of its inbound SAs, to
 *	the second; IMSIPSEC_NEVER: none did yet
 * @last_tx_ms: likewise for what was sent
 * @rx_bad_icv: packets that came with one of its SPIs and were not authentic: the
 *	keys of the two ends differ, or somebody forges
 * @rx_replayed: packets that were authentic and not new
 * @tcp_only: given by imsipsec_bundle_find_tuple() alone: see there
 * @reserved: zero
 */
struct imsipsec_bundle {
	uint32_t id;
	uint32_t endpoint;
	uint8_t owner[IMSIPSEC_OWNER_MAX];
	size_t owner_len;
	uint8_t contact[IMSIPSEC_CONTACT_MAX];
	size_t contact_len;
	enum imsipsec_state state;
	enum imsipsec_mode mode;
	enum imsipsec_alg alg;
	enum imsipsec_ealg ealg;
	struct imsipsec_addr address;
	struct imsipsec_addr ue_address;
	uint16_t port_pc, port_ps, port_uc, port_us;
	uint32_t spi_pc, spi_ps, spi_uc, spi_us;
	uint64_t lifetime;
	uint64_t rx_packets, rx_bytes;
	uint64_t tx_packets, tx_bytes;
	uint32_t registration;
	uint32_t mark;
	struct imsipsec_addr ue_nat_address;
	uint16_t ue_nat_port;
	bool unmarked;
	bool udp_only;
	enum imsipsec_offload offload;
	enum imsipsec_offload_reason offload_reason;
	char offload_interface[IMSIPSEC_INTERFACE_MAX + 1];
	uint64_t last_rx_ms, last_tx_ms;
	uint64_t rx_bad_icv;
	uint64_t rx_replayed;
	bool tcp_only;
	unsigned char reserved[135];
};

/**
 * struct imsipsec_bundle_params - a bundle to make
 * @endpoint: id of the endpoint that it belongs to
 * @owner: the SIP server's name for the subscriber (IMPI)
 * @owner_len: 1 to IMSIPSEC_OWNER_MAX bytes
 * @contact: the SIP server's name for the contact: owner and contact are the key of a
 *	registration. It is made of +sip.instance and reg-id of the Contact where it has
 *	them (RFC 5626), else of its address; never of its port, for the Contact of a
 *	protected REGISTER names another one, port_us, than that of the first, in clear
 * @contact_len: 1 to IMSIPSEC_CONTACT_MAX bytes
 * @mode: ESP mode; IMSIPSEC_MODE_DEFAULT: IMSIPSEC_MODE_TRANS
 * @alg: integrity algorithm
 * @ealg: encryption algorithm
 * @ue_address: source address of the REGISTER. In IMSIPSEC_MODE_UDP_ENC_TUN the
 *	UE's address within the tunnel, its own or that of its NAT: the
 *	specifications do not say which, and imsipsec_via_sent_by() has the first
 * @port_uc: port-c of Security-Client
 * @port_us: port-s of Security-Client
 * @port_pc: one of the endpoint's pool; 0: the kernel chooses
 * @spi_uc: spi-c of Security-Client, at least 256
 * @spi_us: spi-s of Security-Client, at least 256, not @spi_uc
 * @ik: integrity key of the AKA run
 * @ck: cipher key of the AKA run
 * @allowed_algorithms: this call's own list, in place of the configuration's, as
 *	imsipsec_pairs_parse() reads it, and not empty; NULL: the configuration's
 * @replace: of no effect: what is in a new bundle's way and is the same owner's, of a UE
 *	with the same source address, goes with imsipsec_bundle_confirm(), asked for or not
 * @unmarked: IMSIPSEC_MODE_UDP_ENC_TUN alone: what is sent to the UE needs no mark
 *	(see imsipsec_tx()); refused where another owner's UE comes from @ue_address
 *	with one of its ports, or has proved itself with it
 * @ue_nat_port: IMSIPSEC_MODE_UDP_ENC_TUN alone: the UDP port that ESP goes to; 0:
 *	that of the registration's last bundle at the same @ue_nat_address, else
 *	nat_port; the first authenticated packet tells. It is never the source
 *	port of the REGISTER, which has a mapping of its own in the NAT
 * @ue_nat_address: IMSIPSEC_MODE_UDP_ENC_TUN alone: where ESP goes, source address
 *	of the REGISTER that came in clear; family 0: @ue_address, there is no NAT
 * @cookie: a number of this request, the same when it is repeated, another one for the
 *	next; 0: none
 * @began_clear: 1: the REGISTER came in clear; kept with the bundle, for
 *	imsipsec_bundle_confirm(); 0: it did not, or that is not said
 * @over: id of the bundle that the REGISTER came over, of the same owner and contact; 0: it is not
 *	said; likewise, and not together with @began_clear
 * @reserved: zero
 *
 * The library wipes its own copies of the keys; wiping the caller's is the
 * caller's.
 */
struct imsipsec_bundle_params {
	uint32_t endpoint;
	const void *owner;
	size_t owner_len;
	const void *contact;
	size_t contact_len;
	enum imsipsec_mode mode;
	enum imsipsec_alg alg;
	enum imsipsec_ealg ealg;
	struct imsipsec_addr ue_address;
	uint16_t port_uc, port_us, port_pc;
	uint32_t spi_uc, spi_us;
	uint8_t ik[IMSIPSEC_KEY_LEN];
	uint8_t ck[IMSIPSEC_KEY_LEN];
	const char *allowed_algorithms;
	bool replace;
	bool unmarked;
	uint16_t ue_nat_port;
	struct imsipsec_addr ue_nat_address;
	uint64_t cookie;
	uint32_t over;
	uint32_t began_clear;
	unsigned char reserved[128];
};

/**
 * imsipsec_key_parse() - IK or CK, as SIP has it
 * @key: gets it
 * @text: the value of ik or ck of WWW-Authenticate (TS 24.229 clause 7.2A.1): 32 hexadecimal
 *	digits, with the quotes around them or without; no other prefix; need not end in NUL
 * @len: its length
 *
 * No copy is left but @key, which is the caller's to wipe, as @text is.
 *
 * Return: 0; -EINVAL, and @key is as it was.
 */
int imsipsec_key_parse(uint8_t key[IMSIPSEC_KEY_LEN], const char *text, size_t len);

/**
 * imsipsec_bundle_new() - put the four SAs of a registration in place
 * @h: the handle
 * @params: what to make
 * @bundle: gets what was made, SPIs and ports for Security-Server included;
 *	the handle's until its next call; may be NULL
 *
 * To be called before the 401 leaves (TS 33.203 clause 7.2). All or nothing.
 * The bundle is temporary: unless confirmed it goes after temporary_timeout.
 * Another temporary one of the same registration, whose UE has the same source address,
 * goes with this call. Nothing else does, whoever asks: who calls for a bundle has not
 * been authenticated. What it will take the place of stays until imsipsec_bundle_confirm().
 *
 * With a cookie it may be repeated when its answer was lost: if the last bundle that
 * was made for this owner and contact had the same cookie, and the rest of @params is
 * the same as well, that bundle is the answer, and nothing is made. A server chooses
 * where it begins at random when it starts, and counts from there.
 *
 * Return: 0; -EEXIST if somebody else has an SA with one of the UE's SPIs to its address,
 * or the cookie came with something else before; -EADDRINUSE if another owner has the UE's
 * address and one of its ports, and has proved himself: the text names the bundle; -EDQUOT
 * over max_sets (both TS 33.203 clause 7.4); -ENOENT no such endpoint; -EINVAL;
 * -EADDRNOTAVAIL if the UE's address is in a prefix that an endpoint trusts; -EOPNOTSUPP if the
 * algorithms are not allowed, or the kernel has not got them, or for the mode the
 * endpoint has no NAT traversal, or there are no marks and it is not unmarked, or the
 * endpoint's interface cannot do what is required of it;
 * -ENOSPC if the SPI range or max_bundles or max_pending is used up, or 64 bundles contend
 * for the UE's SPIs or ports already; -ENOMEM.
 *
 * Behind NATs, registrations may share the UE's address and ports: their marks tell
 * them apart, both ways, but for TCP, which those that are udp_only have not got.
 */
int imsipsec_bundle_new(struct imsipsec *h, const struct imsipsec_bundle_params *params,
			const struct imsipsec_bundle **bundle);

/**
 * imsipsec_bundle_confirm() - the 200 OK to the protected REGISTER
 * @h: the handle
 * @id: the bundle
 * @lifetime: milliseconds from now: expires plus 30 s (TS 24.229); at least 1
 * @older: what becomes of the registration's older bundles (TS 33.203 clause
 *	7.4): IMSIPSEC_OLDER_DROP where the authentication began in clear;
 *	IMSIPSEC_OLDER_DEFAULT: that if imsipsec_bundle_new() was told began_clear, else
 *	IMSIPSEC_OLDER_KEEP
 * @over: id of the older bundle that the first REGISTER came over, which is sent
 *	over until the UE uses the new one; 0: the one that imsipsec_bundle_new() was told,
 *	or if it was told none, or that one has gone, the one that was sent over
 *
 * So a process that has not seen the first REGISTER needs neither.
 *
 * Bundles of the same owner under other contacts go as well where their UE has the same
 * source address, and one of the ports, or an SPI: it has lost its state.
 *
 * It lives for what the older one has left if that is longer. A bundle that is
 * confirmed already keeps the longer of its lifetime and this one, and nothing
 * else happens, so that a repeated call does no harm.
 *
 * Return: 0; -ENOENT if it is gone; -EINVAL if it is being deleted, or @over is
 * not another one of its registration.
 */
int imsipsec_bundle_confirm(struct imsipsec *h, uint32_t id, uint64_t lifetime,
			    enum imsipsec_older older, uint32_t over);

/**
 * imsipsec_bundle_extend() - the 200 OK to a protected REGISTER without a challenge
 * @h: the handle
 * @id: the bundle that the REGISTER came over
 * @lifetime: milliseconds from now, as in imsipsec_bundle_confirm(); one that is
 *	shorter than what it has left changes nothing (TS 24.229)
 *
 * Return: 0; -ENOENT if it is gone; -EINVAL if it is not confirmed, or superseded,
 * or being deleted.
 */
int imsipsec_bundle_extend(struct imsipsec *h, uint32_t id, uint64_t lifetime);

/**
 * imsipsec_bundle_delete() - take a bundle down
 * @h: the handle
 * @id: the bundle
 * @linger: milliseconds that the SAs stay, so that the answer to a
 *	de-registration still leaves protected; 0: at once
 *
 * Return: 0; -ENOENT.
 */
int imsipsec_bundle_delete(struct imsipsec *h, uint32_t id, uint64_t linger);

/** imsipsec_bundle_get() - one by its id, the handle's until its next call; 0 or -ENOENT */
int imsipsec_bundle_get(struct imsipsec *h, uint32_t id, const struct imsipsec_bundle **bundle);

/**
 * struct imsipsec_bundle_filter - which bundles to dump, or to flush
 * @endpoint: id of an endpoint; 0: any
 * @owner: subscriber; NULL: any
 * @owner_len: its length
 * @contact: contact; NULL: any
 * @contact_len: its length
 * @ue_address: address of the UE; family 0: any
 * @state: IMSIPSEC_STATE_NONE: any
 * @older_than: made before the bundle that has, or had, this id; 0: any
 * @reserved: zero
 */
struct imsipsec_bundle_filter {
	uint32_t endpoint;
	const void *owner;
	size_t owner_len;
	const void *contact;
	size_t contact_len;
	struct imsipsec_addr ue_address;
	enum imsipsec_state state;
	uint32_t older_than;
	unsigned char reserved[68];
};

/**
 * imsipsec_bundle_dump() - call @cb for each bundle that matches
 * @h: the handle; @cb must not use it
 * @filter: NULL: all
 * @cb: called with a bundle that is the library's, for the time of the call;
 *	returns 0 to go on, a positive value to end it
 * @data: passed to @cb
 *
 * Bundles that are there from begin to end are reported once each.
 *
 * Return: 0; the positive value that @cb returned, or -ECANCELED; -ESTALE if that could not be
 * kept: dump again.
 */
int imsipsec_bundle_dump(struct imsipsec *h, const struct imsipsec_bundle_filter *filter,
			 int (*cb)(const struct imsipsec_bundle *bundle, void *data), void *data);

/**
 * imsipsec_bundle_claim() - call @cb for each bundle of a subscriber that is there
 * @h: the handle; @cb must not use it
 * @owner: the SIP server's name for the subscriber
 * @owner_len: 1 to IMSIPSEC_OWNER_MAX bytes
 * @cb: as for imsipsec_bundle_dump()
 * @data: passed to @cb
 *
 * For a SIP server that comes back, restarted, and wants to know what there is of a
 * subscriber: it gives the dump of what is there and renews nothing. Lifetimes run in
 * the kernel whether a server lives or not: what nobody confirms or extends ends by
 * its own. One that wants all at once has imsipsec_bundle_dump().
 *
 * A bundle says what a server needs to go on with it: who and where the UE is, ports
 * and SPIs for Security-Server, the mark to send with. It does not say IK and CK. One
 * that is IMSIPSEC_STATE_TEMPORARY belongs to a challenge that went with the server:
 * the next imsipsec_bundle_new() of the registration takes its place.
 *
 * Return: as imsipsec_bundle_dump(); -EINVAL for no owner, or one that is too long.
 */
int imsipsec_bundle_claim(struct imsipsec *h, const void *owner, size_t owner_len,
			  int (*cb)(const struct imsipsec_bundle *bundle, void *data), void *data);

/**
 * imsipsec_bundle_flush() - take down all bundles that match
 * @h: the handle
 * @filter: NULL: all there are
 * @linger: as for imsipsec_bundle_delete()
 * @count: gets how many; may be NULL
 *
 * With @filter->older_than, those that were made meanwhile are left alone.
 *
 * Return: 0, also if none matches; what imsipsec_bundle_dump() gives for a filter.
 */
int imsipsec_bundle_flush(struct imsipsec *h, const struct imsipsec_bundle_filter *filter,
			  uint64_t linger, uint32_t *count);

/* ---- For each message, asked of the kernel --------------------------- */

/*
 * A system call or two, which take no longer the more bundles there are, and no memory in
 * the process: for a server of many processes. One that has time for events has the cache,
 * below, whose answers mean the same.
 *
 * What these give has no counters but rx_packets of a TEMPORARY bundle: the others are 0, and
 * last_rx_ms and last_tx_ms IMSIPSEC_NEVER; nor has it anything of offload. imsipsec_bundle_get()
 * has all.
 */

/**
 * imsipsec_bundle_find_tuple() - the bundle that a message came over, by its addresses and ports
 * @h: the handle
 * @local: the P-CSCF's address
 * @local_port: the port there that the message came to, or that of a connection; port_ps, or
 *	port_pc
 * @remote: the UE's address, the one within the tunnel where there is one
 * @remote_port: the message's source port, or that of a connection; port_uc, or port_us
 * @bundle: gets it, the handle's until its next call: of several of a registration's the ACTIVE
 *	one, else the newest, but none that nothing has come over yet where there is another; may
 *	be NULL
 *
 * For UDP as well as TCP. A registration's bundles may have the same ports, if its endpoint has one
 * client port: then the message may have come over another one of them, which its mark alone tells.
 *
 * Only for what came over a protected port that is shut to all else: with
 * IMSIPSEC_GUARD_BYPASS the ports prove nothing. One that is udp_only is never found.
 *
 * Behind NATs, several UEs may have one address and the same ports. Then @bundle is the one whose
 * TCP it is, and tcp_only is true: a datagram may have come from any of them, so that the SIP
 * server has to go by its mark, or to refuse the message. -ENOTUNIQ where nobody has TCP. It is
 * the same where more than 64 bundles have the UE's address and port. Of UEs that are not behind
 * NATs, and where all bundles are unmarked, there are no two once the 200 OK has come.
 *
 * Return: 0; -ENOENT if there is none; -ENOTUNIQ; -EINVAL; -ENOMEM.
 */
int imsipsec_bundle_find_tuple(struct imsipsec *h,
			       const struct imsipsec_addr *local, uint16_t local_port,
			       const struct imsipsec_addr *remote, uint16_t remote_port,
			       const struct imsipsec_bundle **bundle);

/**
 * imsipsec_bundle_find_spi() - the bundle that one of the P-CSCF's SPIs is of
 * @h: the handle
 * @spi: spi_pc or spi_ps, as Security-Verify repeats them
 * @bundle: gets it, the handle's until its next call; may be NULL
 *
 * Return: 0; -ENOENT if there is none; -ENOMEM.
 */
int imsipsec_bundle_find_spi(struct imsipsec *h, uint32_t spi,
			     const struct imsipsec_bundle **bundle);

/**
 * imsipsec_bundle_find_mark() - the bundle that a message came over, by its mark
 * @h: the handle
 * @mark: as for imsipsec_rx_mark(); bits out of mark_mask do not count
 * @bundle: gets it, the handle's until its next call; may be NULL
 *
 * Return: 0; -ENOENT if no bundle has the mark: the message came unprotected, or its bundle
 * is gone; -ENOMEM.
 */
int imsipsec_bundle_find_mark(struct imsipsec *h, uint32_t mark,
			      const struct imsipsec_bundle **bundle);

/**
 * imsipsec_bundle_tx() - the bundle to send over now, of a bundle's registration
 * @h: the handle
 * @id: a bundle that is still there, in whatever state
 * @bundle: gets it, the handle's until its next call: the ACTIVE one, else the oldest that is
 *	ESTABLISHED, as imsipsec_tx(), which says what it takes to send; may be NULL
 *
 * Return: 0; -ENOENT if there is none, or @id is gone; -ENOMEM.
 */
int imsipsec_bundle_tx(struct imsipsec *h, uint32_t id, const struct imsipsec_bundle **bundle);

/**
 * imsipsec_bundle_tx_name() - the bundle to send over now, of a registration
 * @h: the handle
 * @owner: the SIP server's name for the subscriber
 * @owner_len: 1 to IMSIPSEC_OWNER_MAX
 * @contact: the SIP server's name for the contact
 * @contact_len: 1 to IMSIPSEC_CONTACT_MAX
 * @bundle: as for imsipsec_bundle_tx()
 *
 * Return: 0; -ENOENT if there is none; -EINVAL; -ENOMEM.
 */
int imsipsec_bundle_tx_name(struct imsipsec *h, const void *owner, size_t owner_len,
			    const void *contact, size_t contact_len,
			    const struct imsipsec_bundle **bundle);

/**
 * imsipsec_bundle_tx_port() - the bundle to send over now, to a UE's address and port
 * @h: the handle
 * @local: the P-CSCF's address that is sent from; NULL: any
 * @remote: the UE's address, the one within the tunnel where there is one
 * @remote_port: port_us, or port_uc, of a confirmed bundle
 * @bundle: as for imsipsec_bundle_tx(); where the UE has been re-registered it may have other
 *	ports
 *
 * Return: 0; -ENOENT if there is none; -ENOTUNIQ if the confirmed bundles of several registrations
 * have the port, as may be behind NATs, or there are more than 64: then its id or its names tell
 * which UE is meant; -EINVAL; -ENOMEM.
 */
int imsipsec_bundle_tx_port(struct imsipsec *h, const struct imsipsec_addr *local,
			    const struct imsipsec_addr *remote, uint16_t remote_port,
			    const struct imsipsec_bundle **bundle);

/* ---- Statistics, and why a UE is not registered ---------------------- */

/**
 * struct imsipsec_stats - what the network namespace has, and has done
 * @endpoints: how many there are
 * @registrations: how many there are
 * @bundles: how many there are
 * @pending: how many of them are temporary
 * @nat_bundles: how many of them are in IMSIPSEC_MODE_UDP_ENC_TUN
 * @spis: how many SPIs the range has
 * @spis_used: how many of them bundles have
 * @created: bundles that were made, since the network namespace was, as all below
 * @refused: imsipsec_bundle_new() that failed
 * @confirmed: bundles that became established
 * @activated: bundles that were taken into use
 * @superseded: bundles that became old
 * @expired: bundles whose time ran out
 * @deleted: bundles that were deleted
 * @nat_mappings: bundles that were sent to another port or address
 * @offload_fallbacks: bundles that software served where an interface should
 * @events: number of the last event; 0: there was none yet
 * @max_endpoints: how many endpoints there can be
 * @max_registrations: how many registrations marks within mark-mask tell apart
 * @max_bundles: how many bundles there can be
 * @max_pending: how many temporary bundles there can be
 * @nearly_full: times that a resource was nearly exhausted, IMSIPSEC_EVENT_NEARLY_FULL
 * @reserved: zero
 */
struct imsipsec_stats {
	uint32_t endpoints;
	uint32_t registrations;
	uint32_t bundles;
	uint32_t pending;
	uint32_t nat_bundles;
	uint32_t spis;
	uint32_t spis_used;
	uint64_t created;
	uint64_t refused;
	uint64_t confirmed;
	uint64_t activated;
	uint64_t superseded;
	uint64_t expired;
	uint64_t deleted;
	uint64_t nat_mappings;
	uint64_t offload_fallbacks;
	uint64_t events;
	uint32_t max_endpoints;
	uint32_t max_registrations;
	uint32_t max_bundles;
	uint32_t max_pending;
	uint64_t nearly_full;
	unsigned char reserved[256];
};

/** imsipsec_stats_get() - read them; @stats is the handle's, until its next call */
int imsipsec_stats_get(struct imsipsec *h, const struct imsipsec_stats **stats);

/**
 * struct imsipsec_trace - a bundle that was refused, or packets that were dropped
 * @kind: which of the two
 * @ago_ms: how long ago, or how long ago for the last time
 * @count: how often, one after the other
 * @endpoint: id of the endpoint; of a refusal the one that was asked for, or 0
 *
 * Of a refusal, what imsipsec_bundle_new() was given, and what it gave:
 *
 * @ue_address: the UE's; family 0: unknown
 * @owner: its beginning
 * @owner_len: how many bytes of it there are
 * @contact: its beginning
 * @contact_len: how many bytes of it there are
 * @port_uc: the UE's protected client port
 * @port_us: the UE's protected server port
 * @spi_uc: the UE's SPI there
 * @spi_us: the UE's SPI there
 * @error: the errno, positive
 * @text: what imsipsec_strerror() had, but for the name of the attribute; "" if
 *	nothing
 *
 * Of a drop, the packet, the last one of @count:
 *
 * @drop: why
 * @source: where it came from
 * @destination: where it went to
 * @source_port: its port there; 0: it has none, or none was found
 * @destination_port: likewise
 * @protocol: of transport, IPPROTO_UDP or another one
 * @spi: of the SA that it came over, or would have left over; 0: there was none
 * @reserved: zero
 */
struct imsipsec_trace {
	enum imsipsec_trace_kind kind;
	uint64_t ago_ms;
	uint32_t count;
	uint32_t endpoint;
	struct imsipsec_addr ue_address;
	uint8_t owner[IMSIPSEC_OWNER_MAX];
	size_t owner_len;
	uint8_t contact[IMSIPSEC_CONTACT_MAX];
	size_t contact_len;
	uint16_t port_uc, port_us;
	uint32_t spi_uc, spi_us;
	int error;
	char text[256];
	enum imsipsec_drop drop;
	struct imsipsec_addr source, destination;
	uint16_t source_port, destination_port;
	uint8_t protocol;
	uint32_t spi;
	unsigned char reserved[128];
};

/**
 * imsipsec_trace_dump() - call @cb for each of the last refusals and drops
 * @h: the handle; @cb must not use it
 * @ue_address: only what is of this UE: refused to it, or from or to its address;
 *	NULL: all
 * @cb: called with one that is the library's, for the time of the call; returns 0 to
 *	go on, a positive value to end it
 * @data: passed to @cb
 *
 * The oldest first. The kernel has room for so many of each, and forgets the oldest.
 *
 * Return: 0; the positive value that @cb returned, or -ECANCELED; -EINVAL.
 */
int imsipsec_trace_dump(struct imsipsec *h, const struct imsipsec_addr *ue_address,
			int (*cb)(const struct imsipsec_trace *trace, void *data), void *data);

/* ---- Events ---------------------------------------------------------- */

enum imsipsec_event_type {
	IMSIPSEC_EVENT_CREATED = 1,
	IMSIPSEC_EVENT_CONFIRMED,
	IMSIPSEC_EVENT_EXPIRED,
	IMSIPSEC_EVENT_DELETED,
	IMSIPSEC_EVENT_ACTIVATED,	/* it is the one to send over */
	IMSIPSEC_EVENT_SUPERSEDED,	/* it drains: a newer one is, or it is being deleted */
	IMSIPSEC_EVENT_NAT_MAPPING,	/* it is sent to another port, or address, of the NAT */
	IMSIPSEC_EVENT_OFFLOAD_FALLBACK, /* software does what an interface should */
	IMSIPSEC_EVENT_NEARLY_FULL,	/* of no bundle: 90 % of a resource are in use */
	IMSIPSEC_EVENT_LOST = 0x10000,	/* the library's own: see there */
};

enum imsipsec_reason {
	IMSIPSEC_REASON_REQUEST = 1,
	IMSIPSEC_REASON_TEMPORARY_TIMEOUT,	/* no 200 OK in time */
	IMSIPSEC_REASON_LIFETIME,
	IMSIPSEC_REASON_ENDPOINT,	/* the endpoint was deleted with force */
	IMSIPSEC_REASON_USED,		/* the UE sent a SIP message over it, or the newer one */
	IMSIPSEC_REASON_RUNNING_OUT,	/* the older one was about to run out */
	IMSIPSEC_REASON_CHALLENGE,	/* a new challenge before the 200 OK to the last */
	IMSIPSEC_REASON_NEWER,		/* the 200 OK for a newer one left it out */
	IMSIPSEC_REASON_REPLACED,	/* by the same UE under another contact, at the 200 OK */
	IMSIPSEC_REASON_IDLE,		/* nothing came over it for idle_timeout */
	IMSIPSEC_REASON_NAT,		/* an authenticated packet came from there */
	IMSIPSEC_REASON_INTERFACE,	/* it cannot: offload_reason of the bundle says more */
	IMSIPSEC_REASON_SA_GONE,	/* somebody else has taken one of its SAs away */
};

/* What a network namespace can have so many of */
enum imsipsec_resource {
	IMSIPSEC_RESOURCE_ENDPOINTS = 1, /* max-endpoints */
	IMSIPSEC_RESOURCE_REGISTRATIONS, /* as many as marks within mark-mask tell apart */
	IMSIPSEC_RESOURCE_BUNDLES,	/* max-bundles */
	IMSIPSEC_RESOURCE_PENDING,	/* temporary bundles: max-pending */
	IMSIPSEC_RESOURCE_SPIS,		/* SPIs of the range, two a bundle */
};

const char *imsipsec_event_type_name(enum imsipsec_event_type type);
const char *imsipsec_reason_name(enum imsipsec_reason reason);
const char *imsipsec_resource_name(enum imsipsec_resource resource);

/**
 * struct imsipsec_event - something happened, to a bundle as a rule
 * @seq: number of the event in its network namespace
 * @type: what; IMSIPSEC_EVENT_LOST: events before @seq were lost (the socket's
 *	buffer was full), dump to know what is there; @seq is 0 if the next
 *	event is still to come; no other member holds
 * @reason: why
 * @old_state: IMSIPSEC_STATE_NONE: there was none
 * @new_state: IMSIPSEC_STATE_NONE: there is none any more
 * @resource: with IMSIPSEC_EVENT_NEARLY_FULL alone, which is told again when less than 80 %
 *	have been in use in between: what is running out; the three before do not hold then
 * @used: how much of it is in use; likewise
 * @limit: how much there is of it; likewise
 * @bundle: the bundle as it was then; its id is 0 with IMSIPSEC_EVENT_NEARLY_FULL
 * @reserved: zero
 */
struct imsipsec_event {
	uint64_t seq;
	enum imsipsec_event_type type;
	IMSIPSEC_EXTENSION union {
		IMSIPSEC_EXTENSION struct {
			enum imsipsec_reason reason;
			enum imsipsec_state old_state;
			enum imsipsec_state new_state;
		};
		IMSIPSEC_EXTENSION struct {
			enum imsipsec_resource resource;
			uint32_t used;
			uint32_t limit;
		};
	};
	struct imsipsec_bundle bundle;
	unsigned char reserved[64];
};

/** struct imsipsec_events - a subscription, opaque, apart from any struct imsipsec */
struct imsipsec_events;

/**
 * imsipsec_event_open() - subscribe to the events of the network namespace
 * @ev: gets the subscription, to be closed with imsipsec_event_close()
 *
 * Return: as imsipsec_open().
 */
int imsipsec_event_open(struct imsipsec_events **ev);

/** imsipsec_event_close() - end the subscription; NULL is allowed */
void imsipsec_event_close(struct imsipsec_events *ev);

/** imsipsec_event_fd() - non-blocking, for poll(): readable when there is something to dispatch */
int imsipsec_event_fd(const struct imsipsec_events *ev);

/**
 * imsipsec_event_dispatch() - read what is there and call @cb for each event
 * @ev: the subscription
 * @cb: called with an event that is the library's, for the time of the call;
 *	returns 0 to go on, a positive value to end it: what is left is had from
 *	the next call
 * @data: passed to @cb
 *
 * Never blocks. @cb may use handles, and must not dispatch @ev.
 *
 * Return: 0 when nothing is left; the positive value that @cb returned, or -ECANCELED; -ENODEV
 * if the module was unloaded: no event will come any more, close and open again; another
 * negative errno.
 */
int imsipsec_event_dispatch(struct imsipsec_events *ev,
			    int (*cb)(const struct imsipsec_event *event, void *data), void *data);

/* ---- Which bundle a message came over, and which to send over -------- */

/**
 * struct imsipsec_cache - the bundles of the network namespace, opaque
 *
 * A copy in the process, kept by events, for each message to be attributed to a
 * registration and a bundle (TS 24.229 clause 5.2: the P-CSCF goes by the SA that
 * a request came over, whatever identity it names). It has handles of its own; a
 * server of several processes opens one in each, after fork().
 *
 * As long as the process dispatches, a mark leads to no other UE: numbers of
 * registrations are given out in turn, and are many unless mark_mask is narrow.
 * mark_mask is not to be changed under a cache.
 */
struct imsipsec_cache;

/**
 * struct imsipsec_found - what was found
 * @seq: number of the last event that it reflects, or a later one; 0: there was
 *	none yet
 * @bundle: the cache's, until the next call with the cache; its lifetime, and where its NAT
 *	is, are those of some time ago. It has no counters: rx_packets and the like are 0,
 *	last_rx_ms and last_tx_ms IMSIPSEC_NEVER; imsipsec_bundle_get() has them
 * @reserved: zero
 */
struct imsipsec_found {
	uint64_t seq;
	const struct imsipsec_bundle *bundle;
	unsigned char reserved[16];
};

/**
 * imsipsec_cache_open() - subscribe to the events, then dump all bundles
 * @cache: gets it, to be closed with imsipsec_cache_close(); NULL on error
 *
 * Return: as imsipsec_open(); -ESTALE if too much came and went meanwhile; -ENOSPC if
 * epoll_ctl(2) has reached a limit.
 */
int imsipsec_cache_open(struct imsipsec_cache **cache);

/** imsipsec_cache_close() - close it; NULL is allowed */
void imsipsec_cache_close(struct imsipsec_cache *c);

/** imsipsec_cache_fd() - for poll(): readable when there is something to dispatch */
int imsipsec_cache_fd(const struct imsipsec_cache *c);

/**
 * imsipsec_cache_dispatch() - take in what the kernel has told
 * @c: the cache
 * @cb: called with each event, after the cache has taken it in, as
 *	imsipsec_event_dispatch() does, also with those that another function has
 *	read meanwhile; it must not use @c; NULL: none
 * @data: passed to @cb
 *
 * Does not wait for events. Where some were lost, it dumps all bundles.
 *
 * Return: 0 when nothing is left; the positive value that @cb returned, or -ECANCELED; -ENODEV
 * if the module was unloaded; -ENOMEM and others: the next call with @c dumps again.
 */
int imsipsec_cache_dispatch(struct imsipsec_cache *c,
			    int (*cb)(const struct imsipsec_event *event, void *data), void *data);

/** imsipsec_cache_strerror() - as imsipsec_strerror(), of the last call with @c that failed */
const char *imsipsec_cache_strerror(const struct imsipsec_cache *c);

/**
 * imsipsec_rx_mark() - the bundle that a message came over, by its mark
 * @c: the cache
 * @mark: of a datagram (SO_RCVMARK), or of an accepted TCP connection (SO_MARK,
 *	with net.ipv4.tcp_fwmark_accept = 1); bits out of mark_mask do not count
 * @found: gets it
 *
 * For UDP it is the bundle. For TCP it tells the registration for sure, but the
 * bundle that the connection was opened over, which may have gone: see
 * imsipsec_rx_tuple().
 *
 * No system call where the bundle is in the cache and ACTIVE or OLD there. A
 * packet may just have taken one into use that is TEMPORARY or ESTABLISHED: the
 * kernel is asked.
 *
 * Return: 0; -ENOENT if no bundle has the mark: the message came unprotected, or
 * its bundle is gone; what imsipsec_bundle_get() and imsipsec_bundle_dump() give.
 */
int imsipsec_rx_mark(struct imsipsec_cache *c, uint32_t mark, struct imsipsec_found *found);

/**
 * imsipsec_rx_tuple() - the bundle of a TCP connection, by its addresses and ports
 * @c: the cache
 * @local: the P-CSCF's address
 * @local_port: port_ps of a connection that the UE opened, port_pc of one that
 *	the P-CSCF opened
 * @remote: the UE's address, the one within the tunnel where there is one
 * @remote_port: port_uc, or port_us
 * @found: gets it; of several with the same ports, the ACTIVE one, else the newest
 *
 * Only for what came over a protected port that is shut to all else: with
 * IMSIPSEC_GUARD_BYPASS the ports prove nothing. One that is udp_only is never
 * found: it has no connections, and another registration has the ports.
 *
 * Return: as imsipsec_rx_mark().
 */
int imsipsec_rx_tuple(struct imsipsec_cache *c,
		      const struct imsipsec_addr *local, uint16_t local_port,
		      const struct imsipsec_addr *remote, uint16_t remote_port,
		      struct imsipsec_found *found);

/**
 * imsipsec_tx() - the bundle to send over now
 * @c: the cache
 * @owner: the SIP server's name for the subscriber
 * @owner_len: its length
 * @contact: the SIP server's name for the contact
 * @contact_len: its length
 * @found: gets it: the ACTIVE one, else the oldest that is ESTABLISHED
 *
 * From @found->bundle->port_pc to port_us (TS 33.203 clause 7.1); but the answer to
 * a REGISTER leaves over the bundle that the REGISTER came over. Where the endpoint has
 * one client port, two bundles may have the same ports: then the answer needs the mark
 * of that bundle (SO_MARK, as below).
 *
 * A UE that has one socket names port_uc in Via, for answers (RFC 3261 clause 18.2.2),
 * and in Contact, for requests: over UDP it is sent to from port_ps, over the other
 * pair of SAs. The answer to a request comes to port_ps, which its Via has to name.
 *
 * In IMSIPSEC_MODE_UDP_ENC_TUN, if @found->bundle->unmarked is false, what is sent
 * needs SO_MARK, which takes CAP_NET_ADMIN or CAP_NET_RAW: the mark of this bundle
 * or of another one of the registration, all are good. Without it the packet is
 * dropped. For UDP it goes with the datagram (a control message SOL_SOCKET, SO_MARK)
 * or the socket; a TCP socket has to have it before it connects. One that is accepted
 * has it if net.ipv4.tcp_fwmark_accept is 1, without which none is. ESP goes where
 * the UE was heard last; the SIP server need not see to that.
 *
 * Return: 0; -ENOENT if there is none; as imsipsec_rx_mark().
 */
int imsipsec_tx(struct imsipsec_cache *c, const void *owner, size_t owner_len,
		const void *contact, size_t contact_len, struct imsipsec_found *found);

/* ---- Security agreement (RFC 3329), pure functions ------------------- */

/** struct imsipsec_secagree - the mechanisms of one or more headers, opaque */
struct imsipsec_secagree;

/**
 * struct imsipsec_mech - one ipsec-3gpp mechanism of a header
 * @alg: IMSIPSEC_ALG_NONE: one that the library does not know
 * @ealg: null if the header named none; IMSIPSEC_EALG_NONE: one that the library does not know
 * @mode: trans if the header named none; IMSIPSEC_MODE_DEFAULT: one that the library does not know
 * @esp: true for prot=esp, and if the header named none
 * @q: preference in thousandths, 1000 if the header named none
 * @spi_c: SPI of the sender's inbound SA at its client port
 * @spi_s: SPI of the sender's inbound SA at its server port
 * @port_c: the sender's protected client port
 * @port_s: the sender's protected server port
 * @reserved: zero
 */
struct imsipsec_mech {
	enum imsipsec_alg alg;
	enum imsipsec_ealg ealg;
	enum imsipsec_mode mode;
	bool esp;
	unsigned int q;
	uint32_t spi_c, spi_s;
	uint16_t port_c, port_s;
	unsigned char reserved[32];
};

/**
 * imsipsec_secagree_parse() - parse the value of a Security-Client,
 *	Security-Server or Security-Verify header
 * @list: NULL at first; grows by the mechanisms of the header, call again for
 *	the next header of the same name, also where this one gave -EINVAL; to be
 *	freed whatever is returned
 * @value: what stands behind the colon; need not end in NUL; may be folded
 * @len: its length
 *
 * Other mechanisms than ipsec-3gpp and unknown parameters are passed over as
 * RFC 3329 has it. Of ipsec-3gpp, alg, spi-c, spi-s, port-c and port-s have to
 * be there and nothing twice; an SPI is at least 256, a port is neither 0 nor
 * 5060 nor 5061, and what ends in -c differs from what ends in -s.
 *
 * A mechanism that is malformed or out of range is passed over: it is neither
 * counted nor chosen. imsipsec_secagree_equal() compares its text.
 *
 * Return: 0; -EINVAL if no mechanism of all the headers so far is well-formed, so
 * that what the last one gives holds for all; -E2BIG over 64 mechanisms ipsec-3gpp in
 * a list, or over 64 that are malformed; -ENOMEM. Where it is not -EINVAL, @list
 * holds on error what it held before.
 */
int imsipsec_secagree_parse(struct imsipsec_secagree **list, const char *value, size_t len);

/** imsipsec_secagree_free() - free a list, NULL is allowed */
void imsipsec_secagree_free(struct imsipsec_secagree *list);

/** imsipsec_secagree_count() - how many well-formed ipsec-3gpp mechanisms it has */
size_t imsipsec_secagree_count(const struct imsipsec_secagree *list);

/** imsipsec_secagree_get() - mechanism @i of those, valid until @list grows; or NULL */
const struct imsipsec_mech *imsipsec_secagree_get(const struct imsipsec_secagree *list, size_t i);

/**
 * imsipsec_secagree_choose() - the first of the P-CSCF's pairs that the UE offers
 * @client: what Security-Client said
 * @pairs: the P-CSCF's pairs in order of preference, of imsipsec_pairs_get() or
 *	imsipsec_pairs_parse(); NULL: every pair that the library knows,
 *	strongest first
 * @n: how many
 * @modes: the modes that the UE may have, in order of preference; NULL:
 *	IMSIPSEC_MODE_TRANS alone
 * @n_modes: how many
 * @mech: gets the UE's mechanism, valid until @client grows or is freed
 *
 * TS 33.203 clause 7.2: the P-CSCF's own order decides, the UE's q does not. The
 * order of the modes counts where the UE offers the pair in more than one of them.
 * A UE behind a NAT may have IMSIPSEC_MODE_UDP_ENC_TUN alone (annex M): see
 * imsipsec_via_is_natted().
 *
 * Return: 0; -ENOENT if there is none.
 */
int imsipsec_secagree_choose(const struct imsipsec_secagree *client,
			     const struct imsipsec_pair *pairs, size_t n,
			     const enum imsipsec_mode *modes, size_t n_modes,
			     const struct imsipsec_mech **mech);

/**
 * imsipsec_secagree_write() - write the value of a header
 * @buf: gets it, with NUL
 * @size: of @buf
 * @mechs: the mechanisms, most preferred first
 * @n: how many
 *
 * q is written where it is not 0; the other members, @esp included, must be
 * what imsipsec_secagree_parse() would accept and the library knows.
 *
 * Return: length without NUL; -ENOSPC if it does not fit; -EINVAL.
 */
int imsipsec_secagree_write(char *buf, size_t size, const struct imsipsec_mech *mechs, size_t n);

/**
 * imsipsec_secagree_write_server() - write the value of Security-Server
 * @buf: gets it, with NUL
 * @size: of @buf; 2048 is enough
 * @bundle: what was made for the UE
 * @pairs: the P-CSCF's pairs in order of preference, from which
 *	imsipsec_secagree_choose() chose the bundle's; NULL: that pair alone
 * @n: how many; 0: as NULL
 *
 * Best is that pair alone, with q=0.1, as P-CSCFs in the field write it: there are UEs
 * that take the first of a list even if they did not offer it. Others choose the first
 * that they have (TS 33.203 clause 7.2), or the one of the highest q (RFC 3329 clause
 * 2.3.1). So the bundle's pair is the first of a list, the others follow in their
 * order, and q falls from each to the next; no two are the same (clause 2.2).
 *
 * All of them have the bundle's mode. A list of all pairs has more than 1,000
 * bytes, which the UE repeats in Security-Verify.
 *
 * Return: length without NUL; -ENOSPC if it does not fit; -EINVAL if the
 * bundle's pair is not in the list, or the list has more than there are.
 */
int imsipsec_secagree_write_server(char *buf, size_t size, const struct imsipsec_bundle *bundle,
				   const struct imsipsec_pair *pairs, size_t n);

/**
 * imsipsec_secagree_write_static() - write the value of Security-Server for a UE that has
 *	no bundle
 * @buf: gets it, with NUL
 * @size: of @buf; 2048 is enough
 * @pairs: the P-CSCF's pairs in order of preference; NULL: every pair that the library
 *	knows, strongest first
 * @n: how many
 * @modes: the modes that UEs may have, in order of preference; NULL:
 *	IMSIPSEC_MODE_TRANS alone
 * @n_modes: how many
 *
 * For a 421 or 494, beside Require: sec-agree: the P-CSCF's static list, which does not
 * depend on what the UE offers (RFC 3329 clause 2.3.1). It has each pair in each mode, by
 * a q that falls, and neither SPIs nor ports, which come with a bundle.
 *
 * Return: length without NUL; -ENOSPC if it does not fit; -EINVAL if there is no pair or
 * no mode, or more than there are, or one that the library does not know.
 */
int imsipsec_secagree_write_static(char *buf, size_t size,
				   const struct imsipsec_pair *pairs, size_t n,
				   const enum imsipsec_mode *modes, size_t n_modes);

/**
 * imsipsec_secagree_equal() - do two headers say the same
 * @a: what was sent, or received first
 * @b: what came back
 *
 * For Security-Verify against the Security-Server sent, and Security-Client
 * of the second REGISTER against that of the first (TS 33.203 clause 7.2:
 * else a bidding-down attack). Order of the mechanisms and of their
 * parameters does not matter, and a default that is spelled out equals one
 * that is not. Unknown algorithms are compared by their names, a malformed
 * mechanism byte by byte; other mechanisms and unknown parameters do not count.
 *
 * Return: false also if one of them is NULL or has no well-formed mechanism: what was
 * never agreed on is not confirmed by saying nothing.
 */
bool imsipsec_secagree_equal(const struct imsipsec_secagree *a, const struct imsipsec_secagree *b);

/* ---- Is the UE behind a NAT, pure functions -------------------------- */

/**
 * imsipsec_via_sent_by() - where the topmost Via says that it was sent from
 * @via: the value of the first Via header field, of which the first element
 *	counts; need not end in NUL; may be folded
 * @len: its length
 * @addr: gets the address of sent-by; an IPv4-mapped one, which a socket of both
 *	families writes there, gives AF_INET, as everywhere
 * @port: gets its port; where it is absent, that of the transport (RFC 3261 clause
 *	18.1.1): 5061 for TLS, else 5060; may be NULL
 *
 * What stands behind sent-by is not looked at.
 *
 * Return: 0; -EAFNOSUPPORT if sent-by has a host name; -EINVAL if it is malformed.
 */
int imsipsec_via_sent_by(const char *via, size_t len, struct imsipsec_addr *addr, uint16_t *port);

/**
 * imsipsec_via_is_natted() - is the sender of a request behind a NAT
 * @via: as for imsipsec_via_sent_by()
 * @len: its length
 * @source: the source address of the packet
 * @natted: gets whether @source differs from the address of sent-by
 *
 * For a REGISTER that came in clear (TS 33.203 annex M, TS 24.229 annex F); what
 * comes over a bundle has its address from within the tunnel. Addresses of two
 * families differ. Ports do not count: over TCP, and at times over UDP, a UE sends
 * from another one than it listens at. A UE that names the address of its NAT, which
 * it learnt by STUN, is not found out.
 *
 * A host name cannot be compared. TS 24.229 allows one: what it stands for is for
 * the SIP server to look up, or to assume.
 *
 * Return: 0; -EAFNOSUPPORT if sent-by has a host name; -EINVAL if it is malformed.
 */
int imsipsec_via_is_natted(const char *via, size_t len, const struct imsipsec_addr *source,
			   bool *natted);

#ifdef __cplusplus
}
#endif

#endif /* IMSIPSEC_H */
