/* setjmp and longjmp. */
#include "common.h"
#include <setjmp.h>
#include <signal.h>

static jmp_buf outer, inner, bufs[10];
static sigjmp_buf with_mask;
static int depth_reached;

static void __attribute__((noinline)) down(int n, jmp_buf env, int value)
{
	volatile char pad[200];

	memset((char *)pad, n, sizeof pad);
	depth_reached = n;
	if (n == 0)
		longjmp(env, value);
	if (n > 0)
		down(n - 1, env, value);
	printf("not reached %d\n", pad[0]);
}

static int __attribute__((noinline)) catches(int value)
{
	jmp_buf here;
	int v = setjmp(here);

	if (v)
		return v;
	down(50, here, value);
	return -1;
}

static void __attribute__((noinline)) nested(int n)
{
	if (setjmp(bufs[n]) == 0) {
		if (n < 9)
			nested(n + 1);
		else
			longjmp(bufs[9], 1);
	} else {
		printf("frame %d\n", n);
		if (n > 0)
			longjmp(bufs[n - 1], n);
	}
}

static int compare(const void *a, const void *b)
{
	if (*(int *)a == 13 || *(int *)b == 13)
		longjmp(inner, 77);
	return *(int *)a - *(int *)b;
}

static void handler(int sig)
{
	siglongjmp(with_mask, sig);
}

int main(void)
{
	volatile int kept = 1, rounds = 0;
	volatile double d = 1.5;
	volatile long long ll = 1ll << 40;
	char local[100];

	/* the value, and 0 turned into 1 */
	for (int value = -2; value < 4; value++)
		printf("longjmp %d gives %d\n", value, catches(value));
	printf("%d\n", catches(0x7fffffff));

	/* volatile variables keep what they were given after setjmp */
	switch (setjmp(outer)) {
	case 0:
		kept = 2;
		d = 2.5;
		ll++;
		longjmp(outer, 5);
	case 5:
		printf("%d %.1f %lld\n", kept, d, ll);
		break;
	default:
		puts("wrong");
	}

	/* one buffer, many times; an array and its contents survive */
	memset(local, 'l', sizeof local);
	int v = setjmp(outer);
	rounds++;
	if (v < 1000)
		longjmp(outer, v + 1);
	printf("%d rounds, v %d, local %c%c\n", rounds, v, local[0], local[99]);

	nested(0);

	/* out of a callback of the library */
	int numbers[100];
	for (int i = 0; i < 100; i++)
		numbers[i] = (i * 37) % 100;
	if ((v = setjmp(inner)) == 0) {
		qsort(numbers, 100, sizeof *numbers, compare);
		puts("not reached");
	}
	printf("out of qsort with %d\n", v);

	/* two buffers: the inner call jumps over the outer's frame */
	if ((v = setjmp(outer)) == 0) {
		if (setjmp(inner) == 0)
			down(1000, outer, 9);
		puts("not reached");
	}
	printf("outer %d at depth %d\n", v, depth_reached);

	/* from a loop with conditions in an expression */
	volatile int i = 0;
	while (!setjmp(inner) || i < 5) {
		i++;
		if (i < 5)
			longjmp(inner, i);
		break;
	}
	printf("i %d\n", i);

	/* many jumps leak nothing */
	volatile int n = 0;
	uintptr_t sp0 = 0;
	for (n = 0; n < 100000; n++) {
		volatile char here = 0;
		if (n == 0)
			sp0 = (uintptr_t)&here;
		MUST((uintptr_t)&here == sp0);
		if (setjmp(inner) == 0)
			longjmp(inner, 1);
	}
	printf("%d jumps\n", n);

	/* out of a signal handler; the mask comes back with sigsetjmp(…, 1) */
	signal(SIGUSR1, handler);
	for (volatile int k = 0; k < 3; k++) {
		int s = sigsetjmp(with_mask, 1);
		if (!s) {
			raise(SIGUSR1);
			puts("not reached");
		}
		sigset_t mask;
		sigprocmask(SIG_BLOCK, NULL, &mask);
		printf("out of handler %d, blocked %d\n", s == SIGUSR1, sigismember(&mask, SIGUSR1));
	}
	return 0;
}
