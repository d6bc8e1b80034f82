/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef _IMS_LIMIT_H
#define _IMS_LIMIT_H

#include <linux/ims_ipsec.h>
#include <linux/types.h>

struct ims_net;

/* Resources, from 1 */
#define IMS_RESOURCES	(IMS_IPSEC_RESOURCE_SPIS + 1)

/**
 * struct ims_usage - how much of a resource is in use
 * @used: how many
 * @limit: how many there can be
 */
struct ims_usage {
	u32 used;
	u32 limit;
};

bool ims_usage_is_near(const struct ims_usage *u, bool told);
struct ims_usage ims_limit_usage(const struct ims_net *in, enum ims_ipsec_resource resource);
void ims_limits_check(struct ims_net *in);

#endif /* _IMS_LIMIT_H */
