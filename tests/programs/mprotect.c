/*
 * mprotect: parts, growth and loss of rights, with memory that has been written, that is shared
 * after fork, that has never been touched.
 */
#include "process.h"

#define RW (PROT_READ | PROT_WRITE)

int main(void)
{
	size_t page = PAGE;
	char *p = mmap(NULL, 10 * page, RW, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	int fd[2];

	LINES();
	memset(p, 'm', 5 * page);
	SAY(mprotect(p + page, page, PROT_READ));
	SAY(mprotect(p + 2 * page, page, PROT_NONE));
	SAY(mprotect(p + 6 * page, page, PROT_READ));
	SAY(mprotect(p + 7 * page, page, PROT_NONE));
	for (int i = 0; i < 10; i++) {
		printf("%d ", i);
		TOUCH(p + i * page);
	}
	SAY(p[page] == 'm' && p[6 * page] == 0);
	SAY(mprotect(p, 10 * page, PROT_READ));
	for (int i = 0; i < 10; i += 3) {
		printf("%d ", i);
		TOUCH(p + i * page);
	}
	SAY(mprotect(p, 10 * page, RW));
	for (int i = 0; i < 10; i++) {
		MUST(p[i * page] == (i < 5 ? 'm' : 0));
		p[i * page] = i;
	}
	SAY(mprotect(p + 3 * page, 2 * page, PROT_NONE));
	/* the kernel respects it too */
	MUST(pipe(fd) == 0);
	SAY(write(fd[1], p + 3 * page, 10));
	SAY(write(fd[1], p + 3 * page - 5, 10));
	SAY(mprotect(p + 3 * page, 2 * page, PROT_READ));
	SAY(write(fd[1], p + 3 * page, 10));
	SAY(read(fd[0], p + 3 * page, 5));
	SAY(read(fd[0], p + 6 * page, 5));
	/* again and again, with writes between */
	for (int i = 0; i < 2000; i++) {
		int at = i % 10;
		MUST(mprotect(p + at * page, page, i % 2 ? PROT_READ : PROT_NONE) == 0);
		MUST(mprotect(p + at * page, page, RW) == 0);
		p[at * page + 9] = i;
		MUST(p[at * page + 9] == (char)i);
	}
	/* after fork: read-only in one, writable in the other */
	IN_CHILD(MUST(mprotect(p, page, PROT_READ) == 0); MUST(mprotect(p, page, RW) == 0); p[0] = 99; MUST(p[0] == 99));
	SAY(p[0]);
	/* holes */
	munmap(p + 5 * page, page);
	SAY(mprotect(p + 4 * page, 3 * page, PROT_READ));
	TOUCH(p + 4 * page);
	TOUCH(p + 6 * page);
	SAY(mprotect(p + 5 * page, page, RW));
	SAY(mprotect(p, 0, PROT_NONE));
	TOUCH(p);
	/* PROT_EXEC is a right like others */
	SAY(mprotect(p, page, PROT_READ | PROT_EXEC));
	TOUCH(p);
	/* write without read */
	SAY(mprotect(p, page, PROT_WRITE));
	printf("write %s\n", touch(p, 1));
	/* shared memory: each mapping has its own rights */
	char *s = mmap(NULL, page, RW, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	*s = 's';
	IN_CHILD(MUST(mprotect(s, page, PROT_READ) == 0); *s = 't');
	*s = 'u';
	SAY(*s);
	return 0;
}
