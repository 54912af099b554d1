/* qsort_r() */
#define _BSD_SOURCE
#include <stddef.h>

struct sort {
	size_t size;
	char *tmp;
	int (*compare)(const void *, const void *, void *);
	void *arg;
};
#define COMPARE(s, a, b) (s)->compare((a), (b), (s)->arg)
#include "merge_sort.h"

void __qsort_r(void *base, size_t n, size_t size, int (*compare)(const void *, const void *, void *), void *arg)
{
	merge_sort(base, n, &(struct sort){ .size = size, .compare = compare, .arg = arg });
}

weak_alias(__qsort_r, qsort_r);
