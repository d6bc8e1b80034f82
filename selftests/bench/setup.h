/* SPDX-License-Identifier: GPL-2.0-only */
/* What is registered, and how: the terms that all files of the benchmark share. */
#ifndef BENCH_SETUP_H
#define BENCH_SETUP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <linux/xfrm.h>

#include "imsipsec.h"

#define ARRAY_SIZE(a)	(sizeof(a) / sizeof((a)[0]))

/* By default there is no room for more, neither here nor in OpenSIPS's range of SPIs */
#define MANY		65536

#define PORT_PC		5062
#define PORT_PS		5063
#define PORT_UC		32773
#define PORT_US		6000

enum spi { SPI_UC, SPI_US, SPI_PC, SPI_PS, SPIS };

struct pair {
	const char *name, *auth, *enc;	/* as the peers write them; no auth: they cannot */
	unsigned int auth_bits, enc_bits;
	enum imsipsec_alg alg;
	enum imsipsec_ealg ealg;
};

/* One key for all: an integrity algorithm takes 20 bytes at most */
extern const uint8_t key[20];
extern const struct pair pairs[3];	/* sha1-aes comes first */

struct ue {
	char owner[64], contact[64];
	xfrm_address_t addr;
	uint16_t port_uc, nat_port;
	uint16_t port_us;	/* 0: PORT_US */
	xfrm_address_t nat;
	uint32_t spi[SPIS];
	uint32_t id, mark;	/* ours */
};

/* A flow of a registration: its SA, and with the peers its policy */
struct flow {
	bool in;
	uint16_t sport, dport;
	enum spi spi;
};

#define SAS	4	/* a registration; these flows come first */
#define FLOWS	8
extern const struct flow flows[FLOWS];

struct system {
	const char *name;
	/* All that follows is for the peers: how they tell the kernel */
	size_t policies;	/* a registration */
	unsigned int order[FLOWS];
	uint32_t (*reqid)(uint32_t spi);
	uint32_t user;		/* of selectors */
	uint32_t priority;
	bool names_spi;		/* in the template of a policy */
	bool pid_is_spi;	/* in the header of a message */
};

struct setup {
	const struct system *sys;
	const struct pair *pair;
	sa_family_t family;
	xfrm_address_t addr;	/* the P-CSCF's */
	uint16_t encap;		/* port of ESP in UDP, for UEs behind NATs, or 0 */
	bool inside;		/* all are behind one NAT, whose address is in their tunnels */
	bool shipped;		/* ours is configured as /etc/ims_ipsec.conf has it */
	uint32_t endpoint;	/* ours */
};

#endif /* BENCH_SETUP_H */
