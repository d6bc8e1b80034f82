// SPDX-License-Identifier: GPL-2.0-only
/* Limits: how near to them a network namespace is, told in time for somebody to act. */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/bits.h>
#include <linux/mutex.h>
#include <linux/printk.h>

#include "event.h"
#include "limit.h"
#include "netns.h"

/* Percent of a limit: it is told of from here on */
#define IMS_LIMIT_NEAR	90
/* and once more when it has been below this, so that going to and fro is told once */
#define IMS_LIMIT_REARM	80

/* For the kernel log: what there are so many of, and what sets how many */
static const char *const ims_limit_names[IMS_RESOURCES] = {
	[IMS_IPSEC_RESOURCE_ENDPOINTS] = "endpoints (max_endpoints)",
	[IMS_IPSEC_RESOURCE_REGISTRATIONS] = "registrations (mark_mask)",
	[IMS_IPSEC_RESOURCE_BUNDLES] = "bundles (max_bundles)",
	[IMS_IPSEC_RESOURCE_PENDING] = "temporary bundles (max_pending)",
	[IMS_IPSEC_RESOURCE_SPIS] = "SPIs (min_spi, max_spi)",
};

/**
 * ims_usage_is_near() - is a resource nearly exhausted
 * @u: how much of it is in use
 * @told: it was the last time
 *
 * Return: true if so.
 */
bool ims_usage_is_near(const struct ims_usage *u, bool told)
{
	return (u64)u->used * 100 >= (u64)u->limit * (told ? IMS_LIMIT_REARM : IMS_LIMIT_NEAR);
}

/**
 * ims_limit_usage() - how much of a resource is in use
 * @in: where
 * @resource: which
 *
 * Context: process, @in->lock held.
 * Return: what is used, and the limit; more can be used than that if it was lowered.
 */
struct ims_usage ims_limit_usage(const struct ims_net *in, enum ims_ipsec_resource resource)
{
	const struct ims_config *c = &in->config;

	lockdep_assert_held(&in->lock);

	switch (resource) {
	case IMS_IPSEC_RESOURCE_ENDPOINTS:
		return (struct ims_usage) { in->n_endpoints, c->max_endpoints };
	case IMS_IPSEC_RESOURCE_REGISTRATIONS:
		return (struct ims_usage) { in->n_registrations,
					    ims_config_max_registrations(c) };
	case IMS_IPSEC_RESOURCE_BUNDLES:
		return (struct ims_usage) { in->n_bundles, c->max_bundles };
	case IMS_IPSEC_RESOURCE_PENDING:
		return (struct ims_usage) { in->n_pending, c->max_pending };
	case IMS_IPSEC_RESOURCE_SPIS:
		return (struct ims_usage) { IMS_SPIS_A_BUNDLE * in->n_bundles,
					    c->spi.max - c->spi.min + 1 };
	}
	return (struct ims_usage) {};
}

/**
 * ims_limits_check() - what is used, or may be, has changed
 * @in: where
 *
 * An event and a line in the kernel log tell of a resource that has come near its limit.
 *
 * Context: process, sleeps, @in->lock held.
 */
void ims_limits_check(struct ims_net *in)
{
	enum ims_ipsec_resource resource;
	struct ims_usage u;
	bool told, near;

	lockdep_assert_held(&in->lock);

	for (resource = 1; resource < IMS_RESOURCES; resource++) {
		u = ims_limit_usage(in, resource);
		told = in->nearly_full & BIT(resource);
		near = ims_usage_is_near(&u, told);
		if (near == told)
			continue;
		in->nearly_full ^= BIT(resource);
		if (!near)
			continue;
		/* somebody may do this on purpose, in a namespace of his own */
		pr_warn_ratelimited("network namespace %u: %u of %u %s are in use\n",
				    in->net->ns.inum, u.used, u.limit, ims_limit_names[resource]);
		ims_event_send_nearly_full(in, resource, &u);
	}
}
