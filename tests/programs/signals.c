/*
 * sigaction's flags, masks, nesting, siginfo, alternate stacks, waiting for signals, EINTR and
 * restart; all of it in code that makes system calls.
 */
#include "process.h"
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <ucontext.h>

static volatile sig_atomic_t depth, count, last;
static char trace[500];

static void record(const char *text)
{
	strcat(trace, text);
	strcat(trace, " ");
}

static void said(const char *what)
{
	printf("%s: %s\n", what, trace);
	trace[0] = 0;
}

static void simple(int signal)
{
	char text[20];

	sprintf(text, "%d", signal);
	record(text);
	count++;
	last = signal;
}

static void nests(int signal)
{
	char text[30];

	sprintf(text, "(%d", signal);
	record(text);
	if (signal == SIGUSR1 && depth++ < 3)
		raise(depth % 2 ? SIGUSR2 : SIGUSR1);
	record(")");
}

static siginfo_t info;
static int blocked_in_handler;
static void *stack_in_handler;

static void full(int signal, siginfo_t *i, void *context)
{
	sigset_t mask;
	char here;

	info = *i;
	sigprocmask(SIG_BLOCK, NULL, &mask);
	blocked_in_handler = sigismember(&mask, signal) + 2 * sigismember(&mask, SIGTERM) + 4 * sigismember(&((ucontext_t *)context)->uc_sigmask, SIGHUP);
	stack_in_handler = &here;
	count++;
}

static void unblocks(int signal, siginfo_t *i, void *context)
{
	(void)i;
	/* what is blocked when the handler returns is in the context */
	sigaddset(&((ucontext_t *)context)->uc_sigmask, SIGHUP);
	simple(signal);
}

static void install(int signal, void (*handler)(int), int flags)
{
	struct sigaction sa = { .sa_handler = handler, .sa_flags = flags };

	sigemptyset(&sa.sa_mask);
	MUST(sigaction(signal, &sa, NULL) == 0);
}

static void install_full(int signal, void (*handler)(int, siginfo_t *, void *), int flags)
{
	struct sigaction sa = { .sa_sigaction = handler, .sa_flags = flags | SA_SIGINFO };

	sigemptyset(&sa.sa_mask);
	sigaddset(&sa.sa_mask, SIGTERM);
	MUST(sigaction(signal, &sa, NULL) == 0);
}

static sigjmp_buf env;

static void jumps(int signal)
{
	siglongjmp(env, signal);
}

static void errno_changer(int signal)
{
	(void)signal;
	errno = ERANGE;
}

/* A child that sends a signal after so long, and not before we sleep: however late we get to it. */
static pid_t kicker(int signal, int ms)
{
	pid_t child, me = getpid();

	CHILD(child, pause_ms(ms); until_asleep(me); kill(me, signal));
	return child;
}

/* Waits for the child without the EINTR that its end may bring. */
static void reap(pid_t child)
{
	MUST(!strcmp(fate_of(child), "exit 0"));
}

int main(void)
{
	sigset_t set, old, pending;
	struct sigaction sa;
	struct timespec ts = { 0, 5000000 };
	int p[2], n;
	char c;
	pid_t child;

	LINES();
	/* flags */
	install(SIGUSR1, simple, 0);
	raise(SIGUSR1);
	raise(SIGUSR1);
	said("twice");
	install(SIGUSR1, simple, SA_RESETHAND);
	raise(SIGUSR1);
	sigaction(SIGUSR1, NULL, &sa);
	SAY(sa.sa_handler == SIG_DFL);
	said("once");
	install(SIGUSR1, nests, 0);
	install(SIGUSR2, nests, 0);
	depth = 0;
	raise(SIGUSR1);
	said("nested, blocked while they run");
	install(SIGUSR1, nests, SA_NODEFER);
	install(SIGUSR2, nests, SA_NODEFER);
	depth = 0;
	raise(SIGUSR1);
	said("nested, not deferred");
	SAY(sigaction(SIGKILL, &(struct sigaction){ .sa_handler = simple }, NULL));
	SAY(sigaction(SIGSTOP, &(struct sigaction){ .sa_handler = SIG_IGN }, NULL));
	SAY(sigaction(0, NULL, &sa));
	SAY(sigaction(65, NULL, &sa));

	/* masks */
	install(SIGUSR1, simple, 0);
	install(SIGUSR2, simple, 0);
	install(SIGTERM, simple, 0);
	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	sigaddset(&set, SIGUSR2);
	SAY(sigprocmask(SIG_BLOCK, &set, &old));
	raise(SIGUSR2);
	raise(SIGUSR1);
	raise(SIGUSR1);
	said("blocked");
	SAY(sigpending(&pending));
	printf("%d %d %d\n", sigismember(&pending, SIGUSR1), sigismember(&pending, SIGUSR2), sigismember(&pending, SIGTERM));
	sigwait(&set, &n);
	SAY(n);
	SAY(sigprocmask(SIG_SETMASK, &old, NULL));
	said("unblocked");
	SAY(sigprocmask(77, &set, NULL));
	sigfillset(&set);
	SAY(sigprocmask(SIG_SETMASK, &set, NULL));
	sigprocmask(SIG_BLOCK, NULL, &set);
	printf("%d %d\n", sigismember(&set, SIGKILL), sigismember(&set, SIGSTOP));
	sigprocmask(SIG_SETMASK, &old, NULL);

	/* siginfo */
	install_full(SIGUSR1, full, 0);
	kill(getpid(), SIGUSR1);
	printf("%d %d %d %d blocked %d\n", info.si_signo, info.si_code, info.si_pid == getpid(), info.si_uid, blocked_in_handler);
	raise(SIGUSR1);
	printf("%d %d\n", info.si_code, info.si_pid == getpid());
	sigqueue(getpid(), SIGUSR1, (union sigval){ .sival_int = 12345 });
	printf("%d %d\n", info.si_code, info.si_value.sival_int);
	child = kicker(SIGUSR1, 1);
	while (info.si_pid != child)
		usleep(500);
	printf("%d\n", info.si_code);
	reap(child);
	install_full(SIGCHLD, full, 0);
	CHILD(child, _exit(9));
	while (info.si_signo != SIGCHLD)
		usleep(500);
	printf("%d %d %d\n", info.si_code, info.si_status, info.si_pid == child);
	fate_of(child);
	signal(SIGCHLD, SIG_DFL);
	/* real-time signals queue, in order, lower numbers first */
	sigemptyset(&set);
	for (int i = 0; i < 3; i++) {
		sigaddset(&set, SIGRTMIN + i);
		install_full(SIGRTMIN + i, full, 0);
	}
	sigprocmask(SIG_BLOCK, &set, &old);
	for (int i = 0; i < 9; i++)
		SAY(sigqueue(getpid(), SIGRTMIN + 2 - i % 3, (union sigval){ .sival_int = i }));
	for (int i = 0; i < 9; i++) {
		MUST(sigwaitinfo(&set, &info) >= SIGRTMIN);
		printf("%d/%d ", info.si_signo - SIGRTMIN, info.si_value.sival_int);
	}
	puts("");
	sigprocmask(SIG_SETMASK, &old, NULL);
	install_full(SIGUSR2, unblocks, 0);
	raise(SIGUSR2);
	sigprocmask(SIG_BLOCK, NULL, &set);
	SAY(sigismember(&set, SIGHUP));
	install_full(SIGUSR1, full, 0);
	raise(SIGUSR1);
	printf("blocked %d\n", blocked_in_handler);
	sigprocmask(SIG_SETMASK, &old, NULL);
	trace[0] = 0;

	/* another stack */
	size_t size = 1 << 16;
	stack_t ss = { .ss_sp = malloc(size), .ss_size = size }, now;
	SAY(sigaltstack(&ss, NULL));
	install_full(SIGUSR1, full, SA_ONSTACK);
	raise(SIGUSR1);
	SAY((char *)stack_in_handler > (char *)ss.ss_sp && (char *)stack_in_handler < (char *)ss.ss_sp + size);
	install_full(SIGUSR1, full, 0);
	raise(SIGUSR1);
	SAY((char *)stack_in_handler > (char *)ss.ss_sp && (char *)stack_in_handler < (char *)ss.ss_sp + size);
	SAY(sigaltstack(NULL, &now));
	SAY(now.ss_sp == ss.ss_sp && now.ss_size == size && now.ss_flags == 0);
	ss.ss_size = 100;
	SAY(sigaltstack(&ss, NULL));
	ss.ss_flags = SS_DISABLE;
	SAY(sigaltstack(&ss, NULL));
	SAY(sigaltstack(NULL, &now));
	SAY(now.ss_flags == SS_DISABLE);

	/* interrupted or restarted */
	MUST(pipe(p) == 0);
	install(SIGUSR1, simple, 0);
	child = kicker(SIGUSR1, 10);
	SAY(read(p[0], &c, 1));
	reap(child);
	install(SIGUSR1, simple, SA_RESTART);
	CHILD(child, {
		until_asleep(getppid());
		kill(getppid(), SIGUSR1);
		until_asleep(getppid());
		write(p[1], "r", 1);
	});
	SAY(read(p[0], &c, 1));
	reap(child);
	said("read");
	struct pollfd fd = { p[0], POLLIN, 0 };
	child = kicker(SIGUSR1, 10);
	SAY(poll(&fd, 1, 60000));
	reap(child);
	child = kicker(SIGUSR1, 10);
	struct timespec minute = { 60, 0 }, left = { 0, 0 };
	SAY(nanosleep(&minute, &left));
	SAY(left.tv_sec > 0 && left.tv_nsec > 0);
	reap(child);
	child = kicker(SIGUSR1, 10);
	SAY(pause());
	reap(child);
	child = kicker(SIGUSR1, 10);
	SAY(clock_nanosleep(CLOCK_MONOTONIC, 0, &minute, NULL) == EINTR);
	reap(child);
	trace[0] = 0;
	/* ignored signals interrupt nothing */
	signal(SIGUSR1, SIG_IGN);
	child = kicker(SIGUSR1, 5);
	ts = (struct timespec){ 0, 20000000 };
	SAY(nanosleep(&ts, NULL));
	reap(child);
	/* stop and continue restart what sleeps */
	CHILD(child, {
		ts = (struct timespec){ 0, 50000000 };
		_exit(nanosleep(&ts, NULL) == 0 ? 5 : 6);
	});
	pause_ms(10);
	kill(child, SIGSTOP);
	pause_ms(10);
	kill(child, SIGCONT);
	puts(fate_of(child));
	/* wait() with and without restart */
	install(SIGUSR1, simple, 0);
	CHILD(child, until_asleep(getppid()); kill(getppid(), SIGUSR1); until_asleep(getppid()));
	SAY(waitpid(child, NULL, 0));
	SAY(waitpid(child, NULL, 0) == child);
	install(SIGUSR1, errno_changer, SA_RESTART);
	CHILD(child, until_asleep(getppid()); kill(getppid(), SIGUSR1); until_asleep(getppid()));
	SAY(waitpid(child, NULL, 0) == child);
	trace[0] = 0;
	/* a write of which a part is done */
	install(SIGUSR1, simple, 0);
	child = kicker(SIGUSR1, 30);
	fcntl(p[1], F_SETFL, 0);
	size_t much = 4 << 20;
	char *bytes = calloc(1, much);
	ssize_t w = write(p[1], bytes, much);
	SAY(w > 0 && w < (ssize_t)much);
	reap(child);
	close(p[0]);
	close(p[1]);

	/* waiting */
	trace[0] = 0;
	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	sigaddset(&set, SIGUSR2);
	install(SIGUSR2, simple, 0);
	sigprocmask(SIG_BLOCK, &set, &old);
	raise(SIGUSR1);
	SAY(sigsuspend(&old));
	said("suspended");
	raise(SIGUSR2);
	SAY(sigwait(&set, &n));
	SAY(n);
	ts = (struct timespec){ 0, 1000000 };
	SAY(sigtimedwait(&set, &info, &ts));
	child = kicker(SIGUSR1, 10);
	SAY(sigwaitinfo(&set, &info));
	SAY(info.si_pid == child && info.si_code == SI_USER);
	reap(child);
	child = kicker(SIGUSR2, 10);
	memset(&fd, 0, sizeof fd);
		SAY(ppoll(NULL, 0, &minute, &old));
	said("ppoll");
	reap(child);
	/* as a file */
	int sfd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
	struct signalfd_siginfo si;
	SAY(sfd > 2);
	SAY(read(sfd, &si, sizeof si));
	sigqueue(getpid(), SIGUSR2, (union sigval){ .sival_int = 77 });
	fd = (struct pollfd){ sfd, POLLIN, 0 };
	SAY(poll(&fd, 1, 0));
	SAY(read(sfd, &si, sizeof si));
	printf("%u %d %d %d\n", si.ssi_signo, si.ssi_code, si.ssi_int, si.ssi_pid == (uint32_t)getpid());
	SAY(read(sfd, &si, 10));
	close(sfd);
	sigprocmask(SIG_SETMASK, &old, NULL);

	/* out of handlers by a jump: a thousand times, with and without the mask */
	install(SIGUSR1, jumps, 0);
	volatile int jumped = 0;
	for (volatile int i = 0; i < 1000; i++) {
		if (sigsetjmp(env, 1) == 0)
			raise(SIGUSR1);
		else
			jumped++;
	}
	SAY(jumped);
	sigprocmask(SIG_BLOCK, NULL, &set);
	SAY(sigismember(&set, SIGUSR1));
	/* out of a blocked call */
	child = kicker(SIGUSR1, 10);
	if (sigsetjmp(env, 1) == 0) {
		sleep(60);
		puts("not reached");
	} else {
		puts("out of sleep");
	}
	reap(child);
	/* fork and exec and the mask */
	sigemptyset(&set);
	sigaddset(&set, SIGHUP);
	sigprocmask(SIG_BLOCK, &set, NULL);
	raise(SIGHUP);
	IN_CHILD({
		sigpending(&pending);
		sigprocmask(SIG_BLOCK, NULL, &set);
		printf("%d %d\n", sigismember(&set, SIGHUP), sigismember(&pending, SIGHUP));
	});
	/* default actions */
	int fatal[] = { SIGHUP, SIGINT, SIGQUIT, SIGILL, SIGABRT, SIGBUS, SIGFPE, SIGKILL, SIGUSR1, SIGSEGV, SIGUSR2, SIGPIPE, SIGALRM, SIGTERM, SIGSTKFLT, SIGXCPU, SIGXFSZ, SIGVTALRM, SIGPROF, SIGIO, SIGPWR, SIGSYS };
	for (size_t i = 0; i < countof(fatal); i++)
		IN_CHILD({
			signal(fatal[i], SIG_DFL);
			sigemptyset(&set);
			sigprocmask(SIG_SETMASK, &set, NULL);
			raise(fatal[i]);
		});
	int harmless[] = { SIGCHLD, SIGCONT, SIGURG, SIGWINCH };
	for (size_t i = 0; i < countof(harmless); i++)
		IN_CHILD(raise(harmless[i]));
	/* permission */
	IN_CHILD({
		MUST(setuid(12345) == 0);
		SAY(kill(1, 0));
		SAY(kill(getppid(), SIGTERM));
		SAY(kill(999999, 0));
		SAY(kill(getpid(), 0));
		SAY(kill(getpid(), 99));
	});
	return 0;
}
