/*
 * Runs commands one after the other in one machine: each COMMAND [ARG...] [-- COMMAND [ARG...]]...;
 * says how each ended. That something runs after a crash is how a test sees that the machine lives
 * on.
 */
#include "common.h"
#include <spawn.h>
#include <sys/wait.h>

extern char **environ;

int main(int argc, char **argv)
{
	for (int i = 1, next; i < argc; i = next + 1) {
		for (next = i; next < argc && strcmp(argv[next], "--"); next++)
			;
		argv[next] = NULL;
		pid_t pid;
		int status, e = posix_spawnp(&pid, argv[i], NULL, NULL, argv + i, environ);
		if (e) {
			printf("%s: not started: %s\n", argv[i], ename(e));
			continue;
		}
		MUST(waitpid(pid, &status, 0) == pid);
		if (WIFEXITED(status))
			printf("%s: exit status %d\n", argv[i], WEXITSTATUS(status));
		else
			printf("%s: signal %d\n", argv[i], WTERMSIG(status));
		fflush(stdout);
	}
	return 0;
}
