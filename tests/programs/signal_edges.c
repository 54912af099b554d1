/*
 * Jumps out of handlers that interrupt functions at their first and last instructions: the frame is
 * not there, or not any more.
 */
#include "process.h"
#include <setjmp.h>
#include <sys/time.h>

static sigjmp_buf env;
static volatile unsigned sink;
static volatile sig_atomic_t over;

static int __attribute__((noinline)) short_one(int a)
{
	return a * 3 + 1;
}

static int __attribute__((noinline)) stores(int a)
{
	sink = a;
	return a ^ 5;
}

static void jumps(int signal)
{
	if (!over)
		siglongjmp(env, signal);
}

int main(void)
{
	struct sigaction sa = { .sa_handler = jumps };
	struct itimerval often = { { 0, 300 }, { 0, 300 } };
	volatile int jumped = 0;

	LINES();
	sigaction(SIGALRM, &sa, NULL);
	/* before the first signal */
	if (sigsetjmp(env, 1))
		jumped++;
	MUST(setitimer(ITIMER_REAL, &often, NULL) == 0);
	while (jumped < 2000) {
		if (sigsetjmp(env, 1))
			jumped++;
		else
			for (int k = 0;;)
				k = stores(short_one(k) + short_one(k + 1));
	}
	over = 1;
	/* one more may have come before that */
	SAY(jumped >= 2000);
	return 0;
}
