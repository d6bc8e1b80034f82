// SPDX-License-Identifier: GPL-2.0-only
/*
 * Connections over a bundle: they end with it.
 *
 * tcp_abort() waits until the socket's owner has left its system call, which may be never: a
 * process can sleep there in a page fault. So a connection ends as by a RST of its other
 * end, which a socket takes in softirq. Where the owner is in a system call, that is tried again,
 * later. Nobody waits for the owner.
 */
#include <linux/skbuff.h>
#include <linux/tcp.h>
#include <linux/workqueue.h>
#include <linux/xarray.h>
#include <net/inet6_hashtables.h>
#include <net/inet_connection_sock.h>
#include <net/inet_hashtables.h>
#include <net/ip6_checksum.h>
#include <net/tcp.h>

#include "addr.h"
#include "netns.h"
#include "tcp.h"

/*
 * Sockets that are bound to a device, or accepted by such a listener, do not stand in the
 * way of each other: there may be one for each. More than these nobody has.
 */
#define IMS_TCP_MAX	16

/* How long a socket is left alone whose owner was in a system call */
#define IMS_TCP_RETRY	(HZ / 10)

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

/* A RST, from its TCP header on */
static struct sk_buff *ims_tcp_rst(__be16 sport, __be16 dport, u32 seq, u32 ack_seq)
{
	struct sk_buff *skb = alloc_skb(MAX_TCP_HEADER, GFP_ATOMIC);
	struct tcphdr *th;

	if (!skb)
		return NULL;
	skb_reserve(skb, MAX_TCP_HEADER);
	th = skb_push(skb, sizeof(*th));
	*th = (struct tcphdr) {
		.source = sport,
		.dest = dport,
		.seq = htonl(seq),
		.ack_seq = htonl(ack_seq),
		.doff = sizeof(*th) / 4,
		.ack = 1,
		.rst = 1,
	};
	skb_reset_transport_header(skb);
	return skb;
}

/* The RST that tcp_abort() would send leaves, as the connection's segments do. */
static void ims_tcp_tell(struct sock *sk, const struct ims_tuple *t)
{
	struct sk_buff *rst = ims_tcp_rst(t->sport, t->dport, tcp_sk(sk)->snd_nxt,
					  tcp_sk(sk)->rcv_nxt);
	struct tcphdr *th;
	__wsum sum;

	if (!rst)
		return;
	th = tcp_hdr(rst);
	sum = csum_partial(th, sizeof(*th), 0);
	if (t->src.family == AF_INET)
		th->check = csum_tcpudp_magic(t->src.in.s_addr, t->dst.in.s_addr, sizeof(*th),
					      IPPROTO_TCP, sum);
	else
		th->check = csum_ipv6_magic(&t->src.in6, &t->dst.in6, sizeof(*th), IPPROTO_TCP,
					    sum);
	inet_csk(sk)->icsk_af_ops->queue_xmit(sk, rst, &inet_sk(sk)->cork.fl);
}

/* The socket gets a RST, as if the other end had sent it. */
static void ims_tcp_receive_rst(struct sock *sk)
{
	const struct tcp_sock *tp = tcp_sk(sk);
	struct sk_buff *rst = ims_tcp_rst(inet_sk(sk)->inet_dport, inet_sk(sk)->inet_sport,
					  tp->rcv_nxt, tp->snd_nxt);

	if (!rst)
		return;
	/* what tcp_v4_rcv() and tcp_v6_rcv() note down and look at */
	rst->ip_summed = CHECKSUM_UNNECESSARY;
	TCP_SKB_CB(rst)->seq = tp->rcv_nxt;
	TCP_SKB_CB(rst)->end_seq = tp->rcv_nxt;
	TCP_SKB_CB(rst)->ack_seq = tp->snd_nxt;
	TCP_SKB_CB(rst)->tcp_flags = TCPHDR_ACK | TCPHDR_RST;
	sk->sk_backlog_rcv(sk, rst);
}

#define IMS_TCP_TELL	(TCPF_ESTABLISHED | TCPF_SYN_RECV | TCPF_FIN_WAIT1 | \
			 TCPF_FIN_WAIT2 | TCPF_CLOSE_WAIT)

/*
 * End a connection, unless its owner is in a system call, or there is no memory. @t: the other
 * end is told; NULL: there is no SA to tell it over any more. Returns whether it has ended.
 */
static bool ims_tcp_end(struct sock *sk, const struct ims_tuple *t)
{
	bool ended;

	local_bh_disable();
	bh_lock_sock(sk);
	if (!sock_owned_by_user(sk) && sk->sk_state != TCP_CLOSE) {
		if (t && (1 << sk->sk_state) & IMS_TCP_TELL)
			ims_tcp_tell(sk, t);
		ims_tcp_receive_rst(sk);
	}
	ended = sk->sk_state == TCP_CLOSE;
	bh_unlock_sock(sk);
	local_bh_enable();
	return ended;
}

/**
 * ims_tcp_abort() - end all connections between two ends, and what is left of them
 * @in: where
 * @t: from the local end to the other
 *
 * The other end is told. A connection in TIME_WAIT, which would stand in the way of
 * the next one between these ports, goes too. One whose owner is in a system call ends when
 * the owner has left it; then the other end is not told.
 *
 * Context: process, sleeps for memory and for nobody's socket.
 */
void ims_tcp_abort(struct ims_net *in, const struct ims_tuple *t)
{
	struct sock *found[IMS_TCP_MAX];
	unsigned int n;

	rcu_read_lock();
	n = ims_tcp_find(in->net, t, found);
	rcu_read_unlock();
	while (n--) {
		struct sock *sk = found[n];

		if (!sk_fullsock(sk)) {
			/* it has no owner, so that this waits for nobody */
			tcp_abort(sk, ECONNABORTED);
		} else if (!ims_tcp_end(sk, t)) {
			/* A bundle that ends cannot be refused. It may be there already. */
			if (!xa_insert(&in->tcp_held, (unsigned long)sk, sk,
				       GFP_KERNEL | __GFP_NOFAIL)) {
				queue_delayed_work(ims_wq, &in->tcp_retry, IMS_TCP_RETRY);
				continue;
			}
		}
		sock_gen_put(sk);
	}
}

/**
 * ims_tcp_retry() - end the connections whose owners have left their system calls
 * @work: struct ims_net.tcp_retry
 *
 * Context: process; takes no lock but the sockets' spinlocks.
 */
void ims_tcp_retry(struct work_struct *work)
{
	struct ims_net *in = container_of(to_delayed_work(work), struct ims_net, tcp_retry);
	unsigned long index;
	struct sock *sk;

	xa_for_each(&in->tcp_held, index, sk) {
		if (ims_tcp_end(sk, NULL)) {
			xa_erase(&in->tcp_held, index);
			sock_put(sk);
		}
		cond_resched();
	}
	if (!xa_empty(&in->tcp_held))
		queue_delayed_work(ims_wq, &in->tcp_retry, IMS_TCP_RETRY);
}

/**
 * ims_tcp_net_exit() - a namespace ends, or the module
 * @in: the namespace, which has no bundle any more
 *
 * Of a namespace that ends nobody has a socket. When the module ends, connections whose
 * owners are in a system call stay.
 *
 * Context: process, sleeps until ims_tcp_retry() has returned.
 */
void ims_tcp_net_exit(struct ims_net *in)
{
	unsigned long index;
	struct sock *sk;

	cancel_delayed_work_sync(&in->tcp_retry);
	xa_for_each(&in->tcp_held, index, sk)
		sock_put(sk);
	xa_destroy(&in->tcp_held);
}
