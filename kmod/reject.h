/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef _IMS_REJECT_H
#define _IMS_REJECT_H

struct nf_hook_state;
struct sk_buff;

bool ims_reject_is_own(void);
void ims_reject_input(struct sk_buff *skb, const struct nf_hook_state *state);

#endif /* _IMS_REJECT_H */
