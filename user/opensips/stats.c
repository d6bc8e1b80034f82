// SPDX-License-Identifier: GPL-2.0-or-later
/* Statistics, which the kernel counts for the network namespace. */
#include <errno.h>
#include <stdint.h>

#include "dprint.h"
#include "timer.h"

#include "proto_ims_ipsec.h"

static const struct imsipsec_stats *read_stats(void)
{
	const struct imsipsec_stats *stats;
	bool tried = false;
	int err;

	if (!kernel())
		return NULL;
	do
		err = imsipsec_stats_get(kernel(), &stats);
	while (kernel_again(err, &tried));
	if (!err)
		return stats;
	kernel_failed("the statistics", err);
	return NULL;
}

#define STATISTIC(name)                                                \
	static unsigned long get_##name(void *context)                 \
	{                                                              \
		const struct imsipsec_stats *stats = read_stats();     \
                                                                       \
		return stats ? stats->name : 0;                        \
	}

STATISTIC(endpoints)
STATISTIC(registrations)
STATISTIC(bundles)
STATISTIC(pending)
STATISTIC(nat_bundles)
STATISTIC(max_bundles)
STATISTIC(created)
STATISTIC(refused)
STATISTIC(confirmed)
STATISTIC(activated)
STATISTIC(superseded)
STATISTIC(expired)
STATISTIC(deleted)

#define EXPORT(name) { #name, STAT_IS_FUNC, (stat_var **)get_##name }

const stat_export_t statistics[] = {
	EXPORT(endpoints), EXPORT(registrations), EXPORT(bundles),     EXPORT(pending),
	EXPORT(nat_bundles), EXPORT(max_bundles), EXPORT(created),     EXPORT(refused),
	EXPORT(confirmed),   EXPORT(activated),	  EXPORT(superseded), EXPORT(expired),
	EXPORT(deleted),     { 0 },
};
