/* Cancellation: deferred, disabled, in blocking calls, with cleanup handlers and held locks. */
#include "process.h"
#include <pthread.h>
#include <semaphore.h>
#include <time.h>

static int order[50], n;
static sem_t ready;
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t cond = PTHREAD_COND_INITIALIZER;
static int pipes[2];

static void cleanup(void *arg)
{
	order[n++] = (int)(intptr_t)arg;
}

static void unlock(void *arg)
{
	pthread_mutex_unlock(arg);
	cleanup((void *)99);
}

static void *reads(void *arg)
{
	char c;

	pthread_cleanup_push(cleanup, (void *)1);
	pthread_cleanup_push(cleanup, (void *)2);
	sem_post(&ready);
	read(pipes[0], &c, 1);
	pthread_cleanup_pop(0);
	pthread_cleanup_pop(0);
	return arg;
}

static void *sleeps(void *arg)
{
	pthread_cleanup_push(cleanup, (void *)3);
	sem_post(&ready);
	sleep(1000);
	pthread_cleanup_pop(0);
	return arg;
}

static void *waits(void *arg)
{
	pthread_mutex_lock(&mutex);
	pthread_cleanup_push(unlock, &mutex);
	sem_post(&ready);
	for (;;)
		pthread_cond_wait(&cond, &mutex);
	pthread_cleanup_pop(0);
	return arg;
}

static void *disabled(void *arg)
{
	int old;

	pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &old);
	sem_post(&ready);
	pause_ms(30);
	cleanup((void *)5);
	pthread_setcancelstate(old, NULL);
	cleanup((void *)6);
	pthread_testcancel();
	cleanup((void *)7);
	return arg;
}

static void *joins(void *arg)
{
	sem_post(&ready);
	pthread_join(*(pthread_t *)arg, NULL);
	return NULL;
}

static void *tests(void *arg)
{
	sem_post(&ready);
	for (;;) {
		pthread_testcancel();
		sched_yield();
	}
	return arg;
}

static void *semaphore(void *arg)
{
	sem_t never;

	sem_init(&never, 0, 0);
	sem_post(&ready);
	sem_wait(&never);
	return arg;
}

static void *late(void *arg)
{
	/* cancelled before it comes to a point of cancellation */
	sem_post(&ready);
	while (!__atomic_load_n((int *)arg, __ATOMIC_SEQ_CST))
		sched_yield();
	cleanup((void *)8);
	char c;
	read(pipes[0], &c, 1);
	cleanup((void *)9);
	return NULL;
}

static void *own_exit(void *arg)
{
	pthread_cleanup_push(cleanup, (void *)10);
	pthread_cleanup_push(cleanup, (void *)11);
	pthread_cleanup_pop(1);
	pthread_exit(arg);
	pthread_cleanup_pop(0);
}

static void run(const char *name, void *(*f)(void *), void *arg)
{
	pthread_t t;
	void *r;

	n = 0;
	MUST(pthread_create(&t, NULL, f, arg) == 0);
	sem_wait(&ready);
	pause_ms(10);
	MUST(pthread_cancel(t) == 0);
	if (f == late)
		__atomic_store_n((int *)arg, 1, __ATOMIC_SEQ_CST);
	MUST(pthread_join(t, &r) == 0);
	printf("%s: %s, cleanups", name, r == PTHREAD_CANCELED ? "cancelled" : "returned");
	for (int i = 0; i < n; i++)
		printf(" %d", order[i]);
	puts("");
}

int main(void)
{
	pthread_t t;
	void *r;
	int flag = 0;

	LINES();
	sem_init(&ready, 0, 0);
	MUST(pipe(pipes) == 0);
	run("read", reads, NULL);
	run("sleep", sleeps, NULL);
	run("condition", waits, NULL);
	SAY(pthread_mutex_trylock(&mutex));
	pthread_mutex_unlock(&mutex);
	run("disabled", disabled, NULL);
	pthread_create(&t, NULL, sleeps, NULL);
	sem_wait(&ready);
	run("join", joins, &t);
	pthread_cancel(t);
	pthread_join(t, &r);
	run("testcancel", tests, NULL);
	run("semaphore", semaphore, NULL);
	run("late", late, &flag);
	n = 0;
	pthread_create(&t, NULL, own_exit, (void *)5);
	pthread_join(t, &r);
	printf("exit: %d, cleanups %d %d %d\n", (int)(intptr_t)r, n, order[0], order[1]);
	for (int i = 0; i < 200; i++) {
		pthread_create(&t, NULL, sleeps, NULL);
		sem_wait(&ready);
		MUST(pthread_cancel(t) == 0 && pthread_join(t, &r) == 0 && r == PTHREAD_CANCELED);
		n = 0;
	}
	puts("200 cancelled");
	return 0;
}
