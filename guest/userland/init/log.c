/* SPDX-License-Identifier: MIT */
/* Messages of init go where the kernel's go. */
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

#include "init.h"

static int log_fd = -1;

void log_open(void)
{
	log_fd = open("/dev/kmsg", O_WRONLY | O_CLOEXEC);
}

void log_message(int level, const char *format, ...)
{
	char line[512];
	va_list arguments;
	int start, length;

	if (log_fd < 0)
		log_open();
	start = snprintf(line, sizeof line, "<%d>init: ", level);
	va_start(arguments, format);
	length = vsnprintf(line + start, sizeof line - start, format, arguments);
	va_end(arguments);
	if (length < 0)
		return;
	length += start;
	if (length >= (int)sizeof line)
		length = sizeof line - 1;
	/* Before /dev is there, the descriptor that the kernel gave is the console. */
	(void)!write(log_fd < 0 ? 2 : log_fd, line, length);
}
