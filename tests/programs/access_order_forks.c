/* In a program whose every function of the test can fork: they go through Binaryen. */
#include <unistd.h>
static volatile int never;
#define FORKS do { if (never) fork(); } while (0)
#include "access_order.h"
