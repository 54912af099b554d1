/*
 * strptime() as programs for Linux know it: all of strftime's conversions, blanks before numbers,
 * and the day of the week, the day of the year and so on from what was read. (musl's own leaves
 * those alone.)
 */
#define _GNU_SOURCE
#include <ctype.h>
#include <langinfo.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

enum { YEAR = 1, MONTH = 2, DAY = 4, YEAR_DAY = 8, WEEK_DAY = 16, SUNDAY_WEEK = 32, MONDAY_WEEK = 64 };

struct state {
	/* What was read */
	unsigned have;
	int century, year_of_century, week;
	/* Whether it was an hour from 1 to 12, and after noon */
	int twelve, pm;
};

static int is_leap(int year)
{
	return year % 4 == 0 && (year % 100 || year % 400 == 0);
}

/* Days of the year before a month, 12 for the end of the year */
static int days_before(int year, int month)
{
	static const short days[] = { 0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334, 365 };

	return days[month] + (month > 1 && is_leap(year));
}

/* 0 is Sunday. The Gregorian calendar repeats after 400 years, which are whole weeks. */
static int day_of_week(int year, int year_day)
{
	int past = (year % 400 + 400) % 400 + 399;

	return (past * 365 + past / 4 - past / 100 + past / 400 + year_day + 1) % 7;
}

static const char *number(const char *s, int min, int max, int digits, int *value)
{
	int n = 0;

	while (*s == ' ') s++;
	if (!isdigit(*s)) return 0;
	for (; digits && isdigit(*s); digits--, s++) n = 10*n + *s - '0';
	if (n < min || n > max) return 0;
	*value = n;
	return s;
}

/* One of the names item, item+1 …, of which the second half are other forms of the first */
static const char *name(const char *s, nl_item item, int count, int *value)
{
	for (int i = 2*count-1; i >= 0; i--) {
		const char *text = nl_langinfo(item+i);
		size_t len = strlen(text);

		if (!len || strncasecmp(s, text, len)) continue;
		*value = i % count;
		return s + len;
	}
	return 0;
}

/* +hh, +hhmm, +hh:mm or Z */
static const char *offset(const char *s, struct tm *tm)
{
	int negative, value = 0, digits = 0;

	while (*s == ' ') s++;
	if (*s == 'Z') {
		tm->tm_gmtoff = 0;
		return s+1;
	}
	if (*s != '+' && *s != '-') return 0;
	negative = *s++ == '-';
	for (; digits < 4 && isdigit(*s); digits++) {
		value = 10*value + *s++ - '0';
		if (*s == ':' && digits == 1 && isdigit(s[1])) s++;
	}
	if (digits == 2) value *= 100;
	else if (digits != 4 || value % 100 >= 60) return 0;
	if (value > 1400) return 0;
	tm->tm_gmtoff = (value / 100 * 60 + value % 100) * 60;
	if (negative) tm->tm_gmtoff = -tm->tm_gmtoff;
	return s;
}

/* Seconds since 1970, as a time of the time zone */
static const char *seconds(const char *s, struct tm *tm)
{
	char *end;
	time_t t;

	if (!isdigit(*s)) return 0;
	t = strtoll(s, &end, 10);
	return localtime_r(&t, tm) ? end : 0;
}

static const char *parse(const char *s, const char *f, struct tm *tm, struct state *st)
{
	for (; *f; f++) {
		int digits = -1, value;

		if (isspace(*f)) {
			while (isspace(*s)) s++;
			continue;
		}
		if (*f != '%') {
			if (*s++ != *f) return 0;
			continue;
		}
		f++;
		while (*f && strchr("-_0^#+", *f)) f++;
		if (isdigit(*f)) {
			char *end;
			digits = strtoul(f, &end, 10);
			f = end;
		}
		if (*f == 'E' || *f == 'O') f++;
#define NUMBER(min, max, width) do { \
		if (!(s = number(s, min, max, digits < 0 ? width : digits, &value))) return 0; \
	} while (0)
#define NAME(item, count) do if (!(s = name(s, item, count, &value))) return 0; while (0)
#define PART(format) do if (!(s = parse(s, format, tm, st))) return 0; while (0)
		switch (*f) {
		case 'a': case 'A':
			NAME(ABDAY_1, 7);
			tm->tm_wday = value;
			st->have |= WEEK_DAY;
			break;
		case 'b': case 'B': case 'h':
			NAME(ABMON_1, 12);
			tm->tm_mon = value;
			st->have |= MONTH;
			break;
		case 'c':
			PART(nl_langinfo(D_T_FMT));
			break;
		case 'C':
			NUMBER(0, 99, 2);
			st->century = value;
			st->have |= YEAR;
			break;
		case 'd': case 'e':
			NUMBER(1, 31, 2);
			tm->tm_mday = value;
			st->have |= DAY;
			break;
		case 'D':
			PART("%m/%d/%y");
			break;
		case 'F':
			PART("%Y-%m-%d");
			break;
		case 'g':
			NUMBER(0, 99, 2);
			break;
		case 'G':
			if (!isdigit(*s)) return 0;
			while (isdigit(*s)) s++;
			break;
		case 'H': case 'k':
			NUMBER(0, 23, 2);
			tm->tm_hour = value;
			st->twelve = 0;
			break;
		case 'I': case 'l':
			NUMBER(1, 12, 2);
			tm->tm_hour = value % 12;
			st->twelve = 1;
			break;
		case 'j':
			NUMBER(1, 366, 3);
			tm->tm_yday = value - 1;
			st->have |= YEAR_DAY;
			break;
		case 'm':
			NUMBER(1, 12, 2);
			tm->tm_mon = value - 1;
			st->have |= MONTH;
			break;
		case 'M':
			NUMBER(0, 59, 2);
			tm->tm_min = value;
			break;
		case 'n': case 't':
			while (isspace(*s)) s++;
			break;
		case 'p': {
			const char *am = nl_langinfo(AM_STR), *pm = nl_langinfo(PM_STR);

			if (!strncasecmp(s, am, strlen(am))) s += strlen(am), st->pm = 0;
			else if (!strncasecmp(s, pm, strlen(pm))) s += strlen(pm), st->pm = 1;
			else return 0;
			break;
		}
		case 'r':
			PART(nl_langinfo(T_FMT_AMPM));
			break;
		case 'R':
			PART("%H:%M");
			break;
		case 's':
			if (!(s = seconds(s, tm))) return 0;
			break;
		case 'S':
			NUMBER(0, 61, 2);
			tm->tm_sec = value;
			break;
		case 'T':
			PART("%H:%M:%S");
			break;
		case 'u':
			NUMBER(1, 7, 1);
			tm->tm_wday = value % 7;
			st->have |= WEEK_DAY;
			break;
		case 'U': case 'W':
			NUMBER(0, 53, 2);
			st->week = value;
			st->have |= *f == 'U' ? SUNDAY_WEEK : MONDAY_WEEK;
			break;
		case 'V':
			NUMBER(0, 53, 2);
			break;
		case 'w':
			NUMBER(0, 6, 1);
			tm->tm_wday = value;
			st->have |= WEEK_DAY;
			break;
		case 'x':
			PART(nl_langinfo(D_FMT));
			break;
		case 'X':
			PART(nl_langinfo(T_FMT));
			break;
		case 'y':
			NUMBER(0, 99, 2);
			st->year_of_century = value;
			tm->tm_year = value < 69 ? value + 100 : value;
			st->have |= YEAR;
			break;
		case 'Y':
			NUMBER(0, 9999, 4);
			tm->tm_year = value - 1900;
			st->century = st->year_of_century = -1;
			st->have |= YEAR;
			break;
		case 'z':
			if (!(s = offset(s, tm))) return 0;
			break;
		case 'Z':
			/* A name does not say which zone it is. */
			while (isspace(*s)) s++;
			while (*s && !isspace(*s)) s++;
			break;
		case '%':
			if (*s++ != '%') return 0;
			break;
		default:
			return 0;
		}
	}
	return s;
}

static void month_and_day(struct tm *tm, unsigned have)
{
	int year = tm->tm_year + 1900, month = 0;

	if (tm->tm_yday < 0 || tm->tm_yday > 365) return;
	while (month < 11 && days_before(year, month+1) <= tm->tm_yday) month++;
	if (!(have & MONTH)) tm->tm_mon = month;
	if (!(have & DAY)) tm->tm_mday = tm->tm_yday - days_before(year, month) + 1;
}

/* The fields that follow from those that were read */
static void complete(struct tm *tm, struct state *st)
{
	unsigned have = st->have;
	int year, counted = (have & (YEAR | MONTH | DAY)) != 0;

	if (st->twelve && st->pm) tm->tm_hour += 12;
	if (st->century >= 0)
		tm->tm_year = st->century*100 - 1900 + (st->year_of_century < 0 ? 0 : st->year_of_century);
	year = tm->tm_year + 1900;

	if (counted && !(have & WEEK_DAY) && (have & YEAR_DAY) && (have & (MONTH | DAY)) != (MONTH | DAY)) {
		month_and_day(tm, have);
		have |= MONTH | DAY;
	}
	if (counted && tm->tm_mon >= 0 && tm->tm_mon < 12) {
		int year_day = days_before(year, tm->tm_mon) + tm->tm_mday - 1;

		if (!(have & WEEK_DAY)) tm->tm_wday = day_of_week(year, year_day);
		if (!(have & YEAR_DAY)) tm->tm_yday = year_day;
	}
	if ((have & WEEK_DAY) && (have & (SUNDAY_WEEK | MONDAY_WEEK))) {
		int first = (have & SUNDAY_WEEK) ? 0 : 1;

		if (!(have & YEAR_DAY))
			tm->tm_yday = (7 - (day_of_week(year, 0) - first)) % 7 + (st->week - 1) * 7
				+ (tm->tm_wday - first + 7) % 7;
		if ((have & (MONTH | DAY)) != (MONTH | DAY)) month_and_day(tm, have);
	}
}

char *strptime(const char *restrict s, const char *restrict f, struct tm *restrict tm)
{
	struct state st = { .century = -1, .year_of_century = -1 };
	const char *end = parse(s, f, tm, &st);

	if (end) complete(tm, &st);
	return (char *)end;
}
