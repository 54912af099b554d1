/* Clocks, sleeping, calendars. Only lower bounds: a busy machine may always be late. */
#include "common.h"
#include <sys/resource.h>
#include <sys/time.h>
#include <sys/times.h>
#include <time.h>

static double now(clockid_t clock)
{
	struct timespec ts;
	MUST(clock_gettime(clock, &ts) == 0);
	MUST(ts.tv_nsec >= 0 && ts.tv_nsec < 1000000000);
	return ts.tv_sec + ts.tv_nsec / 1e9;
}

static void zone(const char *tz)
{
	static const time_t moments[] = { 0, 951782400, 1000000000, 1711846799, 1711846800, 1729994399, 1729994400, 1735689599, 1735689600, 4102444800ll };

	setenv("TZ", tz, 1);
	tzset();
	printf("TZ=%s: %s %s %ld %d\n", tz, tzname[0], daylight ? tzname[1] : "", timezone, !!daylight);
	for (size_t i = 0; i < sizeof moments / sizeof *moments; i++) {
		struct tm *tm = localtime(&moments[i]), copy = *tm;
		char text[100];
		strftime(text, sizeof text, "%F %T %z %Z", tm);
		copy.tm_isdst = -1;
		printf("%lld: %s %d, back %lld\n", (long long)moments[i], text, tm->tm_isdst, (long long)mktime(&copy) - moments[i]);
	}
}

int main(void)
{
	struct timespec ts, left;
	struct timeval tv;
	struct tm tm;
	char text[200];

	/* clocks go forward */
	static const clockid_t clocks[] = { CLOCK_MONOTONIC, CLOCK_REALTIME, CLOCK_BOOTTIME, CLOCK_MONOTONIC_RAW, CLOCK_MONOTONIC_COARSE, CLOCK_REALTIME_COARSE, CLOCK_PROCESS_CPUTIME_ID, CLOCK_THREAD_CPUTIME_ID };
	for (size_t c = 0; c < sizeof clocks / sizeof *clocks; c++) {
		double last = now(clocks[c]);
		for (int i = 0; i < 2000; i++) {
			double t = now(clocks[c]);
			MUST(t >= last);
			last = t;
		}
		SAY(clock_getres(clocks[c], &ts));
		MUST(ts.tv_sec == 0 && ts.tv_nsec > 0);
	}
	SAY(clock_gettime(12345, &ts));
	SAY(gettimeofday(&tv, NULL));
	MUST(tv.tv_sec > 1700000000 && labs((long)(tv.tv_sec - time(NULL))) <= 1);
	MUST(now(CLOCK_MONOTONIC) > 0);

	/* sleeping takes at least as long as asked */
	static const long naps[] = { 1, 1000, 100000, 3000000, 30000000 };
	for (size_t i = 0; i < sizeof naps / sizeof *naps; i++) {
		double before = now(CLOCK_MONOTONIC);
		ts = (struct timespec){ 0, naps[i] };
		SAY(nanosleep(&ts, &left));
		MUST(now(CLOCK_MONOTONIC) - before >= naps[i] / 1e9);
	}
	double before = now(CLOCK_MONOTONIC);
	SAY(usleep(15000));
	MUST(now(CLOCK_MONOTONIC) - before >= 0.015);
	clock_gettime(CLOCK_MONOTONIC, &ts);
	ts.tv_nsec += 20000000;
	if (ts.tv_nsec >= 1000000000)
		ts.tv_nsec -= 1000000000, ts.tv_sec++;
	SAY(clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &ts, NULL));
	clock_gettime(CLOCK_MONOTONIC, &left);
	MUST(left.tv_sec > ts.tv_sec || (left.tv_sec == ts.tv_sec && left.tv_nsec >= ts.tv_nsec));
	clock_gettime(CLOCK_REALTIME, &ts);
	ts.tv_sec -= 10;
	SAY(clock_nanosleep(CLOCK_REALTIME, TIMER_ABSTIME, &ts, NULL));
	ts = (struct timespec){ 0, 1000000000 };
	SAY(nanosleep(&ts, NULL));
	ts = (struct timespec){ -1, 0 };
	SAY(nanosleep(&ts, NULL));
	SAY(sleep(0));

	/* computing counts as time of the processor, sleeping does not */
	clock_t c0 = clock();
	double t0 = now(CLOCK_MONOTONIC);
	volatile double x = 1;
	while (now(CLOCK_MONOTONIC) - t0 < 0.05)
		for (int i = 0; i < 100000; i++)
			x = x * 1.0000001;
	MUST(clock() >= c0);
	struct rusage use;
	SAY(getrusage(RUSAGE_SELF, &use));
	struct tms tms;
	MUST(times(&tms) != (clock_t)-1);
	SAY(sysconf(_SC_CLK_TCK));

	/* calendars */
	static const time_t moments[] = { 0, 1, -1, 86399, 86400, 951782399, 951782400, 951868800, 1000000000, 1234567890, 1709164800, 2147483647, 2147483648ll, -2147483648ll, -2147483649ll, 4102444800ll, 4294967296ll, -62135596800ll, -62167219200ll,
		253402300799ll, 253402300800ll, -11644473600ll, 32503680000ll };
	for (size_t i = 0; i < sizeof moments / sizeof *moments; i++) {
		MUST(gmtime_r(&moments[i], &tm));
		printf("%lld: %d-%d-%d %d:%d:%d wday %d yday %d, back %lld\n", (long long)moments[i], tm.tm_year + 1900, tm.tm_mon + 1, tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec, tm.tm_wday, tm.tm_yday,
		       (long long)timegm(&tm));
	}
	time_t far = 67768036191676800ll;
	SAY(gmtime_r(&far, &tm) == NULL);
	setenv("TZ", "UTC0", 1);
	tzset();
	/* mktime puts right what is out of range */
	static const int odd[][6] = { { 2024, 1, 30, 0, 0, 0 }, { 2023, 1, 29, 0, 0, 0 }, { 2024, 12, 1, 0, 0, 0 }, { 2024, -1, 1, 0, 0, 0 }, { 2024, 0, 0, 25, 61, 61 }, { 1970, 0, 1, 0, 0, -1 }, { 2000, 25, 366, -50, 1000, 100000 },
		{ 2038, 0, 19, 3, 14, 8 } };
	for (size_t i = 0; i < sizeof odd / sizeof *odd; i++) {
		tm = (struct tm){ .tm_year = odd[i][0] - 1900, .tm_mon = odd[i][1], .tm_mday = odd[i][2], .tm_hour = odd[i][3], .tm_min = odd[i][4], .tm_sec = odd[i][5] };
		time_t t = mktime(&tm);
		printf("%lld %s", (long long)t, asctime(&tm));
	}
	time_t t = 1709210096;
	gmtime_r(&t, &tm);
	/* without %Z: the name of gmtime's zone is GMT in glibc, UTC in musl */
	for (const char *f = "aAbBcCdDeFgGhHIjklmMnprRsStTuUVwWxXyYz%"; *f; f++) {
		if (strchr("kls", *f))
			continue; /* not in POSIX 2008 */
		char format[3] = { '%', *f };
		strftime(text, sizeof text, format, &tm);
		printf("%%%c: %s\n", *f, text);
	}
	SAY(strftime(text, 5, "%Y-%m-%d", &tm));
	SAY(strftime(text, 11, "%Y-%m-%d", &tm));
	memset(&tm, 0, sizeof tm);
	char *end = strptime("2024-02-29 12:34:56 Thu", "%Y-%m-%d %H:%M:%S %a", &tm);
	printf("%d %d %d %d %d %d %d rest %d\n", tm.tm_year, tm.tm_mon, tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec, tm.tm_wday, (int)strlen(end));
	SAY(strptime("2024-13-01", "%Y-%m-%d", &tm) == NULL);
	printf("%.1f %s", difftime(5000000000ll, 1), ctime(&t));

	/* zones as POSIX writes them: there need be no database */
	zone("UTC0");
	zone("CET-1CEST,M3.5.0,M10.5.0/3");
	zone("EST5EDT,M3.2.0,M11.1.0");
	zone("<+0530>-5:30");
	zone("AEST-10AEDT,M10.1.0,M4.1.0/3");
	return 0;
}
