/*
 * What programs for Linux expect of their library beyond the standards: words, calls, GNU's
 * functions.
 */
#include "process.h"
#include <fcntl.h>
#include <pthread.h>
#include <linux/futex.h>
#include <sched.h>
#include <sys/stat.h>
#include <sys/pidfd.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>

static int last_signal;
static void note(int signo) { last_signal = signo; }

static void words(void)
{
	for (int e = 0; e < 140; e++)
		printf("%d %s\n", e, strerror(e));
	for (int s = 0; s < 32; s++)
		printf("%d %s %s\n", s, strsignal(s), s ? sigabbrev_np(s) : "");
	printf("%p %p\n", NULL, (void *)0x1234);
	printf("%s\n", strsignal(SIGRTMIN + 2));
	setenv("TZ", "EST5EDT", 1);
	for (time_t t = 1700000000; t < 1731536000; t += 5000000) {
		char text[99];
		strftime(text, sizeof text, "%F %T %Z", localtime(&t));
		puts(text);
	}
}

static void scripts(void)
{
	int fd = open("/tmp/script-without", O_CREAT | O_TRUNC | O_WRONLY, 0755);

	dprintf(fd, "echo script $1; exit 6\n");
	close(fd);
	IN_CHILD(execlp("/tmp/script-without", "x", "one", NULL));
	IN_CHILD(execl("/tmp/script-without", "x", "one", NULL); puts(ename(errno)));
	unlink("/tmp/script-without");
}

static void waits(void)
{
	struct sigaction action = { .sa_handler = note };
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	sigprocmask(SIG_BLOCK, &set, NULL);
	sigaction(SIGALRM, &action, NULL);
	alarm(1);
	SAY(sigwaitinfo(&set, NULL));
	SAY(last_signal);
}

static void heap(void)
{
	char *start = sbrk(0), *block;

	SAY((char *)sbrk(100000) == start);
	memset(start, 1, 100000);
	SAY((char *)sbrk(0) - start);
	block = malloc(200000);
	memset(block, 2, 200000);
	SAY(start[99999]);
	SAY(brk(start + 10 * PAGE));
	SAY(start[0]);
	SAY(block[199999]);
	free(block);
}

static void calls(void)
{
	struct statx st;
	struct iovec piece = { "abc", 3 };
	int fd = open("/tmp", O_TMPFILE | O_RDWR, 0640), pidfd;
	struct sched_param priority = { 5 };

	SAY(pwritev2(fd, &piece, 1, 5, 0));
	SAY(statx(fd, "", AT_EMPTY_PATH, STATX_BASIC_STATS, &st));
	printf("%llu %o\n", (unsigned long long)st.stx_size, st.stx_mode);
	close(open("/tmp/new-a", O_CREAT, 0600));
	close(open("/tmp/new-b", O_CREAT, 0600));
	SAY(renameat2(AT_FDCWD, "/tmp/new-a", AT_FDCWD, "/tmp/new-b", RENAME_NOREPLACE));
	SAY(renameat2(AT_FDCWD, "/tmp/new-a", AT_FDCWD, "/tmp/new-b", RENAME_EXCHANGE));
	unlink("/tmp/new-a");
	unlink("/tmp/new-b");
	SAY(dup2(1, 77));
	SAY(close_range(70, 80, 0));
	SAY(fcntl(77, F_GETFD));
	pidfd = pidfd_open(getpid(), 0);
	SAY(pidfd_send_signal(pidfd, 0, NULL, 0));
	SAY(tgkill(getpid(), getpid(), 0));
	SAY(madvise(NULL, 0, MADV_POPULATE_WRITE));
	IN_CHILD(SAY(sched_setscheduler(0, SCHED_RR, &priority)); SAY(sched_getscheduler(0)); SAY(sched_getparam(0, &priority)));
	SAY(priority.sched_priority);
	SAY(syscall(SYS_futex, &fd, FUTEX_WAIT, fd, &(struct timespec){ 0, 1000 }, NULL, 0));
#ifdef SYS_clock_gettime64
#define NR_clock_gettime SYS_clock_gettime64
#ifdef SYS_clock_gettime
#error "the old name is that of a call with 32-bit times, which the kernel has not"
#endif
#else
#define NR_clock_gettime SYS_clock_gettime
#endif
	SAY(syscall(NR_clock_gettime, CLOCK_MONOTONIC, &(struct timespec){ 0 }));
	SAY(arc4random_uniform(10) < 10);
	SAY((char *)rawmemchr(piece.iov_base, 'c') - (char *)piece.iov_base);
}

static void *sleeps(void *arg)
{
	pause_ms(20);
	puts("the last thread");
	return NULL;
}

int main(void)
{
	pthread_t thread;

	LINES();
	words();
	scripts();
	waits();
	heap();
	calls();
	IN_CHILD(pthread_create(&thread, NULL, sleeps, NULL); pthread_exit(NULL));
	return 0;
}
