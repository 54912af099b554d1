/* Handlers of traps that leave by longjmp, from each kind of instruction that traps. */
#include "common.h"
#include <setjmp.h>
#include <signal.h>

static sigjmp_buf back;
static volatile int signal_seen, code_seen;
static void *volatile address_seen;
static volatile int zero;
static volatile unsigned char zero_byte;
static volatile short zero_short;
static volatile unsigned zero_unsigned;
static volatile long long zero_long;
static int (*volatile nowhere)(int);
struct record { char bytes[300]; };
static struct record *volatile no_record;
struct record somewhere;

static void handler(int signo, siginfo_t *info, void *context)
{
	signal_seen = signo;
	code_seen = info->si_code;
	address_seen = info->si_addr;
	siglongjmp(back, 1);
}

/* Does it in a function that calls setjmp; says what came of it. */
#define TRY(...) do { \
		signal_seen = code_seen = 0; \
		if (!sigsetjmp(back, 1)) { \
			__VA_ARGS__; \
			puts("went on"); \
		} \
		printf("%s: signal %d", #__VA_ARGS__, signal_seen); \
		if (signal_seen == SIGSEGV) \
			printf(" code %d address %d", code_seen, (int)(intptr_t)address_seen); \
		putchar('\n'); \
	} while (0)

int main(void)
{
	struct sigaction action = { .sa_sigaction = handler, .sa_flags = SA_SIGINFO };

	sigaction(SIGFPE, &action, NULL);
	sigaction(SIGILL, &action, NULL);
	sigaction(SIGSEGV, &action, NULL);
	sigaction(SIGABRT, &action, NULL);
	for (volatile int round = 0; round < 3; round++) {
		TRY(printf("%d\n", 7 / zero));
		TRY(printf("%d\n", 7 % zero));
		TRY(printf("%d\n", 7 / zero_byte));
		TRY(printf("%d\n", 7 % zero_short));
		TRY(printf("%u\n", 7 / zero_unsigned));
		TRY(printf("%lld\n", 7 / zero_long));
		TRY(printf("%lld\n", 7 % zero_long));
		TRY(nowhere(1));
		TRY(*(volatile int *)16 = 1);
		TRY(memcpy(&somewhere, no_record, sizeof somewhere));
		TRY(__builtin_trap());
		TRY(abort());
	}
	return 0;
}
