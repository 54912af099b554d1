/* Callbacks that are defined in other ways than they are called, as old programs have them. */
#include "common.h"
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

static volatile int called;

static void without()
{
	called++;
}

static int with_result(int signal)
{
	called += signal;
	return 7;
}

static void with_one(int signal)
{
	called += 100 * signal;
}

static void with_all(int signal, siginfo_t *info, void *context)
{
	called += info->si_signo == signal && context;
}

static void thread_without()
{
	called += 1000;
}

static void thread_without_result(void *argument)
{
	called += *(int *)argument;
}

static void *thread_without_argument()
{
	return (void *)&called;
}

static int compare(const void *a, const void *b)
{
	return *(const int *)a - *(const int *)b;
}

static void run(void *function, void *argument)
{
	pthread_t thread;

	pthread_create(&thread, NULL, (void *(*)(void *))function, argument);
	pthread_join(thread, NULL);
	printf("%d\n", called);
}

static void handled(void *function, int flags)
{
	struct sigaction action = { .sa_flags = flags };

	if (flags & SA_SIGINFO)
		action.sa_sigaction = (void (*)(int, siginfo_t *, void *))function;
	else
		action.sa_handler = (void (*)(int))function;
	sigaction(SIGUSR1, &action, NULL);
	raise(SIGUSR1);
	printf("%d\n", called);
}

int main(void)
{
	int number = 10000, numbers[] = { 3, 1, 2 };
	pthread_t thread;
	void *result;

	handled((void *)without, 0);
	handled((void *)without, SA_SIGINFO);
	handled((void *)with_result, 0);
	handled((void *)with_one, 0);
	handled((void *)with_one, SA_SIGINFO);
	handled((void *)with_all, SA_SIGINFO);
	run((void *)thread_without, NULL);
	run((void *)thread_without_result, &number);
	pthread_create(&thread, NULL, (void *(*)(void *))thread_without_argument, NULL);
	pthread_join(thread, &result);
	printf("%d\n", result == &called);
	qsort(numbers, 3, sizeof *numbers, compare);
	printf("%d %d %d\n", numbers[0], numbers[1], numbers[2]);
	return 0;
}
