/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Who a message names, and whether it may. */
#ifndef PCSCF_IDENTITY_H
#define PCSCF_IDENTITY_H

#include <stdbool.h>
#include <stddef.h>

#include "sip.h"

/* The private identity: from Authorization, or the public one without "sip:" */
bool impi_of(const struct sip_msg *msg, char *buf, size_t size);

/*
 * Does a message name nobody but the owner of the SAs that it came over? Else a UE
 * could use another one's identity over its own SAs.
 */
bool names_only(const struct sip_msg *msg, const char *owner);

#endif /* PCSCF_IDENTITY_H */
