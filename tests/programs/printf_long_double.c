/*
 * long double is x87's 80 bits natively and binary128 here, so only values that both hold exactly,
 * in formats that do not show what is beyond, can be compared; %La shows the formats' different
 * leading digits and is left out.
 */
#include "common.h"
#include <float.h>
#include <math.h>

int main(void)
{
	static const long double values[] = { 0.0L, -0.0L, 1.0L, -1.0L, 0.5L, 0.25L, 1.5L, 2.5L, 1234567.0L, 1234567.890625L, 4294967296.0L, 18446744073709551615.0L,
		9223372036854775808.0L, 1e15L, 1e19L, 1048576.0L / 1024 / 1024 / 1024, INFINITY, -INFINITY };
	static const char *const formats[] = { "%Lf", "%Le", "%Lg", "%.0Lf", "%.10Lf", "%20.3Lf|", "%-20.3Lf|", "%+.3Le", "%.15Lg", "%.19Lg" };

	for (size_t f = 0; f < sizeof formats / sizeof *formats; f++)
		for (size_t v = 0; v < sizeof values / sizeof *values; v++) {
			printf(formats[f], values[v]);
			putchar('\n');
		}
	/* arithmetic whose results are exact in 64 bits of mantissa */
	volatile long double a = 3, b = 4294967296.0L, c = 0.125L;
	printf("%Lf %Lf %Lf %Lf %Lf\n", a + b, a - b, a * b, b / c, a * c);
	printf("%d %d %d %d\n", a < b, a == b, a > b, a != c);
	printf("%lld %llu %d\n", (long long)(b * a), (unsigned long long)b, (int)-a);
	printf("%.6f %.6f\n", (double)(a / b), (double)(1 / a));
	printf("%Lf %Lf %Lf %Lf\n", sqrtl(b), floorl(-2.5L), ceill(2.25L), fabsl(-c));
	printf("%Lf %Lf %Lf\n", fmodl(b, 7), ldexpl(a, 40), truncl(-7.875L));
	printf("%.12Lg %.12Lg\n", 1.0L / 3, 2.0L / 7);
	printf("%Lf %Lf\n", strtold("12345.0625", NULL), strtold("-0x1.8p4", NULL));
	long double read;
	SAY(sscanf("98765.5", "%Lf", &read));
	printf("%Lf\n", read);
	return 0;
}
