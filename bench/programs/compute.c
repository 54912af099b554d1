/*
 * Computing without the kernel: milliseconds for each of six small programs. What they compute is
 * printed, so that none of it can be left out.
 */
#include "measure.h"

static uint32_t sieve(void)
{
	enum { N = 4000000 };
	static unsigned char composite[N];
	uint32_t count = 0;

	memset(composite, 0, N);
	for (uint32_t i = 2; i < N; i++) {
		if (composite[i])
			continue;
		count++;
		for (uint64_t j = (uint64_t)i * i; j < N; j += i)
			composite[j] = 1;
	}
	return count;
}

static uint32_t matrix(void)
{
	enum { N = 240 };
	static double a[N][N], b[N][N], c[N][N];
	double sum = 0;

	for (int i = 0; i < N; i++)
		for (int j = 0; j < N; j++) {
			a[i][j] = i + j * 0.5;
			b[i][j] = i - j * 0.25;
		}
	for (int i = 0; i < N; i++)
		for (int j = 0; j < N; j++) {
			double s = 0;
			for (int k = 0; k < N; k++)
				s += a[i][k] * b[k][j];
			c[i][j] = s;
		}
	for (int i = 0; i < N; i++)
		sum += c[i][(i * 7) % N];
	return (uint32_t)(int64_t)sum;
}

static uint32_t hash(void)
{
	static unsigned char data[1 << 20];
	uint32_t h[4] = { 1, 2, 3, 4 };

	for (size_t i = 0; i < sizeof data; i++)
		data[i] = (unsigned char)(i * 31 >> 3);
	for (int round = 0; round < 8; round++)
		for (size_t i = 0; i < sizeof data; i += 16) {
			uint32_t w[4];
			memcpy(w, data + i, 16);
			for (int k = 0; k < 4; k++) {
				h[k] += w[k] ^ h[(k + 1) & 3];
				h[k] = (h[k] << 13 | h[k] >> 19) * 0x9e3779b1u;
			}
		}
	return h[0] ^ h[1] ^ h[2] ^ h[3];
}

static int by_value(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return (x > y) - (x < y);
}

/* A sort of our own, through a pointer to the comparison: each libc's is another algorithm. */
static void sort(uint32_t *v, int n, int (*compare)(const void *, const void *))
{
	while (n > 1) {
		uint32_t pivot = v[(n - 1) / 2];
		int i = -1, j = n;
		for (;;) {
			while (compare(&v[++i], &pivot) < 0)
				;
			while (compare(&v[--j], &pivot) > 0)
				;
			if (i >= j)
				break;
			uint32_t t = v[i];
			v[i] = v[j];
			v[j] = t;
		}
		sort(v, j + 1, compare);
		v += j + 1;
		n -= j + 1;
	}
}

static uint32_t sorting(void)
{
	enum { N = 400000 };
	static uint32_t v[N];
	int (*volatile compare)(const void *, const void *) = by_value;
	uint32_t x = 1;

	for (int i = 0; i < N; i++)
		v[i] = x = x * 1664525 + 1013904223;
	sort(v, N, compare);
	return v[N / 3];
}

static uint32_t __attribute__((noinline)) fibonacci(uint32_t n)
{
	return n < 2 ? n : fibonacci(n - 1) + fibonacci(n - 2);
}

static uint32_t recursion(void)
{
	volatile uint32_t n = 32;

	return fibonacci(n);
}

static uint32_t interpreter(void)
{
	/* counts down from a million, adding and shifting on the way */
	enum { PUSH, ADD, DEC, LOAD, STORE, JUMP_NZ, XOR, SHIFT, HALT };
	static const unsigned char code[] = { LOAD, 0, LOAD, 1, ADD, SHIFT, 3, LOAD, 1, XOR, STORE, 0, LOAD, 1, DEC, STORE, 1, LOAD, 1, JUMP_NZ, 0, HALT };
	uint32_t stack[16], variables[2] = { 12345, 2000000 };
	int sp = 0;

	for (const unsigned char *pc = code;;) {
		switch (*pc++) {
		case PUSH: stack[sp++] = *pc++; break;
		case ADD: sp--; stack[sp - 1] += stack[sp]; break;
		case XOR: sp--; stack[sp - 1] ^= stack[sp]; break;
		case DEC: stack[sp - 1]--; break;
		case SHIFT: stack[sp - 1] = stack[sp - 1] << *pc | stack[sp - 1] >> (32 - *pc); pc++; break;
		case LOAD: stack[sp++] = variables[*pc++]; break;
		case STORE: variables[*pc++] = stack[--sp]; break;
		case JUMP_NZ: pc = stack[--sp] ? code + *pc : pc + 1; break;
		case HALT: return variables[0];
		}
	}
}

int main(void)
{
	static const struct {
		const char *name;
		uint32_t (*run)(void);
	} all[] = { { "sieve", sieve }, { "matrix", matrix }, { "hash", hash }, { "sort", sorting }, { "recursion", recursion }, { "interpreter", interpreter } };

	for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
		double least = 1e300;
		uint32_t result = 0;
		for (int k = 0; k < 3; k++) {
			double t0 = now_ns();
			result = all[i].run();
			double t = now_ns() - t0;
			if (t < least)
				least = t;
		}
		printf("%s %.3f\n", all[i].name, least / 1e6);
		fprintf(stderr, "%s gives %u\n", all[i].name, result);
	}
	return 0;
}
