/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Time in guest instructions, for a VM with one CPU whose time is the number of
 * instructions that it has executed.
 */
#ifndef BENCH_CLOCK_H
#define BENCH_CLOCK_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

uint64_t now(void);
void check_clock(void);
pid_t start_spinner(void);
uint64_t busy_clock(void);
void sleep_ms(unsigned int ms);
void settle(unsigned int ms);
void run_first(void);
void run_very_first(void);
void run_like_others(void);
double median(uint64_t *values, size_t n);
/* Measure beside one population: in a process, with which its network namespace goes. */
void measure_apart(void (*measure)(const void *data), const void *data);

#endif /* BENCH_CLOCK_H */
