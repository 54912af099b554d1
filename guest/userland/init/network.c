/* SPDX-License-Identifier: MIT */
/*
 * The network: loopback, and eth0 if the machine has one. Its addresses are always the
 * same (control.h), so nothing has to be asked for at boot.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <net/route.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include "init.h"

#define ETHERNET	"eth0"

/* linux/ipv6.h and linux/ipv6_route.h, which do not go with the C library's headers */
struct address6 {
	struct in6_addr address;
	uint32_t prefix;
	int interface;
};

struct route6 {
	struct in6_addr to, from, gateway;
	uint32_t type;
	uint16_t to_prefix, from_prefix;
	uint32_t metric;
	unsigned long info;
	uint32_t flags;
	int interface;
};

static void set_up(int fd, const char *name)
{
	struct ifreq request = { 0 };

	strncpy(request.ifr_name, name, IFNAMSIZ - 1);
	if (ioctl(fd, SIOCGIFFLAGS, &request))
		return;
	request.ifr_flags |= IFF_UP;
	if (ioctl(fd, SIOCSIFFLAGS, &request))
		log_message(4, "%s: %s", name, strerror(errno));
}

static struct sockaddr to_sockaddr(uint32_t address)
{
	struct sockaddr_in in = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(address) };
	struct sockaddr any;

	memcpy(&any, &in, sizeof any);
	return any;
}

static int set_address(int fd, unsigned long call, uint32_t address)
{
	struct ifreq request = { .ifr_name = ETHERNET };

	request.ifr_addr = to_sockaddr(address);
	return ioctl(fd, call, &request);
}

static int add_route(int fd)
{
	struct rtentry route = {
		.rt_dst = to_sockaddr(0),
		.rt_genmask = to_sockaddr(0),
		.rt_gateway = to_sockaddr(CONTROL_NET_GATEWAY),
		.rt_flags = RTF_UP | RTF_GATEWAY,
		.rt_dev = (char *)ETHERNET,
	};

	return ioctl(fd, SIOCADDRT, &route);
}

/* fd00:: with the last number of the IPv4 address, digit for digit */
static struct in6_addr to_in6(uint32_t address)
{
	unsigned host = address & 0xff;
	struct in6_addr in6 = { .s6_addr = { 0xfd } };

	in6.s6_addr[15] = host / 10 * 16 + host % 10;
	return in6;
}

static void write_setting(const char *path, const char *value)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);

	if (fd < 0)
		return;
	(void)!write(fd, value, strlen(value));
	close(fd);
}

/* Nobody else is on this wire: the address is used at once, and no router is waited for. */
static void set_up6(int index)
{
	struct address6 address = {
		.address = to_in6(CONTROL_NET_GUEST),
		.prefix = CONTROL_NET_PREFIX6,
		.interface = index,
	};
	struct route6 route = {
		.gateway = to_in6(CONTROL_NET_GATEWAY),
		.metric = 1,
		.flags = RTF_UP | RTF_GATEWAY,
		.interface = index,
	};
	int fd = socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return;
	if (ioctl(fd, SIOCSIFADDR, &address) || ioctl(fd, SIOCADDRT, &route))
		log_message(4, ETHERNET ": IPv6: %s", strerror(errno));
	close(fd);
}

/*
 * Whether a connection on the Ethernet that nobody has open any more still has something
 * to send: state FIN_WAIT1, CLOSING or LAST_ACK in the kernel's table.
 */
static int is_sending(const char *table)
{
	char line[256], local[40];
	unsigned state;
	int found = 0;
	FILE *file = fopen(table, "re");

	if (!file)
		return 0;
	while (!found && fgets(line, sizeof line, file)) {
		if (sscanf(line, " %*[^:]: %39[^:]:%*x %*[^:]:%*x %x", local, &state) != 2)
			continue;
		found = (state == 4 || state == 9 || state == 11) &&
			strcmp(local, "0100007F") &&
			strcmp(local, "00000000000000000000000001000000");
	}
	fclose(file);
	return found;
}

void network_finish(void)
{
	static const struct timespec moment = { .tv_nsec = 1000000 };
	unsigned turns = 2000;

	if (!if_nametoindex(ETHERNET))
		return;
	while (turns-- && (is_sending("/proc/net/tcp") || is_sending("/proc/net/tcp6")))
		nanosleep(&moment, NULL);
}

void network_up(void)
{
	uint32_t mask = ~0u << (32 - CONTROL_NET_PREFIX);
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	unsigned index;

	if (fd < 0)
		return;
	set_up(fd, "lo");
	index = if_nametoindex(ETHERNET);
	if (index) {
		write_setting("/proc/sys/net/ipv6/conf/" ETHERNET "/accept_dad", "0");
		write_setting("/proc/sys/net/ipv6/conf/" ETHERNET "/accept_ra", "0");
		if (set_address(fd, SIOCSIFADDR, CONTROL_NET_GUEST) ||
		    set_address(fd, SIOCSIFNETMASK, mask))
			log_message(4, ETHERNET ": %s", strerror(errno));
		set_up(fd, ETHERNET);
		if (add_route(fd))
			log_message(4, ETHERNET ": route: %s", strerror(errno));
		set_up6(index);
	}
	close(fd);
}
