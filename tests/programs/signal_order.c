/*
 * Signals that are due together: all their handlers begin before any returns, the last one first.
 */
#include "process.h"

static char trace[300];

static void handler(int signal)
{
	char text[30];
	sigset_t mask;

	/* before any system call, at whose end more could be delivered */
	sprintf(text, "(%d,", signal);
	strcat(trace, text);
	sigprocmask(SIG_BLOCK, NULL, &mask);
	sprintf(text, "%d%d%d) ", sigismember(&mask, SIGUSR1), sigismember(&mask, SIGUSR2), sigismember(&mask, SIGTERM));
	strcat(trace, text);
}

int main(void)
{
	struct sigaction sa = { .sa_handler = handler };
	sigset_t set, old;

	sigaction(SIGUSR1, &sa, NULL);
	sigaction(SIGUSR2, &sa, NULL);
	sigaction(SIGTERM, &sa, NULL);
	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	sigaddset(&set, SIGUSR2);
	sigaddset(&set, SIGTERM);
	sigprocmask(SIG_BLOCK, &set, &old);
	raise(SIGTERM);
	raise(SIGUSR2);
	raise(SIGUSR1);
	sigprocmask(SIG_SETMASK, &old, NULL);
	puts(trace);
	trace[0] = 0;
	/* the masks of the interrupted handlers, not those of the later ones */
	sigaddset(&sa.sa_mask, SIGUSR1);
	sigaction(SIGUSR2, &sa, NULL);
	sigprocmask(SIG_BLOCK, &set, &old);
	raise(SIGUSR2);
	raise(SIGUSR1);
	raise(SIGTERM);
	sigsuspend(&old);
	puts(trace);
	sigprocmask(SIG_BLOCK, NULL, &set);
	SAY(sigismember(&set, SIGUSR1) + sigismember(&set, SIGUSR2));
	return 0;
}
