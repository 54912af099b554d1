/* memfd, seals, POSIX shared memory, holes in files. */
#include "process.h"
#include <fcntl.h>
#include <sys/stat.h>

#define RW (PROT_READ | PROT_WRITE)
#define MAPPED(call) do { errno = 0; void *m_ = (call); printf("%s: %s\n", #call, m_ == MAP_FAILED ? ename(errno) : "mapped"); } while (0)

int main(void)
{
	size_t page = PAGE;
	char buf[100], *p, *q;
	int fd, fd2;
	struct stat st;

	LINES();
	fd = memfd_create("name", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	SAY(fd > 2);
	SAY(fcntl(fd, F_GETFD));
	SAY(fcntl(fd, F_GET_SEALS));
	SAY(write(fd, "in memory", 9));
	SAY(ftruncate(fd, 4 * page));
	p = mmap(NULL, 4 * page, RW, MAP_SHARED, fd, 0);
	printf("%s\n", p);
	strcpy(p + page, "page 1");
	SAY(pread(fd, buf, 7, page));
	printf("%s\n", buf);
	IN_CHILD(strcpy(p, "by a child"); strcpy(buf, "lost"));
	printf("%s %s\n", p, buf);
	SAY(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE));
	SAY(fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK));
	SAY(ftruncate(fd, page));
	SAY(ftruncate(fd, 5 * page));
	SAY(fcntl(fd, F_ADD_SEALS, F_SEAL_GROW));
	SAY(ftruncate(fd, 6 * page));
	SAY(pwrite(fd, "x", 1, 7 * page));
	SAY(munmap(p, 4 * page));
	SAY(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE));
	SAY(pwrite(fd, "x", 1, 0));
	MAPPED(mmap(NULL, page, RW, MAP_SHARED, fd, 0));
	MAPPED(mmap(NULL, page, RW, MAP_PRIVATE, fd, 0));
	MAPPED(mmap(NULL, page, PROT_READ, MAP_SHARED, fd, 0));
	SAY(fcntl(fd, F_ADD_SEALS, F_SEAL_SEAL));
	SAY(fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK));
	SAY(fcntl(fd, F_GET_SEALS));
	fd2 = memfd_create("other", 0);
	SAY(fcntl(fd2, F_GET_SEALS));
	SAY(fcntl(fd2, F_ADD_SEALS, F_SEAL_GROW));
	SAY(memfd_create("x", 0x4000));
	sprintf(buf, "/proc/self/fd/%d", fd2);
	int again = open(buf, O_RDWR);
	SAY(again > 2);
	SAY(write(again, "twice", 5));
	SAY(pread(fd2, buf, 5, 0));
	fstat(fd2, &st);
	printf("%o %lld %d\n", st.st_mode, (long long)st.st_size, (int)st.st_nlink);

	/* holes */
	SAY(ftruncate(fd2, 0));
	SAY(ftruncate(fd2, 10 * page));
	fstat(fd2, &st);
	SAY(st.st_blocks);
	p = mmap(NULL, 10 * page, RW, MAP_SHARED, fd2, 0);
	memset(p, 'h', 10 * page);
	fstat(fd2, &st);
	SAY(st.st_blocks * 512 == 10 * page);
	SAY(fallocate(fd2, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, page, 3 * page));
	printf("%c %d %d %c\n", p[page - 1], p[page], p[4 * page - 1], p[4 * page]);
	fstat(fd2, &st);
	SAY(st.st_blocks * 512 == 7 * page);
	SAY(lseek(fd2, 0, SEEK_HOLE) == page);
	SAY(lseek(fd2, page, SEEK_DATA) == 4 * page);
	SAY(madvise(p + 5 * page, page, MADV_REMOVE));
	printf("%c %d\n", p[6 * page], p[5 * page]);
	SAY(fallocate(fd2, 0, 10 * page, 2 * page));
	fstat(fd2, &st);
	SAY(st.st_size == 12 * page);
	SAY(posix_fallocate(fd2, 0, page));

	/* POSIX shared memory */
	shm_unlink("/wasmlinux-test");
	SAY(shm_open("/wasmlinux-test", O_RDWR, 0600));
	fd = shm_open("/wasmlinux-test", O_RDWR | O_CREAT | O_EXCL, 0600);
	SAY(fd > 2);
	SAY(shm_open("/wasmlinux-test", O_RDWR | O_CREAT | O_EXCL, 0600));
	SAY(ftruncate(fd, 2 * page));
	p = mmap(NULL, 2 * page, RW, MAP_SHARED, fd, 0);
	IN_CHILD({
		int mine = shm_open("/wasmlinux-test", O_RDWR, 0);
		char *m = mmap(NULL, 2 * page, RW, MAP_SHARED, mine, 0);
		strcpy(m + page, "from the child");
	});
	printf("%s\n", p + page);
	q = mmap(NULL, 2 * page, PROT_READ, MAP_SHARED, fd, 0);
	strcpy(p, "two mappings");
	printf("%s\n", q);
	SAY(shm_unlink("/wasmlinux-test"));
	SAY(shm_unlink("/wasmlinux-test"));
	strcpy(p, "still there");
	printf("%s\n", q);
	return 0;
}
