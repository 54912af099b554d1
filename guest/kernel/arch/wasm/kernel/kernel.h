/* SPDX-License-Identifier: GPL-2.0 */
#ifndef _WASM_KERNEL_H
#define _WASM_KERNEL_H

#include <linux/types.h>

struct pt_regs;

/* signal.c */
bool do_signal(struct pt_regs *regs);
void do_signal_without_handler(void);

/* irq.c */
void wasm_irq_user(struct pt_regs *regs);

/* mm/fault.c */
void wasm_user_fault(unsigned long addr, bool write);
#endif
