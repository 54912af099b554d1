/*
 * What clang calls for atomic objects that no instruction can handle: structures, long double, 16
 * bytes. One lock for all; not for memory shared between processes, as in other libraries.
 */
#include <stddef.h>
#include <string.h>
#include "lock.h"
#include "fork_impl.h"

static volatile int lock[1];

/* clang knows functions of these names as its own, with other parameters. */
void load(size_t, const void *, void *, int) __asm__("__atomic_load");
void store(size_t, void *, const void *, int) __asm__("__atomic_store");
void exchange(size_t, void *, const void *, void *, int) __asm__("__atomic_exchange");
_Bool compare_exchange(size_t, void *, void *, const void *, int, int) __asm__("__atomic_compare_exchange");

void load(size_t n, const void *object, void *value, int order)
{
	LOCK(lock);
	memcpy(value, object, n);
	UNLOCK(lock);
}

void store(size_t n, void *object, const void *value, int order)
{
	LOCK(lock);
	memcpy(object, value, n);
	UNLOCK(lock);
}

void exchange(size_t n, void *object, const void *value, void *old, int order)
{
	LOCK(lock);
	memcpy(old, object, n);
	memcpy(object, value, n);
	UNLOCK(lock);
}

_Bool compare_exchange(size_t n, void *object, void *expected, const void *value, int success, int failure)
{
	_Bool same;

	LOCK(lock);
	same = !memcmp(object, expected, n);
	if (same) memcpy(object, value, n);
	else memcpy(expected, object, n);
	UNLOCK(lock);
	return same;
}

typedef unsigned __int128 wide;

wide load_16(const void *, int) __asm__("__atomic_load_16");
void store_16(void *, wide, int) __asm__("__atomic_store_16");
wide exchange_16(void *, wide, int) __asm__("__atomic_exchange_16");
_Bool compare_exchange_16(void *, void *, wide, int, int) __asm__("__atomic_compare_exchange_16");
_Bool is_lock_free(size_t, const void *) __asm__("__atomic_is_lock_free");

wide load_16(const void *object, int order)
{
	wide value;

	load(sizeof value, object, &value, order);
	return value;
}

void store_16(void *object, wide value, int order)
{
	store(sizeof value, object, &value, order);
}

wide exchange_16(void *object, wide value, int order)
{
	wide old;

	exchange(sizeof value, object, &value, &old, order);
	return old;
}

_Bool compare_exchange_16(void *object, void *expected, wide value, int success, int failure)
{
	return compare_exchange(sizeof value, object, expected, &value, success, failure);
}

#define FETCH(name, op) \
	wide fetch_##name(void *, wide, int) __asm__("__atomic_fetch_" #name "_16"); \
	wide fetch_##name(void *object, wide value, int order) \
	{ \
		wide old; \
		LOCK(lock); \
		memcpy(&old, object, sizeof old); \
		value = old op value; \
		memcpy(object, &value, sizeof value); \
		UNLOCK(lock); \
		return old; \
	}
FETCH(add, +)
FETCH(sub, -)
FETCH(and, &)
FETCH(or, |)
FETCH(xor, ^)

_Bool is_lock_free(size_t n, const void *object)
{
	return n == 1 || n == 2 || n == 4 || n == 8;
}
