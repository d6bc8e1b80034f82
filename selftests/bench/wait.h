/* SPDX-License-Identifier: GPL-2.0-only */
/* How long one waits while somebody else is at work. */
#ifndef BENCH_WAIT_H
#define BENCH_WAIT_H

#include <stdbool.h>
#include <sys/types.h>

#include "imsipsec.h"

/* To be opened, and to be started, before what follows */
extern struct imsipsec *handle;
extern pid_t spinning;

/* Of the library: what fails ends the program */
void must(int ret);
/* A process does the work, with a handle of its own; another request waits meanwhile */
double wait_during(void (*work)(void), bool too);
/* Likewise, and the CPU is waited for as well, whoever has it */
double held_during(void (*work)(void));

#endif /* BENCH_WAIT_H */
