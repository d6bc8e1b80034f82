// SPDX-License-Identifier: GPL-2.0-or-later
/* What proto_ipsec's parameters mean to the kernel module. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "choice.h"

#define SPI_MIN	256		/* RFC 4303 */
#define SPI_MAX	(UINT32_MAX - 1)

static bool has(const uint16_t *listeners, size_t n, uint16_t port)
{
	for (size_t i = 0; i < n; i++) {
		if (port && listeners[i] == port)
			return true;
	}
	return false;
}

const char *choice_ports(const uint16_t *listeners, size_t n, uint16_t server, uint16_t client,
			 struct ports *ports)
{
	memset(ports, 0, sizeof(*ports));
	if (n < 2)
		return "has one port for IPsec, where there are to be two at least";
	if (n - 1 > IMSIPSEC_PORT_PC_MAX)
		return "has more than 65 ports for IPsec";
	ports->ps = has(listeners, n, server) ? server : 0;
	/* The first that nothing else is said of, as proto_ipsec has it */
	for (size_t i = 0; !ports->ps && i < n; i++) {
		if (listeners[i] != client)
			ports->ps = listeners[i];
	}
	if (has(listeners, n, client) && client != ports->ps)
		ports->pc[ports->n_pc++] = client;
	for (size_t i = 0; i < n; i++) {
		if (listeners[i] != ports->ps && listeners[i] != ports->pc[0])
			ports->pc[ports->n_pc++] = listeners[i];
	}
	return NULL;
}

bool choice_is_client(const struct ports *ports, uint16_t port)
{
	return has(ports->pc, ports->n_pc, port);
}

bool choice_spis(struct spis *spis)
{
	const struct spis was = *spis;

	if (spis->max < spis->min) {
		spis->max = was.min;
		spis->min = was.max;
	}
	if (spis->min < SPI_MIN)
		spis->min = SPI_MIN;
	if (spis->max > SPI_MAX)
		spis->max = SPI_MAX;
	/* A bundle takes two. */
	if (spis->min >= spis->max)
		spis->min = spis->max > SPI_MIN ? spis->max - 1 : SPI_MIN;
	if (spis->max <= spis->min)
		spis->max = spis->min + 1;
	spis->max_bundles = (spis->max - spis->min + 1) / 2;
	return spis->min != was.min || spis->max != was.max;
}

uint32_t choice_mark(uint32_t mark, uint32_t mask, uint32_t slot)
{
	uint32_t lowest = mask & -mask;

	return (mark & mask & ~(lowest * (SLOTS - 1))) | slot * lowest;
}

static bool is_deprecated(const struct imsipsec_pair *pair)
{
	return pair->alg == IMSIPSEC_ALG_HMAC_MD5_96 || pair->alg == IMSIPSEC_ALG_HMAC_SHA_1_96 ||
	       pair->ealg == IMSIPSEC_EALG_DES_EDE3_CBC || pair->ealg == IMSIPSEC_EALG_AES_CBC;
}

/* All pairs, strongest first: those of each encryption, in the order that a list's are read in */
#define ALL "null=aes-gcm, aes-gmac, hmac-sha-1-96, hmac-md5-96"

/* proto_ipsec reads "=aes-cbc" as a lone "aes-cbc". */
static int without_equals(char *out, size_t room, const char *list)
{
	bool begins = true;
	size_t n = 0;

	for (; *list; list++) {
		if (begins && *list == '=')
			continue;
		if (n + 1 == room)
			return -EINVAL;
		out[n++] = *list;
		begins = *list == ',' || (begins && (*list == ' ' || *list == '\t'));
	}
	out[n] = '\0';
	return 0;
}

int choice_algs(const char *list, bool no_deprecated, struct imsipsec_pair *algs, size_t *n)
{
	struct imsipsec_pair all[ALGS_MAX];
	size_t n_all = ALGS_MAX;
	char text[512 + 1];

	*n = 0;
	if (without_equals(text, sizeof(text), list && *list ? list : ALL) ||
	    imsipsec_pairs_parse(text, all, &n_all))
		return -EINVAL;
	for (size_t i = 0; i < n_all; i++) {
		if (!no_deprecated || !is_deprecated(&all[i]))
			algs[(*n)++] = all[i];
	}
	return *n ? 0 : -EINVAL;
}

void choice_write_algs(char *buf, size_t size, const struct imsipsec_pair *algs, size_t n)
{
	size_t at = 0;

	*buf = '\0';
	for (size_t i = 0; i < n && at < size; i++)
		at += snprintf(buf + at, size - at, "%s%s=%s", i ? "," : "",
			       imsipsec_alg_name(algs[i].alg), imsipsec_ealg_name(algs[i].ealg));
}
