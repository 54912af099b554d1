/* Runs a command, and prints how many milliseconds it took. */
#include "measure.h"
#include <spawn.h>
#include <sys/wait.h>

extern char **environ;

int main(int argc, char **argv)
{
	double start = now_ns();
	int status;
	pid_t pid;

	NEED(argc > 1 && posix_spawnp(&pid, argv[1], NULL, NULL, argv + 1, environ) == 0);
	NEED(waitpid(pid, &status, 0) == pid && WIFEXITED(status) && WEXITSTATUS(status) == 0);
	printf("elapsed %.3f\n", (now_ns() - start) / 1e6);
	return 0;
}
