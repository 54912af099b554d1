/* SPDX-License-Identifier: MIT */
/* The file systems that programs expect, /dev, and the name of the machine. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "init.h"

static const struct {
	const char *type, *path, *options;
	unsigned long flags;
	int optional;	/* a kernel may be built without it */
} mount_table[] = {
	{ "tmpfs", "/dev", "mode=755", MS_NOSUID, 0 },
	{ "proc", "/proc", NULL, MS_NOSUID | MS_NODEV | MS_NOEXEC, 0 },
	{ "sysfs", "/sys", NULL, MS_NOSUID | MS_NODEV | MS_NOEXEC, 1 },
	{ "devpts", "/dev/pts", "gid=5,mode=620,ptmxmode=666", MS_NOSUID | MS_NOEXEC, 1 },
	{ "tmpfs", "/dev/shm", "mode=1777", MS_NOSUID | MS_NODEV, 0 },
	{ "tmpfs", "/run", "mode=755", MS_NOSUID | MS_NODEV, 0 },
	{ "tmpfs", "/tmp", "mode=1777", MS_NOSUID | MS_NODEV, 0 },
};

/* /dev and /proc */
#define FIRST_MOUNTS 2

/* Documentation/admin-guide/devices.txt */
static const struct {
	const char *path;
	mode_t mode;
	unsigned major, minor;
} node_table[] = {
	{ "/dev/console", 0600, 5, 1 },	{ "/dev/full", 0666, 1, 7 },
	{ "/dev/kmsg", 0644, 1, 11 },	{ "/dev/net/tun", 0666, 10, 200 },
	{ "/dev/null", 0666, 1, 3 },
	{ "/dev/random", 0666, 1, 8 },	{ "/dev/tty", 0666, 5, 0 },
	{ "/dev/urandom", 0666, 1, 9 },	{ "/dev/zero", 0666, 1, 5 },
};

static const struct {
	const char *path, *target;
} link_table[] = {
	{ "/dev/fd", "/proc/self/fd" },		{ "/dev/stdin", "/proc/self/fd/0" },
	{ "/dev/stdout", "/proc/self/fd/1" },	{ "/dev/stderr", "/proc/self/fd/2" },
	{ "/dev/ptmx", "pts/ptmx" },
};

/* What the user put there at boot (--add) must not be hidden by a file system on top. */
static int has_files(const char *path)
{
	DIR *directory = opendir(path);
	struct dirent *entry;
	int found = 0;

	if (!directory)
		return 0;
	while (!found && (entry = readdir(directory)))
		found = strcmp(entry->d_name, ".") && strcmp(entry->d_name, "..");
	closedir(directory);
	return found;
}

static void fill_dev(void)
{
	size_t i;

	(void)!mkdir("/dev/net", 0755);
	for (i = 0; i < sizeof node_table / sizeof *node_table; i++) {
		dev_t device = makedev(node_table[i].major, node_table[i].minor);

		if (mknod(node_table[i].path, S_IFCHR | node_table[i].mode, device) && errno != EEXIST)
			log_message(4, "%s: %s", node_table[i].path, strerror(errno));
	}
	for (i = 0; i < sizeof link_table / sizeof *link_table; i++)
		(void)!symlink(link_table[i].target, link_table[i].path);
}

/*
 * As distributions have it: a machine's own name is an address of its own. What the user wrote of
 * it stays.
 */
static void add_to_hosts(const char *name)
{
	char line[512];
	FILE *file = fopen("/etc/hosts", "a+e");
	int found = 0;

	if (!file)
		return;
	while (!found && fgets(line, sizeof line, file)) {
		line[strcspn(line, "#\n")] = 0;
		strtok(line, " \t");
		for (char *word; !found && (word = strtok(NULL, " \t"));)
			found = !strcmp(word, name);
	}
	if (!found)
		fprintf(file, "127.0.1.1\t%s\n", name);
	fclose(file);
}

static void set_hostname(void)
{
	char name[256];
	int fd = open("/etc/hostname", O_RDONLY | O_CLOEXEC);
	ssize_t length;

	if (fd < 0)
		return;
	length = read(fd, name, sizeof name - 1);
	close(fd);
	if (length <= 0)
		return;
	for (ssize_t i = 0; i < length; i++)
		if (name[i] == '\n' || name[i] == ' ')
			length = i;
	if (!length)
		return;
	if (sethostname(name, length))
		log_message(4, "hostname: %s", strerror(errno));
	name[length] = 0;
	add_to_hosts(name);
}

static void mount_entry(size_t i)
{
	const char *path = mount_table[i].path;

	(void)!mkdir(path, 0755);
	if (i >= FIRST_MOUNTS && has_files(path))
		return;
	if (mount(mount_table[i].type, path, mount_table[i].type, mount_table[i].flags,
		  mount_table[i].options) &&
	    !(mount_table[i].optional && errno == ENODEV))
		log_message(4, "mount of %s: %s", path, strerror(errno));
}

void mounts_first(void)
{
	mode_t mask = umask(0);

	for (size_t i = 0; i < FIRST_MOUNTS; i++)
		mount_entry(i);
	fill_dev();
	umask(mask);
}

void mounts_rest(void)
{
	mode_t mask = umask(0);

	for (size_t i = FIRST_MOUNTS; i < sizeof mount_table / sizeof *mount_table; i++)
		mount_entry(i);
	umask(mask);
	set_hostname();
}
