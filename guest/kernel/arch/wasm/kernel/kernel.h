/* SPDX-License-Identifier: GPL-2.0 */
#ifndef _WASM_KERNEL_H
#define _WASM_KERNEL_H

#include <linux/types.h>

struct pt_regs;
struct timespec64;

/* signal.c */
bool do_signal(struct pt_regs *regs);
void do_signal_without_handler(void);

/* irq.c */
void wasm_irq_user(struct pt_regs *regs);

/* time.c */
bool wasm_read_clock(unsigned long clock, unsigned long at);

/* mm/fault.c */
void wasm_user_fault(unsigned long addr, bool write);
void wasm_mapped_page(unsigned long addr, unsigned long prot,
		      unsigned long flags);

/* mm/uaccess.c */
bool wasm_put_timespec(unsigned long addr, const struct timespec64 *ts);
#endif
