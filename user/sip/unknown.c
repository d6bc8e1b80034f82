// SPDX-License-Identifier: GPL-2.0-or-later
/* ESP that came from a phone with an SPI that no set has. */
#include "sip.h"

#define LATE_MS		5000	/* a set may be seen to have ended this much later */

struct unknown {
	uint64_t since_ms;	/* what was dropped longer ago has to do with another challenge */
	unsigned int n;
};

static int count_unknown(const struct imsipsec_trace *trace, void *data)
{
	struct unknown *unknown = data;

	if (trace->kind == IMSIPSEC_TRACE_KIND_DROP && trace->drop == IMSIPSEC_DROP_UNKNOWN_SPI &&
	    trace->ago_ms <= unknown->since_ms)
		unknown->n += trace->count;
	return 0;
}

int count_unknown_spis(const struct imsipsec_addr *ue, uint64_t timeout_ms, unsigned int *n)
{
	struct unknown unknown = { .since_ms = timeout_ms + LATE_MS };
	int err = imsipsec_trace_dump(kernel_handle, ue, count_unknown, &unknown);

	*n = unknown.n;
	return err;
}
