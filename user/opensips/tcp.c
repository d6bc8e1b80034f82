// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * TCP connections to phones that several others may share an address and ports with, behind NATs:
 * the mark tells which phone is meant, and has to be on the socket before it connects.
 */
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "dprint.h"
#include "net/net_tcp.h"
#include "net/tcp_common.h"
#include "net/tcp_conn_profile.h"
#include "pt.h"

#include "proto_ims_ipsec.h"

/* Connected from the address and port of a hidden socket; -1, which is said */
static int connect_marked(const struct socket_info *from, const union sockaddr_union *to,
			  const struct tcp_conn_profile *profile, uint32_t mark)
{
	int fd = socket(to->s.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd >= 0 && !tcp_init_sock_opt(fd, profile, from->flags, from->tos) &&
	    !setsockopt(fd, SOL_SOCKET, SO_MARK, &mark, sizeof(mark)) &&
	    !bind(fd, &from->su.s, sockaddru_len(from->su)) &&
	    !tcp_connect_blocking_timeout(fd, &to->s, sockaddru_len(*to),
					  profile->connect_timeout))
		return fd;
	LIMITED(LM_ERR, "a connection to a phone behind a NAT: %s\n", strerror(errno));
	if (fd >= 0)
		close(fd);
	return -1;
}

#if TCP_MAIN_CONNECTS

static proto_net_stream_conn_init_f others_init;

/* In a thread of TCP main: nothing but system calls. A connection that was accepted has its socket. */
static int init_connection(struct tcp_connection *c)
{
	if (others_init && others_init(c) < 0)
		return -1;
	if (c->fd >= 0 || !is_hidden(c->rcv.bind_address) || !c->rcv.proto_reserved2)
		return 0;
	c->fd = connect_marked(c->rcv.bind_address, &c->rcv.src_su, &c->profile,
			       c->rcv.proto_reserved2);
	if (c->fd < 0)
		return -1;
	c->rcv.dst_port = c->rcv.bind_address->port_no;
	c->state = S_CONN_OK;
	return 0;
}

static int open_connection(const struct socket_info *from, char *buf, unsigned int len,
			   const union sockaddr_union *to, uint32_t mark)
{
	struct tcp_conn_profile profile;
	struct tcp_connection *c;
	int n = len;

	tcp_con_get_profile(to, &from->su, from->proto, &profile);
	c = tcp_conn_create(to, from, &profile, S_CONN_CONNECTING);
	if (!c)
		return -1;
	c->rcv.proto_reserved2 = mark;
	if (tcp_async_add_chunk(c, buf, len, 1) < 0)
		n = -1;
	tcp_conn_release(c, 0);
	return n;
}

static int find_connection(const struct socket_info *from, struct ip_addr *ip, unsigned short port,
			   uint32_t *mark)
{
	struct tcp_connection *c;

	if (tcp_conn_get(0, ip, port, PROTO_TCP, NULL, &c, from) <= 0)
		return -ENOENT;
	*mark = c->rcv.proto_reserved2;
	tcp_conn_release(c, 0);
	return 0;
}

void tcp_hook(void)
{
	others_init = protos[PROTO_TCP].net.stream.conn.init;
	protos[PROTO_TCP].net.stream.conn.init = init_connection;
}

#else

/* As long as proto_tcp takes, unless it is told */
#define SEND_MS		100
#define SEND_NOW_MS	10

static int open_connection(const struct socket_info *from, char *buf, unsigned int len,
			   const union sockaddr_union *to, uint32_t mark)
{
	struct tcp_conn_profile profile;
	struct tcp_connection *c;
	int fd, n;

	tcp_con_get_profile(to, &from->su, from->proto, &profile);
	fd = connect_marked(from, to, &profile, mark);
	if (fd < 0)
		return -1;
	/* TCP main gets it, and gives it to whoever sends from then on. */
	c = tcp_conn_create(fd, to, from, &profile, S_CONN_OK, 1);
	if (!c) {
		close(fd);
		return -1;
	}
	n = tcp_write_on_socket(c, fd, buf, len, SEND_MS, SEND_NOW_MS);
	if (n < 0)
		c->state = S_CONN_BAD;
	close(fd);
	tcp_conn_release(c, n >= 0 && n < (int)len);
	return n;
}

static int find_connection(const struct socket_info *from, struct ip_addr *ip, unsigned short port,
			   uint32_t *mark)
{
	socklen_t len = sizeof(*mark);
	struct tcp_connection *c;
	int fd, err;

	if (tcp_conn_get(0, ip, port, PROTO_TCP, NULL, &c, &fd, from) <= 0)
		return -ENOENT;
	err = getsockopt(fd, SOL_SOCKET, SO_MARK, mark, &len) ? -errno : 0;
	if (fd >= 0 && c->proc_id != process_no)
		close(fd);
	tcp_conn_release(c, 0);
	return err;
}

void tcp_hook(void)
{
}

#endif

int tcp_send_marked(const struct socket_info *from, char *buf, unsigned int len,
		    const union sockaddr_union *to, uint32_t mark)
{
	struct ip_addr ip;
	uint32_t was;
	int err;

	sockaddr2ip_addr(&ip, (struct sockaddr *)&to->s);
	err = find_connection(from, &ip, su_getport(to), &was);
	if (err == -ENOENT)
		return open_connection(from, buf, len, to, mark);
	/* The sets of a registration differ in the number of the slot. */
	if (!err && choice_mark(was, kernel_mask(), 0) != choice_mark(mark, kernel_mask(), 0))
		err = -EADDRINUSE;
	if (!err)
		return send_by(PROTO_TCP, from, buf, len, to, 0);
	LIMITED(LM_ERR, "%s port %u: another phone behind a NAT has TCP there: %s\n", ip_addr2a(&ip),
		su_getport(to), strerror(-err));
	return -1;
}
