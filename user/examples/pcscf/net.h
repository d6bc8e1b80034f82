/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Sockets: one poll loop over UDP and TCP, on any number of addresses. What a
 * SIP server has already, and nothing about IPsec but which ports are protected.
 */
#ifndef PCSCF_NET_H
#define PCSCF_NET_H

#include <poll.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <imsipsec.h>

#define NET_LOCAL_MAX	8	/* addresses */
#define NET_CONN_MAX	256	/* TCP connections, over all addresses */
#define NET_PC_MAX	4	/* protected client ports */

/* A socket of a local address */
enum net_socket {
	NET_UDP,		/* clear */
	NET_TCP,
	NET_UDP_PS,		/* protected: requests from the UE come here */
	NET_TCP_PS,
	NET_UDP_PC,		/* protected, one for each port_pc: what goes to port_us leaves here */
	NET_N_SOCKETS = NET_UDP_PC + NET_PC_MAX,
};

/* One of our addresses, with its sockets */
struct net_local {
	struct imsipsec_addr address;
	uint32_t endpoint;	/* id of the endpoint that guards its protected ports */
	int fd[NET_N_SOCKETS];	/* -1: there is none */
};

/* Where a message came from */
struct net_source {
	struct net_local *local;
	bool protected;
	struct imsipsec_addr address;
	uint16_t port;
	uint32_t mark;		/* of the datagram; of a connection, if the namespace keeps it */
	struct net_conn *conn;	/* NULL: over UDP */
};

/*
 * IPv4 by sockets of both families: addresses come as ::ffff:192.0.2.1, and are handed to
 * the library as they are. Set before the first net_bind().
 */
extern bool net_both_families;

/* Of such an address, AF_INET */
int net_family(const struct imsipsec_addr *addr);

/* Such an address is the one that it stands for. */
bool net_addr_equal(const struct imsipsec_addr *a, const struct imsipsec_addr *b);

/* Bind one socket. Return: 0 or a negative errno. */
int net_bind(struct net_local *local, enum net_socket which, uint16_t port);

/*
 * Send over UDP, with @mark if it is not 0. Nobody waits for the result: SIP repeats
 * what gets lost.
 */
void net_send(const struct net_local *local, enum net_socket which, const struct imsipsec_addr *to,
	      uint16_t port, uint32_t mark, const char *text, size_t len);

/*
 * Answer over the connection of a request; one that takes no more is closed. It has the
 * mark that it was accepted with.
 */
void net_send_conn(struct net_conn *conn, const char *text, size_t len);

/**
 * net_loop() - receive messages until told to end
 * @locals: the addresses, of which all sockets are bound
 * @n_locals: how many
 * @extra: other descriptors to poll for input
 * @n_extra: how many, at most 2
 * @ready: called when one of @extra is readable; false ends the loop
 * @receive: called with each message; @text may be changed, @text[@len] is NUL
 *
 * Return: 0, or a negative errno.
 */
int net_loop(struct net_local *locals, size_t n_locals, const int *extra, size_t n_extra,
	     bool (*ready)(int fd),
	     void (*receive)(const struct net_source *source, char *text, size_t len));

/* Close everything. */
void net_close(struct net_local *locals, size_t n_locals);

#endif /* PCSCF_NET_H */
