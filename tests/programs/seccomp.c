/* seccomp: the strict mode, and filters with each of their answers. */
#include "process.h"
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#ifdef __wasm__
#define ARCH AUDIT_ARCH_WASM32
#else
#define ARCH AUDIT_ARCH_X86_64
#endif

#define LOAD(field) BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, field))
#define RETURN(value) BPF_STMT(BPF_RET | BPF_K, value)
/* Of the call NR: skips the next instruction if it is another. */
#define IF(nr) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, nr, 0, 1)

static long install(unsigned flags, struct sock_filter *filter, unsigned short len)
{
	struct sock_fprog program = { len, filter };

	return syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, &program);
}
#define INSTALL(flags, ...) ({ \
		struct sock_filter filter_[] = { __VA_ARGS__ }; \
		MUST(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0); \
		install(flags, filter_, sizeof filter_ / sizeof *filter_); \
	})

static void trapped(int sig, siginfo_t *info, void *context)
{
	printf("signal %d, code %d, errno %d, of getppid %d, architecture %d\n", sig, info->si_code, info->si_errno,
	       info->si_syscall == SYS_getppid, info->si_arch == ARCH);
}

static volatile int go, seen;

static void *waits(void *unused)
{
	while (!go)
		usleep(1000);
	seen = syscall(SYS_getppid) == -1 && errno == EXDEV;
	return NULL;
}

int main(void)
{
	LINES();
	SAY(prctl(PR_GET_SECCOMP, 0, 0, 0, 0));
	SAY(syscall(SYS_seccomp, SECCOMP_GET_ACTION_AVAIL, 0, &(unsigned){ SECCOMP_RET_TRAP }));

	/* strict: read, write, exit and nothing else */
	IN_CHILD({
		MUST(prctl(PR_SET_SECCOMP, SECCOMP_MODE_STRICT, 0, 0, 0) == 0);
		syscall(SYS_write, 1, "allowed\n", 8);
		syscall(SYS_exit, 3);
	});
	IN_CHILD({
		MUST(prctl(PR_SET_SECCOMP, SECCOMP_MODE_STRICT, 0, 0, 0) == 0);
		syscall(SYS_getppid);
	});
	/* the clock, which the kernel has a shorter way for */
	IN_CHILD({
		struct timespec64_ { long long s, n; } ts;
		MUST(prctl(PR_SET_SECCOMP, SECCOMP_MODE_STRICT, 0, 0, 0) == 0);
#ifdef SYS_clock_gettime64
		syscall(SYS_clock_gettime64, 1, &ts);
#else
		syscall(SYS_clock_gettime, 1, &ts);
#endif
	});

	IN_CHILD({
		SAY(INSTALL(0, LOAD(arch), BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, ARCH, 1, 0),
			    RETURN(SECCOMP_RET_KILL_PROCESS), LOAD(nr), IF(SYS_getppid),
			    RETURN(SECCOMP_RET_ERRNO | EXDEV), RETURN(SECCOMP_RET_ALLOW)));
		SAY(prctl(PR_GET_SECCOMP, 0, 0, 0, 0));
		SAY(syscall(SYS_getppid));
		SAY(syscall(SYS_getppid, 0) == -1 && getpid() > 1);
		/* children have it too */
		IN_CHILD(SAY(syscall(SYS_getppid)));
		/* a second one: the stricter answer counts */
		SAY(INSTALL(0, LOAD(nr), IF(SYS_getppid), RETURN(SECCOMP_RET_ALLOW), RETURN(SECCOMP_RET_ALLOW)));
		SAY(syscall(SYS_getppid));
		SAY(INSTALL(0, LOAD(nr), IF(SYS_getppid), RETURN(SECCOMP_RET_KILL_PROCESS), RETURN(SECCOMP_RET_ALLOW)));
		syscall(SYS_getppid);
	});

	/* by an argument */
	IN_CHILD({
		SAY(INSTALL(0, LOAD(nr), IF(SYS_dup), BPF_STMT(BPF_JMP | BPF_JA, 1), RETURN(SECCOMP_RET_ALLOW),
			    LOAD(args[0]), IF(2), RETURN(SECCOMP_RET_ERRNO | E2BIG), RETURN(SECCOMP_RET_ALLOW)));
		SAY(dup(2));
		SAY(dup(1) > 2);
	});

	/* a signal, with what was called */
	IN_CHILD({
		struct sigaction sa = { .sa_sigaction = trapped, .sa_flags = SA_SIGINFO };

		sigaction(SIGSYS, &sa, NULL);
		SAY(INSTALL(0, LOAD(nr), IF(SYS_getppid), RETURN(SECCOMP_RET_TRAP | 42), RETURN(SECCOMP_RET_ALLOW)));
		/* what it returns is the architecture's affair */
		syscall(SYS_getppid);
		SAY(getpid() > 1);
		signal(SIGSYS, SIG_DFL);
		syscall(SYS_getppid);
	});

	/* nobody traces */
	IN_CHILD({
		SAY(INSTALL(0, LOAD(nr), IF(SYS_getppid), RETURN(SECCOMP_RET_TRACE), RETURN(SECCOMP_RET_ALLOW)));
		SAY(syscall(SYS_getppid));
	});

	/* all threads at once */
	IN_CHILD({
		pthread_t thread;

		MUST(pthread_create(&thread, NULL, waits, NULL) == 0);
		SAY(INSTALL(SECCOMP_FILTER_FLAG_TSYNC, LOAD(nr), IF(SYS_getppid), RETURN(SECCOMP_RET_ERRNO | EXDEV),
			    RETURN(SECCOMP_RET_ALLOW)));
		go = 1;
		pthread_join(thread, NULL);
		SAY(seen);
	});

	SAY(install(0, (struct sock_filter[]){ LOAD(nr) }, 1));
	SAY(syscall(SYS_seccomp, 77, 0, NULL));
	return 0;
}
