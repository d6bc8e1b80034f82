/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef FUZZ_H
#define FUZZ_H

#include <stddef.h>
#include <stdint.h>

/* A target of libFuzzer, and what mutate_test begins with and puts in; both end with NULL */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
extern const char *const fuzz_seeds[];
extern const char *const fuzz_pieces[];

#endif /* FUZZ_H */
