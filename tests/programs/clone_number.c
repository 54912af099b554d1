/* clone() and clone3() by their numbers, without a stack: processes as fork makes them. */
#include "process.h"
#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <poll.h>
#include <sys/syscall.h>

static void ended(const char *what, pid_t pid)
{
	int status;

	MUST(waitpid(pid, &status, __WALL) == pid);
	printf("%s: %d\n", what, WIFEXITED(status) ? WEXITSTATUS(status) : 256 + WTERMSIG(status));
}

static void refused(const char *what, long result)
{
	int error = errno;

	printf("%s: %ld, %s\n", what, result, strerror(error));
}

int main(void)
{
	int deep = 5, pidfd = -1;
	pid_t pid, parent_tid = 0;
	char where[100];

	fflush(stdout);
	pid = syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0);
	MUST(pid >= 0);
	if (pid == 0)
		_exit(deep + 1);
	ended("clone", pid);

	MUST(chdir("/") == 0);
	pid = syscall(SYS_clone, CLONE_FS | CLONE_FILES | SIGCHLD, 0, 0, 0, 0);
	MUST(pid >= 0);
	if (pid == 0)
		_exit(chdir("/tmp") == 0 && close(STDIN_FILENO) == 0 && getppid() > 0 ? 7 : 8);
	ended("shared", pid);
	printf("%s, %d\n", getcwd(where, sizeof where), fcntl(STDIN_FILENO, F_GETFD));

	struct clone_args args = {
		.flags = CLONE_PIDFD | CLONE_PARENT_SETTID | CLONE_CLEAR_SIGHAND, .pidfd = (uintptr_t)&pidfd,
		.parent_tid = (uintptr_t)&parent_tid, .exit_signal = SIGCHLD,
	};
	signal(SIGUSR1, SIG_IGN);
	pid = syscall(SYS_clone3, &args, sizeof args);
	MUST(pid >= 0);
	if (pid == 0) {
		raise(SIGUSR2);
		_exit(9);
	}
	struct pollfd p = { .fd = pidfd, .events = POLLIN };
	MUST(poll(&p, 1, 10000) == 1 && parent_tid == pid);
	ended("clone3", pid);

	refused("too small", syscall(SYS_clone3, &args, 8));
	args.exit_signal = 1000;
	refused("a wrong signal", syscall(SYS_clone3, &args, sizeof args));
	refused("no pointer", syscall(SYS_clone3, (void *)16, sizeof args));
	return 0;
}
