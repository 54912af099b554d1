/* getopt and its kin: the order of arguments, and what is said of wrong ones. */
#include "common.h"
#include <getopt.h>

static const struct option longs[] = {
	{ "all", no_argument, NULL, 'a' }, { "block", required_argument, NULL, 'b' },
	{ "colour", optional_argument, NULL, 'c' },
	{ "color", optional_argument, NULL, 'c' }, { "blocks", no_argument, NULL, 'B' }, { 0 },
};

enum kind { PLAIN, LONG, LONG_ONLY };

static void parse(enum kind kind, const char *options, const char *line)
{
	char text[200], *args[20] = { (char *)"prog" }, *save;
	int n = 1, c, index;

	strcpy(text, line);
	for (char *word = strtok_r(text, " ", &save); word; word = strtok_r(NULL, " ", &save))
		args[n++] = word;
	args[n] = NULL;
	printf("%d '%s' %s:", kind, options, line);
	fflush(stdout);
	optind = 0;
	for (int i = 0; i < 30; i++) {
		index = -1;
		optarg = NULL;
		c = kind == PLAIN ? getopt(n, args, options) : (kind == LONG ? getopt_long : getopt_long_only)(n,
			args, options, longs, &index);
		if (c == -1)
			break;
		if (c > 1)
			printf(" %c", c);
		else
			printf(" %d", c);
		if (optarg)
			printf("=%s", optarg);
		if (c == '?' || c == ':')
			printf("(%c)", optopt > 32 ? optopt : '0');
		if (index >= 0)
			printf("[%d]", index);
	}
	printf(" at %d:", optind);
	for (int i = 1; i < n; i++)
		printf(" %s", args[i]);
	putchar('\n');
	fflush(stdout);
}

int main(void)
{
	static const char *const lines[] = {
		"", "-a", "x -a y -b z w", "x y -a", "-a -- -b x", "x -- -a", "x -a -- -b y", "-b", "-bvalue x",
		"-ab value", "-c", "-cvalue", "-c value", "-q", "-aq x",
		"-", "- -a", "x - -a", "-a x -a x -a x", "a b c -a d e -b f g", "-W all", "--all", "x --all y",
		"--block=5 x", "--block 5 x", "--block", "--all=5",
		"--colour=5 --color", "--col", "--blo 5", "--bloc", "--nope", "x --nope=3 y", "-all", "-block 5",
		"-nope", "--a", "-a=3",
	};

	dup2(1, 2);
	for (int posix = 0; posix < 2; posix++) {
		if (posix)
			setenv("POSIXLY_CORRECT", "1", 1);
		for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) {
			for (enum kind kind = PLAIN; kind <= LONG_ONLY; kind++) {
				parse(kind, "ab:c::", lines[i]);
				parse(kind, "+ab:c::", lines[i]);
				parse(kind, "-ab:c::", lines[i]);
				parse(kind, ":ab:c::", lines[i]);
			}
		}
	}
	opterr = 0;
	parse(PLAIN, "a", "-q x");
	return 0;
}
