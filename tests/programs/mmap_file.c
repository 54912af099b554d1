/*
 * Mappings of files: the page cache seen from both sides, private copies, ends of files. Run in an
 * empty directory.
 */
#include "process.h"
#include <fcntl.h>
#include <sys/stat.h>

#define RW (PROT_READ | PROT_WRITE)
#define MAPPED(call) do { errno = 0; void *m_ = (call); printf("%s: %s\n", #call, m_ == MAP_FAILED ? ename(errno) : "mapped"); } while (0)

int main(void)
{
	size_t page = PAGE;
	char *p, *q, buf[200];
	int fd, ro;

	LINES();
	fd = open("f", O_RDWR | O_CREAT, 0644);
	for (int i = 0; i < 3; i++) {
		char *fill = malloc(page);
		memset(fill, 'a' + i, page);
		MUST(write(fd, fill, page) == (ssize_t)page);
		free(fill);
	}
	MUST(write(fd, "the tail", 8) == 8);

	/* private: reads the file, keeps what is written to itself */
	p = mmap(NULL, 4 * page, RW, MAP_PRIVATE, fd, 0);
	printf("%c%c%c%c %.8s %d\n", p[0], p[page - 1], p[page], p[3 * page - 1], p + 3 * page, p[4 * page - 1]);
	p[page] = 'X';
	SAY(pread(fd, buf, 1, page));
	printf("%c\n", buf[0]);
	SAY(pwrite(fd, "NEW", 3, 2 * page));
	printf("%.3s\n", p + 2 * page);
	p[2 * page + 1] = 'o';
	SAY(pwrite(fd, "ALL", 3, 2 * page));
	printf("%.3s\n", p + 2 * page);
	SAY(madvise(p + 2 * page, page, MADV_DONTNEED));
	printf("%.3s\n", p + 2 * page);

	/* shared: one memory with the file */
	q = mmap(NULL, 4 * page, RW, MAP_SHARED, fd, 0);
	printf("%c %c\n", q[page], p[page]);
	strcpy(q + 10, "by memory");
	SAY(pread(fd, buf, 10, 10));
	printf("%s\n", buf);
	printf("%s\n", p + 10);
	SAY(pwrite(fd, "by file", 8, page + 10));
	printf("%s\n", q + page + 10);
	q[3 * page + 100] = 'z';
	SAY(lseek(fd, 0, SEEK_END) == (off_t)(3 * page + 8));
	SAY(msync(q, 4 * page, MS_SYNC));
	SAY(msync(q, 4 * page, MS_ASYNC | MS_INVALIDATE));
	IN_CHILD(strcpy(q + 200, "a child's"); p[300] = '!');
	printf("%s %c\n", q + 200, p[300]);
	/* beyond the end of the file */
	munmap(q, 4 * page);
	q = mmap(NULL, 8 * page, RW, MAP_SHARED, fd, 0);
	MUST(q != MAP_FAILED);
	TOUCH(q + 4 * page - 1);
	TOUCH(q + 4 * page);
	TOUCH(q + 8 * page - 1);
	SAY(ftruncate(fd, 6 * page));
	TOUCH(q + 4 * page);
	TOUCH(q + 6 * page);
	q[5 * page] = 'g';
	SAY(pread(fd, buf, 1, 5 * page));
	printf("%c\n", buf[0]);
	SAY(ftruncate(fd, page + 5));
	TOUCH(q + page);
	TOUCH(q + 2 * page);
	TOUCH(p + page + 100);
	TOUCH(p + 2 * page);
	printf("%d\n", q[page + 10]);
	SAY(ftruncate(fd, 3 * page));
	printf("%d %d\n", q[page + 10], q[2 * page]);

	/* offsets, closing, removing */
	SAY(pwrite(fd, "second", 7, page));
	char *r = mmap(NULL, page, RW, MAP_SHARED, fd, page);
	printf("%s\n", r);
	MAPPED(mmap(NULL, page, RW, MAP_SHARED, fd, page / 2));
	SAY(unlink("f"));
	SAY(close(fd));
	strcpy(r, "gone");
	printf("%s %s\n", q + page, r);
	munmap(q, 8 * page);
	printf("%s\n", r);

	/* modes */
	fd = open("g", O_RDWR | O_CREAT, 0644);
	SAY(ftruncate(fd, page));
	ro = open("g", O_RDONLY);
	int wo = open("g", O_WRONLY);
	MAPPED(mmap(NULL, page, RW, MAP_SHARED, ro, 0));
	MAPPED(mmap(NULL, page, PROT_READ, MAP_SHARED, wo, 0));
	MAPPED(mmap(NULL, page, PROT_READ, MAP_PRIVATE, wo, 0));
	q = mmap(NULL, page, PROT_READ, MAP_SHARED, ro, 0);
	SAY(mprotect(q, page, RW));
	TOUCH(q);
	q = mmap(NULL, page, RW, MAP_PRIVATE, ro, 0);
	TOUCH(q);
	int dir = open(".", O_RDONLY), pipes[2];
	MUST(pipe(pipes) == 0);
	MAPPED(mmap(NULL, page, PROT_READ, MAP_PRIVATE, dir, 0));
	MAPPED(mmap(NULL, page, PROT_READ, MAP_PRIVATE, pipes[0], 0));
	q = mmap(NULL, page, RW, MAP_PRIVATE, open("/dev/zero", O_RDWR), 0);
	SAY(q[17]);
	TOUCH(q);

	/* the same page twice, and read() into a mapping of the same file */
	p = mmap(NULL, page, RW, MAP_SHARED, fd, 0);
	q = mmap(NULL, page, RW, MAP_SHARED, fd, 0);
	for (int i = 0; i < 1000; i++) {
		p[i % page] = i;
		MUST(q[i % page] == (char)i);
	}
	strcpy(p, "from here");
	SAY(pread(fd, q + 100, 10, 0));
	printf("%s\n", p + 100);
	SAY(pwrite(fd, p, 50, 50));
	printf("%s\n", q + 50);

	/* a large file, written through the mapping from both ends, read as a stream */
	size_t size = 64 * 65536;
	int big = open("big", O_RDWR | O_CREAT, 0600);
	SAY(ftruncate(big, size));
	p = mmap(NULL, size, RW, MAP_SHARED, big, 0);
	for (size_t i = 0; i < size / 2; i += 4) {
		uint32_t a = (uint32_t)i, b = (uint32_t)(size - 4 - i);
		memcpy(p + a, &a, 4);
		memcpy(p + b, &b, 4);
	}
	uint64_t sum = 0;
	uint32_t words[1024];
	for (ssize_t n; (n = read(big, words, sizeof words)) > 0;)
		sum = sum * 31 + hash_of(words, n);
	printf("%016llx\n", (unsigned long long)sum);
	return 0;
}
