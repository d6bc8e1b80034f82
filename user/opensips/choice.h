/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What proto_ipsec's parameters mean to the kernel module. Nothing of OpenSIPS. */
#ifndef IMS_IPSEC_CHOICE_H
#define IMS_IPSEC_CHOICE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <imsipsec.h>

#define ALGS_MAX	16	/* pairs; there are nine */

/** struct ports - which of an address's listeners are what */
struct ports {
	uint16_t ps;
	uint16_t pc[IMSIPSEC_PORT_PC_MAX];
	size_t n_pc;
};

/**
 * choice_ports() - one of the listeners becomes port_ps, the others are the pool of client ports
 * @listeners: their ports, in the order of the configuration
 * @n: how many
 * @server: the port that ipsec_create or default_server_port names; 0: none
 * @client: default_client_port, which comes first in the pool; 0: none
 * @ports: gets it
 *
 * Where there is no listener of a port that is named, others do.
 *
 * Return: NULL, or what is wrong.
 */
const char *choice_ports(const uint16_t *listeners, size_t n, uint16_t server, uint16_t client,
			 struct ports *ports);

/** choice_is_client() - is it one of the pool */
bool choice_is_client(const struct ports *ports, uint16_t port);

/** struct spis - min_spi and max_spi, and how many bundles they are enough for */
struct spis {
	uint32_t min, max;
	uint32_t max_bundles;
};

/**
 * choice_spis() - make a range of two numbers, as proto_ipsec takes them
 * @spis: they may be in any order; 256 is the first that may be (RFC 4303)
 *
 * Return: were the numbers changed.
 */
bool choice_spis(struct spis *spis);

#define SLOTS	4	/* sets that a registration can have */

/** choice_mark() - that of another slot of a mark's registration, within mark_mask */
uint32_t choice_mark(uint32_t mark, uint32_t mask, uint32_t slot);

/**
 * choice_algs() - the pairs that a list allows, in its order
 * @list: allowed_algorithms, or the third argument of ipsec_create; NULL or "": all pairs,
 *	strongest first
 * @no_deprecated: disable_deprecated_algorithms, which for proto_ipsec is hmac-md5-96,
 *	hmac-sha-1-96, des-ede3-cbc and aes-cbc
 * @algs: gets them, there is room for ALGS_MAX
 * @n: gets how many
 *
 * Return: 0; -EINVAL if an entry names no pair, or nothing is left.
 */
int choice_algs(const char *list, bool no_deprecated, struct imsipsec_pair *algs, size_t *n);

/** choice_write_algs() - as the kernel reads a list; into @buf, of 512 bytes */
void choice_write_algs(char *buf, size_t size, const struct imsipsec_pair *algs, size_t n);

#endif
