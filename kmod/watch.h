/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef _IMS_WATCH_H
#define _IMS_WATCH_H

struct ims_net;
struct work_struct;

void ims_watch_init(void);
void ims_watch_exit(void);
void ims_watch_retry(struct ims_net *in);
void ims_watch_restore(struct work_struct *work);
void ims_watch_sa_gone(struct work_struct *work);

#endif /* _IMS_WATCH_H */
