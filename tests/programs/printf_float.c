/* printf: doubles. */
#include "common.h"
#include <float.h>
#include <math.h>

static double of_bits(uint64_t bits)
{
	double d;
	memcpy(&d, &bits, sizeof d);
	return d;
}

int main(void)
{
	static const char *const formats[] = { "%f", "%e", "%g", "%E", "%G", "%F", "%.0f", "%.1f", "%.15f", "%.17g", "%.0e", "%.20e", "%20.3f", "%-20.3f|", "%020.3f", "%+.2f", "% .2f",
		"%#.0f", "%#g", "%#.0e", "%.3g", "%10g", "%.50g", "%.50f", "%+a", "%a", "%A", "%.3a", "%.0a", "%30a|", "%-30a|", "%030a" };
	double values[512];
	size_t n = 0;
	static const double plain[] = { 0.0, -0.0, 1.0, -1.0, 0.1, 0.5, 1.5, 2.5, 3.5, 0.25, 0.125, 9.5, 9.95, 9.995, 99.5, 999999.5, 9999995, 123456.789, 1e5, 1e6, 1e7, 1e15, 1e16, 1e17,
		1e21, 1e22, 1e23, 1e100, 1e300, 1e-1, 1e-4, 1e-5, 1e-7, 1e-100, 1e-300, 3.141592653589793, 2.718281828459045, 1.0 / 3, 2.0 / 3, 100.0 / 3, DBL_MAX, DBL_MIN, DBL_EPSILON,
		DBL_TRUE_MIN, -DBL_MAX, 4503599627370496.5, 9007199254740991.0, 9007199254740993.0, 0.3, 0.7, 1e9 + 0.5, 123456789012345678.0, INFINITY, -INFINITY };

	for (size_t i = 0; i < sizeof plain / sizeof *plain; i++)
		values[n++] = plain[i];
	uint64_t seed = 20240229;
	while (n < 200) {
		/* one by one: the order of evaluation is the compiler's */
		uint64_t bits = (uint64_t)next_random(&seed) << 33;
		bits ^= (uint64_t)next_random(&seed) << 2;
		bits ^= next_random(&seed);
		double d = of_bits(bits);
		if (isfinite(d))
			values[n++] = d;
	}
	for (int i = 0; i < 100; i++) {
		double above = (int)next_random(&seed);
		values[n++] = above / (1 + next_random(&seed) % 100000);
	}
	for (size_t f = 0; f < sizeof formats / sizeof *formats; f++)
		for (size_t v = 0; v < n; v++) {
			/*
			 * %a of a subnormal: C leaves the leading digit free (glibc 0x0.8p-1022,
			 * musl 0x1p-1023). With a precision that rounds the leading digit up:
			 * likewise 0x1.0p+1 and 0x2.0p+0.
			 */
			if (strchr("aA", formats[f][strcspn(formats[f], "aA")]) && formats[f][strcspn(formats[f], "aA")]) {
				if (fpclassify(values[v]) == FP_SUBNORMAL)
					continue;
				int exponent;
				double m = frexp(fabs(values[v]), &exponent) * 2;
				if (strchr(formats[f], '.') && m > 1.9)
					continue;
			}
			/* glibc prints 1.e+06 here, a bug of its own */
			if (!strcmp(formats[f], "%#g") && values[v] == 999999.5)
				continue;
			printf("%s: ", formats[f]);
			printf(formats[f], values[v]);
			putchar('\n');
		}
	printf("%f %F %e %5.1f %-8f| %08f\n", NAN, NAN, NAN, NAN, INFINITY, -INFINITY);
	printf("%.1000f\n%.1100e\n", DBL_TRUE_MIN, DBL_TRUE_MIN);
	printf("%.*f %*.*e\n", 3, 2.0 / 3, 20, 5, 2.0 / 3);
	printf("%f %g %e\n", 3.4028234663852886e38f, 1.1754943508222875e-38f, 1e-45f);
	return 0;
}
