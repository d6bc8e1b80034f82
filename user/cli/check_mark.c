// SPDX-License-Identifier: GPL-2.0-only
/*
 * imsipsec check: rules of others that read or set bits of the packet mark which tell
 * registrations apart (mark-mask).
 *
 * Such a rule takes a UE's packet for one of its own, or takes the UE's mark away. Looked at
 * are the rules of nftables, iptables and ip6tables, in all tables and chains, whether a
 * packet comes to them or not, and policy routing.
 */
#include <errno.h>
#include <inttypes.h>
#include <libmnl/libmnl.h>
#include <linux/fib_rules.h>
#include <linux/rtnetlink.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "check_rules.h"
#include "cli.h"

#define ALL_BITS	UINT32_MAX

/* Rules of one table that use the same bits of the mask: the first, and how many more */
struct user {
	char where[96];
	char rule[200];
	uint32_t bits;
	unsigned int more;
};

struct users {
	uint32_t mask;
	uint32_t used;			/* by any of them, within the mask or not */
	struct user *user;
	size_t n;
};

static void add_user(struct users *u, const char *where, uint32_t bits, const char *rule, size_t len)
{
	struct user *user;
	size_t i;

	u->used |= bits;
	bits &= u->mask;
	if (!bits)
		return;
	for (i = 0; i < u->n; i++) {
		user = &u->user[i];
		if (user->bits == bits && !strcmp(user->where, where)) {
			user->more++;
			return;
		}
	}
	u->user = check_grow(u->user, &u->n, sizeof(*u->user));
	user = &u->user[u->n - 1];
	snprintf(user->where, sizeof(user->where), "%s", where);
	snprintf(user->rule, sizeof(user->rule), "%.*s", (int)len, rule);
	user->bits = bits;
}

static bool is_number(const char *word, uint32_t *value)
{
	char *end;

	if (*word < '0' || *word > '9')
		return false;
	*value = strtoul(word, &end, 0);
	return !*end;
}

/* "VALUE/MASK", "VALUE" */
static bool is_masked(const char *word, uint32_t *value, uint32_t *mask)
{
	const char *slash = strchr(word, '/');
	char copy[64];

	*mask = ALL_BITS;
	if (!slash)
		return is_number(word, value);
	snprintf(copy, sizeof(copy), "%.*s", (int)(slash - word), word);
	return is_number(copy, value) && is_number(slash + 1, mask);
}

/* What an option of iptables does with the mark */
enum use {
	USE_MASK,		/* VALUE/MASK: the mask's bits */
	USE_BOTH,		/* VALUE/MASK: those of the mask, then the value's */
	USE_VALUE,
	USE_REST,		/* all but the value's */
	USE_ALL,
	USE_RESTORE,		/* from the connection's mark, by masks of both */
	USE_SAVE,		/* to it */
	USE_SHIFT,		/* on the way */
	USE_NFMASK,
	USE_CTMASK,
	USE_MASKS,
};

static const struct option {
	const char *of, *name;	/* of a match or target */
	enum use use;
} options[] = {
	{ "mark", "--mark", USE_MASK },
	{ "MARK", "--set-xmark", USE_BOTH },
	{ "MARK", "--set-mark", USE_BOTH },
	{ "MARK", "--or-mark", USE_VALUE },
	{ "MARK", "--xor-mark", USE_VALUE },
	{ "MARK", "--and-mark", USE_REST },
	{ "TPROXY", "--tproxy-mark", USE_BOTH },
	{ "CONNMARK", "--restore-mark", USE_RESTORE },
	{ "CONNMARK", "--save-mark", USE_SAVE },
	{ "CONNMARK", "--nfmask", USE_NFMASK },
	{ "CONNMARK", "--ctmask", USE_CTMASK },
	{ "CONNMARK", "--mask", USE_MASKS },
	{ "CONNMARK", "--left-shift-mark", USE_SHIFT },
	{ "CONNMARK", "--right-shift-mark", USE_SHIFT },
	{ "SET", "--map-mark", USE_ALL },
	{ "socket", "--restore-skmark", USE_ALL },
};

static const struct option *find_option(const char *of, const char *name)
{
	size_t i;

	for (i = 0; i < ARRAY_SIZE(options); i++)
		if (!strcmp(options[i].of, of) && !strcmp(options[i].name, name))
			return &options[i];
	return NULL;
}

/* The bits of the mark that a rule of iptables uses */
static uint32_t iptables_bits(struct check_words w)
{
	uint32_t bits = 0, value, mask, nfmask = ALL_BITS, ctmask = ALL_BITS;
	bool restores = false, saves = false, shifts = false;
	const struct option *o;
	char of[sizeof(w.word)] = "";

	while (check_next_word(&w)) {
		if (check_is_word(&w, "-m") || check_is_word(&w, "-j")) {
			if (check_next_word(&w))
				strcpy(of, w.word);
			continue;
		}
		/* It need not have quotes, whatever it is. */
		if (check_is_word(&w, "--comment")) {
			check_next_word(&w);
			continue;
		}
		o = find_option(of, w.word);
		if (!o)
			continue;
		switch (o->use) {
		case USE_ALL:
			bits = ALL_BITS;
			continue;
		case USE_RESTORE:
			restores = true;
			continue;
		case USE_SAVE:
			saves = true;
			continue;
		case USE_SHIFT:
			shifts = true;
			continue;
		default:
			break;
		}
		if (!check_next_word(&w) || !is_masked(w.word, &value, &mask))
			continue;
		switch (o->use) {
		case USE_MASK:
			bits |= mask;
			break;
		case USE_BOTH:
			bits |= mask | value;
			break;
		case USE_VALUE:
			bits |= value;
			break;
		case USE_REST:
			bits |= ~value;
			break;
		case USE_NFMASK:
			nfmask = value;
			break;
		case USE_CTMASK:
			ctmask = value;
			break;
		default:
			nfmask = ctmask = value;
		}
	}
	if (restores)
		bits |= shifts ? ALL_BITS : nfmask | ctmask;
	if (saves)
		bits |= nfmask;
	return bits;
}

/* What iptables-save writes */
static void look_at_iptables(struct users *u, const char *command, const char *text)
{
	const char *line, *next;
	char where[96] = "";
	struct check_words w;

	for (line = text; *line; line = next) {
		w.at = line;
		w.end = line + strcspn(line, "\n");
		next = *w.end ? w.end + 1 : w.end;
		if (*line == '*')
			snprintf(where, sizeof(where), "%s's table %.*s", command,
				 (int)(w.end - line - 1), line + 1);
		if (strncmp(line, "-A ", 3))
			continue;
		add_user(u, where, iptables_bits(w), line, w.end - line);
	}
}

/* ---- nftables ---------------------------------------------------------- */

static bool is_mark(struct json_object *e)
{
	return !strcmp(check_nft_string(check_nft_get(e, "meta"), "key"), "mark");
}

static bool is_json_number(struct json_object *e, uint32_t *value)
{
	*value = json_object_get_int64(e);
	return json_object_is_type(e, json_type_int);
}

/* Bits of the packet's mark that an expression reads; fib's, ct's and a socket's mark are others. */
static uint32_t nft_read(struct json_object *e)
{
	struct json_object *and = check_nft_get(e, "&");
	uint32_t bits = 0, value;
	size_t i;

	if (is_mark(e))
		return ALL_BITS;
	if (check_nft_length(and) == 2 && is_json_number(check_nft_at(and, 1), &value))
		return nft_read(check_nft_at(and, 0)) & value;
	if (json_object_is_type(e, json_type_object)) {
		json_object_object_foreach(e, key, member) {
			(void)key;
			bits |= nft_read(member);
		}
	}
	for (i = 0; i < check_nft_length(e); i++)
		bits |= nft_read(check_nft_at(e, i));
	return bits;
}

/* "meta mark 0x10000/16": nft's way to write a mask of the highest bits */
static uint32_t nft_match(struct json_object *match)
{
	struct json_object *prefix = check_nft_get(check_nft_get(match, "right"), "prefix");
	uint32_t length;

	if (is_mark(check_nft_get(match, "left")) && is_json_number(check_nft_get(prefix, "len"), &length) &&
	    length <= 32)
		return length ? ALL_BITS << (32 - length) : 0;
	return nft_read(match);
}

/* Bits that may be set in a value */
static uint32_t nft_may_have(struct json_object *e)
{
	struct json_object *and = check_nft_get(e, "&");
	uint32_t value;
	size_t i;

	if (is_json_number(e, &value))
		return value;
	for (i = 0; i < check_nft_length(and); i++)
		if (is_json_number(check_nft_at(and, i), &value))
			return value;
	return ALL_BITS;
}

/* A mark is left as it was but for some bits, or @value is a new one. *@kept: it is left so */
static uint32_t nft_set(struct json_object *value, bool *kept)
{
	static const char *const operators[] = { "&", "|", "^" };
	struct json_object *parts, *part;
	uint32_t bits = 0, of_part, number;
	bool part_kept;
	size_t i, j;

	*kept = is_mark(value);
	if (*kept)
		return 0;
	for (i = 0; i < ARRAY_SIZE(operators); i++) {
		parts = check_nft_get(value, operators[i]);
		for (j = 0; j < check_nft_length(parts); j++) {
			part = check_nft_at(parts, j);
			of_part = nft_set(part, &part_kept);
			if (part_kept) {
				*kept = true;
				bits |= of_part;
			} else if (i) {
				bits |= nft_may_have(part);
			} else {
				bits |= is_json_number(part, &number) ? ~number : ALL_BITS;
			}
		}
	}
	return *kept ? bits : ALL_BITS;
}

/* The bits of the mark that a rule of nftables uses */
static uint32_t nft_bits(struct json_object *expr)
{
	static const char *const opaque[] = { "MARK", "CONNMARK", "TPROXY", "mark" };
	struct json_object *statement, *match, *mangle, *xt;
	uint32_t bits = 0;
	size_t i, j;
	bool kept;

	for (i = 0; i < check_nft_length(expr); i++) {
		statement = check_nft_at(expr, i);
		match = check_nft_get(statement, "match");
		mangle = check_nft_get(statement, "mangle");
		xt = check_nft_get(statement, "xt");
		if (match)
			bits |= nft_match(match);
		else if (is_mark(check_nft_get(mangle, "key")))
			bits |= nft_set(check_nft_get(mangle, "value"), &kept);
		else if (!xt)
			bits |= nft_read(statement);
		/* Of iptables, not translated */
		for (j = 0; j < ARRAY_SIZE(opaque); j++)
			if (!strcmp(check_nft_string(xt, "name"), opaque[j]))
				bits = ALL_BITS;
	}
	return bits;
}

static void look_at_nft(const struct check *c, struct users *u)
{
	const char *family, *table, *before[2] = { "", "" };
	struct json_object *rule;
	char where[96], text[200];
	bool told = false;
	size_t i, n;

	for (i = 0; i < check_nft_length(c->nft); i++) {
		rule = check_nft_get(check_nft_at(c->nft, i), "rule");
		family = check_nft_string(rule, "family");
		table = check_nft_string(rule, "table");
		if (!rule || (!strcmp(family, "ip") && !check_has_family(c, AF_INET)) ||
		    (!strcmp(family, "ip6") && !check_has_family(c, AF_INET6)))
			continue;
		/* All rules of a table stand together. */
		if (strcmp(before[0], family) || strcmp(before[1], table))
			told = check_is_told(c, family, table);
		before[0] = family;
		before[1] = table;
		if (told)
			continue;
		snprintf(where, sizeof(where), "nftables' table %s %s", family, table);
		n = snprintf(text, sizeof(text), "%.60s: ", check_nft_string(rule, "chain"));
		check_nft_text(check_nft_get(rule, "expr"), text + n, sizeof(text) - n);
		add_user(u, where, nft_bits(check_nft_get(rule, "expr")), text, strlen(text));
	}
}

static int gather_fwmark(struct imsipsec *h, const struct nlmsghdr *nlh, void *data)
{
	const struct fib_rule_hdr *hdr = mnl_nlmsg_get_payload(nlh);
	struct check_fwmark f = { .mark = 0 };
	const struct nlattr *attr;
	bool masked = false;
	struct check *c = data;

	(void)h;
	if (mnl_nlmsg_get_payload_len(nlh) < sizeof(*hdr))
		return -EBADMSG;
	if (hdr->family != AF_INET && hdr->family != AF_INET6)
		return 0;
	f.family = hdr->family;
	mnl_attr_for_each(attr, nlh, sizeof(*hdr)) {
		switch (mnl_attr_get_type(attr)) {
		case FRA_PRIORITY:
			f.priority = mnl_attr_get_u32(attr);
			break;
		case FRA_FWMARK:
			f.mark = mnl_attr_get_u32(attr);
			break;
		case FRA_FWMASK:
			f.mask = mnl_attr_get_u32(attr);
			masked = true;
		}
	}
	if (f.mark && !masked)
		f.mask = ALL_BITS;
	if (!f.mask)
		return 0;
	c->fwmarks = check_grow(c->fwmarks, &c->n_fwmarks, sizeof(*c->fwmarks));
	c->fwmarks[c->n_fwmarks - 1] = f;
	return 0;
}

void check_gather_fwmarks(struct check *c)
{
	char buf[MNL_NLMSG_HDRLEN + MNL_ALIGN(sizeof(struct fib_rule_hdr))];
	struct nlmsghdr *nlh = mnl_nlmsg_put_header(buf);

	/* Of all families */
	nlh->nlmsg_type = RTM_GETRULE;
	mnl_nlmsg_put_extra_header(nlh, sizeof(struct fib_rule_hdr));
	c->fwmarks_error = check_dump(NETLINK_ROUTE, nlh, RTM_NEWRULE, gather_fwmark, c);
}

static void look_at_routing(const struct check *c, struct users *u)
{
	const struct check_fwmark *f;
	char rule[64];
	size_t i;

	for (i = 0; i < c->n_fwmarks; i++) {
		f = &c->fwmarks[i];
		if (!check_has_family(c, f->family))
			continue;
		snprintf(rule, sizeof(rule), "priority %" PRIu32 " fwmark 0x%" PRIx32 "/0x%" PRIx32,
			 f->priority, f->mark, f->mask);
		add_user(u, f->family == AF_INET ? "ip rule" : "ip -6 rule", f->mask, rule,
			 strlen(rule));
	}
}

/* The most bits side by side that nobody uses */
static uint32_t free_mask(uint32_t used)
{
	unsigned int bit, from = 0, best = 0, best_from = 0;

	for (bit = 0; bit <= 32; bit++) {
		if (bit < 32 && !(used >> bit & 1))
			continue;
		if (bit - from > best) {
			best = bit - from;
			best_from = from;
		}
		from = bit + 1;
	}
	return best ? ALL_BITS >> (32 - best) << best_from : 0;
}

static void found(struct check *c, const struct users *u, const struct user *user)
{
	const uint32_t better = free_mask(u->used);
	uint32_t room = better;
	char more[32] = "";

	if (user->more)
		snprintf(more, sizeof(more), ", and %u more", user->more);
	check_found(c, CHECK_WARNING, "%s uses bits 0x%08" PRIx32 " of mark-mask 0x%08" PRIx32 ": \"%s\"%s",
		    user->where, user->bits, u->mask, user->rule, more);
	while (room && !(room & 1))
		room >>= 1;
	room /= 4;
	if (!room)
		check_cure(c, "give the rule other bits, by a mask: no three side by side are left");
	else if (room < c->ues)
		check_cure(c, "give the rule other bits, by a mask, or imsipsec config set mark-mask 0x%08" PRIx32
			   ", which tells %" PRIu32 " registrations apart and no more", better, room);
	else
		check_cure(c, "imsipsec config set mark-mask 0x%08" PRIx32 ", or give the rule other bits; that "
			   "mask tells %" PRIu32 " registrations apart, and is set while there is no bundle",
			   better, room);
}

/* Return: how many findings there are. */
static size_t look(struct check *c)
{
	static const char *const commands[] = { "iptables", "ip6tables" };
	static const int families[] = { AF_INET, AF_INET6 };
	struct users u = { .mask = c->config.mark_mask };
	size_t i;

	if (c->nft)
		look_at_nft(c, &u);
	for (i = 0; i < ARRAY_SIZE(families); i++) {
		if (!check_has_family(c, families[i]))
			continue;
		if (c->iptables[i])
			look_at_iptables(&u, commands[i], c->iptables[i]);
		if (c->iptables_nft[i])
			look_at_iptables(&u, commands[i], c->iptables_nft[i]);
	}
	look_at_routing(c, &u);
	for (i = 0; i < u.n; i++)
		found(c, &u, &u.user[i]);
	free(u.user);
	return u.n;
}

void check_mark_rules(struct check *c)
{
	if (!c->config.mark_mask) {
		check_found(c, CHECK_OK, "there are no marks: mark-mask is 0");
		return;
	}
	if (c->fwmarks_error) {
		check_found(c, CHECK_WARNING, "the kernel does not tell its rules of policy routing");
		check_cure(c, "look for fwmark by hand: ip rule, ip -6 rule");
	}
	if (!look(c))
		check_found(c, CHECK_OK, "no rule that was looked at uses bits of mark-mask 0x%08" PRIx32,
			    c->config.mark_mask);
}

/* To standard error, of a new endpoint. What cannot be had is left to "imsipsec check". */
void check_warn_marks(const struct imsipsec_config *config, const struct imsipsec_endpoint *e)
{
	struct check c = { .root = "", .config = { .mark_mask = config->mark_mask } };
	bool loaded;
	size_t i;

	if (!config->mark_mask)
		return;
	c.endpoints = check_grow(NULL, &c.n_endpoints, sizeof(*c.endpoints));
	*c.endpoints = *e;
	/* nft would load it. */
	if (check_has_kernel_module(&c, "nf_tables", &loaded) && loaded)
		check_gather_rules(&c);
	check_gather_fwmarks(&c);
	look(&c);
	for (i = 0; i < c.n_findings; i++)
		fail("warning: %s; cure: %s", c.findings[i].text, c.findings[i].cure);
	check_free(&c);
}
