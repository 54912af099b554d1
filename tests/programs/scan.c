/* Text to numbers: strtod, strtol and kin, scanf. Doubles are printed by their bits. */
#include "common.h"
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <math.h>

/*
 * What a conversion sets errno to, where C says it: not for text that is no number (musl says
 * EINVAL), nor for a subnormal that is not exact (glibc says ERANGE).
 */
static const char *range_name(int e, double d)
{
	return e == EINVAL || (d != 0 && fabs(d) < 2e-38) ? "0" : ename(e);
}

static void show_double(const char *text)
{
	char *end;
	double d;
	float f;
	uint64_t bits;
	uint32_t bits32;

	errno = 0;
	d = strtod(text, &end);
	int e = errno;
	memcpy(&bits, &d, 8);
	/* the sign of a NaN is not specified */
	printf("strtod %.60s: %016" PRIx64 " +%d %s\n", text, isnan(d) ? 0 : bits, (int)(end - text), range_name(e, d));
	errno = 0;
	f = strtof(text, &end);
	e = errno;
	memcpy(&bits32, &f, 4);
	printf("strtof %.60s: %08" PRIx32 " +%d %s\n", text, isnan(f) ? 0 : bits32, (int)(end - text), range_name(e, f));
}

static void show_ints(const char *text, int base)
{
	char *end;
#define SHOW(f, format) do { \
		errno = 0; \
		end = NULL; \
		long long v_ = (long long)f(text, &end, base); \
		int e_ = errno; \
		printf(#f " %s base %d: " format " +%d %s\n", text, base, v_, (int)(end - text), e_ == EINVAL ? "0" : ename(e_)); \
	} while (0)
	SHOW(strtoll, "%lld");
	SHOW(strtoull, "%llu");
	SHOW(strtoimax, "%lld");
#undef SHOW
}

int main(void)
{
	static const char *const doubles[] = { "0", "-0", "1", "  12.5", "+3", ".5", "5.", ".", "-", "", "e5", "1e", "1e+", "1e5", "1E-5", "1e400", "-1e400", "1e-400", "4.9e-324", "2.4e-324", "2.5e-324",
		"2.2250738585072014e-308", "2.2250738585072011e-308", "2.225073858507201e-308", "1.7976931348623157e308", "1.7976931348623159e308", "0.1", "0.2", "0.3", "9007199254740993",
		"9007199254740992.999", "123456789012345678901234567890", "0x10", "0x1.8p3", "0x1p-1074", "0x1p-1075", "0x1.fffffffffffff8p0", "0x1.fffffffffffffp1023", "0x", "0x.8", "0xp1", "inf", "-INF", "infinity",
		"infinit", "nan", "NaN(123)", "nan(", "1.0.0", "1,5", "\t\n 7x", "179769313486231580793728971405301e276", "0.000000000000000000000000000000000000001", "3.4028235e38", "3.4028236e38", "1.4e-45", "0.7e-45",
		"8.589973e9", "16777217", "1e23", "8.5e22", "5e-324", "6.0221409e+23", "0.5000000000000000277555756156289135105907917022705078125" };
	static const char *const ints[] = { "0", "42", "-42", "+7", "  99z", "0x1f", "0X1F", "0x", "0xg", "077", "08", "zz", "-zz", "9223372036854775807", "9223372036854775808", "-9223372036854775808",
		"-9223372036854775809", "18446744073709551615", "18446744073709551616", "-1", "", "-", " + 1", "1010102" };
	static const int bases[] = { 0, 2, 8, 10, 16, 36 };

	for (size_t i = 0; i < sizeof doubles / sizeof *doubles; i++)
		show_double(doubles[i]);
	char text[64];
	uint64_t seed = 4711;
	for (int i = 0; i < 300; i++) {
		/* one by one: the order in which arguments are evaluated is the compiler's */
		uint32_t whole = next_random(&seed), high = next_random(&seed), low = next_random(&seed);
		snprintf(text, sizeof text, "%u.%u%ue%d", whole, high, low, (int)(next_random(&seed) % 640) - 330);
		show_double(text);
	}
	/* what is printed with 17 digits reads back as it was */
	for (int i = 0; i < 5000; i++) {
		uint64_t bits = (uint64_t)next_random(&seed) << 33;
		bits ^= (uint64_t)next_random(&seed) << 2;
		bits ^= next_random(&seed);
		double d, back;
		memcpy(&d, &bits, 8);
		if (!isfinite(d))
			continue;
		snprintf(text, sizeof text, "%.17g", d);
		back = strtod(text, NULL);
		MUST(back == d);
		snprintf(text, sizeof text, "%a", d);
		MUST(strtod(text, NULL) == d);
	}
	for (size_t i = 0; i < sizeof ints / sizeof *ints; i++)
		for (size_t b = 0; b < sizeof bases / sizeof *bases; b++)
			show_ints(ints[i], bases[b]);
	printf("%d %lld %.3f\n", atoi("  -17abc"), atoll("99999999999"), atof("2.5e3x"));

	int a = -1, b = -1, c = -1, n = -1;
	unsigned u = 0, x = 0, o = 0;
	short h = 0;
	signed char hh = 0;
	long long ll = 0;
	size_t z = 0;
	float f = 0;
	double d = 0;
	char s[32] = "", t[32] = "", ch = 0, three[3] = "";
	SAY(sscanf("12 34 56", "%d %d %d%n", &a, &b, &c, &n));
	printf("%d %d %d %d\n", a, b, c, n);
	SAY(sscanf("0x1f 077 9 -3 255", "%i %i %u %hd %hhd", &a, &b, &u, &h, &hh));
	printf("%d %d %u %d %d\n", a, b, u, h, hh);
	SAY(sscanf("ff 17 1234567890123 77", "%x %o %lld %zu", &x, &o, &ll, &z));
	printf("%x %o %lld %zu\n", x, o, ll, z);
	SAY(sscanf("1.5 -2.5e3 0x1p4 inf", "%f %lf", &f, &d));
	printf("%f %f\n", f, d);
	SAY(sscanf("hello world", "%s %31s", s, t));
	printf("%s %s\n", s, t);
	SAY(sscanf("  x", "%c", &ch));
	printf("%d\n", ch);
	SAY(sscanf("abcdef", "%3c%s", three, s));
	printf("%.3s %s\n", three, s);
	SAY(sscanf("abc123", "%[a-z]%[0-9]", s, t));
	printf("%s %s\n", s, t);
	SAY(sscanf("key = value; rest", "%[^= ] = %[^;]", s, t));
	printf("%s %s\n", s, t);
	SAY(sscanf("]x", "%[]]%s", s, t));
	SAY(sscanf("10%", "%d%%%n", &a, &n));
	printf("%d\n", n);
	SAY(sscanf("1 2 3", "%*d %d", &a));
	printf("%d\n", a);
	SAY(sscanf("x", "%d", &a));
	SAY(sscanf("", "%d", &a));
	SAY(sscanf("12345", "%2d%3d", &a, &b));
	printf("%d %d\n", a, b);
	SAY(sscanf("20240229T235959", "%4d%2d%2dT", &a, &b, &c));
	printf("%d %d %d\n", a, b, c);
	char *made = NULL;
	SAY(sscanf("allocated text", "%ms", &made));
	printf("%s\n", made);
	free(made);
	/* standard input: lines, words and numbers */
	char line[64];
	SAY(scanf("%d,%d\n", &a, &b));
	printf("%d %d\n", a, b);
	SAY(fgets(line, sizeof line, stdin) == line);
	printf("%s", line);
	while (scanf("%lf", &d) == 1)
		printf("%a\n", d);
	SAY(scanf("%15s", s));
	puts(s);
	SAY(scanf("%15s", s));
	SAY(feof(stdin) != 0);
	return 0;
}
