// Standard streams that are sockets with messages: each write is one, each read takes one, whatever
// their lengths and wherever their bytes lie.
#include "common.h"
#include <sys/mman.h>
#include <sys/uio.h>

#define ROOM	(4 << 20)
#define MIDDLE	(2 << 20)	/* a border of pages, of any size */

static char *fresh(void)
{
	char *pages = mmap(NULL, ROOM, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	MUST(pages != MAP_FAILED);
	return pages + MIDDLE - ((uintptr_t)pages & 65535);
}

int main(void)
{
	static const int lengths[] = { 1, 255, 257, 4097, 65535, 65537, 100000, 200000 };
	char *at;

	for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
		int length = lengths[i], half = length / 2;
		struct iovec pieces[2];

		/* not there yet, there, in two pieces */
		at = fresh() - half;
		MUST(write(1, at, length) == length);
		memset(at, 'x', length);
		MUST(write(1, at, length) == length);
		pieces[0] = (struct iovec){ at, half };
		pieces[1] = (struct iovec){ at + half, length - half };
		MUST(writev(1, pieces, 2) == length);
	}
	for (;;) {
		ssize_t got = read(0, fresh() - 1000, 300000);

		fprintf(stderr, "%zd\n", got);
		if (got <= 1)
			return 0;
	}
}
