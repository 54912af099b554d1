/* SPDX-License-Identifier: MIT */
/*
 * The control channel: takes the host's messages one by one, starts commands, host tasks and
 * processes for files, and reports what becomes of them. Nothing here waits for one of them. Also
 * reaps whatever else ends up as a child of process 1.
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

/* A command, host task or process for files. */
struct job {
	struct job *next;
	pid_t pid;
	uint32_t id;
	struct spawn *spawn;	/* until it has executed its program */
	int has_failed;		/* it could not; its process still has to end */
	long oom_kills;		/* until it was created; -1: not known */
	struct command command;	/* as long; then only what is asked for here */
};

static struct job *jobs;
static struct reader channel;
static int signals;

/* Without the host nothing can be started or reported. */
static void require_host(int error)
{
	if (error) {
		log_message(3, "the control channel is closed");
		power_down(RB_POWER_OFF);
	}
}

static void report(uint32_t type, uint32_t id, uint32_t tag, const uint32_t *words, size_t count)
{
	static struct writer writer;

	writer_begin(&writer, type, id);
	if (tag)
		writer_words(&writer, tag, words, count);
	require_host(writer_send(&writer, channel.fd));
}

static void report_word(uint32_t type, uint32_t id, uint32_t tag, uint32_t word)
{
	report(type, id, tag, &word, 1);
}

static void failed(uint32_t id, const struct failure *failure)
{
	require_host(failure_send(channel.fd, id, failure));
}

static void failed_for(uint32_t id, int error)
{
	const struct failure failure = { .error = error, .step = CONTROL_STEP_MESSAGE };

	failed(id, &failure);
}

static struct job *find_job(uint32_t id)
{
	struct job *job = jobs;

	while (job && job->id != id)
		job = job->next;
	return job;
}

static void free_job(struct job *job)
{
	struct job **link = &jobs;
	int power_off = job->command.power_off;

	while (*link && *link != job)
		link = &(*link)->next;
	if (*link)
		*link = job->next;
	if (job->spawn)
		spawn_free(job->spawn);
	command_free(&job->command);
	free(job);
	if (power_off)
		power_down(RB_POWER_OFF);
}

/* It runs: what it was made of is not needed any more. */
static void started(struct job *job)
{
	struct command rest = {
		.terminal = job->command.terminal, .power_off = job->command.power_off,
		.fds = { -1, -1, -1 }
	};

	report_word(CONTROL_STARTED, job->id, CONTROL_FIELD_PID, job->pid);
	spawn_free(job->spawn);
	job->spawn = NULL;
	command_free(&job->command);
	job->command = rest;
}

static enum spawned settle(struct job *job)
{
	struct failure failure;
	enum spawned state = spawn_state(job->spawn, &failure);

	if (state == SPAWN_CREATED)
		report_word(CONTROL_CREATED, job->id, CONTROL_FIELD_PID, job->pid);
	if (state == SPAWN_STARTED)
		started(job);
	if (state == SPAWN_FAILED) {
		failed(job->id, &failure);
		/* The process is on its memory until it has ended. */
		job->has_failed = 1;
	}
	return state;
}

static int is_starting(const struct job *job)
{
	return job->spawn && !job->has_failed;
}

static void exited(const struct job *job, uint32_t status)
{
	static struct writer writer;
	long kills = job->oom_kills < 0 ? -1 : oom_kills() - job->oom_kills;
	const uint32_t count = kills;

	writer_begin(&writer, CONTROL_EXITED, job->id);
	writer_words(&writer, CONTROL_FIELD_STATUS, &status, 1);
	if (kills > 0)
		writer_words(&writer, CONTROL_FIELD_OOM_KILLS, &count, 1);
	require_host(writer_send(&writer, channel.fd));
}

static void ended(pid_t pid, uint32_t status)
{
	struct job *job = jobs;

	while (job && job->pid != pid)
		job = job->next;
	if (!job)
		return;
	while (is_starting(job) && settle(job) == SPAWN_CREATED)
		;
	if (!job->has_failed)
		exited(job, status);
	free_job(job);
}

static void reap(void)
{
	int status;
	pid_t pid;

	while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
		ended(pid, status);
}

/* Makes the process of a job whose command is complete. */
static void begin(struct job *job)
{
	struct failure failure;

	job->next = jobs;
	jobs = job;
	job->oom_kills = oom_kills();
	job->spawn = spawn_begin(&job->command, &job->pid, &failure);
	if (!job->spawn) {
		failed(job->id, &failure);
		free_job(job);
		return;
	}
	command_close(&job->command);
}

static struct job *new_job(uint32_t id)
{
	struct job *job = find_job(id) ? NULL : calloc(1, sizeof *job);

	if (!job) {
		failed_for(id, find_job(id) ? EEXIST : ENOMEM);
		return NULL;
	}
	job->id = id;
	job->command = (struct command){ .fds = { -1, -1, -1 } };
	return job;
}

static void create(const struct message *message)
{
	struct job *job = new_job(message->id);
	struct failure failure;

	if (!job)
		return;
	if (command_parse(&job->command, message, &failure)) {
		failed(job->id, &failure);
		free_job(job);
		return;
	}
	begin(job);
}

/*
 * Another process of this program, under the name that says what for, with a stream as descriptor
 * 0.
 */
static void serve_on_stream(struct message *message, char *name, int takes_path)
{
	struct job *job = new_job(message->id);
	struct failure failure = { .step = CONTROL_STEP_MESSAGE, .error = EPROTO };
	struct command *command;
	struct field field;
	char *path = NULL, *follow = NULL;
	uint32_t stream = 0;

	if (!job)
		return;
	command = &job->command;
	while (field_next(message, &field)) {
		if (field.tag == CONTROL_FIELD_CHANNEL && !field_words(&field, &stream, 1))
			continue;
		if (field.tag == CONTROL_FIELD_PATH && takes_path && (path = field_text(&field, 0)))
			continue;
		if (field.tag == CONTROL_FIELD_FOLLOW && takes_path && (follow = "follow"))
			continue;
		if (field.tag & CONTROL_FIELD_REQUIRED) {
			failure.error = EPROTONOSUPPORT;
			stream = 0;
			break;
		}
	}
	if (stream >= CONTROL_STREAM_FIRST && !takes_path == !path) {
		failure = (struct failure){ .step = CONTROL_STEP_STREAM };
		command->fds[0] = stream_open(stream, O_RDWR);
		command->memory = (void *)(path ? strdup(path) : NULL);
		command->argv = calloc(4, sizeof *command->argv);
		command->envp = calloc(1, sizeof *command->envp);
		if (command->fds[0] < 0)
			failure.error = errno;
		else if (!command->argv || !command->envp || (path && !command->memory))
			failure.error = ENOMEM;
	}
	if (failure.error) {
		failed(job->id, &failure);
		free_job(job);
		return;
	}
	command->argv[0] = name;
	command->argv[1] = (char *)command->memory;
	command->argv[2] = follow;
	command->file = "/proc/self/exe";
	command->directory = "/";
	command->paths[1] = command->paths[2] = "/dev/null";
	command->start = 1;
	begin(job);
}

static void start(const struct message *message)
{
	struct job *job = find_job(message->id);

	if (!job || !is_starting(job))
		failed_for(message->id, job ? EBUSY : ESRCH);
	else
		spawn_start(job->spawn);
}

/*
 * A process that has just ended is no error; its number may be another's by now, so it is found by
 * its job.
 */
static void send_signal(struct message *message)
{
	struct job *job = find_job(message->id);
	uint32_t number = 0;
	int group = 0;
	struct field field;

	while (field_next(message, &field)) {
		if (field.tag == CONTROL_FIELD_SIGNAL)
			field_words(&field, &number, 1);
		group |= field.tag == CONTROL_FIELD_WHOLE_GROUP;
	}
	if (job && job->pid > 0)
		kill(group ? -job->pid : job->pid, (int)number);
}

static void resize(struct message *message)
{
	struct job *job = find_job(message->id);
	uint32_t size[2];
	struct field field;
	int fd;

	while (job && job->command.terminal && field_next(message, &field))
		if (field.tag == CONTROL_FIELD_SIZE && !field_words(&field, size, 2) &&
		    (fd = terminal_open(job->command.terminal, size[0], size[1])) >= 0)
			close(fd);
}

/* The host speaks first, too. What it cannot be told in its language is told in the log. */
static void greet(struct message *message)
{
	const struct failure failure = { .error = EPROTONOSUPPORT, .step = CONTROL_STEP_VERSION };
	uint32_t versions[2] = { 0, 0 };
	struct field field;

	while (field_next(message, &field))
		if (field.tag == CONTROL_FIELD_VERSIONS)
			field_words(&field, versions, 2);
	if (versions[0] >= CONTROL_VERSION_OLDEST && versions[1] <= CONTROL_VERSION)
		return;
	log_message(3, "the host speaks versions %u to %u of the control protocol, this init %u to %u",
		    (unsigned)versions[1], (unsigned)versions[0], CONTROL_VERSION_OLDEST,
		    CONTROL_VERSION);
	failed(0, &failure);
	power_down(RB_POWER_OFF);
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

static void handle(struct message *message)
{
	switch (message->type) {
	case CONTROL_HELLO:
		greet(message);
		break;
	case CONTROL_CREATE:
		create(message);
		break;
	case CONTROL_START:
		start(message);
		break;
	case CONTROL_SIGNAL:
		send_signal(message);
		break;
	case CONTROL_RESIZE:
		resize(message);
		break;
	case CONTROL_TASK:
		serve_on_stream(message, "hosttask", 0);
		break;
	case CONTROL_FILES_IN:
		serve_on_stream(message, "files-in", 0);
		break;
	case CONTROL_FILES_OUT:
		serve_on_stream(message, "files-out", 1);
		break;
	case CONTROL_SHUTDOWN:
		shut_down(RB_POWER_OFF);
		break;
	default:
		failed_for(message->id, ENOSYS);
	}
}

/* All that has come. A message that has not come whole is waited for in poll(), with others. */
static void receive(void)
{
	struct message message;
	int result;

	if (reader_fill(&channel))
		power_down(RB_POWER_OFF);
	while ((result = reader_next(&channel, &message))) {
		if (result > 0) {
			handle(&message);
			continue;
		}
		failed_for(message.id, -result);
		/* Where the next one begins is not known. */
		if (result == -EMSGSIZE)
			power_down(RB_POWER_OFF);
	}
}

/* Those that start, and may have news. */
static void look_after(const struct pollfd *polled, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		struct job *job = jobs;

		if (!polled[i].revents)
			continue;
		while (job && !(is_starting(job) && spawn_fd(job->spawn) == polled[i].fd))
			job = job->next;
		if (job)
			settle(job);
	}
}

/*
 * What is waited for: the channel, signals, and the jobs that start. With too little memory not all
 * of these.
 */
static size_t list_waits(struct pollfd **waits)
{
	static size_t room;
	size_t count = 2;

	for (struct job *job = jobs; job; job = job->next)
		count += is_starting(job);
	if (count > room) {
		struct pollfd *more = realloc(*waits, (count + 8) * sizeof *more);

		if (more) {
			*waits = more;
			room = count + 8;
		}
	}
	(*waits)[0] = (struct pollfd){ .fd = channel.fd, .events = POLLIN };
	(*waits)[1] = (struct pollfd){ .fd = signals, .events = POLLIN };
	count = 2;
	for (struct job *job = jobs; job && count < room; job = job->next)
		if (is_starting(job))
			(*waits)[count++] = (struct pollfd){ .fd = spawn_fd(job->spawn), .events = POLLIN };
	return count;
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
	static const uint32_t versions[2] = { CONTROL_VERSION, CONTROL_VERSION_OLDEST };
	struct pollfd *waits = calloc(2, sizeof *waits);

	channel = (struct reader){ .fd = control_channel, .limit = CONTROL_PAYLOAD_MAX };
	signals = signal_fd;
	if (!waits)
		power_down(RB_POWER_OFF);
	report(CONTROL_HELLO, 0, CONTROL_FIELD_VERSIONS, versions, 2);
	for (;;) {
		size_t count = list_waits(&waits);
		/* Without a signalfd, children are looked for now and then. */
		int ready = poll(waits, count, signals < 0 && jobs ? 10 : -1);

		if (ready < 0 && errno != EINTR) {
			log_message(3, "poll: %s", strerror(errno));
			power_down(RB_POWER_OFF);
		}
		if (ready > 0 && waits[1].revents)
			take_signal();
		if (ready > 0)
			look_after(waits + 2, count - 2);
		reap();
		if (ready > 0 && waits[0].revents)
			receive();
	}
}
