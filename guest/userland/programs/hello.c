/* SPDX-License-Identifier: MIT */
/* Greets, and says what it was called with. */
#include <stdio.h>

int main(int argc, char **argv)
{
	printf("Hello, World! This is %s on WasmLinux.\n", argv[0]);
	for (int i = 1; i < argc; i++)
		printf("argument %d: %s\n", i, argv[i]);
	return 0;
}
