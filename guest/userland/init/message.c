/* SPDX-License-Identifier: MIT */
/*
 * Messages on the wire (docs/control.md, crates/boundary/src/control.rs). What comes in may be
 * damaged or worse: every length is checked before it is used, and a message that is handed out has
 * only whole fields. This file knows nothing of what messages say.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "message.h"

/* What a reader's buffer has at least, and what it keeps when it is empty, in bytes */
#define BUFFER_MIN 4096
#define BUFFER_KEPT (2 << 20)

static uint32_t word_at(const unsigned char *bytes)
{
	return bytes[0] | bytes[1] << 8 | bytes[2] << 16 | (uint32_t)bytes[3] << 24;
}

static void put_word(unsigned char *bytes, uint32_t word)
{
	for (int i = 0; i < 4; i++)
		bytes[i] = word >> 8 * i;
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

/* Room for `size` bytes from the first one that has not been handed out. */
static int reader_reserve(struct reader *reader, size_t size)
{
	unsigned char *bytes;

	if (reader->size - reader->start >= size)
		return 0;
	if (reader->start)
		memmove(reader->bytes, reader->bytes + reader->start, reader->end - reader->start);
	reader->end -= reader->start;
	reader->start = 0;
	if (reader->size >= size)
		return 0;
	bytes = realloc(reader->bytes, size);
	if (!bytes)
		return -ENOMEM;
	reader->bytes = bytes;
	reader->size = size;
	return 0;
}

int reader_fill(struct reader *reader)
{
	size_t least = reader->least > BUFFER_MIN ? reader->least : BUFFER_MIN;
	ssize_t got;

	if (reader->start == reader->end) {
		reader->start = reader->end = 0;
		if (reader->size > BUFFER_KEPT) {
			free(reader->bytes);
			reader->bytes = NULL;
			reader->size = 0;
		}
	}
	/* reader_next() has made room for the rest of a message. */
	if (reader->end == reader->size && reader_reserve(reader, least))
		return -1;
	do
		got = read(reader->fd, reader->bytes + reader->end, reader->size - reader->end);
	while (got < 0 && errno == EINTR);
	if (got <= 0)
		return -1;
	reader->end += got;
	return 0;
}

static size_t reader_drop(struct reader *reader, size_t length)
{
	size_t there = reader->end - reader->start, part = length < there ? length : there;

	reader->start += part;
	return length - part;
}

/* Whether the fields fill the payload to its end */
static int is_whole(const unsigned char *payload, size_t length)
{
	while (length) {
		size_t size;

		if (length < CONTROL_FIELD_HEADER)
			return 0;
		size = word_at(payload + 4);
		length -= CONTROL_FIELD_HEADER;
		if (size > length)
			return 0;
		length -= size;
		payload += CONTROL_FIELD_HEADER + size;
	}
	return 1;
}

int reader_next(struct reader *reader, struct message *message)
{
	const unsigned char *head;
	uint32_t length;

	*message = (struct message){ 0 };
	reader->skip = reader_drop(reader, reader->skip);
	if (reader->skip)
		return 0;
	if (reader->end - reader->start < CONTROL_HEADER_SIZE) {
		/* What has come of it may lie at the buffer's end. */
		if (reader->end == reader->size && reader->start)
			reader_reserve(reader, reader->size);
		return 0;
	}
	head = reader->bytes + reader->start;
	length = word_at(head);
	*message = (struct message){ .type = word_at(head + 4), .id = word_at(head + 8) };
	if (length > reader->limit)
		return -EMSGSIZE;
	if (reader->end - reader->start - CONTROL_HEADER_SIZE < length) {
		int error = reader_reserve(reader, CONTROL_HEADER_SIZE + (size_t)length);

		if (error)
			reader->skip = reader_drop(reader, CONTROL_HEADER_SIZE + (size_t)length);
		return error;
	}
	reader->start += CONTROL_HEADER_SIZE;
	message->rest = reader->bytes + reader->start;
	message->length = length;
	reader->start += length;
	return is_whole(message->rest, length) ? 1 : -EBADMSG;
}

int reader_take(struct reader *reader, struct message *message)
{
	int result;

	while (!(result = reader_next(reader, message)))
		if (reader_fill(reader))
			return -EPIPE;
	return result;
}

void reader_free(struct reader *reader)
{
	free(reader->bytes);
	*reader = (struct reader){ .fd = -1 };
}

int field_next(struct message *message, struct field *field)
{
	if (!message->length)
		return 0;
	field->tag = word_at(message->rest);
	field->length = word_at(message->rest + 4);
	field->value = message->rest + CONTROL_FIELD_HEADER;
	message->rest = field->value + field->length;
	message->length -= CONTROL_FIELD_HEADER + field->length;
	return 1;
}

int field_words(const struct field *field, uint32_t *words, size_t count)
{
	if (field->length != count * 4)
		return -1;
	for (size_t i = 0; i < count; i++)
		words[i] = word_at(field->value + i * 4);
	return 0;
}

char *field_text(const struct field *field, size_t skip)
{
	char *text = (char *)field->value + skip;
	size_t length = field->length - skip;

	if (field->length <= skip || memchr(text, 0, length) != text + length - 1)
		return NULL;
	return text;
}

char **field_list(const struct field *field, size_t *count)
{
	char *text = (char *)field->value, *end = text + field->length, **list;
	size_t texts = 0, i = 0;

	if (field->length && end[-1])
		return NULL;
	for (char *at = text; at < end; at++)
		texts += !*at;
	list = malloc((texts + 1) * sizeof *list);
	if (!list)
		return NULL;
	for (; text < end; text += strlen(text) + 1)
		list[i++] = text;
	list[i] = NULL;
	*count = texts;
	return list;
}

void writer_begin(struct writer *writer, uint32_t type, uint32_t id)
{
	writer->length = CONTROL_HEADER_SIZE;
	writer->later = 0;
	put_word(writer->bytes + 4, type);
	put_word(writer->bytes + 8, id);
}

/* The place of a value of so many bytes. Too much is a bug of ours, and cut off. */
static unsigned char *writer_field(struct writer *writer, uint32_t tag, size_t *length)
{
	unsigned char *at = writer->bytes + writer->length;
	size_t room = sizeof writer->bytes - writer->length;

	if (room < CONTROL_FIELD_HEADER) {
		*length = 0;
		return NULL;
	}
	if (*length > room - CONTROL_FIELD_HEADER)
		*length = room - CONTROL_FIELD_HEADER;
	put_word(at, tag);
	put_word(at + 4, *length);
	writer->length += CONTROL_FIELD_HEADER + *length;
	return at + CONTROL_FIELD_HEADER;
}

void writer_words(struct writer *writer, uint32_t tag, const uint32_t *words, size_t count)
{
	size_t length = count * 4;
	unsigned char *at = writer_field(writer, tag, &length);

	for (size_t i = 0; i < length / 4; i++)
		put_word(at + i * 4, words[i]);
}

void writer_text(struct writer *writer, uint32_t tag, const char *text)
{
	size_t length = strlen(text) + 1;
	unsigned char *at = writer_field(writer, tag, &length);

	if (length) {
		memcpy(at, text, length - 1);
		at[length - 1] = 0;
	}
}

void writer_announce(struct writer *writer, uint32_t tag, size_t length)
{
	size_t none = 0;
	unsigned char *at = writer_field(writer, tag, &none);

	if (at) {
		put_word(at - 4, length);
		writer->later = length;
	}
}

int writer_send(struct writer *writer, int fd)
{
	put_word(writer->bytes, writer->length - CONTROL_HEADER_SIZE + writer->later);
	return write_all(fd, writer->bytes, writer->length);
}
