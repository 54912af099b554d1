// SPDX-License-Identifier: GPL-2.0
#include <linux/hardirq.h>
#include <linux/interrupt.h>
#include <linux/irq.h>
#include <asm/irq_regs.h>
#include <asm/host.h>
#include "kernel.h"

unsigned long wasm_irq_enabled;

static void wasm_do_lines(struct pt_regs *regs)
{
	struct pt_regs *old = set_irq_regs(regs);
	unsigned int line;

	WRITE_ONCE(wasm_irq_enabled, ARCH_IRQ_DISABLED);
	irq_enter();
	while (READ_ONCE(boot_info.irq_pending)) {
		WRITE_ONCE(boot_info.irq_pending, 0);
		/* before the lines are read: the host sets it after the line */
		mb();
		for (line = 0; line < NR_IRQS; line++) {
			if (!READ_ONCE(boot_info.irq_line[line]))
				continue;
			WRITE_ONCE(boot_info.irq_line[line], 0);
			generic_handle_irq(line);
		}
	}
	irq_exit();
	WRITE_ONCE(wasm_irq_enabled, ARCH_IRQ_ENABLED);
	set_irq_regs(old);
}

/* Kernel code looked and found an interrupt pending. */
void wasm_irq_dispatch(void)
{
	static struct pt_regs kernel_regs;

	wasm_do_lines(&kernel_regs);
}

void wasm_irq_user(struct pt_regs *regs)
{
	wasm_do_lines(regs);
}

void __init init_IRQ(void)
{
	unsigned int line;

	for (line = 0; line < NR_IRQS; line++)
		irq_set_chip_and_handler(line, &dummy_irq_chip,
					 handle_simple_irq);
	/*
	 * Each processor has its own timer. Such an interrupt is no source of
	 * randomness either, which costs at each tick and is not needed: the
	 * host gives a seed.
	 */
	irq_set_percpu_devid(MACHINE_IRQ_TIMER);
	irq_set_handler(MACHINE_IRQ_TIMER, handle_percpu_devid_irq);
}
