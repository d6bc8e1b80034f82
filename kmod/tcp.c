// SPDX-License-Identifier: GPL-2.0-only
/* Connections over a bundle: they end with it. */
#include <net/inet6_hashtables.h>
#include <net/inet_hashtables.h>
#include <net/tcp.h>

#include "addr.h"
#include "tcp.h"

/*
 * Sockets that are bound to a device, or accepted by such a listener, do not stand in the
 * way of each other: there may be one for each. More than these nobody has.
 */
#define IMS_TCP_MAX	16

static u32 ims_tcp_hash(const struct net *net, const struct ims_tuple *t)
{
	if (t->src.family == AF_INET)
		return inet_ehashfn(net, t->src.in.s_addr, ntohs(t->sport),
				    t->dst.in.s_addr, t->dport);
	return inet6_ehashfn(net, &t->src.in6, ntohs(t->sport), &t->dst.in6, t->dport);
}

/* Whatever the device; @sk may be one in TIME_WAIT, or a request, which have no more than this. */
static bool ims_tcp_is(const struct sock *sk, const struct net *net, const struct ims_tuple *t)
{
	if (!net_eq(sock_net(sk), net) || sk->sk_num != ntohs(t->sport) ||
	    sk->sk_dport != t->dport)
		return false;
	if (t->src.family == AF_INET)
		return sk->sk_rcv_saddr == t->src.in.s_addr && sk->sk_daddr == t->dst.in.s_addr;
	return sk->sk_family == AF_INET6 &&
	       ipv6_addr_equal(&sk->sk_v6_rcv_saddr, &t->src.in6) &&
	       ipv6_addr_equal(&sk->sk_v6_daddr, &t->dst.in6);
}

/*
 * The kernel's own lookup asks for a device, and takes a socket that is bound to none or to
 * that. This takes all of them, with a reference each. Under RCU.
 */
static unsigned int ims_tcp_find(struct net *net, const struct ims_tuple *t, struct sock **found)
{
	struct inet_hashinfo *table = net->ipv4.tcp_death_row.hashinfo;
	const u32 hash = ims_tcp_hash(net, t);
	const struct hlist_nulls_node *node;
	unsigned int n = 0;
	struct sock *sk;

again:
	sk_nulls_for_each_rcu(sk, node, &inet_ehash_bucket(table, hash)->chain) {
		if (sk->sk_hash != hash || !ims_tcp_is(sk, net, t) || n == IMS_TCP_MAX)
			continue;
		if (!refcount_inc_not_zero(&sk->sk_refcnt))
			continue;
		/* its memory may have become another socket meanwhile */
		if (ims_tcp_is(sk, net, t))
			found[n++] = sk;
		else
			sock_gen_put(sk);
	}
	/* led into another chain by a socket that has gone there: from the beginning */
	if (get_nulls_value(node) != (hash & table->ehash_mask)) {
		while (n)
			sock_gen_put(found[--n]);
		goto again;
	}
	return n;
}

/**
 * ims_tcp_abort() - end all connections between two ends, and what is left of them
 * @net: where
 * @t: from the local end to the other
 *
 * The other end is told. A connection in TIME_WAIT, which would stand in the way of
 * the next one between these ports, goes too.
 *
 * Context: process, sleeps.
 */
void ims_tcp_abort(struct net *net, const struct ims_tuple *t)
{
	struct sock *found[IMS_TCP_MAX];
	unsigned int n;

	rcu_read_lock();
	n = ims_tcp_find(net, t, found);
	rcu_read_unlock();
	while (n--) {
		tcp_abort(found[n], ECONNABORTED);
		sock_gen_put(found[n]);
	}
}
