/* System calls for which this release of musl has no function. */
#define _GNU_SOURCE
#include <errno.h>
#include <limits.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/pidfd.h>
#include <sys/uio.h>
#include <unistd.h>
#include "syscall.h"

int renameat2(int from_dir, const char *from, int to_dir, const char *to, unsigned flags)
{
	return syscall(SYS_renameat2, from_dir, from, to_dir, to, flags);
}

struct statx;

int statx(int dir, const char *restrict path, int flags, unsigned mask, struct statx *restrict st)
{
	return syscall(SYS_statx, dir, path, flags, mask, st);
}

int close_range(unsigned first, unsigned last, int flags)
{
	return syscall(SYS_close_range, first, last, flags);
}

void closefrom(int first)
{
	close_range(first < 0 ? 0 : first, UINT_MAX, 0);
}

int execveat(int dir, const char *path, char *const argv[], char *const envp[], int flags)
{
	return syscall(SYS_execveat, dir, path, argv, envp, flags);
}

int tgkill(pid_t process, pid_t thread, int sig)
{
	return syscall(SYS_tgkill, process, thread, sig);
}

int getcpu(unsigned *cpu, unsigned *node)
{
	return syscall(SYS_getcpu, cpu, node, 0);
}

ssize_t preadv2(int fd, const struct iovec *iov, int n, off_t at, int flags)
{
	return syscall_cp(SYS_preadv2, fd, iov, n, (long)at, (long)(at>>32), flags);
}

ssize_t pwritev2(int fd, const struct iovec *iov, int n, off_t at, int flags)
{
	return syscall_cp(SYS_pwritev2, fd, iov, n, (long)at, (long)(at>>32), flags);
}

int pidfd_open(pid_t pid, unsigned flags)
{
	return syscall(SYS_pidfd_open, pid, flags);
}

int pidfd_getfd(int pidfd, int fd, unsigned flags)
{
	return syscall(SYS_pidfd_getfd, pidfd, fd, flags);
}

int pidfd_send_signal(int pidfd, int sig, siginfo_t *info, unsigned flags)
{
	return syscall(SYS_pidfd_send_signal, pidfd, sig, info, flags);
}

int epoll_pwait2(int fd, struct epoll_event *events, int n, const struct timespec *timeout, const sigset_t *mask)
{
	return syscall_cp(SYS_epoll_pwait2, fd, events, n,
		timeout ? ((long long[]){timeout->tv_sec, timeout->tv_nsec}) : 0, mask, _NSIG/8);
}
