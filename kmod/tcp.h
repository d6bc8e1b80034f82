/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef _IMS_TCP_H
#define _IMS_TCP_H

struct ims_net;
struct ims_tuple;
struct work_struct;

void ims_tcp_abort(struct ims_net *in, const struct ims_tuple *t);
void ims_tcp_retry(struct work_struct *work);
void ims_tcp_net_exit(struct ims_net *in);

#endif /* _IMS_TCP_H */
