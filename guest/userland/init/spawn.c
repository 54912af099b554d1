/* SPDX-License-Identifier: MIT */
/*
 * Starting a program: a child on this process's memory, which becomes the program by execve. This
 * process does not wait for that, as posix_spawn would: a program that nobody has run before is
 * compiled first, and meanwhile others are served. So the child must leave alone what both have,
 * errno too, and makes its system calls by itself. It tells by a pipe how far it has come; execve
 * closes that.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "init.h"

/* It holds a path, and little else. */
#define STACK_SIZE 32768

/* libc's call of the kernel: gives a negative errno, and leaves errno alone. */
long __syscall_wasm(long nr, long a, long b, long c, long d, long e, long f);

#define CALL(nr, a, b, c, d) \
	__syscall_wasm(SYS_##nr, (long)(a), (long)(b), (long)(c), (long)(d), 0, 0)

/* What the child tells; 0, 0: it waits for its start. */
struct report {
	int32_t error;
	uint32_t step, which;
};

struct spawn {
	const struct command *command;
	int reports, tell;	/* the ends of a pipe, here and in the child */
	int start, wait;	/* and of the one that starts it, -1 if there is none */
	int fds[3];		/* as the command had them: they are closed here at once */
	struct report report;
	char stack[STACK_SIZE] __attribute__((aligned(16)));
};

static const char *value_of(char **envp, const char *name)
{
	size_t length = strlen(name);

	for (; *envp; envp++)
		if (!strncmp(*envp, name, length))
			return *envp + length;
	return NULL;
}

/* execvp with the PATH of the environment that the program gets. Returns the errno. */
static int execute(const char *name, char *const argv[], char **envp)
{
	const char *path = value_of(envp, "PATH=");
	size_t length = strlen(name);
	int error = ENOENT;
	char file[PATH_MAX];

	if (!length)
		return ENOENT;
	if (strchr(name, '/'))
		return -CALL(execve, name, argv, envp, 0);
	while (path) {
		size_t prefix = strcspn(path, ":");

		/* an empty entry is the working directory */
		if (prefix + length + 2 <= sizeof file) {
			int result;

			memcpy(file, path, prefix);
			if (prefix)
				file[prefix] = '/';
			memcpy(file + prefix + !!prefix, name, length + 1);
			result = -CALL(execve, file, argv, envp, 0);
			if (result == EACCES)
				error = EACCES;
			else if (result != ENOENT && result != ENOTDIR)
				return result;
		}
		path = path[prefix] ? path + prefix + 1 : NULL;
	}
	return error;
}

static int set_streams(struct spawn *spawn)
{
	const struct command *command = spawn->command;

	for (int i = 0; i < 3; i++) {
		int fd = spawn->fds[i], result;

		spawn->report.which = i;
		if (fd < 0)
			fd = CALL(openat, AT_FDCWD, command->paths[i], O_CLOEXEC | O_NOCTTY | O_LARGEFILE |
				  (i ? O_WRONLY | O_CREAT : O_RDONLY), 0666);
		if (fd < 0)
			return -fd;
		/* Descriptors 0 to 2 are taken, so it is another one. */
		result = CALL(dup3, fd, i, 0, 0);
		if (result < 0)
			return -result;
	}
	return 0;
}

static int set_limits(const struct command *command)
{
	for (size_t i = 0; i < command->limit_count; i++) {
		const uint64_t pair[2] = { command->limits[i].soft, command->limits[i].hard };
		int result = CALL(prlimit64, 0, command->limits[i].resource, pair, NULL);

		if (result < 0)
			return -result;
	}
	return 0;
}

/* With the last of these go the capabilities, if the user is not root. */
static int set_user(const struct user *user)
{
	int result;

	if (!user->set)
		return 0;
	result = CALL(setgroups, user->count, user->groups, 0, 0);
	if (!result)
		result = CALL(setresgid, user->gid, user->gid, user->gid, 0);
	if (!result)
		result = CALL(setresuid, user->uid, user->uid, user->uid, 0);
	return -result;
}

/* Tells that it waits, and waits. 0 when it is to go on. */
static int await_start(struct spawn *spawn)
{
	static const struct report created;
	char byte;

	CALL(write, spawn->tell, &created, sizeof created, 0);
	return CALL(read, spawn->wait, &byte, 1, 0) == 1 ? 0 : ECANCELED;
}

static int become(struct spawn *spawn)
{
	const struct command *command = spawn->command;
	uint32_t *step = &spawn->report.step;
	sigset_t none;
	int error;

	CALL(setsid, 0, 0, 0, 0);
	*step = CONTROL_STEP_STREAM;
	if ((error = set_streams(spawn)))
		return error;
	*step = CONTROL_STEP_TERMINAL;
	if (command->terminal && (error = -CALL(ioctl, 0, TIOCSCTTY, 0, 0)))
		return error;
	*step = CONTROL_STEP_LIMIT;
	if ((error = set_limits(command)))
		return error;
	*step = CONTROL_STEP_DIRECTORY;
	if (*command->directory && (error = -CALL(chdir, command->directory, 0, 0, 0)))
		return error;
	*step = CONTROL_STEP_USER;
	if ((error = set_user(&command->user)))
		return error;
	/* These do not fail, so that errno stays. */
	signal(SIGPIPE, SIG_DFL);
	signal(SIGTERM, SIG_DFL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	*step = CONTROL_STEP_EXECUTE;
	if (spawn->wait >= 0 && (error = await_start(spawn)))
		return error;
	return execute(command->file ? command->file : command->argv[0], command->argv,
		       command->envp);
}

static int child(void *argument)
{
	struct spawn *spawn = argument;

	spawn->report.error = become(spawn);
	CALL(write, spawn->tell, &spawn->report, sizeof spawn->report, 0);
	for (;;)
		CALL(exit_group, 127, 0, 0, 0);
	return 0;
}

void make_directories(const char *path)
{
	char part[PATH_MAX];
	size_t length = strlen(path);

	if (length >= sizeof part || !access(path, F_OK))
		return;
	for (size_t i = 1; i <= length; i++) {
		if (path[i] != '/' && path[i])
			continue;
		memcpy(part, path, i);
		part[i] = 0;
		(void)!mkdir(part, 0755);
	}
}

static void close_end(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

static int open_pipes(struct spawn *spawn)
{
	int ends[2];

	if (pipe2(ends, O_CLOEXEC))
		return -1;
	spawn->reports = ends[0];
	spawn->tell = ends[1];
	fcntl(spawn->reports, F_SETFL, O_NONBLOCK);
	if (spawn->command->start)
		return 0;
	if (pipe2(ends, O_CLOEXEC))
		return -1;
	spawn->wait = ends[0];
	spawn->start = ends[1];
	return 0;
}

struct spawn *spawn_begin(const struct command *command, pid_t *pid, struct failure *failure)
{
	struct spawn *spawn = malloc(sizeof *spawn);

	*failure = (struct failure){ .error = ENOMEM, .step = CONTROL_STEP_PROCESS };
	if (!spawn)
		return NULL;
	spawn->command = command;
	memcpy(spawn->fds, command->fds, sizeof spawn->fds);
	spawn->report = (struct report){ 0 };
	spawn->reports = spawn->tell = spawn->start = spawn->wait = -1;
	if (open_pipes(spawn) ||
	    (*pid = clone(child, spawn->stack + STACK_SIZE, CLONE_VM | SIGCHLD, spawn, NULL, NULL,
			  NULL)) < 0) {
		failure->error = errno;
		close_end(&spawn->tell);
		close_end(&spawn->wait);
		spawn_free(spawn);
		return NULL;
	}
	close(spawn->tell);
	if (spawn->wait >= 0)
		close(spawn->wait);
	return spawn;
}

int spawn_fd(const struct spawn *spawn)
{
	return spawn->reports;
}

enum spawned spawn_state(struct spawn *spawn, struct failure *failure)
{
	const struct command *command = spawn->command;
	struct report report;
	ssize_t got;

	do
		got = read(spawn->reports, &report, sizeof report);
	while (got < 0 && errno == EINTR);
	if (got < 0)
		return SPAWN_PENDING;
	if (got < (ssize_t)sizeof report)
		return SPAWN_STARTED;
	if (!report.error)
		return SPAWN_CREATED;
	*failure = (struct failure){ .error = report.error, .step = report.step };
	if (report.step == CONTROL_STEP_STREAM && report.which < 3)
		failure->text = command->paths[report.which];
	if (report.step == CONTROL_STEP_DIRECTORY)
		failure->text = command->directory;
	if (report.step == CONTROL_STEP_EXECUTE)
		failure->text = command->argv[0];
	return SPAWN_FAILED;
}

void spawn_start(struct spawn *spawn)
{
	(void)!write(spawn->start, "", 1);
	close_end(&spawn->start);
}

void spawn_free(struct spawn *spawn)
{
	close_end(&spawn->reports);
	close_end(&spawn->start);
	free(spawn);
}
