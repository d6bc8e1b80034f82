/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* REGISTER, in clear and over a set of SAs */
#ifndef PCSCF_REGISTER_H
#define PCSCF_REGISTER_H

#include "net.h"
#include "sip.h"
#include "ue.h"

void register_in_clear(const struct sip_msg *msg, const struct net_source *source);

/* @ue: whose set it came over, and who it names */
void register_protected(const struct sip_msg *msg, const struct net_source *source,
			struct ue *ue);

#endif /* PCSCF_REGISTER_H */
