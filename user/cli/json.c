// SPDX-License-Identifier: GPL-2.0-only
/* A writer of JSON, with as much of it as is needed here. */
#include <inttypes.h>
#include <string.h>

#include "json.h"

static void quote(struct json *j, const char *text, size_t len)
{
	size_t i;

	putc('"', j->file);
	for (i = 0; i < len; i++) {
		unsigned char c = text[i];

		if (c == '"' || c == '\\')
			fprintf(j->file, "\\%c", c);
		else if (c < ' ' || c == 0x7f)
			fprintf(j->file, "\\u%04x", c);
		else
			putc(c, j->file);
	}
	putc('"', j->file);
}

static void new_line(struct json *j)
{
	unsigned int i;

	if (!j->pretty)
		return;
	putc('\n', j->file);
	for (i = 0; i < j->depth; i++)
		fputs("    ", j->file);
}

static void begin_value(struct json *j, const char *key)
{
	if (j->more)
		putc(',', j->file);
	if (j->depth)
		new_line(j);
	if (key) {
		quote(j, key, strlen(key));
		fputs(j->pretty ? ": " : ":", j->file);
	}
	j->more = true;
}

void json_open(struct json *j, const char *key, char bracket)
{
	begin_value(j, key);
	putc(bracket, j->file);
	j->depth++;
	j->more = false;
}

void json_close(struct json *j, char bracket)
{
	j->depth--;
	if (j->more)
		new_line(j);
	putc(bracket, j->file);
	j->more = true;
}

/* After the outermost value: the next one stands on a line of its own. */
void json_end(struct json *j)
{
	putc('\n', j->file);
	j->more = false;
}

void json_number(struct json *j, const char *key, uint64_t value)
{
	begin_value(j, key);
	fprintf(j->file, "%" PRIu64, value);
}

void json_bool(struct json *j, const char *key, bool value)
{
	begin_value(j, key);
	fputs(value ? "true" : "false", j->file);
}

void json_string(struct json *j, const char *key, const char *text)
{
	json_string_n(j, key, text, strlen(text));
}

/* @text is UTF-8. */
void json_string_n(struct json *j, const char *key, const char *text, size_t len)
{
	begin_value(j, key);
	quote(j, text, len);
}
