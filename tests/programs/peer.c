/*
 * A peer for the network tests. `peer echo PORT`: serves TCP and UDP on PORT over IPv4 and IPv6, and sends back what
 * comes, until it is killed; a TCP connection is ended when its peer has ended its side and all is sent back.
 * `peer get HOST PORT`: connects, ends its side, copies what comes to its output.
 * `peer put HOST PORT`: copies its input to the connection, ends its side, waits for the end.
 * `peer ask HOST PORT TEXT`: sends a datagram, prints the answer.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <poll.h>
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

int main(int argc, char **argv)
{
	int fd;

	if (argc == 3 && !strcmp(argv[1], "echo"))
		return echo(atoi(argv[2]));
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
