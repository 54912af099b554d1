/*
 * futex in its forms: wait, wake, bitsets, requeue, wake_op, timeouts, priority inheritance,
 * between processes; and futex_waitv.
 */
#include "process.h"
#include <linux/futex.h>
#include <pthread.h>
#include <sys/syscall.h>
#include <time.h>
#ifndef SYS_futex
#define SYS_futex SYS_futex_time64
#endif
#ifndef SYS_futex_waitv
#define SYS_futex_waitv 449
#endif

static uint32_t word, other, woken;

/* The kernel takes 64-bit times by this call in every 32-bit ABI that is new. */
static long futex(uint32_t *at, int op, uint32_t value, void *timeout, uint32_t *second, uint32_t third)
{
	return syscall(SYS_futex, at, op, value, timeout, second, third);
}

static void *waits(void *arg)
{
	uint32_t *at = arg ? arg : &word;

	while (__atomic_load_n(at, __ATOMIC_SEQ_CST) == 0)
		futex(at, FUTEX_WAIT_PRIVATE, 0, NULL, NULL, 0);
	__atomic_add_fetch(&woken, 1, __ATOMIC_SEQ_CST);
	return NULL;
}

/* Sleeps once, and says whether it was woken. */
static void *sleeps(void *arg)
{
	long bits = (long)(intptr_t)arg;
	long r = futex(&word, FUTEX_WAIT_BITSET_PRIVATE, 0, NULL, NULL, bits);

	if (!r)
		__atomic_add_fetch(&woken, 1, __ATOMIC_SEQ_CST);
	return (void *)r;
}

static void *locks_pi(void *arg)
{
	uint32_t *at = arg;
	long r = futex(at, FUTEX_LOCK_PI, 0, NULL, NULL, 0);

	MUST(r == 0 && (*at & FUTEX_TID_MASK) == (uint32_t)syscall(SYS_gettid));
	__atomic_add_fetch(&woken, 1, __ATOMIC_SEQ_CST);
	MUST(futex(at, FUTEX_UNLOCK_PI, 0, NULL, NULL, 0) == 0);
	return NULL;
}

static void start(pthread_t *t, int n, void *(*f)(void *), void *arg)
{
	woken = 0;
	for (int i = 0; i < n; i++)
		MUST(pthread_create(&t[i], NULL, f, arg) == 0);
	until_others_sleep();
}

static void wait_woken(uint32_t n)
{
	for (int i = 0; i < 2000 && __atomic_load_n(&woken, __ATOMIC_SEQ_CST) < n; i++)
		usleep(1000);
	printf("%u woken\n", woken);
}

static void join(pthread_t *t, int n)
{
	for (int i = 0; i < n; i++)
		pthread_join(t[i], NULL);
}

int main(void)
{
	pthread_t t[10];
	struct timespec ts = { 0, 10000000 };

	LINES();
	SAY(futex(&word, FUTEX_WAKE, 1, NULL, NULL, 0));
	word = 1;
	SAY(futex(&word, FUTEX_WAIT, 0, NULL, NULL, 0));
	SAY(futex(&word, FUTEX_WAIT, 1, &ts, NULL, 0));
	SAY(futex((uint32_t *)((char *)&word + 1), FUTEX_WAIT, 1, NULL, NULL, 0));
	SAY(futex((uint32_t *)8, FUTEX_WAIT, 1, NULL, NULL, 0));
	SAY(futex(&word, 99, 1, NULL, NULL, 0));
	SAY(futex(&word, FUTEX_WAIT_BITSET, 1, NULL, NULL, 0));
	ts.tv_nsec = 2000000000;
	SAY(futex(&word, FUTEX_WAIT, 1, &ts, NULL, 0));
	clock_gettime(CLOCK_MONOTONIC, &ts);
	SAY(futex(&word, FUTEX_WAIT_BITSET, 1, &ts, NULL, ~0));
	clock_gettime(CLOCK_REALTIME, &ts);
	SAY(futex(&word, FUTEX_WAIT_BITSET | FUTEX_CLOCK_REALTIME, 1, &ts, NULL, ~0));

	/* one, then all */
	word = 0;
	start(t, 5, sleeps, (void *)-1);
	SAY(futex(&word, FUTEX_WAKE_PRIVATE, 2, NULL, NULL, 0));
	wait_woken(2);
	SAY(futex(&word, FUTEX_WAKE_PRIVATE, 100, NULL, NULL, 0));
	wait_woken(5);
	join(t, 5);
	/* by bits */
	start(t, 3, sleeps, (void *)1);
	SAY(futex(&word, FUTEX_WAKE_BITSET_PRIVATE, 100, NULL, NULL, 2));
	SAY(futex(&word, FUTEX_WAKE_BITSET_PRIVATE, 100, NULL, NULL, 3));
	wait_woken(3);
	join(t, 3);
	/* a shared futex is another key than a private one */
	start(t, 1, sleeps, (void *)-1);
	SAY(futex(&word, FUTEX_WAKE, 100, NULL, NULL, 0));
	SAY(futex(&word, FUTEX_WAKE_PRIVATE, 100, NULL, NULL, 0));
	join(t, 1);
	/* moved to another word */
	start(t, 4, sleeps, (void *)-1);
	SAY(futex(&word, FUTEX_CMP_REQUEUE_PRIVATE, 1, (void *)10, &other, 7));
	SAY(futex(&word, FUTEX_CMP_REQUEUE_PRIVATE, 1, (void *)10, &other, 0));
	wait_woken(1);
	SAY(futex(&word, FUTEX_WAKE_PRIVATE, 10, NULL, NULL, 0));
	SAY(futex(&other, FUTEX_WAKE_PRIVATE, 10, NULL, NULL, 0));
	wait_woken(4);
	join(t, 4);
	/* an operation on a second word */
	start(t, 2, sleeps, (void *)-1);
	other = 5;
	SAY(futex(&other, FUTEX_WAKE_OP_PRIVATE, 1, (void *)10, &word, FUTEX_OP(FUTEX_OP_ADD, 0, FUTEX_OP_CMP_EQ, 0)));
	wait_woken(2);
	SAY(word);
	SAY(futex(&word, FUTEX_WAKE_OP_PRIVATE, 1, (void *)10, &other, FUTEX_OP(FUTEX_OP_SET, 9, FUTEX_OP_CMP_GT, 3)));
	SAY(other);
	SAY(futex(&word, FUTEX_WAKE_OP_PRIVATE, 1, (void *)10, &other, FUTEX_OP(FUTEX_OP_XOR, 3, FUTEX_OP_CMP_NE, 9)));
	SAY(other);
	SAY(futex(&word, FUTEX_WAKE_OP_PRIVATE, 1, (void *)10, &other, FUTEX_OP(FUTEX_OP_ANDN, 2, FUTEX_OP_CMP_LT, 9)));
	SAY(other);
	SAY(futex(&word, FUTEX_WAKE_OP_PRIVATE, 1, (void *)10, &other, FUTEX_OP(FUTEX_OP_OR, 4, FUTEX_OP_CMP_LE, 9)));
	SAY(other);
	join(t, 2);
	/* priority inheritance */
	uint32_t pi = 0;
	SAY(futex(&pi, FUTEX_LOCK_PI, 0, NULL, NULL, 0));
	SAY(pi == (uint32_t)getpid());
	SAY(futex(&pi, FUTEX_LOCK_PI, 0, NULL, NULL, 0));
	start(t, 4, locks_pi, &pi);
	SAY(woken);
	SAY(!!(pi & FUTEX_WAITERS));
	SAY(futex(&pi, FUTEX_UNLOCK_PI, 0, NULL, NULL, 0));
	wait_woken(4);
	join(t, 4);
	SAY(futex(&pi, FUTEX_TRYLOCK_PI, 0, NULL, NULL, 0));
	SAY(futex(&pi, FUTEX_UNLOCK_PI, 0, NULL, NULL, 0));
	SAY(futex(&pi, FUTEX_UNLOCK_PI, 0, NULL, NULL, 0));
	/* between processes */
	uint32_t *shared = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	pid_t child;
	CHILD(child, {
		while (__atomic_load_n(shared, __ATOMIC_SEQ_CST) == 0)
			futex(shared, FUTEX_WAIT, 0, NULL, NULL, 0);
		_exit(*shared);
	});
	until_asleep(child);
	__atomic_store_n(shared, 5, __ATOMIC_SEQ_CST);
	SAY(futex(shared, FUTEX_WAKE, 10, NULL, NULL, 0));
	puts(fate_of(child));
	/* after fork, a private word is another one */
	word = 0;
	CHILD(child, {
		ts = (struct timespec){ 0, 50000000 };
		_exit(futex(&word, FUTEX_WAIT_PRIVATE, 0, &ts, NULL, 0) == -1 && errno == ETIMEDOUT ? 7 : 8);
	});
	pause_ms(20);
	SAY(futex(&word, FUTEX_WAKE_PRIVATE, 10, NULL, NULL, 0));
	puts(fate_of(child));
	/* several at once */
	struct {
		uint64_t value, address;
		uint32_t flags, reserved;
	} v[2] = { { 1, (uintptr_t)&word, 2 | FUTEX_PRIVATE_FLAG, 0 }, { 0, (uintptr_t)&other, 2 | FUTEX_PRIVATE_FLAG, 0 } };
	word = other = 0;
	SAY(syscall(SYS_futex_waitv, v, 2, 0, NULL, 0));
	v[0].value = 0;
	woken = 0;
	pthread_create(t, NULL, waits, &other);
	clock_gettime(CLOCK_MONOTONIC, &ts);
	ts.tv_nsec += 5000000;
	if (ts.tv_nsec >= 1000000000) {
		ts.tv_nsec -= 1000000000;
		ts.tv_sec++;
	}
	SAY(syscall(SYS_futex_waitv, v, 2, 0, &ts, CLOCK_MONOTONIC));
	other = 1;
	SAY(futex(&other, FUTEX_WAKE_PRIVATE, 10, NULL, NULL, 0));
	join(t, 1);
	/* the word that the kernel clears when a thread ends wakes who waits: join */
	for (int i = 0; i < 500; i++) {
		word = 1;
		pthread_create(t, NULL, waits, NULL);
		pthread_join(t[0], NULL);
	}
	SAY(woken);
	return 0;
}
