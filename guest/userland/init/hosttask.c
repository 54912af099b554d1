/* SPDX-License-Identifier: MIT */
/*
 * A host task: a process whose system calls the host makes. The host fills the start of
 * a buffer in this process's memory, names a call and its arguments (addresses lie in that buffer), and gets
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

/* Out of the way of the descriptors that the host's calls get, but below the usual limit of 1024. */
#define STREAM_FD 1000

static unsigned char *buffer;

static long call(uint32_t nr, const uint32_t *a)
{
	long result = syscall((long)nr, (long)a[0], (long)a[1], (long)a[2],
			      (long)a[3], (long)a[4], (long)a[5]);

	return result == -1 ? -errno : result;
}

/* One call. 0, or -1 when the host has gone or does not keep to the rules. */
static int serve(void)
{
	struct message message;
	uint32_t words[9], head[4], back, length;

	if (read_all(STREAM_FD, &message, sizeof message) ||
	    message.type != CONTROL_TASK_CALL || message.length < sizeof words ||
	    message.length - sizeof words > CONTROL_TASK_BUFFER ||
	    read_all(STREAM_FD, words, sizeof words) ||
	    read_all(STREAM_FD, buffer, message.length - sizeof words))
		return -1;
	back = words[7];
	length = words[8];
	if (back > CONTROL_TASK_BUFFER || length > CONTROL_TASK_BUFFER - back)
		return -1;

	head[3] = (uint32_t)call(words[0], words + 1);
	head[0] = sizeof *head + length;
	head[1] = CONTROL_TASK_RESULT;
	head[2] = message.id;
	return write_all(STREAM_FD, head, sizeof head) ||
	       write_all(STREAM_FD, buffer + back, length) ? -1 : 0;
}

int hosttask_serve(void)
{
	uint32_t hello[3];
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
	hello[0] = getpid();
	hello[1] = (uint32_t)(uintptr_t)buffer;
	hello[2] = CONTROL_TASK_BUFFER;
	if (message_send(STREAM_FD, CONTROL_TASK_HELLO, 0, hello, 3))
		return 1;
	while (!serve())
		;
	return 0;
}
