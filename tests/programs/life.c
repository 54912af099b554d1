/*
 * Constructors, destructors, atexit, and what exit and _exit do with buffers. The argument chooses
 * the end.
 */
#include "common.h"

static int order;
static int initialised = 42;
static int zero[1000];
static const char *const table[] = { "relocated", "pointers" };
static int (*const function)(const char *) = puts;
static __thread int of_thread = 17;
static __thread int of_thread_zero;

__attribute__((constructor)) static void plain(void) { printf("constructor without priority, order %d\n", order++); }
__attribute__((constructor(200))) static void second(void) { printf("constructor 200, order %d\n", order++); }
__attribute__((constructor(101))) static void first(void)
{
	/* musl flushes the first line of an output that it has not looked at yet */
	setvbuf(stdout, NULL, _IOFBF, 8192);
	printf("constructor 101, order %d, data %d %d\n", order++, initialised, zero[999]);
}
__attribute__((destructor(101))) static void last_down(void) { printf("destructor 101\n"); }
__attribute__((destructor(200))) static void down(void) { printf("destructor 200\n"); }

static void a(void) { puts("atexit a"); }
static void c(void) { puts("atexit c, registered while exiting"); }
static void b(void) { puts("atexit b"); atexit(c); }
static void quick(void) { puts("at_quick_exit"); fflush(stdout); }

int main(int argc, char **argv)
{
	function(table[0]);
	printf("%s %d %d order %d\n", table[1], of_thread, of_thread_zero, order);
	MUST(atexit(a) == 0 && atexit(b) == 0);
	for (int i = 0; i < 40; i++)
		MUST(atexit(fflush == NULL ? a : quick) == 0);
	at_quick_exit(quick);
	fprintf(stderr, "to stderr at once\n");
	printf("left in the buffer");
	switch (argc > 1 ? argv[1][0] : 'r') {
	case 'r': return 3;
	case 'e': exit(4);
	case '_': _exit(5);
	case 'q': quick_exit(6);
	case 'b': exit(256 + 7);
	case 'n': exit(-1);
	case 'a': abort();
	}
	return 0;
}
