/*
 * /init's reader of messages, and what takes a command apart, against damaged messages: natively,
 * and compiled with sanitizers, which end it where it touches what is not its own. The bytes come
 * in pieces; what comes out is looked at to its last byte.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "init.h"

static int spare[2];

/* What command.c needs of the machine: any descriptor. */
int stream_open(unsigned stream, int flags)
{
	(void)flags;
	return stream % 7 ? dup(spare[0]) : -1;
}

int terminal_open(unsigned stream, unsigned rows, unsigned columns)
{
	(void)rows, (void)columns;
	return stream_open(stream, 0);
}

void make_directories(const char *path)
{
	(void)path;
}

static unsigned long long state = 0x9e3779b97f4a7c15ULL;

static unsigned random_below(unsigned below)
{
	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return state % below;
}

/* Several good messages, one after the other */
static size_t make_good(unsigned char *bytes, size_t room)
{
	static struct writer writer;
	size_t length = 0;

	for (int i = 0; i < 4; i++) {
		const uint32_t words[3] = { random_below(3), random_below(50), 7 };

		writer_begin(&writer, random_below(60), i);
		writer_words(&writer, CONTROL_FIELD_STREAM, words, i ? 2 : random_below(4));
		/* what is no command's */
		if (i == 3) {
			writer_text(&writer, CONTROL_FIELD_NAME, "/a/path");
			writer_words(&writer, CONTROL_FIELD_OPEN, words, 1);
		}
		writer_text(&writer, CONTROL_FIELD_ARGUMENTS, "program");
		if (i & 1)
			writer_text(&writer, CONTROL_FIELD_ENVIRONMENT, "NAME=value");
		writer_text(&writer, CONTROL_FIELD_DIRECTORY, "/tmp");
		writer_text(&writer, i & 2 ? CONTROL_FIELD_USER : CONTROL_FIELD_TEXT, "0:0");
		writer_text(&writer, CONTROL_FIELD_GROUPS, i & 1 ? "root" : "12345");
		writer_words(&writer, CONTROL_FIELD_LIMIT, (uint32_t[5]){ 1, 2, 3, 4, 5 }, 5);
		if (length + writer.length > room)
			abort();
		/* the length is filled in when it is sent */
		for (int k = 0; k < 4; k++)
			writer.bytes[k] = (writer.length - CONTROL_HEADER_SIZE) >> 8 * k;
		memcpy(bytes + length, writer.bytes, writer.length);
		length += writer.length;
	}
	return length;
}

static void damage(unsigned char *bytes, size_t *length)
{
	static const unsigned char odd[] = { 0, 1, 4, 8, 12, 0x7f, 0x80, 0xff };

	for (unsigned i = random_below(6); i--;)
		bytes[random_below(*length)] = random_below(2) ? odd[random_below(sizeof odd)] : random_below(256);
	if (!random_below(4))
		*length = 1 + random_below(*length);
}

static long parsed;

static unsigned long use(struct message *message)
{
	struct command command;
	struct failure failure;
	struct field field;
	unsigned long sum = 0;

	if (!command_parse(&command, message, &failure)) {
		parsed++;
		for (char **text = command.argv; *text; text++)
			sum += strlen(*text);
		for (char **text = command.envp; *text; text++)
			sum += strlen(*text);
		sum += strlen(command.directory);
	} else if (failure.text) {
		sum += strlen(failure.text);
	}
	command_free(&command);
	while (field_next(message, &field)) {
		uint32_t words[3];
		size_t count = 0;
		char **list = field_list(&field, &count), *text = field_text(&field, 0);

		for (size_t i = 0; i < field.length; i++)
			sum += field.value[i];
		for (size_t i = 0; list && i < count; i++)
			sum += strlen(list[i]);
		free(list);
		if (text)
			sum += strlen(text);
		if ((text = field_text(&field, 4)))
			sum += strlen(text);
		for (size_t n = 0; n < 4; n++)
			if (!field_words(&field, words, n) && n)
				sum += words[n - 1];
	}
	return sum;
}

int main(int argc, char **argv)
{
	long rounds = argc > 1 ? atol(argv[1]) : 1000, messages = 0, refused = 0;
	unsigned long sum = 0;

	if (pipe(spare))
		return 2;
	for (long round = 0; round < rounds; round++) {
		static unsigned char bytes[65536];
		size_t length = make_good(bytes, sizeof bytes), sent = 0;
		struct reader reader = { .limit = 1 << 16, .least = random_below(3) * 40 };
		struct message message;
		int ends[2], result = 0;

		damage(bytes, &length);
		if (pipe(ends))
			return 2;
		reader.fd = ends[0];
		while (result != -EMSGSIZE) {
			size_t part = 1 + random_below(100);

			if (part > length - sent)
				part = length - sent;
			if (part && write(ends[1], bytes + sent, part) != (ssize_t)part)
				return 2;
			sent += part;
			if (!part)
				close(ends[1]);
			if (reader_fill(&reader))
				break;
			while ((result = reader_next(&reader, &message)) && result != -EMSGSIZE) {
				if (result > 0)
					sum += use(&message);
				messages += result > 0;
				refused += result < 0;
			}
		}
		refused += result < 0;
		if (sent < length || result < 0)
			close(ends[1]);
		close(ends[0]);
		reader_free(&reader);
	}
	printf("%ld messages, %ld commands, %ld refused, sum %lu\n", messages, parsed, refused, sum);
	return messages && parsed && refused ? 0 : 1;
}
