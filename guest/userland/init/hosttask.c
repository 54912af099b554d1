/* SPDX-License-Identifier: MIT */
/*
 * A host task: a process whose system calls the host makes. The host fills the start of a buffer in
 * this process's memory, names a call and its arguments (addresses lie in that buffer), and gets
 * the result and a part of the buffer back.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "init.h"

/*
 * Out of the way of the descriptors that the host's calls get, but below the usual limit of 1024.
 */
#define STREAM_FD 1000

static unsigned char *buffer;

static long call(uint32_t nr, const uint32_t *a)
{
	long result = syscall((long)nr, (long)a[0], (long)a[1], (long)a[2],
			      (long)a[3], (long)a[4], (long)a[5]);

	return result == -1 ? -errno : result;
}

/* One call. 0, or -1 when the host has gone or does not keep to the rules. */
static int serve(struct reader *reader)
{
	static struct writer writer;
	struct message message;
	struct field field;
	uint32_t words[7], back[2] = { 0, 0 }, result;
	int has_call = 0;

	if (reader_take(reader, &message) != 1 || message.type != CONTROL_TASK_CALL)
		return -1;
	while (field_next(&message, &field)) {
		if (field.tag == CONTROL_FIELD_CALL && !field_words(&field, words, 7))
			has_call = 1;
		else if (field.tag == CONTROL_FIELD_BACK && !field_words(&field, back, 2))
			continue;
		else if (field.tag == CONTROL_FIELD_DATA && field.length <= CONTROL_TASK_BUFFER)
			memcpy(buffer, field.value, field.length);
		else if (field.tag & CONTROL_FIELD_REQUIRED)
			return -1;
	}
	if (!has_call || back[0] > CONTROL_TASK_BUFFER || back[1] > CONTROL_TASK_BUFFER - back[0])
		return -1;

	result = (uint32_t)call(words[0], words + 1);
	writer_begin(&writer, CONTROL_TASK_RESULT, message.id);
	writer_words(&writer, CONTROL_FIELD_RESULT, &result, 1);
	writer_announce(&writer, CONTROL_FIELD_DATA, back[1]);
	return writer_send(&writer, STREAM_FD) ||
	       write_all(STREAM_FD, buffer + back[0], back[1]) ? -1 : 0;
}

int hosttask_serve(void)
{
	struct reader reader = { .fd = STREAM_FD, .limit = CONTROL_TASK_BUFFER + 256 };
	static struct writer writer;
	uint32_t place[2];
	int null = open("/dev/null", O_RDWR);

	if (dup3(0, STREAM_FD, O_CLOEXEC) < 0 || null < 0 || dup2(null, 0) < 0)
		return 1;
	close(null);
	/* A write of the host's into a broken pipe is an error, not the end of this process. */
	signal(SIGPIPE, SIG_IGN);
	buffer = mmap(NULL, CONTROL_TASK_BUFFER, PROT_READ | PROT_WRITE,
		      MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (buffer == MAP_FAILED)
		return 1;
	place[0] = (uint32_t)(uintptr_t)buffer;
	place[1] = CONTROL_TASK_BUFFER;
	writer_begin(&writer, CONTROL_TASK_HELLO, 0);
	writer_words(&writer, CONTROL_FIELD_BUFFER, place, 2);
	if (writer_send(&writer, STREAM_FD))
		return 1;
	while (!serve(&reader))
		;
	return 0;
}
