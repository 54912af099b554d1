/* SPDX-License-Identifier: MIT */
/* Messages on the wire: message.c. */
#ifndef MESSAGE_H
#define MESSAGE_H

#include <stddef.h>
#include <stdint.h>

#include "control.h"

int write_all(int fd, const void *data, size_t length);

/* A message that came in, of which the fields in `rest` have not been looked at. */
struct message {
	uint32_t type, id;
	size_t length;
	unsigned char *rest;
};

struct field {
	uint32_t tag;
	size_t length;
	unsigned char *value;
};

/*
 * Takes messages of `limit` bytes at most from `fd`, with a buffer of `least` bytes or what is
 * needed; the rest is its own, and zero at first.
 */
struct reader {
	int fd;
	uint32_t limit;
	size_t least, start, end, size, skip;
	unsigned char *bytes;
};

/* Reads once, which may block. 0, or -1 at the end. */
int reader_fill(struct reader *reader);

/*
 * The next message, which lives until the next call. 1; 0 if more must be read; or a negative
 * errno, of which all but EMSGSIZE (it is longer than the limit) allow to go on: its type and id
 * are known, it is passed over. EBADMSG: its fields do not fill it. ENOMEM.
 */
int reader_next(struct reader *reader, struct message *message);

/* The same, and reads as long as it must; EPIPE at the end. */
int reader_take(struct reader *reader, struct message *message);
void reader_free(struct reader *reader);

/* Takes a field off a message. 1, or 0 if there is none left. */
int field_next(struct message *message, struct field *field);

/* A field of just so many words. 0, or -1 if it is none. */
int field_words(const struct field *field, uint32_t *words, size_t count);

/* A field that is a text after `skip` bytes of something else; NULL if it is none. */
char *field_text(const struct field *field, size_t skip);

/*
 * A list of texts, ended by NULL, to be freed (the texts are the message's); NULL if it is none, or
 * without memory.
 */
char **field_list(const struct field *field, size_t *count);

/* A message that is being written: a few words, two paths. */
struct writer {
	size_t length, later;
	unsigned char bytes[2 * CONTROL_FILES_PATH + 256];
};

void writer_begin(struct writer *writer, uint32_t type, uint32_t id);
void writer_words(struct writer *writer, uint32_t tag, const uint32_t *words, size_t count);
void writer_text(struct writer *writer, uint32_t tag, const char *text);

/* The last field, whose bytes the caller writes after writer_send(). */
void writer_announce(struct writer *writer, uint32_t tag, size_t length);

/* 0, or -1 when the other side has gone. */
int writer_send(struct writer *writer, int fd);

#endif
