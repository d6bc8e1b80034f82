// SPDX-License-Identifier: GPL-2.0-only
/* A new idle_timeout, which is for the bundles that are there as well. */
#include <linux/sched.h>

#include "bundle.h"
#include "idle.h"
#include "netns.h"

/* Timers that are set anew while the mutex is held */
#define IMS_IDLE_SLICE	64

/* @id: where to go on; is there more? */
static bool ims_idle_rearm_some(struct ims_net *in, unsigned long *id)
{
	struct ims_bundle *b;
	int left = IMS_IDLE_SLICE;

	lockdep_assert_held(&in->lock);

	xa_for_each_start(&in->bundles, *id, b, *id) {
		if (!left--)
			return true;
		ims_bundle_rearm(b);
	}
	return false;
}

/**
 * ims_idle_rearm() - have each bundle looked at when the new timeout is over
 * @work: struct ims_net.rearm
 *
 * A timer that was set by an older and longer timeout fires too late.
 *
 * Context: process, sleeps; takes struct ims_net.lock, for some bundles at a time.
 */
void ims_idle_rearm(struct work_struct *work)
{
	struct ims_net *in = container_of(work, struct ims_net, rearm);
	unsigned long id = 0;
	bool more;

	do {
		mutex_lock(&in->lock);
		more = ims_idle_rearm_some(in, &id);
		mutex_unlock(&in->lock);
		cond_resched();
	} while (more);
}
