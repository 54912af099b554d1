/* SPDX-License-Identifier: MIT */
/*
 * Makes the files that the host sends at boot (crates/boundary/src/control.rs, FILES): what the
 * user adds to the root file system. They come over a stream of their own, and what cannot be
 * made is told with its reason, so that no file is lost in silence.
 */
#include <limits.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/sysinfo.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "init.h"

#define BUFFER	65536
#define PATH	4096

/* What the host sends, read in large pieces */
static struct {
	int fd;
	size_t start, end;
	unsigned char *bytes;
} input;

enum { KIND, MODE, SECONDS_LOW, SECONDS_HIGH, NANOSECONDS, LENGTH, FIRST, SECOND, WORDS };

_Static_assert(WORDS * 4 == CONTROL_FILES_HEADER, "the header of an entry");

/* Bytes that are there, at least one; 0 when the host has gone */
static size_t available(void)
{
	ssize_t got;

	if (input.start < input.end)
		return input.end - input.start;
	do
		got = read(input.fd, input.bytes, BUFFER);
	while (got < 0 && errno == EINTR);
	input.start = 0;
	input.end = got > 0 ? got : 0;
	return input.end;
}

static int take(void *to, size_t length)
{
	while (length) {
		size_t part = available();

		if (!part)
			return -1;
		if (part > length)
			part = length;
		memcpy(to, input.bytes + input.start, part);
		input.start += part;
		to = (char *)to + part;
		length -= part;
	}
	return 0;
}

static int take_path(char *path, uint32_t length)
{
	if (length >= PATH || take(path, length))
		return -1;
	path[length] = 0;
	return 0;
}

/* The content of a file: pieces, each after its length. 0, a negative errno, or 1 if the host has gone. */
static int take_content(int fd)
{
	uint32_t length;

	for (;;) {
		if (take(&length, sizeof length))
			return 1;
		if (!length)
			return 0;
		while (length) {
			size_t part = available();
			ssize_t put;

			if (!part)
				return 1;
			put = write(fd, input.bytes + input.start, part < length ? part : length);
			if (put < 0)
				return -errno;
			input.start += put;
			length -= put;
		}
	}
}

/* A link or file takes the place of one that is there. */
static int make_room(const char *path)
{
	return unlink(path) && errno != ENOENT ? -errno : 0;
}

static int make_file(const char *path, uint32_t mode)
{
	int result, fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);

	if (fd < 0)
		return -errno;
	result = take_content(fd);
	if (!result && fchmod(fd, mode & 07777))
		result = -errno;
	if (close(fd) && !result)
		result = -errno;
	return result;
}

static int make_folder(const char *path, uint32_t mode)
{
	struct stat there;

	if (!mkdir(path, 0700))
		return chmod(path, mode & 07777) ? -errno : 0;
	if (errno != EEXIST)
		return -errno;
	/* One that is there stays as it is. */
	return stat(path, &there) ? -errno : S_ISDIR(there.st_mode) ? 0 : -ENOTDIR;
}

static int make_node(const char *path, const uint32_t *head)
{
	if (mknod(path, head[MODE], makedev(head[FIRST], head[SECOND])))
		return -errno;
	return chmod(path, head[MODE] & 07777) ? -errno : 0;
}

static int set_time(const char *path, const uint32_t *head)
{
	struct timespec times[2];

	if (head[NANOSECONDS] == CONTROL_FILES_NO_TIME)
		return 0;
	times[0].tv_sec = (int64_t)((uint64_t)head[SECONDS_HIGH] << 32 | head[SECONDS_LOW]);
	times[0].tv_nsec = head[NANOSECONDS];
	times[1] = times[0];
	return utimensat(AT_FDCWD, path, times, AT_SYMLINK_NOFOLLOW) ? -errno : 0;
}

/* One entry. 0, a negative errno, or 1 if the host has gone or does not keep to the rules. */
static int make(const uint32_t *head, const char *path)
{
	static char other[PATH];
	uint32_t kind = head[KIND];
	int result = 0;

	if (kind == CONTROL_FILES_SYMLINK || kind == CONTROL_FILES_LINK)
		if (take_path(other, head[FIRST]))
			return 1;
	if (kind != CONTROL_FILES_FOLDER && kind != CONTROL_FILES_TIME)
		result = make_room(path);
	if (result)
		return result;
	switch (kind) {
	case CONTROL_FILES_FOLDER:
		result = make_folder(path, head[MODE]);
		break;
	case CONTROL_FILES_FILE:
		result = make_file(path, head[MODE]);
		break;
	case CONTROL_FILES_SYMLINK:
		result = symlink(other, path) ? -errno : 0;
		break;
	case CONTROL_FILES_LINK:
		result = link(other, path) ? -errno : 0;
		break;
	case CONTROL_FILES_NODE:
		result = make_node(path, head);
		break;
	case CONTROL_FILES_TIME:
		break;
	default:
		return 1;
	}
	return result ? result : set_time(path, head);
}

/*
 * Limits of the root file system. The kernel's own are half of the memory, and an inode for
 * two pages, of which a machine with large pages has few.
 */
static void limit_root(unsigned long long bytes, unsigned long inodes)
{
	char options[64];

	/* tmpfs takes no more of them than ULONG_MAX / 1024 (mm/shmem.c, BOGO_INODE_SIZE) */
	if (inodes > ULONG_MAX / 1024)
		inodes = ULONG_MAX / 1024;
	snprintf(options, sizeof options, "size=%lluk,nr_inodes=%lu", bytes / 1024, inodes);
	/* Versions of inodes stay: the kernel knows by them which programs it has loaded. */
	if (mount("tmpfs", "/", NULL, MS_REMOUNT | MS_I_VERSION, options))
		log_message(4, "limits of /: %s", strerror(errno));
}

static unsigned long long free_memory(unsigned long *inodes)
{
	struct sysinfo info;

	if (sysinfo(&info))
		return 0;
	*inodes = (unsigned long long)info.totalram * info.mem_unit / CONTROL_FILES_INODE_SHARE;
	return (unsigned long long)info.freeram * info.mem_unit;
}

static unsigned long long used_memory(void)
{
	struct statvfs root;

	if (statvfs("/", &root))
		return 0;
	return (unsigned long long)(root.f_blocks - root.f_bfree) * root.f_frsize;
}

static void answer(int result, const char *path)
{
	uint32_t head[2] = { -result, result ? strlen(path) : 0 };

	if (!write_all(input.fd, head, sizeof head))
		(void)write_all(input.fd, path, head[1]);
}

void files_receive(void)
{
	static char path[PATH + 1] = "/";
	unsigned long long memory;
	unsigned long inodes = 0, count = 0;
	uint32_t head[WORDS];
	int result = 0;

	input.fd = stream_open(CONTROL_STREAM_FILES, O_RDWR);
	if (input.fd < 0)
		return;
	input.bytes = malloc(BUFFER);
	if (!input.bytes)
		power_down(RB_POWER_OFF);
	memory = free_memory(&inodes);
	/* What is left must do for the programs that will run. */
	limit_root(used_memory() +
		   (memory > CONTROL_FILES_RESERVE ? memory - CONTROL_FILES_RESERVE : 0),
		   inodes + memory / CONTROL_FILES_INODE_COST);
	while (!result && !(result = take(head, sizeof head) ? 1 : 0) && head[KIND] != CONTROL_FILES_END) {
		result = take_path(path + 1, head[LENGTH]) ? 1 : make(head, path);
		count++;
	}
	/* The host knows why it has gone. */
	if (result > 0)
		power_down(RB_POWER_OFF);
	answer(result, path);
	close(input.fd);
	free(input.bytes);
	if (result < 0)
		power_down(RB_POWER_OFF);
	/* Half of what is left is for files, as on any Linux. */
	limit_root(used_memory() + free_memory(&inodes) / 2, inodes + count);
}
