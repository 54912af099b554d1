/* Runs a command whose signals are blocked, or ignored, as who starts it may have left them. */
#include "common.h"
#include <signal.h>

int main(int argc, char **argv)
{
	sigset_t set;

	MUST(argc > 2);
	sigfillset(&set);
	if (!strcmp(argv[1], "block")) {
		MUST(sigprocmask(SIG_BLOCK, &set, NULL) == 0);
	} else {
		/* Those of the test's own harness stay. */
		for (int signal = 1; signal <= SIGRTMAX; signal++)
			if (signal != SIGCHLD && signal != SIGTERM)
				sigaction(signal, &(struct sigaction){ .sa_handler = SIG_IGN }, NULL);
	}
	execvp(argv[2], argv + 2);
	MUST(!"executed");
}
