// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Rules that hold for every input of the header parser: the target of
 * libFuzzer, and of mutate_test.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <imsipsec.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool good, const char *rule)
{
	if (good)
		return;
	fprintf(stderr, "%s\n", rule);
	abort();
}

static void check_mech(const struct imsipsec_mech *m)
{
	check(m->spi_c >= 256 && m->spi_s >= 256 && m->spi_c != m->spi_s, "B5: SPIs");
	check(m->port_c && m->port_s && m->port_c != m->port_s, "A9: ports");
	check(m->q <= 1000, "q");
	check(!m->alg || imsipsec_alg_name(m->alg), "alg");
	check(!m->ealg || imsipsec_ealg_name(m->ealg), "ealg");
}

/* What was written is read as it was meant. */
static void check_write(const struct imsipsec_mech *m)
{
	struct imsipsec_secagree *back = NULL;
	const struct imsipsec_mech *n;
	char buf[512];
	int len;

	len = imsipsec_secagree_write(buf, sizeof(buf), m, 1);
	check(len > 0 && len == (int)strlen(buf), "write");
	check(!imsipsec_secagree_parse(&back, buf, len), "read what was written");
	n = imsipsec_secagree_get(back, 0);
	check(n->alg == m->alg && n->ealg == m->ealg && n->spi_c == m->spi_c &&
	      n->spi_s == m->spi_s && n->port_c == m->port_c && n->port_s == m->port_s,
	      "what was written says the same");
	imsipsec_secagree_free(back);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct imsipsec_secagree *a = NULL, *b = NULL;
	const struct imsipsec_mech *m;
	size_t i, n;
	int err;

	err = imsipsec_secagree_parse(&a, (const char *)data, size);
	check(!err == !!a, "a list if and only if there is no error");
	check(err == 0 || err == -EINVAL || err == -E2BIG, "errno");
	if (err)
		return 0;

	n = imsipsec_secagree_count(a);
	for (i = 0; i < n; i++)
		check_mech(imsipsec_secagree_get(a, i));
	check(n <= 64 && !imsipsec_secagree_get(a, n), "count");
	if (!imsipsec_secagree_choose(a, NULL, 0, &m))
		check_write(m);

	check(!imsipsec_secagree_parse(&b, (const char *)data, size), "parse again");
	check(imsipsec_secagree_equal(a, b) == (n > 0), "equal to itself");
	imsipsec_secagree_free(a);
	imsipsec_secagree_free(b);
	return 0;
}
