/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef CHECK_RULES_H
#define CHECK_RULES_H

/* Of json-c, with a type that has the name of a function of ours */
#define json_bool json_c_bool
#include <json.h>
#undef json_bool
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "check.h"

/*
 * Rules of a packet filter, nftables' or iptables', as far as imsipsec check has to
 * understand them.
 */

/* Numbers, those from first to last of each range */
struct check_set {
	bool named;		/* a rule speaks of them; else all are meant */
	struct check_range {
		uint16_t first, last;
	} *ranges;
	size_t n;
};

enum check_verdict {
	CHECK_GOES_ON,		/* with the next rule */
	CHECK_ACCEPTS,
	CHECK_REFUSES,
	CHECK_LEADS,		/* to another chain */
	CHECK_OTHER,		/* returns, queues, or it cannot be told */
};

enum check_ipsec {
	CHECK_IPSEC_ANY,
	CHECK_IPSEC_EXISTS,	/* what came out of ESP, or goes into it */
	CHECK_IPSEC_MISSING,
	CHECK_IPSEC_UNKNOWN,	/* one of the two */
};

struct check_rule {
	bool ipv4, ipv6;	/* it may be for */
	struct check_set proto, dport, sport;
	enum check_ipsec ipsec;
	bool other;		/* it is not for all of those */
	bool named;		/* as it names what is not of ours: a state, the loopback device */
	bool opaque;		/* and nft does not tell what for */
	enum check_verdict verdict;
	const char *target;	/* of CHECK_LEADS: a chain of the table */
	size_t target_len;
	/* For people: of nftables, or of iptables */
	struct json_object *expr;
	const char *line;
	size_t len;
};

struct check_chain {
	const char *name;
	size_t name_len;
	bool base;		/* a hook leads here, where all pass */
	bool input;		/* at that hook; else output */
	bool early;		/* before, or behind, what is looked at */
	bool drops;		/* what no rule takes */
	struct check_rule *rules;
	size_t n;
	bool reached;
};

struct check_table {
	const char *family;	/* nft's name: ip, ip6, inet, netdev */
	const char *name;
	size_t name_len;
	bool iptables;
	struct check_chain *chains;
	size_t n;
	struct json_object *index;	/* of chains, by their names */
	struct json_object *sets;	/* nft's, by their names: what they have */
};

/* check_nft_json.c: what `nft -j -n -s list ruleset` writes */

struct json_object *check_nft_parse(const char *text);
size_t check_nft_length(struct json_object *array);
struct json_object *check_nft_at(struct json_object *array, size_t i);
struct json_object *check_nft_get(struct json_object *object, const char *key);
const char *check_nft_string(struct json_object *object, const char *key);
const char *check_nft_as_string(struct json_object *value);
bool check_nft_has(struct json_object *object, const char *key);
bool check_nft_is(struct json_object *object, const char *key, const char *value);
bool check_nft_number(struct json_object *value, uint32_t *number);
void check_nft_text(struct json_object *expr, char *text, size_t size);

/* check_rules.c */

void check_set_add(struct check_set *s, uint32_t first, uint32_t last);
void check_set_not(struct check_set *s, uint16_t max);
void check_set_and(struct check_set *s, struct check_set *with);
bool check_set_has(const struct check_set *s, uint16_t number);
int check_proto_number(const char *name, size_t len);
struct check_rule *check_rule_new(struct check_table *t, struct check_chain *chain);
void check_rule_text(const struct check_rule *r, char *text, size_t size);
struct check_chain *check_chain_new(struct check_table *t, const char *name, size_t len);
struct check_chain *check_chain_named(const struct check_table *t, const char *name, size_t len);
void check_table_free(struct check_table *t);

/* A rule, word by word; what stands in quotes is one, with the first quote before it */
struct check_words {
	const char *at, *end;
	char word[256];
};

bool check_next_word(struct check_words *w);
bool check_is_word(const struct check_words *w, const char *word);

/* check_nft.c: the tables of it */

typedef void (*check_table_fn)(struct check *c, struct check_table *t, void *data);

bool check_nft_has_table(const struct check *c, const char *family);
bool check_is_told(const struct check *c, const char *family, const char *table);
void check_nft_tables(struct check *c, check_table_fn fn, void *data);

/* check_iptables.c: what iptables-save writes */

void check_iptables_tables(struct check *c, const char *text, bool ipv6, check_table_fn fn, void *data);

#endif /* CHECK_RULES_H */
