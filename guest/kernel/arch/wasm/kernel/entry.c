// SPDX-License-Identifier: GPL-2.0
/*
 * The ways from user code into the kernel. All are plain calls of exports of
 * the task's kernel instance: syscall() by user code itself, fault(), irq() and
 * trap() by the host in the middle of it. Each first asks for native stack,
 * while no lock is held: a task that has used it up ends in abort().
 */
#include <linux/errno.h>
#include <linux/irqflags.h>
#include <linux/ptrace.h>
#include <linux/resume_user_mode.h>
#include <linux/sched.h>
#include <linux/sched/signal.h>
#include <linux/seccomp.h>
#include <linux/syscalls.h>
#include <asm/host.h>
#include <asm/syscall.h>
#include "kernel.h"

static long __wasm_sys_ni_syscall(const struct pt_regs *regs)
{
	return -ENOSYS;
}

/* The offset counts units of 4096 bytes, whatever the page size. */
SYSCALL_DEFINE6(mmap2, unsigned long, addr, unsigned long, len,
		unsigned long, prot, unsigned long, flags,
		unsigned long, fd, unsigned long, off)
{
	if (off & ((PAGE_SIZE >> 12) - 1))
		return -EINVAL;
	addr = ksys_mmap_pgoff(addr, len, prot, flags, fd,
			       off >> (PAGE_SHIFT - 12));
	if (len <= PAGE_SIZE && !IS_ERR_VALUE(addr))
		wasm_mapped_page(addr, prot, flags);
	return addr;
}

/*
 * The generic table has wait4() among the calls with 32-bit times, for its
 * rusage. The C library makes that 64-bit itself, and needs the call.
 */
#define __NR_wait4	260
long __wasm_sys_wait4(const struct pt_regs *regs);

#define __SYSCALL_WITH_COMPAT(nr, native, compat)	__SYSCALL(nr, native)

#define __SYSCALL(nr, call)	long __wasm_##call(const struct pt_regs *regs);
#define __wasm_sys_ni_syscall	__wasm_sys_ni_syscall_declared
#include <asm/syscall_table_32.h>
#undef __wasm_sys_ni_syscall
#undef __SYSCALL

#define __SYSCALL(nr, call)	[nr] = __wasm_##call,
const sys_call_ptr_t sys_call_table[__NR_syscalls] = {
	[0 ... __NR_syscalls - 1] = __wasm_sys_ni_syscall,
#include <asm/syscall_table_32.h>
	[__NR_wait4] = __wasm_sys_wait4,
};

enum handlers {
	HANDLERS_RUN,
	HANDLERS_WAIT,		/* signals that have one stay pending */
};

/*
 * Interrupts that came while the kernel ran, then what the task has to do. True
 * if user code is to run a handler, for which there is a frame on its stack.
 */
static bool wasm_exit_to_user(struct pt_regs *regs, enum handlers handlers)
{
	unsigned long work, ignore = 0;
	bool handler = false;

	if (unlikely(READ_ONCE(boot_info.irq_pending)))
		wasm_irq_dispatch();
	while ((work = read_thread_flags() & _TIF_WORK_MASK & ~ignore)) {
		if (work & _TIF_NEED_RESCHED)
			schedule();
		if (work & (_TIF_SIGPENDING | _TIF_NOTIFY_SIGNAL)) {
			if (handlers == HANDLERS_RUN) {
				handler |= do_signal(regs);
			} else {
				do_signal_without_handler();
				ignore |= _TIF_SIGPENDING | _TIF_NOTIFY_SIGNAL;
			}
		}
		if (work & _TIF_NOTIFY_RESUME)
			resume_user_mode_work(regs);
	}
	return handler;
}

/* Something is to be done on the way into the kernel or out of it. */
static inline bool user_work(void)
{
	return READ_ONCE(boot_info.irq_pending) ||
	       read_thread_flags() & (_TIF_WORK_MASK | _TIF_SYSCALL_WORK);
}

/* No call was interrupted. */
#define NO_SYSCALL	(~0UL)

static bool wasm_is_restart(long ret)
{
	return ret == -ERESTARTSYS || ret == -ERESTARTNOINTR ||
	       ret == -ERESTARTNOHAND || ret == -ERESTART_RESTARTBLOCK;
}

static void wasm_do_call(struct pt_regs *regs)
{
	if (likely(regs->nr < __NR_syscalls))
		regs->ret = sys_call_table[regs->nr](regs);
	else
		regs->ret = -ENOSYS;
}

/* A tracer or a filter sees the call first, and may change or refuse it. */
static noinline void do_watched_call(struct pt_regs *regs)
{
	regs->ret = -ENOSYS;
	if (!(test_thread_flag(TIF_SYSCALL_TRACE) &&
	      ptrace_report_syscall_entry(regs)) &&
	    secure_computing() != -1)
		wasm_do_call(regs);
	if (test_thread_flag(TIF_SYSCALL_TRACE))
		ptrace_report_syscall_exit(regs, 0);
}

HOST_EXPORT(syscall)
long wasm_syscall(unsigned long nr, unsigned long a0, unsigned long a1,
		  unsigned long a2, unsigned long a3, unsigned long a4,
		  unsigned long a5)
{
	struct pt_regs *regs = current_pt_regs();

	host_stack_check();
	/* Programs do it all the time: without what other calls need */
	if (nr == __NR_clock_gettime64 && likely(!user_work()) &&
	    likely(wasm_read_clock(a0, a1)) && likely(!user_work()))
		return 0;
	regs->nr = nr;
	regs->args[0] = a0;
	regs->args[1] = a1;
	regs->args[2] = a2;
	regs->args[3] = a3;
	regs->args[4] = a4;
	regs->args[5] = a5;
	for (;;) {
		if (likely(!(read_thread_flags() & _TIF_SYSCALL_WORK)))
			wasm_do_call(regs);
		else
			do_watched_call(regs);
		wasm_exit_to_user(regs, HANDLERS_RUN);
		/* No handler ran, or rt_sigreturn() asks for the call again. */
		if (likely(!wasm_is_restart(regs->ret)))
			break;
		if (regs->ret == -ERESTART_RESTARTBLOCK)
			regs->nr = __NR_restart_syscall;
	}

	if (unlikely(test_and_clear_thread_flag(TIF_EXEC)))
		host_user_restart();
	return regs->ret;
}

/* User code is left at an instruction that is no call. */
static struct pt_regs *wasm_enter_interrupted(void)
{
	struct pt_regs *regs = current_pt_regs();

	host_stack_check();
	regs->nr = NO_SYSCALL;
	regs->ret = 0;
	regs->user = 1;
	return regs;
}

static unsigned long wasm_exit_interrupted(struct pt_regs *regs, enum handlers how)
{
	bool handler = wasm_exit_to_user(regs, how);

	regs->user = 0;
	if (handler)
		return MACHINE_RESUME_HANDLER;
	return test_thread_flag(TIF_SIGPENDING) ? MACHINE_RESUME_WAITING :
						  MACHINE_RESUME;
}

/*
 * An access missed. The result is one of MACHINE_RESUME*: the host runs the
 * handler first, if there is one, then retries the access.
 */
HOST_EXPORT(fault)
unsigned long wasm_fault(unsigned long addr, unsigned long write)
{
	struct pt_regs *regs = wasm_enter_interrupted();

	wasm_user_fault(addr, write);
	return wasm_exit_interrupted(regs, HANDLERS_RUN);
}

/*
 * An interrupt came while user code ran. Where a handler must not leave by
 * longjmp() the host says so, and comes back soon.
 */
HOST_EXPORT(irq)
unsigned long wasm_irq(unsigned long defer)
{
	struct pt_regs *regs = wasm_enter_interrupted();

	wasm_irq_user(regs);
	return wasm_exit_interrupted(regs, defer ? HANDLERS_WAIT : HANDLERS_RUN);
}

/* An instruction that cannot be executed: division by zero, unreachable, ... */
HOST_EXPORT(trap)
unsigned long wasm_trap(unsigned long signo, unsigned long code,
			unsigned long addr)
{
	struct pt_regs *regs = wasm_enter_interrupted();

	force_sig_fault(signo, code, (void __user *)addr);
	return wasm_exit_interrupted(regs, HANDLERS_RUN);
}

/*
 * The frames of user code are gone, as its native stack is used up or the host
 * could not go on with it: no handler can run.
 */
HOST_EXPORT(abort)
void wasm_abort(unsigned long signo)
{
	struct pt_regs *regs = current_pt_regs();

	regs->user = 1;
	force_fatal_sig(signo);
	wasm_exit_to_user(regs, HANDLERS_RUN);
	BUG();
}
