/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef _IMS_UES_H
#define _IMS_UES_H

#include "addr.h"
#include "bundle.h"

struct ims_net;

/* What a question is asked of, gets a bundle that could be meant, and what the caller has passed */
typedef bool ims_ues_match(const struct ims_bundle *b, const void *data);

/**
 * enum ims_ues_who - which bundles at a UE's port are meant
 * @IMS_UES_UNMARKED: those that need no mark: of different registrations there cannot be many
 * @IMS_UES_MARKED: those that are told apart by marks, as many as there are
 */
enum ims_ues_who {
	IMS_UES_UNMARKED,
	IMS_UES_MARKED,
};

void ims_ues_init(struct ims_net *in);
void ims_ues_add(struct ims_bundle *b);
void ims_ues_remove(struct ims_bundle *b);
struct ims_bundle *ims_ues_next(struct ims_net *in, const struct ims_addr *ue_addr, u64 *pos);
struct ims_bundle *ims_ues_find(struct ims_net *in, const struct ims_addr *ue_addr,
				ims_ues_match *match, const void *data);
struct ims_bundle *ims_ues_find_uc(struct ims_net *in, const struct ims_addr *ue_addr,
				   __be16 port_uc, enum ims_ues_who who,
				   ims_ues_match *match, const void *data);
struct ims_bundle *ims_ues_find_us(struct ims_net *in, const struct ims_addr *ue_addr,
				   __be16 port_us, enum ims_ues_who who, __be16 port_pc,
				   const struct ims_endpoint *ep,
				   ims_ues_match *match, const void *data);
struct ims_ue_port *ims_ues_find_port(struct ims_net *in, const struct ims_addr *ue_addr,
				      __be16 port);

#endif /* _IMS_UES_H */
