/*
 * Handlers of faults: SIGSEGV, SIGBUS, SIGFPE, SIGILL; si_code and si_addr; retry after a repair,
 * jumps, alternate stacks.
 */
#include "process.h"
#include <fcntl.h>
#include <setjmp.h>

static sigjmp_buf env;
static volatile sig_atomic_t code, count;
static volatile uintptr_t address;
static char *area;
static size_t page;

static void jumps(int signal, siginfo_t *info, void *context)
{
	(void)context;
	code = info->si_code;
	address = (uintptr_t)info->si_addr;
	siglongjmp(env, signal);
}

static void repairs(int signal, siginfo_t *info, void *context)
{
	(void)signal;
	(void)context;
	char *at = (char *)((uintptr_t)info->si_addr / page * page);

	MUST(at >= area && at < area + 100 * page);
	MUST(mprotect(at, page, PROT_READ | PROT_WRITE) == 0);
	count++;
}

static void install(int signal, void (*handler)(int, siginfo_t *, void *), int flags)
{
	struct sigaction sa = { .sa_sigaction = handler, .sa_flags = SA_SIGINFO | flags };

	MUST(sigaction(signal, &sa, NULL) == 0);
}

/* Evaluates; says which signal came, with which code, and where from the expected address. */
#define FAULTS(what, at) do { \
		int s_ = sigsetjmp(env, 1); \
		if (!s_) { \
			what; \
			printf("%s: no signal\n", #what); \
		} else { \
			printf("%s: signal %d code %d at %lld\n", #what, s_, code, (long long)(address - (uintptr_t)(at))); \
		} \
	} while (0)

static volatile int zero, sink;
static volatile int64_t zero64;

static int __attribute__((noinline)) deep(int n)
{
	volatile char frame[2000];

	frame[0] = n;
	return n == 0 ? 0 : deep(n + 1) + frame[0];
}

/*
 * Not in main: a function that calls setjmp must fault in a call, or in an access or division
 * (docs/abi.md).
 */
static void __attribute__((noinline)) trap(void)
{
	if (!zero)
		__builtin_trap();
}

static int __attribute__((noinline)) remainder_of(int a, int b)
{
	return a % b;
}

int main(void)
{
	volatile char *p;
	char c;

	LINES();
	page = PAGE;
	install(SIGSEGV, jumps, 0);
	install(SIGBUS, jumps, 0);
	install(SIGFPE, jumps, 0);
	install(SIGILL, jumps, 0);
	area = mmap(NULL, 100 * page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	p = area;
	FAULTS(c = p[5], p + 5);
	FAULTS(p[page + 7] = 1, p + page + 7);
	mprotect(area, page, PROT_READ);
	FAULTS(c = p[5], p + 5);
	FAULTS(p[5] = 1, p + 5);
	munmap(area + 50 * page, page);
	FAULTS(c = p[50 * page + 3], p + 50 * page + 3);
	p = NULL;
	FAULTS(c = *p, 0);
	p = (char *)100;
	FAULTS(*p = 1, 100);
	(void)c;
	/* again and again */
	volatile int times = 0;
	p = area + 3 * page;
	for (volatile int i = 0; i < 1000; i++)
		if (!sigsetjmp(env, 1))
			*p = 1;
		else
			times++;
	SAY(times);
	/* beyond the end of a file */
	int fd = open("f", O_RDWR | O_CREAT, 0600);
	char *f = mmap(NULL, 4 * page, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	FAULTS(f[10] = 1, f + 10);
	ftruncate(fd, page);
	FAULTS(f[10] = 1, f + 10);
	FAULTS(sink = f[page], f + page);
	/* arithmetic */
	FAULTS(sink = 5 / zero, address);
	FAULTS(sink = remainder_of(5, zero), address);
	FAULTS(sink = 5 / zero64, address);
	FAULTS(trap(), address);
	/* after a repair, the access is made again */
	install(SIGSEGV, repairs, 0);
	mprotect(area, 50 * page, PROT_NONE);
	for (int i = 0; i < 40; i++) {
		area[i * page + i] = 'a' + i % 26;
		MUST(area[i * page + i] == 'a' + i % 26);
	}
	SAY(count);
	memset(area + 40 * page, 'm', 10 * page);
	SAY(count);
	SAY(area[50 * page - 1]);
	/* the kernel does not: it says EFAULT */
	mprotect(area, page, PROT_NONE);
	int z = open("/dev/zero", O_RDONLY);
	SAY(read(z, area, 10));
	SAY(count);
	/* a stack that is used up, on another one */
	stack_t ss = { .ss_sp = malloc(1 << 17), .ss_size = 1 << 17 };
	MUST(sigaltstack(&ss, NULL) == 0);
	install(SIGSEGV, jumps, SA_ONSTACK);
	for (volatile int i = 0; i < 5; i++) {
		int s = sigsetjmp(env, 1);
		if (!s)
			printf("%d\n", deep(1));
		else
			printf("stack: signal %d\n", s);
	}
	/* blocked or ignored, a fault kills */
	IN_CHILD({
		sigset_t set;
		sigemptyset(&set);
		sigaddset(&set, SIGSEGV);
		sigprocmask(SIG_BLOCK, &set, NULL);
		*(volatile char *)area = 1;
	});
	IN_CHILD(signal(SIGSEGV, SIG_IGN); *(volatile char *)area = 1);
	IN_CHILD(signal(SIGFPE, SIG_IGN); sink = 7 / zero);
	/* a fault in the handler of a fault */
	volatile char *volatile wild = (char *)16;
	IN_CHILD(struct sigaction sa = { .sa_sigaction = repairs, .sa_flags = SA_SIGINFO }; sigaction(SIGSEGV, &sa, NULL); *wild = 1);
	/* sent by a process, it is like any other */
	install(SIGSEGV, jumps, 0);
	FAULTS(raise(SIGSEGV), address);
	/* SA_RESETHAND: the second one kills */
	IN_CHILD({
		install(SIGSEGV, jumps, SA_RESETHAND);
		if (!sigsetjmp(env, 1))
			*(volatile char *)area = 1;
		else
			puts("first");
		*(volatile char *)area = 1;
	});
	return 0;
}
