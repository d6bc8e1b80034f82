/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef _IMS_IPVLAN_H
#define _IMS_IPVLAN_H

struct ims_net;
struct net;

int ims_ipvlan_init(void);
void ims_ipvlan_exit(void);
int ims_ipvlan_guard(struct net *net);
void ims_ipvlan_net_exit(struct ims_net *in);

#endif /* _IMS_IPVLAN_H */
