/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef _IMS_FRAG_H
#define _IMS_FRAG_H

#include <linux/types.h>

struct ims_net;
struct nf_hook_state;
struct sk_buff;

void ims_frag_init(struct ims_net *in);
int ims_frag_enable(struct ims_net *in);
void ims_frag_disable(struct ims_net *in);
bool ims_frag_output(struct sk_buff *skb, const struct nf_hook_state *state);

#endif /* _IMS_FRAG_H */
