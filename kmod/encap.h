/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef _IMS_ENCAP_H
#define _IMS_ENCAP_H

#include <linux/atomic.h>
#include <linux/types.h>

struct ims_addr;
struct ims_encap;
struct ims_net;
struct netlink_ext_ack;

extern atomic_t ims_encap_sockets;

struct ims_encap *ims_encap_get(struct ims_net *in, const struct ims_addr *addr, __be16 port,
				bool share, struct netlink_ext_ack *extack);
void ims_encap_put(struct ims_net *in, struct ims_encap *encap);
bool ims_encap_is_shared(const struct ims_encap *encap);

#endif /* _IMS_ENCAP_H */
