/*
 * Descriptors: dup, fcntl, pipes, FIFOs, select, poll, epoll, eventfd, locks, limits. Run in an
 * empty directory.
 */
#include "common.h"
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>

static int lowest(void)
{
	int fd = open("/dev/null", O_RDONLY);
	close(fd);
	return fd;
}

int main(void)
{
	char buf[70000];
	int p[2], q[2], fd, n;

	signal(SIGPIPE, SIG_IGN);
	SAY(lowest());
	SAY(dup(1) > 2);
	SAY(dup(99));
	SAY(dup2(1, 50));
	SAY(dup2(50, 50));
	SAY(dup2(99, 50));
	SAY(fcntl(50, F_GETFD));
	SAY(dup3(1, 51, O_CLOEXEC));
	SAY(dup3(1, 1, 0));
	SAY(fcntl(51, F_GETFD));
	SAY(fcntl(51, F_SETFD, 0));
	SAY(fcntl(51, F_GETFD));
	SAY(fcntl(1, F_DUPFD, 60));
	SAY(fcntl(1, F_DUPFD_CLOEXEC, 60));
	SAY(fcntl(61, F_GETFD));
	SAY(fcntl(1, F_DUPFD, -1));
	SAY(fcntl(98, F_GETFL));
	for (int i = 50; i < 62; i++)
		close(i);
	SAY(syscall(SYS_close_range, 40, 70, 0));
	fd = open("f", O_RDWR | O_CREAT | O_APPEND, 0600);
	SAY((fcntl(fd, F_GETFL) & (O_ACCMODE | O_APPEND)) == (O_RDWR | O_APPEND));
	SAY(fcntl(fd, F_SETFL, O_NONBLOCK));
	SAY((fcntl(fd, F_GETFL) & (O_ACCMODE | O_APPEND | O_NONBLOCK)) == (O_RDWR | O_NONBLOCK));

	/* pipes */
	SAY(pipe2(p, O_NONBLOCK | O_CLOEXEC));
	SAY(read(p[0], buf, 10));
	SAY(write(p[1], "pipe data", 9));
	SAY(ioctl(p[0], FIONREAD, &n));
	SAY(n);
	SAY(read(p[0], buf, 4));
	SAY(read(p[0], buf, 100));
	SAY(write(p[0], "x", 1));
	SAY(read(p[1], buf, 1));
	SAY(lseek(p[0], 0, SEEK_SET));
	/*
	 * pipes hold 16 pages: with a page of 64 KiB more than natively, so only that it fills is
	 * compared
	 */
	memset(buf, 'p', sizeof buf);
	long long filled = 0;
	for (ssize_t w; (w = write(p[1], buf, 4096)) > 0;)
		filled += w;
	SAY(errno == EAGAIN && filled >= 65536);
	long long drained = 0;
	for (ssize_t r; (r = read(p[0], buf, sizeof buf)) > 0;)
		drained += r;
	SAY(drained == filled);
	SAY(fcntl(p[1], F_GETPIPE_SZ) >= 65536);
	close(p[0]);
	SAY(write(p[1], "x", 1));
	close(p[1]);
	SAY(pipe(p));
	SAY(write(p[1], "last", 4));
	close(p[1]);
	SAY(read(p[0], buf, 10));
	SAY(read(p[0], buf, 10));
	close(p[0]);

	/* readiness */
	pipe(p);
	pipe(q);
	struct pollfd fds[4] = { { p[0], POLLIN, 0 }, { p[1], POLLOUT, 0 }, { -1, POLLIN, 77 }, { 97, POLLIN, 0 } };
	SAY(poll(fds, 4, 0));
	printf("%x %x %x %x\n", fds[0].revents, fds[1].revents, fds[2].revents, fds[3].revents);
	SAY(poll(fds, 1, 20));
	write(p[1], "x", 1);
	SAY(poll(fds, 1, -1));
	printf("%x\n", fds[0].revents);
	close(p[1]);
	SAY(poll(fds, 1, 0));
	printf("%x\n", fds[0].revents);
	read(p[0], buf, 1);
	SAY(poll(fds, 1, 0));
	printf("%x\n", fds[0].revents);
	fd_set r, w;
	struct timeval zero = { 0, 0 }, some = { 0, 20000 };
	FD_ZERO(&r);
	FD_ZERO(&w);
	FD_SET(q[0], &r);
	FD_SET(q[1], &w);
	SAY(select(q[1] + 1, &r, &w, NULL, &zero));
	printf("%d %d\n", !!FD_ISSET(q[0], &r), !!FD_ISSET(q[1], &w));
	FD_ZERO(&r);
	FD_SET(q[0], &r);
	SAY(select(q[0] + 1, &r, NULL, NULL, &some));
	FD_SET(q[0], &r);
	write(q[1], "y", 1);
	SAY(select(q[0] + 1, &r, NULL, NULL, NULL));
	FD_ZERO(&r);
	/*
	 * a low one: beyond the size of the table of descriptors, which is inherited, select() does
	 * not look
	 */
	FD_SET(29, &r);
	SAY(select(30, &r, NULL, NULL, &zero));
	SAY(select(-1, NULL, NULL, NULL, &zero));
	struct timespec ts = { 0, 1000000 };
	SAY(ppoll(fds, 0, &ts, NULL));
	SAY(pselect(0, NULL, NULL, NULL, &ts, NULL));
	int ep;
	SAY(ep = epoll_create1(EPOLL_CLOEXEC));
	struct epoll_event ev = { EPOLLIN, { .u64 = 0x123456789abcdefull } }, out[4];
	SAY(epoll_ctl(ep, EPOLL_CTL_ADD, q[0], &ev));
	SAY(epoll_ctl(ep, EPOLL_CTL_ADD, q[0], &ev));
	SAY(epoll_wait(ep, out, 4, 0));
	printf("%x %llx\n", out[0].events, (unsigned long long)out[0].data.u64);
	read(q[0], buf, 10);
	SAY(epoll_wait(ep, out, 4, 10));
	SAY(epoll_ctl(ep, EPOLL_CTL_DEL, q[0], NULL));
	SAY(epoll_ctl(ep, EPOLL_CTL_DEL, q[0], NULL));
	int efd;
	SAY(efd = eventfd(3, EFD_NONBLOCK));
	uint64_t count;
	SAY(read(efd, &count, 8));
	SAY(count);
	SAY(read(efd, &count, 8));
	SAY(read(efd, &count, 4));
	close(ep);
	close(efd);

	/* a FIFO opened from both sides by one process */
	mkfifo("fifo", 0600);
	SAY(open("fifo", O_WRONLY | O_NONBLOCK));
	int in = open("fifo", O_RDONLY | O_NONBLOCK), o2 = open("fifo", O_WRONLY);
	SAY(write(o2, "through", 7));
	SAY(read(in, buf, 10));
	close(o2);
	SAY(read(in, buf, 10));

	/* locks, and what no file can do */
	SAY(flock(fd, LOCK_EX | LOCK_NB));
	int fd2 = open("f", O_RDWR);
	SAY(flock(fd2, LOCK_EX | LOCK_NB));
	SAY(flock(fd, LOCK_UN));
	SAY(flock(fd2, LOCK_SH | LOCK_NB));
	struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 0, .l_len = 10 };
	SAY(fcntl(fd, F_SETLK, &lock));
	SAY(fcntl(fd, F_GETLK, &lock));
	SAY(lock.l_type == F_UNLCK);
	SAY(isatty(fd));
	SAY(errno == ENOTTY);
	SAY(ioctl(fd, 0x12345678, 0));
	SAY(ioctl(95, FIONREAD, &n));

	/* the limit of open files */
	struct rlimit lim;
	SAY(getrlimit(RLIMIT_NOFILE, &lim));
	lim.rlim_cur = 30;
	SAY(setrlimit(RLIMIT_NOFILE, &lim));
	while ((n = dup(1)) >= 0)
		;
	SAY(errno == EMFILE);
	SAY(lowest());
	return 0;
}
