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

#include "check.h"
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

/* A rule, word by word */
struct words {
	const char *at, *end;
	char word[64];
};

/*
 * What stands in quotes is one word, with the first quote before it, so that it is none of
 * those that mean something.
 */
static bool next_word(struct words *w)
{
	const char *from;
	size_t len;

	while (w->at < w->end && strchr(" \t()", *w->at))
		w->at++;
	if (w->at == w->end)
		return false;
	from = w->at++;
	if (*from == '"') {
		while (w->at < w->end && *w->at != '"')
			w->at += *w->at == '\\' && w->at + 1 < w->end ? 2 : 1;
		len = w->at - from;
		w->at += w->at < w->end;
	} else {
		while (w->at < w->end && !strchr(" \t()", *w->at))
			w->at++;
		len = w->at - from;
	}
	snprintf(w->word, sizeof(w->word), "%.*s", (int)len, from);
	return true;
}

static bool is(const struct words *w, const char *word)
{
	return !strcmp(w->word, word);
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
static uint32_t iptables_bits(struct words w)
{
	uint32_t bits = 0, value, mask, nfmask = ALL_BITS, ctmask = ALL_BITS;
	bool restores = false, saves = false, shifts = false;
	const struct option *o;
	char of[64] = "";

	while (next_word(&w)) {
		if (is(&w, "-m") || is(&w, "-j")) {
			if (next_word(&w))
				strcpy(of, w.word);
			continue;
		}
		/* It need not have quotes, whatever it is. */
		if (is(&w, "--comment")) {
			next_word(&w);
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
		if (!next_word(&w) || !is_masked(w.word, &value, &mask))
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
	struct words w;

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

static bool is_and(const struct words *w)
{
	return is(w, "&") || is(w, "and");
}

static bool is_or(const struct words *w)
{
	return is(w, "|") || is(w, "or") || is(w, "^") || is(w, "xor");
}

/* Behind a packet's mark, where it is read: *@w goes on behind what belongs to it. */
static uint32_t nft_read(struct words *w)
{
	struct words before = *w;
	unsigned int length;
	uint32_t value;

	if (!next_word(w))
		return ALL_BITS;
	if (is_and(w)) {
		if (next_word(w) && is_number(w->word, &value))
			return value;
		return ALL_BITS;
	}
	/* nft's way to write a mask of the highest bits */
	if ((!is(w, "==") && !is(w, "!=")) || next_word(w))
		if (sscanf(w->word, "0x%" SCNx32 "/%u", &value, &length) == 2 && length <= 32)
			return length ? ALL_BITS << (32 - length) : 0;
	*w = before;
	return ALL_BITS;
}

/* Behind "meta mark set": a mark is left as it was but for some bits, or it is a new one. */
static uint32_t nft_set(struct words *w)
{
	uint32_t bits = 0, value;
	struct words before;
	bool and;

	if (!next_word(w) || (is(w, "meta") && !next_word(w)) || !is(w, "mark"))
		return ALL_BITS;
	for (;;) {
		before = *w;
		if (!next_word(w))
			return bits;
		/* Shifted */
		if (is(w, "<<") || is(w, ">>"))
			return ALL_BITS;
		and = is_and(w);
		if (!and && !is_or(w)) {
			*w = before;
			return bits;
		}
		if (!next_word(w))
			return ALL_BITS;
		/* Something else, of which some bits are taken */
		while (!is_number(w->word, &value)) {
			if (and || !next_word(w))
				return ALL_BITS;
			if (!is_and(w))
				continue;
			if (!next_word(w) || !is_number(w->word, &value))
				return ALL_BITS;
			break;
		}
		bits |= and ? ~value : value;
	}
}

/* The bits of the mark that a rule of nftables uses; fib's, ct's and a socket's mark are others. */
static uint32_t nft_bits(struct words w)
{
	static const char *const opaque[] = { "MARK", "CONNMARK", "TPROXY", "mark" };
	char before[64] = "", before_that[64] = "";
	struct words ahead;
	uint32_t bits = 0;
	const char *name;
	size_t i;

	for (; next_word(&w); strcpy(before_that, before), strcpy(before, w.word)) {
		/* Of iptables, not translated */
		name = w.word + (*w.word == '"');
		if (!strcmp(before_that, "xt"))
			for (i = 0; i < ARRAY_SIZE(opaque); i++)
				if (!strcmp(name, opaque[i]))
					return ALL_BITS;
		if (!is(&w, "mark") ||
		    (strcmp(before, "meta") && strcmp(before, "set") && strcmp(before, "|") &&
		     strcmp(before, "or") && strcmp(before, "^") && strcmp(before, "xor")))
			continue;
		ahead = w;
		if (next_word(&ahead) && is(&ahead, "set")) {
			w = ahead;
			bits |= nft_set(&w);
		} else {
			bits |= nft_read(&w);
		}
	}
	return bits;
}

/* Is a table of nftables one that iptables-save has told of? */
static bool is_told(const struct check *c, const char *family, const char *table)
{
	const char *text = c->iptables_nft[!strcmp(family, "ip6")];
	char line[72];

	if ((strcmp(family, "ip") && strcmp(family, "ip6")) || !text)
		return false;
	snprintf(line, sizeof(line), "\n*%s\n", table);
	return strstr(text, line) || !strncmp(text, line + 1, strlen(line + 1));
}

/* What nft lists: tables, in them chains, in them rules, each by a tab further in */
static void look_at_nft(const struct check *c, struct users *u)
{
	char family[16] = "", table[64] = "", chain[64] = "", where[96], rule[200], head[128];
	const char *line, *next;
	bool skipped = true;
	struct words w;

	for (line = c->nft; *line; line = next) {
		w.end = line + strcspn(line, "\n");
		next = *w.end ? w.end + 1 : w.end;
		/* sscanf() would look for the end of all of it. */
		snprintf(head, sizeof(head), "%.*s", (int)(w.end - line), line);
		if (sscanf(head, "table %15s %63s {", family, table) == 2) {
			skipped = is_told(c, family, table) ||
				  (!strcmp(family, "ip") && !check_has_family(c, AF_INET)) ||
				  (!strcmp(family, "ip6") && !check_has_family(c, AF_INET6));
			*chain = '\0';
		} else if (*line == '\t' && line[1] != '\t') {
			*chain = '\0';
			sscanf(head, "\tchain %63s {", chain);
		} else if (*chain && !skipped) {
			w.at = line + strspn(line, "\t ");
			snprintf(where, sizeof(where), "nftables' table %s %s", family, table);
			snprintf(rule, sizeof(rule), "%s: %.*s", chain, (int)(w.end - w.at), w.at);
			add_user(u, where, nft_bits(w), rule, strlen(rule));
		}
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
	else
		check_gather_fwmarks(&c);
	look(&c);
	for (i = 0; i < c.n_findings; i++)
		fail("warning: %s; cure: %s", c.findings[i].text, c.findings[i].cure);
	check_free(&c);
}
