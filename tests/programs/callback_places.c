/*
 * Every place where libc calls a function of the program: with one that has another type than is
 * declared.
 */
#include "process.h"
#include <aio.h>
#include <dirent.h>
#include <error.h>
#include <fcntl.h>
#include <fmtmsg.h>
#include <ftw.h>
#include <glob.h>
#include <mqueue.h>
#include <pthread.h>
#include <sched.h>
#include <search.h>
#include <semaphore.h>
#include <signal.h>
#include <sys/stat.h>
#include <threads.h>
#include <time.h>

static volatile int called;
static sem_t done;

static void *argument;

/* Of each number of arguments, with and without a result. */
static void none(void) { called++; }
static int none_result(void) { called++; return 0; }
static void one(void *a) { called++; argument = a; }
static int one_result(void *a) { called++; argument = a; return 0; }
static void two(void *a, void *b) { called++; }
static int two_result(void *a, void *b) { called++; return 0; }
static int three_result(void *a, void *b, void *c) { called++; return 0; }
static int four_result(void *a, void *b, void *c, void *d) { called++; return 0; }
static void four(void *a, void *b, void *c, void *d) { called++; }

/* Those with odd numbers have a result, which is 0, for callers that need one. */
static const struct { const char *name; void *function; } all[] = {
	{ "()", (void *)none }, { "() int", (void *)none_result }, { "(a)", (void *)one },
	{ "(a) int", (void *)one_result }, { "(a, b)", (void *)two },
	{ "(a, b) int", (void *)two_result }, { "(a, b, c) int", (void *)three_result },
	{ "(a, b, c, d) int", (void *)four_result }, { "(a, b, c, d)", (void *)four },
};
enum { N = sizeof all / sizeof *all };

/* The calls, each with any function f. */
#define EACH(name, ...) do { \
		printf("%s:", name); \
		for (int i = 0; i < N; i++) { \
			void *f = all[i].function; \
			called = 0; \
			{ __VA_ARGS__; } \
			printf(" %d", called); \
		} \
		putchar('\n'); \
	} while (0)

static void pushed(void *f, int run)
{
	pthread_cleanup_push((void (*)(void *))f, (void *)&called);
	if (run < 0)
		pthread_exit(NULL);
	pthread_cleanup_pop(run);
}

static void *pushes_and_exits(void *f)
{
	pushed(f, -1);
	return NULL;
}

static void *waits(void *f)
{
	pthread_cleanup_push((void (*)(void *))f, (void *)&called);
	sem_post(&done);
	pause();
	pthread_cleanup_pop(0);
	return NULL;
}

static pthread_key_t key;

static void *sets_key(void *value)
{
	pthread_setspecific(key, value);
	return NULL;
}

static void threads(void)
{
	pthread_t t;

	pushed((void *)one_result, 1);
	printf("%d\n", argument == &called);
	EACH("thread", pthread_create(&t, NULL, (void *(*)(void *))f, (void *)&called); pthread_join(t, NULL));
	EACH("thrd", thrd_t c; thrd_create(&c, (int (*)(void *))f, (void *)&called); thrd_join(c, NULL));
	EACH("cleanup_pop", pushed(f, 1));
	EACH("cleanup at exit", pthread_create(&t, NULL, pushes_and_exits, f); pthread_join(t, NULL));
	EACH("cleanup at cancel", pthread_create(&t, NULL, waits, f); sem_wait(&done); pthread_cancel(t);
		pthread_join(t, NULL));
	EACH("once", pthread_once_t once = PTHREAD_ONCE_INIT; pthread_once(&once, (void (*)(void))f);
		pthread_once(&once, (void (*)(void))f));
	EACH("call_once", once_flag once = ONCE_FLAG_INIT; call_once(&once, (void (*)(void))f));
	EACH("key", pthread_key_create(&key, (void (*)(void *))f);
		pthread_create(&t, NULL, sets_key, (void *)&called); pthread_join(t, NULL); pthread_key_delete(key));
}

static void searches(void)
{
	int numbers[] = { 7, 7, 7 }, number = 7, many[300] = { 0 };
	size_t n = 3;
	void *root = NULL;

	EACH("qsort", qsort(numbers, 3, sizeof *numbers, (int (*)(const void *, const void *))f); called = !!called);
	EACH("qsort of many", qsort(many, 300, sizeof *many, (int (*)(const void *, const void *))f);
		called = !!called);
	EACH("qsort_r", qsort_r(numbers, 3, sizeof *numbers, (int (*)(const void *, const void *, void *))f, &number);
		called = !!called);
	EACH("bsearch", if (i & 1) bsearch(&number, numbers, 3, sizeof *numbers, (int (*)(const void *,
		const void *))f); called = !!called);
	EACH("lfind", lfind(&number, numbers, &n, sizeof *numbers, (int (*)(const void *, const void *))f);
		called = !!called);
	tsearch(&number, &root, (int (*)(const void *, const void *))two_result);
	EACH("tsearch", if (i & 1) tsearch(&number, &root, (int (*)(const void *, const void *))f));
	EACH("tfind", if (i & 1) tfind(&number, &root, (int (*)(const void *, const void *))f));
	EACH("twalk", twalk(root, (void (*)(const void *, VISIT, int))f));
	EACH("tdestroy", void *own = NULL; tsearch(&number, &own, (int (*)(const void *, const void *))two_result);
		called = 0; tdestroy(own, (void (*)(void *))f));
	EACH("tdelete", if (i & 1) { tdelete(&number, &root, (int (*)(const void *, const void *))f);
		tsearch(&number, &root, (int (*)(const void *, const void *))two_result); });
}

static void folders(void)
{
	struct dirent **list;
	glob_t g;

	MUST(mkdir("folder", 0700) == 0 && mkdir("folder/locked", 0) == 0);
	EACH("nftw", if (i & 1) nftw("folder", (int (*)(const char *, const struct stat *, int, struct FTW *))f, 5,
		0); called = !!called);
	EACH("ftw", if (i & 1) ftw("folder", (int (*)(const char *, const struct stat *, int))f, 5); called = !!called);
	EACH("scandir", if (i & 1 && scandir("folder", &list, (int (*)(const struct dirent *))f,
		NULL) >= 0) called = !!called);
	EACH("glob", memset(&g, 0, sizeof g); glob("folder/x/*", 0, (int (*)(const char *, int))f, &g); called = 0);
	rmdir("folder/locked");
	rmdir("folder");
}

static void streams(void)
{
	EACH("cookie", if (i & 1) {
		cookie_io_functions_t io = { (cookie_read_function_t *)f, (cookie_write_function_t *)f,
			(cookie_seek_function_t *)f, (cookie_close_function_t *)f };
		FILE *file = fopencookie((void *)&called, "r", io);
		fgetc(file);
		fclose(file);
		called = called > 1;
	});
}

static void notifications(void)
{
	struct sigevent event = { .sigev_notify = SIGEV_THREAD };
	struct itimerspec soon = { .it_value.tv_nsec = 1000000 };
	struct aiocb cb = { 0 }, *list[] = { &cb };
	char byte;

	/* What calls back on a thread of its own is waited for. */
#define WAIT() do { for (int ms = 0; !called && ms < 5000; ms++) pause_ms(1); pause_ms(3); } while (0)
	EACH("timer", timer_t timer; event.sigev_notify_function = (void (*)(union sigval))f;
		event.sigev_value.sival_ptr = (void *)&called;
		MUST(timer_create(CLOCK_MONOTONIC, &event, &timer) == 0); timer_settime(timer, 0, &soon, NULL);
			WAIT(); timer_delete(timer));
	cb.aio_fildes = open("/dev/zero", O_RDONLY);
	cb.aio_buf = &byte;
	cb.aio_nbytes = 1;
	EACH("aio", event.sigev_notify_function = (void (*)(union sigval))f; cb.aio_sigevent = event;
		MUST(aio_read(&cb) == 0); WAIT(); aio_return(&cb));
	cb.aio_sigevent.sigev_notify = SIGEV_NONE;
	cb.aio_lio_opcode = LIO_READ;
	EACH("lio", event.sigev_notify_function = (void (*)(union sigval))f;
		MUST(lio_listio(LIO_NOWAIT, list, 1, &event) == 0); WAIT(); aio_return(&cb));
}

static int stack[16384];

static void processes(void)
{
	int status;

	EACH("clone", int pid = clone((int (*)(void *))f, stack + 16384, CLONE_VM | SIGCHLD, (void *)&called);
		MUST(waitpid(pid, &status, 0) == pid);
		MUST(WIFEXITED(status)));
	for (int i = 0; i < N; i++) {
		printf("%s\n", all[i].name);
		fflush(stdout);
		int pid = fork();
		if (!pid) {
			atexit((void (*)(void))all[i].function);
			on_exit((void (*)(int, void *))all[i].function, (void *)&called);
			exit(0);
		}
		MUST(waitpid(pid, &status, 0) == pid);
		printf("exit %d\n", status);
		fflush(stdout);
		pid = fork();
		if (!pid) {
			at_quick_exit((void (*)(void))all[i].function);
			quick_exit(0);
		}
		MUST(waitpid(pid, &status, 0) == pid);
		printf("quick_exit %d\n", status);
		fflush(stdout);
	}
	for (int i = 0; i < N; i++)
		pthread_atfork((void (*)(void))all[i].function, (void (*)(void))all[i].function,
			(void (*)(void))all[i].function);
	called = 0;
	int pid = fork();
	if (!pid)
		_exit(0);
	MUST(waitpid(pid, &status, 0) == pid);
	printf("atfork %d\n", called > 0);
}

int main(void)
{
	LINES();
	sem_init(&done, 0, 0);
	threads();
	searches();
	folders();
	streams();
	notifications();
	processes();
	return 0;
}
