/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef _IMS_SPI_H
#define _IMS_SPI_H

#include <linux/types.h>

struct xarray;

/* Inbound SAs of a bundle */
#define IMS_SPIS_A_BUNDLE	2

/**
 * struct ims_spi_range - where a P-CSCF's SPIs come from
 * @min: first SPI, host byte order
 * @max: last SPI, host byte order, not below @min
 */
struct ims_spi_range {
	u32 min;
	u32 max;
};

int ims_spi_alloc(struct xarray *spis, const struct ims_spi_range *range, u32 *next,
		  void *owner, bool (*taken)(u32 spi, const void *data), const void *data,
		  u32 *spi);
void ims_spi_free(struct xarray *spis, u32 spi);

#endif /* _IMS_SPI_H */
