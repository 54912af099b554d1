/* qsort() */
#define _BSD_SOURCE
#include <stddef.h>

struct sort {
	size_t size;
	char *tmp;
	int (*compare)(const void *, const void *);
};
#define COMPARE(s, a, b) (s)->compare((a), (b))
#include "merge_sort.h"

void qsort(void *base, size_t n, size_t size, int (*compare)(const void *, const void *))
{
	merge_sort(base, n, &(struct sort){ .size = size, .compare = compare });
}
