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
#include "callback.h"

/* A comparison of another type, and its argument */
struct other {
	void *compare, *arg;
};

static int call_other(const void *a, const void *b, void *p)
{
	struct other *other = p;

	return (int)__call_other(other->compare, (void *)a, (void *)b, other->arg, 0);
}

void __qsort_r(void *base, size_t n, size_t size, int (*compare)(const void *, const void *, void *), void *arg)
{
	struct other other = { (void *)compare, arg };

	if (!__is_of_type((void *)compare, FUNCTION_TYPE(3, 1))) {
		compare = call_other;
		arg = &other;
	}
	merge_sort(base, n, &(struct sort){ .size = size, .compare = compare, .arg = arg });
}

weak_alias(__qsort_r, qsort_r);
