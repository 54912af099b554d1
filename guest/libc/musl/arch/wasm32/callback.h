/*
 * Calls of functions that programs give under another type than they have: a handler without
 * arguments, a thread's function without a result, a destructor that returns int. Other machines
 * do not notice; here a call through the wrong type traps. So they are called as they are defined.
 */
#define FUNCTION_TYPE(arguments, results) (1 + 2 * (arguments) + (results))

/* function_type.s */
__attribute__((__visibility__("hidden"))) int __function_type(void *);
/*
 * call_other.c. Apart, as it matters for fork who calls through pointers of which type
 * (wasmlinux-cc, fork_paths.rs).
 */
__attribute__((__visibility__("hidden"))) void *__call_other(void *, void *, void *, void *, void *);

/* Inline for the same reason: handlers and threads may well fork. */
static inline __attribute__((__always_inline__))
void *__call_callback(void *f, int as_declared, void *a, void *b, void *c, void *d)
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
	case FUNCTION_TYPE(3, 1): return ((void *(*)(void *, void *, void *))f)(a, b, c);
	case FUNCTION_TYPE(4, 0): ((void (*)(void *, void *, void *, void *))f)(a, b, c, d); return 0;
	default: return ((void *(*)(void *, void *, void *, void *))f)(a, b, c, d);
	}
}

/* Whether a function is to be called through its pointer, as libc declares it. */
static inline int __is_of_type(void *f, int type)
{
	int known = __function_type(f);

	return !known || known == type;
}

/* CALL_n: a call with n arguments, void or of a value, that is made as the function is defined. */
#define __CALL(direct, f, call, a, b, c, d) \
	(__builtin_expect(direct, 1) ? (call) : (__typeof__(call)) \
		__call_other((void *)(f), (void *)(a), (void *)(b), (void *)(c), (void *)(d)))
#define __AS(f, type, call, a, b, c, d) \
	__CALL(__is_of_type((void *)(f), type), f, call, a, b, c, d)
#define __RESULTS(call) (!_Generic((__typeof__(call) *)0, void *: 1, default: 0))
#define CALL_0(f) __AS(f, FUNCTION_TYPE(0, __RESULTS((f)())), (f)(), 0, 0, 0, 0)
#define CALL_1(f, a) __AS(f, FUNCTION_TYPE(1, __RESULTS((f)(a))), (f)(a), a, 0, 0, 0)
#define CALL_2(f, a, b) __AS(f, FUNCTION_TYPE(2, __RESULTS((f)(a, b))), (f)(a, b), a, b, 0, 0)
#define CALL_3(f, a, b, c) __AS(f, FUNCTION_TYPE(3, __RESULTS((f)(a, b, c))), (f)(a, b, c), a, b, c, 0)
#define CALL_4(f, a, b, c, d) \
	__AS(f, FUNCTION_TYPE(4, __RESULTS((f)(a, b, c, d))), (f)(a, b, c, d), a, b, c, d)
/* Of a function whose only argument is an aggregate, which goes by its address. */
#define CALL_BY_ADDRESS(f, v) __AS(f, FUNCTION_TYPE(1, __RESULTS((f)(v))), (f)(v), &(v), 0, 0, 0)
/* A comparison that is called again and again: whether it has the type, and a call by that. */
#define COMPARES(f) __is_of_type((void *)(f), FUNCTION_TYPE(2, 1))
#define COMPARE_BY(direct, f, a, b) __CALL(direct, f, (f)(a, b), a, b, 0, 0)
