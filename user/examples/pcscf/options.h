/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the command line says, and what is said on standard error. */
#ifndef PCSCF_OPTIONS_H
#define PCSCF_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <imsipsec.h>

#include "net.h"

struct options {
	uint16_t port, port_ps, port_pc[NET_PC_MAX];
	size_t n_port_pc;
	const char *vectors, *realm;
	const char *algs_text;		/* NULL: the kernel's configuration */
	struct imsipsec_pair algs[16];	/* in order of preference */
	size_t n_algs;
	uint64_t linger;
	const char *die_at;		/* a step of a registration, NULL: live */
	unsigned int die_turn;		/* not the first time, but this one */
	bool single, reauthenticate, delete_endpoint, verbose;
	bool send_options;		/* to each UE that has registered */
	bool nat;			/* UEs may be behind one */
	bool nat_inner_public;		/* then the NAT's address is the one within the tunnel */
	bool force_udp_encap;		/* take all for being behind one */
};

extern struct options opt;

/* Our addresses */
extern struct net_local locals[NET_LOCAL_MAX];
extern size_t n_locals;

/* Fill opt and locals in, or end the program with a usage message. */
void options(int argc, char **argv);

/* Be killed, if this is the step at which we are to be: for tests of what comes after. */
void step(const char *name);

/* One line, always or when asked to be verbose */
void say(bool always, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

#define error(...)	say(true, __VA_ARGS__)
#define log(...)	say(false, __VA_ARGS__)
#define ADDR(a)		imsipsec_addr_format(a, (char[INET6_ADDRSTRLEN]) {0}, INET6_ADDRSTRLEN)

#endif /* PCSCF_OPTIONS_H */
