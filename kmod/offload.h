/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef _IMS_OFFLOAD_H
#define _IMS_OFFLOAD_H

#include <linux/ims_ipsec.h>
#include <linux/types.h>

#include "bundle.h"
#include "config.h"

struct ims_alg_pair;
struct ims_endpoint;
struct net;
struct netlink_ext_ack;

/* Reasons, from 1 */
#define IMS_OFFLOAD_REASONS	(IMS_IPSEC_OFFLOAD_REASON_LOST + 1)
/* What there is of an extended ack's text, and a NUL */
#define IMS_OFFLOAD_TEXT_MAX	80

/**
 * struct ims_offload - an endpoint's interface
 * @wish: what it is to do; the name follows the interface's, under struct
 *	ims_net.state_lock, and the rest is constant
 * @ifindex: the interface, 0: it has not been seen yet, or went away; under
 *	struct ims_net.state_lock, as all that follow
 * @refused: pairs of algorithms that its driver does not take, as bits
 * @n_bundles: how many bundles it serves
 * @fallbacks: how often it did not, by enum ims_ipsec_offload_reason
 * @text: what was said of the last time
 */
struct ims_offload {
	struct ims_offload_wish wish;
	int ifindex;
	u32 refused;
	u32 n_bundles;
	u64 fallbacks[IMS_OFFLOAD_REASONS];
	char text[IMS_OFFLOAD_TEXT_MAX];
};

/**
 * struct ims_offload_try - what came of trying an interface
 * @ifname: its name
 * @driver: what drives it; empty: it has no device
 * @reason: enum ims_ipsec_offload_reason, 0: it can
 * @text: what was said of it, may be empty
 */
struct ims_offload_try {
	char ifname[IFNAMSIZ];
	char driver[32];
	u8 reason;
	char text[IMS_OFFLOAD_TEXT_MAX];
};

int ims_offload_init(void);
void ims_offload_exit(void);

int ims_offload_check(struct ims_offload_wish *wish, bool is_explicit,
		      struct netlink_ext_ack *extack);
void ims_offload_endpoint(struct ims_endpoint *ep, const struct ims_offload_wish *wish);

int ims_offload_bundle(struct ims_bundle *b, struct netlink_ext_ack *extack);
void ims_offload_end(struct ims_bundle *b);
void ims_offload_give_up(struct ims_bundle *b);
void ims_offload_settle(struct ims_bundle *b);

void ims_offload_load(sa_family_t family);
int ims_offload_probe(struct net *net, const char *ifname, u8 mode,
		      const struct ims_alg_pair *pair, struct ims_offload_try *result);

#endif /* _IMS_OFFLOAD_H */
