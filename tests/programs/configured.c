/*
 * What a kernel may be configured without: kcmp, time namespaces, dnotify, fanotify, userfaultfd,
 * AIO, keys, landlock, io.
 */
#include "process.h"
#include <fcntl.h>
#include <linux/aio_abi.h>
#include <linux/kcmp.h>
#include <linux/landlock.h>
#include <linux/userfaultfd.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <sys/fanotify.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>

#ifndef CLONE_NEWTIME
#define CLONE_NEWTIME 0x80
#endif
#define KEY_SPEC_PROCESS_KEYRING (-2)
enum { KEYCTL_UPDATE = 2, KEYCTL_READ = 11 };

static void compare(void)
{
	int fd = open("/dev/null", O_RDONLY), same = dup(fd), other = open("/dev/null", O_RDONLY);
	pid_t pid = getpid();

	SAY(syscall(SYS_kcmp, pid, pid, KCMP_FILE, fd, same));
	SAY(syscall(SYS_kcmp, pid, pid, KCMP_FILE, fd, other) > 0);
	SAY(syscall(SYS_kcmp, pid, pid, KCMP_VM, 0, 0));
}

/* The clock of a new namespace is a day ahead. */
static void ahead(void)
{
	struct timespec before, after;
	FILE *offsets;

	clock_gettime(CLOCK_MONOTONIC, &before);
	SAY(unshare(CLONE_NEWTIME));
	MUST((offsets = fopen("/proc/self/timens_offsets", "w")) != NULL);
	fprintf(offsets, "monotonic 86400 0\nboottime 86400 0\n");
	SAY(fclose(offsets));
	IN_CHILD({
		clock_gettime(CLOCK_MONOTONIC, &after);
		SAY((after.tv_sec - before.tv_sec) / 3600);
		clock_gettime(CLOCK_BOOTTIME, &after);
		SAY((after.tv_sec - before.tv_sec) / 3600);
		/* to a time of that clock */
		clock_gettime(CLOCK_MONOTONIC, &after);
		after.tv_nsec += 20000000;
		after.tv_sec += after.tv_nsec / 1000000000;
		after.tv_nsec %= 1000000000;
		SAY(clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &after, NULL));
		clock_gettime(CLOCK_MONOTONIC, &before);
		SAY((before.tv_sec - after.tv_sec) * 1000 + (before.tv_nsec - after.tv_nsec) / 1000000 < 5000);
	});
}

static volatile sig_atomic_t noticed;

static void notice(int sig)
{
	noticed = sig;
}

static void notified(void)
{
	struct fanotify_event_metadata event = { 0 };
	int dir, fd;

	MUST((dir = open("watched", O_RDONLY | O_DIRECTORY)) >= 0);
	unlink("watched/new");
	signal(SIGIO, notice);
	SAY(fcntl(dir, F_NOTIFY, DN_CREATE));
	close(open("watched/new", O_CREAT | O_WRONLY, 0600));
	SAY(noticed == SIGIO);

	MUST((fd = fanotify_init(FAN_CLASS_NOTIF, O_RDONLY)) >= 0);
	SAY(fanotify_mark(fd, FAN_MARK_ADD, FAN_OPEN | FAN_EVENT_ON_CHILD, AT_FDCWD, "watched"));
	close(open("watched/new", O_RDONLY));
	SAY(read(fd, &event, sizeof event) == sizeof event);
	SAY(event.mask == FAN_OPEN);
	SAY(event.pid == getpid());
	SAY(event.fd > 2);
}

static void *fills(void *descriptor)
{
	int fd = *(int *)descriptor;
	size_t page = sysconf(_SC_PAGESIZE);
	struct uffd_msg message;
	char *content = malloc(page);

	memset(content, 'u', page);
	MUST(poll(&(struct pollfd){ fd, POLLIN, 0 }, 1, 10000) == 1);
	MUST(read(fd, &message, sizeof message) == sizeof message);
	MUST(message.event == UFFD_EVENT_PAGEFAULT);
	struct uffdio_copy copy = { .dst = message.arg.pagefault.address & ~(__u64)(page - 1), .len = page,
				    .src = (uintptr_t)content };
	MUST(ioctl(fd, UFFDIO_COPY, &copy) == 0);
	return NULL;
}

static void filled(void)
{
	int fd = syscall(SYS_userfaultfd, O_CLOEXEC);
	struct uffdio_api api = { .api = UFFD_API };
	size_t page = sysconf(_SC_PAGESIZE);
	char *at = mmap(NULL, page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct uffdio_register all = { .range = { (uintptr_t)at, page }, .mode = UFFDIO_REGISTER_MODE_MISSING };
	pthread_t thread;

	SAY(fd >= 0);
	SAY(ioctl(fd, UFFDIO_API, &api));
	SAY(ioctl(fd, UFFDIO_REGISTER, &all));
	MUST(pthread_create(&thread, NULL, fills, &fd) == 0);
	SAY(*(volatile char *)at);
	pthread_join(thread, NULL);
}

/* Where times have 64 bits and words 32, only the newer call is there. */
#ifdef SYS_io_pgetevents_time64
#define GETEVENTS(context, event) syscall(SYS_io_pgetevents_time64, context, 1, 1, event, NULL, NULL)
#else
#define GETEVENTS(context, event) syscall(SYS_io_getevents, context, 1, 1, event, NULL)
#endif

static void asynchronous(void)
{
	static char text[] = "asynchronous", back[16];
	aio_context_t context = 0;
	int fd = open("watched/new", O_RDWR);
	struct iocb write = { .aio_lio_opcode = IOCB_CMD_PWRITE, .aio_fildes = fd, .aio_buf = (uintptr_t)text,
			      .aio_nbytes = sizeof text, .aio_data = 77 };
	struct io_event event = { 0 };

	SAY(syscall(SYS_io_setup, 4, &context));
	SAY(syscall(SYS_io_submit, context, 1, &(struct iocb *){ &write }));
	SAY(GETEVENTS(context, &event));
	SAY(event.data == 77 && event.res == sizeof text);
	SAY(pread(fd, back, sizeof back, 0));
	SAY(memcmp(back, text, sizeof text));
	SAY(syscall(SYS_io_destroy, context));
}

static void keys(void)
{
	char back[16] = "";
	long key = syscall(SYS_add_key, "user", "wasm:test", "secret", 6, KEY_SPEC_PROCESS_KEYRING);

	SAY(key > 0);
	SAY(syscall(SYS_keyctl, KEYCTL_READ, key, back, sizeof back));
	puts(back);
	SAY(syscall(SYS_request_key, "user", "wasm:test", NULL, 0) == key);
}

static void confined(void)
{
	struct landlock_ruleset_attr handled = { .handled_access_fs = LANDLOCK_ACCESS_FS_READ_FILE |
								    LANDLOCK_ACCESS_FS_WRITE_FILE };
	int rules = syscall(SYS_landlock_create_ruleset, &handled, sizeof handled, 0);
	struct landlock_path_beneath_attr beneath = { .allowed_access = LANDLOCK_ACCESS_FS_READ_FILE,
						      .parent_fd = open("watched", O_PATH) };

	SAY(rules >= 0);
	SAY(syscall(SYS_landlock_add_rule, rules, LANDLOCK_RULE_PATH_BENEATH, &beneath, 0));
	MUST(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0);
	SAY(syscall(SYS_landlock_restrict_self, rules, 0));
	SAY(open("watched/new", O_RDONLY) >= 0);
	SAY(open("watched/new", O_WRONLY));
	SAY(open("/etc/passwd", O_RDONLY));
}

/* How much a process has read and written, by calls. */
static void counted(void)
{
	static char block[10000];
	char line[64];
	unsigned long long written = 0, after = 0;
	int fd = open("/dev/null", O_WRONLY);

	for (int round = 0; round < 2; round++) {
		FILE *io = fopen("/proc/self/io", "r");
		MUST(io != NULL);
		while (fgets(line, sizeof line, io))
			sscanf(line, "wchar: %llu", round ? &after : &written);
		fclose(io);
		if (!round)
			SAY(write(fd, block, sizeof block));
	}
	SAY(after - written);
}

int main(int argc, char **argv)
{
	static const struct {
		const char *name;
		void (*does)(void);
	} all[] = { { "kcmp", compare }, { "timens", ahead }, { "notify", notified }, { "userfaultfd", filled },
		    { "aio", asynchronous }, { "keys", keys }, { "landlock", confined }, { "io", counted } };

	LINES();
	mkdir("watched", 0700);
	close(open("watched/new", O_CREAT | O_WRONLY, 0600));
	for (unsigned i = 0; i < sizeof all / sizeof *all; i++)
		if (argc == 1 || !strcmp(argv[1], all[i].name)) {
			printf("-- %s\n", all[i].name);
			IN_CHILD(all[i].does());
		}
	return 0;
}
