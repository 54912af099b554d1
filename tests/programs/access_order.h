/* Memory accesses stay in the order of the source, and none is merged or left out, where a handler
 * can see that: one of a fault, or one of a timer that plays the other thread of litmus tests. The
 * program that includes this says what FORKS is. */
#include "process.h"
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/time.h>

#define SIZE 65536
#define ROUNDS 2000000
#define STRIKES 1500

/* Accesses around one that faults. The handler makes the page accessible and writes all these. */
static volatile int word;
static volatile long long wide;
static volatile double real;
static atomic_int atomic;
static int seen[5];
static char *page;

static void allow(int signal)
{
	(void)signal;
	seen[word % 5]++;
	word = 40;
	wide = 50;
	real = 60;
	atomic_store(&atomic, 70);
	mprotect(page, SIZE, PROT_READ | PROT_WRITE);
}

static void protect(void)
{
	word = wide = real = 0;
	atomic = 0;
	memset(seen, 0, sizeof seen);
	MUST(mprotect(page, SIZE, PROT_READ | PROT_WRITE) == 0);
	memset(page, 0, 64);
	MUST(mprotect(page, SIZE, PROT_NONE) == 0);
}

#define OUT_OF_LINE __attribute__((noinline)) static

OUT_OF_LINE int read_then_word(volatile int *v) { FORKS; int r = v[5]; return r + word; }
OUT_OF_LINE long long read_then_wide(volatile int *v) { FORKS; int r = v[5]; return r + wide; }
OUT_OF_LINE double read_then_real(volatile int *v) { FORKS; int r = v[5]; return r + real; }
OUT_OF_LINE int read_then_atomic(volatile int *v) { FORKS; int r = v[5]; return r + atomic_load(&atomic); }
OUT_OF_LINE int word_then_read(volatile int *v) { FORKS; int r = word; return r + v[5]; }
OUT_OF_LINE int wide_read_then_word(volatile long long *v) { FORKS; int r = v[5]; return r + word; }
OUT_OF_LINE int write_then_word(volatile int *v) { FORKS; v[5] = 1; return word; }
OUT_OF_LINE int word_twice(volatile int *v) { FORKS; int a = word; int r = v[5]; return a * 100 + r + word; }
OUT_OF_LINE long long wide_twice(volatile long long *v) { FORKS; long long a = wide; long long r = v[5]; return a * 100 + r + wide; }
OUT_OF_LINE int copy_then_word(volatile int *v, void *to) { FORKS; memcpy(to, (void *)v, 2000); return word; }
OUT_OF_LINE int divide_before(volatile int *v, int a, int b) { FORKS; word = 1; int r = v[5] + a / b; word = 2; return r; }

static void faults(void)
{
	char to[2000];
#define FAULT(call) do { protect(); printf("%s = %g\n", #call, (double)(call)); } while (0)
	FAULT(read_then_word((int *)page));
	FAULT(read_then_wide((int *)page));
	FAULT(read_then_real((int *)page));
	FAULT(read_then_atomic((int *)page));
	FAULT(word_then_read((int *)page));
	FAULT(wide_read_then_word((long long *)page));
	FAULT(write_then_word((int *)page));
	FAULT(word_twice((int *)page));
	FAULT(wide_twice((long long *)page));
	FAULT(copy_then_word((int *)page, to));
	FAULT(divide_before((int *)page, 6, 3));
	printf("the handler saw 1: %d, now it is %d\n", seen[1], word);
}

/* Litmus tests: one side is the loop, the other one the handler, which strikes between any two of
 * its instructions. */
static atomic_int x, y, round_;
static volatile int strikes, at, r2;
static int kind;

static void strike(int signal)
{
	int n = atomic_load_explicit(&round_, memory_order_relaxed);

	(void)signal;
	strikes++;
	/* A round has one strike: what the loop saw of one, the next may not see of the loop. */
	if ((kind == 2 || kind == 3) && at == n)
		return;
	switch (kind) {
	case 0: /* message passing, the handler writes */
		atomic_store_explicit(&x, strikes, memory_order_relaxed);
		atomic_store_explicit(&y, strikes, memory_order_release);
		break;
	case 1: /* message passing, the handler reads */
		r2 = atomic_load_explicit(&y, memory_order_acquire);
		if (atomic_load_explicit(&x, memory_order_relaxed) - r2 < 0)
			at = 1;
		break;
	case 2: /* store buffering */
		atomic_store(&y, n);
		r2 = atomic_load(&x);
		at = n;
		break;
	case 3: /* load buffering */
		r2 = atomic_load(&y);
		atomic_store(&x, n);
		at = n;
		break;
	case 4: /* read-read coherence */
		atomic_store(&x, strikes);
		break;
	}
}

static unsigned busy(unsigned n)
{
	for (int i = 0; i < 4; i++)
		n = n * 1664525 + 1013904223;
	return n;
}

OUT_OF_LINE int passing_reads(void)
{
	FORKS;
	int flag = atomic_load_explicit(&y, memory_order_acquire);
	int data = atomic_load_explicit(&x, memory_order_relaxed);
	return data - flag < 0;
}

OUT_OF_LINE int passing_writes(int n)
{
	FORKS;
	atomic_store_explicit(&x, n, memory_order_relaxed);
	atomic_store_explicit(&y, n, memory_order_release);
	return at;
}

OUT_OF_LINE int store_buffering(int n)
{
	FORKS;
	atomic_store(&x, n);
	int r1 = atomic_load(&y);
	atomic_store(&round_, n + 1);
	return at == n && r1 != n && r2 != n;
}

OUT_OF_LINE int load_buffering(int n)
{
	FORKS;
	int r1 = atomic_load(&x);
	atomic_store(&y, n);
	atomic_store(&round_, n + 1);
	return at == n && r1 == n && r2 == n;
}

OUT_OF_LINE int coherence(void)
{
	FORKS;
	int a = atomic_load_explicit(&x, memory_order_relaxed);
	int b = atomic_load_explicit(&x, memory_order_relaxed);
	return b - a < 0;
}

static void litmus(void)
{
	static const char *const names[] = {
		"message passing, read", "message passing, written", "store buffering", "load buffering", "coherence",
	};
	static volatile unsigned sink __attribute__((unused));
	struct itimerval it = { { 0, 100 }, { 0, 100 } };

	signal(SIGALRM, strike);
	for (kind = 0; kind < 5; kind++) {
		int wrong = 0, n;

		atomic_store(&x, 0);
		atomic_store(&y, 0);
		atomic_store(&round_, 1);
		strikes = at = r2 = 0;
		MUST(setitimer(ITIMER_REAL, &it, NULL) == 0);
		for (n = 1; n < ROUNDS || strikes < STRIKES; n++) {
			switch (kind) {
			case 0: wrong += passing_reads(); break;
			case 1: wrong += passing_writes(n); break;
			case 2: wrong += store_buffering(n); break;
			case 3: wrong += load_buffering(n); break;
			case 4: wrong += coherence(); break;
			}
			sink = busy(n);
		}
		MUST(setitimer(ITIMER_REAL, &(struct itimerval){ 0 }, NULL) == 0);
		printf("%s: %d wrong\n", names[kind], wrong);
	}
}

/* The handler sees each volatile store, and each volatile read reads anew, with nothing but
 * computing between. */
static void look(int signal)
{
	(void)signal;
	seen[word]++;
	strikes++;
	wide = strikes;
}

static void stores(void)
{
	struct itimerval it = { { 0, 500 }, { 0, 500 } };
	unsigned n = 1;
	int changed = 0;
	static volatile unsigned sink __attribute__((unused));

	memset(seen, 0, sizeof seen);
	strikes = word = 0;
	signal(SIGALRM, look);
	MUST(setitimer(ITIMER_REAL, &it, NULL) == 0);
	while (strikes < 400) {
		word = 1;
		for (int i = 0; i < 500; i++)
			n = busy(n);
		word = 2;
		for (int i = 0; i < 500; i++)
			n = busy(n);
		word = 3;
		sink = n;
		long long a = wide;
		for (int i = 0; i < 500; i++)
			n = busy(n);
		long long b = wide;
		changed += a != b;
		sink = n;
	}
	MUST(setitimer(ITIMER_REAL, &(struct itimerval){ 0 }, NULL) == 0);
	printf("stores seen: %d %d %d, reads differed: %d\n", seen[1] > 20, seen[2] > 20, seen[3] > 20, changed > 20);
}

/* Two threads, one after the other as the scheduler has it. */
static void *writer(void *arg)
{
	(void)arg;
	for (int n = 1; n < ROUNDS; n++) {
		atomic_store_explicit(&x, n, memory_order_relaxed);
		atomic_store_explicit(&y, n, memory_order_release);
	}
	atomic_store(&round_, -1);
	return NULL;
}

static void threads(void)
{
	pthread_t thread;
	int wrong = 0;

	atomic_store(&x, 0);
	atomic_store(&y, 0);
	atomic_store(&round_, 0);
	MUST(pthread_create(&thread, NULL, writer, NULL) == 0);
	while (atomic_load(&round_) != -1)
		wrong += passing_reads();
	MUST(pthread_join(thread, NULL) == 0);
	printf("threads: %d wrong\n", wrong);
}

int main(int argc, char **argv)
{
	(void)argv;
	never = argc > 100;
	page = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	MUST(page != MAP_FAILED);
	signal(SIGSEGV, allow);
	faults();
	stores();
	litmus();
	threads();
	return 0;
}
