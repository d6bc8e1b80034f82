// SPDX-License-Identifier: GPL-2.0-only
/*
 * What others do to XFRM's tables, which are everybody's: an IKE daemon or an
 * operator may flush policies, and then those of the endpoints come back.
 */
#include <linux/workqueue.h>
#include <net/xfrm.h>

#include "endpoint.h"
#include "nat.h"
#include "netns.h"
#include "watch.h"

#define IMS_WATCH_RETRY	HZ

/**
 * ims_watch_restore() - put the policies of a namespace back
 * @work: struct ims_net.restore
 *
 * Context: process, sleeps; takes struct ims_net.lock.
 */
void ims_watch_restore(struct work_struct *work)
{
	struct ims_net *in = container_of(to_delayed_work(work), struct ims_net, restore);
	int err;

	mutex_lock(&in->lock);
	err = ims_endpoint_restore_policies(in);
	if (!err)
		err = ims_nat_restore_policies(in);
	mutex_unlock(&in->lock);
	if (err)
		queue_delayed_work(ims_wq, &in->restore, IMS_WATCH_RETRY);
}

/* Called under RCU. Which policies are gone is seen by the work. */
static int ims_watch_policy(struct xfrm_policy *pol, int dir, const struct km_event *c)
{
	struct ims_net *in = ims_net(pol ? xp_net(pol) : c->net);

	if (ims_policy_is_own_notice())
		return 0;
	switch (c->event) {
	case XFRM_MSG_DELPOLICY:
	case XFRM_MSG_UPDPOLICY:
	case XFRM_MSG_FLUSHPOLICY:
		if (READ_ONCE(in->guarded))
			mod_delayed_work(ims_wq, &in->restore, 0);
	}
	return 0;
}

/* XFRM calls these two without looking whether they are there. */
static int ims_watch_acquire(struct xfrm_state *x, struct xfrm_tmpl *t, struct xfrm_policy *pol)
{
	return -EINVAL;	/* not for us */
}

static struct xfrm_policy *ims_watch_compile_policy(struct sock *sk, int opt, u8 *data, int len,
						    int *dir)
{
	return NULL;	/* nor this: @dir keeps the error that it has */
}

static struct xfrm_mgr ims_watch_mgr = {
	.acquire = ims_watch_acquire,
	.compile_policy = ims_watch_compile_policy,
	.notify_policy = ims_watch_policy,
};

/**
 * ims_watch_init() - begin to watch
 *
 * Context: process.
 */
void ims_watch_init(void)
{
	xfrm_register_km(&ims_watch_mgr);
}

/**
 * ims_watch_exit() - no more is noticed; what was may still be at work
 *
 * Context: process, sleeps.
 */
void ims_watch_exit(void)
{
	xfrm_unregister_km(&ims_watch_mgr);
}
