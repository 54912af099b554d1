/* Regular files: open modes, positions, holes, sizes, vectors. Run in an empty directory. */
#include "common.h"
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/mman.h>

static void show(const char *path)
{
	char buf[256] = "";
	int fd = open(path, O_RDONLY);
	ssize_t n = fd < 0 ? -1 : read(fd, buf, sizeof buf - 1);

	printf("%s: %zd bytes: ", path, n);
	for (ssize_t i = 0; i < n; i++)
		printf(buf[i] >= ' ' && buf[i] < 127 ? "%c" : "\\%03o", (unsigned char)buf[i]);
	putchar('\n');
	if (fd >= 0)
		close(fd);
}

static long long size_of(int fd)
{
	struct stat st;
	return fstat(fd, &st) ? -1 : (long long)st.st_size;
}

int main(void)
{
	char buf[4096], big[8192];
	struct stat st;
	int fd, fd2;

	SAY(open("missing", O_RDONLY));
	SAY(open("missing/file", O_RDWR | O_CREAT, 0600));
	SAY(open("", O_RDONLY));
	SAY(fd = open("a", O_WRONLY | O_CREAT | O_EXCL, 0644));
	SAY(write(fd, "hello", 5));
	SAY(read(fd, buf, 1));
	SAY(open("a", O_WRONLY | O_CREAT | O_EXCL, 0644));
	SAY(close(fd));
	SAY(close(fd));
	SAY(write(fd, "x", 1));
	SAY(read(-1, buf, 1));
	show("a");

	/* append goes to the end whatever the position */
	SAY(fd = open("a", O_WRONLY | O_APPEND));
	SAY(lseek(fd, 0, SEEK_SET));
	SAY(write(fd, " world", 6));
	SAY(lseek(fd, 0, SEEK_CUR));
	close(fd);
	show("a");

	/* read and write, both positions */
	fd = open("a", O_RDWR);
	SAY(lseek(fd, 6, SEEK_SET));
	SAY(write(fd, "W", 1));
	SAY(lseek(fd, -5, SEEK_END));
	SAY(read(fd, buf, 100));
	SAY(read(fd, buf, 100));
	SAY(lseek(fd, -1, SEEK_SET));
	SAY(lseek(fd, 0, 77));
	SAY(lseek(fd, 100, SEEK_CUR));
	SAY(pwrite(fd, "P", 1, 2));
	SAY(pread(fd, buf, 5, 0));
	printf("%.5s\n", buf);
	SAY(pread(fd, buf, 5, -1));
	SAY(lseek(fd, 0, SEEK_CUR));

	/* truncate both ways */
	SAY(ftruncate(fd, 3));
	SAY(size_of(fd));
	SAY(ftruncate(fd, 6));
	show("a");
	SAY(ftruncate(fd, -1));
	SAY(truncate("a", 4));
	SAY(truncate("missing", 4));
	show("a");
	SAY(close(open("a", O_WRONLY | O_TRUNC)));
	SAY(size_of(fd));
	SAY(open("a/b", O_RDONLY));
	close(fd);

	/* holes */
	fd = open("sparse", O_RDWR | O_CREAT, 0600);
	SAY(pwrite(fd, "end", 3, 3000000000ll));
	SAY(size_of(fd));
	fstat(fd, &st);
	printf("%s\n", st.st_blocks * 512 < 1000000 ? "sparse" : "full");
	SAY(pread(fd, buf, sizeof buf, 1500000000ll));
	SAY(buf[0] | buf[4095]);
	SAY(lseek(fd, 0, SEEK_DATA) <= 3000000000ll);
	SAY(lseek(fd, 0, SEEK_HOLE));
	SAY(lseek(fd, 3000000003ll, SEEK_DATA));
	SAY(lseek(fd, -3, SEEK_END));
	SAY(read(fd, buf, 10));
	SAY(fallocate(fd, 0, 0, 4096));
	SAY(posix_fallocate(fd, 0, 10));
	close(fd);
	SAY(unlink("sparse"));

	/* vectors */
	fd = open("v", O_RDWR | O_CREAT | O_TRUNC, 0600);
	struct iovec iov[3] = { { "one", 3 }, { "", 0 }, { "three", 5 } };
	SAY(writev(fd, iov, 3));
	volatile int negative = -1;
	SAY(writev(fd, iov, negative));
	SAY(writev(fd, iov, 0));
	struct iovec in[2] = { { buf, 2 }, { buf + 100, 50 } };
	SAY(preadv(fd, in, 2, 1));
	printf("%.2s %.5s\n", buf, buf + 100);
	SAY(pwritev(fd, iov, 1, 20));
	SAY(size_of(fd));
	close(fd);

	/* an open file outlives its name */
	fd = open("gone", O_RDWR | O_CREAT, 0600);
	SAY(write(fd, "still here", 10));
	SAY(unlink("gone"));
	SAY(access("gone", F_OK));
	SAY(pread(fd, buf, 10, 0));
	printf("%.10s\n", buf);
	fstat(fd, &st);
	printf("links %ld\n", (long)st.st_nlink);
	close(fd);

	/* rename onto an existing one; the old inode lives as long as it is open */
	close(open("from", O_CREAT | O_WRONLY, 0600));
	fd = open("to", O_CREAT | O_RDWR, 0600);
	write(fd, "old", 3);
	SAY(rename("from", "to"));
	SAY(access("from", F_OK));
	SAY(size_of(fd));
	SAY(stat("to", &st));
	SAY(st.st_size);
	close(fd);
	SAY(rename("missing", "to"));
	SAY(rename("to", "missing/to"));
	SAY(syscall(SYS_renameat2, AT_FDCWD, "v", AT_FDCWD, "to", 1 /* RENAME_NOREPLACE */));

	/* unusual opens */
	SAY(open("/", O_WRONLY));
	SAY(open("a", O_RDONLY | O_DIRECTORY));
	SAY(open(".", O_RDWR | O_CREAT, 0600));
	SAY(fd = open(".", O_TMPFILE | O_RDWR, 0600));
	SAY(write(fd, "tmp", 3));
	SAY(linkat(AT_FDCWD, ({ static char p[32]; sprintf(p, "/proc/self/fd/%d", fd); p; }), AT_FDCWD, "named", AT_SYMLINK_FOLLOW));
	close(fd);
	show("named");
	SAY(fd = open("a", O_RDONLY | O_PATH));
	SAY(read(fd, buf, 1));
	close(fd);
	memset(big, 'n', sizeof big);
	big[300] = 0;
	SAY(open(big, O_RDONLY));
	big[300] = 'n';
	big[5000] = 0;
	SAY(open(big, O_RDONLY));

	/* a file as big as some buffers, copied through two descriptors */
	uint64_t seed = 1;
	fd = open("big", O_RDWR | O_CREAT, 0600);
	for (int i = 0; i < 300; i++) {
		for (size_t j = 0; j < sizeof buf; j++)
			buf[j] = (char)next_random(&seed);
		MUST(write(fd, buf, sizeof buf) == sizeof buf);
	}
	fd2 = open("copy", O_RDWR | O_CREAT, 0600);
	SAY(copy_file_range(fd, &(off_t){ 0 }, fd2, NULL, 1000000, 0));
	SAY(size_of(fd2));
	uint64_t all = 0;
	lseek(fd, 0, SEEK_SET);
	for (ssize_t n; (n = read(fd, big, 7777)) > 0;)
		all = all * 31 + hash_of(big, n);
	printf("%016llx\n", (unsigned long long)all);
	lseek(fd2, 0, SEEK_SET);
	all = 0;
	for (ssize_t n; (n = read(fd2, big, 7777)) > 0;)
		all = all * 31 + hash_of(big, n);
	printf("%016llx\n", (unsigned long long)all);
	SAY(fsync(fd));
	SAY(fdatasync(fd));
	sync();

	/* two descriptors, two positions; dup shares one */
	fd2 = open("big", O_RDONLY);
	lseek(fd, 100, SEEK_SET);
	SAY(lseek(fd2, 0, SEEK_CUR));
	int fd3 = dup(fd);
	lseek(fd3, 55, SEEK_SET);
	SAY(lseek(fd, 0, SEEK_CUR));
	return 0;
}
