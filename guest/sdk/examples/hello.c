/* Says hello, from a child process too. */
#include <stdio.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	struct utsname system;
	pid_t child;

	if (uname(&system) != 0) {
		perror("uname");
		return 1;
	}
	printf("Hello from %s, %s.\n", system.sysname, argc > 1 ? argv[1] : "world");
	fflush(stdout);
	child = fork();
	if (child == 0) {
		printf("Hello from its child.\n");
		return 0;
	}
	if (child < 0 || waitpid(child, NULL, 0) != child) {
		perror("fork");
		return 1;
	}
	return 0;
}
