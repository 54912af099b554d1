/*
 * POSIX threads: create, join, detach, attributes, thread-local data, once, keys, kill, names, many
 * at once.
 */
#include "process.h"
#include <limits.h>
#include <pthread.h>
#include <sched.h>
#include <sys/syscall.h>

static __thread int local = 42;
static __thread char buffer[300];
static pthread_key_t key;
static pthread_once_t once = PTHREAD_ONCE_INIT;
static int once_count, destroyed;

static void *count(void *arg)
{
	MUST(local == 42 && buffer[299] == 0);
	local += (int)(intptr_t)arg;
	memset(buffer, local, sizeof buffer);
	for (int i = 0; i < 100; i++) {
		sched_yield();
		MUST(buffer[i] == (char)local);
	}
	return (void *)(intptr_t)local;
}

static void first(void)
{
	once_count++;
	pause_ms(5);
}

static void *once_thread(void *arg)
{
	pthread_once(&once, first);
	MUST(once_count == 1);
	return arg;
}

static void destroy(void *value)
{
	destroyed += (int)(intptr_t)value;
}

static void again(void *value)
{
	if ((intptr_t)value > 1)
		pthread_setspecific(key, (void *)((intptr_t)value - 1));
	destroyed++;
}

static void *key_thread(void *arg)
{
	MUST(pthread_getspecific(key) == NULL);
	pthread_setspecific(key, arg);
	MUST(pthread_getspecific(key) == arg);
	return NULL;
}

static void *exits(void *arg)
{
	pthread_exit((char *)arg + 1);
}

static int deep(intptr_t n);
static int (*volatile deeper)(intptr_t) = deep;

static int deep(intptr_t n)
{
	volatile char frame[1000];

	frame[0] = 1;
	if (!n)
		pthread_exit((void *)77);
	return deeper(n - 1) + frame[0];
}

static void *deep_exit(void *arg)
{
	return (void *)(intptr_t)deep((intptr_t)arg);
}

static void *stack_user(void *arg)
{
	size_t n = (size_t)arg;
	volatile char *frame = __builtin_alloca(n);

	/* downwards, as a stack grows: the guard comes first */
	for (size_t i = n; i >= 100; i -= 100)
		frame[i - 100] = 1;
	return (void *)1;
}

static volatile sig_atomic_t handled;
static pthread_t handled_by;

static void handler(int signal)
{
	handled = signal;
	handled_by = pthread_self();
}

static volatile int stop;

static void *waits(void *arg)
{
	while (!stop)
		usleep(1000);
	return arg;
}

static int shared_count;

static void *adds(void *arg)
{
	for (int i = 0; i < 1000; i++)
		__atomic_fetch_add(&shared_count, 1, __ATOMIC_SEQ_CST);
	return arg;
}

int main(void)
{
	pthread_t t, many[100];
	pthread_attr_t attr;
	void *r;

	LINES();
	/* past the end of its stack is a guard; first, since libraries use old stacks again */
	IN_CHILD({
		pthread_attr_init(&attr);
		pthread_attr_setstacksize(&attr, 1 << 18);
		pthread_create(&t, &attr, stack_user, (void *)(size_t)(1 << 19));
		pthread_join(t, &r);
	});
	for (int i = 0; i < 10; i++)
		MUST(pthread_create(&many[i], NULL, count, (void *)(intptr_t)i) == 0);
	for (int i = 0; i < 10; i++) {
		MUST(pthread_join(many[i], &r) == 0);
		printf("%d ", (int)(intptr_t)r);
	}
	printf("local %d\n", local);
	for (int i = 0; i < 100; i++)
		MUST(pthread_create(&many[i], NULL, adds, NULL) == 0);
	for (int i = 0; i < 100; i++)
		MUST(pthread_join(many[i], NULL) == 0);
	SAY(shared_count);
	for (int i = 0; i < 10; i++)
		pthread_create(&many[i], NULL, once_thread, NULL);
	for (int i = 0; i < 10; i++)
		pthread_join(many[i], NULL);
	SAY(once_count);

	SAY(pthread_key_create(&key, destroy));
	for (int i = 0; i < 10; i++)
		pthread_create(&many[i], NULL, key_thread, (void *)(intptr_t)i);
	for (int i = 0; i < 10; i++)
		pthread_join(many[i], NULL);
	SAY(destroyed);
	SAY(pthread_key_delete(key));
	destroyed = 0;
	SAY(pthread_key_create(&key, again));
	pthread_create(&t, NULL, key_thread, (void *)3);
	pthread_join(t, NULL);
	SAY(destroyed);
	pthread_key_delete(key);

	pthread_create(&t, NULL, exits, (void *)5);
	SAY(pthread_join(t, &r));
	SAY((intptr_t)r);
	pthread_create(&t, NULL, deep_exit, (void *)20);
	SAY(pthread_join(t, &r));
	SAY((intptr_t)r);
	SAY(pthread_equal(pthread_self(), pthread_self()) != 0);

	/* attributes */
	size_t size;
	int state;
	pthread_attr_init(&attr);
	SAY(pthread_attr_setstacksize(&attr, 1 << 20));
	SAY(pthread_attr_getstacksize(&attr, &size));
	SAY(size);
	SAY(pthread_attr_setstacksize(&attr, 10));
	SAY(pthread_create(&t, &attr, stack_user, (void *)900000));
	SAY(pthread_join(t, &r));
	SAY((intptr_t)r);
	pthread_attr_setstacksize(&attr, 4 << 20);
	SAY(pthread_create(&t, &attr, stack_user, (void *)4000000));
	SAY(pthread_join(t, &r));
	SAY(pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED));
	SAY(pthread_attr_getdetachstate(&attr, &state));
	SAY(state == PTHREAD_CREATE_DETACHED);
	SAY(pthread_create(&t, &attr, adds, NULL));
	while (__atomic_load_n(&shared_count, __ATOMIC_SEQ_CST) < 101000)
		usleep(1000);
	pthread_attr_destroy(&attr);
	pthread_attr_init(&attr);
	char *stack = mmap(NULL, 1 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	SAY(pthread_attr_setstack(&attr, stack, 1 << 20));
	SAY(pthread_create(&t, &attr, stack_user, (void *)500000));
	SAY(pthread_join(t, &r));
	pthread_attr_destroy(&attr);
	stop = 0;
	pthread_create(&t, NULL, waits, NULL);
	SAY(pthread_detach(t));
	stop = 1;
	pause_ms(20);

	/* signals to a thread */
	signal(SIGUSR1, handler);
	stop = 0;
	pthread_create(&t, NULL, waits, (void *)8);
	SAY(pthread_kill(t, 0));
	SAY(pthread_kill(t, SIGUSR1));
	while (!handled)
		usleep(1000);
	SAY(pthread_equal(handled_by, t) != 0);
	SAY(pthread_kill(t, 999) == EINVAL);
	handled = 0;
	sigset_t set, old;
	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	SAY(pthread_sigmask(SIG_BLOCK, &set, &old));
	/* to the process: the one that does not block it takes it */
	SAY(kill(getpid(), SIGUSR1));
	while (!handled)
		usleep(1000);
	SAY(pthread_equal(handled_by, t) != 0);
	handled = 0;
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	SAY(raise(SIGUSR1));
	SAY(handled && pthread_equal(handled_by, pthread_self()));
	stop = 1;
	SAY(pthread_join(t, &r));
	SAY((intptr_t)r);

	/* names and numbers */
	char name[20];
	SAY(pthread_setname_np(pthread_self(), "fifteen-letters"));
	SAY(pthread_setname_np(pthread_self(), "sixteen-letters!") == ERANGE);
	SAY(pthread_getname_np(pthread_self(), name, sizeof name));
	puts(name);
	SAY(syscall(SYS_gettid) == getpid());
	clockid_t clock;
	struct timespec ts;
	SAY(pthread_getcpuclockid(pthread_self(), &clock));
	SAY(clock_gettime(clock, &ts));
	/* again and again */
	for (int i = 0; i < 2000; i++) {
		MUST(pthread_create(&t, NULL, count, (void *)1) == 0);
		MUST(pthread_join(t, &r) == 0 && (intptr_t)r == 43);
	}
	puts("2000 threads");
	return 0;
}
