/*
 * qsort() and qsort_r(): order, order among equals (as glibc has it), elements of all sizes, none
 * and one.
 */
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static unsigned seed;

static unsigned next(void)
{
	return seed = seed * 1664525 + 1013904223;
}

static size_t calls;

/* by the first byte only: many are equal */
static int first_byte(const void *a, const void *b)
{
	calls++;
	return *(const unsigned char *)a - *(const unsigned char *)b;
}

static int scaled(const void *a, const void *b, void *factor)
{
	return (*(const unsigned char *)a - *(const unsigned char *)b) * *(int *)factor;
}

static void sort(size_t n, size_t size, int how)
{
	unsigned char *v = malloc(n * size + 2);
	unsigned hash = 2166136261;
	int factor = how;

	seed = (unsigned)(n * 31 + size);
	for (size_t i = 0; i < n * size; i++)
		v[i] = (unsigned char)(next() >> 24);
	/* fewer keys than elements */
	for (size_t i = 0; i < n; i++)
		v[i * size] %= 50;
	v[n * size] = 'e';
	calls = 0;
	if (how)
		qsort_r(v, n, size, scaled, &factor);
	else
		qsort(v, n, size, first_byte);
	for (size_t i = 0; i < n * size; i++)
		hash = (hash ^ v[i]) * 16777619;
	printf("%zu of %zu, %d: %08x %c, %s\n", n, size, how, hash, v[n * size], calls > n * 20 ? "slow" : "fine");
	free(v);
}

int main(void)
{
	static const size_t sizes[] = { 1, 2, 3, 4, 7, 8, 12, 16, 24, 32, 33, 40, 100, 1000 };
	static const size_t counts[] = { 0, 1, 2, 3, 10, 100, 1000, 5000 };

	for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
		for (size_t k = 0; k < sizeof counts / sizeof *counts; k++)
			for (int how = -1; how <= 1; how++)
				sort(counts[k], sizes[i], how);
	return 0;
}
