/* What programs for glibc expect in headers. */
#include "process.h"
#include <execinfo.h>
#include <fmtmsg.h>
#include <malloc.h>
#include <sched.h>
#include <sys/queue.h>
#include <sys/resource.h>
#include <sys/sysinfo.h>
#include <time.h>

#pragma GCC diagnostic ignored "-Wdeprecated-declarations"

static void at_exit(int status, void *arg)
{
	printf("at exit: %d %s\n", status, (char *)arg);
}

static void severities(void)
{
	int say = MM_PRINT | MM_SOFT;

	dup2(1, 2);
	SAY(fmtmsg(say, "UX:cat", 5, "own", "do", "UX:cat:1"));
	SAY(addseverity(5, "NOTE"));
	SAY(fmtmsg(say, "UX:cat", 5, "own", "do", "UX:cat:1"));
	SAY(addseverity(5, "REMARK"));
	SAY(fmtmsg(say, "UX:cat", 5, "own", MM_NULLACT, MM_NULLTAG));
	SAY(addseverity(5, NULL));
	SAY(addseverity(5, NULL));
	SAY(addseverity(MM_ERROR, "NO"));
	SAY(fmtmsg(say, "UX:cat", MM_ERROR, "known", "do", "UX:cat:2"));
}

static void heap(void)
{
	struct mallinfo2 before = mallinfo2(), now;
	static char *volatile blocks[1000];

	for (int i = 0; i < 1000; i++)
		memset(blocks[i] = malloc(1000), 1, 1000);
	now = mallinfo2();
	printf("%d\n", now.uordblks >= before.uordblks + 1000000 && now.uordblks < before.uordblks + 2000000
		&& now.arena >= now.uordblks);
	for (int i = 0; i < 1000; i++)
		free(blocks[i]);
	now = mallinfo2();
	printf("%d\n", now.uordblks < before.uordblks + 100000);
	memset(blocks[0] = malloc(10 << 20), 1, 10 << 20);
	now = mallinfo2();
	printf("%d\n", now.hblks >= 1 && now.hblkhd >= 10 << 20);
	free(blocks[0]);
	printf("%d\n", mallinfo().hblks <= 1);
	malloc_trim(0);
	mallopt(M_MMAP_THRESHOLD, 65536);
}

static void fields(void)
{
	struct sigevent event = { .sigev_notify = SIGEV_THREAD_ID, .sigev_signo = SIGUSR1 };
	struct rlimit64 limit;
	sigset_t set;
	timer_t timer;

	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	sigprocmask(SIG_BLOCK, &set, NULL);
	event._sigev_un._tid = gettid();
	SAY(timer_create(CLOCK_MONOTONIC, &event, &timer));
	timer_settime(timer, 0, &(struct itimerspec){ .it_value.tv_nsec = 1000 }, NULL);
	SAY(sigwaitinfo(&set, NULL));
	SAY(getrlimit64(RLIMIT_CORE, &limit));
	SAY(prlimit64(0, RLIMIT_CORE, NULL, &limit));
	printf("%x\n", CLONE_NEWNS | CLONE_NEWPID | CLONE_FILES);
}

struct entry {
	TAILQ_ENTRY(entry) link;
	int value;
};

static void queues(void)
{
	TAILQ_HEAD(, entry) head = TAILQ_HEAD_INITIALIZER(head);
	struct entry entries[3], *e;

	for (int i = 0; i < 3; i++) {
		entries[i].value = i;
		TAILQ_INSERT_HEAD(&head, &entries[i], link);
	}
	TAILQ_REMOVE(&head, &entries[1], link);
	TAILQ_FOREACH(e, &head, link)
		printf("%d\n", e->value);
}

int main(void)
{
	void *frames[10];
	int n;
	char **names;

	LINES();
	severities();
	heap();
	fields();
	queues();
	n = backtrace(frames, 10);
	printf("%d\n", n >= 0 && n <= 10);
	names = backtrace_symbols(frames, n);
	printf("%d\n", names != NULL);
	free(names);
	on_exit(at_exit, (void *)"last");
	on_exit(at_exit, (void *)"first");
	exit(7);
}
