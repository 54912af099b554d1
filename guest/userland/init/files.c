/* SPDX-License-Identifier: MIT */
/*
 * Files from the host and to it (crates/boundary/src/control.rs, FILES_MESSAGES), over a stream of
 * their own: at boot, what the user adds to the root file system; later by processes of their own,
 * so that neither a large file nor a slow reader keeps others waiting. What cannot be made is told
 * with its reason, so that no file is lost in silence.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
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

#define PATH CONTROL_FILES_PATH

/* What a message says of a file */
struct entry {
	char *name, *target;
	uint32_t mode, device[2], time[3];
	int has_mode, has_device, has_time;
};

static int parse(struct entry *entry, struct message *message)
{
	struct field field;
	int good = 1;

	*entry = (struct entry){ 0 };
	while (good && field_next(message, &field)) {
		switch (field.tag) {
		case CONTROL_FIELD_NAME:
			good = !!(entry->name = field_text(&field, 0));
			break;
		case CONTROL_FIELD_TARGET:
			good = !!(entry->target = field_text(&field, 0));
			break;
		case CONTROL_FIELD_MODE:
			good = entry->has_mode = !field_words(&field, &entry->mode, 1);
			break;
		case CONTROL_FIELD_DEVICE:
			good = entry->has_device = !field_words(&field, entry->device, 2);
			break;
		case CONTROL_FIELD_TIME:
			good = entry->has_time = !field_words(&field, entry->time, 3);
			break;
		default:
			good = !(field.tag & CONTROL_FIELD_REQUIRED);
		}
	}
	return good && entry->name ? 0 : -EPROTO;
}

/*
 * The content of a file: pieces, an empty one at last. 0, a negative errno, or 1 if the host has
 * gone or errs.
 */
static int take_content(struct reader *input, int fd)
{
	struct message message;
	struct field field;

	for (;;) {
		if (reader_take(input, &message) != 1 || message.type != CONTROL_FILE_CONTENT)
			return 1;
		if (!field_next(&message, &field))
			return 0;
		if (field.tag != CONTROL_FIELD_DATA)
			return 1;
		if (!field.length)
			return 0;
		if (write_all(fd, field.value, field.length))
			return -errno;
	}
}

/* A link or file takes the place of one that is there. */
static int make_room(const char *path)
{
	return unlink(path) && errno != ENOENT ? -errno : 0;
}

static int make_file(struct reader *input, const char *path, uint32_t mode)
{
	int result, fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);

	if (fd < 0)
		return -errno;
	result = take_content(input, fd);
	if (!result && fchmod(fd, mode & 07777))
		result = -errno;
	if (close(fd) && !result)
		result = -errno;
	return result;
}

static int make_directory(const char *path, uint32_t mode)
{
	struct stat there;

	if (!mkdir(path, 0700))
		return chmod(path, mode & 07777) ? -errno : 0;
	if (errno != EEXIST)
		return -errno;
	/* One that is there stays as it is. */
	return stat(path, &there) ? -errno : S_ISDIR(there.st_mode) ? 0 : -ENOTDIR;
}

static int make_node(const struct entry *entry)
{
	dev_t device = makedev(entry->device[0], entry->device[1]);

	if (mknod(entry->name, entry->mode, device))
		return -errno;
	return chmod(entry->name, entry->mode & 07777) ? -errno : 0;
}

static int set_time(const char *path, const struct entry *entry)
{
	struct timespec times[2];

	if (!entry->has_time)
		return 0;
	times[0].tv_sec = (int64_t)((uint64_t)entry->time[1] << 32 | entry->time[0]);
	times[0].tv_nsec = entry->time[2];
	times[1] = times[0];
	return utimensat(AT_FDCWD, path, times, AT_SYMLINK_NOFOLLOW) ? -errno : 0;
}

/*
 * One entry, whose name is copied to `path`. 0, a negative errno, or 1 if the host has gone or
 * errs.
 */
static int make(struct reader *input, struct message *message, char path[PATH])
{
	uint32_t type = message->type;
	struct entry entry;
	int result;

	if (parse(&entry, message) || strlen(entry.name) >= PATH)
		return 1;
	strcpy(path, entry.name);
	/* The rest of the message goes when the content comes. */
	entry.name = path;
	switch (type) {
	case CONTROL_FILE_DIRECTORY:
		if (!entry.has_mode)
			return 1;
		result = make_directory(path, entry.mode);
		break;
	case CONTROL_FILE_REGULAR:
		if (!entry.has_mode)
			return 1;
		result = make_room(path);
		if (!result)
			result = make_file(input, path, entry.mode);
		break;
	case CONTROL_FILE_SYMLINK:
	case CONTROL_FILE_LINK:
		if (!entry.target)
			return 1;
		result = make_room(path);
		if (!result && (type == CONTROL_FILE_LINK ? link(entry.target, path) :
							    symlink(entry.target, path)))
			result = -errno;
		break;
	case CONTROL_FILE_NODE:
		if (!entry.has_mode || !entry.has_device)
			return 1;
		result = make_room(path);
		if (!result)
			result = make_node(&entry);
		break;
	case CONTROL_FILE_FILLED:
		result = 0;
		break;
	default:
		return 1;
	}
	return result ? result : set_time(path, &entry);
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

/* Makes what comes, and answers. 0, a negative errno, or 1 if the host has gone or errs. */
static int take_all(int fd, unsigned long *count)
{
	static char path[PATH];
	struct reader input = {
		.fd = fd, .limit = CONTROL_FILES_PAYLOAD, .least = CONTROL_FILES_PAYLOAD + CONTROL_HEADER_SIZE
	};
	struct failure failure = { .step = CONTROL_STEP_FILE, .text = path };
	static struct writer writer;
	struct message message;
	int result = 0;

	while (!result) {
		result = reader_take(&input, &message) == 1 ? 0 : 1;
		if (result || message.type == CONTROL_FILES_END)
			break;
		result = make(&input, &message, path);
		++*count;
	}
	reader_free(&input);
	if (result) {
		failure.error = result < 0 ? -result : EPROTO;
		if (result > 0)
			failure.step = CONTROL_STEP_MESSAGE;
		return failure_send(fd, 0, &failure) ? 1 : result;
	}
	writer_begin(&writer, CONTROL_FILES_MADE, 0);
	return writer_send(&writer, fd) ? 1 : 0;
}

void files_receive(void)
{
	unsigned long long memory;
	unsigned long inodes = 0, count = 0;
	int fd = stream_open(CONTROL_STREAM_FILES, O_RDWR);

	if (fd < 0)
		return;
	memory = free_memory(&inodes);
	/* What is left must do for the programs that will run. */
	limit_root(used_memory() +
		   (memory > CONTROL_FILES_RESERVE ? memory - CONTROL_FILES_RESERVE : 0),
		   inodes + memory / CONTROL_FILES_INODE_COST);
	/* The host knows why. */
	if (take_all(fd, &count))
		power_down(RB_POWER_OFF);
	close(fd);
	/* Half of what is left is for files, as on any Linux. */
	limit_root(used_memory() + free_memory(&inodes) / 2, inodes + count);
}

int files_take(int fd)
{
	unsigned long count = 0;

	umask(022);
	return !!take_all(fd, &count);
}

/* What is being sent: the message, and the path of the file. */
static struct {
	int fd;
	struct writer writer;
	char path[PATH], target[PATH];
	unsigned char piece[CONTROL_FILES_PIECE];
} output;

static int send_head(uint32_t type, const struct stat *file, const char *target)
{
	struct writer *writer = &output.writer;
	const uint32_t time[3] = {
		(uint32_t)file->st_mtim.tv_sec, (uint64_t)file->st_mtim.tv_sec >> 32,
		file->st_mtim.tv_nsec
	};
	const uint32_t mode = file->st_mode, owner[2] = { file->st_uid, file->st_gid };
	const uint32_t device[2] = { major(file->st_rdev), minor(file->st_rdev) };

	writer_begin(writer, type, 0);
	writer_text(writer, CONTROL_FIELD_NAME, output.path);
	writer_words(writer, CONTROL_FIELD_MODE, &mode, 1);
	writer_words(writer, CONTROL_FIELD_TIME, time, 3);
	writer_words(writer, CONTROL_FIELD_OWNER, owner, 2);
	if (target)
		writer_text(writer, CONTROL_FIELD_TARGET, target);
	if (type == CONTROL_FILE_NODE)
		writer_words(writer, CONTROL_FIELD_DEVICE, device, 2);
	return writer_send(writer, output.fd) ? 1 : 0;
}

static int send_piece(size_t length)
{
	writer_begin(&output.writer, CONTROL_FILE_CONTENT, 0);
	writer_announce(&output.writer, CONTROL_FIELD_DATA, length);
	return writer_send(&output.writer, output.fd) ||
	       write_all(output.fd, output.piece, length) ? 1 : 0;
}

static int send_file(const struct stat *file)
{
	int fd = open(output.path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	int result = fd < 0 ? -errno : send_head(CONTROL_FILE_REGULAR, file, NULL);
	ssize_t got = 1;

	while (!result && got) {
		got = read(fd, output.piece, sizeof output.piece);
		if (got < 0 && errno == EINTR)
			continue;
		result = got < 0 ? -errno : send_piece(got);
	}
	if (fd >= 0)
		close(fd);
	return result;
}

static int send_tree(void);

static int send_directory(const struct stat *file)
{
	size_t length = strlen(output.path);
	DIR *directory = opendir(output.path);
	struct dirent *entry;
	int result = directory ? send_head(CONTROL_FILE_DIRECTORY, file, NULL) : -errno;

	while (!result && (errno = 0, entry = readdir(directory))) {
		const char *slash = length && output.path[length - 1] == '/' ? "" : "/";

		if (!strcmp(entry->d_name, ".") || !strcmp(entry->d_name, ".."))
			continue;
		if (length + strlen(entry->d_name) + 2 > PATH) {
			result = -ENAMETOOLONG;
			break;
		}
		sprintf(output.path + length, "%s%s", slash, entry->d_name);
		result = send_tree();
		/* What was there a moment ago may be gone. */
		if (result == -ENOENT)
			result = 0;
		/* The path tells what failed. */
		if (!result)
			output.path[length] = 0;
	}
	if (!result && errno)
		result = -errno;
	if (directory)
		closedir(directory);
	return result;
}

/* What the path names and all below it. 0, a negative errno, or 1 if the host has gone. */
static int send_tree(void)
{
	struct stat file;
	ssize_t length;

	if (lstat(output.path, &file))
		return -errno;
	switch (file.st_mode & S_IFMT) {
	case S_IFDIR:
		return send_directory(&file);
	case S_IFREG:
		return send_file(&file);
	case S_IFLNK:
		length = readlink(output.path, output.target, sizeof output.target - 1);
		if (length < 0)
			return -errno;
		output.target[length] = 0;
		return send_head(CONTROL_FILE_SYMLINK, &file, output.target);
	case S_IFSOCK:
		return 0;
	default:
		return send_head(CONTROL_FILE_NODE, &file, NULL);
	}
}

int files_give(int fd, const char *path, int follow)
{
	struct failure failure = { .step = CONTROL_STEP_FILE, .text = output.path };
	int result;

	output.fd = fd;
	signal(SIGPIPE, SIG_IGN);
	result = strlen(path) < sizeof output.path ? 0 : -ENAMETOOLONG;
	if (!result) {
		strcpy(output.path, path);
		if (follow && !realpath(path, output.path))
			result = -errno;
	}
	if (!result)
		result = send_tree();
	if (result > 0)
		return 1;
	if (result < 0) {
		failure.error = -result;
		return failure_send(fd, 0, &failure) ? 1 : 0;
	}
	writer_begin(&output.writer, CONTROL_FILES_END, 0);
	return writer_send(&output.writer, fd) ? 1 : 0;
}
