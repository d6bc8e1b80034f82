// SPDX-License-Identifier: GPL-2.0-only
/* imsipsec check: is there room for so many UEs, and what do their algorithms cost. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "cli.h"

/*
 * Of memory, a bundle with hmac-sha-1-96 and aes-cbc: the most that was measured
 * (selftests/bench/run 'memory-sha1-*', and --long memory-4000).
 */
#define BYTES_A_BUNDLE	((uint64_t)6774)
/* Of each process that has a cache, again a bundle (selftests/bench/run cache-memory-64000) */
#define BYTES_A_CACHED	((uint64_t)250)

/* P-CSCF's side of one takes two SPIs */
#define SPIS_A_BUNDLE	((uint64_t)2)

/* If all UEs re-register at once */
static uint64_t most_bundles(const struct check *c)
{
	return (uint64_t)c->ues * c->config.max_sets;
}

void check_spis(struct check *c)
{
	const struct imsipsec_config *config = &c->config;
	const uint64_t there = (uint64_t)config->max_spi - config->min_spi + 1;
	const uint64_t least = c->ues * SPIS_A_BUNDLE;
	const uint64_t most = most_bundles(c) * SPIS_A_BUNDLE;

	if (there >= most) {
		check_found(c, CHECK_OK, "%" PRIu64 " SPIs are enough for %" PRIu64 " bundles", there,
			    most / SPIS_A_BUNDLE);
		return;
	}
	if (there < least)
		check_found(c, CHECK_FAULT, "there are %" PRIu64 " SPIs, %" PRIu32 " UEs need two each",
			    there, c->ues);
	else
		check_found(c, CHECK_WARNING, "there are %" PRIu64 " SPIs: enough for %" PRIu32
			    " UEs, not for all of them to have max-sets, %" PRIu32 ", at once", there,
			    c->ues, config->max_sets);
	/* The range grows upwards, and downwards where there is no room above. */
	if (config->min_spi + most <= UINT32_MAX)
		check_cure(c, "imsipsec config set max-spi %" PRIu64
			   ", at boot: the module's parameter max_spi", config->min_spi + most - 1);
	else
		check_cure(c, "imsipsec config set min-spi 65536 max-spi %" PRIu64, 65535 + most);
}

void check_bundles(struct check *c)
{
	const struct imsipsec_config *config = &c->config;
	const uint64_t most = most_bundles(c);

	if (config->max_bundles >= most) {
		check_found(c, CHECK_OK, "max-bundles is %" PRIu32, config->max_bundles);
		return;
	}
	if (config->max_bundles < c->ues)
		check_found(c, CHECK_FAULT, "max-bundles is %" PRIu32 ", less than %" PRIu32 " UEs",
			    config->max_bundles, c->ues);
	else
		check_found(c, CHECK_WARNING, "max-bundles is %" PRIu32 ": enough for %" PRIu32
			    " UEs, not for all of them to have max-sets, %" PRIu32 ", at once",
			    config->max_bundles, c->ues, config->max_sets);
	if (most <= 4194304)
		check_cure(c, "imsipsec config set max-bundles %" PRIu64
			   ", at boot: the module's parameter max_bundles", most);
	else
		check_cure(c, "imsipsec config set max-bundles 4194304, the most there can be, and "
			   "more hosts");
}

void check_marks(struct check *c)
{
	uint32_t mask = c->config.mark_mask, room;

	if (!mask) {
		check_found(c, CHECK_OK, "there are no marks: mark-mask is 0");
		return;
	}
	while (!(mask & 1))
		mask >>= 1;
	room = mask / 4;
	if (room >= c->ues) {
		check_found(c, CHECK_OK, "mark-mask 0x%08" PRIx32 " tells %" PRIu32
			    " registrations apart", c->config.mark_mask, room);
		return;
	}
	check_found(c, CHECK_FAULT, "mark-mask 0x%08" PRIx32 " tells %" PRIu32
		    " registrations apart, not %" PRIu32, c->config.mark_mask, room, c->ues);
	check_cure(c, "imsipsec config set mark-mask 0x00ffffff, while there is no bundle; what else "
		   "uses marks on this host must not use these bits");
}

void check_memory(struct check *c)
{
	char *text = check_read(c, "/proc/meminfo"), *line;
	const uint32_t max_sets = c->module ? c->config.max_sets : 3;
	uint64_t kilobytes, available, there = 0, least, most;
	char caches[64] = "";
	size_t i;

	line = text ? strstr(text, "\nMemAvailable:") : NULL;
	if (!line || sscanf(line, "\nMemAvailable: %" SCNu64, &kilobytes) != 1) {
		free(text);
		check_found(c, CHECK_WARNING, "/proc/meminfo does not tell what is available");
		check_cure(c, "%" PRIu32 " UEs with one bundle each need %" PRIu64 " MB", c->ues,
			   c->ues * (BYTES_A_BUNDLE + c->processes * BYTES_A_CACHED) / 1000000);
		return;
	}
	free(text);
	available = kilobytes * 1024;
	for (i = 0; i < c->n_endpoints; i++)
		there += c->endpoints[i].bundles;
	least = c->ues > there ? (c->ues - there) * BYTES_A_BUNDLE : 0;
	most = (uint64_t)c->ues * max_sets;
	most = most > there ? (most - there) * BYTES_A_BUNDLE : 0;
	if (c->processes) {
		least += c->processes * (uint64_t)c->ues * BYTES_A_CACHED;
		most += c->processes * (uint64_t)c->ues * max_sets * BYTES_A_CACHED;
		snprintf(caches, sizeof(caches), ", caches of %" PRIu32 " process%s included",
			 c->processes, c->processes == 1 ? "" : "es");
	}
	if (available >= most) {
		check_found(c, CHECK_OK, "%" PRIu64 " MB are available; %" PRIu32 " UEs take %" PRIu64
			    " MB more with one bundle each, %" PRIu64 " with %" PRIu32 "%s",
			    available / 1000000, c->ues, least / 1000000, most / 1000000, max_sets,
			    caches);
		return;
	}
	check_found(c, available < least ? CHECK_FAULT : CHECK_WARNING,
		    "%" PRIu64 " MB are available; %" PRIu32 " UEs take %" PRIu64
		    " MB more with one bundle each, %" PRIu64 " with %" PRIu32 "%s",
		    available / 1000000, c->ues, least / 1000000, most / 1000000, max_sets, caches);
	check_cure(c, "more memory, or fewer UEs on this host");
}

/* Slow code, and the module with fast code for a processor that has what it takes */
static const struct accelerator {
	const char *driver;		/* a part of the slow one's name */
	const char *flag;		/* of /proc/cpuinfo */
	const char *module;
} accelerators[] = {
	/* "aes-generic", "cbc(aes-aesni)" is none; AES-GCM's "generic-gcm-aesni" is not slow */
	{ "aes-generic", "aes", "aesni_intel" },
	{ "sha1-generic", "ssse3", "sha1_ssse3" },
	{ "ghash-generic", "pclmulqdq", "ghash_clmulni_intel" },
	{ "des3_ede-generic", "lm", "des3_ede_x86_64" },
	{ "aes-generic", "aes", "aes_ce_blk" },
	{ "sha1-generic", "sha1", "sha1_ce" },
	{ "ghash-generic", "pmull", "ghash_ce" },
};

/* Is a word in the first line of /proc/cpuinfo that begins so? */
static bool cpu_has(const char *cpuinfo, const char *flag)
{
	static const char *const lines[] = { "\nflags", "\nFeatures" };
	const size_t len = strlen(flag);
	const char *p = NULL, *end;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(lines) && !p && cpuinfo; i++)
		p = strstr(cpuinfo, lines[i]);
	if (!p)
		return false;
	end = p + 1 + strcspn(p + 1, "\n");
	for (p = strstr(p, flag); p && p < end; p = strstr(p + 1, flag))
		if (p[-1] == ' ' && (p[len] == ' ' || p[len] == '\n' || !p[len]))
			return true;
	return false;
}

/* That would serve a pair faster, and is there, but is not loaded; or NULL */
static const char *accelerator_of(const struct check *c, const char *cpuinfo,
				  const struct imsipsec_pair_info *a)
{
	const struct accelerator *acc;
	bool loaded;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(accelerators); i++) {
		acc = &accelerators[i];
		if (strstr(a->driver, acc->driver) && cpu_has(cpuinfo, acc->flag) &&
		    check_has_kernel_module(c, acc->module, &loaded) && !loaded)
			return acc->module;
	}
	return NULL;
}

/* Has it an IV generator, which is not of ims_ipsec_iv? */
static bool has_kernels_iv(const struct imsipsec_pair_info *a)
{
	return !strncmp(a->driver, "seqiv(", 6) || !strncmp(a->driver, "echainiv(", 9);
}

void check_algorithms(struct check *c)
{
	char *cpuinfo = check_read(c, "/proc/cpuinfo");
	const struct imsipsec_pair_info *a;
	unsigned int served = 0, fast = 0, kernels = 0;
	const char *module;
	size_t i;

	for (i = 0; i < c->n_algorithms; i++) {
		a = &c->algorithms[i];
		if (!a->rank)
			continue;
		kernels += has_kernels_iv(a);
		if (!*a->driver) {
			check_found(c, CHECK_WARNING, "alg %s ealg %s is allowed, and not in this "
				    "kernel", name_or_unknown(imsipsec_alg_name(a->alg)),
				    name_or_unknown(imsipsec_ealg_name(a->ealg)));
			check_cure(c, "install the kernel's package with its modules, or leave it out "
				   "of allowed-algorithms");
			continue;
		}
		served++;
		module = accelerator_of(c, cpuinfo, a);
		if (!module) {
			fast++;
			continue;
		}
		check_found(c, CHECK_WARNING, "alg %s ealg %s is served by %s, and %s, which this "
			    "processor can use, is not loaded",
			    name_or_unknown(imsipsec_alg_name(a->alg)),
			    name_or_unknown(imsipsec_ealg_name(a->ealg)), a->driver, module);
		check_cure(c, "modprobe %s, at boot: in /etc/modules-load.d; bundles made from then on "
			   "gain", module);
	}
	free(cpuinfo);
	if (kernels) {
		check_found(c, CHECK_WARNING, "%u of the pairs that are allowed have the kernel's IV "
			    "generators: each of a bundle's SAs has a cipher, and not all four one", kernels);
		check_cure(c, "take own=0 of ims_ipsec_iv out of /etc/modprobe.d, rmmod ims_ipsec "
			   "ims_ipsec_iv and modprobe ims_ipsec: which ends all bundles and endpoints");
	}
	if (!served) {
		check_found(c, CHECK_FAULT, "the kernel has none of the algorithms that are allowed");
		check_cure(c, "imsipsec config set allowed-algorithms all, or install the kernel's "
			   "package with its modules");
	} else if (fast) {
		check_found(c, CHECK_OK, "%u of the pairs that are allowed are served, as fast as the "
			    "modules that are installed can%s", fast,
			    kernels ? "" : ", a bundle's SAs by one cipher where it has IVs");
	}
}
