// SPDX-License-Identifier: LGPL-2.1-or-later
/* The text of an error, and what is wrong with a struct of the caller's. */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

#include "internal.h"

/* Sets the text of imsipsec_strerror() and returns @err. */
int imsipsec_fail(struct imsipsec *h, int err, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	vsnprintf(h->error, sizeof(h->error), fmt, args);
	va_end(args);
	return err;
}

/* What is reserved in a struct of the caller's is zero, unless the caller is newer than the library. */
bool imsipsec_is_zero(const void *data, size_t len)
{
	const unsigned char *bytes = data;
	size_t i;

	for (i = 0; i < len; i++)
		if (bytes[i])
			return false;
	return true;
}

int imsipsec_too_new(struct imsipsec *h)
{
	return imsipsec_fail(h, -E2BIG,
			     "made for a newer libimsipsec, or a struct was not initialised");
}
