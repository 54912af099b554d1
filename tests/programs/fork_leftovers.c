/*
 * Children in turn, which the host gives the address range of the last: none may find in it what
 * another had there.
 */
#include "process.h"
#include <setjmp.h>

#define PAGES 24

static sigjmp_buf env;
static char data[3 * 65536] = { 1 };
static size_t page;

static void jumps(int signal)
{
	siglongjmp(env, signal);
}

/* What is at an address: its first byte, or -1 if that cannot be read. */
static int peek(volatile char *p)
{
	if (sigsetjmp(env, 1))
		return -1;
	return *p;
}

/* Whether it can be written; it is not changed. */
static int can_write(volatile char *p)
{
	if (sigsetjmp(env, 1))
		return 0;
	*p = *p;
	return 1;
}

static unsigned sum;

static void note(int value)
{
	sum = sum * 31 + value;
}

/* Looks at everything, then leaves as much behind as it can. */
static void child(int n, char *area, char *shared)
{
	char *heap;

	for (int i = 0; i < PAGES; i++) {
		note(peek(area + i * page));
		note(can_write(area + i * page));
	}
	for (size_t i = 0; i < sizeof data; i += 65536)
		note(data[i]);
	note(shared[0]);
	/* a hole, then memory of its own in the same place */
	for (int i = n % 3; i < PAGES; i += 1 + n % 4) {
		char *p = area + i * page;

		MUST(munmap(p, page) == 0);
		note(peek(p));
		MUST(mmap(p, page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == p);
		note(peek(p));
		*p = n;
		note(*p);
		if (n % 2)
			MUST(mprotect(p, page, n % 4 == 1 ? PROT_READ : PROT_NONE) == 0);
		note(peek(p));
		note(can_write(p));
	}
	heap = malloc((n % 5 + 1) * 70000);
	heap[0] = n;
	heap[(n % 5) * 70000] = n;
	for (size_t i = 0; i < sizeof data; i += 65536)
		data[i] += n;
	shared[0]++;
	/* one more generation */
	if (n % 7 == 0) {
		pid_t grandchild;

		CHILD(grandchild, {
			for (int i = 0; i < PAGES; i++) {
				note(peek(area + i * page));
				note(can_write(area + i * page));
			}
			note(data[0]);
			_exit(sum & 63);
		});
		note(atoi(strrchr(fate_of(grandchild), ' ')));
	}
	_exit(sum & 63);
}

int main(void)
{
	struct sigaction sa = { .sa_handler = jumps };
	char *area, *shared;

	LINES();
	page = sysconf(_SC_PAGESIZE);
	sigaction(SIGSEGV, &sa, NULL);
	sigaction(SIGBUS, &sa, NULL);
	area = mmap(NULL, PAGES * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	shared = mmap(NULL, page, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	for (int n = 0; n < 120; n++) {
		pid_t pid;

		/* The parent changes too: what is written, readable, there at all. */
		if (can_write(area + n % PAGES * page))
			area[n % PAGES * page] = n;
		if (n % 10 == 3)
			MUST(mprotect(area + 5 * page, page, PROT_READ) == 0);
		if (n % 10 == 6)
			MUST(munmap(area + 7 * page, 2 * page) == 0);
		if (n % 10 == 9) {
			MUST(mmap(area + 5 * page, 4 * page, PROT_READ | PROT_WRITE,
				  MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == area + 5 * page);
		}
		fflush(stdout);
		MUST((pid = fork()) >= 0);
		if (!pid)
			child(n, area, shared);
		printf("%d: %s", n, fate_of(pid));
		printf(", %d %d\n", data[0], shared[0]);
	}
	return 0;
}
