// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Netlink attributes: their names, reading them from messages that may be
 * malformed, writing them into requests.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "internal.h"

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))

/* As in Documentation/netlink/specs/ims_ipsec.yaml. */
static const char *const config_names[] = {
	[IMS_IPSEC_A_CONFIG_PAD] = "pad",
	[IMS_IPSEC_A_CONFIG_MIN_SPI] = "min-spi",
	[IMS_IPSEC_A_CONFIG_MAX_SPI] = "max-spi",
	[IMS_IPSEC_A_CONFIG_TEMPORARY_TIMEOUT] = "temporary-timeout",
	[IMS_IPSEC_A_CONFIG_PORT_PC] = "port-pc",
	[IMS_IPSEC_A_CONFIG_PORT_PS] = "port-ps",
	[IMS_IPSEC_A_CONFIG_MAX_ENDPOINTS] = "max-endpoints",
	[IMS_IPSEC_A_CONFIG_MAX_BUNDLES] = "max-bundles",
	[IMS_IPSEC_A_CONFIG_MAX_PENDING] = "max-pending",
	[IMS_IPSEC_A_CONFIG_ALLOWED_ALGORITHMS] = "allowed-algorithms",
	[IMS_IPSEC_A_CONFIG_PREFERRED_ALG] = "preferred-alg",
	[IMS_IPSEC_A_CONFIG_PREFERRED_EALG] = "preferred-ealg",
	[IMS_IPSEC_A_CONFIG_DISABLE_DEPRECATED_ALGORITHMS] = "disable-deprecated-algorithms",
	[IMS_IPSEC_A_CONFIG_MAX_SETS] = "max-sets",
	[IMS_IPSEC_A_CONFIG_OLD_TIMEOUT] = "old-timeout",
	[IMS_IPSEC_A_CONFIG_IDLE_TIMEOUT] = "idle-timeout",
	[IMS_IPSEC_A_CONFIG_MARK_MASK] = "mark-mask",
	[IMS_IPSEC_A_CONFIG_NAT_TRAVERSAL] = "nat-traversal",
	[IMS_IPSEC_A_CONFIG_NAT_PORT] = "nat-port",
	[IMS_IPSEC_A_CONFIG_NAT_FOLLOW_ADDRESS] = "nat-follow-address",
	[IMS_IPSEC_A_CONFIG_HW_OFFLOAD_INTERFACE] = "hw-offload-interface",
	[IMS_IPSEC_A_CONFIG_HW_OFFLOAD] = "hw-offload",
	[IMS_IPSEC_A_CONFIG_HW_OFFLOAD_REQUIRED] = "hw-offload-required",
};

static const char *const endpoint_names[] = {
	[IMS_IPSEC_A_ENDPOINT_PAD] = "pad",
	[IMS_IPSEC_A_ENDPOINT_ID] = "id",
	[IMS_IPSEC_A_ENDPOINT_ADDRESS] = "address",
	[IMS_IPSEC_A_ENDPOINT_PORT_PS] = "port-ps",
	[IMS_IPSEC_A_ENDPOINT_PORT_PC] = "port-pc",
	[IMS_IPSEC_A_ENDPOINT_FORCE] = "force",
	[IMS_IPSEC_A_ENDPOINT_BUNDLES] = "bundles",
	[IMS_IPSEC_A_ENDPOINT_DROP_PLAINTEXT_IN] = "drop-plaintext-in",
	[IMS_IPSEC_A_ENDPOINT_DROP_PLAINTEXT_OUT] = "drop-plaintext-out",
	[IMS_IPSEC_A_ENDPOINT_DROP_FOREIGN_SA] = "drop-foreign-sa",
	[IMS_IPSEC_A_ENDPOINT_GUARD] = "guard",
	[IMS_IPSEC_A_ENDPOINT_DROP_CROSS_PAIR] = "drop-cross-pair",
	[IMS_IPSEC_A_ENDPOINT_DROP_NO_LIVE_SET] = "drop-no-live-set",
	[IMS_IPSEC_A_ENDPOINT_NAT_TRAVERSAL] = "nat-traversal",
	[IMS_IPSEC_A_ENDPOINT_NAT_PORT] = "nat-port",
	[IMS_IPSEC_A_ENDPOINT_NAT_SHARED] = "nat-shared",
	[IMS_IPSEC_A_ENDPOINT_DROP_UDP_ONLY] = "drop-udp-only",
	[IMS_IPSEC_A_ENDPOINT_HW_OFFLOAD_INTERFACE] = "hw-offload-interface",
	[IMS_IPSEC_A_ENDPOINT_HW_OFFLOAD] = "hw-offload",
	[IMS_IPSEC_A_ENDPOINT_HW_OFFLOAD_REQUIRED] = "hw-offload-required",
	[IMS_IPSEC_A_ENDPOINT_HW_OFFLOAD_BUNDLES] = "hw-offload-bundles",
	[IMS_IPSEC_A_ENDPOINT_HW_OFFLOAD_FALLBACK] = "hw-offload-fallback",
	[IMS_IPSEC_A_ENDPOINT_HW_OFFLOAD_TEXT] = "hw-offload-text",
	[IMS_IPSEC_A_ENDPOINT_ESP_BAD_ICV] = "esp-bad-icv",
	[IMS_IPSEC_A_ENDPOINT_ESP_UNKNOWN_SPI] = "esp-unknown-spi",
	[IMS_IPSEC_A_ENDPOINT_CLEAR_TO_UE] = "clear-to-ue",
	[IMS_IPSEC_A_ENDPOINT_TRUSTED] = "trusted",
};

static const char *const bundle_names[] = {
	[IMS_IPSEC_A_BUNDLE_PAD] = "pad",
	[IMS_IPSEC_A_BUNDLE_ID] = "id",
	[IMS_IPSEC_A_BUNDLE_ENDPOINT] = "endpoint",
	[IMS_IPSEC_A_BUNDLE_OWNER] = "owner",
	[IMS_IPSEC_A_BUNDLE_CONTACT] = "contact",
	[IMS_IPSEC_A_BUNDLE_STATE] = "state",
	[IMS_IPSEC_A_BUNDLE_ADDRESS] = "address",
	[IMS_IPSEC_A_BUNDLE_PORT_PC] = "port-pc",
	[IMS_IPSEC_A_BUNDLE_PORT_PS] = "port-ps",
	[IMS_IPSEC_A_BUNDLE_SPI_PC] = "spi-pc",
	[IMS_IPSEC_A_BUNDLE_SPI_PS] = "spi-ps",
	[IMS_IPSEC_A_BUNDLE_UE_ADDRESS] = "ue-address",
	[IMS_IPSEC_A_BUNDLE_PORT_UC] = "port-uc",
	[IMS_IPSEC_A_BUNDLE_PORT_US] = "port-us",
	[IMS_IPSEC_A_BUNDLE_SPI_UC] = "spi-uc",
	[IMS_IPSEC_A_BUNDLE_SPI_US] = "spi-us",
	[IMS_IPSEC_A_BUNDLE_MODE] = "mode",
	[IMS_IPSEC_A_BUNDLE_AUTH_ALG] = "auth-alg",
	[IMS_IPSEC_A_BUNDLE_ENC_ALG] = "enc-alg",
	[IMS_IPSEC_A_BUNDLE_IK] = "ik",
	[IMS_IPSEC_A_BUNDLE_CK] = "ck",
	[IMS_IPSEC_A_BUNDLE_LIFETIME] = "lifetime",
	[IMS_IPSEC_A_BUNDLE_LINGER] = "linger",
	[IMS_IPSEC_A_BUNDLE_RX_PACKETS] = "rx-packets",
	[IMS_IPSEC_A_BUNDLE_RX_BYTES] = "rx-bytes",
	[IMS_IPSEC_A_BUNDLE_TX_PACKETS] = "tx-packets",
	[IMS_IPSEC_A_BUNDLE_TX_BYTES] = "tx-bytes",
	[IMS_IPSEC_A_BUNDLE_ALLOWED_ALGORITHMS] = "allowed-algorithms",
	[IMS_IPSEC_A_BUNDLE_REGISTRATION] = "registration",
	[IMS_IPSEC_A_BUNDLE_MARK] = "mark",
	[IMS_IPSEC_A_BUNDLE_REPLACE] = "replace",
	[IMS_IPSEC_A_BUNDLE_OLDER] = "older",
	[IMS_IPSEC_A_BUNDLE_OVER] = "over",
	[IMS_IPSEC_A_BUNDLE_UE_NAT_ADDRESS] = "ue-nat-address",
	[IMS_IPSEC_A_BUNDLE_UE_NAT_PORT] = "ue-nat-port",
	[IMS_IPSEC_A_BUNDLE_UNMARKED] = "unmarked",
	[IMS_IPSEC_A_BUNDLE_UDP_ONLY] = "udp-only",
	[IMS_IPSEC_A_BUNDLE_OFFLOAD] = "offload",
	[IMS_IPSEC_A_BUNDLE_OFFLOAD_REASON] = "offload-reason",
	[IMS_IPSEC_A_BUNDLE_OFFLOAD_INTERFACE] = "offload-interface",
	[IMS_IPSEC_A_BUNDLE_COOKIE] = "cookie",
	[IMS_IPSEC_A_BUNDLE_OLDER_THAN] = "older-than",
	[IMS_IPSEC_A_BUNDLE_FLUSHED] = "flushed",
	[IMS_IPSEC_A_BUNDLE_LAST_RX] = "last-rx",
	[IMS_IPSEC_A_BUNDLE_LAST_TX] = "last-tx",
	[IMS_IPSEC_A_BUNDLE_RX_BAD_ICV] = "rx-bad-icv",
	[IMS_IPSEC_A_BUNDLE_RX_REPLAYED] = "rx-replayed",
	[IMS_IPSEC_A_BUNDLE_LOCAL_PORT] = "local-port",
	[IMS_IPSEC_A_BUNDLE_UE_PORT] = "ue-port",
	[IMS_IPSEC_A_BUNDLE_SPI] = "spi",
	[IMS_IPSEC_A_BUNDLE_TCP_ONLY] = "tcp-only",
	[IMS_IPSEC_A_BUNDLE_BEGAN_CLEAR] = "began-clear",
};

static const char *const event_names[] = {
	[IMS_IPSEC_A_EVENT_PAD] = "pad",
	[IMS_IPSEC_A_EVENT_SEQ] = "seq",
	[IMS_IPSEC_A_EVENT_TYPE] = "type",
	[IMS_IPSEC_A_EVENT_REASON] = "reason",
	[IMS_IPSEC_A_EVENT_OLD_STATE] = "old-state",
	[IMS_IPSEC_A_EVENT_NEW_STATE] = "new-state",
	[IMS_IPSEC_A_EVENT_BUNDLE] = "bundle",
	[IMS_IPSEC_A_EVENT_RESOURCE] = "resource",
	[IMS_IPSEC_A_EVENT_USED] = "used",
	[IMS_IPSEC_A_EVENT_LIMIT] = "limit",
};

static const char *const algorithm_names[] = {
	[IMS_IPSEC_A_ALGORITHM_AUTH_ALG] = "auth-alg",
	[IMS_IPSEC_A_ALGORITHM_ENC_ALG] = "enc-alg",
	[IMS_IPSEC_A_ALGORITHM_RANK] = "rank",
	[IMS_IPSEC_A_ALGORITHM_DEPRECATED] = "deprecated",
	[IMS_IPSEC_A_ALGORITHM_NAME] = "name",
	[IMS_IPSEC_A_ALGORITHM_DRIVER] = "driver",
};

static const char *const offload_names[] = {
	[IMS_IPSEC_A_OFFLOAD_INTERFACE] = "interface",
	[IMS_IPSEC_A_OFFLOAD_MODE] = "mode",
	[IMS_IPSEC_A_OFFLOAD_DRIVER] = "driver",
	[IMS_IPSEC_A_OFFLOAD_AUTH_ALG] = "auth-alg",
	[IMS_IPSEC_A_OFFLOAD_ENC_ALG] = "enc-alg",
	[IMS_IPSEC_A_OFFLOAD_REASON] = "reason",
	[IMS_IPSEC_A_OFFLOAD_TEXT] = "text",
};

static const char *const stats_names[] = {
	[IMS_IPSEC_A_STATS_PAD] = "pad",
	[IMS_IPSEC_A_STATS_ENDPOINTS] = "endpoints",
	[IMS_IPSEC_A_STATS_REGISTRATIONS] = "registrations",
	[IMS_IPSEC_A_STATS_BUNDLES] = "bundles",
	[IMS_IPSEC_A_STATS_PENDING] = "pending",
	[IMS_IPSEC_A_STATS_NAT_BUNDLES] = "nat-bundles",
	[IMS_IPSEC_A_STATS_SPIS] = "spis",
	[IMS_IPSEC_A_STATS_SPIS_USED] = "spis-used",
	[IMS_IPSEC_A_STATS_CREATED] = "created",
	[IMS_IPSEC_A_STATS_REFUSED] = "refused",
	[IMS_IPSEC_A_STATS_CONFIRMED] = "confirmed",
	[IMS_IPSEC_A_STATS_ACTIVATED] = "activated",
	[IMS_IPSEC_A_STATS_SUPERSEDED] = "superseded",
	[IMS_IPSEC_A_STATS_EXPIRED] = "expired",
	[IMS_IPSEC_A_STATS_DELETED] = "deleted",
	[IMS_IPSEC_A_STATS_NAT_MAPPINGS] = "nat-mappings",
	[IMS_IPSEC_A_STATS_OFFLOAD_FALLBACKS] = "offload-fallbacks",
	[IMS_IPSEC_A_STATS_EVENTS] = "events",
	[IMS_IPSEC_A_STATS_MAX_ENDPOINTS] = "max-endpoints",
	[IMS_IPSEC_A_STATS_MAX_REGISTRATIONS] = "max-registrations",
	[IMS_IPSEC_A_STATS_MAX_BUNDLES] = "max-bundles",
	[IMS_IPSEC_A_STATS_MAX_PENDING] = "max-pending",
	[IMS_IPSEC_A_STATS_NEARLY_FULL] = "nearly-full",
};

static const char *const trace_names[] = {
	[IMS_IPSEC_A_TRACE_PAD] = "pad",
	[IMS_IPSEC_A_TRACE_UE_ADDRESS] = "ue-address",
	[IMS_IPSEC_A_TRACE_KIND] = "kind",
	[IMS_IPSEC_A_TRACE_AGO] = "ago",
	[IMS_IPSEC_A_TRACE_COUNT] = "count",
	[IMS_IPSEC_A_TRACE_ENDPOINT] = "endpoint",
	[IMS_IPSEC_A_TRACE_OWNER] = "owner",
	[IMS_IPSEC_A_TRACE_CONTACT] = "contact",
	[IMS_IPSEC_A_TRACE_PORT_UC] = "port-uc",
	[IMS_IPSEC_A_TRACE_PORT_US] = "port-us",
	[IMS_IPSEC_A_TRACE_SPI_UC] = "spi-uc",
	[IMS_IPSEC_A_TRACE_SPI_US] = "spi-us",
	[IMS_IPSEC_A_TRACE_ERROR] = "error",
	[IMS_IPSEC_A_TRACE_TEXT] = "text",
	[IMS_IPSEC_A_TRACE_DROP] = "drop",
	[IMS_IPSEC_A_TRACE_SOURCE] = "source",
	[IMS_IPSEC_A_TRACE_DESTINATION] = "destination",
	[IMS_IPSEC_A_TRACE_SOURCE_PORT] = "source-port",
	[IMS_IPSEC_A_TRACE_DESTINATION_PORT] = "destination-port",
	[IMS_IPSEC_A_TRACE_PROTOCOL] = "protocol",
	[IMS_IPSEC_A_TRACE_SPI] = "spi",
};

/* The attributes of each operation. */
static const struct {
	const char *const *names;
	size_t n;
} sets[] = {
	[IMS_IPSEC_CMD_CONFIG_GET] = { config_names, ARRAY_SIZE(config_names) },
	[IMS_IPSEC_CMD_CONFIG_SET] = { config_names, ARRAY_SIZE(config_names) },
	[IMS_IPSEC_CMD_ENDPOINT_NEW] = { endpoint_names, ARRAY_SIZE(endpoint_names) },
	[IMS_IPSEC_CMD_ENDPOINT_DEL] = { endpoint_names, ARRAY_SIZE(endpoint_names) },
	[IMS_IPSEC_CMD_ENDPOINT_GET] = { endpoint_names, ARRAY_SIZE(endpoint_names) },
	[IMS_IPSEC_CMD_BUNDLE_NEW] = { bundle_names, ARRAY_SIZE(bundle_names) },
	[IMS_IPSEC_CMD_BUNDLE_CONFIRM] = { bundle_names, ARRAY_SIZE(bundle_names) },
	[IMS_IPSEC_CMD_BUNDLE_DEL] = { bundle_names, ARRAY_SIZE(bundle_names) },
	[IMS_IPSEC_CMD_BUNDLE_GET] = { bundle_names, ARRAY_SIZE(bundle_names) },
	[IMS_IPSEC_CMD_EVENT] = { event_names, ARRAY_SIZE(event_names) },
	[IMS_IPSEC_CMD_ALGORITHM_GET] = { algorithm_names, ARRAY_SIZE(algorithm_names) },
	[IMS_IPSEC_CMD_BUNDLE_EXTEND] = { bundle_names, ARRAY_SIZE(bundle_names) },
	[IMS_IPSEC_CMD_OFFLOAD_GET] = { offload_names, ARRAY_SIZE(offload_names) },
	[IMS_IPSEC_CMD_BUNDLE_FLUSH] = { bundle_names, ARRAY_SIZE(bundle_names) },
	[IMS_IPSEC_CMD_STATS_GET] = { stats_names, ARRAY_SIZE(stats_names) },
	[IMS_IPSEC_CMD_TRACE_GET] = { trace_names, ARRAY_SIZE(trace_names) },
	[IMS_IPSEC_CMD_BUNDLE_FIND] = { bundle_names, ARRAY_SIZE(bundle_names) },
	[IMS_IPSEC_CMD_BUNDLE_TX] = { bundle_names, ARRAY_SIZE(bundle_names) },
	[IMS_IPSEC_CMD_ENDPOINT_SET] = { endpoint_names, ARRAY_SIZE(endpoint_names) },
};

/* NULL if the library does not know it. */
const char *imsipsec_attr_name(uint8_t cmd, unsigned int type)
{
	if (cmd >= ARRAY_SIZE(sets) || type >= sets[cmd].n)
		return NULL;
	return sets[cmd].names[type];
}

/* ---- Reading --------------------------------------------------------- */

/* Calls @fn for each until it returns other than 0; -EBADMSG if they do not fill @len. */
int imsipsec_attr_walk(const void *start, size_t len, imsipsec_attr_fn fn, void *data)
{
	const struct nlattr *attr = start;
	int left = len, err;

	while (mnl_attr_ok(attr, left)) {
		err = fn(attr, data);
		if (err)
			return err;
		left -= MNL_ALIGN(attr->nla_len);
		attr = mnl_attr_next(attr);
	}
	return left > 0 ? -EBADMSG : 0;
}

/* Those behind the generic netlink header. */
int imsipsec_attr_walk_msg(const struct nlmsghdr *nlh, imsipsec_attr_fn fn, void *data)
{
	size_t len = mnl_nlmsg_get_payload_len(nlh);

	if (len < GENL_HDRLEN)
		return -EBADMSG;
	return imsipsec_attr_walk(mnl_nlmsg_get_payload_offset(nlh, GENL_HDRLEN),
				  len - GENL_HDRLEN, fn, data);
}

int imsipsec_attr_walk_nest(const struct nlattr *nest, imsipsec_attr_fn fn, void *data)
{
	return imsipsec_attr_walk(mnl_attr_get_payload(nest), mnl_attr_get_payload_len(nest),
				  fn, data);
}

static int get(const struct nlattr *attr, void *value, size_t size)
{
	if (mnl_attr_get_payload_len(attr) != size)
		return -EBADMSG;
	memcpy(value, mnl_attr_get_payload(attr), size);
	return 0;
}

int imsipsec_attr_u8(const struct nlattr *attr, uint8_t *value)
{
	return get(attr, value, sizeof(*value));
}

int imsipsec_attr_u16(const struct nlattr *attr, uint16_t *value)
{
	return get(attr, value, sizeof(*value));
}

int imsipsec_attr_u32(const struct nlattr *attr, uint32_t *value)
{
	return get(attr, value, sizeof(*value));
}

int imsipsec_attr_u64(const struct nlattr *attr, uint64_t *value)
{
	return get(attr, value, sizeof(*value));
}

int imsipsec_attr_be16(const struct nlattr *attr, uint16_t *value)
{
	int err = get(attr, value, sizeof(*value));

	*value = ntohs(*value);
	return err;
}

int imsipsec_attr_be32(const struct nlattr *attr, uint32_t *value)
{
	int err = get(attr, value, sizeof(*value));

	*value = ntohl(*value);
	return err;
}

int imsipsec_attr_addr(const struct nlattr *attr, struct imsipsec_addr *addr)
{
	switch (mnl_attr_get_payload_len(attr)) {
	case sizeof(addr->in):
		addr->family = AF_INET;
		return get(attr, &addr->in, sizeof(addr->in));
	case sizeof(addr->in6):
		addr->family = AF_INET6;
		return get(attr, &addr->in6, sizeof(addr->in6));
	default:
		return -EBADMSG;
	}
}

int imsipsec_attr_bytes(const struct nlattr *attr, void *buf, size_t size, size_t *len)
{
	if (mnl_attr_get_payload_len(attr) > size)
		return -EBADMSG;
	*len = mnl_attr_get_payload_len(attr);
	memcpy(buf, mnl_attr_get_payload(attr), *len);
	return 0;
}

/* @buf gets a NUL, whether the attribute ends in one or not. */
int imsipsec_attr_text(const struct nlattr *attr, char *buf, size_t size)
{
	const char *text = mnl_attr_get_payload(attr);
	size_t len = strnlen(text, mnl_attr_get_payload_len(attr));

	*buf = '\0';
	if (len >= size)
		return -EBADMSG;
	memcpy(buf, text, len);
	buf[len] = '\0';
	return 0;
}

/* Likewise; what only people read is cut short where it does not fit. */
int imsipsec_attr_remark(const struct nlattr *attr, char *buf, size_t size)
{
	snprintf(buf, size, "%.*s", (int)mnl_attr_get_payload_len(attr),
		 (const char *)mnl_attr_get_payload(attr));
	return 0;
}

/* ---- Writing: REQUEST_MAX has room for all that a request can hold ---- */

void imsipsec_put_be16(struct nlmsghdr *nlh, uint16_t type, uint16_t value)
{
	mnl_attr_put_u16(nlh, type, htons(value));
}

void imsipsec_put_be32(struct nlmsghdr *nlh, uint16_t type, uint32_t value)
{
	mnl_attr_put_u32(nlh, type, htonl(value));
}

static const char *name_in(const struct nlmsghdr *nlh, uint16_t type)
{
	const struct genlmsghdr *genl = mnl_nlmsg_get_payload(nlh);

	return imsipsec_attr_name(genl->cmd, type);
}

int imsipsec_put_addr(struct imsipsec *h, struct nlmsghdr *nlh, uint16_t type,
		      const struct imsipsec_addr *addr)
{
	const struct imsipsec_addr a = imsipsec_addr_unmapped(addr);

	switch (a.family) {
	case AF_INET:
		mnl_attr_put(nlh, type, sizeof(a.in), &a.in);
		return 0;
	case AF_INET6:
		mnl_attr_put(nlh, type, sizeof(a.in6), &a.in6);
		return 0;
	default:
		return imsipsec_fail(h, -EINVAL, "%s: neither IPv4 nor IPv6", name_in(nlh, type));
	}
}

int imsipsec_put_bytes(struct imsipsec *h, struct nlmsghdr *nlh, uint16_t type,
		       const void *data, size_t len, size_t max)
{
	if (!data || !len)
		return imsipsec_fail(h, -EINVAL, "%s: empty", name_in(nlh, type));
	if (len > max)
		return imsipsec_fail(h, -EINVAL, "%s: longer than %zu bytes",
				     name_in(nlh, type), max);
	mnl_attr_put(nlh, type, len, data);
	return 0;
}

/* Without NUL, but for one that is empty; @text need not end in NUL if it is too long. */
int imsipsec_put_text(struct imsipsec *h, struct nlmsghdr *nlh, uint16_t type,
		      const char *text, size_t max)
{
	size_t len = strnlen(text, max + 1);

	if (len)
		return imsipsec_put_bytes(h, nlh, type, text, len, max);
	mnl_attr_put(nlh, type, 1, "");
	return 0;
}
