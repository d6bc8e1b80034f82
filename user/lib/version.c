// SPDX-License-Identifier: LGPL-2.1-or-later
/* The version: that of the file VERSION at the top, which the Makefile takes apart. */
#include "internal.h"

_Static_assert(IMSIPSEC_VERSION_MAJOR == VERSION_MAJOR && IMSIPSEC_VERSION_MINOR == VERSION_MINOR &&
	       IMSIPSEC_VERSION_PATCH == VERSION_PATCH, "imsipsec.h has another version than VERSION");

const char *imsipsec_version(void)
{
	return IMSIPSEC_VERSION;
}
