/* SPDX-License-Identifier: MIT */
/* Messages as crates/boundary/src/control.rs defines them, over byte streams. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "init.h"

int read_all(int fd, void *data, size_t length)
{
	char *to = data;

	while (length) {
		ssize_t got = read(fd, to, length);

		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0)
			return -1;
		to += got;
		length -= got;
	}
	return 0;
}

int write_all(int fd, const void *data, size_t length)
{
	const char *from = data;

	while (length) {
		ssize_t put = write(fd, from, length);

		if (put < 0 && errno == EINTR)
			continue;
		if (put <= 0)
			return -1;
		from += put;
		length -= put;
	}
	return 0;
}

int message_send(int fd, uint32_t type, uint32_t id, const uint32_t *words, size_t count)
{
	uint32_t message[8] = { count * sizeof *words, type, id };

	_Static_assert(CONTROL_HEADER_SIZE == 12, "three words");
	if (count)
		memcpy(message + 3, words, count * sizeof *words);
	return write_all(fd, message, CONTROL_HEADER_SIZE + count * sizeof *words);
}

uint32_t word_at(const unsigned char *bytes, size_t index)
{
	uint32_t word;

	memcpy(&word, bytes + index * sizeof word, sizeof word);
	return word;
}

/* Points `count` entries of a list at the strings from `text` on, and ends it. NULL if `end` comes first. */
static char *split(char **list, size_t count, char *text, const char *end)
{
	while (count--) {
		if (text == end)
			return NULL;
		*list++ = text;
		text += strlen(text) + 1;
	}
	*list = NULL;
	return text;
}

int command_parse(struct command *command, uint32_t argc, uint32_t envc, uint32_t paths,
		  char *text, size_t length)
{
	const char *end = text + length;
	char **strings;

	/* Every string has its final zero, which bounds the counts before they are added up. */
	if (!argc || argc > length || envc > length || !length || end[-1])
		return -1;
	strings = malloc(((size_t)argc + envc + paths + 3) * sizeof *strings);
	if (!strings)
		return -1;

	command->file = NULL;
	command->terminal = 0;
	command->cwd = text;
	command->argv = strings;
	command->envp = command->argv + argc + 1;
	command->paths = command->envp + envc + 1;
	text += strlen(text) + 1;
	if ((text = split(command->argv, argc, text, end)) &&
	    (text = split(command->envp, envc, text, end)) &&
	    (text = split(command->paths, paths, text, end)) && text == end)
		return 0;
	free(strings);
	return -1;
}

void command_free(struct command *command)
{
	free(command->argv);
}
