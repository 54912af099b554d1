/* printf: integers, characters, strings, pointers to counts, positions. */
#include "common.h"
#include <inttypes.h>
#include <limits.h>
#include <stddef.h>
#include <wchar.h>
#include <locale.h>

int main(void)
{
	static const long long values[] = { 0, 1, -1, 7, 8, 42, -42, 127, -128, 255, 256, 32767, -32768, 65535, 99999, INT_MAX, INT_MIN, UINT_MAX,
		1234567890123ll, LLONG_MAX, LLONG_MIN };
	static const char *const formats[] = { "%d", "%i", "%5d", "%-5d|", "%05d", "%+d", "% d", "%.3d", "%.0d", "%8.3d", "%-8.3d|", "%+08.3d", "%u", "%x", "%X",
		"%#x", "%#X", "%#010x", "%-#10x|", "%o", "%#o", "%.5o", "%#.5o", "%'d" };
	static const char *const longs[] = { "%lld", "%20lld", "%-20lld|", "%020lld", "%+lld", "%llu", "%llx", "%#llX", "%llo", "%.25lld", "%30.25lld", "%jd", "%ju", "%jx" };

	for (size_t f = 0; f < sizeof formats / sizeof *formats; f++)
		for (size_t v = 0; v < sizeof values / sizeof *values; v++) {
			printf("%s: ", formats[f]);
			printf(formats[f], (int)values[v]);
			putchar('\n');
		}
	for (size_t f = 0; f < sizeof longs / sizeof *longs; f++)
		for (size_t v = 0; v < sizeof values / sizeof *values; v++) {
			printf("%s: ", longs[f]);
			printf(longs[f], values[v]);
			putchar('\n');
		}
	for (size_t v = 0; v < sizeof values / sizeof *values; v++)
		printf("%hhd %hhu %hhx %hd %hu %hx\n", (signed char)values[v], (unsigned char)values[v], (unsigned char)values[v], (short)values[v],
		       (unsigned short)values[v], (unsigned short)values[v]);
	printf("%zu %zd %td %zx\n", (size_t)4000000000u, (ssize_t)-5, (ptrdiff_t)-6, (size_t)0xabc);
	printf("%" PRId8 " %" PRIu16 " %" PRIx32 " %" PRId64 " %" PRIX64 " %" PRIo64 "\n", (int8_t)-3, (uint16_t)65535, (uint32_t)0xdeadbeef, INT64_MIN, UINT64_MAX, UINT64_MAX);

	printf("[%s] [%10s] [%-10s] [%.2s] [%10.2s] [%-10.2s] [%.0s] [%s]\n", "abc", "abc", "abc", "abc", "abc", "abc", "abc", "");
	printf("[%*d] [%-*d] [%.*d] [%*.*d] [%*d]\n", 6, 42, 6, 42, 4, 42, 8, 3, 42, -6, 42);
	printf("[%.*s] [%.*s]\n", 2, "abc", -1, "abc");
	printf("%c%c%c[%5c][%-5c]\n", 'x', 0x7f, '\t', 'r', 'l');
	fwrite("before\0after\n", 1, 13, stdout);
	printf("%c|\n", 0);
	printf("100%% %5s%%\n", "x");
	printf("%2$s %1$s %2$*3$s|\n", "one", "two", 6);
	int at = -1;
	long long far = -1;
	short near = -1;
	printf("12345%n67890%lln%hn\n", &at, &far, &near);
	printf("%d %lld %d\n", at, far, near);
	printf("%s\n", (char *)"\xe2\x82\xac UTF-8 \xf0\x9f\x90\xa7");

	/* returns, and truncation of the bounded ones */
	char buffer[16];
	SAY(snprintf(NULL, 0, "%d bottles", 99));
	SAY(snprintf(buffer, sizeof buffer, "%s", "0123456789abcdefghij"));
	puts(buffer);
	memset(buffer, 'x', sizeof buffer);
	SAY(snprintf(buffer, 1, "abc"));
	printf("%d %c\n", buffer[0], buffer[1]);
	SAY(snprintf(buffer, 5, "%s", "abcd"));
	puts(buffer);
	char *made;
	SAY(asprintf(&made, "%0100d", 7));
	puts(made);
	free(made);
	printf("%.*d\n", 300, 5);
	printf("%300d|\n", 5);
	printf("%-300d|\n", 5);

	setlocale(LC_ALL, "C.UTF-8");
	printf("%ls %lc [%8ls] [%.3ls]\n", L"\u00e4\u20ac\U0001f427", (wint_t)L'\u00df', L"\u00e4\u00f6", L"\u00e4\u00f6");
	wchar_t wide[32];
	SAY(swprintf(wide, 32, L"%d %ls %s", 5, L"wide", "narrow"));
	printf("%ls\n", wide);
	return 0;
}
