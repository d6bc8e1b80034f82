/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the modules for Kamailio and OpenSIPS have in common. Each compiles it with the headers of
 * its own server, which server.h in its folder names.
 */
#ifndef SIP_H
#define SIP_H

#include <stdbool.h>

#include <imsipsec.h>

#include "server.h"

/* --- handle.c */

/* What kernel() gave last in this process */
extern struct imsipsec *kernel_handle;

/**
 * kernel() - this process's connection to the kernel module
 *
 * It is made at the first use in each process, and again after the module was unloaded.
 * Return: NULL, which is said together with the cure.
 */
struct imsipsec *kernel(void);

/**
 * kernel_failed() - say why a call with kernel() failed
 * @what: was to be done
 * @err: what it returned; where that is -ENODEV the next kernel() opens anew
 *
 * Return: @err.
 */
int kernel_failed(const char *what, int err);

/** kernel_lost() - the kernel module was unloaded: open anew, and have the endpoints made again */
void kernel_lost(void);

/**
 * kernel_again() - is a call to be made again, by a new handle
 * @err: what it returned; -ENODEV: the kernel module was unloaded
 * @tried: false at first
 */
bool kernel_again(int err, bool *tried);

/** kernel_prepare() - the module tells the kernel what it needs; 0 or -1, which is said */
int kernel_prepare(void);

/** kernel_close() - this process needs it no more */
void kernel_close(void);

/** addr_equal() - are two addresses the same */
bool addr_equal(const struct imsipsec_addr *a, const struct imsipsec_addr *b);

/** to_addr() - the server's address as the library has it */
void to_addr(struct imsipsec_addr *addr, const struct ip_addr *ip);

/* --- limit.c */

/** struct limit - how often a process has said something, of late */
struct limit {
	unsigned int since, n;
};

/** may_say() - is it to be said; what was left out is told when it is said again */
bool may_say(struct limit *limit);

/** LIMITED() - what a phone, or whoever sends something, can have said as often as it likes */
#define LIMITED(say, ...)                   \
	do {                                \
		static struct limit limit_; \
                                            \
		if (may_say(&limit_))       \
			say(__VA_ARGS__);   \
	} while (0)

/* --- headers.c */

/** next_header() - the next header of a name behind @from, or the first one (NULL); or NULL */
struct hdr_field *next_header(const struct sip_msg *msg, const char *name, struct hdr_field *from);

/** secagree_of() - all headers of a name as one list; NULL if nothing in them is well-formed */
struct imsipsec_secagree *secagree_of(const struct sip_msg *msg, const char *name);

/** struct phone_contact - what a registration is known by of the Contact of its REGISTER */
struct phone_contact {
	str user, params;		/* of the URI */
	str instance, reg_id;		/* RFC 5626; empty: none */
};

/**
 * registration_key() - the contact by which the kernel knows a registration
 * @contact: of the REGISTER
 * @ue: where the phone is
 * @key: of IMSIPSEC_CONTACT_MAX bytes
 * @len: gets its length
 *
 * It is the instance, for each family, which are two registrations of a phone; else the user at the
 * address. It is never the port, which is another one over a set than in clear.
 *
 * Return: false if the key would be too long.
 */
bool registration_key(const struct phone_contact *contact, const struct imsipsec_addr *ue,
		      uint8_t *key, size_t *len);

/* --- bundle.c */

/**
 * locate_phone() - where the phone of a REGISTER is, and the mode that this takes
 * @req: the REGISTER
 * @over: the set that the REGISTER came over, whose addresses and mode hold; NULL: in clear
 * @nat: phones may be behind NATs; else that is logged, with the cure
 * @marks: the server marks what it sends
 * @p: gets addresses, mode and unmarked
 */
void locate_phone(const struct sip_msg *req, const struct imsipsec_bundle *over, bool nat,
		  bool marks, struct imsipsec_bundle_params *p);

/** say_refused() - why the kernel has made no set */
void say_refused(const struct imsipsec_bundle_params *p, int err);

/**
 * bundle_new() - make a set
 * @p: what of; its endpoint is set here
 * @endpoint: the id of the endpoint. Where the endpoint has gone, by somebody's hand or with the
 *	kernel module, kernel_prepare() makes it again, and may write another id there
 * @made: gets the set, which is good until the next call with kernel()
 *
 * Return: 0 or a negative errno.
 */
int bundle_new(struct imsipsec_bundle_params *p, const uint32_t *endpoint,
	       const struct imsipsec_bundle **made);

/* --- unknown.c */

/**
 * count_unknown_spis() - how many packets of a phone came with an SPI that no set has
 * @ue: its address
 * @timeout_ms: how long a set waits to be confirmed: what was dropped before has to do with another
 *	challenge
 * @n: gets the number
 *
 * Only after kernel().
 * Return: 0 or a negative errno.
 */
int count_unknown_spis(const struct imsipsec_addr *ue, uint64_t timeout_ms, unsigned int *n);

#endif
