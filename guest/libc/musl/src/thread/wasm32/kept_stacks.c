/*
 * Stacks of joined threads, for threads to come: mapping one anew costs more than all else that
 * makes a thread.
 */
#include <string.h>
#include "pthread_impl.h"
#include "kept_stacks.h"

#define KEPT	16
#define LARGEST	(1 << 20)

static volatile int kept[KEPT];

/* The mapping of a kept stack with that size and guard, its last `need` bytes zero, or null */
unsigned char *__kept_stack_take(size_t size, size_t guard, size_t need)
{
	for (int i = 0; i < KEPT; i++) {
		pthread_t t = (pthread_t)kept[i];

		if (!t)
			continue;
		t = (pthread_t)a_swap(&kept[i], 0);
		if (!t)
			continue;
		if (t->map_size == size && t->guard_size == guard) {
			unsigned char *map = t->map_base;

			memset(map + size - need, 0, need);
			return map;
		}
		if (!__kept_stack_keep(t))
			__munmap(t->map_base, t->map_size);
	}
	return 0;
}

/* Keeps the mapping of a thread that has ended. False if that is for the caller to unmap. */
int __kept_stack_keep(pthread_t t)
{
	/*
	 * The thread's own structure lies at its end; on a stack of the program's it is all that is
	 * mapped.
	 */
	if (t->map_size > LARGEST || (unsigned char *)t->stack < t->map_base)
		return 0;
	if ((unsigned char *)t->stack > t->map_base + t->map_size)
		return 0;
	for (int i = 0; i < KEPT; i++)
		if (!kept[i] && !a_cas(&kept[i], 0, (int)t))
			return 1;
	return 0;
}
