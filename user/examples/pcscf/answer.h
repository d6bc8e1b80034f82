/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Answers to requests: written, sent on the right way, and kept for when one is repeated. */
#ifndef PCSCF_ANSWER_H
#define PCSCF_ANSWER_H

#include "net.h"
#include "sip.h"
#include "ue.h"

/* Begin the answer to a request; more is added by sip_reply_add(). */
void answer_begin(struct sip_reply *reply, const struct sip_msg *msg,
		  const struct net_source *source, const char *status);

/*
 * End it, and send it: over the connection of the request; in clear to where
 * the request came from; over the set of @ue to the port in Via, see ue_send().
 */
void answer_end(struct sip_reply *reply, const struct sip_msg *msg,
		const struct net_source *source, const struct ue *ue);

/* The same, and keep it for answer_again(). */
void answer_end_and_keep(struct sip_reply *reply, const struct sip_msg *msg,
			 const struct net_source *source, struct ue *ue);

/* Answer a request that is the one answered last, repeated. Return: whether it is. */
bool answer_again(const struct sip_msg *msg, const struct net_source *source,
		  const struct ue *ue);

/* A whole answer, with a Warning or without (NULL) */
void answer(const struct sip_msg *msg, const struct net_source *source, const struct ue *ue,
	    const char *status, const char *warning);

#endif /* PCSCF_ANSWER_H */
