/* Copy on write: what parent and children see after fork, at many depths and in any order. */
#include "process.h"

#define RW (PROT_READ | PROT_WRITE)

static int data = 1;
static char bss[200000];

static void generations(int depth, char *p, size_t n)
{
	if (!depth)
		return;
	pid_t child;
	memset(p, 'a' + depth, n);
	CHILD(child, {
		MUST(p[0] == 'a' + depth && p[n - 1] == 'a' + depth);
		generations(depth - 1, p, n);
		MUST(p[0] == 'a' + (depth > 1 ? depth - 1 : depth));
	});
	MUST(strcmp(fate_of(child), "exit 0") == 0);
	MUST(p[0] == 'a' + depth && p[n - 1] == 'a' + depth);
}

int main(void)
{
	size_t page = PAGE, n = 16 * page;
	char *heap = malloc(n), *map = mmap(NULL, n, RW, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	char *shared = mmap(NULL, page, RW, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	volatile int local = 1;
	int p[2];

	LINES();
	strcpy(heap, "heap");
	strcpy(map, "map");
	strcpy(bss + 150000, "bss");
	IN_CHILD({
		printf("child sees %d %d %s %s %s\n", data, local, heap, map, bss + 150000);
		data = local = 2;
		strcpy(heap, "HEAP");
		strcpy(map, "MAP");
		strcpy(bss + 150000, "BSS");
		printf("child has %d %d %s %s %s\n", data, local, heap, map, bss + 150000);
	});
	printf("parent has %d %d %s %s %s\n", data, local, heap, map, bss + 150000);

	/* the parent writes first */
	pid_t child;
	MUST(pipe(p) == 0);
	CHILD(child, {
		char c;
		close(p[1]);
		read(p[0], &c, 1);
		printf("child still sees %d %d %s %s %s\n", data, local, heap, map, bss + 150000);
	});
	data = local = 3;
	heap[0] = map[0] = bss[150000] = '#';
	close(p[1]);
	close(p[0]);
	printf("child: %s\n", fate_of(child));
	printf("parent has %d %d %s %s %s\n", data, local, heap, map, bss + 150000);

	generations(12, map, n);
	puts("generations");

	/* the kernel writes into pages that are shared after fork: read(), pipe(), wait() */
	MUST(pipe(p) == 0);
	memset(map, 'o', n);
	CHILD(child, {
		close(p[1]);
		MUST(read(p[0], map + page - 3, 6) == 6);
		printf("child read %.8s\n", map + page - 4);
	});
	write(p[1], "kernel", 6);
	close(p[1]);
	close(p[0]);
	printf("child: %s\n", fate_of(child));
	printf("parent has %.8s\n", map + page - 4);

	/* many children, each with its own pattern over all of it */
	enum { COUNT = 20 };
	pid_t children[COUNT];
	for (int i = 0; i < COUNT; i++)
		CHILD(children[i], {
			memset(map, i, n);
			for (int round = 0; round < 20; round++) {
				for (size_t k = 0; k < n; k += 511)
					MUST(map[k] == (char)(i + round));
				memset(map, i + round + 1, n);
				if (round % 5 == 0)
					usleep(1000);
			}
			__atomic_fetch_add((int *)shared, 1, __ATOMIC_SEQ_CST);
		});
	for (int i = 0; i < COUNT; i++)
		MUST(strcmp(fate_of(children[i]), "exit 0") == 0);
	printf("%d children, parent has %c%c\n", *(int *)shared, map[0], map[n - 1]);

	/* unmapping and protecting on one side only */
	IN_CHILD(munmap(map, n); *shared = 77);
	printf("%c %d\n", map[n - 1], *shared);
	IN_CHILD(mprotect(map, n, PROT_READ); map[0] = 1);
	map[0] = 'p';
	printf("%c\n", map[0]);
	IN_CHILD(MUST(madvise(map, n, MADV_DONTNEED) == 0); MUST(map[5] == 0));
	printf("%c\n", map[5]);
#ifdef MADV_DONTFORK
	SAY(madvise(map, page, MADV_DONTFORK));
	IN_CHILD(map[page] = 1; map[0] = 1);
	SAY(madvise(map, page, MADV_DOFORK));
	SAY(madvise(map, page, 18 /* MADV_WIPEONFORK */));
	IN_CHILD(printf("wiped %d, not %c\n", map[0], map[page + 1]));
	printf("%c\n", map[0]);
#endif
	return 0;
}
