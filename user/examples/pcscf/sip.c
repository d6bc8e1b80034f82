// SPDX-License-Identifier: LGPL-2.1-or-later
/* Just enough SIP to answer a request. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "sip.h"

static const struct {
	const char *name;
	char compact;
} compact_forms[] = {
	{ "Call-ID", 'i' },
	{ "Contact", 'm' },
	{ "Content-Length", 'l' },
	{ "From", 'f' },
	{ "To", 't' },
	{ "Via", 'v' },
};

static bool is_blank(char c)
{
	return c == ' ' || c == '\t';
}

static const char *skip_blanks(const char *s)
{
	while (is_blank(*s))
		s++;
	return s;
}

static bool is_header(const char *name, size_t len, const char *wanted)
{
	if (strlen(wanted) == len && !strncasecmp(name, wanted, len))
		return true;
	if (len != 1)
		return false;
	for (size_t i = 0; i < sizeof(compact_forms) / sizeof(compact_forms[0]); i++) {
		if (!strcmp(compact_forms[i].name, wanted))
			return (name[0] | 0x20) == compact_forms[i].compact;
	}
	return false;
}

/* Content-Length's digits up to the end of the line; negative if it is none */
static ssize_t content_length(const char *s, const char *end)
{
	size_t n = 0;

	while (s < end && is_blank(*s))
		s++;
	if (s == end)
		return -1;
	for (; s < end && *s >= '0' && *s <= '9'; s++) {
		n = n * 10 + (size_t)(*s - '0');
		if (n > SIP_MAX)
			return -1;
	}
	while (s < end && is_blank(*s))
		s++;
	return s == end ? (ssize_t)n : -1;
}

ssize_t sip_frame(const char *buf, size_t len)
{
	const char *end = memmem(buf, len, "\r\n\r\n", 4);
	const char *line, *eol, *colon, *name_end;
	ssize_t body = 0;
	bool seen = false;
	size_t total;

	if (!end)
		return len < SIP_MAX ? 0 : -1;
	for (line = buf; line < end + 2; line = eol + 2) {
		eol = memmem(line, (size_t)(end + 2 - line), "\r\n", 2);
		colon = memchr(line, ':', (size_t)(eol - line));
		if (!colon || line == buf || is_blank(*line))
			continue;
		for (name_end = colon; name_end > line && is_blank(name_end[-1]); name_end--)
			;
		if (!is_header(line, (size_t)(name_end - line), "Content-Length"))
			continue;
		/* Two that differ are a way to smuggle a message in. */
		if (seen)
			return -1;
		seen = true;
		body = content_length(colon + 1, eol);
		if (body < 0)
			return -1;
	}
	total = (size_t)(end + 4 - buf) + (size_t)body;
	if (total > SIP_MAX)
		return -1;
	return total <= len ? (ssize_t)total : 0;
}

static bool parse_start_line(struct sip_msg *msg, char *line)
{
	char *uri, *version;

	if (!strncmp(line, "SIP/2.0 ", 8))
		return true;
	uri = strchr(line, ' ');
	if (!uri)
		return false;
	*uri++ = '\0';
	version = strchr(uri, ' ');
	if (!version || strcmp(version + 1, "SIP/2.0"))
		return false;
	*version = '\0';
	msg->method = line;
	msg->uri = uri;
	return *line && *uri;
}

bool sip_parse(struct sip_msg *msg, char *text, size_t len)
{
	char *end = memmem(text, len, "\r\n\r\n", 4);
	char *line, *next, *colon, *p;
	const char *cseq;
	bool first = true;

	msg->method = NULL;
	msg->uri = NULL;
	msg->n_headers = 0;
	if (!end)
		return false;
	end[2] = '\0';
	if (strlen(text) != (size_t)(end + 2 - text))
		return false;
	/* Folded lines become one. */
	for (p = text; (p = strstr(p, "\r\n")); p += 2) {
		if (is_blank(p[2]))
			p[0] = p[1] = ' ';
	}

	for (line = text; *line; line = next, first = false) {
		next = strstr(line, "\r\n");
		*next = '\0';
		next += 2;
		/* A line end of another kind may not get into a reply. */
		if (strpbrk(line, "\r\n"))
			return false;
		if (first) {
			if (!parse_start_line(msg, line))
				return false;
			continue;
		}
		colon = strchr(line, ':');
		if (!colon || colon == line || msg->n_headers == SIP_MAX_HEADERS)
			return false;
		for (p = colon; p > line && is_blank(p[-1]); p--)
			;
		*p = '\0';
		for (p = line + strlen(colon + 1) + (colon + 1 - line);
		     p > colon + 1 && is_blank(p[-1]); p--)
			p[-1] = '\0';
		msg->header[msg->n_headers].name = line;
		msg->header[msg->n_headers++].value = skip_blanks(colon + 1);
	}

	if (!sip_header(msg, "Via", NULL) || !sip_header(msg, "From", NULL) ||
	    !sip_header(msg, "To", NULL) || !sip_header(msg, "Call-ID", NULL))
		return false;
	cseq = sip_header(msg, "CSeq", NULL);
	if (!cseq || *cseq < '0' || *cseq > '9')
		return false;
	cseq = skip_blanks(cseq + strspn(cseq, "0123456789"));
	return !msg->method || !strcmp(cseq, msg->method);
}

const char *sip_header(const struct sip_msg *msg, const char *name, size_t *i)
{
	size_t start = 0;
	const struct sip_header *h;

	if (!i)
		i = &start;
	while (*i < msg->n_headers) {
		h = &msg->header[(*i)++];
		if (is_header(h->name, strlen(h->name), name))
			return h->value;
	}
	return NULL;
}

/* Behind the quoted string that @s begins with; NULL if it does not end */
static const char *skip_quoted(const char *s)
{
	for (s++; *s && *s != '"'; s++) {
		if (*s == '\\' && !*++s)
			return NULL;
	}
	return *s ? s + 1 : NULL;
}

/* The first of @stop in @s that is not quoted, nor between < and > */
static const char *find_outside(const char *s, const char *stop)
{
	bool angle = false;

	while (s && *s) {
		if (*s == '"') {
			s = skip_quoted(s);
			continue;
		}
		if (*s == '<')
			angle = true;
		else if (*s == '>')
			angle = false;
		else if (!angle && strchr(stop, *s))
			return s;
		s++;
	}
	return NULL;
}

/* "name=value" at @s, up to one of @stop; fills @buf if it is @name */
static bool match_param(const char *s, const char *stop, const char *name, char *buf, size_t size)
{
	const char *end = find_outside(s, stop);
	size_t len, n = 0;

	s = skip_blanks(s);
	len = strlen(name);
	if (strncasecmp(s, name, len))
		return false;
	s = skip_blanks(s + len);
	if (!end)
		end = s + strlen(s);
	while (end > s && is_blank(end[-1]))
		end--;
	if (s < end && *s != '=')
		return false;
	if (s < end)
		s = skip_blanks(s + 1);
	if (s < end && *s == '"') {
		for (s++; s < end && *s != '"'; s++) {
			if (*s == '\\' && ++s == end)
				return false;
			if (n + 1 >= size)
				return false;
			buf[n++] = *s;
		}
	} else if (s < end) {
		if ((size_t)(end - s) >= size)
			return false;
		n = (size_t)(end - s);
		memcpy(buf, s, n);
	}
	buf[n] = '\0';
	return true;
}

bool sip_param(const char *value, const char *name, char *buf, size_t size)
{
	while ((value = find_outside(value, ";,")) && *value == ';') {
		if (match_param(++value, ";,", name, buf, size))
			return true;
	}
	return false;
}

bool sip_digest_param(const char *value, const char *name, char *buf, size_t size)
{
	if (strncasecmp(value, "Digest", 6) || !is_blank(value[6]))
		return false;
	for (value += 6; value; value = find_outside(value, ",")) {
		value++;
		if (match_param(value, ",", name, buf, size))
			return true;
	}
	return false;
}

bool sip_uri(const char *value, char *buf, size_t size)
{
	const char *start = value, *end;
	size_t len;

	while (*start && *start != '<') {
		if (*start != '"') {
			start++;
			continue;
		}
		start = skip_quoted(start);
		if (!start)
			return false;
	}
	if (*start) {
		start++;
		end = strchr(start, '>');
		if (!end)
			return false;
		len = (size_t)(end - start);
	} else {
		start = value;
		len = strcspn(start, ";, \t");
	}
	if (!len || len >= size)
		return false;
	memcpy(buf, start, len);
	buf[len] = '\0';
	return true;
}

/* Behind "sip:user@" */
static const char *uri_host(const char *uri)
{
	const char *host = strchr(uri, ':');
	const char *user;

	if (!host)
		return NULL;
	user = strchr(++host, '@');
	return user ? user + 1 : host;
}

/* The port of "host:port" at @s; 0: there is none */
static uint16_t host_port(const char *s)
{
	unsigned long port;

	if (*s == '[')
		s += strcspn(s, "]");
	s += strcspn(s, ":;,?");
	if (*s != ':')
		return 0;
	port = strtoul(s + 1, NULL, 10);
	return port <= 65535 ? (uint16_t)port : 0;
}

uint16_t sip_via_port(const struct sip_msg *msg)
{
	const char *via = sip_header(msg, "Via", NULL);
	uint16_t port = host_port(skip_blanks(via + strcspn(via, " \t")));

	return port ? port : 5060;
}

bool sip_via_rport(const struct sip_msg *msg)
{
	char text[8];

	return sip_param(sip_header(msg, "Via", NULL), "rport", text, sizeof(text));
}

uint16_t sip_uri_port(const char *uri)
{
	const char *host = uri_host(uri);

	return host ? host_port(host) : 0;
}

bool sip_uri_has_param(const char *uri, const char *name)
{
	const char *host = uri_host(uri);
	char value[16];

	/* One whose value is too long does not count. */
	return host && sip_param(host, name, value, sizeof(value));
}

void sip_reply_add(struct sip_reply *reply, const char *fmt, ...)
{
	size_t room = sizeof(reply->text) - reply->len;
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(reply->text + reply->len, room, fmt, ap);
	va_end(ap);
	if (n < 0 || (size_t)n >= room)
		reply->overflow = true;
	else
		reply->len += (size_t)n;
}

/* The topmost Via says where the request came from in truth. */
static void add_top_via(struct sip_reply *reply, const char *via, const char *source,
			uint16_t source_port)
{
	const char *rest = find_outside(via, ",");
	const char *end = rest ? rest : via + strlen(via);
	const char *rport = NULL, *p = via;
	char text[8];

	while ((p = find_outside(p, ";,")) && *p == ';') {
		p++;
		if (match_param(p, ";,", "rport", text, sizeof(text)) && !*text)
			rport = p + strcspn(p, "tT") + 1;
	}
	if (rport)
		sip_reply_add(reply, "Via: %.*s=%u%.*s", (int)(rport - via), via, source_port,
			      (int)(end - rport), rport);
	else
		sip_reply_add(reply, "Via: %.*s", (int)(end - via), via);
	sip_reply_add(reply, ";received=%s%s\r\n", source, rest ? rest : "");
}

void sip_reply_begin(struct sip_reply *reply, const struct sip_msg *request, const char *status,
		     const char *source, uint16_t source_port, const char *tag)
{
	static const char * const copied[] = { "From", "To", "Call-ID", "CSeq" };
	const char *value;
	char old_tag[8];
	size_t i = 0;

	reply->len = 0;
	reply->overflow = false;
	sip_reply_add(reply, "SIP/2.0 %s\r\n", status);
	value = sip_header(request, "Via", &i);
	add_top_via(reply, value, source, source_port);
	while ((value = sip_header(request, "Via", &i)))
		sip_reply_add(reply, "Via: %s\r\n", value);
	for (i = 0; i < sizeof(copied) / sizeof(copied[0]); i++) {
		value = sip_header(request, copied[i], NULL);
		sip_reply_add(reply, "%s: %s", copied[i], value);
		/* A tag too long for the buffer counts as none, and does no harm. */
		if (!strcmp(copied[i], "To") && !sip_param(value, "tag", old_tag, sizeof(old_tag)))
			sip_reply_add(reply, ";tag=%s", tag);
		sip_reply_add(reply, "\r\n");
	}
}

bool sip_reply_end(struct sip_reply *reply)
{
	sip_reply_add(reply, "Content-Length: 0\r\n\r\n");
	return !reply->overflow;
}
