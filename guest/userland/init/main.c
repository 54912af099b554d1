/* SPDX-License-Identifier: MIT */
/*
 * The first process of a machine that the library drives: it sets the system up, then
 * starts what the host asks for over the control channel. The same program, called
 * "hosttask", is a process that the host uses as its own (hosttask.c).
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/reboot.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include "init.h"

/*
 * Blocked, and read from a descriptor: no handlers. The last four are what busybox's
 * halt, poweroff and reboot send to process 1, and Ctrl-Alt-Del.
 */
static int take_signals(void)
{
	static const int taken[] = { SIGCHLD, SIGUSR1, SIGUSR2, SIGTERM, SIGINT };
	sigset_t set;
	int fd;

	sigemptyset(&set);
	for (size_t i = 0; i < sizeof taken / sizeof *taken; i++)
		sigaddset(&set, taken[i]);
	sigprocmask(SIG_BLOCK, &set, NULL);
	signal(SIGPIPE, SIG_IGN);

	fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (fd < 0)
		log_message(4, "no signalfd: %s", strerror(errno));
	return fd;
}

/* Descriptors 0 to 2 are always taken, so that no other file becomes one of them. */
static void fill_standard_streams(void)
{
	int fd;

	do
		fd = open("/dev/null", O_RDWR);
	while (fd >= 0 && fd < 2);
	if (fd > 2)
		close(fd);
}

int main(int argc, char **argv)
{
	int channel;

	if (argc > 0 && !strcmp(argv[0], "hosttask"))
		return hosttask_serve();

	umask(022);
	mounts_make();
	network_up();
	fill_standard_streams();
	log_open();

	channel = stream_open(CONTROL_STREAM_CONTROL, O_RDWR);
	if (channel < 0) {
		log_message(3, "no control channel: %s", strerror(errno));
		power_down(RB_POWER_OFF);
	}
	control_serve(channel, take_signals());
}
