// SPDX-License-Identifier: LGPL-2.1-or-later
/* Names of algorithms, modes, states, guards, drops, offloads, events and resources. */
#include <stddef.h>
#include <string.h>

#include "internal.h"

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))

static const char *const alg_names[] = {
	[IMSIPSEC_ALG_HMAC_MD5_96] = "hmac-md5-96",
	[IMSIPSEC_ALG_HMAC_SHA_1_96] = "hmac-sha-1-96",
	[IMSIPSEC_ALG_AES_GMAC] = "aes-gmac",
	[IMSIPSEC_ALG_NULL] = "null",
};

static const char *const ealg_names[] = {
	[IMSIPSEC_EALG_NULL] = "null",
	[IMSIPSEC_EALG_AES_CBC] = "aes-cbc",
	[IMSIPSEC_EALG_DES_EDE3_CBC] = "des-ede3-cbc",
	[IMSIPSEC_EALG_AES_GCM] = "aes-gcm",
};

static const char *const mode_names[] = {
	[IMSIPSEC_MODE_TRANS] = "trans",
	[IMSIPSEC_MODE_UDP_ENC_TUN] = "udp-enc-tun",
};

static const char *const state_names[] = {
	[IMSIPSEC_STATE_TEMPORARY] = "temporary",
	[IMSIPSEC_STATE_ESTABLISHED] = "established",
	[IMSIPSEC_STATE_ACTIVE] = "active",
	[IMSIPSEC_STATE_OLD] = "old",
};

static const char *const guard_names[] = {
	[IMSIPSEC_GUARD_DROP] = "drop",
	[IMSIPSEC_GUARD_REJECT] = "reject",
	[IMSIPSEC_GUARD_BYPASS] = "bypass",
};

static const char *const older_names[] = {
	[IMSIPSEC_OLDER_KEEP] = "keep",
	[IMSIPSEC_OLDER_DROP] = "drop",
};

static const char *const offload_names[] = {
	[IMSIPSEC_OFFLOAD_OFF] = "off",
	[IMSIPSEC_OFFLOAD_SOFTWARE] = "software",
	[IMSIPSEC_OFFLOAD_CRYPTO] = "crypto",
	[IMSIPSEC_OFFLOAD_PACKET] = "packet",
};

static const char *const offload_reason_names[] = {
	[IMSIPSEC_OFFLOAD_REASON_NO_INTERFACE] = "no-interface",
	[IMSIPSEC_OFFLOAD_REASON_DOWN] = "down",
	[IMSIPSEC_OFFLOAD_REASON_NO_SUPPORT] = "no-support",
	[IMSIPSEC_OFFLOAD_REASON_FEATURE_OFF] = "feature-off",
	[IMSIPSEC_OFFLOAD_REASON_ENCAPSULATION] = "encapsulation",
	[IMSIPSEC_OFFLOAD_REASON_ALGORITHM] = "algorithm",
	[IMSIPSEC_OFFLOAD_REASON_TABLE_FULL] = "table-full",
	[IMSIPSEC_OFFLOAD_REASON_REFUSED] = "refused",
	[IMSIPSEC_OFFLOAD_REASON_NO_MEMORY] = "no-memory",
	[IMSIPSEC_OFFLOAD_REASON_LOST] = "lost",
};

static const char *const drop_names[] = {
	[IMSIPSEC_DROP_PLAINTEXT_IN] = "plaintext-in",
	[IMSIPSEC_DROP_PLAINTEXT_OUT] = "plaintext-out",
	[IMSIPSEC_DROP_FOREIGN_SA] = "foreign-sa",
	[IMSIPSEC_DROP_CROSS_PAIR] = "cross-pair",
	[IMSIPSEC_DROP_NO_LIVE_SET] = "no-live-set",
	[IMSIPSEC_DROP_UDP_ONLY] = "udp-only",
	[IMSIPSEC_DROP_BAD_ICV] = "bad-icv",
	[IMSIPSEC_DROP_UNKNOWN_SPI] = "unknown-spi",
	[IMSIPSEC_DROP_CLEAR_TO_UE] = "clear-to-ue",
};

static const char *const trace_kind_names[] = {
	[IMSIPSEC_TRACE_KIND_REFUSAL] = "refusal",
	[IMSIPSEC_TRACE_KIND_DROP] = "drop",
};

static const char *const event_type_names[] = {
	[IMSIPSEC_EVENT_CREATED] = "created",
	[IMSIPSEC_EVENT_CONFIRMED] = "confirmed",
	[IMSIPSEC_EVENT_EXPIRED] = "expired",
	[IMSIPSEC_EVENT_DELETED] = "deleted",
	[IMSIPSEC_EVENT_ACTIVATED] = "activated",
	[IMSIPSEC_EVENT_SUPERSEDED] = "superseded",
	[IMSIPSEC_EVENT_NAT_MAPPING] = "nat-mapping",
	[IMSIPSEC_EVENT_OFFLOAD_FALLBACK] = "offload-fallback",
	[IMSIPSEC_EVENT_NEARLY_FULL] = "nearly-full",
};

static const char *const resource_names[] = {
	[IMSIPSEC_RESOURCE_ENDPOINTS] = "endpoints",
	[IMSIPSEC_RESOURCE_REGISTRATIONS] = "registrations",
	[IMSIPSEC_RESOURCE_BUNDLES] = "bundles",
	[IMSIPSEC_RESOURCE_PENDING] = "pending",
	[IMSIPSEC_RESOURCE_SPIS] = "spis",
};

static const char *const reason_names[] = {
	[IMSIPSEC_REASON_REQUEST] = "request",
	[IMSIPSEC_REASON_TEMPORARY_TIMEOUT] = "temporary-timeout",
	[IMSIPSEC_REASON_LIFETIME] = "lifetime",
	[IMSIPSEC_REASON_ENDPOINT] = "endpoint",
	[IMSIPSEC_REASON_USED] = "used",
	[IMSIPSEC_REASON_RUNNING_OUT] = "running-out",
	[IMSIPSEC_REASON_CHALLENGE] = "challenge",
	[IMSIPSEC_REASON_NEWER] = "newer",
	[IMSIPSEC_REASON_REPLACED] = "replaced",
	[IMSIPSEC_REASON_IDLE] = "idle",
	[IMSIPSEC_REASON_NAT] = "nat",
	[IMSIPSEC_REASON_INTERFACE] = "interface",
	[IMSIPSEC_REASON_SA_GONE] = "sa-gone",
};

static const char *name_of(const char *const *names, size_t n, unsigned int value)
{
	return value < n ? names[value] : NULL;
}

const char *imsipsec_alg_name(enum imsipsec_alg alg)
{
	return name_of(alg_names, ARRAY_SIZE(alg_names), alg);
}

const char *imsipsec_ealg_name(enum imsipsec_ealg ealg)
{
	return name_of(ealg_names, ARRAY_SIZE(ealg_names), ealg);
}

const char *imsipsec_mode_name(enum imsipsec_mode mode)
{
	return name_of(mode_names, ARRAY_SIZE(mode_names), mode);
}

const char *imsipsec_state_name(enum imsipsec_state state)
{
	return name_of(state_names, ARRAY_SIZE(state_names), state);
}

const char *imsipsec_guard_name(enum imsipsec_guard guard)
{
	return name_of(guard_names, ARRAY_SIZE(guard_names), guard);
}

const char *imsipsec_older_name(enum imsipsec_older older)
{
	return name_of(older_names, ARRAY_SIZE(older_names), older);
}

const char *imsipsec_offload_name(enum imsipsec_offload offload)
{
	return name_of(offload_names, ARRAY_SIZE(offload_names), offload);
}

const char *imsipsec_offload_reason_name(enum imsipsec_offload_reason reason)
{
	return name_of(offload_reason_names, ARRAY_SIZE(offload_reason_names), reason);
}

const char *imsipsec_drop_name(enum imsipsec_drop drop)
{
	return name_of(drop_names, ARRAY_SIZE(drop_names), drop);
}

const char *imsipsec_trace_kind_name(enum imsipsec_trace_kind kind)
{
	return name_of(trace_kind_names, ARRAY_SIZE(trace_kind_names), kind);
}

const char *imsipsec_event_type_name(enum imsipsec_event_type type)
{
	if (type == IMSIPSEC_EVENT_LOST)
		return "lost";
	return name_of(event_type_names, ARRAY_SIZE(event_type_names), type);
}

const char *imsipsec_reason_name(enum imsipsec_reason reason)
{
	return name_of(reason_names, ARRAY_SIZE(reason_names), reason);
}

const char *imsipsec_resource_name(enum imsipsec_resource resource)
{
	return name_of(resource_names, ARRAY_SIZE(resource_names), resource);
}

static char lower(char c)
{
	return c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c;
}

/* Not strncasecmp(): SIP's case is ASCII's whatever the locale. @name is in lower case. */
bool imsipsec_name_equal(const char *name, const char *text, size_t len)
{
	size_t i;

	if (strlen(name) != len)
		return false;
	for (i = 0; i < len; i++)
		if (name[i] != lower(text[i]))
			return false;
	return true;
}

static unsigned int find(const char *const *names, size_t n, const char *text, size_t len)
{
	unsigned int value;

	for (value = 1; value < n; value++)
		if (names[value] && imsipsec_name_equal(names[value], text, len))
			return value;
	return 0;
}

enum imsipsec_alg imsipsec_alg_find(const char *name, size_t len)
{
	return find(alg_names, ARRAY_SIZE(alg_names), name, len);
}

enum imsipsec_ealg imsipsec_ealg_find(const char *name, size_t len)
{
	return find(ealg_names, ARRAY_SIZE(ealg_names), name, len);
}

enum imsipsec_mode imsipsec_mode_find(const char *name, size_t len)
{
	return find(mode_names, ARRAY_SIZE(mode_names), name, len);
}
