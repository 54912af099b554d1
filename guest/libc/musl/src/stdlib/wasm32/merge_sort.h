/*
 * A merge sort, to be included once for each form of comparison. Elements that compare equal stay
 * in their order, as glibc's qsort() has it while there is memory, and programs come to rely on.
 * Without memory it is a heap sort.
 *
 * Before: struct sort (with the fields size and tmp, and what COMPARE needs) and COMPARE(s, a, b).
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* Bytes of what is on the stack */
#define SMALL		1024
/* Elements of more bytes are sorted by pointers to them. */
#define LARGE		32

#define SELF(p)		(p)
#define POINTEE(p)	(*(void **)(p))

#define MERGE_SORT(name, bytes, key)							\
static void name(char *base, size_t n, const struct sort *s)				\
{											\
	const size_t width = (bytes);							\
	size_t left = n / 2, right = n - left;						\
	char *a = base, *b = base + left * width, *out = s->tmp;			\
											\
	if (left > 1)									\
		name(a, left, s);							\
	if (right > 1)									\
		name(b, right, s);							\
	while (left && right) {								\
		if (COMPARE(s, key(a), key(b)) <= 0) {					\
			__builtin_memcpy(out, a, width);				\
			a += width;							\
			left--;								\
		} else {								\
			__builtin_memcpy(out, b, width);				\
			b += width;							\
			right--;							\
		}									\
		out += width;								\
	}										\
	/* What is left of the second half is where it belongs. */			\
	memcpy(out, a, left * width);							\
	memcpy(base, s->tmp, (n - right) * width);					\
}

MERGE_SORT(sort_4, 4, SELF)
MERGE_SORT(sort_8, 8, SELF)
MERGE_SORT(sort_16, 16, SELF)
MERGE_SORT(sort_any, s->size, SELF)
MERGE_SORT(sort_pointers, sizeof(void *), POINTEE)

static void swap(char *a, char *b, size_t size)
{
	for (; size; size--, a++, b++) {
		char c = *a;
		*a = *b;
		*b = c;
	}
}

static void sift_down(char *base, size_t at, size_t n, const struct sort *s)
{
	size_t child;

	for (; (child = 2 * at + 1) < n; at = child) {
		char *c = base + child * s->size;

		if (child + 1 < n && COMPARE(s, c, c + s->size) < 0) {
			child++;
			c += s->size;
		}
		if (COMPARE(s, base + at * s->size, c) >= 0)
			break;
		swap(base + at * s->size, c, s->size);
	}
}

static void heap_sort(char *base, size_t n, const struct sort *s)
{
	for (size_t at = n / 2; at-- > 0;)
		sift_down(base, at, n, s);
	while (--n > 0) {
		swap(base, base + n * s->size, s->size);
		sift_down(base, 0, n, s);
	}
}

/*
 * Brings elements into the order of the pointers to them, cycle by cycle; spare has room for one.
 */
static void arrange(char *base, size_t n, char **pointers, char *spare, size_t size)
{
	for (size_t i = 0; i < n; i++) {
		char *first = base + i * size;
		size_t at = i;

		if (pointers[i] == first)
			continue;
		memcpy(spare, first, size);
		while (pointers[at] != first) {
			char *from = pointers[at], *to = base + at * size;

			memcpy(to, from, size);
			pointers[at] = to;
			at = (size_t)(from - base) / size;
		}
		pointers[at] = base + at * size;
		memcpy(base + at * size, spare, size);
	}
}

static void merge_sort(char *base, size_t n, struct sort *s)
{
	uint64_t small[SMALL / sizeof(uint64_t)];
	size_t width = s->size > LARGE ? sizeof(char *) : s->size, bytes;
	char *memory = 0;

	if (n < 2 || !s->size)
		return;
	/* Large ones: pointers, as many to merge by, and room for an element */
	if (__builtin_mul_overflow(n, width, &bytes) ||
	    (s->size > LARGE && __builtin_add_overflow(2 * bytes, s->size, &bytes)))
		return heap_sort(base, n, s);
	s->tmp = (char *)small;
	if (bytes > SMALL && !(s->tmp = memory = malloc(bytes)))
		return heap_sort(base, n, s);

	if (s->size > LARGE) {
		char **pointers = (char **)s->tmp + n;

		for (size_t i = 0; i < n; i++)
			pointers[i] = base + i * s->size;
		sort_pointers((char *)pointers, n, s);
		arrange(base, n, pointers, (char *)(pointers + n), s->size);
	} else {
		(width == 4 ? sort_4 : width == 8 ? sort_8 : width == 16 ? sort_16 : sort_any)(base, n, s);
	}
	free(memory);
}
