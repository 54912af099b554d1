/*
 * Wild pointers to every system call that takes one. A table is printed: call, pointer, result; the
 * errno must be native Linux's. What a call needs besides its pointer is good, so that the pointer
 * is what fails. Run in an empty directory, as root.
 *
 * Left out, with reasons:
 *   execve(at) with a good path, exit, vfork, rt_sigreturn: do not return; their pointers are those
 *   of others.
 *
 *   clone, clone3, set_tid_address, set_robust_list, rseq, get_robust_list: the pointer is kept, or
 *   the C library's own.
 *
 *   brk, mmap, munmap, mprotect, mremap, madvise, msync, mlock, mincore(address): the pointer is a
 *   number there; `map` below tests some.
 *
 *   syslog: what it copies depends on the log.
 *
 *   reboot, kexec, swapon, acct, pivot_root: harmful to the native machine if a check were missing.
 *
 *   System calls that one of the two kernels has not configured (bpf, io_uring, keys, SysV IPC, mq,
 *   perf, modules, landlock): print ENOSYS.
 */
#include "common.h"
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>

/*
 * Where 32-bit systems have a name of their own for what takes 64-bit times or offsets, it is the
 * counterpart.
 */
#ifdef SYS_clock_gettime64
#define NR_clock_gettime SYS_clock_gettime64
#define NR_clock_settime SYS_clock_settime64
#define NR_clock_getres SYS_clock_getres_time64
#define NR_clock_nanosleep SYS_clock_nanosleep_time64
#define NR_utimensat SYS_utimensat_time64
#define NR_ppoll SYS_ppoll_time64
#define NR_pselect6 SYS_pselect6_time64
#define NR_rt_sigtimedwait SYS_rt_sigtimedwait_time64
#define NR_futex SYS_futex_time64
#define NR_sched_rr_get_interval SYS_sched_rr_get_interval_time64
#define NR_timerfd_settime SYS_timerfd_settime64
#define NR_timerfd_gettime SYS_timerfd_gettime64

#else
#define NR_clock_gettime SYS_clock_gettime
#define NR_clock_settime SYS_clock_settime
#define NR_clock_getres SYS_clock_getres
#define NR_clock_nanosleep SYS_clock_nanosleep
#define NR_utimensat SYS_utimensat
#define NR_ppoll SYS_ppoll
#define NR_pselect6 SYS_pselect6
#define NR_rt_sigtimedwait SYS_rt_sigtimedwait
#define NR_futex SYS_futex
#define NR_sched_rr_get_interval SYS_sched_rr_get_interval
#define NR_timerfd_settime SYS_timerfd_settime
#define NR_timerfd_gettime SYS_timerfd_gettime

#endif
#ifdef SYS_sendfile64
#define NR_sendfile SYS_sendfile64
#else
#define NR_sendfile SYS_sendfile
#endif
#define CALL(nr, a, b, c, d, e, f) syscall(nr, (long)(a), (long)(b), (long)(c), (long)(d), (long)(e), (long)(f))

static const char *pointer_name;
static int calls;
/* The last byte before the unreadable: calls may write it. */
static char *edge;

static void report(const char *name, long result)
{
	int e = errno;

	calls++;
	if (result == -1)
		printf("%s %s: %s\n", name, pointer_name, ename(e));
	else
		/* lengths may differ between systems: that it succeeded is what counts */
		printf("%s %s: succeeds\n", name, pointer_name);
	fflush(stdout);
}

#define TRY(name, call) do { errno = 0; if (edge) *edge = 'm'; long r_ = (call); report(name, r_); } while (0)

static void all(void *p, int file, int folder, const int pipes[2], int sock, const int pair[2])
{
	static char good[65536] __attribute__((aligned(4096)));

	strcpy(good, "good");

	/* paths: the kernel reads a string */
	TRY("openat", CALL(SYS_openat, AT_FDCWD, p, O_RDONLY, 0, 0, 0));
	TRY("mkdirat", CALL(SYS_mkdirat, AT_FDCWD, p, 0700, 0, 0, 0));
	TRY("mknodat", CALL(SYS_mknodat, AT_FDCWD, p, S_IFREG | 0600, 0, 0, 0));
	TRY("unlinkat", CALL(SYS_unlinkat, AT_FDCWD, p, 0, 0, 0, 0));
	TRY("symlinkat from", CALL(SYS_symlinkat, p, AT_FDCWD, "link", 0, 0, 0));
	TRY("symlinkat to", CALL(SYS_symlinkat, "x", AT_FDCWD, p, 0, 0, 0));
	TRY("linkat from", CALL(SYS_linkat, AT_FDCWD, p, AT_FDCWD, "x", 0, 0));
	TRY("linkat to", CALL(SYS_linkat, AT_FDCWD, "file", AT_FDCWD, p, 0, 0));
	TRY("renameat2 from", CALL(SYS_renameat2, AT_FDCWD, p, AT_FDCWD, "x", 0, 0));
	TRY("renameat2 to", CALL(SYS_renameat2, AT_FDCWD, "file", AT_FDCWD, p, 0, 0));
	TRY("chdir", CALL(SYS_chdir, p, 0, 0, 0, 0, 0));
	TRY("chroot", CALL(SYS_chroot, p, 0, 0, 0, 0, 0));
	TRY("fchmodat", CALL(SYS_fchmodat, AT_FDCWD, p, 0600, 0, 0, 0));
	TRY("fchownat", CALL(SYS_fchownat, AT_FDCWD, p, 0, 0, 0, 0));
	TRY("faccessat", CALL(SYS_faccessat, AT_FDCWD, p, 0, 0, 0, 0));
	TRY("faccessat2", CALL(SYS_faccessat2, AT_FDCWD, p, 0, 0, 0, 0));
	TRY("readlinkat path", CALL(SYS_readlinkat, AT_FDCWD, p, good, 10, 0, 0));
	TRY("statx path", CALL(SYS_statx, AT_FDCWD, p, 0, 0x7ff, good, 0));
	TRY("execve path", CALL(SYS_execve, p, NULL, NULL, 0, 0, 0));
	TRY("openat2 path", CALL(SYS_openat2, AT_FDCWD, p, ((uint64_t[3]){ O_RDONLY, 0, 0 }), 24, 0, 0));
	TRY("umount2", CALL(SYS_umount2, p, 0, 0, 0, 0, 0));
	TRY("mount target", CALL(SYS_mount, "none", p, "tmpfs", 0, NULL, 0));
	TRY("mount type", CALL(SYS_mount, "none", "/nowhere", p, 0, NULL, 0));
	TRY("setxattr path", CALL(SYS_setxattr, p, "user.a", "v", 1, 0, 0));
	TRY("getxattr path", CALL(SYS_getxattr, p, "user.a", good, 10, 0, 0));
	TRY("getxattr name", CALL(SYS_getxattr, "file", p, good, 10, 0, 0));
	TRY("listxattr path", CALL(SYS_listxattr, p, good, 10, 0, 0, 0));
	TRY("removexattr path", CALL(SYS_removexattr, p, "user.a", 0, 0, 0, 0));
	TRY("inotify_add_watch", CALL(SYS_inotify_add_watch, file, p, 1, 0, 0, 0));
	TRY("memfd_create", CALL(SYS_memfd_create, p, 0, 0, 0, 0, 0));
	TRY("name_to_handle_at", CALL(SYS_name_to_handle_at, AT_FDCWD, p, good, good, 0, 0));
	TRY("statfs path", CALL(SYS_openat, AT_FDCWD, p, O_PATH, 0, 0, 0));

	/* buffers that the kernel reads */
	TRY("write file", CALL(SYS_write, file, p, 100, 0, 0, 0));
	TRY("write pipe", CALL(SYS_write, pipes[1], p, 100, 0, 0, 0));
	TRY("writev", CALL(SYS_writev, file, p, 2, 0, 0, 0));
	TRY("writev base", CALL(SYS_writev, file, ((struct { void *b; size_t n; }[1]){ { p, 100 } }), 1, 0, 0, 0));
	TRY("vmsplice", CALL(SYS_vmsplice, pipes[1], p, 1, 0, 0, 0));
	TRY("sethostname", CALL(SYS_sethostname, p, 10, 0, 0, 0, 0));
	TRY("setgroups", CALL(SYS_setgroups, 4, p, 0, 0, 0, 0));
	TRY("clock_nanosleep", CALL(NR_clock_nanosleep, CLOCK_MONOTONIC, 0, p, NULL, 0, 0));
	TRY("utimensat times", CALL(NR_utimensat, AT_FDCWD, "missing", p, 0, 0, 0));
	TRY("bind", CALL(SYS_bind, sock, p, 16, 0, 0, 0));
	TRY("connect", CALL(SYS_connect, sock, p, 16, 0, 0, 0));
	TRY("sendto", CALL(SYS_sendto, pair[0], p, 10, 0, NULL, 0));
	TRY("sendmsg", CALL(SYS_sendmsg, pair[0], p, 0, 0, 0, 0));
	TRY("setsockopt", CALL(SYS_setsockopt, sock, SOL_SOCKET, SO_RCVBUF, p, 4, 0));
	TRY("rt_sigaction new", p ? CALL(SYS_rt_sigaction, 64, p, NULL, 8, 0, 0) : 0);
	TRY("rt_sigprocmask new", CALL(SYS_rt_sigprocmask, SIG_UNBLOCK, p, NULL, 8, 0, 0));
	TRY("rt_sigqueueinfo", CALL(SYS_rt_sigqueueinfo, getpid(), 0, p, 0, 0, 0));
	TRY("sigaltstack new", p ? CALL(SYS_sigaltstack, p, NULL, 0, 0, 0, 0) : 0);
	TRY("sched_setparam", CALL(SYS_sched_setparam, 0, p, 0, 0, 0, 0));
	TRY("sched_setattr", CALL(SYS_sched_setattr, 0, p, 0, 0, 0, 0));
	TRY("setitimer", p ? CALL(SYS_setitimer, 7, p, NULL, 0, 0, 0) : 0);
	TRY("prlimit64 new", p ? CALL(SYS_prlimit64, 0, 999, p, NULL, 0, 0) : 0);
	TRY("epoll_ctl", CALL(SYS_epoll_ctl, file, 1, pipes[0], p, 0, 0));
	TRY("signalfd4", CALL(SYS_signalfd4, -1, p, 8, 0, 0, 0));
	TRY("ppoll timeout", p ? CALL(NR_ppoll, NULL, 0, p, NULL, 8, 0) : 0);
	TRY("capset", CALL(SYS_capset, p, p, 0, 0, 0, 0));
	TRY("execve argv", CALL(SYS_execve, "missing", p, NULL, 0, 0, 0));
	TRY("copy_file_range in", p ? CALL(SYS_copy_file_range, file, p, file, NULL, 10, 99) : 0);
	TRY("sendfile", p ? CALL(NR_sendfile, pipes[1], file, p, 0, 0, 0) : 0);
	TRY("splice", p ? CALL(SYS_splice, file, p, pipes[1], NULL, 1, 0) : 0);
	TRY("futex wait", p ? CALL(NR_futex, p, 0, 0x7abcdef1, NULL, NULL, 0) : 0);
	TRY("process_vm_readv", CALL(SYS_process_vm_readv, getpid(), p, 1, p, 1, 0));

	/* buffers that the kernel writes */
	TRY("read file", CALL(SYS_pread64, file, p, 100, 0, 0, 0));
	TRY("read zero", ({ int z = open("/dev/zero", O_RDONLY); long r = CALL(SYS_read, z, p, 100, 0, 0, 0); int e = errno; close(z); errno = e; r; }));
	TRY("readv", CALL(SYS_readv, file, p, 2, 0, 0, 0));
	TRY("getdents64", ({ long r = CALL(SYS_getdents64, folder, p, 4096, 0, 0, 0); int e = errno; lseek(folder, 0, SEEK_SET); errno = e; r; }));
	TRY("getcwd", CALL(SYS_getcwd, p, 4096, 0, 0, 0, 0));
	TRY("readlinkat buffer", CALL(SYS_readlinkat, AT_FDCWD, "soft", p, 100, 0, 0));
	TRY("statx buffer", CALL(SYS_statx, AT_FDCWD, "file", 0, 0x7ff, p, 0));
	TRY("uname", CALL(SYS_uname, p, 0, 0, 0, 0, 0));
	TRY("sysinfo", CALL(SYS_sysinfo, p, 0, 0, 0, 0, 0));
	TRY("times", p ? CALL(SYS_times, p, 0, 0, 0, 0, 0) : 0);
	TRY("getrusage", CALL(SYS_getrusage, 0, p, 0, 0, 0, 0));
	TRY("clock_gettime", CALL(NR_clock_gettime, CLOCK_BOOTTIME, p, 0, 0, 0, 0));
	TRY("clock_gettime cpu", CALL(NR_clock_gettime, CLOCK_PROCESS_CPUTIME_ID, p, 0, 0, 0, 0));
	TRY("clock_getres", CALL(NR_clock_getres, CLOCK_MONOTONIC, p, 0, 0, 0, 0));
	TRY("sched_rr_get_interval", CALL(NR_sched_rr_get_interval, 0, p, 0, 0, 0, 0));
	TRY("pipe2", CALL(SYS_pipe2, p, 0, 0, 0, 0, 0));
	TRY("socketpair", CALL(SYS_socketpair, AF_UNIX, SOCK_STREAM, 0, p, 0, 0));
	TRY("getsockname", CALL(SYS_getsockname, sock, p, p, 0, 0, 0));
	TRY("getsockname length", CALL(SYS_getsockname, sock, good, p, 0, 0, 0));
	TRY("getpeername", CALL(SYS_getpeername, sock, p, p, 0, 0, 0));
	TRY("getsockopt", CALL(SYS_getsockopt, sock, SOL_SOCKET, SO_TYPE, p, ((int[1]){ 4 }), 0));
	TRY("getsockopt length", CALL(SYS_getsockopt, sock, SOL_SOCKET, SO_TYPE, good, p, 0));
	TRY("recvfrom", CALL(SYS_recvfrom, sock, p, 100, MSG_DONTWAIT, NULL, NULL));
	TRY("recvmsg", CALL(SYS_recvmsg, sock, p, MSG_DONTWAIT, 0, 0, 0));
	TRY("rt_sigaction old", CALL(SYS_rt_sigaction, SIGUSR1, NULL, p, 8, 0, 0));
	TRY("rt_sigprocmask old", CALL(SYS_rt_sigprocmask, SIG_BLOCK, NULL, p, 8, 0, 0));
	TRY("rt_sigpending", CALL(SYS_rt_sigpending, p, 8, 0, 0, 0, 0));
	TRY("sigaltstack old", CALL(SYS_sigaltstack, NULL, p, 0, 0, 0, 0));
	TRY("getitimer", CALL(SYS_getitimer, 0, p, 0, 0, 0, 0));
	TRY("prlimit64 old", CALL(SYS_prlimit64, 0, 7, NULL, p, 0, 0));
	TRY("getresuid", CALL(SYS_getresuid, p, p, p, 0, 0, 0));
	TRY("getresgid", CALL(SYS_getresgid, p, p, p, 0, 0, 0));
	TRY("sched_getparam", CALL(SYS_sched_getparam, 0, p, 0, 0, 0, 0));
	TRY("sched_getattr", CALL(SYS_sched_getattr, 0, p, 48, 0, 0, 0));
	TRY("sched_getaffinity", CALL(SYS_sched_getaffinity, 0, 1024, p, 0, 0, 0));
	TRY("wait4", CALL(SYS_wait4, -1, p, 1, p, 0, 0));
	TRY("waitid", CALL(SYS_waitid, 0, 0, p, 4 | 1, p, 0));
	TRY("getrandom", CALL(SYS_getrandom, p, 100, 0, 0, 0, 0));
	TRY("getcpu", CALL(SYS_getcpu, p, NULL, NULL, 0, 0, 0));
	TRY("prctl name", CALL(SYS_prctl, 16, p, 0, 0, 0, 0));
	TRY("prctl deathsig", CALL(SYS_prctl, 2, p, 0, 0, 0, 0));
	TRY("ppoll", CALL(NR_ppoll, p, 1, ((int64_t[2]){ 0, 0 }), NULL, 8, 0));
	TRY("pselect6", CALL(NR_pselect6, 3, p, NULL, NULL, ((int64_t[2]){ 0, 0 }), NULL));
	TRY("epoll_pwait", CALL(SYS_epoll_pwait, file, p, 1, 0, NULL, 8));
	TRY("timer_create", CALL(SYS_timer_create, CLOCK_MONOTONIC, NULL, p, 0, 0, 0));
	TRY("capget", CALL(SYS_capget, p, p, 0, 0, 0, 0));
	TRY("ioctl FIONREAD", CALL(SYS_ioctl, pipes[0], 0x541b, p, 0, 0, 0));
	TRY("fcntl F_GETLK", CALL(
#ifdef SYS_fcntl64
		SYS_fcntl64, file, 12,
#else
		SYS_fcntl, file, F_GETLK,
#endif
		p, 0, 0, 0));
	TRY("getgroups", getgroups(0, NULL) > 0 ? CALL(SYS_getgroups, 65536, p, 0, 0, 0, 0) : (errno = EFAULT, -1));
	TRY("listxattr buffer", CALL(SYS_fgetxattr, file, p, p, 10, 0, 0));
}

int main(int argc, char **argv)
{
	long page = sysconf(_SC_PAGESIZE);
	int p[2], pair[2], fd, dir, sock;

	/* nothing may kill us, nor make us wait */
	signal(SIGPIPE, SIG_IGN);
	MUST(pipe2(p, O_NONBLOCK) == 0);
	fd = open("file", O_RDWR | O_CREAT, 0600);
	MUST(write(fd, "some content", 12) == 12);
	MUST(symlink("target", "soft") == 0);
	dir = open(".", O_RDONLY | O_DIRECTORY);
	sock = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0);
	MUST(sock >= 0 && socketpair(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0, pair) == 0);

	/* before the hole is made, or it lands there */
	char *ro = mmap(NULL, page, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	MUST(ro != MAP_FAILED);
	char *three = mmap(NULL, 3 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	MUST(three != MAP_FAILED);
	memset(three, 'm', page);
	edge = three + page - 1;
	MUST(mprotect(three + page, page, PROT_NONE) == 0);
	MUST(munmap(three + 2 * page, page) == 0);

	struct {
		const char *name;
		void *p;
	} pointers[] = {
		{ "null", NULL },
		{ "one", (void *)1 },
		{ "page0", (void *)0xff8 },
		{ "top", (void *)-4096L },
		{ "last", (void *)-1L },
		/* the guest has no addresses of the kernel; these are none of a program either */
		{ "kernel", (void *)(sizeof(long) == 8 ? 0xffff888000001000ull : 0xffffe000ull) },
		{ "none", three + page },
		{ "unmapped", three + 2 * page },
		{ "past", three + page - 1 },
	};
	for (size_t i = 0; i < sizeof pointers / sizeof *pointers; i++) {
		if (argc > 1 && strcmp(argv[1], pointers[i].name))
			continue;
		pointer_name = pointers[i].name;
		all(pointers[i].p, fd, dir, p, sock, pair);
	}
	/* a page that may be read: what the kernel writes fails */
	pointer_name = "readonly";
	TRY("pread64", CALL(SYS_pread64, fd, ro, 12, 0, 0, 0));
	TRY("getcwd", CALL(SYS_getcwd, ro, 4096, 0, 0, 0, 0));
	TRY("uname", CALL(SYS_uname, ro, 0, 0, 0, 0, 0));
	TRY("pipe2", CALL(SYS_pipe2, ro, 0, 0, 0, 0, 0));
	TRY("clock_gettime", CALL(NR_clock_gettime, CLOCK_BOOTTIME, ro, 0, 0, 0, 0));
	TRY("write", CALL(SYS_write, fd, ro, 100, 0, 0, 0));
	/* what lies half within: as much as there is */
	pointer_name = "across";
	lseek(fd, 0, SEEK_SET);
	long n = write(fd, three + page - 10, 100);
	printf("write across: %ld\n", n);
	lseek(fd, 0, SEEK_SET);
	int z = open("/dev/zero", O_RDONLY);
	n = read(z, three + page - 10, 100);
	printf("read zero across: %ld\n", n);
	/* still well */
	printf("alive: %d\n", getpid() > 0 && access("file", F_OK) == 0);
	fprintf(stderr, "%d calls\n", calls);
	return 0;
}
