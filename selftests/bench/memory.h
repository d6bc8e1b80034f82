/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef BENCH_MEMORY_H
#define BENCH_MEMORY_H

/* Bytes that cannot be reclaimed */
long read_slab(void);

#endif /* BENCH_MEMORY_H */
