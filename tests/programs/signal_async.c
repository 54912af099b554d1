/*
 * Signals to code that makes no system call: handlers, jumps out of them, timers, masks, default
 * actions, threads, preemption.
 */
#include "process.h"
#include <pthread.h>
#include <setjmp.h>
#include <sys/time.h>
#include <time.h>

static volatile sig_atomic_t count, last;
static volatile uint64_t state;
static sigjmp_buf env;

/*
 * Computes without end or call until a handler has set the flag. (Loops that store nothing are in
 * volatile_spin.c.)
 */
static uint64_t __attribute__((noinline)) compute_until(volatile sig_atomic_t *flag, int n)
{
	uint64_t x = 88172645463325252ull;

	while (*flag < n) {
		for (int i = 0; i < 1000; i++) {
			x ^= x << 13;
			x ^= x >> 7;
			x ^= x << 17;
		}
		state = x;
	}
	return x;
}

static void handler(int signal)
{
	last = signal;
	count++;
}

static void full(int signal, siginfo_t *info, void *context)
{
	(void)context;
	last = signal == info->si_signo ? info->si_value.sival_int : -1;
	count++;
}

static void jumps(int signal)
{
	siglongjmp(env, signal);
}

static void exits(int signal)
{
	_exit(signal);
}

static void nests(int signal)
{
	if (signal == SIGALRM) {
		raise(SIGUSR2);
		/* blocked while it runs */
		if (count < 5)
			raise(SIGALRM);
	}
	count++;
	last = signal;
}

/* Floating point, locals and memory must come through handlers unharmed. */
static double __attribute__((noinline)) series(int n)
{
	double sum = 0, a[16];

	for (int i = 0; i < 16; i++)
		a[i] = i;
	for (int k = 1; k <= n; k++) {
		sum += a[k & 15] / k;
		a[k & 15] = a[(k + 1) & 15] + 1.0 / k;
	}
	return sum;
}

static void every_ms(int ms)
{
	struct itimerval it = { { 0, ms * 1000 }, { 0, ms * 1000 } };

	MUST(setitimer(ITIMER_REAL, &it, NULL) == 0);
}

static volatile sig_atomic_t in_thread;
static pthread_t target;

static void thread_handler(int signal)
{
	(void)signal;
	MUST(pthread_equal(pthread_self(), target));
	in_thread++;
}

static void *computes(void *arg)
{
	compute_until(&in_thread, 20);
	return arg;
}

static volatile sig_atomic_t stop;

static void *spins(void *arg)
{
	compute_until(&stop, 1);
	return arg;
}

static void sets_stop(int signal)
{
	(void)signal;
	stop = 1;
}

int main(void)
{
	struct sigaction sa = { .sa_handler = handler };
	pid_t child, me = getpid();

	LINES();
	/* from a timer */
	sigaction(SIGALRM, &sa, NULL);
	double quiet = series(20000000);
	every_ms(2);
	compute_until(&count, 20);
	printf("timer: %d\n", last);
	double noisy = series(20000000);
	every_ms(0);
	SAY(quiet == noisy);
	/* from another process */
	sa.sa_flags = SA_SIGINFO;
	sa.sa_sigaction = full;
	sigaction(SIGUSR1, &sa, NULL);
	count = 0;
	CHILD(child, {
		for (int i = 1; i <= 50; i++) {
			sigqueue(me, SIGUSR1, (union sigval){ .sival_int = i });
			pause_ms(1);
		}
		for (;;) {
			sigqueue(me, SIGUSR1, (union sigval){ .sival_int = 50 });
			pause_ms(1);
		}
	});
	compute_until(&count, 50);
	kill(child, SIGKILL);
	puts(fate_of(child));
	/* jumps */
	sa.sa_flags = 0;
	sa.sa_handler = jumps;
	sigaction(SIGALRM, &sa, NULL);
	volatile int jumped = 0;
	/* before the first signal */
	if (sigsetjmp(env, 1))
		jumped++;
	every_ms(1);
	for (volatile int i = 0; i < 100; i++) {
		if (sigsetjmp(env, 1))
			jumped++;
		else
			compute_until(&stop, 1);
	}
	every_ms(0);
	/* one more may have come before that */
	SAY(jumped >= 100);
	/* nested, with a call in the handler */
	sa.sa_handler = nests;
	sigaction(SIGALRM, &sa, NULL);
	sigaction(SIGUSR2, &sa, NULL);
	count = 0;
	every_ms(3);
	compute_until(&count, 20);
	every_ms(0);
	puts("nested");
	/* on another stack */
	stack_t ss = { .ss_sp = malloc(1 << 17), .ss_size = 1 << 17 };
	SAY(sigaltstack(&ss, NULL));
	sa.sa_handler = handler;
	sa.sa_flags = SA_ONSTACK | SA_RESTART;
	sigaction(SIGALRM, &sa, NULL);
	count = 0;
	every_ms(1);
	compute_until(&count, 10);
	every_ms(0);
	puts("alternate stack");
	/* blocked, it waits */
	sigset_t set, old;
	sigemptyset(&set);
	sigaddset(&set, SIGALRM);
	sigprocmask(SIG_BLOCK, &set, &old);
	count = 0;
	every_ms(1);
	volatile double sum = series(5000000);
	every_ms(0);
	(void)sum;
	SAY(count);
	sigprocmask(SIG_SETMASK, &old, NULL);
	SAY(count);
	/* default actions on a loop */
	int fatal[] = { SIGTERM, SIGKILL, SIGINT, SIGUSR1, SIGXCPU, SIGSEGV };
	for (size_t i = 0; i < countof(fatal); i++) {
		/* before the fork: a child may be late */
		signal(fatal[i], SIG_DFL);
		CHILD(child, for (;;));
		pause_ms(10);
		kill(child, fatal[i]);
		puts(fate_of(child));
	}
	/* an exit from the handler */
	signal(SIGTERM, exits);
	CHILD(child, for (;;));
	pause_ms(20);
	kill(child, SIGTERM);
	puts(fate_of(child));
	/* stopped and continued while it computes */
	signal(SIGUSR2, sets_stop);
	CHILD(child, compute_until(&stop, 1); _exit(4));
	int status;
	pause_ms(10);
	kill(child, SIGSTOP);
	SAY(waitpid(child, &status, WUNTRACED) == child);
	puts(fate(status));
	kill(child, SIGCONT);
	SAY(waitpid(child, &status, WCONTINUED) == child);
	kill(child, SIGUSR2);
	puts(fate_of(child));
	/* to a thread that computes */
	sa.sa_handler = thread_handler;
	sa.sa_flags = 0;
	sigaction(SIGUSR1, &sa, NULL);
	pthread_create(&target, NULL, computes, NULL);
	while (in_thread < 20) {
		pthread_kill(target, SIGUSR1);
		usleep(1000);
	}
	SAY(pthread_join(target, NULL));
	/* more loops than processors do not stop the others */
	pid_t loops[6];
	for (int i = 0; i < 6; i++)
		CHILD(loops[i], for (;;));
	int n = 0;
	for (int i = 0; i < 20; i++) {
		IN_CHILD();
		n++;
	}
	for (int i = 0; i < 6; i++) {
		kill(loops[i], SIGKILL);
		MUST(!strcmp(fate_of(loops[i]), "signal 9"));
	}
	SAY(n);
	/* exit with threads that compute */
	IN_CHILD({
		pthread_t t;
		stop = 0;
		for (int i = 0; i < 3; i++)
			pthread_create(&t, NULL, spins, NULL);
		pause_ms(10);
		_exit(12);
	});
	/* a limit of the processor's time */
	IN_CHILD({
		signal(SIGVTALRM, SIG_DFL);
		struct itimerval it = { { 0, 0 }, { 0, 50000 } };
		setitimer(ITIMER_VIRTUAL, &it, NULL);
		for (;;)
			state++;
	});
	return 0;
}
