// SPDX-License-Identifier: ((GPL-2.0 WITH Linux-syscall-note) OR BSD-3-Clause)
/* Do not edit directly, auto-generated from: */
/*	Documentation/netlink/specs/ims_ipsec.yaml */
/* YNL-GEN kernel source */

#include <net/netlink.h>
#include <net/genetlink.h>

#include "netlink_gen.h"

#include <uapi/linux/ims_ipsec.h>

/* Integer value ranges */
static const struct netlink_range_validation ims_ipsec_a_config_temporary_timeout_range = {
	.min	= IMS_IPSEC_TIMEOUT_MIN,
	.max	= IMS_IPSEC_TIMEOUT_MAX,
};

static const struct netlink_range_validation ims_ipsec_a_config_max_bundles_range = {
	.min	= 1ULL,
	.max	= 4194304ULL,
};

static const struct netlink_range_validation ims_ipsec_a_config_max_pending_range = {
	.min	= 1ULL,
	.max	= 4194304ULL,
};

static const struct netlink_range_validation ims_ipsec_a_config_old_timeout_range = {
	.min	= IMS_IPSEC_TIMEOUT_MIN,
	.max	= IMS_IPSEC_TIMEOUT_MAX,
};

static const struct netlink_range_validation ims_ipsec_a_config_idle_timeout_range = {
	.max	= IMS_IPSEC_LIFETIME_MAX,
};

static const struct netlink_range_validation ims_ipsec_a_bundle_lifetime_range = {
	.min	= 1ULL,
	.max	= IMS_IPSEC_LIFETIME_MAX,
};

static const struct netlink_range_validation ims_ipsec_a_bundle_linger_range = {
	.max	= IMS_IPSEC_TIMEOUT_MAX,
};

/* IMS_IPSEC_CMD_CONFIG_SET - do */
static const struct nla_policy ims_ipsec_config_set_nl_policy[IMS_IPSEC_A_CONFIG_HW_OFFLOAD_REQUIRED + 1] = {
	[IMS_IPSEC_A_CONFIG_MIN_SPI] = { .type = NLA_U32, },
	[IMS_IPSEC_A_CONFIG_MAX_SPI] = { .type = NLA_U32, },
	[IMS_IPSEC_A_CONFIG_TEMPORARY_TIMEOUT] = NLA_POLICY_FULL_RANGE(NLA_U64, &ims_ipsec_a_config_temporary_timeout_range),
	[IMS_IPSEC_A_CONFIG_PORT_PC] = NLA_POLICY_MIN(NLA_U16, 1),
	[IMS_IPSEC_A_CONFIG_PORT_PS] = NLA_POLICY_MIN(NLA_U16, 1),
	[IMS_IPSEC_A_CONFIG_MAX_ENDPOINTS] = NLA_POLICY_RANGE(NLA_U32, 1, 1024),
	[IMS_IPSEC_A_CONFIG_MAX_BUNDLES] = NLA_POLICY_FULL_RANGE(NLA_U32, &ims_ipsec_a_config_max_bundles_range),
	[IMS_IPSEC_A_CONFIG_MAX_PENDING] = NLA_POLICY_FULL_RANGE(NLA_U32, &ims_ipsec_a_config_max_pending_range),
	[IMS_IPSEC_A_CONFIG_ALLOWED_ALGORITHMS] = { .type = NLA_STRING, .len = IMS_IPSEC_ALGORITHMS_MAX, },
	[IMS_IPSEC_A_CONFIG_PREFERRED_ALG] = NLA_POLICY_MAX(NLA_U32, 4),
	[IMS_IPSEC_A_CONFIG_PREFERRED_EALG] = NLA_POLICY_MAX(NLA_U32, 4),
	[IMS_IPSEC_A_CONFIG_DISABLE_DEPRECATED_ALGORITHMS] = NLA_POLICY_MAX(NLA_U8, 1),
	[IMS_IPSEC_A_CONFIG_MAX_SETS] = NLA_POLICY_RANGE(NLA_U32, 1, IMS_IPSEC_SETS_MAX),
	[IMS_IPSEC_A_CONFIG_OLD_TIMEOUT] = NLA_POLICY_FULL_RANGE(NLA_U64, &ims_ipsec_a_config_old_timeout_range),
	[IMS_IPSEC_A_CONFIG_IDLE_TIMEOUT] = NLA_POLICY_FULL_RANGE(NLA_U64, &ims_ipsec_a_config_idle_timeout_range),
	[IMS_IPSEC_A_CONFIG_MARK_MASK] = { .type = NLA_U32, },
	[IMS_IPSEC_A_CONFIG_NAT_TRAVERSAL] = NLA_POLICY_MAX(NLA_U8, 1),
	[IMS_IPSEC_A_CONFIG_NAT_PORT] = NLA_POLICY_MIN(NLA_U16, 1),
	[IMS_IPSEC_A_CONFIG_NAT_FOLLOW_ADDRESS] = NLA_POLICY_MAX(NLA_U8, 1),
	[IMS_IPSEC_A_CONFIG_HW_OFFLOAD_INTERFACE] = { .type = NLA_STRING, .len = IMS_IPSEC_INTERFACE_MAX, },
	[IMS_IPSEC_A_CONFIG_HW_OFFLOAD] = NLA_POLICY_RANGE(NLA_U32, 1, 4),
	[IMS_IPSEC_A_CONFIG_HW_OFFLOAD_REQUIRED] = NLA_POLICY_MAX(NLA_U8, 1),
};

/* IMS_IPSEC_CMD_ENDPOINT_NEW - do */
static const struct nla_policy ims_ipsec_endpoint_new_nl_policy[IMS_IPSEC_A_ENDPOINT_TRUSTED + 1] = {
	[IMS_IPSEC_A_ENDPOINT_ADDRESS] = { .type = NLA_BINARY, },
	[IMS_IPSEC_A_ENDPOINT_PORT_PS] = NLA_POLICY_MIN(NLA_U16, 1),
	[IMS_IPSEC_A_ENDPOINT_PORT_PC] = NLA_POLICY_MIN(NLA_U16, 1),
	[IMS_IPSEC_A_ENDPOINT_GUARD] = NLA_POLICY_RANGE(NLA_U32, 1, 3),
	[IMS_IPSEC_A_ENDPOINT_NAT_TRAVERSAL] = NLA_POLICY_MAX(NLA_U8, 1),
	[IMS_IPSEC_A_ENDPOINT_NAT_PORT] = NLA_POLICY_MIN(NLA_U16, 1),
	[IMS_IPSEC_A_ENDPOINT_NAT_SHARED] = NLA_POLICY_MAX(NLA_U8, 1),
	[IMS_IPSEC_A_ENDPOINT_HW_OFFLOAD_INTERFACE] = { .type = NLA_STRING, .len = IMS_IPSEC_INTERFACE_MAX, },
	[IMS_IPSEC_A_ENDPOINT_HW_OFFLOAD] = NLA_POLICY_RANGE(NLA_U32, 1, 4),
	[IMS_IPSEC_A_ENDPOINT_HW_OFFLOAD_REQUIRED] = NLA_POLICY_MAX(NLA_U8, 1),
	[IMS_IPSEC_A_ENDPOINT_TRUSTED] = { .type = NLA_STRING, .len = IMS_IPSEC_TRUSTED_TEXT_MAX, },
};

/* IMS_IPSEC_CMD_ENDPOINT_DEL - do */
static const struct nla_policy ims_ipsec_endpoint_del_nl_policy[IMS_IPSEC_A_ENDPOINT_FORCE + 1] = {
	[IMS_IPSEC_A_ENDPOINT_ID] = NLA_POLICY_MIN(NLA_U32, 1),
	[IMS_IPSEC_A_ENDPOINT_FORCE] = { .type = NLA_FLAG, },
};

/* IMS_IPSEC_CMD_ENDPOINT_GET - do */
static const struct nla_policy ims_ipsec_endpoint_get_nl_policy[IMS_IPSEC_A_ENDPOINT_ID + 1] = {
	[IMS_IPSEC_A_ENDPOINT_ID] = NLA_POLICY_MIN(NLA_U32, 1),
};

/* IMS_IPSEC_CMD_BUNDLE_NEW - do */
static const struct nla_policy ims_ipsec_bundle_new_nl_policy[IMS_IPSEC_A_BUNDLE_BEGAN_CLEAR + 1] = {
	[IMS_IPSEC_A_BUNDLE_ENDPOINT] = NLA_POLICY_MIN(NLA_U32, 1),
	[IMS_IPSEC_A_BUNDLE_OWNER] = { .type = NLA_BINARY, },
	[IMS_IPSEC_A_BUNDLE_CONTACT] = { .type = NLA_BINARY, },
	[IMS_IPSEC_A_BUNDLE_UE_ADDRESS] = { .type = NLA_BINARY, },
	[IMS_IPSEC_A_BUNDLE_PORT_UC] = NLA_POLICY_MIN(NLA_U16, 1),
	[IMS_IPSEC_A_BUNDLE_PORT_US] = NLA_POLICY_MIN(NLA_U16, 1),
	[IMS_IPSEC_A_BUNDLE_SPI_UC] = { .type = NLA_U32, },
	[IMS_IPSEC_A_BUNDLE_SPI_US] = { .type = NLA_U32, },
	[IMS_IPSEC_A_BUNDLE_PORT_PC] = NLA_POLICY_MIN(NLA_U16, 1),
	[IMS_IPSEC_A_BUNDLE_MODE] = NLA_POLICY_RANGE(NLA_U32, 1, 2),
	[IMS_IPSEC_A_BUNDLE_AUTH_ALG] = NLA_POLICY_RANGE(NLA_U32, 1, 4),
	[IMS_IPSEC_A_BUNDLE_ENC_ALG] = NLA_POLICY_RANGE(NLA_U32, 1, 4),
	[IMS_IPSEC_A_BUNDLE_ALLOWED_ALGORITHMS] = { .type = NLA_STRING, .len = IMS_IPSEC_ALGORITHMS_MAX, },
	[IMS_IPSEC_A_BUNDLE_REPLACE] = { .type = NLA_FLAG, },
	[IMS_IPSEC_A_BUNDLE_UE_NAT_ADDRESS] = { .type = NLA_BINARY, },
	[IMS_IPSEC_A_BUNDLE_UE_NAT_PORT] = NLA_POLICY_MIN(NLA_U16, 1),
	[IMS_IPSEC_A_BUNDLE_UNMARKED] = { .type = NLA_FLAG, },
	[IMS_IPSEC_A_BUNDLE_COOKIE] = { .type = NLA_U64, },
	[IMS_IPSEC_A_BUNDLE_IK] = NLA_POLICY_EXACT_LEN(IMS_IPSEC_KEY_LEN),
	[IMS_IPSEC_A_BUNDLE_CK] = NLA_POLICY_EXACT_LEN(IMS_IPSEC_KEY_LEN),
	[IMS_IPSEC_A_BUNDLE_BEGAN_CLEAR] = { .type = NLA_FLAG, },
	[IMS_IPSEC_A_BUNDLE_OVER] = NLA_POLICY_MIN(NLA_U32, 1),
};

/* IMS_IPSEC_CMD_BUNDLE_CONFIRM - do */
static const struct nla_policy ims_ipsec_bundle_confirm_nl_policy[IMS_IPSEC_A_BUNDLE_OVER + 1] = {
	[IMS_IPSEC_A_BUNDLE_ID] = NLA_POLICY_MIN(NLA_U32, 1),
	[IMS_IPSEC_A_BUNDLE_LIFETIME] = NLA_POLICY_FULL_RANGE(NLA_U64, &ims_ipsec_a_bundle_lifetime_range),
	[IMS_IPSEC_A_BUNDLE_OLDER] = NLA_POLICY_RANGE(NLA_U32, 1, 2),
	[IMS_IPSEC_A_BUNDLE_OVER] = NLA_POLICY_MIN(NLA_U32, 1),
};

/* IMS_IPSEC_CMD_BUNDLE_DEL - do */
static const struct nla_policy ims_ipsec_bundle_del_nl_policy[IMS_IPSEC_A_BUNDLE_LINGER + 1] = {
	[IMS_IPSEC_A_BUNDLE_ID] = NLA_POLICY_MIN(NLA_U32, 1),
	[IMS_IPSEC_A_BUNDLE_LINGER] = NLA_POLICY_FULL_RANGE(NLA_U64, &ims_ipsec_a_bundle_linger_range),
};

/* IMS_IPSEC_CMD_BUNDLE_GET - do */
static const struct nla_policy ims_ipsec_bundle_get_do_nl_policy[IMS_IPSEC_A_BUNDLE_ID + 1] = {
	[IMS_IPSEC_A_BUNDLE_ID] = NLA_POLICY_MIN(NLA_U32, 1),
};

/* IMS_IPSEC_CMD_BUNDLE_GET - dump */
static const struct nla_policy ims_ipsec_bundle_get_dump_nl_policy[IMS_IPSEC_A_BUNDLE_OLDER_THAN + 1] = {
	[IMS_IPSEC_A_BUNDLE_ENDPOINT] = NLA_POLICY_MIN(NLA_U32, 1),
	[IMS_IPSEC_A_BUNDLE_OWNER] = { .type = NLA_BINARY, },
	[IMS_IPSEC_A_BUNDLE_CONTACT] = { .type = NLA_BINARY, },
	[IMS_IPSEC_A_BUNDLE_STATE] = NLA_POLICY_RANGE(NLA_U32, 1, 4),
	[IMS_IPSEC_A_BUNDLE_UE_ADDRESS] = { .type = NLA_BINARY, },
	[IMS_IPSEC_A_BUNDLE_OLDER_THAN] = NLA_POLICY_MIN(NLA_U32, 1),
};

/* IMS_IPSEC_CMD_BUNDLE_EXTEND - do */
static const struct nla_policy ims_ipsec_bundle_extend_nl_policy[IMS_IPSEC_A_BUNDLE_LIFETIME + 1] = {
	[IMS_IPSEC_A_BUNDLE_ID] = NLA_POLICY_MIN(NLA_U32, 1),
	[IMS_IPSEC_A_BUNDLE_LIFETIME] = NLA_POLICY_FULL_RANGE(NLA_U64, &ims_ipsec_a_bundle_lifetime_range),
};

/* IMS_IPSEC_CMD_OFFLOAD_GET - dump */
static const struct nla_policy ims_ipsec_offload_get_nl_policy[IMS_IPSEC_A_OFFLOAD_MODE + 1] = {
	[IMS_IPSEC_A_OFFLOAD_INTERFACE] = { .type = NLA_STRING, .len = IMS_IPSEC_INTERFACE_MAX, },
	[IMS_IPSEC_A_OFFLOAD_MODE] = NLA_POLICY_RANGE(NLA_U32, 3, 4),
};

/* IMS_IPSEC_CMD_BUNDLE_FLUSH - do */
static const struct nla_policy ims_ipsec_bundle_flush_nl_policy[IMS_IPSEC_A_BUNDLE_OLDER_THAN + 1] = {
	[IMS_IPSEC_A_BUNDLE_ENDPOINT] = NLA_POLICY_MIN(NLA_U32, 1),
	[IMS_IPSEC_A_BUNDLE_OWNER] = { .type = NLA_BINARY, },
	[IMS_IPSEC_A_BUNDLE_CONTACT] = { .type = NLA_BINARY, },
	[IMS_IPSEC_A_BUNDLE_STATE] = NLA_POLICY_RANGE(NLA_U32, 1, 4),
	[IMS_IPSEC_A_BUNDLE_UE_ADDRESS] = { .type = NLA_BINARY, },
	[IMS_IPSEC_A_BUNDLE_OLDER_THAN] = NLA_POLICY_MIN(NLA_U32, 1),
	[IMS_IPSEC_A_BUNDLE_LINGER] = NLA_POLICY_FULL_RANGE(NLA_U64, &ims_ipsec_a_bundle_linger_range),
};

/* IMS_IPSEC_CMD_TRACE_GET - dump */
static const struct nla_policy ims_ipsec_trace_get_nl_policy[IMS_IPSEC_A_TRACE_UE_ADDRESS + 1] = {
	[IMS_IPSEC_A_TRACE_UE_ADDRESS] = { .type = NLA_BINARY, },
};

/* IMS_IPSEC_CMD_BUNDLE_FIND - do */
static const struct nla_policy ims_ipsec_bundle_find_nl_policy[IMS_IPSEC_A_BUNDLE_SPI + 1] = {
	[IMS_IPSEC_A_BUNDLE_ADDRESS] = { .type = NLA_BINARY, },
	[IMS_IPSEC_A_BUNDLE_LOCAL_PORT] = NLA_POLICY_MIN(NLA_U16, 1),
	[IMS_IPSEC_A_BUNDLE_UE_ADDRESS] = { .type = NLA_BINARY, },
	[IMS_IPSEC_A_BUNDLE_UE_PORT] = NLA_POLICY_MIN(NLA_U16, 1),
	[IMS_IPSEC_A_BUNDLE_SPI] = { .type = NLA_U32, },
	[IMS_IPSEC_A_BUNDLE_MARK] = { .type = NLA_U32, },
};

/* IMS_IPSEC_CMD_BUNDLE_TX - do */
static const struct nla_policy ims_ipsec_bundle_tx_nl_policy[IMS_IPSEC_A_BUNDLE_UE_PORT + 1] = {
	[IMS_IPSEC_A_BUNDLE_ID] = NLA_POLICY_MIN(NLA_U32, 1),
	[IMS_IPSEC_A_BUNDLE_OWNER] = { .type = NLA_BINARY, },
	[IMS_IPSEC_A_BUNDLE_CONTACT] = { .type = NLA_BINARY, },
	[IMS_IPSEC_A_BUNDLE_ADDRESS] = { .type = NLA_BINARY, },
	[IMS_IPSEC_A_BUNDLE_UE_ADDRESS] = { .type = NLA_BINARY, },
	[IMS_IPSEC_A_BUNDLE_UE_PORT] = NLA_POLICY_MIN(NLA_U16, 1),
};

/* IMS_IPSEC_CMD_ENDPOINT_SET - do */
static const struct nla_policy ims_ipsec_endpoint_set_nl_policy[IMS_IPSEC_A_ENDPOINT_TRUSTED + 1] = {
	[IMS_IPSEC_A_ENDPOINT_ID] = NLA_POLICY_MIN(NLA_U32, 1),
	[IMS_IPSEC_A_ENDPOINT_PORT_PC] = NLA_POLICY_MIN(NLA_U16, 1),
	[IMS_IPSEC_A_ENDPOINT_TRUSTED] = { .type = NLA_STRING, .len = IMS_IPSEC_TRUSTED_TEXT_MAX, },
};

/* Ops table for ims_ipsec */
const struct genl_split_ops ims_ipsec_nl_ops[20] = {
	{
		.cmd	= IMS_IPSEC_CMD_CONFIG_GET,
		.doit	= ims_ipsec_nl_config_get_doit,
		.flags	= GENL_UNS_ADMIN_PERM | GENL_CMD_CAP_DO,
	},
	{
		.cmd		= IMS_IPSEC_CMD_CONFIG_SET,
		.doit		= ims_ipsec_nl_config_set_doit,
		.policy		= ims_ipsec_config_set_nl_policy,
		.maxattr	= IMS_IPSEC_A_CONFIG_HW_OFFLOAD_REQUIRED,
		.flags		= GENL_UNS_ADMIN_PERM | GENL_CMD_CAP_DO,
	},
	{
		.cmd		= IMS_IPSEC_CMD_ENDPOINT_NEW,
		.doit		= ims_ipsec_nl_endpoint_new_doit,
		.policy		= ims_ipsec_endpoint_new_nl_policy,
		.maxattr	= IMS_IPSEC_A_ENDPOINT_TRUSTED,
		.flags		= GENL_UNS_ADMIN_PERM | GENL_CMD_CAP_DO,
	},
	{
		.cmd		= IMS_IPSEC_CMD_ENDPOINT_DEL,
		.doit		= ims_ipsec_nl_endpoint_del_doit,
		.policy		= ims_ipsec_endpoint_del_nl_policy,
		.maxattr	= IMS_IPSEC_A_ENDPOINT_FORCE,
		.flags		= GENL_UNS_ADMIN_PERM | GENL_CMD_CAP_DO,
	},
	{
		.cmd		= IMS_IPSEC_CMD_ENDPOINT_GET,
		.doit		= ims_ipsec_nl_endpoint_get_doit,
		.policy		= ims_ipsec_endpoint_get_nl_policy,
		.maxattr	= IMS_IPSEC_A_ENDPOINT_ID,
		.flags		= GENL_UNS_ADMIN_PERM | GENL_CMD_CAP_DO,
	},
	{
		.cmd	= IMS_IPSEC_CMD_ENDPOINT_GET,
		.dumpit	= ims_ipsec_nl_endpoint_get_dumpit,
		.flags	= GENL_UNS_ADMIN_PERM | GENL_CMD_CAP_DUMP,
	},
	{
		.cmd		= IMS_IPSEC_CMD_BUNDLE_NEW,
		.doit		= ims_ipsec_nl_bundle_new_doit,
		.policy		= ims_ipsec_bundle_new_nl_policy,
		.maxattr	= IMS_IPSEC_A_BUNDLE_BEGAN_CLEAR,
		.flags		= GENL_UNS_ADMIN_PERM | GENL_CMD_CAP_DO,
	},
	{
		.cmd		= IMS_IPSEC_CMD_BUNDLE_CONFIRM,
		.doit		= ims_ipsec_nl_bundle_confirm_doit,
		.policy		= ims_ipsec_bundle_confirm_nl_policy,
		.maxattr	= IMS_IPSEC_A_BUNDLE_OVER,
		.flags		= GENL_UNS_ADMIN_PERM | GENL_CMD_CAP_DO,
	},
	{
		.cmd		= IMS_IPSEC_CMD_BUNDLE_DEL,
		.doit		= ims_ipsec_nl_bundle_del_doit,
		.policy		= ims_ipsec_bundle_del_nl_policy,
		.maxattr	= IMS_IPSEC_A_BUNDLE_LINGER,
		.flags		= GENL_UNS_ADMIN_PERM | GENL_CMD_CAP_DO,
	},
	{
		.cmd		= IMS_IPSEC_CMD_BUNDLE_GET,
		.doit		= ims_ipsec_nl_bundle_get_doit,
		.policy		= ims_ipsec_bundle_get_do_nl_policy,
		.maxattr	= IMS_IPSEC_A_BUNDLE_ID,
		.flags		= GENL_UNS_ADMIN_PERM | GENL_CMD_CAP_DO,
	},
	{
		.cmd		= IMS_IPSEC_CMD_BUNDLE_GET,
		.dumpit		= ims_ipsec_nl_bundle_get_dumpit,
		.policy		= ims_ipsec_bundle_get_dump_nl_policy,
		.maxattr	= IMS_IPSEC_A_BUNDLE_OLDER_THAN,
		.flags		= GENL_UNS_ADMIN_PERM | GENL_CMD_CAP_DUMP,
	},
	{
		.cmd	= IMS_IPSEC_CMD_ALGORITHM_GET,
		.dumpit	= ims_ipsec_nl_algorithm_get_dumpit,
		.flags	= GENL_UNS_ADMIN_PERM | GENL_CMD_CAP_DUMP,
	},
	{
		.cmd		= IMS_IPSEC_CMD_BUNDLE_EXTEND,
		.doit		= ims_ipsec_nl_bundle_extend_doit,
		.policy		= ims_ipsec_bundle_extend_nl_policy,
		.maxattr	= IMS_IPSEC_A_BUNDLE_LIFETIME,
		.flags		= GENL_UNS_ADMIN_PERM | GENL_CMD_CAP_DO,
	},
	{
		.cmd		= IMS_IPSEC_CMD_OFFLOAD_GET,
		.dumpit		= ims_ipsec_nl_offload_get_dumpit,
		.policy		= ims_ipsec_offload_get_nl_policy,
		.maxattr	= IMS_IPSEC_A_OFFLOAD_MODE,
		.flags		= GENL_UNS_ADMIN_PERM | GENL_CMD_CAP_DUMP,
	},
	{
		.cmd		= IMS_IPSEC_CMD_BUNDLE_FLUSH,
		.doit		= ims_ipsec_nl_bundle_flush_doit,
		.policy		= ims_ipsec_bundle_flush_nl_policy,
		.maxattr	= IMS_IPSEC_A_BUNDLE_OLDER_THAN,
		.flags		= GENL_UNS_ADMIN_PERM | GENL_CMD_CAP_DO,
	},
	{
		.cmd	= IMS_IPSEC_CMD_STATS_GET,
		.doit	= ims_ipsec_nl_stats_get_doit,
		.flags	= GENL_UNS_ADMIN_PERM | GENL_CMD_CAP_DO,
	},
	{
		.cmd		= IMS_IPSEC_CMD_TRACE_GET,
		.dumpit		= ims_ipsec_nl_trace_get_dumpit,
		.policy		= ims_ipsec_trace_get_nl_policy,
		.maxattr	= IMS_IPSEC_A_TRACE_UE_ADDRESS,
		.flags		= GENL_UNS_ADMIN_PERM | GENL_CMD_CAP_DUMP,
	},
	{
		.cmd		= IMS_IPSEC_CMD_BUNDLE_FIND,
		.doit		= ims_ipsec_nl_bundle_find_doit,
		.policy		= ims_ipsec_bundle_find_nl_policy,
		.maxattr	= IMS_IPSEC_A_BUNDLE_SPI,
		.flags		= GENL_UNS_ADMIN_PERM | GENL_CMD_CAP_DO,
	},
	{
		.cmd		= IMS_IPSEC_CMD_BUNDLE_TX,
		.doit		= ims_ipsec_nl_bundle_tx_doit,
		.policy		= ims_ipsec_bundle_tx_nl_policy,
		.maxattr	= IMS_IPSEC_A_BUNDLE_UE_PORT,
		.flags		= GENL_UNS_ADMIN_PERM | GENL_CMD_CAP_DO,
	},
	{
		.cmd		= IMS_IPSEC_CMD_ENDPOINT_SET,
		.doit		= ims_ipsec_nl_endpoint_set_doit,
		.policy		= ims_ipsec_endpoint_set_nl_policy,
		.maxattr	= IMS_IPSEC_A_ENDPOINT_TRUSTED,
		.flags		= GENL_UNS_ADMIN_PERM | GENL_CMD_CAP_DO,
	},
};

static const struct genl_multicast_group ims_ipsec_nl_mcgrps[] = {
	[IMS_IPSEC_NLGRP_EVENTS] = { "events", },
};
