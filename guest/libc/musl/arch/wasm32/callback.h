/*
 * Calls of functions that programs give under another type than they have: a handler without
 * arguments, a thread's function without a result. Other machines do not notice; here a call
 * through the wrong type traps. So they are called as they are defined. Inline, as it matters
 * for fork who calls through pointers (wasmlinux-cc, fork_paths.rs).
 */
#define FUNCTION_TYPE(arguments, results) (1 + 2 * (arguments) + (results))

/* function_type.s */
__attribute__((__visibility__("hidden"))) int __function_type(void *);

static inline __attribute__((__always_inline__))
void *__call_callback(void *f, int as_declared, void *a, void *b, void *c)
{
	int type = __function_type(f);

	/* 0: of another type still, or the program was not made by wasmlinux-cc. */
	switch (type ? type : as_declared) {
	case FUNCTION_TYPE(0, 0): ((void (*)(void))f)(); return 0;
	case FUNCTION_TYPE(0, 1): return ((void *(*)(void))f)();
	case FUNCTION_TYPE(1, 0): ((void (*)(void *))f)(a); return 0;
	case FUNCTION_TYPE(1, 1): return ((void *(*)(void *))f)(a);
	case FUNCTION_TYPE(2, 0): ((void (*)(void *, void *))f)(a, b); return 0;
	case FUNCTION_TYPE(2, 1): return ((void *(*)(void *, void *))f)(a, b);
	case FUNCTION_TYPE(3, 0): ((void (*)(void *, void *, void *))f)(a, b, c); return 0;
	default: return ((void *(*)(void *, void *, void *))f)(a, b, c);
	}
}
