/*
 * Starts as many processes and threads as a line of its input says, says "done", and reads the next
 * line. With an argument it ends at once.
 */
#include "process.h"
#include <pthread.h>
#include <spawn.h>

extern char **environ;

static void *nothing(void *arg)
{
	return arg;
}

int main(int argc, char **argv)
{
	char line[30], self[200] = "";

	if (argc > 1)
		return 7;
	LINES();
	MUST(readlink("/proc/self/exe", self, sizeof self - 1) > 0);
	while (fgets(line, sizeof line, stdin)) {
		for (int i = 0, n = atoi(line); i < n; i++) {
			char *args[] = { "spawns", "now", NULL };
			pid_t pid;
			pthread_t t;
			switch (i % 4) {
			case 0:
				CHILD(pid, _exit(7));
				break;
			case 1:
				CHILD(pid, for (;;) pause());
				kill(pid, SIGKILL);
				MUST(!strcmp(fate_of(pid), "signal 9"));
				continue;
			case 2:
				MUST(posix_spawn(&pid, self, NULL, NULL, args, environ) == 0);
				break;
			default:
				MUST(pthread_create(&t, NULL, nothing, NULL) == 0 && pthread_join(t, NULL) == 0);
				continue;
			}
			MUST(!strcmp(fate_of(pid), "exit 7"));
		}
		puts("done");
	}
	return 0;
}
