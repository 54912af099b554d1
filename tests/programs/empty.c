/*
 * Starts itself with no argument, not even argv[0], and no environment: Linux makes argc 1 and
 * argv[0] "".
 */
#include "common.h"
#include <spawn.h>
#include <sys/wait.h>

extern char **environ;

int main(int argc, char **argv)
{
	char *none[] = { NULL };
	int status;
	pid_t pid;

	if (!argv[0][0]) {
		printf("argc %d, argv[0] \"%s\", argv[1] %s, environ[0] %s\n", argc, argv[0], argv[1] ? "set" : "NULL", environ[0] ? "set" : "NULL");
		return 5;
	}
	int e = posix_spawn(&pid, "/proc/self/exe", NULL, NULL, none, none);
	MUST(waitpid(pid, &status, 0) == pid);
	printf("posix_spawn %s\n", ename(e));
	printf("exited %d status %d\n", WIFEXITED(status), WEXITSTATUS(status));
	return 0;
}
