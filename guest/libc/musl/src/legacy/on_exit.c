#define _GNU_SOURCE
#include <stdlib.h>
#include "callback.h"
#include "libc.h"

extern hidden volatile int __exit_status;
int __cxa_atexit(void (*)(void *), void *, void *);

struct handler {
	void (*f)(int, void *);
	void *arg;
};

static void call(void *p)
{
	struct handler handler = *(struct handler *)p;

	free(p);
	CALL_2(handler.f, __exit_status, handler.arg);
}

int on_exit(void (*f)(int, void *), void *arg)
{
	struct handler *handler = malloc(sizeof *handler);

	if (!handler) return -1;
	*handler = (struct handler){ f, arg };
	if (!__cxa_atexit(call, handler, 0)) return 0;
	free(handler);
	return -1;
}
