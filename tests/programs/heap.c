/*
 * The heap and the stack: brk and sbrk, malloc under load, stacks that grow, their limit, big
 * frames.
 */
#include "process.h"
#include <sys/resource.h>
#include <sys/syscall.h>

static char *brk_now(void)
{
	return (char *)syscall(SYS_brk, 0);
}

static int deep(int n)
{
	volatile char frame[10000];

	memset((char *)frame, n, sizeof frame);
	int below = n ? deep(n - 1) : 0;
	return below + (frame[n % sizeof frame] == (char)n);
}

int main(void)
{
	size_t page = PAGE;

	LINES();
	puts("heap"); /* the library's buffers come first: they may lie in the heap */
	/* by the system call: libraries refuse sbrk with an increment, or use it themselves */
	IN_CHILD({
		char *start = brk_now();
		start = (char *)(((uintptr_t)start + page - 1) / page * page);
		MUST((char *)syscall(SYS_brk, start + 10 * page) == start + 10 * page);
		for (size_t i = 0; i < 10 * page; i += 100)
			MUST(start[i] == 0);
		memset(start, 'b', 10 * page);
		MUST((char *)syscall(SYS_brk, start + 3 * page + 5) == start + 3 * page + 5);
		printf("in the last page %c\n", start[4 * page - 1]);
		MUST((char *)syscall(SYS_brk, start + 6 * page) == start + 6 * page);
		printf("again %d %c\n", start[5 * page], start[3 * page]);
		/* nonsense changes nothing */
		MUST((char *)syscall(SYS_brk, 4096) == start + 6 * page);
		MUST((char *)syscall(SYS_brk, (char *)-4096) == start + 6 * page);
		MUST(brk_now() == start + 6 * page);
		struct rlimit limit = { 16 * page, 16 * page };
		MUST(setrlimit(RLIMIT_DATA, &limit) == 0);
		MUST((char *)syscall(SYS_brk, start + 1000 * page) == start + 6 * page);
	});
	/* malloc: many sizes, in an order that is random and repeatable */
	static unsigned char *blocks[1000];
	static size_t sizes[1000];
	uint64_t seed = 42;
	for (int round = 0; round < 40000; round++) {
		int i = next_random(&seed) % countof(blocks);
		if (blocks[i]) {
			MUST(blocks[i][0] == (unsigned char)i && blocks[i][sizes[i] - 1] == (unsigned char)i);
			if (next_random(&seed) % 3) {
				free(blocks[i]);
				blocks[i] = NULL;
				continue;
			}
			size_t n = 1 + next_random(&seed) % (1u << (4 + next_random(&seed) % 13));
			blocks[i] = realloc(blocks[i], n);
			MUST(blocks[i] && blocks[i][0] == (unsigned char)i);
			sizes[i] = n;
		} else {
			sizes[i] = 1 + next_random(&seed) % (1u << (4 + next_random(&seed) % 14));
			blocks[i] = malloc(sizes[i]);
			MUST(blocks[i]);
		}
		memset(blocks[i], i, sizes[i]);
	}
	puts("malloc");
	char *zero = calloc(1000, 1000);
	for (int i = 0; i < 1000000; i++)
		MUST(zero[i] == 0);
	void *aligned;
	SAY(posix_memalign(&aligned, 4096, 10000) == 0 && (uintptr_t)aligned % 4096 == 0);
	volatile size_t too_much = (size_t)-1 - 100000;
	void *volatile none = malloc(too_much);
	SAY(none == NULL);

	/* the stack */
	SAY(deep(100));
	SAY(deep(500));
	IN_CHILD({
		struct rlimit limit = { 1 << 20, 1 << 20 };
		MUST(setrlimit(RLIMIT_STACK, &limit) == 0);
		deep(50);
		puts("50 frames");
		deep(400);
	});
	struct rlimit limit;
	SAY(getrlimit(RLIMIT_STACK, &limit));
	SAY(limit.rlim_cur == 8 << 20);
	/* a wild access far below it, inside the area that it may grow into */
	volatile char here;
	SAY(deep(300));
	(void)here;
	/* limits of the address space */
	IN_CHILD({
		struct rlimit as = { 64 << 20, 64 << 20 };
		MUST(setrlimit(RLIMIT_AS, &as) == 0);
		printf("%d\n", mmap(NULL, 80 << 20, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED && errno == ENOMEM);
		void *volatile p = malloc(80 << 20);
		printf("%d\n", p == NULL);
		p = malloc(1 << 20);
		printf("%d\n", p != NULL);
	});
	return 0;
}
