/*
 * getopt() and its kin as programs for Linux know them: arguments that are no options are moved
 * behind the options, unless POSIXLY_CORRECT is set or the options begin with + or -, and what is
 * wrong is said in GNU's words.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "getopt_core.h"

char *optarg;
int optind = 1, opterr = 1, optopt, __optpos, __optreset;
weak_alias(__optreset, optreset);

struct request {
	int argc;
	char *const *argv;
	/* Without the prefix */
	const char *options;
	const struct option *longs;
	int *index;
	int long_only, say;
};

static int is_option(const char *arg)
{
	return arg[0] == '-' && arg[1];
}

static int same(const struct option *a, const struct option *b)
{
	return a->has_arg == b->has_arg && a->flag == b->flag && a->val == b->val;
}

/* A missing argument */
static int missing(const struct request *r)
{
	return r->options[0] == ':' ? ':' : '?';
}

/*
 * The long option that begins at start, behind a prefix, of the argument at optind; -1: it is none
 * but a short one.
 */
static int long_option(const struct request *r, const char *start, const char *prefix)
{
	size_t len = strcspn(start, "=");
	const struct option *found = 0, *o;
	int ambiguous = 0;

	for (o = r->longs; o->name; o++) {
		if (strncmp(o->name, start, len)) continue;
		if (!o->name[len]) {
			found = o;
			ambiguous = 0;
			break;
		}
		if (!found) found = o;
		else if (r->long_only || !same(found, o)) ambiguous = 1;
	}
	if (ambiguous) {
		if (r->say) {
			flockfile(stderr);
			fprintf(stderr, "%s: option '%s%s' is ambiguous; possibilities:", r->argv[0], prefix, start);
			for (o = r->longs; o->name; o++)
				if (!strncmp(o->name, start, len)) fprintf(stderr, " '%s%s'", prefix, o->name);
			fputc('\n', stderr);
			funlockfile(stderr);
		}
		optind++;
		optopt = 0;
		return '?';
	}
	if (!found) {
		if (r->long_only && r->argv[optind][1] != '-' && strchr(r->options, *start)) return -1;
		if (r->say) fprintf(stderr, "%s: unrecognized option '%s%s'\n", r->argv[0], prefix, start);
		optind++;
		optopt = 0;
		return '?';
	}
	optind++;
	if (start[len]) {
		if (!found->has_arg) {
			if (r->say)
				fprintf(stderr, "%s: option '%s%s' doesn't allow an argument\n",
					r->argv[0], prefix, found->name);
			optopt = found->val;
			return '?';
		}
		optarg = (char *)start + len + 1;
	} else if (found->has_arg == required_argument) {
		if (optind >= r->argc) {
			if (r->say)
				fprintf(stderr, "%s: option '%s%s' requires an argument\n",
					r->argv[0], prefix, found->name);
			optopt = found->val;
			return missing(r);
		}
		optarg = r->argv[optind++];
	}
	if (r->index) *r->index = found - r->longs;
	if (!found->flag) return found->val;
	*found->flag = found->val;
	return 0;
}

/* The next one of the short options of the argument at optind */
static int short_option(const struct request *r)
{
	const char *next = r->argv[optind] + __optpos;
	char c = *next++;
	const char *known = strchr(r->options, c);

	__optpos = *next ? __optpos + 1 : 0;
	if (!*next) optind++;
	if (!known || c == ':' || c == ';') {
		if (r->say) fprintf(stderr, "%s: invalid option -- '%c'\n", r->argv[0], c);
		optopt = (unsigned char)c;
		return '?';
	}
	if (known[1] != ':' && !(c == 'W' && known[1] == ';' && r->longs)) return (unsigned char)c;

	/* What follows in the same argument is the option's argument. */
	__optpos = 0;
	if (*next) {
		optarg = (char *)next;
		optind++;
	} else if (known[1] == ':' && known[2] == ':') {
		return (unsigned char)c;
	} else if (optind >= r->argc) {
		if (r->say) fprintf(stderr, "%s: option requires an argument -- '%c'\n", r->argv[0], c);
		optopt = (unsigned char)c;
		return missing(r);
	} else {
		optarg = r->argv[optind++];
	}
	if (known[1] == ';') {
		/* -W name is --name. */
		next = optarg;
		optarg = 0;
		optind--;
		return long_option(r, next, "-W ");
	}
	return (unsigned char)c;
}

/* The next option; the argument at optind is to be looked at. */
static int option(const struct request *r)
{
	char *arg = r->argv[optind];

	if (!__optpos) {
		if (r->longs && arg[1] == '-') return long_option(r, arg + 2, "--");
		if (r->longs && r->long_only && (arg[2] || !strchr(r->options, arg[1]))) {
			int c = long_option(r, arg + 1, "-");
			if (c != -1) return c;
		}
		__optpos = 1;
	}
	return short_option(r);
}

int __getopt_core(int argc, char *const argv[], const char *options,
	const struct option *longs, int *index, int long_only)
{
	int in_order = options[0] == '-';
	int permute = !in_order && options[0] != '+' && !getenv("POSIXLY_CORRECT");
	struct request r = { argc, argv, options, longs, index, long_only };
	int c, first, at;

	if (in_order || options[0] == '+') r.options++;
	r.say = opterr && r.options[0] != ':';
	optarg = 0;
	if (!optind || __optreset) {
		__optreset = __optpos = 0;
		optind = 1;
	}
	at = first = optind;
	if (at >= argc || !argv[at]) return -1;
	if (permute) while (at < argc && argv[at] && !is_option(argv[at])) at++;
	if (at >= argc || !argv[at]) return -1;
	if (!is_option(argv[at])) {
		if (!in_order) return -1;
		optarg = argv[optind++];
		return 1;
	}

	optind = at;
	if (!__optpos && !strcmp(argv[at], "--")) {
		optind++;
		c = -1;
	} else {
		c = option(&r);
	}
	/* Those before the option go behind it. */
	if (at > first) {
		int skipped = at - first, used = optind - at;
		char **args = (char **)argv;

		for (int i = 0; i < used; i++) {
			char *arg = args[at + i];
			memmove(args + first + i + 1, args + first + i, skipped * sizeof *args);
			args[first + i] = arg;
		}
		optind = first + used;
	}
	return c;
}
