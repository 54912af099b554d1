/* SPDX-License-Identifier: MIT */
/* What the kernel counts about memory. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "init.h"

long oom_kills(void)
{
	static const char name[] = "oom_kill ";
	FILE *list = fopen("/proc/vmstat", "re");
	char line[128];
	long count = -1;

	if (!list)
		return -1;
	while (count < 0 && fgets(line, sizeof line, list))
		if (!strncmp(line, name, sizeof name - 1))
			count = strtol(line + sizeof name - 1, NULL, 10);
	fclose(list);
	return count;
}
