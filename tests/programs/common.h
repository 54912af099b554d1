/*
 * What the programs share: results printed with the call that gave them, and errno by its name,
 * since numbers differ between systems.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <stdint.h>
#include <unistd.h>

/* The name of an errno. */
static inline const char *ename(int e)
{
	switch (e) {
#define E(x) case x: return #x;
	E(EPERM) E(ENOENT) E(ESRCH) E(EINTR) E(EIO) E(ENXIO) E(E2BIG) E(ENOEXEC) E(EBADF) E(ECHILD) E(EAGAIN) E(ENOMEM)
	E(EACCES) E(EFAULT) E(ENOTBLK) E(EBUSY) E(EEXIST) E(EXDEV) E(ENODEV) E(ENOTDIR) E(EISDIR) E(EINVAL) E(ENFILE)
	E(EMFILE) E(ENOTTY) E(ETXTBSY) E(EFBIG) E(ENOSPC) E(ESPIPE) E(EROFS) E(EMLINK) E(EPIPE) E(EDOM) E(ERANGE)
	E(EDEADLK) E(ENAMETOOLONG) E(ENOLCK) E(ENOSYS) E(ENOTEMPTY) E(ELOOP) E(EOVERFLOW) E(EILSEQ) E(ENOTSOCK)
	E(EDESTADDRREQ) E(EMSGSIZE) E(EPROTOTYPE) E(ENOPROTOOPT) E(EPROTONOSUPPORT) E(EOPNOTSUPP) E(EAFNOSUPPORT)
	E(EADDRINUSE) E(EADDRNOTAVAIL) E(ENOTCONN) E(EISCONN) E(ETIMEDOUT) E(ECONNREFUSED) E(EALREADY) E(EINPROGRESS)
	E(ENODATA) E(EPROTO) E(EBADMSG) E(ESOCKTNOSUPPORT) E(ENOSTR) E(EUSERS)
#undef E
	}
	return e ? "E?" : "0";
}

/* Evaluates a call once; prints it with its value, and with errno if it is -1. */
#define SAY(call) do { \
		errno = 0; \
		long long say_ = (long long)(call); \
		int err_ = errno; \
		printf("%s = %lld%s%s\n", #call, say_, say_ == -1 ? " " : "", say_ == -1 ? ename(err_) : ""); \
	} while (0)

/* Says which condition does not hold, and ends the program with status 99. */
#define MUST(cond) do { \
		if (!(cond)) { \
			fprintf(stderr, "%s:%d: not so: %s (errno %s)\n", __FILE__, __LINE__, #cond, ename(errno)); \
			exit(99); \
		} \
	} while (0)

/* A repeatable stream of numbers. */
static inline uint32_t next_random(uint64_t *state)
{
	*state = *state * 6364136223846793005ull + 1442695040888963407ull;
	return (uint32_t)(*state >> 33);
}

/* FNV-1a, to print much as little. */
static inline uint64_t hash_of(const void *bytes, size_t n)
{
	const unsigned char *p = bytes;
	uint64_t h = 0xcbf29ce484222325ull;
	while (n--)
		h = (h ^ *p++) * 0x100000001b3ull;
	return h;
}
