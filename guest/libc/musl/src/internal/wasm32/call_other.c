#include "callback.h"

void *__call_other(void *f, void *a, void *b, void *c, void *d)
{
	return __call_callback(f, 0, a, b, c, d);
}
