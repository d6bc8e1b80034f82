/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef CHECK_H
#define CHECK_H

#include <net/if.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <imsipsec.h>
#include <internal.h>

/* Of the text that a finding has, and its cure */
#define CHECK_TEXT	512

enum check_level {
	CHECK_OK,
	CHECK_WARNING,		/* it may be meant so, or concerns a part of the UEs */
	CHECK_FAULT,		/* it cannot work */
};

struct check_finding {
	enum check_level level;
	const char *check;	/* the name of what found it */
	char text[CHECK_TEXT];
	char cure[CHECK_TEXT];	/* "": none is needed */
};

struct check_address {
	struct imsipsec_addr address;
	char interface[IF_NAMESIZE];
	bool no_gro;			/* its packets are not taken together */
};

/* What is let in unless a policy says so: `ip xfrm policy getdefault` */
enum check_default {
	CHECK_DEFAULT_UNKNOWN,
	CHECK_DEFAULT_BLOCK,
	CHECK_DEFAULT_ACCEPT,
};

/* One of XFRM's, that no interface of its own is for */
struct check_policy {
	int dir;			/* XFRM_POLICY_IN or XFRM_POLICY_OUT */
	int family;
	uint32_t index;
	uint32_t priority;		/* the lowest comes first */
	bool sub;			/* of those that are asked first, whatever the priority */
	bool blocks;
	bool marked;			/* only for some marks */
	bool esp_transport;		/* in ESP's transport mode, over any SA, or not at all */
	bool templates;
	bool one_ue;			/* ESP's transport mode between two addresses and ports */
	struct imsipsec_addr local, remote;
	uint8_t local_prefix, remote_prefix;
	uint16_t port, port_mask;	/* local */
	bool remote_port;		/* just one */
	uint8_t proto;
};

/* One of the namespace that is bound and waits for any peer */
struct check_socket {
	uint8_t proto;
	struct imsipsec_addr address;	/* all zero: any */
	uint16_t port;
	bool v6only;
	char interface[IF_NAMESIZE];	/* "": any */
};

/* A rule of policy routing that goes by the mark */
struct check_fwmark {
	int family;
	uint32_t priority;
	uint32_t mark, mask;
};

struct json_object;			/* of json-c */

/**
 * struct check - what the checks look at, and what they found
 * @root: goes before the names of the files that they read: "", or a test's folder
 * @ues: how many UEs are expected
 * @processes: how many processes keep a cache of all bundles, imsipsec_cache_open()
 * @open_error: what imsipsec_open() returned
 * @module: it is open, @config, @endpoints and @algorithms are the kernel's
 * @config: without @config.allowed_algorithms
 * @endpoints: all of them
 * @n_endpoints: how many
 * @trusted_ues: how many UEs say that they have an address which their endpoint trusts
 * @algorithms: every pair
 * @n_algorithms: how many
 * @addresses: of all interfaces that are up
 * @n_addresses: how many
 * @default_in: of XFRM
 * @default_out: of XFRM
 * @policies: of XFRM
 * @n_policies: how many
 * @policies_error: it would not tell
 * @nft: the objects that `nft -j -n -s list ruleset` wrote, an array; NULL: nothing, see
 *	@nft_error
 * @nft_error: why
 * @iptables: what iptables-save wrote, of IPv4 and IPv6; NULL: it was not asked, there
 *	are no tables of that kind, or @iptables_error
 * @iptables_error: why it could not be asked; NULL: it need not
 * @iptables_nft: the same, of those tables of nftables that are iptables'; NULL: none are,
 *	or @nft has to do
 * @fwmarks: rules of policy routing
 * @n_fwmarks: how many
 * @fwmarks_error: the kernel would not tell
 * @sockets: UDP's and TCP's
 * @n_sockets: how many
 * @sockets_error: the kernel would not tell
 * @now: the name of the check that runs
 * @findings: all that was found
 * @n_findings: how many
 */
struct check {
	const char *root;
	uint32_t ues;
	uint32_t processes;
	int open_error;
	bool module;
	struct imsipsec_config config;
	struct imsipsec_endpoint *endpoints;
	size_t n_endpoints;
	size_t trusted_ues;
	struct imsipsec_pair_info *algorithms;
	size_t n_algorithms;
	struct check_address *addresses;
	size_t n_addresses;
	enum check_default default_in;
	enum check_default default_out;
	struct check_policy *policies;
	size_t n_policies;
	bool policies_error;
	struct json_object *nft;
	const char *nft_error;
	char *iptables[2];
	const char *iptables_error[2];
	char *iptables_nft[2];
	struct check_fwmark *fwmarks;
	size_t n_fwmarks;
	bool fwmarks_error;
	struct check_socket *sockets;
	size_t n_sockets;
	bool sockets_error;
	const char *now;
	struct check_finding *findings;
	size_t n_findings;
};

/* check.c */

void check_run(struct check *c);

/* check_found.c */

void check_free(struct check *c);
void __attribute__((format(printf, 3, 4)))
check_found(struct check *c, enum check_level level, const char *fmt, ...);
void __attribute__((format(printf, 2, 3))) check_cure(struct check *c, const char *fmt, ...);
void *check_grow(void *array, size_t *n, size_t size);

/* check_file.c: files below the root */

char *check_read(const struct check *c, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));
bool check_read_number(const struct check *c, const char *path, uint64_t *value);
bool check_exists(const struct check *c, const char *path);
bool check_has_kernel_module(const struct check *c, const char *name, bool *loaded);
bool check_list_has(const char *list, char range, uint32_t number);
void check_module_cure(const struct check *c, char *buf, size_t size);

/* check_policy.c: XFRM's policies */

void check_gather_policies(struct check *c);

/* check_mark.c: rules that go by marks, or set them */

void check_gather_fwmarks(struct check *c);
void check_warn_marks(const struct imsipsec_config *config, const struct imsipsec_endpoint *e);

/* check_socket.c: who listens */

void check_gather_sockets(struct check *c);

/* check_gather.c: what is not a file */

void check_gather_host(struct check *c);
void check_gather_rules(struct check *c);
int check_dump(int bus, struct nlmsghdr *nlh, uint16_t type, imsipsec_reply_fn each, void *data);

/* check_endpoint.c: what an endpoint has */

bool check_has_port(const struct imsipsec_endpoint *e, uint16_t port);
bool check_get_trusted(const char *text, struct imsipsec_addr *address, unsigned int *length);
bool check_has_family(const struct check *c, int family);

/* What looks, one a row of check.c's table */

void check_module(struct check *c);
void check_capability(struct check *c);
void check_endpoints(struct check *c);
void check_address(struct check *c);
void check_trusted(struct check *c);
void check_nat_port(struct check *c);
void check_tcp_marks(struct check *c);
void check_backlog(struct check *c);
void check_local_ports(struct check *c);
void check_disable_xfrm(struct check *c);
void check_default_policy(struct check *c);
void check_policies(struct check *c);
void check_firewall(struct check *c);
void check_mark_rules(struct check *c);
void check_sockets(struct check *c);
void check_algorithms(struct check *c);
void check_esp(struct check *c);
void check_dropped(struct check *c);
void check_offload(struct check *c);
void check_gro(struct check *c);
void check_spis(struct check *c);
void check_bundles(struct check *c);
void check_marks(struct check *c);
void check_memory(struct check *c);

#endif /* CHECK_H */
