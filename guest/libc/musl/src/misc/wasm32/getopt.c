#include <unistd.h>
#include "getopt_core.h"

int getopt(int argc, char *const argv[], const char *options)
{
	return __getopt_core(argc, argv, options, 0, 0, 0);
}

weak_alias(getopt, __posix_getopt);
