/*
 * What compilers leave to their support library, and corners of C: 64 and 128 bits, conversions,
 * shifts, structures, atomics, builtins.
 */
#include "common.h"
#include <complex.h>
#include <fenv.h>
#include <inttypes.h>
#include <limits.h>
#include <math.h>
#include <stdatomic.h>

typedef __int128 i128;
typedef unsigned __int128 u128;

static void show128(u128 v)
{
	printf("%016" PRIx64 "%016" PRIx64 "\n", (uint64_t)(v >> 64), (uint64_t)v);
}

struct small { char c; short s; };
struct large { int a[20]; double d; char c; };
struct bits { unsigned a : 3; int b : 5; unsigned long long c : 40; unsigned : 0; unsigned d : 1; };
union both { double d; uint64_t u; };

static struct large __attribute__((noinline)) make_large(int seed, struct small s)
{
	struct large l = { .d = seed * 0.5, .c = s.c };
	for (int i = 0; i < 20; i++)
		l.a[i] = seed * i + s.s;
	return l;
}

static int __attribute__((noinline)) sized(int n)
{
	int vla[n];
	char *a = __builtin_alloca(n * 10);
	for (int i = 0; i < n; i++)
		vla[i] = i * i, a[i] = (char)i;
	return vla[n - 1] + a[n - 1];
}

static const char *interpret(const char *code)
{
	static char out[100];
	static void *const jump[] = { &&add, &&mul, &&end };
	long acc = 1;
#define NEXT goto *jump[*code++ - '0']
	NEXT;
add:	acc += 3;
	NEXT;
mul:	acc *= 2;
	NEXT;
end:	sprintf(out, "%ld", acc);
	return out;
}

int main(void)
{
	static const int64_t v[] = { 1, -1, 7, -7, 10, 1000000007, -1000000007, INT32_MAX, INT32_MIN, UINT32_MAX, INT64_MAX, INT64_MIN, 0x123456789abcdef };
	size_t n = sizeof v / sizeof *v;
	uint64_t h = 0;

	for (size_t i = 0; i < n; i++)
		for (size_t j = 0; j < n; j++) {
			volatile int64_t a = v[i], b = v[j];
			volatile uint64_t ua = a, ub = b;
			h = h * 31 + ua / ub;
			h = h * 31 + ua % ub;
			if (!(a == INT64_MIN && b == -1)) {
				h = h * 31 + (uint64_t)(a / b);
				h = h * 31 + (uint64_t)(a % b);
			}
			h = h * 31 + (uint64_t)((i128)a * b >> 32);
			u128 wide = ((u128)ua << 64 | ub) * 3;
			h = h * 31 + (uint64_t)(wide / (ub | 1)) + (uint64_t)(wide % ua);
			int64_t r;
			h = h * 31 + (unsigned)__builtin_add_overflow(a, b, &r) + (unsigned)__builtin_mul_overflow(a, b, &r) * 2;
		}
	printf("%016" PRIx64 "\n", h);
	show128((u128)UINT64_MAX * UINT64_MAX);
	show128((u128)((i128)INT64_MIN * 12345) / 1000);
	show128(((u128)1 << 100) | ((u128)0xabc << 60) >> 7);
	show128((u128)(i128)-1e30);
	printf("%.17g\n", (double)((u128)1 << 90));

	/* conversions that are defined, at their edges */
	static const double d[] = { 0.99, -0.99, 2147483647.5, -2147483648.5, 4294967295.5, 9007199254740993.0, 9.2233720368547748e18, -9.2233720368547758e18, 1.8446744073709550e19 };
	for (size_t i = 0; i < sizeof d / sizeof *d; i++) {
		volatile double x = d[i];
		if (fabs(x) < 2147483648.0)
			printf("%d ", (int)x);
		if (x > -1 && x < 4294967296.0)
			printf("%u ", (unsigned)x);
		if (x >= -9.3e18 && x < 9.22337203685477581e18)
			printf("%" PRId64 " ", (int64_t)x);
		if (x > -1)
			printf("%" PRIu64 " ", (uint64_t)x);
		printf("%a\n", (float)x);
	}
	for (size_t i = 0; i < n; i++) {
		volatile int64_t a = v[i];
		printf("%a %a %a %a\n", (double)a, (double)(uint64_t)a, (float)a, (float)(uint64_t)a);
	}

	/* exact functions of the mathematics library: the others may differ in the last bit */
	static const double m[] = { 0.0, -0.0, 0.5, 1.5, 2.5, -1.5, -2.5, 1e16, 3.999999, INFINITY, -INFINITY };
	for (size_t i = 0; i < sizeof m / sizeof *m; i++) {
		volatile double x = m[i];
		printf("%a %a %a %a %a %a %a %d\n", floor(x), ceil(x), trunc(x), round(x), rint(x), fabs(x), x >= 0 ? sqrt(x) : -1, fpclassify(x) == FP_NORMAL);
	}
	volatile double x = 5.5, y = 2.0;
	printf("%a %a %a %a %a %a\n", fmod(x, y), remainder(x, y), fma(x, y, 0.1), copysign(x, -y), nextafter(x, y), hypot(3, 4));
	printf("%a %a %a %a %ld %ld %lld\n", ldexp(x, 10), scalbn(y, -1000), fmin(x, y), fmax(x, NAN), lrint(2.5), lround(2.5), llround(-2.5));
	int e;
	double whole, fraction = frexp(x, &e), rest = modf(x, &whole);
	printf("%a %d %a %a %d\n", fraction, e, rest, whole, ilogb(1e10));
	printf("%.10g %.10g %.10g %.10g %.10g %.10g %.10g %.10g\n", sin(x), cos(x), tan(x), exp(x), log(x), pow(x, y), atan2(x, y), cbrt(x));
	printf("%.10g %.10g %.10g %.10g %.10g %.10g\n", sinh(x), erf(0.5), tgamma(x), lgamma(x), log1p(0.01), expm1(0.01));
	double complex z = (1 + 2 * I) * (3 - 4 * I) / (1 + I);
	printf("%.6f %.6f %.6f\n", creal(z), cimag(z), cabs(3 + 4 * I));

	/* structures by value, bit fields, unions */
	struct large l = make_large(3, (struct small){ 'k', -5 });
	printf("%d %d %f %c %zu %zu %zu\n", l.a[0], l.a[19], l.d, l.c, sizeof(struct small), sizeof(struct large), sizeof(struct bits));
	struct bits b = { 5, -3, 0xffffffffffull, 1 };
	b.b -= 14;
	printf("%u %d %llx %u\n", b.a, b.b, (unsigned long long)b.c, b.d);
	printf("%016" PRIx64 "\n", ((union both){ .d = -2.5 }).u);
	printf("%d %s\n", sized(1000), interpret("0101102"));

	/* builtins and atomics */
	volatile uint32_t u = 0x00f01234;
	volatile uint64_t w = 0x0000f01234567800;
	printf("%d %d %d %d %d %d %x %" PRIx64 "\n", __builtin_clz(u), __builtin_ctz(u), __builtin_popcount(u), __builtin_clzll(w), __builtin_ctzll(w), __builtin_parityll(w), __builtin_bswap32(u), __builtin_bswap64(w));
	_Atomic int ai = 5;
	_Atomic int64_t al = 1ll << 40;
	_Atomic unsigned char ac = 250;
	int expected = 4;
	SAY(atomic_fetch_add(&ai, 3));
	SAY(atomic_compare_exchange_strong(&ai, &expected, 1));
	SAY(expected);
	SAY(atomic_exchange(&ai, 2));
	SAY(ac += 10);
	SAY(atomic_fetch_xor(&al, 0xff));
	SAY(al);
	printf("%d %d %u\n", -7 >> 1, (int)(-7u >> 28), 1u << 31);
	printf("%d %d\n", (signed char)200, (unsigned char)-1);
	/* an unaligned access through memcpy */
	char raw[16] = "0123456789abcde";
	uint64_t t;
	memcpy(&t, raw + 3, 8);
	printf("%" PRIx64 "\n", t);
	return 0;
}
