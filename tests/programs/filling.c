/* Fills memory for ever: nearly always in a routine of the host's, hardly ever in its own code. */
#include "common.h"
#include <sys/mman.h>

int main(void)
{
	size_t size = 64u << 20;
	char *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	MUST(p != MAP_FAILED);
	printf("filling\n");
	fflush(stdout);
	for (int n = 0;; n++) {
		__builtin_memset(p, n, size);
		__asm__ volatile("" : : "r"(p) : "memory");
	}
}
