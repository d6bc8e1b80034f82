// SPDX-License-Identifier: GPL-2.0-only
/* A new idle_timeout, which is for the bundles that are there as well. */
#include "bundle.h"
#include "idle.h"
#include "netns.h"

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
	unsigned int steps = 0;
	struct ims_bundle *b;
	u64 pos;

	mutex_lock(&in->lock);
	for (pos = 0; (b = ims_bundle_next(in, &pos)); pos++) {
		ims_bundle_rearm(b);
		ims_net_pause(in, &steps, 1);
	}
	mutex_unlock(&in->lock);
}
