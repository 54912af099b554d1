/* Limits: descriptors, processes, file sizes, CPU time, priorities, pending signals. */
#include "process.h"
#include <fcntl.h>
#include <sys/resource.h>
#include <sys/time.h>

static volatile sig_atomic_t got;

static void note(int signal)
{
	got = signal;
}

int main(void)
{
	struct rlimit r;
	LINES();

	int which[] = { RLIMIT_CPU, RLIMIT_FSIZE, RLIMIT_DATA, RLIMIT_STACK, RLIMIT_NOFILE, RLIMIT_AS, RLIMIT_NPROC };
	for (size_t i = 0; i < countof(which); i++)
		SAY(getrlimit(which[i], &r));
	SAY(getrlimit(99, &r));
	r = (struct rlimit){ 10, 5 };
	SAY(setrlimit(RLIMIT_CORE, &r));
	r = (struct rlimit){ 0, RLIM_INFINITY };
	/*
	 * files; the results are said when the limit is off again, since they may go to a file
	 * themselves
	 */
	IN_CHILD({
		signal(SIGXFSZ, note);
		struct rlimit before;
		getrlimit(RLIMIT_FSIZE, &before);
		r = (struct rlimit){ 10000, before.rlim_max };
		MUST(setrlimit(RLIMIT_FSIZE, &r) == 0);
		int fd = open("f", O_RDWR | O_CREAT, 0600);
		char buf[8000] = "x";
		int first = write(fd, buf, 8000), second = write(fd, buf, 8000), third = write(fd, buf, 8000);
		int error = errno, grown = ftruncate(fd, 20000);
		MUST(setrlimit(RLIMIT_FSIZE, &before) == 0);
		printf("%d %d %d %s %d %d\n", first, second, third, ename(error), got == SIGXFSZ, grown);
	});
	IN_CHILD({
		r = (struct rlimit){ 100, 100 };
		MUST(setrlimit(RLIMIT_FSIZE, &r) == 0);
		int fd = open("g", O_RDWR | O_CREAT, 0600);
		char buf[200] = "x";
		write(fd, buf, 100);
		write(fd, buf, 100);
	});
	/* descriptors */
	IN_CHILD({
		r = (struct rlimit){ 20, 20 };
		SAY(setrlimit(RLIMIT_NOFILE, &r));
		int n = 0;
		while (dup(1) >= 0)
			n++;
		printf("%s %d\n", ename(errno), n > 5 && n < 20);
		int p[2];
		SAY(pipe(p));
		SAY(open("f", O_RDONLY));
		SAY(dup2(1, 20));
		SAY(fcntl(1, F_DUPFD, 20));
	});
	/* processes of one user */
	IN_CHILD({
		MUST(setgid(12345) == 0 && setuid(12345) == 0);
		r = (struct rlimit){ 8, 8 };
		SAY(setrlimit(RLIMIT_NPROC, &r));
		int n = 0;
		pid_t pids[20];
		for (; n < 20; n++) {
			pids[n] = fork();
			if (pids[n] == 0) {
				for (;;)
					pause();
			}
			if (pids[n] < 0)
				break;
		}
		printf("%d children, %s\n", n, ename(errno));
		for (int i = 0; i < n; i++) {
			kill(pids[i], SIGKILL);
			waitpid(pids[i], NULL, 0);
		}
		n = fork();
		if (!n)
			_exit(0);
		SAY(n > 0);
		wait(NULL);
	});
	/* time */
	IN_CHILD({
		signal(SIGXCPU, SIG_DFL);
		r = (struct rlimit){ 1, 3 };
		MUST(setrlimit(RLIMIT_CPU, &r) == 0);
		for (;;)
			getppid();
	});
	/* memory that cannot be locked or mapped */
	IN_CHILD({
		r = (struct rlimit){ 0, 0 };
		MUST(setrlimit(RLIMIT_MEMLOCK, &r) == 0);
		MUST(setgid(12345) == 0 && setuid(12345) == 0);
		void *p = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		SAY(mlock(p, PAGE));
	});
	/* priorities */
	IN_CHILD({
		/* whatever the tests were started with */
		MUST(setpriority(PRIO_PROCESS, 0, 0) == 0);
		SAY(getpriority(PRIO_PROCESS, 0));
		SAY(nice(5));
		SAY(getpriority(PRIO_PROCESS, 0));
		SAY(setpriority(PRIO_PROCESS, 0, 100));
		SAY(getpriority(PRIO_PROCESS, 0));
		MUST(setuid(12345) == 0);
		SAY(setpriority(PRIO_PROCESS, 0, 0));
		SAY(setpriority(PRIO_PROCESS, 1, 5));
	});
	/* a limit goes down for good, and is inherited */
	IN_CHILD({
		MUST(setuid(12345) == 0);
		r = (struct rlimit){ 50, 60 };
		SAY(setrlimit(RLIMIT_NOFILE, &r));
		r = (struct rlimit){ 60, 60 };
		SAY(setrlimit(RLIMIT_NOFILE, &r));
		r = (struct rlimit){ 50, 61 };
		SAY(setrlimit(RLIMIT_NOFILE, &r));
		IN_CHILD(getrlimit(RLIMIT_NOFILE, &r); printf("%d\n", (int)r.rlim_max));
	});
	return 0;
}
