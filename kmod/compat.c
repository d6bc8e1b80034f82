// SPDX-License-Identifier: GPL-2.0-only
#include "compat.h"

#ifdef IMS_COMPAT_ERR_MSG

#include <linux/atomic.h>
#include <linux/kernel.h>

#define IMS_COMPAT_MSGS		64
#define IMS_COMPAT_MSG_LEN	160

/*
 * The text must outlive the request's handler until the core, right after it,
 * copies it into the answer: a ring far longer than requests are in flight.
 */
static char ims_compat_msgs[IMS_COMPAT_MSGS][IMS_COMPAT_MSG_LEN];
static atomic_t ims_compat_next_msg;

/**
 * ims_compat_set_err_msg() - NL_SET_ERR_MSG_FMT() where there is none
 * @extack: may be NULL
 * @fmt: as printf()
 */
void ims_compat_set_err_msg(struct netlink_ext_ack *extack, const char *fmt, ...)
{
	unsigned int i = (unsigned int)atomic_inc_return(&ims_compat_next_msg) %
			 IMS_COMPAT_MSGS;
	va_list args;

	if (!extack)
		return;
	va_start(args, fmt);
	vsnprintf(ims_compat_msgs[i], IMS_COMPAT_MSG_LEN, fmt, args);
	va_end(args);
	extack->_msg = ims_compat_msgs[i];
}

#endif /* IMS_COMPAT_ERR_MSG */
