/* SPDX-License-Identifier: MIT */
/*
 * The first process of a machine that the library drives: it sets the system up, then
 * starts what the host asks for over the control channel. The same program under another
 * name is a process that the host uses as its own ("hosttask", hosttask.c), one that takes
 * or gives files ("files-in", "files-out", files.c), or, as "control", serves the control
 * channel of a machine whose first process is another init, which the kernel's parameter
 * SYSTEM_INIT names.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
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

	/* Beside another init, SIGTERM tells everybody that the machine goes off. */
	if (getpid() != 1)
		signal(SIGTERM, SIG_IGN);

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

/* No command is to see process 1 before it is the other init. */
static void wait_for_init(void)
{
	ssize_t got;
	char byte;

	do
		got = read(STDIN_FILENO, &byte, 1);
	while (got > 0 || (got < 0 && errno == EINTR));
	close(STDIN_FILENO);
}

/* Waits until a process has executed its program. 0, or a negative errno. */
static int await_spawn(struct spawn *spawn)
{
	struct pollfd wait = { .fd = spawn_fd(spawn), .events = POLLIN };
	struct failure failure = { 0 };
	enum spawned state;

	while ((state = spawn_state(spawn, &failure)) == SPAWN_PENDING)
		poll(&wait, 1, -1);
	spawn_free(spawn);
	return -failure.error;
}

/*
 * Becomes another init, with this program beside it for the control channel. Returns if that cannot
 * be.
 */
static void hand_over(const char *path)
{
	char *argv[] = { "control", NULL }, *none[] = { NULL };
	struct command control = {
		.file = "/proc/self/exe", .directory = "/", .argv = argv, .envp = none,
		.fds = { -1, -1, -1 }, .paths = { NULL, "/dev/null", "/dev/null" }, .start = 1
	};
	struct failure failure;
	struct spawn *spawn;
	int began[2];
	pid_t pid;

	if (access(path, X_OK)) {
		log_message(3, "%s: %s", path, strerror(errno));
		return;
	}
	/* Its standard input ends as the other init begins, which closes the other end. */
	if (pipe2(began, O_CLOEXEC)) {
		log_message(3, "no pipe: %s", strerror(errno));
		return;
	}
	control.fds[0] = began[0];
	spawn = spawn_begin(&control, &pid, &failure);
	if (spawn)
		failure.error = -await_spawn(spawn);
	if (failure.error) {
		log_message(3, "no control process: %s", strerror(failure.error));
		return;
	}
	unsetenv("SYSTEM_INIT");
	execl(path, "init", (char *)NULL);
	log_message(3, "%s: %s", path, strerror(errno));
	power_down(RB_POWER_OFF);
}

int main(int argc, char **argv)
{
	const char *name = argc > 0 ? argv[0] : "", *system = getenv("SYSTEM_INIT");
	int channel;

	if (!strcmp(name, "hosttask"))
		return hosttask_serve();
	if (!strcmp(name, "files-in"))
		return files_take(STDIN_FILENO);
	if (!strcmp(name, "files-out") && argc > 1)
		return files_give(STDIN_FILENO, argv[1], argc > 2);

	umask(022);
	if (strcmp(name, "control")) {
		mounts_first();
		files_receive();
		mounts_rest();
		network_up();
		fill_standard_streams();
		log_open();
		if (system)
			hand_over(system);
	} else {
		prctl(PR_SET_NAME, name);
		wait_for_init();
		fill_standard_streams();
		log_open();
	}

	channel = stream_open(CONTROL_STREAM_CONTROL, O_RDWR);
	if (channel < 0) {
		log_message(3, "no control channel: %s", strerror(errno));
		power_down(RB_POWER_OFF);
	}
	control_serve(channel, take_signals());
}
