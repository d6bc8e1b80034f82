// SPDX-License-Identifier: GPL-2.0-only
/* imsipsec check: what was found, and room for more of anything. */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "check_rules.h"
#include "cli.h"

/* Return: @array with room for one more than @n, which counts it. It is zero. */
void *check_grow(void *array, size_t *n, size_t size)
{
	/* Twice as much at a time */
	if (!(*n & (*n - 1)))
		array = realloc(array, (*n ? 2 * *n : 1) * size);
	if (!array)
		die(EXIT_KERNEL, "%s", strerror(ENOMEM));
	memset((char *)array + *n * size, 0, size);
	++*n;
	return array;
}

void check_found(struct check *c, enum check_level level, const char *fmt, ...)
{
	struct check_finding *f;
	va_list args;

	c->findings = check_grow(c->findings, &c->n_findings, sizeof(*c->findings));
	f = &c->findings[c->n_findings - 1];
	f->level = level;
	f->check = c->now;
	va_start(args, fmt);
	vsnprintf(f->text, sizeof(f->text), fmt, args);
	va_end(args);
}

/* Of what was found last */
void check_cure(struct check *c, const char *fmt, ...)
{
	struct check_finding *f = &c->findings[c->n_findings - 1];
	va_list args;

	va_start(args, fmt);
	vsnprintf(f->cure, sizeof(f->cure), fmt, args);
	va_end(args);
}

void check_free(struct check *c)
{
	free(c->endpoints);
	free(c->algorithms);
	free(c->addresses);
	free(c->policies);
	json_object_put(c->nft);
	free(c->iptables[0]);
	free(c->iptables[1]);
	free(c->iptables_nft[0]);
	free(c->iptables_nft[1]);
	free(c->fwmarks);
	free(c->sockets);
	free(c->findings);
}
