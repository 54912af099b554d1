/*
 * wait4 and waitid in all forms, zombies, orphans, subreapers, SIGCHLD ignored, exit of processes
 * with threads.
 */
#include "process.h"
#include <pthread.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#ifndef P_PIDFD
#define P_PIDFD 3
#endif

static pid_t sleeper(int status)
{
	pid_t child;

	CHILD(child, for (;;) pause(); _exit(status));
	return child;
}

static pid_t ender(int status)
{
	pid_t child;

	CHILD(child, _exit(status));
	return child;
}

static void show(siginfo_t *info, pid_t pid)
{
	printf("signo %d code %d status %d pid %d\n", info->si_signo, info->si_code, info->si_status, info->si_pid == pid);
}

static void *sleeping(void *arg)
{
	for (;;)
		pause();
	return arg;
}

static void *exits(void *arg)
{
	pause_ms(5);
	exit((int)(intptr_t)arg);
}

static void *outlives(void *arg)
{
	pause_ms(20);
	puts("a thread after the leader");
	fflush(stdout);
	_exit((int)(intptr_t)arg);
}

int main(void)
{
	int status, p[2];
	pid_t a, b;
	siginfo_t info;
	struct rusage usage;

	LINES();
	SAY(wait(&status));
	a = ender(7);
	SAY(waitpid(a, NULL, 0) == a);
	SAY(waitpid(a, NULL, 0));
	SAY(waitpid(1, NULL, 0));
	SAY(waitpid(-12345, NULL, 0));
	a = sleeper(0);
	SAY(waitpid(a, &status, WNOHANG));
	SAY(waitpid(-1, &status, WNOHANG));
	SAY(waitpid(a, &status, 0x7000));
	/* stop, continue, kill */
	SAY(kill(a, SIGSTOP));
	SAY(waitpid(a, &status, WUNTRACED) == a);
	puts(fate(status));
	SAY(waitpid(a, &status, WUNTRACED | WNOHANG));
	SAY(kill(a, SIGCONT));
	SAY(waitpid(a, &status, WCONTINUED) == a);
	puts(fate(status));
	SAY(waitid(P_PID, a, &info, WSTOPPED | WEXITED | WNOHANG));
	SAY(kill(a, SIGTERM));
	memset(&info, 0, sizeof info);
	SAY(waitid(P_PID, a, &info, WEXITED | WNOWAIT));
	show(&info, a);
	SAY(waitid(P_ALL, 0, &info, WEXITED | WNOWAIT));
	show(&info, a);
	/* a zombie can be signalled */
	SAY(kill(a, SIGTERM));
	SAY(kill(a, 0));
	SAY(wait4(a, &status, 0, &usage) == a);
	puts(fate(status));
	SAY(kill(a, 0));
	a = ender(300);
	SAY(waitid(P_PID, a, &info, WEXITED));
	show(&info, a);
	SAY(waitid(P_PID, a, &info, 0));
	SAY(waitid(P_PID, a, &info, WEXITED));
	SAY(waitid(9, a, &info, WEXITED));
	int fd = syscall(SYS_pidfd_open, (a = sleeper(1)), 0);
	SAY(fd > 0);
	SAY(syscall(SYS_pidfd_send_signal, fd, SIGKILL, NULL, 0));
	SAY(waitid(P_PIDFD, fd, &info, WEXITED));
	show(&info, a);
	close(fd);
	/* groups */
	a = sleeper(0);
	b = sleeper(0);
	SAY(setpgid(a, a));
	SAY(setpgid(b, a));
	SAY(getpgid(b) == a);
	SAY(waitpid(-a, &status, WNOHANG));
	SAY(waitpid(0, &status, WNOHANG));
	SAY(kill(-a, SIGKILL));
	int n = 0;
	while (waitpid(-a, &status, 0) > 0)
		n++;
	SAY(n);
	/* in the order of the caller's choice */
	a = ender(1);
	b = ender(2);
	printf("%s ", fate_of(b));
	puts(fate_of(a));
	/* nobody waits: SIGCHLD ignored */
	signal(SIGCHLD, SIG_IGN);
	a = ender(1);
	SAY(waitpid(a, &status, 0));
	signal(SIGCHLD, SIG_DFL);
	struct sigaction sa = { .sa_handler = SIG_DFL, .sa_flags = SA_NOCLDWAIT };
	sigaction(SIGCHLD, &sa, NULL);
	a = ender(1);
	SAY(waitpid(a, &status, 0));
	signal(SIGCHLD, SIG_DFL);
	/* orphans go to the subreaper */
	SAY(prctl(PR_SET_CHILD_SUBREAPER, 1));
	int is = 0;
	SAY(prctl(PR_GET_CHILD_SUBREAPER, &is));
	SAY(is);
	MUST(pipe(p) == 0);
	IN_CHILD({
		pid_t grandchild;
		CHILD(grandchild, {
			close(p[1]);
			pause_ms(20);
			_exit(17);
		});
		write(p[1], &grandchild, sizeof grandchild);
	});
	close(p[1]);
	MUST(read(p[0], &a, sizeof a) == sizeof a);
	puts(fate_of(a));
	/* the leader's thread ends first; the others end the process */
	SAY(waitpid(-1, &status, WNOHANG));
	IN_CHILD({
		pthread_t t;
		pthread_create(&t, NULL, outlives, (void *)21);
		pthread_exit(NULL);
	});
	IN_CHILD({
		pthread_t t;
		for (int i = 0; i < 10; i++)
			pthread_create(&t, NULL, sleeping, NULL);
		_exit(22);
	});
	IN_CHILD({
		pthread_t t;
		for (int i = 0; i < 10; i++)
			pthread_create(&t, NULL, sleeping, NULL);
		pthread_create(&t, NULL, exits, (void *)23);
		for (;;)
			pause();
	});
	IN_CHILD({
		pthread_t t;
		for (int i = 0; i < 10; i++)
			pthread_create(&t, NULL, sleeping, NULL);
		raise(SIGKILL);
	});
	/* the death of the parent */
	IN_CHILD({
		pid_t me = getpid();
		pid_t child;
		MUST(pipe(p) == 0);
		CHILD(child, {
			MUST(prctl(PR_SET_PDEATHSIG, SIGUSR1) == 0);
			MUST(getppid() == me);
			write(p[1], "r", 1);
			for (;;)
				pause();
		});
		char c;
		read(p[0], &c, 1);
		_exit(3);
	});
	SAY(wait(&status) > 0);
	puts(fate(status));
	/* times of children */
	IN_CHILD(for (volatile int i = 0; i < 30000000; i++));
	SAY(getrusage(RUSAGE_CHILDREN, &usage));
	SAY(usage.ru_utime.tv_sec * 1000000 + usage.ru_utime.tv_usec > 0);
	return 0;
}
