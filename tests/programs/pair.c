/*
 * Two processes at once: they play a ball through pipes, then one streams megabytes to the other.
 */
#include "common.h"
#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>

extern char **environ;

int main(int argc, char **argv)
{
	static char block[100000];
	int there[2], back[2], status;
	uint64_t seed = 5, hash = 0;
	uint32_t ball = 0;
	pid_t pid;

	if (argc > 1) {
		/* the second process: adds one to each ball, then hashes the stream */
		for (int i = 0; i < 2000; i++) {
			MUST(read(0, &ball, 4) == 4);
			ball++;
			MUST(write(1, &ball, 4) == 4);
		}
		for (ssize_t n; (n = read(0, block, sizeof block)) > 0;)
			for (ssize_t i = 0; i < n; i++)
				hash = hash * 31 + (unsigned char)block[i];
		MUST(write(1, &hash, 8) == 8);
		return 21;
	}
	MUST(pipe2(there, O_CLOEXEC) == 0 && pipe2(back, O_CLOEXEC) == 0);
	posix_spawn_file_actions_t actions;
	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_adddup2(&actions, there[0], 0);
	posix_spawn_file_actions_adddup2(&actions, back[1], 1);
	char *args[] = { "pair", "second", NULL };
	MUST(posix_spawn(&pid, "/proc/self/exe", &actions, NULL, args, environ) == 0);
	close(there[0]);
	close(back[1]);
	for (int i = 0; i < 2000; i++) {
		ball += 10;
		MUST(write(there[1], &ball, 4) == 4);
		MUST(read(back[0], &ball, 4) == 4);
	}
	printf("ball %u\n", ball);
	uint64_t mine = 0, theirs = 0;
	for (int round = 0; round < 50; round++) {
		for (size_t i = 0; i < sizeof block; i++) {
			block[i] = (char)next_random(&seed);
			mine = mine * 31 + (unsigned char)block[i];
		}
		for (size_t done = 0; done < sizeof block;) {
			ssize_t n = write(there[1], block + done, sizeof block - done);
			MUST(n > 0);
			done += n;
		}
	}
	close(there[1]);
	MUST(read(back[0], &theirs, 8) == 8);
	printf("5 MB %s\n", mine == theirs ? "alike" : "differ");
	MUST(waitpid(pid, &status, 0) == pid);
	printf("status %d\n", WEXITSTATUS(status));
	return 0;
}
