// SPDX-License-Identifier: LGPL-2.1-or-later
/* Statistics of the network namespace. */
#include <errno.h>

#include "internal.h"

static int stats_attr(const struct nlattr *attr, void *data)
{
	struct imsipsec_stats *s = data;

	switch (mnl_attr_get_type(attr)) {
	case IMS_IPSEC_A_STATS_ENDPOINTS:
		return imsipsec_attr_u32(attr, &s->endpoints);
	case IMS_IPSEC_A_STATS_REGISTRATIONS:
		return imsipsec_attr_u32(attr, &s->registrations);
	case IMS_IPSEC_A_STATS_BUNDLES:
		return imsipsec_attr_u32(attr, &s->bundles);
	case IMS_IPSEC_A_STATS_PENDING:
		return imsipsec_attr_u32(attr, &s->pending);
	case IMS_IPSEC_A_STATS_NAT_BUNDLES:
		return imsipsec_attr_u32(attr, &s->nat_bundles);
	case IMS_IPSEC_A_STATS_SPIS:
		return imsipsec_attr_u32(attr, &s->spis);
	case IMS_IPSEC_A_STATS_SPIS_USED:
		return imsipsec_attr_u32(attr, &s->spis_used);
	case IMS_IPSEC_A_STATS_CREATED:
		return imsipsec_attr_u64(attr, &s->created);
	case IMS_IPSEC_A_STATS_REFUSED:
		return imsipsec_attr_u64(attr, &s->refused);
	case IMS_IPSEC_A_STATS_CONFIRMED:
		return imsipsec_attr_u64(attr, &s->confirmed);
	case IMS_IPSEC_A_STATS_ACTIVATED:
		return imsipsec_attr_u64(attr, &s->activated);
	case IMS_IPSEC_A_STATS_SUPERSEDED:
		return imsipsec_attr_u64(attr, &s->superseded);
	case IMS_IPSEC_A_STATS_EXPIRED:
		return imsipsec_attr_u64(attr, &s->expired);
	case IMS_IPSEC_A_STATS_DELETED:
		return imsipsec_attr_u64(attr, &s->deleted);
	case IMS_IPSEC_A_STATS_NAT_MAPPINGS:
		return imsipsec_attr_u64(attr, &s->nat_mappings);
	case IMS_IPSEC_A_STATS_OFFLOAD_FALLBACKS:
		return imsipsec_attr_u64(attr, &s->offload_fallbacks);
	case IMS_IPSEC_A_STATS_EVENTS:
		return imsipsec_attr_u64(attr, &s->events);
	case IMS_IPSEC_A_STATS_MAX_ENDPOINTS:
		return imsipsec_attr_u32(attr, &s->max_endpoints);
	case IMS_IPSEC_A_STATS_MAX_REGISTRATIONS:
		return imsipsec_attr_u32(attr, &s->max_registrations);
	case IMS_IPSEC_A_STATS_MAX_BUNDLES:
		return imsipsec_attr_u32(attr, &s->max_bundles);
	case IMS_IPSEC_A_STATS_MAX_PENDING:
		return imsipsec_attr_u32(attr, &s->max_pending);
	case IMS_IPSEC_A_STATS_NEARLY_FULL:
		return imsipsec_attr_u64(attr, &s->nearly_full);
	default:
		return 0;
	}
}

int imsipsec_stats_parse(const struct nlmsghdr *nlh, struct imsipsec_stats *stats)
{
	*stats = (struct imsipsec_stats){ 0 };
	return imsipsec_attr_walk_msg(nlh, stats_attr, stats);
}

static int stats_reply(struct imsipsec *h, const struct nlmsghdr *nlh, void *data)
{
	(void)data;
	return imsipsec_stats_parse(nlh, &h->stats);
}

int imsipsec_stats_get(struct imsipsec *h, const struct imsipsec_stats **stats)
{
	struct nlmsghdr *nlh = imsipsec_nl_request(h, IMS_IPSEC_CMD_STATS_GET, 0);
	int err;

	err = imsipsec_nl_get(h, nlh, stats_reply, NULL);
	if (!err)
		*stats = &h->stats;
	return err;
}
