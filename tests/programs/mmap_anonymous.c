/* Anonymous mappings: zero at first, holes, fixed places, madvise, mincore, mlock, errors. */
#include "process.h"

static int all(const unsigned char *p, size_t n, int value)
{
	while (n--)
		if (*p++ != value)
			return 0;
	return 1;
}

#define RW (PROT_READ | PROT_WRITE)
#define ANON (MAP_PRIVATE | MAP_ANONYMOUS)
#define MAPPED(call) do { errno = 0; void *m_ = (call); printf("%s: %s\n", #call, m_ == MAP_FAILED ? ename(errno) : "mapped"); } while (0)

int main(void)
{
	size_t page = PAGE;
	unsigned char *p, *q, vec[16];

	LINES();
	p = mmap(NULL, 8 * page, RW, ANON, -1, 0);
	MUST(p != MAP_FAILED);
	SAY((uintptr_t)p % page);
	SAY(all(p, 8 * page, 0));
	memset(p, 7, 8 * page);
	SAY(all(p, 8 * page, 7));

	/* a hole */
	SAY(munmap(p + 2 * page, 2 * page));
	TOUCH(p + 2 * page - 1);
	TOUCH(p + 2 * page);
	TOUCH(p + 4 * page - 1);
	TOUCH(p + 4 * page);
	SAY(all(p, 2 * page, 7) && all(p + 4 * page, 4 * page, 7));
	SAY(munmap(p + 2 * page, 2 * page));
	q = mmap(p + 2 * page, page, RW, ANON | MAP_FIXED, -1, 0);
	SAY(q == p + 2 * page);
	SAY(all(q, page, 0));
	TOUCH(p + 3 * page);
	/* over what is there */
	q = mmap(p + page, 4 * page, RW, ANON | MAP_FIXED, -1, 0);
	SAY(q == p + page && all(q, 4 * page, 0) && all(p, page, 7) && all(p + 5 * page, 3 * page, 7));
	MAPPED(mmap(p + page, page, RW, ANON | MAP_FIXED_NOREPLACE, -1, 0));
	SAY(munmap(p + page, page));
	q = mmap(p + page, page, RW, ANON | MAP_FIXED_NOREPLACE, -1, 0);
	SAY(q == p + page);
	q = mmap(p + page, page, RW, ANON, -1, 0);
	SAY(q != MAP_FAILED && q != p + page);
	munmap(q, page);
	munmap(p + page, page);
	q = mmap(p + page, page, RW, ANON, -1, 0);
	SAY(q == p + page);

	/* errors */
	MAPPED(mmap(NULL, 0, RW, ANON, -1, 0));
	MAPPED(mmap(p + 1, page, RW, ANON | MAP_FIXED, -1, 0));
	MAPPED(mmap(NULL, page, RW, MAP_ANONYMOUS, -1, 0));
	MAPPED(mmap(NULL, page, RW, MAP_PRIVATE, -1, 0));
	MAPPED(mmap(NULL, page, RW, MAP_PRIVATE, 99, 0));
	MAPPED(mmap(NULL, (size_t)-1, RW, ANON, -1, 0));
	SAY(munmap(p + 1, page));
	SAY(munmap(p, 0));
	SAY(mprotect(p, 8 * page, 0x100));

	/* advice */
	memset(p, 9, 8 * page);
	SAY(madvise(p + page, 2 * page, MADV_DONTNEED));
	SAY(all(p, page, 9) && all(p + page, 2 * page, 0) && all(p + 3 * page, 5 * page, 9));
	SAY(madvise(p, 8 * page, MADV_SEQUENTIAL));
	SAY(madvise(p, 8 * page, MADV_RANDOM));
	SAY(madvise(p + 1, page, MADV_DONTNEED));
	SAY(madvise(p, page, 12345));
	SAY(madvise(p, page, MADV_FREE));
	p[0] = 1;
	SAY(p[0] == 1 && (p[1] == 9 || p[1] == 0));
	SAY(madvise(p, 8 * page, MADV_NORMAL));
	SAY(madvise(p + page, 2 * page, 23 /* MADV_POPULATE_WRITE */));
	munmap(p + 6 * page, 2 * page);
	SAY(madvise(p, 8 * page, MADV_DONTNEED));
	SAY(all(p, 6 * page, 0));

	/* what is resident */
	q = mmap(NULL, 4 * page, RW, ANON, -1, 0);
	q[2 * page] = 1;
	SAY(mincore(q, 4 * page, vec));
	printf("%d %d %d %d\n", vec[0] & 1, vec[1] & 1, vec[2] & 1, vec[3] & 1);
	SAY(mincore(q + 1, page, vec));
	munmap(q + page, page);
	SAY(mincore(q, 4 * page, vec));
	q = mmap(NULL, 4 * page, RW, ANON | MAP_POPULATE, -1, 0);
	SAY(mincore(q, 4 * page, vec));
	printf("%d %d %d %d\n", vec[0] & 1, vec[1] & 1, vec[2] & 1, vec[3] & 1);
	SAY(mlock(q, 2 * page));
	SAY(madvise(q, page, MADV_DONTNEED));
	SAY(munlock(q, 2 * page));
	SAY(munmap(q, 4 * page));
	SAY(mlock(q, page));
	q = mmap(NULL, 4 * page, RW, ANON, -1, 0);
	SAY(mlock(q, 4 * page));
	SAY(mincore(q, 4 * page, vec));
	printf("%d %d %d %d\n", vec[0] & 1, vec[1] & 1, vec[2] & 1, vec[3] & 1);
	SAY(mlockall(MCL_CURRENT));
	SAY(munlockall());
	SAY(mlockall(0));
	SAY(msync(q, 4 * page, MS_SYNC));
	SAY(msync(q, 4 * page, MS_SYNC | MS_ASYNC));
	SAY(msync(q + 1, page, MS_SYNC));
	munmap(q + page, page);
	SAY(msync(q, 4 * page, MS_SYNC));

	/* protection at birth */
	q = mmap(NULL, 3 * page, PROT_NONE, ANON, -1, 0);
	TOUCH(q);
	q = mmap(NULL, 3 * page, PROT_READ, ANON, -1, 0);
	TOUCH(q);

	/* shared between parent and child, and not */
	p = mmap(NULL, 2 * page, RW, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	q = mmap(NULL, 2 * page, RW, ANON, -1, 0);
	p[0] = q[0] = 1;
	IN_CHILD(p[0] = q[0] = 2; p[page] = q[page] = 3);
	printf("%d %d %d %d\n", p[0], p[page], q[0], q[page]);

	/* many small ones, in a random order */
	static unsigned char *many[500];
	uint64_t seed = 1;
	for (size_t i = 0; i < countof(many); i++) {
		many[i] = mmap(NULL, (1 + i % 3) * page, RW, ANON, -1, 0);
		MUST(many[i] != MAP_FAILED);
		memset(many[i], (int)i, 100);
		many[i][(1 + i % 3) * page - 1] = (unsigned char)i;
	}
	for (size_t i = countof(many); i-- > 1;) {
		size_t j = next_random(&seed) % (i + 1);
		size_t k = next_random(&seed) % countof(many);
		if (many[k]) {
			MUST(all(many[k], 100, (unsigned char)k) && many[k][(1 + k % 3) * page - 1] == (unsigned char)k);
			MUST(munmap(many[k], (1 + k % 3) * page) == 0);
			many[k] = NULL;
		}
		(void)j;
	}
	for (size_t i = 0; i < countof(many); i++)
		if (many[i])
			MUST(all(many[i], 100, (unsigned char)i) && munmap(many[i], (1 + i % 3) * page) == 0);
	puts("many");
	return 0;
}
