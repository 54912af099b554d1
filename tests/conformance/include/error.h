/* glibc's <error.h>, as far as kselftest uses it. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#define error(status, number, ...) do { \
		int error_ = (number), status_ = (status); \
		fprintf(stderr, __VA_ARGS__); \
		fprintf(stderr, error_ ? ": %s\n" : "\n", strerror(error_)); \
		if (status_) \
			exit(status_); \
	} while (0)
