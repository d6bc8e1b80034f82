/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef _IMS_CONFIG_H
#define _IMS_CONFIG_H

#include <linux/if.h>
#include <linux/ims_ipsec.h>
#include <linux/types.h>

#include "alg_list.h"
#include "spi.h"

struct netlink_ext_ack;

/**
 * struct ims_offload_wish - which interface is to do what
 * @mode: enum ims_ipsec_offload
 * @required: what it cannot do is refused
 * @ifname: its name; empty: there is none
 */
struct ims_offload_wish {
	u8 mode;
	bool required;
	char ifname[IFNAMSIZ];
};

/**
 * struct ims_config - what a network namespace is set to
 * @spi: range of the inbound SPIs
 * @temporary_timeout: milliseconds that a bundle waits to be confirmed
 * @port_pc: protected client ports of an endpoint that names none
 * @n_port_pc: how many, 1 to IMS_IPSEC_PORT_PC_MAX
 * @port_ps: protected server port of an endpoint that names none
 * @max_endpoints: most endpoints
 * @max_bundles: most bundles
 * @max_pending: most temporary bundles
 * @max_sets: most bundles of a registration
 * @old_timeout: milliseconds that a superseded bundle still receives
 * @idle_timeout: milliseconds without a packet after which a bundle goes, 0: never
 * @mark_mask: bits of a packet's mark that tell its registration and bundle; 0: none
 * @nat: an endpoint that does not say has NAT traversal
 * @nat_follow_address: another address of a NAT is followed, not only another port
 * @nat_port: UDP port for ESP of an endpoint that names none
 * @hw: interface of an endpoint that names none
 * @algs: algorithms that a bundle may have, and the order of preference
 */
struct ims_config {
	struct ims_spi_range spi;
	u64 temporary_timeout;
	__be16 port_pc[IMS_IPSEC_PORT_PC_MAX];
	unsigned int n_port_pc;
	__be16 port_ps;
	u32 max_endpoints;
	u32 max_bundles;
	u32 max_pending;
	u32 max_sets;
	u64 old_timeout;
	u64 idle_timeout;
	u32 mark_mask;
	bool nat;
	bool nat_follow_address;
	__be16 nat_port;
	struct ims_offload_wish hw;
	struct ims_alg_prefs algs;
};

int ims_config_defaults(struct ims_config *config);
int ims_config_check(const struct ims_config *config, struct netlink_ext_ack *extack);
bool ims_config_raises_limits(const struct ims_config *config, const struct ims_config *was);
u32 ims_config_max_registrations(const struct ims_config *config);
bool ims_port_is_protectable(__be16 port);

#endif /* _IMS_CONFIG_H */
