/* Small functions of GNU that programs for Linux take for granted. */
#define _GNU_SOURCE
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

char *canonicalize_file_name(const char *path)
{
	return realpath(path, 0);
}

/* What string.h calls basename */
char *__gnu_basename(const char *path)
{
	char *slash = strrchr(path, '/');

	return slash ? slash + 1 : (char *)path;
}

void *rawmemchr(const void *memory, int c)
{
	return memchr(memory, c, PTRDIFF_MAX);
}

/* HUP, INT and so on, in the order of their numbers. */
const char *sigabbrev_np(int sig)
{
	static const char names[] = "HUP\0INT\0QUIT\0ILL\0TRAP\0ABRT\0BUS\0FPE\0KILL\0USR1\0SEGV\0USR2\0PIPE\0ALRM\0TERM\0STKFLT\0"
		"CHLD\0CONT\0STOP\0TSTP\0TTIN\0TTOU\0URG\0XCPU\0XFSZ\0VTALRM\0PROF\0WINCH\0POLL\0PWR\0SYS";
	const char *name = names;

	if (sig < SIGHUP || sig > SIGSYS) return 0;
	while (--sig) name += strlen(name) + 1;
	return name;
}

const char *sigdescr_np(int sig)
{
	return sig < SIGHUP || sig > SIGSYS ? 0 : strsignal(sig);
}

void arc4random_buf(void *memory, size_t n)
{
	unsigned char *p = memory;

	while (n) {
		ssize_t got = getrandom(p, n, 0);
		if (got < 0) continue;
		p += got;
		n -= got;
	}
}

unsigned arc4random(void)
{
	unsigned value;

	arc4random_buf(&value, sizeof value);
	return value;
}

unsigned arc4random_uniform(unsigned bound)
{
	unsigned value, rest;

	if (bound < 2) return 0;
	/* All rests are equally likely above the first 2^32 % bound values. */
	rest = -bound % bound;
	do value = arc4random();
	while (value < rest);
	return value % bound;
}
