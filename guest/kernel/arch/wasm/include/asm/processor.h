/* SPDX-License-Identifier: GPL-2.0 */
#ifndef _ASM_WASM_PROCESSOR_H
#define _ASM_WASM_PROCESSOR_H

#include <asm/page.h>
#include <asm/ptrace.h>

/*
 * A process has the whole of its own linear memory but the last page of
 * WebAssembly: no address may look like an error number.
 */
#define TASK_SIZE		0xffff0000UL
#define STACK_TOP		TASK_SIZE
#define STACK_TOP_MAX		STACK_TOP
#define TASK_UNMAPPED_BASE	PAGE_ALIGN(TASK_SIZE / 3)

#ifndef __ASSEMBLY__
struct task_struct;

struct thread_struct {
	struct pt_regs regs;
	int (*fn)(void *);	/* kernel thread, or NULL */
	void *fn_arg;
	bool created;		/* the host knows the task */
};

#define INIT_THREAD		{ }
#define task_pt_regs(tsk)	(&(tsk)->thread.regs)
#define KSTK_EIP(tsk)		0UL
#define KSTK_ESP(tsk)		((tsk) == current ? host_user_sp_get() : \
						    task_pt_regs(tsk)->sp)

#define cpu_relax()		barrier()

unsigned long __get_wchan(struct task_struct *p);
void start_thread(struct pt_regs *regs, int module, unsigned long sp);
#endif
#endif
