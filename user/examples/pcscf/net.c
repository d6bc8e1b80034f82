// SPDX-License-Identifier: LGPL-2.1-or-later
/* Sockets: one poll loop over UDP and TCP. */
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "net.h"
#include "sip.h"

#ifndef SO_RCVMARK
#define SO_RCVMARK	75	/* Linux 5.19 */
#endif

#define BACKLOG		64
#define BURST		32	/* messages from one socket before the next has its turn */
#define IDLE_SECONDS	64	/* a clear connection that says nothing for so long is closed */

struct net_conn {
	int fd;			/* -1: closed, to be freed at the end of the round */
	struct net_source source;
	time_t last_used;
	size_t len;
	char buf[SIP_MAX + 1];
};

bool net_both_families;

static struct net_conn *conns[NET_CONN_MAX];

union sockaddr_any {
	struct sockaddr sa;
	struct sockaddr_in in;
	struct sockaddr_in6 in6;
};

/* A control message with a mark */
union mark_message {
	struct cmsghdr header;
	char buf[CMSG_SPACE(sizeof(uint32_t))];
};

static socklen_t to_sockaddr(union sockaddr_any *to, const struct imsipsec_addr *addr,
			     uint16_t port)
{
	memset(to, 0, sizeof(*to));
	to->sa.sa_family = (sa_family_t)addr->family;
	if (addr->family == AF_INET && net_both_families) {
		to->sa.sa_family = AF_INET6;
		to->in6.sin6_addr.s6_addr[10] = 0xff;
		to->in6.sin6_addr.s6_addr[11] = 0xff;
		memcpy(&to->in6.sin6_addr.s6_addr[12], &addr->in, sizeof(addr->in));
		to->in6.sin6_port = htons(port);
		return sizeof(to->in6);
	}
	if (addr->family == AF_INET) {
		to->in.sin_addr = addr->in;
		to->in.sin_port = htons(port);
		return sizeof(to->in);
	}
	to->in6.sin6_addr = addr->in6;
	to->in6.sin6_port = htons(port);
	return sizeof(to->in6);
}

static void from_sockaddr(struct net_source *source, const union sockaddr_any *from)
{
	memset(&source->address, 0, sizeof(source->address));
	source->address.family = from->sa.sa_family;
	if (from->sa.sa_family == AF_INET) {
		source->address.in = from->in.sin_addr;
		source->port = ntohs(from->in.sin_port);
	} else {
		source->address.in6 = from->in6.sin6_addr;
		source->port = ntohs(from->in6.sin6_port);
	}
}

int net_family(const struct imsipsec_addr *addr)
{
	return addr->family == AF_INET6 && IN6_IS_ADDR_V4MAPPED(&addr->in6) ? AF_INET :
									      addr->family;
}

static in_addr_t ipv4_of(const struct imsipsec_addr *addr)
{
	in_addr_t in;

	if (addr->family == AF_INET)
		return addr->in.s_addr;
	memcpy(&in, &addr->in6.s6_addr[12], sizeof(in));
	return in;
}

bool net_addr_equal(const struct imsipsec_addr *a, const struct imsipsec_addr *b)
{
	if (net_family(a) != net_family(b))
		return false;
	if (net_family(a) == AF_INET)
		return ipv4_of(a) == ipv4_of(b);
	return IN6_ARE_ADDR_EQUAL(&a->in6, &b->in6);
}

static time_t now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec;
}

int net_bind(struct net_local *local, enum net_socket which, uint16_t port)
{
	bool tcp = which == NET_TCP || which == NET_TCP_PS;
	union sockaddr_any sa;
	socklen_t len = to_sockaddr(&sa, &local->address, port);
	int family = sa.sa.sa_family, on = 1, fd, err;
	int v6only = local->address.family == AF_INET6;

	fd = socket(family, (tcp ? SOCK_STREAM : SOCK_DGRAM) | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	if ((tcp && setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on))) ||
	    (!tcp && setsockopt(fd, SOL_SOCKET, SO_RCVMARK, &on, sizeof(on))) ||
	    (family == AF_INET6 &&
	     setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &v6only, sizeof(v6only))) ||
	    bind(fd, &sa.sa, len) || (tcp && listen(fd, BACKLOG))) {
		err = -errno;
		close(fd);
		return err;
	}
	local->fd[which] = fd;
	return 0;
}

void net_send(const struct net_local *local, enum net_socket which, const struct imsipsec_addr *to,
	      uint16_t port, uint32_t mark, const char *text, size_t len)
{
	union mark_message control = { .buf = "" };
	struct iovec iov = { .iov_base = (void *)text, .iov_len = len };
	union sockaddr_any sa;
	struct msghdr msg = {
		.msg_name = &sa, .msg_namelen = to_sockaddr(&sa, to, port), .msg_iov = &iov,
		.msg_iovlen = 1,
	};

	if (mark) {
		control.header.cmsg_level = SOL_SOCKET;
		control.header.cmsg_type = SO_MARK;
		control.header.cmsg_len = CMSG_LEN(sizeof(mark));
		memcpy(CMSG_DATA(&control.header), &mark, sizeof(mark));
		msg.msg_control = &control;
		msg.msg_controllen = sizeof(control);
	}
	if (sendmsg(local->fd[which], &msg, 0) < 0)
		perror("pcscf: sendmsg");
}

static void conn_close(struct net_conn *conn)
{
	if (conn->fd >= 0)
		close(conn->fd);
	conn->fd = -1;
}

void net_send_conn(struct net_conn *conn, const char *text, size_t len)
{
	/* Replies are small: the buffer of a peer that reads is never full. */
	if (conn->fd >= 0 && send(conn->fd, text, len, MSG_NOSIGNAL) != (ssize_t)len)
		conn_close(conn);
}

/* A place for a connection, if need be that of the clear one that is idle longest */
static struct net_conn **conn_slot(void)
{
	struct net_conn **oldest = NULL;

	for (size_t i = 0; i < NET_CONN_MAX; i++) {
		struct net_conn *conn = conns[i];

		if (!conn)
			return &conns[i];
		if (!conn->source.protected &&
		    (!oldest || conn->last_used < (*oldest)->last_used))
			oldest = &conns[i];
	}
	if (oldest) {
		conn_close(*oldest);
		free(*oldest);
		*oldest = NULL;
	}
	return oldest;
}

static void accept_conns(struct net_local *local, enum net_socket which)
{
	union sockaddr_any sa;
	struct net_conn **slot, *conn;
	socklen_t len;
	int fd;

	for (int i = 0; i < BURST; i++) {
		len = sizeof(sa);
		fd = accept4(local->fd[which], &sa.sa, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);
		if (fd < 0)
			return;
		slot = conn_slot();
		conn = slot ? calloc(1, sizeof(*conn)) : NULL;
		if (!conn) {
			close(fd);
			continue;
		}
		conn->fd = fd;
		conn->last_used = now();
		conn->source.local = local;
		conn->source.protected = which == NET_TCP_PS;
		conn->source.conn = conn;
		len = sizeof(conn->source.mark);
		getsockopt(fd, SOL_SOCKET, SO_MARK, &conn->source.mark, &len);
		from_sockaddr(&conn->source, &sa);
		*slot = conn;
	}
}

/* Hand over the messages that are complete. */
static void conn_messages(struct net_conn *conn,
			  void (*receive)(const struct net_source *source, char *text, size_t len))
{
	size_t pos = 0;
	ssize_t len;
	char next;

	for (;;) {
		/* Line ends between messages are keep-alives (RFC 5626). */
		while (pos < conn->len && (conn->buf[pos] == '\r' || conn->buf[pos] == '\n'))
			pos++;
		len = sip_frame(conn->buf + pos, conn->len - pos);
		if (len < 0)
			conn_close(conn);
		if (len <= 0 || conn->fd < 0)
			break;
		next = conn->buf[pos + (size_t)len];
		conn->buf[pos + (size_t)len] = '\0';
		receive(&conn->source, conn->buf + pos, (size_t)len);
		pos += (size_t)len;
		conn->buf[pos] = next;
	}
	conn->len -= pos;
	memmove(conn->buf, conn->buf + pos, conn->len);
}

static void conn_read(struct net_conn *conn,
		      void (*receive)(const struct net_source *source, char *text, size_t len))
{
	ssize_t n = recv(conn->fd, conn->buf + conn->len, SIP_MAX - conn->len, 0);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) {
		conn_close(conn);
		return;
	}
	conn->len += (size_t)n;
	conn->last_used = now();
	conn_messages(conn, receive);
}

/* A datagram, with its mark. Return: its length, more than fits if it was cut off. */
static ssize_t udp_recv(int fd, char *buf, size_t size, struct net_source *source)
{
	union mark_message control;
	struct iovec iov = { .iov_base = buf, .iov_len = size };
	union sockaddr_any sa;
	struct msghdr msg = {
		.msg_name = &sa, .msg_namelen = sizeof(sa), .msg_iov = &iov, .msg_iovlen = 1,
		.msg_control = &control, .msg_controllen = sizeof(control),
	};
	ssize_t n = recvmsg(fd, &msg, MSG_TRUNC);

	if (n < 0)
		return n;
	source->mark = 0;
	for (struct cmsghdr *c = CMSG_FIRSTHDR(&msg); c; c = CMSG_NXTHDR(&msg, c)) {
		if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SO_MARK)
			memcpy(&source->mark, CMSG_DATA(c), sizeof(source->mark));
	}
	from_sockaddr(source, &sa);
	return n;
}

static void udp_read(struct net_local *local, enum net_socket which,
		     void (*receive)(const struct net_source *source, char *text, size_t len))
{
	static char buf[SIP_MAX + 1];
	struct net_source source = { .local = local, .protected = which != NET_UDP };
	ssize_t n, len;

	for (int i = 0; i < BURST; i++) {
		n = udp_recv(local->fd[which], buf, SIP_MAX, &source);
		if (n < 0)
			return;
		if (n == 0 || n > SIP_MAX || buf[0] == '\r' || buf[0] == '\n')
			continue;
		/* What follows the body that Content-Length announces is not read. */
		len = sip_frame(buf, (size_t)n);
		if (len <= 0)
			continue;
		buf[len] = '\0';
		receive(&source, buf, (size_t)len);
	}
}

static void socket_read(struct net_local *local, enum net_socket which,
			void (*receive)(const struct net_source *source, char *text, size_t len))
{
	if (which == NET_TCP || which == NET_TCP_PS)
		accept_conns(local, which);
	else
		udp_read(local, which, receive);
}

/* Free those that were closed, and close those that are idle. */
static void conns_tidy(void)
{
	time_t oldest = now() - IDLE_SECONDS;

	for (size_t i = 0; i < NET_CONN_MAX; i++) {
		if (!conns[i])
			continue;
		if (!conns[i]->source.protected && conns[i]->last_used < oldest)
			conn_close(conns[i]);
		if (conns[i]->fd < 0) {
			free(conns[i]);
			conns[i] = NULL;
		}
	}
}

int net_loop(struct net_local *locals, size_t n_locals, const int *extra, size_t n_extra,
	     bool (*ready)(int fd),
	     void (*receive)(const struct net_source *source, char *text, size_t len))
{
	struct pollfd fds[2 + NET_LOCAL_MAX * NET_N_SOCKETS + NET_CONN_MAX];
	struct net_conn *polled[NET_CONN_MAX];
	size_t n, n_sockets, n_conns;

	for (;;) {
		n = 0;
		for (size_t i = 0; i < n_extra; i++)
			fds[n++] = (struct pollfd) { .fd = extra[i], .events = POLLIN };
		for (size_t i = 0; i < n_locals * NET_N_SOCKETS; i++)
			fds[n++] = (struct pollfd) {
				.fd = locals[i / NET_N_SOCKETS].fd[i % NET_N_SOCKETS],
				.events = POLLIN,
			};
		n_sockets = n;
		n_conns = 0;
		for (size_t i = 0; i < NET_CONN_MAX; i++) {
			if (!conns[i])
				continue;
			polled[n_conns++] = conns[i];
			fds[n++] = (struct pollfd) { .fd = conns[i]->fd, .events = POLLIN };
		}

		if (poll(fds, n, IDLE_SECONDS * 1000) < 0 && errno != EINTR)
			return -errno;

		for (size_t i = 0; i < n_extra; i++) {
			if (fds[i].revents && !ready(fds[i].fd))
				return 0;
		}
		/* Connections before sockets: accepting may free one of them. */
		for (size_t i = n_sockets; i < n; i++) {
			if (fds[i].revents && polled[i - n_sockets]->fd >= 0)
				conn_read(polled[i - n_sockets], receive);
		}
		for (size_t i = n_extra; i < n_sockets; i++) {
			size_t s = i - n_extra;

			if (fds[i].revents)
				socket_read(&locals[s / NET_N_SOCKETS],
					    (enum net_socket)(s % NET_N_SOCKETS), receive);
		}
		conns_tidy();
	}
}

void net_close(struct net_local *locals, size_t n_locals)
{
	for (size_t i = 0; i < NET_CONN_MAX; i++) {
		if (conns[i])
			conn_close(conns[i]);
		free(conns[i]);
		conns[i] = NULL;
	}
	for (size_t i = 0; i < n_locals * NET_N_SOCKETS; i++) {
		if (locals[i / NET_N_SOCKETS].fd[i % NET_N_SOCKETS] >= 0)
			close(locals[i / NET_N_SOCKETS].fd[i % NET_N_SOCKETS]);
	}
}
