// SPDX-License-Identifier: GPL-2.0-only
/*
 * imsipsec check: does the firewall let ESP and the protected ports in, and out.
 *
 * No packet is taken through the rules. Two things are looked for. A rule that by name
 * refuses ESP, the port of ESP in UDP, or a protected port. And, where a chain of a
 * hook that all pass drops what no rule takes, whether any rule it leads to speaks of
 * these; what came out of ESP is filtered by the protected ports once more. Where a
 * rule takes whatever comes a certain way, it cannot be told, and is said.
 */
#include <errno.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "check_rules.h"
#include "cli.h"

/* A chain that all pass, and those it leads to */
struct way {
	const struct check_table *table;
	const struct check_chain *base;
	struct check_chain **chains;	/* the base comes first */
	size_t n;
	bool drops;			/* what no rule takes */
	char name[192];			/* for people */
};

enum topic { TOPIC_ESP, TOPIC_NAT, TOPIC_PORT };

static bool is_of(const struct check_rule *r, int family)
{
	return family == AF_INET ? r->ipv4 : r->ipv6;
}

/* Is it for all that it names? */
static bool is_whole(const struct check_rule *r)
{
	return !r->other && (r->ipsec == CHECK_IPSEC_ANY || r->ipsec == CHECK_IPSEC_EXISTS);
}

/* Does the rule name it? */
static bool is_about(const struct check_rule *r, bool input, enum topic topic, uint16_t port)
{
	const struct check_set *ports = input ? &r->dport : &r->sport;
	const bool udp = check_set_has(&r->proto, IPPROTO_UDP);

	if (topic == TOPIC_ESP)
		return r->proto.named && check_set_has(&r->proto, IPPROTO_ESP) && !r->dport.named &&
		       !r->sport.named;
	if (!udp && (topic == TOPIC_NAT || !check_set_has(&r->proto, IPPROTO_TCP)))
		return false;
	if (ports->named)
		return check_set_has(ports, port);
	/* By its protocol, all ports of it */
	return r->proto.named && !r->dport.named && !r->sport.named && is_whole(r);
}

/* Does a rule that the chain leads to speak of it, and not to drop it? */
static bool speaks(const struct way *w, enum topic topic, uint16_t port, int family)
{
	const struct check_rule *r;
	size_t i, j;

	for (i = 0; i < w->n; i++) {
		for (j = 0; j < w->chains[i]->n; j++) {
			r = &w->chains[i]->rules[j];
			if (!is_of(r, family) || r->verdict == CHECK_GOES_ON || r->verdict == CHECK_REFUSES)
				continue;
			if (is_about(r, w->base->input, topic, port) ||
			    (topic == TOPIC_PORT && (r->ipsec == CHECK_IPSEC_EXISTS ||
						     r->ipsec == CHECK_IPSEC_UNKNOWN)))
				return true;
		}
	}
	return false;
}

/* A rule that takes what comes a certain way, whatever it is: it may be ESP, too */
static const struct check_rule *takes_unnamed(const struct way *w, int family)
{
	const struct check_rule *r;
	size_t i, j;

	for (i = 0; i < w->n; i++) {
		for (j = 0; j < w->chains[i]->n; j++) {
			r = &w->chains[i]->rules[j];
			if (!is_of(r, family) || (r->verdict != CHECK_ACCEPTS && !r->opaque) ||
			    r->verdict == CHECK_REFUSES)
				continue;
			if (r->opaque || (!r->named && !r->proto.named && !r->dport.named && !r->sport.named &&
					  r->ipsec == CHECK_IPSEC_ANY))
				return r;
		}
	}
	return NULL;
}

static void missing(struct check *c, const struct way *w, int family, const char *what,
		    const char *rule)
{
	const struct check_rule *r = takes_unnamed(w, family);
	char text[200];

	if (r) {
		check_rule_text(r, text, sizeof(text));
		check_found(c, CHECK_WARNING, "%s drops what no rule takes: cannot tell whether \"%s\" takes %s",
			    w->name, text, what);
		check_cure(c, "if not, a rule such as: %s", rule);
		return;
	}
	check_found(c, CHECK_WARNING, "%s drops what no rule takes, and none of that table speaks of %s",
		    w->name, what);
	check_cure(c, "a rule such as: %s", rule);
}

static void say_port(const struct imsipsec_endpoint *e, enum topic topic, uint16_t port, char *what,
		     size_t size)
{
	if (topic == TOPIC_NAT)
		snprintf(what, size, "UDP port %" PRIu16 ", for ESP", port);
	else
		snprintf(what, size, "port %" PRIu16 " of endpoint %" PRIu32, port, e->id);
}

/* The rule of a chain that refuses it by its name, with none ahead of it that accepts */
static const struct check_rule *refuses(const struct check_chain *chain, bool input, int family,
					enum topic topic, uint16_t port)
{
	const struct check_rule *r;
	size_t i;

	for (i = 0; i < chain->n; i++) {
		r = &chain->rules[i];
		if (!is_of(r, family))
			continue;
		if (r->verdict == CHECK_ACCEPTS && is_whole(r) &&
		    (is_about(r, input, topic, port) ||
		     (topic == TOPIC_PORT && r->ipsec == CHECK_IPSEC_EXISTS && !r->proto.named &&
		      !r->dport.named && !r->sport.named)))
			return NULL;
		if (r->verdict != CHECK_REFUSES || !is_about(r, input, topic, port))
			continue;
		/* What is not protected may well be refused. */
		if (topic == TOPIC_PORT && (r->ipsec == CHECK_IPSEC_MISSING || r->ipsec == CHECK_IPSEC_UNKNOWN))
			continue;
		return r;
	}
	return NULL;
}

/* Is there such a rule? */
static bool refused(struct check *c, const struct way *w, int family, enum topic topic,
		    uint16_t port, const char *what)
{
	const struct check_rule *r;
	char text[200];
	size_t i;

	for (i = 0; i < w->n; i++) {
		r = refuses(w->chains[i], w->base->input, family, topic, port);
		if (!r)
			continue;
		check_rule_text(r, text, sizeof(text));
		check_found(c, CHECK_WARNING, "%s has a rule that refuses %s: \"%s\"", w->name, what, text);
		check_cure(c, "%s", w->table->iptables ?
			   "take it away (-D instead of -A), or one ahead of it that accepts" :
			   "nft -a list ruleset has its handle for nft delete rule; or one ahead of it that accepts");
		return true;
	}
	return false;
}

static void judge_endpoint(struct check *c, const struct way *w, const struct imsipsec_endpoint *e)
{
	const char *side = w->base->input ? "dport" : "sport";
	const bool iptables = w->table->iptables;
	const int family = e->address.family;
	bool told = false;
	char what[64], rule[128];
	uint16_t port;
	size_t i;

	if (e->nat_traversal) {
		say_port(e, TOPIC_NAT, e->nat_port, what, sizeof(what));
		snprintf(rule, sizeof(rule), iptables ? "-p udp --%s %" PRIu16 " -j ACCEPT" :
			 "udp %s %" PRIu16 " accept", side, e->nat_port);
		if (!refused(c, w, family, TOPIC_NAT, e->nat_port, what) && w->drops &&
		    !speaks(w, TOPIC_NAT, e->nat_port, family))
			missing(c, w, family, what, rule);
	}
	if (iptables)
		snprintf(rule, sizeof(rule), "-m policy --dir %s --pol ipsec -j ACCEPT",
			 w->base->input ? "in" : "out");
	else
		snprintf(rule, sizeof(rule), "%s accept",
			 w->base->input ? "meta ipsec exists" : "rt ipsec exists");
	for (i = 0; i <= e->n_port_pc; i++) {
		port = i ? e->port_pc[i - 1] : e->port_ps;
		say_port(e, TOPIC_PORT, port, what, sizeof(what));
		/* One rule is the cure of all. */
		if (refused(c, w, family, TOPIC_PORT, port, what) || !w->drops || told ||
		    speaks(w, TOPIC_PORT, port, family))
			continue;
		missing(c, w, family, what, rule);
		told = true;
	}
}

static void judge(struct check *c, const struct way *w)
{
	static const int families[] = { AF_INET, AF_INET6 };
	size_t i, j;

	for (j = 0; j < ARRAY_SIZE(families); j++) {
		if (!check_has_family(c, families[j]) ||
		    !strcmp(w->table->family, families[j] == AF_INET ? "ip6" : "ip"))
			continue;
		if (!refused(c, w, families[j], TOPIC_ESP, 0, "ESP") && w->drops &&
		    !speaks(w, TOPIC_ESP, 0, families[j]))
			missing(c, w, families[j], families[j] == AF_INET ? "ESP" : "ESP over IPv6",
				w->table->iptables ? "-p esp -j ACCEPT" : "meta l4proto esp accept");
		for (i = 0; i < c->n_endpoints; i++)
			if (c->endpoints[i].address.family == families[j])
				judge_endpoint(c, w, &c->endpoints[i]);
	}
}

/* Whatever comes to it */
static bool is_for_all(const struct check_rule *r)
{
	return !r->other && r->ipsec == CHECK_IPSEC_ANY && !r->proto.named && !r->dport.named &&
	       !r->sport.named && r->ipv4 + r->ipv6;
}

/* Does it drop what no rule takes, itself or where it leads at its end? */
static bool drops_the_rest(const struct check_table *t, const struct check_chain *chain)
{
	const struct check_rule *last;
	bool policy = chain->drops;
	unsigned int depth;

	for (depth = 0; chain && depth < 16; depth++) {
		last = chain->n ? &chain->rules[chain->n - 1] : NULL;
		if (!last || !is_for_all(last))
			break;
		if (last->verdict == CHECK_REFUSES || last->verdict == CHECK_ACCEPTS)
			return last->verdict == CHECK_REFUSES;
		if (last->verdict != CHECK_LEADS)
			break;
		chain = check_chain_named(t, last->target, last->target_len);
	}
	return policy;
}

/* The chains that one leads to, each once */
static void follow(struct check_table *t, struct check_chain *base, struct way *w)
{
	const struct check_rule *r;
	struct check_chain *to;
	size_t i, j;

	for (i = 0; i < t->n; i++)
		t->chains[i].reached = false;
	w->chains = calloc(t->n, sizeof(struct check_chain *));
	if (!w->chains)
		die(EXIT_KERNEL, "%s", strerror(ENOMEM));
	w->chains[0] = base;
	w->n = 1;
	base->reached = true;
	for (i = 0; i < w->n; i++) {
		for (j = 0; j < w->chains[i]->n; j++) {
			r = &w->chains[i]->rules[j];
			to = r->verdict == CHECK_LEADS ?
			     check_chain_named(t, r->target, r->target_len) : NULL;
			if (!to || to->reached)
				continue;
			to->reached = true;
			w->chains[w->n++] = to;
		}
	}
}

/* @data: counts the chains that drop what no rule takes */
static void judge_table(struct check *c, struct check_table *t, void *data)
{
	unsigned int *dropping = data;
	struct check_chain *chain;
	struct way w;
	size_t i;

	for (i = 0; i < t->n; i++) {
		chain = &t->chains[i];
		if (!chain->base)
			continue;
		w = (struct way){ .table = t, .base = chain, .drops = drops_the_rest(t, chain) };
		if (!strcmp(t->family, "netdev")) {
			if (!w.drops)
				continue;
			++*dropping;
			check_found(c, CHECK_WARNING, "nftables' chain netdev %s %s drops what no rule takes: "
				    "cannot tell whether ESP is", t->name, chain->name);
			check_cure(c, "look at it by hand: nft list chain netdev %s %s", t->name, chain->name);
			continue;
		}
		if (chain->early)
			continue;
		if (t->iptables)
			snprintf(w.name, sizeof(w.name), "%s's chain %.*s %.*s",
				 strcmp(t->family, "ip6") ? "iptables" : "ip6tables", (int)t->name_len, t->name,
				 (int)chain->name_len, chain->name);
		else
			snprintf(w.name, sizeof(w.name), "nftables' chain %s %s %s", t->family, t->name,
				 chain->name);
		*dropping += w.drops;
		follow(t, chain, &w);
		judge(c, &w);
		free(w.chains);
	}
}

void check_firewall(struct check *c)
{
	static const char *const names[] = { "iptables", "ip6tables" };
	const size_t before = c->n_findings;
	unsigned int dropping = 0, i;
	bool nft_loaded, there;
	char looked[64] = "";

	if (c->nft) {
		strcat(looked, "nftables");
		check_nft_tables(c, judge_table, &dropping);
	} else {
		there = check_has_kernel_module(c, "nf_tables", &nft_loaded);
		if (there && nft_loaded) {
			check_found(c, CHECK_WARNING, "nf_tables is in the kernel, and nft %s: its rules "
				    "were not looked at", c->nft_error);
			check_cure(c, "install nftables, and check again");
		}
	}
	for (i = 0; i < ARRAY_SIZE(names); i++) {
		if (c->iptables[i] || c->iptables_nft[i])
			sprintf(looked + strlen(looked), "%s%s", *looked ? ", " : "", names[i]);
		if (c->iptables[i])
			check_iptables_tables(c, c->iptables[i], i, judge_table, &dropping);
		if (c->iptables_nft[i])
			check_iptables_tables(c, c->iptables_nft[i], i, judge_table, &dropping);
		if (!c->iptables[i] && c->iptables_error[i]) {
			check_found(c, CHECK_WARNING, "there are tables of %s, and %s-save %s: they were "
				    "not looked at", names[i], names[i], c->iptables_error[i]);
			check_cure(c, "install iptables, and check again");
		}
	}
	if (c->n_findings != before)
		return;
	if (!*looked)
		check_found(c, CHECK_OK, "there are no tables of nftables or iptables");
	else if (!dropping)
		check_found(c, CHECK_OK, "no input or output chain of %s drops what no rule takes, and no rule "
			    "refuses ESP or a port by name; rules were not judged further", looked);
	else
		check_found(c, CHECK_OK, "where input and output chains of %s drop what no rule takes, rules "
			    "speak of all that is needed; they were not judged", looked);
}
