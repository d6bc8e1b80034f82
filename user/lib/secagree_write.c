// SPDX-License-Identifier: LGPL-2.1-or-later
/* Security-Server written, in the grammar of secagree.c. */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

#include "internal.h"

#define N_MODES		2
#define STATIC_Q_STEP	50	/* in thousandths: each pair in each mode has its own q */

static const enum imsipsec_mode trans = IMSIPSEC_MODE_TRANS;

struct output {
	char *buf;
	size_t size, len;
};

__attribute__((format(printf, 2, 3)))
static void print(struct output *out, const char *fmt, ...)
{
	size_t left = out->len < out->size ? out->size - out->len : 0;
	va_list args;

	va_start(args, fmt);
	out->len += vsnprintf(left ? out->buf + out->len : NULL, left, fmt, args);
	va_end(args);
}

static void print_q(struct output *out, unsigned int q)
{
	unsigned int decimals = q % 1000, width = 3;

	while (width > 1 && decimals % 10 == 0) {
		decimals /= 10;
		width--;
	}
	print(out, ";q=%u.%0*u", q / 1000, (int)width, decimals);
}

/* As TS 33.203 annex H writes it: case should not matter to a UE, but may. */
static const char *mode_text(enum imsipsec_mode mode)
{
	return mode == IMSIPSEC_MODE_UDP_ENC_TUN ? "UDP-enc-tun" : imsipsec_mode_name(mode);
}

/* What a mechanism begins with; q is not written where it is 0. */
static int print_algs(struct output *out, const struct imsipsec_pair *pair,
		      enum imsipsec_mode mode, unsigned int q)
{
	const char *alg = imsipsec_alg_name(pair->alg);
	const char *ealg = imsipsec_ealg_name(pair->ealg);
	const char *mod = mode_text(mode);

	if (!alg || !ealg || !mod || q > 1000)
		return -EINVAL;
	if (out->len)
		print(out, ", ");
	print(out, "ipsec-3gpp");
	if (q)
		print_q(out, q);
	print(out, ";alg=%s;prot=esp;mod=%s;ealg=%s", alg, mod, ealg);
	return 0;
}

static int print_mech(struct output *out, const struct imsipsec_mech *m)
{
	int err;

	if (!m->esp || m->spi_c < SPI_MIN || m->spi_s < SPI_MIN || m->spi_c == m->spi_s ||
	    !m->port_c || !m->port_s || m->port_c == m->port_s)
		return -EINVAL;
	err = print_algs(out, &(struct imsipsec_pair){ m->alg, m->ealg }, m->mode, m->q);
	if (err)
		return err;
	print(out, ";spi-c=%u;spi-s=%u;port-c=%u;port-s=%u",
	      m->spi_c, m->spi_s, m->port_c, m->port_s);
	return 0;
}

/* Return: length without NUL, or -ENOSPC */
static int finish(const struct output *out)
{
	return out->len < out->size ? (int)out->len : -ENOSPC;
}

int imsipsec_secagree_write(char *buf, size_t size, const struct imsipsec_mech *mechs, size_t n)
{
	struct output out = { .buf = buf, .size = size };
	size_t i;
	int err;

	if (!n || n > MECHS_MAX)
		return -EINVAL;
	for (i = 0; i < n; i++) {
		if (!imsipsec_is_zero(mechs[i].reserved, sizeof(mechs[i].reserved)))
			return -E2BIG;
		err = print_mech(&out, &mechs[i]);
		if (err)
			return err;
	}
	return finish(&out);
}

int imsipsec_secagree_write_server(char *buf, size_t size, const struct imsipsec_bundle *bundle,
				   const struct imsipsec_pair *pairs, size_t n)
{
	const struct imsipsec_pair single = { bundle->alg, bundle->ealg };
	struct imsipsec_mech mechs[N_PAIRS];
	size_t i, at, first;

	if (!pairs || !n) {
		pairs = &single;
		n = 1;
	}
	if (n > N_PAIRS)
		return -EINVAL;
	if (!imsipsec_pairs_known(pairs, n))
		return -E2BIG;
	for (first = 0; first < n; first++) {
		if (pairs[first].alg == bundle->alg && pairs[first].ealg == bundle->ealg)
			break;
	}
	if (first == n)
		return -EINVAL;
	/* There are UEs that take the first, whatever they have offered. */
	for (i = 0; i < n; i++) {
		at = i == first ? 0 : i + (i < first);
		mechs[at] = (struct imsipsec_mech){
			.alg = pairs[i].alg,
			.ealg = pairs[i].ealg,
			.mode = bundle->mode,
			.esp = true,
			.q = (n - at) * 100,
			.spi_c = bundle->spi_pc,
			.spi_s = bundle->spi_ps,
			.port_c = bundle->port_pc,
			.port_s = bundle->port_ps,
		};
	}
	return imsipsec_secagree_write(buf, size, mechs, n);
}

int imsipsec_secagree_write_static(char *buf, size_t size,
				   const struct imsipsec_pair *pairs, size_t n,
				   const enum imsipsec_mode *modes, size_t n_modes)
{
	struct output out = { .buf = buf, .size = size };
	unsigned int q;
	size_t i, j;
	int err;

	_Static_assert(N_PAIRS * N_MODES * STATIC_Q_STEP <= 1000, "q falls from 1 at most");

	if (!pairs) {
		pairs = imsipsec_pairs;
		n = N_PAIRS;
	}
	if (!modes) {
		modes = &trans;
		n_modes = 1;
	}
	if (!n || n > N_PAIRS || !n_modes || n_modes > N_MODES)
		return -EINVAL;
	if (!imsipsec_pairs_known(pairs, n))
		return -E2BIG;
	q = n * n_modes * STATIC_Q_STEP;
	for (i = 0; i < n; i++) {
		for (j = 0; j < n_modes; j++, q -= STATIC_Q_STEP) {
			err = print_algs(&out, &pairs[i], modes[j], q);
			if (err)
				return err;
		}
	}
	return finish(&out);
}
