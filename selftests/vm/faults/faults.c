// SPDX-License-Identifier: GPL-2.0-only
/*
 * Does wrong on request, to see that the runner notices:
 * insmod faults.ko what=...
 */
#include <linux/delay.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/slab.h>
#include <linux/spinlock.h>

static char *what = "";
module_param(what, charp, 0444);

static DEFINE_SPINLOCK(a);
static DEFINE_SPINLOCK(b);
static DEFINE_MUTEX(mutex);
static void *kept;

static noinline void leak(void)
{
	/* Not the last pointer: that one may stay on the stack or in a register */
	int i;

	for (i = 0; i < 16; i++)
		kept = kmalloc(100, GFP_KERNEL);
}

static noinline void use_after_free(void)
{
	char *p = kmalloc(32, GFP_KERNEL);

	kfree(p);
	OPTIMIZER_HIDE_VAR(p);
	WRITE_ONCE(*p, 1);
}

static noinline int shift(int by)
{
	OPTIMIZER_HIDE_VAR(by);
	return 1 << by;
}

static noinline void inversion(void)
{
	spin_lock(&a);
	spin_lock(&b);
	spin_unlock(&b);
	spin_unlock(&a);

	spin_lock(&b);
	spin_lock(&a);
	spin_unlock(&a);
	spin_unlock(&b);
}

static noinline void sleep_in_atomic(void)
{
	spin_lock(&a);
	mutex_lock(&mutex);
	mutex_unlock(&mutex);
	spin_unlock(&a);
}

static int __init faults_init(void)
{
	if (!strcmp(what, "warn"))
		WARN(1, "as asked for\n");
	else if (!strcmp(what, "bug"))
		BUG();
	else if (!strcmp(what, "oops"))
		WRITE_ONCE(*(int *)8, 1);
	else if (!strcmp(what, "stay"))
		__module_get(THIS_MODULE);
	else if (!strcmp(what, "refuse"))
		return -EPERM;
	else if (!strcmp(what, "leak"))
		leak();
	else if (!strcmp(what, "kasan"))
		use_after_free();
	else if (!strcmp(what, "ubsan"))
		pr_info("%d\n", shift(40));
	else if (!strcmp(what, "lockdep"))
		inversion();
	else if (!strcmp(what, "atomic"))
		sleep_in_atomic();
	return 0;
}

static void __exit faults_exit(void)
{
	kept = NULL;
}

module_init(faults_init);
module_exit(faults_exit);
MODULE_DESCRIPTION("Does wrong on request");
MODULE_LICENSE("GPL");
