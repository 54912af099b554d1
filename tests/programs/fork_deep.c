/*
 * fork from any depth: recursion, setjmp frames, callbacks, function pointers, threads; children of
 * children.
 */
#include "process.h"
#include <pthread.h>
#include <setjmp.h>
#include <sys/syscall.h>

static int __attribute__((noinline)) at_depth(int n, int salt)
{
	volatile int local[8] = { n, salt, n * salt };

	if (n == 0) {
		fflush(stdout);
		pid_t pid = fork();
		MUST(pid >= 0);
		if (!pid)
			return 1000;
		const char *end = fate_of(pid);
		MUST(!strncmp(end, "exit", 4));
		return atoi(end + 5);
	}
	int below = at_depth(n - 1, salt + 1);
	MUST(local[0] == n && local[1] == salt && local[2] == n * salt);
	return below + 1;
}

static jmp_buf env;
static int forks(int n, int (*visit)(int, void *), void *arg)
{
	int sum = 0;

	for (int i = 0; i < n; i++)
		sum += visit(i, arg);
	return sum;
}

static int visit(int i, void *arg)
{
	if (i != 3)
		return i;
	fflush(stdout);
	pid_t pid = fork();
	MUST(pid >= 0);
	if (!pid) {
		*(int *)arg = 1;
		return 100;
	}
	return atoi(fate_of(pid) + 5);
}

static void *thread(void *arg)
{
	static __thread int mine = 5;
	pid_t child;

	mine += (int)(intptr_t)arg;
	CHILD(child, {
		MUST(mine == 5 + (int)(intptr_t)arg);
		pthread_t more;
		/* a thread in the child of a thread */
		if (arg) {
			MUST(pthread_create(&more, NULL, thread, NULL) == 0);
			void *result;
			pthread_join(more, &result);
			_exit((int)(intptr_t)result + 1);
		}
		_exit(mine);
	});
	const char *end = fate_of(child);
	return (void *)(intptr_t)atoi(end + 5);
}

static int (*volatile pointer)(int, int) = at_depth;

static int at_fork;

static void before(void) { at_fork = at_fork * 10 + 1; }
static void in_parent(void) { at_fork = at_fork * 10 + 2; }
static void in_child(void) { at_fork = at_fork * 10 + 3; }

int main(void)
{
	LINES();
	int depths[] = { 0, 1, 2, 10, 100, 1000, 5000 };
	for (size_t i = 0; i < countof(depths); i++) {
		int result = at_depth(depths[i], 7);
		if (result >= 1000 + depths[i] && depths[i] < 5000)
			_exit((result - 1000) % 200); /* the child came back up */
		if (result >= 6000)
			_exit(55);
		printf("depth %d: %d\n", depths[i], result);
	}
	int result = pointer(3, 1);
	if (result == 1003)
		_exit(44);
	printf("by pointer: %d\n", result);

	/* under frames of setjmp, before and after the jump; the child jumps too */
	for (volatile int way = 0; way < 3; way++) {
		volatile pid_t pid = -1;
		fflush(stdout);
		int v = setjmp(env);
		if (v == 0) {
			if (way == 0)
				pid = fork();
			else
				longjmp(env, 1);
		} else if (v == 1) {
			pid = fork();
			if (!pid && way == 2)
				longjmp(env, 2);
		} else {
			_exit(60 + way);
		}
		if (!pid) {
			if (way == 0)
				longjmp(env, 3);
			_exit(50 + way);
		}
		printf("setjmp %d: %s\n", way, fate_of(pid));
	}

	int in_child_now = 0;
	int sum = forks(6, visit, &in_child_now);
	if (in_child_now)
		_exit(sum);
	printf("in a callback: %d\n", sum);

	/* from threads */
	for (int i = 0; i < 3; i++) {
		pthread_t t;
		void *r;
		MUST(pthread_create(&t, NULL, thread, (void *)(intptr_t)i) == 0);
		pthread_join(t, &r);
		printf("thread %d: %d\n", i, (int)(intptr_t)r);
	}

	/* a chain of children */
	int depth = 0;
	pid_t first = fork();
	if (!first) {
		while (depth < 20) {
			pid_t next = fork();
			MUST(next >= 0);
			if (next) {
				const char *end = fate_of(next);
				_exit(atoi(end + 5) + 1);
			}
			depth++;
		}
		_exit(0);
	}
	printf("chain: %s\n", fate_of(first));

	/* identities */
	pid_t me = getpid();
	IN_CHILD({
		MUST(getppid() == me && getpid() != me);
		MUST(syscall(SYS_gettid) == getpid());
		MUST(getpgrp() == getpgid(me) && getsid(0) == getsid(me));
	});
	/* descriptors share their offset */
	FILE *f = tmpfile();
	fputs("0123456789", f);
	fflush(f);
	lseek(fileno(f), 0, SEEK_SET);
	char c[2] = "";
	IN_CHILD(MUST(read(fileno(f), c, 1) == 1 && c[0] == '0'));
	read(fileno(f), c, 1);
	puts(c);
	/* 200 at once */
	static pid_t many[200];
	for (int i = 0; i < 200; i++)
		CHILD(many[i], pause_ms(30); _exit(i));
	for (int i = 0; i < 200; i++) {
		int status;
		MUST(waitpid(many[i], &status, 0) == many[i] && WIFEXITED(status) && WEXITSTATUS(status) == i);
	}
	puts("many");
	SAY(pthread_atfork(before, in_parent, in_child));
	IN_CHILD(printf("handlers in the child: %d\n", at_fork));
	printf("in the parent: %d\n", at_fork);
	return 0;
}
