// A system call writes to a part of the stack that no access of the program has reached yet, and to
// where there is nothing: what it could not give is not lost.
#include "common.h"
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>

#define SIZE	(1 << 20)

/* Not inlined, so that each call begins a frame below what was used. */
__attribute__((noinline)) static void on_the_stack(int fd)
{
	char large[SIZE];
	char *volatile low = large;

	SAY(read(fd, low, 5));
	printf("%.5s\n", low);
}

__attribute__((noinline)) static void others_on_the_stack(void)
{
	char large[2 * SIZE];
	char *volatile low = large;

	SAY(stat("/", (struct stat *)low));
	printf("%d\n", S_ISDIR(((struct stat *)low)->st_mode));
	SAY(clock_gettime(CLOCK_REALTIME, (struct timespec *)(low + 65536 - 8)));
	SAY(*getcwd(low + 131072, 4096));
}

int main(int argc, char **argv)
{
	char *hole = mmap(NULL, 4 * 65536, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	char *volatile nothing = (char *)16;
	int pair[2], input = 0;

	setvbuf(stdout, NULL, _IONBF, 0);
	MUST(!pipe(pair));
	MUST(write(pair[1], "12345abcde", 10) == 10);
	on_the_stack(pair[0]);
	others_on_the_stack();
	MUST(hole != MAP_FAILED && !munmap(hole + 65536, 65536));
	SAY(read(pair[0], hole + 65536, 5));
	SAY(read(pair[0], nothing, 5));
	SAY(read(pair[0], hole, 10));
	printf("%.5s\n", hole);
	/* standard input is a stream of the host's */
	if (argc > 1 && !strcmp(argv[1], "input")) {
		SAY(read(input, hole + 65536, 5));
		on_the_stack(input);
		SAY(read(input, hole, 100));
		printf("%.5s\n", hole);
	}
	return 0;
}
