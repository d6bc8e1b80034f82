// SPDX-License-Identifier: GPL-2.0-only
/* Connections over a bundle: they end with it. */
#include <net/tcp.h>

#include "compat.h"
#include "tcp.h"

static struct sock *ims_tcp_find(struct net *net, const struct ims_tuple *t)
{
	if (t->src.family == AF_INET)
		return ims_compat_lookup4(net, t->dst.in.s_addr, t->dport,
					  t->src.in.s_addr, ntohs(t->sport));
	return ims_compat_lookup6(net, &t->dst.in6, t->dport,
				  &t->src.in6, ntohs(t->sport));
}

/**
 * ims_tcp_abort() - end a connection, and what is left of one
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
	struct sock *sk;

	rcu_read_lock();
	sk = ims_tcp_find(net, t);
	rcu_read_unlock();
	if (!sk)
		return;
	tcp_abort(sk, ECONNABORTED);
	sock_gen_put(sk);
}
