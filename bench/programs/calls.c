/* System calls, one after the other: nanoseconds each. */
#define _GNU_SOURCE
#include "measure.h"
#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

static volatile int handled;

static void handler(int sig)
{
	handled += sig;
}

int main(void)
{
	static char page[4096], large[65536];
	char byte = 'x';
	struct stat st;
	struct timespec ts;
	int p[2], fd, null = open("/dev/null", O_WRONLY), zero = open("/dev/zero", O_RDONLY);

	NEED(null >= 0 && zero >= 0);
	NEED(chdir("/tmp") == 0);
	NEED((fd = open("bench-file", O_RDWR | O_CREAT, 0600)) >= 0);
	NEED(write(fd, large, sizeof large) == sizeof large);
	NEED(pipe(p) == 0);
	MEASURE("getppid", 20, 50000, getppid());
	MEASURE("write-null", 20, 50000, write(null, &byte, 1));
	MEASURE("read-zero-1", 20, 50000, read(zero, &byte, 1));
	MEASURE("read-zero-4k", 20, 20000, read(zero, page, sizeof page));
	MEASURE("clock-gettime", 20, 50000, clock_gettime(CLOCK_MONOTONIC, &ts));
	MEASURE("stat", 20, 10000, stat("bench-file", &st));
	MEASURE("open-close", 20, 10000, close(open("bench-file", O_RDONLY)));
	MEASURE("pread-4k", 20, 10000, pread(fd, page, sizeof page, 8192));
	MEASURE("pwrite-4k", 20, 10000, pwrite(fd, page, sizeof page, 8192));
	MEASURE("pipe-byte", 20, 10000, write(p[1], &byte, 1); read(p[0], &byte, 1));
	MEASURE("lseek", 20, 50000, lseek(fd, 0, SEEK_SET));
	signal(SIGUSR1, handler);
	MEASURE("signal-self", 10, 5000, kill(getpid(), SIGUSR1));
	MEASURE("mmap-touch-munmap", 10, 2000, {
		char *m = mmap(NULL, 65536, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		*(volatile char *)m = 1;
		munmap(m, 65536);
	});
	unlink("bench-file");
	return 0;
}
