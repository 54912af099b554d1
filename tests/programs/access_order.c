/* In a program that does not fork. */
static volatile int never;
#define FORKS ((void)0)
#include "access_order.h"
