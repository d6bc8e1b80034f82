/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef _IMS_CLEAR_H
#define _IMS_CLEAR_H

#include <linux/hash.h>
#include <linux/types.h>

#include "bundle.h"

struct ims_addr;
struct ims_endpoint;
struct ims_net;
struct sk_buff;

/* Of struct ims_port_map.at_ues: few of it are set where there are some thousand UEs */
#define IMS_CLEAR_BITS	15

/**
 * ims_clear_bit() - the bit of a UE's port, which is others' as well
 * @addr: ims_addr_number() of the UE's address
 * @port: the port
 *
 * Return: which bit of struct ims_port_map.at_ues.
 */
static inline u32 ims_clear_bit(u32 addr, __be16 port)
{
	return hash_32(addr ^ (__force u32)port, IMS_CLEAR_BITS);
}

int ims_clear_init(struct ims_net *in);
void ims_clear_exit(struct ims_net *in);
struct ims_ue_port *ims_clear_first(const struct ims_bundle *b, enum ims_flow flow);
struct ims_ue_port *ims_clear_first_at(struct ims_net *in, const struct ims_addr *addr,
				       __be16 port);
int ims_clear_add(struct ims_bundle *b);
void ims_clear_confirm(struct ims_bundle *b);
void ims_clear_remove(struct ims_bundle *b);
bool ims_clear_is_to_ue(struct ims_net *in, const struct sk_buff *skb, __be16 port);
struct ims_endpoint *ims_clear_endpoint(struct ims_net *in, const struct ims_addr *addr,
					__be16 port);
bool ims_clear_has_set(struct ims_net *in, const struct ims_addr *addr, __be16 port);

#endif /* _IMS_CLEAR_H */
