/* What is started to measure starting. */
#include <stdio.h>

int main(void)
{
	puts("Hello, world");
	return 0;
}
