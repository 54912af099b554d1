// SPDX-License-Identifier: GPL-2.0
/*
 * Signals. A handler never runs on top of kernel frames: the kernel writes a
 * frame below the user's stack pointer, moves that to it and ends the system
 * call with SIGNAL_PENDING. The C library calls the handler, then
 * rt_sigreturn(), which gives the result of the interrupted call.
 *
 * Where user code was left at another instruction than a call, the host calls
 * the C library's function for that, and goes on with the instruction after it.
 *
 * Of several signals each gets a frame, one below the other; the last one's
 * handler runs first, as on other architectures.
 */
#include <linux/resume_user_mode.h>
#include <linux/sched/signal.h>
#include <linux/signal.h>
#include <linux/syscalls.h>
#include <linux/uaccess.h>
#include <asm/host.h>
#include <asm/ucontext.h>
#include "kernel.h"

/* Compiled code may use so much below the stack pointer. */
#define RED_ZONE	128
/* The C library's sigset_t, longer than the kernel's */
#define USER_SIGSET	128

struct sigcall {
	u32 nr;
	u32 args[6];
	s32 ret;
};

/* Up to uc, this is known to the C library. */
struct sigframe {
	u32 handler;
	s32 sig;
	u32 flags;
	u32 pad;
	siginfo_t info;
	struct ucontext uc;
	u8 mask_pad[USER_SIGSET - sizeof(sigset_t)];
	struct sigcall call;	/* the interrupted one */
};

static struct sigframe __user *wasm_get_frame(struct ksignal *ksig, unsigned long sp)
{
	unsigned long at = sigsp(sp - RED_ZONE, ksig);

	at = (at - sizeof(struct sigframe)) & ~15UL;
	/* Never off the end of the alternate stack and into what lies below */
	if (on_sig_stack(sp) && !on_sig_stack(at))
		return NULL;
	return (struct sigframe __user *)at;
}

static int wasm_setup_frame(struct ksignal *ksig, struct pt_regs *regs)
{
	unsigned long sp = regs->sp;
	struct sigframe __user *frame = wasm_get_frame(ksig, sp);
	struct k_sigaction *ka = &ksig->ka;
	struct {
		u32 handler, sig, flags, pad;
	} head = {
		(unsigned long)ka->sa.sa_handler, ksig->sig, ka->sa.sa_flags,
	};
	struct sigcall call = { .nr = regs->nr, .ret = regs->ret };
	struct ucontext uc = { };

	BUILD_BUG_ON(sizeof(struct ucontext) - sizeof(sigset_t) !=
		     offsetof(struct ucontext, uc_sigmask));
	if (!frame || !access_ok(frame, sizeof(*frame)))
		return -EFAULT;
	memcpy(call.args, regs->args, sizeof(call.args));
	switch (regs->ret) {
	case -ERESTARTSYS:
		uc.uc_mcontext.pc = !!(ka->sa.sa_flags & SA_RESTART);
		call.ret = -EINTR;
		break;
	case -ERESTARTNOINTR:
		uc.uc_mcontext.pc = 1;
		call.ret = -EINTR;
		break;
	case -ERESTARTNOHAND:
	case -ERESTART_RESTARTBLOCK:
		call.ret = -EINTR;
	}
	uc.uc_mcontext.sp = sp;
	if (ksig->info.si_code > 0 && (ksig->sig == SIGSEGV || ksig->sig == SIGBUS))
		uc.uc_mcontext.fault_address = (unsigned long)ksig->info.si_addr;
	uc.uc_sigmask = *sigmask_to_save();
	uc.uc_mcontext.oldmask = uc.uc_sigmask.sig[0];

	if (__copy_to_user(frame, &head, sizeof(head)) ||
	    copy_siginfo_to_user(&frame->info, &ksig->info) ||
	    __copy_to_user(&frame->uc, &uc, sizeof(uc)) ||
	    __save_altstack(&frame->uc.uc_stack, sp) ||
	    __clear_user(frame->mask_pad, sizeof(frame->mask_pad)) ||
	    __copy_to_user(&frame->call, &call, sizeof(call)))
		return -EFAULT;
	host_user_sp_set((unsigned long)frame);
	regs->ret = MACHINE_SIGNAL_PENDING;
	return 0;
}

/* True if a handler is to run. */
bool do_signal(struct pt_regs *regs)
{
	struct ksignal ksig;
	bool run = false;

	regs->sp = current_user_stack_pointer();
	if (get_signal(&ksig)) {
		run = !wasm_setup_frame(&ksig, regs);
		signal_setup_done(!run, &ksig, 0);
	} else {
		restore_saved_sigmask();
	}
	regs->sp = 0;
	return run;
}

/*
 * What needs no handler: stop, kill, go on. A signal that a fault of user code
 * forces is never among those that wait: it is raised and taken in one entry.
 * But one that a program queues to itself in the name of a fault is taken even
 * if it is blocked; it goes back, to wait on.
 */
void do_signal_without_handler(void)
{
	struct sighand_struct *sighand = current->sighand;
	bool taken = false;
	sigset_t blocked;
	struct ksignal ksig;
	int sig;

	spin_lock_irq(&sighand->siglock);
	blocked = current->blocked;
	for (sig = 1; sig <= _NSIG; sig++) {
		__sighandler_t handler = sighand->action[sig - 1].sa.sa_handler;

		if (handler != SIG_DFL && handler != SIG_IGN)
			sigaddset(&current->blocked, sig);
	}
	recalc_sigpending();
	spin_unlock_irq(&sighand->siglock);

	if (test_thread_flag(TIF_SIGPENDING) ||
	    test_thread_flag(TIF_NOTIFY_SIGNAL))
		taken = get_signal(&ksig);

	spin_lock_irq(&sighand->siglock);
	current->blocked = blocked;
	recalc_sigpending();
	spin_unlock_irq(&sighand->siglock);
	if (taken)
		send_sig_info(ksig.sig, &ksig.info, current);
}

/* The frame may be anything by now; what it can ask for, a program can do. */
SYSCALL_DEFINE0(rt_sigreturn)
{
	struct pt_regs *regs = current_pt_regs();
	struct sigframe __user *frame;
	struct sigcall call;
	struct ucontext uc;

	current->restart_block.fn = do_no_restart_syscall;
	frame = (struct sigframe __user *)host_user_sp_get();
	if (copy_from_user(&uc, &frame->uc, sizeof(uc)) ||
	    copy_from_user(&call, &frame->call, sizeof(call)))
		goto bad;
	/* First: whether the alternate stack may change depends on it. */
	host_user_sp_set(uc.uc_mcontext.sp);
	if (restore_altstack(&frame->uc.uc_stack))
		goto bad;
	set_current_blocked(&uc.uc_sigmask);
	if (uc.uc_mcontext.pc != 1)
		return call.ret;
	regs->nr = call.nr;
	memcpy(regs->args, call.args, sizeof(call.args));
	return -ERESTARTNOINTR;

bad:
	force_sig(SIGSEGV);
	return 0;
}
