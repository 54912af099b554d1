/* Every argument and every variable T_*: length, hash and beginning. */
#include "common.h"

extern char **environ;

static int by_text(const void *a, const void *b)
{
	return strcmp(*(char **)a, *(char **)b);
}

static void show(const char *what, int i, const char *s)
{
	printf("%s %d: %zu %016llx %.40s\n", what, i, strlen(s), (unsigned long long)hash_of(s, strlen(s)), s);
}

int main(int argc, char **argv)
{
	char *vars[4096];
	int n = 0;

	printf("argc %d\n", argc);
	for (int i = 1; i < argc; i++)
		show("arg", i, argv[i]);
	for (char **e = environ; *e; e++)
		if (!strncmp(*e, "T_", 2))
			vars[n++] = *e;
	qsort(vars, n, sizeof *vars, by_text);
	for (int i = 0; i < n; i++)
		show("var", i, vars[i]);
	printf("T_UNSET %s\n", getenv("T_UNSET") ? "set" : "not set");
	MUST(setenv("T_NEW", "1", 1) == 0 && !strcmp(getenv("T_NEW"), "1"));
	MUST(setenv("T_NEW", "2", 0) == 0 && !strcmp(getenv("T_NEW"), "1"));
	MUST(unsetenv("T_NEW") == 0 && !getenv("T_NEW"));
	MUST(putenv("T_PUT=x=y") == 0 && !strcmp(getenv("T_PUT"), "x=y"));
	SAY(setenv("a=b", "", 1));
	return 0;
}
