#define _GNU_SOURCE
#include <errno.h>
#include <sched.h>
#include <stdarg.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>
#include "syscall.h"

/* struct clone_args of linux/sched.h, version 0 */
struct clone3_args {
	uint64_t flags, pidfd, child_tid, parent_tid, exit_signal, stack, stack_size, tls;
};

/* struct clone_args of any version */
#define CLONE3_MAX	256

hidden pid_t __fork_by(const long call[6]);

/* A child that shares the memory would need a stack. vfork() is fork() here, and this alike. */
static int without_vm(uint64_t *flags)
{
	if (*flags & CLONE_VFORK)
		*flags &= ~(uint64_t)CLONE_VM;
	return !(*flags & CLONE_VM);
}

/*
 * What unistd.h makes of syscall() with the number of clone() or clone3(), which are to return
 * twice: without a stack they do as fork() does. Nothing can return on a new stack; there is the
 * function clone() for that.
 */
long __syscall_fork(long n, ...)
{
	va_list ap;
	long a[5];

	va_start(ap, n);
	for (int i = 0; i < (n == SYS_clone ? 5 : 2); i++)
		a[i] = va_arg(ap, long);
	va_end(ap);

	if (n == SYS_clone) {
		uint64_t flags = (unsigned long)a[0];

		if (a[1] || !without_vm(&flags))
			return __syscall_ret(-EINVAL);
		return __fork_by((long[]){ SYS_clone, flags, 0, a[2], a[3], a[4] });
	}

	union {
		struct clone3_args known;
		char all[CLONE3_MAX];
	} args;
	size_t size = a[1];

	/* What the kernel has to say of it needs no child. */
	if (!a[0] || size < sizeof args.known || size > sizeof args)
		return __syscall_ret(__syscall(SYS_clone3, a[0], a[1]));
	/* A wild pointer is EFAULT. */
	struct iovec ours = { &args, size }, theirs = { (void *)a[0], size };
	long got = __syscall(SYS_process_vm_readv, __syscall(SYS_getpid), &ours, 1, &theirs, 1, 0);
	if (got != size)
		return __syscall_ret(-EFAULT);
	if (args.known.stack || args.known.stack_size || !without_vm(&args.known.flags))
		return __syscall_ret(-EINVAL);
	return __fork_by((long[]){ SYS_clone3, (long)&args, size, 0, 0, 0 });
}
