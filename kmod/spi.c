// SPDX-License-Identifier: GPL-2.0-only
/* The SPI range: which inbound SPI belongs to which bundle. */
#include <linux/errno.h>
#include <linux/gcd.h>
#include <linux/kernel.h>
#include <linux/random.h>
#include <linux/sched.h>
#include <linux/xarray.h>

#include "spi.h"

/* SPIs that differ in the last byte alone: they fill nodes of the xarray */
#define IMS_SPI_RUN	256

/*
 * Which SPI to look at after another one. XFRM finds an SA in a hash of the SPI's bits as they are
 * on the wire, in which, on a host of little endian, all SPIs that begin with the same byte have a
 * few thousand buckets. So after a run of SPIs comes one that is far away, and after all runs of
 * the range the first one again.
 */
static u32 ims_spi_next(const struct ims_spi_range *range, u32 spi)
{
	const u64 size = (u64)range->max - range->min + 1;
	const u32 runs = DIV_ROUND_UP_ULL(size, IMS_SPI_RUN);
	const u32 offset = spi - range->min;
	/* the golden section: wherever one stops, they are spread over the range */
	u32 step = (u64)runs * 618 / 1000 | 1;

	if (spi != range->max && (offset + 1) % IMS_SPI_RUN)
		return spi + 1;
	while (gcd(step, runs) != 1)
		step += 2;
	return range->min + ((u64)offset / IMS_SPI_RUN + step) % runs * IMS_SPI_RUN;
}

/**
 * ims_spi_alloc() - take a free SPI
 * @spis: what is taken, by SPI; made with XA_FLAGS_ALLOC
 * @range: where to take it from
 * @next: where to begin, moves on; 0: at a random place
 * @owner: what to store at it
 * @taken: true for an SPI that must not be taken though it is free in @spis
 * @data: passed to @taken
 * @spi: gets the SPI, host byte order
 *
 * Random at first: a fixed place would meet what a crash left behind, or what
 * another user of the range takes (peers do), again and again. In turn from
 * there on, as ims_spi_next() has them: one that was given back is not soon had
 * again, and @spis stays dense, which is what it costs in memory.
 *
 * Context: process, the caller's mutex serialises the writers of @spis.
 * Return: 0; -ENOSPC if the range is used up; -ENOMEM.
 */
int ims_spi_alloc(struct xarray *spis, const struct ims_spi_range *range, u32 *next,
		  void *owner, bool (*taken)(u32 spi, const void *data), const void *data,
		  u32 *spi)
{
	u64 size = (u64)range->max - range->min + 1;
	u32 start = *next;
	u32 lo, hi = range->max;
	bool wrapped = false;
	u32 id;
	int err;

	/* 64 random bits: the whole u32 space is a range too */
	if (start < range->min || start > range->max)
		start = range->min + (u32)(get_random_u64() % size);
	lo = start;

	for (;;) {
		err = xa_alloc(spis, &id, owner, XA_LIMIT(lo, hi), GFP_KERNEL_ACCOUNT);
		if (!err && !taken(id, data)) {
			*spi = id;
			*next = ims_spi_next(range, id);
			return 0;
		}
		if (!err)
			xa_erase(spis, id);
		else if (err != -EBUSY)
			return err;

		if (!err && id < hi) {
			lo = id + 1;
		} else if (!wrapped && start > range->min) {
			wrapped = true;
			lo = range->min;
			hi = start - 1;
		} else {
			return -ENOSPC;
		}
		cond_resched();
	}
}

/**
 * ims_spi_free() - give an SPI back
 * @spis: as for ims_spi_alloc()
 * @spi: what that returned
 *
 * Context: process, the caller's mutex serialises the writers of @spis.
 */
void ims_spi_free(struct xarray *spis, u32 spi)
{
	xa_erase(spis, spi);
}
