/* SPDX-License-Identifier: GPL-2.0 */
#ifndef _ASM_WASM_STACKPROTECTOR_H
#define _ASM_WASM_STACKPROTECTOR_H

/* The compiler reads one global; __switch_to() loads it for each task. */
extern unsigned long __stack_chk_guard;

static __always_inline void boot_init_stack_canary(void)
{
	current->stack_canary = get_random_canary();
	__stack_chk_guard = current->stack_canary;
}
#endif
