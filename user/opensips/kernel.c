// SPDX-License-Identifier: GPL-2.0-or-later
/* What is asked of the kernel. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "dprint.h"
#include "mem/shm_mem.h"
#include "timer.h"

#include "proto_ims_ipsec.h"

#define ALGS_SECONDS	10
#define BUNDLES_MAX	262144		/* of a network namespace, unless the kernel module is told */

static uint32_t *mask;			/* of all processes */

int kernel_init(void)
{
	mask = shm_malloc(sizeof(*mask));
	if (!mask) {
		LM_ERR("no shared memory\n");
		return -1;
	}
	*mask = 0;
	return 0;
}

uint32_t kernel_mask(void)
{
	return __atomic_load_n(mask, __ATOMIC_RELAXED);
}

/* --- Configuration and endpoints */

static int guard_of(const char *text)
{
	for (int g = IMSIPSEC_GUARD_DROP; imsipsec_guard_name(g); g++) {
		if (!strcasecmp(imsipsec_guard_name(g), text))
			return g;
	}
	LM_ERR("guard: \"%s\" is none of drop, reject, bypass\n", text);
	return -1;
}

/*
 * What a process before this one made is found again, with all its sets: a restart is nothing
 * that a phone hears of.
 */
static int have_endpoint(struct gm *gm)
{
	struct imsipsec_endpoint_params params = {
		.address = gm->addr,
		.port_ps = gm->ports.ps,
		.port_pc = gm->ports.pc,
		.n_port_pc = gm->ports.n_pc,
		.nat_traversal = settings.nat_traversal ? IMSIPSEC_CHOICE_ON : IMSIPSEC_CHOICE_CONFIG,
		.nat_port = settings.nat_port,
	};
	const struct imsipsec_endpoint *made;
	char text[INET6_ADDRSTRLEN];
	int guard, err;

	imsipsec_addr_format(&gm->addr, text, sizeof(text));
	guard = settings.guard ? guard_of(settings.guard) : IMSIPSEC_GUARD_DROP;
	if (guard < 0)
		return -EINVAL;
	params.guard = guard;
	settings.bypass = guard == IMSIPSEC_GUARD_BYPASS;
	if (settings.hw_offload_interface) {
		params.hw_offload_interface = settings.hw_offload_interface;
		params.hw_offload = IMSIPSEC_OFFLOAD_CRYPTO;
	}
	err = imsipsec_endpoint_replace(kernel_handle, &params, false, &made);
	if (err < 0) {
		LM_ERR("%s: its port %u, and its client ports from %u on, cannot be shut\n", text,
		       gm->ports.ps, gm->ports.pc[0]);
		if (err == -EBUSY)
			LM_ERR("phones use what it had before: imsipsec endpoint del address %s "
			       "force ends their registrations\n", text);
		return kernel_failed("the endpoint", err);
	}
	if (!err)
		LM_NOTICE("%s: the endpoint is there already, with %u sets\n", text, made->bundles);
	gm->endpoint = made->id;
	gm->nat = made->nat_traversal;
	return 0;
}

static int set_config(void)
{
	struct imsipsec_config config = {
		.set = IMSIPSEC_CONFIG_MIN_SPI | IMSIPSEC_CONFIG_MAX_SPI |
		       IMSIPSEC_CONFIG_TEMPORARY_TIMEOUT,
		.temporary_timeout = (uint64_t)settings.temporary_timeout * 1000,
	};
	struct spis spis = { .min = settings.min_spi, .max = settings.max_spi };
	const struct imsipsec_config *was;
	uint32_t now;
	int err;

	if (choice_spis(&spis))
		LM_WARN("min_spi %u and max_spi %u: the range is %u to %u\n",
			(unsigned int)settings.min_spi, (unsigned int)settings.max_spi, spis.min,
			spis.max);
	err = imsipsec_config_get(kernel_handle, &was);
	if (err)
		return kernel_failed("the configuration", err);
	config.min_spi = spis.min;
	config.max_spi = spis.max;
	/* As many sets as the range is enough for; where a range before was not, more again */
	if (was->max_bundles > spis.max_bundles ||
	    was->max_bundles == (was->max_spi - was->min_spi + 1) / 2) {
		config.set |= IMSIPSEC_CONFIG_MAX_BUNDLES;
		config.max_bundles = spis.max_bundles < BUNDLES_MAX ? spis.max_bundles : BUNDLES_MAX;
	}
	if (settings.mark_mask != -1 && was->mark_mask != (uint32_t)settings.mark_mask) {
		config.set |= IMSIPSEC_CONFIG_MARK_MASK;
		config.mark_mask = settings.mark_mask;
	}
	now = config.set & IMSIPSEC_CONFIG_MARK_MASK ? config.mark_mask : was->mark_mask;
	err = imsipsec_config_set(kernel_handle, &config);
	if (err)
		return kernel_failed("the configuration", err);
	__atomic_store_n(mask, now, __ATOMIC_RELAXED);
	return 0;
}

/* What is sent to a phone behind a NAT by a connection that it opened needs its mark. */
static void look_at_accept(void)
{
	FILE *f = fopen("/proc/sys/net/ipv4/tcp_fwmark_accept", "r");
	int on = 1;

	if (!f)
		return;
	if (fscanf(f, "%d", &on) == 1 && !on)
		LM_WARN("phones behind NATs have no TCP: sysctl net.ipv4.tcp_fwmark_accept=1\n");
	fclose(f);
}

int kernel_prepare(void)
{
	bool nat = false;

	if (!kernel() || set_config())
		return -1;
	for (int i = 0; i < settings.n_gm; i++) {
		if (have_endpoint(&settings.gm[i]))
			return -1;
		nat |= settings.gm[i].nat;
	}
	if (nat && kernel_mask())
		look_at_accept();
	return 0;
}

void kernel_look_after(void)
{
	const struct imsipsec_endpoint *endpoint;
	int err = 0;

	if (!kernel())
		return;
	for (int i = 0; !err && i < settings.n_gm; i++)
		err = imsipsec_endpoint_get(kernel_handle, settings.gm[i].endpoint, &endpoint);
	if (err == -ENOENT) {
		LM_WARN("an endpoint has been deleted: its ports are shut again\n");
		kernel_prepare();
	} else if (err) {
		kernel_failed("the endpoints", err);
	}
}

/* --- Algorithms */

static struct imsipsec_pair pairs[ALGS_MAX];
static size_t n_pairs;

static int add_pair(const struct imsipsec_pair_info *algorithm, void *data)
{
	if (*algorithm->name && n_pairs < ALGS_MAX)
		pairs[n_pairs++] = (struct imsipsec_pair) { algorithm->alg, algorithm->ealg };
	return 0;
}

/* Those that the kernel has change with its modules. */
bool kernel_has_pair(const struct imsipsec_pair *pair)
{
	static unsigned int asked;
	bool tried = false;
	int err;

	if (!n_pairs || get_ticks() - asked >= ALGS_SECONDS) {
		if (!kernel())
			return false;
		do {
			n_pairs = 0;
			err = imsipsec_pair_dump(kernel_handle, add_pair, NULL);
		} while (kernel_again(err, &tried));
		if (err) {
			n_pairs = 0;
			kernel_failed("the algorithms", err);
			return false;
		}
		asked = get_ticks();
	}
	for (size_t i = 0; i < n_pairs; i++) {
		if (pairs[i].alg == pair->alg && pairs[i].ealg == pair->ealg)
			return true;
	}
	return false;
}

/* --- Sets */

/* What a call for a set has given, copied for its caller; that there is none is nothing to be said
 */
static int got(int err, const struct imsipsec_bundle *found, struct imsipsec_bundle *b)
{
	if (!err)
		*b = *found;
	else if (err != -ENOENT && err != -ENOTUNIQ)
		kernel_failed("which set it is", err);
	return err;
}

/* A call that gives a set, made again if the kernel module was unloaded */
#define ASK(b, call)                                    \
	({                                              \
		const struct imsipsec_bundle *found_;   \
		bool tried_ = false;                    \
		int err_;                               \
                                                        \
		if (!kernel())                          \
			return -EIO;                    \
		do                                      \
			err_ = (call);                  \
		while (kernel_again(err_, &tried_));    \
		got(err_, found_, b);                   \
	})

int kernel_find_mark(uint32_t mark, struct imsipsec_bundle *b)
{
	return ASK(b, imsipsec_bundle_find_mark(kernel_handle, mark, &found_));
}

int kernel_find_spi(uint32_t spi, struct imsipsec_bundle *b)
{
	return ASK(b, imsipsec_bundle_find_spi(kernel_handle, spi, &found_));
}

int kernel_get(uint32_t id, struct imsipsec_bundle *b)
{
	return ASK(b, imsipsec_bundle_get(kernel_handle, id, &found_));
}

int kernel_tx(uint32_t id, struct imsipsec_bundle *b)
{
	return ASK(b, imsipsec_bundle_tx(kernel_handle, id, &found_));
}

int kernel_tx_port(const struct gm *gm, const struct imsipsec_addr *ue, uint16_t port,
		   struct imsipsec_bundle *b)
{
	return ASK(b, imsipsec_bundle_tx_port(kernel_handle, &gm->addr, ue, port, &found_));
}

int kernel_tuple(const struct gm *gm, uint16_t local, const struct imsipsec_addr *ue, uint16_t port,
		 struct imsipsec_bundle *b)
{
	return ASK(b, imsipsec_bundle_find_tuple(kernel_handle, &gm->addr, local, ue, port,
						 &found_));
}

static bool has_ends(const struct imsipsec_bundle *b, const struct receive_info *rcv)
{
	struct imsipsec_addr remote;

	to_addr(&remote, &rcv->src_ip);
	return addr_equal(&b->ue_address, &remote) &&
	       ((b->port_ps == rcv->dst_port && b->port_uc == rcv->src_port) ||
		(b->port_pc == rcv->dst_port && b->port_us == rcv->src_port));
}

int kernel_over(const struct receive_info *rcv, struct imsipsec_bundle *b)
{
	struct imsipsec_addr remote;
	uint32_t bits = kernel_mask();
	struct gm *gm;
	int err;

	if (!is_hidden(rcv->bind_address))
		return -ENOENT;
	/* The mark of a datagram is that of the set; a connection has its addresses and ports alone. */
	if (rcv->proto == PROTO_UDP && bits) {
		if (!(rcv->proto_reserved2 & bits))
			return -ENOENT;
		err = kernel_find_mark(rcv->proto_reserved2, b);
		return err ? err : has_ends(b, rcv) ? 0 : -ENOENT;
	}
	gm = gm_of(&rcv->dst_ip);
	if (!gm)
		return -ENOENT;
	to_addr(&remote, &rcv->src_ip);
	err = kernel_tuple(gm, rcv->dst_port, &remote, rcv->src_port, b);
	return !err && b->tcp_only && rcv->proto == PROTO_UDP ? -ENOTUNIQ : err;
}
