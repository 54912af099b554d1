/* Regular expressions, glob and fnmatch as glibc has them, with GNU's extensions. */
#include "common.h"
#include <fcntl.h>
#include <fnmatch.h>
#include <glob.h>
#include <regex.h>
#include <sys/stat.h>

static void match(const char *pattern, const char *text, int cflags, int eflags)
{
	regex_t re;
	regmatch_t m[4];
	int e = regcomp(&re, pattern, cflags);
	char why[100];

	printf("/%s/%s%s%s '%s'%s%s:", pattern, cflags & REG_EXTENDED ? "E" : "", cflags & REG_ICASE ? "i" : "",
		cflags & REG_NEWLINE ? "n" : "",
		text, eflags & REG_NOTBOL ? " notbol" : "", eflags & REG_NOTEOL ? " noteol" : "");
	if (e) {
		regerror(e, &re, why, sizeof why);
		printf(" %s\n", why);
		return;
	}
	printf(" %zu", re.re_nsub);
	e = regexec(&re, text, 4, m, eflags);
	if (e) {
		regerror(e, &re, why, sizeof why);
		printf(" %s\n", why);
	} else {
		for (int i = 0; i < 4; i++)
			printf(" %d-%d", (int)m[i].rm_so, (int)m[i].rm_eo);
		putchar('\n');
	}
	regfree(&re);
}

static void expressions(void)
{
	static const char *const extended[][2] = {
		{ "(.)\\1", "abccd" }, { "(.)(.)\\2\\1", "xabbay" }, { "^(.*)x\\1$", "abxab" },
		{ "^(.*)x\\1$", "abxac" }, { "(a|b)\\1", "abba" },
		{ "(a*)b\\1", "aabaa" }, { "(a)\\2", "aa" }, { "([0-9]+)-\\1", "12-12" }, { "(a)\\1{2}", "aaaa" },
		{ "(x)\\1+", "xxxx" },
		{ "\\bfoo\\b", "a foo b" }, { "\\bfoo\\b", "afoo b" }, { "\\Boo", "foo" }, { "\\<a\\>", "b a c" },
		{ "\\w+", "--ab_1--" }, { "\\W", "ab_1-" },
		{ "\\s+", "a \tb" }, { "\\S+", "  ab " }, { "\\`a", "ab" }, { "b\\'", "ab" }, { "a\\'", "ab" },
		{ "\\`b", "ab" }, { "a{2,3}", "caaaa" },
		{ "a{,2}b", "aaab" }, { "a|b|", "c" }, { "()", "x" }, { "a**", "aa" }, { "[[:alpha:]]+", "12ab" },
		{ "[^[:space:]]+", " ab" }, { "[]a]+", "x]a" },
		{ "a(", "a" }, { "a\\", "a" }, { "a{2,1}", "a" }, { "[z-a]", "a" }, { "[[:nope:]]", "a" },
		{ "*a", "*a" }, { "a)", "a)" },
		{ "a+?", "aa" }, { "(^a)(b$)", "ab" }, { "x*", "aaa" }, { "\\.", "a.b" }, { "\\/", "a/b" },
		{ "\\-", "a-b" }, { "(a(b)?)+", "abaab" }, { "[a-c]{2}", "xabc" },
		{ "(foo|foobar)(bar)?", "foobarbar" }, { "a.c", "a\nc" },
	};
	static const char *const basic[][2] = {
		{ "\\(.\\)\\1", "abccd" }, { "a\\+", "caab" }, { "a\\?b", "aab" }, { "a\\|b", "cb" },
		{ "a\\{2\\}", "caaa" }, { "\\(a\\|b\\)*c", "abac" }, { "*a", "b*a" },
		{ "\\(*a\\)", "b*a" }, { "^*a", "*a" }, { "a^b", "a^b" }, { "a$b", "a$b" }, { "a+", "a+" },
		{ "a|b", "a|b" }, { "a{2}", "a{2}" }, { "\\<\\w*\\>", "  ab cd" },
		{ "\\`a\\'", "a" }, { "x\\bx", "xx" }, { "\\(a\\)\\(b\\)\\2\\1", "abba" }, { "\\(^a\\)", "ba" },
		{ "\\(a", "a" }, { "a\\)", "a" },
	};

	for (size_t i = 0; i < sizeof extended / sizeof *extended; i++)
		match(extended[i][0], extended[i][1], REG_EXTENDED, 0);
	for (size_t i = 0; i < sizeof basic / sizeof *basic; i++)
		match(basic[i][0], basic[i][1], 0, 0);
	match("(a)\\1", "xAa", REG_EXTENDED | REG_ICASE, 0);
	match("^b", "a\nb", REG_EXTENDED | REG_NEWLINE, 0);
	match("\\`b", "a\nb", REG_EXTENDED | REG_NEWLINE, 0);
	match("a$", "a\nb", REG_EXTENDED | REG_NEWLINE, 0);
	match("a\\'", "a\nb", REG_EXTENDED | REG_NEWLINE, 0);
	match("a.b", "a\nb", REG_EXTENDED | REG_NEWLINE, 0);
	match("^a", "a", REG_EXTENDED, REG_NOTBOL);
	match("\\`a", "a", REG_EXTENDED, REG_NOTBOL);
	match("a$", "a", REG_EXTENDED, REG_NOTEOL);
	match("a\\'", "a", REG_EXTENDED, REG_NOTEOL);
	/*
	 * \n is a letter n, \t a letter t for glibc; musl's are those characters, and that is as
	 * well.
	 */
}

static void paths(const char *pattern, int flags)
{
	glob_t g = { 0 };
	int e = glob(pattern, flags, NULL, &g);

	printf("%s %x: %d", pattern, flags & GLOB_MARK ? 1 : 0, e);
	for (size_t i = 0; !e && i < g.gl_pathc; i++)
		printf(" %s", g.gl_pathv[i]);
	putchar('\n');
	if (!e)
		globfree(&g);
}

static void globs(void)
{
	static const char *const files[] = { "a1", "a2", "b1", ".hidden", "sp ace", "back\\slash", "q[1]" };

	MUST(mkdir("g", 0700) == 0 && mkdir("g/dir", 0700) == 0 && chdir("g") == 0);
	for (size_t i = 0; i < sizeof files / sizeof *files; i++)
		close(open(files[i], O_CREAT | O_WRONLY, 0600));
	close(open("dir/in", O_CREAT | O_WRONLY, 0600));
	MUST(symlink("nowhere", "dangling") == 0);
	paths("*", 0);
	paths("*", GLOB_MARK);
	paths(".*", 0);
	paths("[ab]*", 0);
	paths("[!a]1", 0);
	paths("a[0-1]", 0);
	paths("*/*", 0);
	paths("none*", 0);
	paths("none*", GLOB_NOCHECK);
	paths("none", GLOB_NOCHECK);
	paths("none", 0);
	paths("dang*", 0);
	paths("dangling", 0);
	paths("back\\\\slash", 0);
	paths("back\\slash", GLOB_NOESCAPE);
	paths("q\\[1\\]", 0);
	paths("q[[]1]", 0);
	paths("./a*", 0);
	paths("dir//in", 0);
	paths("dir/", 0);
	paths("di*/", 0);
	paths("", 0);
	paths("[", 0);
	paths("*", GLOB_PERIOD);
	MUST(chdir("..") == 0);
}

static void names(void)
{
	static const struct { const char *pattern, *text; int flags; } cases[] = {
		{ "*.c", "x.c", 0 }, { "*.c", ".c", FNM_PERIOD }, { "?.c", "x.c", 0 }, { "[!x].c", "x.c", 0 },
		{ "[^x].c", "y.c", 0 }, { "\\*", "*", 0 },
		{ "\\*", "\\x", FNM_NOESCAPE }, { "a/*", "a/b/c", FNM_PATHNAME }, { "a/*", "a/b/c", 0 },
		{ "a", "a/b", FNM_LEADING_DIR }, { "A*", "abc", FNM_CASEFOLD },
		{ "[A-C]", "b", FNM_CASEFOLD }, { "*/.x", "a/.x", FNM_PATHNAME | FNM_PERIOD },
		{ "*/*", "a/.x", FNM_PATHNAME | FNM_PERIOD }, { "[[:digit:]]", "5", 0 },
		{ "[]]", "]", 0 }, { "a[/]b", "a/b", FNM_PATHNAME }, { "**", "abc", 0 }, { "", "", 0 }, { "*", "", 0 },
	};

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
		printf("%s %s %d\n", cases[i].pattern, cases[i].text, fnmatch(cases[i].pattern, cases[i].text,
			cases[i].flags));
}

int main(void)
{
	expressions();
	globs();
	names();
	return 0;
}
