/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef _IMS_UES_H
#define _IMS_UES_H

#include "addr.h"

struct ims_bundle;
struct ims_net;

int ims_ues_init(struct ims_net *in);
void ims_ues_exit(struct ims_net *in);
int ims_ues_add(struct ims_bundle *b);
void ims_ues_remove(struct ims_bundle *b);
struct ims_bundle *ims_ues_find(struct ims_net *in, const struct ims_addr *ue_addr,
				bool (*match)(const struct ims_bundle *b, const void *data),
				const void *data);

#endif /* _IMS_UES_H */
