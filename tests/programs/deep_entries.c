/*
 * The kernel is entered from every depth of the native stack, as far as calls go: the process dies
 * of SIGSEGV there, or goes on, and nothing else happens. The calls have no frame in the program's
 * own memory, so it is the native stack that they use up.
 */
#include "process.h"
#include <sys/syscall.h>
#include <sys/time.h>

static volatile int zero;
static volatile int sink;
static char *fresh;
static volatile sig_atomic_t ticks;

static void nothing(int signal)
{
	(void)signal;
}

static void none(void) {}

static void call(void)
{
	syscall(SYS_getppid);
}

static void page(void)
{
	fresh[5] = 1;
}

static void many(void)
{
	memset(fresh, 1, 1 << 20);
}

static void divide(void)
{
	sink = 1 / zero;
}

static void handler(void)
{
	raise(SIGUSR1);
}

static void tick(int signal)
{
	(void)signal;
	ticks++;
}

static void timer(void)
{
	while (!ticks)
		;
}

static void (*volatile act)(void);
static int deep(int n);
static int (*volatile next)(int) = deep;

static int deep(int n)
{
	if (n)
		return next(n - 1) * 3 + 1;
	act();
	return 1;
}

/* The status of a child that acts so deep. */
static int at(int depth, void (*how)(void))
{
	struct itimerval soon = { .it_value.tv_usec = 1000 };
	pid_t child = fork();
	int status;

	MUST(child >= 0);
	if (!child) {
		act = how;
		if (how == timer)
			setitimer(ITIMER_REAL, &soon, NULL);
		sink = deep(depth);
		_exit(0);
	}
	MUST(waitpid(child, &status, 0) == child);
	return status;
}

int main(int argc, char **argv)
{
	const struct {
		const char *name;
		void (*act)(void);
		int other;
	} ways[] = {
		{ "call", call, 0 }, { "page", page, 0 }, { "many pages", many, 0 },
		{ "divide", divide, SIGFPE }, { "handler", handler, 0 }, { "timer", timer, 0 },
	};
	int most = 5000000, least = 0;

	signal(SIGUSR1, nothing);
	signal(SIGALRM, tick);
	fresh = mmap(NULL, 1 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	MUST(fresh != MAP_FAILED);
	MUST(at(most, none) == SIGSEGV);
	while (most - least > 1) {
		int middle = least + (most - least) / 2;

		if (at(middle, none) == 0)
			least = middle;
		else
			most = middle;
	}
	for (size_t way = 0; way < sizeof ways / sizeof *ways; way++) {
		int wrong = 0;

		if (argc > 1 && strcmp(argv[1], ways[way].name))
			continue;
		/* A depth is 16 bytes or more, and the kernel's own first frame a few hundred. */
		for (int depth = least - 14; depth < least + 2; depth += 2) {
			int status = at(depth, ways[way].act);

			wrong += status != 0 && status != SIGSEGV && !(WIFSIGNALED(status) && WTERMSIG(status) == ways[way].other);
		}
		printf("%s: %d wrong\n", ways[way].name, wrong);
	}
	return 0;
}
