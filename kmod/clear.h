/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef _IMS_CLEAR_H
#define _IMS_CLEAR_H

#include <linux/types.h>

struct ims_addr;
struct ims_bundle;
struct ims_endpoint;
struct ims_net;
struct sk_buff;

int ims_clear_init(struct ims_net *in);
void ims_clear_exit(struct ims_net *in);
int ims_clear_add(struct ims_bundle *b);
void ims_clear_confirm(struct ims_bundle *b);
void ims_clear_remove(struct ims_bundle *b);
bool ims_clear_is_to_ue(struct ims_net *in, const struct sk_buff *skb, __be16 port);
struct ims_endpoint *ims_clear_endpoint(struct ims_net *in, const struct ims_addr *addr,
					__be16 port);
bool ims_clear_has_set(struct ims_net *in, const struct ims_addr *addr, __be16 port);

#endif /* _IMS_CLEAR_H */
