// SPDX-License-Identifier: GPL-2.0-or-later
/* Whoever sends a lot must not fill the log. */
#include "sip.h"

#define LIMIT_SECONDS 10
#define LIMIT_LINES 10

bool may_say(struct limit *limit)
{
	unsigned int now = get_ticks();

	if (!limit->n || now - limit->since >= LIMIT_SECONDS) {
		if (limit->n > LIMIT_LINES)
			LM_NOTICE("%u lines like the next one were left out\n",
				  limit->n - LIMIT_LINES);
		limit->since = now;
		limit->n = 0;
	}
	return ++limit->n <= LIMIT_LINES;
}
