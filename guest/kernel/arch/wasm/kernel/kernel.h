/* SPDX-License-Identifier: GPL-2.0 */
#ifndef _WASM_KERNEL_H
#define _WASM_KERNEL_H

#include <linux/types.h>

struct pt_regs;

/* entry.c: where user code was left, which decides what it can be made to do */
enum wasm_entry {
	FROM_SYSCALL,		/* at a call: it can be told to run a handler */
	FROM_INTERRUPT,		/* at any instruction */
};

void exit_to_user(struct pt_regs *regs, enum wasm_entry from);

/* signal.c */
bool do_signal(struct pt_regs *regs);
void do_fatal_signals(void);
void force_fatal_fault(int signo, int code, unsigned long addr);

/* irq.c */
void wasm_irq_user(struct pt_regs *regs);

/* mm/fault.c */
void wasm_user_fault(unsigned long addr, bool write);
#endif
