/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef _IMS_FIND_H
#define _IMS_FIND_H

#include "addr.h"

struct ims_bundle;
struct ims_net;
struct netlink_ext_ack;

struct ims_bundle *ims_find_tuple(struct ims_net *in, const struct ims_tuple *t, bool *tcp_only,
				  struct netlink_ext_ack *extack);
struct ims_bundle *ims_find_spi(struct ims_net *in, __be32 spi);
struct ims_bundle *ims_find_mark(struct ims_net *in, u32 mark);
struct ims_bundle *ims_find_tx_at(struct ims_net *in, const struct ims_addr *local,
				  const struct ims_addr *ue_addr, __be16 ue_port,
				  struct netlink_ext_ack *extack);

#endif /* _IMS_FIND_H */
