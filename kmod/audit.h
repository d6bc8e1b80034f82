/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef _IMS_AUDIT_H
#define _IMS_AUDIT_H

#include <linux/preempt.h>
#include <linux/sched.h>

/**
 * ims_audit_has_user() - is what happens now somebody's doing
 *
 * So that the kernel's audit names the user. A packet may come while any task runs, and works and
 * timers are the kernel's own.
 *
 * Context: any.
 * Return: true if the task that runs has asked for it.
 */
static inline bool ims_audit_has_user(void)
{
	return in_task() && !(current->flags & PF_KTHREAD);
}

#endif /* _IMS_AUDIT_H */
