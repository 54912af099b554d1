/* The alternate signal stack, as a handler that runs on it sees it. */
#include "process.h"
#include <setjmp.h>
#include <signal.h>

#ifndef SS_AUTODISARM
#define SS_AUTODISARM (1U << 31)
#endif

static char one[65536], other[65536];
static sigjmp_buf env;
static int depth, jump;

static void show(const char *where)
{
	stack_t now;

	MUST(sigaltstack(NULL, &now) == 0);
	printf("%s: %s, flags %x, size %zu, on it %d\n", where,
	       now.ss_sp == one ? "one" : now.ss_sp == other ? "other" : now.ss_sp ? "?" : "none", now.ss_flags,
	       now.ss_size, (char *)&now >= one && (char *)&now < one + sizeof one);
}

static void handler(int sig, siginfo_t *info, void *context)
{
	ucontext_t *interrupted = context;
	stack_t change = { .ss_sp = other, .ss_size = sizeof other }, off = { .ss_flags = SS_DISABLE };

	show(sig == SIGUSR1 ? "USR1" : "USR2");
	printf("saved: flags %x, size %zu\n", interrupted->uc_stack.ss_flags, interrupted->uc_stack.ss_size);
	SAY(sigaltstack(&change, NULL));
	SAY(sigaltstack(&off, NULL));
	show("after");
	if (sig == SIGUSR1 && depth++ == 0)
		raise(SIGUSR2);
	if (jump)
		siglongjmp(env, 1);
}

int main(void)
{
	struct sigaction sa = { .sa_sigaction = handler, .sa_flags = SA_SIGINFO | SA_ONSTACK };
	stack_t set = { .ss_sp = one, .ss_size = sizeof one };

	LINES();
	show("at first");
	sigaction(SIGUSR1, &sa, NULL);
	sigaction(SIGUSR2, &sa, NULL);
	SAY(sigaltstack(&set, NULL));
	raise(SIGUSR1);
	show("after the handlers");

	/* out of a handler by a jump */
	jump = 1;
	if (!sigsetjmp(env, 1))
		raise(SIGUSR2);
	jump = 0;
	show("after the jump");
	set.ss_sp = other;
	SAY(sigaltstack(&set, NULL));
	show("changed");
	set.ss_sp = one;
	SAY(sigaltstack(&set, NULL));

	/* a handler on the ordinary stack may change it; what it was comes back */
	sa.sa_flags = SA_SIGINFO;
	sigaction(SIGUSR2, &sa, NULL);
	raise(SIGUSR2);
	show("after a handler that changed it");

	/* taken away while a handler runs, so that it may be set there; given back after it */
	set.ss_flags = SS_AUTODISARM;
	SAY(sigaltstack(&set, NULL));
	sa.sa_flags = SA_SIGINFO | SA_ONSTACK;
	sigaction(SIGUSR2, &sa, NULL);
	raise(SIGUSR2);
	show("armed again");

	set.ss_flags = 0;
	set.ss_size = 100;
	SAY(sigaltstack(&set, NULL));
	set.ss_size = sizeof one;
	set.ss_flags = 77;
	SAY(sigaltstack(&set, NULL));
	return 0;
}
