// What keeps the borders of messages keeps them wherever their bytes lie: over a border of pages,
// in pages that are not there yet, in pieces.
#include "common.h"
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/uio.h>

#define PAGE 65536

static const char *const places[] = { "within", "over a border", "in fresh pages", "in a file", "in pieces" };

static char *buffer(int place, size_t length)
{
	char *pages;
	int file;

	if (place == 3) {
		file = open("message", O_RDWR | O_CREAT | O_TRUNC, 0600);
		MUST(file >= 0 && !ftruncate(file, 8 * PAGE));
		pages = mmap(NULL, 8 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE, file, 0);
		close(file);
	} else {
		pages = mmap(NULL, 8 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	}
	MUST(pages != MAP_FAILED);
	if (place < 2 || place == 4)
		memset(pages, 'x', 8 * PAGE);
	return place == 0 && length <= PAGE ? pages : pages + PAGE - (length + 1) / 2;
}

static ssize_t put(int fd, char *from, size_t length, int place)
{
	struct iovec pieces[3] = {
		{ from, length / 3 }, { from + length / 3, length / 3 },
		{ from + 2 * (length / 3), length - 2 * (length / 3) },
	};

	return place == 4 ? writev(fd, pieces, 3) : write(fd, from, length);
}

static ssize_t get(int fd, char *to, size_t length, int place)
{
	struct iovec pieces[3] = {
		{ to, length / 3 }, { to + length / 3, length / 3 },
		{ to + 2 * (length / 3), length - 2 * (length / 3) },
	};

	return place == 4 ? readv(fd, pieces, 3) : read(fd, to, length);
}

static void messages(const char *name, int in, int out, size_t length)
{
	char end;

	for (int place = 0; place < 5; place++) {
		char *from = buffer(place, length), *to = buffer(place, length + 1);
		ssize_t sent = put(out, from, length, place), got;

		printf("%s, %zu bytes %s: write = %zd%s", name, length, places[place], sent, sent < 0 ? ename(errno) : "");
		fcntl(in, F_SETFL, O_NONBLOCK | fcntl(in, F_GETFL));
		for (int i = 0; i < 3 && sent >= 0; i++) {
			got = get(in, to, length + 1, place);
			printf(", read = %zd", got);
			if (got < 0)
				break;
			if (memcmp(from, to, got))
				printf(" of other bytes");
		}
		while (read(in, &end, 1) > 0)
			;
		putchar('\n');
	}
}

int main(void)
{
	static const size_t lengths[] = { 2, 300, 3000, 40000, 60000 };
	struct sockaddr_in address = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t size = sizeof address;

	for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
		int pair[2];

		MUST(!socketpair(AF_UNIX, SOCK_DGRAM, 0, pair));
		messages("unix datagrams", pair[0], pair[1], lengths[i]);
		MUST(!socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair));
		messages("unix packets", pair[0], pair[1], lengths[i]);
		pair[0] = socket(AF_INET, SOCK_DGRAM, 0);
		pair[1] = socket(AF_INET, SOCK_DGRAM, 0);
		address.sin_port = 0;
		MUST(!bind(pair[0], (void *)&address, sizeof address));
		MUST(!getsockname(pair[0], (void *)&address, &size));
		MUST(!connect(pair[1], (void *)&address, sizeof address));
		messages("UDP", pair[0], pair[1], lengths[i]);
		// A packet of a pipe is a page at most, and pages differ.
		if (lengths[i] > 4096)
			continue;
		MUST(!pipe2(pair, O_DIRECT));
		messages("a pipe of packets", pair[0], pair[1], lengths[i]);
	}
	return 0;
}
