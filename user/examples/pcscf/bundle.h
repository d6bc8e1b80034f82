/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The bundles of UEs: made, confirmed, ended. */
#ifndef PCSCF_BUNDLE_H
#define PCSCF_BUNDLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <imsipsec.h>

#include "ue.h"

/* Open before the rest is called */
extern struct imsipsec *ipsec;
extern struct imsipsec_cache *cache;

/* Return: 0 or a negative errno. */
int bundle_begin(void);

/*
 * The value of Security-Server, and what it is parsed to. What is written and what is
 * compared later are one: the text that was sent.
 */
int write_security_server(const struct imsipsec_bundle *bundle, char *buf, size_t size,
			  struct imsipsec_secagree **list);

/*
 * What is sent to a UE has the mark of its bundle. Through a NAT it tells whose it is; and
 * of two bundles with the same ports, over which one an answer leaves. 0: it needs none.
 */
uint32_t mark_of(const struct imsipsec_bundle *bundle);

/*
 * A bundle for a UE that offers @mech; gives the value of Security-Server. The
 * keys go from the vector to the kernel, and stay nowhere else.
 */
int make_bundle(struct ue *ue, const struct imsipsec_mech *mech, char *server, size_t size);

/*
 * The 200 OK. An authentication that began in clear leaves the new set only; one
 * that began over a set keeps that one until the UE uses the new one (TS 33.203
 * clause 7.4), as does one of which it is not known. Without a new challenge the set
 * lives longer.
 */
int keep_bundle(const struct ue *ue, bool first, unsigned int expires);

/* Are they UEs of one owner and contact? */
bool same_registration(const struct ue *a, const struct ue *b);

/*
 * De-registered: all sets of the registration go, in one request. UEs are dropped when
 * the kernel tells that they have gone.
 */
void end_registration(struct ue *ue);

/* Take the bundle down after @linger milliseconds; a UE is dropped with its bundle. */
void ue_end(struct ue *ue, uint64_t linger);

#endif /* PCSCF_BUNDLE_H */
