/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef _IMS_TCP_H
#define _IMS_TCP_H

#include "addr.h"

struct net;

void ims_tcp_abort(struct net *net, const struct ims_tuple *t);

#endif /* _IMS_TCP_H */
