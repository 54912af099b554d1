/* SPDX-License-Identifier: MIT */
/*
 * The control channel: takes the host's messages one by one, starts commands and host
 * tasks, and reports what becomes of them. Also reaps whatever else ends up as a child of process 1.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/reboot.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "init.h"

/* How long SHUTDOWN waits for processes that have been asked to end, in milliseconds. */
#define SHUTDOWN_GRACE 2000

/* A command or host task that runs. */
struct job {
	struct job *next;
	pid_t pid;
	uint32_t id, flags;
};

static struct job *jobs;
static int channel, signals;

/* Without the host nothing can be started or reported. */
static void report(uint32_t type, uint32_t id, const uint32_t *words, size_t count)
{
	if (message_send(channel, type, id, words, count)) {
		log_message(3, "the control channel is closed");
		power_down(RB_POWER_OFF);
	}
}

/* It does not run: a negative errno, and which step it comes from. */
static void failed(uint32_t id, uint32_t flags, int error, uint32_t step)
{
	const uint32_t words[2] = { -error, step };

	report(CONTROL_FAILED, id, words, 2);
	if (flags & CONTROL_RUN_POWEROFF)
		power_down(RB_POWER_OFF);
}

static void started(uint32_t id, uint32_t flags, pid_t pid)
{
	const uint32_t word = pid;
	struct job *job = malloc(sizeof *job);

	if (!job) {
		kill(pid, SIGKILL);
		failed(id, flags, -ENOMEM, CONTROL_FAILED_EXEC);
		return;
	}
	*job = (struct job){ .next = jobs, .pid = pid, .id = id, .flags = flags };
	jobs = job;
	report(CONTROL_STARTED, id, &word, 1);
}

static void ended(pid_t pid, uint32_t status)
{
	for (struct job **link = &jobs; *link; link = &(*link)->next) {
		struct job *job = *link, copy = *job;

		if (copy.pid != pid)
			continue;
		*link = copy.next;
		free(job);
		report(CONTROL_EXITED, copy.id, &status, 1);
		if (copy.flags & CONTROL_RUN_POWEROFF)
			power_down(RB_POWER_OFF);
		return;
	}
}

static void reap(void)
{
	int status;
	pid_t pid;

	while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
		ended(pid, status);
}

/*
 * Opens the three streams of a command. A stream of the machine is opened once, however many of
 * the descriptors it serves; a path each time that it is given.
 */
static int open_streams(const uint32_t numbers[3], char **paths, int fds[3])
{
	for (int i = 0; i < 3; i++) {
		int flags = i ? O_WRONLY : O_RDONLY, first = i;

		if (numbers[i] == CONTROL_RUN_PATH) {
			fds[i] = open(*paths++, flags | (i ? O_CREAT : 0) | O_CLOEXEC | O_NOCTTY, 0666);
		} else {
			for (int j = i; j--;)
				if (numbers[j] == numbers[i])
					first = j;
			if (!i && (numbers[1] == numbers[0] || numbers[2] == numbers[0]))
				flags = O_RDWR;
			fds[i] = first < i ? fds[first] : stream_open(numbers[i], flags);
		}
		if (fds[i] < 0)
			return -errno;
	}
	return 0;
}

/* The stream of a terminal, its rows, its columns */
static int open_terminal(const uint32_t words[3], int fds[3])
{
	fds[0] = fds[1] = fds[2] = terminal_open(words[0], words[1], words[2]);
	return fds[0] < 0 ? -errno : 0;
}

static void resize(const unsigned char *payload, size_t length)
{
	int fd;

	/* The session may just have ended: that is no error. */
	if (length == 12 && (fd = terminal_open(word_at(payload, 0), word_at(payload, 1),
						 word_at(payload, 2))) >= 0)
		close(fd);
}

/* Descriptors that are the same are so for one stream. */
static void close_streams(const int fds[3])
{
	for (int i = 0; i < 3; i++)
		if (fds[i] >= 0 && !(i && fds[0] == fds[i]) && !(i == 2 && fds[1] == fds[2]))
			close(fds[i]);
}

static void run_command(uint32_t id, unsigned char *payload, size_t length)
{
	enum { WORDS = 6 };
	struct command command;
	uint32_t flags, numbers[3], step = CONTROL_FAILED_STREAM, paths = 0;
	int fds[3] = { -1, -1, -1 };
	pid_t pid;

	if (length < WORDS * 4) {
		failed(id, 0, -EINVAL, CONTROL_FAILED_EXEC);
		return;
	}
	flags = word_at(payload, 0);
	for (int i = 0; i < 3; i++) {
		numbers[i] = word_at(payload, 1 + i);
		if (!(flags & CONTROL_RUN_TERMINAL))
			paths += numbers[i] == CONTROL_RUN_PATH;
	}
	if (command_parse(&command, word_at(payload, 4), word_at(payload, 5), paths,
			  (char *)payload + WORDS * 4, length - WORDS * 4)) {
		failed(id, flags, -EINVAL, CONTROL_FAILED_EXEC);
		return;
	}
	make_folders(command.cwd);
	command.terminal = !!(flags & CONTROL_RUN_TERMINAL);
	if (command.terminal)
		pid = open_terminal(numbers, fds);
	else
		pid = open_streams(numbers, command.paths, fds);
	if (!pid)
		pid = spawn(&command, fds, &step);
	close_streams(fds);
	command_free(&command);
	if (pid < 0)
		failed(id, flags, pid, step);
	else
		started(id, flags, pid);
}

/* A host task is this program under another name, with its stream as descriptor 0. */
static void run_host_task(uint32_t id, const unsigned char *payload, size_t length)
{
	char *argv[] = { "hosttask", NULL }, *envp[] = { NULL };
	struct command command = {
		.file = "/proc/self/exe", .cwd = "/", .argv = argv, .envp = envp
	};
	uint32_t step = CONTROL_FAILED_STREAM;
	int fds[3] = { -1, -1, -1 };
	pid_t pid = -EINVAL;

	if (length == 4) {
		fds[0] = stream_open(word_at(payload, 0), O_RDWR);
		fds[1] = fds[2] = fds[0] < 0 ? -1 : open("/dev/null", O_RDWR | O_CLOEXEC);
		pid = fds[1] < 0 ? -errno : spawn(&command, fds, &step);
		close_streams(fds);
	}
	if (pid < 0)
		failed(id, 0, pid, step);
	else
		started(id, 0, pid);
}

static long long milliseconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000LL + now.tv_nsec / 1000000;
}

/* Everything gets a chance to end by itself; the host hears of each job that does. */
static void shut_down(int how)
{
	long long now = milliseconds(), end = now + SHUTDOWN_GRACE;

	if (!kill(-1, SIGTERM)) {
		kill(-1, SIGCONT);
		for (; now < end; now = milliseconds()) {
			struct pollfd wait = { .fd = signals, .events = POLLIN };
			struct signalfd_siginfo info[8];

			reap();
			/* no child left: the rest are threads of the kernel */
			if (waitpid(-1, NULL, WNOHANG) < 0 && errno == ECHILD)
				break;
			poll(&wait, 1, signals < 0 ? 10 : (int)(end - now));
			(void)!read(signals, info, sizeof info);
		}
		kill(-1, SIGKILL);
		reap();
	}
	power_down(how);
}

static void handle(const struct message *message, unsigned char *payload)
{
	switch (message->type) {
	case CONTROL_RUN:
		run_command(message->id, payload, message->length);
		break;
	case CONTROL_TASK:
		run_host_task(message->id, payload, message->length);
		break;
	case CONTROL_KILL:
		/* The process may just have ended: that is no error. */
		if (message->length == 8)
			kill((pid_t)word_at(payload, 0), (int)word_at(payload, 1));
		break;
	case CONTROL_RESIZE:
		resize(payload, message->length);
		break;
	case CONTROL_SHUTDOWN:
		shut_down(RB_POWER_OFF);
		break;
	default:
		log_message(4, "a message of unknown type %u", (unsigned)message->type);
	}
}

static void skip(size_t length)
{
	char piece[256];

	while (length) {
		size_t part = length < sizeof piece ? length : sizeof piece;

		if (read_all(channel, piece, part))
			power_down(RB_POWER_OFF);
		length -= part;
	}
}

/* One whole message: the host sends them in one piece, so the wait for the rest is short. */
static void receive(void)
{
	struct message message;
	unsigned char *payload;

	if (read_all(channel, &message, sizeof message))
		power_down(RB_POWER_OFF);
	if (message.length > CONTROL_PAYLOAD_MAX) {
		log_message(3, "a message of %u bytes", (unsigned)message.length);
		power_down(RB_POWER_OFF);
	}
	payload = malloc(message.length + 1);
	if (!payload) {
		skip(message.length);
		/* What it was may not be known to the host; that it failed is. */
		failed(message.id, 0, -ENOMEM, CONTROL_FAILED_EXEC);
		return;
	}
	if (read_all(channel, payload, message.length))
		power_down(RB_POWER_OFF);
	handle(&message, payload);
	free(payload);
}

/* Children are reaped by the caller, so SIGCHLD says nothing more. */
static void take_signal(void)
{
	struct signalfd_siginfo info;

	while (read(signals, &info, sizeof info) == sizeof info) {
		if (info.ssi_signo == SIGUSR1)
			shut_down(RB_HALT_SYSTEM);
		if (info.ssi_signo == SIGUSR2)
			shut_down(RB_POWER_OFF);
		if (info.ssi_signo == SIGTERM || info.ssi_signo == SIGINT)
			shut_down(RB_AUTOBOOT);
	}
}

void control_serve(int control_channel, int signal_fd)
{
	channel = control_channel;
	signals = signal_fd;
	report(CONTROL_READY, 0, NULL, 0);
	for (;;) {
		struct pollfd wait[2] = {
			{ .fd = channel, .events = POLLIN },
			{ .fd = signals, .events = POLLIN },
		};
		/* Without a signalfd, children are looked for now and then. */
		int ready = poll(wait, 2, signals < 0 && jobs ? 10 : -1);

		if (ready < 0 && errno != EINTR) {
			log_message(3, "poll: %s", strerror(errno));
			power_down(RB_POWER_OFF);
		}
		if (ready > 0 && wait[1].revents)
			take_signal();
		reap();
		if (ready > 0 && wait[0].revents)
			receive();
	}
}
