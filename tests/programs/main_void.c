/* main without parameters, and without a return statement: C99 makes that 0. */
#include <stdio.h>

int main(void)
{
	puts("void");
}
