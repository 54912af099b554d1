/* mremap: growth in place, moves, shrinking, fixed places, shared memory. */
#include "process.h"
#include <fcntl.h>

#define RW (PROT_READ | PROT_WRITE)

static size_t page;

static void fill(char *p, int pages)
{
	for (int i = 0; i < pages; i++)
		memset(p + i * page, 'A' + i, page);
}

static int good(const char *p, int pages)
{
	for (int i = 0; i < pages; i++)
		if (p[i * page] != 'A' + i || p[(i + 1) * page - 1] != 'A' + i)
			return 0;
	return 1;
}

#define MOVED(call) ({ errno = 0; void *m_ = (call); if (m_ == MAP_FAILED) printf("%s: %s\n", #call, ename(errno)); m_; })

int main(void)
{
	LINES();
	page = PAGE;
	char *area = mmap(NULL, 64 * page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	munmap(area, 64 * page);
	char *p = mmap(area, 4 * page, RW, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0), *q;
	fill(p, 4);
	/* in place */
	q = MOVED(mremap(p, 4 * page, 8 * page, 0));
	SAY(q == p && good(q, 4) && q[4 * page] == 0);
	q = MOVED(mremap(p, 8 * page, 3 * page, 0));
	SAY(q == p && good(q, 3));
	TOUCH(p + 3 * page);
	/* no room */
	mmap(p + 4 * page, page, RW, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
	MOVED(mremap(p, 3 * page, 8 * page, 0));
	SAY(good(p, 3));
	q = MOVED(mremap(p, 3 * page, 8 * page, MREMAP_MAYMOVE));
	SAY(q != p && good(q, 3) && q[7 * page] == 0);
	TOUCH(p);
	fill(q, 8);
	/* to a fixed place, over something */
	p = MOVED(mremap(q, 8 * page, 8 * page, MREMAP_MAYMOVE | MREMAP_FIXED, area + 20 * page));
	SAY(p == area + 20 * page && good(p, 8));
	TOUCH(q);
	mmap(area + 40 * page, 2 * page, RW, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
	q = MOVED(mremap(p, 8 * page, 2 * page, MREMAP_MAYMOVE | MREMAP_FIXED, area + 40 * page));
	SAY(q == area + 40 * page && good(q, 2));
	TOUCH(q + 2 * page);
	TOUCH(p + 5 * page);
	/* a part of a mapping */
	p = mmap(NULL, 6 * page, RW, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	fill(p, 6);
	q = MOVED(mremap(p + 2 * page, page, 3 * page, MREMAP_MAYMOVE));
	SAY(q[0] == 'C' && q[page] == 0 && good(p, 2) && p[3 * page] == 'D');
	TOUCH(p + 2 * page);
	/* errors */
	MOVED(mremap(p + 1, page, page, 0));
	MOVED(mremap(p, page, 0, 0));
	MOVED(mremap(p + 2 * page, page, 2 * page, MREMAP_MAYMOVE));
	MOVED(mremap(p, page, page, 0x100));
	MOVED(mremap(p, page, page, MREMAP_FIXED, q));
	MOVED(mremap(p, 2 * page, 2 * page, MREMAP_MAYMOVE | MREMAP_FIXED, p + page));
	MOVED(mremap(p, 6 * page, 8 * page, MREMAP_MAYMOVE));
	/* shared: old size 0 makes a second mapping */
	p = mmap(NULL, 2 * page, RW, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	fill(p, 2);
	q = MOVED(mremap(p, 0, 2 * page, MREMAP_MAYMOVE));
	SAY(q != p && good(q, 2));
	q[5] = 'x';
	SAY(p[5]);
	/* after fork, both have it; one moves */
	p = mmap(NULL, 4 * page, RW, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	fill(p, 4);
	IN_CHILD({
		char *moved = mremap(p, 4 * page, 30 * page, MREMAP_MAYMOVE);
		MUST(moved != MAP_FAILED && good(moved, 4));
		memset(moved, 'c', 30 * page);
	});
	SAY(good(p, 4));
	/* a file */
	int fd = open("f", O_RDWR | O_CREAT, 0600);
	ftruncate(fd, 8 * page);
	p = mmap(NULL, 2 * page, RW, MAP_SHARED, fd, 0);
	strcpy(p, "file");
	q = MOVED(mremap(p, 2 * page, 8 * page, MREMAP_MAYMOVE));
	printf("%s\n", q);
	q[7 * page] = 'e';
	char c;
	SAY(pread(fd, &c, 1, 7 * page));
	SAY(c);
	/* an array that grows, as realloc does it */
	size_t size = page;
	p = mmap(NULL, size, RW, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	for (int i = 0; i < 8; i++) {
		memset(p + size / 2, 'a' + i, size / 2);
		p = mremap(p, size, 2 * size, MREMAP_MAYMOVE);
		MUST(p != MAP_FAILED && p[size - 1] == 'a' + i);
		size *= 2;
	}
	uint64_t h = 0;
	for (size_t i = 0; i < 256; i++)
		h = h * 31 + p[i * page];
	printf("%016llx\n", (unsigned long long)h);
	char *r = malloc(1000000);
	memset(r, 'r', 1000000);
	r = realloc(r, 50000000);
	SAY(r[999999]);
	r = realloc(r, 10);
	SAY(r[9]);
	return 0;
}
