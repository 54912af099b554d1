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
#include "callback.h"

/* For qsort_r: a comparison of another type */
static int other(const void *a, const void *b, void *compare)
{
	return (int)__call_other(compare, (void *)a, (void *)b, 0, 0);
}

void qsort(void *base, size_t n, size_t size, int (*compare)(const void *, const void *))
{
	if (!__is_of_type((void *)compare, FUNCTION_TYPE(2, 1)))
		return qsort_r(base, n, size, other, (void *)compare);
	merge_sort(base, n, &(struct sort){ .size = size, .compare = compare });
}
