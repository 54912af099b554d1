/* SPDX-License-Identifier: MIT */
/* Terminals of the host: lines of the kernel's driver "ttyW", each behind a stream. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "init.h"

int terminal_open(unsigned stream, unsigned rows, unsigned columns)
{
	static unsigned major_number;
	const struct winsize size = { .ws_row = rows, .ws_col = columns };
	unsigned line = stream - CONTROL_TERMINAL_STREAM;
	char path[32];
	int fd;

	if (!major_number && !(major_number = driver_major("ttyW"))) {
		errno = ENXIO;
		return -1;
	}
	/* Programs find their terminal's name by the node. 5 is the group tty. */
	snprintf(path, sizeof path, "/dev/ttyW%u", line);
	if (mknod(path, S_IFCHR | 0620, makedev(major_number, line))) {
		if (errno != EEXIST)
			return -1;
	} else {
		(void)!chown(path, 0, 5);
		(void)!chmod(path, 0620);
	}
	fd = open(path, O_RDWR | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	if (fd < 0)
		return -1;
	/* The foreground processes get SIGWINCH if it is another size. */
	ioctl(fd, TIOCSWINSZ, &size);
	fcntl(fd, F_SETFL, 0);
	return fd;
}
