// SPDX-License-Identifier: GPL-2.0
/*
 * Tasks. To the host a task is a kernel instance with a stack of its own (and
 * a user instance); it knows the task by the address of its task_struct.
 */
#include <linux/cpu.h>
#include <linux/kernel.h>
#include <linux/ptrace.h>
#include <linux/sched.h>
#include <linux/sched/debug.h>
#include <linux/sched/task.h>
#include <linux/sched/task_stack.h>
#include <asm/host.h>
#include <asm/switch_to.h>

void schedule_tail(struct task_struct *prev);

#ifdef CONFIG_STACKPROTECTOR
unsigned long __stack_chk_guard __read_mostly;
EXPORT_SYMBOL(__stack_chk_guard);
#endif

/* Who ran before the task that runs now: the result of switch_to(). */
static struct task_struct *wasm_switched_from;

/*
 * A task that has switched away for good: what the host holds for it goes to
 * the next one, without waiting for the last reference to its task_struct.
 */
static struct task_struct *wasm_switched(void)
{
	struct task_struct *prev = wasm_switched_from;

	if (READ_ONCE(prev->__state) == TASK_DEAD && prev->thread.created) {
		prev->thread.created = false;
		host_task_destroy((unsigned long)prev);
	}
	return prev;
}

struct task_struct *__switch_to(struct task_struct *prev,
				struct task_struct *next)
{
	wasm_switched_from = prev;
	wasm_current = next;
#ifdef CONFIG_STACKPROTECTOR
	__stack_chk_guard = next->stack_canary;
#endif
	host_task_switch((unsigned long)next);
	return wasm_switched();
}

/*
 * The first thing that a new task does. Returning means: enter user mode, after
 * a call of irq() if the result is not 0.
 */
HOST_EXPORT(task_start)
unsigned long wasm_task_start(void)
{
	schedule_tail(wasm_switched());
	/* A kernel thread returns only when it has become a user process. */
	if (current->thread.fn)
		current->thread.fn(current->thread.fn_arg);
	current->thread.fn = NULL;
	clear_thread_flag(TIF_EXEC);
	local_irq_enable();
	return read_thread_flags() & _TIF_WORK_MASK;
}

int arch_dup_task_struct(struct task_struct *dst, struct task_struct *src)
{
	*dst = *src;
	dst->thread.created = false;
	return 0;
}

int copy_thread(struct task_struct *p, const struct kernel_clone_args *args)
{
	unsigned long task = (unsigned long)p;
	int err;

	/*
	 * A task that shares its memory needs a stack of its own: frames are
	 * the host's, and cannot be shared or copied. Only a child with a copy
	 * of everything can go on with the parent's stack pointer.
	 */
	if (!args->fn && !args->stack && (args->flags & CLONE_VM))
		return -EINVAL;

	memset(&p->thread, 0, sizeof(p->thread));
	p->thread.fn = args->fn;
	p->thread.fn_arg = args->fn_arg;
	/* The host has a share for this machine. What it refuses fails here. */
	err = host_task_create(task, (unsigned long)task_stack_page(p) + THREAD_SIZE);
	if (err)
		return err;
	p->thread.created = true;
	clear_tsk_thread_flag(p, TIF_EXEC);
	if (args->fn)
		return 0;

	if (args->stack)
		return host_user_clone(task, __pa(p->mm->pgd),
				       MACHINE_ENTRY_CLONE, args->stack,
				       args->flags & CLONE_SETTLS ? args->tls : 0);
	return host_user_clone(task, __pa(p->mm->pgd), MACHINE_ENTRY_FORK, 0, 0);
}

/* Called for the last reference: to a task that never ran, if it exists. */
void arch_release_task_struct(struct task_struct *tsk)
{
	if (tsk->thread.created)
		host_task_destroy((unsigned long)tsk);
}

void flush_thread(void)
{
}

void start_thread(struct pt_regs *regs, int module, unsigned long sp)
{
	memset(regs, 0, sizeof(*regs));
	host_user_exec(module, __pa(current->mm->pgd), sp);
	set_thread_flag(TIF_EXEC);
}

/* With interrupts disabled; they are taken when the idle loop enables them. */
void arch_cpu_idle(void)
{
	if (!READ_ONCE(boot_info.irq_pending))
		host_halt();
}

unsigned long __get_wchan(struct task_struct *p)
{
	return 0;
}

void ptrace_disable(struct task_struct *child)
{
}

long arch_ptrace(struct task_struct *child, long request, unsigned long addr,
		 unsigned long data)
{
	return ptrace_request(child, request, addr, data);
}
