// SPDX-License-Identifier: GPL-2.0
/*
 * What goes wrong in the kernel: BUG() and traps of kernel code, the call
 * trace, and how a panic ends.
 */
#include <linux/bug.h>
#include <linux/console.h>
#include <linux/hardirq.h>
#include <linux/kthread.h>
#include <linux/moduleparam.h>
#include <linux/panic.h>
#include <linux/panic_notifier.h>
#include <linux/ptrace.h>
#include <linux/sched.h>
#include <linux/sched/debug.h>
#include <linux/sched/task.h>
#include <asm/host.h>

#ifndef MACHINE_OOPS_BUFFER
#define MACHINE_OOPS_BUFFER	4096
#endif

/* The host writes the text of a trap here before it calls oops(). */
char oops_buffer[MACHINE_OOPS_BUFFER];

void wasm_bug(const char *file, int line)
{
	pr_crit("kernel BUG at %s:%d!\n", file, line);
	__builtin_trap();
}

/* The lines of a text, each as a message of its own */
static void traps_print_lines(const char *loglvl, const char *text, unsigned long len,
			      const char *indent)
{
	const char *end = text + len;

	while (text < end) {
		unsigned long n = strnchrnul(text, end - text, '\n') - text;

		if (n)
			printk("%s%s%.*s\n", loglvl, indent, (int)n, text);
		text += n + 1;
	}
}

/*
 * Kernel code trapped. Its frames are gone, so the text has the call trace
 * too: the first line is the reason, each other line a function.
 */
HOST_EXPORT(oops)
void wasm_oops(const char *text, unsigned long len)
{
	static int depth;
	const char *rest;

	/* A trap in here, and again in the panic that it led to */
	if (++depth > 2)
		host_power_off(MACHINE_POWER_PANIC);

	if (len > sizeof(oops_buffer))
		len = sizeof(oops_buffer);
	rest = strnchrnul(text, len, '\n');

	oops_enter();
	console_verbose();
	bust_spinlocks(1);
	pr_emerg("Oops: Wasm trap: %.*s\n", (int)(rest - text), text);
	show_regs_print_info(KERN_EMERG);
	if (rest < text + len) {
		pr_emerg("Call Trace:\n");
		traps_print_lines(KERN_EMERG, rest, text + len - rest, " ");
	}
	bust_spinlocks(0);
	add_taint(TAINT_DIE, LOCKDEP_NOW_UNRELIABLE);
	oops_exit();

	if (in_interrupt())
		panic("Fatal exception in interrupt");
	if (panic_on_oops)
		panic("Fatal exception");
	depth--;
	make_task_dead(SIGSEGV);
}

void show_regs(struct pt_regs *regs)
{
	show_regs_print_info(KERN_DEFAULT);
}

/* The call stack is the host's, which shows that of the running task only. */
void show_stack(struct task_struct *task, unsigned long *sp, const char *loglvl)
{
	static char names[2048];
	int len;

	if (task && task != current)
		return;
	len = host_backtrace(names, sizeof(names));
	printk("%sCall Trace:\n", loglvl);
	if (len > 0)
		traps_print_lines(loglvl, names, min_t(int, len, sizeof(names)), " ");
}

/* Says who panicked, unless an oops did; then the machine ends, without waiting. */
static int traps_end_panic(struct notifier_block *self, unsigned long event, void *p)
{
	if (!test_taint(TAINT_DIE))
		dump_stack();
	panic_timeout = -1;
	return NOTIFY_DONE;
}

static struct notifier_block panic_block = {
	.notifier_call	= traps_end_panic,
};

static int __init traps_init(void)
{
	return atomic_notifier_chain_register(&panic_notifier_list, &panic_block);
}
early_initcall(traps_init);

/*
 * provoke=bug|oops|trap|stack|panic|loop|poll: fail on purpose after boot, in a
 * task of its own, to see what is printed and what survives. The last two never
 * end, one without a call of the host, one with little else; they begin late
 * enough for a command to run.
 */
static char *provoked __initdata;

static int __init set_provoked(char *arg)
{
	provoked = arg;
	return 1;
}
__setup("provoke=", set_provoked);

static noinline void overflow_stack(volatile char *p)
{
	int i;

	for (i = 0; i < 64; i++)
		p[i] = 0x55;
}

static noinline void use_stack(void)
{
	char array[16];

	overflow_stack(array);
}

static noinline void hang(bool poll)
{
	schedule_timeout_uninterruptible(HZ / 2);
	local_irq_disable();
	while (!poll)
		barrier();
	for (;;)
		host_clock_monotonic();
}

static int provoke_fail(void *how)
{
	void (*volatile wild)(void) = (void (*)(void))0x7fffffff;

	if (!strcmp(how, "bug"))
		BUG();
	else if (!strcmp(how, "oops"))
		wild();
	else if (!strcmp(how, "trap"))
		__builtin_trap();
	else if (!strcmp(how, "stack"))
		use_stack();
	else if (!strcmp(how, "panic"))
		panic("provoked");
	else if (!strcmp(how, "loop") || !strcmp(how, "poll"))
		hang(!strcmp(how, "poll"));
	else
		pr_err("provoke=%s: bug, oops, trap, stack, panic, loop or poll\n",
		       (char *)how);
	return 0;
}

static int __init provoke(void)
{
	struct task_struct *task;

	if (!provoked)
		return 0;
	task = kthread_run(provoke_fail, provoked, "provoke");
	return PTR_ERR_OR_ZERO(task);
}
late_initcall(provoke);
