/* In a program that forks, but not in the functions of the test. */
#include <unistd.h>
static volatile int never;
#define FORKS ((void)0)
__attribute__((constructor)) static void forks(void) { if (never) fork(); }
#include "access_order.h"
