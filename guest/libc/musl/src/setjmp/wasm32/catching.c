/* In functions that call setjmp, wasmlinux-cc has clang call these before each access and division
 * and at the begin of each block, by clang's names for them. If it faults, it does so here, in a call,
 * and a handler can leave by longjmp to the calling function; so can one that interrupts here. */
#define TRY(size) \
	void __sanitizer_cov_load##size(const volatile char *p) { p[0]; p[size-1]; } \
	void __sanitizer_cov_store##size(volatile char *p) \
	{ \
		__atomic_fetch_or(p, 0, __ATOMIC_RELAXED); \
		if (size > 1) __atomic_fetch_or(p+size-1, 0, __ATOMIC_RELAXED); \
	}
TRY(1)
TRY(2)
TRY(4)
TRY(8)
TRY(16)

/* volatile: a compiler that sees the division by zero makes nothing of it */
static volatile unsigned quotient = 1, zero;
void __sanitizer_cov_trace_div4(unsigned divisor) { if (!divisor) quotient = quotient / zero; }
void __sanitizer_cov_trace_div8(unsigned long long divisor) { if (!divisor) quotient = quotient / zero; }

void __sanitizer_cov_trace_pc(void) { __asm__ volatile ("nop"); }
