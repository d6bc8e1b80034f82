/* SPDX-License-Identifier: GPL-2.0-only */
#include <linux/linkage.h>
#include <asm/ibt.h>
#include <asm/nospec-branch.h>
#include <asm/processor-flags.h>
#include <asm/unwind_hints.h>

	.text
/*
 * On entry the stack has the address after the int3, and the code segment.  What is
 * written to is forgotten, and code cannot be written to unless CR0 says so.
 */
SYM_CODE_START(stale_code_int3)
	UNWIND_HINT_IRET_REGS
	ENDBR
	testb	$3, 8(%rsp)		/* a user's */
	jnz	2f
	push	%rax
	mov	8(%rsp), %rax
	dec	%rax
	cmpb	$0xcc, (%rax)
	je	1f
	mov	%rax, 8(%rsp)
	push	%rcx
	mov	%cr0, %rcx
	push	%rcx
	and	$~X86_CR0_WP, %rcx
	mov	%rcx, %cr0
	lock orb $0, (%rax)
	pop	%rcx
	mov	%rcx, %cr0
	lock incl stale_code_count(%rip)
	pop	%rcx
	pop	%rax
	iretq
1:	pop	%rax
2:	ANNOTATE_RETPOLINE_SAFE
	jmp	*stale_code_next(%rip)
SYM_CODE_END(stale_code_int3)
