/*
 * TCP. `network` measures the loopback: megabytes a second, and nanoseconds there and back.
 * `network serve PORT` does what each connection's first byte asks for: S takes everything and says
 * so by a byte at the end, G and 8 bytes (little-endian) give so many bytes, E sends back whatever
 * comes.
 */
#define _GNU_SOURCE
#include "measure.h"
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

enum { BLOCK = 256 << 10, TOTAL = 128 << 20 };

static char block[BLOCK];

static int listening(uint32_t address, uint16_t port)
{
	struct sockaddr_in at = { .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(address) };
	int fd = socket(AF_INET, SOCK_STREAM, 0), yes = 1;

	NEED(fd >= 0 && setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes) == 0);
	NEED(bind(fd, (struct sockaddr *)&at, sizeof at) == 0 && listen(fd, 16) == 0);
	return fd;
}

static void at_once(int fd)
{
	int yes = 1;

	NEED(setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes) == 0);
}

static void send_all(int fd, uint64_t count)
{
	while (count) {
		ssize_t n = write(fd, block, count < BLOCK ? count : BLOCK);

		if (n <= 0)
			return;
		count -= n;
	}
}

static void converse(int fd)
{
	uint64_t count;
	char what;
	ssize_t n;

	at_once(fd);
	if (read(fd, &what, 1) != 1)
		return;
	switch (what) {
	case 'S':
		while ((n = read(fd, block, BLOCK)) > 0)
			;
		NEED(write(fd, "!", 1) == 1);
		break;
	case 'G':
		NEED(recv(fd, &count, sizeof count, MSG_WAITALL) == sizeof count);
		send_all(fd, count);
		break;
	case 'E':
		while ((n = read(fd, block, BLOCK)) > 0)
			NEED(write(fd, block, n) == n);
	}
}

static void serve(int fd, int connections)
{
	while (connections--) {
		int peer = accept(fd, NULL, NULL);

		NEED(peer >= 0);
		converse(peer);
		close(peer);
	}
}

static int connection(uint16_t port)
{
	struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = port, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	NEED(fd >= 0 && connect(fd, (struct sockaddr *)&to, sizeof to) == 0);
	at_once(fd);
	return fd;
}

static double megabytes(uint16_t port)
{
	int fd = connection(port);
	double start = now_ns();
	char end;

	NEED(write(fd, "S", 1) == 1);
	send_all(fd, TOTAL);
	NEED(shutdown(fd, SHUT_WR) == 0 && read(fd, &end, 1) == 1);
	close(fd);
	return TOTAL * 1e3 / (now_ns() - start);
}

static void there_and_back(int fd)
{
	char byte = 'x';

	NEED(write(fd, &byte, 1) == 1 && read(fd, &byte, 1) == 1);
}

int main(int argc, char **argv)
{
	struct sockaddr_in at;
	socklen_t length = sizeof at;
	double best = 0;
	pid_t pid;
	int fd;

	signal(SIGPIPE, SIG_IGN);
	setvbuf(stdout, NULL, _IOLBF, 0);
	if (argc == 3 && strcmp(argv[1], "serve") == 0) {
		fd = listening(INADDR_ANY, atoi(argv[2]));
		puts("ready");
		serve(fd, -1);
	}
	enum { BATCHES = 5 };
	fd = listening(INADDR_LOOPBACK, 0);
	NEED(getsockname(fd, (struct sockaddr *)&at, &length) == 0);
	pid = fork();
	NEED(pid >= 0);
	if (pid == 0) {
		serve(fd, BATCHES + 1);
		_exit(0);
	}
	for (int i = 0; i < BATCHES; i++) {
		double rate = megabytes(at.sin_port);

		if (rate > best)
			best = rate;
	}
	printf("loopback %.3f\n", best);
	fd = connection(at.sin_port);
	NEED(write(fd, "E", 1) == 1);
	MEASURE("loopback-round-trip", 10, 1000, there_and_back(fd));
	close(fd);
	NEED(waitpid(pid, NULL, 0) == pid);
	return 0;
}
