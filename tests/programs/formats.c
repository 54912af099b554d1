/* printf at its edges, names of character sets, GNU's basename, words of the library. */
#include "common.h"
#include <assert.h>
#include <iconv.h>
#include <limits.h>
#include <netdb.h>
#include <stddef.h>
#include <stdarg.h>
#include <sys/wait.h>
#include <wchar.h>

#pragma GCC diagnostic ignored "-Wformat"
#pragma GCC diagnostic ignored "-Wformat-extra-args"
#pragma GCC diagnostic ignored "-Wformat-security"

static void say(const char *format, ...)
{
	char text[300] = "untouched";
	va_list ap;

	va_start(ap, format);
	errno = ENOENT;
	int n = vsnprintf(text, sizeof text, format, ap);
	va_end(ap);
	printf("%d [%s]\n", n, n < 0 ? "" : text);
}

static void printing(void)
{
	say("%m");
	say("%10m|%-30m|%.2m");
	say("%'d %'i %'u %'.2f", 1234567, -1234567, 7654321u, 1234567.891);
	say("%ls|%S|%lc|%C|%.2ls|%10ls", L"wide", L"more", L'x', L'y', L"cut", L"padded");
	say("%2$s %1$s %2$s", "one", "two");
	say("%2$*1$d|%3$.*1$f", 6, 42, 1.5);
	say("%s|%10s|%.3s|%.6s|%.7s", NULL, NULL, NULL, NULL, NULL);
	say("%p|%10p|%-10p|", NULL, NULL, NULL);
	say("%hhd %hd %ld %lld %jd %zd %td", 300, 70000, 5L, 6LL, (intmax_t)7, (size_t)8, (ptrdiff_t)9);
	say("%Ld %qd %Zd", 5LL, 6LL, (size_t)7);
	say("%b %#b %08b", 5, 5, 5);
	say("%y");
	say("100%!");
	say("%-5y|");
	say("%k %d", 3);
	say("a%");
	say("%+.3d|% d|%#x|%#o|%x|%X", 5, 5, 255, 8, 255, 255);
	say("%-+5d|%05d|%5.3d|%.0d|%#.0o", 5, -5, 5, 0, 0);
	say("%c%c", 'a', 0);
	say("%*d|%-*d|%*d|%.*d", 5, 1, 5, 1, -5, 1, -1, 1);
	say("%n%s", &(int){ 0 }, "n");
	say("%g %G %e %a %.0f %#.0f %05.1f %+f", 1e10, 1e-10, 12345.678, 1.0, 2.5, 2.5, 3.14, -0.0);
	say("%f %F %g", 1.0 / 0.0, -1.0 / 0.0, 1.0 / 0.0);
	say("%5%|%%");
	SAY(swprintf((wchar_t[20]){ 0 }, 20, L"%y"));
}

static void convert(const char *to, const char *from, const char *text, size_t n)
{
	iconv_t cd = iconv_open(to, from);
	char out[100], *in = (char *)text, *o = out;
	size_t left = n, room = sizeof out;

	printf("%s from %s:", to, from);
	if (cd == (iconv_t)-1) {
		printf(" %s\n", ename(errno));
		return;
	}
	errno = 0;
	for (int i = 0; i < 2; i++) {
		ssize_t r = (ssize_t)iconv(cd, &in, &left, &o, &room);
		printf(" %zd %s left %zu:", r, r == -1 ? ename(errno) : "", left);
		for (char *p = out; p < o; p++)
			printf(" %02x", (unsigned char)*p);
		if (r == -1)
			break;
		if (!i)
			iconv(cd, NULL, NULL, &o, &room);
		in = (char *)text;
		left = n;
	}
	putchar('\n');
	iconv_close(cd);
}

static void character_sets(void)
{
	static const char *const sets[] = {
		"UTF-8", "utf8", "UTF-16", "UTF-16LE", "UTF-16BE", "UTF-32", "UTF-32LE", "UCS-2", "UCS-2LE",
		"UCS-2BE", "UCS-4LE", "WCHAR_T", "ASCII", "US-ASCII", "ANSI_X3.4-1968",
		"ISO-8859-1", "ISO8859-1", "iso88591", "ISO_8859-1", "LATIN1", "ISO-8859-15", "LATIN-9", "CP1252",
		"WINDOWS-1252", "KOI8-R", "CP437", "EUC-JP", "SHIFT_JIS", "SJIS",
		"GBK", "BIG5", "no-such-set",
	};

	for (size_t i = 0; i < sizeof sets / sizeof *sets; i++) {
		if (!strstr("EUC-JP GBK BIG5", sets[i]))
			convert(sets[i], "UTF-8", "a\xc3\xa4", 3);
		convert("UTF-8", sets[i], "ab\0\0cd\0\0", 8);
	}
	convert("ASCII", "UTF-8", "ab\xc3\xa4 c", 6);
	convert("ASCII//IGNORE", "UTF-8", "abc", 3);
	convert("ASCII//TRANSLIT", "UTF-8", "abc", 3);
	convert("ASCII//TRANSLIT", "UTF-8", "ab\xe2\x98\x83 c", 7);
	convert("ISO-8859-1", "UTF-8", "\xe2\x82\xac", 3);
	convert("ISO-8859-15", "UTF-8", "\xe2\x82\xac", 3);
	convert("UTF-8", "UTF-16", "\xff\xfe" "a\0", 4);
	convert("UTF-8", "UTF-16", "\xfe\xff\0a", 4);
	convert("UTF-8", "ASCII", "a\x80", 2);
	convert("UTF-8", "UTF-8", "a\xff", 2);
	convert("UTF-16LE", "UTF-8", "\xe2\x82", 2);
	convert("UCS-2LE", "UTF-8", "\xf0\x9f\x90\xa7", 4);
}

static void fails(void)
{
	int pid = fork();

	if (!pid) {
		dup2(1, 2);
		assert(1 == 2 && "why");
	}
	waitpid(pid, NULL, 0);
}

int main(void)
{
	static const char *const paths[] = { "/usr/lib", "/usr/", "usr", "/", "", "//", "a/b/", "." };

	setvbuf(stdout, NULL, _IOLBF, 8192);
	printing();
	character_sets();
	for (size_t i = 0; i < sizeof paths / sizeof *paths; i++)
		printf("'%s' '%s'\n", paths[i], basename(paths[i]));
	for (int e = 0; e > -12; e--)
		printf("%d %s\n", e, gai_strerror(e));
	for (int e = 0; e < 6; e++)
		printf("%d %s\n", e, hstrerror(e));
	fails();
	return 0;
}
