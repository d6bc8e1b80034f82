// SPDX-License-Identifier: GPL-2.0-only
/* Registrations by the module: an endpoint, and its bundles. */
#include <err.h>
#include <malloc.h>
#include <string.h>

#include "ours.h"

static struct imsipsec *handle;
static struct imsipsec_cache *cache;

static struct imsipsec_addr to_addr(const struct setup *s, const xfrm_address_t *xaddr)
{
	struct imsipsec_addr addr = { .family = s->family };

	if (s->family == AF_INET)
		addr.in.s_addr = xaddr->a4;
	else
		memcpy(&addr.in6, xaddr->a6, sizeof(addr.in6));
	return addr;
}

/* Of a UE behind a NAT */
static struct imsipsec_addr nat_addr(const struct setup *s, const struct ue *ue)
{
	return s->encap ? to_addr(s, &ue->nat) : (struct imsipsec_addr){ 0 };
}

/* A process that another one has forked needs a handle of its own. */
void ours_connect(void)
{
	int ret;

	imsipsec_close(handle);
	handle = NULL;
	ret = imsipsec_open(&handle);
	if (ret)
		errx(2, "%s", imsipsec_open_strerror(ret));
}

/* As who has so many UEs sets them: by default there is room for 262,144 */
void ours_raise_limits(void)
{
	const struct imsipsec_config config = {
		.set = IMSIPSEC_CONFIG_MAX_BUNDLES | IMSIPSEC_CONFIG_MAX_PENDING,
		.max_bundles = 4 << 20,
		.max_pending = 4 << 20,
	};

	if (!handle)
		ours_connect();
	if (imsipsec_config_set(handle, &config))
		errx(2, "%s", imsipsec_strerror(handle));
}

void ours_open(struct setup *s, uint16_t port_ps, uint16_t port_pc)
{
	const struct imsipsec_endpoint_params params = {
		.address = to_addr(s, &s->addr),
		.port_ps = port_ps,
		.port_pc = &port_pc,
		.n_port_pc = 1,
		.nat_traversal = s->encap ? IMSIPSEC_CHOICE_ON : IMSIPSEC_CHOICE_OFF,
		.nat_port = s->encap,
		.hw_offload = s->shipped ? IMSIPSEC_OFFLOAD_SOFTWARE : 0,
	};
	const struct imsipsec_endpoint *ep;

	if (!handle)
		ours_connect();
	if (imsipsec_endpoint_add(handle, &params, &ep))
		errx(2, "%s", imsipsec_strerror(handle));
	s->endpoint = ep->id;
}

void ours_create(const struct setup *s, struct ue *ue)
{
	struct imsipsec_bundle_params params = {
		.endpoint = s->endpoint,
		.owner = ue->owner,
		.owner_len = strlen(ue->owner),
		.contact = ue->contact,
		.contact_len = strlen(ue->contact),
		.alg = s->pair->alg,
		.ealg = s->pair->ealg,
		.mode = s->encap ? IMSIPSEC_MODE_UDP_ENC_TUN : IMSIPSEC_MODE_TRANS,
		.ue_address = to_addr(s, &ue->addr),
		.ue_nat_address = nat_addr(s, ue),
		.ue_nat_port = s->encap ? ue->nat_port : 0,
		.port_uc = ue->port_uc,
		.port_us = ue->port_us ? ue->port_us : PORT_US,
		.spi_uc = ue->spi[SPI_UC],
		.spi_us = ue->spi[SPI_US],
	};
	const struct imsipsec_bundle *b;

	memcpy(params.ik, key, sizeof(params.ik));
	memcpy(params.ck, key, sizeof(params.ck));
	if (imsipsec_bundle_new(handle, &params, &b))
		errx(2, "%s", imsipsec_strerror(handle));
	ue->id = b->id;
	ue->mark = b->mark;
	ue->spi[SPI_PC] = b->spi_pc;
	ue->spi[SPI_PS] = b->spi_ps;
}

void ours_confirm(const struct ue *ue, enum imsipsec_older older)
{
	if (imsipsec_bundle_confirm(handle, ue->id, 3600000, older, 0))
		errx(2, "%s", imsipsec_strerror(handle));
}

void ours_delete(const struct ue *ue)
{
	if (imsipsec_bundle_delete(handle, ue->id, 0))
		errx(2, "%s", imsipsec_strerror(handle));
}

/* As a SIP server does: it takes in what has happened since the last call, too. */
void ours_listen(void)
{
	int ret = cache ? 0 : imsipsec_cache_open(&cache);

	if (ret)
		errx(2, "%s", imsipsec_open_strerror(ret));
	if (imsipsec_cache_dispatch(cache, NULL, NULL))
		errx(2, "%s", imsipsec_cache_strerror(cache));
}

size_t ours_cache_memory(void)
{
	struct mallinfo2 before = mallinfo2(), with;
	struct imsipsec_cache *c;
	int err = imsipsec_cache_open(&c);

	if (err)
		errx(2, "%s", imsipsec_open_strerror(err));
	with = mallinfo2();
	imsipsec_cache_close(c);
	return with.uordblks + with.hblkhd - before.uordblks - before.hblkhd;
}

void ours_rx_mark(const struct ue *ue, struct imsipsec_found *found)
{
	if (imsipsec_rx_mark(cache, ue->mark, found))
		errx(2, "%s", imsipsec_cache_strerror(cache));
}
