/*
 * Starts itself 256 times, each with another exit status, and by signals; waits in different ways.
 */
#include "common.h"
#include <signal.h>
#include <spawn.h>
#include <sys/resource.h>
#include <sys/wait.h>

extern char **environ;

static pid_t start(const char *how, const char *value)
{
	char *args[] = { "statuses", (char *)how, (char *)value, NULL };
	pid_t pid;

	int e = posix_spawn(&pid, "/proc/self/exe", NULL, NULL, args, environ);
	if (e) {
		printf("posix_spawn: %s\n", ename(e));
		exit(98);
	}
	return pid;
}

int main(int argc, char **argv)
{
	char value[16];
	int status, wrong = 0;

	if (argc == 3 && !strcmp(argv[1], "exit"))
		_exit(atoi(argv[2]));
	if (argc == 3 && !strcmp(argv[1], "signal")) {
		raise(atoi(argv[2]));
		return 77;
	}
	for (int i = 0; i < 256; i++) {
		sprintf(value, "%d", i);
		pid_t pid = start("exit", value);
		if (waitpid(pid, &status, 0) != pid || !WIFEXITED(status) || WEXITSTATUS(status) != i) {
			printf("exit %d gives %x\n", i, status);
			wrong++;
		}
	}
	printf("wrong: %d\n", wrong);
	static const int signals[] = { SIGHUP, SIGINT, SIGQUIT, SIGILL, SIGTRAP, SIGABRT, SIGBUS, SIGFPE, SIGKILL, SIGUSR1, SIGSEGV, SIGUSR2, SIGPIPE, SIGALRM, SIGTERM, SIGCHLD, SIGCONT, SIGURG, SIGXCPU, SIGWINCH, SIGSYS };
	for (size_t i = 0; i < sizeof signals / sizeof *signals; i++) {
		sprintf(value, "%d", signals[i]);
		pid_t pid = start("signal", value);
		waitpid(pid, &status, 0);
		printf("signal %d: exited %d signaled %d %d\n", signals[i], WIFEXITED(status), WIFSIGNALED(status), WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
	}
	siginfo_t info;
	pid_t pid = start("exit", "33");
	SAY(waitid(P_PID, pid, &info, WEXITED | WNOWAIT));
	printf("%d %d %d %d\n", info.si_code == CLD_EXITED, info.si_status, info.si_pid == pid, info.si_signo == SIGCHLD);
	SAY(waitid(P_ALL, 0, &info, WEXITED));
	SAY(waitpid(-1, &status, WNOHANG));
	pid = start("signal", "15");
	struct rusage use;
	SAY(wait4(pid, &status, 0, &use) == pid);
	printf("%d\n", WTERMSIG(status));
	SAY(wait(&status));
	return 0;
}
