/* SPDX-License-Identifier: MIT */
/* A command as a message describes it: what it is given, opened and looked up. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "init.h"

/* More limits than there are resources make no sense. */
#define LIMITS_MAX 64

static const char *const default_environment[] = {
	"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
	"TERM=linux",
};

#define DEFAULTS (sizeof default_environment / sizeof *default_environment)

struct wanted {
	uint32_t streams[3];
	int has_stream[3];
	char *user;
	char **groups;
};

static int has_variable(char **envp, const char *entry)
{
	size_t length = strcspn(entry, "=") + 1;

	for (; *envp; envp++)
		if (!strncmp(*envp, entry, length))
			return 1;
	return 0;
}

/* What the command was given, and the defaults that it was not. HOME is the user's. */
static int complete_environment(struct command *command, size_t count)
{
	static char root[] = "HOME=/root";
	char **envp, *home = root;

	if (command->user.home) {
		/* It takes the place of the plain name. */
		if (asprintf(&home, "HOME=%s", command->user.home) < 0)
			return -ENOMEM;
		free(command->user.home);
		command->user.home = home;
	}
	envp = realloc(command->envp, (count + DEFAULTS + 2) * sizeof *envp);
	if (!envp)
		return -ENOMEM;
	command->envp = envp;
	for (size_t i = 0; i < DEFAULTS; i++) {
		if (has_variable(envp, default_environment[i]))
			continue;
		envp[count++] = (char *)default_environment[i];
		envp[count] = NULL;
	}
	if (!has_variable(envp, home)) {
		envp[count++] = home;
		envp[count] = NULL;
	}
	return 0;
}

static int add_limit(struct command *command, const struct field *field)
{
	uint32_t words[5];
	struct limit *limits;

	if (field_words(field, words, 5) || command->limit_count == LIMITS_MAX)
		return -EPROTO;
	limits = realloc(command->limits, (command->limit_count + 1) * sizeof *limits);
	if (!limits)
		return -ENOMEM;
	command->limits = limits;
	limits[command->limit_count++] = (struct limit){
		words[0], (uint64_t)words[2] << 32 | words[1], (uint64_t)words[4] << 32 | words[3]
	};
	return 0;
}

static int take_list(const struct field *field, char ***list, size_t *count)
{
	free(*list);
	*list = field_list(field, count);
	return *list ? 0 : -EPROTO;
}

static int take_field(struct command *command, struct wanted *wanted, const struct field *field,
		      size_t *envc)
{
	uint32_t words[3];
	size_t count;

	switch (field->tag) {
	case CONTROL_FIELD_ARGUMENTS:
		return take_list(field, &command->argv, &count) || !count ? -EPROTO : 0;
	case CONTROL_FIELD_ENVIRONMENT:
		return take_list(field, &command->envp, envc);
	case CONTROL_FIELD_DIRECTORY:
		command->directory = field_text(field, 0);
		return command->directory ? 0 : -EPROTO;
	case CONTROL_FIELD_STREAM:
		if (field_words(field, words, 2) || words[0] > 2)
			return -EPROTO;
		wanted->streams[words[0]] = words[1];
		wanted->has_stream[words[0]] = 1;
		return 0;
	case CONTROL_FIELD_OPEN:
		/* the word, and at least the zero of a text */
		if (field->length < 5 || field->value[0] > 2)
			return -EPROTO;
		command->paths[field->value[0]] = field_text(field, 4);
		return command->paths[field->value[0]] ? 0 : -EPROTO;
	case CONTROL_FIELD_TERMINAL:
		if (field_words(field, words, 3) || words[0] < CONTROL_TERMINAL_STREAM)
			return -EPROTO;
		command->terminal = words[0];
		command->rows = words[1];
		command->columns = words[2];
		return 0;
	case CONTROL_FIELD_USER:
		wanted->user = field_text(field, 0);
		return wanted->user ? 0 : -EPROTO;
	case CONTROL_FIELD_GROUPS:
		return take_list(field, &wanted->groups, &count);
	case CONTROL_FIELD_LIMIT:
		return add_limit(command, field);
	case CONTROL_FIELD_POWEROFF:
		command->power_off = 1;
		return 0;
	case CONTROL_FIELD_START:
		command->start = 1;
		return 0;
	default:
		return field->tag & CONTROL_FIELD_REQUIRED ? -EPROTONOSUPPORT : 0;
	}
}

/* A stream of the machine is opened once, however many of the descriptors it serves. */
static int open_streams(struct command *command, const struct wanted *wanted)
{
	const uint32_t *streams = wanted->streams;

	for (int i = 0; i < 3; i++) {
		int flags = i ? O_WRONLY : O_RDONLY, first = i;

		if (command->paths[i])
			continue;
		if (!wanted->has_stream[i]) {
			command->paths[i] = "/dev/null";
			continue;
		}
		for (int j = i; j--;)
			if (wanted->has_stream[j] && !command->paths[j] && streams[j] == streams[i])
				first = j;
		for (int j = i + 1; !i && j < 3; j++)
			if (wanted->has_stream[j] && !command->paths[j] && streams[j] == streams[0])
				flags = O_RDWR;
		command->fds[i] = first < i ? command->fds[first] : stream_open(streams[i], flags);
		if (command->fds[i] < 0)
			return -errno;
		/* So that it can be opened by its name in /proc. */
		if (first == i && command->user.uid)
			(void)!fchown(command->fds[i], command->user.uid, -1);
	}
	return 0;
}

static int open_terminal(struct command *command)
{
	int fd = terminal_open(command->terminal, command->rows, command->columns);

	if (fd < 0)
		return -errno;
	/* 5 is the group tty. Who had it before may have been somebody else. */
	(void)!fchown(fd, command->user.uid, 5);
	for (int i = 0; i < 3; i++)
		command->fds[i] = fd;
	return 0;
}

static int find_user(struct command *command, const struct wanted *wanted, struct failure *failure)
{
	int result = 0;

	if (wanted->user)
		result = user_find(&command->user, wanted->user, failure);
	for (char **group = wanted->groups; !result && group && *group; group++) {
		failure->step = CONTROL_STEP_GROUP;
		failure->text = *group;
		result = user_add_group(&command->user, *group);
	}
	return result;
}

int command_parse(struct command *command, const struct message *message,
		  struct failure *failure)
{
	struct message own = *message;
	struct wanted wanted = { 0 };
	struct field field;
	size_t envc = 0;
	int result = 0;

	*command = (struct command){ .directory = "", .fds = { -1, -1, -1 } };
	*failure = (struct failure){ .step = CONTROL_STEP_MESSAGE };
	/* The message does not live as long as the command. */
	command->memory = malloc(message->length + 1);
	if (!command->memory) {
		failure->error = ENOMEM;
		return -ENOMEM;
	}
	memcpy(command->memory, message->rest, message->length);
	own.rest = command->memory;
	while (!result && field_next(&own, &field))
		result = take_field(command, &wanted, &field, &envc);
	if (!result && !command->argv)
		result = -EPROTO;
	if (!result && !command->envp && !(command->envp = calloc(1, sizeof *command->envp)))
		result = -ENOMEM;
	if (!result)
		result = find_user(command, &wanted, failure);
	if (!result) {
		*failure = (struct failure){ .step = CONTROL_STEP_PROCESS };
		result = complete_environment(command, envc);
	}
	if (!result) {
		make_directories(command->directory);
		failure->step = command->terminal ? CONTROL_STEP_TERMINAL : CONTROL_STEP_STREAM;
		result = command->terminal ? open_terminal(command) : open_streams(command, &wanted);
	}
	free(wanted.groups);
	failure->error = -result;
	return result;
}

/* Descriptors that are the same are so for one stream. */
void command_close(struct command *command)
{
	int *fds = command->fds;

	for (int i = 0; i < 3; i++)
		if (fds[i] >= 0 && !(i && fds[0] == fds[i]) && !(i == 2 && fds[1] == fds[2]))
			close(fds[i]);
	fds[0] = fds[1] = fds[2] = -1;
}

void command_free(struct command *command)
{
	command_close(command);
	user_free(&command->user);
	free(command->argv);
	free(command->envp);
	free(command->limits);
	free(command->memory);
	*command = (struct command){ .fds = { -1, -1, -1 } };
}
