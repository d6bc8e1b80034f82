// SPDX-License-Identifier: LGPL-2.1-or-later
/* The bundles of UEs: made, confirmed, ended. */
#include <errno.h>
#include <string.h>
#include <sys/random.h>

#include <imsipsec.h>

#include "bundle.h"
#include "options.h"
#include "ue.h"

#define GRACE_MS	30000		/* the SAs outlive the registration by so much */

struct imsipsec *ipsec;
struct imsipsec_cache *cache;

static uint64_t cookie;		/* of the last bundle that was asked for */

int bundle_begin(void)
{
	/* No process before this one has counted the same ones. */
	return getrandom(&cookie, sizeof(cookie), 0) == sizeof(cookie) ? 0 : -errno;
}

int write_security_server(const struct imsipsec_bundle *bundle, char *buf, size_t size,
			  struct imsipsec_secagree **list)
{
	int len = imsipsec_secagree_write_server(buf, size, bundle, opt.algs,
						 opt.single ? 0 : opt.n_algs);

	if (len < 0)
		return len;
	return imsipsec_secagree_parse(list, buf, (size_t)len);
}

uint32_t mark_of(const struct imsipsec_bundle *bundle)
{
	return bundle->unmarked ? 0 : bundle->mark;
}

int make_bundle(struct ue *ue, const struct imsipsec_mech *mech, char *server, size_t size)
{
	struct imsipsec_bundle_params params = {
		.endpoint = ue->local->endpoint,
		.owner = ue->owner,
		.owner_len = strlen(ue->owner),
		.contact = ue->contact,
		.contact_len = strlen(ue->contact),
		.mode = mech->mode,
		.alg = mech->alg,
		.ealg = mech->ealg,
		.ue_address = ue->address,
		.ue_nat_address = ue->nat,
		.port_uc = mech->port_c,
		.port_us = mech->port_s,
		.spi_uc = mech->spi_c,
		.spi_us = mech->spi_s,
		.allowed_algorithms = opt.algs_text,
		.cookie = ++cookie,
	};
	const struct imsipsec_bundle *bundle;
	int err;

	memcpy(params.ik, ue->vector.ik, sizeof(params.ik));
	memcpy(params.ck, ue->vector.ck, sizeof(params.ck));
	err = imsipsec_bundle_new(ipsec, &params, &bundle);
	/* The answer got lost: with the same cookie there is no second bundle. */
	if (err == -ENOBUFS)
		err = imsipsec_bundle_new(ipsec, &params, &bundle);
	explicit_bzero(params.ik, sizeof(params.ik));
	explicit_bzero(params.ck, sizeof(params.ck));
	explicit_bzero(ue->vector.ik, sizeof(ue->vector.ik));
	explicit_bzero(ue->vector.ck, sizeof(ue->vector.ck));
	if (err) {
		error("no bundle for %s: %s", ue->owner, imsipsec_strerror(ipsec));
		return err;
	}

	ue->bundle = bundle->id;
	ue->port_uc = bundle->port_uc;
	ue->port_us = bundle->port_us;
	ue->port_pc = bundle->port_pc;
	ue->mark = mark_of(bundle);
	if (bundle->mode == IMSIPSEC_MODE_UDP_ENC_TUN)
		log("bundle %u: ESP in UDP, to %s port %u", bundle->id,
		    ADDR(&bundle->ue_nat_address), bundle->ue_nat_port);
	log("bundle %u for %s: %s/%s, UE %s ports %u %u SPIs %u %u, ours %u %u SPIs %u %u",
	    bundle->id, ue->owner, imsipsec_alg_name(bundle->alg),
	    imsipsec_ealg_name(bundle->ealg), ADDR(&bundle->ue_address), bundle->port_uc,
	    bundle->port_us, bundle->spi_uc, bundle->spi_us, bundle->port_pc, bundle->port_ps,
	    bundle->spi_pc, bundle->spi_ps);
	err = write_security_server(bundle, server, size, &ue->server);
	if (err)
		imsipsec_bundle_delete(ipsec, ue->bundle, 0);
	return err;
}

bool same_registration(const struct ue *a, const struct ue *b)
{
	return !strcmp(a->owner, b->owner) && !strcmp(a->contact, b->contact);
}

void end_registration(struct ue *ue)
{
	const struct imsipsec_bundle_filter filter = {
		.owner = ue->owner, .owner_len = strlen(ue->owner),
		.contact = ue->contact, .contact_len = strlen(ue->contact),
	};

	step("leave");
	if (imsipsec_bundle_flush(ipsec, &filter, opt.linger, NULL))
		error("bundles of %s: %s", ue->owner, imsipsec_strerror(ipsec));
	for (struct ue *other = ues; other; other = other->next) {
		if (same_registration(other, ue))
			other->state = UE_LEAVING;
	}
	step("flushed");
}

int keep_bundle(const struct ue *ue, bool first, unsigned int expires)
{
	const uint64_t lifetime = expires * 1000ULL + GRACE_MS;

	if (!first)
		return imsipsec_bundle_extend(ipsec, ue->bundle, lifetime);
	return imsipsec_bundle_confirm(ipsec, ue->bundle, lifetime,
				       ue->over || ue->taken_over ? IMSIPSEC_OLDER_KEEP :
								    IMSIPSEC_OLDER_DROP,
				       ue->over);
}

void ue_end(struct ue *ue, uint64_t linger)
{
	int err = imsipsec_bundle_delete(ipsec, ue->bundle, linger);

	if (err && err != -ENOENT)
		error("bundle %u: %s", ue->bundle, imsipsec_strerror(ipsec));
	ue->state = UE_LEAVING;
	if (err || !linger)
		ue_drop(ue);
}
