/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What stands in for the home network: AKA vectors from a file, and the check
 * of the UE's answer (RFC 3310). A real P-CSCF gets CK and IK in the 401 of
 * the S-CSCF, which makes this check itself.
 */
#ifndef PCSCF_HOME_H
#define PCSCF_HOME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define HOME_NONCE_MAX	48	/* BASE64(RAND || AUTN), 44 characters and NUL */

struct home_vector {
	char nonce[HOME_NONCE_MAX];
	uint8_t xres[16];
	size_t xres_len;
	uint8_t ck[16];
	uint8_t ik[16];
};

/**
 * home_vector() - get an AKA vector
 * @file: has lines "IMPI RAND AUTN XRES CK IK", in hex but for the IMPI; those
 *	of one IMPI are used in turn
 * @impi: whose
 * @turn: which
 * @vector: gets it; to be wiped by the caller
 *
 * Return: 0; -ENOENT if the IMPI has none; -EINVAL if its line is malformed;
 * what reading the file gives.
 */
int home_vector(const char *file, const char *impi, unsigned int turn, struct home_vector *vector);

/**
 * home_vector_of() - the AKA vector that a challenge was made of
 * @file: as for home_vector()
 * @impi: whose
 * @authorization: the header that answers the challenge, or NULL
 * @vector: gets it; to be wiped by the caller
 *
 * The home network remembers its challenges, whatever becomes of the P-CSCF.
 *
 * Return: as home_vector(); -ENOENT also for a nonce that is none of its own.
 */
int home_vector_of(const char *file, const char *impi, const char *authorization,
		   struct home_vector *vector);

/**
 * home_check() - is this what the UE with that vector answers
 * @vector: what it was challenged with
 * @impi: who it is to be
 * @realm: of the challenge
 * @method: of the request
 * @authorization: the header, or NULL
 */
bool home_check(const struct home_vector *vector, const char *impi, const char *realm,
		const char *method, const char *authorization);

#endif /* PCSCF_HOME_H */
