/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Just enough SIP (RFC 3261) to answer a request: framing, headers, replies.
 * Not a SIP stack: a P-CSCF has one already.
 */
#ifndef PCSCF_SIP_H
#define PCSCF_SIP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define SIP_MAX		16384	/* bytes of a message; longer ones are refused */
#define SIP_MAX_HEADERS	96

struct sip_header {
	const char *name;
	const char *value;
};

/* A message, taken apart in place: it lives as long as its text does. */
struct sip_msg {
	const char *method;	/* NULL: it is a response */
	const char *uri;
	struct sip_header header[SIP_MAX_HEADERS];
	size_t n_headers;
};

/* A reply being written */
struct sip_reply {
	char text[SIP_MAX + 2048];
	size_t len;
	bool overflow;
};

/**
 * sip_frame() - find the end of the first message of a stream
 * @buf: what was read, not beginning with CR or LF
 * @len: its length
 *
 * Return: the length of the message; 0 if its end was not read yet; negative
 * if no message can begin like this.
 */
ssize_t sip_frame(const char *buf, size_t len);

/**
 * sip_parse() - take a message apart
 * @msg: gets what it is made of
 * @text: the message, which is changed: lines are unfolded and end in NUL
 * @len: its length; @text[@len] is NUL
 *
 * Return: whether it can be answered, having Via, From, To, Call-ID and CSeq.
 */
bool sip_parse(struct sip_msg *msg, char *text, size_t len);

/**
 * sip_header() - the value of a header
 * @msg: the message
 * @name: the long form of the name; the short one is found as well
 * @i: where to go on, 0 at first, for headers that may be repeated; or NULL
 *
 * Return: the value, or NULL when there is none (any more).
 */
const char *sip_header(const struct sip_msg *msg, const char *name, size_t *i);

/* The parameter ";name=value" of a header with one element, unquoted */
bool sip_param(const char *value, const char *name, char *buf, size_t size);

/* The parameter of "Digest name=value, name=value", unquoted */
bool sip_digest_param(const char *value, const char *name, char *buf, size_t size);

/* The URI of To, From or Contact, without what is around it */
bool sip_uri(const char *value, char *buf, size_t size);

/* The port of sent-by in Via, where responses go (RFC 3261 clause 18.2.2) */
uint16_t sip_via_port(const struct sip_msg *msg);

/* Does Via ask for the source port instead (RFC 3581)? */
bool sip_via_rport(const struct sip_msg *msg);

/* The port of a URI; 0: it names none */
uint16_t sip_uri_port(const char *uri);

/* Has a URI that parameter, with a value or without? */
bool sip_uri_has_param(const char *uri, const char *name);

/* Begin a reply: the status line and what is copied from the request */
void sip_reply_begin(struct sip_reply *reply, const struct sip_msg *request, const char *status,
		     const char *source, uint16_t source_port, const char *tag);

/* Add to it, a header with its CRLF or a part of one */
void sip_reply_add(struct sip_reply *reply, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

/* End it. Return: whether it fits. */
bool sip_reply_end(struct sip_reply *reply);

#endif /* PCSCF_SIP_H */
