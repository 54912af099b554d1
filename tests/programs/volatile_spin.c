/*
 * Loops that only read what a handler or another thread changes, and reads around a fault whose
 * handler changes it.
 */
#include "process.h"
#include <pthread.h>
#include <sys/mman.h>
#include <sys/time.h>

static volatile sig_atomic_t count;
static volatile long long wide;
static volatile double real;
static volatile char small;
static int plain;
static char *page;

static void tick(int signal)
{
	(void)signal;
	count++;
}

static void allow(int signal)
{
	(void)signal;
	count = 100;
	wide = 200;
	mprotect(page, 65536, PROT_READ | PROT_WRITE);
}

static void *change(void *arg)
{
	(void)arg;
	usleep(2000);
	wide = 1;
	usleep(2000);
	real = 1.5;
	usleep(2000);
	small = 'x';
	usleep(2000);
	__atomic_store_n(&plain, 3, __ATOMIC_RELEASE);
	return NULL;
}

int main(void)
{
	struct itimerval it = { { 0, 2000 }, { 0, 2000 } };
	pthread_t thread;

	signal(SIGALRM, tick);
	MUST(setitimer(ITIMER_REAL, &it, NULL) == 0);
	while (count < 20)
		;
	it.it_value.tv_usec = 0;
	MUST(setitimer(ITIMER_REAL, &it, NULL) == 0);
	puts("a handler's");

	MUST(pthread_create(&thread, NULL, change, NULL) == 0);
	while (!wide)
		;
	while (real == 0)
		;
	while (!small)
		;
	printf("a thread's: %lld %g %c\n", wide, real, small);
	while (!plain)
		__asm__ volatile("" ::: "memory");
	printf("with a barrier: %d\n", plain);
	MUST(pthread_join(thread, NULL) == 0);

	signal(SIGSEGV, allow);
	page = mmap(NULL, 65536, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	MUST(page != MAP_FAILED);
	count = 0;
	(void)*(volatile char *)page;
	printf("after a fault: %d %lld\n", (int)count, wide);
	return 0;
}
