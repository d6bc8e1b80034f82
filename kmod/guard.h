/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef _IMS_GUARD_H
#define _IMS_GUARD_H

struct ims_endpoint;
struct ims_journal_drop;
struct ims_net;
struct net;
struct xfrm_state;

void ims_guard_init(struct ims_net *in);
int ims_guard_enable(struct ims_net *in);
void ims_guard_disable(struct ims_net *in);
void ims_guard_note_drop(struct ims_net *in, struct ims_endpoint *ep,
			 const struct ims_journal_drop *entry);
void ims_guard_note_bad(struct ims_net *in, const struct xfrm_state *x);
int ims_guard_visit(struct net *net);
void ims_guard_leave_alone(struct net *net);

#endif /* _IMS_GUARD_H */
