// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Security-Client, Security-Server and Security-Verify of RFC 3329, with the
 * parameters that 3GPP TS 33.203 Annex H adds for ipsec-3gpp:
 *
 *	list		= mechanism *( "," mechanism )
 *	mechanism	= token *( ";" parameter )
 *	parameter	= token [ "=" ( token / host / quoted-string ) ]
 *
 * with blanks and folds allowed around each of the separators. What has one
 * meaning only is accepted though the grammar has it not: an empty element of
 * a list, an empty parameter, a line end behind the last one.
 *
 * A mechanism that is malformed is passed over. Its text is kept: what was sent, or received
 * first, had it or had it not (bidding down).
 *
 * secagree_write.c writes them.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "internal.h"
#include "text.h"

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))

#define NAME_MAX_LEN	31

enum param {
	PARAM_ALG,
	PARAM_EALG,
	PARAM_MOD,
	PARAM_PROT,
	N_NAMES,		/* the above have a name for a value */
	PARAM_Q = N_NAMES,
	PARAM_SPI_C,
	PARAM_SPI_S,
	PARAM_PORT_C,
	PARAM_PORT_S,
	N_PARAMS,
};

static const char *const param_names[N_PARAMS] = {
	[PARAM_ALG] = "alg",
	[PARAM_EALG] = "ealg",
	[PARAM_MOD] = "mod",
	[PARAM_PROT] = "prot",
	[PARAM_Q] = "q",
	[PARAM_SPI_C] = "spi-c",
	[PARAM_SPI_S] = "spi-s",
	[PARAM_PORT_C] = "port-c",
	[PARAM_PORT_S] = "port-s",
};

#define PARAMS_REQUIRED	(1U << PARAM_ALG | 1U << PARAM_SPI_C | 1U << PARAM_SPI_S | \
			 1U << PARAM_PORT_C | 1U << PARAM_PORT_S)

/*
 * The names stay as text (in lower case, defaults filled in), so that two
 * headers with different unknown algorithms are not taken for equal.
 */
struct entry {
	struct imsipsec_mech mech;
	char names[N_NAMES][NAME_MAX_LEN + 1];
};

/* A mechanism that is malformed, as it stood there */
struct malformed {
	char *text;
	size_t len;
};

struct imsipsec_secagree {
	size_t n, room;
	struct entry *entries;
	size_t n_malformed;
	struct malformed malformed[MECHS_MAX];
	bool well_formed;	/* some mechanism is, ipsec-3gpp or another one */
};

static bool is_value_char(char c)
{
	unsigned char u = c;

	return u > ' ' && u != 0x7f && !strchr(",;\"", c);
}

static int skip_quoted(struct text *t)
{
	t->p++;
	for (;;) {
		skip_lws(t);
		if (t->p == t->end)
			return -EINVAL;
		if (*t->p == '"') {
			t->p++;
			return 0;
		}
		if (*t->p == '\\' && ++t->p == t->end)
			return -EINVAL;
		if ((unsigned char)*t->p < ' ' || *t->p == 0x7f)
			return -EINVAL;
		t->p++;
	}
}

static int parse_spi(const struct text *value, uint32_t *spi)
{
	int err = parse_number(value, UINT32_MAX, spi);

	return err ? err : *spi < SPI_MIN ? -EINVAL : 0;
}

/* The ports of plain SIP and of SIP over TLS cannot be protected ones. */
static int parse_port(const struct text *value, uint16_t *port)
{
	uint32_t n;
	int err;

	err = parse_number(value, UINT16_MAX, &n);
	if (err)
		return err;
	if (!n || n == 5060 || n == 5061)
		return -EINVAL;
	*port = n;
	return 0;
}

/* qvalue of RFC 3261: 0 to 1 with at most three decimals, in thousandths. */
static int parse_q(const struct text *value, unsigned int *q)
{
	unsigned int n, weight;
	const char *p = value->p;

	if (*p != '0' && *p != '1')
		return -EINVAL;
	n = (*p++ - '0') * 1000;
	if (p < value->end && *p++ != '.')
		return -EINVAL;
	for (weight = 100; p < value->end; p++, weight /= 10) {
		if (!weight || *p < '0' || *p > '9')
			return -EINVAL;
		n += (*p - '0') * weight;
	}
	if (n > 1000)
		return -EINVAL;
	*q = n;
	return 0;
}

static int parse_name(struct text value, char *name)
{
	struct text token = take(&value, is_token_char);
	size_t i;

	if (!is_empty(&value) || length(&token) > NAME_MAX_LEN)
		return -EINVAL;
	for (i = 0; i < length(&token); i++) {
		char c = token.p[i];

		name[i] = c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c;
	}
	name[i] = '\0';
	return 0;
}

static int set_param(struct entry *entry, enum param param, const struct text *value)
{
	struct imsipsec_mech *mech = &entry->mech;

	switch (param) {
	case PARAM_Q:
		return parse_q(value, &mech->q);
	case PARAM_SPI_C:
		return parse_spi(value, &mech->spi_c);
	case PARAM_SPI_S:
		return parse_spi(value, &mech->spi_s);
	case PARAM_PORT_C:
		return parse_port(value, &mech->port_c);
	case PARAM_PORT_S:
		return parse_port(value, &mech->port_s);
	default:
		return parse_name(*value, entry->names[param]);
	}
}

static int find_param(const struct text *name)
{
	int i;

	for (i = 0; i < N_PARAMS; i++)
		if (imsipsec_name_equal(param_names[i], name->p, length(name)))
			return i;
	return -1;
}

/*
 * @entry is NULL for a mechanism that is passed over: its parameters are read
 * only to find its end.
 */
static int parse_param(struct text *t, struct entry *entry, unsigned int *seen)
{
	struct text name, value = { NULL, NULL };
	int param;

	name = take(t, is_token_char);
	if (is_empty(&name))
		return -EINVAL;
	param = entry ? find_param(&name) : -1;

	skip_lws(t);
	if (at(t, '=')) {
		t->p++;
		skip_lws(t);
		if (param < 0 && at(t, '"'))
			return skip_quoted(t);
		value = take(t, is_value_char);
		if (is_empty(&value))
			return -EINVAL;
	}
	if (param < 0)
		return 0;

	if (is_empty(&value) || *seen & 1U << param)
		return -EINVAL;
	*seen |= 1U << param;
	return set_param(entry, param, &value);
}

static int parse_params(struct text *t, struct entry *entry, unsigned int *seen)
{
	int err;

	for (;;) {
		skip_lws(t);
		if (at_element_end(t))
			return 0;
		if (!at(t, ';'))
			return -EINVAL;
		t->p++;
		skip_lws(t);
		if (at_element_end(t) || at(t, ';'))
			continue;
		err = parse_param(t, entry, seen);
		if (err)
			return err;
	}
}

static int parse_ipsec_3gpp(struct text *t, struct entry *entry)
{
	struct imsipsec_mech *mech = &entry->mech;
	unsigned int seen = 0;
	int err;

	*entry = (struct entry){
		.mech = { .q = 1000 },
		.names = {
			[PARAM_EALG] = "null",
			[PARAM_MOD] = "trans",
			[PARAM_PROT] = "esp",
		},
	};
	err = parse_params(t, entry, &seen);
	if (err)
		return err;
	if ((seen & PARAMS_REQUIRED) != PARAMS_REQUIRED)
		return -EINVAL;
	if (mech->spi_c == mech->spi_s || mech->port_c == mech->port_s)
		return -EINVAL;

	mech->alg = imsipsec_alg_find(entry->names[PARAM_ALG], strlen(entry->names[PARAM_ALG]));
	mech->ealg = imsipsec_ealg_find(entry->names[PARAM_EALG],
					strlen(entry->names[PARAM_EALG]));
	mech->mode = imsipsec_mode_find(entry->names[PARAM_MOD],
					strlen(entry->names[PARAM_MOD]));
	mech->esp = !strcmp(entry->names[PARAM_PROT], "esp");
	return 0;
}

static struct entry *list_grow(struct imsipsec_secagree *list)
{
	struct entry *entries;
	size_t room;

	if (list->n == list->room) {
		room = list->room ? list->room * 2 : 4;
		entries = realloc(list->entries, room * sizeof(*entries));
		if (!entries)
			return NULL;
		list->entries = entries;
		list->room = room;
	}
	return &list->entries[list->n++];
}

static int parse_mechanism(struct text *t, struct imsipsec_secagree *list)
{
	struct entry *entry;
	struct text name;
	int err;

	name = take(t, is_token_char);
	if (is_empty(&name))
		return -EINVAL;
	if (!imsipsec_name_equal("ipsec-3gpp", name.p, length(&name)))
		return parse_params(t, NULL, NULL);

	if (list->n == MECHS_MAX)
		return -E2BIG;
	entry = list_grow(list);
	if (!entry)
		return -ENOMEM;
	err = parse_ipsec_3gpp(t, entry);
	if (err)
		list->n--;
	return err;
}

/* To the end of an element, whatever it has. A quoted string without end has the rest. */
static void skip_element(struct text *t)
{
	while (!at_element_end(t)) {
		if (!at(t, '"'))
			t->p++;
		else if (skip_quoted(t))
			t->p = t->end;
	}
}

static int keep_malformed(struct imsipsec_secagree *list, struct text text)
{
	struct malformed *m = &list->malformed[list->n_malformed];

	if (list->n_malformed == MECHS_MAX)
		return -E2BIG;
	while (text.end > text.p && strchr(" \t\r\n", text.end[-1]))
		text.end--;
	m->len = length(&text);
	/* Of no byte, there may be none. */
	m->text = malloc(m->len + 1);
	if (!m->text)
		return -ENOMEM;
	memcpy(m->text, text.p, m->len);
	list->n_malformed++;
	return 0;
}

static int parse_element(struct text *t, struct imsipsec_secagree *list)
{
	struct text text = *t;
	int err;

	err = parse_mechanism(t, list);
	if (err != -EINVAL) {
		list->well_formed |= !err;
		return err;
	}
	*t = text;
	skip_element(t);
	text.end = t->p;
	return keep_malformed(list, text);
}

static int parse_list(struct text *t, struct imsipsec_secagree *list)
{
	int err;

	for (;;) {
		skip_lws(t);
		if (!at_element_end(t)) {
			err = parse_element(t, list);
			if (err)
				return err;
		}
		if (t->p == t->end)
			return 0;
		t->p++;
	}
}

static void drop_malformed(struct imsipsec_secagree *list, size_t n)
{
	while (list->n_malformed > n)
		free(list->malformed[--list->n_malformed].text);
}

int imsipsec_secagree_parse(struct imsipsec_secagree **list, const char *value, size_t len)
{
	struct text t = { value, value + len };
	size_t n, n_malformed;
	bool well_formed;
	int err;

	if (!*list)
		*list = calloc(1, sizeof(**list));
	if (!*list)
		return -ENOMEM;
	n = (*list)->n;
	n_malformed = (*list)->n_malformed;
	well_formed = (*list)->well_formed;
	err = parse_list(&t, *list);
	if (!err)
		return (*list)->well_formed ? 0 : -EINVAL;
	(*list)->n = n;
	drop_malformed(*list, n_malformed);
	(*list)->well_formed = well_formed;
	return err;
}

void imsipsec_secagree_free(struct imsipsec_secagree *list)
{
	if (!list)
		return;
	drop_malformed(list, 0);
	free(list->entries);
	free(list);
}

size_t imsipsec_secagree_count(const struct imsipsec_secagree *list)
{
	return list ? list->n : 0;
}

const struct imsipsec_mech *imsipsec_secagree_get(const struct imsipsec_secagree *list, size_t i)
{
	return list && i < list->n ? &list->entries[i].mech : NULL;
}

static const enum imsipsec_mode trans = IMSIPSEC_MODE_TRANS;

static const struct imsipsec_mech *find_offer(const struct imsipsec_secagree *client,
					      const struct imsipsec_pair *pair,
					      enum imsipsec_mode mode)
{
	const struct imsipsec_mech *m;
	size_t i;

	for (i = 0; (m = imsipsec_secagree_get(client, i)); i++) {
		/* Zeroes of the P-CSCF's must not match what is unknown in the header. */
		if (!m->alg || !m->ealg || !m->mode || !m->esp)
			continue;
		if (m->alg == pair->alg && m->ealg == pair->ealg && m->mode == mode)
			return m;
	}
	return NULL;
}

int imsipsec_secagree_choose(const struct imsipsec_secagree *client,
			     const struct imsipsec_pair *pairs, size_t n,
			     const enum imsipsec_mode *modes, size_t n_modes,
			     const struct imsipsec_mech **mech)
{
	const struct imsipsec_mech *m;
	size_t i, j;

	if (!pairs) {
		pairs = imsipsec_pairs;
		n = N_PAIRS;
	}
	if (!modes) {
		modes = &trans;
		n_modes = 1;
	}
	if (!imsipsec_pairs_known(pairs, n))
		return -E2BIG;
	for (i = 0; i < n; i++) {
		for (j = 0; j < n_modes; j++) {
			m = find_offer(client, &pairs[i], modes[j]);
			if (!m)
				continue;
			*mech = m;
			return 0;
		}
	}
	return -ENOENT;
}

static bool entry_equal(const struct imsipsec_secagree *a, size_t i,
			const struct imsipsec_secagree *b, size_t j)
{
	const struct entry *v = &a->entries[i], *w = &b->entries[j];
	const struct imsipsec_mech *x = &v->mech, *y = &w->mech;
	int k;

	for (k = 0; k < N_NAMES; k++)
		if (strcmp(v->names[k], w->names[k]))
			return false;
	return x->q == y->q && x->spi_c == y->spi_c && x->spi_s == y->spi_s &&
	       x->port_c == y->port_c && x->port_s == y->port_s;
}

static bool malformed_equal(const struct imsipsec_secagree *a, size_t i,
			    const struct imsipsec_secagree *b, size_t j)
{
	const struct malformed *x = &a->malformed[i], *y = &b->malformed[j];

	return x->len == y->len && !memcmp(x->text, y->text, x->len);
}

/* Does @b have each of the @n of @a, in any order? It has as many. */
static bool all_there(const struct imsipsec_secagree *a, const struct imsipsec_secagree *b, size_t n,
		      bool (*equal)(const struct imsipsec_secagree *a, size_t i,
				    const struct imsipsec_secagree *b, size_t j))
{
	uint64_t used = 0;
	size_t i, j;

	_Static_assert(MECHS_MAX <= 64, "a bit of \"used\" for each mechanism");

	for (i = 0; i < n; i++) {
		for (j = 0; j < n; j++)
			if (!(used & 1ULL << j) && equal(a, i, b, j))
				break;
		if (j == n)
			return false;
		used |= 1ULL << j;
	}
	return true;
}

bool imsipsec_secagree_equal(const struct imsipsec_secagree *a, const struct imsipsec_secagree *b)
{
	/* Fail closed: a server that forgot what it sent must not accept an absent header. */
	if (!imsipsec_secagree_count(a) || imsipsec_secagree_count(a) != imsipsec_secagree_count(b))
		return false;
	return a->n_malformed == b->n_malformed && all_there(a, b, a->n, entry_equal) &&
	       all_there(a, b, a->n_malformed, malformed_equal);
}
