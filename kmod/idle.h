/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef _IMS_IDLE_H
#define _IMS_IDLE_H

struct work_struct;

void ims_idle_rearm(struct work_struct *work);

#endif /* _IMS_IDLE_H */
