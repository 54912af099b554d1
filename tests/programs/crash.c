/* Dies in the way that the argument names. */
#include "common.h"
#include <limits.h>
#include <signal.h>
#include <sys/mman.h>

/* Volatile, so that the compiler cannot know it. */
static volatile int zero;
static volatile int sink;
static volatile int numerator = 1000003;

static int __attribute__((noinline)) endless(int n)
{
	volatile char frame[64];

	frame[n & 63] = (char)n;
	return zero ? n : endless(n + 1) + frame[(n + 1) & 63];
}

static int __attribute__((noinline)) endless_without_memory(int n)
{
	return zero ? n : endless_without_memory(n + 1) * 3 + 1;
}

static double takes_double(double d)
{
	return d + 1;
}

int main(int argc, char **argv)
{
	const char *how = argc > 1 ? argv[1] : "";
	/* volatile, or the compiler sees through it */
	volatile uintptr_t address = argc > 2 ? (uintptr_t)strtoull(argv[2], NULL, 0) : 0;

	printf("about to %s\n", how);
	fflush(stdout);
	if (!strcmp(how, "divide"))
		sink = numerator / zero;
	else if (!strcmp(how, "remainder"))
		sink = numerator % zero;
	else if (!strcmp(how, "divide64"))
		sink = (int)((unsigned long long)numerator * 5000000000ull / (unsigned)zero);
	else if (!strcmp(how, "overflow"))
		sink = (INT_MIN + zero) / (zero - 1);
	else if (!strcmp(how, "unreachable"))
		__builtin_trap();
	else if (!strcmp(how, "read"))
		sink = *(volatile char *)address;
	else if (!strcmp(how, "read64"))
		sink = (int)*(volatile int64_t *)address;
	else if (!strcmp(how, "write"))
		*(volatile char *)address = 1;
	else if (!strcmp(how, "memset"))
		memset((void *)address, 1, 100000);
	else if (!strcmp(how, "memcpy"))
		memcpy((void *)address, argv, 4096);
	else if (!strcmp(how, "far"))
		/* with an offset that the machine adds to the address: beyond 4 GiB in the guest */
		sink = ((volatile int *)address)[0x1000000];
	else if (!strcmp(how, "readonly")) {
		char *page = mmap(NULL, 65536, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		MUST(page != MAP_FAILED);
		sink = page[100];
		*(volatile char *)page = 1;
	} else if (!strcmp(how, "none")) {
		char *page = mmap(NULL, 65536, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		MUST(page != MAP_FAILED);
		sink = *(volatile char *)page;
	} else if (!strcmp(how, "unmapped")) {
		char *page = mmap(NULL, 65536, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		MUST(page != MAP_FAILED);
		page[5] = 1;
		MUST(munmap(page, 65536) == 0);
		sink = *(volatile char *)(page + 5);
	} else if (!strcmp(how, "call"))
		((void (*)(void))address)();
	else if (!strcmp(how, "mistyped")) {
		/* volatile: a compiler that sees the mistake makes it a trap at once */
		int (*volatile f)(int, int, int) = (int (*)(int, int, int))(uintptr_t)takes_double;
		sink = f(1, 2, 3);
	} else if (!strcmp(how, "recursion"))
		sink = endless(0);
	else if (!strcmp(how, "recursion-without-memory"))
		sink = endless_without_memory(0);
	else if (!strcmp(how, "abort"))
		abort();
	else if (!strcmp(how, "raise"))
		raise((int)address);
	else if (!strcmp(how, "kill"))
		kill(getpid(), (int)address);
	else if (!strcmp(how, "ignored-abort")) {
		signal(SIGABRT, SIG_IGN);
		abort();
	}
	printf("still here\n");
	return 55;
}
