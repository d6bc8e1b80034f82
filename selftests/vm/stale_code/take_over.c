// SPDX-License-Identifier: GPL-2.0-only
/*
 * For kernels on several CPUs that QEMU emulates.
 *
 * The kernel patches code that runs by way of an int3: that goes in, the rest of
 * the instruction follows, then its first byte.  A CPU that translates the int3
 * just as it is taken out may keep the translation: QEMU forgets what was
 * translated first and writes then.  It meets an int3 that is not there any more,
 * which ends 6.12 by an "Oops: int3", and has 6.1 try again for ever.  Seen with
 * QEMU 7.2 after a few dozen patches of code that another CPU runs, with 10.0 after
 * some hundred.
 *
 * So be the first to handle an int3: have an instruction that is none translated
 * anew, and go on with it.
 */
#include <linux/module.h>
#include <linux/stop_machine.h>
#include <asm/desc.h>
#include <asm/processor-flags.h>
#include <asm/trapnr.h>
#include "stale_code.h"

unsigned long stale_code_next;
unsigned int stale_code_count;
module_param_named(count, stale_code_count, uint, 0444);
MODULE_PARM_DESC(count, "instructions that were translated anew");

static int take_over(void *unused)
{
	unsigned long cr0 = native_read_cr0(), handler = (unsigned long)stale_code_int3;
	struct desc_ptr idt;
	gate_desc *gate;

	store_idt(&idt);
	gate = (gate_desc *)idt.address + X86_TRAP_BP;
	stale_code_next = gate_offset(gate);
	/* native_write_cr0() would not have it */
	asm volatile("mov %0, %%cr0" : : "r"(cr0 & ~X86_CR0_WP) : "memory");
	gate->offset_low = handler;
	gate->offset_middle = handler >> 16;
	gate->offset_high = handler >> 32;
	asm volatile("mov %0, %%cr0" : : "r"(cr0) : "memory");
	return 0;
}

static int __init stale_code_init(void)
{
	return stop_machine(take_over, NULL, NULL);
}

module_init(stale_code_init);
MODULE_DESCRIPTION("Emulated CPUs do not stay with code that was patched");
MODULE_LICENSE("GPL");
