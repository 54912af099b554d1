/*
 * A peer for the network tests. `peer echo PORT`: serves TCP and UDP on PORT over IPv4 and IPv6,
 * and sends back what comes, until it is killed; a TCP connection is ended when its peer has ended
 * its side and all is sent back. `peer get HOST PORT`: connects, ends its side, copies what comes
 * to its output. `peer put HOST PORT`: copies its input to the connection, ends its side, waits for
 * the end. `peer ask HOST PORT TEXT`: sends a datagram, prints the answer. `peer bulk PORT`: serves
 * two connections one after the other. The first begins with a count of bytes (64 bits,
 * little-endian, a multiple of the block) and gets so many; what the second sends is taken. Prints
 * the hash of each.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define CONNECTIONS 4000
#define BUFFER 65536

struct connection {
	char *data;
	size_t start, end;
	int ended;
};

static struct pollfd polled[CONNECTIONS];
static struct connection connections[CONNECTIONS];
static int count;

static int serve_on(int family, int type, int port)
{
	int one = 1, fd = socket(family, type | SOCK_NONBLOCK, 0);
	struct sockaddr_in in = { .sin_family = AF_INET, .sin_port = htons(port) };
	struct sockaddr_in6 in6 = { .sin6_family = AF_INET6, .sin6_port = htons(port) };
	int failed;

	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
	if (family == AF_INET6) {
		setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof one);
		failed = bind(fd, (struct sockaddr *)&in6, sizeof in6);
	} else {
		failed = bind(fd, (struct sockaddr *)&in, sizeof in);
	}
	if (failed || (type == SOCK_STREAM && listen(fd, 1024))) {
		perror("peer: bind");
		exit(1);
	}
	polled[count++] = (struct pollfd){ .fd = fd, .events = POLLIN };
	return fd;
}

static void answer(int fd)
{
	static char data[BUFFER];
	struct sockaddr_storage from;
	socklen_t length = sizeof from;
	ssize_t n = recvfrom(fd, data, sizeof data, 0, (struct sockaddr *)&from, &length);

	if (n >= 0)
		sendto(fd, data, n, 0, (struct sockaddr *)&from, length);
}

/* False when the connection is over. */
static int carry(int i)
{
	struct connection *c = &connections[i];

	if (c->start == c->end && !c->ended) {
		ssize_t n = read(polled[i].fd, c->data, BUFFER);

		if (n < 0)
			return errno == EAGAIN;
		c->start = 0;
		c->end = n;
		c->ended = !n;
	}
	if (c->start < c->end) {
		ssize_t n = write(polled[i].fd, c->data + c->start, c->end - c->start);

		if (n < 0 && errno != EAGAIN)
			return 0;
		if (n > 0)
			c->start += n;
	}
	polled[i].events = c->start < c->end ? POLLOUT : POLLIN;
	return !(c->ended && c->start == c->end);
}

static int echo(int port)
{
	int servers;

	serve_on(AF_INET, SOCK_DGRAM, port);
	serve_on(AF_INET6, SOCK_DGRAM, port);
	serve_on(AF_INET, SOCK_STREAM, port);
	serve_on(AF_INET6, SOCK_STREAM, port);
	servers = count;
	puts("ready");
	fflush(stdout);
	for (;;) {
		poll(polled, count, -1);
		for (int i = count - 1; i >= servers; i--) {
			if (polled[i].revents && !carry(i)) {
				close(polled[i].fd);
				free(connections[i].data);
				count--;
				polled[i] = polled[count];
				connections[i] = connections[count];
			}
		}
		for (int i = 0; i < servers; i++) {
			if (!polled[i].revents)
				continue;
			if (i < 2) {
				answer(polled[i].fd);
				continue;
			}
			while (count < CONNECTIONS) {
				int fd = accept4(polled[i].fd, NULL, NULL, SOCK_NONBLOCK);

				if (fd < 0)
					break;
				polled[count] = (struct pollfd){ .fd = fd, .events = POLLIN };
				connections[count++] = (struct connection){ .data = malloc(BUFFER) };
			}
		}
	}
}

static int reach(const char *host, const char *port, int type)
{
	struct addrinfo hints = { .ai_socktype = type }, *all;
	int fd, error = getaddrinfo(host, port, &hints, &all);

	if (error) {
		printf("%s: %s\n", host, gai_strerror(error));
		exit(1);
	}
	fd = socket(all->ai_family, type, 0);
	if (connect(fd, all->ai_addr, all->ai_addrlen)) {
		printf("connect: %s\n", strerror(errno));
		exit(1);
	}
	return fd;
}

static int copy(int from, int to)
{
	static char data[BUFFER];
	ssize_t n;

	while ((n = read(from, data, sizeof data)) > 0)
		for (ssize_t done = 0, m; done < n; done += m)
			if ((m = write(to, data + done, n - done)) < 0)
				return -1;
	return n;
}

/* tests/tests/live.rs has the same hash, and says what it is. */
static void hash(uint64_t *state, const uint64_t *words, size_t count)
{
	uint64_t h = *state;

	while (count--) {
		h = (h ^ *words++) * 0x9e3779b97f4a7c15;
		h = h << 29 | h >> 35;
	}
	*state = h;
}

static int bulk(int port)
{
	static uint64_t block[BUFFER / 8];
	uint64_t left, noise = 88172645463325252, given = 0, taken = 0;
	int fd, peer;

	fd = serve_on(AF_INET, SOCK_STREAM, port);
	fcntl(fd, F_SETFL, 0);
	puts("ready");
	fflush(stdout);
	peer = accept(fd, NULL, NULL);
	if (recv(peer, &left, sizeof left, MSG_WAITALL) != sizeof left)
		return 1;
	for (; left; left -= BUFFER) {
		for (int i = 0; i < BUFFER / 8; i++) {
			noise ^= noise << 13;
			noise ^= noise >> 7;
			noise ^= noise << 17;
			block[i] = noise;
		}
		hash(&given, block, BUFFER / 8);
		if (send(peer, block, BUFFER, 0) != BUFFER)
			return 1;
	}
	close(peer);
	printf("%016llx\n", (unsigned long long)given);
	fflush(stdout);
	peer = accept(fd, NULL, NULL);
	while (recv(peer, block, BUFFER, MSG_WAITALL) == BUFFER)
		hash(&taken, block, BUFFER / 8);
	close(peer);
	printf("%016llx\n", (unsigned long long)taken);
	return 0;
}

int main(int argc, char **argv)
{
	int fd;

	if (argc == 3 && !strcmp(argv[1], "echo"))
		return echo(atoi(argv[2]));
	if (argc == 3 && !strcmp(argv[1], "bulk"))
		return bulk(atoi(argv[2]));
	if (argc < 4)
		return 2;
	fd = reach(argv[2], argv[3], strcmp(argv[1], "ask") ? SOCK_STREAM : SOCK_DGRAM);
	if (!strcmp(argv[1], "get")) {
		shutdown(fd, SHUT_WR);
		if (copy(fd, 1))
			printf("get: %s\n", strerror(errno));
	} else if (!strcmp(argv[1], "put")) {
		char last;

		if (copy(0, fd))
			printf("put: %s\n", strerror(errno));
		shutdown(fd, SHUT_WR);
		printf("end: %zd\n", read(fd, &last, 1));
	} else if (argc == 5) {
		static char data[BUFFER];
		ssize_t n;

		if (send(fd, argv[4], strlen(argv[4]), 0) < 0 || (n = recv(fd, data, sizeof data, 0)) < 0)
			printf("ask: %s\n", strerror(errno));
		else
			printf("%.*s\n", (int)n, data);
	}
	return 0;
}
