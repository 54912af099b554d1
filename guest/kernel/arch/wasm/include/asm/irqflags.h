/* SPDX-License-Identifier: GPL-2.0 */
#ifndef _ASM_WASM_IRQFLAGS_H
#define _ASM_WASM_IRQFLAGS_H

#include <linux/compiler.h>
#include <asm/host.h>

/*
 * Kernel code is never interrupted. An interrupt is a bit that the host sets;
 * the kernel looks when it enables interrupts, goes idle, or returns to user.
 */
extern unsigned long wasm_irq_enabled;

void wasm_irq_dispatch(void);

#define ARCH_IRQ_DISABLED	0
#define ARCH_IRQ_ENABLED	1

static inline unsigned long arch_local_save_flags(void)
{
	return READ_ONCE(wasm_irq_enabled);
}
#define arch_local_save_flags arch_local_save_flags

static inline void arch_local_irq_restore(unsigned long flags)
{
	barrier();
	WRITE_ONCE(wasm_irq_enabled, flags);
	if (flags && unlikely(READ_ONCE(boot_info.irq_pending)))
		wasm_irq_dispatch();
}
#define arch_local_irq_restore arch_local_irq_restore

#include <asm-generic/irqflags.h>
#endif
