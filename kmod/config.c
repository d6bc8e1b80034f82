// SPDX-License-Identifier: GPL-2.0-only
/* Configuration of a network namespace, and the defaults that it starts with. */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/bitops.h>
#include <linux/ims_ipsec.h>
#include <linux/kernel.h>
#include <linux/module.h>
#include <linux/netdevice.h>

#include "compat.h"
#include "config.h"
#include "registration.h"

static unsigned int min_spi = 65536;
module_param(min_spi, uint, 0444);
MODULE_PARM_DESC(min_spi, "First SPI of the P-CSCF's range, at least 256 (default 65536)");

/* What IKE daemons take begins above; XFRM finds SPIs that are far apart sooner: ims_spi_next() */
static unsigned int max_spi = 0xbfffffff;
module_param(max_spi, uint, 0444);
MODULE_PARM_DESC(max_spi, "Last SPI of the P-CSCF's range (default 3221225471)");

static unsigned int temporary_timeout = 30000;
module_param(temporary_timeout, uint, 0444);
MODULE_PARM_DESC(temporary_timeout,
		 "Milliseconds that SAs wait for the 200 OK, 100 to 3600000 (default 30000)");

static ushort port_pc[IMS_IPSEC_PORT_PC_MAX] = { 5062, 5064 };
static unsigned int n_port_pc = 2;
module_param_array(port_pc, ushort, &n_port_pc, 0444);
MODULE_PARM_DESC(port_pc,
		 "Protected client ports of an endpoint that names none, 1 to 64 (default 5062,5064)");

static ushort port_ps = 5063;
module_param(port_ps, ushort, 0444);
MODULE_PARM_DESC(port_ps, "Protected server port of an endpoint that names none (default 5063)");

static unsigned int max_endpoints = 16;
module_param(max_endpoints, uint, 0444);
MODULE_PARM_DESC(max_endpoints, "Most endpoints in a network namespace (default 16)");

static unsigned int max_bundles = 262144;
module_param(max_bundles, uint, 0444);
MODULE_PARM_DESC(max_bundles, "Most bundles in a network namespace (default 262144)");

static unsigned int max_pending = 16384;
module_param(max_pending, uint, 0444);
MODULE_PARM_DESC(max_pending, "Most temporary bundles in a network namespace (default 16384)");

static unsigned int max_sets = 3;
module_param(max_sets, uint, 0444);
MODULE_PARM_DESC(max_sets, "Most sets of SAs of a registration, 1 to 4 (default 3)");

static unsigned int old_timeout = 128000;
module_param(old_timeout, uint, 0444);
MODULE_PARM_DESC(old_timeout,
		 "Milliseconds that a superseded set still receives, 64*T1, 100 to 3600000 (default 128000)");

static unsigned int idle_timeout;
module_param(idle_timeout, uint, 0444);
MODULE_PARM_DESC(idle_timeout,
		 "Milliseconds without a packet after which a set goes, 0 for never (default 0)");

static unsigned int mark_mask = 0xffffff;
module_param(mark_mask, uint, 0444);
MODULE_PARM_DESC(mark_mask,
		 "Bits of a received packet's mark that tell its set, 0 for none (default 0xffffff)");

static char *allowed_algorithms = "";
module_param(allowed_algorithms, charp, 0444);
MODULE_PARM_DESC(allowed_algorithms,
		 "Pairs of algorithms in order of preference: alg=ealg, alg or ealg, commas between (default all)");

static char *preferred_alg = "";
module_param(preferred_alg, charp, 0444);
MODULE_PARM_DESC(preferred_alg, "Integrity algorithm to be preferred (default none)");

static char *preferred_ealg = "";
module_param(preferred_ealg, charp, 0444);
MODULE_PARM_DESC(preferred_ealg, "Encryption algorithm to be preferred (default none)");

static bool disable_deprecated_algorithms;
module_param(disable_deprecated_algorithms, bool, 0444);
MODULE_PARM_DESC(disable_deprecated_algorithms,
		 "Never use hmac-md5-96 nor des-ede3-cbc (default 0)");

static bool nat_traversal;
module_param(nat_traversal, bool, 0444);
MODULE_PARM_DESC(nat_traversal,
		 "Endpoints have NAT traversal, mod=UDP-enc-tun, if they do not say (default 0)");

static ushort nat_port = 4500;
module_param(nat_port, ushort, 0444);
MODULE_PARM_DESC(nat_port, "UDP port for ESP of an endpoint that names none (default 4500)");

static bool nat_follow_address;
module_param(nat_follow_address, bool, 0444);
MODULE_PARM_DESC(nat_follow_address,
		 "Follow a NAT that changes its address, not only its port (default 0)");

static char *hw_offload_interface = "";
module_param(hw_offload_interface, charp, 0444);
MODULE_PARM_DESC(hw_offload_interface,
		 "Interface that does ESP's work for endpoints that name none (default none)");

static char *hw_offload = "crypto";
module_param(hw_offload, charp, 0444);
MODULE_PARM_DESC(hw_offload,
		 "What it does: off, software, crypto or packet (default crypto)");

static bool hw_offload_required;
module_param(hw_offload_required, bool, 0444);
MODULE_PARM_DESC(hw_offload_required,
		 "Refuse SAs that it cannot do that for (default 0)");

#define IMS_MAX_ENDPOINTS	1024
#define IMS_MAX_BUNDLES		4194304U

/**
 * ims_port_is_protectable() - may ipsec-3gpp protect this port
 * @port: the port
 *
 * Return: false for 0 and for the ports of unprotected SIP, 5060 and 5061
 * (TS 33.203 clause 7.1).
 */
bool ims_port_is_protectable(__be16 port)
{
	return port && port != htons(5060) && port != htons(5061);
}

static bool ims_config_in_range(u64 val, u64 min, u64 max, const char *name,
				struct netlink_ext_ack *extack)
{
	if (val >= min && val <= max)
		return true;
	NL_SET_ERR_MSG_FMT(extack, "%s is %llu, out of %llu to %llu", name, val, min, max);
	return false;
}

/**
 * ims_config_max_registrations() - how many registrations marks can tell apart
 * @config: the configuration
 *
 * Return: the largest index that has room in a mark, beside the slot.
 */
u32 ims_config_max_registrations(const struct ims_config *config)
{
	const u32 mask = config->mark_mask;
	u32 most = IMS_REGISTRATION_INDEX_MAX;

	if (mask)
		most = min(most, (mask >> __ffs(mask)) / IMS_IPSEC_SETS_MAX);
	return most;
}

static bool ims_config_mask_is_good(u32 mask)
{
	/* without holes, and with room for one registration at least */
	mask = mask ? mask >> __ffs(mask) : U32_MAX;
	return !(mask & (mask + 1)) && mask / IMS_IPSEC_SETS_MAX;
}

static int ims_config_check_ports(const struct ims_config *config,
				  struct netlink_ext_ack *extack)
{
	const __be16 *port = config->port_pc;
	unsigned int i, j;

	for (i = 0; i < config->n_port_pc; i++) {
		if (!ims_port_is_protectable(port[i]) ||
		    !ims_port_is_protectable(config->port_ps)) {
			NL_SET_ERR_MSG(extack, "port_pc and port_ps cannot be 0, 5060 or 5061");
			return -EINVAL;
		}
		if (port[i] == config->port_ps) {
			NL_SET_ERR_MSG(extack, "port_pc and port_ps are the same");
			return -EINVAL;
		}
		for (j = 0; j < i; j++) {
			if (port[j] != port[i])
				continue;
			NL_SET_ERR_MSG_FMT(extack, "port_pc has %u twice", ntohs(port[i]));
			return -EINVAL;
		}
	}
	return 0;
}

/**
 * ims_config_check() - are all values in range and in agreement
 * @config: what to look at
 * @extack: gets the reason, may be NULL
 *
 * Return: 0 or -EINVAL.
 */
int ims_config_check(const struct ims_config *config, struct netlink_ext_ack *extack)
{
	struct ims_alg_list order;
	u32 spis;
	int err;

	if (!ims_config_in_range(config->spi.min, IMS_IPSEC_SPI_MIN, U32_MAX - 1,
				 "min_spi", extack) ||
	    !ims_config_in_range(config->temporary_timeout, IMS_IPSEC_TIMEOUT_MIN,
				 IMS_IPSEC_TIMEOUT_MAX, "temporary_timeout", extack) ||
	    !ims_config_in_range(config->max_endpoints, 1, IMS_MAX_ENDPOINTS,
				 "max_endpoints", extack) ||
	    !ims_config_in_range(config->max_bundles, 1, IMS_MAX_BUNDLES,
				 "max_bundles", extack) ||
	    !ims_config_in_range(config->max_pending, 1, IMS_MAX_BUNDLES,
				 "max_pending", extack) ||
	    !ims_config_in_range(config->max_sets, 1, IMS_IPSEC_SETS_MAX, "max_sets", extack) ||
	    !ims_config_in_range(config->old_timeout, IMS_IPSEC_TIMEOUT_MIN,
				 IMS_IPSEC_TIMEOUT_MAX, "old_timeout", extack) ||
	    (config->idle_timeout &&
	     !ims_config_in_range(config->idle_timeout, IMS_IPSEC_TIMEOUT_MIN,
				  IMS_IPSEC_LIFETIME_MAX, "idle_timeout", extack)))
		return -EINVAL;

	if (config->spi.max <= config->spi.min) {
		NL_SET_ERR_MSG_FMT(extack, "max_spi %u is not above min_spi %u",
				   config->spi.max, config->spi.min);
		return -EINVAL;
	}
	spis = config->spi.max - config->spi.min + 1;
	if (spis / IMS_SPIS_A_BUNDLE < config->max_bundles) {
		NL_SET_ERR_MSG_FMT(extack, "%u SPIs, two a bundle, are too few for max_bundles %u",
				   spis, config->max_bundles);
		return -EINVAL;
	}
	err = ims_config_check_ports(config, extack);
	if (err)
		return err;
	if (!ims_config_mask_is_good(config->mark_mask)) {
		NL_SET_ERR_MSG_FMT(extack, "mark_mask %#x has holes, or less than three bits",
				   config->mark_mask);
		return -EINVAL;
	}
	if (!config->nat_port) {
		NL_SET_ERR_MSG(extack, "nat_port is 0");
		return -EINVAL;
	}
	ims_alg_list_order(&config->algs, NULL, &order);
	if (!order.n) {
		NL_SET_ERR_MSG(extack, "all of allowed_algorithms are deprecated, and disabled");
		return -EINVAL;
	}
	return 0;
}

static int ims_config_default_algs(struct ims_alg_prefs *algs, struct netlink_ext_ack *extack)
{
	int err;

	err = ims_alg_list_parse(&algs->allowed, allowed_algorithms, strlen(allowed_algorithms),
				 extack);
	if (err)
		return err;
	algs->preferred_alg = ims_alg_auth_find(preferred_alg, strlen(preferred_alg));
	algs->preferred_ealg = ims_alg_enc_find(preferred_ealg, strlen(preferred_ealg));
	if ((*preferred_alg && !algs->preferred_alg) ||
	    (*preferred_ealg && !algs->preferred_ealg)) {
		NL_SET_ERR_MSG(extack, "preferred_alg or preferred_ealg is no algorithm");
		return -EINVAL;
	}
	algs->disable_deprecated = disable_deprecated_algorithms;
	return 0;
}

static int ims_config_default_offload(struct ims_offload_wish *wish,
				      struct netlink_ext_ack *extack)
{
	static const char *const modes[] = {
		[IMS_IPSEC_OFFLOAD_OFF] = "off",
		[IMS_IPSEC_OFFLOAD_SOFTWARE] = "software",
		[IMS_IPSEC_OFFLOAD_CRYPTO] = "crypto",
		[IMS_IPSEC_OFFLOAD_PACKET] = "packet",
	};
	int mode;

	mode = match_string(modes + 1, ARRAY_SIZE(modes) - 1, hw_offload);
	if (mode < 0 || (*hw_offload_interface && !dev_valid_name(hw_offload_interface))) {
		NL_SET_ERR_MSG(extack, "hw_offload or hw_offload_interface is wrong");
		return -EINVAL;
	}
	wish->mode = mode + 1;
	wish->required = hw_offload_required;
	strscpy(wish->ifname, hw_offload_interface, sizeof(wish->ifname));
	return 0;
}

/**
 * ims_config_raises_limits() - does a configuration let more be there than the module's
 *	parameters do
 * @config: the configuration
 * @was: the one before
 *
 * Return: true if a limit is raised to more than that.
 */
bool ims_config_raises_limits(const struct ims_config *config, const struct ims_config *was)
{
	return config->max_endpoints > max(was->max_endpoints, max_endpoints) ||
	       config->max_bundles > max(was->max_bundles, max_bundles) ||
	       config->max_pending > max(was->max_pending, max_pending);
}

/**
 * ims_config_defaults() - what a new network namespace starts with
 * @config: gets the values of the module's parameters
 *
 * Return: 0, or -EINVAL if the parameters are wrong, having said so in the
 * kernel log.
 */
int ims_config_defaults(struct ims_config *config)
{
	struct netlink_ext_ack extack = {};
	char text[IMS_COMPAT_TEXT_MAX];
	unsigned int i;
	int err;

	ims_compat_lend_text(&extack, text, sizeof(text));
	*config = (struct ims_config) {
		.spi.min = min_spi,
		.spi.max = max_spi,
		.temporary_timeout = temporary_timeout,
		.n_port_pc = n_port_pc,
		.port_ps = htons(port_ps),
		.max_endpoints = max_endpoints,
		.max_bundles = max_bundles,
		.max_pending = max_pending,
		.max_sets = max_sets,
		.old_timeout = old_timeout,
		.idle_timeout = idle_timeout,
		.mark_mask = mark_mask,
		.nat = nat_traversal,
		.nat_follow_address = nat_follow_address,
		.nat_port = htons(nat_port),
	};
	for (i = 0; i < n_port_pc; i++)
		config->port_pc[i] = htons(port_pc[i]);
	err = ims_config_default_algs(&config->algs, &extack);
	if (!err)
		err = ims_config_default_offload(&config->hw, &extack);
	if (!err)
		err = ims_config_check(config, &extack);
	if (err)
		pr_err("module parameters: %s\n", extack._msg);
	return err;
}
