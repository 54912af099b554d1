#include <getopt.h>
#include <features.h>

/*
 * getopt() and its kin: options has no prefix of GNU's yet; long_only: long options may begin with
 * one hyphen.
 */
hidden int __getopt_core(int argc, char *const argv[], const char *options,
	const struct option *longs, int *index, int long_only);
