// SPDX-License-Identifier: GPL-2.0-only
/*
 * Sockets for ESP in UDP (RFC 3948): the kernel's own, so that they are there when the
 * SIP server is not.
 */
#include <linux/list.h>
#include <linux/net.h>
#include <linux/slab.h>
#include <linux/udp.h>
#include <net/ip.h>
#include <net/ipv6.h>
#include <net/sock.h>
#include <net/udp.h>

#include "addr.h"
#include "compat.h"
#include "encap.h"
#include "frag.h"
#include "netns.h"

/* How many there are, of all namespaces */
atomic_t ims_encap_sockets;

/**
 * struct ims_encap - what takes ESP in UDP at an address and port
 * @node: in struct ims_net.encaps
 * @rcu: for freeing
 * @addr: constant, as all that follow but @users
 * @port: UDP port
 * @users: how many endpoints have it; under struct ims_net.lock
 * @sock: the socket; NULL: it is somebody else's, who has one for ESP there
 * @rcv: XFRM's function for what the socket receives
 */
struct ims_encap {
	struct list_head node;
	struct rcu_head rcu;
	struct ims_addr addr;
	__be16 port;
	unsigned int users;
	struct socket *sock;
	int (*rcv)(struct sock *sk, struct sk_buff *skb);
};

/*
 * XFRM takes ESP and swallows keep-alives. What it would leave to whoever reads the
 * socket, IKE behind its marker, nobody does.
 */
static int ims_encap_rcv(struct sock *sk, struct sk_buff *skb)
{
	const struct ims_encap *encap = rcu_dereference_sk_user_data(sk);
	int ret = encap ? encap->rcv(sk, skb) : 1;

	if (ret <= 0)
		return ret;
	kfree_skb(skb);
	return 0;
}

static int ims_encap_set_option(struct sock *sk, int name, int value)
{
	return sk->sk_prot->setsockopt(sk, SOL_UDP, name, KERNEL_SOCKPTR(&value),
				       sizeof(value));
}

static int ims_encap_bind(struct ims_encap *encap)
{
	struct sockaddr_in6 sin6 = {
		.sin6_family = AF_INET6,
		.sin6_port = encap->port,
		.sin6_addr = encap->addr.in6,
	};
	struct sockaddr_in sin = {
		.sin_family = AF_INET,
		.sin_port = encap->port,
		.sin_addr = encap->addr.in,
	};

	/* the address need not be there yet */
	ip_sock_set_freebind(encap->sock->sk);
	if (encap->addr.family == AF_INET)
		return ims_compat_bind(encap->sock, &sin, sizeof(sin));
	return ims_compat_bind(encap->sock, &sin6, sizeof(sin6));
}

static int ims_encap_open(struct ims_encap *encap, struct net *net)
{
	int err = sock_create_kern(net, encap->addr.family, SOCK_DGRAM, IPPROTO_UDP, &encap->sock);
	struct sock *sk;

	/* ENFILE: there was no memory for an inode */
	if (err)
		return err == -ENFILE ? -ENOMEM : err;
	sk = encap->sock->sk;
	err = ims_encap_bind(encap);
	/* a checksum of zero is what RFC 3948 asks for; what matters has an ICV */
	if (!err && encap->addr.family == AF_INET6)
		err = ims_encap_set_option(sk, UDP_NO_CHECK6_RX, 1);
	/* ESP is taken before it gets to the socket, where the kernel can */
	if (!err && IMS_COMPAT_ENCAP_GRO)
		err = ims_encap_set_option(sk, UDP_GRO, 1);
	if (!err)
		err = ims_encap_set_option(sk, UDP_ENCAP, UDP_ENCAP_ESPINUDP);
	if (err) {
		sock_release(encap->sock);
		encap->sock = NULL;
		return err;
	}
	encap->rcv = READ_ONCE(udp_sk(sk)->encap_rcv);
	rcu_assign_sk_user_data(sk, encap);
	WRITE_ONCE(udp_sk(sk)->encap_rcv, ims_encap_rcv);
	atomic_inc(&ims_encap_sockets);
	return 0;
}

/* Has somebody a socket for ESP in UDP there? */
static bool ims_encap_is_elsewhere(const struct ims_encap *encap, struct net *net)
{
	const struct sock *sk;
	bool found;

	rcu_read_lock();
	if (encap->addr.family == AF_INET)
		sk = ims_compat_udp_lookup4(net, htonl(INADDR_ANY), 0, encap->addr.in.s_addr,
					    encap->port, 0, 0);
	else
		sk = ims_compat_udp_lookup6(net, &in6addr_any, 0, &encap->addr.in6,
					    encap->port, 0, 0);
	found = sk && READ_ONCE(udp_sk(sk)->encap_type) == UDP_ENCAP_ESPINUDP;
	rcu_read_unlock();
	return found;
}

static int ims_encap_taken(__be16 port, struct netlink_ext_ack *extack)
{
	NL_SET_ERR_MSG_FMT(extack, "nat-port %u is taken: by an IKE daemon? see nat-shared",
			   ntohs(port));
	return -EADDRINUSE;
}

static int ims_encap_set_up(struct ims_encap *encap, struct net *net, bool share,
			    struct netlink_ext_ack *extack)
{
	int err = ims_encap_open(encap, net);

	if (err != -EADDRINUSE) {
		if (err)
			NL_SET_ERR_MSG_FMT(extack, "no socket at nat-port %u: error %d",
					   ntohs(encap->port), -err);
		return err;
	}
	if (!share)
		return ims_encap_taken(encap->port, extack);
	if (!ims_encap_is_elsewhere(encap, net)) {
		NL_SET_ERR_MSG_FMT(extack, "nat-port %u is taken, and not for ESP in UDP",
				   ntohs(encap->port));
		return err;
	}
	return 0;
}

/**
 * ims_encap_get() - have ESP in UDP taken at an address and port
 * @in: where
 * @addr: local address
 * @port: UDP port
 * @share: somebody else's socket for it will do
 * @extack: gets the reason
 *
 * Context: process, sleeps, @in->lock held.
 * Return: what takes it, to be given to ims_encap_put(), or an ERR_PTR: -EADDRINUSE if
 * the port is taken, -ENOMEM, or what a socket gives.
 */
struct ims_encap *ims_encap_get(struct ims_net *in, const struct ims_addr *addr, __be16 port,
				bool share, struct netlink_ext_ack *extack)
{
	struct ims_encap *encap;
	int err;

	lockdep_assert_held(&in->lock);

	list_for_each_entry(encap, &in->encaps, node) {
		if (encap->port != port || !ims_addr_equal(&encap->addr, addr))
			continue;
		if (!encap->sock && !share)
			return ERR_PTR(ims_encap_taken(port, extack));
		encap->users++;
		return encap;
	}
	encap = kzalloc(sizeof(*encap), GFP_KERNEL_ACCOUNT);
	if (!encap)
		return ERR_PTR(-ENOMEM);
	encap->addr = *addr;
	encap->port = port;
	encap->users = 1;
	err = list_empty(&in->encaps) ? ims_frag_enable(in) : 0;
	if (err)
		goto free;
	err = ims_encap_set_up(encap, in->net, share, extack);
	if (err)
		goto disable;
	list_add_tail(&encap->node, &in->encaps);
	return encap;

disable:
	if (list_empty(&in->encaps))
		ims_frag_disable(in);
free:
	kfree(encap);
	return ERR_PTR(err);
}

/**
 * ims_encap_put() - an endpoint does not need it any more
 * @in: where
 * @encap: from ims_encap_get(), or NULL
 *
 * Context: process, sleeps, @in->lock held. A packet may still be on its way through
 * it; whoever unloads the module waits for that.
 */
void ims_encap_put(struct ims_net *in, struct ims_encap *encap)
{
	lockdep_assert_held(&in->lock);

	if (!encap || --encap->users)
		return;
	list_del(&encap->node);
	if (encap->sock) {
		atomic_dec(&ims_encap_sockets);
		sock_release(encap->sock);
	}
	if (list_empty(&in->encaps))
		ims_frag_disable(in);
	kfree_rcu(encap, rcu);
}

/**
 * ims_encap_is_shared() - is it somebody else's socket
 * @encap: from ims_encap_get()
 *
 * Return: true if so.
 */
bool ims_encap_is_shared(const struct ims_encap *encap)
{
	return !encap->sock;
}
