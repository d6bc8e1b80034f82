/* SPDX-License-Identifier: GPL-2.0-or-later */
/* SIP as text, of which nothing is parsed: what goes out, and values of headers. Nothing of OpenSIPS. */
#ifndef IMS_IPSEC_TEXT_H
#define IMS_IPSEC_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/** struct span - a piece of a text */
struct span {
	const char *s;
	size_t len;
};

/** text_is() - is it that word, whatever its case */
bool text_is(struct span span, const char *word);

/** text_is_answer() - does a message that goes out answer something */
bool text_is_answer(const char *msg, size_t len);

/**
 * text_header() - the value of the first header of a name
 * @msg: a whole message
 * @name: its name
 * @compact: its short name, or NULL
 * @value: gets it, folded lines included
 */
bool text_header(const char *msg, size_t len, const char *name, const char *compact,
		 struct span *value);

/** text_is_of() - is CSeq that of a method */
bool text_is_of(const char *msg, size_t len, const char *method);

/** text_target() - the Request-URI of a request */
bool text_target(const char *msg, size_t len, struct span *uri);

/**
 * text_is_called() - does a request name a public identity as the one that it is for
 * @msg: the request: P-Called-Party-ID counts, which the S-CSCF writes (RFC 7315); where there is
 *	none, To
 * @identity: its URI; parameters and case do not count
 */
bool text_is_called(const char *msg, size_t len, const char *identity);

/** text_uri_port() - the port that a URI names; 0: none */
uint16_t text_uri_port(struct span uri);

/** text_via_port() - the port of sent-by of a Via, that of the first element; 0: it names none */
uint16_t text_via_port(struct span via);

/**
 * text_param() - a parameter of a header's value, as in "Digest realm="x", ik="…""
 * @value: the header's
 * @name: the parameter's
 * @found: gets its value, without the quotes
 * @whole: gets what is to be cut out to have it away: with the comma before it, or behind it if it
 *	is the first; may be NULL
 */
bool text_param(struct span value, const char *name, struct span *found, struct span *whole);

/**
 * text_join() - two parameters of one header's value are to be cut out
 * @a: what text_param() gave for one; where they have a comma in common, gets both
 * @b: for the other; gets nothing then
 */
void text_join(struct span value, struct span *a, struct span *b);

#endif
