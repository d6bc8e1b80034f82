/* SPDX-License-Identifier: GPL-2.0-only */
/* What the peers say to XFRM, and what XFRM has, whoever told it. */
#ifndef BENCH_XFRM_H
#define BENCH_XFRM_H

#include "setup.h"

extern const struct system ours, opensips, kamailio, scattered;

void peer_create(const struct setup *s, const struct ue *ue);
void peer_delete(const struct setup *s, const struct ue *ue);

/* Of the caller's network namespace: to be opened before the others are called */
void xfrm_look(void);
size_t count_sas(void);
size_t count_policies(void);
uint64_t sa_packets(const struct setup *s, const struct ue *ue, const struct flow *f);
void check_registered(const struct setup *s, const struct ue *ue, bool there);

#endif /* BENCH_XFRM_H */
