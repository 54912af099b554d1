#include <stdint.h>
#include <string.h>

/*
 * In functions that call setjmp, wasmlinux-cc has clang call these before each access and at the
 * begin of each block, by clang's names for them. If it faults, it does so here, in a call, and a
 * handler can leave by longjmp to the calling function; so can one that interrupts here.
 */
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

/*
 * wasmlinux-cc calls these instead of the instructions of their names, and __catching_unreachable
 * and __catching_call (with the function's address) before them.
 */
#define INSTEAD __attribute__((used))
#define DIVIDE(bits) \
	INSTEAD int##bits##_t __catching_i##bits##_div_s(int##bits##_t a, int##bits##_t b) { return a / b; } \
	INSTEAD int##bits##_t __catching_i##bits##_rem_s(int##bits##_t a, int##bits##_t b) { return a % b; } \
	INSTEAD uint##bits##_t __catching_i##bits##_div_u(uint##bits##_t a, uint##bits##_t b) { return a / b; } \
	INSTEAD uint##bits##_t __catching_i##bits##_rem_u(uint##bits##_t a, uint##bits##_t b) { return a % b; }
DIVIDE(32)
DIVIDE(64)

INSTEAD void __catching_unreachable(void) { __builtin_trap(); }
INSTEAD void __catching_memory_copy(void *to, const void *from, size_t n) { memmove(to, from, n); }
INSTEAD void __catching_memory_fill(void *to, int c, size_t n) { memset(to, c, n); }

/* A call of no function at all is made here, where it traps. */
__asm__ (
	".section .text.__catching_call,\"\",@\n"
	".tabletype __indirect_function_table, funcref\n"
	".globl __catching_call\n"
	".no_dead_strip __catching_call\n"
	".type __catching_call,@function\n"
	"__catching_call:\n"
	".functype __catching_call (i32) -> (i32)\n"
	"block\n"
	"block\n"
	"local.get 0\n"
	"table.size __indirect_function_table\n"
	"i32.ge_u\n"
	"br_if 0\n"
	"local.get 0\n"
	"table.get __indirect_function_table\n"
	"ref.is_null\n"
	"i32.eqz\n"
	"br_if 1\n"
	"end_block\n"
	"local.get 0\n"
	"call_indirect __indirect_function_table, () -> ()\n"
	"end_block\n"
	"local.get 0\n"
	"end_function\n");

/*
 * clang calls this before a division by zero. volatile: a compiler that sees the division makes
 * nothing of it
 */
static volatile unsigned quotient = 1, zero;
/* It is also called in programs that have clang look for undefined behaviour (ubsan.c). */
void __ubsan_report(const char *) __attribute__((__weak__));
void __ubsan_handle_divrem_overflow_minimal(void)
{
	if (__ubsan_report) __ubsan_report("divrem-overflow");
	quotient = quotient / zero;
}

void __sanitizer_cov_trace_pc(void) { __asm__ volatile ("nop"); }
