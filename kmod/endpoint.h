/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef _IMS_ENDPOINT_H
#define _IMS_ENDPOINT_H

#include <linux/atomic.h>
#include <linux/bitmap.h>
#include <linux/ims_ipsec.h>
#include <linux/list.h>
#include <linux/rcupdate.h>

#include "addr.h"
#include "clear.h"
#include "offload.h"
#include "policy.h"
#include "trust.h"

struct ims_encap;
struct ims_net;
struct ims_trusts;
struct netlink_ext_ack;

/* What the guard finds is enum ims_ipsec_drop, or this: it drops nothing */
#define IMS_DROP_NOT	0
/* Reasons to drop, from 1 */
#define IMS_DROPS	(IMS_IPSEC_DROP_CLEAR_TO_UE + 1)

/**
 * struct ims_ports - the protected ports of an endpoint
 * @n: how many; of an endpoint, written under struct ims_net.lock and read under RCU
 * @port: the server port, then the pool of client ports; likewise
 */
struct ims_ports {
	unsigned int n;
	__be16 port[1 + IMS_IPSEC_PORT_PC_MAX];
};

/**
 * struct ims_port_map - the ports that any endpoint of a namespace has
 * @rcu: for freeing
 * @bits: by port, the protected ones; written under struct ims_net.lock
 * @esp: by port, those that ESP in UDP leaves from; likewise
 * @ues: by port, those that UEs have protected, and some that they had; likewise
 * @at_ues: by address and port, see ims_clear_bit(): the same ones
 *
 * So that what has nothing to do with an endpoint need not look at any.
 */
struct ims_port_map {
	struct rcu_head rcu;
	DECLARE_BITMAP(bits, 65536);
	DECLARE_BITMAP(esp, 65536);
	DECLARE_BITMAP(ues, 65536);
	DECLARE_BITMAP(at_ues, 1 << IMS_CLEAR_BITS);
};

/**
 * ims_port_bit() - the bit of a port in &struct ims_port_map
 * @port: the port
 *
 * Return: its number as packets have it, so that nothing has to turn it round.
 */
static inline unsigned int ims_port_bit(__be16 port)
{
	return (__force u16)port;
}

/* Reqids of the SAs that send from the server port, from client ports, and that receive */
enum ims_reqid {
	IMS_REQID_PS,
	IMS_REQID_PC,
	IMS_REQID_IN,
	IMS_REQIDS,
};

/**
 * struct ims_endpoint - a local address with its protected ports
 * @node: in struct ims_net.endpoint_list, RCU
 * @rcu: for freeing
 * @in: its namespace; constant
 * @id: as userspace knows it
 * @reqid: random, by enum ims_reqid; constant
 * @guard: enum ims_ipsec_guard; constant
 * @addr: constant
 * @ports: of which the first is constant
 * @encap: what takes ESP in UDP for it; NULL: it has no NAT traversal; constant
 * @nat_port: UDP port of that; constant
 * @hw: the interface that does its bundles' ESP
 * @trusts: prefixes whose traffic is not judged, NULL: none; written under struct ims_net.lock and
 *	struct ims_net.state_lock, read under RCU
 * @drops: how many packets the guard dropped, or XFRM, by enum ims_ipsec_drop
 * @n_bundles: under struct ims_net.lock
 * @going: it is being deleted, and gets no bundle any more; under struct ims_net.lock
 * @next_pc: which of the pool the next bundle gets; under struct ims_net.lock
 * @n_of: how many bundles each of @ports has, but for the first; under struct ims_net.lock
 * @pols: one for each of @ports, NULL if it is not there; under struct
 *	ims_net.lock
 */
struct ims_endpoint {
	struct list_head node;
	struct rcu_head rcu;
	struct ims_net *in;
	u32 id;
	u32 reqid[IMS_REQIDS];
	u8 guard;
	struct ims_addr addr;
	struct ims_ports ports;
	struct ims_encap *encap;
	__be16 nat_port;
	struct ims_offload hw;
	struct ims_trusts __rcu *trusts;
	atomic64_t drops[IMS_DROPS];
	u32 n_bundles;
	bool going;
	u32 next_pc;
	u32 n_of[1 + IMS_IPSEC_PORT_PC_MAX];
	struct xfrm_policy *pols[1 + IMS_IPSEC_PORT_PC_MAX];
};

/**
 * struct ims_endpoint_params - what a request for an endpoint says
 * @addr: local address
 * @ports: its ports
 * @guard: what becomes of what touches them unprotected
 * @nat: it has NAT traversal
 * @nat_shared: with somebody else's socket if there is one
 * @nat_port: UDP port of that
 * @hw: which interface does its bundles' ESP
 * @trust: prefixes whose traffic is not judged
 */
struct ims_endpoint_params {
	struct ims_addr addr;
	struct ims_ports ports;
	enum ims_ipsec_guard guard;
	bool nat;
	bool nat_shared;
	__be16 nat_port;
	struct ims_offload_wish hw;
	struct ims_trust_wishes trust;
};

struct ims_endpoint *ims_endpoint_create(struct ims_net *in,
					 const struct ims_endpoint_params *p,
					 struct netlink_ext_ack *extack);
int ims_endpoint_set_ports(struct ims_endpoint *ep, const struct ims_ports *ports,
			   struct netlink_ext_ack *extack);
void ims_endpoint_count(struct ims_endpoint *ep, __be16 port_pc, int n);
void ims_endpoint_delete(struct ims_net *in, struct ims_endpoint *ep);
void ims_endpoint_delete_all(struct ims_net *in);
bool ims_endpoint_has_port(const struct ims_endpoint *ep, __be16 port);
u32 ims_endpoint_reqid(const struct ims_endpoint *ep, __be16 port);
bool ims_endpoint_has_reqid(const struct ims_endpoint *ep, u32 reqid);
struct ims_endpoint *ims_endpoint_of_port(struct ims_net *in, const struct ims_addr *addr,
					  __be16 port);
struct ims_endpoint *ims_endpoint_with_bypass(struct ims_net *in, const struct ims_addr *addr,
					      __be16 port);
struct ims_endpoint *ims_endpoint_of_addr(struct ims_net *in, const struct ims_addr *addr);
struct ims_endpoint *ims_endpoint_at(struct ims_net *in, const struct ims_addr *addr);
bool ims_endpoint_sends_esp(struct ims_net *in, const struct ims_addr *addr, __be16 nat_port);
int ims_endpoint_restore_policies(struct ims_net *in);

#endif /* _IMS_ENDPOINT_H */
