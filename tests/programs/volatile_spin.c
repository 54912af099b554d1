/* A loop that only reads a volatile variable, which a handler changes. */
#include "process.h"
#include <sys/time.h>

static volatile sig_atomic_t count;

static void handler(int signal)
{
	(void)signal;
	count++;
}

int main(void)
{
	struct itimerval it = { { 0, 2000 }, { 0, 2000 } };

	signal(SIGALRM, handler);
	MUST(setitimer(ITIMER_REAL, &it, NULL) == 0);
	while (count < 20)
		;
	puts("ended");
	return 0;
}
