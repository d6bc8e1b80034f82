// SPDX-License-Identifier: GPL-2.0-only
/* The module: what starts and ends with it, and with a network namespace. */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/module.h>
#include <linux/random.h>
#include <linux/workqueue.h>

#include "alg.h"
#include "bundle.h"
#include "clear.h"
#include "compat.h"
#include "endpoint.h"
#include "frag.h"
#include "guard.h"
#include "idle.h"
#include "input.h"
#include "ipvlan.h"
#include "journal.h"
#include "netlink.h"
#include "netns.h"
#include "offload.h"
#include "sa.h"
#include "tcp.h"
#include "trust.h"
#include "ues.h"
#include "watch.h"

unsigned int ims_net_id;
struct workqueue_struct *ims_wq;

static struct ims_config ims_defaults;

static int __net_init ims_net_init(struct net *net)
{
	struct ims_net *in = ims_net(net);
	int err;

	ims_registrations_init(in);
	ims_ues_init(in);
	err = ims_clear_init(in);
	if (err)
		return err;
	in->net = net;
	in->config = ims_defaults;
	mutex_init(&in->lock);
	spin_lock_init(&in->state_lock);
	init_llist_head(&in->unsettled);
	INIT_WORK(&in->settle, ims_switch_settle);
	xa_init(&in->tcp_held);
	INIT_DELAYED_WORK(&in->tcp_retry, ims_tcp_retry);
	INIT_LIST_HEAD(&in->endpoint_list);
	INIT_LIST_HEAD(&in->encaps);
	in->reqid_key = get_random_u32();
	ims_guard_init(in);
	ims_frag_init(in);
	INIT_DELAYED_WORK(&in->restore, ims_watch_restore);
	INIT_WORK(&in->sa_gone, ims_watch_sa_gone);
	in->due = RB_ROOT_CACHED;
	in->expire_at = U64_MAX;
	INIT_DELAYED_WORK(&in->expire, ims_bundle_expire);
	INIT_WORK(&in->rearm, ims_idle_rearm);
	xa_init_flags(&in->endpoints, XA_FLAGS_ALLOC1);
	xa_init_flags(&in->bundles, XA_FLAGS_ALLOC1);
	xa_init_flags(&in->spis, XA_FLAGS_ALLOC1);
	return 0;
}

static void __net_exit ims_net_exit_batch(struct list_head *nets)
{
	struct ims_net *in;
	struct net *net;

	list_for_each_entry(net, nets, exit_list) {
		in = ims_net(net);
		mutex_lock(&in->lock);
		ims_bundle_delete_all(in, NULL);
		ims_endpoint_delete_all(in);
		mutex_unlock(&in->lock);
		ims_ipvlan_net_exit(in);
	}
	/* What lost the race and finds nothing left: it takes the mutex. Its own work alone. */
	list_for_each_entry(net, nets, exit_list) {
		in = ims_net(net);
		cancel_delayed_work_sync(&in->restore);
		cancel_work_sync(&in->rearm);
		cancel_delayed_work_sync(&in->expire);
		flush_work(&in->settle);
		flush_work(&in->sa_gone);
		ims_tcp_net_exit(in);
	}
	/* the bundles' last references; no packet is in the hooks any more either */
	rcu_barrier();

	list_for_each_entry(net, nets, exit_list) {
		in = ims_net(net);
		ims_clear_exit(in);
		ims_registrations_exit(in);
		xa_destroy(&in->endpoints);
		xa_destroy(&in->bundles);
		xa_destroy(&in->spis);
		ims_journal_close(in);
		mutex_destroy(&in->lock);
	}
}

static struct pernet_operations ims_net_ops = {
	.init = ims_net_init,
	.exit_batch = ims_net_exit_batch,
	.id = &ims_net_id,
	.size = sizeof(struct ims_net),
};

static int __init ims_init(void)
{
	int err;

	err = ims_config_defaults(&ims_defaults);
	if (err)
		return err;
	ims_alg_init();
	ims_sa_warm_up();

	err = ims_bundles_init();
	if (err)
		goto exit_alg;
	err = -ENOMEM;
	ims_wq = alloc_workqueue("ims_ipsec", WQ_UNBOUND, 0);
	if (!ims_wq)
		goto exit_bundles;
	err = register_pernet_subsys(&ims_net_ops);
	if (err)
		goto destroy_wq;
	err = ims_input_init();
	if (err)
		goto unregister_pernet;
	ims_watch_init();
	err = ims_offload_init();
	if (err)
		goto unregister_watch;
	err = ims_trust_init();
	if (err)
		goto unregister_offload;
	err = ims_ipvlan_init();
	if (err)
		goto unregister_trust;
	err = ims_netlink_init();
	if (err)
		goto unregister_ipvlan;
	return 0;

unregister_ipvlan:
	ims_ipvlan_exit();
unregister_trust:
	ims_trust_exit();
unregister_offload:
	ims_offload_exit();
unregister_watch:
	ims_watch_exit();
	ims_input_exit();
unregister_pernet:
	unregister_pernet_subsys(&ims_net_ops);
destroy_wq:
	destroy_workqueue(ims_wq);
exit_bundles:
	ims_bundles_exit();
exit_alg:
	ims_alg_exit();
	return err;
}

static void __exit ims_exit(void)
{
	/* No request can come any more, then no namespace has anything left. */
	ims_netlink_exit();
	ims_ipvlan_exit();
	ims_trust_exit();
	ims_offload_exit();
	ims_watch_exit();
	ims_input_exit();
	unregister_pernet_subsys(&ims_net_ops);
	destroy_workqueue(ims_wq);
	ims_bundles_exit();
	ims_alg_exit();
}

module_init(ims_init);
module_exit(ims_exit);

MODULE_DESCRIPTION("IMS access security (ipsec-3gpp) for P-CSCFs");
MODULE_AUTHOR("The ims_ipsec authors");
MODULE_LICENSE("GPL");
MODULE_VERSION(IMS_IPSEC_VERSION);
MODULE_ALIAS_GENL_FAMILY(IMS_IPSEC_FAMILY_NAME);
/*
 * What the processor has for the algorithms, which boot loads as a rule; and the
 * DRBG behind the IV generators is several times slower without SHA-512's.
 */
MODULE_SOFTDEP("pre: crypto-aes crypto-sha1 crypto-sha512 esp4 esp6");
