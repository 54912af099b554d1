/* SPDX-License-Identifier: MIT */
/* Streams of the machine as files: a character device each, whose major number the kernel chose. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "init.h"

unsigned driver_major(const char *wanted)
{
	FILE *list = fopen("/proc/devices", "re");
	char line[128], name[64];
	unsigned number, found = 0;

	if (!list)
		return 0;
	while (!found && fgets(line, sizeof line, list)) {
		if (!strncmp(line, "Block", 5))
			break;
		if (sscanf(line, "%u %63s", &number, name) == 2 && !strcmp(name, wanted))
			found = number;
	}
	fclose(list);
	return found;
}

int stream_open(unsigned stream, int flags)
{
	static unsigned major_number;
	char path[32];
	int fd, error;

	if (!major_number && !(major_number = driver_major("stream"))) {
		errno = ENXIO;
		return -1;
	}
	/* The node is needed for the opening only: nobody else may open the stream by a name. */
	snprintf(path, sizeof path, "/dev/stream%u", stream);
	unlink(path);
	if (mknod(path, S_IFCHR | 0600, makedev(major_number, stream)))
		return -1;
	fd = open(path, flags | O_CLOEXEC | O_NOCTTY);
	error = errno;
	unlink(path);
	errno = error;
	return fd;
}
