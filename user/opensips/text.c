// SPDX-License-Identifier: GPL-2.0-or-later
/* SIP as text, of which nothing is parsed. */
#include <string.h>
#include <strings.h>

#include "text.h"

static bool is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

bool text_is(struct span span, const char *word)
{
	return span.len == strlen(word) && !strncasecmp(span.s, word, span.len);
}

bool text_is_answer(const char *msg, size_t len)
{
	return len > 8 && !strncasecmp(msg, "SIP/2.0 ", 8);
}

/* The end of the line at @s, with which the next one begins */
static const char *end_of_line(const char *s, const char *end)
{
	const char *eol = memchr(s, '\n', end - s);

	return eol ? eol + 1 : end;
}

static struct span trimmed(const char *s, const char *end)
{
	while (s < end && is_blank(*s))
		s++;
	while (end > s && is_blank(end[-1]))
		end--;
	return (struct span) { s, end - s };
}

bool text_header(const char *msg, size_t len, const char *name, const char *compact,
		 struct span *value)
{
	const char *end = msg + len, *line, *eol, *colon;
	struct span is;

	for (line = end_of_line(msg, end); line < end; line = eol) {
		eol = end_of_line(line, end);
		if (*line == '\r' || *line == '\n')
			break;
		/* A folded one goes on in the next line. */
		while (eol < end && (*eol == ' ' || *eol == '\t'))
			eol = end_of_line(eol, end);
		colon = memchr(line, ':', eol - line);
		if (!colon)
			continue;
		is = trimmed(line, colon);
		if (text_is(is, name) || (compact && text_is(is, compact))) {
			*value = trimmed(colon + 1, eol);
			return true;
		}
	}
	return false;
}

bool text_is_of(const char *msg, size_t len, const char *method)
{
	struct span cseq;
	size_t n = strlen(method);

	return text_header(msg, len, "CSeq", NULL, &cseq) && cseq.len > n &&
	       !memcmp(cseq.s + cseq.len - n, method, n) && is_blank(cseq.s[cseq.len - n - 1]);
}

bool text_target(const char *msg, size_t len, struct span *uri)
{
	const char *eol = end_of_line(msg, msg + len);
	const char *s = memchr(msg, ' ', eol - msg);
	const char *end = s ? memchr(s + 1, ' ', eol - s - 1) : NULL;

	if (!end || text_is_answer(msg, len))
		return false;
	*uri = (struct span) { s + 1, end - s - 1 };
	return uri->len;
}

/* The number behind a colon that ends a host, which may stand in [] */
static uint16_t port_behind_host(const char *s, const char *end)
{
	unsigned int port = 0;

	if (s < end && *s == '[') {
		s = memchr(s, ']', end - s);
		if (!s)
			return 0;
	}
	while (s < end && *s != ':' && *s != ';' && *s != '?' && *s != ',' && *s != '>')
		s++;
	if (s == end || *s++ != ':')
		return 0;
	while (s < end && is_blank(*s))
		s++;
	for (; s < end && *s >= '0' && *s <= '9'; s++) {
		port = port * 10 + *s - '0';
		if (port > UINT16_MAX)
			return 0;
	}
	return port;
}

/* The quote that ends what the one at @s begins; NULL: none does */
static const char *closing_quote(const char *s, const char *end)
{
	for (s++; s < end && *s != '"'; s++) {
		if (*s == '\\' && s + 1 < end)
			s++;
	}
	return s < end ? s : NULL;
}

/* Of what stands in To: the URI, without its parameters and the header's */
static struct span bare_uri(struct span value)
{
	const char *s = value.s, *end = s + value.len, *to;

	/* A name in quotes may have anything in it. */
	for (; s && s < end && *s != '<'; s++) {
		if (*s == '"')
			s = closing_quote(s, end);
		if (!s)
			break;
	}
	s = s && s < end ? s + 1 : value.s;
	for (to = s; to < end && *to != ';' && *to != '>' && *to != '?'; to++)
		;
	return trimmed(s, to);
}

bool text_is_called(const char *msg, size_t len, const char *identity)
{
	struct span called, whom = bare_uri((struct span) { identity, strlen(identity) });

	if (!text_header(msg, len, "P-Called-Party-ID", NULL, &called) &&
	    !text_header(msg, len, "To", "t", &called))
		return false;
	called = bare_uri(called);
	return called.len && called.len == whom.len && !strncasecmp(called.s, whom.s, whom.len);
}

uint16_t text_uri_port(struct span uri)
{
	const char *end = uri.s + uri.len;
	const char *s = memchr(uri.s, ':', uri.len);
	const char *at;

	if (!s)
		return 0;
	s++;
	at = memchr(s, '@', end - s);
	return port_behind_host(at ? at + 1 : s, end);
}

uint16_t text_via_port(struct span via)
{
	const char *s = via.s, *end = via.s + via.len;

	/* SIP / 2.0 / UDP host:port */
	for (int slashes = 0; s < end && slashes < 2; s++)
		slashes += *s == '/';
	while (s < end && is_blank(*s))
		s++;
	while (s < end && !is_blank(*s))
		s++;
	while (s < end && is_blank(*s))
		s++;
	return port_behind_host(s, end);
}

/* The comma that ends the element at @s, or the end of all; NULL: a quote is not closed */
static const char *end_of_element(const char *s, const char *end)
{
	for (; s && s < end && *s != ','; s++) {
		if (*s == '"')
			s = closing_quote(s, end);
		if (!s)
			return NULL;
	}
	return s;
}

/* The comma there, and the blanks behind it */
static const char *behind_comma(const char *s, const char *end)
{
	if (s < end && *s == ',') {
		s++;
		while (s < end && is_blank(*s))
			s++;
	}
	return s;
}

static void cut_out(struct span value, const char *from, const char *to, struct span *whole)
{
	const char *end = value.s + value.len;
	const char *s = from;

	/* The comma before it; of the first, which the scheme stands before, the one behind it */
	while (s > value.s && is_blank(s[-1]))
		s--;
	if (s > value.s && s[-1] == ',')
		from = s - 1;
	else
		to = behind_comma(to, end);
	*whole = (struct span) { from, to - from };
}

bool text_param(struct span value, const char *name, struct span *found, struct span *whole)
{
	const char *end = value.s + value.len, *s, *next, *equal, *blank;
	struct span is;

	s = value.s;
	while (s < end && is_blank(*s))
		s++;
	/* The scheme: a word that no "=" follows */
	for (blank = s; blank < end && !is_blank(*blank) && *blank != '=' && *blank != ','; blank++)
		;
	while (blank < end && is_blank(*blank))
		blank++;
	if (blank < end && *blank != '=' && *blank != ',')
		s = blank;
	for (; s < end; s = next < end ? next + 1 : end) {
		next = end_of_element(s, end);
		if (!next)
			return false;
		equal = memchr(s, '=', next - s);
		if (equal && text_is(trimmed(s, equal), name)) {
			is = trimmed(equal + 1, next);
			if (is.len > 1 && *is.s == '"' && is.s[is.len - 1] == '"')
				is = (struct span) { is.s + 1, is.len - 2 };
			*found = is;
			while (s < next && is_blank(*s))
				s++;
			if (whole)
				cut_out(value, s, next, whole);
			return true;
		}
	}
	return false;
}

void text_join(struct span value, struct span *a, struct span *b)
{
	const char *a_end = a->s + a->len, *b_end = b->s + b->len, *end;

	/* The first of all has the comma behind it, and the next one the same before it. */
	if (a_end <= b->s || b_end <= a->s)
		return;
	end = behind_comma(a_end > b_end ? a_end : b_end, value.s + value.len);
	if (b->s < a->s)
		a->s = b->s;
	a->len = end - a->s;
	b->len = 0;
}
