#include <errno.h>
#include <error.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "callback.h"

extern char *__progname_full;

void (*error_print_progname)(void);
unsigned error_message_count;
int error_one_per_line;

static void message(int status, int error, const char *file, unsigned line, const char *format, va_list args)
{
	fflush(stdout);
	if (error_print_progname) CALL_0(error_print_progname);
	else fprintf(stderr, file ? "%s:" : "%s: ", __progname_full);
	if (file) fprintf(stderr, "%s:%u: ", file, line);
	vfprintf(stderr, format, args);
	if (error) fprintf(stderr, ": %s", strerror(error));
	fputc('\n', stderr);
	error_message_count++;
	if (status) exit(status);
}

void error(int status, int number, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	message(status, number, 0, 0, format, args);
	va_end(args);
}

void error_at_line(int status, int number, const char *file, unsigned line, const char *format, ...)
{
	static const char *last_file;
	static unsigned last_line;
	va_list args;

	if (error_one_per_line) {
		int same = line == last_line && (file == last_file || (file && last_file && !strcmp(file, last_file)));
		last_file = file;
		last_line = line;
		if (same) return;
	}
	va_start(args, format);
	message(status, number, file, line, format, args);
	va_end(args);
}
