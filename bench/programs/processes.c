/* Processes and threads: nanoseconds each. */
#define _GNU_SOURCE
#include "measure.h"
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

static char *self;

static void wait_for(pid_t pid)
{
	int status;

	NEED(pid > 0 && waitpid(pid, &status, 0) == pid && WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

static void fork_exit(void)
{
	pid_t pid = fork();

	if (pid == 0)
		_exit(0);
	wait_for(pid);
}

static void fork_exec(void)
{
	pid_t pid = fork();

	if (pid == 0) {
		execlp(self, self, "exit", (char *)NULL);
		_exit(1);
	}
	wait_for(pid);
}

static void spawn(char *const *argv)
{
	pid_t pid;

	NEED(posix_spawnp(&pid, argv[0], NULL, NULL, argv, environ) == 0);
	wait_for(pid);
}

static void *nothing(void *arg)
{
	return arg;
}

static void thread(void)
{
	pthread_t t;

	NEED(pthread_create(&t, NULL, nothing, NULL) == 0 && pthread_join(t, NULL) == 0);
}

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static enum { OURS, OTHERS, NOBODYS } turn;

static void *other(void *arg)
{
	pthread_mutex_lock(&mutex);
	while (turn != NOBODYS) {
		if (turn == OTHERS) {
			turn = OURS;
			pthread_cond_signal(&changed);
		}
		pthread_cond_wait(&changed, &mutex);
	}
	pthread_mutex_unlock(&mutex);
	return arg;
}

static void give(int to)
{
	turn = to;
	pthread_cond_signal(&changed);
}

static void round_trip(void)
{
	pthread_mutex_lock(&mutex);
	give(OTHERS);
	while (turn != OURS)
		pthread_cond_wait(&changed, &mutex);
	pthread_mutex_unlock(&mutex);
}

/* A byte there and back, between two processes */
static int there[2], back[2];

static void ping(void)
{
	char byte = 'x';

	NEED(write(there[1], &byte, 1) == 1 && read(back[0], &byte, 1) == 1);
}

static pid_t echo(int from, int to)
{
	pid_t pid = fork();
	char byte;

	NEED(pid >= 0);
	if (pid == 0) {
		while (read(from, &byte, 1) == 1 && write(to, &byte, 1) == 1)
			;
		_exit(0);
	}
	return pid;
}

/* A byte round a ring of processes: what a switch costs among so many */
static void ring(const char *name, int n)
{
	int first[2], p[2], from;
	pid_t pids[1000];
	char byte = 'x';

	NEED(pipe(first) == 0);
	from = first[0];
	for (int i = 0; i < n; i++) {
		NEED(pipe(p) == 0);
		pids[i] = echo(from, p[1]);
		close(from);
		close(p[1]);
		from = p[0];
	}
	int rounds = 4000 / n;
	double t0 = 0;
	for (int i = 0; i < 2 * rounds; i++) {
		/* The first half is warming up. */
		if (i == rounds)
			t0 = now_ns();
		NEED(write(first[1], &byte, 1) == 1 && read(from, &byte, 1) == 1);
	}
	printf("%s %.1f\n", name, (now_ns() - t0) / rounds / (n + 1));
	fflush(stdout);
	for (int i = 0; i < n; i++)
		kill(pids[i], SIGKILL);
	for (int i = 0; i < n; i++)
		waitpid(pids[i], NULL, 0);
	close(first[1]);
	close(from);
}

int main(int argc, char **argv)
{
	char *again[] = { argv[0], "exit", NULL }, *shell[] = { "sh", "-c", "true", NULL };
	pthread_t t;

	if (argc > 1 && strcmp(argv[1], "exit") == 0)
		return 0;
#ifndef __wasm__
	/* The guest has one processor. */
	cpu_set_t one;
	CPU_ZERO(&one);
	CPU_SET(0, &one);
	if (getenv("BENCH_ONE_CPU"))
		sched_setaffinity(0, sizeof one, &one);
#endif
	self = argv[0];
	setvbuf(stdout, NULL, _IOLBF, 0);
	MEASURE("fork-exit", 10, 50, fork_exit());
	MEASURE("fork-exec", 10, 30, fork_exec());
	MEASURE("spawn", 10, 30, spawn(again));
	MEASURE("shell", 10, 20, spawn(shell));
	MEASURE("thread", 10, 100, thread());

	NEED(pthread_create(&t, NULL, other, NULL) == 0);
	MEASURE("condvar", 10, 1000, round_trip());
	pthread_mutex_lock(&mutex);
	give(NOBODYS);
	pthread_mutex_unlock(&mutex);
	pthread_join(t, NULL);

	NEED(pipe(there) == 0 && pipe(back) == 0);
	pid_t pid = echo(there[0], back[1]);
	MEASURE("pipe-round-trip", 10, 1000, ping());
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);

	ring("switch-2", 1);
	ring("switch-1000", 999);
	return 0;
}
