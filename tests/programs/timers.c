/*
 * Timers that signal: alarm, setitimer, timer_create, timerfd; overruns, and signals to one thread.
 */
#include "process.h"
#include <pthread.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/timerfd.h>
#include <time.h>

static volatile sig_atomic_t count, code, value;

static void tick(int signal, siginfo_t *info, void *context)
{
	(void)signal;
	(void)context;
	count++;
	code = info->si_code;
	value = info->si_value.sival_int;
}

static long long now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000ll + ts.tv_nsec / 1000000;
}

static void wait_for(int n)
{
	while (count < n)
		usleep(500);
}

static void notify(union sigval v)
{
	value = v.sival_int;
	count++;
}

int main(void)
{
	struct sigaction sa = { .sa_sigaction = tick, .sa_flags = SA_SIGINFO | SA_RESTART };
	struct itimerval it = { { 0, 5000 }, { 0, 5000 } }, was;
	long long start;

	LINES();
	sigaction(SIGALRM, &sa, NULL);
	sigaction(SIGUSR1, &sa, NULL);
	sigaction(SIGVTALRM, &sa, NULL);
	sigaction(SIGPROF, &sa, NULL);
	SAY(alarm(100));
	SAY(alarm(1));
	start = now_ms();
	wait_for(1);
	SAY(now_ms() - start >= 900);
	SAY(code == SI_KERNEL);
	SAY(alarm(0));
	count = 0;
	start = now_ms();
	SAY(setitimer(ITIMER_REAL, &it, NULL));
	wait_for(10);
	SAY(now_ms() - start >= 45);
	it = (struct itimerval){ { 0, 0 }, { 0, 0 } };
	SAY(setitimer(ITIMER_REAL, &it, &was));
	SAY(was.it_interval.tv_usec);
	SAY(getitimer(ITIMER_REAL, &was));
	SAY(was.it_value.tv_sec + was.it_value.tv_usec);
	SAY(setitimer(9, &it, NULL));
	it.it_value.tv_usec = 1000000;
	SAY(setitimer(ITIMER_REAL, &it, NULL));
	/* time on the processor */
	count = 0;
	it = (struct itimerval){ { 0, 0 }, { 0, 20000 } };
	SAY(setitimer(ITIMER_VIRTUAL, &it, NULL));
	while (!count)
		for (volatile int i = 0; i < 100000; i++)
			if (i % 1000 == 0)
				syscall(SYS_getppid);
	count = 0;
	SAY(setitimer(ITIMER_PROF, &it, NULL));
	while (!count)
		syscall(SYS_getppid);

	/* POSIX timers */
	timer_t t;
	struct sigevent ev = { .sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR1, .sigev_value.sival_int = 321 };
	struct itimerspec ts = { { 0, 3000000 }, { 0, 3000000 } }, old;
	SAY(timer_create(CLOCK_MONOTONIC, &ev, &t));
	count = 0;
	SAY(timer_settime(t, 0, &ts, NULL));
	wait_for(5);
	SAY(code == SI_TIMER && value == 321);
	SAY(timer_gettime(t, &old));
	SAY(old.it_interval.tv_nsec);
	/* blocked: it overruns */
	sigset_t set;
	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	sigprocmask(SIG_BLOCK, &set, NULL);
	pause_ms(40);
	count = 0;
	sigprocmask(SIG_UNBLOCK, &set, NULL);
	SAY(count >= 1);
	SAY(timer_getoverrun(t) >= 0);
	ts = (struct itimerspec){ { 0, 0 }, { 0, 0 } };
	SAY(timer_settime(t, 0, &ts, NULL));
	SAY(timer_delete(t));
	ev.sigev_notify = SIGEV_NONE;
	SAY(timer_create(CLOCK_REALTIME, &ev, &t));
	ts.it_value.tv_sec = 100;
	SAY(timer_settime(t, 0, &ts, NULL));
	SAY(timer_gettime(t, &old));
	SAY(old.it_value.tv_sec == 99 || old.it_value.tv_sec == 100);
	SAY(timer_delete(t));
	ev = (struct sigevent){ .sigev_notify = SIGEV_THREAD, .sigev_notify_function = notify, .sigev_value.sival_int = 55 };
	SAY(timer_create(CLOCK_MONOTONIC, &ev, &t));
	count = value = 0;
	ts = (struct itimerspec){ { 0, 2000000 }, { 0, 2000000 } };
	SAY(timer_settime(t, 0, &ts, NULL));
	wait_for(3);
	SAY(value);
	SAY(timer_delete(t));
	SAY(timer_create(99, NULL, &t));

	/* as files */
	int fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK);
	uint64_t n;
	SAY(fd > 2);
	SAY(read(fd, &n, 8));
	ts = (struct itimerspec){ { 0, 2000000 }, { 0, 2000000 } };
	SAY(timerfd_settime(fd, 0, &ts, NULL));
	pause_ms(30);
	SAY(read(fd, &n, 8));
	SAY(n >= 10);
	struct timespec at;
	clock_gettime(CLOCK_MONOTONIC, &at);
	ts = (struct itimerspec){ { 0, 0 }, at };
	SAY(timerfd_settime(fd, TFD_TIMER_ABSTIME, &ts, &old));
	SAY(old.it_interval.tv_nsec);
	SAY(read(fd, &n, 8));
	SAY(n);
	SAY(read(fd, &n, 4));
	/* not inherited */
	it = (struct itimerval){ { 0, 0 }, { 100, 0 } };
	setitimer(ITIMER_REAL, &it, NULL);
	IN_CHILD(getitimer(ITIMER_REAL, &was); printf("%d\n", (int)was.it_value.tv_sec));
	SAY(alarm(0) > 90);
	return 0;
}
