/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef _IMS_EVENT_H
#define _IMS_EVENT_H

#include <linux/ims_ipsec.h>

struct ims_bundle;
struct ims_net;
struct ims_usage;

void ims_event_send(const struct ims_bundle *b, enum ims_ipsec_event_type type,
		    enum ims_ipsec_reason reason, u8 old_state, u8 new_state);
void ims_event_send_nearly_full(struct ims_net *in, enum ims_ipsec_resource resource,
				const struct ims_usage *u);

#endif /* _IMS_EVENT_H */
