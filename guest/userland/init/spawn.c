/* SPDX-License-Identifier: MIT */
/*
 * Starting a program, as posix_spawn does it: a child on this process's memory, which
 * waits until the child has called execve or ended. posix_spawn itself could not search the command's own PATH.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <limits.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "init.h"

#define STACK_SIZE 65536

static const char *const default_environment[] = {
	"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
	"HOME=/root",
	"TERM=linux",
};

#define DEFAULTS (sizeof default_environment / sizeof *default_environment)

struct start {
	const struct command *command;
	char **envp;
	const int *fds;
	int error;
	uint32_t step;
};

/* The value of the variable that `entry` (NAME=value) names, or NULL. */
static const char *value_of(char **envp, const char *entry)
{
	size_t length = strchr(entry, '=') - entry + 1;

	for (; *envp; envp++)
		if (!strncmp(*envp, entry, length))
			return *envp + length;
	return NULL;
}

/* What the command was given, and the defaults that it was not. */
static char **complete_environment(char **given)
{
	size_t count = 0;
	char **envp;

	while (given[count])
		count++;
	envp = malloc((count + DEFAULTS + 1) * sizeof *envp);
	if (!envp)
		return NULL;
	memcpy(envp, given, (count + 1) * sizeof *envp);
	for (size_t i = 0; i < DEFAULTS; i++) {
		if (value_of(given, default_environment[i]))
			continue;
		envp[count++] = (char *)default_environment[i];
		envp[count] = NULL;
	}
	return envp;
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
	if (strchr(name, '/')) {
		execve(name, argv, envp);
		return errno;
	}
	while (path) {
		size_t folder = strcspn(path, ":");

		/* an empty entry is the working directory */
		if (folder + length + 2 <= sizeof file) {
			memcpy(file, path, folder);
			if (folder)
				file[folder] = '/';
			memcpy(file + folder + !!folder, name, length + 1);
			execve(file, argv, envp);
			if (errno == EACCES)
				error = EACCES;
			else if (errno != ENOENT && errno != ENOTDIR)
				return errno;
		}
		path = path[folder] ? path + folder + 1 : NULL;
	}
	return error;
}

/* In the child, on the parent's memory: nothing here may change what the parent relies on. */
static int child(void *argument)
{
	struct start *start = argument;
	const struct command *command = start->command;
	sigset_t none;

	setsid();
	start->step = CONTROL_FAILED_STREAM;
	for (int i = 0; i < 3; i++)
		if (dup2(start->fds[i], i) < 0)
			goto failed;
	if (command->terminal && ioctl(0, TIOCSCTTY, 0))
		goto failed;
	start->step = CONTROL_FAILED_DIR;
	if (*command->cwd && chdir(command->cwd))
		goto failed;
	signal(SIGPIPE, SIG_DFL);
	signal(SIGTERM, SIG_DFL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	start->step = CONTROL_FAILED_EXEC;
	start->error = execute(command->file ? command->file : command->argv[0],
			       command->argv, start->envp);
	_exit(127);
failed:
	start->error = errno;
	_exit(127);
}

void make_folders(const char *path)
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

pid_t spawn(const struct command *command, const int fds[3], uint32_t *step)
{
	static char stack[STACK_SIZE] __attribute__((aligned(16)));
	struct start start = { .command = command, .fds = fds };
	pid_t pid;

	*step = CONTROL_FAILED_EXEC;
	start.envp = complete_environment(command->envp);
	if (!start.envp)
		return -ENOMEM;
	pid = clone(child, stack + sizeof stack, CLONE_VM | CLONE_VFORK | SIGCHLD, &start,
		    NULL, NULL, NULL);
	if (pid < 0)
		pid = -errno;
	free(start.envp);
	if (pid > 0 && start.error) {
		waitpid(pid, NULL, 0);
		*step = start.step;
		return -start.error;
	}
	return pid;
}
