/* Writes to standard output and error as the argument says. */
#include "common.h"
#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>

int main(int argc, char **argv)
{
	static char block[1 << 16];
	uint64_t seed = 3;
	const char *how = argc > 1 ? argv[1] : "";

	if (!strcmp(how, "both")) {
		for (int i = 0; i < 1000; i++) {
			dprintf(1, "out %d\n", i);
			dprintf(2, "err %d\n", i);
		}
	} else if (!strcmp(how, "bytes")) {
		/* every byte value, no newline at the end */
		for (int i = 0; i < 256; i++)
			putchar(i);
		for (int i = 255; i >= 0; i--)
			fputc(i, stderr);
	} else if (!strcmp(how, "big")) {
		for (int round = 0; round < 128; round++) {
			for (size_t i = 0; i < sizeof block; i++)
				block[i] = (char)next_random(&seed);
			for (size_t done = 0; done < sizeof block;) {
				ssize_t n = write(1, block + done, sizeof block - done);
				MUST(n > 0);
				done += n;
			}
		}
	} else if (!strcmp(how, "closed")) {
		/* with SIGPIPE ignored: EPIPE once the reader is gone */
		signal(SIGPIPE, SIG_IGN);
		ssize_t n;
		while ((n = write(1, block, sizeof block)) > 0)
			;
		dprintf(2, "write: %s\n", n < 0 ? ename(errno) : "0");
	} else if (!strcmp(how, "kinds")) {
		for (int fd = 0; fd < 3; fd++) {
			struct stat st;
			MUST(fstat(fd, &st) == 0);
			printf("fd %d: tty %d, directory %d, seekable %d\n", fd, isatty(fd), S_ISDIR(st.st_mode), lseek(fd, 0, SEEK_CUR) >= 0);
		}
	} else if (!strcmp(how, "others")) {
		/* what else is open: nothing that was not meant for us */
		for (int fd = 3; fd < 64; fd++)
			if (fcntl(fd, F_GETFD) != -1)
				printf("fd %d is open\n", fd);
	} else if (!strcmp(how, "read")) {
		/* how much there is to read, and that the end stays the end */
		long long total = 0;
		uint64_t hash = 0;
		for (ssize_t n; (n = read(0, block, sizeof block)) > 0; total += n)
			for (ssize_t i = 0; i < n; i++)
				hash = hash * 31 + (unsigned char)block[i];
		printf("%lld bytes %016llx, then %d\n", total, (unsigned long long)hash, (int)read(0, block, 1));
	} else if (!strcmp(how, "late")) {
		/* what is written just before a sudden end arrives */
		write(1, "last words", 10);
		write(2, "and these", 9);
		_exit(9);
	}
	return 0;
}
