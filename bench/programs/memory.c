/* Memory and what is copied through the kernel: megabytes a second. */
#define _GNU_SOURCE
#include "measure.h"
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

enum { MB = 1 << 20, TOUCH = 128 * MB, FILE_SIZE = 64 * MB, BLOCK = 64 * 1024 };

static char block[BLOCK];

static void rate(const char *name, double bytes, double ns)
{
	printf("%s %.1f\n", name, bytes / 1e6 / (ns / 1e9));
	fflush(stdout);
}

static double best(double (*measure)(void), int times)
{
	double least = 1e300;

	while (times--) {
		double t = measure();
		if (t < least)
			least = t;
	}
	return least;
}

static double first_touch(void)
{
	char *m = mmap(NULL, TOUCH, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	double t0 = now_ns();

	NEED(m != MAP_FAILED);
	for (size_t i = 0; i < TOUCH; i += 4096)
		*(volatile char *)(m + i) = 1;
	t0 = now_ns() - t0;
	munmap(m, TOUCH);
	return t0;
}

/*
 * A fault of the guest costs a signal, the kernel's work and a mapping of the host; it is put
 * beside a host's mapping of as much, populated.
 */
static double fault(void)
{
	char *m = mmap(NULL, TOUCH, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	double t0 = now_ns();

	NEED(m != MAP_FAILED);
	for (size_t i = 0; i < TOUCH; i += BLOCK) {
#ifdef __wasm__
		*(volatile char *)(m + i) = 1;
#else
		NEED(mmap(m + i, BLOCK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_POPULATE, -1, 0) == m + i);
#endif
	}
	t0 = now_ns() - t0;
	munmap(m, TOUCH);
	return t0;
}

static double through_pipe(void)
{
	enum { TOTAL = 128 * MB };
	int p[2];
	size_t n = 0;
	ssize_t got;

	NEED(pipe(p) == 0);
	double t0 = now_ns();
	pid_t pid = fork();
	NEED(pid >= 0);
	if (pid == 0) {
		close(p[0]);
		for (size_t sent = 0; sent < TOTAL; sent += BLOCK)
			if (write(p[1], block, BLOCK) != BLOCK)
				_exit(1);
		_exit(0);
	}
	close(p[1]);
	while ((got = read(p[0], block, BLOCK)) > 0)
		n += got;
	t0 = now_ns() - t0;
	NEED(n == TOTAL);
	close(p[0]);
	waitpid(pid, NULL, 0);
	return t0;
}

static int file;

static double write_file(void)
{
	NEED(ftruncate(file, 0) == 0 && lseek(file, 0, SEEK_SET) == 0);
	double t0 = now_ns();
	for (int i = 0; i < FILE_SIZE / BLOCK; i++)
		NEED(write(file, block, BLOCK) == BLOCK);
	return now_ns() - t0;
}

static double read_file(void)
{
	NEED(lseek(file, 0, SEEK_SET) == 0);
	double t0 = now_ns();
	for (int i = 0; i < FILE_SIZE / BLOCK; i++)
		NEED(read(file, block, BLOCK) == BLOCK);
	return now_ns() - t0;
}

int main(void)
{
	memset(block, 'x', sizeof block);
	rate("first-touch", TOUCH, best(first_touch, 3));
	rate("fault", TOUCH, best(fault, 3));
	rate("pipe", 128.0 * MB, best(through_pipe, 3));
	/* Both are tmpfs. */
	NEED(chdir("/dev/shm") == 0 || chdir("/tmp") == 0);
	NEED((file = open("bench-file", O_RDWR | O_CREAT, 0600)) >= 0);
	rate("file-write", FILE_SIZE, best(write_file, 3));
	rate("file-read", FILE_SIZE, best(read_file, 3));
	unlink("bench-file");
	return 0;
}
