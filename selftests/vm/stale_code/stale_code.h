/* SPDX-License-Identifier: GPL-2.0-only */
extern const char stale_code_int3[];	/* the handler, in handler.S */
extern unsigned long stale_code_next;	/* whose turn it is if the int3 is there */
extern unsigned int stale_code_count;
