/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the kernel says: the bundles that are there, and what becomes of them. */
#ifndef PCSCF_KERNEL_H
#define PCSCF_KERNEL_H

#include <imsipsec.h>

/* Make our list that of the kernel: at the start, and when events were lost. */
int synchronize(void);

/* For imsipsec_cache_dispatch() */
int on_event(const struct imsipsec_event *event, void *data);

#endif /* PCSCF_KERNEL_H */
