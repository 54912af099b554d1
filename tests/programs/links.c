/*
 * Devices, rules and filters of a network that a kernel may be configured without: TUN, veth,
 * bridge, rules of routing, diagnosis of sockets, nftables; in a network of their own.
 */
#include "process.h"
#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/fib_rules.h>
#include <linux/if_link.h>
#include <linux/if_tun.h>
#include <linux/inet_diag.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/packet_diag.h>
#include <linux/rtnetlink.h>
#include <linux/sock_diag.h>
#include <linux/sockios.h>
#include <linux/tls.h>
#include <linux/unix_diag.h>
#include <linux/veth.h>
#include <net/if.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

/* A message to the kernel that is being written. */
static struct {
	struct nlmsghdr head;
	char rest[4000];
} message;

static void *put(const void *bytes, size_t len)
{
	void *at = (char *)&message + NLMSG_ALIGN(message.head.nlmsg_len);

	memcpy(at, bytes, len);
	message.head.nlmsg_len = NLMSG_ALIGN(message.head.nlmsg_len) + len;
	return at;
}

static void begin(int type, int flags, const void *head, size_t len)
{
	memset(&message, 0, sizeof message);
	message.head = (struct nlmsghdr){ NLMSG_HDRLEN, type, NLM_F_REQUEST | flags, 1, 0 };
	put(head, len);
}

static struct nlattr *attribute(int type, const void *bytes, size_t len)
{
	struct nlattr *at = put(&(struct nlattr){ NLA_HDRLEN + len, type }, NLA_HDRLEN);

	if (len)
		put(bytes, len);
	return at;
}

static void text(int type, const char *value)
{
	attribute(type, value, strlen(value) + 1);
}

static void number(int type, uint32_t big_endian)
{
	attribute(type, &big_endian, 4);
}

/* What was put since `outer` is inside of it. */
static void end(struct nlattr *outer)
{
	outer->nla_len = (char *)&message + message.head.nlmsg_len - (char *)outer;
}

/* Sends it; 0 or -1 as the kernel answers, or how many messages a dump has. */
static int answer(int fd)
{
	static char buffer[32768];
	int count = 0;

	for (;;) {
		int n = recv(fd, buffer, sizeof buffer, 0);
		struct nlmsghdr *head = (void *)buffer;

		MUST(n > 0);
		for (; NLMSG_OK(head, (unsigned)n); head = NLMSG_NEXT(head, n)) {
			if (head->nlmsg_type == NLMSG_ERROR) {
				errno = -((struct nlmsgerr *)NLMSG_DATA(head))->error;
				return errno ? -1 : 0;
			}
			if (head->nlmsg_type == NLMSG_DONE)
				return count;
			count++;
		}
	}
}

static int transact(int protocol)
{
	int fd = socket(AF_NETLINK, SOCK_RAW, protocol), result;

	if (fd < 0)
		return -1;
	MUST(send(fd, &message, message.head.nlmsg_len, 0) == (int)message.head.nlmsg_len);
	result = answer(fd);
	close(fd);
	return result;
}

#define CHANGE (NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL)

static int add_link(const char *kind, const char *name, const char *peer)
{
	struct ifinfomsg none = { 0 };
	struct nlattr *info, *data, *other;

	begin(RTM_NEWLINK, CHANGE, &none, sizeof none);
	text(IFLA_IFNAME, name);
	info = attribute(IFLA_LINKINFO, NULL, 0);
	text(IFLA_INFO_KIND, kind);
	if (peer) {
		data = attribute(IFLA_INFO_DATA, NULL, 0);
		other = attribute(VETH_INFO_PEER, NULL, 0);
		put(&none, sizeof none);
		text(IFLA_IFNAME, peer);
		end(other);
		end(data);
	}
	end(info);
	return transact(NETLINK_ROUTE);
}

static void up(const char *name)
{
	struct ifreq request = { .ifr_flags = IFF_UP };
	int fd = socket(AF_INET, SOCK_DGRAM, 0);

	strcpy(request.ifr_name, name);
	MUST(ioctl(fd, SIOCSIFFLAGS, &request) == 0);
	close(fd);
}

static int rule(void)
{
	struct fib_rule_hdr head = { .family = AF_INET, .table = 77, .action = FR_ACT_TO_TBL };

	begin(RTM_NEWRULE, CHANGE, &head, sizeof head);
	number(FRA_PRIORITY, 1000);
	return transact(NETLINK_ROUTE);
}

static int diagnose(int family, int protocol)
{
	struct inet_diag_req_v2 inet = { .sdiag_family = family, .sdiag_protocol = protocol, .idiag_states = -1 };
	struct unix_diag_req local = { .sdiag_family = family, .udiag_states = -1 };
	struct packet_diag_req packet = { .sdiag_family = family };

	if (family == AF_UNIX)
		begin(SOCK_DIAG_BY_FAMILY, NLM_F_DUMP, &local, sizeof local);
	else if (family == AF_PACKET)
		begin(SOCK_DIAG_BY_FAMILY, NLM_F_DUMP, &packet, sizeof packet);
	else
		begin(SOCK_DIAG_BY_FAMILY, NLM_F_DUMP, &inet, sizeof inet);
	return transact(NETLINK_SOCK_DIAG);
}

static int filter = -1;

/* Messages for nftables, which come in batches */
static void nft(int type, int flags)
{
	struct nfgenmsg head = { NFPROTO_INET, NFNETLINK_V0, 0 };

	begin(NFNL_SUBSYS_NFTABLES << 8 | type, flags, &head, sizeof head);
}

static struct nlattr *expression(const char *name, struct nlattr **data)
{
	struct nlattr *element = attribute(NFTA_LIST_ELEM, NULL, 0);

	text(NFTA_EXPR_NAME, name);
	*data = attribute(NFTA_EXPR_DATA, NULL, 0);
	return element;
}

/* One that refuses what is sent to port 7: after looking at the connection. */
static int refuse_port_7(void)
{
	static const struct nfgenmsg batch = { AF_UNSPEC, NFNETLINK_V0, __builtin_bswap16(NFNL_SUBSYS_NFTABLES) };
	static char all[8192];
	size_t len = 0;
	struct nlattr *list, *element, *data, *value;
	uint16_t port = htons(7);

#define KEEP() (memcpy(all + len, &message, message.head.nlmsg_len), len += NLMSG_ALIGN(message.head.nlmsg_len))
	begin(NFNL_MSG_BATCH_BEGIN, 0, &batch, sizeof batch);
	KEEP();
	nft(NFT_MSG_NEWTABLE, NLM_F_CREATE);
	text(NFTA_TABLE_NAME, "t");
	KEEP();
	nft(NFT_MSG_NEWCHAIN, NLM_F_CREATE);
	text(NFTA_CHAIN_TABLE, "t");
	text(NFTA_CHAIN_NAME, "out");
	data = attribute(NFTA_CHAIN_HOOK, NULL, 0);
	number(NFTA_HOOK_HOOKNUM, htonl(NF_INET_LOCAL_OUT));
	number(NFTA_HOOK_PRIORITY, 0);
	end(data);
	text(NFTA_CHAIN_TYPE, "filter");
	KEEP();
	nft(NFT_MSG_NEWRULE, NLM_F_CREATE | NLM_F_APPEND);
	text(NFTA_RULE_TABLE, "t");
	text(NFTA_RULE_CHAIN, "out");
	list = attribute(NFTA_RULE_EXPRESSIONS, NULL, 0);
	element = expression("ct", &data);
	number(NFTA_CT_DREG, htonl(NFT_REG_1));
	number(NFTA_CT_KEY, htonl(NFT_CT_STATE));
	end(data), end(element);
	element = expression("payload", &data);
	number(NFTA_PAYLOAD_DREG, htonl(NFT_REG_1));
	number(NFTA_PAYLOAD_BASE, htonl(NFT_PAYLOAD_TRANSPORT_HEADER));
	number(NFTA_PAYLOAD_OFFSET, htonl(2));
	number(NFTA_PAYLOAD_LEN, htonl(2));
	end(data), end(element);
	element = expression("cmp", &data);
	number(NFTA_CMP_SREG, htonl(NFT_REG_1));
	number(NFTA_CMP_OP, htonl(NFT_CMP_EQ));
	value = attribute(NFTA_CMP_DATA, NULL, 0);
	attribute(NFTA_DATA_VALUE, &port, 2);
	end(value), end(data), end(element);
	element = expression("reject", &data);
	number(NFTA_REJECT_TYPE, htonl(NFT_REJECT_ICMPX_UNREACH));
	attribute(NFTA_REJECT_ICMP_CODE, &(uint8_t){ NFT_REJECT_ICMPX_ADMIN_PROHIBITED }, 1);
	end(data), end(element);
	end(list);
	message.head.nlmsg_flags |= NLM_F_ACK;
	KEEP();
	begin(NFNL_MSG_BATCH_END, 0, &batch, sizeof batch);
	KEEP();
	MUST((filter = socket(AF_NETLINK, SOCK_RAW, NETLINK_NETFILTER)) >= 0);
	MUST(send(filter, all, len, 0) == (int)len);
	return answer(filter);
}

/* Connects to a port of this machine, and turns encryption by the kernel on if asked for. */
static int connects(int port, int encrypted)
{
	struct sockaddr_in to = { AF_INET, htons(port), { htonl(INADDR_LOOPBACK) } };
	struct tls12_crypto_info_aes_gcm_128 how = { .info = { TLS_1_2_VERSION, TLS_CIPHER_AES_GCM_128 } };
	int fd = socket(AF_INET, SOCK_STREAM, 0), result = connect(fd, (void *)&to, sizeof to), before;

	if (encrypted && result == 0 && (result = setsockopt(fd, IPPROTO_TCP, TCP_ULP, "tls", 3)) == 0)
		result = setsockopt(fd, 282 /* SOL_TLS */, TLS_TX, &how, sizeof how);
	before = errno;
	close(fd);
	errno = before;
	return result;
}

int main(int argc, char **argv)
{
	struct ifreq request = { .ifr_flags = IFF_TUN | IFF_NO_PI, .ifr_name = "tun7" };
	struct sockaddr_in any = { AF_INET, htons(8), { htonl(INADDR_LOOPBACK) } };
	int fd, tun, pair[2];

	LINES();
	SAY(unshare(CLONE_NEWNET));
	up("lo");
	mkdir("/dev/net", 0755);
	mknod("/dev/net/tun", S_IFCHR | 0600, makedev(10, 200));
	MUST((tun = open("/dev/net/tun", O_RDWR)) >= 0);
	SAY(ioctl(tun, TUNSETIFF, &request));
	SAY(if_nametoindex("tun7") > 0);
	SAY(add_link("veth", "v0", "v1"));
	SAY(if_nametoindex("v1") > 0);
	MUST((fd = socket(AF_INET, SOCK_STREAM, 0)) >= 0);
	SAY(ioctl(fd, SIOCBRADDBR, "br7"));
	strcpy(request.ifr_name, "br7");
	request.ifr_ifindex = if_nametoindex("v0");
	SAY(ioctl(fd, SIOCBRADDIF, &request));
	up("v0"), up("v1"), up("br7");
	SAY(rule());
	SAY(rule());

	MUST(bind(fd, (void *)&any, sizeof any) == 0 && listen(fd, 1) == 0);
	MUST(socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0);
	MUST(socket(AF_PACKET, SOCK_RAW, 0) >= 0);
	SAY(diagnose(AF_INET, IPPROTO_TCP));
	SAY(diagnose(AF_INET, IPPROTO_UDP));
	SAY(diagnose(AF_UNIX, 0) >= 2);
	SAY(diagnose(AF_PACKET, 0));

	SAY(connects(7, 0));
	SAY(refuse_port_7());
	SAY(connects(7, 0));
	SAY(connects(8, 0));
	/* which not every host has */
	if (argc > 1)
		SAY(connects(8, 1));
	return 0;
}
