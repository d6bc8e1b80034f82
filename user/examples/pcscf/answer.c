// SPDX-License-Identifier: LGPL-2.1-or-later
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "answer.h"
#include "options.h"

static const char *random_hex(char buf[17])
{
	uint8_t bytes[8];

	if (getrandom(bytes, sizeof(bytes), 0) != sizeof(bytes))
		memset(bytes, 0, sizeof(bytes));
	for (size_t i = 0; i < sizeof(bytes); i++)
		sprintf(buf + 2 * i, "%02x", bytes[i]);
	return buf;
}

void answer_begin(struct sip_reply *reply, const struct sip_msg *msg,
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
			 sip_via_rport(msg) ? source->port : sip_via_port(msg), 0, text, len);
	else if (ue)
		/* where it was sent from is port_uc, whatever the UE listens at */
		ue_send(ue, sip_via_port(msg), text, len);
}

void answer_end(struct sip_reply *reply, const struct sip_msg *msg,
		const struct net_source *source, const struct ue *ue)
{
	if (sip_reply_end(reply))
		transmit(source, msg, ue, reply->text, reply->len);
	else
		error("the reply to a request of %s is too long", ADDR(&source->address));
}

void answer(const struct sip_msg *msg, const struct net_source *source,
		   const struct ue *ue, const char *status, const char *warning)
{
	struct sip_reply reply;

	answer_begin(&reply, msg, source, status);
	if (warning)
		sip_reply_add(&reply, "Warning: 399 pcscf \"%s\"\r\n", warning);
	answer_end(&reply, msg, source, ue);
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

/* Without memory it is sent, at least. */
void answer_end_and_keep(struct sip_reply *reply, const struct sip_msg *msg,
			 const struct net_source *source, struct ue *ue)
{
	answer_end(reply, msg, source, ue);
	free(ue->request);
	free(ue->last_answer);
	ue->request = request_key(msg);
	ue->last_answer = malloc(reply->len);
	ue->last_answer_len = reply->len;
	if (ue->last_answer)
		memcpy(ue->last_answer, reply->text, reply->len);
}

bool answer_again(const struct sip_msg *msg, const struct net_source *source,
			 const struct ue *ue)
{
	char *key = request_key(msg);
	bool same = key && ue->request && ue->last_answer && !strcmp(key, ue->request);

	free(key);
	if (!same)
		return false;
	log("%s of %s, repeated: answered from memory", msg->method, ue->owner);
	transmit(source, msg, ue, ue->last_answer, ue->last_answer_len);
	return true;
}
