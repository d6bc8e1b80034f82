// SPDX-License-Identifier: GPL-2.0-only
/*
 * How long xfrm_state_lock is held in the network namespace of whoever loads
 * this module: nanoseconds, which are instructions where the clock counts those.
 *
 * Probes on the functions that take and release a spinlock, with BH disabled or
 * as they are, note the time when they have the lock and when they are asked to
 * release it. What of that is the probes' own is found with pairs that have
 * nothing between them, and subtracted. For one CPU.
 */
#include <linux/kprobes.h>
#include <linux/ktime.h>
#include <linux/module.h>
#include <linux/nsproxy.h>
#include <linux/sched.h>
#include <linux/spinlock.h>
#include <net/net_namespace.h>

#define EMPTY_PAIRS	64

static bool on;
module_param(on, bool, 0644);
MODULE_PARM_DESC(on, "Whether to measure");

static long held;
module_param(held, long, 0444);
MODULE_PARM_DESC(held, "How long the lock was held while on");

static ulong taken;
module_param(taken, ulong, 0444);
MODULE_PARM_DESC(taken, "How often");

static struct net *net;
static spinlock_t *lock;
static s64 since;

static int lock_asked(struct kretprobe_instance *ri, struct pt_regs *regs)
{
	return !on || (spinlock_t *)regs_get_kernel_argument(regs, 0) != lock;
}

static int lock_taken(struct kretprobe_instance *ri, struct pt_regs *regs)
{
	since = ktime_get_ns();
	return 0;
}

static int lock_released(struct kprobe *p, struct pt_regs *regs);

static struct kretprobe take = {
	.kp.symbol_name = "_raw_spin_lock",
	.entry_handler = lock_asked,
	.handler = lock_taken,
};

static struct kretprobe take_bh = {
	.kp.symbol_name = "_raw_spin_lock_bh",
	.entry_handler = lock_asked,
	.handler = lock_taken,
};

static struct kprobe release = {
	.symbol_name = "_raw_spin_unlock",
	.pre_handler = lock_released,
};

static struct kprobe release_bh = {
	.symbol_name = "_raw_spin_unlock_bh",
	.pre_handler = lock_released,
};

static struct kretprobe *takes[] = { &take, &take_bh };
static struct kprobe *releases[] = { &release, &release_bh };
static long empty[ARRAY_SIZE(releases)];

static int lock_released(struct kprobe *p, struct pt_regs *regs)
{
	s64 now = ktime_get_ns();

	if (!on || !since || (spinlock_t *)regs_get_kernel_argument(regs, 0) != lock)
		return 0;
	held += now - since - empty[p == &release_bh];
	taken++;
	since = 0;
	return 0;
}

static int lock_calibrate(void)
{
	unsigned int i, bh;

	for (bh = 0; bh < ARRAY_SIZE(empty); bh++) {
		held = 0;
		taken = 0;
		on = true;
		for (i = 0; i < EMPTY_PAIRS; i++) {
			if (bh) {
				spin_lock_bh(lock);
				spin_unlock_bh(lock);
			} else {
				spin_lock(lock);
				spin_unlock(lock);
			}
		}
		on = false;
		if (taken != EMPTY_PAIRS)
			return -EIO;	/* it would not notice either */
		empty[bh] = held / EMPTY_PAIRS;
	}
	held = 0;
	taken = 0;
	return 0;
}

static int __init lock_init(void)
{
	int err;

	net = get_net(current->nsproxy->net_ns);
	lock = &net->xfrm.xfrm_state_lock;
	err = register_kretprobes(takes, ARRAY_SIZE(takes));
	if (err)
		goto put;
	err = register_kprobes(releases, ARRAY_SIZE(releases));
	if (err)
		goto unregister;
	err = lock_calibrate();
	if (err)
		goto unregister_releases;
	return 0;

unregister_releases:
	unregister_kprobes(releases, ARRAY_SIZE(releases));
unregister:
	unregister_kretprobes(takes, ARRAY_SIZE(takes));
put:
	put_net(net);
	return err;
}
module_init(lock_init);

static void __exit lock_exit(void)
{
	unregister_kprobes(releases, ARRAY_SIZE(releases));
	unregister_kretprobes(takes, ARRAY_SIZE(takes));
	put_net(net);
	pr_info("the probes' own: %ld, with BH disabled %ld\n", empty[0], empty[1]);
}
module_exit(lock_exit);

MODULE_DESCRIPTION("How long xfrm_state_lock is held");
MODULE_LICENSE("GPL");
