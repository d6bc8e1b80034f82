/* SPDX-License-Identifier: GPL-2.0-only */
/* Registrations by the module. */
#ifndef BENCH_OURS_H
#define BENCH_OURS_H

#include "setup.h"

void ours_connect(void);
void ours_raise_limits(void);
void ours_open(struct setup *s, uint16_t port_ps, uint16_t port_pc);
void ours_create(const struct setup *s, struct ue *ue);
void ours_confirm(const struct ue *ue, enum imsipsec_older older);
void ours_delete(const struct ue *ue);
void ours_listen(void);
size_t ours_cache_memory(void);
void ours_rx_mark(const struct ue *ue, struct imsipsec_found *found);

#endif /* BENCH_OURS_H */
