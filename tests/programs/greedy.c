/*
 * Takes as much of the host as it can, as an ordinary user.
 *
 *	maps N K	N processes that each read K shared pages which are not neighbours
 *	stacks N D	N processes that each call D functions deep without using memory, and
 *			stay there
 *	idles N D	as stacks, but they return before they stay
 *	execs N PROGRAM	N processes that execute a program
 *
 * Says how many got what they wanted, and what the others were told. Then another process must get
 * what everybody gets.
 */
#include "common.h"
#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>

static volatile int zero, returns;
static int ready[2];

/* Tells the parent, and stays. */
static void stay(char how)
{
	write(ready[1], &how, 1);
	for (;;)
		pause();
}

static int __attribute__((noinline)) deep(int n)
{
	if (n == 0) {
		if (!returns)
			stay('y');
		return 1;
	}
	return zero ? n : deep(n - 1) * 3 + 1;
}

static void child(char **argv, volatile char *pages, long size)
{
	int k = atoi(argv[3]), sum = 0;

	if (!strcmp(argv[1], "maps")) {
		for (int i = 0; i < k; i++)
			sum += pages[(size_t)i * 2 * size];
		stay('y');
	} else if (!strcmp(argv[1], "stacks")) {
		deep(k);
	} else if (!strcmp(argv[1], "idles")) {
		returns = 1;
		deep(k);
		stay('y');
	} else {
		/* The end of the pipe, if it succeeds */
		execl(argv[3], argv[3], NULL);
		stay(errno == ENOMEM ? 'm' : 'x');
	}
}

int main(int argc, char **argv)
{
	int n = argc > 3 ? atoi(argv[2]) : 0, k = argc > 3 ? atoi(argv[3]) : 0, made, status, got = 0, dead = 0, refused = 0;
	long size = sysconf(_SC_PAGESIZE);
	volatile char *pages = NULL;
	pid_t pid;

	setbuf(stdout, NULL);
	if (!n)
		return 1;
	MUST(!setgid(1000) && !setuid(1000));
	if (!strcmp(argv[1], "maps")) {
		pages = mmap(NULL, (size_t)(k + 1) * 2 * size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
		MUST(pages != MAP_FAILED);
		for (int i = 0; i < 2 * k; i++)
			pages[(size_t)i * size] = (char)i;
	}
	for (made = 0; made < n; made++) {
		char how;

		/* One after the other: each takes while all before it keep what they have. */
		MUST(!pipe2(ready, O_CLOEXEC));
		pid = fork();
		if (pid == 0)
			child(argv, pages, size);
		close(ready[1]);
		if (pid < 0) {
			printf("fork: %s\n", ename(errno));
			close(ready[0]);
			break;
		}
		if (read(ready[0], &how, 1) == 1)
			how == 'y' ? got++ : refused++;
		else if (waitpid(pid, &status, WNOHANG) == pid)
			dead++;
		else if (!strcmp(argv[1], "execs"))
			got++;
		else if (waitpid(pid, &status, 0) == pid)
			dead++;
		close(ready[0]);
	}
	printf("got %d, dead %d, refused %d\n", got, dead, refused);
	/* What is taken is given back with the processes. */
	signal(SIGTERM, SIG_IGN);
	kill(0, SIGTERM);
	for (int i = 0; i < got + refused; i++)
		wait(NULL);
	pid = fork();
	MUST(pid >= 0);
	if (pid == 0)
		_exit(7);
	MUST(waitpid(pid, &status, 0) == pid && WEXITSTATUS(status) == 7);
	printf("as before\n");
	return 0;
}
