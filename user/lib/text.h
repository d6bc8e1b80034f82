/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Reading the value of a SIP header, which need not end in NUL. */
#ifndef IMSIPSEC_TEXT_H
#define IMSIPSEC_TEXT_H

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct text {
	const char *p, *end;
};

static inline bool is_blank(char c)
{
	return c == ' ' || c == '\t';
}

/* Blanks, and line ends that fold the line or end the header. */
static inline void skip_lws(struct text *t)
{
	const char *p = t->p;

	for (;;) {
		while (p < t->end && is_blank(*p))
			p++;
		t->p = p;
		if (p < t->end && *p == '\r')
			p++;
		if (p == t->end || *p != '\n')
			return;
		p++;
		if (p < t->end && !is_blank(*p))
			return;
		t->p = p;
	}
}

static inline bool at(const struct text *t, char c)
{
	return t->p < t->end && *t->p == c;
}

/* The end of an element of a comma list */
static inline bool at_element_end(const struct text *t)
{
	return t->p == t->end || *t->p == ',';
}

static inline bool is_token_char(char c)
{
	if ((c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'))
		return true;
	return c && strchr("-.!%*_+`'~", c);
}

static inline struct text take(struct text *t, bool (*is_wanted)(char c))
{
	struct text taken = { t->p, t->p };

	while (t->p < t->end && is_wanted(*t->p))
		t->p++;
	taken.end = t->p;
	return taken;
}

static inline bool is_empty(const struct text *t)
{
	return t->p == t->end;
}

static inline size_t length(const struct text *t)
{
	return t->end - t->p;
}

/* Decimal digits, and nothing else */
static inline int parse_number(const struct text *value, uint32_t max, uint32_t *number)
{
	uint64_t n = 0;
	const char *p;

	for (p = value->p; p < value->end; p++) {
		if (*p < '0' || *p > '9')
			return -EINVAL;
		n = n * 10 + (*p - '0');
		if (n > max)
			return -EINVAL;
	}
	*number = n;
	return 0;
}

#endif /* IMSIPSEC_TEXT_H */
