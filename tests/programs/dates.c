/*
 * strftime and strptime as glibc has them: its conversions, flags, widths, and the fields that
 * follow from others.
 */
#include "common.h"
#include <langinfo.h>
#include <time.h>
#include <wchar.h>

static const char *const formats[] = {
	"%k|%l|%P|%p|%z|%Z|%F|%+|%v", "%-d|%_d|%0e|%e|%-e|%-k|%0k|%_H|%-H|%-I|%0l|%-l",
	"%^a|%^B|%#a|%#p|%#Z|%^Z|%^P|%#P|%^p",
	"%5d|%05d|%_5d|%-5d|%10A|%010A|%-10A|%3Y|%6Y|%06Y|%_6Y|%12F|%012F",
	"%C|%3C|%03C|%G|%g|%V|%u|%w|%U|%W|%j|%-j|%_j",
	"%Ey|%EY|%Od|%OH|%Ec|%Ex|%EX", "%c|%x|%X|%D|%T|%R|%r|%h|%n|%t|%%", "%^c|%20T|%-20T|%20c|%^20b",
	"%!|%5!|%Q|%E|%", "%:z|%1|%-",
	"100%", "%S%M%y|%-S|%-M|%_y|%_S|%-m|%_m", "%10%|%5n|", "%%%a%%", "",
};

static void print(struct tm *tm, int wide_too)
{
	for (size_t i = 0; i < sizeof formats / sizeof *formats; i++) {
		char text[300] = "untouched";
		wchar_t wide[300], wide_format[100];
		size_t n = strftime(text, sizeof text, formats[i], tm);

		printf("%zu [%s]", n, n || !*formats[i] ? text : "");
		mbstowcs(wide_format, formats[i], 100);
		n = wcsftime(wide, 300, wide_format, tm);
		if (wide_too)
			printf(" [%ls]", n ? wide : L"");
		putchar('\n');
	}
}

static void formatted(void)
{
	static const long long times[] = { 1700000000, 0, 1704067199, 951782400, 1717243445, 1133395384, -1,
		4102444800, 253402300800, -62135596801 };

	for (size_t i = 0; i < sizeof times / sizeof *times; i++) {
		time_t t = (time_t)times[i];
		struct tm tm = *localtime(&t);

		printf("%lld\n", times[i]);
		print(&tm, 1);
		char text[100];
		strftime(text, sizeof text, "%s|%-s|%15s|%015s|%_15s", &tm);
		puts(text);
		tm = *gmtime(&t);
		print(&tm, 1);
	}
	struct tm odd = { .tm_year = -1895, .tm_mon = 12, .tm_wday = 7, .tm_mday = 40, .tm_isdst = -1 };
	char small[8];

	print(&odd, 0);
	odd.tm_mon = 0;
	odd.tm_wday = 1;
	print(&odd, 0);
	SAY(strftime(small, sizeof small, "%H%M%S", &odd));
	SAY(strftime(small, sizeof small, "%H%M%S%y", &odd));
	SAY(strftime(small, 0, "%H", &odd));
}

static void read_one(const char *text, const char *format)
{
	struct tm tm = { .tm_year = 11, .tm_mon = 5, .tm_mday = 12, .tm_hour = 13, .tm_min = 14, .tm_sec = 15,
		.tm_wday = 9, .tm_yday = 999, .tm_isdst = 0 };
	char *end = strptime(text, format, &tm);

	printf("'%s' by '%s': ", text, format);
	if (!end) {
		puts("no");
		return;
	}
	printf("%d-%d-%d %d:%d:%d wday %d yday %d dst %d off %ld, left '%s'\n", tm.tm_year, tm.tm_mon, tm.tm_mday,
		tm.tm_hour,
		tm.tm_min, tm.tm_sec, tm.tm_wday, tm.tm_yday, tm.tm_isdst, tm.tm_gmtoff, end);
}

static void parsed(void)
{
	static const char *const pairs[][2] = {
		{ "2023-11-14", "%F" }, { "2023-11-14", "%Y-%m-%d" }, { "2023-11-14T22:13:20Z", "%FT%T%z" },
		{ "+0130", "%z" }, { "-01:30", "%z" },
		{ "+05", "%z" }, { "Z", "%z" }, { "+2460", "%z" }, { "+1", "%z" }, { "GMT", "%z" },
		{ "1700000000", "%s" }, { "1700000000 x", "%s" },
		{ " 7", "%k" }, { "7", "%k" }, { " 7 PM", "%l %p" }, { "PM 07", "%p %I" }, { "12 AM", "%I %p" },
		{ "12 PM", "%I %p" }, { "11 pm", "%I %P" },
		{ "CEST 5", "%Z %d" }, { "Tue Nov 14 22:13:20 2023", "%c" },
		{ "Tue, 14 Nov 2023 22:13:20 +0000", "%a, %d %b %Y %H:%M:%S %z" },
		{ " 5", "%d" }, { " 5", "%e" }, { "5 6", "%d%m" }, { "318 2023", "%j %Y" }, { "2023 318", "%Y %j" },
		{ "23 46 2", "%y %U %w" },
		{ "2023 46 Tue", "%Y %W %a" }, { "2023-W46-2", "%G-W%V-%u" }, { "99", "%g" }, { "7", "%u" },
		{ "0", "%u" }, { "20 23", "%C %y" }, { "20", "%C" },
		{ "69", "%y" }, { "68", "%y" }, { "1969", "%Y" }, { "12/31/99", "%D" }, { "12/31/99", "%x" },
		{ "23:59:60", "%T" }, { "23:59:61", "%T" },
		{ "23:59:62", "%T" }, { "24:00", "%R" }, { "10:11:12 PM", "%r" }, { "10:11:12", "%X" },
		{ "a\n\tb", "a b" }, { "ab", "a b" }, { "5%", "%d%%" },
		{ "13", "%m" }, { "0", "%m" }, { "december", "%B" }, { "dec", "%B" }, { "sunday 1", "%A %d" },
		{ "sat", "%a" }, { "5", "%Od" }, { "05", "%-d" },
		{ "2023", "%EY" }, { "x", "%Q" }, { "x", "%" }, { "366", "%j" }, { "367", "%j" },
		{ "2023-02-30", "%F" }, { "10000-01-01", "%F" }, { "123", "%H" },
		{ "12 May 2020", "%d %h %Y" }, { "1.5", "%S" }, { "x", "%n" }, { "  x", "%tx" }, { "3", "%W" },
		{ "20230102", "%Y%m%d" }, { "230102", "%y%m%d" },
		{ "-5", "%Y" }, { "+5", "%d" }, { "2024-12-31 03 PM", "%Y-%m-%d %I %p" }, { "29", "%H" },
		{ "00", "%I" }, { "1 2", "%1d %m" },
	};

	for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++)
		read_one(pairs[i][0], pairs[i][1]);
}

int main(void)
{
	static const char *const zones[] = { "UTC0", "CET-1CEST,M3.5.0,M10.5.0/3", "<-0330>3:30", "NPT-5:45" };

	for (size_t i = 0; i < sizeof zones / sizeof *zones; i++) {
		setenv("TZ", zones[i], 1);
		tzset();
		puts(zones[i]);
		formatted();
		parsed();
	}
	return 0;
}
